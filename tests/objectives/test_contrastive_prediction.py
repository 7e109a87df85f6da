"""ContrastivePrediction: the loss frame by frame, what it is told from, chance, and the leak that it must not have."""

import math

import pytest
import torch
from sounds import LENGTHS, SAMPLES, apart, sounds

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.contrastive_prediction import of_others

KEYS = Keys.of(0, range(SAMPLES))
FRAMES = [length // 2 for length in LENGTHS]
SLOTS, OFFSETS, SIZE = 8, 3, 6


def made(negatives):
    return pl.ContrastivePrediction(SIZE, 5, OFFSETS, SLOTS, negatives).double()


def batch_of(objective):
    return objective.batch(sounds().take(KEYS), KEYS)


@pytest.mark.parametrize("negatives", ["same", "other"])
def test_the_loss_is_what_its_definition_says(negatives):
    """Written out frame by frame: equation 4 with equation 3 as the score."""
    objective, model = made(negatives), apart().double()
    batch = batch_of(objective)
    contexts, places = model.contexts(batch.inputs["features"], batch.inputs["lengths"]), batch.inputs["places"]
    total, number = 0.0, 0
    for row, length in enumerate(FRAMES):
        others = [u for u in [*range(row + 1, SAMPLES), *range(row)]]
        drawn = [(row, places[row, s].item()) for s in range(SLOTS)]
        if negatives == "other":
            drawn = [(others[s % 5], places[others[s % 5], s].item()) for s in range(SLOTS)]
        for head, context, step in ((objective.onwards, contexts.earlier, 1), (objective.back, contexts.later, -1)):
            weights = head.weight.view(OFFSETS, SIZE, -1)
            for t in range(length):
                for k in range(1, OFFSETS + 1):
                    target = t + step * k
                    if not 0 <= target < length:
                        continue
                    candidates = [(row, target)] + [d for d in drawn if d != (row, target)]
                    scores = torch.stack([contexts.frames[u, f] @ weights[k - 1] @ context[row, t] for u, f in candidates])
                    total -= scores.log_softmax(0)[0].item()
                    number += 1
    assert batch.counts == {"contrastive": number}
    assert objective(model, batch)["contrastive"].item() == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("negatives", ["same", "other"])
def test_knowing_nothing_costs_the_log_of_the_candidates(negatives):
    objective, model = made(negatives), apart().double()
    torch.nn.init.zeros_(objective.onwards.weight)
    torch.nn.init.zeros_(objective.back.weight)
    batch = batch_of(objective)
    mean = objective(model, batch)["contrastive"].item() / batch.counts["contrastive"]
    assert mean <= math.log(1 + SLOTS) + 1e-12
    if negatives == "other":
        assert mean == pytest.approx(math.log(1 + SLOTS))


def test_drawn_frames_are_of_sound_and_depend_on_the_key_alone():
    objective = made("same")
    places = batch_of(objective).inputs["places"]
    assert places.shape == (SAMPLES, SLOTS) and (places >= 0).all() and (places < torch.tensor(FRAMES)[:, None]).all()
    for row in range(SAMPLES):
        keys = Keys.of(0, [row])
        assert torch.equal(objective.batch(sounds(steps=50).take(keys), keys).inputs["places"][0], places[row])


def test_others_are_all_the_others_in_turn():
    drawn = torch.stack([torch.full((7, 2), float(u)) for u in range(4)])
    found = of_others(drawn)[:, :, 0].long().tolist()
    assert found == [[1, 2, 3, 1, 2, 3, 1], [2, 3, 0, 2, 3, 0, 2], [3, 0, 1, 3, 0, 1, 3], [0, 1, 2, 0, 1, 2, 0]]


def test_a_prediction_does_not_hear_what_it_predicts():
    """Of kernels as long as their strides, what is told ahead has no step in common with what was heard."""
    model = pl.AcousticLSTM(pl.AcousticLSTMConfig(5, (6,), (2,), (2,), hidden_size=5, directions="apart")).double()
    x = sounds().features.requires_grad_()
    contexts = model.contexts(x)
    heard = torch.autograd.grad(contexts.earlier[0, 6].sum(), x, retain_graph=True)[0][0].abs().sum(1).nonzero()[:, 0]
    ahead = torch.autograd.grad(contexts.frames[0, 7].sum(), x, retain_graph=True)[0][0].abs().sum(1).nonzero()[:, 0]
    behind = torch.autograd.grad(contexts.later[0, 6].sum(), x)[0][0].abs().sum(1).nonzero()[:, 0]
    assert heard.max() == 13 and ahead.tolist() == [14, 15] and behind.min() == 12


def test_a_sound_of_one_frame_predicts_nothing():
    objective, keys = made("same"), Keys.of(0, range(2))
    batch = objective.batch({"features": sounds().features[:2], "lengths": torch.tensor([3, 2])}, keys)
    assert batch.counts == {"contrastive": 0}
    assert objective(apart().double(), batch)["contrastive"] == 0


def test_it_learns_to_tell_what_comes():
    """Each sound begins somewhere in the same round of 30 steps."""
    torch.manual_seed(0)
    round_of_steps = torch.randn(30, 5)
    features = torch.stack([round_of_steps.roll(-2 * int(s), 0) for s in torch.randint(0, 15, (64,))]) + 0.1 * torch.randn(64, 30, 5)
    source = pl.Columns(features=features, lengths=torch.full((64,), 30))
    config = pl.AcousticLSTMConfig(5, (12,), (2,), (2,), hidden_size=12, num_hidden_layers=1, directions="apart")
    trainer = pl.Trainer(pl.AcousticLSTM(config), pl.ContrastivePrediction(12, 12, 2, 8), source,
                         pl.TrainConfig(steps=60, batch_size=16, learning_rate=1e-2, device="cpu"))
    before = trainer.evaluate(source)["loss"]
    trainer.fit()
    assert trainer.evaluate(source)["loss"] < 0.4 * before


@pytest.mark.parametrize("settings, said", [
    ({"offsets": 0}, "offsets must be an integer of at least 1, got 0"),
    ({"num_negatives": 0}, "num_negatives must be an integer of at least 1"),
    ({"negatives": "mixed"}, "negatives must be one of same, other, got 'mixed'"),
])
def test_a_wrong_setting_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        pl.ContrastivePrediction(6, 5, **settings)
