"""Whisper through CTranslate2: trimmed windows, forced prefixes, many streams in one call.

faster-whisper supplies the tokenizer; its `transcribe` is for one file at a time and keeps
state in the model object, so `encode`, `generate` and `align` are called directly.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
import tokenizers

from batch.backends.base import ModelInfo, RequestCost, Task
from batch.backends.features import Features
from batch.backends.parts import part
from batch.backends.words import Piece, Tokenizer, compression_ratio, pieces, times
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.errors import EngineFailed
from streaming.events import END_MARKS, SAMPLE_RATE, Decode, Hypothesis, Kind, Word

FRAME = 160  # samples of one mel frame
FRAMES_FULL = 3000
# Mel frames to which windows are padded, so that requests of different length share a batch.
BUCKETS = (200, 300, 400, 500, 600, 800, 1000, 1200, 1500, 2000, 2500, FRAMES_FULL)
# Features are padded with 0, and by this much at least: without, the error rate rises by half.
MARGIN_FRAMES = 50
LANGUAGE_SURE = 0.8  # a detection below this does not overrule the stream's language
TOKENS_MAX = 224
TOKENS_A_SECOND_MAX = 30
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


def bucket(samples: int, full: bool) -> int:
    """Mel frames to encode for a window of `samples`. Under 2 s Whisper invents filler."""
    wanted = samples // FRAME + MARGIN_FRAMES
    if full:
        return FRAMES_FULL
    return next((b for b in BUCKETS if b >= wanted), FRAMES_FULL)


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
        self.text = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.features = Features(self.model.n_mels)
        self.reading = part("tokenizer")
        self.tokenizer = lru_cache(maxsize=256)(self._tokenizer)
        codes = self.reading._LANGUAGE_CODES
        known = {t for t in codes if self.text.token_to_id(f"<|{t}|>") is not None}
        self.languages = frozenset(known) if self.model.is_multilingual else frozenset({"en"})

    def _tokenizer(self, language: str, task: str) -> Tokenizer:
        many = self.model.is_multilingual
        found: Tokenizer = self.reading.Tokenizer(self.text, many, task=task, language=language)
        return found

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
        reader = self.tokenizer(language, "transcribe")
        prompt = [*reader.sot_sequence, reader.no_timestamps, *REHEARSAL]
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
        # What looks like a special token in a client's text must not become one.
        end = self.text.token_to_id("<|endoftext|>")
        assert end is not None
        ids = self.text.encode(" " + text.strip(), add_special_tokens=False).ids
        return tuple(i for i in ids if i < end)

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
            self.tokenizer(k, t.decode.task) for (k, _), t in zip(languages, batch, strict=True)
        ]
        prompts = [self._prompt(r, t.decode) for r, t in zip(readers, batch, strict=True)]
        length, budget = _lengths(first, longest, max(map(len, prompts)))
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
        written = [
            [i for i in r.sequences_ids[0] if i < reader.eot]
            for r, reader in zip(results, readers, strict=True)
        ]
        split = [pieces(reader, tokens) for reader, tokens in zip(readers, written, strict=True)]
        aligned = (
            self._align(batch, encoded, languages, split)
            if any(t.decode.word_times for t in batch)
            else [None] * len(batch)
        )
        return [
            _hypothesis(
                task, result, found, alignment, language, len(result.sequences_ids[0]) < budget
            )
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
        out = []
        for task, found in zip(batch, self.model.detect_language(encoded), strict=True):
            decode = task.decode
            ranked = {token.strip("<|>"): probability for token, probability in found}
            if decode.languages:
                ranked = {k: ranked[k] for k in ranked if k in decode.languages} or ranked
            best = next(iter(ranked))
            if decode.language is not None:
                out.append((decode.language, 1.0))
            elif (likely := decode.likely_language) in ranked and ranked[best] < LANGUAGE_SURE:
                assert likely is not None
                out.append((likely, ranked[likely]))
            else:
                out.append((best, ranked[best]))
        return out

    def _prompt(self, reader: Tokenizer, decode: Decode) -> list[int]:
        before = [reader.sot_prev, *decode.prompt] if decode.prompt else []
        if decode.timestamps:
            return [*before, *reader.sot_sequence]
        return [*before, *reader.sot_sequence, reader.no_timestamps, *decode.prefix]

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
                self.tokenizer(*kind).sot_sequence,
                [[t for piece in split[i] for t in piece.tokens] for i in rows],
                [max(len(batch[i].audio) // FRAME, 2) for i in rows],
            )
            for row, result in zip(rows, found, strict=True):
                out[row] = result
        return out


def _lengths(decode: Decode, samples: int, prompt: int) -> tuple[int, int]:
    """CTranslate2's `max_length`, and the new tokens which that allows: half of it, or what the
    prompt leaves of it, whichever is less. A partial gets what its window can hold in the densest
    script, so that a loop does not cost as much as thirty seconds of speech."""
    wanted = TOKENS_MAX
    if decode.kind is Kind.PARTIAL:
        wanted = min(TOKENS_MAX, 20 + TOKENS_A_SECOND_MAX * (samples // SAMPLE_RATE + 1))
    length = min(2 * TOKENS_MAX, max(2 * wanted, wanted + prompt))
    return length, min(length // 2, length - prompt)


def _rows(encoded: Any, rows: Sequence[int]) -> Any:
    on_cpu = encoded if encoded.device == "cpu" else encoded.to_device(ctranslate2.Device.cpu)
    return StorageView.from_array(np.ascontiguousarray(np.array(on_cpu)[list(rows)]))


def _hypothesis(
    task: Task,
    result: Any,
    found: Sequence[Piece],
    alignment: Any,
    language: tuple[str, float],
    ended: bool,
) -> Hypothesis:
    decode = task.decode
    new = len(result.sequences_ids[0])
    words = _words(decode, found, alignment)
    last = found[-1].text[-1:] if found else ""
    end_probability = 0.0
    if last in END_MARKS:
        end_probability = float(alignment.text_token_probs[-1]) if alignment else 0.5
    return Hypothesis(
        words=words,
        language=language[0],
        language_probability=float(language[1]),
        no_speech_probability=float(result.no_speech_prob),
        log_probability=float(result.scores[0]) * new / (new + 1) if new else 0.0,
        compression_ratio=compression_ratio("".join(p.text for p in found)),
        end_probability=end_probability,
        ended=ended,
    )


def _words(decode: Decode, found: Sequence[Piece], alignment: Any) -> tuple[Word, ...]:
    """Words at their place in the stream; without an alignment, spread evenly over the window."""
    if not found:
        return ()
    lengths = [len(p.tokens) for p in found]
    edges = np.cumsum([0, *lengths])
    duration = (decode.end - decode.start) / SAMPLE_RATE
    if alignment is None:
        starts, ends = edges[:-1] / edges[-1] * duration, edges[1:] / edges[-1] * duration
        sure = np.zeros(len(found))
    else:
        starts, ends = times(alignment.alignments, lengths)
        probabilities = alignment.text_token_probs
        sure = np.array([np.mean(probabilities[a:b]) for a, b in pairwise(edges)])
    return tuple(
        Word(
            text=piece.text.strip(),
            start=decode.start + round(min(float(start), duration) * SAMPLE_RATE),
            end=decode.start + round(min(float(end), duration) * SAMPLE_RATE),
            confidence=round(float(probability), 4),
            tokens=tuple(piece.tokens),
            spaced=piece.text.startswith(" "),
        )
        for piece, start, end, probability in zip(found, starts, ends, sure, strict=True)
    )
