"""Captioned images by name: tables and the Hub read as they are, split by images, and refused with one line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pretrain_lib import Dialect, load_captioned, word_tokenizer
from pretrain_lib.data.images import load as hub_module
from pretrain_lib.data.images import load_captioned as module


def picture(path, value, size=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, dtype=np.uint8)).save(path)
    return path


CAPTIONS = [*(f"a grey of {i}" for i in range(10)), "black, or 0"]
WORDS = word_tokenizer([*CAPTIONS, "a large one"])


@pytest.fixture
def folder(tmp_path):
    """Ten pictures with a grey of their own, of which the first has two captions."""
    rows = [(f"pictures/{i % 10}.png", caption) for i, caption in enumerate(CAPTIONS)]
    for i in range(10):
        picture(tmp_path / "pictures" / f"{i}.png", i)
    lines = [f'{path},"{text}"' for path, text in rows]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *lines]), encoding="utf-8")
    objects = [json.dumps({"file_name": path, "text": text}) for path, text in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join(objects), encoding="utf-8")
    return tmp_path


def said(data):
    return {(data.captions[c], int(g)) for c, g in zip(data.caption, data.columns["images"][:, 0, 0, 0], strict=True)}


def test_a_table_is_read_and_split_by_images(folder):
    train, test, whole = (load_captioned(folder / "captions.csv", split, tokenizer=WORDS) for split in ("train", "test", "all"))
    assert said(whole) == {(f"a grey of {i}", i) for i in range(10)} | {("black, or 0", 0)}
    greys = [{grey for _, grey in said(part)} for part in (train, test)]
    assert not greys[0] & greys[1] and len(greys[1]) == 2 and len(train) + len(test) == len(whole) == 11
    assert train.name == "captions" and "captions.csv" in train.about


def test_columns_of_other_names_and_other_formats(folder):
    names = {"image": "file_name", "caption": "text"}
    table, lines = load_captioned(folder / "captions.csv", "all", tokenizer=WORDS), load_captioned(folder / "metadata.jsonl", "all", tokenizer=WORDS, **names)
    assert torch.equal(table.images, lines.images) and torch.equal(table.input_ids, lines.input_ids)
    with pytest.raises(ValueError, match="has no column 'image'.*its columns are file_name, text"):
        load_captioned(folder / "metadata.jsonl")
    (folder / "bars.csv").write_text((folder / "captions.csv").read_text().replace(",", "|").replace("black|", "black,"))
    bars = load_captioned(folder / "bars.csv", "all", tokenizer=WORDS, dialect=Dialect(separator="|"))
    assert said(bars) == said(table)


def test_a_whole_path_and_a_size(folder, tmp_path):
    large = picture(tmp_path / "elsewhere" / "large.png", 200, (8, 6))
    with (folder / "captions.csv").open("a") as file:
        file.write(f"\n{large},a large one")
    with pytest.raises(ValueError, match="give size to bring them to one"):
        load_captioned(folder / "captions.csv", "all", tokenizer=WORDS)
    data = load_captioned(folder / "captions.csv", "all", 3, tokenizer=WORDS)
    assert data.image_shape == (1, 3, 3) and ("a large one", 200) in said(data)


def test_words_that_training_does_not_have_are_named_or_allowed_or_given(folder):
    path = folder / "captions.csv"
    train, test = (load_captioned(path, split, unknown=True) for split in ("train", "test"))
    assert train.tokenizer.to_str() == test.tokenizer.to_str() == word_tokenizer(train.captions).to_str()
    assert 1 in test.input_ids and 1 not in train.input_ids
    with pytest.raises(ValueError, match="does not know the word '.' of the caption"):
        load_captioned(path, "test")
    given = load_captioned(path, "test", further=CAPTIONS)
    assert 1 not in given.input_ids and load_captioned(path, "train", further=CAPTIONS).tokenizer.to_str() == given.tokenizer.to_str()
    assert load_captioned(path, "test", tokenizer=given.tokenizer).tokenizer is given.tokenizer
    with pytest.raises(ValueError, match="further is for the tokenizer of whole words"):
        load_captioned(path, "test", tokenizer=given.tokenizer, further=["a prompt"])


@pytest.mark.parametrize("row, message", [
    ("pictures/3.png,A grey  of 3", r"captions.csv:13 lists pictures/3.png with the caption of .*captions.csv:5 again, 'A grey  of 3': remove one"),
    ("pictures/../pictures/3.png,a grey of 3", r"captions.csv:13 lists .* with the caption of .*captions.csv:5 again"),
    ("pictures/no.png,nothing", r"captions.csv:13 lists no image: there is no file .*no.png"),
    (",nothing", r"captions.csv:13 lists no image: the column 'image' is empty"),
    ("pictures/3.png,", r"captions.csv:13 has no word: ''"),
    ("pictures/3.png,?!", r"captions.csv:13 has no word: '\?!'"),
])
def test_a_row_at_fault_is_named(row, message, folder):
    with (folder / "captions.csv").open("a") as file:
        file.write(f"\n{row}")
    with pytest.raises(ValueError, match=message) as error:
        load_captioned(folder / "captions.csv")
    assert "\n" not in str(error.value)


def test_wrong_names_splits_and_settings_are_refused(folder):
    known = "Known are 'letters', 'digits', 'two digits', 'hub:owner/name' and tables that end in .jsonl, .csv, .tsv, .parquet"
    with pytest.raises(ValueError, match=f"unknown captioned images 'lettres': did you mean 'letters'\\? {known}"):
        load_captioned("lettres")
    with pytest.raises(ValueError, match="is a folder: name the table in it .*captions.csv"):
        load_captioned(folder)
    with pytest.raises(FileNotFoundError, match="no file matches"):
        load_captioned(folder / "nothing.csv")
    with pytest.raises(ValueError, match="split must be one of train, test, all, got 'held out'"):
        load_captioned(folder / "captions.csv", "held out")
    with pytest.raises(ValueError, match="seed is for what is drawn"):
        load_captioned(folder / "captions.csv", seed=1)
    with pytest.raises(ValueError, match="separator is for files, and 'letters' is none"):
        load_captioned("letters", dialect=Dialect(separator=","))
    (folder / "one.csv").write_text("image,caption\npictures/1.png,a single one\n")
    with pytest.raises(ValueError, match="one.csv lists 1 images, and none is for the split 'train': list two or more"):
        load_captioned(folder / "one.csv")


def test_drawn_ones_are_brought_to_a_size():
    data = load_captioned("letters", "held out", 16)
    assert data.image_shape == (1, 16, 16) and data.captions == load_captioned("letters", "held out").captions


# --- the Hub ---------------------------------------------------------------------------------------


def hub(monkeypatch, captions, kind=None):
    """Two splits of a data set as the Hub would give them."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "caption": kind or datasets.Value("string")})

    def table(repository, split, config, revision, instead):
        pictures = [Image.fromarray(np.full((4, 4), i, dtype=np.uint8)) for i in range(len(captions[split]))]
        return datasets.Dataset.from_dict({"image": pictures, "caption": captions[split]}, features=features)

    monkeypatch.setattr(module, "hub_table", table)
    return datasets


