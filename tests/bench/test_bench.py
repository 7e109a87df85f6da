"""The bench counts what it says it counts; how fast anything is, is not tested."""

import time
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from pretrain_lib.bench import images
from pretrain_lib.bench.cost_model import Encoder, ring_all_reduce
from pretrain_lib.bench.encoder import Size, measure
from pretrain_lib.bench.int8 import KINDS, compare, int8_on
from pretrain_lib.bench.ladder import Everywhere, Rung, Task, climb, labels_in_place, rungs
from pretrain_lib.bench.memory import peak_bytes
from pretrain_lib.bench.products import Products, alone
from pretrain_lib.bench.profile import kind_of, time_shares
from pretrain_lib.bench.scaling import scaling
from pretrain_lib.bench.tables import GPU
from pretrain_lib.bench.timing import interleaved, ratio
from pretrain_lib.commands import bench
from pretrain_lib.compression import quantise
from pretrain_lib.data.keys import Keys
from pretrain_lib.training.config import TrainConfig

TINY = {"layers": 2, "hidden_size": 16, "length": 12, "batch_size": 3, "vocab_size": 50}


def test_everyone_is_timed_once_a_round_and_in_turns():
    calls = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 4)
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4}
    assert sorted(calls) == ["a"] * 5 + ["b"] * 5
    pairs = ["".join(calls[i:i + 2]) for i in range(0, 10, 2)]
    assert set(pairs) == {"ab", "ba"}


def test_ratio_is_that_of_the_times():
    seconds = interleaved({"long": lambda: time.sleep(0.03), "short": lambda: time.sleep(0.01)}, 5)
    assert 1.5 < ratio(seconds, "long", "short") < 4


def test_products_of_a_linear_layer_are_three():
    x = torch.randn(5, 7, requires_grad=True)
    w = torch.randn(11, 7, requires_grad=True)
    with Products() as products:
        F.linear(x, w).sum().backward()
    assert products.flops == 3 * 2 * 5 * 7 * 11


@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_flops_of_an_encoder_are_those_of_the_formula(form):
    size = Size(form, **TINY)
    model, batch = size.model(), size.batch()
    with Products() as products:
        model(**batch.inputs)
    d, t, b, layers = size.hidden_size, size.length, size.batch_size, size.layers
    wide = 4 * d if form == "bert" else 2 * d
    feed_forward = 2 * d * wide if form == "bert" else 3 * d * wide
    slots = batch.inputs["positions"].shape[1]
    below = 2 * t * (4 * d * d + feed_forward) + 4 * t * t * d  # scores and values of one sequence
    # The last layer needs keys and values everywhere, and all else at the blanks alone.
    last = 2 * t * 2 * d * d + 2 * slots * (2 * d * d + feed_forward) + 4 * slots * t * d
    vocabulary = 2 * slots * (d * d + d * size.vocab_size)
    assert products.flops == b * ((layers - 1) * below + last + vocabulary)


def test_the_products_alone_are_as_many():
    products = Products()
    products.shapes = [((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4))]
    with Products() as seen:
        alone(products.shapes)()
    assert seen.flops == products.flops == 2 * 24 * 6


def test_measure_gives_shares_of_one_run():
    found = measure(Size(**TINY, ragged=True), rounds=2, steps=1)
    assert found["tokens_per_second"] > 0 and 0 < found["products_share"] < 1.5


def test_the_shares_of_a_profile_are_those_of_what_is_done():
    big, small = torch.randn(600, 600), torch.randn(10)
    shares = time_shares(lambda: ([big @ big for _ in range(10)], torch.nn.functional.gelu(small)))
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "matrix products" and 0 < shares["GELU"] < 0.2
    assert kind_of("aten::addmm") == "matrix products" and kind_of("aten::embedding") == "other"
    assert kind_of("aten::add_") == "sums"


# --- memory, and the ladder -------------------------------------------------------------------


def test_the_peak_is_what_is_held_at_once():
    there = torch.zeros(1000)

    def step():
        first = torch.ones(50_000)
        second = torch.ones(20_000)
        del first
        third = torch.ones(10_000)
        del second, third

    peak = peak_bytes(step, [there, there[:10]], torch.device("cpu"))
    assert peak == pytest.approx(4 * (1000 + 70_000), abs=1000)


def test_every_rung_keeps_the_changes_below_it():
    ladder = list(rungs().values())
    assert ladder[0] == Rung() and not ladder[-1].everywhere and not ladder[-1].one_by_one
    for below, above in zip(ladder, ladder[1:]):
        assert below.train.items() <= above.train.items()
        assert below != above


def tiny_task(**settings) -> Task:
    size = Size("modernbert", **TINY)
    config = TrainConfig(steps=4, batch_size=4, log_every=1, device="cpu", **settings)
    texts = size.texts(16)
    return Task(lambda seed: seeded(size, seed), size.objective(), texts, lambda model: 1.5, config)


def seeded(size: Size, seed: int):
    torch.manual_seed(seed)
    return size.model()


