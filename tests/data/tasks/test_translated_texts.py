"""Pairs of texts: real ones, each once, splits that share nothing, rows that say what is wrong."""

import gettext
import json
from importlib import util
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data import hub
from pretrain_lib.data.tasks import translation as module
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.data.tasks.translation import (
    PACKAGED,
    ParallelText,
    parallel_text_of,
    encode_pairs,
    load_translation,
    plain_string,
)


def compiled(locale):
    """All that the compiled catalogues of a language say: {text: its translations}, by gettext."""
    package = util.find_spec("jupyterlab_language_pack_" + locale.replace("-", "_"))
    said = {}
    for path in Path(package.submodule_search_locations[0]).rglob("*.mo"):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog
        for key, translation in catalogue.items():
            text = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]
            said.setdefault(text.strip(), set()).add(translation.strip())
    return said


@pytest.mark.parametrize("locale", PACKAGED)
def test_packaged_pairs_are_those_of_the_compiled_catalogues(locale):
    text, said = load_translation(locale), compiled(locale)
    assert len(text) > 2500 and len(set(text.sources)) == len(text)
    assert all(b in said[a] and a != b for a, b in zip(text.sources, text.targets, strict=True))
    known = {a for a, translations in said.items() if a and translations - {a, ""}}
    assert len(known - set(text.sources)) <= 0.01 * len(known)
    assert all(number > 0 for number in text.left_out.values())


def test_chinese_is_chinese():
    text = load_translation("zh-CN")
    assert text.targets[text.sources.index("Close")] == "关闭"
    assert sum(any("一" <= c <= "鿿" for c in t) for t in text.targets) > 0.98 * len(text)


def test_each_text_is_kept_once_with_its_most_frequent_translation():
    pairs = [("a", "x"), ("b", "y"), ("a", "z"), ("C", "C"), ("a", "z"), ("b", "y"), ("b", "b")]
    text = parallel_text_of("made", iter(pairs))
    assert (text.sources, text.targets) == (["a", "b"], ["z", "y"])
    assert text.left_out == {"repeated": 2, "other translation": 1, "untranslated": 2}
    assert len(text) + sum(text.left_out.values()) == len(pairs)
    assert parallel_text_of("tied", [("a", "x"), ("a", "y")]).targets == ["x"]


# --- Splits ---------------------------------------------------------------------------------


WORDS = st.lists(st.sampled_from(["open", "Open", "file", "File…", "%1", "…", "close_all"]),
                 min_size=1, max_size=3).map(" ".join)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.sets(WORDS, min_size=8, max_size=40), st.integers(0, 9))
def test_no_text_stands_on_both_sides_of_a_split(texts, seed):
    whole = ParallelText("made", sorted(texts), [t.upper() for t in sorted(texts)], {})
    different = {plain_string(text) for text in texts}
    if not 0 < round(0.3 * len(different)) < len(different):
        return
    train, test = whole.split(0.3, seed)
    assert sorted(train.sources + test.sources) == whole.sources
    held_out = {plain_string(text) for text in test.sources}
    assert not held_out & {plain_string(text) for text in train.sources}
    assert len(held_out) == round(0.3 * len(different))
    for part in (train, test):
        assert part.targets == [text.upper() for text in part.sources]


def test_case_and_punctuation_make_no_other_text():
    assert plain_string("Open_File…") == plain_string("open  file") == "open file"
    assert plain_string("…") == "…"


def test_a_split_is_a_function_of_its_seed():
    whole = load_translation("fr-FR", limit=300)
    assert whole.split(0.2, 1)[1].sources == whole.split(0.2, 1)[1].sources
    assert whole.split(0.2, 1)[1].sources != whole.split(0.2, 2)[1].sources


def test_a_part_without_texts_is_refused():
    whole = ParallelText("made", ["a", "A.", "b"], ["x", "x.", "y"], {})
    for share in (0.0, 0.1, 1.0):
        with pytest.raises(ValueError, match=f"cannot hold out {share} of 2 different texts"):
            whole.split(share)


# --- Files and the Hub ----------------------------------------------------------------------


