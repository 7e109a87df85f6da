"""The one way in to the course: makes .venv, installs what the course needs, hands over to it.

    python course.py lab        open the course in JupyterLab
    python course.py            list all commands

Only the standard library is used, and only syntax that every Python since 2.7 can parse, so that
an unsuitable Python gets as far as saying which one is needed.
"""
from __future__ import print_function

import csv
import difflib
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
WINDOWS = os.name == "nt"
PYTHONS = ((3, 11), (3, 12), (3, 13))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PACKAGE = "pretrain-lib"

VENV = os.path.join(ROOT, ".venv")
VENV_PROGRAMS = os.path.join(VENV, "Scripts" if WINDOWS else "bin")
VENV_PYTHON = os.path.join(VENV_PROGRAMS, "python.exe" if WINDOWS else "python")
LOG = os.path.join(VENV, "setup.log")
STAMP = os.path.join(VENV, "course-setup.json")  # written last: its content says what is installed
UNFINISHED = os.path.join(VENV, "unfinished")  # there while the virtual environment is being made

HELP = """\
Pre-training from First Principles: how a network learns from unlabelled data.

  python course.py lab                     open chapter 00 in JupyterLab: start here
  python course.py run                     run every chapter without a screen
  python course.py run 02 --scale smoke    one chapter, small (scales: smoke, laptop, gpu)
  python course.py test                    run everything that continuous integration runs
  python course.py test tests/data -x      run some tests (arguments as for pytest)
  python course.py build                   make the notebooks from notebooks/src
  python course.py build --check           fail if a notebook disagrees with its source
  python course.py reproduce ID            measure a result of results/ again
  python course.py site                    make the course's site: build/site/index.html
  python course.py setup                   only install, for a room without a network
  python course.py progress                which exercises pass, in the notebooks as saved

For teachers (docs/instructors.md):

  python course.py release [FOLDER]        write the archive for a class, without solutions
  python course.py grade FOLDER            mark a folder of submissions, in a sandbox
  python course.py badges --repo OWNER/NAME  links that open the chapters in Colab, Kaggle, Binder

Each command first sets up what it needs in the folder .venv. The first time takes a few minutes
and a network; after that it takes no time and no network (the site fetches packages of its own
the first time). To start anew, delete .venv.

  --no-venv    use the Python that runs this file, as it is (conda, Colab, a container): only
               what is missing is installed, and the torch and numpy that are there stay.
"""
CLASS_KIT = ("progress", "release", "grade", "badges")
AUTHORS = ("test", "build", "site", "release", "badges")
COMMANDS = ("setup", "lab", "run", "test", "build", "reproduce", "site") + CLASS_KIT
TORCH_STAYS = ("torch", "numpy")


class Failure(Exception):
    """Ends the program with a message that names the remedy."""


