"""Masked autoencoders: the numbers and gradients of transformers' ViTMAE, what is seen, and what is learned."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding
from vits import SHAPES, TINY, assert_equal, drawn_anew, gradients, images_for

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.models.vit_mae import waves

DECODER = {"decoder_hidden_size": 12, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 3, "decoder_intermediate_size": 20}
EACH = pytest.mark.parametrize("shape", [shape | DECODER for shape in SHAPES])


def mae(shape=None, seed=0):
    return pl.ViTMAEForPreTraining(pl.ViTMAEConfig(**(shape or TINY | DECODER)), seed)


def their_mae(shape, **settings):
    return drawn_anew(transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**shape, **settings)))


def of_pixels(mask, config):
    """Which patches are hidden, (B, N), as a mask of pixels."""
    tiles = mask.unflatten(1, (config.side, -1))[:, None]
    return tiles.repeat_interleave(config.patch_size, 2).repeat_interleave(config.patch_size, 3)


def masked(model, n=5, ratio=0.6):
    """Images and a mask such as MaskedImage draws."""
    images, objective = images_for(model.config, n), pl.MaskedImage(ratio, model.config.patch_size)
    return images, objective.batch({"images": images}, Keys.of(0, n)).inputs["mask"]


@EACH
@pytest.mark.parametrize("dtype", [torch.double, torch.float])
@pytest.mark.parametrize("normalize", [False, True])
def test_numbers_loss_and_gradients_are_those_of_transformers(shape, dtype, normalize, tmp_path):
    theirs = their_mae(shape, mask_ratio=0.6, norm_pix_loss=normalize)
    theirs.save_pretrained(tmp_path)
    ours, theirs = pl.load_pretrained(tmp_path).to(dtype), theirs.to(dtype).eval()
    images = images_for(ours.config).to(dtype)
    noise = torch.rand(len(images), ours.config.side**2, generator=torch.Generator().manual_seed(3))
    expected = theirs(images, noise=noise)
    mask = of_pixels(expected.mask.to(dtype), ours.config)
    objective, counted = pl.MaskedImage(0.6, ours.config.patch_size, normalize), mask.sum() * ours.config.num_channels
    batch = pl.Batch({"images": images * (1 - mask), "mask": mask}, {"images": objective.target(images)}, {})
    loss = 2 * objective(ours, batch)["masked_pixels"] / counted  # ours is half the square
    loss.backward()
    expected.loss.backward()
    pixels = theirs.unpatchify(expected.logits)
    assert_equal({"pixels": ours(images, mask), "loss": loss, **gradients(ours, tmp_path)},
                 {"pixels": pixels, "loss": expected.loss, **gradients(theirs, tmp_path)}, dtype)


@EACH
def test_a_folder_goes_there_and_back_without_a_bit_changed(shape, tmp_path):
    model = drawn_anew(mae(shape, 3))
    pl.save_pretrained(model, tmp_path / "ours")
    assert "decoder.decoder_layers.1.attention.attention.query.bias" in load_file(tmp_path / "ours/model.safetensors")
    theirs, report = transformers.ViTMAEForPreTraining.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs.save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):  # published folders spell the decoder's layers as ours, transformers 5 does not
        back = pl.load_pretrained(tmp_path / folder)
        assert type(back) is type(model) and back.config == model.config
        assert all(torch.equal(back.state_dict()[name], t) for name, t in model.state_dict().items())


def test_fields_that_a_folder_leaves_out_are_those_of_transformers(tmp_path):
    left = {"hidden_size": 24, "num_hidden_layers": 1, "decoder_num_hidden_layers": 1}
    theirs = their_mae(left)
    theirs.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["ViTMAEForPreTraining"], "model_type": "vit_mae", **left}))
    ours = pl.load_pretrained(tmp_path)
    assert ours.config == pl.ViTMAEConfig(**left)
    images = images_for(ours.config, 1).float()
    with torch.no_grad():
        expected = theirs.eval()(images)
        answer = ours(images, of_pixels(expected.mask, ours.config))
    assert (answer - theirs.unpatchify(expected.logits)).norm() <= 1e-5 * answer.norm()


@pytest.mark.parametrize("side, size", [(3, 8), (7, 64), (1, 4)])
def test_places_are_the_waves_of_transformers(side, size):
    """Its published weights have the columns' waves before the rows'."""
    down_across = build_2d_sinusoidal_position_embedding(side, side, size, cls_token=True)
    expected = torch.cat(down_across.chunk(2, dim=1)[::-1], dim=1)
    assert torch.equal(waves(side, size)[0], expected)
    model = mae({**TINY, **DECODER, "image_size": side * 4, "hidden_size": size})
    assert torch.equal(model.encoder.embeddings.position[0], expected)
    assert not any(p.requires_grad for name, p in model.named_parameters() if "position" in name)


def test_features_are_the_mean_over_the_patches_with_nothing_hidden(tmp_path):
    theirs = their_mae(TINY | DECODER, mask_ratio=0.0)
    theirs.save_pretrained(tmp_path)
    ours = pl.load_pretrained(tmp_path).double()
    images = images_for(ours.config)
    hidden = theirs.vit.double().eval()(images).last_hidden_state  # shuffled, which a mean does not see
    torch.testing.assert_close(ours.encode(images), hidden[:, 1:].mean(1), rtol=0, atol=1e-10)


def test_hidden_patches_are_not_there_for_the_encoder():
    model = drawn_anew(mae()).double()
    images, mask = masked(model)
    with torch.no_grad():
        answer, lengths = model(images, mask), []
        model.encoder.layers[0].register_forward_pre_hook(lambda layer, given: lengths.append(given[0].shape))
        assert torch.equal(model(torch.where(mask == 1, 9.0, images), mask), answer)
        assert lengths == [(5, 1 + 4, 16)]  # 5 of 9 patches are hidden
        seen = images.clone()
        seen[mask.expand_as(seen) == 0] += 1
        assert not torch.equal(model(seen, mask), answer)


def test_a_mask_of_larger_patches_is_one_of_whole_patches():
    model = mae(TINY | DECODER | {"image_size": 16})
    images = images_for(model.config).float()
    mask = pl.MaskedImage(0.5, 8).batch({"images": images}, Keys.of(0, 5)).inputs["mask"]
    assert model(images, mask).shape == images.shape and torch.equal(model(images, mask.bool()), model(images, mask))


def test_what_a_mask_must_be_is_said():
    model = mae()
    images, mask = masked(model)
    images = images.float()
    shifted, uneven = mask.roll(1, dims=3), mask.clone()
    uneven[0] = 0
    uneven[0, 0, :4, :4] = 1
    for wrong, said in ((shifted, r"whole patches of 4 × 4 pixels, got \d+ hidden in part: let MaskedImage hide patch=4"),
                        (uneven, r"as many patches of 4 × 4 pixels in each sample, got from 1 to 5 of 9: let MaskedImage"),
                        (mask[:, :, :8], r"mask must be \(B, 1, 12, 12\) for image_size=12, got \(5, 1, 8, 12\)")):
        with pytest.raises(ValueError, match=said):
            model(images, wrong)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 12, 12\)"):
        model(images[:, :1], mask)


@pytest.mark.parametrize("wrong, said", [
    ({"decoder_num_attention_heads": 5}, "decoder_num_attention_heads must be a divisor of decoder_hidden_size=12, got 5"),
    ({"decoder_hidden_size": 6}, "decoder_hidden_size must be a multiple of 4.*got 6"),
    ({"hidden_size": 18}, "hidden_size must be a multiple of 4.*got 18"),
    ({"patch_size": 5}, "patch_size must be a divisor of image_size=12, got 5"),
    ({"decoder_num_hidden_layers": 0}, "decoder_num_hidden_layers must be an integer of at least 1"),
])
def test_a_wrong_shape_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        pl.ViTMAEConfig(**TINY | DECODER | wrong)


def test_it_is_fine_tuned_as_a_vit_whose_places_are_trained_too(tmp_path):
    model = drawn_anew(mae())
    images = images_for(model.config).float()
    headed = model.with_classifier(3)
    assert type(headed) is pl.ViTForImageClassification and torch.equal(headed(images), torch.zeros(5, 3))
    assert torch.equal(headed.encode(images), model.encode(images)) and all(p.requires_grad for p in headed.parameters())
    pl.save_pretrained(headed, tmp_path / "m")
    assert torch.equal(pl.load_pretrained(tmp_path / "m").encode(images), model.encode(images))
    pl.save_pretrained(model.encoder, tmp_path / "encoder")
    assert torch.equal(pl.load_pretrained(tmp_path / "encoder").maps(images)[0], model.encoder.maps(images)[0])


def test_it_learns_what_is_hidden_from_what_is_seen():
    """After 60 updates on digits it errs by less than whoever says the mean of all pixels."""
    digits = pl.load_images("mnist", "train", 32)
    shape = {"image_size": 32, "patch_size": 8, "num_channels": 1, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = mae(shape | DECODER | {"intermediate_size": 64})
    config = pl.TrainConfig(steps=60, batch_size=32, learning_rate=3e-3, log_every=20, device="cpu")
    trainer = pl.Trainer(model, pl.MaskedImage(0.75, 8), digits, config)
    trainer.fit()
    first, *_, last = trainer.history.losses
    assert last < first and last < 0.8 * 0.5 * digits.images.var()


@pytest.mark.parametrize("normalize", [False, True])
def test_images_of_one_colour_give_no_nan(normalize):
    model, objective, keys = mae(), pl.MaskedImage(0.6, 4, normalize), Keys.of(0, 4)
    terms = objective(model, objective.batch({"images": torch.full((4, 3, 12, 12), 0.5)}, keys))
    terms["masked_pixels"].backward()
    assert terms["masked_pixels"].isfinite() and all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
