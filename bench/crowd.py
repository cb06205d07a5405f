"""Hundreds of clients for the price of one: every frame is built once and written raw.

They share one loop of plain sockets, so that what they cost does not hide what the server costs.
"""

import contextlib
import json
import random
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

CONNECT_SECONDS_MAX = 30
TICK_SECONDS = 0.001
READ_BYTES = 1 << 16


def masked(payload: bytes, opcode: Opcode = Opcode.BINARY) -> bytes:
    """A whole client frame as it goes over the wire."""
    return Frame(opcode, payload).serialize(mask=True)


@dataclass(slots=True)
class Member:
    """One connection."""

    socket: socket.socket
    protocol: ClientProtocol
    unsent: bytearray = field(default_factory=bytearray)  # what the socket would not take
    messages: list[dict[str, Any]] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        if self.unsent:
            self.unsent += data
            self.flush()
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            return  # `read` finds that it has ended
        if sent < len(data):
            self.unsent += data[sent:]

    def flush(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            del self.unsent[: self.socket.send(self.unsent)]

    def read(self) -> bool:
        """What the server says, pings answered; False when it has ended the connection."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not data:
            return False
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.messages.append(json.loads(bytes(event.data)))
        for answer in self.protocol.data_to_send():
            if answer:
                self.write(answer)
        return True


@dataclass(slots=True)
class Crowd:
    """`count` connections to one server; `start` is sent on each unless it is None."""

    url: str
    count: int
    start: dict[str, Any] | None
    members: list[Member] = field(default_factory=list)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    frames_sent: int = 0
    latest_seconds: float = 0.0  # the longest any frame was written after it was due
    lost: int = 0  # connections that the server has ended

    def connect(self) -> None:
        """Raises OSError or websockets' InvalidHandshake when the server does not take one."""
        for _ in range(self.count):
            member = _connect(self.url)
            if self.start is not None:
                member.write(masked(json.dumps(self.start).encode(), Opcode.TEXT))
            self.selector.register(member.socket, selectors.EVENT_READ, member)
            self.members.append(member)
            self.poll(0)

    def errors(self) -> list[str]:
        """What the server has said against any of them."""
        said = (message for member in self.members for message in member.messages)
        return [message["message"] for message in said if message["type"] == "error"]

    def poll(self, seconds: float) -> None:
        """Read what there is, waiting up to `seconds` for it."""
        for key, _ in self.selector.select(seconds):
            if not key.data.read():
                self.selector.unregister(key.fileobj)
                self.lost += 1

    def idle(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.poll(min(left, 1.0))

    def send(self, frames: Sequence[bytes], frame_seconds: float, seconds: float) -> None:
        """A frame (from `masked`) on each connection every `frame_seconds`, evenly spread."""
        step = frame_seconds / self.count
        total = round(seconds / frame_seconds) * self.count
        began = time.perf_counter()
        done = 0
        while done < total:
            self.poll(TICK_SECONDS)
            now = time.perf_counter() - began
            self.latest_seconds = max(self.latest_seconds, now - done * step)
            due = min(int(now / step) + 1, total)
            for at in range(done, due):
                turn, number = divmod(at, self.count)
                self.members[number].write(frames[turn % len(frames)])
            done = due
        self.frames_sent += done

    def stop(self, seconds_max: float) -> list[dict[str, Any]]:
        """Say that there is no more; the accounts of those that were answered in time."""
        for member in self.members:
            member.write(masked(b'{"type": "stop"}', Opcode.TEXT))
        end = time.perf_counter() + seconds_max
        while self.lost < self.count and (left := end - time.perf_counter()) > 0:
            self.poll(min(left, 0.1))
            for member in self.members:
                if member.unsent:
                    member.flush()
        said = (message for member in self.members for message in member.messages)
        return [message["account"] for message in said if message["type"] == "done"]

    def close(self) -> None:
        for member in self.members:
            # Reset, so that no port lingers before the next crowd.
            linger = struct.pack("ii", 1, 0)
            member.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            member.socket.close()
        self.selector.close()


def _connect(url: str) -> Member:
    where = urlsplit(url)
    plain = socket.create_connection((where.hostname, where.port), CONNECT_SECONDS_MAX)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    protocol = ClientProtocol(parse_uri(url))
    protocol.send_request(protocol.connect())
    plain.sendall(b"".join(protocol.data_to_send()))
    while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
        protocol.receive_data(plain.recv(READ_BYTES))
    if protocol.handshake_exc is not None:
        raise protocol.handshake_exc
    protocol.events_received()
    plain.setblocking(False)
    return Member(plain, protocol)


def noise_frames(level_db: float, frame_samples: int, count: int) -> list[bytes]:
    """White noise of this loudness (RMS below full scale) as 16-bit samples; -inf is silence."""
    rng = random.Random(1)
    scale = 32768 * 10 ** (level_db / 20)
    return [
        struct.pack(
            f"<{frame_samples}h", *(round(rng.gauss(0, scale)) for _ in range(frame_samples))
        )
        for _ in range(count)
    ]
