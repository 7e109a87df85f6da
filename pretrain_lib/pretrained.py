"""Saved models: a folder with `config.json` and `model.safetensors`, and nothing that is executed.

BERTs and ModernBERTs are saved as Hugging Face's `transformers` saves them, so it reads them, and
theirs can be read here; other models have a plain format of our own. The folder is written beside
its place and renamed into it, so it is never half there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .data.text.tokenizer import save_tokenizer, special_ids
from .files import new_folder
from .hf import FAMILIES, family_of, from_hugging_face, to_hugging_face
from .models import autoencoder as ae
from .models import convolutional as conv
from .models.state import load_state, state_tensors
from .zoo import ZOO

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CONFIGS = {
    ae.LinearAutoencoder: ae.LinearAutoencoderConfig,
    ae.Autoencoder: ae.AutoencoderConfig,
    conv.ConvAutoencoder: conv.ConvAutoencoderConfig,
    conv.MaskedAutoencoder: conv.MaskedAutoencoderConfig,
}


def save_pretrained(model: nn.Module, folder: str | Path, tokenizer=None,
                    dtype: torch.dtype = torch.float32) -> None:
    """Writes a model to a folder, replacing a model that is there.

    Args:
        model: one of the models of this library.
        folder: where to; what lies around it stays as it is.
        tokenizer: a `tokenizers.Tokenizer` to save with a model of texts.
        dtype: the format that the weights are stored in; they are read back as float32.

    Raises:
        TypeError: if the model is of a class that cannot be loaded back.
        ValueError: if the tokenizer has another vocabulary than the model.
        FileExistsError: if the folder exists and holds something that is not a saved model.
    """
    family = family_of(model)
    if family is None and type(model) not in CONFIGS:
        kinds = [*CONFIGS, *(kind for family in FAMILIES for kind in family.classes)]
        known = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"only {known} can be saved, got {type(model).__name__}")
    if tokenizer is not None:
        check_vocabulary(model, tokenizer)
    if family is not None:
        special = special_ids(tokenizer) if tokenizer is not None else None
        config, tensors = to_hugging_face(model, special)
        config["dtype"] = str(dtype).removeprefix("torch.")
    else:
        config = {"architecture": type(model).__name__, "config": asdict(model.config)}
        tensors = {name: t.detach().cpu().contiguous() for name, t in state_tensors(model).items()}
    config["pretrain_lib"] = library_version()
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    def write_tokenizer(place: Path) -> None:
        save_tokenizer(tokenizer, place, token_types=family.model_type == "bert",
                       max_length=model.config.max_position_embeddings)

    write_folder(Path(folder), config, tensors, write_tokenizer if tokenizer is not None else None)


def require_room(folder: Path) -> None:
    """Raises FileExistsError where something other than a saved model would be replaced."""
    if (
        folder.exists()
        and not is_saved_model(folder)
        and (folder.is_file() or any(folder.iterdir()))
    ):
        raise FileExistsError(
            f"{folder} exists and is not a saved model: choose another place, or empty it"
        )


def write_folder(folder: Path, config: dict, tensors: dict[str, Tensor],
                 write_more: Callable[[Path], None] | None) -> None:
    """Writes the files of a saved model into a folder, replacing a model that is there."""
    require_room(folder)
    with new_folder(folder) as place:
        save_file(tensors, place / WEIGHTS, metadata={"format": "pt"})
        (place / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if write_more is not None:
            write_more(place)


def load_pretrained(name: str | Path) -> nn.Module:
    """Reads a model that `save_pretrained` or `transformers` wrote, in evaluation mode, on the CPU.

    Args:
        name: a folder, or the name of a model of the zoo, such as "modernbert-mini-sotu".

    Returns:
        The model, its weights in float32 whatever they are stored in.

    Raises:
        FileNotFoundError: if the folder is not a saved model, naming the file that is missing.
        ValueError: if a file is damaged, or the weights belong to another architecture.
    """
    folder = find(name)
    config = read_config(folder / CONFIG)
    if config.get("compressed"):
        raise ValueError(f"{folder} holds a compressed model: read it with "
                         "pretrain_lib.compression.saved.load_compressed")
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is damaged: {error}; save the model again") from None
    if "model_type" in config:
        return from_hugging_face(config, tensors, str(folder))
    model = build(config, folder / CONFIG)
    load_state(model, tensors, str(folder / WEIGHTS))
    return model.eval()


def find(name: str | Path) -> Path:
    """The folder of a saved model; a run's folder holds its own under `model`."""
    folder = Path(name)
    for place in (folder, folder / "model", ZOO / name):
        if is_saved_model(place):
            return place
    zoo = ", ".join(sorted(path.parent.name for path in ZOO.glob(f"*/{WEIGHTS}")))
    if not folder.exists() and folder.name == str(name):
        raise FileNotFoundError(f"there is neither a folder {name!r} nor such a model in the zoo, "
                                f"which has: {zoo or 'none yet'}")
    missing = next(file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file())
    remedy = "save_pretrained writes it"
    if (folder / "checkpoints").is_dir():
        remedy = "it holds a run: resume that with its Trainer, then save_pretrained the model"
    raise FileNotFoundError(f"{folder} is not a saved model: it has no {missing}; {remedy}")


def is_saved_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def read_config(file: Path) -> dict:
    damaged = f"{file} is damaged: it is not the JSON that save_pretrained writes"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(damaged) from None
    if not isinstance(config, dict) or not ("model_type" in config
                                            or {"architecture", "config"} <= config.keys()):
        raise ValueError(damaged)
    return config


def build(config: dict, file: Path) -> ae.AutoencoderBase:
    """The model that a plain `config.json` describes, with weights still to be loaded."""
    architecture = config["architecture"]
    kinds = {kind.__name__: kind for kind in CONFIGS}
    if architecture not in kinds:
        raise ValueError(
            f"{file} names the architecture {architecture!r}: known are {', '.join(kinds)}"
        )
    kind = kinds[architecture]
    try:
        config = CONFIGS[kind](**config["config"])
    except TypeError as error:
        raise ValueError(f"{file} does not describe a {architecture}: {error}") from None
    return kind.from_config(config)


def check_vocabulary(model: nn.Module, tokenizer) -> None:
    """Raises where a tokenizer has ids that the model has no embedding for."""
    if family_of(model) is None:
        raise ValueError(f"{type(model).__name__} reads no text: save it without a tokenizer")
    size = model.config.vocab_size
    if tokenizer.get_vocab_size() > size:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} tokens, the model "
                         f"{size}: they do not belong together")


def library_version() -> str:
    try:
        return version("pretrain_lib")
    except PackageNotFoundError:
        return "not installed"
