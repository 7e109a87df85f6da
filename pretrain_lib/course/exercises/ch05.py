"""Exercises of chapter 05: the data pipeline."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from numbers import Integral
from random import Random

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

GOOD = {
    "prose": [
        "The commerce of the nation has grown beyond all expectation, and its revenue with it.",
        "It was cold. Nobody spoke. Then, from the far end of the hall, someone began to sing.",
        "An optimiser changes the weights a little at every step, against the gradient.",
        "She asked him twice whether the letter had come; he shook his head both times.",
    ],
    "short": ["Thank you very much.", "Nobody answered."],
    "other languages": [
        "国家的贸易增长超出了所有人的预期。",
        "Сегодня утром шёл дождь, и улицы были пусты.",
        "सभी मनुष्य जन्म से स्वतन्त्र हैं।",
        "Die Fähre nach Föhr fährt heute später, weil über der Küste Nebel liegt.",
    ],
    "numbers": ["In 1857 the revenue was 68,631,513 dollars, and the debt fell by 3,895,232."],
    "history": [
        "The act of 1807 forbade the importation of slaves, and was often broken.",
        "The removal of the Indian nations was called a benefit by those who gained from it.",
    ],
}
JUNK = {
    "menus": [
        "Home | About us | Products | Contact | Login",
        "Next page\nPrevious page\nShare\nPrint\nCookie settings",
        "Sign in Register Basket Help Sitemap Terms",
    ],
    "repetition": [
        "Click here now. " * 12,
        "Best price!\nBest price!\nBest price!\nBest price!\nBest price!",
        "buy cheap watches buy cheap watches buy cheap watches buy cheap watches and buy cheap.",
    ],
    "no language": [
        "0x3f 0x77 0xe1 0x09 0x5c 0x11 0xff 0x03; 12.7, 99.1, 0.003, 17.",
        "<div><a href='#'></a></div></td><td>&nbsp;</td></tr> {};!!! ==== //",
        "$$$ !!! *** >>> 50% !!! *** $$$ ... ---",
    ],
}
SHOWN = 1  # texts of each kind that the learner sees; all are graded


def samples() -> dict[str, list[str]]:
    """Some texts to keep and some to leave out, by kind, for exercise 05.5."""
    kinds = {f"keep, {kind}": texts for kind, texts in GOOD.items()}
    kinds |= {f"leave out, {kind}": texts for kind, texts in JUNK.items()}
    return {kind: texts[:SHOWN] for kind, texts in kinds.items()}


def keep(text: str) -> bool:
    """Whether a text reads as language: sentences, mostly letters, and no endless repetition."""
    visible = [c for c in text if not c.isspace()]
    signs = sum(not c.isalnum() for c in visible if c.isascii())
    digits = sum(c.isdigit() for c in visible)
    words = text.lower().split()
    return (
        any(mark in text for mark in ".!?。！？।")
        and signs < 0.25 * len(visible)
        and digits < 0.35 * len(visible)
        and len(set(words)) > 0.4 * len(words)
    )


KEPT_HINTS = {
    "other languages": "a filter that counts ASCII letters, spaces or one language's words throws "
    "out everyone who writes another",
    "history": "a list of forbidden words also removes the texts that tell of what was done",
    "short": "a short sentence is a sentence: length alone is no sign of quality",
    "numbers": "a sentence may hold many digits",
    "prose": "this is what you want to keep",
}
JUNK_HINTS = {
    "menus": "no sentence ends in a menu: look for marks that end one",
    "repetition": "compare the number of different words, or lines, with the number of all",
    "no language": "look at the share of the visible characters that are letters",
}


def grade_filter(answer) -> str:
    for kind, texts in GOOD.items():
        lost = [text for text in texts if not answer(text)]
        if lost:
            raise Mistake(f"you leave out {lost[0]!r} ({kind}): {KEPT_HINTS[kind]}")
    for kind, texts in JUNK.items():
        kept = [text for text in texts if answer(text)]
        if kept:
            raise Mistake(f"you keep {kept[0][:50]!r} ({kind}): {JUNK_HINTS[kind]}")
    good, junk = (sum(map(len, part.values())) for part in (GOOD, JUNK))
    return f"{good} good texts of {len(GOOD)} kinds kept, {junk} of {len(JUNK)} kinds left out"


EXERCISES = [
    Exercise("05.1", "how alike are two texts?", 1, 10, resemblance, grade_resemblance),
    Exercise("05.2", "find the leak", 2, 10, RIGHT_LEAKS, grade_leaks),
    Exercise("05.3", "a packing plan", 2, 20, pack, grade_pack),
    Exercise("05.4", "four broken pair makers", 2, 10, RIGHT_FAULTS, grade_faults),
    Exercise("05.5", "design a quality filter", 3, 20, keep, grade_filter),
]
