"""Wrong answers to the exercises of chapter 08, each with a word that its message must hold."""

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch08 import CLS, MASK, SEP, detection_labels, make_pair, orthogonalise, whole_words


def reversed_label(*pair):
    ids, types, label = make_pair(*pair)
    return ids, types, 1 - label


def no_negatives(sentences, others, split, swap):
    ids, types, _ = make_pair(sentences, others, split, False)
    return ids, types, int(swap)


def one_separator(*pair):
    ids, types, label = make_pair(*pair)
    return ids[:-1], types[:-1], label


def separator_in_b(sentences, others, split, swap):
    ids, types, label = make_pair(sentences, others, split, swap)
    types[ids.index(SEP)] = 1
    return ids, types, label


def segments_reversed(*pair):
    ids, types, label = make_pair(*pair)
    return ids, [1 - t for t in types], label


def one_mean(token_logits, labels, pair_logits, follows):
    used = labels != -100
    total = F.cross_entropy(token_logits[used], labels[used], reduction="sum") + F.cross_entropy(pair_logits, follows, reduction="sum")
    return total / (used.sum() + len(follows))


def slots_counted(token_logits, labels, pair_logits, follows):
    used = labels != -100
    return F.cross_entropy(token_logits[used], labels[used], reduction="sum") / labels.numel() + F.cross_entropy(pair_logits, follows)


def blanks_only(token_logits, labels, pair_logits, follows):
    return F.cross_entropy(token_logits.flatten(0, 1), labels.flatten())


def pairs_reversed(token_logits, labels, pair_logits, follows):
    return blanks_only(token_logits, labels, pair_logits, follows) + F.cross_entropy(pair_logits, 1 - follows)


def without_norm(matrix, steps):
    x = matrix
    for _ in range(steps):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x


def wrong_sign(matrix, steps):
    x = matrix / matrix.norm()
    for _ in range(steps):
        x = 0.5 * x - 0.5 * x @ x.T @ x
    return x


def only_norm(matrix, steps):
    return matrix / matrix.norm()


def one_round(matrix, steps):
    return orthogonalise(matrix, 1)


def nearest_by_columns(matrix, steps):
    return matrix / matrix.norm(dim=0, keepdim=True)


def pieces(starts, chosen):
    return chosen.clone()


def forwards_only(starts, chosen):
    hidden = chosen.clone()
    for i in range(1, len(starts)):
        hidden[i] |= hidden[i - 1] & ~starts[i]
    return hidden


def spills(starts, chosen):
    hidden = whole_words(starts, chosen)
    return hidden | torch.roll(hidden, 1)


def masked_count(original, corrupted, attention_mask):
    masked = corrupted != original
    masked[0, 1] = True  # the blank that was guessed right
    return masked, attention_mask > 0


def originals(original, corrupted, attention_mask):
    return corrupted == original, attention_mask > 0


def replaced_only(original, corrupted, attention_mask):
    return corrupted != original, corrupted != original


def padding_too(original, corrupted, attention_mask):
    return corrupted != original, torch.ones_like(attention_mask).bool()


def without_specials(original, corrupted, attention_mask):
    replaced, scored = detection_labels(original, corrupted, attention_mask)
    return replaced, scored & (original != CLS) & (original != SEP) & (original != MASK)


WRONG = {
    "08.1": [(reversed_label, "reversed"), (no_negatives, "no negatives"), (one_separator, "special"), (separator_in_b, "first [SEP]"),
             (segments_reversed, "0 is A")],
    "08.2": [(one_mean, "Two means"), (slots_counted, "empty slots"), (blanks_only, "only the blanks"), (pairs_reversed, "reversed")],
    "08.3": [(without_norm, "ran away"), (wrong_sign, "shrunk"), (only_norm, "proportions"), (one_round, "should all become 1"),
             (nearest_by_columns, "columns")],
    "08.4": [(pieces, "single pieces"), (forwards_only, "both sides"), (spills, "no token was chosen")],
    "08.5": [(masked_count, "counts as original"), (originals, "reversed"), (replaced_only, "every token"), (padding_too, "padding"),
             (without_specials, "included")],
    "08.6": [({"a", "d", "f", "h"}, "century"), ({"b", "c", "d", "f", "h"}, "Fellow-citizens"), ({"b", "d", "f"}, "longer"),
             ({"b", "d", "f", "g", "h"}, "no negatives")],
}
