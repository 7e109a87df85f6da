"""Initialisation: variances in closed form, and the signal that survives a deep network."""

import pytest
import torch
from torch import nn

from pretrain_lib import (
    Autoencoder,
    AutoencoderConfig,
    MaskedAutoencoder,
    MaskedAutoencoderConfig,
)
from pretrain_lib.models.init import initialise

N, M = 400, 600  # inputs, outputs
TRUNCATED = 0.773741  # variance of a standard normal that is cut off at two standard deviations


@pytest.mark.parametrize(
    "scheme, options, variance",
    [
        ("normal", {}, 0.02**2),
        ("normal", {"std": 0.5}, 0.25),
        ("truncated_normal", {"std": 0.1}, 0.01 * TRUNCATED),
        ("xavier", {}, 2 / (N + M)),
        ("xavier", {"gain": 3}, 9 * 2 / (N + M)),
        ("kaiming", {}, 2 / N),
        ("kaiming", {"gain": 0.5}, 0.25 * 2 / N),
        ("orthogonal", {}, 1 / M),
    ],
)
def test_variances(scheme, options, variance):
    layer = initialise(nn.Linear(N, M), scheme, **options)
    weight = layer.weight.double()
    assert weight.var().item() == pytest.approx(variance, rel=0.02)
    assert weight.mean().abs() < 5 * (variance / weight.numel()) ** 0.5
    assert layer.bias.abs().max() == 0


def test_bounds():
    assert initialise(nn.Linear(N, M), "truncated_normal").weight.abs().max() <= 0.04
    assert initialise(nn.Linear(N, M), "xavier").weight.abs().max() <= (6 / (N + M)) ** 0.5


@pytest.mark.parametrize(
    "scheme, variance", [("xavier", 2 / (9 * (30 + 70))), ("kaiming", 2 / (9 * 30))]
)
def test_convolutions_count_their_kernel(scheme, variance):
    weight = initialise(nn.Conv2d(30, 70, 3), scheme).weight
    assert weight.var().item() == pytest.approx(variance, rel=0.05)


def test_orthogonal_matrices_are():
    for shape in [(5, 9), (9, 5)]:
        weight = initialise(nn.Linear(*shape), "orthogonal", gain=2).weight.double()
        small = weight @ weight.T if shape[0] > shape[1] else weight.T @ weight
        torch.testing.assert_close(small, 4 * torch.eye(5, dtype=torch.float64), atol=1e-5, rtol=0)


def deep(activation, depth=30, width=200):
    layers = [module for _ in range(depth) for module in (nn.Linear(width, width), activation())]
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    "activation, scheme",
    [(nn.ReLU, "kaiming"), (nn.Identity, "xavier"), (nn.Identity, "orthogonal")],
)
def test_the_right_scheme_keeps_a_signal_through_thirty_layers(activation, scheme):
    x = torch.randn(500, 200, generator=torch.Generator().manual_seed(0))
    right = initialise(deep(activation), scheme)(x).square().mean().sqrt()
    wrong = initialise(deep(activation), "normal")(x).square().mean().sqrt()
    assert 0.1 < right < 10
    assert wrong < 1e-10


def test_the_seed_decides_and_nothing_else():
    def weights(seed):
        model = initialise(Autoencoder(AutoencoderConfig((10,), (8,), 4)), seed=seed)
        return torch.cat([p.flatten() for p in model.parameters()])

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_norms_and_tied_biases_are_reset():
    masked = MaskedAutoencoder(MaskedAutoencoderConfig())
    tied = Autoencoder(AutoencoderConfig((10,), (8,), 4, tied_weights=True))
    with torch.no_grad():
        for model in (masked, tied):
            for parameter in model.parameters():
                parameter.fill_(7.0)
            initialise(model)
    assert (masked.encoder[1].norm.weight == 1).all() and (masked.encoder[1].norm.bias == 0).all()
    assert (tied.decoder[0].bias == 0).all()
    assert not (tied.encoder[0].weight == 7).any()


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"scheme": "he"},
            "scheme must be one of normal, truncated_normal, xavier, kaiming, orthogonal, got 'he'",
        ),
        ({"std": 0}, "std must be above 0, got 0"),
        ({"gain": -1}, "gain must be above 0, got -1"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        initialise(nn.Linear(2, 2), **options)
