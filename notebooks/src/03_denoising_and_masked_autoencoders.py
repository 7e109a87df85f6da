# %% [markdown]
# # 03 · Denoising and masked autoencoders
#
# Chapter 02 kept the code small, so that the autoencoder had to leave something out. This chapter takes the
# bottleneck away. First we watch what goes wrong: a network with room to copy copies. Then we damage the input and
# ask for the undamaged one. Copying now has a price, the price can be computed, and paying less than that price takes
# knowledge about the data. That idea, *damage and repair*, is the pretext task behind BERT (chapter 07) and behind
# the image models of chapter 14.
#
# **You will be able to**
#
# 1. build a code that is larger than its input and reconstructs perfectly without any learning, and say why this is
#    no success;
# 2. corrupt images by Gaussian, masking and salt-and-pepper noise, the same way in every run, and compute what
#    copying costs under each;
# 3. derive the best possible denoiser, the posterior mean, and its link to the gradient of the log-density;
# 4. hide patches of an image, and score a model on what it could not see;
# 5. design the controls that a claim about pretrained features needs, and read a masking-ratio curve.
#
# **You need** chapters 00 to 02: gradients, principal components, `Trainer`, probes.
#
# **Time** about 2 hours of reading and exercises. Computing takes about a minute and a half on a laptop, less on a
# GPU.

# %% tags=["setup"]
import math
from functools import lru_cache

import torch
from torch import nn

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
# The article that this course starts from says what an autoencoder does in one line: it "learns a compressed
# representation" of images (its sections 1.2 and 3.2). Let us give it a code that is *not* compressed:
# **over-complete**, with more units than the image has pixels. Does it still learn anything?
#
# Here is such a code, written down by hand. With $\operatorname{relu}(u) = \max(u, 0)$, every number is the
# difference of its positive and its negative part:
#
# $$x = \operatorname{relu}(x) - \operatorname{relu}(-x) .$$
#
# Read this as a network: encoder weights $\begin{bmatrix} I \\ -I \end{bmatrix}$, rectified, then decoder weights
# $[\,I \;\; {-I}\,]$, which are the encoder's transposed. It has twice as many units as inputs, and nothing in it has
# ever seen an image.

# %% tags=["NBVAL_CHECK_OUTPUT"]
def over_complete(units):
    """An image of 784 pixels to that many rectified units, and back with the transposed weights."""
    sizes = AutoencoderConfig(hidden_sizes=(), code_size=units, code_activation="relu", tied_weights=True,
                              overcomplete=True)  # the library refuses a code larger than its input unless asked
    return Autoencoder(sizes)


def identity_network(pixels=784):
    """An over-complete autoencoder that copies, by construction."""
    model = over_complete(2 * pixels)
    with torch.no_grad():
        model.encoder[0].weight.copy_(torch.cat([torch.eye(pixels), -torch.eye(pixels)]))
        model.encoder[0].bias.zero_()
    return model


copier = identity_network()
print("code of", copier.encode(test.images[:1]).shape[1], "numbers for an image of", test.images[0].numel())
print("held-out reconstruction error:", reconstruction_error(copier, test))

# %% [markdown]
# A perfect score, on images it was never shown, by a network that was never trained. By the only measure chapter 02
# used, it beats every autoencoder there, the whole line of Figure 2.5 included. So what is its code good for? The
# **probe** of chapter 00 answers: a linear classifier on the frozen code, with its regularisation chosen on the
# labelled images alone.

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
# Of course: its code *is* the raw pixels, and what little difference there is comes from fitting the probe. **A low
# reconstruction error proves nothing about a representation.** In chapter 02 it seemed to, because the bottleneck
# made copying impossible; it was the bottleneck that did the work.
#
# One may hope that gradient descent, starting from random weights, finds something nobler than the identity. We look.
# `layer` builds one hidden layer of 1 000 rectified units for 784 pixels; `pretrain` trains a network on an
# objective. Every network that this chapter trains on images goes through it.

# %%
STEPS = dial(smoke=15, laptop=300, gpu=2000)


def layer(seed):
    """One over-complete layer from the random start that the seed names."""
    torch.manual_seed(seed)
    return over_complete(1000)


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
claim(reconstruction_error(plain, test) < 0.1 * total, "the layer reconstructs held-out images almost perfectly")

# %% [markdown]
# The reconstruction is close to perfect. The probe tells a different story: set what training gained beside what the
# *untrained* layer already had. Training moved the weights just as far as copying needs, and copying needs nothing
# about digits.
#
# Two repairs are known. One keeps the task and restricts the code: a bottleneck, or a penalty that keeps most units
# silent (sparsity). The other, which leads all the way to BERT, keeps the code free and **changes the task**.

