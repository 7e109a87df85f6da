"""Hugging Face's format, in and out: which of its names is which of ours.

A saved BERT or ModernBERT is a folder as `transformers` writes it: `config.json` with its fields
and `model.safetensors` with its keys. Nothing here needs `transformers` to be installed.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor, nn

from .data.text.tokenizer import SpecialIds
from .models import bert, modern
from .models.state import load_state, state_tensors

BERT_NAMES = [
    ("encoder.embeddings.word.", "bert.embeddings.word_embeddings."),
    ("encoder.embeddings.position.", "bert.embeddings.position_embeddings."),
    ("encoder.embeddings.token_type.", "bert.embeddings.token_type_embeddings."),
    ("encoder.embeddings.norm.", "bert.embeddings.LayerNorm."),
    ("encoder.layers.", "bert.encoder.layer."),
    (".attention.qkv.", ".attention.self.qkv."),
    (".attention.output.", ".attention.output.dense."),
    (".attention_norm.", ".attention.output.LayerNorm."),
    (".feed_forward.up.", ".intermediate.dense."),
    (".feed_forward.down.", ".output.dense."),
    (".feed_forward_norm.", ".output.LayerNorm."),
    ("masked_lm.dense.", "cls.predictions.transform.dense."),
    ("masked_lm.norm.", "cls.predictions.transform.LayerNorm."),
    ("masked_lm.bias", "cls.predictions.bias"),
    ("pooler.", "bert.pooler."),
    ("next_sentence.", "cls.seq_relationship."),
]
MODERN_NAMES = [
    ("encoder.embeddings.word.", "model.embeddings.tok_embeddings."),
    ("encoder.embeddings.norm.", "model.embeddings.norm."),
    ("encoder.norm.", "model.final_norm."),
    ("encoder.layers.", "model.layers."),
    (".attention_norm.", ".attn_norm."),
    (".attention.qkv.", ".attn.Wqkv."),
    (".attention.output.", ".attn.Wo."),
    (".feed_forward_norm.", ".mlp_norm."),
    (".feed_forward.up.", ".mlp.Wi."),
    (".feed_forward.down.", ".mlp.Wo."),
    ("decoder_bias", "decoder.bias"),
]
THIRDS = ("query", "key", "value")
# What transformers writes besides: copies of tied tensors, and positions that are not learned.
COPIES = re.compile(r"cls\.predictions\.decoder\.(weight|bias)|decoder\.weight|.*\.position_ids")
# Heads that the released BERTs hold, whatever architecture their config.json names.
RELEASED_HEADS = ("bert.pooler.", "cls.seq_relationship.")


@dataclass(frozen=True)
class Family:
    """One architecture of `transformers`: its name there, its classes here, its names there.

    Attributes:
        model_type: what `config.json` calls it.
        prefix: what its names begin with where a head is on the encoder.
        config: the configuration's class.
        classes: the models.
        names: pairs of our part of a name and theirs.
        fixed: fields of `config.json` that have one value here, and what transformers assumes
            where they are left out.
    """

    model_type: str
    prefix: str
    config: type
    classes: tuple[type[nn.Module], ...]
    names: list[tuple[str, str]]
    fixed: dict

    def theirs(self, name: str) -> str:
        """transformers' name of our tensor."""
        for ours, other in self.names:
            name = name.replace(ours, other)
        return name


FAMILIES = (
    Family("bert", "bert.", bert.BertConfig,
           (bert.BertModel, bert.BertForMaskedLM, bert.BertForPreTraining,
            bert.BertForSequenceClassification, bert.BertForTokenClassification),
           BERT_NAMES, {"hidden_act": "gelu", "is_decoder": False, "tie_word_embeddings": True}),
    Family("modernbert", "model.", modern.ModernBertConfig,
           (modern.ModernBertModel, modern.ModernBertForMaskedLM,
            modern.ModernBertForSequenceClassification, modern.ModernBertForTokenClassification),
           MODERN_NAMES,
           {"hidden_activation": "gelu", "classifier_activation": "gelu", "norm_bias": False,
            "attention_bias": False, "mlp_bias": False, "classifier_bias": False,
            "tie_word_embeddings": True}),
)


