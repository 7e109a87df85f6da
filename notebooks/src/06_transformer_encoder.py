# %% [markdown]
# # 06 · The transformer encoder
#
# The article that this course starts from names the transformer twice, and never says what one is.
# This chapter builds one from nothing: a look-up that can be differentiated, then one part after
# another, each derived and each checked, until the encoder that you built from your own functions
# gives the logits and the gradients of Hugging Face's BERT to ten digits. Six years of changes
# later it is a ModernBERT, equal to theirs too.
#
# **You will be able to**
#
# 1. derive attention as a soft look-up, say why scores are divided by $\sqrt E$, and write it;
# 2. build masks for padded and packed batches that never give NaN, and say where NaN comes from;
# 3. prove that attention ignores order, and mend that with learned vectors or with rotations;
# 4. predict from where the normalisation stands how large each layer's gradient is at the start,
#    and measure it;
# 5. write BERT's encoder, check it against `transformers`, turn it into ModernBERT, and count
#    parameters and floating-point operations by formula.
#
# **You need** chapters 00 to 03, above all matrices, the chain rule and softmax. Tokens and their
# ids are the subject of chapter 04; here an id is just a row number.
#
# **Time** about 4½ hours of reading and exercises, in two halves: sections 1 to 8 are the parts,
# sections 9 to 12 the assembly. Computing takes less than a minute on a laptop.

# %% tags=["setup"]
import math
import tempfile

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from pretrain_lib import BertConfig, BertForMaskedLM, BertModel, initialise, load_pretrained, load_tokenizer
from pretrain_lib.course import check, claim, diagrams, explore, headline, plots, predict, results, reveal
from pretrain_lib.course.results import verdict_table
from pretrain_lib.course.exercises.ch06 import CHOICES
from pretrain_lib.models.layers import Attention, visible
from pretrain_lib.models.outputs import outputs_of

# %% [markdown]
# As in chapter 02, we compute in float64, so that "equal" can mean equal. Shapes are written with
# these letters throughout:
#
# | letter | number of | letter | number of |
# |---|---|---|---|
# | $B$ | sequences in a batch | $H$ | heads of a layer |
# | $T$ | positions in a sequence | $E = D/H$ | numbers per head |
# | $D$ | hidden numbers per position | $I$ | inner numbers of a feed-forward layer |
# | $V$ | tokens in the vocabulary | $M$ | positions that are predicted |
# | $L$ | layers | $P$ | positions that have a learned vector |
#
# Section 1 and exercise 06.1 let the number of keys, $S$, and the numbers per value, $C$, differ
# from $T$ and $E$. The matrices $Q$, $K$ and $V$ of queries, keys and values have the names of the
# literature; only there is $V$ a matrix.


# %% tags=["setup"]
def numbers(*shape, seed=0):
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gap(ours, theirs):
    """The largest absolute difference between two tensors."""
    return (ours - theirs).abs().max().item()


# %% [markdown]
# ## 1 · A soft look-up
#
# A Python dictionary holds pairs of a *key* and a *value*. A *query* is compared with the keys;
# where one is equal, its value is the answer. Two things are missing for a network: queries that
# match no key exactly, and a derivative. Both come from comparing with **every** key and answering
# with a weighted mean of **all** values:
#
# $$s_j = q \cdot k_j, \qquad a_j = \frac{e^{s_j}}{\sum_i e^{s_i}}, \qquad y = \sum_j a_j v_j .$$
#
# The scores $s$ say how well query and key match; the *softmax* makes of them weights that are
# positive and sum to 1. Here is the dictionary `{"red": 1, "green": 2, "blue": 6}` with one-hot
# keys. The sharper the comparison, the closer the mean is to the entry of "green".

# %% tags=["NBVAL_CHECK_OUTPUT"]
keys = torch.eye(3).double()  # (S, E): red, green, blue
values = torch.tensor([[1.0], [2.0], [6.0]]).double()  # (S, C)
query = torch.tensor([0.0, 1.0, 0.0]).double()  # (E,): green
for sharpness in (0, 1, 5, 50):
    weights = (sharpness * keys @ query).softmax(0)  # (S,)
    print(f"sharpness {sharpness:2d}   weights {[round(a, 3) for a in weights.tolist()]}   "
          f"answer {(weights @ values).item():.4f}")
claim(gap(weights @ values, values[1]) < 1e-8, "a sharp soft look-up is a look-up")

# %% [markdown]
# With sharpness 0 the answer is the plain mean. With 50 it is the dictionary's. (A sharper comparison
# is nothing but a longer query.)
#
# ### The derivative
#
# How does a weight react to a score? Write $a_i = e^{s_i}/Z$ with $Z = \sum_k e^{s_k}$. The
# numerator depends on $s_j$ only if $i = j$; $Z$ always does, with $\partial Z/\partial s_j =
# e^{s_j}$:
#
# $$\frac{\partial a_i}{\partial s_j} = \frac{\delta_{ij}\,e^{s_i}}{Z} - \frac{e^{s_i}e^{s_j}}{Z^2} = a_i\,(\delta_{ij} - a_j),
# \qquad\text{as a matrix}\quad J = \operatorname{diag}(a) - a a^\top .$$

# %%
s = numbers(6, seed=1)
a = s.softmax(0)
by_autograd = torch.autograd.functional.jacobian(lambda s: s.softmax(0), s)  # (6, 6)
claim(gap(a.diag() - a.outer(a), by_autograd) < 1e-8, "the softmax's derivative is diag(a) − a aᵀ")

# %% [markdown]
# When one weight is 1 and the others are 0, every entry of $J$ vanishes. **A look-up that has become
# hard passes no gradient to its scores.**
#
# ### Self-attention
#
# In a text every position asks, and every position answers. Let $x$ be $(T, D)$, one row of
# hidden numbers per position. Three matrices make of each row a query, a key and a value:
#
# $$Q = x W_Q^\top, \qquad K = x W_K^\top, \qquad V = x W_V^\top .$$
#
# Row $i$ of $Q K^\top$, a matrix $(T, T)$, holds the scores of query $i$ with all keys. The softmax
# goes along rows.

# %% tags=["NBVAL_CHECK_OUTPUT"]
T, D, E = 5, 8, 4
x = numbers(T, D, seed=2)
W_q, W_k, W_v = (numbers(E, D, seed=seed) / D**0.5 for seed in (3, 4, 5))
q, k, v = x @ W_q.T, x @ W_k.T, x @ W_v.T  # (T, E) each
scores = q @ k.T  # (T, T)
weights = scores.softmax(dim=1)
print("q, k, v", tuple(q.shape), "  scores", tuple(scores.shape), "  answer", tuple((weights @ v).shape))
claim(gap(weights.sum(1), torch.ones(T)) < 1e-8, "each query's weights sum to 1")

# %% [markdown]
# ## 2 · Why divide by √E?
#
# One thing is still missing in the formula of the paper (Vaswani et al. 2017, Section 3.2.1):
#
# $$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\Bigl(\frac{Q K^\top}{\sqrt E}\Bigr) V . \tag{6.1}$$
#
# Suppose that the numbers in $q$ and $k$ are independent with mean 0 and variance 1. Then each
# product $q_i k_i$ has mean 0 and variance $\mathbb E[q_i^2]\,\mathbb E[k_i^2] = 1$, and a sum of
# $E$ independent products has variance $E$ (their footnote 4). So what is the *standard deviation*
# of a score when a head has 64 numbers, as in BERT-base?

# %%
predict("06.score", ...)

# %%
sizes = (4, 16, 64, 256)
spread_of = {}
for size in sizes:
    q, k = numbers(20_000, size, seed=size), numbers(20_000, size, seed=size + 1)
    spread_of[size] = (q * k).sum(1).std().item()
    print(f"E = {size:3d}   standard deviation of q·k {spread_of[size]:6.3f}   √E {size**0.5:6.3f}")
reveal("06.score", spread_of[64])
claim(all(abs(spread_of[n] / n**0.5 - 1) < 0.03 for n in sizes), "the scores' spread is √E")

# %% [markdown]
# Scores that differ by 8 or more make a hard look-up: $e^8$ is about 3,000. And a hard look-up, we
# have just seen, passes no gradient. Below: 32 keys, and for each size of head the largest weight
# and the size of the derivative $J$ (its Frobenius norm, the root of the sum of its squared
# entries), with and without the division.


# %%
def hardness(scale):
    """For each size of head: mean largest weight of 32 keys, and mean norm of the softmax's derivative."""
    rows = []
    for size in sizes:
        q, k = numbers(500, 1, size, seed=size), numbers(500, 32, size, seed=size + 1)
        a = ((q * k).sum(2) * scale(size)).softmax(1)  # (500, 32)
        J = torch.diag_embed(a) - a[:, :, None] * a[:, None]  # (500, 32, 32)
        rows.append((a.max(1).values.mean().item(), J.square().sum((1, 2)).sqrt().mean().item()))
    return list(zip(*rows))


plain, divided = hardness(lambda size: 1.0), hardness(lambda size: size**-0.5)
fig, axes = plots.figure(columns=2, width=9.5, height=3)
for ax, one, two, title in zip(axes, plain, divided, ["largest of 32 weights", "size of the derivative"]):
    for line, name, colour in ((one, "q·k", plots.ORANGE), (two, "q·k/√E", plots.BLUE)):
        ax.plot(sizes, line, "o-", color=colour)
        plots.label_line(ax, sizes, line, name, colour)
    ax.set(xscale="log", xticks=sizes, xticklabels=sizes, xlabel="size of a head, E", title=title, ylim=(0, None))
    ax.minorticks_off()
plots.show(fig, alt="Divided by the root of E, heads of every size look up softly; undivided, large heads look up hard and pass little gradient. "
           "Left: without the division the largest of 32 weights grows with the size of a head until nearly all weight lies on one key; divided "
           "it stays small. Right: the size of the derivative falls with E without the division, and stays level with it.",
           number="6.1")
claim(plain[0][-1] > 0.8 and max(divided[0]) < 0.3, "undivided, large heads look up hard; divided, softly")
claim(plain[1][-1] < 0.5 * max(plain[1]), "and hard look-ups have small derivatives")

# %% [markdown]
# Divided, every head is as soft as any other (Figure 6.1). Undivided, small heads do well, too. The
# trouble comes with size.

