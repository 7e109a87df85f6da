# %% [markdown]
# # 02 · The mathematics of an autoencoder
#
# An autoencoder squeezes $x$ through a short code and tries to give $x$ back. This chapter takes
# that one sentence apart. We begin with a single weight, go on to two dimensions, then to
# matrices, and prove what the best linear autoencoder can do. Then we train one by gradients
# alone and watch how close it comes. Only then come depth, non-linearity and regularisation,
# where proofs get scarce and measurements take over.
#
# **You will be able to**
#
# 1. derive the gradient of a network by hand, for scalars and for matrices, and check it against
#    autograd;
# 2. state the lowest loss that any linear autoencoder can reach, prove it, and read it off the
#    data's eigenvalues;
# 3. say why its training passes plateaus, and why no bad local minimum waits there;
# 4. tell what an autoencoder finds (a subspace) from what it doesn't (the principal components
#    themselves);
# 5. say what L2, weight decay and dropout each do to an autoencoder, and why the first two differ
#    under Adam.
#
# **You need** calculus with the chain rule, Python, and chapter 00. The linear algebra is built
# here, from vectors on.
#
# **Time** about 2½ hours of reading and exercises. Computing takes about a minute on a laptop.

# %% tags=["setup"]
import math

import torch
from torch.nn import functional as F

from pretrain_lib.course import check, claim, dial, explore, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch02 import training_logs
from pretrain_lib.data.images.load import load_images
from pretrain_lib.evaluation.linear import linear_bound, pca
from pretrain_lib.evaluation.reconstruction import reconstruction_error
from pretrain_lib.models.autoencoder import Autoencoder, AutoencoderConfig
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.finite import NonFiniteError
from pretrain_lib.training.trainer import Trainer

# %% [markdown]
# Everything in this chapter is computed in float64 unless a cell says otherwise: with sixteen
# digits at hand, "equal" can mean equal. This helper sets a formula of ours beside what autograd
# computes for the same function.


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
#
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
# So much for the formula. The article's *program* calls `nn.functional.mse_loss(output, target)`
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
# one form needs another learning rate than on the other. (Adam divides a gradient by its own
# recent size, so it hardly notices, as long as its ε is small beside that size.) It also decides
# whether two printed losses can be compared at all. From here on $L$ is the formula, **averaged
# over samples and summed over dimensions**. The library's `Reconstruction` uses the same.

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
# Nothing is compressed here. But the shape of everything that follows is already present. Put $y$
# into the loss, average over samples, and call the mean of $x^2$ by the letter $s$:
#
# $$L(w, v) = \tfrac12\, \overline{(x - v w x)^2} = \tfrac12\, \overline{x^2}\,(1 - v w)^2 = \tfrac12\, s\,(1 - vw)^2 .$$
#
# The data enter through one number, $s$, their mean square. The weights enter through one
# product, $vw$. The loss is 0 wherever $vw = 1$, which isn't a point but a curve: a hyperbola
# with **two branches**, one with both weights positive, one with both negative.

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
# Now look at the whole surface. Before you do: descent starts at $w = 1.5$, $v = -0.3$, in a
# corner where the signs differ. Where will it end: in the valley of positive weights (guess 1),
# in that of negative weights (guess −1), or stuck at the origin (guess 0)?

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
ax.text(-1.9, -0.75, "vw = 1", color="white")
ax.set(xlabel="encoder weight w", ylabel="decoder weight v", xlim=(-2, 2), ylim=(-2, 2))
ax.set_title("L = ½ (1 − vw)²: the darker, the lower")
plots.show(fig, alt="Contours of the one-weight loss over w and v. Two dashed valleys, vw = 1, "
           "lie in the corners where both weights have one sign; a saddle lies at the origin. Six "
           "descent paths start at dots and end in one of the valleys.", number="2.1")

# %% [markdown]
# Every path in Figure 2.1 ends in a valley. The pass between the two valleys, at the origin, is a
# **saddle**: at $w = v = 0$ the gradient vanishes, yet it is no minimum. The second derivatives
# say so. From the gradients above,
#
# $$\frac{\partial^2 L}{\partial w^2} = s v^2, \qquad \frac{\partial^2 L}{\partial v^2} = s w^2, \qquad
# \frac{\partial^2 L}{\partial w\,\partial v} = -s\,(1 - 2vw),$$
#
# which at the origin leaves $\begin{pmatrix}0 & -s\\ -s & 0\end{pmatrix}$: curvature $-s$ along
# the diagonal $w = v$ (downhill) and $+s$ along $w = -v$ (uphill). Small weights therefore leave
# the origin slowly, along the diagonal, and a log of the loss shows a plateau. Remember it.

# %% tags=["NBVAL_CHECK_OUTPUT"]
hessian = torch.autograd.functional.hessian(
    lambda p: 0.5 * (1 - p[0] * p[1]) ** 2, torch.zeros(2).double()
)
print("Hessian at the origin:", hessian.tolist())
claim(
    torch.linalg.eigvalsh(hessian).tolist() == [-1.0, 1.0],
    "its eigenvalues are −s and +s: a saddle",
)

# %% [markdown]
# ### How long does the plateau last?
#
# Take infinitely small steps: gradient descent becomes a differential equation in time $t$ (steps
# × learning rate). Start on the diagonal, $w = v$, so both stay equal by symmetry, and follow the
# product $u = vw$, the fraction of $x$ that comes back:
#
# $$\frac{du}{dt} = \dot v\,w + v\,\dot w = s(1-u)(w^2 + v^2) = 2 s\,u\,(1 - u).$$
#
# This is the logistic equation. Its solution is the **sigmoid**
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
# Keep this small model in mind. In section 10 a linear autoencoder with thousands of weights will
# turn out to be many copies of it, running side by side.
#
# ## 3 · Two dimensions, one code
#
# Now compression begins: a sample has two numbers, its code one. Choose a direction, a unit
# vector $q = (\cos\theta, \sin\theta)$. Let the code be how far $x$ reaches along it, and the
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
# The cloud is drawn below, twice. Guess the best angle from how we made it, in degrees.

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
plots.show(fig, alt="A tilted cloud, twice, with each point joined to its projection on a line through "
           "the origin: at 110 degrees the joins are long, at the best angle short.")

