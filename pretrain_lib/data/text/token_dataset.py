"""Tokenised text: documents and their sentences as token ids, mapped from disk or held in memory.

A folder that `prepare` has written holds one folder a shard, and `manifest.json`, which was
written last. A shard's files are plain arrays: the ids of all its tokens, at which of them each
sentence starts, at which sentence each document starts; and a line of JSON for each document. Its
record, `shard.json`, says what the manifest says of it, so that neither can change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...files import sha256_of
from .tokenizer import tokenizer_hash

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT = 1
MANIFEST = "manifest.json"
RECORD = "shard.json"
TOKENS, SENTENCES, DOCUMENTS = "tokens.bin", "sentences.bin", "documents.bin"
ABOUT = "documents.jsonl"
PIECE = 2**20  # tokens that are looked at together


class ShardError(RuntimeError):
    """Shards cannot be written, read, or used here; the message says why and what to do."""


@dataclass
class Shard:
    """Documents held in memory.

    Attributes:
        tokens: token ids of all documents in a row.
        sentences: the first token of each sentence, and the number of tokens.
        documents: the first sentence of each document, and the number of sentences.
        lines: for each document, where it came from ("source") and its "labels".
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    lines: list[dict]

    def about(self) -> Iterator[dict]:
        """The line of each document."""
        return iter(self.lines)


class MappedShard:
    """Documents on disk, mapped into memory when they are first asked for.

    A copy in another process maps the same files, so that nothing is sent there.
    """

    def __init__(self, folder: Path, dtype: str):
        self.folder = folder
        self.dtype = dtype

    def __reduce__(self):
        return MappedShard, (self.folder, self.dtype)

    @cached_property
    def tokens(self) -> np.ndarray:
        """Token ids of all documents in a row."""
        return map_file(self.folder / TOKENS, self.dtype)

    @cached_property
    def sentences(self) -> np.ndarray:
        """The first token of each sentence, and the number of tokens."""
        return map_file(self.folder / SENTENCES, "int64")

    @cached_property
    def documents(self) -> np.ndarray:
        """The first sentence of each document, and the number of sentences."""
        return map_file(self.folder / DOCUMENTS, "int64")

    def about(self) -> Iterator[dict]:
        """For each document, where it came from ("source") and its "labels"."""
        with (self.folder / ABOUT).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


