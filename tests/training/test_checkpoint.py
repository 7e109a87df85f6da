"""The format by itself: what is written comes back, and what is damaged is noticed."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toys import mlp, same_bits, seeded, weights

from pretrain_lib.models.state import load_state, state_tensors
from pretrain_lib.training import checkpoint as ckpt
from pretrain_lib.training.checkpoint import (
    CheckpointError,
    checkpoint_steps,
    load_checkpoint,
    newest_sound,
    delete_old,
    save_checkpoint,
    verify,
)

STATE = {"step": 3, "best": {"loss": 0.1, "step": None}, "list": [1, 2.5, "x", None, True]}
FILES = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


def tensors(seed: int = 0, size: int = 50) -> dict:
    g = torch.Generator().manual_seed(seed)
    return {"model": {"a.weight": torch.randn(size, 4, generator=g), "b": torch.tensor(3.0)},
            "optimizer": {"a.weight|exp_avg": torch.randn(size, 4, generator=g)}}


# ------------------------------------------------------------------- there and back


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16,
                                   torch.int64, torch.int32, torch.uint8, torch.bool])
def test_every_format_comes_back_bit_for_bit(tmp_path, dtype):
    values = (torch.randn(7, 3) * 100).to(dtype)
    place = save_checkpoint(tmp_path, 1, {"model": {"x": values}}, {})
    back = load_checkpoint(place)[0]["model"]["x"]
    assert back.dtype == dtype and torch.equal(back, values)


def test_nan_infinity_and_minus_zero_come_back(tmp_path):
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    back = load_checkpoint(save_checkpoint(tmp_path, 1, {"m": {"x": odd}}, {}))[0]["m"]["x"]
    assert odd.view(torch.int32).tolist() == back.view(torch.int32).tolist()


@given(shape=st.lists(st.integers(0, 4), max_size=4))
@settings(max_examples=15, deadline=None)
def test_every_shape_comes_back(tmp_path_factory, shape):
    folder = tmp_path_factory.mktemp("shapes")
    values = torch.randn(shape)
    back = load_checkpoint(save_checkpoint(folder, 1, {"m": {"x": values}}, {}))[0]["m"]["x"]
    assert back.shape == values.shape and torch.equal(back, values)


def test_tensors_that_share_or_stride_memory_come_back(tmp_path):
    whole = torch.randn(6, 4)
    shared = {"whole": whole, "row": whole[2], "turned": whole.T, "again": whole.view(24),
              "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)}
    back = load_checkpoint(save_checkpoint(tmp_path, 1, {"m": shared}, {}))[0]["m"]
    assert same_bits(shared, back)


def test_the_state_comes_back(tmp_path):
    assert load_checkpoint(save_checkpoint(tmp_path, 3, tensors(), STATE))[1] == STATE


def test_a_checkpoint_lies_where_its_step_says(tmp_path):
    place = save_checkpoint(tmp_path / "deep" / "run", 42, tensors(), STATE)
    assert place == tmp_path / "deep" / "run" / "step-00000042"
    assert sorted(p.name for p in place.iterdir()) == sorted(FILES)
    assert [p.name for p in place.parent.iterdir()] == ["step-00000042"]


def test_steps_sort_by_number_however_many_digits(tmp_path):
    for step in (5, 123_456_789, 40):
        save_checkpoint(tmp_path, step, tensors(size=1), STATE)
    assert checkpoint_steps(tmp_path) == [5, 40, 123_456_789]
    assert checkpoint_steps(tmp_path / "nowhere") == []


def test_the_manifest_is_that_of_the_files(tmp_path):
    import hashlib

    place = save_checkpoint(tmp_path, 1, tensors(), STATE)
    manifest = json.loads((place / "manifest.json").read_text())
    assert sorted(manifest) == sorted(FILES[:3])
    for name, entry in manifest.items():
        content = (place / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_whoever_may_read_the_state_may_read_the_tensors(tmp_path):
    place = save_checkpoint(tmp_path, 1, tensors(), STATE)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in place.iterdir()}
    assert len(modes) == 1


def test_the_module_that_is_saved_can_go_on_training_while_the_file_stays(tmp_path):
    model = mlp()
    place = save_checkpoint(tmp_path, 1, {"model": state_tensors(model)}, {})
    before = weights(model)
    with torch.no_grad():
        model[0].weight.add_(1)
    assert same_bits(load_checkpoint(place)[0]["model"], before)


# ------------------------------------------------------------------- saving again


def test_saving_a_sound_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, 1, tensors(0), STATE)
    place = save_checkpoint(tmp_path, 1, tensors(1), STATE)
    assert same_bits(load_checkpoint(place)[0]["model"], tensors(1)["model"])
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_saving_over_a_damaged_step_keeps_the_damaged_one_aside(tmp_path):
    for round_ in range(3):
        place = save_checkpoint(tmp_path, 1, tensors(round_), STATE)
        (place / "state.json").write_text("{")
    place = save_checkpoint(tmp_path, 1, tensors(3), STATE)
    assert same_bits(load_checkpoint(place)[0]["model"], tensors(3)["model"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "damaged-step-00000001-1", "damaged-step-00000001-2", "damaged-step-00000001-3",
        "step-00000001"]
    assert checkpoint_steps(tmp_path) == [1]


def test_what_a_killed_save_left_is_cleared_by_the_next(tmp_path):
    for name in (".partial-step-00000001", ".partial-step-00000007"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    save_checkpoint(tmp_path, 1, tensors(), STATE)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    for step in range(1, 7):
        save_checkpoint(tmp_path, step, tensors(size=1), STATE)
    delete_old(tmp_path, 6, keep_last=2, best=3)
    assert checkpoint_steps(tmp_path) == [3, 5, 6]
    delete_old(tmp_path, 6, keep_last=9, best=None)
    assert checkpoint_steps(tmp_path) == [3, 5, 6]


def test_pruning_never_takes_the_newest_for_the_sake_of_a_later_damaged_one(tmp_path):
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, step, tensors(size=1), STATE)
    delete_old(tmp_path, 20, keep_last=1, best=None)
    assert checkpoint_steps(tmp_path) == [20, 30]


# ------------------------------------------------------------------- damage


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def flip(file: Path, position: float = 0.7, bit: int = 0) -> None:
    content = bytearray(file.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1 << bit
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [truncate, flip, empty, remove])
def test_damage_is_noticed_and_the_file_named(tmp_path, name, damage):
    save_checkpoint(tmp_path, 1, tensors(1), STATE)
    place = save_checkpoint(tmp_path, 2, tensors(2), STATE)
    verify(place)
    damage(place / name)
    with pytest.raises(CheckpointError) as error:
        verify(place)
    message = str(error.value)
    # a bit flipped in the manifest may show as any file that no longer agrees with it
    assert (name in message or name == "manifest.json") and place.name in message
    assert "\n" not in message
    if damage in (truncate, empty) and name != "manifest.json":
        assert "is truncated" in message
    with pytest.raises(CheckpointError):
        load_checkpoint(place)
    step, problems = newest_sound(tmp_path)
    assert step == 1 and problems == [message]
    assert checkpoint_steps(tmp_path) == [1, 2]


@given(name=st.sampled_from(FILES), position=st.floats(0, 1), bit=st.integers(0, 7))
@settings(max_examples=80, deadline=None)
def test_any_flipped_bit_in_any_file_is_noticed(tmp_path_factory, name, position, bit):
    folder = tmp_path_factory.mktemp("flips")
    place = save_checkpoint(folder, 1, tensors(size=3), STATE)
    flip(place / name, position, bit)
    with pytest.raises(CheckpointError):
        load_checkpoint(place)
    shutil.rmtree(folder)


@given(name=st.sampled_from(FILES), share=st.floats(0, 0.999))
@settings(max_examples=40, deadline=None)
def test_any_truncation_of_any_file_is_noticed(tmp_path_factory, name, share):
    folder = tmp_path_factory.mktemp("cuts")
    place = save_checkpoint(folder, 1, tensors(size=3), STATE)
    content = (place / name).read_bytes()
    (place / name).write_bytes(content[:int(share * len(content))])
    with pytest.raises(CheckpointError):
        load_checkpoint(place)
    shutil.rmtree(folder)


@pytest.mark.parametrize("content", ["{}", "[]", "null", "3", '{"model.safetensors": 1}',
                                     '{"state.json": {"bytes": 1}}', "\x00" * 50, "{", ""])
def test_a_manifest_that_is_none_is_noticed(tmp_path, content):
    place = save_checkpoint(tmp_path, 1, tensors(), STATE)
    (place / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match="manifest.json is damaged"):
        verify(place)


@pytest.mark.parametrize("make", [
    lambda p: p / "nothing", lambda p: p, lambda p: (p / "file", (p / "file").write_text(""))[0]])
def test_a_folder_that_is_not_a_checkpoint_is_called_that(tmp_path, make):
    place = make(tmp_path)
    with pytest.raises(CheckpointError, match=f"{place.name}.*not a checkpoint"):
        load_checkpoint(place)


def test_the_newest_sound_one_is_found_behind_several_damaged_ones(tmp_path):
    for step in range(1, 6):
        place = save_checkpoint(tmp_path, step, tensors(step), STATE)
        if step in (2, 4, 5):
            truncate(place / "model.safetensors")
    step, problems = newest_sound(tmp_path)
    assert step == 3 and len(problems) == 2
    assert "step-00000005" in problems[0] and "step-00000004" in problems[1]
    assert checkpoint_steps(tmp_path) == [1, 2, 3, 4, 5]


def test_without_any_there_is_none(tmp_path):
    assert newest_sound(tmp_path) == (None, [])
    assert newest_sound(tmp_path / "nowhere") == (None, [])


# ------------------------------------------------------------------- a disk that takes no more


@contextmanager
def small_disk(megabytes: int, where: Path):
    """A file system of the given size, or a skipped test where nobody may mount one."""
    if sys.platform != "linux" or os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root on Linux may mount a small file system")
    where.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(where)],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting a small file system is not allowed here: {done.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(disk: Path) -> Path:
    """Leaves no block of a disk free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk_is_called_that_and_costs_nothing(tmp_path):
    with small_disk(1, tmp_path / "disk") as disk:
        sound = save_checkpoint(disk, 1, tensors(1), STATE)
        with pytest.raises(CheckpointError) as error:
            save_checkpoint(disk, 2, tensors(2, size=200_000), STATE)
        message = str(error.value)
        for word in ("step 2", str(disk), "disk is full", "MB", "step 1 is untouched"):
            assert word in message
        assert "\n" not in message
        assert [p.name for p in disk.iterdir()] == [sound.name]
        assert same_bits(load_checkpoint(sound)[0]["model"], tensors(1)["model"])
        save_checkpoint(disk, 2, tensors(2), STATE)
        assert newest_sound(disk) == (2, [])


