"""Exercises of chapter 12: transfer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ...evaluation.best_of import expected_maximum
from . import Exercise, Mistake, grade_diagnoses, grade_letters


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def require_tensor(answer, shape) -> None:
    if not isinstance(answer, Tensor) or tuple(answer.shape) != tuple(shape):
        found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise Mistake(f"a tensor of shape {tuple(shape)} is wanted, got {found}")


# 12.1


def lora_forward(x: Tensor, W: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    """W x + (α/r) B A x of each row of x, (n, in) to (n, out)."""
    return x @ W.T + alpha / len(A) * (x @ A.T) @ B.T


def grade_lora_forward(answer) -> str:
    for n, inputs, outputs, rank, alpha in [(4, 6, 5, 2, 3.0), (3, 4, 8, 1, 2.0), (2, 5, 5, 4, 16.0)]:
        x, W = numbers(n, inputs, seed=1), numbers(outputs, inputs, seed=2)
        A, B = numbers(rank, inputs, seed=3), numbers(outputs, rank, seed=4)
        with FlopCounterMode(display=False) as counter:
            found = answer(x, W, A, B, alpha)
        require_tensor(found, (n, outputs))
        plain, added = x @ W.T, x @ A.T @ B.T
        if torch.allclose(found, lora_forward(x, W, A, B, alpha)):
            needed = n * (inputs * outputs + rank * (inputs + outputs))
            if counter.get_total_flops() > 2 * needed:
                raise Mistake(f"right, for {counter.get_total_flops() // 2} multiplications where {needed} do: B A would be as large as W. First A, then B")
            continue
        likely = {
            "α is not divided by r: twice the rank would mean twice the change at the start": plain + alpha * added,
            "the scale α/r is missing": plain + added,
            "that is the adapter alone: the pretrained W x belongs to it": alpha / rank * added,
            "W x is scaled, too: α/r belongs to the adapter alone": alpha / rank * (plain + added),
            "the scale is upside down: it is α/r": plain + rank / alpha * added,
        }
        for hint, value in likely.items():
            if torch.allclose(found, value):
                raise Mistake(hint)
        raise Mistake(f"with x {tuple(x.shape)}, W {tuple(W.shape)}, A {tuple(A.shape)}, B {tuple(B.shape)}: first A, which makes r numbers of a row, then B")
    return "three shapes. First A, then B: r · (in + out) multiplications per input; B A would be one more matrix of the size of W, made anew in each step"


# 12.2


def lora_parameters(shapes: list[tuple[int, int]], rank: int) -> int:
    """Numbers in the adapters of matrices of these shapes, (out, in) each."""
    return sum(rank * (outputs + inputs) for outputs, inputs in shapes)


def grade_lora_parameters(answer) -> str:
    for shapes, rank in [([(768, 768)], 8), ([(512, 256), (256, 512), (256, 256)], 4), ([(2304, 768)] * 12, 1)]:
        found, right = answer(shapes, rank), lora_parameters(shapes, rank)
        likely = {
            "that counts A or B alone: both are trained": {sum(rank * o for o, _ in shapes), sum(rank * i for _, i in shapes)},
            "that is the size of the matrices themselves: BA has as many entries, but only A and B are kept":
                {sum(o * i for o, i in shapes), sum(rank * o * i for o, i in shapes)},
            "that takes every matrix for square: A has r · in numbers and B out · r": {sum(2 * rank * o for o, _ in shapes),
                                                                                      sum(2 * rank * i for _, i in shapes)},
            "that is one matrix's: add up over all of them": {rank * sum(shapes[0])},
        }  # fmt: skip
        if found == right:
            continue
        for hint, values in likely.items():
            if found in values:
                raise Mistake(hint)
        raise Mistake(f"for {len(shapes)} matrices, the first of shape {shapes[0]}, at rank {rank} there are {right} numbers, you say {found}")
    return "a square matrix, three of different shapes, and twelve fused ones"


# 12.3


def merge(W: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    """The weight (out, in) of a plain layer that answers as W and its adapter do; W stays as it is."""
    return W + alpha / len(A) * B @ A


def grade_merge(answer) -> str:
    for inputs, outputs, rank, alpha in [(6, 5, 2, 3.0), (5, 5, 1, 4.0)]:
        W, A, B = numbers(outputs, inputs, seed=5), numbers(rank, inputs, seed=6), numbers(outputs, rank, seed=7)
        before = W.clone()
        found = answer(W, A, B, alpha)
        require_tensor(found, W.shape)
        if not torch.equal(W, before):
            raise Mistake("W itself was changed: the next task wants it as it was pretrained. Make a new tensor")
        right = merge(W, A, B, alpha)
        if torch.allclose(found, right):
            continue
        likely = {"the scale α/r is missing": W + B @ A, "α is not divided by r": W + alpha * B @ A,
                  "that is the change alone: add it to W": right - W, "that takes the adapter away: it is to be added": 2 * W - right}
        for hint, value in likely.items():
            if torch.allclose(found, value):
                raise Mistake(hint)
        x = numbers(3, inputs, seed=8)
        off = (x @ found.T - lora_forward(x, W, A, B, alpha)).abs().max().item()
        raise Mistake(f"the merged layer answers otherwise than W and adapter together, by up to {off:.2g}")
    return "the same answers to 1e-8, and W as it was"


# 12.4


def layer_rates(rate: float, decay: float, layers: int) -> list[float]:
    """The learning rate of the embeddings, of layers 1 to L, and of the head."""
    return [rate * decay ** (layers + 1 - depth) for depth in range(layers + 2)]


def grade_layer_rates(answer) -> str:
    for rate, decay, layers in [(1e-3, 0.5, 2), (2e-3, 1 / 2.6, 4), (1.0, 1.0, 3)]:
        right, found = layer_rates(rate, decay, layers), answer(rate, decay, layers)
        try:
            found = [float(value) for value in found]
        except TypeError:
            raise Mistake("return a list of learning rates") from None
        if len(found) != layers + 2:
            raise Mistake(f"{layers} layers, the embeddings below and the head above make {layers + 2} rates, got {len(found)}")
        if np.allclose(found, right, rtol=1e-9):
            continue
        likely = {"that is upside down: what is new, the head, learns at the full rate, and the embeddings at the lowest": right[::-1],
                  "the head is to learn at the full rate, not at the first step below it": [value * decay for value in right],
                  "the rate falls by a factor from layer to layer, not by equal steps":
                      [rate * (1 - (1 - decay) * (layers + 1 - depth)) for depth in range(layers + 2)],
                  "the embeddings stand one step below the first layer": [right[1], *right[1:]]}
        for hint, value in likely.items():
            if np.allclose(found, value, rtol=1e-9):
                raise Mistake(hint)
        raise Mistake(f"for rate {rate}, decay {decay:.3g} and {layers} layers: {[float(f'{value:.3g}') for value in right]}, "
                      f"yours are {[float(f'{value:.3g}') for value in found]}")
    return "two, three and four layers, one of them with no decay at all"


# 12.5


def grade_expected_maximum(answer) -> str:
    for scores, n in [([0.6, 0.8], 2), ([0.71, 0.64, 0.7, 0.66, 0.69], 3), ([0.5, 0.5, 0.9], 1), ([0.3], 7)]:
        found, right = float(answer(list(scores), n)), expected_maximum(scores, n)
        if abs(found - right) < 1e-9:
            continue
        if abs(found - max(scores)) < 1e-9:
            raise Mistake("that is the best of all runs: with n draws one does not always meet it")
        if abs(found - np.mean(scores)) < 1e-9:
            raise Mistake("that is the mean, what one run gives: the best of n is better")
        best_without = np.mean([max(np.random.default_rng(i).choice(scores, min(n, len(scores)), replace=False)) for i in range(4000)])
        if abs(found - best_without) < 0.004 and abs(best_without - right) > 0.008:
            raise Mistake("that draws without putting back: each run is a draw of its own from all scores")
        raise Mistake(f"the best of {n} drawn from {list(scores)} is {right:.4f} on average, you say {found:.4f}. With the scores in order, the k-th of N is "
                      "the largest of n draws with probability (k/N)ⁿ − ((k−1)/N)ⁿ")
    return "four lists, with ties, one run, and a single score"


# 12.6

DIAGNOSES = ("learning rate too high", "A and B both start at zero", "merged twice", "best of many seeds", "over-fitting", "healthy")
RIGHT_LOGS = {"A": "learning rate too high", "B": "A and B both start at zero", "C": "merged twice", "D": "over-fitting"}
CLUES = {
    "A": "it begins at ln 3 = 1.0986, as a head of zeros must, falls for a moment, jumps above it, and comes back to it for good: nothing that was "
         "pretrained is left to read from",
    "B": "the head learns a little. Look at the gradients of A and B: whose product is the other's factor?",
    "C": "in training all was well, and after saving the adapters count for more than they did. What happens to W + ΔW if the program that loads it has the adapter, too?",
    "D": "the two losses part ways after epoch 4: one goes on falling",
}
LOGS = {
    "A": """full fine-tuning, 3 classes, rate 3e-2, no warm-up
