"""Exercises of chapter 07: masked language modelling."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import Exercise, Mistake, grade_diagnoses, grade_letters

UNUSED = -100
MASK = 4


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# 07.1


def corrupt(ids: Tensor, allowed: Tensor, u: Tensor, random_ids: Tensor, rate: float, mask: int) -> tuple[Tensor, Tensor]:
    """BERT's corruption from one number a token: (corrupted, labels), (B, T) each."""
    u = u.masked_fill(~allowed, 1.0)
    labels = torch.where(u < rate, ids, UNUSED)
    corrupted = torch.where(u < 0.9 * rate, random_ids, ids)
    return torch.where(u < 0.8 * rate, mask, corrupted), labels


def grade_corrupt(answer) -> str:
    rows, length, vocab_size, rate = 400, 500, 1000, 0.3
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, vocab_size, (rows, length), generator=generator)
    ids[:, 0], ids[:, -1] = 2, 3
    allowed = ids >= 5
    random_ids = torch.randint(vocab_size, vocab_size * 2, ids.shape, generator=generator)  # told from all others
    u = numbers(rows, length, seed=2)
    given = ids.clone()
    try:
        corrupted, labels = answer(given, allowed.clone(), u.clone(), random_ids.clone(), rate, MASK)
    except (TypeError, ValueError) as error:
        if "unpack" in str(error):
            raise Mistake("return two tensors: the corrupted tokens, and the labels") from None
        raise
    for tensor in (corrupted, labels):
        if not isinstance(tensor, Tensor) or tensor.shape != ids.shape:
            raise Mistake("both tensors have the shape of the ids, (B, T)")
    if not torch.equal(given, ids):
        raise Mistake("your function changes the ids it was given: the labels need them. Build a new tensor")
    chosen = labels != UNUSED
    if chosen.all():
        raise Mistake(f"every position has a label: where nothing was chosen it is {UNUSED}")
    if (chosen & ~allowed).any() or ((corrupted != ids) & ~allowed).any():
        raise Mistake("a special token was chosen: only where `allowed` is True may anything happen")
    if not torch.equal(labels[chosen], ids[chosen]):
        raise Mistake("a label is the token that stood there *before* the corruption")
    if ((corrupted != ids) & ~chosen).any():
        raise Mistake("a token that has no label was changed: what was not chosen stays as it is")
    share = chosen.sum().item() / allowed.sum().item()
    if abs(share - rate) > 0.01:
        raise Mistake(f"at rate {rate} {share:.0%} of the tokens were chosen")
    seen, truth, replacement = corrupted[chosen], ids[chosen], random_ids[chosen]
    shares = [(seen == what).double().mean().item() for what in (MASK, replacement, truth)]
    told = "/".join(f"{100 * part:.0f}" for part in shares)
    if sum(shares) < 0.99:
        raise Mistake("some chosen tokens became neither [MASK], nor their entry of `random_ids`, nor stayed")
    if abs(shares[0] - 0.81) < 0.004 and abs(shares[2] - 0.09) < 0.004:
        raise Mistake(f"your shares are {told}: random and kept are drawn independently. One in a hundred is drawn for both, and one of the "
                      "two loses. Cut one number into intervals instead")
    if any(abs(part - right) > 0.005 for part, right in zip(shares, (0.8, 0.1, 0.1))):
        hint = ". Is the threshold a share of the chosen tokens, 0.8 · rate, or of all?" if shares[0] > 0.98 else ""
        raise Mistake(f"of the chosen tokens {told} in a hundred become [MASK], become random, stay; wanted is 80/10/10{hint}")
    again, _ = answer(ids.clone(), allowed, u, random_ids, rate, MASK)
    if not torch.equal(again, corrupted):
        raise Mistake("the same numbers u gave another corruption: draw nothing yourself, u decides everything")
    return f"{int(chosen.sum()):,} of {ids.numel():,} tokens chosen, {told}, no special token among them"


# 07.2


