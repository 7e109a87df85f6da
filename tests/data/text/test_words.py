"""Whole words as tokens: each known word is one, and what is saved reads the same elsewhere."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib import load_tokenizer, save_tokenizer, special_ids, word_tokenizer
from pretrain_lib.data.text.tokenizer import continues_word

TEXTS = ["A red three, left of a BLUE seven!", "d'Artagnan's 2 hats", "a café"]


def test_ids_are_the_places_of_words_in_alphabetical_order():
    tokenizer = word_tokenizer(TEXTS)
    words = sorted({word for text in TEXTS for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    assert tokenizer.get_vocab() == {word: number for number, word in enumerate(known)}
    assert tuple(special_ids(tokenizer)) == (0, 1, 2, 3, 4)
    expected = [2, *(known.index(word) for word in ("a", "blue", "hats", ",", "seven")), 3]
    assert tokenizer.encode("a Blue HATS,seven").ids == expected
    assert tokenizer.encode("a", "blue").type_ids == [0, 0, 0, 1, 1]
    assert not continues_word(tokenizer).any()


def test_order_and_repetition_of_texts_change_nothing():
    again = word_tokenizer([*reversed(TEXTS), *TEXTS])
    assert again.to_str() == word_tokenizer(TEXTS).to_str()
    assert word_tokenizer(iter(TEXTS)).to_str() == again.to_str()


def test_two_ways_to_write_a_letter_are_one():
    tokenizer = word_tokenizer(["caf\u00e9"])
    assert tokenizer.encode("cafe\u0301").ids == tokenizer.encode("CAF\u00c9").ids == [2, 5, 3]
    assert tokenizer.encode("cafe").ids == [2, 1, 3]


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_no_word_of_the_texts_is_unknown(texts):
    try:
        tokenizer = word_tokenizer(texts)
    except ValueError as error:
        assert "hold no word" in str(error)
        return
    assert all(1 not in tokenizer.encode(text).ids for text in texts)


def test_a_saved_one_reads_the_same_here_and_in_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = word_tokenizer(TEXTS)
    save_tokenizer(tokenizer, tmp_path, token_types=False)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "a red, unheard-of seven"
    assert load_tokenizer(tmp_path).encode(text).ids == tokenizer.encode(text).ids == theirs(text)["input_ids"]
    assert 1 in theirs(text)["input_ids"] and theirs.pad_token_id == 0


def test_texts_without_a_word_are_refused():
    for texts in ([], ["", "  "]):
        with pytest.raises(ValueError, match="hold no word"):
            word_tokenizer(texts)
    with pytest.raises(ValueError, match="put it in a list"):
        word_tokenizer("a red three")
