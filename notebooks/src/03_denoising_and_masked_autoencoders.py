# %% [markdown]
# # 03 · Denoising and masked autoencoders
#
# Chapter 02 kept the code small, so that the autoencoder had to leave something out. This chapter takes the bottleneck away.
# First we watch what goes wrong: a network with room to copy copies. Then we damage the input and ask for the undamaged one.
# Copying now has a price, the price can be computed, and paying less than that price takes knowledge about the data. That idea,
# *damage and repair*, is the pretext task behind BERT (chapter 07) and behind the image models of chapter 14.
#
# **You will be able to**
#
# 1. build a code that is larger than its input and reconstructs perfectly without any learning, and say why this is no success;
# 2. corrupt images by Gaussian, masking and salt-and-pepper noise, the same way in every run, and compute what copying costs under each;
# 3. derive the best possible denoiser, the posterior mean, and its link to the gradient of the log-density;
# 4. hide patches of an image, and score a model on what it could not see;
# 5. design the controls that a claim about pretrained features needs, and read a masking-ratio curve.
#
# **You need** chapters 00 to 02: gradients, principal components, `Trainer`, probes.
#
# **Time** about 2 hours of reading and exercises. Computing takes about a minute and a half on a laptop, less on a GPU.

# %% tags=["setup"]
import sys
from pathlib import Path

root = next((p for p in [Path.cwd(), *Path.cwd().parents] if (p / "pretrain_lib").is_dir()), None)
if root is None:
    raise RuntimeError("open this notebook inside the course's folder: it needs pretrain_lib beside it")
sys.path.insert(0, str(root))

# %% tags=["setup"]
import math
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F

from pretrain_lib import Autoencoder, AutoencoderConfig, Columns, Denoising, Keys, LinearProbe, MaskedAutoencoder
from pretrain_lib import MaskedAutoencoderConfig, MaskedImage, Reconstruction, TrainConfig, Trainer
from pretrain_lib import labelled_subset, load_images
from pretrain_lib.course import check, claim, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch03 import CHOICES, printed_logs
from pretrain_lib.evaluation.linear import pca
from pretrain_lib.evaluation.reconstruction import reconstruction_error
from pretrain_lib.transfer.features import features
from pretrain_lib.transfer.tuning import accuracy, fit_tuned

# %%
train, test = load_images("mnist"), load_images("mnist", "test")
print(train, len(test), "held out")

# %% [markdown]
# ## 1 · A code with room to copy
#
# The article that this course starts from says what an autoencoder does in one line: it "learns a compressed representation" of
# images (its sections 1.2 and 3.2). Let us give it a code that is *not* compressed: **over-complete**, with more units than the
# image has pixels. Does it still learn anything?
#
# Here is such a code, written down by hand. With $\operatorname{relu}(u) = \max(u, 0)$, every number is the difference of its positive and its
# negative part:
#
# $$x = \operatorname{relu}(x) - \operatorname{relu}(-x) .$$
#
# Read this as a network: encoder weights $\begin{bmatrix} I \\ -I \end{bmatrix}$, rectified, then decoder weights $[\,I \;\; {-I}\,]$, which are the
# encoder's transposed. It has twice as many units as inputs, and nothing in it has ever seen an image.

# %% tags=["NBVAL_CHECK_OUTPUT"]
def identity_network(pixels=784):
    """An over-complete autoencoder that copies, by construction."""
    sizes = AutoencoderConfig(hidden_sizes=(), code_size=2 * pixels, code_activation="relu", tied_weights=True, overcomplete=True)
    model = Autoencoder(sizes)
    with torch.no_grad():
        model.encoder[0].weight.copy_(torch.cat([torch.eye(pixels), -torch.eye(pixels)]))
        model.encoder[0].bias.zero_()
    return model


copier = identity_network()
print("code of", copier.encode(test.images[:1]).shape[1], "numbers for an image of", test.images[0].numel())
print("held-out reconstruction error:", reconstruction_error(copier, test))

# %% [markdown]
# A perfect score, on images it was never shown, by a network that was never trained. By the only measure chapter 02 used, it
# beats every autoencoder there. So what is its code good for? The **probe** of chapter 00 answers: a linear classifier on the frozen code, with its
# regularisation chosen on the labelled images alone.

# %%
PER_CLASS = dial(smoke=5, laptop=50)


def probe(model, seed=0, per_class=PER_CLASS):
    """Test accuracy of a linear probe on a model's code; None reads the raw pixels."""
    seen, unseen = (
        Columns(images=s.images if model is None else features(model, s), labels=s.labels)
        for s in (labelled_subset(train, per_class, seed), test)
    )
    return accuracy(fit_tuned(LinearProbe(), seen, seed)(unseen), unseen.labels)


predict("03.copier", ..., unit="accuracy of a probe on the copier's code (chance is 0.1)")

# %%
raw, copied = probe(None), probe(copier)
reveal("03.copier", copied)
print(f"raw pixels: {raw:.3f}")
claim(abs(copied - raw) < 0.02, "a perfect copier's code is worth as much as the raw pixels, no more")

# %% [markdown]
# Of course: its code *is* the raw pixels. **A low reconstruction error proves nothing about a representation.** In chapter 02 it seemed to, because
# the bottleneck made copying impossible; it was the bottleneck that did the work.
#
# One may hope that gradient descent, starting from random weights, finds something nobler than the identity. We look.
# `layer` builds one hidden layer of 1 000 rectified units for 784 pixels; `pretrain` trains a network on an objective. Everything this chapter trains goes through it.

