"""The contrastive loss against its sum written out, and what it teaches."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from two_views import VIEWS, pairs, simclr, vit

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.contrastive import Contrastive, info_nce
from pretrain_lib.training.checkpoint import CheckpointError
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def written_out(first: list[list[float]], second: list[list[float]], temperature: float) -> float:
    total = 0.0
    for i in range(len(first)):
        for ask, among in ((first[i], second), (second[i], first)):
            scores = [math.exp(cosine(ask, other) / temperature) for other in among]
            total -= 0.5 * math.log(scores[i] / sum(scores))
    return total


def written_out_nt_xent(first: list[list[float]], second: list[list[float]], temperature: float) -> float:
    """N times equation 1 of Chen et al.: the rows of both views in one list, positives N apart."""
    rows, n, total = first + second, len(first), 0.0
    for i, row in enumerate(rows):
        scores = {k: math.exp(cosine(row, other) / temperature) for k, other in enumerate(rows) if k != i}
        total -= 0.5 * math.log(scores[(i + n) % (2 * n)] / sum(scores.values()))
    return total


class Towers(nn.Module):
    """A model for each view."""

    def __init__(self, **towers: nn.Module):
        super().__init__()
        self.towers = nn.ModuleDict(towers)


def step(objective: Contrastive, model: nn.Module, source: Columns) -> float:
    keys = Keys.of(0, len(source))
    batch = objective.batch(source.take(keys), keys)
    assert batch.counts == {"contrastive": len(source)}
    return objective(model, batch)["contrastive"].item()


def test_the_loss_is_its_definition():
    source = Columns(left=normal(9, 5), right=normal(9, 5, seed=1))
    objective = Contrastive({"a": ["left"], "b": ["right"]}, temperature=0.3).double()
    expected = written_out(source.left.tolist(), source.right.tolist(), 0.3)
    assert step(objective, nn.Identity(), source) == pytest.approx(expected, rel=1e-7)


@given(st.integers(2, 9), st.integers(1, 6), st.floats(0.05, 3.0))
@settings(max_examples=25, deadline=None)
def test_both_kinds_of_negatives_are_their_definitions(n, width, temperature):
    a, b = (F.normalize(normal(n, width, seed=seed), dim=1) for seed in (n, n + 1))
    for negatives, definition in (("other view", written_out), ("both views", written_out_nt_xent)):
        expected = definition(a.tolist(), b.tolist(), temperature)
        assert info_nce(a, b, 1 / temperature, negatives).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("negatives, places", [("other view", 8), ("both views", 15)])
def test_vectors_that_say_nothing_lose_the_logarithm_of_the_places(negatives, places):
    same = torch.ones(8, 3, dtype=torch.float64)
    assert info_nce(same, same, 1.0, negatives).item() == pytest.approx(8 * math.log(places), rel=1e-12)


def test_the_gradient_is_what_is_expected_less_what_is_there():
    """∂/∂sᵢⱼ of one softmax is its share less 1 at the positive; for a of "other view" both directions add up."""
    a, b, scale = normal(5, 3).requires_grad_(), normal(5, 3, seed=1), 2.0
    info_nce(a, b, scale).backward()
    scores = scale * a.detach() @ b.T
    by_scores = 0.5 * (scores.softmax(1) + scores.softmax(0)) - torch.eye(5)
    torch.testing.assert_close(a.grad, scale * by_scores @ b, rtol=0, atol=1e-12)


def test_the_gradient_with_negatives_of_both_views():
    z, scale = normal(10, 3).requires_grad_(), 2.0
    info_nce(z[:5], z[5:], scale, "both views").backward()
    scores = (scale * z.detach() @ z.detach().T).masked_fill(torch.eye(10, dtype=torch.bool), -math.inf)
    by_scores = 0.5 * (scores.softmax(1) - torch.eye(10).roll(5, 1))
    torch.testing.assert_close(z.grad, scale * (by_scores + by_scores.T) @ z.detach(), rtol=0, atol=1e-12)


def test_logits_are_float32_under_autocast():
    a, b = (F.normalize(normal(8, 16, seed=seed).float(), dim=1) for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        inside = info_nce(a, b, 10.0, "both views")
        model = vit()
        assert step(simclr(), model, pairs()) > 0
    assert torch.equal(inside, info_nce(a, b, 10.0, "both views"))


# ------------------------------------------------------------------------- projection, temperature


def test_features_go_through_the_head_that_the_objective_owns():
    objective, model, source = simclr().double(), vit().double(), pairs(dtype=torch.float64)
    first, second = objective.head(model.encode(torch.cat([source.images, source.other_images]))).chunk(2)
    assert step(objective, model, source) == pytest.approx(written_out_nt_xent(first.tolist(), second.tolist(), 0.3), rel=1e-7)
    assert {name.split(".")[0] for name, _ in objective.named_parameters()} == {"log_scale", "head"}


def test_a_projection_of_one_size_is_the_features():
    objective, model, source = simclr(projection=(12,)).double(), vit().double(), pairs(dtype=torch.float64)
    first, second = model.encode(source.images), model.encode(source.other_images)
    assert step(objective, model, source) == pytest.approx(written_out_nt_xent(first.tolist(), second.tolist(), 0.3), rel=1e-7)
    assert [name for name, _ in objective.named_parameters()] == ["log_scale"]


def test_a_temperature_that_is_not_learned_stays():
    source = pairs()
    for learned in (True, False):
        objective = simclr(learned=learned)
        Trainer(vit(), objective, source, TrainConfig(steps=3, batch_size=8, learning_rate=0.01, device="cpu")).fit()
        assert (objective.log_scale.exp().item() == pytest.approx(1 / 0.3, rel=1e-6)) is not learned


def test_seeds_draw_the_heads_first_weights():
    one, same, other = (simclr(seed=seed).head.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_from_before_there_were_projections_goes_on(tmp_path):
    def trainer(**settings):
        return Trainer(nn.Flatten(), Contrastive(VIEWS, **settings), pairs(), TrainConfig(steps=4, batch_size=4, device="cpu"), folder=tmp_path)

    trainer().fit()
    described = json.loads((tmp_path / "config.json").read_text())
    for name in ("projection", "learned", "negatives", "norm", "seed", "loss", "same", "features", "head", "bias"):
        described["objective"].pop(name, None)
    assert described["objective"].keys() == {"name", "views", "weights"}
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match="objective.negatives: 'other view', now 'both views'"):
        trainer(negatives="both views")
    again = trainer()
    again.fit()
    assert again.step == 4


def test_each_view_may_have_a_model_and_several_columns():
    source = Columns(image=normal(6, 4), word=normal(6, 3, seed=1), weight=normal(6, 3, seed=2))

    class Words(nn.Linear):
        def forward(self, word, weight):
            return super().forward(word * weight)

    model = Towers(image=nn.Linear(4, 5), caption=Words(3, 5)).double()
    objective = Contrastive({"image": ["image"], "caption": ["word", "weight"]}, temperature=0.5).double()
    images, captions = model.towers["image"](source.image), model.towers["caption"](source.word, source.weight)
    assert step(objective, model, source) == pytest.approx(written_out(images.tolist(), captions.tolist(), 0.5), rel=1e-7)


def test_towers_are_found_by_the_names_of_the_views_and_need_no_head():
    source, model = Columns(left=normal(4, 2), right=normal(4, 2)), Towers(image=nn.Identity(), text=nn.Identity())
    with pytest.raises(ValueError, match="Towers has no tower 'a': its towers are image, text"):
        step(Contrastive({"a": ["left"], "b": ["right"]}).double(), model, source)
    with pytest.raises(ValueError, match=r"projection must be empty, as the towers of Towers have projections.*got \(2, 3\)"):
        step(Contrastive({"image": ["left"], "text": ["right"]}, projection=(2, 3)).double(), model, source)
    with pytest.raises(ValueError, match="features must be False, as the towers of Towers answer what is compared"):
        step(Contrastive({"image": ["left"], "text": ["right"]}, features=True).double(), model, source)


def test_one_column_is_seen_twice_and_dropout_makes_two_views_of_it():
    source = Columns(image=normal(6, 4))
    objective = Contrastive({"once": ["image"], "again": ["image"]}).double()
    assert step(objective, nn.Dropout(0.5).eval(), source) < step(objective, nn.Dropout(0.5), source)


def test_it_teaches_what_two_views_share():
    """Views share their first two numbers of ten, and the temperature is learned besides."""
    shared = normal(256, 2)
    source = Columns(a=torch.cat([shared, normal(256, 8, seed=1)], 1).float(), b=torch.cat([shared, normal(256, 8, seed=2)], 1).float())
    model, objective = nn.Linear(10, 2), Contrastive({"a": ["a"], "b": ["b"]}, temperature=0.5)
    nn.init.constant_(model.weight, 0.1)
    model.weight.data += 0.01 * normal(2, 10, seed=3).float()
    trainer = Trainer(model, objective, source, TrainConfig(steps=150, batch_size=64, learning_rate=0.02, device="cpu"), held_out=source)
    before = trainer.evaluate(source)["loss"]
    trainer.fit()
    assert trainer.evaluate(source)["loss"] < before - 1
    assert model.weight[:, :2].norm() > 5 * model.weight[:, 2:].norm()
    assert objective.log_scale.item() > -math.log(0.5)


def test_the_scale_stays_below_100_and_may_fall_again():
    """Views that are the same ask for an ever larger scale; views that have nothing in common for a small one."""
    settings = TrainConfig(steps=10, batch_size=8, learning_rate=1.0, schedule="constant", device="cpu")
    objective = Contrastive({"a": ["a"], "b": ["b"]})
    same = normal(8, 4).float()
    Trainer(nn.Linear(4, 4), objective, Columns(a=same, b=same), settings).fit()
    assert objective.log_scale.exp().item() == pytest.approx(100)
    Trainer(nn.Linear(4, 4).requires_grad_(False), objective, Columns(a=same, b=-same), settings).fit()
    assert objective.log_scale.exp().item() < 1


@pytest.mark.parametrize("wrong, message", [
    ({"projection": (8, 0)}, r"projection must be whole numbers of at least 1.*got \(8, 0\)"),
    ({"projection": (8, 2.5)}, "projection must be whole numbers"), ({"projection": 8}, "projection must be whole numbers.*got 8"),
    ({"learned": "no"}, "learned must be True or False"), ({"seed": 1.5}, "seed must be an int"),
    ({"negatives": "all"}, "negatives must be one of other view, both views, got 'all'"),
    ({"norm": "group"}, "norm must be one of batch, layer, got 'group'"),
])
def test_other_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Contrastive(VIEWS, **wrong)


@pytest.mark.parametrize("views, temperature, message", [
    ({"a": ["x"]}, 0.1, "two views, got 1: a"),
    ({"a": ["x"], "b": ["y"], "c": ["z"]}, 0.1, "two views, got 3: a, b, c"),
    ({"a": ["x"], "b": ["y"]}, 0.0, "temperature must be at least 0.01, got 0.0"),
    ({"a": ["x"], "b": ["y"]}, math.nan, "temperature must be a finite number, got nan"),
    ({"a": ["x"], "b": ["y"]}, "0.1", "temperature must be a finite number, got '0.1'"),
    ({"a": "images", "b": "other_images"}, 0.1, "views must be two names, each with a list of columns, got"),
    ({"a": ["x"], "b": []}, 0.1, "views must be two names"), (["x", "y"], 0.1, "views must be two names"),
])
def test_other_views_and_temperatures_are_refused(views, temperature, message):
    with pytest.raises(ValueError, match=message):
        Contrastive(views, temperature)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no column 'right'; its columns are left"):
        step(Contrastive({"a": ["left"], "b": ["right"]}), nn.Identity(), Columns(left=normal(4, 2)))
