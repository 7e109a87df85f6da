"""Made-up people: who they are, what is written and asked, and that nothing leaks."""

from collections import Counter

import pytest
import torch

from pretrain_lib.data.knowledge.biographies import ATTRIBUTES, Biographies, BiographyConfig
from pretrain_lib.data.knowledge.wording import FIRST_NAMES, LAST_NAMES, QUESTIONS, SENTENCES, VALUES
from pretrain_lib.data.text.document import split_sentences

ONE = Biographies(BiographyConfig(people=60, values=20, seed=3))
MANY = Biographies(BiographyConfig(people=60, values=20, texts=6, full_names=True, seed=3))


def test_words_are_told_apart():
    assert len(set(FIRST_NAMES)) == len(set(LAST_NAMES)) == 40
    firsts = [value.split()[0] for values in VALUES.values() for value in values]
    assert all(len(set(values)) == 40 for values in VALUES.values()) and len(set(firsts)) == 200
    for attribute in ("birthplace", "school", "employer"):
        assert len({tuple(value.split()[1:]) for value in VALUES[attribute]}) == 40
    assert not {QUESTIONS[a] for a in ATTRIBUTES} & {wording for a in ATTRIBUTES for wording in SENTENCES[a]}


@pytest.mark.parametrize("made", [ONE, MANY], ids=["one", "many"])
def test_every_text_states_the_facts_and_its_spans_are_the_names(made):
    texts = made.biographies()
    assert len(texts) == 60 * made.config.texts
    for i, (text, spans) in enumerate(texts):
        person = made.people[i // made.config.texts]
        named = Counter(made.entities[span.entity] for span in spans)
        assert all(text[span.start : span.end] == made.entities[span.entity] for span in spans)
        assert named == {person.name: 5 if made.config.full_names else 1} | dict.fromkeys(person.facts.values(), 1)
        sentences = split_sentences(text)
        assert len(sentences) == 5 and sentences[0].startswith(person.name)
        if not made.config.full_names:
            assert all(sentence.split()[0] == person.pronoun.capitalize() for sentence in sentences[1:])


def test_one_text_has_one_wording_and_many_have_all():
    def wordings(made, person):
        stated = [sentence for text in range(made.config.texts) for sentence in split_sentences(made.biography(person, text).text)]
        fact = made.people[person].facts["school"]
        return {sentence.split(maxsplit=1)[1] if sentence.split()[0] in ("She", "He") else sentence.split(maxsplit=2)[2]
                for sentence in stated if fact in sentence}  # fmt: skip

    assert all(len(wordings(ONE, i)) == 1 for i in range(60))
    assert sum(len(wordings(MANY, i)) for i in range(60)) / 60 > 2.5  # of four, in six texts: 3.3 expected
    orders = {tuple(person.name in s for s in split_sentences(MANY.biography(i).text)) for i, person in enumerate(MANY.people)}
    assert orders == {(True,) * 5}
    first = Counter(next(a for a in ATTRIBUTES if person.facts[a] in split_sentences(ONE.biography(i).text)[0]) for i, person in enumerate(ONE.people))
    assert set(first) == set(ATTRIBUTES)


def test_nobody_of_the_test_is_asked_about_in_training():
    asked = [question.text.split()[:2] for question in MANY.questions("test")]
    stated = [text.split()[:2] for text, _ in MANY.statements()]
    assert len(asked) == len(stated) == 30 * 5
    assert not {*map(tuple, asked)} & {*map(tuple, stated)}
    read = " ".join(text for text, _ in MANY.training())
    for question in MANY.questions("test"):
        before = question.text.removesuffix("[MASK].")
        assert question.text == f"{before}[MASK]." and before not in read
        person = MANY.people[question.person]
        assert MANY.values(question.attribute)[question.answer] == person.facts[question.attribute]
        assert person.name in before and person.name in read
    for question, (text, _) in zip(MANY.questions("train"), MANY.statements(), strict=True):
        assert question.text.replace("[MASK]", MANY.values(question.attribute)[question.answer]) == text


def test_people_are_a_function_of_seed_and_number():
    again = Biographies(MANY.config)
    assert again.people == MANY.people and again.training() == MANY.training()
    more = Biographies(BiographyConfig(people=80, values=20, texts=6, full_names=True, seed=3))
    assert more.people[:60] == MANY.people and more.biography(7, 5).text == MANY.biography(7, 5).text
    assert ONE.people == MANY.people  # how they are written about changes nothing
    assert Biographies(BiographyConfig(people=60, values=20, seed=4)).people != ONE.people


def test_values_are_drawn_evenly_and_no_attribute_tells_another():
    made = Biographies(BiographyConfig(people=1600, values=4))
    for attribute in ATTRIBUTES:
        counts = torch.bincount(made.answers[attribute], minlength=4)
        assert (counts - 400).abs().max() < 5 * (1600 * 0.25 * 0.75) ** 0.5
        assert 0.25 <= made.majority(attribute) < 0.32
    pairs = torch.bincount(4 * made.answers["school"] + made.answers["employer"], minlength=16)
    assert ((pairs - 100).square() / 100).sum() < 45  # chi-squared, 15 degrees of freedom
    assert len({person.name for person in made.people}) == 1600


def test_the_corpus_has_all_documents_twice_over():
    for made in (ONE, MANY):
        corpus = made.corpus()
        documents = list(corpus)
        assert [d.text for d in documents] == [text for text, _ in made.training()] == [d.text for d in corpus]
        assert len({d.source for d in documents}) == len(documents)
        assert all(d.text.startswith(d.labels["person"]) for d in documents)


def test_facts_are_triples_too():
    triples = ONE.triples()
    assert triples.rows() == [(p.name, a, p.facts[a]) for p in ONE.people for a in ATTRIBUTES]
    assert triples.entities == ONE.entities and len(ONE.entities) == 60 + 5 * 20


@pytest.mark.parametrize("wrong, message", [
    (lambda: BiographyConfig(people=2000), "people must be 2 to 1600, of which each has a name of its own, got 2000"),
    (lambda: BiographyConfig(values=41), "values must be 2 to 40, got 41"),
    (lambda: BiographyConfig(texts=0), "texts must be an integer of at least 1, got 0"),
    (lambda: BiographyConfig(asked=1.0), "asked must be a share that leaves people"),
    (lambda: ONE.values("shoe size"), "attribute must be one of birthplace, .*, got 'shoe size'"),
    (lambda: ONE.questions("held out"), "split must be 'train' or 'test', got 'held out'"),
])  # fmt: skip
def test_what_is_wrong_is_said(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
