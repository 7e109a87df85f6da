"""Batch normalisation in one process is torch's; tests/training/test_coupled_ranks.py has it on several."""

import pytest
import torch
from torch import nn

from pretrain_lib.models.batch_norm import BatchNorm


@pytest.mark.parametrize("shape, theirs", [((6, 5), nn.BatchNorm1d), ((6, 5, 7), nn.BatchNorm1d), ((6, 5, 3, 4), nn.BatchNorm2d)])
def test_in_one_process_it_is_torchs(shape, theirs):
    x = 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, torchs = BatchNorm(5, momentum=0.2), theirs(5, momentum=0.2)
    ours.load_state_dict(torchs.state_dict())
    for _ in range(2):
        assert torch.equal(ours(x), torchs(x))
    assert all(torch.equal(value, torchs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert torch.equal(ours.eval()(x), torchs.eval()(x))


@pytest.mark.parametrize("shape", [(6, 4), (5,), (2, 6, 5)])
def test_another_number_of_channels_is_refused(shape):
    with pytest.raises(ValueError, match=r"BatchNorm\(5\) needs \(B, 5, …\), got"):
        BatchNorm(5)(torch.zeros(shape))
