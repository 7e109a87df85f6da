"""Writing: against known distributions, loops of one text at a time, and the exact denoiser of a known language."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.hidden_markov import SPECIAL, HiddenMarkovLanguage, HiddenMarkovModel, stationary
from pretrain_lib.evaluation.bayes import BayesOptimal, filtered
from pretrain_lib.transfer.generate import Guide, draw, fine_uniform, nucleus, sample_causal, sample_masked

V = 12
SIZES = {"vocab_size": V, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
         "max_position_embeddings": 16, "initializer_range": 0.5}


def network(kind=pl.ModernBertForMaskedLM, **extra):
    model = kind(pl.ModernBertConfig(**SIZES), seed=1, **extra).double().eval()
    if hasattr(model, "decoder_bias"):
        model.decoder_bias.data[:5] = 3.0  # it would write special tokens, if it might
    return model


def blanks(texts: int, length: int) -> torch.Tensor:
    return torch.tensor([[SPECIAL.cls, *[SPECIAL.mask] * length, SPECIAL.sep]]).repeat(texts, 1)


def shares(logits: torch.Tensor) -> torch.Tensor:
    """The distribution over tokens of texts, 0 for special ones."""
    return logits.detach().index_fill(-1, torch.arange(5), -torch.inf).softmax(-1)


class Uniform(nn.Module):
    """Finds every token as likely as any other."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scores", torch.zeros(V))

    def forward(self, input_ids, attention_mask=None, positions=None):
        return self.scores.expand(*positions.shape, V)


@pytest.mark.parametrize("steps, order", [(1, "random"), (2, "random"), (None, "random"), (3, "confident")])
def test_of_a_uniform_language_every_text_is_as_likely(steps, order):
    ids = sample_masked(Uniform(), blanks(1500, 4), SPECIAL, Keys.of(0, 1500), steps, order)
    words = ids[:, 1:5] - 5
    assert stats.chisquare(torch.bincount(words.flatten())).pvalue > 1e-3
    for one, two in itertools.combinations(range(4), 2):
        assert stats.chisquare(torch.bincount(words[:, one] * 7 + words[:, two], minlength=49)).pvalue > 1e-3


def test_one_step_draws_every_blank_on_its_own():
    model, n = network(), 3000
    ids = sample_masked(model, blanks(n, 3), SPECIAL, Keys.of(0, n), steps=1)
    p = shares(model(blanks(1, 3)))[0, 1:4, 5:]  # (3, 7)
    for place in range(3):
        counts = torch.bincount(ids[:, 1 + place] - 5, minlength=7)
        assert stats.chisquare(counts, n * p[place]).pvalue > 1e-3
    pairs = torch.bincount((ids[:, 1] - 5) * 7 + ids[:, 2] - 5, minlength=49).double()
    expected = n * (p[0][:, None] * p[1]).flatten()
    rare = expected < 5
    counts = [*pairs[~rare], pairs[rare].sum()]
    assert stats.chisquare(counts, [*expected[~rare], expected[rare].sum()]).pvalue > 1e-3


# ----------------------------------------------------------------------- a language that is known


@pytest.fixture(scope="module")
def tiny():
    """Three words in sentences of three: 27 of them."""
    generator = torch.Generator().manual_seed(0)
    transition = (2 * torch.randn(2, 2, dtype=torch.double, generator=generator)).softmax(1)
    words = (2 * torch.randn(2, 3, dtype=torch.double, generator=generator)).softmax(1)
    emission = torch.cat([torch.zeros(2, 5, dtype=torch.double), words], dim=1)
    return HiddenMarkovLanguage(length=3, model=HiddenMarkovModel(stationary(transition), transition, emission))


def test_one_at_a_time_in_random_order_the_exact_denoiser_writes_the_language(tiny):
    n, sentences = 4000, torch.cartesian_prod(*[torch.arange(5, 8)] * 3)
    p = (-filtered(tiny.model, sentences).surprise).sum(1).exp()
    code = torch.tensor([9, 3, 1])
    pvalue = {}
    for steps, order in ((3, "random"), (1, "random"), (3, "confident")):
        ids = sample_masked(BayesOptimal(tiny), blanks(n, 3), SPECIAL, Keys.of(1, n), steps, order)
        counts = torch.bincount((ids[:, 1:4] - 5) @ code, minlength=27)
        pvalue[steps, order] = stats.chisquare(counts, n * p).pvalue
    assert pvalue[3, "random"] > 1e-3
    assert max(pvalue[1, "random"], pvalue[3, "confident"]) < 1e-6  # neither does


