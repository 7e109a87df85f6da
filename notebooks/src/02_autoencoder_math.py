# %% [markdown]
# # 02 · The mathematics of an autoencoder
#
# An autoencoder squeezes $x$ through a short code and tries to give $x$ back. This chapter takes
# that one sentence apart. It has two halves. The first is linear: from a single weight to
# matrices, with proofs. The second is deep: you write backpropagation and a training loop, and
# measurements take the place of proofs. Between them there is a place to stop for the day.
#
# **You will be able to**
#
# 1. derive the gradient of a network by hand, and check it against autograd;
# 2. state the lowest loss that any linear autoencoder can reach, prove it, and read it off the
#    data's eigenvalues;
# 3. say why its training passes plateaus, and why no bad local minimum waits there;
# 4. write backpropagation through a deep autoencoder, and the loop that trains it;
# 5. say what L2, weight decay and dropout each do, and why the first two differ under Adam.
#
# **You need** calculus with the chain rule, matrix products, Python, and chapter 00. Section 4
# builds the rest of the linear algebra.
#
# **Time** about 4 hours of reading and exercises, in two sittings. Computing takes about a minute on a laptop.

# %% tags=["setup"]
import math

import torch
from torch.nn import functional as F

from pretrain_lib.course import check, claim, diagrams, dial, explore, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch02 import training_logs
from pretrain_lib.course.results import verdict_table
from pretrain_lib.data.images.load import load_images
from pretrain_lib.evaluation.linear import linear_bound, pca
from pretrain_lib.evaluation.reconstruction import reconstruction_error
from pretrain_lib.models.autoencoder import Autoencoder, AutoencoderConfig
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.finite import NonFiniteError
from pretrain_lib.training.trainer import Trainer

# %% [markdown]
# Everything is computed in float64 unless a cell says otherwise: with sixteen digits, "equal" can
# mean equal. These helpers set a formula of ours beside what autograd computes.


# %%
def largest_difference(ours, theirs):
    """The largest absolute difference between two lists of tensors."""
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


def autograd(loss, *parameters):
    """Autograd's gradients of a scalar function of the parameters."""
    leaves = [p.detach().clone().requires_grad_() for p in parameters]
    return torch.autograd.grad(loss(*leaves), leaves)


def numbers(*shape, seed=0):
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# %% [markdown]
# ## 1 · The loss

# %%
plots.show(diagrams.autoencoder(), "An autoencoder: an encoder makes a short code of the input, a decoder makes the "
           "reconstruction of the code, and the loss compares input and reconstruction.", number="2.1")

# %% [markdown]
# The article that this course starts from writes the loss of an autoencoder, for one sample $x$
# of $D$ numbers and its reconstruction $y$, as
#
# $$L(x, y) = \tfrac12 \sum_{i=1}^{D} (x_i - y_i)^2 .$$
#
# The ½ is there for one reason: it cancels the 2 that differentiation brings down. Only the
# $i$-th term of the sum contains $y_i$, so
#
# $$\frac{\partial L}{\partial y_i} = \tfrac12 \cdot 2\,(x_i - y_i) \cdot (-1) = y_i - x_i .$$
#
# In words: **the gradient at the output is the error.** Every other gradient in this chapter is
# that error, carried backwards.

# %%
x, y = numbers(128, seed=1), numbers(128, seed=2)
by_hand = y - x  # (D,)
(by_autograd,) = autograd(lambda y: 0.5 * ((x - y) ** 2).sum(), y)
claim(largest_difference([by_hand], [by_autograd]) < 1e-8, "∂L/∂y = y − x, to 1e-8")

# %% [markdown]
# The article's *program* calls `nn.functional.mse_loss(output, target)`
# on batches of 10 samples with $D = 128$ numbers each. `mse_loss` squares the differences too,
# and then takes the mean over every number that it was given.

# %% [markdown] tags=["exercise"]
# **Exercise 02.1 · formula and code (★☆☆, 5 min)**
#
# Take the mean over the 10 samples of the article's $L$. By which factor is it larger than what
# `mse_loss` returns?

# %% tags=["exercise"]
### BEGIN SOLUTION
# mse_loss divides by 10 · 128 and has no ½; the mean of L divides by 10 and has one: 128 / 2.
factor = 64
### END SOLUTION
factor = check("02.1", factor)

# %% [markdown]
# A constant factor moves no minimum. It does scale every gradient, so plain gradient descent on
# one form needs another learning rate than on the other. It also decides whether two printed
# losses can be compared at all. From here on $L$ is the formula, **averaged over samples and
# summed over dimensions**, as in the library's `Reconstruction`.

# %%
batch_x, batch_y = numbers(10, 128, seed=3), numbers(10, 128, seed=4)  # (B, D)
formula = 0.5 * ((batch_x - batch_y) ** 2).sum(dim=1).mean()
code = F.mse_loss(batch_y, batch_x)
print(f"formula {formula:.4f}   mse_loss {code:.4f}   ratio {formula / code:.6f}")
claim(
    abs(formula / code - factor) < 1e-8,
    "the article's formula and its code differ by the factor of exercise 02.1",
)

# %% [markdown]
# ## 2 · One weight down, one weight up
#
# The smallest autoencoder reads one number, multiplies it by an encoder weight $w$, and
# multiplies the resulting code by a decoder weight $v$:
#
# $$z = w\,x, \qquad y = v\,z = v\,w\,x .$$
#
# Put $y$ into the loss, average over samples, and call the mean of $x^2$ by the letter $s$:
#
# $$L(w, v) = \tfrac12\, \overline{(x - v w x)^2} = \tfrac12\, \overline{x^2}\,(1 - v w)^2 = \tfrac12\, s\,(1 - vw)^2 .$$
#
# The loss is 0 wherever $vw = 1$, which isn't a point but a curve: a hyperbola with **two
# branches**, one with both weights positive, one with both negative.

# %% [markdown] tags=["exercise"]
# **Exercise 02.2 · your first gradient (★☆☆, 10 min)**
#
# Derive $\partial L/\partial w$ and $\partial L/\partial v$ with the chain rule and write them as
# a function. Hint: let $u = 1 - vw$. What is $\partial L/\partial u$, and what are
# $\partial u/\partial w$ and $\partial u/\partial v$?


# %% tags=["exercise"]
def one_weight_gradients(w, v, s):
    """Returns (∂L/∂w, ∂L/∂v) of L = ½ s (1 − v w)²."""
    ### BEGIN SOLUTION
    u = 1 - v * w
    return -s * u * v, -s * u * w
    ### END SOLUTION


one_weight_gradients = check("02.2", one_weight_gradients)

# %% [markdown]
# <details><summary>The derivation, step by step</summary>
#
# With $u = 1 - vw$ we have $L = \tfrac12 s u^2$, hence $\partial L/\partial u = s u$. Since
# $\partial u/\partial w = -v$ and $\partial u/\partial v = -w$,
#
# $$\frac{\partial L}{\partial w} = -s\,(1 - vw)\,v, \qquad \frac{\partial L}{\partial v} = -s\,(1 - vw)\,w .$$
#
# </details>
#
# Notice who multiplies whom: the gradient of each weight is proportional to the **other** weight.
# If the decoder is zero, the encoder gets no signal, and the other way round.

# %%
w, v, data = torch.tensor(0.7).double(), torch.tensor(-0.4).double(), numbers(1000)
ours = one_weight_gradients(w, v, (data**2).mean())
theirs = autograd(lambda w, v: 0.5 * ((data - v * w * data) ** 2).mean(), w, v)
claim(largest_difference(ours, theirs) < 1e-8, "both gradients equal autograd's to 1e-8")

# %% [markdown]
# Descent starts at $w = 1.5$, $v = -0.3$, where the signs differ. Where will it end: in the valley
# of positive weights (guess 1), in that of negative weights (guess −1), or at the origin (guess 0)?

# %%
predict("02.valley", ...)


# %%
def descend(w, v, s=1.0, learning_rate=0.05, steps=200):
    """The path (steps + 1, 2) of gradient descent on the one-weight loss."""
    path = [(w, v)]
    for _ in range(steps):
        dw, dv = one_weight_gradients(w, v, s)
        w, v = w - learning_rate * dw, v - learning_rate * dv
        path.append((w, v))
    return torch.tensor(path)


starts = [(1.5, -0.3), (0.3, -1.5), (-1.6, 0.9), (0.02, 0.03), (-0.1, -1.9), (1.8, 1.8)]
paths = [descend(*start) for start in starts]
reveal("02.valley", int(paths[0][-1].sign().mean()))

# %%
axis = torch.linspace(-2, 2, 201)
surface = 0.5 * (1 - axis[:, None] * axis[None]) ** 2  # rows v, columns w
fig, ax = plots.figure(width=6, height=5)
ax.contourf(axis, axis, surface.clamp(max=3), levels=24, cmap="Greys_r", alpha=0.75)
for branch in (axis[axis > 0.5], axis[axis < -0.5]):
    ax.plot(branch, 1 / branch, color="white", lw=2, ls="--")
for path in paths:
    line = ax.plot(*path.T, lw=2)[0]
    ax.plot(*path[0], "o", color=line.get_color())
ax.annotate("saddle", (0, 0), (-0.75, 0.35), arrowprops={"arrowstyle": "->"})
ax.text(0.62, 1.7, "vw = 1", color="white")
ax.text(-1.15, -1.85, "vw = 1", color="white")
ax.set(xlabel="encoder weight w", ylabel="decoder weight v", xlim=(-2, 2), ylim=(-2, 2))
ax.set_title("L = ½ (1 − vw)²: the darker, the lower")
plots.show(fig, alt="From every start, descent ends in one of two valleys. Contours of the one-weight loss over w and v: two "
           "dashed valleys, vw = 1, lie in the corners where both weights have one sign; a saddle lies at the origin. Six "
           "descent paths start at dots and end in one of the valleys.", number="2.2")

# %% [markdown]
# Every path in Figure 2.2 ends in a valley. At the origin, between the valleys, the gradient
# vanishes too. Such a point is **stationary**: a minimum, a maximum or, as here, a **saddle**. The
# second derivatives tell which. From the gradients above,
#
# $$\frac{\partial^2 L}{\partial w^2} = s v^2, \qquad \frac{\partial^2 L}{\partial v^2} = s w^2, \qquad
# \frac{\partial^2 L}{\partial w\,\partial v} = -s\,(1 - 2vw).$$
#
# Arranged in a matrix they are the **Hessian** $H$, here
# $\begin{pmatrix}0 & -s\\ -s & 0\end{pmatrix}$ at the origin. The curvature along a direction $q$
# of length 1 is $\sum_{ij} q_i H_{ij} q_j$: $-s$ along the diagonal $w = v$ (downhill both ways)
# and $+s$ along $w = -v$ (uphill). Small weights therefore leave the origin slowly, along the
# diagonal, and the recorded loss shows a plateau.

