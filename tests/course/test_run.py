"""Running chapters without a screen: the table, failures, and no kernel left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from .copied import environment, make_course, tool


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = make_course(tmp_path_factory.mktemp("run"))
    assert tool(course, "build").returncode == 0
    return course


def kernels_of(course):
    """Kernels whose working directory lies in the course."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = " ".join(process.info["cmdline"] or [])
        if "ipykernel_launcher" in command and str(course) in (process.info["cwd"] or ""):
            found.append(process)
    return found


def add_cell(course, code):
    """Writes a notebook 97_other that runs `code` after a first cell."""
    from nbformat import v4, write

    cells = [v4.new_code_cell("print('first')"), v4.new_code_cell(code)]
    write(v4.new_notebook(cells=cells), course / "notebooks" / "97_other.ipynb")


def test_the_table_shows_result_and_headline_beside_its_bound(course):
    answer = tool(course, "run", "98", "--scale", "smoke")
    assert answer.returncode == 0, answer.stderr
    row = answer.stdout.strip().splitlines()[-1]
    assert row.split()[:2] == ["98_tiny", "passed"]
    assert "five squared: 25 (should be ≤ 26)" in row
    executed = (course / "build" / "notebooks" / "98_tiny.ipynb").read_text(encoding="utf-8")
    assert "smoke" in executed
    assert "laptop" in (course / "notebooks" / "98_tiny.ipynb").read_text(encoding="utf-8")
    assert not kernels_of(course)


def test_a_missed_bound_is_excused_at_smoke_only(course):
    add_cell(course, "from pretrain_lib.course import headline\nheadline('two', 2, 1)")
    for scale in ("smoke", "laptop"):
        said = tool(course, "run", "97", "--scale", scale).stdout
        assert "two: 2 (should be ≤ 1, missed)" in said
        assert ("too little is computed" in said) == (scale == "smoke")


def test_a_failing_cell_is_shown_with_its_traceback(course):
    add_cell(course, "numerator = 1\nnumerator / 0")
    answer = tool(course, "run", "97")
    assert answer.returncode == 1
    assert "cell 2 of 2 failed" in answer.stderr
    assert "numerator / 0" in answer.stderr and "ZeroDivisionError" in answer.stderr
    assert "failed" in answer.stdout.splitlines()[-1]


def test_a_dead_kernel_is_noticed_at_once(course):
    add_cell(course, "import os\nos.kill(os.getpid(), 9)")
    answer = tool(course, "run", "97")
    seconds = int(answer.stdout.splitlines()[-1].split()[2])
    assert answer.returncode == 1 and "the kernel died" in answer.stderr
    assert seconds < 30  # the cell's own time-out is half an hour


def test_a_cell_that_takes_too_long_is_stopped(course):
    add_cell(course, "import time\ntime.sleep(600)")
    answer = tool(course, "run", "97", "--timeout", "2")
    assert answer.returncode == 1 and "it took longer than 2 s" in answer.stderr
    assert not kernels_of(course)


def test_chapters_run_side_by_side_and_are_told_in_order(course):
    """Each waits until the other has begun: one after the other they would wait for ever."""
    from nbformat import v4, write

    wait = "import pathlib, time\npathlib.Path('{}').touch()\nwhile not pathlib.Path('{}').exists(): time.sleep(0.1)"
    for mine, other in (("95", "96"), ("96", "95")):
        write(v4.new_notebook(cells=[v4.new_code_cell(wait.format(mine, other))]), course / "notebooks" / f"{mine}_waits.ipynb")
    answer = tool(course, "run", "96", "95", "--jobs", "2", "--timeout", "60")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert [line.split()[:2] for line in answer.stdout.splitlines()[-2:]] == [["95_waits", "passed"], ["96_waits", "passed"]]
    assert not kernels_of(course)


def test_what_measures_time_runs_after_the_others_and_alone(monkeypatch):
    from pathlib import Path

    from pretrain_lib.course import run

    ran = []
    monkeypatch.setattr(run, "run_chapter", lambda path, *_: ran.append(path.stem[:2]) or run.Outcome(path.stem, 1.0))
    monkeypatch.setattr(run, "side_by_side", lambda paths, *_: [run.Outcome(f"{path.stem} beside others", 1.0) for path in paths])
    chapters = [Path(f"{number}_x.ipynb") for number in ("08", "09", "10", "11", "13")]
    told = [outcome.chapter for outcome in run.outcomes_of(chapters, "laptop", 60, jobs=2)]
    assert told == ["08_x beside others", "11_x beside others", "09_x", "10_x", "13_x"]
    ran.clear()
    assert len(list(run.outcomes_of(chapters, "laptop", 60, jobs=1))) == 5 and ran == ["08", "09", "10", "11", "13"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("chapters", [["97"], ["97", "98", "--jobs", "2"]], ids=["alone", "side by side"])
def test_no_kernel_outlives_an_interrupted_run(course, number, chapters):
    add_cell(course, "open('started', 'w').close()\nimport time\ntime.sleep(600)")
    started = course / "notebooks" / "started"
    started.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pretrain_lib.course.run", *chapters]
    run = subprocess.Popen(command, cwd=course, env=environment(), stderr=subprocess.PIPE, text=True,
                           start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert started.exists() and kernels_of(course)
    os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)  # Ctrl-C reaches the whole group
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130 and "Traceback" not in errors, errors
    assert not kernels_of(course)


def test_an_unknown_chapter_names_the_nearest(course):
    answer = tool(course, "run", "98_tidy")
    assert answer.returncode == 2 and "did you mean 98_tiny" in answer.stderr


def test_chapters_may_be_named_in_many_ways():
    from pathlib import Path

    from pretrain_lib.course.chapters import select_chapters

    files = [Path("01_why.ipynb"), Path("02_math.ipynb")]
    for name in ("2", "02", "02_math", "math", "notebooks/02_math.ipynb"):
        assert select_chapters([name], files) == [files[1]]
    assert select_chapters([], files) == files
