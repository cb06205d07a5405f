"""Speechmatics' real-time API: docs/speechmatics-realtime.md says what works."""

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, ClassVar, Final

from batch.backends.base import ModelInfo
from server.protocols import messages, speechmatics_errors
from server.protocols.base import (
    Audio,
    Command,
    Configure,
    Finalize,
    Handshake,
    Mark,
    Message,
    Reply,
    Start,
    Stop,
)
from server.protocols.speechmatics_channel import Channel
from server.protocols.speechmatics_errors import OutOfPlace, Unknown
from server.protocols.speechmatics_messages import (
    AddChannelAudio,
    EndOfChannel,
    EndOfStream,
    ForceEndOfUtterance,
    GetSpeakers,
    decoded,
    read,
    write,
)
from server.protocols.speechmatics_patience import BEAT_SECONDS, Warnings
from server.speechmatics import live
from server.speechmatics.languages import pack_info
from server.speechmatics.live import LivePlan
from server.speechmatics.render import timestamp
from streaming.errors import TranscriptionError
from streaming.events import SAMPLE_RATE, Done, Event, TurnEnded, Warned
from streaming.options import SessionOptions

FORCED: Final = "forced"
TELEPHONY_RATE_MAX: Final = 8000
KNOWN: Final = (
    "StartRecognition, AddChannelAudio, SetRecognitionConfig, ForceEndOfUtterance, GetSpeakers, "
    "EndOfChannel, EndOfStream"
)

logger = logging.getLogger("server.protocols.speechmatics")


