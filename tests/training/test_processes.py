"""Several processes are one: each holds some of the micro-batches, and all know the counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import (
    HalfLabelled,
    SentencePairs,
    TinyReader,
    config,
    mlp,
    seeded,
    sentence_pairs,
    vectors,
)

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.base import Step
from pretrain_lib.objectives.reconstruction import Denoising
from pretrain_lib.training.loader import micro_batches
from pretrain_lib.objectives.base import total_counts, weighted_mean
from pretrain_lib.training.trainer import Trainer

ROOT = Path(__file__).parents[2]


def sentence_step():
    return Step(seeded(TinyReader, dtype=torch.float64), SentencePairs())


def sentence_batches(n: int = 4, size: int = 8):
    """Micro-batches with unequal numbers of hidden words."""
    source, objective = sentence_pairs(), SentencePairs()
    batches = []
    for i in range(n):
        keys = Keys.of(0, range(i * size, (i + 1) * size))
        batches.append(objective.batch(source.take(keys), keys))
    assert len({b.counts["words"] for b in batches}) > 1
    return batches


def labelled_step():
    return Step(mlp(dtype=torch.float64), seeded(HalfLabelled, dtype=torch.float64))


def labelled_batches():
    """Micro-batches of which the last two have no label at all, so one process sees none."""
    source = Columns(images=vectors(32, dtype=torch.float64).images,
                     labels=torch.tensor([0, 1, 2, 1] * 4 + [-1] * 16))
    batches = []
    for i in range(4):
        keys = Keys.of(0, range(8 * i, 8 * i + 8))
        batches.append(HalfLabelled().batch(source.take(keys), keys))
    assert [b.counts["labels"] for b in batches] == [8, 8, 0, 0]
    return batches


CASES = {"sentence pairs": (sentence_step, sentence_batches),
         "a term that one process lacks": (labelled_step, labelled_batches)}


def gradients(step, batches, counts) -> dict[str, torch.Tensor]:
    """What one process adds: its micro-batches, divided by the counts of all."""
    for batch in batches:
        weighted_mean(step(batch), counts, step.objective.weights).backward()
    return {name: p.grad for name, p in step.named_parameters()}


@pytest.mark.parametrize("case", CASES)
def test_the_gradients_of_two_ranks_sum_to_that_of_one_process(case):
    build, make_batches = CASES[case]
    batches = make_batches()
    counts = total_counts(batches)
    alone = gradients(build(), batches, counts)
    first, second = (gradients(build(), batches[rank::2], counts) for rank in (0, 1))
    assert alone.keys() == first.keys() == second.keys()
    for name in alone:
        assert torch.allclose(alone[name], first[name] + second[name], rtol=0, atol=1e-12), name


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_gets_a_gradient_on_every_rank(case):
    """Or a wrapper that waits for all gradients would wait for ever."""
    build, make_batches = CASES[case]
    batches = make_batches()
    for rank in (0, 1):
        grads = gradients(build(), batches[2 * rank:2 * rank + 2], total_counts(batches))
        assert all(g is not None for g in grads.values())


def test_the_trainers_update_is_that_of_one_process():
    """`Trainer.update` takes the mean that the ranks above take together."""
    settings = config(batch_size=32, accumulation=4, optimizer="sgd", momentum=0.0)
    step = sentence_step()
    trainer = Trainer(step.model, step.objective, sentence_pairs(), settings)
    stream = micro_batches(sentence_pairs(), SentencePairs(), settings, 0, pin_memory=False)
    batches = [next(stream) for _ in range(4)]
    before = {n: p.detach().clone() for n, p in trainer.module.named_parameters()}
    expected = gradients(sentence_step(), batches, total_counts(batches))
    trainer.update(batches, 1.0)
    for name, p in trainer.module.named_parameters():
        assert torch.allclose(before[name] - p, expected[name], rtol=0, atol=1e-12)


def test_ranks_take_turns_in_the_run_that_one_process_sees():
    """Micro-batch i is a function of i: ranks that share out the numbers share out the samples."""
    settings = config(batch_size=16, accumulation=4)
    stream = list(micro_batches(vectors(), Denoising(), settings, 0, False))
    assert len(stream) == 12 * 4
    positions = [stream[i].samples for rank in (0, 1) for i in range(rank, 48, 2)]
    alone = [b.samples for b in stream]
    assert sorted(map(tuple, positions)) == sorted(map(tuple, alone))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no distributed here")
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over a file needs POSIX")
def test_two_real_processes_under_ddp_end_with_the_weights_of_one(tmp_path):
    """Step, wrapped in DistributedDataParallel: every hook fires, every parameter is seen."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
                   "OMP_NUM_THREADS": "1"}
    script, meeting = str(Path(__file__).parent / "ranks.py"), str(tmp_path / "meeting")
    ranks = [subprocess.Popen([sys.executable, script, meeting, str(rank)], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
             for rank in (0, 1)]
    results = []
    for process in ranks:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2000:]
        results.append(json.loads(out.splitlines()[-1]))
    from ranks import alone

    expected = alone()
    for result in results:
        assert result.keys() == expected.keys()
        for name in expected:
            ours, theirs = (torch.tensor(r[name], dtype=torch.float64) for r in (result, expected))
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)
