"""Recipes: what a file says is what is done, and what it gets wrong is named."""

from pathlib import Path

import pytest

from pretrain_lib.recipe import BertRecipe, ModernBertRecipe, read_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


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
    ("architecture = 'bert'\n[text]\nlength = 2", "length must be at least 8"),
    ("architecture = 'bert'\ntrain = 3", "train must be a table"),
])
def test_a_mistake_is_named_with_what_would_be_right(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_recipe(written(tmp_path, text))


def test_a_recipe_that_is_not_there(tmp_path):
    written(tmp_path, "architecture = 'bert'")
    with pytest.raises(FileNotFoundError, match=r"there is no recipe .*x\.toml; .* has r\.toml"):
        read_recipe(tmp_path / "x.toml")
