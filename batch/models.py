"""From what the operator asked for to a model on this machine, and why it is that one.

`auto` is a cached Whisper that suits the device, else a download, else whatever Whisper is cached,
else the English model that comes inside the pocketsphinx package. A model that was named is that
model or an error.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from batch import hub
from batch.backends import find
from batch.backends.base import Backend, ModelInfo
from batch.backends.lane import Recipe
from batch.backends.processes import Processes
from batch.devices import find_compute_type, find_device, kind_of
from batch.options import ModelOptions
from streaming.errors import EngineFailed

logger = logging.getLogger("batch.models")

POCKETSPHINX = "pocketsphinx"
DOTTED = re.compile(r"[\w.]+:\w+")
TRAITS = "stentor.json"
# From this size on, threads that share a model are as good: they spend their time in the library.
LARGE_BYTES = 64 << 20
FORMATS = {"whisper": hub.CTRANSLATE2, "torch": hub.CHECKPOINT}
# They were made without the translations that Whisper learned from, and write what they hear.
NOT_TRANSLATING = re.compile("turbo|distil")
# From small to large; a model from here is asked for by its name.
LADDER = ("tiny", "base", "small", "medium", "large-v2", "large-v3", "large-v3-turbo")
# Smaller, better suited or the same for English only; `auto` takes them after those of the ladder.
ENGLISH = (
    *("tiny.en", "base.en", "distil-small.en", "small.en", "distil-medium.en", "medium.en"),
    *("distil-large-v2", "distil-large-v3", "distil-large-v3.5"),
)


class ModelTraits(BaseModel):
    """What a model handles well; a file `stentor.json` in its folder may say so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_seconds_max: Annotated[float, Field(ge=2, le=30)] = 15.0
    file_window_seconds_max: Annotated[float, Field(ge=2, le=30)] = 28.0
    final_window: Literal["auto", "full", "trimmed"] = "auto"
    keeps_context: bool = True
    translates: bool = True


@dataclass(frozen=True, slots=True)
class Resolved:
    """A model that is on this machine; `folder` is None for the one inside a package."""

    folder: Path | None
    info: ModelInfo


def load(options: ModelOptions) -> Backend:
    """The backend that is asked for, not warmed up. Raises EngineFailed."""
    backend: Backend
    if DOTTED.fullmatch(options.name):
        backend = find(options.name)(options)
        return backend
    resolved = resolve(options)
    if resolved.folder is None:
        backend = find(resolved.info.backend)(resolved.info)
    else:
        backend = _recipe(resolved.folder, resolved.info, options).load()
    return backend


@contextmanager
def loaded_apart(options: ModelOptions, *, at_once: bool = False) -> Iterator[Backend]:
    """As `load`, but the lanes of a small model on a CPU are processes, if there are several, begun
    when there is enough to do, or `at_once`; they are gone when this is left."""
    with closing(_loaded_apart(options, at_once=at_once)) as backend:
        yield backend


def _loaded_apart(options: ModelOptions, *, at_once: bool) -> Backend:
    if options.lanes < 2 or DOTTED.fullmatch(options.name):
        return load(options)
    resolved = resolve(options)
    folder, info = resolved.folder, resolved.info
    if folder is None or (info.backend, info.device) != ("whisper", "cpu") or _is_large(folder):
        return load(options)
    recipe = _recipe(folder, info, options.model_copy(update={"lanes": 1}))
    return Processes(recipe, options.lanes, at_once=at_once)


def _recipe(folder: Path, info: ModelInfo, options: ModelOptions) -> Recipe:
    return Recipe(folder, info, read_traits(folder, info.device, info.name), options)


def _is_large(folder: Path) -> bool:
    return (folder / "model.bin").stat().st_size > LARGE_BYTES


def resolve(options: ModelOptions) -> Resolved:
    """Raises EngineFailed, saying what to do, when the model cannot be had."""
    if options.name == "auto":
        return _auto(options)
    if options.name == POCKETSPHINX:
        return Resolved(None, _embedded("named in the configuration"))
    # Asking the hub's client for its names takes longer than a short file does.
    if "/" not in options.name and options.name in hub.sizes():
        folder, why = _had(options.name, options)
        return Resolved(folder, _whisper(options.name, options, why))
    folder = Path(options.name).expanduser()
    if folder.is_dir():
        library = _library(options)
        if options.backend == "auto" and hub.is_checkpoint(folder):
            library = "torch"
        hub.check(folder, str(folder), FORMATS[library])
        chosen = options.model_copy(update={"backend": library})
        return Resolved(folder, _whisper(folder.resolve().name, chosen, "the configured folder"))
    if options.name.count("/") != 1 or options.name.startswith((".", "/", "~")):
        raise EngineFailed(unknown(options.name))
    folder, why = _had(options.name, options)
    return Resolved(folder, _whisper(options.name, options, why))