# %% tags=["NBVAL_CHECK_OUTPUT"]
hessian = torch.autograd.functional.hessian(
    lambda p: 0.5 * (1 - p[0] * p[1]) ** 2, torch.zeros(2).double()
)
print("Hessian at the origin:", hessian.tolist())
for sign, curvature in [(1, -1), (-1, 1)]:
    q = torch.tensor([1, sign]).double() / 2**0.5
    claim(abs(q @ hessian @ q - curvature) < 1e-12, f"curvature along w = {'−' * (sign < 0)}v: {curvature}")

# %% [markdown]
# ### How long does the plateau last?
#
# Take infinitely small steps. Gradient descent becomes a differential equation in time $t$, which
# is steps × learning rate. Start on the diagonal, $w = v$: both stay equal by symmetry. Follow the
# product $u = vw$, the fraction of $x$ that comes back:
#
# $$\frac{du}{dt} = \dot v\,w + v\,\dot w = s(1-u)(w^2 + v^2) = 2 s\,u\,(1 - u).$$
#
# Its solution is the **sigmoid** (differentiate it to check; a cell checks it by numbers)
#
# $$u(t) = \frac{1}{1 + (1/u_0 - 1)\,e^{-2 s t}} .$$
#
# A small start $u_0$ costs waiting time $\ln(1/u_0)/2s$: halving the start adds a
# constant to the wait, doubling the data's mean square halves it.


# %%
def sigmoid_law(time, u0, s):
    """The product u = vw at a time, started at u0 with v = w, on data of mean square s."""
    return 1 / (1 + (1 / u0 - 1) * torch.exp(-2 * s * time))


rate, start = 0.005, 1e-3
path = descend(start**0.5, start**0.5, learning_rate=rate, steps=2000).double()
time = torch.arange(len(path)).double() * rate
gap = (path.prod(dim=1) - sigmoid_law(time, start, s=1.0)).abs().max()
claim(gap < 0.02, f"descent follows the sigmoid: the largest difference is {gap:.4f}")

# %% [markdown]
# In section 10 a linear autoencoder with thousands of weights will turn out to be many copies of
# this model, running side by side.
#
# ## 3 · Two dimensions, one code
#
# Now a sample has two numbers, its code one. Choose a direction, a unit vector
# $q = (\cos\theta, \sin\theta)$. Let the code be how far $x$ reaches along it, and the
# reconstruction be that far along it:
#
# $$z = q \cdot x = q_1 x_1 + q_2 x_2, \qquad y = z\,q .$$
#
# All reconstructions lie on one line through the origin, and the error $x - y$ stands at a right
# angle to it. Pythagoras then splits each sample's squared length into a kept part and a lost
# part, $\|x\|^2 = z^2 + \|x - y\|^2$, so
#
# $$L(\theta) = \tfrac12\,\overline{\|x\|^2} - \tfrac12\,\overline{z^2}
#  = \tfrac12\,(\text{total variance} - \text{variance along } q),$$
#
# for a cloud whose mean is zero. **The loss is half the variance that the code discards.**


# %%
def cloud_of(n=400):
    """A centred cloud (n, 2), long in one direction and thin in the other."""
    turn = math.radians(35)
    rotation = torch.tensor(
        [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    ).double()
    cloud = numbers(n, 2, seed=5) * torch.tensor([2.0, 0.6]).double() @ rotation.T
    return cloud - cloud.mean(dim=0)


cloud = cloud_of()
angles = torch.linspace(0, math.pi, 181).double()
directions = torch.stack([angles.cos(), angles.sin()], dim=1)  # (181, 2)
codes = cloud @ directions.T  # (N, 181), the code of each sample for each angle
losses = 0.5 * ((cloud[:, None] - codes[..., None] * directions) ** 2).sum(dim=2).mean(
    dim=0
)  # (181,)

# %% [markdown]
# Guess the best angle from how we made the cloud, in degrees.

# %%
predict("02.angle", ..., unit="degrees")

# %%
best = losses.argmin().item()
fig, axes = plots.figure(columns=2, width=9, height=3.6)
for ax, i in zip(axes, [110, best]):
    on_line = codes[:60, i, None] * directions[i]  # (60, 2)
    for point, image in zip(cloud[:60], on_line):
        ax.plot(*torch.stack([point, image]).T, color="grey", lw=0.8)
    ax.plot(*cloud[:60].T, ".", color=plots.BLUE)
    ax.plot(*on_line.T, ".", color=plots.ORANGE, ms=4)
    ax.set(xlim=(-5, 5), ylim=(-4, 4), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    ax.set_title(f"line at {i}°: loss {losses[i]:.2f}")
plots.show(fig, alt="Projections on a line are near the points where the line follows the cloud. A tilted cloud, twice, with "
           "each point joined to its projection: at 110 degrees the joins are long, at the best angle short.", number="2.3")

# %%
fig, ax = plots.figure(width=5, height=2.8)
ax.plot(angles.rad2deg(), losses, color=plots.BLUE)
ax.plot(best, losses[best], "o", color=plots.ORANGE)
ax.set(xlabel="angle of the line (degrees)", ylabel="loss", ylim=(0, None))
plots.show(fig, alt="The loss over the angle of the line has one smooth valley and one smooth hill.",
           number="2.4")
reveal("02.angle", best)

# %% [markdown]
# In Figure 2.4, however badly the line starts, turning it downhill leads to the long axis of the
# cloud. Let's check the formula on all 181 angles.

# %%
total, along = (cloud**2).sum(dim=1).mean(), (codes**2).mean(dim=0)
claim(
    (losses - 0.5 * (total - along)).abs().max() < 1e-8,
    "loss = ½ (total variance − variance along the line)",
)

# %% [markdown]
# ### Why we centre the data
#
# The line passes through the origin. If the cloud doesn't lie there, the line must point *at* the
# cloud, and the code is spent on what is the same for every sample. Subtracting the mean frees the
# code for what differs. A network with biases learns to do that by itself (section 11).

# %%
shifted = cloud + torch.tensor([-3.0, 4.0]).double()
for name, points in [("centred", cloud), ("shifted", shifted)]:
    kept = ((points @ directions.T) ** 2).mean(dim=0)
    loss = 0.5 * ((points**2).sum(dim=1).mean() - kept)
    print(f"{name}: best angle {loss.argmin().item():3d}°, loss {loss.min():.3f}")
print(f"direction of the shift: {math.degrees(math.atan2(4, -3)):.0f}°")

# %% [markdown]
# ## 4 · Fifteen minutes of linear algebra
#
# With 784 pixels there is no angle to plot. Each of seven ideas is a sentence, a formula and a check.
# The proofs fold away.
#
# **Vectors and matrices.** A vector $a \in \mathbb{R}^D$ is a column of $D$ numbers. The product
# $a^\top b = \sum_i a_i b_i$ is one number; $\|a\|^2 = a^\top a$ is the squared length. A matrix
# $A \in \mathbb{R}^{K\times D}$ turns $D$ numbers into $K$: $(Ax)_k = \sum_d A_{kd}\,x_d$. In
# formulas a sample is a *column* $x$; in code samples are the *rows* of `X` with shape (N, D), so
# that $Ax$ for all samples at once is `X @ A.T`.
#
# **Transpose.** $A^\top$ swaps rows and columns, and turns products around:
# $(AB)^\top = B^\top A^\top$.

# %% tags=["NBVAL_CHECK_OUTPUT"]
A, B = numbers(3, 5, seed=6), numbers(5, 4, seed=7)
samples = numbers(10, 5, seed=8)  # (N, D)
one_by_one = torch.stack([A @ x for x in samples])  # (N, K)
claim(torch.allclose(one_by_one, samples @ A.T), "X @ A.T applies A to every row of X")
claim(torch.allclose((A @ B).T, B.T @ A.T), "(AB)ᵀ = BᵀAᵀ")

# %% [markdown]
# **Trace.** $\operatorname{tr} A = \sum_i A_{ii}$, the sum along the diagonal of a square matrix.
# Its rule: factors may go round in a circle,
# $\operatorname{tr}(AB) = \operatorname{tr}(BA)$. It also measures size:
# $\operatorname{tr}(A^\top A) = \sum_{ij} A_{ij}^2$, the sum of all squares.
#
# <details><summary>Proof of the circle rule</summary>
#
# $\operatorname{tr}(AB) = \sum_i \sum_j A_{ij} B_{ji} = \sum_j \sum_i B_{ji} A_{ij} = \operatorname{tr}(BA)$.
# With $A^\top$ for the first and $A$ for the second factor the middle expression is
# $\sum_{ij} A_{ij}^2$. ∎
# </details>

# %% tags=["NBVAL_CHECK_OUTPUT"]
A, B = numbers(3, 5, seed=6), numbers(5, 3, seed=7)
claim(
    torch.isclose(torch.trace(A @ B), torch.trace(B @ A)),
    "tr(AB) = tr(BA), though one is 3 × 3 and the other 5 × 5",
)
claim(torch.isclose(torch.trace(A.T @ A), (A**2).sum()), "tr(AᵀA) is the sum of all squares")

# %% [markdown]
# **Orthonormal columns and projection.** Let $Q \in \mathbb{R}^{D\times K}$ have columns of
# length 1 at right angles to each other: $Q^\top Q = I$. Then $P = QQ^\top$ takes any $x$ to the
# nearest point of the subspace that the columns span, as $q q^\top x = z\,q$ did in two
# dimensions. Projecting twice is projecting once: $P^2 = P$.
#
# <details><summary>Proof that Px is the nearest point</summary>
#
# $P^2 = Q(Q^\top Q)Q^\top = QQ^\top = P$. Any point of the subspace is $Qc$. The rest
# $r = x - Px$ satisfies $Q^\top r = Q^\top x - Q^\top QQ^\top x = 0$: it is at a right angle to
# every column. By Pythagoras
# $\|x - Qc\|^2 = \|r + (Px - Qc)\|^2 = \|r\|^2 + \|Px - Qc\|^2 \ge \|r\|^2$, with equality for
# $Qc = Px$. ∎
# </details>

# %% tags=["NBVAL_CHECK_OUTPUT"]
Q, _ = torch.linalg.qr(numbers(5, 2, seed=9))  # (5, 2), orthonormal columns
P, x = Q @ Q.T, numbers(5, seed=10)
claim(
    torch.allclose(Q.T @ Q, torch.eye(2).double()) and torch.allclose(P @ P, P),
    "QᵀQ = I, and P = QQᵀ has P² = P",
)
others = numbers(10_000, 2, seed=11) @ Q.T  # ten thousand other points of the subspace
claim(
    ((x - others) ** 2).sum(1).min() > ((x - P @ x) ** 2).sum(),
    "none of them is nearer to x than Px is",
)

# %% [markdown]
# **Covariance.** For centred samples, $S = \frac1N \sum_n x_n x_n^\top = \frac1N X^\top X$, a
# $D\times D$ matrix. The diagonal holds the variances, so $\operatorname{tr} S$ is the total
# variance. The variance along a unit vector $q$ is $q^\top S q$: indeed
# $\frac1N\sum_n (q^\top x_n)^2 = q^\top\bigl(\frac1N\sum_n x_n x_n^\top\bigr) q$. (We divide by
# $N$, not $N - 1$: we want the mean over *these* samples.)

# %% tags=["NBVAL_CHECK_OUTPUT"]
S2 = cloud.T @ cloud / len(cloud)  # (2, 2)
quadratic_form = ((directions @ S2) * directions).sum(dim=1)  # qᵀSq for each of the 181 directions
claim(torch.allclose(quadratic_form, along), "qᵀSq is the variance along q, at all 181 angles")
claim(torch.isclose(torch.trace(S2), total), "tr S is the total variance")

# %% [markdown]
# **Eigenvectors.** Most vectors are turned by $S$. An eigenvector is only stretched:
# $S e = \lambda e$. A symmetric $D\times D$ matrix has $D$ of them at right angles to each other
# (the *spectral theorem*). Sort the eigenvalues,
# $\lambda_1 \ge \lambda_2 \ge \dots \ge \lambda_D$. Since $e_i^\top S e_i = \lambda_i$, **an
# eigenvalue of the covariance is the variance along its eigenvector**, and they add up to the
# total: $\sum_i \lambda_i = \operatorname{tr} S$. The direction of largest variance is $e_1$.
# Eigenvectors of a covariance are called *principal components*.
#
# <details><summary>Proof: eigenvectors of different eigenvalues are at right angles, and no direction beats e₁</summary>
#
# If $Sa = \alpha a$ and $Sb = \beta b$, then
# $\alpha\, a^\top b = (Sa)^\top b = a^\top S b = \beta\, a^\top b$, so
# $(\alpha-\beta)\,a^\top b = 0$. With $\alpha \ne \beta$, $a^\top b = 0$.
#
# Write a unit vector as $q = \sum_i c_i e_i$ with $\sum_i c_i^2 = 1$. Then
# $q^\top S q = \sum_i \lambda_i c_i^2$, a weighted mean of the eigenvalues. A mean is at most its
# largest member, $\lambda_1$, and it gets there with all the weight on $e_1$. ∎
# </details>

# %%
eigenvalues, vectors = torch.linalg.eigh(S2)  # ascending; eigenvectors are the columns
first = vectors[:, 1]
angle = math.degrees(math.atan2(first[1], first[0])) % 180
print(f"angle of e₁: {angle:.1f}°; best of the sweep: {best}°")
claim(torch.allclose(S2 @ first, eigenvalues[1] * first), "S e₁ = λ₁ e₁")
claim(losses.min() >= 0.5 * eigenvalues[0], "no angle of the sweep falls below ½ λ₂")

# %% [markdown]
# The best line is $e_1$, and what it must discard is $\tfrac12\lambda_2$.
#
# **Singular values and rank.** Any matrix $A$ can be written $A = U \Sigma V^\top$, where $U$ and
# $V$ have orthonormal columns and $\Sigma$ has numbers $\sigma_1 \ge \sigma_2 \ge \dots \ge 0$ on
# its diagonal and 0 elsewhere: turn, stretch, turn. This is the *singular value decomposition*
# (SVD). $\sigma_1$ is the most by which $A$ lengthens any vector. The **rank** is how many
# $\sigma_i$ are above 0, the dimension of all that $A$ can answer. Since
# $A^\top A = V \Sigma^2 V^\top$, the squares $\sigma_i^2$ are the eigenvalues of $A^\top A$.

# %% tags=["NBVAL_CHECK_OUTPUT"]
A = numbers(5, 2, seed=40) @ numbers(2, 4, seed=41)  # through 2 numbers
singular = torch.linalg.svdvals(A)
print("singular values above 1e-12:", (singular > 1e-12).sum().item())
claim(torch.allclose(singular**2, torch.linalg.eigvalsh(A.T @ A).flip(0), atol=1e-12), "σᵢ² are the eigenvalues of AᵀA")

# %% [markdown]
# Now real images: four thousand handwritten digits, each a vector of 784 pixels, centred.

# %%
train, test = load_images("mnist"), load_images("mnist", "test")
pixels = train.images.flatten(1).double()  # (N, D)
X = pixels - pixels.mean(dim=0)
S = X.T @ X / len(X)  # (D, D)
components = pca(X)
lam, E = components.eigenvalues, components.components  # (D,), (D, D) with eigenvectors as columns
print("X", tuple(X.shape), " S", tuple(S.shape), f" total variance {torch.trace(S):.2f}")
claim(torch.allclose(lam.sum(), torch.trace(S)), "the eigenvalues add up to the total variance")


# %%
def draw_pattern(ax, pattern, title=""):
    """A vector of 784 weights as an image: blue above 0, red below, white at 0."""
    most = pattern.abs().max()
    ax.imshow(pattern.reshape(28, 28), cmap="RdBu", vmin=-most, vmax=most)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9, loc="center")


# %%
fig, axes = plots.figure(columns=9, width=11, height=1.6)
axes[0].imshow(pixels.mean(dim=0).reshape(28, 28))
axes[0].set(xticks=[], yticks=[])
axes[0].set_title("mean", fontsize=9, loc="center")
for i, ax in enumerate(axes[1:]):
    draw_pattern(ax, E[:, i], f"$e_{i + 1}$, λ = {lam[i]:.1f}")
plots.show(fig, alt="Principal components of digits go from coarse to fine patterns. The mean digit, a blurred blob, and the "
           "first eight components in red and blue: e1 is a ring against a stroke.", number="2.5")

# %% [markdown]
# A digit is the mean, plus a number times $e_1$, plus a number times $e_2$, and so on. A code of
# size $K$ can hold $K$ such numbers.

# %% [markdown] tags=["exercise"]
# **Exercise 02.3 · the bound (★★☆, 10 min)**
#
# Write the loss of a code of size $K$ that keeps the $K$ directions of largest variance, for
# samples that need not be centred. Use the covariance with $1/N$. $K = 0$ is allowed.


# %% tags=["exercise"]
def bound(samples, code_size):
    """Half the variance that the best `code_size` directions discard; samples are (N, D)."""
    ### BEGIN SOLUTION
    centred = samples - samples.mean(dim=0)
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred / len(samples)).flip(0)  # largest first
    return 0.5 * eigenvalues[code_size:].sum().item()
    ### END SOLUTION


