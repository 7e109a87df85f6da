"""The command `search`: what is nearest to a question, beside what BM25 finds; and what is refused."""

import re
import shutil

import numpy as np
import pytest
from embedders import TOKENIZER, save_embedder, save_plain, texts, write_csv

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.programs import vector_file
from pretrain_lib.programs.embed import EmbedConfig, carry_out
from pretrain_lib.programs.search import SearchConfig, hits

QUESTION = "gold and silver for the enemy"
PROMPTS = {"query": "query: ", "passage": "passage: "}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two embedders, 40 texts, one of them twice and one without words, and their vectors in both forms."""
    folder = tmp_path_factory.mktemp("searched")
    rows = texts(40)
    rows[7], rows[30] = "", rows[2]
    data = write_csv(folder / "t.csv", text=rows, n=range(40))
    save_embedder(folder / "m")
    save_embedder(folder / "prompted", prompts=PROMPTS)
    for output in ("v.npy", "v.parquet"):
        carry_out(EmbedConfig(str(folder / "m"), data, str(folder / output), length=8))
    carry_out(EmbedConfig(str(folder / "prompted"), data, str(folder / "p.npy")))
    return folder, rows


def cosines(model, question, rows):
    """All against one, text by text."""
    def vector(text):
        return pl.embed(model, TOKENIZER, [text])[0].double()

    asked = vector(question)
    return [float(asked @ vector(row) / asked.norm() / vector(row).norm()) if row else -1.0 for row in rows]


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_the_nearest_texts_are_those_of_brute_force(folder, kind, monkeypatch):
    monkeypatch.setattr(vector_file, "BLOCK", 9)
    folder, rows = folder
    model = pl.load_pretrained(folder / "m")
    model.max_seq_length = 8
    truth = np.array(cosines(model, QUESTION, rows))
    found, none = hits(SearchConfig(str(folder / f"v.{kind}"), QUESTION, top=50))
    assert len(found) == 39 and not none  # the text without words is not there
    assert sorted(hit.row for hit in found) == [i + 2 for i in range(40) if i != 7]
    assert np.allclose([hit.score for hit in found], np.sort(truth)[::-1][:39], atol=1e-5)
    assert all(abs(truth[hit.row - 2] - hit.score) < 1e-5 and hit.text == rows[hit.row - 2] for hit in found)
    assert all(hit.rank == 1 + sum(other.score > hit.score for other in found) for hit in found)
    assert found[:3] == hits(SearchConfig(str(folder / f"v.{kind}"), QUESTION, top=3))[0]


def test_questions_and_texts_get_the_prompts_of_the_folder(folder):
    folder, rows = folder
    model = pl.load_pretrained(folder / "prompted")
    truth = cosines(model, "query: " + QUESTION, ["passage: " + row for row in rows])
    found, _ = hits(SearchConfig(str(folder / "p.npy"), QUESTION, top=40))
    assert len(found) == 39 and all(abs(truth[hit.row - 2] - hit.score) < 1e-5 for hit in found)


@pytest.mark.parametrize("terms", ["words", "characters"])
def test_bm25_stands_beside_each_with_the_place_by_the_other(folder, terms):
    folder, rows = folder
    told = [i for i, row in enumerate(rows) if row]
    scores = pl.bm25_scores([QUESTION], [rows[i] for i in told], terms)[0].tolist()
    truth = {rows_number + 2: score for rows_number, score in zip(told, scores)}
    nearest, sharing = hits(SearchConfig(str(folder / "v.npy"), QUESTION, top=40, bm25=terms))
    assert {hit.row: hit.score for hit in sharing} == {row: score for row, score in truth.items() if score > 0}
    assert [hit.score for hit in sharing] == sorted((hit.score for hit in sharing), reverse=True)
    places = {hit.row: hit.rank for hit in sharing}
    assert {hit.row: hit.other_rank for hit in nearest} == {hit.row: places.get(hit.row) for hit in nearest}
    assert {hit.row: hit.other_rank for hit in sharing} == {hit.row: hit.rank for hit in nearest if hit.row in places}
    twice = [hit for hit in sharing if hit.text == rows[2]]
    assert len(twice) < 2 or twice[0].rank == twice[1].rank and [hit.row for hit in twice] == [4, 32]


def test_it_prints_rank_cosine_row_and_text(folder, capsys):
    folder, rows = folder
    best, *_ = hits(SearchConfig(str(folder / "v.npy"), QUESTION))[0]
    assert main(["search", str(folder / "v.npy"), QUESTION, "--top", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "cosine", "row", "text"] and len(lines) == 5
    assert lines[1].split(maxsplit=3) == ["1", f"{best.score:.3f}", str(best.row), best.text]
    assert main(["search", str(folder / "v.npy"), QUESTION, "--bm25", "words"]) == 0
    assert re.findall("rank +(?:cosine|BM25) +rank by (?:BM25|cosine)", capsys.readouterr().out.replace("\n", " "))[1]
    assert main(["search", str(folder / "v.npy"), "nowhere", "--bm25", "words"]) == 0
    assert "BM25 finds nothing: no text shares a term with the question" in capsys.readouterr().out


def test_vectors_in_one_file_need_no_other(tmp_path, capsys):
    name, data = save_plain(tmp_path / "m"), write_csv(tmp_path / "t.csv", text=texts(5), n=range(5))
    carry_out(EmbedConfig(name, data, str(tmp_path / "v.parquet")))
    (tmp_path / "t.csv").unlink()
    assert main(["search", str(tmp_path / "v.parquet"), "gold", "--top", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def changed(path):
    path.write_text(path.read_text() + "gold,9\n")


@pytest.mark.parametrize("break_it, message", [
    (lambda at: changed(at / "t.csv"), "t.csv has changed since .*v.npy was made of it: `embed` it again"),
    (lambda at: (at / "t.csv").unlink(), "there is no file '.*t.csv', which has the texts of .*v.npy: bring it back"),
    (lambda at: (at / "v.npy.json").unlink(), "there is no file '.*v.npy.json', which says what .* holds: keep the two together"),
    (lambda at: (at / "v.npy.json").write_text("{}"), "v.npy does not say what its vectors are of"),
    (lambda at: (at / "v.npy.json").write_text("[1"), "v.npy does not say what its vectors are of"),
    (lambda at: np.save(at / "v.npy", np.zeros((5, 3), np.float32)), r"has the shape \(5, 3\), and .* says \(5, 16\)"),
    (lambda at: (at / "v.npy").write_text("text"), "v.npy is no .npy file"),
    (lambda at: (at / "v.npy").unlink(), "there is no file '.*v.npy' that ends in .npy or .parquet: `embed` makes one"),
    (lambda at: pl.save_pretrained(pl.SentenceEmbedder(pl.BertModel(pl.BertConfig(150, 16, 2, 2, 24, max_position_embeddings=16), 1)),
                                   at / "m", TOKENIZER), "the model .*m has changed since it made the vectors"),
    (lambda at: shutil.rmtree(at / "m"), "there is neither a folder '.*m' nor such a model in the zoo"),
])  # fmt: skip
def test_what_no_longer_fits_is_refused_in_one_line(tmp_path, capsys, break_it, message):
    name, data = save_embedder(tmp_path / "m"), write_csv(tmp_path / "t.csv", text=texts(5), n=range(5))
    carry_out(EmbedConfig(name, data, str(tmp_path / "v.npy")))
    break_it(tmp_path)
    capsys.readouterr()
    assert main(["search", str(tmp_path / "v.npy"), "gold"]) == 1
    said = capsys.readouterr().err
    assert re.search(message, said) and said.count("\n") == 1


def test_a_question_without_a_word_and_another_parquet_are_refused(folder, tmp_path):
    folder, _ = folder
    for question in ("", " ", "\u200b"):
        with pytest.raises(ValueError, match="the question has no word"):
            hits(SearchConfig(str(folder / "v.npy"), question))
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": ["gold"]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="does not say what its vectors are of: `embed` makes files that do"):
        hits(SearchConfig(str(tmp_path / "other.parquet"), "gold"))
    (tmp_path / "damaged.parquet").write_text("text")
    with pytest.raises(ValueError, match="damaged.parquet cannot be read as Parquet"):
        hits(SearchConfig(str(tmp_path / "damaged.parquet"), "gold"))
    with pytest.raises(ValueError, match="top must be an integer of at least 1, got 0"):
        SearchConfig("v.npy", "gold", 0)


def test_help_teaches(capsys):
    for words, taught in ((["search", "--help"], "what learned vectors have to beat"), (["search"], "what `embed` has made")):
        with pytest.raises(SystemExit):
            main(words)
        assert taught in " ".join(capsys.readouterr().out.replace("│", " ").split())
