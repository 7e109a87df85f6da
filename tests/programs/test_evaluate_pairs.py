"""`evaluate --pairs`: Spearman's correlation of cosines with scores, as scipy has it."""

import pytest
from embedders import TOKENIZER, save_embedder, texts, write_csv, write_jsonl
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import paired_cosine_distances

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.programs import parts
from pretrain_lib.programs.embedder import Comparing
from pretrain_lib.programs.evaluate_pairs import evaluate_pairs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_embedder(tmp_path_factory.mktemp("m") / "m", prompts={"query": "query: "})


def scored(n):
    """Pairs of texts, and how many words they share, with ties."""
    first, second = texts(n), texts(n, seed=1)
    return first, second, [len({*a.split()} & {*b.split()}) for a, b in zip(first, second)]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_correlation_is_scipys(model, pooling, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART", 13)
    first, second, scores = scored(60)
    path = write_csv(tmp_path / "t.csv", first=first, second=second, score=scores)
    found = evaluate_pairs(model, path, Comparing(pooling)).correlations
    loaded = pl.load_pretrained(model)
    loaded.pooling = pooling
    cosines = (pl.embed(loaded, TOKENIZER, first) * pl.embed(loaded, TOKENIZER, second)).sum(1)
    assert abs(found[model].value - spearmanr(cosines, scores).statistic) < 1e-9
    assert found[model].low < found[model].value < found[model].high
    weights = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+").fit([*first, *second])
    by_words = 1 - paired_cosine_distances(weights.transform(first).toarray(), weights.transform(second).toarray())
    assert abs(found["TF-IDF, words"].value - spearmanr(by_words, scores).statistic) < 1e-3  # equal ones differ in their last digits


def test_it_is_told_in_lines(model, tmp_path, capsys):
    first, second, scores = scored(20)
    data = write_jsonl(tmp_path / "t.jsonl", first=[*first, "gold " * 30, "", "gold"], second=[*second, "tax", "tax", "tax"],
                       score=[*scores, 0.5, 1, None])
    assert main(["evaluate", model, "--pairs", data]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"21 pairs of {data}: Spearman's correlation of cosines and scores, 95% interval with other pairs"
    assert lines[1].startswith("2 of 23 rows left out")
    assert [line.split()[0].strip(",") for line in lines[2:4]] == [model, "TF-IDF"] and " to " in lines[2]
    assert lines[4] == "texts longer than what is read: 1; --length N reads N tokens"


def test_where_no_words_are_shared_there_is_nothing_to_correlate(model, tmp_path):
    path = write_csv(tmp_path / "t.csv", first=["gold", "silver", "coin"], second=["army", "fort", "peace"], score=[1, 2, 3])
    found = evaluate_pairs(model, path)
    assert found.correlations["TF-IDF, words"] is None
    assert str(found).splitlines()[-1].split(maxsplit=2) == ["TF-IDF,", "words", "none: all cosines are equal"]


@pytest.mark.parametrize("scores, message", [
    ([1, 2, "good"], "t.csv:4: score must be a finite number, got 'good'"),
    ([1, 2, "inf"], "t.csv:4: score must be a finite number, got 'inf'"),
    ([1, 1, 1], "t.csv has 3 pairs with 1 different scores: 3 and 2 are needed"),
    ([1, 2, ""], "t.csv has 2 pairs with 2 different scores: 3 and 2 are needed"),
])  # fmt: skip
def test_a_mistake_is_told_in_one_line(model, tmp_path, capsys, scores, message):
    data = write_csv(tmp_path / "t.csv", first=texts(3), second=texts(3, seed=1), score=scores)
    capsys.readouterr()
    assert main(["evaluate", model, "--pairs", data]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert main(["evaluate", model, "--pairs", "nowhere.csv"]) == 1
    assert capsys.readouterr().err == "evaluate: there is no file 'nowhere.csv'\n"
