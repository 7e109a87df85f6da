"""Wrong answers to the exercises of chapter 04, each with a word that its message must hold."""

import math

from pretrain_lib.course.exercises.ch04 import (
    BYTE_SUSPECTS,
    LEARNERS,
    by_ids,
    byte_decode,
    bytes_of,
    count_pairs,
    gpt2_pattern,
    learn_bpe,
    merge_pair,
    latest_first,
    leftmost_first,
    longest_match,
    one_merge,
)


def overlapping(symbols, pair, new):
    starts = [i for i in range(len(symbols) - 1) if tuple(symbols[i : i + 2]) == pair]
    ends = [i + 1 for i in starts]
    return [
        new if i in starts else symbol
        for i, symbol in enumerate(symbols)
        if i in starts or i not in ends
    ]


def again_and_again(symbols, pair, new):
    joined = " ".join(map(str, symbols))
    old = " ".join(map(str, pair))
    while old in joined:
        joined = joined.replace(old, str(new))
    return [int(s) if isinstance(pair[0], int) else s for s in joined.split()]


def first_only(symbols, pair, new):
    for i in range(len(symbols) - 1):
        if tuple(symbols[i : i + 2]) == pair:
            return [*symbols[:i], new, *symbols[i + 2 :]]
    return list(symbols)


def not_the_last(symbols, pair, new):
    merged, i = [], 0
    while i < len(symbols):
        found = i + 2 < len(symbols) and tuple(symbols[i : i + 2]) == pair
        merged.append(new if found else symbols[i])
        i += 2 if found else 1
    return merged


def loses_the_last(symbols, pair, new):
    merged, i = [], 0
    while i + 1 < len(symbols):
        found = tuple(symbols[i : i + 2]) == pair
        merged.append(new if found else symbols[i])
        i += 2 if found else 1
    return merged


def in_place(symbols, pair, new):
    i = 0
    while i + 1 < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            symbols[i : i + 2] = [new]
        i += 1
    return symbols


def joins_itself(symbols, pair, new):
    merged, i = [], 0
    while i < len(symbols):
        found = i + 1 < len(symbols) and tuple(symbols[i : i + 2]) == pair
        merged.append(pair[0] + pair[1] if found else symbols[i])
        i += 2 if found else 1
    return merged


def shortest(word, vocab):
    tokens, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        ends = range(start + 1, len(word) + 1)
        end = next((end for end in ends if mark + word[start:end] in vocab), None)
        if end is None:
            return ["[UNK]"]
        tokens.append(mark + word[start:end])
        start = end
    return tokens


def longest(word, vocab, mark="##", partial=False, skip=False):
    tokens, start = [], 0
    while start < len(word):
        prefix = mark if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in vocab), None)
        if end is None and skip:
            start += 1
            continue
        if end is None:
            return [*tokens, "[UNK]"] if partial else ["[UNK]"]
        tokens.append(prefix + word[start:end])
        start = end
    return tokens


def no_mark(word, vocab):
    return longest(word, vocab, mark="")


def unknown_at_the_end(word, vocab):
    return longest(word, vocab, partial=True)


def skips_unknown(word, vocab):
    return longest(word, vocab, skip=True)


def a_string(word, vocab):
    return " ".join(longest(word, vocab))


def xlogx(n):
    return n * math.log(n) if n else 0.0


def gain(n, a, b, total):
    after = xlogx(n) + xlogx(a - n) + xlogx(b - n) - xlogx(total - n)
    return after - xlogx(a) - xlogx(b) + xlogx(total)


def crashes_at_zero(n, a, b, total):
    terms = sum(k * math.log(k) for k in (n, a - n, b - n))
    return terms - xlogx(total - n) - xlogx(a) - xlogx(b) + xlogx(total)


def crashes_without_pairs(words, alphabet, size):
    tokens, merges = list(alphabet), []
    while len(tokens) < size:
        merges.append(by_ids(count_pairs(words), tokens))
        tokens.append("".join(merges[-1]))
        words = {tuple(merge_pair(symbols, merges[-1], tokens[-1])): n for symbols, n in words.items()}
    return tokens, merges


def counts_once(words, alphabet, size):
    pairs, tokens, merges = count_pairs(words), list(alphabet), []
    while pairs and len(tokens) < size:
        merges.append(by_ids(pairs, tokens))
        tokens.append("".join(merges[-1]))
        del pairs[merges[-1]]
    return tokens, merges


