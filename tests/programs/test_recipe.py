"""Recipes: what a file says is what is done, and what it gets wrong is named."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pretrain_lib import (
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPTextConfig,
    MaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    TextConfig,
    TextData,
)
from pretrain_lib.commands import recipe_and_options
from pretrain_lib.objectives.masked_lm import MaskedLMConfig
from pretrain_lib.programs.recipe import Part, Recipe, read_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
FROM_BEFORE = [path for path in RECIPES if (ROOT / "tests" / "saved" / "recipes" / path.name).is_file()]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_that_results_were_measured_with_says_its_precision(path):
    assert "precision" in tomllib.loads(path.read_text(encoding="utf-8"))["train"]


@pytest.mark.parametrize("path", FROM_BEFORE, ids=lambda path: path.stem)
def test_every_recipe_that_was_measured_with_is_what_it_was(path):
    """Beside the tests lie the same recipes in the form that was written before."""
    then = ROOT / "tests" / "saved" / "recipes" / path.name
    assert "architecture" in (said := tomllib.loads(then.read_text(encoding="utf-8")))
    recipe, before = read_recipe(path), read_recipe(then)
    if "precision" not in said["train"]:  # it has been said since
        before = replace(before, train=replace(before.train, precision=recipe.train.precision))
    assert recipe == before
    assert ("modernbert" in path.stem) == (recipe.model.kind is ModernBertForMaskedLM)


def written(tmp_path, text):
    path = tmp_path / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


KINDS = """
    [data]
    kind = "TextData"
    [model]
    kind = "BertForMaskedLM"
    [objective]
    kind = "MaskedLM"