def test_a_disk_that_is_full_to_the_last_byte_is_called_that(tmp_path):
    with small_disk(1, tmp_path / "disk") as disk:
        sound = save_checkpoint(disk, 1, tensors(1), STATE)
        fill(disk)
        with pytest.raises(CheckpointError, match="disk is full"):
            save_checkpoint(disk, 2, tensors(2), STATE)
        assert sorted(p.name for p in disk.iterdir()) == ["filler", sound.name]
        verify(sound)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX resource limits")
def test_a_file_that_may_not_grow_is_an_error_and_not_a_crash(tmp_path):
    """A quota needs no root: in a process of its own, since the limit cannot be raised again."""
    code = f"""
import resource, signal, sys
sys.path[:0] = {sys.path!r}
import torch
from pathlib import Path
from pretrain_lib.training.checkpoint import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path({str(tmp_path)!r})
save_checkpoint(folder, 1, {{"m": {{"x": torch.ones(10)}}}}, {{}})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(folder, 2, {{"m": {{"x": torch.ones(100_000)}}}}, {{}})
except CheckpointError as error:
    print(error)
print(newest_sound(folder), [p.name for p in folder.iterdir()])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    message, rest = done.stdout.splitlines()
    assert "step 2 was not written" in message and os.strerror(errno.EFBIG) in message
    assert "step 1 is untouched" in message
    assert rest == "(1, []) ['step-00000001']"


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="step 1 was not written.*file.*no earlier one"):
        save_checkpoint(tmp_path / "file", 1, tensors(), STATE)


def test_a_text_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    ckpt.replace_text(path, "old")

    def full(self, text, **rest):
        with self.open("w") as file:
            file.write(text[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CheckpointError, match="config.json could not be written: No space left"):
        ckpt.replace_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


# ------------------------------------------------------------------- modules


class Tied(nn.Module):
    """A decoder that uses the encoder's weight, under another name."""

    def __init__(self, tied: bool = True):
        super().__init__()
        self.encoder = nn.Linear(5, 3, bias=False)
        self.decoder = nn.Linear(5, 3, bias=False)
        if tied:
            self.decoder.weight = self.encoder.weight
        self.norm = nn.BatchNorm1d(3)


