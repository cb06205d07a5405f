"""A recording through Pipecat's service for AssemblyAI, at the pace it was spoken.

The argument is JSON: `url` (ws://…/v3/ws), `wav` (a path). It prints what comes out of a pipeline
of that service alone: a list of the names of its frames, each with its text.
"""

import asyncio
import json
import sys
import wave

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.assemblyai.stt import AssemblyAISTTService
from pipecat.workers.runner import WorkerRunner

FRAME = 320  # samples: 20 ms
ANSWER_SECONDS = 1.0

given = json.loads(sys.argv[1])
found: list[list[str]] = []


class Sink(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame):
            found.append([type(frame).__name__, frame.text])
        await self.push_frame(frame, direction)


async def speak(worker: PipelineWorker, started: asyncio.Event) -> None:
    await started.wait()
    await worker.queue_frame(VADUserStartedSpeakingFrame())
    with wave.open(given["wav"]) as file:
        while pcm := file.readframes(FRAME):
            await worker.queue_frame(InputAudioRawFrame(pcm, 16_000, 1))
            await asyncio.sleep(FRAME / 16_000)
    await worker.queue_frame(VADUserStoppedSpeakingFrame())
    await asyncio.sleep(ANSWER_SECONDS)
    await worker.queue_frame(EndFrame())


async def main() -> None:
    service = AssemblyAISTTService(api_key="a key", api_endpoint_base_url=given["url"])

    @service.event_handler("on_error")
    async def on_error(_: AssemblyAISTTService, error: ErrorFrame) -> None:
        found.append(["ErrorFrame", error.error])

    params = PipelineParams(audio_in_sample_rate=16_000)
    worker = PipelineWorker(
        Pipeline([service, Sink()]), params=params, cancel_on_idle_timeout=False
    )
    runner = WorkerRunner(handle_sigint=False)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def on_started(*_: object) -> None:
        started.set()

    speaking = asyncio.create_task(speak(worker, started))
    await runner.add_workers(worker)
    await runner.run()
    await speaking
    sys.stdout.write(json.dumps(found))


asyncio.run(main())
