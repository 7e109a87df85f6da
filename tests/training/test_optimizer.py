import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toys import SIZE, Recording, config, distance, mlp, same_bits, trained, vectors, weights

from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.modern import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)
from pretrain_lib.models.sequence_to_sequence import DecoderConfig, EncoderDecoder
from pretrain_lib.objectives.base import Batch, Objective, Step
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.objectives.replaced_token import ReplacedTokenDetection
from pretrain_lib.objectives.translation import Translation
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.optimizer import learning_rate_at, make_optimizer, rate_factors
from pretrain_lib.training.trainer import Trainer


def rates(**settings) -> list[float]:
    chosen = TrainConfig(**{"learning_rate": 2.0, **settings})
    return [learning_rate_at(step, chosen) for step in range(chosen.steps)]


def test_warm_up_rises_in_equal_parts_and_reaches_the_full_rate():
    expected = [0.5, 1, 1.5, 2, 2, 2]
    assert rates(steps=6, warmup_steps=4, schedule="constant") == pytest.approx(expected)


def test_without_warm_up_the_first_update_has_the_full_rate():
    for schedule in ("constant", "linear", "cosine"):
        assert rates(steps=5, schedule=schedule)[0] == 2.0


def test_linear_falls_to_its_end_in_equal_parts():
    assert rates(steps=4, schedule="linear") == pytest.approx([2, 1.5, 1, 0.5])
    assert rates(steps=4, schedule="linear", final_learning_rate=0.5) == pytest.approx(
        [2, 1.75, 1.5, 1.25])


def test_cosine_is_half_a_cosine():
    expected = [2 * 0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(4)]
    assert rates(steps=4, schedule="cosine") == pytest.approx(expected)
    assert rates(steps=4, schedule="cosine")[2] == pytest.approx(1.0)


def test_cosine_after_warm_up_starts_at_the_full_rate():
    values = rates(steps=10, warmup_steps=4, schedule="cosine", final_learning_rate=0.1)
    assert values[3] == values[4] == 2.0
    assert values[7] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))


def test_a_run_may_be_all_warm_up():
    assert rates(steps=4, warmup_steps=4) == pytest.approx([0.5, 1, 1.5, 2])


@given(steps=st.integers(1, 200), warm=st.floats(0, 1), final=st.floats(0, 1),
       schedule=st.sampled_from(["constant", "linear", "cosine"]))
@settings(max_examples=60, deadline=None)
def test_the_rate_is_positive_bounded_and_single_peaked(steps, warm, final, schedule):
    warmup = int(warm * steps)
    values = rates(steps=steps, warmup_steps=warmup, final_learning_rate=final, schedule=schedule)
    assert all(0 < v <= 2.0 * (1 + 1e-12) for v in values)
    rising, falling = values[:warmup], values[warmup:]
    assert rising == sorted(rising)
    assert all(a >= b - 1e-12 for a, b in zip(falling, falling[1:], strict=False))


def test_the_rate_of_each_update_is_the_one_that_the_optimiser_used_and_the_log_holds():
    settings = config(steps=6, warmup_steps=2, optimizer="sgd", momentum=0.0)
    objective = ConstantGradient()
    model = nn.Linear(SIZE, SIZE)
    before = model.weight.detach().clone()
    trainer = trained(objective, settings, model)
    expected = rates(steps=6, warmup_steps=2, learning_rate=settings.learning_rate)
    assert [r["learning_rate"] for r in trainer.history.records] == expected
    # a gradient of 1 everywhere: plain SGD has moved by the sum of the rates
    assert torch.allclose(before - model.weight, torch.full_like(before, sum(expected)), atol=1e-6)


class ConstantGradient(Objective):
    """A loss whose gradient is `slope` for every parameter of the model."""

    def __init__(self, slope: float = 1.0):
        super().__init__()
        self.slope = slope

    def batch(self, samples, keys):
        return Batch({"images": samples["images"]}, {}, {"flat": len(keys)})

    def forward(self, model, batch):
        total = sum(p.sum() for p in model.parameters() if p.requires_grad)
        return {"flat": self.slope * len(batch.inputs["images"]) * total}


