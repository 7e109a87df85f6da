"""Masked models as writers, in languages whose entropy is known: what a text costs them, and what the texts that they write cost."""

from __future__ import annotations

import time
from math import inf
from statistics import mean

import torch
from torch import Tensor, nn

from pretrain_lib import CausalLM, HiddenMarkovLanguage, Keys, MaskedDiffusion, MaskedLM, ModernBertConfig, ModernBertForCausalLM, ModernBertForMaskedLM
from pretrain_lib import Objective, TrainConfig, Trainer, sample_causal, sample_masked
from pretrain_lib.data.source import Samples
from pretrain_lib.data.text.hidden_markov import SPECIAL
from pretrain_lib.evaluation.bayes import BayesOptimal, filtered
from pretrain_lib.evaluation.text_cost import is_causal, random_order_bound, text_costs

TITLE = "Masked diffusion, a masked model at 15 % and a causal one on hidden-Markov languages: nats a token above the entropy, and steps against quality"

PREDICTION = """(Known from a prototype with another program, one language, one seed: entropy 2.515 nats a token, bound of the optimal denoiser 2.503 ± .018, causal
2.525, diffusion 2.599, masked at 15 % 2.853; samples of the optimal denoiser in random order 2.496 with 64 steps, 2.729 with 16, 3.547 with 4, 6.119 with 1,
and 1.280 with 64 steps and the surest first, with 5 distinct tokens a sentence where the language has 22.) Models of one size read as many sentences, each
with a rate of its own, chosen in a language set apart. On sentences of three languages drawn afresh: 1. The bound of the optimal denoiser is what the
sentences cost, within three standard errors in each: for answers of one joint distribution Jensen's inequality is an equality (Uria et al. 2014). 2. Above
that the causal model ends by less than 0.05 nats a token, diffusion by at least 0.03 more than the causal model, and masked at 15 % by at least 0.1 more than
diffusion, in each language (Sahoo et al. 2024, section 5.1, in sign: perplexities of 22 and at most 35 and 78 on C4). 3. In random order, one token a step, the optimal denoiser writes sentences that cost what
those of the language cost, within three standard errors; with 16 steps they cost at least 0.1 nats a token more, with 4 at least 0.5: a perfect network pays
for what it writes at once. 4. The surest first, one token a step, the optimal denoiser writes sentences that cost at least 0.5 nats less than the language's,
and the entropy of their tokens is at least 1 nat lower: what is easily predicted is not what is like the language (Zheng et al. 2025, in sign). 5. Texts of
diffusion in random order, one token a step, cost less than those of the masked model at 15 %, and both more than the language's, in each language."""

SEEDS = (191, 192, 193)  # of the languages and of the first weights
APART = 919  # of the language that rates are chosen in
LANGUAGE = {"states": 48, "vocab_size": 133, "length": 64}
MODEL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 66,
         "local_attention": 2, "global_rope_theta": 10_000.0, "initializer_range": 0.125, "layer_types": ("sliding_attention", "full_attention")}  # fmt: skip
STEPS, BATCH = 1000, 32
RATES = (3e-3, 1e-2, 3e-2)
HELD_OUT, CHOSEN_ON, ORDERS = 1000, 256, 8
WRITTEN, WRITING_STEPS = 256, (1, 4, 16, 64)
TRAINED = ("diffusion", "masked at 15 %", "causal")
ARMS = (*TRAINED, "optimal")


class Around:
    """The sentences of a language between [CLS] and [SEP]."""

    def __init__(self, language: HiddenMarkovLanguage):
        self.language = language

    def __len__(self) -> int:
        return len(self.language)

    def take(self, keys: Keys) -> Samples:
        ids = self.language.take(keys)["input_ids"]  # (B, T)
        ends = [torch.full((len(ids), 1), end) for end in (SPECIAL.cls, SPECIAL.sep)]
        return {"input_ids": torch.cat([ends[0], ids, ends[1]], 1)}


def setup(arm: str, vocab_size: int, seed: int) -> tuple[nn.Module, Objective]:
    config = ModernBertConfig(vocab_size=vocab_size, **MODEL)
    if arm == "causal":
        return ModernBertForCausalLM(config, seed), CausalLM()
    objective = MaskedDiffusion(SPECIAL, vocab_size) if arm == "diffusion" else MaskedLM(SPECIAL, vocab_size, 0.15, replace=(1.0, 0.0, 0.0))
    return ModernBertForMaskedLM(config, seed), objective


