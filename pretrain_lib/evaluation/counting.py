"""Counting: what a predictor knows that only counts words, alone or beside their neighbours.

These are the baselines of every curve: a network above them has learned nothing that counting does
not know. They answer to the same call as the networks, with log-probabilities for logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.text.tokenizer import SpecialIds

ROWS = 256  # predictions at a time: keeps the memory of a call near that of its result
HELD_IN = 10  # every tenth document fixes the weight of the neighbours
BLANKS = 2000  # … by this many of its blanks
WEIGHTS = torch.arange(0.5, 1.21, 0.05)


def token_arrays(documents) -> Iterator[np.ndarray]:
    """The documents as int64 vectors, whether they come as a token data set or as arrays."""
    if hasattr(documents, "num_documents"):
        documents = map(documents.document, range(documents.num_documents))
    for tokens in documents:
        yield np.asarray(tokens).astype(np.int64)


def token_counts(documents, vocab_size: int) -> Tensor:
    """How often each token occurs.

    Args:
        documents: a `TokenDataset`, or vectors of token ids.
        vocab_size: V, the number of tokens in the vocabulary.

    Returns:
        (V,) int64.

    Raises:
        ValueError: if a token id lies outside the vocabulary, or there is no token.
    """
    if getattr(documents, "vocab_size", None) == vocab_size and documents.tokens:
        return torch.from_numpy(documents.counts).clone()
    counts = np.zeros(vocab_size, dtype=np.int64)
    for tokens in token_arrays(documents):
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab_size:
            raise ValueError(f"token ids must lie between 0 and {vocab_size - 1}, the vocabulary's "
                             f"last, got {tokens.min()} to {tokens.max()}")
        counts += np.bincount(tokens, minlength=vocab_size)
    if not counts.any():
        raise ValueError("the documents hold no token: there is nothing to count")
    return torch.from_numpy(counts)


def number_of_slots(input_ids: Tensor, positions: Tensor | None) -> int:
    return (input_ids if positions is None else positions).shape[1]


def ids_at(values: Tensor, positions: Tensor | None) -> Tensor:
    """Of values (B, T) those at positions (B, S), or all where no positions are given."""
    return values if positions is None else values.gather(1, positions)


class Unigram(nn.Module):
    """Predicts each token as often as it was counted, whatever stands around it.

    One is added to every count, so that no probability is 0 (Laplace).

    Args:
        counts: (V,) how often each token was seen.

    Raises:
        ValueError: if the counts are no vector, one is negative, or all are 0.
    """

    def __init__(self, counts: Tensor):
        super().__init__()
        counts = torch.as_tensor(counts)
        if counts.ndim != 1 or not counts.sum() > 0 or counts.min() < 0:
            raise ValueError("counts must be a vector of counts that are not all 0, "
                             f"got shape {tuple(counts.shape)} with sum {counts.sum()}")
        smoothed = counts.double() + 1
        self.register_buffer("log_probabilities", (smoothed / smoothed.sum()).log().float())

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None,
                position_ids=None, positions: Tensor | None = None) -> Tensor:
        """Log-probabilities (B, S, V) at the positions (B, S), or everywhere."""
        slots = number_of_slots(input_ids, positions)
        return self.log_probabilities.expand(len(input_ids), slots, -1)


class Association(nn.Module):
    """How much more probable a neighbour makes each word: log P(w | neighbour) / (λ P(w)).

    P(w | n) = (c(n, w) − D) / c(n) + λ(n) P(w), with a discount D taken from every count that is
    not 0, and λ(n) such that it sums to 1: interpolated absolute discounting (Ney, Essen and
    Kneser, 1994). D = n₁ / (n₁ + 2 n₂), from the numbers of pairs seen once and twice, is what
    leaving one out yields, as an upper bound; one is added to both, as either may be 0. (Where both
    are, D = 1/3 is a convention, not an estimate.) It takes occurrences for independent, which
    copies are not: n₁ and n₂ count a pair once for all copies of a document, and where k copies
    make a pair k times as frequent, k D are taken. The association is 0 for a pair that was never
    seen, so only those that were are kept, row by row.

    Args:
        neighbour: (E,) one member of each pair that was seen.
        word: (E,) the other; the pairs are sorted by neighbour.
        count: (E,) how often.
        distinct: (E,) how often without the copies of documents.
        unigram: (V,) P(w).
    """

    def __init__(self, neighbour: np.ndarray, word: np.ndarray, count: np.ndarray,
                 distinct: np.ndarray, unigram: np.ndarray):
        super().__init__()
        vocab_size = len(unigram)
        once, twice = (distinct == 1).sum() + 1, (distinct == 2).sum() + 1
        self.discount = float(once / (once + 2 * twice))
        copies = count / distinct  # (E,)
        row_length = np.bincount(neighbour, minlength=vocab_size + 1)  # row V is empty: no evidence
        total = np.bincount(neighbour, count, minlength=vocab_size)  # c(n)
        taken = self.discount * np.bincount(neighbour, copies, minlength=vocab_size)
        left_over = (taken / np.maximum(total, 1))[neighbour]  # λ(n), (E,)
        seen = (count - self.discount * copies) / total[neighbour]  # (E,)
        value = np.log1p(seen / (left_over * unigram[word]))
        self.register_buffer("value", torch.from_numpy(value).float())
        self.register_buffer("word", torch.from_numpy(word))
        self.register_buffer("end", torch.from_numpy(row_length.cumsum()))
        self.register_buffer("length", torch.from_numpy(row_length))

    def add_to(self, logits: Tensor, neighbour: Tensor, weight: Tensor) -> None:
        """Adds weight (N,) times the rows of the neighbours (N,) to logits (N, V), in place."""
        length = self.length[neighbour]
        row = torch.arange(len(neighbour), device=logits.device).repeat_interleave(length)  # (M,)
        shift = self.end[neighbour] - length.cumsum(0)  # from numbers in M to numbers in E
        pair = torch.arange(len(row), device=logits.device) + shift[row]  # (M,)
        logits.view(-1).index_add_(0, row * logits.shape[1] + self.word[pair],
                                   self.value[pair] * weight[row])


class TwoSidedBigram(nn.Module):
    """Predicts a token from its two neighbours, by counts of pairs.

    If the neighbours l and r were independent given the word w between them, P(w | l, r) would be
    proportional to P(w | l) P(w | r) / P(w). They are not, and what both say counts twice. So

        log P(w | l, r) = log P(w) + a [A(l, w) + A(r, w)] + constant,

    where A is the `counting.Association` of a pair in that order, and a is the weight that predicts
    best in every tenth document after counting in the others; then all documents are counted. With
    one neighbour a = 1, which is P(w | l) or P(w | r); with none it is the unigram. A neighbour
    gives no evidence where it is [PAD], [CLS], [SEP] or [MASK], or belongs to another piece of the
    block.
    What stands at the position itself is not looked at: for that, see `counting.WithOwnToken`.

    Args:
        documents: a `TokenDataset`, or vectors of token ids, without special tokens.
        vocab_size: V, the number of tokens in the vocabulary.
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK].
        weight: a, if it is to be given and not fitted.
        distinct: the documents without their copies, if there are copies. The weight and the
            discount are then estimated on these; otherwise copies pass for new evidence.

    Raises:
        ValueError: for token ids outside the vocabulary, no token at all, no weight where there
            are not the two documents needed to fit one, or distinct documents that lack a pair.
    """

    def __init__(self, documents, vocab_size: int, special: SpecialIds,
                 weight: float | None = None, distinct=None):
        super().__init__()
        documents = list(token_arrays(documents))
        distinct = documents if distinct is None else list(token_arrays(distinct))
        if weight is None:
            weight = self._fitted_weight(distinct, vocab_size, special)
        self.weight = weight
        self.unigram = Unigram(token_counts(documents, vocab_size))
        left, right, count = pair_counts(documents, vocab_size)
        *pairs, once = pair_counts(distinct, vocab_size)
        if not np.array_equal(pairs, [left, right]):
            raise ValueError("distinct must hold each document once: its pairs of neighbours are "
                             "not those of the documents")
        probability = self.unigram.log_probabilities.double().exp().numpy()
        self.after = Association(left, right, count, once, probability)  # of l, what follows it
        order = np.lexsort((left, right))
        self.before = Association(right[order], left[order], count[order], once[order], probability)
        silent = torch.tensor([special.pad, special.cls, special.sep, special.mask])
        self.register_buffer("silent", silent)

    @staticmethod
    def _fitted_weight(documents: list[np.ndarray], vocab_size: int, special: SpecialIds) -> float:
        held_in, others = documents[::HELD_IN], [d for i, d in enumerate(documents) if i % HELD_IN]
        if not any(map(len, others)):
            raise ValueError(f"the neighbours' weight is fitted on some of the documents after "
                             f"counting in others, got {len(documents)}: give more, or weight=0.9")
        triples = [np.lib.stride_tricks.sliding_window_view(d, 3) for d in held_in if len(d) >= 3]
        if not triples:
            return 1.0
        triples = np.concatenate(triples)
        triples = torch.from_numpy(triples[:: math.ceil(len(triples) / BLANKS)].copy())
        counted = TwoSidedBigram(others, vocab_size, special, weight=1.0)
        losses = sum(counted.losses_by_weight(*chunk.T) for chunk in triples.split(ROWS))
        return WEIGHTS[losses.argmin()].item()

    def losses_by_weight(self, left: Tensor, word: Tensor, right: Tensor) -> Tensor:
        """Summed loss of the words (N,) between left and right (N,), for each of `WEIGHTS`."""
        prior = self.unigram.log_probabilities
        evidence = prior.new_zeros(len(word), len(prior))  # (N, V)
        self.after.add_to(evidence, left, torch.ones(len(word)))
        self.before.add_to(evidence, right, torch.ones(len(word)))
        return torch.stack([F.cross_entropy(prior + a * evidence, word, reduction="sum")
                            for a in WEIGHTS])

    def neighbours(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The tokens before and after each one, (B, T) each; V where there is no evidence."""
        nothing = len(self.unigram.log_probabilities)
        heard = input_ids.masked_fill(torch.isin(input_ids, self.silent), nothing)
        left = F.pad(heard[:, :-1], (1, 0), value=nothing)
        right = F.pad(heard[:, 1:], (0, 1), value=nothing)
        if attention_mask is not None:
            border = attention_mask[:, 1:] != attention_mask[:, :-1]
            left[:, 1:].masked_fill_(border, nothing)
            right[:, :-1].masked_fill_(border, nothing)
        return left, right

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids=None,
                position_ids=None, positions: Tensor | None = None) -> Tensor:
        """Log-probabilities (B, S, V) at the positions (B, S), or everywhere."""
        prior = self.unigram.log_probabilities
        left, right = (ids_at(side, positions).flatten()
                       for side in self.neighbours(input_ids, attention_mask))
        both = (left < len(prior)) & (right < len(prior))
        weight = torch.where(both, self.weight, 1.0)
        logits = prior.repeat(len(left), 1)  # (B * S, V)
        for rows in torch.arange(len(left), device=prior.device).split(ROWS):
            chunk = logits[rows[0]:rows[-1] + 1]
            self.after.add_to(chunk, left[rows], weight[rows])
            self.before.add_to(chunk, right[rows], weight[rows])
            chunk -= chunk.logsumexp(dim=1, keepdim=True)
        return logits.unflatten(0, (len(input_ids), -1))


