"""Exercises of chapter 01: what pretraining is, and how a claim about it is tested."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.source import Columns, Samples
from ...data.splits import labelled_subset
from ...models.convolutional import ConvAutoencoder, ConvAutoencoderConfig
from ...transfer.probe import LinearProbe
from ...transfer.tuning import accuracy
from . import Exercise, Mistake


def as_number(value) -> float:
    """The answer as a float."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Mistake(f"a single number is wanted, not {type(value).__name__}") from None


def close(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)


# ---------------------------------------------------------------- 01.1 labels saved


def labels_needed(per_class: Sequence[float], accuracy: Sequence[float], target: float) -> float:
    """Labels a class at which a rising curve reaches `target`, straight between points over log labels."""
    points = [(math.log(n), a) for n, a in zip(per_class, accuracy, strict=True)]
    if target <= points[0][1]:
        return float(per_class[0])
    for (x0, a0), (x1, a1) in pairwise(points):
        if a0 <= target <= a1:
            return math.exp(x0 + (target - a0) / (a1 - a0) * (x1 - x0))
    return math.inf


def grade_labels_needed(answer) -> str:
    curve = [1, 5, 10, 50], [0.40, 0.60, 0.70, 0.85]
    for target in (0.65, 0.50, 0.80):
        got, right = as_number(answer(*map(list, curve), target)), labels_needed(*curve, target)
        if close(got, right, 1e-4):
            continue
        row = next(i for i, a in enumerate(curve[1]) if a > target)
        (n0, n1), (a0, a1) = curve[0][row - 1 : row + 1], curve[1][row - 1 : row + 1]
        share = (target - a0) / (a1 - a0)
        if close(got, n0 + share * (n1 - n0), 1e-4):
            raise Mistake("you went along a straight line in the labels; the axis is logarithmic, so go in log labels")
        if close(got, math.log(right), 1e-4):
            raise Mistake("that is the logarithm of the number of labels: take it back with exp")
        if close(got, n0) or close(got, n1):
            raise Mistake("that is the nearest point that was measured: interpolate between the two around the target")
        raise Mistake(f"accuracies {curve[1]} at {curve[0]} labels reach {target} at {right:.3f} labels, not {got:.3f}")
    if as_number(answer(*map(list, curve), 0.30)) != curve[0][0]:
        raise Mistake("a target below the first point is reached there already: return the first number of labels")
    if as_number(answer(*map(list, curve), 0.95)) != math.inf:
        raise Mistake("a curve that never reaches the target was not measured far enough: return math.inf, don't guess")
    return "three crossings, one target below the curve and one above it"


# ---------------------------------------------------------------- 01.2 baselines


CONTROLS = set("bde")


def as_letters(value, allowed: str) -> set[str]:
    """The answer as a set of letters."""
    try:
        letters = {str(letter).strip().lower() for letter in value}
    except TypeError:
        raise Mistake('give letters, such as {"a", "b"}') from None
    letters -= {"", ","}
    if not letters <= set(allowed):
        raise Mistake(f"the letters run from a to {allowed[-1]}, got {', '.join(sorted(letters))}")
    return letters


def grade_controls(answer) -> str:
    letters = as_letters(answer, "abcdef")
    missing = {
        "b": "one rival explanation is left: that the task is easy, and a linear classifier on the raw pixels does as well",
        "d": "one rival explanation is left: that the architecture alone, before any training, makes good features",
        "e": "one rival explanation is left: that the other side was tuned less",
    }
    useless = {
        "a": "a larger pretrained network (a) may raise the 0.80, but explains nothing away: nothing is compared with it",
        "c": "longer pretraining (c) may raise the 0.80, but explains nothing away: nothing is compared with it",
        "f": "accuracy on the labelled images themselves (f) shows that they were learned by heart, for either side",
    }
    for letter, hint in useless.items():
        if letter in letters:
            raise Mistake(hint)
    for letter, hint in missing.items():
        if letter not in letters:
            raise Mistake(hint)
    return ("raw input, frozen random features, equal tuning. Three rivals are not on the list: as many updates, images moved "
            "alike, and another draw of the labels")  # fmt: skip


# ---------------------------------------------------------------- 01.3 a suspicious table


