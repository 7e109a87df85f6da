# %% [markdown]
# # 15 · Speech
#
# A child understands speech years before it can read. Nobody hands it transcripts. An older recogniser learns from transcripts only: for thousands of hours, somebody has to write down what is said. Most languages of the world have no such hours.
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
from pretrain_lib import TrainConfig, Trainer, deltas, error_rate, fine_tune_ctc, frame_samples, frame_vectors, k_means, load_pretrained, load_speech, log_mel
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

# %%
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
        if end - begin > 3:
            column[1].text((begin + end) / 200, 36, name, color="white", ha="center", va="center", fontsize=9)
    column[1].set(xlabel="seconds", ylabel="band of the log-mel")
    column[1].grid(visible=False)
told = " ".join(name for *_, name in phone_spans(*clips[0]))
plots.show(fig, alt=f"One word by two voices: above the wave, below what a network will read, with the phones that are known to the frame. The word {words_heard.transcript(0)!r} twice, as waves and as spectra over time of 40 bands; white lines part the phones, {told} in the first.", number="15.1")

# %% [markdown]
# In Figure 15.1 the waves have little in common, the pictures below them a lot. That is section 2. Look at the white lines, too: where one phone ends and the next begins, the picture often changes slowly. Speech is no string of letters. The mouth is on its way to the next sound before it has finished the last, and the lines are a convention, here the synthesiser's.
#
# One trap first, for whoever makes data with a program. eSpeak NG's answer is **no function of its arguments**: ask twice in one process for the same word, voice and speed, and the samples differ, and even their number. The library's promise that everything random is a function of a key (chapter 05) could not be kept clip by clip: no clip can be made again alone.
# So all lines are said once, in a fixed order, in one process, and kept under a checksum. A second promise can be kept: what the test hears, training never heard.

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
# **Windows and spectra.** Every 10 ms we cut out 25 ms, fade its ends, and take the Fourier transform: 257 frequencies from 0 to 8,000 Hz. Of each we keep the energy, its absolute value squared. The phase, where each wave stands in its swing, is thrown away, and with it much of what the hand's breadth changed.
#
# **Mel.** An ear resolves low pitches finely and high ones coarsely. The mel scale follows it: in one of its variants, $m(f) = 2595 \log_{10}(1 + f / 700)$ with $f$ in hertz, nearly straight far below 700 Hz and logarithmic far above. Bands that are equally wide in mel are narrow at the bottom and wide at the top. Energies are summed in overlapping triangles.

# %% [markdown] tags=["exercise"]
# **Exercise 15.1 · mel filters (★★☆, 20 min)**
#
# The bins of a spectrum lie evenly from 0 Hz to half the sampling rate, both included. Space $M + 2$ corners evenly *in mel* from 0 to half the rate, and bring them back to hertz, with $f = 700\,(10^{m / 2595} - 1)$. Corners and bands are counted from 0. Band $m$ is a triangle with straight sides in hertz: 0 at corner $m$, 1 at corner $m + 1$, and 0 again at corner $m + 2$; outside it is 0. Its height is 1, not its area. Return the weight of each bin in each band.


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
# **Logarithm.** Twice as loud is one step up, whether from soft or from loud. There is more to it: a microphone, and an echo that is shorter than the window, *multiply* a spectrum, so they *add* to its logarithm, and what is added the whole clip long goes away with the clip's mean. The library subtracts it.
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
# Before any pre-training, three floors: how well does a linear probe (chapter 00) tell the phone of a frame from the log-mel, from the log-mel with three frames on either side, and from MFCC with Δ? And a fourth. An **LSTM** keeps a vector, and at each frame makes a new one of it and of the frame. Take one that reads from left to right and another that reads from right to left, their vectors side by side: a *bidirectional* LSTM, or **BLSTM**. Its weights are random, and no training has touched them. (A step of the log-mel is 10 ms; our networks join two to a frame of 20 ms.)
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

# %% [markdown]
# ## 3 · Predict what comes, among others
#
# A language model predicts the next word, and there is a list of words to choose from. Of sounds there is no list, and to predict the next frame number by number would mean to predict every breath and hiss. **Contrastive predictive coding** (CPC; van den Oord, Li and Vinyals 2018) asks for less. From what was heard so far, *recognise* what comes, among others.

# %%
plots.show(diagrams.contrastive_prediction(), "From what was heard up to a frame, later frames are predicted, and each has to be told from other frames. A front makes a vector z of every frame; an LSTM sums up in c what was heard so far; of c a matrix predicts the vector three frames ahead, which is compared with those of all frames.", number="15.4")

# %% [markdown]
# In Figure 15.4 a convolution makes a vector $z_t$ of every 20 ms, and an LSTM that reads from left to right makes $c_t$ of all up to $t$. For each distance $k$ a matrix $W_k$ predicts: $\hat z = W_k c_t$. The score of a candidate $z_j$ is the product $z_j^\top W_k c_t$, and the loss the cross-entropy of the true one among $N$ candidates $C$:
#
# $$\ell_{t,k} = -\log \frac{e^{z_{t+k}^\top W_k c_t}}{\sum_{j \in C} e^{z_j^\top W_k c_t}} \tag{15.1}$$
#
# (their equations 3 and 4). Whoever knows nothing pays $\ln N$.
#
# ### What the best score is
#
# Which score makes (15.1) as small as possible? One of $N$ candidates was drawn from $p(z \mid c)$, the frames that follow such a past; the others were drawn from some $q(z)$. How likely is it that number $i$ is the true one? By Bayes' rule the others' factors cancel, and
#
# $$P(i \mid C) = \frac{p(z_i \mid c) / q(z_i)}{\sum_j p(z_j \mid c) / q(z_j)}. \tag{15.2}$$
#
# So the best score is the logarithm of $p(z \mid c) / q(z)$, up to a constant: **not what is likely to come, but what is more likely to come here than among the others.** Everything that the others have, too, cancels. Keep (15.2) for section 4, where it decides everything.
#
# What is as likely after any other past earns nothing, however likely it is.
#
# If the others are drawn from all frames, $q(z) = p(z)$, the loss says how much $c$ and $z$ have to do with each other: their mutual information is at least $\ln N$ minus the loss, and the best score comes nearest (section 2.3 of the paper). More than $\ln N$ nats cannot be shown with $N$ candidates. A case in which all is known, two correlated normal variables, checks both:

# %%
def loss_of_best(correlation, candidates, draws=4000):
    """The loss (15.1) with the best score, for z given c of that correlation, in nats."""
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(draws, 1, generator=generator)
    z = torch.randn(draws, candidates, generator=generator)
    z[:, 0] = correlation * c[:, 0] + (1 - correlation**2) ** 0.5 * z[:, 0]  # the true one; the others know nothing of c
    variance = 1 - correlation**2
    score = -((z - correlation * c) ** 2) / (2 * variance) + z**2 / 2  # log p(z | c) / p(z), up to a constant
    return -score.log_softmax(1)[:, 0].mean().item()


for correlation in (0.5, 0.9, 0.999):
    information = -0.5 * math.log(1 - correlation**2)
    shown = {n: math.log(n) - loss_of_best(correlation, n) for n in (4, 64, 1024)}
    print(f"{information:.2f} nats in common; shown with " + ", ".join(f"{n} candidates {nats:.2f} (at most {math.log(n):.2f})" for n, nats in shown.items()))
    claim(all(nats < min(information, math.log(n)) + 0.05 for n, nats in shown.items()), "ln N less the loss is at most what they have in common, and at most ln N")

# %% [markdown]
# Chance and bound both move with $N$: losses of two numbers of candidates cannot be compared, as in chapter 14.

# %% [markdown] tags=["exercise"]
# **Exercise 15.2 · what comes, among others (★★☆, 20 min)**
#
# `vectors` $(T, D)$ are the frames of one utterance, and row $t$ of `predicted` $(T, D)$ is the prediction of frame $t + k$, with $k$ the `offset`. The candidates are all $T$ frames of the utterance, earlier ones too. Scores are dot products divided by `temperature`. Return the mean loss over all $t$ for which there is a frame $t + k$.


