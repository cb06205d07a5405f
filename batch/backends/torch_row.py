"""A request on its way through the decoder: what it reads, what it has written, its answer."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from batch.backends.base import Task
from batch.backends.hypotheses import Alignment, Written, hypothesis
from batch.backends.mel import FRAME
from batch.backends.tokens import Reader, Vocabulary, forced
from batch.backends.windows import bucket, lengths
from batch.backends.words import Piece, pieces
from streaming.events import Hypothesis


@dataclass(slots=True, eq=False)
class Row:
    task: Task
    vocabulary: Vocabulary
    answer: Future[Hypothesis] = field(default_factory=Future)
    slot: int = -1
    language: tuple[str, float] = ("en", 1.0)
    prompt: Sequence[int] = ()
    limit: int = 0  # tokens of its text
    text: list[int] = field(default_factory=list)
    log: float = 0.0
    no_speech: float = 0.0
    is_writing: bool = False
    found: Sequence[Piece] = ()

    @property
    def frames(self) -> int:
        decode = self.task.decode
        return bucket(decode.end - decode.start, decode.full)

    @property
    def positions(self) -> int:
        """Of the encoder's output that are of its audio."""
        return max(self.task.samples // FRAME, 2) // 2

    @property
    def is_special(self) -> bool:
        """Its next token depends on those before it, in ways that only the host knows."""
        return self.task.decode.timestamps or self.task.decode.temperature > 0

    @property
    def is_timed(self) -> bool:
        return self.task.decode.word_times and bool(self.found)

    @property
    def reader(self) -> Reader:
        return self.vocabulary.reader(self.language[0], self.task.decode.task)

    def begin(self, language: tuple[str, float]) -> None:
        self.language = language
        decode = self.task.decode
        self.prompt = self.reader.prompt(decode)
        self.text = list(forced(decode))
        prompt, samples = len(self.prompt), decode.end - decode.start
        length, _ = lengths(decode, samples, prompt + len(self.text))
        # As CTranslate2 counts.
        self.limit = min(length // 2, length - prompt + 1)

    @property
    def beginning(self) -> list[int]:
        return [*self.prompt, *self.text]

    @property
    def length(self) -> int:
        """Tokens in its slot."""
        return len(self.prompt) + len(self.text)

    @property
    def sot(self) -> int:
        """Where in it the transcript begins."""
        return self.prompt.index(self.vocabulary.sot)

    @property
    def whole(self) -> list[int]:
        """What is read to see where each token looks: the words between all that surrounds them."""
        words = [token for piece in self.found for token in piece.tokens]
        vocabulary = self.vocabulary
        return [*self.reader.sot_sequence, vocabulary.no_timestamps, *words, vocabulary.eot]

    def wrote(self, token: int, log: float) -> bool:
        """Whether it goes on after this one."""
        self.log += log
        self.is_writing = token != self.vocabulary.eot
        if self.is_writing:
            self.text.append(token)
            self.is_writing = len(self.text) < self.limit
        return self.is_writing

    def end(self) -> None:
        self.found = pieces(self.reader, [t for t in self.text if t < self.vocabulary.eot])

    def reply(self, alignment: Alignment | None) -> None:
        count = len(self.text)
        ended = count < self.limit
        mean = self.log / (count + 1) if count else 0.0
        written = Written(mean, self.no_speech, ended)
        decode = self.task.decode
        self.answer.set_result(hypothesis(decode, written, self.found, alignment, self.language))
