"""Exercises of chapter 10: distributed training."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...bench.products import Products
from . import Exercise, Mistake, grade_diagnoses

PATIENCE = 3.0  # seconds until ranks that wait for each other are told apart from slow ones


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------ ranks as threads, for grading


class Handle:
    """What `isend` returns: `wait` comes back once the message has been taken."""

    def __init__(self, network: Network, tensor: Tensor):
        self.network, self.tensor = network, tensor
        self.taken, self.waited = threading.Event(), False

    def wait(self) -> None:
        self.waited = True
        self.network.until(self.taken.is_set)


class Network:
    """Some ranks in threads, with messages and collectives as in `torch.distributed`.

    Attributes:
        sent: for each rank, how many numbers it has sent from hand to hand.
        calls: for each rank, the sizes of what it has brought to collectives.
    """

    def __init__(self, size: int):
        self.size = size
        self.mail = {(a, b): queue.SimpleQueue() for a in range(size) for b in range(size)}
        self.sent, self.calls = [0] * size, [[] for _ in range(size)]
        self.handles: list[Handle] = []
        self.errors: list[Exception] = []
        self.lock, self.brought = threading.Condition(), [{} for _ in range(size)]

    def run(self, work: Callable[[int], object]) -> list:
        """What `work(rank)` returns on each rank; the first error of one is raised."""
        results = [None] * self.size

        def live(rank: int) -> None:
            try:
                results[rank] = work(rank)
            except Exception as error:
                self.errors.append(error)

        threads = [threading.Thread(target=live, args=(rank,), daemon=True) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        return results

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            if self.errors or time.monotonic() > deadline:
                raise Mistake("the ranks wait for each other for ever: each waits for something that no other one does before it is let "
                              "go. In real processes this hangs")
            time.sleep(0.0005)

    def isend(self, rank: int) -> Callable:
        def isend(tensor: Tensor, to: int) -> Handle:
            if not isinstance(tensor, Tensor):
                raise Mistake(f"rank {rank} sends {type(tensor).__name__}, and a message is a tensor. If it is the gradient of what came in: there is one "
                              "only if that was told requires_grad_() before the forward pass")
            self.sent[rank] += tensor.numel()
            handle = Handle(self, tensor)
            self.handles.append(handle)
            self.mail[rank, to].put(handle)
            return handle

        return isend

    def recv(self, rank: int) -> Callable:
        def recv(tensor: Tensor, source: int) -> None:
            box = self.mail[source, rank]
            self.until(lambda: not box.empty())
            handle = box.get()
            if handle.tensor.shape != tensor.shape:
                raise Mistake(f"rank {source} sends {tuple(handle.tensor.shape)} and rank {rank} has room for {tuple(tensor.shape)}: the "
                              "two do not speak of the same chunk")
            tensor.copy_(handle.tensor)
            handle.taken.set()

        return recv

    def meet(self, rank: int, mine: Tensor) -> list[Tensor]:
        """What all ranks bring to a collective, in their order."""
        if not isinstance(mine, Tensor):
            raise Mistake(f"a collective takes a tensor, not {type(mine).__name__}")
        turn = len(self.calls[rank])
        self.calls[rank].append(mine.numel())
        self.brought[rank][turn] = mine.detach().clone()
        self.until(lambda: all(turn in brought for brought in self.brought))
        everyone = [brought[turn] for brought in self.brought]
        if len({tensor.shape for tensor in everyone}) > 1:
            raise Mistake("the ranks bring tensors of different sizes to one collective: "
                          + ", ".join(f"rank {r} {t.numel()}" for r, t in enumerate(everyone))
                          + ". Has a rank left out what has no gradient there?")
        return everyone

    def all_reduce(self, rank: int) -> Callable:
        def all_reduce(tensor: Tensor) -> None:
            total = sum(self.meet(rank, tensor))
            tensor.data.copy_(total)

        return all_reduce

    def reduce_scatter(self, rank: int) -> Callable:
        def reduce_scatter(tensor: Tensor) -> Tensor:
            return sum(self.meet(rank, tensor)).chunk(self.size)[rank].clone()

        return reduce_scatter

    def all_gather(self, rank: int) -> Callable:
        def all_gather(tensor: Tensor) -> Tensor:
            return torch.cat(self.meet(rank, tensor))

        return all_gather


# 10.1


def local_loss(losses: Tensor, counted: Tensor, all_reduce: Callable, size: int) -> Tensor:
    """This rank's part, such that the *average* of gradients over ranks is that of the global mean."""
    total = counted.sum()
    all_reduce(total)
    return size * losses[counted].sum() / total


