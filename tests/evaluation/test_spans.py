"""Spans and their F1, against the definition and a second reading of conlleval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_lib.evaluation.spans import span_scores, spans

TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), max_size=9)


def conlleval(tags):
    """The spans by the rules of conlleval: where does one start, where does it end?"""
    found, open_at = set(), None
    for i in range(len(tags) + 1):
        before, now = (tags[i - 1] if i else "O"), (tags[i] if i < len(tags) else "O")
        ends = before != "O" and (now[0] in "BO" or now[1:] != before[1:])
        starts = now != "O" and (now[0] == "B" or before == "O" or now[1:] != before[1:])
        if ends:
            found.add((open_at, i, before[2:]))
        if starts:
            open_at = i
    return found


@given(TAGS)
def test_spans_are_those_of_conlleval(tags):
    assert spans(tags) == conlleval(tags)


@given(st.lists(st.tuples(TAGS, st.randoms()), min_size=1, max_size=4))
def test_scores_are_those_of_the_definition(rows):
    true = [tags for tags, _ in rows]
    guess = [[tag if chance.random() < 0.7 else "B-A" for tag in tags] for tags, chance in rows]
    both = [
        (i, s) for i, tags in enumerate(true) for s in conlleval(tags) if s in conlleval(guess[i])
    ]
    said, there = (sum(len(conlleval(tags)) for tags in part) for part in (guess, true))
    found = span_scores(guess, true)
    assert found.precision == (len(both) / said if said else 0)
    assert found.recall == (len(both) / there if there else 0)
    p, r = found.precision, found.recall
    assert found.f1 == pytest.approx(2 * p * r / (p + r) if p + r else 0)


def test_half_a_name_is_no_name():
    assert span_scores([["B-A", "O", "O"]], [["B-A", "I-A", "O"]]).f1 == 0
    assert span_scores([["B-B", "I-B"]], [["B-A", "I-A"]]).f1 == 0
    assert span_scores([["B-A", "I-A", "O", "B-A"]], [["B-A", "I-A", "O", "O"]]) == (
        0.5,
        1.0,
        pytest.approx(2 / 3),
    )


def test_sentences_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="2 predicted tags do not fit 1 true ones"):
        span_scores([["O", "O"]], [["O"]])
    with pytest.raises(ValueError):
        span_scores([], [["O"]])
