"""Two coloured digits and their captions: whether colour is bound to digit, what is missing where it is not, and what mends it."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import log
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_lib import BagOfWords, BagOfWordsConfig, BertConfig, BertModel, Columns, Contrastive, Keys, LinearProbe, ResNetConfig, ResNetModel, TwoTowers
from pretrain_lib import cosine_scores, encode_texts, features, measure_retrieval, word_tokenizer
from pretrain_lib.course.results import load_experiment
from pretrain_lib.data.scenes.captions import COLOURS, NUMBERS, ColouredDigits, captions_of
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.objectives.pairwise import info_nce

shared = load_experiment("14-augmentations")

TITLE = "Two coloured digits: the true caption against the same words with colours swapped, by text tower, image vector and loss, where places are told and where not"

PREDICTION = """TODO"""

SEEDS = (160, 161, 162)  # each has its own networks, pictures, and combinations of colour and digit that are held out
SHAPE = ResNetConfig(embedding_size=16, hidden_sizes=(16, 32, 64), depths=(1, 1, 1))
SIZE = 64  # of word vectors, and of the space of both towers
BATCH, STEPS, TEMPERATURE = 128, 600, 0.1
RATES = (3e-3, 1e-3, 1e-2)  # the first where several are best
WRONG = ("colours swapped", "digits swapped", "one wrong colour")
PROBED = 2000  # pictures that probes are fitted on
TOKENIZER = word_tokenizer([" ".join((*COLOURS, *NUMBERS, "a and left of"))])
WORDS = TOKENIZER.get_vocab_size()
OBJECTS, PROPERTIES = len(COLOURS) * len(NUMBERS), len(COLOURS) + len(NUMBERS)


class Arm(NamedTuple):
    """What stands for a picture ("pixels", or a list of what it shows), the text tower, the word between two objects, and what the loss asks."""

    image: str = "pixels"
    text: str = "transformer"
    between: str = "and"
    asked: str = "contrast"
    steps: int = STEPS


ARMS = {
    "transformer": Arm(), "transformer, swapped captions": Arm(asked="swapped captions"), "neighbours": Arm(text="neighbours"),
    "left of, transformer": Arm(between="left of"),
    "objects, transformer": Arm("objects"), "objects, transformer, swapped captions": Arm("objects", asked="swapped captions"),
    "objects, transformer, swapped pictures": Arm("objects", asked="swapped pictures"),
    "objects, neighbours": Arm("objects", "neighbours"), "properties, neighbours": Arm("properties", "neighbours"),
    "transformer, swapped pictures": Arm(asked="swapped pictures"), "left of, bag": Arm(text="bag", between="left of"),
    "objects, transformer, longer": Arm("objects", steps=4 * STEPS),
}  # fmt: skip


PAIRS = (("transformer, swapped captions", "transformer"), ("transformer, swapped pictures", "transformer"), ("neighbours", "transformer"),
         ("left of, transformer", "transformer"), ("objects, transformer", "transformer"), ("objects, transformer, swapped captions", "objects, transformer"),
         ("objects, transformer, swapped pictures", "objects, transformer"), ("objects, transformer, longer", "objects, transformer"),
         ("objects, neighbours", "objects, transformer"), ("objects, neighbours", "properties, neighbours"))  # fmt: skip


class Listed(BagOfWords):
    """A list of what a picture shows in the image tower's place: a vector for each entry, and their mean."""

    columns = ("listed",)


class Neighbours(BagOfWords):
    """A bag of words and of pairs of neighbours, each with a vector of its own (Joulin et al. 2017, section 2.1)."""

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        pairs = WORDS * (1 + input_ids[:, :-1]) + input_ids[:, 1:]
        return self(torch.cat([input_ids, pairs], 1)).mean(1)


class SwappedCaptions(Contrastive):
    """Contrast, and each picture's caption told from the same one with colours swapped, whose ids are the column `colours swapped`."""

    def batch(self, samples, keys):
        batch = super().batch(samples, keys)
        batch.inputs["colours swapped"], batch.counts["swapped"] = samples["colours swapped"], len(keys)
        return batch

    def forward(self, model, batch):
        image, text = (F.normalize(each, dim=1) for each in self.compared(model, batch))
        wrong, scale = model.encode_text(batch.inputs["colours swapped"]), self.log_scale_of(model).exp()
        return {"contrastive": info_nce(image, text, scale, same=batch.targets["same"]),
                "swapped": F.softplus(scale * (image * (wrong - text)).sum(1)).sum()}  # fmt: skip


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
    shown = {"pixels": lambda: {"images": torch.cat([drawn.draw(ids[start : start + 250]) for start in ids[::250]])}, "objects": lambda: {"listed": colour * len(NUMBERS) + digit},
             "properties": lambda: {"listed": torch.cat([place + colour, place + len(COLOURS) + digit], 1)}}[image]()  # fmt: skip
    spoken = {"true": (colour, digit), "colours swapped": (colour.flip(1), digit), "digits swapped": (colour, digit.flip(1)), "one wrong colour": (third, digit)}
    captions = {use: said(*each, between, use, seed) for use, each in spoken.items()}

    def meaning(colours: Tensor, digits: Tensor) -> Tensor:  # one number for captions that say the same
        objects = colours * len(NUMBERS) + digits
        return (objects if between == "left of" else objects.sort(1).values) @ torch.tensor([OBJECTS, 1])

    return Columns(**shown, **captions, attention_mask=torch.ones_like(captions["true"]), meant=meaning(colour, digit),
                   swapped=meaning(colour.flip(1), digit), colour=colour[:, 0], digit=digit[:, 0],
                   bound=digit.gather(1, colour.argmin(1, keepdim=True))[:, 0])  # fmt: skip


