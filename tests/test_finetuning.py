"""The command `finetune`: what it writes, and what it says where it cannot."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import pretrain_lib as pl
from pretrain_lib import finetuning
from pretrain_lib.data.encoded_text import encode_texts
from pretrain_lib.data.labelled_text import LabelledText
from pretrain_lib.data.tokenizer import train_tokenizer
from pretrain_lib.finetuning import FinetuneConfig, carry_out, finetune, parted, sample
from pretrain_lib.transfer.features import logits

TOPICS = {"money": "gold silver coin bank tax", "war": "army soldier fort enemy peace"}
TOKENIZER = train_tokenizer(TOPICS.values(), 150)
QUICK = FinetuneConfig(length=16, trials=1, batch_size=8)


def write_csv(path, rows, columns=("text", "label")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(path)


def topics(n=60):
    generator = np.random.default_rng(0)
    names = [list(TOPICS)[i % 2] for i in range(n)]
    return [(" ".join(generator.choice(TOPICS[name].split(), 5)), name) for name in names]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "tiny"
    config = pl.ModernBertConfig(vocab_size=150, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                 intermediate_size=24, max_position_embeddings=32)  # fmt: skip
    pl.save_pretrained(pl.ModernBertForMaskedLM(config), folder, TOKENIZER)
    return str(folder)


@pytest.fixture(scope="module")
def done(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    data = write_csv(folder / "topics.csv", topics())
    out = folder / "out"
    words = [model, "--data", data, "--folder", str(out), "--length", "16", "--trials", "2"]
    finetune([*words, "--batch-size", "8"])
    return out, json.loads((out / "report.json").read_text())


def test_the_report_tells_what_was_learned_and_beside_what(done):
    folder, report = done
    assert report["scores"].keys() == {"fine-tuned", "TF-IDF", "majority class"}
    assert report["scores"]["fine-tuned"]["accuracy"] > 0.9
    assert report["scores"]["majority class"]["accuracy"] == pytest.approx(0.5)
    assert (report["training_texts"], report["test_texts"]) == (48, 12)
    matrix = torch.tensor(report["confusion_matrix"])
    assert matrix.sum() == 12
    assert matrix.diagonal().sum().item() / 12 == pytest.approx(report["scores"]["fine-tuned"]["accuracy"])
    page = (folder / "report.md").read_text()
    for name, scores in report["scores"].items():
        assert f"| {name} | {scores['accuracy']:.3f} | {scores['macro_f1']:.3f} |" in page


def test_the_classifier_is_saved_with_its_tokenizer_and_the_names_of_the_classes(done):
    folder, report = done
    classifier = pl.load_pretrained(folder)
    assert type(classifier) is pl.ModernBertForSequenceClassification
    assert classifier.label_names == ["money", "war"]
    texts = encode_texts(list(TOPICS.values()), pl.load_tokenizer(folder / "model"), 16)
    assert logits(classifier, texts).argmax(1).tolist() == [0, 1]


def test_the_same_again_gives_the_same(model, done, tmp_path):
    _, report = done
    again = carry_out(model, FinetuneConfig(data=report["data"], length=16, trials=2, batch_size=8), tmp_path)
    assert again["scores"] == report["scores"]


ROWS = topics(12)


@pytest.mark.parametrize("rows, columns, options, message", [
    (ROWS, ("sentence", "label"), {}, "has no column 'text'; its columns are sentence, label"),
    (ROWS, ("text", "class"), {}, "has no column 'label'; its columns are text, class"),
    ([(t, "war") for t, _ in ROWS], ("text", "label"), {}, "only the class 'war'"),
    ([*ROWS, ("the one", "roads")], ("text", "label"), {}, "has 1 text of class 'roads', and needs at least 3"),
    ([*ROWS, ("   ", "war")], ("text", "label"), {}, "rows.csv:14 has nothing in column 'text'"),
    ([], ("text", "label"), {}, "holds no labelled"),
    (ROWS, ("text", "label"), {"length": 64}, "length must be at most 32"),
])  # fmt: skip
def test_data_that_cannot_be_learned_from_is_named(model, tmp_path, rows, columns, options, message):
    data = write_csv(tmp_path / "rows.csv", rows, columns)
    with pytest.raises(ValueError, match=re.escape(message)):
        carry_out(model, replace(QUICK, data=data, **options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("field, value, message", [
    ("trials", 0, "trials must be at least 1, got 0"), ("trials", 6, "trials must be at most 5, got 6"),
    ("length", 2, "length must be at least 3, got 2"), ("epochs", 0, "epochs must be at least 1, got 0"),
])  # fmt: skip
def test_options_out_of_range_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        FinetuneConfig(**{field: value})


def test_an_unknown_model_and_one_that_reads_no_text_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a folder 'no-such-model' nor such a model"):
        carry_out("no-such-model", QUICK, tmp_path / "out")
    pl.save_pretrained(pl.Autoencoder(pl.AutoencoderConfig()), tmp_path / "images")
    with pytest.raises(ValueError, match="holds Autoencoder, which reads no text"):
        carry_out(str(tmp_path / "images"), QUICK, tmp_path / "out")


def test_without_a_model_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit):
        finetune([])
    assert "finetune MODEL" in capsys.readouterr().out


def text_of(labels, sources, name="mine"):
    return LabelledText(name, [f"text {i}" for i in range(len(labels))], np.array(labels), ["a", "b"], sources)


def test_held_out_addresses_are_what_is_tested_on(monkeypatch):
    monkeypatch.setattr(finetuning, "held_out_sources", lambda name: {"s1", "s3"})
    text = text_of([0, 1, 0, 1], ["s0", "s1", "s2", "s3"], "era")
    training, test = parted(text, 0)
    assert (training.sources, test.sources) == (["s0", "s2"], ["s1", "s3"])


def test_a_sample_keeps_two_of_a_rare_class():
    text = text_of([0] * 97 + [1] * 3, list(map(str, range(100))))
    part = sample(text, 10, seed=0)
    assert len(part) == 10 and (part.labels == 1).sum() >= 2
    assert len(set(part.sources)) == 10
    assert sample(text, 0, seed=0) is text
