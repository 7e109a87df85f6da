"""The command `embed`: the vectors of sentence-transformers, each in its row's place, whatever happens in between."""

import errno
import json
import re

import numpy as np
import pyarrow.parquet
import pytest
import torch
from embedders import TOKENIZER, save_embedder, save_plain, texts, write_csv, write_jsonl
from sentence_transformers import SentenceTransformer

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.programs import embed as program
from pretrain_lib.programs import parts
from pretrain_lib.programs.embed import EmbedConfig, carry_out
from pretrain_lib.programs.vector_file import open_vectors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_embedder(tmp_path_factory.mktemp("embedder") / "m")


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART", 7)


PROMPTS = {"query": "query: ", "passage": "passage: "}


@pytest.mark.parametrize("save, prompt", [
    (save_embedder, None), (lambda folder: save_embedder(folder, "cls"), None), (save_plain, None),
    (lambda folder: save_embedder(folder, prompts=PROMPTS), "passage"),
    (lambda folder: save_embedder(folder, prompts={"document": "passage: ", "corpus": "query: "}), "document"),
], ids=["mean", "cls", "a folder that says nothing", "passage", "document"])  # fmt: skip
def test_vectors_are_those_of_sentence_transformers(save, prompt, tmp_path, short_parts):
    name, rows = save(tmp_path / "m"), texts(30)
    output = tmp_path / "v.npy"
    carry_out(EmbedConfig(name, write_csv(tmp_path / "t.csv", text=rows, n=range(30)), str(output), batch_size=4))
    theirs = SentenceTransformer(name, device="cpu").encode(rows, prompt_name=prompt, normalize_embeddings=True)
    ours = np.load(output)
    assert ours.dtype == np.float32 and np.abs(ours - theirs).max() < 1e-5
    assert np.abs(theirs[0] - theirs[1]).max() > 0.01 and not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("save", [save_embedder, save_plain])
def test_pooling_may_be_asked_for(save, tmp_path):
    name, rows = save(tmp_path / "m"), texts(5)
    data = write_csv(tmp_path / "t.csv", text=rows, n=range(5))
    carry_out(EmbedConfig(name, data, str(tmp_path / "v.npy"), pooling="cls", length=6))
    encoder = pl.load_pretrained(name)
    model = pl.SentenceEmbedder(encoder if save is save_plain else encoder.encoder, "cls", max_seq_length=6)
    assert np.abs(np.load(tmp_path / "v.npy") - pl.embed(model, TOKENIZER, rows).numpy()).max() < 1e-6
    assert open_vectors(tmp_path / "v.npy").made.pooling == "cls"


