"""From text to shards: tokenise once, in parallel, with little memory, and survive a kill.

A shard is a folder, written beside its place and renamed into it, so that it is either all there
or not there. Which documents it holds depends on the corpus and the settings alone: a run that was
killed keeps the finished shards and ends with the same bytes as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...files import locked, remove_left_overs
from .document import Corpus, Document, lines_of, split_sentences
from .shard_writer import (
    Encoded,
    End,
    ShardWriter,
    remove_shards,
    shard_name,
    write_manifest,
    writing,
)
from .token_dataset import (
    FORMAT,
    MANIFEST,
    RECORD,
    ShardError,
    TokenDataset,
    check_files,
    read_json,
    token_dtype,
)
from .tokenizer import keeps_lines, tokenizer_hash, vocabulary_size

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 2**18  # characters that are encoded in one call
AHEAD = 3  # batches on their way: one is read or written while two are encoded


def prepare(corpus: Corpus, tokenizer: Tokenizer, folder: str | Path,
            shard_tokens: int = 2**25, keep_lines: bool = False) -> TokenDataset:
    """Tokenises a corpus into a folder of shards, once.

    The ids are those of the text without special tokens, each run of white space made a space
    unless lines are kept; a special token that is spelt out in the text is text. Called again, it goes on where it was interrupted, or opens what is there, after
    comparing the corpus with it; `TokenDataset` opens a folder without the corpus. It uses as many
    cores as `tokenizers` does (the environment variable RAYON_NUM_THREADS). Of several processes
    that prepare one folder, one works and the others wait for it.

    Args:
        corpus: the documents.
        tokenizer: how to cut them.
        folder: where the shards go.
        shard_tokens: a shard ends with the document that brings it to this many tokens. A kill
            costs the shard at hand.
        keep_lines: whether white space stays as it is. A sentence is then a line, with the line
            break before it, and the ids are those of the text as a whole.

    Returns:
        The documents, mapped from the folder.

    Raises:
        ValueError: if the corpus holds no document or no token, a text is no valid Unicode, or the
            tokenizer does not keep the lines that it should.
        ShardError: if the folder holds shards of another corpus, tokenizer or size, one of them
            is truncated or altered, or the disk is full.
    """
    if shard_tokens < 1:
        raise ValueError(f"shard_tokens must be at least 1, got {shard_tokens}")
    if keep_lines and not keeps_lines(tokenizer):
        raise ValueError("this tokenizer does not keep line breaks and indentation, or joins lines "
                         "in a token: train one with kind=\"bpe\" and keep_lines=True")
    folder = Path(folder)
    vocab_size = vocabulary_size(tokenizer)
    settings = {"format": FORMAT, "corpus": corpus.name, "tokenizer": tokenizer_hash(tokenizer),
                "vocab_size": vocab_size, "dtype": token_dtype(vocab_size).name,
                "shard_tokens": shard_tokens}
    if keep_lines:  # shards from before there was a choice say nothing of it
        settings["keep_lines"] = True
    with alone(folder):
        tokenise(corpus, tokenizer, folder, settings)
    return TokenDataset(folder, verify=False)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes other processes that would prepare the folder wait; one that is finished, none need to."""
    if (folder / MANIFEST).exists():
        yield
        return
    with ExitStack() as stack:
        with writing(folder):
            stack.enter_context(locked(folder))
        yield


def tokenise(corpus: Corpus, tokenizer: Tokenizer, folder: Path, settings: dict) -> None:
    """Writes the shards that are not there yet."""
    documents = iter(corpus)
    kept = keep_finished(folder, settings, documents)
    documents = iter(refuse_more(documents, folder, settings, kept))
    with _progress_bar(corpus.name) as progress:
        writer = ShardWriter(folder, settings, kept)
        try:
            cut = lines_of if settings.get("keep_lines") else sentences_of
            for batch in encoded(batches(documents, cut), plain_copy(tokenizer), settings["dtype"]):
                with writing(folder):
                    writer.take(batch)
                progress.update(len(batch.ids))
            with writing(folder):
                writer.finish()
        finally:
            writer.discard()
    records = writer.records
    if not sum(record["tokens"] for record in records):
        held = sum(record["documents"] for record in records)
        remove_shards(folder, 0)
        raise ValueError(f"the corpus {corpus.name!r} is empty: its {held} documents hold no token")
    if not (folder / MANIFEST).exists():
        with writing(folder):
            write_manifest(folder, settings, records)


# --- What an earlier run has left -----------------------------------------------------------------