# %%
STEPS = dial(smoke=15, laptop=400, gpu=2000)


def layer(seed):
    """784 pixels to 1 000 rectified units, and back with the transposed weights."""
    torch.manual_seed(seed)
    return Autoencoder(AutoencoderConfig(hidden_sizes=(), code_size=1000, code_activation="relu", tied_weights=True, overcomplete=True))


@lru_cache(maxsize=None)  # trained once, used in several sections
def pretrain(network, objective, seed=0):
    """A new network, trained on unlabelled images; its weights and its data order come from the seed."""
    model = network(seed)
    config = TrainConfig(steps=STEPS, batch_size=64, learning_rate=1e-3, warmup_steps=STEPS // 10, seed=seed)
    Trainer(model, objective, train, config).fit()
    return model


# %%
PLAIN = Reconstruction()
untrained, plain = layer(0), pretrain(layer, PLAIN)
total = reconstruction_error(lambda x: train.images.mean(0).to(x.device).expand_as(x), test)
print(f"held-out error: {reconstruction_error(plain, test):.2f}, of {total:.1f} for answering with the mean image")
before, after = probe(untrained), probe(plain)
print(f"probe: raw pixels {raw:.3f}, untrained layer {before:.3f}, after plain training {after:.3f}")
claim(reconstruction_error(plain, test) < 0.1 * total, "the over-complete layer reconstructs held-out images almost perfectly")

# %% [markdown]
# The reconstruction is close to perfect. The probe tells a different story: set what training gained beside what the *untrained* layer already had. Training
# moved the weights just as far as copying needs, and copying needs nothing about digits.
#
# Two repairs are known. One keeps the task and restricts the code: a bottleneck, or a penalty that keeps most units silent (sparsity).
# The other, which leads all the way to BERT, keeps the code free and **changes the task**.

# %% [markdown]
# ## 2 · Damage the input, ask for the original
#
# A **denoising autoencoder** (Vincent, Larochelle, Bengio and Manzagol, 2008) is shown $\tilde x$, a corrupted version of $x$, and is scored against the clean $x$:
#
# $$L = \tfrac12 \sum_i \bigl(x_i - r(\tilde x)_i\bigr)^2, \qquad r = \text{decoder} \circ \text{encoder} .$$
#
# The network is the same, and so is the loss. Only its input changes. The library offers three kinds of damage, those of Vincent et al. (2010):
#
# * **Gaussian**: $\tilde x_i = x_i + \sigma \varepsilon_i$ with $\varepsilon_i \sim N(0, 1)$;
# * **masking**: each $\tilde x_i$ is 0 with probability $\nu$, otherwise $x_i$;
# * **salt-and-pepper**: with probability $\nu$, $\tilde x_i$ is 0 or 1, each as likely, otherwise $x_i$.

# %%
few = test.images[:8]  # (8, 1, 28, 28)
kinds = {"gaussian": 0.5, "masking": 0.5, "salt-and-pepper": 0.3}
damaged = [Denoising(noise, level).corrupt(few, Keys.of(0, 8)).clamp(0, 1) for noise, level in kinds.items()]
fig = plots.image_grid([few, *damaged], row_labels=["clean", *(f"{noise}\n{level}" for noise, level in kinds.items())])
plots.show(fig, alt="Eight handwritten digits in four rows: clean; with grey Gaussian noise; with half of the pixels black; "
                    "with scattered black and white pixels. The digits can still be read.")

# %% [markdown] tags=["exercise"]
# **Exercise 03.1 · masking noise from keys (★☆☆, 10 min)**
#
# Write masking noise. `keys.uniform(stream, shape)` gives numbers between 0 and 1 as a tensor (B, \*shape), for the `B` samples that the keys name;
# `stream` is any name for the use you make of them, here `"noise"`. Leave the clean images as they are: the loss still needs them.

# %% tags=["exercise"]
def mask_pixels(images, keys, level):
    """Images (B, C, H, W) with each value set to 0 with probability `level`."""
    ### BEGIN SOLUTION
    chosen = keys.uniform("noise", tuple(images.shape[1:])) < level  # (B, C, H, W)
    return images.masked_fill(chosen, 0.0)
    ### END SOLUTION


mask_pixels = check("03.1", mask_pixels)

# %% [markdown]
# ### The same key, the same noise
#
# Your function drew its random numbers from `keys`, and the grader insisted on it. A key is (seed, epoch, sample id), and the generator is a plain function of
# it: no hidden state, no order of calls. So image 7 gets the same noise in epoch 3 in whichever batch, process or restart it turns up, and another one in epoch 4. Without
# this, a training that was killed and resumed would see other data than one that wasn't, and two evaluations on "the same" noisy images could not be compared.

# %% tags=["NBVAL_CHECK_OUTPUT"]
image_7 = train.images[7:8]
alone = mask_pixels(image_7, Keys.of(0, [7], epoch=3), 0.5)
in_a_batch = mask_pixels(train.images[[2, 7, 5]], Keys.of(0, [2, 7, 5], epoch=3), 0.5)[1:2]
next_epoch = mask_pixels(image_7, Keys.of(0, [7], epoch=4), 0.5)
print("same noise alone and in a batch:", torch.equal(alone, in_a_batch))
print("same noise in the next epoch:   ", torch.equal(alone, next_epoch))

# %% [markdown]
# ### What copying costs now
#
# A copier answers $r(\tilde x) = \tilde x$. Its expected loss is the energy of the noise, pixel by pixel:
#
# $$\text{Gaussian: } \tfrac12 \sum_i \mathbb E[\sigma^2\varepsilon_i^2] = \tfrac12 D\sigma^2, \qquad
# \text{masking: } \tfrac12 \sum_i \nu\, x_i^2, \qquad
# \text{salt-and-pepper: } \tfrac12 \sum_i \nu\, \tfrac{x_i^2 + (1-x_i)^2}{2} .$$
#
# Before you run the next cell: with $\sigma = 0.5$ and $D = 784$, what does the first formula give?

# %%
predict("03.price", ..., unit="expected loss of the copier under Gaussian noise of 0.5")

# %%
x = test.images
energy = 0.5 * x.square().flatten(1).sum(1).mean()
inverse = 0.5 * (1 - x).square().flatten(1).sum(1).mean()
price = {"gaussian": 0.5 * 784 * 0.5**2, "masking": 0.5 * energy, "salt-and-pepper": 0.3 * (energy + inverse) / 2}
reveal("03.price", price["gaussian"])
for noise, level in kinds.items():
    paid = reconstruction_error(lambda clean: Denoising(noise, level).corrupt(clean.cpu(), Keys.of(1, len(clean))), test)
    print(f"{noise:16s} formula {price[noise]:7.2f}   measured {paid:7.2f}")
    claim(abs(paid / price[noise] - 1) < 0.02, f"copying under {noise} noise costs what the formula says")

# %% [markdown]
# So every denoising loss has a line to be read against: **above it, the network does worse than copying; each bit below it is knowledge about the data**, since noise that is
# independent from pixel to pixel can only be told from the image by knowing what images look like.
#
# Here is our over-complete layer under masking noise, from the same random weights as before.

# %%
NOISY = Denoising("masking", 0.5)
denoiser = pretrain(layer, NOISY)


def held_out(model, objective):
    """Mean loss on held-out images."""
    return Trainer(model, objective, test, TrainConfig(batch_size=500)).evaluate(test)["loss"]


print(f"copying {price['masking']:.2f}")
print(f"trained to copy {held_out(plain, NOISY):.2f}   trained to denoise {held_out(denoiser, NOISY):.2f}")
claim(held_out(denoiser, NOISY) < 0.8 * price["masking"], "the denoiser pays clearly less than a copier")

# %%
seen = NOISY.corrupt(few, Keys.of(0, 8))
with torch.no_grad():
    repaired = [model.cpu()(seen).clamp(0, 1) for model in (plain, denoiser)]
fig = plots.image_grid([few, seen, *repaired], row_labels=["clean", "shown", "plain", "denoising"])
plots.show(fig, alt="Eight held-out digits: clean; with half of their pixels black; answered by the plain layer, which keeps the holes; "
                    "answered by the denoising layer, which fills most strokes in.")

# %% [markdown]
# ## 3 · What the best denoiser does
#
# How low can a denoising loss go, with any network and any amount of data? Fix one corrupted input $\tilde x$. Many clean $x$ may have led to
# it, some likely and some not. Let $m(\tilde x) = \mathbb E[x \mid \tilde x]$ be their mean. For any answer $r$, insert $m$:
#
# $$\mathbb E\bigl[\lVert x - r\rVert^2 \,\big|\, \tilde x\bigr] = \mathbb E\bigl[\lVert x - m\rVert^2 \,\big|\, \tilde x\bigr]
# + 2\,\underbrace{\mathbb E\bigl[x - m \,\big|\, \tilde x\bigr]}_{=\,0}{}^{\!\top} (m - r) + \lVert m - r\rVert^2 .$$
#
# The middle term vanishes because $m$ is the mean. The first does not depend on the network. So **the best denoiser is the posterior mean** $m(\tilde x) = \mathbb E[x\mid\tilde x]$,
# and what a network loses beyond it is exactly the squared distance of its answer from $m$.
#
# On images nobody can write $m$ down. On a mixture of Gaussians we can. Ours is a spiral: 60 centres $\mu_k$ in the plane, all
# equally likely, each with a small spread $s$. After Gaussian noise of strength $\sigma$, Bayes' rule gives
#
# $$m(\tilde x) = \sum_k r_k \Bigl(\mu_k + \tfrac{s^2}{s^2+\sigma^2}(\tilde x - \mu_k)\Bigr), \qquad r_k \propto \exp\Bigl(-\tfrac{\lVert \tilde x - \mu_k\rVert^2}{2(s^2+\sigma^2)}\Bigr) :$$
#
# $r_k$ is how probable centre $k$ is, given $\tilde x$; the bracket is the best guess if it was centre $k$.

# %%
angle = torch.linspace(0.5, 3.2, 60, dtype=torch.float64) * torch.pi
centres = torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1) / 6  # (60, 2)
s, sigma = 0.05, 0.25