# %% [markdown] tags=["exercise"]
# **Exercise 06.1 · attention for one head (★☆☆, 10 min)**
#
# Write it. There may be leading axes (batch, heads) before the last two, so swap the last two axes
# with `.transpose(-1, -2)` rather than with `.T`.


# %% tags=["exercise"]
def attend(q, k, v):
    """softmax(q kᵀ / √E) v: q (…, T, E), k (…, S, E), v (…, S, C), to (…, T, C)."""
    ### BEGIN SOLUTION
    scores = q @ k.transpose(-1, -2) / math.sqrt(k.shape[-1])  # (…, T, S)
    return scores.softmax(dim=-1) @ v
    ### END SOLUTION


attend = check("06.1", attend)

# %% [markdown]
# PyTorch has a fused version of your function, `scaled_dot_product_attention`, which need not store
# the $(T, T)$ weights. The library uses it:

# %%
q, k, v = (numbers(2, 7, 4, seed=seed) for seed in (6, 7, 8))  # (B, T, E)
claim(gap(attend(q, k, v), F.scaled_dot_product_attention(q, k, v)) < 1e-10, "your attention is PyTorch's")

# %% [markdown]
# ## 3 · Masks: who may look at whom
#
# Texts in a batch differ in length. Shorter ones are filled up with a padding token, and nobody
# should look there. So a score that isn't allowed is set to $-\infty$ before the softmax:
# $e^{-\infty} = 0$, the weight is exactly zero.
#
# Then what may a *padding* position look at? Nobody will read its answer. The obvious rule,
# "both must be real", has a trap. Here is a batch of two texts, of three tokens and of one.

# %% tags=["NBVAL_CHECK_OUTPUT"]
lengths = torch.tensor([3, 1])
real = torch.arange(3) < lengths[:, None]  # (B, T)
both_real = real[:, :, None] & real[:, None, :]  # (B, T, T)
scores = numbers(2, 3, 3, seed=9)
naive = scores.masked_fill(~both_real, -math.inf).softmax(-1)
print(naive[1])

# %% [markdown]
# The last two rows are NaN, "not a number": with every score at $-\infty$ the softmax divides 0 by
# 0. Those rows belong to padding, and the loss will only be taken over real positions. Does the gradient of such a loss stay clean? Guess 1 for clean, 0 for NaN.

# %%
predict("06.nan", ...)

# %%
W = numbers(4, 4, seed=10).requires_grad_()
answer = naive @ (numbers(2, 3, 4, seed=11) @ W)  # (B, T, 4)
loss = answer[real].square().sum()  # real positions only
loss.backward()
print("loss", round(loss.item(), 4), "  gradient of W has NaN:", W.grad.isnan().any().item())
reveal("06.nan", int(not W.grad.isnan().any()))
claim(loss.isfinite() and W.grad.isnan().all(), "a finite loss, and not one number left in the gradient")

# %% [markdown]
# The padding rows are multiplied by a gradient of 0 on the way back, and **0 · NaN is NaN**. One
# update later every weight of the model is gone, though the loss looked healthy. The cure is a rule
# by which no row is empty: *positions see each other if both are real or both are padding*.

# %% [markdown] tags=["exercise"]
# **Exercise 06.2 · who may look at whom (★★☆, 10 min)**
#
# Make that mask from the lengths of the texts: True where position $i$ (row) may look at position
# $j$ (column).


# %% tags=["exercise"]
def visible_pairs(lengths, length):
    """(B, T, T) bool for texts of `lengths` (B,) in rows of `length` positions."""
    ### BEGIN SOLUTION
    real = torch.arange(length) < lengths[:, None]  # (B, T)
    return real[:, :, None] == real[:, None, :]
    ### END SOLUTION


visible_pairs = check("06.2", visible_pairs)

# %% [markdown]
# ### Attention behind a mask

# %% [markdown] tags=["exercise"]
# **Exercise 06.7 · attention behind a mask (★★☆, 10 min)**
#
# Give your `attend` a last argument. `mask` is `None`, or a tensor of True and False that fits the
# scores: a query looks at a key only where it is True. The weights of what it sees still sum to 1.
# (Exercises that came later have later numbers.)


# %% tags=["exercise"]
def attend(q, k, v, mask=None):
    """softmax(q kᵀ / √E) v: q (…, T, E), k (…, S, E), v (…, S, C), mask (…, T, S) or None, to (…, T, C)."""
    ### BEGIN SOLUTION
    scores = q @ k.transpose(-1, -2) / math.sqrt(k.shape[-1])  # (…, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1) @ v
    ### END SOLUTION


attend = check("06.7", attend)

# %% [markdown]
# The test that matters most: what stands in the padding must not change a real position's answer,
# not by a bit.

# %%
mask = visible_pairs(lengths, 3)
x, garbage = numbers(2, 3, 4, seed=12), numbers(2, 3, 4, seed=13) * 1e6
filled = torch.where(real[:, :, None], x, garbage)  # the same texts, other padding
one, two = attend(x, x, x, mask), attend(filled, filled, filled, mask)
claim(torch.equal(one[real], two[real]), "real positions do not depend on what the padding holds")
claim(one.isfinite().all(), "and no row is NaN")

# %% [markdown]
# ### Several texts in one row
#
# Padding wastes work; chapter 05 packs several short texts into one row instead. They must not see
# each other. The rule of exercise 06.2 carries over once "real or padding" becomes a *number*: 0 for
# padding, 1 for the first text, 2 for the second. Positions see each other if their numbers are
# equal: the dark squares of Figure 5.3 in chapter 05. That is the library's `visible`; it answers
# with $(B, 1, T, T)$, one mask for all heads.

# %% tags=["NBVAL_CHECK_OUTPUT"]
print(visible(torch.tensor([[1, 1, 2, 2, 2, 0]]), 6)[0, 0].int())
ordinary = real.long()  # 1 for tokens, 0 for padding
claim(torch.equal(visible(ordinary, 3)[:, 0], visible_pairs(lengths, 3)), "the ordinary mask is a special case")

# %% [markdown]
# ## 4 · Several heads
#
# One softmax makes one weighted mean. But a verb may want its subject and its object, and a mean of
# both is neither. So attention runs $H$ times side by side, each **head** with queries, keys and
# values of its own, of size $E = D/H$. Head $h$ has three matrices $(E, D)$. Stack the $H$ of them
# on top of each other and you have one matrix $(D, D)$: **one product computes the queries of all
# heads**, and head $h$ is a slice of the result. Then the answers are put side by side again, and
# a last matrix $W_O$, $(D, D)$, mixes them.

# %%
plots.show(diagrams.heads(), "Each head attends with its own slice of the D numbers. From x, (B, T, D), three matrices make q, k and v, each of them cut into "
           "four slices. Head 1 gets the first slice of all three, and so on. The four answers, (B, T, E), stand side by side again, and W_O mixes them.",
           number="6.2")

# %% [markdown] tags=["exercise"]
# **Exercise 06.3 · several heads (★★☆, 15 min)**
#
# Given the queries, keys and values of all heads, $(B, T, D)$ each, cut them into heads, attend in
# each (call your `attend`), and join the answers again. Head 0 owns the first $E$ numbers of each
# position, head 1 the next $E$, and so on. Mind the order of the axes: `attend` works on the last
# two, so it wants $(B, H, T, E)$.


# %% tags=["exercise"]
def multi_head(q, k, v, num_heads):
    """Attention in each of `num_heads` slices of the last axis: (B, T, D) each, to (B, T, D)."""
    ### BEGIN SOLUTION
    batch, length, hidden = q.shape
    heads = [x.view(batch, length, num_heads, -1).transpose(1, 2) for x in (q, k, v)]  # (B, H, T, E)
    return attend(*heads).transpose(1, 2).reshape(batch, length, hidden)
    ### END SOLUTION


multi_head = check("06.3", multi_head)

# %% [markdown]
# The library's `Attention` goes one step further and stacks queries, keys and values as well: one
# matrix `qkv` of $(3D, D)$.

# %%
layer = Attention(hidden_size=12, num_heads=3, bias=True, dropout=0.0).double()
x = numbers(2, 5, 12, seed=14)
q, k, v = layer.qkv(x).chunk(3, dim=-1)  # (B, T, D) each
by_hand = multi_head(q, k, v, 3) @ layer.output.weight.T + layer.output.bias
claim(gap(by_hand, layer(x, None)) < 1e-10, "your heads are the library's")
first = slice(0, 4)  # head 0 alone, with its own matrices (E, D)
W, b = layer.qkv.weight.view(3, 12, 12)[:, first], layer.qkv.bias.view(3, 12)[:, first]
alone = attend(*(x @ W[i].T + b[i] for i in range(3)))  # (B, T, E)
claim(gap(alone, multi_head(q, k, v, 3)[..., first]) < 1e-10, "head 0 is attention with the first E rows")

# %% [markdown] tags=["exercise"]
# **Exercise 06.8 · heads behind a mask (★☆☆, 5 min)**
#
# Sequence $b$ has the mask `mask[b]`, $(T, T)$, for all its heads. Hand it on to `attend`, whose
# scores are $(B, H, T, T)$. Mind what happens when there are as many heads as sequences.


# %% tags=["exercise"]
def multi_head(q, k, v, num_heads, mask=None):
    """Attention in each of `num_heads` slices: q, k, v (B, T, D) each, mask (B, T, T) or None, to (B, T, D)."""
    ### BEGIN SOLUTION
    batch, length, hidden = q.shape
    heads = [x.view(batch, length, num_heads, -1).transpose(1, 2) for x in (q, k, v)]  # (B, H, T, E)
    shared = mask if mask is None else mask[:, None]  # (B, 1, T, T)
    return attend(*heads, shared).transpose(1, 2).reshape(batch, length, hidden)
    ### END SOLUTION


multi_head = check("06.8", multi_head)

# %% [markdown]
# ## 5 · Where am I?
#
# Take "dog bites man" and "man bites dog". An attention layer reads both. Is its answer at "bites"
# the same in the two? Guess 1 for the same, 0 for different.

# %%
predict("06.order", ...)

# %%
dog, bites, man = numbers(3, 12, seed=15)
layer = Attention(hidden_size=12, num_heads=3, bias=True, dropout=0.0).double()
one = layer(torch.stack([dog, bites, man])[None], None)[0]  # (T, D)
other = layer(torch.stack([man, bites, dog])[None], None)[0]
reveal("06.order", int(gap(one[1], other[1]) < 1e-10))
claim(gap(one, other.flip(0)) < 1e-10, "the answers are the same, in the order of the words")

