"""Words of a model → items, edited as a job config asks."""

from typing import Any

import pytest

from server.speechmatics.config import TranscriptionConfig
from server.speechmatics.items import Item, Turn, editor
from server.speechmatics.locales import speller
from server.speechmatics.render import text_of
from server.speechmatics.replacements import Patience, Replacements
from streaming.errors import BadMessage
from streaming.events import SAMPLE_RATE, Final, Reason, Word


def final(text: str, *, language: str = "en", channel: int = 0) -> Final:
    """Words of a third of a second, one after the other; `_` stands for no space before."""
    words = []
    for number, part in enumerate(text.split()):
        start = number * SAMPLE_RATE // 3
        spaced = not part.startswith("_")
        words.append(Word(part.lstrip("_"), start, start + SAMPLE_RATE // 3, 0.8, spaced=spaced))
    end = words[-1].end
    return Final(1, 0, end, tuple(words), language, 0.9, Reason.SILENCE, channel=channel)


def turn(text: str, language: str = "en", **asked: Any) -> Turn:
    config = TranscriptionConfig.model_validate({"language": language, **asked})
    (found,) = editor(config).turns([final(text, language=language)])
    return found


def items(text: str, language: str = "en", **asked: Any) -> list[Item]:
    return [item for token in turn(text, language, **asked).tokens for item in token]


def joined(text: str, language: str = "en", **asked: Any) -> str:
    return text_of(turn(text, language, **asked).tokens)


# ---- marks


def test_a_mark_stands_at_the_end_of_its_word() -> None:
    hello, comma, you, question = items("Hello, you?")
    assert (comma.text, comma.start, comma.end) == (",", hello.end, hello.end)
    assert (comma.attaches_to, comma.is_eos, comma.confidence) == ("previous", False, 1.0)
    assert (question.is_eos, you.is_eos) == (True, False)
    assert (hello.attaches_to, hello.confidence) == (None, 0.8)


@pytest.mark.parametrize(
    "said",
    [
        'He said "no", (twice) and left.',
        "¿Dónde está?",
        "Wait... what?!",
        "dogs' 'cause rock’n’roll",
        "Mr. J. Smith, e.g. this.",
        "It costs $20.50 at 5:30.",
    ],
)
def test_marks_and_words_join_to_what_was_written(said: str) -> None:
    assert joined(said) == said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Mr. Smith.", ["Mr.", "Smith"]),
        ("dogs' tails", ["dogs'", "tails"]),
        ("'tis 'quoted'", ["'tis", "quoted"]),
        ("well _-known", ["well-known"]),
        ("$20.50.", ["$20.50"]),
        ("one – two", ["one", "two"]),
    ],
)
def test_what_belongs_to_a_word(said: str, words: list[str]) -> None:
    assert [item.text for item in items(said) if not item.attaches_to] == words


def test_only_the_last_of_several_marks_ends_the_sentence() -> None:
    marks = [item for item in items("What?!") if item.attaches_to]
    assert [(mark.text, mark.is_eos) for mark in marks] == [("?", False), ("!", True)]


@pytest.mark.parametrize(
    ("permitted", "joins"),
    [([], "Hello you there"), ([","], "Hello, you there"), (["all"], "Hello, you… there!")],
)
def test_marks_that_are_not_permitted_are_left_out(permitted: list[str], joins: str) -> None:
    asked = {"permitted_marks": permitted}
    assert joined("Hello, you… there!", punctuation_overrides=asked) == joins


# ---- words


def test_disfluencies_and_profanity_are_tagged() -> None:
    um, _, what, the, hell = items("Um, what the fuck")
    assert (um.tags, what.tags, the.tags, hell.tags) == (("disfluency",), (), (), ("profanity",))


def test_what_is_no_disfluency_elsewhere_is_not_tagged() -> None:
    assert items("um", "pt")[0].tags == ()
    assert items("euh", "fr")[0].tags == ("disfluency",)


def test_disfluencies_are_removed_with_what_they_began_and_ended() -> None:
    asked = {"remove_disfluencies": True}
    said = "Um, what would you like, hmm?"
    assert joined(said, transcript_filtering_config=asked) == "What would you like?"


