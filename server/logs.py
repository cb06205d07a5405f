"""How records are written, and which are not."""

import logging
import sys
from collections.abc import Sequence


def set_up_logs(level: str, handlers: Sequence[logging.Handler] = ()) -> None:
    """One line a record, on stderr unless there are other handlers."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        handlers=handlers or [logging.StreamHandler(sys.stderr)],
        force=True,
    )
    # What uvicorn says of a WebSocket holds the query, and with it perhaps a client's key.
    of_uvicorn = logging.getLogger("uvicorn.error")
    of_uvicorn.addFilter(_is_of_the_server)
    # Below that level websockets writes every head and frame to it: keys, audio, transcripts.
    of_uvicorn.setLevel(max(logging.INFO, logging.getLogger().level))
    # They report each request and each file they look for.
    for name in ("httpx", "httpcore", "huggingface_hub", "filelock", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_of_the_server(record: logging.LogRecord) -> bool:
    text = str(record.msg)
    return "WebSocket" not in text and not text.startswith("connection ")
