"""ViTs of transformers with numbers of their own, and both sides' tensors under the names of a folder."""

from __future__ import annotations

import copy

import torch
from safetensors.torch import load_file

import pretrain_lib as pl
from pretrain_lib.hf import to_hugging_face

TINY = {"image_size": 12, "patch_size": 4, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SHAPES = [TINY, TINY | {"num_channels": 1, "patch_size": 3, "num_attention_heads": 4, "layer_norm_eps": 0.01},
          TINY | {"image_size": 10, "patch_size": 5, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 1}]


@torch.no_grad()
def drawn_anew(model):
    """All numbers far from where training begins, those of tokens and places too."""
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.copy_(0.5 + torch.rand(p.shape, generator=generator) if p.ndim < 2 else
                torch.randn(p.shape, generator=generator) / (p[0].numel() ** 0.5 if len(p) > 1 else 1))
    return model


def images_for(config, n=5):
    side = config.image_size
    return torch.rand(n, config.num_channels, side, side, generator=torch.Generator().manual_seed(2), dtype=torch.double)


def as_saved(model, folder):
    """A model's tensors by their names in a folder, as published ones spell them."""
    if isinstance(model, pl.ViTModel | pl.ViTForImageClassification | pl.ViTMAEForPreTraining):
        return to_hugging_face(model)[1]
    model.save_pretrained(folder)
    spelt = pl.ViTMAEForPreTraining.hugging_face.spelt
    return {spelt(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}


@torch.no_grad()
def gradients(model, folder):
    """Its gradients, so named; 0 where there is none."""
    double = copy.deepcopy(model)
    for twin, p in zip(double.parameters(), model.parameters(), strict=True):
        twin.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
    return as_saved(double, folder)


def assert_equal(answers, expected, dtype):
    """To 1e-10 in float64, to 1e-5 by norm in float32, where keys' biases, whose gradient is 0, are rounding."""
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        if dtype == torch.double:
            torch.testing.assert_close(answers[name], value, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")
        elif not name.endswith("key.bias"):
            assert (answers[name] - value).norm() <= 1e-5 * value.norm(), name
