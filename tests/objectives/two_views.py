"""What objectives on two views are tested with; and one of two ranks of them, started by test_two_views.py.

    python two_views.py FOLDER RANK

Each leaves FOLDER/RANK.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.base import Step, weighted_mean

SAMPLES, SIDE, FEATURES = 12, 8, 12
VIEWS = {"first": ["images"], "second": ["other_images"]}


def vit():
    return pl.ViTModel(pl.ViTConfig(image_size=SIDE, patch_size=4, hidden_size=FEATURES, num_hidden_layers=1, num_attention_heads=2,
                                    intermediate_size=16, initializer_range=0.3))


def resnet(norm="batch"):
    return pl.ResNetModel(pl.ResNetConfig(3, 6, (6, FEATURES), (1, 1), stem="cifar", norm=norm))


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def images(n=SAMPLES, seed=0, dtype=torch.float32):
    return noise(n, 3, SIDE, SIDE, seed=seed, dtype=dtype)


def pairs(n=SAMPLES, dtype=torch.float32):
    """Two views of each sample, which share what they show."""
    clean = images(n, dtype=dtype)
    return pl.Columns(images=0.6 * clean + 0.4 * images(n, 1, dtype), other_images=0.6 * clean + 0.4 * images(n, 2, dtype))


def captioned(n=SAMPLES, dtype=torch.float32):
    """The same, of which three have one caption."""
    return pl.Columns(**pairs(n, dtype).columns, caption=torch.arange(n) // 3)


def simclr(**settings):
    return pl.Contrastive(VIEWS, **{"temperature": 0.3, "projection": (FEATURES, 10, 7), "negatives": "both views", **settings})


MODELS = {"resnet": resnet, "group norm": lambda: resnet("group"), "vit": vit}
OBJECTIVES = {
    "clip": lambda model: simclr(negatives="other view"),
    "simclr": lambda model: simclr(learned=False),
    "vicreg": lambda model: pl.VICReg((FEATURES, 10, 7)),
    "dino": lambda model: pl.SelfDistillation(model, (FEATURES, 10, 7), 9, momentum=0.5, norm="batch"),
}
TOGETHER = {  # of samples some of which belong together
    "same": lambda model: simclr(same="caption"),
    "sigmoid": lambda model: simclr(same="caption", negatives="other view", loss="sigmoid"),
}
CASES = [(model, objective) for objective in OBJECTIVES for model in MODELS] + [("vit", objective) for objective in TOGETHER]


def outcome(model_name: str, objective_name: str, rank: int = 0, ranks: int = 1) -> dict:
    """The loss, every gradient, every buffer, and what the objective is after a step, of this rank's samples."""
    model = MODELS[model_name]()
    step = Step(model, (OBJECTIVES | TOGETHER)[objective_name](model)).double().train()
    keys = Keys.of(0, range(rank, SAMPLES, ranks))
    batch = step.objective.batch(captioned(dtype=torch.float64).take(keys), keys)
    counts = {name: ranks * count for name, count in batch.counts.items()}
    loss = weighted_mean(step(batch), counts, step.objective.weights)
    loss.backward()
    gradients = {name: p.grad for name, p in step.named_parameters() if p.requires_grad}
    for tensor in (total := loss.detach().clone(), *gradients.values()):
        if ranks > 1:
            dist.all_reduce(tensor)
    with torch.no_grad():
        for p in step.parameters():
            if p.grad is not None:
                p.sub_(0.1 * p.grad)
        step.objective.after_step(step.model, 1)
    return {"loss": total.tolist(), "gradients": {name: g.flatten().tolist() for name, g in gradients.items()},
            "state": {name: t.double().flatten().tolist() for name, t in step.state_dict().items()}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    found = {f"{model} {objective}": outcome(model, objective, rank, 2) for model, objective in CASES}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads may still hold tensors