def masked_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss, in nats, over the slots in use, 0 if there is none: logits (B, S, V), labels (B, S)."""
    used = labels != UNUSED
    return F.cross_entropy(logits[used], labels[used], reduction="sum") / used.sum().clamp(min=1)


def grade_masked_loss(answer) -> str:
    for seed in range(3):
        logits = 6 * numbers(4, 5, 11, seed=seed)
        labels = (11 * numbers(4, 5, seed=seed + 10)).long()
        for row, used in enumerate((5, 1, 3, 0)):
            labels[row, used:] = UNUSED
        ours = answer(logits.clone(), labels.clone())
        if not isinstance(ours, Tensor) or ours.numel() != 1:
            raise Mistake("return one number: the mean over all blanks, as a tensor")
        used = labels != UNUSED
        each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=UNUSED, reduction="none").view(4, 5)
        per_row = each.sum(1) / used.sum(1)
        as_zero = F.cross_entropy(logits.flatten(0, 1), labels.clamp(min=0).flatten())
        right = each.sum() / used.sum()
        likely = {
            "padding is counted: you divide by all slots, not by those in use": each.mean(),
            f"padding is counted: {UNUSED} in an unused slot is no token, and no slot without a blank has a loss": as_zero,
            "that is the sum: divide by the number of blanks": each.sum(),
            "that is the mean of each row's mean: a blank in a row with few counts for more. Sum everything, divide once":
                per_row.nanmean(),
            "that is the sum divided by the number of rows: divide by the number of blanks": each.sum() / 4,
            "that is in bits: use the natural logarithm": right / math.log(2),
            "the sign is reversed": -right,
        }
        if ours.isnan():
            raise Mistake("NaN: one row of the batch has no blank at all, and its own mean is 0/0. Sum everything, divide once")
        if torch.allclose(ours.double(), right):
            continue
        for hint, value in likely.items():
            if torch.allclose(ours.double(), value):
                raise Mistake(hint)
        raise Mistake(f"the mean over {int(used.sum())} blanks is {right:.4f}, yours is {ours.item():.4f}: −log softmax(logits) at "
                      "the label, summed over the blanks, divided by their number")
    nothing = answer(numbers(2, 3, 11, seed=20), torch.full((2, 3), UNUSED))
    if not float(nothing) == 0:
        raise Mistake(f"a batch without any masked token gives {float(nothing):g}: its sum is 0 and so is its count, and 0/0 is NaN. Its "
                      "loss should be 0: divide by the count, but by 1 at least")
    return "rows with five masked tokens, three, one and none, and a batch without any: one sum, one count"


# 07.3

CHOICES = {
    "a": "give each model the same number of updates of the same batches",
    "b": "give each model the same number of training FLOPs, and say how they were counted",
    "c": "score all models on the same blanks of the same held-out speeches",
    "d": "score each model as it was trained: the causal one on every token, the masked one on blanks",
    "e": "try the same number of learning rates for each model, on speeches that are neither trained on nor scored",
    "f": "take the learning rate that suits the masked transformer for all, so that only the model differs",
    "g": "repeat each run with several seeds, and show them all",
    "h": "draw the unigram and the bigram line, also for readers of the token at the blank",
    "i": "report for each model the best of its seeds, since the others were bad luck",
}
NEEDED = {
    "b": "(b) is needed: something must be equal, and an update of one model may cost ten times that of another",
    "c": "(c) is needed: losses on different blanks, or of different questions, cannot be compared",
    "e": "(e) is needed: a model with a badly chosen learning rate loses, whatever it is",
    "g": "(g) is needed: with one seed you can't tell a difference from luck",
    "h": "(h) is needed: without counting there is no telling whether any of them has learned from context",
}
HARMFUL = {
    "a": "(a) is equal data, not equal compute: an update of a transformer costs more than one of a small network",
    "d": "(d) asks the models different questions: the next token is a harder one than a token with both neighbours",
    "f": "(f) tunes for one arm only: what suits a transformer may be far too large or small for an LSTM",
    "i": "(i) reports luck: the more seeds, the better such a number gets",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL,
                             "equal compute, the same blanks, the same tuning, several seeds, and counting beside them")


# 07.4

UNIGRAM, BIGRAM = 6.50, 4.30
DIAGNOSES = ("plateau", "leak", "scores visible tokens", "sees one side", "healthy")
RIGHT_LOGS = {"A": "leak", "B": "healthy", "C": "plateau", "D": "scores visible tokens"}
CLUES = {
    "A": "A is at a loss that no reader of English reaches, in training and on held-out text alike, and it got there at once: the "
         "answer must stand in the input. Look at what the model is shown at the blanks",
    "B": "B falls, rests a little above the unigram line, falls again, and passes the bigram line, and its two losses agree: nothing "
         "is wrong. The rest at the unigram is the usual start",
    "C": "C has arrived at the unigram line and stays there: it knows how often each token occurs, and does not use the context. It "
         "isn't at ln 8192 = 9.01, so the output learns",
    "D": "in D the loss in training is far below the held-out loss *on blanks*, from the start. It is a mean over something easier: "
         "at a rate of 15 % a model that copies what it sees has 85 % of all tokens right",
}


def printed_logs() -> dict[str, list[tuple[int, float, float]]]:
    """Four invented, but typical, logs: (step, training loss, held-out loss on blanks), in nats."""
    return {
        "A": [(0, 9.01, 9.01), (100, 0.31, 0.30), (500, 0.02, 0.02), (2000, 0.01, 0.01)],
        "B": [(0, 9.01, 9.01), (100, 6.55, 6.58), (500, 5.90, 5.94), (2000, 4.21, 4.27)],
        "C": [(0, 9.01, 9.01), (100, 6.57, 6.60), (500, 6.49, 6.51), (2000, 6.47, 6.50)],
        "D": [(0, 9.01, 9.01), (100, 2.10, 6.71), (500, 1.02, 6.55), (2000, 0.98, 6.52)],
    }


grade_logs = grade_diagnoses(RIGHT_LOGS, DIAGNOSES, CLUES)


# 07.5


def fill_blank(initial: Tensor, transition: Tensor, emission: Tensor, tokens: list, blank: int) -> Tensor:
    """P(token at `blank` | the visible ones), (V,); hidden tokens are None."""
    evidence = [torch.ones_like(initial) if token is None else emission[:, token] for token in tokens]  # (K,) each
    before = initial
    for likelihood in evidence[:blank]:
        before = (before * likelihood) @ transition
    after = torch.ones_like(initial)
    for likelihood in reversed(evidence[blank + 1:]):
        after = transition @ (likelihood * after)
    state = before * after
    return state / state.sum() @ emission


def fill_wrongly(fault: str, initial: Tensor, transition: Tensor, emission: Tensor, tokens: list, blank: int) -> Tensor:
    """`fill_blank` with a likely fault."""
    unseen = torch.zeros_like(initial) if fault == "zeros" else torch.ones_like(initial)
    evidence = [unseen if token is None else emission[:, token] for token in tokens]
    if fault == "transposed":
        transition = transition.T
    before, after = initial, torch.ones_like(initial)
    for token, likelihood in zip(tokens[:blank], evidence[:blank]):
        skip = fault == "skips" and token is None
        if not skip:
            before = transition @ (before * likelihood) if fault == "before transposed" else (before * likelihood) @ transition
    for token, likelihood in reversed(list(zip(tokens[blank + 1:], evidence[blank + 1:]))):
        skip = fault == "skips" and token is None
        if not skip:
            after = (likelihood * after) @ transition if fault == "after transposed" else transition @ (likelihood * after)
    state = {"forward": before, "backward": initial * after}.get(fault, before * after)
    if fault == "not normalised":
        return state @ emission
    state = state / state.sum()
    return state if fault == "states" else state @ emission


FAULTS = {
    "forward": "you only look at what comes before the blank. What comes after it is evidence, too: multiply by the backward message",
    "backward": "you only look at what comes after the blank: start from the forward message, which has read what stands before it",
    "after transposed": "the backward message is A @ (e ⊙ β), you multiply from the left: row i of `transition` is P(next state | state i), "
                        "and going back it is the *next* state that is summed over",
    "before transposed": "the forward message is (α ⊙ e) @ A, you multiply from the right: row i of `transition` is P(next state | state i), "
                         "and going forth it is the *present* state that is summed over",
    "transposed": "row i of `transition` is P(next state | state i): forwards multiply from the left, backwards from the right",
    "skips": "a hidden token says nothing about its state, but time passes all the same: the state still makes a transition there",
    "not normalised": "the answer is P(token *and* the visible ones): divide by its sum",
    "states": "that is the distribution over *states*: multiply by `emission` to get one over tokens",
}


def by_enumeration(initial: Tensor, transition: Tensor, emission: Tensor, tokens: list, blank: int) -> Tensor:
    """The same by adding up every path of states and every filling."""
    total = torch.zeros(emission.shape[1], dtype=torch.double)
    for path in itertools.product(range(len(initial)), repeat=len(tokens)):
        p = initial[path[0]].clone()
        for a, b in itertools.pairwise(path):
            p *= transition[a, b]
        for t, token in enumerate(tokens):
            if token is not None:
                p *= emission[path[t], token]
        total += p * emission[path[blank]]
    return total / total.sum()


def tiny_language(states: int, vocab_size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A random language: initial (K,), transition (K, K), emission (K, V)."""
    initial, transition, emission = (
        (4 * numbers(*shape, seed=seed + i)).exp() for i, shape in enumerate([(states,), (states, states), (states, vocab_size)]))
    return initial / initial.sum(), transition / transition.sum(1, keepdim=True), emission / emission.sum(1, keepdim=True)


