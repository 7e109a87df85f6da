"""The losses of vectors in pairs against double loops, transformers' CLIP and closed forms."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss
from two_views import VIEWS, captioned, pairs, simclr, vit

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.contrastive import Contrastive
from pretrain_lib.objectives.pairwise import info_nce, sigmoid_loss
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

SEVERAL = dict(n=st.integers(2, 9), width=st.integers(1, 6), scale=st.floats(0.3, 20.0), values=st.integers(1, 9))
QUICK = settings(max_examples=25, deadline=None)


def units(n: int, width: int, seed: int) -> torch.Tensor:
    draw = torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(draw, dim=1)


def numbers(n: int, values: int) -> torch.Tensor:
    """Some of which are equal where there are fewer values than numbers."""
    return torch.randint(values, (n,), generator=torch.Generator().manual_seed(n * 10 + values))


def dot(x, y) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True))


def softmax_written_out(a: list, b: list, scale: float, same: list, both: bool) -> float:
    """What belongs with i is neither asked for nor told from, but for i's other view itself."""
    total = 0.0
    for ours, others in ((a, b), (b, a)):
        for i in range(len(a)):
            mine = math.exp(scale * dot(ours[i], others[i]))
            everything = mine
            for j in range(len(a)):
                if same[j] != same[i]:
                    everything += math.exp(scale * dot(ours[i], others[j]))
                    everything += math.exp(scale * dot(ours[i], ours[j])) if both else 0.0
            total -= 0.5 * math.log(mine / everything)
    return total


def sigmoid_written_out(a: list, b: list, scale: float, bias: float, same: list) -> float:
    total = 0.0
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            z = 1 if same[i] == same[j] else -1
            total += math.log1p(math.exp(-z * (scale * dot(x, y) + bias)))
    return total


@given(**SEVERAL)
@QUICK
def test_what_belongs_together_is_not_told_apart(n, width, scale, values):
    a, b, same = units(n, width, n), units(n, width, n + 1), numbers(n, values)
    for negatives in ("other view", "both views"):
        expected = softmax_written_out(a.tolist(), b.tolist(), scale, same.tolist(), negatives == "both views")
        assert info_nce(a, b, scale, negatives, same).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@given(**SEVERAL, bias=st.floats(-10.0, 3.0))
@QUICK
def test_every_pair_is_judged_by_itself(n, width, scale, values, bias):
    a, b, same = units(n, width, n), units(n, width, n + 1), numbers(n, values)
    expected = sigmoid_written_out(a.tolist(), b.tolist(), scale, bias, same.tolist())
    assert sigmoid_loss(a, b, scale, bias, same).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)
    alone = sigmoid_written_out(a.tolist(), b.tolist(), scale, bias, list(range(n)))
    assert sigmoid_loss(a, b, scale, bias).item() == pytest.approx(alone, rel=1e-10, abs=1e-10)


@given(n=st.integers(2, 9), scale=st.floats(0.3, 20.0))
@QUICK
def test_without_equal_captions_it_is_the_loss_of_clip(n, scale):
    a, b = units(n, 5, n), units(n, 5, n + 1)
    expected = n * image_text_contrastive_loss(scale * a @ b.T).item()
    for same in (None, torch.arange(n)):
        assert info_nce(a, b, scale, same=same).item() == pytest.approx(expected, rel=1e-10)


def test_vectors_that_say_nothing_lose_the_logarithm_of_the_places_that_are_left():
    alike, same = torch.ones(8, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 2, 3, 4])
    places = [6, 6, 6, 7, 7, 8, 8, 8]
    assert info_nce(alike, alike, 1.0, same=same).item() == pytest.approx(sum(map(math.log, places)), rel=1e-12)
    both = [1 + 2 * (place - 1) for place in places]
    assert info_nce(alike, alike, 1.0, "both views", same).item() == pytest.approx(sum(map(math.log, both)), rel=1e-12)


def test_vectors_that_say_nothing_lose_as_much_to_the_sigmoid_as_its_bias_says():
    same = F.normalize(torch.ones(8, 3, dtype=torch.float64), dim=1)
    expected = 8 * (math.log1p(math.exp(-10 + 10)) + 7 * math.log1p(math.exp(10 - 10)))
    assert sigmoid_loss(same, same, 10.0, -10.0).item() == pytest.approx(expected, rel=1e-12)


