"""The command `evaluate`: a run on what it held out, and a model on any text."""

import json
import random
import re
import shutil

import pytest

from pretrain_lib.__main__ import main
from pretrain_lib.data.text.load import load_text
from pretrain_lib.data.text.text_data import TextConfig, TextData
from pretrain_lib.evaluation.bits_per_byte import bits_per_byte, text_spans
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.pretrained import load_pretrained

RECIPE = """
[data]
kind = "TextData"
corpus = "{corpus}"
tokenizer = ""
vocab_size = 120
hold_out = ""
length = 24
[model]
kind = "{model}"
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 32
[objective]
kind = "{objective}"
[train]
steps = 4
batch_size = 8
device = "cpu"
"""
WORDS = "the old river house stands by a stone road and green water".split()


def run_of(folder, model="ModernBertForMaskedLM", objective="MaskedLM"):
    """A short run on forty texts, every twentieth of which says other things than the rest."""
    generator = random.Random(0)
    (folder / "corpus").mkdir()
    for i in range(40):
        words = generator.choices(WORDS, k=200)
        if i % 20 == 19:
            words = [f"Zebra{i}"] + words  # the only capital letter, so all others of a text come back
        (folder / "corpus" / f"{i:02}.txt").write_text(" ".join(words), encoding="utf-8")
    (folder / "r.toml").write_text(RECIPE.format(corpus=folder / "corpus" / "*.txt", model=model, objective=objective))
    assert main(["pretrain", str(folder / "r.toml"), "--folder", str(folder / "runs" / "r")]) == 0
    return folder / "runs" / "r"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("evaluated"))


def test_a_run_is_scored_on_the_documents_that_it_held_out(run, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    said = capsys.readouterr().out
    config = TextConfig(corpus=str(run.parents[1] / "corpus" / "*.txt"), tokenizer="", vocab_size=120, hold_out="", length=24)
    data = TextData.open(config, run)
    model = load_pretrained(run)
    masked = masked_scores(model, MaskedSet.draw(data.held_out, MaskedLM.of(data.tokenizer), range(len(data.held_out))))
    assert said.startswith(f"loss {masked.loss:.4f} nats, accuracy {masked.accuracy:.2%}, {masked.blanks} blanks")
    held_out = [document.text for document in load_text(config.corpus) if "Zebra" in document.text]
    bits = bits_per_byte(model, data.tokenizer, text_spans(held_out), length=24)
    assert f"at most {bits.value:.3f} bits a byte, standard error {bits.standard_error:.3f}" in said
    assert re.search(r"pseudo-perplexity [\d.]+: not to compare across tokenizers", said)
    assert re.search(r"^\d\.\d\d% of the tokens are \[UNK\]", said, re.MULTILINE)
    report = json.loads((run / "report.json").read_text())
    assert report["held_out"]["bits"]["value"] == bits.value and report["held_out"]["masked"]["loss"] == masked.loss
    assert report["unknown"] == 0 and set(report["counting"]) == {"unigram", "bigram, both sides"}


def test_a_corpus_that_has_changed_is_refused(run, tmp_path, capsys):
    shutil.copytree(run.parents[1] / "corpus", tmp_path / "before")
    text = run.parents[1] / "corpus" / "19.txt"
    before = text.read_text()
    text.write_text(before + " and more")
    assert main(["evaluate", str(run)]) == 1
    assert "not those of this" in capsys.readouterr().err
    text.write_text(before)


@pytest.mark.parametrize("text, warned", [("the old river house " * 30, False), ("距离川沙公路较近。" * 40, True)])
def test_any_text_is_scored_and_one_that_cannot_be_read_is_told(run, text, warned, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text(text, encoding="utf-8")
    before = (run / "report.json").read_bytes() if (run / "report.json").is_file() else None
    assert main(["evaluate", str(run), "--on", str(tmp_path / "mine.txt")]) == 0
    said = capsys.readouterr().out
    bits = float(re.search(r"at most ([\d.]+) bits a byte", said)[1])
    assert ("Warning: " in said and "--data.corpus YOUR_TEXT.txt" in said) == warned
    assert (bits > 8) == warned
    assert before is None or (run / "report.json").read_bytes() == before


def test_a_model_is_scored_on_a_text_too(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("My fellow citizens, the state of the union is strong. " * 5)
    assert main(["evaluate", "modernbert-mini-sotu", "--on", str(tmp_path / "mine.txt")]) == 0
    assert "bits a byte" in capsys.readouterr().out


def test_a_run_that_said_texts_from_left_to_right_is_scored_without_blanks(tmp_path, capsys, monkeypatch):
    run = run_of(tmp_path, "ModernBertForCausalLM", "CausalLM")
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    said = capsys.readouterr().out
    assert re.match(r"\d\.\d{3} bits a byte, standard error 0\.\d{3} \(\d+ spans of up to 256 characters; ", said)
    report = json.loads((run / "report.json").read_text())["held_out"]
    assert report["masked"] is report["pseudo_perplexity"] is None and report["bits"]["orders"] == 0
    monkeypatch.setattr("pretrain_lib.programs.evaluate.is_causal", lambda model: False)
    assert main(["evaluate", str(run)]) == 1
    assert "filled no blanks" in capsys.readouterr().err


def test_a_run_of_masked_diffusion_is_scored_on_everybodys_blanks(tmp_path, capsys):
    run = run_of(tmp_path, objective="MaskedDiffusion")
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    assert re.match(r"loss [\d.]+ nats, accuracy [\d.]+%, \d+ blanks, pseudo-perplexity [\d.]+: .*\nat most ", capsys.readouterr().out)
    assert json.loads((run / "report.json").read_text())["counting"] == {}


def test_a_table_is_scored_as_it_is_said_to_be_written(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("n;words\n" + "1;'My fellow citizens; the state of the union is strong.'\n" * 5)
    words = ["evaluate", "modernbert-mini-sotu", "--on", str(tmp_path / "mine.csv"), "--column", "words"]
    assert main([*words, "--separator", ";", "--quote", "'"]) == 0
    assert "bits a byte" in capsys.readouterr().out
    assert main([*words, "--quote", "none"]) == 1
    assert "mine.csv" in capsys.readouterr().err
