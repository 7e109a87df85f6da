"""Masked diffusion: its bound against every mask, every order, and the integral of other papers."""

import math
from functools import cache
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.nn import functional as F

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns, keys_at
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel
from pretrain_lib.objectives.masked_diffusion import MaskedDiffusion
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.loader import micro_batches

SPECIAL = SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4)
V = 30
CONFIG = ModernBertConfig(V, 32, 48, 2, 2, 64, initializer_range=0.3)
OBJECTIVE = MaskedDiffusion(SPECIAL, V)


MODEL = ModernBertForMaskedLM(CONFIG, seed=1).double().eval()


def rows(*texts):
    """[CLS] text [SEP] [PAD] …, as columns."""
    width = max(map(len, texts)) + 2
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in zip(ids, texts, strict=True):
        row[:len(text) + 2] = torch.tensor([SPECIAL.cls, *text, SPECIAL.sep])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


@cache
@torch.no_grad()
def losses(text, hidden):
    """The loss of each hidden place of a text, the rest shown."""
    ids = rows(text)["input_ids"]
    ids[0, [i + 1 for i in hidden]] = SPECIAL.mask
    log_p = MODEL(ids)[0].log_softmax(-1)
    return {i: -log_p[i + 1, text[i]].item() for i in hidden}


def mean_loss(text, hidden):
    return np.mean(list(losses(text, frozenset(hidden)).values()))


def bound(text):
    """T · mean over k of the mean loss of k hidden tokens, over all masks."""
    size = len(text)
    return size * np.mean([np.mean([mean_loss(text, hidden) for hidden in combinations(range(size), k)])
                           for k in range(1, size + 1)])


TEXT = (5, 9, 29, 9)


def test_the_bound_is_the_mean_over_all_orders():
    costs = np.array([sum(losses(TEXT, frozenset(order[i:]))[order[i]] for i in range(4)) for order in permutations(range(4))])
    assert costs.std() > 0.01
    assert bound(TEXT) == pytest.approx(costs.mean(), abs=1e-10)
    assert bound(TEXT) > -math.log(np.exp(-costs).mean())  # of the mixture of all orders


def test_it_is_the_integral_that_diffusion_models_train_on():
    """E over t and independent masks of (1/t) Σ losses of the hidden: Gauss-Legendre is exact, it is a polynomial."""
    t, w = np.polynomial.legendre.leggauss(8)
    t, w = (t + 1) / 2, w / 2
    integral = sum(k * mean_loss(TEXT, hidden) * np.sum(w * t**k * (1 - t)**(4 - k) / t)
                   for k in range(1, 5) for hidden in combinations(range(4), k))
    assert integral == pytest.approx(bound(TEXT), abs=1e-10)


def test_every_mask_of_a_number_is_as_likely_and_every_number():
    draws = 1200
    ids = rows(TEXT)["input_ids"].expand(draws, -1)
    hidden = OBJECTIVE.mask(ids, Keys.of(0, draws)).input_ids[:, 1:5] == SPECIAL.mask
    found = [tuple(row.nonzero()[:, 0].tolist()) for row in hidden]
    for k in range(1, 5):
        counts = [found.count(mask) for mask in combinations(range(4), k)]
        assert sum(counts) == pytest.approx(draws / 4, abs=2)  # spread, not by luck
        assert k == 4 or stats.chisquare(counts).pvalue > 1e-3


def test_the_loss_is_each_texts_mean_times_its_tokens():
    samples = rows([5, 6, 7, 8, 9, 10], [11, 12], [13])
    batch = OBJECTIVE.batch(samples, Keys.of(3, 3))
    expected = 0.0
    for ids, shown, mask in zip(samples["input_ids"], batch.inputs["input_ids"], samples["attention_mask"], strict=True):
        hidden = ids != shown
        logits = MODEL(shown[mask == 1][None])[0]
        loss = F.cross_entropy(logits[hidden[mask == 1]], ids[hidden], reduction="sum")
        expected += int((ids > 4).sum()) / int(hidden.sum()) * loss.item()
    assert OBJECTIVE(MODEL, batch)["masked_diffusion"].item() == pytest.approx(expected, abs=1e-10)
    assert batch.counts == {"masked_diffusion": 9.0}


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_only_tokens_are_hidden_and_at_least_one_of_each_text(sizes, seed):
    samples = rows(*[list(range(5, 5 + size)) for size in sizes])
    ids = samples["input_ids"]
    masked = OBJECTIVE.mask(ids, Keys.of(seed, len(sizes)))
    hidden = masked.input_ids == SPECIAL.mask
    assert not (hidden & (ids < 5)).any() and torch.equal(masked.input_ids[~hidden], ids[~hidden])
    used = masked.labels != -100
    assert torch.equal(used.sum(1), hidden.sum(1)) and masked.positions.shape == ids.shape
    for row, size in enumerate(sizes):
        assert min(1, size) <= int(hidden[row].sum()) <= size
        places = masked.positions[row][used[row]]
        assert torch.equal(places.sort().values, hidden[row].nonzero()[:, 0])
        assert torch.equal(masked.labels[row][used[row]], ids[row, places])
    batch = OBJECTIVE.batch(samples, Keys.of(seed, len(sizes)))
    loss = OBJECTIVE(MODEL, batch)["masked_diffusion"]
    assert loss.isfinite() and batch.counts == {"masked_diffusion": float(sum(sizes))}


