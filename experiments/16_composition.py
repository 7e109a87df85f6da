"""Combinations that training never showed: two towers beside classifiers of every part and the nearest picture that was seen."""

from __future__ import annotations

from functools import lru_cache
from math import log
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_lib import BagOfWords, BagOfWordsConfig, Batch, BertConfig, BertModel, Contrastive, Objective, ResNetConfig, ResNetModel, TwoTowers, ZeroShot
from pretrain_lib import cosine_scores, features, load_captioned, logits, measure_retrieval
from pretrain_lib.course.results import load_experiment
from pretrain_lib.data.images.captioned import CaptionedImages
from pretrain_lib.data.splits import held_out_pairs
from pretrain_lib.evaluation.classification import paired_bootstrap
from pretrain_lib.evaluation.uncertainty import over_seeds

shared = load_experiment("14-augmentations")

TITLE = "Letters with marks and coloured digits in combinations never seen: two towers, classifiers of every part, the nearest picture; and prompts"

PREDICTION = """(Known from a prototype with another program, one seed, the test's fonts seen in training: of letters held out R@1 77.8 % among 635 names, 19 %
of the answers were combinations of training; of coloured digits held out 85.4 %, seen 88.4, in 254 updates; prompts "three" 87.4, the mean of 8 colours 88.2.
Of this program one seed of the towers: letters held out R@1 64 % with a bag of words at a rate of 0.01 and 54 with a transformer at 0.003, seen combinations 85
and 82; digits held out 90 %, seen 96; of the pictures nearest to the first 300 held-out letters 91 % have the letter and 1 % the mark; nothing was tried of
classifiers.) The pool is all names, of training and held out. 1. Two towers with a bag of words name held-out letters at an R@1 of 55 % or more and held-out
digits of 80 or more, where chance is 0.15 and 1.25. 2. Of letters, seen combinations are ahead of held-out ones by 10 points or more; of digits by at most 10.
3. Classifiers of every part, at equal updates, are within 5 points of two towers in held-out combinations that are right as a whole, for letters and for
digits: composing is not what language adds. 4. Two towers lead the nearest picture by pixels by 50 points or more in the mark of held-out letters, clearly, and
by less than 10 in the letter: what is near is known by heart, what is new has to be composed. 5. Among held-out names only R@1 of letters is 10 points or more
above that among all: a pool that leaves seen names out flatters. 6. A transformer is within 5 points of the bag of words on held-out digits, and behind it on
held-out letters: order tells nothing here. 7. Of digits, the mean over 8 colours' prompts tells the digit better than the single word "three" by 0 to 3 points,
with a bag of words (Radford et al. 2021, section 3.1.4, found 3.5 for ImageNet). (Added when a trial had shown 40 % of held-out digits right by classifiers of every part, and 94 by
two towers:) 8. What makes the difference is not the words, but which answers are told apart. The same heads, whose sum for each name is put into one softmax over
the names that training shows, are within 5 points of two towers, for letters and for digits."""

SEEDS = (160, 161, 162)  # each has its own network and its own combinations that are held out
APART, APART_SHARE = 916, 0.15  # the seed that rates are chosen with, and the combinations of training that they are chosen on
ATTRIBUTES = {"letters": ("case", "letter", "mark"), "digits": ("colour", "digit")}  # the last two combine
UPDATES = {"letters": 400, "digits": 250}
BATCH, TEMPERATURE, PROJECTION = 128, 0.1, 64
LADDER, FIRST = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1), slice(3, 6)  # learning rates, and those tried at first
TOWERS, RIVALS = ("bag", "transformer"), ("classifiers", "one softmax", "nearest")
ARMS = tuple(f"{task}, {way}" for way in (*TOWERS, *RIVALS) for task in ATTRIBUTES)
SPLITS = ("test", "held out")
VIEWS = {"image": ["images"], "text": ["input_ids", "attention_mask"]}


class Task(NamedTuple):
    """Captioned pictures, and the pool: P names, with the numbers of their attributes (P, K), and which are seen in training (P,)."""

    train: CaptionedImages
    splits: dict[str, CaptionedImages]
    names: list[str]
    known: Tensor
    seen: Tensor

    def numbers(self, pictures: CaptionedImages) -> Tensor:
        """The place of each picture's name in the pool, (N,)."""
        place = {name: number for number, name in enumerate(self.names)}
        return torch.tensor([place[caption] for caption in pictures.captions])[pictures.caption]

    def names_of(self, pictures: CaptionedImages) -> list[str]:
        """Each picture's name, N of them."""
        return [pictures.captions[i] for i in pictures.caption.tolist()]


