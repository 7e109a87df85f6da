"""How long smaller models take: on the same core, in turns, a batch of sentences and one sentence."""

from __future__ import annotations

import copy
from statistics import median

import torch
from torch import nn

from pretrain_lib import ModernBertConfig, ModernBertModel, load_pretrained, prune, quantize
from pretrain_lib.bench.timing import interleaved, ratio
from pretrain_lib.compression.importance import Importance
from pretrain_lib.compression.prune import prune_weights
from pretrain_lib.transfer.encoders import text_classifier

TITLE = "Milliseconds of a fine-tuned encoder, of a student, pruned, in int8, and in bf16"

PREDICTION = """A pilot on a busy machine came first: for a batch the pruned model was 1.31 times as fast as the whole one, int8 1.43, a
student of two layers of width 128 4.9, bf16 1.9; for one sentence 1.23, 0.55, 2.9 and 1.1. So we predict, on a processor with units for int8
and bf16, one thread: leaving out 30 % of heads and units makes a batch at least 1.2 times as fast; half of the weights set to zero
makes it no faster, within 5 %; int8 makes a batch between 1.3 and 2 times as fast, and one sentence slower than float32, because rounding
activations is small work of many calls; the student is at least 4 times as fast for a batch. bf16, which nobody had to quantise,
is faster than int8."""

SEEDS = (0, 1, 2)  # rounds of measuring
ZOO_MODEL = "modernbert-mini-sotu"
STUDENT = ModernBertConfig(vocab_size=8192, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256,
                           max_position_embeddings=512, layer_types=("sliding_attention", "full_attention"), local_attention=2)
SHARE = 0.3  # of heads and of units that pruning leaves out: 5 of 16 heads, 154 of 512 units a layer
SENTENCES, LENGTH = 32, 40


def forms(teacher: nn.Module, student: nn.Module, pruned: nn.Module) -> dict[str, nn.Module]:
    """All that is compared."""
    return {"teacher": teacher, "student": student, "pruned": pruned, "int8": quantize(teacher),
            "student, int8": quantize(student), "pruned, int8": quantize(pruned),
            "half zeros": prune_weights(teacher, 0.5), "bf16": copy.deepcopy(teacher).bfloat16()}


def random_importance(teacher: nn.Module, seed: int) -> Importance:
    """Which heads and units go does not matter for time."""
    generator = torch.Generator().manual_seed(seed)
    layers, config = teacher.config.num_hidden_layers, teacher.config
    return Importance([torch.rand(config.num_attention_heads, generator=generator) for _ in range(layers)],
                      [torch.rand(config.intermediate_size, generator=generator) for _ in range(layers)],
                      torch.ones(layers))


def milliseconds(models: dict[str, nn.Module], sentences: int, rounds: int, seed: int) -> dict:
    """Medians, and how many times as fast as the teacher each one is."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 8192, (sentences, LENGTH), generator=generator)
    mask = (torch.arange(LENGTH) < torch.randint(LENGTH // 2, LENGTH + 1, (sentences, 1), generator=generator)).long()
    mask[0] = 1
    with torch.inference_mode():
        seconds = interleaved({name: (lambda model=model: model(ids, mask)) for name, model in models.items()}, rounds, warm_up=2)
    return {"milliseconds": {name: 1e3 * median(times) for name, times in seconds.items()},
            "speedup": {name: ratio(seconds, "teacher", name) for name in seconds}}


def run(scale: str) -> dict:
    """{"batch" | "one sentence": {"milliseconds" | "speedup": {form: one number a seed}}}"""
    small = scale == "smoke"
    teacher = text_classifier(load_pretrained(ZOO_MODEL), 3).eval()
    student = text_classifier(ModernBertModel(STUDENT), 3).eval()
    measured = {"threads": torch.get_num_threads(), "sentences": SENTENCES, "length": LENGTH}
    for size, sentences, rounds in (("batch", SENTENCES, 11), ("one sentence", 1, 41)):
        each = []
        for seed in SEEDS[:1] if small else SEEDS:
            pruned = prune(teacher, random_importance(teacher, seed), heads=SHARE, units=SHARE)
            each.append(milliseconds(forms(teacher, student, pruned), sentences, 2 if small else rounds, seed))
        measured[size] = {kind: {name: [run[kind][name] for run in each] for name in each[0][kind]} for kind in each[0]}
    return measured


def verdict(measured: dict) -> str:
    """What came out, in a sentence."""
    batch, one = ({name: median(runs) for name, runs in measured[size]["speedup"].items()} for size in ("batch", "one sentence"))
    said = {True: "held", False: "failed"}
    return (f"For a batch: pruned {batch['pruned']:.2f} times as fast, {said[batch['pruned'] >= 1.2]}; half zeros {batch['half zeros']:.2f}, "
            f"{said[abs(batch['half zeros'] - 1) <= 0.05]}; int8 {batch['int8']:.2f}, {said[1.3 <= batch['int8'] <= 2]}; student "
            f"{batch['student']:.2f}, {said[batch['student'] >= 4]}; bf16 {batch['bf16']:.2f}, faster than int8: "
            f"{said[batch['bf16'] > batch['int8']]}. For one sentence int8 is {one['int8']:.2f} times as fast, slower: "
            f"{said[one['int8'] < 1]}; pruned {one['pruned']:.2f}, student {one['student']:.2f}, bf16 {one['bf16']:.2f}.")
