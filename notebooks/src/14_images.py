# %% [markdown]
# # 14 · Images
#
# For years pre-training for images meant one thing: a convolutional network learned the thousand classes of ImageNet, and its features were carried to other tasks, to finding objects and to outlining them.
# Then labels turned out not to be needed. Tell a network which two cut-outs belong to one picture, or let it paint what is hidden: it learns features that transfer, too. This chapter derives the methods
# that did it, builds them, and asks of each the questions of chapter 01: ahead of what, after how many updates, and how sure is that?
#
# **You will be able to**
#
# 1. write the contrastive loss, say what it is at chance, and derive its gradient;
# 2. predict which augmentations a network learns from, and tell a shortcut and a collapse from a healthy run, though their losses look better;
# 3. hide patches from a vision transformer, and say why a linear probe underrates what it learns;
# 4. measure outlines and boxes by intersection over union and by average precision;
# 5. design the comparison that tells pre-training from augmentation, patience and tuning.
#
# **You need** chapters 01 and 03 for probes, rivals and patches that are hidden, chapter 06 for the transformer, 07 for the gradient of a cross-entropy, and chapter 12 for fine-tuning and frozen encoders.
#
# **Time** about 4 hours of reading and exercises. Computing takes about two minutes on a laptop.

# %% tags=["setup"]
import math
from dataclasses import replace
from statistics import mean

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pretrain_lib import Augmented, ColourJitter, Columns, Contrastive, Keys, LinearProbe, MaskedImage, RandomGrey, RandomInvert
from pretrain_lib import RandomResizedCrop, RandomRotate, ResNetConfig, ResNetModel, SceneConfig, Scenes, TrainConfig, Trainer
from pretrain_lib import TwoViews, ViTMAEConfig, ViTMAEForPreTraining, average_precision, box_iou, fine_tune_detector, fine_tune_segmenter
from pretrain_lib import features, labelled_subset, load_images, predicted_boxes, predicted_masks
from pretrain_lib.course import check, claim, diagrams, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch14 import CHOICES, DIAGNOSES, LOGS
from pretrain_lib.course.results import verdict_table
from pretrain_lib.data.scenes.photographs import CREDITS
from pretrain_lib.evaluation.classification import Comparison, accuracy
from pretrain_lib.evaluation.uncertainty import Lead
from pretrain_lib.models.patches import patchify
from pretrain_lib.objectives.contrastive import info_nce
from pretrain_lib.transfer.tuning import fit_tuned

# %% [markdown]
# ## 1 · Pictures of which everything is known
#
# Photographs come with somebody's opinion of what they show. So we draw our own: handwritten digits in random colours on coloured grounds, with a faint cut-out of a real photograph behind them. Class, box and outline
# of each digit are exact, because the program that drew them knows. A scene is a function of its number: nothing is stored, and there is no end of them.

# %%
DIGITS = "Digits: MNIST by LeCun, Cortes and Burges, CC BY-SA 3.0, which this picture is under, too."


def credit(*splits):
    """Whose pictures a figure shows."""
    print(" ".join(dict.fromkeys([DIGITS, *(CREDITS[split] for split in splits)])))


def scenes(split, first, number):
    """Scenes of one or two digits, from one on."""
    source = Scenes(SceneConfig(size=48, objects=(1, 2), digit=(24, 31)), split)
    return Columns(**source.take(Keys.of(0, range(first, first + number))))


def tiles(images):
    """Pictures (N, 3, H, W) as `image_grid` shows them, in colour."""
    return list(images.permute(0, 2, 3, 1).numpy())


def frame(ax, boxes, kinds=()):
    """Draws boxes (K, 4) into a picture, with the digits that they are said to hold."""
    for x0, y0, x1, y1 in (boxes - 0.5).tolist():  # edges of pixels, where imshow counts from their centres
        ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="white", linewidth=1.2)
    for (x0, y0, *_), kind in zip(boxes.tolist(), kinds):
        ax.text(x0, y0, f"{int(kind)}", fontsize=8, va="top", clip_on=True, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})


few = scenes("test", 0, 8)
fig = plots.image_grid([tiles(few.images), list((few.masks > 0).float())], row_labels=["scene, boxes", "masks"], scale=1.05)
for ax, boxes, labels in zip(fig.axes, few.boxes, few.box_labels):
    frame(ax, boxes[labels >= 0])
plots.show(fig, alt="Each scene has one or two digits, whose boxes and masks are exact. Eight scenes of 48 by 48 pixels: coloured digits on coloured grounds, in some of which a faint part of a photograph can be made out; below, which pixels are a digit's.", number="14.1")
credit("test")
print({name: tuple(column.shape) for name, column in few.columns.items()})

# %% [markdown]
# Training and test scenes share no digit and no part of a photograph; `docs/scenes.md` is their data card, with the flaws. The pictures are small and poor beside real ones. What they are good for is knowing the truth: here a claim about outlines can be checked pixel by pixel.
#
# For the first half of the chapter we take single digits of 32 by 32 pixels: many without a label, a few with one. What should a class not depend on? On colours, and on what is behind. So a method that cannot leave colour behind must fail.
# Two floors stand below everything that follows: a linear probe (chapter 00) on the **raw pixels**, and one on a **network with random weights**. Chance is a tenth.

# %%
train, test = load_images("coloured-digits"), load_images("coloured-digits", "test")
train, test = (s.subset(range(dial(smoke=most, laptop=len(s)))) for s, most in ((train, 400), (test, 200)))
PER_CLASS = dial(smoke=2, laptop=10)
SHAPE = ResNetConfig(embedding_size=24, hidden_sizes=(24, 48, 96), depths=(1, 1, 1))


def probed(model):
    """Test accuracy of linear probes on a frozen model, one for each of three draws of labels; None reads raw pixels."""
    draws = [labelled_subset(train, PER_CLASS, draw) for draw in range(3)]
    return [accuracy(fit_tuned(LinearProbe(model), draw, 0)(test), test.labels) for draw in draws]


predict("14.floor", ..., unit="accuracy of a probe on a network with random weights")

# %%
floors = {"raw pixels": probed(None), "frozen random": probed(ResNetModel(SHAPE, seed=0))}
reveal("14.floor", mean(floors["frozen random"]))
for name, found in floors.items():
    print(f"{name:14s} {mean(found):.1%} with {PER_CLASS} labels per class (three draws: {', '.join(f'{one:.1%}' for one in found)})")

# %% [markdown]
# On the black-and-white digits of chapter 03 raw pixels did well. Here the same place is dark in one picture and bright in another, and no weighted sum of pixels can tell much.
#
# ### What a convolution knows
#
# Our network is a **ResNet** (He et al. 2016): convolutions, each followed by a normalisation, in blocks that add what they compute to what they were given. A convolution is told two things about pictures before it sees one: near pixels belong together, and what is worth
# knowing in one place is worth knowing in all. A **vision transformer** (ViT, section 6) cuts the picture into patches and is told neither.

# %%
plots.show(diagrams.convolution_and_patches(), "A convolution is told that near pixels belong together, patches are not. Above, nine weights read a 3 × 3 neighbourhood, and the same nine everywhere. Below, a picture of nine patches becomes a row of nine vectors, and each reads every other.", number="14.2")

# %% [markdown]
# Both halves of Figure 14.2 are statements that a cell can check. Move the picture by one pixel, and a convolution's answer moves by one pixel. Shuffle the patches, and attention's answers are shuffled likewise: without vectors that tell places it cannot see that anything has changed.

# %%
x = test.images[:2]
convolution = nn.Conv2d(3, 8, 3, padding=1)
moved = (convolution(x.roll(1, dims=-1)) - convolution(x).roll(1, dims=-1))[..., 2:-2].abs().max()
attention = nn.MultiheadAttention(48, 4, batch_first=True)
patches = patchify(x, 4)  # (2, 64, 48)
order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
shuffled = patches[:, order]
difference = (attention(shuffled, shuffled, shuffled)[0] - attention(patches, patches, patches)[0][:, order]).abs().max()
print(f"moved picture, moved answer: {moved:.1e}; shuffled patches, shuffled answers: {difference:.1e}")
claim(moved < 1e-5 and difference < 1e-5, "convolution follows a shift, and attention alone does not know where a patch is")

# %% [markdown]
# Such built-in knowledge is worth many pictures. With few a convolution is ahead; with hundreds of millions the transformer, which had to find it out, catches up and passes (Dosovitskiy et al. 2021, Figure 3). Keep it in mind when a ViT looks poor below.
#
# ## 2 · Two views of one picture
#
# A pretext task for pictures needs an answer that comes with the picture. One idea: crop it and change its colours, twice, at random. A child knows both for the same thing. Whoever can tell *which two belong together* has to know what a crop and a change of colour leave as it is.

# %%
plots.show(diagrams.two_views(), "Two random views of a picture go through one network and one head, and each has to be told from all others of the batch. The network's features h are kept; the head, whose output z is compared, is discarded after pre-training.", number="14.3")

# %% [markdown]
# This is SimCLR (Chen et al. 2020), drawn in Figure 14.3. The random changes are tensor operations on a whole batch, and their random numbers come from keys (chapter 03): the views of picture 7 in epoch 3 are the same in any batch and any process.

# %%
CROP = [RandomResizedCrop(0.4), RandomRotate(15)]  # a window of 40 to 100 % of the area, enlarged; turned by up to 15°
COLOUR = [ColourJitter(hue=0.25, rate=1.0), RandomGrey(0.4), RandomInvert(0.5)]  # the hue by up to a quarter of the circle; grey; negative
some, keys = test.images[:8], Keys.of(0, 8)
changed = COLOUR[0](some, keys, "a name for this use of random numbers")
print(f"{tuple(some.shape)} in, {tuple(changed.shape)} out; changed by {(changed - some).abs().mean():.2f} a pixel on average")
claim(torch.equal(changed[3:4], COLOUR[0](some[3:4], Keys.of(0, [3]), "a name for this use of random numbers")), "alone or in a batch, a picture's view is the same")