def test_tied_weights_are_held_once_and_come_back_tied(tmp_path):
    model = seeded(Tied)
    held = state_tensors(model)
    assert "encoder.weight" in held and "decoder.weight" not in held
    place = save_checkpoint(tmp_path, 1, {"model": held}, {})
    other = seeded(Tied, seed=1)
    load_state(other, load_checkpoint(place)[0]["model"], "here")
    assert same_bits(weights(other), weights(model))
    assert other.decoder.weight is other.encoder.weight


def test_buffers_come_back_too():
    model, other = seeded(Tied), seeded(Tied, seed=1)
    model.norm(torch.randn(8, 3))
    load_state(other, state_tensors(model), "here")
    assert same_bits(weights(other), weights(model))
    assert other.norm.num_batches_tracked == 1


def test_another_architecture_is_told_by_its_keys_and_nothing_is_loaded():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    before = weights(model)
    found = {"0.weight": torch.zeros(4, 3), "0.bias": torch.zeros(9), "2.weight": torch.zeros(1)}
    with pytest.raises(ValueError) as error:
        load_state(model, found, "the checkpoint")
    message = str(error.value)
    for word in ("the checkpoint", "another architecture than Sequential",
                 "missing: 1.bias, 1.weight", "unexpected: 2.weight",
                 "of another shape: 0.bias (9,) against (4,)"):
        assert word in message
    assert same_bits(before, weights(model))


def test_untied_weights_do_not_pass_for_tied_ones():
    with pytest.raises(ValueError, match="missing: decoder.weight"):
        load_state(seeded(lambda: Tied(tied=False)), state_tensors(seeded(Tied)), "here")


def test_a_long_list_of_keys_is_cut_short():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(20)])
    with pytest.raises(ValueError) as error:
        load_state(model, {}, "here")
    assert len(str(error.value)) < 300 and "…" in str(error.value)
