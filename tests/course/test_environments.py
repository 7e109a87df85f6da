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
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml

from pretrain_lib.course.exercises import all_exercises
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
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@cache
def text_of(path: Path) -> str:
    """What a page or the text cells of a notebook say, without blocks of code."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def pages(root: Path = ROOT) -> list[Path]:
    """Everything in Markdown that points somewhere."""
    patterns = ("*.md", "docs/*.md", "recipes/**/*.md", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb")
    return [path for pattern in patterns for path in sorted(root.glob(pattern))]


@cache
def anchors(path: Path) -> set[str]:
    """Where a link can lead to inside a page: its titles, as GitHub and the site spell them, and its labels."""
    text = text_of(path)
    titles = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(text)]
    spelt = {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}
    return spelt | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


def dead_links(path: Path, beside: Path | None = None) -> list[str]:
    """The links of a page to files, or to places in files, that are not there.

    Args:
        beside: a second folder that links may start from.
    """
    text, dead = re.sub(r"`[^`\n]*`|\$[^$\n]*\$", "", text_of(path)), []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        folders = [path.parent, *([beside] if beside else [])]
        file = next((folder / name for folder in folders if (folder / name).exists()), None) if name else path
        if file is None or anchor and file.suffix in (".md", ".ipynb") and anchor not in anchors(file):
            dead.append(link)
    return dead


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_course_lead_somewhere(path):
    if path.parent.name != "docs":
        assert not dead_links(path)
        return
    # The site lays these pages beside the chapters, draws the clinic's figures, gives each exercise an address,
    # and leaves out chapters to come.
    made = {f"#exercise-{id.replace('.', '-')}" for id in all_exercises()}
    to_come = re.compile(r"clinic-[\w-]+\.png|notebooks/1[4-9]_\w+\.ipynb.*")
    assert not [link for link in dead_links(path, beside=ROOT) if link not in made and not to_come.fullmatch(link)]


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "there.md").write_text("# One `code`, two\n\n(label)=\n## 3 · Part\n")
    (tmp_path / "page.md").write_text(
        "# Here\n[a](there.md#3--part) [b](there.md#one-code-two) [c](there.md#label) [d](#here) [e](https://x.org)\n"
        "`[f](code.md)` $x[1](2)$\n```\n[g](block.md)\n```\n[h](gone.md) [i](there.md#gone) [j](#gone)\n")
    assert dead_links(tmp_path / "page.md") == ["gone.md", "there.md#gone", "#gone"]


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
@pytest.mark.parametrize("minor", PYTHONS)
def test_the_first_cell_changes_no_version_that_is_there(tmp_path, minor):
    """A machine like Colab's: torch, numpy and others are there, in versions of their own; one package lacks."""
    ours = minor == "{}.{}".format(*sys.version_info)
    found, pyenv = sys.executable if ours else shutil.which(f"python{minor}"), {"PYENV_VERSION": minor}  # which pyenv heeds
    if not found or subprocess.run([found, "-c", "import ensurepip"], env=os.environ | pyenv, capture_output=True).returncode:
        pytest.skip(f"no Python {minor} here")
    root = make_course(tmp_path / "a course")
    for name, version in [("numpy", "1.9"), ("numpy", "2.4"), ("pandas", "1.0"), ("pandas", "2.0")]:
        write_wheel(root, name, version)
    (root / "requirements.txt").write_text("torch==2.13\nnumpy==2.4\npandas==2.0\ntiny==1.0\n")
    subprocess.run([found, "-m", "venv", tmp_path / "colab"], env=os.environ | pyenv, check=True)
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
