"""Whisper's log-mel features, computed once for each piece of audio of a growing window.

A live utterance is decoded again and again on a window that starts at one place and grows. Frames
that lie wholly inside the audio do not change when more of it comes, so they are kept, before the
normalisation, which depends on the window's loudest frame; only what is new is computed. Equal to
faster-whisper's `FeatureExtractor` within rounding.
"""

from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from batch.backends.mel import FRAME, N_FFT, hann, mel_filters

Mel = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Kept:
    start: int
    log: Mel
    marks: Mel  # a sample of each frame


class Features:
    """Used by several threads; a window by one at a time."""

    def __init__(self, mels: int) -> None:
        # The product with the filters is small, and on busy cores the threads of numpy's BLAS spin
        # while they wait for one another: two fifths of a busy machine's time went there.
        threadpool_limits(1, user_api="blas")
        self.filters = mel_filters(mels)  # [mels, 201]
        self.hann = hann()
        self.kept: dict[int, Kept] = {}  # by stream
        self.lock = Lock()

    def log_mel(
        self, audio: npt.NDArray[np.float32], stream: int | None = None, start: int = 0
    ) -> Mel:
        """[mels, len(audio) // 160] of float32 mono at 16 kHz, [samples].

        With `stream`, frames are kept for the next window of that stream that begins at `start`.
        """
        # One more than is given back: it takes part in finding the loudest.
        count = len(audio) // FRAME + 1
        marks = audio[::FRAME]
        known = self._known(stream, start, marks)
        at = 0 if known is None else known.shape[1]
        new = self._log_power(audio, at, count)
        log = new if known is None else np.concatenate([known, new], axis=1)
        # A frame is final when the 200 samples after its middle are there.
        final = min(max((len(audio) - N_FFT // 2) // FRAME + 1, 0), count)
        if stream is not None and final > at:
            kept = Kept(start, log[:, :final].copy(), marks[:final].copy())
            with self.lock:
                self.kept[stream] = kept
        scaled: Mel = (np.maximum(log, log.max() - 8.0) + 4.0) / np.float32(4.0)
        return scaled[:, :-1]

    def forget(self, stream: int) -> None:
        with self.lock:
            self.kept.pop(stream, None)

    def _known(self, stream: int | None, start: int, marks: Mel) -> Mel | None:
        """The frames kept for a window. Not when it was cut back since, or when a sample of each
        frame says that it is other audio."""
        with self.lock:
            kept = self.kept.get(stream) if stream is not None else None
        if kept is None or kept.start != start:
            return None
        return kept.log if np.array_equal(kept.marks, marks[: len(kept.marks)]) else None

    def _log_power(self, audio: npt.NDArray[np.float32], first: int, count: int) -> Mel:
        """log10 of the mel power of frames [first, count), [mels, frames]."""
        half = N_FFT // 2
        left, right = first * FRAME - half, (count - 1) * FRAME + half
        piece = audio[max(left, 0) : right]
        # As faster-whisper has it: mirrored at the beginning; after the end a frame of zeros, and
        # then mirrored.
        if left < 0:
            mirrored = audio[1 : 1 - left][::-1]
            piece = np.concatenate([np.zeros(-left - len(mirrored), np.float32), mirrored, piece])
        missing = right - max(left, 0) - len(audio[max(left, 0) : right])
        if missing > 0:
            padded = np.concatenate([audio[-N_FFT:], np.zeros(FRAME, np.float32)])
            tail = np.concatenate([np.zeros(FRAME, np.float32), padded[-2 : -2 - half : -1]])
            piece = np.concatenate([piece, tail[:missing]])
        if count <= first:
            return np.zeros((len(self.filters), 0), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(piece, N_FFT)[::FRAME]
        spectrum = np.fft.rfft(frames * self.hann, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        out: Mel = np.log10(np.maximum(self.filters @ power.T, 1e-10))
        return out
