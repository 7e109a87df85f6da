"""Which others what comes is told from: frames of the same utterance, or of other utterances, at equal updates."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from math import log
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pretrain_lib import AcousticLSTM, AcousticLSTMConfig, ContrastivePrediction, Keys, LengthBuckets, LinearProbe, Room, SpeechDataset
from pretrain_lib import TrainConfig, Trainer, deltas, frame_samples, labelled_subset, load_speech, mfcc, sound_samples
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.models.frames import StackedSteps
from pretrain_lib.models.precision import answering
from pretrain_lib.objectives.contrastive_prediction import of_others
from pretrain_lib.transfer.tuning import fit_tuned

TITLE = "Contrastive prediction told from frames of the same utterance and of others, at equal updates: phones, words and voices, and what gives the answer away"

PREDICTION = """(Known from a prototype with another program, one seed, 322 updates with negatives of the same clip and 214 with those of all clips: phones with 20
labelled phrases 39.8 % and 34.1, random network 35.7, log-mel with 3 frames on either side 32.3; words with one label each 73.9, 51.5, 65.0 and 61.0; voices
39, 43, 44 and 23.) Updates are equal here, and voices and words of the test's phrases are new. 1. Negatives of the same utterance lead a frozen random
network by 2 points of phones and by 4 of words with one label, clearly. 2. Those of other utterances are behind a frozen random network in words with one
label, clearly: worse than no training. 3. The first lead the second by 3 points of phones and by 10 of words with one label, clearly (van den Oord et al.
2018 compare ways to draw negatives for phones, too). 4. A frozen random network leads log-mel with 3 frames on either side by 3 points of words with one
label, clearly: whoever compares with spectra alone finds gains that are none. 5. From the second voices are told better than from the first by 3 points,
clearly. 6. Told from other utterances, any frame of the same utterance in place of the true one keeps half or more of what the second have learned, and less
than a quarter of what the first have: it was the utterance that was known. 7. Told from other utterances of the same voice, the second keep at most three
quarters of it: a part of that was the voice."""

SEEDS = (152, 153, 154)
APART = 915  # the seed that settings are chosen with
OTHERS = 44  # voices to train on; the other 8 that train are those that settings are chosen on
LABELS, CHOSEN_AT = (1, 3, 10), 3  # labelled clips of each word
PHRASES = 20  # whose phones are labelled
DRAWS = 2  # of what is labelled for each seed
SHAPE = AcousticLSTMConfig(hidden_size=96, num_hidden_layers=2, directions="apart")
OFFSETS, NEGATIVES, BATCH, STEPS = 6, 32, 16, 500
RATES, STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), (0.001, 0.01, 0.1)
WAYS = ("same", "other")
SPECTRA = ("log-mel ± 3", "MFCC + Δ")
ARMS = (*WAYS, "frozen random", *SPECTRA)


class Speech(NamedTuple):
    """Phrases and words: to train on, of other voices to choose settings on, and of a third kind to test on."""

    train: SpeechDataset
    apart: SpeechDataset
    test: SpeechDataset
    words: SpeechDataset
    words_apart: SpeechDataset
    words_test: SpeechDataset


class Cepstra(StackedSteps):
    """Cepstral coefficients and how fast they change, in place of a spectrum."""

    def __init__(self):
        super().__init__(num_mel_bins=26)

    def layers_of(self, heard, lengths=None, hidden=None):
        static = mfcc(heard)
        return super().layers_of(torch.cat([static, deltas(static, lengths)], 2), lengths)


@lru_cache(maxsize=2)
def data(small: bool = False) -> Speech:
    """All in rooms; at smoke clean, and only what is made for the test, cut by voices."""
    parts = []
    for name, few in (("phrases", 20), ("words", 40)):
        if small:
            whole = load_speech(name, "test")
            parts += [whole.subset(torch.nonzero(whole.voices % 4 == rest)[:few, 0]) for rest in (0, 1, 2)]
        else:
            train, test = (load_speech(name, split, room=Room()) for split in ("train", "test"))
            ours = train.voices < OTHERS
            parts += [*(train.subset(torch.nonzero(some)[:, 0]) for some in (ours, ~ours)), test]
    return Speech(*parts)


def network(seed: int) -> AcousticLSTM:
    return AcousticLSTM(SHAPE, seed)


def recipe(steps: int, batch: int, rate: float, seed: int) -> TrainConfig:
    return TrainConfig(steps=steps, batch_size=batch, learning_rate=rate, weight_decay=1e-4, warmup_steps=steps // 10, gradient_clipping=5.0,
                       precision="fp32", device="cpu", seed=seed, log_every=max(1, steps // 50))  # fmt: skip


def trained(model: nn.Module, objective, source, config: TrainConfig) -> float:
    """Trains a model in place, on clips of like lengths; its loss over the last tenth of the updates."""
    return mean(Trainer(model, objective, LengthBuckets(source, config.batch_size), config).fit().losses[-5:])


def prediction(negatives: str, seed: int = 0) -> ContrastivePrediction:
    return ContrastivePrediction(SHAPE.conv_dim[-1], SHAPE.hidden_size, OFFSETS, NEGATIVES, negatives, seed=seed)


def pretrained(negatives: str, rate: float, seed: int, small: bool, steps: int = STEPS) -> tuple[AcousticLSTM, ContrastivePrediction, float]:
    """A network after contrastive prediction, what it learned by, and its last loss."""
    model, objective = network(seed), prediction(negatives, seed)
    config = recipe(2 if small else steps, BATCH, rate, seed)
    return model, objective, trained(model, objective, data(small).train, config)


def unlearned(arm: str, seed: int) -> nn.Module:
    """What nothing has trained: a random network, or none."""
    return {"log-mel ± 3": lambda: StackedSteps(context=3), "MFCC + Δ": Cepstra}.get(arm, lambda: network(seed))()


def layers(model: nn.Module) -> tuple[int, ...]:
    """The layers that are probed."""
    return (-1,) if isinstance(model, StackedSteps) else tuple(range(1, SHAPE.num_hidden_layers + 1))


def labelled_phrases(phrases: SpeechDataset, number: int, seed: int) -> SpeechDataset:
    """A few phrases, drawn at random; with one seed, few are the beginning of many."""
    return phrases.subset(Keys.of(seed, [0]).permutation("labelled phrases", len(phrases))[0][:number])


def phones_of(model: nn.Module, layer: int, labelled: SpeechDataset, test: SpeechDataset, strength: float) -> Tensor:
    """Whether a probe tells the phone of each frame of the test, (frames,)."""
    seen, shown = (frame_samples(model, some, layer=layer) for some in (labelled, test))
    return (LinearProbe(None, "features").fit(seen, strength)(shown) == shown.labels).float()


def words_of(model: nn.Module, layer: int, words: SpeechDataset, test: SpeechDataset, counts: tuple[int, ...], seed: int) -> dict[int, Tensor]:
    """{labels of each word: (N,) how often a probe tells each word of the test, over draws of the labels}"""
    seen, shown = (sound_samples(model, some, layer=layer) for some in (words, test))
    probe, found = LinearProbe(None, "features"), {}
    for count in counts:
        draws = [labelled_subset(seen, count, DRAWS * seed + draw) for draw in range(DRAWS)]
        found[count] = torch.stack([(fit_tuned(probe, some, seed)(shown) == shown.labels).float() for some in draws]).mean(0)
    return found


def voices_of(model: nn.Module, layer: int, phrases: SpeechDataset) -> Tensor:
    """Whether a probe that knows one half of the phrases tells the voices of the other, (N / 2,)."""
    samples = sound_samples(model, phrases, "voices", layer)
    half = torch.arange(len(samples)) % 2 == 0
    known, asked = (samples.subset(torch.nonzero(some)[:, 0]) for some in (half, ~half))
    return (fit_tuned(LinearProbe(None, "features"), known, 0, rounds=1)(asked) == asked.labels).float()


def settings(model: nn.Module, small: bool, seed: int = APART) -> dict:
    """The layer and the strength that tell phones best, and the layer for words, of voices set apart."""
    speech = data(small)
    labelled, count = labelled_phrases(speech.train, 5 if small else PHRASES, seed), 1 if small else CHOSEN_AT
    phones = {(layer, strength): phones_of(model, layer, labelled, speech.apart, strength).mean().item()
              for layer in layers(model) for strength in (STRENGTHS[:1] if small else STRENGTHS)}
    words = {layer: words_of(model, layer, speech.words, speech.words_apart, (count,), seed)[count].mean().item() for layer in layers(model)}
    best = max(phones, key=phones.get)
    return {"phones": best, "words": max(words, key=words.get), "scores": {"phones": [[*key, score] for key, score in phones.items()], "words": words},
            "score": phones[best] + max(words.values())}  # fmt: skip


def chosen(arm: str, small: bool) -> dict:
    """The rate of an arm, and the layers and strength of its probes, with a seed and voices set apart."""
    if arm not in WAYS:
        return settings(unlearned(arm, APART), small)
    found = {rate: settings(pretrained(arm, rate, APART, small)[0], small) for rate in RATES}
    rate = max(found, key=lambda rate: found[rate]["score"])
    return {"pretrained": rate, "rates": {rate: each["score"] for rate, each in found.items()}, **found[rate]}


@torch.no_grad()
def given_away(model: AcousticLSTM, objective: ContrastivePrediction, phrases: SpeechDataset, seed: int) -> dict[str, float]:
    """The loss onwards, a frame, where frames are told from those of other utterances, of any voice and of the same one.

    "true" is the loss of the true frames; "stand-in" that of other frames of the same utterance in their place.
    """
    told = copy.deepcopy(objective)
    told.config = replace(told.config, negatives="other")
    order = Keys.of(seed, [0]).permutation("others", len(phrases))[0]
    batches = {"any voice": order.split(BATCH), "same voice": [torch.nonzero(phrases.voices == voice)[:, 0] for voice in phrases.voices.unique()]}
    found = {}
    for kind, parts in batches.items():
        sums, count = {"true": 0.0, "stand-in": 0.0}, 0.0
        for ids in (ids for ids in parts if len(ids) > 1):
            keys = Keys.of(seed, ids.tolist())
            batch = told.batch(phrases.take(keys), keys)
            with answering(model):
                contexts = told.contexts(model, batch)
            frames, mask = contexts.frames, contexts.mask
            chance = keys.uniform("stand-in", mask.shape[1:]).masked_fill(~mask, 2.0)
            shuffled = frames.gather(1, chance.argsort(1)[:, :, None].expand_as(frames))
            drawn = of_others(frames.gather(1, batch.inputs["places"][:, :, None].expand(-1, -1, frames.shape[2])))
            for name, asked in (("true", frames), ("stand-in", shuffled)):
                sums[name] += told.loss(told.onwards, contexts.earlier, asked, drawn, None, mask).item()
            count += batch.counts["contrastive"] / 2
        found |= {f"{kind}, {name}": value / count for name, value in sums.items()}
    return found


def one_seed(arm: str, setting: dict, seed: int, small: bool) -> dict:
    """What an arm tells right of phones, words and voices, and what gives its answer away."""
    speech, about = data(small), {}
    model = unlearned(arm, seed)
    if arm in WAYS:
        model, objective, loss = pretrained(arm, setting["pretrained"], seed, small)
        about = {"loss": loss, "given away": given_away(model, objective, speech.test, seed),
                 "voice of what is compared": voices_of(model, 0, speech.train).mean().item()}
    layer, strength = setting["phones"]
    draws = [labelled_phrases(speech.train, 5 if small else PHRASES, DRAWS * seed + draw) for draw in range(DRAWS)]
    return {"phones": torch.stack([phones_of(model, layer, some, speech.test, strength) for some in draws]).mean(0),
            "words": words_of(model, setting["words"], speech.words, speech.words_test, LABELS[:1] if small else LABELS, seed),
            "voices": voices_of(model, layer, speech.train), **about}  # fmt: skip


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the settings that were chosen, and each seed's run. Arms may be measured in processes of their own."""
    setting = chosen(arm, small)
    return {"setting": setting, "runs": [one_seed(arm, setting, seed, small) for seed in (SEEDS[:2] if small else SEEDS)]}


