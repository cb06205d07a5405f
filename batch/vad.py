"""Silero VAD for all streams at once: one ONNX call scores a hop of every ready stream.

The recurrent state and the 64 samples of context that the model wants before each hop are kept
here, one row a stream; what the model says of a row does not depend on its neighbours. A stream
that has many hops, as a file has, gets them scored in one call of its own, by the same model in a
form that takes a sequence: the same numbers for half the time.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from streaming.audio import Samples
from streaming.events import HOP, SAMPLE_RATE

CONTEXT: Final = 64
STATE: Final = 128
SEQUENCE_HOPS: Final = 4  # of a row, from which on a call of its own is cheaper


def _session(name: str) -> onnxruntime.InferenceSession:
    # Found without importing the package, which would import torch: seconds and 200 MB for nothing.
    spec = find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    path = Path(spec.origin).parent / "data" / name
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Vad:
    """Used by one thread at a time. Rows are given out by `add` and zeroed then: a late call may
    still write the row of a stream that has gone."""

    def __init__(self) -> None:
        self.session = _session("silero_vad.onnx")
        self.sequence = _session("silero_vad_16k_sequence.onnx")
        self.rows = 0
        self.state = np.zeros((2, 64, STATE), np.float32)
        self.context = np.zeros((64, CONTEXT), np.float32)
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
        self, rows: list[int], audio: list[Samples], fresh: list[int]
    ) -> list[npt.NDArray[np.float32]]:
        """Speech probabilities: for each row, one a hop of its audio ([hops * 512], 16 kHz)."""
        order = np.array(rows, np.int64)
        while order.max() >= len(self.context):
            self.state = np.concatenate([self.state, np.zeros_like(self.state)], axis=1)
            self.context = np.concatenate([self.context, np.zeros_like(self.context)])
        self.state[:, fresh] = 0
        self.context[fresh] = 0
        hops = [len(a) // HOP for a in audio]
        out = [
            self._sequence(row, a) if count >= SEQUENCE_HOPS else np.empty(count, np.float32)
            for row, a, count in zip(rows, audio, hops, strict=True)
        ]
        few = [i for i, count in enumerate(hops) if count < SEQUENCE_HOPS]
        for step in range(max((hops[i] for i in few), default=0)):
            at = [i for i in few if hops[i] > step]
            chunk = np.stack([audio[i][step * HOP : (step + 1) * HOP] for i in at])
            where = order[at]
            probability, state = self.session.run(
                None,
                {
                    "input": np.concatenate([self.context[where], chunk], axis=1),
                    "state": self.state[:, where],
                    "sr": np.array(SAMPLE_RATE, np.int64),
                },
            )
            self.state[:, where] = state
            self.context[where] = chunk[:, -CONTEXT:]
            for i, value in zip(at, probability[:, 0], strict=True):
                out[i][step] = value
        return out

    def _sequence(self, row: int, audio: Samples) -> npt.NDArray[np.float32]:
        hops = audio.reshape(-1, HOP)
        before = np.concatenate([self.context[[row]], hops[:-1, -CONTEXT:]])
        probabilities, hidden, cell = self.sequence.run(
            None,
            {
                "input": np.concatenate([before, hops], axis=1),
                "h": self.state[:1, [row]],
                "c": self.state[1:, [row]],
            },
        )
        self.state[0, row], self.state[1, row] = hidden[0, 0], cell[0, 0]
        self.context[row] = hops[-1, -CONTEXT:]
        found: npt.NDArray[np.float32] = probabilities
        return found
