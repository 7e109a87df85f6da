"""Entities are hidden whole: against brute force, and in a training run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds, train_tokenizer
from pretrain_lib.evaluation.masked import MaskedSet
from pretrain_lib.objectives.masked_lm import MaskedLM, MaskedLMConfig

SPECIAL = SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4)
V, T = 50, 40


def texts(n: int, seed: int = 0):
    """[CLS] tokens [SEP], and runs of one to four tokens that name something."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, V, (n, T), generator=generator)
    ids[:, 0], ids[:, -1] = SPECIAL.cls, SPECIAL.sep
    lengths = torch.randint(1, 5, (n, T), generator=generator)
    named = torch.rand(n, T, generator=generator) < 0.4
    entities = torch.full((n, T), -1)
    for row in range(n):
        at = 1
        for length, is_named in zip(lengths[row].tolist(), named[row].tolist(), strict=True):
            if is_named:
                entities[row, at : min(at + length, T - 1)] = int(torch.randint(0, 9, (1,), generator=generator))
            at += length
    return ids, entities


def runs(row: list[int]) -> list[list[int]]:
    """The positions of each entity of a row, and of each token outside of all."""
    found = []
    for i, entity in enumerate(row):
        if i and entity >= 0 and row[i - 1] == entity:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def hidden(masked) -> torch.Tensor:
    """(B, T) bool, which tokens are to be predicted."""
    used = masked.labels != -100
    return torch.zeros(len(used), T, dtype=torch.long).scatter_add_(1, masked.positions, used.long()).bool()


@given(st.integers(0, 40), st.sampled_from([0.1, 0.3]))
@settings(max_examples=15, deadline=None)
def test_an_entity_is_hidden_whole_or_not_at_all(seed, rate):
    ids, entities = texts(8, seed)
    masked = MaskedLM(SPECIAL, V, rate, "entity").mask(ids, Keys.of(seed, 8), entities)
    chosen = hidden(masked)
    assert not chosen[torch.isin(ids, torch.tensor(SPECIAL))].any()
    for row in range(8):
        for run in runs(entities[row].tolist()):
            assert len(set(chosen[row, run].tolist())) == 1


def test_the_rate_is_of_tokens_and_every_token_is_as_likely():
    ids, entities = texts(4000)
    chosen = hidden(MaskedLM(SPECIAL, V, 0.2, "entity").mask(ids, Keys.of(0, 4000), entities))
    allowed = ids >= 5
    assert abs(chosen[allowed].double().mean() - 0.2) < 0.005
    inside, outside = (chosen[allowed & side].double().mean() for side in (entities >= 0, entities < 0))
    assert abs(inside - outside) < 0.02


def test_tokens_of_an_entity_share_their_fate():
    ids, entities = texts(500)
    masked = MaskedLM(SPECIAL, V, 0.3, "entity", replace=(0.5, 0.0, 0.5)).mask(ids, Keys.of(0, 500), entities)
    chosen, shown, fates = hidden(masked), masked.input_ids == SPECIAL.mask, set()
    for row in range(500):
        for run in runs(entities[row].tolist()):
            if chosen[row, run[0]]:
                assert len(set(shown[row, run].tolist())) == 1
                fates.add((len(run), shown[row, run[0]].item()))
    assert {(2, True), (2, False), (3, True), (3, False)} <= fates


def test_without_entities_it_is_as_token_by_token():
    ids, nothing = texts(20)[0], torch.full((20, T), -1)
    units = [MaskedLM(SPECIAL, V, unit=unit).units(ids, Keys.of(0, 20), nothing) for unit in ("entity", "token")]
    assert torch.equal(*units)


def test_samples_bring_their_entities_and_blanks_can_be_drawn_once():
    ids, entities = texts(30)
    source = Columns(input_ids=ids, entities=entities, attention_mask=torch.ones_like(ids), position_ids=torch.arange(T).expand(30, -1))
    objective, keys = MaskedLM(SPECIAL, V, 0.2, "entity"), Keys.of(0, 30)
    batch, masked = objective.batch(source.take(keys), keys), objective.mask(ids, keys, entities)
    assert torch.equal(batch.inputs["input_ids"], masked.input_ids) and "entities" not in batch.inputs
    assert torch.equal(MaskedSet.draw(source, objective, range(30)).labels, masked.labels)


def test_a_recipe_may_say_entity_and_a_tokenizer_need_not_know_words():
    config = MaskedLMConfig(unit="entity", rate=0.2)
    tokenizer = train_tokenizer(["gold silver coin"], 40)
    objective = MaskedLM.from_config(config, tokenizer)
    assert objective.unit == "entity" and objective.continues is None
    with pytest.raises(ValueError, match="unit must be one of token, word, span, entity, got 'phrase'"):
        MaskedLMConfig(unit="phrase")


def test_what_is_wrong_is_said():
    ids, _ = texts(4)
    with pytest.raises(ValueError, match='unit="entity" needs the column entities.*encode_spans'):
        MaskedLM(SPECIAL, V, unit="entity").batch({"input_ids": ids}, Keys.of(0, 4))
    with pytest.raises(ValueError, match="every entity is longer .* numbers of what single tokens name"):
        MaskedLM(SPECIAL, V, unit="entity").batch({"input_ids": ids, "entities": torch.zeros_like(ids)}, Keys.of(0, 4))
