"""Make the spoken test recordings of this folder with espeak-ng, and their manifest.

    python tests/audio/make_speech.py [FOLDER]

Sentences are of the nano model's vocabulary, in voices it was trained on, and each was chosen
because faster-whisper transcribes it exactly with that model, so tests may ask for exact text.
The same espeak-ng (1.51) and soxr give the same bytes.
"""

import io
import json
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

SAMPLE_RATE = 16_000
LEAD_SECONDS = 0.3  # silence before the speech
TAIL_SECONDS = 0.7  # and after it: more than the default endpoint needs
PEAK = 0.7

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """One file: one voice, one sentence or several, with pauses between them."""

    name: str
    voice: str
    words_per_minute: int
    sentences: tuple[str, ...]
    pauses_seconds: tuple[float, ...] = ()


RECORDINGS = (
    Recording("hello", "en-us", 165, ("Hello, good morning.",)),
    Recording("window", "en-gb", 165, ("Please open the window.",)),
    Recording("time", "en-us+f3", 165, ("What time is it now?",)),
    Recording("order", "en-us+m3", 165, ("I want to cancel my order.",)),
    Recording("train", "en-gb+f2", 140, ("Where is the train?",)),
    Recording("number", "en-us", 165, ("My phone number is four two nine.",)),
    Recording("callback", "en-us+f3", 165, ("Call me back on seven three one five.",)),
    Recording("counting", "en-us+m3", 165, ("Zero one two three four.",)),
    Recording("digits", "en-gb-x-rp", 165, ("Three one four one five nine two.",)),
    Recording("coffee", "en-us", 140, ("Your coffee is ready.",)),
    Recording(
        "desk",
        "en-us",
        165,
        (
            "Good morning.",
            "I need a new password.",
            "My account number is five six seven eight.",
            "Send the bill to my office.",
        ),
        (0.8, 1.0, 1.2),
    ),
    Recording(
        "table",
        "en-us+f3",
        165,
        (
            "We need a table for two Friday.",
            "Is my order ready now?",
            "Please call me back on nine three zero.",
            "Thank you and goodbye.",
        ),
        (1.2, 0.8, 1.0),
    ),
)


def speak(text: str, voice: str, words_per_minute: int) -> Audio:
    """The speech alone, without silence around it, at `SAMPLE_RATE`."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "--stdout", text]
    spoken = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
    with wave.open(io.BytesIO(spoken)) as wav:
        rate = wav.getframerate()
        # espeak-ng does not know the length when it writes the header, so do not trust it.
        pcm = np.frombuffer(wav.readframes(1 << 24), dtype="<i2")
    audio = soxr.resample(pcm.astype(np.float32) / 32768, rate, SAMPLE_RATE)
    step = SAMPLE_RATE // 200
    loud = np.abs(audio[: len(audio) // step * step].reshape(-1, step)).max(axis=1) > 0.004
    where = np.flatnonzero(loud)
    audio = audio[where[0] * step : (where[-1] + 1) * step]
    return np.asarray(audio * (PEAK / np.abs(audio).max()), dtype=np.float32)


def silence(duration_seconds: float) -> Audio:
    return np.zeros(round(duration_seconds * SAMPLE_RATE), dtype=np.float32)


def record(recording: Recording) -> tuple[Audio, list[dict[str, str | float]]]:
    """The audio of a file, and where in it each sentence is spoken."""
    pieces = [silence(LEAD_SECONDS)]
    sentences: list[dict[str, str | float]] = []
    pauses = (*recording.pauses_seconds, TAIL_SECONDS)
    for text, pause in zip(recording.sentences, pauses, strict=True):
        speech = speak(text, recording.voice, recording.words_per_minute)
        start = sum(map(len, pieces))
        end = start + len(speech)
        sentences.append(
            {
                "text": text,
                "start": round(start / SAMPLE_RATE, 3),
                "end": round(end / SAMPLE_RATE, 3),
            }
        )
        pieces += [speech, silence(pause)]
    return np.concatenate(pieces), sentences


def write_wav(path: Path, audio: Audio) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        wav.writeframes(np.round(audio * 32767).astype("<i2").tobytes())


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for recording in RECORDINGS:
        audio, sentences = record(recording)
        write_wav(folder / f"{recording.name}.wav", audio)
        line = {
            "file": f"{recording.name}.wav",
            "text": " ".join(recording.sentences),
            "voice": recording.voice,
            "seconds": round(len(audio) / SAMPLE_RATE, 3),
            "sentences": sentences,
        }
        lines.append(json.dumps(line, ensure_ascii=False))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
