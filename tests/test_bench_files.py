"""The files that both sides of `bench.files` are given, and what may be chosen for the peer."""

from pathlib import Path

import numpy as np

from bench.file_audio import Job, folder_job, long_job
from bench.file_sides import BATCH_SIZES, SPLITS, Setting, settings
from bench.recordings import SAMPLE_RATE, Recording, read_wav

ONE = Recording("1.wav", "one", np.full(SAMPLE_RATE, 1, np.int16), ())
TWO = Recording("2.wav", "two", np.full(2 * SAMPLE_RATE, 2, np.int16), ())


def said(path: Path) -> str:
    """The words of a file made of `ONE` and `TWO`, from its samples."""
    audio = read_wav(path)
    loud = audio[audio != 0]
    begins = np.flatnonzero((audio != 0) & (np.concatenate([[0], audio[:-1]]) == 0))
    assert len(loud) == sum({1: SAMPLE_RATE, 2: 2 * SAMPLE_RATE}[audio[b]] for b in begins)
    return " ".join({1: "one", 2: "two"}[audio[begin]] for begin in begins)


def test_the_long_file_says_its_text_and_lasts_as_long_as_it_says(tmp_path: Path) -> None:
    job = long_job([ONE, TWO], 20.0, seed=1, folder=tmp_path)
    assert 20 <= job.seconds < 20 + 2 + 3
    assert len(read_wav(job.paths[0])) == round(job.seconds * SAMPLE_RATE)
    assert said(job.paths[0]) == job.texts[0]
    assert {"one", "two"} == set(job.texts[0].split()[:2])


def test_the_long_file_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first = long_job([ONE, TWO], 20.0, 7, tmp_path).paths[0].read_bytes()
    assert long_job([ONE, TWO], 20.0, 7, tmp_path).paths[0].read_bytes() == first
    assert long_job([ONE, TWO], 20.0, 8, tmp_path).paths[0].read_bytes() != first


def test_a_folder_begins_again_where_recordings_run_out(tmp_path: Path) -> None:
    job = folder_job([ONE, TWO], 3, tmp_path)
    assert job.texts == ("one", "two", "one")
    assert job.seconds == 4
    assert [said(path) for path in job.paths] == ["one", "two", "one"]
    assert job.first(2) == Job("folder", job.paths[:2], ("one", "two"), (1.0, 2.0))


def test_a_lone_file_is_tried_in_all_batch_sizes_and_a_folder_with_all_splits() -> None:
    lone = settings(Job("long", (Path("a"),), ("",), (1.0,)))
    assert lone == [Setting(*SPLITS[0], size) for size in BATCH_SIZES]
    several = settings(Job("folder", (Path("a"), Path("b")), ("", ""), (1.0, 1.0)))
    assert several == [Setting(*split, BATCH_SIZES[0]) for split in SPLITS]
