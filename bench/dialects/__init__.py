"""The protocols that the benches' clients speak, by name. Another one is another file here."""

from bench.dialects.assemblyai import ASSEMBLYAI
from bench.dialects.dialect import Dialect
from bench.dialects.native import NATIVE
from bench.dialects.speechmatics import SPEECHMATICS
from bench.dialects.twilio import TWILIO
from bench.dialects.whisperlive import WHISPERLIVE
from bench.dialects.whisperlivekit import WHISPERLIVEKIT

DIALECTS: dict[str, Dialect] = {
    "native": NATIVE,
    "assemblyai": ASSEMBLYAI,
    "speechmatics": SPEECHMATICS,
    "twilio": TWILIO,
    "whisperlive": WHISPERLIVE,
    "whisperlivekit": WHISPERLIVEKIT,
}
