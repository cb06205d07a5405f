"""Signs of life between turns, on request: `Heartbeat` and `Silence`."""

from typing import Any, Final

from streaming.events import SAMPLE_RATE, Progressed, milliseconds

HEARTBEAT_SECONDS: Final = 5.0
SILENCE_MS: Final = 1000  # of audio, from one to the next


class Vitals:
    def __init__(self) -> None:
        self.told = 0  # samples: speech, or silence that was told
        self.loudest = 0.0  # of the speech probabilities since the last heartbeat

    def speech_ended(self, at: int) -> None:
        self.told = max(self.told, at)

    def progressed(self, event: Progressed) -> dict[str, int] | None:
        """A stretch of silence up to there, if it is one."""
        start, self.told = self.told, max(self.told, event.at)
        self.loudest = max(self.loudest, event.speech_probability)
        if event.speaking or start >= event.at:
            return None
        return {"start_ms": milliseconds(start), "end_ms": milliseconds(event.at)}

    def heartbeat(self, received: int, seconds: float) -> dict[str, Any]:
        """`received`: samples; `seconds` since the beginning."""
        loudest, self.loudest = self.loudest, 0.0
        return {
            "total_audio_received_ms": milliseconds(received),
            "total_duration_ms": round(seconds * 1000),
            "realtime_factor": round(received / SAMPLE_RATE / max(seconds, 0.001), 3),
            "max_speech_probability": round(loudest, 3),
        }
