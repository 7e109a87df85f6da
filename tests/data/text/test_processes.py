"""Mess3 and RRXOR: the published matrices, beliefs by brute force, entropies in closed form."""

import itertools
import math

import pytest
import torch

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.hidden_markov import SPECIAL, HiddenMarkovLanguage
from pretrain_lib.data.text.processes import RRXOR_STATES, mess3, rrxor, rrxor_beliefs, rrxor_states
from pretrain_lib.evaluation.bayes import BayesOptimal, filtered

FIRST = len(SPECIAL)


def labelled(model):
    """T⁽ᵏ⁾, (W, K, K): the token comes with the step, as in the papers."""
    return torch.einsum("ij,jk->kij", model.transition, model.emission[:, FIRST:])


def texts(words: int, length: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(words), repeat=length))) + FIRST


def enumerated(model, rows):
    """The beliefs after texts (N, T) and their probabilities, by multiplying labelled matrices."""
    step, weight = labelled(model), model.initial.expand(len(rows), -1)
    for tokens in rows.T:
        weight = torch.einsum("ni,nij->nj", weight, step[tokens - FIRST])
    return weight / weight.sum(1, keepdim=True), weight.sum(1)


@pytest.mark.parametrize("model", [mess3(), mess3(0.15, 0.6), rrxor()], ids=["mess3", "dense", "rrxor"])
def test_rows_are_distributions_and_the_start_is_stationary(model):
    assert torch.allclose(model.transition.sum(1), torch.ones(1).double(), atol=1e-14)
    assert torch.allclose(model.emission.sum(1), torch.ones(1).double(), atol=1e-14)
    assert (model.emission[:, :FIRST] == 0).all()
    assert torch.allclose(model.initial @ model.transition, model.initial, atol=1e-12)


def test_mess3_has_the_matrices_of_the_paper():
    """Shai et al., appendix: x = 0.05, a = 0.85."""
    first = [[0.765, 0.00375, 0.00375], [0.0425, 0.0675, 0.00375], [0.0425, 0.00375, 0.0675]]
    third = [[0.0675, 0.00375, 0.0425], [0.00375, 0.0675, 0.0425], [0.00375, 0.00375, 0.765]]
    found = labelled(mess3())
    assert torch.allclose(found[0], torch.tensor(first).double(), atol=1e-7)
    assert torch.allclose(found[2], torch.tensor(third).double(), atol=1e-7)
    for wrong in ((0.0, 0.5), (0.5, 0.5), (0.1, 1.0)):
        with pytest.raises(ValueError, match="x must be between 0 and 0.5, and a between 0 and 1"):
            mess3(*wrong)


def test_rrxor_writes_two_bits_and_their_exclusive_or():
    language = HiddenMarkovLanguage(length=30, model=rrxor())
    keys = Keys.of(0, 50)
    bits, states = language.take(keys)["input_ids"] - FIRST, language.hidden_states(keys)
    names = [[rrxor_states()[s][0] for s in row] for row in states.tolist()]
    begins = 0
    for row, (text, path) in enumerate(zip(bits.tolist(), names, strict=True)):
        for t in range(3, 30):
            if path[t] == "start":
                assert text[t] == text[t - 1] ^ text[t - 2], (row, t)
                begins += 1
    assert begins > 300


@pytest.mark.parametrize(("model", "words"), [(mess3(), 3), (rrxor(), 2)], ids=["mess3", "rrxor"])
def test_beliefs_and_surprises_are_those_of_every_path(model, words):
    rows = texts(words, 5)
    probability = enumerated(model, rows)[1]
    assert probability.sum().item() == pytest.approx(1, abs=1e-12)
    rows, probability = rows[probability > 0], probability[probability > 0]
    found = filtered(model, rows)
    assert torch.allclose(found.surprise.sum(1), -probability.log(), atol=1e-10)
    for t in range(5):
        assert torch.allclose(found.beliefs[:, t], enumerated(model, rows[:, :t + 1])[0], atol=1e-12)


def entropies(model, words, length):
    """H(token t | tokens before), for t = 1 to length, exactly: over all texts."""
    rows = texts(words, length)
    probability = enumerated(model, rows)[1]
    rows, probability = rows[probability > 0], probability[probability > 0]
    return (probability[:, None] * filtered(model, rows).surprise).sum(0)


def test_rrxor_has_two_bits_in_three_tokens():
    """The entropy rate is ⅔ log 2; from no context on, what is known of the place lowers it to that."""
    found = entropies(rrxor(), 2, 12)
    assert found[0].item() == pytest.approx(math.log(2), abs=1e-12)
    assert (found.diff() <= 1e-12).all()
    assert 2 / 3 * math.log(2) < found[-1].item() < 0.52
    states = rrxor()  # its states are known once the place is: the rate is that of the chain of states
    rate = -(states.initial[:, None] * torch.special.xlogy(states.transition, states.transition)).sum()
    assert rate.item() == pytest.approx(2 / 3 * math.log(2), abs=1e-12)


def test_the_first_tokens_of_mess3_by_hand():
    """H(first) = log 3; of two, P(same) = Σⱼ P(j | i) P(k | j) summed by hand."""
    found = entropies(mess3(), 3, 6)
    own, other = 0.85, 0.075
    alike = own * own + 2 * other * other  # both show k from one state
    cross = 2 * own * other + other * other  # from two given different states
    same = 0.9 * alike + 0.1 * cross
    rest = (1 - same) / 2
    assert found[0].item() == pytest.approx(math.log(3), abs=1e-12)
    assert found[1].item() == pytest.approx(-same * math.log(same) - 2 * rest * math.log(rest), abs=1e-12)
    assert (found.diff() < 0).all() and 0.78 < found[-1] < 0.82


def test_beliefs_over_eight_states_are_summed_to_those_of_the_papers():
    found = rrxor_beliefs(filtered(rrxor(), texts(2, 4)[:3]).beliefs)
    assert found.shape == (3, 4, 5) and torch.allclose(found.sum(-1), torch.ones(1).double())
    first = found[0, 0]  # after one 0: it was the first bit, the second, or an exclusive or
    assert first.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 6, 1 / 6])
    assert len(RRXOR_STATES) == 5


def test_what_masked_models_can_know_takes_both_sides():
    language = HiddenMarkovLanguage(length=4, model=mess3())
    text = texts(3, 4)[[5, 40]]
    blank = text.clone()
    blank[:, 1] = SPECIAL.mask
    both = BayesOptimal(language).states(blank)[:, 1]  # P(state | the other three tokens)
    model = language.model
    for row, tokens in enumerate(text):
        shown = model.emission[:, tokens]  # (K, T)
        path = model.initial * shown[:, 0] @ model.transition
        after = model.transition @ (shown[:, 2] * (model.transition @ shown[:, 3]))
        expected = path * after
        assert torch.allclose(both[row], expected / expected.sum(), atol=1e-12)


def test_from_where_on_a_text_is_impossible_it_costs_infinitely_much():
    found = filtered(rrxor(), torch.tensor([[5, 5, 6, 5, 5, 6, 6, 6, 6, 6, 5, 5], [0] * 12]))
    impossible = found.surprise.isinf()
    assert impossible[1].all() and impossible[0].any() and not impossible[0, 0]
    first = int(impossible[0].nonzero()[0])
    assert impossible[0, first:].all() and torch.equal(found.beliefs.isnan().all(2), impossible)
