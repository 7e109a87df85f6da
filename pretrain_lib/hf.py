"""Hugging Face's format, in and out: a folder's `config.json` and the names of its tensors.

A saved BERT, ModernBERT, ResNet, ViT, VideoMAE, CLIP, wav2vec 2.0 or HuBERT is a folder as
`transformers` writes it: `config.json` with its fields and `model.safetensors` with its keys. Which
of its names is which of ours, each model says itself (`hugging_face`). Nothing here needs
`transformers` to be installed.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from .data.text.tokenizer import SpecialIds
from .models.protocol import Encoder, HuggingFaceFormat, exported_models
from .models.state import load_state, state_tensors

# What transformers writes besides: copies of tied tensors, and positions that are not learned.
COPIES = re.compile(r"cls\.predictions\.decoder\.(weight|bias)|decoder\.weight|.*\.position_ids")
# Heads that the released BERTs hold, whatever architecture their config.json names.
RELEASED_HEADS = ("bert.pooler.", "cls.seq_relationship.")
# What every folder's config.json says of itself anew.
OWN = {"architectures", "model_type", "dtype", "torch_dtype", "transformers_version",
       "_name_or_path", "pretrain_lib"}
LABELS = {"id2label", "label2id", "num_labels"}


def family_of(model: nn.Module) -> HuggingFaceFormat | None:
    """What `transformers` calls a model's architecture; None where it has none like it."""
    return model.hugging_face if isinstance(model, Encoder) else None


# ------------------------------------------------------------------------------------------ out


def to_hugging_face(model: nn.Module, special: SpecialIds | None = None) -> tuple[dict, dict]:
    """What `transformers` reads: the fields of `config.json`, the tensors of `model.safetensors`.

    Args:
        model: of an architecture that `transformers` has.
        special: the tokenizer's special ids, for the fields that name them.

    Raises:
        ValueError: if compression left a shape or format that `transformers` has no field for, or
            adapters stand beside the weights.
    """
    require_their_shape(model)
    family = family_of(model)
    config = fields_out(model)
    if special is not None:
        config |= {"cls_token_id": special.cls, "sep_token_id": special.sep,
                   "bos_token_id": special.cls, "eos_token_id": special.sep,
                   "pad_token_id": special.pad}
    tensors = {}
    for name, tensor in ours(model).items():
        tensor = tensor.detach().cpu()
        theirs = family.theirs(name)
        if ".qkv." in theirs:
            for third, part in zip(family.thirds, tensor.chunk(3), strict=True):
                tensors[theirs.replace("qkv", third)] = part.contiguous()
        else:
            tensors[theirs] = tensor.contiguous()
    if is_encoder(model):
        tensors = {name.removeprefix(family.prefix): tensor for name, tensor in tensors.items()}
    return config, tensors


def fields_out(model: nn.Module) -> dict:
    """The fields of `config.json`: what the model says, and what its own folder said besides."""
    family = family_of(model)
    config = {"architectures": [type(model).__name__], "model_type": family.model_type,
              "dtype": "float32", **dict.fromkeys(family.defaults),
              **over(model.other_fields, family.fixed | model.config.to_hugging_face())}
    if model.takes_labels:
        labels = label_names(model) or [f"LABEL_{i}" for i in range(model.num_labels)]
        config |= {"id2label": dict(enumerate(labels)),
                   "label2id": {label: i for i, label in enumerate(labels)}}
    return config


REMEDY = "pretrain_lib.compression.saved.save_compressed saves it, without what is around it"


def require_their_shape(model: nn.Module) -> None:
    """Raises where layers differ in heads or units, or weights are int8: no config.json says it."""
    towers = getattr(model, "towers", {})
    for part in [tower.encoder for tower in towers.values()] or [model]:
        require_whole_layers(part)
    if any(tensor.dtype == torch.int8 for tensor in state_tensors(model).values()):
        raise ValueError(f"the model is quantised, and transformers has no such format: {REMEDY}")
    require_no_adapters(model)


