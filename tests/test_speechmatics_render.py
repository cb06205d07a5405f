"""Items → json-v2, text and subtitles."""

import json
from dataclasses import replace
from typing import Any

import pytest

from server.speechmatics.config import Asked, read
from server.speechmatics.items import editor
from server.speechmatics.languages import choose, pack_info, supported_of
from server.speechmatics.render import Rendering, as_json, as_srt, as_text
from streaming.errors import BadMessage
from streaming.events import SAMPLE_RATE, Final, Reason, Word

KNOWN = frozenset({"en", "de", "es", "zh", "ar"})


def asked(**transcription: Any) -> Asked:
    config: dict[str, Any] = {"type": "transcription", "transcription_config": transcription}
    if "output_config" in transcription:
        config["output_config"] = transcription.pop("output_config")
    return read(json.dumps(config))


def final(text: str, start: float, *, channel: int = 0, pace: float = 0.25) -> Final:
    step = round(pace * SAMPLE_RATE)
    first = round(start * SAMPLE_RATE)
    words = tuple(
        Word(part, first + n * step, first + (n + 1) * step, 0.75)
        for n, part in enumerate(text.split())
    )
    end = words[-1].end
    return Final(1, first, end, words, "en", 0.9, Reason.SILENCE, channel=channel)


def rendering(*finals: Final, channels: int = 1, **transcription: Any) -> Rendering:
    given = asked(**{"language": "en", **transcription})
    turns = editor(given.config.transcription_config).turns(finals)
    return Rendering(given, turns, ("en",), channels=channels)


def contents(told: dict[str, Any]) -> list[str]:
    return [item["alternatives"][0]["content"] for item in told["results"]]


def test_a_result_has_what_the_format_says() -> None:
    told = as_json(rendering(final("Hello.", 1.0)))
    assert told["results"] == [
        {
            "type": "word",
            "start_time": 1.0,
            "end_time": 1.25,
            "alternatives": [
                {"content": "Hello", "confidence": 0.75, "language": "en", "speaker": "UU"}
            ],
        },
        {
            "type": "punctuation",
            "start_time": 1.25,
            "end_time": 1.25,
            "attaches_to": "previous",
            "is_eos": True,
            "alternatives": [
                {"content": ".", "confidence": 1.0, "language": "en", "speaker": "UU"}
            ],
        },
    ]


def test_a_mark_stays_with_its_word_where_the_next_begins_at_once() -> None:
    assert contents(as_json(rendering(final("Yes. No.", 0)))) == ["Yes", ".", "No", "."]


def test_channels_are_merged_by_time_and_named() -> None:
    finals = (final("one two", 0, pace=1.0), final("three", 0.5, channel=1))
    told = as_json(rendering(*finals, channels=2, diarization="channel"))
    assert contents(told) == ["one", "three", "two"]
    assert [item["channel"] for item in told["results"]] == ["Channel 1", "Channel 2", "Channel 1"]


def test_a_job_is_told_where_there_is_one() -> None:
    assert as_json(rendering(final("a", 0)), {"id": "1"})["job"] == {"id": "1"}
    assert "job" not in as_json(rendering(final("a", 0)))


def test_the_config_is_told_as_it_was_given() -> None:
    told = as_json(rendering(final("a", 0), additional_vocab=["x"], enable_entities=None))
    assert told["metadata"]["transcription_config"] == {
        "language": "en",
        "additional_vocab": ["x"],
        "enable_entities": None,
    }


def test_text_is_one_line_without_channels() -> None:
    assert as_text(rendering(final("Hello, you.", 0), final("Bye.", 3))) == "Hello, you. Bye.\n"


def test_text_has_the_delimiters_of_what_was_spoken() -> None:
    mandarin = replace(final("你 好 。", 3), language="zh")
    finals = (final("Hello.", 0), mandarin, final("Bye.", 6))
    told = replace(rendering(*finals, language="cmn_en"), codes=("zh", "en"))
    assert as_text(told) == "Hello. 你好。 Bye.\n"


def test_subtitles_keep_to_the_lines_that_are_asked_for() -> None:
    long = final("This is a sentence that is much too long to be shown in one line.", 0)
    lines = as_srt(rendering(long)).split("\n\n")[0].splitlines()[2:]
    assert len(lines) == 2
    assert max(map(len, lines)) <= 37
    overrides = {"srt_overrides": {"max_line_length": 20, "max_lines": 1}}
    cues = as_srt(rendering(long, output_config=overrides)).strip().split("\n\n")
    assert all(len(cue.splitlines()) == 3 for cue in cues)
    assert all(len(cue.splitlines()[2]) <= 20 for cue in cues)


def test_three_lines_are_filled_before_a_cue_ends() -> None:
    long = final("aaaa bbbb cccc dddd eeee ffff", 0)
    overrides = {"srt_overrides": {"max_line_length": 9, "max_lines": 3}}
    told = as_srt(rendering(long, output_config=overrides))
    assert told.strip().splitlines()[2:] == ["aaaa bbbb", "cccc dddd", "eeee ffff"]


# ---- languages


@pytest.mark.parametrize(
    ("name", "domain", "codes"),
    [
        ("en", None, ("en",)),
        ("cmn", None, ("zh",)),
        ("cmn_en", None, ("zh", "en")),
        ("ar_en", None, ("ar", "en")),
        ("es", "bilingual-en", ("es", "en")),
        ("es", None, ("es",)),
        ("auto", None, ()),
    ],
)
def test_languages_by_their_names(name: str, domain: str | None, codes: tuple[str, ...]) -> None:
    assert choose(name, domain, KNOWN).codes == codes


@pytest.mark.parametrize("name", ["xx", "fr", "EN", "english", "en_GB"])
def test_a_language_that_is_not_there(name: str) -> None:
    with pytest.raises(BadMessage, match=f"language '{name}' is not supported; supported: ar, "):
        choose(name, None, KNOWN)


def test_packs_are_among_what_is_supported() -> None:
    assert supported_of({"zh", "en", "de"}) == ["cmn", "cmn_en", "de", "en"]


def test_a_pack_tells_of_each_of_its_languages() -> None:
    info = pack_info(("zh", "en"))
    assert info["language_description"] == "Mandarin and English"
    assert info["word_delimiter"] == ""
    assert info["per_language_word_delimiters"] == {"cmn": "", "en": " "}
    assert pack_info(("ar",))["writing_direction"] == "right-to-left"
