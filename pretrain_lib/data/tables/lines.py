"""Files found by their names, and their bytes as lines of text."""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
TABLES = SUFFIXES[1:]
BYTE_ORDER_MARK = "\ufeff"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how such a file begins, if it says so
DAMAGED_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)


def find_files(pattern: str) -> list[Path]:
    """The files of text and tables that a path or a pattern such as "books/**/*.txt" names.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if one is of a kind that cannot be read.
    """
    files = matching_files(pattern)
    for path in files:
        if kind_of(path) not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise ValueError(f"{path} must end in {known}, or one of these and .gz")
    return files


def matching_files(pattern: str) -> list[Path]:
    """The files of any kind that a path or a pattern names, in alphabetical order.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is a folder.
    """
    path = Path(pattern)
    if path.is_dir():
        example = f"{path.as_posix()}/*.txt"
        raise ValueError(f"{pattern} is a folder: name its files, such as {example!r}")
    names = [pattern] if path.is_file() else sorted(glob.glob(pattern, recursive=True))
    files = [path for path in map(Path, names) if path.is_file()]
    if not files:
        raise FileNotFoundError(f"no file matches {pattern!r}")
    return files


def kind_of(path: Path) -> str:
    """The suffix that tells the format, whether or not the file is compressed."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


# --- Bytes ----------------------------------------------------------------------------------


def open_bytes(path: Path):
    """The bytes of a file, decompressed if it ends in .gz."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def decoded_lines(path: Path, encoding: str = "") -> Iterator[str]:
    """The lines of a file, with their ends.

    Args:
        path: of the file, which may be compressed.
        encoding: of its text; empty means UTF-8, or UTF-16 where its byte order mark stands.

    Raises:
        ValueError: at the first byte that is no text, naming it (for .gz, counted in the
            decompressed file), or for a damaged .gz.
    """
    try:
        with open_bytes(path) as file:
            mark = file.read(2)
            file.seek(0)
            if encoding and codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig"):
                yield from lines_in(encoding, file, path)
            elif mark in UTF_16 and not encoding:
                yield from utf_16_lines(file, path)
            else:
                yield from utf_8_lines(file, path)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None


def lines_in(encoding: str, file, path: Path) -> Iterator[str]:
    """The lines of a file in an encoding that was set."""
    lines = io.TextIOWrapper(file, encoding, newline="\n")
    try:
        yield next(lines, "").removeprefix(BYTE_ORDER_MARK)
        yield from lines
    except UnicodeError as error:
        raise ValueError(f"{path} is not in {encoding}: {error}; set --encoding to what it is "
                         "in") from None


def damaged_gzip(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is no intact .gz file: {error}; copy or compress it anew")


def utf_16_lines(file, path: Path) -> Iterator[str]:
    try:
        yield from io.TextIOWrapper(file, "utf-16", newline="\n")
    except UnicodeError as error:
        raise ValueError(
            f"{path} begins like UTF-16 and is not: {error}; save it as UTF-8"
        ) from None


def utf_8_lines(file, path: Path) -> Iterator[str]:
    offset = 0
    for line in file:
        text = decode(line, path, offset)
        yield text if offset else text.removeprefix(BYTE_ORDER_MARK)
        offset += len(line)


def decode(line: bytes, path: Path, offset: int) -> str:
    """A line of a file, `offset` bytes from its start, as text."""
    zero = line.find(0)
    for name, half in (("utf-16le", line[1::2]), ("utf-16be", line[::2])):
        if offset == 0 and half.count(0) > 0.5 * len(half):  # Latin letters have a zero byte each
            raise ValueError(
                f"{path} looks like UTF-16 without its byte order mark: set --encoding {name}, or "
                f"convert it, for example with iconv -f {name} -t utf-8"
            )
    if zero >= 0:
        raise ValueError(f"{path} is not text but binary: byte {offset + zero} is 0x00")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {offset + error.start} is 0x{line[error.start]:02x}; "
            "set its encoding, such as --encoding cp1252 for Western European text from Windows, "
            "or convert it, for example with iconv -f cp1252 -t utf-8"
        ) from None
