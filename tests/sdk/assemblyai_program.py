"""What users of AssemblyAI's Python SDK do, as a program of its own: run with each of its parsers.

The argument is JSON: `url`, `hello`, `desk`, `stereo` (paths), `speech` (a URL), `hook`. It prints
JSON: by name, what each step found, or how it failed.
"""

import asyncio
import io
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import assemblyai as aai

given: dict[str, str] = json.loads(sys.argv[1])
aai.settings.base_url = given["url"]
aai.settings.api_key = "a key"
aai.settings.polling_interval = 0.1


def seen(transcript: aai.Transcript) -> dict[str, Any]:
    response = transcript.json_response or {}
    words = transcript.words or []
    return {
        "id": transcript.id,
        "status": transcript.status.value,
        "text": transcript.text,
        "error": transcript.error,
        "words": [[word.text, word.start, word.end] for word in words],
        "duration": transcript.audio_duration,
        "confidence": transcript.confidence,
        "model": response.get("speech_model_used"),
    }


def transcribed(audio: Any, **options: Any) -> aai.Transcript:
    return aai.Transcriber().transcribe(audio, config=aai.TranscriptionConfig(**options))


def parser() -> Any:
    return {"strict": aai.types.pydantic_v2}


def by_file() -> Any:
    return seen(aai.Transcriber().transcribe(given["hello"]))


def by_bytes() -> Any:
    return seen(aai.Transcriber().transcribe(Path(given["hello"]).read_bytes()))


def by_stream() -> Any:
    return seen(aai.Transcriber().transcribe(io.BytesIO(Path(given["hello"]).read_bytes())))


def by_url() -> Any:
    return seen(aai.Transcriber().transcribe(given["speech"]))


def with_options() -> Any:
    """All that is done, and much of what is accepted."""
    detection: Any = {"expected_languages": ["en", "de"], "fallback_language": "en"}
    transcript = transcribed(
        given["desk"],
        speech_models=["universal-3-pro", "universal-2"],
        speech_model=aai.SpeechModel.slam_1,
        language_detection=True,
        language_confidence_threshold=0.3,
        language_detection_options=aai.LanguageDetectionOptions(**detection),
        punctuate=False,
        format_text=False,
        disfluencies=True,
        filter_profanity=True,
        custom_spelling={"Passwort": ["password"]},
        word_boost=["office"],
        boost_param=aai.WordBoost.high,
        audio_start_from=0,
        audio_end_at=3400,
        speech_threshold=0.1,
        temperature=0.2,
        speakers_expected=2,
        summarization=False,
    )
    response = transcript.json_response or {}
    return seen(transcript) | {
        "language": response["language_code"],
        "warnings": response["metadata"]["warnings"],
        "spelling": response["custom_spelling"],
    }


def config() -> Any:
    """The SDK makes it of the response; it cannot where that has a custom spelling."""
    transcript = transcribed(given["hello"], punctuate=False, word_boost=["a"], audio_end_at=2000)
    asked = transcript.config
    return [asked.punctuate, asked.format_text, asked.word_boost, asked.audio_end_at]


def channels() -> Any:
    transcript = transcribed(given["stereo"], multichannel=True)
    return [[u.channel, u.speaker, u.text, len(u.words)] for u in transcript.utterances or []]


def exports() -> Any:
    transcript = aai.Transcriber().transcribe(given["desk"])
    return {
        "text": transcript.text,
        "srt": transcript.export_subtitles_srt(chars_per_caption=30),
        "vtt": transcript.export_subtitles_vtt(),
        "sentences": [s.text for s in transcript.get_sentences()],
        "paragraphs": [p.text for p in transcript.get_paragraphs()],
        "found": [[m.text, m.count, m.indexes] for m in transcript.word_search(["my", "the bill"])],
    }


def listing() -> Any:
    """Three, page by page, and then one of them deleted."""
    transcriber = aai.Transcriber()
    made = [transcriber.transcribe(given["hello"]).id for _ in range(3)]
    first = transcriber.list_transcripts(aai.ListTranscriptParameters(limit=2))
    before = first.page_details.before_id_of_prev_url
    second = transcriber.list_transcripts(
        aai.ListTranscriptParameters(
            limit=2, before_id=before, status=aai.TranscriptStatus.completed
        )
    )
    assert made[0] is not None
    deleted = aai.Transcript.delete_by_id(made[0])
    again = aai.Transcript.get_by_id(made[0])
    return {
        "made": made,
        "first": [item.id for item in first.transcripts],
        "second": [item.id for item in second.transcripts],
        "deleted": [deleted.text, again.text, again.audio_url, again.status.value],
    }


def group() -> Any:
    found: Any = aai.Transcriber().transcribe_group([given["hello"], given["speech"]])
    return sorted(str(transcript.text) for transcript in found)


def asynchronous() -> Any:
    async def run() -> Any:
        async with aai.AsyncTranscriber() as transcriber:
            return (await transcriber.transcribe(given["hello"])).text

    return asyncio.run(run())


def webhook() -> Any:
    config = aai.TranscriptionConfig().set_webhook(given["hook"], "X-My-Key", "secret")
    transcript = aai.Transcriber().submit(given["hello"], config=config)
    transcript.wait_for_completion()
    assert transcript.id is not None
    for _ in range(100):
        response = aai.Transcript.get_by_id(transcript.id).json_response or {}
        if response["webhook_status_code"]:
            break
        time.sleep(0.05)
    return [transcript.id, response["webhook_status_code"], response["webhook_auth"]]


def failures() -> Any:
    found = {"download": seen(aai.Transcriber().transcribe(given["url"] + "/nothing.wav"))}
    found["not audio"] = seen(aai.Transcriber().transcribe(b"no recording" * 100))
    for name, options in {
        "speakers": {"speaker_labels": True},
        "chapters": {"auto_chapters": True},
        "language": {"language_code": "tlh"},
    }.items():
        found[name] = refused(lambda options=options: transcribed(given["hello"], **options))
    found["id"] = refused(lambda: aai.Transcript.get_by_id("nonsense"))
    found["limit"] = refused(
        lambda: aai.Transcriber().list_transcripts(aai.ListTranscriptParameters(limit=1000))
    )
    return found


def refused(work: Any) -> Any:
    try:
        work()
    except aai.types.AssemblyAIError as error:
        return [type(error).__name__, getattr(error, "status_code", None), str(error)]
    return None


STEPS = (
    parser, by_file, by_bytes, by_stream, by_url, with_options, config, channels, exports, listing,
    group, asynchronous, webhook, failures,
)  # fmt: skip

if __name__ == "__main__":
    results: dict[str, Any] = {}
    for step in STEPS:
        try:
            results[step.__name__] = step()
        except Exception:
            results[step.__name__] = {"failed": traceback.format_exc()}
    sys.stdout.write(json.dumps(results))
