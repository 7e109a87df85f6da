"""What a tokenizer cannot read, measured and told."""

import numpy as np
import pytest

from pretrain_lib.data.tasks.encoded import encode_texts
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.data.text.tokenizer import special_ids, train_tokenizer
from pretrain_lib.data.text.unknown import about_unknown, unknown_share

TOKENIZER = train_tokenizer(["the old river"] * 9, 100)
SPECIAL = special_ids(TOKENIZER)


@pytest.mark.parametrize("texts, share", [
    (["the old river"], 0.0), (["the old 河"], 1 / 3), (["河 川", "路"], 1.0), (["the", "old 河 the"], 1 / 4)])
def test_the_share_is_that_of_the_words_not_of_marks_and_padding(texts, share):
    encoded = encode_texts(texts, TOKENIZER)
    assert unknown_share(encoded.token_counts(), SPECIAL) == pytest.approx(share)
    ids = [encoding.ids for encoding in TOKENIZER.encode_batch(texts, add_special_tokens=False)]
    dataset = TokenDataset.in_memory(ids, TOKENIZER.get_vocab_size())
    assert unknown_share(dataset.counts, SPECIAL) == pytest.approx(share)


def test_a_text_without_tokens_has_none():
    assert unknown_share(np.zeros(3, dtype=int), SPECIAL) == 0


def test_above_two_in_a_hundred_a_line_tells_what_to_do():
    assert about_unknown(0.02) == "2.00% of the tokens are [UNK], what the tokenizer cannot read"
    warned = about_unknown(0.021)
    assert warned.startswith("Warning: 2.10%") and "--data.corpus YOUR_TEXT.txt" in warned