def utterances(small: bool) -> Tensor:
    """The phrase of each frame of the test: frames of one are drawn together."""
    return frame_samples(StackedSteps(), data(small).test).sound


def finish(parts: dict, small: bool = False) -> dict:
    """What is kept of all arms: accuracies of each seed, losses, and the leads."""
    counts = LABELS[:1] if small else LABELS

    def scores(pick) -> dict[str, Tensor]:  # {arm: (N, seeds)}
        return {arm: torch.stack([pick(run) for run in part["runs"]], 1) for arm, part in parts.items()}

    tasks = {"phones": scores(lambda run: run["phones"]), "voices": scores(lambda run: run["voices"]),
             **{f"words, {count}": scores(lambda run, count=count: run["words"][count]) for count in counts}}
    groups = {"phones": utterances(small)}
    pairs = (("same", "frozen random"), ("other", "frozen random"), ("same", "other"), ("frozen random", "log-mel ± 3"), ("other", "same"))
    return {"device": "cpu", "updates": STEPS, "batch": BATCH, "labels": list(counts), "phrases": PHRASES, "negatives": NEGATIVES, "chance_loss": log(1 + NEGATIVES),
            "setting": {arm: part["setting"] for arm, part in parts.items()},
            "accuracy": {task: {arm: each.mean(0).tolist() for arm, each in found.items()} for task, found in tasks.items()},
            "leads": {task: {f"{a} over {b}": [list(each) for each in lead(found[a], found[b], groups.get(task))] for a, b in pairs} for task, found in tasks.items()},
            **{what: {arm: [run[what] for run in parts[arm]["runs"]] for arm in WAYS} for what in ("loss", "given away", "voice of what is compared")}}  # fmt: skip


