import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.evaluation.counting import TwoSidedBigram, Unigram, WithOwnToken, token_counts
from pretrain_lib.data.text.tokenizer import SpecialIds

SPECIAL = SpecialIds(0, 1, 2, 3, 4)
V = 12
documents_of_words = st.lists(st.lists(st.integers(5, V - 1), min_size=1, max_size=30),
                              min_size=1, max_size=6)


def chain(length: int, seed: int, sharpness: float = 2.0):
    """A text of a Markov chain over the words 5 to V - 1, and its transition matrix."""
    rng = np.random.default_rng(seed)
    transition = np.exp(sharpness * rng.normal(size=(V - 5, V - 5)))
    transition /= transition.sum(1, keepdims=True)
    words = [0]
    for u in rng.random(length - 1):
        words.append(min(int((transition[words[-1]].cumsum() <= u).sum()), V - 6))
    return np.array(words) + 5, transition


def loss(model, left, word, right) -> float:
    ids = torch.as_tensor(np.stack([left, np.full_like(left, SPECIAL.mask), right], axis=1))
    logits = model(ids, positions=torch.ones(len(ids), 1, dtype=torch.long))[:, 0]
    return torch.nn.functional.cross_entropy(logits, torch.as_tensor(word)).item()


def pairs_of(documents, reverse: bool = False) -> Counter:
    return Counter(pair[::-1] if reverse else pair
                   for d in documents for pair in zip(d, d[1:], strict=False))


def smoothed(pairs: Counter, distinct: Counter, given: int, prior: list[float]) -> list[float]:
    """Interpolated absolute discounting, word by word, as the papers write it; D as of distinct."""
    once = sum(c == 1 for c in distinct.values()) + 1
    twice = sum(c == 2 for c in distinct.values()) + 1
    discount = once / (once + 2 * twice)
    total = sum(c for (g, _), c in pairs.items() if g == given)
    if not total:
        return prior
    taken = {w: discount * c / distinct[g, w] for (g, w), c in pairs.items() if g == given}
    return [(pairs[given, w] - taken.get(w, 0)) / total + sum(taken.values()) / total * prior[w]
            for w in range(V)]


class TestTokenCounts:
    @given(documents_of_words)
    def test_counts_every_token_once(self, documents):
        counts = token_counts([np.array(d, dtype=np.uint16) for d in documents], V)
        assert counts.dtype == torch.int64
        expected = Counter(token for document in documents for token in document)
        assert counts.tolist() == [expected[w] for w in range(V)]

    def test_reads_a_token_dataset(self):
        class Dataset:
            num_documents = 2

            def document(self, i):
                return np.array([5, 6 + i], dtype=np.uint16)

        assert token_counts(Dataset(), 8).tolist() == [0, 0, 0, 0, 0, 2, 1, 1]

    def test_bad_input_is_told(self):
        with pytest.raises(ValueError, match="between 0 and 11, .* got 5 to 12"):
            token_counts([[5, 12]], V)
        with pytest.raises(ValueError, match="no token"):
            token_counts([[], []], V)


class TestUnigram:
    def test_adds_one_to_every_count_and_reads_nothing(self):
        counts = torch.tensor([0, 3, 6])
        ids, positions = torch.zeros(2, 7).long(), torch.zeros(2, 3).long()
        logits = Unigram(counts)(ids, positions=positions)
        assert logits.shape == (2, 3, 3)
        torch.testing.assert_close(logits.exp()[1, 2], torch.tensor([1 / 12, 4 / 12, 7 / 12]))
        assert Unigram(counts)(ids).shape == (2, 7, 3)

    @pytest.mark.parametrize("counts", [[0, 0], [[1, 2]], [2, -1]])
    def test_counts_must_be_counts(self, counts):
        with pytest.raises(ValueError, match="counts must be a vector"):
            Unigram(torch.tensor(counts))