# %% tags=["exercise"]
def cpc_loss(predicted, vectors, offset, temperature):
    """The mean of −log of the true frame's share: (T, D), (T, D) to a scalar in nats."""
    ### BEGIN SOLUTION
    scores = predicted[:-offset] @ vectors.T / temperature  # (T − k, T)
    return F.cross_entropy(scores, torch.arange(offset, len(vectors)))
    ### END SOLUTION


cpc_loss = check("15.2", cpc_loss)

# %% [markdown]
# The library's objective does this for several distances and in both directions, forwards from the left and backwards from the right, and draws the candidates instead of taking all. Given all frames it is yours:

# %%
frames, size = 30, SHAPE.conv_dim[-1]
z, c = torch.randn(1, frames, size), torch.randn(1, frames, 96)
objective = ContrastivePrediction(size, 96, offsets=1)
places, there = torch.arange(frames)[None], torch.ones(1, frames, dtype=torch.bool)
with torch.no_grad():
    theirs = objective.loss(objective.onwards, c, z, z, places, there) / (frames - 1)
    ours = cpc_loss(objective.onwards(c)[0], z[0], 1, 1.0)
print(f"library {theirs:.6f}, yours {ours:.6f}; chance ln {frames} = {math.log(frames):.3f}")
claim((theirs - ours).abs() < 1e-4, "your loss is the library's, where the candidates are all frames")

# %% [markdown]
# ### Live
#
# Train it. No label is read. 32 frames of the same utterance are drawn as candidates besides the true one.

# %%
STEPS, OFFSETS, NEGATIVES = dial(smoke=2, laptop=500), 4, 32
chance = math.log(1 + NEGATIVES)


def recipe(steps, rate=3e-3, batch=16):
    """The rate rises for a tenth of the updates, then falls along half a cosine."""
    return TrainConfig(steps=steps, batch_size=batch, learning_rate=rate, weight_decay=1e-4, warmup_steps=steps // 10, gradient_clipping=5.0, precision="fp32", device="cpu", log_every=1)


predict("15.cpc", ..., unit="nats (loss at the end; chance is 3.50)")
listener = AcousticLSTM(SHAPE, seed=0)
history = Trainer(listener, ContrastivePrediction(size, 96, OFFSETS, NEGATIVES), LengthBuckets(phrases, 16), recipe(STEPS, rate=1e-2)).fit()

# %%
reveal("15.cpc", mean(history.losses[-10:]))
told["after CPC"] = phones_told(listener)
print("; ".join(f"{name} {share:.1%}" for name, share in told.items()))
claim(told["after CPC"] > told["random BLSTM"], "after contrastive prediction phones are told better than by a random network")
headline("phones told after contrastive prediction, over a random network", told["after CPC"] / told["random BLSTM"], 1.0, at_most=False)

# %% [markdown]
# One seed, few updates and one strength of the probe: a demonstration. But it is worth a thought what has happened. Nobody has told the network what a phone is, or that there are such things. It was asked which frame comes next, and to know that, it pays to know in the midst of which sound one is. Before the ledger's numbers, the most instructive way to fail.
#
# ### Who has heard the future?
#
# The two directions of our network never meet: what predicts frame $t + k$ has read no frame after $t$. (The clip's mean was subtracted, and windows overlap a little: that much it has.) A usual BLSTM joins them after every layer. Use it here, and each $c_t$ has heard the whole utterance, the answer included. The library refuses. So we train with your loss, in six lines, once with the half that has heard the past, once with both.

# %%
def trained_to_predict(model, has_heard, steps, offset=2):
    """Losses of your contrastive prediction; `has_heard` picks from the last layer what predicts."""
    head = nn.Linear(96 if has_heard == "the past" else 192, size, bias=False)
    adam, losses = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=3e-3), []
    for step in range(steps):
        batch = phrases.take(Keys.of(0, range(8 * step % 240, 8 * step % 240 + 8)))
        layers, mask = model.layers_of(batch["features"], batch["lengths"])
        predicted = head(layers[-1][..., :96] if has_heard == "the past" else layers[-1])
        loss = sum(cpc_loss(p[real], z[real], offset, 1.0) for p, z, real in zip(predicted, layers[0], mask)) / len(mask)
        adam.zero_grad(), loss.backward(), nn.utils.clip_grad_norm_(model.parameters(), 5.0), adam.step()
        losses.append(loss.item())
    return losses


models = {heard_what: AcousticLSTM(SHAPE, seed=0) for heard_what in ("the past", "everything")}
losses = {heard_what: trained_to_predict(model, heard_what, dial(smoke=2, laptop=120)) for heard_what, model in models.items()}
for heard_what, model in models.items():
    print(f"has heard {heard_what}: loss {mean(losses[heard_what][-5:]):.2f}, phones {phones_told(model):.1%} (random {told['random BLSTM']:.1%})")
claim(mean(losses["everything"][-5:]) < 0.8 * mean(losses["the past"][-5:]), "a network that has heard the answer has the lower loss")

# %%
fig, axes = plots.figure(columns=2, width=9.5, height=3)
axes[0].plot(history.steps, history.losses, color=plots.BLUE)
axes[0].axhline(chance, color=plots.GREY, linestyle="--", linewidth=1)
axes[0].annotate("chance, ln 33", (history.steps[-1], chance), xytext=(0, 3), textcoords="offset points", color=plots.GREY, ha="right", va="bottom")
axes[0].set(xlabel="updates", ylabel="loss (nats)", ylim=(0, 4), title="contrastive prediction")
for (heard_what, curve), colour in zip(losses.items(), (plots.BLUE, plots.RED)):
    axes[1].plot(range(1, len(curve) + 1), curve, color=colour)
    plots.label_line(axes[1], [1, len(curve)], [curve[0], mean(curve[-5:])], heard_what, colour)
axes[1].set(xlabel="updates", ylabel="loss (nats)", ylim=(0, None), title="predicted by one that has heard …")
plots.show(fig, alt=f"The loss falls slowly where a network must guess, and fast where it has heard the answer. Left, the live run of contrastive prediction below its chance line, at the end {mean(history.losses[-10:]):.2f}. Right, two networks with your loss: one that has heard the past ends at {mean(losses['the past'][-5:]):.2f}, one that has heard everything at {mean(losses['everything'][-5:]):.2f}.", number="15.5")

# %% [markdown]
# In Figure 15.5 the better curve belongs to the network that copies. It is the oldest leak of all prediction: the answer is among the inputs. **A loss that falls too well is a reason to look, not to rejoice.** Masked prediction (section 5) may read both directions, because what it predicts was taken out of the input.

# %% [markdown] tags=["exercise"]
# **Exercise 15.3 · read five logs (★★☆, 10 min)**
#
# Here are five logs. Name what each has: one of `DIAGNOSES`. Answer with a dictionary, such as `{"A": "healthy", …}`. (What logs D and B show, sections 4 and 7 explain: an answer of nothing but *blanks* is one that writes nothing. Come back to these two then.)

# %% tags=["exercise"]
print("one of:", ", ".join(DIAGNOSES))
for name, log in LOGS.items():
    print(f"\n{name}\n{log}")

# %% tags=["exercise"]
### BEGIN SOLUTION
# A: better than anybody could predict, and phones hardly better for it: the answer was among the inputs; B: nothing is written, nothing is learned yet
# C: new recordings by known speakers against new speakers; D: a lower loss than that of E at the same chance, and phones below untrained; E: phones rise, voices fall
diagnoses = {"A": "it has heard the future", "B": "blank plateau", "C": "the voice is in both parts", "D": "the voice gives it away", "E": "healthy"}
### END SOLUTION
diagnoses = check("15.3", diagnoses)

# %% [markdown]
# ## 4 · Which others?
#
# Equation (15.1) left open which frames are the wrong answers. Two answers suggest themselves. Take frames of the *same* utterance, or take frames of *other* utterances of the batch, of which there are more and more different ones. Most people's first guess is that the second is better: more negatives, more variety.

