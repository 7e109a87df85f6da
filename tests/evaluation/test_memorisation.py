"""Exposure of secrets against ranking by hand, loss gaps, and blanks filled with words of our choice."""

import math

import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.data.text.hidden_markov import SPECIAL, HiddenMarkovLanguage
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.evaluation.cloze import cloze_log_probabilities, log_odds
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.evaluation.memorisation import exposure, loss_gap, secret_scores

TEXT = "gold silver coin bank money tax army war soldier he she they ran"
TOKENIZER = train_tokenizer([TEXT], 120)
SIZES = {"vocab_size": 120, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 32, "initializer_range": 0.5}  # fmt: skip
MODELS = [pl.BertForPreTraining(pl.BertConfig(**SIZES)),
          pl.ModernBertForMaskedLM(pl.ModernBertConfig(**SIZES))]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_every_pair_has_the_score_of_hiding_each_of_its_words_in_turn(model):
    ids, slots = torch.tensor([2, 20, 21, 9, 22, 9, 3]), (3, 5)
    words = torch.tensor([30, 31, 40, 50])
    scores = secret_scores(model, ids, slots, words, SPECIAL.mask)
    assert scores.shape == (4, 4)
    model.eval()
    for i, a in enumerate(words):
        for j, b in enumerate(words):
            total = 0.0
            for own in slots:
                text = ids.clone()
                text[slots[0]], text[slots[1]] = a, b
                truth, text[own] = int(text[own]), SPECIAL.mask
                with torch.no_grad():
                    logits = model(text[None])
                logits = getattr(logits, "masked_lm", logits)
                total += logits[0, own].log_softmax(-1)[truth].item()
            assert math.isclose(scores[i, j].item(), total, rel_tol=1e-4)


def test_exposure_is_the_bits_that_the_rank_saves():
    scores = torch.arange(16.0).reshape(4, 4)
    assert exposure(scores, (3, 3)) == 4.0  # likeliest of 16
    assert exposure(scores, (3, 2)) == 3.0  # second
    assert exposure(scores, (0, 0)) == 0.0  # last
    assert exposure(torch.zeros(8), 3) == 0.0  # among equals the last
    assert math.isclose(sum(exposure(scores.flatten(), i) for i in range(16)) / 16,
                        4 - math.log2(math.factorial(16)) / 16)
    with pytest.raises(ValueError, match="NaN"):
        exposure(torch.tensor([0.0, math.nan]), 0)
    with pytest.raises(ValueError, match="two slots"):
        secret_scores(MODELS[0], torch.tensor([2, 9, 3]), (1, 1), torch.tensor([30]), SPECIAL.mask)


def test_the_gap_is_between_the_two_losses():
    language = HiddenMarkovLanguage(length=16)
    objective = pl.MaskedLM(SPECIAL, language.vocab_size)

    def blanks(seed):
        keys = pl.Keys.of(seed, 20)
        masked = objective.mask(language.take(keys)["input_ids"], keys)
        ones = torch.ones_like(masked.input_ids)
        places = torch.arange(16).expand_as(ones)
        return MaskedSet(masked.input_ids, ones, places, masked.positions, masked.labels)

    counts = torch.bincount(blanks(0).input_ids.flatten(), minlength=language.vocab_size)
    found = loss_gap(pl.Unigram(counts), blanks(0), blanks(1))
    assert found.seen == masked_scores(pl.Unigram(counts), blanks(0)).loss
    assert found.gap == found.unseen - found.seen != 0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_words_for_a_blank_have_the_probabilities_of_the_whole_softmax(model):
    sentences = ["[MASK] ran", "the soldier had gold , and [MASK] had money"]
    found = cloze_log_probabilities(model, TOKENIZER, sentences, ["he", "she"])
    model.eval()
    for sentence, row in zip(sentences, found, strict=True):
        ids = torch.tensor([TOKENIZER.encode(sentence).ids])
        with torch.no_grad():
            logits = model(ids)
        logits = getattr(logits, "masked_lm", logits)[0, (ids[0] == SPECIAL.mask).nonzero()[0, 0]]
        p = logits.softmax(-1)
        for word, value in zip(["he", "she"], row, strict=True):
            expected = p[TOKENIZER.token_to_id(word)].item()
            assert math.isclose(value.exp().item(), expected, rel_tol=1e-3)
    torch.testing.assert_close(log_odds(found), found[:, 0] - found[:, 1])


def test_bad_blanks_are_refused():
    with pytest.raises(ValueError, match="'zebra' is no single token"):
        cloze_log_probabilities(MODELS[0], TOKENIZER, ["[MASK] ran"], ["zebra"])
    for sentence in ("he ran", "[MASK] ran [MASK]"):
        with pytest.raises(ValueError, match="one \\[MASK\\]"):
            cloze_log_probabilities(MODELS[0], TOKENIZER, [sentence], ["he"])
