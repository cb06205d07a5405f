"""How telephone systems send the audio of a call: one pure file each."""

from server.telephony.bridge import Bridge
from server.telephony.bridges.media_json import MediaJson

BRIDGES: tuple[type[Bridge], ...] = (MediaJson,)
