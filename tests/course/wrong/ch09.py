"""Wrong answers to the exercises of chapter 09, each with a word that its message must hold."""

from functools import partial

import torch
from torch import nn

from pretrain_lib.course.exercises.ch09 import (
    RIGHT_LOGS,
    count_wrongly,
    decode_wrongly,
    recompute,
    round_wrongly,
    utilisation,
)


def scaled_update(backward, step, state, growth=2.0, backoff=0.5, interval=2000, *, fault):
    scale, in_a_row = state
    if fault == "not unscaled":
        gradients = backward(scale)
    elif fault == "unscaled in fp16":
        gradients = [gradient / scale for gradient in backward(scale)]
    elif fault == "no scale":
        gradients = [gradient.float() for gradient in backward(1.0)]
    else:
        gradients = [gradient.float() / scale for gradient in backward(scale)]
    looked_at = gradients[:1] if fault == "first tensor" else gradients
    finite = all(not gradient.isinf().any() if fault == "nan passes" else gradient.isfinite().all() for gradient in looked_at)
    if not finite:
        if fault == "steps anyway":
            step(gradients)
        return scale * (1 if fault == "no backoff" else backoff), in_a_row if fault == "keeps counting" else 0
    step(gradients)
    if fault == "grows at once":
        return scale * growth, 0
    if in_a_row + 1 == interval and fault != "never grows":
        return scale * growth, in_a_row + 1 if fault == "grows once" else 0
    return scale, in_a_row + 1


def sums_in_16_bits(weights, gradient, learning_rate, steps, dtype):
    w = weights.to(dtype)
    for _ in range(steps):
        w = w - learning_rate * gradient(w)
    return w


def rounded_after_each_step(weights, gradient, learning_rate, steps, dtype):
    master = weights.float()
    for _ in range(steps):
        master = (master - learning_rate * gradient(master.to(dtype)).float()).to(dtype).float()
    return master


def computes_in_32_bits(weights, gradient, learning_rate, steps, dtype):
    w = weights.float()
    for _ in range(steps):
        w = w - learning_rate * gradient(w)
    return w


def uphill(weights, gradient, learning_rate, steps, dtype):
    master = weights.float()
    for _ in range(steps):
        master = master + learning_rate * gradient(master.to(dtype)).float()
    return master


def in_place(weights, gradient, learning_rate, steps, dtype):
    for _ in range(steps):
        weights -= learning_rate * gradient(weights.to(dtype)).float()
    return weights


def counted_with(fault):
    def answer(config, batch, length, seconds, peak):
        flops = count_wrongly(fault, config, batch, length)
        return flops, flops / seconds / peak

    return answer


def in_per_cent(config, batch, length, seconds, peak):
    flops, share = utilisation(config, batch, length, seconds, peak)
    return flops, 100 * share


def upside_down(config, batch, length, seconds, peak):
    flops, share = utilisation(config, batch, length, seconds, peak)
    return flops, 1 / share


def fresh_dropout(block, x, gradient, random_state):
    return recompute(block, x, gradient, torch.get_rng_state())


def no_dropout(block, x, gradient, random_state):
    block.eval()
    result = recompute(block, x, gradient, random_state)
    block.train()
    return result


def without_gradient_from_above(block, x, gradient, random_state):
    return recompute(block, x, torch.ones_like(gradient), random_state)


def input_only(block, x, gradient, random_state):
    x.requires_grad_()
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.set_rng_state(random_state)
        return torch.autograd.grad(block(x), x, gradient)[0]


def replaces_gradients(block, x, gradient, random_state):
    block.zero_grad()
    return recompute(block, x, gradient, random_state)


def turns_back_for_everybody(block, x, gradient, random_state):
    torch.set_rng_state(random_state)
    x.requires_grad_()
    with torch.enable_grad():
        block(x).backward(gradient)
    return x.grad


def gradients_off(block, x, gradient, random_state):
    x.requires_grad_()
    block(x).backward(gradient)
    return x.grad


def mixed(model, masters, optimizer, loss_of, state, largest_norm=1.0, interval=2000, *, fault):
    """`mixed_step` with a likely fault."""
    scale, in_a_row = state
    weights = list(model.parameters())
    with torch.no_grad():
        for weight, master in zip(weights, masters):
            if fault != "old weights":
                weight.copy_(master)
    loss = loss_of(model)
    (loss * scale).backward()
    if fault == "clips first":
        nn.utils.clip_grad_norm_(weights, largest_norm)
    for weight, master in zip(weights, masters):
        master.grad = {"unscaled in fp16": lambda g: (g / scale).float(), "not unscaled": lambda g: g.float()}.get(fault, lambda g: g.float() / scale)(weight.grad)
        weight.grad = weight.grad if fault == "keeps gradients" else None
    if fault != "steps anyway" and not all(master.grad.isfinite().all() for master in masters):
        return loss.item(), (scale / (1 if fault == "no backoff" else 2), 0)
    if fault not in ("no clipping", "clips first"):
        nn.utils.clip_grad_norm_(masters, largest_norm)
    if fault != "no step":
        optimizer.step()
    if fault == "rounds masters":
        for master in masters:
            master.data.copy_(master.half())
    return loss.item(), (scale, in_a_row + 1) if fault == "never grows" or in_a_row + 1 < interval else (2 * scale, 0)