def test_samples_of_the_exact_denoiser_cost_what_sentences_cost():
    language = HiddenMarkovLanguage(states=8, vocab_size=25, length=12, seed=3)
    n, cost = 300, {}
    for steps in (1, 12):
        ids = sample_masked(BayesOptimal(language), blanks(n, 12), SPECIAL, Keys.of(0, n), steps)[:, 1:-1]
        cost[steps] = filtered(language.model, ids).surprise.sum(1)
    true = filtered(language.model, language.take(Keys.of(0, 20_000))["input_ids"]).surprise.sum(1).mean()
    assert abs(cost[12].mean() - true) < 3 * cost[12].std() / n**0.5
    assert cost[1].mean() - true > 10 * cost[1].std() / n**0.5


# ------------------------------------------------------------------------------------------ masked


def by_hand(model, ids, keys, steps, order):
    """One text, one blank at a time."""
    ids, total, steps = ids.clone(), int((ids == SPECIAL.mask).sum()), min(steps, len(ids))
    rank = keys.uniform("order", ids.shape)[0]
    for step in range(steps):
        hidden = [i for i in range(len(ids)) if ids[i] == SPECIAL.mask]
        number = len(hidden) - total * (steps - 1 - step) // steps
        p = shares(model(ids[None]))[0]
        u = fine_uniform(keys, f"token {step}", len(ids))[0]
        token = {i: int((p[i].cumsum(0) <= u[i]).sum()) for i in hidden}
        first = sorted(hidden, key=lambda i: rank[i] if order == "random" else -p[i, token[i]])
        for i in first[:number]:
            ids[i] = token[i]
    return ids


@given(st.integers(0, 1000), st.integers(1, 9), st.sampled_from(["random", "confident"]))
@settings(max_examples=8, deadline=None)
def test_it_does_what_a_loop_over_texts_does_and_leaves_the_rest_as_it_is(seed, steps, order):
    model, generator = network(), torch.Generator().manual_seed(seed)
    ids = torch.randint(5, V, (4, 9), generator=generator)
    ids[torch.rand(ids.shape, generator=generator) < torch.tensor([[0.0], [0.3], [0.6], [1.0]])] = SPECIAL.mask
    ids[:, 0], ids[0, 1] = SPECIAL.cls, SPECIAL.unk
    before = ids.clone()
    found = sample_masked(model, ids, SPECIAL, Keys.of(seed, 4), steps, order)
    assert torch.equal(ids, before)
    given_ = ids != SPECIAL.mask
    assert torch.equal(found[given_], ids[given_]) and (found[~given_] >= 5).all()
    for i, row in enumerate(ids):
        assert torch.equal(found[i], by_hand(model, row, Keys.of(seed, [i]), steps, order))


def test_padding_changes_nothing():
    model, mask = network(), torch.tensor([[1] * 6 + [0] * 3])
    text = torch.tensor([[2, 4, 7, 4, 4, 3]])
    padded = torch.cat([text, torch.zeros(1, 3, dtype=torch.long)], 1)
    for order in ("random", "confident"):
        found = sample_masked(model, padded, SPECIAL, Keys.of(5, 1), 1, order, temperature=0, attention_mask=mask)
        assert torch.equal(found[:, :6], sample_masked(model, text, SPECIAL, Keys.of(5, 1), 1, order, temperature=0))


def test_tokens_that_no_tokenizer_has_are_not_written():
    ids = sample_masked(Uniform(), blanks(200, 3), SPECIAL, Keys.of(0, 200), vocab_size=9)
    assert set(ids[:, 1:4].flatten().tolist()) == set(range(5, 9))


def test_a_guide_weighs_tokens_by_bayes_rule():
    model, classifier = network(), network(pl.ModernBertForSequenceClassification, num_labels=3)
    nn.init.normal_(classifier.classifier.weight, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[2, 4, 7, 8, 3, 0], [2, 9, 4, 6, 11, 3]])
    mask, places = (ids > 0).long(), torch.tensor([[1], [2]])
    logits = model(ids, mask, positions=places).detach().index_fill(-1, torch.arange(5), -torch.inf)
    steered = Guide(classifier, label=2, weight=1.5, candidates=4)(logits, ids, places, mask).softmax(-1)
    for row in range(2):
        expected = torch.zeros(V, dtype=torch.double)
        for token in shares(logits)[row, 0].topk(4).indices:
            text = ids[row][mask[row] == 1].clone()
            text[places[row, 0]] = token
            fits = classifier(text[None]).softmax(-1)[0, 2].item()
            expected[token] = shares(logits)[row, 0, token] * fits**1.5
        assert torch.allclose(steered[row, 0], expected / expected.sum(), atol=1e-6)  # angles are float32
    found = sample_masked(model, ids, SPECIAL, Keys.of(0, 2), temperature=0, attention_mask=mask,
                          guide=Guide(classifier, label=2, weight=1.5, candidates=4))
    assert torch.equal(found.gather(1, places), steered.argmax(-1))


# ------------------------------------------------------------------------------------------ causal


