"""Wrong answers to the exercises of chapter 05, each with a word that its message must hold."""

import unicodedata
from itertools import combinations

from pretrain_lib.course.exercises.ch05 import (
    BANDING,
    containment,
    dice,
    keep,
    minima,
    near_copies,
    next_fit,
    of_characters,
    of_words,
    resemblance,
    with_repetitions,
)


def case_sensitive(a, b, size):
    first, second = (
        {tuple(t.split()[i : i + size]) for i in range(max(len(t.split()) - size + 1, 1))}
        for t in (a, b)
    )
    return len(first & second) / len(first | second)


def no_short_texts(a, b, size):
    first, second = (
        {tuple(w[i : i + size]) for i in range(len(w) - size + 1)}
        for w in (a.lower().split(), b.lower().split())
    )
    return len(first & second) / len(first | second)


def zero_for_short_texts(a, b, size):
    if len(a.split()) < size:
        return 0.0
    return resemblance(a, b, size)


def first_fit(lengths, size, order=None):
    rows, room = [], []
    for text in order or range(len(lengths)):
        row = next((r for r, free in enumerate(room) if lengths[text] <= free), None)
        if row is None:
            row = len(rows)
            rows.append([])
            room.append(size)
        rows[row].append(text)
        room[row] -= lengths[text]
    return rows


def everywhere(lengths, size):
    rows = first_fit(lengths, size)
    return [*rows, [rows[0][0]]] if rows else rows


def of_lengths(lengths, size):
    return [[lengths[text] for text in row] for row in first_fit(lengths, size)]


def sorts_in_place(lengths, size):
    lengths.sort(reverse=True)
    return first_fit(lengths, size)


def no_room_asked(lengths, size):
    return [list(range(len(lengths)))] if lengths else []


def only_letters(text):
    return sum(c.isascii() and c.isalpha() for c in text) > 0.5 * len(text) and keep(text)


def no_bad_words(text):
    return keep(text) and not any(word in text.lower() for word in ("slave", "savage", "indian"))


def letters_alone(text):
    visible = [c for c in text if not c.isspace()]
    return sum(c.isalpha() for c in visible) > 0.4 * len(visible)


def sentences_alone(text):
    return any(mark in text for mark in ".!?。！？।؟") and keep(text)


def different_words(text):
    words = text.lower().split()
    return len(set(words)) > 0.4 * len(words) and keep(text)


def no_repetition_rule(text):
    letters = sum(unicodedata.category(c)[0] in "LM" for c in text)
    lines = [line.strip() for line in text.replace("|", "\n").splitlines() if line.strip()]
    return letters > 0.5 * len("".join(text.split())) and (len(lines) < 3 or max(map(len, lines)) > 40 or "Best" in text)


def no_digits(text):
    return keep(text) and sum(c.isdigit() for c in text) < 0.1 * len(text)


def two_bands(sets, a, b, rows):
    found = near_copies(sets, a[: 2 * rows], b[: 2 * rows], rows)
    return {pair: J for pair, J in near_copies(sets, a, b, rows).items() if pair in found}


def one_table(sets, a, b, rows):
    signatures, buckets = minima(sets, a, b), {}
    for i, bands in enumerate(signatures.reshape(len(sets), -1, rows)):
        for band in bands:
            buckets.setdefault(band.tobytes(), set()).add(i)
    pairs = {pair for bucket in buckets.values() for pair in combinations(sorted(bucket), 2)}
    return {(i, j): float((signatures[i] == signatures[j]).mean()) for i, j in pairs}


WRONG = {
    "05.1": [
        (with_repetitions, "sets"),
        (containment, "containment"),
        (dice, "counts what is shared twice"),
        (of_words, "order of words"),
        (of_characters, "runs of words"),
        (case_sensitive, "case does not count"),
        (no_short_texts, "the whole text is one shingle"),
        (zero_for_short_texts, "one shingle: itself"),
    ],
    "05.2": [
        ({"A": "none", "B": "sentences", "C": "copies", "D": "year"}, "nearly"),
        ({"A": "copies", "B": "copies", "C": "none", "D": "year"}, "both sides"),
        ({"A": "copies", "B": "sentences", "C": "none", "D": "none"}, "says when"),
        ({"A": "copies", "B": "sentences", "C": "none", "D": "digits"}, "none of"),
        (["copies", "sentences", "none", "year"], "dictionary"),
    ],
    "05.3": [
        (next_fit, "filled last"),
        (lambda lengths, size: first_fit(lengths, size), "longest texts go first"),
        (lambda lengths, size: [[text] for text in range(len(lengths))], "row of its own"),
        (lambda lengths, size: first_fit(lengths, size)[:-1], "lost"),
        (everywhere, "two rows"),
        (of_lengths, "indices"),
        (sorts_in_place, "sort indices"),
        (no_room_asked, "its size is"),
        (lambda lengths, size: [[], *first_fit(lengths, size)], "empty"),
    ],
    "05.4": [
        ({"A": "true next", "B": "era", "C": "inverted", "D": "one class"}, "same era"),
        ({"A": "era", "B": "inverted", "C": "true next", "D": "one class"}, "truly follows"),
        ({"A": "era", "B": "true next", "C": "one class", "D": "inverted"}, "never follows"),
        ({"A": "era", "B": "true next", "C": "inverted", "D": "none"}, "none of"),
        ({"A": "era"}, "dictionary"),
    ],
    "05.5": [
        (lambda text: True, "lines"),
        (lambda text: len(text.split()) > 8 and keep(text), "short sentence"),
        (only_letters, "ASCII"),
        (no_bad_words, "what was done"),
        (letters_alone, "lines"),
        (sentences_alone, "marks that end sentences"),
        (different_words, "depend on length"),
        (no_repetition_rule, "copies of others"),
        (no_digits, "many digits"),
    ],
    "05.6": [
        *((wrong, hint[:40]) for hint, wrong in BANDING.items()),
        (lambda sets, a, b, rows: list(near_copies(sets, a, b, rows)), "dictionary"),
        (lambda sets, a, b, rows: near_copies(sets, a, b, rows) | {(0, 0): 1.0}, "paired with itself"),
        (two_bands, "every band"),
        (one_table, "at the same place"),
        (lambda sets, a, b, rows: dict.fromkeys(near_copies(sets, a, b, rows), 1.0), "minima equal"),
    ],
}
