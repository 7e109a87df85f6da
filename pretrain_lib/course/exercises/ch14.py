"""Exercises of chapter 14: images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.keys import Keys
from ...evaluation.average_precision import average_precision
from ...evaluation.collapse import effective_rank
from ...evaluation.iou import box_iou
from ...evaluation.iou import mean_iou as measured_iou
from . import Exercise, Mistake, grade_diagnoses, grade_letters


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def near(a: Tensor, b: Tensor) -> bool:
    """Alike to single precision, in which an answer may be computed."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-6)


def require_tensor(answer, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(answer, Tensor) or tuple(answer.shape) != shape:
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise Mistake(f"{what} should be a tensor {shape}, got {got}")


def as_number(answer, what: str) -> Tensor:
    """One number, as a float or a tensor of one."""
    if isinstance(answer, Tensor) and answer.numel() != 1:
        raise Mistake(f"{what} is one number, got a tensor {tuple(answer.shape)}")
    try:
        return torch.tensor(float(answer), dtype=torch.float64)
    except (TypeError, ValueError):
        raise Mistake(f"{what} is one number, got {type(answer).__name__}") from None


def name_mistake(found: Tensor, likely: dict[str, Tensor], otherwise: str) -> None:
    """Raises the first hint whose wrong value was found."""
    for hint, value in likely.items():
        if near(found, value):
            raise Mistake(hint)
    raise Mistake(otherwise)


# 14.1


@dataclass(frozen=True)
class Scaled:
    """A change of images whose factor, number and order can be told from what comes out."""

    times: float

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        return self.times * images + keys.uniform(stream)[:, None, None, None]


def two_views(images: Tensor, keys: Keys, transforms: list) -> tuple[Tensor, Tensor]:
    """Two views of each image, each by all transforms in turn: (B, C, H, W) to twice (B, C, H, W)."""
    views = []
    for view in ("first", "second"):
        changed = images
        for number, transform in enumerate(transforms):
            changed = transform(changed, keys, f"{view}.{number}")
        views.append(changed)
    return tuple(views)


def drawn(view: Tensor, images: Tensor) -> Tensor:
    """What was added to each image between 3 · 2 · image and the view: 3 · first number + second number, (B,)."""
    return (view - 6 * images).mean((1, 2, 3))


def grade_two_views(answer) -> str:
    keys, images = Keys.of(5, [3, 8, 1, 4, 7]), numbers(5, 3, 4, 4, seed=0)
    transforms = [Scaled(2.0), Scaled(3.0)]
    views = pair_of(answer(images.clone(), keys, transforms), images)
    for view in views:
        added = view - 6 * images
        if near(added, drawn(view, images)[:, None, None, None].expand_as(images)):
            continue
        left = {"only one of the transforms was applied: each view goes through all of them in turn": (2, 3),
                "those are the images as they were": (1,), "the second view was made from the first, not from the image": (36,)}
        for hint, factors in left.items():
            for factor in factors:
                rest = view - factor * images
                if near(rest, rest.mean((1, 2, 3), keepdim=True).expand_as(images)):
                    raise Mistake(hint)
        raise Mistake("a view is transform(images, keys, stream) of each transform in turn, each applied to what the one before it made")
    first, second = (drawn(view, images) for view in views)
    if near(first, second):
        raise Mistake("both views are the same: they draw from the same streams, so the loss can fall to its floor at once. Give each view streams of its own")
    if near(first, first.mean().expand(5)):
        raise Mistake("one draw for the whole batch: every image was changed alike, and the keys say who is who")
    require_keyed(answer, images, keys, transforms, (first, second))
    require_streams_apart(answer)
    return "both views go through all transforms, differ, and depend on a sample's key alone"


def pair_of(found, images: Tensor) -> tuple[Tensor, Tensor]:
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Mistake("return two things: the first view and the second")
    for view, which in zip(found, ("first", "second"), strict=True):
        require_tensor(view, tuple(images.shape), f"the {which} view")
    return tuple(found)


def require_keyed(answer, images: Tensor, keys: Keys, transforms: list, drawn_before: tuple[Tensor, Tensor]) -> None:
    """Raises unless a sample's views are a function of its key: in any batch, and new in each epoch."""
    again = Keys.of(5, [3, 8, 1, 4, 7])
    if not all(near(drawn(view, images), before) for view, before in zip(answer(images.clone(), again, transforms), drawn_before, strict=True)):
        raise Mistake("the same keys give other views the second time: all that is random has to come from keys")
    some = [4, 1]
    part = Keys.of(5, [7, 8])
    if not all(near(drawn(view, images[some]), before[some])
               for view, before in zip(answer(images[some].clone(), part, transforms), drawn_before, strict=True)):
        raise Mistake("in another batch a sample gets other views: hand over the batch's own keys, not new ones that count from 0")
    later = Keys.of(5, [3, 8, 1, 4, 7], epoch=1)
    if any(near(drawn(view, images), before) for view, before in zip(answer(images.clone(), later, transforms), drawn_before, strict=True)):
        raise Mistake("in the next epoch the views are the same again: hand over the keys as they are, with their epoch")


def require_streams_apart(answer) -> None:
    """Raises where two calls share a stream: of many samples, sum and difference of two independent draws do not correlate."""
    many, blank = Keys.of(6, 2000), torch.zeros(2000, 1, 1, 1)
    if answer(blank.clone(), many, [Scaled(0.0), Scaled(2.0)])[0].max() <= 1:
        raise Mistake("the transforms are applied in reverse: the first of the list comes first")
    first, second = (view.flatten() for view in answer(blank.clone(), many, [Scaled(1.0), Scaled(1.0)]))
    # the variance of a sum of two uniform numbers is 1/6, of twice the same one 1/3
    for view in (first, second):
        if view.double().var() > 0.25:
            raise Mistake("two transforms of a view share a stream, so they draw the same numbers: what one makes brighter the other does, too. "
                          "Put the transform's number into the stream's name")
    if abs(torch.corrcoef(torch.stack([first, second]).double())[0, 1]) > 0.2:
        raise Mistake("the two views share some of their streams: they have to be changed independently of each other")


# 14.2


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent, the mean over all 2N views: (N, D), (N, D) to a scalar in nats."""
    return questions(first, second, temperature).mean()


def questions(first: Tensor, second: Tensor, temperature: float, normalised: bool = True, itself: bool = False, shift: int | None = None) -> Tensor:
    """The loss of each of the 2N views, (2N,), with mistakes if wanted; its right answer is `shift` rows on."""
    z = torch.cat([first, second])
    z = F.normalize(z, dim=1) if normalised else z
    logits = z @ z.T / temperature
    if not itself:
        logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    labels = (torch.arange(len(z)) + (len(first) if shift is None else shift)) % len(z)
    return F.cross_entropy(logits, labels, reduction="none")


def neighbours_as_pairs(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The loss if rows 2k and 2k + 1 of the stacked views were a pair."""
    z = F.normalize(torch.cat([first, second]), dim=1)
    return questions(z[0::2], z[1::2], temperature).mean()


def grade_nt_xent(answer) -> str:
    first = numbers(5, 8, seed=1) * torch.tensor([[0.5], [3.0], [1.0], [0.2], [2.0]])
    second = first + 0.8 * numbers(5, 8, seed=2)
    tau = 0.4
    right = nt_xent(first, second, tau)
    loss = answer(first.clone(), second.clone(), tau)
    if isinstance(loss, Tensor) and loss.numel() == 10:
        raise Mistake("one number is wanted: the mean over the 2N views")
    found = as_number(loss, "the loss")
    if not near(found, right):
        a, b = F.normalize(first, dim=1), F.normalize(second, dim=1)
        cosines = a @ b.T / tau
        both_ways = [F.cross_entropy(logits, torch.arange(5)) for logits in (cosines, cosines.T)]
        itself = questions(first, second, tau, itself=True).mean()
        asked = questions(first, second, tau)
        without_right_one = (asked.exp() - 1).log().mean()
        name_mistake(found, {
            "a view's similarity to itself is among the logits, and always the largest: put −∞ there (masked_fill)": itself,
            "a view's similarity to itself is set to 0, and exp(0) = 1 still counts: put −∞ there": zero_on_the_diagonal(first, second, tau),
            "the right answer is in the wrong place: the views are stacked, [first; second], so the other view of row i is row i + N, not its neighbour":
                questions(first, second, tau, shift=1).mean(),
            "rows 2k and 2k + 1 are taken for a pair: the views are stacked, so the other view of row i is row i + N": neighbours_as_pairs(first, second, tau),
            "the vectors are not normalised: those similarities are dot products, and long vectors dominate": questions(first, second, tau, normalised=False).mean(),
            "the right answer is a view itself: label i + N, not i": questions(first, second, tau, itself=True, shift=0).mean(),
            "only the first views are asked: the second ones are questions, too": asked[:5].mean(),
            "only the second views are asked: the first ones are questions, too": asked[5:].mean(),
            "the mean is over N, and there are 2N questions": asked.sum() / 5,
            "that is the sum: take the mean over the 2N views": asked.sum(),
            "a view is told from the other views of other pictures only: its rivals are both views of them, 2N − 2 in all": sum(both_ways) / 2,
            "only one direction, and only the other views as rivals: 2N questions, each with 2N − 1 possible answers": both_ways[0],
            "the logits are multiplied by the temperature: divide": questions(first, second, 1 / tau).mean(),
            "the temperature is missing": questions(first, second, 1.0).mean(),
            "the right answer is missing in the sum below the fraction: it is one of the 2N − 1": without_right_one,
            "the sign is turned: −log of the right answer's probability": -right,
        }, f"{right:.4f} is right for five pictures, got {found:.4f}")
    same = torch.ones(6, 4, dtype=torch.float64)
    if not near(as_number(answer(same, same.clone(), 0.1), "the loss"), torch.tensor(math.log(11))):
        raise Mistake("where all vectors are the same the loss is ln(2N − 1): every answer is as likely as the others")
    return "agrees for five pictures, and vectors that are all the same cost ln(2N − 1)"


def zero_on_the_diagonal(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    z = F.normalize(torch.cat([first, second]), dim=1)
    logits = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), 0.0)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(first)))


