"""Builds the notebooks: from notebooks/src/NN_name.py to what is read, executed, outputs in place.

    python -m pretrain_lib.course.build [CHAPTER ...] [--check] [--force]

A notebook is executed again only if its code, or what its code depends on, has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ..files import write_text
from .chapters import UnknownChapter, select_chapters
from .kernel import NotebookFailed, execute
from .sources import (
    NOTEBOOKS,
    ROOT,
    chapter_sources,
    dependencies,
    digest,
    fixed_metadata,
    read_text,
    solution_notebook,
    student_notebook,
)

WIDGET = "application/vnd.jupyter.widget-view+json"


def clean_outputs(notebook: NotebookNode) -> list[str]:
    """Keeps what a reader needs of the outputs; returns what went to stderr, which is left out.

    Widgets, such as progress bars, end with their kernel, and are left out, too.
    """
    complaints = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kept: list[NotebookNode] = []
        for output in cell.outputs:
            if WIDGET in output.get("data", {}):
                continue
            if output.output_type == "stream" and output.name == "stderr":
                complaints.append(output.text.strip())
            elif output.output_type == "stream" and kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
            else:
                kept.append(output)
        for output in kept:
            if output.output_type == "stream":
                output.text = output.text.replace(str(ROOT), ".")
        cell.outputs = kept
        cell.metadata.pop("execution", None)
    return complaints


def outputs_digest(notebook: NotebookNode) -> str:
    """A digest of the outputs, which tells whether somebody has edited them."""
    outputs = [cell.get("outputs", []) for cell in notebook.cells]
    return digest(json.dumps(outputs, sort_keys=True).encode())


def outputs_edited(built: NotebookNode) -> bool:
    return outputs_digest(built) != built.metadata.get("course", {}).get("outputs")


def kinds(source: Path) -> list[tuple[Path, NotebookNode, bool]]:
    """What is made of a source: (place, unexecuted notebook, whether its exercises must pass)."""
    name = f"{source.stem}.ipynb"
    return [
        (NOTEBOOKS / name, student_notebook(source), False),
        (NOTEBOOKS / "solutions" / name, solution_notebook(source), True),
    ]


def build_chapter(source: Path, force: bool = False) -> None:
    """Writes a chapter's two notebooks, executing those whose inputs have changed.

    Raises:
        NotebookFailed: if a cell fails; the notebook that was there stays.
    """
    inputs = {"source": digest(read_text(source)), "dependencies": dependencies(source)}
    for place, notebook, strict in kinds(source):
        if not force and is_current(place, inputs) and not differences(place, notebook):
            print(f"{place.relative_to(ROOT)}: nothing has changed")
            continue
        start = time.perf_counter()
        if force or not keep_outputs(place, notebook, inputs["dependencies"]):
            try:
                execute(notebook, NOTEBOOKS, "smoke" if strict else "laptop", strict=strict)
            except NotebookFailed as error:
                raise NotebookFailed(f"{place.relative_to(ROOT)}: {error}") from None
            for complaint in clean_outputs(notebook):
                print(f"{place.name} wrote to stderr: {complaint}", file=sys.stderr)
        set_aside(place, notebook, inputs["source"])
        made_from = {**inputs, "outputs": outputs_digest(notebook)}
        notebook.metadata = fixed_metadata() | {"course": made_from}
        write(place, notebook)
        print(f"{place.relative_to(ROOT)}: built in {time.perf_counter() - start:.0f} s")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def keep_outputs(place: Path, notebook: NotebookNode, depends_on: str) -> bool:
    """Gives a notebook the outputs of the one that is there, if only text has changed since."""
    if not is_current(place, {"dependencies": depends_on}):
        return False
    built = nbformat.read(place, as_version=4)
    before, now = code_cells(built), code_cells(notebook)
    if outputs_edited(built) or [cell.source for cell in before] != [cell.source for cell in now]:
        return False
    for old, new in zip(before, now):
        new.outputs, new.execution_count = old.outputs, old.execution_count
    return True


def set_aside(place: Path, notebook: NotebookNode, source: str) -> None:
    """Keeps a copy of a notebook that somebody has worked in, before it is replaced."""
    if not place.exists():
        return
    by_hand = is_current(place, {"source": source}) and differences(place, notebook)
    if by_hand or outputs_edited(nbformat.read(place, as_version=4)):
        kept = ROOT / "build" / "edited" / place.relative_to(NOTEBOOKS)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(place.read_bytes())
        print(f"{place.relative_to(ROOT)} was edited by hand: a copy is in {kept.relative_to(ROOT)}")


def write(place: Path, notebook: NotebookNode) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_text(place, text)


def is_current(place: Path, inputs: dict[str, str]) -> bool:
    if not place.exists():
        return False
    made_from = nbformat.read(place, as_version=4).metadata.get("course", {})
    return all(made_from.get(name) == value for name, value in inputs.items())


def differences(place: Path, expected: NotebookNode) -> list[str]:
    """How a built notebook differs from what its source makes."""
    if not place.exists():
        return ["it is missing"]
    built = nbformat.read(place, as_version=4)
    found = []
    if len(built.cells) != len(expected.cells):
        found.append(f"it has {len(built.cells)} cells, the source makes {len(expected.cells)}")
    for number, (cell, wanted) in enumerate(zip(built.cells, expected.cells), 1):
        if any(cell.get(part) != wanted.get(part) for part in ("cell_type", "source", "id", "metadata")):
            found.append(f"cell {number} is not what the source makes")
    if outputs_edited(built):
        found.append("its outputs were edited")
    return found


def check_chapter(source: Path) -> bool:
    """Reports where a chapter's notebooks disagree with its source; executes nothing."""
    agree = True
    for place, expected, _ in kinds(source):
        found = differences(place, expected)
        inputs = {"source": digest(read_text(source)), "dependencies": dependencies(source)}
        if not found and not is_current(place, {"source": inputs["source"]}):
            found = ["the source was edited since it was built"]
        for difference in found:
            print(f"{place.relative_to(ROOT)}: {difference}")
        if found:
            agree = False
        elif not is_current(place, inputs):
            print(f"{place.relative_to(ROOT)}: outputs may be stale, the library or a result has changed")
    return agree


def orphans() -> list[Path]:
    """Built notebooks that have no source."""
    names = {source.stem for source in chapter_sources()}
    built = [*NOTEBOOKS.glob("*.ipynb"), *(NOTEBOOKS / "solutions").glob("*.ipynb")]
    return [path for path in sorted(built) if path.stem not in names]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py build", description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="such as 02; all if none is named")
    parser.add_argument("--check", action="store_true",
                        help="execute nothing; fail if a notebook is not what its source makes")
    parser.add_argument("--force", action="store_true", help="execute even what has not changed")
    options = parser.parse_args(arguments)
    try:
        chosen = select_chapters(options.chapters, chapter_sources())
        if options.check:
            agree = all([check_chapter(source) for source in chosen])
            for path in orphans():
                print(f"{path.relative_to(ROOT)}: has no source")
                agree = False
            print("notebooks agree with their sources" if agree else
                  "edit notebooks/src, never a notebook; then: python course.py build")
            return 0 if agree else 1
        for source in chosen:
            build_chapter(source, options.force)
    except (UnknownChapter, NotebookFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