# %% [markdown]
# Nothing in the formula mentions a position. Let $\Pi$ be a permutation matrix, so that $\Pi x$
# is the text with its rows in another order. Queries, keys and values are permuted along. The
# scores become $\Pi\,QK^\top\,\Pi^\top$, the softmax works on each row for itself and doesn't care
# about the order within a row, and $\Pi^\top \Pi$ is the identity:
#
# $$\operatorname{softmax}(\Pi\,QK^\top\,\Pi^\top)\,\Pi V = \Pi \operatorname{softmax}(QK^\top)\, \Pi^\top \Pi\, V = \Pi\,\operatorname{softmax}(QK^\top)\,V .$$
#
# Attention is **permutation-equivariant**: permute the input, and the output is permuted. All other
# parts of an encoder work on each position alone. Without further help it reads a bag of words.

# %%
order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
x = numbers(1, 9, 12, seed=16)
claim(gap(layer(x[:, order], None), layer(x, None)[:, order]) < 1e-10, "attention is permutation-equivariant")

# %% [markdown]
# ### A learned vector for each position
#
# BERT's answer is the simplest: a table of 512 vectors, one for each position from 0 to 511, learned like
# the word embeddings, and added to them. Now "dog at 0" and "dog at 2" are two inputs. It has two costs.
# Position 511 is learned from the few texts that reach so far, and position 512 doesn't exist. And that
# "two to the left" is the same relation everywhere must be learned for every position anew.

# %%
positions = numbers(3, 12, seed=17)
one = layer((torch.stack([dog, bites, man]) + positions)[None], None)[0]
other = layer((torch.stack([man, bites, dog]) + positions)[None], None)[0]
claim(gap(one[1], other[1]) > 0.01, "with positions added, it matters who bites")

# %% [markdown]
# ### Rotations
#
# Modern encoders tell attention what it wants to know: how far apart two positions are. The trick
# (Su et al. 2021, RoFormer, Section 3.2) is to **turn** queries and keys, by an angle that grows
# with the position. In the plane, with $R(\alpha)$ the rotation by $\alpha$, the query at position $m$
# and the key at position $n$:
#
# $$\bigl(R(m\omega)\,q\bigr)\cdot\bigl(R(n\omega)\,k\bigr) = q^\top R(m\omega)^\top R(n\omega)\,k = q^\top R\bigl((n-m)\,\omega\bigr)\,k,$$
#
# since turning back by $m\omega$ and forth by $n\omega$ is turning by the difference. The score
# depends on $n - m$ alone, exactly. A head has $E$ numbers, so $E/2$ planes; plane $j$ gets a speed
# of its own, $\omega_j = \theta^{-2j/E}$ radians per position. Fast planes tell neighbours apart, slow
# ones far from near. With $\theta = 10{,}000$ and $E = 64$ the slowest turns once in how many positions?

# %%
predict("06.slowest", ..., unit="positions for one turn")

# %% tags=["NBVAL_CHECK_OUTPUT"]
slowest = 10_000 ** (-2 * 31 / 64)  # radians per position
reveal("06.slowest", 2 * math.pi / slowest)

# %% [markdown] tags=["exercise"]
# **Exercise 06.4 · turn queries and keys (★★☆, 15 min)**
#
# Turn each row of $x$, $(T, E)$: the pair $(x_j,\; x_{j+E/2})$ by the angle *position*
# $\cdot\,\theta^{-2j/E}$, for $j = 0 \dots E/2 - 1$. Turning $(a, b)$ by $\alpha$ gives
# $(a\cos\alpha - b\sin\alpha,\; b\cos\alpha + a\sin\alpha)$.
#
# (The paper pairs neighbours, $2j$ and $2j+1$, and so do GPT-J and Meta's own code of LLaMA.
# `transformers` mostly pairs $j$ with $j + E/2$. The two differ in the order of the numbers, which
# is learned anyway; but weights that were trained with one are wrong under the other.)


# %% tags=["exercise"]
def turn(x, positions, theta):
    """(T, E) turned pair by pair; positions (T,) integers."""
    ### BEGIN SOLUTION
    half = x.shape[1] // 2
    speed = theta ** (-2 * torch.arange(half, dtype=x.dtype) / x.shape[1])  # (E/2,)
    angle = positions[:, None] * speed  # (T, E/2)
    a, b = x[:, :half], x[:, half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], dim=1)
    ### END SOLUTION


turn = check("06.4", turn)

# %% [markdown]
# Put one query at positions 0, 10 and 100, and the same key at distances up to 40 from it. (With
# $\theta = 100$ the slow planes, too, turn noticeably within the picture.)

# %%
q, k = numbers(1, 16, seed=18), numbers(1, 16, seed=19)
distance = torch.arange(41)
curves = {}
for start in (0, 10, 100):
    asked = turn(q, torch.tensor([start]), 100.0)  # (1, E)
    answered = turn(k.expand(41, 16), start + distance, 100.0)  # (41, E)
    curves[start] = (answered @ asked.T)[:, 0]  # (41,)
fig, ax = plots.figure(width=6.5, height=2.8)
for (start, curve), style in zip(curves.items(), ("-", "--", ":")):
    ax.plot(distance, curve, style, lw=2 + (style == ":"), label=f"query at {start}")
ax.legend(frameon=False, ncols=3)
ax.set(xlabel="distance from query to key (positions)", ylabel="score q·k")
plots.show(fig, alt="After the turn a score depends on the distance alone. The score of one query and one key against their distance, for a "
           "query at position 0, 10 and 100: one wavy curve, since the three coincide.", number="6.3")
claim(gap(curves[0], curves[10]) < 1e-10 and gap(curves[0], curves[100]) < 1e-10,
      "the score depends on the distance alone")
claim(gap(asked.norm(), q.norm()) < 1e-10, "and a turn keeps the length")

# %% [markdown]
# ## 6 · The rest of a block
#
# ### Feed-forward: each position for itself
#
# Attention mixes positions. Between two attention layers each position also computes something *of
# its own*: a layer up to $I$ numbers (in BERT $I = 4D$), a non-linearity, a layer down to $D$ again,
#
# $$\operatorname{FF}(x) = W_2\,\operatorname{gelu}(W_1 x + b_1) + b_2, \qquad \operatorname{gelu}(u) = u\,\Phi(u),$$
#
# where $\Phi(u)$ is the probability that a standard normal number is below $u$: a ReLU with a soft
# knee (Hendrycks and Gimpel 2016; BERT's choice is stated in its Appendix A.2).


# %% tags=["setup"]
def gelu(u):
    """u Φ(u), with Φ(u) = ½ (1 + erf(u/√2))."""
    return 0.5 * u * (1 + torch.erf(u / math.sqrt(2)))


u = torch.linspace(-6, 6, 1001, dtype=torch.float64)
claim(gap(gelu(u), F.gelu(u)) < 1e-10, "gelu(u) = u Φ(u)")

# %% [markdown]
# ### Residual: add, don't replace
#
# A branch does not replace its input, it is **added** to it: $x + f(x)$. Going back, the gradient
# reaches $x$ twice, through $f$ and along the sum, where it arrives undiminished. A block is two
# such sums, one with attention and one with the feed-forward branch, and an encoder is a stack of
# blocks. *A stack*: the article writes a network (its Section 4.1) as
# $y = f(W_n \cdot f_{n-1}(\cdot)\cdots f_1(x))$, which reads as a product. Layers are not
# multiplied. Each is applied to the answer of the one before, a **composition**:
#
# $$y = f_n\bigl(f_{n-1}(\dots f_1(x))\bigr) = (f_n \circ f_{n-1} \circ \dots \circ f_1)(x).$$

# %% tags=["NBVAL_CHECK_OUTPUT"]
u = torch.tensor([1.0, 2.0]).double()
f1, f2 = (lambda u: gelu(2 * u)), (lambda u: gelu(u - 1))
print("composition", [round(n, 4) for n in f2(f1(u)).tolist()], "  product", [round(n, 4) for n in (f2(u) * f1(u)).tolist()])

# %% [markdown]
# ### Normalisation
#
# Sums grow. **LayerNorm** (Ba et al. 2016) brings each position back: subtract the mean $\mu$ of its
# $D$ numbers, divide by their standard deviation $\sigma$, then scale and shift by learned $g$ and
# $b$:
#
# $$y = g \circ \hat x + b, \qquad \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} .$$


# %% tags=["setup"]
def layer_norm(x, weight=1.0, bias=0.0, eps=1e-12):
    """LayerNorm over the last axis."""
    centred = x - x.mean(-1, keepdim=True)
    return weight * centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() + bias


x, g, b = numbers(4, 16, seed=21), numbers(16, seed=22), numbers(16, seed=23)
claim(gap(layer_norm(x, g, b), F.layer_norm(x, (16,), g, b, 1e-12)) < 1e-10, "it equals PyTorch's")
claim(gap(layer_norm(5 * x + 3), layer_norm(x)) < 1e-8, "scaling and shifting the input changes nothing")

# %% [markdown]
# What does it do to a gradient? Leave out $g$, $b$ and $\varepsilon$. Let $\delta$ be the gradient
# of the loss $\ell$ with respect to $\hat x$. Since $\hat x_i = (x_i - \mu)/\sigma$, with $\partial\mu/\partial x_j =
# 1/D$ and $\partial\sigma/\partial x_j = \hat x_j/D$,
#
# $$\frac{\partial \hat x_i}{\partial x_j} = \frac1\sigma\Bigl(\delta_{ij} - \frac1D - \frac{\hat x_i \hat x_j}{D}\Bigr)
# \quad\Longrightarrow\quad
# \frac{\partial \ell}{\partial x} = \frac1\sigma\Bigl(\delta - \overline{\delta} - \hat x\;\overline{\delta \circ \hat x}\Bigr),$$
#
# a bar being the mean over the $D$ numbers. Two directions are taken out of the gradient (a shift and
# a stretch, which change nothing), and what is left is **divided by $\sigma$**. The larger the
# numbers that come in, the smaller the gradient that goes back. Section 8 will live on this line.

# %%
x, delta = numbers(16, seed=24).requires_grad_(), numbers(16, seed=25)
layer_norm(x, eps=0.0).backward(delta)
with torch.no_grad():
    hat, sigma = layer_norm(x, eps=0.0), x.std(correction=0)
    formula = (delta - delta.mean() - hat * (delta * hat).mean()) / sigma