WRONG = {
    "09.1": [
        (partial(decode_wrongly, "sign"), "negative"),
        (partial(decode_wrongly, "bias"), "127"),
        (partial(decode_wrongly, "hidden one"), "not stored"),
        (partial(decode_wrongly, "subnormal"), "no hidden one there"),
        (partial(decode_wrongly, "subnormal exponent"), "gap"),
        (partial(decode_wrongly, "infinity"), "all ones"),
        (partial(decode_wrongly, "nan"), "any other mantissa"),
        (lambda bits, exponent_bits, mantissa_bits: 0.0, "yours is 0"),
    ],
    "09.2": [
        (partial(round_wrongly, "truncate"), "cut off"),
        (partial(round_wrongly, "half up"), "even"),
        (partial(round_wrongly, "spacing"), "twice as far"),
        (partial(round_wrongly, "no subnormals"), "no smaller"),
        (partial(round_wrongly, "flush"), "subnormal"),
        (partial(round_wrongly, "no limit"), "largest number"),
        (partial(round_wrongly, "saturate"), "hide an overflow"),
        (partial(round_wrongly, "early"), "round first"),
    ],
    "09.3": [
        (partial(scaled_update, fault="not unscaled"), "divide by the scale first"),
        (partial(scaled_update, fault="unscaled in fp16"), ".float() first"),
        (partial(scaled_update, fault="no scale"), "called once, with the scale"),
        (partial(scaled_update, fault="first tensor"), "second tensor"),
        (partial(scaled_update, fault="nan passes"), "nan"),
        (partial(scaled_update, fault="steps anyway"), "spoilt"),
        (partial(scaled_update, fault="no backoff"), "backoff"),
        (partial(scaled_update, fault="keeps counting"), "in a row"),
        (partial(scaled_update, fault="grows at once"), "stays as it is"),
        (partial(scaled_update, fault="never grows"), "growth"),
        (partial(scaled_update, fault="grows once"), "starts again"),
    ],
    "09.4": [
        (sums_in_16_bits, "rounded"),
        (rounded_after_each_step, "keep a copy in float32"),
        (computes_in_32_bits, "where the speed comes from"),
        (uphill, "uphill"),
        (in_place, "changes the weights"),
    ],
    "09.5": [
        (RIGHT_LOGS | {"A": "gradients vanish"}, "half a spacing"),
        (RIGHT_LOGS | {"B": "forward overflows"}, "looks for its place"),
        (RIGHT_LOGS | {"C": "forward overflows"}, "went through"),
        (RIGHT_LOGS | {"D": "updates vanish"}, "exactly 0"),
        (RIGHT_LOGS | {"E": "overflow not skipped"}, "loss itself"),
        ({"A": "healthy"}, "dictionary"),
    ],
    "09.6": [
        (counted_with("gate"), "gated"),
        (counted_with("embedding"), "twice"),
        (counted_with("output"), "output layer"),
        (counted_with("head"), "head"),
        (counted_with("forward"), "going back"),
        (counted_with("backward"), "alone"),
        (counted_with("no attention"), "scores"),
        (counted_with("recomputed"), "once more"),
        (in_per_cent, "share"),
        (upside_down, "FLOPs / seconds / peak"),
    ],
    "09.7": [
        (fresh_dropout, "other dropout masks"),
        (no_dropout, "switched off in your recomputation"),
        (without_gradient_from_above, "comes from above"),
        (input_only, "never be trained"),
        (replaces_gradients, "don't replace"),
        (turns_back_for_everybody, "for everybody"),
        (gradients_off, "enable_grad"),
    ],
    "09.8": [
        (partial(mixed, fault="old weights"), "not the masters'"),
        (partial(mixed, fault="not unscaled"), "too far"),
        (partial(mixed, fault="unscaled in fp16"), "in float32"),
        (partial(mixed, fault="clips first"), "then clip"),
        (partial(mixed, fault="no clipping"), "largest_norm"),
        (partial(mixed, fault="keeps gradients"), "still there"),
        (partial(mixed, fault="steps anyway"), "all the same"),
        (partial(mixed, fault="no backoff"), "2^29"),
        (partial(mixed, fault="rounds masters"), "stay in float32"),
        (partial(mixed, fault="no step"), "have not moved"),
        (partial(mixed, fault="never grows"), "doubled"),
    ],
}
