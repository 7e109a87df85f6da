"""Wrong answers to the exercises of chapter 14, each with a word that its message must hold."""

from functools import partial
from math import log

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch14 import RIGHT_LOGS, average_precision_50, effective_rank, hidden_loss, hide_patches, mean_iou, nt_xent, two_views
from pretrain_lib.data.keys import Keys
from pretrain_lib.evaluation.iou import box_iou

# 14.1


def views_with(images, keys, transforms, name="{view}.{number}", other_keys=None, chained=False):
    """Both views, by streams of that name."""
    views = []
    for view in ("first", "second"):
        changed = views[0] if chained and views else images
        for number, transform in enumerate(transforms):
            changed = transform(changed, other_keys or keys, name.format(view=view, number=number))
        views.append(changed)
    return tuple(views)


def one_for_all(images, keys, transforms):
    return views_with(images, keys, transforms, other_keys=Keys(keys.seed, keys.epoch, keys.sample * 0))


def counted_from_zero(images, keys, transforms):
    return views_with(images, keys, transforms, other_keys=Keys.of(keys.seed, len(images)))


def without_epoch(images, keys, transforms):
    return views_with(images, keys, transforms, other_keys=Keys(keys.seed, keys.epoch * 0, keys.sample))


def with_a_state(images, keys, transforms):
    return views_with(images, keys, transforms, other_keys=Keys(int(torch.randint(2**31, ())), keys.epoch, keys.sample))


def last_one_only(images, keys, transforms):
    return two_views(images, keys, transforms[-1:])


def untouched_first(images, keys, transforms):
    return images, two_views(images, keys, transforms)[1]


def backwards(images, keys, transforms):
    return two_views(images, keys, transforms[::-1])


# 14.2


def contrast(first, second, temperature, normalise=True, diagonal=-torch.inf, labels=None, rows=slice(None)):
    z = torch.cat([first, second])
    z = F.normalize(z, dim=1) if normalise else z
    logits = z @ z.T / temperature
    logits.fill_diagonal_(diagonal) if diagonal is not None else None
    right = torch.arange(len(z)).roll(len(first)) if labels is None else labels(len(z))
    return F.cross_entropy(logits[rows], right[rows])


def other_views_only(first, second, temperature):
    logits = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature
    right = torch.arange(len(first))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def one_direction(first, second, temperature):
    return F.cross_entropy(F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature, torch.arange(len(first)))


def rivals_only(first, second, temperature):
    z = F.normalize(torch.cat([first, second]), dim=1)
    n, e = len(first), (z @ z.T / temperature).exp()
    right = torch.diagonal(e.roll(-n, 1))
    return -(right / (e.sum(1) - torch.diagonal(e) - right)).log().mean()


# 14.3


def rank_with(vectors, centre=lambda v: v - v.mean(0), weigh=lambda s: s, finish=torch.exp):
    weights = weigh(torch.linalg.svdvals(centre(vectors)))
    return finish(torch.special.entr(weights / weights.sum()).sum()).item() if weights.sum() else 0.0


def nan_on_a_line(vectors):
    singular = torch.linalg.svdvals(vectors - vectors.mean(0))
    if not singular.sum():
        return 0.0
    shares = singular / singular.sum()
    return (-(shares * shares.log()).sum()).exp().item()


def nan_where_all_are_the_same(vectors):
    singular = torch.linalg.svdvals(vectors - vectors.mean(0))
    return torch.special.entr(singular / singular.sum()).sum().exp().item()


def one_where_all_are_the_same(vectors):
    return max(1.0, effective_rank(vectors))


# 14.5


def hiding(patches, keys, rate, sort=False, largest=False, same=False, zeros=False, turned=False, shuffled=False, once=False, share=False, stream="mask", way_back=True):
    count = patches.shape[1]
    order = keys.uniform(stream, (count,)).argsort(dim=1, descending=largest)
    order = order[:1].expand_as(order) if same else order
    restore = order.argsort(dim=1)
    seen = round(rate * count) if share else count - round(rate * count)
    shown = order[:, :seen].sort(dim=1).values if sort else order[:, :seen]
    visible = patches.gather(1, shown[..., None].expand(-1, -1, patches.shape[2]))
    hidden = restore >= seen
    visible = patches * ~hidden[..., None] if zeros else visible
    hidden = (torch.arange(count) >= seen).expand_as(hidden) if shuffled else order >= seen if once else hidden
    return visible, ~hidden if turned else hidden, restore if way_back else order


def unseeded(patches, keys, rate):
    drawn = Keys.of(int(torch.randint(2**31, ())), len(patches))
    return hide_patches(patches, drawn, rate)


def as_numbers(patches, keys, rate):
    visible, hidden, restore = hide_patches(patches, keys, rate)
    return visible, hidden.float(), restore


# 14.6


def loss_with(predicted, patches, hidden, correction=1, target=None, where=None, reduce=torch.mean):
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True, correction=correction)
    wanted = (patches - mean) / (variance + 1e-6).sqrt() if target is None else target(patches, mean, variance)
    error = (predicted - wanted).square()
    return reduce(error[hidden if where is None else where(hidden)])


