"""What speech is read as: log-mel spectrograms and cepstral coefficients, by torch alone.

Frame t is centred at sample t · hop_length; beyond its ends a wave is zero. So S samples are
1 + S // hop_length frames, also where S is shorter than a window, and a wave has the same frames
alone as in a batch that is padded with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log, pi
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...validation import require, require_at_least, require_kinds

FLOOR = 1e-10  # the least energy, so that silence has a logarithm
SLANEY_KNEE, SLANEY_STEP = 1000.0, 200 / 3  # Hz up to which the scale is linear; Hz a mel
SLANEY_LOG = log(6.4) / 27  # of a mel above


@dataclass(frozen=True)
class MelConfig:
    """How a log-mel spectrogram is taken.

    Attributes:
        sampling_rate: samples a second.
        num_mel_bins: bands.
        win_length: samples of a periodic Hann window, centred among the n_fft.
        hop_length: samples from one frame to the next.
        n_fft: samples of a Fourier transform.
        min_frequency: lower end of the lowest band, in Hz.
        max_frequency: upper end of the highest band, in Hz; 0 stands for half the sampling rate.
        mel_scale: "slaney" is linear up to 1 kHz and logarithmic above (Slaney, Auditory Toolbox,
            1998), "htk" is 2595 log10(1 + f / 700).
        norm: "slaney" gives each triangle the area 1, "none" the height 1.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    sampling_rate: int = 16000
    num_mel_bins: int = 40
    win_length: int = 400
    hop_length: int = 160
    n_fft: int = 512
    min_frequency: float = 0.0
    max_frequency: float = 0.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "sampling_rate", "num_mel_bins", "win_length", "hop_length")
        require(self.n_fft >= self.win_length and self.n_fft % 2 == 0, "n_fft", self.n_fft,
                f"even and at least win_length={self.win_length}")
        require(0 <= self.min_frequency < self.highest, "min_frequency", self.min_frequency,
                f"at least 0 and below the highest frequency, {self.highest:g}")
        require(self.highest <= self.sampling_rate / 2, "max_frequency", self.max_frequency,
                f"at most half the sampling rate, {self.sampling_rate / 2:g}")

    @property
    def highest(self) -> float:
        """The upper end of the highest band, in Hz."""
        return self.max_frequency or self.sampling_rate / 2

    def frames(self, samples):
        """How many frames so many samples are: an int, or a tensor of them."""
        return 1 + samples // self.hop_length


