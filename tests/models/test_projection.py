"""A projection head is linear layers with something between them."""

import pytest
import torch
from torch import nn

from pretrain_lib.models.projection import ProjectionHead


@pytest.mark.parametrize("norm, kind", [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)])
def test_it_is_layers_normed_and_cut_off_between(norm, kind):
    head = ProjectionHead((6, 5, 4, 3), norm).double()
    theirs = nn.Sequential(nn.Linear(6, 5), kind(5), nn.ReLU(), nn.Linear(5, 4), kind(4), nn.ReLU(), nn.Linear(4, 3)).double()
    theirs.load_state_dict({name.removeprefix("layers."): tensor for name, tensor in head.state_dict().items()})
    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(head(x), theirs(x), rtol=0, atol=1e-12)


def test_two_sizes_are_one_layer_and_one_is_none():
    x = torch.ones(2, 6)
    assert [type(layer) for layer in ProjectionHead((6, 3)).layers] == [nn.Linear]
    assert ProjectionHead((6,))(x) is x and not list(ProjectionHead((6,)).parameters())


def test_the_seed_is_that_of_the_first_weights_alone():
    state = torch.get_rng_state()
    one, same, other = (ProjectionHead((6, 5, 3), seed=seed).layers[0].weight for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("sizes, norm, message", [
    ((), "batch", r"projection must be at least one size, got \(\)"),
    ((6, 0), "batch", "projection must be whole numbers of at least 1"),
    ((6, True), "batch", "projection must be whole numbers of at least 1"),
    ((6, 3), "none", "norm must be one of batch, layer, got 'none'"),
])
def test_nonsense_is_refused(sizes, norm, message):
    with pytest.raises(ValueError, match=message):
        ProjectionHead(sizes, norm)


@pytest.mark.parametrize("shape", [(2, 5), (6,), (2, 6, 1, 1)])
def test_other_features_are_refused(shape):
    with pytest.raises(ValueError, match=r"projection must begin with the model's features, got \(6, 3\) for features of shape"):
        ProjectionHead((6, 3))(torch.ones(shape))
