"""Sentences with labels: what a pretrained encoder is fine-tuned and probed on."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import hub
from ..keys import Keys
from ..tables.dialect import Dialect, missing_column, require_files
from ..tables.lines import TABLES, decoded_lines, find_files, kind_of
from ..tables.rows import has, read_rows, require_table, value_of
from .countries import CONTINENTS, continent_sentences
from .packaged import ERAS, PARTIES, era_sentences, library_sentences, party_sentences
from .sentence import Labelled
from .sentiment import RATED, SENTIMENTS, rated_sentences, sentiment_sentences

logger = logging.getLogger(__name__)

LISTED = 5  # rows left out that a warning names
@dataclass(frozen=True, eq=False)
class LabelledText:
    """Sentences, each of one class.

    Attributes:
        name: which text.
        sentences: N sentences.
        labels: (N,) int64, the index of each sentence's class; or float32, a number for each.
        classes: names of the classes; none where labels are numbers.
        sources: the document of each sentence. Split by these, or sentences of one speech that
            resemble each other stand on both sides.
        words: the word that was masked in each sentence; "" where none was. It must not stand on
            both sides either.
        left_out: the sources of rows without text or without class.
    """

    name: str
    sentences: list[str]
    labels: np.ndarray
    classes: list[str]
    sources: list[str]
    words: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self):
        if not self.words:
            object.__setattr__(self, "words", [""] * len(self.sentences))

    def __len__(self) -> int:
        return len(self.sentences)

    def subset(self, ids: Sequence[int]) -> LabelledText:
        """The sentences `ids`."""
        ids = np.asarray(ids, dtype=np.int64)
        sentences, sources, words = ([column[i] for i in ids] for column in
                                     (self.sentences, self.sources, self.words))
        return LabelledText(self.name, sentences, self.labels[ids], self.classes, sources, words)

    def class_of_source(self) -> tuple[np.ndarray, np.ndarray]:
        """The sources in order, and for each the class that most of its sentences have."""
        sources, source_ids = np.unique(self.sources, return_inverse=True)
        votes = np.zeros((len(sources), len(self.classes)), dtype=np.int64)
        np.add.at(votes, (source_ids, self.labels), 1)
        return sources, votes.argmax(1)

    def split(self, held_out: float = 0.2, seed: int = 0) -> tuple[LabelledText, LabelledText]:
        """Training and test part with no source in common, in the same proportion of each class.

        A source counts for the class that most of its sentences have. What two speeches or
        modules of a packaged text say word for word may stand on both sides.

        Args:
            held_out: share of each class's sources for the test part, between 0 and 1.
            seed: which random choice.

        Raises:
            ValueError: if a class has too few sources to stand on both sides.
        """
        sources, class_of_source = self.class_of_source()
        chance = Keys.of(seed, len(sources)).uniform("held-out sources").numpy()
        is_test = np.zeros(len(sources), dtype=bool)
        for label, name in enumerate(self.classes):
            members = np.flatnonzero(class_of_source == label)
            number = round(held_out * len(members))
            if not 0 < number < len(members):
                others = len(set(np.array(self.sources)[self.labels == label])) - len(members)
                hint = (f"; {others} more hold texts of it and at least as many of another class: "
                        "where one text has several classes, leave it one") if others else ""
                raise ValueError(
                    f"cannot hold out {held_out} of the {len(members)} sources of class {name!r}: "
                    f"each part needs one{hint}"
                )
            is_test[members[np.argsort(chance[members], kind="stable")][:number]] = True
        return self.hold_out(sources[is_test], seed)

    def hold_out(self, sources: Iterable[str], seed: int = 0) -> tuple[LabelledText, LabelledText]:
        """Training part, and the test part of the given sources.

        A masked word that stands in both stays in one of them, by chance.
        """
        test = np.isin(self.sources, list(sources))
        words, word_ids = np.unique(self.words, return_inverse=True)
        in_both = np.intersect1d(word_ids[test], word_ids[~test])
        shared = np.isin(word_ids, in_both[words[in_both] != ""])
        for_test = Keys.of(seed, len(words)).uniform("masked words").numpy() < 0.5
        stays = ~shared | (for_test[word_ids] == test)
        return self.subset(np.flatnonzero(stays & ~test)), self.subset(np.flatnonzero(stays & test))


def load_labelled_text(
    name: str | Path,
    *,
    column: str = "text",
    label: str = "label",
    labels: str | Path | None = None,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    fallback: str | None = None,
    dialect: Dialect = Dialect(),
) -> LabelledText:
    """Labelled sentences by name: packaged ones, files of your own, or a data set of the Hub.

    "era" and "party" ask when, and by whose president, a sentence of a State of the Union address
    was spoken; digits are masked, for they tell the year. "docstring-library" asks which of eight
    libraries a sentence documents; the libraries' names are masked.

    In "sentiment" the one strongly rated word of a sentence of an address is [MASK], and its class
    is whether people rated that word as good or as bad. No word is in both parts of a split, so
    what surrounds it must tell. Mind what this is not: the rating is the word's, not the
    sentence's ("not a [MASK] policy" is positive where "good" stood, and "interest" is positive
    even if it is on a debt), a part of speech tells something already, and each word is there at
    most 50 times. "continent" asks where the one country lies that a sentence names; its name
    and its people's are [MASK], but its towns and rivers stay, and who is spoken of depends on the
    era. Both parts of a split speak of the same countries.

    Rows without text or without class are left out, and a warning says how many and which. A
    text that several rows hold has one source, the first of them, so it is on one side of a split.
    A sentence of a packaged text that stands in several speeches or modules may be on both.

    Args:
        name: "era", "party", "docstring-library", "sentiment", "continent", files (.csv, .tsv,
            .jsonl, .parquet, .txt with rows as a .tsv), or "hub:owner/name", such as
            "hub:stanfordnlp/sst2" with column="sentence" or "hub:fancyzhx/ag_news". With `labels`,
            a .txt of a text a line.
        column: where rows of files and of the Hub hold their text: a name, one within another
            ("answer.text"), or, in a table whose first line is a row, a number ("1" is the first).
        label: where they hold their class. Names of classes in two Unicode forms are one (NFC).
        labels: a .txt with the class of each text of `name`, a line each.
        split: the Hub's split.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag; None takes the newest.
        fallback: what to load, saying so, where the Hub cannot be reached; None raises instead.
        dialect: how files are written, as far as they do not say it themselves.

    Raises:
        ValueError: for an unknown name, a missing column, or one class only.
        FileNotFoundError: if no file matches.
        ConnectionError: if the Hub cannot be reached and there is no fallback.
    """
    name = str(name)
    packaged = {
        "era": (era_sentences, ERAS),
        "party": (party_sentences, PARTIES),
        "docstring-library": (library_sentences, None),
        "sentiment": (sentiment_sentences, SENTIMENTS),
        "continent": (continent_sentences, CONTINENTS),
    }
    if not isinstance(label, str):
        raise ValueError("label must be one column, for a text has one class: of several columns, "
                         f"each is a task of its own, got {label!r}")
    if name in packaged or name.startswith("hub:"):
        require_files(dialect, name)
        if labels is not None:
            raise ValueError(f"labels is for a file of texts, and {name!r} has its own: leave it "
                             "out")
    if name in packaged:
        read, classes = packaged[name]
        return collect(name, read(), classes)
    if name.startswith("hub:"):
        repository = name.removeprefix("hub:")
        try:
            stream = hub.open_stream(repository, config, split, revision)
        except ConnectionError as error:
            if fallback is None:
                raise
            logger.warning("%s Using %r instead.", error, fallback)
            return load_labelled_text(fallback)
        left_out: list[str] = []
        rows = hub_sentences(name, stream, column, label, left_out)
        return collect(name, rows, class_names(stream, label), left_out)
    left_out = []
    if labels is not None:
        require_table(Path(name), dialect)
        rows = paired_lines(Path(name), Path(labels), dialect.encoding, left_out)
        return collect(name, rows, None, left_out)
    if kind_of(Path(name)) not in TABLES and not Path(name).is_file():
        known = ", ".join(map(repr, packaged))
        raise ValueError(
            f"unknown labelled text {name!r}: known are {known}, 'hub:owner/name', files that "
            f"end in {', '.join(TABLES)}, or in .txt with rows as a .tsv"
        )
    rows = file_sentences(find_files(name), column, label, left_out, dialect)
    return collect(name, rows, None, left_out)


def load_valence() -> LabelledText:
    """How good the one rated word is that is [MASK] in a sentence, −4 to 4, as people rated it.

    The sentences are of State of the Union addresses, and `hold_out` parts them so that no word is
    on both sides. As in "sentiment", the number is the word's, not the sentence's.
    """
    rows = list(rated_sentences(RATED))
    sentences, numbers, sources, words = map(list, zip(*rows, strict=True))
    labels = np.array(numbers, dtype=np.float32)
    return LabelledText("valence", sentences, labels, [], sources, words)


def collect(name: str, rows: Iterator[Labelled], classes: list[str] | None = None,
            left_out: list[str] | None = None) -> LabelledText:
    """Labelled sentences in memory.

    Args:
        name: what they are called.
        rows: sentence, class and source of each.
        classes: names of the classes in order; None takes those that occur, sorted.
        left_out: the sources of rows that had to be left out, once `rows` is read.

    Raises:
        ValueError: if there is no sentence, or only one class.
    """
    table, left_out = list(rows), left_out or []
    if not table:
        gaps = f"; {len(left_out)} rows lack text or class" if left_out else ""
        raise ValueError(f"the text {name!r} is empty: it holds no labelled sentence{gaps}")
    if left_out:
        logger.warning("%s: %s", name, told_left_out(left_out, len(table)))
    sentences, kinds, sources, words = map(list, zip(*table, strict=True))
    classes = classes or in_order(set(kinds))
    if len(classes) < 2:
        raise ValueError(f"the text {name!r} has only the class {classes[0]!r}: two are needed")
    number = {kind: index for index, kind in enumerate(classes)}
    labels = np.array([number[kind] for kind in kinds], dtype=np.int64)
    return LabelledText(name, sentences, labels, list(classes), sources, words, left_out)


def told_left_out(left_out: list[str], kept: int) -> str:
    """How many rows were left out, and the first of them, in words."""
    shown = ", ".join(left_out[:LISTED]) + (", …" if len(left_out) > LISTED else "")
    return (f"{len(left_out)} of {kept + len(left_out)} rows left out, which lack text or class: "
            f"{shown}")


def in_order(kinds: set[str]) -> list[str]:
    """Names in alphabetical order; numbers by their value, if all are numbers."""
    names = sorted(kinds)
    try:
        return sorted(names, key=float)
    except ValueError:
        return names


# --- Files and the Hub ----------------------------------------------------------------------


def cell(row: dict, name: str, place: str, number: int) -> str:
    """What a row holds in a column, as text; "" where it holds nothing.

    Raises:
        ValueError: if there is no such column, or no text or number in it.
    """
    if not has(row, name):
        raise missing_column(place, name, row)
    value = value_of(row, name)
    if value is None or value != value:  # NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():  # numbers in a table with gaps
        value = int(value)
    if isinstance(value, list | dict):
        kind = type(value).__name__
        raise ValueError(f"{place}, row {number}: column {name!r} must hold text or a number, "
                         f"got {kind}")
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{place}, row {number}: column {name!r} must hold text in UTF-8, got "
                             f"the byte 0x{value[error.start]:02x}") from None
    return str(value).strip()


def file_sentences(files: list[Path], column: str, label: str, left_out: list[str],
                   dialect: Dialect) -> Iterator[Labelled]:
    """The rows of tables; the same text again counts as of the same source, and stays beside it.

    Args:
        left_out: gets the sources of rows without text or without class.
    """
    both = (column, label)
    rows = ((f"{path}:{number}", *(cell(row, asked, str(path), number) for asked in both))
            for path in files for number, row in read_rows(path, both, dialect))
    return with_sources(rows, left_out)


def paired_lines(texts: Path, labels: Path, encoding: str,
                 left_out: list[str]) -> Iterator[Labelled]:
    """Texts of one file and their classes in another, a line each.

    Raises:
        FileNotFoundError: if one of them is not there.
        ValueError: if they have not as many lines.
    """
    lines = [[line.strip() for line in decoded_lines(path, encoding)] for path in (texts, labels)]
    if len(lines[0]) != len(lines[1]):
        raise ValueError(f"{texts} has {len(lines[0])} lines and {labels} {len(lines[1])}: each "
                         "text needs a line with its class")
    pairs = enumerate(zip(*lines, strict=True), start=1)
    return with_sources(((f"{texts}:{number}", *pair) for number, pair in pairs), left_out)


def with_sources(rows: Iterable[tuple[str, str, str]], left_out: list[str]) -> Iterator[Labelled]:
    """Places, texts and classes as sentences; the same text again is of the source it had first."""
    source_of: dict[str, str] = {}
    for place, text, kind in rows:
        if text and kind:
            yield Labelled(text, unicodedata.normalize("NFC", kind),
                           source_of.setdefault(text, place))
        else:
            left_out.append(place)


def class_names(stream, label: str) -> list[str] | None:
    """The names that a data set of the Hub gives its classes, if it does."""
    return getattr((stream.features or {}).get(label), "names", None)


def hub_sentences(name: str, stream, column: str, label: str,
                  left_out: list[str]) -> Iterator[Labelled]:
    """The rows of a stream, with the name of the class where it is a number.

    The same text again counts as of the same source, as in `file_sentences`.

    Raises:
        ValueError: if the split has no labels, as test splits on the Hub sometimes do not.
    """
    def rows() -> Iterator[tuple[str, str, str]]:
        names = class_names(stream, label)
        for number, row in enumerate(stream, start=1):
            text, kind = (cell(row, asked, name, number) for asked in (column, label))
            if names and text and kind:
                if not 0 <= int(kind) < len(names):
                    raise ValueError(f"{name}:{number} has the class {kind}: this split is not "
                                     "labelled, take another")
                kind = names[int(kind)]
            yield f"{name}:{number}", text, kind

    return with_sources(rows(), left_out)
