"""The command `predict`: every row answered, in its place, whatever happens in between."""

import csv
import json

import numpy as np
import pyarrow.parquet
import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.data.tasks.encoded import encode_texts
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.programs import parts
from pretrain_lib.programs import predict as program
from pretrain_lib.programs.finetune import finetune
from pretrain_lib.programs.predict import PredictConfig, carry_out, predict
from pretrain_lib.transfer.encoders import text_classifier
from pretrain_lib.transfer.features import logits

TOPICS = {"money": "gold silver coin bank tax", "war": "army soldier fort enemy peace"}
TOKENIZER = train_tokenizer(TOPICS.values(), 150)
SHAPE = dict(vocab_size=150, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
             max_position_embeddings=32)


def texts(n, seed=0):
    generator = np.random.default_rng(seed)
    words = " ".join(TOPICS.values()).split()
    return [" ".join(generator.choice(words, generator.integers(1, 12))) for _ in range(n)]


def write_rows(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("text",), *((row,) for row in rows)])
    return str(path)


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    model = text_classifier(pl.ModernBertForMaskedLM(pl.ModernBertConfig(**SHAPE)), 3, 1)
    torch.nn.init.normal_(model.classifier.weight, generator=torch.Generator().manual_seed(0))
    model.label_names = ["money", "war", "a, \"third\""]
    pl.save_pretrained(model, folder / "model", TOKENIZER, max_length=8)
    return folder


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART", 7)


def expected(folder, rows, length=8):
    model = pl.load_pretrained(folder)
    answers = logits(model, encode_texts(rows, TOKENIZER, length)).softmax(1)
    return model.label_names, answers


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_each_row_has_the_answer_of_its_text_in_its_place(classifier, tmp_path, short_parts, kind):
    rows = texts(30)
    output = tmp_path / f"answers.{kind}"
    carry_out(PredictConfig(str(classifier), write_rows(tmp_path / "texts.csv", rows), str(output), batch_size=4))
    found = {"csv": lambda: read_csv(output), "jsonl": lambda: [json.loads(line) for line in output.open()],
             "parquet": lambda: pyarrow.parquet.read_table(output).to_pylist()}[kind]()
    names, answers = expected(classifier, rows)
    assert [int(row["row"]) for row in found] == list(range(2, 32))  # lines of the file
    assert [row["label"] for row in found] == [names[i] for i in answers.argmax(1)]
    shares = torch.tensor([[float(row[f"p({name})"]) for name in names] for row in found])
    assert torch.allclose(shares, answers, atol=2e-6)
    assert not list(tmp_path.glob("*.parts"))


def test_rows_without_text_keep_their_place(classifier, tmp_path, short_parts, capsys):
    rows = texts(20)
    rows[3] = rows[13] = rows[19] = ""
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": row or None}) + "\n" for row in rows))
    predict([str(classifier), str(tmp_path / "texts.jsonl"), "--output", str(tmp_path / "out.csv")])
    found = read_csv(tmp_path / "out.csv")
    assert [i for i, row in enumerate(found) if not row["label"]] == [3, 13, 19] and len(found) == 20
    assert found[3] == {"row": "4", "label": "", **{f"p({name})": "" for name in ("money", "war", 'a, "third"')}}
    assert "3 of them have no text" in capsys.readouterr().out


def test_a_line_of_a_txt_is_a_text(classifier, tmp_path):
    (tmp_path / "lines.txt").write_text("gold, army\n\npeace\ttax\n")
    carry_out(PredictConfig(str(classifier), str(tmp_path / "lines.txt"), str(tmp_path / "out.jsonl")))
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").open()]
    names, answers = expected(classifier, ["gold, army", "peace\ttax"])
    assert [row["label"] for row in found] == [names[answers[0].argmax()], None, names[answers[1].argmax()]]