def main(arguments):
    wrong = wrong_python(sys.version_info)
    if wrong:
        print(wrong, file=sys.stderr)
        return 1
    in_venv = "--no-venv" not in arguments
    arguments = [argument for argument in arguments if argument != "--no-venv"]
    command, rest = (arguments or ["help"])[0], arguments[1:]
    if command in ("help", "-h", "--help") or rest[:1] in (["-h"], ["--help"]):
        print(HELP, end="")
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.4)
        print(
            "course.py: unknown command '{0}'. {1}All commands: {2}.".format(
                command,
                "Did you mean '{0}'? ".format(near[0]) if near else "",
                ", ".join(COMMANDS),
            ),
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended too
    try:
        require_whole_course(command)
        python = set_up_venv() if in_venv else set_up_current(command)
        return perform(command, rest, python, environment(in_venv))
    except Failure as failure:
        print("\ncourse.py: {0}".format(failure), file=sys.stderr)
        return 1
    except OSError as error:
        print("\ncourse.py: {0}".format(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command, given again, goes on from here.", file=sys.stderr)
        return 130


def require_whole_course(command):
    if command in AUTHORS and not os.path.isdir(os.path.join(ROOT, "notebooks", "src")):
        raise Failure(
            "'{0}' needs the whole course; this is the archive for a class, which has neither the "
            "sources of the chapters nor tests.".format(command)
        )


def wrong_python(version):
    """The one line for a Python that is too old or too new; None for a good one."""
    if tuple(version[:2]) in PYTHONS:
        return None
    names = ["3.12", "3.13", "3.11"]
    commands = [["py", "-" + name] if WINDOWS else ["python" + name] for name in names]
    found = [command for command in commands if answers(command + ["-c", "import venv"])]
    if found:
        remedy = "Try: {0} course.py lab".format(" ".join(found[0]))
    else:
        remedy = "Install one from https://www.python.org/downloads/"
    return "course.py: needs Python 3.11, 3.12 or 3.13; this is Python {0}. {1}".format(
        ".".join(str(part) for part in version[:3]), remedy
    )


def answers(command):
    """Whether a command can be started and succeeds, whatever it prints."""
    try:
        with open(os.devnull, "r+") as nothing:
            return subprocess.call(command, stdin=nothing, stdout=nothing, stderr=nothing) == 0
    except OSError:
        return False


# --- What each command does -----------------------------------------------------------------


def perform(command, rest, python, env):
    if command == "setup":
        print("Ready: {0}. Next: python course.py lab".format(python))
        return 0
    if command == "test":
        return run_tests(rest, python, env)
    if command in CLASS_KIT:  # -P: what lies in the folder that it is called from is not imported
        program = [python, "-P", "-m", "pretrain_lib.course." + command]
        return hand_over(program + rest, env, os.getcwd())
    if command == "site":
        set_up_site(python, env)
    if command == "lab":
        folders = [os.path.join(ROOT, ".jupyter"), env.get("JUPYTER_CONFIG_PATH")]
        env = dict(env, JUPYTER_CONFIG_PATH=os.pathsep.join(filter(None, folders)))
        print("JupyterLab runs in this window, and its pages in a browser; Ctrl-C, twice, ends it.")
    reproduce = "import sys; from pretrain_lib.course.results import main; sys.exit(main())"
    programs = {
        "lab": ["-m", "jupyterlab", "--ServerApp.root_dir=" + ROOT],
        "run": ["-m", "pretrain_lib.course.run"],
        "build": ["-m", "pretrain_lib.course.build"],
        "reproduce": ["-c", reproduce, "reproduce"],
        "site": ["-m", "pretrain_lib.course.site"],
    }
    return hand_over([python] + programs[command] + rest, env)


def hand_over(command, env, folder=ROOT):
    """Let another program take this one's place, so that signals and exit codes are its own."""
    sys.stdout.flush()
    os.chdir(folder)
    if not WINDOWS:
        os.execve(command[0], command, env)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the program itself
    return subprocess.call(command, env=env)


def run_tests(rest, python, env):
    """Everything that continuous integration runs or, given pytest's arguments, only pytest."""
    pytest = [python, "-m", "pytest"]
    if rest:
        return hand_over(pytest + rest, env)
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    build = [python, "-m", "pretrain_lib.course.build"]
    pytest += ["-n", "auto", "--maxprocesses=4", "--dist=loadfile", "--no-loadscope-reorder"]
    notebooks = pytest + ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120"]
    smoke = dict(env, COURSE_SCALE="smoke")
    steps = (
        ("imports run one way", [python, "-c", lint, "--no-logo"], env),
        ("notebooks agree with their sources", build + ["--check"], env),
        ("tests", pytest + ["tests"], env),
        ("notebooks", notebooks + ["notebooks", "--ignore=notebooks/solutions"], smoke),
        ("solutions", notebooks + ["notebooks/solutions"], dict(smoke, COURSE_STRICT="1")),
    )
    outcomes = []
    for title, command, step_env in steps:
        print("\n=== {0} ===".format(title))
        sys.stdout.flush()
        began = time.time()
        outcomes.append((title, call(command, step_env), time.time() - began))
    print()
    for title, code, seconds in outcomes:
        print("{0:<36} {1:<8} {2:4.0f} s".format(title, "FAILED" if code else "passed", seconds))
    return next((code for _, code, _ in outcomes if code), 0)


def call(command, env):
    """Run a command in the course's folder; its exit code."""
    return attend(subprocess.Popen(command, cwd=ROOT, env=env))


def attend(process, tick=lambda: None):
    """Wait for a child, call `tick` now and then, and leave no child behind; its exit code."""
    try:
        while not ended(process, 0.5):
            tick()
        return process.returncode
    except KeyboardInterrupt:  # Ctrl-C has reached the child too: give it time to tidy up
        ended(process, 5)
        raise
    finally:
        for insist in (process.terminate, process.kill):
            if process.poll() is None:
                insist()
                ended(process, 5)


def ended(process, seconds):
    """Whether a child ends within some seconds."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


def environment(in_venv):
    """The environment variables of every program that the course starts."""
    env = dict(os.environ)
    env.setdefault("PYTHONUTF8", "1")
    # The chapters' models are small: threads that spin while they wait for one another cost more
    # than they give. On two cores one thread was measured at twice the speed of two.
    env.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // 2)))
    env.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if in_venv:
        env.pop("PYTHONHOME", None)
        env["VIRTUAL_ENV"] = VENV
        env["PATH"] = VENV_PROGRAMS + os.pathsep + env.get("PATH", "")
        env["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel in .venv, not a namesake elsewhere
        env["PIP_USER"] = "0"
    return env


def usable_cores():
    """The cores that this program may use: in a container or a job fewer than the machine has."""
    everyone = os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everyone
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return min(cores, max(1, int(quota) // int(period)))
    except (IOError, OSError, ValueError):  # no such limit; "max" says so, too
        return cores


# --- Setting up -----------------------------------------------------------------------------


def set_up_venv():
    """Make .venv what requirements.txt and pyproject.toml say; the Python inside it."""
    if is_ready():
        return VENV_PYTHON
    try:
        lock = open(os.path.join(ROOT, ".venv.lock"), "a")
    except (IOError, OSError) as error:
        raise Failure(
            "cannot write to {0} ({1}). Copy the course to a folder of your own, or use the Python "
            "that is here: add --no-venv.".format(ROOT, error.strerror)
        )
    with lock:
        wait_for(lock)
        if is_ready():  # another process has just done it
            return VENV_PYTHON
        print("Setting up in .venv; the first time takes a few minutes.")
        installer = Installer(VENV_PYTHON, LOG, environment(in_venv=True), lock)
        make_venv(installer)
        forget_half_installed()
        install_torch(installer, installed_in_venv())
        installer.pip("packages of requirements.txt", ["-r", "requirements.txt"])
        installer.pip("this course's library", ["--no-deps", "--no-build-isolation", "-e", ROOT])
        write_stamp()
    return VENV_PYTHON


def is_ready():
    """Whether a set-up was finished here from the same files, and its packages are still there."""
    try:
        with open(STAMP) as file:
            finished = json.load(file) == fingerprint()
    except (IOError, OSError, ValueError):
        return False
    wanted = {normal(name) + "-" + version for name, version in pins()}
    return finished and os.path.exists(VENV_PYTHON) and wanted <= installed_in_venv()


def fingerprint():
    """What a finished set-up depends on: the folder too, as the library is installed in place."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read().replace(b"\r\n", b"\n"))
    return {"files": digest.hexdigest(), "python": venv_version(), "folder": ROOT}


def write_stamp():
    with open(STAMP + ".new", "w") as file:
        json.dump(fingerprint(), file)
    os.replace(STAMP + ".new", STAMP)


def pins(requirements="requirements.txt"):
    """The direct requirements: [(name, version), ...]."""
    with open(os.path.join(ROOT, requirements)) as file:
        return re.findall(r"^([\w.-]+)==([\w.!+]+)", file.read(), re.MULTILINE)


def normal(name):
    return re.sub(r"[-_.]+", "_", name).lower()


def venv_version():
    """The version of the Python in .venv as a string, '' if there is none."""
    try:
        with open(os.path.join(VENV, "pyvenv.cfg")) as file:
            return re.findall(r"^version(?:_info)?\s*=\s*([\d.]+)", file.read(), re.MULTILINE)[0]
    except (IOError, OSError, IndexError):
        return ""


def site_packages():
    minor = ".".join(venv_version().split(".")[:2])
    parts = ("Lib",) if WINDOWS else ("lib", "python" + minor)
    return os.path.join(VENV, *(parts + ("site-packages",)))


def installed_in_venv():
    """The packages in .venv as {'name-version'}, without local versions such as +cpu."""
    try:
        found = [re.match(r"([^-]+)-([^+]+).*\.dist-info$", e) for e in os.listdir(site_packages())]
    except OSError:
        return set()
    return {normal(match.group(1)) + "-" + match.group(2) for match in found if match}


def wait_for(lock):
    """Take the lock. The system frees it when the last process that holds the file has ended."""
    told = False
    while True:
        try:
            if WINDOWS:
                import msvcrt

                msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return  # a file system without locks
        if not told:
            print("Another set-up is at work in this folder; waiting for it to end.")
            told = True
        time.sleep(0.5)


def make_venv(installer):
    """See to it that .venv holds a Python with pip; one that was left half-made is replaced."""
    version = venv_version()
    whole = version and os.path.exists(VENV_PYTHON) and not os.path.exists(UNFINISHED)
    if whole and tuple(release(version)[:2]) not in PYTHONS:
        raise Failure(
            "the folder .venv holds Python {0}; the course needs 3.11, 3.12 or 3.13. "
            "Delete .venv and give the same command again.".format(version)
        )
    for module in (["pip", "--version"], ["ensurepip"]):
        if whole and answers([VENV_PYTHON, "-m"] + module):
            return
    clear_venv()
    base = getattr(sys, "_base_executable", sys.executable)  # not a Python inside .venv itself
    installer.stage("virtual environment", [base, "-m", "venv", VENV])
    os.remove(UNFINISHED)


def clear_venv():
    """Empty .venv, marked from beginning to end as unfinished.

    Raises:
        Failure: if something in it cannot be removed, as on Windows while a program uses it.
    """
    if not os.path.isdir(VENV):
        os.mkdir(VENV)
    open(UNFINISHED, "w").close()
    try:
        for entry in os.listdir(VENV):
            path = os.path.join(VENV, entry)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif path != UNFINISHED:
                os.remove(path)
    except OSError as error:
        raise Failure(
            "cannot make .venv anew ({0}). Close the programs that use it (JupyterLab, an editor), "
            "then give the same command again.".format(error)
        )


def forget_half_installed():
    """Remove the records of packages whose files are not all there: pip installs them again.

    Without this, what a killed installation left behind passes for installed.
    """
    site = site_packages()
    for entry in os.listdir(site):
        path = os.path.join(site, entry)
        half = entry.endswith(".dist-info") and not is_whole(site, path)
        if half or entry.startswith("~"):  # pip's name for what it was about to remove
            shutil.rmtree(path, ignore_errors=True)


def is_whole(site, record):
    try:
        with open(os.path.join(record, "RECORD"), newline="", encoding="utf-8") as file:
            return all(
                os.path.getsize(os.path.join(site, row[0])) == int(row[2])
                for row in csv.reader(file)
                if row and row[2]
            )
    except (OSError, ValueError, IndexError):
        return False


def install_torch(installer, installed=()):
    """On Linux without an NVIDIA GPU take the CPU build: the plain pin may bring gigabytes."""
    pin = dict(pins()).get("torch")
    if not pin or "torch-" + pin in installed or not sys.platform.startswith("linux"):
        return
    if has_nvidia_gpu():
        return
    if cpu_index_answers():
        source = ["--no-deps", "--index-url", CPU_INDEX, "torch==" + pin]
        installer.pip("PyTorch, the build for CPUs", source, may_fail=True)
    else:
        print("  PyTorch's index of CPU builds does not answer: taking the build that pip finds.")


def has_nvidia_gpu():
    if os.path.exists("/dev/nvidia0"):
        return True
    return answers(["nvidia-smi", "-L"]) or answers(["/usr/lib/wsl/lib/nvidia-smi", "-L"])


def cpu_index_answers(seconds=3):
    """Whether the index of CPU builds can be reached, directly or by proxy, in a few seconds."""
    replies = []

    def ask():
        from urllib.request import urlopen

        try:
            replies.append(urlopen(CPU_INDEX + "/torch/", timeout=seconds).getcode() == 200)
        except Exception:  # no name, no route, no certificate: each means no
            pass

    asking = threading.Thread(target=ask)  # a name server that is silent ignores the time-out
    asking.daemon = True
    asking.start()
    asking.join(seconds)
    return True in replies


def set_up_current(command):
    """Install what the running Python lacks, and only that; the running Python."""
    from importlib import metadata

    elsewhere = [path for path in sys.path if path not in ("", ROOT)]
    here = {}
    for distribution in metadata.distributions(path=elsewhere):
        here.setdefault(normal(distribution.metadata["Name"] or ""), distribution)
    for name, least in least_versions():
        version = here[normal(name)].version if normal(name) in here else least
        if release(version) < release(least):
            note = "Note: {0} {1} is here, and stays; the course asks for {2} or later."
            print(note.format(name, version, least))
    lacking = [
        name + "==" + version
        for name, version in pins()
        if normal(name) not in here and (name != "jupyterlab" or command == "lab")
    ]
    library = here.get(normal(PACKAGE))
    url = json.loads((library and library.read_text("direct_url.json")) or "{}").get("url", "")
    if not lacking and os.path.normcase(from_url(url)) == os.path.normcase(ROOT):
        return sys.executable

    print("Installing into {0} what it lacks.".format(sys.prefix))
    folder = tempfile.mkdtemp(prefix="course-setup-")
    installer = Installer(sys.executable, os.path.join(folder, "setup.log"), environment(False))
    if lacking:
        if "torch" not in here:
            install_torch(installer)
        constraints = os.path.join(folder, "constraints.txt")
        with open(constraints, "w") as file:
            for name in TORCH_STAYS:
                if name in here:
                    print("{0}=={1}".format(name, here[name].version), file=file)
        installer.pip("packages: {0}".format(len(lacking)), ["-c", constraints] + lacking)
    installer.pip("this course's library", ["--no-deps", "--no-build-isolation", "-e", ROOT])
    shutil.rmtree(folder)
    return sys.executable


def set_up_site(python, env):
    """Install what only the site needs, unless it is there."""
    there = (
        "from importlib.metadata import version\n"
        "for name, wanted in {0!r}: assert version(name) == wanted"
    )
    if answers([python, "-c", there.format(pins("requirements-site.txt"))]):
        return
    folder = tempfile.mkdtemp(prefix="course-setup-")
    installer = Installer(python, os.path.join(folder, "setup.log"), env)
    installer.pip("packages of requirements-site.txt", ["-r", "requirements-site.txt"])
    shutil.rmtree(folder)


def least_versions():
    """The lower bounds in pyproject.toml: [(name, version), ...]."""
    with open(os.path.join(ROOT, "pyproject.toml"), encoding="utf-8") as file:
        return re.findall(r'"([\w.-]+)>=([\d.]+)"', file.read())


def release(version):
    """A version as numbers, so that 2.9 comes before 2.10."""
    return [int(part) for part in re.match(r"[\d.]*\d", version).group().split(".")]


def from_url(url):
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    return url2pathname(urlparse(url).path)


class Installer(object):
    """Runs the stages of a set-up: a line for each, its output in a log, a remedy if it fails."""

    def __init__(self, python, log, env, lock=None):
        self.python, self.log, self.env = python, log, env
        # A child keeps the lock too: an installation that survives this process is waited for.
        self.shared = {} if WINDOWS or lock is None else {"pass_fds": (lock.fileno(),)}

    def pip(self, title, arguments, may_fail=False):
        options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        self.stage(title, [self.python, "-m", "pip", "install"] + options + arguments, may_fail)

    def stage(self, title, command, may_fail=False):
        began = time.time()
        terminal = sys.stdout.isatty()
        title = "  {0:<32}".format(title)
        print(title, end="")
        sys.stdout.flush()
        with open(self.log, "ab") as out:
            before = out.tell()
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                **self.shared
            )

        def show(rest):
            width = shutil.get_terminal_size().columns - 1
            line = "{0}{1:5.0f} s {2}".format(title, time.time() - began, rest)
            sys.stdout.write("\r" + line[:width].ljust(width) if terminal else line[len(title) :])
            sys.stdout.flush()

        def tick():
            if terminal:
                show("".join(self.output(before)[-1:]))

        failed = attend(process, tick)
        show("failed" if failed else "")
        print()
        if failed and not may_fail:
            raise Failure(diagnosis(title.strip(), self.output(before), self.log))

    def output(self, before):
        with open(self.log, "rb") as file:
            file.seek(before)
            return file.read().decode("ascii", "replace").replace("\ufffd", "?").splitlines()


def diagnosis(title, lines, log):
    """What went wrong in a stage, what to do about it, and the last lines that it wrote."""
    text = "\n".join(lines)
    free = min(shutil.disk_usage(folder).free for folder in (ROOT, tempfile.gettempdir()))
    if free < 2**25:  # a full disk has no room for the message that it is full
        text = "No space left on device"
    again = "then give the same command again: it goes on from here."
    causes = (
        ("No space left on device", "the disk is full. Free a few gigabytes, " + again),
        (
            "ensurepip is not|No module named '?(ensurepip|venv)",
            "this Python comes without venv. Install it (on Debian and Ubuntu: apt install "
            "python{0}.{1}-venv), ".format(*sys.version_info[:2]) + again,
        ),
        (
            "No module named '?pip",
            "this Python has no pip. Install it (python -m ensurepip), " + again,
        ),
        (
            "externally-managed-environment",
            "this Python belongs to the operating system, which forbids changing it. "
            "Leave out --no-venv.",
        ),
        (
            "Permission denied|WinError 5|Access is denied",
            "a file cannot be written. Close the programs that use .venv (JupyterLab, an editor), "
            + again,
        ),
        (
            r"Retrying \(Retry|NewConnectionError|ConnectionError|NameResolution|getaddrinfo|"
            "Network is unreachable|timed out|ProxyError|SSLError",
            "no network: the package index cannot be reached. The first set-up needs one. Connect, "
            + again + "\n  Where the packages are installed already (conda, Colab, a container), "
            "add --no-venv.",
        ),
        (
            "No matching distribution found for|ResolutionImpossible",
            "a package is not to be had for this computer and Python {0}.{1}; the lines below name "
            "it. Try another of Python 3.11, 3.12 and 3.13 (delete .venv first), or conda with "
            "environment.yml.".format(*sys.version_info[:2]),
        ),
    )
    found = [remedy for sign, remedy in causes if re.search(sign, text)]
    cause = found[0] if found else "its last lines below tell why. Mend that, " + again
    message = "the set-up stopped at '{0}': {1}".format(title, cause)
    if lines:
        message += "\n  The last lines of {0}:".format(log)
    return "\n    ".join([message] + lines[-6:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
