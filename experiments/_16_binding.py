"""Two coloured digits and their captions: whether colour is bound to digit, what is missing where it is not, and what mends it."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import log
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain_lib import BagOfWords, BagOfWordsConfig, BertConfig, BertModel, Columns, Contrastive, Keys, LinearProbe, ResNetConfig, ResNetModel, Trainer, TwoTowers
from pretrain_lib import cosine_scores, encode_texts, features, measure_retrieval, word_tokenizer
from pretrain_lib.course.results import load_experiment
from pretrain_lib.data.scenes.captions import COLOURS, NUMBERS, ColouredDigits, captions_of
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.objectives.pairwise import info_nce
from pretrain_lib.training.log import Pace

shared = load_experiment("14-augmentations")

TITLE = "Two coloured digits: the true caption against the same words with colours swapped, by text tower, image vector, loss and first weights"

PREDICTION = """(Known from a prototype with another program, one seed: a transformer tells the true caption from that with colours swapped in 49.0 % of
pictures after 385 updates, and in 49.5 where the swapped caption is among the negatives; one wrong colour 99.6 %. Of this program trials with one seed. "Left
of": a transformer 100 % after 200 updates, when the left digit is read in 47 %. "And", 600 updates, seen combinations and those held out: transformer 75.6 and
76.2 % at a rate of 0.003, 84.0 and 84.1 at 0.01; first weights of 0.02 49.6 and 49.3; swapped captions 84.8 and 54.9, those that occur 87.3 and 79.7; swapped
pictures 84.8 and 76.5; neighbours 92.2 and 39.7; lists of objects 100 with either text tower, and after first weights of 0.02 56.1, or 100 where captions that
occur are swapped (with pixels 51.5); lists of properties 48.3; "left of" 100 with colours swapped and 95.9 with digits; the bag 50.0.) 1. A transformer whose
first weights have a deviation of 0.1, about one over the root of its width, binds with plain contrast: 75 % or more, and 75 of what is held out. 2. With 0.02,
BERT's deviation, made for a width of 768, it stays at 55 % or less in as many updates, at a rate of its own. 3. There swapped captions that occur end the wait
with a list of objects, and lead by 30 points, clearly; with pixels they do not, and it stays at 60 % or less. 4. After the larger start swapped captions are
within 5 points of plain contrast, and fall 10 or more behind it on what is held out: a third of them say what no picture shows, and are wrong for that alone
(Hsieh et al. 2023). 5. Those that occur lead all swapped captions by 10 points there, clearly. 6. Swapped pictures are within 5 points of plain contrast. 7.
Neighbours lead the transformer by 3 points, clearly, and are below 50 % held out: what stands side by side is a word of its own, and new pairs have none. 8.
With "left of" it gets 99 % or more with colours swapped, and 3 less with digits: a colour in another place gives the caption away, and nothing need be bound.
9. With a list of its objects for the picture either text tower gets 95 % or more; with a list of properties in places 55 or less, with words that could bind:
there the image lacks it. 10. The bag gets 50 % exactly."""

SEEDS = (160, 161, 162)  # each has its own networks, pictures, and combinations of colour and digit that are held out
SHAPE = ResNetConfig(embedding_size=16, hidden_sizes=(16, 32, 64), depths=(1, 1, 1))
SIZE = 64  # of word vectors, and of the space of both towers
BATCH, STEPS, TEMPERATURE = 128, 600, 0.1
SEEN_EVERY = 100  # updates
RATES = (3e-3, 1e-3, 1e-2)  # the first where several are best
SPLITS = ("test", "held out")  # pictures of combinations that training has seen, and of others
WRONG = ("colours swapped", "digits swapped", "one wrong colour")
PROBED = 2000  # pictures that probes are fitted on
TOKENIZER = word_tokenizer([" ".join((*COLOURS, *NUMBERS, "a and left of"))])
WORDS = TOKENIZER.get_vocab_size()
OBJECTS, PROPERTIES = len(COLOURS) * len(NUMBERS), len(COLOURS) + len(NUMBERS)


class Arm(NamedTuple):
    """What stands for a picture ("pixels", or a list of what it shows), the text tower, the word between two objects, what the loss asks, and the
    deviation of a transformer's first weights."""

    image: str = "pixels"
    text: str = "transformer"
    between: str = "and"
    asked: str = "contrast"
    first: float = 0.1


