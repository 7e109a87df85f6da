"""Phrases in blanks against one sentence and one token at a time."""

import pytest
import torch

from pretrain_lib.data.text.tokenizer import special_ids, train_tokenizer
from pretrain_lib.evaluation.cloze import cloze_log_probabilities, phrase_log_probabilities
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForMaskedLM

TOKENIZER = train_tokenizer(["gold silver coin army war fort"] * 3, 80)
MODEL = ModernBertForMaskedLM(ModernBertConfig(TOKENIZER.get_vocab_size(), 16, 24, 2, 2, 128, initializer_range=0.3)).double().eval()
SENTENCES = ["the war of [MASK] is gold", "[MASK] coin", "army [MASK]"]
PHRASES = ["gold", "silver coin", "war", "fort army war"]


def test_the_scores_are_the_sums_of_the_tokens_alone():
    found = phrase_log_probabilities(MODEL, TOKENIZER, SENTENCES, PHRASES, batch_size=2)
    for row, sentence in enumerate(SENTENCES):
        for column, phrase in enumerate(PHRASES):
            tokens = TOKENIZER.encode(phrase, add_special_tokens=False).ids
            ids = torch.tensor([TOKENIZER.encode(sentence.replace("[MASK]", "[MASK] " * len(tokens))).ids])
            blanks = (ids[0] == special_ids(TOKENIZER).mask).nonzero().flatten()
            with torch.no_grad():
                each = MODEL(ids)[0, blanks].log_softmax(-1)
            expected = sum(each[i, token].item() for i, token in enumerate(tokens))
            assert found[row, column].item() == pytest.approx(expected, abs=1e-10)


def test_of_single_tokens_it_is_the_cloze():
    words = ["gold", "war"]
    assert torch.allclose(phrase_log_probabilities(MODEL, TOKENIZER, SENTENCES, words),
                          cloze_log_probabilities(MODEL, TOKENIZER, SENTENCES, words), rtol=0, atol=1e-10)  # fmt: skip


@pytest.mark.parametrize("sentences, phrases, message", [
    (SENTENCES, [], "there is no phrase"),
    (SENTENCES, ["gold", " "], "the phrase ' ' has no token"),
    (["gold"], ["war"], r"needs one \[MASK\], 'gold' has 0"),
    (["war " * 130 + "[MASK]"], ["war"], "lies behind the 128 tokens"),
])  # fmt: skip
def test_what_is_wrong_is_said(sentences, phrases, message):
    with pytest.raises(ValueError, match=message):
        phrase_log_probabilities(MODEL, TOKENIZER, sentences, phrases)
