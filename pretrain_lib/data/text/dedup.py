"""Removing duplicates, exact and near, from a text.

Near-duplicates are found by MinHash (Broder, "On the resemblance and containment of documents",
1997) with locality-sensitive hashing, as Lee et al. ("Deduplicating training data makes language
models better", ACL 2022) do before they train a language model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from .document import Corpus, Document
from .quality import WORD, words_fingerprint

BLOCK = 4096  # shingles hashed at a time, so that a long document needs no more memory


@dataclass(frozen=True)
class Duplicate:
    """A document that was removed.

    Attributes:
        source: the document.
        of: the earlier document that it repeats.
        kind: "exact" where the words are the same, else "near".
        similarity: estimated Jaccard similarity of the two sets of shingles; 1 for "exact".
    """

    source: str
    of: str
    kind: str
    similarity: float


def deduplicate(
    corpus: Corpus, threshold: float = 0.8, shingle: int = 5, permutations: int = 128
) -> tuple[Corpus, list[Duplicate]]:
    """Leaves out documents that repeat an earlier one, exactly or nearly.

    Two documents are near-duplicates when their sets of shingles (runs of words, whatever their
    case) overlap: |A ∩ B| / |A ∪ B| ≥ threshold. MinHash estimates this with a standard error of
    at most 1 / (2 √permutations), so that pairs close to the threshold may fall on either side.

    The corpus is read once, a document at a time; about 8 bytes a permutation are kept of each.

    Args:
        corpus: what to deduplicate.
        threshold: similarity from which a document is a duplicate, above 0 and at most 1.
        shingle: words in a shingle, at least 1.
        permutations: hash functions of MinHash, at least 2.

    Returns:
        the documents that remain, and what was removed.

    Raises:
        ValueError: for an argument out of its range.
    """
    from datasketch import MinHashLSH

    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    if shingle < 1 or permutations < 2:
        raise ValueError(
            "shingle must be at least 1 and permutations at least 2, "
            f"got {shingle} and {permutations}"
        )
    index = MinHashLSH(threshold=threshold, num_perm=permutations)
    first_with, sources, signatures = {}, {}, {}
    removed, positions = [], set()
    for position, document in enumerate(corpus):
        fingerprint = words_fingerprint(document.text)
        if fingerprint in first_with:
            duplicate = Duplicate(document.source, first_with[fingerprint], "exact", 1.0)
        else:
            signature = signature_of(document.text, shingle, permutations)
            duplicate = None
            candidates = [(signature.jaccard(signatures[c]), -c) for c in index.query(signature)]
            similarity, candidate = max(candidates, default=(0.0, 0))
            if similarity >= threshold:
                duplicate = Duplicate(document.source, sources[-candidate], "near", similarity)
        if duplicate:
            removed.append(duplicate)
            positions.add(position)
        else:
            first_with[fingerprint] = sources[position] = document.source
            signatures[position] = signature
            index.insert(position, signature)
    return Corpus(corpus.name, partial(_without, corpus, positions), corpus.about), removed


def near_repeats_of(texts: Iterable[tuple[int, str]], others: Iterable[tuple[int, str]],
                    threshold: float, shingle: int = 5, permutations: int = 128) -> set[int]:
    """Which of the others nearly repeat one of the texts.

    Args:
        texts: numbered texts; 8 bytes a permutation are kept of each.
        others: numbered texts, read one at a time.
        threshold: similarity from which a text is a repeat, as for `deduplicate`.
        shingle: words in a shingle.
        permutations: hash functions of MinHash.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=permutations)
    signatures = {i: signature_of(text, shingle, permutations) for i, text in texts}
    for i, signature in signatures.items():
        index.insert(i, signature)

    def repeats(text: str) -> bool:
        signature = signature_of(text, shingle, permutations)
        return any(signature.jaccard(signatures[i]) >= threshold for i in index.query(signature))

    return {i for i, text in others if repeats(text)}


def _without(corpus: Corpus, positions: set[int]) -> Iterator[Document]:
    for position, document in enumerate(corpus):
        if position not in positions:
            yield document


def shingles_of(text: str, size: int) -> set[str]:
    """All runs of `size` words; a shorter text is a single shingle."""
    words = WORD.findall(text.casefold())
    return {" ".join(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))}


def signature_of(text: str, shingle: int, permutations: int):
    """The MinHash of a text: for each hash function, its smallest value over the shingles."""
    from datasketch import LeanMinHash, MinHash

    signature = MinHash(num_perm=permutations)
    encoded = [text.encode() for text in shingles_of(text, shingle)]
    for start in range(0, len(encoded), BLOCK):
        signature.update_batch(encoded[start : start + BLOCK])
    return LeanMinHash(signature)
