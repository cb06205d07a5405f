"""What the engine and its model hold for a session."""

from dataclasses import dataclass

from streaming.events import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Terms:
    stream: int = 0
    channel: int = 0
    window: int = 15 * SAMPLE_RATE  # the longest window worth decoding, in samples
    keeps_context: bool = False  # earlier text as a prompt helps this model
    prompt: tuple[int, ...] = ()
    is_file: bool = False
    temperature: float = 0.0