def grade_local_loss(answer) -> str:
    for size, per_rank in [(2, (9, 3)), (3, (5, 0, 12)), (4, (1, 7, 2, 6))]:
        network = Network(size)
        losses = [numbers(4, 5, seed=rank).requires_grad_() for rank in range(size)]
        counted = [(torch.arange(20) < n).view(4, 5) for n in per_rank]

        def work(rank: int) -> Tensor:
            return answer(losses[rank], counted[rank].clone(), network.all_reduce(rank), size)

        found = network.run(work)
        for loss, own in zip(found, losses):
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                raise Mistake("return one number, as a tensor, from which backward() can start")
            if not loss.requires_grad:
                raise Mistake("no gradient reaches the losses any more: .item() and .detach() cut them off")
            loss.backward()
        ours = [own.grad / size for own in losses]  # DDP divides by the number of ranks
        right = [mask.double() / sum(per_rank) for mask in counted]
        if all(torch.allclose(a, b) for a, b in zip(ours, right)):
            continue
        if all(torch.allclose(size * a, b) for a, b in zip(ours, right)):
            raise Mistake(f"the gradient is 1/{size} of what it should be: DDP averages over ranks, so each part must be {size} times as large")
        local = [mask.double() / mask.sum().clamp(min=1) for mask in counted]
        if any(all(torch.allclose(a, times * b) for a, b in zip(ours, local)) for times in (1, 1 / size)):
            raise Mistake("that is a mean of means: each rank divides by its own count, so a token on a rank with few of them weighs more (and a "
                          "rank with none divides by 0). Divide by the count of all ranks")
        if any((gradient != 0)[~mask].any() for gradient, mask in zip(ours, counted)):
            raise Mistake("losses that do not count get a gradient: sum only where `counted` is True")
        raise Mistake(f"with {per_rank} counted losses on the ranks, each should weigh 1/{sum(per_rank)} in the average of all gradients")
    return "counts of (9, 3), (5, 0, 12) and (1, 7, 2, 6) on two to four ranks: every counted loss weighs the same"


# 10.2


def ring_all_reduce(x: Tensor, rank: int, size: int, isend: Callable, recv: Callable) -> Tensor:
    """The sum of all ranks' x, (n,), by 2 (size − 1) messages to the right neighbour."""
    chunks = x.tensor_split(size)
    right, left = (rank + 1) % size, (rank - 1) % size
    for step in range(size - 1):
        mine = chunks[(rank - step - 1) % size]
        incoming = torch.empty_like(mine)
        sending = isend(chunks[(rank - step) % size], right)
        recv(incoming, left)
        sending.wait()
        mine.add_(incoming)
    for step in range(size - 1):
        sending = isend(chunks[(rank - step + 1) % size], right)
        recv(chunks[(rank - step) % size], left)
        sending.wait()
    return x


def grade_ring(answer) -> str:
    for size, n in [(2, 8), (3, 12), (4, 12), (3, 10), (4, 7), (4, 3)]:
        network = Network(size)
        given = [(100 * numbers(n, seed=10 * n + rank)).round() for rank in range(size)]
        right = sum(given)

        def work(rank: int) -> Tensor:
            return answer(given[rank].clone(), rank, size, network.isend(rank), network.recv(rank))

        found = network.run(work)
        least = -(-n // size)
        for rank, ours in enumerate(found):
            if not isinstance(ours, Tensor) or ours.shape != right.shape:
                raise Mistake(f"return the sum, a tensor of {n} numbers")
            wrong = ours != right
            if not wrong.any():
                continue
            if n % size and not wrong[: n // size * size].any():
                raise Mistake(f"the last {n % size} of {n} numbers are not added up: {n} does not divide by {size}. x.tensor_split({size}) gives "
                              "chunks of nearly equal size")
            chunks = [not part.any() for part in wrong.tensor_split(size)]
            if sum(chunks) == 1 and size > 1:
                raise Mistake(f"rank {rank} holds one finished chunk of {size}: that is the first half, the reduce-scatter. Now let the "
                              "finished chunks go round once more, and be copied instead of added")
            if torch.equal(ours, given[rank]):
                raise Mistake("x is as it was before: add what comes in to the chunk that it belongs to")
            raise Mistake(f"{n} numbers on {size} ranks: rank {rank} ends with {ours.tolist()}, the sum is {right.tolist()}. In the first half "
                          f"rank r sends chunk r − step and adds to chunk r − step − 1, all modulo {size}")
        if any(not handle.waited for handle in network.handles):
            raise Mistake("right, but isend comes back before the message has gone: wait() for what it returns before you touch that chunk again")
        if max(network.sent) > 2 * (size - 1) * least:
            raise Mistake(f"right, but a rank sends {max(network.sent)} numbers for {n} on {size} ranks. A ring needs 2 ({size} − 1) messages of "
                          f"{least} at most, {2 * (size - 1) * least}: send single chunks, never all of x")
    return "exact on 2, 3 and 4 ranks, sizes that divide or do not, and 2 (N − 1)/N of the data sent by each"


# 10.3


def sum_gradients(parameters: list, all_reduce: Callable) -> Tensor:
    """Adds up the gradients of all ranks, in place and in one message; returns the buffer."""
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.flatten() for p in parameters])
    all_reduce(flat)
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(part.view_as(p))
    return flat