class Speechmatics:
    paths: ClassVar[tuple[str, ...]] = ("/v2", "/v2/", "/v2/{language}")
    subprotocol: ClassVar[None] = None
    forgives: ClassVar[bool] = False
    errors_last: ClassVar[bool] = True
    hears_first: ClassVar[bool] = True
    stays: ClassVar[bool] = False
    audible: ClassVar[range] = range(0)  # each message of audio is answered
    beat_seconds: ClassVar[float] = BEAT_SECONDS

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake
        self.limits = handshake.limits
        self.warnings = Warnings(handshake.clock, self.limits)
        self.live: LivePlan | None = None
        self.channels: list[Channel] = []
        self.session = ""  # once it has begun
        self.is_ended = False  # the client has said so
        self.is_refused = False

    # ---- in

    def open(self) -> Iterable[Command]:
        return ()

    def decode(self, message: Message) -> Iterable[Command]:
        if isinstance(message, bytes):
            return self._audio(message)
        fields = messages.read(message)
        name = fields.get("message")
        if name == "StartRecognition":
            return self._start(fields)
        live = self._started(str(name)[:60])
        match name:
            case "AddChannelAudio":
                said = read(AddChannelAudio, fields)
                return self._channel_audio(self._number(said.channel), decoded(said.data))
            case "SetRecognitionConfig":
                return self._change(live, fields)
            case "ForceEndOfUtterance":
                return self._force(read(ForceEndOfUtterance, fields).channel)
            case "GetSpeakers":
                read(GetSpeakers, fields)
                return self._speakers()
            case "EndOfChannel":
                return self._end_channel(self._number(read(EndOfChannel, fields).channel))
            case "EndOfStream":
                read(EndOfStream, fields)
                return self._end()
            case _:
                text = f"message: {str(name)[:60]!r} is not known"
                raise Unknown(text, field="message", allowed=KNOWN)

    def _started(self, what: str) -> LivePlan:
        if self.live is None:
            raise OutOfPlace(f"{what} before StartRecognition")
        return self.live

    def _start(self, fields: dict[str, Any]) -> Iterable[Command]:
        if self.live is not None:
            raise OutOfPlace("a second StartRecognition: open another socket for it")
        handshake = self.handshake
        language = handshake.path.get("language", "")
        asked = live.start(fields, language, handshake.languages, handshake.options)
        self.live = asked  # as it was changed last
        self.channels = [Channel(asked, label) for label in asked.labels or (None,)]
        return [Start(asked.audio, asked.session, is_spooled=True, is_apart=bool(asked.labels))]

    def _change(self, asked: LivePlan, fields: dict[str, Any]) -> Iterable[Command]:
        self.live = live.change(asked, fields, self.handshake.options)
        for channel in self.channels:
            channel.coming.append(self.live)
        return [Configure(self.live.session)]

    # ---- audio

    def _audio(self, data: bytes) -> Iterable[Command]:
        if self._started("audio").labels:
            raise OutOfPlace("binary audio in a session of several channels: send AddChannelAudio")
        (channel,) = self.channels
        channel.added += 1
        if channel.is_ended:
            return [self._late(channel)]
        self.warnings.audio_came()
        return [Audio(channel.whole(data)), Reply(write("AudioAdded", seq_no=channel.added))]

    def _channel_audio(self, number: int, data: bytes) -> Iterable[Command]:
        channel = self.channels[number]
        channel.added += 1
        if channel.is_ended:
            return [self._late(channel)]
        self.warnings.audio_came()
        reply = write("ChannelAudioAdded", channel=channel.label, seq_no=channel.added)
        return [Audio(channel.whole(data), number), Reply(reply)]

    @staticmethod
    def _late(channel: Channel) -> Reply:
        reason = "audio after the end of the stream is ignored"
        return Reply(
            write("Warning", type="add_audio_after_eos", reason=reason, seq_no=channel.added)
        )

    def _number(self, label: str) -> int:
        labels = self._started("a channel").labels
        if not labels:
            raise OutOfPlace("this session has no channels: diarization is not channel")
        if label not in labels:
            text = f"channel: {label[:60]!r} is not one of this session's"
            raise Unknown(text, field="channel", allowed=", ".join(labels))
        return labels.index(label)

    def _end_channel(self, number: int) -> Iterable[Command]:
        if self.channels[number].is_ended:
            return []
        self.channels[number].is_ended = True
        if all(channel.is_ended for channel in self.channels):
            return self._end()
        return [Stop(number)]

    def _end(self) -> Iterable[Command]:
        if self.is_ended:
            return []
        self.is_ended = True
        for channel in self.channels:
            channel.is_ended = True
        return [Stop(reads_on=True)]

    # ---- what else is asked

    def _force(self, label: str | None) -> Iterable[Command]:
        """It is forced where the audio is that has come: clients send that place as `timestamp`.
        Asked for again before more audio has come, it is answered once."""
        numbers = range(len(self.channels)) if label is None else [self._number(label)]
        for number in numbers:
            channel = self.channels[number]
            if not (channel.is_ended or channel.is_forcing):
                channel.forces += 1
                channel.forced_after = channel.added
                yield Finalize(number)
                yield Mark(FORCED, number)

    @staticmethod
    def _speakers() -> Iterable[Command]:
        return [
            Reply(write("Warning", type="speaker_id", reason=live.NOT_TOLD_APART)),
            Reply(write("SpeakersResult", speakers=[])),
        ]

    def gone(self) -> Iterable[Command]:
        return ()

    def configured(self, options: SessionOptions) -> None:
        pass

    # ---- out

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]:
        live = self._started("ready")
        is_phone = not start.audio.is_compressed and start.audio.sample_rate <= TELEPHONY_RATE_MAX
        quality = "telephony" if is_phone else "broadcast"
        reason = f"Running recognition using a {quality} model quality."
        yield write("Info", type="recognition_quality", quality=quality, reason=reason)
        yield self._usage()
        self.session = session
        for note in live.notes:
            logger.info("session %s: %s", session, note)
        for kind, why in live.warnings:
            yield write("Warning", type=kind, reason=why)
        # The API's reference has the one, its guide the other.
        channels = {"channel_ids": live.labels, "channels": live.labels} if live.labels else {}
        yield write(
            "RecognitionStarted",
            id=session,
            orchestrator_version=f"stentor {version('stentor')}",
            language_pack_info=pack_info(live.choice.codes),
            **channels,
        )

    def _usage(self) -> Message:
        usage, quota = self.handshake.streams()
        at = self.handshake.came_at + self.handshake.clock() - self.handshake.began
        return write(
            "Info",
            type="concurrent_session_usage",
            reason=f"{usage} concurrent sessions active out of quota {quota}",
            usage=usage,
            quota=quota,
            last_updated=timestamp(datetime.fromtimestamp(at, UTC)),
        )

    def encode(self, event: Event) -> Iterator[Message]:
        if self.is_refused:
            return  # nothing follows an error
        match event:
            case Done():
                yield write("EndOfTranscript")
            case Warned(code=code, message=text):
                yield write("Warning", type=code, reason=text)
            case TurnEnded():
                pass
            case _:
                yield from self.channels[event.channel].encode(event)

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]:
        self.is_refused = True
        reason = speechmatics_errors.reason_of(error)
        return [write("Error", type=speechmatics_errors.kind_of(error), reason=reason)]

    def beat(self, received: int) -> Iterable[Message]:
        return [write("Warning", type=kind, reason=why) for kind, why in self.warnings.due()]

    def notice(self) -> None:
        if self.session:
            spoken = sum(channel.spoken for channel in self.channels) / SAMPLE_RATE
            logger.info("session %s: Transcribed %.0f seconds of speech", self.session, spoken)

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        return speechmatics_errors.closing(error)
