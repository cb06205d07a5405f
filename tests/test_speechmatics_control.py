"""Speechmatics' Python client in live sessions: delays, ends of utterances, channels, ends of all
kinds. The traps of its API that need a real client are here."""

import asyncio
import io
import json
import time
from typing import Any

import pytest
import websockets
from speechmatics.rt import (
    AsyncMultiChannelClient,
    AudioFormat,
    ConnectionConfig,
    ConversationConfig,
    ServerMessageType,
    SpeakerDiarizationConfig,
    TranscriptionError,
    TranslationConfig,
)

from tests.conftest import Recording, running_server
from tests.encodings import samples as sound_of
from tests.sounds import media
from tests.speechmatics_live import (
    BYTES_A_SECOND,
    PATIENCE,
    RAW,
    Heard,
    client_of,
    config,
    speak,
    spoken,
    transcribed,
    words_of,
)
from tests.speechmatics_wire import start_message

HELLO, DESK, TABLE = 0, 10, 11
PCM = "pcm_s16le"
QUICK: dict[str, Any] = {"max_delay": 0.7, "max_delay_mode": "fixed", "enable_partials": True}


def silence(seconds: float) -> bytes:
    return bytes(round(BYTES_A_SECOND * seconds))


def trigger(seconds: float) -> ConversationConfig:
    return ConversationConfig(end_of_utterance_silence_trigger=seconds)


async def test_a_partial_and_then_finals_come_while_audio_is_still_sent(
    server_url: str, speech: list[Recording]
) -> None:
    heard = await spoken(server_url, speech[DESK].pcm, **QUICK)
    first = heard.names.index("AddPartialTranscript")
    assert first < heard.names.index("AddTranscript")
    last_audio = len(heard.names) - 1 - heard.names[::-1].index("AudioAdded")
    early = [m for m in heard.messages[:last_audio] if m["message"] == "AddTranscript"]
    assert sum(len(words_of(message)) for message in early) > 10


async def test_each_final_is_followed_by_a_partial_with_what_is_open(
    server_url: str, speech: list[Recording]
) -> None:
    heard = await spoken(server_url, speech[DESK].pcm, **QUICK)
    names = [name for name in heard.names if name != "AudioAdded"]
    after = [names[at + 1] for at, name in enumerate(names) if name == "AddTranscript"]
    assert set(after) == {"AddPartialTranscript"}


async def test_utterances_end_after_the_silence_asked_for(
    server_url: str, speech: list[Recording]
) -> None:
    pcm = speech[HELLO].pcm + silence(2) + speech[HELLO].pcm + silence(2)
    heard = await spoken(server_url, pcm, conversation_config=trigger(1.0), **QUICK)
    names = [n for n in heard.names if n in ("AddTranscript", "EndOfUtterance", "EndOfTranscript")]
    assert names.count("EndOfUtterance") == 2
    assert names[-2:] == ["EndOfUtterance", "EndOfTranscript"]
    ends = heard.of("EndOfUtterance")
    assert all(e["metadata"]["start_time"] == e["metadata"]["end_time"] for e in ends)
    told = [heard.times[at] for at, n in enumerate(heard.names) if n == "EndOfUtterance"]
    for at, end in zip(told, ends, strict=True):
        assert at - end["metadata"]["end_time"] >= 0.9