class TestTwoSidedBigram:
    @given(documents_of_words, st.integers(5, V - 1), st.integers(5, V - 1),
           st.floats(0.3, 1.3))
    @settings(max_examples=60, deadline=None)
    def test_is_the_product_of_both_smoothed_bigrams(self, documents, left, right, weight):
        if not pairs_of(documents):
            return
        distinct = sorted(set(map(tuple, documents)))
        model = TwoSidedBigram(documents, V, SPECIAL, weight, distinct)
        total = sum(map(len, documents)) + V
        counts = Counter(w for d in documents for w in d)
        prior = [(counts[w] + 1) / total for w in range(V)]
        after = smoothed(pairs_of(documents), pairs_of(distinct), left, prior)
        before = smoothed(pairs_of(documents, True), pairs_of(distinct, True), right, prior)

        ids = torch.tensor([[left, 4, right], [left, 4, 4], [4, 4, right], [4, 4, 2]])
        p = model(ids, positions=torch.ones(4, 1, dtype=torch.long))[:, 0].double().exp()
        product = [q * ((a / q) * (b / q)) ** weight
                   for q, a, b in zip(prior, after, before, strict=True)]
        for row, expected in zip(p, (product, after, before, prior), strict=True):
            expected = torch.tensor(expected, dtype=torch.double)
            torch.testing.assert_close(row, expected / expected.sum(), atol=2e-6, rtol=1e-5)

    @given(st.lists(st.lists(st.integers(0, V - 1), min_size=8, max_size=8), min_size=1,
                    max_size=4))
    @settings(max_examples=30, deadline=None)
    def test_probabilities_sum_to_one_and_none_is_zero(self, rows):
        model = TwoSidedBigram([chain(200, 0)[0]], V, SPECIAL, weight=0.9)
        p = model(torch.tensor(rows)).double().exp()
        assert p.shape == (len(rows), 8, V)
        assert (p > 0).all()
        torch.testing.assert_close(p.sum(-1), torch.ones_like(p[..., 0]), atol=1e-5, rtol=0)

    def test_reads_the_two_neighbours_and_nothing_else(self):
        model = TwoSidedBigram([chain(2000, 0)[0]], V, SPECIAL, weight=0.9)
        ids = torch.tensor([[6, 7, 8, 9, 10]])
        at = model(ids, positions=torch.tensor([[2]]))
        for place, matters in enumerate([False, True, False, True, False]):
            changed = ids.clone()
            changed[0, place] = 11
            same = torch.equal(model(changed, positions=torch.tensor([[2]])), at)
            assert same != matters

    @pytest.mark.parametrize("silent", [SPECIAL.pad, SPECIAL.cls, SPECIAL.sep, SPECIAL.mask])
    def test_special_neighbours_say_nothing(self, silent):
        model = TwoSidedBigram([chain(2000, 0)[0]], V, SPECIAL, weight=0.9)
        at_edge = model(torch.tensor([[4, 7]]))[0, 0]
        assert torch.equal(model(torch.tensor([[silent, 4, 7]]))[0, 1], at_edge)

    def test_other_pieces_of_a_block_say_nothing(self):
        model = TwoSidedBigram([chain(2000, 0)[0]], V, SPECIAL, weight=0.9)
        ids, pieces = torch.tensor([[6, 7, 8, 9, 10, 11]]), torch.tensor([[1, 1, 1, 2, 2, 3]])
        packed = model(ids, attention_mask=pieces)
        alone = [model(part) for part in ids.split([3, 2, 1], dim=1)]
        torch.testing.assert_close(packed, torch.cat(alone, dim=1))
        assert not torch.allclose(packed, model(ids))

    def test_copies_are_no_evidence(self):
        once = np.array_split(chain(600, 0)[0], 20)
        model = TwoSidedBigram(once, V, SPECIAL)
        copied = TwoSidedBigram(once * 4, V, SPECIAL, distinct=once)
        assert copied.weight == model.weight
        assert copied.after.discount == model.after.discount
        ids = torch.tensor([[6, 7, 8, 9, 10]])
        close = {"atol": 0.02, "rtol": 0}  # the ones added to the unigram's counts differ
        torch.testing.assert_close(copied(ids)[..., 5:], model(ids)[..., 5:], **close)
        with pytest.raises(ValueError, match="each document once"):
            TwoSidedBigram(once * 4, V, SPECIAL, distinct=once[1:3])

    def test_pairs_do_not_cross_documents(self):
        model = TwoSidedBigram([[5, 6], [7, 8]], V, SPECIAL, weight=1.0)
        row = model(torch.tensor([[6, 4]]))[0, 1].exp()  # nothing was ever seen after 6
        torch.testing.assert_close(row, model.unigram.log_probabilities.exp())

    def test_approaches_the_exact_posterior_of_a_markov_chain(self):
        text, transition = chain(60_000, 1)
        model = TwoSidedBigram(np.array_split(text, 50), V, SPECIAL)
        assert 0.9 <= model.weight <= 1.1  # neighbours are independent given the word between
        for left, right in [(5, 9), (11, 6), (8, 8)]:
            exact = transition[left - 5] * transition[:, right - 5]
            p = model(torch.tensor([[left, 4, right]]))[0, 1, 5:].exp().double().numpy()
            assert abs(p - exact / exact.sum()).sum() < 0.1

    def test_neighbours_that_say_the_same_are_weighed_down(self):
        rng = np.random.default_rng(0)
        word = rng.integers(5, 9, 20_000)
        side = np.where(rng.random(20_000) < 0.6, word, rng.integers(5, 9, 20_000)) + 4
        documents = np.stack([side, word, side], axis=1)  # the right repeats the left
        model = TwoSidedBigram(documents, 13, SPECIAL)
        assert model.weight <= 0.6
        trusting = TwoSidedBigram(documents, 13, SPECIAL, weight=1.0)
        assert loss(model, side, word, side) < loss(trusting, side, word, side)

    def test_beats_the_unigram_on_text_it_has_not_counted(self):
        text, _ = chain(6000, 2)
        model = TwoSidedBigram(np.array_split(text[:4000], 20), V, SPECIAL)
        held_out = text[4000:-2], text[4001:-1], text[4002:]
        unigram = Unigram(token_counts([text[:4000]], V))
        assert loss(model, *held_out) < loss(unigram, *held_out) - 0.5

    def test_a_weight_needs_two_documents_to_be_fitted(self):
        with pytest.raises(ValueError, match="got 1: give more, or weight=0.9"):
            TwoSidedBigram([[5, 6, 7]], V, SPECIAL)
        assert TwoSidedBigram([[5, 6], [6, 7]], V, SPECIAL).weight == 1.0  # no blank between two


