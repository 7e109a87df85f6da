# %% [markdown]
# # 15 · Speech
#
# A child understands speech years before it can read. Nobody hands it transcripts. A speech recogniser of the old kind knows nothing else: somebody has written down, for thousands of hours, what is said in each recording. Most languages of the world have no such hours.
# This chapter lets networks listen first. They predict what comes next, or what was hidden; then a few transcripts have to do. We ask what each such task keeps of a sound: what is said, or who says it.
#
# **You will be able to**
#
# 1. turn a wave into what a network reads, and say what is thrown away;
# 2. write the loss of contrastive prediction, say what it is at chance, and say which others a frame has to be told from;
# 3. hide spans of a sound, and score clusters by what they tell of phones;
# 4. write the recursion that adds up all ways to say a transcript, and check it against every one of them;
# 5. find the leak in a comparison: a voice in both parts, an encoder that has heard the future, a rival on its plateau.
#
# **You need** chapter 03 for masks, chapter 07 for softmax and cross-entropy, chapter 12 for frozen and fine-tuned encoders; section 3 of chapter 14 helps.
#
# **Time** about 4 hours of reading and exercises. Computing takes about two minutes on a laptop.

# %% tags=["setup"]
import math
from itertools import product
from statistics import mean

import numpy as np
import torch
from IPython.display import Audio, display
from torch import nn
from torch.nn import functional as F

from pretrain_lib import AcousticLSTM, AcousticLSTMConfig, ContrastivePrediction, Keys, LengthBuckets, LinearProbe, MelConfig, Room
from pretrain_lib import TrainConfig, Trainer, deltas, error_rate, fine_tune_ctc, frame_samples, frame_vectors, k_means, load_speech, log_mel
from pretrain_lib import mfcc, phone_information, prefix_beam, sound_samples, transcripts
from pretrain_lib.course import check, claim, diagrams, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch15 import CHOICES, DIAGNOSES, LOGS
from pretrain_lib.course.results import verdict_table
from pretrain_lib.evaluation.classification import Comparison
from pretrain_lib.evaluation.uncertainty import Lead
from pretrain_lib.models.frames import StackedSteps
from pretrain_lib.objectives.ctc import collapsed, ctc_log_likelihood
from pretrain_lib.objectives.frames import span_mask as librarys_span_mask

# %% [markdown]
# ## 1 · Sound that is known
#
# A recording comes with no truth. Somebody may have written down the words; nobody has written down at which millisecond the *v* of "seven" begins. So we let a program speak: eSpeak NG, a synthesiser by rules. It says what we ask for in many voices, and tells when each phone begins.
# (A **phone** is a sound of speech: "seven" has five. We write them in eSpeak NG's letters.) Twenty words and some thousand phrases were said once and are kept; `docs/speech.md` is their data card, with the flaws. The first of them: no person speaks. What we measure holds for machines that speak, and section 8 asks how far it carries.

# %% tags=["setup"]
ROOM = dial(smoke=None, laptop=Room())  # echoes, noise and loudness of each clip; at smoke none, to save time

try:
    phrases, heard = load_speech("phrases", dial(smoke="shift", laptop="train"), room=ROOM), load_speech("phrases", "test", room=ROOM)
    words, words_heard = load_speech("words", dial(smoke="shift", laptop="train"), room=ROOM), load_speech("words", "test", room=ROOM)
except ModuleNotFoundError as error:
    from pretrain_lib.course.whistles import whistles

    print(f"{error}. Until then whistles stand in for speech: all cells run, what they print of sounds means nothing, and no claim is made.")
    phrases, heard, words, words_heard = (whistles(seed) for seed in range(4))
    claim = headline = lambda *_, **__: None
print(phrases, heard, words, words_heard, sep="\n")

# %% [markdown]
# Listen before you read on. The first two clips are one word by two voices, each in a room of its own; the third is a phrase. (Words of the phrases are from addresses of presidents of the United States, which are in the public domain.)

# %%
first = int(words_heard.labels[0])
same_word = [i for i in range(len(words_heard)) if words_heard.labels[i] == first and words_heard.voices[i] != words_heard.voices[0]][0]
for source, i in ((words_heard, 0), (words_heard, same_word), (heard, 0)):
    print(f"{source.transcript(i)!r}, voice {source.voice_names[source.voices[i]]}")
    display(Audio(source.wave(i), rate=source.rate))

# %% [markdown]
# You heard the same word at once, and two speakers at once. Remember that both are there to be heard: the whole chapter turns on which of the two a network attends to.

# %%
def phone_spans(source, i):
    """(first frame, frame after the last, name) of each phone of clip i; a frame is 10 ms."""
    phones = source.ragged["phones"].row(i).tolist()
    edges = [0, *[t for t in range(1, len(phones)) if phones[t] != phones[t - 1]], len(phones)]
    return [(a, b, source.symbols[phones[a]]) for a, b in zip(edges, edges[1:])]


