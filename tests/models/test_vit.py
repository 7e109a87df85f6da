"""ViTs: the numbers and gradients of transformers', in and out of its folders, and bad shapes."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from vits import SHAPES, TINY, as_saved, assert_equal, drawn_anew, gradients, images_for

import pretrain_lib as pl
from pretrain_lib.training.optimizer import rate_factors

EACH = pytest.mark.parametrize("shape", SHAPES)


@EACH
@pytest.mark.parametrize("dtype", [torch.double, torch.float])
def test_numbers_and_gradients_are_those_of_transformers(shape, dtype, tmp_path):
    theirs = drawn_anew(transformers.ViTForImageClassification(transformers.ViTConfig(**shape, num_labels=3)))
    theirs.save_pretrained(tmp_path)
    ours, theirs = pl.load_pretrained(tmp_path).to(dtype), theirs.to(dtype).eval()
    images = images_for(ours.config).to(dtype)
    a, b = ours(images), theirs(images).logits
    a.square().sum().backward()
    b.square().sum().backward()
    assert_equal({"logits": a, **gradients(ours, tmp_path)}, {"logits": b, **gradients(theirs, tmp_path)}, dtype)


def test_hidden_states_and_the_pooler_are_those_of_transformers(tmp_path):
    theirs = drawn_anew(transformers.ViTModel(transformers.ViTConfig(**TINY)))
    theirs.save_pretrained(tmp_path / "theirs")
    ours = pl.load_pretrained(tmp_path / "theirs").double()
    images = images_for(ours.config)
    hidden, expected = ours(images), theirs.double().eval()(images)
    torch.testing.assert_close(hidden, expected.last_hidden_state, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours.pooler(hidden), expected.pooler_output, rtol=0, atol=1e-10)
    assert torch.equal(ours.encode(images), hidden[:, 0])
    pl.save_pretrained(ours, tmp_path / "ours")
    _, report = transformers.ViTModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    pl.save_pretrained(ours.with_classifier(4), tmp_path / "headed")
    _, report = transformers.ViTForImageClassification.from_pretrained(tmp_path / "headed", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]


@EACH
def test_a_folder_goes_there_and_back_without_a_bit_changed(shape, tmp_path):
    config = pl.ViTConfig(**shape)
    for model in (pl.ViTModel(config, 3), pl.ViTForImageClassification(config, 5, 3)):
        drawn_anew(model)
        pl.save_pretrained(model, tmp_path / "ours")
        theirs, report = getattr(transformers, type(model).__name__).from_pretrained(tmp_path / "ours", output_loading_info=True)
        pooler = {"pooler.dense.weight", "pooler.dense.bias"} if type(model) is pl.ViTModel else set()  # ours has none
        assert set(report["missing_keys"]) == pooler and not report["unexpected_keys"]
        if pooler:
            theirs.pooler = None
        expected = as_saved(model, None)
        found = as_saved(theirs, tmp_path / "theirs")
        assert found.keys() == expected.keys() and all(torch.equal(found[name], t) for name, t in expected.items())
        back = pl.load_pretrained(tmp_path / "theirs")
        assert type(back) is type(model) and back.config == config
        assert all(torch.equal(back.state_dict()[name], t) for name, t in model.state_dict().items())


def test_fields_that_a_folder_leaves_out_are_those_of_transformers(tmp_path):
    theirs = drawn_anew(transformers.ViTForImageClassification(transformers.ViTConfig(hidden_size=24, num_labels=2)))
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"architectures": ["ViTForImageClassification"], "model_type": "vit", "hidden_size": 24}))
    ours = pl.load_pretrained(tmp_path)
    assert ours.config == pl.ViTConfig(hidden_size=24)
    images = images_for(ours.config, 1).float()
    with torch.no_grad():
        assert (ours(images) - theirs.eval()(images).logits).norm() <= 1e-5 * ours(images).norm()


def test_vit_base_has_its_published_size(monkeypatch):
    """86,567,656 parameters with 1,000 classes, as torchvision lists ViT-B/16."""
    monkeypatch.setattr("pretrain_lib.models.vit.initialise", lambda model, *arguments, **settings: model)
    with torch.device("meta"):
        model = pl.ViTForImageClassification(pl.ViTConfig(), 1000)
    assert sum(p.numel() for p in model.parameters()) == 86_567_656


def test_a_classifier_starts_at_uniform_on_the_encoders_own_weights():
    encoder = drawn_anew(pl.ViTModel(pl.ViTConfig(**TINY))).double()
    headed, images = encoder.with_classifier(7), images_for(encoder.config)
    assert torch.equal(headed(images), torch.zeros(5, 7, dtype=torch.double))
    assert torch.equal(headed.encode(images), encoder.encode(images))
    again = headed.with_classifier(2)
    assert again.encoder.state_dict().keys() == encoder.state_dict().keys() and again.num_labels == 2


def test_the_learning_rate_falls_from_layer_to_layer_towards_the_pixels():
    factors = rate_factors(pl.ViTForImageClassification(pl.ViTConfig(**TINY), 3), 0.5)
    assert [factors[name] for name in ("classifier.weight", "encoder.layers.1.attention.qkv.weight", "encoder.layers.0.feed_forward.up.bias",
                                       "encoder.embeddings.position")] == [1, 0.5, 0.25, 0.125]


def test_the_mean_over_patches_is_a_pooling_of_our_own_format(tmp_path):
    model = drawn_anew(pl.ViTForImageClassification(pl.ViTConfig(**TINY, pooling="mean"), 4)).eval()
    images = images_for(model.config).float()
    assert torch.equal(model.encode(images), model.encoder(images)[:, 1:].mean(1))
    pl.save_pretrained(model, tmp_path / "m")
    assert "model_type" not in json.loads((tmp_path / "m/config.json").read_text())
    back = pl.load_pretrained(tmp_path / "m")
    assert back.config == model.config and torch.equal(back(images), model(images))


def test_the_map_has_each_patch_where_it_lies():
    model = drawn_anew(pl.ViTModel(pl.ViTConfig(**TINY)))
    images = images_for(model.config).float().requires_grad_()
    found, hidden = model.maps(images), model(images)
    assert [each.shape[1] for each in found] == list(model.map_sizes) and found[0].shape == (5, 16, 3, 3)
    assert torch.equal(found[0][:, :, 1, 2], hidden[:, 1 + 1 * 3 + 2])
    model.layers = torch.nn.ModuleList()  # so that no patch sees another
    model.maps(images)[0][:, 0, 1, 2].sum().backward()
    reads = (images.grad != 0).any(0).any(0)
    assert reads[4:8, 8:12].all() and reads.sum() == 16


def test_the_maps_of_a_resnet_are_as_wide_as_it_says():
    model = pl.ResNetModel(pl.ResNetConfig(1, 4, (4, 6, 8), (1, 1, 1)))
    assert tuple(each.shape[1] for each in model.maps(torch.rand(2, 1, 32, 32))) == model.map_sizes


def test_dropout_is_of_training_only():
    config = pl.ViTConfig(**TINY, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    model, plain = pl.ViTModel(config, 1), pl.ViTModel(pl.ViTConfig(**TINY), 1)
    images = images_for(config).float()
    torch.manual_seed(0)
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), plain(images))


@pytest.mark.parametrize("wrong, said", [
    ({"patch_size": 5}, "patch_size must be a divisor of image_size=12, got 5"),
    ({"num_attention_heads": 3}, "num_attention_heads must be a divisor of hidden_size=16, got 3"),
    ({"num_channels": 0}, "num_channels must be an integer of at least 1, got 0"),
    ({"image_size": (12, 12)}, "image_size must be an int"),
    ({"pooling": "max"}, "pooling must be one of cls, mean, got 'max'"),
    ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob must be at least 0 and below 1"),
    ({"layer_norm_eps": 0}, "layer_norm_eps must be above 0"),
])
def test_a_wrong_shape_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        pl.ViTConfig(**TINY | wrong)


@pytest.mark.parametrize("shape", [(2, 1, 12, 12), (2, 3, 16, 16), (2, 3, 12, 8), (3, 12, 12)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 12, 12\) for num_channels=3 and image_size=12, got \("):
        pl.ViTModel(pl.ViTConfig(**TINY))(torch.rand(shape))


def test_a_mask_of_pixels_is_no_list_of_patches():
    with pytest.raises(ValueError, match=r"patches must be \(B, S\), numbers of patches, got \(2, 1, 12, 12\): for a mask take a ViTMAEForPreTraining"):
        pl.ViTModel(pl.ViTConfig(**TINY))(torch.rand(2, 3, 12, 12), torch.zeros(2, 1, 12, 12))


@pytest.mark.parametrize("field, value", [("hidden_act", "relu"), ("qkv_bias", False)])
def test_what_is_not_known_is_refused_in_a_folder(field, value, tmp_path):
    transformers.ViTModel(transformers.ViTConfig(**TINY, **{field: value})).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{field}={value!r}: known here is"):
        pl.load_pretrained(tmp_path)
