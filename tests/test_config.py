"""The configuration: what goes over what, what is refused, and how that is said."""

import json
import os
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from batch.options import ModelOptions
from server.config import Config, ConfigError, names, read
from server.flags import Parser, settings_of
from server.limits import Limits


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variables of ours, and a working directory without a file."""
    for name in [name for name in os.environ if name.upper().startswith("STENTOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(*argv: str) -> Config:
    flags, _ = settings_of(Config, Parser(prog="stentor serve"), argv)
    return read(flags)


def refusal(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(*argv)
    return str(caught.value)


def test_defaults_need_nothing() -> None:
    assert parsed() == Config()


def test_flags_go_over_the_environment_and_that_over_the_file(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "stentor.toml").write_text('port = 1\nhost = "0.0.0.0"\nmodel = "small"\nlanes = 3')
    monkeypatch.setenv("STENTOR_PORT", "2")
    monkeypatch.setenv("STENTOR_MODEL", "tiny")
    config = parsed("--port", "3")
    assert (config.port, config.model, config.host, config.lanes) == (3, "tiny", "0.0.0.0", 3)


def test_one_group_is_put_together_from_all_three(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "stentor.toml").write_text("[engine]\nstreams_max = 7\nfiles_max = 7\nbatch_max = 7")
    monkeypatch.setenv("STENTOR_ENGINE__FILES_MAX", "8")
    engine = parsed("--engine.batch-max", "9").engine
    assert (engine.streams_max, engine.files_max, engine.batch_max) == (7, 8, 9)


def test_flags_reach_the_innermost_group() -> None:
    config = parsed(
        *("--session.endpointing.silence-ms", "300", "--no-session.partials"),
        *("--session.key-terms", "Ada,Grace", "--limits.idle-seconds-max", "5"),
    )
    assert config.session.endpointing.silence_ms == 300
    assert config.session.partials is False
    assert config.session.key_terms == ("Ada", "Grace")
    assert config.limits.idle_seconds_max == 5


def test_a_file_can_be_named_by_a_variable(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "other.toml").write_text("port = 4")
    monkeypatch.setenv("STENTOR_CONFIG", "other.toml")
    assert parsed().port == 4


def test_a_named_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"there is no file nowhere\.toml"):
        read({}, Path("nowhere.toml"))


def test_a_file_that_is_not_toml_is_refused_by_its_name(bare: Path) -> None:
    (bare / "stentor.toml").write_text("port == 4")
    assert refusal().startswith("stentor.toml: ")


def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STENTOR_PORT", "")
    assert parsed().port == 8000


def test_unknown_variables_are_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STENTOR_PROT", "1")
    monkeypatch.setenv("STENTOR_ENGINE__BATCHMAX", "1")
    said = refusal().splitlines()
    assert "unknown variable STENTOR_PROT; did you mean STENTOR_PORT?" in said
    assert (
        "unknown variable STENTOR_ENGINE__BATCHMAX; did you mean STENTOR_ENGINE__BATCH_MAX?" in said
    )


def test_variables_of_a_service_of_our_name_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "SERVICE_HOST": "10.96.0.7",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP": "8000",
        "PORT": "tcp://10.96.0.7:8000",
        "PORT_8000_TCP": "tcp://10.96.0.7:8000",
        "PORT_8000_TCP_PROTO": "tcp",
        "PORT_8000_TCP_PORT": "8000",
        "PORT_8000_TCP_ADDR": "10.96.0.7",
        "RT_SERVICE_HOST": "10.96.0.8",
        "RT_PORT": "tcp://10.96.0.8:9000",
    }.items():
        monkeypatch.setenv(f"STENTOR_{name}", text)
    assert parsed().port == 8000
    monkeypatch.setenv("STENTOR_PORT", "8001")
    assert parsed().port == 8001


def test_unknown_keys_of_the_file_are_refused_with_the_nearest_name(bare: Path) -> None:
    (bare / "stentor.toml").write_text("prot = 1\n[engine]\nbatchmax = 1")
    said = refusal().splitlines()
    assert "unknown name prot in stentor.toml; did you mean port?" in said
    assert "unknown name engine.batchmax in stentor.toml; did you mean engine.batch_max?" in said


def test_an_unknown_flag_is_refused_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--prot", "80")
    assert ended.value.code == 2
    assert "unknown argument --prot; did you mean --port?" in capsys.readouterr().err


def test_flags_cannot_be_abbreviated() -> None:
    with pytest.raises(SystemExit):
        parsed("--por", "80")


def test_each_wrong_value_gets_a_line_that_says_where_it_came_from(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "stentor.toml").write_text('[session]\ntask = "sing"')
    monkeypatch.setenv("STENTOR_DEVICE", "tpu")
    flag, variable, key = sorted(refusal("--port", "70000").splitlines())
    assert flag.startswith("--port: ")
    assert flag.endswith("got '70000'")
    assert variable.startswith("STENTOR_DEVICE: Value error, should be auto, cpu, cuda, or")
    assert key.startswith("session.task in stentor.toml: ")


def test_a_variable_that_should_be_json_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STENTOR_SESSION__KEY_TERMS", "Ada")
    assert refusal() == (
        """STENTOR_SESSION__KEY_TERMS: should be JSON, such as ["a", "b"], got 'Ada'"""
    )


def test_what_is_printed_can_be_read_again(bare: Path) -> None:
    config = parsed("--port", "9", "--session.prompt", 'say "ä"', "--session.key-terms", "Ada")
    (bare / "stentor.toml").write_text(config.toml, encoding="utf-8")
    assert parsed() == config
    assert tomllib.loads(config.toml)["session"]["prompt"] == 'say "ä"'


def test_constructed_directly_it_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STENTOR_PORT", "2")
    assert Config().port == 8000


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().port = 1


def test_the_model_options_at_the_top_are_those_of_the_model() -> None:
    config = Config(model="tiny", threads=2, lanes=3, beam_size=4, download=False)
    assert config.model_options == ModelOptions(
        name="tiny", threads=2, lanes=3, beam_size=4, download=False
    )


@pytest.mark.parametrize("name", [n for n in ModelOptions.model_fields if n != "name"])
def test_each_model_option_has_the_same_bounds_at_the_top(name: str) -> None:
    ours, theirs = Config.model_fields[name], ModelOptions.model_fields[name]
    assert ours.annotation == theirs.annotation
    assert ours.metadata == theirs.metadata
    assert ours.default == theirs.default


def test_clients_of_speechmatics_are_given_what_is_configured_for_them() -> None:
    config = Config(limits=Limits(idle_seconds_max=5, session_seconds_max=7))
    limits = config.speechmatics.within(config.limits)
    assert limits == Limits(
        idle_seconds_max=3600,
        session_seconds_max=7,
        outbox_messages_max=20_000,
        send_seconds_max=60,
        pong_seconds_max=60,
    )


def test_every_setting_has_help() -> None:
    help_text = Parser(prog="stentor serve")
    settings_of(Config, help_text, [])
    shown = help_text.format_help()
    groups = {"engine", "session", "session.endpointing", "limits", "files"}
    # Everybody on the machine reads command lines.
    secrets = {
        "keys", "access.token_secret", "telephony.twilio_token", "telephony.webhook_secret"
    }  # fmt: skip
    hidden = groups | secrets
    assert [n for n in names() if n not in hidden and f"--{n.replace('_', '-')}" not in shown] == []


@pytest.mark.parametrize(
    ("flag", "url", "shown"),
    [
        ("--jobs.database", "postgresql://a:s3cret@db/stt", "postgresql://a:**********@db/stt"),
        ("--jobs.database", "postgresql://a:s3/cr@et@db/stt", "postgresql://a:**********@db/stt"),
        ("--jobs.database", "postgresql:///stt?user=a&password=s3cret", None),
        ("--access.counters", "rediss://:s3cret@redis:6379/0", "rediss://:**********@redis:6379/0"),
        ("--telephony.webhook-url", "https://a:s3cret@b.example/c", None),
    ],
)
def test_what_is_printed_has_no_passwords(flag: str, url: str, shown: str | None) -> None:
    config = parsed(flag, url)
    assert "s3" not in config.toml
    assert "et@" not in config.toml
    assert shown is None or shown in config.toml


def test_urls_without_passwords_are_printed_as_they_are() -> None:
    url = "postgresql://db.example:5432/stt?sslmode=require"
    assert url in parsed("--jobs.database", url).toml


def test_a_wrong_url_is_said_again_without_its_password() -> None:
    said = refusal("--access.counters", "redsi://:s3cret@redis:6379")
    assert "redsi://:**********@redis:6379" in said


@pytest.mark.parametrize(
    "origin", ["*", "https://app.example", "http://[::1]:8080", "capacitor://a"]
)
def test_origins_are_taken(origin: str) -> None:
    assert parsed("--access.origins", origin).access.origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "app.example",
        "https://app.example/",
        "https://App.example",
        "https://*.example",
        "https://app.example:443",
        "https://a@app.example",
        "null",
        "",
    ],
)
def test_origins_that_no_browser_would_send_are_refused(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STENTOR_ACCESS__ORIGINS", json.dumps([origin]))
    assert "should be * or SCHEME://HOST[:PORT]" in refusal()
