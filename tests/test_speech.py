"""The spoken recordings that other tests rely on are what their manifest and script say."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from faster_whisper import WhisperModel

from bench.recordings import SAMPLE_RATE, read_wav
from tests.audio import make_speech
from tests.conftest import NANO, SPEECH

LINES = [json.loads(line) for line in (SPEECH / "manifest.jsonl").read_text().splitlines()]


def espeak_version() -> str:
    if shutil.which("espeak-ng") is None:
        return ""
    told = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True)
    return told.stdout


@pytest.fixture(scope="module")
def model() -> WhisperModel:
    return WhisperModel(str(NANO), device="cpu", compute_type="int8", cpu_threads=1)


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(line["file"]))
def test_offline_transcription_of_each_sentence_is_exact(
    model: WhisperModel, line: dict[str, object]
) -> None:
    audio = np.asarray(read_wav(SPEECH / str(line["file"])) / 32768, dtype=np.float32)
    sentences = line["sentences"]
    assert isinstance(sentences, list)
    heard = [
        transcribe(model, audio, sentence["start"] - 0.3, sentence["end"] + 0.3)
        for sentence in sentences
    ]
    assert heard == [sentence["text"] for sentence in sentences]


def transcribe(model: WhisperModel, audio: make_speech.Audio, start: float, end: float) -> str:
    window = audio[max(0, round(start * SAMPLE_RATE)) : round(end * SAMPLE_RATE)]
    segments, _ = model.transcribe(window, language="en", beam_size=1, without_timestamps=True)
    return " ".join(segment.text.strip() for segment in segments)


def test_the_manifest_knows_every_file_and_its_length() -> None:
    lengths = {line["file"]: line["seconds"] for line in LINES}
    files = sorted(SPEECH.glob("*.wav"))
    assert lengths.keys() == {path.name for path in files}
    assert all(
        lengths[path.name] == pytest.approx(len(read_wav(path)) / SAMPLE_RATE, abs=0.001)
        for path in files
    )


def test_the_recordings_stay_small() -> None:
    assert sum(path.stat().st_size for path in SPEECH.iterdir()) < 1_500_000


@pytest.mark.skipif("1.51" not in espeak_version(), reason="made with espeak-ng 1.51")
def test_the_script_makes_the_same_recordings_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["make_speech.py", str(tmp_path)])
    make_speech.main()
    assert (tmp_path / "manifest.jsonl").read_text() == (SPEECH / "manifest.jsonl").read_text()
    # Another machine's arithmetic may round a sample the other way.
    furthest = max(
        int(np.abs(read_wav(path).astype(int) - read_wav(SPEECH / path.name)).max())
        for path in tmp_path.glob("*.wav")
    )
    assert furthest <= 1
