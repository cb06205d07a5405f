"""Languages as clients name them."""

import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES

from server.languages import CODES, NAMES, code_of


def test_every_language_of_whisper_has_a_name() -> None:
    assert set(NAMES) == set(_LANGUAGE_CODES)
    assert set(CODES.values()) == set(NAMES)
    assert len(set(NAMES.values())) == len(NAMES)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("en", "en"),
        (" EN ", "en"),
        ("en-US", "en"),
        ("en_us", "en"),
        ("English", "en"),
        ("zh-Hant-TW", "zh"),
        ("Haitian Creole", "ht"),
        ("jv", "jw"),
        ("nb-NO", "no"),
        ("klingon", None),
        ("xx", None),
        ("", None),
    ],
)
def test_a_language_is_known_in_many_spellings(text: str, code: str | None) -> None:
    assert code_of(text) == code
