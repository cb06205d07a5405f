# /// script
# dependencies = ["assemblyai"]
# ///
"""A recording through AssemblyAI's SDK: python assemblyai_files.py speech.wav"""

import os
import sys

import assemblyai as aai

aai.settings.base_url = os.environ.get("STENTOR_URL", "http://127.0.0.1:8000")
aai.settings.api_key = os.environ.get("STENTOR_API_KEY", "any")

transcript = aai.Transcriber().transcribe(sys.argv[1])
if transcript.error:
    sys.exit(transcript.error)
print(transcript.text)