def require_whole_layers(model: nn.Module) -> None:
    """Raises where a layer of the encoder has lost heads or units."""
    config = model.config
    for number, layer in enumerate(getattr(model.encoder, "layers", ())):  # of transformers
        for name, own, whole in (
            ("heads", layer.attention.num_heads, config.num_attention_heads),
            ("feed-forward units", layer.feed_forward.down.in_features, config.intermediate_size),
        ):
            if own != whole:
                raise ValueError(f"layer {number} has {own} {name}, the configuration says "
                                 f"{whole}, and transformers has no such model: {REMEDY}")


def require_no_adapters(model: nn.Module) -> None:
    """Raises where adapters stand beside the weights, whole or quantised."""
    if any(".linear." in name for name in state_tensors(model)):
        raise ValueError("the model has adapters beside its weights: merge_lora adds them to the "
                         "weights, save_lora writes them alone")


def label_names(model: nn.Module) -> list[str] | None:
    """The names of a classifier's classes, its attribute `label_names`, if they are known.

    Raises:
        ValueError: if they are not one name a class.
    """
    names = model.label_names
    if names is not None and len(set(names)) != model.num_labels:
        raise ValueError(f"label_names must be {model.num_labels} different names, got {names!r}")
    return names


def is_encoder(model: nn.Module) -> bool:
    return model.encoder is model


