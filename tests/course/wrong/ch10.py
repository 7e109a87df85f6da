"""Wrong answers to the exercises of chapter 10, each with a word that its message must hold."""

from functools import partial

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch10 import (
    RIGHT_LOGS,
    FromAll,
    SumOfAll,
    adam,
    half_of_the_step,
    noise_scale,
    pipeline_step,
    ring_all_reduce,
    split_mlp,
    state_bytes,
    sum_gradients,
    zero_step,
)


def mean_of_means(losses, counted, all_reduce, size):
    return losses[counted].sum() / counted.sum().clamp(min=1)


def mean_with_nan(losses, counted, all_reduce, size):
    return losses[counted].sum() / counted.sum()


def not_times_size(losses, counted, all_reduce, size):
    total = counted.sum()
    all_reduce(total)
    return losses[counted].sum() / total


def padding_counts(losses, counted, all_reduce, size):
    total = counted.sum()
    all_reduce(total)
    return size * losses.sum() / total


def empty_rank_skips(losses, counted, all_reduce, size):
    if not counted.any():
        return 0 * losses.sum()
    total = counted.sum()
    all_reduce(total)
    return size * losses[counted].sum() / total


def first_half_only(x, rank, size, isend, recv):
    chunks = x.tensor_split(size)
    for step in range(size - 1):
        mine = chunks[(rank - step - 1) % size]
        incoming = torch.empty_like(mine)
        sending = isend(chunks[(rank - step) % size], (rank + 1) % size)
        recv(incoming, (rank - 1) % size)
        sending.wait()
        mine.add_(incoming)
    return x


def waits_first(x, rank, size, isend, recv):
    incoming = torch.empty_like(x)
    isend(x, (rank + 1) % size).wait()
    recv(incoming, (rank - 1) % size)
    return x + incoming


def everything_round(x, rank, size, isend, recv):
    total, passing = x.clone(), x.clone()
    for _ in range(size - 1):
        incoming = torch.empty_like(x)
        sending = isend(passing, (rank + 1) % size)
        recv(incoming, (rank - 1) % size)
        sending.wait()
        passing = incoming
        total += incoming
    return total


def never_waits(x, rank, size, isend, recv):
    return ring_all_reduce(x, rank, size, lambda t, to: Waited(isend(t, to)), recv)


class Waited:
    def __init__(self, handle):
        self.handle = handle

    def wait(self):
        pass


def forgets_the_rest(x, rank, size, isend, recv):
    whole = len(x) // size * size
    ring_all_reduce(x[:whole], rank, size, isend, recv)
    return x


def skips_missing(parameters, all_reduce):
    return sum_gradients([p for p in parameters if p.grad is not None], all_reduce)


def averages(parameters, all_reduce):
    flat = sum_gradients(parameters, all_reduce)
    for p in parameters:
        p.grad /= 2
    return flat


def one_message_each(parameters, all_reduce):
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        all_reduce(p.grad)
    return torch.cat([p.grad.flatten() for p in parameters])


def not_put_back(parameters, all_reduce):
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    all_reduce(flat)
    return flat


def not_gathered(weights, gradient, moments, rank, size, reduce_scatter, all_gather):
    adam(weights.chunk(size)[rank], reduce_scatter(gradient), moments)
    return weights


def own_gradient(weights, gradient, moments, rank, size, reduce_scatter, all_gather):
    own = weights.chunk(size)[rank].clone()
    adam(own, gradient.chunk(size)[rank], moments)
    return all_gather(own)


def neighbours_part(weights, gradient, moments, rank, size, reduce_scatter, all_gather):
    own = weights.chunk(size)[(rank + 1) % size].clone()
    adam(own, reduce_scatter(gradient), moments)
    return all_gather(own)


def part_only(*arguments):
    return zero_step(*arguments).chunk(arguments[4])[arguments[3]]


