"""Token data sets: what goes in comes out, subsets, copies in other processes, damaged folders."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.text.document import Corpus, Document
from pretrain_lib.data.text.shards import prepare
from pretrain_lib.data.text.token_dataset import ShardError, TokenDataset, starts
from pretrain_lib.data.text.tokenizer import tokenizer_hash, train_tokenizer

sentences = st.lists(st.integers(0, 99), min_size=1, max_size=5)
documents = st.lists(st.lists(sentences, max_size=4), max_size=6)
TEXTS = [f"Speech {i} is here. It has {i} parts! Does it end?" for i in range(12)]


def lists(arrays) -> list[list[int]]:
    return [array.tolist() for array in arrays]


def corpus(texts=TEXTS, name="speeches") -> Corpus:
    return Corpus(name, lambda: (Document(text, f"no. {i}", {"parity": str(i % 2)})
                                 for i, text in enumerate(texts)))


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 80)


@pytest.fixture
def prepared(tmp_path, tokenizer):
    """A folder of several shards."""
    prepare(corpus(), tokenizer, tmp_path, shard_tokens=60)
    assert len(list(tmp_path.glob("shard-*"))) > 2
    return tmp_path


@given(documents)
@settings(deadline=None)
def test_documents_and_sentences_come_back(docs):
    dataset = TokenDataset.in_memory(docs, 100)
    assert dataset.num_documents == len(docs)
    assert [lists(dataset.sentences(i)) for i in range(len(docs))] == docs
    flat = [sum(doc, []) for doc in docs]
    assert lists(map(dataset.document, range(len(docs)))) == flat
    assert dataset.tokens == sum(map(len, flat))
    assert dataset.document_lengths.tolist() == list(map(len, flat))
    assert dataset.sentence_counts.tolist() == list(map(len, docs))
    assert dataset.sentence_lengths.tolist() == [len(s) for doc in docs for s in doc]


@given(documents.filter(len), st.data())
@settings(deadline=None)
def test_a_subset_is_the_data_set_of_those_documents(docs, data):
    ids = st.lists(st.integers(0, len(docs) - 1), max_size=8)
    first = data.draw(ids.filter(len))
    second = data.draw(st.lists(st.integers(0, len(first) - 1), max_size=8))
    view = TokenDataset.in_memory(docs, 100).subset(first).subset(second)
    chosen = [docs[first[i]] for i in second]
    alone = TokenDataset.in_memory(chosen, 100)
    assert view.num_documents == len(chosen) and view.tokens == alone.tokens
    assert [lists(view.sentences(i)) for i in range(len(chosen))] == chosen
    for name in ("document_lengths", "sentence_counts", "sentence_lengths"):
        assert getattr(view, name).tolist() == getattr(alone, name).tolist()
    assert view.sources == [str(first[i]) for i in second]


def test_a_document_may_be_one_vector():
    dataset = TokenDataset.in_memory([np.array([3, 4]), [], [5]], 10)
    assert [lists(dataset.sentences(i)) for i in range(3)] == [[[3, 4]], [], [[5]]]


@pytest.mark.parametrize("size, dtype", [(2**16, "uint16"), (2**16 + 1, "uint32")])
def test_the_last_id_of_a_vocabulary_is_kept(size, dtype):
    dataset = TokenDataset.in_memory([[0, size - 1]], size)
    assert dataset.document(0).tolist() == [0, size - 1] and dataset.document(0).dtype == dtype


@pytest.mark.parametrize("token", [-1, 10])
def test_an_id_outside_the_vocabulary_is_refused(token):
    with pytest.raises(ValueError, match=rf"between 0 and 9.*got {min(3, token)}"):
        TokenDataset.in_memory([[3, token]], 10)


def test_sources_and_labels_must_be_as_many_as_documents():
    with pytest.raises(ValueError, match="got 2 documents, 1 and 2"):
        TokenDataset.in_memory([[1], [2]], 10, sources=["a"])


@pytest.mark.parametrize("i", [-1, 3])
def test_a_document_that_is_not_there(i):
    dataset = TokenDataset.in_memory([[1]] * 3, 10)
    with pytest.raises(IndexError, match=f"document {i} of 3"):
        dataset.document(i)
    with pytest.raises(ValueError, match="between 0 and 2"):
        dataset.subset([0, i])


def test_what_is_known_of_documents_comes_from_the_folder(prepared, tokenizer):
    dataset = TokenDataset(prepared, tokenizer)
    assert dataset.sources == [f"no. {i}" for i in range(len(TEXTS))]
    assert dataset.labels == [{"parity": str(i % 2)} for i in range(len(TEXTS))]
    assert dataset.subset([5, 2, 5]).sources == ["no. 5", "no. 2", "no. 5"]


def test_a_copy_in_another_process_sends_no_tokens(prepared):
    dataset = TokenDataset(prepared)
    expected = lists(map(dataset.document, range(dataset.num_documents)))  # maps the files
    sent = pickle.dumps(dataset.subset([3, 1]))
    big = TokenDataset.in_memory([np.zeros(100_000, int)], 10)
    assert len(sent) < 3000 < len(pickle.dumps(big))
    assert lists(map(pickle.loads(sent).document, [0, 1])) == [expected[3], expected[1]]


def test_tokens_on_disk_cannot_be_changed(prepared):
    with pytest.raises(ValueError, match="read-only"):
        TokenDataset(prepared).document(0)[0] = 1


@given(st.lists(st.integers(0, 9)))
def test_starts_are_sums_of_what_comes_before(lengths):
    assert starts(lengths).tolist() == [sum(lengths[:i]) for i in range(len(lengths) + 1)]


# --- Folders that are not as they should be -----------------------------------------------------


def test_another_tokenizer_is_refused_by_both_hashes(prepared, tokenizer):
    other = train_tokenizer(TEXTS, 70)
    with pytest.raises(ShardError) as error:
        TokenDataset(prepared, other)
    assert tokenizer_hash(tokenizer) in str(error.value)
    assert tokenizer_hash(other) in str(error.value)


@pytest.mark.parametrize("name", ["tokens.bin", "sentences.bin", "documents.bin",
                                  "documents.jsonl"])
def test_a_damaged_file_is_named_with_what_was_expected_and_found(prepared, name):
    path = prepared / "shard-00001" / name
    sound = path.read_bytes()

    path.write_bytes(sound[:-1])
    message = f"{name} is truncated: expected {len(sound)} bytes, found {len(sound) - 1}"
    for verify in (True, False):
        with pytest.raises(ShardError, match=message):
            TokenDataset(prepared, verify=verify)

    path.write_bytes(sound + b"x")
    with pytest.raises(ShardError, match=f"{name} is altered.*found {len(sound) + 1}"):
        TokenDataset(prepared, verify=False)

    path.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    with pytest.raises(ShardError, match=f"{name} is altered: expected SHA-256 .*, found"):
        TokenDataset(prepared)
    TokenDataset(prepared, verify=False)

    path.unlink()
    with pytest.raises(ShardError, match=f"{name} is missing"):
        TokenDataset(prepared, verify=False)


def test_a_folder_without_manifest_is_not_complete(prepared):
    (prepared / "manifest.json").unlink()
    with pytest.raises(ShardError, match="no manifest.json. Call prepare"):
        TokenDataset(prepared)


@pytest.mark.parametrize("content, message", [
    ("{", "is not JSON"), ("[]", "lacks format"), ('{"format": 1}', "lacks tokenizer"),
    ('"x"', "lacks format"), ("3", "is not JSON"),
])
def test_a_damaged_manifest_is_called_that(prepared, content, message):
    (prepared / "manifest.json").write_text(content)
    with pytest.raises(ShardError, match=f"manifest.json is damaged: it {message}"):
        TokenDataset(prepared)


FIELDS = {"corpus": "others", "tokenizer": "0" * 64, "vocab_size": 81, "dtype": "uint32",
          "shard_tokens": 61}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("where", ["manifest.json", "shard-00001/shard.json"])
def test_a_manifest_and_a_shard_that_contradict_each_other_are_named(prepared, where, name):
    """uint32 would make one id of two, a smaller vocabulary would let ids point outside it."""
    content = json.loads((prepared / where).read_text())
    (prepared / where).write_text(json.dumps(content | {name: FIELDS[name]}))
    first, second = content[name], FIELDS[name]
    if where == "manifest.json":
        first, second = second, first
    message = (f"manifest.json and .*shard-0000.*shard.json differ, so one of them is altered: "
               f"{name} is {first!r} and {second!r}; delete manifest.json and shard-0000")
    for verify in (True, False):
        with pytest.raises(ShardError, match=message):
            TokenDataset(prepared, verify=verify)


def test_what_a_manifest_says_of_a_shard_is_compared_with_it(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    manifest["shards"][1]["files"]["tokens.bin"]["sha256"] = "0" * 64
    (prepared / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ShardError, match="shard-00001.*altered: files is"):
        TokenDataset(prepared)


def test_a_manifest_that_lost_a_shard_is_called_altered(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    del manifest["shards"][-1]
    (prepared / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ShardError, match=r"manifest.json is altered: its documents are 12, but \d"):
        TokenDataset(prepared)


def test_a_shard_without_a_record_is_named(prepared):
    (prepared / "shard-00001" / "shard.json").unlink()
    with pytest.raises(ShardError, match="shard-00001/shard.json is missing: delete"):
        TokenDataset(prepared)


def test_another_version_of_the_format_is_named(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    (prepared / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(ShardError, match="has format 2, expected 1"):
        TokenDataset(prepared)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 8), max_size=7), min_size=1, max_size=9), st.data())
def test_counts_are_those_of_its_documents_however_they_lie(docs, data):
    shards = [TokenDataset.in_memory([d], 9)._shards[0] for d in docs]  # a shard each
    apart = TokenDataset.__new__(TokenDataset)
    apart._hold(shards, 9, None)
    together = TokenDataset.in_memory(docs, 9)
    chosen = data.draw(st.lists(st.integers(0, len(docs) - 1), max_size=12))
    for whole in (apart, together):
        for dataset, own in ((whole, docs), (whole.subset(chosen), [docs[i] for i in chosen])):
            flat = [token for d in own for token in d]
            assert dataset.counts.tolist() == [flat.count(token) for token in range(9)]
            assert np.concatenate([[], *dataset.pieces()]).tolist() == flat


def test_pieces_of_a_large_document_are_small(monkeypatch):
    monkeypatch.setattr("pretrain_lib.data.text.token_dataset.PIECE", 3)
    dataset = TokenDataset.in_memory([[1, 2, 3, 4], [5, 6, 7, 8]], 9)
    assert lists(dataset.pieces()) == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert dataset.counts.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1]


def test_the_digest_of_shards_tells_texts_and_documents_apart_and_not_folders(tokenizer, tmp_path):
    one, same, other = (prepare(corpus(texts), tokenizer, tmp_path / str(i), shard_tokens=5)
                        for i, texts in enumerate([TEXTS, TEXTS, [*TEXTS[:-1], "Other words."]]))
    assert one.digest_of_shards() == same.digest_of_shards() != other.digest_of_shards()
    assert one.subset([0, 1]).digest_of_shards() != one.subset([1, 0]).digest_of_shards()
    assert one.subset(range(one.num_documents)).digest_of_shards() == one.digest_of_shards()
    assert TokenDataset.in_memory([[1]], 9).digest_of_shards() is None
