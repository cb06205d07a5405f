# /// script
# dependencies = ["openai"]
# ///
"""A recording through OpenAI's SDK, as it is transcribed: python openai_files.py speech.wav"""

import os
import sys

from openai import OpenAI

url = os.environ.get("STENTOR_URL", "http://127.0.0.1:8000")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("STENTOR_API_KEY", "any"))

with open(sys.argv[1], "rb") as file:
    events = client.audio.transcriptions.create(file=file, model="gpt-4o-transcribe", stream=True)
    for event in events:
        if event.type == "transcript.text.delta":
            print(event.delta, end="", flush=True)
print()