def test_a_data_set_of_the_hub(monkeypatch):
    hub(monkeypatch, {"train": ["a dog", "a cat", "a dog"], "validation": ["a cat"]})
    train, held_out = (load_captioned("hub:someone/animals", split) for split in ("train", "validation"))
    assert train.captions == ["a dog", "a cat"] and train.caption.tolist() == [0, 1, 0] and train.name == "someone/animals"
    assert train.columns["images"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert held_out.input_ids.tolist() == train.encode(["a cat"]).input_ids.tolist()
    assert held_out.tokenizer.to_str() == word_tokenizer(["a dog", "a cat"]).to_str()
    with pytest.raises(ValueError, match="'someone/animals' has no column 'text'; its columns are image, caption"):
        load_captioned("hub:someone/animals", caption="text")
    with pytest.raises(ValueError, match="the column 'caption' of 'someone/animals' holds no images"):
        load_captioned("hub:someone/animals", image="caption")


def test_captions_of_the_hub_that_are_none_are_refused(monkeypatch):
    hub(monkeypatch, {"train": ["a dog", None]})
    with pytest.raises(ValueError, match="sample 1 of 'someone/animals' has no word: ''"):
        load_captioned("hub:someone/animals")
    datasets = pytest.importorskip("datasets")
    hub(monkeypatch, {"train": [["a dog", "a pet"]]}, datasets.Sequence(datasets.Value("string")))
    with pytest.raises(ValueError, match="someone/animals, row 0: column 'caption' must hold text or a number, got list"):
        load_captioned("hub:someone/animals")


def test_the_hub_out_of_reach(monkeypatch):
    monkeypatch.setattr(hub_module, "hub_answers", lambda: False)
    with pytest.raises(ConnectionError, match="cannot be reached for 'someone/animals': .* such as 'letters'"):
        load_captioned("hub:someone/animals")