# %%
plots.show(diagrams.two_kinds_of_others(), "Told from frames of the same utterance only what is said helps; told from other utterances, voice and room help, too. Above, the five phones of one word, of which one is to be found; below, the same one among phones of two other voices.", number="15.6")

# %% [markdown]
# Now take equation (15.2) and put both in. Let $u$ stand for all that stays the same through an utterance: voice, room, noise, loudness. Other utterances' frames are drawn from $q(z) = p(z)$, and the best score is $\log p(z \mid c) / p(z)$. The past $c$ tells $u$ within a few frames, so that this splits:
#
# $$\log \frac{p(z \mid c)}{p(z)} = \underbrace{\log \frac{p(z \mid u)}{p(z)}}_{\text{whose voice is it?}} + \underbrace{\log \frac{p(z \mid c)}{p(z \mid u)}}_{\text{what is said?}} \tag{15.3}$$
#
# Frames of the same utterance are drawn, roughly, from $q(z) = p(z \mid u)$, and only the second part is left: **whatever an utterance's frames have in common cancels, and earns nothing.** With other utterances the first part can be had as well, whatever was said. Our guess is that a small network with few updates takes it first. The theory does not say so, nor that phones are *not* learned in the end: it has to be measured.
#
# There is a second difference, and it is one of book-keeping. Told from its own frames, a sample's loss depends on that sample alone; the objective is a sum over samples, `separable`, and everything in chapters 05 and 10 about micro-batches and resuming holds. Told from others, it depends on who else is in the batch.

# %%
same, other = (ContrastivePrediction(size, 96, OFFSETS, NEGATIVES, negatives) for negatives in ("same", "other"))


def one_loss(objective, others):
    """The loss of utterance 0 in a batch with others: of the whole batch, less that of the others alone."""
    sums = []
    for ids in ([0, *others], others):
        keys = Keys.of(0, ids)
        with torch.no_grad():
            sums.append(objective(listener, objective.batch(phrases.take(keys), keys))["contrastive"].item())
    return sums[0] - sums[1]


for name, objective in (("same", same), ("other", other)):
    found = [one_loss(objective, others) for others in ([1, 2, 3], [4, 5, 6])]
    print(f"told from frames of {name:5s} utterances: what utterance 0 adds to two batches differs by {abs(found[0] - found[1]):.3f} nats; separable: {objective.separable}")
    claim((abs(found[0] - found[1]) < 0.1) == objective.separable, "an objective is a sum over samples if, and only if, it says so")
predict("15.other", ..., unit="points of phones (told from other utterances, less a random network)")

# %% [markdown]
# ### The ledger
#
# Three seeds, a longer run, equal updates, a rate for each arm chosen on voices set apart, and all floors with tuned probes. Phones with 20 labelled phrases; words with 1, 3 and 10 labelled clips each. Voices: a probe learns those of training from half of their phrases, and is asked for the other half.

# %%
negatives_entry = results("15-negatives")
negatives = negatives_entry["measured"]
print(verdict_table(negatives_entry))


def stored(pair):
    """A lead as the ledger keeps it."""
    return Lead(*(Comparison(*interval) for interval in pair))


reveal("15.other", 100 * stored(negatives["leads"]["phones"]["other over frozen random"]).difference)

# %%
NAMES = {"same": "CPC, same utterance", "other": "CPC, other utterances", "frozen random": "random network", "log-mel ± 3": "log-mel ± 3", "MFCC + Δ": "MFCC + Δ"}
COLOURS = [plots.BLUE, plots.ORANGE, plots.GREY, plots.SKY, plots.SKY]
few = f"words, {negatives['labels'][0]}"
fig, axes = plots.figure(columns=3, width=11, height=2.9)
for ax, (task, title) in zip(axes, (("phones", f"phones, {negatives['phrases']} phrases"), (few, "words, one label each"), ("voices", "voices"))):
    runs = [[100 * run for run in negatives["accuracy"][task][arm]] for arm in NAMES]
    plots.bars(ax, list(NAMES.values()) if ax is axes[0] else [""] * len(NAMES), runs, COLOURS, form=".1f")
    ax.set(xlabel="accuracy (%)", title=title, xlim=(0, 1.25 * max(map(max, runs))))
told_by = "; ".join(f"{NAMES[arm]} {mean(negatives['accuracy']['phones'][arm]):.1%}, {mean(negatives['accuracy'][few][arm]):.1%} and {mean(negatives['accuracy']['voices'][arm]):.1%}" for arm in NAMES)
plots.show(fig, alt=f"Phones, words and voices told from what each kind of others has taught, beside floors that nothing has trained. Accuracy of linear probes, a bar for the mean of three seeds. In this order: {told_by}.", number="15.7")

# %%
print("last loss, mean of the seeds: " + ", ".join(f"{NAMES[arm]} {mean(negatives['loss'][arm]):.2f}" for arm in ("same", "other")) + f"; chance {negatives['chance_loss']:.2f}")
pairs = {"phones": "phones", few: "words, 1 label", "voices": "voices"}
shown = {f"{name}: {pair.replace('same', 'same utt.').replace('other', 'other utt.').replace('frozen random', 'random')}": stored(negatives["leads"][task][pair])
         for task, name in pairs.items() for pair in ("same over frozen random", "other over frozen random", "same over other", "frozen random over log-mel ± 3")}
fig, ax = plots.figure(width=8.5, height=5.2)
plots.leads(ax, shown)
clear = [f"{name} {100 * one.difference:+.1f}" for name, one in shown.items() if one.is_clear]
plots.show(fig, alt=f"Which leads outlast other utterances and other seeds. Twelve leads in points, each with an interval over utterances of the test and one over seeds. Clear by both: {'; '.join(clear) or 'none'}.", number="15.8")

# %% [markdown]
# Read both figures for each row. **Told from its own utterance**, a network is ahead of a random one in phones and in words, with every number of labels, by both intervals. And it has *unlearned* the voice: it tells voices far worse than a random network.
#
# **Told from other utterances**, with the same number of updates, it is level with a random network in phones, and clearly behind it in words with one label: in words it is worse than no training at all. The voice it has kept. Its own loss is the lower of the two, at the same chance. A loss says how well the task was solved, not what it was good for.
#
# The last pair is the floor of section 2. In words a random network is far ahead of the log-mel with neighbours, before any training. Whoever had compared with spectra alone would have called "other utterances" a success in words, too. In phones the two floors are level.
#
# ### Was it the voice?
#
# That one is better and the other worse is not yet a reason. Equation (15.3) names one, and it can be tested on the trained networks. First, each network picks the true frame among frames of other utterances. Then we put in place of the true frame *any other frame of the same utterance*. A network that used what is said now fails. One that used the voice or the room does not notice. Last, we let the other utterances be of the same voice.

# %%
CASES = {"any voice, true": "the true frame", "any voice, stand-in": "any frame of the utterance", "same voice, true": "the true frame, others of the same voice",
         "same voice, stand-in": "any frame, others of the same voice"}
fig, axes = plots.figure(columns=2, width=10, height=2.5)
learned = {}
for ax, arm in zip(axes, ("same", "other")):
    runs = {case: [negatives["chance_loss"] - run[case] for run in negatives["given away"][arm]] for case in CASES}
    learned[arm] = {case: mean(each) for case, each in runs.items()}
    plots.bars(ax, list(CASES.values()) if ax is axes[0] else [""] * len(CASES), list(runs.values()), COLOURS[arm == "other"], form=".2f")
    ax.set(xlabel="nats below chance", title=NAMES[arm])
told_by = "; ".join(f"{NAMES[arm]}: " + ", ".join(f"{name} {learned[arm][case]:.2f}" for case, name in CASES.items()) for arm in learned)
plots.show(fig, alt=f"How much of what each network knows is known of any frame of the utterance. Nats below chance when frames are told from other utterances, for the true frame, for any frame of the same utterance in its place, and for others of the same voice. {told_by}.", number="15.9")

