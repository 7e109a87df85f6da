"""Exercises of chapter 08: BERT pre-training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from . import Exercise, Mistake, grade_letters

CLS, SEP, MASK = 2, 3, 4
UNUSED = -100


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# 08.1


def make_pair(sentences: list, others: list, split: int, swap: bool) -> tuple[list, list, int]:
    """A pair of segments as BERT reads it: (input_ids, token_type_ids, label)."""
    first = [token for sentence in sentences[:split] for token in sentence]
    rest = others if swap else sentences[split:]
    second = [token for sentence in rest for token in sentence]
    input_ids = [CLS, *first, SEP, *second, SEP]
    return input_ids, [0] * (len(first) + 2) + [1] * (len(second) + 1), int(swap)


def grade_make_pair(answer) -> str:
    document, other = [[10, 11], [12], [13, 14, 15], [16]], [[20, 21], [22]]
    for split, swap in [(2, False), (1, True), (3, False), (2, True)]:
        found = answer([list(s) for s in document], [list(s) for s in other], split, swap)
        if not isinstance(found, tuple | list) or len(found) != 3:
            raise Mistake("return three things: the ids, the segment of each, and the label")
        ids, types, label = list(found[0]), list(found[1]), int(found[2])
        right_ids, right_types, right_label = make_pair(document, other, split, swap)
        if ids != right_ids:
            given = [token for token in ids if token not in (CLS, SEP)]
            if swap and given == [token for sentence in document for token in sentence]:
                raise Mistake("with swap the second segment is still the true one: then there are no negatives, and a model that "
                              "always says 'follows' is always right")
            if given == [token for token in right_ids if token not in (CLS, SEP)]:
                raise Mistake(f"the tokens are right, the special ones are not: [CLS] A [SEP] B [SEP], which is {right_ids}")
            raise Mistake(f"split {split}, swap {swap}: expected {right_ids}, got {ids}")
        if label != right_label:
            raise Mistake("the label is reversed: 0 says that B follows A, 1 that it is from elsewhere (as in transformers)")
        if types != right_types:
            hint = ""
            if len(types) != len(ids):
                hint = f"there are {len(ids)} tokens and {len(types)} segments; "
            elif sum(types) == len(right_types) - sum(right_types):
                hint = "0 is A, 1 is B; "
            raise Mistake(f"{hint}the first [SEP] belongs to A, the last one to B: {right_types}")
    return "true and false continuations, segments and labels"


# 08.2


def pretraining_loss(token_logits: Tensor, labels: Tensor, pair_logits: Tensor, follows: Tensor) -> Tensor:
    """The mean over blanks plus the mean over pairs: (B, S, V), (B, S), (B, 2), (B,)."""
    return F.cross_entropy(token_logits.flatten(0, 1), labels.flatten(), ignore_index=UNUSED) + F.cross_entropy(pair_logits, follows)


def grade_pretraining_loss(answer) -> str:
    for seed in range(3):
        token_logits, pair_logits = 5 * numbers(4, 6, 9, seed=seed), 4 * numbers(4, 2, seed=seed + 50)
        labels, follows = (9 * numbers(4, 6, seed=seed + 10)).long(), torch.tensor([0, 1, 1, 0])
        for row, used in enumerate((6, 2, 1, 4)):
            labels[row, used:] = UNUSED
        ours = answer(token_logits.clone(), labels.clone(), pair_logits.clone(), follows.clone())
        if not isinstance(ours, Tensor) or ours.numel() != 1:
            raise Mistake("return one number, as a tensor")
        used = labels != UNUSED
        blanks = F.cross_entropy(token_logits[used], labels[used], reduction="sum")
        pairs = F.cross_entropy(pair_logits, follows, reduction="sum")
        n, b = used.sum(), len(follows)
        right = blanks / n + pairs / b
        likely = {
            "that is one mean over blanks and pairs together: with so many more blanks, the pairs hardly count. Two means, then their sum":
                (blanks + pairs) / (n + b),
            "empty slots are counted: divide the blanks' sum by the number of blanks": blanks / labels.numel() + pairs / b,
            "that is the sum over blanks: divide by their number": blanks + pairs / b,
            "only the blanks are scored: add the mean over the pairs": blanks / n,
            "only the pairs are scored: add the mean over the blanks": pairs / b,
            "that is half of it: the two means are added, not averaged": right / 2,
            "the labels of the pairs are reversed: 0 is 'follows', the first of the two logits":
                blanks / n + F.cross_entropy(pair_logits, 1 - follows),
        }
        if ours.isnan():
            raise Mistake(f"NaN: a slot with label {UNUSED} is no token and must not be looked up")
        if torch.allclose(ours.double(), right):
            continue
        for hint, value in likely.items():
            if torch.allclose(ours.double(), value):
                raise Mistake(hint)
        raise Mistake(f"expected {right:.4f}, got {ours.item():.4f}: the mean over blanks, plus the mean over pairs")
    return "a mean over blanks plus a mean over pairs, each by its own count"


# 08.3

def orthogonalise(matrix: Tensor, steps: int = 12) -> Tensor:
    """U Vᵀ of a matrix U S Vᵀ, (n, m), by the iteration x ← 1.5 x − 0.5 x xᵀ x."""
    x = matrix / matrix.norm()
    for _ in range(steps):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x


def grade_orthogonalise(answer) -> str:
    for seed, (n, m) in enumerate([(4, 4), (3, 7), (6, 2)]):
        matrix = 30 * (numbers(n, m, seed=seed) - 0.5) + 8 * torch.eye(n, m, dtype=torch.float64)
        given = matrix.clone()
        ours = answer(given, 25)
        if not isinstance(ours, Tensor) or ours.shape != matrix.shape:
            raise Mistake(f"a matrix of {n} × {m} gives one of {n} × {m}")
        if not torch.equal(given, matrix):
            raise Mistake("your function changes the matrix that it was given: it is the gradient, and others need it")
        if not ours.isfinite().all():
            raise Mistake("the iteration ran away: it needs singular values between 0 and √3. Divide by the norm of the matrix first")
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
        if torch.allclose(ours, u @ v, atol=1e-5):
            continue
        if torch.allclose(ours, matrix / matrix.norm(), atol=1e-6):
            raise Mistake("only divided by the norm: that keeps the proportions of the singular values. Now iterate")
        if torch.allclose(ours, matrix / matrix.norm(dim=0, keepdim=True), atol=1e-6):
            raise Mistake("columns of length 1 are not orthogonal to each other. Divide by the norm of the whole matrix, then iterate")
        values = torch.linalg.svdvals(ours)
        if (values < 1e-3).all():
            raise Mistake("everything has shrunk to 0: x ← 1.5 x − 0.5 x xᵀ x leaves a singular value of 1 where it is. Check the signs")
        if torch.allclose(values, torch.ones_like(values), atol=1e-4):
            raise Mistake("all singular values are 1, but the directions are not those of the matrix: use x xᵀ x, in this order")
        raise Mistake(f"singular values should all become 1, yours are {[round(v, 3) for v in values.tolist()]}. Is each round "
                      "x ← 1.5 x − 0.5 x xᵀ x, and did you do all `steps` rounds?")
    return "equal to U Vᵀ from the singular value decomposition, square, wide and tall"


# 08.4


def whole_words(starts: Tensor, chosen: Tensor) -> Tensor:
    """(T,) bool: every token of each word of which a token is chosen."""
    word = starts.long().cumsum(0) - 1
    hit = torch.zeros(len(starts), dtype=torch.bool)
    hit[word[chosen]] = True
    return hit[word]


def grade_whole_words(answer) -> str:
    for seed in range(8):
        starts = numbers(24, seed=seed) < 0.5
        starts[0] = True
        chosen = numbers(24, seed=seed + 100) < 0.2
        given = chosen.clone()
        ours = answer(starts.clone(), given)
        if not isinstance(ours, Tensor) or ours.shape != chosen.shape or ours.dtype != torch.bool:
            raise Mistake("return one bool a token, shape (T,)")
        if not torch.equal(given, chosen):
            raise Mistake("your function changes `chosen`, which was given to it: build a new tensor")
        right = whole_words(starts, chosen)
        if torch.equal(ours, right):
            continue
        if (chosen & ~ours).any():
            raise Mistake("a token that was chosen is not hidden: the words grow, nothing is taken away")
        if torch.equal(ours, chosen):
            raise Mistake("that is the choice as it was, single pieces: hide the other pieces of the word, too")
        if (ours & ~right).any():
            raise Mistake("a word of which no token was chosen is hidden: a word ends where the next one starts")
        raise Mistake("some pieces of a chosen word stay visible. Look at both sides: the pieces *before* the chosen one belong to the "
                      "word, too, back to the one that starts it")
    return "each word hidden as a whole or not at all, in eight sentences"


# 08.5


def detection_labels(original: Tensor, corrupted: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """(replaced, scored), (B, T) bool each."""
    return corrupted != original, attention_mask > 0


def grade_detection_labels(answer) -> str:
    original = torch.tensor([[CLS, 10, 11, 12, 13, SEP], [CLS, 14, 15, SEP, 0, 0]])
    masked = torch.tensor([[CLS, MASK, 11, MASK, 13, SEP], [CLS, MASK, 15, SEP, 0, 0]])
    corrupted = torch.tensor([[CLS, 10, 11, 99, 13, SEP], [CLS, 98, 15, SEP, 0, 0]])  # the generator guessed 10 right
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    found = answer(original.clone(), corrupted.clone(), mask.clone())
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Mistake("return two tensors: which tokens are replaced, and which are scored")
    replaced, scored = (torch.as_tensor(part).bool() for part in found)
    for part in (replaced, scored):
        if part.shape != original.shape:
            raise Mistake("both have the shape of the ids, (B, T)")
    if torch.equal(replaced, masked != original):
        raise Mistake("where the generator guessed the true token, nothing was replaced: that counts as original")
    if torch.equal(replaced, corrupted == original):
        raise Mistake("reversed: True is for the tokens that were replaced")
    if not torch.equal(replaced, corrupted != original):
        raise Mistake("a token is replaced if it differs from the one that stood there")
    if torch.equal(scored, replaced):
        raise Mistake("the discriminator is scored on every token, not on the replaced ones alone: that is where it gains over masking")
    if torch.equal(scored, masked != original):
        raise Mistake("that is where the generator is asked. The discriminator is asked about every token")
    if scored[mask == 0].any():
        raise Mistake("padding is scored: it is no part of the text")
    if not torch.equal(scored, mask > 0):
        raise Mistake("every token of the text is scored, [CLS] and [SEP] included, as in the paper's code")
    return "a lucky guess counts as original; all tokens but padding are scored"


# 08.6

CHOICES = {
    "a": "draw the false B from any speech since 1790",
    "b": "draw the false B from another speech of the same era",
    "c": "let every false B be the opening of a speech",
    "d": "let a false B begin behind some sentence, as every true one does",
    "e": "draw the false B from another place of the same speech",
    "f": "report accuracy beside the share of true pairs, and on each class",
    "g": "show true pairs only, and take a low loss as a success",
    "h": "make false B as long as the true one would have been",
}
NEEDED = {
    "b": "(b) is needed: a speech of 1820 and one of 1990 are told apart by their style, with no idea of what follows what",
    "d": "(d) is needed: where a false B may begin anywhere, half a sentence at its start gives it away",
    "f": "(f) is needed: with two true pairs in three, a model that always says 'follows' is right two times in three",
    "h": "(h) is needed: if false ones are longer, the number of tokens is all that has to be learned",
}
HARMFUL = {
    "a": "(a) makes it easy: the century is enough to tell",
    "c": "(c) gives it away: 'Fellow-citizens of the Senate' never continues anything",
    "e": "(e) is not the task of 2018: a true B may be hardly better than a random one of the same speech. (It is an interesting, harder "
         "task, near to sentence order, but then call it that)",
    "g": "(g) has no negatives: 'always follows' is right every time, and nothing is learned",
}
grade_shortcuts = grade_letters(CHOICES, NEEDED, HARMFUL, "no century, no opening, no length to tell by, and both classes counted")

EXERCISES = [
    Exercise("08.1", "a pair of segments", 1, 15, make_pair, grade_make_pair),
    Exercise("08.2", "two tasks, two means", 1, 10, pretraining_loss, grade_pretraining_loss),
    Exercise("08.3", "the heart of Muon", 2, 15, orthogonalise, grade_orthogonalise),
    Exercise("08.4", "whole words", 2, 10, whole_words, grade_whole_words),
    Exercise("08.5", "what the discriminator is asked", 1, 10, detection_labels, grade_detection_labels),
    Exercise("08.6", "shortcuts", 2, 10, {"b", "d", "f", "h"}, grade_shortcuts),
]
