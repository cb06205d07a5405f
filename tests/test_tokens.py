"""Words as OpenAI's tokenizer cuts them, which faster-whisper has copied."""

from pathlib import Path

import pytest
import tokenizers
from faster_whisper.tokenizer import Tokenizer

from batch.backends.tokens import Vocabulary
from streaming.errors import EngineFailed
from streaming.events import Decode, Kind
from tests.conftest import NANO

TEXTS = (
    " Please call back today, at nine.",
    ' it\'s 5:30 - "not" now... (really?) ',
    " Grüße, žluťoučký kůň; naïve café!",
    "今日は良い天気です。明日は？",
    " emoji 👩‍👩‍👧 between\nlines\t and  spaces",
)


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_those_of_faster_whisper(text: str, language: str) -> None:
    plain = tokenizers.Tokenizer.from_file(str(NANO / "tokenizer.json"))
    theirs = Tokenizer(plain, True, task="transcribe", language=language)
    reader = Vocabulary(NANO, is_multilingual=True).reader(language, "transcribe")
    tokens = plain.encode(text, add_special_tokens=False).ids
    for end in range(len(tokens) + 1):
        words, groups = theirs.split_to_word_tokens(tokens[:end])
        assert list(reader.split(tokens[:end])) == list(zip(words, groups, strict=True))


def test_special_tokens_are_those_of_faster_whisper() -> None:
    plain = tokenizers.Tokenizer.from_file(str(NANO / "tokenizer.json"))
    theirs = Tokenizer(plain, True, task="translate", language="de")
    ours = Vocabulary(NANO, is_multilingual=True)
    assert ours.reader("de", "translate").sot_sequence == theirs.sot_sequence
    assert (ours.eot, ours.sot, ours.sot_prev) == (theirs.eot, theirs.sot, theirs.sot_prev)
    assert (ours.no_timestamps, ours.no_speech) == (theirs.no_timestamps, theirs.no_speech)
    assert ours.languages == {"en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "it"}


def test_a_model_for_english_is_told_neither_language_nor_task() -> None:
    english = Vocabulary(NANO, is_multilingual=False)
    decode = Decode(1, 1, 1, Kind.FINAL, 0, 1, prompt=(5, 6))
    prompt = english.reader("en", "transcribe").prompt(decode)
    assert prompt == [english.sot_prev, 5, 6, english.sot, english.no_timestamps]
    assert english.languages == {"en"}


def test_another_models_tokenizer_is_refused(tmp_path: Path) -> None:
    plain = tokenizers.Tokenizer(tokenizers.models.BPE())
    plain.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(EngineFailed, match=r"it has no <\|endoftext\|>"):
        Vocabulary(tmp_path, is_multilingual=True)