def test_weight_decay_shrinks_matrices_and_kernels_only():
    model = nn.Sequential(nn.Linear(SIZE, SIZE), nn.LayerNorm(SIZE), nn.Unflatten(1, (1, SIZE)),
                          nn.Conv1d(1, 2, 3))
    before = weights(model)
    settings = config(steps=3, learning_rate=0.1, weight_decay=0.5, schedule="constant")
    trained(ConstantGradient(slope=0.0), settings, model)
    for name, value in model.state_dict().items():
        factor = (1 - 0.1 * 0.5) ** 3 if before[name].ndim >= 2 else 1.0
        assert torch.allclose(value, factor * before[name], rtol=1e-6), name


def test_weight_decay_is_that_of_torch():
    settings = config(weight_decay=0.1, schedule="constant")
    ours = mlp()
    seen = record_batches(ours, settings)
    theirs = mlp()
    matrices, others = matrices_and_others(theirs)
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                                   {"params": others, "weight_decay": 0.0}], lr=1e-2)
    replay(theirs, optimizer, seen)
    assert distance(weights(ours), weights(theirs)) < 1e-6


def matrices_and_others(model) -> tuple[list, list]:
    parameters = list(model.parameters())
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim < 2]


def record_batches(model, settings) -> list[torch.Tensor]:
    """Trains the model and returns the inputs of each update."""
    objective = Recording(noise="masking", level=0.0)
    trained(objective, settings, model)
    return objective.shown


def replay(model, optimizer, batches):
    """The bare loop that anybody would write."""
    for x in batches:
        loss = 0.5 * (model(x) - x).square().sum() / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_l2_under_adamw_is_that_of_torchs_adam_and_not_decoupled_decay():
    settings = config(l2=0.5, schedule="constant", steps=20)
    ours = mlp()
    seen = record_batches(ours, settings)

    adam = mlp()
    matrices, others = matrices_and_others(adam)
    replay(adam, torch.optim.Adam([{"params": matrices, "weight_decay": 0.5}, {"params": others}],
                                  lr=1e-2), seen)
    assert distance(weights(ours), weights(adam)) < 1e-5

    decoupled = mlp()
    trained(Reconstruction(), config(weight_decay=0.5, schedule="constant", steps=20), decoupled)
    assert distance(weights(ours), weights(decoupled)) > 0.01


def test_l2_under_sgd_is_torchs_weight_decay():
    settings = config(optimizer="sgd", l2=0.1, momentum=0.8, learning_rate=1e-3,
                      schedule="constant")
    ours = mlp()
    seen = record_batches(ours, settings)
    theirs = mlp()
    matrices, others = matrices_and_others(theirs)
    replay(theirs, torch.optim.SGD([{"params": matrices, "weight_decay": 0.1}, {"params": others}],
                                   lr=1e-3, momentum=0.8), seen)
    assert distance(weights(ours), weights(theirs)) < 1e-6


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs(momentum):
    settings = config(optimizer="sgd", momentum=momentum, learning_rate=1e-3, schedule="constant")
    ours = mlp()
    seen = record_batches(ours, settings)
    theirs = mlp()
    replay(theirs, torch.optim.SGD(theirs.parameters(), lr=1e-3, momentum=momentum), seen)
    assert distance(weights(ours), weights(theirs)) < 1e-6


def test_betas_and_eps_reach_the_optimiser():
    group = make_optimizer(mlp(), TrainConfig(betas=(0.5, 0.6), eps=1e-3)).param_groups[0]
    assert group["betas"] == (0.5, 0.6) and group["eps"] == 1e-3


def test_the_gradient_is_clipped_as_a_whole_and_its_norm_before_that_is_logged():
    model = nn.Linear(SIZE, SIZE)
    before = weights(model)
    settings = config(steps=1, optimizer="sgd", momentum=0, learning_rate=1.0,
                      gradient_clipping=0.5, schedule="constant")
    history = trained(ConstantGradient(slope=3.0), settings, model).history
    n = sum(p.numel() for p in model.parameters())
    assert history.records[0]["gradient_norm"] == pytest.approx(3.0 * math.sqrt(n), rel=1e-6)
    moved = torch.cat([(before[k] - v).flatten() for k, v in model.state_dict().items()])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)
    assert moved.std() < 1e-6  # the direction is kept


