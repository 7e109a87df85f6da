"""Exercises of chapter 04: tokenization."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...data.text.tokenizer import CLS, CONTINUATION, SEP, SPECIAL_TOKENS, UNK
from . import Exercise, Mistake, grade_letters


def as_list(value, what: str) -> list:
    """The answer as a list of symbols."""
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise Mistake(f"return a list of {what}, not {type(value).__name__}")
    return list(value)


# 04.1


def merge_pair(symbols: Sequence, pair: tuple, new) -> list:
    """The symbols with every occurrence of the pair replaced, from left to right."""
    merged, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


MERGE_CASES = [
    (["l", "o", "w", "e", "r"], ("l", "o"), "lo"),
    (["e", "s", "t"], ("s", "t"), "st"),
    (["b", "a", "n", "a", "n", "a"], ("a", "n"), "an"),
    (["a", "a", "a"], ("a", "a"), "aa"),
    (["a", "a", "a", "a"], ("a", "a"), "aa"),
    (["a", "bc", "a", "b"], ("a", "b"), "ab"),
    (["t", "##h", "##e"], ("t", "##h"), "th"),
    (["t"], ("t", "h"), "th"),
    ([], ("t", "h"), "th"),
    ([5, 7, 9, 5, 7], (5, 7), 11),
]


def grade_merge_pair(answer) -> str:
    for symbols, pair, new in MERGE_CASES:
        given = list(symbols)
        ours = as_list(answer(given, pair, new), "symbols")
        if given != symbols:
            raise Mistake("your function changes the list it was given: build a new one")
        if ours != merge_pair(symbols, pair, new):
            raise Mistake(merge_hint(ours, symbols, pair, new))
    return f"{len(MERGE_CASES)} cases, with overlaps, ends, empty words, and ids for strings"


def merge_hint(ours: list, symbols: list, pair: tuple, new) -> str:
    """What is likely wrong with a merge."""
    right, at = merge_pair(symbols, pair, new), f"merging {pair} in {symbols}"
    if ours.count(new) > right.count(new):
        return f"{at}: occurrences overlap. A symbol can be merged once, so go on after the pair"
    if any(set(str(symbol)) == {"a"} and len(symbol) > len(new) for symbol in ours if new == "aa"):
        return f"{at} gives {right}, yours {ours}: in one pass nothing is merged twice"
    if symbols == ["a", "bc", "a", "b"] and ours != ["a", "bc", "a", "b"]:
        return f"{at}: 'bc' is one symbol, its b is not on its own. Compare symbols, not text"
    if symbols[0:1] == ["t"] and "##h" in pair and ours == ["t##h", "##e"]:
        return "put in the new symbol that you are given: WordPiece doesn't simply join the two"
    if ours.count(new) == 1 and right.count(new) > 1:
        return f"{at}: every occurrence is merged, not only the first"
    if ours == symbols:
        return f"{at} changes nothing in yours: look at the last position, too"
    if ours[: len(right)] == right or len(ours) < len(right):
        return f"{at} gives {right}, yours {ours}: keep all that is not part of the pair"
    return f"{at} gives {right}, yours {ours}"


# 04.2


def bpe_encode(symbols: Sequence[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """A word's tokens: always merge the pair that was learned earliest, until none is left."""
    symbols = list(symbols)
    while True:
        known = [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]
        if not known:
            return symbols
        best = min(known, key=ranks.__getitem__)
        symbols = merge_pair(symbols, best, "".join(best))


def leftmost_first(symbols: Sequence[str], ranks: dict) -> list[str]:
    symbols = list(symbols)
    while True:
        known = [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]
        if not known:
            return symbols
        symbols = merge_pair(symbols, known[0], "".join(known[0]))


def latest_first(symbols: Sequence[str], ranks: dict) -> list[str]:
    return bpe_encode(symbols, {pair: -rank for pair, rank in ranks.items()})


