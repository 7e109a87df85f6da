"""Words as people rated them, hidden in sentences: is the word good or bad, and how much?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

from ..keys import Keys
from ..text.corpora import load_sotu
from .sentence import MASK, Labelled, long_sentences

STRONG = 2.0  # of 4
RATED = 1.0
MOST = 50  # sentences of a word: "great" alone has 1 500
SENTIMENTS = ["negative", "positive"]
WORD = re.compile(r"[A-Za-z]+")


def valences() -> dict[str, float]:
    """How good each of some 7 000 words is, −4 to 4: the mean of what ten people said.

    From the lexicon that comes with `vaderSentiment` (Hutto and Gilbert, "VADER: a parsimonious
    rule-based model for sentiment analysis of social media text", ICWSM 2014). Emoticons and
    abbreviations with other signs than letters are left out.
    """
    lexicon = (files("vaderSentiment") / "vader_lexicon.txt").read_text(encoding="utf-8")
    columns = (line.split("\t") for line in lexicon.splitlines() if line)
    return {word.lower(): float(mean) for word, mean, *_ in columns if WORD.fullmatch(word)}


def family(word: str, words: dict[str, float]) -> str:
    """The shortest of the words that `word` begins with: "peaceful" is of the family "peace"."""
    return next(word[:n] for n in range(3, len(word) + 1) if word[:n] in words or n == len(word))


def rated_sentences(least: float) -> Iterator[Labelled]:
    """Sentences of State of the Union addresses with one rated word, masked; its valence as text.

    Args:
        least: words count whose valence is at least so far from 0. Sentences with two of them are
            left out, and of each word no more than `MOST` are drawn.
    """
    words = {word: v for word, v in valences().items() if abs(v) >= least and len(word) > 2}
    found: dict[str, list[Labelled]] = {}
    for speech in load_sotu():
        for sentence in long_sentences(speech.text):
            hits = [hit for hit in WORD.finditer(sentence) if hit[0].lower() in words]
            if len(hits) == 1:
                start, end = hits[0].span()
                word = hits[0][0].lower()
                masked = sentence[:start] + MASK + sentence[end:]
                row = Labelled(masked, str(words[word]), speech.source, family(word, words))
                found.setdefault(word, []).append(row)
    for number, word in enumerate(sorted(found)):
        order = Keys.of(0, [number]).permutation("sentences of a word", len(found[word]))[0]
        for i in sorted(order[:MOST].tolist()):
            yield found[word][i]


def sentiment_sentences() -> Iterator[Labelled]:
    """Sentences whose one strongly rated word is masked, with the sign of its rating."""
    for row in rated_sentences(STRONG):
        yield row._replace(kind=SENTIMENTS[float(row.kind) > 0])
