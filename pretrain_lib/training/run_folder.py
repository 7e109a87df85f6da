"""A run's folder: whose it is, and what to do with what an earlier run left there."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..files import free_name, remove_left_overs
from ..objectives.base import Objective
from .checkpoint import CheckpointError, not_written, replace_text
from .config import differences

CONFIG = "config.json"


def claim(folder: Path, mine: dict) -> None:
    """Writes a run's description to config.json, or makes sure that the one there is the same.

    Raises:
        CheckpointError: if the folder is another run's, naming what differs, or cannot be made.
    """
    path = folder / CONFIG
    mine = json.loads(json.dumps(mine))  # as it is read back
    if path.exists():
        there = read_config(path)
        differ = differences(there["train"], mine["train"])
        for name in ("objective", "model", "samples"):
            differ += unlike(name, there.get(name), mine[name])
        if "recipe" in there:  # older runs do not say
            differ += unlike("recipe", there["recipe"], mine["recipe"])
        if differ:
            raise CheckpointError(
                f"{folder} holds a run with another config ({'; '.join(differ)}): "
                "choose another folder, or the config of that run"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(folder, error) from error
    remove_left_overs(folder)
    replace_text(path, json.dumps(mine, indent=1))


def description_of(objective: Objective) -> dict:
    """An objective's name, weights and plain settings, and those of the objectives within it."""
    plain = (int, float, str, bool, type(None))
    settings = {k: v for k, v in vars(objective).items()
                if isinstance(v, plain) and not k.startswith("_") and k != "training"}
    parts = {name: description_of(part) for name, part in objective.named_modules()
             if isinstance(part, Objective) and part is not objective}
    return {"name": type(objective).__name__, "weights": objective.weights, **settings, **parts}


def unlike(name: str, there, mine) -> list[str]:
    """Where two descriptions differ, each as "name.within: there, now mine"."""
    if isinstance(there, dict) and isinstance(mine, dict):
        return [line for key in there | mine
                for line in unlike(f"{name}.{key}", there.get(key), mine.get(key))]
    return [] if there == mine else [f"{name}: {there!r}, now {mine!r}"]


def move_aside(folder: Path) -> None:
    """Moves what an earlier run left in the folder out of the way."""
    left = [path for name in ("checkpoints", "log.jsonl", "tensorboard")
            if (path := folder / name).exists()]
    if left:
        aside = free_name(folder / "earlier")
        aside.mkdir()
        for path in left:
            path.rename(aside / path.name)


@cache
def library_versions() -> dict[str, str]:
    """The versions that a checkpoint was written with."""
    return {name: version(name) for name in ("torch", "numpy", "safetensors")}


def read_config(path: Path) -> dict:
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        return {**there, "train": dict(there["train"])}
    except (ValueError, TypeError, KeyError):
        raise CheckpointError(
            f"{path} is damaged, so nobody can tell what was trained here: choose another folder, "
            "or delete that file to go on with this config") from None
