"""Images with captions by name: drawn ones, tables of your own, or a data set of the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..scenes.captions import coloured_digits
from ..scenes.letters import letters
from ..splits import split_ids
from ..tables.dialect import Dialect, missing_column, require_files
from ..tables.lines import TABLES, find_files, kind_of
from ..tables.rows import read_rows
from ..tasks.labelled import cell
from ..text.words import word_tokenizer
from .captioned import LENGTH, CaptionedImages, check_captions
from .dataset import resize
from .load import about_hub, hub_table, pictures_of
from .pairs import Pairs, check_split
from .pictures import Square, pictures_in

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DRAWN = {"letters": letters, "digits": partial(coloured_digits, 1),
         "two digits": partial(coloured_digits, 2)}
SPLITS = ("train", "test", "all")


def load_captioned(
    name: str | Path,
    split: str = "train",
    size: int | None = None,
    *,
    image: str = "image",
    caption: str = "caption",
    tokenizer: Tokenizer | None = None,
    length: int = LENGTH,
    further: Sequence[str] = (),
    unknown: bool = False,
    seed: int = 0,
    config: str | None = None,
    revision: str | None = None,
    dialect: Dialect = Dialect(),
) -> CaptionedImages:
    """Images with captions by name: drawn ones, a table that lists files, or "hub:owner/name".

    "letters" are Latin letters of ten fonts, 32 × 32 and grey, with their Unicode names: "latin
    small letter e with circumflex". "digits" are handwritten digits in colours that have names, 32
    × 32: "a red three". "two digits" are two side by side, 40 × 40: "a red three left of a blue
    seven". What is known of each stands in further columns, whose numbers `names` explains. In
    "train" some combinations of letter and mark, or of colour and digit, never occur; "test" has
    those of "train" in other fonts, or by other strokes; "held out" has the others.

    A table has a row for each caption, with the path of its image, from the table's own folder, or
    a whole path. An image may have several captions. Here it is split by images: one in five is
    for "test", the same ones each time. Images are read as by `load_images`.

    Args:
        name: "letters", "digits", "two digits", a table (.csv, .tsv, .jsonl, .parquet), or
            "hub:owner/name".
        split: of drawn ones "train", "test" or "held out"; of a table "train", "test" or "all"; of
            the Hub, any split that it has.
        size: side in pixels that images are brought to; None leaves them as they are.
        image: the column with the path, or on the Hub with the image.
        caption: the column with the caption.
        tokenizer: what makes ids of captions. None takes whole words, those of the split "train".
        length: tokens of a caption at most, [CLS] and [SEP] included; what is cut is told.
        further: texts whose words are to be known besides, such as prompts; nothing is learned
            of a word that no training caption has.
        unknown: whether captions may have words that the tokenizer does not know, as [UNK].
        seed: of drawn ones, which are drawn, and which combinations are held out.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag; None takes the newest.
        dialect: how a table is written, as far as it does not say it itself.

    Raises:
        ValueError: for an unknown name, split or column, a missing or unreadable image, an image
            that is listed twice with one caption, or a caption without a word or with an unknown
            one.
        FileNotFoundError: if there is no such table.
        ConnectionError: if the Hub cannot be reached.
    """
    name = str(name)
    if tokenizer is not None and len(further):
        raise ValueError("further is for the tokenizer of whole words: leave it out with another")
    square = None if size is None or name in DRAWN else Square(size)

    def pairs(split: str) -> Pairs:
        if name in DRAWN:
            require_files(dialect, name)
            return DRAWN[name](split, seed)
        if seed:
            raise ValueError(f"seed is for what is drawn, and {name!r} is not: leave it out")
        if name.startswith("hub:"):
            require_files(dialect, name)
            repository = name.removeprefix("hub:")
            table = hub_table(repository, split, config, revision, instead="letters")
            return table_pairs(table, repository, image, caption, square)
        return file_pairs(name, split, image, caption, square, dialect)

    wanted = pairs(split)
    if tokenizer is None:
        training = wanted if split == "train" else pairs("train")
        tokenizer = word_tokenizer([*training.captions, *further])
    dataset = CaptionedImages(
        wanted.images(), wanted.captions, tokenizer, length, unknown=unknown,
        name=Path(name).stem if kind_of(Path(name)) in TABLES else name.removeprefix("hub:"),
        about=wanted.about, columns=wanted.columns, names=wanted.names)
    return resize(dataset, size) if size is not None and square is None else dataset


def file_pairs(name: str, split: str, image: str, caption: str, square: Square | None,
               dialect: Dialect) -> Pairs:
    """The images and captions that a table of one's own lists, some images held out."""
    if kind_of(Path(name)) not in TABLES:
        raise unknown_name(name)
    check_split(split, SPLITS)
    files, captions, places = listed(find_files(name), image, caption, dialect)
    check_captions(captions, places)
    different = {path: number for number, path in enumerate(dict.fromkeys(files))}
    ids = split_ids(None, len(different), split).tolist()
    if not ids:
        raise ValueError(f"{name} lists {len(different)} images, and none is for the split "
                         f"{split!r}: list two or more")
    row_of = {number: row for row, number in enumerate(ids)}
    rows = [i for i, path in enumerate(files) if different[path] in row_of]
    at = [row_of[different[files[i]]] for i in rows]
    return Pairs([captions[i] for i in rows],
                 lambda: pictures_in(list(different), square).read(ids)[at],
                 about=f"files listed in {name}")


