"""Replaced-token detection against brute force, and what may and may not get a gradient."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.modern import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForTokenClassification,
)
from pretrain_lib.objectives.base import Batch
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.objectives.replaced_token import ReplacedTokenDetection
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

SPECIAL, V, T = SpecialIds(0, 1, 2, 3, 4), 40, 20


def texts(n=32):
    generator = torch.Generator().manual_seed(0)
    ids = 5 + (torch.randint(0, 35, (n, 1), generator=generator) + torch.arange(T)) % 35
    ends = torch.randint(6, T, (n, 1), generator=generator)
    place = torch.arange(T)
    ids[:, 0] = SPECIAL.cls
    ids.scatter_(1, ends, SPECIAL.sep)
    return Columns(input_ids=ids.masked_fill(place > ends, 0),
                   attention_mask=(place <= ends).long())


def models(seed=0):
    sizes = ModernBertConfig(V, 16, 16, 1, 2, T, initializer_range=0.1)
    generator = ModernBertForMaskedLM(sizes, seed)
    model = ModernBertForTokenClassification(replace(sizes, hidden_size=32), 1, seed)
    return generator, model


def objective(generator, rate=0.3, **settings):
    return ReplacedTokenDetection(generator, MaskedLM(SPECIAL, V, rate=rate, replace=(1, 0, 0)),
                                  **settings)


def batch_of(task, source):
    keys = Keys.of(0, len(source))
    return task.batch(source.take(keys), keys)


class Fixed(nn.Module):
    """Answers with given logits at every blank, and remembers what it was shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.seen = {}

    def forward(self, input_ids, positions, **rest):
        self.seen = {"input_ids": input_ids, "positions": positions, **rest}
        return self.logits.expand(*positions.shape, V)


class Watching(nn.Module):
    """A discriminator that answers with what it is told and remembers what it was shown."""

    def __init__(self, answer):
        super().__init__()
        self.answer = nn.Parameter(answer)
        self.seen = {}

    def forward(self, input_ids, **rest):
        self.seen = {"input_ids": input_ids, **rest}
        return self.answer


def test_the_model_sees_samples_at_the_blanks_and_the_truth_elsewhere():
    source = texts()
    generator, model = Fixed(torch.zeros(V)), Watching(torch.zeros(32, T, 1))
    task = objective(generator)
    batch = batch_of(task, source)
    task(model, batch)
    shown, truth = model.seen["input_ids"], source.input_ids
    blank = torch.zeros_like(truth, dtype=torch.bool)
    used = batch.targets["labels"] != -100
    rows = torch.arange(32)[:, None].expand_as(used)
    blank[rows[used], batch.inputs["positions"][used]] = True
    assert torch.equal(shown[~blank], truth[~blank])
    assert (generator.seen["input_ids"][blank] == SPECIAL.mask).all()
    assert (shown[blank] != truth[blank]).float().mean() > 0.9
    assert (shown[blank] == SPECIAL.mask).float().mean() < 0.1
    assert torch.equal(model.seen["attention_mask"], source.attention_mask)
    assert "positions" not in model.seen


