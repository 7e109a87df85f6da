"""Two towers: their vectors are those of their parts, a folder brings them back, and a bag of words knows no order."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import pretrain_lib as pl
from pretrain_lib.models.two_towers import tower_of
from pretrain_lib.training.optimizer import rate_factors

BERT = pl.BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=12)
VIT = pl.ViTConfig(image_size=8, patch_size=4, num_channels=1, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def texts(n=6, length=9):
    """Of 9, 6, 3 tokens in turn."""
    ids = torch.randint(5, 40, (n, length), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(length) < torch.tensor([9, 6, 3]).repeat(n)[:n, None]).long()
    return ids * mask, mask


def towers(text=None, **settings):
    return pl.TwoTowers(pl.ViTModel(VIT), text or pl.BertModel(BERT), 7, **settings).double().eval()


def test_a_vector_is_a_projection_of_its_encoders_features():
    model, images, (ids, mask) = towers(), normal(6, 1, 8, 8), texts()
    image, text = model.towers["image"], model.towers["text"]
    torch.testing.assert_close(image(images), image.encoder.encode(images) @ image.projection.weight.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(text(ids, mask), text.encoder.encode(ids, mask) @ text.projection.weight.T, rtol=0, atol=1e-12)
    assert image.projection.bias is text.projection.bias is None
    for vectors, unit in ((image(images), model.encode_image(images)), (text(ids, mask), model.encode_text(ids, mask))):
        assert vectors.shape == (6, 7)
        torch.testing.assert_close(unit, vectors / vectors.square().sum(1, keepdim=True).sqrt(), rtol=0, atol=1e-12)


def test_what_it_reads_by_itself_is_the_image():
    model, images = towers(), normal(6, 1, 8, 8)
    assert (model.columns, model.feature_size) == (("images",), 12)
    assert torch.equal(model.encode(images), model.towers["image"].encoder.encode(images))
    assert isinstance(model.with_classifier(3), pl.ViTForImageClassification)


def test_features_of_a_tower_are_its_vectors():
    ids, mask = texts()
    source, tower = pl.Columns(input_ids=ids, attention_mask=mask), towers().float().towers["text"]
    with torch.no_grad():
        torch.testing.assert_close(pl.features(tower, source), tower(ids, mask))


def test_seeds_draw_the_projections_of_unit_variance():
    one, same, other = (towers(seed=seed) for seed in (0, 0, 5))
    for name in ("image", "text"):
        a, b, c = (model.towers[name].projection.weight for model in (one, same, other))
        assert torch.equal(a, b) and not torch.equal(a, c)
    wide = pl.Tower(pl.BagOfWords(pl.BagOfWordsConfig(5, 400)), 300).projection.weight
    assert wide.square().sum(1).mean().item() == pytest.approx(1, rel=0.01)


def test_a_folder_brings_both_back_with_the_tokenizer_of_the_texts(tmp_path):
    tokenizer = pl.train_tokenizer(["gold silver coin", "army war fort"], 40)
    model = towers(pl.BagOfWords(pl.BagOfWordsConfig(40, 10))).float()
    pl.save_pretrained(model, tmp_path / "m", tokenizer)
    back = pl.load_pretrained(tmp_path / "m")
    assert type(back) is pl.TwoTowers and type(back.towers["text"].encoder) is pl.BagOfWords
    assert all(torch.equal(back.state_dict()[name], t) for name, t in model.state_dict().items())
    assert pl.load_tokenizer(tmp_path / "m").get_vocab() == tokenizer.get_vocab()
    with pytest.raises(ValueError, match="the tokenizer has .* tokens, the model 20"):
        pl.save_pretrained(towers(pl.BagOfWords(pl.BagOfWordsConfig(20, 10))), tmp_path / "n", tokenizer)


def test_a_frozen_encoder_stays_as_it_is_while_the_rest_trains():
    resnet = pl.ResNetModel(pl.ResNetConfig(1, 8, (8, 12), (1, 1), stem="cifar")).requires_grad_(False)
    model = pl.TwoTowers(resnet, pl.BertModel(BERT), 7)
    ids, mask = texts()
    source = pl.Columns(images=normal(6, 1, 8, 8, dtype=torch.float32), input_ids=ids, attention_mask=mask)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    objective = pl.Contrastive({"image": ["images"], "text": ["input_ids", "attention_mask"]})
    pl.Trainer(model, objective, source, pl.TrainConfig(steps=3, batch_size=6, learning_rate=0.01, device="cpu")).fit()
    moved = {name.rsplit(".", 1)[0] for name, t in model.state_dict().items() if not torch.equal(before[name], t)}
    assert {"towers.image.projection", "towers.text.projection"} <= moved
    assert not any(name.startswith("towers.image.encoder") for name in moved) and any("text.encoder" in name for name in moved)


def test_layers_of_both_towers_learn_the_less_the_nearer_to_the_input():
    factors = rate_factors(towers(), 0.5)
    assert factors["towers.text.encoder.embeddings.word.weight"] == 0.5 ** 3
    assert factors["towers.image.encoder.embeddings.projection.weight"] == 0.5 ** 2
    assert factors["towers.text.projection.weight"] == factors["towers.image.projection.weight"] == 1


def test_a_tower_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="TwoTowers has no tower 'sound': its towers are image, text"):
        tower_of(towers(), "sound")
    with pytest.raises(ValueError, match="Flatten has no tower 'image': its towers are none"):
        tower_of(torch.nn.Flatten(), "image")
    with pytest.raises(ValueError, match="projection_size must be an integer of at least 1, got 0"):
        pl.TwoTowers(pl.ViTModel(VIT), pl.BertModel(BERT), 0)


# ------------------------------------------------------------------------------------- bag of words


def test_a_bag_of_words_is_linear_in_the_counts_of_its_tokens():
    model, (ids, mask) = pl.BagOfWords(pl.BagOfWordsConfig(40, 10)).double(), texts()
    counts = torch.stack([F.one_hot(row[real.bool()], 40).sum(0) for row, real in zip(ids, mask)]).double()
    expected = counts / counts.sum(1, keepdim=True) @ model.embeddings.weight
    torch.testing.assert_close(model.encode(ids, mask), expected, rtol=0, atol=1e-12)


def test_the_order_of_words_is_nothing_to_it():
    ids, _ = texts(8)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    bag, bert = (towers(text) for text in (pl.BagOfWords(pl.BagOfWordsConfig(40, 10)), None))
    assert (bag.encode_text(ids) - bag.encode_text(ids[:, order])).abs().max() < 1e-12
    assert (bert.encode_text(ids) - bert.encode_text(ids[:, order])).abs().max() > 1e-3


def test_words_that_it_has_not_are_refused():
    with pytest.raises(ValueError, match="input_ids must be 0 to 4, the ids of the vocabulary, got 5"):
        pl.BagOfWords(pl.BagOfWordsConfig(5))(torch.tensor([[5]]))
    with pytest.raises(ValueError, match="hidden_size must be an integer of at least 1, got 0"):
        pl.BagOfWordsConfig(5, 0)
