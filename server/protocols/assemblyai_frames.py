"""How long a message of audio may be: 50 to 1000 ms. Some short ones are let pass."""

from typing import Final

from server.protocols.assemblyai_errors import WrongLength
from streaming.options import AudioFormat

SHORTEST_MS: Final = 50
LONGEST_MS: Final = 1000
SHORT_MS_MAX: Final = 1000  # of audio in short messages, one after the other
SHORT_MESSAGES_MAX: Final = 1000
ENCODED_BYTES_MAX: Final = 1 << 20  # of a message whose duration its bytes do not tell


class Frames:
    """One a connection. A message of the right length ends a run of short ones."""

    def __init__(self, audio: AudioFormat) -> None:
        self.bytes_per_ms = 0.0  # of what is not compressed
        self.right = range(ENCODED_BYTES_MAX + 1)
        if not audio.is_container:
            self.bytes_per_ms = audio.sample_rate * audio.frame_bytes / 1000
            shortest = round(SHORTEST_MS * self.bytes_per_ms)
            self.right = range(shortest, round(LONGEST_MS * self.bytes_per_ms) + 1)
        self.short_ms = 0.0
        self.short_messages = 0

    @property
    def audible(self) -> range:
        """Lengths in bytes that need not be checked: none during a run of short messages."""
        return range(0) if self.short_messages else self.right

    def check(self, length: int) -> None:
        """Raises WrongLength."""
        if length in self.right:
            self.short_ms, self.short_messages = 0.0, 0
            return
        if not self.bytes_per_ms:
            raise WrongLength(f"{length} bytes. Expected up to {ENCODED_BYTES_MAX} bytes")
        duration = length / self.bytes_per_ms
        if length < self.right.start:
            self.short_ms += duration
            self.short_messages += 1
            if self.short_ms < SHORT_MS_MAX and self.short_messages < SHORT_MESSAGES_MAX:
                return
        raise WrongLength(
            f"Input Duration Violation: {duration:.1f} ms. "
            f"Expected between {SHORTEST_MS} and {LONGEST_MS} ms"
        )