# %%
for arm, found in learned.items():
    print(f"{NAMES[arm]}: the true frame {found['any voice, true']:+.2f} nats below chance, any frame of the utterance {found['any voice, stand-in']:+.2f}; "
          f"among utterances of the same voice {found['same voice, true'] / found['any voice, true']:.0%} of the first is left")

# %% [markdown]
# **Our picture was half right.** We had foretold that for "other utterances" any frame of the utterance would do. It does not: in place of the true frame, another one is worse than chance, for both networks. (A candidate that is surely wrong costs more than one nobody knows.) So both attend to what is said, over the few frames that they look ahead. The prediction failed.
#
# The other half stands. Among utterances of the same voice, the network of "other utterances" loses a part of what it knew, and the network of "same utterance" loses nothing. We had foretold a larger part than came. What is left may be the room and the loudness, which utterances of one voice do not share; we did not take them away.
#
# It is the shortcut of chapter 14, in a milder form. There two crops of one picture shared their colours, and a network needed nothing else. Here frames share a voice, and a network that may use it keeps it. The cure is the same: a task in which it earns nothing. (If voices *are* what you are after, the "worse" task is the better one. Van den Oord et al. 2018 compare several ways to draw negatives.)

# %% [markdown]
# ## 5 · Hide frames
#
# BERT hides words and restores them (chapter 07). Hide a frame of 20 ms, and its neighbours give it away: half of the same vowel is still there. So whole **spans** are hidden, some tenth of a second or two at a time.
#
# How many? wav2vec 2.0 (Baevski et al. 2020, section 4.2) draws beginnings: a share $p = 0.065$ of all frames, and $M = 10$ frames from each are hidden. We draw each frame by itself with that probability, which comes to nearly the same. Spans overlap. A frame stays visible if none of the $M$ places from which a span would cover it is a beginning, so the hidden share is about $1 - (1 - p)^M$. Not $p M$!

# %%
p, M = 0.065, 10
begins = Keys.of(0, 500).uniform("beginnings", (400,)) < p
overlapping = torch.stack([F.pad(begins, (i, 0))[:, :400] for i in range(M)]).any(0)
print(f"p · M = {p * M:.1%}; 1 − (1 − p)^M = {1 - (1 - p) ** M:.1%}; hidden in 500 drawn masks {overlapping.float().mean():.1%}, between {overlapping.float().mean(1).min():.0%} and {overlapping.float().mean(1).max():.0%}")
claim((overlapping.float().mean() - (1 - (1 - p) ** M)).abs() < 0.01, "where beginnings are drawn, the hidden share is 1 − (1 − p)^M")

# %% [markdown] tags=["exercise"]
# **Exercise 15.4 · hide spans (★★☆, 20 min)**
#
# Hide in each utterance exactly `round(share · length / span)` spans of `span` frames that do not overlap (they may meet). Every order of spans and single visible frames is to be equally likely. `keys.uniform("name", (n,))` gives $n$ numbers for each of the $B$ utterances, always the same ones for the same keys. Hint: how many *things*, spans and visible frames, are to be put in order, and how wide is each?


# %% tags=["exercise"]
def span_mask(keys, length, share, span):
    """Which frames are hidden: (B, length) bool."""
    ### BEGIN SOLUTION
    spans = round(share * length / span)
    widths = torch.tensor([span] * spans + [1] * (length - spans * span))  # spans first, then visible frames
    order = keys.uniform("spans", (len(widths),)).argsort(dim=1)
    return torch.stack([(row < spans).repeat_interleave(widths[row]) for row in order])
    ### END SOLUTION


span_mask = check("15.4", span_mask)

# %%
keys, share, span = Keys.of(0, 24), 0.5, 10
drawn = {"single frames": keys.uniform("single", (100,)) < share, "beginnings": overlapping[:24, :100], "an order of spans (15.4)": span_mask(keys, 100, share, span),
         "the library's": librarys_span_mask(keys, torch.full((24,), 100), 100, share, span)}
fig, axes = plots.figure(columns=4, width=11, height=2.4)
for ax, (name, mask) in zip(axes, drawn.items()):
    ax.imshow(mask, aspect="auto", cmap="Blues", interpolation="nearest")
    ax.set(title=name, xlabel="frame", yticks=[])
    ax.grid(visible=False)
shares = "; ".join(f"{name} {mask.float().mean():.0%}, from {mask.float().mean(1).min():.0%} to {mask.float().mean(1).max():.0%}" for name, mask in drawn.items())
plots.show(fig, alt=f"Single frames are given away by their neighbours; drawn beginnings hide more in one utterance than in another. Four ways to hide, 24 utterances each, a row for each, dark where hidden. Hidden: {shares}.", number="15.10")
claim((drawn["an order of spans (15.4)"].sum(1) == 50).all() and (drawn["the library's"].sum(1) == 50).all(), "with an order drawn, each utterance hides exactly half")

# %% [markdown]
# ### What to predict there?
#
# **The frames themselves**, number by number: half the squared error, as the masked autoencoder of chapter 03. Every band of every frame counts alike, the hiss of a pause as much as a vowel.
#
# **A word for them.** HuBERT (Hsu et al. 2021) makes the list of words that sound does not have. Frames are sorted into $K$ clusters by k-means, first those of MFCC, and the network says to which cluster a hidden frame belongs: a cross-entropy, as in BERT. The clusters are poor phones. But to guess a hidden one, a network has to learn which clusters follow which, and that can tell more of phones than a cluster alone. Then its own vectors are clustered, and a second round has a better teacher (Figure 15.11).

# %%
plots.show(diagrams.hidden_units(), "HuBERT's way round: clusters of frames are the words to be guessed, and what guesses them makes the next clusters. Frames of MFCC are sorted by k-means into clusters; a network hears the sound with a span hidden and is scored on the clusters in the span alone; in a second round k-means sorts its own vectors.", number="15.11")

# %% [markdown]
# How good is a list of clusters? A frame's cluster may tell its phone or not, and that is what mutual information measures. Divide it by the phones' entropy, and you have the share of what there is to know about the phone that the cluster tells: **phone-normalised mutual information**, PNMI,
#
# $$\mathrm{PNMI} = \frac{I(\text{phone}; \text{cluster})}{H(\text{phone})} = 1 - \frac{H(\text{phone} \mid \text{cluster})}{H(\text{phone})}. \tag{15.4}$$
#
# (Hsu et al., equation 10.) Phones are needed to measure it, not to train.

# %%
def pnmi(model, layer=-1, clusters=50):
    """How much of a phone its cluster tells: clusters of training frames, phones of the test."""
    found = k_means(torch.cat(frame_vectors(model, phrases.subset(range(dial(smoke=20, laptop=200))), layer)), clusters)
    asked = frame_samples(model, test, layer=layer)
    return found.nearest(asked.features), asked.labels


def information_share(clusters, phones):
    """Equation (15.4), from counts."""
    joint = torch.zeros(int(phones.max()) + 1, int(clusters.max()) + 1, dtype=torch.double).index_put_((phones, clusters), torch.ones(len(phones), dtype=torch.double), accumulate=True)
    joint /= joint.sum()
    entropy = lambda shares: torch.special.entr(shares).sum()
    return ((entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)) / entropy(joint.sum(1))).item()


predict("15.pnmi", ..., unit="of the phone is told by clusters of MFCC (a share)")
tell = {}
for name, model in (floors | {"after CPC": listener}).items():
    clusters, phones = pnmi(model)
    tell[name] = information_share(clusters, phones)
    claim(abs(tell[name] - phone_information(clusters, phones)) < 1e-9, f"{name}: PNMI {tell[name]:.3f}, as the library has it")
reveal("15.pnmi", tell["MFCC + Δ"])

