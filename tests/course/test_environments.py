"""The places where the course runs: what their files say is what the course needs, and what they call exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from pretrain_lib.course.sources import ROOT, first_cell

from .test_course_cli import make_course, settings, write_wheel

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = ["3.11", "3.12", "3.13"]


def read_yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Path) -> list[dict]:
    return [step for job in read_yaml(workflow)["jobs"].values() for step in job["steps"]]


def least(name: str) -> str:
    """The oldest version that pyproject.toml allows."""
    lines = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    return next(line.split(">=")[1] for line in lines if line.startswith(f"{name}>="))


# --- conda, Binder, a development container -------------------------------------------------


def test_conda_installs_a_python_and_the_pins_and_nothing_else():
    environment = read_yaml(ROOT / "environment.yml")
    python, pip, pins = environment["dependencies"]
    assert python.removeprefix("python=") in PYTHONS and pip == "pip"
    assert pins == {"pip": ["-r requirements.txt"]} and (ROOT / "requirements.txt").exists()


def test_binder_has_the_same_python_and_sets_up_as_everywhere():
    binder = read_yaml(ROOT / ".binder" / "environment.yml")["dependencies"]
    assert binder == read_yaml(ROOT / "environment.yml")["dependencies"][:2]
    script = ROOT / ".binder" / "postBuild"
    assert "python course.py setup --no-venv" in script.read_text()
    assert os.name == "nt" or script.stat().st_mode & stat.S_IXUSR


def test_the_container_sets_up_and_finds_its_python():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["image"].rpartition(":")[2] in PYTHONS
    assert container["postCreateCommand"] == "python course.py setup"
    settings = container["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"].endswith("/.venv/bin/python")


# --- Workflows ------------------------------------------------------------------------------


def test_the_matrix_has_every_python_and_both_ends_of_the_ranges():
    jobs = read_yaml(ROOT / ".github" / "workflows" / "test.yml")["jobs"]
    assert jobs["course"]["strategy"]["matrix"]["python"] == PYTHONS
    oldest, newest = jobs["ranges"]["strategy"]["matrix"]["include"]
    for name in ("torch", "transformers"):
        assert oldest[name] == f"=={least(name)}.*" and newest[name] == ""
    assert (oldest["python"], newest["python"]) == (PYTHONS[0], PYTHONS[-1])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_what_there_is(workflow):
    text = (ROOT / "course.py").read_text(encoding="utf-8")
    commands = set(re.findall(r"^  python course\.py (\w+)", text, re.MULTILINE))
    called = [step["run"] for step in steps(workflow) if "run" in step]
    assert called
    for line in "\n".join(called).splitlines():
        if "course.py" in line:
            assert line.split("course.py ")[1].split()[0] in commands
        for file in re.findall(r"(?<![\w/.])(?:\.ci/\w+|tests(?:/\w+)*)", line):
            assert (ROOT / file).exists()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_and_ends_in_time(workflow):
    content = read_yaml(workflow)
    assert content["permissions"] == {"contents": "read"}
    assert True in content or "on" in content  # YAML reads the word on as true
    for name, job in content["jobs"].items():
        assert "timeout-minutes" in job or name == "publish"
    for step in steps(workflow):
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_site_is_published_from_where_it_is_built():
    from pretrain_lib.course.site.__main__ import SITE

    upload = next(step for step in steps(ROOT / ".github" / "workflows" / "site.yml") if "pages-artifact" in step.get("uses", ""))
    assert ROOT / upload["with"]["path"] == SITE


def test_a_weekly_run_executes_the_chapters():
    weekly = read_yaml(ROOT / ".github" / "workflows" / "weekly.yml")
    assert weekly[True]["schedule"] and {"run": "python course.py run"} in steps(ROOT / ".github" / "workflows" / "weekly.yml")


# --- Links ----------------------------------------------------------------------------------

LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")


def pages() -> dict[Path, str]:
    """Everything in Markdown that points somewhere: pages, and the text of notebooks."""
    found = {}
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "recipes").rglob("*.md")]:
        found[path] = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "solutions").glob("*.ipynb")]:
        cells = nbformat.read(path, as_version=4).cells
        found[path] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return found


def dead_links(path: Path, text: str) -> list[str]:
    """The links of a page to files that are not there."""
    text = re.sub(r"`[^`\n]*`|\$[^$\n]*\$", "", text)
    targets = [link.partition("#")[0] for link in LINK.findall(text) if not re.match(r"[a-z]+:|#", link)]
    return [target for target in targets if target and not (path.parent / target).exists()]


PAGES = pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_course_lead_somewhere(path):
    dead = dead_links(path, PAGES[path])
    if path.parent.name == "docs":  # the site lays these pages beside the chapters, and leaves out those to come
        dead = [link for link in dead if not (ROOT / link).exists() and not link.startswith(("notebooks/", "clinic-"))]
    assert not dead


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "there.md").touch()
    text = "[a](there.md#part) [b](gone.md) [c](https://example.org) [d](#here) `[e](code.md)` $x[1](2)$"
    assert dead_links(tmp_path / "page.md", text) == ["gone.md"]


# --- A wheel, and a machine where torch is already --------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The library as pip would install it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "pretrain_lib", folder / "pretrain_lib", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
    return folder / said.stdout.split()[-1]


def venv_beside(folder: Path) -> Path:
    """A new virtual environment that sees the packages here, and not this course; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.rglob("site-packages"))
    (site / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def bare_environment() -> dict:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COURSE_", "PIP_"))}


@pytest.mark.slow
def test_the_wheel_serves_its_zoo_and_its_data(wheel, tmp_path):
    python = venv_beside(tmp_path / "venv")
    site = next((tmp_path / "venv").rglob("site-packages"))
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, env=bare_environment())
    code = ("import pretrain_lib as pl; print(pl.__file__); "
            "model, tokenizer = pl.load_pretrained('modernbert-mini-sotu'), pl.load_tokenizer('modernbert-mini-sotu'); "
            "print(sum(p.numel() for p in model.parameters()) > 1e6, tokenizer.token_to_id('[MASK]') is not None); "
            "print(len(pl.load_images('digits', 'all')), sum(1 for _ in pl.load_text('sotu')) > 200)")
    said = subprocess.run([python, "-c", code], cwd=tmp_path, env=bare_environment(), capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    where, *rest = said.stdout.splitlines()
    assert Path(where).is_relative_to(site) and rest == ["True True", "1797 True"]


def versions(python: Path) -> dict[str, str]:
    """What is installed for a Python: {name: version}."""
    code = "import importlib.metadata as m; [print(d.metadata['Name'], d.version) for d in m.distributions()]"
    said = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, env=bare_environment())
    return dict(line.split() for line in said.stdout.splitlines())