def grade_sum_gradients(answer) -> str:
    shapes = [(3, 4), (4,), (2, 2), (5,)]
    for size in (2, 3):
        network = Network(size)
        models, gradients = [], []
        for rank in range(size):
            models.append([torch.nn.Parameter(numbers(*shape, seed=i)) for i, shape in enumerate(shapes)])
            gradients.append([numbers(*shape, seed=100 * rank + i) for i, shape in enumerate(shapes)])
            for i, p in enumerate(models[-1]):
                p.grad = None if (rank, i) == (1, 2) else gradients[-1][i].clone()
        gradients[1][2] = torch.zeros(2, 2, dtype=torch.double)

        def work(rank: int) -> Tensor:
            return answer(models[rank], network.all_reduce(rank))

        network.run(work)
        for i in range(len(shapes)):
            right = sum(own[i] for own in gradients)
            for rank in range(size):
                ours = models[rank][i].grad
                if ours is None:
                    raise Mistake("a parameter is left without a gradient on the rank where it had none: the other ranks have one for it, and "
                                  "its weights would part ways")
                if torch.allclose(ours, right):
                    continue
                if torch.allclose(ours, right / size):
                    raise Mistake("that is the average over ranks, and the sum is wanted: each loss was divided by the global count already")
                if torch.allclose(ours, gradients[rank][i]):
                    raise Mistake("a gradient is what it was: what has been added up in the buffer must go back into p.grad")
                raise Mistake(f"the gradient of parameter {i}, of shape {shapes[i]}, is not the sum over ranks: is each slice of the buffer put "
                              "back where it came from?")
        if max(map(len, network.calls)) > 1:
            raise Mistake(f"right, but in {max(map(len, network.calls))} messages: each costs a latency. Lay all gradients into one buffer first")
    return "four parameters in one message, and one that had no gradient on one of the ranks"


# 10.4


def state_bytes(parameters: int, ranks: int, stage: int) -> float:
    """Bytes on each rank of parameters, gradients and optimiser state, in mixed precision."""
    return parameters * sum(size / (ranks if stage >= first else 1) for size, first in ((12, 1), (2, 2), (2, 3)))


def grade_state_bytes(answer) -> str:
    for parameters, ranks in [(1000, 1), (110_000_000, 8), (7_500_000_000, 64)]:
        for stage in range(4):
            ours, right = answer(parameters, ranks, stage), state_bytes(parameters, ranks, stage)
            try:
                ours = float(ours)
            except (TypeError, ValueError):
                raise Mistake("return a number of bytes") from None
            if abs(ours - right) < 1e-6 * right:
                continue
            likely = {
                "the moments are 8 bytes a parameter, but Adam in mixed precision keeps an fp32 copy of the weights, too: 12 in all":
                    right - 4 * parameters / (ranks if stage >= 1 else 1),
                f"stage {stage} is one stage off: 0 divides nothing, 1 the optimiser's state, 2 the gradients too, 3 the parameters too":
                    state_bytes(parameters, ranks, min(stage + 1, 3)),
                "everything is divided: that is stage 3. Before it the ranks keep parameters, and before stage 2 gradients, whole":
                    16 * parameters / ranks,
                "that is what all ranks hold together: one rank's share is wanted": ranks * right,
                "that is in gigabytes: return bytes": right / 1e9,
                "nothing is divided: from stage 1 on, each rank keeps the optimiser's state of its own share alone": 16.0 * parameters,
            }
            for hint, value in likely.items():
                if abs(ours - value) < 1e-6 * abs(value):
                    raise Mistake(hint)
            raise Mistake(f"{parameters:,} parameters on {ranks} ranks, stage {stage}: {right:,.0f} bytes, not {ours:,.0f}. 2 + 2 + 12 bytes a "
                          "parameter, each divided by the ranks from its own stage on")
    return "7.5 billion parameters on 64 ranks: " + ", ".join(f"{state_bytes(7_500_000_000, 64, stage) / 1e9:.1f}" for stage in range(4)) + " GB"


