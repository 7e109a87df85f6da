"""`evaluate --retrieval`: the measures of brute force, on one pool for all, beside what has to be beaten."""

import math

import numpy as np
import pytest
import torch
from embedders import TOKENIZER, save_embedder, texts, write_csv, write_jsonl

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.programs import evaluate_retrieval as program
from pretrain_lib.programs.embedder import Comparing
from pretrain_lib.programs.evaluate_retrieval import evaluate_retrieval, read_judged

PROMPTS = {"query": "query: ", "passage": "passage: "}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_embedder(tmp_path_factory.mktemp("m") / "m", prompts=PROMPTS)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Thirty rows, of which three ask what others ask, and three have the document of another."""
    queries, documents = texts(30), texts(30, seed=1)
    queries[10:13] = queries[:3]
    documents[20:23] = documents[4:7]
    return write_csv(tmp_path_factory.mktemp("judged") / "t.csv", query=queries, document=documents), queries, documents


def brute_force(score, queries, documents):
    """Hit@1, hit@10, MRR and nDCG@10 of each query, for scores without ties."""
    pool, found = list(dict.fromkeys(documents)), []
    for query in dict.fromkeys(queries):
        own = {document for asked, document in zip(queries, documents) if asked == query}
        ranked = sorted(pool, key=lambda document: -score(query, document))
        places = [place for place, document in enumerate(ranked, start=1) if document in own]
        gain = sum(1 / math.log2(1 + place) for place in places if place <= 10)
        best = sum(1 / math.log2(1 + place) for place in range(1, min(10, len(own)) + 1))
        found.append((places[0] == 1, places[0] <= 10, 1 / places[0], gain / best))
    return np.array(found, dtype=float)


def columns(found):
    return torch.stack([found.hit[1], found.hit[10], found.reciprocal_rank, found.ndcg[10]], dim=1).numpy()


def test_the_models_measures_are_those_of_brute_force(model, table):
    path, queries, documents = table
    loaded = pl.load_pretrained(model)
    vector = {text: pl.embed(loaded, TOKENIZER, [text])[0].double() for text in
              [*("query: " + q for q in queries), *("passage: " + d for d in documents)]}
    found = evaluate_retrieval(model, path)
    truth = brute_force(lambda q, d: float(vector["query: " + q] @ vector["passage: " + d]), queries, documents)
    assert np.allclose(columns(found.scores[model]), truth, atol=1e-9) and len(truth) == 27
    assert found.scores[model].pool == 27 and [len(own) for own in found.judged.own[:4]] == [2, 2, 2, 1]


@pytest.mark.parametrize("terms", ["words", "characters"])
def test_bm25_and_tfidf_rank_the_same_pool(model, table, terms):
    path, queries, documents = table
    found = evaluate_retrieval(model, path, Comparing(terms=terms))
    pool, asked = list(dict.fromkeys(documents)), list(dict.fromkeys(queries))
    own = [[pool.index(d) for q, d in zip(queries, documents) if q == query] for query in asked]
    relevant = torch.zeros(len(asked), len(pool)).scatter_add(
        1, torch.tensor([(row * 2)[:2] for row in own]), torch.ones(len(asked), 2)) > 0
    for name, score in (("BM25", pl.bm25_scores), ("TF-IDF", pl.tfidf_scores)):
        there = pl.measure_retrieval(score(asked, pool, terms), relevant, (1, 10))
        assert np.allclose(columns(found.scores[f"{name}, {terms}"]), columns(there), atol=1e-12)
    chance = found.scores["chance"].hit[1].mean()
    assert torch.isclose(chance, torch.tensor(sum(map(len, own)) / len(own) / len(pool)).double())


def test_the_lead_over_bm25_is_of_the_same_queries(model, table):
    found = evaluate_retrieval(model, table[0])
    ours, bm25, *_ = found.scores.values()
    assert found.lead.difference == pytest.approx((ours.ndcg[10] - bm25.ndcg[10]).mean().item())
    assert found.lead.low < found.lead.difference < found.lead.high


def test_of_many_queries_some_are_asked_spread_evenly(model, table, monkeypatch):
    monkeypatch.setattr(program, "CELLS", 27 * 5)
    found = evaluate_retrieval(model, table[0])
    every = read_judged(program.Path(table[0]))
    chosen = [every.queries.index(query) for query in found.judged.queries]
    assert chosen == [0, 6, 13, 19, 26] and found.queries == 27
    assert found.judged.own == [every.own[i] for i in chosen] and found.scores[model].pool == 27
    assert str(found).startswith("5 of 27 queries among 27 documents")


def test_it_is_told_in_lines(model, tmp_path, capsys):
    queries, documents = [*texts(12), "", "gold", "!"], [*texts(12, seed=1), "gold", None, "gold"]
    documents[0] = "gold " * 30
    data = write_jsonl(tmp_path / "t.jsonl", query=queries, document=documents)
    capsys.readouterr()
    assert main(["evaluate", model, "--retrieval", data]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"12 queries among 12 documents of {data}; each query's own are relevant, and equal texts are one"
    assert lines[1].startswith("3 of 15 rows left out") and lines[1].endswith(f"{data}:13, {data}:14, {data}:15")
    assert lines[2].split() == ["hit@1", "hit@10", "MRR", "nDCG@10"]
    assert [line.split()[0].strip(",") for line in lines[3:7]] == [model, "BM25", "TF-IDF", "chance"]
    assert lines[6].split()[1:] == ["8.3%", "83.3%", "0.259", "0.379"]  # of 12 places; Σ 1/place = 3.103, Σ discounts = 4.544
    assert lines[7].startswith("nDCG@10 above BM25's: ") and lines[8] == "texts longer than what is read: 1; --length N reads N tokens"


@pytest.mark.parametrize("words, message", [
    (["{m}", "--retrieval", "nowhere.csv"], "there is no file 'nowhere.csv'"),
    (["{m}", "--retrieval", "few.csv"], "few.csv has 9 different queries and 9 different documents: 2 and 10 are needed"),
    (["{m}", "--retrieval", "other.csv"], "has no column 'query'; its columns are question, document"),
    (["{m}", "--retrieval", "few.csv", "--pairs", "few.csv"], "--retrieval and --pairs are asked one at a time: leave one out"),
    (["{m}", "--pooling", "cls"], "--pooling, --length and --terms are for --retrieval and --pairs: leave them out"),
    (["nobody", "--retrieval", "{t}"], "there is neither a folder 'nobody' nor such a model in the zoo"),
    (["{m}", "--retrieval", "{t}", "--length", "99"], "length must be at most 16"),
])  # fmt: skip
def test_a_mistake_is_told_in_one_line(model, table, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write_csv("few.csv", query=texts(9), document=texts(9, seed=1))
    write_csv("other.csv", question=texts(9), document=texts(9, seed=1))
    capsys.readouterr()
    assert main(["evaluate", *(word.format(m=model, t=table[0]) for word in words)]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_help_teaches(model, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", model, "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "each query's own document among all of them" in said and "do cosines rise with the scores?" in said
