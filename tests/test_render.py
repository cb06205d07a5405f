import json
from dataclasses import replace

import pysubs2
import pytest

from batch.backends.base import ModelInfo
from batch.files import Transcript
from server.render import Format, as_json, cues, render
from server.subtitles import CUE_MAX, DEFAULT
from streaming.events import SAMPLE_RATE, Account, Final, Reason, Warned, Word

MODEL = ModelInfo("nano", "whisper", "cpu", "int8", "named")


def final(
    text: str, start: float = 0.0, *, pace: float = 0.3, channel: int = 0, spaced: bool = True
) -> Final:
    """Each word lasts `pace` seconds."""
    at = round(start * SAMPLE_RATE)
    step = round(pace * SAMPLE_RATE)
    texts = text.split("|")
    words = tuple(
        Word(w, at + i * step, at + (i + 1) * step, 0.9, spaced=spaced) for i, w in enumerate(texts)
    )
    return Final(1, at, at + len(texts) * step, words, "en", 0.97, Reason.SILENCE, channel=channel)


def transcript(*finals: Final, channels: int = 1) -> Transcript:
    accounts = (Account(160_000, 100_000, 60_000, 0),) * channels
    return Transcript(finals, (), accounts, 160_000, MODEL, split=channels > 1)


def text(form: Format, *finals: Final, channels: int = 1) -> str:
    return render(transcript(*finals, channels=channels), form)[0]


HELLO = final("Hello|world.", 1.0)
SILENT = replace(final("", 3.0), words=())


def test_json_says_everything() -> None:
    warned = replace(transcript(HELLO), warnings=(Warned("truncated", "cut", 16_000, 16_000),))
    assert as_json(warned) == {
        "text": "Hello world.",
        "language": "en",
        "language_probability": 0.97,
        "duration": 10.0,
        "segments": [
            {
                "start": 1.0,
                "end": 1.6,
                "text": "Hello world.",
                "words": [
                    {"text": "Hello", "start": 1.0, "end": 1.3, "confidence": 0.9},
                    {"text": "world.", "start": 1.3, "end": 1.6, "confidence": 0.9},
                ],
                "language": "en",
            }
        ],
        "model": {
            "name": "nano",
            "backend": "whisper",
            "device": "cpu",
            "compute_type": "int8",
            "why": "named",
            "fallback": False,
        },
        "warnings": [
            {"code": "truncated", "message": "cut", "channel": 0, "start": 1.0, "end": 1.0}
        ],
        "account": {
            "received": 160_000,
            "transcribed": 100_000,
            "silence": 60_000,
            "dropped": 0,
            "sample_rate": 16_000,
        },
    }


def test_json_without_word_times_has_words_alone() -> None:
    untimed = as_json(replace(transcript(HELLO), timed=False))
    assert untimed["segments"][0]["words"] == [{"text": "Hello"}, {"text": "world."}]


def test_json_of_split_channels_names_them() -> None:
    whole = as_json(transcript(final("Yes.", 2, channel=1), HELLO, channels=2))
    assert [s["channel"] for s in whole["segments"]] == [0, 1]
    assert whole["text"] == "Hello world. Yes."
    assert [c["text"] for c in whole["channels"]] == ["Hello world.", "Yes."]
    assert whole["account"]["received"] == 320_000
    assert whole["channels"][1]["account"]["received"] == 160_000


def test_the_language_is_what_was_spoken_longest() -> None:
    german = replace(
        final("Guten|Tag|zusammen", 5), language="de", language_probability=0.5, utterance=2
    )
    whole = as_json(transcript(HELLO, german))
    assert (whole["language"], whole["language_probability"]) == ("de", 0.5)


def test_utterances_without_words_are_left_out() -> None:
    assert as_json(transcript(SILENT, HELLO))["text"] == "Hello world."
    assert text("text", SILENT, HELLO) == "Hello world.\n"


def test_text_has_a_line_for_each_segment() -> None:
    assert text("text", HELLO, final("Bye.", 5)) == "Hello world.\nBye.\n"


def test_text_of_split_channels_names_them() -> None:
    both = (HELLO, final("Yes.", 2, channel=1))
    assert text("text", *both, channels=2) == "Channel 1: Hello world.\nChannel 2: Yes.\n"


def test_languages_without_spaces_are_joined_without_them() -> None:
    assert text("text", final("你|好|世界。", spaced=False)) == "你好世界。\n"


def test_tsv_escapes_what_separates() -> None:
    odd = final("a\tb|c\nd|e\\f", 1.0)
    assert text("tsv", odd) == "start_ms\tend_ms\ttext\n1000\t1900\ta\\tb c\\nd e\\\\f\n"


def test_tsv_of_split_channels_has_a_column_for_them() -> None:
    rows = text("tsv", HELLO, final("Yes.", 2, channel=1), channels=2).splitlines()
    assert rows[0] == "start_ms\tend_ms\tchannel\ttext"
    assert rows[2] == "2000\t2300\t1\tYes."