# 14.3


def rank_of(weights: Tensor, log_base: float = math.e) -> Tensor:
    shares = weights / weights.sum()
    return (torch.special.entr(shares).sum() / math.log(log_base)).exp()


def grade_effective_rank(answer) -> str:
    vectors = numbers(40, 6, seed=3) @ torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5, 0.2, 0.1], dtype=torch.float64)) + 3
    right = torch.tensor(effective_rank(vectors), dtype=torch.float64)
    found = as_number(answer(vectors.clone()), "the effective rank")
    if not near(found, right):
        centred = vectors - vectors.mean(0)
        singular = torch.linalg.svdvals(centred)
        name_mistake(found, {
            "the vectors are not centred: their mean counts as a direction": rank_of(torch.linalg.svdvals(vectors)),
            "each vector was centred by its own mean: subtract the mean over the vectors, vectors.mean(0)":
                rank_of(torch.linalg.svdvals(vectors - vectors.mean(1, keepdim=True))),
            "those are shares of the variances: the singular values are their roots, and it is of them that shares are made": rank_of(singular.square()),
            "that is the entropy: the effective rank is exp of it": rank_of(singular).log(),
            "the entropy is in bits, and exp wants it in nats: natural logarithms": rank_of(singular, 2.0),
            "the entropy is in nats, and 2 to the power of it wants bits: exp": torch.exp2(rank_of(singular).log()),
            "the sign of the entropy is turned: −Σ p log p": 1 / rank_of(singular),
            "that is the rank: how many singular values are not 0. Here they count by their shares": torch.tensor(6.0),
            "that is the participation ratio, (Σ λ)² / Σ λ²: another measure of the same thing, and not this one":
                singular.square().sum().square() / singular.pow(4).sum(),
            "that is (Σ σ)² / Σ σ²: another measure of the same thing, and not this one": singular.sum().square() / singular.square().sum(),
            "the singular values are normalised to length 1: they are shares, so they have to sum to 1":
                torch.special.entr(singular / singular.norm()).sum().exp(),
        }, f"exp(−Σ p log p) of the shares of the singular values of the centred vectors is {right:.4f} here, got {found:.4f}")
    line = torch.arange(8.0)[:, None] * torch.tensor([1.0, 0.0, 0.0, 0.0])
    on_a_line = as_number(answer(line), "the effective rank")
    if on_a_line.isnan():
        raise Mistake("vectors on a line give NaN: 0 · log 0 is 0 here. torch.special.entr knows that; or leave out what is 0")
    if not near(on_a_line, torch.tensor(1.0)):
        raise Mistake(f"vectors on a line vary in one direction: 1 is right, got {on_a_line:.4f}")
    same = as_number(answer(torch.full((8, 4), 0.5)), "the effective rank")
    if same != 0:
        raise Mistake(f"where all vectors are the same there is no direction: 0 is wanted, got {same:.4g}")
    return "agrees with the library, is 1 on a line, and 0 where all vectors are the same"