bound = check("02.3", bound)

# %% [markdown]
# ## 5 · Gradients of matrices
#
# The linear autoencoder has an encoder $W_1 \in \mathbb{R}^{K\times D}$ and a decoder
# $W_2 \in \mathbb{R}^{D\times K}$:
#
# $$z = W_1 x, \qquad y = W_2 z = W_2 W_1 x .$$
#
# The gradient of $L$ with respect to a matrix is the matrix of all $\partial L/\partial W_{ij}$.
# **Differentials** find it without indices: nudge the weights by a small $dW$, find how $L$ changes
# to first order, and bring that into the shape
#
# $$dL = \operatorname{tr}(G^\top dW) = \sum_{ij} G_{ij}\, dW_{ij} .$$
#
# Then $G$ *is* the gradient, because the coefficient of $dW_{ij}$ is what
# $\partial L/\partial W_{ij}$ means.
#
# Start at the output. With the error $e = y - x$, section 1 says $dL = e^\top dy$.
#
# **Decoder.** Only $W_2$ moves: $dy = dW_2\,z$. So
# $dL = e^\top dW_2\, z = \operatorname{tr}(e^\top dW_2\, z) = \operatorname{tr}(z\,e^\top dW_2)$,
# using that a number is its own trace, then the circle rule. Compare: $G^\top = z e^\top$, so
#
# $$\frac{\partial L}{\partial W_2} = e\,z^\top \qquad (D\times K). \tag{2.1}$$
#
# **Encoder.** Only $W_1$ moves: $dy = W_2\,dW_1\,x$, so
# $dL = e^\top W_2\, dW_1\, x = \operatorname{tr}(x\,e^\top W_2\,dW_1)$ and
#
# $$\frac{\partial L}{\partial W_1} = (W_2^\top e)\,x^\top \qquad (K\times D). \tag{2.2}$$
#
# Read them aloud: *the gradient of a weight matrix is the error at its output times its input.*
# For $W_1$ the error at its output is $W_2^\top e$: the error $e$ sent back through the decoder,
# transposed. That is backpropagation.

# %%
W1, W2, x = numbers(3, 7, seed=12), numbers(7, 3, seed=13), numbers(7, seed=14)  # K = 3, D = 7
z = W1 @ x
e = W2 @ z - x
ours = torch.outer(W2.T @ e, x), torch.outer(e, z)
theirs = autograd(lambda W1, W2: 0.5 * ((x - W2 @ W1 @ x) ** 2).sum(), W1, W2)
claim(
    largest_difference(ours, theirs) < 1e-8,
    "both matrix gradients of one sample equal autograd's to 1e-8",
)

# %% [markdown]
# **All samples at once.** Let $M = W_2W_1$. Then $e = (M - I)x$, and the mean of the decoder's
# gradient is $\overline{(M-I)\,x x^\top W_1^\top}$. Everything but $x x^\top$ is constant, and
# the mean of $x x^\top$ is the covariance $S$. The samples are gone; only $S$ stays:
#
# $$L = \tfrac12 \operatorname{tr}\bigl[(I - M)\,S\,(I - M)^\top\bigr] . \tag{2.3}$$

# %% [markdown] tags=["exercise"]
# **Exercise 02.4 · the gradients in matrix form (★★★, 15 min)**
#
# Average $e z^\top$ and $(W_2^\top e)x^\top$ over the samples and write them with $W_1$, $W_2$ and
# $S$ alone. Then let the shapes check you: a gradient is shaped like its matrix.


# %% tags=["exercise"]
def linear_gradients(W1, W2, S):
    """Returns (∂L/∂W₁, ∂L/∂W₂) for W1 (K, D), W2 (D, K) and the covariance S (D, D)."""
    ### BEGIN SOLUTION
    error = (W2 @ W1 - torch.eye(len(S), dtype=S.dtype)) @ S  # (D, D), the mean of e xᵀ
    return W2.T @ error, error @ W1.T
    ### END SOLUTION


linear_gradients = check("02.4", linear_gradients)


# %%
def linear_loss(W1, W2, S):
    """The mean loss ½ tr[(I − W₂W₁) S (I − W₂W₁)ᵀ] of a linear autoencoder."""
    rest = torch.eye(len(S), dtype=S.dtype) - W2 @ W1
    return 0.5 * torch.trace(rest @ S @ rest.T)


W1, W2 = numbers(4, 784, seed=15) / 28, numbers(784, 4, seed=16) / 28
from_samples = 0.5 * ((X - X @ W1.T @ W2.T) ** 2).sum(dim=1).mean()
claim(
    abs(linear_loss(W1, W2, S) / from_samples - 1) < 1e-10,
    "the loss of all 4,000 images needs only their covariance",
)
theirs = autograd(lambda W1, W2: 0.5 * ((X - X @ W1.T @ W2.T) ** 2).sum(dim=1).mean(), W1, W2)
difference = largest_difference(linear_gradients(W1, W2, S), theirs)
claim(
    difference < 1e-8,
    f"and so do both gradients: autograd through all images differs by {difference:.0e}",
)

