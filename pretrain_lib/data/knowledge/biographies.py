"""Biographies of people who never lived: what a model could know of each is known.

After Allen-Zhu and Li, "Physics of language models: Part 3.1, knowledge storage and extraction",
2023, whose people have six attributes. Half of ours are asked about in training, as theirs are; of
the other half a fact has been read, never in the words of the question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...validation import require, require_at_least, require_kinds
from ..keys import Keys
from ..text.document import Corpus, Document
from .spans import SpannedText, spans_of
from .triples import Triples
from .wording import FIRST_NAMES, LAST_NAMES, MOST, QUESTIONS, SENTENCES, VALUES

ATTRIBUTES = tuple(VALUES)
PRONOUNS = ("she", "he")


@dataclass(frozen=True)
class BiographyConfig:
    """Who is written about, and how.

    Attributes:
        people: how many.
        values: how many values an attribute can have; one over it is chance.
        texts: how many texts there are about each person. Each is worded anew, and its sentences
            come in another order; of one text there is one wording of each fact.
        full_names: whether each sentence has the full name; else the first has, and a pronoun
            stands in the others.
        asked: share of the people about whom training asks as well.
        seed: which people, facts and texts.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    people: int = 400
    values: int = 40
    texts: int = 1
    full_names: bool = False
    asked: float = 0.5
    seed: int = 0

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "texts")
        most = len(FIRST_NAMES) * len(LAST_NAMES)
        require(2 <= self.people <= most, "people", self.people,
                f"2 to {most}, of which each has a name of its own")
        require(2 <= self.values <= MOST, "values", self.values, f"2 to {MOST}")
        require(0 < self.asked < 1 and 0 < self.number_asked < self.people, "asked", self.asked,
                "a share that leaves people to ask about and people not to")
        require(0 <= self.seed < 2**32, "seed", self.seed, "between 0 and 2**32 - 1")

    @property
    def number_asked(self) -> int:
        """People about whom training asks."""
        return round(self.asked * self.people)


@dataclass(frozen=True)
class Person:
    """Somebody who never lived.

    Attributes:
        name: first and last name; many have the one or the other, nobody both.
        pronoun: "she" or "he".
        facts: the value of each attribute.
    """

    name: str
    pronoun: str
    facts: dict[str, str]


class Question(NamedTuple):
    """A sentence with a blank.

    Attributes:
        person: number of the person asked about.
        attribute: what is asked.
        text: the sentence, with [MASK] for the answer, however many tokens that has.
        answer: which of the attribute's values is right.
    """

    person: int
    attribute: str
    text: str
    answer: int