class TestWithOwnToken:
    REPLACE = (0.5, 0.3, 0.2)

    def test_is_what_simulation_finds(self):
        rng = np.random.default_rng(0)
        counts = torch.tensor([0, 0, 0, 0, 0, 1, 3, 8])
        unigram = Unigram(counts)
        prior = unigram.log_probabilities.exp().double().numpy()
        n = 400_000
        word = rng.choice(8, size=n, p=prior / prior.sum())
        fate = rng.random(n)
        shown = np.where(fate < 0.5, 4, np.where(fate < 0.8, rng.integers(0, 8, n), word))
        model = WithOwnToken(unigram, SPECIAL.mask, self.REPLACE)
        p = model(torch.arange(8)[None])[0].exp().double().numpy()  # row: token shown
        for v in range(8):
            seen = word[shown == v]
            if v == SPECIAL.mask:
                continue  # shown by masking, and by [MASK] itself being kept: see below
            found = np.bincount(seen, minlength=8) / len(seen)
            assert (abs(found - p[v]) < 5 * np.sqrt(p[v] * (1 - p[v]) / len(seen)) + 1e-9).all()
        np.testing.assert_allclose(p[SPECIAL.mask], prior, rtol=1e-5)

    def test_without_random_tokens_what_shows_is_right(self):
        model = WithOwnToken(Unigram(torch.ones(8)), SPECIAL.mask, (0.9, 0.0, 0.1))
        p = model(torch.tensor([[6, 4]]))[0].exp()
        assert p[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
        torch.testing.assert_close(p[1], torch.full((8,), 1 / 8))

    def test_with_masks_alone_it_changes_nothing(self):
        model = WithOwnToken(Unigram(torch.ones(8)), SPECIAL.mask, (1.0, 0.0, 0.0))
        torch.testing.assert_close(model(torch.tensor([[6, 4]])),
                                   torch.full((1, 2, 8), -math.log(8)))
