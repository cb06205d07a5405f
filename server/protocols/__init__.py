"""The WebSocket dialects we speak: one line each. The last takes what paths are left."""

from server.protocols.assemblyai import AssemblyAI
from server.protocols.assemblyai_v2 import RealtimeV2
from server.protocols.base import WireProtocol
from server.protocols.native import Native
from server.protocols.speechmatics import Speechmatics

PROTOCOLS: tuple[type[WireProtocol], ...] = (Native, RealtimeV2, Speechmatics, AssemblyAI)
