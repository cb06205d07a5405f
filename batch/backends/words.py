"""Tokens of a hypothesis → words, and where an alignment puts them."""

import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def times(
    path: Sequence[tuple[int, int]], lengths: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Starts and ends in seconds of words with `lengths` tokens, from an alignment path of
    (token index, encoder position) pairs."""
    text, position = np.array(path, dtype=np.int64).reshape(-1, 2).T
    jumps = np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)
    at = position[jumps] / TOKENS_A_SECOND
    edges = np.minimum(np.pad(np.cumsum(lengths), (1, 0)), len(at) - 1)
    return at[edges[:-1]], at[edges[1:]]


def compression_ratio(text: str) -> float:
    """As Whisper defines it: repetition compresses well. Means little under some 50 characters."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 1.0
