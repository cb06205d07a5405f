from streaming import quality
from streaming.events import Hypothesis, Word, samples


def hypothesis(text: str, **fields: float) -> Hypothesis:
    said = tuple(
        Word(part, samples(i * 300), samples(i * 300 + 300), 0.9)
        for i, part in enumerate(text.split())
    )
    return Hypothesis(words=said, **fields)  # type: ignore[arg-type]


TEN_SECONDS = samples(10_000)


def test_ordinary_text_is_fine() -> None:
    assert quality.fault(hypothesis("open the door please"), TEN_SECONDS) == ""


def test_no_words_are_a_fault_unless_the_model_hears_nobody() -> None:
    assert quality.fault(hypothesis("", no_speech_probability=0.9), TEN_SECONDS) == ""
    assert quality.fault(hypothesis("", no_speech_probability=0.1), TEN_SECONDS) == "empty"


def test_characters_of_a_script_without_spaces_are_not_counted_as_words() -> None:
    said = tuple(
        Word(c, 0, samples(1000), 0.9, spaced=False) for c in "我今天要去图书馆借书还要买菜"
    )
    assert quality.fault(Hypothesis(words=said), samples(1000)) == ""


def test_loops_are_noticed() -> None:
    assert quality.fault(hypothesis("thank you " * 7), TEN_SECONDS) == "repetition"
    assert quality.fault(hypothesis("so " * 12), TEN_SECONDS) == "repetition"


def test_people_may_repeat_themselves() -> None:
    assert quality.fault(hypothesis("no no no no stop it"), TEN_SECONDS) == ""
    assert quality.fault(hypothesis("zero zero zero zero zero zero one"), TEN_SECONDS) == ""


def test_running_into_the_token_limit_is_a_fault() -> None:
    assert quality.fault(hypothesis("a b c", ended=False), TEN_SECONDS) == "no end"


def test_improbable_and_compressible_text_is_a_fault() -> None:
    assert quality.fault(hypothesis("a b", log_probability=-1.2), TEN_SECONDS) == "improbable"
    assert quality.fault(hypothesis("a b", compression_ratio=2.5), TEN_SECONDS) == "compression"


def test_more_words_than_anybody_can_say_are_a_fault() -> None:
    text = " ".join(f"w{i}" for i in range(20))
    assert quality.fault(hypothesis(text), samples(1000)) == "too many words"


def test_silence_needs_the_model_to_be_sure_or_the_words_to_be_poor() -> None:
    assert quality.is_silence(hypothesis("", no_speech_probability=0.9))
    assert not quality.is_silence(hypothesis("", no_speech_probability=0.1))
    assert not quality.is_silence(hypothesis("hello", no_speech_probability=0.9))
    assert quality.is_silence(hypothesis("hello", no_speech_probability=0.9, log_probability=-1.5))


def test_speech_after_the_last_word_is_noticed_beyond_a_second() -> None:
    said = hypothesis("open the door")  # ends at 0.9 s
    assert quality.uncovered(said, 0, samples(1800)) == 0
    assert quality.uncovered(said, 0, samples(2000)) == samples(1100)
    assert quality.uncovered(hypothesis(""), samples(500), samples(2000)) == samples(1500)
