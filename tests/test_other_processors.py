"""What picks a product or a format by measuring is tested with the instructions of older processors too.

oneDNN obeys ONEDNN_MAX_CPU_ISA and torch's own kernels ATEN_CPU_CAPABILITY, both read when a process starts. The
suite itself runs with all that this processor has.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLDER = {"AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
         "AVX512_CORE_VNNI": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}}
TESTS = ["tests/compression", "tests/training/test_precision.py", "tests/training/test_muon.py"]
CHAPTERS = ["09", "13"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="these are instructions of x86 processors")]


def passes(arguments: list[str], kind: str) -> None:
    """Whether a program ends well where no instruction is younger than those of a kind of processor."""
    environment = os.environ | OLDER[kind] | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    ended = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]


@pytest.mark.parametrize("kind", OLDER)
def test_the_tests_of_what_is_picked_by_measuring_pass(kind):
    passes(["pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not gpu", *TESTS], kind)


@pytest.mark.parametrize("kind", OLDER)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapters_that_measure_run(kind, chapter):
    passes(["pretrain_lib.course.run", chapter, "--scale", "smoke"], kind)