def test_where_all_belong_together_there_is_nothing_to_learn():
    a, b = units(5, 3, 0).requires_grad_(), units(5, 3, 1).requires_grad_()
    loss = info_nce(a, b, 10.0, "both views", torch.zeros(5, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and not a.grad.any() and not b.grad.any()


def test_the_gradient_passes_over_what_is_left_out():
    """∂/∂sᵢⱼ is a softmax over what is left, less 1 at the positive."""
    a, b, scale = units(6, 3, 0).requires_grad_(), units(6, 3, 1), 2.0
    same = torch.tensor([0, 1, 0, 2, 1, 0])
    info_nce(a, b, scale, same=same).backward()
    left_out = (same[:, None] == same) & ~torch.eye(6, dtype=torch.bool)
    scores = (scale * a.detach() @ b.T).masked_fill(left_out, -math.inf)
    by_scores = 0.5 * (scores.softmax(1) + scores.softmax(0)) - torch.eye(6)
    torch.testing.assert_close(a.grad, scale * by_scores @ b, rtol=0, atol=1e-12)


def test_the_gradient_of_the_sigmoid_is_what_is_expected_less_what_is_there():
    a, b, scale, bias = units(6, 3, 0).requires_grad_(), units(6, 3, 1), 2.0, -1.5
    same = torch.tensor([0, 1, 0, 2, 1, 0])
    sigmoid_loss(a, b, scale, bias, same).backward()
    by_scores = (scale * a.detach() @ b.T + bias).sigmoid() - (same[:, None] == same).double()
    torch.testing.assert_close(a.grad, scale * by_scores @ b, rtol=0, atol=1e-12)


# -------------------------------------------------------------------------------- by the objective


def loss_of(objective: Contrastive, model, source: Columns) -> float:
    keys = Keys.of(0, len(source))
    batch = objective.batch(source.take(keys), keys)
    assert batch.counts == {"contrastive": len(source)}
    return objective(model, batch)["contrastive"].item()


def test_the_column_of_what_belongs_together_is_named():
    source, model = captioned(dtype=torch.float64), vit().double()
    first, second = (F.normalize(model.encode(images), dim=1) for images in (source.images, source.other_images))
    for loss, expected in (("softmax", info_nce(first, second, 5.0, same=source.caption)),
                           ("sigmoid", sigmoid_loss(first, second, 5.0, -10.0, source.caption))):
        objective = Contrastive(VIEWS, 0.2, (12,), loss=loss, same="caption").double()
        assert loss_of(objective, model, source) == pytest.approx(expected.item(), rel=1e-7)


def test_scale_and_bias_of_the_sigmoid_begin_where_they_are_set_and_are_learned_without_a_ceiling():
    settings = TrainConfig(steps=10, batch_size=6, learning_rate=1.0, schedule="constant", device="cpu")
    for learned in (True, False):
        objective = simclr(temperature=0.02, negatives="other view", loss="sigmoid", learned=learned)
        assert objective.bias.item() == -10 and objective.log_scale.exp().item() == pytest.approx(50)
        Trainer(vit(), objective, pairs(), settings).fit()
        assert (objective.bias.item() == -10) is not learned
        objective.log_scale.data.fill_(math.log(500))
        objective.after_step(vit(), 11)
        assert objective.log_scale.exp().item() == pytest.approx(500)
    assert simclr().bias is None and "bias" not in simclr().state_dict()


def test_a_run_from_before_there_was_a_choice_of_losses_goes_on(tmp_path):
    def trainer():
        return Trainer(vit(), simclr(), pairs(), TrainConfig(steps=4, batch_size=4, device="cpu"), folder=tmp_path)

    trainer().fit()
    file = tmp_path / "config.json"
    described = json.loads(file.read_text())
    assert described["objective"].pop("loss") == "softmax" and described["objective"].pop("same") is None
    file.write_text(json.dumps(described))
    again = trainer()
    again.fit()
    assert again.step == 4


@pytest.mark.parametrize("wrong, message", [
    ({"loss": "hinge"}, "loss must be one of softmax, sigmoid, got 'hinge'"),
    ({"loss": "sigmoid", "negatives": "both views"}, "negatives must be 'other view' with the sigmoid loss.*got 'both views'"),
    ({"same": 3}, "same must be a string, got 3"),
])
def test_other_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Contrastive(VIEWS, **wrong)


def test_what_belongs_together_is_said_by_whole_numbers():
    with pytest.raises(ValueError, match="no column 'caption'; its columns are images, other_images"):
        loss_of(simclr(same="caption"), vit(), pairs())
    with pytest.raises(ValueError, match=r"same must name a column of one whole number a sample, \(B,\), and 'images' is \(12, 3, 8, 8\)"):
        loss_of(simclr(same="images"), vit(), pairs())
