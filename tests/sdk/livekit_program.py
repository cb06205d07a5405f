"""A recording through LiveKit's plugin for AssemblyAI, at the pace it was spoken.

The argument is JSON: `url` (ws://…), `wav` (a path). It prints what the plugin makes of it: a list
of the kinds of its events, each with its text.
"""

import asyncio
import json
import sys
import wave

import aiohttp
from livekit import rtc
from livekit.plugins import assemblyai

FRAME = 320  # samples: 20 ms

given = json.loads(sys.argv[1])


async def speak(stream: assemblyai.stt.SpeechStream) -> None:
    with wave.open(given["wav"]) as file:
        while pcm := file.readframes(FRAME):
            stream.push_frame(rtc.AudioFrame(pcm, 16_000, 1, len(pcm) // 2))
            await asyncio.sleep(FRAME / 16_000)
    stream.end_input()


async def main() -> None:
    found = []
    async with aiohttp.ClientSession() as http:
        plugin = assemblyai.STT(api_key="a key", base_url=given["url"], http_session=http)
        stream = plugin.stream()
        speaking = asyncio.create_task(speak(stream))
        async for event in stream:
            texts = [alternative.text for alternative in event.alternatives]
            found.append([event.type.value, " ".join(texts)])
        await speaking
        await stream.aclose()
    sys.stdout.write(json.dumps(found))


asyncio.run(main())