OCCURRING = "swapped captions that occur"
ARMS = {
    "transformer": Arm(), "small start": Arm(first=0.02), f"small start, {OCCURRING}": Arm(asked=OCCURRING, first=0.02),
    "swapped captions": Arm(asked="swapped captions"), OCCURRING: Arm(asked=OCCURRING), "neighbours": Arm(text="neighbours"), "left of": Arm(between="left of"),
    "listed objects": Arm("objects"), "listed objects, small start": Arm("objects", first=0.02),
    f"listed objects, small start, {OCCURRING}": Arm("objects", asked=OCCURRING, first=0.02), "listed objects, neighbours": Arm("objects", "neighbours"),
    "listed properties, neighbours": Arm("properties", "neighbours"), "left of, listed properties, bag": Arm("properties", "bag", "left of"),
    "swapped pictures": Arm(asked="swapped pictures"),
}  # fmt: skip
PAIRS = [(arm, "transformer") for arm in ARMS if arm != "transformer"] + [
    (f"small start, {OCCURRING}", "small start"), (OCCURRING, "swapped captions"), ("swapped pictures", OCCURRING),
    (f"listed objects, small start, {OCCURRING}", "listed objects, small start"), ("listed objects, neighbours", "listed properties, neighbours")]  # fmt: skip


class Listed(BagOfWords):
    """A list of what a picture shows in the image tower's place: a vector for each entry, and their mean."""

    columns = ("listed",)


class Neighbours(BagOfWords):
    """A bag of words and of pairs of neighbours, each with a vector of its own (Joulin et al. 2017, section 2.1)."""

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        pairs = WORDS * (1 + input_ids[:, :-1]) + input_ids[:, 1:]
        return self(torch.cat([input_ids, pairs], 1)).mean(1)


class SwappedCaptions(Contrastive):
    """Contrast, and a caption told from the same one with colours swapped where the column `asked` says so (after Yuksekgonul et al. 2023)."""

    def batch(self, samples, keys):
        batch = super().batch(samples, keys)
        batch.inputs |= {name: samples[name] for name in ("colours swapped", "asked")}
        batch.counts["swapped"] = int(samples["asked"].sum())
        return batch

    def forward(self, model, batch):
        image, text = (F.normalize(each, dim=1) for each in self.compared(model, batch))
        wrong, scale = model.encode_text(batch.inputs["colours swapped"]), self.log_scale_of(model).exp()
        return {"contrastive": info_nce(image, text, scale, same=batch.targets["same"]),
                "swapped": (batch.inputs["asked"] * F.softplus(scale * (image * (wrong - text)).sum(1))).sum()}  # fmt: skip


class SwappedPictures:
    """Pictures whose batches hold, beside each of the first half, one that shows the same with colours swapped, if there is any."""

    def __init__(self, shown: Columns, seed: int):
        self.shown = shown
        order, chance = shown.meant.argsort(), Keys.of(seed, range(len(shown))).uniform("partner", (1,))[:, 0]
        first, end = (torch.searchsorted(shown.meant[order], shown.swapped, right=right) for right in (False, True))
        partner = order[(first + chance * (end - first)).long().clamp(max=len(shown) - 1)]
        self.partner = torch.where(end > first, partner, torch.arange(len(shown)))

    def __len__(self) -> int:
        return len(self.shown)

    def take(self, keys: Keys) -> dict[str, Tensor]:
        ids = torch.from_numpy(keys.sample).clone()
        half = len(ids) // 2
        partners = self.partner[ids[:half]]
        ids[half : 2 * half] = torch.where(partners == ids[:half], ids[half : 2 * half], partners)
        return {name: column[ids] for name, column in self.shown.columns.items()}


def said(colours: Tensor, digits: Tensor, between: str, use: str, seed: int) -> Tensor:
    """Token ids of captions, (N, T); where no place is told, the two objects stand in an order by chance."""
    if between == "and":
        turned = Keys.of(seed, range(len(colours))).uniform(f"order.{use}", (1,)) < 0.5
        colours, digits = (torch.where(turned, each.flip(1), each) for each in (colours, digits))
    return encode_texts([text.replace("left of", between) for text in captions_of(colours, digits)], TOKENIZER).columns["input_ids"]


