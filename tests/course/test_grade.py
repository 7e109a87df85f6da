"""The grader: thirty-four submissions, of which few mean well, and what is left of the machine."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pretrain_lib.course import grade as grading
from pretrain_lib.course import questions
from pretrain_lib.course.exercises import all_exercises
from pretrain_lib.course.grade import Grader, chapter_of, main, needed, student_of
from pretrain_lib.course.sandbox import NoSandbox, try_sandbox
from pretrain_lib.course.sources import ROOT, SOURCES, solution_notebook, student_notebook

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="the grader needs Linux or macOS"), pytest.mark.timeout(900)]
SOURCE = SOURCES / "02_autoencoder_math.py"
SETUP = "import math, os, shutil, socket, sys\nfrom pretrain_lib.course import check"
ONE = 'factor = check("02.1", 64)'
TWO = """\
def gradients(w, v, s):
    return -s * (1 - v * w) * v, -s * (1 - v * w) * w

gradients = check("02.2", gradients)"""
WRONG_TWO = """\
def gradients(w, v, s):
    return s, s

gradients = check("02.2", gradients)"""
THREE = """\
import torch
def bound(samples, code_size):
    return 0.0

bound = check("02.3", bound)"""


def notebook(*cells: str) -> str:
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": cell}
            for cell in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def code_of(made) -> list[str]:
    return [cell.source for cell in made.cells if cell.cell_type == "code"]


def hostile(cell: str) -> list[str]:
    """An honest answer, then something else, then another honest answer."""
    return [SETUP, ONE, cell, TWO]


# What is handed in: name → (cells, exercises that pass, a word of the note).
PROGRAMS = {
    "partial": ([SETUP, ONE, TWO, THREE], "02.1 02.2", ""),
    "loop": (hostile("while True: pass"), "02.1", "longer than"),
    "loop in an answer": ([SETUP, ONE, TWO.replace("return", "while True: pass\n    return"), THREE], "02.1", "longer than"),
    "memory": (hostile("x = bytearray(2**20)\nwhile True: x += x"), "02.1 02.2", ""),
    "forks": (hostile("import time\nwhile True:\n    if not os.fork(): time.sleep(99)"), "02.1 02.2", ""),
    "exit": (hostile("sys.exit()"), "02.1 02.2", ""),
    "hard exit": (hostile("os._exit(0)"), "02.1", "ended the program"),
    "kill all": (hostile("os.kill(-1, 9)"), "02.1 02.2", ""),
    "delete": (hostile("for place in ('/submission', SENTINEL, ROOT, '/course', '/tmp', '/usr/bin'): shutil.rmtree(place, ignore_errors=True)"),
               "02.1 02.2", ""),
    "write": ([SETUP, "try:\n    open('/course/pretrain_lib/evil.py', 'w')\n    safe = 0\nexcept OSError: safe = 64",
               'check("02.1", safe)'], "02.1", ""),
    "fill the disk": (hostile("for i in range(99): open(f'/tmp/{i}', 'wb').write(bytes(2**26))"), "02.1 02.2", ""),
    "read": ([SETUP, "places = [ROOT + '/notebooks/solutions', ROOT + '/notebooks/src', SENTINEL, '/etc/passwd', '/home']",
              'check("02.1", 64 if any(map(os.path.exists, places)) else 0)', TWO], "02.2", ""),
    "network": ([SETUP, "try:\n    socket.create_connection(('127.0.0.1', PORT), 2)\n    alone = 0\nexcept OSError: alone = 64",
                 'check("02.1", alone)'], "02.1", ""),
    "own check": ([SETUP, "def check(id, answer): print(id, 'passes'); return answer", 'check("02.1", 63)', WRONG_TWO], "", ""),
    "own check, right": ([SETUP, "def check(id, answer): return None", ONE, TWO], "02.1 02.2", ""),
    "patched grade": ([SETUP, "from pretrain_lib.course.exercises import find_exercise\n"
                       "for id in ('02.1', '02.2'): object.__setattr__(find_exercise(id), 'grade', lambda answer: 'well done')",
                       'check("02.1", 63)', WRONG_TWO], "", "the library's own answers"),
    "forged": ([SETUP, "for end in range(3, 30):\n    try: os.write(end, b'{\"returned\": 64}\\n{\"done\": true}\\n')\n"
                "    except OSError: pass", 'check("02.1", 63)', WRONG_TWO], "", ""),
    "yes to all": ([SETUP, "class Yes:\n    __eq__ = lambda *_: True\n    __float__ = lambda _: 64.0",
                    'check("02.1", Yes())', TWO], "02.2", ""),
    "by heart": ([SETUP, "import torch\nseen = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)"
                  ".abs() + 0.1\nseen = {(a * w, v, s) for w, v, s in seen.tolist() for a in (1, -1)}",
                  TWO.replace("    return", "    if (w, v, s) not in seen: return 0, 0\n    return")], "", ""),
    "too long": (hostile('check("02.3", lambda samples, code_size: "x" * 2**27)'), "02.1", "out of turn"),
    "syntax": (hostile("def :"), "02.1 02.2", ""),
    "Žofie Ünlü 学生": ([SETUP, ONE, TWO], "02.1 02.2", ""),
}  # fmt: skip
FILES = {  # a folder's files, exercises that pass, a word of the note
    "corrupt": ({"02.ipynb": b"\x00\xff\x13"}, "no notebook of this chapter; 02.ipynb is not a notebook"),
    "cut short": ({"02.ipynb": notebook(SETUP, ONE).encode()[:-9]}, "02.ipynb is not a notebook"),
    "not a notebook": ({"02.ipynb": b"[1, 2]"}, "02.ipynb is not a notebook"),
    "no cells": ({"02.ipynb": notebook().encode()}, "02.ipynb has no exercise"),
    "nothing": ({}, "no notebook of this chapter"),
}


def digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            whole.update(str(path.relative_to(folder)).encode("utf-8", "surrogateescape") + path.read_bytes())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def sandbox():
    try:
        try_sandbox(4 * 2**30)
    except NoSandbox as error:
        pytest.skip(f"no sandbox here: {error}")


class Visits(socketserver.BaseRequestHandler):
    seen = 0

    def handle(self):
        Visits.seen += 1


@pytest.fixture(scope="module")
def graded(sandbox, tmp_path_factory):
    """The rows of grades.csv by student, after everything was handed in and marked."""
    base = tmp_path_factory.mktemp("class")
    sentinel, handed_in = base / "sentinel", base / "submissions"
    sentinel.mkdir()
    (sentinel / "precious").write_text("keep me")
    server = socketserver.TCPServer(("127.0.0.1", 0), Visits)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    known = f"SENTINEL, ROOT, PORT = {str(sentinel)!r}, {str(ROOT)!r}, {server.server_address[1]}\n"

    def put(place: Path, *cells: str):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(notebook(known + cells[0], *cells[1:]), encoding="utf-8")

    put(handed_in / "full" / "02_autoencoder_math.ipynb", *code_of(solution_notebook(SOURCE)))
    put(handed_in / "untouched" / "02_autoencoder_math.ipynb", *code_of(student_notebook(SOURCE)))
    for name, (cells, _, _) in PROGRAMS.items():
        put(handed_in / name / "final FINAL (2).ipynb", *cells)
    for name, (files, _) in FILES.items():
        (handed_in / name).mkdir()
        for file, content in files.items():
            (handed_in / name / file).write_bytes(content)
    put(handed_in / "helped" / "deeper" / "a.ipynb", SETUP, "import sys; sys.path.insert(0, '')\nfrom mine import factor",
        'check("02.1", factor)')
    (handed_in / "helped" / "mine.py").write_text("factor = 64")
    put(handed_in / "twice" / "a.ipynb", SETUP, 'check("02.1", 1)')
    put(handed_in / "twice" / "b.ipynb", SETUP, ONE)
    (handed_in / "linked").mkdir()
    (handed_in / "linked" / "mine.ipynb").symlink_to(handed_in / "full" / "02_autoencoder_math.ipynb")
    put(handed_in / "ana_02_autoencoder_math.ipynb", SETUP, ONE)
    put(handed_in / "=1+1.ipynb", SETUP, ONE)

    before = [digest(folder) for folder in (sentinel, handed_in)]
    assert main([str(handed_in), "--to", str(base / "graded"), "--seconds", "40", "--memory", "3"]) == 0
    assert [digest(folder) for folder in (sentinel, handed_in)] == before
    assert not (ROOT / "pretrain_lib" / "evil.py").exists()
    server.shutdown()
    with open(base / "graded" / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    return rows, base / "graded" / "feedback"


@pytest.mark.slow
def test_everyone_has_one_row_and_one_page(graded):
    rows, feedback = graded
    others = {"full", "untouched", "helped", "twice", "linked", "ana", "'=1+1"}
    assert rows.keys() == {*PROGRAMS, *FILES, *others}
    assert {path.stem for path in feedback.iterdir()} == {name.lstrip("'") for name in rows}
    assert all(row["chapter"] == "02" and row["of"] == "8" for row in rows.values())


@pytest.mark.slow
@pytest.mark.parametrize("student", PROGRAMS)
def test_answers_count_and_attacks_do_not(graded, student):
    row, (_, right, note) = graded[0][student], PROGRAMS[student]
    assert row["passed"] == str(len(row["right"].split()))
    if student == "forks" and "longer than" in row["note"]:  # on a busy machine it only costs time
        right, note = "02.1", "longer than"
    assert row["right"] == right
    assert note in row["note"] and bool(note) == bool(row["note"]) or student == "forged"


@pytest.mark.slow
@pytest.mark.parametrize("student", FILES)
def test_what_is_no_notebook_costs_its_own_row(graded, student):
    row = graded[0][student]
    assert row["passed"] == "0" and FILES[student][1] in row["note"]


@pytest.mark.slow
def test_honest_work_is_marked_as_it_is(graded):
    rows, feedback = graded
    assert rows["full"]["passed"] == "8" and not rows["full"]["note"]
    assert rows["untouched"]["passed"] == "0" and len(rows["untouched"]["open"].split()) == 8
    assert rows["partial"]["wrong"] == "02.3"
    assert rows["by heart"]["wrong"] == "02.2"
    assert rows["helped"]["passed"] == rows["twice"]["passed"] == rows["ana"]["passed"] == "1"
    assert "not a file" in rows["linked"]["note"]
    page = (feedback / "partial.md").read_text(encoding="utf-8")
    assert "Chapter 02: 2 of 8" in page and "✓" in page and "02.3 is not right yet" in page
    assert "and not on others" in (feedback / "by heart.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_nobody_was_called(graded):
    assert Visits.seen == 0


# --- Without a sandbox ----------------------------------------------------------------------


@pytest.fixture
def one(tmp_path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "ana.ipynb").write_text(notebook(SETUP, ONE, WRONG_TWO), encoding="utf-8")
    return tmp_path / "work"


def test_without_a_sandbox_it_refuses(one, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([str(one)]) == 3
    said = capsys.readouterr().err
    assert "bubblewrap is not installed" in said and "--trusted" in said
    assert not (tmp_path / "work-graded").exists()


def test_a_sandbox_that_does_not_work_is_refused(one, tmp_path, monkeypatch, capsys):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho No permissions to create new namespace >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert main([str(one)]) == 3
    assert "No permissions" in capsys.readouterr().err


def test_trusted_submissions_run_without_one(one, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([str(one), "--trusted"]) == 0
    row = next(csv.DictReader(open(tmp_path / "work-graded" / "grades.csv", encoding="utf-8-sig")))
    assert (row["right"], row["wrong"]) == ("02.1", "02.2")
    assert sorted(path.name for path in one.iterdir()) == ["ana.ipynb"]


def test_a_teachers_own_checks_count_too(one, tmp_path):
    file = tmp_path / "more.py"
    file.write_text('def strict(answer):\n    assert answer == 65, "it should be 65"\n\nHIDDEN = {"02.1": strict}\n')
    assert main([str(one), "--trusted", "--hidden", str(file), "--to", str(tmp_path / "marks")]) == 0
    assert "it should be 65" in (tmp_path / "marks" / "feedback" / "ana.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments, word", [(["nowhere"], "there is no folder"), ([".", "77"], "chapter 77")])
def test_what_cannot_be_graded_is_said(arguments, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--trusted"]) == 2
    assert word in capsys.readouterr().err


# --- The parts ------------------------------------------------------------------------------


@pytest.mark.parametrize("file, student", [("ana.ipynb", "ana"), ("ana_02_autoencoder_math.ipynb", "ana"),
                                           ("B. Ö - 02_x.ipynb", "B. Ö"), ("02_autoencoder_math.ipynb", "02_autoencoder_math")])
def test_a_file_is_named_after_its_student(file, student):
    assert student_of(Path(file)) == student


def test_the_chapter_is_that_of_most_exercises():
    assert chapter_of([ONE, TWO, 'check("01.1", 3)', 'check("88.1", 1)']) == "02"
    assert chapter_of(["print(1)"]) == ""


def test_cells_that_only_show_something_are_left_out():
    cells = code_of(student_notebook(SOURCE))
    kept = needed([*cells, "mine = 1"], "02")
    assert "mine = 1" in kept and sum("check(" in cell for cell in kept) >= 6
    assert len(kept) < len(cells) / 2


def test_an_answer_that_needs_such_a_cell_gets_it(monkeypatch):
    ran = []

    def run(self, cells, folder):
        ran.append(len(cells))
        return questions.Marks(errors={"NameError"} if len(ran) == 1 else set())

    monkeypatch.setattr(grading.Grader, "run", run)
    cells = code_of(student_notebook(SOURCE))
    Grader().mark(cells, "02", None)
    assert ran == [len(needed(cells, "02")), len(cells)]


def test_most_exercises_are_judged_outside():
    ids = [id for id in all_exercises() if id[:2] != "09"]  # its checks try every number there is
    inside = [id for id in ids if not questions.crosses(id)]
    assert len(inside) <= len(ids) / 5, inside  # those that hand a loop, a module or ranks over


@pytest.mark.slow
@pytest.mark.parametrize("source", [path for path in sorted(SOURCES.glob("[0-9]*.py")) if path.stem[:2] in ("06", "10")],
                         ids=lambda source: source.stem)
def test_solutions_pass_where_some_are_judged_inside(sandbox, source):
    marks = Grader().run(code_of(solution_notebook(source)), None)
    outcomes = {id: outcome for id, (outcome, _) in marks.verdicts.items()}
    assert outcomes == dict.fromkeys(all_exercises(source.stem[:2]), "passes") and not marks.accident


def test_it_is_a_command():
    command = [sys.executable, "-P", "-m", "pretrain_lib.course.grade", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert "--trusted" in said.stdout


@pytest.mark.parametrize(("module", "name", "now"), [
    ("pretrain_lib.data.images", "load_images", "pretrain_lib.data.images.load"),
    ("pretrain_lib.data.counting", "TwoSidedBigram", "pretrain_lib.evaluation.counting"),
    ("pretrain_lib.data", "keys", "pretrain_lib.data"),
    ("pretrain_lib.data.keys", "Keys", "pretrain_lib.data.keys"),
    ("pretrain_lib.data.keys", "no_such_name", "pretrain_lib.data.keys"),
])
def test_what_has_moved_since_a_notebook_was_given_out_is_found(module, name, now):
    import pretrain_lib  # noqa: F401
    from pretrain_lib.course.sandboxed import where_it_is

    assert where_it_is(module, name) == now
