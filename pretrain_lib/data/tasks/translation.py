"""Sentences in two languages: what a model that writes is trained on."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import util
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import hub
from ..keys import Keys
from ..source import Columns, Samples
from ..tables.dialect import Dialect, missing_column, require_files
from ..tables.lines import TABLES, find_files, kind_of
from ..tables.rows import has, read_rows, value_of
from ..text.document import plain_string
from .encoded import cut_to_longest, encode_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

PACKAGED = ("fr-FR", "zh-CN")
CONTEXT = "\x04"  # stands between a string's context and the string

Pair = tuple[str, str]  # text, its translation


@dataclass(frozen=True, eq=False)
class ParallelText:
    """Texts of one language, each with its translation into another.

    Attributes:
        name: which text.
        sources: N texts, no two alike.
        targets: the translation of each.
        left_out: how many pairs were read and not kept, by reason: "repeated" said the same once
            more, "other translation" translated a text that has one already, and "untranslated"
            are names and codes, whose translation is the text itself.
    """

    name: str
    sources: list[str]
    targets: list[str]
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.sources)

    def subset(self, ids: Sequence[int]) -> ParallelText:
        """The pairs `ids`."""
        sources, targets = ([column[i] for i in ids] for column in (self.sources, self.targets))
        return ParallelText(self.name, sources, targets, self.left_out)

    def split(self, held_out: float = 0.1, seed: int = 0) -> tuple[ParallelText, ParallelText]:
        """Training and test part that share no source, not even up to case and punctuation.

        "Open File…" and "Open file" are one text here: with one of them to learn from, the other
        would be remembered, not translated.

        Args:
            held_out: share of the different texts for the test part, between 0 and 1.
            seed: which random choice.

        Raises:
            ValueError: if one of the parts would be empty.
        """
        groups = np.unique([plain_string(text) for text in self.sources], return_inverse=True)[1]
        number = round(held_out * (groups.max() + 1))
        if not 0 < number <= groups.max():
            raise ValueError(f"cannot hold out {held_out} of {groups.max() + 1} different texts: "
                             "each part needs one")
        order = Keys.of(seed, [0]).permutation("held-out texts", int(groups.max()) + 1)[0].numpy()
        test = np.isin(groups, order[:number])
        return self.subset(np.flatnonzero(~test)), self.subset(np.flatnonzero(test))


def load_translation(
    name: str | Path,
    *,
    source: str = "en",
    target: str | None = None,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
    fallback: str | None = None,
    dialect: Dialect = Dialect(),
) -> ParallelText:
    """Texts with their translations by name: packaged ones, your own files, or the Hub's.

    "fr-FR" and "zh-CN" are the strings of JupyterLab's user interface with the French and Chinese
    that volunteers wrote for them. They come with the packages `jupyterlab-language-pack-fr-FR`
    and `-zh-CN` (BSD licence). Of a string with a plural the singular is taken.

    Args:
        name: "fr-FR", "zh-CN", files (.csv, .tsv, .jsonl, .parquet), or "hub:owner/name", such as
            "hub:wmt/wmt16" with config="ro-en" and target="ro".
        source: where rows of files and of the Hub hold the text: a column, or a key of their
            column "translation".
        target: where they hold its translation.
        split: the Hub's split.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag; None takes the newest.
        limit: pairs to read at most; None reads all, which for a data set of the Hub may be many.
        fallback: what to load, saying so, where the Hub cannot be reached; None raises instead.
        dialect: how files are written, as far as they do not say it themselves.

    Raises:
        ValueError: for an unknown name, a missing column, a row without text, or no pair at all.
        ModuleNotFoundError: if the package of a packaged text is not installed.
        FileNotFoundError: if no file matches.
        ConnectionError: if the Hub cannot be reached and there is no fallback.
    """
    name = str(name)
    if name in PACKAGED or name.startswith("hub:"):
        require_files(dialect, name)
    if name in PACKAGED:
        return parallel_text_of(name, islice(interface_strings(name), limit))
    from_hub = name.startswith("hub:")
    if not from_hub and kind_of(Path(name)) not in TABLES:
        raise ValueError(
            f"unknown translation {name!r}: known are {', '.join(map(repr, PACKAGED))}, "
            f"'hub:owner/name', and files that end in {', '.join(TABLES)}"
        )
    if target is None:
        raise ValueError(f"say where {name} holds its translations, such as target='fr'")
    if not from_hub:
        rows = file_rows(find_files(name), (source, target), dialect)
    else:
        try:
            stream = hub.open_stream(name.removeprefix("hub:"), config, split, revision)
        except ConnectionError as error:
            if fallback is None:
                raise
            logger.warning("%s Using %r instead.", error, fallback)
            return load_translation(fallback, limit=limit)
        rows = ((f"{name}:{number}", row) for number, row in enumerate(stream, start=1))
    return parallel_text_of(name, (pair_of(row, source, target, place)
                          for place, row in islice(rows, limit)))


def parallel_text_of(name: str, pairs: Iterable[Pair]) -> ParallelText:
    """Pairs in memory, each text once, with its most frequent translation, the first of several.

    Raises:
        ValueError: if no pair is left.
    """
    translations: dict[str, Counter] = defaultdict(Counter)
    left_out = {"repeated": 0, "other translation": 0, "untranslated": 0}
    for text, translation in pairs:
        if text == translation:
            left_out["untranslated"] += 1
        else:
            translations[text][translation] += 1
    if not translations:
        raise ValueError(f"{name!r} is empty: it holds no text with a translation")
    for counts in translations.values():
        left_out["repeated"] += counts.total() - len(counts)
        left_out["other translation"] += len(counts) - 1
    targets = [max(counts, key=counts.get) for counts in translations.values()]
    return ParallelText(name, list(translations), targets, left_out)


# --- Where pairs come from ------------------------------------------------------------------


def interface_strings(locale: str) -> Iterator[Pair]:
    """The strings of JupyterLab and its extensions in English and a language such as "fr-FR".

    Raises:
        ModuleNotFoundError: if the language's package is not installed.
    """
    package = f"jupyterlab-language-pack-{locale}"
    found = util.find_spec(package.replace("-", "_"))
    if found is None:
        raise ModuleNotFoundError(f"the translations {locale!r} come with the package {package}, "
                                  f"which is not installed: pip install {package}")
    folder = Path(found.submodule_search_locations[0]) / "locale"
    for path in sorted(folder.glob("*/LC_MESSAGES/*.json")):
        catalogue = json.loads(path.read_text(encoding="utf-8"))
        catalogue.pop("", None)  # about the file
        for key, (translation, *_) in sorted(catalogue.items()):
            text = key.rpartition(CONTEXT)[2].strip()
            if text and translation.strip():
                yield text, translation.strip()


def file_rows(files: list[Path], columns: Pair, dialect: Dialect) -> Iterator[tuple[str, dict]]:
    for path in files:
        flat = kind_of(path) in (".csv", ".tsv")  # others may hold them within "translation"
        for number, row in read_rows(path, columns if flat else (), dialect):
            yield f"{path}:{number}", row


def pair_of(row: dict, source: str, target: str, place: str) -> Pair:
    """Text and translation of a row, which may hold both in one column "translation".

    Raises:
        ValueError: if one is missing or empty.
    """
    row = row["translation"] if isinstance(row.get("translation"), dict) else row
    for name in (source, target):
        if not has(row, name):
            raise missing_column(place, name, row)
        if value_of(row, name) is None or not str(value_of(row, name)).strip():
            raise ValueError(f"{place} has nothing in column {name!r}: every row needs both texts")
    return str(value_of(row, source)).strip(), str(value_of(row, target)).strip()


# --- As ids ---------------------------------------------------------------------------------


class EncodedPairs(Columns):
    """Pairs as token ids; a batch is no wider than its longest text and longest translation.

    Args:
        **columns: `input_ids` and `attention_mask`, each (N, T), of the texts, and `target_ids` and
            `target_mask`, each (N, U), of their translations.
    """

    def take(self, keys: Keys) -> Samples:
        """The rows that the keys name, without the columns that are padding in all of them."""
        samples = super().take(keys)
        samples = cut_to_longest(samples, "attention_mask", ("input_ids", "attention_mask"))
        return cut_to_longest(samples, "target_mask", ("target_ids", "target_mask"))

    def subset(self, ids) -> EncodedPairs:
        """The rows `ids`, as a source of their own."""
        return EncodedPairs(**super().subset(ids).columns)


def encode_pairs(text: ParallelText, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer,
                 source_length: int = 64, target_length: int = 64) -> EncodedPairs:
    """Texts and translations as `[CLS] … [SEP]`, truncated to a length and padded at the end.

    Args:
        text: N pairs.
        source_tokenizer: the encoder's.
        target_tokenizer: the decoder's.
        source_length: tokens of a text at most, T, [CLS] and [SEP] included.
        target_length: the same of a translation, U.
    """
    texts = encode_texts(text.sources, source_tokenizer, source_length)
    translations = encode_texts(text.targets, target_tokenizer, target_length)
    return EncodedPairs(input_ids=texts.input_ids, attention_mask=texts.attention_mask,
                        target_ids=translations.input_ids,
                        target_mask=translations.attention_mask)
