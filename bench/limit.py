"""How near to the machine's own limits the model's calls come.

    python -m bench.limit --json bench/results/limit.json

First what the machine can do: matrix products in int8 and float32, and reading memory. Then what
encoder and decoder have to do by their shapes, and how long they take.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import onnx
import onnxruntime
import tokenizers
from onnx import TensorProto, helper
from threadpoolctl import threadpool_limits

from bench import machine
from bench.arithmetic import (
    Dimensions,
    cross_operations,
    encoder_operations,
    encoder_products,
    encoder_rest,
    step_bytes,
    step_operations,
)
from bench.figures import Figures, print_table, write_json
from bench.load import NANO
from bench.shape_models import ready
from bench.shape_sizes import SHAPES

MATRIX = 1024  # rows and columns: 1 to 4 MB each, and as large as a large layer
SMALL_MB, LARGE_MB = 8, 512  # of memory: inside the last cache, and far beyond it
REPEATS = 5
FRAMES_A_SECOND = 100
STEP_WINDOW = 6.0  # seconds that the decoder looks at
LAST_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
CACHE_SHARE = 0.75  # of it that certainly stays
STEPS_SHORT, STEPS_LONG = 8, 40  # tokens: their difference is free of what a call costs
NANO_DIMENSIONS = Dimensions(128, 4, 4, 2296)


def least_seconds(work: Callable[[], object], seconds: float = 0.3) -> float:
    """Of several runs, once it is warm."""
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
        if time.perf_counter() > end:
            return best


# ---- the machine


def float_rate(threads: int) -> float:
    """Operations a second of a product of float32 matrices, by numpy's BLAS."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((MATRIX, MATRIX), np.float32) for _ in range(2))
    out = np.empty_like(left)
    with threadpool_limits(threads, user_api="blas"):
        return 2 * MATRIX**3 / least_seconds(lambda: np.matmul(left, right, out=out))


def integer_rate(threads: int) -> float:
    """Operations a second of a product of 8-bit matrices into 32 bits, by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    rng = np.random.default_rng(0)
    left = rng.integers(0, 127, (MATRIX, MATRIX), np.uint8)
    weights = rng.integers(-127, 127, (MATRIX, MATRIX), np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["out"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, [MATRIX, MATRIX])],
        [helper.make_tensor_value_info("out", TensorProto.INT32, [MATRIX, MATRIX])],
        [onnx.numpy_helper.from_array(weights, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return 2 * MATRIX**3 / least_seconds(lambda: session.run(None, {"left": left}))


def read_rate(megabytes: int, threads: int) -> float:
    """Bytes a second: a scalar product of float32, which only reads, each thread its own part."""
    parts = [np.ones(megabytes * 250_000 // threads, np.float32) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool, threadpool_limits(1, user_api="blas"):
        times = least_seconds(lambda: list(pool.map(lambda part: np.dot(part, part), parts)))
    return megabytes * 1e6 / times


def cache_bytes() -> float:
    """Of the last cache that can be counted on; half a MB where the system does not say."""
    if not LAST_CACHE.exists():
        return 0.5e6
    return CACHE_SHARE * 1024 * int(LAST_CACHE.read_text(encoding="ascii").strip().rstrip("K"))


def copy_rate(megabytes: int, threads: int) -> float:
    """Bytes a second read and written, together."""
    sources = [np.ones(megabytes * 250_000 // threads, np.float32) for _ in range(threads)]
    pairs = [(np.empty_like(source), source) for source in sources]
    with ThreadPoolExecutor(threads) as pool:
        times = least_seconds(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)))
    return 2 * megabytes * 1e6 / times


def machine_rates(threads: int) -> Figures:
    return {
        "int8_gop_per_second": round(integer_rate(threads) / 1e9, 1),
        "float32_gop_per_second": round(float_rate(threads) / 1e9, 1),
        "read_cached_gb_per_second": round(read_rate(SMALL_MB, threads) / 1e9, 1),
        "read_gb_per_second": round(read_rate(LARGE_MB, threads) / 1e9, 1),
        "copy_gb_per_second": round(copy_rate(LARGE_MB, threads) / 1e9, 1),
    }


# ---- the model


def dimensions(name: str) -> Dimensions:
    if name == "nano":
        return NANO_DIMENSIONS
    shape = SHAPES[name]
    vocabulary = 51_865 + (shape.languages - 99)
    return Dimensions(
        shape.width, shape.encoder_layers, shape.decoder_layers, vocabulary, shape.mels
    )


class Calls:
    """A model's encode and decode, timed on one lane of `threads`."""

    def __init__(self, name: str, threads: int, seconds: float) -> None:
        folder = NANO if name == "nano" else ready(name)
        self.model = ctranslate2.models.Whisper(
            str(folder), device="cpu", compute_type="int8", intra_threads=threads
        )
        self.shape = dimensions(name)
        self.seconds = seconds
        self.text = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))

    def token(self, name: str) -> int:
        number = self.text.token_to_id(f"<|{name}|>")
        assert number is not None
        return int(number)

    def mel(self, window: float, rows: int) -> Any:
        shape = (rows, self.shape.mels, round(window * FRAMES_A_SECOND))
        return ctranslate2.StorageView.from_array(np.zeros(shape, np.float32))

    def encode_seconds(self, window: float) -> float:
        mel = self.mel(window, 1)
        return least_seconds(lambda: self.model.encode(mel), self.seconds)

    def step_seconds(self, window: float, rows: int) -> float:
        """One step of the decoder for all rows."""
        encoded = self.model.encode(self.mel(window, rows))
        start = ["startoftranscript", "en", "transcribe", "notimestamps"]
        prompts = [[self.token(name) for name in start]] * rows
        never = [-1, self.token("endoftext")]

        def generate(steps: int) -> float:
            return least_seconds(
                lambda: self.model.generate(
                    encoded,
                    prompts,
                    beam_size=1,
                    suppress_tokens=never,
                    max_length=2 * steps,  # of which CTranslate2 gives half to new tokens
                ),
                self.seconds,
            )

        return (generate(STEPS_LONG) - generate(STEPS_SHORT)) / (STEPS_LONG - STEPS_SHORT)


