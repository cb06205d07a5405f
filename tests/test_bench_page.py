"""What the bench of the page makes of what its probe saw."""

import numpy as np
import pytest

from bench.metrics import word_latencies
from bench.page import LEAD_SECONDS, offset_of, trace_of
from bench.recordings import SAMPLE_RATE, Pcm, Script, Spoken

RATE = 48_000
FRAME = 1_920
SKIPPED_SECONDS = 0.5  # of the file, when the page began to send
BEGAN_MS = 7_000.0  # on the page's clock, when the file did


def noise(seconds: float) -> Pcm:
    samples = np.random.default_rng(1).normal(0, 3_000, round(seconds * SAMPLE_RATE))
    return samples.astype(np.int16)


@pytest.mark.parametrize("skipped", [0, 8_000])
def test_the_place_of_what_was_heard_is_found(skipped: int) -> None:
    played = noise(6)
    heard = (played[skipped : skipped + 32_000] * 0.4).astype(np.int16)
    assert offset_of(heard, played) == skipped


def test_what_began_before_the_file_is_found() -> None:
    played = noise(4)
    heard = np.concatenate([np.zeros(800, np.int16), played[:32_000]])
    assert offset_of(heard, played) == -800


def test_latencies_count_from_the_sample() -> None:
    """A word that ends 1 s into the script is painted 100 ms after it was heard, which the page
    learns 10 ms later."""
    played = noise(6)
    heard = np.repeat(played[round(SKIPPED_SECONDS * SAMPLE_RATE) :], RATE // SAMPLE_RATE)
    frames = range(FRAME, 4 * RATE, FRAME)
    began = BEGAN_MS + SKIPPED_SECONDS * 1_000
    word_end = BEGAN_MS + (LEAD_SECONDS + 1) * 1_000
    partial = {
        "type": "partial",
        "utterance": 1,
        "start": LEAD_SECONDS - SKIPPED_SECONDS + 0.5,
        "end": LEAD_SECONDS - SKIPPED_SECONDS + 1.1,
        "text": "word",
        "lag_ms": 1.0,
        "wall": word_end + 110.0,
    }
    probe = {
        "rate": RATE,
        "asked": BEGAN_MS - 40,
        "granted": BEGAN_MS + 5,
        "audio": heard[: 2 * RATE].tolist(),
        # One in ten is late, which says nothing of the others.
        "sent": [[began + n / RATE * 1_000 + (n // FRAME % 10) + 10, n] for n in frames],
        "shown": [partial],
    }
    trace, microphone = trace_of(probe, played)
    script = Script(played, (Spoken("word", 0.5, 1.0),))
    assert word_latencies(script, trace) == [pytest.approx(100, abs=1)]
    assert microphone == {
        "microphone_ms_min": pytest.approx(5, abs=1),
        "microphone_ms_max": pytest.approx(50, abs=1),
    }
