"""Int8 against fp32: the zoo's models of texts, a sentence and a batch, as on older processors too.

    python -m pretrain_lib.bench.int8 FILE ROUNDS     what one kind of processor takes, as JSON
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch import nn

from ..compression.quantise import SIGNED, UNSIGNED, Int8Linear, chosen_for, extremes, quantize
from ..pretrained import load_pretrained
from ..transfer.encoders import text_classifier
from ..zoo import models_of
from .timing import interleaved, ratio

KINDS = ("AVX2", "AVX512_CORE_VNNI", "DEFAULT")  # of ONEDNN_MAX_CPU_ISA: the youngest to be used
SENTENCES, LENGTH = {"one sentence": 1, "a batch": 32}, 24
PRODUCTS = {SIGNED: "signed", UNSIGNED: "unsigned", None: "floats"}
VERBOSE = torch.backends.mkldnn.VERBOSE_ON


def int8_on(kind: str, rounds: int) -> dict:
    """What int8 costs where oneDNN uses no younger instructions than those of a kind of processor.

    Args:
        kind: one of `KINDS`; "DEFAULT" is this processor as it is.
        rounds: how often each model is timed on a batch, and ten times as often on a sentence.

    Returns:
        "instructions", those in use, and "rows", as `measure` gives them.

    Raises:
        RuntimeError: if the process that measures fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        ended = subprocess.run([sys.executable, "-m", "pretrain_lib.bench.int8", str(found),
                                str(rounds)], env=os.environ | {"ONEDNN_MAX_CPU_ISA": kind},
                               capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"int8 on {kind} failed:\n{ended.stderr[-2000:]}")
        used = re.search("cpu,isa:(.+)", ended.stdout)
        return {"instructions": used.group(1) if used else "unknown",
                "rows": json.loads(found.read_text(encoding="utf-8"))}


def measure(rounds: int) -> list[dict]:
    """One row a model and size: "model", "size", "ratio", "products" and "exact".

    The ratio is that of int8's seconds to those of fp32, the median over rounds; "products" tells
    how many layers multiply how; "exact" whether all their sums were those of whole numbers.
    """
    rows = []
    for name in models_of("TextData"):
        whole = load_pretrained(name).eval()
        classifier = text_classifier(load_pretrained(name), 3).eval()
        for head, model in (("masked LM", whole), ("classifier", classifier)):
            small = quantize(model)
            rows += [{"model": f"{name}, {head}", "size": size,
                      **compare(model, small, sentences, rounds)}
                     for size, sentences in SENTENCES.items()]
    return rows


@torch.inference_mode()
def compare(model: nn.Module, small: nn.Module, sentences: int, rounds: int) -> dict:
    """A model and its int8 copy, timed in turns on so many sentences of `LENGTH` tokens."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, model.config.vocab_size, (sentences, LENGTH), generator=generator)
    mask = torch.ones_like(ids)
    seconds = interleaved({"fp32": lambda: model(ids, mask), "int8": lambda: small(ids, mask)},
                          rounds * (10 if sentences == 1 else 1), warm_up=2)
    found = [multiplies(part, sentences * LENGTH) for part in small.modules()
             if isinstance(part, Int8Linear)]
    return {"ratio": ratio(seconds, "int8", "fp32"), "exact": all(exact for _, exact in found),
            "products": Counter(product for product, _ in found)}


def multiplies(layer: Int8Linear, rows: int) -> tuple[str, bool]:
    """How a layer multiplies so many rows, and whether all its sums are those of whole numbers."""
    q = extremes(rows, layer.in_features)
    sums = q.double() @ layer.int8.double().T
    exact = torch.equal(layer.product(q), sums.float() * layer.scale[:, 0])
    return PRODUCTS[chosen_for(q, layer.out_features)], exact


if __name__ == "__main__":
    with torch.backends.mkldnn.verbose(VERBOSE):  # tells which instructions are in use
        torch.ones(8, 8).to_mkldnn()
    Path(sys.argv[1]).write_text(json.dumps(measure(int(sys.argv[2]))), encoding="utf-8")
