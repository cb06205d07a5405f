"""The query of `/v3/ws`: what it means, and what is refused."""

import json

import pytest

from server.protocols.assemblyai import AssemblyAI
from server.protocols.base import Handshake, Start
from streaming.options import AudioFormat, EndpointingOptions, SessionOptions
from tests.assemblyai_wire import UNIVERSAL, refused, start, started


def test_a_bare_query_means_16_khz_and_the_operators_options() -> None:
    defaults = SessionOptions(language="de", key_terms=("Stentor",), prompt="Guten Tag.")
    (command,) = AssemblyAI(Handshake(options=defaults)).open()
    assert isinstance(command, Start)
    assert command.audio == AudioFormat()
    assert (command.options.language, command.options.partials) == ("de", True)
    assert (command.options.key_terms, command.options.prompt) == (("Stentor",), "Guten Tag.")


@pytest.mark.parametrize(
    ("query", "audio"),
    [
        ({"sample_rate": "8000"}, {"sample_rate": 8000}),
        ({"encoding": "pcm_mulaw", "sample_rate": "8000"}, {"encoding": "mulaw"}),
        ({"encoding": "opus"}, {"encoding": "opus"}),
        ({"encoding": "ogg_opus"}, {"encoding": "ogg_opus"}),
        ({"encoding": ""}, {"encoding": "pcm_s16le"}),
    ],
)
def test_the_format(query: dict[str, str], audio: dict[str, object]) -> None:
    found = start(**query).audio.model_dump()
    assert {name: found[name] for name in audio} == audio


def endpointing(**query: str) -> EndpointingOptions:
    return start(**query).options.endpointing


def test_the_three_thresholds_drive_the_endpointing() -> None:
    found = endpointing(
        end_of_turn_confidence_threshold="0.6", min_turn_silence="160", max_turn_silence="2400"
    )
    assert (found.end_confidence, found.silence_confident_ms, found.silence_ms) == (0.6, 160, 2400)


def test_left_out_the_longest_silence_is_the_models_and_the_rest_the_operators() -> None:
    ours = EndpointingOptions()
    universal = endpointing(speech_model=UNIVERSAL)
    assert (universal.silence_ms, endpointing().silence_ms) == (1280, 1000)
    assert universal.silence_confident_ms == ours.silence_confident_ms
    assert universal.end_confidence == ours.end_confidence


def test_the_old_name_of_the_shortest_silence() -> None:
    assert endpointing(min_end_of_turn_silence_when_confident="200").silence_confident_ms == 200


@pytest.mark.parametrize(("given", "meant"), [("0", 64), ("50", 64), ("99999", 10_000)])
def test_silences_are_clamped(given: str, meant: int) -> None:
    assert endpointing(max_turn_silence=given).silence_ms == meant


@pytest.mark.parametrize(
    ("given", "speech", "silence"),
    [("0.4", 0.4, 0.25), ("0", 0.01, 0.01), ("1", 0.99, 0.84)],
)
def test_the_vad_threshold(given: str, speech: float, silence: float) -> None:
    found = endpointing(vad_threshold=given)
    assert found.speech_threshold == pytest.approx(speech)
    assert found.silence_threshold == pytest.approx(silence)


@pytest.mark.parametrize(
    ("query", "language", "languages"),
    [
        ({"language_code": "de"}, "de", ()),
        ({"language_codes": '["es"]'}, "es", ()),
        ({"language_codes": '["en", "es", "en"]'}, None, ("en", "es")),
        ({"language": "en-US"}, "en", ()),
        ({"language": "multi"}, None, ()),
        ({"language_detection": "True"}, None, ()),
        ({"language_codes": '["es"]', "language_detection": "true"}, None, ("es",)),
        ({"speech_model": UNIVERSAL, "language_code": "de"}, "en", ()),
        ({"speech_model": "universal-streaming-multilingual"}, None, ()),
    ],
)
def test_languages(query: dict[str, str], language: str | None, languages: tuple[str, ...]) -> None:
    found = start(**query).options
    assert (found.language, found.languages) == (language, languages)


def test_key_terms_that_are_too_long_are_left_out() -> None:
    terms = json.dumps(["Stentor", " Ada ", "", "x" * 51, "Stentor"])
    assert start(keyterms_prompt=terms).options.key_terms == ("Stentor", "Ada")
    assert start(keyterms='["Ada"]').options.key_terms == ("Ada",)


def test_what_the_agent_said_follows_the_prompt() -> None:
    found = start(prompt="A hotel. ", agent_context="What is your name?").options
    assert found.prompt == "A hotel. What is your name?"


@pytest.mark.parametrize("yes", ["True", "true", "TRUE", "1"])
def test_booleans_are_written_in_any_way(yes: str) -> None:
    assert started(format_turns=yes, speech_model=UNIVERSAL).turns.style.formatted
    assert not started(format_turns="False", speech_model=UNIVERSAL).turns.style.formatted


def test_pro_models_always_format() -> None:
    assert started(format_turns="false").turns.style.formatted
    assert started(speech_model="u3-rt-pro").turns.style.formatted
    assert not started(speech_model=UNIVERSAL).turns.style.formatted


def test_names_that_nobody_knows_are_ignored() -> None:
    assert start(colour="blue", token="x", api_version="1") == start()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("sample_rate", "abc", "'abc' is not allowed; allowed: 8000 to 96000"),
        ("sample_rate", "4000", "'4000' is not allowed; allowed: 8000 to 96000"),
        ("encoding", "mp3", "'mp3' is not allowed; allowed: pcm_s16le, pcm_mulaw, opus, ogg_opus"),
        ("speech_model", "large-v3", "'large-v3' is not allowed"),
        ("format_turns", "maybe", "'maybe' is not allowed; allowed: true, false"),
        ("end_of_turn_confidence_threshold", "1.5", "'1.5' is not allowed; allowed: 0 to 1"),
        ("min_turn_silence", "-1", "'-1' is not allowed"),
        ("vad_threshold", "nan", "'nan' is not allowed"),
        ("inactivity_timeout", "4", "'4' is not allowed; allowed: 5 to 3600"),
        ("inactivity_timeout", "3601", "'3601' is not allowed; allowed: 5 to 3600"),
        ("max_speakers", "11", "'11' is not allowed; allowed: 1 to 10"),
        ("mode", "fast", "'fast' is not allowed; allowed: min_latency, balanced, max_accuracy"),
        ("keyterms_prompt", "a, b", "'a, b' is not allowed"),
        ("keyterms_prompt", json.dumps(["a"] * 101), "Max 100 items"),
        ("prompt", "x" * 1751, "is not allowed; allowed: string of up to 1750 characters"),
        ("agent_context", "x" * 1751, "is not allowed"),
        ("language_code", "klingon", "'klingon' is not a language code"),
        ("webhook_url", "ftp://example.com", "'ftp://example.com' is not allowed"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, why: str) -> None:
    text = refused(**{name: value})
    assert text.startswith("User Input Validation Error: Invalid '")
    assert why in text
    assert name in text or name == "language_code"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speaker_labels", "True"),
        ("voice_focus", "near-field"),
        ("noise_suppression_model", "far-field"),
        ("domain", "medical-v1"),
        ("redact_pii", "true"),
        ("llm_gateway", '{"model": "x"}'),
        ("encoding", "aac"),
    ],
)
def test_what_is_not_done_here_is_refused(name: str, value: str) -> None:
    assert name in refused(**{name: value})


def test_what_is_not_asked_for_is_not_refused() -> None:
    assert start(speaker_labels="False", redact_pii="false", domain="", llm_gateway="null")