def family_of(model: nn.Module) -> Family | None:
    """The family that a model belongs to; None where it is of neither."""
    return next((family for family in FAMILIES if type(model) in family.classes), None)


# ------------------------------------------------------------------------------------------ out


def to_hugging_face(model: nn.Module, special: SpecialIds | None = None) -> tuple[dict, dict]:
    """What `transformers` reads: the fields of `config.json`, the tensors of `model.safetensors`.

    Args:
        model: one of the classes of `FAMILIES`.
        special: the tokenizer's special ids, for the fields that name them.

    Raises:
        ValueError: if compression left a shape or format that `transformers` has no field for, or
            adapters stand beside the weights.
    """
    require_their_shape(model)
    family = family_of(model)
    config = {"architectures": [type(model).__name__], "model_type": family.model_type,
              "dtype": "float32", **family.fixed, **fields_out(model.config)}
    if special is not None:
        ids = {"cls_token_id": special.cls, "sep_token_id": special.sep,
               "bos_token_id": special.cls, "eos_token_id": special.sep}
        config |= ids | {"pad_token_id": special.pad}
    elif family.model_type == "modernbert":
        config |= dict.fromkeys(("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id"))
    if hasattr(model, "num_labels"):
        labels = label_names(model) or [f"LABEL_{i}" for i in range(model.num_labels)]
        config |= {"id2label": dict(enumerate(labels)),
                   "label2id": {label: i for i, label in enumerate(labels)}}
    tensors = {}
    for name, tensor in ours(model).items():
        tensor = tensor.detach().cpu()
        theirs = family.theirs(name)
        if ".self.qkv." in theirs:
            for third, part in zip(THIRDS, tensor.chunk(3), strict=True):
                tensors[theirs.replace("qkv", third)] = part.contiguous()
        else:
            tensors[theirs] = tensor.contiguous()
    if is_encoder(model):
        tensors = {name.removeprefix(family.prefix): tensor for name, tensor in tensors.items()}
    return config, tensors


def require_their_shape(model: nn.Module) -> None:
    """Raises where layers differ in heads or units, or weights are int8: no config.json says it."""
    remedy = "save it with pretrain_lib.compression.saved.save_compressed"
    heads, units = model.config.num_attention_heads, model.config.intermediate_size
    for number, layer in enumerate(getattr(model, "encoder", model).layers):
        for name, own, whole in (
            ("heads", layer.attention.num_heads, heads),
            ("feed-forward units", layer.feed_forward.down.in_features, units),
        ):
            if own != whole:
                raise ValueError(f"layer {number} has {own} {name}, the configuration says "
                                 f"{whole}, and transformers has no such model: {remedy}")
    if any(tensor.dtype == torch.int8 for tensor in state_tensors(model).values()):
        raise ValueError(f"the model is quantised, and transformers has no such format: {remedy}")
    require_no_adapters(model)


def require_no_adapters(model: nn.Module) -> None:
    """Raises where adapters stand beside the weights, whole or quantised."""
    if any(".linear." in name for name in state_tensors(model)):
        raise ValueError("the model has adapters beside its weights: merge_lora adds them to the "
                         "weights, save_lora writes them alone")


def label_names(model: nn.Module) -> list[str] | None:
    """The names of a classifier's classes, its attribute `label_names`, if it has one.

    Raises:
        ValueError: if they are not one name a class.
    """
    names = getattr(model, "label_names", None)
    if names is not None and len(set(names)) != model.num_labels:
        raise ValueError(f"label_names must be {model.num_labels} different names, got {names!r}")
    return names


def is_encoder(model: nn.Module) -> bool:
    return type(model) in (bert.BertModel, modern.ModernBertModel)