# %%
fig, ax = plots.figure(width=5, height=2.8)
ax.plot(angles.rad2deg(), losses, color=plots.BLUE)
ax.plot(best, losses[best], "o", color=plots.ORANGE)
ax.set(xlabel="angle of the line (degrees)", ylabel="loss", ylim=(0, None))
plots.show(fig, alt="The loss against the angle of the line: one smooth valley and one smooth hill.",
           number="2.3")
reveal("02.angle", best)

# %% [markdown]
# The curve in Figure 2.3 has one valley and one hill, and it never gets worse than that: however
# badly the line starts, turning it downhill leads to the long axis of the cloud. Let's check the
# formula, half the discarded variance, on all 181 angles.

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
# cloud, and the code is spent on saying "over there", which is the same for every sample.
# Subtracting the mean costs nothing and frees the code for what differs. A network with biases
# learns to do that by itself (section 11 shows how); one without needs it done beforehand.

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
# With 784 pixels there is no angle to plot. We need words for "direction", "variance along it"
# and "the best few". Six ideas suffice. Each is a sentence, a formula and a check. The proofs
# fold away; open them when you want them.
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
# It is the matrix version of "one number", and it has a magic rule: factors may go round in a
# circle, $\operatorname{tr}(AB) = \operatorname{tr}(BA)$. It also measures size:
# $\operatorname{tr}(A^\top A) = \sum_{ij} A_{ij}^2$, the sum of all squares.
#
# <details><summary>Proof of the magic rule</summary>
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
# That is the whole two-dimensional story: the best line is $e_1$, and what it must discard is
# $\tfrac12\lambda_2$. Now real images: four thousand handwritten digits, each a vector of 784
# pixels, centred.

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
plots.show(fig, alt="The mean digit, a blurred blob, and the first eight principal components of "
           "MNIST as red and blue patterns: e1 is a ring against a stroke, later ones get finer.")

# %% [markdown]
# A digit is the mean, plus a number times $e_1$, plus a number times $e_2$, and so on. A code of
# size $K$ can hold $K$ such numbers.

# %% [markdown] tags=["exercise"]
# **Exercise 02.3 · the bound (★★☆, 10 min)**
#
# In two dimensions a code of size 1 had to discard $\lambda_2$, and lost $\tfrac12\lambda_2$.
# Write the loss of a code of size $K$ that keeps the $K$ directions of largest variance, for
# samples that need not be centred. Use the covariance with $1/N$.


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
# One could write out the indices each time. There is a calmer way, **differentials**: nudge the
# weights by a small $dW$, find how $L$ changes to first order, and bring that into the shape
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
# $$\frac{\partial L}{\partial W_2} = e\,z^\top \qquad (D\times K). \tag{2.13}$$
#
# **Encoder.** Only $W_1$ moves: $dy = W_2\,dW_1\,x$, so
# $dL = e^\top W_2\, dW_1\, x = \operatorname{tr}(x\,e^\top W_2\,dW_1)$ and
#
# $$\frac{\partial L}{\partial W_1} = (W_2^\top e)\,x^\top \qquad (K\times D). \tag{2.14}$$
#
# Read them aloud: *the gradient of a weight matrix is the error at its output times its input.*
# For $W_1$ the error at its output is $W_2^\top e$, the error $e$ sent back through the decoder,
# transposed. That is backpropagation, all of it.

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
# $$L = \tfrac12 \operatorname{tr}\bigl[(I - M)\,S\,(I - M)^\top\bigr] . \tag{2.15}$$

# %% [markdown] tags=["exercise"]
# **Exercise 02.4 · the gradients in matrix form (★★★, 15 min)**
#
# Finish the thought for both matrices: average $e z^\top$ and $(W_2^\top e)x^\top$ over the
# samples and write them with $W_1$, $W_2$ and $S$ alone. Then let the shapes check you: a
# gradient is shaped like its matrix.


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
    "the loss of all 4 000 images needs only their covariance",
)
theirs = autograd(lambda W1, W2: 0.5 * ((X - X @ W1.T @ W2.T) ** 2).sum(dim=1).mean(), W1, W2)
difference = largest_difference(linear_gradients(W1, W2, S), theirs)
claim(
    difference < 1e-8,
    f"and so do both gradients: autograd through all images differs by {difference:.0e}",
)

# %% [markdown]
# One practical step. $M - I$ is a 784 × 784 matrix, and multiplying it by $S$ costs about a
# billion operations, for no good reason: everything passes through a code of a few numbers.
# Multiply in another order, with $A = W_1 S$ (which is $K\times D$) computed once:
#
# $$\frac{\partial L}{\partial W_1} = W_2^\top W_2\,A - (S W_2)^\top, \qquad \frac{\partial L}{\partial W_2} = W_2\,(A W_1^\top) - A^\top .$$
#
# The same numbers for a fraction of the work. Matrix products are associative; their price isn't.


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
# The idea in one breath: all reconstructions lie in a subspace of dimension $K$, so the best
# conceivable reconstruction is the projection onto that subspace, and no subspace keeps more
# variance than the one spanned by the first $K$ eigenvectors.
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
# Step 3 of the proof, the weights $c_i$, can be watched. Take any subspace of dimension $K$, a
# random one for instance: its weights lie between 0 and 1 and add up to $K$.

# %%
Q, _ = torch.linalg.qr(numbers(784, 16, seed=17))
c = ((Q.T @ E) ** 2).sum(dim=0)  # (D,), how much of each eigenvector lies in the subspace
print(f"from {c.min():.4f} to {c.max():.4f}, sum {c.sum():.6f}")
claim(
    0 <= c.min() and c.max() <= 1 and abs(c.sum() - 16) < 1e-8,
    "weights between 0 and 1 that add up to K",
)
claim(torch.isclose(torch.trace(Q.T @ S @ Q), (lam * c).sum()), "variance kept = Σ λᵢ cᵢ")

# %% [markdown]
# ## 7 · Does gradient descent get there?
#
# A bound is a promise about the best weights. Nothing says that training finds them: $L$ is a
# polynomial of degree four in the weights, far from convex, and we start it at random. We use
# only the gradients derived above, and no eigenvector anywhere.
#
# Commit first: with a code of 16 numbers and 1 000 steps, by how many percent will the loss
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