step     0   loss 1.0986
step    10   loss 1.0411   gradient norm   2.1
step    20   loss 7.9120   gradient norm 148.0
step    50   loss 1.1204   gradient norm   0.3
step   300   loss 1.0991   gradient norm   0.1""",
    "B": """LoRA, rank 8, 3 classes
step     0   loss 1.0986
step   100   loss 0.9517   |grad A| 0.0   |grad B| 0.0   |grad head| 0.4
step   200   loss 0.9493   |grad A| 0.0   |grad B| 0.0   |grad head| 0.1
step   400   loss 0.9489   |grad A| 0.0   |grad B| 0.0   |grad head| 0.1""",
    "C": """LoRA, rank 8
in training, adapters beside W           test accuracy 0.741
after merging, in the same program       test accuracy 0.741
saved, loaded, adapters put on           test accuracy 0.522
saved, loaded, nothing put on            test accuracy 0.741""",
    "D": """full fine-tuning, 200 labels
epoch    2   training loss 0.81   held-out loss 0.84
epoch    4   training loss 0.52   held-out loss 0.74
epoch    8   training loss 0.11   held-out loss 0.97
epoch   16   training loss 0.01   held-out loss 1.42""",
}

grade_logs = grade_diagnoses(RIGHT_LOGS, DIAGNOSES, CLUES)

# 12.7

CHOICES = {
    "a": "a model pretrained on general text for as many tokens as both phases have together",
    "b": "a model that got its second phase on some other domain",
    "c": "the adapted model with five learning rates tried, the others with one",
    "d": "a model trained on the labels alone, from scratch, tuned like the others",
    "e": "pretraining text from which the documents of the test set are left out",
    "f": "for each arm the best of its five seeds, by test accuracy",
    "g": "several seeds, each with its own second phase and its own labels, all reported",
    "h": "the second phase on the test sentences as well: they are unlabelled, after all",
}
NEEDED = {
    "a": "without (a) the adapted model has simply been trained for longer: perhaps any more tokens would have done",
    "b": "without (b) nobody knows whether it is the domain that helps, or any second phase",
    "d": "without (d) nobody knows whether these labels need pretraining at all",
    "e": "without (e) the adapted model has read the answers' context: what was measured is what it remembers",
    "g": "without (g) one lucky draw may be all there is: seeds of fine-tuning alone leave the second phase a single case",
}
HARMFUL = {
    "c": "(c) tunes one arm harder than the others: a best of five beside a best of one",
    "f": "(f) chooses on the test set, and reports a maximum where the mean was asked",
    "h": "(h) makes the test set part of the training set. That is another question than how well it does on text to come",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL, "equal tokens, another domain, scratch, clean text, and all the seeds")

# 12.8


def greedy(next_scores, start: int, end: int, longest: int) -> list[int]:
    """The tokens written, the most probable each time, without start and end; `longest` at most.

    `next_scores` takes all ids so far, the start first, and gives the scores (V,) of the next one.
    """
    ids = [start]
    while len(ids) <= longest and (token := int(next_scores(ids).argmax())) != end:
        ids.append(token)
    return ids[1:]


def grade_greedy(answer) -> str:
    start, end = 2, 3
    for length, longest in [(4, 9), (0, 5), (6, 6), (30, 5)]:  # the model ends in time, at once, just in time, too late
        asked = []

        def next_scores(ids, length=length, asked=asked):
            ids = [int(id) for id in ids]
            asked.append(ids)
            if ids[:1] != [start]:
                raise Mistake("ask the model with everything written so far, the start token first: it read " + str(ids))
            if len(asked) > 100:
                raise Mistake(f"it writes on and on: stop at the end token, {end}, or after {longest} tokens")
            scores = numbers(20, seed=sum((place + 1) * id for place, id in enumerate(ids)))
            scores[[start, end]] = -9.0
            if len(ids) > length:
                scores[end] = 9.0
            return scores

        found = answer(next_scores, start, end, longest)
        found = found.tolist() if isinstance(found, Tensor) else [int(id) for id in found]
        right = greedy(next_scores, start, end, longest)
        if found == right:
            continue
        if found[:1] == [start]:
            raise Mistake(f"the start token, {start}, is what the model reads first: it is no part of the translation")
        if end in found:
            raise Mistake(f"the end token, {end}, says that the translation is complete: it is no part of it, and nothing comes after it")
        if len(found) > longest:
            raise Mistake(f"at most {longest} tokens are to be written, not {len(found)}: the end token may never come")
        if found == right[: len(found)]:
            raise Mistake(f"it stops after {len(found)} of {len(right)} tokens: start and end do not count towards the longest, {longest}")
        raise Mistake("those are not the tokens with the highest score, each given all before it")
    return "four texts: one that ends, one that is empty, one that just fits, one that must be cut off"


# 12.9


class LoraLinear(nn.Module):
    """A linear layer that stays as it is, and beside it (α/r) B A x, which learns."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        outputs, inputs = linear.weight.shape
        self.linear, self.alpha = linear.requires_grad_(False), alpha
        self.A = nn.Parameter(torch.randn(rank, inputs, dtype=linear.weight.dtype) / inputs**0.5)
        self.B = nn.Parameter(torch.zeros(outputs, rank, dtype=linear.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.alpha / len(self.A) * (x @ self.A.T) @ self.B.T

    def merged(self) -> nn.Linear:
        """A plain layer that answers alike."""
        plain = deepcopy(self.linear)
        plain.weight.data = merge(self.linear.weight, self.A, self.B, self.alpha).detach()
        return plain


def grade_lora_linear(answer) -> str:
    for inputs, outputs, rank, alpha, bias in [(6, 5, 2, 3.0, True), (4, 8, 1, 2.0, False), (5, 5, 4, 16.0, True)]:
        linear, x = nn.Linear(inputs, outputs, bias=bias).double(), numbers(2, 3, inputs, seed=11)
        before, alone = linear.weight.detach().clone(), linear(x).detach()
        layer = answer(linear, rank, alpha)
        for name in ("A", "B"):
            part = getattr(layer, name, None)
            if isinstance(part, Tensor) and part.dtype != torch.float64:
                raise Mistake(f"{name} is {part.dtype} beside a weight of torch.float64: give it dtype=linear.weight.dtype")
        found = layer(x)
        require_tensor(found, alone.shape)
        require_thin_parameters(layer, inputs, outputs, rank)
        if layer.B.any():
            raise Mistake("B must start at zero: the start is the pretrained layer, to the last bit")
        if not layer.A.any():
            raise Mistake("A starts at zero as well as B: then neither ever gets a gradient. Draw A at random")
        if not torch.allclose(found, alone):
            raise Mistake("with B at zero it must answer as the linear layer does, its bias included")
        if not found.requires_grad:
            raise Mistake("no gradient reaches B: is something detached, or under no_grad?")
        with torch.no_grad():
            layer.A.copy_(numbers(rank, inputs, seed=12))
            layer.B.copy_(numbers(outputs, rank, seed=13))
        require_pefts_formula(layer(x), F.linear(x, before, linear.bias), F.linear(F.linear(x, layer.A), layer.B), rank, alpha)
        require_merged(layer, linear, before, x)
    return "identity at the start, A and B alone learn, peft's formula, and merged the same in float64"


def require_thin_parameters(layer: nn.Module, inputs: int, outputs: int, rank: int) -> None:
    trained = {name: tuple(p.shape) for name, p in layer.named_parameters() if p.requires_grad}
    wanted = {"A": (rank, inputs), "B": (outputs, rank)}
    if set(wanted) - set(trained):
        raise Mistake(f"nn.Parameter makes a tensor one that an optimiser finds. A and B must be such, and learn; those that learn here are {sorted(trained)}")
    if set(trained) - set(wanted):
        raise Mistake(f"{sorted(set(trained) - set(wanted))} would learn as well: what was pretrained stays, requires_grad_(False)")
    if trained != wanted:
        raise Mistake(f"for a layer from {inputs} to {outputs} at rank {rank} A and B have the shapes {wanted}, yours {trained}")


def require_pefts_formula(found: Tensor, alone: Tensor, thin: Tensor, rank: int, alpha: float) -> None:
    """peft's layer.py: result + lora_B(lora_A(x)) * scaling, with scaling = alpha / r."""
    if torch.allclose(found, alone + alpha / rank * thin):
        return
    likely = {"the scale α/r is missing": alone + thin, "α is not divided by r": alone + alpha * thin,
              "the adapter adds nothing: where is B A x?": alone, "that is the adapter alone: W x + b belongs to it": alpha / rank * thin}
    for hint, value in likely.items():
        if torch.allclose(found, value):
            raise Mistake(hint)
    raise Mistake("it is not W x + b + (α/r) B A x once B is not zero any more")


def require_merged(layer: nn.Module, linear: nn.Linear, before: Tensor, x: Tensor) -> None:
    beside, plain = layer(x), layer.merged()
    if not isinstance(plain, nn.Linear):
        raise Mistake("merged() returns a plain nn.Linear")
    if not torch.equal(linear.weight, before) or not torch.allclose(layer(x), beside):
        raise Mistake("merged() changed the layer itself: put the sum into a copy (deepcopy)")
    if not torch.allclose(plain(x), beside, rtol=0, atol=1e-10):
        raise Mistake(f"merged, it answers otherwise, by up to {(plain(x) - beside).abs().max().item():.2g}: its weight is W + (α/r) B A, its bias stays")


# 12.10


def train_adapters(model: nn.Module, names: Sequence[str], rank: int, alpha: float, batches, rate: float) -> list[float]:
    """Puts a LoraLinear in place of each named layer, freezes the rest of the encoder, and trains what is left on each batch once."""
    model.encoder.requires_grad_(False)
    for name in names:
        model.set_submodule(name, LoraLinear(model.get_submodule(name), rank, alpha))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    losses = []
    for input_ids, attention_mask, labels in batches:
        loss = F.cross_entropy(model(input_ids, attention_mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class Watched(nn.Module):
    """A small classifier that notes its parameters each time that it is asked."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"words": nn.Embedding(9, 6), "first": nn.Linear(6, 6), "second": nn.Linear(6, 6)})
        self.classifier = nn.Linear(6, 3)
        self.double()
        self.seen: list[dict[str, Tensor]] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.seen.append({name: p.detach().clone() for name, p in self.named_parameters()})
        hidden = self.encoder["words"](input_ids)
        for layer in ("first", "second"):
            hidden = torch.tanh(self.encoder[layer](hidden))
        mask = attention_mask[..., None]
        return self.classifier((hidden * mask).sum(1) / mask.sum(1))


def rehearsed(model: Watched, batches, rate: float, cleared: bool = True, kept: bool = True) -> tuple[list[float], dict[str, Tensor]]:
    """The losses, and the parameters after the last update, from where the model began; gradients cleared or not, the optimiser kept or not."""
    twin = deepcopy(model)
    twin.load_state_dict(model.seen[0])
    for name, p in twin.named_parameters():
        p.requires_grad_(name.endswith((".A", ".B")) or name.startswith("classifier"))
        p.grad = None
    trained, losses, optimizer = [p for p in twin.parameters() if p.requires_grad], [], None
    for input_ids, attention_mask, labels in batches:
        optimizer = optimizer if kept and optimizer else torch.optim.AdamW(trained, lr=rate)
        loss = F.cross_entropy(twin(input_ids, attention_mask), labels)
        if cleared:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, {name: p.detach() for name, p in twin.named_parameters()}


def grade_train_adapters(answer) -> str:
    rate, generator = 0.03, torch.Generator().manual_seed(3)
    batches = [(torch.randint(9, (4, 5), generator=generator), torch.ones(4, 5, dtype=torch.long), torch.randint(3, (4,), generator=generator)) for _ in range(6)]
    model = Watched()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = answer(model, ["encoder.first"], 2, 4.0, batches, rate)
    after = {name: p.detach() for name, p in model.named_parameters()}
    require_adapters(model, before, after)
    if len(model.seen) < len(batches) or len(found) != len(batches):
        raise Mistake(f"each of the {len(batches)} batches makes one update and one loss, got {len(found)} losses")

    def ends_as(**otherwise) -> bool:
        return all(torch.allclose(after[name], p, rtol=1e-6, atol=1e-9) for name, p in rehearsed(model, batches, rate, **otherwise)[1].items())

    if not ends_as():
        if ends_as(cleared=False):
            raise Mistake("gradients add up from batch to batch: clear them, optimizer.zero_grad(), before each backward pass")
        if ends_as(kept=False):
            raise Mistake("the optimiser is made anew for each batch, and forgets its moments: make it once, before the loop")
        raise Mistake("the updates are not those of torch.optim.AdamW at this rate, with its other arguments as they are, on A, B and the head")
    if not np.allclose([float(loss) for loss in found], rehearsed(model, batches, rate)[0]):
        raise Mistake("the losses are not those of the batches, each before its update")
    return "the encoder stays, adapters and head learn, and each update is AdamW's"


def require_adapters(model: Watched, before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    adapters = [name for name in after if name.endswith((".A", ".B"))]
    if sorted(adapters) != ["encoder.first.A", "encoder.first.B"]:
        raise Mistake(f"a LoraLinear is to stand in place of encoder.first, and of no other layer (model.set_submodule); with A or B are {adapters}")
    if not isinstance(model.encoder["second"], nn.Linear):
        raise Mistake("encoder.second was not named, and is no linear layer any more")
    moved = [name for name, start in before.items() if name in after and name.startswith("encoder") and not torch.equal(after[name], start)]
    if moved or not any(torch.equal(p, before["encoder.first.weight"]) for name, p in after.items() if name.startswith("encoder.first.")):
        raise Mistake(f"the encoder's own weights have to stay, and moved: {moved or ['encoder.first.weight']}. Freeze the whole encoder before adapters are put in")
    if torch.equal(after["classifier.weight"], before["classifier.weight"]):
        raise Mistake("the head did not learn: it is new, so freeze model.encoder and not model")
    if not after["encoder.first.B"].any():
        raise Mistake("the adapters did not learn: give the optimiser the parameters there are once they are put in")


# 12.11


def tune(score: Callable[[float, int], float], rates: Sequence[float], steps: int) -> float:
    """The best of the rates in order: the middle three first, and one more while the best is at an edge of those tried."""
    low = (len(rates) - 3) // 2
    high, tried = low + 2, {}
    while True:
        tried |= {i: score(rates[i], steps) for i in range(low, high + 1) if i not in tried}
        best = max(tried, key=tried.get)
        if best == low > 0:
            low -= 1
        elif best == high < len(rates) - 1:
            high += 1
        else:
            return rates[best]


def grade_tune(answer) -> str:
    rates, steps = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1], 400
    for peak, needed in [(3, {2, 3, 4}), (2, {1, 2, 3, 4}), (5, {2, 3, 4, 5, 6}), (0, {0, 1, 2, 3, 4}), (6, {2, 3, 4, 5, 6})]:
        asked: list[int] = []

        def score(rate, length, peak=peak, asked=asked):
            if length != steps:
                raise Mistake(f"a run of {length} updates may have another best rate than one of {steps}: that is how the first measurement went wrong")
            if rate not in rates:
                raise Mistake(f"{rate:g} is none of the rates that may be tried")
            asked.append(rates.index(rate))
            if len(asked) > 30:
                raise Mistake("it searches on and on: stop when the best rate is not at an edge, or there is none beyond")
            return 0.5 - 0.07 * abs(asked[-1] - peak)

        found = answer(score, list(rates), steps)
        if len(asked) > len(set(asked)):
            raise Mistake("a rate is tried twice: each run costs minutes, so keep its score")
        if set(asked[:3]) != {2, 3, 4}:
            raise Mistake(f"begin with the middle three, {[rates[i] for i in (2, 3, 4)]}; yours were {[rates[i] for i in asked[:3]]}")
        if found not in rates:
            raise Mistake(f"return the rate, not its score: got {found}")
        if set(asked) < needed:
            raise Mistake(f"the best of {[rates[i] for i in sorted(asked)]} is at the edge of what was tried: beyond it there may be a better one")
        if set(asked) - needed:
            raise Mistake(f"{len(asked)} runs where {len(needed)} are enough: beyond an edge go on only while the best rate is there")
        if found != rates[peak]:
            raise Mistake(f"{rates[peak]:g} has the best score, you return {found:g}")
    return "a best rate in the middle, beyond either edge, and at either end of the list"


EXERCISES = [
    Exercise("12.1", "an adapter's forward pass", 1, 10, lora_forward, grade_lora_forward),
    Exercise("12.2", "how many numbers are trained", 1, 5, lora_parameters, grade_lora_parameters),
    Exercise("12.3", "merge", 1, 10, merge, grade_merge),
    Exercise("12.4", "a learning rate for each layer", 2, 10, layer_rates, grade_layer_rates),
    Exercise("12.5", "the expected best of n runs", 2, 15, expected_maximum, grade_expected_maximum),
    Exercise("12.6", "read four logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("12.7", "design the experiment", 2, 10, {"a", "b", "d", "e", "g"}, grade_design),
    Exercise("12.8", "greedy decoding", 2, 10, greedy, grade_greedy),
    Exercise("12.9", "LoRA as a module", 2, 25, LoraLinear, grade_lora_linear),
    Exercise("12.10", "put adapters in, and train them", 3, 25, train_adapters, grade_train_adapters),
    Exercise("12.11", "tune the neglected baseline", 2, 20, tune, grade_tune),
]