# %% [markdown]
# $M - I$ is a 784 × 784 matrix, and multiplying it by $S$ costs about a billion operations.
# Everything passes through a code of a few numbers, so multiply in another order, with
# $A = W_1 S$ ($K\times D$) computed once:
#
# $$\frac{\partial L}{\partial W_1} = W_2^\top W_2\,A - (S W_2)^\top, \qquad \frac{\partial L}{\partial W_2} = W_2\,(A W_1^\top) - A^\top .$$
#
# The numbers are the same. Matrix products are associative; their price isn't.


# %%
def fast_gradients(W1, W2, S):
    """The same as linear_gradients, multiplied in an order that never forms a D × D product."""
    A = W1 @ S  # (K, D)
    return (W2.T @ W2) @ A - W2.T @ S, W2 @ (A @ W1.T) - A.T


difference = largest_difference(fast_gradients(W1, W2, S), linear_gradients(W1, W2, S))
claim(difference < 1e-8, "both orders of multiplication give the same gradients")

# %% [markdown]
# ## 6 · The bound, proved
#
# **Theorem** (Eckart and Young 1936; for autoencoders Bourlard and Kamp 1988, Baldi and Hornik
# 1989). On centred data with covariance eigenvalues $\lambda_1 \ge \dots \ge \lambda_D$, every
# linear autoencoder with a code of size $K$ has
#
# $$L \;\ge\; \tfrac12 \sum_{i > K} \lambda_i ,$$
#
# and $M = W_2W_1 = E_K E_K^\top$, the projection onto the first $K$ eigenvectors (they are the
# columns of $E_K$), reaches it.
#
# The idea: all reconstructions lie in a subspace of dimension $K$. The best reconstruction in it is
# the projection, and no subspace keeps more variance than that of the first $K$ eigenvectors.
#
# <details><summary>The proof in four lines</summary>
#
# 1. Every $y = W_2 z$ lies in the span of the $K$ columns of $W_2$. Let $Q$ ($D\times K$) be an
#    orthonormal basis of a $K$-dimensional subspace that contains them.
# 2. The nearest point of that subspace to $x$ is $QQ^\top x$ (section 4), so
#    $\|x - y\|^2 \ge \|x - QQ^\top x\|^2 = \|x\|^2 - \|Q^\top x\|^2$. Averaging and halving,
#    $L \ge \tfrac12\bigl(\operatorname{tr} S - \operatorname{tr}(Q^\top S Q)\bigr)$.
# 3. Expand in eigenvectors: $\operatorname{tr}(Q^\top S Q) = \sum_i \lambda_i c_i$ with
#    $c_i = \|Q^\top e_i\|^2$. Each $c_i$ lies between 0 and 1, since a projection lengthens
#    nothing, and
#    $\sum_i c_i = \operatorname{tr}(Q^\top E E^\top Q) = \operatorname{tr}(Q^\top Q) = K$.
# 4. So we hand out a total weight of $K$ over the eigenvalues, at most 1 each. The best way is 1
#    for the $K$ largest: $\sum_i \lambda_i c_i \le \lambda_1 + \dots + \lambda_K$. Therefore
#    $L \ge \tfrac12\sum_{i>K}\lambda_i$, with equality for $Q = E_K$. ∎
# </details>

# %%
sizes = [2, 4, 8, 16, 32, 64]
for size in sizes:
    basis = E[:, :size]
    reached = linear_loss(basis.T, basis, S).item()
    limit = bound(pixels, size)
    print(f"code {size:2d}: the bound {limit:8.4f}   loss of the projection {reached:8.4f}")
    claim(abs(reached / limit - 1) < 1e-9, f"projection onto {size} components meets the bound")

# %% [markdown]
# ## 7 · Does gradient descent get there?
#
# A bound speaks of the best weights. Nothing says that training finds them: $L$ is a polynomial of
# degree four in the weights, and we start at random. We use only the gradients derived above, and
# no eigenvector.
#
# Commit first: with a code of 16 numbers and 1,000 steps, by how many per cent will the loss
# exceed its bound?

# %%
predict("02.excess", ..., unit="%")


