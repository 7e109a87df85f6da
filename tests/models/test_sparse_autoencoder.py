"""A sparse autoencoder: unit directions, the k largest, planted features found, scores by hand."""

import pytest
import torch

from pretrain_lib import Columns, Keys, Reconstruction, SparseAutoencoder, SparseAutoencoderConfig
from pretrain_lib import SparseReconstruction, TrainConfig, Trainer, sparse_scores

D, FEATURES = 8, 12


def planted(n=2000, active=2, seed=0):
    """Activations that are sums of few of FEATURES directions; and the directions, (D, FEATURES)."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(D, FEATURES, generator=torch.Generator().manual_seed(99)), dim=0)
    there = torch.rand(n, FEATURES, generator=generator) < active / FEATURES
    code = there * (1 + torch.rand(n, FEATURES, generator=generator))
    return code @ directions.T, directions


def trained(model, objective, steps=600):
    config = TrainConfig(steps=steps, batch_size=128, learning_rate=1e-2, device="cpu", precision="fp32")
    Trainer(model, objective, Columns(activations=planted()[0]), config).fit()
    return model.eval()


def test_by_hand():
    model = SparseAutoencoder(SparseAutoencoderConfig(2, 3, top_k=1), seed=0).double()
    with torch.no_grad():
        model.decoder.copy_(torch.tensor([[3.0, 0, 1], [0, 2, 1]]))
        model.encoder.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
        model.encoder.bias.copy_(torch.tensor([0.0, 0.5, -4]))
        model.centre.copy_(torch.tensor([1.0, 0]))
    x = torch.tensor([[3.0, 1.0], [0.0, 1.0], [-9.0, -9.0]], dtype=torch.double)
    assert model.encode(x).tolist() == [[2, 0, 0], [0, 1.5, 0], [0, 0, 0]]
    assert model(x).tolist() == [[3, 0], [1, 1.5], [1, 0]]
    assert torch.allclose(model.directions.norm(dim=0), torch.ones(3).double(), atol=1e-15)
    every = SparseAutoencoder(SparseAutoencoderConfig(2, 3), seed=0).double()
    every.load_state_dict(model.state_dict())
    assert every.encode(x).tolist() == [[2, 1.5, 0], [0, 1.5, 0], [0, 0, 0]]


def test_scores_are_those_counted_by_hand():
    model = SparseAutoencoder(SparseAutoencoderConfig(D, 20, top_k=3), seed=1)
    x = planted(200)[0]
    found, code = sparse_scores(model, x), model.encode(x)
    assert found.l0 == pytest.approx(sum(int((row != 0).sum()) for row in code) / 200)
    assert found.dead == sum(not code[:, f].any() for f in range(20)) / 20
    error, spread = (x - model(x)).square().sum(), (x - x.mean(0)).square().sum()
    assert found.explained_variance == pytest.approx(1 - (error / spread).item())
    with pytest.raises(ValueError, match="no variance to explain"):
        sparse_scores(model, torch.ones(3, D))


def test_a_penalty_is_added_to_the_squares():
    model = SparseAutoencoder(SparseAutoencoderConfig(D, 20), seed=1).double()
    source = Columns(activations=planted(10)[0].double())
    objective, keys = SparseReconstruction(0.3), Keys.of(0, 10)
    batch = objective.batch(source.take(keys), keys)
    terms = objective(model, batch)
    x = source.activations
    assert batch.counts == {"reconstruction": 10, "sparsity": 10} and objective.weights == {"sparsity": 0.3}
    assert terms["reconstruction"].item() == pytest.approx(0.5 * (x - model(x)).square().sum().item())
    assert terms["sparsity"].item() == pytest.approx(model.encode(x).sum().item())
    with pytest.raises(ValueError, match="l1 must be at least 0, got -1"):
        SparseReconstruction(-1.0)


def test_planted_features_are_found_though_they_are_more_than_the_numbers():
    x, directions = planted(500, seed=1)
    model = SparseAutoencoder(SparseAutoencoderConfig(D, 2 * FEATURES, top_k=3), seed=0)
    before = sparse_scores(model, x)
    trained(model, Reconstruction("activations"))
    found = sparse_scores(model, x)
    assert found.explained_variance > 0.9 > before.explained_variance and found.l0 <= 3
    cosines = (model.directions.T @ directions).max(0).values  # (FEATURES,)
    random = SparseAutoencoder(model.config, seed=5).directions.T @ directions
    assert cosines.mean() > random.max(0).values.mean() + 0.1
    assert torch.allclose(model.directions.norm(dim=0), torch.ones(2 * FEATURES), atol=1e-6)


def test_what_costs_more_is_used_less():
    x = planted(500, seed=1)[0]
    found = [sparse_scores(trained(SparseAutoencoder(SparseAutoencoderConfig(D, 2 * FEATURES), seed=0),
                                   SparseReconstruction(l1), steps=150), x) for l1 in (0.0, 1.0)]
    assert found[1].l0 < 0.7 * found[0].l0 and found[1].explained_variance < found[0].explained_variance


def test_the_centre_starts_at_the_mean():
    x = planted(50)[0] + 3
    model = SparseAutoencoder(SparseAutoencoderConfig(D, 4), seed=0).start_at(x)
    assert torch.equal(model.centre, x.mean(0))


@pytest.mark.parametrize(("settings", "message"), [
    ((0, 4), "input_size must be an integer of at least 1, got 0"),
    ((4, 8, 9), "top_k must be at most code_size=8, got 9"),
    ((4, 8, 0), "top_k must be an integer of at least 1, got 0"),
])  # fmt: skip
def test_sizes_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SparseAutoencoderConfig(*settings)
    with pytest.raises(ValueError, match=r"expected samples of shape \(8,\)"):
        SparseAutoencoder(SparseAutoencoderConfig(8, 9))(torch.zeros(2, 3))
