"""Wrong answers to the exercises of chapter 07, each with a word that its message must hold."""

from functools import partial

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch07 import RIGHT_LOGS, corrupt, fill_wrongly


def overlapping(ids, allowed, u, random_ids, rate, mask):
    """81/10/9: random and kept are drawn independently, and one in a hundred is both."""
    chosen = (u < rate) & allowed
    generator = torch.Generator().manual_seed(0)
    random = chosen & (torch.rand(u.shape, generator=generator) < 0.1)
    kept = chosen & (torch.rand(u.shape, generator=generator) < 0.1)
    corrupted = torch.where(chosen & ~random & ~kept, mask, ids)
    return torch.where(random, random_ids, corrupted), torch.where(chosen, ids, -100)


def specials_too(ids, allowed, u, random_ids, rate, mask):
    return corrupt(ids, torch.ones_like(allowed), u, random_ids, rate, mask)


def labels_after(ids, allowed, u, random_ids, rate, mask):
    corrupted, labels = corrupt(ids, allowed, u, random_ids, rate, mask)
    return corrupted, torch.where(labels == -100, -100, corrupted)


def labels_everywhere(ids, allowed, u, random_ids, rate, mask):
    return corrupt(ids, allowed, u, random_ids, rate, mask)[0], ids.clone()


def shares_of_all(ids, allowed, u, random_ids, rate, mask):
    chosen = (u < rate) & allowed
    corrupted = torch.where(chosen & (u < 0.9), random_ids, ids)
    return torch.where(chosen & (u < 0.8), mask, corrupted), torch.where(chosen, ids, -100)


def in_place(ids, allowed, u, random_ids, rate, mask):
    corrupted, labels = corrupt(ids, allowed, u, random_ids, rate, mask)
    ids.copy_(corrupted)
    return ids, labels


def all_mask(ids, allowed, u, random_ids, rate, mask):
    chosen = (u < rate) & allowed
    return torch.where(chosen, mask, ids), torch.where(chosen, ids, -100)


def random_outside(ids, allowed, u, random_ids, rate, mask):
    corrupted = torch.where((u > 1 - 0.1 * rate) & allowed, random_ids, ids)
    chosen = (u < rate) & allowed
    return torch.where(chosen & (u < 0.8 * rate), mask, corrupted), torch.where(chosen, ids, -100)


def losses(logits, labels):
    flat = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
    return flat.view(labels.shape)


def over_all_slots(logits, labels):
    return losses(logits, labels).mean()


def padding_as_token_0(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.clamp(min=0).flatten())


def summed(logits, labels):
    return losses(logits, labels).sum()


def row_by_row(logits, labels):
    return (losses(logits, labels).sum(1) / (labels != -100).sum(1)).nanmean()


def row_by_row_with_nan(logits, labels):
    return (losses(logits, labels).sum(1) / (labels != -100).sum(1)).mean()


def in_bits(logits, labels):
    return losses(logits, labels).sum() / (labels != -100).sum() / torch.tensor(2.0).log()


def by_torch(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def step(model, optimizer, ids, allowed, u, random_ids, rate, mask, fault=""):
    """A masked-LM step with a fault."""
    corrupted, labels = corrupt(ids, allowed, u, random_ids, rate, mask)
    targets = {"all": ids, "after": torch.where(labels == -100, labels, corrupted)}.get(fault, labels)
    logits = model(ids if fault == "leak" else corrupted)
    loss = row_by_row(logits, targets) if fault == "rows" else over_all_slots(logits, targets) if fault == "slots" else by_torch(logits, targets)
    if fault == "early step":
        optimizer.step()
    if fault not in ("keeps", "empties"):
        optimizer.zero_grad()
    (summed(logits, targets) if fault == "sum back" else loss).backward()
    if fault == "empties":
        optimizer.zero_grad()
    if fault not in ("no step", "early step"):
        optimizer.step()
    return loss if fault == "graph" else loss.item()


WRONG = {
    "07.1": [
        (overlapping, "81/10/9"),
        (specials_too, "special token"),
        (labels_after, "before"),
        (labels_everywhere, "every position has a label"),
        (shares_of_all, "0.8 · rate"),
        (in_place, "changes the ids"),
        (all_mask, "100/0/0"),
        (random_outside, "no label was changed"),
    ],
    "07.2": [
        (over_all_slots, "padding is counted"),
        (padding_as_token_0, "padding is counted"),
        (summed, "sum"),
        (row_by_row, "row"),
        (row_by_row_with_nan, "NaN"),
        (in_bits, "bits"),
        (by_torch, "without any masked token"),
    ],
    "07.3": [
        ({"a", "c", "e", "g", "h"}, "equal data"),
        ({"b", "c", "d", "e", "g", "h"}, "different questions"),
        ({"b", "c", "f", "g", "h"}, "one arm"),
        ({"b", "c", "e", "g"}, "counting"),
        (7, "set of letters"),
    ],
    "07.4": [
        (RIGHT_LOGS | {"A": "healthy"}, "answer must stand in the input"),
        (RIGHT_LOGS | {"B": "plateau"}, "passes the bigram"),
        (RIGHT_LOGS | {"C": "scores visible tokens"}, "does not use the context"),
        (RIGHT_LOGS | {"D": "leak"}, "easier"),
        ({"A": "leak"}, "dictionary"),
    ],
    "07.5": [
        (partial(fill_wrongly, "forward"), "after it is evidence"),
        (partial(fill_wrongly, "backward"), "forward message"),
        (partial(fill_wrongly, "transposed"), "row i"),
        (partial(fill_wrongly, "skips"), "time passes"),
        (partial(fill_wrongly, "not normalised"), "divide by its sum"),
        (partial(fill_wrongly, "states"), "states"),
        (partial(fill_wrongly, "zeros"), "NaN"),
        (partial(fill_wrongly, "after transposed"), "A @ (e"),
        (partial(fill_wrongly, "before transposed"), "(α ⊙ e) @ A"),
    ],
    "07.6": [
        (partial(step, fault="leak"), "answer stands in the input"),
        (partial(step, fault="all"), "over all tokens"),
        (partial(step, fault="after"), "what stood there before"),
        (partial(step, fault="rows"), "each row's mean"),
        (partial(step, fault="slots"), "without a label are counted"),
        (partial(step, fault="keeps"), "zero_grad"),
        (partial(step, fault="empties"), "no parameter moved"),
        (partial(step, fault="no step"), "no parameter moved"),
        (partial(step, fault="early step"), "backward, then optimizer.step()"),
        (partial(step, fault="sum back"), "go back from"),
        (partial(step, fault="graph"), "loss.item()"),
    ],
}