# %% [markdown]
# One warning about the words. A cluster is no phone: "t" at the beginning of a word and within it may be two clusters, and a cluster may hold the ends of many vowels. HuBERT does not need its clusters to be right. It needs them to be *consistent*, so that the same sound gets the same name wherever it stands (Hsu et al. 2021, abstract).
#
# Compare PNMI at the same number of clusters and frames only: more clusters tell more, down to a cluster for each frame, which tells all and means nothing.
#
# ## 6 · What is kept, layer by layer
#
# Three objectives on one network of two layers, each trained with the same compute: contrastive prediction among frames of the same utterance, masked frames, and masked clusters in two rounds. Then probes on each layer, for phones and for voices.

# %%
predict("15.layer", ..., unit="points of voices (first layer less second, after contrastive prediction)")

# %%
objectives_entry = results("15-objectives")
objectives = objectives_entry["measured"]
print(verdict_table(objectives_entry))
layers, ways = objectives["by layer"], {"prediction": plots.BLUE, "masked spectra": plots.GREEN, "clusters, first round": plots.YELLOW, "clusters, second round": plots.ORANGE, "frozen random": plots.GREY}
voice_by_layer = [100 * mean(layer) for layer in zip(*layers["voices"]["prediction"])]
reveal("15.layer", voice_by_layer[1] - voice_by_layer[2])

# %%
fig, axes = plots.figure(columns=2, width=10.5, height=3.6)
for ax, task in zip(axes, ("phones", "voices")):
    for way, colour in ways.items():
        plots.spread(ax, range(3), 100 * np.array(layers[task][way]).T, way, colour)
    for floor in ("log-mel ± 3", "MFCC + Δ"):
        height = 100 * mean(run[-1] for run in layers[task][floor])
        ax.axhline(height, color=plots.SKY, linestyle="--", linewidth=1)
    ax.set(xticks=range(3), xticklabels=["front", "layer 1", "layer 2"], xlim=(-0.1, 3.3), ylabel=f"{task} told (%)")
described = "; ".join(f"{way}: phones {', '.join(f'{100 * mean(layer):.0f}' for layer in zip(*layers['phones'][way]))}, voices {', '.join(f'{100 * mean(layer):.0f}' for layer in zip(*layers['voices'][way]))}" for way in ways)
plots.show(fig, alt=f"Each objective keeps phones and voices in its own way, and each layer differently. Accuracy in percent of a probe on the front, the first and the second layer, bands over three seeds; dashed, log-mel with neighbours and MFCC. {described}.", number="15.12")

# %% [markdown]
# Read Figure 15.12 from left to right. After contrastive prediction, phones are told best in the second layer, and voices worst there: the deeper layer has more of what is said and less of who says it. Voices fall in all four trained networks, and a little in the random one, too. The fall after prediction is larger than the random network's.
#
# **Masked spectra** are level with a random network in phones. In words they are clearly ahead of it: the coarse shape of a spectrum is kept, if not its phones. **Clusters** of the first round are clearly ahead of the random network in phones, and not in words. Contrastive prediction is ahead of all of them in both, at the same compute. Larger networks trained for longer have turned this order round: HuBERT came after wav2vec 2.0. Ours speaks for half an hour of speech and some hundred updates. (The best rate of prediction was the highest of five; over the upper three the score hardly changed.)
#
# Pasad, Chou and Livescu (2021) took wav2vec 2.0 apart in this way. Going up its layers they found sound first, then phones, then words; the last layers turn back towards the input, as those of an autoencoder do. Two layers are too few to see the turn. What carries over is the advice: **probe all layers, and say which one you took.** Who takes the last one out of habit may measure the pretext task.

# %%
fig, ax = plots.figure(width=8.5, height=3.2)
names = ["MFCC + Δ", "log-mel ± 3", *ways]
best = {name: [max(run) for run in layers["pnmi"][name]] for name in names}
plots.bars(ax, names, list(best.values()), [plots.SKY, plots.SKY, *ways.values()], form=".3f")
ax.set(xlabel=f"PNMI of {objectives['clusters']} clusters, best layer", xlim=(0, 1.2 * max(map(max, best.values()))))
plots.show(fig, alt=f"What clusters of each network's best layer tell of phones, beside those of spectra. Phone-normalised mutual information of {objectives['clusters']} clusters: " + "; ".join(f"{name} {mean(each):.3f}" for name, each in best.items()) + ".", number="15.13")

# %% [markdown]
# In Figure 15.13 a first student tells more of phones than its teacher, the clusters of MFCC, with every seed: what it had to guess was poorer than what it learned. Hsu et al. (2021) report the same. A second round should lift it again, and did for them. **Ours did not**: the second student is below the first, and the prediction failed. Highest are the clusters of the network that never saw a cluster, after contrastive prediction.
#
# ## 7 · Writing it down
#
# A transcript says *what*, not *when*. "seven" has five phones, and its sound many more frames of 20 ms. Which frame should say which phone? **Connectionist temporal classification** (CTC; Graves et al. 2006) answers: any, as long as the whole says the word. It was tried first on a BLSTM whose directions are joined after every layer (Schuster and Paliwal 1997); the article of this course names that network for speech. It fits any network that gives a vector a frame.
#
# At each frame the network says one of the symbols, or nothing: the **blank**, written –. What a *path* of such answers says is found in two steps: a symbol that follows itself is one symbol that lasts, so repeats are merged; then blanks are left out. "n n – oU oU" says *n oU*, "no". A symbol that is said twice needs a blank between: "a a" says *a*, "a – a" says *a a*.

# %% [markdown]
# Many paths say the same. For $U$ symbols, no two neighbours alike, in $T$ frames there are $\binom{T + U}{2U}$ of them:

# %%
def paths_that_say(symbols, frames, alphabet):
    """All paths of so many frames that collapse to the symbols."""
    return [path for path in product(range(alphabet + 1), repeat=frames) if collapsed(path) == list(symbols)]


for symbols, frames in (([1], 3), ([1, 2], 3), ([1, 2], 5), ([1, 2, 1], 6)):
    found = paths_that_say(symbols, frames, 2)
    print(f"{symbols} in {frames} frames: {len(found)} paths, by the formula {math.comb(frames + len(symbols), 2 * len(symbols))}")
    claim(len(found) == math.comb(frames + len(symbols), 2 * len(symbols)), "the formula counts the paths")
print(f"a phrase of 12 phones in 60 frames: {math.comb(72, 24):.1e} paths")

# %% [markdown]
# CTC takes the answers of the frames as independent, given the sound. So a path's probability is the product of its frames' probabilities, and the transcript's the sum over all its paths. Nobody adds up so many one by one. But paths that have said equally much by frame $t$ go on alike, so they can be added up together. Write the transcript with blanks around: the states – $y_1$ – $y_2$ – … $y_U$ –. Let $\alpha_t(s)$ be the probability of all paths up to frame $t$ that are in state $s$ then. Such a path was in $s$ already, or came from the state before, or left out the blank there:
#
# $$\alpha_t(s) = \big(\alpha_{t-1}(s) + \alpha_{t-1}(s-1) + [\text{skip}]\; \alpha_{t-1}(s-2)\big)\, p_t(s) \tag{15.5}$$
#
# where $\alpha$ begins with $p_1(-)$ in the first state, $p_1(y_1)$ in the second and 0 elsewhere, and the skip, 1 or 0, is allowed to a symbol that differs from the one two states before (the blank between two that are the same may not be left out). A path begins in one of the first two states and ends in one of the last two (Graves et al. 2006, section 4.1). Figure 15.14 has all of it for "no".

# %%
plots.show(diagrams.connectionist_paths(), "Every way through the lattice says n oU; the recursion adds up all of them at once. Five states, blank, n, blank, oU, blank, in six frames: from each state a line leads to itself, to the next, and, in orange, from n to oU without the blank between. Paths begin in the first two states and end in the last two.", number="15.14")

# %% [markdown] tags=["exercise"]
# **Exercise 15.5 · all ways to say it (★★★, 35 min)**
#
# `log_probs` $(T, 1 + \text{symbols})$ are log-probabilities, column 0 the blank's; `labels` is a list of symbols 1, 2, … of which there is at least one. Return $\log P(\text{labels})$. Stay in logarithms: a product of 80 probabilities underflows. In logarithms a sum is `logsumexp`, and "impossible" is $-\infty$, which is also the answer if there are too few frames. Compute in the type of `log_probs`, double here.


