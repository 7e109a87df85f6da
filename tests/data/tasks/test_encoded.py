"""Encoded texts: the tokenizer's ids, padded at the end, cut at a length, no wider than they are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.tasks.encoded import (
    EncodedText,
    encode_labelled,
    encode_text_pairs,
    encode_texts,
)
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.tasks.labelled import LabelledText
from pretrain_lib.data.text.tokenizer import special_ids, train_tokenizer

WORDS = "the union of these states is a nation at peace with all foreign powers".split()
TOKENIZER = train_tokenizer([" ".join(WORDS)], 120)
SPECIAL = special_ids(TOKENIZER)
SENTENCES = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=8)


@given(SENTENCES, st.integers(3, 20))
@settings(max_examples=40, deadline=None)
def test_rows_are_the_tokenizers_ids_cut_at_the_length(sentences, length):
    encoded = encode_texts(sentences, TOKENIZER, length)
    assert len(encoded) == len(sentences) and encoded.sentences == sentences
    for sentence, ids, mask in zip(sentences, encoded.input_ids, encoded.attention_mask, strict=True):
        whole = TOKENIZER.encode(sentence).ids
        expected = whole if len(whole) <= length else [*whole[: length - 1], SPECIAL.sep]
        assert ids[mask == 1].tolist() == expected
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)
        assert (ids[mask == 0] == SPECIAL.pad).all()
    assert encoded.input_ids.shape[1] <= length


def test_a_batch_is_as_wide_as_its_longest_text_and_no_token_is_lost():
    encoded = encode_texts(["the union", "these states of the union", "a"], TOKENIZER, 30)
    for ids in ([0], [0, 2], [1, 0], [0, 1, 2]):
        samples = encoded.take(Keys.of(0, ids))
        longest = max(len(TOKENIZER.encode(encoded.sentences[i]).ids) for i in ids)
        assert samples["input_ids"].shape == samples["attention_mask"].shape == (len(ids), longest)
        assert samples["attention_mask"].sum() == encoded.attention_mask[ids].sum()


def test_the_tokenizer_stays_as_it_is():
    before = TOKENIZER.to_str()
    encode_texts(["the union of these states"], TOKENIZER, 4)
    assert TOKENIZER.to_str() == before


def test_labels_and_sentences_stay_beside_their_rows():
    text = LabelledText("mine", ["the union", "a nation at peace", "powers"], np.array([2, 0, 1]),
                        ["a", "b", "c"], ["1", "2", "3"])  # fmt: skip
    encoded = encode_labelled(text, TOKENIZER, 16)
    part = encoded.subset([2, 0])
    assert isinstance(part, EncodedText)
    assert part.sentences == ["powers", "the union"] and part.labels.tolist() == [1, 2]
    assert torch.equal(part.input_ids, encoded.input_ids[[2, 0]])
    assert encoded.subset(range(2)).sentences == text.sentences[:2]


@given(SENTENCES, SENTENCES, st.integers(5, 9))
@settings(max_examples=40, deadline=None)
def test_of_a_pair_something_of_each_text_stays(first, second, length):
    pairs = [(a, b) for a, b in zip(first, second, strict=False) if a and b] or [("the", "union")]
    encoded = encode_text_pairs(*zip(*pairs, strict=True), TOKENIZER, length)
    for ids, kinds in zip(encoded.input_ids, encoded.token_type_ids, strict=True):
        real = ~torch.isin(ids, torch.tensor(SPECIAL))
        assert (real & (kinds == 0)).any() and (real & (kinds == 1)).any()
        assert (ids == SPECIAL.sep).sum() == 2


@pytest.mark.parametrize("length", [3, 4])
def test_a_length_without_place_for_both_texts_is_refused(length):
    with pytest.raises(ValueError, match=f"length must be at least 5, .* got {length}"):
        encode_text_pairs(["the union"], ["of these states"], TOKENIZER, length)


def test_what_cannot_be_encoded_is_named():
    with pytest.raises(ValueError, match=r"length must be at least 3.*got 2"):
        encode_texts(["the union"], TOKENIZER, 2)
    with pytest.raises(ValueError, match="no text to encode"):
        encode_texts([], TOKENIZER)
    with pytest.raises(ValueError, match="1 sentences do not fit 2 rows"):
        EncodedText(["one"], input_ids=torch.ones(2, 3), attention_mask=torch.ones(2, 3))


def test_the_blank_of_a_task_is_the_tokens_own():
    """Sentences of the tasks "sentiment" and "continent" hold one [MASK], which a model must see as such."""
    tokenizer = train_tokenizer(["a good word and a bad one"] * 9, 60)
    found = encode_texts(["a [MASK] word", "a word"], tokenizer, 8)
    assert (found.input_ids == special_ids(tokenizer).mask).sum(1).tolist() == [1, 0]