def grade_fill_blank(answer) -> str:
    sentences = [([1, None, 2, 0], 1), ([None, 2, 1], 0), ([0, 3, None], 2), ([0, None, None, 3, 1], 2), ([None, None], 1)]
    for number, (tokens, blank) in enumerate(sentences):
        language = tiny_language(3, 4, seed=10 * number)
        ours = answer(*(part.clone() for part in language), list(tokens), blank)
        right = by_enumeration(*language, tokens, blank)
        if not isinstance(ours, Tensor):
            raise Mistake(f"return a tensor (V,), not {type(ours).__name__}")
        if ours.shape == right.shape and torch.allclose(ours.double(), right):
            continue
        for fault, hint in FAULTS.items():
            value = fill_wrongly(fault, *language, tokens, blank)
            if ours.shape == value.shape and torch.allclose(ours.double(), value):
                raise Mistake(hint)
        if ours.shape != right.shape:
            raise Mistake(f"return one probability for each of the {len(right)} tokens, shape (V,), not {tuple(ours.shape)}")
        if torch.isnan(ours).any():
            raise Mistake("NaN: a hidden token is no evidence, which is a likelihood of 1 for every state, not of 0")
        raise Mistake(f"for {tokens} at {blank} the distribution is {[round(p, 3) for p in right.tolist()]}, yours "
                      f"{[round(p, 3) for p in ours.tolist()]}: forward message × backward message, normalised, times `emission`")
    return f"equal to adding up every path of states, in {len(sentences)} sentences"


