"""Functions of cells in real processes: what they return, and how they fail."""

import linecache
import os
import sys
import time

import pytest
import torch
import torch.distributed as dist

from pretrain_lib.course.processes import RankFailed, as_module, run_ranks

pytestmark = [
    pytest.mark.skipif(not dist.is_available(), reason="torch has no distributed here"),
    pytest.mark.skipif(sys.platform == "win32", reason="gloo over a file needs POSIX"),
]
CELL = '''
import os
import signal
import time

import torch
import torch.distributed as dist
from torch import nn

FACTOR, SHAPE = 3, (2, 2)
WEIGHTS = torch.ones(2)


def scaled(x):
    return FACTOR * x


class Scale(nn.Module):
    def forward(self, x):
        return scaled(x)


class Twice(Scale):
    def forward(self, x):
        return 2 * super().forward(x)


class Half(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return scaled(x) / 6


def halves(x):
    return Half.apply(x)


def total(start):
    x = torch.full(SHAPE, start + dist.get_rank())
    dist.all_reduce(x)
    print("rank", dist.get_rank())
    return {"sum": Twice()(x), "threads": torch.get_num_threads(), "names": ["a", None, 1.5]}


def factorial(n):
    return 1 if n == 0 else n * factorial(n - 1)


def apply(work, value):
    return work(value)


def raises():
    if dist.get_rank() == 1:
        raise ValueError("not this one")
    dist.all_reduce(torch.ones(1))


def dies():
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.all_reduce(torch.ones(1))


def skips():
    if dist.get_rank() == 0:
        dist.all_reduce(torch.ones(1))


def sleeps():
    time.sleep(100)


def pid_then_raises(folder):
    open(f"{folder}/{dist.get_rank()}", "w").write(str(os.getpid()))
    dist.barrier()
    if dist.get_rank() == 0:
        raise ValueError
    time.sleep(100)


def uses_a_tensor():
    return WEIGHTS


def returns_a_module():
    return nn.Linear(1, 1)


def around():
    inside = 1
    return lambda: inside
'''


@pytest.fixture(scope="module")
def cell():
    """The names of a notebook whose one cell is the text above."""
    name = "<cell 1>"
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    names = {"__name__": "__main__"}
    exec(compile(CELL, name, "exec"), names)
    return names


def test_each_rank_returns_its_result_and_prints_in_order(cell, capfd):
    results = run_ranks(cell["total"], 3, 10)
    assert len(results) == 3
    for result in results:
        assert torch.equal(result["sum"], torch.full((2, 2), 6 * 33))
        assert result["threads"] == 1 and result["names"] == ["a", None, 1.5]
    assert capfd.readouterr().out == "rank 0\nrank 1\nrank 2\n"


def test_functions_travel_as_arguments_and_may_call_themselves(cell):
    assert run_ranks(cell["apply"], 1, cell["factorial"], 5) == [120]


def test_a_class_with_static_methods_alone_travels(cell):
    assert run_ranks(cell["halves"], 1, torch.tensor(5.0)) == [2.5]


def test_what_a_module_holds_is_imported(cell):
    assert "from torch.nn.functional import relu as ARGUMENT_0" in as_module(cell["apply"], (torch.nn.functional.relu,))


def test_the_error_of_a_rank_is_shown_with_its_line(cell):
    with pytest.raises(RankFailed, match="rank 1 raised an error") as caught:
        run_ranks(cell["raises"], 2)
    assert 'raise ValueError("not this one")' in str(caught.value)
    assert "rank_main" not in str(caught.value)


def test_a_killed_rank_ends_all(cell):
    with pytest.raises(RankFailed, match="rank 1 was ended by SIGKILL"):
        run_ranks(cell["dies"], 2, timeout=60)


def test_a_collective_that_others_skip_ends_after_the_patience(cell):
    start = time.monotonic()
    with pytest.raises(RankFailed, match="rank 0 raised an error") as caught:
        run_ranks(cell["skips"], 2, patience=1, timeout=60)
    assert time.monotonic() - start < 30
    assert "Timed out" in str(caught.value)


def test_nobody_outlives_the_timeout_and_each_says_where_it_was(cell):
    start = time.monotonic()
    with pytest.raises(RankFailed, match="rank 0 and rank 1 had not finished") as caught:
        run_ranks(cell["sleeps"], 2, timeout=2)
    assert time.monotonic() - start < 30
    assert "in sleeps" in str(caught.value)


def test_no_process_is_left(cell, tmp_path):
    with pytest.raises(RankFailed):
        run_ranks(cell["pid_then_raises"], 2, str(tmp_path))
    for rank in (0, 1):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / str(rank)).read_text()), 0)


def test_what_cannot_travel_is_named(cell):
    with pytest.raises(TypeError, match="WEIGHTS, of type Tensor.*as an argument"):
        run_ranks(cell["uses_a_tensor"], 2)
    with pytest.raises(TypeError, match="inside of the function around it"):
        run_ranks(cell["around"](), 2)
    with pytest.raises(RankFailed, match="not Linear"):
        run_ranks(cell["returns_a_module"], 1)
