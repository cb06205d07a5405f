"""What Speechmatics' API tells of itself: `/v1/discovery/features` and `/v2/usage`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, NotRequired, cast, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from batch.job import Job, JobFilter, Jobs
from batch.job_door import JobDoor
from server.access.gate import caller_of
from server.rest.endpoint import FileEndpoint
from server.rest.speechmatics_job import KIND
from server.speechmatics.config import Locale
from server.speechmatics.languages import AUTO, DOMAINS, choose, pack_info, supported_of
from server.speechmatics.plan import ENGLISH, Running
from server.speechmatics.refusals import refusal
from server.speechmatics.requests import query
from streaming.options import Options

FEATURES: Final = "/v1/discovery/features"
USAGE: Final = "/v2/usage"
AT_ONCE: Final = 500  # jobs that are counted at once
LATEST: Final = "latest"
USUAL_POINT: Final = "enhanced"
DAY: Final = timedelta(days=1)


class UsageFields(Options):
    """Which days are counted, in UTC: all of them, unless it is said."""

    since: date | None = None
    """The first."""
    until: date | None = None
    """The last."""


class UsageDetailsJson(TypedDict):
    """Jobs of one kind, and the hours of their recordings."""

    mode: Literal["batch"]
    type: Literal["transcription"]
    language: NotRequired[str]
    operating_point: NotRequired[str]
    count: int
    duration_hrs: float


class UsageJson(TypedDict):
    """What was transcribed; what has been deleted is not counted."""

    since: str
    until: str
    summary: list[UsageDetailsJson]
    details: list[UsageDetailsJson]


def routes(door: JobDoor, running: Running) -> list[BaseRoute]:
    told = features(running)

    async def shown(request: Request) -> Response:
        return JSONResponse(told)

    async def counted(request: Request, resources: AsyncExitStack) -> Response:
        fields = query(UsageFields, request)
        return JSONResponse(await _usage(await door.open(), caller_of(request).owner, fields))

    return [
        Route(FEATURES, shown, methods=["GET"]),
        Route(USAGE, FileEndpoint(counted, refusal), methods=["GET"]),
    ]


# ---- features


def features(running: Running) -> dict[str, Any]:
    """The same for files and live streams, but for translations."""
    names = supported_of(running.languages)
    locales: dict[str, list[str]] = {}
    for locale in get_args(Locale):
        if (name := locale.partition("-")[0]) in names:
            locales.setdefault(name, []).append(locale)
    domains: dict[str, list[str]] = {}
    for name, domain in DOMAINS:
        if name in names:
            domains.setdefault(name, []).append(domain)
    transcription = {
        "version": LATEST,
        "languages": names,
        "locales": locales,
        "domains": domains,
    }
    translates = running.translates and running.languages != {ENGLISH}
    pairs = {name: [ENGLISH] for name in names if name != ENGLISH} if translates else {}
    packs = {name: pack_info(choose(name, None, running.languages).codes) for name in names}
    return {
        "metadata": {"language_pack_info": packs},
        "batch": {
            "transcription": [transcription],
            "translation": [{"version": LATEST, "languages": pairs}],
        },
        "realtime": {
            "transcription": [transcription],
            "translation": [{"version": LATEST, "languages": {}}],
        },
    }


# ---- usage


async def _usage(jobs: Jobs, owner: str, fields: UsageFields) -> UsageJson:
    since, until = fields.since or date.min, fields.until or date.max
    counts: dict[tuple[str, str], Count] = {}
    async for job in _completed(jobs, owner, since, until):
        config = job.options["config"]["transcription_config"]
        point = config.get("model") or config.get("operating_point") or USUAL_POINT
        count = counts.setdefault((config.get("language") or AUTO, point), Count())
        count.jobs += 1
        count.seconds += job.media.get("duration") or 0.0
    details = [
        _details(count, language=language, operating_point=point)
        for (language, point), count in sorted(counts.items())
    ]
    found = counts.values()
    whole = Count(sum(count.jobs for count in found), sum(count.seconds for count in found))
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "summary": [_details(whole)],
        "details": details,
    }


@dataclass(slots=True)
class Count:
    jobs: int = 0
    seconds: float = 0.0


def _details(count: Count, **more: str) -> UsageDetailsJson:
    hours = round(count.seconds / 3600, 4)
    told = {"mode": "batch", "type": "transcription", **more}
    return cast(UsageDetailsJson, {**told, "count": count.jobs, "duration_hrs": hours})


async def _completed(jobs: Jobs, owner: str, since: date, until: date) -> AsyncIterator[Job]:
    # The very last day has none after it.
    end = datetime.combine(until + DAY, time(), UTC) if until < date.max else None
    start = datetime.combine(since, time(), UTC)
    which = JobFilter(owner, KIND, "completed", created_from=start, created_to=end, limit=AT_ONCE)
    while found := await jobs.find(which):
        for job in found:
            yield job
        which = replace(which, before=found[-1].id)
