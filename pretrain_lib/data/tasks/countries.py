"""Countries that State of the Union addresses name: where in a sentence, and on which continent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from ..text.corpora import load_sotu
from .sentence import MASK, Labelled, long_sentences

CONTINENTS = ["Americas", "Asia", "Europe"]  # the others are named too seldom to learn from
HOME = "United States"
OTHER_MEANINGS = {"Georgia", "Jersey", "Island", "Thai"}  # an American state, part of one, words
SHORTEST = 4  # letters of a name: shorter ones are codes


@dataclass(frozen=True)
class Country:
    """A country, as the package `countryinfo` describes it.

    Attributes:
        name: its English name.
        continent: where it lies.
        names: what it is called, such as "United Kingdom" and "Great Britain".
        demonym: what its people are called, such as "British"; empty where that is not known.
    """

    name: str
    continent: str
    names: tuple[str, ...]
    demonym: str


@cache
def countries() -> dict[str, Country]:
    """Every country but the United States, by each of its names."""
    from countryinfo import all_countries

    found: dict[str, Country] = {}
    for about in all_countries():
        names = tuple(name for name in (about.name(), *(about.alt_spellings() or ()))
                      if len(name) >= SHORTEST and name not in OTHER_MEANINGS)
        if about.name() != HOME and names:
            country = Country(about.name(), about.region() or "", names, about.demonym() or "")
            for name in names:
                found.setdefault(name, country)
    return found


@cache
def pattern() -> re.Pattern:
    """Any country's name, the longest that fits; New Mexico is none, nor is New Guinea."""
    names = "|".join(map(re.escape, sorted(countries(), key=len, reverse=True)))
    return re.compile(rf"\b(?=[A-Z])(?!(?<=\bNew )(?:Mexico|Guinea))(?:{names})\b")


def named_countries(sentence: str) -> list[tuple[int, int, Country]]:
    """Where a sentence names countries: start, end, and which."""
    return [(*hit.span(), countries()[hit[0]]) for hit in pattern().finditer(sentence)]


def continent_sentences() -> Iterator[Labelled]:
    """Sentences that name one country, with it and its people masked, and its continent."""
    for speech in load_sotu():
        for sentence in long_sentences(speech.text):
            named = {country for *_, country in named_countries(sentence)}
            if len(named) == 1 and (country := named.pop()).continent in CONTINENTS:
                masked = pattern().sub(MASK, sentence)
                if country.demonym:
                    masked = re.sub(rf"\b{re.escape(country.demonym)}s?\b", MASK, masked)
                yield Labelled(masked, country.continent, speech.source)