def test_files_of_ones_own(tmp_path):
    (tmp_path / "a.csv").write_text("en,fr\nClose,Fermer\nOpen,Ouvrir\n")
    rows = [{"translation": {"de": "zu", "en": "Close", "fr": "Fermer"}},
            {"translation": {"de": "auf", "en": "Open", "fr": "Ouvrir"}}]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.tsv").write_text("en\tfr\nClose\tFermer\nOpen\tOuvrir\n")
    for name in ("a.csv", "b.jsonl", "c.tsv"):
        text = load_translation(tmp_path / name, target="fr")
        assert (text.sources, text.targets) == (["Close", "Open"], ["Fermer", "Ouvrir"])
    assert load_translation(tmp_path / "b.jsonl", source="de", target="en").sources == ["zu", "auf"]
    assert len(load_translation(tmp_path / "a.csv", target="fr", limit=1)) == 1


@pytest.mark.parametrize(
    "content, said",
    [
        ("en,de\nx,y\n", r"a.csv has no column 'fr'; its columns are en, de"),
        ("en,fr\nx,y\nz,\n", r"a.csv:3 has nothing in column 'fr'"),
        ("en,fr\nx,x\n", "is empty: it holds no text with a translation"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, said):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=said):
        load_translation(tmp_path / "a.csv", target="fr")


@pytest.mark.parametrize("name", ["fr", "pairs.txt"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=f"unknown translation '{name}': known are 'fr-FR'"):
        load_translation(name)


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(module.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install jupyterlab-language-pack-zh-CN"):
        load_translation("zh-CN")


def test_the_hub(monkeypatch):
    import datasets

    def load_dataset(repository, config, split, **options):
        rows = {"translation": [{"en": f"text {i}", "ro": f"textul {i}"} for i in range(9)]}
        return datasets.Dataset.from_dict(rows).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    monkeypatch.setattr(hub, "commit_of", lambda repository, revision: "c0ffee")
    text = load_translation("hub:wmt/wmt16", config="ro-en", target="ro", limit=4)
    assert text.targets == ["textul 0", "textul 1", "textul 2", "textul 3"]
    with pytest.raises(ValueError, match="where hub:wmt/wmt16 holds its translations"):
        load_translation("hub:wmt/wmt16", config="ro-en")


def test_without_the_hub(monkeypatch, caplog):
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with pytest.raises(ConnectionError, match="cannot be reached for 'wmt/wmt16'"):
        load_translation("hub:wmt/wmt16", target="ro")
    text = load_translation("hub:wmt/wmt16", target="ro", fallback="fr-FR", limit=5)
    assert text.name == "fr-FR" and "Using 'fr-FR' instead" in caplog.text


# --- As ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", PACKAGED)
def test_a_tokenizer_of_bytes_gives_translations_back_to_the_letter(locale):
    train, test = load_translation(locale).split(0.2)
    tokenizer = train_tokenizer(train.targets, 1024, "bpe", lowercase=False)
    pairs = encode_pairs(test, tokenizer, tokenizer, 512, 512)
    assert [tokenizer.decode(row.tolist()) for row in pairs.target_ids] == test.targets


def test_a_batch_is_as_wide_as_its_longest_texts():
    text = ParallelText("made", ["a b c d e", "a", "a b"], ["x", "x y z", "x y"], {})
    tokenizer = train_tokenizer([*text.sources, *text.targets], 20)
    pairs = encode_pairs(text, tokenizer, tokenizer, target_length=4)
    assert pairs.input_ids.shape == (3, 7) and pairs.target_ids.shape == (3, 4)  # truncated
    batch = pairs.take(Keys.of(0, [1, 2]))
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 4)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    for row, id in enumerate([1, 2]):
        real = batch["target_mask"][row] > 0
        expected = tokenizer.encode(text.targets[id]).ids
        assert batch["target_ids"][row][real].tolist()[:3] == expected[:3]
    assert torch.equal(batch["target_ids"][0], pairs.target_ids[1])
    part = pairs.subset([1, 2]).take(Keys.of(0, [0, 1]))
    assert all(torch.equal(part[name], batch[name]) for name in batch)
