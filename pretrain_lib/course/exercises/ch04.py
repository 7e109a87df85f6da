"""Exercises of chapter 04: tokenization."""

from __future__ import annotations

import json
import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random

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


# 04.7

Words = dict[tuple[str, ...], int]
Learned = tuple[list[str], list[tuple[str, str]]]


def count_pairs(words: Words) -> Counter:
    pairs = Counter()
    for symbols, n in words.items():
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
    return pairs


def by_ids(pairs: Counter, tokens: list[str]) -> tuple[str, str]:
    """The most frequent pair; of equal ones that of the smaller ids, first symbols first."""
    id_of = {token: id for id, token in enumerate(tokens)}
    return min(pairs, key=lambda pair: (-pairs[pair], id_of[pair[0]], id_of[pair[1]]))


def learn_bpe(words: Words, alphabet: Sequence[str], size: int, first: Callable = by_ids, weighed: bool = True) -> Learned:
    """The tokens, the alphabet first, and the merges in the order learned.

    Args:
        words: tuples of symbols, and how often each word occurs.
        alphabet: the first tokens.
        size: tokens at which it stops, if there are pairs enough.
        first: the pair to merge, given counts and tokens; other rules are likely mistakes.
        weighed: whether a word counts as often as it occurs.
    """
    tokens, merges = list(alphabet), []
    while len(tokens) < size:
        pairs = count_pairs(words if weighed else dict.fromkeys(words, 1))
        if not pairs:
            break
        merges.append(first(pairs, tokens))
        tokens.append("".join(merges[-1]))
        words = {tuple(merge_pair(symbols, merges[-1], tokens[-1])): n for symbols, n in words.items()}
    return tokens, merges


def tokenizers_bpe(words: Words, size: int) -> Learned:
    """What the trainer of `tokenizers` learns from the same words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = (" ".join(["".join(symbols)] * n) for symbols, n in words.items())
    tokenizer.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    vocab = tokenizer.get_vocab()
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return sorted(vocab, key=vocab.get), [tuple(pair) for pair in merges]


def bpe_cases() -> list[tuple[Words, list[str], int]]:
    """Words, alphabet and size: Sennrich's example, made-up words with many ties, and few words for a large size."""
    tiny = {tuple("low"): 5, tuple("lower"): 2, tuple("newest"): 6, tuple("widest"): 3}
    texts = [(tiny, 16), ({tuple("aaaa"): 3, tuple("aab"): 2, tuple("ba"): 1}, 8), ({tuple("ab"): 2, ("c",): 1}, 50)]
    for seed in range(6):
        random = Random(seed)
        made = ["".join(random.choices("dcbae", k=random.randint(1, 7))) for _ in range(40)]
        texts.append(({tuple(word): random.randint(1, 3) for word in made}, 45))
    return [(words, sorted({c for word in words for c in word}), size) for words, size in texts]


def first_met(pairs: Counter, tokens: list[str]) -> tuple[str, str]:
    return max(pairs, key=pairs.get)


def by_strings(pairs: Counter, tokens: list[str]) -> tuple[str, str]:
    return min(pairs, key=lambda pair: (-pairs[pair], pair))


def by_joined_string(pairs: Counter, tokens: list[str]) -> tuple[str, str]:
    return min(pairs, key=lambda pair: (-pairs[pair], "".join(pair)))


def larger_ids(pairs: Counter, tokens: list[str]) -> tuple[str, str]:
    id_of = {token: id for id, token in enumerate(tokens)}
    return max(pairs, key=lambda pair: (pairs[pair], id_of[pair[0]], id_of[pair[1]]))


LEARNERS: dict[str, dict] = {
    "of equally frequent pairs you take the one that was met first: take the one with the smaller ids": {"first": first_met},
    "you break ties by the alphabet: `ab` sorts before `b`, but its id is larger. Compare ids, the positions in `tokens`":
        {"first": by_strings},
    "you break ties by the joined string: compare the id of the first symbol, then that of the second":
        {"first": by_joined_string},
    "of equally frequent pairs you take the larger ids: the smaller ones win": {"first": larger_ids},
    "you count each word once: a pair counts as often as its words occur": {"weighed": False},
}


def grade_learn_bpe(answer) -> str:
    cases, ours = bpe_cases(), []
    for words, alphabet, size in cases:
        given = dict(words)
        try:
            learned = answer(given, list(alphabet), size)
        except (ValueError, TypeError, IndexError) as error:
            if len(learn_bpe(words, alphabet, size)[0]) == size:
                raise
            raise Mistake(f"where no pair is left, training ends early; yours stops with {type(error).__name__}: "
                          f"{error}") from None
        if not isinstance(learned, list | tuple) or len(learned) != 2:
            raise Mistake("return two things: the list of tokens, and the list of merges")
        if given != words:
            raise Mistake("your function changes the words it was given: make new ones")
        ours.append((as_list(learned[0], "tokens"), [tuple(pair) for pair in as_list(learned[1], "merges")]))
    right = [tokenizers_bpe(words, size) for words, _, size in cases]
    if ours == right:
        return f"{sum(len(merges) for _, merges in right)} merges equal those of `tokenizers`, in {len(cases)} texts full of ties"
    for hint, how in LEARNERS.items():
        if ours == [learn_bpe(*case, **how) for case in cases]:
            raise Mistake(hint)
    raise Mistake(learner_hint(cases, ours, right))


