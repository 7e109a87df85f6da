"""The command `search`: a question in, the texts whose vectors are nearest to its own out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..data.text.document import has_word
from ..files import sha256_of
from ..pretrained import find, weight_files
from ..transfer.lexical import Terms, bm25_scores
from ..validation import require_at_least
from .embedder import Embedder
from .usage import with_two_words
from .vector_file import Made, NpyVectors, ParquetVectors, open_vectors

LONGEST = 160  # characters of a text that are shown
USAGE = """\
usage: python -m pretrain_lib search VECTORS "how do I open a file?"

VECTORS: what `embed` has made, a .npy with the .json beside it, or a .parquet

python -m pretrain_lib search --help tells the options"""


@dataclass(frozen=True)
class SearchConfig:
    """What is looked for.

    Attributes:
        vectors: what `embed` has made: a .npy with the .json beside it, or a .parquet.
        question: a text; it is embedded by the model that made the vectors.
        top: how many texts are shown.
        bm25: shows besides what BM25 finds, by the words or by the runs of one to three characters
            that texts share with the question: what learned vectors have to beat. Characters are
            for what is written without spaces. It reads all texts into memory.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vectors: str
    question: str
    top: int = 10
    bm25: Terms | None = None

    def __post_init__(self):
        require_at_least(self, 1, "top")


class Hit(NamedTuple):
    """A text that was found.

    Attributes:
        rank: its place, from 1; texts of one score share the first of their places.
        score: its cosine with the question, or its score by BM25.
        row: its row or line in the file of texts.
        text: itself.
        other_rank: its place by the other score; None where that was not asked, or is none.
    """

    rank: int
    score: float
    row: int
    text: str
    other_rank: int | None = None


def hits(config: SearchConfig) -> tuple[list[Hit], list[Hit]]:
    """The texts that are nearest to a question by their cosine, and by BM25 if that is asked.

    Raises:
        FileNotFoundError: if there are no such vectors, or their texts or model are gone.
        ValueError: if texts or model have changed since, or the question has no word.
    """
    vectors = open_vectors(config.vectors)
    cosines = cosines_with(question_vector(config.question, vectors.made), vectors)
    if config.bm25 is None:
        return listed(config.top, vectors, cosines), []
    shared = bm25_of(config.question, [text for _, text in vectors.texts()], config.bm25)
    return (listed(config.top, vectors, cosines, shared),
            listed(config.top, vectors, shared, cosines))


def question_vector(question: str, made: Made) -> np.ndarray:
    """The vector (D,) of a question, by the model that made the vectors."""
    embedder = Embedder.of(made.model, made.pooling, made.length)
    if [sha256_of(file) for file in weight_files(find(made.model))] != made.weights:
        raise ValueError(f"the model {made.model} has changed since it made the vectors: `embed` "
                         "the texts again")
    vector = embedder([question], "query").vectors[0].numpy()
    if not vector.any():
        raise ValueError(f"the question has no word: {question!r}")
    return vector


def cosines_with(question: np.ndarray, vectors: NpyVectors | ParquetVectors) -> np.ndarray:
    """The cosine of each text with the question, (N,); −∞ where a text has no word."""
    found = [np.where(block.any(1), block @ question, -np.inf) for block in vectors.blocks()]
    return np.concatenate(found)


def bm25_of(question: str, texts: Sequence[str], terms: Terms) -> np.ndarray:
    """The BM25 score of each text with the question, (N,); −∞ where nothing is shared.

    Raises:
        ValueError: if the question has no word.
    """
    scores = np.full(len(texts), -np.inf)
    told = [i for i, text in enumerate(texts) if has_word(text)]
    found = bm25_scores([question], [texts[i] for i in told], terms)[0].numpy()
    scores[told] = np.where(found > 0, found, -np.inf)
    return scores


def listed(top: int, vectors: NpyVectors | ParquetVectors, scores: np.ndarray,
           others: np.ndarray | None = None) -> list[Hit]:
    """The texts of the largest scores, the largest first, and in the order of their rows."""
    best = [i for i in np.argsort(-scores, kind="stable")[:top] if scores[i] > -np.inf]
    wanted = set(best)
    texts = {i: numbered for i, numbered in enumerate(vectors.texts()) if i in wanted}

    def hit(i: int) -> Hit:
        row, text = texts[i]
        other = None if others is None else rank_of(i, others)
        return Hit(rank_of(i, scores), float(scores[i]), row, text, other)

    return list(map(hit, best))


def rank_of(i: int, scores: np.ndarray) -> int | None:
    """How many scores are larger than that of i, and one; None where i has none."""
    return int((scores > scores[i]).sum()) + 1 if scores[i] > -np.inf else None


def search(words: list[str]) -> None:
    """Finds the texts of a file that are nearest to a question, by the vectors of `embed`."""
    import tyro

    words = with_two_words(words, USAGE, ("VECTORS", "QUESTION"))
    config = tyro.cli(SearchConfig, args=words[2:], default=SearchConfig(*words[:2]),
                      prog="python -m pretrain_lib search VECTORS QUESTION",
                      description="Finds the texts that are nearest to a question. Where a "
                                  "model's folder says what to put before a question, that is "
                                  "put before it.")
    nearest, sharing = hits(config)
    if config.bm25 is None:
        return print(table(nearest, "cosine"))
    print(table(nearest, "cosine", "BM25"))
    print()
    print(table(sharing, "BM25", "cosine") if sharing else
          "BM25 finds nothing: no text shares a term with the question")


def table(found: list[Hit], score: str, other: str = "") -> str:
    """A line for each text; with the other score, its place by that."""
    head = f"{'rank':>4} {score:>7} " + (f"{f'rank by {other}':>14} " if other else "")
    lines = [f"{head}{'row':>7}  text"]
    for hit in found:
        line = f"{hit.rank:4} {hit.score:7.3f} "
        if other:
            line += f"{hit.other_rank or '–':>14} "
        lines.append(f"{line}{hit.row:7}  {shown(hit.text)}")
    return "\n".join(lines)


def shown(text: str) -> str:
    """The beginning of a text, in one line."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[:LONGEST - 1] + "…"