def network(arm: Arm, seed: int) -> TwoTowers:
    """Both towers."""
    image = {"pixels": lambda: ResNetModel(SHAPE, seed), "objects": lambda: Listed(BagOfWordsConfig(OBJECTS, SIZE), seed),
             "properties": lambda: Listed(BagOfWordsConfig(2 * PROPERTIES, SIZE), seed)}
    shape = BertConfig(vocab_size=WORDS, hidden_size=SIZE, num_hidden_layers=1, num_attention_heads=4, intermediate_size=2 * SIZE, max_position_embeddings=16,
                       hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.1)  # fmt: skip
    text = {"bag": lambda: BagOfWords(BagOfWordsConfig(WORDS, SIZE), seed), "transformer": lambda: BertModel(shape, seed),
            "neighbours": lambda: Neighbours(BagOfWordsConfig(WORDS * (1 + WORDS), SIZE), seed)}
    return TwoTowers(image[arm.image](), text[arm.text](), SIZE, seed)


def trained(arm: Arm, rate: float, seed: int, small: bool) -> tuple[TwoTowers, float]:
    """Two towers after contrast, and the loss over the last tenth of the updates."""
    model, source = network(arm, seed), pictures("train", seed, arm.image, arm.between, small)
    objective = (SwappedCaptions if arm.asked == "swapped captions" else Contrastive)({"image": model.columns, "text": ["true"]}, TEMPERATURE, same="meant")
    source = SwappedPictures(source, seed) if arm.asked == "swapped pictures" else source
    return model, shared.trained(model, objective, source, shared.recipe(2 if small else arm.steps, BATCH, rate, seed))


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
    apart = pictures("test", shared.APART, arm.image, arm.between, small)

    def score(rate: float) -> float:
        return found(trained(arm, rate, shared.APART, small)[0], apart)[0].mean().item()

    scores = {rate: score(rate) for rate in (RATES[:1] if small else RATES)}
    while not small and (best := max(scores, key=scores.get)) in (min(scores), max(scores)):
        beyond = best * 3 if best == max(scores) else best / 3
        scores[beyond] = score(beyond)
    return {"rate": max(scores, key=scores.get), "scores": scores}


def one_seed(arm: Arm, rate: float, seed: int, small: bool) -> dict:
    model, loss = trained(arm, rate, seed, small)
    train, test, held_out = (pictures(split, seed, arm.image, arm.between, small) for split in ("train", "test", "held out"))
    hits, pool = found(model, test)
    return {"loss": loss, "right": {wrong: right(model, test, wrong) for wrong in WRONG}, "found": hits, "pool": pool,
            "held out": {"right": {wrong: right(model, held_out, wrong).mean().item() for wrong in WRONG}, "found": found(model, held_out)[0].mean().item(),
                         "pool": found(model, held_out)[1]},
            "probed": probed(model, train.subset(range(min(PROBED, len(train)))), test)}  # fmt: skip


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rate that was chosen, and each seed's run. Arms may be measured in processes of their own."""
    setting = chosen(ARMS[arm], small)
    return {"setting": setting, "runs": [one_seed(ARMS[arm], setting["rate"], seed, small) for seed in (SEEDS[:2] if small else SEEDS)]}


def stands_in(batch: int, between: str) -> float:
    """How often a picture's caption with colours swapped stands in its batch, on average, where batches are drawn at random."""
    shown = pictures("train", SEEDS[0], "objects", between, False)
    count = Counter(shown.meant.tolist())
    return mean(1 - (1 - count[swapped] / len(shown)) ** (batch - 1) for swapped in shown.swapped.tolist())


def finish(parts: dict, small: bool = False) -> dict:
    """What is kept of all arms: how often each seed is right, losses, probes, and the leads in binding."""
    bound = {arm: torch.stack([run["right"]["colours swapped"] for run in part["runs"]], 1) for arm, part in parts.items()}  # (N, seeds)
    return {"device": "cpu", "batch": BATCH, "updates": {arm: each.steps for arm, each in ARMS.items()}, "pictures": [8000, 1000],
            "chance": {"right": 0.5, "contrastive loss": log(BATCH), "loss against a swapped caption": log(2)},
            "swapped caption in the batch": {between: {str(batch): stands_in(batch, between) for batch in (BATCH, 1024, 8192)} for between in ("and", "left of")},
            "setting": {arm: part["setting"] for arm, part in parts.items()},
            "right": {arm: {wrong: [run["right"][wrong].mean().item() for run in part["runs"]] for wrong in WRONG} for arm, part in parts.items()},
            "found": {arm: {"first of all captions of the split": [run["found"].mean().item() for run in part["runs"]], "pool": [run["pool"] for run in part["runs"]]}
                      for arm, part in parts.items()},
            **{what: {arm: [run[what] for run in part["runs"]] for arm, part in parts.items()} for what in ("loss", "probed", "held out")},
            "leads": {f"{a} over {b}": [list(each) for each in lead(bound[a], bound[b])] for a, b in PAIRS if a in bound and b in bound}}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)
