"""How much of a window Whisper encodes, and how much it may write about it."""

from batch.backends.mel import FRAME
from streaming.events import SAMPLE_RATE, Decode, Kind

FRAMES_FULL = 3000
# Mel frames to which windows are padded, so that requests of different length share a batch.
BUCKETS = (200, 300, 400, 500, 600, 800, 1000, 1200, 1500, 2000, 2500, FRAMES_FULL)
# Features are padded with 0, and by this much at least: without, the error rate rises by half.
MARGIN_FRAMES = 50
TOKENS_MAX = 224
TOKENS_A_SECOND_MAX = 30


def bucket(samples: int, full: bool) -> int:
    """Mel frames to encode for a window of `samples`. Under 2 s Whisper invents filler."""
    wanted = samples // FRAME + MARGIN_FRAMES
    if full:
        return FRAMES_FULL
    return next((b for b in BUCKETS if b >= wanted), FRAMES_FULL)


def lengths(decode: Decode, samples: int, prompt: int) -> tuple[int, int]:
    """CTranslate2's `max_length`, and the new tokens which that allows: half of it, or what the
    prompt leaves of it, whichever is less. A partial gets what its window can hold in the densest
    script, so that a loop does not cost as much as thirty seconds of speech."""
    wanted = TOKENS_MAX
    if decode.kind is Kind.PARTIAL:
        wanted = min(TOKENS_MAX, 20 + TOKENS_A_SECOND_MAX * (samples // SAMPLE_RATE + 1))
    length = min(2 * TOKENS_MAX, max(2 * wanted, wanted + prompt))
    return length, min(length // 2, length - prompt)
