"""The cost model equals what is counted in models, and what a simulated network takes."""

import pytest
import torch

from pretrain_lib.bench.cost_model import (
    BACKWARD,
    FP32_ADAM,
    Encoder,
    Link,
    best_tree,
    fit_link,
    ring_all_reduce,
    ring_bytes,
    ring_pass,
    state_bytes,
    step_seconds,
    tree_all_reduce,
    two_level_all_reduce,
)
from pretrain_lib.bench.encoder import Size
from pretrain_lib.bench.products import Products
from pretrain_lib.objectives.text import token_loss

LINK = Link(latency=1e-5, bandwidth=1e9)


def ring_clock(size: float, ranks: int, link: Link) -> tuple[float, list[float]]:
    """When the last rank is done, and what each has sent, if a chunk goes on once it is in."""
    ready = [[0.0] * ranks for _ in range(ranks)]  # when rank r holds chunk c, as far as it goes
    sent = [0.0] * ranks
    free = [0.0] * ranks
    for step in range(2 * (ranks - 1)):
        arrivals = []
        for rank in range(ranks):
            chunk = (rank - step) % ranks
            end = max(free[rank], ready[rank][chunk]) + link.message(size / ranks)
            free[rank] = end
            sent[rank] += size / ranks
            arrivals.append(((rank + 1) % ranks, chunk, end))
        for rank, chunk, end in arrivals:
            ready[rank][chunk] = end
    return max(max(row) for row in ready), sent


def tree_clock(size: float, ranks: int, link: Link) -> float:
    """When all know the sum, if pairs add up, then pairs of pairs, and the way back is the same."""
    ready, distance, sums = [0.0] * ranks, 1, []
    while distance < ranks:
        for rank in range(0, ranks - distance, 2 * distance):
            start = max(ready[rank], ready[rank + distance])
            ready[rank] = start + link.message(size)
            sums.append((rank, rank + distance))
        distance *= 2
    known = {0: ready[0]}
    busy = dict(known)
    for parent, child in reversed(sums):
        busy[parent] = known[child] = busy[child] = busy[parent] + link.message(size)
    return max(known.values())


@pytest.mark.parametrize("ranks", [2, 3, 4, 7, 16])
@pytest.mark.parametrize("size", [8.0, 1e6])
def test_a_ring_takes_what_a_simulated_ring_takes(ranks, size):
    seconds, sent = ring_clock(size, ranks, LINK)
    assert ring_all_reduce(size, ranks, LINK) == pytest.approx(seconds)
    assert sent == pytest.approx([ring_bytes(size, ranks)] * ranks)


@pytest.mark.parametrize("ranks", [2, 4, 8, 64])
def test_a_tree_takes_what_a_simulated_tree_takes(ranks):
    assert tree_all_reduce(1e6, ranks, LINK) == pytest.approx(tree_clock(1e6, ranks, LINK))


def test_one_rank_talks_to_nobody():
    assert ring_all_reduce(1e6, 1, LINK) == tree_all_reduce(1e6, 1, LINK) == ring_bytes(1e6, 1) == 0


def test_trees_win_when_messages_are_small_and_rings_when_they_are_large():
    assert tree_all_reduce(100, 64, LINK) < ring_all_reduce(100, 64, LINK)
    assert ring_all_reduce(1e9, 64, LINK) < tree_all_reduce(1e9, 64, LINK)


def test_pieces_cost_latency_and_no_bytes():
    apart = ring_pass(1e6, 4, LINK, pieces=10) - ring_pass(1e6, 4, LINK)
    assert apart == pytest.approx(9 * 3 * LINK.latency)


def test_the_third_stage_sends_half_as_much_again():
    assert [ring_bytes(80, 4, stage) for stage in range(4)] == [120, 120, 120, 180]


@pytest.mark.parametrize("ranks", [2, 5])
def test_a_link_is_found_again_from_two_sizes(ranks):
    small, large = ((size, ring_all_reduce(size, ranks, LINK)) for size in (1e3, 1e7))
    found = fit_link(ranks, small, large)
    assert found.latency == pytest.approx(LINK.latency)
    assert found.bandwidth == pytest.approx(LINK.bandwidth)


def test_a_larger_message_that_was_faster_is_refused():
    with pytest.raises(ValueError, match="must take longer"):
        fit_link(2, (1e3, 2.0), (1e6, 1.0))