clips = [(words_heard, 0), (words_heard, same_word)]
fig, axes = plots.figure(columns=2, rows=2, width=10, height=4.6)
for column, (source, i) in zip(axes.T, clips):
    wave, features = source.wave(i), source.ragged["features"].row(i)
    column[0].plot(np.arange(len(wave)) / source.rate, wave, color=plots.BLUE, linewidth=0.5)
    column[0].set(xlim=(0, len(wave) / source.rate), ylabel="wave", title=f"{source.transcript(i)!r}, voice {source.voice_names[source.voices[i]]}")
    column[1].imshow(features.T, origin="lower", aspect="auto", cmap="magma", extent=(0, len(features) / 100, 0, features.shape[1]))
    for begin, end, name in phone_spans(source, i):
        column[1].axvline(begin / 100, color="white", linewidth=0.8)
        column[1].text((begin + end) / 200, 36, name, color="white", ha="center", va="center", fontsize=9, clip_on=True)
    column[1].set(xlabel="seconds", ylabel="band of the log-mel")
    column[1].grid(visible=False)
told = " ".join(name for *_, name in phone_spans(*clips[0]))
plots.show(fig, alt=f"One word by two voices: above the wave, below what a network will read, with the phones that are known to the frame. The word {words_heard.transcript(0)!r} twice, as waves and as spectra over time of 40 bands; white lines part the phones, {told} in the first.", number="15.1")

# %% [markdown]
# In Figure 15.1 the waves have little in common, the pictures below them a lot. That is section 2.
#
# One trap first, for whoever makes data with a program. eSpeak NG's answer is **no function of its arguments**: ask twice in one process for the same word, voice and speed, and the samples differ, and even their number. The library's promise that everything random is a function of a key (chapter 05) could not be kept clip by clip.
# So all lines are said once, in a fixed order, in one process, and kept under a checksum. Which brings the other promise: what the test hears, training never heard.

# %%
spoken = [{word for i in range(len(part)) for word in part.transcript(i).split()} for part in (phrases, heard)]
voices = [set(part.voices.tolist()) for part in (phrases, heard)]
print(f"{len(voices[0])} voices and {len(spoken[0])} words to train on; {len(voices[1])} voices and {len(spoken[1])} words in the test; in both {len(voices[0] & voices[1])} and {len(spoken[0] & spoken[1])}")
claim(not voices[0] & voices[1] and not spoken[0] & spoken[1], "no voice and no word of the test's phrases was heard in training")

# %% [markdown]
# ## 2 · What an ear would keep
#
# A second of sound is 16,000 numbers, and hardly one of them means anything: move the microphone a hand's breadth, and all change. What stays is how much energy there is at which pitch, and how that changes over hundredths of a second. Figure 15.2 has the steps that speech recognition has used for decades.

# %%
plots.show(diagrams.from_wave_to_coefficients(), "From a wave to what a network reads: each step throws something away. Windows of the wave become spectra; the spectra's energies are summed in 40 bands, whose logarithm is the log-mel; a cosine transform of that gives the MFCC.", number="15.2")

# %% [markdown]
# **Windows and spectra.** Every 10 ms we cut out 25 ms, fade its ends, and take the Fourier transform: 257 frequencies from 0 to 8,000 Hz. Of each we keep the energy, its absolute value squared. The phase is thrown away, and with it what the hand's breadth changed.
#
# **Mel.** An ear resolves low pitches finely and high ones coarsely. The mel scale follows it: in one of its variants, $m(f) = 2595 \log_{10}(1 + f / 700)$ with $f$ in hertz, nearly straight below 700 Hz and logarithmic above. Bands that are equally wide in mel are narrow at the bottom and wide at the top. Energies are summed in overlapping triangles.

# %% [markdown] tags=["exercise"]
# **Exercise 15.1 · mel filters (★★☆, 20 min)**
#
# The bins of a spectrum lie evenly from 0 Hz to half the sampling rate, both included. Space $M + 2$ corners evenly *in mel* from 0 to half the rate, and bring them back to hertz. Band $m$ is a triangle with straight sides in hertz: 0 at corner $m$, 1 at corner $m + 1$, and 0 again at corner $m + 2$; outside it is 0. Return the weight of each bin in each band.


# %% tags=["exercise"]
def mel_filters(num_bins, num_mels, rate):
    """Weights (num_bins, num_mels); the bins lie evenly from 0 to rate / 2."""
    ### BEGIN SOLUTION
    bins = torch.linspace(0, rate / 2, num_bins, dtype=torch.float64)
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, num_mels + 2, dtype=torch.float64) / 2595) - 1)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)
    ### END SOLUTION


mel_filters = check("15.1", mel_filters)

# %% [markdown]
# With your filters a log-mel spectrogram is three lines. Here it is beside the library's:

