"""What objectives on two views have in common: ranks, one call for both views, and what they refuse."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from two_views import CASES, FEATURES, MODELS, OBJECTIVES, SAMPLES, VIEWS, images, outcome, pairs, resnet, simclr, vit

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> list[dict]:
    """What two processes make of the same batch, each with half of it."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([sys.executable, str(HERE / "two_views.py"), str(folder), str(rank)], env=environment,
                                stderr=subprocess.PIPE, text=True) for rank in range(2)]
    try:
        said = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert all(process.returncode == 0 for process in running), [text[-2000:] for text in said]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.skipif(sys.platform == "win32" or not torch.distributed.is_gloo_available(), reason="needs gloo and POSIX")
@pytest.mark.parametrize("model, objective", CASES)
def test_two_ranks_have_the_loss_and_every_gradient_of_one(together, model, objective):
    one = outcome(model, objective)
    assert any(any(values) for values in one["gradients"].values())
    for rank in together:
        two = rank[f"{model} {objective}"]
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-10)
        for part in ("gradients", "state"):
            assert one[part].keys() == two[part].keys()
            for name, values in one[part].items():
                assert values == pytest.approx(two[part][name], abs=1e-10), name


def forward(objective, model, source):
    keys = Keys.of(0, len(source))
    return objective(model, objective.batch(source.take(keys), keys))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", MODELS)
def test_both_views_go_through_the_model_in_one_call(model, objective, monkeypatch):
    model, calls = MODELS[model](), []
    made, encode = OBJECTIVES[objective](model), type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda self, images: calls.append(len(images)) or encode(self, images))
    forward(made, model, pairs())
    assert calls == [2 * SAMPLES] * (2 if objective == "dino" else 1)  # the teacher once besides


def test_batch_norm_goes_by_both_views():
    """So a difference in brightness between the views stays to be seen, which two calls would have taken out."""
    first, second = images(dtype=torch.float64), images(dtype=torch.float64) + 3.0
    model = resnet().double().train()
    forward(simclr().double(), model, pl.Columns(images=first, other_images=second))
    mean = model.stem.conv(torch.cat([first, second])).mean((0, 2, 3))
    torch.testing.assert_close(model.stem.norm.running_mean, 0.1 * mean)
    assert model.stem.norm.num_batches_tracked == 1


def test_views_of_two_sizes_take_two_calls():
    source = pl.Columns(images=images(), other_images=images()[:, :, :4, :4])
    assert all(value.isfinite() for value in forward(simclr(), resnet(), source).values())


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("objective", ["vicreg", "dino"])
def test_one_view_is_told_from_two(objective):
    with pytest.raises(ValueError, match=r"two views of each image.*no column 'other_images': wrap it in TwoViews"):
        forward(OBJECTIVES[objective](vit()), vit(), pl.Columns(images=images()))


def test_one_view_is_told_from_two_where_views_have_names():
    with pytest.raises(ValueError, match="no column 'other_images'; its columns are images"):
        forward(simclr(), vit(), pl.Columns(images=images()))


@pytest.mark.parametrize("build", [lambda: simclr(projection=(20, 7)), lambda: pl.VICReg((20, 7)),
                                   lambda: pl.SelfDistillation(vit(), (20, 7))])
def test_a_projection_of_other_features_is_refused(build):
    with pytest.raises(ValueError, match=rf"projection must begin with the model's features, got \(20, 7\).*\(24, {FEATURES}\)"):
        forward(build(), vit(), pairs())


def test_a_model_without_features_cannot_be_projected():
    for model in (torch.nn.Flatten(), torch.nn.ModuleDict({"first": vit(), "second": vit()})):
        with pytest.raises(ValueError, match=f"features of one model, by its `encode`, and {type(model).__name__} has none"):
            forward(simclr(), model, pairs())


def test_maps_are_no_vectors():
    with pytest.raises(ValueError, match=r"one vector a sample, \(B, D\), got \(24, 12, 4, 4\): with features=True, or projection"):
        forward(pl.Contrastive(VIEWS), resnet(), pairs())


@pytest.mark.parametrize("objective", ["clip", "simclr", "vicreg"])
def test_a_batch_of_one_has_nothing_to_compare_with(objective):
    with pytest.raises(ValueError, match="compares the samples of a batch: it needs at least two, got one"):
        forward(OBJECTIVES[objective](None), vit(), pairs(1))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_images_of_one_colour_give_no_nan(model, objective):
    same = torch.full((SAMPLES, 3, 8, 8), 0.5)
    model = MODELS[model]()
    made = OBJECTIVES[objective](model).train()
    terms = forward(made, model, pl.Columns(images=same, other_images=same))
    sum(terms.values()).backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for part in (model, made) for p in part.parameters())


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", ["resnet", "vit"])
def test_it_trains_and_a_resumed_run_ends_with_the_same_bits(model, objective, tmp_path):
    """With all that the objective owns: a head, a temperature, a teacher and its centre."""
    def trainer(folder):
        made = MODELS[model]()
        settings = pl.TrainConfig(steps=6, batch_size=4, learning_rate=1e-3, device="cpu", checkpoint_every=3, keep_last=9)
        return pl.Trainer(made, OBJECTIVES[objective](made), pairs(), settings, held_out=pairs(8), folder=folder)

    whole = trainer(tmp_path)
    whole.fit()
    before = {name: tensor.clone() for name, tensor in whole.module.state_dict().items()}
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000006")
    again = trainer(tmp_path)
    again.fit()
    after = again.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    fresh = trainer(None).module.state_dict()
    moved = {name for name in fresh if not torch.equal(fresh[name], after[name])}
    assert any(name.startswith("objective.") for name in moved) and any(name.startswith("model.") for name in moved)