def longest_match(symbols: Sequence[str], ranks: dict) -> list[str]:
    word, vocab, tokens = "".join(symbols), {"".join(pair) for pair in ranks} | set(symbols), []
    while word:
        end = next(end for end in range(len(word), 0, -1) if word[:end] in vocab)
        tokens.append(word[:end])
        word = word[end:]
    return tokens


def one_merge(symbols: Sequence[str], ranks: dict) -> list[str]:
    known = [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]
    best = min(known, key=ranks.__getitem__) if known else None
    return merge_pair(symbols, best, "".join(best)) if known else list(symbols)


MERGES = "c-d b-c a-bc a-b ab-cd t-h th-e r-e e-r he-r i-n in-g e-d"
RANKS = {tuple(merge.split("-")): rank for rank, merge in enumerate(MERGES.split())}
WORDS = "abcd abc bcab there ther her theringed inging xyz q erre cdcd".split()
SUSPECTS: dict[Callable, str] = {
    leftmost_first: "you merge the leftmost known pair: merge the one that was learned earliest, "
    "wherever it stands",
    latest_first: "you merge the pair that was learned last; the smallest rank goes first",
    longest_match: "that is the longest token first, WordPiece's way. BPE replays its merges in "
    "the order in which they were learned",
    one_merge: "you stop after one merge: go on until no neighbouring pair is known",
}


def grade_bpe_encode(answer) -> str:
    ranks = dict(RANKS)
    ours = {word: as_list(answer(list(word), ranks), "tokens") for word in WORDS}
    if ranks != RANKS:
        raise Mistake("your function changes the ranks it was given: the next word needs them, too")
    if ours == {word: bpe_encode(word, RANKS) for word in WORDS}:
        return f"{len(WORDS)} words are cut as the order of the merges demands"
    for suspect, hint in SUSPECTS.items():
        if ours == {word: suspect(word, RANKS) for word in WORDS}:
            raise Mistake(hint)
    lost = [word for word in WORDS if "".join(ours[word]) != word]
    if lost:
        raise Mistake(f"tokens should join to the word again: {lost[0]!r} gives {ours[lost[0]]}")
    word = next(word for word in WORDS if ours[word] != bpe_encode(word, RANKS))
    raise Mistake(
        f"{word!r} is {bpe_encode(word, RANKS)}, yours {ours[word]}: in each round look at all "
        "neighbouring pairs, and take the one of smallest rank"
    )


# 04.3


def wordpiece(word: str, vocab) -> list[str]:
    """The longest known piece first, again and again; one [UNK] if the word cannot be finished."""
    tokens, start = [], 0
    while start < len(word):
        mark = CONTINUATION if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if mark + word[start:end] in vocab), None)
        if end is None:
            return [UNK]
        tokens.append(mark + word[start:end])
        start = end
    return tokens


PIECES = {
    *(UNK, "un", "play", "p", "able", "a", "b", "the", "th", "ing", "q", "##aff", "##able"),
    *("##affable", "##ing", "##in", "##i", "##n", "##g", "##l", "##a", "##y", "##e", "##r", "##er"),
}
WHOLE = "unaffable playing able the ther a ing aing theing".split()
UNKNOWN = "playz zebra quz bz".split()


def greedy(word: str, vocab, mark: str = CONTINUATION, longest: bool = True) -> list[str]:
    """WordPiece, wrong in either of two ways: another mark inside a word, or the shortest piece."""
    tokens, start = [], 0
    while start < len(word):
        ends = range(start + 1, len(word) + 1)
        known = [end for end in ends if (mark if start else "") + word[start:end] in vocab]
        if not known:
            return [UNK]
        end = known[-1 if longest else 0]
        tokens.append((mark if start else "") + word[start:end])
        start = end
    return tokens


