"""Voice agents' own plugins for AssemblyAI, unmodified, each in an environment of its own."""

import json
import subprocess

import pytest

from tests.conftest import ROOT, Recording
from tests.sdk_cache import python_with

PROGRAMS = ROOT / "tests" / "sdk"
HELLO = 0  # of the recordings


def run(program: str, url: str, recording: Recording, *packages: str) -> list[tuple[str, str]]:
    """The events that a program tells of, each with its text."""
    given = json.dumps({"url": url.replace("http", "ws", 1), "wav": str(recording.path)})
    command = [python_with(*packages), str(PROGRAMS / program), given]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return [(kind, text) for kind, text in json.loads(ended.stdout)]


def plain(text: str) -> str:
    """As it is heard."""
    return text.replace(",", "").replace(".", "").lower()


@pytest.mark.timeout(400)
def test_livekits_plugin(server_url: str, speech: list[Recording]) -> None:
    found = run(
        "livekit_program.py", server_url, speech[HELLO], "livekit-plugins-assemblyai==1.8.9"
    )
    kinds = [kind for kind, _ in found]
    assert kinds[0] == "start_of_speech"
    assert kinds.index("interim_transcript") < kinds.index("final_transcript")
    # By default it ends a turn at every pause of 100 ms.
    finals = [text for kind, text in found if kind == "final_transcript"]
    assert plain(" ".join(finals)) == plain(speech[HELLO].text)


@pytest.mark.timeout(400)
def test_pipecats_service(server_url: str, speech: list[Recording]) -> None:
    found = run(
        "pipecat_program.py", server_url + "/v3/ws", speech[HELLO], "pipecat-ai[assemblyai]==1.14.0"
    )
    kinds = [kind for kind, _ in found]
    assert "ErrorFrame" not in kinds
    assert kinds.index("InterimTranscriptionFrame") < kinds.index("TranscriptionFrame")
    finals = [text for kind, text in found if kind == "TranscriptionFrame"]
    assert plain(" ".join(finals)) == plain(speech[HELLO].text)