def run(scale: str) -> dict:
    """Accuracies, losses and leads of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def points(found) -> str:
    """A lead with both its intervals, in points."""
    (difference, low, high, _), (_, least, most, _) = found
    return f"{100 * difference:+.1f} points (utterances {100 * low:+.1f} to {100 * high:+.1f}, seeds {100 * least:+.1f} to {100 * most:+.1f})"


def is_clear(found, least: float = 0.0) -> bool:
    """Whether A leads B by so much, and by both intervals at all."""
    return found[0][0] >= least and all(low > 0 for _, low, _, _ in found)


def kept(measured: dict, arm: str, what: str) -> float:
    """Which share of what it has learned to tell from other utterances an arm keeps in another case."""
    chance = measured["chance_loss"]
    known, asked = (chance - mean(run[name] for run in measured["given away"][arm]) for name in ("any voice, true", what))
    return asked / known


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, leads = {True: "held", False: "failed"}, measured["leads"]
    phones, words, voices = leads["phones"], leads[f"words, {measured['labels'][0]}"], leads["voices"]
    told = "; ".join(f"{arm}: phones {mean(measured['accuracy']['phones'][arm]):.3f}, words "
                     + ", ".join(f"{mean(measured['accuracy'][f'words, {count}'][arm]):.3f}" for count in measured["labels"])
                     + f", voices {mean(measured['accuracy']['voices'][arm]):.3f}" for arm in ARMS)  # fmt: skip
    stand, voice = {arm: kept(measured, arm, "any voice, stand-in") for arm in WAYS}, kept(measured, "other", "same voice, true")
    random, spectra = "same over frozen random", words["frozen random over log-mel ± 3"]
    worse = words["other over frozen random"]
    return (f"With {measured['phrases']} labelled phrases, and {', '.join(map(str, measured['labels']))} labels a word: {told}. "
            f"1. Same over frozen random, phones {points(phones[random])}, words {points(words[random])}: "
            f"{said[is_clear(phones[random], 0.02) and is_clear(words[random], 0.04)]}. "
            f"2. Other over frozen random, words {points(worse)}: {said[all(high < 0 for _, _, high, _ in worse)]}. "
            f"3. Same over other, phones {points(phones['same over other'])}, words {points(words['same over other'])}: "
            f"{said[is_clear(phones['same over other'], 0.03) and is_clear(words['same over other'], 0.1)]}. "
            f"4. Frozen random over log-mel {points(spectra)}: {said[is_clear(spectra, 0.03)]}. "
            f"5. Voices, other over same {points(voices['other over same'])}: {said[is_clear(voices['other over same'], 0.03)]}. "
            f"6. Any frame of the utterance keeps {100 * stand['other']:.0f} % of what other has learned, and {100 * stand['same']:.0f} % of what same has: "
            f"{said[stand['other'] >= 0.5 and stand['same'] < 0.25]}. "
            f"7. Among utterances of the same voice other keeps {100 * voice:.0f} %: {said[voice <= 0.75]}.")  # fmt: skip
