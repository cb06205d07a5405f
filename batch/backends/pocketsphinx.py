"""The English model inside the pocketsphinx package: no download, low accuracy.

It writes lower case without punctuation. A forced prefix and a prompt mean nothing to it: words
that were called stable may change between decodes, and keeping them is left to the stream.
"""

import re
import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pocketsphinx

from batch.backends.base import ModelInfo, RequestCost, Task
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind, Word

FRAME = SAMPLE_RATE // 100  # samples of one frame of the decoder
# Paths kept in a frame. The default of 30000 takes twice the time and hears no better.
PATHS_MAX = 3000
# Each partial decodes the whole window, in about 0.15 of its length; one of usual length:
WINDOW_SECONDS = 4.0
# Below this there is nothing to hear; of digital silence it makes a word.
PEAK_MIN = 0.001
FILLER = re.compile(r"[<\[+]")  # <sil>, [NOISE], ++BREATH++
VARIANT = re.compile(r"\(\d+\)$")  # another pronunciation of the same word


class PocketSphinxBackend:
    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.lanes = 1
        self.batch_max = 1
        self.window_seconds_max = 12.0
        self.file_window_seconds_max = 30.0
        self.full_seconds: float | None = None
        self.cost = RequestCost(WINDOW_SECONDS * 0.15)
        self.keeps_context = False
        self.languages = frozenset({"en"})
        self.translates = False
        self.lock = threading.Lock()
        self.decoder = pocketsphinx.Decoder(
            pocketsphinx.Config(
                samprate=float(SAMPLE_RATE),
                frate=SAMPLE_RATE // FRAME,
                maxhmmpf=PATHS_MAX,
                cmn="batch",  # normalised over the window alone
                loglevel="FATAL",
            )
        )

    def warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE).astype(np.float32)
        self.decode([Task(Decode(0, 0, 0, Kind.FINAL, 0, SAMPLE_RATE), noise)])

    def forget(self, stream: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """It has no threads, and goes with its object."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        return ()

    def joins(self, first: Decode, other: Decode) -> bool:
        return True

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        return [Hypothesis(self._words(task.decode, task.audio)) for task in batch]

    def _words(self, decode: Decode, audio: npt.NDArray[np.float32]) -> tuple[Word, ...]:
        if not audio.size or np.abs(audio).max() < PEAK_MIN:
            return ()
        pcm = (np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes()
        with self.lock:
            # Without it, what this stream hears depends on what others said before.
            self.decoder.reinit_feat()
            self.decoder.start_utt()
            self.decoder.process_raw(pcm, full_utt=True)
            self.decoder.end_utt()
            # None where it finds no path at all, as in a few milliseconds.
            segments = [s for s in self.decoder.seg() or () if not FILLER.match(s.word)]
        return tuple(
            Word(
                VARIANT.sub("", segment.word),
                start=min(decode.start + segment.start_frame * FRAME, decode.end),
                end=min(decode.start + (segment.end_frame + 1) * FRAME, decode.end),
                confidence=min(max(segment.prob, 0.0), 1.0),
            )
            for segment in segments
        )