def listed(tables: Sequence[Path], image: str, caption: str,
           dialect: Dialect) -> tuple[list[Path], list[str], list[str]]:
    """The images, captions and places of all rows of tables.

    Raises:
        ValueError: for a row without an image that is there, or that repeats another.
    """
    files, captions, places, first = [], [], [], {}
    for table in tables:
        for number, row in read_rows(table, (image, caption), dialect):
            place = f"{table}:{number}"
            said, text = (cell(row, column, str(table), number) for column in (image, caption))
            path = table.parent / said
            if not path.is_file():
                gap = f"there is no file {path}" if said else f"the column {image!r} is empty"
                raise ValueError(f"{place} lists no image: {gap}")
            pair = path.resolve(), " ".join(text.casefold().split())
            if pair in first:
                raise ValueError(f"{place} lists {said} with the caption of {first[pair]} again, "
                                 f"{text!r}: remove one of the two")
            first[pair] = place
            files.append(path.resolve())
            captions.append(text)
            places.append(place)
    return files, captions, places


def table_pairs(table, repository: str, image: str, caption: str,
                square: Square | None = None) -> Pairs:
    """The images and captions of a `datasets.Dataset`."""
    from datasets import Image

    for column in (image, caption):
        if column not in table.features:
            raise missing_column(repr(repository), column, table.features)
    if not isinstance(table.features[image], Image):
        raise ValueError(f"the column {image!r} of {repository!r} holds no images, but "
                         f"{table.features[image]}")
    if not len(table):
        raise ValueError(f"{repository!r} has no image in this split")
    rows = enumerate(table[caption])
    captions = [cell({caption: text}, caption, repository, number) for number, text in rows]
    check_captions(captions, [f"sample {i} of {repository!r}" for i in range(len(captions))])
    return Pairs(captions, lambda: pictures_of(table, image, square).read(range(len(table))),
                 about=about_hub(table, repository))


def unknown_name(name: str) -> ValueError:
    """What is said of a name that is neither drawn nor a table."""
    if Path(name).is_dir():
        return ValueError(f"{name} is a folder: name the table in it that lists images and "
                          f"captions, such as {(Path(name) / 'captions.csv').as_posix()!r}")
    near = get_close_matches(name.lower(), DRAWN, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    known = ", ".join(map(repr, DRAWN))
    return ValueError(f"unknown captioned images {name!r}: {guess}Known are {known}, "
                      f"'hub:owner/name' and tables that end in {', '.join(TABLES)}")
