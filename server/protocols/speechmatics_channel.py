"""What Speechmatics' real-time API tells of one channel: transcripts, and where utterances end."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from server.protocols.base import Message
from server.protocols.speechmatics_messages import write
from server.speechmatics.items import Token
from server.speechmatics.languages import delimiter_of
from server.speechmatics.live import LivePlan
from server.speechmatics.live_pauses import Pauses
from server.speechmatics.live_words import LiveWords
from server.speechmatics.render import FORMAT, result, seconds, text_of
from server.speechmatics.volumes import Volumes
from streaming.events import (
    SAMPLE_RATE,
    Configured,
    Event,
    Marked,
    Partial,
    Progressed,
    Reason,
    SpeechEnded,
    SpeechStarted,
    milliseconds,
)
from streaming.events import Final as FinalEvent

# Clients take a message of a mebibyte, and replacements make long words.
MESSAGE_LENGTH_MAX: Final = 1_000_000
RESULT_LENGTH: Final = 500  # of a result without its text, at the most
CHARACTER_LENGTH: Final = 12  # escaped, as a pair of surrogates


class Channel:
    """`label` None: there is one, without a name."""

    def __init__(self, live: LivePlan, label: str | None) -> None:
        # for the session
        self.label = label
        self.words = LiveWords(live.editor)
        self.pauses = Pauses()
        # until changed
        self.live = live
        self.coming: deque[LivePlan] = deque()  # what it is changed to, further on in the audio
        # what has come
        self.added = 0  # messages of audio
        self.spoken = 0  # samples of utterances with words
        self.volumes = Volumes(())  # of the words of the utterance that is told of
        self.rest = b""  # the first bytes of a sample whose others are to come
        self.is_ended = False
        self.is_shown = False  # the newest partial has words
        # what was asked
        self.forces = 0  # how often an end was forced that is still to be told
        self.forced_after = 0  # messages of audio, the last time
        self.is_forced = False  # a final was told that was asked for, and not yet where it ends

    @property
    def is_forcing(self) -> bool:
        """Whether an end is forced here already."""
        return self.forces > 0 and self.forced_after == self.added

    def whole(self, data: bytes) -> bytes:
        """Of audio, as it comes, all whole samples."""
        audio = self.live.audio
        if audio.is_compressed:
            return data
        size = audio.frame_bytes // audio.channels
        data = self.rest + data if self.rest else data
        length = len(data) // size * size
        data, self.rest = data[:length], data[length:]
        return data

    # ---- what is told

    def encode(self, event: Event) -> Iterator[Message]:
        if isinstance(event, Partial | FinalEvent):
            self.volumes = Volumes((milliseconds(w.start), w.volume or 0.0) for w in event.words)
        match event:
            case Partial():
                told = self.words.partial(event)
                if told.final:
                    yield from self._final(told.final)
                yield from self._partial(told.open)
            case FinalEvent():
                yield from self._closed(event)
            case SpeechStarted(at=at):
                self.pauses.speech_started(at)
            case SpeechEnded(at=at):
                self.pauses.speech_ended(at)
            case Progressed(at=at, speaking=False):
                self.pauses.silent_until(at)
                yield from self._over()
            case Configured():
                self.live = self.coming.popleft()
            case Marked(at=at):
                self.forces -= 1
                if not self.is_forced:
                    yield from self._final((), milliseconds(at), forced=True)
                self.is_forced = False
                said_until = self.pauses.told()
                yield self._end(at if said_until is None else said_until, forced=True)
            case _:
                pass

    def _closed(self, event: FinalEvent) -> Iterator[Message]:
        tokens = self.words.final(event)
        self.spoken += event.end - event.start if event.words else 0
        self.is_forced = event.reason is Reason.FINALIZE
        if tokens or self.is_forced:
            more = {"forced": True} if self.is_forced else {}
            yield from self._final(tokens, milliseconds(event.end), **more)
        if tokens or self.is_forced or self.is_shown:  # perhaps nobody said that
            yield from self._partial(())
        self.pauses.final(event.words[-1].end if event.words else None)
        yield from self._over()

    def _over(self) -> Iterator[Message]:
        trigger = self.live.config.trigger
        if trigger:
            said_until = self.pauses.over(round(trigger * SAMPLE_RATE))
            if said_until is not None:
                yield self._end(said_until)

    # ---- messages

    def _final(self, tokens: Sequence[Token], at: int = 0, **more: Any) -> Iterator[Message]:
        for part in parts_of(tokens):
            yield self._transcript("AddTranscript", part, at, **more)

    def _partial(self, tokens: Sequence[Token]) -> Iterable[Message]:
        if not self.live.config.enable_partials:
            return []
        self.is_shown = bool(tokens)
        shown = next(parts_of(tokens))  # the rest is told by its final
        return [self._transcript("AddPartialTranscript", shown, self.words.floor)]

    def _transcript(self, kind: str, tokens: Sequence[Token], at: int, **more: Any) -> Message:
        """`at`: where it is, in ms, with no words in it."""
        text = text_of(tokens)
        items = [item for token in tokens for item in token]
        if items and kind == "AddTranscript":
            # Clients write one final after the other, as they are.
            text += delimiter_of(items[-1].language)
        start, end = (items[0].start, items[-1].end) if items else (at, at)
        metadata = {"start_time": seconds(start), "end_time": seconds(end), "transcript": text}
        volume = self.volumes.of if self.live.config.audio_filtering_config else None
        results = [result(item, self.label, volume, speaker=None) for item in items]
        return self._message(kind, metadata, results=results, **more)

    def _end(self, at: int, **more: Any) -> Message:
        time = seconds(milliseconds(at))
        return self._message("EndOfUtterance", {"start_time": time, "end_time": time}, **more)

    def _message(self, kind: str, metadata: dict[str, Any], **more: Any) -> Message:
        channel = {} if self.label is None else {"channel": self.label}
        return write(kind, format=FORMAT, **channel, metadata=metadata, **more)


def parts_of(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """As many at a time as one message holds; once where there are none."""
    items = [item for token in tokens for item in token]
    most = sum(RESULT_LENGTH + 2 * CHARACTER_LENGTH * len(item.text) for item in items)
    if most <= MESSAGE_LENGTH_MAX:
        yield tokens
        return
    begin = length = 0
    for number, token in enumerate(tokens):
        more = _length(token)
        if length and length + more > MESSAGE_LENGTH_MAX:
            yield tokens[begin:number]
            begin, length = number, 0
        length += more
    yield tokens[begin:]


def _length(token: Token) -> int:
    """In a message, at the most: what is written is in its transcript and in a result."""
    return sum(RESULT_LENGTH + 2 * len(json.dumps(item.text)) for item in token)