def encodings(calls: Calls, windows: Sequence[float], rates: Figures) -> dict[str, Figures]:
    """The limit has each product in the arithmetic it is done in; `share_of_int8`, all in int8."""
    found = {}
    for window in windows:
        took = calls.encode_seconds(window)
        operations = encoder_operations(calls.shape, window)
        int8 = operations / (rates["int8_gop_per_second"] * 1e9)
        limit = encoder_products(calls.shape, window) / (rates["int8_gop_per_second"] * 1e9)
        limit += encoder_rest(calls.shape, window) / (rates["float32_gop_per_second"] * 1e9)
        found[f"{window:g} s"] = {
            "gop": round(operations / 1e9, 3),
            "ms": round(took * 1000, 2),
            "limit_ms": round(limit * 1000, 2),
            "gop_per_second": round(operations / took / 1e9, 1),
            "share_of_limit": round(limit / took, 3),
            "share_of_int8": round(int8 / took, 3),
        }
    return found


def steps(
    calls: Calls, window: float, batches: Sequence[int], rates: Figures
) -> dict[str, Figures]:
    """The limit is what takes longer: reading the weights and windows, or the products."""
    found = {}
    for rows in batches:
        took = calls.step_seconds(window, rows)
        read = step_bytes(calls.shape, window, rows)
        # What fits into the last cache is read from there.
        speed = "read_cached_gb_per_second" if read < cache_bytes() else "read_gb_per_second"
        reading = read / (rates[speed] * 1e9)
        operations = rows * step_operations(calls.shape, window)
        computing = operations / (rates["int8_gop_per_second"] * 1e9)
        found[f"{rows} rows"] = {
            "mb_read": round(read / 1e6, 2),
            "mop": round(operations / 1e6, 1),
            "ms": round(took * 1000, 3),
            "limit_ms": round(max(reading, computing) * 1000, 3),
            "gb_per_second": round(read / took / 1e9, 2),
            "share_of_limit": round(max(reading, computing) / took, 3),
        }
    return found


def model_limits(name: str, given: argparse.Namespace, rates: Figures) -> dict[str, Any]:
    calls = Calls(name, given.threads, given.seconds)
    return {
        "cross_gop_6_s": round(cross_operations(calls.shape, STEP_WINDOW) / 1e9, 3),
        "encode": encodings(calls, given.windows, rates),
        "decode_step": steps(calls, STEP_WINDOW, given.rows, rates),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.limit", description=__doc__)
    names = ["nano", *SHAPES]
    parser.add_argument("--models", nargs="+", default=names[:4], choices=names)
    parser.add_argument("--threads", type=int, default=1, help="of a call of the model")
    parser.add_argument("--windows", nargs="+", type=float, default=[2.0, 4.0, 6.0, 10.0, 30.0])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 4, 8], help="in a decode")
    parser.add_argument("--seconds", type=float, default=0.4, help="for each measurement")
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


def show(rates: Mapping[str, Figures], models: Mapping[str, Any]) -> None:
    print_table("the machine", rates)
    for name, found in models.items():
        print_table(f"{name}: encode", found["encode"])
        print_table(f"{name}: a step of decode, window of {STEP_WINDOW:g} s", found["decode_step"])


def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    rates = {f"{n} threads": machine_rates(n) for n in sorted({1, 2, given.threads})}
    models = {
        name: model_limits(name, given, rates[f"{given.threads} threads"]) for name in given.models
    }
    print(on)
    show(rates, models)
    content = {"machine": on, "threads": given.threads, "rates": rates, "models": models}
    write_json(given.json, content)


if __name__ == "__main__":
    main(parse(sys.argv[1:]))
