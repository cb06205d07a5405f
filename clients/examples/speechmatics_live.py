# /// script
# dependencies = ["speechmatics-rt"]
# ///
"""Live, through Speechmatics' SDK: python speechmatics_live.py speech.wav (16 kHz, mono)"""

import asyncio
import os
import sys

from speechmatics import rt

url = os.environ.get("STENTOR_URL", "http://127.0.0.1:8000").replace("http", "ws", 1)
key = os.environ.get("STENTOR_API_KEY", "any")
form = rt.AudioFormat(encoding=rt.AudioEncoding.PCM_S16LE, sample_rate=16_000)


async def main(path: str) -> None:
    async with rt.AsyncClient(api_key=key, url=f"{url}/v2") as client:
        client.on(
            rt.ServerMessageType.ADD_TRANSCRIPT,
            lambda message: print(message["metadata"]["transcript"], end="", flush=True),
        )
        with open(path, "rb") as file:  # noqa: ASYNC230 - the SDK reads it so
            file.seek(44)  # the head of the wav
            config = rt.TranscriptionConfig(language="en")
            await client.transcribe(file, transcription_config=config, audio_format=form)
    print()


asyncio.run(main(sys.argv[1]))