def over_all_patches(predicted, patches, hidden):
    return hidden_loss(predicted, patches, hidden) * hidden.float().mean()


# 14.7


def iou_with(predicted, truth, num_classes, kinds=None, unscored=True, absent=None, union=lambda a, b, both: a + b - both, finish=lambda each: sum(each) / len(each)):
    ours, true = (predicted[truth != -100], truth[truth != -100]) if unscored else (predicted, truth)
    each = []
    for kind in kinds(num_classes, true) if kinds else range(num_classes + 1):
        both, a, b = (((ours == kind) & (true == kind)).sum().item(), (ours == kind).sum().item(), (true == kind).sum().item())
        below = union(a, b, both)
        if below:
            each.append(both / below)
        elif absent is not None:
            each.append(absent)
    return finish(each)


def by_picture(predicted, truth, num_classes):
    return sum(mean_iou(said[None], true[None], num_classes) for said, true in zip(predicted, truth)) / len(truth)


def right_pixels(predicted, truth, num_classes):
    scored = truth != -100
    return (predicted == truth)[scored].float().mean()


def all_classes_together(predicted, truth, num_classes):
    scored = truth != -100
    both = (predicted == truth)[scored].sum()
    return both / (2 * scored.sum() - both)


# 14.8


def precision_with(boxes, scores, truth, once=True, free_only=True, in_order=True, least=0.5, together=True, levels=101, upwards=True, empty=True, at_hits=False):
    """COCO's average precision by loops, with mistakes if wanted."""
    found = []
    for ours, its_scores, true in zip(boxes, scores, truth):
        if not empty and not len(true):
            continue
        overlaps, taken = box_iou(ours, true), set()
        for place in its_scores.argsort(descending=True).tolist() if in_order else range(len(ours)):
            candidates = [m for m in range(len(true)) if not (once and free_only and m in taken)]
            best = max(candidates, key=lambda m: overlaps[place, m].item(), default=None)
            right = best is not None and overlaps[place, best].item() >= least and not (once and best in taken)
            if right:
                taken.add(best)
            found.append((its_scores[place].item(), right))
    if together:
        found.sort(key=lambda pair: -pair[0])
    total, hits, points = sum(len(true) for true in truth), 0, []
    for number, (_, right) in enumerate(found, 1):
        hits += right
        points.append((hits / total, hits / number, right))
    if at_hits:
        return sum(precision for _, precision, right in points if right) / total
    read = []
    for level in range(levels):
        reached = [precision for recall, precision, _ in points if recall >= level / (levels - 1)]
        read.append((max(reached) if upwards else reached[0]) if reached else 0.0)
    return sum(read) / levels


def pictures_apart(boxes, scores, truth):
    each = [average_precision_50([b], [s], [t]) if len(b) else 0.0 for b, s, t in zip(boxes, scores, truth) if len(t)]
    return sum(each) / len(each)


def found_ones_only(boxes, scores, truth):
    return precision_with(*zip(*(picture for picture in zip(boxes, scores, truth) if len(picture[0]))))


