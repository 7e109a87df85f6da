"""Exercises of chapter 08: BERT pre-training."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.source import Columns
from ...data.splits import balanced_ids
from ...evaluation.uncertainty import Lead, lead
from ...hf import to_hugging_face
from ...models.bert import BertConfig, BertForPreTraining
from ...objectives.base import Batch
from ...transfer.tuning import fit_tuned
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
    "e": "(e) asks something else. BERT's question is whether B is of another document; of one speech, a random passage may continue A "
         "about as well as the true one does",
    "g": "(g) has no negatives: 'always follows' is right every time, and nothing is learned",
}
grade_shortcuts = grade_letters(CHOICES, NEEDED, HARMFUL, "no century, no opening, no length to tell by, and both classes counted")

# 08.7


def pretraining_step(model: BertForPreTraining, optimizer: torch.optim.Optimizer, batch: Batch, max_norm: float = 1.0) -> tuple[float, float]:
    """One update by both losses: the mean loss of a masked token and of a pair, before the update."""
    inputs = dict(batch.inputs)
    positions = inputs.pop("positions")  # (B, S)
    hidden = model.encoder(**inputs)  # (B, T, D)
    rows = torch.arange(len(hidden))[:, None]
    token_logits = model.masked_lm(hidden[rows, positions], model.encoder.embeddings.word.weight)  # (B, S, V)
    pair_logits = model.next_sentence(model.pooler(hidden))  # (B, 2)
    masked = F.cross_entropy(token_logits.flatten(0, 1), batch.targets["labels"].flatten())
    pair = F.cross_entropy(pair_logits, batch.targets["next_sentence_label"])
    optimizer.zero_grad()
    (masked + pair).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return masked.item(), pair.item()


def tiny_pretraining(seed: int) -> tuple[BertForPreTraining, Batch]:
    """A small model far from its start, and three pairs, the second of which is padded."""
    model = BertForPreTraining(BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=12,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), seed).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    ids = torch.randint(5, 40, (3, 12), generator=generator)
    ids[:, 0], ids[:, 6] = CLS, SEP
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[1, 9:], ids[1, 9:] = 0, 0
    segments = (torch.arange(12) > 6).long() * mask  # (3, 12)
    positions = torch.tensor([[2, 5, 8, 10], [3, 7, 0, 0], [1, 9, 11, 0]])
    labels = torch.randint(5, 40, positions.shape, generator=generator)
    labels[positions == 0] = UNUSED
    follows = torch.tensor([1, 0, 1])
    return model, Batch({"input_ids": ids, "attention_mask": mask, "token_type_ids": segments, "positions": positions},
                        {"labels": labels, "next_sentence_label": follows}, {"masked_lm": 9, "next_sentence": 3})


def in_transformers(model: BertForPreTraining, batch: Batch, leave_out: tuple[str, ...] = ()) -> tuple[Tensor, Tensor, nn.Module]:
    """Both losses of `transformers`' model with the same weights, and that model; without some of the inputs."""
    import transformers

    config, tensors = to_hugging_face(model)
    peer = transformers.BertForPreTraining(transformers.BertConfig(**config)).double()
    peer.load_state_dict(tensors, strict=False)
    peer.tie_weights()
    inputs = {name: column for name, column in batch.inputs.items() if name not in ("positions", *leave_out)}
    answer = peer(**inputs)
    rows = torch.arange(len(inputs["input_ids"]))[:, None]
    token_logits = answer.prediction_logits[rows, batch.inputs["positions"]]
    return (F.cross_entropy(token_logits.flatten(0, 1), batch.targets["labels"].flatten()),
            F.cross_entropy(answer.seq_relationship_logits, batch.targets["next_sentence_label"]), peer)


def gradient_in_transformers(model: BertForPreTraining, batch: Batch, weights: tuple[float, float]) -> dict[str, Tensor]:
    """The gradient of a weighted sum of both losses, by the names of `transformers`."""
    masked, pair, peer = in_transformers(model, batch)
    (weights[0] * masked + weights[1] * pair).backward()
    return {name: parameter.grad for name, parameter in peer.named_parameters() if parameter.grad is not None}


