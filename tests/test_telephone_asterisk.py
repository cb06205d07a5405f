"""A real Asterisk calls us, by the examples: `apt-get install asterisk`, where Debian has it."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asterisk import Asterisk, running_asterisk
from tests.conftest import ROOT, Recording, Server, free_port, running_server
from tests.telephone_rigs import ended, mulaw, reading

PROGRAM = shutil.which("asterisk")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no asterisk on this machine")

EXAMPLES = ROOT / "clients" / "telephony" / "asterisk"
CHANNELS = [
    "Local/100@stentor/n",
    "Local/200@stentor/n",
    "AudioSocket/{at}/{call}",
    "AudioSocket/{at}/{call}/c(slin16)",
    "WebSocket/stentor/c(slin16)v(call_id={call})",
    "WebSocket/stentor/c(ulaw)f(json)v(call_id={call})",
]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def stentor(port: int) -> Iterator[Server]:
    with running_server("--audiosocket", f"127.0.0.1:{port}") as server:
        yield server


@pytest.fixture
def call() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def asterisk(tmp_path: Path, stentor: Server, port: int, call: str) -> Iterator[Asterisk]:
    """With the examples, but for the addresses, the id, and a desk that nobody sits at."""
    assert PROGRAM is not None
    dial_plan = (EXAMPLES / "extensions.conf").read_text()
    dial_plan = dial_plan.replace("127.0.0.1:9092", f"127.0.0.1:{port}")
    dial_plan = dial_plan.replace("${UUID()}", call).replace("Dial(PJSIP/desk)", "Wait(6)")
    client = (EXAMPLES / "websocket_client.conf").read_text()
    client = client.replace("ws://127.0.0.1:8000", stentor.url.replace("http", "ws"))
    files = {"extensions": dial_plan, "websocket_client": client}
    with running_asterisk(PROGRAM, tmp_path, **files) as asterisk:
        yield asterisk


@pytest.fixture
def sound(tmp_path: Path, speech: list[Recording]) -> Path:
    (tmp_path / "speech.ulaw").write_bytes(mulaw(speech[0].pcm))
    return tmp_path / "speech"


@pytest.fixture(params=CHANNELS)
def channel(request: pytest.FixtureRequest, port: int, call: str) -> str:
    name: str = request.param
    return name.format(at=f"127.0.0.1:{port}", call=call)


async def test_what_is_said_to_it_is_read(
    asterisk: Asterisk, stentor: Server, channel: str, call: str, sound: Path
) -> None:
    async with reading(stentor.url, call) as reader:
        asterisk.call(channel, sound)
        await ended(reader)
    assert reader.text() == "Hello, good morning."