# %% [markdown]
# ## 2 · Damage the input, ask for the original
#
# A **denoising autoencoder** (Vincent, Larochelle, Bengio and Manzagol, 2008) is shown $\tilde x$, a corrupted
# version of $x$, and is scored against the clean $x$:
#
# $$L = \tfrac12 \sum_i \bigl(x_i - r(\tilde x)_i\bigr)^2, \qquad r = \text{decoder} \circ \text{encoder} .$$
#
# The network is the same, and so is the loss. Only its input changes. The library offers three kinds of damage, those
# of Vincent et al. (2010):
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
# Write masking noise. `keys.uniform(stream, shape)` gives numbers between 0 and 1 as a tensor (B, \*shape), for the
# `B` samples that the keys name; `stream` is any name for the use you make of them, here `"noise"`. Leave the clean
# images as they are: the loss still needs them.

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
# Your function drew its random numbers from `keys`, and the grader insisted on it. A key is (seed, epoch, sample id),
# and the generator is a plain function of it: no hidden state, no order of calls. So image 7 gets the same noise in
# epoch 3 in whichever batch, process or restart it turns up, and another one in epoch 4. Without this, a training
# that was killed and resumed would see other data than one that wasn't, and two evaluations on "the same" noisy
# images could not be compared.

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
    copies = Denoising(noise, level).corrupt(x, Keys.of(1, len(x)))
    paid = 0.5 * (x - copies).square().flatten(1).sum(1).mean()
    print(f"{noise:16s} formula {price[noise]:7.2f}   measured {paid:7.2f}")
    claim(abs(paid / price[noise] - 1) < 0.02, f"copying under {noise} noise costs what the formula says")

# %% [markdown]
# So every denoising loss has a line to be read against: **above it, the network does worse than copying; each bit
# below it is knowledge about the data**, since noise that is independent from pixel to pixel can only be told from
# the image by knowing what images look like.
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
plots.show(fig, alt="Eight held-out digits: clean; with half of their pixels black; answered by the plain layer, which "
                    "keeps the holes; answered by the denoising layer, which fills most strokes in.")

# %% [markdown]
# One number may surprise you: the layer that was trained to copy pays less than a copier, too. Probably that is because
# it is no perfect one: it was fitted to clean digits only, so it reproduces holes less faithfully than strokes, and
# that happens to be a small repair. Being asked to repair gains more.
#
# ## 3 · What the best denoiser does
#
# How low can a denoising loss go, with any network and any amount of data? Fix one corrupted input $\tilde x$. Many
# clean $x$ may have led to it, some likely and some not. Let $m(\tilde x) = \mathbb E[x \mid \tilde x]$ be their
# mean. For any answer $r$, insert $m$:
#
# $$\mathbb E\bigl[\lVert x - r\rVert^2 \,\big|\, \tilde x\bigr] = \mathbb E\bigl[\lVert x - m\rVert^2 \,\big|\, \tilde x\bigr]
# + 2\,\underbrace{\mathbb E\bigl[x - m \,\big|\, \tilde x\bigr]}_{=\,0}{}^{\!\top} (m - r) + \lVert m - r\rVert^2 .$$
#
# The middle term vanishes because $m$ is the mean. The first does not depend on the network. So **the best denoiser
# is the posterior mean** $m(\tilde x) = \mathbb E[x\mid\tilde x]$, and what a network loses beyond it is exactly the
# squared distance of its answer from $m$.
#
# On images nobody can write $m$ down. On a mixture of Gaussians we can. Ours is a spiral: 60 centres $\mu_k$ in the
# plane, all equally likely, each with a small spread $s$. After Gaussian noise of strength $\sigma$, Bayes' rule
# gives
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
# Now the identity above is put to the test with three answers other than $m$: copying, the nearest centre, and
# half-way to the origin. The loss of each should be that of $m$ plus half its squared distance from $m$.

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
    claim(abs(half(clean - r) / (best + half(m - r)) - 1) < 0.02, f"{name}: best loss + half the squared distance to the best")

# %% [markdown] tags=["exercise"]
# **Exercise 03.2 · two points (★★☆, 15 min)**
#
# The smallest world with something to know: $x$ is $+a$ with probability $p$ and $-a$ otherwise, and you see $\tilde
# x = x + \sigma\varepsilon$. Write the best denoiser. Hint: weigh each point with prior × density of $\tilde x$ given
# that point, and divide by the sum of the weights. (With some algebra it becomes a $\tanh$.)

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
                    "copying, dashed, is a straight line.", number="3.3")

