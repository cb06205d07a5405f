"""A session driven by hand: probabilities and hypotheses in, requests and events out."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from streaming.events import (
    HOP,
    Decode,
    Event,
    Final,
    Hypothesis,
    Kind,
    Partial,
    Word,
    join,
    samples,
)
from streaming.options import EndpointingOptions, SessionOptions
from streaming.session import Session
from streaming.terms import Terms

T = TypeVar("T")

ENDPOINTING = EndpointingOptions(silence_ms=544, silence_confident_ms=384)


class Bench:
    """A session with a model that says what the test wants it to say."""

    def __init__(self, *, window: float = 10.0, is_file: bool = False, **options: object) -> None:
        terms = Terms(window=samples(window * 1000), is_file=is_file)
        chosen = SessionOptions.model_validate({"endpointing": ENDPOINTING, **options})
        self.session = Session(chosen, terms)
        self.events: list[Event] = []

    def hear(self, probability: float, hops: int) -> None:
        for _ in range(hops):
            self.session.feed(np.zeros(HOP, np.float32))
            while self.session.hops_ready:
                self.session.score(probability)
        self.collect()

    def collect(self) -> None:
        self.events += self.session.drain()

    def newest(self, kind: Kind) -> Decode:
        return [d for d in self.session.requests.waiting if d.kind is kind][-1]

    def count(self, kind: Kind) -> int:
        return sum(d.kind is kind for d in self.session.requests.waiting)

    def answer(self, decode: Decode, text: str, **fields: object) -> None:
        said = text.split()
        each = (decode.end - decode.start) // max(len(said), 1)
        words = tuple(
            Word(w, decode.start + i * each, decode.start + (i + 1) * each, 0.9, (i,))
            for i, w in enumerate(said)
        )
        self.session.accept(decode, replace(Hypothesis(words=words), **fields))  # type: ignore[arg-type]
        self.collect()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def texts(self, kind: type[Partial] | type[Final]) -> list[str]:
        return [join(event.words) for event in self.of(kind)]


def spoken(**options: object) -> Bench:
    """Half a second of silence, a second of speech."""
    bench = Bench(**options)  # type: ignore[arg-type]
    bench.hear(0.0, 16)
    bench.hear(0.9, 32)
    return bench
