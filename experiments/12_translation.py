"""Does an encoder pretrained on English help to translate the strings of a user interface?"""

from __future__ import annotations

from functools import cache
from statistics import mean

import numpy as np
import torch

from pretrain_lib import ModernBertModel, TrainConfig, Trainer, load_pretrained, load_tokenizer, train_tokenizer
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.data.tasks.translation import PACKAGED, ParallelText, encode_pairs, load_translation
from pretrain_lib.evaluation.translation import exact_matches, sentence_chrf
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.models.init import start_at_unigram
from pretrain_lib.models.sequence_to_sequence import DecoderConfig, EncoderDecoder
from pretrain_lib.objectives.translation import Translation

TITLE = "English interface strings into French and Chinese: pretrained, frozen and random encoders under a new decoder, each at its own rate"

PREDICTION = """(Written before a pretrained encoder was scored; one run of a minute had timed the model, and one from scratch was to set the number
of updates.) No gain. The zoo's encoder knows the English of presidents, not that of menus; the pairs are few, and the decoder, which is half of the
task, begins from nothing. So: 1. The pretrained encoder, fine-tuned, and the same encoder from scratch differ by less than 0.03 of chrF, in French and
in Chinese. 2. Frozen, the pretrained encoder is better than a frozen random one by 0.03 of chrF or more, for its words at least are told apart by
meaning, and worse than scratch. 3. Looking up the most similar string of the training part, and answering with its translation, comes within 0.05
of chrF of the best model. 4. Fewer than 20 of 100 held-out strings are translated to the letter, by any model."""

SEEDS = (0, 1, 2)
ZOO_MODEL = "modernbert-mini-sotu"
LONGEST = 10  # tokens of a text and of its translation, [CLS] and [SEP] included
VOCABULARY = 2048
RATES = (2.5e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2)  # the search begins with the middle three
STEPS, BATCH = 400, 16
SHORT = 3  # the first measurement chose each rate in a third of the updates, in French, for both languages
START = 0.08  # of the decoder's weights; chosen with encoders that were not pretrained, where it beat 0.02
TRAINED, FROZEN, RANDOM, SCRATCH = "pretrained, fine-tuned", "pretrained, frozen", "random, frozen", "from scratch"
HASTY = "from scratch, rate of the short search"
FIRST = "fr-FR"
ARMS = (TRAINED, SCRATCH, FROZEN, RANDOM)
NEAREST, COPY = "nearest training string", "the English itself"
LEADS = ((TRAINED, SCRATCH), (TRAINED, HASTY), (RANDOM, SCRATCH), (FROZEN, RANDOM), (TRAINED, FROZEN), (SCRATCH, NEAREST), (TRAINED, NEAREST))
SHOWN = 12


class Task:
    """Pairs of one language, parted in three, with the tokenizers; long strings are left out and counted."""

    def __init__(self, language: str, small: bool):
        whole = load_translation(language, limit=400 if small else None)
        training, self.test = whole.split(0.15)
        self.training, self.validation = training.split(0.1, seed=1)
        self.source = load_tokenizer(ZOO_MODEL)
        self.target = train_tokenizer(self.training.targets, VOCABULARY, "bpe", lowercase=False)
        kept = {name: self.short(getattr(self, name)) for name in ("training", "validation", "test")}
        self.counts = {"read": len(whole) + sum(whole.left_out.values()), **whole.left_out,
                       "too long": len(whole) - sum(map(len, kept.values())), **{name: len(part) for name, part in kept.items()}}
        self.training, self.validation, self.test = kept.values()

    def encode(self, text: ParallelText, longest: int = LONGEST):
        return encode_pairs(text, self.source, self.target, longest, longest)

    def short(self, text: ParallelText) -> ParallelText:
        pairs = self.encode(text, 512)
        fits = torch.maximum(pairs.attention_mask.sum(1), pairs.target_mask.sum(1)) <= LONGEST
        return text.subset(fits.nonzero()[:, 0].tolist())

    def translate(self, model: EncoderDecoder, text: ParallelText) -> list[str]:
        pairs, special = self.encode(text), special_ids(self.target)
        ids = model.generate(pairs.input_ids, pairs.attention_mask, special.cls, special.sep, LONGEST)
        return [self.target.decode(row) for row in ids]


def encoder(arm: str, seed: int) -> ModernBertModel:
    pretrained = load_pretrained(ZOO_MODEL).encoder
    start = pretrained if arm in (TRAINED, FROZEN) else ModernBertModel(pretrained.config, seed)
    return start.requires_grad_(arm in (TRAINED, SCRATCH))


def trained(task: Task, arm: str, rate: float, seed: int, steps: int) -> EncoderDecoder:
    shape = DecoderConfig(task.target.get_vocab_size(), hidden_size=128, num_attention_heads=2, intermediate_size=256, initializer_range=START)
    model, pairs = EncoderDecoder(encoder(arm, seed), shape, seed), task.encode(task.training)
    start_at_unigram(model.decoder.bias, torch.bincount(pairs.target_ids[pairs.target_mask > 0], minlength=shape.vocab_size))
    config = TrainConfig(steps=steps, batch_size=BATCH, learning_rate=rate, warmup_steps=steps // 10, schedule="linear", weight_decay=0.01,
                         gradient_clipping=1.0, precision="fp32", device="cpu", seed=seed)  # fmt: skip
    Trainer(model, Translation(), pairs, config).fit()
    return model


@cache
def task(language: str, small: bool) -> Task:
    return Task(language, small)


@cache
def written(language: str, arm: str, rate: float, seed: int, steps: int, small: bool) -> tuple[list[str], list[str]]:
    """What one run writes for the strings of the validation part and of the test part."""
    pairs = task(language, small)
    model = trained(pairs, arm, rate, seed, steps)
    return pairs.translate(model, pairs.validation), pairs.translate(model, pairs.test)