WRONG = {
    "14.1": [(partial(views_with, name="view.{number}"), "both views are the same"), (partial(views_with, name="{view}"), "two transforms of a view share"),
             (partial(views_with, chained=True), "made from the first"), (one_for_all, "one draw for the whole batch"), (counted_from_zero, "count from 0"),
             (without_epoch, "next epoch"), (with_a_state, "second time"), (last_one_only, "only one of the transforms"),
             (untouched_first, "as they were"), (backwards, "in reverse"), (lambda i, k, t: two_views(i, k, t)[0], "two things")],
    "14.2": [(partial(contrast, diagonal=None), "similarity to itself is among"), (partial(contrast, diagonal=0.0), "exp(0)"),
             (partial(contrast, normalise=False), "not normalised"), (partial(contrast, labels=lambda n: torch.arange(n).roll(-1)), "i + N, not its neighbour"),
             (partial(contrast, labels=lambda n: torch.arange(n) ^ 1), "2k and 2k + 1"), (partial(contrast, diagonal=None, labels=torch.arange), "label i + N"),
             (partial(contrast, rows=slice(5)), "only the first views"), (lambda a, b, t: 2 * nt_xent(a, b, t), "the mean is over N"),
             (other_views_only, "other views of other pictures only"), (one_direction, "only one direction"),
             (lambda a, b, t: nt_xent(a, b, 1 / t), "divide"), (lambda a, b, t: nt_xent(a, b, 1.0), "temperature is missing"), (rivals_only, "below the fraction"),
             (lambda a, b, t: -nt_xent(a, b, t), "sign")],
    "14.3": [(partial(rank_with, centre=lambda v: v), "not centred"), (partial(rank_with, centre=lambda v: v - v.mean(1, keepdim=True)), "own mean"),
             (partial(rank_with, weigh=torch.square), "shares of the variances"), (partial(rank_with, finish=lambda h: h), "that is the entropy"),
             (partial(rank_with, finish=torch.exp2), "in nats"),
             (partial(rank_with, finish=lambda h: (h / log(2)).exp()), "in bits"), (partial(rank_with, finish=lambda h: (-h).exp()), "sign"),
             (lambda v: torch.linalg.matrix_rank(v - v.mean(0)).item(), "that is the rank"), (nan_on_a_line, "on a line give NaN"),
             (nan_where_all_are_the_same, "no direction"), (one_where_all_are_the_same, "no direction")],
    "14.4": [(RIGHT_LOGS | {"A": "healthy"}, "differences between vectors"), (RIGHT_LOGS | {"B": "healthy"}, "what else but the digit"),
             (RIGHT_LOGS | {"C": "over-fitting"}, "left the chance line"), (RIGHT_LOGS | {"D": "collapsed"}, "with the chance line"),
             (RIGHT_LOGS | {"B": "healthy", "C": "views give it away"}, "B is not"), (RIGHT_LOGS | {"D": "stuck"}, "none of")],
    "14.5": [(partial(hiding, sort=True), "picture's order"), (partial(hiding, largest=True), "largest first"), (partial(hiding, same=True), "mask of the first one"),
             (partial(hiding, zeros=True), "all patches were returned"), (partial(hiding, turned=True), "hidden is turned"),
             (partial(hiding, shuffled=True), "in the shuffled order"), (partial(hiding, once=True), "argsort twice"),
             (partial(hiding, way_back=False), "order itself"), (partial(hiding, share=True), "share that is hidden"),
             (partial(hiding, stream="hide"), "smallest numbers"), (unseeded, "smallest numbers"), (as_numbers, "bool")],
    "14.6": [(partial(loss_with, where=torch.ones_like), "over all patches"), (partial(loss_with, where=torch.logical_not), "visible patches"),
             (over_all_patches, "number of all"), (partial(loss_with, reduce=torch.sum), "that is the sum"), (lambda p, x, h: 8 * hidden_loss(p, x, h), "summed"),
             (partial(loss_with, target=lambda x, m, v: x), "not normalised"), (partial(loss_with, target=lambda x, m, v: x - m), "left in"),
             (partial(loss_with, target=lambda x, m, v: (x - m) / (v + 1e-6)), "divided by the variance"), (partial(loss_with, correction=0), "D − 1"),
             (partial(loss_with, target=lambda x, m, v: (x - m) / (v.sqrt() + 1e-6)), "under the root"),
             (partial(loss_with, target=lambda x, m, v: (x - m) / v.sqrt()), "is missing under the root"),
             (partial(loss_with, target=lambda x, m, v: (x - x.mean((1, 2), True)) / (x.var((1, 2), keepdim=True) + 1e-6).sqrt()), "whole picture"),
             (lambda p, x, h: hidden_loss(p, x, h) / 2, "half")],
    "14.7": [(right_pixels, "share of right pixels"), (partial(iou_with, kinds=lambda n, true: range(1, n + 1)), "background is left out"),
             (partial(iou_with, absent=0.0), "counts as 0"), (partial(iou_with, absent=1.0), "counts as 1"), (partial(iou_with, absent=float("nan")), "0 / 0"),
             (partial(iou_with, kinds=lambda n, true: true.unique().tolist()), "never true"), (partial(iou_with, kinds=lambda n, true: range(n)), "last class"),
             (partial(iou_with, unscored=False), "−100"), (by_picture, "mean is over pictures"), (all_classes_together, "before the division"),
             (partial(iou_with, union=lambda a, b, both: (a + b) / 2), "Dice"), (partial(iou_with, union=lambda a, b, both: a + b), "counted twice"),
             (partial(iou_with, union=lambda a, b, both: b), "recall"), (partial(iou_with, union=lambda a, b, both: a), "precision")],
    "14.8": [(partial(precision_with, once=False), "found twice"), (partial(precision_with, free_only=False), "still free"),
             (partial(precision_with, in_order=False), "in which they are listed"), (partial(precision_with, together=False), "sort all of them together"),
             (partial(precision_with, upwards=False), "no interpolation"), (partial(precision_with, levels=11), "11 recalls"),
             (partial(precision_with, at_hits=True), "at the right boxes"), (partial(precision_with, empty=False), "without a true box"),
             (partial(precision_with, least=0.75), "threshold"), (partial(precision_with, least=1e-9), "touches"), (pictures_apart, "mean over pictures"),
             (found_ones_only, "were missed")],
    "14.9": [(set("abdegh") - {"a"}, "augmentation"), (set("abdegh") - {"b"}, "patience"), (set("abdegh") - {"d"}, "tuning"), (set("abdegh") - {"g"}, "lucky"),
             (set("abdegh") | {"c"}, "weaker views"), (set("abdegh") | {"f"}, "test set"), (set("abdegh") | {"i"}, "pretext task")],
}
