# /// script
# dependencies = ["speechmatics-batch"]
# ///
"""A recording through Speechmatics' SDK: python speechmatics_files.py speech.wav"""

import asyncio
import os
import sys

from speechmatics.batch import AsyncClient, TranscriptionConfig

url = os.environ.get("STENTOR_URL", "http://127.0.0.1:8000")
key = os.environ.get("STENTOR_API_KEY", "any")


async def main(path: str) -> None:
    async with AsyncClient(api_key=key, url=f"{url}/v2") as client:
        config = TranscriptionConfig(language="en")
        transcript = await client.transcribe(path, transcription_config=config)
        print(transcript.transcript_text)


asyncio.run(main(sys.argv[1]))
