"""Tokens of a hypothesis → words, and where an alignment puts them."""

import string
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from batch.backends.tokens import BROKEN, Reader

TOKENS_A_SECOND = 50  # positions of the encoder's output
PUNCTUATION = frozenset(string.punctuation + "。，！？：、”…")


@dataclass(slots=True)
class Piece:
    """A word before it has times: its text as the model wrote it and its tokens."""

    text: str
    tokens: list[int]
    marks: str = ""  # that end the text, in tokens of their own
    mark_tokens: int = 0


def pieces(reader: Reader, tokens: Sequence[int]) -> list[Piece]:
    """Words with their punctuation attached. Tokens that end in the middle of a character are left
    out: the next hypothesis completes them."""
    out: list[Piece] = []
    for text, group in reader.split(tokens):
        mark = text.strip()
        if BROKEN in text:
            break
        if out and mark and text[0] != " " and all(c in PUNCTUATION for c in mark):
            out[-1].text += text
            out[-1].tokens += group
            out[-1].marks += text
            out[-1].mark_tokens += len(group)
        elif mark:
            out.append(Piece(text, group))
        elif out:
            out[-1].tokens += group
            out[-1].mark_tokens += len(group)
    return out


def times(path: Sequence[tuple[int, int]], lengths: Sequence[int]) -> Iterator[tuple[float, float]]:
    """Start and end in seconds of each of the words with `lengths` tokens, from an alignment path
    of (token index, encoder position) pairs."""
    # In plain Python: of so few numbers arrays take five times as long.
    begins = [
        at for (token, at), (last, _) in zip(path, [(-1, 0), *path], strict=False) if token != last
    ]
    edges = (begins[min(edge, len(begins) - 1)] for edge in accumulate(lengths, initial=0))
    for start, end in pairwise(edges):
        yield start / TOKENS_A_SECOND, end / TOKENS_A_SECOND


def compression_ratio(text: str) -> float:
    """As Whisper defines it: repetition compresses well. Means little under some 50 characters."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 1.0
