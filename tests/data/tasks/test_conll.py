"""Tagged sentences of files: words, tags and sentences as a reader of the file would say them."""

import logging

import pytest

from pretrain_lib.data.tables.dialect import Dialect
from pretrain_lib.data.tasks.tagged import load_tagged_text
from pretrain_lib.evaluation.spans import spans


def said(text):
    return [[(word, text.classes[tag]) for word, tag in zip(words, tags, strict=True)] for words, tags in zip(text.words, text.tags, strict=True)]


def load(tmp_path, content, name="a.conll", **options):
    (tmp_path / name).write_bytes(content.encode())
    return load_tagged_text(tmp_path / name, **options)


@pytest.mark.parametrize("name", ["wnut.conll", "train.txt", "train.tsv", "train.bio", "train"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_two_columns_are_a_word_and_its_tag(tmp_path, name, end, caplog):
    lines = ["@paulwalk\tO", "Empire\tB-location", "State\tI-location", "", "", '"\tO', "#\tO", "a\u2028b\tO", "\u3000\tO", "…\tB-person"]
    text = load(tmp_path, end.join(lines), name)
    assert said(text) == [[("@paulwalk", "O"), ("Empire", "B-location"), ("State", "I-location")],
                          [('"', "O"), ("#", "O"), ("a\u2028b", "O"), ("\u3000", "O"), ("…", "B-person")]]
    assert text.classes == ["O", "B-location", "B-person", "I-location"]
    assert text.sources == [f"{tmp_path / name}:{line}" for line in (1, 6)] and not caplog.text


def test_four_columns_have_the_tag_last_and_documents_are_sources(tmp_path, caplog):
    text = load(tmp_path, "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n. . O O\n\n"
                          "-DOCSTART- -X- -X- O\n\nPeter NNP B-NP B-PER\n")
    assert said(text) == [[("EU", "B-ORG"), ("rejects", "O")], [(".", "O")], [("Peter", "B-PER")]]
    assert text.sources == [f"{tmp_path}/a.conll:{line}" for line in (1, 1, 8)]
    assert "words are in column 1, tags in column 4 of 4" in caplog.text
    chunks = load_tagged_text(tmp_path / "a.conll", tags="3")
    assert said(chunks)[0] == [("EU", "B-NP"), ("rejects", "B-VP")]
    named = load_tagged_text(tmp_path / "a.conll", tags="chunk", dialect=Dialect(("tokens", "pos", "chunk", "ner_tags")))
    assert said(named) == said(chunks)


def test_counted_words_and_comments_are_seen_as_such(tmp_path):
    lines = ["#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann\t[2009-10-17]", "1\tAufgrund\tO\tO", '2\t"\tO\tO', "3\t#\tO\tO", "4\tTroja\tB-LOC\tO", "",
             "#\thttp://…\t[2009-10-18]", '1\t"\tO\tO', "2\tDie\tO\tB-LOC", ""]
    text = load(tmp_path, "\n".join(lines), "NER-de-dev.tsv", tags="3")
    assert said(text) == [[("Aufgrund", "O"), ('"', "O"), ("#", "O"), ("Troja", "B-LOC")], [('"', "O"), ("Die", "O")]]
    assert said(load_tagged_text(tmp_path / "NER-de-dev.tsv"))[1][1] == ("Die", "B-LOC")


def test_the_schemes_bioes_and_bio_name_the_same_spans(tmp_path, caplog):
    bio = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "I-LOC"]
    for other in ("B-PER E-PER O S-LOC B-LOC I-LOC E-LOC", "B-PER L-PER O U-LOC B-LOC I-LOC L-LOC"):
        caplog.clear()
        text = load(tmp_path, "".join(f"w{i} {tag}\n" for i, tag in enumerate(other.split())))
        assert [tag for _, tag in said(text)[0]] == bio and "(BIOES)" in caplog.text
    assert spans(bio) == {(0, 2, "PER"), (3, 4, "LOC"), (4, 7, "LOC")}
    text = load(tmp_path, "a E-mail\nb other\n")  # tags that are no scheme
    assert text.classes == ["E-mail", "other"]


@pytest.mark.parametrize("content, options, message", [
    ("a O\nb\n", {}, "a.conll, line 2: 1 columns, where 2 are needed"),
    ("a,O\nb,O\n", {}, "line 1: 1 columns, where 2 are needed.*set --separator"),
    ("a O\nb X O\n", {}, "line 2: 3 columns, where 2"),
    ("a O\n", {"tags": "3"}, "no column '3'; its columns are 1, 2"),
    ("a O\n", {"dialect": Dialect(quote="none")}, "quote is for files of .csv and .tsv"),
    ("\n\n", {}, "is empty: it holds no tagged sentence"),
])  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path, content, options, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, content, **options)


def test_a_separator_can_be_set(tmp_path, caplog):
    text = load(tmp_path, "New York,B-LOC\n", dialect=Dialect(separator=","))
    assert said(text) == [[("New York", "B-LOC")]]
