"""Silero VAD's network, written as matrix products over the hops of all streams at once.

The graphs that Silero ships convolve each row of a batch by itself, on four columns: 52 µs a hop on
a core where the same arithmetic as one product takes 13. The weights are theirs; the numbers agree
with theirs to 1e-5. A hop's window is its 512 samples and the 64 before them.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]
Tensor = npt.NDArray[Any]
Weights = dict[str, Array]

WINDOW: Final = 576
STATE: Final = 128
STRIDE: Final = 128  # of the spectra; each spans two strides
FRAMES: Final = 4  # spectra of a window
BINS: Final = 129
FULL_SCALE: Final = np.float32(32768)


class _Graph:
    """Operators in the order of their calls; arrays among the inputs become constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(
        self, kind: str, *inputs: str | Tensor, outputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        """The name of the operator's first output."""
        names = [name if isinstance(name, str) else self._constant(name) for name in inputs]
        outputs = outputs or [f"{kind} {len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, names, outputs, **attributes))
        return outputs[0]

    def _constant(self, array: Tensor) -> str:
        name = f"constant {len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def part(self, what: str, start: int, end: int) -> str:
        """Columns [start, end) of a matrix."""
        return self.add("Slice", what, _ints(start), _ints(end), _ints(1))

    def reshaped(self, what: str, *shape: int) -> str:
        return self.add("Reshape", what, _ints(*shape))


def session() -> onnxruntime.InferenceSession:
    """Inputs `windows` int16 [hops, rows, 576], `hidden` and `cell` [1, rows, 128]; outputs
    `probabilities` [hops, rows], and both states after the last hop. One thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    model = _model(_weights()).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _weights() -> Weights:
    """Silero's, by their names in its own model."""
    # Found without importing the package, which would import torch: seconds and 200 MB for nothing.
    spec = find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    graph = onnx.load(Path(spec.origin).parent / "data" / "silero_vad_16k_op15.onnx").graph
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = node.attribute[0].t
    return {name.removeprefix("model."): numpy_helper.to_array(t) for name, t in found.items()}


def _model(weights: Weights) -> onnx.ModelProto:
    graph = _Graph()
    features = _encoded(graph, weights, _spectra(graph, weights))
    hidden = graph.add("Relu", _recurrent(graph, weights, features))
    kernel = weights["decoder.decoder.2.weight"].reshape(STATE, 1)
    logits = graph.add(
        "Add", graph.add("MatMul", hidden, kernel), weights["decoder.decoder.2.bias"]
    )
    # From [hops, 1, rows, 1].
    graph.add("Sigmoid", graph.add("Squeeze", logits, _ints(1, 3)), outputs=["probabilities"])
    whole = helper.make_graph(
        nodes=graph.nodes,
        name="vad",
        inputs=[
            helper.make_tensor_value_info("windows", TensorProto.INT16, ["hops", "rows", WINDOW]),
            *_states("hidden", "cell"),
        ],
        outputs=[
            _described("probabilities", "hops", "rows"),
            *_states("hidden_after", "cell_after"),
        ],
        initializer=graph.constants,
    )
    # The oldest versions that have all of it, so that any onnxruntime reads it.
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def _described(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def _states(*names: str) -> list[onnx.ValueInfoProto]:
    return [_described(name, 1, "rows", STATE) for name in names]


def _spectra(graph: _Graph, weights: Weights) -> str:
    """Magnitudes, [hops * rows, 4 * 129]: four spectra of 256 samples, 128 apart."""
    window = graph.add("Cast", "windows", to=TensorProto.FLOAT)
    window = graph.reshaped(window, -1, WINDOW)
    past_end = FRAMES * STRIDE + STRIDE - WINDOW
    window = graph.add("Pad", window, _ints(0, 0, 0, past_end), mode="reflect")
    strides = graph.reshaped(window, -1, FRAMES + 1, STRIDE)
    halves = [graph.part(strides, 0, FRAMES), graph.part(strides, 1, FRAMES + 1)]
    frames = graph.reshaped(graph.add("Concat", *halves, axis=2), -1, 2 * STRIDE)
    # Windowed cosines, even about the middle, and sines, odd about it, so that one half of a frame
    # is added to the other, or taken from it, and half of the products do. Sample 0 counts for
    # nothing; the model takes full scale as 1.
    basis = weights["stft.forward_basis_buffer"][:, 0].T / FULL_SCALE
    cosines = basis[1 : STRIDE + 1, :BINS].copy()
    cosines[-1] /= 2  # the middle is added to itself
    before = graph.part(frames, 1, STRIDE + 1)
    after = graph.add(
        "Slice", frames, _ints(2 * STRIDE - 1), _ints(STRIDE - 1), _ints(1), _ints(-1)
    )
    real = graph.add("MatMul", graph.add("Add", before, after), cosines)
    imaginary = graph.add("MatMul", graph.add("Sub", before, after), basis[1 : STRIDE + 1, BINS:])
    squares = [graph.add("Mul", part, part) for part in (real, imaginary)]
    return graph.reshaped(graph.add("Sqrt", graph.add("Add", *squares)), -1, FRAMES * BINS)


def _encoded(graph: _Graph, weights: Weights, spectra: str) -> str:
    """[hops * rows, 128]: four convolutions over three frames each, with zeros at the edges; the
    second and the third step by two frames, which leaves 4, 2, 1 and 1 of them."""
    centres = [range(4), range(0, 4, 2), range(1), range(1)]
    frames, found = FRAMES, spectra
    for number, at in enumerate(centres):
        kernel = weights[f"encoder.{number}.reparam_conv.weight"].transpose(2, 1, 0)
        bias = weights[f"encoder.{number}.reparam_conv.bias"]
        width = kernel.shape[1]
        outs = []
        for centre in at:
            first, last = max(centre - 1, 0), min(centre + 2, frames)
            taps = kernel[first - centre + 1 : last - centre + 1].reshape(-1, kernel.shape[2])
            seen = graph.part(found, first * width, last * width)
            outs.append(graph.add("Gemm", seen, taps, bias))
        found = graph.add("Relu", graph.add("Concat", *outs, axis=1))
        frames = len(outs)
    return found


def _recurrent(graph: _Graph, weights: Weights, features: str) -> str:
    """[hops, 1, rows, 128]: the hidden state after each hop."""
    shape = graph.add("Shape", "windows")
    rows = graph.add("Gather", shape, _ints(1))
    shape = graph.add("Concat", _ints(-1), rows, _ints(STATE), axis=0)
    steps = graph.add("Reshape", features, shape)
    kernels = [_gates(weights[f"decoder.rnn.weight_{of}"])[None] for of in ("ih", "hh")]
    biases = [_gates(weights[f"decoder.rnn.bias_{of}"]) for of in ("ih", "hh")]
    # Each sequence is whole, so no lengths are given.
    inputs: list[str | Tensor] = [*kernels, np.concatenate(biases)[None], "", "hidden", "cell"]
    outputs = ["hiddens", "hidden_after", "cell_after"]
    return graph.add("LSTM", steps, *inputs, outputs=outputs, hidden_size=STATE)


def _gates(stacked: Array) -> Array:
    """From PyTorch's order, input, forget, cell, output, to ONNX's: input, output, forget, cell."""
    into, forget, cell, out = np.split(stacked, 4)
    return np.concatenate([into, out, forget, cell])


def _ints(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)
