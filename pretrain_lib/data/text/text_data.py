"""Text that a recipe trains on: read, tokenised once, split by documents, made blocks or pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ...files import locked
from ...validation import require, require_at_least, require_kinds
from ...zoo import held_out_sources
from ..source import Data, Source, alone
from ..tables.dialect import Dialect
from .dedup import near_repeats_of
from .document import Corpus
from .load import load_text
from .new_words import read_words, told, with_new_words
from .packing import PackedBlocks
from .pairs import SentencePairs
from .parts import two_at_least
from .shards import prepare
from .token_dataset import MANIFEST, TokenDataset
from .tokenizer import (
    load_tokenizer,
    save_tokenizer,
    special_ids,
    tokenizer_hash,
    train_tokenizer,
    vocabulary_size,
)

TokenizerKind = Literal["auto", "wordpiece", "bpe"]
Document = Literal["auto", "file", "paragraph", "line"]
Pairs = Literal["none", "next_sentence", "order"]
TASKS = {"next_sentence": "nsp", "order": "order"}  # as `SentencePairs` calls them
BEGUN = "config.json"  # is in a run's folder from its beginning on
OF_SOTU = "sotu-8192"  # the zoo's tokenizer of the addresses, and those that its models never saw
EVERY = 20  # where nothing else is said, every twentieth document is held out, at least two


@dataclass(frozen=True)
class TextConfig:
    """What is read, and how it is cut.

    Attributes:
        corpus: what `load_text` takes: "sotu", "docstrings", "books/*.txt", "hub:owner/name".
        column: where the rows of files and of the Hub hold their text; "1" is the first column of a
            table whose first line is a row.
        columns: the names of all columns, for such a table.
        separator: between the fields of a table; left empty, it is guessed and told, as are
        quote: the sign around fields, or "none" where quotes are part of the text, and
        encoding: such as "cp1252"; left empty, UTF-8 or UTF-16.
        config: the Hub's configuration of a data set, where it has several.
        split: the Hub's split.
        revision: the Hub's commit or tag; left empty, the newest when the text is first prepared.
        document: what a document is in a .txt; "auto" takes the file where there are several, and
            looks for paragraphs and lines in a single one.
        keep_lines: whether line breaks and indentation are trained on, as for code and verse;
            otherwise every run of white space is a space. Sentences are then lines.
        tokenizer: a model, whose own it is, or a folder with one; left empty, one is trained on the
            corpus. "auto" takes the zoo's for the addresses, and trains one for every other text.
        tokenizer_kind: kind of a tokenizer that is trained; "auto" is WordPiece, or byte-pair
            encoding where lines are kept, of which WordPiece knows nothing.
        vocab_size: number of tokens of a tokenizer that is trained.
        lowercase: whether a tokenizer that is trained ignores case.
        strip_accents: whether it ignores accents, and vowel signs with them.
        hold_out: whose held-out documents are not trained on: a name of the zoo, or a folder with
            `held_out.json`; left empty, every twentieth document is held out, and at least two, or
            the last part of a single one. "auto" takes the zoo's for the addresses alone.
        near_repeats: similarity, as `deduplicate` has it, from which a document is not trained on
            because a held-out one resembles it; 0 leaves out exact repeats alone.
        folder: where the tokenised text is kept; left empty, under `prepared/` beside the run.
        length: tokens in a block or pair, T.
        pairs: what a sample is: a block of text, or two segments of which the second follows the
            first or does not (BERT), or stands before or behind it (ALBERT).
        new_words: a file with a word a line, each of which becomes a token; for a tokenizer that is
            there, such as that of a model that training goes on with.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    corpus: str = "sotu"
    column: str = "text"
    columns: tuple[str, ...] = ()
    separator: str = ""
    quote: str = ""
    encoding: str = ""
    config: str = ""
    split: str = "train"
    revision: str = ""
    document: Document = "auto"
    keep_lines: bool = False
    tokenizer: str = "auto"
    tokenizer_kind: TokenizerKind = "auto"
    vocab_size: int = 8192
    lowercase: bool = True
    strip_accents: bool = False
    hold_out: str = "auto"
    near_repeats: float = 0.0
    folder: str = ""
    length: int = 128
    pairs: Pairs = "none"
    new_words: str = ""

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 8, "length")
        require_at_least(self, 1, "vocab_size")
        require(0 <= self.near_repeats <= 1, "near_repeats", self.near_repeats, "between 0 and 1")
        trained = self.tokenizer in ("", "auto")
        require(not (self.keep_lines and trained and self.tokenizer_kind == "wordpiece"),
                "tokenizer_kind", self.tokenizer_kind, "bpe, which knows line breaks, for keep_lines")
        self.dialect()

    def dialect(self) -> Dialect:
        """How files are written, as far as it is said."""
        return Dialect(self.columns, self.separator, self.quote, self.encoding)


