"""ResNets: the numbers and gradients of transformers', in and out of its folders, and bad shapes."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

import pretrain_lib as pl

BASIC = {"embedding_size": 6, "hidden_sizes": (6, 8, 12), "depths": (1, 2, 1), "layer_type": "basic"}
SHAPES = [BASIC, BASIC | {"num_channels": 1, "hidden_sizes": (4, 8), "depths": (2, 1)},
          {"embedding_size": 8, "hidden_sizes": (8, 16), "depths": (2, 2), "layer_type": "bottleneck"}]


def drawn_anew(model):
    """All weights and running averages far from where training begins."""
    generator = torch.Generator().manual_seed(1)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator) if tensor.ndim < 2 else
                         torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
    return model


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [False, True])
def test_numbers_and_gradients_are_those_of_transformers(shape, training, tmp_path):
    theirs = drawn_anew(transformers.ResNetForImageClassification(transformers.ResNetConfig(**shape, num_labels=3)))
    theirs.save_pretrained(tmp_path)
    ours = pl.load_pretrained(tmp_path).double().train(training)
    theirs = theirs.double().train(training)
    images = torch.rand(4, theirs.config.num_channels, 37, 32, dtype=torch.float64)
    a, b = ours(images), theirs(images).logits
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    a.square().sum().backward()
    b.square().sum().backward()
    mine = {ours.hugging_face.theirs(name): p.grad for name, p in ours.named_parameters()}
    assert mine.keys() == {name for name, _ in theirs.named_parameters()}
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(mine[name], parameter.grad, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(ours.encoder.stem.norm.running_var,
                               theirs.resnet.embedder.embedder.normalization.running_var)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_folder_goes_there_and_back_without_a_bit_changed(shape, tmp_path):
    config = pl.ResNetConfig(**shape)
    for model in (pl.ResNetModel(config, 3), pl.ResNetForImageClassification(config, 5, 3)):
        drawn_anew(model)
        pl.save_pretrained(model, tmp_path / "ours")
        kind = getattr(transformers, type(model).__name__)
        theirs, report = kind.from_pretrained(tmp_path / "ours", output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"]
        theirs.save_pretrained(tmp_path / "theirs")
        back = pl.load_pretrained(tmp_path / "theirs")
        assert type(back) is type(model) and back.config == config
        for name, tensor in model.state_dict().items():
            assert torch.equal(back.state_dict()[name], tensor), name


def test_the_form_for_small_images_keeps_their_sides_and_is_saved_in_our_format(tmp_path):
    config = pl.ResNetConfig(**BASIC, stem="cifar")
    model = drawn_anew(pl.ResNetForImageClassification(config, 4)).eval()
    images = torch.rand(2, 3, 32, 32)
    assert [tuple(m.shape) for m in model.encoder.maps(images)] == [(2, 6, 32, 32), (2, 8, 16, 16), (2, 12, 8, 8)]
    pl.save_pretrained(model, tmp_path / "m")
    assert "model_type" not in json.loads((tmp_path / "m/config.json").read_text())
    back = pl.load_pretrained(tmp_path / "m")
    assert back.config == config and torch.equal(back(images), model(images))


def test_with_group_norm_a_sample_does_not_see_the_others(tmp_path):
    config = pl.ResNetConfig(**BASIC, norm="group")
    model = drawn_anew(pl.ResNetModel(config)).double().train()
    images = torch.rand(5, 3, 20, 20, dtype=torch.float64)
    together = model.encode(images)
    for one, image in zip(together, images, strict=True):
        torch.testing.assert_close(model.encode(image[None])[0], one, rtol=0, atol=1e-12)
    assert [m.num_groups for m in model.modules() if isinstance(m, torch.nn.GroupNorm)][:3] == [2, 2, 2]  # of 6 maps
    pl.save_pretrained(model.float(), tmp_path / "m")
    assert "model_type" not in json.loads((tmp_path / "m/config.json").read_text())
    back = pl.load_pretrained(tmp_path / "m")
    assert back.config == config and torch.equal(back.encode(images.float()), model.eval().encode(images.float()))


def test_resnet_18_and_50_have_their_published_sizes():
    """11,689,512 and 25,557,032 parameters with 1,000 classes, as torchvision lists them."""
    eighteen = pl.ResNetForImageClassification(pl.ResNetConfig(), 1000)
    fifty = pl.ResNetForImageClassification(
        pl.ResNetConfig(hidden_sizes=(256, 512, 1024, 2048), depths=(3, 4, 6, 3), layer_type="bottleneck"), 1000)
    assert [sum(p.numel() for p in model.parameters()) for model in (eighteen, fifty)] == [11_689_512, 25_557_032]


def test_a_classifier_starts_at_uniform_on_the_encoders_own_weights():
    encoder = drawn_anew(pl.ResNetModel(pl.ResNetConfig(**BASIC))).eval()
    headed = encoder.with_classifier(7).eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(headed(images), torch.zeros(2, 7))
    assert torch.equal(headed.encode(images), encoder.encode(images))
    again = headed.with_classifier(2)
    assert again.encoder.state_dict().keys() == encoder.state_dict().keys() and again.num_labels == 2


@pytest.mark.parametrize("wrong, said", [
    ({"depths": (1, 1)}, "depths must be one for each of hidden_sizes"),
    ({"hidden_sizes": 8}, "hidden_sizes must be whole numbers of at least 1, one for each stage, got 8"),
    ({"hidden_sizes": (6, 0, 8)}, "hidden_sizes must be whole numbers of at least 1"),
    ({"layer_type": "wide"}, "layer_type must be one of basic, bottleneck"),
    ({"stem": "none"}, "stem must be one of imagenet, cifar"),
    ({"norm": "layer"}, "norm must be one of batch, group"),
    ({"hidden_sizes": (6, 8, 12), "layer_type": "bottleneck"}, "hidden_sizes must be multiples of 4"),
    ({"num_channels": 0}, "num_channels"),
])
def test_a_wrong_shape_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        pl.ResNetConfig(**BASIC | wrong)


def test_images_of_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"images must be \(B, 3, H, W\).*got \(2, 1, 8, 8\)"):
        pl.ResNetModel(pl.ResNetConfig(**BASIC))(torch.rand(2, 1, 8, 8))


@pytest.mark.parametrize("field, value", [("hidden_act", "gelu"), ("downsample_in_first_stage", True)])
def test_what_is_not_known_is_refused_in_a_folder(field, value, tmp_path):
    transformers.ResNetModel(transformers.ResNetConfig(**BASIC, **{field: value})).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{field}={value!r}: known here is"):
        pl.load_pretrained(tmp_path)
