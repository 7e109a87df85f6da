"""Exercises of chapter 05: the data pipeline."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations
from numbers import Integral
from random import Random

import numpy as np

from . import Exercise, Mistake

# 05.1


def words_of(text: str) -> list[str]:
    return text.lower().split()


def shingles(text: str, size: int) -> list[tuple[str, ...]]:
    words = words_of(text)
    return [tuple(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))]


def resemblance(a: str, b: str, size: int) -> float:
    """The Jaccard similarity of two texts' sets of shingles."""
    first, second = set(shingles(a, size)), set(shingles(b, size))
    return len(first & second) / len(first | second)


TEXTS = [
    ("the state of the union is strong", "the state of the union is sound", 3),
    ("we the people of the United States", "We The People of the united states", 2),
    ("no no no no yes", "no no yes yes", 2),
    ("peace and commerce with all nations", "with all nations peace and commerce", 2),
    ("to all nations", "to all nations we offer peace and honest friendship", 2),
    ("thank you", "thank you", 5),
    ("thank you", "god bless you", 5),
    ("a b c d e f", "g h i j k l", 2),
]


def overlap_of(first: Sequence, second: Sequence) -> float:
    """Shared over all, as sets."""
    return len(set(first) & set(second)) / len(set(first) | set(second))


def with_repetitions(a: str, b: str, size: int) -> float:
    first, second = Counter(shingles(a, size)), Counter(shingles(b, size))
    return (first & second).total() / (first | second).total()


def containment(a: str, b: str, size: int) -> float:
    first, second = set(shingles(a, size)), set(shingles(b, size))
    return len(first & second) / min(len(first), len(second))


def dice(a: str, b: str, size: int) -> float:
    first, second = set(shingles(a, size)), set(shingles(b, size))
    return 2 * len(first & second) / (len(first) + len(second))


def of_words(a: str, b: str, size: int) -> float:
    return overlap_of(words_of(a), words_of(b))


def of_characters(a: str, b: str, size: int) -> float:
    first, second = (
        [text.lower()[i : i + size] for i in range(max(len(text) - size + 1, 1))] for text in (a, b)
    )
    return overlap_of(first, second)


RESEMBLANCE_SUSPECTS: dict[Callable, str] = {
    with_repetitions: "you count repeated shingles more than once: take *sets* of shingles",
    containment: "you divide by the smaller of the two sets: that asks how much of one text is in "
    "the other (containment). Divide by the size of the union",
    dice: "you divide by the sum of the two sizes, which counts what is shared twice. Divide by "
    "the size of the union",
    of_words: "you compare single words, so the order of words is lost: a shingle is a run of "
    "`size` words",
    of_characters: "your shingles are runs of characters: take runs of words",
}


def grade_resemblance(answer) -> str:
    ours = []
    for a, b, size in TEXTS:
        try:
            ours.append(float(answer(a, b, size)))
        except ZeroDivisionError:
            raise Mistake(
                f"{a!r} has fewer than {size} words, and you find no shingle in it: then the whole "
                "text is one shingle"
            ) from None
    for wrong, hint in RESEMBLANCE_SUSPECTS.items():
        right = [resemblance(*case) for case in TEXTS]
        if ours != right and all(map(math.isclose, ours, [wrong(*case) for case in TEXTS])):
            raise Mistake(hint)
    for case, value in zip(TEXTS, ours, strict=True):
        right = resemblance(*case)
        if math.isclose(value, right, abs_tol=1e-9):
            continue
        if len(words_of(case[0])) < case[2]:
            raise Mistake(f"a text shorter than {case[2]} words is one shingle: itself")
        if case[0].lower() == case[1].lower():
            raise Mistake("case does not count: lower it first")
        raise Mistake(f"for {case[0]!r} and {case[1]!r} it is {right:.3f}, yours {value:.3f}")
    return f"{len(TEXTS)} pairs of texts, with repetitions, other orders, and short ones"


# 05.2