# %% [markdown]
# (Training runs in float32, as training does; losses and angles are then measured in float64.)

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
plots.show(fig, alt="The bound falls as the code grows from 1 to 100; the losses of six trained "
           "autoencoders, codes 2 to 64, lie on it.", number="2.5")

# %% [markdown]
# ### Is it the same subspace?
#
# The loss matches: every dot in Figure 2.5 lies on the line. Do the columns of $W_2$ span the same
# subspace as $e_1 \dots e_K$? Two planes through the origin can share a line and differ in the
# rest, so one number needs care. **Principal angles**: take the unit vector in one subspace and
# the unit vector in the other that are closest; their angle is the first. Repeat among the vectors
# at right angles to those found, until all $K$ dimensions are used up. The *largest* of the $K$
# angles is 0 exactly if the subspaces are equal. With orthonormal bases $Q_a$ and $Q_b$, the
# cosines of the angles are the singular values of $Q_a^\top Q_b$.

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
# Look at the rows with a large angle. Their loss is as good as at the bound, and yet one
# direction of the subspace is far off. Is that a failure of training? Look at the last column
# before you answer. At a small gap, the last direction kept and the first one discarded carry
# nearly the same variance. Swapping them costs next to nothing, and **the loss only sees
# variance**.
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
# A flat valley is also walked slowly. Near the optimum the wrong part of the last direction
# shrinks like $e^{-rt}$, and working out the gradients to first order gives a rate in proportion
# to the gap:
#
# $$r \approx \tfrac12\,(\lambda_K - \lambda_{K+1}) .$$
#
# <details><summary>Where the rate comes from</summary>
#
# Take $W_2 = W_1^\top$ with orthonormal columns $e_1 \dots e_K$, and let a little of $e_{K+1}$
# leak in next to $e_K$: an amount $b$ in the decoder's column, $a$ in the encoder's row. To first
# order in $a$ and $b$, the gradients of section 5 give $\dot b = \lambda_{K+1}a - \lambda_K b$
# and $\dot a = \lambda_{K+1}(b - a)$. This is a linear system with trace
# $-(\lambda_K + \lambda_{K+1})$ and determinant $\lambda_{K+1}(\lambda_K - \lambda_{K+1})$. When
# the gap is small the slow root is minus determinant over the size of the trace,
# $r \approx \lambda_{K+1}(\lambda_K - \lambda_{K+1})/(\lambda_K + \lambda_{K+1}) \approx \tfrac12(\lambda_K - \lambda_{K+1})$.
# ∎
# </details>


# %%
def slow_rate(size):
    """The slow root of the two-by-two system in the fold above."""
    a, b = lam[size - 1], lam[size]
    half = (a + b) / 2
    return (half - (half**2 - b * (a - b)).sqrt()).item()


def measured_rate(size, steps=100, learning_rate=0.05):
    """The rate at which plain gradient descent shrinks a 2° error of the last direction."""
    W2 = turned_basis(size, 2.0)
    W1, angles = W2.T.clone(), []
    for step in range(2 * steps):
        angles.append(largest_angle(E[:, :size], W2)) if step % steps == 0 else None
        g1, g2 = fast_gradients(W1, W2, S)
        W1, W2 = W1 - learning_rate * g1, W2 - learning_rate * g2
    angles.append(largest_angle(E[:, :size], W2))
    return math.log(angles[1] / angles[2]) / (steps * learning_rate)


# %%
print("code   slow root   measured rate   gap / 2")
for size in (4, 16, 32):
    root, measured = slow_rate(size), measured_rate(size)
    print(f"{size:4d}   {root:9.4f}   {measured:13.4f}   {(lam[size - 1] - lam[size]) / 2:7.4f}")
    claim(
        abs(measured / root - 1) < 0.1,
        f"code {size}: the last direction turns at the predicted rate",
    )

# %% [markdown]
# So the code of 32 isn't wrong, it isn't finished. Nothing but patience is missing: the same run
# with three times the steps.

# %%
longer = train_linear(S, 32, steps=dial(smoke=100, laptop=3000))
excess = (linear_loss(*longer, S) / linear_bound(lam, 32)).item() - 1
angle = largest_angle(E[:, :32], longer[1])
print(f"three times the steps: loss / bound − 1 = {excess:.1e}, largest angle {angle:.3f}°")
claim(angle < 1, "with more steps the code of 32 finds the subspace too")

# %% [markdown]
# One run proves little; the same for three random starts each is in the *ledger*, the files in
# `results/` that say what an experiment predicted and what it measured. `results` reads that of
# `experiments/02_linear_autoencoder.py`.

# %%
ledger = results("02-linear-autoencoder")["measured"]
print("code  steps   worst loss / bound − 1   largest angle of each start")
for size in sizes:
    for steps in ledger["steps"]:
        rows = [row for row in ledger["rows"] if row["code_size"] == size and row["steps"] == steps]
        spread = "  ".join(f"{row['angle']:8.3f}°" for row in rows)
        print(f"{size:4d}  {steps:5d}   {max(row['ratio'] for row in rows) - 1:22.1e}   {spread}")

# %% [markdown]
# The loss gives nothing away: in every row it is all but at its bound. The angles at the two sizes
# with small gaps differ widely from start to start, and there the experiment's prediction (in the
# ledger, under `prediction`) failed on both sides: after the short runs some angles are smaller than it says, and after
# the long ones one is still larger. That longer training shrinks the angle holds for every start;
# how far it has come by a given step depends on where it started.
#
# ## 8 · A subspace, not the components
#
# "A linear autoencoder learns PCA" is often said, and half true. Compare pictures: the principal
# components, and what the decoder's columns look like.

# %%
W1, W2 = trained[8]
fig, axes = plots.figure(columns=8, rows=2, width=10, height=2.7)
for row, name, columns in zip(axes, ("principal\ncomponents", "decoder\ncolumns"), (E[:, :8], W2)):
    for ax, column in zip(row, columns.T):
        draw_pattern(ax, column)
    row[0].set_ylabel(name)
