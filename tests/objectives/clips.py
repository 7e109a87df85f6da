"""Clips, and a small model of them, that objectives on video are tested with."""

import torch

import pretrain_lib as pl

SHAPE = {"image_size": 8, "patch_size": 4, "num_frames": 4, "tubelet_size": 2, "num_channels": 1, "hidden_size": 12, "num_hidden_layers": 1,
         "num_attention_heads": 2, "intermediate_size": 16, "decoder_hidden_size": 8, "decoder_num_hidden_layers": 1,
         "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16, "initializer_range": 0.3}


def model(**settings):
    return pl.VideoMAEForPreTraining(pl.VideoMAEConfig(**SHAPE | settings))


def noise(n=12, frames=4, channels=1, side=8, dtype=torch.float32):
    return torch.rand(n, frames, channels, side, side, generator=torch.Generator().manual_seed(0), dtype=dtype)


def gradient(model, objective, batch):
    """The gradient of an objective's sums, of model and objective, as one vector."""
    parts = [*model.parameters(), *objective.parameters()]
    for p in parts:
        p.grad = None
    sum(objective(model, batch).values()).backward()
    return torch.cat([p.grad.flatten() for p in parts if p.grad is not None])


def assert_parts_add_up(model, objective, source):
    """The sums, counts and gradients of a batch are those of its halves together, as ranks have them: unequal ones."""
    def of(ids):
        keys = pl.Keys.of(5, ids)
        batch = objective.batch(source.take(keys), keys)
        return batch.counts, {name: term.item() for name, term in objective(model, batch).items()}, gradient(model, objective, batch)

    (counts, sums, grad), *parts = of(range(12)), of(range(5)), of(range(5, 12))
    assert objective.separable and counts.keys() == sums.keys()
    for name in counts:
        assert counts[name] == parts[0][0][name] + parts[1][0][name]
        assert abs(sums[name] - parts[0][1][name] - parts[1][1][name]) <= 1e-10
    torch.testing.assert_close(grad, parts[0][2] + parts[1][2], rtol=0, atol=1e-10)
