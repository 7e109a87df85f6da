"""What a text costs: against every order, every path and every sentence of a tiny language."""

import itertools
import math

import numpy as np
import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.data.text.hidden_markov import SPECIAL, HiddenMarkovLanguage, HiddenMarkovModel, stationary
from pretrain_lib.evaluation.bayes import BayesOptimal, filtered
from pretrain_lib.evaluation.text_cost import causal_costs, every_order_bound, per_unit, random_order_bound, text_costs

WORDS, T = range(len(SPECIAL), len(SPECIAL) + 3), 4


@pytest.fixture(scope="module")
def language():
    """Three words in sentences of four, so few that all can be listed."""
    generator = torch.Generator().manual_seed(0)
    transition = (2 * torch.randn(2, 2, dtype=torch.double, generator=generator)).softmax(1)
    words = (2 * torch.randn(2, len(WORDS), dtype=torch.double, generator=generator)).softmax(1)
    emission = torch.cat([torch.zeros(2, len(SPECIAL), dtype=torch.double), words], dim=1)
    return HiddenMarkovLanguage(length=T, model=HiddenMarkovModel(stationary(transition), transition, emission))


def cost(language, sentence):
    """−log P(sentence), summed over every path of states."""
    initial, transition, emission = language.model
    total = 0.0
    for path in itertools.product(range(2), repeat=len(sentence)):
        p = initial[path[0]] * emission[path[0], sentence[0]]
        for (a, b), word in zip(itertools.pairwise(path), sentence[1:], strict=True):
            p = p * transition[a, b] * emission[b, word]
        total += float(p)
    return -math.log(total)


@torch.no_grad()
def costs_by_order(model, sentence):
    """−log P(sentence) in each order of saying it, one token after the other."""
    found = []
    for order in itertools.permutations(range(len(sentence))):
        ids, nats = torch.tensor([[SPECIAL.cls, *[SPECIAL.mask] * len(sentence), SPECIAL.sep]]), 0.0
        for place in order:
            logits = model(ids)
            nats -= float(logits[0, place + 1].double().log_softmax(-1)[sentence[place]])
            ids[0, place + 1] = sentence[place]
        found.append(nats)
    return np.array(found)


def network(kind=pl.ModernBertForMaskedLM):
    config = pl.ModernBertConfig(vocab_size=len(SPECIAL) + 3, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                 intermediate_size=24, max_position_embeddings=16, initializer_range=0.8)  # fmt: skip
    return kind(config).double().eval()


def test_with_exact_answers_it_is_what_a_text_costs(language):
    sentences = list(itertools.product(WORDS, repeat=T))
    exact = torch.tensor([cost(language, sentence) for sentence in sentences])
    assert np.allclose(costs_by_order(BayesOptimal(language), sentences[5]), exact[5])  # in every order
    for sentence in sentences[::9]:
        assert every_order_bound(BayesOptimal(language), sentence, SPECIAL) == pytest.approx(cost(language, sentence), abs=1e-10)
    found = random_order_bound(BayesOptimal(language), sentences, SPECIAL, orders=100)
    error = found.std(1) / 10
    assert ((found.mean(1) - exact).abs() < 5 * error + 1e-9).all() and error.max() < 0.45
    entropy = float((exact * (-exact).exp()).sum())
    assert float((found.mean(1) * (-exact).exp()).sum()) == pytest.approx(entropy, abs=0.1)


def test_of_a_network_it_is_the_mean_over_all_orders_which_bounds_their_mixture():
    model, sentences = network(), [(5, 6, 7, 5), (7, 7, 6), (6,)]  # of different lengths
    found = random_order_bound(model, sentences, SPECIAL, orders=200)
    for sentence, ours in zip(sentences, found, strict=True):
        costs = costs_by_order(model, sentence)
        assert every_order_bound(model, sentence, SPECIAL) == pytest.approx(costs.mean(), abs=1e-10)
        assert costs.std() > 0.05 or len(sentence) == 1
        assert ours.mean().item() == pytest.approx(costs.mean(), abs=5 * ours.std().item() / math.sqrt(200) + 1e-5)
        assert costs.mean() >= -math.log(np.exp(-costs).mean()) - 1e-9


