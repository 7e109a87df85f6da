"""From a recipe to a trained model: the five steps in order, each a line of `pretrain`."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from ..data.source import Data
from ..data.text.packing import PackedBlocks
from ..data.text.text_data import said_of
from ..data.text.token_dataset import TokenDataset
from ..data.text.tokenizer import special_ids, vocabulary_size
from ..data.text.unknown import about_unknown, unknown_share
from ..evaluation.counting import TwoSidedBigram, Unigram, token_counts
from ..evaluation.masked import MaskedSet, masked_scores
from ..files import write_text
from ..models.init import start_at_unigram
from ..models.protocol import exported_models
from ..models.width import scale_first_weights
from ..objectives.base import Objective
from ..pretrained import load_pretrained, save_pretrained
from ..training.budget import steps_of, steps_within, with_steps
from ..training.checkpoint import replace_text
from ..training.config import differences
from ..training.curves import draw_curves
from ..training.distributed import join
from ..training.run_folder import CONFIG, read_config
from ..training.trainer import Trainer
from .recipe import Recipe, part_from, recipe_from

MODEL = "model"
CURVES = "curves.png"
REPORT = "report.json"
STRETCHES, STRETCH = 1000, 2000  # so many of so many tokens are counted of a large text


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
    world.on_first(lambda: rewrite_old_description(folder / CONFIG, data))

    def trainer_of(recipe: Recipe, folder: Path) -> Trainer:
        return Trainer(build_model(recipe, data), build_objective(recipe, data), data.training,
                       recipe.train, held_out=data.held_out, folder=folder,
                       recipe=run_description(recipe, data))

    if minutes:
        steps = steps_of(folder) or steps_within(
            minutes, lambda train, beside: trainer_of(replace(recipe, train=train), beside),
            recipe.train, folder)
        recipe = replace(recipe, train=with_steps(recipe.train, steps))
    if resume and is_finished(recipe, data, folder):
        world.on_first(lambda: print(f"{folder} holds this run, finished after "
                                     f"{recipe.train.steps} updates"))
        return load_pretrained(folder / MODEL).train()
    trainer = trainer_of(recipe, folder)
    world.on_first(lambda: report_unknown(data, folder))
    trainer.fit(resume)
    model = trainer.whole_model(lambda: build_model(recipe, data))
    world.on_first(lambda: (resume and is_saved(trainer.step, folder))
                   or save_model_and_curves(model, recipe, data, trainer, folder))
    return model


def build_model(recipe: Recipe, data: Data) -> nn.Module:
    """The model of a recipe, its first weights drawn with the run's seed."""
    seed = recipe.train.seed
    model = recipe.model.kind(model_config(recipe, data), seed)
    if recipe.train.base_width is not None:
        scale_first_weights(model, recipe.train.base_width)
    if recipe.start_at_neighbours:
        model.start_at_neighbours(seed)
    bias = getattr(model, "output_bias", None)
    if recipe.start_at_unigram and bias is not None and data.documents is not None:
        start_at_unigram(bias, token_counts(data.documents[0], len(bias)))
    return model


def model_config(recipe: Recipe, data: Data):
    """The model's configuration, with what the data decide of it."""
    return decided(recipe.model.config, data.model_fields)


def decided(config, by: dict):
    """A configuration, and those within it, with the fields that the data decide."""
    within = {field.name: decided(getattr(config, field.name), by) for field in fields(config)
              if is_dataclass(getattr(config, field.name))}
    return replace(config, **{name: by[name] for name in by if hasattr(config, name)}, **within)


def build_objective(recipe: Recipe, data: Data) -> Objective:
    """The objective of a recipe."""
    return recipe.objective.kind.from_config(recipe.objective.config, data.tokenizer)


def save_model_and_curves(model: nn.Module, recipe: Recipe, data: Data, trainer: Trainer,
                          folder: Path) -> None:
    """Writes the model, if it can be loaded by name, and the picture of the run's curves."""
    if type(model) in exported_models().values():
        save_pretrained(model, folder / MODEL, data.tokenizer)
    else:
        print(f"no folder {MODEL}: load_pretrained finds only what pretrain_lib exports; the "
              "weights are in the checkpoints, and `pretrain` returns the model")
    if "counting" not in read_report(folder):
        add_to_report(folder, counting=counting_lines(data, build_objective(recipe, data)))
    try:
        draw_curves(trainer.history.records, folder / CURVES, read_report(folder)["counting"])
    except ImportError:
        print(f"no {CURVES}: matplotlib is not installed")
    add_to_report(folder, saved_after=trainer.step)