def no_master_copy(parameters, ranks, stage):
    return parameters * sum(size / (ranks if stage >= first else 1) for size, first in ((8, 1), (2, 2), (2, 3)))


def one_stage_off(parameters, ranks, stage):
    return state_bytes(parameters, ranks, min(stage + 1, 3))


def all_ranks(parameters, ranks, stage):
    return ranks * state_bytes(parameters, ranks, stage)


def without_latency(compute, size, latency, bandwidth):
    return half_of_the_step(compute, size, 0.0, bandwidth)


def one_round(compute, size, latency, bandwidth):
    return half_of_the_step(2 * compute, size, latency, bandwidth)


def whole_messages(compute, size, latency, bandwidth):
    n = 2
    while 2 * (n - 1) * (latency + size / bandwidth) < compute / n:
        n += 1
    return n


def all_the_arithmetic(compute, size, latency, bandwidth):
    n = 2
    while n < 5000 and 2 * (n - 1) * (latency + size / n / bandwidth) < compute:
        n += 1
    return n


def upside_down(*arguments):
    return 1 / noise_scale(*arguments)


def signal_with_noise(small, big, small_squares, big_squares):
    a, b = small_squares.mean(), big_squares.mean()
    return (a - b) / (1 / small - 1 / big) / b


def ratio_of_pairs(small, big, small_squares, big_squares):
    noise = (small_squares - big_squares) / (1 / small - 1 / big)
    signal = (big * big_squares - small * small_squares) / (big - small)
    return (noise / signal).mean()


def averaged(weights, gradient, moments, rank, size, reduce_scatter, all_gather):
    return zero_step(weights, gradient / size, moments, rank, size, reduce_scatter, all_gather)


def own_part(x, w1, b1, w2, rank, size, split=FromAll.apply, all_reduce=None):
    hidden = F.gelu(F.linear(split(x, all_reduce), w1.chunk(size)[rank], b1.chunk(size)[rank]))
    return F.linear(hidden, w2.chunk(size, dim=1)[rank])


def never_added_up(x, w1, b1, w2, b2, rank, size, all_reduce):
    return own_part(x, w1, b1, w2, rank, size, all_reduce=all_reduce) + b2


def bias_on_all(x, w1, b1, w2, b2, rank, size, all_reduce):
    return SumOfAll.apply(own_part(x, w1, b1, w2, rank, size, all_reduce=all_reduce) + b2, all_reduce)


def input_forgotten(x, w1, b1, w2, b2, rank, size, all_reduce):
    return SumOfAll.apply(own_part(x, w1, b1, w2, rank, size, split=lambda x, _: x), all_reduce) + b2


class SumBothWays(SumOfAll):
    @staticmethod
    def forward(context, part, all_reduce):
        context.all_reduce = all_reduce
        return SumOfAll.forward(context, part, all_reduce)

    @staticmethod
    def backward(context, gradient):
        return FromAll.backward(context, gradient)


def added_up_going_back(x, w1, b1, w2, b2, rank, size, all_reduce):
    return SumBothWays.apply(own_part(x, w1, b1, w2, rank, size, all_reduce=all_reduce), all_reduce) + b2


def split_by_inputs(x, w1, b1, w2, b2, rank, size, all_reduce):
    x = FromAll.apply(x, all_reduce)
    part = F.linear(x.chunk(size, dim=1)[rank], w1.chunk(size, dim=1)[rank])
    hidden = F.gelu(part + b1 / size)
    return SumOfAll.apply(F.linear(hidden, w2), all_reduce) + b2


def everybody_everything(x, w1, b1, w2, b2, rank, size, all_reduce):
    hidden = F.gelu(F.linear(FromAll.apply(x, all_reduce), w1, b1)).chunk(size, dim=1)[rank]
    return SumOfAll.apply(F.linear(hidden, w2.chunk(size, dim=1)[rank]), all_reduce) + b2


def whole_everywhere(x, w1, b1, w2, b2, rank, size, all_reduce):
    return F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2)


