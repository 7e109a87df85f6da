"""Which countries a sentence names, and where they lie."""

import re
from collections import Counter

import pytest

from pretrain_lib.data.tasks import countries as module
from pretrain_lib.data.tasks.countries import named_countries
from pretrain_lib.data.text.document import Corpus, Document
from pretrain_lib.data.tasks.labelled import load_labelled_text


def names(sentence):
    return [
        (sentence[start:end], country.name) for start, end, country in named_countries(sentence)
    ]


@pytest.mark.parametrize("sentence, expected", [
    ("With Great Britain and Spain we are at peace.",
     [("Great Britain", "United Kingdom"), ("Spain", "Spain")]),
    ("New Mexico borders Mexico; Georgia does not.", [("Mexico", "Mexico")]),
    ("The People's Republic of China differs from the Republic of China.",
     [("People's Republic of China", "China"), ("Republic of China", "Taiwan")]),
    ("The United States, Indochina, cuba and chile say nothing.", []),
    ("Serbia and Montenegro fell apart.", [("Serbia and Montenegro", "Serbia and Montenegro")]),
    ("North Korea's army; South Korea.",
     [("North Korea", "North Korea"), ("South Korea", "South Korea")]),
])  # fmt: skip
def test_named_countries_are_found(sentence, expected):
    assert names(sentence) == expected


def test_continents_are_those_of_geography():
    known = {name: country.continent for name, country in module.countries().items()}
    members_of = {"Europe": "France Spain", "Asia": "China Iraq Japan", "Oceania": "Australia",
                  "Americas": "Cuba Mexico Chile", "Africa": "Egypt Liberia"}  # fmt: skip
    for continent, members in members_of.items():
        assert {known[name] for name in members.split()} == {continent}
    assert not {"United States", "Georgia", "USA", "America"} & known.keys()


def test_the_country_and_its_people_are_masked(monkeypatch):
    said = ("With Cuba and all the Cubans we will trade. Spain takes Cuba from all of us. "
            "Egypt is what we look at here. "
            "Spain and the Cuban people of Spain trade.")  # fmt: skip
    monkeypatch.setattr(module, "load_sotu", lambda: Corpus("s", lambda: [Document(said, "s1")]))
    assert [tuple(row)[:3] for row in module.continent_sentences()] == [
        ("With [MASK] and all the [MASK] we will trade.", "Americas", "s1"),
        ("[MASK] and the Cuban people of [MASK] trade.", "Europe", "s1"),
    ]


def test_no_continent_sentence_still_names_a_country():
    text = load_labelled_text("continent")
    counts = Counter(text.classes[label] for label in text.labels)
    assert counts.keys() == {"Americas", "Asia", "Europe"} and min(counts.values()) > 800
    plain = re.compile(
        r"\b(France|Spain|Mexico|Cuba|Japan|Iraq|Great Britain|Germany|Panama|Canada|Philippines)\b"
    )
    assert not [s for s in text.sentences if plain.search(s.replace("New Mexico", ""))]
    assert all("[MASK]" in s for s in text.sentences)
