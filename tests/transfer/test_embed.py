"""Texts as vectors: in their order, whatever the batches."""

import pytest
import torch

import pretrain_lib as pl

TEXTS = ["gold silver coin in the army", "war fort", "the army of gold and silver and coin", "coin", "war and war and war"]


@pytest.fixture(scope="module")
def tokenizer():
    return pl.train_tokenizer(TEXTS, 80)


@pytest.fixture(scope="module")
def model():
    return pl.BertModel(pl.BertConfig(80, 16, 2, 2, 24, max_position_embeddings=16), 0)


def test_order_batches_and_padding_change_nothing(model, tokenizer):
    alone = torch.cat([pl.embed(model, tokenizer, [text]) for text in TEXTS])
    for size in (1, 2, 64):
        assert (pl.embed(model, tokenizer, TEXTS, size) - alone).abs().max() < 1e-5
    backwards = pl.embed(model, tokenizer, TEXTS[::-1], 2)
    assert (backwards.flip(0) - alone).abs().max() < 1e-5 and alone.shape == (5, 16)


def test_dropout_is_off_and_a_model_in_training_stays_so(model, tokenizer):
    model.train()
    assert torch.equal(pl.embed(model, tokenizer, TEXTS), pl.embed(model, tokenizer, TEXTS)) and model.training


def test_they_are_the_features_of_the_encoded_texts(model, tokenizer):
    there = pl.features(model, pl.encode_texts(TEXTS, tokenizer, 16))
    assert (pl.embed(model, tokenizer, TEXTS) - there).abs().max() < 1e-5


def test_long_texts_are_cut_where_the_model_ends(model, tokenizer):
    long = " ".join(["war"] * 50)
    assert torch.equal(pl.embed(model, tokenizer, [long]), pl.embed(model, tokenizer, [" ".join(["war"] * 14)]))
    short = pl.SentenceEmbedder(model, max_seq_length=5)
    assert torch.equal(pl.embed(short, tokenizer, [long]), pl.embed(short, tokenizer, ["war war war"]))
    recurrent = pl.BidirectionalLSTM(pl.BidirectionalLSTMConfig(80))
    assert not torch.equal(pl.embed(recurrent, tokenizer, [long]), pl.embed(recurrent, tokenizer, [long + " coin"]))


def test_what_cannot_be_embedded_is_refused(model, tokenizer):
    for texts, message in ((["war", " "], "text 1 has no word to make a vector of: ' '"), ("war", "got a single string: put it in a list"),
                           ([], "there is no text to encode")):
        with pytest.raises(ValueError, match=message):
            pl.embed(model, tokenizer, texts)
    with pytest.raises(ValueError, match="LinearAutoencoder reads no text"):
        pl.embed(pl.LinearAutoencoder(6, 2), tokenizer, ["war"])
    with pytest.raises(ValueError, match="input_ids must be 0 to 9, the ids of the vocabulary"):
        pl.embed(pl.BertModel(pl.BertConfig(10, 16, 2, 2, 24)), tokenizer, ["war"])