# %%
def train_linear(S, code_size, steps=1000, seed=0, learning_rate=0.01):
    """W₁ and W₂ of a linear autoencoder after Adam on our own gradients, from a random start."""
    D, S = len(S), S.float()
    generator = torch.Generator().manual_seed(seed)
    W1 = torch.randn(code_size, D, generator=generator) / D**0.5
    W2 = torch.randn(D, code_size, generator=generator) / D**0.5
    optimizer = torch.optim.Adam([W1, W2], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        W1.grad, W2.grad = fast_gradients(W1, W2, S)
        optimizer.step()
        schedule.step()
    return W1.double(), W2.double()


# %%
trained = {size: train_linear(S, size, steps=dial(smoke=100, laptop=1000)) for size in sizes}
ratios = {
    size: (linear_loss(*weights, S) / linear_bound(lam, size)).item()
    for size, weights in trained.items()
}
for size, ratio in ratios.items():
    print(f"code {size:2d}: loss / bound = {ratio:.8f}")
reveal("02.excess", 100 * (ratios[16] - 1))

# %%
claim(
    all(1 - 1e-9 <= ratio < 1.001 for ratio in ratios.values()),
    "every loss is within 0.1 % of its bound, none below it",
)
headline(
    "linear autoencoder: loss above its bound, worst of codes 2 to 64",
    100 * (max(ratios.values()) - 1),
    0.1,
    unit="%",
)

# %%
fig, ax = plots.figure(width=6.5, height=4)
every = torch.arange(1, 101)
ax.plot(every, [linear_bound(lam, int(k)) for k in every], color=plots.BLUE)
ax.plot(sizes, [linear_loss(*trained[k], S).item() for k in sizes], "o", color=plots.ORANGE)
ax.text(2.8, 21.5, "line: the bound, ½ Σ discarded eigenvalues", color=plots.BLUE)
ax.text(1.1, 8, "dots: trained from\nrandom weights", color=plots.ORANGE)
ax.set(xlabel="code size K", ylabel="loss ½ Σ (x − y)² per image", xscale="log", ylim=(0, None))
ax.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
plots.show(fig, alt="Six trained linear autoencoders, codes 2 to 64, lie on the bound. The bound falls as the code grows from "
           "1 to 100 numbers.", number="2.6")

# %% [markdown]
# ### Is it the same subspace?
#
# Every dot in Figure 2.6 lies on the line. Do the columns of $W_2$ span the same subspace as
# $e_1 \dots e_K$? Two planes through the origin can share a line and differ in the rest.
# **Principal angles**: take the unit vector in one subspace and the unit vector in the other that
# are closest; their angle is the first. Repeat among the vectors at right angles to those found.
# The *largest* of the $K$ angles is 0 exactly if the subspaces are equal. With orthonormal bases
# $Q_a$ and $Q_b$, the cosines of the angles are the singular values of $Q_a^\top Q_b$.

# %% [markdown] tags=["exercise"]
# **Exercise 02.5 · the angle between subspaces (★★★, 15 min)**
#
# Return the largest principal angle in degrees. The columns you are given are neither of length 1
# nor at right angles: `torch.linalg.qr` gives an orthonormal basis. `torch.linalg.svdvals`
# returns singular values, largest first. Rounding may push a cosine above 1.


# %% tags=["exercise"]
def largest_angle(A, B):
    """The largest angle, in degrees, between the column spans of A (D, K) and B (D, K)."""
    ### BEGIN SOLUTION
    basis_a, _ = torch.linalg.qr(A)
    basis_b, _ = torch.linalg.qr(B)
    cosines = torch.linalg.svdvals(basis_a.T @ basis_b).clamp(max=1)
    return cosines.min().acos().rad2deg().item()
    ### END SOLUTION


largest_angle = check("02.5", largest_angle)

# %%
print("code   loss / bound − 1   largest angle   next eigenvalue smaller by")
gaps = {size: (1 - lam[size] / lam[size - 1]).item() for size in sizes}
turned = {size: largest_angle(E[:, :size], trained[size][1]) for size in sizes}
for size in sizes:
    print(f"{size:4d}   {ratios[size] - 1:16.1e}   {turned[size]:11.3f}°   {gaps[size]:12.1%}")
claim(
    all(turned[k] < 1 for k in sizes if gaps[k] >= 0.05),
    "below 1° wherever the next eigenvalue is at least 5 % smaller",
)

# %% [markdown]
# In the rows with a large angle the loss is as good as at the bound, and yet one direction of the
# subspace is far off. The last column tells why. At a small gap, the last direction kept and the
# first one discarded carry nearly the same variance. Swapping them costs next to nothing, and
# **the loss only sees variance**.
#
# Make it exact. Let the code keep $e_1 \dots e_{K-1}$ and, as its last direction, $e_K$ turned by
# an angle $\vartheta$ towards $e_{K+1}$. That direction holds the variance
# $\lambda_K\cos^2\vartheta + \lambda_{K+1}\sin^2\vartheta$, so
#
# $$L - L_{\min} = \tfrac12\,(\lambda_K - \lambda_{K+1})\,\sin^2\vartheta .$$


# %%
def turned_basis(size, degrees):
    """The first `size` components, the last of them turned towards the next, (D, K)."""
    angle, basis = math.radians(degrees), E[:, :size].clone()
    basis[:, -1] = math.cos(angle) * E[:, size - 1] + math.sin(angle) * E[:, size]
    return basis


for size in (16, 32):
    basis = turned_basis(size, 40)
    excess = linear_loss(basis.T, basis, S) - linear_bound(lam, size)
    formula = 0.5 * (lam[size - 1] - lam[size]) * math.sin(math.radians(40)) ** 2
    percent = 100 * excess / linear_bound(lam, size)
    print(f"code {size}: turning 40° raises the loss by {percent:.4f} % of the bound")
    claim(abs(excess - formula) < 1e-8, "the formula holds to 1e-8")

# %% [markdown]
# A flat valley is also walked slowly, so the code of 32 isn't wrong, it isn't finished. Here is the
# same run with three times the steps.

# %%
longer = train_linear(S, 32, steps=dial(smoke=100, laptop=3000))
excess = (linear_loss(*longer, S) / linear_bound(lam, 32)).item() - 1
angle = largest_angle(E[:, :32], longer[1])
print(f"three times the steps: loss / bound − 1 = {excess:.1e}, largest angle {angle:.3f}°")
claim(angle < 1, "with more steps the code of 32 finds the subspace too")

# %% [markdown]
# The same for three random starts each is in the *ledger*: the files in `results/` that say what an
# experiment predicted and what it measured.

# %%
ledger = results("02-linear-autoencoder")["measured"]
print("code  steps   worst loss / bound − 1   largest angle of each start")
for size in sizes:
    for steps in ledger["steps"]:
        rows = [row for row in ledger["rows"] if row["code_size"] == size and row["steps"] == steps]
        spread = "  ".join(f"{row['angle']:8.3f}°" for row in rows)
        print(f"{size:4d}  {steps:5d}   {max(row['ratio'] for row in rows) - 1:22.1e}   {spread}")

# %% [markdown]
# The angles at the two sizes with small gaps differ widely from start to start. Longer training shrinks the angle for every start.
#
# ## 8 · A subspace, not the components
#
# "A linear autoencoder learns PCA" is often said, and half true. Compare the principal components
# with the decoder's columns.

# %%
W1, W2 = trained[8]
fig, axes = plots.figure(columns=8, rows=2, width=10, height=2.7)
for row, name, columns in zip(axes, ("principal\ncomponents", "decoder\ncolumns"), (E[:, :8], W2)):
    for ax, column in zip(row, columns.T):
        draw_pattern(ax, column)
    row[0].set_ylabel(name)
plots.show(fig, alt="The columns of the trained decoder are not the principal components. Upper row: eight components, from "
           "coarse to fine. Lower row: the decoder's eight columns, each a mixture of them.", number="2.7")

# %% [markdown]
# They can't be expected to match in Figure 2.7. For any invertible $R$ ($K \times K$), the pair
# $R W_1$ and $W_2 R^{-1}$ has the same product: $W_2 R^{-1} R W_1 = W_2 W_1$. The loss cannot tell
# them apart, so training ends at whichever the start leads to. What *is* determined is what comes
# out: on every image of the data, $W_2W_1x = E_K E_K^\top x$.

# %%
R = numbers(8, 8, seed=18)
same = linear_loss(R @ W1, W2 @ torch.linalg.inv(R), S)
claim(
    abs(same / linear_loss(W1, W2, S) - 1) < 1e-8,
    "mixing the code by any invertible R leaves the loss as it is",
)
difference = (X @ W1.T @ W2.T - X @ E[:, :8] @ E[:, :8].T).abs().max().item()
claim(
    difference < 0.01,
    f"its 4,000 reconstructions are PCA's: no pixel differs by more than {difference:.1e}",
)

# %% [markdown]
# So a single code number means nothing in this model; only the space that all of them span does.
#
# ## 9 · Saddles, but no traps
#
# Baldi and Hornik (1989) found all stationary points. If the eigenvalues are distinct and positive,
# $W_2W_1$ is there the projection onto **any** $K$ eigenvectors (or fewer), and the loss is half the
# sum of the eigenvalues left out. Only the choice of the first $K$ is a minimum; every other one is
# a saddle.
#
# Seeing why takes one swap. Suppose a code of size 2 keeps $e_1$ and $e_3$. Turn $e_3$ by
# $\vartheta$ towards the missing $e_2$: the variance kept grows by
# $(\lambda_2 - \lambda_3)\sin^2\vartheta$. That is downhill for every angle, and it starts with
# slope zero, like the way down from the hilltop in Figure 2.4.

# %%
stuck = E[:, [0, 2]]  # e₁ and e₃
gradient = max(g.abs().max().item() for g in fast_gradients(stuck.T, stuck, S))
at_saddle = linear_loss(stuck.T, stuck, S).item()
claim(gradient < 1e-8, f"at e₁, e₃ the gradient vanishes: {gradient:.0e}")
claim(
    abs(at_saddle - (linear_bound(lam, 2) + 0.5 * (lam[1] - lam[2]))) < 1e-8,
    "its loss is half the sum of the eigenvalues left out",
)
for degrees in (0, 5, 20, 90):
    t = math.radians(degrees)
    basis = torch.stack([E[:, 0], math.cos(t) * E[:, 2] + math.sin(t) * E[:, 1]], dim=1)
    print(f"turned {degrees:2d}° towards e₂: loss {linear_loss(basis.T, basis, S):.4f}")

# %% [markdown]
# Place gradient descent on this saddle, with a nudge of one part in a million. Sketch the recorded
# loss before you run the cell.


# %%
def descent_log(W1, W2, S, steps, learning_rate=0.1):
    """The loss before each of `steps` plain gradient steps."""
    losses = []
    for _ in range(steps):
        losses.append(linear_loss(W1, W2, S).item())
        g1, g2 = fast_gradients(W1, W2, S)
        W1, W2 = W1 - learning_rate * g1, W2 - learning_rate * g2
    return losses


nudged = stuck + 1e-6 * numbers(784, 2, seed=19)
top = E[:, :40]  # the same problem in the coordinates of 40 components: quicker to compute
small_S = torch.diag(lam[:40])
log = descent_log((top.T @ nudged).T, top.T @ nudged, small_S, steps=dial(smoke=1000, laptop=1000))
log = [value + 0.5 * lam[40:].sum().item() for value in log]  # what 40 components cannot show

# %%
fig, ax = plots.figure(width=6.5, height=3.2)
ax.plot(log, color=plots.BLUE)
for level, name in [(at_saddle, "saddle: e₁ and e₃"), (linear_bound(lam, 2), "minimum: e₁ and e₂")]:
    ax.axhline(level, color="grey", ls=":")
    ax.annotate(name, (len(log) * 0.99, level), (0, 4), textcoords="offset points", ha="right")
ax.set(xlabel="gradient step", ylabel="loss")
plots.show(fig, alt="The loss stays at that of the saddle for hundreds of steps, then drops to the minimum.", number="2.8")
claim(
    log[-1] < linear_bound(lam, 2) * 1.001,
    "descent leaves the saddle by itself and finds the minimum",
)

# %% [markdown]
# Whoever stops at step 100 of Figure 2.8 believes that the model has converged. **A flat loss need
# not be a minimum**: another start, or a little noise, would tell.
#
# ## 10 · Stage by stage
#
# Start instead near the saddle at 0, with small weights everywhere; with one pair of weights it was
# the saddle of Figure 2.2. Write the weights in the eigenvectors' coordinates:
# $a_i = W_1 e_i$ and $b_i = W_2^\top e_i$, two vectors of $K$ numbers for each component. The
# product $u_i = b_i^\top a_i = e_i^\top W_2 W_1 e_i$ is the **strength** with which component $i$
# comes back: 0 not at all, 1 perfectly. If the vectors of different components are at right angles,
# they don't disturb each other, and the loss falls apart into a sum,
#
# $$L = \sum_i \tfrac12\,\lambda_i\,(1 - u_i)^2 \qquad\text{: section 2, once for each component, with } s = \lambda_i .$$
#
# So each strength must follow the sigmoid of section 2, at its own speed $2\lambda_i$. Large
# variance first, fine detail later: **learning happens in stages** (Saxe, McClelland and Ganguli
# 2014, for deep linear networks in general). The start must be *balanced*, $W_2 = W_1^\top$, as
# $w = v$ was in section 2.
#
# We run two starts: an *aligned* one, in which each component begins in a code number of its own,
# and a random one, in which the vectors are only roughly at right angles. Components 1 and 12 begin
# alike; look at their eigenvalues and predict how many times later the second one reaches one half.

# %%
print(f"λ₁ = {lam[0]:.2f}, λ₁₂ = {lam[11]:.2f}")
predict("02.later", ..., unit="times later")

# %% [markdown]
# We write the images in the coordinates of their first 100 components. That changes nothing for
# plain gradient descent, and it makes the covariance diagonal, with the eigenvalues on the diagonal.


# %%
def strengths(W2, variances, steps, learning_rate=0.002, every=10):
    """Gradient descent from W₁ = W₂ᵀ: the strengths (steps / every, D) on the way."""
    W1, S, log = W2.T.clone(), torch.diag(variances), []
    for step in range(steps):
        if step % every == 0:
            log.append((W1.T * W2).sum(dim=1))  # the diagonal of W₂W₁
        g1, g2 = fast_gradients(W1, W2, S)
        W1, W2 = W1 - learning_rate * g1, W2 - learning_rate * g2
    return torch.stack(log)


# %%
watched = [0, 1, 3, 5, 7, 11]
starts = {
    "aligned": 1e-3 * torch.eye(100).double()[:, :64],
    "random": 1e-3 * numbers(100, 64, seed=20) / 8,
}
by_start = {
    name: strengths(W2, lam[:100], steps=dial(smoke=3500, laptop=3500))
    for name, W2 in starts.items()
}

# %%
time = torch.arange(len(by_start["random"])).double() * 10 * 0.002  # (T,)
fig, axes = plots.figure(columns=2, width=11, height=3.6)
differences = {}
for ax, (name, W2) in zip(axes, starts.items()):
    u0 = (W2**2).sum(dim=1)  # (D,), the strengths at the start
    law = sigmoid_law(time[:, None], u0, lam[:100])  # (T, D)
    differences[name] = (by_start[name] - law)[:, watched].abs().max().item()
    for colour, i in zip(plots.COLOURS, watched):
        ax.plot(time, by_start[name][:, i], color=colour)
        ax.plot(time, law[:, i], color="black", lw=0.9, ls="--")
    ax.set(xlabel="time (steps × learning rate)", title=f"{name} start")
axes[0].set_ylabel("strength of a component")
for colour, i in zip(plots.COLOURS, watched):
    axes[0].text(math.log(1e6) / (2 * lam[i].item()), 0.5, f" {i + 1}", color=colour)
    axes[1].text(math.log(1e6) / (2 * lam[i].item()), 0.5, f" {i + 1}", color=colour)
plots.show(fig, alt="Components are learned one after the other, in order of their variance. Strengths of components 1, 2, 4, "
           "6, 8 and 12 against time. Left, aligned start: the dashed sigmoids lie on the curves. "
           "Right, random start: same order, slightly later than the dashed sigmoids.", number="2.9")

# %%
halfway = [(by_start["aligned"][:, i] > 0.5).float().argmax().item() for i in (0, 11)]
reveal("02.later", halfway[1] / max(1, halfway[0]))
print(f"λ₁ / λ₁₂ = {lam[0] / lam[11]:.2f}")
print("largest difference to the sigmoids:", {k: round(d, 3) for k, d in differences.items()})
claim(differences["aligned"] < 0.03, "from an aligned start every strength follows its sigmoid")
order = [(by_start["random"][:, i] > 0.5).float().argmax().item() for i in watched]
in_order = order == sorted(order) and order[0] > 0
claim(in_order, f"from a random start the order is the same: steps {[10 * o for o in order]}")

# %% [markdown]
# In Figure 2.9 the numbers at the curves are the components'. The dashed law knows the eigenvalues
# and the start and nothing else.

# %% [markdown] tags=["exercise"]
# **Exercise 02.6 · read four logs (★★☆, 10 min)**
#
# Four linear autoencoders with a code of 2 were trained on the same small data set (6 dimensions) by
# plain gradient descent, and the loss noted at every 37th step. Answer with a dictionary,
# `{"A": "…", "B": "…", "C": "…", "D": "…"}`, that names the condition of each:
#
# * `"healthy"`: nothing is wrong;
# * `"small start"`: the weights start so small that training sits on a saddle first;
# * `"learning rate"`: the learning rate is too high;
# * `"not centred"`: the mean was not subtracted (the model has no bias).

# %% tags=["exercise"]
lowest, logs = training_logs()
print(f"bound on the centred data: {lowest:.3f}")
for name, losses in logs.items():
    print(name, "  ".join(f"{loss:6.3f}" for loss in losses))

### BEGIN SOLUTION
diagnosis = {
    "A": "not centred",  # it settles quietly, but above the bound: a code number is spent on the mean
    "B": "small start",  # it stands still first, as on a saddle, and then reaches the bound
    "C": "healthy",  # it falls at once, and ends on the bound
    "D": "learning rate",  # it jumps up and down and never settles
}
### END SOLUTION
diagnosis = check("02.6", diagnosis)

# %% [markdown]
# ## Half-way
#
# What holds for every linear autoencoder:
#
# * $L = \tfrac12\sum(x-y)^2$; its gradient at the output is the error. The gradient of a weight
#   matrix is the error at its output times its input, and errors travel back through transposes.
# * On centred data none gets below ½ the sum of the discarded eigenvalues, and gradients from a
#   random start get there (Figure 2.6): the headline of this chapter.
# * What is found is the *subspace*. Single directions are arbitrary, and where two eigenvalues
#   nearly tie, even the subspace comes late.
# * Stationary points are projections onto any eigenvectors; all but the best are saddles. A
#   plateau can be a saddle being left (Figure 2.8).
# * From small balanced weights components are learned in order of variance, each on its own
#   sigmoid (Figure 2.9).
#
# This is a good place to stop for the day.

# %% [markdown]
# ## 11 · Depth and non-linearity
#
# A deep network is a **composition**: each layer reads what the one before it wrote. With
# pre-activations $a_l$, activations $h_l$ and $h_0 = x$,
#
# $$a_l = W_l\,h_{l-1} + b_l, \qquad h_l = f_l(a_l), \qquad y = h_n .$$
#
# Without the $f_l$ depth would add nothing to what the network can compute: $W_4W_3W_2W_1$ is one
# matrix, whose rank is at most the smallest layer. The bound of section 6 holds for linear
# networks of any depth.

# %% tags=["NBVAL_CHECK_OUTPUT"]
layers = [
    numbers(64, 128, seed=21),
    numbers(32, 64, seed=22),
    numbers(64, 32, seed=23),
    numbers(128, 64, seed=24),
]
product = layers[3] @ layers[2] @ layers[1] @ layers[0]  # (128, 128)
rank = torch.linalg.matrix_rank(product).item()
print(f"four layers are one matrix {tuple(product.shape)} of rank {rank}")

# %% [markdown]
# ### Backpropagation, derived once for all
#
# Let $\delta_l = \partial L/\partial a_l$, the error at the pre-activation of layer $l$. At the
# output, $dL = (y - x)^\top dy$ and $dy = f_n'(a_n) \odot da_n$, where $\odot$ multiplies entry
# by entry. So
#
# $$\delta_n = (y - x)\odot f_n'(a_n) .$$
#
# One layer down: $da_{l+1} = W_{l+1}\,dh_l$ and $dh_l = f_l'(a_l)\odot da_l$, hence
# $dL = \delta_{l+1}^\top W_{l+1}\,dh_l$ and
#
# $$\delta_l = (W_{l+1}^\top\,\delta_{l+1})\odot f_l'(a_l) .$$
#
# And within a layer $da_l = dW_l\,h_{l-1} + db_l$, so, as in section 5, error times input:
#
# $$\frac{\partial L}{\partial W_l} = \delta_l\,h_{l-1}^\top, \qquad \frac{\partial L}{\partial b_l} = \delta_l .$$
#
# Two derivatives are needed. ReLU, $\max(0, a)$: 1 where $a > 0$, else 0. Sigmoid,
# $\sigma(a) = 1/(1 + e^{-a})$: $\sigma' = \sigma(1 - \sigma)$.

# %% [markdown] tags=["exercise"]
# **Exercise 02.7 · backpropagation (★★★, 40 min)**
#
# Write it for a batch: samples are the rows of `x` (B, D), `weights` holds the $W_l$ (out, in) and
# `biases` the $b_l$ (out,). Hidden layers are ReLU, the output is a sigmoid. The loss is averaged
# over the batch: put the $1/B$ into $\delta_n$, and every other gradient has it. Keep every $h_l$ on
# the way up (it gives $f_l'$); on the way down each layer takes three lines.


# %% tags=["exercise"]
def backpropagate(x, weights, biases):
    """Returns the mean loss of x, the list of all ∂L/∂W and that of all ∂L/∂b, first layer first."""
    ### BEGIN SOLUTION
    activations = [x]
    for W, b in zip(weights[:-1], biases[:-1]):
        activations.append((activations[-1] @ W.T + b).clamp(min=0))  # (B, size)
    y = torch.sigmoid(activations[-1] @ weights[-1].T + biases[-1])
    delta = (y - x) * y * (1 - y) / len(x)  # (B, D)
    dW, db = [], []
    for W, h in zip(reversed(weights), reversed(activations)):
        dW.insert(0, delta.T @ h)
        db.insert(0, delta.sum(dim=0))
        delta = (delta @ W) * (h > 0)  # h > 0 exactly where a > 0; of no use at the input
    return 0.5 * ((x - y) ** 2).sum(dim=1).mean(), dW, db
    ### END SOLUTION


backpropagate = check("02.7", backpropagate)

# %% [markdown]
# Here is the article's own network, 128 → 64 → 32 → 64 → 128 with three ReLUs and a sigmoid,
# under test: four matrices and four biases.

# %%
weights = [W / W.shape[1] ** 0.5 for W in layers]
biases = [0.1 * numbers(len(W), seed=25) for W in layers]
x = torch.rand(10, 128, generator=torch.Generator().manual_seed(26)).double()


def article_loss(*parameters):
    h = x
    for W, b in zip(parameters[:3], parameters[4:7]):
        h = F.relu(h @ W.T + b)
    return 0.5 * ((x - torch.sigmoid(h @ parameters[3].T + parameters[7])) ** 2).sum(dim=1).mean()


loss, dW, db = backpropagate(x, weights, biases)
difference = largest_difference(dW + db, autograd(article_loss, *weights, *biases))
claim(difference < 1e-8, f"all eight gradients equal autograd's: largest difference {difference:.0e}")

# %% [markdown]
# ### Tied weights, biases, and the output
#
# **Tied weights.** Use one matrix twice, $y = W^\top W x$. It now influences $L$ in two ways, and
# the gradient is the sum of both: as encoder $(W e)\,x^\top$, as decoder $e z^\top$, transposed
# into the shape of $W$: $\;\partial L/\partial W = (W e)\,x^\top + z\,e^\top$.

# %%
W, x = numbers(3, 7, seed=27), numbers(7, seed=28)
z, e = W @ x, W.T @ W @ x - x
theirs = autograd(lambda W: 0.5 * ((x - W.T @ W @ x) ** 2).sum(), W)
claim(largest_difference([torch.outer(W @ e, x) + torch.outer(z, e)], theirs) < 1e-8, "tied weights")

# %% [markdown]
# **Biases.** Averaged over the data, the gradient of a linear decoder's bias is the mean error. At a
# minimum it vanishes: $\overline{y} = \overline{x}$. The network has then centred the data by itself,
# and its bound on raw pixels is that of centred pixels (Bourlard and Kamp 1988).
#
# **The output.** A sigmoid answers between 0 and 1: pixels suit it, centred pixels don't. A target $t$
# below 0 costs at least $\tfrac12 t^2$, whatever happens inside, and the factor
# $\sigma' = y(1 - y)$ in $\delta_n$ tends to 0 on the way there.
#
# ### The loop
#
# **Adam** (Kingma and Ba 2015) keeps two running means for each parameter $w$, one of its gradient
# $g$ and one of $g^2$. Both start at 0:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\,g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\,g^2, \qquad
# w \leftarrow w - \eta\,\frac{m/(1 - \beta_1^t)}{\sqrt{v/(1 - \beta_2^t)} + \varepsilon} . \tag{2.4}$$
#
# $\eta$ is the learning rate, $t$ counts updates from 1, $\beta_1 = 0.9$, $\beta_2 = 0.999$,
# $\varepsilon = 10^{-8}$. The divisions by $1 - \beta^t$ make up for the start at 0. A gradient is
# divided by its own recent size, so a constant factor in the loss hardly matters.

# %% [markdown] tags=["exercise"]
# **Exercise 02.8 · the training loop (★★★, 30 min)**
#
# For each batch: one `backpropagate`, then one update by equation (2.4) of every weight and bias.
# Return the new weights, the new biases, and the loss before each update.


# %% tags=["exercise"]
def train_network(weights, biases, batches, learning_rate):
    """Adam on batches (B, D): the new weights, the new biases, and a loss for each batch."""
    ### BEGIN SOLUTION
    parameters, split, losses = [p.clone() for p in (*weights, *biases)], len(weights), []
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for t, x in enumerate(batches, start=1):
        loss, dW, db = backpropagate(x, parameters[:split], parameters[split:])
        losses.append(float(loss))
        for p, g, m, v in zip(parameters, dW + db, means, squares):
            m += 0.1 * (g - m)
            v += 0.001 * (g**2 - v)
            p -= learning_rate * m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return parameters[:split], parameters[split:], losses
    ### END SOLUTION


train_network = check("02.8", train_network)

# %% [markdown]
# Your loop now trains a deep autoencoder on the digits, 784 → 256 → 30 → 256 → 784.


# %%
def random_start(*sizes):
    """Weights of variance 2 / inputs, as ReLU wants (He et al. 2015), and biases of 0, in float32."""
    weights = [torch.randn(out, size) * (2 / size) ** 0.5 for size, out in zip(sizes, sizes[1:])]
    return weights, [torch.zeros(size) for size in sizes[1:]]


torch.manual_seed(0)
digits = train.images.flatten(1)  # (N, 784) float32
batches = [digits[torch.randint(len(digits), (100,))] for _ in range(dial(smoke=20, laptop=1000))]
weights, biases, losses = train_network(*random_start(784, 256, 30, 256, 784), batches, learning_rate=2e-3)
print(f"{sum(p.numel() for p in (*weights, *biases)):,} parameters; loss of the first batch {losses[0]:.1f}, "
      f"of the last ten {sum(losses[-10:]) / 10:.2f}")

# %% [markdown]
# Section 13 asks what this network is worth on digits that it never saw.
#
# ## 12 · Regularisation
#
# On the linear autoencoder one can compute what L2 and dropout do.
#
# ### L2 switches components off
#
# Add $\tfrac\lambda2\bigl(\|W_1\|^2 + \|W_2\|^2\bigr)$. For one weight pair the penalty is
# $\tfrac\lambda2(w^2 + v^2)$, which for a given product $u = vw$ is smallest when both are equal,
# and is then $\lambda u$. What remains is $\min_u \tfrac12 s(1-u)^2 + \lambda u$ with $u \ge 0$.
# Setting the derivative $-s(1-u) + \lambda$ to zero,
#
# $$u^\star = \max\bigl(0,\; 1 - \lambda/s\bigr).$$
#
# A component whose variance is below $\lambda$ is not shrunk but **switched off**; the others are
# shrunk, the strong ones least. Kunin and colleagues (2019) prove it for the matrices, with
# $s = \lambda_i$ for component $i$. ($\lambda$ without an index is the strength of the penalty,
# $\lambda_i$ is an eigenvalue.) Below, a code of 8 is trained with $\lambda = 2$. Look at the
# eigenvalues and predict how many of the eight components stay on.

# %%
print("first eight eigenvalues:", [round(value, 2) for value in lam[:8].tolist()])
predict("02.survivors", ..., unit="components")


# %%
def train_penalised(S, size, penalty, steps, learning_rate=0.05):
    """W₁, W₂ after plain gradient descent with an L2 penalty on both."""
    W1, W2 = numbers(size, len(S), seed=33) / 28, numbers(len(S), size, seed=34) / 28
    for _ in range(steps):
        g1, g2 = fast_gradients(W1, W2, S)
        W1, W2 = W1 - learning_rate * (g1 + penalty * W1), W2 - learning_rate * (g2 + penalty * W2)
    return W1, W2


W1, W2 = train_penalised(S, 8, penalty=2.0, steps=dial(smoke=1500, laptop=1500))
strength = ((W1 @ E) * (E.T @ W2).T).sum(dim=0)[:8]
print("measured ", [round(value, 4) for value in strength.tolist()])
print("1 − λ/λᵢ ", [round(max(0, 1 - 2 / value), 4) for value in lam[:8].tolist()])
reveal("02.survivors", int((strength > 0.01).sum()))

# %%
law = (1 - 2 / lam[:8]).clamp(min=0)
claim((strength - law).abs().max() < 0.01, "each strength is max(0, 1 − λ/λᵢ)")
claim((W1 - W2.T).abs().max() < 1e-6, "and W₁ = W₂ᵀ, although nobody tied them")
left = torch.linalg.svd(W2, full_matrices=False).U[:, :3]
print(
    "angles of the decoder's first singular vectors to e₁, e₂, e₃:",
    [f"{math.degrees(math.acos(min(1, abs(left[:, i] @ E[:, i]).item()))):.2f}°" for i in range(3)],
)

# %% [markdown]
# The last line: with a penalty, components differ in strength, so the ambiguity of section 8 is gone
# up to a rotation of the code. The singular vectors of the decoder, the columns of its $U$, *are*
# the principal components.
#
# ### Dropout is a penalty, too
#
# Dropout sets each code number to 0 with probability $p$ and divides the others by $1 - p$. Call
# the result $\tilde z$: the mean of $\tilde z_k$ is still $z_k$, its variance is
# $z_k^2\,p/(1-p)$. An expected square is the square of the
# mean plus the variance; the numbers are dropped independently, so with $d_k$ the $k$-th column
# of the decoder
#
# $$\mathbb{E}\,\tfrac12\|x - W_2\tilde z\|^2 = \tfrac12\|x - W_2 z\|^2 + \tfrac12\,\frac{p}{1-p}\sum_k z_k^2\,\|d_k\|^2 .$$
#
# On average dropout is an L2 penalty on the decoder, weighted by how strongly each code number
# fires (compare Srivastava et al. 2014, on linear regression). In deep networks no such exact
# formula holds.

# %%
W1, W2, x, p = numbers(4, 7, seed=35), numbers(7, 4, seed=36), numbers(7, seed=37), 0.3
z = W1 @ x
formula = 0.5 * ((x - W2 @ z) ** 2).sum() + 0.5 * p / (1 - p) * (z**2 * (W2**2).sum(dim=0)).sum()
torch.manual_seed(0)
dropped = F.dropout(z.expand(200_000, 4), p)
sampled = 0.5 * ((x - dropped @ W2.T) ** 2).sum(dim=1)
error = sampled.std() / len(sampled) ** 0.5
print(f"formula {formula:.3f}   mean of 200,000 draws {sampled.mean():.3f}, standard error {error:.3f}")
claim(abs(formula - sampled.mean()) < 4 * error, "the formula lies within four standard errors")

# %% [markdown]
# ### L2 is not weight decay
#
# *L2* adds $\lambda w$ to the gradient. *Weight decay* multiplies $w$ by $1 - \eta\lambda$ in
# each step, with the learning rate $\eta$. For plain gradient descent both are the same line of
# algebra, $w - \eta(g + \lambda w) = (1 - \eta\lambda)w - \eta g$. Adam, however, divides the
# gradient by its recent size $\sqrt{\hat v}$, and with L2 the penalty sits *inside* the gradient
# and is divided as well:
#
# $$\text{Adam + L2:}\quad w \leftarrow w - \eta\,\frac{g + \lambda w}{\sqrt{\hat v}} \qquad\qquad \text{AdamW:}\quad w \leftarrow (1 - \eta\lambda)\,w - \eta\,\frac{g}{\sqrt{\hat v}} .$$
#
# (Momentum left out.) A weight with large gradients is then hardly regularised, one with small
# gradients very much (Loshchilov and Hutter 2019). In one dimension: weights start at 1, their
# gradients are pure noise of standard deviation $\sigma$, so only the regulariser moves their mean.
# Adam with L2 should decay like $e^{-\eta\lambda t/\sigma}$, AdamW like $e^{-\eta\lambda t}$ for
# every $\sigma$.


# %%
def mean_weight(optimizer, sigma, steps=1000, count=200):
    """The mean of `count` weights that start at 1 and see only gradient noise, after each step."""
    w = torch.ones(count, dtype=torch.float64, requires_grad=True)
    update = optimizer(
        [w], lr=0.01, weight_decay=0.1
    )  # torch.optim.Adam calls its L2 strength weight_decay
    generator, means = torch.Generator().manual_seed(0), []
    for _ in range(steps):
        w.grad = sigma * torch.randn(count, generator=generator, dtype=torch.float64)
        update.step()
        means.append(w.mean().item())
    return means


decay = {
    (name, sigma): mean_weight(getattr(torch.optim, name), sigma)
    for name in ("Adam", "AdamW")
    for sigma in (0.3, 1, 10)
}

# %%
fig, axes = plots.figure(columns=2, width=10, height=3.4)
for ax, (name, title) in zip(axes, [("Adam", "L2 inside Adam"), ("AdamW", "weight decay (AdamW)")]):
    for colour, sigma in zip(plots.COLOURS, (0.3, 1, 10)):
        ax.plot(decay[name, sigma], color=colour)
        if name == "Adam":
            ax.text(420, decay[name, sigma][400] + 0.02, f"gradient noise {sigma}", color=colour)
    ax.set(xlabel="step", ylabel="mean weight", title=title, ylim=(-0.05, 1.05))
axes[1].text(320, 0.75, "all three noises: one curve")
plots.show(fig, alt="With L2 inside Adam, weights with small gradient noise decay quickly and those with large noise hardly at "
           "all (left); with AdamW the three curves coincide (right).", number="2.10")

# %%
for name in ("Adam", "AdamW"):
    print(f"{name:5s}", {sigma: f"{decay[name, sigma][-1]:.3f}" for sigma in (0.3, 1, 10)})
expected = {sigma: math.exp(-0.01 * 0.1 * 1000 / sigma) for sigma in (0.3, 1, 10)}
print("e^(−ηλt/σ)", {sigma: f"{value:.3f}" for sigma, value in expected.items()})
as_predicted = all(abs(decay["Adam", s][-1] - expected[s]) < 0.05 for s in expected)
claim(as_predicted, "Adam with L2 decays at a rate divided by the noise")
all_alike = all(abs(decay["AdamW", s][-1] - expected[1]) < 0.05 for s in expected)
claim(all_alike, "AdamW decays all weights alike")

# %% [markdown]
# In PyTorch the two share a name: `Adam(weight_decay=…)` is L2, `AdamW(weight_decay=…)` is decay. A
# recipe that says "weight decay 0.01" without naming the optimiser has said half of it.
#
# ## 13 · Deep beats linear
#
# Everything linear has one limit, the line in Figure 2.6. A bent surface can follow bent data where a
# flat subspace can't. Hinton and Salakhutdinov (2006) squeezed MNIST into 30 numbers with a deep
# autoencoder and compared it with PCA.
#
# Your network of section 11 has far more parameters than there are images, so **only held-out
# images count**. What ratio of its held-out error to PCA's do you expect?

# %%
predict("02.deep", ..., unit="× PCA's error")

# %%
def layers_of(x, first, last):
    """Activations (B, size) sent through layers first to last - 1 of your network."""
    for i in range(first, last):
        x = x @ weights[i].T + biases[i]
        x = torch.sigmoid(x) if i == len(weights) - 1 else x.clamp(min=0)
    return x


encode = lambda images: layers_of(images.flatten(1), 0, 2)  # (B, 30)
decode = lambda code: layers_of(code, 2, 4)  # (B, 784)
deep = lambda images: decode(encode(images)).reshape(images.shape)
linear = pca(train.images)
answers = {"PCA": lambda x: linear.reconstruct(x, 30), "deep": deep}
errors = {}
for name, answer in answers.items():
    seen, errors[name] = (reconstruction_error(answer, part) for part in (train, test))
    print(f"{name:4s}  training images {seen:.3f}   held-out images {errors[name]:.3f}   "
          f"held-out above training by {errors[name] / seen - 1:.0%}")
ratio = errors["deep"] / errors["PCA"]
reveal("02.deep", ratio)
claim(ratio < 1, "on images it never saw, your deep code of 30 numbers beats PCA's 30")

# %%
chosen = test.images[:8]
rows = [chosen]
for drawn in (linear.reconstruct(chosen, 30).view_as(chosen), deep(chosen)):
    rows += [drawn, (drawn - chosen).abs()]
fig = plots.image_grid(rows, row_labels=["held-out", "PCA", "its error", "deep", "its error"], scale=1)
plots.show(fig, alt="From 30 numbers PCA draws strokes with grey halos, the deep network strokes on black. Eight held-out digits; below them "
           "their reconstructions from 30 principal components and from your network, each with its error, pixel by pixel.", number="2.11")

# %% [markdown]
# In Figure 2.11 PCA's strokes wear grey halos, for it can only add up fixed patterns. In the table
# above PCA's two errors are close to each other, the deep network's are farther apart: it has begun
# to learn the training images themselves.
#
# ### A walk between two codes
#
# A decoder draws a picture from *any* 30 numbers. Take two held-out digits, walk along the straight
# line from one code to the other, and decode on the way. A linear decoder turns a mixture of codes
# into the same mixture of pictures: one fades out while the other fades in. A deep decoder may bend
# one into the other.


# %%
def on_the_way(a, b, share=0.5):
    """What lies between images a and b (B, 1, 28, 28): mixed in pixels, in PCA's code, in yours, (3, B, 784)."""
    mix = lambda x, y: (1 - share) * x + share * y
    pixels = mix(a.flatten(1), b.flatten(1))
    return torch.stack([pixels, linear.reconstruct(pixels, 30), decode(mix(encode(a), encode(b)))])


def draw_walk(start, end, shares):
    a, b = (test.images[test.labels == digit][:1] for digit in (start, end))
    steps = torch.cat([on_the_way(a, b, share / 100) for share in shares], dim=1)  # (3, steps, 784)
    fig = plots.image_grid(steps.unflatten(2, (28, 28)), [f"a {start}", *(f"{share} %" for share in shares[1:-1]), f"a {end}"],
                           ["pixels", "PCA's code", "deep code"], scale=1.1)
    plots.show(fig, alt=f"In mixed pixels and in PCA's code the {start} fades out while the {end} fades in; the deep code bends one into the other. "
               "A row per kind of mixture.", number="2.12")


# %% [markdown]
# Where does the 7 stop being a 7? Is what lies halfway a digit at all? (Move the slider with the
# mouse or the arrow keys. Where a notebook is only read, some steps stand in its place.)

# %%
explore(lambda start, end, share: draw_walk(start, end, [0, share, 100]),
        still=lambda: draw_walk(7, 4, [0, 20, 40, 50, 60, 80, 100]),
        start=[7, 0, 1, 2, 3, 4, 5, 6, 8, 9], end=[4, 0, 1, 2, 3, 5, 6, 7, 8, 9], share=(0, 100, 50, "on the way (%)"))

# %% [markdown]
# The right yardstick for a bend is what a straight way would give: the mean of the two *decoded*
# ends. How far from it is the decoded middle, if an end lies at distance 1?

# %%
first, second = torch.randint(len(test), (2, 300), generator=torch.Generator().manual_seed(0))
two_classes = test.labels[first] != test.labels[second]
a, b = test.images[first[two_classes]], test.images[second[two_classes]]
bends = {}
for name, start, middle, end in zip(("pixels", "PCA", "deep"), on_the_way(a, b, 0), on_the_way(a, b), on_the_way(a, b, 1)):
    away = (middle - (start + end) / 2).norm(dim=1).mean() / ((start - end) / 2).norm(dim=1).mean()
    bends[name] = away.item()
print(f"bend in {len(a)} pairs:", {name: f"{share:.3f}" for name, share in bends.items()})
claim(bends["PCA"] < 1e-3 < 0.05 < bends["deep"], "the deep code bends the way, PCA's does not")

# %% [markdown]
# Is what lies halfway a digit? In the ledger a convolutional classifier judges 300 pairs of two
# classes for each of three deeper networks. How often is it sure of a picture, above 0.9, and how
# often does it name one of the two ends? Real held-out digits are the reference.

# %%
rows = results("02-walk")["measured"]["rows"]
print(f"{'mean (least to most of 3)':26s} sure of it           names an end")
for name in rows[0]["sure"]:
    shares = ([row[key][name] for row in rows] for key in ("sure", "an_end"))
    print(f"{name:26s} " + "   ".join(f"{sum(s) / 3:4.0%} ({min(s):.0%} to {max(s):.0%})".ljust(18) for s in shares))

# %% [markdown]
# Your deep code bends the way. Here it passes something like a 9; over many pairs, and three networks, a bent way leads no nearer to a digit. The classifier is sure of its
# middles as rarely as of PCA's and of mixed pixels (our prediction failed), and far less often than of
# real digits or of decoded ends. **The loss looks at the codes of images, never at what lies between
# them.** Chapter 03 puts points off the data into the task: it damages the input.
#
# ### Which learning rate?
#
# Where does a rate such as 0.002 come from? Smith (2017, Section 3.3) proposes a **range test**: one
# short run whose rate grows evenly, from next to nothing to far too much. From here on the library's
# `Trainer` does what your loop did, and more: a range test is a run that is nothing but *warm-up*,
# updates in which the rate rises from 0. Beside it stand runs that keep one rate.


# %%
def short_run(rate, warmup_steps=0, steps=dial(smoke=10, laptop=150)):
    """The losses and rates of a short run of a small network; it breaks off when a loss is not finite."""
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(hidden_sizes=(128,), code_size=30))
    config = TrainConfig(steps=steps, warmup_steps=min(warmup_steps, steps), batch_size=100, learning_rate=rate,
                         schedule="constant", log_every=1)
    trainer = Trainer(network, Reconstruction(), train, config)
    try:
        trainer.fit()
    except NonFiniteError:
        pass
    records = [record for record in trainer.history.records if "loss" in record]
    return [record["loss"] for record in records], [record["learning_rate"] for record in records]


