"""Job configs that are hardly any: each is refused in words; what is taken can be told again."""

import json
from typing import Any

import pytest

from server.commands import transcriber
from server.speechmatics.config import read
from streaming.errors import BadMessage
from tests.transcriber_rigs import config

ANYTHING = "ctrl"  # a field that takes any value


def asked(value: str) -> str:
    """A config in which a field is written like that."""
    return f'{{"type": "transcription", "transcription_config": {{"{ANYTHING}": {value}}}}}'


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[" * 150 + "]" * 150, "nested more than 100 times"),
        ("[" * 100_000 + "]" * 100_000, "is not JSON"),
        ('{"a":' * 150 + "1" + "}" * 150, "nested more than 100 times"),
        ("1" * 5000, "is not JSON"),
        ("NaN", "is not JSON"),
        ("1e999", "a number in it that is too large"),
        ("[[-1e999]]", "a number in it that is too large"),
        ('"\\ud800"', "is not JSON"),
        ('{"\\udc00": 1}', "is not JSON"),
        ('"\\u0000"', "a null character"),
        ('{"\\u0000": 1}', "a null character"),
    ],
)
def test_what_could_not_be_told_again_is_refused(value: str, said: str) -> None:
    with pytest.raises(BadMessage, match=said):
        read(asked(value))


@pytest.mark.parametrize("value", ["1e308", "-0.0", '"\\u2028"', '[{"a": [null, true]}]', "0.1"])
def test_what_is_taken_is_told_again_as_it_was(value: str) -> None:
    given = read(asked(value)).given
    assert given["transcription_config"][ANYTHING] == json.loads(value)
    json.dumps(given, allow_nan=False).encode()


@pytest.mark.parametrize(
    "text",
    [b'{"type": "transcription\xe9"}', asked("1").encode("utf-16"), b"", b"\x00", b"\xef\xbb\xbf"],
)
def test_bytes_that_are_no_text_are_refused(text: bytes) -> None:
    with pytest.raises(BadMessage, match="is not JSON"):
        read(text)


@pytest.mark.parametrize(
    ("transcription", "others", "field"),
    [
        ({"language_hints": ["en"] * 201}, {}, "transcription_config.language_hints"),
        ({"model": "standard", "operating_point": "enhanced"}, {}, "transcription_config.model"),
        ({"max_delay": 0.1}, {}, "transcription_config.max_delay"),
        ({"channel_diarization_labels": ["a b"]}, {}, "channel_diarization_labels.0"),
        ({}, {"fetch_data": {"url": "ftp://a/b"}}, "fetch_data.url"),
        ({}, {"fetch_data": {"url": "http://a/b\r\nX: y"}}, "fetch_data.url"),
        ({}, {"fetch_data": {"url": "http://a", "auth_headers": ["a\nb: c"]}}, "auth_headers.0"),
        ({}, {"notification_config": [{"url": "http://a"}] * 4}, "notification_config"),
        ({}, {"notification_config": {"url": "file:///etc/passwd"}}, "notification_config.0.url"),
        ({}, {"output_config": {"srt_overrides": {"max_lines": 0}}}, "srt_overrides.max_lines"),
        ({}, {"translation_config": {"target_languages": []}}, "target_languages"),
        ({}, {"tracking": {"title": 1}}, "tracking.title"),
    ],
)
def test_the_field_is_named(transcription: Any, others: Any, field: str) -> None:
    whole = {"type": "transcription", "transcription_config": transcription, **others}
    with pytest.raises(BadMessage) as error:
        read(json.dumps(whole))
    assert error.value.field.endswith(field)
    assert error.value.allowed or "differ" in error.value.message


def test_a_config_of_any_size_is_not_read(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transcriber, "CONFIG_BYTES_MAX", 100)
    job = config(tmp_path / "job.json", {"domain": "x" * 100})
    assert transcriber.run(["--job-config", str(job)]) == 1
    assert "job.json is larger than 100 bytes" in capsys.readouterr().err
