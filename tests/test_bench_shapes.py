"""The models of Whisper's shapes, the backend that makes words up, and the search for capacity."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import ctranslate2
import numpy as np
import pytest

from batch.backends.base import Task
from batch.options import ModelOptions
from bench import shape_backend, shape_models, shape_sizes
from bench.load import NANO
from bench.made_up import Speech
from bench.recordings import Recording, Spoken
from bench.shape_backend import ShapeBackend
from bench.shape_costs import Calls, Plan, rates
from bench.shapes import BOUNDS, cuts, largest, misses, utterances, work_done
from streaming import quality
from streaming.agreement import Agreement
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind

START = 5 * SAMPLE_RATE


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShapeBackend]:
    folder = tmp_path_factory.mktemp("shapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape_backend, "FOLDER", folder)
        yield shape_backend.Tiny(ModelOptions(threads=1, lanes=1, device="cpu"))


def window(seconds: float, kind: Kind = Kind.PARTIAL, prefix: tuple[int, ...] = ()) -> Task:
    end = START + round(seconds * SAMPLE_RATE)
    audio = np.random.default_rng(1).normal(0, 0.05, end - START).astype(np.float32)
    return Task(Decode(1, 1, 1, kind, START, end, "en", prefix=prefix), audio)


def tokens(found: Hypothesis) -> tuple[int, ...]:
    return tuple(token for word in found.words for token in word.tokens)


# ---- the models


def test_a_model_is_built_once_and_left_whole(tmp_path: Path) -> None:
    built = shape_models.ready("tiny", tmp_path)
    at = (built / "model.bin").stat().st_mtime_ns
    assert shape_models.ready("tiny", tmp_path) == built
    assert (built / "model.bin").stat().st_mtime_ns == at
    assert list(tmp_path.iterdir()) == [built]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape_models, "NANO", tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        shape_models.ready("tiny", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'huge' is not one of tiny, base"):
        shape_models.ready("huge", tmp_path)


def test_the_vocabulary_has_whispers_size_and_order(tiny: ShapeBackend) -> None:
    text = tiny.vocabulary.text
    assert text.get_vocab_size() == 51_865
    assert text.token_to_id("<|endoftext|>") == 50_257
    assert text.token_to_id("<|startoftranscript|>") == 50_258
    assert text.token_to_id("<|notimestamps|>") == 50_363
    assert text.token_to_id("<|30.00|>") == 51_864
    assert tiny.model.is_multilingual
    assert len(tiny.languages) == 99


def test_the_large_ones_have_one_language_and_more_mel_bands() -> None:
    special = shape_sizes.special_tokens(shape_sizes.SHAPES["large-v3"])
    assert len(special) + shape_sizes.TEXT_TOKENS == 51_866
    assert shape_sizes.SHAPES["large-v3"].mels == 128


def test_every_alignment_head_exists() -> None:
    for shape in shape_sizes.SHAPES.values():
        assert all(layer < shape.decoder_layers for layer, _ in shape.alignment_heads)
        assert all(head < shape.heads for _, head in shape.alignment_heads)


def test_the_weights_are_as_many_as_those_of_tiny(tmp_path: Path) -> None:
    folder = shape_models.ready("tiny", tmp_path)
    # 39 million, of one byte each but for convolutions and positions.
    assert (folder / "model.bin").stat().st_size == pytest.approx(42e6, rel=0.03)
    assert json.loads((folder / "config.json").read_text())["alignment_heads"][0] == [2, 2]


def test_what_is_not_forced_is_the_end(tiny: ShapeBackend) -> None:
    noise = np.random.default_rng(3).normal(0, 1, (2, 80, 400)).astype(np.float32)
    encoded = tiny.model.encode(ctranslate2.StorageView.from_array(noise))
    reader = tiny.vocabulary.reader("en", "transcribe")
    head = [*reader.sot_sequence, tiny.vocabulary.no_timestamps]
    found = tiny.model.generate(encoded, [[*head, 300, 301], [*head, 300]], beam_size=1)
    assert [r.sequences_ids[0] for r in found] == [[300, 301], [300]]


# ---- the words


def test_there_are_3_3_tokens_a_second() -> None:
    speech = Speech(range(300, 500), range(500, 600))
    said = speech.window(window(10, Kind.FINAL).decode)
    assert len(said) == 22
    assert sum(len(word.tokens) for word in said) == 33


def test_each_hypothesis_continues_the_one_before(tiny: ShapeBackend) -> None:
    early, later = (tiny.decode([window(s)])[0] for s in (2.0, 3.0))
    assert early.words[:-1] == later.words[: len(early.words) - 1]
    assert early.words[-1].text != later.words[-1].text


def test_every_hop_says_something_new(tiny: ShapeBackend) -> None:
    first, second = (tiny.decode([window(s)])[0] for s in (2.0, 2.04))
    assert first.words[-1].text != second.words[-1].text


def test_words_become_stable_and_are_kept_by_the_final(tiny: ShapeBackend) -> None:
    agreement = Agreement()
    for seconds in (2.0, 2.3, 2.6, 2.9):
        task = window(seconds)
        agreement.push(tiny.decode([task])[0].words, task.decode.end)
    prefix = tuple(token for word in agreement.stable for token in word.tokens)
    assert len(agreement.stable) >= 3
    final = tiny.decode([window(3.2, Kind.FINAL, prefix)])[0]
    assert tokens(final)[: len(prefix)] == prefix


def test_a_prefix_that_was_never_said_is_an_error(tiny: ShapeBackend) -> None:
    with pytest.raises(RuntimeError, match="is not what was said there"):
        tiny.decode([window(2.0, prefix=(1, 2, 3))])


@pytest.mark.parametrize("kind", [Kind.PARTIAL, Kind.EARLY, Kind.FINAL])
def test_hypotheses_look_like_a_good_models(tiny: ShapeBackend, kind: Kind) -> None:
    task = window(4.0, kind)
    found = tiny.decode([task])[0]
    assert quality.fault(found, len(task.audio)) == ""
    assert not quality.is_silence(found)
    assert quality.uncovered(found, START, task.decode.end) == 0
    assert all(word.confidence > 0.9 for word in found.words)


def test_words_are_where_they_were_said(tiny: ShapeBackend) -> None:
    words = tiny.decode([window(4.0, Kind.FINAL)])[0].words
    starts = [(word.start - START) / SAMPLE_RATE for word in words]
    assert np.allclose(np.diff(starts), 1 / 2.2, atol=0.03)


def test_rows_of_a_batch_have_their_own_length(tiny: ShapeBackend) -> None:
    short, long = tiny.decode([window(1.2, Kind.FINAL), window(3.2, Kind.FINAL)])
    assert len(tokens(short)) < len(tokens(long))
    assert short.ended
    assert long.ended


# ---- the costs


def test_calls_are_timed_for_each_window_and_batch(tiny: ShapeBackend) -> None:
    costs = Calls(tiny, Plan(0.0, (2, 10), (1, 2))).costs()
    assert costs["encode_ms_by_window"]["2 s"] < costs["encode_ms_by_window"]["10 s"]
    assert set(costs["step_ms_by_batch"]) == set(costs["align_ms_by_batch"]) == {"1", "2"}


def test_rates_count_requests_not_calls(tiny: ShapeBackend) -> None:
    found = rates(tiny, Plan(0.0, together=(2,)))
    per_second = found["partial, 2 together: requests per second"]
    call_ms = found["partial, 2 together: ms a call"]
    assert per_second == pytest.approx(2 * 1000 / call_ms, rel=0.02)


# ---- the capacity


@pytest.mark.parametrize("most", [0, 1, 5, 7, 13, 30])
@pytest.mark.parametrize("guess", [1, 7, 30])
async def test_the_search_finds_the_largest_that_holds(most: int, guess: int) -> None:
    async def holds(streams: int) -> bool:
        return streams <= most

    found = await largest(holds, guess, 30)
    assert most - max(1, most // 20) < found <= most or found == most == 0


def level(**changed: float) -> dict[str, float]:
    return {**dict.fromkeys(BOUNDS, 0.0), **changed}


def test_a_level_that_is_kept_misses_nothing() -> None:
    assert misses(level(partial_gap_ms_p95=600.0)) == {}


def test_a_miss_says_by_how_much() -> None:
    assert misses(level(partial_gap_ms_p95=900.0)) == {"partial_gap_ms_p95": 1.5}


def test_what_is_lost_or_never_comes_is_a_miss_beyond_measure() -> None:
    found = misses(level(finals_missing=1.0, partial_gap_ms_p95=math.nan))
    assert found == {"finals_missing": math.inf, "partial_gap_ms_p95": math.inf}


def spoken(*words: tuple[float, float], seconds: float) -> Recording:
    """Each word is a run of ones in silence."""
    audio = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    for start, end in words:
        audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = 1
    return Recording("", "", audio, tuple(Spoken("one", start, end) for start, end in words))


def test_pauses_between_words_are_shortened() -> None:
    recording = spoken((0.5, 1.5), (3.0, 4.0), seconds=5)
    found = utterances([recording, recording], 0.2)
    assert len(found) == 1
    assert len(found[0].audio) == round(3 * 1.2 * SAMPLE_RATE)
    assert [round(word.start, 3) for word in found[0].words] == [0.1, 1.3, 2.5]
    first, second = (round(found[0].words[i].start * SAMPLE_RATE) for i in (0, 1))
    assert found[0].audio[[first - 1, first, second - 1, second]].tolist() == [0, 1, 0, 1]


def test_words_that_touch_are_not_cut() -> None:
    assert cuts(spoken((0.0, 1.0), (1.0, 2.0), seconds=2), 0.1) == [(0.0, 1.0), (1.0, 2.0)]


def test_too_few_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"less than 3\.6 s of words"):
        utterances([spoken((0.5, 1.5), seconds=2)], 0.1)


def test_work_is_what_the_counters_grew_by() -> None:
    names = (
        "stentor_audio_seconds_total lane=live",
        "stentor_batch_requests_sum kind=partial",
        "stentor_batch_requests_count kind=partial",
        "stentor_decode_seconds_sum kind=partial",
    )
    before = dict(zip(names, (10.0, 100.0, 50.0, 5.0), strict=True))
    after = dict(zip(names, (30.0, 140.0, 60.0, 15.0), strict=True))
    done = work_done(before, after, 2)
    assert done["partial_decodes_per_stream_second"] == 2.0
    assert done["partials_in_a_batch"] == 4.0
    assert done["lanes_busy"] == 1.0
    assert math.isnan(done["finals_in_a_batch"])


def test_the_words_are_those_of_the_model_that_ships() -> None:
    known = json.loads((NANO / "tokenizer.json").read_text())["model"]["vocab"]
    assert shape_sizes.text_tokens()[: len(known)].count("") == 1