def grade_wordpiece(answer) -> str:
    words = WHOLE + UNKNOWN
    ours = {word: as_list(answer(word, set(PIECES)), "tokens") for word in words}
    right = {word: wordpiece(word, PIECES) for word in words}
    if ours == right:
        return f"{len(WHOLE)} words in pieces, {len(UNKNOWN)} unknown as a whole"
    if ours == {word: greedy(word, PIECES, longest=False) for word in words}:
        raise Mistake("you take the shortest piece that fits: try the longest piece first")
    if ours == {word: greedy(word, PIECES, mark="") for word in words}:
        raise Mistake(f"inside a word a piece is looked up with {CONTINUATION} before it")
    for word in UNKNOWN:
        if ours[word] != [UNK]:
            raise Mistake(
                f"{word!r} has a part that nothing matches: then the *whole word* is one {UNK}, "
                f"yours is {ours[word]}"
            )
    word = next(word for word in words if ours[word] != right[word])
    raise Mistake(
        f"{word!r} is {right[word]}, yours {ours[word]}: start at the left, take the longest piece "
        f"there, and put {CONTINUATION} before every piece but the first"
    )


# 04.4


def likelihood_gain(both: int, a: int, b: int, total: int) -> float:
    """How much merging a pair raises the log-likelihood of a unigram model, in nats."""
    after = xlogx(both) + xlogx(a - both) + xlogx(b - both) - xlogx(total - both)
    return after - (xlogx(a) + xlogx(b) - xlogx(total))


def xlogx(count: float) -> float:
    return count * math.log(count) if count else 0.0


def grade_gain(answer) -> str:
    rest = [(5, 9, 700, 5000), (1, 300, 400, 2000), (7, 30, 7, 90), (6, 6, 6, 100)]
    cases = [(40, 100, 60, 1000), *rest]
    for case in cases:
        both, a, b, total = case
        try:
            ours = float(answer(*case))
        except (ValueError, ZeroDivisionError):
            ours = math.nan
        if math.isnan(ours) and 0 in (a - both, b - both):
            raise Mistake("where every a stands in the pair, a − n is 0: 0 · log 0 counts as 0")
        right = likelihood_gain(*case)
        if math.isclose(ours, right, rel_tol=1e-9, abs_tol=1e-9):
            continue
        for hint, wrong in gain_suspects(*case).items():
            if math.isclose(ours, wrong, rel_tol=1e-9, abs_tol=1e-12):
                raise Mistake(hint)
        raise Mistake(
            f"for n = {both}, a = {a}, b = {b} and N = {total} the gain is {right:.4f} nats, yours "
            f"{ours:.4f}: write Σ count · log(count / total) once before and once after the merge"
        )
    return f"equals a recount of the text, in {len(cases)} cases"


def gain_suspects(both: int, a: int, b: int, total: int) -> dict[str, float]:
    """What likely mistakes give, by the hint for each."""
    right, surprise = likelihood_gain(both, a, b, total), math.log(both * total / (a * b))
    same_total = right + xlogx(total - both) - xlogx(total)
    return {
        "that is before minus after: the sign is reversed": -right,
        "that is in bits: use the natural logarithm": right / math.log(2),
        "that is the ratio n / (a · b): how surprising the pair is, not what merging it gains": both
        / (a * b),
        "that is the logarithm of the ratio: roughly the gain of *one occurrence*": surprise,
        "that is n times the logarithm of the ratio: a and b become rarer, too": both * surprise,
        "that is the count, BPE's score": both,
        "the total shrinks, too: two symbols became one in n places": same_total,
        "a and b lose the n occurrences that were merged": xlogx(both)
        - xlogx(total - both)
        + xlogx(total),
    }


# 04.5

CAUSES = ("case", "script", "twice", "another vocabulary")
RIGHT_REPORTS = {"A": "twice", "B": "case", "C": "another vocabulary", "D": "script"}
EVIDENCE = {
    "A": "in A no word is unknown, and every word is right. Count the special tokens",
    "B": "in B the words that begin with a capital letter are unknown, and only those",
    "C": "in C nothing is unknown, and what arrives is made of good words, but not of those that "
    "were sent: the ids mean something else to the one who reads them",
    "D": "in D every word is unknown, whatever its case: none of its letters is in the vocabulary",
}