def ours(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by name, an encoder's as if a head were on it."""
    return {headed(model, name): tensor for name, tensor in state_tensors(model).items()}


def headed(model: nn.Module, name: str) -> str:
    """The name of a model's tensor where a head is on; a part that is carried stands beside it."""
    beside = name.split(".")[0] in family_of(model).carried
    return f"encoder.{name}" if is_encoder(model) and not beside else name


def their_names(model: nn.Module, name: str) -> list[str]:
    """What `transformers` calls a layer of ours, or the layers of which ours is made."""
    family = family_of(model)
    full = f"encoder.{name}.weight" if is_encoder(model) else f"{name}.weight"
    theirs = family.theirs(full).removesuffix(".weight")
    if is_encoder(model):
        theirs = theirs.removeprefix(family.prefix)
    if ".qkv" in theirs:
        return [theirs.replace("qkv", third) for third in family.thirds]
    return [theirs]


# ------------------------------------------------------------------------------------------- in


def from_hugging_face(config: dict, tensors: dict[str, Tensor], source: str) -> nn.Module:
    """The model that a folder of `transformers` holds, in float32 and evaluation mode.

    Args:
        config: the fields of its `config.json`.
        tensors: the tensors of its `model.safetensors`.
        source: where they come from, for errors.

    Raises:
        ValueError: if the architecture, a field's value or a tensor is none that is known here.
    """
    kind = class_of(config, source)
    family = kind.hugging_face
    config = family.defaults | config
    for field, value in family.fixed.items():
        if config.get(field, value) != value:
            raise ValueError(f"{source} has {field}={config[field]!r}: known here is {value!r} "
                             "only")
    shape = kind.config_class.from_hugging_face(config)
    theirs = spelt_out(kind, tensors)
    fields = vars(shape) | {part: True for part, begins in family.carried.items()
                            if any(name.startswith(begins) for name in theirs)}
    if kind.takes_labels:
        names = names_of_classes(config, source)
        number = len(names) if names else config.get("num_labels", 2)
        fields |= {"num_labels": number, "label_names": names}
    model = kind.from_config(fields)
    load_state(model, renamed(model, theirs, source), source)
    known = dict.fromkeys([*family.fixed, *family.earlier,
                           *(LABELS if kind.takes_labels else ())]) | shape.to_hugging_face()
    model.other_fields = left_over(config, known)
    return model.eval()


def left_over(config: dict, known: dict) -> dict:
    """The fields of a folder that the model does not know, those within its tables as well."""
    found = {}
    for name, value in config.items():
        if name not in known and name not in OWN:
            found[name] = value
        elif isinstance(value, dict) and isinstance(known.get(name), dict):
            found |= {name: within} if (within := left_over(value, known[name])) else {}
    return found


def over(fields: dict, more: dict) -> dict:
    """Fields with others put over them; a table in both is one of both."""
    return fields | {name: over(fields[name], value) if isinstance(value, dict)
                     and isinstance(fields.get(name), dict) else value
                     for name, value in more.items()}


def class_of(config: dict, source: str) -> type[nn.Module]:
    """The exported model that `config.json` names.

    Raises:
        ValueError: naming what is known.
    """
    theirs = {name: kind for name, kind in exported_models().items()
              if getattr(kind, "hugging_face", None) is not None}
    model_type = config["model_type"]
    families = dict.fromkeys(kind.hugging_face.model_type for kind in theirs.values())
    if model_type not in families:
        raise ValueError(f"{source} is of model_type {model_type!r}: "
                         f"known are {' and '.join(families)}")
    known = [name for name, kind in theirs.items() if kind.hugging_face.model_type == model_type]
    if not config.get("architectures"):
        raise ValueError(f"{source}: config.json does not say what the folder holds: give it "
                         f'"architectures", a list with one of {", ".join(known)}')
    architecture = config["architectures"][0]
    architecture = theirs[known[0]].hugging_face.read_as.get(architecture, architecture)
    if architecture not in known:
        raise ValueError(f"{source} holds a {architecture}: known are {', '.join(known)}")
    return theirs[architecture]


def names_of_classes(config: dict, source: str) -> list[str] | None:
    """The names of the classes, in their order; None where `config.json` has none.

    Raises:
        ValueError: if they are not numbered from 0.
    """
    names = config.get("id2label")
    if not names:
        return None
    numbered = {int(number): name for number, name in names.items()}
    if sorted(numbered) != list(range(len(numbered))):
        raise ValueError(f"{source}: config.json numbers its {len(numbered)} classes in id2label "
                         f"as {', '.join(map(str, sorted(numbered)[:6]))}: number them from 0 to "
                         f"{len(numbered) - 1}, as the model's outputs are")
    return [numbered[i] for i in range(len(numbered))]


def spelt_out(kind: type[nn.Module], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors as if a head were on the encoder, without copies, as they are spelt today."""
    family = kind.hugging_face
    theirs = {family.spelt(modern_spelling(name)): tensor for name, tensor in tensors.items()
              if not COPIES.fullmatch(name)}
    if not any(name.startswith(family.prefix) for name in theirs):
        theirs = {family.prefix + name: tensor for name, tensor in theirs.items()}
    return theirs


def renamed(model: nn.Module, theirs: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Their tensors, as `spelt_out`, under our names, in float32."""
    family, left, result = family_of(model), set(theirs), {}
    for name in state_tensors(model):
        other = family.theirs(headed(model, name))
        parts = [other]
        if ".qkv." in other:
            parts = [other.replace("qkv", third) for third in family.thirds]
        missing = [part for part in parts if part not in left]
        if missing:
            raise ValueError(f"{source} has no tensor {missing[0]!r}, which {type(model).__name__} "
                             "needs")
        whole = torch.cat([theirs[part] for part in parts]) if len(parts) > 1 else theirs[other]
        result[name] = whole.float() if whole.is_floating_point() else whole
        left -= set(parts)
    needed = family.prefix if is_encoder(model) else ""  # what lies elsewhere are heads
    strange = [name for name in left
               if name.startswith(needed) and not name.startswith(RELEASED_HEADS)]
    if strange:
        raise ValueError(f"{source} holds tensors that {type(model).__name__} has no place for: "
                         + ", ".join(sorted(strange)[:6]))
    return result


def modern_spelling(name: str) -> str:
    """The name of a tensor as it is spelt today: early BERTs say gamma and beta."""
    return re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name))
