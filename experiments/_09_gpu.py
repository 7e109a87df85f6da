"""BERT-base and ModernBERT-base on one GPU: utilisation, against transformers, and float16 with a scaled loss against float32."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median

import torch
from torch import nn

from pretrain_lib import BertConfig, BertForMaskedLM, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, TrainConfig, Trainer
from pretrain_lib import load_pretrained, save_pretrained
from pretrain_lib.bench.encoder import SPECIAL, Size
from pretrain_lib.bench.ladder import labels_in_place, peak_flops
from pretrain_lib.bench.products import Products
from pretrain_lib.bench.timing import interleaved, ratio
from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.text import token_loss
from pretrain_lib.models.precision import autocast, choose_device

TITLE = "MFU and speed of BERT-base and ModernBERT-base on a GPU, and float16 with loss scaling against float32"

PREDICTION = """On one GPU of the H100 class, bf16, compiled, dropout 0, the same weights and batches for all. 1. At T=512 the model FLOPs utilisation is at least 0.50
for both forms, of what large bf16 products alone manage. 2. A step is at least 1.3 times as fast as that of transformers' model, compiled, with SDPA, in bf16, because the vocabulary is projected
to at blanks only. 3. Our trainer is at least twice as fast as transformers' with its defaults. 4. Training in float16 with a scaled loss ends within 0.05 nats of float32, for each seed."""

SEEDS = (0, 1, 2)
ROUNDS, UPDATES = 7, 20
CONVERGENCE = 300  # updates of the comparison of formats
PER_LENGTH = {128: 256, 512: 64}  # sequences in a batch


@dataclass(frozen=True)
class Form:
    """A model to time: its configuration, and whose class it is in transformers."""

    ours: type
    config: BertConfig | ModernBertConfig
    theirs: str