def test_clipping_leaves_a_smaller_gradient_alone():
    free, loose = (trained(Reconstruction(), config(gradient_clipping=limit)) for limit in (0, 1e9))
    assert same_bits(weights(free.model), weights(loose.model))


def test_frozen_weights_stay_and_are_not_the_optimisers():
    model = mlp()
    model[0].requires_grad_(False)
    before = weights(model)
    trainer = trained(Reconstruction(), config(weight_decay=0.1), model)
    after = weights(model)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["3.weight"], after["3.weight"])
    held = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert id(model[0].weight) not in held


def test_a_model_without_anything_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        Trainer(mlp().requires_grad_(False), Reconstruction(), vectors(), config())


def classifier():
    shape = ModernBertConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=3,
                             num_attention_heads=2, max_position_embeddings=8)
    return ModernBertForSequenceClassification(shape, 2)


def test_rates_fall_from_the_head_to_the_embeddings():
    factors = rate_factors(classifier(), 0.5)
    expected = {"classifier.weight": 1, "head.dense.weight": 1, "encoder.norm.weight": 1,
                "encoder.layers.2.attention.qkv.weight": 1 / 2, "encoder.layers.1.feed_forward.up.weight": 1 / 4,
                "encoder.layers.0.attention.output.weight": 1 / 8, "encoder.embeddings.word.weight": 1 / 16,
                "encoder.embeddings.norm.weight": 1 / 16}
    assert {name: factors[name] for name in expected} == expected
    assert set(rate_factors(classifier(), 1.0).values()) == {1.0}


def test_layers_that_are_not_the_encoders_have_the_full_rate():
    """A decoder, or the generator of an objective, begins from nothing, whatever its layers are called."""
    shape = classifier().encoder.config
    translator = EncoderDecoder(ModernBertModel(shape), DecoderConfig(20, 8, 2, 2, 8))
    factors = rate_factors(Step(translator, Translation()), 0.5)
    assert {f for name, f in factors.items() if not name.startswith("model.encoder.")} == {1.0}
    assert factors["model.encoder.layers.0.attention.qkv.weight"] == 1 / 8
    assert factors["model.encoder.layers.2.attention.qkv.weight"] == 1 / 2
    detection = ReplacedTokenDetection(ModernBertForMaskedLM(shape), MaskedLM(SpecialIds(0, 1, 2, 3, 4), 20))
    factors = rate_factors(Step(ModernBertForTokenClassification(shape, 1), detection), 0.5)
    assert {f for name, f in factors.items() if name.startswith("objective.")} == {1.0}
    assert factors["model.encoder.embeddings.word.weight"] == 1 / 16


def test_tasks_that_share_an_encoder_have_its_rates():
    era, party = classifier(), classifier()
    party.encoder = era.encoder
    factors = rate_factors(nn.ModuleDict({"era": era, "party": party}), 0.5)
    assert factors["era.encoder.layers.1.attention.qkv.weight"] == 1 / 4
    assert factors["party.classifier.weight"] == 1


def test_each_layer_moves_by_its_share_of_the_rate():
    """AdamW's first update moves every weight by the learning rate, whatever its gradient."""
    model = classifier()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.nn.init.normal_(model.classifier.weight)
    before["classifier.weight"] = model.classifier.weight.detach().clone()
    ids = torch.arange(32).view(4, 8) % 20
    source = Columns(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.tensor([0, 1, 1, 0]))
    chosen = TrainConfig(steps=1, batch_size=4, learning_rate=0.01, layer_decay=0.5, eps=1e-30, device="cpu",
                         schedule="constant")
    objective = Classification("input_ids", "attention_mask", num_classes=2)
    Trainer(model, objective, source, chosen).fit()
    factors = rate_factors(model, 0.5)
    for name, p in model.named_parameters():
        moved = (p.detach() - before[name]).abs().max().item()
        assert moved == pytest.approx(0.01 * factors[name], rel=1e-3), name


def test_what_has_no_layers_has_one_rate():
    with pytest.raises(ValueError, match="layer_decay is 0.5, but the model has no `layers`"):
        rate_factors(nn.Linear(2, 2), 0.5)
    with pytest.raises(ValueError, match="layer_decay must be 1 under muon"):
        TrainConfig(layer_decay=0.5, optimizer="muon")