plots.show(fig, alt="Upper row: eight principal components, from coarse to fine. Lower row: the "
           "eight columns of the trained decoder, each a mixture of the components above.")

# %% [markdown]
# They don't match, and they can't be expected to. For any invertible $R$ ($K \times K$), the pair
# $R W_1$ and $W_2 R^{-1}$ has the same product, the same reconstructions, the same loss:
# $W_2 R^{-1} R W_1 = W_2 W_1$. The loss cannot tell them apart, so training ends at whichever the
# start leads to. What *is* determined is what comes out: on every image of the data,
# $W_2W_1x = E_K E_K^\top x$. (Only on the data. A pixel that is black in every image sends no
# gradient to its encoder weights, and they stay as random as they began.)

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
    f"its 4 000 reconstructions are PCA's: no pixel differs by more than {difference:.1e}",
)

# %% [markdown]
# Does an autoencoder's single code number mean something, then? In this model, no: only the space
# that all of them span. Keep that in mind whenever someone interprets "neuron 17" of a
# bottleneck.
#
# ## 9 · Saddles, but no traps
#
# Where else does the gradient vanish? Baldi and Hornik (1989) found all such places. If the
# eigenvalues are distinct and positive, $W_2W_1$ is there the projection onto **any** $K$
# eigenvectors (or fewer), and the loss is half the sum of the eigenvalues left out. There are very
# many such choices. Only that of the first $K$ is a minimum; every other one is a saddle.
#
# Seeing why takes one swap. Suppose a code of size 2 keeps $e_1$ and $e_3$. Turn $e_3$ by
# $\vartheta$ towards the missing $e_2$: the variance kept grows by
# $(\lambda_2 - \lambda_3)\sin^2\vartheta$. That is downhill, whatever the angle, like the way down
# from the hilltop in Figure 2.3, and it starts with slope zero, which is what makes it a saddle and
# not a slope.

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
# Place gradient descent on this saddle, with a nudge of one part in a million. How does its log
# look? Sketch it before you run the cell.


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
plots.show(fig, alt="Loss against steps: flat at the loss of the saddle for hundreds of steps, "
           "then a drop to the minimum, then flat.", number="2.7")
claim(
    log[-1] < linear_bound(lam, 2) * 1.001,
    "descent leaves the saddle by itself and finds the minimum",
)

# %% [markdown]
# In Figure 2.7 the loss lies on a plateau for hundreds of steps, nothing to be seen in the log, and
# then it drops. Whoever stops at step 100 believes that the model has converged. **A flat loss need
# not be a minimum**; the same model from another start, or a little noise, would tell. (The noise of
# minibatches does that by itself: it tends to point along the ways down, Daneshmand et al. 2018.)
#
# ## 10 · Stage by stage
#
# Start instead near the *big* saddle, at small weights everywhere, as one does; with one pair of
# weights it was the saddle of Figure 2.1. Write the weights in the eigenvectors' coordinates:
# $a_i = W_1 e_i$ and $b_i = W_2^\top e_i$, two vectors of $K$ numbers for each component. The
# product $u_i = b_i^\top a_i = e_i^\top W_2 W_1 e_i$ is the **strength** with which component $i$
# comes back: 0 not at all, 1 perfectly. If the vectors of different components are at right angles,
# they don't disturb each other, and the loss falls apart into a sum,
#
# $$L = \sum_i \tfrac12\,\lambda_i\,(1 - u_i)^2 \qquad\text{: section 2, once for each component, with } s = \lambda_i .$$
#
# So each strength must follow the sigmoid of section 2, at its own speed $2\lambda_i$. Large
# variance first, fine detail later: **learning happens in stages**. Saxe, McClelland and Ganguli
# (2014) found this for deep linear networks in general. The start must be *balanced*,
# $W_2 = W_1^\top$, as $w = v$ was in section 2.
#
# We run two starts: an *aligned* one, in which each component begins in a code number of its own,
# and a random one. There the vectors are only roughly at right angles, so the sigmoid is an
# approximation. Components 1 and 12 begin alike below; look at their eigenvalues and predict how
# many times later the second one reaches one half.

# %%
print(f"λ₁ = {lam[0]:.2f}, λ₁₂ = {lam[11]:.2f}")
predict("02.later", ..., unit="times later")

# %% [markdown]
# To see it quickly we write the images in the coordinates of their first 100 components. Turning
# the coordinates changes nothing for plain gradient descent, and the components left out are too
# faint to matter here. The covariance becomes diagonal, with the eigenvalues on the diagonal.


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
plots.show(fig, alt="Strengths of components 1, 2, 4, 6, 8 and 12 against time, rising one after "
           "the other from 0 to 1. Left, aligned start: the dashed sigmoids lie on the curves. "
           "Right, random start: same order, slightly later than the dashed sigmoids.", number="2.8")

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
# In Figure 2.8 the numbers at the curves are the components'. Dashed is the law, which knows the
# eigenvalues and the start and nothing else. (Saxe and colleagues scale the inputs to equal
# variance, so their speeds are the singular values of the input–output correlation. Here inputs
# keep their variances, and the speeds come out as eigenvalues of $S$: section 2 is the derivation.)

# %% [markdown] tags=["exercise"]
# **Exercise 02.6 · read four logs (★★☆, 10 min)**
#
# Four colleagues trained a linear autoencoder with a code of 2 on the same small data set (6
# dimensions) by plain gradient descent, and each logged the loss at every 37th step. One run is
# healthy. Name each one's condition:
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
diagnosis = {"A": "not centred", "B": "small start", "C": "healthy", "D": "learning rate"}
### END SOLUTION
diagnosis = check("02.6", diagnosis)

# %% [markdown]
# ## 11 · Depth and non-linearity
#
# The article gives a network as $y = f(W_n \cdot f_{n-1}(\cdot)\cdots f_1(x))$. Read literally,
# that multiplies the layers' outputs. What is meant, and what its code does, is a **composition**:
# each layer reads what the one before it wrote. With pre-activations $a_l$, activations $h_l$ and
# $h_0 = x$,
#
# $$a_l = W_l\,h_{l-1} + b_l, \qquad h_l = f_l(a_l), \qquad y = h_n = f_n\bigl(W_n\, f_{n-1}(W_{n-1}\cdots f_1(W_1 x + b_1)\cdots) + b_n\bigr).$$
#
# Every weight is there, not the last one only, and so are biases. Without the $f_l$ depth would
# add nothing to what the network can compute: $W_4W_3W_2W_1$ is one matrix, whose rank is at most
# the smallest layer. The bound of section 6 holds for linear networks of any depth.

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


