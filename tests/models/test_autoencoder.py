"""Autoencoders: shapes, ties, independence of the batch, and configurations that are refused."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib import (
    Autoencoder,
    AutoencoderConfig,
    ConvAutoencoder,
    ConvAutoencoderConfig,
    LinearAutoencoder,
    MaskedAutoencoder,
    MaskedAutoencoderConfig,
)

MODELS = {
    "linear": lambda: LinearAutoencoder(192, 5),
    "tied linear": lambda: LinearAutoencoder(192, 5, tied=True),
    "deep": lambda: Autoencoder(AutoencoderConfig((3, 8, 8), (20, 10), 5, dropout=0.2)),
    "tied deep": lambda: Autoencoder(AutoencoderConfig((3, 8, 8), (20, 10), 5, tied_weights=True)),
    "convolutional": lambda: ConvAutoencoder(ConvAutoencoderConfig((3, 8, 8), 5, channels=(4, 8))),
    "masked": lambda: MaskedAutoencoder(MaskedAutoencoderConfig((3, 8, 8), (4, 8), pool_size=2)),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


def test_reconstructions_are_like_the_input(model):
    x = torch.rand(7, 3, 8, 8)
    assert model(x).shape == x.shape
    assert model.encode(x).shape[0] == 7 and model.encode(x).ndim == 2
    if not isinstance(model, MaskedAutoencoder):
        assert model.encode(x).shape == (7, 5)
        assert torch.equal(model.decode(model.encode(x)).reshape(x.shape), model(x))


def test_a_sample_does_not_depend_on_its_batch(model):
    model.double()
    x = torch.rand(6, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), atol=1e-12, rtol=0)


def test_every_parameter_gets_a_gradient(model):
    model(torch.rand(4, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_copies_are_independent(model):
    x = torch.rand(2, 3, 8, 8)
    before = model(x)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(model(x), before)
    assert twin(x).abs().max() == 0


def test_the_linear_autoencoder_is_two_matrices():
    model = LinearAutoencoder(6, 2)
    x = torch.rand(4, 6)
    assert model.encoder.weight.shape == (2, 6) and model.decoder.weight.shape == (6, 2)
    torch.testing.assert_close(model(x), x @ model.encoder.weight.T @ model.decoder.weight.T)


def test_tied_weights_are_one_parameter():
    model = LinearAutoencoder(6, 2, tied=True)
    assert [tuple(p.shape) for p in model.parameters()] == [(2, 6)]
    assert torch.equal(model.decoder.weight, model.encoder.weight.T)
    model.double()
    model.load_state_dict({"encoder.weight": torch.arange(12.0).reshape(2, 6)})
    assert torch.equal(model.decoder.weight, torch.arange(12.0).double().reshape(2, 6).T)

    free, tied = (
        sum(p.numel() for p in MODELS[name]().parameters()) for name in ("deep", "tied deep")
    )
    assert free - tied == 192 * 20 + 20 * 10 + 10 * 5


def test_the_gradient_of_tied_weights_is_the_sum_of_both():
    tied, free = LinearAutoencoder(6, 2, tied=True), LinearAutoencoder(6, 2)
    free.load_state_dict(
        {"encoder.weight": tied.encoder.weight, "decoder.weight": tied.decoder.weight}
    )
    x = torch.rand(4, 6)
    for model in (tied, free):
        (model(x) - x).square().sum().backward()
    torch.testing.assert_close(
        tied.encoder.weight.grad, free.encoder.weight.grad + free.decoder.weight.grad.T
    )


def test_outputs_and_dropout():
    x = 5 * torch.randn(3, 4)
    bounded = Autoencoder(AutoencoderConfig((4,), (), 2, output="sigmoid"))(x)
    assert 0 < bounded.min() and bounded.max() < 1
    dropped = Autoencoder(AutoencoderConfig((4,), (50,), 2, dropout=0.5))
    assert not torch.equal(dropped(x), dropped(x))
    assert torch.equal(dropped.eval()(x), dropped(x))


def test_one_hidden_layer_can_be_larger_than_the_input():
    config = AutoencoderConfig(
        (4,), (), 9, code_activation="sigmoid", overcomplete=True, tied_weights=True
    )
    code = Autoencoder(config).encode(torch.randn(3, 4))
    assert code.shape == (3, 9) and 0 < code.min() and code.max() < 1


def test_the_masked_autoencoder_does_not_see_what_is_hidden():
    model = MODELS["masked"]()
    images, other = torch.rand(2, 2, 3, 8, 8)
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, :4] = 1
    hidden_differently = torch.where(mask.bool(), other, images)
    assert torch.equal(model(images, mask), model(hidden_differently, mask))
    assert torch.equal(model.encode(images, mask), model.encode(hidden_differently, mask))
    assert not torch.equal(model(images), model(hidden_differently))


def test_the_masked_autoencoder_tells_black_from_hidden():
    model = MODELS["masked"]()
    black, mask = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    assert not torch.allclose(model(black), model(black, mask))
    assert torch.equal(model.encode(black), model.encode(black, torch.zeros_like(mask)))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_images_of_any_fitting_size(colours, height, width, stages):
    shape = (colours, height * 2**stages, width * 2**stages)
    channels = (3, 4, 5)[:stages]
    x = torch.rand(2, *shape)
    assert ConvAutoencoder(ConvAutoencoderConfig(shape, 3, channels=channels))(x).shape == x.shape
    assert (
        MaskedAutoencoder(MaskedAutoencoderConfig(shape, channels, pool_size=1))(x).shape == x.shape
    )


@pytest.mark.parametrize("name", ["deep", "convolutional", "masked"])
def test_samples_of_another_shape_are_refused(name):
    with pytest.raises(ValueError, match=r"expected samples of shape \(3, 8, 8\), got \(3, 8, 4\)"):
        MODELS[name]()(torch.rand(2, 3, 8, 4))


def test_samples_of_another_size_are_refused():
    with pytest.raises(ValueError, match="expected samples of 192 numbers, got 784"):
        MODELS["linear"]()(torch.rand(2, 1, 28, 28))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: LinearAutoencoder(6, 0), "code_size must be an integer of at least 1, got 0"),
        (lambda: LinearAutoencoder(6, 7), "code_size must be at most the input's size, 6, got 7"),
        (lambda: LinearAutoencoder(6, 2.0), "code_size must be an integer"),
        (lambda: LinearAutoencoder(0, 1), "input_size must be"),
        (
            lambda: AutoencoderConfig(code_size=0),
            "code_size must be an integer of at least 1, got 0",
        ),
        (
            lambda: AutoencoderConfig(code_size=785),
            "code_size must be at most the input's size, 784.*overcomplete=True",
        ),
        (
            lambda: AutoencoderConfig(code_size=-1, overcomplete=True),
            "code_size must be an integer of at least 1",
        ),
        (
            lambda: AutoencoderConfig(dropout=-0.1),
            "dropout must be at least 0 and below 1, got -0.1",
        ),
        (lambda: AutoencoderConfig(dropout=1.0), "dropout must be at least 0 and below 1, got 1.0"),
        (
            lambda: AutoencoderConfig(activation="swish"),
            "activation must be one of relu, gelu, .*, got 'swish'",
        ),
        (lambda: AutoencoderConfig(code_activation="swish"), "code_activation must be one of"),
        (
            lambda: AutoencoderConfig(output="tanh"),
            "output must be one of linear, sigmoid, got 'tanh'",
        ),
        (
            lambda: AutoencoderConfig(hidden_sizes=(10, 0)),
            r"hidden_sizes must be .*, got \(10, 0\)",
        ),
        (lambda: AutoencoderConfig(input_shape=()), r"input_shape must be .*, got \(\)"),
        (lambda: ConvAutoencoderConfig(code_size=0), "code_size must be an integer of at least 1"),
        (lambda: ConvAutoencoderConfig(code_size=785), "code_size must be at most"),
        (
            lambda: ConvAutoencoderConfig((28, 28)),
            r"input_shape must be \(channels, height, width\)",
        ),
        (lambda: ConvAutoencoderConfig((1, 28, 30)), "sides divisible by 4"),
        (lambda: ConvAutoencoderConfig(channels=()), "channels must be"),
        (lambda: ConvAutoencoderConfig(hidden_size=0), "hidden_size must be"),
        (lambda: ConvAutoencoderConfig(output="relu"), "output must be one of"),
        (lambda: MaskedAutoencoderConfig(num_blocks=-1), "num_blocks must be at least 0, got -1"),
        (
            lambda: MaskedAutoencoderConfig(pool_size=8),
            "pool_size must be from 1 to the map's side, 7, got 8",
        ),
        (lambda: MaskedAutoencoderConfig((1, 8, 9)), "sides divisible by 4"),
        (
            lambda: MaskedAutoencoderConfig((1, 8, 8)),
            "pool_size must be from 1 to the map's side, 2, got 3",
        ),
    ],
)
def test_configurations_that_cannot_work_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
