"""Everything that can go wrong, as one tree.

TranscriptionError
├── BadMessage        a message, option or field is wrong                 close code 4400
├── BadAudio          the audio bytes are not what was announced          close code 4415
├── TooLarge          a frame, an upload or a recording is over its bound close code 1009
├── TimedOut          nothing came for too long                           close code 4408
│   └── Expired       longer than a session may be
├── Overloaded        refused so that the others keep their latency       close code 1013
├── GoingAway         the server is shutting down                         close code 1001
└── EngineFailed      the model could not answer                          close code 1011
"""

from typing import ClassVar


class TranscriptionError(Exception):
    """A problem we can explain to the client.

    `field` names the offending field, `allowed` what it may be; both are empty when there is none.
    """

    code: ClassVar[str] = "internal"
    close_code: ClassVar[int] = 1011
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str = "", allowed: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.allowed = allowed


class BadMessage(TranscriptionError):
    code = "bad_message"
    close_code = 4400
    http_status = 400


class BadAudio(TranscriptionError):
    code = "bad_audio"
    close_code = 4415
    http_status = 400


class TooLarge(TranscriptionError):
    code = "too_large"
    close_code = 1009
    http_status = 413


class TimedOut(TranscriptionError):
    code = "timed_out"
    close_code = 4408
    http_status = 408


class Expired(TimedOut):
    pass


class Overloaded(TranscriptionError):
    code = "overloaded"
    close_code = 1013
    http_status = 503


class GoingAway(TranscriptionError):
    code = "going_away"
    close_code = 1001
    http_status = 503


class EngineFailed(TranscriptionError):
    code = "engine_failed"
    close_code = 1011
    http_status = 500
