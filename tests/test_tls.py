"""TLS beside the plain port, with a certificate of our own authority: browsers' sockets, and the
official SDKs, some of which take nothing else."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from server.__main__ import main
from server.tls import Certificate
from tests.access_rigs import WRONG, Keyed, started_with_keys
from tests.conftest import ROOT, SPEECH, Recording, free_port
from tests.sdk_cache import node_modules_with
from tests.test_rest_assemblyai_sdk import NODE_SDK
from tests.wire import connected, soon

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PROGRAM = ROOT / "tests" / "sdk" / "assemblyai_token.py"


def make_certificate(folder: Path, *names: str) -> None:
    assert main(["certs", *names, "--folder", str(folder)]) == 0


@dataclass(frozen=True)
class Secured:
    keyed: Keyed
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """Of a client that believes in our authority and in no other."""
        return ssl.create_default_context(cafile=self.folder / "ca.pem")

    def serial(self) -> int:
        """Of the certificate that is shown to a new connection."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            self.trust.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            shown = wrapped.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder, port = tmp_path_factory.mktemp("certs"), free_port()
    make_certificate(folder)
    flags = ("--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem")
    with started_with_keys(
        tmp_path_factory.mktemp("keys"), *flags, "--tls-port", str(port)
    ) as keyed:
        yield Secured(keyed, folder, port)


# ---- certificates


def test_the_authority_is_made_once_and_keeps_its_key_to_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_certificate(tmp_path, "stt.example", "10.1.2.3")
    assert capsys.readouterr().out.strip() == str(tmp_path / "ca.pem")
    authority = (tmp_path / "ca.pem").read_bytes()
    first = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["stt.example", "localhost"]
    addresses = [str(a) for a in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["10.1.2.3", "127.0.0.1", "::1"]
    modes = {f.name: f.stat().st_mode & 0o777 for f in tmp_path.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "cert.pem": 0o644, "key.pem": 0o600}
    make_certificate(tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() == authority
    again = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    assert again.serial_number != first.serial_number
    again.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))


def test_openssl_believes_the_certificate(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    make_certificate(tmp_path, "stt.example")
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    for name in (["-verify_hostname", "stt.example"], ["-verify_ip", "127.0.0.1"]):
        files = ["-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "cert.pem")]
        ran = subprocess.run([*command, *name, *files], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", ["a b", "https://a.example", "a..b", ""])
def test_what_is_no_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["certs", name, "--folder", str(tmp_path)]) == 1
    assert "is not a host name or an address" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# ---- the listener


def test_both_ports_serve_the_same(secured: Secured) -> None:
    with httpx.Client(verify=secured.trust, timeout=20) as client:
        assert client.get(f"{secured.url}/healthz").json() == {"status": "ok"}
        assert client.get(f"{secured.keyed.url}/healthz").json() == {"status": "ok"}
        assert client.get(f"{secured.url}/v1/jobs").status_code == 401
    with pytest.raises(httpx.ConnectError), httpx.Client() as stranger:
        stranger.get(f"{secured.url}/healthz")
    with pytest.raises(httpx.TransportError), httpx.Client() as plain:
        plain.get(secured.url.replace("https", "http") + "/healthz")


async def test_a_stream_over_tls(secured: Secured, speech: list[Recording]) -> None:
    headers = {"authorization": secured.keyed.keys["web"], "origin": secured.url}
    async with connected(secured.url, additional_headers=headers, ssl=secured.trust) as client:
        await client.start(language="en")
        await client.push(speech[0].pcm)
        await client.finish()
    assert client.text() == speech[0].text


async def test_a_new_certificate_is_shown_after_sighup_and_no_connection_is_lost(
    secured: Secured, speech: list[Recording]
) -> None:
    process = secured.keyed.server.process
    before = await asyncio.to_thread(secured.serial)

    async def is_new() -> bool:
        return await asyncio.to_thread(secured.serial) != before

    headers = {"authorization": secured.keyed.keys["web"]}
    async with connected(secured.url, additional_headers=headers, ssl=secured.trust) as client:
        await client.start(language="en")
        key = secured.folder / "key.pem"
        right = key.read_bytes()
        key.write_bytes(b"no key")
        process.send_signal(signal.SIGHUP)
        assert not await soon(is_new, 0.5)  # what cannot be read changes nothing
        key.write_bytes(right)
        await asyncio.to_thread(make_certificate, secured.folder)
        process.send_signal(signal.SIGHUP)
        assert await soon(is_new, 5)
        await client.push(speech[0].pcm)
        await client.finish()
    assert client.text() == speech[0].text


def write_certificate(folder: Path, kind: str) -> int:
    """Its serial number."""
    made: dict[str, PrivateKey] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
    }
    key, now = made[kind], datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(encoding))
    (folder / "key.pem").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate.serial_number


@pytest.mark.parametrize("kinds", [("rsa", "ec"), ("ec", "rsa"), ("ec", "ec")])
@pytest.mark.parametrize("name", ["localhost", None])
async def test_a_certificate_with_another_kind_of_key_takes_the_place_of_the_old(
    tmp_path: Path, kinds: tuple[str, str], name: str | None
) -> None:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    write_certificate(tmp_path, kinds[0])
    certificate = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    expected = write_certificate(tmp_path, kinds[1])
    certificate.read()
    server = await asyncio.start_server(
        lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context
    )
    address = server.sockets[0].getsockname()

    def shown() -> int:
        with (
            socket.create_connection(address, timeout=10) as plain,
            anybody.wrap_socket(plain, server_hostname=name) as wrapped,
        ):
            found = wrapped.getpeercert(binary_form=True)
        assert found is not None
        return x509.load_der_x509_certificate(found).serial_number

    assert await asyncio.to_thread(shown) == expected
    server.close()
    await server.wait_closed()


def ran(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_reaches_it(secured: Secured, speech: list[Recording]) -> None:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("STENTOR_")}
    environment = {**ours, "SSL_CERT_FILE": str(secured.folder / "ca.pem")}
    file = str(SPEECH / "hello.wav")
    command = [sys.executable, "-m", "server", "transcribe", file, "--server", secured.url]
    key = {"STENTOR_API_KEY": secured.keyed.keys["web"]}
    assert ran(command, environment | key).stdout.strip() == speech[0].text
    refused = ran(command, environment)
    assert refused.returncode == 1
    assert "a key is needed" in refused.stderr


# ---- the official SDKs


def python_program(folder: Path) -> list[str]:
    return [sys.executable, str(PROGRAM)]


def node_program(folder: Path) -> list[str]:
    modules = node_modules_with(NODE_SDK)
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)
    return ["node", str(shutil.copy(PROGRAM.with_suffix(".mjs"), folder))]


@pytest.mark.parametrize("program", [python_program, node_program])
async def test_the_sdks_make_tokens_over_tls(
    secured: Secured, speech: list[Recording], tmp_path: Path, program: Any
) -> None:
    given = {
        "url": secured.url,
        "host": f"localhost:{secured.port}",
        "key": secured.keyed.keys["web"],
        "wrong": WRONG,
        "audio": str(SPEECH / "hello.wav"),
    }
    authority = str(secured.folder / "ca.pem")
    environment = os.environ | {"SSL_CERT_FILE": authority, "NODE_EXTRA_CA_CERTS": authority}
    command = [*program(tmp_path), json.dumps(given)]
    ended = await asyncio.to_thread(ran, command, environment)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["text"] == speech[0].text
    assert found["refused"] in ("401", "Authentication error, API token missing/invalid")
    async with connected(
        secured.url, query=f"?token={found['token']}", ssl=secured.trust
    ) as client:
        await client.start()
