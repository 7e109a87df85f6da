"""Pairs of texts that a recipe trains on: from tables, corpora and docstrings, to a model that is searched with."""

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.data.text import load_neighbours as loading
from pretrain_lib.data.text.neighbour_data import digest
from pretrain_lib.programs.evaluate_retrieval import evaluate_retrieval
from pretrain_lib.programs.recipe import read_recipe

RECIPE = Path(__file__).parents[3] / "recipes" / "modernbert-mini-docstrings.toml"
WORDS = "the old river house stands by a stone road and green water".split()
SMALL = ("--model.hidden-size 16 --model.intermediate-size 24 --model.num-attention-heads 2 --data.vocab-size 90 --train.steps 4 "
         "--train.warmup-steps 1 --train.batch-size 16 --train.device cpu --train.evaluate-every 2 --train.checkpoint-every 2").split()


def write_pairs(path, n=200, seed=0):
    """Questions and answers that share some words; every tenth question is asked twice, and two rows lack a text."""
    generator = random.Random(seed)
    rows = []
    for i in range(n):
        answer = generator.sample(WORDS, 6)
        question = rows[-1][0] if i % 10 == 9 else f"what {' '.join(generator.sample(answer, 3))} {i}"
        rows.append((question, " ".join(answer)))
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *rows, ("", "alone"), ("alone", "…")])
    return rows


# --- By name --------------------------------------------------------------------------------


def test_rows_of_a_table_are_pairs_and_equal_questions_one_document(tmp_path, caplog):
    rows = write_pairs(tmp_path / "faq.csv", 30)
    pairs = pl.load_neighbours(tmp_path / "faq.csv", first="question", second="answer")
    assert list(zip(pairs.first, pairs.second)) == rows and len(set(pairs.documents)) == 27
    assert pairs.left_out == {"a text is missing": 2} and "2 of 32 rows left out, which lack a text" in caplog.text
    named = pl.load_neighbours(tmp_path / "faq.csv", first="q", second="a", dialect=pl.Dialect(columns=("q", "a")))
    assert named.first[0] == "question"  # the first line is a row then


def test_other_names_are_corpora_and_docstrings(tmp_path, monkeypatch):
    for i in range(2):
        (tmp_path / f"{i}.txt").write_text("One is. Two is.\n\nThree is.")
    found = pl.load_neighbours(str(tmp_path / "*.txt"), unit="sentence")
    assert (found.first, found.second) == (["One is."] * 2, ["Two is."] * 2)
    assert pl.load_neighbours(str(tmp_path / "*.txt")).second == ["Three is."] * 2
    monkeypatch.setattr(loading, "named_docstrings", lambda: "those")
    assert pl.load_neighbours("named docstrings") == "those"


