"""Silero VAD for all streams at once: one ONNX call scores a hop of every ready stream.

The recurrent state and the 64 samples of context that the model wants before each hop are kept
here, one row a stream; what the model says of a row does not depend on its neighbours.
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


def _model() -> Path:
    # Found without importing the package, which would import torch: seconds and 200 MB for nothing.
    spec = find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"


class Vad:
    """Used by one thread at a time. Rows are given out by `add` and zeroed then: a late call may
    still write the row of a stream that has gone."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(_model()), options, providers=["CPUExecutionProvider"]
        )
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
        out = [np.empty(count, np.float32) for count in hops]
        for step in range(max(hops)):
            at = [i for i, count in enumerate(hops) if count > step]
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
