"""Streams in a container that is none, is cut, or is not as announced; no other stream notices."""

import pytest

from tests.bystander import speaker, undisturbed
from tests.conftest import Recording
from tests.encodings import LIVE, in_container, samples
from tests.sounds import media, tone
from tests.wire import Client, adds_up, connected

HELLO = 0


__all__ = ["speaker", "undisturbed"]


def assert_refused(client: Client) -> None:
    """The only error says that the audio is bad, and is why the socket was closed."""
    error = client.error
    assert (error["code"], error["fatal"], error["close_code"]) == ("bad_audio", True, 4415)
    assert error["message"]
    assert client.close_code == 4415
    assert client.kinds[-1] == "done"


@pytest.mark.parametrize("encoding", LIVE)
async def test_bytes_that_are_no_container_end_the_recording(
    server_url: str, encoding: str
) -> None:
    async with connected(server_url) as client:
        await client.start(encoding=encoding)
        await client.push(b"this is no container\n" * 20_000, frame=8000)
        await client.closed()
    assert_refused(client)


@pytest.mark.parametrize("encoding", LIVE)
@pytest.mark.parametrize("data", [b"x", b"no container\n" * 10_000], ids=["a byte", "text"])
async def test_bytes_that_are_no_container_are_told_after_stop_too(
    server_url: str, encoding: str, data: bytes
) -> None:
    async with connected(server_url) as client:
        await client.start(encoding=encoding)
        await client.audio(data)
        await client.finish()
    assert_refused(client)


async def test_a_container_without_sound_is_refused(server_url: str) -> None:
    async with connected(server_url) as client:
        await client.start(encoding="webm_opus")
        await client.audio(media(tone(1), 16_000, "webm", "", video="libvpx"))
        await client.finish()
    assert_refused(client)


async def test_other_channels_than_were_announced_are_refused(
    server_url: str, speech: list[Recording]
) -> None:
    async with connected(server_url) as client:
        await client.start(encoding="ogg_opus", channels=2)
        for data in in_container(samples(speech[HELLO].pcm), "ogg_opus"):
            await client.audio(data)
        await client.finish()
    assert_refused(client)
    assert client.error["field"] == "channels"
    assert "1" in client.error["allowed"]


@pytest.mark.parametrize("encoding", LIVE)
async def test_what_a_cut_container_holds_is_transcribed(
    server_url: str, speech: list[Recording], encoding: str
) -> None:
    recording = speech[10]
    whole = b"".join(in_container(samples(recording.pcm), encoding))
    async with connected(server_url) as client:
        await client.start(encoding=encoding)
        await client.push(whole[: len(whole) * 7 // 10], frame=1000)
        await client.finish()
    assert client.text().startswith("Good morning. I need a new password.")
    assert adds_up(client, client.account["received"])
    assert client.account["received"] == pytest.approx(0.7 * len(recording.pcm) / 2, rel=0.2)