claim(gap(x.grad, formula) < 1e-10, "the gradient through LayerNorm, as derived")

# %% [markdown]
# ### After the sum, or before the branch?
#
# The normalisation can stand in two places. The transformer of 2017 and BERT normalise **after**
# each sum (*post-LN*). Most models since normalise what goes **into** a branch and leave the sum
# alone (*pre-LN*), and need one more normalisation at the very end:
#
# | | attention half | feed-forward half | at the end |
# |---|---|---|---|
# | post-LN | $y = \mathrm{LN}_1(x + \mathrm{Att}(x))$ | $z = \mathrm{LN}_2(y + \mathrm{FF}(y))$ | |
# | pre-LN | $y = x + \mathrm{Att}(\mathrm{LN}_1(x))$ | $z = y + \mathrm{FF}(\mathrm{LN}_2(y))$ | $\mathrm{LN}(z)$ |

# %%
plots.show(diagrams.blocks(), "Post-LN normalises each sum, pre-LN what goes into a branch. Two blocks from (B, T, D) to (B, T, D). Left, post-LN: attention, sum, "
           "LayerNorm, feed-forward, sum, LayerNorm. Right, pre-LN: LayerNorm, attention, sum, LayerNorm, feed-forward, sum; the residual path runs "
           "through untouched, and one more LayerNorm follows the last block.", number="6.4")

# %% [markdown] tags=["exercise"]
# **Exercise 06.5 · repair a block (★★☆, 10 min)**
#
# This post-LN block runs, trains, and is wrong. Its shapes fit, its loss falls.
#
# ```python
# def broken_block(x, attention, feed_forward, norm1, norm2):
#     y = norm1(x + attention(x))
#     return norm2(x + feed_forward(y))
# ```
#
# What is the mistake? Write the block as it should be. The four arguments after `x` are functions
# from $(B, T, D)$ to $(B, T, D)$.


# %% tags=["exercise"]
def post_ln_block(x, attention, feed_forward, norm1, norm2):
    """One block of BERT: (B, T, D) to (B, T, D)."""
    ### BEGIN SOLUTION
    y = norm1(x + attention(x))
    return norm2(y + feed_forward(y))  # y, not x: otherwise the attention is bypassed
    ### END SOLUTION


post_ln_block = check("06.5", post_ln_block)

# %% [markdown]
# ## 7 · The first weights
#
# BERT draws every weight from a normal distribution of standard deviation 0.02, cut off at two
# standard deviations. Why 0.02? Two formulas tell what other values would do. Let $\rho$ be the true
# standard deviation, which the cut makes a little smaller. After a LayerNorm the numbers of $x$
# have a mean square of 1.
#
# * A query is a sum of $D$ products, so its numbers have variance $D \rho^2$, those of a key as well.
#   By section 2 the scores $q\cdot k/\sqrt E$ have a standard deviation of $D \rho^2$.
# * The output scores are $z_v = x\cdot e_v$ with word embeddings $e_v$: normal numbers of variance
#   $\tau^2 = D \rho^2$. The loss of a guess is $\ln\sum_v e^{z_v} - z_{\text{right}}$, and the mean of
#   $e^z$ is $e^{\tau^2/2}$, so it starts near $\ln V + \tau^2/2$: knowing nothing costs $\ln V$, being sure
#   of nonsense costs extra.
#
# Before looking: which of 0.002, 0.02 and 0.2 starts at the lowest loss?

# %%
predict("06.start", ..., unit="as the standard deviation with the lowest first loss")


# %%
def at_the_start(std):
    """The spread of the scores and the largest weight in layer 1, the branch's size beside its input's, the loss."""
    config = BertConfig(vocab_size=1000, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
                        intermediate_size=512, max_position_embeddings=64, initializer_range=std)
    model = BertForMaskedLM(config).eval()
    ids = torch.randint(1000, (2, 8, 64), generator=torch.Generator().manual_seed(0))  # inputs and labels
    x, attention = model.encoder.embeddings(ids[0], None, None), model.encoder.layers[0].attention
    q, k, _ = attention.qkv(x).view(8, 64, 3, 4, 32).permute(2, 0, 3, 1, 4)  # (B, H, T, E)
    scores = q @ k.transpose(-1, -2) / 32**0.5
    branch = attention(x, None).square().mean().sqrt() / x.square().mean().sqrt()
    loss = F.cross_entropy(model(ids[0]).flatten(0, 1), ids[1].flatten())
    tau = 128**0.5 * model.encoder.embeddings.word.weight.std()
    return [n.item() for n in (scores.std(), scores.softmax(-1).max(-1).values.mean(), branch, loss, math.log(1000) + tau**2 / 2, tau**2)]


# %%
print("   std   scores: std, formula   largest of 64 weights   branch / input    loss, formula")
with torch.no_grad():
    starts = {std: at_the_start(std) for std in (0.002, 0.02, 0.2)}
for std, (spread, largest, branch, loss, formula, tau2) in starts.items():
    print(f"{std:6}   {spread:8.4f}   {tau2:8.4f}        {largest:8.3f}           {branch:10.5f}       {loss:6.3f}  {formula:6.3f}")
print(f"the true standard deviation is {(tau2 / 128) ** 0.5 / std:.2f} of what is written: the formulas use the true one")
reveal("06.start", min(starts, key=lambda std: starts[std][3]))
claim(all(abs(starts[s][3] - starts[s][4]) < 0.05 for s in (0.002, 0.02)), "the first loss is ln V + D ρ²/2")
claim(all(abs(row[0] / row[5] - 1) < 0.15 for row in starts.values()), "the scores' spread is D ρ²")

# %% [markdown]
# Too large (0.2): attention begins as a rather hard look-up, and the loss begins far above $\ln V$. Too
# small (0.002): the first loss is the lowest, and that is all there is to say for it. The branches are
# so faint that each layer is nearly the identity, and gradients of queries and keys are tiny, since
# each is proportional to the other. The lowest first loss is not the best start.
#
# The formulas contain $D \rho^2$: what matters is $\rho\sqrt D$.

# %% tags=["NBVAL_CHECK_OUTPUT"]
for name, width in (("this table's model", 128), ("BERT-base", 768), ("BERT-large", 1024)):
    print(f"{name:18s} D = {width:4d}   0.02 · √D = {0.02 * width**0.5:.2f}   1/√D = {width**-0.5:.3f}")

# %% [markdown]
# For BERT-base 0.02 is about half of $1/\sqrt D$, the value at which a layer keeps the size of its input. For
# a model of width 128 it is less than a quarter. A constant copied from a large model into a small one is
# another choice than the one it was copied from.
#
# ## 8 · The gradient of each layer
#
# Now the question of section 6: normalise after the sum, or before the branch? Xiong et al. (2020)
# answer by looking at the gradients before the first update.
#
# * **Pre-LN.** Nothing normalises the sums. Each branch adds to the variance of the stream, which
#   after $L$ layers is of the order of $L$ (their Lemma 2), so the standard deviation that the last
#   LayerNorm divides by is of the order of $\sqrt L$. By our formula for its gradient (their Lemma 3), the
#   gradient of the last layer falls like $1/\sqrt L$.
# * **Post-LN.** Every sum is normalised at once. The input of the last LayerNorm has the same size
#   in a deep encoder as in a shallow one, and the gradient of the last layer does not fall at all.
#
# That is their Theorem 1. For the layers below they give "preliminary" theory (Section 3.3):
# post-LN gradients are likely to decay towards the input, pre-LN gradients to stay level.

# %% [markdown] tags=["exercise"]
# **Exercise 06.6 · design the experiment (★★☆, 10 min)**
#
# You want to see for yourself how the norm of the gradient depends on layer and depth, in the two
# kinds of encoder, at initialisation. Choose what belongs in the experiment, and leave out what
# would spoil it. Answer with a set of letters.

# %% tags=["exercise"]
for letter, choice in CHOICES.items():
    print(f"{letter}  {choice}")

# %% tags=["exercise"]
### BEGIN SOLUTION
# a: yes. Otherwise the two differ in their weights as well.
# b: yes. Matrices of different shapes and places have gradients of different sizes, whatever the norm does.
# c: no. The claim is about initialisation, and training changes both models differently.
# d: no. It averages away what is asked: how the norm changes from layer to layer.
# e: yes. One random start may be luck.
# f: yes. The claim is about what happens as layers are added.
# g: no. It hides half of the claim: that the last layer's gradient stays in one kind and falls in the other.
# h: yes. Other sentences have other gradients.
design = {"a", "b", "e", "f", "h"}
### END SOLUTION
design = check("06.6", design)

# %% [markdown]
# The live version: width 128, random inputs and labels, Xavier's weights as in their theory (of
# variance 2/(inputs + outputs), so that neither signals nor gradients grow or shrink much in a plain
# layer; Xavier Glorot and Bengio 2010, equation 16). For each layer we note the norm of the gradient
# of $W_2$, the last matrix of its feed-forward branch, and the standard deviation $\sigma$ of the sum
# that this branch was added to.


# %%
def first_gradients(norm, depth, seed):
    """At initialisation, for each layer: the norm of W₂'s gradient, and σ of the second sum; (depth,) each."""
    config = BertConfig(vocab_size=100, hidden_size=128, num_hidden_layers=depth, num_attention_heads=8, intermediate_size=512)
    layers, sizes = initialise(BertModel(config).eval().layers, "xavier", seed), []
    x, table = layer_norm(numbers(8, 32, 128, seed=seed)).float(), 0.02 * numbers(100, 128, seed=seed + 1).float()
    for layer in layers:
        if norm == "post":
            y = layer.attention_norm(x + layer.attention(x, None))
            z = y + layer.feed_forward(y)
            x = layer.feed_forward_norm(z)
        else:
            y = x + layer.attention(layer.attention_norm(x), None)
            x = z = y + layer.feed_forward(layer.feed_forward_norm(y))
        sizes.append(z.std().item())
    labels = torch.randint(100, (8 * 32,), generator=torch.Generator().manual_seed(seed))
    F.cross_entropy((layer_norm(x) @ table.T).flatten(0, 1), labels).backward()  # after post-LN, one more norm changes nothing
    return torch.tensor([layer.feed_forward.down.weight.grad.norm() for layer in layers]), torch.tensor(sizes)