def is_saved(step: int, folder: Path) -> bool:
    """Whether the model and the picture of a run that ended with this update are there."""
    there = (folder / MODEL).is_dir() and (folder / CURVES).is_file()
    return there and read_report(folder).get("saved_after") == step


def is_finished(recipe: Recipe, data: Data, folder: Path) -> bool:
    """Whether the folder holds this very run, with all its updates made and its model saved."""
    if not ((folder / CONFIG).is_file() and is_saved(recipe.train.steps, folder)):
        return False
    there = read_config(folder / CONFIG)
    mine = {"recipe": run_description(recipe, data), "train": asdict(recipe.train)}
    mine = json.loads(json.dumps(mine))  # as it is read back
    return (there.get("recipe") == mine["recipe"]
            and not differences(there["train"], mine["train"]))


def counting_lines(data: Data, objective: Objective) -> dict[str, float]:
    """The masked loss of predictors that only count, on blanks of the held-out documents.

    Of no text, or where no blanks are filled, there are none. Of a large text a sample is counted.
    """
    masked_lm = getattr(objective, "masked_lm", None)
    if data.documents is None or masked_lm is None:
        return {}
    training, held_out = data.documents
    special, vocab_size = special_ids(data.tokenizer), vocabulary_size(data.tokenizer)
    blocks = PackedBlocks(held_out, data.config.length, special)
    blanks = MaskedSet.draw(blocks, masked_lm, range(min(len(blocks), 256)))
    counted = {"unigram": Unigram(token_counts(training, vocab_size))}
    sample = sample_of(training)
    if len(sample) > 1:  # the neighbours' weight is fitted on one of them
        counted["bigram, both sides"] = TwoSidedBigram(sample, vocab_size, special)
    return {name: masked_scores(predictor, blanks).loss for name, predictor in counted.items()}


def sample_of(documents: TokenDataset) -> list[np.ndarray]:
    """All documents, or of a large text stretches that are spread evenly over it."""
    if documents.tokens <= STRETCHES * STRETCH:
        return [documents.document(i) for i in range(documents.num_documents)]
    ends = documents.document_lengths.cumsum()
    found = []
    for place in np.arange(STRETCHES) * documents.tokens // STRETCHES:
        i = int(np.searchsorted(ends, place, side="right"))
        begin = place - (ends[i] - documents.document_lengths[i])
        found.append(documents.document(i)[begin:begin + STRETCH])
    return found


# ------------------------------------------------------------------------ what a run's folder says


def report_unknown(data: Data, folder: Path) -> None:
    """Prints what share of the text is [UNK], and keeps it in the run's folder."""
    if data.documents is None:
        return
    if "unknown" not in read_report(folder):
        counts = sum(part.counts for part in data.documents)
        add_to_report(folder, unknown=unknown_share(counts, special_ids(data.tokenizer)))
    print(about_unknown(read_report(folder)["unknown"]))


def read_report(folder: Path) -> dict:
    """What was measured of a run beside its training."""
    path = folder / REPORT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def add_to_report(folder: Path, **measured) -> None:
    write_text(folder / REPORT, json.dumps(read_report(folder) | measured, indent=1))


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


def rewrite_old_description(path: Path, data: Data) -> None:
    """Rewrites a run's config.json of an earlier version as it would be written today."""
    there = read_config(path) if path.is_file() else {}
    then = there.get("recipe") or {}
    if "architecture" in then:
        then = from_before_data(then, path)
    if "data" in then:
        then = then | {"data": data.recognised(then["data"])}
        then |= {part: part_from(then[part], part, part, str(path)).table()  # with newer fields
                 for part in ("model", "objective")}
        then = json.loads(json.dumps(then))  # as it is read back
    if then != (there.get("recipe") or {}):
        replace_text(path, json.dumps(there | {"recipe": then}, indent=1))


def from_before_data(then: dict, path: Path) -> dict:
    """A description from before recipes had [data], as one that has it."""
    digests = {"tokenizer": "tokenizer_hash", "training_text": "training_text",
               "held_out_text": "held_out_text"}
    recipe = recipe_from({name: value for name, value in then.items() if name not in digests},
                         str(path))
    about = said_of(recipe.data.config) | {now: then[name] for name, now in digests.items()}
    return description_with(recipe, about)