losses, growing = short_run(0.1, warmup_steps=150)
smooth = [sum(losses[i : i + 5]) / 5 for i in range(len(losses) - 4)]
lowest = growing[smooth.index(min(smooth)) + 2]
ends = {}
for exponent in (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0):
    last = short_run(10**exponent)[0][-10:]
    ends[10**exponent] = sum(last) / len(last)
best_rate = min(ends, key=ends.get)

# %%
fig, ax = plots.figure(width=8, height=3.8)
for rates, values, style, colour, said, at in ((growing, losses, "-", plots.BLUE, "range test: one run, its rate grows", lowest),
                                               (list(ends), list(ends.values()), "o-", plots.ORANGE, "where a run ends that keeps its rate", best_rate)):
    ax.plot(rates, values, style, color=colour, label=said)
    ax.axvline(at, color=colour, ls=":")
    ax.annotate(f"lowest: {at:.2g}", (at, 62), color=colour, ha="center", annotation_clip=False)
ax.set(xscale="log", xlabel="learning rate", ylabel="loss of batches", ylim=(0, 61))
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.06), ncols=2, frameon=False)
plots.show(fig, alt="The range test is lowest at a rate at which a run that keeps it ends badly. Loss against learning rate: of one run whose rate "
           "grows with every update, and the mean of the last ten batches of runs that each keep one rate.", number="2.13")
