"""Whisper through CTranslate2: trimmed windows, forced prefixes, many streams in one call.

faster-whisper's `transcribe` is for one file at a time and keeps state in the model object, so
`encode`, `generate` and `align` of CTranslate2 are called directly.
"""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import ctranslate2
import numpy as np

from batch.backends.base import ModelInfo, RequestCost, Task
from batch.backends.features import Features
from batch.backends.hypotheses import Written, hypothesis, language_of
from batch.backends.mel import FRAME
from batch.backends.rehearsal import best_batch, least, noise, ran_out
from batch.backends.tokens import Reader, Vocabulary, forced
from batch.backends.whisper_replica import DeviceMel, HostMel, Replica, load
from batch.backends.windows import BUCKETS, FRAMES_FULL, bucket, frames_of, lengths
from batch.backends.words import Piece, pieces
from batch.devices import numbers_of
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.events import Decode, Hypothesis, Kind, samples

LANES_MAX = 8
FIRST = samples(1000)
PADDING_FIRST = 100  # mel frames by which a window as short as that may be lengthened
BATCHES = (4, 8, 16, 32, 64)  # of a GPU, to be tried at warm-up
ROWS_MAX = 512  # what an operator may ask for

logger = logging.getLogger("batch.backends.whisper")

StorageView = ctranslate2.StorageView
REHEARSAL = tuple(range(300, 308))  # tokens of some text