# %%
def backpropagate(x, weights, biases):
    """All ∂L/∂W, then all ∂L/∂b, for ReLU layers and a sigmoid output."""
    activations = [x]
    for W, b in zip(weights[:-1], biases[:-1]):
        activations.append((W @ activations[-1] + b).clamp(min=0))
    y = torch.sigmoid(weights[-1] @ activations[-1] + biases[-1])
    deltas = [(y - x) * y * (1 - y)]  # δ of the output layer
    for W, h in zip(reversed(weights[1:]), reversed(activations[1:])):
        deltas.insert(0, (W.T @ deltas[0]) * (h > 0))  # h > 0 exactly where a > 0
    return [torch.outer(d, h) for d, h in zip(deltas, activations)], deltas


# %% [markdown]
# Here is the article's own network, 128 → 64 → 32 → 64 → 128 with three ReLUs and a sigmoid,
# under test: four matrices and four biases.

# %%
weights = [W / W.shape[1] ** 0.5 for W in layers]
biases = [0.1 * numbers(len(W), seed=25) for W in layers]


def article_loss(*parameters):
    h = x
    for W, b in zip(parameters[:3], parameters[4:7]):
        h = F.relu(W @ h + b)
    return 0.5 * ((x - torch.sigmoid(parameters[3] @ h + parameters[7])) ** 2).sum()


x = torch.rand(128, generator=torch.Generator().manual_seed(26)).double()
dW, db = backpropagate(x, weights, biases)
difference = largest_difference(dW + db, autograd(article_loss, *weights, *biases))
claim(
    difference < 1e-8,
    f"all eight hand-derived gradients equal autograd's: largest difference {difference:.0e}",
)

# %% [markdown]
# Where ReLU has a kink, at $a = 0$ exactly, there is no derivative. PyTorch says 0 there, and so
# do we. That is a convention, and with real data it is hardly ever asked for.
#
# ### Three variations
#
# **Tied weights.** Use one matrix twice, $y = W^\top W x$. It now influences $L$ in two ways, and
# the gradient is the sum of both: as encoder $(W e)\,x^\top$, as decoder $e z^\top$, transposed
# into the shape of $W$: $\;\partial L/\partial W = (W e)\,x^\top + z\,e^\top$.
#
# **L2 penalty.** $\tfrac\lambda2\sum_{ij}W_{ij}^2$ adds $\lambda W$ to the gradient.
#
# **Biases.** In $y = W_2(W_1 x + b_1) + b_2$ the gradients are $\partial L/\partial b_2 = e$ and
# $\partial L/\partial b_1 = W_2^\top e$.

# %%
W, x = numbers(3, 7, seed=27), numbers(7, seed=28)
z, strength = W @ x, 0.3
e = W.T @ z - x
tied = torch.outer(W @ e, x) + torch.outer(z, e)
claim(
    largest_difference([tied], autograd(lambda W: 0.5 * ((x - W.T @ W @ x) ** 2).sum(), W)) < 1e-8,
    "tied weights",
)
penalised = autograd(
    lambda W: 0.5 * ((x - W.T @ W @ x) ** 2).sum() + 0.5 * strength * (W**2).sum(), W
)
claim(largest_difference([tied + strength * W], penalised) < 1e-8, "with an L2 penalty")

# %%
W1, W2, b1, b2 = (
    numbers(3, 7, seed=29),
    numbers(7, 3, seed=30),
    numbers(3, seed=31),
    numbers(7, seed=32),
)
e = W2 @ (W1 @ x + b1) + b2 - x
theirs = autograd(lambda b1, b2: 0.5 * ((x - W2 @ (W1 @ x + b1) - b2) ** 2).sum(), b1, b2)
claim(largest_difference([W2.T @ e, e], theirs) < 1e-8, "biases")

# %% [markdown]
# The bias of the decoder tells why centring was no cheating. Averaged over the data, its gradient
# is the mean error. At a minimum it vanishes: $\overline{y} = \overline{x}$. The network has then
# centred the data by itself, and a linear autoencoder with biases on raw pixels has the same
# bound as one without on centred pixels (Bourlard and Kamp 1988).
#
# ### An output that cannot reach its target
#
# The article ends its network in a sigmoid, so every output lies strictly between 0 and 1, and
# feeds it standard normal targets, of which half are negative. Whatever happens inside, a target
# $t$ below 0 costs at least $\tfrac12 t^2$, one above 1 at least $\tfrac12 (t - 1)^2$. (The lowest
# dashed line in Figure 1.6 of chapter 01 is the mean of that, without the ½.) The same mistake is
# easily made on images: centre them, as we did, and forget the sigmoid.

# %%
floor = 0.5 * (F.relu(-X) ** 2 + F.relu(X - 1) ** 2).sum(dim=1).mean().item()
print(f"centred digits: no sigmoid output gets below {floor:.2f}")
print(f"a linear code of 32 numbers reaches          {linear_bound(lam, 32):.2f}")
print(f"always answering the mean costs              {0.5 * lam.sum():.2f}")
claim(
    floor > linear_bound(lam, 32),
    "however large its code, a sigmoid output loses to a linear code of 32 numbers here",
)

# %% [markdown]
# And it learns slowly on the way down: the factor $\sigma' = y(1 - y)$ in $\delta_n$ is at most
# ¼, and tends to 0 as the output nears the end of its range, which is where these targets push
# it. Pixels in $[0, 1]$ suit a sigmoid; anything else wants a linear output. Match the output's
# range to the target's.
#
# ## 12 · Regularisation
#
# The article names dropout and L2. On the linear autoencoder one can compute what each does.
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
# The last line is a bonus: with a penalty, components differ in strength, so the ambiguity of
# section 8 is gone up to a rotation of the code. The singular vectors of the decoder *are* the
# principal components.
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
# formula holds; the flavour stays.

