"""Counted words or characters under a linear classifier: what a text model has to beat."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from ..data.tasks.encoded import EncodedText

JOINERS = "\u200c\u200d"  # within a word, such as one of Hindi or Persian
TERMS = ("words", "characters")


def words_and_characters(strengths: tuple[float, ...]) -> tuple[tuple[float, str], ...]:
    """The settings of a `TfidfClassifier` that counts whichever of the two serves better."""
    return tuple((strength, terms) for terms in TERMS for strength in strengths)


class TfidfClassifier:
    """Logistic regression on the TF-IDF weights of the terms of a text.

    Terms are words and pairs of neighbouring words, or else runs of one to three characters. Words
    are what spaces and punctuation leave of a text: of Chinese or Thai, whole clauses. In every
    language, which terms serve better is chosen as the strength is: on the labelled texts alone.

    A term counts 1 + log(its number) in a text, divided by how common it is among the labelled
    texts; vectors have length 1. Vocabulary and weights come from the labelled texts alone.

    Args:
        grid: the settings to choose from, the default first: inverse strengths C of the L2 penalty,
            each with its terms, as in (10.0, "characters"). A number alone counts words.
    """

    def __init__(self, grid: tuple = words_and_characters((10.0, 1.0, 100.0))):
        self.grid = grid

    def fit(self, labelled: EncodedText, setting: tuple[float, str] | float,
            seed: int = 0) -> Callable[[EncodedText], Tensor]:
        """Fits with a setting of the grid; returns a function from texts to predicted labels.

        Raises:
            ValueError: if its terms are neither "words" nor "characters".
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from threadpoolctl import threadpool_limits

        strength, terms = setting if isinstance(setting, tuple) else (setting, "words")
        classifier = make_pipeline(weights_of(terms), LogisticRegression(C=strength, max_iter=1000))
        with threadpool_limits(1, "blas"):  # as in a LinearProbe
            classifier.fit(labelled.sentences, labelled.labels.numpy())
        return lambda samples: torch.from_numpy(classifier.predict(samples.sentences))


def weights_of(terms: str):
    """scikit-learn's TF-IDF of words and their pairs, or of one to three characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if terms not in TERMS:
        raise ValueError(f"terms must be 'words' or 'characters', got {terms!r}")
    if terms == "characters":
        return TfidfVectorizer(sublinear_tf=True, analyzer="char", ngram_range=(1, 3))
    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=word_pattern())


def word_pattern() -> str:
    """Every run of letters, digits and marks is a word; so is any other character but a space."""
    return rf"[{within_words()}]+|[^{within_words()}\s]"


@cache
def within_words() -> str:
    r"""The characters within words: letters, digits and marks.

    `\w` alone would end a word at each vowel sign of Hindi, for signs are marks (Unicode's category
    M), and no letters.
    """
    marks = (c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M")
    return rf"\w{''.join(marks)}{JOINERS}"
