"""Which model runs: named, cached, downloaded or embedded; what is said when none can be had."""

import json
import logging
import shutil
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from pydantic import ValidationError

from batch import hub
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.backends.whisper import WhisperBackend
from batch.models import ModelTraits, best_size, known, load, read_traits, resolve
from batch.options import ModelOptions
from streaming.errors import EngineFailed
from tests.conftest import NANO, NANO_HF
from tests.hub import COMMIT, silent_hub
from tests.hub import hub as running_hub

TINY, BASE = "Systran/faster-whisper-tiny", "Systran/faster-whisper-base"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, and a hub that refuses connections."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    point_at("http://127.0.0.1:1", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return folder


def point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does when the library is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def put(cache: Path, repository: str, without: str = "") -> Path:
    """A model in the cache, as a download leaves it."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    folder = place / "snapshots" / COMMIT
    shutil.copytree(NANO, folder, ignore=shutil.ignore_patterns("train", "README.md", without))
    return folder


def refusal(**options: object) -> str:
    with pytest.raises(EngineFailed) as caught:
        resolve(ModelOptions.model_validate(options))
    return caught.value.message


# ---- a name


def test_a_folder_is_taken_as_it_is() -> None:
    found = resolve(ModelOptions(name=str(NANO), device="cpu"))
    assert found.folder == NANO
    assert found.info.name == "nano"
    assert found.info.why == "the configured folder"
    assert not found.info.fallback


def test_a_folder_without_a_model_is_refused_by_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    said = refusal(name=str(tmp_path), backend="whisper")
    assert "no model.bin, no tokenizer.json, no vocabulary.json or vocabulary.txt" in said
    assert "ct2-transformers-converter" in said


def test_a_checkpoint_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    assert refusal(name=str(tmp_path)).endswith("model for PyTorch: it has no tokenizer.json")


def test_a_folder_with_a_checkpoint_runs_on_torch() -> None:
    found = resolve(ModelOptions(name=str(NANO_HF), device="cpu"))
    assert (found.info.backend, found.info.compute_type) == ("torch", "float32")
    assert isinstance(load(ModelOptions(name=str(NANO_HF), device="cpu")), TorchWhisperBackend)
    assert "--backend torch" in refusal(name=str(NANO_HF), backend="whisper")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("base", "openai/whisper-base"),
        ("turbo", "openai/whisper-large-v3-turbo"),
        ("distil-large-v3", "distil-whisper/distil-large-v3"),
        ("someone/their-whisper", "someone/their-whisper"),
    ],
)
def test_a_checkpoint_comes_from_who_trained_it(name: str, expected: str) -> None:
    assert hub.repository(name, hub.CHECKPOINT) == expected


def test_a_checkpoint_is_downloaded_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_hub("openai/whisper-tiny", NANO_HF) as address:
        point_at(address, monkeypatch)
        found = resolve(ModelOptions(name="tiny", backend="torch", device="cpu"))
    assert (found.info.backend, found.info.why) == ("torch", "downloaded")
    assert found.folder is not None
    assert (found.folder / "generation_config.json").is_file()
    again = resolve(ModelOptions(name="tiny", backend="torch", device="cpu"))
    assert again.info.why == "cached"


def test_a_folder_with_a_broken_model_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    shutil.copytree(NANO, tmp_path / "broken")
    (tmp_path / "broken" / "model.bin").write_bytes(b"no model")
    with pytest.raises(EngineFailed, match="cannot be loaded"):
        load(ModelOptions(name=str(tmp_path / "broken"), device="cpu"))


def test_a_folder_that_is_not_there_is_refused() -> None:
    assert refusal(name="./nowhere") == "there is no folder ./nowhere"


def test_an_unknown_size_is_refused_with_the_nearest_one() -> None:
    assert refusal(name="tinny").endswith("did you mean tiny?")


def test_a_cached_size_needs_no_hub(cache: Path) -> None:
    folder = put(cache, TINY)
    found = resolve(ModelOptions(name="tiny"))
    assert (found.folder, found.info.name, found.info.why) == (folder, "tiny", "cached")


def test_a_cached_hub_id_needs_no_hub(cache: Path) -> None:
    folder = put(cache, "someone/their-whisper")
    assert resolve(ModelOptions(name="someone/their-whisper")).folder == folder


def test_an_interrupted_download_is_not_a_cached_model(cache: Path) -> None:
    put(cache, TINY, without="model.bin")
    assert hub.cached("tiny") is None


def test_a_named_model_that_cannot_be_had_is_an_error_that_says_what_to_do() -> None:
    said = refusal(name="tiny")
    assert said.startswith("tiny is not on this machine")
    assert "cannot be reached" in said
    assert "--model" in said


def test_downloads_can_be_off() -> None:
    assert "downloads are off" in refusal(name="tiny", download=False)


def test_the_hubs_own_offline_switch_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal(name="tiny")


def test_an_arithmetic_the_device_does_not_have_is_refused() -> None:
    said = refusal(name=str(NANO), device="cpu", compute_type="int7")
    assert said.startswith("compute_type: 'int7' is not one of default, auto, ")


@pytest.mark.parametrize("device", ["cuda:0", "cuda:0,1"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    for name in (NANO, NANO_HF):
        assert refusal(name=str(name), device=device).startswith(f"device {device}: ")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:0,", "cuda:a", "cpu:0"])
def test_a_device_of_no_kind_is_refused(device: str) -> None:
    with pytest.raises(ValidationError, match="should be auto, cpu, cuda, or devices such as"):
        ModelOptions(device=device)


# ---- the hub


def test_a_size_is_downloaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_hub(TINY, NANO) as address:
        point_at(address, monkeypatch)
        found = resolve(ModelOptions(name="tiny"))
    assert found.info.why == "downloaded"
    assert found.folder is not None
    assert found.folder.is_relative_to(cache)
    assert (found.folder / "model.bin").read_bytes() == (NANO / "model.bin").read_bytes()
    assert not (found.folder / "README.md").exists()
    assert resolve(ModelOptions(name="tiny")).info.why == "cached"


def test_auto_downloads_what_suits_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch.models._cores", lambda: 4)
    with running_hub(BASE, NANO) as address:
        point_at(address, monkeypatch)
        found = resolve(ModelOptions(device="cpu"))
    assert (found.info.name, found.info.why, found.info.fallback) == ("base", "downloaded", False)


def test_a_model_the_hub_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_hub(TINY, NANO) as address:
        point_at(address, monkeypatch)
        assert "has no public model someone/none" in refusal(name="someone/none")


def test_a_model_of_another_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    with running_hub("someone/llm", tmp_path) as address:
        point_at(address, monkeypatch)
        assert "is not a Whisper model for CTranslate2" in refusal(name="someone/llm")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://hub.invalid"])
def test_a_hub_that_is_not_there_is_noticed_at_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(address, monkeypatch)
    began = time.monotonic()
    assert "cannot be reached" in refusal(name="tiny")
    assert time.monotonic() - began < 5


def test_a_hub_that_never_answers_is_given_up_within_5_s(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_hub() as address:
        point_at(address, monkeypatch)
        began = time.monotonic()
        assert "cannot be reached" in refusal(name="tiny")
        assert time.monotonic() - began < 5


# ---- auto


def test_auto_takes_the_best_cached_one_that_suits(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.models._cores", lambda: 2)
    put(cache, TINY)
    put(cache, BASE)
    put(cache, "Systran/faster-whisper-medium")
    found = resolve(ModelOptions(device="cpu"))
    assert found.info.name == "base"
    assert found.info.why == "the best of those cached for 2 CPU cores"


def test_auto_prefers_a_model_of_all_languages(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.models._cores", lambda: 2)
    put(cache, TINY)
    put(cache, "Systran/faster-whisper-base.en")
    found = resolve(ModelOptions(device="cpu"))
    assert found.info.name == "tiny"
    assert "stentor models pull base" in found.info.why


def test_auto_takes_a_slow_one_rather_than_the_embedded_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.models._cores", lambda: 2)
    put(cache, "Systran/faster-whisper-medium")
    found = resolve(ModelOptions(device="cpu"))
    assert (found.info.name, found.info.fallback) == ("medium", True)
    assert "slow on 2 CPU cores" in found.info.why


def test_auto_falls_back_to_the_embedded_model_and_says_so_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = resolve(ModelOptions(device="cpu"))
    assert found.folder is None
    assert (found.info.backend, found.info.fallback) == ("pocketsphinx", True)
    assert "cannot be reached" in found.info.why
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert any("NO WHISPER MODEL" in text for text in warnings)
    assert any("accuracy is LOW" in text for text in warnings)


def test_the_embedded_model_that_was_asked_for_is_no_fallback() -> None:
    assert not resolve(ModelOptions(name="pocketsphinx")).info.fallback


def test_the_size_follows_the_machine() -> None:
    sizes = [best_size("cpu", 1), best_size("cpu", 2), best_size("cpu", 8), best_size("cuda", 4)]
    assert sizes == ["tiny", "base", "small", "large-v3-turbo"]


def test_every_size_is_listed_once() -> None:
    repositories = [repository for _, repository in known()]
    assert len(repositories) == len(set(repositories))
    assert repositories[1] == TINY


# ---- what a model handles


def test_whisper_has_longer_windows_on_a_gpu(tmp_path: Path) -> None:
    assert read_traits(tmp_path, "cpu") == ModelTraits()
    assert read_traits(tmp_path, "cuda").window_seconds_max == 28


def test_a_model_may_say_what_it_handles() -> None:
    assert read_traits(NANO, "cuda") == ModelTraits(
        window_seconds_max=8, file_window_seconds_max=8, final_window="trimmed", keeps_context=False
    )


@pytest.mark.parametrize(
    ("name", "translates"),
    [
        ("large-v3", True),
        ("large-v3-turbo", False),
        ("deepdml/faster-whisper-large-v3-turbo-ct2", False),
        ("distil-large-v3", False),
    ],
)
def test_models_made_without_translations_do_not_translate(
    name: str, translates: bool, tmp_path: Path
) -> None:
    assert read_traits(tmp_path, "cpu", name).translates == translates


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"window": 8}', "window: Extra inputs are not permitted"),
        ('{"window_seconds_max": 60}', "window_seconds_max: Input should be less than"),
        ("[]", "should be an object"),
        ("{", "Invalid JSON"),
    ],
)
def test_a_wrong_description_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "stentor.json").write_text(text)
    with pytest.raises(EngineFailed, match=said):
        read_traits(tmp_path, "cpu")


# ---- the backend


def test_a_folder_becomes_a_whisper_backend_with_its_traits() -> None:
    backend = load(ModelOptions(name=str(NANO), device="cpu"))
    assert isinstance(backend, WhisperBackend)
    assert (
        backend.window_seconds_max
        == json.loads((NANO / "stentor.json").read_text())["window_seconds_max"]
    )


class TheirBackend:
    def __init__(self, options: ModelOptions) -> None:
        self.options = options


def test_a_backend_of_ones_own_is_made_with_the_options() -> None:
    options = ModelOptions(name="tests.test_models:TheirBackend", threads=3)
    made = load(options)
    assert type(made).__name__ == "TheirBackend"
    assert vars(made) == {"options": options}


@pytest.mark.parametrize("name", ["no_such_module:Backend", "batch.models:NoSuchClass"])
def test_a_backend_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(EngineFailed, match="cannot be loaded"):
        load(ModelOptions(name=name))
