import math
import shutil
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from toys import SIZE, Recording, config, distance, mlp, same_bits, trained, vectors, weights

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.models import precision
from pretrain_lib.training import checkpoint, loss_scaling
from pretrain_lib.training.finite import NonFiniteError
from pretrain_lib.training.loss_scaling import FIRST, MOST_SKIPPED, LossScaler
from pretrain_lib.training.checkpoint import optimizer_tensors
from pretrain_lib.training.passes import throw_away_a_pass
from pretrain_lib.models.precision import Choice
from pretrain_lib.training.trainer import Trainer

CPU = torch.device("cpu")


class Spy(nn.Module):
    """Notes the format that the model computes in."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.formats = set()

    def forward(self, x):
        y = self.inner(x)
        self.formats.add(y.dtype)
        return y


@pytest.mark.parametrize("name, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16),
                                         ("fp16", torch.float16)])
def test_the_model_computes_in_the_format_and_keeps_float32_weights(name, dtype):
    model = Spy(mlp())
    trainer = trained(Reconstruction(), config(precision=name), model)
    trainer.evaluate(vectors(20))
    assert model.formats == {dtype}
    assert all(p.dtype == torch.float32 for p in model.parameters())
    state = [t for s in trainer.optimizer.state.values() for t in s.values()]
    assert state and all(t.dtype == torch.float32 for t in state)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_half_precision_learns_what_float32_learns(name):
    full, half = (trained(Reconstruction(), config(steps=100, precision=chosen))
                  for chosen in ("fp32", name))
    assert half.history.losses[-1] == pytest.approx(full.history.losses[-1], rel=0.1)
    assert 0 < distance(weights(full.model), weights(half.model)) < 0.3


def test_half_precision_is_as_repeatable_as_float32():
    first, second = mlp(dropout=0.1), mlp(dropout=0.1)
    for model in (first, second):
        trained(Reconstruction(), config(precision="fp16"), model)
    assert same_bits(weights(first), weights(second))


class Steep(Reconstruction):
    """A loss whose gradient, times a loss scale of 65536, is too large for float16."""

    def forward(self, model, batch):
        return {"reconstruction": 300 * super().forward(model, batch)["reconstruction"]}


def test_a_gradient_that_overflows_float16_is_skipped_and_the_scale_falls():
    model = mlp()
    before = weights(model)
    settings = config(steps=30, precision="fp16", schedule="constant")
    trainer = Trainer(model, Steep(), vectors(), settings)
    scales, moved = [], []

    original = trainer.update

    def watched(*args):
        was = weights(model)
        result = original(*args)
        scales.append(trainer.scaler.scale)
        moved.append((not same_bits(was, weights(model)), math.isfinite(result[1])))
        return result

    trainer.update = watched
    history = trainer.fit()
    assert scales[0] == 32768  # the first update was skipped
    assert moved[0] == (False, False)
    assert all(changed == finite for changed, finite in moved)
    assert moved[-1] == (True, True)
    assert all(math.isfinite(loss) for loss in history.losses)
    assert not same_bits(before, weights(model))


def test_the_gradient_is_the_same_whatever_the_loss_scale():
    """Clipping and the logged norm see the gradient without the loss scale."""
    standing_still = {"steps": 12, "learning_rate": 1e-12}
    full, half = ([r["gradient_norm"] for r in trained(
        Reconstruction(), config(precision=name, **standing_still)).history.records]
        for name in ("fp32", "fp16"))
    assert half[0] is None  # not finite: the scale is still being searched
    assert half[-6:] == pytest.approx(full[-6:], rel=0.01)


def test_the_loss_scale_is_saved_and_comes_back(tmp_path):
    settings = config(steps=10, precision="fp16", checkpoint_every=5)
    trainer = trained(Steep(), settings, folder=tmp_path)
    again = Trainer(mlp(), Steep(), vectors(), settings, folder=tmp_path)
    again.fit()
    assert trainer.scaler.scale < 65536
    assert again.scaler.state_dict() == trainer.scaler.state_dict()


class Hopeless(Reconstruction):
    """A finite loss with a gradient that is not a number, at any loss scale."""

    def forward(self, model, batch):
        error = super().forward(model, batch)["reconstruction"]
        p = next(model.parameters())
        return {"reconstruction": error + (p - p.detach()).abs().sqrt().sum()}


def test_a_gradient_that_no_scale_makes_finite_raises_at_last():
    model = mlp()
    before = weights(model)
    with pytest.raises(NonFiniteError, match="gradient"):
        trained(Hopeless(), config(steps=200, precision="fp16"), model)
    assert same_bits(before, weights(model))


class Towering(Reconstruction):
    """A gradient that is finite, but whose norm, squared on the way, is not."""

    def forward(self, model, batch):
        return {"reconstruction": 1e20 * sum(p.float().sum() for p in model.parameters())
                * len(batch.inputs["images"])}


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_a_norm_that_overflows_by_itself_raises_and_spoils_no_weight(name):
    model = mlp()
    before = weights(model)
    with pytest.raises(NonFiniteError, match="gradient"):
        trained(Towering(), config(precision=name), model)
    assert same_bits(before, weights(model))


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_scale_is_used_for_float16_only(name):
    assert trained(Reconstruction(), config(precision=name)).scaler.enabled == (name == "fp16")


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_the_scale_moves_as_torchs_own_does(finite, interval):
    """`torch.amp.GradScaler` finds overflows by itself; what it makes of them is the reference."""
    reference = torch.amp.GradScaler("cpu", init_scale=FIRST, growth_interval=interval)
    scaler = LossScaler(True)
    p = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([p], lr=0.0)
    with mock.patch.object(loss_scaling, "DOUBLED_AFTER", interval):
        for good in finite:
            p.grad = torch.full_like(p, 1.0 if good else math.inf)
            reference.scale(torch.ones(1))
            reference.step(optimizer)
            reference.update()
            scaler.update(good)
            assert scaler.scale == reference.get_scale()


def test_scaling_and_unscaling_change_no_bit():
    scaler = LossScaler(True)
    gradient = torch.randn(100, generator=torch.Generator().manual_seed(0))
    scaled = scaler.scaled(gradient)
    assert (scaled == gradient * FIRST).all()
    scaler.unscale([scaled])
    assert torch.equal(scaled, gradient)


def test_twenty_overflows_in_a_row_are_enough():
    scaler = LossScaler(True)
    for _ in range(MOST_SKIPPED):
        assert scaler.may_fall
        scaler.update(finite=False)
    assert not scaler.may_fall
    scaler.update(finite=True)
    assert scaler.may_fall
    assert not LossScaler(False).may_fall


# ------------------------------------------------------------------- float32 products on a GPU


@pytest.mark.parametrize("name, format", [("fp32", "ieee"), ("bf16", "ieee"), ("tf32", "tf32")])
def test_matrix_products_and_convolutions_round_alike_and_only_within(name, format):
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [setting.fp32_precision for setting in settings]
    with precision.products_in(name, torch.device("cuda")):
        assert [setting.fp32_precision for setting in settings] == [format, format]
    assert [setting.fp32_precision for setting in settings] == before
    with precision.products_in(name, CPU):
        assert [setting.fp32_precision for setting in settings] == before


def test_attention_on_a_gpu_is_not_cudnns_and_only_within():
    enabled = torch.backends.cuda.cudnn_sdp_enabled
    assert enabled()
    with pytest.raises(ZeroDivisionError), precision.products_in("bf16", torch.device("cuda")):
        assert not enabled()
        1 / 0
    with precision.products_in("bf16", CPU):
        assert enabled()


class Within(nn.Module):
    """Notes, at each pass forwards or backwards, how products were to be rounded."""

    def __init__(self, now):
        super().__init__()
        self.inner, self.now, self.seen = mlp(), now, []

    def forward(self, x):
        self.seen.append(list(self.now))
        y = self.inner(x)
        if y.requires_grad:
            y.register_hook(lambda _: self.seen.append(list(self.now)))
        return y


def test_updates_evaluations_and_the_pass_before_them_round_alike(monkeypatch):
    now = []

    @contextmanager
    def noted(name, device):
        now.append((name, device))
        yield
        now.pop()

    for module in ("trainer", "held_out", "passes", "contract"):
        monkeypatch.setattr(f"pretrain_lib.training.{module}.products_in", noted)
    model = Within(now)
    run = Trainer(model, Reconstruction(), vectors(), config(steps=1, precision="bf16"))
    run.fit()
    run.evaluate(vectors(20))
    keys = Keys.of(0, range(4))
    batch = run.objective.batch(vectors().take(keys), keys)
    throw_away_a_pass(run.module, batch, run.module, "bf16")
    assert model.seen == len(model.seen) * [[("bf16", CPU)]] and len(model.seen) >= 5


# ------------------------------------------------------------------- the probe


def timings(monkeypatch, products, layers):
    """Makes the probe measure what is given here; a layer that is not told of is not to be timed."""
    precision.fastest_precision.cache_clear()
    monkeypatch.setattr(precision, "matmul_seconds", lambda name, *rest: products[name])
    monkeypatch.setattr(precision, "layer_seconds", lambda name, *rest: layers[name])


@pytest.mark.parametrize("device, products, layers, chosen", [
    ("cpu", {"fp32": 1.0, "bf16": 100.0}, {}, "fp32"),
    ("cpu", {"fp32": 1.0, "bf16": 0.95}, {}, "fp32"),
    ("cpu", {"fp32": 1.0, "bf16": 0.3}, {"fp32": 9.0, "bf16": 6.0}, "bf16"),
    ("cpu", {"fp32": 1.0, "bf16": 0.1}, {"fp32": 9.0, "bf16": 9.0}, "fp32"),
    ("cpu", {"fp32": 1.0, "bf16": 0.1}, {"fp32": 9.0, "bf16": 45.0}, "fp32"),
    ("cuda", {"fp32": 1.0, "bf16": 0.2, "fp16": 0.1}, {"fp32": 1.0, "bf16": 0.2}, "bf16"),
    ("cuda", {"fp32": 1.0, "bf16": 5.0, "fp16": 0.2}, {"fp32": 1.0, "fp16": 0.2}, "fp16"),
    ("cuda", {"fp32": 1.0, "bf16": 5.0, "fp16": 2.0, "tf32": 0.4}, {"fp32": 1.0, "tf32": 0.5}, "tf32"),
    ("cuda", {"fp32": 1.0, "bf16": 5.0, "fp16": 2.0, "tf32": 1.0}, {}, "fp32"),
])  # fmt: skip
def test_auto_takes_what_is_measured_to_be_faster(monkeypatch, device, products, layers, chosen):
    timings(monkeypatch, products, layers)
    choice = precision.choose_precision("auto", torch.device(device))
    assert choice.name == chosen and "times the speed of fp32" in choice.why
    precision.fastest_precision.cache_clear()


class Formats(TorchDispatchMode):
    """Notes in which format each operation computes."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        y = function(*args, **(kwargs or {}))
        first = y[0] if isinstance(y, tuple) else y
        if isinstance(first, torch.Tensor) and first.is_floating_point():
            self.seen.add((function.overloadpacket.__name__, first.dtype))
        return y


