"""Tags of words: those of the countries named, and each at the right token."""

import numpy as np
import pytest

from pretrain_lib.data import hub
from pretrain_lib.data.tasks import tagged as module
from pretrain_lib.data.tasks.tagged import TaggedText, encode_tagged, load_tagged_text
from pretrain_lib.data.text.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["peace with great nations of the sea", "spain mexico"], 120)


def made():
    words = [["Peace", "with", "Great", "Britain", "."], ["Mexicooo", "sees"]]
    return TaggedText("made", words, [[0, 0, 1, 2, 0], [1, 0]], ["O", "B-X", "I-X"], ["s0", "s1"],
                      [frozenset({"United Kingdom"}), frozenset({"Mexico"})])  # fmt: skip


@pytest.mark.parametrize("sentence, expected", [
    ("Great Britain's ships", [("Great", 1), ("Britain", 2), ("'", 0), ("s", 0), ("ships", 0)]),
    ("Spain, Mexico", [("Spain", 1), (",", 0), ("Mexico", 1)]),
    ("The United States", [("The", 0), ("United", 0), ("States", 0)]),
])  # fmt: skip
def test_words_of_a_countrys_name_are_tagged(sentence, expected):
    assert list(module.country_tags(sentence)) == expected


def test_a_tag_stands_at_the_first_token_of_its_word():
    text = made()
    encoded = encode_tagged(text, TOKENIZER, 40)
    for row, (words, tags) in enumerate(zip(text.words, text.tags, strict=True)):
        place = 1  # behind [CLS]
        expected = []
        for word, tag in zip(words, tags, strict=True):
            pieces = TOKENIZER.encode(word, add_special_tokens=False).ids
            assert encoded.input_ids[row, place : place + len(pieces)].tolist() == pieces
            expected += [tag] + [-100] * (len(pieces) - 1)
            place += len(pieces)
        found = encoded.tags[row].tolist()
        assert found[1:place] == expected
        assert found[0] == -100 and set(found[place:]) == {-100}
    assert encoded.tags.shape == encoded.input_ids.shape
    assert any(len(TOKENIZER.encode(w, add_special_tokens=False).ids) > 1 for w in text.words[1])


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
@pytest.mark.parametrize("word", ["", " ", "\u200b", "\u00ad", "\ufeff", "\ufe0f"])
def test_a_word_without_a_token_is_unknown_and_keeps_its_tag(kind, word):
    tokenizer = train_tokenizer(["peace with spain"], 300, kind)
    words = [["peace", word, "spain", word], ["spain"]]
    text = TaggedText("made", words, [[0, 2, 1, 0], [1]], ["O", "B-X", "I-X"], ["s", "s"],
                      [frozenset()] * 2)  # fmt: skip
    encoded = encode_tagged(text, tokenizer, 80)
    assert [[tag for tag in row if tag != -100] for row in encoded.tags.tolist()] == text.tags
    peace, spain, pieces = (tokenizer.encode(w, add_special_tokens=False).ids
                            for w in ("peace", "spain", word))  # fmt: skip
    pieces = pieces or [tokenizer.token_to_id("[UNK]")]
    whole = [*peace, *pieces, *spain, *pieces]
    assert encoded.input_ids[0, 1 : len(whole) + 1].tolist() == whole
    assert words[0][1] == word


def test_words_beyond_the_length_are_cut_off():
    encoded = encode_tagged(made(), TOKENIZER, 4)
    assert encoded.tags.shape == (2, 4) and (encoded.tags[:, -1] == -100).all()


def test_countries_of_the_test_part_are_nowhere_in_the_training_part():
    text = load_tagged_text("countries")
    training, test = text.hold_out(sorted(set(text.sources))[::5], seed=1)
    named = [set().union(*part.names) for part in (training, test)]
    assert not named[0] & named[1] and min(map(len, named)) > 15
    assert not set(training.sources) & set(test.sources)
    for part in (training, test):
        begins = sum(tags.count(1) for tags in part.tags)
        assert begins >= sum(map(len, part.names)) > 300
        assert (
            sum(not any(tags) for tags in part.tags) == sum(not names for names in part.names) > 300
        )
    plain = {"Spain", "Cuba", "France", "Japan", "Mexico", "China"}
    for words, tags in zip(text.words, text.tags, strict=True):
        for before, word, tag in zip(["", *words], words, tags, strict=False):
            assert tag or word not in plain or before == "New", words


# --- The Hub --------------------------------------------------------------------------------


def on_the_hub(monkeypatch, rows, features=None):
    import datasets

    stream = datasets.Dataset.from_dict(rows, features=features).to_iterable_dataset()
    monkeypatch.setattr(hub, "open_stream", lambda *asked: stream)


def test_the_hub_gives_words_tags_and_their_names(monkeypatch):
    import datasets

    names = ["O", "B-PER", "I-PER"]
    tag = datasets.ClassLabel(names=names)
    features = datasets.Features(
        tokens=datasets.List(datasets.Value("string")), ner_tags=datasets.List(tag)
    )
    on_the_hub(monkeypatch, {"tokens": [["Ada", "sees"], []], "ner_tags": [[1, 0], []]}, features)
    text = load_tagged_text("hub:eriktks/conll2003")
    assert (text.words, text.tags, text.classes) == ([["Ada", "sees"]], [[1, 0]], names)


def test_a_sentence_of_the_hub_has_the_number_of_its_row(monkeypatch):
    on_the_hub(monkeypatch, {"tokens": [["a"], [], ["b"]], "ner_tags": [[0], [], [1]]})
    assert load_tagged_text("hub:a/b").sources == ["hub:a/b:1", "hub:a/b:3"]


def test_tags_may_be_text(monkeypatch):
    on_the_hub(monkeypatch, {"words": [["Ada", "sees", "it"]], "tags": [["B-PER", "O", "A"]]})
    text = load_tagged_text("hub:a/b", tokens="words", tags="tags")
    assert text.classes == ["O", "A", "B-PER"] and text.tags == [[2, 0, 1]]


@pytest.mark.parametrize("rows, said", [
    ({"tokens": [["a"]], "tags": [[0]]},
     "has no column 'ner_tags'; did you mean 'tags'[?] its columns are tokens, tags"),
    ({"words": [["a"]], "ner_tags": [[0]]}, "no column 'tokens'; its columns are words, ner_tags"),
    ({"tokens": [["a", "b"]], "ner_tags": [[0]]}, "b:1 has 2 words and 1 tags"),
    ({"tokens": ["a b"], "ner_tags": [[0]]}, "must hold lists, a tag for each word, got str and"),
    ({"tokens": [[]], "ner_tags": [[]]}, "holds no tagged sentence"),
])  # fmt: skip
def test_what_the_hub_lacks_is_named(monkeypatch, rows, said):
    on_the_hub(monkeypatch, rows)
    with pytest.raises(ValueError, match=said):
        load_tagged_text("hub:a/b")


def test_an_unknown_name_and_no_hub_are_told(monkeypatch):
    with pytest.raises(ValueError, match="unknown tagged text 'towns': known are 'countries'"):
        load_tagged_text("towns")
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with pytest.raises(ConnectionError, match="cannot be reached for 'eriktks/conll2003'"):
        load_tagged_text("hub:eriktks/conll2003")


def test_subset_keeps_rows_together():
    part = made().subset(np.array([1]))
    assert (part.words, part.sources, part.names) == (
        [["Mexicooo", "sees"]],
        ["s1"],
        [frozenset({"Mexico"})],
    )
