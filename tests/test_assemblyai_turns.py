"""Utterances → turns, by hand."""

from typing import Any

from server.protocols.assemblyai_turns import TURN_MS_MAX, Style, Turn, Turns, text_of
from streaming.events import Final, Partial, Reason, Word, samples

WORD_MS = 300


def said(text: str, at: int = 0, stable: int = 0) -> tuple[Word, ...]:
    """Words every 300 ms from `at` ms, the first `stable` of them so; after `~` without a space."""
    return tuple(
        Word(
            part.removeprefix("~"),
            samples(at + i * WORD_MS),
            samples(at + (i + 1) * WORD_MS),
            0.9,
            stable=i < stable,
            spaced=not part.startswith("~"),
        )
        for i, part in enumerate(text.replace("~", " ~").split())
    )


def partial(text: str, *, stable: int = 0, at: int = 0, language: str = "en") -> Partial:
    words = said(text, at, stable)
    return Partial(1, samples(at), words[-1].end, words, language, end_confidence=0.3)


def final(text: str, *, at: int = 0, **fields: Any) -> Final:
    words = said(text, at, stable=100)
    end = words[-1].end if words else samples(at)
    known = {"language": "en", "language_probability": 0.8, "reason": Reason.SILENCE}
    return Final(1, samples(at), end, words, end_confidence=0.9, **{**known, **fields})


def turns(**style: bool) -> Turns:
    return Turns(Style(**style))


def told(turn: Turn | None) -> Turn:
    assert turn is not None
    return turn


def text(turn: Turn | None) -> str:
    return text_of(told(turn).words)


def fixed(turn: Turn | None) -> list[str]:
    return [word.text for word in told(turn).words if word.is_final]


def test_a_partial_is_the_whole_turn_so_far() -> None:
    wire = turns()
    assert text(wire.partial(partial("Good"))) == "Good"
    turn = told(wire.partial(partial("Good morning every", stable=1)))
    assert (text_of(turn.words), turn.order, turn.is_end) == ("Good morning every", 0, False)
    assert fixed(turn) == ["Good"]


def test_the_last_word_is_never_final_before_the_end() -> None:
    assert fixed(turns().partial(partial("Good morning", stable=2))) == ["Good"]


def test_the_end_has_all_words_final_and_the_next_turn_begins_anew() -> None:
    wire = turns()
    wire.partial(partial("Good morn"))
    end = told(wire.final(final("Good morning.")))
    assert (text_of(end.words), end.order, end.is_end) == ("Good morning.", 0, True)
    assert fixed(end) == ["Good", "morning."]
    assert end.utterance == end.words
    following = told(wire.partial(partial("I", at=2000)))
    assert (text_of(following.words), following.order, following.start) == ("I", 1, 2000)


def test_final_words_stay_whatever_a_later_hypothesis_says() -> None:
    wire = turns()
    wire.partial(partial("one two three four", stable=2))
    assert text(wire.partial(partial("one too three four five", stable=0))) == (
        "one two three four five"
    )


def test_a_final_that_contradicts_is_joined_by_time() -> None:
    wire = turns()
    wire.partial(partial("one two three", stable=2))
    end = told(wire.final(final("won to three four")))
    assert text_of(end.words) == "one two three four"
    assert fixed(end) == ["one", "two", "three", "four"]


def test_final_words_keep_their_times_and_none_runs_back() -> None:
    wire = turns()
    first = told(wire.partial(partial("one two three", stable=2, at=200)))
    end = told(wire.final(final("one two three four", at=0)))
    assert end.words[:2] == first.words[:2]
    edges = [edge for word in end.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)


def test_what_is_written_without_a_space_belongs_to_the_word_before() -> None:
    assert [w.text for w in told(turns().final(final("a well~-known man"))).words] == [
        "a", "well-known", "man",
    ]  # fmt: skip


def test_a_word_that_may_still_grow_is_not_final() -> None:
    wire = turns()
    assert fixed(wire.partial(partial("well~-known", stable=1))) == []
    assert fixed(wire.partial(partial("well~-known man", stable=1))) == []
    assert fixed(wire.partial(partial("well~-known man", stable=2))) == ["well-known"]


def test_a_language_without_spaces_is_written_without() -> None:
    turn = told(turns().final(final("你~好", language="zh")))
    assert (text_of(turn.words), len(turn.words)) == ("你好", 2)


def test_unformatted_words_are_small_and_bare_from_the_first() -> None:
    wire = turns(formatted=False)
    assert text(wire.partial(partial("Good, morning! Is", stable=2))) == "good morning is"
    end = told(wire.final(final("Good, morning! Is - it?")))
    assert text_of(end.words) == "good morning is it"


def test_profanity_is_starred_from_the_first() -> None:
    wire = turns(without_profanity=True)
    assert text(wire.partial(partial("oh shit, that", stable=2))) == "oh s***, that"
    assert text(wire.final(final("oh shit, that hurt."))) == "oh s***, that hurt."


def test_nothing_is_told_of_a_sound_without_words() -> None:
    wire = turns()
    assert wire.final(final("")) is None
    assert told(wire.final(final("Hello."))).order == 0


def test_a_turn_that_was_told_ends_even_if_there_was_nothing_in_it() -> None:
    wire = turns()
    wire.partial(partial("Hm"))
    end = told(wire.final(final("")))
    assert (end.words, end.is_end, end.order) == ((), True, 0)
    assert told(wire.final(final("Hello."))).order == 1


def test_an_utterance_that_was_cut_goes_on_in_the_same_turn() -> None:
    wire = turns()
    first = told(wire.final(final("one two", continues=True)))
    assert (first.order, first.is_end, fixed(first)) == (0, False, ["one", "two"])
    assert text_of(first.utterance) == "one two"
    later = told(wire.partial(partial("three four", at=1000, stable=1)))
    assert (text_of(later.words), fixed(later)) == ("one two three four", ["one", "two", "three"])
    end = told(wire.final(final("three four.", at=1000)))
    assert (text_of(end.words), end.order, end.is_end) == ("one two three four.", 0, True)
    assert end.utterance == end.words


def test_silence_after_a_cut_ends_the_turn_once() -> None:
    wire = turns()
    wire.final(final("one two", continues=True))
    end = told(wire.ended())
    assert (text_of(end.words), end.is_end, end.confidence) == ("one two", True, 0.9)
    assert wire.ended() is None


def test_a_turn_without_a_pause_ends_in_time() -> None:
    wire = turns()
    wire.final(final("one", continues=True))
    assert told(wire.final(final("two", at=TURN_MS_MAX, continues=True))).is_end
    assert wire.ended() is None


def test_the_end_has_a_language() -> None:
    end = told(turns().final(final("Hallo.", language="de", language_probability=0.7)))
    assert (end.language, end.language_confidence) == ("de", 0.7)
