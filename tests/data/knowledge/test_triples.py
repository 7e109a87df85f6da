"""Triples: read, numbered, split without leaks; against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.knowledge.triples import Triples, load_triples, triple_leaks

ROWS = [("a", "near", "b"), ("b", "near", "a"), ("a", "in", "x"), ("b", "in", "x"), ("c", "in", "x"), ("c", "near", "a"),
        ("c", "holds", "y"), ("a", "holds", "y"), ("a", "in", "x")]  # the last is there twice
NAMES = st.sampled_from("abcdefgh")
GRAPHS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "s"]), NAMES), min_size=12, max_size=60)


def test_names_become_numbers_and_names_again():
    triples = Triples.of(ROWS)
    assert triples.rows() == list(dict.fromkeys(ROWS)) and len(triples) == 8
    assert triples.entities == ["a", "b", "x", "c", "y"] and triples.relations == ["near", "in", "holds"]
    samples = triples.take(Keys.of(0, [2, 0]))
    assert [column.tolist() for column in samples.values()] == [[0, 0], [1, 0], [2, 1]]
    assert list(samples) == ["head", "relation", "tail"]
    part = triples.subset([6, 1])
    assert part.rows() == [ROWS[6], ROWS[1]] and part.entities == triples.entities


@given(GRAPHS)
@settings(max_examples=25, deadline=None)
def test_masks_of_known_answers_are_those_of_brute_force(rows):
    triples = Triples.of(rows)
    tails, heads = triples.known_tails(triples.head, triples.relation), triples.known_heads(triples.relation, triples.tail)
    true = set(rows)
    for i, (head, relation, tail) in enumerate(triples.rows()):
        assert tails[i].tolist() == [(head, relation, other) in true for other in triples.entities]
        assert heads[i].tolist() == [(other, relation, tail) in true for other in triples.entities]


def test_a_pair_that_nobody_knows_has_no_answers():
    triples = Triples.of(ROWS)
    assert not triples.known_tails(torch.tensor([4]), torch.tensor([0])).any()


@given(GRAPHS, st.sampled_from([0.1, 0.25]), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_split_loses_nothing_and_leaks_nothing(rows, held_out, seed):
    triples = Triples.of(rows)
    try:
        learned, asked = triples.split(held_out, seed)
    except ValueError as error:
        assert "held out" in str(error) or "one triple only" in str(error)
        return
    assert sorted(learned.rows() + asked.rows()) == sorted(triples.rows())
    assert len(asked) == max(1, round(held_out * len(triples)))
    assert triple_leaks(learned, asked) == []
    pairs = [{frozenset((h, t)) for h, _, t in part.rows()} for part in (learned, asked)]
    assert not pairs[0] & pairs[1]
    met = {name for row in learned.rows() for name in row}
    assert all(name in met for row in asked.rows() for name in row)
    again = triples.split(held_out, seed)[1]
    assert again.rows() == asked.rows()


def test_leaks_are_named():
    learned = Triples.of([("b", "near", "a"), ("c", "of", "d"), ("d", "in", "e"), ("f", "near", "g")])
    asked = Triples.of([("a", "near", "b"), ("d", "has", "c"), ("d", "near", "e"), ("f", "near", "g"), ("g", "near", "h")])
    found = triple_leaks(learned, asked)
    assert [leak.kind for leak in found] == ["symmetric", "inverse", "parallel", "same"]
    assert found[1].asked == ("d", "has", "c") and found[1].learned == ("c", "of", "d")


@pytest.fixture(scope="module")
def countries():
    return load_triples("countries")


def test_countries_have_facts_that_are_true(countries):
    rows = set(countries.rows())
    assert {("France", "capital", "Paris"), ("France", "continent", "Europe"), ("Japan", "currency", "JPY"),
            ("Mexico", "language", "es"), ("Djibouti", "capital", "Djibouti (capital)")} <= rows  # fmt: skip
    borders = {(head, tail) for head, relation, tail in rows if relation == "border"}
    assert borders == {(tail, head) for head, tail in borders} and ("France", "Spain") in borders
    assert ("Ireland", "United Kingdom") in borders  # which only the one of them says
    assert len(countries) > 2000 and all(map(str.strip, countries.entities))


def test_a_random_split_of_countries_leaks_and_ours_does_not(countries):
    chance = Keys.of(0, len(countries)).uniform("chance").numpy() < 0.1
    parts = [countries.subset(np.flatnonzero(chance == side)) for side in (False, True)]
    found = triple_leaks(*parts)
    assert len(found) > 30 and {leak.kind for leak in found} == {"symmetric"}
    assert triple_leaks(*countries.split(0.1)) == []


def test_files_are_read_in_every_format(tmp_path):
    (tmp_path / "a.csv").write_text("head,relation,tail\nRome,in,Italy\nOslo,in,Norway\n")
    (tmp_path / "b.tsv").write_text("von\tist\tzu\nRome\tin\tItaly\nOslo\tin\tNorway\n")
    (tmp_path / "c.jsonl").write_text('{"head": "Rome", "relation": "in", "tail": "Italy"}\n{"head": "Oslo", "relation": "in", "tail": "Norway"}\n')
    rows = [("Rome", "in", "Italy"), ("Oslo", "in", "Norway")]
    assert load_triples(tmp_path / "a.csv").rows() == rows
    assert load_triples(tmp_path / "b.tsv", head="von", relation="ist", tail="zu").rows() == rows
    assert load_triples(tmp_path / "c.jsonl").rows() == rows


def test_a_row_without_a_tail_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("head,relation,tail\nRome,in,Italy\nOslo,in,\n")
    with pytest.raises(ValueError, match="a.csv, row 3: a triple needs a head.*column 'tail' is empty"):
        load_triples(tmp_path / "a.csv")


@pytest.mark.parametrize("wrong, message", [
    (lambda: Triples.of([("a", "r", "b")], entities=["a"]), r"triple \('a', 'r', 'b'\) has an unknown entity, 'b': it is none of the 1"),
    (lambda: Triples.of([("a", "r", "b")], relations=["s"]), "unknown relation, 'r'"),
    (lambda: Triples.of([]), "source is empty"),
    (lambda: Triples([0], [0], [2], "ab", "r"), "tail must be 0 to 1, as there are 2 names, got 2"),
    (lambda: Triples([0, 0], [0, 0], [1, 1], "ab", "r"), "a triple is there twice"),
    (lambda: Triples.of(ROWS).split(1.0), "held_out must be above 0 and below 1, got 1.0"),
    (lambda: Triples.of([*ROWS, ("a", "rare", "b")]).split(), "relation 'rare' has one triple only"),
    (lambda: Triples.of(ROWS).split(0.9), "triples cannot be held out, .* can: every entity"),
    (lambda: load_triples("countries", dialect=__import__("pretrain_lib").Dialect(separator=";")), "separator is for files"),
])  # fmt: skip
def test_wrong_triples_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
