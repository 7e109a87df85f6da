"""The card of a model of speech in the zoo: what it was trained on, and what a probe tells by it."""

from __future__ import annotations

from functools import lru_cache
from statistics import mean

from torch import nn

from ..data.source import Columns, Data
from ..data.speech.dataset import SpeechDataset
from ..data.speech.load import load_speech
from ..data.speech.room import Room
from ..data.splits import labelled_subset
from ..models.frames import StackedSteps
from ..transfer.probe import LinearProbe
from ..transfer.speech import frame_samples, sound_samples
from .recipe import Recipe

PHRASES, ASKED, SPEAKING, DRAWS = 20, 100, 800, 10
STRENGTH = {"phones": 0.1, "words": 1.0, "voices": 1.0}

CARD = """# {name}

A small {architecture} that was trained to tell what comes next in a sound from other frames of the same phrase. It comes
with *Pre-training from First Principles* and serves its chapters wherever training live would take too long.

```python
from pretrain_lib import Room, load_pretrained, load_speech
model = load_pretrained("{name}")                      # float32, on the CPU
speech = load_speech("phrases", "test", room=Room())
frames, mask = model.frames(speech.features, speech.lengths)   # (N, T′, {size}), a frame every 20 ms
```

| | |
|---|---|
| parameters | {parameters:,} |
| file | {megabytes:.1f} MB, float16 |
| reads | log-mels of 16 kHz, 40 bands, 100 steps a second, less the clip's mean: the column `features` of `load_speech` |
| trained on | {minutes:.0f} minutes of phrases that eSpeak NG says in {voices} voices, each clip in a room of its own, heard {epochs:.0f} times. Synthesised voices only: no person speaks |
| recipe | `recipe.toml`, with `python -m pretrain_lib pretrain recipe.toml` |
| log | `log.jsonl` |
| versions | {versions} |

## Scores

The share that a linear probe tells: phones of frames of {asked} phrases of the split "test", whose voices and words it was not
trained on, with {phrases} phrases of "train" labelled; the twenty words of "test", with one labelled clip each, the mean of {draws} draws; and
voices of {half} phrases of "train", with as many others labelled. Rooms everywhere, one strength of the probe, one run: a
description of this file, no measurement of the method. That has three seeds, in `results/15-negatives.json`. How long to train was
chosen by the held-out loss of an earlier run, on phrases of "test": what is told of them here flatters a little.

| frames | phones | words | voices |
|---|---|---|---|
{scores}

![The loss over the updates, in training and on held-out voices](curves.png)
{by_heart}
## What for

To study what a network keeps of a sound; to start from where the voices are eSpeak NG's; to check programs with. Its two
directions never meet: the first half of a frame's vector has heard nothing later, the second half nothing earlier.

Not for people's speech, of which it has heard none, nor for any claim about it; not for telling people apart or making out
who they are; not for transcripts without a head that is trained for them (`fine_tune_ctc`). The data card, `docs/speech.md`,
has the flaws of what it heard.

## Terms

The words of the phrases are from State of the Union addresses, in the public domain. eSpeak NG, under GPL-3.0-or-later, said
them; no part of the program is in this file. The weights are under the MIT licence of the course.
"""

BY_HEART = """
In "test" the loss was lowest after {best:,} updates, {lowest:.2f} nats, and {last:.2f} at the end: part of what training still learned
after that is the phrases by heart (chapter 11, section 3).
"""


@lru_cache
def heard(name: str, split: str) -> SpeechDataset:
    return load_speech(name, split, room=Room())


def share_told(known: Columns, asked: Columns, task: str) -> float:
    """The share of samples that a linear probe tells."""
    classify = LinearProbe(None, "features").fit(known, STRENGTH[task])
    return (classify(asked) == asked.labels).float().mean().item()


def phones_told(model: nn.Module, layer: int = -1) -> float:
    """The share of frames of unheard voices and words whose phone a probe tells.

    Args:
        model: a model of frames.
        layer: whose vectors, see `frame_samples`.
    """
    labelled = heard("phrases", "train").subset(range(PHRASES))
    asked = heard("phrases", "test").subset(range(ASKED))
    known, frames = (frame_samples(model, some, layer=layer) for some in (labelled, asked))
    return share_told(known, frames, "phones")


def words_told(model: nn.Module, layer: int = -1) -> float:
    """The share of clips of unheard voices whose word a probe tells, with one labelled clip each."""
    known, asked = (sound_samples(model, heard("words", split), layer=layer)
                    for split in ("train", "test"))
    return mean(share_told(labelled_subset(known, 1, draw), asked, "words")
                for draw in range(DRAWS))


def voices_told(model: nn.Module, layer: int = -1) -> float:
    """The share of phrases whose voice a probe tells that knows as many others of these voices."""
    phrases = heard("phrases", "train").subset(range(SPEAKING))
    samples = sound_samples(model, phrases, "voices", layer)
    known, asked = (samples.subset(range(i, SPEAKING, 2)) for i in (0, 1))
    return share_told(known, asked, "voices")


def score_row(name: str, model: nn.Module, layer: int = -1) -> str:
    """A line of the card's table."""
    shares = (told(model, layer) for told in (phones_told, words_told, voices_told))
    return f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


def speech_card(model: nn.Module, name: str, recipe: Recipe, data: Data, facts: dict) -> str:
    """The card of a model that was trained on synthesised phrases, beside what nothing has trained.

    Args:
        model: as the zoo has stored it.
        name: its name there.
        recipe: what it was trained by.
        data: what it was trained on.
        facts: what the cards of all models say, see `programs.publish`.

    Returns:
        The card, in Markdown.
    """
    speech, untrained = data.training, type(model)(model.config, recipe.train.seed)
    losses = facts["held_out"]
    best, end = min(losses, key=losses.get), max(losses)
    by_heart = BY_HEART.format(best=best, lowest=losses[best], last=losses[end])
    layers = range(1, model.config.num_hidden_layers + 1)
    rows = [score_row("log-mel ± 3", StackedSteps(context=3)),
            *(score_row(f"random network, layer {layer}", untrained, layer) for layer in layers),
            *(score_row(f"**{name}**, layer {layer}", model, layer) for layer in layers)]
    return CARD.format(
        **facts, size=model.feature_size, voices=len(speech.voices.unique()),
        minutes=float(speech.sounds.lengths.sum()) / speech.rate / 60,
        epochs=recipe.train.steps * recipe.train.batch_size / len(speech), asked=ASKED,
        by_heart=by_heart if losses[end] > 1.02 * losses[best] else "",
        phrases=PHRASES, draws=DRAWS, half=SPEAKING // 2, scores="\n".join(rows))