@pytest.mark.parametrize("name, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize("around", [torch.no_grad, torch.enable_grad])
def test_the_layer_that_is_timed_goes_both_ways_through_products_and_attention(monkeypatch, name, dtype, around):
    monkeypatch.setattr(precision, "SHAPES", {"cpu": (16, 4, 6, 2)})
    with around(), Formats() as formats:
        assert precision.layer_seconds(name, CPU) > 0
    assert {(kernel, dtype) for kernel in ("addmm", "_scaled_dot_product_flash_attention_for_cpu",
                                           "_scaled_dot_product_flash_attention_for_cpu_backward", "mm", "gelu_backward")} <= formats.seen


def test_a_name_is_taken_at_its_word():
    for name in ("fp32", "bf16", "fp16"):
        assert precision.choose_precision(name, CPU).name == name


def test_tf32_is_refused_where_there_are_no_such_units():
    with pytest.raises(ValueError, match="tf32.*'cpu'.*'auto' or 'fp32'"):
        trained(Reconstruction(), config(precision="tf32"))


def test_the_real_probe_knows_this_processor():
    precision.fastest_precision.cache_clear()
    choice = precision.choose_precision("auto", CPU)
    assert choice.name in ("fp32", "bf16") and "times the speed of fp32" in choice.why


class Factors(TorchDispatchMode):
    """Keeps what is multiplied."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen += args if function is torch.ops.aten.mm.default else ()
        return function(*args, **(kwargs or {}))


def test_a_product_of_random_factors_is_timed_by_the_median(monkeypatch):
    took = [90.0, 1.0, 5.0, 2.0, 30.0, 4.0]  # the first is the warm-up
    clock = iter([moment for seconds in took for moment in (0.0, seconds)])
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(clock))
    with Factors() as factors:
        seconds = precision.matmul_seconds("bf16", CPU, 64)
    assert seconds == 4.0
    assert len(factors.seen) == 2 * len(took)
    for factor in factors.seen:
        assert factor.dtype == torch.bfloat16 and factor.shape == (64, 64)
        assert factor.float().std().item() == pytest.approx(1, abs=0.05)


def test_the_probe_draws_no_random_number():
    precision.fastest_precision.cache_clear()
    before = torch.get_rng_state()
    precision.choose_precision("auto", CPU)
    precision.layer_seconds("fp32", CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_auto_trains():
    objective = Recording(noise="masking", level=0.0)
    trained(objective, config(precision="auto"))
    assert objective.shown[0].shape == (16, SIZE)


@pytest.mark.parametrize("first, later", [("fp32", "bf16"), ("bf16", "fp32"), ("fp16", "fp32"),
                                          ("fp32", "fp16")])
def test_a_resumed_run_keeps_the_precision_that_it_began_with(tmp_path, monkeypatch, first, later):
    """Timed anew, another one may seem the fastest."""
    settings = config(precision="auto", checkpoint_every=5, keep_last=9)
    monkeypatch.setattr(precision, "fastest_precision", lambda device: Choice(first, "told"))
    whole = trained(Reconstruction(), settings, folder=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000012")
    monkeypatch.setattr(precision, "fastest_precision", lambda device: Choice(later, "told"))
    again = trained(Reconstruction(), settings, folder=tmp_path)
    assert again.history.records[0]["step"] == 1 and again.precision == first
    assert same_bits(weights(again.module), weights(whole.module))
    anew = Trainer(mlp(), Reconstruction(), vectors(), settings, folder=tmp_path)
    anew.fit(resume=False)
    assert anew.precision == later
    assert not same_bits(weights(anew.module), weights(whole.module))


def test_a_checkpoint_from_before_precision_was_kept_is_resumed(tmp_path, monkeypatch):
    settings = config(checkpoint_every=5)
    load = checkpoint.read_checkpoint

    def older(place):
        tensors, state = load(place)
        del state["precision"]
        return tensors, state

    whole = trained(Reconstruction(), settings, folder=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000012")
    monkeypatch.setattr(checkpoint, "read_checkpoint", older)
    again = trained(Reconstruction(), settings, folder=tmp_path)
    assert same_bits(weights(again.module), weights(whole.module))


@pytest.mark.parametrize("device, fastest, chosen", [("cpu", "bf16", "fp32"), ("cuda", "bf16", "bf16"),
                                                     ("cuda", "fp16", "fp16"), ("mps", "bf16", "bf16")])
def test_what_is_not_said_is_the_fastest_on_a_gpu_and_fp32_on_a_cpu(monkeypatch, device, fastest, chosen):
    monkeypatch.setattr(precision, "fastest_precision", lambda device: Choice(fastest, "told"))
    assert precision.choose_precision(None, torch.device(device)).name == chosen


def test_a_run_that_says_nothing_computes_in_fp32_on_a_cpu_and_keeps_what_it_began_with(tmp_path):
    """Also where that was said then, or was the default of the library then."""
    settings = config(checkpoint_every=5, keep_last=9)
    assert trained(Reconstruction(), settings).precision == "fp32" and settings.precision is None
    whole = trained(Reconstruction(), config(checkpoint_every=5, keep_last=9, precision="bf16"), folder=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000012")
    again = trained(Reconstruction(), settings, folder=tmp_path)
    assert again.precision == "bf16" and again.history.records[0]["step"] == 1
    assert same_bits(weights(again.module), weights(whole.module))
    with pytest.raises(checkpoint.CheckpointError, match="precision: None, now 'fp32'"):
        Trainer(mlp(), Reconstruction(), vectors(), config(checkpoint_every=5, precision="fp32"), folder=tmp_path)


def test_a_format_that_is_not_here_is_refused_when_a_run_is_resumed(tmp_path, monkeypatch):
    trained(Reconstruction(), config(), folder=tmp_path)
    load = checkpoint.read_checkpoint

    def from_a_gpu(place):
        tensors, state = load(place)
        return tensors, state | {"precision": "tf32"}

    monkeypatch.setattr(checkpoint, "read_checkpoint", from_a_gpu)
    with pytest.raises(ValueError, match="precision 'tf32' is a format of NVIDIA"):
        trained(Reconstruction(), config(), folder=tmp_path)


def test_waiting_for_a_device_is_that_devices_own(monkeypatch):
    waited = []
    for kind in ("cuda", "mps"):
        monkeypatch.setattr(getattr(torch, kind), "synchronize", lambda kind=kind: waited.append(kind))
    for kind in ("cuda", "cpu", "mps"):
        precision.synchronise(torch.device(kind))
    assert waited == ["cuda", "mps"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["fp32", "tf32", "bf16", "fp16", "auto"])
def test_every_precision_trains_on_a_gpu_and_resumes(name, tmp_path):
    settings = config(steps=40, precision=name, device="cuda", checkpoint_every=20, workers=2)
    trainer = trained(Reconstruction(), settings, folder=tmp_path)
    assert trainer.history.losses[-1] < trainer.history.losses[0]
    assert not any(p.is_cuda for p in trainer.model.parameters())
    assert all(t.is_cuda for name, t in optimizer_tensors(trainer.module, trainer.optimizer).items() if "exp" in name)
    again = trained(Reconstruction(), settings, folder=tmp_path)
    assert same_bits(weights(trainer.model), weights(again.model))