@pytest.mark.parametrize("name, options, message", [
    ("faq.csv", {}, "has no column 'first'; its columns are question, answer"),
    ("named docstrings", {"dialect": pl.Dialect(separator=";")}, "separator is for files, and 'named docstrings' is none"),
    ("named docstring", {}, "unknown text 'named docstring'"),
    ("nowhere.csv", {}, "no file matches 'nowhere.csv'"),
])  # fmt: skip
def test_what_is_no_source_of_pairs_is_refused(name, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pairs("faq.csv", 12)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pl.load_neighbours(name, **options)


@pytest.mark.parametrize("fields, message", [
    ({"length": 2}, "length must be an integer of at least 3, got 2"), ({"held_out": 1.0}, "held_out must be between 0 and 1, got 1.0"),
    ({"unit": "line"}, "unit must be one of paragraph, sentence, got 'line'"), ({"quote": "x"}, "quote must be one of"),
])  # fmt: skip
def test_a_wrong_setting_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        pl.NeighbourConfig(**fields)


# --- For a recipe ---------------------------------------------------------------------------


def opened(tmp_path, **fields):
    write_pairs(tmp_path / "faq.csv")
    config = pl.NeighbourConfig(str(tmp_path / "faq.csv"), first="question", second="answer", vocab_size=90, length=12, **fields)
    return pl.NeighbourData.open(config, tmp_path)


def test_parts_are_those_of_the_split_with_a_tokenizer_of_the_training_part(tmp_path, capsys):
    data = opened(tmp_path, held_out=0.2, seed=1)
    train, test = pl.load_neighbours(tmp_path / "faq.csv", first="question", second="answer").split(0.2, 1)
    assert [part.first for part in data.pairs] == [train.first, test.first]
    tokenizer = pl.train_tokenizer([*train.first, *train.second], 90)
    assert tokenizer.get_vocab() == data.tokenizer.get_vocab() and data.model_fields == {"vocab_size": 90}
    assert torch.equal(data.held_out.other_input_ids, pl.encode_neighbours(test, tokenizer, 12).other_input_ids)
    said = capsys.readouterr().out
    assert f"trained on: {len(train)} pairs of {len(set(train.documents))} documents; held out: {len(test)} pairs" in said
    assert "left out: 2 (a text is missing)" in said


def test_a_tokenizer_may_be_given(tmp_path):
    data = opened(tmp_path, tokenizer="sotu-8192")
    assert data.model_fields == {"vocab_size": 8192} and data.about()["tokenizer"] == "sotu-8192"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The recipe, tried for four updates on a small table."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "faq.csv")
    words = ["pretrain", str(RECIPE), "--folder", str(folder / "runs" / "r"), "--data.name", str(folder / "faq.csv"),
             "--data.first", "question", "--data.second", "answer", *SMALL]
    assert main(words) == 0
    return folder, words


def test_the_recipe_learns_and_goes_on_and_other_pairs_are_another_run(run, capsys):
    folder, words = run
    log = [json.loads(line) for line in (folder / "runs" / "r" / "log.jsonl").read_text().splitlines()]
    losses = [line["evaluation"]["loss"] for line in log if "evaluation" in line]
    assert len(losses) > 1 and all(np.isfinite(losses))
    assert main([*words, "--resume"]) == 0 and "finished after 4 updates" in capsys.readouterr().out
    said = json.loads((folder / "runs" / "r" / "config.json").read_text())["recipe"]["data"]
    config = read_recipe(RECIPE).data.config
    assert said["kind"] == "NeighbourData" and said["length"] == config.length == 48 and len(said["training_text"]) == 64
    before = (folder / "faq.csv").read_text()
    write_pairs(folder / "faq.csv", seed=1)
    capsys.readouterr()
    assert main([*words, "--resume"]) == 1 and "training_text" in capsys.readouterr().err
    assert main(["evaluate", words[3]]) == 1
    assert "faq.csv have changed since the run in" in capsys.readouterr().err
    (folder / "faq.csv").write_text(before)


def test_the_model_is_one_to_search_with(run, tmp_path):
    """Others read it as we do: the mean over the tokens, which training compared."""
    folder, words = run
    data = str(folder / "faq.csv")
    assert main(["embed", words[3], data, "--text", "answer", "--output", str(tmp_path / "v.npy")]) == 0
    with open(data, newline="") as file:
        texts = [row["answer"] for row in csv.DictReader(file)][:30]
    theirs = SentenceTransformer(str(folder / "runs" / "r" / "model"), device="cpu").encode(texts, normalize_embeddings=True)
    assert np.abs(np.load(tmp_path / "v.npy")[:30] - theirs).max() < 1e-5


def test_a_run_is_scored_on_the_pairs_that_it_held_out(run, tmp_path, capsys):
    folder, words = run
    capsys.readouterr()
    assert main(["evaluate", words[3]]) == 0
    said = capsys.readouterr().out.splitlines()
    _, test = pl.load_neighbours(folder / "faq.csv", first="question", second="answer").split(0.1, 0)
    with (tmp_path / "held_out.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("query", "document"), *zip(test.first, test.second, strict=True)])
    assert said[1:] == str(evaluate_retrieval(words[3], tmp_path / "held_out.csv")).splitlines()[1:]
    assert "that were held out" in said[0]
    report = json.loads((folder / "runs" / "r" / "report.json").read_text())["held_out"]
    assert set(report) == {"model", "BM25, words", "TF-IDF, words", "chance"} and f"{report['model']['MRR']:.3f}" in said[2]


def test_digests_tell_pairs_apart():
    one, other = (pl.Neighbours("p", ["a", "b"], list(second), ["1", "2"]) for second in ("cd", "dc"))
    assert digest(one) != digest(other) and digest(one) == digest(one.subset([0, 1]))
