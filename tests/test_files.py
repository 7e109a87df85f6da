"""Files and folders take their place whole, and what was there is never lost."""

import multiprocessing
import os
import signal

import pytest

from pretrain_lib import files
from pretrain_lib.files import free_name, locked, new_file, new_folder, put_in_place, sha256_of, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    place = tmp_path / "notes.txt"
    write_text(place, "old\n")
    with pytest.raises(RuntimeError), new_file(place) as partial:
        partial.write_text("ne")
        raise RuntimeError("killed in the middle")
    assert place.read_text() == "old\n" and names(tmp_path) == ["notes.txt"]
    write_text(place, "new\r\n")
    assert place.read_bytes() == b"new\r\n"


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    place = tmp_path / "model"
    for text in ("first", "second"):
        with new_folder(place) as partial:
            (partial / "weights").write_text(text)
        assert (place / "weights").read_text() == text
    with pytest.raises(RuntimeError), new_folder(place) as partial:
        (partial / "weights").write_text("thi")
        raise RuntimeError("killed in the middle")
    assert (place / "weights").read_text() == "second" and names(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [PermissionError("a scanner holds it"), KeyboardInterrupt()])
def test_where_the_new_folder_cannot_be_renamed_the_old_one_is_put_back(tmp_path, monkeypatch, error):
    place = tmp_path / "model"
    with new_folder(place) as partial:
        (partial / "weights").write_text("old")
    rename = type(place).rename

    def refuse(self, target):
        if self.name.startswith(".partial"):
            raise error
        return rename(self, target)

    monkeypatch.setattr(type(place), "rename", refuse)
    with pytest.raises(type(error)), new_folder(place) as partial:
        (partial / "weights").write_text("new")
    assert (place / "weights").read_text() == "old" and names(tmp_path) == ["model"]


def test_killed_between_the_two_renames_both_folders_are_still_there(tmp_path):
    place, partial = tmp_path / "model", tmp_path / "new"
    for folder in (place, partial):
        folder.mkdir()
        (folder / "weights").write_text(folder.name)

    def killed():
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)

        rename = type(place).rename
        type(place).rename = lambda self, target: die() if self.name == "new" else rename(self, target)
        put_in_place(partial, place)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert names(tmp_path) == ["new", "replaced-model-1"]
    assert (tmp_path / "replaced-model-1" / "weights").read_text() == "model"


def test_names_that_are_taken_are_passed_over(tmp_path):
    assert free_name(tmp_path / "earlier").name == "earlier-1"
    (tmp_path / "earlier-1").mkdir()
    assert free_name(tmp_path / "earlier").name == "earlier-2"


def test_the_digest_is_that_of_the_standard_library(tmp_path):
    write_text(tmp_path / "a", "abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    """Four processes add one to a number in a file; none is lost."""
    number = tmp_path / "number"
    write_text(number, "0")

    def add():
        for _ in range(20):
            with locked(number), locked(number):  # the same process may ask twice
                write_text(number, str(int(number.read_text()) + 1))

    processes = [multiprocessing.get_context("fork").Process(target=add) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert number.read_text() == "80"


def test_a_dead_process_lets_go_of_its_lock(tmp_path):
    def die():
        with locked(tmp_path / "x"):
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=die)
    process.start()
    process.join()
    with locked(tmp_path / "x"):
        assert files.beside(tmp_path / "x").name == f".partial-{os.getpid()}-x"
