"""Whisper's real shapes, and a vocabulary of its size: nano's words, and as many others.

Widths, depths, heads, mel bands and vocabulary are those of OpenAI's models (Radford et al. 2022,
table 1, and the published configurations of large-v3 and large-v3-turbo).
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from bench.launch import ROOT
from server.languages import NAMES

NANO = ROOT / "tests" / "models" / "nano"
FOLDER = Path(os.environ.get("BENCH_SHAPES", "~/.cache/stentor-bench/shapes")).expanduser()
TEXT_TOKENS = 50_257  # what comes before <|endoftext|>
TIMES = 1501
POSITIONS, ENCODER_POSITIONS = 448, 1500


@dataclass(frozen=True, slots=True)
class Shape:
    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    alignment_heads: tuple[tuple[int, int], ...]  # as OpenAI published them
    mels: int = 80
    languages: int = 99


SHAPES = {
    "tiny": Shape(384, 4, 4, 6, ((2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5))),
    "base": Shape(
        512, 6, 6, 8, ((3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6))
    ),
    "small": Shape(
        *(768, 12, 12, 12),
        ((5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)),
    ),
    "medium": Shape(
        1024, 24, 24, 16, ((13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4))
    ),
    "large-v3": Shape(
        *(1280, 32, 32, 20),
        (
            *((7, 0), (10, 17), (12, 18), (13, 12), (16, 1)),
            *((17, 14), (19, 11), (21, 4), (24, 1), (25, 6)),
        ),
        mels=128,
        languages=100,
    ),
    "large-v3-turbo": Shape(
        *(1280, 32, 4, 20),
        ((2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)),
        mels=128,
        languages=100,
    ),
}  # fmt: skip


# ---- the vocabulary: nano's words, and as many others as Whisper has


def text_tokens() -> list[str]:
    known = json.loads((NANO / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = sorted(known, key=known.__getitem__)
    # The empty string is how CTranslate2 knows a multilingual vocabulary.
    words = ["" if word == "\u0100" else word for word in words]
    return [*words, *(f"\u0120w{i}" for i in range(len(words), TEXT_TOKENS))]


def languages(shape: Shape) -> list[str]:
    newest = ["yue"] * (shape.languages == 100)
    return [*(code for code in NAMES if code != "yue"), *newest]


def special_tokens(shape: Shape) -> list[str]:
    """In the order of Whisper's vocabulary, from <|endoftext|> to the last time."""
    tasks = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
    names = ("endoftext", "startoftranscript", *languages(shape), *tasks)
    times = (f"{i * 0.02:.2f}" for i in range(TIMES))
    return [f"<|{name}|>" for name in (*names, *times)]


def write_tokenizer(folder: Path, words: list[str], special: list[str]) -> None:
    tokenizer = json.loads((NANO / "tokenizer.json").read_text(encoding="utf-8"))
    pattern = tokenizer["added_tokens"][0]
    tokenizer["added_tokens"] = [
        {**pattern, "id": TEXT_TOKENS + i, "content": token} for i, token in enumerate(special)
    ]
    tokenizer["model"]["vocab"] = {word or "\u0100": i for i, word in enumerate(words)}
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