# %% [markdown] tags=["exercise"]
# **Exercise 14.1 · two views (★★☆, 15 min)**
#
# Each of `transforms` is called as `transform(images, keys, stream)` and returns changed images; the same keys and the same stream give the same change. Apply all of them in turn, once for the first view and once for the second, both from the images as
# they are. No two calls may share a stream: name them, for instance, `"first.0"`, `"first.1"`, …, `"second.0"`, …. All that is random has to come from `keys`, so that the views of a sample do not depend on who else is in the batch.


# %% tags=["exercise"]
def two_views(images, keys, transforms):
    """Two views of each image: (B, C, H, W) to two tensors (B, C, H, W)."""
    ### BEGIN SOLUTION
    views = []
    for view in ("first", "second"):
        changed = images
        for number, transform in enumerate(transforms):
            changed = transform(changed, keys, f"{view}.{number}")
        views.append(changed)
    return tuple(views)
    ### END SOLUTION


two_views = check("14.1", two_views)

# %%
VIEWS = {"crop": CROP, "colour": COLOUR, "both": [*CROP, *COLOUR]}
rows = [tiles(some)] + [tiles(view) for transforms in VIEWS.values() for view in two_views(some, keys, transforms)]
fig = plots.image_grid(rows, row_labels=["picture"] + [f"{name}, {which}" for name in VIEWS for which in ("first", "second")])
plots.show(fig, alt="What two views share is what the network can know them by. Eight coloured digits, and below two views of each by cropping and turning, by changing colours, and by both. Two crops have their colours in common, two changes of colour have every edge in the same place.", number="14.4")
credit("test")

# %% [markdown]
# Look at Figure 14.4 as the network will: pairs of rows, and the question is who belongs to whom. Which views will teach it digits? And with which will it have the lowest loss? (Answer with a name: "crop", "colour" or "both".)

# %%
predict("14.views", ..., unit="have the best probe")
predict("14.lowest", ..., unit="have the lowest loss")

# %% [markdown]
# ## 3 · Know it again among others
#
# Take a batch of $N$ pictures, two views each. The network and the head make $2N$ vectors of them, and we scale each to length 1: $z_1, \dots, z_{2N}$. Pick one, $z_i$. One of the $2N - 1$ others, $z_{j(i)}$, is its partner. Which? Take the cosines $z_i \cdot z_k$, divided by a **temperature** $\tau$, for logits, and the rest is the
# cross-entropy of chapter 07:
#
# $$\ell_i = -\log \frac{e^{z_i \cdot z_{j(i)} / \tau}}{\sum_{k \ne i} e^{z_i \cdot z_k / \tau}} \tag{14.1}$$
#
# averaged over all $i$ (NT-Xent, Chen et al. 2020, equation 1; the idea is InfoNCE of van den Oord, Li and Vinyals 2018). It is a classification whose classes are the pictures of the batch, made anew for every batch. The other pictures are called **negatives**.

# %% [markdown] tags=["exercise"]
# **Exercise 14.2 · know it again (★★★, 25 min)**
#
# `first` and `second` are $(N, D)$, row $i$ of both being the two views of picture $i$; they are not normalised yet. Return NT-Xent: each of the $2N$ views is a question, its cosines to the $2N - 1$ others, divided by the temperature, are logits, and the right answer is
# the other view of the same picture. Take the mean over all $2N$ questions.


# %% tags=["exercise"]
def nt_xent(first, second, temperature):
    """The contrastive loss of two views, (N, D) and (N, D) to a scalar, in nats."""
    ### BEGIN SOLUTION
    z = F.normalize(torch.cat([first, second]), dim=1)  # (2N, D)
    logits = z @ z.T / temperature  # (2N, 2N)
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)  # nobody is asked about itself
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(first)))
    ### END SOLUTION


nt_xent = check("14.2", nt_xent)

# %% [markdown]
# Two losses should be known before any training. If all vectors are the same, every answer has the same logit, and the loss is $\ln(2N - 1)$: **chance**. A run that stands there, flat, is easily taken for one that has converged; so the line stands on every plot below.
# A second landmark: the loss does not come to 0, for a cosine is at most 1. If partners agree entirely and all others stand at right angles, it is $\ln(1 + (2N - 2)\,e^{-1/\tau})$.

# %% tags=["NBVAL_CHECK_OUTPUT"]
N, TEMPERATURE = 128, 0.2
chance, apart = math.log(2 * N - 1), math.log(1 + (2 * N - 2) * math.exp(-1 / TEMPERATURE))
axes_of = torch.eye(N, dtype=torch.double)  # N pictures, each along an axis of its own
print(f"all alike:       {nt_xent(torch.ones(N, 64), torch.ones(N, 64), TEMPERATURE):.4f}, formula {chance:.4f}")
print(f"at right angles: {nt_xent(axes_of, axes_of, TEMPERATURE):.4f}, formula {apart:.4f}")
first, second = torch.randn(2, N, 64, generator=torch.Generator().manual_seed(0))
library = info_nce(F.normalize(first, dim=1), F.normalize(second, dim=1), 1 / TEMPERATURE, "both views") / N
claim(abs(nt_xent(first, second, TEMPERATURE) - library) < 1e-5, "your loss is the library's")

# %% [markdown]
# Both depend on $N$: losses of two batch sizes cannot be compared.
#
# ### The gradient
#
# Take one question, hold all others fixed and move $z_i$, as if its length were free (scaling it to 1 takes the part along $z_i$ away again). Write $p_k$ for the softmax in (14.1), the share of belief that $k$ is the partner. As in chapter 07, the derivative of $-\log p_{j(i)}$ by logit $k$ is $p_k - \mathbb 1[k = j(i)]$, and logit $k$ is $z_i \cdot z_k / \tau$, so
#
# $$\frac{\partial \ell_i}{\partial z_i} = \frac1\tau \Big( \sum_{k \ne i} p_k\, z_k - z_{j(i)} \Big). \tag{14.2}$$
#
# A step against it pulls $z_i$ **towards its partner and away from the mean of all whom it is mistaken for**, each weighted by how much. Where the partner is known for sure, $p_{j(i)} = 1$, nothing is left to do. A low temperature gives the weight to the few nearest, a high one spreads it over all. (In the questions of the others $z_i$ is one of the answers, which adds pulls and pushes of the same kind.)

# %%
z = F.normalize(torch.randn(2 * N, 64, dtype=torch.double, generator=torch.Generator().manual_seed(1)), dim=1)
i, partner, others = 0, N, [k for k in range(2 * N) if k != 0]
for temperature in (0.05, 0.2, 1.0):
    zi = z[i].clone().requires_grad_()
    logits = z[others] @ zi / temperature
    (slope,) = torch.autograd.grad(-logits.log_softmax(0)[others.index(partner)], zi)
    p = logits.softmax(0).detach()
    claim((slope - (p @ z[others] - z[partner]) / temperature).abs().max() < 1e-9, f"at a temperature of {temperature} equation (14.2) is autograd's")
    print(f"   the five nearest of {len(others)} have {p.topk(5).values.sum():.0%} of the weight")

# %% [markdown]
# ### In how many directions?
#
# A loss says how well views are told apart, not what by. A second number is worth having: in how many directions do the features of many pictures vary? If in none, all pictures look the same to the network. The **effective rank** (Roy and Vetterli 2007) counts directions by their share.

# %% [markdown] tags=["exercise"]
# **Exercise 14.3 · effective rank (★★☆, 15 min)**
#
# In how many directions do vectors vary? Centre them, take their singular values $\sigma_k$ (the roots of the covariance's eigenvalues, but for a factor), and make shares of them, $s_k = \sigma_k / \sum_j \sigma_j$. The effective rank is $\exp(-\sum_k s_k \log s_k)$, with $0 \log 0 = 0$.
# Where all vectors are the same there is no direction at all: return 0.


# %% tags=["exercise"]
def effective_rank(vectors):
    """In how many directions vectors (N, D) vary: a number between 0 and D."""
    ### BEGIN SOLUTION
    singular = torch.linalg.svdvals(vectors - vectors.mean(0))
    if singular.sum() == 0:
        return 0.0
    return torch.special.entr(singular / singular.sum()).sum().exp().item()  # entr(p) is −p log p, and 0 at 0
    ### END SOLUTION


effective_rank = check("14.3", effective_rank)

# %% [markdown]
# ### Contrast, live
#
# Now train. `Contrastive` is your loss with a head, and `TwoViews` a view of the data that gives each picture twice. We note the effective rank of the features $h$ on pictures of the test split as training goes on. No label is read.

# %%
STEPS, EVERY = dial(smoke=2, laptop=300), dial(smoke=1, laptop=20)
watched = test.subset(range(dial(smoke=100, laptop=500)))


class Watched(Contrastive):
    """Contrast that notes the effective rank of the features, every few updates."""

    def after_step(self, model, step):
        super().after_step(model, step)
        if step % EVERY == 0:
            self.ranks.append(effective_rank(features(model, watched)))