def test_a_worse_predictor_costs_more_than_the_language(language):
    sentences = language.take(pl.Keys.of(0, 64))["input_ids"].tolist()
    exact, network_ = (random_order_bound(model, sentences, SPECIAL, orders=16).mean() for model in
                       (BayesOptimal(language), network()))
    assert network_ > exact + 0.1


def test_the_batch_does_not_matter():
    sentences = [(5, 6, 7, 5), (7, 7, 6), (6,), (5, 5, 5, 5, 5)]
    one, many = (random_order_bound(network(), sentences, SPECIAL, batch_size=size) for size in (1, 4))
    assert torch.allclose(one, many, atol=1e-5)


def test_the_bound_of_any_network_is_at_least_the_entropy_of_the_language(language):
    sentences = list(itertools.product(WORDS, repeat=T))
    p = (-filtered(language.model, torch.tensor(sentences)).surprise).sum(1).exp()
    model = network()
    bound = torch.tensor([every_order_bound(model, sentence, SPECIAL) for sentence in sentences], dtype=torch.double)
    assert (p * bound).sum() > -(p * p.log()).sum() + 0.1


def test_a_text_whose_masks_are_too_many_to_try_is_refused():
    for text in ((), range(5, 22)):
        with pytest.raises(ValueError, match=f"1 to 16 tokens for all its masks to be tried, got {len(text)}"):
            every_order_bound(network(), text, SPECIAL)


def test_the_forward_algorithm_sums_over_all_paths(language):
    sentences = list(itertools.product(WORDS, repeat=T))
    found = (-filtered(language.model, torch.tensor(sentences)).surprise)
    assert torch.allclose(-found.sum(1), torch.tensor([cost(language, s) for s in sentences], dtype=torch.double), atol=1e-12)
    assert found.sum(1).exp().sum() == pytest.approx(1, abs=1e-12)
    assert torch.equal((-filtered(language.model, torch.tensor([[5, 0, 6]])).surprise)[0, 1:], torch.tensor([-math.inf] * 2).double())


@pytest.mark.parametrize("model", [
    network(pl.ModernBertForCausalLM),
    pl.NeuralProbabilisticLM(pl.NeuralProbabilisticLMConfig(8, order=3, embedding_size=4, hidden_size=6)).double(),
], ids=lambda model: type(model).__name__)  # fmt: skip
def test_a_causal_model_is_one_distribution_over_texts(model):
    texts = list(itertools.product(range(8), repeat=3))  # of all ids, special ones too
    costs = causal_costs(model, texts, SPECIAL, batch_size=100)
    assert costs.neg().exp().sum() == pytest.approx(1, abs=1e-10)
    assert costs.std() > 0.01
    ids = torch.tensor([[SPECIAL.cls, *texts[77]]])
    log_p = model(ids)[0].log_softmax(-1)
    assert costs[77].item() == pytest.approx(-sum(log_p[i + 1, id].item() for i, id in enumerate(texts[77])), abs=1e-10)
    some = [texts[9][:1], texts[100], texts[200][:2]]  # of different lengths, in batches and alone
    alone = torch.stack([causal_costs(model, [text], SPECIAL)[0] for text in some])
    assert torch.allclose(text_costs(model, some, SPECIAL), alone, atol=1e-6)  # angles are float32


def test_costs_by_unit_have_the_error_of_a_ratio():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 9, (4000, 50), generator=generator).double()
    costs = 2 * sizes + torch.randn(4000, 50, dtype=torch.double, generator=generator)
    found = [per_unit(*row) for row in zip(costs, sizes, strict=True)]
    values = torch.tensor([estimate.value for estimate in found])
    assert values.mean() == pytest.approx(2, abs=0.01)
    assert np.mean([estimate.standard_error for estimate in found]) == pytest.approx(values.std().item(), rel=0.05)
