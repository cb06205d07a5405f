# /// script
# requires-python = ">=3.11"
# dependencies = ["websockets>=15"]
# ///
"""Read a telephone call while it lasts; it may be still to come.

    python follow_call.py CA0123456789 --server ws://127.0.0.1:8000 --key …

A line for each final, with who said it. When the connection is lost it goes on where it was.
"""

import argparse
import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import connect

AGAIN_SECONDS = 1.0
WRONG = 4000  # codes from here on are answers, not accidents
AWAY = (429, 500, 502, 503, 504)  # may be otherwise in a moment

logger = logging.getLogger("follow_call")


def follow(call: str, server: str, key: str = "") -> Iterator[dict[str, Any]]:
    """Messages of the call, each final once. Raises WebSocketException when the server refuses."""
    headers = {"Authorization": key} if key else {}
    after = 0
    while True:
        try:
            address = f"{server}/v1/calls/{quote(call, safe='')}?after={after}"
            with connect(address, additional_headers=headers, compression=None) as line:
                for text in line:
                    message = json.loads(text)
                    after = message.get("number", after)
                    yield message
                return
        except ConnectionClosed as lost:
            if lost.rcvd is not None and (lost.rcvd.code >= WRONG or lost.rcvd.code == 1008):
                raise
        except InvalidStatus as answer:  # of a proxy before the server, or of something else
            if answer.response.status_code not in AWAY:
                raise
        except (OSError, InvalidMessage) as away:
            logger.info("the server is away: %s", away)
        time.sleep(AGAIN_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("call", help="the id: Twilio's CallSid, the UUID of AudioSocket …")
    parser.add_argument("--server", default="ws://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("STENTOR_API_KEY", ""))
    given = parser.parse_args()
    for message in follow(given.call, given.server, given.key):
        if message["type"] == "final":
            print(f"{message['start']:8.2f}  {message['track']}: {message['text']}", flush=True)
        elif message["type"] == "error":
            print(f"{message['code']}: {message['message']}", flush=True)


if __name__ == "__main__":
    main()