# %%
W1, W2, x, p = numbers(4, 7, seed=35), numbers(7, 4, seed=36), numbers(7, seed=37), 0.3
z = W1 @ x
formula = 0.5 * ((x - W2 @ z) ** 2).sum() + 0.5 * p / (1 - p) * (z**2 * (W2**2).sum(dim=0)).sum()
torch.manual_seed(0)
dropped = F.dropout(z.expand(200_000, 4), p)
sampled = 0.5 * ((x - dropped @ W2.T) ** 2).sum(dim=1)
error = 4 * sampled.std() / len(sampled) ** 0.5
print(f"formula {formula:.3f}   mean of 200 000 draws {sampled.mean():.3f} ± {error:.3f}")
claim(abs(formula - sampled.mean()) < error, "the formula lies within four standard errors")

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
# (Momentum left out for clarity.) A weight with large gradients is then hardly regularised, one
# with small gradients very much (Loshchilov and Hutter 2019). One dimension suffices to see it.
# Weights start at 1; their gradients are pure noise of standard deviation $\sigma$, so nothing
# but the regulariser should move their mean. Adam with L2 should decay like
# $e^{-\eta\lambda t/\sigma}$, AdamW like $e^{-\eta\lambda t}$ for every $\sigma$.


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
plots.show(fig, alt="Left: with L2 inside Adam, weights with small gradient noise decay quickly "
           "and those with large noise hardly at all. Right: with AdamW the three curves coincide.")

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
# In `TrainConfig` the two have two names, `l2` and `weight_decay`. In PyTorch they share one:
# `Adam(weight_decay=…)` is L2, `AdamW(weight_decay=…)` is decay. A recipe that says "weight decay
# 0.01" without naming the optimiser has said half of it.
#
# ## 13 · Deep beats linear
#
# Everything linear has one limit: section 6, the line in Figure 2.5. A bent surface can follow bent
# data where a flat subspace can't. Hinton and Salakhutdinov (2006) squeezed MNIST into 30 numbers
# with a deep autoencoder and compared it with PCA at the same code size. They had to pretrain it
# layer by layer, an early reason for the word of this course's title. With today's optimisers and
# initialisation we train all layers at once, and get below PCA without that detour.
#
# A linear code is fitted exactly. A deep one has far more weights than there are images, so **only
# held-out images count** now. What ratio of the deep autoencoder's held-out error to PCA's do you
# expect from a few seconds of training?

# %%
predict("02.deep", ..., unit="× PCA's error")

# %%
torch.manual_seed(0)
model = Autoencoder(AutoencoderConfig(hidden_sizes=(512, 256), code_size=30))
config = TrainConfig(
    steps=dial(smoke=20, laptop=600),
    warmup_steps=dial(smoke=2, laptop=50),
    batch_size=100,
    learning_rate=2e-3,
)
Trainer(model, Reconstruction(), train, config).fit()
model.cpu()  # to where the images are: training goes to a GPU where there is one
print(f"{sum(p.numel() for p in model.parameters()):,} weights, {len(train):,} images")

# %%
linear = pca(train.images)
answers = {"PCA": lambda x: linear.reconstruct(x, 30), "deep": model}
errors = {}
for name, answer in answers.items():
    seen, held_out = (reconstruction_error(answer, part) for part in (train, test))
    errors[name] = held_out
    print(f"{name:4s}  training images {seen:.3f}   held-out images {held_out:.3f}   "
          f"held-out above training by {held_out / seen - 1:.0%}")
ratio = errors["deep"] / errors["PCA"]
reveal("02.deep", ratio)
claim(ratio < 1, "on images it never saw, the deep code of 30 numbers beats PCA's 30")

# %%
chosen = test.images[:10]
with torch.no_grad():
    rows = [chosen, linear.reconstruct(chosen, 30), model(chosen)]
fig = plots.image_grid(rows, row_labels=["held-out", "PCA, 30 numbers", "deep, 30 numbers"])
plots.show(fig, alt="Ten held-out digits; below them their reconstructions from 30 principal "
           "components, blurred with grey halos; and from the deep autoencoder's 30 numbers, a "
           "little sharper, on a ground with faint specks.")

# %% [markdown]
# Compare the strokes. PCA's are blurred and wear grey halos, for it can only add up fixed patterns.
# The deep network's are a little sharper, though its ground isn't quite black either. And compare the two columns of errors: PCA's are close to each other, the deep network's aren't.
# It has begun to learn the training images themselves.
#
# ### A walk between two codes
#
# A decoder draws a picture from *any* 30 numbers, not only from the code of a digit. So take two held-out
# digits, walk along the straight line from one code to the other, and decode on the way. With PCA the
# outcome is clear beforehand: a linear decoder turns a mixture of codes into the same mixture of pictures, so
# one fades out while the other fades in. A deep decoder is free to bend one into the other.


# %%
@torch.no_grad()
def halfway(pair, share=0.5):
    """What lies between two images (2, 1, 28, 28): in pixels, in PCA's code and in the deep one, (3, 28, 28)."""
    weights = torch.tensor([1 - share, share])
    code = weights @ model.encode(pair)  # (30,)
    parts = [weights @ pair.flatten(1), weights @ linear.reconstruct(pair, 30).flatten(1), model.decode(code[None])]
    return torch.stack([part.reshape(28, 28) for part in parts])


def draw_walk(start, end, shares):
    pair = torch.stack([test.images[test.labels == digit][0] for digit in (start, end)])
    steps = torch.stack([halfway(pair, share / 100) for share in shares], dim=1)  # (3, steps, 28, 28)
    fig = plots.image_grid(steps, [f"{share} %" for share in shares], ["pixels", "PCA's code", "deep code"], scale=1.1)
    plots.show(fig, alt=f"The way from a {start} to a {end} in steps of {shares} per cent, mixed in pixels, in PCA's code "
               "and in the deep code. In the pixels both digits show through each other; the two other rows are blurred "
               "and look much alike, the last a little less grey.")


# %% [markdown]
# Walk from the 7 to the 4, and between other digits: where does it stop being a 7? Is what lies halfway a digit at all?
# (This cell is to be touched. Run it, and move the slider with the mouse or the arrow keys. Where a notebook
# is only read, some steps of the walk stand in its place.)