def task_of(name: str, train: CaptionedImages, splits: dict[str, CaptionedImages]) -> Task:
    parts = (train, *splits.values())
    names = sorted({part.captions[i] for part in parts for i in part.caption.unique().tolist()})
    task = Task(train, splits, names, torch.zeros(len(names), len(ATTRIBUTES[name]), dtype=torch.long), torch.zeros(len(names), dtype=torch.bool))
    for part in parts:
        task.known[task.numbers(part)] = torch.stack([part.columns[each] for each in ATTRIBUTES[name]], 1)
    task.seen[task.numbers(train)] = True
    return task


@lru_cache(maxsize=8)
def data(name: str, seed: int, small: bool) -> Task:
    """A seed's pictures; with the seed APART, combinations held out of its training stand for those of the test, of which none is seen."""
    train = load_captioned(name, seed=seed)
    if seed == APART:
        out = torch.from_numpy(held_out_pairs(*(train.columns[each].numpy() for each in ATTRIBUTES[name][-2:]), APART_SHARE, seed))
        train, splits = train.subset(torch.nonzero(~out)[:, 0]), {"held out": train.subset(torch.nonzero(out)[:, 0])}
    else:
        splits = {split: load_captioned(name, split, seed=seed) for split in SPLITS}
    if small:  # as many of training as have all names of the test
        train, splits = train.subset(range(2000)), {split: part.subset(range(150)) for split, part in splits.items()}
    return task_of(name, train, splits)


