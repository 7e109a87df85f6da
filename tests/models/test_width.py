"""One learning rate for all widths: what the layers answer changes alike, and at the base nothing does."""

import pytest
import torch
from torch.nn import functional as F

from pretrain_lib import (
    BertConfig,
    BertForMaskedLM,
    LinearAutoencoder,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    TrainConfig,
)
from pretrain_lib.models.outputs import outputs_of
from pretrain_lib.models.width import scale_first_weights, width_factors
from pretrain_lib.training.optimizer import make_optimizer, parameter_groups

BASE, HEAD, UPDATES = 16, 8, 4
WIDTHS = (16, 64, 256)
IDS = torch.randint(5, 40, (6, 10), generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(5, 40, (6, 10), generator=torch.Generator().manual_seed(1))


def made(kind, width: int, seed: int = 0, *labels):
    config = (ModernBertConfig if kind.__name__.startswith("Modern") else BertConfig)(
        vocab_size=40, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=width // HEAD, max_position_embeddings=16, initializer_range=0.2)
    return kind(config, *labels, seed=seed).double().eval()


def moved(kind, width: int, base_width: int | None) -> dict[str, float]:
    """How far a few updates move what each part answers: the root of the mean square."""
    model = made(kind, width)
    if base_width:
        scale_first_weights(model, base_width)
    config = TrainConfig(learning_rate=0.02, eps=1e-30, base_width=base_width)
    optimizer = make_optimizer(model, config)
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * group["rate_factor"]
    parts = {"first layer": model.encoder.layers[0], "second layer": model.encoder.layers[1], "logits": model}

    def answers():
        with outputs_of(list(parts.values())) as found:
            loss = F.cross_entropy(model(IDS).flatten(0, 1), LABELS.flatten())
        return loss, [each.detach().clone() for each in found]

    _, before = answers()
    for _ in range(UPDATES):
        optimizer.zero_grad()
        answers()[0].backward()
        optimizer.step()
    _, after = answers()
    return {name: (b - a).square().mean().sqrt().item() for name, a, b in zip(parts, before, after, strict=True)}


@pytest.mark.parametrize("kind", [ModernBertForMaskedLM, BertForMaskedLM])
def test_what_layers_answer_changes_alike_at_all_widths(kind):
    """The coordinate check of Tensor Programs V, appendix D.1; and one rate for all tensors fails it."""
    ours = {width: moved(kind, width, BASE) for width in WIDTHS}
    ordinary = {width: moved(kind, width, None) for width in WIDTHS}
    for part in ("first layer", "second layer", "logits"):
        if kind is ModernBertForMaskedLM or part == "logits":  # BERT normalises what its layers answer
            assert ordinary[256][part] > 2 * ordinary[16][part], (part, ordinary)
        assert ours[256][part] < 1.5 * ours[16][part], (part, ours)


@pytest.mark.parametrize("kind", [ModernBertForMaskedLM, BertForMaskedLM])
def test_at_the_base_width_it_is_the_ordinary_thing(kind):
    one, other = made(kind, BASE), scale_first_weights(made(kind, BASE), BASE)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert set(width_factors(one, BASE).values()) == {(1.0, 1.0)}
    assert moved(kind, BASE, BASE) == moved(kind, BASE, None)


def test_factors_follow_the_table():
    """Tensor Programs V, table 8 for inputs and hidden matrices; the tied output by the norm before it."""
    factors = width_factors(made(ModernBertForMaskedLM, 64), BASE)
    assert factors["encoder.layers.0.attention.qkv.weight"] == (0.5, 0.25)
    assert factors["encoder.layers.1.feed_forward.down.weight"] == factors["head.dense.weight"] == (0.5, 0.25)
    assert factors["head.norm.weight"] == (0.25, 0.25)
    for name in ("encoder.embeddings.word.weight", "encoder.layers.1.attention_norm.weight", "encoder.norm.weight",
                 "decoder_bias"):
        assert factors[name] == (1.0, 1.0)
    factors = width_factors(made(BertForMaskedLM, 64), BASE)
    assert factors["masked_lm.norm.weight"] == factors["masked_lm.norm.bias"] == (0.25, 0.25)
    assert factors["encoder.embeddings.position.weight"] == factors["encoder.layers.0.attention.qkv.bias"] == (1, 1)
    model = made(ModernBertForSequenceClassification, 64, 0, 3)
    factors = width_factors(model, BASE)
    assert factors["classifier.weight"] == (0.25, 0.25) and factors["head.norm.weight"] == (1.0, 1.0)


def test_every_tensor_is_in_one_group_with_its_rate():
    model = made(ModernBertForMaskedLM, 64)
    groups = parameter_groups(model, 0.1, base_width=BASE)
    rates = {id(p): group["rate_factor"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(list(model.parameters()))
    factors = width_factors(model, BASE)
    assert all(rates[id(p)] == factors[name].rate for name, p in model.named_parameters())


def test_what_has_no_such_width_is_refused():
    model = made(ModernBertForMaskedLM, 64)
    with pytest.raises(ValueError, match="base_width must be a multiple of the heads' size, 8, .* got 12"):
        width_factors(model, 12)
    with pytest.raises(ValueError, match="base_width asks for a model with hidden_size, .* got LinearAutoencoder"):
        width_factors(LinearAutoencoder(4, 2), 2)
    with pytest.raises(ValueError, match="base_width must be None under another optimizer than adamw"):
        TrainConfig(base_width=16, optimizer="muon")