def test_srt() -> None:
    assert text("srt", HELLO) == "1\n00:00:01,000 --> 00:00:02,000\nHello world.\n\n"


def test_vtt() -> None:
    expected = "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\nHello world.\n\n"
    assert text("vtt", HELLO) == expected


def test_vtt_of_split_channels_has_voices() -> None:
    both = (HELLO, final("Yes.", 1.2, channel=1))
    lines = text("vtt", *both, channels=2).splitlines()
    assert "<v Channel 1>Hello world." in lines
    assert "<v Channel 2>Yes." in lines


@pytest.mark.parametrize(
    ("form", "empty"),
    [("text", ""), ("srt", ""), ("vtt", "WEBVTT\n\n"), ("tsv", "start_ms\tend_ms\ttext\n")],
)
def test_nothing_said_gives_a_valid_empty_document(form: Format, empty: str) -> None:
    assert text(form, SILENT) == empty


def test_nothing_said_gives_json_without_segments() -> None:
    whole = json.loads(text("json"))
    assert whole["text"] == ""
    assert whole["segments"] == []
    assert whole["language"] is None


def test_vtt_escapes_what_is_markup_there() -> None:
    assert "&lt;b&gt; R&amp;D --&gt;" in text("vtt", final("<b>|R&D|-->"))


def test_srt_lets_nothing_look_like_a_tag_or_an_arrow() -> None:
    srt = text("srt", final("<b>|3|<|4|-->"))
    assert "<b>" not in srt
    assert "3 < 4" in srt
    assert srt.count("-->") == 1


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_a_backslash_is_not_an_order_to_the_subtitle_library(form: Format) -> None:
    document = text(form, final("C:\\New|{\\p1}|\\h"))
    assert "C:\\\u2060New {\\\u2060p1} \\\u2060h" in document


LONG = "|".join(f"word{i}," if i % 7 == 6 else f"word{i}" for i in range(60)) + "."


def test_long_segments_are_cut_into_readable_cues() -> None:
    found = cues(transcript(final(LONG)))
    assert len(found) > 5
    assert " ".join(" ".join(cue.lines) for cue in found) == LONG.replace("|", " ")
    assert max(len(cue.lines) for cue in found) == 2
    assert max(len(line) for cue in found for line in cue.lines) <= DEFAULT.width
    assert max(cue.end - cue.start for cue in found) <= CUE_MAX
    assert all(cue.lines[-1].endswith((",", ".")) for cue in found)


def test_slow_speech_is_cut_by_time() -> None:
    found = cues(transcript(final("one|two|three|four|five|six", pace=2.0)))
    assert [cue.lines for cue in found] == [("one two three",), ("four five six",)]
    assert found[1].start == 6 * SAMPLE_RATE


def test_cues_are_cut_after_a_sentence_where_there_is_one() -> None:
    found = cues(transcript(final("a|" * 20 + "sentence.|" + "And|more|" * 12 + "end.")))
    assert found[0].lines[-1].endswith("sentence.")


def test_wide_characters_count_twice() -> None:
    found = cues(transcript(final("|".join("漢" * 90), spaced=False, pace=0.05)))
    assert max(len(line) for cue in found for line in cue.lines) <= DEFAULT.width // 2
    assert "".join(line for cue in found for line in cue.lines) == "漢" * 90


def test_a_word_longer_than_a_line_is_kept_whole() -> None:
    found = cues(transcript(final("see|" + "x" * 100 + "|there")))
    assert "x" * 100 in [line for cue in found for line in cue.lines]


def test_without_word_times_cues_follow_the_length_of_the_words() -> None:
    untimed = replace(
        final(LONG), words=tuple(replace(w, start=0, end=0) for w in final(LONG).words)
    )
    found = cues(replace(transcript(untimed), timed=False))
    assert len(found) > 5
    assert found == sorted(found, key=lambda cue: cue.start)
    assert found[-1].end <= untimed.end + SAMPLE_RATE


def test_a_short_cue_stays_for_a_second_unless_the_next_comes() -> None:
    found = cues(transcript(final("Yes.", 1.0), final("No.", 1.5), final("So.", 9.0)))
    assert [(c.start / SAMPLE_RATE, c.end / SAMPLE_RATE) for c in found] == [
        (1.0, 1.5),
        (1.5, 2.5),
        (9.0, 10.0),
    ]


def test_overlapping_segments_do_not_give_overlapping_cues() -> None:
    found = cues(transcript(final("one|two|three", 1.0), final("four", 1.5)))
    assert found[0].end <= found[1].start


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_the_subtitle_library_reads_back_what_was_written(form: Format) -> None:
    read = pysubs2.SSAFile.from_string(text(form, final(LONG), final("Bye.", 30)), form)
    assert " ".join(event.plaintext.replace("\n", " ") for event in read) == (
        LONG.replace("|", " ") + " Bye."
    )
    assert read[-1].start == 30_000
