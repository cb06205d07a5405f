# /// script
# requires-python = ">=3.11"
# dependencies = ["websockets>=15"]
# ///
"""What a Twilio number asks when it is called: forwards the call, and prints both sides as text.

    python voice_app.py --stentor wss://stt.example --forward +15550001111 --port 8080

Set `https://…:8080/voice` as the number's voice webhook. Each call is streamed to Stentor while it
goes on, and read from there by its CallSid.
"""

import argparse
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote
from xml.sax.saxutils import escape, quoteattr

from websockets.sync.client import connect

TWIML = """<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Start>
    <Stream url={url} track="both_tracks"/>
  </Start>
  <Dial>{forward}</Dial>
</Response>
"""


def follow(call: str, server: str, key: str) -> None:
    headers = {"Authorization": key} if key else {}
    with connect(f"{server}/v1/calls/{quote(call, safe='')}", additional_headers=headers) as line:
        for text in line:
            message = json.loads(text)
            if message["type"] == "final":
                print(f"{message['track']}: {message['text']}", flush=True)


def handler(given: argparse.Namespace) -> type[BaseHTTPRequestHandler]:
    class Voice(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            fields = parse_qs(self.rfile.read(length).decode())
            call = fields.get("CallSid", [""])[0]
            threading.Thread(target=follow, args=(call, given.stentor, given.key)).start()
            url = quoteattr(f"{given.stentor}/telephony/twilio")
            body = TWIML.format(url=url, forward=escape(given.forward)).encode()
            self.send_response(200)
            self.send_header("content-type", "text/xml")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the request holds telephone numbers."""

    return Voice


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stentor", required=True, help="as wss://stt.example")
    parser.add_argument("--key", default=os.environ.get("STENTOR_API_KEY", ""))
    parser.add_argument("--forward", required=True, help="the number that the call goes on to")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    ThreadingHTTPServer((given.host, given.port), handler(given)).serve_forever()


if __name__ == "__main__":
    main()