def test_what_was_stopped_goes_on_behind_the_last_part(classifier, tmp_path, short_parts, monkeypatch):
    rows = texts(40)
    data, whole, output = write_rows(tmp_path / "t.csv", rows), tmp_path / "whole.csv", tmp_path / "out.csv"
    carry_out(PredictConfig(str(classifier), data, str(whole)))
    asked, calls = program.logits, []

    def stops(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return asked(*arguments)

    monkeypatch.setattr(program, "logits", stops)
    with pytest.raises(KeyboardInterrupt) as stop:
        carry_out(PredictConfig(str(classifier), data, str(output)))
    assert "the same command goes on" in stop.value.__notes__[0] and not output.exists()
    carry_out(PredictConfig(str(classifier), data, str(output)))
    assert len(calls) == 4 + 3  # six parts, of which three were there
    assert output.read_bytes() == whole.read_bytes()


def test_parts_of_other_answers_are_not_mixed_in(classifier, tmp_path, short_parts, monkeypatch):
    data, output = write_rows(tmp_path / "t.csv", texts(20)), tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        patch.setattr(program, "counted", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            carry_out(PredictConfig(str(classifier), data, str(output)))
    write_rows(tmp_path / "t.csv", texts(20, seed=1))
    with pytest.raises(ValueError, match="holds parts of something else"):
        carry_out(PredictConfig(str(classifier), data, str(output)))


def test_a_regressor_says_a_number_and_several_labels_are_told_apart(tmp_path):
    rows = texts(9)
    data = write_rows(tmp_path / "t.csv", rows)
    for number in (1, 3):
        model = text_classifier(pl.BertForMaskedLM(pl.BertConfig(**SHAPE, initializer_range=0.5)), number, 1)
        torch.nn.init.normal_(model.classifier.weight, std=3.0, generator=torch.Generator().manual_seed(0))
        model.other_fields = {"problem_type": "multi_label_classification"} if number > 1 else {}
        pl.save_pretrained(model, tmp_path / "model", TOKENIZER)
        carry_out(PredictConfig(str(tmp_path / "model"), data, str(tmp_path / f"{number}.csv")))
        answers = logits(model, encode_texts(rows, TOKENIZER, 32))
        found = read_csv(tmp_path / f"{number}.csv")
        if number == 1:
            assert np.allclose([float(row["score"]) for row in found], answers[:, 0], atol=1e-5)
        else:
            wanted = ["; ".join(f"LABEL_{i}" for i in range(3) if row[i] > 0) for row in answers]
            assert [row["label"] for row in found] == wanted and len(set(wanted)) > 1


def test_answers_go_to_a_kind_of_file_that_is_known():
    with pytest.raises(ValueError, match="output must be a file to be made that ends in .csv, .jsonl, .parquet, got 'o.xlsx'"):
        PredictConfig("model", "data.csv", "o.xlsx")


@pytest.mark.parametrize("words, message", [
    (["{m}", "nowhere.csv", "--output", "o.csv"], "there is no file 'nowhere.csv'"),
    (["{m}", "{d}", "--output", "{d}"], "is there already"),
    (["{m}", "{d}", "--output", "o.csv", "--text", "review"], "review"),
    (["modernbert-mini-sotu", "{d}", "--output", "o.csv"], "gives texts no label"),
    (["{m}", "{d}", "--output", "o.csv", "--length", "99"], "length must be at most 32"),
])
def test_a_mistake_is_told(classifier, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    data = write_rows(tmp_path / "d.csv", texts(3))
    with pytest.raises((ValueError, OSError), match=message):
        predict([word.format(m=classifier, d=data) for word in words])
    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]


def test_a_fine_tuned_classifier_scores_on_a_file_what_its_report_says(tmp_path):
    generator = np.random.default_rng(0)
    rows = [(" ".join(generator.choice(TOPICS[name].split(), 5)), name) for name in list(TOPICS) * 30]
    with (tmp_path / "topics.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    pl.save_pretrained(pl.ModernBertForMaskedLM(pl.ModernBertConfig(**SHAPE)), tmp_path / "tiny", TOKENIZER)
    run = tmp_path / "run"
    finetune([str(tmp_path / "tiny"), "--data", str(tmp_path / "topics.csv"), "--folder", str(run), "--length", "6",
              "--trials", "1", "--curve", "1", "--batch-size", "8"])
    report = json.loads((run / "report.json").read_text())
    from pretrain_lib.data.tasks.labelled import load_labelled_text
    from pretrain_lib.programs.finetune import parted
    test = parted(load_labelled_text(str(tmp_path / "topics.csv")), 0)[1]
    carry_out(PredictConfig(str(run), write_rows(tmp_path / "test.csv", test.sentences), str(tmp_path / "out.csv")))
    found = [row["label"] for row in read_csv(tmp_path / "out.csv")]
    right = np.mean([label == test.classes[number] for label, number in zip(found, test.labels)])
    assert right == report["scores"]["fine-tuned"]["accuracy"]
