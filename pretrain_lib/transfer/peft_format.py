"""Adapters as the package `peft` saves them: it reads ours, and those that it trained can be read here."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..files import new_folder
from ..hf import family_of, is_encoder, their_names
from ..models.state import shortened
from .encoders import text_classifier, text_tagger
from .lora import OCCUPIED, Target, adapters_of, freeze_encoder, is_target, put_adapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
TASKS = {"Model": "FEATURE_EXTRACTION", "ForSequenceClassification": "SEQ_CLS",
         "ForTokenClassification": "TOKEN_CLS"}
HEADS = {"SEQ_CLS": text_classifier, "TOKEN_CLS": text_tagger}
# What peft can do besides, with the values under which it is plain LoRA and no other beginning of
# A and B has changed the weights beside them.
PLAIN = {"peft_type": ("LORA",), "bias": ("none",), "use_rslora": (False, None),
         "use_dora": (False, None), "fan_in_fan_out": (False, None), "rank_pattern": ({}, None),
         "alpha_pattern": ({}, None),
         "init_lora_weights": (True, False, "gaussian", None)}


def head_names(model: nn.Module) -> dict[str, str]:
    """The names of the tensors outside the encoder: ours to theirs."""
    family = family_of(model)
    return {} if is_encoder(model) else {name: family.theirs(name) for name in model.state_dict()
                                         if not name.startswith("encoder.")}


def task_of(model: nn.Module) -> str:
    """peft's name for what a model does."""
    kind = next((end for end in TASKS if type(model).__name__.endswith("Bert" + end)), None)
    if kind is None:
        raise TypeError("adapters of classifiers and of encoders alone can be saved, got those of a "
                        + type(model).__name__)
    return TASKS[kind]


