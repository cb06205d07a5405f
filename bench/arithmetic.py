"""What a Whisper model has to compute and to read, by its shape. Pure.

An operation is a multiplication or an addition. Encoder positions are 50 a second; attention is
counted as products, without the softmax, which is why a long window can never reach its limit.
"""

from dataclasses import dataclass

POSITIONS_A_SECOND = 50
FRAMES_A_POSITION = 2


@dataclass(frozen=True, slots=True)
class Dimensions:
    width: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    mels: int = 80


def encoder_operations(shape: Dimensions, seconds: float) -> float:
    """Of a window: two convolutions, and per layer 12 d² weights and the scores of attention."""
    return encoder_products(shape, seconds) + encoder_rest(shape, seconds)


def encoder_products(shape: Dimensions, seconds: float) -> float:
    """With the layers' weights, which are int8."""
    return shape.encoder_layers * 2 * seconds * POSITIONS_A_SECOND * 12 * shape.width**2


def encoder_rest(shape: Dimensions, seconds: float) -> float:
    """Convolutions and attention, which CTranslate2 computes in float32."""
    d, positions = shape.width, seconds * POSITIONS_A_SECOND
    frames = positions * FRAMES_A_POSITION
    convolutions = 2 * 3 * shape.mels * d * frames + 2 * 3 * d * d * positions
    return convolutions + shape.encoder_layers * 4 * positions**2 * d


def cross_operations(shape: Dimensions, seconds: float) -> float:
    """Keys and values of the encoder's output for each decoder layer, once a window."""
    d, positions = shape.width, seconds * POSITIONS_A_SECOND
    return shape.decoder_layers * 2 * positions * 2 * d * d


def step_operations(shape: Dimensions, seconds: float) -> float:
    """One token of one row: 14 d² weights a layer, attention over the window, the vocabulary."""
    d, positions = shape.width, seconds * POSITIONS_A_SECOND
    layer = 2 * 14 * d * d + 4 * positions * d
    return shape.decoder_layers * layer + 2 * shape.vocabulary * d


def step_weights(shape: Dimensions) -> int:
    """Weights that every step of the decoder reads, however many rows it serves."""
    return shape.decoder_layers * 14 * shape.width**2 + shape.vocabulary * shape.width


def step_bytes(shape: Dimensions, seconds: float, rows: int) -> float:
    """Read by a step: int8 weights once, and each row's keys and values of the window in float32.
    The few of the tokens before are left out."""
    window = shape.decoder_layers * 2 * seconds * POSITIONS_A_SECOND * shape.width * 4
    return step_weights(shape) + rows * window