# %%
explore(lambda start, end, on_the_way: draw_walk(start, end, [0, on_the_way, 100]),
        still=lambda: draw_walk(7, 4, [0, 20, 40, 50, 60, 80, 100]),
        start=[7, 0, 1, 2, 3, 4, 5, 6, 8, 9], end=[4, 0, 1, 2, 3, 5, 6, 7, 8, 9], on_the_way=(0, 100, 50, "on the way (%)"))

# %% [markdown]
# Compare with what you saw. For 300 pairs of held-out digits we look halfway, and ask two things of each picture: how
# many of its pixels are neither dark nor bright, and how far off the nearest training image is (½ of the squared
# distance). Beside them stand the ends of the walk, decoded from their own codes.

# %%
first, second = torch.randint(len(test), (2, 300), generator=torch.Generator().manual_seed(0))
middles = [halfway(test.images[[i, j]]) for i, j in zip(first.tolist(), second.tolist())]
names = ["halfway, pixels", "halfway, PCA's code", "halfway, deep code", "an end, deep code"]
with torch.no_grad():
    pictures = [*torch.stack(middles, dim=1).flatten(2), model(test.images[first]).flatten(1)]  # (300, 784) each
grey = [((x > 0.25) & (x < 0.75)).float().mean().item() for x in pictures]
away = [0.5 * torch.cdist(x, train.images.flatten(1)).min(1).values.square().mean().item() for x in pictures]
for name, share, distance in zip(names, grey, away):
    print(f"{name:20s} grey pixels {share:.1%}   from the nearest training image {distance:.1f}")
claim(away[2] < away[1] < away[0], "the deep code's halfway is nearer to real digits than PCA's, and that than the pixels'")
claim(away[2] > away[3] and grey[2] > grey[3], "and yet farther off, and greyer, than the pictures at the ends")

# %% [markdown]
# So the deep code bends the way a little, and what lies halfway is mostly no digit. Should it be? **The loss looks at the
# codes of images, never at what lies between them.** A code is good for what it was trained for, and a walk shows where
# that ends. To have something ask about points off the data one must put it into the task, and chapter 03 does: it
# damages the input.
#
# ### Which learning rate?
#
# That network was trained with a learning rate of at most 0.002, which first rises from 0 over `warmup_steps` updates, a
# *warm-up*. Where does such a number come from? Smith (2017, Section 3.3) proposes a **range test**: one short run whose rate
# grows evenly, from next to nothing to far too much. Look where the loss begins to fall, and where it gets ragged and
# rises. With our trainer that needs no new code: it is a run that is nothing but warm-up. (A smaller network
# will do, so that a run takes less than a second.)


# %%
def short_run(rate, warmup_steps=0, steps=dial(smoke=10, laptop=150)):
    """What a short run with this rate logs, update by update; it breaks off when the loss is not finite."""
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(hidden_sizes=(128,), code_size=30))
    config = TrainConfig(steps=steps, warmup_steps=min(warmup_steps, steps), batch_size=100, learning_rate=rate,
                         schedule="constant", log_every=1)
    trainer = Trainer(network, Reconstruction(), train, config)
    try:
        return trainer.fit()
    except NonFiniteError:
        return trainer.history


range_test = short_run(0.1, warmup_steps=150)
growing = [record["learning_rate"] for record in range_test.records if "loss" in record]
print(f"{len(growing)} updates, rates from {growing[0]:.4f} to {growing[-1]:.4f}")

# %%
chosen = {}  # the losses of each run, by the logarithm of its rate


def draw_rates(*exponents):
    for exponent in exponents:
        chosen[exponent] = chosen.pop(exponent, None) or short_run(10**exponent).losses
    fig, (left, right) = plots.figure(columns=2, width=10, height=3.6)
    left.plot(growing, range_test.losses, color=plots.BLUE)
    left.axvline(10**exponent, color=plots.ORANGE)
    for at, losses in list(chosen.items())[-5:]:
        colour = plots.ORANGE if at == exponent else plots.GREY
        losses = [min(loss, 60) for loss in losses]
        right.plot(range(1, len(losses) + 1), losses, color=colour, lw=1.8 if at == exponent else 1)
        plots.label_line(right, [len(losses)], [sum(losses[-5:]) / len(losses[-5:])], f"{10**at:.2g}", colour)
    left.set(xscale="log", xlabel="learning rate, grows with every update", ylim=(0, 61), ylabel="loss of a batch", title="range test")
    right.set(xlabel="update", ylim=(0, 61), ylabel="loss of a batch, cut off at 60", title=f"a run at {10**exponent:.2g}")
    plots.show(fig, alt="Left: the loss of one run whose learning rate grows; it falls, lies flat for a while, "
               f"and then rises raggedly. A line marks {10**exponent:.2g}. Right: the losses of runs at one rate each: "
               + ", ".join(f"{10**at:.2g}" for at in list(chosen)[-5:]) + ".")


# %% [markdown]
# Below, the test is on the left, and on the right are runs that keep one rate, the one that you choose. At which rate is
# the loss of the test lowest? Try that one first. Then smaller ones: is it the best?

# %%
explore(lambda exponent: draw_rates(exponent), still=lambda: draw_rates(-4.0, -1.0, -1.7, -2.5),
        exponent=(-5.0, 0.0, -4.0, "log₁₀(learning rate)"))

# %% [markdown]
# To compare with: the loss at the end of such runs, a mean over ten batches, and the rate at which the test was lowest.

# %%
ends = {}
for exponent in (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0):
    last = (chosen.get(exponent) or short_run(10**exponent).losses)[-10:]
    ends[10**exponent] = sum(last) / len(last)
    print(f"rate {10**exponent:.2g}: {ends[10**exponent]:.1f}")
smooth = [sum(range_test.losses[i : i + 5]) / 5 for i in range(len(growing) - 4)]
lowest, flat = smooth.index(min(smooth)), next(i for i, loss in enumerate(smooth) if loss < 1.1 * min(smooth))
best_rate = min(ends, key=ends.get)
print(f"the test lies flat from {growing[flat + 2]:.2g} on, and is lowest at {growing[lowest + 2]:.2g}; the best run has {best_rate:.2g}")
claim(growing[flat + 2] > 2 * best_rate, "the best rate is one at which the test still falls; where it lies flat, the rate is too high to stay there")
claim(ends[0.1] > 2 * ends[best_rate], "and where the test has risen, a run learns little")

