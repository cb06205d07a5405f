"""Folders of recordings with their texts, of any format and rate.

A folder has a `manifest.jsonl` with a line for each recording, `file` and `text`; or LibriSpeech's
layout, at any depth: `84-121123.trans.txt` with lines of `84-121123-0000 THE TEXT`, and
`84-121123-0000.flac` beside it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batch import media
from bench.recordings import Pcm

MANIFEST = "manifest.jsonl"
MANIFESTS = Path(__file__).parent / "manifests"  # for folders that come without, by their name
SUFFIXES = (".flac", ".wav", ".mp3", ".m4a", ".ogg", ".opus")


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording that is read when it is wanted; 16 kHz, its channels mixed."""

    path: Path
    text: str

    def read(self) -> Pcm:
        return np.frombuffer(b"".join(media.decode(self.path)), np.int16)


def find_clips(folder: Path, manifest: Path | None = None) -> list[Clip]:
    """Raises ValueError, saying what is missing."""
    fallback = MANIFESTS / f"{folder.resolve().name}.jsonl"
    named = manifest or folder / MANIFEST
    if manifest is None and not named.is_file() and fallback.is_file():
        named = fallback
    transcripts = [] if named.is_file() else sorted(folder.rglob("*.trans.txt"))
    if not (named.is_file() or transcripts):
        raise ValueError(f"{named} does not exist, nor a *.trans.txt under {folder}: {__doc__}")
    found = (
        _listed(folder, named)
        if named.is_file()
        else (clip for transcript in transcripts for clip in _librispeech(transcript))
    )
    clips = list(found)
    absent = [clip.path for clip in clips if not clip.path.is_file()]
    if absent or not clips:
        raise ValueError(f"{folder}: {len(absent)} of {len(clips)} recordings are not there")
    return clips


def _listed(folder: Path, manifest: Path) -> Iterator[Clip]:
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            yield Clip(folder / str(fields["file"]), str(fields["text"]))
        except (ValueError, KeyError, TypeError) as error:
            message = f"{manifest}:{number}: must be an object with file and text"
            raise ValueError(message) from error


def _librispeech(transcript: Path) -> Iterator[Clip]:
    for line in transcript.read_text(encoding="utf-8").splitlines():
        name, _, text = line.strip().partition(" ")
        if name:
            paths = (transcript.with_name(name + suffix) for suffix in SUFFIXES)
            there = next((path for path in paths if path.is_file()), transcript.with_name(name))
            yield Clip(there, text)
