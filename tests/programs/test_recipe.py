"""Recipes: what a file says is what is done, and what it gets wrong is named."""

import tomllib
from pathlib import Path

import pytest

from pretrain_lib.models.bert import BertConfig
from pretrain_lib.programs.recipe import (
    BertRecipe,
    MaskingConfig,
    ModernBertRecipe,
    TextConfig,
    read_recipe,
)

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_that_results_were_measured_with_says_its_precision(path):
    assert "precision" in tomllib.loads(path.read_text(encoding="utf-8"))["train"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_comes_with_the_course_is_read(path):
    recipe = read_recipe(path)
    assert isinstance(recipe, BertRecipe | ModernBertRecipe)
    assert ("modernbert" in path.stem) == isinstance(recipe, ModernBertRecipe)


def written(tmp_path, text):
    path = tmp_path / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_left_out_has_the_default_and_the_rest_does_not(tmp_path):
    recipe = read_recipe(written(tmp_path, """
        architecture = "bert"
        start_at_unigram = false
        [model]
        hidden_size = 48
        num_attention_heads = 3
        [masking]
        pairs = "next_sentence"
        [train]
        steps = 7
        betas = [0.8, 0.9]
    """))
    assert (recipe.model.hidden_size, recipe.model.num_hidden_layers) == (48, 12)
    assert recipe.masking.pairs == "next_sentence" and recipe.masking.rate == 0.15
    assert recipe.train.steps == 7 and recipe.train.betas == (0.8, 0.9)
    assert recipe.start_at_unigram is False


@pytest.mark.parametrize("text, message", [
    ("architecture = 'bert'\n[train]\nlearning_rat = 1", r"\[train\]: unknown field 'learning_rat'; "
                                                         "did you mean 'learning_rate'"),
    ("architecture = 'bert'\n[modle]\nhidden_size = 1", "did you mean 'model'"),
    ("architecture = 'bert'\n[train]\nxyz = 1", "known are steps"),
    ("architecture = 'gpt'", "architecture must be one of bert, modernbert, got 'gpt'"),
    ("[train]\nsteps = 3", "got None"),
    ("architecture = ", "is not TOML"),
    ("architecture = 'bert'\n[train]\nsteps = 0", r"\[train\]: steps must be at least 1, got 0"),
    ("architecture = 'bert'\n[model]\nhidden_size = 10\nnum_attention_heads = 3",
     "num_attention_heads must be a divisor of hidden_size=10"),
    ("architecture = 'modernbert'\n[masking]\npairs = 'next_sentence'", "needs a BERT"),
    ("architecture = 'bert'\n[masking]\npairs = 'both'", "pairs must be one of none"),
    ("architecture = 'bert'\n[text]\nlength = 2", r"\[text\]: length must be .* at least 8, got 2"),
    ("architecture = 'bert'\ntrain = 3", "train must be a table"),
    ("architectur = 'bert'", "unknown field 'architectur'; did you mean 'architecture'"),
    ("architecture = 'bert'\nstart_at_unigram = 'no'",
     "start_at_unigram must be True or False, got 'no'"),
    ("architecture = 'bert'\n[masking]\nrate = 1.5", "rate must be above 0 and below 1, got 1.5"),
    ("architecture = 'bert'\n[masking]\nrate = '0.3'", "rate must be a finite number, got '0.3'"),
    ("architecture = 'bert'\n[masking]\nrate = nan", "rate must be a finite number, got nan"),
    ("architecture = 'bert'\n[masking]\nunit = 'wrd'",
     "unit must be one of token, word, span, got 'wrd'"),
    ("architecture = 'bert'\n[masking]\nmasked = 1.1", "masked must be between 0 and 1, got 1.1"),
    ("architecture = 'bert'\n[masking]\nmasked = 0.75\nrandom = 0.3",
     "random must be between 0 and 0.25, what masked=0.75 leaves, got 0.3"),
    ("architecture = 'bert'\n[text]\nvocab_size = '8k'", "vocab_size must be an int, got '8k'"),
    ("architecture = 'bert'\n[text]\ncorpus = 3", "corpus must be a string, got 3"),
    ("architecture = 'bert'\n[text]\nkind = 'wordpeace'", "kind must be one of wordpiece, bpe"),
    ("architecture = 'bert'\n[model]\nhidden_dropout_prob = '0.1'",
     r"\[model\]: hidden_dropout_prob must be a finite number, got '0.1'"),
    ("architecture = 'modernbert'\n[model]\nlayer_types = 3", r"\[model\]: .*not iterable"),
    ("architecture = 'bert'\n[train]\nbetas = 3", "betas must be two numbers"),
    ("architecture = 'bert'\n[text]\nlength = 600",
     "text.length must be at most model.max_position_embeddings=512, got 600"),
    ("architecture = 'modernbert'\n[text]\nlength = 64\n[model]\nmax_position_embeddings = 32",
     "text.length must be at most model.max_position_embeddings=32, got 64"),
])
def test_a_mistake_is_named_with_what_would_be_right(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_recipe(written(tmp_path, text))


@pytest.mark.parametrize("build, message", [
    (lambda: MaskingConfig(rate="0.3"), "rate must be a finite number, got '0.3'"),
    (lambda: MaskingConfig(pairs=["none"]), "pairs must be one of none, next_sentence, order"),
    (lambda: TextConfig(length=16.0), "length must be an int, got 16.0"),
    (lambda: BertRecipe(masking=None), "masking must be a MaskingConfig, got None"),
    (lambda: ModernBertRecipe(model=BertConfig()), "model must be a ModernBertConfig"),
])
def test_a_mistake_in_python_is_named_too(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_shares_that_sum_to_one_leave_nothing_and_not_less():
    for percent in range(101):
        shares = MaskingConfig(masked=percent / 100, random=(100 - percent) / 100).replace
        assert shares[2] == pytest.approx(0, abs=1e-15) and shares[2] >= 0
    assert MaskingConfig().replace == pytest.approx((0.8, 0.1, 0.1))


def test_a_recipe_that_is_not_there(tmp_path):
    written(tmp_path, "architecture = 'bert'")
    with pytest.raises(FileNotFoundError, match=r"there is no recipe .*x\.toml; .* has r\.toml"):
        read_recipe(tmp_path / "x.toml")
