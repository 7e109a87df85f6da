"""MaskedFrames: how much is hidden and where, what is scored, and what is refused."""

import math

import pytest
import torch
from sounds import CLUSTERS, LENGTHS, MELS, SAMPLES, blstm, sounds, transformer
from torch.nn import functional as F

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.frames import span_mask

KEYS = Keys.of(0, range(SAMPLES))


@pytest.mark.parametrize("ratio", [0.1, 0.49, 0.65, 0.99])
@pytest.mark.parametrize("span", [1, 4, 10])
def test_the_share_that_is_stated_is_hidden_in_spans(ratio, span):
    lengths = torch.tensor([120, 37, 20, 2, 1, 99])
    hidden = span_mask(KEYS, lengths, 120, ratio, span)
    for row, length in zip(hidden, lengths.tolist(), strict=True):
        number = min(max(round(ratio * length), 1), length - 1)
        assert row[:length].sum() == number and not row[length:].any()
        ends = F.pad(row.long(), (1, 1)).diff()
        runs = (ends == -1).nonzero()[:, 0] - (ends == 1).nonzero()[:, 0]
        assert len(runs) <= math.ceil(number / span) and (runs % span > 0).sum() <= 1  # runs are of whole spans but one


def test_every_frame_is_hidden_now_and_then_and_each_epoch_hides_others():
    keys = Keys.of(0, range(400))
    hidden = span_mask(keys, torch.full((400,), 30), 30, 0.4, 4).float()
    share = hidden.mean(0)
    assert 0.08 < share.min() and 0.3 < share[2:-2].min() and share.max() < 0.55 and share.mean() == pytest.approx(0.4)  # seldom at the ends
    assert not torch.equal(hidden, span_mask(Keys.of(0, range(400), epoch=1), torch.full((400,), 30), 30, 0.4, 4).float())


def test_what_is_hidden_of_a_sound_depends_on_its_key_alone():
    lengths = torch.tensor(LENGTHS) // 2
    whole = span_mask(KEYS, lengths, 20, 0.5, 3)
    for row in range(SAMPLES):
        alone = span_mask(Keys.of(0, [row]), lengths[row:row + 1], 31, 0.5, 3)
        assert torch.equal(alone[0, :lengths[row]], whole[row, :lengths[row]])


def batch_of(objective, source=None):
    return objective.batch((source or sounds()).take(KEYS), KEYS)


