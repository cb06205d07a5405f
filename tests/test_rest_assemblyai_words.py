"""What AssemblyAI's API does to words, and how it divides them."""

import itertools
from typing import Any

import pytest

from server.rest.assemblyai_parts import (
    captions,
    paragraphs,
    search,
    sentences,
    subtitles,
    utterances,
)
from server.rest.assemblyai_words import words_of
from server.spoken import Said, mean_confidence, text_of
from streaming.events import Final, Reason
from tests.assemblyai_rigs import final, options, transcript


def words(*finals: Final, **asked: Any) -> list[Said]:
    found = words_of(transcript(*finals), options(**asked))
    return [word for each in found for word in each]


def text(said: str, language: str = "en", **asked: Any) -> str:
    return text_of(words(final(said, language=language), **asked))


def texts(parts: list[list[Said]]) -> list[str]:
    return [text_of(part) for part in parts]


# ---- words


def test_words_have_milliseconds_and_joined_by_spaces_are_the_text() -> None:
    found = words(final("Hello, good morning.", 500), final("Bye.", 3000))
    assert [(w.start, w.end) for w in found] == [
        (500, 750),
        (800, 1050),
        (1100, 1350),
        (3000, 3250),
    ]
    assert " ".join(w.text for w in found) == text_of(found) == "Hello, good morning. Bye."


def test_what_is_written_without_a_space_is_one_word_where_spaces_are_written() -> None:
    found = words(final("A well ~-known price: 3 ~.5 ~%"))
    assert [w.text for w in found] == ["A", "well-known", "price:", "3.5%"]
    assert (found[1].start, found[1].end) == (300, 850)


def test_where_no_spaces_are_written_words_stay_apart() -> None:
    found = words(
        final("~今天 ~天气 ~很好。", language="zh"), final("~再见。", 2000, language="zh")
    )
    assert [w.text for w in found] == ["今天", "天气", "很好。", "再见。"]
    assert text_of(found) == "今天天气很好。再见。"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Um, I think so.", "I think so."),
        ("Um, what is it?", "What is it?"),
        ("Well, uh, I think so, um.", "Well, I think so."),
        ("Really? Hmm. Uh-huh, yes.", "Really? Yes."),
        ("Uh ~-huh. Mhm.", ""),
        ("Humming umbrellas.", "Humming umbrellas."),
    ],
)
def test_fillers_are_left_out_unless_wanted(said: str, kept: str) -> None:
    assert text(said) == kept
    assert text(said, disfluencies=True) == said.replace(" ~", "")


def test_fillers_of_english_are_words_elsewhere() -> None:
    assert text("Um fünf Uhr.", "de") == "Um fünf Uhr."


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"punctuate": False}, "Mr Smith's bill is 3.5 he said Right"),
        ({"format_text": False}, "mr. smith's bill is 3.5, he said – «right?»"),
        ({"punctuate": False, "format_text": False}, "mr smith's bill is 3.5 he said right"),
    ],
)
def test_punctuation_and_formatting_can_be_left_off(asked: dict[str, Any], shown: str) -> None:
    assert text("Mr. Smith's bill is 3.5, he said – «Right?»", **asked) == shown


@pytest.mark.parametrize(
    ("said", "language", "shown"),
    [
        ("What the fuck, Fucking hell!", "en", "What the f***, F****** hell!"),
        ("This bullshit passes for class.", "en", "This b******* passes for class."),
        ("Ein Ass und so eine Scheiße.", "de", "Ein Ass und so eine S******."),
        ("C'est bien en retard.", "fr", "C'est bien en retard."),
    ],
)
def test_profanity_becomes_asterisks_if_wanted(said: str, language: str, shown: str) -> None:
    assert text(said, language, filter_profanity=True) == shown
    assert text(said, language) == said


def test_audio_tags_are_removed_if_wanted() -> None:
    said = "[MUSIC] Hello [Speaker: A] there."
    assert text(said, remove_audio_tags="all") == "Hello there."
    assert text(said) == said


SPELLINGS = [
    {"from": ["k8s", "kubernetes"], "to": "Kubernetes"},
    {"from": ["assembly ai", "assembly"], "to": "AssemblyAI"},
]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("We run K8S, or kubernetes.", "We run Kubernetes, or Kubernetes."),
        ("With Assembly AI? An assembly.", "With AssemblyAI? An AssemblyAI."),
        ('He said "assembly ai".', 'He said "AssemblyAI".'),
        ("Assembly, and AI.", "AssemblyAI, and AI."),
    ],
)
def test_words_are_spelled_as_wanted(said: str, shown: str) -> None:
    assert text(said, custom_spelling=SPELLINGS) == shown


def test_a_spelling_is_not_formatted_away_and_takes_the_time_of_all_its_words() -> None:
    found = words(final("Use Assembly AI now."), custom_spelling=SPELLINGS, format_text=False)
    assert [w.text for w in found] == ["use", "AssemblyAI", "now."]
    assert (found[1].start, found[1].end) == (300, 850)


