"""How long a message of audio may be. Some that are too short are let pass."""

from typing import Final

from server.protocols.assemblyai_errors import WrongLength
from streaming.options import AudioFormat

MESSAGE_MS: Final = range(50, 1001)
SHORT_MS_MAX: Final = 1000  # of audio in short messages, one after the other
SHORT_MESSAGES_MAX: Final = 1000
ENCODED_BYTES_MAX: Final = 1 << 20  # of a message whose duration its bytes do not tell


class Frames:
    """One a connection. A message of the right length ends a run of short ones."""

    def __init__(self, audio: AudioFormat, lengths: range = MESSAGE_MS) -> None:
        """`lengths` in ms."""
        self.lengths = lengths
        self.bytes_per_ms = 0.0  # of what is not compressed
        self.right = range(ENCODED_BYTES_MAX + 1)
        if not audio.is_compressed:
            self.bytes_per_ms = audio.sample_rate * audio.frame_bytes / 1000
            longest = round(lengths[-1] * self.bytes_per_ms)
            self.right = range(round(lengths[0] * self.bytes_per_ms), longest + 1)
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
            message = f"{length} bytes. Expected up to {ENCODED_BYTES_MAX} bytes"
            raise WrongLength(message, is_long=True)
        duration = length / self.bytes_per_ms
        is_long = length > self.right.start
        if not is_long:
            self.short_ms += duration
            self.short_messages += 1
            if self.short_ms < SHORT_MS_MAX and self.short_messages < SHORT_MESSAGES_MAX:
                return
        raise WrongLength(
            f"Input Duration Violation: {duration:.1f} ms. "
            f"Expected between {self.lengths[0]} and {self.lengths[-1]} ms",
            is_long=is_long,
        )
