"""How much of a window Whisper encodes, and how much it may write about it."""

from batch.backends.mel import FRAME
from streaming.events import SAMPLE_RATE, Decode, Kind

FRAMES_FULL = 3000
# Mel frames by which windows are told apart, so that requests of different length share a batch.
BUCKETS = (200, 300, 400, 500, 600, 800, 1000, 1200, 1500, 2000, 2500, FRAMES_FULL)
# Features are padded with 0, and by this much at least: without, the error rate rises by half.
MARGIN_FRAMES = 50
STEP_FRAMES = 20  # to a multiple of this a batch is padded
TOKENS_MAX = 224
TOKENS_A_SECOND_MAX = 30


def bucket(samples: int, full: bool) -> int:
    """Mel frames that a window of `samples` counts as when a batch is made up."""
    wanted = samples // FRAME + MARGIN_FRAMES
    if full:
        return FRAMES_FULL
    return next((b for b in BUCKETS if b >= wanted), FRAMES_FULL)


def frames_of(samples: int, full: bool) -> int:
    """Mel frames to encode for a batch whose longest window has `samples`: as few as may be, where
    nothing is gained from equal shapes. Under 2 s Whisper invents filler."""
    if full:
        return FRAMES_FULL
    wanted = max(samples // FRAME + MARGIN_FRAMES, BUCKETS[0])
    return min(-(-wanted // STEP_FRAMES) * STEP_FRAMES, FRAMES_FULL)


def lengths(decode: Decode, samples: int, prompt: int) -> tuple[int, int]:
    """CTranslate2's `max_length`, and the new tokens which that allows: half of it, or what the
    prompt leaves of it, whichever is less. A partial gets what its window can hold in the densest
    script, so that a loop does not cost as much as thirty seconds of speech."""
    wanted = TOKENS_MAX
    if decode.kind is Kind.PARTIAL:
        wanted = min(TOKENS_MAX, 20 + TOKENS_A_SECOND_MAX * (samples // SAMPLE_RATE + 1))
    length = min(2 * TOKENS_MAX, max(2 * wanted, wanted + prompt))
    return length, min(length // 2, length - prompt)