def pair_counts(documents: Iterable[np.ndarray], vocab_size: int) -> tuple[np.ndarray, ...]:
    """The pairs of neighbours within documents: left (E,), right (E,) and count (E,), sorted."""
    pairs = [tokens[:-1] * vocab_size + tokens[1:] for tokens in documents if len(tokens)]
    pair, count = np.unique(np.concatenate(pairs), return_counts=True)
    return pair // vocab_size, pair % vocab_size, count


def own_evidence(logits: Tensor, seen: Tensor, mask: int,
                 replace: tuple[float, float, float]) -> Tensor:
    """Adds to log-probabilities what the token seen at the blank itself says.

    A chosen token w becomes [MASK], one of all V tokens at random, or stays, in the shares m, r, k
    of `replace`. So seeing v, not [MASK], has probability r/V + k [v = w], and seeing [MASK] has
    the same for every w, which says nothing. Nor does a token that no chosen one could show.

    Args:
        logits: (B, S, V) log-probabilities given the rest of the text, up to a constant.
        seen: (B, S) the token at each position.
        mask: id of [MASK].
        replace: m, r and k.

    Returns:
        (B, S, V) log-probabilities, up to a constant.
    """
    _, random, kept = replace
    if not kept:
        return logits
    noise = random / logits.shape[-1]
    is_seen = F.one_hot(seen, logits.shape[-1]).bool() & (seen != mask)[..., None]
    if noise:
        return torch.where(is_seen, logits + math.log1p(kept / noise), logits)
    return torch.where(is_seen.any(-1, keepdim=True) & ~is_seen, -math.inf, logits)


class WithOwnToken(nn.Module):
    """Lets a predictor that looks only around a blank also look at what stands in it.

    Under BERT's 80/10/10 a network sees the chosen token itself a tenth of the time, and can know
    it. Counts must be allowed the same, or the comparison is not fair.

    Args:
        model: a predictor that ignores the token at the position it predicts.
        mask: id of [MASK].
        replace: shares of the chosen tokens that become [MASK], become random, and stay.
    """

    def __init__(self, model: nn.Module, mask: int,
                 replace: tuple[float, float, float] = (0.8, 0.1, 0.1)):
        super().__init__()
        self.model = model
        self.mask = mask
        self.replace = replace

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids=None,
                position_ids=None, positions: Tensor | None = None) -> Tensor:
        """Log-probabilities (B, S, V) at the positions (B, S), or everywhere."""
        logits = self.model(input_ids, attention_mask, token_type_ids, position_ids, positions)
        seen = ids_at(input_ids, positions)
        return own_evidence(logits.log_softmax(-1), seen, self.mask, self.replace).log_softmax(-1)
