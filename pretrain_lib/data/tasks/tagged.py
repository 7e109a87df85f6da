"""Sentences with a tag for each word: what a pretrained encoder is fine-tuned on to find names.

Tags follow the BIO scheme: B begins a name, I goes on with it, O is outside (Ramshaw and Marcus,
"Text chunking using transformation-based learning", 1995). Those of files are in `conll.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import hub
from ..keys import Keys
from ..tables.dialect import Dialect, missing_column, require_files
from ..tables.lines import matching_files
from ..text.corpora import load_sotu
from ..text.tokenizer import UNK
from .conll import read_conll
from .countries import named_countries
from .encoded import EncodedText, encode_batch, padded, padded_rows
from .sentence import long_sentences

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORD = re.compile(r"\w+|[^\w\s]")
COUNTRY_TAGS = ["O", "B-COUNTRY", "I-COUNTRY"]
UNSEEN_SHARE = 0.3  # of the countries
NO_TAG = -100  # at tokens that begin no word


@dataclass(frozen=True, eq=False)
class TaggedText:
    """Sentences as words, each word with a tag.

    Attributes:
        name: which text.
        words: N lists of words.
        tags: N lists of tags, as indices of `classes`.
        classes: names of the tags.
        sources: the document of each sentence.
        names: what each sentence names, such as its countries; empty where that is not known.
    """

    name: str
    words: list[list[str]]
    tags: list[list[int]]
    classes: list[str]
    sources: list[str]
    names: list[frozenset[str]]

    def __len__(self) -> int:
        return len(self.words)

    def subset(self, ids: Iterable[int]) -> TaggedText:
        """The sentences `ids`."""
        ids = list(map(int, ids))
        words, tags, sources, names = ([column[i] for i in ids] for column in
                                       (self.words, self.tags, self.sources, self.names))
        return TaggedText(self.name, words, tags, self.classes, sources, names)

    def hold_out(self, sources: Iterable[str], seed: int = 0) -> tuple[TaggedText, TaggedText]:
        """Training part, and a test part of the given sources that shares no name with it.

        Three in ten of the names are for the test part; a sentence that has names of both is in
        neither.
        """
        held_out, known = set(sources), sorted(frozenset().union(*self.names))
        chance = Keys.of(seed, len(known)).uniform("names").tolist()
        unseen = {name for name, u in zip(known, chance, strict=True) if u < UNSEEN_SHARE}
        rows = list(zip(self.sources, self.names, strict=True))
        training = [i for i, (source, names) in enumerate(rows)
                    if source not in held_out and not names & unseen]
        test = [i for i, (source, names) in enumerate(rows)
                if source in held_out and names <= unseen]
        return self.subset(training), self.subset(test)


def load_tagged_text(name: str | Path, *, tokens: str = "tokens", tags: str = "ner_tags",
                     split: str = "train", config: str | None = None, revision: str | None = None,
                     dialect: Dialect = Dialect()) -> TaggedText:
    """Tagged sentences by name.

    "countries" has the sentences of State of the Union addresses that name countries other than
    the United States, and as many that name none. The tags come from a list of names, so a
    dictionary with that list is always right: what a model shows is whether it finds countries
    that it was never shown, by the company they keep. `hold_out` tests on such, and there a
    dictionary of the training part's names finds none.

    Files have a word a line with its tag behind it and a blank line behind each sentence, as those
    of CoNLL-2003, whatever their suffix. Tags of the scheme BIOES become those of BIO.

    Args:
        name: "countries", files, or "hub:owner/name", such as "hub:eriktks/conll2003".
        tokens: the column with the words of a sentence. In a file columns have the names that
            `dialect` gives them, or numbers from "1"; without either, words are the first column
            that does not count, and
        tags: their tags the last.
        split: the Hub's split.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag; None takes the newest.
        dialect: how files are written, as far as they do not say it themselves.

    Raises:
        ValueError: for an unknown name, a missing column, or a sentence whose words and tags differ
            in number.
        ConnectionError: if the Hub cannot be reached.
    """
    name = str(name)
    if name == "countries" or name.startswith("hub:"):
        require_files(dialect, name)
    if name == "countries":
        return country_text()
    if name.startswith("hub:"):
        stream = hub.open_stream(name.removeprefix("hub:"), config, split, revision)
        return hub_text(name, stream, tokens, tags)
    if Path(name).name == name and not Path(name).suffix and not Path(name).exists():
        raise ValueError(f"unknown tagged text {name!r}: known are 'countries', 'hub:owner/name' "
                         "and files")
    words, kinds, sources = [], [], []
    for path in matching_files(name):
        for sentence in read_conll(path, tokens, tags, dialect):
            words.append(sentence.words)
            kinds.append(sentence.tags)
            sources.append(sentence.source)
    if not words:
        raise ValueError(f"the text {name!r} is empty: it holds no tagged sentence")
    classes, numbers = numbered_tags(kinds)
    return TaggedText(name, words, numbers, classes, sources, [frozenset()] * len(words))


def country_text() -> TaggedText:
    words, tags, sources, names = [], [], [], []
    for number, speech in enumerate(load_sotu()):
        sentences = long_sentences(speech.text)
        with_names = [i for i, sentence in enumerate(sentences) if named_countries(sentence)]
        without = np.setdiff1d(np.arange(len(sentences)), with_names)
        order = Keys.of(0, [number]).permutation("without countries", len(without))[0].numpy()
        for i in sorted([*with_names, *without[order][: len(with_names)].tolist()]):
            tagged = country_tags(sentences[i])
            words.append([word for word, _ in tagged])
            tags.append([tag for _, tag in tagged])
            sources.append(speech.source)
            names.append(frozenset(country.name for *_, country in named_countries(sentences[i])))
    return TaggedText("countries", words, tags, COUNTRY_TAGS, sources, names)


def country_tags(sentence: str) -> list[tuple[str, int]]:
    """The words of a sentence, each with 0 outside, 1 at the first, 2 at later words of a name."""
    spans = [(start, end) for start, end, _ in named_countries(sentence)]
    return [(hit[0], next((1 if hit.start() == start else 2 for start, end in spans
                           if start <= hit.start() < end), 0)) for hit in WORD.finditer(sentence)]


def hub_text(name: str, stream, tokens: str, tags: str) -> TaggedText:
    """The sentences of a stream, each with the number of its row as its source."""
    feature = (stream.features or {}).get(tags)
    classes = getattr(getattr(feature, "feature", None), "names", None)
    words, kinds, sources = [], [], []
    for number, row in enumerate(stream, start=1):
        for column in (tokens, tags):
            if column not in row:
                raise missing_column(name, column, row)
        if not isinstance(row[tokens], list) or not isinstance(row[tags], list):
            raise ValueError(f"{name}: columns {tokens!r} and {tags!r} must hold lists, a tag for "
                             f"each word, got {type(row[tokens]).__name__} and "
                             f"{type(row[tags]).__name__}")
        if len(row[tokens]) != len(row[tags]):
            raise ValueError(f"{name}:{number} has {len(row[tokens])} words and "
                             f"{len(row[tags])} tags: there must be one for each")
        if row[tokens]:
            words.append(list(row[tokens]))
            kinds.append(list(row[tags]))
            sources.append(f"{name}:{number}")
    if not words:
        raise ValueError(f"the text {name!r} is empty: it holds no tagged sentence")
    if classes is None:
        classes, kinds = numbered_tags(kinds)
    return TaggedText(name, words, kinds, list(classes), sources, [frozenset()] * len(words))


def numbered_tags(kinds: list[list]) -> tuple[list[str], list[list[int]]]:
    """The names of tags, "O" first, and the tags of each sentence as indices of these."""
    classes = sorted({str(kind) for row in kinds for kind in row}, key=lambda k: (k != "O", k))
    number = {kind: i for i, kind in enumerate(classes)}
    return classes, [[number[str(kind)] for kind in row] for row in kinds]


def encode_tagged(text: TaggedText, tokenizer: Tokenizer, length: int = 128) -> EncodedText:
    """A tagged text as token ids, the tag of a word at its first token.

    A word of which the tokenizer leaves no token, such as a soft hyphen, is [UNK], so that it has a
    place for its tag.

    Args:
        text: N sentences.
        tokenizer: it stays as it is.
        length: tokens of a sentence at most, T; words beyond it are cut off.

    Returns:
        A source with the columns `input_ids`, `attention_mask` and `tags`, each (N, T); `tags` is
        −100 at [CLS], [SEP], padding, and later tokens of a word.

    Raises:
        ValueError: as `encode_texts`.
    """
    words = with_a_token_each(text.words, tokenizer)
    encodings = encode_batch(words, tokenizer, length, words=True)
    rows = [first_token_tags(encoding.word_ids, tags)
            for encoding, tags in zip(encodings, text.tags, strict=True)]
    return EncodedText([" ".join(words) for words in text.words], text.classes,
                       tags=padded_rows(rows, NO_TAG), **padded(encodings, tokenizer))


def with_a_token_each(rows: list[list[str]], tokenizer: Tokenizer) -> list[list[str]]:
    """The words of sentences, [UNK] instead of those of which the tokenizer leaves no token."""
    words = sorted({word for row in rows for word in row})
    encodings = encode_batch([[word] for word in words], tokenizer, 3, words=True)
    silent = {word for word, encoding in zip(words, encodings, strict=True)
              if not any(part is not None for part in encoding.word_ids)}
    return [[UNK if word in silent else word for word in row] for row in rows]


def first_token_tags(word_ids: Sequence[int | None], tags: Sequence[int]) -> list[int]:
    """Each token's tag: its word's at the word's first token, −100 elsewhere."""
    before = [None, *word_ids[:-1]]
    return [NO_TAG if word is None or word == previous else tags[word]
            for word, previous in zip(word_ids, before, strict=True)]