def settled(config: TextConfig) -> TextConfig:
    """A configuration with what "auto" stands for."""
    of_this_corpus = OF_SOTU if config.corpus == "sotu" else ""
    stands_for = {"tokenizer": of_this_corpus, "hold_out": of_this_corpus,
                  "tokenizer_kind": "bpe" if config.keep_lines else "wordpiece"}
    return replace(config, **{name: value for name, value in stands_for.items()
                              if getattr(config, name) == "auto"})


def said_of(config: TextConfig) -> dict:
    """The settings that a run is known by, fit for JSON; where its tokens are kept is none."""
    settings = asdict(settled(config)) | {"columns": list(config.columns)}
    return {name: value for name, value in settings.items() if name != "folder"}


class TextData(Data):
    """Tokenised text, some documents of which are held out.

    Args:
        config: what is read, and how it is cut.
        tokenizer: what made ids of it.
        dataset: all of its documents.

    Raises:
        ValueError: naming the part that is too small for a block, or for a pair.
    """

    config_class = TextConfig

    def __init__(self, config: TextConfig, tokenizer, dataset: TokenDataset):
        self.config = config = settled(config)
        self.tokenizer = tokenizer
        self.all_documents = dataset.num_documents
        self.documents = split_documents(dataset, config.hold_out, config.length,
                                         config.near_repeats)
        self.training, self.held_out = (
            samples_of(part, config, tokenizer, name) for part, name in
            zip(self.documents, ("documents to train on", "held-out documents"), strict=True))
        self.model_fields = {"vocab_size": vocabulary_size(tokenizer)}

    @classmethod
    def open(cls, config: TextConfig, beside: Path, on_first: Callable = alone) -> TextData:
        """The text, which the first process tokenises if nobody has before.

        A run that goes on has its tokens, and knows them by their digest: it reads no corpus again.
        """
        def prepare_once() -> None:
            if not goes_on(config, beside):
                prepared(config, beside)

        on_first(prepare_once)
        data = cls(config, *opened(config, beside))
        on_first(lambda: print(shares(*data.documents, data.all_documents)))
        if config.new_words:
            own = load_tokenizer(data.config.tokenizer)
            on_first(lambda: print(told(own, read_words(config.new_words))))
        return data

    def about(self) -> dict:
        """Its settings and what it holds; not the folder in which its tokens are kept."""
        training, held_out = (part.digest_of_shards() or digest(part) for part in self.documents)
        return said_of(self.config) | {"tokenizer_hash": tokenizer_hash(self.tokenizer),
                                       "training_text": training, "held_out_text": held_out}

    def recognised(self, about: dict) -> dict:
        """With digests of shards for those of all tokens, and settings that there were not yet."""
        about = said_of(self.config) | about
        names = ("training_text", "held_out_text")
        today = self.about()
        same = all(name in about and about[name] == digest(part)
                   for name, part in zip(names, self.documents, strict=True)
                   if about.get(name) != today[name])
        return about | {name: today[name] for name in names} if same else about


# --------------------------------------------------------------------------------- tokenised once


def prepared(config: TextConfig, beside: Path) -> tuple[object, TokenDataset]:
    """The tokenizer and the tokenised text: found, or made now.

    What was prepared of a data set of the Hub is used as it is, without asking the Hub again.
    """
    config, folder = settled(config), prepared_folder(config, beside)
    if config.corpus.startswith("hub:") and (folder / MANIFEST).is_file():
        return opened(config, beside, verify=True)
    corpus = corpus_of(config)
    if config.tokenizer or config.new_words:
        tokenizer = tokenizer_that_is_there(config)
    else:
        tokenizer = tokenizer_of_its_own(corpus, config, folder)
    return tokenizer, prepare(corpus, tokenizer, folder, keep_lines=config.keep_lines)