class Noting(torch.optim.SGD):
    """Plain gradient descent that keeps the gradients of each update."""

    def __init__(self, model: nn.Module):
        super().__init__(model.parameters(), lr=0.1)
        self.seen: list[list[Tensor]] = []

    def step(self, closure=None):
        self.seen.append([parameter.grad.clone() if parameter.grad is not None else torch.zeros_like(parameter)
                          for group in self.param_groups for parameter in group["params"]])
        return super().step(closure)


def by_their_names(model: BertForPreTraining, gradients: list[Tensor]) -> dict[str, Tensor]:
    holder = deepcopy(model)
    for parameter, gradient in zip(holder.parameters(), gradients, strict=True):
        parameter.data = gradient
    return to_hugging_face(holder)[1]


def clipped(gradient: dict[str, Tensor], max_norm: float) -> dict[str, Tensor]:
    norm = torch.stack([part.norm() for part in gradient.values()]).norm()
    return {name: part * min(1.0, max_norm / norm.item()) for name, part in gradient.items()}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return all(torch.allclose(ours[name], part, rtol=1e-4, atol=1e-8) for name, part in theirs.items())


def grade_pretraining_step(answer) -> str:
    for seed, max_norm in [(0, 1e6), (1, 0.1)]:
        model, batch = tiny_pretraining(seed)
        before, optimizer = deepcopy(model), Noting(model)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.05)  # what an earlier update left
        scored, whole, read = [], [], []
        model.masked_lm.dense.register_forward_hook(lambda layer, given, made: scored.append(made.numel() // made.shape[-1]))
        model.register_forward_pre_hook(lambda layer, given: whole.append(True))
        model.pooler.register_forward_pre_hook(lambda layer, given: read.append(given[0].shape[1]))
        found = answer(model, optimizer, batch.map(torch.clone), max_norm)
        if whole:
            raise Mistake("model(...) is the pass that you are to write: call model.encoder, and then the heads")
        if not isinstance(found, tuple | list) or len(found) != 2 or not all(isinstance(float(loss), float) for loss in found):
            raise Mistake("return two numbers: the mean loss of a masked token, and that of a pair")
        grade_losses([float(loss) for loss in found], before, batch, read)
        slots = batch.inputs["positions"].numel()
        if scored and max(scored) > slots:
            raise Mistake(f"{max(scored)} positions were scored against the vocabulary, and {slots} are enough: take the hidden states at "
                          "`positions` first. The vocabulary is the most expensive product of a small model")
        grade_update(optimizer, before, batch, max_norm)
    return "both losses and every gradient equal to those of transformers' BertForPreTraining; one update, clipped"


def grade_losses(found: list[float], model: BertForPreTraining, batch: Batch, read: list[int]) -> None:
    def close(losses) -> bool:
        return all(abs(ours - theirs.item()) < 1e-6 for ours, theirs in zip(found, losses))

    masked, pair, _ = in_transformers(model, batch)
    if close((masked, pair)):
        return
    if read and read[0] == batch.inputs["positions"].shape[1]:
        raise Mistake("the pooler was given the hidden states at `positions`, whose first is a masked token. It reads [CLS], the first of all T")
    targets = batch.targets
    turned = Batch(batch.inputs, targets | {"next_sentence_label": 1 - targets["next_sentence_label"]}, batch.counts)
    likely = {
        "the two losses are in the wrong order: first that of a masked token": (pair, masked),
        "padding was read: give the encoder the attention mask": in_transformers(model, batch, ("attention_mask",))[:2],
        "the encoder was not told which segment a token is of: give it token_type_ids": in_transformers(model, batch, ("token_type_ids",))[:2],
        "the pair's loss is that of the opposite labels: 0 is 'follows', the first of the two logits": in_transformers(model, turned)[:2],
        "the masked tokens' loss is a sum: divide by their number": (masked * (targets["labels"] != UNUSED).sum(), pair),
        "the losses are sums over the batch: take means": (masked * (targets["labels"] != UNUSED).sum(), pair * len(targets["next_sentence_label"])),
        "return each loss alone, not their sum": (masked + pair, pair),
    }
    for hint, losses in likely.items():
        if close(losses):
            raise Mistake(hint)
    which = "masked tokens" if abs(found[0] - masked.item()) > 1e-6 else "pairs"
    right = masked if which == "masked tokens" else pair
    raise Mistake(f"the loss of the {which} should be {right.item():.4f}, yours is {found[which == 'pairs']:.4f}, on weights as they were before the update")


def grade_update(optimizer: Noting, model: BertForPreTraining, batch: Batch, max_norm: float) -> None:
    if not optimizer.seen:
        raise Mistake("the weights did not change: ask the optimizer for a step")
    if len(optimizer.seen) > 1:
        raise Mistake(f"{len(optimizer.seen)} updates were made: add the two losses, go backwards once, make one update")
    ours = by_their_names(model, optimizer.seen[0])
    right = gradient_in_transformers(model, batch, (1, 1))
    if same(ours, clipped(right, max_norm)):
        return
    left = {name: part + 0.05 for name, part in right.items()}
    stale = {name: torch.full_like(part, 0.05) for name, part in right.items()}
    likely = {
        "the gradient is not clipped: scale all of it down where its norm is above max_norm": right,
        "the gradient of the update before was still there and is added: optimizer.zero_grad() comes before backward()": left,
        "the optimizer saw the gradient of the update before, and none of this one: backward() comes before the step": stale,
        "only the masked tokens' loss was gone back through: the pairs teach nothing": gradient_in_transformers(model, batch, (1, 0)),
        "only the pairs' loss was gone back through: the masked tokens teach nothing": gradient_in_transformers(model, batch, (0, 1)),
        "the gradient is that of half the sum: add the two losses": gradient_in_transformers(model, batch, (0.5, 0.5)),
    }
    for hint, gradient in likely.items():
        if same(ours, gradient) or same(ours, clipped(gradient, max_norm)):
            raise Mistake(hint)
    if all((part == 0).all() for part in ours.values()):
        raise Mistake("the gradient is 0: backward() computes it, and zero_grad() comes before that, or it erases what was computed")
    wrong = next(name for name, part in clipped(right, max_norm).items() if not torch.allclose(ours[name], part, rtol=1e-4, atol=1e-8))
    raise Mistake(f"the losses are right, the gradient of {wrong} is not (names as in transformers): is the loss a sum of both means, with nothing detached?")


# 08.8


def compare_few_labels(ways: dict, baseline: str, known: Columns, test: Columns, speeches: list, number: int, draws: int) -> tuple[dict, dict]:
    """For each way, which test sentences it gets right in each draw, (N, draws) bool; and each other way's `Lead` over the baseline."""
    right = {name: torch.zeros(len(test), draws, dtype=torch.bool) for name in ways}
    for draw in range(draws):
        labelled = known.subset(balanced_ids(known.labels.numpy(), number, draw))
        for name, way in ways.items():
            predict = fit_tuned(way, labelled, draw, rounds=1)
            right[name][:, draw] = predict(test) == test.labels
    return right, {name: lead(right[name], right[baseline], speeches) for name in ways if name != baseline}


class Pretending:
    """A way to learn with two settings, of which the first is good on labelled sentences, and the second on those of the test.

    Notes what it is fitted on. (A setting that looks best on the test sentences must not be chosen for that.)
    """

    grid = (0.1, 0.2)

    def __init__(self, share: float):
        self.share, self.fits = share, []

    def fit(self, labelled, setting: float, seed: int = 0):
        self.fits.append((tuple(sorted(labelled.ids.tolist())), setting))

        def predict(samples) -> Tensor:
            chance = numbers(5000, seed=100 * seed + int(100 * self.share))[samples.ids]
            tested = samples.ids >= 4000
            luck = {0.1: torch.where(tested, chance < self.share, chance < 2), 0.2: torch.where(tested, chance < 0.97, chance < -1)}
            return torch.where(luck[setting], samples.labels, 1 - samples.labels)

        return predict


def grade_compare_few_labels(answer) -> str:
    number, draws = 12, 4
    labels = (numbers(5000, seed=3) < 0.5).long()
    known = Columns(ids=torch.arange(400), labels=labels[:400])
    test = Columns(ids=torch.arange(4000, 4200), labels=labels[4000:4200])
    speeches = [f"speech {i // 20}" for i in range(200)]

    def fresh() -> dict[str, Pretending]:
        return {"scratch": Pretending(0.55), "pretrained": Pretending(0.71), "words": Pretending(0.6)}

    ways = fresh()
    found = answer(ways, "scratch", known, test, speeches, number, draws)
    if not isinstance(found, tuple | list) or len(found) != 2 or not all(isinstance(part, dict) for part in found):
        raise Mistake("return two dictionaries: which test sentences each way gets right, and each lead over the baseline")
    grade_treatment(ways, number, draws)
    right, leads = compare_few_labels(fresh(), "scratch", known, test, speeches, number, draws)
    for name in ways:
        ours = torch.as_tensor(found[0].get(name, []))
        if ours.shape != (len(test), draws):
            raise Mistake(f"keep what {name} gets right sentence by sentence and draw by draw, ({len(test)}, {draws}): a mean has no test set to draw anew")
        if not torch.equal(ours.bool(), right[name]):
            raise Mistake(f"{name} is right where its prediction of the test sentences equals their labels; and its seed is the number of the draw")
    if set(found[1]) != set(leads):
        raise Mistake(f"a lead for each way but the baseline is wanted, {', '.join(leads)}; there are {', '.join(found[1]) or 'none'}")
    for name, wanted in leads.items():
        grade_lead(found[1][name], wanted, right[name], right["scratch"])
    return "the same labelled sentences and settings for each way, nothing chosen on the test, both uncertainties"


def grade_treatment(ways: dict[str, Pretending], number: int, draws: int) -> None:
    """Whether every way had the same labelled sentences and was tuned on them alone."""
    given = {}
    for name, way in ways.items():
        if any(ids and max(ids) >= 4000 for ids, _ in way.fits):
            raise Mistake(f"{name} was fitted on test sentences: they are for the last look only")
        whole = [(ids, setting) for ids, setting in way.fits if len(ids) == number]
        if len(whole) < draws:
            raise Mistake(f"in {draws} draws {name} was fitted {len(whole)} times on all {number} labelled sentences: in each draw choose its setting, "
                          "then fit it on all of them")
        if {setting for _, setting in way.fits} != set(way.grid):
            raise Mistake(f"{name} was fitted with one of its settings only: let fit_tuned choose among all of them, for every way alike")
        if any(setting == way.grid[1] for _, setting in whole):
            raise Mistake(f"the setting of {name} looks best on the test sentences: choose it on the labelled sentences alone, as fit_tuned does")
        given[name] = [ids for ids, _ in whole]
    if any(len(set(ids)) < draws for ids in given.values()):
        raise Mistake("two draws have the same labelled sentences: the number of the draw is the seed of balanced_ids")
    if len(set(map(tuple, given.values()))) > 1:
        raise Mistake("in one draw the ways have different labelled sentences: draw once, and give all of them the same")


def grade_lead(ours, wanted: Lead, right: Tensor, baseline: Tensor) -> None:
    def close(other: Lead) -> bool:
        return all(torch.allclose(torch.tensor(a), torch.tensor(b), atol=1e-9) for a, b in zip(ours, other))

    if not isinstance(ours, Lead):
        raise Mistake("a lead is what `lead` returns: the difference with both of its uncertainties")
    if close(wanted):
        return
    if close(lead(right, baseline)):
        raise Mistake("sentences of one speech belong together: give `lead` the speeches, so that they are drawn whole")
    if ours.difference * wanted.difference < 0:
        raise Mistake("the lead has the wrong sign: it is that of the way over the baseline")
    raise Mistake(f"a lead of {wanted.difference:.3f} is expected, from all draws at once, (N, draws) of both; yours is {ours.difference:.3f}")


EXERCISES = [
    Exercise("08.1", "a pair of segments", 1, 15, make_pair, grade_make_pair),
    Exercise("08.2", "two tasks, two means", 1, 10, pretraining_loss, grade_pretraining_loss),
    Exercise("08.3", "the heart of Muon", 2, 15, orthogonalise, grade_orthogonalise),
    Exercise("08.4", "whole words", 2, 10, whole_words, grade_whole_words),
    Exercise("08.5", "what the discriminator is asked", 1, 10, detection_labels, grade_detection_labels),
    Exercise("08.6", "shortcuts", 2, 10, {"b", "d", "f", "h"}, grade_shortcuts),
    Exercise("08.7", "the pre-training step", 3, 35, pretraining_step, grade_pretraining_step),
    Exercise("08.8", "few labels, equal treatment", 3, 30, compare_few_labels, grade_compare_few_labels),
]