def test_an_encoder_without_positions_reads_all_of_a_text_and_has_no_first_token(tmp_path):
    model, rows = pl.BidirectionalLSTM(pl.BidirectionalLSTMConfig(150)), texts(4) + ["gold " * 40]
    pl.save_pretrained(model, tmp_path / "m", TOKENIZER)
    data = write_csv(tmp_path / "t.csv", text=rows, n=range(5))
    carry_out(EmbedConfig(str(tmp_path / "m"), data, str(tmp_path / "v.npy")))
    there = torch.nn.functional.normalize(pl.embed(model, TOKENIZER, rows), dim=1)
    assert np.abs(np.load(tmp_path / "v.npy") - there.numpy()).max() < 1e-6
    with pytest.raises(ValueError, match="encoder must be a BERT or a ModernBERT that sees both sides, got BidirectionalLSTM"):
        carry_out(EmbedConfig(str(tmp_path / "m"), data, str(tmp_path / "cls.npy"), pooling="cls"))


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_rows_without_text_keep_their_place_and_what_is_cut_is_told(kind, folder, tmp_path, short_parts, capsys):
    rows = texts(20)
    rows[3], rows[13], rows[19] = None, "", "\u200b"
    rows[5] = "gold " * 30
    output = tmp_path / f"v.{kind}"
    data = write_jsonl(tmp_path / "t.jsonl", answer=[{"text": row} for row in rows])
    assert main(["embed", folder, data, "--text", "answer.text", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "20 vectors of 16 numbers" in said and "rows without text: 3," in said and "longer than what is read: 1;" in said
    vectors = open_vectors(output)
    assert [(n, text) for n, text in vectors.texts()] == [(i + 1, (row or "").strip()) for i, row in enumerate(rows)]
    found = np.concatenate(list(vectors.blocks()))
    assert [i for i, vector in enumerate(found) if not vector.any()] == [3, 13, 19]
    full = [i for i in range(20) if i not in (3, 13, 19)]
    there = pl.embed(pl.load_pretrained(folder), TOKENIZER, [rows[i] for i in full]).numpy()
    assert np.abs(found[full] - there).max() < 1e-6 and np.allclose(np.linalg.norm(found[full], axis=1), 1)
    if kind == "parquet":
        table = pyarrow.parquet.read_table(output).to_pylist()
        assert [row["row"] for row in table if row["vector"] is None] == [4, 14, 20]
        assert np.array_equal([row["vector"] for row in table if row["vector"]], found[full])


def test_what_was_made_is_kept_beside_the_vectors(folder, tmp_path):
    (tmp_path / "lines.txt").write_text("gold, army\n\npeace\ttax\n")
    carry_out(EmbedConfig(folder, str(tmp_path / "lines.txt"), str(tmp_path / "v.npy")))
    made = json.loads((tmp_path / "v.npy.json").read_text())
    assert (made["model"], made["data"], made["count"], made["size"]) == (folder, str(tmp_path / "lines.txt"), 3, 16)
    assert (made["pooling"], made["length"], made["prompt"], made["text"]) == ("mean", 16, "", "text")
    assert re.fullmatch("[0-9a-f]{64}", made["data_sha256"]) and len(made["weights"]) == 1


def test_what_was_stopped_goes_on_behind_the_last_part(folder, tmp_path, short_parts, monkeypatch, capsys):
    data = write_csv(tmp_path / "t.csv", text=texts(40), n=range(40))
    assert main(["embed", folder, data, "--output", str(tmp_path / "whole.npy")]) == 0
    saved, calls = np.savez, []

    def stops(*arguments, **arrays):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved(*arguments, **arrays)

    monkeypatch.setattr(program.np, "savez", stops)
    words = ["embed", folder, data, "--output", str(tmp_path / "v.npy")]
    capsys.readouterr()
    for status, said in ((130, "the same command goes on"), (1, "No space left on device"), (0, "40 vectors")):
        assert main(words) == status
        streams = capsys.readouterr()
        assert said in streams.out + streams.err and streams.err.strip().count("\n") <= 1
        assert (tmp_path / "v.npy").exists() == (status == 0)
    assert len(calls) == 6 + 2  # six parts, of which one was stopped and one did not fit
    assert (tmp_path / "v.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "v.npy", "v.npy.json", "whole.npy", "whole.npy.json"]


def test_a_disk_that_fills_up_at_the_end_leaves_the_parts(folder, tmp_path, short_parts, monkeypatch, capsys):
    data = write_csv(tmp_path / "t.csv", text=texts(20), n=range(20))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    words = ["embed", folder, data, "--output", str(tmp_path / "v.npy")]
    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array_header_1_0", full)
        assert main(words) == 1 and not (tmp_path / "v.npy").exists()
    assert capsys.readouterr().err == "embed: [Errno 28] No space left on device\n"
    assert len(list((tmp_path / "v.npy.parts").glob("*.npz"))) == 3
    assert main(words) == 0 and len(np.load(tmp_path / "v.npy")) == 20


def test_parts_of_other_vectors_and_a_changed_file_are_not_mixed_in(folder, tmp_path, short_parts, monkeypatch):
    data, output = write_csv(tmp_path / "t.csv", text=texts(20), n=range(20)), str(tmp_path / "v.npy")
    with monkeypatch.context() as patch:
        patch.setattr(program, "write_vectors", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            carry_out(EmbedConfig(folder, data, output))
    with pytest.raises(ValueError, match="holds parts of something else, of another model, file or option"):
        carry_out(EmbedConfig(folder, data, output, pooling="cls"))
    counted = program.counted

    def changes(found):
        write_csv(tmp_path / "t.csv", text=texts(20, seed=1), n=range(20))
        return counted(found)

    monkeypatch.setattr(program, "counted", changes)
    with pytest.raises(ValueError, match="was changed while it was read: start again"):
        carry_out(EmbedConfig(folder, data, output))
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("words, message", [
    (["{m}", "nowhere.csv"], "there is no file 'nowhere.csv'"),
    (["{m}", "{d}", "--output", "{d}.npy"], "is there already"),
    (["{m}", "{d}", "--text", "words"], "has no column 'words'; its columns are text, n"),
    (["{m}", "{d}", "--length", "99"], "length must be at most 16"),
    (["{m}", "{d}", "--length", "2"], "length must be 0, or at least 3"),
    (["{m}", "empty.txt"], "empty.txt holds no row"),
    (["mini-sotu", "{d}"], "there is neither a folder 'mini-sotu' nor such a model in the zoo, which has: bert-mini-sotu"),
    (["picture", "{d}"], "picture holds Autoencoder, which makes no vector of a text alone: give a BERT"),
    (["untold", "{d}"], "there is no tokenizer.json in 'untold'"),
    (["{d}", "{d}"], "is not a saved model"),
])  # fmt: skip
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(folder, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    data = write_csv("d.csv", text=texts(3), n=range(3))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "d.csv.npy").write_text("mine")
    pl.save_pretrained(pl.Autoencoder(pl.AutoencoderConfig((2,), (), 1)), "picture")
    pl.save_pretrained(pl.BertModel(pl.BertConfig(60, 16, 2, 2, 24)), "untold")
    there = sorted(tmp_path.iterdir())
    capsys.readouterr()
    assert main(["embed", *(word.format(m=folder, d=data) for word in words)]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == there


def test_vectors_go_to_a_kind_of_file_that_is_known():
    with pytest.raises(ValueError, match="output must be a file to be made that ends in .npy or .parquet, got 'o.txt'"):
        EmbedConfig("model", "data.csv", "o.txt")


def test_help_teaches(capsys):
    for words in (["embed", "--help"], ["embed"]):
        with pytest.raises(SystemExit):
            main(words)
        said = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "embed MODEL FILE" in said
    assert "a text a line" in said
