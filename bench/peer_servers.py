"""The servers that ours is compared with: how each is installed, and started as is best for it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.environments import Environment
from bench.launch import Launch, free_port

SESSIONS_MAX = 1000  # more than are ever tried: nobody is to be refused

# First, and alone: pip leaves what is there, so a machine's own build of this version stays.
TORCH = ("torch==2.13.0",)

WHISPERLIVE = Environment(
    "whisper-live",
    (
        TORCH,
        ("faster-whisper==1.2.0", "tokenizers==0.20.3", "onnxruntime", "av", "websockets",
         "fastapi", "uvicorn", "python-multipart"),
        # Not with all it asks for: PyAudio, for a microphone, cannot be built everywhere.
        ("--no-deps", "whisper-live==0.10.0"),
    ),
)  # fmt: skip

WHISPERLIVEKIT = Environment(
    "whisperlivekit", (TORCH, ("whisperlivekit==0.2.26", "faster-whisper==1.2.1"))
)


@dataclass(frozen=True, slots=True)
class Peer:
    """`arguments` of its Python for a model's folder and a port; `first` streams to begin with."""

    name: str
    protocol: str
    environment: Environment
    arguments: Callable[[str, int], list[str]]
    ready_path: str = "/"
    first: int = 2

    def launch(self, python: Path, model: str, threads: int) -> Launch:
        port = free_port()
        return Launch(
            [str(python), *self.arguments(str(Path(model).absolute()), port)],
            port,
            self.ready_path,
            {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
            # Not the checkout, whose packages it would find before its own.
            folder=python.parents[1],
        )


def whisperlive(**more: Any) -> Callable[[str, int], list[str]]:
    """The package has no command to start the server, but a method with all options."""
    code = (
        "import json, sys; from whisper_live.server import TranscriptionServer; "
        "TranscriptionServer().run(**json.loads(sys.argv[1]))"
    )

    def arguments(model: str, port: int) -> list[str]:
        options = {
            "host": "127.0.0.1",
            "port": port,
            "backend": "faster_whisper",
            "faster_whisper_custom_model_path": model,
            "single_model": True,
            "max_clients": SESSIONS_MAX,
            "max_connection_time": 3600,
            **more,
        }
        return ["-c", code, json.dumps(options)]

    return arguments


def whisperlivekit(model: str, port: int) -> list[str]:
    code = "from whisperlivekit.basic_server import main; main()"
    flags = "--language en --pcm-input --backend faster-whisper --backend-policy localagreement"
    where = ["--host", "127.0.0.1", "--port", str(port), "--model_dir", model]
    return ["-c", code, *where, *flags.split(), "--log-level", "WARNING"]


PEERS = (
    Peer("WhisperLive", "whisperlive", WHISPERLIVE, whisperlive()),
    Peer(
        "WhisperLive, batched",
        "whisperlive",
        WHISPERLIVE,
        whisperlive(
            batch_enabled=True,
            batch_max_queue_wait_s=3600,
            batch_max_admissions_per_s=SESSIONS_MAX,
        ),
    ),
    Peer("WhisperLiveKit", "whisperlivekit", WHISPERLIVEKIT, whisperlivekit, "/health"),
)