def test_what_sounds_like_a_word_is_written_as_it() -> None:
    vocabulary = [
        {"content": "gnocchi", "sounds_like": ["nyohki", "no key"]},
        {"content": "CEO", "sounds_like": ["C.E.O."]},
        "Met Office",
    ]
    said = "The C.E.O. likes no key, nyohki and met office."
    assert joined(said, additional_vocab=vocabulary) == (
        "The CEO likes gnocchi, gnocchi and met office."
    )


def test_a_respelled_word_spans_what_it_replaces() -> None:
    vocabulary = [{"content": "gnocchi", "sounds_like": ["no key"]}]
    (word,) = items("no key", additional_vocab=vocabulary)
    assert (word.start, word.end) == (0, 667)


def test_codes_are_theirs() -> None:
    assert items("你 _好", "zh")[0].language == "cmn"


# ---- replacements


def rewritten(said: str, *rules: tuple[str, str]) -> str:
    asked = {"replacements": [{"from": a, "to": b} for a, b in rules]}
    return joined(said, transcript_filtering_config=asked)


@pytest.mark.parametrize(
    ("said", "rules", "written"),
    [
        ("foo Foo, foo.", [("foo", "bar")], "bar Foo, bar."),
        ("Hello hello", [("/^[hH]ello$/", "goodbye")], "goodbye goodbye"),
        ("my cheese", [("/(cheese)/", "[$1]")], "my [cheese]"),
        ("1234 55", [("/\\d/", "#")], "#### ##"),
        ("cat", [("/c/", "b"), ("cat", "dog")], "dog"),
        ("cat", [("/c/", "b"), ("/a/", "x")], "bat"),
        ("new york, please", [("new york", "NY")], "NY, please"),
        ("drop this now.", [("this", "")], "drop now."),
        ("Abc", [("/^a/i", "$$$&")], "$Abc"),
        ("ab", [("/(?<x>a)b/", "$<x>$2")], "a$2"),
    ],
)
def test_replacements(said: str, rules: list[tuple[str, str]], written: str) -> None:
    assert rewritten(said, *rules) == written


def test_an_expression_that_is_none() -> None:
    with pytest.raises(BadMessage, match="is not a regular expression"):
        Replacements([("/(/", "")])


def test_an_expression_that_would_take_for_ever_is_stopped() -> None:
    with pytest.raises(BadMessage, match="takes too long"):
        Replacements([(r"/^(\w|\w\w|a)*$/", "")]).find(["a" * 60 + "!"])


def test_an_expression_that_writes_without_end_is_stopped() -> None:
    with pytest.raises(BadMessage, match="more than 4000 characters are written for a word"):
        Replacements([("/(?:)/", "x" * 1000)]).find(["welcome"])
    assert Replacements([("/(?:)/", "x" * 1000)]).find(["as"])[0].text.count("x") == 3000


def test_many_expressions_may_look_at_the_same_words_for_hours() -> None:
    rules = [(rf"/\b{letter}+(ing|s)?\b/i", "") for letter in "bcdefghjklmnopqrstuvwxyz"]
    found = Replacements(rules, Patience(0.25, 0.05))
    words = ["the", "same", "words", "time", "and", "again"]
    for _ in range(1000):
        assert found.find(words) == []


# ---- locales


@pytest.mark.parametrize(
    ("locale", "word", "written"),
    [
        ("en-GB", "color", "colour"),
        ("en-GB", "Organizing", "Organising"),
        ("en-AU", "TRAVELED", "TRAVELLED"),
        ("en-US", "favourite", "favorite"),
        ("en-US", "Programme", "Program"),
        ("en-GB", "program", "program"),
        ("en-US", "our", "our"),
        ("en-GB", "size", "size"),
        ("en-GB", "prize", "prize"),
        ("en-US", "exercise", "exercise"),
        ("cmn-Hant", "汉语", "漢語"),
        ("cmn-Hans", "漢語", "汉语"),
    ],
)
def test_words_are_spelled_as_is_usual_there(locale: str, word: str, written: str) -> None:
    assert speller(locale).spell(word) == written


def test_a_locale_is_for_its_own_language() -> None:
    assert joined("color", output_locale="en-GB") == "colour"
    assert joined("color", "de", output_locale="en-GB") == "color"
