"""What the container and the server find around them."""

import platform
import tempfile
from pathlib import Path

import pytest

from server.speechmatics import surroundings
from streaming.errors import TranscriptionError

SAID = ["licence settings are not used by this server"]


@pytest.mark.parametrize(
    ("variables", "is_mounted", "said"),
    [
        ({}, False, []),
        ({"LICENSE_TOKEN": "abc"}, False, SAID),
        ({}, True, SAID),
        ({"LICENSE_TOKEN": "abc"}, True, SAID),
    ],
)
def test_a_licence_is_noted_wherever_it_is(
    variables: dict[str, str],
    is_mounted: bool,
    said: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "server.transcriber")
    file = tmp_path / "license.json"
    if is_mounted:
        file.write_text("{}")
    surroundings.note_licence(variables, file)
    assert caplog.messages == said


def test_a_processor_without_avx_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx\n")
    surroundings.check_cpu()
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu sse4_2\n")
    with pytest.raises(TranscriptionError, match="this CPU has no AVX"):
        surroundings.check_cpu()


@pytest.fixture
def no_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no folder for temporary files, as where the root is read-only."""

    def nowhere() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)


def test_temporary_files_go_to_the_work_folder_where_there_is_no_other(
    tmp_path: Path, no_tmp: None
) -> None:
    surroundings.keep_temporary_files(str(tmp_path / "work"))
    assert tempfile.tempdir == str(tmp_path / "work")


def test_and_stay_where_the_system_keeps_them_unless_they_shall_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    surroundings.keep_temporary_files(str(tmp_path / "work"))
    assert tempfile.tempdir == str(tmp_path)
    surroundings.keep_temporary_files(str(tmp_path / "work"), always=True)
    assert tempfile.tempdir == str(tmp_path / "work")
