"""Whisper's vocabulary: its special tokens, prompts, and how tokens make words.

Words are cut as in OpenAI's `whisper/tokenizer.py`.
"""

import string
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import tokenizers

from streaming.errors import EngineFailed
from streaming.events import Decode

# Written without spaces: a word is whatever makes whole characters.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
ONES_MAX = 1 << 16  # tokens whose text is kept: all that Whisper has
BROKEN = "\ufffd"  # what half a character is decoded to

Pieces = Iterator[tuple[str, list[int]]]


def forced(decode: Decode) -> tuple[int, ...]:
    """Tokens with which the text must begin. They hold no times."""
    return () if decode.timestamps else decode.prefix


class Reader:
    """The vocabulary as it is used for one language and task."""

    def __init__(self, vocabulary: "Vocabulary", language: str, task: str) -> None:
        self.vocabulary = vocabulary
        self.language = language
        self.sot_sequence = [vocabulary.sot]
        if vocabulary.is_multilingual:
            names = (f"<|{language}|>", f"<|{task}|>")
            self.sot_sequence += [vocabulary.id(name) for name in names]

    def prompt(self, decode: Decode) -> list[int]:
        """What is read before the first token of the text."""
        vocabulary = self.vocabulary
        before = [vocabulary.sot_prev, *decode.prompt] if decode.prompt else []
        timed = [] if decode.timestamps else [vocabulary.no_timestamps]
        return [*before, *self.sot_sequence, *timed]

    def split(self, tokens: Sequence[int]) -> Pieces:
        """Words, or what stands between spaces, with the tokens of each. What ends in the middle
        of a character is left out."""
        if self.language in UNSPACED:
            yield from self._characters(tokens)
            return
        word, group = "", list[int]()
        for text, ids in self._characters(tokens):
            if group and (text.startswith(" ") or text.strip() in string.punctuation):
                yield word, group
                word, group = "", []
            word += text
            group = group + ids
        if group:
            yield word, group

    def _characters(self, tokens: Sequence[int]) -> Pieces:
        """The shortest runs of tokens that make whole characters."""
        decode = self.vocabulary.text.decode
        whole, at = "", 0
        group: list[int] = []
        for token in tokens:
            group.append(token)
            text = self.vocabulary.one(token) if len(group) == 1 else decode(group)
            broken = text.find(BROKEN)
            if broken >= 0 and not whole:
                whole = decode(list(tokens))
            if broken < 0 or whole[at + broken : at + broken + 1] == BROKEN:
                yield text, group
                at += len(text)
                group = []


class Vocabulary:
    def __init__(self, folder: Path, *, is_multilingual: bool) -> None:
        """Raises EngineFailed when the folder's tokenizer is not Whisper's."""
        self.text = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.is_multilingual = is_multilingual
        self.eot = self.id("<|endoftext|>")
        self.sot = self.id("<|startoftranscript|>")
        self.sot_prev = self.id("<|startofprev|>")
        self.no_timestamps = self.id("<|notimestamps|>")
        # As it is called in the models of before 2023.
        no_speech = self.text.token_to_id("<|nospeech|>")
        self.no_speech = self.id("<|nocaptions|>") if no_speech is None else no_speech
        # They stand between these two.
        ids = range(self.sot + 1, self.id("<|translate|>"))
        self.language_ids = {(self.text.id_to_token(i) or "").strip("<|>"): i for i in ids}
        self.languages = frozenset(self.language_ids) if is_multilingual else frozenset({"en"})
        self.reader = lru_cache(maxsize=256)(self._reader)
        self.one = lru_cache(maxsize=ONES_MAX)(self._one)

    def _reader(self, language: str, task: str) -> Reader:
        return Reader(self, language, task)

    def _one(self, token: int) -> str:
        """The text of a token by itself."""
        text: str = self.text.decode([token])
        return text

    def id(self, token: str) -> int:
        found = self.text.token_to_id(token)
        if found is None:
            raise EngineFailed(f"tokenizer.json is not Whisper's: it has no {token}")
        return int(found)

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of a text that goes on after another."""
        ids = self.text.encode(" " + text.strip(), add_special_tokens=False).ids
        # What looks like a special token in a client's text must not become one.
        return tuple(i for i in ids if i < self.eot)