# 14.4

DIAGNOSES = ("collapsed", "views give it away", "nothing learned yet", "over-fitting", "healthy")
RIGHT_LOGS = {"A": "collapsed", "B": "views give it away", "C": "healthy", "D": "nothing learned yet"}
CLUES = {
    "A": "a perfect loss, and a probe worse than that of a network that was not trained. What has become of the differences between vectors?",
    "B": "of the three that are asked to know a picture again it has the lowest loss by far, and its probe is near chance. What else but the digit do two views share?",
    "C": "the loss has left the chance line behind, the vectors are spread more and more, and the probe is ahead of that of a network that was not trained",
    "D": "compare its loss with the chance line, from the first row to the last",
}
# Written by pretrain_lib.course.site.clinic_images.as_text, of the runs in docs/clinic.json that
# `python -m pretrain_lib.course.site.clinic contrast "views alike"` measures.
LOGS = {
    "A": """loss: agreement of two views, perfect at 0
update     loss   effective rank   spread
    20    0.282             12.7    0.079
   100    0.003              7.6    0.016
   200    0.002              6.9    0.011
   300    0.001              6.5    0.008
   400    0.001              6.0    0.008
probe 0.106, of the untrained network 0.328""",
    "B": """loss: two views of one picture found again, chance 4.844
update     loss   effective rank   spread
    20    1.626             27.8    0.093
   100    1.091             40.5    0.118
   200    0.912             48.7    0.123
   300    0.828             49.8    0.124
   400    0.855             50.3    0.124
probe 0.126, of the untrained network 0.328""",
    "C": """loss: two views of one picture found again, chance 4.844
update     loss   effective rank   spread
    20    4.795             40.6    0.032
   100    4.834             38.8    0.026
   200    4.753             42.3    0.034
   300    4.253             41.9    0.082
   400    3.804             43.7    0.093
probe 0.684, of the untrained network 0.328""",
    "D": """loss: two views of one picture found again, chance 4.844
update     loss   effective rank   spread
    20    4.822             68.5    0.058
   100    5.009             72.6    0.082
   200    4.799             72.4    0.075
   300    4.815             72.0    0.072
   400    4.816             71.9    0.072
probe 0.239, of the untrained network 0.328""",
}
grade_logs = grade_diagnoses(RIGHT_LOGS, DIAGNOSES, CLUES)