def test_the_loss_is_half_the_squared_error_of_the_steps_of_hidden_frames():
    objective, model = pl.MaskedFrames(8, 2 * MELS, ratio=0.4, span=3).double(), transformer().double()
    torch.nn.init.normal_(objective.head.weight, generator=torch.Generator().manual_seed(0))
    batch = batch_of(objective)
    hidden = batch.inputs["hidden"]
    vectors = model(batch.inputs["features"], batch.inputs["lengths"], hidden)
    total, number = 0.0, 0
    for row in range(SAMPLES):
        for frame in range(LENGTHS[row] // 2):
            if hidden[row, frame]:
                steps = torch.cat([sounds().features[row, 2 * frame], sounds().features[row, 2 * frame + 1]])
                total += 0.5 * (objective.head(vectors[row, frame]) - steps).square().sum().item()
                number += 2 * MELS
    assert batch.counts == {"masked_features": number}
    assert objective(model, batch)["masked_features"].item() == pytest.approx(total, rel=1e-12)


def test_of_clusters_it_is_the_cross_entropy_of_cosines_of_hidden_frames():
    objective, model = pl.MaskedFrames(10, CLUSTERS, "clusters", ratio=0.4, span=3).double(), blstm().double()
    batch = batch_of(objective)
    hidden = batch.inputs["hidden"]
    vectors = model(batch.inputs["features"], batch.inputs["lengths"], hidden)
    total, number = 0.0, 0
    for row in range(SAMPLES):
        for frame in hidden[row].nonzero()[:, 0].tolist():
            projected = objective.head.project(vectors[row, frame][None])[0]
            cosines = torch.stack([F.cosine_similarity(projected, e, dim=0) for e in objective.head.prototypes.weight])
            total -= (cosines / 0.1).log_softmax(0)[sounds().clusters[row, frame]].item()
            number += 1
    assert batch.counts == {"masked_clusters": number}
    assert objective(model, batch)["masked_clusters"].item() == pytest.approx(total, rel=1e-10)


def test_frames_without_a_cluster_do_not_count():
    source = sounds()
    source.columns["clusters"] = source.clusters.clone()
    source.clusters[0] = -100
    objective, model = pl.MaskedFrames(10, CLUSTERS, "clusters").double(), blstm().double()
    batch = batch_of(objective, source)
    assert batch.counts["masked_clusters"] == batch.inputs["hidden"][1:].sum()
    batch.targets["clusters"][:] = -100
    assert objective(model, batch)["masked_clusters"] == 0


def test_clusters_at_another_rate_are_refused():
    source = sounds()
    source.columns["clusters"] = torch.zeros(SAMPLES, 40, dtype=torch.long)
    with pytest.raises(ValueError, match=r"clusters must be \(B, 20\), one for each frame of the model, got \(6, 40\)"):
        batch_of(pl.MaskedFrames(10, CLUSTERS, "clusters"), source)


def test_waves_are_hidden_as_wav2vec2_hides_them():
    """A frame of 400 samples each 320, in small: the window is longer than the stride."""
    config = pl.Wav2Vec2Config(16, 1, 2, 24, (8, 8), (6, 3), (4, 2), feat_extract_norm="layer", num_conv_pos_embeddings=4,
                               num_conv_pos_embedding_groups=2)
    model = pl.Wav2Vec2Model(config)
    waves = torch.randn(3, 150, generator=torch.Generator().manual_seed(0))
    clusters = torch.randint(0, CLUSTERS, (3, 18), generator=torch.Generator().manual_seed(1))
    objective = pl.MaskedFrames(16, CLUSTERS, "clusters", stride=8, window=14, column="waves", span=2)
    keys = Keys.of(0, range(3))
    batch = objective.batch({"waves": waves, "lengths": torch.tensor([150, 90, 71]), "clusters": clusters}, keys)
    assert batch.inputs["hidden"].shape == (3, 18) and batch.inputs["hidden"].sum(1).tolist() == [9, 5, 4]
    terms = objective(model, batch)
    terms["masked_clusters"].backward()
    assert model.mask_vector.grad.abs().sum() > 0


@pytest.mark.parametrize("settings, said", [
    ({"ratio": 0.0}, "ratio must be strictly between 0 and 1, got 0.0"),
    ({"ratio": 1.0}, "ratio must be strictly between 0 and 1, got 1.0"),
    ({"span": 0}, "span must be an integer of at least 1, got 0"),
    ({"targets": "phones"}, "targets must be one of features, clusters, got 'phones'"),
    ({"window": -1}, "window must be an integer of at least 0"),
])
def test_a_wrong_setting_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        pl.MaskedFrames(8, 10, **settings)


def test_targets_of_another_size_are_refused():
    with pytest.raises(ValueError, match="target_size must be 10, the numbers in 2 steps of features, got 9"):
        batch_of(pl.MaskedFrames(8, 9))
    with pytest.raises(ValueError, match="target_size must be above 6, a cluster that there is, got 3"):
        batch_of(pl.MaskedFrames(8, 3, "clusters", ratio=0.9))
    source = sounds()
    del source.columns["clusters"]
    with pytest.raises(ValueError, match="no column 'clusters'; its columns are"):
        batch_of(pl.MaskedFrames(8, 3, "clusters"), source)


def test_a_model_without_a_vector_for_hidden_frames_says_so():
    config = pl.Wav2Vec2Config(16, 1, 2, 24, (8,), (6,), (4,), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, masked=False)
    with pytest.raises(ValueError, match="no vector for hidden frames: build it with masked=True"):
        pl.Wav2Vec2Model(config).frames(torch.randn(1, 30), hidden=torch.ones(1, 7, dtype=torch.bool))
