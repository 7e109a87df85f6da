"""Building notebooks from their sources, and noticing when they disagree."""

import json

import nbformat
import pytest

from pretrain_lib.course.sources import library_files

from pretrain_lib.course.sources import first_cell

from . import copied
from .copied import CHAPTER, make_course, tool, write_chapter


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    course = make_course(tmp_path_factory.mktemp("built"))
    answer = tool(course, "build")
    assert answer.returncode == 0, answer.stderr
    return course


@pytest.fixture
def notebook_path(built):
    """The built notebook; put back as it was after a test has changed it."""
    places = [built / "notebooks" / "98_tiny.ipynb", built / "notebooks" / "src" / "98_tiny.py"]
    before = {place: place.read_bytes() for place in places}
    yield places[0]
    for place, content in before.items():
        place.write_bytes(content)


def sources(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))


def test_the_reader_gets_stubs_and_outputs(built):
    path = built / "notebooks" / "98_tiny.ipynb"
    code = "\n".join(sources(path))
    assert "return x * x" not in code and "SOLUTION" not in code
    assert '    """x²."""\n    ...  # your code here\n' in code
    assert "98.1 is open: square a number" in outputs(path)
    assert "25\nlaptop\n" in outputs(path)  # later cells use the library's function


def test_the_solutions_hold_the_exercises_alone_and_pass(built):
    path = built / "notebooks" / "solutions" / "98_tiny.ipynb"
    code = "\n".join(sources(path))
    assert "return x * x" in code and "SOLUTION" not in code and "headline(" not in code
    assert "98.1 passes: squares 3" in outputs(path)