# %% [markdown]
# In the pre-LN encoder, how large is the last layer's gradient at 24 layers, over that
# at 6? And in a post-LN encoder of 24 layers, how large is the first layer's, over the last layer's?

# %%
predict("06.depth", ..., unit="× (pre-LN, last layer, 24 layers over 6)")
predict("06.first", ..., unit="× (post-LN of 24 layers, first layer over last)")

# %%
live = {(norm, depth): first_gradients(norm, depth, seed=0) for norm in ("post", "pre") for depth in (6, 24)}
for (norm, depth), (g, _) in live.items():
    print(f"{norm:4s}-LN, {depth:2d} layers: first {g[0]:.4f}   middle {g[depth // 2]:.4f}   last {g[-1]:.4f}")

# %% [markdown]
# One start of random numbers proves little. The ledger holds five starts on text (the characters of
# presidential speeches, some of them masked), at four depths. The predictions were written before.

# %%
ledger = results("06-gradient-by-depth")["measured"]
depths, xavier = ledger["depths"], ledger["gradients"]["xavier"]
fig, axes = plots.figure(columns=2, width=10, height=3.6)
for ax, norm in zip(axes, ("post", "pre")):
    for depth, colour in zip(depths, plots.COLOURS):
        runs = torch.tensor(xavier[norm][str(depth)]).T  # (layers, seeds)
        plots.spread(ax, range(1, depth + 1), runs, f"{depth} layers", colour, dy=10 if norm == "pre" else -12)
    ax.set(xlabel="layer (1 is next to the input)", ylabel="norm of the gradient of W₂", title=f"{norm}-LN", xlim=(0, 30))
limit = 1.1 * max(max(run) for norm in xavier for depth in depths for run in xavier[norm][str(depth)])
[ax.set_ylim(0, limit) for ax in axes]
ends = {norm: [sum(run[layer] for run in xavier[norm]["24"]) / len(xavier[norm]["24"]) for layer in (0, -1)] for norm in xavier}
plots.show(fig, alt="Towards the output the gradient shrinks with pre-LN; with post-LN it hardly does in the mean, but starts differ widely. Norm of a gradient "
           "by layer, a line per encoder: the mean of five starts, in a band from the least to the largest. In 24 layers the mean goes from "
           f"{ends['pre'][0]:.2f} to {ends['pre'][1]:.2f} with pre-LN, from {ends['post'][0]:.2f} to {ends['post'][1]:.2f} with post-LN.", number="6.5")

# %%
last = {norm: torch.tensor([[run[-1] for run in xavier[norm][str(depth)]] for depth in depths]) for norm in xavier}
fig, ax = plots.figure(width=6, height=2.8)
for norm, colour in (("post", plots.ORANGE), ("pre", plots.BLUE)):
    plots.spread(ax, depths, last[norm], f"{norm}-LN", colour)
ax.set(xlabel="number of layers", ylabel="norm of the gradient of W₂", title="last layer", xscale="log", xticks=depths,
       xticklabels=depths, ylim=(0, None))
ax.minorticks_off()
plots.show(fig, alt="As layers are added, the last layer's gradient stays nearly level with post-LN, and falls with pre-LN.", number="6.6")
deep_over_shallow = {norm: (values[-1].mean() / values[1].mean()).item() for norm, values in last.items()}
first_over_last = {norm: torch.tensor([run[0] / run[-1] for run in xavier[norm]["24"]]) for norm in xavier}
reveal("06.depth", deep_over_shallow["pre"])
reveal("06.first", first_over_last["post"].mean().item())
small = torch.tensor([[run[-1] for run in ledger["gradients"]["truncated_normal"]["pre"][str(depth)]] for depth in (6, 24)]).mean(1)
rows = []
for norm, (low, high) in {"post": (0.75, 1.25), "pre": (0.4, 0.7)}.items():
    ratio = deep_over_shallow[norm]
    rows.append((f"{norm}-LN, last layer, 24 layers over 6: {low} to {high}", f"{ratio:.2f}", low <= ratio <= high))
for norm, (low, high) in {"post": (0, 0.5), "pre": (0.5, 2)}.items():
    ratios = first_over_last[norm]
    found = f"{ratios.mean():.2f}; each start {' '.join(f'{one:.2f}' for one in ratios)}"
    rows.append((f"{norm}-LN of 24 layers, first layer over last: {low} to {high}", found, low <= ratios.mean() <= high))
rows.append(("pre-LN, last layer, 24 over 6: larger with weights of 0.02", f"{small[1] / small[0]:.2f}", small[1] / small[0] > deep_over_shallow["pre"]))
print("\n" + verdict_table(rows))
claim(min(first_over_last["pre"]) > 1, "with pre-LN the first layer's gradient is larger than the last's in every start")
headline("last layer's gradient at 24 layers over 6: pre-LN's ratio over post-LN's",
         deep_over_shallow["pre"] / deep_over_shallow["post"], 0.7)

# %% [markdown]
# **The theorem holds** in our small encoders (Figure 6.6). **What is expected of the layers below is not
# what we found** (Figure 6.5). Post-LN gradients do not decay towards the input: their ratio scatters
# widely around 1. Pre-LN gradients are anything but level: they *grow* towards the input in every
# start. (Xiong et al. call that part preliminary, and measured translation models with decoders.)
#
# A failed prediction wants an explanation. Take a branch at initialisation that adds a variance $u$ to
# the stream: $\sigma'^2 = \sigma^2 + u$. In pre-LN it reads its input divided by $\sigma$. Let $J$ be the
# branch's derivative, normalisation included. Going back, the gradient $\delta'$ comes in and
# $\delta = \delta' + J^\top\delta'$ goes on. Suppose that the branch treats a gradient as it treats a
# signal (a matrix of random numbers does, and a gelu nearly). Then $J^\top\delta'$ has $u/\sigma^2$ times
# the square of $\delta'$, the $\sigma^2$ from the normalisation, and
#
# $$\|\delta\|^2 \approx \|\delta'\|^2\Bigl(1 + \frac{u}{\sigma^2}\Bigr) = \|\delta'\|^2\,\frac{\sigma'^2}{\sigma^2}
# \qquad\Longrightarrow\qquad \|\delta\|\,\sigma \approx \|\delta'\|\,\sigma' .$$
#
# **The gradient times the size of the stream is the same at every depth.** The gradient of $W_2$ is the
# product of the gradient of its sum with the branch's inner numbers, which have one size in all layers. So
# it goes like $1/\sigma$: as the stream grows, layers count for less. In post-LN each
# normalisation divides the stream by what it has just gained and the gradient by the same, so both stay level.
# (All of this holds roughly, in the mean over random weights.) The live run noted $\sigma$:

# %%
for (norm, depth), (g, sigma) in live.items():
    product = g * sigma
    print(f"{norm:4s}-LN, {depth:2d} layers: σ from {sigma[0]:.2f} to {sigma[-1]:.2f}; largest over smallest: "
          f"gradient {g.max() / g.min():.2f}, gradient · σ {product.max() / product.min():.2f}")
g, sigma = live["pre", 24]
claim(g.max() / g.min() > 2.5 and (g * sigma).max() / (g * sigma).min() < 2, "gradient · σ is level, where the gradient is not")
claim(sigma[-1] > 2.5 * sigma[0], "the stream of a pre-LN encoder grows")

# %% [markdown]
# Xavier's weights matter here: with BERT's 0.02 at this width a branch adds next to nothing (section 7),
# and the two kinds can hardly be told apart.
#
# ### Does it matter? Warm-up
#
# Transformers of 2017 and BERT start training with tiny steps and reach the full learning rate only after
# thousands of updates (BERT: 10,000, its Appendix A.2). Xiong et al. found that their post-LN translation
# models hardly learned without this *warm-up*, and pre-LN ones did (Sections 3.2 and 4.2). In miniature: an
# encoder of 12 layers reads 8 × 8 images of digits as texts of 8 rows, for 120 updates, with the learning
# rate rising over the first 40 or at its full height at once. Knowing nothing costs $\ln 10$.

# %%
training = ledger["training"]
names, runs = [], []
for norm in ("post", "pre"):
    for rate in training["learning_rates"]:
        for warm_up in ("0", str(training["warm_up"])):
            names.append(f"{norm}-LN, rate {rate}, {'warm-up' if int(warm_up) else 'at once'}")
            runs.append(ledger["losses"][norm][str(rate)][warm_up])
fig, ax = plots.figure(width=8, height=3.4)
plots.bars(ax, names, runs, colours=[plots.ORANGE] * 4 + [plots.SKY] * 4)
ax.axvline(math.log(10), color=plots.GREY, ls="--")
ax.set(xlabel=f"held-out loss after {training['steps']} updates (nats); dashed: ln 10, knowing nothing", xlim=(0, 2.9))
plots.show(fig, alt="At the smaller rate warm-up about halves post-LN's loss, at the larger post-LN hardly learns; pre-LN always learns, and better with warm-up. "
           "A bar is the mean held-out loss of three starts, each a dot: shorter is better, and at the dashed line nothing is known.", number="6.7")
losses, (slow, fast), on = ledger["losses"], map(str, training["learning_rates"]), str(training["warm_up"])
mean = {(norm, rate, w): sum(losses[norm][rate][w]) / 3 for norm in losses for rate in (slow, fast) for w in ("0", on)}
cost = {norm: mean[norm, slow, "0"] - mean[norm, slow, on] for norm in losses}
ends = [mean[norm, fast, "0"] for norm in losses]
print(verdict_table([
    (f"at {slow} no warm-up costs post-LN over 0.3, pre-LN below 0.1", f"{cost['post']:.2f}, {cost['pre']:.2f}", cost["post"] > 0.3 and cost["pre"] < 0.1),
    (f"at {fast} without it post-LN ends above 2, pre-LN below 1.5", f"{ends[0]:.2f}, {ends[1]:.2f}", ends[0] > 2 and ends[1] < 1.5),
]))  # fmt: skip
claim(max(losses["post"][slow][on]) < min(losses["post"][slow]["0"]),
      f"at {slow} every post-LN run with warm-up ends below every one without")
claim(min(losses["post"][fast]["0"] + losses["post"][fast][on]) > 2 and max(losses["pre"][fast]["0"] + losses["pre"][fast][on]) < 1.5,
      f"at {fast} no post-LN run learns much, with warm-up or without; every pre-LN run learns")

