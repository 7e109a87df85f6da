"""Files of vectors, and what is kept with them: which model made them, how, and of which texts.

A .npy holds an array (N, D) and nothing else, so the rest lies in a .json beside it, and the texts
stay in the file that they are in. A .parquet has all of it in one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..data.tables.dialect import Dialect
from ..files import new_file, sha256_of, write_text
from .parts import Numbered, in_parts, texts_of

KINDS = (".npy", ".parquet")
BLOCK = 8192  # vectors that are read at once
METADATA = b"pretrain_lib"  # what a .parquet calls it


@dataclass(frozen=True)
class Made:
    """How vectors were made, and of what.

    Attributes:
        model: a folder, or a name of the zoo.
        weights: SHA-256 of its files of weights.
        pooling: what stands for a text, "mean" or "cls".
        length: tokens of a text that were read.
        prompt: what was put before each text.
        data: the file of texts.
        data_sha256: of that file.
        text: the column that holds the text.
        table: how the file is written, as far as it was said.
        count: number of vectors, N, one for each row of the file.
        size: numbers in a vector, D.
    """

    model: str
    weights: list[str]
    pooling: str
    length: int
    prompt: str
    data: str
    data_sha256: str
    text: str
    table: dict
    count: int
    size: int

    def texts(self) -> Iterator[Numbered]:
        """The number of each row, and its text."""
        return texts_of(Path(self.data), self.text, Dialect(**self.table))


def write_vectors(output: Path, made: Made, parts: list[Path]) -> None:
    """Puts the parts together in one file, the .json of a .npy first.

    Raises:
        OSError: if it cannot be written; then there is no such file.
    """
    if output.suffix.lower() == ".npy":
        write_text(beside(output), json.dumps(asdict(made), ensure_ascii=False, indent=1) + "\n")
    with new_file(output) as place:
        {".npy": write_npy, ".parquet": write_parquet}[output.suffix.lower()](place, made, parts)


def beside(vectors: Path) -> Path:
    """The .json of a .npy."""
    return vectors.with_name(f"{vectors.name}.json")


def write_npy(place: Path, made: Made, parts: list[Path]) -> None:
    with place.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False,
                                                    "shape": (made.count, made.size)})
        for part in parts:
            with np.load(part) as arrays:
                file.write(arrays["vectors"].astype("<f4").tobytes())


def write_parquet(place: Path, made: Made, parts: list[Path]) -> None:
    """Writes the columns row, text and vector, which is null where a text has no word."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([("row", pyarrow.int64()), ("text", pyarrow.string()),
                             ("vector", pyarrow.list_(pyarrow.float32()))],
                            {METADATA: json.dumps(asdict(made)).encode()})
    with parquet.ParquetWriter(place, schema) as writer:
        for part, rows in zip(parts, in_parts(made.texts()), strict=True):
            with np.load(part) as arrays:
                vectors = [vector if vector.any() else None for vector in arrays["vectors"]]
            numbers, texts = zip(*rows, strict=True)
            writer.write_table(pyarrow.table([numbers, texts, vectors], schema=schema))


# ------------------------------------------------------------------------------------------- in


def open_vectors(path: str | Path) -> NpyVectors | ParquetVectors:
    """Vectors in a file, which stay there until they are asked for.

    Raises:
        FileNotFoundError: if the file is not there, or, of a .npy, what it was made with or of.
        ValueError: if it holds something else, or, of a .npy, its texts are no longer the same.
    """
    path = Path(path)
    if path.suffix.lower() not in KINDS or not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r} that ends in "
                                f"{' or '.join(KINDS)}: `embed` makes one")
    return {".npy": NpyVectors, ".parquet": ParquetVectors}[path.suffix.lower()](path)


class NpyVectors:
    """A .npy, the .json beside it, and the file of its texts.

    Attributes:
        made: how the vectors were made, and of what.
    """

    def __init__(self, path: Path):
        self.path = path
        if not beside(path).is_file():
            raise FileNotFoundError(f"there is no file {str(beside(path))!r}, which says what "
                                    f"{path} holds: keep the two together")
        self.made = made_from(beside(path).read_bytes(), path)
        self.require_same_shape()
        self.require_same_texts()

    def require_same_shape(self) -> None:
        said = (self.made.count, self.made.size)
        try:
            shape = self.array().shape
        except (ValueError, EOFError) as error:
            raise ValueError(f"{self.path} is no .npy file: {error}") from None
        if shape != said:
            raise ValueError(f"{self.path} has the shape {shape}, and {beside(self.path)} says "
                             f"{said}: `embed` the texts again")

    def require_same_texts(self) -> None:
        data = Path(self.made.data)
        if not data.is_file():
            raise FileNotFoundError(f"there is no file {str(data)!r}, which has the texts of "
                                    f"{self.path}: bring it back, or `embed` into a .parquet, "
                                    "which holds them too")
        if sha256_of(data) != self.made.data_sha256:
            raise ValueError(f"{data} has changed since {self.path} was made of it: `embed` it "
                             "again")

    def array(self) -> np.ndarray:
        """The vectors (N, D), left on the disk."""
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def blocks(self) -> Iterator[np.ndarray]:
        """The vectors in order, (n, D) at a time; zeros where a text has no word."""
        for start in range(0, self.made.count, BLOCK):
            yield self.array()[start:start + BLOCK]

    def texts(self) -> Iterator[Numbered]:
        """The number of each row, and its text."""
        return self.made.texts()


class ParquetVectors:
    """A .parquet, which has everything within it.

    Attributes:
        made: how the vectors were made, and of what.
    """

    def __init__(self, path: Path):
        from pyarrow import ArrowException, parquet

        self.path = path
        try:
            metadata = parquet.read_schema(path).metadata or {}
        except (ArrowException, OSError) as error:
            raise ValueError(f"{path} cannot be read as Parquet: {error}") from None
        self.made = made_from(metadata.get(METADATA, b""), path)

    def blocks(self) -> Iterator[np.ndarray]:
        """The vectors in order, (n, D) at a time; zeros where a text has no word."""
        nothing = [0.0] * self.made.size
        for batch in self.batches("vector"):
            yield np.array([row["vector"] or nothing for row in batch], np.float32)

    def texts(self) -> Iterator[Numbered]:
        """The number of each row, and its text."""
        return ((row["row"], row["text"]) for batch in self.batches("row", "text") for row in batch)

    def batches(self, *columns: str) -> Iterator[list[dict]]:
        from pyarrow import parquet

        with parquet.ParquetFile(self.path) as file:
            yield from (batch.to_pylist() for batch in file.iter_batches(BLOCK, columns=columns))


def made_from(said: bytes, path: Path) -> Made:
    """What is kept with the vectors of a file.

    Raises:
        ValueError: if it is something else.
    """
    try:
        return Made(**json.loads(said))
    except (ValueError, TypeError):
        raise ValueError(f"{path} does not say what its vectors are of: `embed` makes files that "
                         "do") from None
