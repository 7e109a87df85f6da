"""Words that become tokens: alone as whole words, and nothing else is cut otherwise than before."""

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

import pretrain_lib as pl
from pretrain_lib.data.text.new_words import read_words, told, unknown_words, with_new_words
from pretrain_lib.data.text.text_data import TextConfig, opened, prepared, prepared_folder
from pretrain_lib.data.text.tokenizer import save_tokenizer, vocabulary_size

TEXT = ["The house of gold and silver stood by the river. They said it was old, and went on."]
NEW = ["Postgres", "zebra", "gold"]
KINDS = {"wordpiece": pl.train_tokenizer(TEXT * 3, 70), "bpe": pl.train_tokenizer(TEXT * 3, 400, "bpe"),
         "cased": pl.train_tokenizer(TEXT * 3, 400, "bpe", lowercase=False)}
GROWN = {kind: with_new_words(tokenizer, NEW) for kind, tokenizer in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_word_is_one_token_where_it_is_a_whole_word(kind, tmp_path):
    tokenizer, grown = KINDS[kind], GROWN[kind]
    word = "Postgres" if kind == "cased" else "postgres"
    size = vocabulary_size(tokenizer)
    assert {grown.id_to_token(size), grown.id_to_token(size + 1)} == {word, "zebra"}
    assert vocabulary_size(grown) == size + 2 and vocabulary_size(KINDS[kind]) == size
    ids = lambda text: grown.encode(text, add_special_tokens=False).ids
    for text in ("Postgres", "the Postgres, old", "(Postgres)", "gold-Postgres."):
        assert ids(text).count(grown.token_to_id(word)) == 1
    for text in ("Postgresql stood", "an unPostgres", "zebras"):
        assert ids(text) == tokenizer.encode(text, add_special_tokens=False).ids
    if kind != "wordpiece":  # which writes a space for every run of white space
        assert grown.decode(ids("the Postgres, old zebra")).lower() == "the postgres, old zebra"
    save_tokenizer(grown, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("The Postgres, a zebra and Postgresql.", "Zebra"):
        assert theirs(text)["input_ids"] == grown.encode(text).ids


@pytest.mark.parametrize("kind", KINDS)
@given(words=st.lists(st.sampled_from([*"The house of gold and silver stood by , . zeb postgre ZEBRAS".split()]), max_size=8))
def test_a_text_without_new_words_is_cut_as_before(kind, words):
    text = " ".join(words)
    assert GROWN[kind].encode(text).ids == KINDS[kind].encode(text).ids


def test_words_that_are_known_and_words_that_come_twice():
    tokenizer = KINDS["wordpiece"]
    words = ["The", "zebra", "ZEBRA", "of", "été"]
    assert unknown_words(tokenizer, words) == ["zebra", "été"]
    assert told(tokenizer, words) == "new words: 2 added; 2 left out, which are one token already: The, of"
    assert told(tokenizer, ["zebra"]) == "new words: 1 added"
    assert told(tokenizer, ["the"] * 6).endswith("the, the, the, the, the …")


def test_a_word_that_bytes_would_write_otherwise_is_refused():
    assert with_new_words(KINDS["wordpiece"], ["été"]).token_to_id("été")
    with pytest.raises(ValueError, match="'été' cannot be a new word: this tokenizer would write"):
        with_new_words(KINDS["bpe"], ["été"])
    assert with_new_words(KINDS["bpe"], ["вода"]).token_to_id("вода")


@pytest.mark.parametrize("text, message", [
    ("one\n\n two words \n", "line 3: a line must have one word, got 'two words'"),
    ("\n \n", "has no word: it must have one a line"),
    (None, "there is no file .* with new words"),
])
def test_a_file_that_has_no_word_a_line_is_refused_in_one_line(text, message, tmp_path):
    if text is not None:
        (tmp_path / "w.txt").write_text(text, encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        read_words(tmp_path / "w.txt")
    assert "\n" not in str(error.value)


def test_other_words_are_kept_in_another_folder(tmp_path):
    (tmp_path / "corpus.txt").write_text("\n\n".join(["the old zebra stood by postgres"] * 3), encoding="utf-8")
    save_tokenizer(KINDS["bpe"], tmp_path / "tokenizer")
    plain = TextConfig(str(tmp_path / "corpus.txt"), tokenizer=str(tmp_path / "tokenizer"), document="paragraph")
    folders, tokens = set(), []
    for words in ("", "zebra", "zebra\n\npostgres\n"):
        (tmp_path / "w.txt").write_text(words)
        config = plain if not words else TextConfig(**vars(plain) | {"new_words": str(tmp_path / "w.txt")})
        tokenizer, dataset = prepared(config, tmp_path / "run")
        assert opened(config, tmp_path / "run")[0].to_str() == tokenizer.to_str()
        folders.add(prepared_folder(config, tmp_path / "run"))
        tokens.append(dataset.tokens)
    assert len(folders) == 3 and tokens[0] > tokens[1] > tokens[2]
    own = TextConfig(plain.corpus, tokenizer="", new_words=str(tmp_path / "w.txt"))
    with pytest.raises(ValueError, match="new_words must be left out, .* a tokenizer is trained on this text"):
        prepared(own, tmp_path / "run")