def corpus_of(config: TextConfig) -> Corpus:
    """The documents that a configuration names; a single one in two, of which one can be held out."""
    corpus = load_text(config.corpus, column=config.column, split=config.split,
                       config=config.config or None, revision=config.revision or None,
                       document=config.document, dialect=config.dialect())
    if settled(config).hold_out:
        return corpus
    return Corpus(corpus.name, partial(two_at_least, corpus), corpus.about)


def goes_on(config: TextConfig, beside: Path) -> bool:
    """Whether the run has begun already, with the tokens that are there."""
    return (beside / BEGUN).is_file() and (prepared_folder(config, beside) / MANIFEST).is_file()


def tokenizer_that_is_there(config: TextConfig):
    """The tokenizer that a configuration names, with the new words.

    Raises:
        ValueError: if there are new words and it names none.
    """
    if not config.tokenizer:
        raise ValueError(f"new_words must be left out, got {config.new_words!r}: a tokenizer is "
                         "trained on this text, and learns its words. They are for one that is "
                         "there: start with a model, or name a tokenizer")
    tokenizer = load_tokenizer(config.tokenizer)
    if config.new_words:
        return with_new_words(tokenizer, read_words(config.new_words))
    return tokenizer


def tokenizer_of_its_own(corpus: Corpus, config: TextConfig, folder: Path):
    """The tokenizer that is trained on a corpus, by whoever of several processes comes first."""
    if not (folder / "tokenizer.json").is_file():
        with locked(folder):
            if not (folder / "tokenizer.json").is_file():
                texts = (document.text for document in corpus)
                trained = train_tokenizer(texts, config.vocab_size, config.tokenizer_kind,
                                          config.lowercase, config.strip_accents, config.keep_lines)
                save_tokenizer(trained, folder)
    return load_tokenizer(folder)


def opened(config: TextConfig, beside: Path,
           verify: bool = False) -> tuple[object, TokenDataset]:
    """What `prepared` has made, without the corpus; its checksums are compared on demand."""
    config, folder = settled(config), prepared_folder(config, beside)
    tokenizer = tokenizer_that_is_there(config) if config.tokenizer else load_tokenizer(folder)
    return tokenizer, TokenDataset(folder, tokenizer, verify)


def prepared_folder(config: TextConfig, beside: Path) -> Path:
    """Where the tokenised text is kept."""
    if config.folder:
        return Path(config.folder)
    return beside.parent / "prepared" / corpus_and_tokenizer(config)


def corpus_and_tokenizer(config: TextConfig) -> str:
    """A folder's name for a corpus and a tokenizer."""
    config = settled(config)
    kept = {"cased": not config.lowercase, "stripped": config.strip_accents}
    trained = [config.tokenizer_kind, str(config.vocab_size),
               *(name for name, so in kept.items() if so)]
    parts = [config.corpus, config.tokenizer or "-".join(trained)]
    parts += [config.document] if config.document != "auto" else []
    parts += ["lines"] if config.keep_lines else []
    if config.new_words:
        words = "\n".join(read_words(config.new_words))
        parts += ["words", hashlib.sha256(words.encode()).hexdigest()[:8]]
    if config.corpus.startswith("hub:"):
        parts[1:1] = [config.config, config.split, config.revision, config.column]
    name = "-".join(filter(None, parts))
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.")


# --------------------------------------------------------------------------- what is trained on


def split_documents(dataset: TokenDataset, hold_out: str, fewest: int = 1,
                    near_repeats: float = 0.0) -> tuple[TokenDataset, TokenDataset]:
    """The documents to train on, and those held out.

    A document that is held out word for word elsewhere in the text is not trained on either.

    Args:
        dataset: all documents.
        hold_out: whose held-out documents are; empty for every twentieth, or more of few.
        fewest: tokens that are held out at least, where there are enough.
        near_repeats: similarity from which what is like a held-out document is left out too; 0
            looks for exact repeats alone.

    Raises:
        ValueError: if one of the two would be empty.
    """
    numbers = range(dataset.num_documents)
    if hold_out:
        names = held_out_sources(hold_out)
        out = {i for i in numbers if dataset.sources[i] in names}
        if not out:
            raise ValueError(f"none of the documents that {hold_out!r} holds out is in this text: "
                             "leave hold_out empty, or name those of this corpus")
    else:
        out = spread(dataset.document_lengths, fewest)
    repeats = copies(dataset, out)
    if near_repeats:
        repeats |= near_copies(dataset, out, near_repeats)
    rest = [i for i in numbers if i not in out | repeats]
    if not rest:
        raise ValueError("the text has one document, once repeats are left out, which cannot be both "
                         "trained on and held out: cut it into several")
    return dataset.subset(rest), dataset.subset(sorted(out))


