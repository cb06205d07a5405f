"""A request to Speechmatics' API as a job: what is kept of it, what is told of it, and to whom.

What is kept: `config` (as it was given), `name` (the recording's), `notes` (what had no effect),
`client` (the one of the owner's that made it).
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Final, Literal, NotRequired
from urllib.parse import urlencode, urlsplit, urlunsplit

from typing_extensions import TypedDict

from batch.job import (
    DOWNLOAD_FAILED,
    Hear,
    Heard,
    Job,
    JobFailed,
    JobRequest,
    Source,
    Webhook,
    Work,
)
from batch.posted import JSON_TYPE, Message, Part
from server.access.gate import Caller
from server.speechmatics.config import Asked, Content, Notification, read
from server.speechmatics.documents import written
from server.speechmatics.plan import Plan, Running, plan
from server.speechmatics.render import Rendering, timestamp
from server.speechmatics.transcription import listen, rendering

KIND: Final = "speechmatics"
AGENT: Final = "Speechmatics-API/2.0"  # receivers look for it
FORMS: Final[dict[str, str]] = {
    "transcript": "json-v2",
    "transcript.json-v2": "json-v2",
    "transcript.txt": "txt",
    "transcript.srt": "srt",
}
EXTENSIONS: Final = {"json-v2": "json", "txt": "txt", "srt": "srt"}

Status = Literal["running", "done", "rejected", "deleted"]


class JobErrorJson(TypedDict):
    """Why a job was rejected, or a notification came to nothing."""

    message: str
    timestamp: str


class JobDetailsJson(TypedDict):
    """A job as it stands; `duration` is in whole seconds, 0 while it is not known."""

    id: str
    created_at: str
    data_name: str
    duration: int
    status: Status
    config: NotRequired[dict[str, Any]]
    errors: NotRequired[list[JobErrorJson]]


class JobInfoJson(TypedDict):
    """The job, in its transcript."""

    id: str
    created_at: str
    data_name: str
    duration: int
    tracking: NotRequired[dict[str, Any]]


def job_request(caller: Caller, planned: Plan, source: Source, name: str) -> JobRequest:
    asked = planned.asked
    return JobRequest(
        owner=caller.owner,
        kind=KIND,
        source=source,
        work=Work(planned.session, planned.split),
        options={
            "config": dict(asked.given),
            "name": name,
            "notes": list(planned.notes),
            "client": caller.client,
        },
        webhooks=tuple(_webhook(told) for told in asked.config.notification_config),
    )


def _webhook(told: Notification) -> Webhook:
    return Webhook(told.url, told.headers, "PUT" if told.method == "put" else "POST")


def asked_of(job: Job) -> Asked:
    """What a job that is not deleted was asked."""
    return read(json.dumps(job.options["config"]))


# ---- what is told


def status_of(job: Job) -> Status:
    if job.deleted is not None:
        return "deleted"
    if not job.is_ended:
        return "running"
    return "done" if job.status == "completed" else "rejected"


def details(job: Job) -> JobDetailsJson:
    told: JobDetailsJson = {
        "id": job.id,
        "created_at": timestamp(job.created),
        "data_name": job.options.get("name", ""),
        "duration": round(job.media.get("duration") or 0),
        "status": status_of(job),
    }
    if "config" in job.options:
        told["config"] = job.options["config"]
    if errors := _errors(job):
        told["errors"] = errors
    return told


def _errors(job: Job) -> list[JobErrorJson]:
    found = []
    if job.status == "error" and job.deleted is None:
        message = job.error
        if job.error_code == DOWNLOAD_FAILED:
            message = f"unable to fetch audio: {job.error_detail}"
        found.append((message, job.ended or job.created))
    found += [(f"notification failed: {one.message}", one.time) for one in job.failures]
    return [{"message": message, "timestamp": timestamp(time)} for message, time in found]


def info(job: Job) -> JobInfoJson:
    known = details(job)
    told: JobInfoJson = {
        "id": known["id"],
        "created_at": known["created_at"],
        "data_name": known["data_name"],
        "duration": known["duration"],
    }
    tracking = known.get("config", {}).get("tracking")
    if tracking is not None:
        told["tracking"] = tracking
    return told


def transcript(job: Job, heard: Heard, form: str) -> tuple[bytes, str]:
    """With its media type."""
    return written(_rendering(job, heard), form, {**info(job)})


def _rendering(job: Job, heard: Heard) -> Rendering:
    return rendering(asked_of(job), heard, job.ended)


def log(job: Job) -> str:
    """What had no effect, and what went wrong."""
    lines = [f"{timestamp(job.created)} {note}" for note in job.options.get("notes", ())]
    lines += [f"{error['timestamp']} {error['message']}" for error in _errors(job)]
    return "".join(f"{line}\n" for line in lines)


# ---- the life of a job


class Recordings:
    """A `batch.job.Dialect`."""

    def __init__(self, running: Running) -> None:
        self.running = running

    async def transcribe(self, job: Job, hear: Hear) -> Heard:
        # The model may be another one than when the job was submitted.
        planned = await asyncio.to_thread(lambda: plan(asked_of(job), self.running))
        heard = await listen(hear, planned)
        # An expression that takes too long is told of while the job can still be rejected.
        await asyncio.to_thread(_rendering, job, heard)
        return heard

    def messages(self, job: Job, heard: Callable[[], Heard | None]) -> Sequence[Message]:
        writer = _Writer(job, heard)
        told = asked_of(job).config.notification_config
        return [_message(job, notification, writer) for notification in told]


class _Writer:
    """The contents of a job's notifications, each made once."""

    def __init__(self, job: Job, heard: Callable[[], Heard | None]) -> None:
        self.job = job
        self.heard = cache(heard)
        self.written = cache(self._written)

    def part(self, content: Content) -> Part:
        stem = PurePosixPath(self.job.options["name"]).stem or "transcript"
        if content == "data":
            media_type = self.job.media.get("mime", "application/octet-stream")
            return Part(content, self.job.options["name"] or "data", media_type, None)
        if content == "jobinfo":
            body = json.dumps({"job": details(self.job)}, ensure_ascii=False).encode()
            return Part(content, f"{stem}.jobinfo.json", JSON_TYPE, body)
        form = FORMS[content]
        body, media_type = self.written(form)
        return Part(content, f"{stem}.{EXTENSIONS[form]}", media_type, body)

    def _written(self, form: str) -> tuple[bytes, str]:
        heard = self.heard()
        if heard is None:
            raise JobFailed("the transcript is no longer there")
        return transcript(self.job, heard, form)