class TokenDataset:
    """Documents of token ids, without special tokens.

    Args:
        folder: what `prepare` has written; it is mapped into memory, not read.
        tokenizer: the tokenizer that will read the ids; None asks nothing.
        verify: whether to compare the checksum of every file, beside its size.

    Attributes:
        vocab_size: V, the number of tokens in the vocabulary.

    Raises:
        ShardError: if the folder holds no complete set of shards, a file of it is truncated or
            altered, or it was made with another tokenizer.
    """

    def __init__(self, folder: str | Path, tokenizer: Tokenizer | None = None, verify: bool = True):
        folder = Path(folder).resolve()
        manifest = read_manifest(folder)
        check_manifest(folder, manifest)
        if tokenizer is not None and tokenizer_hash(tokenizer) != manifest["tokenizer"]:
            raise ShardError(f"{folder} was made with the tokenizer {manifest['tokenizer']}, not "
                             f"with {tokenizer_hash(tokenizer)}: load the tokenizer that made it, "
                             "or prepare the text again in another folder")
        for record in manifest["shards"]:
            check_files(folder / record["name"], record["files"], verify)
        shards = [MappedShard(folder / record["name"], manifest["dtype"])
                  for record in manifest["shards"]]
        checksums = [record["files"][name]["sha256"] for record in manifest["shards"]
                     for name in (TOKENS, SENTENCES, DOCUMENTS)]
        self._hold(shards, manifest["vocab_size"], None, checksums)

    @classmethod
    def in_memory(cls, documents: Iterable, vocab_size: int, sources: Sequence[str] | None = None,
                  labels: Sequence[dict] | None = None) -> TokenDataset:
        """A data set without a folder.

        Args:
            documents: for each document a vector of token ids, or a list of them, one a sentence.
            vocab_size: V, the number of tokens in the vocabulary.
            sources: where each document came from; its number where nothing is said.
            labels: what is known of each document.

        Raises:
            ValueError: if a token lies outside the vocabulary, or the lengths differ.
        """
        sentences = [sentences_of(document) for document in documents]
        sources = list(map(str, range(len(sentences)))) if sources is None else sources
        labels = [{}] * len(sentences) if labels is None else labels
        if not len(sentences) == len(sources) == len(labels):
            raise ValueError(f"each document needs one source and one set of labels, got "
                             f"{len(sentences)} documents, {len(sources)} and {len(labels)}")
        flat = [sentence for document in sentences for sentence in document]
        tokens = np.concatenate([np.empty(0, np.int64), *flat])
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab_size:
            raise ValueError(f"token ids must lie between 0 and {vocab_size - 1}, the vocabulary's "
                             f"last, got {tokens.min()} to {tokens.max()}")
        lines = [{"source": source, "labels": dict(known)}
                 for source, known in zip(sources, labels, strict=True)]
        dataset = cls.__new__(cls)
        dataset._hold([Shard(tokens.astype(token_dtype(vocab_size)), starts(map(len, flat)),
                             starts(map(len, sentences)), lines)], vocab_size, None)
        return dataset

    def _hold(self, shards: list, vocab_size: int, numbers: np.ndarray | None,
              checksums: list[str] | None = None) -> None:
        """Sets what a data set consists of; `numbers` are its documents, None for all of them."""
        self.vocab_size = vocab_size
        self._checksums = checksums
        self._shards = shards
        self._numbers = numbers
        self._first = starts(len(shard.documents) - 1 for shard in shards)

    def subset(self, documents: Iterable[int]) -> TokenDataset:
        """A view of some documents, in the order given, such as those held out.

        Raises:
            ValueError: if there is no document of such a number.
        """
        chosen = np.fromiter(documents, np.int64)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < self.num_documents:
            raise ValueError(f"documents must lie between 0 and {self.num_documents - 1}, "
                             f"got {chosen.min()} to {chosen.max()}")
        view = TokenDataset.__new__(TokenDataset)
        view._hold(self._shards, self.vocab_size,
                   chosen if self._numbers is None else self._numbers[chosen], self._checksums)
        return view

    def __repr__(self) -> str:
        return (f"TokenDataset({self.num_documents:,} documents, {self.tokens:,} tokens of a "
                f"vocabulary of {self.vocab_size:,})")

    # --- One document ---------------------------------------------------------------------------

    def document(self, i: int) -> np.ndarray:
        """The token ids of document i, a vector that may not be written to."""
        shard, first, end = self._place(i)
        return shard.tokens[shard.sentences[first] : shard.sentences[end]]

    def sentences(self, i: int) -> list[np.ndarray]:
        """The sentences of document i, each a vector of token ids, none of them empty."""
        shard, first, end = self._place(i)
        bounds = shard.sentences[first : end + 1].tolist()
        return [shard.tokens[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]

    def _place(self, i: int) -> tuple[Shard | MappedShard, int, int]:
        """The shard of document i, its first sentence there, and the one behind its last."""
        if not 0 <= i < self.num_documents:
            raise IndexError(f"document {i} of {self.num_documents}")
        number = i if self._numbers is None else self._numbers[i]
        s = int(np.searchsorted(self._first, number, side="right")) - 1
        shard, within = self._shards[s], number - self._first[s]
        return shard, shard.documents[within], shard.documents[within + 1]

    # --- All documents --------------------------------------------------------------------------

    @property
    def num_documents(self) -> int:
        """The number of documents."""
        return int(self._first[-1]) if self._numbers is None else len(self._numbers)

    @property
    def numbers(self) -> np.ndarray:
        """(N,) int64, which of the folder's documents these are."""
        return np.arange(self.num_documents) if self._numbers is None else self._numbers

    @cached_property
    def tokens(self) -> int:
        """The number of tokens."""
        return int(self.document_lengths.sum())

    @cached_property
    def counts(self) -> np.ndarray:
        """(V,) int64, how often each token occurs."""
        counts = np.zeros(self.vocab_size, dtype=np.int64)
        for piece in self.pieces():
            if piece.max() >= self.vocab_size:
                raise ValueError(f"token ids must lie between 0 and {self.vocab_size - 1}, the "
                                 f"vocabulary's last, got {piece.max()}")
            counts += np.bincount(piece, minlength=self.vocab_size)
        return counts

    def pieces(self) -> Iterator[np.ndarray]:
        """All tokens, those of documents that lie in a row together, at most `PIECE` at a time."""
        numbers = self.numbers
        shard = np.searchsorted(self._first, numbers, side="right")
        breaks = np.flatnonzero((np.diff(numbers) != 1) | (np.diff(shard) != 0)) + 1
        firsts, lasts = np.r_[0, breaks], np.r_[breaks, len(numbers)] - 1
        for first, last in zip(firsts, lasts, strict=True) if len(numbers) else ():
            shard, begin, _ = self._place(int(first))
            _, _, end = self._place(int(last))
            start, stop = int(shard.sentences[begin]), int(shard.sentences[end])
            for at in range(start, stop, PIECE):
                yield shard.tokens[at:min(at + PIECE, stop)]

    def digest_of_shards(self) -> str | None:
        """SHA-256 of which documents of which shards these are; None for those in memory.

        Shards are known by the checksums of their files, so that no token is read.
        """
        if self._checksums is None:
            return None
        found = hashlib.sha256("".join(self._checksums).encode())
        found.update(self.numbers.astype("<i8").tobytes())
        return found.hexdigest()

    @cached_property
    def document_lengths(self) -> np.ndarray:
        """(N,) int64, the number of tokens of each document."""
        return self._select([np.diff(s.sentences[s.documents]) for s in self._shards])

    @cached_property
    def sentence_counts(self) -> np.ndarray:
        """(N,) int64, the number of sentences of each document."""
        return self._select([np.diff(shard.documents) for shard in self._shards])

    @cached_property
    def sentence_lengths(self) -> np.ndarray:
        """(S,) int64, the number of tokens of each sentence of all documents in a row."""
        lengths = np.concatenate([np.diff(shard.sentences) for shard in self._shards])
        if self._numbers is None:
            return lengths
        first = starts(np.concatenate([np.diff(shard.documents) for shard in self._shards]))
        own = starts(self.sentence_counts)
        shift = np.repeat(first[self._numbers] - own[:-1], self.sentence_counts)
        return lengths[np.arange(own[-1]) + shift]

    def _select(self, columns: list[np.ndarray]) -> np.ndarray:
        column = np.concatenate(columns)
        return column if self._numbers is None else column[self._numbers]

    def about(self) -> Iterator[dict]:
        """For each document, its "source" and "labels", read anew from disk."""
        lines = (line for shard in self._shards for line in shard.about())
        if self._numbers is None:
            yield from lines
        else:
            wanted = set(self._numbers.tolist())
            chosen = {number: line for number, line in enumerate(lines) if number in wanted}
            yield from (chosen[number] for number in self._numbers.tolist())

    @cached_property
    def sources(self) -> list[str]:
        """Where each document came from."""
        return [line["source"] for line in self.about()]

    @cached_property
    def labels(self) -> list[dict[str, str]]:
        """What is known of each document, such as {"year": "1790"}."""
        return [line["labels"] for line in self.about()]


def starts(lengths: Iterable[int]) -> np.ndarray:
    """Where runs of these lengths start when they lie in a row, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int64)


def sentences_of(document) -> list[np.ndarray]:
    """A document given as one vector, or as one vector a sentence; empty ones are left out."""
    nested = isinstance(document, list | tuple) and len(document) and np.ndim(document[0])
    sentences = document if nested else [document]
    return [np.asarray(s).astype(np.int64) for s in sentences if len(s)]


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned type, of 16 bits or 32, that holds every id of a vocabulary."""
    return np.dtype("uint16" if vocab_size <= 2**16 else "uint32")


# --- Files --------------------------------------------------------------------------------------


def map_file(path: Path, dtype: str) -> np.ndarray:
    """A file of numbers as a vector; little-endian on every machine."""
    kind = np.dtype(dtype).newbyteorder("<")
    if not path.stat().st_size:
        return np.empty(0, kind)
    return np.memmap(path, kind, mode="r").view(np.ndarray)


def read_json(path: Path, needed: Iterable[str]) -> dict:
    """A JSON object that has at least the fields `needed`.

    Raises:
        ShardError: if the file is damaged, or of another version of the format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in ("format", *needed) if name not in content]
    except (ValueError, TypeError):
        raise ShardError(f"{path} is damaged: it is not JSON") from None
    if missing:
        raise ShardError(f"{path} is damaged: it lacks {', '.join(missing)}")
    if content["format"] != FORMAT:
        raise ShardError(f"{path} has format {content['format']}, expected {FORMAT}: "
                         "prepare the text again in another folder")
    return content


def read_manifest(folder: Path) -> dict:
    """What a folder of shards says of itself.

    Raises:
        ShardError: if it is not complete, or the manifest is damaged.
    """
    if not (folder / MANIFEST).is_file():
        raise ShardError(f"{folder} holds no complete tokenised text: it has no {MANIFEST}. "
                         "Call prepare, which goes on where it was interrupted")
    return read_json(folder / MANIFEST, ("tokenizer", "vocab_size", "dtype", "documents",
                                         "sentences", "tokens", "shards"))


def check_manifest(folder: Path, manifest: dict) -> None:
    """Compares what the manifest says with what each shard says of itself, and with their sum.

    Raises:
        ShardError: naming the files that differ, and the field.
    """
    shards = manifest["shards"]
    for name in ("documents", "sentences", "tokens"):
        if manifest[name] != (total := sum(shard[name] for shard in shards)):
            raise ShardError(f"{folder / MANIFEST} is altered: its {name} are {manifest[name]}, "
                             f"but {total} in its shards; delete it and prepare the text again")
    for shard in shards:
        path = folder / shard["name"] / RECORD
        cure = f"delete {MANIFEST} and {shard['name']}, and prepare the text again"
        if not path.is_file():
            raise ShardError(f"{path} is missing: {cure}")
        said = {**manifest, **shard}
        for name, value in read_json(path, shard).items():
            if said.get(name) != value:
                raise ShardError(f"{folder / MANIFEST} and {path} differ, so one of them is "
                                 f"altered: {name} is {said.get(name)!r} and {value!r}; {cure}")


def check_files(place: Path, files: dict, checksums: bool = True) -> None:
    """Compares the files of a shard with what was written.

    Raises:
        ShardError: naming the first file that is missing, truncated or altered.
    """
    cure = f"delete {place.name} and prepare the text again"
    for name, expected in files.items():
        path = place / name
        if not path.is_file():
            raise ShardError(f"{path} is missing: {cure}")
        if (size := path.stat().st_size) != expected["bytes"]:
            kind = "truncated" if size < expected["bytes"] else "altered"
            raise ShardError(f"{path} is {kind}: expected {expected['bytes']} bytes, found {size}; "
                             f"{cure}")
        if checksums and (digest := sha256_of(path)) != expected["sha256"]:
            raise ShardError(f"{path} is altered: expected SHA-256 {expected['sha256']}, found "
                             f"{digest}; {cure}")