# %% [markdown]
# The test tells *where* to look, within a factor of ten, for the price of one short run. Its lowest point comes late, since all
# updates at smaller rates have helped to get there. Choose a rate at which the loss still falls, several times smaller.
# (Smith plots accuracy, and takes the rates at which it begins to rise and at which it stops as the two ends between which he
# lets the rate go up and down.) Nor is this the last word: the best rate of a short run need not be that of a long one, nor
# that of another network. Chapter 07 has a comparison that went wrong in just this way.
#
# ### The ladder
#
# How far can one go, and what helps? The ledger has longer runs of a ladder, one idea a rung,
# three random starts each. (The convolutional rungs also have a learning rate of their own.)

# %%
ledger = results("02-deep-autoencoder")["measured"]
print(
    f"held-out error relative to PCA with {ledger['code_size']} components "
    f"({ledger['pca']['test']:.3f})"
)
for rung in ledger["rungs"]:
    rows = [row for row in ledger["rows"] if row["rung"] == rung]
    ratios_held_out = [row["test"] / ledger["pca"]["test"] for row in rows]
    over = sum(row["test"] / row["train"] for row in rows) / len(rows)
    spread = "  ".join(f"{value:.3f}" for value in ratios_held_out)
    print(
        f"{rung:32s} {spread}    held-out / training error {over:.2f}    "
        f"{sum(r['seconds'] for r in rows) / len(rows):.0f} s"
    )

# %%
fig, ax = plots.figure(width=8, height=3)
relative = [
    [row["test"] / ledger["pca"]["test"] for row in ledger["rows"] if row["rung"] == rung]
    for rung in ledger["rungs"]
]
plots.bars(ax, ledger["rungs"], relative, colours=plots.SKY)
ax.axvline(1, color=plots.GREY, ls="--")
ax.set(xlabel="held-out error, PCA with 30 components = 1 (dashed)")
plots.show(fig, alt="Held-out error relative to PCA for each rung of the ladder, three dots a "
           "rung, one for each random start.", number="2.13")
worst, best_rung = min((max(values), rung) for values, rung in zip(relative, ledger["rungs"]))
claim(worst <= 0.75, f"best rung, {best_rung}: even its worst start has {worst:.3f} of PCA's error")

# %% [markdown]
# Read the ladder as a list of prices. A regulariser fights over-fitting by making the model *want*
# less; augmentation by giving it more to fit; a convolution by building in what we know about
# images, that a stroke is a stroke wherever it lies. Which of them paid, and by how much, the
# dots in Figure 2.13 say.
#
# Set the ratio of held-out to training error in the table beside the dots. A narrower gap isn't yet
# a gain: weight decay with dropout narrows it, but the held-out error rises too, only by less than the
# training error. At the one strength that we tried, it costs. Augmenting the fully connected
# network narrows the gap further, and leaves the held-out error within the scatter of the starts.
# The convolution pays most, although its gap is the widest of all, and on top of it augmentation
# pays as well.
#
# What we expected is written in the experiment's file; here it is, beside what came out. (The
# verdict judges the last statement only; judge the others by the table.)

# %%
entry = results("02-deep-autoencoder")
print("predicted:", entry["prediction"])
print("measured: ", entry["verdict"])

# %% [markdown]
# Hinton and Salakhutdinov report for full-size MNIST an average squared error
# of 3.00 with 30 numbers, against 13.87 for PCA (their Figure 2). They count without the ½, so
# PCA's figure there is comparable to twice ours.

# %%
print(
    f"PCA, 30 components, held-out, without the ½: {2 * ledger['pca']['test']:.2f} here with "
    f"{len(train)} training images"
)

# %% [markdown]
# ## Summary
#
# * $L = \tfrac12\sum(x-y)^2$; its gradient at the output is the error. The gradient of a weight
#   matrix is the error at its output times its input, and errors travel back through transposes.
# * On centred data no linear autoencoder gets below ½ the sum of the discarded eigenvalues, and
#   gradients from a random start get there (Figure 2.5): the headline of this chapter.
# * What is found is the *subspace*. Single directions are arbitrary, and where two eigenvalues
#   nearly tie, even the subspace comes late: the loss doesn't care.
# * Gradient-free points are projections onto any eigenvectors; all but the best are saddles. A
#   plateau can be a saddle being left (Figure 2.7), and not convergence.
# * From small balanced weights components are learned in order of variance, each on its own
#   sigmoid (Figure 2.8).
# * L2 switches off components below its strength; dropout is L2 weighted by activity; weight
#   decay differs from L2 as soon as Adam divides.
# * Beyond the linear bound lie depth and non-linearity, and there only held-out error counts.
# * A range test finds the order of magnitude of a learning rate in one short run.
#
# ## Going further
#
# * Open `pretrain_lib/evaluation/linear.py`: `principal_angles` uses sines where cosines lose
#   their digits. Why do they, near 0°?
# * Train the linear autoencoder on pixels that were *not* centred, once with and once without
#   biases, and compare with `bound`.
# * `python course.py reproduce 02-deep-autoencoder` runs the ladder of Figure 2.13 on your machine.
#   Add a rung.
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
# * I. Loshchilov and F. Hutter (2019), *Decoupled weight decay regularization*, ICLR; arXiv
#   1711.05101, Section 2.
# * H. Daneshmand, J. Kohler, A. Lucchi and T. Hofmann (2018), *Escaping saddles with stochastic
#   gradients*, ICML; arXiv 1803.05999.
# * D. Kunin, J. Bloom, A. Goeva and C. Seed (2019), *Loss landscapes of regularized linear
#   autoencoders*, ICML; arXiv 1901.08168.
# * L. Smith (2017), *Cyclical learning rates for training neural networks*, WACV; arXiv 1506.01186, Section 3.3.
# * Å. Björck and G. Golub (1973), *Numerical methods for computing angles between linear
#   subspaces*, Mathematics of Computation 27.
