"""Writing shards: each beside its place, and renamed into it when it is whole."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...files import sha256_of, sync, sync_all, write_text
from .token_dataset import ABOUT, DOCUMENTS, MANIFEST, RECORD, SENTENCES, TOKENS, ShardError

SHARD = re.compile(r"shard-\d{5,}")


class End(NamedTuple):
    """The end of a document in a batch: behind how many of its sentences, and what to note."""

    sentences: int
    line: str
    fingerprint: bytes


class Encoded(NamedTuple):
    """Sentences in a row as token ids, and the documents that end among them.

    Attributes:
        ids: (n,) the ids of all sentences.
        lengths: (sentences,) int64, how many ids each has.
        ends: the documents' ends.
    """

    ids: np.ndarray
    lengths: np.ndarray
    ends: list[End]


class ShardWriter:
    """Writes shard after shard, each beside its place, and renames it when it is whole.

    Args:
        folder: where the shards go.
        settings: what every shard says of itself.
        records: what the finished shards say of themselves; new ones are appended.
    """

    def __init__(self, folder: Path, settings: dict, records: list[dict]):
        self.folder = folder
        self.settings = settings
        self.records = list(records)
        self.files = {}

    @property
    def place(self) -> Path:
        """The place of the shard at hand."""
        return self.folder / shard_name(len(self.records))

    @property
    def beside(self) -> Path:
        """Where it is written meanwhile."""
        return self.place.with_name(f".partial-{self.place.name}")

    def take(self, batch: Encoded) -> None:
        """Writes a batch; each document that fills the shard at hand ends it."""
        token = np.concatenate([[0], np.cumsum(batch.lengths)])  # where each sentence starts
        done = 0
        for end in batch.ends:
            self._write(batch.ids[token[done] : token[end.sentences]],
                        batch.lengths[done : end.sentences])
            self._end(end)
            done = end.sentences
        if done < len(batch.lengths):
            self._write(batch.ids[token[done] :], batch.lengths[done:])

    def _open(self) -> None:
        self.beside.mkdir(parents=True)
        self.files = {name: (self.beside / name).open("wb")
                      for name in (TOKENS, SENTENCES, DOCUMENTS, ABOUT)}
        self.tokens, self.sentences, self.documents = 0, 0, 0
        self.digest = hashlib.sha256()
        self._numbers(SENTENCES, [0])
        self._numbers(DOCUMENTS, [0])

    def _numbers(self, name: str, numbers) -> None:
        self.files[name].write(np.asarray(numbers, "<i8").tobytes())

    def _write(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        if not self.files:
            self._open()
        lengths = lengths[lengths > 0]
        self.files[TOKENS].write(ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes())
        self._numbers(SENTENCES, self.tokens + np.cumsum(lengths))
        self.tokens += len(ids)
        self.sentences += len(lengths)

    def _end(self, end: End) -> None:
        self._numbers(DOCUMENTS, [self.sentences])
        self.files[ABOUT].write(f"{end.line}\n".encode())
        self.digest.update(end.fingerprint)
        self.documents += 1
        if self.tokens >= self.settings["shard_tokens"]:
            self.finish()

    def finish(self) -> None:
        """Ends the shard at hand, if there is one: from now on it is there."""
        if not self.files:
            return
        for file in self.files.values():
            file.close()
        files = {name: {"bytes": (self.beside / name).stat().st_size,
                        "sha256": sha256_of(self.beside / name)} for name in self.files}
        record = {"name": self.place.name, **self.settings, "documents": self.documents,
                  "sentences": self.sentences, "tokens": self.tokens,
                  "text": self.digest.hexdigest(), "files": files}
        (self.beside / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        sync_all(self.beside)
        self.beside.rename(self.place)
        sync(self.folder)
        self.records.append(record)
        self.files = {}

    def discard(self) -> None:
        """Deletes what is written of an unfinished shard."""
        for file in self.files.values():
            try:
                file.close()
            except OSError:  # what a full disk could not take is not wanted any more
                pass
        shutil.rmtree(self.beside, ignore_errors=True)


def shard_name(number: int) -> str:
    """The name of a shard's folder."""
    return f"shard-{number:05d}"


def remove_shards(folder: Path, first: int) -> None:
    """Deletes the shards from number `first` on: a gap before them means that they are void."""
    void = [place for place in folder.glob("shard-*")
            if SHARD.fullmatch(place.name) and int(place.name.split("-")[1]) >= first]
    if void:
        (folder / MANIFEST).unlink(missing_ok=True)
    for place in void:
        shutil.rmtree(place)


def write_manifest(folder: Path, settings: dict, records: list[dict]) -> None:
    """Writes the manifest, beside and renamed: with it, the folder is complete."""
    keys = ("documents", "sentences", "tokens")
    totals = {key: sum(record[key] for record in records) for key in keys}
    shards = [{key: record[key] for key in ("name", *keys, "text", "files")} for record in records]
    text = json.dumps({**settings, **totals, "shards": shards}, indent=1)
    write_text(folder / MANIFEST, text)


@contextmanager
def writing(folder: Path):
    """Says of a file that could not be written why, and what is left."""
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(folder).free / 1e6 if folder.is_dir() else 0
        cause = (f"the disk is full, {free:.1f} MB are free: free some space"
                 if error.errno == errno.ENOSPC else f"{error.strerror or error}: mend that")
        raise ShardError(f"shards could not be written to {folder}: {cause} and call prepare "
                         "again, which goes on behind the last finished shard") from error
