"""What tests share: the small model, an engine on it, the whole server on a real port, speech."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from batch.backends.base import ModelInfo
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.models import ModelTraits
from batch.options import EngineOptions, ModelOptions

ROOT = Path(__file__).parent.parent
NANO = ROOT / "tests" / "models" / "nano"
NANO_HF = ROOT / "tests" / "models" / "nano-hf"
SPEECH = ROOT / "tests" / "audio"
SHARED = ROOT.parent / "shared" / "audio"
START_SECONDS_MAX = 60

# What a shell starts in the background ignores SIGINT, and so would the programs that are tried.
signal.signal(signal.SIGINT, signal.default_int_handler)


# What fits on a machine that is busy with other tests is not what most tests are about.
UNREFUSING = EngineOptions(admit_by_load=False)


@dataclass(frozen=True)
class Recording:
    """A wav of 16 kHz mono s16 with what is said in it; words with their times where known."""

    path: Path
    text: str
    words: tuple[tuple[str, float, float], ...] = ()

    @property
    def pcm(self) -> bytes:
        with wave.open(str(self.path)) as file:
            frames: bytes = file.readframes(file.getnframes())
            return frames


def recordings(folder: Path) -> list[Recording]:
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return [
        Recording(folder / row["file"], row["text"], tuple(map(tuple, row.get("words", []))))
        for row in map(json.loads, lines)
    ]


@pytest.fixture(scope="session")
def speech() -> list[Recording]:
    """Synthetic sentences that nano transcribes exactly."""
    return recordings(SPEECH)


@pytest.fixture(scope="session")
def digits() -> list[Recording]:
    """Human speech, which the project does not ship."""
    if not (SHARED / "digits" / "manifest.jsonl").exists():
        pytest.skip("the recordings of human digits are not beside the checkout")
    return recordings(SHARED / "digits")


@pytest.fixture(scope="session")
def backend() -> WhisperBackend:
    traits = ModelTraits.model_validate_json((NANO / "stentor.json").read_text())
    info = ModelInfo("nano", "whisper", "cpu", "int8", "the tests' model")
    return WhisperBackend(NANO, info, traits, ModelOptions())


def torch_nano(*, apart: bool) -> TorchWhisperBackend:
    traits = ModelTraits.model_validate_json((NANO_HF / "stentor.json").read_text())
    info = ModelInfo("nano-hf", "torch", "cpu", "float32", "the tests' model")
    return TorchWhisperBackend(NANO_HF, info, traits, ModelOptions(), apart=apart)


@pytest.fixture(scope="session")
def torch_backend() -> TorchWhisperBackend:
    return torch_nano(apart=False)


@pytest.fixture(scope="session")
def torch_apart() -> Iterator[TorchWhisperBackend]:
    """With its device in a process of its own."""
    with closing(torch_nano(apart=True)) as backend:
        yield backend


@pytest.fixture(params=["here", "apart"])
def either(request: pytest.FixtureRequest) -> TorchWhisperBackend:
    name = {"here": "torch_backend", "apart": "torch_apart"}[request.param]
    backend: TorchWhisperBackend = request.getfixturevalue(name)
    return backend


@pytest.fixture
async def engine(backend: WhisperBackend) -> AsyncIterator[Engine]:
    async with Engine(backend, UNREFUSING) as engine:
        yield engine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]
    jobs: Path  # where jobs are kept, if no argument says otherwise


def start_server(*arguments: str, port: int | None = None, module: str = "server") -> Server:
    """The product as a user starts it, on the small model; ready when this returns. `module`: what
    starts it, where it is to have a fault."""
    port = port or free_port()
    command = [sys.executable, "-m", module, "serve", "--port", str(port)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STENTOR_")}
    jobs = Path(tempfile.gettempdir()) / f"stentor-tests-{os.getpid()}-{port}"
    environment["STENTOR_JOBS__FOLDER"] = str(jobs)  # made when there is a job
    process = subprocess.Popen(
        [*command, "--model", str(NANO), "--no-engine.admit-by-load", *arguments],
        cwd=ROOT,
        env=environment,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until_answered(url + "/readyz", process)
    except AssertionError:
        process.kill()
        raise
    return Server(url, process, jobs)


def until_answered(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until the process's server says 200 there. Before it listens nobody can tell."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} was not answered after {START_SECONDS_MAX} s")


def stop_server(server: Server) -> None:
    server.process.terminate()
    try:
        server.process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
    shutil.rmtree(server.jobs, ignore_errors=True)


@contextmanager
def running_server(*arguments: str, port: int | None = None) -> Iterator[Server]:
    server = start_server(*arguments, port=port)
    try:
        yield server
    finally:
        stop_server(server)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def server_url(server: Server) -> str:
    return server.url
