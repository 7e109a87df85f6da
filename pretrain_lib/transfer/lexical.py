"""Scores of queries and documents by the words they share: what learned vectors have to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .tfidf import TERMS, weights_of, within_words

Terms = Literal["words", "characters"]


def bm25_scores(queries: Sequence[str], documents: Sequence[str], terms: Terms = "words",
                k1: float = 1.5, b: float = 0.75) -> Tensor:
    """The BM25 score of each query with each document.

    A term that a query and a document share adds idf · f / (f + k₁ (1 − b + b L / M)), where f is
    how often the document has it, L the document's number of terms, M the mean one, and
    idf = log(1 + (N − n + ½) / (n + ½)), of N documents of which n have the term. A term counts as
    often as the query has it.

    Terms are words in lower case, runs of letters, digits and marks, as they stand: without their
    endings cut off, and common ones not left out. Chinese, Japanese and Thai write no spaces, and
    such a word is a clause, which hardly recurs: there, take runs of one to three characters.

    Args:
        queries: Q texts.
        documents: N texts, the pool; how rare a term is, is counted in them.
        terms: "words" or "characters".
        k1: how soon repeating a term stops to count, at least 0.
        b: how much long documents are made up for, 0 to 1.

    Returns:
        (Q, N) float64; 0 where nothing is shared.

    Raises:
        ValueError: if a text has no word, there is none, or a setting is not allowed.

    Source: Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond",
    Foundations and Trends in Information Retrieval 2009; as Lucene has it, with an idf that is
    never negative and without a factor k₁ + 1, which changes no order (Kamphuis et al., "Which BM25
    do you mean?", ECIR 2020).
    """
    from bm25s import BM25

    if k1 < 0 or not 0 <= b <= 1:
        raise ValueError(f"k1 must be at least 0 and b between 0 and 1, got {k1} and {b}")
    terms_of = analyser(terms)
    asked = terms_of_each(queries, terms_of, "query")
    index = BM25(k1=k1, b=b, method="lucene", dtype="float64")
    index.index(terms_of_each(documents, terms_of, "document"), show_progress=False)
    return torch.from_numpy(np.stack([index.get_scores(query) for query in asked]))


def tfidf_scores(queries: Sequence[str], documents: Sequence[str],
                 terms: Terms = "words") -> Tensor:
    """The cosine of the TF-IDF weights of each query with those of each document.

    The weights are those of a `TfidfClassifier`; how rare a term is, is counted in the documents.

    Args:
        queries: Q texts.
        documents: N texts, the pool.
        terms: "words", with pairs of neighbouring words, or "characters", runs of one to three, for
            what is written without spaces.

    Returns:
        (Q, N) float64; 0 where nothing is shared.

    Raises:
        ValueError: if a text has no word, there is none, or the terms are neither of the two.
    """
    weights = weights_of(terms)
    terms_of = weights.build_analyzer()
    terms_of_each(queries, terms_of, "query")
    terms_of_each(documents, terms_of, "document")
    pool = weights.fit_transform(documents)
    return torch.from_numpy((weights.transform(queries) @ pool.T).toarray())


def tfidf_cosines(first: Sequence[str], second: Sequence[str], terms: Terms = "words") -> Tensor:
    """The cosine of the TF-IDF weights of the two texts of each pair.

    The weights are those of `tfidf_scores`; how rare a term is, is counted in all of these texts.

    Args:
        first: N texts.
        second: N texts, one for each.
        terms: "words" or "characters".

    Returns:
        (N,) float64; 0 where nothing is shared.
    """
    weights = weights_of(terms).fit([*first, *second])
    products = weights.transform(first).multiply(weights.transform(second))
    return torch.from_numpy(np.asarray(products.sum(1)).reshape(-1))


def analyser(terms: str) -> Callable[[str], list[str]]:
    """The function from a text to its words, or to its runs of one to three characters.

    Raises:
        ValueError: if it is to find neither.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    if terms not in TERMS:
        raise ValueError(f"terms must be 'words' or 'characters', got {terms!r}")
    if terms == "characters":
        return weights_of(terms).build_analyzer()
    return CountVectorizer(token_pattern=rf"[{within_words()}]+").build_analyzer()


def terms_of_each(texts: Sequence[str], terms_of: Callable[[str], list[str]],
                  kind: str) -> list[list[str]]:
    """The terms of each text.

    Raises:
        ValueError: if a text has none, or there is no text.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"there must be at least one {kind}, in a list, got {texts!r}")
    found = [terms_of(text) for text in texts]
    for number, own in enumerate(found):
        if not any(term.strip() for term in own):
            raise ValueError(f"{kind} {number} has no word to find anything by: {texts[number]!r}")
    return found