# %% tags=["exercise"]
def ctc_forward(log_probs, labels):
    """log P(labels), a scalar; −inf if there are too few frames."""
    ### BEGIN SOLUTION
    states = [0]
    for symbol in labels:
        states += [symbol, 0]
    skip = torch.tensor([s > 1 and states[s] != 0 and states[s] != states[s - 2] for s in range(len(states))])
    alpha = torch.full((len(states),), -math.inf, dtype=log_probs.dtype)
    alpha[:2] = log_probs[0, states[:2]]
    for frame in log_probs[1:]:
        one = F.pad(alpha, (1, 0), value=-math.inf)[:-1]
        two = F.pad(alpha, (2, 0), value=-math.inf)[:-2].masked_fill(~skip, -math.inf)
        alpha = torch.stack([alpha, one, two]).logsumexp(0) + frame[states]
    return alpha[-2:].logsumexp(0)
    ### END SOLUTION


ctc_forward = check("15.5", ctc_forward)

# %%
log_probs = torch.randn(6, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0)).log_softmax(1)
for labels in ([1], [1, 2], [2, 2], [1, 2, 3]):
    by_hand = torch.stack([log_probs[range(6), list(path)].sum() for path in paths_that_say(labels, 6, 3)]).logsumexp(0)
    by_torch = -F.ctc_loss(log_probs[:, None], torch.tensor([labels]), torch.tensor([6]), torch.tensor([len(labels)]), reduction="sum")
    by_you = torch.as_tensor(ctc_forward(log_probs, labels))
    print(f"{labels}: yours {by_you:.9f}, all paths {by_hand:.9f}, torch {by_torch:.9f}, the library {ctc_log_likelihood(log_probs, labels):.9f}")
    claim(max(abs(by_you - by_hand), abs(by_you - by_torch)) < 1e-6, "the recursion is the sum over all paths, and torch's loss")

# %% [markdown]
# The gradient comes by autograd: each path pulls by its share of the probability.
#
# ### The plateau of blanks
#
# Chapters 08 and 14 knew plateaus: losses that rest before anything is learned. CTC has one of its own. Suppose that a network does not yet hear anything, so that it gives the same answer at every frame. Which one is best? Let us fit it.

# %%
said = [row[row >= 0] for row in phrases.sequences[:20]]
frames = phrases.lengths[:20] // 2
constant = torch.zeros(len(phrases.symbols), requires_grad=True)
adam = torch.optim.Adam([constant], lr=0.1)
for _ in range(150):
    at_every_frame = constant.log_softmax(0).expand(int(frames.max()), 20, -1)
    loss = F.ctc_loss(at_every_frame, torch.cat(said), frames, torch.tensor([len(row) for row in said]), reduction="sum")
    adam.zero_grad(), loss.backward(), adam.step()
probabilities = constant.detach().softmax(0)
commonest = int(probabilities[1:].argmax()) + 1
print(f"the best answer that hears nothing: blank {probabilities[0]:.0%}, then {phrases.symbols[commonest]!r} {probabilities[commonest]:.0%}; it writes {collapsed([int(probabilities.argmax())] * 50)}")
claim(probabilities.argmax() == 0, "of all answers that hear nothing, the best writes nothing")

# %% [markdown]
# The **phone error rate** is the fewest phones that have to be replaced, left out or put in, divided by the phones that were said. It can pass 100 %.
#
# A transcript with many more frames than phones is mostly said by blanks, so blanks are learned first, in a few updates. The loss falls fast, then it rests, and the phone error rate rests at 100 %: every phone is left out. Learning begins when the network finds *where* something is said. With a low rate or few updates it never gets there, and whoever compares two networks on this plateau compares nothing.
#
# ### Live
#
# A hundred transcripts, and two frozen encoders: the random one and the one that has listened. A linear layer writes, for each at the rate that suits it.

# %%
SUITS = {"random": 0.3, "after CPC": 0.03}  # the rate of each, as the ledger of section 8 chose them
predict("15.write", ..., unit="points of phone error rate (after listening, less random)")
few_written = phrases.subset(range(dial(smoke=16, laptop=100)))
to_write = [row[row >= 0].tolist() for row in test.sequences]
writers, rates = {}, {}
for name, encoder in (("random", AcousticLSTM(SHAPE, seed=0)), ("after CPC", listener)):
    writers[name] = fine_tune_ctc(encoder, LengthBuckets(few_written, 16), len(phrases.symbols) - 1, recipe(dial(smoke=2, laptop=800), rate=SUITS[name]), frozen=True)
    written = transcripts(writers[name], test)
    rates[name] = error_rate(to_write, written)
    print(f"{name:10s} phone error rate {rates[name]:.1%}; {sum(map(len, written)) / sum(map(len, to_write)):.0%} as many phones written as said")
reveal("15.write", 100 * (rates["after CPC"] - rates["random"]))
print("said:   ", " ".join(test.symbols[s] for s in to_write[0]), "\nwritten:", " ".join(test.symbols[s] for s in written[0]))

# %%
with torch.no_grad():
    answer = writers["after CPC"](test.ragged["features"].row(0)[None])
shares = answer.vectors[0].softmax(1)  # (T′, 1 + symbols)
seconds = 0.02 * np.arange(len(shares))
fig, ax = plots.figure(width=9.5, height=3)
ax.fill_between(seconds, shares[:, 0], color=plots.GREY, alpha=0.25, linewidth=0)
for symbol in sorted(set(to_write[0])):
    if shares[:, symbol].max() > 0.15:
        ax.plot(seconds, shares[:, symbol], linewidth=1.5)
        ax.annotate(test.symbols[symbol], (seconds[shares[:, symbol].argmax()], shares[:, symbol].max()), xytext=(0, 2), textcoords="offset points", ha="center")
for begin, end, name in phone_spans(test, 0):
    ax.axvline(begin / 100, color=plots.GREY, linewidth=0.5)
    ax.annotate(name, ((begin + end) / 200, 1.06), ha="center", annotation_clip=False, color=plots.GREY)
ax.set(xlabel="seconds", ylabel="probability", ylim=(0, 1), xlim=(0, seconds[-1]))
plots.show(fig, alt=f"CTC answers with blanks most of the time, and with spikes where it hears a phone. The probabilities of the blank, shaded, and of the phones of one test phrase over time; above in grey the phones that were said and where each began. Over all frames the blank has {shares[:, 0].mean():.0%}.", number="15.15")

# %% [markdown]
# The blanks of Figure 15.15 are not silence. They say "nothing new". A phone is a spike of a frame or two, near where it is said and not always there: CTC is asked for the order, not for the time.
#
# Before you believe the difference between the two writers, look at how much each has written. One that has not left the plateau of blanks says nothing about its encoder, only about its updates. That is why the ledger gives every arm rates of its own and counts what is written.
#
# ### Reading off the answer
#
# The simplest way to read off a transcript takes the likeliest symbol at each frame and collapses the path.

# %% [markdown] tags=["exercise"]
# **Exercise 15.6 · what a path says (★☆☆, 10 min)**
#
# Collapse a path, a list of symbols in which 0 is the blank: merge repeats, then leave out blanks.


# %% tags=["exercise"]
def collapse(path):
    """What a path says: a list of symbols without the blank, 0."""
    ### BEGIN SOLUTION
    merged = [symbol for i, symbol in enumerate(path) if i == 0 or symbol != path[i - 1]]
    return [symbol for symbol in merged if symbol != 0]
    ### END SOLUTION


collapse = check("15.6", collapse)

# %% [markdown]
# The likeliest path need not say the likeliest transcript: another transcript may have more paths. Two frames, one symbol, and the blank at 0.6 in both. The likeliest path is – –, with 0.36. But *a* has three paths, a a, a – and – a, and 0.64 together. A **prefix beam search** (Hannun et al. 2014) keeps, frame by frame, the likeliest beginnings of transcripts with all their paths.

