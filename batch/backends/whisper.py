"""Whisper through CTranslate2: trimmed windows, forced prefixes, many streams in one call.

faster-whisper's `transcribe` is for one file at a time and keeps state in the model object, so
`encode`, `generate` and `align` of CTranslate2 are called directly.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt

from batch.backends.base import ModelInfo, RequestCost, Task
from batch.backends.features import Features
from batch.backends.hypotheses import Written, hypothesis, language_of
from batch.backends.mel import FRAME
from batch.backends.tokens import Reader, Vocabulary, forced
from batch.backends.windows import BUCKETS, FRAMES_FULL, bucket, lengths
from batch.backends.words import Piece, pieces
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.errors import EngineFailed
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind

LANES_MAX = 8
REHEARSALS = 3

StorageView = ctranslate2.StorageView
REHEARSAL = tuple(range(300, 308))  # tokens of some text


def least(work: Callable[[], object]) -> float:
    """Seconds of the quickest of a few runs."""
    times = []
    for _ in range(REHEARSALS):
        began = time.monotonic()
        work()
        times.append(time.monotonic() - began)
    return min(times)


class WhisperBackend:
    def __init__(
        self, folder: Path, info: ModelInfo, traits: ModelTraits, options: ModelOptions
    ) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        on_cpu = info.device == "cpu"
        self.info = info
        self.lanes = options.lanes or (min(cores, LANES_MAX) if on_cpu else 2)
        self.batch_max = 8 if on_cpu else 32
        self.window_seconds_max = traits.window_seconds_max
        self.file_window_seconds_max = traits.file_window_seconds_max
        self.final_window = traits.final_window
        # A core is busy with one window of a large model: several at once compete for its cache.
        # Measured at warm-up; without one, the careful choice.
        self.encodes_together = not on_cpu
        self.padding = 0  # mel frames by which a window may be lengthened to join a batch
        self.cost = RequestCost(0.0)
        self.full_seconds: float | None = 0.0 if traits.final_window == "full" else None
        self.keeps_context = traits.keeps_context
        self.translates = traits.translates
        self.beam_size = options.beam_size
        try:
            self.model = ctranslate2.models.Whisper(
                str(folder),
                device=info.device,
                compute_type=info.compute_type,
                # Few threads a call: decoding is many small steps, and threads that meet at each
                # of them cost more than they bring. The lanes use the other cores.
                intra_threads=options.threads or (max(cores // LANES_MAX, 1) if on_cpu else 4),
                inter_threads=self.lanes,
            )
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"the model in {folder} cannot be loaded: {error}") from error
        self.features = Features(self.model.n_mels)
        self.vocabulary = Vocabulary(folder, is_multilingual=self.model.is_multilingual)
        self.languages = self.vocabulary.languages

    def warm_up(self) -> None:
        language = "en" if "en" in self.languages else min(self.languages)
        for seconds in (2.0, self.window_seconds_max):
            self._rehearse(seconds, language, full=False)
        self._calibrate(language)
        if self.final_window == "auto":
            self._rehearse(2.0, language, full=True)
            began = time.monotonic()
            self._rehearse(2.0, language, full=True)
            self.full_seconds = time.monotonic() - began

    def _rehearse(self, seconds: float, language: str, *, full: bool) -> None:
        """Decode noise: the first call of a shape is slow, and must not be a client's."""
        rng = np.random.default_rng(0)
        audio = rng.normal(0, 0.05, round(seconds * SAMPLE_RATE)).astype(np.float32)
        decode = Decode(0, 0, 0, Kind.FINAL, 0, len(audio), language, full=full)
        self.decode([Task(decode, audio)])

    def _calibrate(self, language: str) -> None:
        """Decoding two windows together spares most of the second one's steps, but both must be as
        long as the longer one: how many mel frames more are encoded in the same time?"""
        reader = self.vocabulary.reader(language, "transcribe")
        prompt = [*reader.sot_sequence, self.vocabulary.no_timestamps, *REHEARSAL]
        short, long = self._time_encode(BUCKETS[0]), self._time_encode(BUCKETS[4])
        a_frame = max(long - short, 1e-9) / (BUCKETS[4] - BUCKETS[0])
        self.encodes_together = self._time_encode(BUCKETS[4], rows=4) < 4.2 * long
        one, four = self._time_steps(prompt, 1), self._time_steps(prompt, 4)
        spared = max(one - (four - one) / 3, 0.0)
        # At twice as many, nothing would be gained.
        self.padding = min(round(spared / a_frame / 2), FRAMES_FULL)
        self.cost = RequestCost(long + one, spared / (long + one))

    def _time_encode(self, frames: int, rows: int = 1) -> float:
        mel = np.zeros((rows, self.model.n_mels, frames), np.float32)
        return least(lambda: self._encode(mel))

    def _time_steps(self, prompt: list[int], rows: int) -> float:
        encoded = self._encode(np.zeros((rows, self.model.n_mels, BUCKETS[2]), np.float32))
        return least(
            lambda: self.model.generate(
                encoded, [prompt] * rows, beam_size=1, max_length=2 * len(prompt)
            )
        )

    def forget(self, stream: int) -> None:
        self.features.forget(stream)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self.vocabulary.encode(text)

    def joins(self, first: Decode, other: Decode) -> bool:
        if first.full != other.full or self._must_equal(first) != self._must_equal(other):
            return False
        padding = bucket(first.end - first.start, first.full) - bucket(
            other.end - other.start, other.full
        )
        return abs(padding) <= self.padding

    def _must_equal(self, decode: Decode) -> object:
        # `<|startoftranscript|>` must stand at one position in a batch, hence the prompt's length.
        return (
            len(decode.prompt),
            decode.timestamps,
            self._beams(decode),
            decode.temperature,
            decode.word_times,
        )

    def _beams(self, decode: Decode) -> int:
        return 1 if decode.kind is Kind.PARTIAL or decode.temperature else self.beam_size

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        first = batch[0].decode
        longest = max(t.decode.end - t.decode.start for t in batch)
        frames = bucket(longest, first.full)
        encoded = self._encode(self._mel(batch, frames))
        languages = self._languages(batch, encoded)
        readers = [
            self.vocabulary.reader(k, t.decode.task)
            for (k, _), t in zip(languages, batch, strict=True)
        ]
        prompts = [self._prompt(r, t.decode) for r, t in zip(readers, batch, strict=True)]
        length, budget = lengths(first, longest, max(map(len, prompts)))
        results = self.model.generate(
            encoded,
            prompts,
            beam_size=self._beams(first),
            max_length=length,
            return_scores=True,
            return_no_speech_prob=True,
            max_initial_timestamp_index=50,
            # Drawn from all tokens as the temperature has it, or the likeliest.
            sampling_topk=0 if first.temperature else 1,
            sampling_temperature=first.temperature or 1.0,
        )
        # What was forced is part of the answer.
        eot = self.vocabulary.eot
        texts = [[i for i in r.sequences_ids[0] if i < eot] for r in results]
        split = [pieces(reader, tokens) for reader, tokens in zip(readers, texts, strict=True)]
        aligned = (
            self._align(batch, encoded, languages, split)
            if any(t.decode.word_times for t in batch)
            else [None] * len(batch)
        )
        return [
            hypothesis(task.decode, _written(result, budget), found, alignment, language)
            for task, result, found, alignment, language in zip(
                batch, results, split, aligned, languages, strict=True
            )
        ]

    def _encode(self, mel: npt.NDArray[np.float32]) -> Any:
        """The encoder's output for mel [batch, mels, frames]."""
        if self.encodes_together or len(mel) == 1:
            return self.model.encode(StorageView.from_array(mel))
        rows = [self.model.encode(StorageView.from_array(mel[i : i + 1])) for i in range(len(mel))]
        return StorageView.from_array(np.concatenate([np.array(row) for row in rows]))

    def _mel(self, batch: Sequence[Task], frames: int) -> npt.NDArray[np.float32]:
        """Log-mel features, float32 [batch, mels, frames], padded with 0."""
        out = np.zeros((len(batch), self.model.n_mels, frames), np.float32)
        for row, task in enumerate(batch):
            decode = task.decode
            # A file's windows do not grow.
            stream = None if decode.kind is Kind.FILE else decode.stream
            mel = self.features.log_mel(task.audio, stream, decode.start)
            count = min(mel.shape[1], frames)
            out[row, :, :count] = mel[:, :count]
        return out

    def _languages(self, batch: Sequence[Task], encoded: Any) -> list[tuple[str, float]]:
        """Language and its probability of each row; what is given counts as certain."""
        if not self.model.is_multilingual:
            return [("en", 1.0)] * len(batch)
        if all(t.decode.language for t in batch):
            return [(t.decode.language or "en", 1.0) for t in batch]
        found = self.model.detect_language(encoded)
        return [
            language_of(task.decode, {token.strip("<|>"): p for token, p in ranked})
            for task, ranked in zip(batch, found, strict=True)
        ]

    def _prompt(self, reader: Reader, decode: Decode) -> list[int]:
        return reader.prompt(decode) + list(forced(decode))

    def _align(
        self,
        batch: Sequence[Task],
        encoded: Any,
        languages: Sequence[tuple[str, float]],
        split: Sequence[list[Piece]],
    ) -> list[Any]:
        """An alignment for each row, None where there are no words.

        One call takes one start sequence, so rows are taken by language and task; nearly always
        that is all of them at once.
        """
        out: list[Any] = [None] * len(batch)
        kinds = [(k, t.decode.task) for (k, _), t in zip(languages, batch, strict=True)]
        rows_by_kind = Counter(k for k, words in zip(kinds, split, strict=True) if words)
        for kind in rows_by_kind:
            rows = [i for i, k in enumerate(kinds) if k == kind and split[i]]
            part = encoded if len(rows) == len(batch) else _rows(encoded, rows)
            found = self.model.align(
                part,
                self.vocabulary.reader(*kind).sot_sequence,
                [[t for piece in split[i] for t in piece.tokens] for i in rows],
                [max(len(batch[i].audio) // FRAME, 2) for i in rows],
            )
            for row, result in zip(rows, found, strict=True):
                out[row] = result
        return out


def _rows(encoded: Any, rows: Sequence[int]) -> Any:
    on_cpu = encoded if encoded.device == "cpu" else encoded.to_device(ctranslate2.Device.cpu)
    return StorageView.from_array(np.ascontiguousarray(np.array(on_cpu)[list(rows)]))


def _written(result: Any, budget: int) -> Written:
    count = len(result.sequences_ids[0])
    # CTranslate2 leaves the end out of the tokens that it divides by.
    mean = float(result.scores[0]) * count / (count + 1) if count else 0.0
    return Written(mean, float(result.no_speech_prob), ended=count < budget)
