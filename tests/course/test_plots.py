"""The style of figures, and the text that each of them must have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pretrain_lib.course import plots


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    with matplotlib.rc_context():
        yield


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: [(data, metadata), …]."""
    calls = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw, metadata=None: calls.append((data, metadata))
    )
    return calls


def test_a_figure_is_shown_with_its_text_and_closed(shown):
    import matplotlib.pyplot as plt

    fig, ax = plots.figure(width=4, height=2)
    ax.plot([0, 1])
    plots.show(fig, alt="A line that rises.")
    (data, metadata) = shown[0]
    assert data["text/plain"] == metadata["image/png"]["alt"] == "A line that rises."
    assert data["image/png"].startswith(b"\x89PNG")
    assert not plt.get_fignums() and len(shown) == 1


def test_a_figure_with_a_number_has_its_caption_below(shown):
    fig, ax = plots.figure(width=4, height=2)
    ax.plot([0, 1])
    plots.show(fig, alt="A line: y_i = 2 i. It rises.", number="9.2")
    (_, about), (caption, _) = shown
    assert about["image/png"]["number"] == "9.2"
    assert caption["text/markdown"] == r"**Figure 9.2.** A line: y\_i = 2 i."


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        fig, ax = plots.figure()
        plots.spread(ax, [0, 1, 2], np.arange(6).reshape(3, 2), "runs", plots.BLUE)
        plots.show(fig, alt="A band.")
    assert shown[0][0]["image/png"] == shown[1][0]["image/png"]


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_a_figure_without_a_text_is_refused(alt):
    fig, _ = plots.figure()
    with pytest.raises(ValueError, match="needs an alt text"):
        plots.show(fig, alt=alt)


def test_labels_of_lines_that_end_close_together_are_moved_apart():
    fig, ax = plots.figure()
    for i, end in enumerate([1.0, 1.001, 1.002, 5.0]):
        ax.plot([0, 1], [0, end])
        plots.label_line(ax, [0, 1], [0, end], f"line {i}", plots.COLOURS[i])
    plots.separate_labels(fig)
    fig.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert all(above.y0 >= below.y1 - 0.5 for below, above in zip(boxes, boxes[1:]))


def test_a_band_reaches_from_the_smallest_to_the_largest_run():
    fig, ax = plots.figure()
    plots.spread(ax, [1, 2], [[1, 3], [2, 8]], "runs", plots.RED)
    assert ax.lines[0].get_ydata().tolist() == [2, 5]
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1 and band[:, 1].max() == 8
    assert [text.get_text() for text in ax.texts] == ["runs"]


def test_bars_name_their_mean_and_show_every_run():
    fig, ax = plots.figure()
    plots.bars(ax, ["a", "b"], [[0.2, 0.4], [0.5, 0.5]], unit=" of all")
    assert [text.get_text() for text in ax.texts] == ["0.3 of all", "0.5 of all"]
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 2]


@pytest.mark.parametrize("images", [torch.zeros(3, 1, 4, 4), [np.zeros((4, 4))] * 3])
def test_a_grid_shows_rows_of_images(images):
    fig = plots.image_grid([images, images[:2]], titles=["x", "y", "z"], row_labels=["in", "out"])
    assert len(fig.axes) == 6
    assert sum(len(ax.images) for ax in fig.axes) == 5


def test_the_style_has_no_box_around_a_plot():
    fig, ax = plots.figure()
    assert not ax.spines["top"].get_visible() and not ax.spines["right"].get_visible()
    assert ax.plot([0, 1])[0].get_color() == plots.BLUE


def test_each_lead_has_an_interval_over_samples_and_one_over_seeds():
    from pretrain_lib.evaluation.uncertainty import lead

    generator = np.random.default_rng(0)
    found = {name: lead(*(generator.random((2, 40, 3)) < 0.5), resamples=50) for name in ("one", "other")}
    fig, ax = plots.figure()
    plots.leads(ax, found)
    drawn = [tuple(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 4 and len(line.get_xdata())]
    assert drawn == [(100 * one.low, 100 * one.high) for pair in found.values() for one in pair]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "other"]
