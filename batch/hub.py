"""The Hugging Face hub: what is in its cache on this machine, and fetching what is not."""

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from streaming.errors import EngineFailed

logger = logging.getLogger("batch.hub")

# In all, name resolution included, which has no time limit of its own.
REACH_SECONDS_MAX = 3.5


@dataclass(frozen=True, slots=True)
class Format:
    """How a model lies in a folder. One of the names in each row of `needed` must be there; `more`
    is fetched too where it is there, patterns among it."""

    name: str
    needed: tuple[tuple[str, ...], ...]
    more: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        return [*(name for names in self.needed for name in names), *self.more]

    def missing(self, folder: Path) -> Iterator[str]:
        """What a model's folder lacks."""
        for names in self.needed:
            if not any((folder / name).is_file() for name in names):
                yield " or ".join(names)


# Of sizes, as faster-whisper has them.
ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
CTRANSLATE2 = Format(
    "CTranslate2",
    (("model.bin",), ("config.json",), ("tokenizer.json",), ("vocabulary.json", "vocabulary.txt")),
    ("preprocessor_config.json",),
)
# What OpenAI publishes on the hub.
CHECKPOINT = Format(
    "PyTorch",
    (("model.safetensors", "model.safetensors.index.json"), ("config.json",), ("tokenizer.json",)),
    ("model-0*.safetensors", "generation_config.json"),
)


def sizes() -> Mapping[str, str]:
    """Names of Whisper models with their ids on the hub, as faster-whisper has them."""
    from faster_whisper.utils import _MODELS

    return _MODELS  # type: ignore[no-any-return]


def is_checkpoint(folder: Path) -> bool:
    """Whether it holds PyTorch's weights, and none of CTranslate2's."""
    weights = CHECKPOINT.needed[0]
    return any((folder / w).is_file() for w in weights) and not (folder / "model.bin").is_file()


def check(folder: Path, name: str, form: Format = CTRANSLATE2) -> None:
    """Raises EngineFailed, naming what is missing, when it is not a model of this form."""
    lacking = list(form.missing(folder))
    if not lacking:
        return
    hint = ""
    if form is CTRANSLATE2 and is_checkpoint(folder):
        hint = (
            "; it holds a PyTorch model, for --backend torch, or to be converted with "
            "`ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json`"
        )
    raise EngineFailed(
        f"{name} is not a Whisper model for {form.name}: it has no {', no '.join(lacking)}{hint}"
    )


def cached(name: str, form: Format = CTRANSLATE2) -> Path | None:
    """The folder of a complete model in the cache; an interrupted download is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repository(name, form), allow_patterns=form.wanted, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return None if any(form.missing(Path(found))) else Path(found)


def others() -> Iterator[str]:
    """Ids of complete models in the cache that have no short name."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = {r.repo_id for r in scan_cache_dir().repos if r.repo_type == "model"}
    except CacheNotFound:
        return
    yield from sorted(name for name in found - set(sizes().values()) if cached(name))


def pull(name: str, form: Format = CTRANSLATE2) -> Path:
    """Fetches a model into the cache, with a progress bar on a terminal.

    Raises EngineFailed, within 5 s when the hub cannot be reached.
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    place = repository(name, form)
    _reach(name, place)
    try:
        folder = Path(snapshot_download(place, allow_patterns=form.wanted, etag_timeout=5))
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise EngineFailed(f"{name} could not be downloaded: {error}") from error
    check(folder, place, form)
    return folder


def repository(name: str, form: Format = CTRANSLATE2) -> str:
    """The id on the hub of a size, or the id that was given."""
    if form is CTRANSLATE2 or name not in sizes():
        return sizes().get(name, name)
    if name.startswith("distil-"):
        return f"distil-whisper/{name}"
    return f"openai/whisper-{ALIASES.get(name, name)}"


def _reach(name: str, repository: str) -> None:
    """Raises EngineFailed when the hub does not answer at once, or does not have the model.

    The hub's own client tries for minutes before it says so.
    """
    import httpx
    from huggingface_hub import constants, get_token

    place = constants.ENDPOINT
    advice = "Copy a model's folder here and name it with --model, or set HF_ENDPOINT to a mirror."
    if constants.HF_HUB_OFFLINE:
        raise EngineFailed(f"{name} is not on this machine, and HF_HUB_OFFLINE is set. {advice}")
    token = get_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    outcome: list[int | Exception] = []

    def ask() -> None:
        try:
            url = f"{place}/{repository}/resolve/main/config.json"
            outcome.append(httpx.head(url, headers=headers, timeout=REACH_SECONDS_MAX).status_code)
        except Exception as error:
            outcome.append(error)

    # A daemon, because a name that does not resolve can hold it for longer than anybody waits.
    thread = threading.Thread(target=ask, name="hub", daemon=True)
    thread.start()
    thread.join(REACH_SECONDS_MAX)
    answer = outcome[0] if outcome else TimeoutError(f"no answer within {REACH_SECONDS_MAX:g} s")
    match answer:
        case 401 | 404:
            raise EngineFailed(
                f"{place} has no public model {repository}; HF_TOKEN is needed for a private one"
            )
        case int() if answer < 400:
            return
        case int():
            problem, cause = f"answers with status {answer}", None
        case _:
            problem, cause = f"cannot be reached ({answer or type(answer).__name__})", answer
    raise EngineFailed(f"{name} is not on this machine, and {place} {problem}. {advice}") from cause
