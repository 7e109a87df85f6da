"""Files and folders that are all there or not there: written beside their place, renamed into it.

A rename is the one step that a file system does as a whole. So whatever is killed, full or
unplugged while something is written, readers find what was there before, or all of what is new.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_name(path: Path) -> Path:
    """`path` with the first number behind it that is not taken: "earlier-1", "earlier-2", …"""
    names = (path.with_name(f"{path.name}-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def beside(place: Path) -> Path:
    """Where this process writes what will stand at `place`."""
    return place.with_name(f".partial-{os.getpid()}-{place.name}")


def remove_left_overs(folder: Path) -> None:
    """Deletes what a killed process left half written in a folder that nobody else writes to."""
    for left_over in folder.glob(".partial-*"):
        shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Lets one process at a time make what will stand at `place`; the others wait for it.

    Whoever has waited looks at what is there by now. A process that dies lets go.
    """
    from filelock import FileLock

    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock"), is_singleton=True):
        yield


@contextmanager
def new_file(place: Path) -> Iterator[Path]:
    """Gives the path to write a file to, which then takes its place; after an error it does not.

    Raises:
        OSError: if it cannot be written; what was there before still is.
    """
    partial = beside(place)
    try:
        yield partial
        sync(partial)
        partial.replace(place)
        sync(place.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_text(place: Path, text: str) -> None:
    """Writes a text file as `new_file` does: in UTF-8, its lines as they are on any system."""
    with new_file(place) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Gives an empty folder to fill, which then takes its place; after an error it does not.

    Raises:
        OSError: if it cannot be written; what was there before still is.
    """
    partial = beside(place)
    try:
        partial.mkdir(parents=True)
        yield partial
        sync_all(partial)
        put_in_place(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sync_all(folder: Path) -> None:
    """Waits until a folder and all that is in it is on the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def put_in_place(partial: Path, place: Path) -> None:
    """Renames a finished folder to its place; what stood there is deleted last.

    Raises:
        OSError: if it cannot be renamed; then what stood there is put back.
    """
    replaced = free_name(place.with_name(f"replaced-{place.name}"))
    try:
        if place.exists():
            place.rename(replaced)
        partial.rename(place)
    except BaseException:
        if replaced.exists() and not place.exists():
            replaced.rename(place)
        raise
    sync(place.parent)
    shutil.rmtree(replaced, ignore_errors=True)
