"""Saved models: they come back as they were, whole, or with an error that says what is wrong."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pretrain_lib import pretrained
from pretrain_lib import (
    Autoencoder,
    AutoencoderConfig,
    ConvAutoencoder,
    ConvAutoencoderConfig,
    LinearAutoencoder,
    MaskedAutoencoder,
    MaskedAutoencoderConfig,
)
from pretrain_lib.models.state import load_state, state_tensors
from pretrain_lib.pretrained import load_pretrained, save_pretrained

MODELS = [
    LinearAutoencoder(64, 5),
    LinearAutoencoder(64, 5, tied=True),
    Autoencoder(AutoencoderConfig((1, 8, 8), (20,), 5, dropout=0.2)),
    Autoencoder(AutoencoderConfig((1, 8, 8), (20,), 5, tied_weights=True)),
    ConvAutoencoder(ConvAutoencoderConfig((1, 8, 8), 5, channels=(4, 8))),
    MaskedAutoencoder(MaskedAutoencoderConfig((1, 8, 8), (4, 8), pool_size=2)),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{type(m).__name__}-{len(m.state_dict())}")
def test_models_come_back(model, tmp_path):
    save_pretrained(model, tmp_path / "deep" / "saved")
    loaded = load_pretrained(tmp_path / "deep" / "saved")
    x = torch.rand(3, 1, 8, 8)
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(loaded(x), model.eval()(x))
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["saved"]
    assert sorted(path.name for path in (tmp_path / "deep" / "saved").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_tied_weights_are_stored_once(tmp_path):
    save_pretrained(MODELS[3], tmp_path / "saved")
    stored = load_file(tmp_path / "saved" / "model.safetensors")
    assert sum(t.numel() for t in stored.values()) == sum(p.numel() for p in MODELS[3].parameters())
    loaded = load_pretrained(tmp_path / "saved")
    assert loaded.decoder[0].weight.data_ptr() == loaded.encoder[-2].weight.data_ptr()


def test_parameters_with_two_names_are_stored_once_and_stay_tied():
    first, second = (
        nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
        for _ in range(2)
    )
    for model in (first, second):
        model["head"].weight = model["embed"].weight
    tensors = state_tensors(first)
    assert list(tensors) == ["embed.weight"]
    load_state(second, tensors, "test")
    assert torch.equal(second["head"].weight, first["embed"].weight)
    assert second["head"].weight is second["embed"].weight


def test_saving_again_replaces_the_model(tmp_path):
    save_pretrained(LinearAutoencoder(6, 2), tmp_path / "saved")
    save_pretrained(LinearAutoencoder(9, 3), tmp_path / "saved")
    assert load_pretrained(tmp_path / "saved").config.input_size == 9
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_an_empty_folder_is_filled_and_a_full_one_is_not_touched(tmp_path):
    save_pretrained(LinearAutoencoder(6, 2), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileExistsError, match="is not a saved model: choose another place"):
        save_pretrained(LinearAutoencoder(6, 2), tmp_path)
    assert (tmp_path / "config.json").exists()


def test_a_failure_while_saving_leaves_the_old_model(tmp_path, monkeypatch):
    save_pretrained(LinearAutoencoder(6, 2), tmp_path / "saved")

    def full_disk(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(pretrained, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_pretrained(LinearAutoencoder(9, 3), tmp_path / "saved")
    assert load_pretrained(tmp_path / "saved").config.input_size == 6
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_other_classes_are_refused(tmp_path):
    with pytest.raises(TypeError, match="Linear cannot be saved: .*exported, as are AcousticLSTM, .*Autoencoder, .*Bert"):
        save_pretrained(nn.Linear(2, 2), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_folders_that_are_not_saved_models_are_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="neither a folder '.*nowhere' nor such a model in the zoo"
    ):
        load_pretrained(tmp_path / "nowhere")
    save_pretrained(LinearAutoencoder(6, 2), tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="it has no model.safetensors"):
        load_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: "{", "config.json is damaged"),
        (lambda c: "[]", "config.json is damaged"),
        (
            lambda c: json.dumps(c | {"architecture": "Pickle"}),
            "names the architecture 'Pickle': known are AcousticLSTM,",
        ),
        (
            lambda c: json.dumps(c | {"config": {"sizes": 3}}),
            "does not describe a LinearAutoencoder: .*sizes",
        ),
        (
            lambda c: json.dumps(c | {"config": {"input_size": 6, "code_size": 0}}),
            "code_size must be",
        ),
    ],
)
def test_damaged_configurations_are_refused(change, message, tmp_path):
    save_pretrained(LinearAutoencoder(6, 2), tmp_path / "saved")
    file = tmp_path / "saved" / "config.json"
    file.write_text(change(json.loads(file.read_text())))
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path / "saved")


def test_damaged_weights_are_refused(tmp_path):
    save_pretrained(LinearAutoencoder(6, 2), tmp_path / "saved")
    file = tmp_path / "saved" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match="model.safetensors is damaged: .*save the model again"):
        load_pretrained(tmp_path / "saved")


def test_weights_of_another_architecture_are_named(tmp_path):
    save_pretrained(LinearAutoencoder(6, 2), tmp_path / "saved")
    save_file(
        {"encoder.weight": torch.zeros(3, 6), "bias": torch.zeros(2)},
        tmp_path / "saved" / "model.safetensors",
    )
    with pytest.raises(ValueError) as caught:
        load_pretrained(tmp_path / "saved")
    message = str(caught.value)
    assert "\n" not in message
    assert "missing: decoder.weight" in message
    assert "unexpected: bias" in message
    assert "of another shape: encoder.weight (3, 6) against (2, 6)" in message


def test_the_folder_of_a_run_is_answered_with_the_way_to_its_model(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="it holds a run: resume that with its Trainer"):
        load_pretrained(tmp_path)