# 14.5


def hide_patches(patches: Tensor, keys: Keys, rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """Patches (B, T, D) to the visible ones (B, S, D), which are hidden (B, T), and the way back (B, T)."""
    count = patches.shape[1]
    order = keys.uniform("mask", (count,)).argsort(dim=1)  # (B, T)
    restore = order.argsort(dim=1)
    seen = count - round(rate * count)
    return taken(patches, order[:, :seen]), restore >= seen, restore


def taken(patches: Tensor, places: Tensor) -> Tensor:
    """Those of the patches (B, T, D) at places (B, S): (B, S, D)."""
    return patches.gather(1, places[:, :, None].expand(-1, -1, patches.shape[2]))


def grade_hide_patches(answer) -> str:
    for rate, count in ((0.75, 16), (0.25, 12)):
        patches, keys = numbers(3, count, 5, seed=4), Keys.of(9, [2, 11, 5])
        found = answer(patches.clone(), keys, rate)
        if not isinstance(found, tuple | list) or len(found) != 3:
            raise Mistake("return three things: the visible patches, which are hidden, and the way back")
        visible, hidden, restore = found
        seen = count - round(rate * count)
        judge_visible(visible, patches, keys, rate, seen)
        judge_hidden(hidden, patches, keys, seen)
        judge_restore(restore, keys, count)
    return "at two rates the visible patches are in order, and the way back leads back"


def judge_visible(visible, patches: Tensor, keys: Keys, rate: float, seen: int) -> None:
    count = patches.shape[1]
    if isinstance(visible, Tensor) and visible.shape == patches.shape:
        raise Mistake("all patches were returned: the encoder is to see the visible ones only, which is what makes it cheap")
    if isinstance(visible, Tensor) and visible.shape == (3, count - seen, 5):
        raise Mistake(f"rate is the share that is hidden: of {count} patches at {rate:g} stay {seen}, not {count - seen}")
    require_tensor(visible, (3, seen, 5), "the visible patches")
    order = keys.uniform("mask", (count,)).argsort(dim=1)
    if not near(visible, taken(patches, order[:, :seen])):
        places = order.argsort(dim=1)[:, :seen]
        name_mistake(visible, {
            "the visible patches are in the picture's order: leave them in the order of their numbers, or restore does not fit":
                taken(patches, order[:, :seen].sort(dim=1).values),
            "those are the patches with the largest numbers": taken(patches, order[:, -seen:]),
            "those are the patches with the largest numbers, the largest first": taken(patches, order.flip(1)[:, :seen]),
            "every picture has the mask of the first one: each has numbers of its own": taken(patches, order[:1, :seen].expand(3, -1)),
            "those are the first patches of each picture: no random number was used": patches[:, :seen],
            "argsort once more than needed: it tells of each patch which place it has in the order; the patches at the first places are wanted":
                taken(patches, places),
        }, 'the visible patches are not those with the smallest numbers, the smallest first: keys.uniform("mask", (T,)), and argsort')


def judge_hidden(hidden, patches: Tensor, keys: Keys, seen: int) -> None:
    count = patches.shape[1]
    require_tensor(hidden, (3, count), "hidden")
    if hidden.dtype != torch.bool:
        raise Mistake(f"hidden says yes or no: a tensor of bool, got {hidden.dtype}")
    order = keys.uniform("mask", (count,)).argsort(dim=1)
    right = order.argsort(dim=1) >= seen
    if torch.equal(hidden, right):
        return
    for hint, wrong in {
        "hidden is turned: it is true where a patch is hidden": ~right,
        "hidden is in the shuffled order, the visible ones first: it has to say it of the places in the picture": (torch.arange(count) >= seen).expand(3, -1),
        "argsort once gives the order; hidden asks of each place in the picture where it has gone, which is argsort twice": order >= seen,
    }.items():
        if torch.equal(hidden, wrong):
            raise Mistake(hint)
    raise Mistake("hidden should be true at the places, in the picture, of the patches that are not visible")


def judge_restore(restore, keys: Keys, count: int) -> None:
    require_tensor(restore, (3, count), "restore")
    order = keys.uniform("mask", (count,)).argsort(dim=1)
    if restore.dtype != torch.int64:
        raise Mistake(f"restore holds places, whole numbers (int64), got {restore.dtype}")
    if torch.equal(restore, order):
        raise Mistake("restore is the order itself, which shuffles once more: what undoes it is its own argsort, argsort twice")
    if not torch.equal(restore, order.argsort(dim=1)):
        raise Mistake("restore does not lead back: order.gather(1, restore) should be 0, 1, 2, …")


# 14.6


def hidden_loss(predicted: Tensor, patches: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error on hidden patches, each normalised: (B, T, D), (B, T, D), (B, T) to a scalar."""
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)  # (B, T, 1)
    return (predicted - (patches - mean) / (variance + 1e-6).sqrt()).square()[hidden].mean()


def grade_hidden_loss(answer) -> str:
    predicted, patches = numbers(2, 6, 8, seed=5), 0.3 * numbers(2, 6, 8, seed=6)
    patches[:, 1] *= 0.005  # a faint patch, of which 1e-6 is not a small part
    patches[:, 2:] += 0.5
    hidden = torch.tensor([[0, 1, 1, 0, 1, 1], [1, 1, 0, 1, 1, 0]]).bool()
    right = hidden_loss(predicted, patches, hidden)
    answered = answer(predicted.clone(), patches.clone(), hidden.clone())
    if isinstance(answered, Tensor) and answered.ndim > 0:
        raise Mistake(f"one number is wanted, got a tensor {tuple(answered.shape)}")
    found = as_number(answered, "the loss")
    if not near(found, right):
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        biased = patches.var(2, correction=0, keepdim=True)

        def with_target(target: Tensor) -> Tensor:
            return (predicted - target).square()[hidden].mean()

        centred, (all_variance, all_mean) = patches - mean, torch.var_mean(patches, dim=(1, 2), keepdim=True)
        error = (predicted - centred / (variance + 1e-6).sqrt()).square()
        own_variance, own_mean = torch.var_mean(predicted, dim=2, keepdim=True)
        name_mistake(found, {
            "the mean is over all patches, and the visible ones need no prediction: only the hidden ones count": error.mean(),
            "those are the visible patches: hidden is true where a patch is hidden": error[~hidden].mean(),
            "the sum is over the hidden patches, and it was divided by the number of all": error.mean(2).mul(hidden).mean(),
            "that is the sum: take the mean over patches and their numbers": error[hidden].sum(),
            "the squares of a patch are summed: take their mean": error.sum(2)[hidden].mean(),
            "the targets are not normalised: less the patch's mean, over its standard deviation": with_target(patches),
            "the mean is subtracted, and the deviation is left in: a faint patch would hardly count": with_target(centred),
            "divided by the variance: it is the root of it that has the pixels' unit": with_target(centred / (variance + 1e-6)),
            "the variance is divided by D: torch.var divides by D − 1, and so does the library": with_target(centred / (biased + 1e-6).sqrt()),
            "10⁻⁶ belongs to the variance, under the root": with_target(centred / (variance.sqrt() + 1e-6)),
            "10⁻⁶ is missing under the root: a patch of one colour divides by 0": with_target(centred / variance.sqrt()),
            "mean and deviation are those of the whole picture: each patch has its own": with_target((patches - all_mean) / (all_variance + 1e-6).sqrt()),
            "what is predicted was normalised, too: only the target is": (((predicted - own_mean) / (own_variance + 1e-6).sqrt())
                                                                           - centred / (variance + 1e-6).sqrt()).square()[hidden].mean(),
            "half of the squared error: the mean of the squares is wanted": right / 2,
            "that is the mean distance: square it": error.sqrt()[hidden].mean(),
            "that is the root of the mean squared error: leave the root out": right.sqrt(),
        }, f"the mean of (predicted − target)² over the hidden patches is {right:.4f} here, got {found:.4f}")
    flat = torch.full((1, 2, 4), 0.5, dtype=torch.float64)
    loss = as_number(answer(torch.ones(1, 2, 4, dtype=torch.float64), flat, torch.tensor([[True, False]])), "the loss")
    if not near(loss, torch.tensor(1.0)):
        raise Mistake(f"a patch of one colour has the target 0, so that predicting 1 costs 1, got {loss:.4g}")
    return "agrees on hidden patches, faint ones too, and a patch of one colour does no harm"


# 14.7


def mean_iou(predicted: Tensor, truth: Tensor, num_classes: int) -> float:
    """Mean over the classes that occur, background included, of masks (N, H, W) and (N, H, W)."""
    return measured_iou(predicted, truth, num_classes).mean


def masks(seed: int) -> tuple[Tensor, Tensor]:
    """Predicted and true masks (3, 6, 6) of up to 5 classes: 3 is nowhere, 4 only predicted, some pixels are not scored."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.tensor([0, 0, 0, 1, 2, 5])[torch.randint(6, (3, 6, 6), generator=random)]
    changed = torch.tensor([0, 1, 2, 4, 5, 0])[torch.randint(6, (3, 6, 6), generator=random)]
    predicted = torch.where(torch.rand(3, 6, 6, generator=random) < 0.4, changed, truth)
    truth[0, 0], predicted[0, 0] = -100, torch.tensor([0, 1, 1, 2, 5, 5])
    truth[1][truth[1] == 5], predicted[1][predicted[1] == 5] = 0, 0  # class 5 is not in the second picture
    predicted[2, 5, 5], truth[2, 5, 5] = 4, 0
    predicted[2, 5, :4] = truth[2, 5, :4] = torch.tensor([0, 1, 2, 5])
    return predicted, truth


def overlaps(predicted: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """Pixels of each class: in both masks, predicted, and true, (num_classes + 1, 3)."""
    kinds = range(num_classes + 1)
    return torch.tensor([[((predicted == k) & (truth == k)).sum(), (predicted == k).sum(), (truth == k).sum()] for k in kinds], dtype=torch.float64)


def grade_mean_iou(answer) -> str:
    for seed in (7, 8):
        predicted, truth = masks(seed)
        right = torch.tensor(mean_iou(predicted, truth, 5), dtype=torch.float64)
        found = as_number(answer(predicted.clone(), truth.clone(), 5), "the mean")
        if found.isnan():
            raise Mistake("0 / 0 is NaN: leave out a class that occurs nowhere")
        if not near(found, right):
            name_mistake(found, wrong_ious(predicted, truth, right), f"{right:.4f} is right for three pictures, got {found:.4f}: for each class "
                         "shared / (predicted + true − shared), over the scored pixels of all pictures, then the mean over the classes that occur")
    return "agrees with the library for classes that are absent, only predicted, and pixels that are not scored"


def wrong_ious(predicted: Tensor, truth: Tensor, right: Tensor) -> dict[str, Tensor]:
    """What comes of the likely mistakes."""
    scored = truth != -100
    shared, ours, true = overlaps(predicted[scored], truth[scored], 5).T
    either = ours + true - shared
    each = shared / either  # NaN for class 3
    everywhere = overlaps(predicted, truth, 5).T
    by_picture = []
    for said, is_there in zip(predicted, truth, strict=True):
        both, a, b = overlaps(said[is_there != -100], is_there[is_there != -100], 5).T
        by_picture.append(both / (a + b - both))
    by_picture = torch.stack(by_picture)
    return {
        "that is the share of right pixels: large areas decide it, and background alone would score high": shared.sum() / scored.sum(),
        "the background is left out: here it is a class like the others": each[1:].nanmean(),
        "a class that occurs nowhere counts as 0: leave it out": each.nan_to_num(0).mean(),
        "a class that occurs nowhere counts as 1: leave it out": each.nan_to_num(1).mean(),
        "a class that is predicted and never true is left out: its intersection over union is 0": each[true > 0].mean(),
        "the last class is missing: classes are 0 to num_classes": each[:-1].nanmean(),
        "pixels whose truth is −100 were scored: leave them out of both masks":
            (everywhere[0] / (everywhere[1] + everywhere[2] - everywhere[0])).nanmean(),
        "the mean is over pictures, too: sums over all pictures come before the division": by_picture.nanmean(1).mean(),
        "each class's mean is over pictures: sums over all pictures come before the division": by_picture.nanmean(0).nanmean(),
        "pictures without a class count as 0: sums over all pictures come before the division": by_picture.nan_to_num(0)[:, either > 0].mean(),
        "the classes' pixels are added up before the division: divide for each class, then take the mean, so that small ones count": shared.sum() / either.sum(),
        "that is 2 · shared / (predicted + true), the Dice score: divide by the pixels that at least one mask gives the class": (2 * shared / (ours + true)).nanmean(),
        "divided by the sum of both masks: the pixels that they share were counted twice": (shared / (ours + true)).nanmean(),
        "divided by the true pixels only: that is recall, and whoever says a class everywhere has all of it": (shared / true)[true > 0].mean(),
        "divided by the predicted pixels only: that is precision": (shared / ours).nanmean(),
        "in per cent: between 0 and 1 is wanted": 100 * right,
    }


# 14.8


def right_ones(boxes: Tensor, scores: Tensor, truth: Tensor, once: bool = True, any_box: bool = True, least: float = 0.5, in_order: bool = True) -> Tensor:
    """Which of the boxes found in a picture are right, (K,), with mistakes if wanted."""
    right, free = torch.zeros(len(boxes), dtype=torch.bool), torch.ones(len(truth), dtype=torch.bool)
    shared = box_iou(boxes, truth)
    for place in scores.argsort(descending=True).tolist() if in_order else range(len(boxes)):
        row = torch.where(free, shared[place], -1.0) if once and any_box else shared[place]
        if len(truth) and row.max() >= least and (free[row.argmax()] or not once):
            right[place], free[row.argmax()] = True, False
    return right


def area(scores: Tensor, right: Tensor, total: int, levels: int = 101, interpolated: bool = True) -> Tensor:
    """The mean of the precision over recalls, of all boxes found."""
    hits = right[scores.argsort(descending=True)].double().cumsum(0)
    precision, recall = hits / torch.arange(1, len(hits) + 1), hits / total
    if interpolated:
        precision = precision.flip(0).cummax(0).values.flip(0)  # the largest from here on
    first = torch.searchsorted(recall, torch.linspace(0, 1, levels, dtype=torch.double))
    return F.pad(precision, (0, 1))[first].mean()


def average_precision_50(boxes: list, scores: list, truth: list) -> float:
    """COCO's average precision of one class at IoU 0.5; lists with a tensor for each picture."""
    right = torch.cat([right_ones(*picture) for picture in zip(boxes, scores, truth, strict=True)])
    return area(torch.cat(scores).double(), right, sum(map(len, truth))).item()


def pictures(seed: int) -> tuple[list, list, list]:
    """Boxes found in five pictures, their scores, and the true boxes: a picture without truth, one in which nothing was found, boxes that lie close."""
    truth = [[[0, 0, 10, 10], [2, 0, 12, 10]], [[20, 20, 30, 30]], [], [[1, 1, 9, 9]],
             [[5, 5, 15, 15], [25, 5, 35, 15], [5, 25, 15, 35]]]
    found = [
        [([0, 0, 10, 10.6], 0.50), ([0.9, 0, 10.9, 10], 0.90), ([0.2, 0, 10.2, 10], 0.60)],
        [([20, 20, 30, 29], 0.20), ([20, 22, 30, 30], 0.70), ([0, 0, 8, 8], 0.80)],
        [([3, 3, 12, 12], 0.85)],
        [],
        [([27.4, 5, 35, 12.6], 0.10), ([5, 5, 15, 11.4], 0.65), ([5, 8.5, 9, 15], 0.75)],
    ]
    boxes = [torch.tensor([box for box, _ in each], dtype=torch.float64).reshape(-1, 4) for each in found]
    scores = [torch.tensor([score for _, score in each], dtype=torch.float64) for each in found]
    truth = [torch.tensor(each, dtype=torch.float64).reshape(-1, 4) for each in truth]
    boxes = [each + 0.02 * numbers(len(each), 4, seed=seed).tanh() for each in boxes]
    return boxes, scores, truth


def coco_50(boxes: list, scores: list, truth: list) -> Tensor:
    """The library's average precision of the same, which is tested against COCO's own tool."""
    longest = max(map(len, boxes + truth))
    padded = [torch.stack([F.pad(each, (0, 0, 0, longest - len(each))) for each in side]) for side in (boxes, truth)]
    found, true = (torch.tensor([[0] * len(each) + [-100] * (longest - len(each)) for each in side]) for side in (boxes, truth))
    padded_scores = torch.stack([F.pad(each, (0, longest - len(each))) for each in scores])
    ap = average_precision((padded[0], found, padded_scores), padded[1], true, 1)
    return torch.tensor(ap.ap50, dtype=torch.float64)


def grade_average_precision(answer) -> str:
    case = pictures(20)
    right = coco_50(*case)
    found = as_number(answer(*([each.clone() for each in side] for side in case)), "the average precision")
    if not near(found, right):
        name_mistake(found, wrong_precisions(*case, right), f"{right:.4f} is right for five pictures, got {found:.4f}")
    truth = case[2]
    perfect = as_number(answer([each.clone() for each in truth], [torch.linspace(1, 0.5, len(each), dtype=torch.float64) - 0.01 * n for n, each in enumerate(truth)],
                               [each.clone() for each in truth]), "the average precision")
    if not near(perfect, torch.tensor(1.0)):
        raise Mistake(f"where all true boxes and nothing else are found the average precision is 1, got {perfect:.4f}")
    return "agrees with COCO's for five pictures, and is 1 where everything is found and nothing else"


def wrong_precisions(boxes: list, scores: list, truth: list, right: Tensor) -> dict[str, Tensor]:
    """What comes of the likely mistakes."""
    together, total = torch.cat(scores), sum(map(len, truth))

    def with_matches(**otherwise) -> Tensor:
        return torch.cat([right_ones(*picture, **otherwise) for picture in zip(boxes, scores, truth, strict=True)])

    hits = with_matches()
    best_first = hits[together.argsort(descending=True)].double()
    precision = best_first.cumsum(0) / torch.arange(1, len(hits) + 1)
    by_picture = [area(s, right_ones(b, s, t), len(t)) if len(b) else torch.tensor(0.0, dtype=torch.float64)
                  for b, s, t in zip(boxes, scores, truth, strict=True) if len(t)]
    with_truth = torch.cat([torch.full((len(b),), len(t) > 0) for b, t in zip(boxes, truth, strict=True)])
    where_found = sum(len(t) for b, t in zip(boxes, truth, strict=True) if len(b))
    picture_by_picture = -torch.arange(len(hits), dtype=torch.float64)
    sorted_inside = torch.cat([right_ones(b, s, t)[s.argsort(descending=True)] for b, s, t in zip(boxes, scores, truth, strict=True)])
    return {
        "a true box is found twice: each is taken once, by the best box that claims it, and whoever comes after is wrong":
            area(together, with_matches(once=False), total),
        "a box whose nearest true box is taken is not wrong yet: look at the best of those that are still free": area(together, with_matches(any_box=False), total),
        "boxes claim in the order in which they are listed: in each picture the highest score comes first": area(together, with_matches(in_order=False), total),
        "the boxes are not sorted over all pictures: those of the first picture come first": area(picture_by_picture, hits, total),
        "the boxes are sorted in each picture, and then the pictures follow each other: sort all of them together": area(picture_by_picture, sorted_inside, total),
        "the boxes are sorted with the lowest score first": area(-together, hits, total),
        "no interpolation: at each recall the largest precision at that recall *or a higher one* counts": area(together, hits, total, interpolated=False),
        "those are 11 recalls, as in older contests: COCO takes 101": area(together, hits, total, levels=11),
        "that is the mean precision at the right boxes: precision is read off at 101 recalls": (precision * best_first).sum() / total,
        "that is the mean precision at the right boxes, divided by how many were found: true boxes that nobody found count, too":
            (precision * best_first).sum() / best_first.sum(),
        "recall is divided by the true boxes that were found: divide by all of them": area(together, hits, int(best_first.sum())),
        "pictures in which nothing was found are left out: their true boxes were missed": area(together, hits, where_found),
        "pictures without a true box are left out: what is found there is wrong": area(together[with_truth], hits[with_truth], total),
        "that is the mean over pictures: all boxes are sorted together": torch.stack(by_picture).mean(),
        "the threshold is not 0.5: intersections over unions of 0.5 to 0.75 are right, too": area(together, with_matches(least=0.75), total),
        "anything that touches a true box is taken for right: an intersection over union of at least 0.5 is asked": area(together, with_matches(least=1e-9), total),
        "that is the precision over all that was found": hits.double().mean(),
        "that is the recall over all that was found": best_first.sum() / total,
        "in per cent: between 0 and 1 is wanted": 100 * right,
    }


# 14.9

CHOICES = {
    "a": "scratch with the strong augmentation that pre-training and fine-tuning have",
    "b": "scratch that is trained for as many updates as pre-training and fine-tuning together",
    "c": "scratch with the mild augmentation that is usual where labels are few",
    "d": "as many learning rates tried for each arm, chosen on labelled pictures that are no test pictures",
    "e": "a frozen network that was never trained, probed like the pre-trained one",
    "f": "of each arm the update with the highest test accuracy",
    "g": "several seeds, each with a pre-training and a draw of labels of its own, all reported, with the spread over test pictures beside that over seeds",
    "h": "test pictures of which nothing was seen: neither the digit nor the photograph behind it",
    "i": "the contrastive loss on test pictures, as a measure of how good the features are",
}
NEEDED = {
    "a": "without (a) it may have been the augmentation: strong views alone lift a network from scratch, too",
    "b": "without (b) it may have been patience: the pre-trained network has had more updates",
    "d": "without (d) it may have been the tuning: a rate that suits one arm and not the other decides which is ahead",
    "e": "without (e) nobody knows how much of the probe the architecture gives on its own",
    "g": "without (g) one lucky draw of ten labels, or one lucky pre-training, may be all there is",
    "h": "without (h) a digit or a background may be recognised: both were seen in pre-training",
}
HARMFUL = {
    "c": "(c) gives the rival weaker views than pre-training had: what is measured then is the augmentation",
    "f": "(f) chooses on the test set, and reports a maximum where the mean was asked",
    "i": "(i) is a measure of the pretext task: the lowest contrastive loss of exercise 14.4 belongs to features at chance",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL, "equal views, equal updates, equal tuning, an untrained floor, unseen pictures, and all the seeds")


EXERCISES = [
    Exercise("14.1", "two views", 2, 15, two_views, grade_two_views),
    Exercise("14.2", "know it again", 3, 25, nt_xent, grade_nt_xent),
    Exercise("14.3", "effective rank", 2, 15, effective_rank, grade_effective_rank),
    Exercise("14.4", "read four logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("14.5", "hide patches", 3, 25, hide_patches, grade_hide_patches),
    Exercise("14.6", "the loss on what is hidden", 2, 15, hidden_loss, grade_hidden_loss),
    Exercise("14.7", "mean intersection over union", 2, 20, mean_iou, grade_mean_iou),
    Exercise("14.8", "average precision", 3, 35, average_precision_50, grade_average_precision),
    Exercise("14.9", "what a claim needs", 2, 10, set(NEEDED), grade_design),
]
