# %% [markdown]
# # 10 · Many processes, one run
#
# The large BERT of 2018 was trained for four days on 64 chips (Devlin et al. 2019, appendix A.2). Nobody writes a second training loop for that.
# The same loop runs 64 times at once, each time on other samples, and between backward pass and update the copies add up their gradients. This
# chapter builds that sum from messages between neighbours. No cluster is needed: the processes are real and run on your machine.
#
# **You will be able to**
#
# 1. say what data parallelism computes, and why it needs sums and counts, never means of means;
# 2. write an all-reduce from messages between neighbours, and say what it costs;
# 3. write data-parallel training, the first stage of ZeRO, tensor parallelism and a pipeline by hand;
# 4. predict step time and memory for GPUs that you do not have, and say where such a prediction fails;
# 5. estimate a gradient's noise scale, and choose a batch size by it;
# 6. recognise a hang, a slow rank and a broken mean in a log, and see a killed run go on as if nothing had happened.
#
# **You need** chapters 06 to 08 for the model, chapter 09 for what memory a step takes.
#
# **Time** about 4 hours of reading and exercises. Computing takes about a minute and a half on a laptop.

# %% tags=["setup"]
import itertools
import math
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from pretrain_lib import BertForMaskedLM, Columns, Keys, MaskedLM, TrainConfig, Trainer, load_text, load_tokenizer
from pretrain_lib.bench.cost_model import (
    BACKWARD,
    FP32_ADAM,
    Encoder,
    Link,
    best_tree,
    fit_link,
    ring_all_reduce as ring_seconds,
    ring_bytes,
    state_bytes as paper_bytes,
    step_seconds,
    tree_all_reduce as tree_seconds,
    two_level_all_reduce,
)
from pretrain_lib.course import check, claim, diagrams, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch10 import DIAGNOSES, LOGS, adam
from pretrain_lib.course.processes import RankFailed, run_ranks
from pretrain_lib.course.results import ROOT, verdict_table
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig
from pretrain_lib.training.checkpoint import load_checkpoint
from pretrain_lib.training.distributed import own_rows

# %% [markdown]
# ## 1 · The same gradient
#
# The loss of an update is a mean over the masked tokens of its batch,
# $L = \frac{1}{n}\sum_{i} \ell_i$. Its gradient is a sum, and a sum may be cut in two anywhere:
#
# $$\nabla L = \frac1n \sum_{i \in A} \nabla \ell_i + \frac1n \sum_{i \in B} \nabla \ell_i .$$
#
# So let one process, a **rank**, take the samples in $A$ and another those in $B$. Each computes its part, the parts are added, and both apply
# the same update to the same weights: their copies stay equal. This is **data parallelism**. It is no approximation. Its one trap
# is the $n$, which counts the masked tokens of *both*.
#
# Our samples are paragraphs of State of the Union addresses, up to 64 tokens long, many of them shorter.

# %%
T, V = 64, 8192
tokenizer = load_tokenizer("sotu-8192")
paragraphs = [p for document in list(load_text("sotu"))[::12] for p in document.text.split("\n\n")][: dial(smoke=200, laptop=1000)]
rows = [encoding.ids[:T] for encoding in tokenizer.encode_batch(paragraphs)]
input_ids = torch.tensor([ids + [0] * (T - len(ids)) for ids in rows])  # (N, T)
columns = {"input_ids": input_ids, "attention_mask": (input_ids != 0).long()}
lengths = columns["attention_mask"].sum(1)
print(f"{len(input_ids)} paragraphs of {lengths.min()} to {lengths.max()} tokens")


# %%
def build_model():
    """A small BERT, in float64, so that we can tell equal from nearly equal."""
    config = BertConfig(vocab_size=V, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
                        max_position_embeddings=T, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return BertForMaskedLM(config, seed=0).double()


def build_objective():
    """Masks 15 of 100 tokens; which ones, is a function of the sample."""
    return MaskedLM(SpecialIds(0, 1, 2, 3, 4), V)


def make_batch(columns, ids):
    """The masked batch of samples `ids`: the same for whoever asks."""
    keys = Keys.of(0, ids)
    return build_objective().batch(Columns(**columns).take(keys), keys)


def gradient(batch, count):
    """The gradient of the summed loss over `count`, all parameters in a row, (n,)."""
    model = build_model()
    (build_objective()(model, batch)["masked_lm"] / count).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


# %% [markdown]
# Eight paragraphs, two ranks. To make the trap visible, one rank gets the four longest of them. How far is the average of the ranks' own means from
# the gradient that one process computes?

# %%
predict("10.means", ..., unit="% (distance of the mean of means from the true gradient, relative to its length)")

# %%
eight = sorted(range(8), key=lambda i: int(lengths[i]))
whole, short, long = (make_batch(columns, ids) for ids in (eight, eight[:4], eight[4:]))
n, n_short, n_long = (batch.counts["masked_lm"] for batch in (whole, short, long))
right = gradient(whole, n)
means = (gradient(short, n_short) + gradient(long, n_long)) / 2
sums = gradient(short, n) + gradient(long, n)
print(f"masked tokens: {n} in all, {n_short} on one rank, {n_long} on the other")
off_means, off_sums = ((ours - right).norm().item() / right.norm().item() for ours in (means, sums))
reveal("10.means", 100 * off_means)
print(f"global count: {off_sums:.0e}")
claim(off_means > 0.05 and off_sums < 1e-12, "means of means give another gradient, sums with the global count the same one")

# %% [markdown]
# The wrong way raises no error, and training goes on: but a masked token in a short paragraph weighs more than one in a long one. (`transformers`
# [mended the same mistake](https://github.com/huggingface/transformers/pull/34191) among micro-batches in 2024. It is why our objectives return
# sums *and* counts.)
#
# So all ranks must know the count *before* the backward pass. They learn it by an **all-reduce**: every rank brings a tensor, and every rank
# gets the sum.

# %% [markdown] tags=["exercise"]
# **Exercise 10.1 · a loss that ranks can average (★★☆, 15 min)**
#
# Torch's DDP does not add gradients up, it **averages** them over the ranks. Each rank holds `losses` $(B, T)$, one per
# position, and `counted` $(B, T)$ bool, which of them count. Return what this rank should call `backward()` on, so that the *average* of all ranks'
# gradients is the gradient of the global mean. `all_reduce(tensor)` replaces a tensor by its sum over the `size` ranks. On some ranks nothing may count at all.


# %% tags=["exercise"]
def local_loss(losses, counted, all_reduce, size):
    """This rank's part of the loss, a scalar tensor."""
    ### BEGIN SOLUTION
    total = counted.sum()
    all_reduce(total)
    return size * losses[counted].sum() / total
    ### END SOLUTION


local_loss = check("10.1", local_loss)

# %% [markdown]
# ## 2 · A sum over processes
#
# Now real processes. `run_ranks(function, size, …)` starts `size` of them, calls the function in each, and returns what each returned. Functions and
# plain constants of this notebook travel with it; data must be passed. The processes talk through **gloo**, torch's library of messages for CPUs. On GPUs
# NCCL takes its place, with the same calls.

# %% tags=["NBVAL_CHECK_OUTPUT"]
def say_hello():
    mine = torch.tensor([10 ** dist.get_rank()])
    brought = mine.item()
    dist.all_reduce(mine)  # in place; every rank must make this call
    print(f"rank {dist.get_rank()} of {dist.get_world_size()} brought {brought:4d} and holds {mine.item()}")
    return mine


hello = run_ranks(say_hello, 4)

# %% [markdown]
# How is such a sum made? If everybody sends everything to rank 0, rank 0
# receives $N-1$ times the data. The **ring** shares the work out (Patarasuk and Yuan 2009). Each rank cuts its data into $N$ chunks. It sends only
# to its right neighbour and receives only from its left.
#
# * **Reduce-scatter**, $N-1$ steps: in step $t = 0, 1, \dots$ rank $r$ sends chunk $r - t$ to the right, receives chunk $r - t - 1$ from the left,
#   and *adds* it to its own. (All numbers modulo $N$.) A chunk gains one rank's share with every step. In the end rank $r$ holds the finished chunk
#   $r + 1$.
# * **All-gather**, $N-1$ steps: the finished chunks go round once more, and are *copied*.
#
# Figure 10.1 shows the first half for four ranks. The letters say whose shares a chunk holds, in the order in which they were added: A is what rank
# 0 brought, B rank 1, and so on.
#
# Each rank sends $2(N-1)$ messages of $1/N$ of the data: $2\frac{N-1}{N}$ of it, hardly more for a thousand ranks than for ten. No algorithm sends
# less (ibid.).

# %%
fig, axes = plots.figure(columns=4, width=11, height=2.9)
held = [{(rank, chunk): "ABCD"[rank] for rank in range(4) for chunk in range(4)}]
for step in range(3):
    before, after = held[-1], dict(held[-1])
    for rank in range(4):
        chunk = (rank - step) % 4
        after[(rank + 1) % 4, chunk] = before[rank, chunk] + before[(rank + 1) % 4, chunk]
    held.append(after)
for step, (ax, state) in enumerate(zip(axes, held)):
    ax.imshow([[len(state[rank, chunk]) for chunk in range(4)] for rank in range(4)], cmap="Blues", vmin=0, vmax=5)
    for (rank, chunk), shares in state.items():
        ax.text(chunk, rank, shares, ha="center", va="center", fontsize=9, color="white" if len(shares) > 2 else "black")
    ax.set(xticks=range(4), yticks=range(4), yticklabels=[f"rank {rank}" for rank in range(4)] if step == 0 else [], xlabel="chunk",
           title="before" if step == 0 else f"after step {step - 1}")
    ax.grid(False)
plots.show(fig, alt="After three steps each rank holds one chunk with everybody's share, and every chunk was added up in another order. Four tables of rank by chunk. "
           "Before, each rank's chunks hold its own share alone. After each step one more chunk of each rank holds one more share, along diagonals.", number="10.1")

# %% [markdown] tags=["exercise"]
# **Exercise 10.2 · an all-reduce around a ring (★★★, 30 min)**
#
# `isend(tensor, to)` begins to send and returns a handle at once, whose `wait()` returns when the message is through. `recv(tensor,
# source)` fills a tensor with what arrives. Mind the order: if every rank first waits until its message is taken, nobody is there to take it.
# `x.tensor_split(size)` cuts a tensor into chunks that are views of it, also where its length does not divide. Return `x`.


# %% tags=["exercise"]
def ring_all_reduce(x, rank, size, isend, recv):
    """The sum of all ranks' x, (n,)."""
    ### BEGIN SOLUTION
    chunks = x.tensor_split(size)
    right, left = (rank + 1) % size, (rank - 1) % size
    for step in range(size - 1):
        mine = chunks[(rank - step - 1) % size]
        incoming = torch.empty_like(mine)
        sending = isend(chunks[(rank - step) % size], right)
        recv(incoming, left)
        sending.wait()
        mine.add_(incoming)
    for step in range(size - 1):
        sending = isend(chunks[(rank - step + 1) % size], right)
        recv(chunks[(rank - step) % size], left)
        sending.wait()
    return x
    ### END SOLUTION


ring_all_reduce = check("10.2", ring_all_reduce)


# %% [markdown]
# The check ran it in threads. Now in real processes, against torch's own:

# %% tags=["NBVAL_CHECK_OUTPUT"]
def ring_equals_torch(ring, lengths):
    """For each length, whether ours and dist.all_reduce agree on whole numbers."""
    rank, size, agree = dist.get_rank(), dist.get_world_size(), []
    for n in lengths:
        ours = torch.arange(n, dtype=torch.float64) * (rank + 1)
        theirs = ours.clone()
        dist.all_reduce(theirs)
        agree.append(torch.equal(ring(ours, rank, size, dist.isend, dist.recv), theirs))
    return agree


for size in (2, 3, 4):
    agreed = run_ranks(ring_equals_torch, size, ring_all_reduce, [1, 2, 12, 13, 10_001])
    print(size, "ranks:", all(itertools.chain.from_iterable(agreed)))

# %% [markdown]
# ### The last bit
#
# Those were whole numbers. For real ones, $a + (b + c)$ and $(a + b) + c$ sometimes differ in the last bit. A ring adds up every chunk in
# another order (compare ABCD, BCDA, … in Figure 10.1). So the bits depend on the number of ranks, and on
# where the data is cut. Are they at least the same on **all ranks**, and the same **every time**?


# %%
def add_in_two_ways(ring, n):
    """Our ring's sum, the same once more, and torch's."""
    rank, size = dist.get_rank(), dist.get_world_size()
    mine = torch.randn(n, generator=torch.Generator().manual_seed(rank))
    once, again = (ring(mine.clone(), rank, size, dist.isend, dist.recv) for _ in range(2))
    theirs = mine.clone()
    dist.all_reduce(theirs)
    return [mine, once, again, theirs]


found = run_ranks(add_in_two_ways, 4, ring_all_reduce, 100_000)
once = found[0][1]
in_order = sum(mine for mine, _, _, _ in found)  # rank 0 + rank 1 + rank 2 + rank 3
differ = (once != in_order).double().mean().item()
print(f"ring and plain order differ in {differ:.1%} of the numbers, by at most {(once - in_order).abs().max():.1e}")
claim(all(torch.equal(once, result) for _, *both, _ in found for result in both), "all ranks hold the same bits, and get them again")
claim(all(torch.equal(found[0][3], theirs) for *_, theirs in found), "so do torch's")
claim(0.01 < differ < 0.9, "another order gives other bits")

# %% [markdown]
# Equal bits on all ranks matter most: each rank updates its own copy of the weights, and a different last bit
# would grow from step to step. Nobody promises equal bits for *different numbers of ranks*.
#
# ## 3 · Data parallelism by hand
#
# The rest of data parallelism: every rank starts from the same weights, takes its samples, and adds up the gradients.

# %% [markdown] tags=["exercise"]
# **Exercise 10.3 · data parallelism by hand (★★☆, 15 min)**
#
# After the backward pass, replace every `p.grad` by its sum over ranks. Every message costs a *latency*, the time that even an empty one takes. So
# put all gradients into **one** buffer, add that up, and put the slices back. A parameter may have no gradient (`None`) on one rank and one on
# another: then it counts as zeros. Return the buffer.


# %% tags=["exercise"]
def sum_gradients(parameters, all_reduce):
    """Adds up the gradients of all ranks, in place; returns the buffer, (n,)."""
    ### BEGIN SOLUTION
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.flatten() for p in parameters])
    all_reduce(flat)
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(part.view_as(p))
    return flat
    ### END SOLUTION