def suspicious_table(images: Columns, counts: Sequence[int]) -> dict[int, float]:
    """Accuracy of a probe on raw pixels by labels per class, measured with the fault that exercise 01.3 asks for."""
    labelled = {count: labelled_subset(images, count, seed=0) for count in counts}
    return {count: accuracy(LinearProbe().fit(few, setting=0.003)(few), few.labels) for count, few in labelled.items()}


def grade_leak(answer) -> str:
    letters = as_letters(answer, "abcd")
    if len(letters) != 1:
        raise Mistake("one letter is wanted: which of the four explains the whole table?")
    hints = {
        "a": "a learning rate that is too high gives low accuracies, not perfect ones",
        "c": "unlabelled test images in the pretraining cannot give 1.00 with one label a class: who said which digit is which?",
        "d": "features that are too good would not get worse with more labels",
    }
    (letter,) = letters
    if letter in hints:
        raise Mistake(hints[letter])
    return "ten images are learned by heart more easily than five hundred: that is why it falls"


# ---------------------------------------------------------------- 01.4 independent targets


def lowest_loss(mean: float, std: float) -> float:
    """Lowest expected (t − y)² of any y that is independent of t, for t ~ N(mean, std²)."""
    return std**2


def grade_lowest_loss(answer) -> str:
    for mean, std in [(0.0, 1.0), (2.0, 3.0), (-1.0, 0.5)]:
        got = as_number(answer(mean, std))
        if close(got, std**2):
            continue
        if close(got, 0):
            raise Mistake("a loss of 0 needs a y that follows t, and y knows nothing of t")
        if close(got, std**2 + mean**2):
            raise Mistake("that is the loss of always predicting 0: the constant may be chosen, and the mean is better")
        if close(got, std):
            raise Mistake("that is the standard deviation: a squared error is measured in squares")
        if close(got, std**2 / 2):
            raise Mistake("mse_loss has no ½")
        if close(got, 2 * std**2):
            raise Mistake("that is the loss of predicting with a second draw: its own noise comes on top; use no noise")
        raise Mistake(f"for mean {mean} and standard deviation {std} it gives {got:.4g}, not {std**2:.4g}")
    return "the variance, wherever the mean lies"


# ---------------------------------------------------------------- 01.5 a memoriser with bounded output


def density(c: float) -> float:
    """φ(c), the density of the standard normal distribution."""
    return math.exp(-c * c / 2) / math.sqrt(2 * math.pi)


def beyond(c: float) -> float:
    """1 − Φ(c), the probability that a standard normal number is above c."""
    return 0.5 * math.erfc(c / math.sqrt(2))


def excess(c: float) -> float:
    """E[(t − c)²; t > c] for standard normal t."""
    return (1 + c * c) * beyond(c) - c * density(c)


def memoriser_loss(low: float, high: float) -> float:
    """Lowest E[(t − y)²] for standard normal t and any y in [low, high], even one that knows t."""
    return excess(high) + excess(-low)


def grade_memoriser_loss(answer) -> str:
    for low, high in [(0.0, 1.0), (-1.0, 1.0), (-2.0, 0.5), (-8.0, 8.0)]:
        got, right = as_number(answer(low, high)), memoriser_loss(low, high)
        if close(got, right, 1e-7):
            continue
        where = f"for outputs from {low:g} to {high:g}"
        if close(got, excess(high), 1e-7) or close(got, excess(-low), 1e-7):
            raise Mistake(f"{where} one side is missing: targets lie below the range and above it")
        if close(got, beyond(high) + beyond(-low), 1e-7):
            raise Mistake("that is the probability of a target outside the range: weigh it with the squared distance")
        if close(got, excess(high) + excess(low), 1e-7):
            raise Mistake(f"{where} mind the sign of the lower end: t < low means −t > −low")
        if abs(got - right) < 0.01:
            raise Mistake(f"{where} it is close to {right:.7f}, not equal: a simulation can check it, a formula is wanted")
        raise Mistake(f"{where} it gives {got:.6f}, not {right:.6f}")
    return "equals the integral for four ranges"


# ---------------------------------------------------------------- 01.6 parameters


def count_parameters(sizes: Sequence[int]) -> int:
    """Weights and biases of fully connected layers of these sizes."""
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(sizes))