class Biographies:
    """Made-up people, what is written of them, and questions with known answers.

    Names are put together from syllables, values from common words, so they are nobody's. A person
    is a function of the seed and the person's number, a text of its own number besides.

    Args:
        config: who is written about, and how.

    Attributes:
        people: all of them; training asks about the first `config.number_asked`, and the others are
            for testing.
        entities: everything that has a name, people before values, in the order of their numbers.
    """

    def __init__(self, config: BiographyConfig = BiographyConfig()):
        self.config = config
        keys = Keys.of(config.seed, config.people)
        order = Keys.of(config.seed, [0]).permutation("names", len(FIRST_NAMES) * len(LAST_NAMES))
        pronouns = (2 * keys.uniform("pronoun")).long()
        self.answers = {attribute: (config.values * keys.uniform(attribute).double()).long()
                        for attribute in ATTRIBUTES}  # (people,) each
        self.people = [
            Person(f"{FIRST_NAMES[name // len(LAST_NAMES)]} {LAST_NAMES[name % len(LAST_NAMES)]}",
                   PRONOUNS[pronouns[i]],
                   {attribute: VALUES[attribute][answers[i]]
                    for attribute, answers in self.answers.items()})
            for i, name in enumerate(order[0, : config.people].tolist())]
        self.entities = [person.name for person in self.people] + [
            value for attribute in ATTRIBUTES for value in self.values(attribute)]

    def values(self, attribute: str) -> list[str]:
        """The values that an attribute can have.

        Raises:
            ValueError: if there is no such attribute.
        """
        if attribute not in VALUES:
            raise ValueError(f"attribute must be one of {', '.join(ATTRIBUTES)}, got {attribute!r}")
        return VALUES[attribute][: self.config.values]

    def biographies(self) -> list[SpannedText]:
        """The texts about everybody, people · texts of them, those about a person together."""
        return [self.biography(i, text) for i in range(len(self.people))
                for text in range(self.config.texts)]

    def biography(self, person: int, text: int = 0) -> SpannedText:
        """One text about a person: a sentence for each attribute, in any order.

        Args:
            person: number of the person.
            text: number of the text about this person.
        """
        about = self.people[person]
        keys = Keys.of(self.config.seed, [person], epoch=text)
        order = keys.permutation("order", len(ATTRIBUTES))[0].tolist()
        chance = keys.uniform("wording", (len(ATTRIBUTES),))[0].tolist()
        sentences = []
        for place, number in enumerate(order):
            wordings = SENTENCES[ATTRIBUTES[number]]
            named = place == 0 or self.config.full_names
            who = about.name if named else about.pronoun.capitalize()
            sentences.append(wordings[int(chance[place] * len(wordings))].format(
                who=who, value=about.facts[ATTRIBUTES[number]]))
        return self._spanned(" ".join(sentences), about)

    def statements(self) -> list[SpannedText]:
        """The facts of those about whom training asks, in the words of the questions."""
        return [self._spanned(QUESTIONS[attribute].format(who=person.name, value=value), person)
                for person in self.people[: self.config.number_asked]
                for attribute, value in person.facts.items()]

    def training(self) -> list[SpannedText]:
        """All that is trained on: the texts about everybody, and the statements."""
        return self.biographies() + self.statements()

    def questions(self, split: str = "test") -> list[Question]:
        """Every attribute of a part of the people, as sentences with a blank.

        Args:
            split: "train" for those about whom training asks, or "test" for the others.

        Raises:
            ValueError: for another split.
        """
        if split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        first = self.config.number_asked
        people = range(first) if split == "train" else range(first, len(self.people))
        return [Question(i, attribute,
                         QUESTIONS[attribute].format(who=self.people[i].name, value="[MASK]"),
                         int(self.answers[attribute][i]))
                for i in people for attribute in ATTRIBUTES]

    def corpus(self) -> Corpus:
        """All that is trained on, as documents."""
        return Corpus("biographies", self._documents,
                      f"{len(self.people)} made-up people, {self.config.texts} texts about each")

    def triples(self) -> Triples:
        """Everybody's facts as triples: a name, an attribute, a value."""
        return Triples.of([(person.name, attribute, value) for person in self.people
                           for attribute, value in person.facts.items()], self.entities)

    def majority(self, attribute: str) -> float:
        """The share of the test's people that have the attribute's commonest value."""
        answers = self.answers[attribute][self.config.number_asked :].numpy()
        return float(np.bincount(answers).max() / len(answers))

    def _documents(self) -> Iterator[Document]:
        texts = self.config.texts
        for i, written in enumerate(self.biographies()):
            name = self.people[i // texts].name
            yield Document(written.text, f"{name}, text {i % texts + 1}", {"person": name})
        for i, written in enumerate(self.statements()):
            name = self.people[i // len(ATTRIBUTES)].name
            attribute = ATTRIBUTES[i % len(ATTRIBUTES)]
            yield Document(written.text, f"{name}, {attribute}", {"person": name})

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.entities)}

    def _spanned(self, text: str, about: Person) -> SpannedText:
        names = {name: self._numbers[name] for name in (about.name, *about.facts.values())}
        return SpannedText(text, tuple(spans_of(text, names)))
