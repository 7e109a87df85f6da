"""Recordings of one's own: sound files in a folder, and who says what in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from ..tables.lines import decoded_lines
from ..tables.rows import read_rows
from .clips import Clip
from .waves import SUFFIXES, read_wave

logger = logging.getLogger(__name__)

FILE = "file_name"  # the column of a table that names a clip, as in `datasets`


def folder_clips(folder: Path, column: str, voice: str) -> Iterator[Clip]:
    """The clips of a folder, in alphabetical order or that of its table.

    A .csv or .tsv in it says in the column `file_name`, of each clip, its path in the folder.
    Without one, the text beside a clip that is called as it is, but .txt, is what is said, and the
    first sub-folder is who says it. Without any, the sub-folder is the word that is said.

    Args:
        folder: of .wav, .flac and .ogg.
        column: the table's column of transcripts.
        voice: its column of voices, if it has one.

    Raises:
        ValueError: if there is no clip, or one without a transcript, naming it.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"no sound in {folder}: expected files that end in {', '.join(SUFFIXES)}")
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    if len(tables) > 1:
        raise ValueError(f"{folder} has several tables, {tables[0].name} and {tables[1].name}: "
                         "keep one")
    if tables:
        return table_clips(tables[0], files, column, voice)
    if any(path.with_suffix(".txt").is_file() for path in files):
        return text_clips(folder, files)
    return word_clips(folder, files)


def table_clips(table: Path, files: list[Path], column: str, voice: str) -> Iterator[Clip]:
    """The clips that a table names, in its order; those that it does not are left out and told."""
    named = set()
    for number, row in read_rows(table, (FILE, column)):
        path = table.parent / str(row[FILE] or "")
        if not path.is_file():
            raise ValueError(f"{table}, line {number}: there is no file {path}")
        named.add(path)
        yield clip(path, str(row[column] or ""), str(row.get(voice) or ""))
    unnamed = [path for path in files if path not in named]
    if unnamed:
        logger.warning("%s names no row for %d of %d clips, which are left out: %s, …", table,
                       len(unnamed), len(files), unnamed[0])


def text_clips(folder: Path, files: list[Path]) -> Iterator[Clip]:
    """Clips with a .txt beside each."""
    for path in files:
        text = path.with_suffix(".txt")
        if not text.is_file():
            raise ValueError(f"{path} has no transcript: expected {text}")
        yield clip(path, " ".join(decoded_lines(text)), sub_folder(folder, path))


def word_clips(folder: Path, files: list[Path]) -> Iterator[Clip]:
    """Clips in a sub-folder for each word."""
    for path in files:
        word = sub_folder(folder, path)
        if not word:
            raise ValueError(f"{path} has no transcript: put it into {path.with_suffix('.txt')}, "
                             f"or all into a .csv with the column {FILE}, or clips into a "
                             "sub-folder for each word")
        yield clip(path, word, "")


def sub_folder(folder: Path, path: Path) -> str:
    """The name of the folder's own folder that a file is in; "" where it is in none."""
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def clip(path: Path, transcript: str, voice: str) -> Clip:
    samples, rate = read_wave(path)
    return Clip(str(path), samples, rate, transcript, voice)
