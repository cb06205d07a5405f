"""A real Asterisk, where one is installed, with a dial plan of ours."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS_MAX = 30
DIRECTORIES = {
    "astetcdir": "etc",
    "astvarlibdir": "lib",
    "astdbdir": "lib",
    "astkeydir": "lib",
    "astrundir": "run",
    "astlogdir": "log",
    "astspooldir": "spool",
}
MODULES = (
    "res_sorcery_config", "res_clioriginate", "res_audiosocket", "app_audiosocket",
    "chan_audiosocket", "res_http_websocket", "res_websocket_client", "chan_websocket",
    "pbx_config", "app_playback", "format_pcm", "codec_ulaw", "codec_resample",
    "res_timing_timerfd", "bridge_simple", "app_originate", "app_chanspy", "func_uuid",
)  # fmt: skip


@dataclass(frozen=True)
class Asterisk:
    program: str
    folder: Path

    @property
    def _command(self) -> list[str]:
        return [self.program, "-C", str(self.folder / "etc" / "asterisk.conf")]

    def ask(self, command: str) -> str:
        """On its console."""
        done = subprocess.run(
            [*self._command, "-rx", command], capture_output=True, text=True, timeout=20
        )
        return done.stdout + done.stderr

    def call(self, channel: str, sound: Path) -> None:
        """Let somebody call the channel, and play a file (without its suffix) to it."""
        self.ask(f"channel originate {channel} application Playback {sound}")


@contextmanager
def running_asterisk(program: str, folder: Path, **files: str) -> Iterator[Asterisk]:
    """`files`: of its configuration, by name without `.conf`."""
    for name in DIRECTORIES.values():
        (folder / name).mkdir(exist_ok=True)
    directories = [f"{key} => {folder / name}" for key, name in DIRECTORIES.items()]
    loads = [f"load => {name}.so" for name in MODULES]
    written = {
        "asterisk": "\n".join(["[directories]", *directories]),
        "modules": "\n".join(["[modules]", "autoload=no", *loads]),
        "logger": "[logfiles]\nconsole => warning,error\n",
        "http": "[general]\nenabled=no\n",
        **files,
    }
    for name, text in written.items():
        (folder / "etc" / f"{name}.conf").write_text(text + "\n")
    asterisk = Asterisk(program, folder)
    process = subprocess.Popen([*asterisk._command, "-f", "-n"], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while "fully booted" not in asterisk.ask("core waitfullybooted"):
            assert process.poll() is None, f"asterisk ended with {process.returncode}"
            assert time.monotonic() < deadline, "asterisk did not start"
            time.sleep(0.2)
        yield asterisk
    finally:
        asterisk.ask("core stop now")
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