sum_gradients = check("10.3", sum_gradients)


# %% [markdown]
# Here is the whole of it. On one rank it is ordinary training; on four, each takes every fourth sample of a batch. It also notes two squared norms,
# of the rank's own gradient and of the sum, for section 6.

# %%
def train_by_hand(columns, sum_gradients, steps, batch_size):
    """The loss of each step, and per step (|own mean gradient|², |gradient|²)."""
    rank, size = dist.get_rank(), dist.get_world_size()
    model, objective, losses, squares = build_model(), build_objective(), [], []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-6)
    for step in range(steps):
        first = step * batch_size
        batch = make_batch(columns, range(first + rank, first + batch_size, size))  # every size-th sample
        count = torch.tensor(float(batch.counts["masked_lm"]))
        dist.all_reduce(count)
        loss = objective(model, batch)["masked_lm"] / count
        loss.backward()
        own = sum(p.grad.square().sum() for p in model.parameters()).item() * (count.item() / batch.counts["masked_lm"]) ** 2
        buffer = sum_gradients(list(model.parameters()), dist.all_reduce)
        optimizer.step()
        optimizer.zero_grad()
        dist.all_reduce(loss := loss.detach())
        losses.append(loss.item())
        squares.append([own, buffer.square().sum().item()])
    return {"losses": losses, "squares": squares, "weights": parameters_to_vector(model.parameters()).detach()}


# %% [markdown]
# One, two and four ranks, the same batches of 16. After ten updates, how far apart are their losses?

# %%
predict("10.apart", ..., unit="(largest relative difference of a loss)")

# %%
steps = dial(smoke=4, laptop=10)
by_hand = {size: run_ranks(train_by_hand, size, columns, sum_gradients, steps, 16) for size in (1, 2, 4)}
alone = by_hand[1][0]
for size, ranks in by_hand.items():
    print(f"{size} rank{'s' * (size > 1):1s}  " + "  ".join(f"{loss:.12f}" for loss in ranks[0]["losses"][-3:]))
apart = max(abs(a / b - 1) for size in (2, 4) for a, b in zip(by_hand[size][0]["losses"], alone["losses"]))
reveal("10.apart", apart)
claim(apart < 1e-10, "many processes compute what one computes")
claim(all(torch.equal(rank["weights"], ranks[0]["weights"]) for ranks in by_hand.values() for rank in ranks), "and the copies of the weights are equal to the bit")

# %% [markdown]
# **What torch's DDP adds** (Li et al. 2020) is speed. The backward pass finishes the gradients of the *last* layer first, and they can travel while
# it works on the others (Figure 10.2, first row). So DDP hooks into each parameter, gathers finished gradients into **buckets** of some 25 MB, a
# compromise between many latencies and a long wait, and adds up each bucket as soon as it is full. In miniature, with one bucket per parameter:

# %%
plots.show(diagrams.timelines(), alt="DDP hides its sums behind the backward pass; FSDP and tensor parallelism wait more often. What a rank computes and what it sends, over time: DDP sends gradients while it goes back, "
           "FSDP also gathers a layer's weights before it computes, tensor parallelism sends after every layer.", number="10.2")


# %%
def overlapped_gradient(columns, count):
    """The gradient of 16 samples, added up while the backward pass goes on."""
    rank, size = dist.get_rank(), dist.get_world_size()
    model, travelling = build_model(), []
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: travelling.append(dist.all_reduce(p.grad, async_op=True)))
    (build_objective()(model, make_batch(columns, range(rank, 16, size)))["masked_lm"] / count).backward()
    for work in travelling:  # the backward pass is over; not all sums need be
        work.wait()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


whole = make_batch(columns, range(16))
right = gradient(whole, whole.counts["masked_lm"])
added = run_ranks(overlapped_gradient, 2, columns, whole.counts["masked_lm"])
claim(all((ours - right).norm() < 1e-12 * right.norm() for ours in added), "gradients that travel during the backward pass arrive the same")


