"""The ledger of results."""

import ast
import importlib
import json
import re

import pytest

from pretrain_lib.course.results import ROOT, main, results, verdict_table

# The package exports a function by the name of this module.
module = importlib.import_module("pretrain_lib.course.results")

EXPERIMENT = '''
TITLE = "Adding"
PREDICTION = "two"
SEEDS = (0, 1)


def run(scale):
    return {"sum": 1 + 1, "scale": scale}


def verdict(measured):
    return "held" if measured["sum"] == 2 else "did not hold"
'''


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "98_adding.py").write_text(EXPERIMENT)
    return tmp_path


def test_a_result_says_what_was_predicted_measured_and_on_what(ledger, capsys):
    assert main(["reproduce", "98-adding"]) == 0
    entry = results("98-adding")
    assert entry["measured"] == {"sum": 2, "scale": "laptop"}
    assert (entry["prediction"], entry["verdict"], entry["seeds"]) == ("two", "held", [0, 1])
    assert entry["command"] == "python course.py reproduce 98-adding"
    assert {"processor", "instructions", "cores", "threads", "gpu"} <= entry["hardware"].keys()
    assert "found: held" in capsys.readouterr().out


def test_smoke_does_not_touch_the_ledger(ledger):
    assert main(["reproduce", "98-adding", "--scale", "smoke"]) == 0
    assert not (ledger / "results").exists()
    assert json.loads((ledger / "build" / "results" / "98-adding.json").read_text())["measured"]["scale"] == "smoke"


def test_a_missing_result_says_how_to_measure_it(ledger):
    with pytest.raises(FileNotFoundError, match="python course.py reproduce 98-adding"):
        results("98-adding")


def test_an_unknown_experiment_names_the_nearest(ledger, capsys):
    assert main(["reproduce", "98-addding"]) == 2
    assert "did you mean 98-adding" in capsys.readouterr().err


def test_every_experiment_of_the_course_has_its_result_and_every_result_its_experiment():
    experiments = {path.stem.replace("_", "-") for path in (ROOT / "experiments").glob("[0-9]*.py")}
    measured = {path.stem for path in (ROOT / "results").glob("*.json")}
    assert experiments == measured


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*.json")), ids=lambda path: path.stem)
def test_results_are_of_several_seeds_and_judged_by_their_experiment(path):
    entry = json.loads(path.read_text(encoding="utf-8"))
    experiment = module.load_experiment(entry["id"])
    assert (entry["title"], entry["prediction"]) == (experiment.TITLE, experiment.PREDICTION)
    assert entry["verdict"] == experiment.verdict(entry["measured"])
    assert len(entry["seeds"]) >= 3


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.py")), ids=lambda path: path.stem)
def test_an_experiment_says_in_which_precision_it_trains(path):
    """A default may change, and what is measured again would be something else."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    configs = [call for call in calls if getattr(call.func, "id", "") == "TrainConfig"]
    silent = [call.lineno for call in configs if "precision" not in {keyword.arg for keyword in call.keywords}]
    assert silent == []


X86 = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu avx avx2 avx512f avx512_vnni

processor\t: 1
model name\t: AMD EPYC
flags\t\t: fpu
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd asimddp i8mm bf16\n"


@pytest.mark.parametrize("text, name, found", [(X86, "AMD EPYC", ["avx2", "avx512f", "avx512_vnni"]),
                                               (ARM, None, ["asimd", "i8mm", "bf16"]), (None, None, [])])
def test_a_processor_is_known_by_its_name_and_its_instructions(monkeypatch, text, name, found):
    def read_text(path):
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(module.Path, "read_text", read_text)
    assert module.instructions() == found and module.processor()
    assert name in (None, module.processor())


@pytest.mark.parametrize("hardware, words", [
    ({"processor": "AMD EPYC", "instructions": ["avx2"], "cores": 2, "gpu": None}, "2 cores of AMD EPYC (avx2)"),
    ({"processor": "AMD EPYC", "cores": 2, "gpu": None}, "2 cores of AMD EPYC"),
    ({"processor": "AMD EPYC", "instructions": ["avx2"], "cores": 2, "gpu": "T4"}, "T4")])
def test_a_machine_in_words(hardware, words):
    assert module.machine(hardware) == words


def cells(table: str) -> list[list[str]]:
    """The words of a table below its head, row by row."""
    return [re.split(r"\s{3,}", line.strip()) for line in table.splitlines()[1:]]


def test_a_table_of_verdicts_has_a_row_for_each_prediction():
    entry = {"prediction": "(Trial.) Said: 1. it grows by a factor of 2. 2. It\nfalls below 1.5; 3. nothing else. 4. It is fast.",
             "verdict": "1. It grew by 2.1, held. 2. It fell to 1.6 on held-out text: failed. 3. Nothing: held. And more. 4. In 3 s."}
    table = [["1. it grows by a factor of 2", "It grew by 2.1", "yes"], ["2. It falls below 1.5", "It fell to 1.6 on held-out text", "no"],
             ["3. nothing else", "Nothing", "yes"], ["4. It is fast", "In 3 s"]]
    assert cells(verdict_table(entry)) == table


def test_a_chapters_own_rows_are_the_same_table():
    entry = {"prediction": "1. it grows. 2. It falls.", "verdict": "1. By 2, held. 2. Not, failed."}
    rows = [("1. it grows", "By 2", True), ("2. It falls", "Not", False)]
    assert verdict_table(rows) == verdict_table(entry)
    assert cells(verdict_table(rows)) == [["1. it grows", "By 2", "yes"], ["2. It falls", "Not", "no"]]


def test_a_long_cell_of_a_verdict_is_broken_within_its_column():
    long = "word " * 30
    lines = verdict_table([(long, "short", True)]).splitlines()
    assert max(map(len, lines)) < 80 and sum(line.count("word") for line in lines) == 30
    assert [line for line in lines[1:] if "yes" in line] == lines[1:2]


@pytest.mark.parametrize("id", sorted(path.stem for path in (ROOT / "results").glob("12-*.json")))
def test_every_prediction_of_chapter_12_has_a_number_found_and_a_judgement(id):
    for predicted, found, held in module.judged(results(id)):
        assert held in ("yes", "no") and (re.search(r"\d", found) or found.startswith("The worst")), predicted