@lru_cache(maxsize=3)
def pictures(split: str, seed: int, image: str, between: str, small: bool) -> Columns:
    """Pictures, or lists of what they show, with true and wrong captions, and what is known of the objects."""
    drawn = ColouredDigits(2, split, seed)
    ids = range((200 if split == "train" else 60) if small else len(drawn))
    (colour, digit), third = drawn.described(ids), drawn.one_wrong(ids)  # (N, 2) each
    place = torch.arange(2) * PROPERTIES
    shown = {"pixels": lambda: {"images": torch.cat([drawn.draw(ids[start : start + 250]) for start in ids[::250]])},
             "objects": lambda: {"listed": colour * len(NUMBERS) + digit},
             "properties": lambda: {"listed": torch.cat([place + colour, place + len(COLOURS) + digit], 1)}}[image]()  # fmt: skip
    spoken = {"true": (colour, digit), "colours swapped": (colour.flip(1), digit), "digits swapped": (colour, digit.flip(1)), "one wrong colour": (third, digit)}
    captions = {use: said(*each, between, use, seed) for use, each in spoken.items()}

    def meaning(colours: Tensor, digits: Tensor) -> Tensor:  # one number for captions that say the same
        objects = colours * len(NUMBERS) + digits
        return (objects if between == "left of" else objects.sort(1).values) @ torch.tensor([OBJECTS, 1])

    meant, swapped = meaning(colour, digit), meaning(colour.flip(1), digit)
    return Columns(**shown, **captions, attention_mask=torch.ones_like(captions["true"]), meant=meant,
                   swapped=swapped, asked=torch.isin(swapped, meant).float(), colour=colour[:, 0], digit=digit[:, 0],
                   bound=digit.gather(1, colour.argmin(1, keepdim=True))[:, 0])  # fmt: skip


def network(arm: Arm, seed: int) -> TwoTowers:
    """Both towers."""
    image = {"pixels": lambda: ResNetModel(SHAPE, seed), "objects": lambda: Listed(BagOfWordsConfig(OBJECTS, SIZE), seed),
             "properties": lambda: Listed(BagOfWordsConfig(2 * PROPERTIES, SIZE), seed)}
    shape = BertConfig(vocab_size=WORDS, hidden_size=SIZE, num_hidden_layers=1, num_attention_heads=4, intermediate_size=2 * SIZE, max_position_embeddings=16,
                       hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=arm.first)  # fmt: skip
    text = {"bag": lambda: BagOfWords(BagOfWordsConfig(WORDS, SIZE), seed), "transformer": lambda: BertModel(shape, seed),
            "neighbours": lambda: Neighbours(BagOfWordsConfig(WORDS * (1 + WORDS), SIZE), seed)}
    return TwoTowers(image[arm.image](), text[arm.text](), SIZE, seed)


