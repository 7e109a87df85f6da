"""The command `embed`: a file of texts in, a vector for each row out, in order."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..data.tables.dialect import Dialect
from ..files import sha256_of
from ..models.embedder import Pooling
from ..pretrained import find, weight_files
from ..validation import require, require_at_least
from .embedder import Embedder, told_cut_off
from .parts import kept_parts, require_room_and_file
from .usage import with_two_words
from .vector_file import KINDS, Made, write_vectors

USAGE = """\
usage: python -m pretrain_lib embed MODEL FILE --output vectors.npy

MODEL: an encoder of texts: a zoo name, a run's folder, or a folder, also of sentence-transformers
FILE: a .csv, .tsv, .jsonl or .parquet with a column of texts, or a .txt with a text a line

python -m pretrain_lib embed --help tells the options"""


@dataclass(frozen=True)
class EmbedConfig:
    """Which texts become vectors, and how.

    Attributes:
        model: an encoder of texts: a folder, a run's folder, or a zoo name.
        data: a .csv, .tsv, .jsonl or .parquet, also as .gz, or a .txt with a text a line.
        output: a .npy, which holds the vectors alone, with a .json beside it that says what they
            are, or a .parquet with the columns row, text and vector.
        text: the column that holds the text; one within another is "answer.text".
        pooling: what stands for a text, the mean of its tokens or the first one; left out, what the
            model's folder says, and the mean where it says nothing.
        length: tokens of a text that are read; the rest is cut off. 0 reads as many as the model's
            folder says: set it to what a model was trained with where that was less.
        batch_size: texts in one forward pass.
        table: how a table is written, where it cannot be guessed.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    model: str
    data: str
    output: str = ""
    text: str = "text"
    pooling: Pooling | None = None
    length: int = 0
    batch_size: int = 64
    table: Dialect = Dialect()

    def __post_init__(self):
        require_at_least(self, 1, "batch_size")
        require(Path(self.output).suffix.lower() in KINDS, "output", self.output,
                f"a file to be made that ends in {' or '.join(KINDS)}")


def carry_out(config: EmbedConfig) -> dict[str, int]:
    """Makes a vector of length 1 of each row of a file, zeros where a row has no text.

    Where the model's folder says what to put before a document, that is put before each text.

    Returns:
        How many rows there were, how many of them have no text, and of how many the end was cut
        off; and how many numbers a vector has.

    Raises:
        FileNotFoundError: if there is no such model or file.
        FileExistsError: if the output is there already.
        ValueError: if the model makes no vectors of texts, the file cannot be read or changes
            meanwhile, or parts of other vectors stand where these are to go.
    """
    output = Path(config.output)
    require_room_and_file(output, config.data)
    embedder = Embedder.of(config.model, config.pooling, config.length)
    made = made_by(embedder, config)

    def write(place: Path, rows: tuple) -> None:
        vectors, cut_off = embedder([text for _, text in rows], "document", config.batch_size)
        np.savez(place, vectors=vectors.numpy(), cut_off=cut_off.numpy())

    folder = output.with_name(f"{output.name}.parts")
    parts = kept_parts(folder, asdict(made), made.texts(), ".npz", write)
    counts = counted(parts)
    if not parts or sha256_of(Path(config.data)) != made.data_sha256:
        shutil.rmtree(folder)
        raise ValueError(f"{config.data} holds no row" if not parts else
                         f"{config.data} was changed while it was read: start again")
    write_vectors(output, Made(**asdict(made) | {"count": counts["rows"]}), parts)
    shutil.rmtree(folder)
    return counts | {"size": made.size}


def made_by(embedder: Embedder, config: EmbedConfig) -> Made:
    """What is to be kept with the vectors; how many there are is not known yet."""
    model = Path(config.model)
    return Made(
        model=str(model.resolve()) if model.exists() else config.model,
        weights=[sha256_of(file) for file in weight_files(find(config.model))],
        pooling=embedder.pooling, length=embedder.length, prompt=embedder.prompt("document"),
        data=str(Path(config.data).resolve()), data_sha256=sha256_of(Path(config.data)),
        text=config.text, table=asdict(config.table), count=0, size=embedder.model.feature_size)


def counted(parts: list[Path]) -> dict[str, int]:
    """How many rows there are, how many without text, and how many were cut off."""
    counts = {"rows": 0, "without text": 0, "cut off": 0}
    for part in parts:
        with np.load(part) as arrays:
            counts["rows"] += len(arrays["vectors"])
            counts["without text"] += int((~arrays["vectors"].any(1)).sum())
            counts["cut off"] += int(arrays["cut_off"].sum())
    return counts


def embed(words: list[str]) -> None:
    """Makes a vector of each row of a file, for `search` and for other programs."""
    import tyro

    words = with_two_words(words, USAGE, ("MODEL", "FILE"))
    config = tyro.cli(EmbedConfig, args=words[2:], prog="python -m pretrain_lib embed MODEL FILE",
                      default=EmbedConfig(*words[:2], "vectors.npy"),
                      config=(tyro.conf.OmitArgPrefixes,),
                      description="Makes a vector of length 1 of each row of a file, in order: "
                                  "their products are cosines. Interrupted, it goes on where it "
                                  "stopped.")
    print(told(carry_out(config), config.output))


def told(counts: dict[str, int], output: str) -> str:
    """What became of the rows, for people."""
    lines = [f"{counts['rows']} vectors of {counts['size']} numbers in {output}"]
    if counts["without text"]:
        lines.append(f"rows without text: {counts['without text']}, which keep their place with no "
                     "vector (zeros, or null in a .parquet)")
    if counts["cut off"]:
        lines.append(told_cut_off(counts["cut off"]))
    return "\n".join(lines)
