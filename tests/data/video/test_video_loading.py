"""Clips in memory, from folders of one's own, and as a recipe's data."""

import numpy as np
import pytest
import torch
from PIL import Image

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.data.video.folders import evenly


def grey(number, size=(6, 4)):
    return Image.fromarray(np.full(size[::-1], number, dtype=np.uint8))


def write_clip(folder, levels, size=(6, 4), name="{:d}.png"):
    """A clip whose frames are of one grey each."""
    folder.mkdir(parents=True)
    for number, level in enumerate(levels):
        grey(level, size).save(folder / name.format(number))


def levels(clips):
    return (255 * clips.clips.mean((2, 3, 4))).round().int().tolist()


def test_frames_are_sorted_by_number_and_taken_evenly(tmp_path):
    write_clip(tmp_path / "long", range(0, 24, 2), name="frame {:d}.png")  # 0 to 11: by name, 10 would follow 1
    write_clip(tmp_path / "short", [100, 110, 120, 130], name="{:03d}.jpg")
    clips = pl.load_clips(tmp_path, "all", frames=4)
    assert isinstance(clips, pl.ClipDataset) and clips.clip_shape == (4, 1, 4, 6) and "labels" not in clips.columns
    assert sorted(levels(clips)) == [[0, 8, 14, 22], [100, 110, 120, 130]]
    assert levels(pl.load_clips(tmp_path, "all", frames=2)) in ([[0, 22], [100, 130]], [[100, 130], [0, 22]])


@pytest.mark.parametrize("there, number", [(5, 5), (9, 3), (100, 8), (2, 2), (7, 4)])
def test_the_first_and_the_last_are_taken_and_gaps_differ_by_one_at_most(there, number, tmp_path):
    taken = np.array(evenly(tmp_path, there, number))
    assert taken[0] == 0 and taken[-1] == there - 1 and np.ptp(np.diff(taken)) <= 1 and (np.diff(taken) > 0).all()


def test_folders_are_classes_and_one_clip_in_five_is_for_testing(tmp_path):
    for kind, base in (("jump", 0), ("walk", 100)):
        for number in range(10):
            write_clip(tmp_path / kind / f"clip {number}", [base + number, base + number + 20])
    train, test, every = (pl.load_clips(tmp_path, split, frames=2) for split in ("train", "test", "all"))
    assert train.classes == test.classes == ["jump", "walk"] and (len(train), len(test), len(every)) == (16, 4, 20)
    assert test.labels.bincount().tolist() == [2, 2]
    for clips in (train, test, every):
        assert all((first >= 100) == bool(label) for (first, _), label in zip(levels(clips), clips.labels, strict=True))
    assert sorted(levels(train) + levels(test)) == sorted(levels(every)) and len({first for first, _ in levels(every)}) == 20
    assert levels(pl.load_clips(tmp_path, "train", frames=2)) == levels(train)


def test_clips_of_any_size_are_brought_to_one_if_a_size_is_given(tmp_path):
    write_clip(tmp_path / "wide", [10, 20], (20, 10))
    write_clip(tmp_path / "high", [30, 40], (8, 16))
    clips = pl.load_clips(tmp_path, "all", frames=2, size=6)
    assert clips.clip_shape == (2, 1, 6, 6) and sorted(levels(clips)) == [[10, 20], [30, 40]]
    with pytest.raises(ValueError, match="one size and mode: .*high is 8 × 16 L, .*wide 20 × 10 L: give size"):
        pl.load_clips(tmp_path, "all", frames=2)


def strange(tmp_path, case):
    if case == "one frame":
        write_clip(tmp_path / "a", [1])
    if case == "few frames":
        write_clip(tmp_path / "a", [1, 2, 3])
    if case == "no frames":
        write_clip(tmp_path / "kind" / "a", range(4))
        (tmp_path / "kind" / "b").mkdir()
    if case == "empty class":
        write_clip(tmp_path / "kind" / "a", range(4))
        (tmp_path / "other").mkdir()
    if case == "sizes":
        write_clip(tmp_path / "a", range(4))
        grey(9, (6, 6)).save(tmp_path / "a" / "4.png")
    if case == "loose clip":
        write_clip(tmp_path / "kind" / "a", range(4))
        write_clip(tmp_path / "b", range(4))
    if case == "loose frames":
        write_clip(tmp_path / "a", range(4))
        grey(9).save(tmp_path / "1.png")
    if case == "no number":
        write_clip(tmp_path / "a", range(4))
        grey(9).save(tmp_path / "a" / "cover.png")
    if case == "one number":
        write_clip(tmp_path / "a", range(4))
        grey(9).save(tmp_path / "a" / "01.png")


@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("case, said", [
    ("one frame", r"/a has 1 frame, fewer than frames=4: ask for fewer, or remove it"),
    ("few frames", r"/a has 3 frames, fewer than frames=4"),
    ("no frames", r"no frame in .*/kind/b: expected files that end in .png"),
    ("empty class", r"/other holds neither frames nor clips: fill it, or remove it"),
    ("sizes", r"/a has frames of different sizes|one size and mode: .*/a is 6 × 4 L, .*/a 6 × 6 L"),
    ("loose clip", r"/b is a clip beside the folders that name the classes: move it"),
    ("loose frames", r"holds images beside no clip: put the frames of each clip into a folder of its own"),
    ("no number", r"/a/cover.png has no number in its name"),
    ("one number", r"/a/01.png and 1.png have one number: which was first\?"),
    ("nothing", r"no clip in .*: expected folders of frames, or files that end in .mp4"),
])
def test_a_folder_that_is_none_of_clips_is_named(case, said, size, tmp_path):
    strange(tmp_path, case)
    with pytest.raises(ValueError, match=said):
        pl.load_clips(tmp_path, "all", frames=4, size=size)


