"""Small sources, models and one objective of every kind that the training loop must carry."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.base import Batch, Objective
from pretrain_lib.objectives.reconstruction import Denoising, half_squared_error
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

SIZE = 12
VOCABULARY = 20
IGNORE = -100


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(n: int = 100, seed: int = 0, dtype=torch.float32) -> Columns:
    """n points near a plane in SIZE dimensions, as a source with the one column "images"."""
    g = generator(seed)
    plane = torch.randn(3, SIZE, generator=generator(99))
    points = torch.randn(n, 3, generator=g) @ plane + 0.1 * torch.randn(n, SIZE, generator=g)
    return Columns(images=points.to(dtype))


def sentence_pairs(n: int = 60, seed: int = 0) -> Columns:
    g = generator(seed)
    return Columns(
        tokens=torch.randint(1, VOCABULARY, (n, 8), generator=g),
        follows=torch.randint(0, 2, (n,), generator=g),
    )


def seeded(build, seed: int = 0, dtype=torch.float32) -> nn.Module:
    """A module with starting weights that depend on the seed alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return build().to(dtype)


class Mlp(nn.Sequential):
    """A small autoencoder with dropout."""

    def __init__(self, dropout: float = 0.0, hidden: int = 16):
        super().__init__(nn.Linear(SIZE, hidden), nn.Tanh(), nn.Dropout(dropout),
                         nn.Linear(hidden, SIZE))


def mlp(seed: int = 0, dtype=torch.float32, **settings) -> Mlp:
    return seeded(lambda: Mlp(**settings), seed, dtype)


class TinyReader(nn.Module):
    """Reads a row of tokens: logits for each position, and for the row as a whole."""

    def __init__(self, hidden: int = 16):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, hidden)
        self.mix = nn.Linear(2 * hidden, hidden)
        self.words = nn.Linear(hidden, VOCABULARY)
        self.pair = nn.Linear(hidden, 2)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embed(tokens)  # (B, T, D)
        context = x.mean(dim=1, keepdim=True).expand_as(x)
        h = torch.tanh(self.mix(torch.cat([x, context], dim=-1)))
        return self.words(h), self.pair(h.mean(dim=1))


class Recording(Denoising):
    """Denoising that notes what it was shown, and may interrupt the run from inside."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.seen: list[list[int]] = []
        self.shown: list[Tensor] = []
        self._before_forward = None

    def forward(self, model, batch):
        if model.training:
            self.seen.append(batch.samples.tolist())
            self.shown.append(batch.inputs[self.column].clone())
            if self._before_forward:
                self._before_forward()
        return super().forward(model, batch)


class SentencePairs(Objective):
    """Hidden words and the order of a pair, scored in one forward: two terms, two counts."""

    weights = {"order": 0.5}

    def batch(self, samples, keys):
        tokens = samples["tokens"]
        hidden = keys.uniform("mask", tuple(tokens.shape[1:])) < 0.2
        targets = {"words": tokens.masked_fill(~hidden, IGNORE), "order": samples["follows"]}
        counts = {"words": int(hidden.sum()), "order": len(tokens)}
        return Batch({"tokens": tokens.masked_fill(hidden, 0)}, targets, counts)

    def forward(self, model, batch):
        words, pair = model(batch.inputs["tokens"])
        return {
            "words": F.cross_entropy(words.flatten(0, 1), batch.targets["words"].flatten(),
                                     ignore_index=IGNORE, reduction="sum"),
            "order": F.cross_entropy(pair, batch.targets["order"], reduction="sum"),
        }


class HalfLabelled(Objective):
    """Reconstruct every sample, classify the few that have a label (the others carry -1)."""

    weights = {"reconstruction": 1.0, "labels": 3.0}

    def __init__(self, classes: int = 3):
        super().__init__()
        self.head = nn.Linear(SIZE, classes)

    def batch(self, samples, keys):
        labels = samples["labels"]
        counts = {"reconstruction": len(labels), "labels": int((labels >= 0).sum())}
        return Batch({"images": samples["images"]}, samples, counts)

    def forward(self, model, batch):
        reconstruction = model(batch.inputs["images"])
        return {
            "reconstruction": half_squared_error(reconstruction, batch.targets["images"]),
            "labels": F.cross_entropy(self.head(reconstruction), batch.targets["labels"],
                                      ignore_index=-1, reduction="sum"),
        }


class Contrastive(Objective):
    """Two noisy views of a sample should be nearer to each other than to other samples' views."""

    separable = False

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(5.0)))

    def batch(self, samples, keys):
        images = samples["images"]
        shape = tuple(images.shape[1:])
        views = {name: images + 0.3 * keys.normal(name, shape) for name in ("a", "b")}
        return Batch(views, {}, {"contrastive": len(images)})

    def forward(self, model, batch):
        a, b = (F.normalize(model(batch.inputs[name]), dim=1) for name in ("a", "b"))
        logits = self.log_scale.exp() * a @ b.T  # (B, B)
        return {"contrastive": F.cross_entropy(logits, torch.arange(len(a)), reduction="sum")}


