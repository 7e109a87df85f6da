"""Heads on an encoder's maps: where they begin, what they pass on, in and out of folders, boxes from points."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import pretrain_lib as pl
from pretrain_lib.models.base import ModelBase
from pretrain_lib.models.dense import decode
from pretrain_lib.objectives.detection import centre_targets

RESNET = pl.ResNetConfig(3, 8, (8, 12, 16), (1, 1, 1), stem="cifar")


class Patches(ModelBase):
    """An encoder with one map only, at a stride of 4 pixels, as a ViT has."""

    feature_size, map_sizes = 6, (6,)

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 6, 4, 4)

    def maps(self, images):
        return [self.layer(images)]

    def encode(self, images):
        return self.layer(images).mean((2, 3))


ENCODERS = pytest.mark.parametrize("encoder", [lambda: pl.ResNetModel(RESNET, 1), Patches], ids=["resnet", "patches"])
HEADS = pytest.mark.parametrize("head", [pl.Segmenter, pl.Detector])


def images(n: int = 2, height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0))


def with_scores(model):
    """A model whose last layer is no longer at zero."""
    with torch.no_grad():
        model.head.weight.copy_(torch.randn(model.head.weight.shape, generator=torch.Generator().manual_seed(2)))
    return model


@ENCODERS
def test_at_first_all_classes_are_alike_and_a_centre_is_rare(encoder):
    model = pl.Segmenter(encoder(), 4)
    assert torch.equal(model(images()), torch.zeros(2, 5, 16, 24))
    heat, sizes, offsets = pl.Detector(encoder(), 4)(images())
    grid = encoder().maps(images())[0].shape[2:]
    assert heat.shape == (2, 4, *grid) and sizes.shape == offsets.shape == (2, 2, *grid)
    torch.testing.assert_close(heat.sigmoid(), torch.full_like(heat, 0.01))


def test_a_detector_answers_in_parts_and_a_segmenter_between_the_cells():
    detector, segmenter = with_scores(pl.Detector(Patches(), 4)), with_scores(pl.Segmenter(Patches(), 4))
    torch.testing.assert_close(torch.cat(list(detector(images())), 1), detector.scores(images()))
    coarse, fine = segmenter.scores(images()), segmenter(images())
    assert fine.shape == (2, 5, 16, 24)
    torch.testing.assert_close(fine[..., ::15, ::23], coarse[..., ::3, ::5])  # in the image's corners there is nothing between


@HEADS
@ENCODERS
def test_gradients_reach_every_weight_and_numbers_do_not_depend_on_the_batch(encoder, head):
    model = with_scores(head(encoder(), 3, width=16)).double()
    batch = images().double()
    out = model(batch)
    torch.cat([part.flatten() for part in (out if isinstance(out, tuple) else [out])]).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    model.eval()
    torch.testing.assert_close(model.scores(batch)[1:], model.scores(batch[1:]), rtol=0, atol=1e-10)


@HEADS
def test_it_comes_back_from_a_folder_with_its_encoder(head, tmp_path):
    model = with_scores(head(pl.ResNetModel(RESNET), 3, width=24, seed=5)).eval()
    pl.save_pretrained(model, tmp_path / "m")
    back = pl.load_pretrained(tmp_path / "m")
    assert type(back) is head and back.num_classes == 3 and back.width == 24 and back.encoder.config == RESNET
    assert torch.equal(back.scores(images()), model.scores(images()))
    assert torch.equal(back.encode(images()), model.encoder.encode(images()))
    assert torch.equal(back.with_classifier(7).eval()(images()), torch.zeros(2, 7))


@HEADS
def test_larger_maps_may_be_left_out(head, tmp_path):
    model = with_scores(head(pl.ResNetModel(RESNET), 3, finest=1)).eval()
    assert [lateral[0].in_channels for lateral in model.laterals] == [12, 16]
    assert model.scores(images()).shape[2:] == (8, 12)
    pl.save_pretrained(model, tmp_path / "m")
    assert torch.equal(pl.load_pretrained(tmp_path / "m").scores(images()), model.scores(images()))


def test_first_weights_are_a_function_of_the_seed():
    drawn = [pl.Segmenter(Patches(), 2, seed=seed).mixing[0].weight for seed in (3, 3, 4)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])


def test_a_frozen_encoder_stays_in_evaluation_mode():
    model = pl.Segmenter(pl.ResNetModel(RESNET), 2)
    assert model.train().encoder.training
    model.encoder.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    model.train()(images())
    assert model.training and model.mixing.training and not model.encoder.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.encoder.state_dict().items())


@pytest.mark.parametrize("make, said", [
    (lambda: pl.Segmenter(pl.LinearAutoencoder(12, 3), 2), "LinearAutoencoder has no maps and map_sizes"),
    (lambda: pl.Segmenter(Patches(), 0), "num_classes must be an integer of at least 1, got 0"),
    (lambda: pl.Detector(pl.ResNetModel(RESNET), 2, finest=3), "finest must be between 0 and 2, as the encoder has 3 maps, got 3"),
    (lambda: pl.Detector(Patches(), 2, width=12), "width must be a multiple of 8, got 12"),
    (lambda: pl.Detector(pl.ResNetModel(pl.ResNetConfig(3, 8, (8,), (1,))), 2)(images(2, 37, 32)),
     r"images of 37 × 32 pixels are not tiled by the finest map's 10 × 8 cells: give sides that are multiples of 4 and 4"),
])
def test_what_does_not_fit_is_refused_in_one_line(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# --- Boxes from points ----------------------------------------------------------------------

EDGE = st.tuples(st.floats(0, 0.98), st.floats(0.02, 1)).filter(lambda edge: edge[0] + 0.01 < edge[1])
OBJECTS = st.lists(st.tuples(EDGE, EDGE, st.integers(0, 2)), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(OBJECTS, st.sampled_from([(6, 9), (5, 5), (1, 12)]), st.sampled_from([1, 4]))
def test_targets_are_decoded_into_the_boxes(objects, grid, stride):
    rows, columns = grid
    height, width = rows * stride, columns * stride
    objects = list({(int(sum(x) / 2 * columns), int(sum(y) / 2 * rows)): (x, y, kind) for x, y, kind in objects}.values())
    boxes = torch.tensor([[[x[0] * width, y[0] * height, x[1] * width, y[1] * height] for x, y, _ in objects]], dtype=torch.float64)
    labels = torch.tensor([[kind for *_, kind in objects] + [-100]])
    target = centre_targets(torch.cat([boxes, torch.zeros(1, 1, 4).double()], 1), labels, 3, (height, width), grid)
    cells = target.cells[0, :-1]
    assume(len(set(cells.tolist())) == len(cells))  # which rounding alone could break
    sizes, offsets = torch.zeros(2, 1, 2, rows * columns, dtype=torch.float64)
    sizes[0, :, cells], offsets[0, :, cells] = target.sizes[0, :-1].T, target.offsets[0, :-1].T
    found = decode(target.heat, sizes.view(1, 2, *grid), offsets.view(1, 2, *grid), (height, width))
    sure = found.scores[0] == 1
    assert sure.sum() == len(objects) and found.scores[0].diff().le(0).all()
    apart = (found.boxes[0, sure, None] - boxes[0]).abs().amax(2)  # (found, true)
    assert apart.min(0).values.max() < 1e-10
    assert torch.equal(found.labels[0, sure][apart.argmin(0)], labels[0, :-1])


def test_rows_without_an_object_say_so_and_the_most_are_kept():
    heat = torch.zeros(1, 2, 4, 4)
    heat[0, 1, 1, 1], heat[0, 0, 3, 3], heat[0, 0, 3, 2] = 0.5, 0.9, 0.8  # the last is no peak
    sizes = torch.full((1, 2, 4, 4), 0.5)
    found = decode(heat, sizes, torch.zeros(1, 2, 4, 4), (8, 8), most=3)
    assert found.scores[0].tolist() == pytest.approx([0.9, 0.5, 0]) and found.labels[0].tolist() == [0, 1, -100]
    assert found.boxes[0].tolist() == [[4, 4, 8, 8], [0, 0, 4, 4], [0, 0, 0, 0]]  # cut to the image
    assert decode(heat, -sizes, torch.zeros(1, 2, 4, 4), (8, 8), most=1).boxes[0].tolist() == [[6, 6, 6, 6]]
    assert math.prod(decode(heat, sizes, sizes, (8, 8)).scores.shape) == 32
