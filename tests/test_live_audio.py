"""What may be sent to the live socket: encodings, rates, frames, channels; and no speech."""

import asyncio

import jiwer
import pytest

from tests import encodings
from tests.conftest import Recording
from tests.encodings import encoded, in_container, interleaved, samples, silence
from tests.wire import adds_up, connected, transcribed

# The model errs where the upper half of the band is gone; measured: 0.
TELEPHONE_ERRORS_MAX = 0.05
BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}


async def heard(
    server_url: str, speech: list[Recording], encoding: str, rate: int
) -> tuple[list[str], bool]:
    """The text of each recording sent in an encoding and rate; whether all accounts add up."""
    frame = BYTES[encoding] * (rate // 50)
    clients = await asyncio.gather(
        *(
            transcribed(
                server_url,
                encoded(samples(r.pcm), encoding, rate),
                frame=frame,
                encoding=encoding,
                sample_rate=rate,
            )
            for r in speech
        )
    )
    # A resampler may round the last sample either way.
    received = [client.account["received"] for client in clients]
    assert received == pytest.approx([len(r.pcm) // 2 for r in speech], abs=2)
    sums = [adds_up(c, n) for c, n in zip(clients, received, strict=True)]
    return [client.text() for client in clients], all(sums)


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [
        ("pcm_f32le", 16_000),
        ("mulaw", 16_000),
        ("alaw", 16_000),
        ("pcm_s16le", 22_050),
        ("pcm_s16le", 44_100),
        ("pcm_s16le", 48_000),
        ("pcm_f32le", 48_000),
        ("pcm_f32le", 96_000),
    ],
)
async def test_every_encoding_and_rate_gives_the_same_text(
    server_url: str, speech: list[Recording], encoding: str, rate: int
) -> None:
    texts, add_up = await heard(server_url, speech, encoding, rate)
    assert texts == [r.text for r in speech]
    assert add_up


@pytest.mark.parametrize("encoding", ["mulaw", "alaw", "pcm_s16le"])
async def test_telephone_audio_is_understood(
    server_url: str, speech: list[Recording], encoding: str
) -> None:
    texts, add_up = await heard(server_url, speech, encoding, 8_000)
    assert jiwer.wer([r.text for r in speech], texts) <= TELEPHONE_ERRORS_MAX
    assert add_up


@pytest.mark.parametrize("encoding", encodings.LIVE)
async def test_opus_in_a_container_is_transcribed(
    server_url: str, speech: list[Recording], encoding: str
) -> None:
    recording = speech[10]
    async with connected(server_url) as client:
        await client.start(encoding=encoding)
        for data in in_container(samples(recording.pcm), encoding):
            await client.audio(data)
        await client.finish()
    assert client.close_code == 1000
    assert client.text() == recording.text
    received = client.account["received"]
    assert received == pytest.approx(len(recording.pcm) // 2, abs=1600)
    assert adds_up(client, received)


@pytest.mark.parametrize("milliseconds", [5, 100, 2000])
async def test_frames_may_have_any_size(
    server_url: str, speech: list[Recording], milliseconds: int
) -> None:
    clients = await asyncio.gather(
        *(transcribed(server_url, r.pcm, frame=32 * milliseconds) for r in speech)
    )
    assert [client.text() for client in clients] == [r.text for r in speech]
    assert all(adds_up(c, len(r.pcm) // 2) for c, r in zip(clients, speech, strict=True))


async def test_each_channel_has_a_transcript_of_its_own(
    server_url: str, speech: list[Recording]
) -> None:
    agent, caller = speech[10], speech[11]
    client = await transcribed(
        server_url, interleaved(agent.pcm, caller.pcm), frame=1280, channels=2
    )
    assert client.text(0) == agent.text
    assert client.text(1) == caller.text
    accounts = client.of("done")[0]["channels"]
    assert [a["received"] for a in accounts] == [len(caller.pcm) // 2] * 2
    assert adds_up(client, len(caller.pcm))


async def test_the_finals_of_a_channel_are_in_order_whatever_the_other_does(
    server_url: str, speech: list[Recording]
) -> None:
    both = interleaved(speech[10].pcm, speech[11].pcm, speech[5].pcm)
    client = await transcribed(server_url, both, frame=1920, channels=3)
    for channel in range(3):
        numbers = [final["utterance"] for final in client.finals(channel)]
        assert numbers == sorted(set(numbers))
        starts = [final["start"] for final in client.finals(channel)]
        assert starts == sorted(starts)


async def test_a_silent_channel_beside_a_speaking_one_stays_silent(
    server_url: str, speech: list[Recording]
) -> None:
    client = await transcribed(server_url, interleaved(speech[0].pcm, b""), frame=1280, channels=2)
    assert client.text(0) == speech[0].text
    assert client.text(1) == ""
    assert client.of("done")[0]["channels"][1]["silence"] == len(speech[0].pcm) // 2


@pytest.mark.parametrize(
    "sound",
    [
        silence(40),
        encodings.white_noise(30, 0.001),
        encodings.white_noise(30, 0.01),
        encodings.white_noise(30, 0.1),
        encodings.white_noise(30, 0.3),
        encodings.hum(30, 0.02),
        encodings.hum(30, 0.2),
    ],
    ids=["silence", "hiss", "noise 0.01", "noise 0.1", "noise 0.3", "hum 0.02", "hum 0.2"],
)
async def test_what_is_no_speech_gives_no_words(server_url: str, sound: bytes) -> None:
    client = await transcribed(server_url, sound, frame=3200)
    assert client.text() == ""
    assert [p["text"] for p in client.of("partial")] == []
    assert adds_up(client, len(sound) // 2)
    assert client.account["dropped"] == 0


async def test_speech_after_a_long_silence_is_whole_and_in_its_place(
    server_url: str, speech: list[Recording]
) -> None:
    recording = speech[5]
    client = await transcribed(server_url, silence(60) + recording.pcm, frame=3200)
    assert client.text() == recording.text
    (final,) = client.of("final")
    assert final["start"] == pytest.approx(60.3, abs=0.35)
    assert final["words"][-1]["end"] == pytest.approx(62.225, abs=0.35)


async def test_speech_in_noise_is_still_heard(server_url: str, speech: list[Recording]) -> None:
    recording = speech[10]
    clean = samples(recording.pcm)
    noise = samples(encodings.white_noise(len(clean) / 16_000, 0.003))
    client = await transcribed(server_url, encodings.pcm(clean + noise[: len(clean)]))
    assert jiwer.wer(recording.text, client.text()) <= 0.1


async def test_nothing_at_all_is_a_whole_recording(server_url: str) -> None:
    client = await transcribed(server_url, b"")
    assert client.kinds == ["ready", "done"]
    assert adds_up(client, 0)
