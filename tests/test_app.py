"""The server as an operator sees it: probes, metrics, pages, shutdown."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import NANO, NANO_HF, ROOT, Recording, Server, free_port, running_server
from tests.wire import connected, soon


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server_url, timeout=20) as client:
        yield client


async def test_it_is_alive_and_ready_and_says_which_model_runs(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = (await client.get("/readyz")).json()
    assert ready["status"] == "ready"
    assert (ready["model"]["name"], ready["model"]["fallback"]) == ("nano", False)


async def test_metrics_have_names_units_and_help(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    ours = {name: f for name, f in families.items() if name.startswith("stentor_")}
    assert {
        "stentor_streams",
        "stentor_queue_requests",
        "stentor_queue_wait_seconds",
        "stentor_batch_requests",
        "stentor_decode_seconds",
        "stentor_partial_lag_seconds",
        "stentor_final_lag_seconds",
        "stentor_dropped_samples",
        "stentor_real_time_factor",
    } <= set(ours)
    assert all(f.documentation for f in ours.values())


async def test_the_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "connect-src" not in policy  # that is `default-src`, for WebSockets, too
    assert "base-uri 'none'" in policy
    assert "http://" not in page.text.replace("http://www.w3.org/", "")
    assert (await client.get("/pages/app.js")).status_code == 200
    assert (await client.get("/client/index.js")).status_code == 200
    assert (await client.get("/pages/../config.py")).status_code == 404
    assert (await client.get("/pages/%2e%2e/config.py")).status_code == 404


async def test_other_sites_may_load_the_client_and_no_more(client: httpx.AsyncClient) -> None:
    headers = {"origin": "https://app.example"}
    for name in ("index.js", "capture-worklet.js"):
        answer = await client.get(f"/client/{name}", headers=headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-type"].startswith("text/javascript")
    answer = await client.get("/pages/app.js", headers=headers)
    assert "access-control-allow-origin" not in answer.headers


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_path")
    answer = await client.put("/v1/transcribe")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["allowed"] == "POST"
    answer = await client.put("/v1/jobs")  # of which two routes there are
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.fixture
def own_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


async def test_on_sigterm_open_utterances_are_finished_and_new_streams_refused(
    own_server: Server, speech: list[Recording]
) -> None:
    url = own_server.url.replace("http", "ws") + "/v1/stream"
    async with asyncio.timeout(30), websockets.connect(url) as socket:
        await socket.send('{"type": "start", "language": "en"}')
        await socket.recv()
        for at in range(0, len(speech[0].pcm), 6400):
            await socket.send(speech[0].pcm[at : at + 6400])
        await _until(socket, "speech_started")
        own_server.process.send_signal(signal.SIGTERM)
        rest = [json.loads(message) async for message in socket]
        assert " ".join(m["text"] for m in rest if m["type"] == "final") == speech[0].text
        assert [m["type"] for m in rest[-2:]] == ["error", "done"]
        assert rest[-2]["code"] == "going_away"
        assert socket.close_code == 1001
    assert await asyncio.to_thread(own_server.process.wait, 20) == 0


async def test_on_sigterm_nobody_waits_for_those_who_are_not_connected(
    own_server: Server, speech: list[Recording]
) -> None:
    async with connected(own_server.url) as client:
        await client.start(resumable=True)
        await client.push(speech[0].pcm)
        await client.wait_for("speech_started")
        client.vanish()

    async def is_held() -> bool:
        async with httpx.AsyncClient(base_url=own_server.url) as http:
            return "stentor_sessions_held 1.0" in (await http.get("/metrics")).text

    assert await soon(is_held, 5)
    own_server.process.send_signal(signal.SIGTERM)
    # The grace time is 30 s, and what is connected may take 20 s.
    assert await asyncio.to_thread(own_server.process.wait, 12) == 0


PROGRAM = """
import os, signal, sys, threading, time
import httpx
from server.__main__ import main

def stop(url):
    while True:
        try:
            if httpx.get(url + "/readyz").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
    with open(sys.argv[1], "rb") as file:
        httpx.post(url + "/v1/transcribe", files={"file": file}, timeout=20).raise_for_status()
    os.kill(os.getpid(), signal.SIGTERM)

stopping = threading.Thread(target=stop, args=["http://127.0.0.1:" + sys.argv[2]])
stopping.start()
code = main(["serve", "--port", *sys.argv[2:]])
stopping.join()
print(code, [thread.name for thread in threading.enumerate()])
"""


@pytest.mark.parametrize("folder", [NANO, NANO_HF])
def test_no_thread_is_left_when_it_has_ended(
    folder: Path, speech: list[Recording], tmp_path: Path
) -> None:
    backend = "torch" if folder == NANO_HF else "whisper"
    flags = ["--model", str(folder), "--backend", backend, "--jobs.folder", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(speech[0].path), str(free_port()), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.stdout == "0 ['MainThread']\n", ran.stderr


def test_on_sigint_it_says_that_it_was_interrupted(own_server: Server) -> None:
    own_server.process.send_signal(signal.SIGINT)
    assert own_server.process.wait(20) == 130


async def _until(socket: websockets.ClientConnection, kind: str) -> None:
    while json.loads(await socket.recv())["type"] != kind:
        pass