def read_traits(folder: Path, device: str, name: str = "") -> ModelTraits:
    """What `stentor.json` says, with what suits Whisper on the device where it says nothing."""
    fitting = {
        "window_seconds_max": 15.0 if kind_of(device) == "cpu" else 28.0,
        "translates": not NOT_TRANSLATING.search(name),
    }
    file = folder / TRAITS
    if not file.is_file():
        return ModelTraits.model_validate(fitting)
    try:
        given = TypeAdapter(dict[str, Any]).validate_json(file.read_bytes())
        return ModelTraits.model_validate(fitting | given)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        raise EngineFailed(f"{file}: {where}{problem['msg']}") from error


# ---- auto


def _auto(options: ModelOptions) -> Resolved:
    kind = kind_of(find_device(_library(options), options.device))
    form = _format(options)
    cores = _cores()
    wanted = best_size(kind, cores)
    sensible, others = _preferred(wanted, kind)
    for name in sensible:
        if (folder := hub.cached(name, form)) is not None:
            why = f"the best of those cached for {_place(kind, cores)}"
            if name != wanted:
                why += f"; `stentor models pull {wanted}` would get a better one"
            return Resolved(folder, _whisper(name, options, why))
    try:
        folder, why = _had(wanted, options)
        return Resolved(folder, _whisper(wanted, options, why))
    except EngineFailed as error:
        reason = str(error)
    for name in others:
        if (folder := hub.cached(name, form)) is not None:
            why = f"the only cached one, slow on {_place(kind, cores)}; {reason}"
            logger.warning("running %s: %s", name, why)
            return Resolved(folder, _whisper(name, options, why, fallback=True))
    logger.warning("NO WHISPER MODEL: %s", reason)
    logger.warning(
        "falling back to the English model inside pocketsphinx: its accuracy is LOW. "
        "Name a folder with --model, or run `stentor models pull %s` where there is a network.",
        wanted,
    )
    return Resolved(None, _embedded(f"no Whisper could be had: {reason}", fallback=True))


def best_size(device: str, cores: int) -> str:
    """The most accurate size that keeps up with live speech."""
    if device == "cuda":
        return "large-v3-turbo"
    if cores >= 8:
        return "small"
    return "base" if cores >= 2 else "tiny"


def _preferred(wanted: str, device: str) -> tuple[list[str], list[str]]:
    """Sizes that suit the device, best first; and those too large for it, smallest first."""
    place = LADDER.index(wanted)
    larger = list(LADDER[place + 1 :])
    english = [name for name in reversed(ENGLISH) if device == "cuda" or _base(name) <= place]
    suitable = [*LADDER[place::-1], *english]
    return suitable, [*larger, *(name for name in ENGLISH if name not in english)]


def _base(name: str) -> int:
    """Where on the ladder the model stands of which `name` is the English variant."""
    plain = name.removeprefix("distil-").removesuffix(".en")
    return LADDER.index(plain) if plain in LADDER else len(LADDER)


def _place(device: str, cores: int) -> str:
    return "this GPU" if device == "cuda" else f"{cores} CPU core{'s' * (cores != 1)}"


# ---- having it


def _had(name: str, options: ModelOptions) -> tuple[Path, str]:
    """The folder of a size or hub id, downloaded if need be, and how it came here."""
    if (folder := hub.cached(name, _format(options))) is not None:
        return folder, "cached"
    if not options.download:
        raise EngineFailed(
            f"{name} is not cached and downloads are off; run `stentor models pull {name}`"
        )
    logger.info("downloading %s", name)
    return hub.pull(name, _format(options)), "downloaded"


def unknown(name: str) -> str:
    if "/" in name:
        return f"there is no folder {name}"
    known = ("auto", POCKETSPHINX, *hub.sizes())
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; sizes are {', '.join(known)}"
    return f"{name!r} is neither a folder nor a model we know{hint}"


# ---- what it runs on


def _library(options: ModelOptions) -> str:
    """What runs a model: CTranslate2, unless another is asked for."""
    return "whisper" if options.backend == "auto" else options.backend


def _format(options: ModelOptions) -> hub.Format:
    return FORMATS[_library(options)]


def _whisper(name: str, options: ModelOptions, why: str, fallback: bool = False) -> ModelInfo:
    library = _library(options)
    device = find_device(library, options.device)
    compute_type = find_compute_type(library, device, options.compute_type)
    return ModelInfo(name, library, device, compute_type, why, fallback)


def _embedded(why: str, fallback: bool = False) -> ModelInfo:
    return ModelInfo("pocketsphinx-en-us", POCKETSPHINX, "cpu", "float32", why, fallback)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def known() -> Iterator[tuple[str, str]]:
    """Every size with its id on the hub, smallest first, aliases left out."""
    seen = set()
    for name, repository in hub.sizes().items():
        if repository not in seen:
            seen.add(repository)
            yield name, repository