def ours(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by name, an encoder's as if a head were on it."""
    tensors = state_tensors(model)
    return {f"encoder.{name}": t for name, t in tensors.items()} if is_encoder(model) else tensors


def fields_out(config) -> dict:
    """Our configuration in transformers' fields."""
    values = asdict(config)
    if isinstance(config, modern.ModernBertConfig):
        values["layer_types"] = list(config.layer_types)
        thetas = {"full_attention": values.pop("global_rope_theta"),
                  "sliding_attention": values.pop("local_rope_theta")}
        values["rope_parameters"] = {kind: {"rope_type": "default", "rope_theta": theta}
                                     for kind, theta in thetas.items()}
    return values


def their_names(model: nn.Module, name: str) -> list[str]:
    """What `transformers` calls a layer of ours, or the layers of which ours is made."""
    family = family_of(model)
    full = f"encoder.{name}.weight" if is_encoder(model) else f"{name}.weight"
    theirs = family.theirs(full).removesuffix(".weight")
    if is_encoder(model):
        theirs = theirs.removeprefix(family.prefix)
    if ".self.qkv" in theirs:
        return [theirs.replace("qkv", third) for third in THIRDS]
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
    family = next((f for f in FAMILIES if f.model_type == config.get("model_type")), None)
    if family is None:
        known = " and ".join(f.model_type for f in FAMILIES)
        raise ValueError(f"{source} is of model_type {config.get('model_type')!r}: "
                         f"known are {known}")
    classes = {kind.__name__: kind for kind in family.classes}
    architecture = (config.get("architectures") or ["nothing"])[0]
    if architecture not in classes:
        raise ValueError(f"{source} holds a {architecture}: known are {', '.join(classes)}")
    for field, value in family.fixed.items():
        if config.get(field, value) != value:
            raise ValueError(f"{source} has {field}={config[field]!r}: known here is {value!r} "
                             "only")
    labels = {}
    if "Classification" in architecture:
        labels = {"num_labels": len(config.get("id2label") or {0: "", 1: ""})}
    model = classes[architecture](fields_in(family, config), **labels)
    load_state(model, renamed(model, family, tensors, source), source)
    if labels and config.get("id2label"):
        model.label_names = [config["id2label"][str(i)] for i in range(model.num_labels)]
    return model.eval()


def fields_in(family: Family, config: dict):
    """transformers' fields as our configuration."""
    values = {f.name: config[f.name] for f in fields(family.config) if f.name in config}
    if family.model_type == "modernbert":
        every = config.get("global_attn_every_n_layers", 3)  # before transformers 5
        if not values.get("layer_types"):
            values["layer_types"] = tuple(
                "sliding_attention" if i % every else "full_attention"
                for i in range(config["num_hidden_layers"]))
        ropes = config.get("rope_parameters") or {}
        for kind, field in (("full_attention", "global_rope_theta"),
                            ("sliding_attention", "local_rope_theta")):
            rope = ropes.get(kind) or {}
            if rope.get("rope_type", "default") != "default":
                raise ValueError(f"rope_type of {kind} must be 'default', the only one known here, "
                                 f"got {rope['rope_type']!r}")
            theta = rope.get("rope_theta", values.pop(field, None))
            if theta is not None:
                values[field] = theta
    return family.config(**values)


def renamed(model: nn.Module, family: Family, tensors: dict[str, Tensor],
            source: str) -> dict[str, Tensor]:
    """Their tensors under our names, in float32."""
    theirs = {modern_spelling(name): t for name, t in tensors.items() if not COPIES.fullmatch(name)}
    if is_encoder(model) and not any(name.startswith(family.prefix) for name in theirs):
        theirs = {family.prefix + name: t for name, t in theirs.items()}
    result = {}
    for name in ours(model):
        other = family.theirs(name)
        parts = [other]
        if ".self.qkv." in other:
            parts = [other.replace("qkv", third) for third in THIRDS]
        missing = [part for part in parts if part not in theirs]
        if missing:
            raise ValueError(f"{source} has no tensor {missing[0]!r}, which {type(model).__name__} "
                             "needs")
        tensor = torch.cat([theirs.pop(part).float() for part in parts])
        result[name.removeprefix("encoder.") if is_encoder(model) else name] = tensor
    needed = family.prefix if is_encoder(model) else ""  # what lies elsewhere are heads
    left = [name for name in theirs
            if name.startswith(needed) and not name.startswith(RELEASED_HEADS)]
    if left:
        raise ValueError(f"{source} holds tensors that {type(model).__name__} has no place for: "
                         + ", ".join(sorted(left)[:6]))
    return result


def modern_spelling(name: str) -> str:
    """The name of a tensor as it is spelt today: early BERTs say gamma and beta."""
    return re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name))
