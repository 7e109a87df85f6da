"""From a finished run to a model of the zoo: weights in 16 bits, tokenizer, recipe, log, and a card.

    python -m pretrain_lib.programs.publish RUN RECIPE.toml NAME
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from ..data.speech.speech_data import SpeechData
from ..data.text.text_data import TextData
from ..data.text.tokenizer import load_tokenizer
from ..pretrained import WEIGHTS, find, load_pretrained, save_pretrained
from ..training.run_folder import library_versions
from ..zoo import RECIPE, ZOO
from .pretrain import CURVES
from .recipe import read_recipe
from .speech_card import speech_card
from .text_card import text_card

CARDS = {TextData: text_card, SpeechData: speech_card}


def publish(run: Path, recipe_file: Path, name: str, zoo: Path = ZOO) -> Path:
    """Puts a run's model into the zoo, and says on its card what it can do.

    Args:
        run: the run's folder.
        recipe_file: the recipe that it carried out.
        name: the model's name in the zoo.
        zoo: where its folder is made.

    Returns:
        The model's folder.
    """
    recipe = read_recipe(recipe_file)
    source, folder = find(run), zoo / name
    tokenizer = load_tokenizer(source) if recipe.data.kind is TextData else None
    save_pretrained(load_pretrained(source), folder, tokenizer, dtype=torch.float16)
    shutil.copy(recipe_file, folder / RECIPE)
    for file in ("log.jsonl", CURVES):
        shutil.copy(run / file, folder / file)
    model = load_pretrained(folder)  # as stored, in 16 bits
    data = recipe.data.kind.open(recipe.data.config, run)
    facts = {"name": name, "architecture": type(model).__name__,
             "parameters": sum(p.numel() for p in model.parameters()),
             "megabytes": (folder / WEIGHTS).stat().st_size / 1e6,
             "held_out": held_out_losses(folder / "log.jsonl"),
             "versions": ", ".join(f"{key} {value}" for key, value in library_versions().items())}
    card = CARDS[recipe.data.kind](model, name, recipe, data, facts)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def held_out_losses(log: Path) -> dict[int, float]:
    """The loss on held-out samples after each number of updates at which a run was evaluated."""
    records = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return {record["step"]: record["evaluation"]["loss"]
            for record in records if "evaluation" in record}


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    print(publish(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
