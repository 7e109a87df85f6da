"""From a recipe to a trained model: the five steps in order, each a line of `pretrain`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from ..data.source import Data
from ..data.text.packing import PackedBlocks
from ..data.text.tokenizer import special_ids, vocabulary_size
from ..evaluation.counting import TwoSidedBigram, Unigram, token_counts
from ..evaluation.masked import MaskedSet, masked_scores
from ..models.init import start_at_unigram
from ..models.protocol import exported_models
from ..objectives.base import Objective
from ..pretrained import save_pretrained
from ..training.budget import steps_of, steps_within, with_steps
from ..training.checkpoint import replace_text
from ..training.curves import draw_curves
from ..training.distributed import join
from ..training.run_folder import CONFIG, read_config
from ..training.trainer import Trainer
from .recipe import Recipe, recipe_from

MODEL = "model"
CURVES = "curves.png"


def pretrain(recipe: Recipe, folder: str | Path, resume: bool = True,
             minutes: float | None = None) -> nn.Module:
    """Carries out a recipe: data, model, objective, training, and the model saved.

    Under `torchrun` every process calls this; rank 0 prepares the data and writes.

    Args:
        recipe: what to do.
        folder: the run's folder, which gets its config, log and checkpoints, and in the end a
            picture of its curves and, as `model`, what `load_pretrained` reads.
        resume: whether to go on where an earlier call left off.
        minutes: how long training may take, evaluations and checkpoints included; it sets the
            recipe's steps, and its warm-up in proportion.

    Returns:
        The trained model.

    Raises:
        ValueError: if the data are too few for the recipe.
        CheckpointError: if the folder holds the run of another recipe, or of other data.
    """
    folder = Path(folder)
    world, _ = join(recipe.train.device)
    data = recipe.data.kind.open(recipe.data.config, folder, world.on_first)
    lines = world.on_first(lambda: counting_lines(data, build_objective(recipe, data)))
    world.on_first(lambda: rewrite_old_description(folder / CONFIG))

    def trainer_of(recipe: Recipe, folder: Path) -> Trainer:
        return Trainer(build_model(recipe, data), build_objective(recipe, data), data.training,
                       recipe.train, held_out=data.held_out, folder=folder,
                       recipe=run_description(recipe, data))

    if minutes:
        steps = steps_of(folder) or steps_within(
            minutes, lambda train, beside: trainer_of(replace(recipe, train=train), beside),
            recipe.train, folder)
        recipe = replace(recipe, train=with_steps(recipe.train, steps))
    trainer = trainer_of(recipe, folder)
    trainer.fit(resume)
    model = trainer.whole_model(lambda: build_model(recipe, data))
    world.on_first(lambda: save_model_and_curves(model, data, trainer, lines, folder))
    return model


def build_model(recipe: Recipe, data: Data) -> nn.Module:
    """The model of a recipe, its first weights drawn with the run's seed."""
    seed = recipe.train.seed
    model = recipe.model.kind(model_config(recipe, data), seed)
    if recipe.start_at_neighbours:
        model.start_at_neighbours(seed)
    bias = getattr(model, "output_bias", None)
    if recipe.start_at_unigram and bias is not None and data.documents is not None:
        start_at_unigram(bias, token_counts(data.documents[0], len(bias)))
    return model


def model_config(recipe: Recipe, data: Data):
    """The model's configuration, with what the data decide of it."""
    config = recipe.model.config
    decided = {name: value for name, value in data.model_fields.items() if hasattr(config, name)}
    return replace(config, **decided)


def build_objective(recipe: Recipe, data: Data) -> Objective:
    """The objective of a recipe."""
    return recipe.objective.kind.from_config(recipe.objective.config, data.tokenizer)


def save_model_and_curves(model: nn.Module, data: Data, trainer: Trainer, lines: dict[str, float],
                          folder: Path) -> None:
    """Writes the model, if it can be loaded by name, and the picture of the run's curves."""
    if type(model) in exported_models().values():
        save_pretrained(model, folder / MODEL, data.tokenizer)
    else:
        print(f"no folder {MODEL}: load_pretrained finds only what pretrain_lib exports; the "
              "weights are in the checkpoints, and `pretrain` returns the model")
    try:
        draw_curves(trainer.history.records, folder / CURVES, lines)
    except ImportError:
        print(f"no {CURVES}: matplotlib is not installed")


def counting_lines(data: Data, objective: Objective) -> dict[str, float]:
    """The masked loss of predictors that only count, on blanks of the held-out documents.

    Of no text, or where no blanks are filled, there are none.
    """
    masked_lm = getattr(objective, "masked_lm", None)
    if data.documents is None or masked_lm is None:
        return {}
    training, held_out = data.documents
    special, vocab_size = special_ids(data.tokenizer), vocabulary_size(data.tokenizer)
    blocks = PackedBlocks(held_out, data.config.length, special)
    blanks = MaskedSet.draw(blocks, masked_lm, range(min(len(blocks), 256)))
    counted = {"unigram": Unigram(token_counts(training, vocab_size))}
    if training.num_documents > 1:  # the neighbours' weight is fitted on one of them
        counted["bigram, both sides"] = TwoSidedBigram(training, vocab_size, special)
    return {name: masked_scores(predictor, blanks).loss for name, predictor in counted.items()}


# ------------------------------------------------------------------------------- whose run it is


def run_description(recipe: Recipe, data: Data) -> dict:
    """All that makes a run what it is, beside how it is trained, fit for JSON."""
    fitted = replace(recipe, model=replace(recipe.model, config=model_config(recipe, data)))
    return description_with(fitted, data.about())


def description_with(recipe: Recipe, about: dict) -> dict:
    """A recipe's table without how it is trained, and with what its data say of themselves."""
    table = recipe.table()
    del table["train"]
    return table | {"data": {"kind": table["data"]["kind"], **about}}


def rewrite_old_description(path: Path) -> None:
    """Rewrites a config.json from before recipes had [data], as it would be written today."""
    there = read_config(path) if path.is_file() else {}
    then = there.get("recipe") or {}
    if "architecture" not in then:
        return
    digests = {"tokenizer": "tokenizer_hash", "training_text": "training_text",
               "held_out_text": "held_out_text"}
    recipe = recipe_from({name: value for name, value in then.items() if name not in digests},
                         str(path))
    about = asdict(recipe.data.config) | {now: then[name] for name, now in digests.items()}
    del about["folder"]
    replace_text(path, json.dumps(there | {"recipe": description_with(recipe, about)}, indent=1))
