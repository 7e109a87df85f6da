"""What the package `countryinfo` knows of countries, as triples of names."""

from __future__ import annotations

from collections.abc import Iterator

LISTS = {"language": "languages", "currency": "currencies", "time zone": "timezones"}
SINGLE = {"capital": "capital", "continent": "region", "subregion": "subregion"}


def country_triples() -> Iterator[tuple[str, str, str]]:
    """Head, relation and tail: a country, what is asked of it, and the answer.

    A city, language or the like that is called as a country is told from it by its relation:
    "Djibouti (capital)". Neighbours that the package names by a code of no country are left out.
    """
    from countryinfo import all_countries

    countries = list(all_countries())
    names = {about.name() for about in countries}
    by_code = {about.iso()["alpha3"]: about.name() for about in reversed(countries)}
    for about in countries:
        for relation, answer in answers(about):
            yield about.name(), relation, f"{answer} ({relation})" if answer in names else answer
        for code in about.borders():
            if code and code in by_code:
                yield about.name(), "border", by_code[code]
                yield by_code[code], "border", about.name()


def answers(about) -> Iterator[tuple[str, str]]:
    """The relations of a country that lead to no country, and where to."""
    for relation, method in SINGLE.items():
        value = getattr(about, method)()
        yield from ((relation, each) for each in (value if isinstance(value, list) else [value])
                    if each)
    for relation, method in LISTS.items():
        yield from ((relation, each) for each in getattr(about, method)() or () if each)
