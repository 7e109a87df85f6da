"""course.py, tried on a tiny course: one dummy package, a library of four lines, no network."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pretrain_lib.course import cores
from pretrain_lib.course.results import hardware

REPOSITORY = Path(__file__).resolve().parents[2]
posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and shell scripts")

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "pretrain-lib"
version = "0.1.0"
dependencies = ["torch>=2.10"]
"""
# Builds an editable wheel without setuptools, and takes as long as a file named `slow` exists.
BACKEND = """\
import os, sys, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    while os.path.exists("slow"):
        time.sleep(0.05)
    sys.path.insert(0, os.path.join(os.getcwd(), "wheels"))
    from make import write_wheel
    return write_wheel(folder, "pretrain_lib", "0.1.0", {"pretrain_lib.pth": os.getcwd()})
"""
MAKE_WHEEL = """\
import os, zipfile

def write_wheel(folder, name, version, files):
    info = "{}-{}.dist-info/".format(name, version)
    files = dict(files)
    head = "Metadata-Version: 2.1\\nName: {}\\nVersion: {}\\n"
    files[info + "METADATA"] = head.format(name, version)
    files[info + "WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    record = ["{},,{}\\n".format(path, len(text)) for path, text in files.items()]
    files[info + "RECORD"] = "".join(record) + info + "RECORD,,\\n"
    wheel = "{}-{}-py3-none-any.whl".format(name, version)
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel
"""
RUN = "import sys; print('chapters', sys.argv[1:], flush=True); sys.exit(7)"


def make_course(root: Path) -> Path:
    """A tiny course in a folder whose name has a space."""
    root.mkdir(parents=True)
    shutil.copy(REPOSITORY / "course.py", root)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "requirements.txt").write_text("# pins\n\ntiny==1.0\n")
    (root / "wheels").mkdir()
    (root / "wheels" / "make.py").write_text(MAKE_WHEEL)
    for name, version in [("tiny", "1.0"), ("tiny", "2.0"), ("torch", "2.9"), ("torch", "2.13")]:
        write_wheel(root, name, version)
    for package in ("pretrain_lib", "pretrain_lib/course"):
        (root / package).mkdir()
        (root / package / "__init__.py").touch()
    (root / "pretrain_lib" / "course" / "run.py").write_text(RUN)
    return root


def write_wheel(root: Path, name: str, version: str) -> None:
    scope: dict = {}
    exec(MAKE_WHEEL, scope)
    scope["write_wheel"](root / "wheels", name, version, {f"{name}/__init__.py": f"# {version}\n"})