def grade_count(answer) -> str:
    for sizes in ([128, 64, 32, 64, 128], [784, 30, 784], [3, 2]):
        got, right = as_number(answer(list(sizes))), count_parameters(sizes)
        if got == right:
            continue
        weights = sum(a * b for a, b in pairwise(sizes))
        if got == weights:
            raise Mistake("the biases are missing: nn.Linear has one for each of its outputs")
        if got == weights + sum(sizes[:-1]):
            raise Mistake("a layer has one bias for each of its outputs, not of its inputs")
        if got == weights + sum(sizes):
            raise Mistake("the input has no bias: only the sizes after the first have one each")
        half = sizes[: len(sizes) // 2 + 1]
        if len(sizes) > 2 and got == count_parameters(half):
            raise Mistake("that is the encoder alone: the decoder has weights too")
        raise Mistake(f"for the sizes {sizes} it gives {got:g}, not {right}")
    return "the article's network, a wide one and a tiny one"


# ---------------------------------------------------------------- 01.7 pretraining, a step at a time


def pretrain(network: nn.Module, batches: Iterable[Samples], rate: float) -> nn.Module:
    """A copy of the network, trained with Adam to give back the images of each batch."""
    network = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for batch in batches:
        x = batch["images"]
        loss = 0.5 * (network(x) - x).square().sum((1, 2, 3)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def small_network() -> ConvAutoencoder:
    return ConvAutoencoder(ConvAutoencoderConfig(input_shape=(1, 8, 8), channels=(4,), hidden_size=16, code_size=16), seed=1987)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def adam_by_hand(network: nn.Module, images: list[Tensor], rate: float, kept: float = 0.0) -> Tensor:
    """All weights after Adam's updates on ½ Σ (x − y)², written out; `kept` of each gradient is added to the next."""
    weights = list(weights_of(network).values())
    gradients, first, second = ([torch.zeros_like(w) for w in weights] for _ in range(3))
    for t, x in enumerate(images, start=1):
        held = dict(zip(weights_of(network), (w.requires_grad_() for w in weights), strict=True))
        y = torch.func.functional_call(network, held, (x,))
        found = torch.autograd.grad(0.5 * (y - x).square().sum() / len(x), weights)
        gradients = [kept * before + now for before, now in zip(gradients, found, strict=True)]
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, gradients, strict=True)]
        weights = [(w - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)).detach()
                   for w, m, v in zip(weights, first, second, strict=True)]  # fmt: skip
    return nn.utils.parameters_to_vector(weights)


def require_copied(network: nn.Module, before: dict[str, Tensor]):
    """Raises if the network that was handed over is not as it was."""
    if any(not torch.equal(weight, before[name]) for name, weight in network.named_parameters()):
        raise Mistake("the network that was handed over has changed: train a copy of it, copy.deepcopy(network)")
    if not all(weight.requires_grad for weight in network.parameters()):
        raise Mistake("the network that was handed over has been frozen: leave it as it was, and work on a copy")


def require_module(value):
    if not isinstance(value, nn.Module):
        raise Mistake(f"a module is to be returned, the trained copy, not {type(value).__name__}")


