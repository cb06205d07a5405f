"""The mel filters of Whisper: Slaney's, triangles of equal area, as librosa makes them."""

from typing import Any

import numpy as np
import numpy.typing as npt

N_FFT = 400
FRAME = 160  # samples between two frames

# Up to 1 kHz a mel is 200 / 3 Hz; above, 27 of them are a factor of 6.4.
LINEAR_HZ = 200 / 3
LOG_FROM_HZ = 1000.0
LOG_STEP = np.log(6.4) / 27
TOP_MEL = LOG_FROM_HZ / LINEAR_HZ + np.log(8.0) / LOG_STEP  # 8 kHz


def mel_filters(count: int) -> npt.NDArray[np.float32]:
    """[count, 201], for the power spectrum of 400 samples at 16 kHz."""
    frequencies = np.fft.rfftfreq(N_FFT, 1 / 16_000)
    corners = _hertz(np.linspace(0, TOP_MEL, count + 2))
    ramps = corners[:, None] - frequencies
    widths = np.diff(corners)[:, None]
    rising, falling = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    areas = 2 / (corners[2:] - corners[:-2])
    return np.ascontiguousarray(triangles * areas[:, None], np.float32)


def hann() -> npt.NDArray[np.float32]:
    """[400], periodic."""
    return np.hanning(N_FFT + 1)[:-1].astype(np.float32)


def _hertz(mels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    above = mels - LOG_FROM_HZ / LINEAR_HZ
    return np.where(above < 0, mels * LINEAR_HZ, LOG_FROM_HZ * np.exp(LOG_STEP * above))