async def test_an_utterance_is_ended_by_force(server_url: str, speech: list[Recording]) -> None:
    client, heard = client_of(server_url)
    pcm = speech[HELLO].pcm
    async with client:
        await client.start_session(transcription_config=config(), audio_format=RAW)
        await client.send_audio(pcm[: round(len(pcm) * 0.7) // 2 * 2])
        await client.force_end_of_utterance()
        await heard.wait_for(lambda h: h.of("EndOfUtterance"))
        final, end = heard.of("AddTranscript", "EndOfUtterance")
        assert (final["forced"], end["forced"]) == (True, True)
        assert words_of(final)[0] == "Hello"
        await client.force_end_of_utterance(timestamp=None)
        await heard.wait_for(lambda h: len(h.of("EndOfUtterance")) == 2)
        assert heard.finals[-1]["metadata"]["transcript"] == ""
        await client.stop_session()


async def test_settings_change_in_mid_session(server_url: str, speech: list[Recording]) -> None:
    client, heard = client_of(server_url)
    async with client:
        await client.start_session(transcription_config=config(), audio_format=RAW)
        await speak(client, heard, speech[HELLO].pcm)
        assert heard.of("AddPartialTranscript") == []
        change = {"message": "SetRecognitionConfig", "transcription_config": QUICK}
        await client.send_message(change)
        await speak(client, heard, speech[TABLE].pcm)
        await asyncio.wait_for(client.stop_session(), PATIENCE)
    assert len(heard.of("AddPartialTranscript")) > 4
    assert heard.text == f"{speech[HELLO].text} {speech[TABLE].text} "


async def test_an_error_in_mid_session_comes_after_what_was_said_before_and_ends_it(
    server_url: str, speech: list[Recording]
) -> None:
    client, heard = client_of(server_url)
    async with client:
        await client.start_session(transcription_config=config(), audio_format=RAW)
        await client.send_audio(speech[HELLO].pcm)
        change = {"message": "SetRecognitionConfig", "transcription_config": {"domain": "x"}}
        await client.send_message(change)
        await heard.wait_for(lambda h: h.of("Error"))
        await asyncio.wait_for(client.stop_session(), PATIENCE)
    assert heard.text == speech[HELLO].text + " "
    assert heard.names[-1] == "Error"
    assert heard.messages[-1]["type"] == "invalid_config"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"diarization": "speaker"}, "does not tell speakers apart"),
        ({"max_delay": 0.2}, "max_delay: 0.2 is not allowed; allowed: 0.7 to 20"),
        ({"language": "xx"}, "language 'xx' is not supported; supported: "),
    ],
)
async def test_what_cannot_be_done_is_said_before_the_start(
    server_url: str, fields: dict[str, Any], reason: str
) -> None:
    client, _ = client_of(server_url)
    with pytest.raises(TranscriptionError, match=reason):
        await client.start_session(transcription_config=config(**fields), audio_format=RAW)


async def test_all_settings_of_the_client_are_taken(
    server_url: str, speech: list[Recording]
) -> None:
    fields = {
        "model": "enhanced",
        "output_locale": "en-GB",
        "diarization": "none",
        "additional_vocab": ["password", {"content": "CEO", "sounds_like": ["see e o"]}],
        "punctuation_overrides": {"permitted_marks": ["all"], "sensitivity": 0.4},
        "domain": "finance",
        "enable_entities": True,
        "max_delay_mode": "flexible",
        "max_delay": 2,
        "speaker_diarization_config": SpeakerDiarizationConfig(max_speakers=2),
        "streaming_mode": False,
        "transcript_filtering_config": {"remove_disfluencies": True, "replacements": []},
        "conversation_config": trigger(0.5),
        "ctrl": {},
    }
    client, heard = client_of(server_url)
    async with client:
        await client.transcribe(
            io.BytesIO(speech[HELLO].path.read_bytes()),
            transcription_config=config(**fields),
            translation_config=TranslationConfig(target_languages=["de"]),
        )
    assert heard.text == speech[HELLO].text + " "
    warnings = [warning["type"] for warning in heard.of("Warning")]
    assert warnings == ["unsupported_translation_pair", "empty_translation_target_list"]


# ---- files


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg"])
async def test_a_file_of_another_kind(server_url: str, speech: list[Recording], kind: str) -> None:
    codec = {"mp3": "libmp3lame", "flac": "flac", "ogg": "flac"}[kind]
    file = media(sound_of(speech[HELLO].pcm)[:, None], 16_000, kind, codec)
    assert (await transcribed(server_url, file)).text == speech[HELLO].text + " "


async def not_audio(url: str, data: bytes) -> dict[str, Any]:
    """The error with which the session ends."""
    client, heard = client_of(url)
    async with client:
        await client.start_session(transcription_config=config())
        await client.send_audio(data)
        await asyncio.wait_for(client.stop_session(), PATIENCE)
    assert heard.names[-1] == "Error"
    assert heard.of("EndOfTranscript") == []
    return heard.messages[-1]


@pytest.mark.parametrize("data", [b"no audio at all, and never will be. " * 1000, b""])
async def test_what_is_no_audio_is_told_and_ends_the_session(server_url: str, data: bytes) -> None:
    assert (await not_audio(server_url, data))["type"] == "invalid_audio_type"


async def test_an_mp4_with_its_index_at_the_end_cannot_be_streamed(
    server_url: str, speech: list[Recording]
) -> None:
    file = media(sound_of(speech[DESK].pcm * 6)[:, None], 16_000, "mp4", "aac")
    assert (await not_audio(server_url, file))["type"] == "invalid_audio_type"


