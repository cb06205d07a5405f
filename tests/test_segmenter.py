from streaming.events import HOP, samples
from streaming.options import EndpointingOptions
from streaming.segmenter import Segmenter, Step

LONGEST = samples(10_000)


def push(
    segmenter: Segmenter, probability: float, hops: int, confidence: float = 0.0
) -> list[Step]:
    steps = [segmenter.push(probability, confidence) for _ in range(hops)]
    return [step for step in steps if step is not Step.NOTHING]


def speaking(**options: float) -> Segmenter:
    segmenter = Segmenter(EndpointingOptions.model_validate(options), LONGEST)
    push(segmenter, 0.0, 10)
    assert push(segmenter, 0.9, 20) == [Step.STARTED]
    return segmenter


def test_speech_begins_after_the_least_duration_and_is_dated_back() -> None:
    segmenter = Segmenter(EndpointingOptions(speech_ms_min=96), LONGEST)
    push(segmenter, 0.1, 5)
    assert push(segmenter, 0.9, 2) == []
    assert push(segmenter, 0.9, 1) == [Step.STARTED]
    assert segmenter.onset == 5 * HOP


def test_a_click_is_not_speech() -> None:
    segmenter = Segmenter(EndpointingOptions(), LONGEST)
    assert push(segmenter, 0.9, 1) == []
    assert push(segmenter, 0.0, 50) == []
    assert segmenter.onset is None


def test_speech_ends_after_the_silence_asked_for() -> None:
    segmenter = speaking(silence_ms=320)
    assert push(segmenter, 0.0, 9) == []
    assert push(segmenter, 0.0, 1) == [Step.ENDED]
    assert segmenter.speech_end == 30 * HOP


def test_confident_words_shorten_the_silence() -> None:
    segmenter = speaking(silence_ms=640, silence_confident_ms=160, end_confidence=0.7)
    assert push(segmenter, 0.0, 6, confidence=0.69) == []
    assert push(segmenter, 0.0, 1, confidence=0.71) == [Step.ENDED]


def test_a_short_pause_does_not_end_it() -> None:
    segmenter = speaking(silence_ms=320)
    assert push(segmenter, 0.0, 5) == []
    assert push(segmenter, 0.9, 5) == []
    assert push(segmenter, 0.0, 9) == []


def test_between_the_thresholds_speech_goes_on_but_does_not_begin() -> None:
    assert push(speaking(), 0.4, 100) == []
    segmenter = Segmenter(EndpointingOptions(), LONGEST)
    assert push(segmenter, 0.4, 100) == []


def test_a_long_utterance_ends_at_ever_shorter_pauses() -> None:
    segmenter = speaking(silence_ms=640, silence_confident_ms=640)
    push(segmenter, 0.9, 260)  # 9 of 10 s
    assert push(segmenter, 0.0, 8)[0] is Step.PAUSED


def paused(**options: float) -> Segmenter:
    """After 9 of 10 s of speech and a pause that was enough for those."""
    segmenter = speaking(silence_ms=640, **options)
    push(segmenter, 0.9, 260)
    assert Step.PAUSED in [segmenter.push(0.0) for _ in range(8)]
    segmenter.end()
    return segmenter


def test_after_a_cut_the_silence_that_was_asked_for_is_told_once() -> None:
    segmenter = paused(silence_confident_ms=640)
    assert push(segmenter, 0.0, 11) == []
    assert push(segmenter, 0.0, 1) == [Step.SETTLED]
    assert push(segmenter, 0.0, 100) == []


def test_after_a_cut_confident_words_shorten_the_silence() -> None:
    segmenter = paused(silence_confident_ms=320)
    assert push(segmenter, 0.0, 1, confidence=0.9) == []
    assert push(segmenter, 0.0, 1, confidence=0.9) == [Step.SETTLED]


def test_speech_that_goes_on_after_a_cut_is_not_settled() -> None:
    segmenter = paused()
    assert push(segmenter, 0.9, 10) == [Step.STARTED]
    assert push(segmenter, 0.0, 20) == [Step.ENDED]


def test_a_click_after_a_cut_does_not_start_the_silence_anew() -> None:
    segmenter = paused(silence_confident_ms=640)
    assert push(segmenter, 0.9, 1) == []
    assert push(segmenter, 0.0, 10) == []
    assert push(segmenter, 0.0, 1) == [Step.SETTLED]


def test_at_a_confidence_of_one_silence_alone_ends_an_utterance() -> None:
    segmenter = speaking(silence_ms=320, silence_confident_ms=160, end_confidence=1)
    assert push(segmenter, 0.0, 9, confidence=1.0) == []
    assert push(segmenter, 0.0, 1, confidence=1.0) == [Step.ENDED]


def test_at_a_confidence_of_nought_the_shorter_silence_is_always_enough() -> None:
    segmenter = speaking(silence_ms=320, silence_confident_ms=160, end_confidence=0)
    assert push(segmenter, 0.0, 5) == [Step.ENDED]


def test_speech_without_a_pause_is_full_in_time() -> None:
    segmenter = speaking()
    hops = next(i for i in range(400) if segmenter.push(0.9) is Step.FULL)
    assert (20 + hops + 1) * HOP + samples(250) <= LONGEST + HOP


def test_the_quietest_place_is_found() -> None:
    segmenter = speaking()
    push(segmenter, 0.9, 20)
    push(segmenter, 0.4, 3)
    push(segmenter, 0.9, 20)
    at, probability = segmenter.quietest(15 * HOP, segmenter.position)
    assert 50 * HOP <= at <= 53 * HOP
    assert probability < 0.5


def test_after_a_split_speech_goes_on_without_beginning_again() -> None:
    segmenter = speaking()
    push(segmenter, 0.9, 30)
    segmenter.split(40 * HOP)
    assert segmenter.onset == 40 * HOP
    assert segmenter.speaking
    assert len(segmenter.history) == 20
    assert push(segmenter, 0.0, 17) == [Step.ENDED]