def trained(arm: Arm, rate: float, seed: int, small: bool) -> tuple[TwoTowers, float, dict[int, float]]:
    """Two towers after contrast, the loss over the last tenth of the updates, and after some updates how often binding was right."""
    model, source, test = network(arm, seed), *(pictures(split, seed, arm.image, arm.between, small) for split in ("train", "test"))
    objective = (SwappedCaptions if arm.asked in ("swapped captions", OCCURRING) else Contrastive)({"image": model.columns, "text": ["true"]}, TEMPERATURE, same="meant")
    if arm.asked == "swapped captions":
        source = Columns(**source.columns | {"asked": torch.ones_like(source.asked)})
    if arm.asked == "swapped pictures":
        source = SwappedPictures(source, seed)
    trainer = Trainer(model, objective, source, shared.recipe(*((2, 16) if small else (STEPS, BATCH)), rate, seed))
    losses, curve, pace = [], {}, Pace()
    with trainer.at_work() as batches:
        while trainer.step < trainer.config.steps:
            losses.append(trainer.next_update(batches, pace)["loss"])
            if trainer.step % SEEN_EVERY == 0:
                curve[trainer.step] = right(model, test, "colours swapped").mean().item()
    return model, mean(losses[-STEPS // 10 :]), curve


def vectors(model: TwoTowers, shown: Columns, ids: str) -> Tensor:
    """Text vectors of a column of ids, of length 1, (N, D)."""
    texts = Columns(input_ids=shown.columns[ids], attention_mask=shown.attention_mask)
    return F.normalize(features(model.towers["text"], texts), dim=1)


def right(model: TwoTowers, shown: Columns, wrong: str) -> Tensor:
    """How often the true caption scores above a wrong one, (N,): 0, 1, or a half where float32 does not tell them apart."""
    seen = F.normalize(features(model.towers["image"], shown), dim=1)
    ahead = (seen * (vectors(model, shown, "true") - vectors(model, shown, wrong))).sum(1)
    return torch.where(ahead.abs() < 1e-6, 0.5, (ahead > 0).float())


def found(model: TwoTowers, shown: Columns) -> tuple[Tensor, int]:
    """How often a picture's caption stands first among all captions of the split, (N,), and how many these are."""
    _, number = torch.unique(shown.meant, return_inverse=True)
    first = torch.zeros(int(number.max()) + 1, dtype=torch.long).scatter(0, number, torch.arange(len(number)))
    pool = vectors(model, shown.subset(first), "true")
    scores = measure_retrieval(cosine_scores(features(model.towers["image"], shown), pool), number, at=(1,))
    return scores.hit[1].float(), scores.pool


def apart(model: TwoTowers, shown: Columns) -> float:
    """How far captions lie from those with colours swapped, as a share of how far they lie from other captions (root mean squares)."""
    true, swapped = (vectors(model, shown, ids) for ids in ("true", "colours swapped"))
    return ((true - swapped).square().mean() / (true - true.roll(1, 0)).square().mean()).sqrt().item()


def probed(model: TwoTowers, seen: Columns, shown: Columns) -> dict[str, float]:
    """What linear probes read: off the image encoder the left object's colour and digit, off both towers the digit that has the first colour of the list."""
    codes = {"image": [features(model, some) for some in (seen, shown)],
             "text": [features(model.towers["text"].encoder, Columns(input_ids=some.true, attention_mask=some.attention_mask)) for some in (seen, shown)]}
    asked = [("image", "colour"), ("image", "digit"), ("image", "bound"), ("text", "bound")]
    answers = {}
    for tower, label in asked:
        known, new = (Columns(codes=each, labels=some.columns[label]) for each, some in zip(codes[tower], (seen, shown)))
        answers[f"{tower}, {label}"] = (LinearProbe(None, "codes").fit(known, 1.0)(new) == new.labels).float().mean().item()
    return answers


def chosen(arm: Arm, small: bool) -> dict:
    """The rate that finds captions best with a seed and pictures set apart; while the best is at an edge, one beyond is tried."""
    other = pictures("test", shared.APART, arm.image, arm.between, small)

    def score(rate: float) -> float:
        return found(trained(arm, rate, shared.APART, small)[0], other)[0].mean().item()

    scores = {rate: score(rate) for rate in (RATES[:1] if small else RATES)}
    while not small and (best := max(scores, key=scores.get)) in (min(scores), max(scores)):
        beyond = best * 3 if best == max(scores) else best / 3
        scores[beyond] = score(beyond)
    return {"rate": max(scores, key=scores.get), "scores": scores}


def one_seed(arm: Arm, rate: float, seed: int, small: bool) -> dict:
    model, loss, curve = trained(arm, rate, seed, small)
    about = {"loss": loss, "curve": curve, "right": {}, "found": {}, "pool": {}}
    for split in SPLITS:
        shown = pictures(split, seed, arm.image, arm.between, small)
        about["right"][split] = {wrong: right(model, shown, wrong) for wrong in WRONG}
        about["found"][split], about["pool"][split] = found(model, shown)
    train, test = (pictures(split, seed, arm.image, arm.between, small) for split in ("train", "test"))
    return about | {"probed": probed(model, train.subset(range(min(PROBED, len(train)))), test)}


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rate that was chosen, and each seed's run. Arms may be measured in processes of their own."""
    setting = chosen(ARMS[arm], small)
    return {"setting": setting, "runs": [one_seed(ARMS[arm], setting["rate"], seed, small) for seed in (SEEDS[:2] if small else SEEDS)]}


def stands_in(batch: int, between: str, small: bool) -> float:
    """How often a picture's caption with colours swapped stands in its batch, on average, where batches are drawn at random."""
    shown = pictures("train", SEEDS[0], "objects", between, small)
    count = Counter(shown.meant.tolist())
    return mean(1 - (1 - count[swapped] / len(shown)) ** (batch - 1) for swapped in shown.swapped.tolist())


def finish(parts: dict, small: bool = False) -> dict:
    """What is kept of all arms: how often each seed is right, losses, probes, and the leads in binding."""

    def means(pick) -> dict[str, list[float]]:  # of each arm, by seeds
        return {arm: [pick(run).mean().item() for run in part["runs"]] for arm, part in parts.items()}

    def leads(split: str) -> dict[str, list]:
        bound = {arm: torch.stack([run["right"][split]["colours swapped"] for run in part["runs"]], 1) for arm, part in parts.items()}
        return {f"{a} over {b}": [list(each) for each in lead(bound[a], bound[b])] for a, b in PAIRS if a in bound and b in bound}

    return {"device": "cpu", "batch": BATCH, "updates": STEPS, "chance": {"right": 0.5, "contrastive": log(BATCH), "swapped": log(2)},
            "swapped caption stands in the batch": {between: {str(batch): stands_in(batch, between, small) for batch in (BATCH, 1024, 8192)}
                                                    for between in ("and", "left of")},
            "setting": {arm: part["setting"] for arm, part in parts.items()},
            "right": {split: {wrong: means(lambda run, s=split, w=wrong: run["right"][s][w]) for wrong in WRONG} for split in SPLITS},
            "found first of the pool": {split: means(lambda run, s=split: run["found"][s]) for split in SPLITS},
            **{what: {arm: [run[what] for run in part["runs"]] for arm, part in parts.items()} for what in ("pool", "loss", "curve", "probed")},
            "apart before training": {arm: [apart(network(ARMS[arm], seed), pictures("test", seed, "objects", "and", small)) for seed in SEEDS]
                                      for arm in ("transformer", "small start")},
            "leads": {split: leads(split) for split in SPLITS}}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, points, (test, held_out) = {True: "held", False: "failed"}, shared.points, (measured["leads"][split] for split in SPLITS)
    bound, others = ({arm: 100 * mean(runs) for arm, runs in measured["right"][split]["colours swapped"].items()} for split in SPLITS)
    digits = 100 * mean(measured["right"]["test"]["digits swapped"]["left of"])
    told = "; ".join(f"{arm} {bound[arm]:.1f} % and {others[arm]:.1f}, caption found {100 * mean(measured['found first of the pool']['test'][arm]):.1f}"
                     for arm in bound)  # fmt: skip

    def leads(found, least: float) -> bool:
        return found[0][0] >= least and shared.is_clear(found)

    asked, seen = test[f"listed objects, small start, {OCCURRING} over listed objects, small start"], bound[f"small start, {OCCURRING}"]
    captions, shown, near = ([each[f"{arm} over transformer"] for each in (test, held_out)] for arm in ("swapped captions", "swapped pictures", "neighbours"))
    occurring = held_out[f"{OCCURRING} over swapped captions"]
    listed = [bound[f"listed {arm}"] for arm in ("objects", "objects, neighbours", "properties, neighbours")]
    bag = bound["left of, listed properties, bag"]
    return (f"The true caption above that with colours swapped, of seen combinations and of those held out: {told}. "
            f"1. Plain contrast {bound['transformer']:.1f} % and {others['transformer']:.1f}: {said[min(bound['transformer'], others['transformer']) >= 75]}. "
            f"2. The small start {bound['small start']:.1f} %: {said[bound['small start'] <= 55]}. "
            f"3. There swapped captions that occur with lists of objects over plain contrast {points(asked)}, with pixels {seen:.1f} %: "
            f"{said[leads(asked, 0.3) and seen <= 60]}. "
            f"4. Swapped captions over plain contrast {points(captions[0])}; held out {points(captions[1])}: "
            f"{said[abs(captions[0][0][0]) <= 0.05 and captions[1][0][0] <= -0.1]}. "
            f"5. Those that occur over all, held out, {points(occurring)}: {said[leads(occurring, 0.1)]}. "
            f"6. Swapped pictures over plain contrast {points(shown[0])}: {said[abs(shown[0][0][0]) <= 0.05]}. "
            f"7. Neighbours over the transformer {points(near[0])}; held out {others['neighbours']:.1f} %: {said[leads(near[0], 0.03) and others['neighbours'] < 50]}. "
            f"8. Left of {bound['left of']:.1f} % with colours swapped, {digits:.1f} with digits: {said[bound['left of'] >= 99 and digits <= bound['left of'] - 3]}. "
            f"9. Lists of objects {listed[0]:.1f} % and {listed[1]:.1f}, of properties {listed[2]:.1f}: {said[min(listed[:2]) >= 95 and listed[2] <= 55]}. "
            f"10. The bag {bag:.2f} %: {said[bag == 50]}.")  # fmt: skip
