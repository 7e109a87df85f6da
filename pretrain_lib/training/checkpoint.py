"""Checkpoints that survive a kill, a full disk and a flipped bit.

A checkpoint is a folder `step-00000100` of safetensors files, `state.json` for everything that is
not a tensor, and `manifest.json`, which is written last and holds size and SHA-256 of each file.
The folder is written beside its place and renamed into it, so it is either all there or not there.

Where ranks hold shards, each writes its rows, as `model-00002-of-00004.safetensors`. Read back, the
rows are put together, so any number of ranks can take up what any other number has saved.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..files import free_name, put_in_place, remove_left_overs, sha256_of, sync, write_text
from .distributed import World, is_sharded, own_rows, sharded_like

MANIFEST = "manifest.json"
STATE = "state.json"
STEP_FOLDER = re.compile(r"step-(\d{8,})")
SHARD = re.compile(r"-\d{5}-of-\d{5}$")

Tensors = dict[str, Tensor]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or used here; the message says why and what to do."""


class NotWrittenError(CheckpointError):
    """A file of the run cannot be written; what was there before is untouched."""


def step_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of update `step` lies below `folder`."""
    return folder / f"step-{step:08d}"


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps of all checkpoints below `folder`, sound or not, oldest first."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(match[1]) for name in names if (match := STEP_FOLDER.fullmatch(name)))


def not_written(path: Path, error: OSError) -> NotWrittenError:
    """The error for a file of the run that could not be written."""
    return NotWrittenError(f"{path} could not be written: {error.strerror}")


def replace_text(path: Path, text: str) -> None:
    """Writes a text file of the run, which is never half written.

    Raises:
        CheckpointError: if it cannot be written; what was there before still is.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise not_written(path, error) from error


def _compact(tensor: Tensor) -> Tensor:
    """A copy on the CPU in memory of its own, as safetensors wants it."""
    return own_rows(tensor.detach()).to("cpu", copy=True, memory_format=torch.contiguous_format)