print(f"the test is lowest at {lowest:.2g}, {lowest / best_rate:.0f} times the best of the rates kept, {best_rate:.2g}")
claim(lowest > 3 * best_rate, "the test's lowest point lies far above the best rate")

# %% [markdown]
# The lowest point of the test comes late, since all updates at smaller rates have helped to get
# there: here it is more than ten times the best rate. So the test says from where rates are surely too high, for
# the price of one short run. Below that, try several.
#
# ### The ladder
#
# What helps a deep autoencoder? An idea is easily mixed with its learning rate. So the ledger has a ladder of
# ideas twice: once with rates that nobody tuned, 0.001 where layers are fully connected and 0.002 where
# there are convolutions, and once with the best of five for each rung, chosen on training images kept aside. Three starts each.

# %%
untuned, tuned = (results(name)["measured"] for name in ("02-deep-autoencoder", "02-ladder-rates"))
rungs = tuned["rungs"]
errors, over = ([[[row["test"] / (base or row["train"]) for row in ledger["rows"] if row["rung"] == rung] for rung in rungs] for ledger in (tuned, untuned)]
                for base in (tuned["pca"], None))
print(f"means of three starts{'':14s}rate    error   before     held-out / training   before   time")
for row, values, before, gap, gap_before in zip(tuned["rows"][::3], *errors, *over):
    print(f"{row['rung']:30s}{row['rate']:9g}{sum(values) / 3:9.3f}{sum(before) / 3:9.3f}{sum(gap) / 3:21.2f}{sum(gap_before) / 3:12.2f}{row['seconds'] / tuned['rows'][0]['seconds']:6.1f} ×")