@pytest.mark.parametrize("arguments, said", [
    (("motion",), "there is neither a folder 'motion' nor such clips: did you mean 'motions'"),
    (("motions", "all"), "split must be one of train, test, shift, got 'all'"),
    (("/", "shift"), "split must be one of train, test, all, got 'shift'"),
    (("/", "all", 1), "frames must be at least 2, got 1"),
    (("motions", "train", 8, 30), "size must be a multiple of frames=8, got 30"),
])
def test_what_cannot_be_loaded_is_said(arguments, said):
    with pytest.raises(ValueError, match=said):
        pl.load_clips(*arguments)


def write_video(file, levels):
    av = pytest.importorskip("av")
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), level, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_videos_are_clips_too(tmp_path):
    pytest.importorskip("av").logging.set_level(None)
    (tmp_path / "up").mkdir()
    (tmp_path / "down").mkdir()
    write_video(tmp_path / "up" / "1.mp4", range(20, 220, 20))
    write_video(tmp_path / "down" / "1.MP4", range(200, 0, -20))
    clips = pl.load_clips(tmp_path, "all", frames=4, size=8)
    assert clips.clip_shape == (4, 3, 8, 8)
    expected = {"up": [20, 80, 140, 200], "down": [200, 140, 80, 20]}
    for found, label in zip(levels(clips), clips.labels, strict=True):
        assert max(abs(a - b) for a, b in zip(found, expected[clips.classes[label]], strict=True)) <= 8
    with pytest.raises(ValueError, match="1.mp4 has 10 frames, fewer than frames=11|1.MP4 has 10 frames"):
        pl.load_clips(tmp_path, "all", frames=11)
    (tmp_path / "up" / "1.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="1.mp4 cannot be read as a video"):
        pl.load_clips(tmp_path, "all", frames=4)


def test_without_pyav_a_video_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(ImportError, match=r"a.mp4 is a video, which PyAV reads: pip install av"):
        pl.load_clips(tmp_path, "all")


@pytest.mark.parametrize("clips, said", [
    (torch.zeros(2, 4, 8, 8), r"clips must be \(N, T, C, H, W\), got \(2, 4, 8, 8\)"),
    (torch.zeros(2, 4, 8, 8, 3), "1 to 4 channels"),
    (torch.zeros(2, 4, 1, 8, 8, dtype=torch.int32), "must be uint8 or float"),
    (torch.full((2, 4, 1, 8, 8), 2.0), r"must lie in \[0, 1\], sample 0"),
])
def test_what_is_no_clip_is_refused(clips, said):
    with pytest.raises(ValueError, match=said):
        pl.ClipDataset(clips)


def test_a_data_set_of_clips_checks_labels_and_gives_floats():
    clips = torch.arange(3 * 2 * 4 * 4, dtype=torch.uint8).view(3, 2, 1, 4, 4)
    data = pl.ClipDataset(clips, [0, 2, 1], name="three")
    assert data.classes == ["0", "1", "2"] and repr(data) == "ClipDataset(three: 3 clips of (2, 1, 4, 4), 3 classes)"
    samples = data.subset([2, 0]).take(pl.Keys.of(0, 2))
    torch.testing.assert_close(samples["clips"], clips[[2, 0]].float() / 255)
    assert samples["labels"].tolist() == [1, 0] and torch.equal(data.clips[2], samples["clips"][0])
    with pytest.raises(ValueError, match="labels must lie between 0 and 1, sample 1 has 2"):
        pl.ClipDataset(clips, [0, 2, 1], ["a", "b"])


def test_drawn_clips_are_those_of_their_source(monkeypatch):
    monkeypatch.setattr("pretrain_lib.data.video.load.TESTED_ON", 250)
    data = pl.load_clips("motions", "test")
    source = pl.Clips(pl.ClipConfig(), "test").take(pl.Keys.of(0, 250))
    assert len(data) == 250 and data.columns["clips"].dtype == torch.uint8 and data.classes[0] == "right"
    assert (data.clips - source["clips"]).abs().max() <= 0.5 / 255 + 1e-6 and torch.equal(data.labels, source["labels"])
    assert "flickr" in data.about


RECIPE = """
[data]
kind = "VideoData"
name = "clips"
frames = 4

[model]
kind = "VideoMAEForPreTraining"
patch_size = 4
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
decoder_hidden_size = 16
decoder_num_hidden_layers = 1
decoder_num_attention_heads = 2

[objective]
kind = "MaskedVideo"
patch = 4
ratio = 0.5

[train]
steps = 2
batch_size = 4
learning_rate = 0.001
device = "cpu"
"""


def test_a_recipe_trains_on_clips_and_the_model_fits_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(10):
        write_clip(tmp_path / "clips" / f"{number}", [number, 100, 200, 250], (8, 8))
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    assert main(["pretrain", "r.toml"]) == 0
    model = pl.load_pretrained("runs/r")
    assert type(model) is pl.VideoMAEForPreTraining and model.config.clip_shape == (4, 1, 8, 8)
