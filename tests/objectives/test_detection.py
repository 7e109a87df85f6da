"""Objects as points: targets and losses against loops over objects and cells."""

import math

import pytest
import torch
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.models.dense import CentreMaps
from pretrain_lib.objectives.detection import Detection, centre_targets, focal_loss

BOXES = torch.tensor([[[0, 0, 8, 12], [3, 1, 9, 4], [0, 0, 0, 0]], [[10.5, 3, 16, 12], [10, 2, 15, 11.5], [1, 9, 2, 10]]]).double()
LABELS = torch.tensor([[0, 1, -100], [1, 1, 0]])
HEIGHT, WIDTH, STRIDE, CLASSES = 12, 16, 2, 2
GRID = (HEIGHT // STRIDE, WIDTH // STRIDE)


class Fixed(nn.Module):
    """A detector that answers with maps it has learnt by heart."""

    def __init__(self, n: int, dtype=torch.float64):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.maps = nn.ParameterList(torch.randn(n, size, *GRID, generator=generator, dtype=dtype) for size in (CLASSES, 2, 2))

    def forward(self, images):
        return CentreMaps(*self.maps)


def data(boxes=BOXES, labels=LABELS) -> Columns:
    return Columns(images=torch.zeros(len(boxes), 3, HEIGHT, WIDTH), boxes=boxes, box_labels=labels)


def batch_of(source: Columns, num_classes: int = CLASSES):
    objective, keys = Detection(num_classes), Keys.of(0, range(len(source)))
    return objective, objective.batch(source.take(keys), keys)


def objects():
    """(image, label, cell's row, cell's column, x and y of the centre in cells, width and height in pixels) of each."""
    for i in range(2):
        for (x0, y0, x1, y1), label in zip(BOXES[i].tolist(), LABELS[i].tolist()):
            if label >= 0:
                x, y = (x0 + x1) / 2 / STRIDE, (y0 + y1) / 2 / STRIDE
                yield i, label, int(y), int(x), x, y, x1 - x0, y1 - y0


def written_out_heat() -> torch.Tensor:
    heat = torch.zeros(2, CLASSES, *GRID, dtype=torch.float64)
    for i, label, row, column, _, _, width, height in objects():
        wide, high = (max(side / STRIDE, 1) / 12 for side in (width, height))
        for y in range(GRID[0]):
            for x in range(GRID[1]):
                bell = math.exp(-((x - column) ** 2 / wide**2 + (y - row) ** 2 / high**2) / 2)
                heat[i, label, y, x] = max(heat[i, label, y, x], bell)
    return heat


def test_the_heat_is_the_higher_of_bells_as_wide_as_the_boxes():
    target = centre_targets(BOXES, LABELS, CLASSES, (HEIGHT, WIDTH), GRID)
    torch.testing.assert_close(target.heat, written_out_heat(), rtol=0, atol=1e-12)
    assert (target.heat == 1).sum() == 4  # two of the five share a cell
    assert target.there.tolist() == (LABELS >= 0).tolist()


def test_the_loss_is_its_definition():
    objective, batch = batch_of(data())
    assert batch.counts == {"centres": 5, "sizes": 5, "offsets": 5}
    model, heat = Fixed(2), written_out_heat()
    logits, sizes, offsets = model.maps
    centres = 0.0
    for score, true in zip(logits.flatten().tolist(), heat.flatten().tolist()):
        p = 1 / (1 + math.exp(-score))
        centres -= (1 - p) ** 2 * math.log(p) if true == 1 else (1 - true) ** 4 * p**2 * math.log(1 - p)
    size = offset = 0.0
    for i, _, row, column, x, y, width, height in objects():
        size += abs(sizes[i, 0, row, column].item() - width / WIDTH) + abs(sizes[i, 1, row, column].item() - height / HEIGHT)
        offset += abs(offsets[i, 0, row, column].item() - (x - column)) + abs(offsets[i, 1, row, column].item() - (y - row))
    terms = {name: term.item() for name, term in objective(model, batch).items()}
    assert terms == pytest.approx({"centres": centres, "sizes": size, "offsets": offset}, abs=1e-10)


def test_a_batch_costs_what_its_images_cost_and_absent_rows_cost_nothing():
    model, parts = Fixed(2), []
    objective, batch = batch_of(data())
    whole = objective(model, batch)
    for i in range(2):
        one = Fixed(2)
        one.maps = nn.ParameterList(maps[i:i + 1] for maps in model.maps)
        present = LABELS[i] >= 0
        parts.append(objective(one, batch_of(data(BOXES[i:i + 1, present], LABELS[i:i + 1, present]))[1]))
    for name, total in whole.items():
        torch.testing.assert_close(total, parts[0][name] + parts[1][name], rtol=0, atol=1e-10)


@pytest.mark.parametrize("most", [0, 2])
def test_a_batch_without_any_object_has_a_loss_and_a_gradient(most):
    objective, batch = batch_of(data(torch.zeros(2, most, 4), torch.full((2, most), -100)))
    assert batch.counts == {"centres": 0, "sizes": 0, "offsets": 0}
    model = Fixed(2)
    terms = objective(model, batch)
    sum(terms.values()).backward()
    assert terms["sizes"] == terms["offsets"] == 0 < terms["centres"]
    assert all(maps.grad.isfinite().all() for maps in model.maps) and (model.maps[0].grad > 0).all()


def test_large_logits_lose_no_digits_and_a_box_up_to_the_edge_has_a_cell():
    wrong = focal_loss(torch.tensor([-200.0, 200]), torch.tensor([1.0, 0]))
    assert wrong.item() == pytest.approx(400) and focal_loss(torch.tensor([200.0]), torch.tensor([1.0])) == 0
    edge = torch.tensor([[[WIDTH - 1e-6, HEIGHT - 1e-6, WIDTH, HEIGHT]]])  # its centre rounds to the edge
    target = centre_targets(edge, LABELS[:1, :1], CLASSES, (HEIGHT, WIDTH), GRID)
    assert target.cells.item() == GRID[0] * GRID[1] - 1 and target.heat[0, 0, -1, -1] == 1


@pytest.mark.parametrize("change, said", [
    ({"boxes": torch.tensor([[[0.0, 0, 17, 4]]])}, r"0 ≤ x0 < x1 ≤ 16 and 0 ≤ y0 < y1 ≤ 12, within the image, got \[0.0, 0.0, 17.0, 4.0\]"),
    ({"boxes": torch.tensor([[[0.0, -1, 3, 4]]])}, "within the image"),
    ({"boxes": torch.tensor([[[4.0, 4, 4, 8]]])}, "within the image"),
    ({"boxes": torch.tensor([[[float("nan"), 4, 4, 8]]])}, "within the image"),
    ({"box_labels": torch.tensor([[2]])}, "box_labels must be 0 to 1, one of the 2 classes, or -100, no object, got 2"),
    ({"box_labels": torch.tensor([[0, 1]])}, r"boxes must be \(B, M, 4\) and box_labels \(B, M\), got \(1, 1, 4\) and \(1, 2\)"),
])
def test_what_does_not_fit_is_refused_in_one_line(change, said):
    right = {"boxes": torch.tensor([[[1.0, 2, 3, 4]]]), "box_labels": torch.tensor([[0]])}
    with pytest.raises(ValueError, match=said):
        batch_of(Columns(images=torch.zeros(1, 3, HEIGHT, WIDTH), **right | change))


def test_a_detector_of_other_classes_is_refused():
    objective, batch = batch_of(data(), num_classes=4)
    with pytest.raises(ValueError, match="Fixed scores 2 classes, and there are 4: give a Detector of as many"):
        objective(Fixed(2), batch)
    with pytest.raises(ValueError, match="Identity answers with no CentreMaps: give a Detector"):
        objective(nn.Identity(), batch)
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 1, got 0"):
        Detection(0)
