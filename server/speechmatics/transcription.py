"""What is said in a recording, as a plan has it: listened to once, again where its language has to
be settled, and once more for a translation. Where recordings come from is for others to know."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

from batch.engine import Engine
from batch.files import FileRequest, Transcript, transcribe_whole
from batch.job import Hear, Heard
from batch.volume import VolumeGate
from server.render import language_of, spoken
from server.speechmatics.config import Asked
from server.speechmatics.items import Item, editor
from server.speechmatics.languages import choose, theirs_of
from server.speechmatics.plan import ENGLISH, Plan
from server.speechmatics.render import Rendering, Translated, text_of
from server.speechmatics.volumes import Volumes
from streaming.errors import TranscriptionError
from streaming.events import milliseconds, seconds
from streaming.options import SessionOptions

SURE: Final = 0.5  # a language detected with less is not identified
UNSURE = "Language identification could not identify any language with sufficient confidence"
NO_SPEECH = "No speech found for language identification"


class JobRejected(TranscriptionError):
    """The recording is not what the configuration says."""

    code: ClassVar[str] = "job_rejected"
    http_status: ClassVar[int] = 400


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found beside the words: everything that a job keeps with its transcript."""

    codes: tuple[str, ...]  # Whisper's: of the pack, or what was heard
    identification: Mapping[str, Any] | None = None  # of a language that was not given
    volumes: Sequence[Sequence[float]] | None = None  # of each final's words, if they are asked for
    translations: Mapping[str, Sequence[Translated]] = field(default_factory=dict)
    translation_errors: Sequence[Mapping[str, str]] = ()


async def transcribe(
    engine: Engine, source: Path | BinaryIO, plan: Plan, seconds_max: float
) -> Rendering:
    """Raises JobRejected, and whatever `batch.files.transcribe` does."""

    async def hear(options: SessionOptions, gate: VolumeGate | None = None) -> Transcript:
        request = FileRequest(options, plan.split, seconds_max, gate=gate)
        return await transcribe_whole(engine, source, request)

    return rendering(plan.asked, await listen(hear, plan))


async def listen(hear: Hear, plan: Plan) -> Heard:
    """Raises JobRejected."""
    return await _Listener(hear, plan).heard()


def rendering(asked: Asked, heard: Heard, created: datetime | None = None) -> Rendering:
    """Of what `listen` has found. Raises BadMessage for a replacement that takes too long."""
    found, transcript = _findings(heard), heard.transcript
    more = {"created": created} if created is not None else {}
    return Rendering(
        asked=asked,
        turns=editor(asked.config.transcription_config).turns(spoken(transcript)),
        codes=found.codes,
        seconds=seconds(transcript.samples),
        channels=len(transcript.accounts),
        volume=_Volumes(transcript, found.volumes).of if found.volumes is not None else None,
        identification=found.identification,
        translations=found.translations,
        translation_errors=found.translation_errors,
        **more,
    )


def _findings(heard: Heard) -> Findings:
    """As they were kept, in JSON."""
    kept = dict(heard.more)
    told: dict[str, list[dict[str, Any]]] = kept.pop("translations")
    translations = {code: [Translated(**one) for one in parts] for code, parts in told.items()}
    return Findings(codes=tuple(kept.pop("codes")), translations=translations, **kept)


class _Volumes:
    def __init__(self, transcript: Transcript, volumes: Sequence[Sequence[float]]) -> None:
        found: dict[int, list[tuple[int, float]]] = {}
        for final, parts in zip(transcript.finals, volumes, strict=True):
            found.setdefault(final.channel, []).extend(
                (milliseconds(word.start), volume)
                for word, volume in zip(final.words, parts, strict=True)
            )
        self.by_channel = {channel: Volumes(words) for channel, words in found.items()}

    def of(self, item: Item) -> float:
        volumes = self.by_channel.get(item.channel)
        return volumes.of(item) if volumes else 0.0


def _volumes(transcript: Transcript, gate: VolumeGate | None) -> list[list[float]] | None:
    if gate is None:
        return None
    return [
        [round(gate.volume(word.start, word.end, final.channel), 3) for word in final.words]
        for final in transcript.finals
    ]