def test_nothing_said_is_no_words() -> None:
    assert words(final("")) == []
    assert words(final("Um.")) == []
    assert mean_confidence([]) == 0.0


# ---- sentences and paragraphs


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("One two. Three? Four!", ["One two.", "Three?", "Four!"]),
        ("Mr. Smith met J. Doe. He left", ["Mr. Smith met J. Doe.", "He left"]),
        ('He said "no." Then, e.g. now.', ['He said "no."', "Then, e.g. now."]),
        ("So am I. And you?", ["So am I.", "And you?"]),
    ],
)
def test_sentences_end_where_the_model_ended_them(said: str, parts: list[str]) -> None:
    assert texts(sentences(words(final(said)))) == parts


def test_sentences_stay_the_same_without_punctuation() -> None:
    found = words(final("Yes, I do. Um. Do you?"), punctuate=False, format_text=False)
    assert texts(sentences(found)) == ["yes i do", "do you"]


def test_without_any_punctuation_pauses_end_sentences() -> None:
    said = [
        final("one two", 0, reason=Reason.LENGTH),
        final("three", 900),
        final("four five", 3000),
    ]
    assert texts(sentences(words(*said))) == ["one two three", "four five"]


def test_a_pause_length_and_time_begin_paragraphs() -> None:
    near = [final("One. Two."), final("Three.", 1000)]
    assert texts(paragraphs(words(*near))) == ["One. Two. Three."]
    assert texts(paragraphs(words(*near, final("Four.", 4000)))) == ["One. Two. Three.", "Four."]
    long = " ".join(["Thirteencharacters."] * 60)
    assert [len(p) for p in texts(paragraphs(words(final(long))))] == [519, 519, 159]


@pytest.mark.parametrize("divide", [sentences, paragraphs, lambda w: captions(w, 20)])
def test_parts_are_all_of_the_words(divide: Any) -> None:
    said = [final("One two. Three four five six seven", i * 4000, channel=i % 2) for i in range(5)]
    found = words(*said)
    assert list(itertools.chain.from_iterable(divide(found))) == found
    assert all(divide(found))


# ---- channels


def test_utterances_go_turn_by_turn() -> None:
    said = [
        final("Hello.", 0),
        final("How are you?", 900),
        final("Fine.", 2000, channel=1),
        final("Good.", 2500),
    ]
    found = utterances(words_of(transcript(*said, split=True), options(multichannel=True)))
    assert texts(found) == ["Hello. How are you?", "Fine.", "Good."]
    assert [turn[0].channel for turn in found] == [0, 1, 0]


def test_no_sentence_goes_from_one_channel_to_another() -> None:
    said = [final("And then", 0), final("Yes", 700, channel=1), final("it was over.", 1200)]
    assert texts(sentences(words(*said))) == ["And then", "Yes", "it was over."]


# ---- captions


def test_captions_keep_to_their_length() -> None:
    found = words(final("Good morning. I need a new password for my unbelievablylongname. Yes."))
    lengths = [len(line) for line in texts(captions(found, 20))]
    assert all(length <= 20 for length in lengths if length != len("unbelievablylongname."))
    assert texts(captions(found, 20)) == [
        "Good morning.",
        "I need a new",
        "password for my",
        "unbelievablylongname.",
        "Yes.",
    ]
    assert texts(captions(found, 200)) == [text_of(found)]


def test_captions_do_not_go_over_a_pause() -> None:
    assert texts(captions(words(final("One."), final("Two.", 5000)), 84)) == ["One.", "Two."]


def test_srt_and_vtt() -> None:
    found = words(final("A <b> & c --> d.", 250), final("Late.", 3_725_000))
    assert subtitles(found, "srt", 84) == (
        "1\n00:00:00,250 --> 00:00:02,000\nA <\u2060b> & c --\u2060> d.\n\n"
        "2\n01:02:05,000 --> 01:02:05,250\nLate.\n\n"
    )
    assert subtitles(found, "vtt", 84) == (
        "WEBVTT\n\n00:00.250 --> 00:02.000\nA &lt;b&gt; &amp; c --&gt; d.\n\n"
        "01:02:05.000 --> 01:02:05.250\nLate.\n\n"
    )
    assert subtitles([], "srt", 84) == ""
    assert subtitles([], "vtt", 84) == "WEBVTT\n\n"


# ---- search


def test_words_and_phrases_are_found_whatever_their_case_and_punctuation() -> None:
    found = search(words(final("New York, new jobs. NEW YORK!")), ["new york", "NEW", "old"])
    assert [(m.text, m.timestamps, m.indexes) for m in found] == [
        ("new york", [(0, 550), (1200, 1750)], [0, 4]),
        ("NEW", [(0, 250), (600, 850), (1200, 1450)], [0, 2, 4]),
    ]
