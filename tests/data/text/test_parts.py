"""What a document is in a .txt, and what of a text is trained on, what held out, what neither."""

import random

import numpy as np
import pytest

from pretrain_lib.data.text.document import Document
from pretrain_lib.data.text.load import load_text
from pretrain_lib.data.text.parts import two_at_least
from pretrain_lib.data.text.shards import ShardError, prepare
from pretrain_lib.data.text.text_data import TextConfig, TextData, digest, prepared_folder, settled, split_documents
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.data.text.tokenizer import train_tokenizer

WORDS = "the a of and river stone light water road city old new green long went saw took gave".split()


def sentence(generator) -> str:
    return " ".join(generator.choices(WORDS, k=generator.randint(6, 14))).capitalize() + "."


def wrapped(text: str, width: int) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines) + "\n"


def texts(seed: int = 0, n: int = 30) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(sentence(generator) for _ in range(generator.randint(1, 9))) for _ in range(n)]


CODE = "".join(f"def f{i}(x):\n    if x > {i}:\n        return x\n    return {i}\n\n\n" for i in range(40))
CHINESE = ["我们今天去公园，天气很好。", "他说这本书不错。", "你呢？", "昨天下了一整天的雨，路上都是水，我没有出门。"]


@pytest.mark.parametrize("text, part, documents", [
    ("\n\n".join(wrapped(t, 70) for t in texts()), "a paragraph", 30),
    ("\n\n".join(texts()), "a paragraph", 30),
    ("\n".join(texts()), "a line", 30),
    ("\n".join(CHINESE * 9), "a line", 36),
    (wrapped(" ".join(texts()), 70), "the whole file", 1),
    (" ".join(texts()), "the whole file", 1),
    ("\n\n".join(texts()[:3]), "the whole file", 1),
    (CODE, "the whole file", 1),
], ids=["paragraphs wrapped", "paragraphs", "lines", "Chinese lines", "wrapped", "one line", "three paragraphs", "code"])
def test_what_a_document_is_in_a_single_file_is_guessed_and_told(text, part, documents, tmp_path, capsys):
    path = tmp_path / "mine.txt"
    path.write_text(text, encoding="utf-8")
    found = list(load_text(path))
    assert len(found) == documents
    assert capsys.readouterr().out.startswith(f"{path}: {part} is a document; if not so, set document to ")
    assert "".join("".join(d.text for d in found).split()) == "".join(text.split())


@pytest.mark.parametrize("document, expected", [
    ("file", {"": " a\n b\n\n\n c\nd\n", }), ("paragraph", {":1": " a\n b\n\n", ":5": " c\nd\n"}),
    ("line", {":1": " a\n", ":2": " b\n", ":5": " c\n", ":6": "d\n"})])
def test_a_document_is_what_is_asked_for_and_is_found_by_its_line(document, expected, tmp_path, capsys):
    path = tmp_path / "mine.txt"
    path.write_text(" a\n b\n\n\n c\nd\n", encoding="utf-8")
    assert {d.source: d.text for d in load_text(path, document=document)} == {f"{path}{line}": text for line, text in expected.items()}
    assert capsys.readouterr().out == ""


def test_of_several_files_each_is_a_document_unless_asked(tmp_path, capsys):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("\n".join(texts()), encoding="utf-8")
    assert len(list(load_text(f"{tmp_path}/*.txt"))) == 2 and not capsys.readouterr().out
    assert len(list(load_text(f"{tmp_path}/*.txt", document="line"))) == 60


def test_what_cannot_be_parted_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text\nhello\n", encoding="utf-8")
    for name in (tmp_path / "a.csv", "sotu"):
        with pytest.raises(ValueError, match="document='line' is for .txt files"):
            load_text(name, document="line")
    with pytest.raises(ValueError, match="document must be one of auto, file, paragraph, line, got 'page'"):
        load_text("sotu", document="page")


# ------------------------------------------------------------------------------ what is held out


@pytest.mark.parametrize("text, end", [
    ("a line of words\n" * 4000, "\na line of words"), ("We met. They came! " * 4000, " We met."), ("नाम है। " * 4000, " नाम है।"),
    ("我们走。" * 9000, "我们走。"), ("คำไทย วัน" * 4000, " วัน"), ("คำ" * 9000, "คำ"), ("x" * 3000, "x" * 1500), ("one word", " word")])
