"""BM25 and TF-IDF as scores, against their formulas written out."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

import pretrain_lib as pl

DOCUMENTS = ["The army of the north", "gold and silver, silver and gold", "The NORTH has gold", "peace"]
QUERIES = ["gold in the north", "silver silver", "unheard words"]


def by_the_formula(queries, documents, k1=1.5, b=0.75):
    """BM25 term by term."""
    texts = [Counter(re.findall(r"\w+", text.lower())) for text in documents]
    mean = sum(text.total() for text in texts) / len(texts)

    def score(query, text):
        total = 0.0
        for term in re.findall(r"\w+", query.lower()):
            n = sum(term in other for other in texts)
            idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
            total += idf * text[term] / (text[term] + k1 * (1 - b + b * text.total() / mean)) if text[term] else 0
        return total

    return np.array([[score(query, text) for text in texts] for query in queries])


@pytest.mark.parametrize("k1, b", [(1.5, 0.75), (0.9, 0.4), (2.0, 0.0), (0.0, 1.0)])
def test_bm25_is_its_formula(k1, b):
    np.testing.assert_allclose(pl.bm25_scores(QUERIES, DOCUMENTS, k1=k1, b=b), by_the_formula(QUERIES, DOCUMENTS, k1, b), atol=1e-12)


words = st.lists(st.sampled_from(["a", "bee", "cat", "dog", "eel"]), min_size=1, max_size=8).map(" ".join)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(words, min_size=1, max_size=3), st.lists(words, min_size=1, max_size=5))
def test_bm25_of_any_texts_is_its_formula(queries, documents):
    np.testing.assert_allclose(pl.bm25_scores(queries, documents), by_the_formula(queries, documents), atol=1e-12)


def test_tfidf_is_scikit_learns_cosine():
    from sklearn.metrics.pairwise import cosine_similarity

    vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]").fit(DOCUMENTS)
    theirs = cosine_similarity(vectors.transform(QUERIES), vectors.transform(DOCUMENTS))
    np.testing.assert_allclose(pl.tfidf_scores(QUERIES, DOCUMENTS), theirs, atol=1e-12)


@pytest.mark.parametrize("score", [pl.bm25_scores, pl.tfidf_scores])
def test_chinese_is_found_by_its_characters_and_not_by_its_words(score):
    documents = ["打开文件。", "关闭所有标签页", "保存笔记本"]
    queries = ["请关闭标签页", "保存这个笔记本吧"]
    assert score(queries, documents, "characters").argmax(1).tolist() == [1, 2]
    assert not score(queries, documents).any()


def test_a_shared_word_leads_to_the_document_and_nothing_shared_measures_as_chance():
    scores = pl.bm25_scores(QUERIES, DOCUMENTS)
    assert scores.dtype == torch.float64 and scores.shape == (3, 4)
    found = pl.measure_retrieval(scores, torch.tensor([2, 1, 3]), at=(1,))
    assert found.hit[1].tolist() == [1, 1, 0.25]


@pytest.mark.parametrize("score", [pl.bm25_scores, pl.tfidf_scores])
@pytest.mark.parametrize("queries, documents, message", [
    (QUERIES, [], "there must be at least one document, in a list"),
    ([], DOCUMENTS, "there must be at least one query, in a list"),
    ("gold", DOCUMENTS, "there must be at least one query, in a list, got 'gold'"),
    (["gold", "  "], DOCUMENTS, "query 1 has no word to find anything by: '  '"),
    (["gold"], ["silver", ""], "document 1 has no word to find anything by: ''"),
])  # fmt: skip
def test_what_has_no_words_is_refused(score, queries, documents, message):
    with pytest.raises(ValueError, match=message):
        score(queries, documents)


@pytest.mark.parametrize("score", [pl.bm25_scores, pl.tfidf_scores])
def test_terms_that_are_neither_are_named(score):
    with pytest.raises(ValueError, match="terms must be 'words' or 'characters', got 'chars'"):
        score(["a"], ["b"], "chars")


def test_settings_of_bm25_are_checked():
    with pytest.raises(ValueError, match="k1 must be at least 0 and b between 0 and 1, got 1.5 and 2"):
        pl.bm25_scores(["a"], ["b"], b=2)
