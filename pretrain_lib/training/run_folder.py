"""A run's folder: whose it is, and what to do with what an earlier run left there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..data.keys import Keys
from ..data.source import Source
from ..files import free_name, remove_left_overs
from ..models.protocol import Saved
from ..objectives.base import Objective
from .checkpoint import CheckpointError, not_written, replace_text
from .config import differences
from .contract import is_source, taken

CONFIG = "config.json"
ROWS = 16  # of a source, that tell it from another
LONGEST = 100  # settings in a list that are kept one by one
PLAIN = (int, float, str, bool, type(None), tuple, list, dict)


def claim(folder: Path, mine: dict, unsaid: dict) -> None:
    """Writes a run's description to config.json, or makes sure that the one there is the same.

    Args:
        folder: the run's.
        mine: the run's description.
        unsaid: `defaults_of` "objective" and "architecture", which an older run had where it
            does not say so.

    Raises:
        CheckpointError: if the folder is another run's, naming what differs, or cannot be made.
    """
    path = folder / CONFIG
    mine = json.loads(json.dumps(mine))  # as it is read back
    if path.exists():
        there = read_config(path)
        differ = differences(there["train"], mine["train"])
        older = "source" not in there
        known = mine | ({"objective": without_lists(mine["objective"])} if older else {})
        for part in ("objective", "architecture"):
            if there.get(part) and known[part]:
                there[part] = filled(there[part], known[part], unsaid[part])
        for name in ("objective", "model", "architecture", "samples", "source", "held_out",
                     "recipe"):
            if name in there:  # older runs do not say all of it
                differ += unlike(name, there[name], known[name])
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
    """An objective's name, weights and settings, and those of the objectives within it."""
    parts = {name: description_of(part) for name, part in objective.named_modules()
             if isinstance(part, Objective) and part is not objective}
    return {"name": type(objective).__name__, **settings_of(objective),
            "weights": objective.weights, **parts}


def defaults_of(module: nn.Module) -> dict:
    """The settings that a model or an objective has where nothing is said.

    Of an objective also those of the ones within it.
    """
    kind = getattr(module, "config_class", None)
    settings = {f.name: plain(f.default) for f in (fields(kind) if kind else ())
                if f.default is not MISSING}
    return settings | {name: defaults_of(part) for name, part in module.named_modules()
                       if isinstance(part, Objective) and part is not module}


def filled(there: dict, mine: dict, unsaid: dict) -> dict:
    """An older run's description with those of my settings that could not be said then."""
    new = {name: unsaid[name] for name in mine.keys() & unsaid.keys() - there.keys()}
    parts = {name: filled(there[name], mine[name], value) for name, value in unsaid.items()
             if isinstance(value, dict) and name in there and name in mine}
    return there | new | parts


def architecture_of(model: nn.Module) -> dict | None:
    """What a model says builds it again, but for the names of its classes; None if it does not say.

    Tensors of the same shapes may belong to another model: one with other heads, or more dropout.
    """
    if not isinstance(model, Saved):
        return None
    return {name: {"name": type(value).__name__, **(architecture_of(value) or {})}
            if isinstance(value, nn.Module) else plain(value)
            for name, value in model.to_config().items() if name != "label_names"}


def description_of_source(source: Source) -> dict:
    """What a source is: a view by its settings and what it views, any other by some of its rows."""
    name, inner = type(source).__name__, sources_within(source)
    if not inner:
        return {"name": name, "samples": len(source), "rows": digests_of_rows(source)}
    return {"name": name, "samples": len(source), **settings_of(source),
            **{key: description_of_source(part) for key, part in inner.items()}}


def sources_within(source: Source) -> dict[str, Source]:
    """The sources that a view views, by the name that it has for them."""
    found = {}
    for name, value in vars(source).items():
        parts = value if isinstance(value, dict) else {"": value}
        found |= {f"{name}.{key}".strip("."): part for key, part in parts.items()
                  if is_source(part)}
    return found


def digests_of_rows(source: Source) -> list[str | None]:
    """Eight hexadecimal digits for each of a few rows, the first and the last among them.

    A row that is not finite has none: it may be mended before the run goes on.
    """
    ids = np.unique(np.linspace(0, len(source) - 1, ROWS).astype(np.int64))
    columns = sorted(taken(source, Keys.of(0, ids)).items())
    digests = []
    for row in range(len(ids)):
        digest, finite = hashlib.sha256(), True
        for name, column in columns:
            values = column.reshape(len(ids), -1)[row].cpu()
            digest.update(f"{name} {column.dtype} {tuple(column.shape)}".encode())
            digest.update(values.contiguous().view(torch.uint8).numpy().tobytes())
            finite &= bool(values.isfinite().all())
        digests.append(digest.hexdigest()[:8] if finite else None)
    return digests


def settings_of(thing) -> dict:
    """The plain settings that something keeps as attributes, fit for JSON."""
    return {name: plain(value) for name, value in vars(thing).items()
            if isinstance(value, PLAIN) and not name.startswith("_") and name != "training"
            and not (isinstance(value, dict) and any(map(is_source, value.values())))}


def plain(value):
    """A setting as JSON has it: what is no number or word is its type's name and settings."""
    if isinstance(value, dict):
        return plain([*value.items()])
    if isinstance(value, (tuple, list)):
        kept = [plain(part) for part in value[:LONGEST]]
        return kept if len(value) <= LONGEST else [*kept, f"of {len(value)}"]
    if isinstance(value, PLAIN):
        return value
    settings = settings_of(value) if hasattr(value, "__dict__") else {}
    return {"name": type(value).__name__, **settings}


def without_lists(description: dict) -> dict:
    """An objective's description as older runs have it."""
    return {name: without_lists(value) if isinstance(value, dict) else value
            for name, value in description.items() if not isinstance(value, list)}


def unlike(name: str, there, mine) -> list[str]:
    """Where two descriptions differ, each as "name.within: there, now mine"."""
    if isinstance(there, dict) and isinstance(mine, dict):
        return [line for key in there | mine
                for line in unlike(f"{name}.{key}", there.get(key), mine.get(key))]
    if name.endswith(".rows") and there and mine:
        same = all(was == now for was, now in zip(there, mine, strict=False) if was and now)
        return [] if same else [f"{name}: other samples"]
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
