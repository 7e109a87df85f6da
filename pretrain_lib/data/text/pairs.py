"""Sentence pairs: two runs of sentences, and whether the second truly follows the first.

Next-sentence prediction (Devlin et al., NAACL 2019, section 3.1) shows a continuation in half of
the pairs and a run from another document in the others; sentence-order prediction (Lan et al.,
ALBERT, ICLR 2020, section 3.1) shows the two parts of a continuation in either order.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
import torch

from ..keys import Keys
from ..source import Samples
from .token_dataset import TokenDataset, starts
from .tokenizer import SpecialIds

AROUND = 3  # [CLS] and two [SEP]
DRAWS = 4  # tries at a negative that does not happen to begin with the very words that follow
TASKS = ("nsp", "order")


@dataclass(frozen=True)
class Run:
    """Sentences in a row, as tokens of a document: from `start`, up to but without `end`."""

    document: int
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class SentencePairs:
    """A source of pairs `[CLS] A [SEP] B [SEP]`.

    Each document is cut into stretches of sentences that fill a block. A key names a stretch and
    draws where A ends. B is the rest of the stretch, or, for next-sentence prediction in half of
    the draws, a run of about that many tokens of another document. That run, like every true B,
    begins behind some sentence: or the openings of documents would give it away. Where a pair is
    too long, the longer run is cut as in BERT, but at the outer end, so that what follows follows.

    Args:
        dataset: the documents.
        length: T, the number of places in a block.
        special: the ids of [CLS], [SEP] and [PAD].
        negatives: the label, such as "era", in which the other document must agree, as the pair
            could be told from its style otherwise; None for any other document.
        task: "nsp" or "order".

    Attributes:
        unused: how many documents are no A, by reason.

    Raises:
        ValueError: if the task is unknown, the length leaves no place for a token on either side,
            a document lacks the label, or no pair can be made.
    """

    def __init__(self, dataset: TokenDataset, length: int, special: SpecialIds,
                 negatives: str | None = "era", task: str = "nsp"):
        if task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
        if length < AROUND + 2:
            raise ValueError(f"length must be at least {AROUND + 2}, a token on either side beside "
                             f"[CLS] and two [SEP], got {length}")
        self.dataset = dataset
        self.length = length
        self.special = special
        self.task = task
        self.first = starts(dataset.sentence_counts)  # each document's first sentence
        self.token = starts(dataset.sentence_lengths)  # each sentence's first token
        usable = dataset.sentence_counts >= 2
        self.unused = {"fewer than two sentences": int((~usable).sum())}
        if task == "nsp":
            self._group(usable, groups_of(dataset, negatives))
            alone = usable & (self.others == 0)
            reason = f"no other document of this {negatives}" if negatives else "no other document"
            self.unused[reason] = int(alone.sum())
            usable &= ~alone
        self.stretches = stretches(np.flatnonzero(usable), self.first, self.token, length - AROUND)
        if not len(self.stretches):
            reasons = ", ".join(f"{n} have {reason}" for reason, n in self.unused.items())
            raise ValueError("no pair can be made: a pair needs a document of two sentences and, "
                             "for next-sentence prediction, another one; of "
                             f"{dataset.num_documents} documents {reasons}")

    def _group(self, usable: np.ndarray, group: np.ndarray) -> None:
        """Lays out the sentences that may open a negative, those of one group in a row."""
        openings = np.where(usable, self.dataset.sentence_counts - 1, 0)  # all but the first
        self.order = np.argsort(group, kind="stable")
        self.rank = np.argsort(self.order, kind="stable")
        self.opening = starts(openings[self.order])  # where those of each document begin
        bounds = starts(np.bincount(group))
        self.group_start = self.opening[bounds[:-1]][group]  # (N,), and where its group's begin
        self.others = self.opening[bounds[1:]][group] - self.group_start - openings

    def __len__(self) -> int:
        return len(self.stretches)

    def take(self, keys: Keys) -> Samples:
        """The pairs that the keys name.

        Returns:
            `input_ids`, `attention_mask` (1 at tokens, 0 at padding) and `token_type_ids` (0 for
            `[CLS] A [SEP]`, 1 for `B [SEP]`), each (B, T) int64; `next_sentence_label` (B,) int64,
            0 where B follows A, as in Hugging Face, and 1 where it does not.
        """
        shape = len(keys), self.length
        input_ids = np.full(shape, self.special.pad, dtype=np.int64)
        attention_mask, token_type_ids = np.zeros((2, *shape), dtype=np.int64)
        labels = np.zeros(len(keys), dtype=np.int64)
        draws = keys.bits("pair", 2 + DRAWS).astype(np.float64) / 2**32  # (B, 2 + DRAWS)
        for row, (sample, u) in enumerate(zip(keys.sample, draws, strict=True)):
            a, b, labels[row] = self.pair(int(sample), u)
            tokens = [self.dataset.document(run.document)[run.start : run.end] for run in (a, b)]
            middle, end = len(a) + 2, len(a) + len(b) + AROUND
            input_ids[row, 0] = self.special.cls
            input_ids[row, 1 : middle - 1] = tokens[0]
            input_ids[row, middle : end - 1] = tokens[1]
            input_ids[row, [middle - 1, end - 1]] = self.special.sep
            attention_mask[row, :end] = 1
            token_type_ids[row, middle:end] = 1
        columns = {"input_ids": input_ids, "attention_mask": attention_mask,
                   "token_type_ids": token_type_ids, "next_sentence_label": labels}
        return {name: torch.from_numpy(column) for name, column in columns.items()}

    def pair(self, sample: int, u: np.ndarray) -> tuple[Run, Run, int]:
        """A pair and its label.

        Args:
            sample: which stretch.
            u: numbers in [0, 1): where A ends, which label, and the tries at a negative.
        """
        document, first, end = self.stretches[sample].tolist()
        middle = first + 1 + int(u[0] * (end - first - 1))
        a, b = self._run(document, first, middle), self._run(document, middle, end)
        wrong = u[1] < 0.5
        if self.task == "order":
            a, b = cut_outer_ends(a, b, self.length - AROUND)
            return (b, a, 1) if wrong else (a, b, 0)
        other = self._negative(b, u[2:]) if wrong else None
        a, b = cut_outer_ends(a, b if other is None else other, self.length - AROUND)
        return a, b, int(other is not None)

    def _run(self, document: int, first: int, end: int) -> Run:
        """Sentences `first` up to but without `end`, which belong to the document."""
        begin = self.token[self.first[document]]
        return Run(document, int(self.token[first] - begin), int(self.token[end] - begin))

    def _negative(self, true: Run, u: np.ndarray) -> Run | None:
        """A run of another document, about as long as the true one.

        None if every try begins with the very tokens that follow: then nothing else is honest.
        """
        tokens = self.dataset.document(true.document)[true.start : true.end]
        for draw in u:
            opening = int(draw * self.others[true.document]) + self.group_start[true.document]
            rank = self.rank[true.document]
            if opening >= self.opening[rank]:  # pass over the document itself
                opening += self.opening[rank + 1] - self.opening[rank]
            place = int(np.searchsorted(self.opening, opening, side="right")) - 1
            document = int(self.order[place])
            first = self.first[document] + 1 + opening - self.opening[place]
            run = self._fill(document, int(first), len(true))
            found = self.dataset.document(document)[run.start : run.end]
            shorter = min(len(tokens), len(found))
            if not np.array_equal(tokens[:shorter], found[:shorter]):
                return run
        return None

    def _fill(self, document: int, first: int, tokens: int) -> Run:
        """A run of about so many tokens from sentence `first`, or earlier if too few follow."""
        last = self.first[document + 1]
        latest = int(np.searchsorted(self.token, self.token[last] - tokens, side="right")) - 1
        first = max(min(first, latest), int(self.first[document]) + 1)
        wanted = self.token[first] + tokens
        end = int(np.searchsorted(self.token, wanted))  # the first boundary not before it
        if wanted - self.token[end - 1] < self.token[min(end, last)] - wanted:
            end -= 1
        return self._run(document, first, int(min(max(end, first + 1), last)))


def groups_of(dataset: TokenDataset, label: str | None) -> np.ndarray:
    """(N,) int64, equal for documents whose label is.

    Raises:
        ValueError: if a document lacks the label.
    """
    if label is None:
        return np.zeros(dataset.num_documents, dtype=np.int64)
    numbers, groups = {}, array("q")
    for line in dataset.about():
        if label not in line["labels"]:
            known = ", ".join(line["labels"]) or "none"
            raise ValueError(f"document {line['source']!r} has no label {label!r}; its labels are: "
                             f"{known}. Choose one of them for negatives, or None")
        groups.append(numbers.setdefault(line["labels"][label], len(numbers)))
    return np.array(groups, dtype=np.int64)


def stretches(documents: np.ndarray, first: np.ndarray, token: np.ndarray,
              tokens: int) -> np.ndarray:
    """Cuts documents into stretches of at least so many tokens and two sentences.

    What is left at a document's end is a stretch too; a single sentence there joins the one before.

    Args:
        documents: those to cut, each of two sentences or more.
        first: each document's first sentence, and the number of sentences.
        token: each sentence's first token, and the number of tokens.

    Returns:
        (stretches, 3) int64: the document, the first sentence, and the one behind the last.
    """
    found = array("q")
    for document in documents.tolist():
        start, last = int(first[document]), int(first[document + 1])
        while start < last:
            end = max(int(np.searchsorted(token, token[start] + tokens)), start + 2)
            if end >= last - 1:
                end = last
            found.extend((document, start, end))
            start = end
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def cut_outer_ends(a: Run, b: Run, most: int) -> tuple[Run, Run]:
    """Shortens the longer of two runs until both have `most` tokens together.

    As `truncate_seq_pair` of BERT's `create_pretraining_data.py`, which removes tokens one by one,
    at either end; here A loses its first and B its last, so that the two still meet.
    """
    kept = min(len(a), max(most - len(b), (most + 1) // 2))
    return (Run(a.document, a.end - kept, a.end),
            Run(b.document, b.start, b.start + min(len(b), most - kept)))