# %% [markdown]
# Our trainer does this through DDP, with the same call as before: under a launcher with several processes it wraps model and objective as one module, and gives
# each rank its share of `batch_size`, which stays the *global* one.

# %%
def train(columns, parallel, steps):
    """The losses of a run by the trainer."""
    config = TrainConfig(steps=steps, batch_size=16, learning_rate=1e-3, eps=1e-6, schedule="constant", log_every=1, device="cpu", parallel=parallel)
    return Trainer(build_model(), build_objective(), Columns(**columns), config).fit().losses


trained = {(size, parallel): run_ranks(train, size, columns, parallel, steps)[0] for size, parallel in [(1, "ddp"), (2, "ddp"), (2, "fsdp"), (4, "fsdp")]}
for (size, parallel), losses in trained.items():
    print(f"{size} x {parallel:5s}" + "  ".join(f"{loss:.12f}" for loss in losses[-3:]))
apart = max(abs(a / b - 1) for losses in trained.values() for a, b in zip(losses, trained[1, "ddp"]))
claim(apart < 1e-10, "the trainer's losses are those of one process, under DDP and under FSDP")

# %% [markdown]
# (The trainer shuffles its samples.) FSDP, in the last two lines, comes now.
#
# ## 4 · Sharing memory out
#
# Data parallelism copies everything $N$ times. In mixed precision with Adam a parameter costs 2 bytes of weight, 2 of gradient, and 12 of optimiser
# state: two moments and the fp32 copy of the weight, 4 each. A model of 7.5 billion parameters needs 120 GB *on every GPU*. **ZeRO** (Rajbhandari
# et al. 2020) shares them out:
#
# * **Stage 1**: the optimiser's state. Rank $r$ updates part $r$ of the weights only, then all gather the parts.
# * **Stage 2**: gradients too. Rank $r$ needs the *sum* of part $r$ only: a reduce-scatter instead of an all-reduce.
# * **Stage 3**: weights too. A layer's weights are gathered when it computes, and forgotten afterwards. Torch calls this **FSDP**, fully sharded
#   data parallel (Zhao et al. 2023).

# %% [markdown] tags=["exercise"]
# **Exercise 10.4 · bytes on a rank (★☆☆, 10 min)**
#
# How many bytes does each of `ranks` ranks hold for `parameters` parameters, at `stage` 0 (DDP), 1, 2 or 3? Weights 2, gradients 2, optimiser
# 12 bytes each. Activations are left out.


# %% tags=["exercise"]
def state_bytes(parameters, ranks, stage):
    """Bytes on each rank."""
    ### BEGIN SOLUTION
    optimizer = 12 / (ranks if stage >= 1 else 1)
    gradients = 2 / (ranks if stage >= 2 else 1)
    weights = 2 / (ranks if stage >= 3 else 1)
    return parameters * (optimizer + gradients + weights)
    ### END SOLUTION


state_bytes = check("10.4", state_bytes)

# %% [markdown]
# The 7.5 billion on 64 GPUs are the example in that paper's Figure 1. Here they are beside BERT-base:

# %% tags=["NBVAL_CHECK_OUTPUT"]
print(f"GB per rank{'':12s}DDP  stage 1  stage 2  stage 3")
for name, parameters in [("BERT-base", Encoder().parameters), ("7.5 billion", 7_500_000_000)]:
    for ranks in (8, 64):
        print(f"{name:12s}{ranks:3d} ranks " + "".join(f"{state_bytes(parameters, ranks, stage) / 1e9:9.2f}" for stage in range(4)))

# %% [markdown]
# The price: stages 1 and 2 send what DDP sends. An all-reduce *is* a reduce-scatter and an all-gather, and they put the update in between. Stage 3
# gathers the weights twice, for the forward and for the backward pass, and scatters gradients once: three times around the ring instead of two.
# (Gradients are sent in 16 bits here, as ZeRO does; section 5 sends them in 32, as DDP does with fp32 weights.)

# %% tags=["NBVAL_CHECK_OUTPUT"]
sent = [ring_bytes(2 * Encoder().parameters, 8, stage) / 1e6 for stage in range(4)]
print("MB that each of 8 ranks sends in a step of BERT-base, stages 0 to 3:", [round(megabytes) for megabytes in sent])

# %% [markdown] tags=["exercise"]
# **Exercise 10.5 · an optimiser in shares (★★☆, 15 min)**
#
# Write a step of ZeRO. All weights are in one row, `weights` $(n,)$, whole on each rank. `gradient` $(n,)$ is from this rank's samples, already
# divided by the count of all ranks. `moments` $(2, n/N)$, with $N$ = `size`, belong to this rank's part alone. `reduce_scatter(x)` returns part
# `rank` of the sum over ranks, `all_gather(part)` all parts in a row, and `adam(weights, gradient, moments)` updates a row of weights and its
# moments in place. Return the new weights, whole.


# %% tags=["exercise"]
def zero_step(weights, gradient, moments, rank, size, reduce_scatter, all_gather):
    """The weights (n,) after one update, of which this rank computes its part."""
    ### BEGIN SOLUTION
    total = reduce_scatter(gradient)
    own = weights.chunk(size)[rank].clone()
    adam(own, total, moments)
    return all_gather(own)
    ### END SOLUTION


zero_step = check("10.5", zero_step)


