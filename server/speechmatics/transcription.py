"""A file through the engine as a plan has it: once, again where its language has to be settled, and
once more for a translation. Whoever calls it decides where files come from and results go."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

from batch.engine import Engine
from batch.files import FileRequest, Transcript, transcribe_whole
from batch.volume import VolumeGate
from server.render import language_of, spoken
from server.speechmatics.items import Item
from server.speechmatics.languages import choose, theirs_of
from server.speechmatics.plan import ENGLISH, Plan
from server.speechmatics.render import Rendering, Translated, text_of
from streaming.errors import TranscriptionError
from streaming.events import milliseconds, samples, seconds
from streaming.options import SessionOptions

SURE: Final = 0.5  # a language detected with less is not identified
UNSURE = "Language identification could not identify any language with sufficient confidence"
NO_SPEECH = "No speech found for language identification"


class JobRejected(TranscriptionError):
    """The recording is not what the configuration says."""

    code: ClassVar[str] = "job_rejected"
    http_status: ClassVar[int] = 400


@dataclass(frozen=True, slots=True)
class Heard:
    """A transcript in a language that is settled."""

    transcript: Transcript
    codes: tuple[str, ...]
    gate: VolumeGate | None
    identification: Mapping[str, Any] | None = None


async def transcribe(
    engine: Engine, source: Path | BinaryIO, plan: Plan, seconds_max: float, version: str
) -> Rendering:
    """Raises JobRejected, and whatever `batch.files.transcribe` does."""
    job = _Job(engine, source, plan, seconds_max)
    heard = await job.heard()
    translations, errors = await job.translations(heard)
    finals = spoken(heard.transcript)
    return Rendering(
        asked=plan.asked,
        turns=plan.editor.turns(finals),
        codes=heard.codes,
        version=version,
        seconds=seconds(heard.transcript.samples),
        channels=len(heard.transcript.accounts),
        volume=partial(_volume, heard.gate) if heard.gate else None,
        identification=heard.identification,
        translations=translations,
        translation_errors=errors,
    )


def _volume(gate: VolumeGate, item: Item) -> float:
    return gate.volume(samples(item.start), samples(item.end), item.channel)


class _Job:
    def __init__(
        self, engine: Engine, source: Path | BinaryIO, plan: Plan, seconds_max: float
    ) -> None:
        self.engine = engine
        self.source = source
        self.plan = plan
        self.seconds_max = seconds_max

    async def _transcribed(self, session: SessionOptions) -> tuple[Transcript, VolumeGate | None]:
        gate = None
        if self.plan.volume_threshold is not None:
            gate = VolumeGate(self.plan.volume_threshold)
        request = FileRequest(session, self.plan.split, self.seconds_max, gate=gate)
        return await transcribe_whole(self.engine, self.source, request), gate

    # ---- its language

    async def heard(self) -> Heard:
        transcript, gate = await self._transcribed(self.plan.session)
        if not self.plan.choice.is_auto:
            return Heard(transcript, self.plan.choice.codes, gate)
        code, identification = self._identified(transcript)
        others = {final.language for final in transcript.finals if final.words} - {code}
        if code is not None and others:
            # Short utterances are easily taken for another language.
            session = self.plan.session.model_copy(update={"language": code})
            transcript, gate = await self._transcribed(session)
        return Heard(transcript, (code,) if code else (), gate, identification)

    def _identified(self, transcript: Transcript) -> tuple[str | None, dict[str, Any]]:
        """The language to transcribe in, and what is told of how it was found."""
        asked = self.plan.asked.config.language_identification_config
        default = None
        if asked.default_language is not None:
            known = self.engine.backend.languages
            default = choose(asked.default_language, None, known).codes[0]
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

    async def translations(
        self, heard: Heard
    ) -> tuple[dict[str, list[Translated]], list[dict[str, str]]]:
        """By language; and why there is none in the others."""
        done: dict[str, list[Translated]] = {}
        errors = []
        for target in self.plan.targets:
            if heard.codes == (target,) and self.plan.choice.is_auto:
                done[target] = self._sentences(heard)
            elif target == ENGLISH and heard.codes != (ENGLISH,) and self._can_translate():
                language = heard.codes[0] if len(heard.codes) == 1 else None
                session = self.plan.session.model_copy(
                    update={"task": "translate", "language": language, "key_terms": ()}
                )
                transcript, _ = await self._transcribed(session)
                done[target] = [
                    Translated(
                        milliseconds(final.start),
                        milliseconds(final.end),
                        " ".join(word.text for word in final.words),
                        final.channel,
                    )
                    for final in spoken(transcript)
                ]
            else:
                source = theirs_of(heard.codes[0]) if heard.codes else "unknown"
                message = f"Translation from {source} to {target} currently not supported"
                errors.append({"type": "unsupported_translation_pair", "message": message})
        return done, errors

    def _can_translate(self) -> bool:
        backend = self.engine.backend
        return backend.translates and backend.languages != {ENGLISH}

    def _sentences(self, heard: Heard) -> list[Translated]:
        turns = self.plan.editor.turns(spoken(heard.transcript))
        return [
            Translated(
                turn.tokens[0][0].start,
                turn.tokens[-1][-1].end,
                text_of(turn.tokens, " "),
                turn.channel,
            )
            for turn in turns
        ]