LEAKS = ("sentences", "copies", "year", "none")
RIGHT_LEAKS = {"A": "copies", "B": "sentences", "C": "none", "D": "year"}
LEAK_EVIDENCE = {
    "A": "in A no speech stands on both sides, by name. Yet look at how many test sentences nearly "
    "stand in the training part",
    "B": "in B every speech stands on both sides",
    "C": "in C no speech is on both sides, hardly a test sentence is known, and none tells a year",
    "D": "in D the sides are clean, but the label is the era, and many a test sentence says when",
}
NOUNS = "army navy treaty harvest railway bank tariff court school canal union mint".split()
VERBS = "grew prospered suffered returned improved declined expanded recovered".split()


def toy_speeches(seed: int, number: int = 24, year: bool = False) -> dict[str, list[str]]:
    """Speeches of made-up sentences, by name."""
    random, speeches = Random(seed), {}
    for i in range(number):
        about = random.sample(NOUNS, 3)
        speeches[f"speech-{i}"] = [
            f"in our view the {random.choice(about)} of district {random.choice('abcdefgh')}"
            f"{random.choice('ijklmnop')} {random.choice(VERBS)} "
            + (f"during {1800 + 5 * i}" if year and random.random() < 0.4 else "as was expected")
            for _ in range(12)
        ]
    return speeches


