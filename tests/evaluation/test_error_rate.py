"""Error rates: those of jiwer, and edits counted by trying all."""

from functools import cache

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pretrain_lib as pl
from pretrain_lib.evaluation.error_rate import edit_counts, edit_distance

WORDS = st.lists(st.sampled_from(["so", "it", "was", "said"]), max_size=7)
PAIRS = st.lists(st.tuples(WORDS.filter(len), WORDS), min_size=1, max_size=5)


@cache
def fewest(said: tuple, wrote: tuple) -> int:
    """Every way to begin: a symbol is kept or replaced, left out, or put in."""
    if not said or not wrote:
        return len(said) + len(wrote)
    return min(fewest(said[1:], wrote[1:]) + (said[0] != wrote[0]), fewest(said[1:], wrote) + 1, fewest(said, wrote[1:]) + 1)


@given(WORDS, WORDS)
@settings(max_examples=200, deadline=None)
def test_the_distance_is_the_fewest_edits(said, wrote):
    assert edit_distance(said, wrote) == fewest(tuple(said), tuple(wrote)) == edit_distance(wrote, said)


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_the_rate_is_jiwers(pairs):
    said, wrote = map(list, zip(*pairs))
    assert pl.error_rate(said, wrote) == pytest.approx(jiwer.wer([" ".join(s) for s in said], [" ".join(w) for w in wrote]), abs=1e-12)


def test_it_is_counted_over_the_corpus_not_averaged_over_utterances():
    said, wrote = [[1, 2, 3, 4], [5]], [[1, 2, 3, 4], []]
    assert pl.error_rate(said, wrote) == 0.2
    assert edit_counts(said, wrote).tolist() == [[0, 4], [1, 1]]
    counts = edit_counts(said, wrote)
    assert pl.error_rate(said, wrote) == counts[:, 0].sum() / counts[:, 1].sum()


def test_what_is_put_in_can_make_it_more_than_one_and_nothing_written_makes_it_one():
    assert pl.error_rate([["a"]], [["b", "c", "d"]]) == 3.0
    assert pl.error_rate([["a", "b"], ["c"]], [[], []]) == 1.0
    assert pl.error_rate([[], ["c"]], [["x"], ["c"]]) == 1.0
    assert pl.error_rate([np.array([1, 2])], [(1, 2)]) == 0.0


@pytest.mark.parametrize("said, wrote, message", [
    ([["a"]], [], "0 transcripts and 1 references: each transcript needs one"),
    ([], [], "0 transcripts and 0 references"),
    (["so it was"], [["so"]], "a transcript must be a list of words or phones, got 'so it was': split it"),
    ([[], []], [[], ["a"]], "all references are empty: there is nothing to be wrong about"),
])
def test_what_cannot_be_compared_is_refused(said, wrote, message):
    with pytest.raises(ValueError, match=message):
        pl.error_rate(said, wrote)
