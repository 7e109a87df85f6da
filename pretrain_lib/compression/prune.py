"""Pruning: leaving out what a model can do without.

*Structured* pruning takes out whole heads, feed-forward units and layers. What is left are smaller
matrices, so it is faster on any machine. *Unstructured* pruning sets single weights to zero. The
matrices keep their shapes, and ordinary products take as long as before.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..hf import require_no_adapters
from .importance import Importance


@dataclass(frozen=True)
class Kept:
    """What pruning leaves, counted as in the whole model.

    Attributes:
        layers: the layers that stay, in their order.
        heads: for each of them, its heads that stay.
        units: for each of them, its feed-forward units that stay.
    """

    layers: list[int]
    heads: list[list[int]]
    units: list[list[int]]


def prune(model: nn.Module, importance: Importance, heads: float = 0.0, units: float = 0.0,
          layers: float = 0.0) -> nn.Module:
    """A smaller copy of a model, without its least important parts; the model stays as it is.

    It computes what the whole model would with those parts set to zero. Train it a little
    afterwards: the rest has to learn to do without.

    Without units or layers a BERT or ModernBERT is one that `transformers` knows too. Without heads
    it is not: `saved.save_compressed` keeps it.

    Args:
        model: a BERT or ModernBERT, with or without a head.
        importance: of its parts, from `importance`.
        heads: share of all heads to leave out, at least 0 and below 1; each layer keeps one.
        units: share of the feed-forward units to leave out, the same number in every layer.
        layers: share of the layers to leave out; the first one stays.

    Raises:
        ValueError: for a share outside [0, 1), if the importance is another model's, or as
            `prune.cut`.
    """
    require_same_parts(model, importance)
    return cut(model, choose(importance, heads, units, layers))


def require_same_parts(model: nn.Module, importance: Importance) -> None:
    """Raises where an importance has other layers, heads or units than the model."""
    own = [(layer.attention.num_heads, layer.feed_forward.down.in_features)
           for layer in model.encoder.layers]
    given = [(len(heads), len(units))
             for heads, units in zip(importance.heads, importance.units, strict=True)]
    if given != own or len(importance.layers) != len(own):
        raise ValueError(f"the importance must be this model's, whose layers have {own} (heads, "
                         f"feed-forward units), got one of {len(importance.layers)} layers with "
                         f"{given}")


def choose(importance: Importance, heads: float, units: float, layers: float) -> Kept:
    """The parts that stay: the most important ones.

    Heads of different layers are compared after dividing by the norm of their layer's scores
    (Michel et al., section 4.1).
    """
    for name, share in (("heads", heads), ("units", units), ("layers", layers)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be a share to leave out, at least 0 and below 1, "
                             f"got {share}")
    number = len(importance.layers)
    dropped = 1 + importance.layers[1:].argsort()[:round(layers * number)]
    stay = [i for i in range(number) if i not in dropped]
    scores = [importance.heads[i] / importance.heads[i].norm().clamp(min=1e-12) for i in stay]
    best = [int(score.argmax()) for score in scores]
    ranked = sorted((float(score[head]), row, head) for row, score in enumerate(scores)
                    for head in range(len(score)) if head != best[row])
    out = {(row, head) for _, row, head in ranked[:round(heads * sum(map(len, scores)))]}
    left = round((1 - units) * len(importance.units[0]))
    return Kept(stay,
                [[head for head in range(len(score)) if (row, head) not in out]
                 for row, score in enumerate(scores)],
                [importance.units[i].argsort(descending=True)[:max(1, left)].sort().values.tolist()
                 for i in stay])


@torch.no_grad()
def cut(model: nn.Module, kept: Kept) -> nn.Module:
    """A copy of the model that has only what is kept.

    Raises:
        ValueError: if there is nothing of that number, a part is kept twice or nothing at all, a
            ModernBERT loses its first layer, or adapters stand beside the weights.
    """
    require_no_adapters(model)
    small = copy.deepcopy(model)
    encoder = small.encoder
    require_layers(kept.layers, len(encoder.layers))
    if kept.layers[0] and isinstance(encoder.layers[0].attention_norm, nn.Identity):
        raise ValueError("the first layer of a ModernBERT must stay: it has no normalisation, "
                         f"because the embeddings are normalised; got layers={kept.layers}")
    encoder.layers = nn.ModuleList(encoder.layers[number] for number in kept.layers)
    for layer, heads, units in zip(encoder.layers, kept.heads, kept.units, strict=True):
        cut_attention(layer.attention, heads)
        cut_feed_forward(layer.feed_forward, units)
    config = replace(encoder.config, num_hidden_layers=len(kept.layers),
                     intermediate_size=len(kept.units[0]),
                     **layer_types(encoder.config, kept.layers))
    small.config = encoder.config = config
    return small


def require_layers(layers: list[int], number: int) -> None:
    if not layers or list(layers) != [i for i in range(number) if i in layers]:
        raise ValueError(f"layers must be one or more of 0 to {number - 1}, each once and in "
                         f"order, got {layers}")


def layer_types(config, layers: list[int]) -> dict:
    """The field `layer_types` of a ModernBERT, for the layers that stay."""
    types = getattr(config, "layer_types", None)
    return {} if types is None else {"layer_types": tuple(types[number] for number in layers)}


def cut_attention(attention: nn.Module, heads: list[int]) -> None:
    """Leaves an attention these heads: rows of queries, keys and values, columns of the output."""
    require_parts(heads, attention.num_heads, "heads")
    size = attention.output.in_features // attention.num_heads  # E
    numbers = torch.tensor([head * size + i for head in heads for i in range(size)])
    attention.qkv = rows_of(attention.qkv, numbers)
    attention.output = columns_of(attention.output, numbers)
    attention.num_heads = len(heads)


def cut_feed_forward(feed_forward: nn.Module, units: list[int]) -> None:
    """Leaves a feed-forward layer these units: rows of the first matrix, columns of the second."""
    require_parts(units, feed_forward.down.in_features, "feed-forward units")
    feed_forward.up = rows_of(feed_forward.up, torch.tensor(units))
    feed_forward.down = columns_of(feed_forward.down, torch.tensor(units))


def require_parts(parts: list[int], number: int, name: str) -> None:
    if not parts or not set(parts) <= set(range(number)) or len(set(parts)) < len(parts):
        raise ValueError(f"the layer has {name} 0 to {number - 1}, at least one must stay, and "
                         f"each stays once; got {parts}")


def rows_of(linear: nn.Linear, numbers: Tensor) -> nn.Linear:
    """The layer with some of its outputs; of stacked matrices, the same ones of each."""
    stacked = getattr(linear, "stacked", 1)
    size = linear.out_features // stacked
    rows = torch.cat([numbers + size * matrix for matrix in range(stacked)])
    small = with_weights(linear.weight[rows], None if linear.bias is None else linear.bias[rows])
    if stacked > 1:
        small.stacked = stacked
    return small


def columns_of(linear: nn.Linear, numbers: Tensor) -> nn.Linear:
    """The layer with some of its inputs."""
    return with_weights(linear.weight[:, numbers], linear.bias)


def with_weights(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer of these weights, (outputs, inputs), and biases."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone())
    return linear


# ------------------------------------------------------------------------------ single weights


@torch.no_grad()
def prune_weights(model: nn.Module, sparsity: float) -> nn.Module:
    """A copy whose smallest weights are zero, and stay zero when a `Trainer` trains it.

    The weights of all linear layers are compared with each other, by their absolute value (Han et
    al., "Learning both weights and connections for efficient neural networks", NeurIPS 2015). Files
    shrink if they are packed, and products are no faster: a matrix half of zeros is still a matrix.

    A layer has in its buffer `kept`, (outputs, inputs), which weights are left. Deep copies have it
    too, and so has what `distill` makes of it. Where values alone are copied, zeros are weights as
    others are: `fine_tune` trains them, so prune the classifier that it returns, and go on with a
    `Trainer`; a model that was saved and loaded is trained everywhere.

    Args:
        model: any module.
        sparsity: share of the weights of linear layers that become zero, at least 0 and below 1.

    Raises:
        ValueError: for a sparsity outside [0, 1).
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be at least 0 and below 1, got {sparsity}")
    sparse = copy.deepcopy(model)
    layers = linear_layers(sparse)
    number = round(sparsity * sum(linear.weight.numel() for linear in layers))
    if number:
        sizes = torch.cat([linear.weight.abs().flatten() for linear in layers])
        threshold = sizes.kthvalue(number).values
        for linear in layers:
            linear.register_buffer("kept", linear.weight.abs() > threshold, persistent=False)
            linear.weight.mul_(linear.kept)
    return sparse


def sparsity(model: nn.Module) -> float:
    """The share of the weights of linear layers that are zero."""
    weights = [linear.weight for linear in linear_layers(model)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    return [part for part in model.modules() if isinstance(part, nn.Linear)]
