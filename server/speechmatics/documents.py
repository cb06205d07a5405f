"""A rendering → the documents that clients and folders get."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from server.speechmatics.render import Rendering, as_json, as_srt, as_text
from streaming.errors import TranscriptionError

NAME: Final = "transcript"
JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"


def document(rendering: Rendering, job: Mapping[str, Any] | None = None) -> bytes:
    """JSON in one line."""
    told = as_json(rendering, job)
    return f"{json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n".encode()


def written(rendering: Rendering, form: str, job: Mapping[str, Any]) -> tuple[bytes, str]:
    """As json-v2, txt or srt, with its media type."""
    if form == "txt":
        return as_text(rendering).encode(), TEXT_TYPE
    if form == "srt":
        return as_srt(rendering).encode(), TEXT_TYPE
    return document(rendering, job), JSON_TYPE


def save(rendering: Rendering, folder: Path) -> None:
    """JSON, text and SRT as files. Raises TranscriptionError where they cannot be written."""
    contents = {
        "json": document(rendering),
        "txt": as_text(rendering).encode(),
        "srt": as_srt(rendering).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for extension, content in contents.items():
            (folder / f"{NAME}.{extension}").write_bytes(content)
    except OSError as error:
        message = f"the transcripts cannot be written to {folder}: {error.strerror}"
        raise TranscriptionError(message) from error
