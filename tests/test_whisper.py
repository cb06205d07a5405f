"""The real faster-whisper path on the small model."""

import os
from dataclasses import replace

import numpy as np
import pytest

from batch.backends.base import ModelInfo, Task
from batch.backends.whisper import WhisperBackend
from batch.backends.windows import BUCKETS, bucket, frames_of, lengths
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.audio import to_float
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind, join
from tests.conftest import NANO, Recording


def task(recording: Recording, **fields: object) -> Task:
    audio = to_float(recording.pcm, "pcm_s16le")
    decode = Decode(1, 1, 1, Kind.FINAL, 0, len(audio), "en", **fields)  # type: ignore[arg-type]
    return Task(decode, audio)


def short(speech: list[Recording]) -> list[Recording]:
    return [r for r in speech if len(r.pcm) < 6 * 2 * SAMPLE_RATE]


def decode(backend: WhisperBackend, recording: Recording, **fields: object) -> Hypothesis:
    return backend.decode([task(recording, **fields)])[0]


def test_sentences_are_transcribed_exactly(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    found = {r.text: join(decode(backend, r).words) for r in short(speech)}
    assert list(found) == list(found.values())


def test_a_batch_gives_what_single_decodes_give(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    tasks = [task(r) for r in short(speech)]
    longest = max(t.decode.end for t in tasks)
    same = [t for t in tasks if bucket(t.decode.end, False) == bucket(longest, False)]
    assert len(same) > 1
    together = [join(h.words) for h in backend.decode(same)]
    assert together == [join(backend.decode([t])[0].words) for t in same]


def test_forced_prefixes_of_different_length_share_a_batch(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    recording = short(speech)[0]
    free = decode(backend, recording)
    tokens = [token for word in free.words for token in word.tokens]
    assert len(tokens) >= 3
    batch = [task(recording, prefix=tuple(tokens[:count])) for count in (0, 1, 2)]
    answers = backend.decode(batch)
    assert {join(h.words) for h in answers} == {join(free.words)}
    assert [[t for w in h.words for t in w.tokens] for h in answers] == [tokens] * 3


def test_what_is_forced_stays_even_when_it_is_wrong(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    wrong = backend.tokenize("yellow music")
    forced = decode(backend, short(speech)[0], prefix=wrong)
    assert [t for w in forced.words for t in w.tokens][: len(wrong)] == list(wrong)


@pytest.mark.parametrize("full", [False, True])
def test_trimmed_and_full_windows_agree(
    backend: WhisperBackend, speech: list[Recording], full: bool
) -> None:
    recording = short(speech)[1]
    assert join(decode(backend, recording, full=full).words) == recording.text


def test_a_temperature_draws_and_none_does_not(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    one, other = (task(r).audio for r in short(speech)[:2])
    length = min(len(one), len(other))
    mixed = (one[:length] + other[:length]) * np.float32(0.5)

    def said(temperature: float) -> set[str]:
        wanted = Decode(1, 1, 1, Kind.FILE, 0, length, "en", temperature=temperature)
        return {join(h.words) for h in backend.decode([Task(wanted, mixed)] * 8)}

    assert len(said(0.0)) == 1
    assert len(said(1.0)) > 1


def test_with_timestamps_the_words_are_the_same(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    recording = short(speech)[0]
    assert join(decode(backend, recording, timestamps=True).words) == recording.text


def test_word_times_follow_the_speech(backend: WhisperBackend, digits: list[Recording]) -> None:
    errors = []
    for recording in digits[:10]:
        found = decode(backend, recording).words
        if [w.text.strip(".,?").lower() for w in found] != [w for w, _, _ in recording.words]:
            continue
        errors += [
            abs(word.start / SAMPLE_RATE - start)
            for word, (_, start, _) in list(zip(found, recording.words, strict=True))[1:]
        ]
    assert len(errors) > 20
    assert np.median(errors) < 0.15


def test_confidence_is_a_probability_and_high_for_clear_speech(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    words = decode(backend, short(speech)[0]).words
    assert all(0 <= w.confidence <= 1 for w in words)
    assert np.mean([w.confidence for w in words]) > 0.7


def test_without_word_times_the_words_are_spread_over_the_window(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    recording = short(speech)[0]
    timed, untimed = decode(backend, recording), decode(backend, recording, word_times=False)
    assert join(timed.words) == join(untimed.words)
    assert untimed.words[0].start == 0
    assert untimed.words[-1].end <= len(recording.pcm) // 2


def test_times_are_those_of_the_stream(backend: WhisperBackend, speech: list[Recording]) -> None:
    recording = short(speech)[0]
    audio = to_float(recording.pcm, "pcm_s16le")
    at = 1_000_000
    shifted = Task(Decode(1, 1, 1, Kind.FINAL, at, at + len(audio), "en"), audio)
    plain = decode(backend, recording).words
    assert [w.start - at for w in backend.decode([shifted])[0].words] == [w.start for w in plain]


def test_silence_has_no_words(backend: WhisperBackend) -> None:
    audio = np.zeros(3 * SAMPLE_RATE, np.float32)
    silent = backend.decode([Task(Decode(1, 1, 1, Kind.FINAL, 0, len(audio), "en"), audio)])[0]
    assert silent.words == ()
    assert silent.no_speech_probability > 0.6


def test_languages_may_be_mixed_in_a_batch_and_detected(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    recording = short(speech)[0]
    audio = to_float(recording.pcm, "pcm_s16le")
    unknown = Task(Decode(1, 1, 1, Kind.FINAL, 0, len(audio)), audio)
    german = Task(Decode(2, 1, 2, Kind.FINAL, 0, len(audio), "de"), audio)
    found, given = backend.decode([unknown, german])
    assert (found.language, given.language) == ("en", "de")
    assert found.language_probability > 0.5
    assert join(found.words) == recording.text


def test_a_language_is_detected_among_those_to_choose_from(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    audio = to_float(short(speech)[0].pcm, "pcm_s16le")
    plain = Decode(1, 1, 1, Kind.FINAL, 0, len(audio))
    choices = [replace(plain, languages=languages) for languages in (("fr", "de"), ("en",))]
    choice, only = backend.decode([Task(decode, audio) for decode in choices])
    assert choice.language in ("fr", "de")
    assert choice.language_probability < 0.5
    assert only.language == "en"


def test_a_prompt_goes_before_the_transcript_and_not_into_it(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    recording = short(speech)[0]
    prompted = decode(backend, recording, prompt=backend.tokenize("my account number"))
    assert "account number" not in join(prompted.words).replace(recording.text, "")


def test_requests_join_a_batch_when_they_can_and_gain_by_it(
    backend: WhisperBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "padding", 100)
    plain = Decode(1, 1, 1, Kind.PARTIAL, 0, 2 * SAMPLE_RATE, "en")
    longer = Decode(1, 1, 1, Kind.PARTIAL, 0, 5 * SAMPLE_RATE, "en")
    prompted = Decode(1, 1, 1, Kind.PARTIAL, 0, 2 * SAMPLE_RATE, "en", prompt=(1, 2))
    prefixed = Decode(1, 1, 1, Kind.PARTIAL, 0, 2 * SAMPLE_RATE, "de", prefix=(1, 2))
    slightly = replace(plain, end=plain.end + SAMPLE_RATE)
    assert backend.joins(plain, prefixed)
    assert backend.joins(plain, slightly)
    assert not any(backend.joins(plain, other) for other in (longer, prompted))
    monkeypatch.setattr(backend, "padding", 400)
    assert backend.joins(plain, longer)
    first = replace(plain, end=SAMPLE_RATE // 2)
    assert backend.joins(first, plain)
    assert not backend.joins(first, longer)
    assert not backend.joins(longer, first)
    assert not backend.joins(plain, replace(plain, full=True))


def test_windows_are_never_encoded_on_less_than_two_seconds_nor_more_than_thirty() -> None:
    assert bucket(800, False) == 200
    assert bucket(60 * SAMPLE_RATE, False) == 3000
    assert bucket(800, True) == 3000
    assert all(bucket(frames * 160 - 60 * 160, False) <= frames for frames in BUCKETS)
    assert frames_of(800, False) == 200
    assert frames_of(60 * SAMPLE_RATE, False) == 3000
    assert frames_of(800, True) == 3000


@pytest.mark.parametrize("seconds", [1.0, 1.51, 2.0, 3.33, 12.0, 29.4])
def test_no_more_is_encoded_than_a_window_needs(seconds: float) -> None:
    window = round(seconds * 100)
    assert (
        max(window + 50, 200)
        <= frames_of(round(seconds * SAMPLE_RATE), False)
        <= max(window + 70, 200)
    )


@pytest.mark.parametrize(
    ("kind", "prompt", "expected"),
    [
        (Kind.PARTIAL, 4, (220, 110)),
        (Kind.PARTIAL, 150, (260, 110)),
        (Kind.FINAL, 150, (448, 224)),
        (Kind.FINAL, 300, (448, 148)),
    ],
)
def test_a_long_prompt_leaves_room_for_the_transcript(
    kind: Kind, prompt: int, expected: tuple[int, int]
) -> None:
    assert lengths(Decode(1, 1, 1, kind, 0, 32_000), 32_000, prompt) == expected


def test_text_that_looks_like_a_special_token_stays_out_of_the_prompt(
    backend: WhisperBackend,
) -> None:
    plain = backend.tokenize("hello")
    assert backend.tokenize("<|startoftranscript|> hello")[-len(plain) :] == plain
    assert max(backend.tokenize("<|startoftranscript|> hello <|notimestamps|>")) < 777


def test_a_closed_backend_has_no_threads_and_no_memory() -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    def made() -> WhisperBackend:
        traits = ModelTraits.model_validate_json((NANO / "stentor.json").read_text())
        info = ModelInfo("nano", "whisper", "cpu", "int8", "the tests' model")
        backend = WhisperBackend(NANO, info, traits, ModelOptions(lanes=4))
        backend.warm_up()
        return backend

    made().close()  # what the library keeps for the process is there now
    before = threads()
    backend = made()
    assert threads() > before
    backend.close()
    assert threads() == before