def save_lora(model: nn.Module, folder: str | Path, base: str | Path) -> None:
    """Writes adapters and head, without the weights that they stand beside, as `peft` does.

    `peft.PeftModel.from_pretrained(base_model, folder)` reads them, where `base_model` is
    `transformers`' model of the folder `base`.

    Args:
        model: a classifier or encoder with adapters.
        folder: where to; adapters that are there are replaced, once the new ones are written.
        base: the saved model that the adapters were trained on.

    Raises:
        TypeError: if `peft` would not know what the model does.
        ValueError: if it has no adapters, or of several ranks.
        FileExistsError: if the folder exists and holds something other than adapters.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / CONFIG).is_file() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} exists and holds no adapters: choose another place, or "
                              "empty it")
    adapters, task = adapters_of(model), task_of(model)
    shapes = {(adapter.A.shape[1], adapter.scale) for adapter in adapters.values()}
    if len(shapes) != 1:
        raise ValueError(f"one rank and alpha can be saved, and the model has {len(shapes)} of them")
    (rank, scale), = shapes
    tensors = {theirs: model.get_parameter(name) for name, theirs in head_names(model).items()}
    targets = []
    for name, adapter in adapters.items():
        for part, theirs in enumerate(their_names(model, name)):
            tensors[f"{theirs}.lora_A.weight"] = adapter.A[part]
            tensors[f"{theirs}.lora_B.weight"] = adapter.B[part]
            targets.append(theirs)
    heads = {name.split(".")[0] for name in head_names(model)}
    config = {"peft_type": "LORA", "task_type": task, "base_model_name_or_path": str(base),
              "r": rank, "lora_alpha": scale * rank, "lora_dropout": 0.0, "bias": "none",
              "target_modules": targets, "modules_to_save": sorted(heads) or None,
              "inference_mode": True}
    tensors = {PREFIX + name: t.detach().cpu().float().contiguous() for name, t in tensors.items()}
    with new_folder(folder) as place:
        save_file(tensors, place / WEIGHTS, metadata={"format": "pt"})
        (place / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_lora(model: nn.Module, folder: str | Path) -> nn.Module:
    """A copy of a model with the adapters and the head of a folder, by `save_lora` or by `peft`.

    As with `load_pretrained` it is in evaluation mode, whichever the model is in.

    Args:
        model: what the adapters were trained on. Where the folder holds a classifier or tagger, it
            may be the encoder, with or without another head.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        ValueError: if they hold something other than plain LoRA, or do not fit the model, or neither
            of the two has a part of the head, or the model has adapters already.
    """
    folder = Path(folder)
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} holds no adapters: it has no {file}; save_lora "
                                    "writes it")
    if adapters_of(model):
        raise ValueError(OCCUPIED)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    require_plain(config, folder / CONFIG)
    tensors = {name.removeprefix(PREFIX): tensor.float()
               for name, tensor in load_file(folder / WEIGHTS).items()}
    is_classifier = type(model).__name__.endswith("Classification")
    task = config.get("task_type")
    if "classifier.weight" in tensors and task in HEADS and not is_classifier:
        model = headed(model, task, tensors, folder)
    else:
        model = copy.deepcopy(model)
    if is_classifier and task not in (None, task_of(model)):
        raise ValueError(f"{folder} holds adapters for the task {task}, and {type(model).__name__} "
                         f"does {task_of(model)}: load them on a model of their task")
    freeze_encoder(model)
    fill_heads(model, tensors, folder)
    fill_adapters(model, tensors, config["r"], config["lora_alpha"], folder)
    if tensors:
        raise ValueError(f"{folder} holds tensors that {type(model).__name__} has no place for: "
                         + shortened(sorted(tensors)))
    return model.eval()


def headed(model: nn.Module, task: str, tensors: dict[str, Tensor], folder: Path) -> nn.Module:
    """A copy of the model under a head that the adapters' tensors, or its own, will fill.

    Raises:
        ValueError: if a part of it would stay as it was drawn at random.
    """
    classifier = HEADS[task](model, len(tensors["classifier.weight"]))
    for name, theirs in head_names(classifier).items():
        if theirs not in tensors and getattr(model, name.partition(".")[0], None) is None:
            raise ValueError(f"{folder} has no {theirs}, and {type(model).__name__} has none "
                             "either: load the adapters on the model that they were trained on")
    return classifier


def require_plain(config: dict, file: Path) -> None:
    """Raises where peft's configuration says more than rank and alpha, or not even these."""
    for field, known in PLAIN.items():
        if config.get(field, known[0]) not in known:
            raise ValueError(f"{file} has {field}={config[field]!r}: known here is "
                             + " or ".join(map(repr, known)))
    for field, kind in (("r", int), ("lora_alpha", (int, float))):
        value = config.get(field)
        if not isinstance(value, kind) or not value > 0:
            raise ValueError(f"{file} must have a number {field} above 0, got {value!r}")


@torch.no_grad()
def fill_heads(model: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Takes the tensors outside the encoder out of `tensors` into the model; others stay its own."""
    for name, theirs in head_names(model).items():
        if theirs in tensors:
            fill(model.get_parameter(name), tensors, theirs, folder)


@torch.no_grad()
def fill_adapters(model: nn.Module, tensors: dict[str, Tensor], rank: int, alpha: float,
                  folder: Path) -> None:
    """Takes adapters out of `tensors` into the model; a part that has none keeps zeros."""
    layers = [name for name, module in model.named_modules()
              if isinstance(module, nn.Linear) and is_target(name, get_args(Target))]
    for name in layers:
        theirs = their_names(model, name)
        if not any(f"{part}.lora_A.weight" in tensors for part in theirs):
            continue
        adapter = put_adapter(model, name, rank, alpha)
        for number, part in enumerate(theirs):
            if f"{part}.lora_A.weight" in tensors:
                fill(adapter.A[number], tensors, f"{part}.lora_A.weight", folder)
                fill(adapter.B[number], tensors, f"{part}.lora_B.weight", folder)


def fill(ours: Tensor, tensors: dict[str, Tensor], name: str, folder: Path) -> None:
    """Takes a tensor of our shape out of `tensors` into ours."""
    if name not in tensors:
        raise ValueError(f"{folder} has no {name}: an adapter is a lora_A and a lora_B")
    tensor = tensors.pop(name)
    if ours.shape != tensor.shape:
        raise ValueError(f"{folder} holds {name} of shape {tuple(tensor.shape)}: the model and "
                         f"{CONFIG} need {tuple(ours.shape)}")
    ours.copy_(tensor)