def keep_finished(folder: Path, settings: dict, documents: Iterator[Document]) -> list[dict]:
    """Verifies the shards that are there, passes over their documents, returns their records.

    Raises:
        ShardError: if one of them is damaged, or made of something else.
    """
    if not (folder / MANIFEST).exists():
        remove_left_overs(folder)
    places = []
    while (folder / shard_name(len(places))).exists():
        places.append(folder / shard_name(len(places)))
    records = [read_record(place, settings) for place in places]
    for place, record in zip(places, records, strict=True):
        check_files(place, record["files"])
        digest = hashlib.sha256()
        for document in islice(documents, record["documents"]):
            digest.update(document_fingerprint(document))
        if digest.hexdigest() != record["text"]:
            raise another(folder, f"the documents of {place.name} are not those of this "
                                  f"{settings['corpus']!r}")
    remove_shards(folder, len(places))
    return records


def refuse_more(documents: Iterator[Document], folder: Path, settings: dict,
                kept: list[dict]) -> Iterator[Document]:
    """The documents behind those of the finished shards, if there may be any.

    Raises:
        ShardError: if there are, but the shards hold a whole corpus already.
    """
    ended = bool(kept) and kept[-1]["tokens"] < settings["shard_tokens"]
    for document in documents:
        if ended or (folder / MANIFEST).exists():
            raise another(folder, f"this {settings['corpus']!r} has more documents, beginning with "
                                  f"{document.source!r}")
        yield document


def another(folder: Path, difference: str) -> ShardError:
    """The error for a folder that is in use."""
    return ShardError(f"{folder} holds shards of something else: {difference}. Choose another "
                      "folder, or delete this one")


def read_record(place: Path, settings: dict) -> dict:
    """What a finished shard says of itself.

    Raises:
        ShardError: if that is damaged, or the shard was made with other settings.
    """
    if not (place / RECORD).is_file():
        raise ShardError(f"{place / RECORD} is missing: delete {place.name} and prepare the text "
                         "again")
    known = [name for name in settings if name != "keep_lines"]
    record = read_json(place / RECORD, (*known, "documents", "tokens", "text", "files"))
    said = {"keep_lines": False} | record
    for name, value in ({"keep_lines": False} | settings).items():
        if said[name] != value:
            raise another(place.parent, f"their {name} is {said[name]!r}, not {value!r}")
    return record


def document_fingerprint(document: Document) -> bytes:
    """The SHA-256 of a document, 32 bytes.

    Raises:
        ValueError: if its text is no valid Unicode.
    """
    try:
        text = document.text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{document.source} is no valid Unicode: character {error.start} is half "
                         f"of a surrogate pair, {document.text[error.start]!r}") from None
    head = json.dumps([document.source, document.labels, len(text)])
    return hashlib.sha256(head.encode() + text).digest()


# --- Encoding -------------------------------------------------------------------------------------


class Sentences(NamedTuple):
    """Sentences in a row, and the documents that end among them."""

    texts: list[str]
    ends: list[End]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, which together are the text with single spaces.

    All but the first keep a space before them, which byte-level tokenizers count as part of the
    word behind it.
    """
    return [f" {sentence}" if i else sentence for i, sentence in enumerate(split_sentences(text))]


def batches(documents: Iterable[Document],
            cut: Callable[[str], list[str]] = sentences_of) -> Iterator[Sentences]:
    """Cuts documents into batches of about `BATCH` characters, which may end within a document."""
    texts, ends, size = [], [], 0
    for document in documents:
        digest = document_fingerprint(document)
        for sentence in cut(document.text):
            if size >= BATCH:
                yield Sentences(texts, ends)
                texts, ends, size = [], [], 0
            texts.append(sentence)
            size += len(sentence)
        line = json.dumps({"source": document.source, "labels": document.labels})
        ends.append(End(len(texts), line, digest))
        size += len(line)
    if ends:
        yield Sentences(texts, ends)


def plain_copy(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that neither pads nor truncates, and for which "[MASK]" in a text is text."""
    plain = tokenizer.from_str(tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    plain.encode_special_tokens = True
    return plain


def encode(tokenizer: Tokenizer, dtype: str, batch: Sentences) -> Encoded:
    """Sentences to token ids; `tokenizers` spreads them over the cores, outside Python's lock."""
    encodings = tokenizer.encode_batch_fast(batch.texts, add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    flat = np.fromiter(chain.from_iterable(ids), dtype, lengths.sum())
    return Encoded(flat, lengths, batch.ends)


def encoded(stream: Iterable[Sentences], tokenizer: Tokenizer, dtype: str) -> Iterator[Encoded]:
    """The batches in their order; while some are encoded, others are read and written."""
    with ThreadPoolExecutor(AHEAD - 1) as pool:
        waiting = deque()
        for batch in stream:
            waiting.append(pool.submit(partial(encode, tokenizer, dtype), batch))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _progress_bar(name: str):
    from tqdm.auto import tqdm

    quiet = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(desc=f"tokenising {name}", unit=" tokens", unit_scale=True, leave=False,
                disable=quiet)
