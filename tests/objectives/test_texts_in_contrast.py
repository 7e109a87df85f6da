"""Contrast on texts: one text twice, told apart by dropout alone; and neighbours."""

import math

import pytest
import torch

import pretrain_lib as pl

TEXT = ("input_ids", "attention_mask")
TWICE = {"first": TEXT, "second": TEXT}
PAIRS = {"first": TEXT, "second": tuple(f"other_{name}" for name in TEXT)}


def embedder(dropout, seed=0):
    config = pl.BertConfig(60, 16, 2, 2, 24, max_position_embeddings=16, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    return pl.SentenceEmbedder(pl.BertModel(config, seed)).double()


@pytest.fixture(scope="module")
def texts():
    sentences = ["gold and silver", "the army of the north", "war", "peace in the north", "gold", "silver and the army"]
    tokenizer = pl.train_tokenizer(sentences, 60)
    return pl.encode_texts(sentences, tokenizer, 16, text=pl.text_numbers(sentences)), tokenizer


def views(objective, model, data):
    keys = pl.Keys.of(0, range(len(data)))
    return objective.compared(model, objective.batch(data.take(keys), keys))


def test_dropout_makes_two_views_of_one_text_in_training_and_none_without_it(texts):
    objective, (data, _) = pl.Contrastive(TWICE), texts
    for dropout, training, differ in ((0.1, True, True), (0.0, True, False), (0.1, False, False)):
        torch.manual_seed(0)
        first, second = views(objective, embedder(dropout).train(training), data)
        away = (first - second).norm(dim=1)
        assert (away > 0.01).all() if differ else (away < 1e-10).all()


def test_views_without_dropout_are_those_of_two_calls(texts):
    objective, (data, _) = pl.Contrastive(TWICE), texts
    model = embedder(0.0).train()
    first, _ = views(objective, model, data)
    assert (first - model(data.input_ids, data.attention_mask)).abs().max() < 1e-12


def test_features_are_compared_where_a_model_answers_token_by_token(texts):
    data, _ = texts
    shape = dict(vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
    for kind, config in ((pl.BertModel, pl.BertConfig), (pl.ModernBertForMaskedLM, pl.ModernBertConfig)):
        model = kind(config(**shape)).double().eval()
        first, second = views(pl.Contrastive(TWICE, features=True), model, data)
        mean = pl.SentenceEmbedder(model, normalize=False)(data.input_ids, data.attention_mask)
        assert (first - mean).abs().max() < 1e-12 and (second - mean).abs().max() < 1e-12
        with pytest.raises(ValueError, match="with features=True, or projection="):
            views(pl.Contrastive(TWICE), model, data)
    with pytest.raises(ValueError, match="projection must be empty where the features are compared themselves"):
        pl.Contrastive(TWICE, projection=(16, 8), features=True)


def loss_of(model, objective, data):
    torch.manual_seed(0)
    keys = pl.Keys.of(0, range(len(data)))
    with torch.no_grad():
        return (objective(model, objective.batch(data.take(keys), keys))["contrastive"] / len(data)).item()


@pytest.mark.parametrize("kind", ["one text twice", "neighbours"])
def test_it_is_learned_with_the_trainer(kind, texts):
    data, tokenizer = texts
    if kind == "neighbours":
        pairs = pl.Neighbours("pairs", data.sentences, [f"so {text} it is" for text in data.sentences], [str(i) for i in range(len(data))])
        data = pl.encode_neighbours(pairs, tokenizer, 16)
    model = embedder(0.1).float()
    objective = pl.Contrastive(TWICE if kind == "one text twice" else PAIRS, temperature=0.05, learned=False)
    before = loss_of(model.train(), objective, data)
    config = pl.TrainConfig(steps=40, batch_size=6, learning_rate=3e-3, device="cpu", precision="fp32")
    pl.Trainer(model, objective, data, config).fit()
    after = loss_of(model.train(), objective, data)
    assert after < before - 0.1 and after < math.log(len(data))


def test_one_text_alone_has_nothing_to_be_told_from(texts):
    objective, (data, _) = pl.Contrastive(TWICE), texts
    one = data.subset([0])
    with pytest.raises(ValueError, match="a contrastive loss compares the samples of a batch: it needs at least two, got one"):
        loss_of(embedder(0.1), objective, one)