# %% [markdown]
# At the smaller rate warm-up halves post-LN's loss. At the larger one even warm-up does not save it (Figure 6.7).
# Pre-LN learns in every case. Yet warm-up helps pre-LN as well, by more than we had predicted: "not
# needed" is not "useless". And these runs do not show that large gradients are the *cause*. Adam divides
# each gradient by its own recent size. Liu et al. (2020) argue that a post-LN layer leans on its branches
# more heavily, and so passes a small change of weights on as a large change of the output. The gradients
# are well measured; their part in the story is disputed.
#
# ## Half-way: what you have
#
# * Attention is a look-up made soft: a mean of values, weighted by the softmax of query times key. Scores have a
#   spread of $\sqrt E$, and are divided by it, since a hard look-up passes no gradient (Figure 6.1).
# * A mask sets scores to $-\infty$. A row with nothing to look at is NaN, and $0\cdot$NaN ruins the
#   whole gradient; let padding look at padding.
# * Heads are slices of one matrix product (Figure 6.2). Attention does not know order; learned vectors or
#   rotations tell it. After a rotation a score depends on the distance alone (Figure 6.3).
# * A block adds two branches (Figure 6.4). LayerNorm's gradient is divided by the size of what it
#   normalised. Hence the headline: with post-LN the last layer's gradient hardly changes as layers are
#   added, with pre-LN it falls (Figure 6.6); gradient times size of the stream is roughly level in both.
# * The first weights decide by $D \rho^2$ how hard attention begins, and how far above $\ln V$ the loss.
#
# You have written `attend`, `visible_pairs`, `multi_head`, `turn` and `post_ln_block`. This is a good place
# to stop for the day. The second half puts them together.
#
# ## 9 · Around the blocks: what goes in, what comes out
#
# An encoder turns $(B, T)$ ids into $(B, T, D)$ numbers. Four small parts are left. (Parts that turn hidden
# numbers into an answer are called *heads*, too. They have nothing to do with the heads of attention.)
#
# * **Token types.** BERT reads two pieces of text at once, `[CLS] A [SEP] B [SEP]` (chapter 04). A third
#   table, of two vectors, says which piece a token belongs to. The embedding of a token is the sum of three
#   vectors, word + position + type, normalised (Devlin et al. 2019, Section 3).
# * **The pooler.** One vector for a whole text: the last hidden state of the first token, `[CLS]`,
#   through one more layer, $\tanh(W h_0 + b)$. A last matrix of two rows makes of it the two scores of
#   *next sentence prediction*: does B follow A?
# * **The output.** For a masked token the model gives **one score for each of the $V$ tokens**, and a
#   softmax makes of them a distribution. (The article says that BERT predicts word *vectors*. It
#   doesn't.) The score of token $v$ is the product of the (once more transformed) hidden state
#   with the vector $e_v$ of the *input* table, plus a bias: the output matrix is **tied**, the same
#   parameter used twice, and gathers gradient from both uses.
# * **Only where it is asked.** The loss looks at masked positions alone, some 15 of 100. The other
#   85 products with a matrix of $V$ rows would be thrown away. Section 11 counts them.
#
# ## 10 · BERT, assembled
#
# Time to put the parts together, and to be exact. We ask `transformers`, Hugging Face's library of models,
# for a tiny BERT with both heads of 2018, for tokens and for pairs. Its LayerNorms begin with ones and
# zeros, which would hide mistakes, so every parameter gets noise.

# %%
import transformers

transformers.utils.logging.disable_progress_bar()
torch.manual_seed(0)  # for the weights that their models draw
SIZES = dict(vocab_size=211, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=48,
             max_position_embeddings=64)