@pytest.mark.slow
def test_the_first_cell_changes_no_version_that_is_there(tmp_path):
    """A machine like Colab's: torch, numpy and others are there, in versions of their own; one package lacks."""
    root = make_course(tmp_path / "a course")
    for name, version in [("numpy", "1.9"), ("numpy", "2.4"), ("pandas", "1.0"), ("pandas", "2.0")]:
        write_wheel(root, name, version)
    (root / "requirements.txt").write_text("torch==2.13\nnumpy==2.4\npandas==2.0\ntiny==1.0\n")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "colab"], check=True)
    python = next(path for path in (tmp_path / "colab").glob("*/python*") if path.stem == "python")
    there = ["torch==2.9", "numpy==1.9", "pandas==1.0"]
    subprocess.run([python, "-m", "pip", "install", "-q", *there], check=True, env=settings(root), cwd=tmp_path)
    before = versions(python)

    (root / "notebooks").mkdir()
    cell = first_cell(None).replace('"torch", "transformers"', '"torch", "tiny"')
    offline = subprocess.run([python, "-c", cell], cwd=root / "notebooks", env=settings(root, network=False),
                             capture_output=True, text=True)
    assert sum("no network" in line for line in offline.stderr.splitlines()) == 1
    assert versions(python) == before

    online = subprocess.run([python, "-c", cell + "\nimport tiny, pretrain_lib"], cwd=root / "notebooks",
                            env=settings(root), capture_output=True, text=True)
    assert online.returncode == 0, online.stderr
    assert {name: version for name, version in versions(python).items() if name in before} == before
    assert versions(python).keys() - before.keys() == {"tiny", "pretrain_lib"}
