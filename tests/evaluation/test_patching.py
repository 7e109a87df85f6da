"""Patching: a state that is copied whole brings all of the answer back, and states that nobody reads bring nothing."""

import pytest
import torch

from pretrain_lib.evaluation.patching import patching_map, recovered, state_at
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForCausalLM
from pretrain_lib.models.outputs import input_changed, output_changed, outputs_of

CONFIG = ModernBertConfig(30, 16, 16, 3, 2, 8, layer_types=("full_attention",) * 3, initializer_range=0.4)
CLEAN = torch.tensor([[7, 8, 9, 10, 11, 12]])
CORRUPTED = torch.tensor([[7, 8, 20, 10, 11, 12]])  # another third token


def model():
    return ModernBertForCausalLM(CONFIG, 3).double().train()


def score(logits):
    return (logits[0, -1, 5] - logits[0, -1, 6]).item()


def test_every_state_of_a_layer_brings_all_of_it_back():
    network = model().eval()
    with outputs_of(list(network.encoder.layers)) as states:
        clean = network(CLEAN)
    for layer, state in zip(network.encoder.layers, list(states), strict=True):
        with output_changed(layer, state_at(state, slice(None))):
            assert torch.allclose(network(CORRUPTED), clean, atol=1e-12)
    assert not torch.allclose(network(CORRUPTED), clean, atol=1e-3)


def test_the_map_is_that_of_copies_made_by_hand():
    network = model()
    found = patching_map(network, (CLEAN,), (CORRUPTED,), score)
    assert network.training and found.shape == (3, 6)
    network.eval()
    clean, corrupted = score(network(CLEAN)), score(network(CORRUPTED))
    with outputs_of([network.encoder.layers[0]]) as states:
        network(CLEAN)
    state = states[0].clone()

    def by_hand(part, inputs, output):
        output = output.clone()
        output[0, 3] = state[0, 3]
        return output

    hook = network.encoder.layers[0].register_forward_hook(by_hand)
    expected = (score(network(CORRUPTED)) - corrupted) / (clean - corrupted)
    hook.remove()
    assert found[0, 3].item() == pytest.approx(expected, abs=1e-10)


def test_what_cannot_have_been_read_brings_nothing_back():
    """Causal: before the third token both texts are one; the answer at the last is read one before."""
    found = patching_map(model(), (CLEAN,), (CORRUPTED,), score)
    assert found[:, :2].abs().max() < 1e-12
    assert found[-1].tolist() == pytest.approx([0, 0, 0, 0, 1, 0], abs=1e-12)
    assert found[0, 2].abs() > 0.1


def test_a_part_reads_and_answers_as_before_afterwards():
    network = model().eval()
    whole = network(CLEAN)
    part = network.encoder.layers[1].feed_forward
    with output_changed(part, lambda y: 2 * y):
        twice = network(CLEAN)
    with input_changed(part.down, lambda x: 2 * x):
        assert torch.allclose(network(CLEAN), twice, atol=1e-12)
    assert not torch.allclose(twice, whole) and torch.equal(network(CLEAN), whole)


def test_recovery_is_a_share_of_the_way():
    assert recovered(3.0, 5.0, 1.0) == 0.5 and recovered(1.0, 5.0, 1.0) == 0
    with pytest.raises(ValueError, match="both score 2.0: there is nothing to recover"):
        recovered(1.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="must be of one shape"):
        patching_map(model(), (CLEAN,), (CORRUPTED[:, :4],), score)
    network = model()
    with (pytest.raises(ValueError, match="both texts must be of one length"),
          output_changed(network.encoder.layers[0], state_at(torch.zeros(1, 4, 16), 0))):
        network(CLEAN)
