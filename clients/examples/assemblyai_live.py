# /// script
# dependencies = ["assemblyai"]
# ///
"""Live, through AssemblyAI's SDK: python assemblyai_live.py speech.wav (16 kHz, mono)"""

import os
import sys
import time

from assemblyai.streaming import v3

url = os.environ.get("STENTOR_URL", "http://127.0.0.1:8000").replace("http", "ws", 1)
key = os.environ.get("STENTOR_API_KEY", "any")
client = v3.StreamingClient(v3.StreamingClientOptions(api_host=url, api_key=key))
client.on(v3.StreamingEvents.Turn, lambda _, turn: turn.end_of_turn and print(turn.transcript))
client.connect(v3.StreamingParameters(sample_rate=16_000))
with open(sys.argv[1], "rb") as file:
    file.seek(44)  # the head of the wav
    while block := file.read(3200):
        client.stream(block)
        time.sleep(0.1)  # as a microphone would
client.disconnect(terminate=True)
