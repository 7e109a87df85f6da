"""Several processes that train as one: who they are, how they agree, and how a model is spread.

`torchrun` starts the same program some times and tells each process, a *rank*, its number. A program
that was started without it is a world of one rank, in which nothing here does anything. Ranks add
up gradients (DDP), or each holds a share of every parameter as well (FSDP: Zhao et al., "PyTorch
FSDP", VLDB 2023, after Rajbhandari et al., "ZeRO", SC 2020, stage 3).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn


from ..models.precision import choose_device
PATIENCE = timedelta(minutes=30)  # a rank that is silent for longer ends the run
GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out",
        "timed out", "NCCL communicator was aborted", "remote process exited")


class PeerError(RuntimeError):
    """Another rank has ended, or is silent: this one cannot go on, and is not the cause."""


@contextmanager
def peers_needed():
    """Turns what torch says when another rank is gone into a `PeerError`."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in GONE):
            raise
        raise PeerError("another rank has ended or is silent, and this one cannot go on alone: "
                        "the cause is what that rank said last") from error


@dataclass(frozen=True)
class World:
    """The ranks of a run, seen from one of them.

    Attributes:
        rank: this process's number, 0 to size - 1.
        size: number of processes, over all machines.
        local_rank: this process's number on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which prints, logs and writes."""
        return self.rank == 0

    def gather(self, mine) -> list:
        """What every rank passes here, in the order of ranks. All must call it."""
        if self.size == 1:
            return [mine]
        everyone = [None] * self.size
        with peers_needed():
            dist.all_gather_object(everyone, mine)
        return everyone

    def on_every(self, work: Callable) -> list:
        """What each rank's own call of `work` returns. An error of one is raised on all."""
        if self.size == 1:
            return [work()]
        result = error = None
        try:
            result = work()
        except Exception as caught:
            error = caught
        outcomes = self.gather((result, error))
        for rank, (_, error) in enumerate(outcomes):
            if error:
                error.add_note(f"this happened on rank {rank} of {self.size}")
                raise error
        return [result for result, _ in outcomes]

    def on_first(self, work: Callable):
        """What `work` returns on rank 0, which alone does it; its error too is everybody's."""
        return self.on_every(lambda: work() if self.first else None)[0]


def launched() -> bool:
    """Whether a launcher, such as `torchrun`, has started several of this process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """This process's number, whether or not it has met the others."""
    return int(os.environ.get("RANK", "0")) if launched() else 0


def join(device: str) -> tuple[World, torch.device]:
    """Meets the other ranks, if a launcher has started any, and takes this rank's device.

    Args:
        device: as in `TrainConfig`; "auto" and "cuda" give each rank a GPU of its own.

    Raises:
        ValueError: if the device is not there, or there are fewer GPUs than ranks on this machine.
        RuntimeError: if torch cannot let processes talk to each other here.
    """
    if not launched() and not (dist.is_available() and dist.is_initialized()):
        place = choose_device(device)
        if place.type == "cuda" and place.index is not None:
            torch.cuda.set_device(place)  # seeds and waits are those of the current GPU
        return World(), place
    if not dist.is_available() or not dist.is_gloo_available():
        raise RuntimeError("torch is built without torch.distributed and gloo here, so several "
                           "processes cannot work together: start the program without torchrun")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    place = choose_device(device)
    if place.type == "cuda":
        place = own_gpu(place, local_rank)
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
        store, number, size = next(dist.rendezvous("env://", timeout=PATIENCE))
        # torchrun's store outlives a restart, and in it the addresses of the dead
        life = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        dist.init_process_group(backend, store=life, rank=number, world_size=size,
                                timeout=PATIENCE)
    return World(dist.get_rank(), dist.get_world_size(), local_rank), place


def own_gpu(device: torch.device, local_rank: int) -> torch.device:
    """The GPU of a rank: that of its number."""
    here = torch.cuda.device_count()
    if device.index is not None:
        raise ValueError(f"device={str(device)!r} would put every rank on one GPU: use 'cuda'")
    if local_rank >= here:
        raise ValueError(f"this machine has {here} GPUs, and rank {local_rank} of it has none: "
                         f"start {here} processes a machine (--nproc-per-node {here}), or set "
                         "device='cpu'")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def blocks(module: nn.Module) -> list[nn.Module]:
    """The layers that a deep network repeats: the members of its `nn.ModuleList`s."""
    return [block for part in module.modules() if isinstance(part, nn.ModuleList)
            for block in part]


# ------------------------------------------------------------------------------------------ DDP


def replicate(step: nn.Module, unused: bool) -> nn.Module:
    """A copy on each rank, whose gradients are averaged while the backward pass goes on.

    Args:
        step: the module; its weights become those of rank 0.
        unused: whether some parameters get no gradient.
    """
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(step, find_unused_parameters=unused,
                                   gradient_as_bucket_view=True)


# ----------------------------------------------------------------------------------------- FSDP


def shard(step: nn.Module, compiled: bool) -> None:
    """Leaves to each rank its rows of every parameter; a block is whole only while it computes.

    Args:
        step: the module; its weights become those of rank 0. A number that stands alone has no
            rows: every rank keeps it.
        compiled: whether to compile each block, between putting it together and letting it go.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    where = next(step.parameters()).device.type  # by itself torch would take a GPU if there is one
    mesh = init_device_mesh(where, (dist.get_world_size(),))
    for tensor in (*step.parameters(), *step.buffers()):
        dist.broadcast(tensor.detach(), 0)
    scalars = {p for p in step.parameters() if p.ndim == 0}
    for block in reversed(blocks(step)):  # a block within a block first
        if compiled:
            block.forward = torch.compile(block.forward)
        fully_shard(block, mesh=mesh, ignored_params=scalars)
    fully_shard(step, mesh=mesh, ignored_params=scalars)
    for scalar in scalars:
        if scalar.requires_grad:
            scalar.register_post_accumulate_grad_hook(average_gradient)


def average_gradient(p: Tensor) -> None:
    """Averages the gradient of a parameter that all ranks have, as FSDP does those of shards."""
    dist.all_reduce(p.grad)
    p.grad /= dist.get_world_size()


def is_sharded(tensor: Tensor) -> bool:
    """Whether each rank holds only its rows of a tensor."""
    return hasattr(tensor, "to_local")


def own_rows(tensor: Tensor) -> Tensor:
    """The rows that this rank holds; of a tensor that is not sharded, all."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def unsharded(tensor: Tensor) -> Tensor:
    """The tensor with the rows of all ranks. All must call it."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def sharded_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, spread over the ranks as `like` is; without any communication."""
    if not is_sharded(like):
        return tensor
    from torch.distributed.tensor import DTensor

    mesh = like.device_mesh
    parts = tensor.chunk(mesh.size())
    mine = parts[mesh.get_local_rank()] if mesh.get_local_rank() < len(parts) else tensor[:0]
    return DTensor.from_local(mine.to(like.device), mesh, like.placements, run_check=False,
                              shape=tensor.shape, stride=tensor.stride())


def synchronised(module: nn.Module, wanted: bool) -> None:
    """Whether the next backward pass adds up gradients over the ranks.

    Of an update's micro-batches only the last needs to: the sums wait on each rank until then.
    """
    if hasattr(module, "set_requires_gradient_sync"):
        module.set_requires_gradient_sync(wanted)
    elif hasattr(module, "require_backward_grad_sync"):
        module.require_backward_grad_sync = wanted
