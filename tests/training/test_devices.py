"""Which device a run takes, and what is done on it; the GPUs are pretended."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from toys import mlp

from pretrain_lib.training.distributed import join, shard
from pretrain_lib.models.precision import choose_device
from pretrain_lib.training.random_state import random_state_kept


@pytest.fixture
def two_gpus(monkeypatch):
    """Pretends that this machine has two GPUs; returns those that were made the current one."""
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


def test_a_gpu_that_is_named_becomes_the_current_one(two_gpus):
    """Seeds are set, and waited is, on the current GPU."""
    assert join("cuda:1")[1] == torch.device("cuda:1")
    assert two_gpus == [torch.device("cuda:1")]


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda"])
def test_a_device_without_a_number_changes_no_gpu(two_gpus, name):
    join(name)
    assert two_gpus == []


@pytest.mark.parametrize("cuda, mps, chosen", [(True, False, "cuda"), (False, True, "mps"), (True, True, "cuda"),
                                               (False, False, "cpu")])
def test_auto_is_whatever_gpu_there_is(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == torch.device(chosen)


def test_the_random_state_of_an_apple_gpu_is_kept_as_well(monkeypatch):
    state = [torch.tensor([1])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", state.append)
    with pytest.raises(LookupError), random_state_kept(torch.device("mps")):
        state.append(torch.tensor([2]))
        raise LookupError
    assert state[-1].item() == 1


@pytest.mark.parametrize("name", ["cuda:2", "cuda:7"])
def test_a_gpu_that_is_not_there_is_refused_with_how_many_there_are(two_gpus, name):
    with pytest.raises(ValueError, match=f"'{name}' .* end at 'cuda:1': use one of these 2"):
        join(name)
    assert two_gpus == []


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_shards_lie_where_the_weights_are_even_beside_a_gpu(tmp_path, monkeypatch):
    meshes = []
    monkeypatch.setattr("torch.distributed.fsdp.fully_shard",
                        lambda module, mesh, ignored_params: meshes.append(mesh))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        shard(nn.ModuleList([mlp(), mlp()]), compiled=False)
    finally:
        dist.destroy_process_group()
    assert [mesh.device_type for mesh in meshes] == 3 * ["cpu"]
    assert all(mesh.size() == 1 for mesh in meshes)