# %% [markdown]
# In Figure 3.3, with little noise, the best answer snaps to the nearer point. With much it hedges towards the middle,
# which is why denoisers, and masked autoencoders later on, give *blurred* answers where they cannot know: a blur is
# the mean over the possible. It is the right answer to a squared error, not a weakness of the network.
#
# ### A denoiser knows the slope of the density
#
# Write $p_\sigma$ for the density of corrupted points, $p_\sigma(\tilde x) = \int p(x)\, N(\tilde x;\, x, \sigma^2
# I)\, dx$, and differentiate under the integral:
#
# $$\nabla p_\sigma(\tilde x) = \int p(x)\, N(\tilde x;\, x, \sigma^2 I)\, \frac{x - \tilde x}{\sigma^2}\, dx
# = \frac{p_\sigma(\tilde x)}{\sigma^2} \bigl(\mathbb E[x\mid\tilde x] - \tilde x\bigr) .$$
#
# Divide by $p_\sigma$, and the step that the best denoiser takes is a gradient:
#
# $$\boxed{\;m(\tilde x) - \tilde x = \sigma^2\, \nabla \log p_\sigma(\tilde x)\;}$$
#
# It goes uphill, to where data are dense. The identity is exact for every $\sigma$ and is known as Tweedie's formula
# (Robbins 1956; Miyasawa 1961). Autograd can check it, since $p_\sigma$ of the spiral is the spiral with the larger
# spread $\sqrt{s^2 + \sigma^2}$.

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
# Alain and Bengio (2014) ask what a denoiser says about the *clean* density $p$, and find $\bigl(r(x) -
# x\bigr)/\sigma^2 \to \nabla \log p(x)$ as $\sigma \to 0$. From the box this is plain: $p_\sigma \to p$. How fast?
# Halve $\sigma$ and watch the relative error.

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
# Nobody tells a network the centres. It gets corrupted points and clean ones, through the same `Denoising` and the
# same `Trainer` that images go through. Its code has 64 units for points of 2 numbers: over-complete, 32 times over.

# %%
cloud = Columns(points=draw(4000, seed=2)[0].float())
torch.manual_seed(0)
mlp = Autoencoder(AutoencoderConfig(input_shape=(2,), hidden_sizes=(64,), code_size=64, code_activation="gelu",
                                    overcomplete=True))
config = TrainConfig(steps=dial(smoke=100, laptop=2000), batch_size=256, learning_rate=3e-3)
Trainer(mlp, Denoising("gaussian", sigma, column="points"), cloud, config).fit()
with torch.no_grad():
    learned = mlp.cpu()(noisy.float()).double()
print(f"copying {half(clean - noisy):.5f}   network {half(clean - learned):.5f}   posterior mean {best:.5f}")
claim(half(clean - learned) < 1.05 * best, "the network is within 5 % of the best that any denoiser can do")

# %%
side = torch.linspace(-2, 2, 25, dtype=torch.float64)
places = torch.cartesian_prod(side, side)
places = places[torch.cdist(places, centres).amin(1) < 3 * sigma]  # where noise can carry a point
with torch.no_grad():
    answers = {"posterior mean": posterior_mean(places, sigma), "trained network": mlp(places.float()).double()}