class Parts(Objective):
    """Cross-entropy of every attribute, added: one linear head for each, on one network."""

    def __init__(self, sizes: dict[str, int]):
        super().__init__()
        self.sizes = sizes

    def batch(self, samples, keys) -> Batch:
        return Batch({"images": samples["images"]}, {name: samples[name] for name in self.sizes}, {"cross_entropy": len(keys)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        heads = model(batch.inputs["images"]).split(list(self.sizes.values()), 1)
        return {"cross_entropy": sum(F.cross_entropy(head, batch.targets[name], reduction="sum") for name, head in zip(self.sizes, heads))}


class SeenNames(Parts):
    """Cross-entropy of the name among those that training shows, whose score is the sum of its attributes': what contrast does, without a text."""

    def __init__(self, sizes: dict[str, int], train: CaptionedImages):
        super().__init__(sizes)
        self.present, first = train.caption.unique(), [int((train.caption == number).nonzero()[0, 0]) for number in train.caption.unique()]
        self.known = torch.stack([train.columns[name][first] for name in sizes], 1)  # (S, K)

    def batch(self, samples, keys) -> Batch:
        return Batch({"images": samples["images"]}, {"name": torch.searchsorted(self.present, samples["caption"])}, {"cross_entropy": len(keys)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        heads = model(batch.inputs["images"]).split(list(self.sizes.values()), 1)
        scores = sum(head[:, self.known[:, k]] for k, head in enumerate(heads))  # (B, S)
        return {"cross_entropy": F.cross_entropy(scores, batch.targets["name"], reduction="sum")}


def image_network(train: CaptionedImages, seed: int) -> ResNetModel:
    return ResNetModel(ResNetConfig(train.image_shape[0], embedding_size=24, hidden_sizes=(24, 48, 96), depths=(1, 1, 1)), seed)


def text_network(way: str, train: CaptionedImages, seed: int) -> nn.Module:
    words = train.tokenizer.get_vocab_size()
    if way == "bag":
        return BagOfWords(BagOfWordsConfig(words, 64), seed)
    return BertModel(BertConfig(words, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, hidden_dropout_prob=0.0,
                                attention_probs_dropout_prob=0.0, max_position_embeddings=32, initializer_range=0.1), seed)  # fmt: skip


def trained(arm: str, task: Task, rate: float, seed: int, small: bool) -> tuple[nn.Module, float]:
    """The model of an arm after its updates, and its last loss."""
    name, way = arm.split(", ")
    image = image_network(task.train, seed)
    if way in TOWERS:
        model = TwoTowers(image, text_network(way, task.train, seed + 1), PROJECTION, seed)
        objective = Contrastive(VIEWS, TEMPERATURE, same="caption")
    else:
        sizes = {each: len(task.train.names[each]) for each in ATTRIBUTES[name]}
        objective = Parts(sizes) if way == "classifiers" else SeenNames(sizes, task.train)
        model = image.with_classifier(sum(objective.sizes.values()), seed)
    return model, shared.trained(model, objective, task.train, shared.recipe(3 if small else UPDATES[name], BATCH, rate, seed))


def nearest(task: Task, asked: Tensor, shown: Tensor) -> Tensor:
    """How near each picture's vector (N, D) is to the nearest picture of training (T, D) of each name; names of none are last: (N, P)."""
    near = -torch.cdist(asked, shown)
    places = task.numbers(task.train).expand(len(asked), -1)
    return torch.full((len(asked), len(task.names)), near.min().item() - 1).scatter_reduce(1, places, near, "amax")


def by_heads(name: str, task: Task, model: nn.Module, pictures: CaptionedImages) -> tuple[Tensor, Tensor]:
    """The logarithm of each name's probability, a product of its parts', (N, P), and the likeliest of every part, (N, K)."""
    sizes = [len(task.train.names[each]) for each in ATTRIBUTES[name]]
    heads = [head.log_softmax(1) for head in logits(model, pictures).split(sizes, 1)]
    return sum(head[:, task.known[:, k]] for k, head in enumerate(heads)), torch.stack([head.argmax(1) for head in heads], 1)


def answered(name: str, task: Task, pictures: CaptionedImages, scores: Tensor, parts: Tensor | None = None) -> dict:
    """What scores of all names (N, P), and the parts of the answers (N, K) where they are not those of the best name, get right, (N,) each."""
    asked, best = task.numbers(pictures), scores.argmax(1)
    alike = torch.nonzero(task.seen == task.seen[asked[0]])[:, 0]  # the names of this split's kind
    among = {"all": measure_retrieval(scores, asked, (1, 5)), "its kind": measure_retrieval(scores[:, alike], torch.searchsorted(alike, asked), (1, 5))}
    right = (task.known[best] if parts is None else parts) == task.known[asked]  # (N, K)
    return {**{f"R@{k} among {pool}": found.hit[k] for pool, found in among.items() for k in (1, 5)}, "answers seen": task.seen[best].float(),
            **{each: right[:, k].float() for k, each in enumerate(ATTRIBUTES[name])}, "together": right.all(1).float()}  # fmt: skip


def prompts(task: Task) -> dict[str, dict[str, dict[str, list[str]]]]:
    """{attribute: {way: {class: its prompts}}} of coloured digits."""
    colours, digits = (task.train.names[each] for each in ATTRIBUTES["digits"])
    trained_on = {name for name, seen in zip(task.names, task.seen.tolist()) if seen}

    def ways(kinds: list[str], full) -> dict:
        return {"word": {kind: [kind] for kind in kinds}, "a word": {kind: [f"a {kind}"] for kind in kinds}, "mean of all": {kind: full(kind) for kind in kinds},
                "mean of seen": {kind: [text for text in full(kind) if text in trained_on] for kind in kinds}}  # fmt: skip

    return {"digit": ways(digits, lambda digit: [f"a {colour} {digit}" for colour in colours]),
            "colour": ways(colours, lambda colour: [f"a {colour} {digit}" for digit in digits])}  # fmt: skip


def prompted(task: Task, model: nn.Module, pictures: CaptionedImages) -> dict[str, Tensor]:
    """Whether prompts of each way tell the digit and the colour of each picture, (N,)."""
    return {f"{attribute}, {way}": (ZeroShot(model, {kind: task.train.encode(texts) for kind, texts in classes.items()})(pictures) == pictures.columns[attribute]).float()
            for attribute, ways in prompts(task).items() for way, classes in ways.items()}  # fmt: skip


def told_by(arm: str, task: Task, model: nn.Module | None = None) -> dict[str, dict[str, dict]]:
    """{split: what is asked}: an arm's answers and, of two towers, those of the nearest picture by their image tower, and of prompts."""
    name, way = arm.split(", ")
    if way in ("classifiers", "one softmax"):
        return {split: {"answers": answered(name, task, part, *by_heads(name, task, model, part))} for split, part in task.splits.items()}

    def vectors(pictures: CaptionedImages) -> Tensor:
        return pictures.images.flatten(1).float() / 255 if way == "nearest" else F.normalize(features(model.towers["image"], pictures), dim=1)

    shown, found = vectors(task.train), {}
    for split, part in task.splits.items():
        asked = vectors(part)
        by_picture = answered(name, task, part, nearest(task, asked, shown))
        if way == "nearest":
            found[split] = {"answers": by_picture}
            continue
        texts = features(model.towers["text"], task.train.encode(task.names))
        found[split] = {"answers": answered(name, task, part, cosine_scores(asked, texts)), "nearest, learned": by_picture}
        if name == "digits":
            found[split]["prompts"] = prompted(task, model, part)
    return found


def best_rate(score, small: bool) -> dict:
    """The rate that scores best; while that is the lowest or the highest one tried, the next one is tried, too."""
    tried = {rate: score(rate) for rate in (LADDER[FIRST][:1] if small else LADDER[FIRST])}
    while (best := max(tried, key=tried.get)) in (min(tried), max(tried)) and best in LADDER[1:-1] and not small:
        further = LADDER[LADDER.index(best) + (1 if best == max(tried) else -1)]
        tried[further] = score(further)
    return {"rate": best, "scores": tried}


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rate that was chosen, and each seed's run."""
    name, way = arm.split(", ")

    def score(rate: float) -> float:
        task = data(name, APART, small)
        found = told_by(arm, task, trained(arm, task, rate, APART, small)[0])
        return found["held out"]["answers"]["together"].mean().item()

    setting, runs = {} if way == "nearest" else best_rate(score, small), []
    for seed in SEEDS[:2] if small else SEEDS:
        task = data(name, seed, small)
        model, loss = trained(arm, task, setting["rate"], seed, small) if setting else (None, None)
        names = {split: task.names_of(part) for split, part in task.splits.items()}
        pool = {"all": len(task.names), "test": int(task.seen.sum()), "held out": int((~task.seen).sum())}
        runs.append({"loss": loss, "pool": pool, "names": names, **told_by(arm, task, model)})
    return {"setting": setting, "runs": runs}


def resamples(small: bool) -> int:
    return 200 if small else 10_000


def lead_of(ours: list[Tensor], theirs: list[Tensor], names: list[list[str]], draws: int = 10_000) -> list[list[float]]:
    """As `uncertainty.lead`, where every seed has pictures of its own (N_s,): names are drawn anew, with all their pictures in all seeds."""
    over_names = paired_bootstrap(torch.cat(ours), torch.cat(theirs), [name for some in names for name in some], draws)
    over = over_seeds(*([right.mean().item() for right in side] for side in (ours, theirs)))
    return [[over.difference, *over_names[1:]], list(over)]


def finish(parts: dict, small: bool = False) -> dict:
    """Accuracies of each seed, losses, sizes of pools, and the leads."""
    def over(split: str, ours: tuple, theirs: tuple) -> list:
        sides = ([run[split][kind][what] for run in parts[arm]["runs"]] for arm, kind, what in (ours, theirs))
        return lead_of(*sides, [run["names"][split] for run in parts[ours[0]]["runs"]], resamples(small))

    accuracy = {arm: {split: {kind: {what: [run[split][kind][what].mean().item() for run in part["runs"]] for what in found}
                              for kind, found in part["runs"][0][split].items()} for split in SPLITS} for arm, part in parts.items()}  # fmt: skip
    pairs = (*((way, rival) for way in TOWERS for rival in RIVALS), TOWERS[::-1])
    leads = {f"{name}, {split}, {what}, {way} over {rival}": over(split, (f"{name}, {way}", "answers", what), (f"{name}, {rival}", "answers", what))
             for name, attributes in ATTRIBUTES.items() for way, rival in pairs
             for split, asked in (("test", ("together",)), ("held out", ("together", "R@1 among all", *attributes))) for what in asked}  # fmt: skip
    leads |= {f"{name}, held out, {what}, bag over nearest, learned": over("held out", (f"{name}, bag", "answers", what), (f"{name}, bag", "nearest, learned", what))
              for name, attributes in ATTRIBUTES.items() for what in attributes}
    leads |= {f"{arm}, {split}, {attribute}, {way} over word": over(split, (arm, "prompts", f"{attribute}, {way}"), (arm, "prompts", f"{attribute}, word"))
              for arm in (f"digits, {way}" for way in TOWERS) for split in SPLITS for attribute in ATTRIBUTES["digits"]
              for way in ("a word", "mean of all", "mean of seen")}  # fmt: skip
    pools = {name: [run["pool"] for run in parts[f"{name}, bag"]["runs"]] for name in ATTRIBUTES}
    return {"device": "cpu", "batch": BATCH, "updates": UPDATES, "pools": pools, "chance": {name: 1 / pool[0]["all"] for name, pool in pools.items()},
            "chance_loss": log(BATCH), "setting": {arm: part["setting"] for arm, part in parts.items()},
            "loss": {arm: [run["loss"] for run in part["runs"]] for arm, part in parts.items()}, "accuracy": accuracy, "leads": leads}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def points(found) -> str:
    """A lead with both its intervals, in points."""
    return shared.points(found).replace("images", "names")


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, leads, is_clear = {True: "held", False: "failed"}, measured["leads"], shared.is_clear

    def at(arm: str, split: str, what: str = "together", kind: str = "answers") -> float:
        return mean(measured["accuracy"][arm][split][kind][what])

    def of(name: str, what: str, pair: str):
        return leads[f"{name}, held out, {what}, {pair}"]

    def line(arm: str) -> str:
        whole, five, seen = (100 * at(arm, "held out", what) for what in ("together", "R@5 among all", "answers seen"))
        parts = ", ".join(f"{part} {100 * at(arm, 'held out', part):.1f}" for part in ATTRIBUTES[arm.split(", ")[0]])
        return f"{arm}: seen {100 * at(arm, 'test'):.1f}, held out {whole:.1f} ({parts}), R@5 {five:.1f}, answers seen {seen:.0f}"

    bags = {name: f"{name}, bag" for name in ATTRIBUTES}
    first = {name: at(arm, "held out", "R@1 among all") for name, arm in bags.items()}
    gap = {name: at(arm, "test", "R@1 among all") - first[name] for name, arm in bags.items()}
    rivals = {name: of(name, "together", "bag over classifiers") for name in bags}
    heads = {name: of(name, "together", "bag over one softmax") for name in bags}
    mark, letter = (of("letters", part, "bag over nearest") for part in ("mark", "letter"))
    kind, texts = at(bags["letters"], "held out", "R@1 among its kind"), {name: of(name, "R@1 among all", "transformer over bag") for name in bags}
    prompt = leads["digits, bag, held out, digit, mean of all over word"]
    behind = all(high < 0 for _, _, high, _ in texts["letters"])
    return (f"Right as a whole in %: {'; '.join(map(line, ARMS))}. 1. R@1 held out, letters {100 * first['letters']:.1f} %, digits {100 * first['digits']:.1f}: "
            f"{said[first['letters'] >= 0.55 and first['digits'] >= 0.8]}. "
            f"2. Seen above held out, letters {100 * gap['letters']:.1f} points, digits {100 * gap['digits']:.1f}: "
            f"{said[gap['letters'] >= 0.1 and gap['digits'] <= 0.1]}. "
            f"3. Two towers over classifiers, letters {points(rivals['letters'])}, digits {points(rivals['digits'])}: "
            f"{said[all(abs(found[0][0]) <= 0.05 for found in rivals.values())]}. "
            f"4. Over the nearest picture, mark {points(mark)}, letter {points(letter)}: {said[is_clear(mark) and mark[0][0] >= 0.5 and letter[0][0] < 0.1]}. "
            f"5. Among held-out names {100 * kind:.1f} %, among all {100 * first['letters']:.1f}: {said[kind - first['letters'] >= 0.1]}. "
            f"6. Transformer over bag, digits {points(texts['digits'])}, letters {points(texts['letters'])}: {said[abs(texts['digits'][0][0]) <= 0.05 and behind]}. "
            f"7. Mean of 8 colours over the word {points(prompt)}: {said[0 <= prompt[0][0] <= 0.03]}. "
            f"8. Two towers over one softmax, letters {points(heads['letters'])}, digits {points(heads['digits'])}: {said[all(abs(found[0][0]) <= 0.05 for found in heads.values())]}.")  # fmt: skip