class Distillation(Objective):
    """The model should answer as a frozen teacher does, which never drops out."""

    def __init__(self, teacher: nn.Module):
        super().__init__()
        self.teacher = teacher.requires_grad_(False)

    def train(self, mode: bool = True):
        super().train(mode)
        self.teacher.eval()
        return self

    def batch(self, samples, keys):
        return Batch({"images": samples["images"]}, {}, {"distillation": len(samples["images"])})

    def forward(self, model, batch):
        with torch.no_grad():
            answer = self.teacher(batch.inputs["images"])
        return {"distillation": half_squared_error(model(batch.inputs["images"]), answer)}


class Following(Objective):
    """The model should answer as a teacher does that follows it, by moving average, and is nudged.

    Counts its calls, and keeps a buffer beside the teacher's parameters.
    """

    def __init__(self, teacher: nn.Module, decay: float = 0.9, nudge: float = 0.0):
        super().__init__()
        self.teacher = teacher.requires_grad_(False)
        self.decay = decay
        self.nudge = nudge
        self.register_buffer("centre", torch.zeros(SIZE, dtype=next(teacher.parameters()).dtype))
        self.calls: list[int] = []

    def batch(self, samples, keys):
        images = samples["images"]
        noisy = images + 0.1 * keys.normal("view", tuple(images.shape[1:])).to(images.dtype)
        return Batch({"images": noisy}, {"images": images}, {"following": len(images)})

    def forward(self, model, batch):
        with torch.no_grad():
            wanted = self.teacher(batch.targets["images"]) + self.centre
        answer = model(batch.inputs["images"])
        return {"following": half_squared_error(answer, wanted + batch.targets["images"])}

    def after_step(self, model, step):
        self.calls.append(step)
        for old, new in zip(self.teacher.parameters(), model.parameters(), strict=True):
            old.lerp_(new, 1 - self.decay)
        self.centre.add_(self.nudge * torch.randn(SIZE, dtype=self.centre.dtype))


def config(**settings) -> TrainConfig:
    """A short run on the CPU."""
    return TrainConfig(**{"steps": 12, "batch_size": 16, "learning_rate": 1e-2, "device": "cpu",
                          "log_every": 1, **settings})


def trained(objective, settings: TrainConfig, model=None, source=None, **rest) -> Trainer:
    """A trainer that has been run to its end."""
    trainer = Trainer(model if model is not None else mlp(), objective,
                      source if source is not None else vectors(), settings, **rest)
    trainer.fit()
    return trainer


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The Euclidean distance between two sets of weights, relative to their norm."""
    x, y = (torch.cat([t.double().flatten() for t in d.values()]) for d in (a, b))
    return ((x - y).norm() / x.norm()).item()
