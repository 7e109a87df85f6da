"""An update is the same however it is split: means are taken once, over all that is counted."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import (
    HalfLabelled,
    Mlp,
    SentencePairs,
    TinyReader,
    config,
    distance,
    mlp,
    seeded,
    sentence_pairs,
    trained,
    vectors,
    weights,
)

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.masked_image import MaskedImage
from pretrain_lib.objectives.reconstruction import Denoising
from pretrain_lib.training.trainer import Trainer

STEPS = 20


def half_labelled(n: int = 100, dtype=torch.float32) -> Columns:
    """One sample in eight has a label, so that many a micro-batch of four has none."""
    labels = torch.full((n,), -1)
    labels[::8] = torch.arange(len(labels[::8])) % 3
    return Columns(images=vectors(n, dtype=dtype).images, labels=labels)


class Inpainting(Mlp):
    def forward(self, images, mask):
        return super().forward(images.flatten(1)).view_as(images)


def tiny_images(dtype) -> Columns:
    return Columns(images=vectors(80, dtype=dtype).images.view(-1, 1, 3, 4))


# what is trained: model, objective, source; each for a given number format
KINDS = {
    "equal counts": lambda dtype: (mlp(dtype=dtype), Denoising("gaussian"), vectors(dtype=dtype)),
    "masked image": lambda dtype: (seeded(Inpainting, dtype=dtype), MaskedImage(0.5, 1),
                                   tiny_images(dtype)),
    "unequal counts": lambda dtype: (seeded(TinyReader, dtype=dtype), SentencePairs(),
                                     sentence_pairs()),
    "counts of 0": lambda dtype: (mlp(dtype=dtype), seeded(HalfLabelled, dtype=dtype),
                                  half_labelled(dtype=dtype)),
}  # fmt: skip


def run(kind: str, accumulation: int, dtype, **settings) -> dict[str, torch.Tensor]:
    model, objective, source = KINDS[kind](dtype)
    chosen = config(**{"steps": STEPS, "batch_size": 32, "accumulation": accumulation,
                       "learning_rate": 1e-3, "eps": 1e-6, "gradient_clipping": 1.0,
                       "weight_decay": 0.01, **settings})
    return weights(trained(objective, chosen, model, source).module)


@pytest.mark.parametrize("kind", KINDS)
def test_32_by_1_equals_8_by_4_in_float64(kind):
    whole, split = (run(kind, accumulation, torch.float64) for accumulation in (1, 4))
    for name in whole:
        assert (whole[name] - split[name]).abs().max() < 1e-12, name


@pytest.mark.parametrize("kind", KINDS)
def test_32_by_1_equals_8_by_4_by_norm_in_float32(kind):
    whole, split = (run(kind, accumulation, torch.float32) for accumulation in (1, 4))
    assert distance(whole, split) < 1e-6


def test_any_split_gives_the_same():
    whole = run("unequal counts", 1, torch.float64)
    for accumulation in (2, 8, 16, 32):
        split = run("unequal counts", accumulation, torch.float64)
        assert max((whole[k] - split[k]).abs().max() for k in whole) < 1e-12


def test_it_holds_for_sgd_and_l2_too():
    settings = {"optimizer": "sgd", "weight_decay": 0.0, "l2": 0.1}
    whole, split = (run("counts of 0", a, torch.float64, **settings) for a in (1, 8))
    assert max((whole[k] - split[k]).abs().max() for k in whole) < 1e-12


def test_the_mean_of_micro_batch_means_would_not_pass():
    """The test has teeth: normalising each micro-batch by itself gives other weights."""

    class PerMicroBatch(SentencePairs):
        def batch(self, samples, keys):
            batch = super().batch(samples, keys)
            batch.targets["share"] = torch.tensor(float(batch.counts["words"]))
            batch.counts["words"] = 1
            return batch

        def forward(self, model, batch):
            terms = super().forward(model, batch)
            return {**terms, "words": terms["words"] / batch.targets["share"].clamp(min=1)}

    settings = config(steps=STEPS, batch_size=32, accumulation=8)
    right = trained(SentencePairs(), settings, seeded(TinyReader), sentence_pairs())
    wrong = trained(PerMicroBatch(), settings, seeded(TinyReader), sentence_pairs())
    assert distance(weights(right.model), weights(wrong.model)) > 1e-3


def test_the_logged_means_do_not_depend_on_the_split():
    def losses(accumulation):
        model, objective, source = KINDS["unequal counts"](torch.float64)
        settings = config(batch_size=32, accumulation=accumulation)
        records = trained(objective, settings, model, source).history.records
        return [[r["words"], r["order"], r["loss"], r["gradient_norm"]] for r in records]

    assert torch.allclose(torch.tensor(losses(1)), torch.tensor(losses(8)), rtol=1e-10)


def test_a_term_that_counts_nothing_in_a_whole_update_weighs_nothing():
    source = Columns(images=vectors(64).images, labels=torch.full((64,), -1))
    trainer = trained(seeded(HalfLabelled), config(accumulation=2), mlp(), source)
    assert all(r["labels"] == 0 for r in trainer.history.records)
    assert all(r["loss"] == r["reconstruction"] for r in trainer.history.records)


def test_a_count_below_1_is_divided_by_as_it_is():
    class Weighted(Denoising):
        def batch(self, samples, keys):
            batch = super().batch(samples, keys)
            batch.counts = {"reconstruction": 0.25}
            return batch

    source, settings = vectors(16), config(batch_size=16)
    means = [Trainer(mlp(), objective, source, settings).evaluate(source)["loss"]
             for objective in (Weighted("masking", 0.0), Denoising("masking", 0.0))]
    assert means[0] == pytest.approx(means[1] * 16 / 0.25, rel=1e-6)


class Waits(TorchDispatchMode):
    """Counts how often a number is asked for that a GPU would still be computing."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_an_update_waits_for_a_gpu_as_often_however_it_is_split():
    """One that waits after each micro-batch leaves the GPU idle until the next."""
    waits = []
    for parts in (1, 4):
        model, objective, source = KINDS["counts of 0"](torch.float32)
        trainer = Trainer(model, objective, source, config(batch_size=32, accumulation=parts))
        shares = Keys.of(0, range(32)).sample.reshape(parts, -1)
        all_keys = [Keys.of(0, share) for share in shares]
        batches = [objective.batch(source.take(keys), keys) for keys in all_keys]
        with Waits() as counted:
            trainer.update(batches, 1e-3)
        waits.append(counted.count)
    assert waits[0] == waits[1]
