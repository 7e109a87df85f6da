"""Counted words under a linear classifier: what a text model has to beat."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..data.tasks.encoded import EncodedText


class TfidfClassifier:
    """Logistic regression on the TF-IDF weights of words and pairs of neighbouring words.

    A term counts 1 + log(its number) in a text, divided by how common it is among the labelled
    texts; vectors have length 1. Vocabulary and weights come from the labelled texts alone.

    Args:
        grid: inverse strengths C of the L2 penalty; the first one is the default.
        pairs: whether pairs of neighbouring words are terms too.
    """

    def __init__(self, grid: tuple[float, ...] = (10.0, 1.0, 100.0), pairs: bool = True):
        self.grid = grid
        self.pairs = pairs

    def fit(self, labelled: EncodedText, setting: float,
            seed: int = 0) -> Callable[[EncodedText], Tensor]:
        """Fits with C = `setting`; returns a function from texts to predicted labels."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        # Every run of letters or digits is a word, as is every other character but a space.
        terms = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2 if self.pairs else 1),
                                token_pattern=r"\w+|[^\w\s]")
        classifier = make_pipeline(terms, LogisticRegression(C=setting, max_iter=1000))
        classifier.fit(labelled.sentences, labelled.labels.numpy())
        return lambda samples: torch.from_numpy(classifier.predict(samples.sentences))