def learner_hint(cases: list, ours: list[Learned], right: list[Learned]) -> str:
    """Where a list of merges first leaves that of `tokenizers`."""
    i = next(i for i, learned in enumerate(ours) if learned != right[i])
    (words, alphabet, size), (tokens, merges), (their_tokens, their_merges) = cases[i], ours[i], right[i]
    at = f"for {dict(list(words.items())[:3])} … and size {size}" if len(words) > 4 else f"for {words} and size {size}"
    if merges == their_merges:
        return f"{at} the merges are right and the tokens are not: first the alphabet, then each new string"
    if merges == their_merges[: len(merges)] or their_merges == merges[: len(their_merges)]:
        return f"{at} {len(their_merges)} merges are learned, yours are {len(merges)}: stop at `size` tokens, alphabet included"
    step = next(n for n, (a, b) in enumerate(zip(merges, their_merges)) if a != b)
    return f"{at} merge {step + 1} is {their_merges[step]}, yours {merges[step]}: count again after every merge"


# 04.8 and 04.9


@lru_cache
def gpt2_pattern() -> re.Pattern:
    """GPT-2's splitting pattern; Python's `re` knows no classes of letters and numbers, so they are spelled out."""
    numerals = "".join(c for c in map(chr, range(sys.maxunicode)) if unicodedata.category(c) in ("Nl", "No"))
    letter, number = rf"[^\W\d_{numerals}]", rf"[\d{numerals}]"
    other = rf"(?:(?!{letter}|{number})\S)"
    return re.compile(rf"'(?:[stmd]|re|ve|ll)| ?{letter}+| ?{number}+| ?{other}+|\s+(?!\S)|\s+")


def byte_encode(text: str, merges: dict[tuple[int, int], int]) -> list[int]:
    """The ids of a text: bytes, of each piece on its own, with the merges replayed."""
    return encoded_pieces(gpt2_pattern().findall(text), merges)


def encoded_pieces(pieces: Sequence[str], merges: dict, rank: Callable | None = None,
                   to_ids: Callable = lambda piece: list(piece.encode("utf-8"))) -> list[int]:
    ids: list[int] = []
    for piece in pieces:
        symbols = to_ids(piece)
        while known := [pair for pair in zip(symbols, symbols[1:]) if pair in merges]:
            best = min(known, key=rank or merges.__getitem__)
            symbols = merge_pair(symbols, best, merges[best])
        ids += symbols
    return ids


def byte_decode(ids: Sequence[int], merges: dict[tuple[int, int], int]) -> str:
    """The text of some ids: all bytes are joined before they are read as UTF-8."""
    return b"".join(bytes_of(merges)[id] for id in ids).decode("utf-8", errors="replace")


def bytes_of(merges: dict[tuple[int, int], int]) -> dict[int, bytes]:
    """The bytes that each id stands for."""
    pieces = {byte: bytes([byte]) for byte in range(256)}
    for (a, b), new in merges.items():
        pieces[new] = pieces[a] + pieces[b]
    return pieces


LEARN_FROM = [
    "It's the people's union, and they'll say that we've kept it; I'd say they're right.",
    "In 1790 the revenue was 4,399,473 dollars.  In 1791 it wasn't.", "Œuvre, café, naïve: 国家的贸易 grows, 国家 too.",
    "the sum of the sums, the revenue of the revenues, the other weather, there and then, rather together than either",
] * 2
ASK = ["It's the people's 'sum' of 'real weather.", " We've said   it twice\n\n  in 1790", "naïve café 国家 🎉👍", "x² + ½y_1 = Ⅷ", "",
       "  ", "don't!!", "heathen revelries therein, thereof, ethereal"]


