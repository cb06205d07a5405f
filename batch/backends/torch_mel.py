"""Whisper's log-mel features of many windows in one call, on the device.

Equal to faster-whisper's within rounding: the beginning is mirrored, after the end come zeros, and
the loudest of a window is sought in one frame more than is given back.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from batch.backends.mel import FRAME, N_FFT, hann, mel_filters

HALF = N_FFT // 2


class LogMel:
    def __init__(self, mels: int, device: torch.device) -> None:
        self.filters = torch.from_numpy(mel_filters(mels)).to(device)
        self.window = torch.from_numpy(hann()).to(device)

    def __call__(self, audio: Tensor, lengths: Tensor) -> Tensor:
        """[batch, mels, n] of float32 audio [batch, n * 160] with zeros after its `lengths`
        [batch] in samples; 0 where a window has ended."""
        mirrored = audio[:, 1 : HALF + 1].flip(1)
        frames = torch.cat([mirrored, pad(audio, (0, HALF))], 1).unfold(1, N_FFT, FRAME)
        power = torch.fft.rfft(frames * self.window).abs().square()
        log = (power @ self.filters.T).clamp(min=1e-10).log10()  # [batch, n + 1, mels]
        number = torch.arange(log.shape[1], device=log.device)
        last = lengths[:, None] // FRAME
        loudest = log.masked_fill((number > last)[:, :, None], -torch.inf).amax(
            (1, 2), keepdim=True
        )
        scaled = (torch.maximum(log, loudest - 8) + 4) / 4
        return scaled.masked_fill((number >= last)[:, :, None], 0)[:, :-1].transpose(1, 2)