def test_predicting_everywhere_gives_the_same_loss_and_gradients():
    task = tiny_task()
    keys = Keys.of(3, range(4))
    found = []
    for objective in (task.objective, Everywhere(task.objective)):
        model = task.build(0).double()
        batch = objective.batch(task.source.take(keys), keys)
        loss = objective(model, batch)["masked_lm"]
        loss.backward()
        found.append((loss, batch.counts, [p.grad for p in model.parameters()]))
    (loss, counts, gradients), (everywhere, counted, others) = found
    assert counts == counted
    torch.testing.assert_close(loss, everywhere, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients, others, rtol=1e-10, atol=1e-12)


def test_predicting_everywhere_scores_every_label_that_counts():
    """The first token too, which unused slots of the blanks point at."""
    task, keys = tiny_task(), Keys.of(2, range(16))
    blanks = task.objective.batch(task.source.take(keys), keys)
    positions, labels = blanks.inputs["positions"], blanks.targets["labels"]
    expected = torch.full((16, TINY["length"]), -100)
    for row in range(16):
        for slot in range(labels.shape[1]):
            if labels[row, slot] != -100:
                expected[row, positions[row, slot]] = labels[row, slot]
    assert (expected[:, 0] != -100)[(labels == -100).any(1)].any()
    assert torch.equal(labels_in_place(positions, labels, TINY["length"]), expected)
    everywhere = Everywhere(task.objective).batch(task.source.take(keys), keys)
    assert torch.equal(everywhere.targets["labels"], expected)
    assert (expected != -100).sum() == everywhere.counts["masked_lm"]


@pytest.mark.parametrize("name", [name for name in rungs() if name != "compiled"])
def test_a_rung_tells_what_it_cost(name):
    rung = rungs()[name]
    found = climb(tiny_task(), replace(rung, train=rung.train | {"compile": False}), seed=1)
    assert found["loss"] == 1.5 and found["tokens_per_second"] > 0 and 0 < found["mfu"] < 1
    assert 0 < found["data_wait"] < 1 and found["precision"] in ("fp32", "bf16")


def test_blanks_alone_need_less_memory():
    ladder = rungs()
    peaks = [climb(tiny_task(), ladder[name], seed=1)["peak_bytes"]
             for name in ("as first written", "blanks only")]
    assert peaks[1] < peaks[0]


@pytest.mark.slow
def test_more_processes_share_a_step_and_the_model_foretells_it():
    one, two = scaling([1, 2], Size("bert", **{**TINY, "batch_size": 4}))
    assert one["ranks"] == 1 and two["ranks"] == 2 and one["step"] > 0
    parameters = sum(p.numel() for p in Size("bert", **TINY).model().parameters())
    assert one["gradient_bytes"] == two["gradient_bytes"] == 4 * parameters
    assert 0 < two["fastest"] <= two["slowest"] and two["all_reduce"] > 0


@pytest.mark.parametrize("words, said", [
    (["lader"], "must be one of steps, ladder, ranks, paper, int8, images"),
    (["ladder", "--updates", "0"], "updates must be at least 1, got 0"),
    (["ladder", "--recipe", "recipes/bert-mini-laptop.toml"], "masked language modelling alone")])
def test_what_bench_cannot_do_is_said_in_a_line(words, said):
    with pytest.raises(ValueError, match=said):
        bench(words)


def test_the_table_on_paper_is_that_of_the_cost_model(capsys):
    bench(["paper"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line[:5].strip().isdigit()]
    base, link = Encoder(), GPU["link"]
    assert [int(row[0]) for row in rows] == [1, 8, 64, 1024]
    for row in rows[1:]:
        ring = 1e3 * ring_all_reduce(4 * base.parameters, int(row[0]), link)
        assert float(row[2]) == pytest.approx(ring, abs=0.006)


def test_images_of_each_source_are_timed_on_one_thread(monkeypatch, capsys):
    threads = []

    class Blank:
        def take(self, keys):
            threads.append(torch.get_num_threads())
            return {"images": torch.zeros(len(keys), 1, 2, 2)}

    before = torch.get_num_threads()
    monkeypatch.setattr(images, "sources", lambda: {"blank": Blank()})
    found = images.images_per_second(rounds=3)
    assert found.keys() == {"blank"} and found["blank"] > 0
    assert threads == [1] * 4 and torch.get_num_threads() == before
    bench(["images", "--rounds", "1"])
    assert "blank" in capsys.readouterr().out


# --- int8 -------------------------------------------------------------------------------------


def test_int8_is_timed_and_its_sums_are_checked(monkeypatch):
    model = Size("modernbert", **{**TINY, "length": 24}).model().eval()
    small = quantise.quantize(model)
    found = compare(model, small, 2, rounds=1)
    assert found["ratio"] > 0 and found["exact"] and sum(found["products"].values()) == 2 * 4 + 1
    monkeypatch.setattr(quantise, "in_floats", lambda q, int8, scale: (q @ int8.float().T + 1) * scale)
    monkeypatch.setattr(quantise, "fastest", lambda *shape: None)
    found = compare(model, small, 2, rounds=1)
    assert not found["exact"] and found["products"] == {"floats": 2 * 4 + 1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_int8_of_the_zoo_is_exact_on_each_kind_of_processor(kind):
    found = int8_on(kind, rounds=1)
    assert len(found["rows"]) == 2 * 2 * 2 and all(row["exact"] for row in found["rows"])
    if kind == "AVX2" and found["instructions"] != "unknown":
        assert "AVX2" in found["instructions"]
