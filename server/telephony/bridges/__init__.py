"""How telephone systems send the audio of a call: one pure file each."""

from server.telephony.bridge import Bridge
from server.telephony.bridges.jambonz import JambonzSpeech
from server.telephony.bridges.linear import Linear
from server.telephony.bridges.media_json import MediaJson
from server.telephony.bridges.vosk import Vosk

# Those on WebSockets.
BRIDGES: tuple[type[Bridge], ...] = (MediaJson, Linear, JambonzSpeech, Vosk)