# ---- a client that does not wait


async def test_a_client_may_send_everything_before_it_reads(
    server_url: str, speech: list[Recording]
) -> None:
    """More than any socket's buffers hold; each message is answered once, in order."""
    recording, times = speech[DESK], 12
    address = server_url.replace("http", "ws", 1) + "/v2"
    pcm = recording.pcm * times
    async with websockets.connect(address, max_queue=1, ping_interval=None) as socket:
        silence = {"end_of_utterance_silence_trigger": 0.5}
        await socket.send(json.dumps(start_message(conversation_config=silence)))
        for at in range(0, len(pcm), 256):
            await socket.send(pcm[at : at + 256])
        await socket.send(json.dumps({"message": "EndOfStream", "last_seq_no": 0}))
        heard = Heard()
        async for message in socket:
            heard.keep(json.loads(message))
    assert socket.close_code == 1000
    numbers = [message["seq_no"] for message in heard.of("AudioAdded")]
    assert numbers == list(range(1, -(-len(pcm) // 256) + 1))
    assert heard.text == (recording.text + " ") * times
    assert len(heard.of("EndOfUtterance")) >= times
    assert heard.names[-1] == "EndOfTranscript"


async def test_finals_keep_coming_and_pings_are_answered_while_a_file_is_pushed(
    speech: list[Recording],
) -> None:
    """The server holds five seconds in memory and the rest on disk."""
    times = 30
    patience = ConnectionConfig(ping_interval=0.2, ping_timeout=3)
    with running_server("--engine.buffer-seconds-max", "5") as server:
        client, heard = client_of(server.url, conn_config=patience)
        async with client:
            await client.transcribe(
                io.BytesIO(speech[DESK].pcm * times),
                transcription_config=config(),
                audio_format=RAW,
                timeout=PATIENCE,
            )
    assert heard.text == (speech[DESK].text + " ") * times
    first, last = heard.names.index("AddTranscript"), heard.names[::-1].index("AudioAdded")
    assert first < len(heard.names) - last


async def test_audio_after_the_end_is_ignored_with_a_warning(
    server_url: str, speech: list[Recording]
) -> None:
    address = server_url.replace("http", "ws", 1) + "/v2/en"
    async with websockets.connect(address) as socket:
        await socket.send(json.dumps(start_message()))
        await socket.send(speech[HELLO].pcm)
        await socket.send(json.dumps({"message": "EndOfStream", "last_seq_no": 77}))
        await socket.send(speech[HELLO].pcm)
        heard = Heard()
        async for message in socket:
            heard.keep(json.loads(message))
    assert [warning["type"] for warning in heard.of("Warning")] == ["add_audio_after_eos"]
    assert heard.text == speech[HELLO].text + " "
    assert socket.close_code == 1000


# ---- channels


async def test_channels_of_files(server_url: str, speech: list[Recording]) -> None:
    """Of the same length: the client stops at the end of the shortest."""
    numbers = {"left": HELLO, "right": DESK}
    longest = max(len(speech[number].pcm) for number in numbers.values())
    files = {
        name: media(sound_of(speech[number].pcm.ljust(longest, b"\0"))[:, None], 16_000, "wav", PCM)
        for name, number in numbers.items()
    }
    client = AsyncMultiChannelClient(
        api_key="a key", url=server_url.replace("http", "ws", 1) + "/v2"
    )
    heard = Heard(began=time.monotonic())
    for kind in ServerMessageType:
        client.on(kind, heard.keep)
    async with client:
        await client.transcribe(
            {name: io.BytesIO(data) for name, data in files.items()},
            transcription_config=config(),
            audio_format=AudioFormat(),
        )
        await heard.wait_for(lambda h: h.of("EndOfTranscript", "Error"))
    for name, number in numbers.items():
        finals = [m for m in heard.finals if m["channel"] == name]
        text = "".join(final["metadata"]["transcript"] for final in finals)
        assert text == speech[number].text + " "
        assert all(r["channel"] == name for m in finals for r in m["results"])
        added = [m["seq_no"] for m in heard.of("ChannelAudioAdded") if m["channel"] == name]
        assert added == list(range(1, -(-len(files[name]) // 4096) + 1))
    assert heard.names[-1] == "EndOfTranscript"
