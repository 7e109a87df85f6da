"""Preparing text: the tokenizer's ids, shards that survive a kill, and folders already in use."""

import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain_lib import files as library_files
from pretrain_lib.data.text import shard_writer, shards
from pretrain_lib.data.text.document import Corpus, Document, split_sentences
from pretrain_lib.data.text.shards import prepare
from pretrain_lib.data.text.token_dataset import ShardError, TokenDataset
from pretrain_lib.data.text.tokenizer import special_ids, tokenizer_hash, train_tokenizer

WORDS = ("the of Union naïve president people [MASK] [SEP] wages 1790 U.S. Mr. rights 你好。 "
         "peace\u00ad war? law! and; (so) … \n\n").split(" ")
fork = multiprocessing.get_context("fork" if sys.platform != "win32" else "spawn")
posix = pytest.mark.skipif(sys.platform == "win32", reason="processes that fork")


def texts(n: int, seed: int = 0, words: int = 60) -> list[str]:
    """n texts of up to so many words, some of them empty."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(0, words))) for _ in range(n)]


def corpus(texts, name: str = "speeches") -> Corpus:
    return Corpus(name, lambda: (Document(text, f"no. {i}", {"parity": str(i % 2)})
                                 for i, text in enumerate(texts)))


def contents(dataset: TokenDataset) -> list[list[list[int]]]:
    return [[s.tolist() for s in dataset.sentences(i)] for i in range(dataset.num_documents)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module", params=["wordpiece", "bpe"])
def tokenizer(request):
    return train_tokenizer(texts(50), 300, request.param)


@pytest.fixture(scope="module")
def wordpiece():
    return train_tokenizer(texts(50), 100)


# --- The ids --------------------------------------------------------------------------------------


@given(docs=st.lists(st.lists(st.sampled_from([w for w in WORDS if w not in ("[MASK]", "[SEP]")]))
                     .map(" ".join), min_size=1, max_size=8),
       shard_tokens=st.integers(1, 60), batch=st.integers(1, 80))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_document_is_encoded_as_its_sentences_in_a_row(tokenizer, docs, shard_tokens, batch,
                                                         tmp_path_factory):
    """Whatever the sizes of shards and batches: they leave no trace."""
    docs.append("A last one.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BATCH", batch)
        dataset = prepare(corpus(docs), tokenizer, tmp_path_factory.mktemp("x"), shard_tokens)
    whole = [tokenizer.encode(" ".join(split_sentences(text)), add_special_tokens=False).ids
             for text in docs]
    assert [dataset.document(i).tolist() for i in range(len(docs))] == whole
    lengths = [[len(tokenizer.encode(f" {s}" if i else s, add_special_tokens=False))
                for i, s in enumerate(split_sentences(text))] for text in docs]
    assert [[len(s) for s in dataset.sentences(i)] for i in range(len(docs))] == [
        [n for n in row if n] for row in lengths]
    assert dataset.sources == [f"no. {i}" for i in range(len(docs))]


def test_special_tokens_in_a_text_are_text(tokenizer, tmp_path):
    """A text about BERT must not hold a true [MASK], nor end a piece with a true [SEP]."""
    dataset = prepare(corpus(["Hide a [MASK] [PAD] here. [CLS] [SEP]"]), tokenizer, tmp_path)
    special = special_ids(tokenizer)
    assert not {special.mask, special.pad, special.cls, special.sep} & set(
        dataset.document(0).tolist())
    assert "mask" in tokenizer.decode(dataset.document(0).tolist()).replace(" ", "")


def test_padding_and_truncation_of_a_tokenizer_do_not_matter(wordpiece, tmp_path):
    expected = prepare(corpus(texts(9)), wordpiece, tmp_path / "a")
    other = wordpiece.from_str(wordpiece.to_str())
    other.enable_truncation(3)
    other.enable_padding(length=50)
    found = prepare(corpus(texts(9)), other, tmp_path / "b")
    assert contents(found) == contents(expected)
    assert other.truncation["max_length"] == 3 and other.padding["length"] == 50


def test_a_large_vocabulary_gets_32_bits(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(65_600)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    dataset = prepare(corpus(["w65599 w3 w65536"]), tokenizer, tmp_path)
    assert dataset.document(0).tolist() == [65_599, 3, 65_536]
    assert (tmp_path / "shard-00000" / "tokens.bin").stat().st_size == 12


def test_the_manifest_says_what_was_done(wordpiece, tmp_path):
    dataset = prepare(corpus(texts(30), "my speeches"), wordpiece, tmp_path, shard_tokens=100)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["corpus"] == "my speeches" and manifest["format"] == 1
    assert manifest["tokenizer"] == tokenizer_hash(wordpiece)
    assert manifest["documents"] == 30 and manifest["tokens"] == dataset.tokens
    assert manifest["sentences"] == len(dataset.sentence_lengths)
    sizes = [shard["tokens"] for shard in manifest["shards"]]
    assert sum(sizes) == dataset.tokens and len(sizes) > 3
    assert all(100 <= size < 100 + dataset.document_lengths.max() for size in sizes[:-1])
    assert not list(tmp_path.glob(".partial*"))


# --- Killed and run again -------------------------------------------------------------------------


def in_a_fork(task) -> multiprocessing.Process:
    process = fork.Process(target=task)
    process.start()
    return process


def counting_calls(task, kill_at: int | None = None) -> int:
    """Calls (of Python's or C's functions, in all threads) of a task; killed at the kill_at-th."""
    calls = itertools.count()

    def count(frame, event, arg):
        if next(calls) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(count)
    sys.setprofile(count)
    task()
    sys.setprofile(None)
    threading.setprofile(None)
    return next(calls)


@posix
def test_killed_at_random_moments_and_run_again_it_writes_the_same_bytes(wordpiece, tmp_path):
    docs = corpus(texts(500, words=100))
    all_calls = counting_calls(lambda: prepare(docs, wordpiece, tmp_path / "0", shard_tokens=2000))
    expected = files(tmp_path / "0")
    draw, killed = random.Random(0), 0
    for trial in range(1, 6):
        folder = tmp_path / str(trial)
        first, second = sorted(draw.sample(range(all_calls), 2))
        for kill_at in (first, second - first):  # the second run goes on where the first was killed
            process = in_a_fork(lambda folder=folder, kill_at=kill_at: counting_calls(
                lambda: prepare(docs, wordpiece, folder, shard_tokens=2000), kill_at))
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
            killed += process.exitcode == -signal.SIGKILL
        prepare(docs, wordpiece, folder, shard_tokens=2000)
        assert files(folder) == expected
    assert killed > 5, "most runs ended before they could be killed: a test of little"


@posix
def test_killed_before_each_step_of_writing_it_writes_the_same_bytes(wordpiece, tmp_path):
    """Every file and every rename is waited for: there are no other moments to fear."""
    docs = corpus(texts(12))
    prepare(docs, wordpiece, tmp_path / "whole", shard_tokens=200)
    expected = files(tmp_path / "whole")

    def killed_at(step: int, folder: Path):
        calls, sync = iter(range(1000)), library_files.sync

        def die(path):
            if next(calls) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(path)

        library_files.sync = shard_writer.sync = die
        prepare(docs, wordpiece, folder, shard_tokens=200)

    step, exit_code = 0, None
    while exit_code != 0:
        folder = tmp_path / str(step)
        process = in_a_fork(lambda step=step, folder=folder: killed_at(step, folder))
        process.join()
        exit_code = process.exitcode
        assert exit_code in (0, -signal.SIGKILL)
        assert exit_code == 0 or step == 0 or len(files(folder)) > 0
        prepare(docs, wordpiece, folder, shard_tokens=200)
        assert files(folder) == expected
        step += 1
    assert step > 2 * 7, "two shards of six files and their folder, at least"


@posix
def test_two_processes_may_prepare_one_folder_at_the_same_moment(wordpiece, tmp_path):
    """One of them works, and all end with what one alone makes."""
    docs, folder, gate = corpus(texts(40)), tmp_path / "shared", fork.Barrier(3)
    expected = prepare(docs, wordpiece, tmp_path / "alone", shard_tokens=200)

    def together():
        gate.wait()
        found = prepare(docs, wordpiece, folder, shard_tokens=200)
        assert found.tokens == expected.tokens

    processes = [in_a_fork(together) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert files(folder) == files(tmp_path / "alone")


def test_finished_shards_are_kept(wordpiece, tmp_path):
    docs = texts(40)
    prepare(corpus(docs), wordpiece, tmp_path, shard_tokens=200)
    expected = files(tmp_path)
    (tmp_path / "manifest.json").unlink()
    last = max(tmp_path.glob("shard-*"))
    shutil.rmtree(last)
    (tmp_path / ".partial-shard-00009").mkdir()
    times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("shard-*/*")}
    prepare(corpus(docs), wordpiece, tmp_path, shard_tokens=200)
    assert files(tmp_path) == expected
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_a_complete_folder_is_opened_and_nothing_is_encoded(wordpiece, tmp_path, monkeypatch):
    prepare(corpus(texts(9)), wordpiece, tmp_path)
    expected = files(tmp_path)
    monkeypatch.setattr(shards, "encode", None)
    again = prepare(corpus(texts(9)), wordpiece, tmp_path)
    assert again.num_documents == 9 and files(tmp_path) == expected


def test_a_complete_folder_may_be_opened_by_many_at_once(wordpiece, tmp_path):
    """Nobody writes there, so nobody gets in another's way."""
    prepare(corpus(texts(9)), wordpiece, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    assert prepare(corpus(texts(9)), wordpiece, tmp_path).num_documents == 9
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_shard_that_was_deleted_is_made_again(wordpiece, tmp_path):
    docs = texts(40)
    prepare(corpus(docs), wordpiece, tmp_path, shard_tokens=200)
    expected = files(tmp_path)
    shutil.rmtree(tmp_path / "shard-00001")
    with pytest.raises(ShardError, match="shard-00001.*missing"):
        TokenDataset(tmp_path)
    prepare(corpus(docs), wordpiece, tmp_path, shard_tokens=200)
    assert files(tmp_path) == expected


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("docs, held", [([], 0), (["", " \n\n "], 2)])
def test_an_empty_corpus_is_refused_and_leaves_nothing(wordpiece, tmp_path, docs, held):
    with pytest.raises(ValueError, match=f"'none' is empty: its {held} documents hold no token"):
        prepare(corpus(docs, "none"), wordpiece, tmp_path)
    assert files(tmp_path) == {}


def test_a_text_that_is_no_unicode_is_named(wordpiece, tmp_path):
    with pytest.raises(ValueError, match=r"no. 1 is no valid Unicode: character 3 .*'\\ud800'"):
        prepare(corpus(["fine", "bad\ud800"]), wordpiece, tmp_path)
    assert files(tmp_path) == {}


def test_a_shard_needs_a_token(wordpiece, tmp_path):
    with pytest.raises(ValueError, match="shard_tokens must be at least 1, got 0"):
        prepare(corpus(["a"]), wordpiece, tmp_path, shard_tokens=0)


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_in_use_is_refused_and_left_alone(wordpiece, tmp_path, finished):
    docs = texts(40)
    prepare(corpus(docs), wordpiece, tmp_path, shard_tokens=200)
    if not finished:
        (tmp_path / "manifest.json").unlink()
        shutil.rmtree(max(tmp_path.glob("shard-*")))
    before = files(tmp_path)
    other = train_tokenizer(docs, 90)
    changed = [*docs[:2], docs[2] + " More.", *docs[3:]]
    for message, attempt in {
        "their corpus is 'speeches', not 'others'": (corpus(docs, "others"), wordpiece, 200),
        f"their tokenizer is '{tokenizer_hash(wordpiece)}', not '{tokenizer_hash(other)}'":
            (corpus(docs), other, 200),
        "their shard_tokens is 200, not 201": (corpus(docs), wordpiece, 201),
        "the documents of shard-00000 are not those of this 'speeches'":
            (corpus(changed), wordpiece, 200),
        "the documents of shard-0000": (corpus(docs[1:]), wordpiece, 200),
    }.items():
        other_corpus, its_tokenizer, size = attempt
        with pytest.raises(ShardError, match=message):
            prepare(other_corpus, its_tokenizer, tmp_path, size)
        assert files(tmp_path) == before


def test_a_corpus_that_lost_or_gained_documents_is_another(wordpiece, tmp_path):
    docs = texts(40)
    prepare(corpus(docs), wordpiece, tmp_path, shard_tokens=200)
    before = files(tmp_path)
    with pytest.raises(ShardError, match="the documents of shard-.* are not those"):
        prepare(corpus(docs[:-1]), wordpiece, tmp_path, shard_tokens=200)
    with pytest.raises(ShardError, match="has more documents, beginning with 'no. 40'"):
        prepare(corpus([*docs, "More."]), wordpiece, tmp_path, shard_tokens=200)
    assert files(tmp_path) == before


def test_a_damaged_shard_is_not_built_upon(wordpiece, tmp_path):
    prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    (tmp_path / "manifest.json").unlink()
    path = tmp_path / "shard-00001" / "tokens.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ShardError, match="tokens.bin is truncated.*delete shard-00001"):
        prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    shutil.rmtree(path.parent)
    prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    TokenDataset(tmp_path)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("name", ["tokens.bin", "sentences.bin", "documents.bin",
                                  "documents.jsonl"])
def test_a_byte_that_changed_in_a_finished_shard_is_found(wordpiece, tmp_path, finished, name):
    """Of the same size, so that only the checksum tells."""
    prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    if not finished:
        (tmp_path / "manifest.json").unlink()
    path = tmp_path / "shard-00001" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = files(tmp_path)
    message = f"{name} is altered: expected SHA-256 .*, found .*; delete shard-00001"
    with pytest.raises(ShardError, match=message):
        prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name, value", [("dtype", "uint32"), ("vocab_size", 101)])
def test_an_altered_manifest_is_found(wordpiece, tmp_path, name, value):
    prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    expected = files(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ShardError, match=f"manifest.json and .*shard.json differ.*: {name} is"):
        prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    path.unlink()
    shutil.rmtree(tmp_path / "shard-00000")
    prepare(corpus(texts(40)), wordpiece, tmp_path, shard_tokens=200)
    assert files(tmp_path) == expected


def test_an_error_of_the_corpus_is_not_called_one_of_the_disk(wordpiece, tmp_path):
    def read():
        yield from (Document(text, "x") for text in texts(20))
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        prepare(Corpus("far", read), wordpiece, tmp_path, shard_tokens=100)
    assert not list(tmp_path.glob(".partial*"))


# --- A disk that takes no more --------------------------------------------------------------------


@contextmanager
def small_disk(size: str, where: Path):
    """A file system of the given size, or a skipped test where nobody may mount one."""
    if sys.platform != "linux" or os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root on Linux may mount a small file system")
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_full_disk_is_called_that_and_loses_nothing_finished(wordpiece, tmp_path):
    docs = corpus(texts(3000))
    with small_disk("400k", tmp_path / "disk") as disk:
        with pytest.raises(ShardError, match="the disk is full.*MB are free.*call prepare again"):
            prepare(docs, wordpiece, disk, shard_tokens=20_000)
        names = sorted(p.name for p in disk.iterdir())
        assert names == [f"shard-{i:05d}" for i in range(len(names))] and names
        saved = {name: content for name, content in files(disk).items()}
        shutil.copytree(disk, tmp_path / "larger")
    prepare(docs, wordpiece, tmp_path / "whole", shard_tokens=20_000)
    prepare(docs, wordpiece, tmp_path / "larger", shard_tokens=20_000)
    assert files(tmp_path / "larger") == files(tmp_path / "whole")
    assert saved.items() <= files(tmp_path / "whole").items()


@posix
def test_a_file_that_may_not_grow_is_an_error_and_leaves_no_half(wordpiece, tmp_path):
    """A quota needs no root: in a process of its own, since the limit cannot be raised again."""

    import resource

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            prepare(corpus(texts(500)), wordpiece, tmp_path / "shards")
        except ShardError as error:
            (tmp_path / "message").write_text(str(error))

    in_a_fork(limited).join()
    assert "could not be written" in (tmp_path / "message").read_text()
    assert list((tmp_path / "shards").iterdir()) == []


def test_a_place_that_is_no_folder_is_named(wordpiece, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ShardError, match="could not be written to .*file"):
        prepare(corpus(["a"]), wordpiece, tmp_path / "file")


# --- Memory ---------------------------------------------------------------------------------------


@pytest.mark.slow
@posix
def test_memory_does_not_grow_with_the_corpus(wordpiece, tmp_path):
    import resource

    words = texts(200, words=400)

    def peak(passes: int) -> int:
        receive, send = fork.Pipe(duplex=False)

        def task():
            prepare(corpus(text for _ in range(passes) for text in words), wordpiece,
                    tmp_path / str(passes), shard_tokens=100_000)
            send.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

        in_a_fork(task).join()
        return receive.recv()  # kB

    assert peak(60) - peak(15) < 20_000