def changes_the_words(words, alphabet, size):
    learned = learn_bpe(words, alphabet, size)
    words.clear()
    return learned


def each_alone(ids, merges):
    return "".join(bytes_of(merges)[id].decode("utf-8", errors="replace") for id in ids)


def as_characters(ids, merges):
    return "".join(chr(byte) for id in ids for byte in bytes_of(merges)[id])


WRONG = {
    "04.1": [
        (overlapping, "overlap"),
        (again_and_again, "merged twice"),
        (first_only, "every occurrence"),
        (not_the_last, "last position"),
        (loses_the_last, "not part of the pair"),
        (in_place, "build a new one"),
        (joins_itself, "new symbol that you are given"),
        (
            lambda symbols, pair, new: " ".join(symbols).replace(" ".join(pair), new).split(),
            "is one symbol",
        ),
        (lambda symbols, pair, new: "".join(map(str, symbols)), "return a list"),
    ],
    "04.2": [
        (leftmost_first, "leftmost"),
        (latest_first, "smallest rank"),
        (longest_match, "WordPiece"),
        (one_merge, "one merge"),
        (lambda symbols, ranks: "".join(symbols), "return a list"),
        (lambda symbols, ranks: sorted(leftmost_first(symbols, ranks)), "join to the word"),
    ],
    "04.3": [
        (shortest, "longest piece first"),
        (no_mark, "looked up with ##"),
        (unknown_at_the_end, "whole word"),
        (skips_unknown, "nothing matches"),
        (a_string, "return a list"),
    ],
    "04.4": [
        (lambda n, a, b, total: -gain(n, a, b, total), "sign"),
        (lambda n, a, b, total: gain(n, a, b, total) / math.log(2), "bits"),
        (lambda n, a, b, total: n / (a * b), "ratio"),
        (lambda n, a, b, total: math.log(n * total / (a * b)), "one occurrence"),
        (lambda n, a, b, total: n * math.log(n * total / (a * b)), "rarer, too"),
        (lambda n, a, b, total: n, "BPE"),
        (
            lambda n, a, b, total: gain(n, a, b, total) + xlogx(total - n) - xlogx(total),
            "total shrinks",
        ),
        (crashes_at_zero, "0 · log 0"),
    ],
    "04.5": [
        ({"A": "case", "B": "twice", "C": "script", "D": "another vocabulary"}, "special tokens"),
        ({"A": "twice", "B": "script", "C": "another vocabulary", "D": "case"}, "capital"),
        ({"A": "twice", "B": "case", "C": "script", "D": "another vocabulary"}, "ids mean"),
        ({"A": "twice", "B": "case", "C": "another vocabulary", "D": "lower case"}, "none of"),
        (["twice", "case", "another vocabulary", "script"], "dictionary"),
    ],
    "04.6": [
        ({"a", "c", "d", "e", "f"}, "unlike"),
        ({"a", "b", "d", "e", "f"}, "leaks"),
        ({"a", "d", "e"}, "luck"),
        ({"a", "e", "f"}, "asked alike"),
        ({"a", "d", "e", "f", "h"}, "differ in"),
        (7, "letters"),
    ],
    "04.7": [
        *((lambda words, alphabet, size, how=how: learn_bpe(words, alphabet, size, **how), hint[:40]) for hint, how in LEARNERS.items()),
        (crashes_without_pairs, "no pair is left"),
        (counts_once, "count again"),
        (changes_the_words, "changes the words"),
        (lambda words, alphabet, size: learn_bpe(words, alphabet, size)[1], "two things"),
        (lambda words, alphabet, size: learn_bpe(words, alphabet, size + len(alphabet)), "alphabet included"),
    ],
    "04.8": [
        *((wrong, hint[:40]) for hint, wrong in BYTE_SUSPECTS.items()),
        (lambda text, merges: gpt2_pattern().findall(text), "is cut into"),
    ],
    "04.9": [
        (each_alone, "on its own"),
        (as_characters, "a byte is no character"),
        (lambda ids, merges: b"".join(bytes_of(merges)[id] for id in ids), "decode them"),
        (lambda ids, merges: b"".join(bytes_of(merges)[id] for id in ids).decode("utf-8"), "half a character"),
        (lambda ids, merges: byte_decode(ids, merges).strip(), "give"),
    ],
}