def nearest(training: ParallelText, test: ParallelText) -> list[str]:
    """For each test string, the translation of the training string that shares most n-grams of characters, weighed by TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    terms = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True)
    known = terms.fit_transform(training.sources)
    alike = (terms.transform(test.sources) @ known.T).toarray()  # cosines, (test, training)
    return [training.targets[i] for i in alike.argmax(1)]


def search(language: str, arm: str, seed: int, steps: int, small: bool) -> dict[float, dict[str, float]]:
    """Mean chrF of the validation and of the test strings by rate; while the best rate, by validation, is at an edge, one more is tried."""
    pairs, low, high, tried = task(language, small), 2, 5, {}
    while True:
        for rate in RATES[low:high]:
            if rate not in tried:
                validation, test = written(language, arm, rate, seed, steps, small)
                tried[rate] = {name: float(sentence_chrf(texts, getattr(pairs, name).targets).mean()) for name, texts in (("validation", validation), ("test", test))}
                print(language, arm, f"{steps} updates, rate {rate:g}", tried[rate], flush=True)
        best = RATES.index(best_rate(tried))
        if best == low > 0:
            low -= 1
        elif best == high - 1 < len(RATES) - 1:
            high += 1
        else:
            return tried


def best_rate(tried: dict[float, dict[str, float]]) -> float:
    return max(tried, key=lambda rate: tried[rate]["validation"])


def one_language(language: str, seeds, steps: int, small: bool) -> dict:
    pairs = task(language, small)
    truth = pairs.test.targets
    tried = {arm: search(language, arm, seeds[0], steps, small) for arm in ARMS} | {HASTY: search(FIRST, SCRATCH, seeds[0], steps // SHORT, small)}
    rates = {arm: best_rate(scores) for arm, scores in tried.items()}
    texts = {NEAREST: [nearest(pairs.training, pairs.test)], COPY: [pairs.test.sources]}
    for arm, rate in rates.items():
        texts[arm] = [written(language, SCRATCH if arm == HASTY else arm, rate, seed, steps, small)[1] for seed in seeds]
    score = {arm: np.stack([sentence_chrf(text, truth) for text in runs], 1) for arm, runs in texts.items()}  # (strings, seeds)
    leads = [{"of": a, "over": b} | {way: found._asdict() for way, found in lead(*np.broadcast_arrays(score[a], score[b]))._asdict().items()}
             for a, b in LEADS]  # fmt: skip
    return {
        "counts": pairs.counts,
        "rates": rates,
        "tried": {arm: [{"rate": rate} | scores[rate] for rate in sorted(scores)] for arm, scores in tried.items()},
        "chrf": {arm: runs.mean(0).tolist() for arm, runs in score.items()},
        "exact": {arm: [float(exact_matches(text, truth).mean()) for text in runs] for arm, runs in texts.items()},
        "lead": leads,
        "samples": [{"English": pairs.test.sources[i], "reference": truth[i], **{arm: runs[0][i] for arm, runs in texts.items() if arm != COPY}}
                    for i in np.linspace(0, len(truth) - 1, SHOWN).astype(int)],
    }  # fmt: skip


def run(scale: str) -> dict:
    """{"steps", "short", "grid", "languages": rates tried and chosen, mean chrF of a string and exact matches of each arm by seed, leads, a few translations}.

    Each arm has a rate of its own in each language, chosen with the first seed on the validation strings.
    """
    small = scale == "smoke"
    seeds, steps = (SEEDS[:2], 6) if small else (SEEDS, STEPS)
    return {"steps": steps, "short": steps // SHORT, "grid": RATES, "languages": {language: one_language(language, seeds, steps, small) for language in PACKAGED}}


def verdict(measured: dict) -> str:
    """chrF of each arm, what pretraining added, and which predictions held: 0 is the headline."""
    said, held, told = [], dict.fromkeys(range(5), True), []
    for language, found in measured["languages"].items():
        score = {arm: mean(runs) for arm, runs in found["chrf"].items()}
        models = [score[arm] for arm in ARMS]
        held[0] &= score[TRAINED] - score[SCRATCH] < 0.03
        held[1] &= abs(score[TRAINED] - score[SCRATCH]) < 0.03
        held[2] &= score[FROZEN] - score[RANDOM] >= 0.03 and score[FROZEN] < score[SCRATCH]
        held[3] &= score[NEAREST] > max(models) - 0.05
        held[4] &= max(mean(found["exact"][arm]) for arm in ARMS) < 0.2
        said.append(f"{language}, chrF: " + ", ".join(f"{arm} {s:.3f}" for arm, s in score.items())
                    + f"; fine-tuned over scratch {score[TRAINED] - score[SCRATCH]:+.3f}")
        told.append((score[TRAINED] - score[SCRATCH], score[FROZEN] - score[RANDOM], score[FROZEN] - score[SCRATCH], score[NEAREST] - max(models),
                     100 * max(mean(found["exact"][arm]) for arm in ARMS)))  # fmt: skip
    gain, over_random, over_scratch, memory, exact = zip(*told)

    def both(values, form: str = "+.3f") -> str:
        return " and ".join(f"{value:{form}}" for value in values)

    parts = ("No gain of 0.03 of chrF over scratch", f"Fine-tuned over scratch {both(gain)}", f"Frozen over random {both(over_random)}, over scratch {both(over_scratch)}",
             f"Looking up over the best model {both(memory)}", f"At most {both(exact, '.1f')} of 100")  # fmt: skip
    return ". ".join(said) + ". " + " ".join(f"{n}. {text}: {'held' if held[n] else 'failed'}." for n, text in enumerate(parts))