# %%
two_frames = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
best, log_probability = prefix_beam(two_frames, width=4)
print(f"likeliest path: {collapse(two_frames.argmax(1).tolist())} with {0.6 * 0.6:.2f}; likeliest transcript: {best} with {math.exp(log_probability):.2f}")
claim(best == [1] and abs(math.exp(log_probability) - 0.64) < 1e-6, "the likeliest path says nothing, the likeliest transcript says a")
some = test.subset(range(dial(smoke=2, laptop=25)))
for width in (0, 8):
    print(f"beam {width}: phone error rate {error_rate(to_write[: len(some)], transcripts(writers['after CPC'], some, beam=width)):.1%}")

# %% [markdown]
# ## 8 · Few transcripts, other voices
#
# Now the question that all this was for. Somebody has a hundred transcripts, or twenty, or five hundred. Is listening first worth it? wav2vec 2.0 made the case with ten minutes of transcripts after 53,000 hours of listening (Baevski et al. 2020, abstract). Ours is half an hour of listening, and the rivals are tuned.

# %%
predict("15.transcripts", ..., unit="points of phone error rate (fine-tuned after listening, over scratch, 100 transcripts)")

# %%
transcripts_entry = results("15-few-transcripts")
measured = transcripts_entry["measured"]
print(verdict_table(transcripts_entry))
reveal("15.transcripts", 100 * stored(measured["leads"]["test"]["fine-tuned over scratch"]["100"]).difference)

# %%
arms = {"fine-tuned": plots.BLUE, "frozen": plots.SKY, "scratch": plots.ORANGE, "frozen random": plots.GREY}
fig, axes = plots.figure(columns=2, width=10.5, height=3.6)
for ax, (split, title) in zip(axes, (("test", "voices never heard"), ("shift", "voices of another kind"))):
    for arm, colour in arms.items():
        found = {int(count): runs for count, runs in measured["error_rate"][split][arm].items()}
        plots.spread(ax, list(found), 100 * np.array(list(found.values())), arm, colour)
    ax.set(xscale="log", xticks=measured["transcripts"], xticklabels=measured["transcripts"], xlim=(17, 1500), xlabel="transcripts", ylabel="phone error rate (%)", title=title)
    ax.minorticks_off()
described = "; ".join(f"{arm} " + ", ".join(f"{mean(runs):.0%}" for runs in measured["error_rate"]["test"][arm].values()) for arm in arms)
plots.show(fig, alt=f"Fewer errors with more transcripts, from four starts, on voices never heard and on voices of another kind. Phone error rates with {', '.join(map(str, measured['transcripts']))} transcripts, bands over three seeds. On voices never heard: {described}.", number="15.16")

# %%
shown = {f"{pair}, {count} transcripts": stored(one) for pair in ("frozen over frozen random", "fine-tuned over scratch", "fine-tuned over scratch, longer", "fine-tuned over frozen")
         for count, one in measured["leads"]["test"].get(pair, {}).items()}
shown |= {f"fine-tuned over scratch, {count}, other kind": stored(one) for count, one in measured["leads"]["shift"]["fine-tuned over scratch"].items()}
fig, ax = plots.figure(width=8.5, height=1 + 0.4 * len(shown))
plots.leads(ax, shown, unit="points of phone error rate")
clear = [f"{name} {100 * one.difference:+.1f}" for name, one in shown.items() if one.is_clear]
plots.show(fig, alt=f"Which leads in errors outlast other utterances and other seeds; right of the line, fewer errors. Leads in points of phone error rate, each with two intervals. Clear by both: {'; '.join(clear) or 'none'}.", number="15.17")

# %% [markdown]
# Look at the left of Figure 15.16 and at the first rows of Figure 15.17. A frozen network that has listened is far ahead of one that has not, with every number of transcripts.
#
# **Which parts to train depends on how much is written down.** With twenty transcripts it is better to leave the network as it is: there are too few to change it by. With a hundred, three seeds cannot tell the two apart. With five hundred, fine-tuning is far ahead. A pilot of ours, with one rate for all, had found fine-tuned networks behind frozen ones with a hundred, too. Tuned rates took that back. (Each arm's rates were chosen with a hundred transcripts and voices set apart; with twenty and with five hundred they are the same. The frozen random network asked for a rate ten times that of the others. At a lower one, which we had tried first, the lead over it looked much larger. A rival has to be tuned as well.)
#
# **Against scratch** fine-tuning makes fewer errors with every number of transcripts. A frozen network is ahead of it with twenty and with a hundred, and clearly behind with five hundred. With a hundred we had foretold a lead that outlasts other seeds; the interval over three seeds goes below zero, and the verdict says so. The strongest rival is scratch for longer, with as many updates as listening and writing together. With a hundred it takes back a small part, and the lead over it is clear by both intervals: there patience was not it. With twenty and five hundred we did not ask.
#
# Did all of them write? Every arm has left the plateau of blanks. The frozen random network with the most transcripts leaves out the most:

# %%
for arm, found in measured["written"]["test"].items():
    print(f"{arm:16s} writes " + ", ".join(f"{mean(runs):.0%} with {count}" for count, runs in found.items()) + " transcripts, of as many phones as are said")

# %% [markdown]
# **Voices of another kind.** The right of Figure 15.16 is eSpeak NG's other synthesiser, after Klatt (1980). It makes speech in another way, and no network has heard it. It is the shift that needs no other data.
#
# With a hundred transcripts and more, all make more errors there. Fine-tuned networks stay ahead of those from scratch, by somewhat less than on voices of the kind that was heard; over seeds it is again not clear with a hundred transcripts. What was learned by listening is no property of these voices alone. It is still synthesised speech.
#
# Words and phones with few labels, in the same manner:

# %%
labels_entry = results("15-few-labels")
few_labels = labels_entry["measured"]
print(verdict_table(labels_entry))
arms = {"fine-tuned": plots.BLUE, "frozen": plots.SKY, "scratch": plots.ORANGE, "frozen random": plots.GREY, "log-mel ± 3": plots.GREEN}
fig, axes = plots.figure(columns=2, width=10.5, height=3.6)
for ax, (task, label) in zip(axes, (("words", "labelled clips of each word"), ("phones", "phrases with labelled phones"))):
    for arm, colour in arms.items():
        found = {int(count): runs for count, runs in few_labels["accuracy"][task][arm].items()}
        plots.spread(ax, list(found), 100 * np.array(list(found.values())), arm, colour)
    ax.set(xscale="log", xticks=list(found), xticklabels=list(found), xlim=(0.85 * min(found), 3 * max(found)), xlabel=label, ylabel=f"{task} told (%)")
    ax.minorticks_off()
described = "; ".join(f"{task}, {arm} " + ", ".join(f"{mean(runs):.0%}" for runs in few_labels["accuracy"][task][arm].values()) for task in ("words", "phones") for arm in arms)
plots.show(fig, alt=f"Words and phones told with few labels, from three starts and two floors. Accuracy on voices never heard, bands over three seeds. {described}.", number="15.18")

# %% [markdown]
# Figure 15.18 says the same as the transcripts did, in two other tasks. **With few labels leave the network as it is.** With one label a word, and with phones of five phrases, the probe on the frozen listener is ahead of everything that is trained further; with three labels a word, too. Fine-tuning passes it, clearly, only with phones of two hundred phrases.
#
# The frozen listener leads the frozen random network with every number of labels, by both intervals. That lead is the one that speaks for listening. Beside log-mel or MFCC alone it looks much larger, and a part of that any random network gives.
#
# Against scratch the answer differs by task. In phones fine-tuning is ahead with every number of phrases, clearly with twenty and more. We had foretold that this lead ends with two hundred; it does not. In words no lead of fine-tuning over scratch is clear over seeds: with so few labels scratch itself comes out very differently from seed to seed, and three seeds are few. More than half of the lead with three labels goes when scratch gets as many updates as listening and fine-tuning together; in phones most of it stays.

