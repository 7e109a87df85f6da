"""Saved models: a folder with `config.json` and `model.safetensors`, and nothing that is executed.

The folder is written beside its place and renamed into it, so it is never half there.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import autoencoder as ae

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CONFIGS = {
    ae.LinearAutoencoder: ae.LinearAutoencoderConfig,
    ae.Autoencoder: ae.AutoencoderConfig,
    ae.ConvAutoencoder: ae.ConvAutoencoderConfig,
    ae.MaskedAutoencoder: ae.MaskedAutoencoderConfig,
}


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and buffers by name, each once: tied weights have one name."""
    named, seen = {}, set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            named[name] = tensor
        seen.add(id(tensor))
    return named


def load_state(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Puts `state_tensors` back into a model.

    Args:
        model: the model that receives them.
        tensors: tensors by name.
        source: where they come from, for the error.

    Raises:
        ValueError: if they belong to another architecture, naming what differs.
    """
    expected = state_tensors(model)
    found = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ],
    }
    differences = [f"{kind}: {', '.join(names)}" for kind, names in found.items() if names]
    if differences:
        raise ValueError(
            f"{source} does not hold the weights of this {type(model).__name__}: "
            + "; ".join(differences)
        )
    model.load_state_dict(tensors, strict=False)


def library_version() -> str:
    try:
        return version("pretrain_lib")
    except PackageNotFoundError:
        return "not installed"


def is_saved_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def save_pretrained(model: ae.AutoencoderBase, folder: str | Path) -> None:
    """Writes a model to a folder, replacing a model that is there.

    Args:
        model: one of the models of this library.
        folder: where to; what lies around it stays as it is.

    Raises:
        TypeError: if the model is of a class that cannot be loaded back.
        FileExistsError: if the folder exists and holds something that is not a saved model.
    """
    if type(model) not in CONFIGS:
        known = ", ".join(kind.__name__ for kind in CONFIGS)
        raise TypeError(f"only {known} can be saved, got {type(model).__name__}")
    folder = Path(folder)
    if (
        folder.exists()
        and not is_saved_model(folder)
        and (folder.is_file() or any(folder.iterdir()))
    ):
        raise FileExistsError(
            f"{folder} exists and is not a saved model: choose another place, or empty it"
        )
    tensors = {name: t.detach().cpu().contiguous() for name, t in state_tensors(model).items()}
    config = {
        "architecture": type(model).__name__,
        "config": asdict(model.config),
        "pretrain_lib": library_version(),
    }
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.replaced")
    try:
        beside.mkdir(parents=True)
        save_file(tensors, beside / WEIGHTS, metadata={"format": "pt"})
        (beside / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(replaced)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def load_pretrained(folder: str | Path) -> ae.AutoencoderBase:
    """Reads a model that `save_pretrained` wrote, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: if the folder is not a saved model, naming the file that is missing.
        ValueError: if a file is damaged, or the weights belong to another architecture.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} is not a saved model: it has no {name}; save_pretrained writes it"
            )
    model = build(folder / CONFIG)
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is damaged: {error}; save the model again") from None
    load_state(model, tensors, str(folder / WEIGHTS))
    return model.eval()


def build(file: Path) -> ae.AutoencoderBase:
    """The model that a `config.json` describes, with weights still to be loaded."""
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        architecture, fields = description["architecture"], description["config"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{file} is damaged: it is not the JSON that save_pretrained writes"
        ) from None
    kinds = {kind.__name__: kind for kind in CONFIGS}
    if architecture not in kinds:
        raise ValueError(
            f"{file} names the architecture {architecture!r}: known are {', '.join(kinds)}"
        )
    kind = kinds[architecture]
    try:
        config = CONFIGS[kind](**fields)
    except TypeError as error:
        raise ValueError(f"{file} does not describe a {architecture}: {error}") from None
    return kind.from_config(config)
