"""Audio → keys and values in the decoder's slots: features and encoder, many windows at once.

It has a CUDA stream of its own, so that the decoder's small steps run beside it, and inputs that
stay where they are, so that each size of batch can be a graph.
"""

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from batch.backends.mel import FRAME
from batch.backends.torch_graphs import Fetched, Graphs, Staging, fitting, held, sparing
from batch.backends.torch_mel import LogMel
from batch.backends.torch_network import Cache, Network
from batch.backends.windows import FRAMES_FULL
from streaming.audio import FULL_SCALE, Pcm16

BATCHES = (1, 2, 4, 8, 16, 32, 64)  # windows encoded together


class Encoder:
    def __init__(self, network: Network, frames_max: int) -> None:
        """`frames_max`: mel frames that are encoded at once, at most; of one window at least."""
        self.network, self.device = network, network.device
        self.frames_max = self.most = max(frames_max, FRAMES_FULL)
        self.log_mel = LogMel(network.shape.mels, network.device)
        self.graphs = Graphs(network.device)
        device = network.device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.audio = torch.zeros(self.frames_max * FRAME, dtype=torch.int16, device=device)
        self.input = torch.zeros(2 * BATCHES[-1], dtype=torch.long, device=device)
        self.staged_audio = Staging(len(self.audio), torch.int16, device)
        self.staged_input = Staging(len(self.input), torch.long, device)

    def rows_max(self, frames: int) -> int:
        """One of BATCHES: others would be lengthened to the next one."""
        return held(BATCHES, self.frames_max // frames)

    def capture(self, cache: Cache, batch: int, frames: int) -> None:
        with self.beside():
            self._place([], [], batch, cache.slots)
            self.graphs.capture(*self._work(cache, batch, frames))

    def rehearse(self, cache: Cache, batch: int, frames: int) -> None:
        """As it is done for requests, without their audio; of a GPU nothing is waited for."""
        with self.beside():
            self.graphs.run(*self._work(cache, batch, frames))

    def start(
        self, cache: Cache, windows: Sequence[Pcm16], slots: Sequence[int], frames: int
    ) -> Fetched:
        """Encode windows of `frames` mel frames into slots; the result says when that is done.

        Raises torch.OutOfMemoryError.
        """
        batch = min(fitting(BATCHES, len(windows)), self.most // frames)
        ends = [min(len(window), frames * FRAME) for window in windows]
        with self.beside():
            with self.staged_audio.filled(self.audio[: batch * frames * FRAME]) as audio:
                rows = audio.reshape(batch, -1)
                for row, end, window in zip(rows, ends, windows, strict=False):
                    row[:end], row[end:] = window[:end], 0
                rows[len(windows) :] = 0
            self._place(ends, slots, batch, cache.slots)
            name, work = self._work(cache, batch, frames)
            sparing(lambda: self.graphs.run(name, work))
        return self.mark()

    def mark(self) -> Fetched:
        """Says when all that was begun by now is done."""
        with self.beside():
            return Fetched(self.input[:1])

    def is_captured(self, cache: Cache, batch: int, frames: int) -> bool:
        return self._work(cache, batch, frames)[0] in self.graphs.captured

    def halve(self, rows: int, frames: int) -> None:
        """So many rows were too many for the memory."""
        self.frames_max = max(rows // 2, 1) * frames

    def beside(self) -> AbstractContextManager[object]:
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def _place(self, ends: Sequence[int], slots: Sequence[int], batch: int, nobody: int) -> None:
        empty = batch - len(ends)
        self.staged_input.put([*ends, *[0] * empty, *slots, *[nobody] * empty], self.input)

    def _work(self, cache: Cache, batch: int, frames: int) -> tuple[Hashable, Callable[[], None]]:
        def work() -> None:
            audio = self.audio[: batch * frames * FRAME].view(batch, frames * FRAME)
            ends, slots = self.input[: 2 * batch].view(2, batch).unbind()
            mel = self.log_mel(audio / float(FULL_SCALE), ends)
            self.network.remember(self.network.encode(mel), cache, slots)

        return ("encode", cache.positions, batch, frames), work
