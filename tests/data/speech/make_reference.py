"""Writes librosa_reference.npz, which features are tested against; librosa 0.11 is no dependency.

python make_reference.py, in an environment of its own with librosa.
"""

from pathlib import Path

import librosa
import numpy as np

CASES = {  # as the fields of MelConfig
    "plain": {},
    "htk": {"sampling_rate": 8000, "num_mel_bins": 23, "win_length": 200, "hop_length": 80, "n_fft": 256, "min_frequency": 60.0,
            "max_frequency": 3800.0, "mel_scale": "htk", "norm": "none"},
    "wide": {"num_mel_bins": 80, "win_length": 400, "n_fft": 400},
    "short": {},
    "silent": {},
}
DEFAULTS = {"sampling_rate": 16000, "num_mel_bins": 40, "win_length": 400, "hop_length": 160, "n_fft": 512, "min_frequency": 0.0,
            "max_frequency": 8000.0, "mel_scale": "slaney", "norm": "slaney"}


def wave(case: str) -> np.ndarray:
    """A chirp in noise, float32; a few samples of it, or none."""
    rng = np.random.default_rng(0)
    t = np.arange(3000) / 16000
    sound = 0.3 * np.sin(2 * np.pi * (200 + 9000 * t) * t) + 0.01 * rng.standard_normal(len(t))
    return {"short": sound[:50], "silent": np.zeros(500)}.get(case, sound).astype(np.float32)


if __name__ == "__main__":
    arrays = {}
    for case, changes in CASES.items():
        c = DEFAULTS | changes
        energy = librosa.feature.melspectrogram(
            y=wave(case), sr=c["sampling_rate"], n_fft=c["n_fft"], hop_length=c["hop_length"], win_length=c["win_length"], window="hann",
            center=True, pad_mode="constant", power=2.0, n_mels=c["num_mel_bins"], fmin=c["min_frequency"], fmax=c["max_frequency"],
            htk=c["mel_scale"] == "htk", norm="slaney" if c["norm"] == "slaney" else None)
        log = np.log(np.maximum(energy, 1e-10))
        arrays[f"{case}.wave"] = wave(case)
        arrays[f"{case}.log_mel"] = log.T.astype(np.float32)
        arrays[f"{case}.mfcc"] = librosa.feature.mfcc(S=log, n_mfcc=13).T.astype(np.float32)
        arrays[f"{case}.deltas"] = librosa.feature.delta(log, width=5, mode="nearest").T.astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("librosa_reference.npz"), **arrays)
