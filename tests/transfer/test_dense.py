"""Segmentation and detection on images whose truth is drawn: coloured squares on noise."""

import pytest
import torch

import pretrain_lib as pl

RESNET = pl.ResNetConfig(3, 8, (8, 16), (1, 1), stem="cifar")
CONFIG = pl.TrainConfig(steps=60, batch_size=8, learning_rate=5e-3, device="cpu")
SIZE, CLASSES = 16, 2


def squares(n: int, seed: int) -> pl.Columns:
    """A red or green square (class 0 or 1) in the left half of each image, and in the right half of some."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    images = 0.3 * torch.rand(n, 3, SIZE, SIZE, generator=generator)
    masks = torch.zeros(n, SIZE, SIZE, dtype=torch.int64)
    boxes, labels = torch.zeros(n, 2, 4), torch.full((n, 2), -100)
    for i in range(n):
        for place in range(draw(1, 2)):
            side, kind = draw(5, 7), draw(0, CLASSES - 1)
            x, y = SIZE // 2 * place + draw(0, SIZE // 2 - side), draw(0, SIZE - side)
            images[i, :, y:y + side, x:x + side] = torch.eye(3)[kind][:, None, None]
            masks[i, y:y + side, x:x + side] = 1 + kind
            boxes[i, place], labels[i, place] = torch.tensor([x, y, x + side, y + side]), kind
    return pl.Columns(images=images, masks=masks, boxes=boxes, box_labels=labels)


TRAINING, TEST = squares(48, 0), squares(40, 1)
TASKS = pytest.mark.parametrize("fine_tune", [pl.fine_tune_segmenter, pl.fine_tune_detector])


def test_squares_are_outlined_by_a_segmenter():
    segmenter = pl.fine_tune_segmenter(pl.ResNetModel(RESNET), TRAINING, CLASSES, CONFIG)
    predicted = pl.predicted_masks(segmenter, TEST, batch_size=16)
    assert predicted.shape == TEST.masks.shape and predicted.dtype == torch.int64 and not segmenter.training
    assert pl.mean_iou(predicted, TEST.masks, CLASSES).per_class.min() > 0.9
    assert torch.equal(predicted, pl.predicted_masks(segmenter.train(), TEST, batch_size=16)) and segmenter.training


def test_squares_are_found_by_a_detector():
    detector = pl.fine_tune_detector(pl.ResNetModel(RESNET), TRAINING, CLASSES, CONFIG)
    found = pl.predicted_boxes(detector, TEST, batch_size=16)
    assert found.boxes.shape == (40, 100, 4) and found.scores.shape == found.labels.shape == (40, 100)
    assert pl.average_precision(found, TEST.boxes, TEST.box_labels, CLASSES).per_class_50.min() > 0.8
    assert all(map(torch.equal, found, pl.predicted_boxes(detector.train(), TEST, batch_size=16)))


@TASKS
def test_a_frozen_encoder_is_the_one_that_was_given_averages_included(fine_tune):
    encoder = pl.ResNetModel(RESNET).train()
    encoder.encode(TRAINING.images)  # so that its averages are some batch's
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    config = pl.TrainConfig(steps=3, batch_size=8, accumulation=2, learning_rate=1e-2, device="cpu")
    model = fine_tune(encoder, TRAINING, CLASSES, config, frozen=True)
    for state in (model.encoder.state_dict(), encoder.state_dict()):
        assert all(torch.equal(before[name], tensor) for name, tensor in state.items())
    assert model.mixing[0].weight.isfinite().all() and model.head.weight.abs().max() > 0
    assert all(p.requires_grad for p in encoder.parameters())
    again = fine_tune(model, TRAINING, CLASSES, pl.TrainConfig(steps=2, batch_size=8, device="cpu"))  # with a head already
    assert any(not torch.equal(before[name], tensor) for name, tensor in again.encoder.state_dict().items())


def test_the_encoder_may_have_a_rate_of_its_own():
    encoder = pl.ResNetModel(RESNET)
    config = pl.TrainConfig(steps=2, batch_size=8, optimizer="sgd", momentum=0.0, learning_rate=0.1, schedule="constant", device="cpu")
    moved = {}
    for rate in (1.0, 0.25):
        model = pl.fine_tune_segmenter(encoder, TRAINING, CLASSES, config, encoder_rate=rate)
        moved[rate] = {name: p - dict(encoder.named_parameters())[name] for name, p in model.encoder.named_parameters()}
    for name, step in moved[1.0].items():  # in the second update: the first changes the head alone, which starts at zero
        torch.testing.assert_close(moved[0.25][name], 0.25 * step, rtol=1e-3, atol=1e-7)
        assert step.abs().max() > 0
    with pytest.raises(ValueError, match="encoder_rate must be above 0, got 0"):
        pl.fine_tune_segmenter(encoder, TRAINING, CLASSES, config, encoder_rate=0)


@TASKS
def test_an_encoder_without_maps_and_a_wrong_truth_are_refused_in_one_line(fine_tune):
    with pytest.raises(ValueError, match="LinearAutoencoder has no maps"):
        fine_tune(pl.LinearAutoencoder(12, 3), TRAINING, CLASSES, CONFIG)
    with pytest.raises(ValueError, match="must (be|hold) 0.* got"):
        fine_tune(pl.ResNetModel(RESNET), TRAINING, 1, CONFIG)


@TASKS
def test_the_largest_map_may_be_left_out(fine_tune):
    config = pl.TrainConfig(steps=2, batch_size=8, device="cpu")
    whole, coarse = (fine_tune(pl.ResNetModel(RESNET), TRAINING, CLASSES, config, finest=finest) for finest in (0, 1))
    assert [len(model.laterals) for model in (whole, coarse)] == [2, 1]
    assert whole.scores(TEST.images).shape[2:] == (16, 16) and coarse.scores(TEST.images).shape[2:] == (8, 8)
    predict = pl.predicted_masks if fine_tune is pl.fine_tune_segmenter else lambda *given: pl.predicted_boxes(*given).boxes
    assert predict(coarse, TEST).shape == predict(whole, TEST).shape
    with pytest.raises(ValueError, match="finest must be between 0 and 1, as the encoder has 2 maps, got 2"):
        fine_tune(pl.ResNetModel(RESNET), TRAINING, CLASSES, config, finest=2)


ENCODERS = pytest.mark.parametrize("encoder", [lambda: pl.ResNetModel(RESNET), lambda: pl.ViTModel(pl.ViTConfig(
    image_size=SIZE, patch_size=4, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16))], ids=["resnet", "vit"])


@ENCODERS
def test_images_of_one_colour_and_a_class_that_no_image_has_are_no_error(encoder):
    masks = torch.zeros(8, SIZE, SIZE, dtype=torch.int64)
    masks[:, 2:8, 4:10] = 1
    data = pl.ImageDataset(torch.full((8, 3, SIZE, SIZE), 0.5), classes=["there", "nowhere"], masks=masks,
                           boxes=torch.tensor([[[4.0, 2, 10, 8]]] * 8), box_labels=torch.zeros(8, 1, dtype=torch.int64))
    config = pl.TrainConfig(steps=2, batch_size=8, learning_rate=1e-2, device="cpu")
    segmenter, detector = (task(encoder(), data, 2, config) for task in (pl.fine_tune_segmenter, pl.fine_tune_detector))
    assert all(p.isfinite().all() for model in (segmenter, detector) for p in model.parameters())
    iou = pl.mean_iou(pl.predicted_masks(segmenter, data), data.masks, 2)
    assert iou.absent == ([2] if iou.per_class[2].isnan() else []) and 0 <= iou.mean <= 1
    found = pl.average_precision(pl.predicted_boxes(detector, data), data.boxes, data.box_labels, 2)
    assert found.absent == [1] and 0 <= found.ap <= found.ap50 <= 1