def recipe(steps, batch=128, rate=3e-3, **more):
    """The rate rises for a twelfth of the updates, then falls along half a cosine."""
    return TrainConfig(steps=steps, batch_size=batch, learning_rate=rate, weight_decay=1e-4, warmup_steps=steps // 12, device="cpu", log_every=1, **more)


def contrasted(views, steps):
    """A network after contrast, the ranks on the way, and the log."""
    model = ResNetModel(SHAPE, seed=0)
    objective = Watched({"first": ["images"], "second": ["other_images"]}, TEMPERATURE, projection=(96, 128, 64), learned=False, negatives="both views")
    objective.ranks = []
    history = Trainer(model, objective, TwoViews(train, views), recipe(steps)).fit()
    return model, objective.ranks, history


network, ranks, history = contrasted(VIEWS["both"], STEPS)
after = probed(network)
print(f"loss {mean(history.losses[-10:]):.2f}, chance {chance:.2f}; effective rank {ranks[-1]:.0f} of {network.feature_size}")
print(f"probe {mean(after):.1%}, raw pixels {mean(floors['raw pixels']):.1%}, frozen random {mean(floors['frozen random']):.1%}")
claim(min(after) > max(floors["raw pixels"] + floors["frozen random"]), "after contrast, the worst draw of labels is above the best of both floors")
headline("accuracy of a probe after contrast, over that of raw pixels", mean(after) / mean(floors["raw pixels"]), 2.0, at_most=False)

# %%
fig, axes = plots.figure(columns=2, width=9.5, height=3)
axes[0].plot(history.steps, history.losses, color=plots.BLUE)
for height, name in ((chance, "chance, ln(2N − 1)"), (apart, "partners alike, all others at right angles")):
    axes[0].axhline(height, color=plots.GREY, linestyle="--", linewidth=1)
    axes[0].annotate(name, (history.steps[-1], height), xytext=(0, 3), textcoords="offset points", color=plots.GREY, ha="right", va="bottom")
axes[0].set(xlabel="updates", ylabel="contrastive loss (nats)", ylim=(0, 6.4))
axes[1].plot(range(EVERY, STEPS + 1, EVERY), ranks, "o-", color=plots.BLUE, markersize=3)
axes[1].set(xlabel="updates", ylabel=f"effective rank of h, of {network.feature_size}", ylim=(0, network.feature_size))
third = mean(history.losses[: 1 + STEPS // 3][-5:])
plots.show(fig, alt=f"The loss rests at chance for a third of the run, then falls, and the features keep many directions. Left, the contrastive loss with crops and colours, {third:.2f} after a third of the updates and {mean(history.losses[-5:]):.2f} at the end, between two dashed lines, chance at {chance:.2f} and right angles at {apart:.2f}. Right, the effective rank of the features, at the end {ranks[-1]:.0f}.", number="14.5")
claim(chance - third < 0.2 < 1 < chance - mean(history.losses[-5:]), "after a third of the run nearly nothing had been gained over chance, and at the end more than a nat")

# %% [markdown]
# A plateau, as in chapter 08. Had we looked at the first third of Figure 14.5 only, and not known the chance line, we might have thought that the run had converged, or that nothing can be learned.
#
# What does it see? Search the training pictures for those nearest to a test picture, by cosine: once among raw pixels, once among the network's features.

# %%
def nearest(encode, count=4):
    """For each test picture the numbers of the training pictures nearest to it, (N, count)."""
    theirs, ours = encode(train), encode(test)
    centre = theirs.mean(0)
    return (F.normalize(ours - centre, dim=1) @ F.normalize(theirs - centre, dim=1).T).topk(count).indices


neighbours = {"raw pixels": nearest(lambda s: s.images.flatten(1)), "contrast": nearest(lambda s: features(network, s))}
for name, found in neighbours.items():
    print(f"{name}: the nearest shows the same digit for {(train.labels[found[:, 0]] == test.labels).float().mean():.1%} of the test pictures")
rows = [tiles(torch.cat([test.images[[i]], *(train.images[found[i]] for found in neighbours.values())])) for i in range(5)]
fig = plots.image_grid(rows, titles=["picture", "by pixels", "", "", "", "contrast"])
plots.show(fig, alt="Neighbours by pixels share the colours, neighbours after contrast more often share the digit. Five test pictures, a row for each: the picture, its four nearest by raw pixels, and its four nearest by the features of the contrasted network.", number="14.6")
credit("test", "train")

# %% [markdown]
# Look for the mistakes in Figure 14.6, too: what do the wrong neighbours have in common with the picture? Nobody has told the network what a digit is. It was told what may change.

# %% [markdown]
# ## 4 · The views decide
#
# Now the same network with crops alone, for a third of the updates:

# %%
SHORT = dial(smoke=2, laptop=100)
cropped, crop_ranks, crop_history = contrasted(VIEWS["crop"], SHORT)
print(f"loss after {SHORT} updates: crop alone {mean(crop_history.losses[-5:]):.2f}, both {mean(history.losses[SHORT - 5 : SHORT]):.2f}; chance {chance:.2f}, right angles {apart:.2f}")
print(f"effective rank: crop alone {crop_ranks[-1]:.0f}, both {ranks[SHORT // EVERY - 1]:.0f}")
crop_probe = probed(cropped)
print(f"probe: crop alone {mean(crop_probe):.1%}, frozen random {mean(floors['frozen random']):.1%}")
claim(mean(crop_history.losses[-5:]) < mean(history.losses) and max(crop_probe) < min(floors["frozen random"]), "crop alone has the lower loss by far, and probes below random weights")

# %% [markdown]
# After as many updates the run with both views, whose rate was still high, stood at chance. Whoever had chosen by the loss, or by the first hundred updates, would have taken the crops: a loss far below chance, features in many directions, and a probe below that of random weights. How? Two crops of a picture have its colours in common, and no other picture of the batch has the same. The network found the **shortcut**: colours are all it needs. Chen et al. saw it in photographs, whose crops share a histogram (2020, Figure 6).
# **The lowest loss can belong to the worst network.** The loss measures how well the task is solved, and says nothing about whether the task needs what you want.
#
# One seed and few updates prove little. The ledger has the three kinds of views at equal updates, three seeds, a tuned rate for each, and all rivals.

# %%
augmentations = results("14-augmentations")
views_ledger = augmentations["measured"]
print(verdict_table(augmentations))


def stored(pair):
    """A lead as the ledger keeps it."""
    return Lead(*(Comparison(*interval) for interval in pair))


def contrast_panels(names, losses, chances, ranks, right, lines, rank_of):
    """Loss with its chance line, effective rank, and accuracy with its rivals: a row each."""
    fig, axes = plots.figure(columns=3, width=11, height=1.1 + 0.42 * len(names))
    for ax, runs, form in zip(axes, (losses, ranks, [[100 * run for run in runs] for runs in right]), (".2f", ".1f", ".0f")):
        plots.bars(ax, names if ax is axes[0] else [""] * len(names), runs, plots.BLUE, form=form)
    for row, height in zip(range(len(names))[::-1], chances):
        axes[0].plot([height, height], [row - 0.42, row + 0.42], color=plots.RED, linewidth=2)
    for (name, height), colour in zip(lines.items(), (plots.GREEN, plots.GREY)):
        axes[2].axvline(100 * height, color=colour, linestyle="--", linewidth=1.2, label=name)
    axes[0].set(xlabel="loss (nats; red: chance)", xlim=(0, 1.25 * max(chances)))
    axes[1].set(xlabel=f"effective rank of h, of {rank_of}", xlim=(0, rank_of))
    axes[2].set(xlabel="accuracy of a probe (%)", xlim=(0, 100))
    fig.legend(loc="outside upper right", ncols=2, frameon=False)
    return fig


def described(names, losses, ranks, right):
    return "; ".join(f"{name}: loss {mean(loss):.2f}, rank {mean(rank):.0f}, probe {mean(share):.0%}" for name, loss, rank, share in zip(names, losses, ranks, right))


# %%
counts = views_ledger["per_class"]
ten = counts.index(10)
probes, tuned = views_ledger["accuracy"]["probed"], views_ledger["accuracy"]["fine-tuned"]
losses, view_ranks = ([views_ledger["loss"][arm] for arm in VIEWS], [[run["h"]["rank"] for run in views_ledger["embedding"][arm]] for arm in VIEWS])
right = [probes[arm][ten] for arm in VIEWS]
lines = {rival: mean(probes[rival][ten]) for rival in ("raw pixels", "frozen random")}
fig = contrast_panels(list(VIEWS), losses, [views_ledger["chance_loss"]] * 3, view_ranks, right, lines, 96)
plots.show(fig, alt=f"The loss does not say which views teach, the probe does. For crops, colours and both, a dot per seed: the contrastive loss beside chance, the effective rank, and a probe with 10 labels per class beside raw pixels and random weights. Means: {described(VIEWS, losses, view_ranks, right)}.", number="14.7")
reveal("14.views", max(VIEWS, key=lambda arm: mean(probes[arm][ten])))
reveal("14.lowest", min(VIEWS, key=lambda arm: mean(views_ledger["loss"][arm])))
claim(max(probes["crop"][ten]) < min(probes["frozen random"][ten]), "in every seed the probe after crops alone is below that of random weights")
claim(all(stored(views_ledger["leads"][f"both over {arm}, probed"][ten]).is_clear for arm in ("crop", "colour")), "both together lead either alone, clearly")

# %% [markdown]
# In Figure 14.7 crops alone have the lowest loss in the mean, and in every seed a probe at chance, below both floors. Changes of colour alone do much better. **Both together are far ahead of either**, clearly by both uncertainties: that is Figure 5 of Chen et al. (2020), in sign. Two crops can be told to belong together by their colours, two changes of colour by where the edges are; with both together neither is enough.
#
# The effective ranks hardly differ. We had predicted the highest one for crops, and that failed. Take it as it is: a rank near 0 tells of a collapse, and a high one of nothing.
#
# ### What is kept, and what the head throws away
#
# How much of the background's colour can a linear model read from the features? The share of its variance that is explained, $R^2$, is 1 if all of it, 0 if none. We ask twice: of $h$, the network's features, and of $z$, what the head makes of them. The loss sees $z$ only.

# %%
kept = {f"{arm}, {'before' if side == 'h' else 'after'} the head": [run[side]["colour"] for run in views_ledger["embedding"][arm]] for arm in VIEWS for side in ("h", "z")}
fig, ax = plots.figure(width=7.5, height=3)
plots.bars(ax, list(kept), list(kept.values()), [plots.BLUE, plots.SKY] * 3, form=".2f")
ax.set(xlabel="share of the background's colour that can be read, R²", xlim=(min(0, min(map(min, kept.values()))), 1.1))
plots.show(fig, alt="After both kinds of views the background's colour can still be read before the head, and hardly after it. R² of a linear model of the background's colour, from the features and from the head's output, for three kinds of views, a dot per seed: " + "; ".join(f"{name} {mean(runs):.2f}" for name, runs in kept.items()) + ".", number="14.8")

# %% [markdown]
# The views say what must be forgotten, and $z$ has to forget it. Between $h$ and $z$ stands the head, so that $h$ need not forget everything: that is one reason to discard the head and keep $h$ (Chen et al. 2020, Table 3, where the lost things are colours and rotations).
# In Figure 14.8 crops alone keep nearly all of the colour in $h$ and much of it in $z$: it is what the network can answer by. With both kinds of views a part of it stays in $h$, and in $z$ next to nothing is left.
#
# What is to be forgotten depends on the task to come. Colour is of no use for digits; for ripe and unripe tomatoes these views would be a disaster.
#
# ### The rival that must be named
#
# Strong augmentation helps supervised training, too. So the comparison that decides is with **scratch**: the same network, no pre-training, *the same views*, as many updates of fine-tuning, its own tuned rate. And one more, that had as many updates as pre-training and fine-tuning together.

# %%
fig, axes = plots.figure(columns=2, width=12, height=4)
curves = {"contrast, fine-tuned": (tuned["both"], plots.BLUE), "contrast, frozen": (probes["both"], plots.SKY), "scratch": (tuned["scratch"], plots.ORANGE),
          "scratch, longer": (tuned["scratch, longer"], plots.RED), "raw pixels": (probes["raw pixels"], plots.GREEN), "frozen random": (probes["frozen random"], plots.GREY)}
for name, (runs, colour) in curves.items():
    plots.spread(axes[0], counts, 100 * np.array(runs), name, colour)
axes[0].set(xscale="log", xticks=counts, xticklabels=counts, xlim=(counts[0], 6 * counts[-1]), xlabel="labels per class", ylabel="test accuracy (%)", ylim=(0, 100))
axes[0].minorticks_off()
view_leads = {f"{count} per class, over {rival}": stored(views_ledger["leads"][f"both, fine-tuned, over {rival}"][at]) for rival in ("scratch", "scratch, longer") for at, count in enumerate(counts)}
plots.leads(axes[1], view_leads)
told = "; ".join(f"{name} {', '.join(f'{mean(run):.0%}' for run in runs)}" for name, (runs, _) in curves.items())
clear = [f"{name} {100 * one.difference:+.1f}" for name, one in view_leads.items() if one.is_clear]
for name, one in view_leads.items():
    print(f"{name:32s}{100 * one.difference:+6.1f} points{', clear' if one.is_clear else ''}")
plots.show(fig, alt=f"How much contrast is worth depends on the labels, and on what it is compared with. Left, accuracy against labels per class with bands over three seeds, at {counts}: {told}. Right, the lead of contrast, fine-tuned, with both intervals; clear by both: {'; '.join(clear) or 'none'} points.", number="14.9")

# %% [markdown]
# Contrast leads scratch with any number of labels (Figure 14.9), but clear by both uncertainties is only the small lead at ten: scratch differs much from start to start. (With fifty labels one of its three seeds does badly at the rate that was chosen with ten, and most of that lead is this seed.) And give scratch the
# updates that pre-training had: no lead is left that is clear by both uncertainties; with one label per class one remains over test images, and not over seeds. Predictions 4 and 5 failed. The frozen probe is level with scratch at ten labels.
#
# So few labels alone make no headline. With few labels most of what looked like the merit of contrast was **patience**, as in chapter 01. Had scratch been given milder views, the lead might have looked larger, and nothing in the plot would give that away: the text has to say what the rival had.
#
# ## 5 · Without negatives, and collapse
#
# Negatives keep the vectors apart. What if one only asks that views agree? Then there is a perfect answer: say the same of every picture. The loss is 0, and nothing is learned. That is **collapse**, and methods without negatives differ in how they forbid it.
#
# **VICReg** (Bardes, Ponce and LeCun 2022) forbids it number by number. With $z$ and $z'$ the two views' vectors of $D$ numbers over a batch, it adds up three terms, the first two with much larger weights, the last two for both views:
#
# * *invariance*: the mean squared difference of $z$ and $z'$;
# * *variance*: by how much each number's standard deviation over the batch falls short of 1, averaged over numbers, so no number may be the same for all;
# * *covariance*: the squared covariances of different numbers, so no two may say the same.

# %%
def vicreg(first, second):
    """The three terms of VICReg: (N, D), (N, D) to three numbers."""
    centred = [each - each.mean(0) for each in (first, second)]
    covariances = [each.T @ each / (len(each) - 1) for each in centred]  # (D, D)
    variance = sum((1 - (c.diagonal() + 1e-4).sqrt()).clamp(min=0).mean() for c in covariances)
    covariance = sum((c.square().sum() - c.diagonal().square().sum()) / len(c) for c in covariances)
    return [term.item() for term in ((first - second).square().mean(), variance, covariance)]


healthy = torch.randn(4096, 8, dtype=torch.double, generator=torch.Generator().manual_seed(0))
cases = {"independent numbers": healthy, "all pictures alike": torch.ones_like(healthy), "one number, eight times": healthy[:, :1].expand(-1, 8)}
print("two views that agree entirely   invariance  variance  covariance")
for name, z in cases.items():
    print(f"{name:32s}" + "".join(f"{term:10.3f}" for term in vicreg(z, z)))
claim(vicreg(cases["all pictures alike"], cases["all pictures alike"])[1] > 1.9, "the variance term alone sees that all pictures are alike")

# %% [markdown]
# The first column is 0 in all three: agreement sees nothing wrong. The second catches the collapse to a point, the third the collapse to a line.
#
# **Self-distillation** (DINO, Caron et al. 2021) has no term against it. A student learns to say of one view what a **teacher** says of the other, as in chapter 13, but the teacher is the student's own past: its weights are a moving average of the student's. Two opposed habits keep the answers from becoming one. *Centring* subtracts the
# teacher's average answer, so no answer wins always; *sharpening*, a low temperature, keeps it from saying everything a little.

# %%
plots.show(diagrams.teacher_by_average(), "A student learns what a teacher says of the other view, and the teacher's weights are a moving average of the student's. Both answer with a softmax, the teacher's centred and at a lower temperature; no gradient reaches the teacher.", number="14.10")

# %% [markdown]
# In symbols, with $t$ and $s$ what teacher and student answer, $K$ numbers each, and $c$ the centre: the loss is $-\sum_k p_k \log q_k$ with $p = \operatorname{softmax}((t - c)/\tau_t)$ and $q = \operatorname{softmax}(s/\tau_s)$, and after each update the teacher's weights are $m\,\theta_t + (1 - m)\,\theta_s$. What do the two ways to
# collapse cost? Let both say the same, in three ways:

# %%
def distilled(answers, centre):
    """The loss where student and teacher answer alike, (N, K); ibid., algorithm 1."""
    target = ((answers - centre) / 0.04).softmax(1)
    return -(target * (answers / 0.1).log_softmax(1)).sum(1).mean().item()


each = torch.eye(16)  # sixteen pictures, sixteen answers
cases = {"one answer for all": each[:1].expand(16, -1), "everything a little": torch.full((16, 16), 1 / 16), "an answer of its own for each": each}
print(f"chance, ln K: {math.log(16):.2f}                 centred   not centred")
for name, answers in cases.items():
    print(f"{name:32s}{distilled(answers, answers.mean(0)):8.3f}{distilled(answers, 0):13.3f}")
claim(distilled(cases["one answer for all"], 0) < 0.01 < 1 < distilled(cases["one answer for all"], each[0]), "without a centre one answer for all is perfect, with it it is dear")

# %% [markdown]
# The centre closes the first way. The second is dear, too, and the answer that we want, each picture its own, is the only cheap one left. But that a way is dear does not show that a network leaves it: section 6 has one that ends at that very loss.
#
# Does a network collapse without such care? For the ledger VICReg was trained once more with invariance alone. **Spread** is the standard deviation of the directions of what is compared, about $1/\sqrt D$ where they point everywhere and 0 where all point the same way (Chen and He 2021, section 4.1).

# %%
predict("14.collapse", ..., unit="accuracy of a probe on the collapsed network")

# %%
objectives = results("14-objectives")
ways = objectives["measured"]
reveal("14.collapse", mean(ways["accuracy"]["probed"]["collapsed"]))
print(f"{'':22s}loss   spread   effective rank   probe")
for arm in ("contrast", "VICReg", "collapsed", "frozen random"):
    loss, spread = (f"{mean(ways[what][arm]):.4f}" if arm in ways[what] else "–" for what in ("loss", "spread"))
    print(f"{arm:18s}{loss:>8s} {spread:>8s} {mean(ways['rank'][arm]):16.1f} {mean(ways['accuracy']['probed'][arm]):7.1%}")
points = stored(ways["leads"]["collapsed, probed, over frozen random"])
print(f"collapsed over frozen random: {100 * points.difference:+.1f} points (other images {100 * points.over_samples.low:+.1f} to {100 * points.over_samples.high:+.1f}, other seeds {100 * points.over_seeds.low:+.1f} to {100 * points.over_seeds.high:+.1f})")

# %% [markdown]
# The collapsed run's loss is nearly perfect by its own measure (the three do not compare), and its probe is no better than that of random weights: nothing learned. The spread of what is compared gives it away, about a tenth of contrast's; we had predicted less than a tenth. The effective rank does not, here: it is that of $h$, before the head, and the head alone can make all pictures alike. (In the logs below it does fall.)
#
# A loss that looks perfect is a reason to look twice. Log beside it how far what is *compared* is spread, and a probe from time to time. The failure clinic (`docs/clinic.md`) has four runs as curves; here they are as numbers.

# %% [markdown] tags=["exercise"]
# **Exercise 14.4 · read four logs (★★☆, 10 min)**
#
# Four real runs of one small network on coloured digits. All have two views of each picture, batches of 64, and 10 classes in the probe at the end. *Effective rank* is that of the 96 features. *Spread* is the standard deviation of what the loss compares, scaled to length 1: 0 where all point the same way, at most $1/\sqrt{64} = 0.125$. What happened in each? Answer with a dictionary from letter to diagnosis.

# %% tags=["exercise"]
for letter, log in LOGS.items():
    print(f"{letter}\n{log}\n")
print("choose from:", ", ".join(DIAGNOSES))

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {
    "A": "collapsed",  # the loss is almost 0 and so is what the vectors vary by: all pictures are embedded alike
    "B": "views give it away",  # by far the lowest of the three contrastive losses, a higher rank than C, and a probe near chance: the colours tell which views belong together
    "C": "healthy",  # it rests at the chance line, leaves it, the vectors spread, and the probe is far ahead of an untrained network
    "D": "nothing learned yet",  # ln(2N − 1) is what guessing costs; and the highest rank of all: a rank does not say that anything was learned
}
### END SOLUTION
diagnosis = check("14.4", diagnosis)

# %% [markdown]
# ### Head, temperature, batch
#
# What does contrast owe to its parts? The ledger changes one at a time, on MNIST as it is, black and white, with crops: three seeds, each change with a rate of its own, as many *samples* for all.

# %%
heads = results("14-head-temperature-batch")
parts = heads["measured"]
print(verdict_table(heads))


def parts_figure(arms, alt, number):
    """The three panels for some of the ledger's arms: {arm: its name}."""
    taken = [[parts[what][arm] for arm in arms] for what in ("loss", "rank")] + [[parts["accuracy"][arm]["h"] for arm in arms]]
    lines = {rival: mean(parts["accuracy"][rival]["h"]) for rival in ("raw pixels", "frozen random")}
    fig = contrast_panels(list(arms.values()), taken[0], [parts["chance_loss"][arm] for arm in arms], *taken[1:], lines, 96)
    plots.show(fig, alt=f"{alt} Loss beside chance, effective rank, and a probe with {parts['labels_per_class']} labels per class, a dot per seed. Means: {described(arms.values(), *taken)}.", number=number)


parts_figure({"no head": "no head", "linear head": "linear", "base": "a hidden layer"}, "What is compared may be the features themselves, or what a head makes of them.", number="14.11")

# %% [markdown]
# In Figure 14.11 all three are nearly level, and no lead is clear. Chen et al. (2020, Figure 8) found that a head is worth ten points and more, and so had an earlier program of ours, with one rate for all; with rates tuned for each, it did not show here. One part of their finding did: what goes into the head probes better than what comes out.

# %%
part_leads = {name: stored(pair) for name, pair in parts["leads"].items() if not name.endswith(("random", "pixels"))}
for name, one in part_leads.items():
    print(f"{name:36s}{100 * one.difference:+6.1f} points   other images {100 * one.over_samples.low:+5.1f} to {100 * one.over_samples.high:+5.1f}   other seeds {100 * one.over_seeds.low:+5.1f} to {100 * one.over_seeds.high:+5.1f}")
claim(part_leads["before the head over after it"].is_clear, "the features before the head are better than what it makes of them")
parts_figure({"temperature 0.05": "τ = 0.05", "base": "τ = 0.2", "temperature 1": "τ = 1"}, "The temperature moves what the loss can reach, so losses do not compare across temperatures.", number="14.12")

# %% [markdown]
# By (14.2) a high temperature spreads the push over all others alike, near or far, so little of it goes to those that resemble the picture. In Figure 14.12 a temperature of 1 is behind 0.2, clearly, though by less than we had predicted; 0.05 and 0.2 cannot be told apart (Chen et al. 2020, Table 5, in sign).
#
# "Contrast needs large batches" is often quoted from the paper (ibid., Figure 9): more negatives make a harder question, and at a given number of epochs larger batches were better there, most of all with few epochs.

# %%
parts_figure({"batch 32": "N = 32", "base": "N = 128", "batch 512": "N = 512", "group normalisation": "N = 128, group norm"}, "Batch size moves the chance line, and with it the loss.", number="14.13")

# %% [markdown]
# At equal samples it did not show (Figure 14.13): the smallest batch is ahead in the mean, and no lead is clear. It made the most updates. Here, where updates were lacking, more negatives did not make up for them.
#
# ### A layer that couples samples
#
# The last row is another matter. **Batch normalisation** centres and scales each feature map by its mean and variance *over the batch*: while it trains, what the network says of a picture depends on the others. **Group normalisation** takes them over maps within one picture (Wu and He 2018).

# %%
for norm in ("batch", "group"):
    model = ResNetModel(replace(SHAPE, norm=norm), seed=0).train()
    with torch.no_grad():
        among = [model.encode(torch.cat([test.images[:1], companions]))[0] for companions in (test.images[1:32], test.images[32:63])]
    change = ((among[0] - among[1]).norm() / among[0].norm()).item()
    print(f"{norm} normalisation: the features of a picture change by {change:.1%} when its companions do")
claim(change < 1e-5, "with group normalisation a picture's features are its own")

# %% [markdown]
# So batch normalisation breaks promises of this course. A batch cannot be cut into micro-batches (chapter 10), for each part would have means of its own. Two processes would have other means than one. The library's layer therefore says of itself that it couples samples: the trainer refuses to cut
# such batches, and ranks exchange their sums, gradients included, so that two compute what one would. Both views of a picture go through the network in *one* call. In two calls each view would be centred by the means of its own call, and could be known by that.
#
# And the price of a norm that leaves samples alone? In that earlier program it was high. In Figure 14.13 there is none: with a rate of its own, group normalisation is ahead in the mean, by less than seeds differ.
#
# ## 6 · Hide patches
#
# Chapter 03 hid patches from a convolutional network, which sees a hole where they were. A **vision transformer** needs no hole. It reads a picture as BERT reads a sentence: cut into patches, each made a vector, to which a vector for its place is added, and blocks of attention over the row. A patch that is hidden
# can be *left out*, and with three quarters left out the encoder has a quarter to compute. That is the **masked autoencoder** of He et al. (2022, section 3).

# %%
plots.show(diagrams.vit_masked_autoencoder(), "The encoder sees the visible patches only, and a small decoder sees mask tokens in place of the others. The visible patches are in random order; before the decoder all are put back in place. The loss counts hidden patches alone, and the decoder is discarded later.", number="14.14")

# %% [markdown] tags=["exercise"]
# **Exercise 14.5 · hide patches (★★★, 25 min)**
#
# Draw a uniform number for each patch, `keys.uniform("mask", (T,))`, which is $(B, T)$, and put the patches in the order of their numbers, the smallest first. The first $T - \text{round}(\text{rate} \cdot T)$ of that order are visible: return them in *that* order, $(B, S, D)$. Return which patches are hidden, `hidden` $(B, T)$, boolean,
# in the places that they have in the picture, and `restore` $(B, T)$: whoever has $T$ things in the shuffled order gets them back in the picture's order as `things.gather(1, restore)`.


# %% tags=["exercise"]
def hide_patches(patches, keys, rate):
    """Patches (B, T, D) to the visible ones (B, S, D), which are hidden (B, T), and the way back (B, T)."""
    ### BEGIN SOLUTION
    count = patches.shape[1]
    order = keys.uniform("mask", (count,)).argsort(dim=1)  # (B, T): place in the shuffled order → place in the picture
    restore = order.argsort(dim=1)  # (B, T): place in the picture → place in the shuffled order
    seen = count - round(rate * count)
    visible = patches.gather(1, order[:, :seen, None].expand(-1, -1, patches.shape[2]))
    return visible, restore >= seen, restore
    ### END SOLUTION


hide_patches = check("14.5", hide_patches)

# %% [markdown]
# What is predicted? The pixels, but of each patch less its own mean and divided by its own standard deviation. Else the brightest patches would make the loss, and a faint edge would count for nothing (ibid., section 3 and Table 1d).

# %% [markdown] tags=["exercise"]
# **Exercise 14.6 · the loss on what is hidden (★★☆, 15 min)**
#
# The target of a patch is the patch less its own mean, divided by its own standard deviation: $(x - \mu) / \sqrt{s^2 + 10^{-6}}$, with $s^2$ the variance that `torch.var` gives, over the patch's $D$ numbers. Return the squared error, averaged over the numbers of the *hidden* patches only.


# %% tags=["exercise"]
def hidden_loss(predicted, patches, hidden):
    """Mean squared error on hidden patches, normalised: (B, T, D), (B, T, D), (B, T) to a scalar."""
    ### BEGIN SOLUTION
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)  # (B, T, 1)
    target = (patches - mean) / (variance + 1e-6).sqrt()
    return (predicted - target).square()[hidden].mean()
    ### END SOLUTION


hidden_loss = check("14.6", hidden_loss)

# %% [markdown]
# Is the library's step the same? It keeps the visible patches in the picture's order, where you have a random one. Attention does not care, as section 1 showed, since each vector carries its place along. And its loss has a half in front, as all squared errors of this course.

# %%
mnist = load_images("mnist")
VIT = ViTMAEConfig(image_size=28, patch_size=4, num_channels=1, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, intermediate_size=128,
                   decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=64)
painter, task, keys = ViTMAEForPreTraining(VIT, seed=0), MaskedImage(0.75, patch=4, normalize=True), Keys.of(0, 16)
batch = task.batch(mnist.take(keys), keys)
with torch.no_grad():
    answer = painter(batch.inputs["images"], batch.inputs["mask"])
    loss = (task(painter, batch)["masked_pixels"] / batch.counts["masked_pixels"]).item()
    orders = [torch.arange(12), torch.arange(12).flip(0)]
    one, other = (painter.encoder(mnist.images[:1], order[None])[0, 1:] for order in orders)
hidden = patchify(batch.inputs["mask"], 4).bool().all(2)  # (16, 49)
mine = hidden_loss(patchify(answer, 4), patchify(mnist.images[:16], 4), hidden).item()
print(f"yours {mine:.4f}, twice the library's {2 * loss:.4f}; {hidden.sum(1)[0]} of {hidden.shape[1]} patches hidden")
claim(abs(mine - 2 * loss) < 1e-4 and (one - other.flip(0)).abs().max() < 1e-4, "both losses agree, and the order of the visible patches does not matter")

# %% [markdown]
# Let it learn for a while, on an easier question, so that seconds suffice: half of sixteen large patches. The rival is the **mean image**, as in chapter 03: whoever knows only where ink usually is paints that. We train on plain pixels here, to see what is painted; with normalised targets light and contrast of each patch would have to
# be taken from the very picture that is hidden.

# %%
painter, task = ViTMAEForPreTraining(replace(VIT, patch_size=7), seed=0), MaskedImage(0.5, patch=7)
history = Trainer(painter, task, mnist, recipe(dial(smoke=2, laptop=500), batch=64, rate=2e-2, optimizer="muon")).fit()
held_out = load_images("mnist", "test").subset(range(dial(smoke=20, laptop=200)))
keys = Keys.of(1, len(held_out))
shown = task.batch(held_out.take(keys), keys).inputs
mask = shown["mask"].bool()  # (N, 1, 28, 28)
with torch.no_grad():
    painted = torch.where(mask, painter.eval()(shown["images"], shown["mask"]), held_out.images)
loss, rival = (0.5 * (guess - held_out.images).square()[mask].mean().item() for guess in (painted, mnist.images.mean(0).expand_as(painted)))
print(f"½ squared error of a hidden pixel: painted {loss:.4f}, the mean image {rival:.4f}")
claim(loss < 0.95 * rival, "it paints better than whoever knows only where ink usually is")

# %%
rows = [held_out.images[:8], torch.where(mask, 0.5, held_out.images)[:8], painted.clamp(0, 1)[:8]]
fig = plots.image_grid(rows, row_labels=["picture", "seen", "painted"])
plots.show(fig, alt=f"From half of the patches it goes on with strokes, blurred and sometimes wrongly. Eight held-out digits: whole; the patches that the encoder sees, the others grey; and with the hidden patches painted after {len(history.steps)} updates.", number="14.15")
print(DIGITS)

# %% [markdown]
# Figure 14.15 is blurred: where several strokes are possible, the least squared error is their mean (chapter 03). Hide three quarters, in small patches, and a run of this length still stands at the mean image: a plateau once more. The runs below are longer. Is what a painter must know also what a *classifier* needs?
#
# ### Six ways on one network
#
# The ledger asks the same ViT six questions, each for as many multiplications as contrast gets, since one update costs very different amounts. Besides the four that we know there are two older ones: **denoising** (chapter 03), and **rotation** (Gidaris, Singh and Komodakis 2018). A picture is turned by 0, 90, 180 or 270 degrees, and the
# network says by how much; a network that knows which way up a 7 stands has to know a 7. Each way has its own tuned rates. Each is asked twice: by a linear probe, and fine-tuned with the same labels.

# %%
cost = ways["flops_of_an_update"]
for arm in ways["loss"]:
    at_chance = f" (chance {ways['chance_loss'][arm]:.2f})" if arm in ways["chance_loss"] else ""
    print(f"{arm:18s} {ways['updates'][arm]:5d} updates, each {cost[arm] / cost['contrast']:.2f} times the cost of one of contrast; loss {mean(ways['loss'][arm]):.3f}{at_chance}")
predict("14.masked", ..., unit="points (masked images: fine-tuned less probed)")

# %%
kinds = [arm for arm in ways["loss"] if arm not in ("collapsed", "contrast, ResNet")]
gain = {arm: 100 * (mean(ways["accuracy"]["fine-tuned"][arm]) - mean(ways["accuracy"]["probed"][arm])) for arm in kinds}
reveal("14.masked", gain["masked images"])
print(verdict_table(objectives))
fig, axes = plots.figure(columns=3, width=12, height=3.6)
references = {"probed": ("raw pixels", "frozen random"), "fine-tuned": ("scratch", "scratch, longer")}
for ax, (kind, rivals) in zip(axes, references.items()):
    names = [*kinds, *rivals]
    plots.bars(ax, names, [[100 * run for run in ways["accuracy"][kind][arm]] for arm in names], [plots.BLUE] * len(kinds) + [plots.GREY] * len(rivals), form=".0f")
    ax.set(title=kind, xlabel=f"accuracy, {ways['per_class']} labels per class (%)", xlim=(0, 105))
plots.bars(axes[2], [*kinds, "frozen random"], [ways["rank"][arm] for arm in (*kinds, "frozen random")], [plots.BLUE] * len(kinds) + [plots.GREY], form=".0f")
axes[2].set(xlabel=f"effective rank of the features, of {VIT.hidden_size}", xlim=(0, VIT.hidden_size))
told = "; ".join(f"{arm} {mean(ways['accuracy']['probed'][arm]):.0%} and {mean(ways['accuracy']['fine-tuned'][arm]):.0%}" for arm in kinds)
plots.show(fig, alt=f"Six ways of pre-training one ViT answer differently to a probe and to fine-tuning. Left, accuracy of linear probes on one ViT beside raw pixels and random weights; middle, fine-tuned beside scratch; right, effective rank; a dot per seed. Probed and fine-tuned: {told}.", number="14.16")

# %%
shown_leads = {f"{arm}, fine-tuned, over {rival}": stored(ways["leads"][f"{arm}, fine-tuned, over {rival}"]) for rival in ("scratch", "scratch, longer") for arm in kinds}
shown_leads["masked images, probed, over raw pixels"] = stored(ways["leads"]["masked images, probed, over raw pixels"])
for name, one in shown_leads.items():
    print(f"{name:50s} {100 * one.difference:+6.1f} points   other images {100 * one.over_samples.low:+6.1f} to {100 * one.over_samples.high:+6.1f}   other seeds {100 * one.over_seeds.low:+6.1f} to {100 * one.over_seeds.high:+6.1f}")
claim(shown_leads["masked images, probed, over raw pixels"].over_samples.high < 0 and shown_leads["masked images, fine-tuned, over scratch"].is_clear, "masked images probe below raw pixels, and fine-tuned they lead scratch, clearly")
other = stored(ways["leads"]["contrast, ResNet, probed, over contrast"])
print(f"contrast on the ResNet, as many updates, over contrast on the ViT: {100 * other.difference:+.1f} points")

# %% [markdown]
# After masked images the ViT probes below raw pixels, and fine-tuned it leads scratch by a lot, clearly (Figure 14.16; He et al. 2022, section 4, in sign). Contrast and VICReg are ahead of it when probed. Fine-tuned, the three are about level. All three methods with views end below their own probes: with so few labels this fine-tuning spoils features as well.
#
# Self-distillation's loss ends at $\ln K$, what it costs to say everything a little (section 5), with the best of three rates. Did it collapse to that, or not get away from it yet? The loss cannot tell, and its spread was not logged. The features did change: their rank is below that of random weights. So our prediction that all three methods with views would probe ahead of the
# others failed. That says nothing of DINO, which was trained for far longer.
#
# Mind how weak the rivals are here. No ViT, probed or fine-tuned, does as well as a probe on raw pixels, and scratch, fine-tuned, is below a probe on random weights. The ResNet is far ahead of the ViT after the same contrast; much of that is there before any training (compare the random weights of Figures 14.13 and 14.16). The two also differ in size, so it agrees with section 1, and does not isolate it.
#
# How much of it was patience? Scratch that computed as much as contrast and fine-tuning together takes back the larger part of the leads. Contrast, VICReg and masked images stay ahead of it, clear over test images, and not over three seeds: scratch differs widely from start to start. Denoising is ahead by little, over images only; rotation is behind, not clearly; self-distillation is clearly behind. (The best rate of scratch for longer, and that of pre-training with masked images, are the lowest of the three tried, so either may do better still.)
#
# The two measurements answer two questions. A probe asks whether classes lie apart *by a linear function* as the features stand. Where that may come from: methods with views have been told what to forget, so little else is in the way. A network that paints has to keep everything, strokes and places included; what a class needs is in there, but not sorted. Fine-tuning can sort it.
# He et al. say so in their section 4.3, and try something between a probe and fine-tuning: they tune the last blocks only. **A poor probe does not prove poor features; it shows that so few labels do not find your classes by a linear function of them.**
#
# ## 7 · Outlines and boxes
#
# The article lists *detection and segmentation* as what ResNet's features are carried to. A class for the whole picture needs one vector, so the network may forget where things are. A class *per pixel*, **semantic segmentation**, and a box around each thing, **detection**, need the maps before they are averaged.

# %%
plots.show(diagrams.feature_pyramid(), "Maps of three stages are brought to one width and one size, and summed; a small head reads the sum. One head gives each pixel a class, the other says for each cell how likely an object's centre is there, how large the object is and where in the cell its centre lies.", number="14.17")

# %% [markdown]
# Deep maps know *what*, shallow ones *where*, and the sum in Figure 14.17 has both (feature pyramids, Lin et al. 2017). Segmentation is then a classification of pixels. For detection we take objects as points (Zhou, Wang and Krähenbühl 2019): a heat map of centres, and at each centre a size. Boxes are read off at the peaks. Nearly all cells are no centre, so the loss lets those that are easily told count for little (ibid., equation 1).
#
# How good is an outline? Most pixels are background, so accuracy is high for a model that says "background" everywhere. **Intersection over union** asks of each class: of the pixels where truth or prediction has it, in how many do both?

# %% [markdown] tags=["exercise"]
# **Exercise 14.7 · mean intersection over union (★★☆, 20 min)**
#
# Every pixel has a class from 0, the background, to `num_classes` itself: `num_classes` + 1 classes. For each class divide the pixels where both masks say it by those where at least one does, over all pictures together. Return the mean over the classes that occur in either mask, background included; a class that occurs nowhere is left
# out. Pixels whose truth is −100 are not scored.


# %% tags=["exercise"]
def mean_iou(predicted, truth, num_classes):
    """Mean over classes of intersection over union, of masks (N, H, W) and (N, H, W): a number."""
    ### BEGIN SOLUTION
    scored = truth != -100
    ours, true = predicted[scored], truth[scored]
    found = []
    for kind in range(num_classes + 1):
        either = ((ours == kind) | (true == kind)).sum().item()
        if either:
            found.append(((ours == kind) & (true == kind)).sum().item() / either)
    return sum(found) / len(found)
    ### END SOLUTION


mean_iou = check("14.7", mean_iou)

# %%
seen = scenes("test", 0, dial(smoke=10, laptop=100))
nothing = torch.zeros_like(seen.masks)
print(f'"background everywhere": {(nothing == seen.masks).float().mean():.1%} of the pixels right, mean IoU {mean_iou(nothing, seen.masks, 10):.1%}')

# %% [markdown]
# A detector is harder to score: it gives any number of boxes, each with how sure it is. Sort them by that, go down the list, and two numbers move: **precision**, the share of right boxes so far, and **recall**, the share of true boxes that have been found. **Average precision** is the mean of the one over the other.

# %% [markdown] tags=["exercise"]
# **Exercise 14.8 · average precision (★★★, 35 min)**
#
# One class, several pictures. `boxes[n]` $(K, 4)$ and `scores[n]` $(K,)$ were found in picture $n$; `truth[n]` $(M, 4)$ are its true boxes, of which there may be none. In each picture go through what was found, the highest score first: a box is right if, of the true boxes that none before it has taken, the one
# it shares most with has an intersection over union of at least 0.5, and then it takes that one. Now sort what was found in *all* pictures by score. After each of them, precision is the share of right boxes so far, and recall is how many of all true boxes have been found. For each of the 101 recalls 0, 0.01, …, 1 take the
# largest precision at that recall or a higher one, and 0 where it is never reached. Return their mean. `box_iou(a, b)` gives the intersections over unions, $(K, M)$.


# %% tags=["exercise"]
def average_precision_50(boxes, scores, truth):
    """COCO's average precision of one class at IoU 0.5; lists with a tensor for each picture, to a number."""
    ### BEGIN SOLUTION
    found = []  # (score, whether it is right)
    for ours, its_scores, true in zip(boxes, scores, truth):
        shared = box_iou(ours, true)  # (K, M)
        for place in its_scores.argsort(descending=True).tolist():
            right = len(true) > 0 and shared[place].max().item() >= 0.5
            if right:
                shared[:, shared[place].argmax()] = -1  # taken
            found.append((its_scores[place].item(), right))
    right = torch.tensor([right for _, right in sorted(found, reverse=True)], dtype=torch.double)
    hits = right.cumsum(0)
    precision = hits / torch.arange(1, len(right) + 1)
    recall = hits / sum(map(len, truth))
    levels = torch.linspace(0, 1, 101, dtype=torch.double)
    return sum(precision[recall >= level].max().item() for level in levels if (recall >= level).any()) / len(levels)
    ### END SOLUTION


average_precision_50 = check("14.8", average_precision_50)

# %% [markdown]
# ### Few pictures, live
#
# Now carry our network over. It was contrasted on single digits and has never seen a scene or a box. A hundred scenes with boxes are all the labels there are. Three starts, with one head, the same changes of colour, as many updates, one rate: from scratch; from contrast, with the encoder frozen; from contrast, fine-tuned.

# %%
predict("14.boxes", ..., unit="points of AP50 (contrast, fine-tuned, less scratch)")

# %%
def ap50(found):
    """Your average precision, averaged over the digits that occur."""
    boxes, kinds, scores = found  # (N, 20, 4), (N, 20), (N, 20)
    each = range(len(seen))
    return mean(average_precision_50([boxes[n][kinds[n] == kind] for n in each], [scores[n][kinds[n] == kind] for n in each],
                                     [seen.boxes[n][seen.box_labels[n] == kind] for n in each]) for kind in seen.box_labels[seen.box_labels >= 0].unique())


labelled = scenes("train", 0, dial(smoke=8, laptop=100))
starts = {"scratch": (ResNetModel(SHAPE, seed=0), False), "contrast, frozen": (network, True), "contrast": (network, False)}
boxed = {}
for name, (start, frozen) in starts.items():
    detector = fine_tune_detector(start, Augmented(labelled, COLOUR), 10, recipe(dial(smoke=2, laptop=250), batch=16, rate=1e-2), frozen)
    boxed[name] = tuple(column[:, :20] for column in predicted_boxes(detector, seen))  # boxes, labels, scores: the 20 surest of each scene
    library = average_precision(boxed[name], seen.boxes, seen.box_labels, 10).ap50
    print(f"{name:18s} AP50 {ap50(boxed[name]):.1%}, the library's {library:.1%}")
    claim(abs(ap50(boxed[name]) - library) < 1e-6, "your average precision, averaged over classes, is the library's")
reveal("14.boxes", 100 * (ap50(boxed["contrast"]) - ap50(boxed["scratch"])))

# %% [markdown]
# One seed, one draw of scenes, one rate: a demonstration, no evidence. Where frozen is ahead of fine-tuned, a rate that nobody tuned may have spoiled what was learned.
#
# Outlines ask more of a map. The stem of our network, the layers before its first block, shrinks each side to a quarter, so its finest map has one cell for 4 × 4 pixels, about the width of a stroke. Is that enough to outline digits? Fifty scenes with masks:

# %%
predict("14.outlines", ..., unit="mean IoU of the outlines")

# %%
masked = scenes("train", 0, dial(smoke=8, laptop=50))
segmenter = fine_tune_segmenter(network, Augmented(masked, COLOUR), 10, recipe(dial(smoke=2, laptop=400), batch=16, rate=1e-2), encoder_rate=0.3)
outlined = predicted_masks(segmenter, seen)
reveal("14.outlines", mean_iou(outlined, seen.masks, 10))
print(f"background everywhere {mean_iou(nothing, seen.masks, 10):.1%}; {(outlined > 0).float().mean():.1%} of the pixels are said to be a digit's, {(seen.masks > 0).float().mean():.1%} are")

# %%
palette = torch.tensor([[0.0, 0.0, 0.0], *plots.plt.get_cmap("tab10").colors])  # black for the background
rows = [tiles(seen.images[:8]), *(list(palette[masks[:8]].numpy()) for masks in (seen.masks, outlined)), *[tiles(seen.images[:8])] * 2]
fig = plots.image_grid(rows, row_labels=["scene", "true masks", "outlined", "boxes, scratch", "boxes, fine-tuned"], scale=0.95)
for row, name in ((3, "scratch"), (4, "contrast")):
    for n, (boxes, kinds, scores) in enumerate(zip(*(column[:8] for column in boxed[name]))):
        frame(fig.axes[8 * row + n], boxes[scores >= 0.3], kinds[scores >= 0.3])
plots.show(fig, alt="Few boxes, often with wrong names, and hardly an outline. Eight test scenes. Rows: the scenes; their true masks, a colour for each digit; the masks of the segmenter after contrast; the boxes with a score of at least 0.3 and their digits, from scratch and after contrast.", number="14.18")
credit("test")

# %% [markdown]
# Find in Figure 14.18 a digit that is boxed well and named wrongly, and one that is missed: the two mistakes have different causes, and both lower the score. The outlines are hardly better than none. The map may be too coarse, or the updates too few: one run does not say which.
#
# ### The ledger
#
# The ledger's network has a stem that keeps the sides, and was pre-trained for longer. (In trials of 400 updates no network with the coarser stem had outlined anything, from any start.) There are three seeds with labelled scenes of their own, and each arm has rates of its own, for the head and for the encoder. There is one more rival: an encoder pre-trained *with labels of another kind*, on coloured letters, as ImageNet's classes are labels of another kind than COCO's boxes.

# %%
dense_entry = results("14-dense")
dense = dense_entry["measured"]
print(verdict_table(dense_entry))
FEW, MOST = dense["updates"], dense["most_updates"]
colours = {"contrast": plots.BLUE, "contrast, frozen": plots.SKY, "letters": plots.GREEN, "scratch": plots.ORANGE, "random, frozen": plots.GREY}
updates = sorted({int(at.split(", ")[1].split()[0]) for at in dense["segmentation"]["score"]["scratch"]})
fig, axes = plots.figure(columns=2, rows=2, width=11, height=6.4)
for row, (task_name, score) in zip(axes, (("segmentation", "mean IoU"), ("detection", "AP50"))):
    for arm, found in dense[task_name]["score"].items():
        numbers = [count for count in dense["pictures"] if f"{count} pictures, {FEW} updates" in found]
        plots.spread(row[0], numbers, [100 * np.array(found[f"{count} pictures, {FEW} updates"]) for count in numbers], "", colours[arm])
        row[0].plot([], [], color=colours[arm], label=arm)
        later = [number for number in updates if f"100 pictures, {number} updates" in found]
        if len(later) > 1:
            plots.spread(row[1], later, [100 * np.array(found[f"100 pictures, {number} updates"]) for number in later], arm, colours[arm])
    row[0].set(xscale="log", xticks=dense["pictures"], xticklabels=dense["pictures"], xlim=(18, 2500), xlabel=f"labelled pictures ({FEW} updates)", ylabel=f"{score} (%)", title=task_name)
    row[1].set(xscale="log", xticks=updates, xticklabels=updates, xlim=(0.9 * updates[0], 2.2 * updates[-1]), xlabel="updates (100 labelled pictures)", title=task_name)
    for ax in row:
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
    row[0].legend(frameon=False, loc="center right")
told = "; ".join(f"{task_name}, {arm} {mean(found[f'100 pictures, {FEW} updates']):.0%}" for task_name in ("segmentation", "detection") for arm, found in dense[task_name]["score"].items())
plots.show(fig, alt=f"Contrast is ahead with few labelled pictures and with many, and in boxes scratch makes up much of it with more updates. Mean IoU above and AP50 below, against labelled pictures on the left and against updates on the right, with bands over three seeds. With 100 pictures and {FEW} updates: {told}.", number="14.19")

# %%
dense_leads = {f"{short}, {at.replace(f', {FEW} updates', '').replace('100 pictures, ', '')}": stored(pair) for task_name, short in (("segmentation", "IoU"), ("detection", "AP50"))
               for at, pair in dense[task_name]["leads"]["contrast over scratch"].items()}
for name, one in dense_leads.items():
    print(f"{name:22s}{100 * one.difference:+6.1f} points over scratch{', clear' if one.is_clear else ''}")
claim(all(dense_leads[f"AP50, {count} pictures"].is_clear for count in dense["pictures"]), "in boxes contrast leads scratch clearly, with few labelled scenes and with many")
dense_leads |= {f"{short}, 100 pictures, over letters": stored(dense[task_name]["leads"]["contrast over letters"][f"100 pictures, {FEW} updates"]) for task_name, short in (("segmentation", "IoU"), ("detection", "AP50"))}
fig, ax = plots.figure(width=8.5, height=5.6)
plots.leads(ax, dense_leads)
clear = [f"{name} {100 * one.difference:+.1f}" for name, one in dense_leads.items() if one.is_clear]
plots.show(fig, alt=f"More updates shrink the lead of contrast over scratch in boxes, and do not shrink the one in outlines. The lead in points for labelled pictures, for more updates with 100 pictures, for small digits, and over an encoder pre-trained with labels of letters, each with two intervals. Clear by both: {'; '.join(clear) or 'none'}.", number="14.20")

# %% [markdown]
# What do the numbers look like? The first seed's networks, after the longest training on a hundred scenes:

# %%
masks, boxes = (dense[task_name]["examples"] for task_name in ("segmentation", "detection"))  # by start, then by scene
shown = scenes("test", 0, len(masks["scratch"]))
drawn = [[palette[torch.tensor([[int(kind, 16) for kind in row] for row in mask])].numpy() for mask in masks[start]] for start in ("scratch", "contrast")]
rows = [tiles(shown.images), list(palette[shown.masks].numpy()), *drawn, *[tiles(shown.images)] * 2]
fig = plots.image_grid(rows, row_labels=["scene", "true masks", "masks, scratch", "masks, contrast", "boxes, scratch", "boxes, contrast"], scale=0.95)
for row, start in ((4, "scratch"), (5, "contrast")):
    for n, found in enumerate(boxes[start]):
        found = torch.tensor(found).reshape(-1, 6)
        frame(fig.axes[len(shown) * row + n], found[:, :4], found[:, 4].long())
plots.show(fig, alt=f"Trained for longer, both outline the digits, and the names are what is often wrong. Six test scenes, after {MOST} updates on 100 labelled scenes: the scenes; their true masks, a colour for each digit; masks and boxes from scratch and after contrast, boxes with a score of at least 0.3.", number="14.21")
credit("test")

# %% [markdown]
# **Boxes.** Contrast leads scratch with every number of labelled scenes, clearly, and frozen it is level with fine-tuned (Figures 14.19 and 14.20). With 500 scenes and no more updates nobody sees a scene often: contrast gains by them, scratch hardly. **Outlines.** The lead is a few points; with fifty scenes, where we had predicted at least five, it is not clear over seeds. With 500 pictures and no more updates both outline worse than with 100, scratch by more, so the lead grows: that prediction failed, too.
#
# **Patience.** With four times as many updates scratch makes up more than half of the lead in boxes, and what is left is no longer clear over seeds. So it was for He, Girshick and Dollár (2019), who trained detectors on COCO from scratch for long enough: ImageNet pre-training, with all its labels, "speeds up convergence early in training, but does not necessarily [...] improve
# final target task accuracy" (abstract). In outlines, however, the lead did not shrink, and our prediction, half in both, failed. (Rates were chosen for the shorter runs. After twice as many updates the lead in boxes had shrunk still more, and was clear: from there to the longest run one seed of scratch fell back.)
#
# **Labels of another kind.** With a hundred pictures and the shorter run the encoder that was pre-trained with the labels of letters is level with contrast in boxes, and in outlines ahead of it over test images, not over seeds. Labels were not needed, then; whether they help we cannot tell.
#
# **Small digits**, of 14 to 18 pixels. A random resized crop only ever *enlarges*, so in pre-training no digit's square was smaller than 26 pixels (Touvron et al. 2019 measured what such a gap costs). We had predicted no lead. In outlines there is none: scratch is ahead over images, and both outline next to nothing. In boxes the lead is large and clear: the prediction failed. What was learned on large digits did help to find small ones, within as many updates; scratch for longer was not tried here.
#
# ## 8 · What a claim needs
#
# "Pre-training gave +20 points" can be true in five ways, of which four are no merit of pre-training: stronger augmentation, more updates, a better rate, an unlucky rival.

# %% [markdown] tags=["exercise"]
# **Exercise 14.9 · what a claim needs (★★☆, 10 min)**
#
# A network was pre-trained by contrast with strong augmentation and fine-tuned on ten labels per class. It is ahead of one from scratch. Was it pre-training? It may have been the augmentation, the patience or the tuning. Which of these belong in the experiment that decides? Answer with a set of letters, such as `{"c", "f"}`.

# %% tags=["exercise"]
for letter, choice in CHOICES.items():
    print(f"{letter}: {choice}")

# %% tags=["exercise"]
### BEGIN SOLUTION
# a: the same views for both, or it is the augmentation; b: as many updates in all, or it is patience; d: as many rates tried for each, or it is the tuning
# e: what an untrained network already gives a probe; g: pre-training is drawn anew with each seed, or one lucky draw may be all there is
# h: pictures of which no part was seen; not c: mild views handicap the rival; not f: chosen on the test set; not i: the lowest loss may belong to the worst network
design = {"a", "b", "d", "e", "g", "h"}
### END SOLUTION
design = check("14.9", design)

# %% [markdown]
# ### With one GPU
#
# All of this was measured on small drawn pictures, on processors. Two recipes carry it to real photographs and one GPU: `recipes/resnet18-simclr-cifar10.toml` contrasts a ResNet-18 on CIFAR-10 for 200 epochs, and `recipes/vit-s-mae.toml` trains a masked autoencoder on a ViT-S, on the same set or on a folder of your own. Both were tried on a few generated images only. They are **not run on the real set**: no
# number of this chapter speaks of it, and their settings come from the papers, or are guesses and say so. `python -m pretrain_lib pretrain recipes/resnet18-simclr-cifar10.toml` starts the first; what comes of it is a folder that is loaded with `load_pretrained` and fine-tuned as above.
#
# ## Summary
#
# * Contrast is a classification with one class per picture of the batch. At chance it costs $\ln(2N - 1)$; its gradient pulls towards the partner and away from the mean of all whom it is mistaken for.
# * The views say what may be forgotten, and so decide what is learned. Crops alone leave the colours, which give the answer away: a low loss and no digits. With few labels most of the lead over scratch was patience.
# * Agreement alone collapses. Negatives, variance and covariance, or centring and sharpening stand against it. Log the spread of what is compared beside the loss, and a probe from time to time.
# * The head is trained to forget, and discarded. Batch normalisation couples samples. Neither batch normalisation nor large batches were needed here.
# * A masked autoencoder's encoder sees the visible patches only. What it learns is underrated by a linear probe.
# * Outlines are measured by intersection over union, boxes by average precision. In boxes contrast leads scratch by a lot, and more updates make up more than half; in outlines it leads, too, and more updates do not make that up. Labels of another kind did not do clearly better.
# * The rival is scratch *with the same views, as many updates, as many rates tried*.
#
# **What we measured**: the loss at chance and at right angles, its gradient, and both scores against the library's; a live contrast with crops and colours and one with crops alone, their probes and neighbours; a masked autoencoder's paintings; detectors from three starts, and a segmenter; `14-augmentations`, `14-head-temperature-batch`, `14-objectives` and `14-dense`
# in the ledger, three seeds each: `python course.py reproduce 14-augmentations` measures the first again.
#
# ## Going further
#
# * Leave `RandomInvert` out of the views. What could give the answer away then? Train for a hundred updates, look at the loss first, then at the probe.
# * A digit's class does not depend on its colour. Think of a task where it does, and choose views for it.
# * Put `load_images("coloured-digits", "shift")` in place of the test set: another photograph lies behind. One photograph is one sample: what can you say, and what not?
# * The painter of section 6 hides half. Hide a quarter, and three quarters. Which paints better, and which probes better?
# * Let the encoder see small digits in pre-training: add `RandomScale(0.5, 1.0)` to the views. Are small ones outlined then?
# * Chapter 16 contrasts pictures with their captions: the second view is a text.
#
# ## References
#
# * K. He, X. Zhang, S. Ren and J. Sun (2016), *Deep residual learning for image recognition*, CVPR; arXiv 1512.03385.
# * A. Dosovitskiy et al. (2021), *An image is worth 16x16 words: transformers for image recognition at scale*, ICLR; arXiv 2010.11929, section 3.1 and Figure 3.
# * A. van den Oord, Y. Li and O. Vinyals (2018), *Representation learning with contrastive predictive coding*; arXiv 1807.03748, equation 4.
# * T. Chen, S. Kornblith, M. Norouzi and G. Hinton (2020), *A simple framework for contrastive learning of visual representations*, ICML; arXiv 2002.05709, equation 1, Figures 5, 6, 8 and 9, Tables 3 and 5.
# * A. Bardes, J. Ponce and Y. LeCun (2022), *VICReg: variance-invariance-covariance regularization for self-supervised learning*, ICLR; arXiv 2105.04906, algorithm 1.
# * M. Caron et al. (2021), *Emerging properties in self-supervised vision transformers*, ICCV; arXiv 2104.14294, section 3.1.
# * X. Chen and K. He (2021), *Exploring simple siamese representation learning*, CVPR; arXiv 2011.10566, section 4.1.
# * O. Roy and M. Vetterli (2007), *The effective rank: a measure of effective dimensionality*, EUSIPCO.
# * Y. Wu and K. He (2018), *Group normalization*, ECCV; arXiv 1803.08494, section 3.
# * K. He, X. Chen, S. Xie, Y. Li, P. Dollár and R. Girshick (2022), *Masked autoencoders are scalable vision learners*, CVPR; arXiv 2111.06377, sections 3, 4 and 4.3, Table 1.
# * S. Gidaris, P. Singh and N. Komodakis (2018), *Unsupervised representation learning by predicting image rotations*, ICLR; arXiv 1803.07728, section 2.
# * T.-Y. Lin, P. Dollár, R. Girshick, K. He, B. Hariharan and S. Belongie (2017), *Feature pyramid networks for object detection*, CVPR; arXiv 1612.03144, section 3.
# * X. Zhou, D. Wang and P. Krähenbühl (2019), *Objects as points*; arXiv 1904.07850, sections 3 and 4.
# * T.-Y. Lin et al. (2014), *Microsoft COCO: common objects in context*, ECCV; arXiv 1405.0312.
# * K. He, R. Girshick and P. Dollár (2019), *Rethinking ImageNet pre-training*, ICCV; arXiv 1811.08883, abstract and Figure 1.
# * H. Touvron, A. Vedaldi, M. Douze and H. Jégou (2019), *Fixing the train-test resolution discrepancy*, NeurIPS; arXiv 1906.06423.