@pytest.mark.parametrize("model", [
    network(pl.ModernBertForCausalLM),
    pl.NeuralProbabilisticLM(pl.NeuralProbabilisticLMConfig(V, order=3, embedding_size=4, hidden_size=6)).double(),
], ids=lambda model: type(model).__name__)  # fmt: skip
def test_a_causal_model_writes_from_its_own_distribution(model):
    n, start = 3000, torch.tensor([[2, 7]])
    ids = sample_causal(model, start.repeat(n, 1), 2, SPECIAL, Keys.of(0, n))
    assert torch.equal(ids[:, :2], start.repeat(n, 1)) and (ids[:, 2:] >= 5).all()
    p = torch.zeros(7, 7, dtype=torch.double)
    for token in range(7):
        first, second = shares(model(torch.tensor([[2, 7, token + 5, 0]])))[0, 2:, 5:]
        p[token] = first[token] * second
    counts, expected = torch.bincount((ids[:, 2] - 5) * 7 + ids[:, 3] - 5, minlength=49).double(), n * p.flatten()
    rare = expected < 5
    assert stats.chisquare([*counts[~rare], counts[rare].sum()], [*expected[~rare], expected[rare].sum()]).pvalue > 1e-3


def test_what_is_kept_of_the_tokens_read_changes_no_text():
    model, start = network(pl.ModernBertForCausalLM), torch.randint(5, V, (6, 3), generator=torch.Generator().manual_seed(0))
    found = sample_causal(model, start, 12, SPECIAL, Keys.of(0, 6), temperature=0.7, top_p=0.9)
    ids, u = start, fine_uniform(Keys.of(0, 6), "token", 12)
    for i in range(12):
        logits = model(torch.cat([ids, ids[:, :1]], 1))[:, -1].detach().index_fill(-1, torch.arange(5), -torch.inf)
        ids = torch.cat([ids, draw(nucleus(logits, 0.7, 0.9), u[:, i])[:, None]], 1)
    assert torch.equal(found, ids)
    with pytest.raises(ValueError, match="longer than the model's 16 positions"):
        sample_causal(model, start, 20, SPECIAL, Keys.of(0, 6))


# --------------------------------------------------------------------------------- drawing a token


@given(st.lists(st.floats(-4, 4), min_size=2, max_size=8), st.floats(0.05, 1), st.floats(0.2, 3))
@settings(max_examples=50, deadline=None)
def test_a_nucleus_is_the_fewest_tokens_that_make_up_the_share(logits, top_p, temperature):
    logits = torch.tensor(logits, dtype=torch.double)
    p = (logits / temperature).softmax(-1)
    found = nucleus(logits, temperature, top_p).softmax(-1)
    kept = found > 0
    assert top_p == 1 or p[kept].sum() >= top_p - 1e-12
    assert p[kept].sum() - p[kept].min() < top_p + 1e-12 and (kept.all() or p[kept].min() >= p[~kept].max())
    assert torch.allclose(found[kept], p[kept] / p[kept].sum(), atol=1e-12)


def test_a_token_is_drawn_as_often_as_it_is_probable():
    p = torch.tensor([0.2, 0.0, 0.5, 0.3], dtype=torch.double)
    u = (torch.arange(1000, dtype=torch.double) + 0.5) / 1000
    assert torch.bincount(draw(p.log().expand(1000, -1), u)).tolist() == [200, 0, 500, 300]
    ends = torch.tensor([0.0, 1 - 2.0**-48], dtype=torch.double)
    assert draw(p.log().expand(2, -1), ends).tolist() == [0, 3]
    for temperature in (0, 1e-300):
        assert nucleus(p.log(), temperature, 1.0).softmax(-1).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("call, message", [
    (lambda ids, keys: sample_masked(network(pl.ModernBertForCausalLM), ids, SPECIAL, keys), "writes from left to right.*sample_causal"),
    (lambda ids, keys: sample_causal(network(), ids, 3, SPECIAL, keys), "looks at both sides.*sample_masked"),
    (lambda ids, keys: sample_masked(network(pl.ModernBertModel), ids, SPECIAL, keys), "no head that predicts tokens"),
    (lambda ids, keys: sample_masked(Uniform(), ids, SPECIAL, keys, 0), "steps must be at least 1, got 0"),
    (lambda ids, keys: sample_masked(Uniform(), ids, SPECIAL, keys, order="best"), "order must be one of random, confident, got 'best'"),
    (lambda ids, keys: sample_masked(Uniform(), ids, SPECIAL, keys, temperature=-1), "temperature must be at least 0, got -1"),
    (lambda ids, keys: sample_masked(Uniform(), ids, SPECIAL, keys, top_p=0), "top_p must be above 0 and at most 1, got 0"),
    (lambda ids, keys: sample_causal(network(pl.ModernBertForCausalLM), ids, 0, SPECIAL, keys), "number of tokens must be at least 1, got 0"),
    (lambda ids, keys: sample_causal(network(pl.ModernBertForCausalLM), ids[:, :0], 2, SPECIAL, keys), "a token to begin with"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message):
        call(blanks(1, 2), Keys.of(0, 1))
