"""Whistles that stand in for speech where no synthesiser is installed: every cell runs, and nothing is shown by it."""

from __future__ import annotations

from math import pi

import numpy as np
import torch

from ..data.keys import Keys
from ..data.speech.clips import Clip, Hearing, assembled
from ..data.speech.dataset import SpeechDataset
from ..data.speech.phones import PHONES

RATE, LONG, COUNT, VOICES, WORDS = 16000, 1600, 240, 4, 10


def whistles(seed: int) -> SpeechDataset:
    """Clips of four to seven tones of 0.1 seconds, a pitch for each "phone" and a strength of the octave for each "voice"."""
    keys = Keys.of(seed, COUNT)
    drawn = 1 + (keys.uniform("tones", (7,)) * (len(PHONES) - 1)).long().numpy()
    noise = keys.uniform("noise", (7 * LONG,)) - 0.5
    clips = []
    for i in range(COUNT):
        tones, voice = drawn[i % WORDS, :4 + i % WORDS % 4], VOICES * seed + i % VOICES
        pitch = torch.from_numpy(200 + 60 * tones).repeat_interleave(LONG)
        turns = (2 * pi * pitch / RATE).cumsum(0)
        wave = 0.3 * turns.sin() + 0.06 * (i % VOICES) * (2 * turns).sin() + 0.05 * noise[i, :len(turns)]
        clips.append(Clip(f"whistle {i}", wave.float(), RATE, " ".join(PHONES[tone] for tone in tones), f"whistle {voice}", tones, np.arange(len(tones)) * LONG))
    return assembled(clips, Hearing(), "whistles", "tones that stand in for speech", voice_names=[f"whistle {v}" for v in range(4 * VOICES)])
