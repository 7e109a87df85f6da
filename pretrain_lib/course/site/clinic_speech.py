"""The failure clinic's runs on speech: prediction, transcripts and words, each learned as it should be, or wrongly."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import log

import torch
from torch import nn
from torch.nn import functional as F

from ...data.keys import Keys
from ...data.source import UNSCORED, Source
from ...data.speech.buckets import LengthBuckets
from ...data.speech.dataset import SpeechDataset
from ...data.speech.load import load_speech
from ...data.speech.room import Room
from ...evaluation.error_rate import error_rate
from ...models.acoustic import AcousticLSTM, AcousticLSTMConfig, Contexts
from ...models.transcriber import Transcriber
from ...objectives.base import Batch, Objective
from ...objectives.classification import Classification
from ...objectives.contrastive_prediction import ContrastivePrediction
from ...objectives.ctc import CTC
from ...objectives.sound import LENGTHS
from ...training.config import TrainConfig
from ...training.trainer import Trainer
from ...transfer.features import logits
from ...transfer.probe import LinearProbe
from ...transfer.speech import frame_samples, sound_samples, transcripts

SEED, BATCH, HIDDEN, NEGATIVES = 0, 16, 96, 32
APART, JOINED = (AcousticLSTMConfig(hidden_size=HIDDEN, num_hidden_layers=1, directions=way) for way in ("apart", "joined"))
RATE, STEPS, EVERY = 3e-3, {"prediction": 300, "transcripts": 600, "words": 200}, {"prediction": 100, "transcripts": 30, "words": 10}
LABELLED, ASKED, SPEAKING = 20, 100, 800  # phrases: whose phones are labelled, of the test, whose voices are asked for
KNOWN = 40  # of 52 voices: words by these are learned from


@lru_cache
def speech(name: str, split: str = "train") -> SpeechDataset:
    return load_speech(name, split, room=Room())


def asked() -> SpeechDataset:
    """Phrases of voices, and of words, that no run has heard."""
    return speech("phrases", "test").subset(range(ASKED))


def words_by_voice() -> list[SpeechDataset]:
    """Clips of words, those of known voices and those of all others."""
    words = speech("words")
    return [words.subset(torch.nonzero(some)[:, 0]) for some in (words.voices < KNOWN, words.voices >= KNOWN)]


def watched(model: nn.Module, objective: Objective, source: SpeechDataset, kind: str, rate: float, measure: Callable[[nn.Module], dict],
            start: dict | None = None) -> dict:
    """The log of one run: [step, loss], and of all that `measure` gives [step, value]; `start` is what it gives of the untrained model."""
    config = TrainConfig(steps=STEPS[kind], batch_size=BATCH, learning_rate=rate, weight_decay=1e-4, warmup_steps=STEPS[kind] // 10, gradient_clipping=5.0,
                         precision="fp32", device="cpu", seed=SEED, log_every=2, evaluate_every=EVERY[kind])
    measured = {name: [[0, value]] for name, value in (start or measure(model)).items()}

    class Watched(Trainer):
        def evaluate(self, source: Source) -> dict:
            for name, value in measure(self.model).items():
                measured[name].append([self.step, value])
            return {"loss": 0.0}

    history = Watched(model, objective, LengthBuckets(source, BATCH), config, held_out=source).fit()
    return {"training": [[record["step"], round(record["loss"], 4)] for record in history.records if "loss" in record], **measured}


# -------------------------------------------------------------------------------- what comes next?


class HearsEverything(ContrastivePrediction):
    """Wrong: what predicts a frame has heard the whole utterance, the frame itself included."""

    def contexts(self, model: nn.Module, batch: Batch) -> Contexts:
        layers, mask = model.layers_of(batch.inputs[self.config.column], batch.inputs[LENGTHS])
        return Contexts(layers[0], layers[-1], layers[-1], mask)


def prediction(negatives: str, kind: type[ContrastivePrediction] = ContrastivePrediction, size: int = HIDDEN) -> ContrastivePrediction:
    return kind(APART.conv_dim[-1], size, offsets=4, num_negatives=NEGATIVES, negatives=negatives, seed=SEED)


# name: the shape of the model, and its objective
PREDICTION = {
    "healthy prediction": (APART, lambda: prediction("same")),
    "heard the future": (JOINED, lambda: prediction("same", HearsEverything, 2 * HIDDEN)),
    "voice gives it away": (APART, lambda: prediction("other")),
}


def told(model: nn.Module) -> dict[str, float]:
    """Which share of phones a linear probe tells, in voices and words never heard, and which share of voices, in other phrases."""
    phones = right(*(frame_samples(model, some) for some in (speech("phrases").subset(range(LABELLED)), asked())), strength=0.1)
    spoken = sound_samples(model, speech("phrases").subset(range(SPEAKING)), "voices")
    return {"phones": phones, "voices": right(spoken.subset(range(SPEAKING // 2)), spoken.subset(range(SPEAKING // 2, SPEAKING)), strength=1.0)}


def right(known: Source, asked: Source, strength: float) -> float:
    """The share that a probe gets right."""
    return round((LinearProbe(None, "features").fit(known, strength)(asked) == asked.labels).float().mean().item(), 3)


def measure_prediction() -> dict:
    """All runs of contrastive prediction; untrained they are one network."""
    start = told(AcousticLSTM(APART, SEED))
    return {"loss": "loss (nats)", "lines": {"chance": round(log(1 + NEGATIVES), 4)},
            "runs": {name: watched(AcousticLSTM(shape, SEED), objective(), speech("phrases"), "prediction", RATE, told, start)
                     for name, (shape, objective) in PREDICTION.items()}}


# -------------------------------------------------------------------------------- what was said?

TRANSCRIPTS = {"healthy transcripts": 3e-3, "blank plateau": 3e-4}  # name: learning rate


def written(model: nn.Module, source: SpeechDataset) -> dict[str, float]:
    """The phone error rate, and how many phones are written for each that was said."""
    said, answer = [row[row != UNSCORED].tolist() for row in source.sequences], transcripts(model, source)
    return {"error": round(error_rate(said, answer), 3), "written": round(sum(map(len, answer)) / sum(map(len, said)), 3)}


def loss_of_one_answer(clips: SpeechDataset, symbols: int) -> float:
    """The loss of the best answer that is the same at every frame, in nats a phone: of a model that hears nothing."""
    said = [row[row != UNSCORED] for row in clips.sequences]
    frames, lengths = clips.lengths // JOINED.stride, torch.tensor(list(map(len, said)))
    answer = torch.zeros(1 + symbols, requires_grad=True)
    adam = torch.optim.Adam([answer], lr=0.1)
    for _ in range(150):
        log_probs = answer.log_softmax(0).expand(int(frames.max()), len(said), -1)
        loss = F.ctc_loss(log_probs, torch.cat(said), frames, lengths, reduction="sum") / lengths.sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return loss.item()


def measure_transcripts() -> dict:
    known, other = words_by_voice()
    symbols = len(known.symbols) - 1
    return {"loss": "loss (nats a phone)", "lines": {"hears nothing": round(loss_of_one_answer(known, symbols), 4)},
            "runs": {name: watched(Transcriber(AcousticLSTM(JOINED, SEED), symbols), CTC(symbols), known, "transcripts", rate, lambda model: written(model, other))
                     for name, rate in TRANSCRIPTS.items()}}


# -------------------------------------------------------------------------------- which word?


def measure_words() -> dict:
    """One run, with which nothing is wrong but the test that one may believe."""
    known, other = words_by_voice()
    train, same = (known.subset(half) for half in Keys.of(SEED, [0]).permutation("apart", len(known))[0].chunk(2))
    tests, classes = {"same voices": same, "other voices": other}, len(train.classes)

    def wrong(model: nn.Module) -> dict[str, float]:
        """The share of words that are not told, in each test."""
        return {name: round((logits(model, test).argmax(1) != test.labels).float().mean().item(), 3) for name, test in tests.items()}

    classifier = AcousticLSTM(JOINED, SEED).with_classifier(classes, SEED)
    objective = Classification(*classifier.columns, num_classes=classes)
    return {"loss": "loss (nats)", "lines": {"chance": round(log(classes), 4)},
            "runs": {"voice in both parts": watched(classifier, objective, train, "words", RATE, wrong)}}


# -------------------------------------------------------------------------------- as exercise 15.3 shows them


def prediction_as_text(run: dict, told_from: str) -> str:
    """A run of contrastive prediction as a log."""
    loss, phones, voices = (dict(run[kind]) for kind in ("training", "phones", "voices"))
    rows = [f"{step:9}   {loss[step]:6.3f}   {phones[step]:13.3f}   {voices[step]:13.3f}" for step in phones if step]
    return "\n".join([f"pretraining: frames up to four ahead, told from {NEGATIVES} frames of {told_from}, chance {log(1 + NEGATIVES):.2f}",
                      "   update     loss   phones, probe   voices, probe", f"untrained            {phones[0]:13.3f}   {voices[0]:13.3f}", *rows])


def transcripts_as_text(run: dict, hears_nothing: float) -> str:
    """A run of CTC as a log."""
    loss, error, share = (dict(run[kind]) for kind in ("training", "error", "written"))
    rows = [f"{step:6}   {loss[step]:6.3f}   {100 * share[step]:27.0f}   {error[step]:16.3f}" for step in (60, 150, 300, STEPS["transcripts"])]
    return "\n".join([f"transcripts of single words by CTC, test on other voices; the best answer that hears nothing costs {hears_nothing:.2f}",
                      "update     loss   phones written, of 100 said   phone error rate", *rows])


def words_as_text(run: dict) -> str:
    """The run on words as a log."""
    loss, same, other = (dict(run[kind]) for kind in ("training", "same voices", "other voices"))
    rows = [f"{step:6}   {loss[step]:6.3f}   {same[step]:22.3f}   {other[step]:24.3f}" for step in (50, 100, STEPS["words"])]
    return "\n".join(["words, share that is wrong in two tests: recordings set apart at random, and recordings by speakers who came in later",
                      "update     loss   set apart at random   speakers who came in later", *rows])
