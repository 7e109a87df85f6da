"""Tubes and ends of clips: what is hidden, and the loss of transformers' VideoMAE."""

import clips
import pytest
import torch
import transformers
from transformers.models.videomae.modeling_videomae import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

import pretrain_lib as pl
from pretrain_lib import Batch, Keys, MaskedVideo
from pretrain_lib.models.tubelets import tubelets


@pytest.mark.parametrize("channels, normalize", [(1, True), (3, True), (3, False)])
@pytest.mark.parametrize("ratio, hide", [(0.5, "tubes"), (0.5, "end")])
def test_the_loss_is_that_of_transformers(channels, normalize, ratio, hide, tmp_path):
    """Theirs takes three channels for colours that were standardised, and scores them as they were before."""
    shape = {name: value for name, value in clips.SHAPE.items()} | {"num_channels": channels}
    theirs = transformers.VideoMAEForPreTraining(transformers.VideoMAEConfig(**shape, norm_pix_loss=normalize)).eval()
    theirs.save_pretrained(tmp_path)
    ours, theirs = pl.load_pretrained(tmp_path).double(), theirs.double()
    shown = colours = clips.noise(5, channels=channels, dtype=torch.double)
    if channels == 3:
        mean, deviation = (torch.tensor(each).double().view(3, 1, 1) for each in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        shown = (colours - mean) / deviation
    objective, keys = MaskedVideo(ratio, 4, normalize, hide=hide), Keys.of(0, 5)
    mask = objective.batch({"clips": colours}, keys).inputs["mask"]
    batch = Batch({"clips": shown, "mask": mask}, {"clips": objective.target(colours)}, {"masked_pixels": float(mask.sum()) * channels})
    loss = 2 * objective(ours, batch)["masked_pixels"] / batch.counts["masked_pixels"]  # ours is half the square
    hidden = tubelets(mask != 0, 2, 4).all(2)
    expected = theirs(shown, bool_masked_pos=hidden).loss
    assert abs(loss.item() - expected.item()) <= 1e-10


def test_a_tube_is_hidden_in_every_frame_and_the_end_for_every_place():
    keys, shape = Keys.of(0, 40), (40, 8, 1, 24, 24)
    tubes = MaskedVideo(0.75).mask(keys, shape)
    assert tubes.shape == (40, 8, 1, 24, 24) and (tubes == tubes[:, :1]).all()
    places = tubes[:, 0, 0].unfold(1, 6, 6).unfold(2, 6, 6).flatten(3)  # (40, 4, 4, 36)
    assert (places.amin(3) == places.amax(3)).all() and (places.amax(3).sum((1, 2)) == 12).all()
    assert len({one.numpy().tobytes() for one in tubes}) > 30
    end = MaskedVideo(0.25, hide="end").mask(keys, shape)
    assert end[:, :6].sum() == 0 and (end[:, 6:] == 1).all()


@pytest.mark.parametrize("ratio, hidden", [(0.01, 2), (0.4, 4), (0.99, 6)])
def test_of_the_end_whole_tubelets_are_hidden_at_least_one_and_not_all(ratio, hidden):
    mask = MaskedVideo(ratio, hide="end").mask(Keys.of(0, 1), (1, 8, 1, 24, 24))
    assert mask[0, :, 0, 0, 0].tolist() == [0] * (8 - hidden) + [1] * hidden


def test_what_is_hidden_is_not_shown_is_all_that_is_scored_and_is_counted():
    clean, objective = clips.noise(6, channels=2, dtype=torch.double), MaskedVideo(0.5, 4, normalize=False)
    batch = objective.batch({"clips": clean}, Keys.of(0, 6))
    mask = batch.inputs["mask"].expand_as(clean) == 1
    assert (batch.inputs["clips"][mask] == 0).all() and torch.equal(batch.inputs["clips"][~mask], clean[~mask])
    answer = torch.randn(clean.shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    total = objective(lambda shown, hidden: answer, batch)["masked_pixels"].item()
    assert batch.counts == {"masked_pixels": int(mask.sum())}
    assert total == pytest.approx(0.5 * (answer - clean)[mask].square().sum().item(), rel=1e-12)


def test_normalised_targets_have_mean_0_and_variance_1_in_each_tubelet_and_channel():
    clean = clips.noise(3, channels=2, dtype=torch.double)
    target = MaskedVideo(0.5, 4).target(clean)
    for t in (0, 2):
        for y in (0, 4):
            for x in (0, 4):
                part = target[:, t:t + 2, :, y:y + 4, x:x + 4].transpose(1, 2).flatten(2)  # (3, 2, 32)
                assert part.mean(2).abs().max() < 1e-10 and (part.var(2) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("normalize", [False, True])
def test_a_right_answer_shown_as_pixels_is_the_clip(normalize):
    clean, objective = clips.noise(3, channels=2, dtype=torch.double), MaskedVideo(0.5, 4, normalize)
    torch.testing.assert_close(objective.as_pixels(objective.target(clean), clean), clean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("hide", ["tubes", "end"])
def test_several_ranks_sum_to_one(hide):
    clips.assert_parts_add_up(clips.model().double(), MaskedVideo(0.5, 4, hide=hide), pl.Columns(clips=clips.noise(dtype=torch.double)))


def test_it_learns_what_is_hidden_from_what_is_seen():
    """Clips of one grey each: after 100 updates it errs by less than half of what the mean of all greys does."""
    grey = clips.noise(64, frames=1, side=1).expand(-1, 4, -1, 8, 8).contiguous()
    config = pl.TrainConfig(steps=100, batch_size=32, learning_rate=0.01, device="cpu")
    model = clips.model(hidden_size=24, decoder_hidden_size=24)
    trainer = pl.Trainer(model, MaskedVideo(0.5, 4, normalize=False), pl.Columns(clips=grey), config)
    trainer.fit()
    assert trainer.history.losses[-1] < 0.5 * 0.5 * grey.var()


@pytest.mark.parametrize("settings, said", [
    ({"patch": 5}, "tubelets of 2 × 5 × 5 pixels do not tile a clip of 4 × 8 × 8"),
    ({"patch": 4, "tubelet": 3}, "tubelets of 3 × 4 × 4 pixels do not tile"),
    ({"patch": 8}, "leave at least two to hide 'tubes' of"),
    ({"patch": 4, "tubelet": 4, "hide": "end"}, "leave at least two to hide 'end' of"),
])
def test_tubelets_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        MaskedVideo(**settings).batch({"clips": clips.noise()}, Keys.of(0, 12))


@pytest.mark.parametrize("settings, said", [
    ({"ratio": 1.0}, "ratio must be strictly between 0 and 1, got 1.0"),
    ({"tubelet": 0}, "tubelet must be an integer of at least 1, got 0"),
    ({"patch": 1}, "patch must be at least 2 with normalize"),
    ({"hide": "frames"}, "hide must be one of tubes, end, got 'frames'"),
])
def test_a_wrong_setting_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        MaskedVideo(**settings)


def test_what_is_no_clip_is_refused():
    with pytest.raises(ValueError, match=r"clips must be \(B, T, C, H, W\) and float.*torch.uint8"):
        MaskedVideo().batch({"clips": torch.zeros(2, 4, 1, 8, 8, dtype=torch.uint8)}, Keys.of(0, 2))