def test_texts_in_one_row_cost_together_what_their_bounds_say():
    """A row's order shuffles each text's own: the mean over all masks of the row is the sum of both bounds."""
    one, two = (5, 9), (29,)
    ids = torch.tensor([[SPECIAL.cls, *one, SPECIAL.sep, SPECIAL.cls, *two, SPECIAL.sep]])
    samples = {"input_ids": ids, "attention_mask": torch.tensor([[1] * 4 + [2] * 3]),
               "position_ids": torch.tensor([[0, 1, 2, 3, 0, 1, 2]])}
    total, places = 0.0, (1, 2, 5)
    for k in (1, 2, 3):
        for hidden in combinations(places, k):
            shown = ids.clone()
            shown[0, list(hidden)] = SPECIAL.mask
            with torch.no_grad():
                log_p = MODEL(shown, samples["attention_mask"], position_ids=samples["position_ids"])[0].log_softmax(-1)
            total += -sum(log_p[i, ids[0, i]].item() for i in hidden) / k / math.comb(3, k)
    assert total == pytest.approx(bound(one) + bound(two), abs=1e-6)  # angles are float32


def test_rates_are_spread_over_every_batch_and_the_same_however_it_is_cut():
    ids = torch.randint(5, V, (640, 50), generator=torch.Generator().manual_seed(0))
    config = TrainConfig(steps=20, batch_size=32, seed=7)
    numbers = []
    for batch in micro_batches(Columns(input_ids=ids), OBJECTIVE, config, 0, False):
        found = (batch.targets["labels"] != -100).sum(1)
        assert (torch.histc(found.float(), 8, 0.5, 50.5) >= 2).all()  # of 4 expected in each eighth
        numbers.append(found)
    means = torch.stack(numbers).double().mean(1)
    assert means.std() < 0.35 * 50 / math.sqrt(12 * 32)  # of what independent numbers would vary by
    again = TrainConfig(steps=20, batch_size=32, seed=7, accumulation=4)
    parts = [(b.targets["labels"] != -100).sum(1) for b in micro_batches(Columns(input_ids=ids), OBJECTIVE, again, 10, False)]
    assert torch.equal(torch.cat(parts), torch.cat(numbers[10:]))


def test_keys_decide():
    samples = rows(*[list(range(5, 25))] * 8)
    one, same, other = (OBJECTIVE.batch(samples, keys) for keys in (Keys.of(0, 8), Keys.of(0, 8), Keys.of(0, 8, epoch=1)))
    assert torch.equal(one.inputs["input_ids"], same.inputs["input_ids"])
    assert not torch.equal(one.targets["labels"] != -100, other.targets["labels"] != -100)
    at = keys_at(np.arange(3, 11), 8, 0)
    alone = [OBJECTIVE.batch({k: v[at.sample[i]][None] for k, v in samples.items()}, keys_at(np.array([3 + i]), 8, 0)) for i in range(8)]
    together = OBJECTIVE.batch({k: v[torch.from_numpy(at.sample)] for k, v in samples.items()}, at)
    assert torch.equal(torch.cat([batch.inputs["input_ids"] for batch in alone]), together.inputs["input_ids"])


def test_a_model_without_a_head_and_a_source_without_tokens_are_refused():
    batch = OBJECTIVE.batch(rows([5, 6]), Keys.of(0, 1))
    with pytest.raises(ValueError, match="no head that predicts tokens"):
        OBJECTIVE(ModernBertModel(CONFIG), batch)
    with pytest.raises(ValueError, match="no column 'input_ids'"):
        OBJECTIVE.batch({"images": torch.zeros(1, 2)}, Keys.of(0, 1))
    with pytest.raises(ValueError, match="input_ids must be 0 to 29"):
        OBJECTIVE.batch(rows([5, 31]), Keys.of(0, 1))
    small = MaskedDiffusion(SPECIAL, V + 1)
    with pytest.raises(ValueError, match="vocab_size of its configuration"):
        small(MODEL, batch)
