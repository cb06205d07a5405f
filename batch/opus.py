"""Opus packets without a container, one a message (RFC 6716) → PCM at 16 kHz."""

from typing import Final

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext
from av.error import FFmpegError
from av.packet import Packet

from batch.containers import Converter
from streaming.audio import Samples
from streaming.errors import BadAudio

PACKET_BYTES_MAX: Final = 48 * 1276  # of 120 ms, §3.2.5
DAMAGED_MAX: Final = 50  # packets in a row

NOTHING: Final = np.zeros((0, 2), np.float32)


class OpusDecoder:
    """As `AudioDecoder`: float32, [samples, 2]; both are the same where the packets are mono."""

    def __init__(self) -> None:
        context = CodecContext.create("opus", "r")
        assert isinstance(context, AudioCodecContext)
        context.thread_count = 1
        self.context = context
        # Mixed here, two channels that are the same would come out 3 dB louder, and be clipped.
        self.converter = Converter("flt", mixed=False)
        self.damaged = 0  # packets in a row that could not be decoded

    def feed(self, data: bytes) -> Samples:
        """Raises BadAudio where it cannot be a packet, and after many that cannot be decoded."""
        if not data:
            return NOTHING
        if len(data) > PACKET_BYTES_MAX:
            raise BadAudio(
                f"audio of {len(data)} bytes is no Opus packet",
                field="audio",
                allowed=f"up to {PACKET_BYTES_MAX} bytes",
            )
        try:
            frames = self.context.decode(Packet(data))
            pieces = [pcm for frame in frames for pcm in self.converter.push(frame)]
        except FFmpegError as error:
            self.damaged += 1
            if self.damaged > DAMAGED_MAX:
                raise BadAudio("these are no Opus packets", field="audio") from error
            return NOTHING
        self.damaged = 0
        return np.concatenate(pieces) if pieces else NOTHING

    def flush(self) -> Samples:
        """What the resampler still holds; what is fed afterwards begins anew."""
        pieces = list(self.converter.flush())
        return np.concatenate(pieces) if pieces else NOTHING