# %%
for task, pairs in few_labels["leads"].items():
    for pair in ("fine-tuned over scratch", "fine-tuned over scratch, longer", "fine-tuned over frozen", "frozen over frozen random", "frozen over log-mel ± 3"):
        found = {count: stored(one) for count, one in pairs[pair].items()}
        print(f"{task}: {pair} " + ", ".join(f"{100 * one.difference:+.1f}{'' if one.is_clear else ' (not clear)'} with {count}" for count, one in found.items()))

# %% [markdown]
# ### A voice that eSpeak never made
#
# The package `captcha` has 36 recordings for people who cannot read distorted letters: ten digits and 26 letters, once each, at 8 kHz and 8 bits (BSD licence, by Hsiaoming Yang). Whether a person speaks or another program is not said. Our twenty words have the ten digits. A probe that has learned them from eSpeak's voices is asked for those ten.

# %%
captcha = load_speech("captcha", "test") if words.name == "words" else words  # without a synthesiser whistles stand in here, too
digits = captcha.subset([i for i in range(len(captcha)) if captcha.transcript(i) in words.classes][:10])
print(f"{digits.transcript(3)!r}, of captcha")
display(Audio(digits.wave(3), rate=digits.rate))
right = {}
for name, model in (("log-mel ± 3", floors["log-mel ± 3"]), ("random", floors["random BLSTM"]), ("after CPC", listener)):
    probe = LinearProbe(None, "features").fit(sound_samples(model, words), 1.0)
    asked = sound_samples(model, digits)
    mine = torch.tensor([words.classes.index(digits.transcript(i)) for i in range(len(digits))])
    right[name] = int((probe(asked) == mine).sum())
print("; ".join(f"{name}: {count} of {len(digits)} right" for name, count in right.items()))
print(f"95 % interval of a half of {len(digits)}: {196 * (0.25 / len(digits)) ** 0.5:.0f} points to either side")

# %% [markdown]
# One speaker, ten clips: **a demonstration, no measurement**. The interval that the cell printed is wider than any difference between these three. To say whether listening to a synthesiser helps with people one needs many speakers. `load_speech` reads a folder of your own recordings, and `docs/speech.md` says what else there is.
#
# The zoo has a listener of two layers that was trained for longer than the one above, `cpc-mini-speech`. It is loaded in one line, and can be probed and fine-tuned as any other.

# %%
from_zoo = load_pretrained("cpc-mini-speech")
for layer in (1, 2):
    print(f"cpc-mini-speech, layer {layer}: phones {phones_told(from_zoo, layer):.1%} (the live listener {told['after CPC']:.1%}, random {told['random BLSTM']:.1%})")

# %% [markdown]
# ### What a claim needs

# %% [markdown] tags=["exercise"]
# **Exercise 15.7 · what a claim needs (★★☆, 10 min)**
#
# "With a hundred transcripts our pretrained encoder makes a third fewer errors." Which of these belong in the experiment that decides whether pre-training did it? Answer with a set of letters, such as `{"c", "g"}`.

# %% tags=["exercise"]
for letter, choice in CHOICES.items():
    print(f"{letter}: {choice}")

# %% tags=["exercise"]
### BEGIN SOLUTION
# a, b: neither voices nor words of the test in training; d: a rival with as much patience, off its plateau; e, f: what a random network and raw features give
# h: both rates tuned, for each arm; i: all seeds. Not c: voices in both parts; not g: one rate suits one arm; not j: the pretext's loss is lowest for the worst features
design = {"a", "b", "d", "e", "f", "h", "i"}
### END SOLUTION
design = check("15.7", design)

# %% [markdown]
# ### With one GPU
#
# All of this was measured on half an hour of synthesised speech, on processors. `recipes/masked-frames-librispeech-10h.toml` carries it to people and one GPU: masked frames of ten hours of LibriSpeech, streamed from the Hub, by a transformer as large as that of wav2vec 2.0 Base. It was tried on a few generated clips only, and is **not run on the real set**: no number of this chapter speaks of it, and its settings are from the paper, or are
# guesses and say so. `python -m pretrain_lib pretrain recipes/masked-frames-librispeech-10h.toml` starts it. What comes of it is a folder that `load_pretrained` reads, and `fine_tune_ctc` goes on with. A published folder of wav2vec 2.0 or HuBERT is read in the same way.
#
# ## Summary
#
# * A log-mel keeps the energies of bands that are narrow where ears hear finely; phase and loudness of the clip are thrown away. MFCC are its coarse shape.
# * A random recurrent network is a strong floor. Who compares with spectra alone finds gains that no training made.
# * Contrastive prediction recognises what comes among others. At chance it costs $\ln N$; its best score is how much more likely a frame is here than among the others.
# * So the others decide. What an utterance's frames have in common cancels if the others are of the same utterance, and is of use if they are not: then the network keeps the voice, and we found it no better for phones than a random one. Only the first is a sum over samples.
# * A loss near 0 is a leak until proven otherwise: where the next frame is predicted, an encoder that reads both directions has heard it.
# * Hide spans. If their order is drawn, not their beginnings, each utterance hides the same share. HuBERT predicts clusters; PNMI says what clusters tell of phones.
# * Probe every layer, for what you want and for what you do not want.
# * CTC adds up all ways to say a transcript. Its plateau writes nothing: tune both rates, and look at how much is written.
# * Voices and words of the test are new, or the measurement is of memory.
#
# **What we measured**: your mel filters, losses and recursion against the library, torch and brute force; the bound of contrastive prediction where all is known; a live contrastive prediction with its probe, one that has heard the future, clusters, and two writers with a hundred transcripts; `15-negatives`, `15-objectives`, `15-few-transcripts` and `15-few-labels`
# in the ledger, three seeds each: `python course.py reproduce 15-negatives` measures the first again.
#
# ## Going further
#
# * Do not subtract the clip's mean (`load_speech(…, centre=False)`). Which floor loses most, and why?
# * Predict only one frame ahead, or twenty. What has to be known for each? Look at the probe, not at the loss.
# * Let the others be utterances of the same voice. Which part of equation (15.3) is left?
# * Hide spans of 3 and of 30 frames. Where does it become too easy, and where too hard?
# * Record yourself: twenty words, ten times each, as .wav in folders named by the words. Does the listener know them?
# * Chapter 16 puts sound, pictures and text side by side.
#
# ## References
#
# * S. Davis and P. Mermelstein (1980), *Comparison of parametric representations for monosyllabic word recognition in continuously spoken sentences*, IEEE Transactions on Acoustics, Speech, and Signal Processing 28.
# * D. Klatt (1980), *Software for a cascade/parallel formant synthesizer*, Journal of the Acoustical Society of America 67.
# * S. Hochreiter and J. Schmidhuber (1997), *Long short-term memory*, Neural Computation 9.
# * M. Schuster and K. Paliwal (1997), *Bidirectional recurrent neural networks*, IEEE Transactions on Signal Processing 45.
# * A. Graves, S. Fernández, F. Gomez and J. Schmidhuber (2006), *Connectionist temporal classification: labelling unsegmented sequence data with recurrent neural networks*, ICML, section 4.1.
# * A. Hannun, A. Maas, D. Jurafsky and A. Ng (2014), *First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs*; arXiv 1408.2873.
# * A. van den Oord, Y. Li and O. Vinyals (2018), *Representation learning with contrastive predictive coding*; arXiv 1807.03748, section 2.3, equations 3 and 4.
# * P. Warden (2018), *Speech Commands: a dataset for limited-vocabulary speech recognition*; arXiv 1804.03209.
# * A. Baevski, H. Zhou, A. Mohamed and M. Auli (2020), *wav2vec 2.0: a framework for self-supervised learning of speech representations*, NeurIPS; arXiv 2006.11477, abstract and section 4.2.
# * W.-N. Hsu et al. (2021), *HuBERT: self-supervised speech representation learning by masked prediction of hidden units*; arXiv 2106.07447, sections II and IV-E, equation 10.
# * A. Pasad, J.-C. Chou and K. Livescu (2021), *Layer-wise analysis of a self-supervised speech representation model*, ASRU; arXiv 2107.04734.
