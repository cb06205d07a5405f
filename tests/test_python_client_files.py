"""Files through clients/python/stentor_client.py: jobs of the real server, and wrong answers."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.network import network
from clients.python.stentor_client import Files, JobFailed, Server, StentorError, transcribe
from tests.conftest import SPEECH, Recording
from tests.test_python_client import said, talk
from tests.wrong_servers import answering

__all__ = ["talk"]  # the fixture

# ---- while it goes well


def test_a_file_is_transcribed_in_any_form(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    text = transcribe(talk, Server(server_url), format="text", language="en")
    assert text.splitlines() == said(speech)


def test_a_file_that_is_none_is_refused_with_the_reason(
    server_url: str, talk: Path, tmp_path: Path
) -> None:
    (tmp_path / "not.wav").write_text("not audio")
    with pytest.raises(JobFailed, match="not an audio"):
        transcribe(tmp_path / "not.wav", Server(server_url))
    with pytest.raises(StentorError, match="does not know 'zz'"):
        transcribe(talk, Server(server_url), language="zz")


async def test_another_program_may_go_on_with_a_job(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    told: list[tuple[Any, ...]] = []

    def report(what: str, done: float, of: float | None) -> None:
        told.append((what, done, of))

    async with Files(Server(server_url)) as files:
        job = await files.send(talk, report, language="en")
    size = talk.stat().st_size  # noqa: ASYNC240
    assert told[-1] == ("sent", size, size)
    async with Files(Server(server_url)) as files:
        assert (await files.transcript(job, "text", report)).splitlines() == said(speech)
        assert "00:00:00" in await files.transcript(job, "srt")
        await files.delete(job)
        with pytest.raises(StentorError, match="no such job"):
            await files.transcript(job)


async def test_an_upload_is_sent_again_when_the_network_fails(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    async with network(server_url) as net, Files(Server(net.url)) as files:
        net.cut(down=True)
        asyncio.get_running_loop().call_later(0.3, net.restore)  # it is tried longer
        text = await files.transcribe(talk, "text")
    assert net.accepted >= 2
    assert text.splitlines() == said(speech)


async def test_a_job_whose_answer_was_lost_is_asked_for_by_the_same_name(talk: Path) -> None:
    names: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        names.append(request.headers["idempotency-key"])
        if len(names) == 1:
            raise httpx.ReadError("the line is dead")
        return httpx.Response(201, json={"id": "j"})

    server = Server("http://server")
    async with Files(server) as files:
        files.http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url=server.url)
        assert [await files.send(talk) for _ in range(2)] == ["j", "j"]
    first, again, other = names
    assert first == again != other


# ---- answers of something else


JOB = b'{"id": "j", "ended": null, "error": null, "progress": null}'


async def asked_of(*answers: bytes) -> tuple[list[str], StentorError]:
    """Requests up to the failure of a file, with the method and path of each."""
    async with answering(*answers) as asked:
        with pytest.raises(StentorError) as error:
            async with Files(Server(asked[0])) as files:
                await files.transcribe(SPEECH / "hello.wav")
    return [line.rpartition(" ")[0] for line in asked[1:]], error.value


async def test_a_proxy_that_finds_no_server_is_asked_again() -> None:
    lines, error = await asked_of(b"502 Bad Gateway\r\n\r\n<html>", b"404 Not Found\r\n\r\n")
    assert lines == ["POST /v1/jobs", "POST /v1/jobs"]
    assert error.code == "not_stentor"
    assert str(error).endswith("answers with status 404")


async def test_who_is_refused_does_not_ask_again() -> None:
    body = b'{"error": {"code": "unauthorized", "message": "no key", "allowed": "a key"}}'
    lines, error = await asked_of(b"401 Unauthorized\r\n\r\n" + body)
    assert (lines, error.code) == (["POST /v1/jobs"], "unauthorized")


async def test_who_is_told_to_wait_waits() -> None:
    clock = asyncio.get_running_loop()
    began = clock.time()
    wait = b"429 Too Many Requests\r\nretry-after: 2\r\n\r\n"
    await asked_of(wait, b"404 Not Found\r\n\r\n")
    assert clock.time() - began >= 2


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"null"])
async def test_an_answer_of_something_else_is_said(body: bytes) -> None:
    lines, error = await asked_of(b"200 OK\r\n\r\n" + body)
    assert (lines, error.code) == (["POST /v1/jobs"], "not_stentor")


async def test_who_is_interrupted_leaves_no_job() -> None:
    async with answering(b"200 OK\r\n\r\n" + JOB) as asked, Files(Server(asked[0])) as files:
        task = asyncio.create_task(files.transcribe(SPEECH / "hello.wav"))
        while len(asked) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert asked[-1].startswith("DELETE /v1/jobs/j ")