def test_notebooks_are_valid_and_hold_nothing_of_the_machine(built):
    for path in built.glob("notebooks/**/*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
        assert set(notebook.metadata) == {"course", "kernelspec", "language_info"}
        assert notebook.metadata.language_info == {"name": "python"}
        assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
        text = path.read_text(encoding="utf-8")
        assert str(built) not in text and "noise" not in outputs(path)


def test_building_again_does_nothing_and_building_anew_gives_the_same_bytes(built, notebook_path):
    first = notebook_path.read_bytes()
    assert tool(built, "build").stdout.count("nothing has changed") == 2
    notebook_path.unlink()
    assert tool(built, "build").returncode == 0
    assert notebook_path.read_bytes() == first


def test_check_passes_what_was_just_built(built):
    answer = tool(built, "build", "--check")
    assert answer.returncode == 0 and "agree" in answer.stdout


@pytest.mark.parametrize("edit", [
    lambda nb: nb["cells"][3].update(source=nb["cells"][3]["source"] + "\n# mine"),
    lambda nb: nb["cells"][0].update(source="# Another title"),
    lambda nb: nb["cells"][4]["outputs"][0].update(text="26\n"),
    lambda nb: nb["cells"].pop(4),
    lambda nb: nb["cells"][4]["metadata"].update(tags=[]),
], ids=["code", "markdown", "output", "removed cell", "tag"])  # fmt: skip
def test_check_fails_on_a_notebook_edited_by_hand(built, notebook_path, edit):
    notebook = json.loads(notebook_path.read_text(encoding="utf-8"))
    edit(notebook)
    notebook_path.write_text(json.dumps(notebook), encoding="utf-8")
    answer = tool(built, "build", "--check")
    assert answer.returncode == 1
    assert "98_tiny.ipynb" in answer.stdout and "edit notebooks/src" in answer.stdout


@pytest.mark.parametrize("old, new", [("# # 98 · Tiny", "# # 98 · Small"), ("return x * x", "return x**2")])
def test_check_fails_on_an_edited_source(built, notebook_path, old, new):
    write_chapter(built, CHAPTER.replace(old, new))
    assert tool(built, "build", "--check").returncode == 1


def test_check_fails_on_a_missing_notebook_and_on_one_without_a_source(built, notebook_path):
    moved = notebook_path.with_name("97_other.ipynb")
    notebook_path.rename(moved)
    answer = tool(built, "build", "--check")
    moved.rename(notebook_path)
    assert answer.returncode == 1
    assert "it is missing" in answer.stdout and "97_other.ipynb: has no source" in answer.stdout


def test_a_change_of_the_library_makes_outputs_stale_only_where_it_is_imported(built):
    used = built / "pretrain_lib" / "course" / "dial.py"
    unused = built / "pretrain_lib" / "training" / "trainer.py"
    for path, stale in [(unused, False), (used, True)]:
        before = path.read_bytes()
        path.write_bytes(before + b"\n# changed\n")
        answer = tool(built, "build", "--check")
        path.write_bytes(before)
        assert answer.returncode == 0
        assert ("may be stale" in answer.stdout) == stale


def test_a_failing_cell_stops_the_build_and_the_old_notebook_stays(built, notebook_path):
    before = notebook_path.read_bytes()
    write_chapter(built, CHAPTER + "\n# %%\nraise RuntimeError('no such luck')\n")
    answer = tool(built, "build")
    assert answer.returncode == 1
    assert "no such luck" in answer.stderr and "cell 7 of 7 failed" in answer.stderr
    assert notebook_path.read_bytes() == before


def test_a_wrong_solution_stops_the_build(built, notebook_path):
    write_chapter(built, CHAPTER.replace("return x * x", "return 2 * x"))
    answer = tool(built, "build")
    assert answer.returncode == 1 and "not 2 times 3" in answer.stderr


def test_an_unknown_chapter_is_answered_with_the_nearest(built):
    answer = tool(built, "build", "98_tinny")
    assert answer.returncode == 1 and "98_tiny" in answer.stderr


def test_a_solution_that_is_never_ended_is_an_error(tmp_path):
    course = make_course(tmp_path, CHAPTER.replace("    ### END SOLUTION\n", ""))
    answer = tool(course, "build")
    assert answer.returncode == 1 and "BEGIN and END SOLUTION do not match" in answer.stderr


def test_every_notebook_begins_by_finding_the_course(built):
    """The builder adds that cell, so that no source repeats it."""
    for path in built.glob("notebooks/**/*.ipynb"):
        code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert code[0] == first_cell(None) and code[0] not in code[1:]
    for source in sorted((copied.ROOT / "notebooks" / "src").glob("*.py")):
        assert "sys.path" not in source.read_text(encoding="utf-8")



def test_a_changed_text_needs_no_execution(built, notebook_path):
    before = outputs(notebook_path)
    write_chapter(built, CHAPTER.replace("# # 98 · Tiny", "# # 98 · Small"))
    no_kernel = built / "notebooks" / "ipykernel_launcher.py"  # found first, from this folder
    no_kernel.write_text("raise SystemExit('a kernel was started')\n")
    answer = tool(built, "build")
    no_kernel.unlink()
    assert answer.returncode == 0, answer.stderr
    assert "98 · Small" in sources(notebook_path)[0] and outputs(notebook_path) == before
    assert not (built / "build" / "edited").exists()


def test_what_somebody_did_in_a_notebook_is_set_aside_before_it_is_built_anew(built, notebook_path):
    mine = notebook_path.read_text(encoding="utf-8").replace("your code here", "my own code")
    notebook_path.write_text(mine, encoding="utf-8")
    answer = tool(built, "build")
    assert "98_tiny.ipynb was edited by hand: a copy is in" in answer.stdout
    assert (built / "build" / "edited" / "98_tiny.ipynb").read_text(encoding="utf-8") == mine
    assert "my own code" not in notebook_path.read_text(encoding="utf-8")


def test_names_that_a_package_passes_on_are_followed_to_where_they_come_from():
    library = copied.ROOT / "pretrain_lib"
    files = library_files("from pretrain_lib import load_images")
    assert library / "data" / "images" / "load.py" in files
    assert library / "training" / "trainer.py" not in files
    assert library / "training" / "trainer.py" in library_files("import pretrain_lib")
