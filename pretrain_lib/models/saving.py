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

from . import autoencoder as ae
from .state import load_state, state_tensors

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CONFIGS = {
    ae.LinearAutoencoder: ae.LinearAutoencoderConfig,
    ae.Autoencoder: ae.AutoencoderConfig,
    ae.ConvAutoencoder: ae.ConvAutoencoderConfig,
    ae.MaskedAutoencoder: ae.MaskedAutoencoderConfig,
}


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
            remedy = "save_pretrained writes it"
            if (folder / "checkpoints").is_dir():
                remedy = "it holds a run: resume that with its Trainer, then save_pretrained the model"
            raise FileNotFoundError(f"{folder} is not a saved model: it has no {name}; {remedy}")
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