class _Listener:
    def __init__(self, hear: Hear, plan: Plan) -> None:
        self.hear = hear
        self.plan = plan

    async def heard(self) -> Heard:
        findings, transcript = await self._settled()
        translations, errors = await self._translations(findings, transcript)
        more = asdict(findings) | {"translations": translations, "translation_errors": errors}
        return Heard(transcript, more)

    async def _transcribed(self, session: SessionOptions) -> tuple[Transcript, VolumeGate | None]:
        threshold = self.plan.volume_threshold
        gate = VolumeGate(threshold) if threshold is not None else None
        return await self.hear(session, gate), gate

    # ---- its language

    async def _settled(self) -> tuple[Findings, Transcript]:
        transcript, gate = await self._transcribed(self.plan.session)
        if not self.plan.choice.is_auto:
            volumes = _volumes(transcript, gate)
            return Findings(self.plan.choice.codes, volumes=volumes), transcript
        code, identification = self._identified(transcript)
        others = {final.language for final in transcript.finals if final.words} - {code}
        if code is not None and others:
            # Short utterances are easily taken for another language.
            session = self.plan.session.model_copy(update={"language": code})
            transcript, gate = await self._transcribed(session)
        codes = (code,) if code else ()
        return Findings(codes, identification, _volumes(transcript, gate)), transcript

    def _identified(self, transcript: Transcript) -> tuple[str | None, dict[str, Any]]:
        """The language to transcribe in, and what is told of how it was found."""
        asked = self.plan.asked.config.language_identification_config
        default = None
        if asked.default_language is not None:
            default = choose(asked.default_language, None, self.plan.running.languages).codes[0]
        code, sure = language_of(transcript.finals)
        was_asked = not self.plan.asked.is_default
        if code is None:
            if default is None and was_asked:
                raise JobRejected(NO_SPEECH)
            return default, {"error": "NO_SPEECH", "message": NO_SPEECH}
        if sure < SURE and was_asked:
            if asked.low_confidence_action == "reject":
                raise JobRejected(UNSURE)
            if asked.low_confidence_action == "use_default_language":
                return default, {"error": "LOW_CONFIDENCE", "message": f"{UNSURE}."}
        theirs = theirs_of(code)
        expected = asked.expected_languages
        if expected and theirs not in expected:
            message = f"The identified language '{theirs}' is not one of the expected languages"
            raise JobRejected(message)
        end = seconds(transcript.samples)
        one = {"alternatives": [{"language": theirs, "confidence": sure}]}
        return code, {"results": [{**one, "start_time": 0.0, "end_time": end}]}

    # ---- translations

    async def _translations(
        self, found: Findings, transcript: Transcript
    ) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, str]]]:
        """By language; and why there is none in the others."""
        done: dict[str, list[dict[str, Any]]] = {}
        errors = []
        for target in self.plan.targets:
            if found.codes == (target,) and self.plan.choice.is_auto:
                done[target] = [asdict(one) for one in self._sentences(transcript)]
            elif target == ENGLISH and found.codes != (ENGLISH,) and self._can_translate():
                done[target] = [asdict(one) for one in await self._in_english(found)]
            else:
                source = theirs_of(found.codes[0]) if found.codes else "unknown"
                message = f"Translation from {source} to {target} currently not supported"
                errors.append({"type": "unsupported_translation_pair", "message": message})
        return done, errors

    def _can_translate(self) -> bool:
        running = self.plan.running
        return running.translates and running.languages != {ENGLISH}

    async def _in_english(self, found: Findings) -> list[Translated]:
        language = found.codes[0] if len(found.codes) == 1 else None
        session = self.plan.session.model_copy(
            update={"task": "translate", "language": language, "key_terms": ()}
        )
        transcript, _ = await self._transcribed(session)
        return [
            Translated(
                milliseconds(final.start),
                milliseconds(final.end),
                " ".join(word.text for word in final.words),
                final.channel,
            )
            for final in spoken(transcript)
        ]

    def _sentences(self, transcript: Transcript) -> list[Translated]:
        return [
            Translated(
                turn.tokens[0][0].start,
                turn.tokens[-1][-1].end,
                text_of(turn.tokens),
                turn.channel,
            )
            for turn in self.plan.editor.turns(spoken(transcript))
        ]