# 07.6


def masked_lm_step(model, optimizer, ids: Tensor, allowed: Tensor, u: Tensor, random_ids: Tensor, rate: float, mask: int) -> float:
    """One update of a masked language model; returns the loss that it went down from, in nats."""
    corrupted, labels = corrupt(ids, allowed, u, random_ids, rate, mask)
    loss = masked_loss(model(corrupted), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


class Toy(nn.Module):
    """A model of a few numbers, whose answer at each position depends on the whole row."""

    def __init__(self, vocab_size: int = 11, size: int = 5):
        super().__init__()
        self.table = nn.Parameter(numbers(vocab_size, size, seed=1) - 0.5)
        self.output = nn.Parameter(numbers(vocab_size, size, seed=2) - 0.5)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table[ids]  # (B, T, D)
        return 3 * (x + x.mean(1, keepdim=True)) @ self.output.T


def step_losses(model: nn.Module, ids: Tensor, corrupted: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The right loss, under "", and those of likely mistakes, each under the hint that names it."""
    seen, untouched, used = model(corrupted), model(ids), labels != UNUSED
    each = F.cross_entropy(seen.flatten(0, 1), labels.flatten(), ignore_index=UNUSED, reduction="none").view(labels.shape)
    return {
        "": F.cross_entropy(seen[used], labels[used]),
        "the model is shown the uncorrupted ids: the answer stands in the input": F.cross_entropy(untouched[used], labels[used]),
        "the loss is taken over all tokens, also those that are shown: only chosen ones have a label":
            F.cross_entropy(seen.flatten(0, 1), ids.flatten()),
        "the targets are the corrupted tokens: a label is what stood there before": F.cross_entropy(seen[used], corrupted[used]),
        f"positions without a label are counted: {UNUSED} is no token, so divide by the number of masked tokens": each.mean(),
        "the loss is a sum: divide by the number of masked tokens": each.sum(),
        "a mean of each row's mean: use your masked_loss, one sum and one count": (each.sum(1) / used.sum(1)).nanmean(),
    }


def grade_step(answer) -> str:
    model = Toy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for seed in range(3):
        ids, u = (5 + 6 * numbers(4, 8, seed=30 + seed)).long(), numbers(4, 8, seed=40 + seed)
        random_ids, allowed = (11 * numbers(4, 8, seed=50 + seed)).long(), torch.arange(8) > 0
        allowed = allowed.expand(4, 8)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        left = [torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()]
        losses = step_losses(model, ids, *corrupt(ids, allowed, u, random_ids, 0.4, MASK))
        gradients = {hint: torch.autograd.grad(loss, list(model.parameters()), retain_graph=True) for hint, loss in losses.items()}
        ours = answer(model, optimizer, ids.clone(), allowed.clone(), u.clone(), random_ids.clone(), 0.4, MASK)
        if isinstance(ours, Tensor) and ours.requires_grad:
            raise Mistake("return loss.item(): a tensor with a gradient keeps the whole graph of its update in memory")
        for hint, loss in losses.items():
            if hint and abs(float(ours) - loss.item()) < 1e-9:
                raise Mistake(hint)
        if abs(float(ours) - losses[""].item()) > 1e-9:
            raise Mistake(f"the loss before the update is {losses[''].item():.4f}, yours is {float(ours):.4f}: corrupt, call the model on the "
                          "corrupted tokens, and take your masked_loss with the labels")
        moved = [(old - new.detach()) / 0.5 for old, new in zip(before, model.parameters())]

        def is_moved_by(wanted, moved=moved) -> bool:
            return all(torch.allclose(one, other, atol=1e-9) for one, other in zip(moved, wanted))

        right = gradients[""]
        if is_moved_by(right):
            continue
        if not any(one.any() for one in moved):
            raise Mistake("no parameter moved: call backward, then optimizer.step(), and empty the gradients before backward, not between the two")
        if is_moved_by([one + other for one, other in zip(left, right)]):
            raise Mistake("old gradients are added to the new ones: backward adds, so call optimizer.zero_grad() before it")
        for hint, wrong in gradients.items():
            if is_moved_by(wrong):
                raise Mistake("the loss that you return is right, the one you go back from is not: " + hint)
        raise Mistake("the loss is right, the update is not the gradient of this loss times the learning rate: one backward, one step")
    return "three updates in a row: each loss, and each gradient, as autograd has them; old gradients are emptied"


EXERCISES = [
    Exercise("07.1", "choose and corrupt, from one draw", 2, 15, corrupt, grade_corrupt),
    Exercise("07.2", "an honest mean", 1, 10, masked_loss, grade_masked_loss),
    Exercise("07.3", "design the comparison", 2, 10, {"b", "c", "e", "g", "h"}, grade_design),
    Exercise("07.4", "read four logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("07.5", "the best possible answer", 3, 25, fill_blank, grade_fill_blank),
    Exercise("07.6", "train a masked language model", 2, 25, masked_lm_step, grade_step),
]
