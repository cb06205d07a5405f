"""The server protocol of Vosk, for Asterisk's res_speech_vosk and FreeSWITCH's mod_vosk:
https://github.com/alphacep/vosk-server.

Each message of audio is answered by one of text; the text of an utterance that is over comes with
the next answer, and what is left with the last.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from server.protocols import messages
from server.protocols.base import Audio, Command, Handshake, Message, Reply, Start, Stop
from server.telephony.bridge import Call, Heard
from server.telephony.fields import call_id, read, sample_rate, text, webhook_url, with_language
from server.telephony.samples import Whole
from streaming.errors import TranscriptionError
from streaming.events import Done, Event, Partial, Word, join, seconds
from streaming.events import Final as FinalEvent
from streaming.options import AudioFormat


class Vosk:
    paths: ClassVar[tuple[str, ...]] = ("/telephony/vosk",)
    subprotocol: ClassVar[None] = None
    beat_seconds: ClassVar[float] = 0.0

    def __init__(self, handshake: Handshake) -> None:
        self.query = handshake.query
        self.options = handshake.options
        self.call: Call | None = None
        self.has_words = True
        self.partial = ""
        self.finals: deque[tuple[Word, ...]] = deque()  # utterances that are still to be told
        self.samples = Whole(AudioFormat())
        self.ignored = 0

    # ---- in

    def decode(self, message: Message) -> Iterable[Heard]:
        if isinstance(message, bytes):
            return self._audio(message)
        match read(message), self.call:
            case {"config": dict(config)}, None:
                return [self._start(config)]
            case {"eof": _}, Call():
                return [Stop()]
            case {"eof": _}, None:
                return [self._start({}), Stop()]
        self.ignored += 1
        return ()

    def _start(self, config: Mapping[str, Any]) -> Start:
        rate = sample_rate(config.get("sample_rate", 8000), "sample_rate")
        self.has_words = bool(config.get("words", 1))
        url = webhook_url(self.query)
        self.call = Call(call_id(self.query), "vosk", ("caller",), webhook_url=url)
        options = with_language(self.options, text("language", self.query))
        return Start(AudioFormat(sample_rate=rate), options, is_spooled=True)

    def _audio(self, data: bytes) -> Iterator[Command]:
        if self.call is None:
            yield self._start({})
        yield Audio(self.samples.cut(data))
        yield Reply(self._answer())

    def _answer(self) -> Message:
        if self.finals:
            return self._result(self.finals.popleft())
        return messages.write(partial=self.partial)

    def rest(self) -> Iterable[Command]:
        return ()

    def faults(self) -> Mapping[str, int]:
        return {"ignored": self.ignored}

    # ---- out

    def reply(self, event: Event) -> Iterable[Message]:
        match event:
            case Partial(words=words):
                self.partial = join(words)
            case FinalEvent(words=words):
                self.partial = ""
                if words:
                    self.finals.append(words)
            case Done():
                rest = tuple(word for words in self.finals for word in words)
                return [self._result(rest)]
        return ()

    def _result(self, words: tuple[Word, ...]) -> Message:
        text = join(words)
        if not self.has_words or not words:
            return messages.write(text=text)
        return messages.write(result=[_word(word) for word in words], text=text)

    def refuse(self, error: TranscriptionError) -> Iterable[Message]:
        return ()

    def beat(self) -> Iterable[Message]:
        return ()


def _word(word: Word) -> dict[str, Any]:
    return {
        "conf": round(word.confidence, 6),
        "start": seconds(word.start),
        "end": seconds(word.end),
        "word": word.text,
    }
