"""A real Asterisk calls us: `apt-get install asterisk`, where Debian has it."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asterisk import Asterisk, running_asterisk
from tests.conftest import Recording, Server, free_port, running_server
from tests.telephone_rigs import ended, mulaw, reading

PROGRAM = shutil.which("asterisk")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no asterisk on this machine")

DIAL_PLAN = """
[stentor]
exten => _X!,1,Answer()
 same => n,AudioSocket({call},127.0.0.1:{port})
 same => n,Hangup()
"""


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
    assert PROGRAM is not None
    dial_plan = DIAL_PLAN.format(call=call, port=port)
    with running_asterisk(PROGRAM, tmp_path, extensions=dial_plan) as asterisk:
        yield asterisk


@pytest.fixture
def sound(tmp_path: Path, speech: list[Recording]) -> Path:
    (tmp_path / "speech.ulaw").write_bytes(mulaw(speech[0].pcm))
    return tmp_path / "speech"


CHANNELS = ["Local/100@stentor/n", "AudioSocket/{at}/{call}", "AudioSocket/{at}/{call}/c(slin16)"]


@pytest.fixture(params=CHANNELS)
def channel(request: pytest.FixtureRequest, port: int, call: str) -> str:
    name: str = request.param
    return name.format(at=f"127.0.0.1:{port}", call=call)


async def test_it_dials_our_audiosocket(
    asterisk: Asterisk, stentor: Server, channel: str, call: str, sound: Path
) -> None:
    async with reading(stentor.url, call) as reader:
        asterisk.call(channel, sound)
        await ended(reader)
    assert reader.text() == "Hello, good morning."
