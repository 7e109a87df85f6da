"""Bits per byte: against every order of a tiny language, and across tokenizers."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pretrain_lib as pl
from pretrain_lib.data.text.hidden_markov import SPECIAL, HiddenMarkovLanguage, HiddenMarkovModel, stationary
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.evaluation.bayes import BayesOptimal
from pretrain_lib.evaluation.bits_per_byte import bits_per_byte, in_parts, lost_bytes, random_order_bound, text_spans

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


def network():
    config = pl.ModernBertConfig(vocab_size=len(SPECIAL) + 3, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                 intermediate_size=24, max_position_embeddings=16, initializer_range=0.8)  # fmt: skip
    return pl.ModernBertForMaskedLM(config)


def test_with_exact_answers_it_is_what_a_text_costs(language):
    sentences = list(itertools.product(WORDS, repeat=T))
    exact = torch.tensor([cost(language, sentence) for sentence in sentences])
    assert np.allclose(costs_by_order(BayesOptimal(language), sentences[5]), exact[5])  # in every order
    found = random_order_bound(BayesOptimal(language), sentences, SPECIAL, orders=400)
    error = found.std(1) / 20
    assert ((found.mean(1) - exact).abs() < 5 * error + 1e-9).all() and error.max() < 0.2
    entropy = float((exact * (-exact).exp()).sum())
    assert float((found.mean(1) * (-exact).exp()).sum()) == pytest.approx(entropy, abs=0.05)


def test_of_a_network_it_is_the_mean_over_all_orders_which_bounds_their_mixture():
    model, sentences = network().eval(), [(5, 6, 7, 5), (7, 7, 6), (6,)]  # of different lengths
    found = random_order_bound(model, sentences, SPECIAL, orders=600)
    for sentence, ours in zip(sentences, found, strict=True):
        costs = costs_by_order(model, sentence)
        assert costs.std() > 0.05 or len(sentence) == 1
        assert ours.mean().item() == pytest.approx(costs.mean(), abs=5 * ours.std().item() / math.sqrt(600) + 1e-5)
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


# ------------------------------------------------------------------------------ across tokenizers

ENGLISH = ["The quick brown fox jumps over the lazy dog, and the dog sleeps on.", "A second line: of other words!"] * 5
HINDI = ["कल सुबह पल भर में नदी के पुल पर बहुत लोग आए थे।", "दिन में सुर और ताल के साथ समाचार पढ़े गए।"] * 5


def sized(tokenizer):
    """A network that has learned nothing, for a tokenizer."""
    config = pl.ModernBertConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                 intermediate_size=24, max_position_embeddings=64)  # fmt: skip
    return pl.ModernBertForMaskedLM(config)


def test_a_tokenizer_that_makes_everything_unknown_comes_last():
    spans = text_spans(HINDI, characters=40)
    scores = {}
    for name, texts, kind in (("its own", HINDI, "wordpiece"), ("bytes", HINDI, "bpe"), ("foreign", ENGLISH, "wordpiece")):
        tokenizer = train_tokenizer(texts, 300, kind=kind)
        scores[name] = bits_per_byte(sized(tokenizer), tokenizer, spans)
    unknown = tokenizer.token_to_id("[UNK]")
    assert set(tokenizer.encode(HINDI[0], add_special_tokens=False).ids) == {unknown}
    assert scores["foreign"].value >= 8 and scores["foreign"].lost == 1
    assert max(scores["its own"].value, scores["bytes"].value) < 8
    assert scores["bytes"].lost == 0


def test_a_network_that_knows_nothing_costs_the_logarithm_of_its_vocabulary():
    tokenizer = train_tokenizer(ENGLISH, 300, kind="bpe", lowercase=False)
    model = sized(tokenizer)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    spans = text_spans(ENGLISH, characters=50)
    tokens = sum(len(tokenizer.encode(span, add_special_tokens=False)) for span in spans)
    size = sum(len(span.encode()) for span in spans)
    for length in (None, 8):  # read as one, or in parts
        found = bits_per_byte(model, tokenizer, spans, length=length)
        assert found.value == pytest.approx(tokens * math.log2(tokenizer.get_vocab_size()) / size + 8 * found.lost, rel=1e-5)


@pytest.mark.parametrize("text, again, lost", [
    ("same", "same", 0), ("Two Words", "two words", 2), ("a\n\nb", "a b", 2), ("naïve", "naive", 2),
    ("读 book", "book", 4), ("don't", "don ' t", 0), ("भर", "", 6),
])  # fmt: skip
def test_bytes_that_are_not_given_back_are_counted(text, again, lost):
    assert lost_bytes(text, again) == lost


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=6), st.integers(1, 9))
def test_spans_are_the_text(texts, characters):
    spans = [t[i:i + characters] for t in texts for i in range(0, len(t), characters)]
    spans = [span for span in spans if not span.isspace()]
    if not spans:
        with pytest.raises(ValueError, match="there is no text to score"):
            text_spans(texts, characters=characters)
    else:
        assert text_spans(texts, len(spans), characters) == spans
        kept = text_spans(texts, 2, characters)
        assert len(kept) == min(2, len(spans)) and set(kept) <= set(spans)


@given(st.integers(0, 40), st.integers(3, 12))
def test_parts_are_the_whole_and_fit(n, length):
    parts = in_parts(range(n), length)
    assert [i for part in parts for i in part] == list(range(n))
    assert all(0 < len(part) <= length - 2 for part in parts)
    assert in_parts(range(n), None) == ([range(n)] if n else [])
