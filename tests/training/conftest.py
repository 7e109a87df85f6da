import os
import sys
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # before tqdm is imported
sys.path.insert(0, str(Path(__file__).parent))  # for toys.py and lives.py

import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Sums are bit for bit the same only if they are taken in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