class WhisperBackend:
    def __init__(
        self, folder: Path, info: ModelInfo, traits: ModelTraits, options: ModelOptions
    ) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self.info = info
        devices = numbers_of(info.device)
        on_cpu = info.device == "cpu"
        # On a GPU two batches are in flight, so that it does not wait for the host.
        self.lanes = options.lanes or (min(cores, LANES_MAX) if on_cpu else 2 * len(devices))
        self.batch_max = 8 if on_cpu else BATCHES[-1]  # on a GPU measured at warm-up
        self.rows_max = ROWS_MAX  # what fits into the memory
        self.window_seconds_max = traits.window_seconds_max
        self.file_window_seconds_max = traits.file_window_seconds_max
        self.final_window = traits.final_window
        # A core is busy with one window of a large model: several at once compete for its cache.
        # Measured at warm-up; without one, the careful choice.
        self.encodes_together = not on_cpu
        # On a GPU equal shapes are worth more than a few frames.
        self.frames_of = frames_of if on_cpu else bucket
        self.padding = 0  # mel frames by which a window may be lengthened to join a batch
        self.cost = RequestCost(0.0)
        self.full_seconds: float | None = 0.0 if traits.final_window == "full" else None
        self.keeps_context = traits.keeps_context
        self.translates = traits.translates
        self.beam_size = options.beam_size
        each = -(-self.lanes // len(devices))
        # Few threads a call: decoding is many small steps, and threads that meet at each of them
        # cost more than they bring. The lanes use the other cores.
        threads = options.threads or (max(cores // LANES_MAX, 1) if on_cpu else 4)
        models = load(folder, info, intra_threads=threads, inter_threads=each)
        self.model, mels = models[0], models[0].n_mels
        self.features = Features(mels)
        self.replicas = [
            Replica(
                model,
                HostMel(self.features, mels) if on_cpu else DeviceMel(mels, f"cuda:{number}"),
            )
            for model, number in zip(models, devices, strict=True)
        ]
        # Each as often as batches may be in flight there.
        self.free: SimpleQueue[Replica] = SimpleQueue()
        for lane in range(self.lanes):
            self.free.put(self.replicas[lane % len(devices)])
        self.vocabulary = Vocabulary(folder, is_multilingual=self.model.is_multilingual)
        self.languages = self.vocabulary.languages

    def warm_up(self) -> None:
        language = "en" if "en" in self.languages else min(self.languages)
        for replica in self.replicas:
            for seconds in (2.0, self.window_seconds_max):
                # The first call of a shape is slow, and must not be a client's.
                self._decode(replica, [noise(seconds, language)])
        self._calibrate(language)
        if self.info.device != "cpu":
            first, task = self.replicas[0], noise(4.0, language)
            self.batch_max = best_batch(BATCHES, lambda size: self._decode(first, [task] * size))
        if self.final_window == "auto":
            full = [noise(2.0, language, full=True)]
            self.decode(full)
            self.full_seconds = least(lambda: self.decode(full))

    def _calibrate(self, language: str) -> None:
        """Decoding two windows together spares most of the second one's steps, but both must be as
        long as the longer one: how many mel frames more are encoded in the same time?"""
        reader = self.vocabulary.reader(language, "transcribe")
        prompt = [*reader.sot_sequence, self.vocabulary.no_timestamps, *REHEARSAL]
        short, long = self._time_encode(BUCKETS[0]), self._time_encode(BUCKETS[4])
        a_frame = max(long - short, 1e-9) / (BUCKETS[4] - BUCKETS[0])
        if self.info.device == "cpu":  # a GPU always gains by it
            self.encodes_together = self._time_encode(BUCKETS[4], rows=4) < 4.2 * long
        one, four = self._time_steps(prompt, 1), self._time_steps(prompt, 4)
        spared = max(one - (four - one) / 3, 0.0)
        # At twice as many, nothing would be gained.
        self.padding = min(round(spared / a_frame / 2), FRAMES_FULL)
        self.cost = RequestCost(long + one, spared / (long + one))

    def _time_encode(self, frames: int, rows: int = 1) -> float:
        mel = np.zeros((rows, self.model.n_mels, frames), np.float32)
        return least(lambda: self._encode(self.model, mel))

    def _time_steps(self, prompt: list[int], rows: int) -> float:
        mel = np.zeros((rows, self.model.n_mels, BUCKETS[2]), np.float32)
        encoded = self._encode(self.model, mel)
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
        windows = first.end - first.start, other.end - other.start
        short, long = (bucket(window, first.full) for window in sorted(windows))
        # The first words of an utterance are there soon, if they need not wait for long windows.
        most = min(self.padding, PADDING_FIRST) if min(windows) < FIRST else self.padding
        return long - short <= most

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

    def close(self) -> None:
        # CTranslate2's threads end with the last reference to its model.
        self.model, self.free = None, SimpleQueue()
        self.replicas.clear()

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        replica = self.free.get()
        out: list[Hypothesis] = []
        try:
            while len(out) < len(batch):
                part = batch[len(out) : len(out) + self.rows_max]
                try:
                    out += self._decode(replica, part)
                except RuntimeError as error:
                    if len(part) == 1 or not ran_out(error):
                        raise
                    logger.warning("out of memory: a batch of %d is too large", len(part))
                    self.rows_max = len(part) // 2
        finally:
            self.free.put(replica)
        return out

    def _decode(self, replica: Replica, batch: Sequence[Task]) -> list[Hypothesis]:
        model = replica.model
        first = batch[0].decode
        longest = max(t.decode.end - t.decode.start for t in batch)
        frames = self.frames_of(longest, first.full)
        encoded = self._encode(model, replica.mel(batch, frames))
        languages = self._languages(model, batch, encoded)
        readers = [
            self.vocabulary.reader(k, t.decode.task)
            for (k, _), t in zip(languages, batch, strict=True)
        ]
        prompts = [self._prompt(r, t.decode) for r, t in zip(readers, batch, strict=True)]
        length, budget = lengths(first, longest, max(map(len, prompts)))
        results = model.generate(
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
            self._align(model, batch, encoded, languages, split)
            if any(t.decode.word_times for t in batch)
            else [None] * len(batch)
        )
        return [
            hypothesis(task.decode, _written(result, budget), found, alignment, language)
            for task, result, found, alignment, language in zip(
                batch, results, split, aligned, languages, strict=True
            )
        ]

    def _encode(self, model: Any, mel: Any) -> Any:
        """The encoder's output for mel [batch, mels, frames]."""
        if self.encodes_together or len(mel) == 1:
            return model.encode(StorageView.from_array(mel))
        rows = [model.encode(StorageView.from_array(mel[i : i + 1])) for i in range(len(mel))]
        return StorageView.from_array(np.concatenate([np.array(row) for row in rows]))

    def _languages(
        self, model: Any, batch: Sequence[Task], encoded: Any
    ) -> list[tuple[str, float]]:
        """Language and its probability of each row; what is given counts as certain."""
        if not self.vocabulary.is_multilingual:
            return [("en", 1.0)] * len(batch)
        if all(t.decode.language for t in batch):
            return [(t.decode.language or "en", 1.0) for t in batch]
        found = model.detect_language(encoded)
        return [
            language_of(task.decode, {token.strip("<|>"): p for token, p in ranked})
            for task, ranked in zip(batch, found, strict=True)
        ]

    def _prompt(self, reader: Reader, decode: Decode) -> list[int]:
        return reader.prompt(decode) + list(forced(decode))

    def _align(
        self,
        model: Any,
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
            found = model.align(
                part,
                self.vocabulary.reader(*kind).sot_sequence,
                [[t for piece in split[i] for t in piece.tokens] for i in rows],
                [max(batch[i].samples // FRAME, 2) for i in rows],
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