def test_states_on_each_rank_are_those_of_zeros_first_figure():
    """7.5 billion parameters on 64 devices: 120, 31.4, 16.6 and 1.9 gigabytes."""
    totals = [sum(state_bytes(7_500_000_000, 64, stage).values()) / 1e9 for stage in range(4)]
    assert totals == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.05)


def test_states_of_all_ranks_together_hold_everything_once_in_the_third_stage():
    whole = state_bytes(1000, 1, 0, FP32_ADAM)
    assert {part: 8 * size for part, size in state_bytes(1000, 8, 3, FP32_ADAM).items()} == whole
    assert state_bytes(1000, 8, 0, FP32_ADAM) == whole


def test_messages_hide_behind_the_backward_pass_and_no_farther():
    assert step_seconds(3.0, 1.5) == 4.5
    assert step_seconds(3.0, 1.5, BACKWARD) == 3.0
    assert step_seconds(3.0, 2.5, BACKWARD) == pytest.approx(3.5)


@pytest.fixture(scope="module")
def small():
    """A BERT, a batch for it, and its shape for the cost model."""
    size = Size("bert", layers=3, hidden_size=64, length=32, batch_size=4, vocab_size=300)
    model, batch = size.model(), size.batch()
    shape = Encoder(size.layers, 64, 256, 300, 32, batch.inputs["positions"].shape[1], positions=32)
    return model, batch, shape


def test_bert_base_has_as_many_parameters_as_hugging_faces():
    assert Encoder().parameters == 109_514_298  # BertForMaskedLM


def test_parameters_are_those_of_the_model(small):
    model, _, shape = small
    assert sum(p.numel() for p in model.parameters()) == shape.parameters


def test_flops_are_those_that_are_counted(small):
    model, batch, shape = small
    with Products() as forwards:
        loss = token_loss(model(**batch.inputs), batch.targets["labels"])
    assert forwards.flops == 4 * shape.forward_flops
    with Products() as backwards:
        loss.backward()
    counted = forwards.flops + backwards.flops
    assert counted == pytest.approx(4 * shape.step_flops, rel=0.05)  # scores are computed again


def test_activations_are_about_those_that_autograd_keeps(small):
    model, batch, shape = small
    kept = {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.is_floating_point():
            kept[storage.data_ptr()] = storage.nbytes(), tensor  # kept alive: no address twice
        return tensor

    layers = model.encoder.layers if hasattr(model, "encoder") else model.bert.layers
    x = torch.randn(4, 32, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        for layer in layers:
            x = layer(x, None)
    counted = sum(size for size, _ in kept.values())
    assert counted == pytest.approx(shape.activation_bytes(4), rel=0.1)


def pieces_clock(size: float, ranks: int, link: Link, pieces: int) -> float:
    """When the last piece is up at the root of a tree, if each level sends a piece once it is in."""
    levels = (ranks - 1).bit_length()
    there = [0.0] * pieces  # when the level below has each piece
    for _ in range(levels):
        free, above = 0.0, []
        for ready in there:
            free = max(free, ready) + link.message(size / pieces)
            above.append(free)
        there = above
    return there[-1]


@pytest.mark.parametrize("ranks, pieces", [(2, 1), (4, 3), (7, 8), (16, 5)])
def test_a_tree_in_pieces_takes_what_its_clock_says(ranks, pieces):
    up = pieces_clock(1e6, ranks, LINK, pieces)
    assert tree_all_reduce(1e6, ranks, LINK, pieces) == pytest.approx(2 * up)
    assert best_tree(1e6, ranks, LINK) <= tree_all_reduce(1e6, ranks, LINK, 4)


def test_two_levels_are_one_where_there_is_one_machine_or_one_gpu_in_each():
    inside, between = Link(1e-6, 1e11), Link(1e-5, 1e10)
    assert two_level_all_reduce(1e6, 1, inside, between) == pytest.approx(ring_all_reduce(1e6, 8, inside))
    assert two_level_all_reduce(1e6, 16, inside, between, each=1) == pytest.approx(ring_all_reduce(1e6, 16, between))


def test_two_levels_over_equal_links_send_as_much_as_one_ring_with_fewer_latencies():
    link = Link(0.0, 1e9)
    assert two_level_all_reduce(1e6, 4, link, link) == pytest.approx(ring_all_reduce(1e6, 32, link))
    link = Link(1e-5, 1e30)
    assert two_level_all_reduce(1e6, 4, link, link) == pytest.approx(2 * (7 + 3) * 1e-5)
