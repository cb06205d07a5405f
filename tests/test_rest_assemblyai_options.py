"""Requests to AssemblyAI's API: what is taken, what is refused, what is said to do nothing."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.rest.assemblyai_job import plan
from server.rest.assemblyai_options import REFUSED, TranscriptOptions, dump, load, read
from streaming.errors import BadMessage
from tests.assemblyai_rigs import AUDIO_URL, options, running

SCHEMA = "Invalid endpoint schema, please refer to documentation for examples."


def body(**fields: Any) -> bytes:
    return json.dumps({"audio_url": AUDIO_URL, **fields}).encode()


def refused(raw: bytes) -> str:
    with pytest.raises(BadMessage) as error:
        plan(*read(raw), running())
    return error.value.message


def test_the_defaults_are_those_of_the_api() -> None:
    asked, warnings = read(body())
    planned = plan(asked, warnings, running())
    assert (asked.punctuate, asked.format_text) == (True, True)
    assert (asked.disfluencies, asked.filter_profanity, asked.is_split) == (False, False, False)
    assert planned.work.options.language == "en"
    assert planned.work.options.word_times == "final"
    assert (planned.work.start_ms, planned.work.end_ms, planned.webhooks) == (0, None, ())
    assert planned.options["language_code"] == "en_us"
    assert planned.options["warnings"] == []


def test_null_is_the_same_as_left_out() -> None:
    names = ["speech_model", "language_code", "speech_threshold", "webhook_url", "speaker_labels"]
    asked, warnings = read(body(**dict.fromkeys(names)))
    assert (asked, warnings) == read(body())


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"format_text": "yes"}, "format_text must be a Boolean"),
        ({"punctuate": 1}, "punctuate must be a Boolean"),
        ({"audio_start_from": "10"}, "audio_start_from must be an Integer"),
        ({"audio_start_from": 10.5}, "audio_start_from must be an Integer"),
        ({"speech_threshold": "0.5"}, "speech_threshold must be a Number"),
        ({"word_boost": "ticket"}, "word_boost must be an Array"),
        ({"word_boost": ["ticket", 5]}, "word_boost.1 must be a String"),
        ({"language_code": 5}, "language_code must be a String"),
        ({"language_detection_options": []}, "language_detection_options must be an Object"),
        ({"keyterms_prompt_options": "high"}, "keyterms_prompt_options must be an Object"),
        ({"audio_url": "ftp://example.com/a"}, "audio_url must be a URL of http or https"),
        ({"audio_url": "/etc/passwd"}, "audio_url must be a URL of http or https"),
        ({"webhook_url": "example.com"}, "webhook_url must be a URL of http or https"),
        ({"punctuation": True}, SCHEMA),
        ({"language_detection_options": {"languages": ["en"]}}, SCHEMA),
        ({"custom_spelling": [{"from": ["a"], "to": "b", "case": True}]}, SCHEMA),
        ({"custom_spelling": [{"from": ["a"], "to": "b c"}]}, "custom_spelling.0.to must be a"),
        ({"speech_threshold": 1.5}, "speech_threshold: 1.5 is not allowed"),
        ({"boost_param": "huge"}, "boost_param: 'huge' is not allowed"),
        ({"audio_start_from": 500, "audio_end_at": 500}, "audio_end_at must be greater than"),
        ({"prompt": "a", "keyterms_prompt": ["b"]}, "prompt and keyterms_prompt cannot be used"),
        ({"prompt": "a " * 1501}, "prompt has more than 1500 words"),
        ({"word_boost": ["one two three four five six seven"]}, "word_boost: 'one two three four"),
        ({"keyterms_prompt": ["a" * 101]}, "keyterms_prompt: 'aaa"),
        ({"word_boost": ["Москва"]}, "word_boost: 'Москва' is not ASCII"),
        ({"webhook_url": AUDIO_URL, "webhook_auth_header_name": "X-Key"}, "webhook_auth_header_"),
        ({"language_code": "en", "language_detection": True}, "language_code and language_det"),
        ({"language_code": "tlh"}, "language_code: 'tlh' is not a language code"),
        ({"language_code": "fr"}, "The following models are not available in this language: small"),
        ({"language_codes": ["en", "es"]}, "language_codes with more than one language is not"),
        ({"language_codes": ["es"], "language_code": "en"}, "language_code and language_codes"),
        ({"speech_model": "conformer-9"}, '"speech_model" must be one of: universal-3-5-pro'),
        ({"speech_models": ["conformer-9"]}, '"speech_models" must be a non-empty list contain'),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], text: str) -> None:
    assert refused(body(**fields)).startswith(text)


def test_without_audio_there_is_nothing_to_do() -> None:
    assert refused(b"{}") == "audio_url is required"


@pytest.mark.parametrize("raw", [b"", b"[]", b"audio_url=x", b'{"a": NaN}', b'{"a": "\\ud800"}'])
def test_what_is_not_an_object_is_refused(raw: bytes) -> None:
    assert refused(raw) == SCHEMA


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_done_here_is_refused_by_name(name: str) -> None:
    assert refused(body(**{name: True})) == f"{name} is not available on this server"
    assert read(body(**{name: False})) == read(body(**{name: None})) == read(body())


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"keyterms_prompt_options": {"keyterms_match_strength": "high"}}, "keyterms_match_stren"),
        ({"language_detection_options": {"code_switching": True}}, "language_detection_options.c"),
        ({"language_detection_options": {"swiss_german": True}}, "language_detection_options.sw"),
        ({"language_detection_options": {"localization": ["en_au"]}}, "language_detection_option"),
    ],
)
def test_a_part_that_is_not_done_here_is_refused_by_name(fields: Any, name: str) -> None:
    text = refused(body(**fields))
    assert text.startswith(name)
    assert text.endswith("is not available on this server")


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"speakers_expected": 2}, "speakers_expected has no effect without speaker_labels"),
        ({"speaker_options": {"min_speakers_expected": 2}}, "speaker_options has no effect wi"),
        ({"redact_pii_sub": "hash"}, "redact_pii_sub has no effect without redact_pii"),
        ({"summary_type": "bullets"}, "summary_type has no effect without summarization"),
        ({"custom_topics": True}, "custom_topics has no effect"),
        ({"speed_boost": True}, "speed_boost has no effect"),
        ({"temperature": 0.5}, "temperature has no effect: the likeliest words are taken"),
        ({"word_boost": ["a"], "boost_param": "high"}, "boost_param has no effect: 'high'"),
        ({"boost_param": "default"}, "boost_param has no effect without word_boost"),
        ({"prompt": "Names: Ada"}, "prompt is read as text that precedes the audio"),
        ({"language_confidence_threshold": 0.5}, "language_confidence_threshold has no effect wi"),
        ({"speech_models": ["universal-3-pro"]}, "speech_models has no effect: 'small' is the"),
        ({"speech_model": "slam-1"}, "speech_model has no effect: 'small' is the model"),
        ({"word_boost": [f"term{i}" for i in range(120)]}, "20 of 120 terms to boost have no"),
    ],
)
def test_what_has_no_effect_is_told(fields: dict[str, Any], warning: str) -> None:
    (told,) = plan(*read(body(**fields)), running()).options["warnings"]
    assert told.startswith(warning)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0},
        {"speech_models": []},
        {"speech_models": ["small"]},
        {"redact_pii_policies": []},
        {"keyterms_prompt_options": {"keyterms_match_strength": "standard"}},
        {"language_detection_options": {"code_switching": False}, "language_detection": True},
    ],
)
def test_what_is_done_anyway_needs_no_warning(fields: dict[str, Any]) -> None:
    assert plan(*read(body(**fields)), running()).options["warnings"] == []


def test_terms_and_prompt_reach_the_engine() -> None:
    fields = {"word_boost": [" ticket ", "", "train"], "keyterms_prompt": ["train", "Zoë"]}
    work = plan(options(**fields), [], running(prompt="Hello.")).work
    assert work.options.key_terms == ("ticket", "train", "Zoë")
    assert work.options.prompt == "Hello."
    asked = options(prompt="a" * 3000)
    assert plan(asked, [], running()).work.options.prompt == "a" * 2000


def test_a_slice_and_channels_reach_the_engine() -> None:
    work = plan(options(audio_start_from=500, audio_end_at=900, dual_channel=True), [], running())
    assert (work.work.start_ms, work.work.end_ms, work.work.split) == (500, 900, True)


@pytest.mark.parametrize(
    ("fields", "language", "told"),
    [
        ({"language_code": "en_uk"}, "en", "en_uk"),
        ({"language_code": "es"}, "es", "es"),
        ({"language_codes": ["de_ch"]}, "de", "de_ch"),
        ({"language_detection": True}, None, None),
    ],
)
def test_the_language_reaches_the_engine(
    fields: dict[str, Any], language: str | None, told: str | None
) -> None:
    planned = plan(options(**fields), [], running())
    assert (planned.work.options.language, planned.options["language_code"]) == (language, told)


def test_the_operators_language_is_the_default() -> None:
    planned = plan(options(), [], running(language="de"))
    assert (planned.work.options.language, planned.options["language_code"]) == ("de", "de")
    planned = plan(options(), [], running("de", "fr"))
    assert (planned.work.options.language, planned.options["language_code"]) == (None, None)


def test_expected_languages_are_those_to_choose_from_unless_there_is_another_to_fall_back_to() -> (
    None
):
    detection: dict[str, Any] = {"expected_languages": ["es", "de_ch", "es"]}

    def chosen() -> tuple[str, ...]:
        asked = options(language_detection=True, language_detection_options=detection)
        return plan(asked, [], running()).work.options.languages

    assert chosen() == ("es", "de")
    detection["fallback_language"] = "en"
    assert chosen() == ()
    detection["fallback_language"] = "fr"
    with pytest.raises(BadMessage, match="not available in this language"):
        chosen()
    detection |= {"fallback_language": "auto", "expected_languages": ["all"]}
    assert chosen() == ()


def test_an_english_model_says_that_it_detects_nothing() -> None:
    planned = plan(options(language_detection=True), [], running("en"))
    assert planned.options["warnings"] == [
        "language_detection has no effect: 'small' knows English only"
    ]


def test_the_webhook_is_taken_and_its_secret_is_not_kept_with_the_request() -> None:
    asked = options(
        webhook_url="http://example.com/hook",
        webhook_auth_header_name="X-Key",
        webhook_auth_header_value="secret",
    )
    planned = plan(asked, [], running())
    assert [hook.headers for hook in planned.webhooks] == [{"X-Key": "secret"}]
    assert "secret" not in json.dumps(planned.options)


def test_a_request_is_read_back_even_by_another_version() -> None:
    asked = options(
        custom_spelling=[{"from": ["k8s"], "to": "Kubernetes"}],
        speech_threshold=1,
        language_detection_options={"fallback_language": "de"},
    )
    stored = json.loads(json.dumps(dump(asked)))
    assert load(stored) == load(stored | {"of_a_later_version": True}) == asked


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
SCALARS |= st.sampled_from([10**400, "en", "http://[", "http://a/\x00", "\x00", "auto", ["all"]])
NAMES = st.sampled_from([*TranscriptOptions.model_fields, *REFUSED, "topics", "expected_languages"])
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(NAMES | st.text(), v, max_size=4)
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=6), st.booleans())
def test_nothing_that_is_sent_is_our_fault(fields: dict[str, Any], with_audio: bool) -> None:
    audio = {"audio_url": AUDIO_URL} if with_audio else {}
    with contextlib.suppress(BadMessage):
        planned = plan(*read(json.dumps(fields | audio).encode()), running())
        assert load(planned.options["asked"]).audio_url
