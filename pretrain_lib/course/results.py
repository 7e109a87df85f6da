"""The ledger: what experiments predicted and measured, and how to measure it again.

An experiment is a file `experiments/ID.py` (with "_" for "-") that holds TITLE, PREDICTION, SEEDS,
`run(scale)`, which returns what was measured, and `verdict(measured)`, which says in a sentence
whether the prediction held. Its result is `results/ID.json`.

    python -m pretrain_lib.course.results reproduce ID [--scale smoke]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from datetime import date
from difflib import get_close_matches
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count, zip_longest
from pathlib import Path
from textwrap import wrap
from types import ModuleType

from ..files import write_text
from .cores import usable_cores
from .dial import SCALES

ROOT = Path(__file__).resolve().parents[2]
COLUMN = 60  # characters of a column in a table of verdicts


def results(id: str) -> dict:
    """The ledger's entry: "title", "prediction", "measured", "verdict", "seeds", "hardware", …

    Raises:
        FileNotFoundError: if it has not been measured; the message says how to.
    """
    path = ROOT / "results" / f"{id}.json"
    if not path.exists():
        raise FileNotFoundError(f"results/{id}.json is not there: {nearest(id)}python course.py reproduce {id}")
    return json.loads(path.read_text(encoding="utf-8"))


def verdict_table(found: dict | list[tuple[str, str, bool]]) -> str:
    """What was predicted, what was found, and whether it held: a row for each prediction.

    Args:
        found: an entry of the ledger with a numbered prediction, or rows (predicted, found, held).
    """
    rows = judged(found) if isinstance(found, dict) else [(said, came, "yes" if held else "no") for said, came, held in found]
    table = [("predicted", "found", "held"), *rows]
    widths = [min(COLUMN, max(len(row[column]) for row in table)) for column in (0, 1)]
    lines = []
    for said, came, held in table:
        cells = wrap(said, widths[0]), wrap(came, widths[1]), [held]
        lines += [f"{a:{widths[0]}}   {b:{widths[1]}}   {c}".rstrip() for a, b, c in zip_longest(*cells, fillvalue="")]
    return "\n".join(lines)


def judged(entry: dict) -> list[tuple[str, str, str]]:
    """The numbered predictions of an entry: what was said, what its verdict says, and "yes", "no" or "" where that does not judge."""
    found, rows = numbered(entry["verdict"]), []
    for number, said in numbered(entry["prediction"]).items():
        came, word = (re.split(r"[,:;]? (held|failed)\b(?! out|-out)", found.get(number, ""), maxsplit=1) + [""])[:2]
        rows.append((f"{number}. {said.rstrip(' ;,.')}", came.rstrip(" .,;:"), {"held": "yes", "failed": "no"}.get(word, "")))
    return rows


def numbered(text: str) -> dict[int, str]:
    """The parts of a text that begin with "1. ", "2. " and so on, in this order, each after a stop."""
    rest, parts = ": " + " ".join(text.split()), {}
    for number in count(1):
        before, found, rest = (re.split(rf"(?<=[.;:,)])(?: and)? ({number}\.) ", rest, maxsplit=1) + ["", ""])[:3]
        if number > 1:
            parts[number - 1] = before
        if not found:
            return parts


def experiments() -> dict[str, Path]:
    """All experiments: id to file."""
    return {path.stem.replace("_", "-"): path for path in sorted((ROOT / "experiments").glob("[0-9]*.py"))}


def nearest(id: str) -> str:
    if id in experiments():
        return "measure it with "
    near = get_close_matches(id, experiments(), n=2, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return f"there is no such experiment{hint} "


def load_experiment(id: str) -> ModuleType:
    """The experiment's module.

    Raises:
        KeyError: if there is none; the message names the nearest.
    """
    if id not in experiments():
        raise KeyError(f"unknown experiment {id!r}: {nearest(id)}All: {', '.join(experiments())}")
    spec = spec_from_file_location(f"experiment_{id.replace('-', '_')}", experiments()[id])
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "i8mm", "bf16", "sve")


def processor() -> str:
    """The processor's name."""
    return cpuinfo("model name") or platform.processor() or platform.machine()


def instructions() -> list[str]:
    """Of the instructions that multiply many numbers at once those that Linux finds here; [] on other systems."""
    there = cpuinfo("flags", "Features").split()
    return [name for name in INSTRUCTIONS if name in there]


def cpuinfo(*names: str) -> str:
    """What Linux says of the first core under the first of these names; "" where there is no such line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() in names), "")


def hardware() -> dict:
    """What this machine is: processor and its instructions, usable cores, threads used, GPU."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": processor(), "instructions": instructions(), "cores": usable_cores(),
            "threads": torch.get_num_threads(), "gpu": gpu}


def machine(hardware: dict) -> str:
    """A result's hardware in words: its GPU or, as in "2 cores of AMD EPYC (avx2)", its processor and what that has.

    Entries of before instructions were noted do without.
    """
    units = ", ".join(hardware.get("instructions", []))
    return hardware["gpu"] or f"{hardware['cores']} cores of {hardware['processor']}" + (f" ({units})" if units else "")


def reproduce(id: str, scale: str = "laptop") -> Path:
    """Measures an experiment and writes its entry; at smoke scale below build/, not into the ledger."""
    experiment = load_experiment(id)
    os.environ["COURSE_SCALE"] = scale
    start = time.perf_counter()
    measured = experiment.run(scale)
    entry = {
        "id": id,
        "title": experiment.TITLE,
        "prediction": experiment.PREDICTION,
        "measured": measured,
        "verdict": experiment.verdict(measured),
        "seeds": list(experiment.SEEDS),
        "command": f"python course.py reproduce {id}" + (f" --scale {scale}" if scale != "laptop" else ""),
        "seconds": round(time.perf_counter() - start),
        "date": date.today().isoformat(),
        "hardware": hardware(),
        "versions": {name: version(name) for name in ("torch", "numpy")} | {"python": platform.python_version()},
    }
    folder = ROOT / "build" / "results" if scale == "smoke" else ROOT / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{id}.json"
    write_text(path, json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    return path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py", description="Measure a result of the course again.")
    commands = parser.add_subparsers(dest="command", required=True)
    again = commands.add_parser("reproduce", help="measure an experiment and write its result")
    again.add_argument("id", help="such as " + next(iter(experiments()), "02-linear-autoencoder"))
    again.add_argument("--scale", choices=SCALES, default="laptop")
    options = parser.parse_args(arguments)
    try:
        path = reproduce(options.id, options.scale)
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    entry = json.loads(path.read_text(encoding="utf-8"))
    print(f"{path.relative_to(ROOT)} in {entry['seconds']} s\npredicted: {entry['prediction']}\nfound: {entry['verdict']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