def log_mel(waves: Tensor, config: MelConfig = MelConfig()) -> Tensor:
    """The natural logarithm of the energy in bands of mel, at least log(1e-10).

    Args:
        waves: (..., S) floats between −1 and 1, S at least 1.
        config: how it is taken.

    Returns:
        (..., 1 + S // hop_length, num_mel_bins), of the same type.

    Raises:
        ValueError: if there is no sample.
    """
    require(waves.ndim > 0 and waves.shape[-1] > 0, "waves", tuple(waves.shape),
            "(..., S) with at least one sample")
    flat = waves.reshape(-1, waves.shape[-1])
    padded = F.pad(flat, (config.n_fft // 2, config.n_fft // 2))
    window = torch.hann_window(config.win_length).to(waves)
    spectra = torch.stft(padded, config.n_fft, config.hop_length, config.win_length, window,
                         center=False, return_complex=True)  # (B, n_fft // 2 + 1, T)
    energy = spectra.abs().square().mT @ mel_filters(config).to(waves)
    return energy.clamp(min=FLOOR).log().reshape(*waves.shape[:-1], -1, config.num_mel_bins)


@lru_cache(maxsize=8)
def mel_filters(config: MelConfig) -> Tensor:
    """Overlapping triangles, evenly spaced in mel: (n_fft // 2 + 1, num_mel_bins) float64."""
    low, high = (to_mel(torch.tensor(f, dtype=torch.float64), config.mel_scale)
                 for f in (config.min_frequency, config.highest))
    steps = torch.arange(config.num_mel_bins + 2, dtype=torch.float64)
    mels = low + (high - low) * steps / (config.num_mel_bins + 1)
    left, centre, right = to_hertz(mels, config.mel_scale).unfold(0, 3, 1).unbind(1)
    bins = torch.arange(config.n_fft // 2 + 1).double() * config.sampling_rate / config.n_fft
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return triangles * 2 / (right - left) if config.norm == "slaney" else triangles


def to_mel(hertz: Tensor, scale: str) -> Tensor:
    """Frequencies in mel."""
    if scale == "htk":
        return 2595 * torch.log10(1 + hertz / 700)
    octaves = (hertz.clamp(min=SLANEY_KNEE) / SLANEY_KNEE).log()
    above = SLANEY_KNEE / SLANEY_STEP + octaves / SLANEY_LOG
    return torch.where(hertz < SLANEY_KNEE, hertz / SLANEY_STEP, above)


def to_hertz(mels: Tensor, scale: str) -> Tensor:
    """Frequencies from mel."""
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    knee = SLANEY_KNEE / SLANEY_STEP
    above = SLANEY_KNEE * torch.exp(SLANEY_LOG * (mels - knee))
    return torch.where(mels < knee, mels * SLANEY_STEP, above)


def mfcc(log_mels: Tensor, coefficients: int = 13) -> Tensor:
    """Mel-frequency cepstral coefficients: the first of an orthonormal DCT-II over the bands.

    Args:
        log_mels: (..., T, M), what `log_mel` returns.
        coefficients: C, how many; the first says how loud a frame is.

    Returns:
        (..., T, C).

    Raises:
        ValueError: if more are asked for than there are bands.

    Source: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition in continuously spoken sentences", IEEE Transactions on Acoustics, Speech, and
    Signal Processing 28 (1980).
    """
    bands = log_mels.shape[-1]
    require(1 <= coefficients <= bands, "coefficients", coefficients,
            f"between 1 and {bands}, the number of bands")
    angles = pi / bands * (torch.arange(bands).double() + 0.5)[:, None] * torch.arange(coefficients)
    basis = (2 / bands) ** 0.5 * angles.cos()  # (M, C)
    basis[:, 0] /= 2**0.5
    return log_mels @ basis.to(log_mels)


def deltas(frames: Tensor, lengths: Tensor, reach: int = 2) -> Tensor:
    """How fast each number changes, a frame: the slope of a line fitted to 2 · reach + 1 frames.

    The first and the last frame of a clip are repeated beyond its ends.

    Args:
        frames: (B, T, F).
        lengths: (B,) frames of each clip, at least 1.
        reach: frames on either side.
    """
    require(reach >= 1, "reach", reach, "at least 1")
    steps = torch.arange(-reach, reach + 1)
    places = torch.arange(frames.shape[1])[:, None] + steps  # (T, 2 · reach + 1)
    places = places.clamp(min=0).minimum(lengths[:, None, None] - 1)  # (B, T, 2 · reach + 1)
    near = frames[torch.arange(len(frames))[:, None, None], places]
    return torch.einsum("btkf,k->btf", near, steps.to(frames)) / steps.square().sum()


def centred(frames: Tensor, lengths: Tensor) -> Tensor:
    """Frames less the mean of their clip, which takes out microphone and loudness; padding is 0.

    Args:
        frames: (B, T, F).
        lengths: (B,) frames of each clip.
    """
    there = (torch.arange(frames.shape[1]) < lengths[:, None])[:, :, None]  # (B, T, 1)
    mean = (frames * there).sum(1, keepdim=True) / lengths[:, None, None]
    return (frames - mean) * there


def standardised(waves: Tensor, lengths: Tensor) -> Tensor:
    """Waves of mean 0 and deviation 1 over their clip, as wav2vec 2.0 hears them; padding is 0.

    Args:
        waves: (B, S).
        lengths: (B,) samples of each clip.
    """
    x = centred(waves[:, :, None], lengths)[:, :, 0]
    variance = x.square().sum(1, keepdim=True) / lengths[:, None]
    return x / (variance + 1e-7).sqrt()  # the term of transformers' Wav2Vec2FeatureExtractor
