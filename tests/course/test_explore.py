"""Cells to touch: which controls there are, what they call, and what stands there without them."""

from __future__ import annotations

import json
import os
import re
import sys

import matplotlib.pyplot as plt
import nbformat
import pytest

from pretrain_lib.course import plots
from pretrain_lib.course.build import WIDGET, clean_outputs
from pretrain_lib.course.kernel import NotebookFailed, execute

from .copied import ROOT

explore = sys.modules["pretrain_lib.course.explore"]


@pytest.fixture(autouse=True)
def no_screen():
    import matplotlib

    matplotlib.use("agg")
    with matplotlib.rc_context():
        yield
    assert not plt.get_fignums()


@pytest.fixture
def calls():
    return []


@pytest.fixture
def shown(monkeypatch):
    """The box of controls that a reader would see, and only controls if ipywidgets is there."""
    boxes = []
    monkeypatch.setattr(explore, "live", lambda: True)
    monkeypatch.setattr("IPython.display.display", boxes.append)
    monkeypatch.setattr("IPython.display.clear_output", lambda wait: None)
    return boxes


def controls(shown):
    """By their words, the controls in the one box that is shown."""
    return {child.description: child for child in shown[0].children[:-1]}


def test_a_control_calls_draw_with_its_value_and_the_others(shown, calls):
    def draw(**values):
        calls.append(values)

    def typed(rate, kind, text, seed):
        draw(rate=rate, kind=kind, text=text, seed=seed)

    explore.explore(typed, rate=(5, 60, 15, "hidden (%)"), kind=["token", "word"], text="Hello", seed=(0.0, 1.0, 0.5))
    first = {"rate": 15, "kind": "token", "text": "Hello", "seed": 0.5}
    assert calls == [first]
    there = controls(shown)
    assert list(there) == ["hidden (%)", "kind", "text", "seed"]
    there["hidden (%)"].value = 40
    there["kind"].value = "word"
    there["text"].value = "Bye"
    there["seed"].value = 0.75
    assert calls[1:] == [first | {"rate": 40}, first | {"rate": 40, "kind": "word"},
                         first | {"rate": 40, "kind": "word", "text": "Bye"},
                         {"rate": 40, "kind": "word", "text": "Bye", "seed": 0.75}]
    assert isinstance(calls[1]["rate"], int)


def test_nothing_is_drawn_while_a_slider_is_dragged_or_a_text_typed(shown):
    explore.explore(lambda a, b, c: None, a=(1, 9, 5), b=(0.0, 1.0, 0.5), c="text")
    assert [control.continuous_update for control in controls(shown).values()] == [False] * 3


def test_sliders_have_the_ends_and_the_start_that_were_asked_for(shown):
    explore.explore(lambda whole, part: None, whole=(1, 9, 5), part=(-3.0, 3.0, 0.5))
    whole, part = controls(shown).values()
    assert (whole.min, whole.max, whole.value, whole.step) == (1, 9, 5, 1)
    assert (part.min, part.max, part.value, part.step) == (-3, 3, 0.5, pytest.approx(0.1))


def test_an_underscore_in_a_name_is_shown_as_a_blank(shown):
    explore.explore(lambda first_digit: None, first_digit=[3, 5])
    assert list(controls(shown)) == ["first digit"]


@pytest.mark.parametrize("hide", ["the module", "by the environment", "no notebook"])
def test_without_controls_draw_is_called_once_with_the_starting_values(hide, monkeypatch, calls):
    kernel = type("Shell", (), {"kernel": None})()
    monkeypatch.setattr("IPython.get_ipython", lambda: None if hide == "no notebook" else kernel)
    monkeypatch.setenv("COURSE_WIDGETS", "0" if hide == "by the environment" else "1")
    if hide == "the module":
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
    boxes = []
    monkeypatch.setattr("IPython.display.display", boxes.append)
    explore.explore(lambda rate, kind: calls.append((rate, kind)), rate=(5, 60, 15), kind=["token", "word"])
    assert calls == [(15, "token")] and not boxes


def test_in_a_notebook_with_ipywidgets_there_are_controls(monkeypatch):
    monkeypatch.setattr("IPython.get_ipython", lambda: type("Shell", (), {"kernel": None})())
    monkeypatch.delenv("COURSE_WIDGETS", raising=False)
    assert explore.live()


def test_a_still_figure_takes_the_place_of_the_controls(monkeypatch, calls, shown):
    arguments = {"draw": lambda x: calls.append(x), "still": lambda: calls.append("still"), "x": (0, 9, 5)}
    explore.explore(**arguments)
    assert calls == [5]  # live: the figure of the starting value
    monkeypatch.setattr(explore, "live", lambda: False)
    explore.explore(**arguments)
    assert calls == [5, "still"]


