"""The command `generate`: a prompt gone on with, blanks filled in place, and what cannot be."""

import re
from pathlib import Path

import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.programs.generate import Writing, generate
from pretrain_lib.programs.recipe import read_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "modernbert-mini-diffusion.toml"
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40}
ZOO = "modernbert-mini-sotu"


def written(capsys, *words):
    capsys.readouterr()
    assert main(["generate", *words]) == 0
    return capsys.readouterr().out.rstrip("\n").split("\n\n")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Small models of three kinds, untrained, with the zoo's tokenizer."""
    folder, tokenizer = tmp_path_factory.mktemp("models"), pl.load_tokenizer(ZOO)
    config = pl.ModernBertConfig(vocab_size=tokenizer.get_vocab_size() + 8, **SIZES)
    for kind in (pl.ModernBertForCausalLM, pl.ModernBertModel):
        pl.save_pretrained(kind(config), folder / kind.__name__, tokenizer)
    pl.save_pretrained(pl.ModernBertForSequenceClassification(config, 2), folder / "classifier", tokenizer)
    return folder


def test_a_model_of_the_zoo_goes_on_with_a_prompt(capsys):
    one, two = written(capsys, ZOO, "--prompt", "fellow citizens of the", "--tokens", "6", "--samples", "2", "--temperature", "0.8")
    assert one.startswith("fellow citizens of the ") and two.startswith("fellow citizens of the ") and one != two
    assert [one, two] == generate(ZOO, Writing("fellow citizens of the", tokens=6, samples=2, temperature=0.8))
    assert [one] == generate(ZOO, Writing("fellow citizens of the", tokens=6, temperature=0.8))  # however many there are
    assert not re.search(r"\[(MASK|PAD|UNK|CLS|SEP)\]", one + two)


def test_blanks_are_filled_in_place(capsys):
    text, = written(capsys, ZOO, "--prompt", "the people of the united [MASK] of america", "--temperature", "0")
    assert text == "the people of the united states of america"
    for order in ("random", "confident"):
        text, = written(capsys, ZOO, "--prompt", "we [MASK] the [MASK] of peace", "--steps", "1", "--order", order, "--top-p", "0.5")
        assert re.fullmatch(r"we \S+ the \S+ of peace", text)


def test_without_a_prompt_there_are_32_tokens():
    text, = generate(ZOO, Writing(steps=2))
    tokenizer = pl.load_tokenizer(ZOO)
    assert 25 <= len(tokenizer.encode(text, add_special_tokens=False)) <= 40  # read again, they may be cut otherwise


def test_a_causal_model_goes_on_and_fills_nothing(folders, capsys):
    folder = str(folders / "ModernBertForCausalLM")
    text, = written(capsys, folder, "--prompt", "the war", "--tokens", "5", "--seed", "3")
    assert text.startswith("the war ")
    assert written(capsys, folder, "--prompt", "the war", "--tokens", "5", "--seed", "3") == [text]
    assert written(capsys, folder, "--prompt", "the war", "--tokens", "5", "--seed", "4") != [text]


@pytest.mark.parametrize("model, words, message", [
    ("ModernBertForCausalLM", ["--prompt", "a [MASK] b"], "writes from left to right and fills no [MASK]: leave it out"),
    ("ModernBertForCausalLM", ["--tokens", "60"], "longer than the model's 40 positions"),
    ("ModernBertForCausalLM", ["--tokens", "0"], "there is nothing to write"),
    ("ModernBertModel", ["--tokens", "3"], "ModernBertModel has no head that predicts tokens"),
    ("classifier", [], "ModernBertForSequenceClassification writes no text"),
    ("nothing", [], "there is neither a folder"),
    (ZOO, ["--steps", "0"], "steps must be at least 1, got 0"),
    (ZOO, ["--temperature", "-1"], "temperature must be at least 0, got -1.0"),
    (ZOO, ["--top-p", "1.5"], "top_p must be above 0 and at most 1, got 1.5"),
    (ZOO, ["--tokens", "-1"], "tokens must be at least 0, got -1"),
    (ZOO, ["--samples", "0"], "samples must be an integer of at least 1, got 0"),
])  # fmt: skip
def test_what_cannot_be_is_told_in_one_line(folders, capsys, model, words, message):
    name = str(folders / model) if (folders / model).exists() or model == "nothing" else model
    capsys.readouterr()
    assert main(["generate", name, *words]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["generate", ZOO, "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "fills every [MASK] in it" in said and "one after the other" in said
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert "usage: python -m pretrain_lib generate MODEL" in capsys.readouterr().out


def test_the_recipe_trains_a_model_that_writes(tmp_path, capsys):
    recipe = read_recipe(RECIPE)
    assert recipe.objective.kind is pl.MaskedDiffusion and recipe.objective.table() == {"kind": "MaskedDiffusion"}
    (tmp_path / "mine").mkdir()
    for i in range(20):
        (tmp_path / "mine" / f"{i}.txt").write_text(f"we the people of this land hold that {i} men are free . " * (3 + i))
    run = tmp_path / "runs" / "r"
    words = ["pretrain", str(RECIPE), "--folder", str(run), "--data.corpus", str(tmp_path / "mine" / "*.txt"), "--data.tokenizer", "",
             "--data.vocab-size", "60", "--data.hold-out", "", "--data.length", "16", "--train.device", "cpu", "--train.steps", "3",
             "--train.warmup-steps", "1", "--train.batch-size", "4"]  # fmt: skip
    for field in ("hidden-size", "intermediate-size"):
        words += [f"--model.{field}", "16"]
    assert main(words) == 0
    text, = written(capsys, str(run), "--prompt", "we the", "--tokens", "4", "--steps", "2")
    assert text.startswith("we the")
    assert all(parameter.isfinite().all() for parameter in pl.load_pretrained(run).parameters()) and torch.is_grad_enabled()