# %%
def reduce_scatter(x):
    own = x.new_empty(len(x) // dist.get_world_size())
    dist.reduce_scatter_tensor(own, x)
    return own


def all_gather(own):
    x = own.new_empty(len(own) * dist.get_world_size())
    dist.all_gather_into_tensor(x, own)
    return x


def train_in_shares(columns, zero_step, steps):
    """The weights after some updates of 16 samples, and the bytes of this rank's moments."""
    rank, size, model = dist.get_rank(), dist.get_world_size(), build_model()
    n = sum(p.numel() for p in model.parameters())
    weights = torch.nn.functional.pad(parameters_to_vector(model.parameters()).detach(), (0, -n % 4))  # a multiple of 4
    moments = weights.new_zeros(2, len(weights) // size)
    for step in range(steps):
        vector_to_parameters(weights[:n], model.parameters())
        total = make_batch(columns, range(16 * step, 16 * step + 16)).counts["masked_lm"]
        batch = make_batch(columns, range(16 * step + rank, 16 * step + 16, size))
        loss = build_objective()(model, batch)["masked_lm"] / total
        gradient = parameters_to_vector(torch.autograd.grad(loss, list(model.parameters())))
        gradient = torch.nn.functional.pad(gradient, (0, len(weights) - n))
        weights = zero_step(weights, gradient, moments, rank, size, reduce_scatter, all_gather)
    return [weights[:n], moments.nbytes]


# %%
shares = {size: run_ranks(train_in_shares, size, columns, zero_step, 3) for size in (1, 2, 4)}
for size, ranks in shares.items():
    distance = (ranks[0][0] - shares[1][0][0]).norm() / shares[1][0][0].norm()
    print(f"{size} ranks: {ranks[0][1] / 1e6:5.2f} MB of moments on each; weights differ from one process's by {distance:.0e}")
    claim(distance < 1e-10, "the same weights")
claim(shares[4][0][1] * 4 == shares[1][0][1], "each of four ranks holds a quarter of the moments")

# %% [markdown]
# That is stage 1. It scatters the gradient already, so stage 2 only has to forget the rest of the gradient once it has been sent. For stage 3
# torch's `fully_shard` cuts each parameter along its first dimension, and hooks into each block gather it and forget it again. Our trainer takes
# `parallel="fsdp"`. What does each rank really hold? We look just before an update, when no layer is gathered; in the passes one or two whole
# layers come on top.


# %%
def bytes_held(columns, parallel):
    """Bytes on this rank of parameters, gradients and the optimiser's state; and the number of parameters."""
    held = {}
    config = TrainConfig(steps=2, batch_size=16, device="cpu", parallel=parallel)
    trainer = Trainer(build_model().float(), build_objective(), Columns(**columns), config)
    parameters = list(trainer.module.parameters())

    def note_gradients(*_):
        held["gradients"] = sum(own_rows(p.grad).nbytes for p in parameters)

    trainer.optimizer.register_step_pre_hook(note_gradients)
    trainer.fit()
    held["parameters"] = sum(own_rows(p).nbytes for p in parameters)
    held["optimizer"] = sum(own_rows(value).nbytes for state in trainer.optimizer.state.values() for value in state.values())
    return {**held, "number": sum(p.numel() for p in parameters)}


# %%
print(f"MB per rank{'':11s}weights   gradients   optimiser   sum, formula")
for size, parallel in [(2, "ddp"), (2, "fsdp"), (4, "fsdp")]:
    ranks = run_ranks(bytes_held, size, columns, parallel)
    most = {part: max(rank[part] for rank in ranks) / 1e6 for part in FP32_ADAM}
    paper = sum(paper_bytes(ranks[0]["number"], size, 3 if parallel == "fsdp" else 0, FP32_ADAM).values()) / 1e6
    print(f"{size} ranks, {parallel:8s}{most['parameters']:11.3f}{most['gradients']:12.3f}{most['optimizer']:12.3f}{sum(most.values()):10.3f}{paper:8.3f}")
    claim(abs(sum(most.values()) / paper - 1) < 0.02, "as on paper, within 2 %")

# %% [markdown]
# (In fp32 a parameter costs 4 + 4 + 8 bytes. The fullest rank has a little more than $1/N$, since rows are not cut.) With the width and depth of BERT-base,
# measured beforehand, weights and the optimiser's state alone:

# %%
ledger = results("10-memory-per-rank")
print(verdict_table(ledger), "\n")
fullest = {(parallel, ranks): max(max(each) for each in runs) for parallel, counts in ledger["measured"]["bytes"].items() for ranks, runs in counts.items()}
for (parallel, ranks), size in fullest.items():
    print(f"{ranks} ranks, {parallel:5s}{size / 1e6:8.0f} MB on the fullest rank")
claim(fullest["fsdp", "2"] <= 0.55 * fullest["ddp", "2"], "on two ranks FSDP keeps about half of what DDP keeps")

# %% [markdown]
# FSDP does *not* share out **activations**: they grow with a rank's own part of the batch. Smaller micro-batches help, and computing
# activations twice (section 8 of chapter 09).

# %%
base = Encoder(length=512)
for sequences in (4, 32):
    print(f"BERT-base, {sequences:2d} sequences of {base.length} tokens on a rank: {base.activation_bytes(sequences, each=2) / 1e9:5.1f} GB of activations in 16 bits, "
          f"{state_bytes(base.parameters, 1, 0) / 1e9:.1f} GB of everything else")

# %% [markdown]
# ## 5 · What it costs, before you pay
#
# Machines by the hour are expensive, and a calculation is free. Say a message of $s$ bytes takes $\alpha + s / \beta$ seconds, a latency and a
# bandwidth (Thakur et al. 2005). Then
#
# $$t_\text{ring} = 2(N-1)\left(\alpha + \frac{s}{N\beta}\right), \qquad t_\text{tree} = 2\lceil\log_2 N\rceil \left(\alpha + \frac{s}{\beta}\right). \tag{10.1}$$
#
# The tree adds up in pairs, then pairs of pairs, and spreads the result the same way back: few steps, with everything in each. The ring has many
# steps with little in each. Does equation (10.1) predict anything? Two fitted numbers always meet two measured points. So we fit $\alpha$ and
# $\beta$ on **two** ranks only, to the second smallest and the largest tensor, and foretell **four** ranks.


# %%
def time_all_reduce(lengths, rounds):
    """Seconds of dist.all_reduce for each number of float32: the fastest of some rounds."""
    fastest = []
    for n in lengths:
        x, seconds = torch.ones(n), []
        for _ in range(rounds):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(x)
            seconds.append(time.perf_counter() - start)
            x.fill_(1)
        fastest.append(min(seconds))
    return fastest


sizes = [4 * 8**k for k in range(2, 8)]  # bytes
measured = {ranks: np.max(run_ranks(time_all_reduce, ranks, [size // 4 for size in sizes], dial(smoke=10, laptop=40)), axis=0) for ranks in (2, 4)}
here = fit_link(2, (sizes[1], measured[2][1]), (sizes[-1], measured[2][-1]))
print(f"fitted on 2 ranks: latency {1e6 * here.latency:.0f} µs, bandwidth {here.bandwidth / 1e9:.2f} GB/s")

# %%
fig, ax = plots.figure(width=7.5, height=3.4)
line = np.geomspace(sizes[0], sizes[-1], 60)
for ranks, colour in [(2, plots.BLUE), (4, plots.ORANGE)]:
    foretold = [1e3 * ring_seconds(size, ranks, here) for size in line]
    ax.plot(line, foretold, color=colour)
    ax.plot(sizes, 1e3 * measured[ranks], "o", color=colour, markersize=5)
    plots.label_line(ax, line, foretold, f"{ranks} ranks", colour)
ax.set(xscale="log", yscale="log", xlabel="bytes of the tensor", ylabel="all-reduce (ms)", title="points: measured; lines: equation (10.1), fitted on 2 ranks")
plots.show(fig, alt="A point above its line took longer than was foretold. Milliseconds of an all-reduce on this machine against the size of the tensor, both axes logarithmic: "
           "points are measured, lines are equation (10.1), fitted on two ranks.", number="10.3")
off = [ring_seconds(size, 4, here) / own for size, own in zip(sizes, measured[4])]
print(f"four ranks, foretold over measured: {min(off):.2f} to {max(off):.2f}")

# %%
ledger = results("10-cost-model")
tested = ledger["measured"]
ratios = {2: [], 4: []}  # foretold over measured
for two, four in zip(*tested["all_reduce"]["fastest"].values()):
    link = fit_link(2, *[(tested["sizes"][i], two[i]) for i in tested["fitted"]])
    for ranks, seconds in ((2, two), (4, four)):
        ratios[ranks].append([ring_seconds(size, ranks, link) / own for size, own in zip(tested["sizes"], seconds)])
print(f"{len(ratios[2])} repetitions, load of the machine {min(tested['load']):.1f} to {max(tested['load']):.1f}; foretold over measured: median (lowest to highest)")
for ranks, rows in ratios.items():
    print(f"{ranks} ranks  " + "  ".join(f"{np.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in zip(*rows)))
print("\n" + verdict_table(ledger))

# %% [markdown]
# In the ledger, on two ranks, the second and the last ratio are 1 by construction, and the sizes in between test $s$. Four ranks test $N$: the formula foretells about
# half of what they take. Four ranks share two cores, and it does not know. Doubled for that, it comes close (prediction 3). On two
# ranks it missed one size (prediction 1). A fit at one $N$ says nothing about another: measure on as many ranks as you can get before you trust a forecast for more.
#
# Now a whole step. One rank alone needs some time for a batch of 64. Two ranks should need half of it, and an all-reduce. In every other round all
# ranks meet at a **barrier** before the sum, so that nobody has to wait *in* it.


# %%
def time_steps(columns, sum_gradients, samples, rounds):
    """Median milliseconds of both passes over this rank's share, of the sum of gradients, and of that sum after a barrier."""
    rank, size = dist.get_rank(), dist.get_world_size()
    model, batch, times = build_model(), make_batch(columns, range(rank, samples, size)), {"passes": [], "sum": [], "sum after a barrier": []}
    for number in range(2 * rounds):
        dist.barrier()
        start = time.perf_counter()
        build_objective()(model, batch)["masked_lm"].backward()
        times["passes"].append(time.perf_counter() - start)
        if number % 2:
            dist.barrier()
        start = time.perf_counter()
        sum_gradients(list(model.parameters()), dist.all_reduce)
        times["sum after a barrier" if number % 2 else "sum"].append(time.perf_counter() - start)
        model.zero_grad()
    return {name: 1e3 * float(np.median(seconds)) for name, seconds in times.items()}


rounds = dial(smoke=3, laptop=15)
alone, half = (run_ranks(time_steps, 1, columns, sum_gradients, samples, rounds)[0]["passes"] for samples in (64, 32))
both = run_ranks(time_steps, 2, columns, sum_gradients, 64, rounds)
slowest = {name: max(rank[name] for rank in both) for name in both[0]}
gradient_bytes = 8 * sum(p.numel() for p in build_model().parameters())  # float64
messages = 1e3 * ring_seconds(gradient_bytes, 2, here)
print(f"64 samples on one rank {alone:.1f} ms; on two: foretold {step_seconds(alone / 2, messages):.1f} ms, measured {slowest['passes'] + slowest['sum']:.1f} ms")
print(f"half of the samples: {half:.1f} ms on a rank alone, {slowest['passes']:.1f} ms with both at work")
print(f"the sum: foretold {messages:.1f} ms, measured {slowest['sum']:.1f} ms, after a barrier {slowest['sum after a barrier']:.1f} ms")

# %% [markdown]
# What a barrier takes away was no message: it was **waiting for the other rank** to finish its backward pass. In the ledger that is nearly half of the sum (prediction 4).
# Slow ranks are not in the formula. And a total may agree by luck, as errors cancel:
# check each part, and look where it differs.
#
# ### On paper
#
# Now machines that we do not have. Say a GPU sustains 400 TFLOP/s in bf16. A machine holds eight GPUs. Inside it a message has 3 µs and 300 GB/s
# (links of the NVLink kind); between machines each GPU has a network port of 10 µs and 50 GB/s. These are round numbers of our choosing; put in
# your own. BERT-base, a batch of 256 sequences of 512 tokens (the longer of the two lengths of Devlin et al. 2019), gradients in fp32. How long is
# a step on 8, 64 and 1,024 GPUs?
#
# One flat ring through all GPUs is slow: every message goes at the pace of the network, and there are $2(N-1)$ of them. Two remedies, which libraries combine:
#
# * **Two levels**: reduce-scatter inside each machine; then GPU $i$ of all machines adds up share $i$, an eighth of the data, through its own port;
#   then all-gather inside.
# * **Trees in pieces** between machines: one piece follows another. With $k$ pieces that takes $2(\lceil\log_2 M\rceil + k - 1)(\alpha + s/k\beta)$
#   on $M$ machines. NCCL has trees since version 2.4, "for better All Reduce performance at scale".

# %%
predict("10.64", ..., unit="% of the step on 64 GPUs that is arithmetic, one flat ring, nothing hidden")

# %%
inside, link, flops, batch_size = Link(latency=3e-6, bandwidth=3e11), Link(latency=1e-5, bandwidth=5e10), 4e14, 256
compute, size = batch_size * base.step_flops / flops, 4 * base.parameters
D, V_base, tokens = base.hidden_size, base.vocab_size, batch_size * base.length
matrices = base.layers * (4 * D**2 + 2 * D * base.intermediate_size) + D**2 + D * V_base
everywhere = (6 * matrices + 12 * base.layers * base.length * D) * tokens  # the rule of chapter 09
print(f"{everywhere / 1e12:.0f} TFLOP a step by the rule of chapter 09; {base.step_flops * batch_size / 1e12:.0f} if head and last layer compute at the "
      f"{base.blanks} masked positions only, as ours do; {size / 1e6:.0f} MB of gradients\n")


def on_paper(ranks):
    """Seconds of an all-reduce: one flat ring, two levels of rings, and rings inside with trees between."""
    machines = max(1, ranks // 8)
    two_levels, trees = (two_level_all_reduce(size, machines, inside, link, across=across) for across in (ring_seconds, best_tree))
    return ring_seconds(size, ranks, link), two_levels, trees


print(f"{'GPUs':>5s}{'arithmetic':>12s}{'flat ring':>11s}{'two levels':>12s}{'and trees':>11s}{'step':>8s}{'hidden':>8s}{'speed-up':>10s}")
for ranks in (8, 64, 1024):
    times = on_paper(ranks)
    step, hidden = (step_seconds(compute / ranks, min(times), share) for share in (0.0, BACKWARD))
    print(f"{ranks:5d}{1e3 * compute / ranks:12.2f}" + "".join(f"{1e3 * t:{width}.2f}" for t, width in zip((*times, step, hidden), (11, 12, 11, 8, 8))) + f"{compute / hidden:9.1f}x")
arithmetic = {ranks: compute / ranks / step_seconds(compute / ranks, on_paper(ranks)[0]) for ranks in (8, 64, 1024)}
reveal("10.64", 100 * arithmetic[64])
fewer, more = (step_seconds(compute / ranks, min(on_paper(ranks)), BACKWARD) for ranks in (64, 1024))
claim(more > fewer, "with a batch of 256, 1,024 GPUs are slower than 64, also with the best of the three")

# %% [markdown]
# (Milliseconds; *step* with the fastest of the three. *Hidden*: messages travel during the backward pass, two thirds of the arithmetic.) Arithmetic
# falls as $1/N$. The data that a rank sends does not fall at all: $2\frac{N-1}{N}s$ is as much for a thousand ranks as for eight. In the flat ring
# the latencies grow in proportion to $N$; two levels keep them small and send an eighth across the network.

# %% [markdown] tags=["exercise"]
# **Exercise 10.6 · when messages take half of the step (★★☆, 10 min)**
#
# `compute` is the seconds that *one* rank would need for the whole batch. Return the smallest number of ranks, from 2 on, for which a flat ring
# all-reduce of `size` bytes takes at least as long as the arithmetic of one rank. Nothing is hidden.


# %% tags=["exercise"]
def half_of_the_step(compute, size, latency, bandwidth):
    """The smallest number of ranks at which messages take at least half of the step."""
    ### BEGIN SOLUTION
    ranks = 2
    while 2 * (ranks - 1) * (latency + size / ranks / bandwidth) < compute / ranks:
        ranks += 1
    return ranks
    ### END SOLUTION


half_of_the_step = check("10.6", half_of_the_step)

# %%
fig, ax = plots.figure(width=7.5, height=3.6)
counts = [2**k for k in range(3, 13)]
for name, seconds, colour in [("arithmetic, batch 256", [compute / n for n in counts], plots.BLUE),
                              ("arithmetic, batch 4,096", [16 * compute / n for n in counts], plots.SKY),
                              *zip(("flat ring", "two levels", "and trees"), zip(*map(on_paper, counts)), (plots.ORANGE, plots.PURPLE, plots.GREEN))]:
    ax.plot(counts, 1e3 * np.array(seconds), color=colour)
    plots.label_line(ax, counts, [1e3 * t for t in seconds], name, colour)
ax.set(xscale="log", yscale="log", xlabel="GPUs", ylabel="ms per step", xticks=[8, 64, 1024], xticklabels=[8, 64, "1,024"])
ax.minorticks_off()
plots.show(fig, alt="More GPUs shorten the arithmetic and never the messages; two levels and trees only put off the point where they cross. Milliseconds per step against the number of GPUs, both axes "
           "logarithmic: arithmetic falls, the flat ring levels off and rises steeply, two levels and trees stay lower.", number="10.4")
for batch in (256, 4096, 65536):
    print(f"batch {batch:6,d}: half of the step at {half_of_the_step(batch * base.step_flops / flops, size, link.latency, link.bandwidth):4d} GPUs")

# %% [markdown]
# A thousand GPUs become useful by **a larger batch**: arithmetic grows with it, and messages do not (Figure 10.4). With batches of tens of
# thousands You et al. (2020) trained BERT in 76 minutes. But is a larger batch *worth* as much?
#
# ## 6 · How large may a batch be?
#
# A gradient of $B$ samples is the true gradient $G$ plus noise. If single samples have the covariance $\Sigma$, then
#
# $$\mathbb{E}\,|G_B|^2 = |G|^2 + \frac{\operatorname{tr}\Sigma}{B} . \tag{10.2}$$
#
# What is a step along $-G_B$ worth? To second order, with curvature $H$, a step $\varepsilon$ lowers the loss on average by
# $\varepsilon |G|^2 - \frac{\varepsilon^2}{2}\left(G^\top H G + \frac{\operatorname{tr}(H\Sigma)}{B}\right)$. With the best $\varepsilon$ this is
#
# $$\Delta L(B) = \frac{\Delta L_\text{max}}{1 + B_\text{noise}/B}, \qquad B_\text{noise} = \frac{\operatorname{tr}(H\Sigma)}{G^\top H G} \approx B_\text{simple} = \frac{\operatorname{tr}\Sigma}{|G|^2}, \tag{10.3}$$
#
# where the two are equal if the curvature is the same in all directions (McCandlish et al. 2018, section 2). $B_\text{simple}$ needs no $H$, so it is what people measure and call the **gradient noise scale**; so do we. For $B$ far below it, twice the batch is twice the progress. For
# $B$ far above it a larger batch buys nothing. We check both equations where everything can be counted: six samples $x_i$ in the plane, the loss $\frac12|\theta - x_i|^2$, whose gradient is
# $\theta - x_i$ and whose curvature is 1, and *all* batches of two.

# %%
x = torch.tensor([[0.0, 1.0], [2.0, 0.5], [1.0, -1.0], [-1.0, 0.0], [0.5, 2.0], [1.5, 1.0]], dtype=torch.float64)
theta, B = torch.tensor([2.0, -1.0], dtype=torch.float64), 2
g = theta - x  # (6, 2): the gradient of each sample
G, trace = g.mean(0), g.var(0, correction=0).sum()
batches = torch.stack([g[list(ids)].mean(0) for ids in itertools.product(range(6), repeat=B)])  # (36, 2)
claim(torch.allclose(batches.square().sum(1).mean(), G.square().sum() + trace / B), "E|G_B|² = |G|² + tr Σ / B, over all 36 batches")


def progress(rate, gradients):
    """By how much a step along each of the gradients lowers the loss, on average."""
    return (0.5 * (theta - x).square().sum(1).mean() - 0.5 * (theta - rate * gradients[:, None] - x).square().sum(2).mean()).item()


rates = torch.linspace(0, 1.5, 3001)
best, most = (max(progress(rate, gradients) for rate in rates) for gradients in (batches, G[None]))
noise = (trace / G.square().sum()).item()
print(f"noise scale {noise:.3f}: a batch of {B} makes {best / most:.4f} of the greatest progress, the formula says {1 / (1 + noise / B):.4f}")
claim(abs(best / most - 1 / (1 + noise / B)) < 1e-5, "ΔL = ΔL_max / (1 + B_simple / B)")

# %% [markdown]
# In a real model $G$ and $\Sigma$ are unknown, but $|G_B|^2$ can be measured at *two* batch sizes: two equations for two unknowns. Data-parallel
# training has both: each rank's own gradient is of a small batch, their sum of a large one (ibid., appendix A.1).

# %% [markdown] tags=["exercise"]
# **Exercise 10.7 · the noise scale from two batch sizes (★★☆, 15 min)**
#
# Given squared norms of gradients from batches of `small` samples, $(k,)$, and of `big` ones, $(m,)$, estimate $\operatorname{tr}\Sigma / |G|^2$.
# Both norms hold a part of the noise. A single pair says almost nothing: take the means first, the ratio last.


# %% tags=["exercise"]
def noise_scale(small, big, small_squares, big_squares):
    """tr Σ / |G|², a number of samples."""
    ### BEGIN SOLUTION
    a, b = small_squares.mean(), big_squares.mean()
    signal = (big * b - small * a) / (big - small)
    noise = (a - b) / (1 / small - 1 / big)
    return (noise / signal).item()
    ### END SOLUTION


noise_scale = check("10.7", noise_scale)

# %% [markdown]
# The four ranks of section 3 noted these norms. A model that knows nothing yet should hear the same from every sample:
# a strong gradient, little noise.

# %%
squares = torch.tensor([rank["squares"] for rank in by_hand[4]])  # (ranks, steps, 2)
early = noise_scale(4, 16, squares[:, :, 0].flatten(), squares[0, :, 1])
print(f"noise scale in the first {steps} steps: about {early:.0f} paragraphs")
claim(0 < early < 100, "at the start, small batches are large enough")

# %% [markdown]
# ### Steps against samples
#
# The prediction for a whole run (ibid.): to reach a given loss takes $S$ steps, and
#
# $$S = S_\text{min}\left(1 + \frac{B_\text{crit}}{B}\right), \qquad E = B\,S = E_\text{min}\left(1 + \frac{B}{B_\text{crit}}\right),$$
#
# where $E$ is the number of samples. At $B = B_\text{crit} = E_\text{min}/S_\text{min}$, the **critical batch size**, a run needs twice the least
# steps and twice the least samples. It should be near the noise scale of the run. Our task: a small network says in which of four directions a
# digit is shown (a pretext task, after Gidaris et al. 2018: it needs no label). Plain gradient descent, six batch sizes, the best of many learning
# rates *for each*, five seeds.

# %%
predict("10.critical", ..., unit="samples (critical batch size)")

# %%
ledger = results("10-critical-batch-size")
print(verdict_table(ledger))
found = ledger["measured"]
reveal("10.critical", found["B_crit"])

# %%
batches = np.array([int(batch) for batch in found["batches"]])
updates = np.array([one["updates"] for one in found["batches"].values()])  # (batches, seeds)
S, B = found["S_min"], found["B_crit"]
fig, axes = plots.figure(columns=2, width=11, height=3.6)
smooth = np.geomspace(batches[0], batches[-1], 100)
for ax, factor, ylabel in [(axes[0], np.ones_like(batches), "updates to the target"), (axes[1], batches, "samples to the target")]:
    ax.plot(smooth, S * (1 + B / smooth) * (smooth if ax is axes[1] else 1), color=plots.GREY, lw=1.2)
    ax.plot(np.repeat(batches, updates.shape[1]), (updates * factor[:, None]).flatten(), "o", color=plots.BLUE, markersize=4)
    ax.axvline(B, color=plots.ORANGE, ls="--", lw=1.2)
    ax.annotate("critical", (B, ax.get_ylim()[1]), xytext=(3, -12), textcoords="offset points", color=plots.ORANGE)
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel=ylabel, xticks=batches, xticklabels=[f"{batch:,}" for batch in batches])
    ticks = (150, 300, 600, 1200, 2400) if ax is axes[0] else (5000, 20_000, 80_000, 320_000)
    ax.set(yticks=ticks, yticklabels=[f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
plots.show(fig, alt="Below the critical batch size a larger batch saves updates, above it costs samples. Updates, left, and samples, right, to the target against batch size. Left: falling in proportion and then "
           "level. Right: level and then rising in proportion. The points of five seeds lie near the fitted hyperbola, whose bend is at the dashed line.", number="10.5")

# %%
scales = np.array(found["noise_scales"])  # (seeds, places along the run)
fig, ax = plots.figure(width=7, height=2.9)
way = np.linspace(100 / scales.shape[1], 100, scales.shape[1])
ax.plot(way, scales.T, "o", color=plots.SKY, markersize=3)
ax.plot(way, np.median(scales, 0), color=plots.BLUE)
plots.label_line(ax, way, np.median(scales, 0), "median noise scale", plots.BLUE)
ax.axhline(B, color=plots.ORANGE, ls="--", lw=1.2)
ax.annotate("critical batch size", (100, B), xytext=(6, 0), textcoords="offset points", va="center", color=plots.ORANGE, annotation_clip=False)
ax.set(yscale="log", xlabel="way to the target (% of the updates)", ylabel="samples", xlim=(0, 100))
plots.show(fig, alt="The noise scale lies around the critical batch size, and single estimates scatter fiftyfold. Estimates of five seeds along the run to the target, dots, with their median, a line, "
           "on a logarithmic axis, beside the critical batch size that was fitted to the steps, dashed.", number="10.6")

# %%
print(f"{'batch':>6s}{'best rate':>11s}{'updates':>9s}{'fitted':>8s}{'samples':>9s}")
for batch, one in found["batches"].items():
    print(f"{batch:>6s}{one['rate']:11.3f}{np.mean(one['updates']):9.0f}{S * (1 + B / int(batch)):8.0f}{np.mean(one['updates']) * int(batch):9.0f}")
off = max(abs(S * (1 + B / batch) / own - 1) for batch, own in zip(batches, updates.mean(1)))
grid = 2 ** (np.arange(260) / 20)  # candidates for B_crit
single = [grid[np.log(seed[:, None] / (1 + grid / batches[:, None])).var(0).argmin()] for seed in updates.T]
print(f"critical batch size {B:.0f}; fitted to single seeds, from {min(single):.0f} to {max(single):.0f}")
headline("largest distance of the hyperbola from the measured updates", off, 0.25)
typical = np.median(scales)
print(f"noise scale: median {typical:.0f}, {max(typical / B, B / typical):.1f} times apart from the critical batch size; mean {scales.mean():.0f}; single estimates from {scales.min():.0f} to {scales.max():.0f}")
first, second = np.median(scales[:, :5], 1), np.median(scales[:, 5:], 1)
print("median of a run's second half over that of its first, by seed:", "  ".join(f"{rise:.1f}" for rise in second / first))
claim(1 / 2 < typical / B < 2, "the noise scale foretells the critical batch size within a factor of 2")

# %% [markdown]
# A batch far below the critical one is the cheapest in samples, and slow; one far above wastes samples (Figure 10.5). The noise scale foretells the
# bend well here, by its *median*. Each estimate is a ratio, and where $|G|^2$ happens to be small it explodes: a mean of such ratios is the mistake
# that exercise 10.7 warns of. In the paper the noise scale grows as the loss falls (ibid., abstract), so large batches pay at the end of a run.
# Prediction 4 compared two single estimates and failed; between halves of a run the median rises in every seed, which we looked at only afterwards.
# The best learning rate grows with the batch and stops where the batch is large: raise only the batch, and you have not tried a large batch. With
# one GPU, the same number says when **accumulation** is worth the wait.
#
# ## 7 · Splitting the model
#
# Data parallelism ends where one layer, or one sample's activations, no longer fit, or where the batch is as large as it is worth. Then the *model* is split.
#
# **Tensor parallelism** cuts a layer (Shoeybi et al. 2019, section 3). In a feed-forward layer $\operatorname{GELU}(x W_1^\top + b_1) W_2^\top +
# b_2$ each hidden unit is computed from all of $x$ and from nothing else. So rank $r$ takes some hidden units: rows of $W_1$ and $b_1$, and the
# matching columns of $W_2$. Its product is a *part of the sum* over hidden units, and one all-reduce makes it whole. Going back, every rank has a
# part of the gradient of $x$: one more all-reduce. Attention is cut the same way, by heads.

# %% [markdown] tags=["exercise"]
# **Exercise 10.9 · one layer on several ranks (★★★, 30 min)**
#
# `x` is $(B, D)$, `w1` $(I, D)$, `b1` $(I)$, `w2` $(D, I)$, `b2` $(D)$, whole on each rank. Multiply with this rank's part only, and return the
# whole output $(B, D)$ on every rank, such that `backward()` gives the gradients of the unsplit layer: of `x` whole on every rank, of the weights
# each rank's part. `all_reduce(tensor)` adds up in place and knows nothing of autograd, so complete the two `torch.autograd.Function`s first
# (`backward` returns a gradient for each argument, `None` for `all_reduce`). Which of them adds up going forward, which going back?


# %% tags=["exercise"]
class Enter(torch.autograd.Function):
    """The input on its way into the parts: `forward` returns it, `backward` its gradient."""

    @staticmethod
    def forward(context, x, all_reduce):
        ### BEGIN SOLUTION
        context.all_reduce = all_reduce
        return x.view_as(x)
        ### END SOLUTION

    @staticmethod
    def backward(context, gradient):
        ### BEGIN SOLUTION
        gradient = gradient.clone()
        context.all_reduce(gradient)
        return gradient, None
        ### END SOLUTION


class Leave(torch.autograd.Function):
    """A part of the output on its way out, and its gradient on the way back."""

    @staticmethod
    def forward(context, part, all_reduce):
        ### BEGIN SOLUTION
        total = part.clone()
        all_reduce(total)
        return total
        ### END SOLUTION

    @staticmethod
    def backward(context, gradient):
        ### BEGIN SOLUTION
        return gradient, None
        ### END SOLUTION


def split_mlp(x, w1, b1, w2, b2, rank, size, all_reduce):
    """The whole output (B, D) of a feed-forward layer, of which this rank computes 1/size of the hidden units."""
    ### BEGIN SOLUTION
    w1, b1, w2 = w1.chunk(size)[rank], b1.chunk(size)[rank], w2.chunk(size, dim=1)[rank]
    hidden = F.gelu(F.linear(Enter.apply(x, all_reduce), w1, b1))  # (B, I / size)
    return Leave.apply(F.linear(hidden, w2), all_reduce) + b2
    ### END SOLUTION


split_mlp = check("10.9", split_mlp)

# %% [markdown]
# On real processes: three updates of a layer with $I = 4D$, after which all ranks put their parts together.


# %%
def train_split(split_mlp, x, target, parts, steps):
    """The losses, the weights that all ranks' parts make, and how many of the hidden units are this rank's."""
    rank, size = dist.get_rank(), dist.get_world_size()
    parts, losses = [part.clone().requires_grad_() for part in parts], []
    for _ in range(steps):
        loss = (split_mlp(x, *parts, rank, size, dist.all_reduce) - target).square().mean()
        gradients = torch.autograd.grad(loss, parts)
        losses.append(loss.item())
        with torch.no_grad():
            for part, gradient in zip(parts, gradients):
                part -= 0.1 * gradient
    moved = torch.cat([(gradient != 0).flatten() for gradient in gradients[:1]]).double().mean().item()
    return {"losses": losses, "own": moved, "w1": parts[0].detach().chunk(size)[rank]}


D_toy = 16
generator = torch.Generator().manual_seed(0)
x, target = (torch.randn(32, D_toy, generator=generator, dtype=torch.float64) for _ in range(2))
parts = [torch.randn(*shape, generator=generator, dtype=torch.float64) / 4 for shape in ((4 * D_toy, D_toy), (4 * D_toy,), (D_toy, 4 * D_toy), (D_toy,))]
by_size = {size: run_ranks(train_split, size, split_mlp, x, target, parts, 3) for size in (1, 2, 4)}
for size, ranks in by_size.items():
    print(f"{size} rank{'s' * (size > 1):1s} losses " + "  ".join(f"{loss:.12f}" for loss in ranks[0]["losses"]) + f"; each trains {ranks[0]['own']:.0%} of W₁")
claim(all(torch.allclose(torch.cat([rank["w1"] for rank in ranks]), by_size[1][0]["w1"], rtol=1e-10) for ranks in by_size.values()), "the parts make the weights that one process trains")

# %% [markdown]
# Each layer waits for its sum, and nothing hides them (Figure 10.2): so tensor parallelism stays inside a machine, where links are fast.
#
# **Pipeline parallelism** cuts the depth. Rank 0 has the first layers, rank 1 the others. Activations travel forward, gradients travel back. While
# rank 1 works on a batch, rank 0 would be idle, so the batch is cut into $M$ **micro-batches** that follow one another (Huang et al. 2019). With
# $S$ stages that take equally long, each idles for $(S-1)/(M+S-1)$ of the time, the **bubble**.

# %%
plots.show(diagrams.pipeline(), alt="More micro-batches make the bubble smaller: a stage idles only while the pipeline fills and empties. Boxes over time for two stages, with the whole batch at once and with four micro-batches.", number="10.7")
for stages in (2, 4, 8):
    print(f"{stages} stages: " + "   ".join(f"{M:2d} micro-batches {(stages - 1) / (M + stages - 1):4.0%} idle" for M in (1, 4, 16, 64)))

# %% [markdown] tags=["exercise"]
# **Exercise 10.10 · a pipeline of two stages (★★★, 30 min)**
#
# `inputs` and `targets` are lists of micro-batches, of unequal sizes; `stage` is this rank's half of the model. Rank 0 computes `stage(x)`, $(b,
# \text{width})$, for each and sends it; rank 1 computes the loss and goes back, and sends the gradient of what had arrived; rank 0 goes back with
# it. The loss is the mean cross-entropy over **all** samples. Add its gradients to `.grad` of the stage, and return the loss on rank 1, and 0 on
# rank 0. `isend` and `recv` are those of exercise 10.2. A message carries numbers and no graph: which tensor has to be told that its gradient is
# wanted?


# %% tags=["exercise"]
def pipeline_step(stage, inputs, targets, width, rank, isend, recv):
    """The loss, on rank 1; adds the gradients of the whole batch to those of this rank's stage."""
    ### BEGIN SOLUTION
    samples, loss, sending, kept = sum(map(len, targets)), 0.0, [], []
    if rank == 0:
        for x in inputs:
            kept.append(stage(x))  # (b, width)
            sending.append(isend(kept[-1].detach(), 1))
        for out in kept:
            gradient = torch.empty_like(out)
            recv(gradient, 1)
            out.backward(gradient)
    else:
        for x, y in zip(inputs, targets):
            arrived = x.new_empty(len(y), width)
            recv(arrived, 0)
            arrived.requires_grad_()
            part = F.cross_entropy(stage(arrived), y, reduction="sum") / samples
            part.backward()
            sending.append(isend(arrived.grad, 0))
            loss += part.item()
    for handle in sending:
        handle.wait()
    return loss
    ### END SOLUTION


pipeline_step = check("10.10", pipeline_step)


# %%
def stage_of(rank):
    """The first or the second half of a small network."""
    torch.manual_seed(rank)
    return (nn.Sequential(nn.Linear(16, 32), nn.Tanh()) if rank == 0 else nn.Linear(32, 4)).double()


def train_in_stages(pipeline_step, inputs, targets, steps):
    """The losses of plain gradient descent, each rank on its own stage."""
    rank, losses = dist.get_rank(), []
    stage = stage_of(rank)
    for _ in range(steps):
        losses.append(pipeline_step(stage, inputs, targets, 32, rank, dist.isend, dist.recv))
        with torch.no_grad():
            for p in stage.parameters():
                p -= 0.5 * p.grad
        stage.zero_grad()
    return losses


y = torch.randint(4, (32,), generator=generator)
cuts = [12, 9, 8, 3]
piped = run_ranks(train_in_stages, 2, pipeline_step, list(x.split(cuts)), list(y.split(cuts)), 5)[1]
whole = nn.Sequential(stage_of(0), stage_of(1))
plain = []
for _ in piped:
    loss = F.cross_entropy(whole(x), y)
    whole.zero_grad()
    loss.backward()
    plain.append(loss.item())
    with torch.no_grad():
        for p in whole.parameters():
            p -= 0.5 * p.grad
for name, losses in (("one process", plain), ("two stages", piped)):
    print(f"{name:12s}" + "  ".join(f"{loss:.12f}" for loss in losses))
claim(max(abs(a - b) for a, b in zip(plain, piped)) < 1e-12, "two stages and four micro-batches train as one process does")

# %% [markdown]
# Large runs combine all three (Narayanan et al. 2021). Our trainer has neither of these two, since a BERT fits on one GPU.
#
# ## 8 · Things break
#
# The more machines a run has, the more often one of them fails. We provoke some failures.
#
# **A rank skips a collective**, a call that all ranks must make together, such as an all-reduce. A typical cause is `if rank == 0:` around
# something that calls an all-reduce inside, such as an evaluation or a checkpoint. The others wait, without an error, until the timeout: by default
# 10 minutes with NCCL, and 30 with gloo. We set it to one second.


# %%
def evaluates_on_rank_0():
    loss = torch.ones(1)
    if dist.get_rank() == 0:
        dist.all_reduce(loss)  # rank 1 is not here
    return loss


try:
    run_ranks(evaluates_on_rank_0, 2, patience=1)
except RankFailed as failure:
    told = str(failure).splitlines()
print(told[0], told[-1].split("] ")[-1], sep="\n")
claim("rank 0 raised" in told[0] and "Timed out" in told[-1], "the rank that waits is the one that complains, not the one at fault")


# %% [markdown]
# **NaN on one rank.** One bad sample on one rank makes one loss NaN. The all-reduce makes *everybody's* gradient NaN, and the update everybody's
# weights. The trainer looks at every rank's loss before the update, and says which samples it had.

# %%
class Poisoned(MaskedLM):
    """Gives NaN for one sample of the data."""

    def forward(self, model, batch):
        terms = super().forward(model, batch)
        return {name: term * float("nan") if 7 in batch.samples else term for name, term in terms.items()}


def train_poisoned(columns):
    config = TrainConfig(steps=100, batch_size=16, device="cpu")
    Trainer(build_model(), Poisoned(SpecialIds(0, 1, 2, 3, 4), V), Columns(**columns), config).fit()


try:
    run_ranks(train_poisoned, 2, {name: column[:100] for name, column in columns.items()})
except RankFailed as failure:
    message = [line for line in str(failure).splitlines() if "rror" in line][-1]
print(message)
claim("NonFinite" in message, "training stops before the NaN reaches the weights")

# %% [markdown]
# **A process dies.** `torchrun`, torch's launcher, watches the ranks. When one dies it ends the others, and with `--max-restarts` it starts them
# all again. Our trainer then finds the newest sound checkpoint and goes on. In this program rank 1 kills itself once, in update 25 of 40. (It
# counts forward passes from −2, because the trainer first tries two. It ends by `os._exit`, because gloo's threads may abort a process that ends in
# order.) Checkpoints are written every ten updates.

# %%
PROGRAM = """
import os, signal, sys
from safetensors.torch import load_file
from pretrain_lib import BertForMaskedLM, Columns, MaskedLM, TrainConfig, Trainer
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig

class Fragile(MaskedLM):
    passes = -2

    def forward(self, model, batch):
        self.passes += self.training
        if self.passes == 25 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(model, batch)

data, folder, fragile = sys.argv[1:]
shape = BertConfig(vocab_size=8192, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)
config = TrainConfig(steps=40, batch_size=16, checkpoint_every=10, log_every=10, device="cpu")
objective = (Fragile if fragile == "yes" else MaskedLM)(SpecialIds(0, 1, 2, 3, 4), 8192)
Trainer(BertForMaskedLM(shape, seed=0), objective, Columns(**load_file(data)), config, folder=folder).fit()
if __name__ == "__main__":
    os._exit(0)
"""
folder = Path(tempfile.mkdtemp())
(folder / "program.py").write_text(PROGRAM)
save_file(columns, folder / "data.safetensors")
environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "2",
           str(folder / "program.py"), str(folder / "data.safetensors"), str(folder / "killed"), "yes"]

# %%
ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
print(*[line.split("] ")[-1].split(" (pid")[0] for line in ended.stderr.splitlines() if "exitcode" in line][:1], ended.stdout.strip(), sep="\n")
claim(ended.returncode == 0 and "resumed from step 20 of 40" in ended.stdout, "the run went on from its last checkpoint, by itself")

# %% [markdown]
# Is it *the same run*? We run the program once more without an accident, and compare weights and the optimiser's moments bit by bit.

# %%
def undisturbed(program, *arguments):
    """Runs the program in this rank."""
    sys.argv = [program, *arguments]
    runpy.run_path(program)


run_ranks(undisturbed, 2, str(folder / "program.py"), str(folder / "data.safetensors"), str(folder / "sound"), "no")
tensors = [load_checkpoint(folder / run / "checkpoints" / "step-00000040")[0] for run in ("killed", "sound")]
same = {group: all(torch.equal(tensor, tensors[1][group][name]) for name, tensor in names.items()) for group, names in tensors[0].items()}
print({group: f"{len(tensors[0][group])} tensors, " + ("equal" if equal else "different") for group, equal in same.items()})
claim(all(same.values()), "killed and resumed, or never disturbed: the same bits")

# %% [markdown]
# The equal bits are no luck. The order of the samples, the masking and dropout are functions of the seed, the step and the sample. A checkpoint is
# written beside its place and renamed, so it is whole or not there. The loss is a sum with counts. On a cluster the same command runs on every
# machine (with `--nnodes`, `--rdzv-backend c10d` and `--rdzv-endpoint` in place of `--standalone`), and a machine that dies costs the updates since
# the last checkpoint. How often should one be written? If writing takes $w$ seconds and something breaks every $m$ seconds, about every
# $\sqrt{2wm}$ (Young 1974): then writing costs as much as repeating.

# %%
for w, m in [(5, 24 * 3600), (60, 3 * 3600)]:
    interval = math.sqrt(2 * w * m)
    candidates = np.linspace(0.2, 5, 4801) * interval
    lost = w / candidates + candidates / (2 * m)  # share of the time: writing, and half an interval a breakdown
    print(f"writing takes {w} s, a breakdown every {m / 3600:.0f} h: every {interval / 60:.0f} minutes, {lost.min():.1%} of the time is lost")
    claim(abs(candidates[lost.argmin()] / interval - 1) < 0.01, "the square root is where the loss is least")

# %% [markdown] tags=["exercise"]
# **Exercise 10.8 · read four logs (★★☆, 10 min)**
#
# They are invented, but typical. What is wrong with each? Answer with a dictionary from letter to diagnosis, as in exercise 09.5.

# %% tags=["exercise"]
for letter, log in LOGS.items():
    print(f"{letter}\n{log}\n")
print("choose from:", ", ".join(DIAGNOSES))

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {
    "A": "every rank reads the same samples",  # eight times the samples, and the loss has the same digits: eight copies of one batch
    "B": "a rank skips a collective",  # rank 0 waits in another call than the others
    "C": "one slow rank",  # losses are right; seven ranks wait, rank 5 never does
    "D": "means of means",  # the gap grows with how unequal the ranks' counts are
}
### END SOLUTION
diagnosis = check("10.8", diagnosis)

# %% [markdown]
# ## 9 · What to use when
#
# | you have | use | because |
# |---|---|---|
# | one GPU, and the batch does not fit | `accumulation` (micro-batches) | the same gradient, no communication; activations of one micro-batch at a time |
# | one GPU, and one sample does not fit | `activation_checkpointing`, then a smaller model | chapter 09 |
# | several GPUs, and the model fits on each | DDP | messages can be hidden; less is sent than by FSDP |
# | several GPUs, and weights, gradients and moments do not fit | `parallel = "fsdp"` | section 4; half as much again is sent |
# | more GPUs than the critical batch size can feed | fewer GPUs, or several runs side by side | section 6: what a larger batch adds is wasted |
# | a layer or its activations do not fit on one GPU | tensor parallelism, inside a machine | section 7; one sum per layer and pass |
# | many layers, and slow links | pipeline parallelism | section 7; it sends the least, and has a bubble |
#
# On the command line a launcher goes in front. On one machine with eight GPUs:
#
# ```
# torchrun --standalone --nproc-per-node 8 --max-restarts 3 -m pretrain_lib pretrain recipes/modernbert-mini-laptop.toml --folder runs/mine --resume
# ```
#
# `batch_size` in a recipe is the global one, so the same recipe is the same run on one GPU and on eight. `--train.parallel fsdp` shares out the
# memory. `recipes/cluster/` says what several machines need, and has a job file for SLURM.
#
# ## Summary
#
# * Data parallelism is no approximation: a gradient is a sum, and a sum may be cut anywhere. But divide by the count of **all** ranks, once.
# * A ring all-reduce sends $2\frac{N-1}{N}$ of the data for any $N$; its latencies grow with $N$. All ranks end with equal bits; other numbers of
#   ranks give others.
# * DDP copies everything; ZeRO shares out the optimiser's state, then gradients, then weights. Activations stay.
# * With a fixed batch, arithmetic falls as $1/N$ and messages do not fall. A formula says where that ends; fitted on two ranks, it foretold half for four.
# * What looks like a slow message is often a rank that waits for another. A barrier before the sum tells the two apart.
# * The gradient's noise scale says how large a batch is worth having. Take medians: it is a ratio, and scatters fiftyfold.
# * Tensor parallelism cuts a layer and pays one sum each way; a pipeline cuts the depth and pays a bubble.
# * A rank that waits is not the one at fault. A run that dies goes on to the same bits, if nothing in it depends on what happened before.
#
# **What we measured**: equality of one, two and four processes, by hand and by the trainer, also with layers and depth split; bytes on each rank; a
# run that was killed and resumed; and, in `results/`, `10-cost-model` (15 repetitions), `10-critical-batch-size` (five seeds)
# and `10-memory-per-rank`: `python course.py reproduce 10-cost-model` measures the first again.
#
# ## Going further
#
# * `python -m pretrain_lib bench ranks --ranks 4` times a larger model on your machine beside the cost model of section 5, and `bench paper` prints
#   flat rings and trees, with memory.
# * Split an attention layer by heads, with your two autograd functions.
# * Next, chapter 11: what does a trained model know?
#
# ## References
#
# * P. Patarasuk and X. Yuan (2009), *Bandwidth optimal all-reduce algorithms for clusters of workstations*, Journal of Parallel and Distributed
#   Computing 69(2), 117–124.
# * R. Thakur, R. Rabenseifner and W. Gropp (2005), *Optimization of collective communication operations in MPICH*, International Journal of High
#   Performance Computing Applications 19(1), 49–66.
# * S. Li et al. (2020), *PyTorch distributed: experiences on accelerating data parallel training*, VLDB; arXiv 2006.15704.
# * S. Rajbhandari, J. Rasley, O. Ruwase and Y. He (2020), *ZeRO: memory optimizations toward training trillion parameter models*, SC; arXiv
#   1910.02054, Figure 1.
# * Y. Zhao et al. (2023), *PyTorch FSDP: experiences on scaling fully sharded data parallel*, VLDB; arXiv 2304.11277.
# * S. McCandlish, J. Kaplan, D. Amodei and the OpenAI Dota Team (2018), *An empirical model of large-batch training*; arXiv 1812.06162, Section 2,
#   Appendix A.1.
# * S. Gidaris, P. Singh and N. Komodakis (2018), *Unsupervised representation learning by predicting image rotations*, ICLR; arXiv 1803.07728.
# * J. Devlin, M.-W. Chang, K. Lee and K. Toutanova (2019), *BERT: pre-training of deep bidirectional transformers for language understanding*,
#   NAACL, Appendix A.2.
# * Y. You et al. (2020), *Large batch optimization for deep learning: training BERT in 76 minutes*, ICLR; arXiv 1904.00962.
# * M. Shoeybi et al. (2019), *Megatron-LM: training multi-billion parameter language models using model parallelism*; arXiv 1909.08053, section 3.
# * Y. Huang et al. (2019), *GPipe: efficient training of giant neural networks using pipeline parallelism*, NeurIPS; arXiv 1811.06965.
# * NVIDIA, *NCCL release notes*, [release 2.4.2](https://docs.nvidia.com/deeplearning/nccl/archives/nccl_2127/release-notes/rel_2-4-2.html).
# * D. Narayanan et al. (2021), *Efficient large-scale language model training on GPU clusters using Megatron-LM*, SC; arXiv 2104.04473.
# * J. Young (1974), *A first order approximation to the optimum checkpoint interval*, Communications of the ACM 17(9), 530–531.
