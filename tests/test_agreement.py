from dataclasses import replace

from streaming.agreement import AGE, HALF_HEARD, MARGIN, Agreement
from streaming.events import Word, samples


def words(text: str, each_ms: int = 300) -> tuple[Word, ...]:
    return tuple(
        Word(part, samples(i * each_ms), samples((i + 1) * each_ms), 0.9, (i,))
        for i, part in enumerate(text.split())
    )


def stable(agreement: Agreement) -> str:
    return " ".join(w.text for w in agreement.stable)


def test_words_that_stand_long_enough_become_stable_but_the_last() -> None:
    agreement = Agreement()
    agreement.push(words("open the door"), samples(1100))
    assert stable(agreement) == ""
    agreement.push(words("open the door please"), samples(1100) + AGE)
    assert stable(agreement) == "open the door"


def test_agreement_has_to_last() -> None:
    agreement = Agreement()
    for moment in range(0, 380, 32):
        agreement.push(words("open the door"), samples(2000 + moment))
    assert stable(agreement) == ""


def test_a_word_that_changes_starts_again() -> None:
    agreement = Agreement()
    agreement.push(words("open the door"), samples(2000))
    agreement.push(words("open a door"), samples(2300))
    agreement.push(words("open a door"), samples(2420))
    assert stable(agreement) == "open"
    agreement.push(words("open a door now"), samples(2700) + AGE)
    assert stable(agreement) == "open a door"


def test_a_word_at_the_edge_of_the_window_may_still_grow() -> None:
    agreement = Agreement()
    edge = samples(600) + MARGIN - 1
    agreement.push(words("turn on off"), edge)
    grown = [
        replace(word, end=word.end + AGE * (word.text == "on")) for word in words("turn on off")
    ]
    agreement.push(grown, edge + AGE)
    assert stable(agreement) == "turn"
    agreement.push(grown, edge + AGE + 1)
    assert stable(agreement) == "turn on"


def test_a_word_stands_from_when_more_than_a_half_of_it_was_heard() -> None:
    """What a model hears in the first sounds of "My account"."""
    agreement = Agreement()
    much = Word("Much", 0, samples(600), 0.9, (1,))
    then = Word("account", samples(600), samples(700), 0.9, (2,))
    half = samples(600) + HALF_HEARD - 1
    agreement.push([much], samples(600))
    agreement.push([much, then], half)
    agreement.push([much, then], half + AGE)
    assert stable(agreement) == ""
    agreement.push([much, then], half + 2 * AGE)
    assert stable(agreement) == "Much"


def test_an_end_mark_has_to_stand_longer() -> None:
    agreement = Agreement()
    agreement.push(words("stop. start now"), samples(2000))
    agreement.push(words("stop. start now"), samples(2000) + AGE)
    assert stable(agreement) == ""
    agreement.push(words("stop. start now"), samples(3000))
    assert stable(agreement) == "stop. start"


def test_stable_words_survive_a_contradiction() -> None:
    agreement = Agreement()
    agreement.push(words("open the door now"), samples(2000))
    agreement.push(words("open the door now"), samples(2500))
    assert stable(agreement) == "open the door"
    agreement.push(words("close it"), samples(2600))
    agreement.push(words("close it"), samples(3600))
    assert stable(agreement) == "open the door"


def test_a_word_the_model_doubts_is_not_stable() -> None:
    doubtful = (replace(words("much")[0], confidence=0.4), *words("account number is")[1:])
    agreement = Agreement()
    agreement.push(doubtful, samples(2000))
    agreement.push(doubtful, samples(3000))
    assert stable(agreement) == ""
