"""Datasets for `bench.wer`, and its counting of wrong words."""

from pathlib import Path

import numpy as np
import pytest

from bench.datasets import find_clips
from bench.file_audio import write_wav
from bench.wer import NORMALISATIONS, word_error

PLAIN = NORMALISATIONS["plain"]


def wav(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, np.arange(1600, dtype=np.int16))


def test_a_manifest_names_files_and_texts(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav")
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.wav", "text": "one", "words": []}\n\n')
    (clip,) = find_clips(tmp_path)
    assert (clip.path.name, clip.text) == ("a.wav", "one")
    np.testing.assert_array_equal(clip.read(), np.arange(1600))


def test_a_manifest_may_lie_elsewhere(tmp_path: Path) -> None:
    wav(tmp_path / "audio" / "a.wav")
    manifest = tmp_path / "mine.jsonl"
    manifest.write_text('{"file": "a.wav", "text": "one"}\n')
    assert [clip.text for clip in find_clips(tmp_path / "audio", manifest)] == ["one"]


def test_librispeech_has_texts_beside_its_recordings(tmp_path: Path) -> None:
    chapter = tmp_path / "84" / "121123"
    wav(chapter / "84-121123-0001.wav")
    wav(chapter / "84-121123-0000.wav")
    (chapter / "84-121123.trans.txt").write_text(
        "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS\n"
    )
    texts = {clip.path.stem: clip.text for clip in find_clips(tmp_path)}
    assert texts == {"84-121123-0000": "GO DO YOU HEAR", "84-121123-0001": "BUT IN LESS"}


def test_a_folder_that_comes_without_a_manifest_gets_ours(tmp_path: Path) -> None:
    wav(tmp_path / "speech" / "jfk.flac")
    (clip,) = find_clips(tmp_path / "speech")
    assert clip.text.startswith("And so, my fellow Americans")


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (None, "does not exist"),
        ('{"file": "absent.wav", "text": "one"}', "1 of 1 recordings are not there"),
        ("", "0 of 0 recordings"),
        ("a.wav one", ":1: must be an object"),
        ('{"file": "a.wav"}', ":1: must be an object"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, manifest: str | None, said: str) -> None:
    if manifest is not None:
        (tmp_path / "manifest.jsonl").write_text(manifest)
    with pytest.raises(ValueError, match=said):
        find_clips(tmp_path)


def test_wrong_words_are_counted_over_all_clips() -> None:
    figures = word_error(["one two three four", "Five.", "six"], ["one too four", "5", ""], PLAIN)
    assert figures == {
        "word_error_percent": 50.0,
        "words": 6,
        "substituted": 1,
        "deleted": 2,
        "inserted": 0,
    }


def test_words_heard_in_silence_are_insertions() -> None:
    figures = word_error(["one two", ""], ["one two", "thank you"], PLAIN)
    assert (figures["inserted"], figures["word_error_percent"]) == (2, 100.0)


def test_the_english_normalisation_is_whispers() -> None:
    english = NORMALISATIONS["english"]
    assert english("Mr. Smith's colour, um, twenty-one") == english("mister smith's color 21")