def with_x(x):
    pass


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("control, line", [
    ({"y": (0, 9, 5)}, "there is a control 'y', but draw takes x"),
    ({}, "draw needs 'x': give it a control or a default"),
    ({"x": []}, "x has nothing to choose from: give its list at least one value"),
    ({"x": (0, 9, 10)}, "x must start between 0 and 9, got 10"),
    ({"x": (0.1, 0.5, 0.05)}, "x must start between 0.1 and 0.5, got 0.05"),
    ({"x": (9, 0, 5)}, "x must reach from a lower to a higher value, got 9 to 0"),
    ({"x": (0, 9)}, "x must be a slider"),
    ({"x": (0, 9, "5")}, "x must be a slider"),
    ({"x": (0, 9, 5, 1)}, "x must be a slider"),
    ({"x": (False, True, True)}, "x must be a slider"),
    ({"x": 7}, "x must be a slider"),
    ({"x": None}, "x must be a slider"),
])  # fmt: skip
def test_a_bad_control_is_refused_in_one_line_also_where_nobody_touches_it(live, control, line, shown, monkeypatch):
    monkeypatch.setattr(explore, "live", lambda: live)
    with pytest.raises(ValueError) as error:
        explore.explore(with_x, **control)
    assert line in str(error.value) and "\n" not in str(error.value)
    assert not shown


def draw_line(x):
    fig, ax = plots.figure(width=2, height=1)
    ax.plot([0, x])
    plots.show(fig, alt="A line.")


def test_no_figure_stays_open_however_often_one_is_drawn(shown, monkeypatch):
    monkeypatch.setattr(plots, "show", lambda fig, alt: plt.close(fig))
    explore.explore(draw_line, x=(0, 9, 5))
    for value in range(9):
        controls(shown)["x"].value = value
        assert not plt.get_fignums()


def test_a_figure_that_is_never_shown_is_reported_and_closed(shown):
    with pytest.raises(ValueError, match="leaves a figure open: end it with plots.show"):
        explore.explore(lambda x: plots.figure(), x=(0, 9, 5))


def test_a_failing_draw_is_heard_and_its_figure_closed_and_others_stay(monkeypatch):
    monkeypatch.setattr(explore, "live", lambda: False)

    def fails(x):
        plots.figure()
        raise RuntimeError("no such digit")

    mine, _ = plots.figure()
    with pytest.raises(RuntimeError, match="no such digit"):
        explore.explore(fails, x=(0, 9, 5))
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


CELLS = ["""
import sys
sys.path.insert(0, {root!r})
from pretrain_lib.course import explore, plots

def draw(x):
    if x > 7:
        raise RuntimeError(f"nothing at {{x}}")
    fig, ax = plots.figure(width=2, height=1)
    ax.plot([0, x])
    plots.show(fig, alt=f"A line to {{x}}.")
""", "explore(draw, x=(0, 9, 5))", """
import ipywidgets
slider, = [w for w in ipywidgets.Widget.widgets.values() if isinstance(w, ipywidgets.IntSlider)]
slider.value = {value}
"""]  # fmt: skip


def executed(folder, cells):
    """The notebook of these cells, executed as `build` does it.

    Once in many runs nbclient waits for ever for the reply of a kernel with widgets: it gets a second chance.
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    try:
        execute(notebook, folder, "smoke", timeout=90)
    except NotebookFailed as error:
        if "it took longer than" not in str(error):
            raise
        execute(notebook, folder, "smoke", timeout=90)
    return notebook


def test_a_built_notebook_has_the_figure_and_no_controls_and_is_the_same_each_time(tmp_path):
    cells = [cell.format(root=str(ROOT)) for cell in CELLS[:2]]
    first, second = (executed(tmp_path, cells) for _ in range(2))
    (output,) = first.cells[1].outputs
    assert set(output.data) == {"image/png", "text/plain"} and output.metadata["image/png"]["alt"] == "A line to 5."
    assert first.cells[1].outputs == second.cells[1].outputs
    assert "widgets" not in first.metadata


@pytest.mark.parametrize("value, seen", [(7, "A line to 7."), (8, "RuntimeError: nothing at 8")])
def test_in_a_readers_kernel_a_control_redraws_and_an_error_is_seen(value, seen, tmp_path):
    no_variable = "import os; del os.environ['COURSE_WIDGETS']"
    cells = [no_variable, *(cell.format(root=str(ROOT), value=value) for cell in CELLS)]
    notebook = executed(tmp_path, cells)
    assert WIDGET in notebook.cells[2].outputs[0].data
    states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    (outputs,) = [state["state"]["outputs"] for state in states if state["model_name"] == "OutputModel"]
    assert len(outputs) == 1 and seen in re.sub(r"\\u001b\[\d+m", "", json.dumps(outputs))


def test_notebooks_are_tested_without_controls():
    assert os.environ["COURSE_WIDGETS"] == "0"  # nbval's kernels inherit it


def test_a_progress_bar_of_another_library_is_not_built_into_a_notebook():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("load_a_model()")])
    bar = nbformat.v4.new_output("display_data", {WIDGET: {"model_id": "1"}, "text/plain": "0 %"})
    notebook.cells[0].outputs = [bar, nbformat.v4.new_output("stream", text="done\n")]
    clean_outputs(notebook)
    assert [output.output_type for output in notebook.cells[0].outputs] == ["stream"]


def test_no_notebook_of_the_course_holds_controls():
    places = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "solutions").glob("*.ipynb")])
    assert len(places) > 20
    for place in places:
        assert "jupyter.widget" not in place.read_text(encoding="utf-8"), place.name
