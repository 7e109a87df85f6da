"""Compressed models in folders: a `config.json`, and a `model.safetensors` that tells the shapes.

A model that has lost heads, or whose weights are int8, is none that `transformers` can describe. It
is kept under our own names. No list of what was cut is needed: the tensors' shapes and types say it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..hf import family_of, label_names, require_no_adapters
from ..models.state import load_state, state_tensors
from ..pretrained import (
    CONFIG,
    WEIGHTS,
    build,
    check_vocabulary,
    described,
    library_version,
    read_config,
    write_beside,
    write_folder,
)
from .prune import with_weights
from .quantise import Int8Embedding, Int8Linear


def save_compressed(model: nn.Module, folder: str | Path, tokenizer=None) -> None:
    """Writes a pruned or quantised BERT or ModernBERT to a folder, replacing a model there.

    Args:
        model: what `prune` or `quantize` returns.
        folder: where to.
        tokenizer: a `tokenizers.Tokenizer` to save with it.

    Raises:
        TypeError: if it is neither a BERT nor a ModernBERT.
        ValueError: if adapters stand beside the weights, or the tokenizer has another vocabulary.
        FileExistsError: if the folder holds something that is not a saved model.
    """
    if family_of(model) is None:
        raise TypeError(f"only BERTs and ModernBERTs can be saved compressed, got "
                        f"{type(model).__name__}")
    require_no_adapters(model)
    if tokenizer is not None:
        check_vocabulary(model, tokenizer)
    label_names(model)
    config = described(model) | {"compressed": True, "pretrain_lib": library_version()}
    tensors = {name: t.detach().cpu().contiguous() for name, t in state_tensors(model).items()}
    write_folder(Path(folder), config, tensors, partial(write_beside, model, tokenizer))


def load_compressed(folder: str | Path) -> nn.Module:
    """Reads what `save_compressed` wrote, in evaluation mode.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if the folder holds another kind of model.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no saved model: it has no {name}")
    config = read_config(folder / CONFIG)
    if not config.get("compressed"):
        raise ValueError(f"{folder} holds no compressed model: read it with load_pretrained")
    tensors = load_file(folder / WEIGHTS)
    labels = {name: config[name] for name in ("num_labels", "label_names") if name in config}
    config["config"] |= labels  # earlier folders say them beside
    model = build(config, folder / CONFIG)
    take_shapes(model, tensors)
    load_state(model, tensors, str(folder / WEIGHTS))
    return model.eval()


def take_shapes(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Gives the parts of a whole model the shapes and types of a compressed one's tensors."""
    encoder = model.encoder
    head_size = encoder.config.hidden_size // encoder.config.num_attention_heads
    for name, part in list(model.named_modules()):
        if isinstance(part, (nn.Linear, nn.Embedding)):
            model.set_submodule(name, like(part, name, tensors))
    for layer in encoder.layers:
        layer.attention.num_heads = layer.attention.output.in_features // head_size


def like(part: nn.Module, name: str, tensors: dict[str, Tensor]) -> nn.Module:
    """A part of the shape and type that the tensors of that name have, still to be filled."""
    whole = f"{name}.int8" in tensors
    weight = torch.empty_like(tensors[f"{name}.{'int8' if whole else 'weight'}"])
    if isinstance(part, nn.Embedding):
        return Int8Embedding(weight, torch.empty(len(weight), 1)) if whole else part
    bias = torch.empty(len(weight)) if f"{name}.bias" in tensors else None
    linear = (Int8Linear(weight, torch.empty(len(weight), 1), bias) if whole
              else with_weights(weight, bias))
    if hasattr(part, "stacked"):
        linear.stacked = part.stacked
    return linear


def bytes_on_disk(folder: str | Path) -> int:
    """The bytes of a saved model's weights."""
    return (Path(folder) / WEIGHTS).stat().st_size