@lru_cache
def theirs():
    """A byte-level BPE tokenizer of `tokenizers`, and its merges as pairs of our ids, with the new one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(LEARN_FROM, trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False))
    return tokenizer, *our_ids(tokenizer)


def our_ids(tokenizer) -> tuple[dict[tuple[int, int], int], dict[int, int]]:
    """Merges of a byte-level tokenizer, {(id, id): new id}, and our id of each of its ids.

    Our ids are the bytes, 0 to 255, and from 256 on the merges in their order. `tokenizers` writes each byte as a
    character that can be seen, and of some 256 such characters makes its vocabulary.
    """
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    ids = {chr(byte): byte for byte in shown} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
    merges = {}
    for a, b in json.loads(tokenizer.to_str())["model"]["merges"]:
        merges[ids[a], ids[b]] = ids.setdefault(a + b, 256 + len(merges))
    return merges, {id: ids[token] for token, id in tokenizer.get_vocab().items() if token in ids}


BYTE_SUSPECTS: dict[str, Callable] = {
    "you merge across the pieces: split the text by the pattern first, no token reaches across":
        lambda text, merges: encoded_pieces([text], merges),
    "you split at white space, and the spaces are lost: `GPT2.findall(text)` keeps each with the word that follows":
        lambda text, merges: encoded_pieces(text.split(), merges),
    "you split at spaces only: the pattern also parts letters, numbers and other characters":
        lambda text, merges: encoded_pieces(re.findall(r" ?\S+|\s+", text), merges),
    "you begin with code points: begin with the bytes of `piece.encode(\"utf-8\")`":
        lambda text, merges: encoded_pieces(gpt2_pattern().findall(text), merges, to_ids=lambda piece: [ord(c) for c in piece]),
    "you merge the leftmost known pair: merge the one that was learned earliest, whose new id is smallest":
        lambda text, merges: encoded_pieces(gpt2_pattern().findall(text), merges, rank=lambda pair: 0),
    "you return bytes: replay the merges on them":
        lambda text, merges: list(text.encode("utf-8")),
}


def grade_byte_encode(answer) -> str:
    tokenizer, merges, ours_of = theirs()
    right = [[ours_of[id] for id in tokenizer.encode(text).ids] for text in ASK]
    ours = [as_list(answer(text, dict(merges)), "ids") for text in ASK]
    if ours == right:
        return f"{len(ASK)} texts, with emoji, numerals and double spaces, have the ids of `tokenizers`"
    for hint, wrong in BYTE_SUSPECTS.items():
        if ours == [wrong(text, merges) for text in ASK]:
            raise Mistake(hint)
    text, theirs_, yours = next((t, r, o) for t, r, o in zip(ASK, right, ours) if r != o)
    pieces = bytes_of(merges)
    cut = [[pieces.get(id, id) for id in ids] for ids in (theirs_, yours)]
    raise Mistake(f"{text!r} is cut into {cut[0]}, yours into {cut[1]}")


def grade_byte_decode(answer) -> str:
    tokenizer, merges, ours_of = theirs()
    for text in ASK:
        ids = [ours_of[id] for id in tokenizer.encode(text).ids]
        try:
            ours = answer(list(ids), dict(merges))
        except UnicodeDecodeError:
            raise Mistake("one id may be a part of a character: join the bytes of all ids, then decode once") from None
        if isinstance(ours, bytes):
            raise Mistake("these are the bytes: decode them as UTF-8")
        if ours == "".join(bytes_of(merges)[id].decode("utf-8", errors="replace") for id in ids) != text:
            raise Mistake("you decode each id on its own, but one id may be a part of a character: join the bytes of all first")
        if ours == "".join(chr(byte) for id in ids for byte in bytes_of(merges)[id]) != text:
            raise Mistake("a byte is no character: `chr` is right for ASCII only. Join the bytes, and decode them as UTF-8")
        if ours == " ".join(bytes_of(merges)[id].decode("utf-8", errors="replace") for id in ids) != text:
            raise Mistake("spaces are among the bytes: join with nothing between")
        if ours != text:
            raise Mistake(f"the ids of {text!r} give {ours!r} in yours")
    cut = list("国".encode())[:2]
    try:
        answer(cut, {})
    except UnicodeDecodeError:
        raise Mistake("a model may answer with half a character: decode with errors=\"replace\", so that it shows as �") from None
    return f"{len(ASK)} texts come back, and half a character raises no error"


EXERCISES = [
    Exercise("04.1", "merge a pair of symbols", 1, 10, merge_pair, grade_merge_pair),
    Exercise("04.2", "replay the merges on a new word", 2, 15, bpe_encode, grade_bpe_encode),
    Exercise("04.3", "the longest piece first", 2, 15, wordpiece, grade_wordpiece),
    Exercise("04.4", "what a merge does to the likelihood", 3, 20, likelihood_gain, grade_gain),
    Exercise("04.5", "four broken set-ups", 2, 10, RIGHT_REPORTS, grade_reports),
    Exercise("04.6", "compare two vocabularies fairly", 2, 10, {"a", "d", "e", "f"}, grade_design),
    Exercise("04.7", "learn BPE, ties included", 3, 35, learn_bpe, grade_learn_bpe),
    Exercise("04.8", "encode bytes", 3, 25, byte_encode, grade_byte_encode),
    Exercise("04.9", "decode bytes", 2, 10, byte_decode, grade_byte_decode),
]
