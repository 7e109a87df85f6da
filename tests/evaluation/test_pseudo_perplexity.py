"""Pseudo-log-likelihoods against one token at a time, and against a language that can be summed out."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pretrain_lib as pl
from pretrain_lib.data.text.hidden_markov import (
    SPECIAL,
    HiddenMarkovLanguage,
    HiddenMarkovModel,
    stationary,
)
from pretrain_lib.evaluation.bayes import BayesOptimal, bayes_loss
from pretrain_lib.evaluation.pseudo_perplexity import (
    pseudo_log_likelihoods,
    pseudo_perplexity,
    scored_tokens,
)

V = 40
SIZES = {"vocab_size": V, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 32, "initializer_range": 0.5}  # fmt: skip
NETWORKS = {
    "BERT": pl.BertForMaskedLM(pl.BertConfig(**SIZES, hidden_dropout_prob=0.5)),
    "BERT, two heads": pl.BertForPreTraining(pl.BertConfig(**SIZES)),
    "ModernBERT": pl.ModernBertForMaskedLM(pl.ModernBertConfig(**SIZES, local_attention=4)),
}


def texts(lengths, seed=0):
    """Padded texts [CLS] … [SEP] with so many tokens between the two."""
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths) + 2
    ids, mask = torch.zeros(2, len(lengths), width, dtype=torch.long)
    for row, n in enumerate(lengths):
        words = torch.randint(len(SPECIAL), V, (n,), generator=generator)
        ids[row, : n + 2] = torch.tensor([SPECIAL.cls, *words, SPECIAL.sep])
        mask[row, : n + 2] = 1
    return ids, mask


@torch.no_grad()
def one_at_a_time(model, ids, mask):
    """Each text without its padding, each token hidden by itself, every position projected."""
    model.eval()
    found = torch.zeros(ids.shape, dtype=next(model.parameters()).dtype)
    for row, length in enumerate(mask.sum(1).tolist()):
        for t in range(1, length - 1):
            text = ids[row : row + 1, :length].clone()
            truth, text[0, t] = int(text[0, t]), SPECIAL.mask
            logits = model(text)
            logits = getattr(logits, "masked_lm", logits)
            found[row, t] = logits[0, t].log_softmax(-1)[truth]
    return found


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=6, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), batch_size=st.integers(1, 20))
def test_equal_to_one_token_at_a_time(name, lengths, batch_size):
    model = NETWORKS[name].train()
    ids, mask = texts(lengths, seed=sum(lengths))
    ours = pseudo_log_likelihoods(model, ids, SPECIAL, mask, batch_size=batch_size)
    assert model.training
    torch.testing.assert_close(ours, one_at_a_time(model, ids, mask), atol=1e-5, rtol=1e-5)
    scored = scored_tokens(ids, SPECIAL)
    assert (ours[scored] < 0).all() and (ours[~scored] == 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_to_rounding_in_float64(name):
    model = type(NETWORKS[name])(NETWORKS[name].config).double()
    ids, mask = texts([7, 3, 5])
    ours = pseudo_log_likelihoods(model, ids, SPECIAL, mask, batch_size=4)
    assert ours.dtype == torch.float64
    torch.testing.assert_close(ours, one_at_a_time(model, ids, mask), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_texts_in_one_block_do_not_see_each_other(name):
    model = NETWORKS[name].eval()
    ids, mask = texts([4, 6])
    alone = pseudo_log_likelihoods(model, ids, SPECIAL, mask)
    parts = [row[m == 1] for row, m in zip(ids, mask, strict=True)]
    block = torch.cat(parts)[None]
    numbers = torch.cat([torch.full_like(part, k) for k, part in enumerate(parts, 1)])[None]
    places = torch.cat([torch.arange(len(part)) for part in parts])[None]
    packed = pseudo_log_likelihoods(model, block, SPECIAL, numbers, places)
    torch.testing.assert_close(packed[0], torch.cat([alone[0, :6], alone[1]]), atol=1e-5, rtol=1e-5)


def test_a_predictor_that_counts_is_scored_too():
    ids, mask = texts([6, 4, 9], seed=3)
    counted = pl.TwoSidedBigram([row[1:8].numpy() for row in ids], V, SPECIAL, weight=0.9)
    ours = pseudo_log_likelihoods(counted, ids, SPECIAL, mask, batch_size=3)
    assert ours[0, 1] == counted(ids, mask)[0, 1, ids[0, 1]]  # it never looks at the blank itself
    everywhere = counted(ids, mask).gather(2, ids[..., None])[..., 0]
    scored = scored_tokens(ids, SPECIAL)
    torch.testing.assert_close(ours[scored], everywhere[scored])


def test_later_pieces_of_a_word_can_be_hidden_with_it():
    model = NETWORKS["BERT"].eval()
    ids = torch.tensor([[SPECIAL.cls, 10, 30, 31, 11, 32, SPECIAL.sep]])  # words 10-30-31 and 11-32
    continues = torch.arange(V) >= 30
    ours = pseudo_log_likelihoods(model, ids, SPECIAL, continues=continues)
    for t, hidden in {1: [1, 2, 3], 2: [2, 3], 3: [3], 4: [4, 5], 5: [5]}.items():
        shown = ids.clone()
        shown[0, hidden] = SPECIAL.mask
        with torch.no_grad():
            expected = model(shown)[0, t].log_softmax(-1)[ids[0, t]]
        torch.testing.assert_close(ours[0, t], expected, atol=1e-5, rtol=1e-5)


# A language small enough to sum over every sentence

W, T = 3, 4


def small_language(seed):
    generator = torch.Generator().manual_seed(seed)
    transition = (2 * torch.randn(2, 2, dtype=torch.double, generator=generator)).softmax(1)
    words = (2 * torch.randn(2, W, dtype=torch.double, generator=generator)).softmax(1)
    emission = torch.cat([torch.zeros(2, len(SPECIAL), dtype=torch.double), words], dim=1)
    model = HiddenMarkovModel(stationary(transition), transition, emission)
    return HiddenMarkovLanguage(length=T, model=model)


def probabilities(language):
    """P(sentence) for every sentence, (W,) * T, by summing over every path of states."""
    initial, transition, emission = language.model
    words = emission[:, len(SPECIAL):]
    table = torch.zeros((W,) * T, dtype=torch.double)
    for path in itertools.product(range(2), repeat=T):
        p = initial[path[0]]
        for a, b in itertools.pairwise(path):
            p = p * transition[a, b]
        table += p * torch.einsum("a,b,c,d->abcd", *(words[state] for state in path))
    return table


@pytest.mark.parametrize("seed", [0, 1])
def test_the_exact_posterior_gives_the_closed_form(seed):
    language = small_language(seed)
    table = probabilities(language)
    ids = torch.tensor(list(itertools.product(range(len(SPECIAL), len(SPECIAL) + W), repeat=T)))
    ours = pseudo_log_likelihoods(BayesOptimal(language), ids, SPECIAL)
    given = [table / table.sum(t, keepdim=True) for t in range(T)]
    exact = torch.stack([p.log().flatten() for p in given], dim=1)
    torch.testing.assert_close(ours, exact, atol=1e-12, rtol=0)

    expected = -(table.flatten()[:, None] * exact).sum(0)  # H(token at t | all others), (T,)
    sampled = language.take(pl.Keys.of(seed, 4000))["input_ids"]
    surprise = -pseudo_log_likelihoods(BayesOptimal(language), sampled, SPECIAL).mean(1)  # a sentence
    error = surprise.std().item() / math.sqrt(len(surprise))
    assert abs(surprise.mean().item() - expected.mean().item()) < 4 * error < 0.05
    ours = pseudo_perplexity(-surprise[:, None], torch.ones(len(surprise), 1, dtype=torch.bool))
    assert math.isclose(ours, math.exp(surprise.mean().item()))


def test_one_blank_of_a_sentence_is_the_bayes_loss():
    language = HiddenMarkovLanguage(length=16)
    ids = language.take(pl.Keys.of(0, 50))["input_ids"]
    place = torch.arange(50)[:, None] % 16
    hidden = ids.scatter(1, place, SPECIAL.mask)
    bound = bayes_loss(language, hidden, place, ids.gather(1, place))
    ours = pseudo_log_likelihoods(BayesOptimal(language), ids, SPECIAL).gather(1, place)
    assert math.isclose(-ours.mean().item(), bound, rel_tol=1e-12)


def test_nothing_to_score_is_refused():
    empty = torch.tensor([[SPECIAL.cls, SPECIAL.sep]])
    with pytest.raises(ValueError, match="special tokens only"):
        pseudo_log_likelihoods(NETWORKS["BERT"], empty, SPECIAL)
    with pytest.raises(ValueError, match="no token counts"):
        pseudo_perplexity(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool))