def posterior_mean(noisy, sigma):
    """E[x | noisy] for the spiral under Gaussian noise; (N, 2) to (N, 2)."""
    away = noisy[:, None] - centres  # (N, 60, 2)
    variance = s**2 + sigma**2
    r = torch.softmax(-away.square().sum(-1) / (2 * variance), dim=1)  # (N, 60)
    return (r[..., None] * (centres + s**2 / variance * away)).sum(1)


def draw(n, seed):
    """n clean points of the spiral and n standard normal pairs to make noise of."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(60, (n,), generator=generator)
    noise = torch.randn(2, n, 2, generator=generator, dtype=torch.float64)
    return centres[which] + s * noise[0], noise[1]


# %% [markdown]
# Now the identity above is put to the test with three answers other than $m$: copying, the nearest centre, and half-way to the origin. The loss of each should be that of $m$ plus half its squared distance from $m$.

# %%
clean, noise = draw(100_000, seed=0)
noisy = clean + sigma * noise
m = posterior_mean(noisy, sigma)
half = lambda difference: 0.5 * difference.square().sum(1).mean().item()
answers = {"copy": noisy, "nearest centre": centres[torch.cdist(noisy, centres).argmin(1)], "half-way to 0": noisy / 2}
best = half(clean - m)
print(f"posterior mean: {best:.5f}; copying should cost ½·2·σ² = {sigma**2:.5f}")
for name, r in answers.items():
    print(f"{name:15s} loss {half(clean - r):.5f}   posterior mean's + distance {best + half(m - r):.5f}")
    claim(abs(half(clean - r) / (best + half(m - r)) - 1) < 0.02, f"{name}: loss = best loss + half the squared distance to the best")

# %% [markdown] tags=["exercise"]
# **Exercise 03.2 · two points (★★☆, 15 min)**
#
# The smallest world with something to know: $x$ is $+a$ with probability $p$ and $-a$ otherwise, and you see $\tilde x = x + \sigma\varepsilon$. Write the best denoiser. Hint: weigh each point
# with prior × density of $\tilde x$ given that point, and divide by the sum of the weights. (With some algebra it becomes a $\tanh$.)

# %% tags=["exercise"]
def best_guess(noisy, a, sigma, p):
    """E[x | noisy] for x = ±a, +a with probability p; noisy is a tensor (N,)."""
    ### BEGIN SOLUTION
    plus = p * torch.exp(-((noisy - a) ** 2) / (2 * sigma**2))
    minus = (1 - p) * torch.exp(-((noisy + a) ** 2) / (2 * sigma**2))
    return a * (plus - minus) / (plus + minus)
    ### END SOLUTION


best_guess = check("03.2", best_guess)

# %%
grid = torch.linspace(-3, 3, 200, dtype=torch.float64)
fig, ax = plots.figure(width=6, height=3)
for strength, colour, place in [(0.3, plots.BLUE, 60), (0.8, plots.ORANGE, 0), (2.0, plots.GREEN, -6)]:
    guess = best_guess(grid, 1.0, strength, 0.5)
    ax.plot(grid, guess, color=colour)
    plots.label_line(ax, grid, guess, f"σ = {strength}", colour, dy=6 if strength < 0.5 else -6)
ax.plot(grid, grid.clamp(-1.6, 1.6), color=plots.GREY, ls="--", lw=1)
ax.set(xlabel="corrupted input x̃", ylabel="best answer", ylim=(-1.3, 1.3))
plots.show(fig, alt="The best denoiser of two points at plus and minus 1: a steep step for little noise, a gentle S for much; "
                    "copying, dashed, is a straight line.")

# %% [markdown]
# With little noise the best answer snaps to the nearer point. With much it hedges towards the middle, which is why denoisers, and masked autoencoders later on, give
# *blurred* answers where they cannot know: a blur is the mean over the possible. It is the right answer to a squared error, not a weakness of the network.
#
# ### A denoiser knows the slope of the density
#
# Write $p_\sigma$ for the density of corrupted points, $p_\sigma(\tilde x) = \int p(x)\, N(\tilde x;\, x, \sigma^2 I)\, dx$, and differentiate under the integral:
#
# $$\nabla p_\sigma(\tilde x) = \int p(x)\, N(\tilde x;\, x, \sigma^2 I)\, \frac{x - \tilde x}{\sigma^2}\, dx
# = \frac{p_\sigma(\tilde x)}{\sigma^2} \bigl(\mathbb E[x\mid\tilde x] - \tilde x\bigr) .$$
#
# Divide by $p_\sigma$, and the step that the best denoiser takes is a gradient:
#
# $$\boxed{\;m(\tilde x) - \tilde x = \sigma^2\, \nabla \log p_\sigma(\tilde x)\;}$$
#
# It goes uphill, to where data are dense. The identity is exact for every $\sigma$ and is known as Tweedie's formula (Robbins 1956; Miyasawa 1961). Autograd can check it, since $p_\sigma$ of the spiral is the spiral
# with the larger spread $\sqrt{s^2 + \sigma^2}$.

# %%
def slope(x, spread):
    """∇ log p of the mixture with that spread around its centres; (N, 2)."""
    x = x.detach().requires_grad_()
    log_p = torch.logsumexp(-torch.cdist(x, centres).square() / (2 * spread**2), dim=1)  # up to a constant
    return torch.autograd.grad(log_p.sum(), x)[0]


some = noisy[:1000]
step = posterior_mean(some, sigma) - some
tweedie = sigma**2 * slope(some, math.sqrt(s**2 + sigma**2))
claim((step - tweedie).abs().max() < 1e-8, "the posterior mean's step is σ²∇log p_σ, to 1e-8")

# %% [markdown]
# Alain and Bengio (2014) ask what a denoiser says about the *clean* density $p$, and find $\bigl(r(x) - x\bigr)/\sigma^2 \to \nabla \log p(x)$ as $\sigma \to 0$. From the box
# this is plain: $p_\sigma \to p$. How fast? Halve $\sigma$ and watch the relative error.

# %%
points, _ = draw(2000, seed=1)
truth = slope(points, s)
errors = []
for small in (0.04, 0.02, 0.01, 0.005):
    estimate = (posterior_mean(points, small) - points) / small**2
    errors.append(((estimate - truth).norm() / truth.norm()).item())
    print(f"σ = {small:<6} relative error {errors[-1]:.4f}")
claim(3.5 < errors[-2] / errors[-1] < 4.5, "halving σ divides the error by about 4: it shrinks like σ²")

# %% [markdown]
# ### Does a trained network find it?
#
# Nobody tells a network the centres. It gets corrupted points and clean ones, through the same `Denoising` and the same `Trainer` that images go through. Its code
# has 64 units for points of 2 numbers: over-complete, 32 times over.

# %%
cloud = Columns(points=draw(4000, seed=2)[0].float())
torch.manual_seed(0)
mlp = Autoencoder(AutoencoderConfig(input_shape=(2,), hidden_sizes=(64,), code_size=64, code_activation="gelu", overcomplete=True))
config = TrainConfig(steps=dial(smoke=100, laptop=2000), batch_size=256, learning_rate=3e-3)
Trainer(mlp, Denoising("gaussian", sigma, column="points"), cloud, config).fit()
with torch.no_grad():
    learned = mlp.cpu()(noisy.float()).double()
print(f"copying {half(clean - noisy):.5f}   network {half(clean - learned):.5f}   posterior mean {best:.5f}")
claim(half(clean - learned) < 1.05 * best, "the network is within 5 % of the best that any denoiser can do")

# %%
side = torch.linspace(-1.9, 1.9, 20, dtype=torch.float64)
places = torch.cartesian_prod(side, side)  # (400, 2)
with torch.no_grad():
    steps = {"posterior mean": posterior_mean(places, sigma) - places, "trained network": mlp(places.float()).double() - places}
fig, axes = plots.figure(columns=2, width=9, height=4.4)
for ax, (name, arrows) in zip(axes, steps.items()):
    ax.plot(*points[:800].T, ".", color=plots.SKY, markersize=2)
    ax.quiver(*places.T, *arrows.T, angles="xy", scale_units="xy", scale=1, width=0.003, color=plots.BLACK)
    ax.set(title=f"step of the {name}", xlabel="x₁", ylabel="x₂", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
plots.show(fig, alt="Two arrow fields over a spiral of points. In both, arrows point from everywhere to the nearest arm of the spiral; "
                    "far outside the spiral the trained network's arrows differ a little from the exact ones.")

# %% [markdown]
# There it is, the answer to the opening question. A copier's field has no arrows at all. The denoiser's field had to learn **where the data lie**, and no bottleneck forced it: compression is one way to make
# an autoencoder learn, it isn't a necessary one. The article's "compressed representation" should read: *a representation from which the data can be told from what is not data*.
#
# ### The linear case, once more
#
# Chapter 02 could prove everything about linear networks. Denoising can be proved there, too. With $r(\tilde x) = W\tilde x$, centred data of covariance $S$, and Gaussian noise, the cross terms average to zero:
#
# $$\mathbb E\,\tfrac12\lVert x - W(x + \sigma\varepsilon)\rVert^2 = \tfrac12 \operatorname{tr}\bigl((I - W)\,S\,(I - W)^\top\bigr) + \tfrac12 \sigma^2 \operatorname{tr}(W W^\top) .$$
#
# The noise has become an L2 penalty on $W$: this is the simplest case of Bishop's (1995) result that training with noise is Tikhonov regularisation, there to second order in $\sigma$, here exactly. Set the gradient to zero:
#
# $$(W - I)\,S + \sigma^2 W = 0 \quad\Longrightarrow\quad W = S\,(S + \sigma^2 I)^{-1} .$$
#
# This $W$ has the eigenvectors of $S$, and along the $i$-th it keeps the share $\lambda_i/(\lambda_i + \sigma^2)$ of the signal: almost all where the data vary more than the noise, almost nothing where less.

# %%
images = train.images.flatten(1).double()
basis = pca(images)
S = basis.components @ basis.eigenvalues.diag() @ basis.components.T  # (784, 784)
W = torch.linalg.solve(S + 0.5**2 * torch.eye(784), S)  # equals S (S + σ²I)⁻¹: the two factors commute
W_leaf = W.clone().requires_grad_()
rest = torch.eye(784) - W_leaf
loss = 0.5 * torch.trace(rest @ S @ rest.T) + 0.5 * 0.5**2 * W_leaf.square().sum()
claim(torch.autograd.grad(loss, W_leaf)[0].abs().max() < 1e-8, "the gradient vanishes at W = S (S + σ²I)⁻¹")
centred = images - basis.mean
shown = centred + 0.5 * Keys.of(0, len(images)).normal("noise", (784,))
print(f"formula {loss.item():.3f}   measured with fresh noise {half(centred - shown @ W.T):.3f}   copying {0.5 * 784 * 0.25:.1f}")
claim(abs(half(centred - shown @ W.T) / loss.item() - 1) < 0.01, "the formula is what noise costs")

# %%
kept = basis.eigenvalues / (basis.eigenvalues + 0.5**2)
print(f"of 784 directions, {(kept > 0.5).sum()} keep more than half of their signal; the shares sum to {kept.sum():.1f}")

# %% [markdown]
# So noise acts as a **soft bottleneck**: a full $784 \times 784$ matrix, free to be the identity, that uses the equivalent of a few dozen directions, the very principal components of chapter 02. Nobody chose a code size. The noise did.

# %% [markdown]
# ## 4 · What it learns, seen
#
# Each of the 1 000 units has 784 incoming weights, one a pixel, so they can be looked at as an image: the **filter** of the unit. Here are the
# first 16 units of three layers that started from the same random weights, none picked. Grey is 0, white positive, black negative, each filter scaled to its largest weight.

# %%
def filters(model, n=16):
    """Incoming weights of the first n units as images, (n, 28, 28), with 0 at mid-grey."""
    weights = model.encoder[0].weight[:n].detach().cpu()  # (n, 784)
    return (0.5 + 0.5 * weights / weights.abs().amax(1, keepdim=True)).reshape(-1, 28, 28)


fig = plots.image_grid([filters(m) for m in (untrained, plain, denoiser)], row_labels=["untrained", "plain", "denoising"], scale=0.55)
plots.show(fig, alt="Sixteen filters in three rows. Untrained: noise. Plain: still mostly noise. Denoising: smooth blobs and strokes.")

# %% [markdown]
# Plain training left the filters looking much like the noise they started from: random directions suffice to copy. To repair, a unit must combine neighbouring pixels, because
# a lost pixel is guessed from those around it. Vincent et al. show the same in their Figure 3 (2008), with filters growing larger as the noise does.
#
# A number for what the eye sees: how alike are the weights of neighbouring pixels?

# %%
def smoothness(model):
    """Correlation between each weight and its right-hand neighbour, over all filters."""
    w = model.encoder[0].weight.detach().cpu().reshape(-1, 28, 28)[:, 4:24, 4:24]  # the margin never holds ink
    return torch.corrcoef(torch.stack([w[..., :-1].flatten(), w[..., 1:].flatten()]))[0, 1].item()


smooth = {name: smoothness(m) for name, m in [("untrained", untrained), ("plain", plain), ("denoising", denoiser)]}
print({name: round(value, 2) for name, value in smooth.items()})
claim(smooth["denoising"] > smooth["plain"] + 0.1, "filters of the denoising layer are smoother than those of the plain layer")

# %% [markdown] tags=["exercise"]
# **Exercise 03.3 · read three logs (★★☆, 10 min)**
#
# Three colleagues send the ends of their logs (invented, but typical). Losses are ½Σ(x−y)² over 784 pixels; "hidden pixels" is scaled up to 784, so that it compares. Name each condition:
#
# * `"copying"`: the task can be solved without knowing the data;
# * `"over-fitting"`: what was learned holds for the training images only;
# * `"visible pixels"`: a masked autoencoder whose loss also counts the pixels that it could see.

# %% tags=["exercise"]
for name, log in printed_logs().items():
    print(name, "  ".join(f"{what.strip()}: {value}" for what, value in log.items()), sep="   ")

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {"A": "visible pixels", "B": "copying", "C": "over-fitting"}
### END SOLUTION
diagnosis = check("03.3", diagnosis)

# %% [markdown]
# ## 5 · Convolution: say it once, use it everywhere
#
# A fully connected layer learns a stroke in the upper left and the same stroke in the lower right as two unrelated things. A **convolution** has one small set of weights, a *kernel*, and
# lays it over every place of the image:
#
# $$y_{o,i,j} = b_o + \sum_{c}\sum_{u,v} w_{o,c,u,v}\; x_{c,\; i\cdot t + u,\; j\cdot t + v},$$
#
# for output channel $o$, place $(i, j)$, input channels $c$, offsets $u, v$ within the kernel, and stride $t$, by which the kernel moves on. With $t = 2$ the map has half the side of the image. Before you look: a $3\times 3$ convolution from 1 channel to 16, stride 2, turns $28\times 28$ pixels
# into $16 \times 14 \times 14$ numbers. How many weights has it, biases included? And a fully connected layer between the same sizes?

# %%
predict("03.weights", ..., unit="times fewer parameters")

# %% tags=["NBVAL_CHECK_OUTPUT"]
conv = nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1)
count = lambda module: sum(p.numel() for p in module.parameters())
maps = conv(few)
by_hand = 16 * (1 * 3 * 3) + 16
full = 784 * maps[0].numel() + maps[0].numel()
print(tuple(few.shape), "->", tuple(maps.shape))
print("convolution:", count(conv), "parameters, by hand", by_hand, "; fully connected:", full)
reveal("03.weights", full // by_hand)

# %% [markdown]
# Sharing weights has a consequence that is worth more than the savings: **shift the image, and the map shifts along.** With stride 2 a shift by 2 pixels becomes a shift by 1 place. What a kernel
# learned about a stroke here, it knows there.

# %%
moved = torch.roll(few, shifts=2, dims=-1)  # two pixels to the right; the margin is black
with torch.no_grad():
    difference = conv(moved)[..., 2:-1] - conv(few)[..., 1:-2]
claim(difference.abs().max() < 1e-6, "shifting the input by the stride shifts the output by one place")

# %% [markdown]
# ## 6 · Masked autoencoders
#
# Single lost pixels are easy to guess from their neighbours. Make the holes larger: cut the image into **patches** and hide whole patches. Then a neighbour no longer
# helps, and the model has to know how digits go on. He et al. (2022) hide 75 % of the patches of photographs and train a vision transformer this way. Ours is a convolutional network, small enough for a laptop, with three ingredients of its own: a patch mask, a mask
# channel, and a loss on hidden pixels only.
#
# ### The patch mask

# %% [markdown] tags=["exercise"]
# **Exercise 03.4 · hide patches (★★☆, 10 min)**
#
# Write the mask: 1 where hidden, 0 where visible, for square images of `size` pixels cut into patches of `patch` × `patch`. In every image exactly `round(ratio * patches)` patches are hidden.
# `keys.permutation("mask", n)` gives a random order of $0, \dots, n-1$ for each sample, as a tensor (B, n).

# %% tags=["exercise"]
def hide_patches(keys, size, patch, ratio):
    """A mask (B, 1, size, size) of whole patches, 1 where hidden."""
    ### BEGIN SOLUTION
    rows = size // patch
    rank = keys.permutation("mask", rows * rows)  # (B, patches)
    hidden = (rank < round(ratio * rows * rows)).float()
    grid = hidden.reshape(len(keys), 1, rows, rows)
    return grid.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    ### END SOLUTION


hide_patches = check("03.4", hide_patches)

# %%
ratios = (0.1, 0.5, 0.75, 0.9)
masks = [hide_patches(Keys.of(0, 8), 28, 7, ratio) for ratio in ratios]
fig = plots.image_grid([few, *(few * (1 - mask) + 0.5 * mask for mask in masks)], row_labels=["clean", *(f"{r:.0%} hidden" for r in ratios)])
plots.show(fig, alt="Eight digits with 10, 50, 75 and 90 per cent of their 7 by 7 pixel patches hidden behind grey squares. "
                    "At 90 per cent two of sixteen patches are left.")

# %% [markdown]
# Why an exact number and not a coin for each patch? It makes the task equally hard for every image, and, once patches are tokens of a transformer, gives all samples of a batch the same length.
#
# ### The mask channel
#
# Hidden pixels are set to 0. But 0 is also black, and most of a digit's image is black. Without help, "there is nothing here" and "you may not look here" are the same input. So the mask goes in as one more channel.

# %%
def network(seed):
    """A small masked autoencoder: 28 × 28 pixels to 32 features at 7 × 7 places, averaged over 3 × 3 for probes."""
    torch.manual_seed(seed)
    return MaskedAutoencoder(MaskedAutoencoderConfig(channels=(16, 32), num_blocks=1, pool_size=3))


model = network(0)
image, corner = few[:1], torch.zeros(1, 1, 28, 28)
corner[..., :4, :4] = 1  # hides 16 pixels that are black anyway
with torch.no_grad():
    print("pixels differ:", not torch.equal(image, image * (1 - corner)))
    print("features differ:", not torch.equal(model.feature_map(image), model.feature_map(image, corner)))

# %% [markdown]
# ### The loss: hidden pixels only
#
# A visible pixel can be copied. If it counts, the model is paid for copying again, the very thing that this chapter set out to make worthless.

# %% [markdown] tags=["exercise"]
# **Exercise 03.5 · count what was hidden (★★☆, 10 min)**
#
# Write the mean of $\tfrac12 (x - y)^2$ over the hidden pixels of the batch. The images have `C` channels, the mask one. Images may hide different numbers of pixels; each hidden pixel counts the same.

# %% tags=["exercise"]
def masked_loss(prediction, target, mask):
    """Mean loss over hidden pixels; prediction and target (B, C, H, W), mask (B, 1, H, W), 1 where hidden."""
    ### BEGIN SOLUTION
    squared = 0.5 * (target - prediction) ** 2 * mask  # (B, C, H, W)
    return squared.sum() / (mask.sum() * target.shape[1])
    ### END SOLUTION


masked_loss = check("03.5", masked_loss)

# %% [markdown]
# What happens if visible pixels are counted? Take an answer that understands nothing: it copies what it sees, and fills each hole with the mean image. Let $\ell$ be its mean loss on a hidden pixel. Visible pixels
# cost it nothing, so over *all* pixels its loss is $\rho\,\ell$, where $\rho$ is the masking ratio. Hide little, and it looks brilliant.

# %%
mean_image = train.images.mean(0)  # (1, 28, 28)
print("ratio   hidden pixels only   all pixels   quotient")
for ratio, mask in ((r, hide_patches(Keys.of(0, len(test)), 28, 7, r)) for r in ratios):
    lazy = torch.where(mask == 1, mean_image, test.images)
    hidden_only, everything = masked_loss(lazy, test.images, mask), masked_loss(lazy, test.images, torch.ones_like(mask))
    print(f"{ratio:5.2f} {hidden_only:17.4f} {everything:14.4f} {everything / hidden_only:10.4f}")
    claim(abs(everything / hidden_only - mask.mean()) < 1e-4, f"counting visible pixels flatters by the factor {mask.mean():.3f}")

# %% [markdown]
# To be fair to the other side: He et al. found that counting all pixels costs them only about half a per cent of accuracy (their section 3, a footnote), and
# Vincent et al. (2010, section 3.4) proposed something in between, a heavier weight on corrupted values. The loss on hidden pixels is first of all the honest *number*: it can be compared between ratios, and it cannot fall by copying.
#
# ### Training one
#
# `MaskedImage` is the objective with those parts: it draws the mask from keys, hides, and sums the loss over hidden pixels, with their count beside it.

# %%
HIDING = MaskedImage(ratio=0.75, patch=7)
masked = pretrain(network, HIDING).cpu()
mask = hide_patches(Keys.of(0, len(test)), 28, 7, 0.75)
with torch.no_grad():
    filled = masked(test.images * (1 - mask), mask)
lazy = masked_loss(mean_image.expand_as(test.images), test.images, mask)
ours = masked_loss(filled, test.images, mask)
print(f"held-out loss a hidden pixel: mean image {lazy:.4f}, model {ours:.4f}")
claim(ours < 0.85 * lazy, "with 3 of 4 patches hidden, the model predicts better than the mean image")

# %%
def fill(images, ratio):
    """What is shown at a masking ratio (hidden in grey), and the holes filled by the model."""
    mask = hide_patches(Keys.of(0, len(images)), 28, 7, ratio)
    with torch.no_grad():
        answer = masked(images * (1 - mask), mask).clamp(0, 1)
    return images * (1 - mask) + 0.5 * mask, images * (1 - mask) + answer * mask


rows = [few] + [row for ratio in (0.25, 0.5, 0.75, 0.9) for row in fill(few, ratio)]
labels = ["clean"] + [label for ratio in ("25 %", "50 %", "75 %", "90 %") for label in (f"{ratio} hidden", "filled in")]
fig = plots.image_grid(rows, row_labels=labels, scale=0.65)
plots.show(fig, alt="Eight held-out digits with 25 to 90 per cent of the patches hidden and filled in by one model. At 25 per cent the strokes are "
                    "continued sensibly, at 75 per cent the answers are vague, at 90 per cent they are a grey blur.")

# %% [markdown]
# One model, trained at 75 %, used at four ratios. Where neighbouring patches leave one way to go on, it draws a stroke; where several are possible it answers with their mean, the blur of section 3. A few hundred steps
# on 4 000 digits don't make a painter. What matters is whether the *encoder* is of use, and that we measure next.

# %% [markdown]
# ## 7 · What has each of them learned?
#
# Now the claim of this chapter, with its controls. Six networks and the raw pixels, one probe, the same tuning for all, three seeds; a seed decides initial weights, order of data, noise, and which labelled images the probe may see.

# %% [markdown] tags=["exercise"]
# **Exercise 03.6 · which controls? (★★☆, 10 min)**
#
# Someone claims: *"Hiding patches during pretraining makes the features of this network useful for classification."* They show one probe accuracy. Which of the following does the claim need? Answer with a set of letters, and leave
# out what would not help, or harm.

# %% tags=["exercise"]
for letter, text in CHOICES.items():
    print(f"{letter}: {text}")

# %% tags=["exercise"]
### BEGIN SOLUTION
controls = {"a", "b", "c", "d"}
### END SOLUTION
controls = check("03.6", controls)

# %%
predict("03.order", ..., unit="(your order of the seven, best first, as a string)")

# %%
SEEDS = dial(smoke=(0,), laptop=(0, 1, 2))
arms = {
    "raw pixels": lambda seed: None,
    "dense, untrained": layer,
    "dense, plain": lambda seed: pretrain(layer, PLAIN, seed),
    "dense, denoising": lambda seed: pretrain(layer, NOISY, seed),
    "convolutional, untrained": network,
    "convolutional, plain": lambda seed: pretrain(network, PLAIN, seed),
    "convolutional, masked": lambda seed: pretrain(network, HIDING, seed),
}
probed = {name: [probe(model(seed), seed) for seed in SEEDS] for name, model in arms.items()}
average = {name: sum(runs) / len(runs) for name, runs in probed.items()}
reveal("03.order", ", ".join(sorted(average, key=average.get, reverse=True)))

# %%
fig, ax = plots.figure(width=8, height=3.4)
colours = [plots.GREY, plots.SKY, plots.SKY, plots.BLUE, plots.ORANGE, plots.ORANGE, plots.RED]
plots.bars(ax, list(probed), list(probed.values()), colours)
ax.set(xlabel=f"test accuracy of a linear probe, {PER_CLASS} labels a class", xlim=(min(min(r) for r in probed.values()) - 0.05, 1.0))
plots.show(fig, alt="Test accuracy of linear probes on seven inputs, a bar each with a dot a seed: raw pixels; the dense layer untrained, "
                    "plain and denoising; the convolutional network untrained, plain and masked.")
claim(min(d - p for d, p in zip(probed["dense, denoising"], probed["dense, plain"])) > 0, "denoising beats plain reconstruction in every seed, same layer, same start")
claim(min(m - u for m, u in zip(probed["convolutional, masked"], probed["convolutional, untrained"])) > 0, "masked pretraining beats the untrained network in every seed")
