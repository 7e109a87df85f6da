"""Few labels of clips: probed, fine-tuned and tuned by what serves every modality."""

import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.evaluation.classification import accuracy
from pretrain_lib.transfer.tuning import fit_tuned

SHAPE = pl.VideoMAEConfig(image_size=8, patch_size=4, num_frames=4, num_channels=1, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=32, initializer_range=0.3)


@pytest.fixture(scope="module")
def brightening():
    """Clips that grow brighter or darker: the same frames in two orders."""
    level = torch.linspace(0.1, 0.9, 4).view(4, 1, 1, 1)
    clips = level * torch.rand(80, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(80) % 2
    clips[labels == 1] = clips[labels == 1].flip(1)
    return pl.ClipDataset(clips, labels, ["brighter", "darker"])


def test_few_labelled_clips_are_fine_tuned_on_in_changed_copies(brightening, tmp_path):
    some = pl.labelled_subset(brightening, 10)
    assert isinstance(some, pl.ClipDataset) and some.labels.bincount().tolist() == [10, 10]
    config = pl.TrainConfig(steps=60, batch_size=16, learning_rate=3e-3, device="cpu")
    way = pl.FineTuning(lambda seed: pl.VideoMAEModel(SHAPE, seed), 2, config,
                        view=lambda clips: pl.Augmented(clips, [pl.RandomCrop(1), pl.ColourJitter(0.2, 0.2, 0, 0)], column="clips"))
    assert accuracy(way.fit(some, 3e-3)(brightening), brightening.labels) > 0.9
    tuned = pl.fine_tune(pl.VideoMAEModel(SHAPE), some, 2, pl.TrainConfig(steps=2, batch_size=16, learning_rate=1e-3, device="cpu"))
    assert type(tuned) is pl.VideoMAEForVideoClassification and tuned.label_names == ["brighter", "darker"]
    pl.save_pretrained(tuned, tmp_path / "m")
    back = pl.load_pretrained(tmp_path / "m")
    assert back.label_names == tuned.label_names and torch.equal(back(brightening.clips), tuned(brightening.clips))


def test_a_probe_reads_frozen_features_of_clips(brightening):
    some = pl.labelled_subset(brightening, 20)
    probe = pl.LinearProbe(pl.VideoMAEModel(SHAPE))
    assert accuracy(fit_tuned(probe, some, 0)(brightening), brightening.labels) > 0.9
    still = pl.ClipDataset(brightening.clips.mean(1, keepdim=True).expand(-1, 4, -1, -1, -1).contiguous(), brightening.labels)
    few = pl.labelled_subset(still, 20)
    assert accuracy(probe.fit(few, 1.0)(still), still.labels) < 0.8  # what it knows by heart of the 40 among these 80
