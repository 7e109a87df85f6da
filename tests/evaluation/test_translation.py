"""chrF and exact match against sacrebleu and by hand."""

import numpy as np
import pytest
import sacrebleu
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pretrain_lib.evaluation.translation import chrf, exact_matches, sentence_chrf

TEXT = st.text("abcé文件 .%1", max_size=14)
PAIRS = st.lists(st.tuples(TEXT, st.text("abcé文件.%1", min_size=1, max_size=14)),
                 min_size=1, max_size=6)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(PAIRS)
@example([("", "abc")])
@example([("abcabcabc", "ab")])  # longer n-grams than the reference has
@example([("打开文件", "打开 文件夹")])
def test_chrf_is_sacrebleus(pairs):
    written, references = map(list, zip(*pairs, strict=True))
    whole = sacrebleu.corpus_chrf(written, [references]).score / 100
    each = [sacrebleu.sentence_chrf(a, [b]).score / 100 for a, b in pairs]
    assert chrf(written, references) == pytest.approx(whole, abs=1e-12)
    assert sentence_chrf(written, references) == pytest.approx(each, abs=1e-12)


def test_chrf_by_hand():
    """"abd" for "abc": 2 of 3 characters, 1 of 2 pairs, no triple; spaces do not count."""
    mean = (2 / 3 + 1 / 2 + 0) / 3
    assert chrf(["a bd"], ["ab c"]) == pytest.approx(mean)
    assert chrf(["abc", "打开"], ["abc", "打开"]) == 1.0
    assert chrf(["xyz"], ["abc"]) == 0.0


def test_recall_counts_more_than_precision():
    too_short, too_long = chrf(["abcd"], ["abcdefgh"]), chrf(["abcdefgh"], ["abcd"])
    assert too_short < too_long


def test_exact_matches():
    got = exact_matches(["Ouvrir", "ouvrir", "Fermer "], ["Ouvrir", "Ouvrir", "Fermer"])
    assert got.tolist() == [True, False, False] and got.dtype == np.bool_


@pytest.mark.parametrize("score", [chrf, sentence_chrf, exact_matches])
@pytest.mark.parametrize("written, references", [(["a"], ["a", "b"]), ([], [])])
def test_what_cannot_be_scored(score, written, references):
    with pytest.raises(ValueError, match=f"{len(written)} texts and {len(references)} references"):
        score(written, references)