def test_both_losses_by_brute_force():
    source, bias = texts(), torch.randn(V, generator=torch.Generator().manual_seed(1))
    answer = torch.randn(32, T, 1, generator=torch.Generator().manual_seed(2))
    generator, model = Fixed(bias), Watching(answer)
    task = objective(generator)
    batch = batch_of(task, source)
    terms = task(model, batch)
    shown, detection, count = model.seen["input_ids"], 0.0, 0
    for b in range(32):
        for t in range(T):
            if source.attention_mask[b, t]:
                p = 1 / (1 + math.exp(-answer[b, t, 0].item()))
                replaced = shown[b, t] != source.input_ids[b, t]
                detection -= math.log(p if replaced else 1 - p)
                count += 1
    assert terms["replaced_token"].item() == pytest.approx(detection, rel=1e-5)
    assert batch.counts["replaced_token"] == count
    labels = batch.targets["labels"]
    expected = -bias.log_softmax(0)[labels[labels >= 0]].sum()
    assert terms["masked_lm"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_sample_that_is_the_true_token_counts_as_original():
    ids = torch.full((4, T), 7)
    certain = torch.full((V,), -1e4)
    certain[7] = 0.0
    task, model = objective(Fixed(certain)), Watching(torch.full((4, T, 1), -3.0))
    loss = task(model, batch_of(task, Columns(input_ids=ids)))["replaced_token"]
    assert torch.equal(model.seen["input_ids"], ids)
    assert loss.item() == pytest.approx(4 * T * math.log(1 + math.exp(-3)), rel=1e-5)
    certain[7], certain[8] = -1e4, 0.0
    task = objective(Fixed(certain))
    batch = batch_of(task, Columns(input_ids=ids))
    loss = task(model, batch)["replaced_token"].item()
    blanks = batch.counts["masked_lm"]
    expected = blanks * math.log(1 + math.exp(3)) + (4 * T - blanks) * math.log(1 + math.exp(-3))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_tokens_are_sampled_from_the_generators_distribution():
    probabilities = torch.softmax(2 * torch.randn(V, generator=torch.Generator().manual_seed(3)), 0)
    task = objective(Fixed(probabilities.log()), rate=0.9)
    batch = batch_of(task, Columns(input_ids=torch.full((2000, T), 7)))
    torch.manual_seed(0)
    logits = task.generator(**batch.inputs)
    shown = task.corrupt(logits, batch)
    used = batch.targets["labels"] != -100
    rows = torch.arange(2000)[:, None].expand_as(used)
    sampled = shown[rows[used], batch.inputs["positions"][used]]
    n = len(sampled)
    assert n > 30_000
    for count, p in zip(torch.bincount(sampled, minlength=V).tolist(), probabilities.tolist(),
                        strict=True):
        assert abs(count - n * p) < 5 * math.sqrt(n * p * (1 - p)) + 1


def test_samples_are_put_in_place_without_asking_how_many_there_are():
    """A GPU would be waited for, and a compiled step compiled anew for each other number."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(5, V, (6, 8), generator=generator)
    unused = torch.arange(8) >= torch.arange(3, 9)[:, None]
    positions = torch.rand(6, T, generator=generator).argsort(1)[:, :8].sort(1).values
    positions[:, 0] = 0  # where unused slots point as well
    original = torch.randint(5, V, (6, T), generator=generator)
    batch = Batch({"positions": positions.masked_fill(unused, 0)},
                  {"labels": labels.masked_fill(unused, -100), "original": original}, {})
    logits = torch.randn(6, 8, V, generator=generator)
    torch.manual_seed(0)
    noise = -torch.empty(6, 8, V).exponential_().log()
    expected = original.clone()
    for row, slot in (~unused).nonzero().tolist():
        expected[row, positions[row, slot]] = (logits + noise)[row, slot].argmax()
    task = objective(Fixed(torch.zeros(V)))
    with FakeTensorMode() as fake:  # whose values nobody knows
        shapes = Batch(*({name: fake.from_tensor(value) for name, value in part.items()}
                         for part in (batch.inputs, batch.targets)), {})
        assert task.corrupt(fake.from_tensor(logits), shapes).shape == (6, T)
    torch.manual_seed(0)
    corrupted = task.corrupt(logits, batch)
    assert torch.equal(corrupted, expected) and not torch.equal(original, expected)
    assert torch.equal(batch.targets["original"], original)


def test_the_sample_is_a_function_of_torchs_random_state():
    task = objective(Fixed(torch.zeros(V)))
    batch = batch_of(task, texts())
    logits = task.generator(**batch.inputs)
    drawn = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        drawn.append(task.corrupt(logits, batch))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_each_network_learns_from_its_own_loss_alone():
    generator, model = models()
    task = objective(generator)
    terms = task(model, batch_of(task, texts()))
    terms["replaced_token"].backward(retain_graph=True)
    assert all(p.grad is None or not p.grad.any() for p in generator.parameters())
    assert all(p.grad.any() for p in model.parameters() if p.ndim == 2)
    model.zero_grad()
    terms["masked_lm"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert all(p.grad.any() for p in generator.parameters() if p.ndim == 2)


def test_padding_and_unused_slots_are_not_scored():
    generator, model = Fixed(torch.zeros(V)), Watching(torch.randn(32, T, 1))
    source, task = texts(), objective(generator)
    task(model, batch_of(task, source))["replaced_token"].backward()
    real = source.attention_mask.bool()
    assert (model.answer.grad[~real] == 0).all() and (model.answer.grad[real] != 0).all()


def run(**settings):
    generator, model = models()
    task = objective(generator)
    config = TrainConfig(**{"steps": 20, "batch_size": 16, "learning_rate": 2e-2, "device": "cpu",
                            "log_every": 1, **settings})
    trainer = Trainer(model, task, texts(64), config)
    return trainer, trainer.fit()


def test_both_are_trained_and_a_run_can_be_repeated():
    trainer, history = run()
    first, last = history.records[0], history.records[-1]
    assert last["masked_lm"] < first["masked_lm"] - 0.1
    assert last["replaced_token"] < first["replaced_token"]
    assert first["loss"] == pytest.approx(first["masked_lm"] + 50 * first["replaced_token"])
    again, _ = run()
    for part in ("model", "objective"):
        one, two = (getattr(t, part).state_dict() for t in (trainer, again))
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_resumed_run_is_the_run(tmp_path):
    """The generator is part of the checkpoint, and sampling has no state of its own."""
    config = {"batch_size": 8, "learning_rate": 5e-3, "device": "cpu", "checkpoint_every": 3}
    states = []
    for stop in (None, 3):
        generator, model = models()
        task = objective(generator)
        folder = tmp_path / str(stop)
        trainer = Trainer(model, task, texts(64), TrainConfig(steps=6, **config), folder=folder)
        if stop:
            task.register_forward_pre_hook(interrupt_after(3))
            with pytest.raises(RuntimeError, match="power cut"):
                trainer.fit()
            generator, model = models(seed=9)
            trainer = Trainer(model, objective(generator), texts(64),
                              TrainConfig(steps=6, **config), folder=folder)
        trainer.fit()
        states.append({**trainer.model.state_dict(), **trainer.objective.state_dict()})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def interrupt_after(steps):
    seen = []

    def hook(task, *_):
        seen.append(task.training)
        if sum(seen) > steps:
            raise RuntimeError("power cut")

    return hook


def test_a_discriminator_of_another_shape_is_refused():
    task = objective(Fixed(torch.zeros(V)))
    with pytest.raises(ValueError, match=r"one logit a token, \(32, 20, 1\).*num_labels=1.*2\)"):
        task(Watching(torch.zeros(32, T, 2)), batch_of(task, texts()))


@pytest.mark.parametrize("weight", [0, -1.0, math.nan])
def test_a_weight_that_trains_no_discriminator_is_refused(weight):
    with pytest.raises(ValueError, match=f"weight must be above 0, got {weight}"):
        objective(Fixed(torch.zeros(V)), weight=weight)