"""


def test_what_is_left_out_has_the_default_and_the_rest_does_not(tmp_path):
    recipe = read_recipe(written(tmp_path, """
        start_at_unigram = false
        [data]
        kind = "TextData"
        pairs = "next_sentence"
        [model]
        kind = "BertForPreTraining"
        hidden_size = 48
        num_attention_heads = 3
        [objective]
        kind = "BertPretraining"
        unit = "word"
        [train]
        steps = 7
        betas = [0.8, 0.9]
    """))
    assert (recipe.model.config.hidden_size, recipe.model.config.num_hidden_layers) == (48, 12)
    assert (recipe.data.config.pairs, recipe.data.config.corpus) == ("next_sentence", "sotu")
    assert (recipe.objective.config.unit, recipe.objective.config.rate) == ("word", 0.15)
    assert recipe.train.steps == 7 and recipe.train.betas == (0.8, 0.9)
    assert recipe.start_at_unigram is False


@pytest.mark.parametrize("then, now", [
    ("architecture = 'bert'\nstart_at_neighbours = true", "start_at_neighbours = true" + KINDS),
    ("architecture = 'modernbert'\n[text]\ntokenizer = ''\nkind = 'bpe'\n[masking]\nrate = 0.4",
     "[data]\nkind = 'TextData'\ntokenizer = ''\ntokenizer_kind = 'bpe'\n[model]\n"
     "kind = 'ModernBertForMaskedLM'\n[objective]\nkind = 'MaskedLM'\nrate = 0.4"),
    ("architecture = 'bert'\n[masking]\npairs = 'order'\nmasked = 0.5\n[train]\nseed = 3",
     "[data]\nkind = 'TextData'\npairs = 'order'\n[model]\nkind = 'BertForPreTraining'\n"
     "[objective]\nkind = 'BertPretraining'\nmasked = 0.5\n[train]\nseed = 3"),
])
def test_a_recipe_in_the_form_of_before_is_the_same_recipe(then, now, tmp_path):
    recipe = read_recipe(written(tmp_path, now))
    assert read_recipe(written(tmp_path, then)) == recipe
    assert Recipe(**vars(recipe)) == recipe


@pytest.mark.parametrize("text, message", [
    # as recipes were written before
    ("architecture = 'bert'\n[train]\nlearning_rat = 1", r"\[train\]: unknown field 'learning_rat'; "
                                                         "did you mean 'learning_rate'"),
    ("architecture = 'bert'\n[modle]\nhidden_size = 1", "did you mean 'model'"),
    ("architecture = 'bert'\n[train]\nxyz = 1", "known are steps"),
    ("architecture = 'gpt'", "architecture must be one of bert, modernbert, got 'gpt'"),
    ("architecture = ", "is not TOML"),
    ("architecture = 'bert'\n[train]\nsteps = 0", r"\[train\]: steps must be at least 1, got 0"),
    ("architecture = 'bert'\n[model]\nhidden_size = 10\nnum_attention_heads = 3",
     "num_attention_heads must be a divisor of hidden_size=10"),
    ("architecture = 'modernbert'\n[masking]\npairs = 'next_sentence'", "needs a BERT"),
    ("architecture = 'bert'\n[masking]\npairs = 'both'", "pairs must be one of none"),
    ("architecture = 'bert'\n[masking]\nkind = 'MaskedLM'", r"\[masking\]: unknown field 'kind'"),
    ("architecture = 'bert'\n[text]\nlength = 2", r"\[text\]: length must be .* at least 8, got 2"),
    ("architecture = 'bert'\ntrain = 3", "train must be a table"),
    ("architecture = 'bert'\ntext = 3", "text must be a table"),
    ("architectur = 'bert'", "unknown field 'architectur'; did you mean 'architecture'"),
    ("architecture = 'bert'\nstart_at_unigram = 'no'",
     "start_at_unigram must be True or False, got 'no'"),
    ("architecture = 'modernbert'\nstart_at_neighbours = true",
     "start_at_neighbours must be False, which is all that ModernBertForMaskedLM can"),
    ("architecture = 'bert'\n[masking]\nrate = 1.5", r"\[masking\]: rate must be above 0 and below 1, got 1.5"),
    ("architecture = 'bert'\n[masking]\nrate = '0.3'", "rate must be a finite number, got '0.3'"),
    ("architecture = 'bert'\n[masking]\nrate = nan", "rate must be a finite number, got nan"),
    ("architecture = 'bert'\n[masking]\nunit = 'wrd'",
     "unit must be one of token, word, span, entity, got 'wrd'"),
    ("architecture = 'bert'\n[masking]\nmasked = 1.1", "masked must be between 0 and 1, got 1.1"),
    ("architecture = 'bert'\n[masking]\nmasked = 0.75\nrandom = 0.3",
     "random must be between 0 and 0.25, what masked=0.75 leaves, got 0.3"),
    ("architecture = 'bert'\n[text]\nvocab_size = '8k'", "vocab_size must be an int, got '8k'"),
    ("architecture = 'bert'\n[text]\ncorpus = 3", "corpus must be a string, got 3"),
    ("architecture = 'bert'\n[text]\nkind = 'wordpeace'", "kind must be one of auto, wordpiece, bpe"),
    ("architecture = 'bert'\n[model]\nhidden_dropout_prob = '0.1'",
     r"\[model\]: hidden_dropout_prob must be a finite number, got '0.1'"),
    ("architecture = 'modernbert'\n[model]\nlayer_types = 3", r"\[model\]: .*not iterable"),
    ("architecture = 'bert'\n[train]\nbetas = 3", "betas must be two numbers"),
    ("architecture = 'bert'\n[text]\nlength = 600",
     "data.length must be at most model.max_position_embeddings=512, got 600"),
    ("architecture = 'modernbert'\n[text]\nlength = 64\n[model]\nmax_position_embeddings = 32",
     "data.length must be at most model.max_position_embeddings=32, got 64"),
    # as they are written today
    ("[train]\nsteps = 3", r"\[data\] has no line kind: known are CaptionedData, .*TextData, VideoData, and package.module:Class"),
    ("[text]\nlength = 30", "architecture must be one of bert, modernbert, got None"),
    ("data = 'TextData'", r"data must be a table, \[data\], got 'TextData'"),
    (KINDS.replace("TextData", "TextDat"), r"\[data\]: unknown kind 'TextDat'; did you mean 'TextData'"),
    (KINDS.replace("BertForMaskedLM", "BertForMasked"), r"\[model\]: unknown kind .*; did you mean 'BertForMaskedLM'"),
    (KINDS.replace('"MaskedLM"', '"MaskedLm"'), r"\[objective\]: unknown kind 'MaskedLm'; did you mean 'MaskedLM'"),
    (KINDS.replace('"MaskedLM"', '"BertForMaskedLM"'), r"\[objective\]: unknown kind 'BertForMaskedLM'"),
    (KINDS.replace("BertForMaskedLM", "BertForTokenClassification"), r"\[model\]: unknown kind"),
    (KINDS.replace("BertForMaskedLM", "MaskedLM"), r"\[model\]: unknown kind 'MaskedLM'"),
    (KINDS.replace('"MaskedLM"', "3"), r"\[objective\]: unknown kind 3; known are"),
    (KINDS.replace("TextData", "no_such:Data"), "no_such:Data cannot be imported, No module named 'no_such'"),
    (KINDS.replace("TextData", "math:Data"), "math:Data cannot be imported, .* no attribute 'Data'"),
    (KINDS.replace("TextData", "fractions:Fraction"), "fractions:Fraction must be a subclass of Data"),
    (KINDS.replace('"MaskedLM"', '"Contrastive"'), r"\[objective\]: views must be given"),
    (KINDS + "rat = 0.3", r"\[objective\]: unknown field 'rat'; did you mean 'rate'"),
    (KINDS.replace("BertForMaskedLM", "ModernBertForMaskedLM").replace('TextData"', 'TextData"\npairs = "order"'),
     "pairs='order' needs a BERT, which tells two segments apart, and ModernBertForMaskedLM does not"),
])
def test_a_mistake_is_named_with_what_would_be_right(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_recipe(written(tmp_path, text))


def test_a_field_may_be_a_table_of_its_own(tmp_path):
    recipe = read_recipe(written(tmp_path, KINDS.replace('"MaskedLM"', """"Contrastive"
        [objective.views]
        left = ["images"]
        right = ["others", "mask"]""")))
    objective = recipe.objective.kind.from_config(recipe.objective.config)
    assert objective.views == {"left": ("images",), "right": ("others", "mask")}
    assert recipe_and_options(str(tmp_path / "r.toml"), ["--objective.temperature", "0.5"])[0] == replace(
        recipe, objective=replace(recipe.objective, config=replace(recipe.objective.config, temperature=0.5)))


def test_a_configuration_may_hold_another(tmp_path):
    text = KINDS.replace("BertForMaskedLM", "CLIPModel") + """
        [model.text_config]
        hidden_size = 16
        num_attention_heads = 2"""
    config = read_recipe(written(tmp_path, text)).model.config
    assert config == replace(CLIPConfig(), text_config=CLIPTextConfig(hidden_size=16, num_attention_heads=2))
    with pytest.raises(ValueError, match=r"\[model.text_config\]: unknown field 'hidden'; did you mean 'hidden_act'"):
        read_recipe(written(tmp_path, text.replace("hidden_size", "hidden")))
    with pytest.raises(ValueError, match=r"\[model.text_config\]: num_attention_heads must be a divisor of hidden_size=15"):
        read_recipe(written(tmp_path, text.replace("16", "15")))


def parts(**changed):
    return {"data": Part(TextData, TextConfig()), "model": Part(BertForMaskedLM, BertConfig()),
            "objective": Part(MaskedLM, MaskedLMConfig())} | changed


@pytest.mark.parametrize("build, message", [
    (lambda: MaskedLMConfig(rate="0.3"), "rate must be a finite number, got '0.3'"),
    (lambda: TextConfig(pairs=["none"]), "pairs must be one of none, next_sentence, order"),
    (lambda: TextConfig(length=16.0), "length must be an int, got 16.0"),
    (lambda: Part(MaskedLM, None), "config of MaskedLM must be a MaskedLMConfig, got None"),
    (lambda: Part(BertForMaskedLM, ModernBertConfig()), "config of BertForMaskedLM must be a BertConfig"),
    (lambda: Recipe(**parts(objective=None)), "objective must be a Part, got None"),
    (lambda: Recipe(**parts(objective=parts()["model"])), "kind of objective must be a subclass of Objective"),
])
def test_a_mistake_in_python_is_named_too(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_shares_that_sum_to_one_leave_nothing_and_not_less():
    for percent in range(101):
        shares = MaskedLMConfig(masked=percent / 100, random=(100 - percent) / 100).replace
        assert shares[2] == pytest.approx(0, abs=1e-15) and shares[2] >= 0
    assert MaskedLMConfig().replace == pytest.approx((0.8, 0.1, 0.1))


def test_a_recipe_that_is_not_there(tmp_path):
    written(tmp_path, "architecture = 'bert'")
    with pytest.raises(FileNotFoundError, match=r"there is no recipe .*x\.toml; .* has r\.toml"):
        read_recipe(tmp_path / "x.toml")
