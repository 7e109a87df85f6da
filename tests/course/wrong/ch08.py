"""Wrong answers to the exercises of chapter 08, each with a word that its message must hold."""

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch08 import (
    CLS,
    MASK,
    SEP,
    compare_few_labels,
    detection_labels,
    make_pair,
    orthogonalise,
    whole_words,
)
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.transfer.tuning import fit_tuned


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


def step(model, optimizer, batch, max_norm, without=(), everywhere=False, pooled_at_blanks=False, weigh=(1, 1), zero=True, clip=True, updates=1, backward=True):
    """The right step, but for what is said."""
    inputs = {name: column for name, column in batch.inputs.items() if name not in without}
    positions = inputs.pop("positions")
    hidden = model.encoder(**inputs)
    rows = torch.arange(len(hidden))[:, None]
    words = model.encoder.embeddings.word.weight
    at_blanks = hidden[rows, positions]
    token_logits = model.masked_lm(hidden, words)[rows, positions] if everywhere else model.masked_lm(at_blanks, words)
    pair_logits = model.next_sentence(model.pooler(at_blanks if pooled_at_blanks else hidden))
    masked = F.cross_entropy(token_logits.flatten(0, 1), batch.targets["labels"].flatten())
    pair = F.cross_entropy(pair_logits, batch.targets["next_sentence_label"])
    if zero:
        optimizer.zero_grad()
    if backward:
        (weigh[0] * masked + weigh[1] * pair).backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for _ in range(updates):
        optimizer.step()
    return masked.item(), pair.item()


def mistaken(**mistake):
    return lambda *arguments: step(*arguments, **mistake)


def whole_pass(model, optimizer, batch, max_norm):
    answer = model(**batch.inputs)
    return answer.masked_lm.mean().item(), answer.next_sentence.mean().item()


def few_labels(tune=lambda name: True, draw_of=lambda draw, name: draw, groups=True, sign=1):
    """The right comparison, but for what is said."""

    def compare(ways, baseline, known, test, speeches, number, draws):
        right = {name: torch.zeros(len(test), draws, dtype=torch.bool) for name in ways}
        for draw in range(draws):
            for name, way in ways.items():
                labelled = known.subset(balanced_ids(known.labels.numpy(), number, draw_of(draw, name)))
                predict = fit_tuned(way, labelled, draw) if tune(name) else way.fit(labelled, way.grid[0], draw)
                right[name][:, draw] = predict(test) == test.labels
        pairs = {name: (right[name], right[baseline])[::sign] for name in ways if name != baseline}
        return right, {name: lead(*pair, speeches if groups else None) for name, pair in pairs.items()}

    return compare


def tuned_on_the_test(ways, baseline, known, test, speeches, number, draws):
    right = {name: torch.zeros(len(test), draws, dtype=torch.bool) for name in ways}
    for draw in range(draws):
        labelled = known.subset(balanced_ids(known.labels.numpy(), number, draw))
        for name, way in ways.items():
            answers = [way.fit(labelled, setting, draw)(test) == test.labels for setting in way.grid]
            right[name][:, draw] = max(answers, key=lambda answer: answer.sum())
    return right, {name: lead(right[name], right[baseline], speeches) for name in ways if name != baseline}


def means_only(*arguments):
    right, leads = compare_few_labels(*arguments)
    return {name: answers.double().mean(0) for name, answers in right.items()}, leads


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
             ({"b", "d", "f", "g", "h"}, "no negatives"), ({"b", "d", "e", "f", "h"}, "asks something else")],
    "08.7": [(mistaken(without=("attention_mask",)), "padding was read"), (mistaken(without=("token_type_ids",)), "segment"),
             (mistaken(everywhere=True), "36 positions"), (mistaken(pooled_at_blanks=True), "reads [CLS]"), (mistaken(weigh=(1, 0)), "pairs teach nothing"),
             (mistaken(weigh=(0.5, 0.5)), "half the sum"), (mistaken(zero=False), "update before"), (mistaken(clip=False), "not clipped"),
             (mistaken(updates=2), "2 updates"), (mistaken(updates=0), "did not change"), (whole_pass, "the pass that you are to write"),
             (mistaken(backward=False), "the gradient is 0"), (mistaken(backward=False, zero=False, clip=False), "backward() comes before")],
    "08.8": [(tuned_on_the_test, "on the test sentences"), (few_labels(tune=lambda name: name != "scratch"), "scratch was fitted with one"),
             (few_labels(draw_of=lambda draw, name: draw + 10 * len(name)), "draw once"), (few_labels(draw_of=lambda draw, name: 0), "two draws"),
             (few_labels(groups=False), "drawn whole"), (few_labels(sign=-1), "wrong sign"), (means_only, "a mean has no test set")],
}