def cut_off(x, w1, b1, w2, b2, rank, size, all_reduce):
    return split_mlp(x, w1, b1, w2, b2, rank, size, all_reduce).detach()


def pipelined(stage, inputs, targets, width, rank, isend, recv, *, fault):
    """`pipeline_step` with a likely fault."""
    samples, loss, handles, kept = sum(map(len, targets)), 0.0, [], []
    if rank == 0:
        for x in inputs:
            kept.append(stage(x))
            handles.append(isend(kept[-1].detach(), 1))
            if fault == "waits":
                handles[-1].wait()
        for out in reversed(kept) if fault == "last first" else kept:
            gradient = torch.empty_like(out)
            recv(gradient, 1)
            (kept[-1] if fault == "last output" else out).backward(gradient)
    for x, y in zip(inputs, targets) if rank else []:
        arrived = x.new_empty(len(y), width)
        recv(arrived, 0)
        arrived.requires_grad_(fault != "no gradient asked")
        if fault == "forgets":
            stage.zero_grad()
        part = F.cross_entropy(stage(arrived), y, reduction="sum")
        part = part / {"means": len(y) * len(targets), "sum": 1}.get(fault, samples)
        part.backward()
        handles.append(isend(arrived.grad, 0))
        if fault == "waits":
            handles[-1].wait()
        loss += 0 if fault == "no loss" else part.item()
    if fault != "never waits":
        for handle in handles:
            handle.wait()
    return loss


def in_one_piece(stage, inputs, targets, width, rank, isend, recv):
    return pipeline_step(stage, [torch.cat(inputs)], [torch.cat(targets)], width, rank, isend, recv)


WRONG = {
    "10.1": [(mean_of_means, "mean of means"), (mean_with_nan, "divides by 0"), (not_times_size, "1/2 of"), (padding_counts, "do not count"),
             (empty_rank_skips, "wait for each other")],
    "10.2": [(first_half_only, "first half"), (waits_first, "wait for each other"), (everything_round, "single chunks"), (never_waits, "wait()"),
             (forgets_the_rest, "not added up")],
    "10.3": [(skips_missing, "different sizes"), (averages, "average"), (one_message_each, "messages"), (not_put_back, "go back")],
    "10.4": [(no_master_copy, "copy of the weights"), (one_stage_off, "one stage off"), (all_ranks, "together")],
    "10.5": [(not_gathered, "gather"), (own_gradient, "own gradient"), (neighbours_part, "nobody else's"), (part_only, "return all"),
             (averaged, "average")],
    "10.6": [(without_latency, "latency"), (one_round, "twice"), (whole_messages, "1/N of the data"), (all_the_arithmetic, "1/N of it")],
    "10.7": [(upside_down, "upside down"), (signal_with_noise, "large batch"), (ratio_of_pairs, "mean of ratios")],
    "10.8": [(RIGHT_LOGS | {"A": "healthy"}, "eight copies"), (RIGHT_LOGS | {"D": "NaN on one rank"}, "last column")],
    "10.9": [(never_added_up, "add the parts of all ranks up"), (bias_on_all, "every rank adds it"), (input_forgotten, "this rank's share alone"),
             (added_up_going_back, "times too large"), (split_by_inputs, "finished sums"), (everybody_everything, "nothing is saved"),
             (whole_everywhere, "nothing is saved"), (cut_off, "no gradient can flow")],
    "10.10": [(partial(pipelined, fault="means"), "mean of means"), (partial(pipelined, fault="sum"), "summed loss"),
              (partial(pipelined, fault="last first"), "in the order"), (partial(pipelined, fault="last output"), "keep them all"),
              (partial(pipelined, fault="no gradient asked"), "requires_grad_()"), (partial(pipelined, fault="forgets"), "last micro-batch"),
              (partial(pipelined, fault="never waits"), "all handles"), (partial(pipelined, fault="no loss"), "mean loss"),
              (in_one_piece, "as soon as it is computed")],
}