def forms(small: bool) -> dict[str, Form]:
    tiny = {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64}
    base = {"hidden_size": 768, "num_attention_heads": 12, "max_position_embeddings": 512}
    of_bert = base | {"vocab_size": 30522, "num_hidden_layers": 12, "intermediate_size": 3072}  # Devlin et al. 2019
    of_modern = base | {"vocab_size": 50368, "num_hidden_layers": 22, "intermediate_size": 1152}  # Warner et al. 2024
    bert = BertConfig(**(tiny if small else of_bert), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    modern = ModernBertConfig(**(tiny if small else of_modern))
    return {"BERT-base": Form(BertForMaskedLM, bert, "BertForMaskedLM"), "ModernBERT-base": Form(ModernBertForMaskedLM, modern, "ModernBertForMaskedLM")}


def update(model: nn.Module, loss_of: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """One update in bf16: forwards, backwards, clipped, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    device = next(model.parameters()).device

    def step() -> None:
        with autocast("bf16", device):
            loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def steps_of(form: Form, length: int, batch_size: int, device: torch.device, compiled: bool, folder: str) -> dict:
    """Steps of both libraries from the same weights and batch, and what ours must multiply."""
    import transformers

    vocabulary = form.config.vocab_size
    texts = Size(length=length, vocab_size=vocabulary).texts(batch_size)
    keys = Keys.of(0, batch_size)
    batch = MaskedLM(SPECIAL, vocabulary).batch(texts.take(keys), keys).to(device)
    save_pretrained(form.ours(form.config), folder)
    ours = load_pretrained(folder).to(device).train()
    theirs = getattr(transformers, form.theirs).from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).to(device).train()
    labels = labels_in_place(batch.inputs["positions"], batch.targets["labels"], length)
    with Products() as products, autocast("bf16", device):
        token_loss(ours(**batch.inputs), batch.targets["labels"]).backward()
    ours.zero_grad(set_to_none=True)
    if compiled:
        ours.compile(dynamic=False)
        theirs.compile(dynamic=False)
    blanks = batch.counts["masked_lm"]
    calls = {"ours": update(ours, lambda: token_loss(ours(**batch.inputs), batch.targets["labels"]) / blanks),
             "transformers": update(theirs, lambda: theirs(input_ids=batch.inputs["input_ids"], labels=labels).loss)}
    return {"calls": calls, "flops": products.flops}


def trainers(form: Form, length: int, batch_size: int, device: torch.device, compiled: bool, folder: str) -> dict[str, Callable]:
    """Some updates by our trainer, and by transformers' with its defaults."""
    import transformers

    vocabulary = form.config.vocab_size
    texts = Size(length=length, vocab_size=vocabulary).texts(4 * batch_size)
    rows = [{"input_ids": ids} for ids in texts.take(Keys.of(0, 4 * batch_size))["input_ids"]]
    config = TrainConfig(steps=UPDATES if compiled else 2, batch_size=batch_size, learning_rate=1e-4, schedule="constant", gradient_clipping=1.0,
                         precision="bf16", compile=compiled, device=str(device), workers=4 if compiled else 0, log_every=UPDATES)
    ours = form.ours(form.config)
    save_pretrained(ours, folder)
    theirs = getattr(transformers, form.theirs).from_pretrained(folder, dtype=torch.float32)
    mask = MaskedLM(SPECIAL, vocabulary)

    def collate(examples: list[dict]) -> dict:
        keys = Keys.of(0, len(examples))
        hidden = mask.mask(torch.stack([example["input_ids"] for example in examples]), keys)
        labels = labels_in_place(hidden.positions, hidden.labels, length)
        return {"input_ids": hidden.input_ids, "labels": labels}

    def loop() -> None:
        arguments = transformers.TrainingArguments(folder, max_steps=config.steps, per_device_train_batch_size=batch_size, learning_rate=1e-4,
                                                   use_cpu=device.type == "cpu", save_strategy="no", report_to=[], logging_strategy="no", disable_tqdm=True)
        transformers.Trainer(model=theirs, args=arguments, data_collator=collate, train_dataset=rows).train()

    return {"ours": lambda: Trainer(ours, mask, texts, config).fit(), "transformers": loop}


def final_losses(precision: str, updates: int, seed: int, device: torch.device) -> float:
    """The mean masked loss of the last tenth of a short run on one set of random texts, learned by heart."""
    size = Size(layers=2, hidden_size=64, length=32, vocab_size=256)
    config = TrainConfig(steps=updates, batch_size=32, learning_rate=3e-3, precision=precision, seed=seed, gradient_clipping=1.0, device=str(device), log_every=1)
    torch.manual_seed(seed)
    losses = Trainer(size.model(), size.objective(), size.texts(64), config).fit().losses
    return mean(losses[-max(1, updates // 10):])


def run(scale: str) -> dict:
    """Times {form: {length: {who: seconds}}}, and final losses {precision: [seed]}."""
    small = scale == "smoke"
    device = choose_device("auto")
    if device.type != "cuda" and not small:
        raise ValueError("this experiment is about a GPU, and there is none here: use --scale smoke to see it run")
    os.environ["TQDM_DISABLE"] = "1"
    rounds, updates, seeds = (2, 4, SEEDS[:1]) if small else (ROUNDS, CONVERGENCE, SEEDS)
    sizes = {32: 4} if small else PER_LENGTH
    peak = 1e11 if small else peak_flops("bf16", device)
    found: dict = {}
    for name, form in forms(small).items():
        for length, batch_size in sizes.items():
            with tempfile.TemporaryDirectory() as folder:
                made = steps_of(form, length, batch_size, device, not small, folder)
                seconds = interleaved(made["calls"], rounds, warm_up=3)
                torch.compiler.reset()
                whole = interleaved(trainers(form, length, batch_size, device, not small, folder), max(1, rounds // 2))
            found.setdefault(name, {})[str(length)] = {
                "batch_size": batch_size, "seconds": seconds, "trainer_seconds": whole, "flops": made["flops"],
                "mfu": made["flops"] / median(seconds["ours"]) / peak, "speedup": ratio(seconds, "transformers", "ours"),
                "trainer_speedup": ratio(whole, "transformers", "ours"), "tokens_per_second": batch_size * length / median(seconds["ours"])}
            print(name, length, found[name][str(length)], flush=True)
    losses = {precision: [final_losses(precision, updates, seed, device) for seed in seeds] for precision in ("fp32", "fp16")}
    return {"forms": found, "losses": losses, "peak_flops": peak}


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    said = {True: "held", False: "failed"}
    longest = {name: lengths[max(lengths, key=int)] for name, lengths in measured["forms"].items()}
    every = [one for lengths in measured["forms"].values() for one in lengths.values()]
    apart = max(abs(a - b) for a, b in zip(measured["losses"]["fp16"], measured["losses"]["fp32"]))
    return ("1. MFU at the greatest length: " + ", ".join(f"{name} {one['mfu']:.2f}" for name, one in longest.items())
            + f", {said[all(one['mfu'] >= 0.5 for one in longest.values())]}. 2. A step {min(one['speedup'] for one in every):.2f} times as fast or more, "
            f"{said[all(one['speedup'] >= 1.3 for one in every)]}. 3. The trainer {min(one['trainer_speedup'] for one in every):.2f} times or more, "
            f"{said[all(one['trainer_speedup'] >= 2 for one in every)]}. 4. float16 and float32 end {apart:.3f} nats apart at most, {said[apart <= 0.05]}.")