# 10.5


def adam(weights: Tensor, gradient: Tensor, moments: Tensor, learning_rate: float = 0.1) -> None:
    """One update of Adam, in place and number by number; without the correction of early steps.

    Its ε is large, so the size of a gradient matters, as it does not in ordinary Adam.

    Args:
        weights: (n,)
        gradient: (n,)
        moments: (2, n), the means of gradients and of their squares.
    """
    moments[0].lerp_(gradient, 0.1)
    moments[1].lerp_(gradient.square(), 0.01)
    weights.sub_(learning_rate * moments[0] / (moments[1].sqrt() + 0.1))


def zero_step(weights: Tensor, gradient: Tensor, moments: Tensor, rank: int, size: int,
              reduce_scatter: Callable, all_gather: Callable) -> Tensor:
    """One update of weights (n,), of which this rank keeps the moments of its n / size alone."""
    total = reduce_scatter(gradient)
    own = weights.chunk(size)[rank].clone()
    adam(own, total, moments)
    return all_gather(own)


def grade_zero_step(answer) -> str:
    for size in (2, 4):
        n = 12
        weights = numbers(n, seed=5)
        whole, all_moments = weights.clone(), torch.zeros(2, n, dtype=torch.double)
        ours, moments = [weights.clone() for _ in range(size)], [torch.zeros(2, n // size, dtype=torch.double) for _ in range(size)]
        for step in range(3):
            gradients = [numbers(n, seed=10 * step + rank) - 0.4 for rank in range(size)]
            before, old_moments = whole.clone(), all_moments.clone()
            adam(whole, sum(gradients), all_moments)
            network = Network(size)

            def work(rank: int) -> Tensor:
                return answer(ours[rank], gradients[rank].clone(), moments[rank], rank, size, network.reduce_scatter(rank),
                              network.all_gather(rank))

            ours = network.run(work)
            for rank, found in enumerate(ours):
                own = slice(rank * n // size, (rank + 1) * n // size)
                if not isinstance(found, Tensor) or found.shape != whole.shape:
                    raise Mistake(f"return all {n} weights: the parts of all ranks, gathered")
                if torch.allclose(found, whole):
                    continue
                others = torch.arange(n).ge(own.stop) | torch.arange(n).lt(own.start)
                if torch.allclose(found[own], whole[own]) and torch.allclose(found[others], before[others]):
                    raise Mistake(f"rank {rank} has updated its own part and keeps the old weights elsewhere: gather the parts of all ranks")
                mean, (own_mean, own_sum) = before.clone(), (before.clone() for _ in range(2))
                adam(mean, sum(gradients) / size, old_moments.clone())
                adam(own_sum, gradients[rank], old_moments.clone())
                adam(own_mean, gradients[rank] / size, old_moments.clone())
                if torch.allclose(found, mean):
                    raise Mistake(f"that is the update by the *average* of the ranks' gradients: each loss was divided by the count of all ranks already, so their "
                                  f"sum is wanted. Do not divide by {size}")
                if any(torch.allclose(found[own], alone[own]) for alone in (own_sum, own_mean)):
                    raise Mistake("each rank updates its part by its own gradient. It needs the sum over ranks, of its part: reduce_scatter")
                raise Mistake(f"after {step + 1} updates on {size} ranks the weights are not those of one process that sums all gradients. Does rank "
                              f"r take part r of the weights, and nobody else's?")
            ours = [found.clone() for found in ours]
    return "three updates on 2 and 4 ranks equal those of one process; each rank held 1/N of the moments"


# 10.6


def half_of_the_step(compute: float, size: float, latency: float, bandwidth: float) -> int:
    """The fewest ranks, from 2 on, whose ring all-reduce takes as long as their arithmetic or longer."""
    return next(n for n in count(2) if 2 * (n - 1) * (latency + size / n / bandwidth) >= compute / n)


def grade_half(answer) -> str:
    for compute, size, latency, bandwidth in [(1.0, 4e8, 1e-5, 5e10), (0.5, 4e8, 0.0, 1e10), (20.0, 1e6, 2e-3, 1e9), (1e-3, 1e9, 1e-5, 1e9)]:
        def first(seconds: Callable[[int], float], share: Callable[[int], float] = lambda n: compute / n) -> int:
            return next((n for n in range(2, 5000) if seconds(n) >= share(n)), 5000)

        def ring(n: int) -> float:
            return 2 * (n - 1) * (latency + size / n / bandwidth)

        ours, right = answer(compute, size, latency, bandwidth), first(ring)
        likely = {
            "the latency is left out: a ring has 2 (N − 1) messages, and each waits for it": first(lambda n: 2 * (n - 1) * size / n / bandwidth),
            "a ring goes round twice: 2 (N − 1) messages, one round to add up and one to spread": first(lambda n: ring(n) / 2),
            "each message holds 1/N of the data: divide the size by the number of ranks": first(
                lambda n: 2 * (n - 1) * (latency + size / bandwidth)),
            "the batch is fixed, so each rank computes 1/N of it: divide the arithmetic, too": first(ring, lambda n: compute),
        }
        if ours == right:
            continue
        for hint, value in likely.items():
            if ours == value:
                raise Mistake(hint)
        raise Mistake(f"{compute} s of arithmetic, {size:.0e} bytes, {latency} s and {bandwidth:.0e} bytes/s: at {right} ranks, not {ours}. Try "
                      "N = 2, 3, 4, … until 2 (N − 1) (latency + size / N / bandwidth) reaches compute / N")
    return "four networks, from one that is fast enough for many ranks to one where two are too many"


# 10.7


def noise_scale(small: int, big: int, small_squares: Tensor, big_squares: Tensor) -> float:
    """tr Σ / |G|² from the squared norms of gradients at two batch sizes."""
    a, b = small_squares.mean(), big_squares.mean()
    signal = (big * b - small * a) / (big - small)
    noise = (a - b) / (1 / small - 1 / big)
    return (noise / signal).item()


def grade_noise_scale(answer) -> str:
    for small, big, signal, noise in [(8, 64, 2.0, 50.0), (1, 100, 0.5, 200.0), (16, 1024, 4.0, 1000.0)]:
        wave = torch.tensor([0.7, 1.0, 1.3], dtype=torch.double)  # mean 1
        a, b = signal + noise / small, signal + noise / big
        small_squares, big_squares = a * wave, b * wave.flip(0)
        ours, right = float(answer(small, big, small_squares.clone(), big_squares.clone())), noise / signal
        if abs(ours - right) < 1e-6 * right:
            continue
        per_pair = ((small_squares - big_squares) / (1 / small - 1 / big)) / ((big * big_squares - small * small_squares) / (big - small))
        likely = {
            "that is |G|² over tr Σ: upside down": 1 / right,
            "|G|² is taken from the large batch as it is, with its share of the noise in it: solve for both unknowns": noise / b,
            "tr Σ is taken from the small batch as it is: that still holds |G|². Solve for both unknowns": small * a / signal,
            "that is a mean of ratios: each pair's ratio is biased, and wild where its |G|² is near 0. First the means, then one ratio":
                per_pair.mean().item(),
            "that is tr Σ alone: divide it by |G|²": noise,
            "that is |G|² alone": signal,
        }
        for hint, value in likely.items():
            if abs(ours - value) < 1e-6 * abs(value):
                raise Mistake(hint)
        raise Mistake(f"with |G|² = {signal} and tr Σ = {noise} the mean squares at batches of {small} and {big} are {a:.3f} and {b:.3f}, and "
                      f"the noise scale is {right:.0f}; yours is {ours:.3f}. E|G_B|² = |G|² + tr Σ / B, twice: two equations")
    return "three cases with a known answer, to six digits"


# 10.8

DIAGNOSES = ("a rank skips a collective", "every rank reads the same samples", "means of means", "one slow rank", "NaN on one rank", "healthy")
RIGHT_LOGS = {"A": "every rank reads the same samples", "B": "a rank skips a collective", "C": "one slow rank", "D": "means of means"}
CLUES = {
    "A": "eight times the data, and not one digit has changed: the mean over eight copies of a batch is that of the batch",
    "B": "all stand still for ten minutes, then time is up. Compare what each rank was waiting for: they are not in the same call",
    "C": "the losses are right and the step is slow: seven ranks wait, and one never does",
    "D": "both learn, and the difference is small, and it grows with how unequal the batches are: look at the last column",
}
LOGS = {
    "A": """samples in a batch    32 (1 rank)   256 (8 ranks)
step 100   loss       6.4127        6.4127
step 200   loss       5.9318        5.9318
step 400   loss       5.2209        5.2209
samples per second      1010          7960""",
    "B": """step 1000   loss 4.8120
rank 0   saving the best checkpoint, 31 s
rank 0   waits in broadcast                  600 s   timed out
rank 1   waits in all_reduce (step 1001)     600 s   timed out
rank 2   waits in all_reduce (step 1001)     600 s   timed out
rank 3   waits in all_reduce (step 1001)     600 s   timed out""",
    "C": """step 300   loss 5.6311  0.92 s     (one rank alone: 0.50 s)
waiting in all_reduce, seconds:
rank 0  0.41   rank 1  0.41   rank 2  0.40   rank 3  0.41
rank 4  0.40   rank 5  0.00   rank 6  0.41   rank 7  0.41""",
    "D": """step 500              1 rank     8 ranks    blanks on the ranks
full sequences        5.1034     5.1036     610 to 617
mixed lengths         5.1520     5.1689     201 to 604
one text a rank       5.1507     5.2430      11 to 598""",
}


grade_logs = grade_diagnoses(RIGHT_LOGS, DIAGNOSES, CLUES)


# 10.9


class FromAll(torch.autograd.Function):
    """Hands x on; going back, adds up the gradients of all ranks."""

    @staticmethod
    def forward(context, x, all_reduce):
        context.all_reduce = all_reduce
        return x.view_as(x)

    @staticmethod
    def backward(context, gradient):
        gradient = gradient.clone()
        context.all_reduce(gradient)
        return gradient, None


class SumOfAll(torch.autograd.Function):
    """Adds up the parts of all ranks; going back, hands the gradient on."""

    @staticmethod
    def forward(context, part, all_reduce):
        total = part.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(context, gradient):
        return gradient, None


def split_mlp(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, rank: int, size: int, all_reduce: Callable) -> Tensor:
    """GELU(x W1ᵀ + b1) W2ᵀ + b2, (B, D), of which this rank computes 1/size of the hidden units (Shoeybi et al. 2019, section 3)."""
    w1, b1, w2 = w1.chunk(size)[rank], b1.chunk(size)[rank], w2.chunk(size, dim=1)[rank]
    hidden = F.gelu(F.linear(FromAll.apply(x, all_reduce), w1, b1))  # (B, I / size)
    return SumOfAll.apply(F.linear(hidden, w2), all_reduce) + b2


def grade_split_mlp(answer) -> str:
    for size, (batch, width, inner) in ((2, (5, 3, 8)), (4, (3, 6, 12))):
        shapes = {"x": (batch, width), "w1": (inner, width), "b1": (inner,), "w2": (width, inner), "b2": (width,)}
        given = {name: 2 * numbers(*shape, seed=i) - 1 for i, (name, shape) in enumerate(shapes.items())}
        upstream = numbers(batch, width, seed=9) - 0.3

        def leaves() -> dict[str, Tensor]:
            return {name: value.clone().requires_grad_() for name, value in given.items()}

        one = leaves()
        hidden = F.gelu(F.linear(one["x"], one["w1"], one["b1"]))
        whole = F.linear(hidden, one["w2"], one["b2"])
        whole.backward(upstream)
        parts = [F.linear(h, w) for h, w in zip(hidden.chunk(size, dim=1), one["w2"].chunk(size, dim=1))]
        network, held = Network(size), [leaves() for _ in range(size)]

        def work(rank: int) -> Tensor:
            with Products() as products:
                out = answer(*held[rank].values(), rank, size, network.all_reduce(rank))
            if not isinstance(out, Tensor) or out.shape != whole.shape:
                raise Mistake(f"return the whole output, {tuple(whole.shape)}, on every rank")
            for part, what in ((parts[rank], "without"), (parts[rank] + one["b2"], "with")):
                if torch.allclose(out, part):
                    raise Mistake(f"each rank returns its own part of the output ({what} b2): add the parts of all ranks up")
            if torch.allclose(out, whole + (size - 1) * one["b2"]):
                raise Mistake(f"b2 is in the output {size} times: every rank adds it before the sum. Add it once, after the sum")
            if not torch.allclose(out, whole):
                raise Mistake("the output is not that of the unsplit layer. GELU must see finished sums: rank r takes rows r of W1 (and of b1), so its hidden units are "
                              "whole, and columns r of W2")
            if products.flops > 4 * batch * width * inner / size:
                raise Mistake(f"the output is right, but a rank computes {products.flops} of the layer's {4 * batch * width * inner} FLOPs, and 1/{size} is its share: "
                              "nothing is saved. Slice the weights first, then multiply")
            if not out.requires_grad:
                raise Mistake("no gradient can flow back from the output: .data, .detach() and torch.no_grad() cut it off")
            out.backward(upstream)
            return out

        network.run(work)
        for rank in range(size):
            for name, leaf in held[rank].items():
                if leaf.grad is None:
                    raise Mistake(f"{name} gets no gradient: does it take part in the output, and does your backward hand the gradient on?")
            for name in ("w1", "b1", "w2", "b2"):
                total = sum(every[name].grad for every in held) if name != "b2" else held[rank]["b2"].grad
                if torch.allclose(total, one[name].grad):
                    continue
                if torch.allclose(total, size * one[name].grad):
                    raise Mistake(f"the gradient of {name} is {size} times too large: what comes back to the sum is the same on all ranks already, so it is handed "
                                  "on, not added up")
                raise Mistake(f"the ranks' gradients of {name}, put together, are not those of the unsplit layer")
        for rank in range(size):
            ours, right = held[rank]["x"].grad, one["x"].grad
            if torch.allclose(ours, right):
                continue
            if torch.allclose(sum(every["x"].grad for every in held), right):
                raise Mistake("the output is right, and the gradient of x is this rank's share alone: x goes into all parts, so in the *backward* pass the "
                              "gradients of all ranks are added up before it leaves")
            raise Mistake("the output is right, and the gradient of x is not that of the unsplit layer")
        if max(map(len, network.calls)) > 2 or max(map(sum, network.calls)) > 2 * batch * width:
            raise Mistake(f"right, but with {max(map(len, network.calls))} collectives of {max(map(sum, network.calls))} numbers together: one sum "
                          "of (B, D) going forward and one going back are enough")
    return "output and all gradients are those of the unsplit layer, on 2 and 4 ranks, with one sum each way"


# 10.10


def pipeline_step(stage: nn.Module, inputs: list[Tensor], targets: list[Tensor], width: int, rank: int, isend: Callable, recv: Callable) -> float:
    """Gradients of the mean cross-entropy over all samples of all micro-batches, for the stage of this rank, 0 or 1; the loss on rank 1."""
    samples, loss, sending = sum(map(len, targets)), 0.0, []
    if rank == 0:
        kept = []
        for x in inputs:
            kept.append(stage(x))  # (b, width)
            sending.append(isend(kept[-1].detach(), 1))
        for out in kept:
            gradient = torch.empty_like(out)
            recv(gradient, 1)
            out.backward(gradient)
    else:
        for x, y in zip(inputs, targets):
            arrived = x.new_empty(len(y), width)
            recv(arrived, 0)
            arrived.requires_grad_()
            part = F.cross_entropy(stage(arrived), y, reduction="sum") / samples
            part.backward()
            sending.append(isend(arrived.grad, 0))
            loss += part.item()
    for handle in sending:
        handle.wait()
    return loss


def grade_pipeline(answer) -> str:
    for sizes in ((4, 4, 4), (5, 2, 6, 1)):
        torch.manual_seed(3)
        stages = [nn.Sequential(nn.Linear(5, 7), nn.Tanh()).double(), nn.Linear(7, 3).double()]
        inputs = [2 * numbers(n, 5, seed=i) - 1 for i, n in enumerate(sizes)]
        targets = [torch.arange(n).add(i) % 3 for i, n in enumerate(sizes)]
        weights = [list(stage.parameters()) for stage in stages]

        def gradients(loss: Tensor) -> list[list[Tensor]]:
            flat = torch.autograd.grad(loss, weights[0] + weights[1])
            return [list(flat[:2]), list(flat[2:])]

        def out(x: Tensor) -> Tensor:
            return stages[1](stages[0](x))

        def alike(ours: list[Tensor], theirs: list[Tensor]) -> bool:
            return all(torch.allclose(a, b) for a, b in zip(ours, theirs))

        whole = F.cross_entropy(out(torch.cat(inputs)), torch.cat(targets))
        last = gradients(sizes[-1] / sum(sizes) * F.cross_entropy(out(inputs[-1]), targets[-1]))
        right, means = gradients(whole), gradients(sum(F.cross_entropy(out(x), y) for x, y in zip(inputs, targets)) / len(sizes))
        sums = [[sum(sizes) * g for g in own] for own in right]
        network = Network(2)

        def work(rank: int) -> float:
            try:
                return answer(stages[rank], inputs, targets, 7, rank, network.isend(rank), network.recv(rank))
            except RuntimeError as error:
                if "second time" in str(error):
                    raise Mistake(f"rank {rank} goes back twice through the same graph: each micro-batch has an output of its own, so keep them all "
                                  "until their gradients arrive") from None
                if "does not require grad" in str(error):
                    raise Mistake(f"rank {rank} goes back from something that has no graph: keep the stage's output itself, and send a detached copy of it") from None
                raise

        found = network.run(work)
        for rank, own in enumerate(weights):
            if any(p.grad is None for p in own):
                raise Mistake(f"the weights of stage {rank} get no gradient. Rank 1 goes back from its loss, sends the gradient of what came in, and rank 0 "
                              "goes back from its own output with it")
            ours = [p.grad for p in own]
            for hint, wrong in ((f"micro-batches of {sizes} samples weigh alike: that is a mean of means. Divide each sum by the number of all samples", means),
                                ("the gradient is that of the summed loss: divide by the number of all samples", sums),
                                (f"the gradient of stage {rank} is that of the last micro-batch alone: gradients of all of them add up", last)):
                if alike(ours, wrong[rank]) and not alike(ours, right[rank]):
                    raise Mistake(hint)
            if not alike(ours, right[rank]):
                raise Mistake(f"the gradient of stage {rank} is not that of one process. Gradients come back in the order in which rank 1 sends them: does "
                              "each meet the output of its own micro-batch?")
        if not isinstance(found[1], (float, Tensor)) or abs(float(found[1]) - whole.item()) > 1e-9:
            raise Mistake(f"right gradients, but rank 1 is to return the mean loss over all samples, {whole.item():.4f}")
        if len(network.handles) != 2 * len(sizes):
            raise Mistake(f"right, but with {len(network.handles)} messages for {len(sizes)} micro-batches. Send each as soon as it is computed, one message each way: "
                          "rank 1 is idle until the first arrives")
        if any(not handle.waited for handle in network.handles):
            raise Mistake("right, but isend comes back before the message has gone: wait() for all handles in the end")
    return "gradients of both stages and the loss are those of one process, for micro-batches of equal and of unequal sizes"


EXERCISES = [
    Exercise("10.1", "a loss that ranks can average", 2, 15, local_loss, grade_local_loss),
    Exercise("10.2", "an all-reduce around a ring", 3, 30, ring_all_reduce, grade_ring),
    Exercise("10.3", "data parallelism by hand", 2, 15, sum_gradients, grade_sum_gradients),
    Exercise("10.4", "bytes on a rank", 1, 10, state_bytes, grade_state_bytes),
    Exercise("10.5", "an optimiser in shares", 2, 15, zero_step, grade_zero_step),
    Exercise("10.6", "when messages take half of the step", 2, 10, half_of_the_step, grade_half),
    Exercise("10.7", "the noise scale from two batch sizes", 2, 15, noise_scale, grade_noise_scale),
    Exercise("10.8", "read four logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("10.9", "one layer on several ranks", 3, 30, split_mlp, grade_split_mlp),
    Exercise("10.10", "a pipeline of two stages", 3, 30, pipeline_step, grade_pipeline),
]