def test_the_last_part_of_a_single_document_is_its_end(text, end):
    first, second = two_at_least([Document(text, "mine.txt", {"a": "b"})])
    assert first.text + second.text == text and second.text.startswith(end)
    least = max(len(text) // 20, min(2000, len(text) // 2))
    assert least <= len(second.text) < least + 60
    assert (first.source, second.source, second.labels) == ("mine.txt", "mine.txt, its end", {"a": "b"})


def test_what_is_several_documents_stays_so():
    for n in (0, 2, 3):
        documents = [Document("Some text. And more.", str(i)) for i in range(n)]
        assert list(two_at_least(iter(documents))) == documents


def test_more_is_held_out_where_documents_are_short():
    dataset = TokenDataset.in_memory([np.array([5 + i % 70, i // 70]) for i in range(100)], 80)
    assert [split_documents(dataset, "", fewest)[1].num_documents for fewest in (1, 10, 12, 25)] == [5, 5, 6, 14]
    few = dataset.subset(range(10))
    assert [split_documents(few, "", fewest)[1].num_documents for fewest in (1, 4, 6, 10, 99)] == [2, 2, 3, 5, 2]


def test_near_repeats_of_what_is_held_out_are_left_out_where_asked():
    generator = np.random.default_rng(0)
    documents = list(generator.integers(5, 80, (40, 200)))
    documents[0] = np.concatenate([documents[19][:-1], [3]])  # a word of 200 is another one
    documents[1] = documents[39]
    dataset = TokenDataset.in_memory(documents, 80)
    assert split_documents(dataset, "")[0].sources == [str(i) for i in range(40) if i not in (1, 19, 39)]
    assert split_documents(dataset, "", near_repeats=0.8)[0].sources == [str(i) for i in range(40) if i not in (0, 1, 19, 39)]


def test_auto_is_the_zoos_for_the_addresses_and_ones_own_for_all_else():
    assert [getattr(settled(TextConfig()), name) for name in ("tokenizer", "hold_out")] == ["sotu-8192"] * 2
    assert [getattr(settled(TextConfig("mine.txt")), name) for name in ("tokenizer", "hold_out")] == [""] * 2
    assert [settled(TextConfig("mine.txt", keep_lines=keep)).tokenizer_kind for keep in (False, True)] == ["wordpiece", "bpe"]
    assert settled(TextConfig("mine.txt", tokenizer="sotu-8192")).tokenizer == "sotu-8192"


def test_what_gives_other_tokens_lies_in_another_folder(tmp_path):
    others = [{}, {"document": "line"}, {"lowercase": False}, {"strip_accents": True},
              {"tokenizer_kind": "bpe"}, {"tokenizer_kind": "bpe", "keep_lines": True}]
    assert len({prepared_folder(TextConfig("mine.txt", **other), tmp_path / "run") for other in others}) == len(others)
    assert prepared_folder(TextConfig("mine.txt"), tmp_path / "run").name == "mine.txt-wordpiece-8192"


# ------------------------------------------------------------------------------------ kept lines


def test_code_is_trained_on_as_it_is_encoded_at_use(tmp_path):
    """Line breaks and indentation are in the tokens: all of them together are the code."""
    path = tmp_path / "mine.txt"
    path.write_text(CODE, encoding="utf-8")
    config = TextConfig(str(path), keep_lines=True, vocab_size=400, length=16)
    data = TextData.open(config, tmp_path / "run")
    ids = [part.document(0) for part in data.documents]
    assert np.concatenate(ids).tolist() == data.tokenizer.encode(CODE, add_special_tokens=False).ids
    assert data.tokenizer.decode(np.concatenate(ids)) == CODE
    assert data.documents[0].sentence_counts.sum() > 100  # lines, for pairs


def test_lines_are_kept_by_a_tokenizer_that_has_them_or_not_at_all(tmp_path):
    (tmp_path / "mine.txt").write_text(CODE, encoding="utf-8")
    corpus, lines = load_text(tmp_path / "mine.txt", document="file"), train_tokenizer([CODE], 300, "bpe", keep_lines=True)
    with pytest.raises(ValueError, match="does not keep line breaks"):
        prepare(corpus, train_tokenizer([CODE], 300, "bpe"), tmp_path / "a", keep_lines=True)
    with pytest.raises(ValueError, match="tokenizer_kind must be bpe, which knows line breaks, for keep_lines, got 'wordpiece'"):
        TextConfig("mine.txt", keep_lines=True, tokenizer_kind="wordpiece")
    for first in (True, False):
        prepare(corpus, lines, tmp_path / str(first), keep_lines=first)
        prepare(corpus, lines, tmp_path / str(first), keep_lines=first)
        with pytest.raises(ShardError, match="their keep_lines is"):
            prepare(corpus, lines, tmp_path / str(first), keep_lines=not first)


def test_a_run_of_before_these_settings_goes_on(tmp_path):
    """Its description lacks them, or has digests of all tokens: what it says today is the same run."""
    (tmp_path / "mine.txt").write_text("\n".join(texts()), encoding="utf-8")
    data = TextData.open(TextConfig(str(tmp_path / "mine.txt"), vocab_size=200, length=16), tmp_path / "run")
    then = {name: value for name, value in data.about().items() if name not in
            ("document", "keep_lines", "lowercase", "strip_accents", "near_repeats")}
    then |= {name: digest(part) for name, part in zip(("training_text", "held_out_text"), data.documents, strict=True)}
    assert then != data.about() == data.recognised(then)
    assert data.recognised(then | {"held_out_text": "other"}) != data.about()
