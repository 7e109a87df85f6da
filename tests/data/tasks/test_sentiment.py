"""Sentences around a hidden rated word: the right word is hidden, its rating the lexicon's."""

import random
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from pretrain_lib.data.tasks import sentiment as module
from pretrain_lib.data.text.corpora import load_sotu
from pretrain_lib.data.tasks.labelled import load_labelled_text, load_valence


@pytest.fixture(scope="module")
def text():
    return load_labelled_text("sentiment")


@pytest.fixture(scope="module")
def lexicon():
    """Each word's ratings by ten people, averaged here."""
    rows = (files("vaderSentiment") / "vader_lexicon.txt").read_text().splitlines()
    columns = [row.split("\t") for row in rows if row]
    return {word.lower(): sum(eval(ratings)) / 10 for word, _, _, ratings in columns}


def test_valences_are_means_of_the_ratings(lexicon):
    found = module.valences()
    assert 7000 < len(found) < len(lexicon)
    assert found["war"] == -2.9 and found["peace"] == 2.5 and ":)" not in found
    off = [word for word, v in found.items() if abs(v - lexicon[word]) > 0.051]
    assert len(off) < 5  # a few means of the file are not those of its ratings


def test_the_hidden_word_has_the_sign_of_the_class(text, lexicon):
    """The hidden word is found again by putting every strong word of the family into the speech."""
    speeches = {d.source: " ".join(d.text.split()) for d in load_sotu()}
    strong = [w for w, v in module.valences().items() if abs(v) >= module.STRONG]
    for i in random.Random(0).sample(range(len(text)), 60):
        before, after = text.sentences[i].split(module.MASK)
        assert module.MASK not in before + after
        whole = speeches[text.sources[i]].lower()
        fits = {
            w
            for w in strong
            if w.startswith(text.words[i]) and (before + w + after).lower() in whole
        }
        assert fits, text.sentences[i]
        assert {lexicon[w] > 0 for w in fits} == {text.classes[text.labels[i]] == "positive"}
        others = {w.lower() for w in module.WORD.findall(before + after)}
        assert not others & set(strong)


def test_no_word_is_frequent_and_both_classes_are(text):
    assert np.bincount(text.labels).min() > 0.4 * len(text)
    per_family = Counter(text.words)
    assert per_family.most_common(1)[0][1] <= module.MOST * 12  # a family holds several words
    assert len(per_family) > 400


@pytest.mark.parametrize(
    "parted", [lambda t: t.split(0.2, 3), lambda t: t.hold_out(sorted(set(t.sources))[::6], 3)]
)
def test_neither_word_nor_speech_is_on_both_sides(text, parted):
    training, test = parted(text)
    assert not set(training.words) & set(test.words)
    assert not set(training.sources) & set(test.sources)
    assert len(test) > 400 and len(training) > 3 * len(test)
    for part in (training, test):
        assert np.bincount(part.labels).min() > 0.25 * len(part)


def test_a_family_is_the_shortest_beginning():
    words = dict.fromkeys(["peace", "peaceful", "win", "winner", "war"], 1.0)
    families = {word: module.family(word, words) for word in words}
    assert families == {
        "peace": "peace",
        "peaceful": "peace",
        "win": "win",
        "winner": "win",
        "war": "war",
    }


def test_one_sentence_one_rated_word(monkeypatch):
    from pretrain_lib.data.text.document import Corpus, Document

    said = (
        "War is what we see here. There is Peace and war all over. A Great, great thing this was. "
        "Nothing is said of it here."
    )
    monkeypatch.setattr(module, "load_sotu", lambda: Corpus("s", lambda: [Document(said, "s1")]))
    assert list(module.rated_sentences(2.0)) == [
        ("[MASK] is what we see here.", "-2.9", "s1", "war")
    ]


def test_valence_is_the_rating_and_no_word_is_on_both_sides(lexicon):
    text = load_valence()
    assert text.labels.dtype == np.float32
    assert 1 <= np.abs(text.labels).min() and np.abs(text.labels).max() <= 4
    training, test = text.hold_out(sorted(set(text.sources))[::6])
    assert not set(training.words) & set(test.words) and len(test) > 400
    assert set(text.labels.tolist()) <= {float(np.float32(v)) for v in module.valences().values()}
