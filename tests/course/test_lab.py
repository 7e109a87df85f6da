"""JupyterLab in a browser, as a newcomer meets it: open, run all, answer wrongly, answer rightly."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import nbformat
import pytest

from pretrain_lib.course.release import NAME, release
from pretrain_lib.course.sources import NOTEBOOKS, ROOT

from .test_exercises import planted

CHAPTER = "02_autoencoder_math.ipynb"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/lab\S*\?token=\w+")
ALL_RUN = """() => {
    const panel = jupyterapp.shell.currentWidget, cells = panel.content.widgets.filter(c => c.model.type === 'code');
    return cells.every(c => c.model.executionCount) && panel.sessionContext.session.kernel.status === 'idle';
}"""
OUTPUTS = """jupyterapp.shell.currentWidget.content.widgets.map(
    cell => cell.model.type === 'code' ? cell.model.outputs.toJSON() : [])"""
GO_TO = """async index => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = index;
    await notebook.scrollToItem(index, 'center');
    return notebook.activeCell.model.sharedModel.id;
}"""
SAVED = "() => !jupyterapp.shell.currentWidget.context.model.dirty"

pytestmark = [pytest.mark.site, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """The archive for a class, unpacked and set up: its .venv borrows the packages that are here."""
    folder = tmp_path_factory.mktemp("class")
    with zipfile.ZipFile(release(folder)) as archive:
        archive.extractall(folder)
    course = folder / NAME
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", course / ".venv"], check=True)
    packages, site = Path(sysconfig.get_path("purelib")), next((course / ".venv").rglob("site-packages"))
    for record in packages.glob("*.dist-info"):
        if not record.name.startswith("pretrain_lib"):
            (site / record.name).symlink_to(record)
    (site / "here.pth").write_text(f"{course}\n{packages}\n")
    (course / ".venv" / "share").symlink_to(Path(sys.prefix) / "share")  # JupyterLab's pages
    spec = importlib.util.spec_from_file_location("course_of_the_archive", course / "course.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.write_stamp()
    if not tool.is_ready():
        pytest.skip("the packages here are not those of requirements.txt")
    return course


@pytest.fixture
def address(course, tmp_path) -> str:
    """Where `course.py lab` says that it is; it runs until the test ends, however that ends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "COURSE_", "PYTHON"))}
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [sys.executable, str(course / "course.py"), "lab", "--no-browser", "--expose-app-in-browser", *as_root]
    log = tmp_path / "lab.log"
    with log.open("w") as out:
        lab = subprocess.Popen(command, cwd=tmp_path, env=kept | folders | {"COURSE_SCALE": "smoke"}, stdout=out,
                               stderr=subprocess.STDOUT)
    try:
        while lab.poll() is None and not ADDRESS.search(log.read_text()):
            time.sleep(0.1)
        assert lab.poll() is None, log.read_text()
        yield ADDRESS.search(log.read_text())[0]
    finally:
        lab.terminate()  # which ends its kernels too
        try:
            lab.wait(30)
        except subprocess.TimeoutExpired:
            lab.kill()
            lab.wait()


def answered(page, index: int, answer: str) -> str:
    """What the exercise in a cell says after an answer was typed into it in place of all it held."""
    cell = page.locator(f'.jp-NotebookPanel:not(.lm-mod-hidden) [data-windowed-list-index="{index}"]')
    page.evaluate(GO_TO, index)
    cell.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type(answer)
    page.evaluate(f"jupyterapp.shell.currentWidget.content.widgets[{index}].model.outputs.clear()")
    page.keyboard.press("Shift+Enter")
    return cell.locator(".jp-OutputArea-output").inner_text()


def test_a_newcomer_runs_a_chapter_errs_and_is_told_then_succeeds(page, course, address):
    page.set_default_timeout(150_000)
    page.goto(address)
    page.locator(".jp-Notebook h1", has_text="00 · Start here").wait_for()
    page.locator(".jp-DirListing-item", has_text=CHAPTER).dblclick()
    page.locator(".jp-Notebook h1", has_text="02 · ").wait_for()
    page.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'")

    page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.get_by_role("menuitem", name="Clear Outputs of All Cells").click()
    assert not any(page.evaluate(OUTPUTS))
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(ALL_RUN)
    cells, outputs = nbformat.read(course / "notebooks" / CHAPTER, as_version=4).cells, page.evaluate(OUTPUTS)
    said = ["".join(out.get("text", "") for out in outs) for outs in outputs]
    assert not [out for outs in outputs for out in outs if out["output_type"] == "error"]
    exercises = [i for i, cell in enumerate(cells) if cell.cell_type == "code" and 'check("02.' in cell.source]
    assert len(exercises) >= 6 and all(" is open: " in said[i] for i in exercises)
    assert sum("image/png" in out.get("data", {}) for outs in outputs for out in outs) >= 8

    first = exercises[0]
    wrong, hint = planted("02")["02.1"][0]
    told = answered(page, first, f'factor = {wrong}\nfactor = check("02.1", factor)')
    assert told.startswith("02.1 is not right yet: ") and hint in told
    solved = nbformat.read(NOTEBOOKS / "solutions" / CHAPTER, as_version=4).cells
    solution = next(cell.source for cell in solved if 'check("02.1"' in cell.source)
    assert answered(page, first, solution).startswith("02.1 passes: 128 numbers, halved")

    page.keyboard.press("ControlOrMeta+S")
    page.wait_for_function(SAVED)
    assert nbformat.read(course / "notebooks" / CHAPTER, as_version=4).cells[first].source == solution
    assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0  # nothing asked what nobody wanted to know
    early = "/lsp/status"  # JupyterLab may ask for language servers before the server can tell
    assert not [complaint for complaint in page.complaints if early not in complaint]