def spread(lengths: np.ndarray, fewest: int) -> set[int]:
    """Every twentieth document, or of less than forty the last two; more where those are short."""
    numbers = range(len(lengths))
    if len(numbers) >= 2 * EVERY:
        choices = [numbers[every - 1::every] for every in range(EVERY, 1, -1)]
    else:
        choices = [numbers[-n:] for n in range(2 if len(numbers) > 3 else 1, len(numbers) // 2 + 1)]
    enough = (chosen for chosen in choices if lengths[list(chosen)].sum() >= fewest)
    return set(next(enough, choices[0]))


def shares(training: TokenDataset, held_out: TokenDataset, documents: int) -> str:
    """A line for people: what is trained on, what is held out, and what neither."""
    total = training.tokens + held_out.tokens
    said = [f"{name} {part.num_documents:,} documents, {part.tokens:,} tokens "
            f"({part.tokens / total:.1%})"
            for name, part in (("trained on:", training), ("held out:", held_out))]
    repeats = documents - training.num_documents - held_out.num_documents
    if repeats > 0:
        said.append(f"left out, because they repeat what is held out: {repeats:,} documents")
    return "; ".join(said)


def copies(dataset: TokenDataset, documents: set[int]) -> set[int]:
    """The other documents that have the very tokens of one of these."""
    def fingerprint(i: int) -> bytes:
        return hashlib.blake2b(dataset.document(i).tobytes(), digest_size=16).digest()

    known = {fingerprint(i) for i in documents}
    lengths = dataset.document_lengths
    as_long = np.flatnonzero(np.isin(lengths, lengths[sorted(documents)])).tolist()
    return {i for i in as_long if i not in documents and fingerprint(i) in known}


def near_copies(dataset: TokenDataset, documents: set[int], threshold: float) -> set[int]:
    """The other documents of which five tokens in a row are often those of one of these."""
    def words(numbers) -> Iterator[tuple[int, str]]:
        return ((i, " ".join(map(str, dataset.document(i).tolist()))) for i in numbers)

    return near_repeats_of(words(sorted(documents)), words(i for i in range(dataset.num_documents)
                                                           if i not in documents), threshold)


def samples_of(documents: TokenDataset, config: TextConfig, tokenizer, name: str) -> Source:
    """What training sees of some documents.

    Args:
        name: what the documents are called if they do not suffice.

    Raises:
        ValueError: if they are too small for a block, or for a pair.
    """
    if documents.tokens < config.length:
        raise ValueError(f"the {name} are smaller than one block: they have {documents.tokens} "
                         f"tokens, and data.length is {config.length}. Choose a shorter length, "
                         "another hold_out, or a larger corpus")
    try:
        return blocks_or_pairs(documents, config, tokenizer)
    except ValueError as error:
        raise ValueError(f"the {name} do not suffice: {error}") from None


def blocks_or_pairs(documents: TokenDataset, config: TextConfig, tokenizer) -> Source:
    """Full blocks of text, or pairs of segments, whose false ones are of the same era if known."""
    special = special_ids(tokenizer)
    if config.pairs == "none":
        return PackedBlocks(documents, config.length, special)
    negatives = "era" if config.corpus == "sotu" else None
    return SentencePairs(documents, config.length, special, negatives=negatives,
                         task=TASKS[config.pairs])


def digest(documents: TokenDataset) -> str:
    """SHA-256 of the tokens of all documents, and of where sentences and documents end."""
    found = hashlib.sha256(documents.sentence_counts.tobytes()
                           + documents.sentence_lengths.tobytes())
    for i in range(documents.num_documents):
        found.update(documents.document(i).tobytes())
    return found.hexdigest()