def noisy(model, seed):
    """The model in evaluation mode, each parameter moved a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


config = transformers.BertConfig(**SIZES, attn_implementation="eager")
theirs = noisy(transformers.BertForPreTraining(config), seed=1)
folder = tempfile.mkdtemp()
theirs.save_pretrained(folder)  # for later
theirs = theirs.double()
w = {name: p.detach().clone().requires_grad_() for name, p in theirs.named_parameters()}
print(len(w), "tensors,", sum(p.numel() for p in w.values()), "parameters. Embeddings, one of the 4 layers, heads:")
for name in w:
    if "layer" not in name or "layer.0" in name:
        print(f"   {name:55s}", tuple(w[name].shape))

# %% [markdown]
# A batch to compare on: three texts of 24, 13 and 5 tokens, in two segments each. Some tokens are to be
# predicted; the others have the label −100, which the loss skips. We compare at real positions: what
# padding holds is nobody's business.


# %%
lengths = torch.tensor([24, 13, 5])
real = torch.arange(24) < lengths[:, None]  # (B, T)
attention_mask, token_type_ids = real.long(), (torch.arange(24) > 3).long() * real
generator = torch.Generator().manual_seed(2)
input_ids = torch.randint(5, 211, (3, 24), generator=generator) * real
labels = torch.where((torch.rand(3, 24, generator=generator) < 0.3) & real, input_ids.roll(1), -100)
follows = torch.tensor([0, 1, 1])


expected = theirs(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, labels=labels,
                  next_sentence_label=follows, output_hidden_states=True)
expected.loss.backward()
print([tuple(x.shape) for x in expected.hidden_states], "  loss", round(expected.loss.item(), 4))

# %% [markdown]
# Two functions fetch weights by name. `linear(x, w, "bert.pooler.dense")` is $xW^\top + b$.


# %% tags=["setup"]
def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(x, w, name):
    return layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-12)


# %% [markdown] tags=["exercise"]
# **Exercise 06.9 · BERT's encoder from your own parts (★★★, 40 min)**
#
# Write it, with your `multi_head` and `post_ln_block`, and with `gelu`, `linear` and `norm`. The names of the
# weights are listed above; `bert.encoder.layer.{i}` is layer $i$.
#
# 1. *Embeddings*: three look-ups, their sum, a norm.
# 2. *In each layer, attention*: queries, keys and values (`attention.self.…`), your heads behind the mask,
#    `attention.output.dense`; *feed-forward*: `intermediate.dense`, gelu, `output.dense`.
# 3. *Each layer* is your block with these two branches and its two norms, `attention.output.LayerNorm` and
#    `output.LayerNorm`.
#
# The check compares 0, 1 and 2 layers with the library's BERT, the next cell with Hugging Face's.


# %% tags=["exercise"]
def bert_encoder(w, input_ids, token_type_ids, mask, num_layers, num_heads):
    """(B, T) ids and types, mask (B, T, T), to (B, T, D). w: the weights, by Hugging Face's names."""
    ### BEGIN SOLUTION
    word, position, kind = (w[f"bert.embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    x = word[input_ids] + position[: input_ids.shape[1]] + kind[token_type_ids]
    x = norm(x, w, "bert.embeddings.LayerNorm")
    for i in range(num_layers):
        name = f"bert.encoder.layer.{i}"

        def attention(x):
            q, k, v = (linear(x, w, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
            return linear(multi_head(q, k, v, num_heads, mask), w, f"{name}.attention.output.dense")

        def feed_forward(x):
            return linear(gelu(linear(x, w, f"{name}.intermediate.dense")), w, f"{name}.output.dense")

        x = post_ln_block(x, attention, feed_forward, norm1=lambda x: norm(x, w, f"{name}.attention.output.LayerNorm"),
                          norm2=lambda x: norm(x, w, f"{name}.output.LayerNorm"))
    return x
    ### END SOLUTION


bert_encoder = check("06.9", bert_encoder)

# %%
mask = visible_pairs(lengths, 24)
for depth, hidden in enumerate(expected.hidden_states):
    difference = gap(bert_encoder(w, input_ids, token_type_ids, mask, depth, 4)[real], hidden[real])
    print(f"after {depth} layers: largest difference {difference:.1e}")
    claim(difference < 1e-10, f"your encoder of {depth} layers is theirs")

# %% [markdown]
# **The heads**: one layer, gelu and LayerNorm, then the tied table for the tokens; pooler and two scores
# for the pair of texts.


# %%
def bert_for_pretraining(w, input_ids, token_type_ids, mask, num_layers, num_heads, positions=None):
    """Scores (B, M, V) of the tokens at `positions` (B, M), all where it is None; and (B, 2) of the pair."""
    x = bert_encoder(w, input_ids, token_type_ids, mask, num_layers, num_heads)
    pooled = torch.tanh(linear(x[:, 0], w, "bert.pooler.dense"))  # (B, D)
    if positions is not None:
        x = x[torch.arange(len(x))[:, None], positions]  # (B, M, D)
    x = norm(gelu(linear(x, w, "cls.predictions.transform.dense")), w, "cls.predictions.transform.LayerNorm")
    tokens = x @ w["bert.embeddings.word_embeddings.weight"].T + w["cls.predictions.bias"]
    return tokens, linear(pooled, w, "cls.seq_relationship")


tokens, pair = bert_for_pretraining(w, input_ids, token_type_ids, mask, 4, 4)
differences = gap(tokens[real], expected.prediction_logits[real]), gap(pair, expected.seq_relationship_logits)
print(f"largest differences: tokens {differences[0]:.1e}, pair {differences[1]:.1e}")
claim(max(differences) < 1e-10, "your BERT's logits are Hugging Face's")

# %% [markdown]
# Equal answers could still hide a gradient that takes another way. So: the same two losses, one backward
# pass, and every tensor's gradient beside theirs. And `load_pretrained` reads the folder that `transformers`
# wrote, so the library's `BertForPreTraining` can be compared, too.

# %%
loss = F.cross_entropy(tokens.flatten(0, 1), labels.flatten()) + F.cross_entropy(pair, follows)
loss.backward()
theirs_grad = {name: p.grad for name, p in theirs.named_parameters()}
worst = max(w, key=lambda name: gap(w[name].grad, theirs_grad[name]))
print(f"loss {loss.item():.12f}, theirs {expected.loss.item():.12f}")
print(f"largest difference of {len(w)} gradients: {gap(w[worst].grad, theirs_grad[worst]):.1e}, in {worst}")
claim(gap(w[worst].grad, theirs_grad[worst]) < 1e-10, "all gradients are theirs")
library = load_pretrained(folder).double()
answer = library(input_ids, attention_mask, token_type_ids)
difference = max(gap(answer.masked_lm[real], tokens[real]), gap(answer.next_sentence, pair))
print(type(library).__name__, f"largest difference {difference:.1e}")
claim(difference < 1e-10, "and the library's logits are the same")

# %% [markdown]
# ### What does a trained one look at?
#
# `bert-mini-sotu` is a BERT of 4 layers of 4 heads that was trained to fill in masked tokens of presidents' speeches
# since 1790, and speaks as they did; chapters 07 and 08 tell how. For each head we look at two things. Where does it
# look from the `[MASK]`? And how far does the answer move without it? A head is taken away by emptying the columns of
# $W_O$ that read its $E$ numbers. The distance of two answers is half the sum of the *absolute* differences of all
# probabilities: 0 if nothing changes, 1 if they have nothing in common (*total variation distance*).


# %%
trained, tokenizer = load_pretrained("bert-mini-sotu"), load_tokenizer("bert-mini-sotu")
L, H, E = 4, 4, trained.config.hidden_size // 4


def encoded(text):
    """The tokens of a text, their ids (1, T), and the position of its [MASK]."""
    code = tokenizer.encode(text)
    if code.tokens.count("[MASK]") != 1:
        raise ValueError(f"write one [MASK] into the text, got {text!r}")
    return code.tokens, torch.tensor([code.ids]), code.tokens.index("[MASK]")


@torch.no_grad()
def look(ids):
    """The attention weights of all heads, (L, H, T, T)."""
    with outputs_of([layer.attention.qkv for layer in trained.encoder.layers]) as caught:
        trained(ids)
    q, k, _ = torch.cat(caught).view(L, -1, 3, H, E).permute(2, 0, 3, 1, 4)  # (L, H, T, E)
    return (q @ k.mT / E**0.5).softmax(-1)


@torch.no_grad()
def moved(ids, blank, layer, head):
    """How far the answer at the [MASK] moves without a head, 0 to 1."""
    W = trained.encoder.layers[layer].attention.output.weight  # (D, D)
    kept, before = W.clone(), trained(ids).masked_lm[0, blank].softmax(-1)
    W[:, head * E : (head + 1) * E] = 0
    after = trained(ids).masked_lm[0, blank].softmax(-1)
    W.copy_(kept)
    return 0.5 * (before - after).abs().sum().item()


# %%
treaty = "The treaty with Great [MASK] was signed in London, and the Senate has given its consent."


def draw_heads(text, *heads):
    tokens, ids, blank = encoded(text)
    weights, best = look(ids), trained(ids).masked_lm[0, blank].softmax(-1).topk(4)
    print("the [MASK]:", ", ".join(f"{tokenizer.id_to_token(i)} {p:.0%}" for p, i in zip(best.values.tolist(), best.indices.tolist())))
    fig, _ = plots.figure(columns=len(heads), width=0.8 + 3.8 * len(heads), height=4)
    facts = []
    for ax, (layer, head) in zip(fig.axes, heads):
        row, change = weights[layer - 1, head - 1, blank], moved(ids, blank, layer - 1, head - 1)
        ax.imshow(weights[layer - 1, head - 1], cmap="Blues", vmin=0, vmax=1)
        ax.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=7)
        ax.set_yticks(range(len(tokens)), tokens, fontsize=7)
        ax.get_yticklabels()[blank].set(color=plots.RED, weight="bold")
        ax.grid(visible=False)
        ax.set_title(f"layer {layer}, head {head}; without it: {change:.2f}")
        facts.append(f"head {head} of layer {layer} looks mostly at {tokens[row.argmax()]!r}, with {row.max():.2f}, "
                     f"and without it the answer moves by {change:.2f}")
    fig.axes[0].set_ylabel("this token looks …")
    fig.supxlabel("… at this one", fontsize=10)
    plots.show(fig, alt="A head that looks sharply may matter or not. Attention weights as a square for each head, dark is much. From the [MASK], "
               + "; ".join(facts) + ".", number="6.8")


# %% [markdown]
# A row of Figure 6.8 is a token that looks, a column one that is looked at; each row sums to 1, and the row of `[MASK]` is
# marked. Which of these heads would you say is responsible for the answer? Then read in the
# title how far the answer moves without it. Write a sentence of your own, and ask again. (This cell is to be touched:
# run it, and move the sliders with the mouse or the arrow keys.)

# %%
explore(lambda text, layer, head: draw_heads(text, (layer, head)),
        still=lambda: draw_heads(treaty, (1, 1), (1, 2), (3, 3)),
        text=treaty, layer=(1, L, 1), head=(1, H, 1))

# %% [markdown]
# To compare with, all heads for this sentence. The table reads: token that is looked at most, its weight → how far
# the answer moves without the head.

# %%
tokens, ids, blank = encoded(treaty)
weights = look(ids)[:, :, blank]  # (L, H, T)
change = torch.tensor([[moved(ids, blank, layer, head) for head in range(H)] for layer in range(L)])
for layer in range(L):
    print(f"layer {layer + 1}  " + "  ".join(f"{tokens[row.argmax()]:7s} {row.max():.2f} → {c:.2f}" for row, c in zip(weights[layer], change[layer])))
sharp = weights.amax(-1) > 0.9
print(f"{sharp.sum()} of {L * H} heads give one token more than 0.9; without them the answer moves by {change[sharp].min():.3f} to {change[sharp].max():.2f}")
claim(change[sharp].min() < 0.05, "a head that looks at one token alone may not matter for the answer")
claim(change[sharp].max() > 0.2, "and another that looks as hard matters much")

# %% [markdown]
# In the first layers nearly every head looks at one token, one or two positions off. (It began like that: the recipe of
# this model starts the heads of its first two layers at the neighbours, see chapter 08.) These heads are equally sharp,
# and yet some move the answer and others don't. Weights say **where a head looks, not what the answer rests on.** What
# is looked at may carry nothing that is needed, or may be known from elsewhere.
#
# Jain and Wallace (2019) asked this of recurrent networks with one attention each: the weights were frequently
# uncorrelated with gradient-based measures of importance. They conclude that weights are no explanation. Wiegreffe and
# Pinter (2019) object that it depends on what one calls an explanation. Our test has a limit, too: it takes one head away
# at a time, and others may stand in for it. A map of attention is a place to start asking. The answer comes from
# changing something.
#
# ## 11 · Counting
#
# ### Parameters
#
# Read the shapes off the list of weights:
#
# | part | parameters |
# |---|---|
# | embeddings | $(V + P + 2)\,D + 2D$ |
# | each block: attention, feed-forward, two norms | $4D^2 + 4D \;+\; 2DI + I + D \;+\; 4D$ |
# | pooler | $D^2 + D$ |
# | token head (its matrix is tied) | $D^2 + D + 2D + V$ |
# | pair head | $2D + 2$ |
#
# BERT-base has $V = 30{,}522$, $D = 768$, $L = 12$, $I = 3{,}072$, $P = 512$. How many parameters has
# its encoder with the pooler, in millions?

# %%
predict("06.parameters", ..., unit="million")


# %%
def encoder_parameters(V, D, L, I, P):
    """Parameters of BERT's encoder with its pooler."""
    block = 4 * D**2 + 4 * D + 2 * D * I + I + D + 4 * D
    return (V + P + 2) * D + 2 * D + L * block + D**2 + D


def head_parameters(V, D):
    """Parameters of the two pretraining heads."""
    return D**2 + D + 2 * D + V + 2 * D + 2


# %% tags=["NBVAL_CHECK_OUTPUT"]
base = dict(V=30522, D=768, L=12, I=3072, P=512)
with torch.device("meta"):  # shapes without numbers: no memory is filled
    base_model = transformers.BertModel(transformers.BertConfig())
counted = sum(p.numel() for p in base_model.parameters())
print(f"BERT-base: formula {encoder_parameters(**base):,}   counted {counted:,}")
reveal("06.parameters", counted / 1e6)
claim(encoder_parameters(**base) == counted, "the formula counts BERT-base")
tiny = encoder_parameters(V=211, D=32, L=4, I=48, P=64) + head_parameters(211, 32)
claim(tiny == sum(p.numel() for p in w.values()), "and the tiny one with its heads")
words = base["V"] * base["D"]
print(f"in the word table: {words / counted:.1%}; in the 12 blocks: {12 * (12 * 768**2 + 13 * 768) / counted:.1%}")

# %% [markdown]
# ### Floating-point operations
#
# A product of $(n, D)$ with $(D, m)$ takes $2nDm$ operations, a multiplication and an addition for
# each of $n D m$ pairs. Everything else is small beside it. For one sequence of $T$ tokens, going forward:
#
# * each block: projections $8TD^2$, feed-forward $4TDI$, scores and their use $2 \cdot 2T^2D$;
# * token head at $M$ positions: $2MD^2 + 2MDV$; pooler and pair: $2D^2 + 4D$.
#
# Going back costs twice as much (a product for the input's gradient, one for the weight's). PyTorch
# can count the products that really run; we let it count *your* model.


# %%
def forward_flops(V, D, L, I, T, M):
    """Floating-point operations of one sequence of T tokens, M of them predicted."""
    block = 8 * T * D**2 + 4 * T * D * I + 4 * T**2 * D
    return L * block + 2 * M * D**2 + 2 * M * D * V + 2 * D**2 + 4 * D


def counted_flops(positions):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bert_for_pretraining(w, input_ids, token_type_ids, mask, 4, 4, positions)
    return counter.get_total_flops()


# %% tags=["NBVAL_CHECK_OUTPUT"]
everywhere, masked_only = counted_flops(None), counted_flops(torch.tensor([[1, 5, 9, 4]] * 3))
tiny = dict(V=211, D=32, L=4, I=48, T=24)
print(f"all positions    formula {3 * forward_flops(**tiny, M=24):,}   counted {everywhere:,}")
print(f"masked ones only formula {3 * forward_flops(**tiny, M=4):,}   counted {masked_only:,}")
claim(everywhere == 3 * forward_flops(**tiny, M=24) and masked_only == 3 * forward_flops(**tiny, M=4),
      "the formula counts every product of the model")

# %% [markdown]
# A small model with a real vocabulary (4 layers of width 256, 8,192 tokens) reads blocks of 128 tokens in
# batches of 32, and predicts 20 positions per block. What share of the work does a step save by
# predicting at masked positions only? And BERT-base, at the same length?

# %%
predict("06.saved", ..., unit="of a step's work saved, small model")

# %% tags=["NBVAL_CHECK_OUTPUT"]
small, base = dict(V=8192, D=256, L=4, I=1024, T=128), dict(V=30522, D=768, L=12, I=3072, T=128)
saved = {}
for name, sizes in (("4 × 256", small), ("BERT-base", base)):
    full, part = (3 * 32 * forward_flops(**sizes, M=M) / 1e9 for M in (128, 20))  # GFLOP per step of 32 blocks, there and back
    saved[name] = 1 - part / full
    print(f"{name:10s} everywhere {full:9,.1f} GFLOP   masked only {part:9,.1f} GFLOP   saved {saved[name]:.0%}")
reveal("06.saved", saved["4 × 256"])
attention_share = 4 * 128**2 * 256 / (8 * 128 * 256**2 + 4 * 128 * 256 * 1024 + 4 * 128**2 * 256)
print(f"of a block of the small model, the part that grows with T² takes {attention_share:.0%} at T = 128")

# %% [markdown]
# The library's models take `positions` for this reason. The quadratic part of attention is small at this
# length. It overtakes the rest of a block when $4T^2D$ exceeds $8TD^2 + 4TDI$; with $I = 4D$ that is $T > 6D$.
#
# ## 12 · Six years later: ModernBERT
#
# ModernBERT (Warner et al. 2024) is BERT with what had proved itself since. Change by change:
#
# 1. **No biases**, in matrices and in norms, except in the output.
# 2. **Embeddings** are words alone, normalised.
# 3. **Positions are rotations**, in every attention (section 5).
# 4. **Pre-LN** with a last norm (section 8). The first block's attention has none before it: the
#    embeddings are normalised already.
# 5. **Gated feed-forward** (GeGLU, Shazeer 2020): $W_2\,(\operatorname{gelu}(W_1 x) \circ W_3 x)$. One
#    projection decides how much of the other passes.
# 6. **Local attention**: every third layer sees everything; the others see a window of tokens on
#    either side, whose cost doesn't grow with $T^2$. Local layers turn with $\theta = 10{,}000$, global
#    ones with 160,000.
#
# Theirs first:

# %%
modern_config = transformers.ModernBertConfig(**SIZES, local_attention=6, pad_token_id=0, cls_token_id=2, sep_token_id=3,
                                              bos_token_id=None, eos_token_id=None, attn_implementation="sdpa")
theirs = noisy(transformers.ModernBertForMaskedLM(modern_config), seed=3)
folder = tempfile.mkdtemp()
theirs.save_pretrained(folder)
theirs = theirs.double()
m = {name: p.detach().clone().requires_grad_() for name, p in theirs.named_parameters()}
kinds = modern_config.layer_types
print(kinds)
print("biases:", [name for name in m if name.endswith("bias")])

# %% [markdown]
# **Changes 1 and 2**, norms without a bias and embeddings without positions, and **change 5**, the gate, whose
# `Wi` holds $W_1$ above $W_3$:


# %%
def scaled(x, m, name):
    return layer_norm(x, m[f"{name}.weight"], eps=modern_config.norm_eps)


def modern_embeddings(m, input_ids):
    return scaled(m["model.embeddings.tok_embeddings.weight"][input_ids], m, "model.embeddings.norm")


def gated(x, m, name):
    signal, gate = (x @ m[f"{name}.Wi.weight"].T).chunk(2, dim=-1)  # (B, T, I) each
    return (gelu(signal) * gate) @ m[f"{name}.Wo.weight"].T


x = modern_embeddings(m, input_ids)
claim(gap(x, theirs.model.embeddings(input_ids)) < 1e-10, "the embeddings are theirs")
claim(gap(gated(x, m, "model.layers.0.mlp"), theirs.model.layers[0].mlp(x)) < 1e-10, "the gated layer is theirs")

# %% [markdown]
# **Changes 3 and 6.** Your `turn` turns each head's queries and keys, and your `multi_head` looks through a
# window. **Change 4**, the pre-LN block, and the stack:


# %%
def window(mask, reach):
    """The mask (B, T, T), cut to `reach` positions on either side."""
    position = torch.arange(mask.shape[-1])
    return mask & ((position[:, None] - position).abs() <= reach)


def turn_heads(x, theta, num_heads):
    """Your `turn` for each sequence and head of x (B, T, D)."""
    heads = [turn(head, torch.arange(len(head)), theta) for row in x for head in row.chunk(num_heads, dim=1)]
    return torch.stack([torch.cat(heads[i : i + num_heads], dim=1) for i in range(0, len(heads), num_heads)])


def modern_layer(x, m, i, mask, num_heads):
    name, full = f"model.layers.{i}", kinds[i] == "full_attention"
    seen_by = mask if full else window(mask, modern_config.local_attention // 2)
    theta = 160_000.0 if full else 10_000.0
    first = scaled(x, m, f"{name}.attn_norm") if i else x
    q, k, v = (first @ m[f"{name}.attn.Wqkv.weight"].T).chunk(3, dim=-1)  # (B, T, D) each
    y = multi_head(turn_heads(q, theta, num_heads), turn_heads(k, theta, num_heads), v, num_heads, seen_by)
    x = x + y @ m[f"{name}.attn.Wo.weight"].T
    return x + gated(scaled(x, m, f"{name}.mlp_norm"), m, f"{name}.mlp")


def modern_for_masked_lm(m, input_ids, mask, num_layers, num_heads):
    """Scores (B, T, V)."""
    x = modern_embeddings(m, input_ids)
    for i in range(num_layers):
        x = modern_layer(x, m, i, mask, num_heads)
    x = scaled(x, m, "model.final_norm")
    x = scaled(gelu(x @ m["head.dense.weight"].T), m, "head.norm")
    return x @ m["model.embeddings.tok_embeddings.weight"].T + m["decoder.bias"]


print(window(visible_pairs(torch.tensor([7]), 8), 2)[0].int())

# %% [markdown]
# One detail decides about the last digits: `transformers` computes angles, and turns, in float32, even in a
# float64 model. To compare beyond seven digits we give their module both without that rounding.

# %%
import transformers.models.modernbert.modeling_modernbert as their_code

tokens = modern_for_masked_lm(m, input_ids, mask, 4, 4)
rounded = theirs(input_ids, attention_mask=attention_mask).logits
print(f"as it comes: largest difference {gap(tokens[real], rounded[real]):.1e}")


def exact_angles(x, position_ids, layer_type):
    """Cosine and sine (1, T, E) of their angles, in float64."""
    theta = 160_000.0 if layer_type == "full_attention" else 10_000.0
    angle = position_ids[..., None] * theta ** (-torch.arange(0, 8, 2).double() / 8)
    return angle.cos().repeat(1, 1, 2).to(x.dtype), angle.sin().repeat(1, 1, 2).to(x.dtype)


def exact_turn(q, k, cos, sin, unsqueeze_dim=1):
    """Their rotation of queries and keys, in the precision that these have."""
    cos, sin, half = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim), their_code.rotate_half
    return q * cos + half(q) * sin, k * cos + half(k) * sin


their_code.apply_rotary_pos_emb, theirs.model.rotary_emb.forward = exact_turn, exact_angles
expected = theirs(input_ids, attention_mask=attention_mask).logits
print(f"without rounding: {gap(tokens[real], expected[real]):.1e}")
claim(gap(tokens[real], expected[real]) < 1e-10, "your ModernBERT's logits are Hugging Face's")

# %%
F.cross_entropy(tokens.flatten(0, 1), labels.flatten()).backward()
F.cross_entropy(expected.flatten(0, 1), labels.flatten()).backward()
differences = {name: gap(m[name].grad, p.grad) for name, p in theirs.named_parameters()}
print(f"largest difference of {len(m)} gradients: {max(differences.values()):.1e}")
claim(max(differences.values()) < 1e-10, "and so are all its gradients")
library = load_pretrained(folder).double()
claim(gap(library(input_ids, attention_mask)[real], tokens[real]) < 1e-5, f"and the library's {type(library).__name__} is the same, in float32's digits")

# %% [markdown]
# ## Summary
#
# The parts are summed up half-way. Since then:
#
# * The output is a distribution over tokens, from a tied matrix, and needed at masked positions only.
# * Built from your own functions, BERT and ModernBERT equal Hugging Face's in logits and gradients.
# * Attention weights show where a head looks (Figure 6.8). What the answer rests on is found by changing something.
# * Parameters and operations follow from the shapes.
#
# **What we measured**: the spread of scores, the first loss, parameters and operations, here; the gradient by
# layer (five starts) and what warm-up is worth (three starts), in `results/06-gradient-by-depth.json`.
#
# ## Going further
#
# * Read `pretrain_lib/models/layers.py`, `bert.py` and `modern.py`: nothing in them should be new to you.
# * Scale each branch by $1/\sqrt{2L}$ before it is added. What becomes of $\sigma$, and of the gradients?
# * Next, chapter 07: the encoder learns to fill blanks, and has to beat counting.
#
# ## References
#
# * A. Vaswani and others (2017), *Attention is all you need*, NeurIPS; arXiv 1706.03762.
# * J. Devlin, M.-W. Chang, K. Lee and K. Toutanova (2019), *BERT: pre-training of deep bidirectional transformers for
#   language understanding*, NAACL; arXiv 1810.04805.
# * R. Xiong and others (2020), *On layer normalization in the transformer architecture*, ICML; arXiv 2002.04745.
# * L. Liu and others (2020), *Understanding the difficulty of training transformers*, EMNLP; arXiv 2004.08249, abstract.
# * X. Glorot and Y. Bengio (2010), *Understanding the difficulty of training deep feedforward neural networks*, AISTATS.
# * J. Ba, J. Kiros and G. Hinton (2016), *Layer normalization*; arXiv 1607.06450.
# * D. Hendrycks and K. Gimpel (2016), *Gaussian error linear units (GELUs)*; arXiv 1606.08415.
# * J. Su and others (2021), *RoFormer: enhanced transformer with rotary position embedding*; arXiv 2104.09864.
# * N. Shazeer (2020), *GLU variants improve transformer*; arXiv 2002.05202.
# * S. Jain and B. Wallace (2019), *Attention is not explanation*, NAACL; arXiv 1902.10186, abstract.
# * S. Wiegreffe and Y. Pinter (2019), *Attention is not not explanation*, EMNLP, abstract.
# * B. Warner and others (2024), *Smarter, better, faster, longer: a modern bidirectional encoder for fast, memory
#   efficient, and long context finetuning and inference*; arXiv 2412.13663.
# * The article: 《预训练 (Pre-training)》, sections 3.2, 4.1 and 4.3.