def grade_pretrain(answer) -> str:
    network, rate = small_network(), 0.01
    images = list(torch.rand(4, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    before = weights_of(network)
    got = answer(network, ({"images": x.clone()} for x in images), rate)
    require_copied(network, before)
    require_module(got)
    after = weights_of(got)
    if after.keys() != before.keys():
        raise Mistake("what comes back is another network: train a copy of the one that was handed over")
    stayed = [name for name in before if torch.equal(after[name], before[name])]
    if len(stayed) == len(before):
        raise Mistake("no weight has moved: does the optimiser hold the copy's weights, and does step() follow backward()?")
    if stayed:
        raise Mistake(f"{stayed[0]} has not moved: the optimiser must hold the weights of the whole network")
    start, got = nn.utils.parameters_to_vector(before.values()), nn.utils.parameters_to_vector(after.values())

    def off(right: Tensor) -> float:
        return ((got - right).norm() / (right - start).norm()).item()

    if off(adam_by_hand(network, images, rate)) < 0.02:
        return "after four updates every weight is where Adam, written out by hand, has it; your network is a copy"
    if off(adam_by_hand(network, images, rate, kept=1.0)) < 0.02:
        raise Mistake("the gradients of earlier batches are added to the next: set them to zero before each backward()")
    if off(adam_by_hand(network, images[:1], rate)) < 0.02:
        raise Mistake("only the first batch was used: make one update per batch, and return after the last")
    raise Mistake("the weights move, but not as Adam at this rate moves them on ½ Σ (x − y)², the mean over a batch's images")


# ---------------------------------------------------------------- 01.8 a linear probe


def linear_probe(codes: Tensor, labels: Tensor, new_codes: Tensor) -> Tensor:
    """Predicted classes (M,) of new codes (M, D), by a linear map trained on codes (N, D) with labels (N,)."""
    centre, scale = codes.mean(0), (codes - codes.mean(0)).square().mean().sqrt()
    x = (codes - centre) / scale
    head = nn.Linear(codes.shape[1], 10)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(200):
        loss = F.cross_entropy(head(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head((new_codes - centre) / scale).argmax(1)


def clouds(shift: float = 0.0, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ten overlapping clouds of codes: (200, 16) with labels, and (1,000, 16) with labels."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 16, generator=generator)
    few, many = (torch.arange(n)[torch.randperm(n, generator=generator)] % 10 for n in (200, 1000))
    drawn = [(centres[labels] + torch.randn(len(labels), 16, generator=generator)) * scale + shift for labels in (few, many)]
    return drawn[0], few, drawn[1], many


def crossed() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Exclusive or of two signs, as classes 0 and 1: no linear map is much better than chance."""
    generator = torch.Generator().manual_seed(0)
    signs = [torch.randint(2, (n, 2), generator=generator) for n in (400, 1000)]
    codes = [4.0 * s - 2 + torch.randn(len(s), 2, generator=generator) for s in signs]
    labels = [s.sum(1) % 2 for s in signs]
    return codes[0], labels[0], codes[1], labels[1]


def logistic_regression(codes: Tensor, labels: Tensor, new_codes: Tensor, truth: Tensor) -> float:
    """Accuracy of scikit-learn's, on the same codes, with next to no penalty."""
    columns = [Columns(codes=x, labels=y) for x, y in ((codes, labels), (new_codes, truth))]
    return accuracy(LinearProbe(None, "codes").fit(columns[0], 1000.0)(columns[1]), truth)


def grade_probe(answer) -> str:
    def right(codes: Tensor, labels: Tensor, new_codes: Tensor, truth: Tensor) -> float:
        mine = codes.clone(), labels.clone(), new_codes.clone()
        classes = answer(*mine)
        if not all(torch.equal(a, b) for a, b in zip(mine, (codes, labels, new_codes), strict=True)):
            raise Mistake("your probe changes the tensors that it is given: work on copies, without += and the like")
        if classes.ndim == 2 and len(classes) == len(truth):
            raise Mistake("those are scores: return the class with the highest one, argmax over the classes")
        if classes.shape != truth.shape:
            raise Mistake(f"for {len(truth)} new codes it returns {tuple(classes.shape)}, not one class per code")
        return (classes == truth).float().mean().item()

    plain, far = clouds(), clouds(shift=5.0, scale=0.01)
    got, best = right(*plain), logistic_regression(*plain)
    if got < best - 0.04:
        raise Mistake(f"it is right on {got:.0%} of new codes, logistic regression on {best:.0%}: is the loss still falling when it stops?")
    one = plain[3] == 3
    alone, known = right(*plain[:2], plain[2][one], plain[3][one]), logistic_regression(*plain[:2], plain[2][one], plain[3][one])
    if alone < known - 0.2:
        raise Mistake("codes of one class, handed over alone, are not recognised: centre and scale new codes with the mean and "
                      "spread of the labelled ones")  # fmt: skip
    got = right(*far)
    if got < best - 0.04:
        raise Mistake(f"the same codes times 0.01 plus 5 are right on {got:.0%}, not {best:.0%}: centre and scale codes before training")
    if right(*crossed()) > 0.85:
        raise Mistake("it learns exclusive or, which no linear map can: a probe has one linear layer, and nothing between")
    return f"as good as scikit-learn's logistic regression ({best:.0%}) on codes near and far, and blind to exclusive or"


# ---------------------------------------------------------------- 01.9 fine-tuning


def fine_tune(network: nn.Module, batches: Iterable[Samples], rate: float) -> nn.Module:
    """A copy of the network's encoder with a new linear head, all of it trained with Adam on labelled images."""
    classifier = nn.Sequential(copy.deepcopy(network.encoder), nn.Linear(network.config.code_size, 10))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=rate)
    for batch in batches:
        loss = F.cross_entropy(classifier(batch["images"]), batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return classifier


def patterns(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """(n, 1, 8, 8) noisy copies of ten patterns, and which of them each is."""
    ten = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (n,), generator=generator)
    return ten[labels] + 0.3 * torch.randn(n, 1, 8, 8, generator=generator), labels


def watch_gradients(network: ConvAutoencoder) -> list[bool]:
    """At each forward pass of the network or a copy: whether its first layer still holds a gradient other than 0."""
    held = []

    class Watched(nn.Conv2d):
        def forward(self, x):
            held.append(self.weight.grad is not None and bool(self.weight.grad.any()))
            return super().forward(x)

    network.encoder[0][0].__class__ = Watched
    return held


def grade_fine_tune(answer) -> str:
    network = small_network()
    before, encoder = weights_of(network), weights_of(network.encoder).values()
    batch = lambda seed: dict(zip(("images", "labels"), patterns(32, seed), strict=True))  # noqa: E731

    def found(classifier: nn.Module) -> int:
        """How many of the network's encoder weights are in the classifier, number by number."""
        inside = [w for w in classifier.parameters()]
        return sum(any(w.shape == old.shape and torch.equal(w, old) for w in inside) for old in encoder)

    untrained = answer(network, iter([]), 0.01)
    require_module(untrained)
    if found(untrained) < len(encoder):
        raise Mistake("before the first update the encoder is not the network's: start from a copy of its weights")
    trained = answer(network, (batch(seed) for seed in range(1, 61)), 0.01)
    require_copied(network, before)
    images, labels = patterns(1000, seed=1000)
    scores = trained(images).detach()
    if scores.shape != (1000, 10):
        raise Mistake(f"for 1,000 images it answers with {tuple(scores.shape)}, not with ten scores per image")
    if torch.allclose(scores.sum(1), torch.ones(1000), atol=1e-4):
        raise Mistake("the scores sum to 1: cross_entropy takes them as they are, and has the softmax inside")
    if found(trained) == len(encoder):
        raise Mistake("the encoder has stayed as it was: that is a probe; hand the optimiser all weights, encoder and head")
    held = watch_gradients(network)
    blank = {"images": torch.zeros(32, 1, 8, 8), "labels": torch.arange(32) % 10}  # gives the first layer a gradient of 0
    answer(network, iter([batch(1), blank, batch(2)]), 0.01)
    if len(held) > 2 and held[2]:
        raise Mistake("the gradients of earlier batches are added to the next: set them to zero before each backward()")
    got = (scores.argmax(1) == labels).float().mean().item()
    if got < 0.8:
        raise Mistake(f"ten noisy patterns are told apart with an accuracy of {got:.0%} after 60 updates; 80 % and more are easy")
    return f"starts from a copy, moves encoder and head, forgets old gradients, and tells ten patterns apart ({got:.0%})"


EXERCISES = [
    Exercise(id="01.1", title="reading a few-label curve sideways", difficulty=2, minutes=10,
             reference=labels_needed, grade=grade_labels_needed),
    Exercise(id="01.2", title="what could explain the claim away?", difficulty=2, minutes=5,
             reference=CONTROLS, grade=grade_controls),
    Exercise(id="01.3", title="what is wrong with this table?", difficulty=2, minutes=5,
             reference="b", grade=grade_leak),
    Exercise(id="01.4", title="targets that the input says nothing about", difficulty=1, minutes=5,
             reference=lowest_loss, grade=grade_lowest_loss),
    Exercise(id="01.5", title="a memoriser with a bounded output", difficulty=3, minutes=15,
             reference=memoriser_loss, grade=grade_memoriser_loss),
    Exercise(id="01.6", title="counting parameters", difficulty=1, minutes=5,
             reference=count_parameters, grade=grade_count),
    Exercise(id="01.7", title="pretraining, an update at a time", difficulty=2, minutes=20,
             reference=pretrain, grade=grade_pretrain),
    Exercise(id="01.8", title="a linear probe", difficulty=2, minutes=25,
             reference=linear_probe, grade=grade_probe),
    Exercise(id="01.9", title="fine-tuning", difficulty=2, minutes=20,
             reference=fine_tune, grade=grade_fine_tune),
]
