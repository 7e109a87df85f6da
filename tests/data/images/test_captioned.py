"""Images with captions: which captions are one, what is padded, and which words are refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib import Augmented, CaptionedImages, Keys, RandomCrop, train_tokenizer, word_tokenizer

TEXTS = ["a red three", "a blue seven, a red three", "A  RED three", "a blue seven"]
PICTURES = torch.arange(4 * 12, dtype=torch.uint8).view(4, 3, 2, 2)


def test_columns_are_what_is_said():
    pictures = CaptionedImages(PICTURES, TEXTS)
    assert pictures.captions == [TEXTS[0], TEXTS[1], TEXTS[3]] and pictures.caption.tolist() == [0, 1, 0, 2]
    vocab = pictures.tokenizer.get_vocab()
    for text, ids, mask in zip(TEXTS, pictures.input_ids.tolist(), pictures.attention_mask.tolist()):
        words = text.lower().replace(",", " ,").split()
        row = [2, *(vocab[word] for word in words), 3]
        assert ids == row + [0] * (9 - len(row)) and mask == [1] * len(row) + [0] * (9 - len(row))
    taken = pictures.take(Keys.of(0, [3, 1]))
    assert set(taken) == {"images", "input_ids", "attention_mask", "caption"}
    assert torch.equal(taken["images"], PICTURES[[3, 1]].float() / 255) and taken["caption"].tolist() == [2, 1]


@given(st.lists(st.sampled_from(["a", "b", "a b", "b a", "a, b", "c"]), min_size=1, max_size=12))
@settings(deadline=None)
def test_captions_are_numbered_in_the_order_in_which_they_come(texts):
    pictures = CaptionedImages(torch.zeros(len(texts), 1, 1, 1), texts)
    different = list(dict.fromkeys(texts))
    assert pictures.captions == different
    assert pictures.caption.tolist() == [different.index(text) for text in texts]


def test_a_subset_keeps_numbers_names_and_tokenizer():
    pictures = CaptionedImages(PICTURES, TEXTS, columns={"colour": torch.tensor([0, 1, 0, 1])},
                               names={"colour": ("red", "blue")}, name="mine", about="own")
    part = pictures.subset([3, 0])
    assert part.captions == pictures.captions and part.caption.tolist() == [2, 0] and part.colour.tolist() == [1, 0]
    assert part.tokenizer is pictures.tokenizer and part.names == {"colour": ["red", "blue"]} and part.name == "mine"
    assert len(pictures) == 4 and len(part) == 2 and part.image_shape == (3, 2, 2)
    assert repr(part) == "CaptionedImages(mine: 2 images of (3, 2, 2), 3 different captions)"
    with pytest.raises(ValueError, match="empty"):
        pictures.subset(torch.tensor([], dtype=torch.long))


def test_augmented_pictures_keep_their_captions():
    keys = Keys.of(0, [1, 0])
    taken = Augmented(CaptionedImages(PICTURES, TEXTS), [RandomCrop(1)]).take(keys)
    assert torch.equal(taken["input_ids"], CaptionedImages(PICTURES, TEXTS).take(keys)["input_ids"])


def test_prompts_are_encoded_as_captions_are_and_unknown_words_named():
    pictures = CaptionedImages(PICTURES, TEXTS)
    assert torch.equal(pictures.encode(TEXTS).input_ids, pictures.input_ids) and pictures.encode(TEXTS).sentences == TEXTS
    assert pictures.encode(["three"]).input_ids.shape == (1, 3)
    with pytest.raises(ValueError, match="does not know the word 'Treee' of the caption 'a Treee': did you mean 'three'\\? Else"):
        pictures.encode(["red", "a Treee"])
    with pytest.raises(ValueError, match="the word 'ξ' of the caption 'a ξ': make it from texts that have the word"):
        pictures.encode(["a ξ"])
    assert pictures.encode(["a ξ"], unknown=True).input_ids.tolist() == [[2, pictures.tokenizer.token_to_id("a"), 1, 3]]


def test_a_test_set_shares_the_tokenizer_and_has_no_words_of_its_own():
    tokenizer = word_tokenizer(TEXTS)
    tokens = CaptionedImages(PICTURES[:1], ["a blue three"], tokenizer)
    assert tokens.tokenizer is tokenizer
    with pytest.raises(ValueError, match="the word 'green'"):
        CaptionedImages(PICTURES[:1], ["a green three"], tokenizer)
    assert 1 in CaptionedImages(PICTURES[:1], ["a green three"], tokenizer, unknown=True).input_ids


def test_a_tokenizer_of_subwords_works_too():
    tokenizer = train_tokenizer(TEXTS, vocab_size=40)
    pictures = CaptionedImages(PICTURES, TEXTS, tokenizer)
    assert pictures.input_ids[1].tolist() == tokenizer.encode(TEXTS[1]).ids
    pictures.encode(["even blues"], unknown=True)
    with pytest.raises(ValueError, match="the word 'q'"):
        pictures.encode(["a q"])
    tokenizer.enable_padding(length=50)  # what others have set stays theirs
    assert CaptionedImages(PICTURES, TEXTS, tokenizer).input_ids.shape == pictures.input_ids.shape
    assert tokenizer.padding["length"] == 50


def test_what_is_cut_is_told(caplog):
    pictures = CaptionedImages(PICTURES, TEXTS, length=5)
    assert pictures.input_ids.shape == (4, 5) and pictures.captions == [TEXTS[0], TEXTS[1]]
    assert "1 of 4 captions are cut to length=5 tokens, the first is 'a blue seven, a red three'" in caplog.text


@pytest.mark.parametrize("captions, message", [
    (TEXTS[:3], "3 captions do not fit 4 images"),
    (["a", "b", "...", "d"], "caption 2 has no word: '...'"),
    (["a", "", "c", "d"], "caption 1 has no word: ''"),
    (["a", None, "c", "d"], "captions must be strings, caption 1 is None"),
    ("four", "captions must be several, got a single string"),
])
def test_captions_that_say_nothing_are_refused(captions, message):
    with pytest.raises(ValueError, match=message):
        CaptionedImages(PICTURES, captions)


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        CaptionedImages(PICTURES, TEXTS, columns={"colour": torch.zeros(3)})