print("\n" + verdict_table(results("02-ladder-rates")))

# %%
fig, ax = plots.figure(width=8, height=3)
plots.bars(ax, rungs, errors[0], colours=plots.SKY, form=".2f")
ax.plot([sum(before) / 3 for before in errors[1]], [row + 0.42 for row in range(len(rungs))[::-1]], "v", color=plots.RED, markersize=7)
ax.axvline(1, color=plots.GREY, ls="--")
ax.set(xlabel="held-out error, PCA = 1 (dashed); triangles: with untuned rates")
plots.show(fig, alt="Every rung gains by a rate of its own, and then augmentation helps the plain network, too. Held-out error of each rung, a dot per start; triangles: the mean with rates that nobody tuned.", number="2.14")
plain, decayed, augmented, convolution, _ = errors[0]
claim(max(map(max, errors[0])) < 1, "every start of every rung beats PCA")
claim(max(augmented) < min(plain) < min(decayed), "augmentation helps the plain network in every start, weight decay with dropout in none")

# %% [markdown]
# **We fell into our own trap.** From the triangles one reads that augmentation is worth nothing to a fully connected
# network. At its own rate augmentation helps in every start. (Our reading: at 0.001 the plain network had learned
# less of its images, and over-fitted less.) What holds either way: depth beats PCA. The
# convolution is ahead, by less than before, and takes several times as long. Weight decay with
# dropout narrows the gap between training and held-out error, and the held-out error rises: a narrower gap isn't yet a gain.
#
# ## Summary
#
# The linear half has its summary before section 11. Of the deep half:
#
# * Backpropagation sends $\delta$ from layer to layer: times the transposed weights, times the slope
#   of the activation. A weight's gradient is $\delta$ times the layer's input.
# * In the linear model L2 switches off weak components, and dropout is L2 weighted by activity; weight
#   decay differs from L2 as soon as Adam divides.
# * Beyond the linear bound lie depth and non-linearity, and there only held-out error counts.
# * A range test shows from where learning rates are surely too high; here the best one lies well below its lowest
#   point. Compare ideas with a rate tuned for each.
#
# ## Going further
#
# * Open `pretrain_lib/evaluation/linear.py`: `principal_angles` uses sines where cosines lose
#   their digits. Why do they, near 0°?
# * Train the linear autoencoder on pixels that were *not* centred, once with and once without
#   biases, and compare with `bound`.
# * Give your own network a code of 2 numbers and draw the codes of held-out digits, coloured by
#   class. Which digits lie beside each other?
# * Next, chapter 03: the code may be larger than the input if the input is damaged first.
#
# ## References
#
# * C. Eckart and G. Young (1936), *The approximation of one matrix by another of lower rank*,
#   Psychometrika 1.
# * H. Bourlard and Y. Kamp (1988), *Auto-association by multilayer perceptrons and singular value
#   decomposition*, Biological Cybernetics 59.
# * P. Baldi and K. Hornik (1989), *Neural networks and principal component analysis: learning
#   from examples without local minima*, Neural Networks 2, 53–58.
# * G. Hinton and R. Salakhutdinov (2006), *Reducing the dimensionality of data with neural
#   networks*, Science 313, 504–507; Figure 2.
# * A. Saxe, J. McClelland and S. Ganguli (2014), *Exact solutions to the nonlinear dynamics of
#   learning in deep linear neural networks*, ICLR; arXiv 1312.6120.
# * N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov (2014), *Dropout: a
#   simple way to prevent neural networks from overfitting*, JMLR 15, 1929–1958; Section 9.1.
# * D. Kingma and J. Ba (2015), *Adam: a method for stochastic optimization*, ICLR; arXiv 1412.6980,
#   Algorithm 1.
# * K. He, X. Zhang, S. Ren and J. Sun (2015), *Delving deep into rectifiers*, ICCV; arXiv 1502.01852,
#   Section 2.2.
# * I. Loshchilov and F. Hutter (2019), *Decoupled weight decay regularization*, ICLR; arXiv
#   1711.05101, Section 2.
# * D. Kunin, J. Bloom, A. Goeva and C. Seed (2019), *Loss landscapes of regularized linear
#   autoencoders*, ICML; arXiv 1901.08168.
# * L. Smith (2017), *Cyclical learning rates for training neural networks*, WACV; arXiv 1506.01186, Section 3.3.
