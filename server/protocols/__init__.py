"""The WebSocket dialects we speak: one line each."""

from server.protocols.assemblyai import AssemblyAI
from server.protocols.base import WireProtocol
from server.protocols.native import Native

PROTOCOLS: tuple[type[WireProtocol], ...] = (Native, AssemblyAI)