def _begin(place: Path, state: dict) -> None:
    remove_left_overs(place.parent)
    place.mkdir(parents=True)
    (place / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")


def _write(place: Path, tensors: dict[str, Tensors], world: World) -> dict[str, dict]:
    """Writes what is this rank's to write; returns its part of the manifest."""
    written = [place / STATE] if world.first else []
    for name, group in tensors.items():
        in_shards = any(map(is_sharded, group.values()))
        mine = {key: _compact(tensor) for key, tensor in group.items()
                if world.first or is_sharded(tensor)}
        if mine:
            number = f"-{world.rank + 1:05d}-of-{world.size:05d}" if in_shards else ""
            written.append(place / f"{name}{number}.safetensors")
            save_file(mine, written[-1])
            shutil.copymode(place / STATE, written[-1])  # safetensors lets the owner alone read
    for file in written:
        sync(file)
    return {file.name: {"bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in written}


def _finish(beside: Path, manifest: dict[str, dict]) -> None:
    (beside / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for path in (beside / MANIFEST, beside):
        sync(path)


def _put_in_place(place: Path, beside: Path) -> None:
    if place.exists() and not is_sound(place):
        place.rename(free_name(place.with_name(f"damaged-{place.name}")))
    put_in_place(beside, place)


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensors], state: dict,
                    world: World = World()) -> Path:
    """Writes the checkpoint of update `step` below `folder`, all of it or nothing.

    Args:
        folder: where the run's checkpoints lie.
        step: number of updates done.
        tensors: for each file, its tensors by name.
        state: everything else, fit for JSON.
        world: the ranks, all of which must call this: rank 0 writes what is not sharded.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: if the disk is full or cannot be written to.
    """
    place, beside = step_folder(folder, step), folder / f".partial-step-{step:08d}"
    try:
        world.on_first(lambda: _begin(beside, state))
        manifests = world.on_every(lambda: _write(beside, tensors, world))
        manifest = dict(sorted(entry for part in manifests for entry in part.items()))
        world.on_first(lambda: _finish(beside, manifest))
    except (OSError, SafetensorError) as error:
        if world.first:
            shutil.rmtree(beside, ignore_errors=True)
        raise NotWrittenError(_why_not_written(folder, step, tensors, error)) from error
    world.on_first(lambda: _put_in_place(place, beside))
    return place


def is_sound(place: Path) -> bool:
    """Whether a checkpoint is whole."""
    try:
        verify(place)
    except CheckpointError:
        return False
    return True


def _why_not_written(folder: Path, step: int, tensors: dict[str, Tensors], error: Exception) -> str:
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    needed = sum(t.numel() * t.element_size() for group in tensors.values() for t in group.values())
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    earlier = [s for s in checkpoint_steps(folder) if s != step]
    kept = (f"the checkpoint of step {earlier[-1]} is untouched" if earlier
            else "no earlier one exists")
    cause = (f"the disk is full: it needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free. "
             "Free some space and resume" if full else str(error))
    return f"checkpoint of step {step} was not written to {folder}: {cause}; {kept}"


def verify(place: Path) -> None:
    """Checks that a checkpoint is whole.

    Raises:
        CheckpointError: naming the file that is missing, truncated or altered.
    """
    if not (place / MANIFEST).is_file():
        raise CheckpointError(f"{place} is not a checkpoint: it has no {MANIFEST}")
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        expected = [(place / name, entry["bytes"], entry["sha256"])
                    for name, entry in manifest.items()]
        manifest[STATE]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CheckpointError(
            f"{place / MANIFEST} is damaged: it is not the JSON of a manifest") from None
    for file, size, digest in expected:
        if not file.is_file():
            raise CheckpointError(f"{file} is missing")
        if file.stat().st_size != size:
            raise CheckpointError(f"{file} is truncated: {file.stat().st_size} bytes of {size}")
        if sha256_of(file) != digest:
            raise CheckpointError(f"{file} is altered: its SHA-256 is not the manifest's")


def newest_sound(folder: Path) -> tuple[int | None, list[str]]:
    """The step of the newest checkpoint that verifies, and what was wrong with newer ones.

    Deletes nothing. The step is None where there is no sound checkpoint.
    """
    problems = []
    for step in reversed(checkpoint_steps(folder)):
        try:
            verify(step_folder(folder, step))
        except CheckpointError as error:
            problems.append(str(error))
        else:
            return step, problems
    return None, problems


def load_checkpoint(place: Path) -> tuple[dict[str, Tensors], dict]:
    """Verifies a checkpoint and reads it back, see `read_checkpoint`.

    Raises:
        CheckpointError: if the folder is no checkpoint, or not whole.
    """
    verify(place)
    return read_checkpoint(place)


def read_checkpoint(place: Path) -> tuple[dict[str, Tensors], dict]:
    """Reads a sound checkpoint back on the CPU: (tensors by name of their group, state).

    Tensors are whole, whoever saved them in however many shards.
    """
    rows: dict[str, dict[str, list[Tensor]]] = {}
    for file in sorted(place.glob("*.safetensors")):
        group = rows.setdefault(SHARD.sub("", file.stem), {})
        for key, tensor in load_file(file).items():
            group.setdefault(key, []).append(tensor)
    tensors = {name: {key: torch.cat(parts) if len(parts) > 1 else parts[0]
                      for key, parts in group.items()} for name, group in rows.items()}
    return tensors, json.loads((place / STATE).read_text(encoding="utf-8"))


def delete_old(folder: Path, step: int, keep_last: int, best: int | None) -> None:
    """Deletes all checkpoints up to `step` but the newest `keep_last` and the best.

    Later ones can only be damaged ones that a resumed run has passed over: they stay.
    """
    done = [s for s in checkpoint_steps(folder) if s <= step]
    for step in done[:-keep_last]:
        if step != best:
            shutil.rmtree(step_folder(folder, step))


def optimizer_tensors(module: nn.Module, optimizer) -> Tensors:
    """The optimiser's state by parameter name: "encoder.weight|exp_avg" and so on."""
    return {f"{name}|{key}": value for name, p in module.named_parameters()
            for key, value in optimizer.state.get(p, {}).items()}


def load_optimizer(module: nn.Module, optimizer, tensors: Tensors) -> None:
    """Puts `optimizer_tensors` back."""
    parameters = dict(module.named_parameters())
    for name, tensor in tensors.items():
        parameter, key = name.rsplit("|", 1)
        p = parameters[parameter]
        on_device = key != "step" or optimizer.param_groups[0].get("fused")
        like = p if key != "step" else tensor
        optimizer.state[p][key] = sharded_like(tensor.to(p.device if on_device else "cpu"), like)
