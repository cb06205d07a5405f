"""What a model runs on: devices and arithmetic, as the library that runs it has them."""

from typing import Final

from streaming.errors import EngineFailed

# By library and kind of device, the best first.
COMPUTE_TYPES: Final = {
    ("whisper", "cpu"): ("int8", "int8_float32", "float32"),
    ("whisper", "cuda"): ("float16", "bfloat16", "int8_float16", "float32"),
    ("torch", "cpu"): ("float32", "bfloat16"),
    ("torch", "cuda"): ("float16", "bfloat16", "float32"),
}


def kind_of(device: str) -> str:
    """`cpu` or `cuda`."""
    return device.partition(":")[0]


def numbers_of(device: str) -> list[int]:
    """The devices that a name stands for: 0 and 2 of `cuda:0,2`; 0 of `cuda` and of `cpu`."""
    return [int(number) for number in (device.partition(":")[2] or "0").split(",")]


def find_device(library: str, wanted: str) -> str:
    """`cpu`, `cuda` or `cuda:0,1`. Raises EngineFailed when what is wanted is not there."""
    if wanted == "cpu":
        return wanted
    there = _count(library)
    if wanted == "auto":
        return "cuda" if there else "cpu"
    if not there:
        raise EngineFailed(f"device {wanted}: no CUDA device is usable here; use auto or cpu")
    if (most := max(numbers_of(wanted))) >= there:
        raise EngineFailed(f"device {wanted}: there is no device {most}, {there} are here")
    return wanted


def find_compute_type(library: str, device: str, wanted: str) -> str:
    """The arithmetic for a device. Raises EngineFailed when it does not have what is wanted."""
    known = COMPUTE_TYPES[library, kind_of(device)]
    supported = _supported(device) if library == "whisper" else set(known)
    if wanted == "default":
        return next((t for t in known if t in supported), "default")
    # CTranslate2 chooses what is quickest.
    others = ("default", "auto") if library == "whisper" else ("default",)
    if wanted not in supported and wanted not in others:
        allowed = ", ".join((*others, *sorted(supported)))
        raise EngineFailed(f"compute_type: {wanted!r} is not one of {allowed}")
    return wanted


def _count(library: str) -> int:
    if library == "torch":
        import torch

        return torch.cuda.device_count()
    from ctranslate2 import get_cuda_device_count

    return int(get_cuda_device_count())


def _supported(device: str) -> set[str]:
    from ctranslate2 import get_supported_compute_types

    each = [get_supported_compute_types(kind_of(device), n) for n in numbers_of(device)]
    return set[str].intersection(*each)
