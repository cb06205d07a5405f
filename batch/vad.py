"""Silero VAD for all streams at once: one call scores the hops of every ready stream.

The recurrent state and the 64 samples of context that the model wants before each hop are kept
here, one row a stream; what the model says of a row does not depend on its neighbours.
"""

from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from batch import vad_network
from batch.vad_network import STATE
from streaming.audio import Pcm16
from streaming.events import HOP

CONTEXT: Final = vad_network.WINDOW - HOP
# What a muted microphone sends. After two seconds of it more changes nothing that matters, and is
# not scored: the row stays as it is until there is a sound.
QUIET: Final = 2  # of 32768
SETTLED_HOPS: Final = 64


class Vad:
    """Used by one thread at a time. Rows are given out by `add` and zeroed then: a late call may
    still write the row of a stream that has gone."""

    def __init__(self) -> None:
        self.session = vad_network.session()
        self.rows = 0
        self.hidden = np.zeros((64, STATE), np.float32)
        self.cell = np.zeros((64, STATE), np.float32)
        self.context = np.zeros((64, CONTEXT), np.int16)
        self.quiet = np.zeros(64, np.int64)  # hops since there was a sound
        self.last = np.zeros(64, np.float32)  # probabilities
        self.free: list[int] = []
        self.fresh: set[int] = set()

    def add(self) -> int:
        """A row for a new stream. Called from the engine's thread, as is `remove`."""
        if self.free:
            row = self.free.pop()
        else:
            row, self.rows = self.rows, self.rows + 1
        self.fresh.add(row)
        return row

    def remove(self, row: int) -> None:
        self.fresh.discard(row)
        self.free.append(row)

    def take_fresh(self, rows: list[int]) -> list[int]:
        """Those of `rows` that the next call has to zero. Called from the engine's thread: by the
        time the call runs, a row may belong to another stream."""
        fresh = [row for row in rows if row in self.fresh]
        self.fresh.difference_update(fresh)
        return fresh

    def score(
        self, rows: list[int], audio: list[Pcm16], fresh: list[int]
    ) -> list[npt.NDArray[np.float32]]:
        """Speech probabilities: for each row, one a hop of its audio ([hops * 512] at 16 kHz)."""
        while max(rows) >= len(self.context):
            self._grow()
        for kept in (self.hidden, self.cell, self.context, self.quiet):
            kept[fresh] = 0
        out = [np.empty(0, np.float32)] * len(rows)
        counts = {i: len(pcm) // HOP for i, pcm in enumerate(audio) if len(pcm)}
        # Live streams have a hop or two, files many: those with equally many go together.
        for count, group in groupby(sorted(counts, key=counts.__getitem__), counts.__getitem__):
            at = list(group)
            heard = np.concatenate([audio[i] for i in at]).reshape(len(at), count, HOP)
            scores = self._score(np.array([rows[i] for i in at]), heard.swapaxes(0, 1))
            for i, found in zip(at, scores.T, strict=True):
                out[i] = found
        return out

    def shrink(self) -> None:
        """Give back what large batches took. Called from the VAD's thread."""
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        state = np.zeros((1, 1, STATE), np.float32)
        windows = np.zeros((1, 1, CONTEXT + HOP), np.int16)
        self.session.run(None, {"windows": windows, "hidden": state, "cell": state}, options)

    def _grow(self) -> None:
        kept = (self.hidden, self.cell, self.context, self.quiet, self.last)
        self.hidden, self.cell, self.context, self.quiet, self.last = (
            np.concatenate([array, np.zeros_like(array)]) for array in kept
        )

    def _score(self, rows: npt.NDArray[np.int64], heard: Pcm16) -> npt.NDArray[np.float32]:
        """Probabilities, [hops, rows], of [hops, rows, 512]."""
        is_quiet = (heard.max((0, 2)) <= QUIET) & (heard.min((0, 2)) >= -QUIET)
        due = np.flatnonzero(~is_quiet | (self.quiet[rows] < SETTLED_HOPS))
        self.quiet[rows] = np.where(is_quiet, self.quiet[rows] + len(heard), 0)
        if len(due):
            found = self._run(rows[due], heard[:, due])
            self.last[rows[due]] = found[-1]
        scores = np.repeat(self.last[None, rows], len(heard), axis=0)
        if len(due):
            scores[:, due] = found
        return scores

    def _run(self, rows: npt.NDArray[np.int64], heard: Pcm16) -> npt.NDArray[np.float32]:
        """Probabilities, [hops, rows], of [hops, rows, 512]."""
        windows = np.empty((*heard.shape[:2], CONTEXT + HOP), np.int16)
        windows[:, :, CONTEXT:] = heard
        windows[0, :, :CONTEXT] = self.context[rows]
        windows[1:, :, :CONTEXT] = windows[:-1, :, -CONTEXT:]
        inputs = {
            "windows": windows,
            "hidden": self.hidden[None, rows],
            "cell": self.cell[None, rows],
        }
        scores: npt.NDArray[np.float32]
        scores, hidden, cell = self.session.run(None, inputs)
        self.hidden[rows], self.cell[rows] = hidden[0], cell[0]
        self.context[rows] = windows[-1, :, -CONTEXT:]
        return scores