fig, axes = plots.figure(columns=2, width=9, height=4.4)
for ax, (name, answer) in zip(axes, answers.items()):
    ax.plot(*points[:800].T, ".", color=plots.SKY, markersize=2)
    ax.quiver(*places.T, *(answer - places).T, angles="xy", scale_units="xy", scale=1, width=0.003, color=plots.BLACK)
    ax.set(title=f"step of the {name}", xlabel="x₁", ylabel="x₂", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
plots.show(fig, alt="Two arrow fields over a spiral of points, hard to tell apart: in both, arrows point from all "
                    "around to the arms of the spiral, and end on or near them.", number="3.4")

# %% [markdown]
# There it is, in Figure 3.4, the answer to the opening question. A copier's field has no arrows at all. The
# denoiser's field had to learn **where the data lie**, and no bottleneck forced it: compression is one way to make an
# autoencoder learn, not a necessary one. The article's "compressed representation" should read: *a representation
# from which the data can be told from what is not data*.
#
# ### The linear case, once more
#
# Chapter 02 could prove everything about linear networks. Denoising can be proved there, too. With $r(\tilde x) =
# W\tilde x$, centred data of covariance $S$, and Gaussian noise, the cross terms average to zero. The loss of
# equation (2.15) is left, and one term more:
#
# $$\mathbb E\,\tfrac12\lVert x - W(x + \sigma\varepsilon)\rVert^2 = \tfrac12 \operatorname{tr}\bigl((I - W)\,S\,(I - W)^\top\bigr) + \tfrac12 \sigma^2 \operatorname{tr}(W W^\top) .$$
#
# The noise has become an L2 penalty on $W$: this is the simplest case of Bishop's (1995) result that training with
# noise is Tikhonov regularisation, there to second order in $\sigma$, here exactly. Set the gradient to zero:
#
# $$(W - I)\,S + \sigma^2 W = 0 \quad\Longrightarrow\quad W = S\,(S + \sigma^2 I)^{-1} .$$
#
# This $W$ has the eigenvectors of $S$, and along the $i$-th it keeps the share $\lambda_i/(\lambda_i + \sigma^2)$ of
# the signal: almost all where the data vary more than the noise, almost nothing where less.

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
with_noise = half(centred - shown @ W.T)
print(f"formula {loss.item():.3f}   measured with fresh noise {with_noise:.3f}   copying {0.5 * 784 * 0.5**2:.1f}")
claim(abs(with_noise / loss.item() - 1) < 0.01, "the formula is what noise costs")

# %%
kept = basis.eigenvalues / (basis.eigenvalues + 0.5**2)
print(f"of 784 directions, {(kept > 0.5).sum()} keep more than half of their signal; the shares sum to {kept.sum():.1f}")

# %% [markdown]
# So noise acts as a **soft bottleneck**: a full $784 \times 784$ matrix, free to be the identity, that uses the
# equivalent of a few dozen directions, the very principal components of chapter 02. Nobody chose a code size. The
# noise did.

# %% [markdown]
# ## 4 · What it learns, seen
#
# Each of the 1 000 units has 784 incoming weights, one a pixel, so they can be looked at as an image: the **filter**
# of the unit. Both layers started from the same random weights. Of each we show the 16 units whose weights moved
# farthest, the same rule for both. Grey is 0, white positive, black negative, each filter scaled to its largest
# weight.

# %%
weights = lambda model: model.encoder[0].weight.detach().cpu()  # (1000, 784)


def filters(model, n=16):
    """Incoming weights of the n units that moved most, as images (n, 28, 28) with 0 at mid-grey."""
    moved = (weights(model) - weights(untrained)).norm(dim=1).topk(n).indices
    w = weights(model)[moved]
    return (0.5 + 0.5 * w / w.abs().amax(1, keepdim=True)).reshape(-1, 28, 28)


layers = {"untrained": untrained, "plain": plain, "denoising": denoiser}
fig = plots.image_grid([filters(model) for model in layers.values()], row_labels=list(layers), scale=0.55)
plots.show(fig, alt="Sixteen filters in three rows. Untrained: noise. Plain: mostly noise. Denoising: smooth strokes and "
                    "arcs, as digits have them.")

# %% [markdown]
# Even the units that plain training moved most keep much of the noise they started from: random directions suffice
# to copy. To repair, a unit must combine pixels that belong together, because a lost pixel is guessed from the rest
# of its stroke. Vincent et al. show the same in their Figure 3 (2008), with filters growing larger as the noise does.
#
# A number for what the eye sees: how alike are the weights of neighbouring pixels?

# %%
def smoothness(model):
    """Correlation between each weight and its right-hand neighbour, over all filters."""
    w = weights(model).reshape(-1, 28, 28)[:, 4:24, 4:24]  # the margin hardly ever holds ink
    return torch.corrcoef(torch.stack([w[..., :-1].flatten(), w[..., 1:].flatten()]))[0, 1].item()


smooth = {name: smoothness(model) for name, model in layers.items()}
print({name: round(value, 2) for name, value in smooth.items()})
claim(smooth["denoising"] > smooth["plain"] + 0.1, "denoising filters are smoother than plain ones")

# %% [markdown] tags=["exercise"]
# **Exercise 03.3 · read three logs (★★☆, 10 min)**
#
# Three colleagues send the ends of their logs (invented, but typical). Losses are ½Σ(x−y)² over 784 pixels; "hidden
# pixels" is scaled up to 784, so that it compares. Name each condition:
#
# * `"copying"`: the task can be solved without knowing the data;
# * `"over-fitting"`: what was learned holds for the training images only;
# * `"visible pixels"`: a masked autoencoder whose loss also counts the pixels that it could see.

# %% tags=["exercise"]
for name, log in printed_logs().items():
    print(name, "; ".join(f"{what} {value}" for what, value in log.items()), sep="   ")

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {"A": "visible pixels", "B": "copying", "C": "over-fitting"}
### END SOLUTION
diagnosis = check("03.3", diagnosis)

# %% [markdown]
# ## 5 · Convolution: say it once, use it everywhere
#
# A fully connected layer learns a stroke in the upper left and the same stroke in the lower right as two unrelated
# things. A **convolution** has one small set of weights, a *kernel*, and lays it over every place of the image:
#
# $$y_{o,i,j} = b_o + \sum_{c}\sum_{u,v} w_{o,c,u,v}\; x_{c,\; i\cdot t + u,\; j\cdot t + v},$$
#
# for output channel $o$, place $(i, j)$, input channels $c$, offsets $u, v$ within the kernel, and stride $t$, by
# which the kernel moves on. With $t = 2$ the map has half the side of the image. Before you look: a $3\times 3$
# convolution from 1 channel to 16, stride 2, turns $28\times 28$ pixels into $16 \times 14 \times 14$ numbers. How
# many weights has it, biases included? And a fully connected layer between the same sizes?

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
# Sharing weights has a consequence that is worth more than the savings: **shift the image, and the map shifts
# along.** With stride 2 a shift by 2 pixels becomes a shift by 1 place. What a kernel learned about a stroke here, it
# knows there.

# %%
moved = torch.roll(few, shifts=2, dims=-1)  # two pixels to the right; the margin is black
with torch.no_grad():
    difference = conv(moved)[..., 2:-1] - conv(few)[..., 1:-2]
claim(difference.abs().max() < 1e-6, "shifting the input by the stride shifts the output by one place")

# %% [markdown]
# ## 6 · Masked autoencoders
#
# Single lost pixels are easy to guess from their neighbours. Make the holes larger: cut the image into **patches**
# and hide whole patches. Then the nearest pixels are hidden as well, and the model has to know how digits go on. He
# et al. (2022) hide 75 % of the patches of photographs and train a vision transformer this way. Ours is a
# convolutional network, small enough for a laptop, with three ingredients: a patch mask, a mask channel, and a loss
# on hidden pixels only.
#
# ### The patch mask

# %% [markdown] tags=["exercise"]
# **Exercise 03.4 · hide patches (★★☆, 10 min)**
#
# Write the mask: 1 where hidden, 0 where visible, for square images of `size` pixels cut into patches of `patch` ×
# `patch`. In every image exactly `round(ratio * patches)` patches are hidden. `keys.permutation("mask", n)` gives a
# random order of $0, \dots, n-1$ for each sample, as a tensor (B, n).

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
rows = [few, *(few * (1 - mask) + 0.5 * mask for mask in masks)]
fig = plots.image_grid(rows, row_labels=["clean", *(f"{ratio:.0%} hidden" for ratio in ratios)])
plots.show(fig, alt="Eight digits with 10, 50, 75 and 90 per cent of their 7 by 7 pixel patches hidden behind grey squares. "
                    "At 90 per cent two of sixteen patches are left.")

# %% [markdown]
# Why an exact number and not a coin for each patch? It makes the task equally hard for every image, and, once patches
# are tokens of a transformer, gives all samples of a batch the same length.
#
# ### The mask channel
#
# Hidden pixels are set to 0. But 0 is also black, and most of a digit's image is black. Without help, "there is
# nothing here" and "you may not look here" are the same input. So the mask goes in as one more channel.

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
# A visible pixel can be copied. If it counts, the model is paid for copying again, the very thing that this chapter
# set out to make worthless.

# %% [markdown] tags=["exercise"]
# **Exercise 03.5 · count what was hidden (★★☆, 10 min)**
#
# Write the mean of $\tfrac12 (x - y)^2$ over the hidden pixels of the batch. The images have `C` channels, the mask
# one. Images may hide different numbers of pixels; each hidden pixel counts the same.

# %% tags=["exercise"]
def masked_loss(prediction, target, mask):
    """Mean loss over hidden pixels; prediction and target (B, C, H, W), mask (B, 1, H, W), 1 where hidden."""
    ### BEGIN SOLUTION
    squared = 0.5 * (target - prediction) ** 2 * mask  # (B, C, H, W)
    return squared.sum() / (mask.sum() * target.shape[1])
    ### END SOLUTION


masked_loss = check("03.5", masked_loss)

# %% [markdown]
# What happens if visible pixels are counted? Take an answer that understands nothing: it copies what it sees, and
# fills each hole with the mean image. Let $\ell$ be its mean loss on a hidden pixel. Visible pixels cost it nothing,
# so over *all* pixels its loss is $\rho\,\ell$, where $\rho$ is the share of pixels that is really hidden: the masking
# ratio, rounded to whole patches. Hide little, and it looks brilliant.

# %%
mean_image = train.images.mean(0)  # (1, 28, 28)
print("ratio   hidden pixels only   all pixels   quotient")
for ratio, mask in ((r, hide_patches(Keys.of(0, len(test)), 28, 7, r)) for r in ratios):
    lazy = torch.where(mask == 1, mean_image, test.images)
    hidden_only = masked_loss(lazy, test.images, mask)
    everything = masked_loss(lazy, test.images, torch.ones_like(mask))
    print(f"{ratio:5.2f} {hidden_only:17.4f} {everything:14.4f} {everything / hidden_only:10.4f}")
    claim(abs(everything / hidden_only - mask.mean()) < 1e-4, f"counting visible pixels flatters: factor {mask.mean():.3f}")

# %% [markdown]
# To be fair to the other side: He et al. found that counting all pixels costs them only about half a per cent of
# accuracy (their section 3, a footnote), and Vincent et al. (2010, section 3.4) proposed something in between, a
# heavier weight on corrupted values. The loss on hidden pixels is first of all the honest *number*: it can be
# compared between ratios, and it cannot fall by copying.
#
# ### Training one
#
# `MaskedImage` is the objective with those parts: it draws the mask from keys, hides, and sums the loss over hidden
# pixels, with their count beside it.

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
plots.show(fig, alt="Eight held-out digits with 25 to 90 per cent of the patches hidden and filled in by one model. At 25 "
                    "per cent the strokes are continued sensibly, at 75 per cent the answers are vague, at 90 per cent "
                    "they are a grey blur.")

# %% [markdown]
# One model, trained at 75 %, used at four ratios. Where neighbouring patches leave one way to go on, it draws a
# stroke; where several are possible it answers with their mean, the blur of section 3: it hedges, as the flattest
# curve in Figure 3.3 does. A few hundred steps on 4 000 digits don't make a painter. What matters is whether the
# *encoder* is of use, and that we measure next.

# %% [markdown]
# ## 7 · What has each of them learned?
#
# Now the claim of this chapter, with its controls. Six networks and the raw pixels, one probe, the same tuning for
# all, three seeds; a seed decides initial weights, order of data, noise, and which labelled images the probe may see.
# *Dense* is the fully connected, over-complete layer of section 1; *convolutional* is the network of section 6.

# %% [markdown] tags=["exercise"]
# **Exercise 03.6 · which controls? (★★☆, 10 min)**
#
# Someone claims: *"Hiding patches during pretraining makes the features of this network useful for classification."*
# They show one probe accuracy. Which of the following does the claim need? Answer with a set of letters, and leave
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
plots.bars(ax, list(probed), [[100 * (1 - a) for a in runs] for runs in probed.values()], colours, unit=" %")
ax.set(xlabel=f"test error of a linear probe in per cent, {PER_CLASS} labels a class")
plots.show(fig, alt="Test error of linear probes on seven inputs, a bar each with a dot a seed. From the top: raw pixels; the "
                    "dense layer untrained, plain and denoising; the convolutional network untrained, plain and masked. "
                    "Denoising and masked have the shortest bars.", number="3.8")


def always(better, worse):
    """Whether one arm beats another in every seed."""
    return all(b > w for b, w in zip(probed[better], probed[worse]))


claim(always("dense, denoising", "dense, plain"), "denoising beats plain in every seed: same layer, same start")
claim(always("convolutional, masked", "convolutional, untrained"), "masked pretraining beats no training in every seed")
claim(always("convolutional, masked", "convolutional, plain"), "and it beats pretraining that was shown everything")

# %%
for kind, trained in [("dense", ("plain", "denoising")), ("convolutional", ("plain", "masked"))]:
    for how in trained:
        gain = average[f"{kind}, {how}"] - average[f"{kind}, untrained"]
        print(f"{kind}, {how}: {gain:+.3f} accuracy over the same network untrained")

# %% [markdown]
# In Figure 3.8, read each trained bar against *its own* untrained one: the architecture is the same, only the
# training differs.
#
# * **Dense, plain** gains little over its random weights in a laptop's short run, less than their dots are apart.
#   Remember it: section 9 trains longer.
# * **Dense, denoising** makes fewer errors: same start, same number of steps, same images. The one difference is that
#   its input was damaged.
# * **Convolutional, plain** was shown everything. Its feature map holds $32\cdot 7\cdot 7$ numbers, twice as many as
#   the image, so it too can copy, and training may well make it *worse* than its random start: what is convenient for
#   copying need not be what a linear probe can read.
# * **Convolutional, masked** gains most over its own untrained network. But don't set it against *dense, denoising*:
#   those two bars differ in two things at once, architecture and task, so neither can be credited.
#
# ## 8 · How much to hide
#
# He et al. (2022, Figure 5) vary the masking ratio and find two curves. A linear probe rises steadily up to a ratio
# of about 75 % and then falls; fine-tuned, accuracy is flat over a wide range. BERT hides 15 % of its words. Why such
# a difference? Their explanation: an image is redundant, and a few missing patches are filled in from their
# neighbours without understanding.
#
# We measured the same on MNIST: our network, 16 patches, ratios from 0 (shown everything) to 0.9, three seeds, a
# probe and fine-tuning with equal tuning everywhere. The prediction was written down first. Make yours:

# %%
predict("03.ratio", ..., unit="the masking ratio at which the probe is best")

# %%
ledger = results("03-masking-ratio")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
measured = ledger["measured"]
probe_means = [sum(runs) / len(runs) for runs in measured["probe"]]
reveal("03.ratio", measured["ratios"][probe_means.index(max(probe_means))])

# %%
fig, axes = plots.figure(columns=2, width=9, height=3.4)
panels = [("probe", "linear probe", plots.BLUE, "random_probe", "the same network, untrained"),
          ("fine_tuned", "fine-tuned", plots.ORANGE, "scratch", "trained from scratch")]  # fmt: skip
for ax, (kind, title, colour, reference, name) in zip(axes, panels):
    plots.spread(ax, measured["ratios"], measured[kind], "", colour)
    base = sum(measured[reference]) / len(measured[reference])
    ax.axhline(base, color=plots.GREY, ls="--", lw=1)
    ax.annotate(name, (0.9, base), ha="right", va="bottom", color=plots.GREY)
    ax.set(title=title, xlabel="masking ratio (0: nothing hidden)",
           ylabel=f"test accuracy, {measured['per_class']} labels a class")
pixels = sum(measured["raw_pixels"]) / len(measured["raw_pixels"])
axes[0].axhline(pixels, color=plots.GREEN, ls=":")
axes[0].annotate("raw pixels", (0.9, pixels), ha="right", va="bottom", color=plots.GREEN)
axes[0].plot([0.75] * len(SEEDS), probed["convolutional, masked"], "x", color=plots.RED, markersize=6)
lowest = min(axes[0].get_ylim()[0], axes[1].get_ylim()[0])
for ax in axes:
    ax.set_ylim(lowest, max(axes[0].get_ylim()[1], axes[1].get_ylim()[1]))
plots.show(fig, alt="Test accuracy against masking ratio, with bands over three seeds: a linear probe on the left, fine-tuning "
                    "on the right. Dashed lines: the untrained network on the left, training from scratch on the right. Red "
                    "crosses mark this notebook's own, shorter runs at 0.75.", number="3.9")

# %% [markdown]
# In Figure 3.9 the dashed line is the network from its random start: probed on the left, fine-tuned on the right. Red
# crosses are the masked runs of Figure 3.8, trained live, on a laptop with fewer steps. How firm is the inverted U?
# Ask each seed by itself, and set the fall after the top beside the scatter between seeds.

# %%
by_seed = torch.tensor(measured["probe"])  # (ratios, seeds)
ratios_hidden, curve = measured["ratios"][1:], by_seed[1:].mean(1)
fall, scatter = (curve.max() - curve[-1]).item(), by_seed[1:].std(1).mean().item()
print("best ratio, seed by seed:", [ratios_hidden[i] for i in by_seed[1:].argmax(0)])
print(f"from the top to ratio 0.9 the probe falls by {fall:.3f}; the standard deviation between seeds is {scatter:.3f}")
print(f"from nothing hidden to a tenth hidden it rises by {(by_seed[1] - by_seed[0]).mean():.3f}")
claim((by_seed[1:].amin(0) > by_seed[0]).all(), "in every seed, hiding anything at all beats hiding nothing")

# %% [markdown]
# An honest reading: by its sign the prediction held. But the arch is shallow, not far above the scatter between
# seeds, and its top lies far to the left of the 75 % found on photographs. What stands out is the step at the left
# edge, from *nothing* hidden to *something* hidden. Even with 14 of 16 patches gone the features serve well, and
# fine-tuning hardly cares about the ratio at all. Fine-tuned from plain pretraining, the network is no better than
# from scratch; from masked pretraining it is, at every ratio.
#
# Why no sharp top? Probably because our task is hard at *every* ratio: one patch is a quarter of the image wide and
# deletes a whole piece of stroke, which can't be interpolated from its surroundings as a patch of sky can. If that is
# the reason, smaller patches should bend the curve. That's a prediction; the last section tells how to test it.
#
# ## 9 · Over-complete layers, measured with more care
#
# Vincent et al. (2008) compared networks whose layers were pretrained by plain and by denoising autoencoders, and
# then **fine-tuned** on labels; in their Table 1 the denoising ones make fewer errors on most of eight problems. They
# stack three layers, use masking noise, sigmoid units and a cross-entropy loss. Ours is one over-complete layer of
# rectified units with a squared error: we look for the *sign* of their finding, not their numbers. "No pretraining"
# is the same layer from its random start, with the same tuning.

# %%
ledger = results("03-denoising")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")

# %%
measured = ledger["measured"]
fig, axes = plots.figure(columns=2, width=9.5, height=3)
for ax, row in zip(axes, (0, -1)):
    runs = [[100 * error for error in rows[row]] for rows in measured["fine_tuned"].values()]
    plots.bars(ax, list(measured["fine_tuned"]), runs, [plots.GREY, plots.SKY] + 3 * [plots.BLUE], unit=" %")
    ax.set(title=f"{measured['per_class'][row]} labels a class", xlabel="test error after fine-tuning, per cent")
axes[1].set_yticklabels([])
plots.show(fig, alt="Test error after fine-tuning for no pretraining, plain, and three kinds of denoising, with few labels "
                    "on the left and more on the right, a dot for each of three seeds.", number="3.10")

# %%
print(f"test error of a probe on the frozen code, {len(ledger['seeds'])} seeds")
for name, rows in measured["probe"].items():
    for count, runs in zip(measured["per_class"], rows):
        print(f"{name:16s} {count:4d} labels a class: {sum(runs) / len(runs):.1%} ({min(runs):.1%} to {max(runs):.1%})")

# %%
tuned = {name: rows[-1] for name, rows in measured["fine_tuned"].items()}  # one error a seed
wins = sum(d < p for d, p in zip(tuned["masking 50 %"], tuned["plain"]))
relative = sum(tuned["masking 50 %"]) / sum(tuned["plain"])
print(f"denoising (half masked) makes fewer errors than plain in {wins} of {len(tuned['plain'])} seeds, "
      f"in the mean {relative:.2f} times as many")
probed = {name: rows[-1] for name, rows in measured["probe"].items()}
claim(all(g < m for g, m in zip(probed["gaussian 0.5"], probed["masking 50 %"]))
      and all(m < g for g, m in zip(tuned["gaussian 0.5"], tuned["masking 50 %"])),
      "in every seed Gaussian noise is ahead for the probe, and masking for fine-tuning")
headline("errors after fine-tuning: denoising over plain, over-complete layer", relative, 1.0)

# %% [markdown]
# The sign of the finding is there, and so are its limits:
#
# * With more labels, denoising helps fine-tuning, plain reconstruction hardly does. The gap is small beside what the
#   labels themselves bring.
# * With few labels, on the left of Figure 3.10, all pretrained layers lie within the scatter of the dots: *which*
#   images are labelled matters more than how the layer was pretrained.
# * Frozen, the order is clearer, and it holds a warning: with more labels, the features after this longer plain
#   training are *worse* for a probe than the random weights that it started from. Effort at the wrong task can harm.
# * The noises differ a little: with more labels, in each of the three seeds Gaussian noise gives better frozen features
#   than masking half, and masking half the better start for fine-tuning. "Better representation" always needs the
#   addition "for what, and used how".

# %% [markdown]
# ## From here
#
# Replace "patch" by "word" and you hold the pretext task of BERT: hide some words, predict them from the rest, score
# the hidden ones only. Chapter 07 does that. The squared error becomes a distribution over the vocabulary, since a
# word, unlike a grey value, has no meaningful mean; the mask channel becomes a `[MASK]` token; and the low ratio has
# its reason in language, where a missing word isn't interpolated from its neighbours. Chapter 14 comes back to images
# with a transformer that leaves hidden patches out altogether, so that there a high ratio saves compute as well.
#
# ## Summary
#
# * An over-complete autoencoder can copy. Its reconstruction error then says nothing, and its code is worth about
#   what random features are worth.
# * Corruption puts a price on copying: $\tfrac12 D\sigma^2$ for Gaussian noise. What a denoiser saves on that price,
#   it knows about the data.
# * The best denoiser is the posterior mean, and its step is $\sigma^2\nabla\log p_\sigma$: it knows where data are
#   dense (the arrows of Figure 3.4). For a linear network this is a soft bottleneck.
# * Compression is one way to force learning, and not a necessary one. The right question about a task is whether it
#   can be solved without knowing the data.
# * Mask whole patches, tell the model what is hidden, count hidden pixels only.
# * A claim about features needs raw input, the same network untrained, the same network without the ingredient, and
#   several seeds.
#
# ## What we measured
#
# `results/03-denoising.json` (Figure 3.10) and `results/03-masking-ratio.json` (Figure 3.9), three seeds each, with
# predictions, hardware and the command to measure again: `python course.py reproduce 03-masking-ratio`. Signs and
# shapes can be compared with the papers; numbers cannot: ours are small networks on 4 000 images of digits.
#
# ## Going further
#
# * Set `PATCH = 4` in `experiments/03_masking_ratio.py` and measure again. Does the curve of Figure 3.9 bend, and is
#   the probe better or worse than with patches of 7? Write your prediction down first.
# * Iterate the denoiser of Figure 3.4: $x \leftarrow r(x)$, from random starts. Then add fresh noise before each
#   step. The first ends on the curve; the second draws samples, and is the seed of diffusion models.
# * Put salt-and-pepper noise into section 7. It can't be told from ink by its colour: predict its bar in Figure 3.8
#   first.
#
# ## References
#
# * H. Robbins, An empirical Bayes approach to statistics, *Third Berkeley Symposium on Mathematical Statistics and
#   Probability*, 1956.
# * K. Miyasawa, An empirical Bayes estimator of the mean of a normal population, *Bulletin of the International
#   Statistical Institute* 38, 1961.
# * C. M. Bishop, Training with noise is equivalent to Tikhonov regularization, *Neural Computation* 7(1), 1995.
# * P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, Extracting and composing robust features with denoising
#   autoencoders, *ICML* 2008, Table 1 and Figure 3.
# * P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, Stacked denoising autoencoders, *JMLR* 11, 2010,
#   sections 3.3 (kinds of noise) and 3.4 (emphasis on corrupted values).
# * P. Vincent, A connection between score matching and denoising autoencoders, *Neural Computation* 23(7), 2011.
# * G. Alain and Y. Bengio, What regularized auto-encoders learn from the data-generating distribution, *JMLR* 15,
#   2014, pages 3743–3773.
# * K. He, X. Chen, S. Xie, Y. Li, P. Dollár, R. Girshick, Masked autoencoders are scalable vision learners, *CVPR*
#   2022, section 3 and Figure 5.
