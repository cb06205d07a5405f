"""How a protocol of live speech is spoken, as far as a client that measures has to know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.trace import Trace

Message = str | bytes
Messages = Sequence[tuple[float, Message]]  # with the wall at which each came
Options = Mapping[str, Any]


def nothing(_: Any) -> Sequence[Message]:
    return ()


def all_of_them(samples: int) -> int:
    return samples


def never(_: Message) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol over a WebSocket. The server speaks first, after `hello`, or refuses.

    Audio comes to `frame` as 16 kHz mono 16-bit samples. Messages are given to `read` when the
    session is over, so that reading them takes nothing of the machine while it is measured.
    """

    path: Callable[[Options], str]  # and the query
    read: Callable[[Trace, Messages], None]
    stop: Callable[[int], Sequence[Message]]  # sent after so many frames
    hello: Callable[[Options], Sequence[Message]] = nothing
    frame: Callable[[bytes], Message] = bytes
    carried: Callable[[int], int] = all_of_them  # how many samples so many are, as they go out
    is_last: Callable[[Message], bool] = never  # then the client closes; else the server does
    frame_ms: int = 20
    # The shortest silence after which the server ends an utterance; None where it has no such rule.
    silence_ms: float | None = None
    # Some servers drop what they have not finished when they are told to stop: their own clients
    # wait until nothing has come for a while.
    quiet_seconds: float = 0.0
    has_account: bool = False
    # Where the text comes on a socket of its own, which is opened before the other: its path.
    heard_at: str = ""
    # Makes the dialect of one session, where that has a name or keeps count of what it has sent.
    of_session: "Callable[[], Dialect] | None" = None

    def address(self, url: str, options: Options) -> str:
        """Of a server at `url` (http or https), the WebSocket to connect to."""
        return url.replace("http", "ws", 1) + self.path(options)