# %%
config = MelConfig(mel_scale="htk", norm="none")  # the variant of the exercise; the library's default is Slaney's
wave = heard.wave(0).double()
padded = F.pad(wave, (config.n_fft // 2, config.n_fft // 2))
spectrum = torch.stft(padded, config.n_fft, config.hop_length, config.win_length, torch.hann_window(config.win_length).double(), center=False, return_complex=True)
energy = spectrum.abs().square().T  # (T, 257)
yours = (energy @ mel_filters(config.n_fft // 2 + 1, config.num_mel_bins, config.sampling_rate).double()).clamp(min=1e-10).log()
difference = (yours - log_mel(wave, config)).abs().max()
print(f"{len(wave)} samples, {energy.numel()} energies, {yours.numel()} numbers of the log-mel; largest difference {difference:.1e}")
claim(difference < 1e-3, "your log-mel is the library's")

# %%
fig, axes = plots.figure(columns=2, width=10, height=3)
filters = mel_filters(257, 12, 16000)
axes[0].plot(np.linspace(0, 8, 257), filters, color=plots.BLUE, linewidth=1)
axes[0].set(xlabel="kHz", ylabel="weight", title="12 mel filters")
edge = [len(wave) / 16000, 8]
axes[1].imshow(energy.clamp(min=1e-10).log().T, origin="lower", aspect="auto", cmap="magma", extent=(0, edge[0], 0, edge[1]))
axes[1].set(xlabel="seconds", ylabel="kHz", title="spectrum that they read (log)")
axes[1].grid(visible=False)
plots.show(fig, alt="Mel filters are narrow where an ear hears finely, and wide where it does not. Left, twelve overlapping triangles of height 1 between 0 and 8 kHz, narrow below and wide above. Right, a spectrum over time of a phrase with 257 frequencies: what 40 such filters sum up.", number="15.3")

# %% [markdown]
# **Logarithm.** Twice as loud is one step up, whether from soft or from loud. There is more to it: echo and microphone *multiply* a spectrum, so they *add* to its logarithm, and what is added the whole clip long goes away with the clip's mean. The library subtracts it.
#
# **MFCC.** Neighbouring bands of a log-mel say nearly the same. A cosine transform across the bands makes numbers of them that say different things, and the first 13, the mel-frequency cepstral coefficients, hold the coarse shape of the spectrum (Davis and Mermelstein 1980). Their slopes over time, Δ, are added. Classifiers of old wanted their inputs uncorrelated. Networks do not care, and read the log-mel.

# %%
def mean_correlation(frames):
    """Mean absolute correlation between different columns of (T, F)."""
    correlations = torch.corrcoef(frames.T).abs()
    return ((correlations.sum() - len(correlations)) / (len(correlations) * (len(correlations) - 1))).item()


some = torch.cat([heard.ragged["features"].row(i) for i in range(50)])
between = {"log-mel": mean_correlation(some), "MFCC": mean_correlation(mfcc(some))}
print(f"mean absolute correlation between two numbers of a frame: log-mel {between['log-mel']:.2f}, MFCC {between['MFCC']:.2f}")
claim(between["MFCC"] < between["log-mel"], "cepstral coefficients are less correlated than bands")

# %% [markdown]
# ### Floors
#
# Before any pre-training, three floors: how well does a linear probe (chapter 00) tell the phone of a frame from the log-mel, from the log-mel with three frames on either side, and from MFCC with Δ? And a fourth. Take an **LSTM** that reads from left to right and another that reads from right to left, a *bidirectional* LSTM or **BLSTM**. Its weights are random, and no training has touched them.
# The probe sees 20 phrases with labelled phones. The test has other voices and other words.

# %%
class Cepstra(StackedSteps):
    """No model: cepstral coefficients and how fast they change."""

    def __init__(self):
        super().__init__(num_mel_bins=26)

    def layers_of(self, heard, lengths=None, hidden=None):
        static = mfcc(heard)
        return super().layers_of(torch.cat([static, deltas(static, lengths)], 2), lengths)


SHAPE = AcousticLSTMConfig(hidden_size=96, num_hidden_layers=1, directions="apart")
labelled, test = phrases.subset(range(dial(smoke=8, laptop=20))), heard.subset(range(dial(smoke=10, laptop=100)))


def phones_told(model, layer=-1):
    """Accuracy of a linear probe for the phones of frames of the test, 20 ms each."""
    seen, asked = frame_samples(model, labelled, layer=layer), frame_samples(model, test, layer=layer)
    return (LinearProbe(None, "features").fit(seen, 0.1)(asked) == asked.labels).float().mean().item()


predict("15.random", ..., unit="points of phones (random BLSTM, less log-mel with neighbours)")

# %%
floors = {"log-mel": StackedSteps(), "log-mel ± 3": StackedSteps(context=3), "MFCC + Δ": Cepstra(), "random BLSTM": AcousticLSTM(SHAPE, seed=0)}
told = {name: phones_told(model) for name, model in floors.items()}
reveal("15.random", 100 * (told["random BLSTM"] - told["log-mel ± 3"]))
asked = frame_samples(floors["log-mel"], test).labels
told["commonest phone"] = (asked == asked.mode().values).float().mean().item()
print("; ".join(f"{name} {share:.1%}" for name, share in told.items()))

# %% [markdown]
# One draw and one strength of the probe: a demonstration. The ledger's numbers in section 4 have three seeds and tuned probes. But keep the fourth floor in mind. A random recurrent network is a rich mixture of what was heard lately, and whoever compares a pretrained network with MFCC alone "finds" gains that no training made.
