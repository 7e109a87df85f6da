import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from pretrain_lib.training.config import TrainConfig, differences
from pretrain_lib.models.precision import choose_device

# field, bad value, words of the allowed range
BAD = [
    ("steps", 0, "at least 1"),
    ("steps", 2.5, "int"),
    ("steps", "10", "int"),
    ("steps", True, "int"),
    ("steps", None, "int"),
    ("batch_size", 0, "at least 1"),
    ("batch_size", 32.0, "int"),
    ("accumulation", 0, "at least 1"),
    ("accumulation", 3, "divisor of batch_size=128"),
    ("optimizer", "adam", "adamw, muon, sgd"),
    ("optimizer", None, "adamw, muon, sgd"),
    ("learning_rate", 0, "above 0"),
    ("learning_rate", -1e-3, "above 0"),
    ("learning_rate", math.nan, "finite"),
    ("learning_rate", math.inf, "finite"),
    ("learning_rate", "1e-3", "number"),
    ("betas", (0.9, 1.0), "below 1"),
    ("betas", (-0.1, 0.9), "at least 0"),
    ("betas", (0.9,), "two numbers"),
    ("betas", (0.9, 0.99, 0.999), "two numbers"),
    ("betas", 0.9, "two numbers"),
    ("betas", (0.9, math.nan), "below 1"),
    ("betas", ("a", "b"), "two numbers"),
    ("eps", 0, "above 0"),
    ("eps", math.nan, "finite"),
    ("momentum", -0.1, "at least 0"),
    ("momentum", 1.0, "below 1"),
    ("weight_decay", -1, "at least 0"),
    ("weight_decay", math.inf, "finite"),
    ("l2", -1, "at least 0"),
    ("layer_decay", 0, "above 0 and at most 1"),
    ("layer_decay", 1.5, "above 0 and at most 1"),
    ("base_width", 0, "at least 1, or None"),
    ("l2", math.nan, "finite"),
    ("schedule", "step", "constant, linear, cosine"),
    ("warmup_steps", -1, "at least 0"),
    ("warmup_steps", 1001, "at most steps=1000"),
    ("warmup_steps", 0.1, "int"),
    ("final_learning_rate", -0.1, "at least 0"),
    ("final_learning_rate", 1.1, "at most 1"),
    ("gradient_clipping", -1, "at least 0"),
    ("precision", "float16", "auto, fp32, tf32, bf16, fp16"),
    ("compile", 1, "True or False"),
    ("activation_checkpointing", "yes", "True or False"),
    ("parallel", "fdsp", "ddp, fsdp"),
    ("device", 0, "string"),
    ("seed", -1, "at least 0"),
    ("seed", 2**32, "below 2**32"),
    ("seed", 1.5, "int"),
    ("workers", -1, "at least 0"),
    ("log_every", 0, "at least 1"),
    ("evaluate_every", -1, "at least 0"),
    ("checkpoint_every", -1, "at least 0"),
    ("keep_last", 0, "at least 1"),
    ("patience", -1, "at least 0"),
    ("patience", 3, "evaluate_every"),
    ("tensorboard", "yes", "True or False"),
]


@pytest.mark.parametrize("field, value, allowed", BAD, ids=[f"{f}={v!r}" for f, v, _ in BAD])
def test_a_bad_value_is_named_with_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError) as error:
        TrainConfig(**{field: value})
    message = str(error.value)
    assert message.startswith(field)
    assert repr(value) in message
    assert allowed in message
    assert "\n" not in message


def test_every_field_has_a_bad_value_above():
    assert {f.name for f in fields(TrainConfig)} == {field for field, _, _ in BAD}


def test_every_field_is_documented():
    for field in fields(TrainConfig):
        assert f"        {field.name}: " in TrainConfig.__doc__


@pytest.mark.parametrize("settings", [
    {},
    {"betas": [0.5, 0.9]},
    {"learning_rate": 1, "gradient_clipping": 1, "eps": 1},
    {"steps": 1, "warmup_steps": 1},
    {"batch_size": 1, "accumulation": 1},
    {"betas": (0, 0)},
    {"seed": 2**32 - 1},
    {"optimizer": "sgd", "l2": 0.1, "momentum": 0},
    {"patience": 1, "evaluate_every": 1},
    {"final_learning_rate": 1.0},
])  # fmt: skip
def test_values_at_the_edge_are_allowed(settings):
    TrainConfig(**settings)


def test_weight_decay_under_sgd_points_to_l2():
    with pytest.raises(ValueError, match="weight_decay.*sgd.*l2.*0.1"):
        TrainConfig(optimizer="sgd", weight_decay=0.1)


def test_the_config_is_frozen():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().steps = 3


def test_replace_validates_again():
    with pytest.raises(ValueError, match="steps"):
        replace(TrainConfig(), steps=0)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x"])
def test_an_unknown_device_is_named_with_those_allowed(name):
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda") as error:
        choose_device(name)
    assert repr(name) in str(error.value)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda'.*'cpu'"):
        choose_device("cuda")


def test_the_differences_between_runs_are_told_and_mere_housekeeping_is_not():
    old = asdict(TrainConfig())
    new = asdict(TrainConfig(learning_rate=0.5, seed=7, workers=2, log_every=3, keep_last=9))
    assert differences(old, new) == ["learning_rate: 0.001, now 0.5", "seed: 0, now 7"]
    assert differences(old, old) == []
