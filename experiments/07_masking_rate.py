"""How much to hide: masking rates in training, for two sizes of model, all scored on the same 15 % of blanks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean

from pretrain_lib import MaskedLM, TrainConfig, Trainer
from pretrain_lib.evaluation.counting import token_counts
from pretrain_lib.data.text.packing import PackedBlocks
from pretrain_lib.data.text.text_data import TextConfig, prepared, split_documents
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.masked import masked_scores
from pretrain_lib.evaluation.common_blanks import NAME, load_common_blanks
from pretrain_lib.models.init import start_at_unigram
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForMaskedLM

TITLE = "Masking rate in training and size of the model, scored at one common rate (after Wettig et al. 2023)"

PREDICTION = """(Written before anything of it was measured; a search for a recipe, on other speeches and longer runs of the larger model, had seen
0.3 and 0.4 do better than 0.15.) Models of 2 layers × 64 and of 4 layers × 128 read the same number of blocks at each rate, and fill the
same blanks, 15 % of the text. 1. For both sizes the best rate is 0.3 or 0.4, not 0.15: in a short run more predictions are worth more than
an intact context. 2. The larger model's best rate is not lower than the smaller one's: Wettig et al. find that larger models want more
masking. 3. At 0.6 both are worse than at their best."""

SEEDS = (31, 32, 33)
RATES = (0.15, 0.3, 0.4, 0.6)
SIZES = {"2 × 64": (2, 64), "4 × 128": (4, 128)}
STEPS, BATCH, LENGTH = 120, 4, 128
EVERY = 8  # of the blocks with committed blanks, every eighth is scored


def build(layers: int, width: int, vocab_size: int, seed: int) -> ModernBertForMaskedLM:
    """A model whose first half looks at neighbours, and whose second half sees everything."""
    types = ("sliding_attention",) * (layers // 2) + ("full_attention",) * (layers - layers // 2)
    return ModernBertForMaskedLM(ModernBertConfig(
        vocab_size=vocab_size, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=4,
        max_position_embeddings=512, local_attention=2, global_rope_theta=10_000.0, layer_types=types), seed)


def run(scale: str) -> dict:
    """Losses [size][rate][seed] on the same blanks."""
    small = scale == "smoke"
    steps, seeds, rates, few = (4, SEEDS[:1], RATES[:2], 64) if small else (STEPS, SEEDS, RATES, EVERY)
    _, tokenizer, blanks = load_common_blanks()
    blanks = blanks.every(few)
    losses = {size: {str(rate): [] for rate in rates} for size in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        _, dataset = prepared(TextConfig(), Path(folder) / "run")
        training, _ = split_documents(dataset, NAME)
        blocks, counts = PackedBlocks(training, LENGTH, special_ids(tokenizer)), token_counts(training, dataset.vocab_size)
        for seed in seeds:
            for size, shape in SIZES.items():
                for rate in rates:
                    model = build(*shape, dataset.vocab_size, seed)
                    start_at_unigram(model.decoder_bias, counts)
                    config = TrainConfig(steps=steps, batch_size=BATCH, optimizer="muon", learning_rate=1e-2, betas=(0.9, 0.98),
                                         weight_decay=0.01, schedule="linear", warmup_steps=max(1, steps // 20),
                                         gradient_clipping=1.0, seed=seed, precision="fp32", device="cpu")
                    Trainer(model, MaskedLM.of(tokenizer, rate=rate), blocks, config).fit()
                    losses[size][str(rate)].append(masked_scores(model, blanks).loss)
                    print(seed, size, rate, losses[size][str(rate)][-1], flush=True)
    return {"rates": list(rates), "losses": losses, "tokens": steps * BATCH * LENGTH, "blanks": blanks.blanks}


def best_rate(measured: dict, size: str) -> float:
    """The training rate of the lowest mean loss."""
    return min(measured["rates"], key=lambda rate: mean(measured["losses"][size][str(rate)]))


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    said, rates = {True: "held", False: "failed"}, measured["rates"]
    best = {size: best_rate(measured, size) for size in measured["losses"]}
    small, large = best.values()
    told = "; ".join(f"{size}: " + ", ".join(f"{rate:g} {mean(measured['losses'][size][str(rate)]):.3f}" for rate in rates)
                     for size in best)
    return (f"Mean loss by rate, {measured['tokens']} tokens read. {told}. 1. Best at 0.3 or 0.4 for both: "
            f"{said[set(best.values()) <= {0.3, 0.4}]} ({small:g} and {large:g}). 2. The larger model's best is not lower: "
            f"{said[large >= small]}. 3. 0.6 worse than the best for both: {said[0.6 not in best.values() and 0.6 in rates]}.")
