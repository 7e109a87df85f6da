import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from pretrain_lib.models.before_transformers import (
    BidirectionalLSTM,
    BidirectionalLSTMConfig,
    NeuralProbabilisticLM,
    NeuralProbabilisticLMConfig,
)

V, T = 11, 9
MODELS = ["causal", "window", "lstm", "untied lstm"]


def build(kind: str, **settings):
    if "lstm" in kind:
        config = BidirectionalLSTMConfig(V, 5, 4, 2, tied=kind == "lstm", **settings)
        return BidirectionalLSTM(config).double().eval()
    config = NeuralProbabilisticLMConfig(V, order=4, embedding_size=5, hidden_size=6,
                                         two_sided=kind == "window", **settings)
    return NeuralProbabilisticLM(config).double().eval()


def tokens(batch: int = 2, length: int = T, seed: int = 0) -> torch.Tensor:
    return torch.randint(5, V, (batch, length), generator=torch.Generator().manual_seed(seed))


def depends_on(model, i: int) -> set[int]:
    """The positions whose token changes the prediction at position i."""
    ids = tokens(1)
    at = model(ids)[0, i]
    places = set()
    for j in range(T):
        changed = ids.clone()
        changed[0, j] = 5 + (ids[0, j] - 4) % (V - 5)
        if not torch.equal(model(changed)[0, i], at):
            places.add(j)
    return places


@pytest.mark.parametrize("kind", MODELS)
class TestTheCall:
    def test_positions_choose_rows_of_all_predictions(self, kind):
        model, ids = build(kind), tokens(3)
        positions = torch.tensor([[0, 8], [3, 3], [7, 0]])
        everywhere = model(ids)
        assert everywhere.shape == (3, T, V)
        chosen = torch.stack([everywhere[b, p] for b, p in enumerate(positions)])
        torch.testing.assert_close(model(ids, positions=positions), chosen, atol=1e-12, rtol=0)

    def test_padding_changes_nothing(self, kind):
        model, ids = build(kind), tokens(2)
        ids[1, 6:] = 0
        mask = (ids != 0).long()
        together = model(ids, attention_mask=mask)
        alone = model(ids[1:, :6])
        torch.testing.assert_close(together[1, :6], alone[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(together[0], model(ids[:1])[0], atol=1e-12, rtol=0)

    def test_pieces_of_a_block_do_not_see_each_other(self, kind):
        model, ids = build(kind), tokens(2)
        pieces = torch.tensor([[1] * 4 + [2] * 3 + [3] * 2, [1] * 9])
        packed = model(ids, attention_mask=pieces)
        alone = torch.cat([model(part) for part in ids[:1].split([4, 3, 2], dim=1)], dim=1)
        torch.testing.assert_close(packed[:1], alone, atol=1e-12, rtol=0)
        torch.testing.assert_close(packed[1:], model(ids[1:]), atol=1e-12, rtol=0)
        assert not torch.allclose(packed[0], model(ids)[0])

    def test_gradients_are_those_of_the_function(self, kind):
        model, ids = build(kind), tokens(1, 4)
        names, parameters = zip(*model.named_parameters(), strict=True)

        def loss(*values):
            logits = functional_call(model, dict(zip(names, values, strict=True)), (ids,))
            return logits.logsumexp(-1).sum() - logits[0, :, 7].sum()

        assert torch.autograd.gradcheck(loss, parameters, fast_mode=True)
        loss(*parameters).backward()
        assert all(p.grad.abs().sum() > 0 for p in parameters)

    def test_the_seed_decides_the_weights(self, kind):
        model = build(kind)
        again, other = type(model)(model.config, seed=0), type(model)(model.config, seed=1)
        first = model.float().state_dict()
        assert all(torch.equal(first[name], value) for name, value in again.state_dict().items())
        assert not torch.equal(first["embeddings.weight"], other.state_dict()["embeddings.weight"])


class TestNeuralProbabilisticLM:
    @pytest.mark.parametrize("direct", [True, False])
    def test_is_equation_1(self, direct):
        model = build("causal", direct=direct)
        p = {name: value.detach().numpy() for name, value in model.named_parameters()}
        ids = tokens(1)[0].tolist()
        for i in range(T):
            before = [ids[i - d] if i >= d else 0 for d in (1, 2, 3)]
            x = np.concatenate([p["embeddings.weight"][w] for w in before])
            a = np.tanh(p["hidden.bias"] + p["hidden.weight"] @ x)
            y = p["output.bias"] + p["output.weight"] @ a
            if direct:
                y = y + p["direct.weight"] @ x
            found = model(torch.tensor([ids]))[0, i].detach().numpy()
            np.testing.assert_allclose(found, y, atol=1e-12)

    @given(st.integers(0, T - 1))
    @settings(max_examples=T, deadline=None)
    def test_sees_the_tokens_before_and_no_others(self, i):
        assert depends_on(build("causal"), i) == set(range(max(0, i - 3), i))

    @given(st.integers(0, T - 1))
    @settings(max_examples=T, deadline=None)
    def test_the_window_sees_both_sides_and_not_the_blank(self, i):
        assert depends_on(build("window"), i) == set(range(max(0, i - 3), min(T, i + 4))) - {i}


class TestBidirectionalLSTM:
    def test_sees_everything(self):
        for i in (0, 4, T - 1):
            assert depends_on(build("lstm"), i) == set(range(T))

    def test_tied_it_has_no_output_matrix_of_its_own(self):
        tied, untied = build("lstm"), build("untied lstm")
        size = [sum(p.numel() for p in model.parameters()) for model in (tied, untied)]
        assert size[1] - size[0] == V * 5

    def test_dropout_acts_in_training_only(self):
        model, ids = build("lstm", dropout=0.5), tokens(1)
        assert torch.equal(model(ids), model(ids))
        model.train()
        assert not torch.equal(model(ids), model(ids))


@pytest.mark.parametrize(("config", "settings", "message"), [
    (NeuralProbabilisticLMConfig, {"order": 1}, "order must be an integer of at least 2, got 1"),
    (NeuralProbabilisticLMConfig, {"hidden_size": 0}, "hidden_size must be .* got 0"),
    (NeuralProbabilisticLMConfig, {"pad_token_id": V}, "pad_token_id must be an id below"),
    (BidirectionalLSTMConfig, {"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    (BidirectionalLSTMConfig, {"num_hidden_layers": 0}, "num_hidden_layers must be .* got 0"),
])
def test_a_wrong_field_is_named(config, settings, message):
    with pytest.raises(ValueError, match=message):
        config(vocab_size=V, **settings)
