"""What a data-parallel step costs on paper: arithmetic, memory on each rank, bytes and seconds.

A message of n bytes takes latency + n / bandwidth seconds, and a rank can send and receive at the
same time: the model of Thakur, Rabenseifner and Gropp, "Optimization of collective communication
operations in MPICH", IJHPCA 19(1), 2005. Nothing here measures anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

MIXED_ADAM = {"parameters": 2, "gradients": 2, "optimizer": 12}  # bytes a parameter, as in ZeRO
FP32_ADAM = {"parameters": 4, "gradients": 4, "optimizer": 8}
SHARDED_FROM = {"optimizer": 1, "gradients": 2, "parameters": 3}  # stage of ZeRO
BACKWARD = 2 / 3  # share of a step's arithmetic


@dataclass(frozen=True)
class Encoder:
    """The shape of a BERT with its masked-language-modelling head; BERT-base unless told otherwise.

    Attributes:
        layers: number of blocks, L.
        hidden_size: D.
        intermediate_size: width of the feed-forward part, I.
        vocab_size: V.
        length: tokens of a sequence, T.
        blanks: slots of a sequence that are predicted, S.
        positions: rows of the table of positions.
    """

    layers: int = 12
    hidden_size: int = 768
    intermediate_size: int = 3072
    vocab_size: int = 30522
    length: int = 512
    blanks: int = 77
    positions: int = 512

    @property
    def parameters(self) -> int:
        """Number of weights; the output shares the matrix of the embeddings."""
        d, i, v = self.hidden_size, self.intermediate_size, self.vocab_size
        embeddings = (v + self.positions + 2) * d + 2 * d
        layer = 4 * (d * d + d) + 2 * d * i + i + d + 4 * d
        head = d * d + d + 2 * d + v
        return embeddings + self.layers * layer + head

    @property
    def forward_flops(self) -> int:
        """Multiplications and additions of a forward pass over one sequence.

        The last layer and the head are computed at the blanks alone, but for keys and values.
        """
        d, i, t, s = self.hidden_size, self.intermediate_size, self.length, self.blanks
        whole = 2 * t * (4 * d * d + 2 * d * i) + 4 * t * t * d
        last = 2 * t * 2 * d * d + 2 * s * (2 * d * d + 2 * d * i) + 4 * s * t * d
        head = 2 * s * (d * d + d * self.vocab_size)
        return (self.layers - 1) * whole + last + head

    @property
    def step_flops(self) -> int:
        """Forward and backward pass over one sequence: each product has two in its derivative."""
        return 3 * self.forward_flops

    def activation_bytes(self, sequences: int, each: int = 4) -> int:
        """What the layers keep for the backward pass.

        A token leaves in a layer its vector, query, key and value, the mixed values, both sums
        before and the first one after normalisation (8 D), and the feed-forward part before and
        after its GELU (2 I). Scores are recomputed; dropout, embeddings and head are left out.

        Args:
            sequences: on this rank, in one micro-batch.
            each: bytes of a number.
        """
        numbers = self.layers * (8 * self.hidden_size + 2 * self.intermediate_size)
        return sequences * self.length * numbers * each


# ------------------------------------------------------------------------------------- memory


def state_bytes(parameters: int, ranks: int, stage: int = 0,
                each: dict[str, int] = MIXED_ADAM) -> dict[str, float]:
    """Bytes on each rank of parameters, gradients and optimiser state.

    Rajbhandari, Rasley, Ruwase and He, "ZeRO", SC 2020, Figure 1: stage 1 divides the optimiser's
    state among the ranks, stage 2 the gradients too, stage 3 the parameters as well.

    Args:
        parameters: number of weights.
        ranks: number of processes.
        stage: 0 (DDP: everybody holds everything) to 3 (FSDP).
        each: bytes a parameter of each of the three.
    """
    return {part: parameters * size / (ranks if stage >= SHARDED_FROM[part] else 1)
            for part, size in each.items()}


# ---------------------------------------------------------------------------------- messages


@dataclass(frozen=True)
class Link:
    """What joins two ranks.

    Attributes:
        latency: seconds until a message of no bytes has arrived, α.
        bandwidth: bytes a second, in each direction.
    """

    latency: float
    bandwidth: float

    def message(self, size: float) -> float:
        """Seconds for a message of `size` bytes."""
        return self.latency + size / self.bandwidth


def ring_pass(size: float, ranks: int, link: Link, pieces: int = 1) -> float:
    """Seconds of a reduce-scatter, or of an all-gather, around a ring: N − 1 messages of 1/N.

    Args:
        size: bytes of the whole, on all ranks together for an all-gather.
        ranks: number of processes, N.
        link: what joins neighbours.
        pieces: how many collectives it is split into, such as buckets or blocks.
    """
    return pieces * (ranks - 1) * link.message(size / pieces / ranks)


def ring_all_reduce(size: float, ranks: int, link: Link, pieces: int = 1) -> float:
    """Seconds of an all-reduce of `size` bytes around a ring: a reduce-scatter and an all-gather.

    2 (N − 1) messages of size / N. No algorithm sends fewer bytes: Patarasuk and Yuan, "Bandwidth
    optimal all-reduce algorithms for clusters of workstations", JPDC 69(2), 2009.
    """
    return 2 * ring_pass(size, ranks, link, pieces)


def tree_all_reduce(size: float, ranks: int, link: Link, pieces: int = 1) -> float:
    """Seconds of an all-reduce up a binary tree of ⌈log₂ N⌉ levels and down again.

    Args:
        size: bytes of the whole.
        ranks: number of processes, N.
        link: what joins parent and child.
        pieces: how many follow one another; while one is a level further the next is on its way.
    """
    levels = math.ceil(math.log2(ranks))
    return 2 * (levels + pieces - 1) * link.message(size / pieces) if levels else 0.0


def best_tree(size: float, ranks: int, link: Link) -> float:
    """Seconds of a tree all-reduce in as many pieces as make it fastest."""
    return min(tree_all_reduce(size, ranks, link, 2**k) for k in range(16))


def two_level_all_reduce(size: float, machines: int, inside: Link, between: Link, *,
                         each: int = 8, across: Callable = ring_all_reduce) -> float:
    """Seconds of an all-reduce that does as much as it can within machines.

    Reduce-scatter in each machine; then GPU i of all machines adds up share i, all shares at
    once, each through a network port of its own; then an all-gather in each machine.

    Args:
        size: bytes of the whole.
        machines: number of machines.
        inside: what joins GPUs of one machine.
        between: what joins machines.
        each: GPUs in a machine.
        across: seconds of an all-reduce between machines, such as `best_tree`.
    """
    return 2 * ring_pass(size, each, inside) + across(size / each, machines, between)


def ring_bytes(size: float, ranks: int, stage: int = 0) -> float:
    """Bytes that each rank sends in a step: (N − 1) / N of `size` a pass around the ring.

    DDP and the stages 1 and 2 of ZeRO need two passes: gradients are added up, and what comes of
    it is spread. Stage 3 gathers the parameters twice, forwards and backwards, which makes three.
    """
    return passes(stage) * size * (ranks - 1) / ranks


def passes(stage: int) -> int:
    """How often a step goes around the ring."""
    return 3 if stage == 3 else 2


def fit_link(ranks: int, small: tuple[float, float], large: tuple[float, float]) -> Link:
    """The link under which a ring all-reduce takes the seconds measured at two sizes.

    Args:
        ranks: number of processes.
        small: bytes and seconds of one all-reduce.
        large: those of a larger one.

    Raises:
        ValueError: if the larger one did not take longer.
    """
    (n, seconds), (more, longer) = small, large
    if not (more > n and longer > seconds):
        raise ValueError(f"{more} bytes in {longer} s against {n} bytes in {seconds} s: a larger "
                         "all-reduce must take longer. Measure more often, or farther apart")
    steps = 2 * (ranks - 1)
    per_byte = (longer - seconds) / (more - n) / (steps / ranks)
    latency = max(0.0, seconds / steps - per_byte * n / ranks)
    return Link(latency, 1 / per_byte)


# --------------------------------------------------------------------------------- a whole step


def step_seconds(compute: float, communication: float, hidden: float = 0.0) -> float:
    """Seconds of a step, given those of its arithmetic and of its messages.

    Args:
        compute: seconds of forward and backward pass.
        communication: seconds that messages take.
        hidden: share of the arithmetic during which messages can travel; `BACKWARD` at best.
    """
    return compute + max(0.0, communication - hidden * compute)