def language_of(seed: int, steps: int) -> HiddenMarkovLanguage:
    return HiddenMarkovLanguage(**LANGUAGE, seed=seed, sentences=steps * BATCH)


def trained(arm: str, rate: float, seed: int, steps: int) -> nn.Module:
    language = language_of(seed, steps)
    model, objective = setup(arm, language.vocab_size, seed)
    config = TrainConfig(steps=steps, batch_size=BATCH, optimizer="muon", learning_rate=rate, betas=(0.9, 0.98), weight_decay=0.01, schedule="linear",
                         warmup_steps=max(1, steps // 20), gradient_clipping=1.0, seed=seed, precision="fp32", device="cpu")  # fmt: skip
    Trainer(model, objective, Around(language), config).fit()
    return model.eval()


def held_out(language: HiddenMarkovLanguage, number: int) -> Tensor:
    return language.held_out(number).take(Keys.of(0, number))["input_ids"]


def chosen(arm: str, small: bool) -> dict:
    """The rate that ends lowest in the language set apart, where all are known."""
    steps, number = (4, 8) if small else (STEPS, CHOSEN_ON)
    texts = held_out(language_of(APART, steps), number).tolist()
    scores = {rate: text_costs(trained(arm, rate, APART, steps), texts, SPECIAL, ORDERS).mean().item() / LANGUAGE["length"]
              for rate in RATES[: 1 if small else None]}  # fmt: skip
    return {"rate": min(scores, key=scores.get), "scores": scores}


def mean_and_error(values: Tensor) -> list[float]:
    return [values.mean().item(), (values.std() / len(values) ** 0.5).item()]


def described(language: HiddenMarkovLanguage, ids: Tensor) -> dict:
    """What sentences cost under the language, nats a token; the entropy of their tokens; how many differ in a sentence."""
    share = torch.bincount(ids.flatten(), minlength=language.vocab_size).double() / ids.numel()
    return {"cost": mean_and_error(filtered(language.model, ids).surprise.mean(1)), "entropy": -torch.special.xlogy(share, share).sum().item(),
            "distinct": mean(len(row.unique()) for row in ids)}  # fmt: skip


def written(model: nn.Module, language: HiddenMarkovLanguage, seed: int, small: bool) -> dict:
    """Of sentences that a model writes, by order and steps."""
    number, steps = (4, WRITING_STEPS[:2]) if small else (WRITTEN, WRITING_STEPS)
    keys, length = Keys.of(seed, number), language.length
    if is_causal(model):
        begin = torch.full((number, 1), SPECIAL.cls)
        return {"left to right": {length: described(language, sample_causal(model, begin, length, SPECIAL, keys)[:, 1:])}}
    blank = torch.tensor([[SPECIAL.cls, *[SPECIAL.mask] * length, SPECIAL.sep]]).repeat(number, 1)
    return {order: {n: described(language, sample_masked(model, blank, SPECIAL, keys, n, order)[:, 1:-1]) for n in steps} for order in ("random", "confident")}


def one_seed(arm: str, rate: float | None, seed: int, small: bool) -> dict:
    """What sentences cost a model, above what they cost under the language, and what it writes."""
    steps, number = (4, 16) if small else (STEPS, HELD_OUT)
    language, start = language_of(seed, steps), time.process_time()
    model = BayesOptimal(language) if rate is None else trained(arm, rate, seed, steps)
    trained_for = time.process_time() - start
    ids = held_out(language, number)
    exact = filtered(language.model, ids).surprise.mean(1)  # (N,)
    draws = text_costs(model, ids.tolist(), SPECIAL)[:, None] if is_causal(model) else random_order_bound(model, ids.tolist(), SPECIAL, ORDERS)
    draws = draws / language.length  # (N, draws)
    found = {"exact": mean_and_error(exact), "cost": mean_and_error(draws.mean(1)), "above": mean_and_error(draws.mean(1) - exact),
             "by_share": draws.mean(0).tolist(), "language": described(language, ids), "written": written(model, language, seed, small)}  # fmt: skip
    return found | {"cpu_seconds": {"training": round(trained_for, 1), "all": round(time.process_time() - start, 1)}}


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rate that was chosen, and each seed's run."""
    setting = chosen(arm, small) if arm in TRAINED else {}
    return {"setting": setting, "runs": [one_seed(arm, setting.get("rate"), seed, small) for seed in (SEEDS[:1] if small else SEEDS)]}


def finish(parts: dict, small: bool = False) -> dict:
    """Costs, in nats a token, each with its standard error, of each seed."""
    runs = {arm: part["runs"] for arm, part in parts.items()}
    told = {what: {arm: [run[what] for run in each] for arm, each in runs.items()} for what in ("cost", "above", "by_share", "written", "cpu_seconds")}
    first = runs["optimal"]
    return {"device": "cpu", "tokens": (4 if small else STEPS) * BATCH * LANGUAGE["length"], "setting": {arm: part["setting"] for arm, part in parts.items()},
            "orders": ORDERS, "exact": [run["exact"] for run in first], "language": [run["language"] for run in first], **told}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def by_steps(measured: dict, arm: str, order: str, what: str = "cost") -> dict[int, list]:
    """For each number of steps, what the texts of an arm are like, of each seed."""
    each = measured["written"][arm]
    return {int(n): [run[order][n][what] for run in each] for n in each[0][order]}


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, above = {True: "held", False: "failed"}, measured["above"]
    optimal, causal, diffusion, masked = (above[arm] for arm in ("optimal", "causal", "diffusion", "masked at 15 %"))
    random, surest = (by_steps(measured, "optimal", order) for order in ("random", "confident"))
    most = max(random)  # one token a step
    language = [one["cost"] for one in measured["language"]]
    off = [abs(w[0] - s[0]) / (w[1] ** 2 + s[1] ** 2) ** 0.5 for w, s in zip(random[most], language, strict=True)]

    def more(found: list) -> float:
        """By how much texts cost more than the language's, in the language where it is least."""
        return min(w[0] - s[0] for w, s in zip(found, language, strict=True))

    few, fewer = (more(random[n]) if n in random else -inf for n in (16, 4))
    entropies = by_steps(measured, "optimal", "confident", "entropy")[most]
    lower = min(one["entropy"] - entropy for one, entropy in zip(measured["language"], entropies, strict=True))
    ends = {arm: by_steps(measured, arm, "random")[most] for arm in ("diffusion", "masked at 15 %")}
    apart = min(m[0] - d[0] for d, m in zip(ends["diffusion"], ends["masked at 15 %"], strict=True))
    told = ", ".join(f"{arm} {mean(value for value, _ in found):.3f}" for arm, found in measured["cost"].items())
    second = (max(c[0] for c in causal), min(d[0] - c[0] for c, d in zip(causal, diffusion, strict=True)),
              min(m[0] - d[0] for d, m in zip(diffusion, masked, strict=True)))  # fmt: skip
    return (f"{measured['tokens']} tokens read; sentences cost {mean(value for value, _ in measured['exact']):.3f} nats a token, {told}. "
            f"1. The optimal bound is off by at most {max(abs(value / error) for value, error in optimal):.1f} standard errors: "
            f"{said[all(abs(value) <= 3 * error for value, error in optimal)]}. 2. Causal ends by at most {second[0]:.3f} above, diffusion by at least "
            f"{second[1]:.3f} above causal, masked at 15 % by at least {second[2]:.3f} above diffusion: "
            f"{said[second[0] < 0.05 and second[1] >= 0.03 and second[2] >= 0.1]}. 3. One token a step, optimal texts are off by at most {max(off):.1f} "
            f"standard errors; with 16 steps they cost at least {few:.2f} nats more, with 4 {fewer:.2f}: "
            f"{said[max(off) <= 3 and few >= 0.1 and fewer >= 0.5]}. 4. The surest first they cost at least {-max(w[0] - s[0] for w, s in zip(surest[most], language, strict=True)):.2f} nats less, and the "
            f"entropy of their tokens is at least {lower:.2f} lower: "
            f"{said[max(w[0] - s[0] for w, s in zip(surest[most], language, strict=True)) <= -0.5 and lower >= 1]}. 5. Texts of the masked model cost at least "
            f"{apart:.3f} nats more than those of diffusion, which cost at least {more(ends['diffusion']):.3f} more than the language's: "
            f"{said[apart > 0 and more(ends['diffusion']) > 0]}.")  # fmt: skip