def split_report(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> list[str]:
    """What a look at both sides of a split tells; they hold (name of speech, sentence)."""
    names = {name for name, _ in test}
    both = names & {name for name, _ in train}
    known = {sentence for _, sentence in train}
    copied = sum(sentence in known for _, sentence in test) / len(test)
    dated = sum(bool(re.search(r"\d{4}", sentence)) for _, sentence in test) / len(test)
    return [
        f"speeches with sentences on both sides: {len(both)} of {len(names)}",
        f"test sentences that stand in the training part: {copied:.0%}",
        f"test sentences with a year: {dated:.0%}",
    ]


def splits() -> dict[str, list[str]]:
    """Reports on four splits of made-up speeches, for exercise 05.2."""

    def by_speech(speeches: dict[str, list[str]]) -> list[str]:
        pairs = [(name, sentence) for name, part in speeches.items() for sentence in part]
        held_out = set(sorted(speeches)[::4])
        return split_report(
            [pair for pair in pairs if pair[0] not in held_out],
            [pair for pair in pairs if pair[0] in held_out],
        )

    plain = toy_speeches(1)
    held_out = sorted(plain)[::4]
    reissued = plain | {f"{name}-as-printed": plain[name] for name in held_out[:4]}
    again = {name: part for name, part in reissued.items() if name not in held_out[4:]}
    pairs = [(name, sentence) for name, part in toy_speeches(2).items() for sentence in part]
    Random(0).shuffle(pairs)
    in_test = [pair for pair in again.items() if pair[0] in held_out]
    in_train = [pair for pair in again.items() if pair[0] not in held_out]
    flat = [[(name, s) for name, part in side for s in part] for side in (in_train, in_test)]
    return {
        "A": split_report(*flat),
        "B": split_report(pairs[60:], pairs[:60]),
        "C": by_speech(toy_speeches(3)),
        "D": by_speech(toy_speeches(4, year=True)),
    }


def grade_causes(answer, right: dict, known: Sequence[str], evidence: dict) -> str:
    """Compares a dictionary of causes with the right one."""
    if not isinstance(answer, dict) or set(answer) != set(right):
        raise Mistake('a dictionary is wanted, {"A": "…", "B": "…", "C": "…", "D": "…"}')
    unknown = [cause for cause in answer.values() if cause not in known]
    if unknown:
        raise Mistake(f"{unknown[0]!r} is none of {', '.join(known)}")
    for name, cause in right.items():
        if answer[name] != cause:
            raise Mistake(f"{name} is not {answer[name]!r}. Look again: {evidence[name]}")
    return "all four named: " + "; ".join(" ".join(item) for item in right.items())


def grade_leaks(answer) -> str:
    return grade_causes(answer, RIGHT_LEAKS, LEAKS, LEAK_EVIDENCE)


# 05.3


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Rows of whole texts: the longest first, each into the first row that has room."""
    rows, room = [], []
    for text in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        for row, free in enumerate(room):
            if lengths[text] <= free:
                break
        else:
            row = len(rows)
            rows.append([])
            room.append(size)
        rows[row].append(text)
        room[row] -= lengths[text]
    return rows


def pack_cases() -> list[tuple[list[int], int]]:
    random = Random(0)
    hard = [random.randint(3, 60) for _ in range(80)]
    mixed = [random.choice([10, 20, 34, 66, 80, 98]) for _ in range(60)]
    small, exact = [30, 60, 40, 70], [50, 50, 50, 50, 100]
    return [(small, 100), (exact, 100), ([7], 10), ([], 10), (hard, 64), (mixed, 100)]


def grade_pack(answer) -> str:
    found = []
    for lengths, size in pack_cases():
        given = list(lengths)
        found.append(answer(given, size))
        if given != lengths:
            raise Mistake("your function changes the lengths it was given: sort indices, not them")
        check_rows(found[-1], lengths, size)
    counts = [len(rows) for rows in found]
    if counts == [len(next_fit(*case)) for case in pack_cases()]:
        raise Mistake("you look only at the row you filled last: an earlier one may have room")
    for (lengths, size), rows in zip(pack_cases(), found, strict=True):
        best = len(pack(lengths, size))
        if len(rows) <= best:
            continue
        if len(rows) == len(lengths) and counts[-1] == len(pack_cases()[-1][0]):
            raise Mistake("every text has a row of its own: look for a row with room first")
        raise Mistake(
            f"{len(lengths)} texts take {len(rows)} rows of {size} in yours, and {best} are enough "
            "when the longest texts go first: short ones fit into what they leave"
        )
    return f"{len(pack_cases())} cases: nothing lost, nothing twice, no row too full, few rows"


def next_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    rows, free = [], 0
    for text, length in enumerate(lengths):
        if length > free:
            rows.append([])
            free = size
        rows[-1].append(text)
        free -= length
    return rows


def check_rows(rows, lengths: Sequence[int], size: int) -> None:
    """Refuses rows that are no packing of the texts."""
    at = f"of texts of lengths {lengths} in rows of {size}" if len(lengths) < 8 else ""
    if not isinstance(rows, list) or not all(isinstance(row, list | tuple) for row in rows):
        raise Mistake("return a list of rows, each a list of indices of texts")
    flat = [text for row in rows for text in row]
    if any(not isinstance(text, Integral) or not 0 <= text < len(lengths) for text in flat):
        raise Mistake("the rows hold indices of texts, from 0 on, not their lengths")
    lost, twice = set(range(len(lengths))) - set(flat), len(flat) - len(set(flat))
    if lost:
        raise Mistake(f"{len(lost)} texts are lost {at}: is the last row, too, in your answer?")
    if twice:
        raise Mistake(f"a text stands in two rows {at}: stop once it has found its place")
    if any(not row for row in rows):
        raise Mistake("one of your rows is empty")
    full = max((sum(lengths[text] for text in row) for row in rows), default=0)
    if full > size:
        raise Mistake(f"one of your rows holds {full} tokens, its size is {size}: look at the room")


# 05.4

FAULTS = ("inverted", "one class", "era", "true next")
RIGHT_FAULTS = {"A": "era", "B": "true next", "C": "inverted", "D": "one class"}
FAULT_EVIDENCE = {
    "A": "in A all is as it should be, but that a wrong B is hardly ever of the same era: the era "
    "gives the answer away",
    "B": "in B wrong Bs come from the same speech, and some of them are what truly follows",
    "C": "in C a B with label 0, which stands for 'follows', never follows, and one with label 1 "
    "always does",
    "D": "in D no pair has label 1: what is asked has only one answer",
}
Sentence = tuple[int, int]  # speech, place in it


def pair_makers() -> dict[str, list[str]]:
    """What a count over 2 000 pairs of four broken pair makers shows, for exercise 05.4."""
    speeches, sentences = 30, 8

    def era(speech: int) -> int:
        return speech // 10

    def elsewhere(random: Random, a: Sentence, same_era: bool) -> Sentence:
        others = [s for s in range(speeches) if s != a[0] and (era(s) == era(a[0])) == same_era]
        return random.choice(others), random.randrange(sentences)

    def draw(name: str, random: Random) -> tuple[Sentence, Sentence, int]:
        a = random.randrange(speeches), random.randrange(sentences - 1)
        follows = a[0], a[1] + 1
        wrong = random.random() < 0.5 and name != "D"
        other = elsewhere(random, a, same_era=name != "A")
        if name == "B":
            other = a[0], random.choice([i for i in range(sentences) if i != a[1]])
        label = int(wrong) if name != "C" else int(not wrong)
        return a, other if wrong else follows, label

    return {name: pair_report([draw(name, random) for _ in range(2000)], era)
            for name in RIGHT_FAULTS for random in [Random(ord(name))]}


def pair_report(pairs: list, era: Callable[[int], int]) -> list[str]:
    lines = [f"label 1: {sum(label for *_, label in pairs) / len(pairs):.0%} of the pairs"]
    for wanted in (0, 1):
        own = [(a, b) for a, b, label in pairs if label == wanted]
        if own:
            next_one = sum(b == (a[0], a[1] + 1) for a, b in own) / len(own)
            speech = sum(a[0] == b[0] for a, b in own) / len(own)
            same_era = sum(era(a[0]) == era(b[0]) for a, b in own) / len(own)
            lines.append(f"of those with label {wanted}, B is what follows in {next_one:.0%}, from "
                         f"the same speech in {speech:.0%}, from the same era in {same_era:.0%}")
    return lines


def grade_faults(answer) -> str:
    return grade_causes(answer, RIGHT_FAULTS, FAULTS, FAULT_EVIDENCE)


# 05.5

PROSE = [
    "The commerce of the nation has grown beyond all expectation, and its revenue with it.",
    "It was cold. Nobody spoke. Then, from the far end of the hall, someone began to sing.",
    "An optimiser changes the weights a little at every step, against the gradient.",
    "She asked him twice whether the letter had come; he shook his head both times.",
]
SCRIPTS = {  # letters, what stands between words, and what ends a sentence
    "Latin": ("abcdefghilmnoprstuvw", " ", "."),
    "Cyrillic": ("абвгдежзиклмнопрстуы", " ", "."),
    "Arabic": ("ابتثجحدرسشصعفقكلمنهوي", " ", "؟"),
    "Hindi": ("कखगचजटडतदनपबमरलवसहािीुेो", " ", "।"),
    "Chinese": ("".join(map(chr, range(0x4E00, 0x4E00 + 900))), "", "。"),
    "Thai": ("กขคงจชดตถทนบปพมยรลวสหอาะเแไ", "", " "),  # no mark ends a sentence
}


def made_up(script: str, words: int, seed: int = 0) -> str:
    """A text of made-up words, a few of them frequent and most rare, in sentences and paragraphs."""
    random, (letters, between, end) = Random(seed), SCRIPTS[script]
    longest = 2 if script == "Chinese" else 7
    vocabulary = ["".join(random.choices(letters, k=random.randint(1, longest))) for _ in range(4000)]
    text = random.choices(vocabulary, [1 / rank for rank in range(3, 4003)], k=words)
    sentences = []
    while text:
        size = random.randint(5, 25)
        sentences.append(between.join(text[:size]) + end)
        text = text[size:]
    paragraphs = [between.join(sentences[i : i + 6]) for i in range(0, len(sentences), 6)]
    return "\n\n".join(paragraphs).strip()


def numbers(words: int) -> str:
    random = Random(words)
    return " ".join(f"{random.random() * 10 ** random.randint(0, 5):.{random.randint(0, 3)}f}," for _ in range(words))


@lru_cache
def good_texts() -> dict[str, list[str]]:
    """Texts to keep, of 4 to 20,000 words, by kind."""
    lengths = (30, 300, 3000, 20_000)
    return {
        "prose": PROSE,
        "short": ["Thank you very much.", "Nobody answered his letter today."],
        "other scripts": [
            "国家的贸易增长超出了所有人的预期。", "Сегодня утром шёл дождь, и улицы были пусты.", "सभी मनुष्य जन्म से स्वतन्त्र हैं।",
            "เมื่อเช้านี้ฝนตกและถนนว่างเปล่า เราจึงอยู่บ้านกันทั้งวัน", "متى تغادر العبّارة إلى الجزيرة هذا المساء؟",
            "Die Fähre nach Föhr fährt heute später, weil über der Küste Nebel liegt.",
        ],
        "numbers": [
            "In 1857 the revenue was 68,631,513 dollars, and the debt fell by 3,895,232.",
            "Of 1,274,000 barrels in 1862 about 300,000 went to Liverpool, 200,000 to Havre and 41,000 to Bremen.",
        ],
        "history": [
            "The act of 1807 forbade the importation of slaves, and was often broken.",
            "The removal of the Indian nations was called a benefit by those who gained from it.",
        ],
        "long": [made_up("Latin", words, words) for words in lengths],
        "long, other scripts": [made_up(script, words, words) for script in SCRIPTS if script != "Latin"
                                for words in lengths[1:]],
    }


@lru_cache
def junk_texts() -> dict[str, list[str]]:
    """Texts to leave out, of 5 to 20,000 words, by kind."""
    names = "Home About Products Contact Login Register Basket Help Sitemap Terms Careers Press".split()
    return {
        "menus": [
            "Home | About us | Products | Contact | Login",
            "Next page\nPrevious page\nShare\nPrint\nCookie settings",
            "首页 | 产品介绍 | 联系我们 | 登录 | 注册",
            "\n".join(f"{a} {b.lower()} {n}" for n in range(40) for a in names for b in names[:4]),
        ],
        "repetition": [
            "Click here now. " * 12,
            "Best price!\n" * 5,
            "buy cheap watches buy cheap watches buy cheap watches buy cheap watches and buy cheap.",
            f"{made_up('Latin', 400)}\n\n" * 50,
            f"{made_up('Cyrillic', 1000)}\n\n" + "Купить сейчас. " * 1000,
            "立即购买，价格最低。" * 40,
        ],
        "no language": [
            "0x3f 0x77 0xe1 0x09 0x5c 0x11 0xff 0x03; 12.7, 99.1, 0.003, 17.",
            "<div><a href='#'></a></div></td><td>&nbsp;</td></tr> {};!!! ==== //",
            "$$$ !!! *** >>> 50% !!! *** $$$ ... ---",
            numbers(20), numbers(5000),
        ],
    }


SHOWN = 1  # texts of each kind that the learner sees; all are graded
ENOUGH = 0.95  # precision, and recall


def samples() -> dict[str, list[str]]:
    """Some texts to keep and some to leave out, by kind, for exercise 05.5."""
    kinds = {f"keep, {kind}": texts for kind, texts in good_texts().items()}
    kinds |= {f"leave out, {kind}": texts for kind, texts in junk_texts().items()}
    return {kind: texts[:SHOWN] for kind, texts in kinds.items()}


def keep(text: str) -> bool:
    """Whether a text reads as language: mostly letters, no list of short lines, and no endless repetition."""
    visible = [c for c in text if not c.isspace()]
    letters = sum(unicodedata.category(c)[0] in "LM" for c in visible)
    lines = [line.strip() for line in re.split(r"[\n|]", text) if line.strip()]
    menu = [line for line in lines if len(line) < 30 and line[-1] not in ".!?。！？।؟"]
    sentences = [s.strip() for s in re.split(r"[.!?。！？।؟\n]", text) if s.strip()]
    words = text.lower().split()
    runs = Counter(zip(words, words[1:], words[2:]))
    most = max(runs.values(), default=0)
    return (
        letters > 0.5 * len(visible)
        and (len(lines) < 3 or len(menu) < 0.5 * len(lines))
        and len(set(sentences)) > 0.7 * len(sentences)
        and (most < 3 or 3 * most < 0.2 * len(words))
    )


LOST_HINTS = {
    "other scripts": "a filter that counts ASCII letters, spaces, full stops or one language's words throws out everyone who "
    "writes another: Thai ends no sentence with a mark, Arabic and Hindi have marks of their own",
    "history": "a list of forbidden words also removes the texts that tell of what was done",
    "short": "a short sentence is a sentence: length alone is no sign of quality",
    "numbers": "a sentence may hold many digits",
    "prose": "this is what you want to keep",
    "long": "does your rule depend on length? The share of *different* words falls with it, in any text (Heaps' law). "
    "The share of the most frequent run of words, or of lines that are copies, does not",
    "long, other scripts": "does your rule count ASCII letters, spaces between words, or marks that end sentences? Does it depend on "
    "length?",
}
JUNK_HINTS = {
    "menus": "look at the lines: they are many and short, and no sentence ends in them",
    "repetition": "measure which share of the sentences are copies of others, and which share the most frequent run of three words takes",
    "no language": "look at the share of the visible characters that are letters",
}


def grade_filter(answer) -> str:
    good, junk = good_texts(), junk_texts()
    lost = {kind: [text for text in texts if not answer(text)] for kind, texts in good.items()}
    kept = {kind: [text for text in texts if answer(text)] for kind, texts in junk.items()}
    wanted = sum(map(len, good.values()))
    right = wanted - sum(map(len, lost.values()))
    recall, precision = right / wanted, right / max(1, right + sum(map(len, kept.values())))
    scores = f"recall {recall:.2f}, precision {precision:.2f}"
    if recall < ENOUGH:
        kind = max(lost, key=lambda kind: len(lost[kind]) / len(good[kind]))
        raise Mistake(f"{scores}; of {len(good[kind])} texts ({kind}) you leave out {len(lost[kind])}, such as "
                      f"{lost[kind][0][:50]!r}: {LOST_HINTS[kind]}")
    if precision < ENOUGH:
        kind = max(kept, key=lambda kind: len(kept[kind]) / len(junk[kind]))
        raise Mistake(f"{scores}; of {len(junk[kind])} texts ({kind}) you keep {len(kept[kind])}, such as "
                      f"{kept[kind][0][:50]!r}: {JUNK_HINTS[kind]}")
    return f"{scores}, on {wanted} texts to keep and {sum(map(len, junk.values()))} to leave out, of up to 20,000 words"


# 05.6

Shared = dict[tuple[int, int], float]


def minima(sets: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, H), the smallest value of each of H hash functions over each set."""
    return np.stack([(numbers[:, None] * a + b >> np.uint64(32)).min(axis=0) for numbers in sets])


def banded(signatures: np.ndarray, rows: int) -> Shared:
    """Pairs that agree in a whole band, with the share of equal minima."""
    found = {}
    for start in range(0, signatures.shape[1], rows):
        buckets = defaultdict(list)
        for i, band in enumerate(signatures[:, start : start + rows]):
            buckets[band.tobytes()].append(i)
        for bucket in buckets.values():
            for i, j in combinations(bucket, 2):
                found[i, j] = float((signatures[i] == signatures[j]).mean())
    return found


def near_copies(sets: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray, rows: int) -> Shared:
    """The pairs of sets that agree in a whole band of their MinHash signatures, with J as estimated."""
    return banded(minima(sets, a, b), rows)


def hash_functions(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The factors, all odd, and summands of some hash functions, (H,) uint64 each."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(2**63, size=(2, number), dtype=np.uint64)
    return 2 * a + np.uint64(1), b


def sets_alike(resemblances: Sequence[float], seed: int, size: int = 60) -> list[np.ndarray]:
    """For each J two neighbouring sets of random numbers that resemble so, and no others."""
    rng, sets = np.random.default_rng(seed), []
    for J in resemblances:
        shared = round(2 * size * J / (1 + J))
        own = rng.integers(2**63, size=2 * size - shared, dtype=np.uint64)
        sets += [own[:size], own[size - shared :]]
    return sets


def exact(sets: Sequence[np.ndarray], i: int, j: int) -> float:
    shared = len(np.intersect1d(sets[i], sets[j]))
    return shared / (len(sets[i]) + len(sets[j]) - shared)


def other_minima(sets: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray, how: str) -> np.ndarray:
    """Signatures with a likely mistake."""
    hashed = [numbers[:, None] * a + b >> np.uint64(32) for numbers in sets]
    rows = {"largest": lambda h: h.max(axis=0), "one function": lambda h: np.sort(h[:, 0])[: len(a)],
            "last": lambda h: h[-1], "low bits": None}
    if how == "low bits":
        return np.stack([(numbers[:, None] * a + b & np.uint64(0xFFFFFFFF)).min(axis=0) for numbers in sets])
    return np.stack([rows[how](h) for h in hashed])


def pairs_where(signatures: np.ndarray, meets: Callable) -> Shared:
    """Pairs of signatures of which `meets` holds, with the share of equal minima."""
    pairs = combinations(range(len(signatures)), 2)
    return {(i, j): float((signatures[i] == signatures[j]).mean()) for i, j in pairs if meets(signatures[i], signatures[j])}


def bands_equal(x: np.ndarray, y: np.ndarray, rows: int) -> np.ndarray:
    return (x == y).reshape(-1, rows).all(axis=1)


def share_of_bands(sets, a, b, rows) -> Shared:
    signatures = minima(sets, a, b)
    return {(i, j): float(bands_equal(signatures[i], signatures[j], rows).mean()) for i, j in banded(signatures, rows)}


BANDING: dict[str, Callable] = {
    "every pair that shares one number is there: two texts meet where a *whole band* of `rows` numbers agrees":
        lambda sets, a, b, rows: pairs_where(minima(sets, a, b), lambda x, y: (x == y).any()),
    "all pairs are there: only those that agree in a whole band are candidates":
        lambda sets, a, b, rows: pairs_where(minima(sets, a, b), lambda x, y: True),
    "you ask that all bands agree: one whole band is enough":
        lambda sets, a, b, rows: pairs_where(minima(sets, a, b), lambda x, y: (x == y).all()),
    "only the first band is compared: a pair meets in any of them":
        lambda sets, a, b, rows: pairs_where(minima(sets, a, b), lambda x, y: (x == y)[:rows].all()),
    "your bands have as many numbers as there should be bands: a band has `rows` numbers, and there are H / rows of them":
        lambda sets, a, b, rows: banded(minima(sets, a, b), len(a) // rows),
    "the estimate is the share of equal *numbers* of two signatures, yours is the share of equal bands": share_of_bands,
    "you keep the largest value of each function: keep the smallest, as MinHash says":
        lambda sets, a, b, rows: banded(other_minima(sets, a, b, "largest"), rows),
    "you keep the smallest numbers of one function: take one minimum of each function":
        lambda sets, a, b, rows: banded(other_minima(sets, a, b, "one function"), rows),
    "you keep the low half of a · s + b, which is far from random: shift it right by 32 bits":
        lambda sets, a, b, rows: banded(other_minima(sets, a, b, "low bits"), rows),
}


def crossed() -> tuple:
    """Two sets that share nothing; the second band of one equals the first band of the other."""
    (numbers, _), (a, b), shift = sets_alike([0], 7), hash_functions(4, 8), np.uint64(2**40 + 1)
    return [numbers, numbers + shift], np.concatenate([a, a]), np.concatenate([b, b - a * shift]), 4


def copy_cases() -> list[tuple]:
    """Sets, functions and rows: some pairs of known resemblance among many that share nothing."""
    alike = sets_alike([0.95, 0.8, 0.6, 0.4, 0.2, 0.1, 0, 0], 0)
    return [(alike, *hash_functions(64, 1), 4), (alike, *hash_functions(60, 2), 2), (alike[::-1], *hash_functions(60, 3), 5), crossed()]


def grade_near_copies(answer) -> str:
    cases = copy_cases()
    ours = [as_shared(answer(list(sets), a.copy(), b.copy(), rows), len(sets)) for sets, a, b, rows in cases]
    right = [near_copies(*case) for case in cases]
    if [set(found) for found in ours] != [set(found) for found in right] or not all(map(same_values, ours, right)):
        for hint, wrong in BANDING.items():
            if all(set(x) == set(y) and same_values(x, y) for x, y in zip(ours, (wrong(*case) for case in cases))):
                raise Mistake(hint)
        raise Mistake(copies_hint(cases, ours, right))
    J = 0.5
    sets = sets_alike([J] * 150, 5)
    a, b = hash_functions(32, 6)
    found = as_shared(answer(sets, a, b, 4), len(sets))
    share = sum((2 * i, 2 * i + 1) in found for i in range(150)) / 150
    return (f"{sum(map(len, right))} pairs found among {sum(math.comb(len(case[0]), 2) for case in cases)}, their estimates those of equal "
            f"minima; at J = {J} bands of 4 of 32 find {share:.2f}, 1 − (1 − J⁴)⁸ is {1 - (1 - J**4) ** 8:.2f}")


def as_shared(found, number: int) -> Shared:
    """The answer as pairs of indices and their estimates."""
    if not isinstance(found, dict):
        raise Mistake("return a dictionary, {(i, j): estimate}")
    for pair in found:
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(i, Integral) and 0 <= i < number for i in pair):
            raise Mistake(f"the keys are pairs of indices of sets, yours holds {pair!r}")
        if pair[0] >= pair[1]:
            raise Mistake(f"each pair stands once, the smaller index first, and no set is paired with itself; yours has {pair}")
    return {(int(i), int(j)): float(value) for (i, j), value in found.items()}


def same_values(ours: Shared, right: Shared) -> bool:
    return all(math.isclose(ours[pair], right[pair], abs_tol=1e-9) for pair in ours.keys() & right.keys())


def copies_hint(cases: list[tuple], ours: list[Shared], right: list[Shared]) -> str:
    """Which pair is wrong, beside its exact resemblance."""
    for (sets, a, _, rows), found, wanted in zip(cases, ours, right):
        at = f"with {len(a)} functions in bands of {rows}"
        for pair in wanted.keys() - found.keys():
            return (f"{at} the pair {pair}, J = {exact(sets, *pair):.2f}, agrees in a whole band, and you don't have it: "
                    "look at every band, the last one too")
        for pair in found.keys() - wanted.keys():
            return (f"{at} the pair {pair}, J = {exact(sets, *pair):.2f}, agrees in no band, and you have it: "
                    "a band must agree with the band at the same place")
        for pair in wanted:
            if not math.isclose(found[pair], wanted[pair], abs_tol=1e-9):
                return (f"{at} the pair {pair}, J = {exact(sets, *pair):.2f}, has {wanted[pair]:.3f} of its minima equal, yours says "
                        f"{found[pair]:.3f}: of all numbers of two signatures take the share that is equal")
    return "the pairs differ from those that agree in a whole band"


EXERCISES = [
    Exercise("05.1", "how alike are two texts?", 1, 10, resemblance, grade_resemblance),
    Exercise("05.2", "find the leak", 2, 10, RIGHT_LEAKS, grade_leaks),
    Exercise("05.3", "a packing plan", 2, 20, pack, grade_pack),
    Exercise("05.4", "four broken pair makers", 2, 10, RIGHT_FAULTS, grade_faults),
    Exercise("05.5", "design a quality filter", 3, 30, keep, grade_filter),
    Exercise("05.6", "near copies by MinHash and bands", 3, 40, near_copies, grade_near_copies),
]
