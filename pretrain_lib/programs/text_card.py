"""The card of a model of texts in the zoo: what it was trained on, and how well it fills blanks."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..data.source import Data
from ..data.text.tokenizer import special_ids, vocabulary_size
from ..evaluation.common_blanks import load_common_blanks
from ..evaluation.counting import TwoSidedBigram, Unigram, WithOwnToken, token_counts
from ..evaluation.masked import MaskedScores, masked_scores
from ..evaluation.sentence_pairs import pair_scores
from .recipe import Recipe

CARD = """# {name}

A small {architecture} that was trained to fill blanks in the State of the Union addresses of the presidents of the United
States, 1790 to 2026. It comes with *Pre-training from First Principles* and serves its chapters wherever training live
would take too long.

```python
from pretrain_lib import load_pretrained
model = load_pretrained("{name}")                       # float32, on the CPU

from transformers import pipeline
pipeline("fill-mask", model="{folder}", dtype="float32")   # 16 bits are slow on most CPUs
```

| | |
|---|---|
| parameters | {parameters:,} |
| file | {megabytes:.1f} MB, float16 |
| trained on | all addresses but the 36 of `sotu-8192/held_out.json`: {tokens:,} tokens, seen {epochs:.1f} times |
| recipe | `recipe.toml`, with `python -m pretrain_lib pretrain recipe.toml` |
| log | `log.jsonl` |
| versions | {versions} |

## Scores

On the blanks of `sotu-8192`, in addresses that it was not trained on (15 % of the tokens, 80/10/10):

| predictor | loss (nats) | right |
|---|---|---|
{scores}
{pairs}
"Own token" lets counting use what a network uses: the token that it sees at the blank, which is the right one in a
tenth of the cases.

![Training and held-out loss over the updates, masked at the recipe's rate](curves.png)

## Limits

It knows one kind of speech and nothing else, and it is far too small to know facts. The addresses are speeches of their
times: they speak of slavery and of the removal of Indian nations in the language of those who did it, and the model
repeats that language when asked to fill a blank. It is there to be studied, not to be used on people.

## Terms

The addresses are in the public domain; they come with the package `sotu`. The weights are under the MIT licence of the
course.
"""


PAIRS = """
Of {pairs} pairs of segments from those addresses, {share_false:.1%} of them false, it tells {accuracy:.1%} right: {of_true:.1%} of the
true ones and {of_false:.1%} of the false. False ones are from another address of the same era.
"""


def text_card(model: nn.Module, name: str, recipe: Recipe, data: Data, facts: dict) -> str:
    """The card of a model that was trained on the addresses, beside predictors that only count.

    Args:
        model: as the zoo has stored it.
        name: its name there.
        recipe: what it was trained by.
        data: what it was trained on.
        facts: what the cards of all models say, see `programs.publish`.

    Returns:
        The card, in Markdown.
    """
    _, tokenizer, blanks = load_common_blanks()
    training, _ = data.documents
    mask = special_ids(tokenizer).mask
    unigram = Unigram(token_counts(training, vocabulary_size(tokenizer)))
    bigram = TwoSidedBigram(training, vocabulary_size(tokenizer), special_ids(tokenizer))
    predictors = {"unigram counts": unigram, "bigram counts, both sides": bigram,
                  "bigram counts, own token": WithOwnToken(bigram, mask), f"**{name}**": model}
    seen = recipe.train.steps * recipe.train.batch_size * data.config.length
    return CARD.format(
        **facts, folder=f"pretrain_lib/zoo/{name}", tokens=training.tokens,
        epochs=seen / training.tokens,
        scores="\n".join(score_row(key, masked_scores(predictor, blanks))
                         for key, predictor in predictors.items()),
        pairs=PAIRS.format(**vars(pair_scores(model, data.held_out)))
        if data.config.pairs == "next_sentence" else "")


def score_row(name: str, scores: MaskedScores) -> str:
    """A line of the card's table."""
    return f"| {name} | {scores.loss:.3f} | {scores.accuracy:.1%} |"