def settings(root: Path, network: bool = True) -> dict[str, str]:
    """Environment variables under which pip finds the course's own wheels, or nothing at all."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env.pop("PYTHONPATH", None)
    env["PIP_CONFIG_FILE"] = os.devnull
    if network:
        return env | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (root / "wheels").as_uri()}
    return env | {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}


def course(root: Path, *arguments: str, network: bool = True, python: str = sys.executable):
    return subprocess.run(
        [python, str(root / "course.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=settings(root, network),
        cwd=root.parent,
    )


def start(root: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(root / "course.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=settings(root),
        start_new_session=True,
    )


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_in_venv(root: Path, distribution: str) -> bool:
    return bool(list((root / ".venv").rglob(f"{distribution}.dist-info")))


def imports(root: Path, name: str) -> bool:
    python = load(root).VENV_PYTHON
    return subprocess.run([python, "-c", f"import {name}"], cwd=root.parent).returncode == 0


def load(root: Path):
    """course.py of a folder as a module."""
    spec = importlib.util.spec_from_file_location("course_cli", root / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    """A course that is set up; tests leave it so."""
    root = make_course(tmp_path_factory.mktemp("ready") / "a course")
    first = course(root, "setup")
    assert first.returncode == 0, first.stdout + first.stderr
    return root


@pytest.fixture
def used(ready, tmp_path) -> Path:
    """A course that is set up and may be spoilt."""
    root = shutil.copytree(ready, tmp_path / "a course", symlinks=True)
    load(root).write_stamp()
    return root


@pytest.fixture
def fresh(tmp_path) -> Path:
    """A course just cloned."""
    return make_course(tmp_path / "a course")


# --- Words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["run", "--help"]])
def test_help_teaches_and_sets_nothing_up(fresh, arguments):
    said = course(fresh, *arguments)
    assert said.returncode == 0
    assert "python course.py lab" in said.stdout and "--no-venv" in said.stdout
    assert not (fresh / ".venv").exists()


@pytest.mark.parametrize("typed, meant", [("tset", "test"), ("labs", "lab"), ("biuld", "build")])
def test_an_unknown_command_suggests_the_nearest(fresh, typed, meant):
    said = course(fresh, typed)
    assert said.returncode == 2
    assert f"Did you mean '{meant}'?" in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 14), (3, 14, 0), (4, 0, 0)])
def test_an_unsuitable_python_is_named_in_one_line(version):
    line = load(REPOSITORY).wrong_python(version)
    assert "3.11, 3.12 or 3.13" in line and ".".join(map(str, version)) in line
    assert "\n" not in line


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 13, 9)])
def test_suitable_pythons_pass(version):
    assert load(REPOSITORY).wrong_python(version) is None


@pytest.mark.parametrize("name", ["2.7", "3.6", "3.8", "3.9", "3.10", "3.14"])
def test_an_unsuitable_python_gets_as_far_as_the_message(fresh, name):
    python = shutil.which(f"python{name}")
    env = os.environ | {"PYENV_VERSION": name}  # only tells pyenv, where it is used, which one
    if not python or subprocess.run([python, "-c", ""], env=env, capture_output=True).returncode:
        pytest.skip(f"no Python {name} here")
    command = [python, str(fresh / "course.py"), "lab"]
    said = subprocess.run(command, env=env, capture_output=True, text=True)
    assert said.returncode == 1
    assert said.stderr.startswith("course.py: needs Python 3.11, 3.12 or 3.13")
    assert said.stderr.count("\n") == 1


def test_the_syntax_is_one_that_old_pythons_parse():
    ast.parse((REPOSITORY / "course.py").read_text(encoding="ascii"), feature_version=(3, 4))


# --- Setting up -----------------------------------------------------------------------------


def test_a_second_set_up_touches_nothing_and_needs_no_network(ready):
    def contents():
        return {path: path.stat().st_mtime_ns for path in ready.rglob("*")}

    before = contents()
    said = course(ready, "setup", network=False)
    assert said.returncode == 0, said.stderr
    assert contents() == before


def test_commands_hand_over_arguments_and_exit_codes(ready):
    said = course(ready, "run", "02", "--scale", "smoke", network=False)
    assert said.stdout == "chapters ['02', '--scale', 'smoke']\n"
    assert said.returncode == 7


@pytest.mark.parametrize(
    "command, program",
    [
        ("lab", "-m jupyterlab"),
        ("run", "-m pretrain_lib.course.run"),
        ("build", "-m pretrain_lib.course.build"),
        ("reproduce", "from pretrain_lib.course.results import main"),
    ],
)
def test_each_command_has_its_program(monkeypatch, command, program):
    module, handed = load(REPOSITORY), []
    monkeypatch.setattr(module, "hand_over", lambda line, env: handed.append(" ".join(line)))
    module.perform(command, ["02"], "python", {})
    assert program in handed[0] and handed[0].endswith("02")


def test_the_library_is_importable_anywhere(ready):
    assert imports(ready, "pretrain_lib.course, tiny")


def test_changed_requirements_are_installed_by_the_next_command(used):
    (used / "requirements.txt").write_text("tiny==2.0\n")
    assert course(used, "run").returncode == 7
    assert is_in_venv(used, "tiny-2.0") and not is_in_venv(used, "tiny-1.0")


def test_the_site_brings_its_own_packages_and_only_once(used):
    write_wheel(used, "theme", "1.0")
    (used / "requirements-site.txt").write_text("theme==1.0\n")
    (used / "pretrain_lib" / "course" / "site.py").write_text(RUN)
    (used / "notebooks" / "src").mkdir(parents=True)  # the archive for a class has none, and makes no site
    first, second = course(used, "site", "--to", "x"), course(used, "site", network=False)
    assert is_in_venv(used, "theme-1.0")
    assert first.returncode == second.returncode == 7
    assert "requirements-site.txt" in first.stdout and "chapters ['--to', 'x']" in first.stdout
    assert "requirements-site.txt" not in second.stdout


def test_a_package_that_was_lost_is_installed_again(used):
    module = load(used)
    subprocess.run([module.VENV_PYTHON, "-m", "pip", "uninstall", "-y", "-q", "tiny"], check=True)
    assert course(used, "run").returncode == 7
    assert imports(used, "tiny")


@pytest.mark.parametrize("lost", ["tiny/__init__.py", "tiny-1.0.dist-info/RECORD"])
def test_a_half_installed_package_is_installed_again(used, lost):
    module = load(used)
    (Path(module.site_packages()) / lost).unlink()
    Path(module.STAMP).unlink()
    assert course(used, "setup").returncode == 0
    assert (Path(module.site_packages()) / lost).exists()


def test_a_copied_course_installs_its_own_library_without_a_network(ready, tmp_path):
    copy = shutil.copytree(ready, tmp_path / "copy", symlinks=True)
    said = course(copy, "setup", network=False)
    assert said.returncode == 0, said.stderr
    pth = next((copy / ".venv").rglob("pretrain_lib.pth"))
    assert pth.read_text() == str(copy)


def test_without_a_network_one_message_names_the_remedy(fresh):
    said = course(fresh, "setup", network=False)
    assert said.returncode == 1
    assert "no network" in said.stderr and "give the same command again" in said.stderr
    assert "Traceback" not in said.stderr
    again = course(fresh, "setup")
    assert again.returncode == 0, again.stderr
    assert "virtual environment" not in again.stdout, "what was done is kept"


def test_a_venv_of_another_python_is_not_deleted_unasked(used):
    module = load(used)
    config = used / ".venv" / "pyvenv.cfg"
    config.write_text(config.read_text().replace(module.venv_version(), "3.9.1"))
    said = course(used, "setup")
    assert said.returncode == 1
    assert "holds Python 3.9.1" in said.stderr and "Delete .venv" in said.stderr


def test_a_venv_without_pip_gets_one_and_is_kept(fresh):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh / ".venv"], check=True)
    (fresh / ".venv" / "mine").touch()
    said = course(fresh, "setup")
    assert said.returncode == 0, said.stderr
    assert (fresh / ".venv" / "mine").exists()


@pytest.mark.parametrize(
    "line, remedy",
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("/usr/bin/python3: No module named venv", "python3.1"),
        ("created successfully because ensurepip is not available.", "-venv"),
        ("/opt/python: No module named pip", "python -m ensurepip"),
        ("error: externally-managed-environment", "Leave out --no-venv"),
        ("[WinError 5] Access is denied: 'python.exe'", "Close the programs"),
        ("Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'", "no network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "not to be had"),
        ("something nobody foresaw", "give the same command again"),
    ],
)
def test_a_failed_stage_names_its_remedy(line, remedy):
    message = load(REPOSITORY).diagnosis("packages", ["before", line], "setup.log")
    assert remedy in message and line in message


# --- Interruptions --------------------------------------------------------------------------


@posix_only
def test_killed_while_making_the_venv_the_next_call_makes_it_anew(fresh):
    process = start(fresh, "setup")
    wait_until(lambda: (fresh / ".venv" / "pyvenv.cfg").exists())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (fresh / ".venv" / "unfinished").exists()
    assert course(fresh, "run").returncode == 7
    assert not (fresh / ".venv" / "unfinished").exists()


@posix_only
def test_killed_while_installing_the_next_call_goes_on(fresh):
    (fresh / "slow").touch()
    process = start(fresh, "setup")
    wait_until(lambda: is_in_venv(fresh, "tiny-1.0"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (fresh / "slow").unlink()
    said = course(fresh, "run")
    assert said.returncode == 7, said.stderr
    assert "virtual environment" not in said.stdout


@posix_only
def test_an_installation_that_outlives_its_parent_is_waited_for(fresh):
    (fresh / "slow").touch()
    process = start(fresh, "setup")
    wait_until(lambda: is_in_venv(fresh, "tiny-1.0"))
    time.sleep(1)  # the library's installation begins
    process.kill()
    process.wait()
    second = start(fresh, "run")
    time.sleep(1)
    assert second.poll() is None
    (fresh / "slow").unlink()
    said, _ = second.communicate(timeout=60)
    assert "waiting for it to end" in said
    assert second.returncode == 7
    process.stdout.close()


@posix_only
def test_ctrl_c_ends_cleanly(fresh):
    (fresh / "slow").touch()
    process = start(fresh, "setup")
    wait_until(lambda: is_in_venv(fresh, "tiny-1.0"))
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "goes on from here" in said and "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nothing is left of the group


def test_two_at_once_do_not_disturb_each_other(fresh):
    both = [start(fresh, "run") for _ in range(2)]
    said = [process.communicate(timeout=90)[0] for process in both]
    assert [process.returncode for process in both] == [7, 7], said
    assert sum("virtual environment" in text for text in said) == 1, said


# --- PyTorch's build ------------------------------------------------------------------------


class Recorder:
    """Stands in for an Installer and notes what pip would have been asked."""

    def __init__(self):
        self.asked = []

    def pip(self, title, arguments, may_fail=False):
        self.asked.append((arguments, may_fail))


@pytest.mark.parametrize(
    "platform, gpu, answering, expected",
    [
        ("linux", False, True, True),
        ("linux", False, False, False),
        ("linux", True, True, False),
        ("darwin", False, True, False),
        ("win32", False, True, False),
    ],
)
def test_the_cpu_build_is_taken_on_linux_without_a_gpu(
    monkeypatch, platform, gpu, answering, expected
):
    module, installer = load(REPOSITORY), Recorder()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(module, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(module, "cpu_index_answers", lambda: answering)
    module.install_torch(installer, installed={"torch-2.12.0"})
    if expected:
        [(arguments, may_fail)] = installer.asked
        assert arguments[-1].startswith("torch==") and module.CPU_INDEX in arguments
        assert "--no-deps" in arguments and may_fail
    else:
        assert installer.asked == []


def test_the_torch_that_is_pinned_is_installed_once(monkeypatch):
    module, installer = load(REPOSITORY), Recorder()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(module, "cpu_index_answers", lambda: True)
    module.install_torch(installer, installed={"torch-" + dict(module.pins())["torch"]})
    assert installer.asked == []


def test_a_silent_index_costs_no_more_than_its_patience(monkeypatch):
    import urllib.request

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: time.sleep(30))
    began = time.monotonic()
    assert load(REPOSITORY).cpu_index_answers(seconds=0.2) is False
    assert time.monotonic() - began < 15


# --- Without .venv --------------------------------------------------------------------------


def test_no_venv_installs_only_what_is_missing_and_keeps_torch(fresh, tmp_path):
    (fresh / "requirements.txt").write_text("torch==2.13\ntiny==1.0\njupyterlab==1.0\n")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "own"], check=True)
    python = next(path for path in (tmp_path / "own").glob("*/python*") if path.stem == "python")
    pip = [python, "-m", "pip", "install", "-q", "torch==2.9"]
    subprocess.run(pip, check=True, env=settings(fresh), cwd=tmp_path)

    said = course(fresh, "run", "--no-venv", "02", python=str(python))
    assert said.returncode == 7, said.stderr
    assert "chapters ['02']" in said.stdout
    assert "torch 2.9 is here, and stays; the course asks for 2.10 or later" in said.stdout
    listed = subprocess.run(
        [python, "-m", "pip", "freeze"], capture_output=True, text=True, env=settings(fresh)
    ).stdout
    assert "torch==2.9" in listed and "tiny==1.0" in listed and "jupyterlab" not in listed
    assert not (fresh / ".venv").exists()

    again = course(fresh, "run", "--no-venv", python=str(python), network=False)
    assert again.returncode == 7 and "Installing" not in again.stdout


# --- Tests and CI ---------------------------------------------------------------------------


def test_every_step_of_test_runs_and_the_first_failure_is_the_exit_code(monkeypatch, capsys):
    module, called = load(REPOSITORY), []

    def call(command, env):
        called.append((" ".join(command), env.get("COURSE_SCALE"), env.get("COURSE_STRICT")))
        return 3 if "--check" in command else 0

    monkeypatch.setattr(module, "call", call)
    assert module.run_tests([], "python", {}) == 3
    commands = [command for command, _, _ in called]
    assert "importlinter" in commands[0]
    assert commands[1].endswith("pretrain_lib.course.build --check")
    assert commands[2].startswith("python -m pytest -n auto ") and commands[2].endswith(" tests")
    assert "--nbval-lax" in commands[3] and called[3][1:] == ("smoke", None)
    assert commands[4].endswith("notebooks/solutions") and called[4][1:] == ("smoke", "1")
    assert "FAILED" in capsys.readouterr().out


def test_arguments_of_test_go_to_pytest(monkeypatch):
    module, handed = load(REPOSITORY), []
    monkeypatch.setattr(module, "hand_over", lambda command, env: handed.append(command))
    module.run_tests(["tests/data", "-x"], "python", {})
    assert handed == [["python", "-m", "pytest", "tests/data", "-x"]]


@posix_only
@pytest.mark.parametrize("suitable", ["python3", "python3.11", "python3.12"])
def test_ci_gives_the_command_of_the_readme_to_a_suitable_python(tmp_path, suitable):
    assert "python course.py test" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        stub = tmp_path / name
        code = "0" if name == suitable else "1"
        answers = f'[ "$1" = -c ] && exit {code}\necho "{name} $@"\n[ "$2" != test ] || exit 5\n'
        stub.write_text("#!/bin/sh\n" + answers)
        stub.chmod(0o755)
    for name in ("chromium", "google-chrome", "bwrap", "apt-get"):  # nothing is installed here
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = ["bash", str(REPOSITORY / ".ci" / "run")]
    said = subprocess.run(script, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert said.stdout.splitlines() == [f"{suitable} course.py {step}" for step in ("site", "test")]
    assert said.returncode == 5


@pytest.mark.parametrize("there, allowed, quota, usable", [
    (64, 64, None, 64), (64, 2, None, 2), (64, 64, "max 100000", 64), (64, 64, "200000 100000", 2), (64, 3, "800000 100000", 3),
    (64, 64, "50000 100000", 1)])
def test_half_of_the_cores_that_may_be_used_compute_a_chapter(monkeypatch, tmp_path, there, allowed, quota, usable):
    module, limit = load(REPOSITORY), tmp_path / "cpu.max"
    if quota:
        limit.write_text(quota + "\n")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: there)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)
    monkeypatch.setattr(module, "open", lambda path: open(limit), raising=False)
    monkeypatch.setattr(cores, "LIMIT", limit)
    assert module.usable_cores() == cores.usable_cores() == hardware()["cores"] == usable
    assert module.environment(in_venv=False)["OMP_NUM_THREADS"] == str(max(1, usable // 2))
