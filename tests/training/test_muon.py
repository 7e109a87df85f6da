import pytest
import torch
from torch import nn
from toys import config, mlp, same_bits, trained, vectors, weights

from pretrain_lib.models.layers import Attention
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.muon import LIKE_ADAMW, Muon, orthogonalise
from pretrain_lib.training.trainer import Trainer


def singular_value_product(matrix):
    """U Vᵀ of the singular value decomposition: what the iteration approximates."""
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    return u @ v


def test_orthogonalising_keeps_directions_and_evens_out_strengths():
    generator = torch.Generator().manual_seed(0)
    for n, m in [(16, 48), (8, 24), (24, 8)]:
        x = torch.randn(5, n, m, generator=generator)
        y = orthogonalise(x)
        values = torch.linalg.svdvals(y)
        assert y.shape == x.shape
        assert 0.5 < values.min() and values.max() < 1.3
        exact = singular_value_product(x)
        assert (y - exact).norm() < 0.35 * exact.norm()


def test_the_first_update_is_the_scaled_orthogonal_matrix():
    layer = nn.Linear(6, 10, bias=False)
    before = layer.weight.detach().clone()
    optimizer = Muon(layer, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.5)
    layer.weight.grad = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))
    optimizer.step()
    step = LIKE_ADAMW * 10**0.5 * orthogonalise(layer.weight.grad[None])[0]
    assert torch.allclose(layer.weight, before * (1 - 0.1 * 0.5) - 0.1 * step, atol=1e-6)


def test_stacked_matrices_are_taken_apart():
    attention = Attention(8, 2, bias=False, dropout=0.0)
    before = attention.qkv.weight.detach().clone()
    optimizer = Muon(attention, lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    for p in attention.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    attention.qkv.weight.grad[:8] *= 1e4  # the queries' gradient must not silence the others'
    optimizer.step()
    for old, new in zip(before.chunk(3), attention.qkv.weight.chunk(3), strict=True):
        values = torch.linalg.svdvals(old - new) / (LIKE_ADAMW * 8**0.5)
        assert 0.3 < values.min() and values.max() < 1.3


def test_all_but_matrices_between_layers_is_trained_by_adamw():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    twin = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    twin.load_state_dict(net.state_dict())
    ours = Muon(net, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    matrices = [p for p in twin.parameters() if p.ndim == 2]
    vectors = [p for p in twin.parameters() if p.ndim == 1]
    theirs = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                                {"params": vectors, "weight_decay": 0.0}], lr=0.01,
                               betas=(0.9, 0.99))
    for _ in range(3):
        for one, two in zip(net.parameters(), twin.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            two.grad = one.grad.clone()
        ours.step()
        theirs.step()
    for (name, one), two in zip(net.named_parameters(), twin.parameters(), strict=True):
        if name != "2.weight":
            assert torch.allclose(one, two, atol=1e-6), name


def test_a_run_under_muon_resumes_bit_for_bit(tmp_path):
    settings = {"optimizer": "muon", "learning_rate": 0.01, "steps": 12, "checkpoint_every": 5}
    whole = trained(Reconstruction(), config(**settings))
    first = Trainer(mlp(), Reconstruction(), vectors(), config(**settings), folder=tmp_path)
    stop_at = 5
    save = first.save

    def save_and_stop():
        save()
        raise KeyboardInterrupt

    first.save = save_and_stop
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    assert first.step == 5
    second = Trainer(mlp(), Reconstruction(), vectors(), config(**settings), folder=tmp_path)
    second.fit()
    assert same_bits(weights(second.model), weights(whole.model))