def reports() -> dict[str, list[str]]:
    """Of four broken set-ups: a sentence, and what the model is given of it, for exercise 04.5."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocab = [*SPECIAL_TOKENS, *"the congress met in washington today and rested .".split()]

    def tokenizer(lowercase: bool = True, words: list[str] = vocab) -> Tokenizer:
        ids = {word: id for id, word in enumerate(words)}
        made = Tokenizer(models.WordPiece(ids, unk_token=UNK))
        made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.add_special_tokens(list(SPECIAL_TOKENS))
        made.post_processor = processors.BertProcessing((SEP, ids[SEP]), (CLS, ids[CLS]))
        return made

    english, greek = "The Congress met in Washington today.", "Το Κογκρέσο συνεδρίασε σήμερα."
    shuffled = [*SPECIAL_TOKENS, *sorted(vocab[len(SPECIAL_TOKENS) :])]
    good, reader = tokenizer(), tokenizer(words=shuffled)
    seen = {
        "A": (english, good.encode(f"{CLS} {english} {SEP}").tokens),
        "B": (english, tokenizer(lowercase=False).encode(english).tokens),
        "C": (english, [reader.id_to_token(id) for id in good.encode(english).ids]),
        "D": (greek, good.encode(greek).tokens),
    }
    return {name: [text, " ".join(tokens)] for name, (text, tokens) in seen.items()}


def grade_reports(answer) -> str:
    if not isinstance(answer, dict) or set(answer) != set(RIGHT_REPORTS):
        raise Mistake('a dictionary is wanted, {"A": "…", "B": "…", "C": "…", "D": "…"}')
    unknown = [cause for cause in answer.values() if cause not in CAUSES]
    if unknown:
        raise Mistake(f"{unknown[0]!r} is none of {', '.join(CAUSES)}")
    for name, right in RIGHT_REPORTS.items():
        if answer[name] != right:
            raise Mistake(f"{name} is not {answer[name]!r}. Look again: {EVIDENCE[name]}")
    return "all four named: " + "; ".join(" ".join(item) for item in RIGHT_REPORTS.items())


# 04.6

CHOICES = {
    "a": "learn each vocabulary from the training speeches only",
    "b": "learn each vocabulary from all speeches: no label is used, so nothing can leak",
    "c": "compare the loss per predicted token",
    "d": "compare on a task that does not depend on the tokens, such as naming a sentence's era",
    "e": "give every model the same text, and report what compute each took",
    "f": "repeat everything over several splits of the speeches, vocabularies included",
    "g": "choose the vocabulary size by the score on the test speeches",
    "h": "leave out sentences with unknown words, so that all are tested on what they know",
}
NEEDED = {
    "a": "(a) is needed: the held-out speeches must be new to the vocabulary as well",
    "d": "(d) is needed: compare two tokenizers on something that both are asked alike",
    "e": "(e) is needed: with more tokens the same text is shorter, and each step costs more",
    "f": "(f) is needed: which names the held-out speeches contain is luck",
}
HARMFUL = {
    "b": "(b) leaks: words of the test speeches get tokens of their own, as no new text would",
    "c": "(c) compares unlike things: a token of a large vocabulary covers more text",
    "g": "(g) tunes on the test speeches: choose on a part of the training speeches",
    "h": "(h) leaves out just what the vocabularies differ in",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL,
                             "new speeches for vocabulary and model, one yardstick, the same text, and several splits")


EXERCISES = [
    Exercise("04.1", "merge a pair of symbols", 1, 10, merge_pair, grade_merge_pair),
    Exercise("04.2", "replay the merges on a new word", 2, 15, bpe_encode, grade_bpe_encode),
    Exercise("04.3", "the longest piece first", 2, 15, wordpiece, grade_wordpiece),
    Exercise("04.4", "what a merge does to the likelihood", 3, 20, likelihood_gain, grade_gain),
    Exercise("04.5", "four broken set-ups", 2, 10, RIGHT_REPORTS, grade_reports),
    Exercise("04.6", "compare two vocabularies fairly", 2, 10, {"a", "d", "e", "f"}, grade_design),
]