def _message(job: Job, told: Notification, writer: _Writer) -> Message:
    """A single content is the body itself; several, and what nobody chose, come as a form. Of a
    job that was rejected there is only its info. Whatever is not 2xx is asked again."""
    contents: Sequence[Content] = ("transcript",) if told.contents is None else told.contents
    if job.status == "error":
        wants_info = told.contents is None or "jobinfo" in contents
        contents = ("jobinfo",) if wants_info else ()
    parts = [writer.part(content) for content in dict.fromkeys(contents)]
    hook = _webhook(told)
    url = _with_outcome(hook.url, job)
    headers = {"User-Agent": AGENT, **hook.headers}
    is_form = len(parts) > 1 or told.contents is None or "data" in contents
    message = Message(url, headers, hook.method, is_insistent=True)
    if is_form:
        return replace(message, parts=parts)
    if not parts:
        return message
    (part,) = parts
    assert isinstance(part.content, bytes)
    typed = {"Content-Type": part.media_type, **headers}
    return replace(message, headers=typed, body=part.content)


def _with_outcome(url: str, job: Job) -> str:
    """The address with the job's id and how it ended."""
    outcome = "success"
    if job.status == "error":
        outcome = "fetch_error" if job.error_code == DOWNLOAD_FAILED else "error"
    parts = urlsplit(url)
    told = urlencode({"id": job.id, "status": outcome})
    return urlunsplit(parts._replace(query=f"{parts.query}&{told}" if parts.query else told))
