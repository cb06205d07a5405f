"""How loud each 10 ms is, and silence in place of what is too quiet. Pure.

As Speechmatics has it: the root mean square of a piece, on a scale from 0 to 100.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from streaming.audio import Pcm, Samples

PIECE: Final = 160  # samples at 16 kHz
FULL_SCALE: Final = 32768 / 100


class LiveGate:
    """Of audio that comes in pieces of any length: less than 10 ms of it is kept back."""

    def __init__(self) -> None:
        self.rest: Samples | None = None  # [samples, channels]

    def passed(self, pcm: Pcm, threshold: float) -> Samples:
        """[samples, channels]; what is too quiet is zeroed."""
        heard = pcm.astype(np.float32)
        if pcm.dtype == np.int16:
            heard /= 32768
        if self.rest is not None:
            heard = np.concatenate([self.rest, heard])
        whole = len(heard) // PIECE * PIECE
        self.rest = heard[whole:]
        pieces = heard[:whole].reshape(-1, PIECE, heard.shape[1])
        volumes = np.sqrt(np.square(pieces).mean(axis=1, keepdims=True)) * 100
        loud: Samples = np.where(volumes < threshold, np.float32(0), pieces)
        return loud.reshape(whole, heard.shape[1])

    def taken(self) -> Samples | None:
        """What is kept back; nothing is afterwards."""
        rest, self.rest = self.rest, None
        return rest


class VolumeGate:
    """Told the audio slice by slice; all slices but the last hold whole pieces."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.volumes: list[npt.NDArray[np.float32]] = []  # [pieces, channels] of each slice

    def passed(self, pcm: bytes, channels: int) -> bytes:
        """PCM s16le, channels interleaved; pieces below the threshold are zeroed."""
        heard = np.frombuffer(pcm, "<i2").reshape(-1, channels)
        count = -(-len(heard) // PIECE)
        squares = np.zeros((count * PIECE, channels), np.float32)
        squares[: len(heard)] = np.square(heard, dtype=np.float32)
        sums = squares.reshape(count, PIECE, channels).sum(axis=1)
        lengths = np.full((count, 1), PIECE, np.float32)
        lengths[-1:] = len(heard) - (count - 1) * PIECE
        volumes = np.sqrt(sums / lengths) / FULL_SCALE
        self.volumes.append(volumes)
        quiet = volumes < self.threshold
        if not quiet.any():
            return pcm
        return np.where(quiet.repeat(PIECE, axis=0)[: len(heard)], 0, heard).astype("<i2").tobytes()

    def volume(self, start: int, end: int, channel: int) -> float:
        """Of a word from `start` to `end`, in samples: the mean of its pieces, in which loud ones
        count for more, so that a pause inside it does not make it quiet."""
        if len(self.volumes) > 1:
            self.volumes = [np.concatenate(self.volumes)]
        if not self.volumes:
            return 0.0
        pieces = self.volumes[0][start // PIECE : max(end // PIECE, start // PIECE + 1), channel]
        total = float(pieces.sum())
        return float(np.square(pieces).sum()) / total if total else 0.0
