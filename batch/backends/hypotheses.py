"""What a Whisper wrote about a window → a hypothesis. The same for every library that runs one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from batch.backends.words import Piece, compression_ratio, times
from streaming.events import END_MARKS, SAMPLE_RATE, Decode, Hypothesis, Word

LANGUAGE_SURE = 0.8  # a detection below this does not overrule the stream's language


@dataclass(frozen=True, slots=True)
class Written:
    """`log_probability` is the mean over the tokens, those that were forced and the end included;
    `ended`: the model ended the text by itself."""

    log_probability: float
    no_speech_probability: float
    ended: bool


class Alignment(Protocol):
    """Pairs of (token, position of the encoder's output), and the probability of each token."""

    @property
    def alignments(self) -> Sequence[tuple[int, int]]: ...
    @property
    def text_token_probs(self) -> Sequence[float]: ...


def language_of(decode: Decode, probabilities: Mapping[str, float]) -> tuple[str, float]:
    """The language of a window and its probability; what is given counts as certain."""
    if decode.language is not None:
        return decode.language, 1.0
    ranked = probabilities
    if decode.languages:
        ranked = {k: ranked[k] for k in ranked if k in decode.languages} or ranked
    best = max(ranked, key=ranked.__getitem__)
    likely = decode.likely_language
    if likely is not None and likely in ranked and ranked[best] < LANGUAGE_SURE:
        best = likely
    return best, float(ranked[best])


def hypothesis(
    decode: Decode,
    written: Written,
    found: Sequence[Piece],
    alignment: Alignment | None,
    language: tuple[str, float],
) -> Hypothesis:
    last = found[-1].text[-1:] if found else ""
    end_probability = 0.0
    if last in END_MARKS:
        end_probability = float(alignment.text_token_probs[-1]) if alignment else 0.5
    return Hypothesis(
        words=_words(decode, found, alignment),
        language=language[0],
        language_probability=language[1],
        no_speech_probability=written.no_speech_probability,
        log_probability=written.log_probability,
        compression_ratio=compression_ratio("".join(p.text for p in found)),
        end_probability=end_probability,
        ended=written.ended,
    )


def _words(decode: Decode, found: Sequence[Piece], alignment: Alignment | None) -> tuple[Word, ...]:
    """Words at their place in the stream; without an alignment, spread evenly over the window."""
    if not found:
        return ()
    lengths = [len(p.tokens) for p in found]
    edges = [*accumulate(lengths, initial=0)]
    duration = (decode.end - decode.start) / SAMPLE_RATE
    if alignment is None:
        spread = [edge / edges[-1] * duration for edge in edges]
        spans: Iterator[tuple[float, float]] = pairwise(spread)
        sure = [0.0] * len(found)
    else:
        spans = times(alignment.alignments, lengths)
        probabilities = alignment.text_token_probs
        sure = [sum(probabilities[a:b]) / (b - a) for a, b in pairwise(edges)]
    return tuple(
        Word(
            text=piece.text.strip(),
            start=decode.start + round(min(start, duration) * SAMPLE_RATE),
            end=decode.start + round(min(end, duration) * SAMPLE_RATE),
            confidence=round(float(probability), 4),
            tokens=tuple(piece.tokens),
            spaced=piece.text.startswith(" "),
            marks=piece.marks.rstrip(),
            mark_tokens=piece.mark_tokens,
        )
        for piece, (start, end), probability in zip(found, spans, sure, strict=True)
    )
