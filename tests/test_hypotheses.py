"""Tokens and an alignment → words with times."""

import pytest

from batch.backends.hypotheses import Written, hypothesis
from batch.backends.tokens import Vocabulary
from batch.backends.torch_align import Aligned
from batch.backends.words import Piece, pieces, times
from streaming.events import SAMPLE_RATE, Decode, Kind
from tests.conftest import NANO_HF

PATH = [(0, 0), (0, 1), (1, 5), (1, 6), (2, 9), (3, 12), (3, 15)]
WRITTEN = Written(-0.1, 0.0, ended=True)
DECODE = Decode(1, 1, 1, Kind.FINAL, 2 * SAMPLE_RATE, 3 * SAMPLE_RATE, "en")
FOUND = [Piece(" ab", [300, 301]), Piece(" c", [302])]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(NANO_HF, is_multilingual=True)


def test_a_word_lasts_from_its_first_token_to_the_next_words() -> None:
    assert list(times(PATH, [2, 1])) == [(0.0, 9 / 50), (9 / 50, 12 / 50)]


def test_a_path_that_ends_early_ends_all_words() -> None:
    assert list(times(PATH[:4], [1, 2])) == [(0.0, 5 / 50), (5 / 50, 5 / 50)]


def test_words_have_the_mean_of_their_tokens_and_their_place_in_the_stream() -> None:
    found = hypothesis(DECODE, WRITTEN, FOUND, Aligned(PATH, [0.5, 0.7, 0.9]), ("en", 1.0))
    assert [w.confidence for w in found.words] == [0.6, 0.9]
    assert [w.start for w in found.words] == [32_000, 32_000 + 9 * 320]
    assert [w.end for w in found.words] == [32_000 + 9 * 320, 32_000 + 12 * 320]


def test_without_an_alignment_words_are_spread_by_their_tokens() -> None:
    found = hypothesis(DECODE, WRITTEN, FOUND, None, ("en", 1.0))
    assert [w.confidence for w in found.words] == [0, 0]
    assert [w.start for w in found.words] == [32_000, 32_000 + round(16_000 * 2 / 3)]
    assert found.words[-1].end == 48_000


def test_characters_of_several_tokens_are_kept_whole(vocabulary: Vocabulary) -> None:
    reader = vocabulary.reader("en", "transcribe")
    tokens = vocabulary.encode("naïve café, 漢字!")
    assert len(tokens) > len("naïve café")
    for _ in range(2):  # the second time tokens are known
        split = list(reader.split(tokens))
        assert "".join(text for text, _ in split) == " naïve café, 漢字!"
        assert [token for _, group in split for token in group] == list(tokens)


def test_half_a_character_at_the_end_is_left_out(vocabulary: Vocabulary) -> None:
    reader = vocabulary.reader("en", "transcribe")
    tokens = vocabulary.encode("hello 漢")
    found = pieces(reader, tokens[:-1])
    assert [piece.text for piece in found] == [" hello"]
