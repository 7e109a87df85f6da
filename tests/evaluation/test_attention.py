"""Attention maps: those of transformers, patterns by hand, heads left out, and induction."""

import math

import pytest
import torch

from pretrain_lib import save_pretrained
from pretrain_lib.compression.importance import Gates, gated
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.repeats import RepeatedSegments
from pretrain_lib.evaluation.attention import (
    attention_probabilities,
    head_patterns,
    induction_score,
    scores_without_each,
    weight_on,
    without_heads,
)
from pretrain_lib.models.bert import BertConfig, BertForMaskedLM, BertModel
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForCausalLM, ModernBertModel
from pretrain_lib.models.vit import ViTConfig, ViTModel

V, T, HEADS = 40, 12, 3
SHAPES = {BertModel: BertConfig(V, 24, 2, HEADS, 40, 0.0, 0.0, T, initializer_range=0.3),
          ModernBertModel: ModernBertConfig(V, 24, 20, 4, HEADS, T, local_attention=4, initializer_range=0.3)}
EACH = pytest.mark.parametrize("kind", SHAPES)


def texts(n=3):
    ids = torch.randint(5, V, (n, T), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(T) < torch.tensor([[T], [7], [4]])).long()
    return ids * mask, mask


def made(kind):
    return kind(SHAPES[kind], seed=1).double().eval()


def some_probabilities(batch=2, length=6, seed=0):
    scores = torch.randn(batch, HEADS, length, length, generator=torch.Generator().manual_seed(seed))
    return scores.double().softmax(-1)


def in_full_precision(monkeypatch):
    """Even in float64, transformers' ModernBERT rounds to float32 where it turns, and in its softmax."""
    from transformers.models.bert import modeling_bert
    from transformers.models.modernbert import modeling_modernbert

    def turned(q, k, cos, sin, unsqueeze_dim=1):
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        half = modeling_modernbert.rotate_half
        return q * cos + half(q) * sin, k * cos + half(k) * sin

    monkeypatch.setattr(modeling_modernbert, "apply_rotary_pos_emb", turned)
    monkeypatch.setattr(modeling_modernbert, "eager_attention_forward", modeling_bert.eager_attention_forward)


@EACH
def test_probabilities_are_those_of_transformers(kind, tmp_path, monkeypatch):
    import transformers

    in_full_precision(monkeypatch)
    model, (ids, mask) = made(kind), texts()
    save_pretrained(model, tmp_path / "m")
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "m", attn_implementation="eager", dtype=torch.float64)
    with torch.no_grad():
        expected = theirs.eval()(ids, mask, output_attentions=True).attentions
        alone = model(ids, mask)
        with attention_probabilities(model) as found:
            watched = model(ids, mask)
    assert torch.equal(alone, watched) and len(found) == len(expected) == len(model.layers)
    real = mask.bool()
    for ours, other in zip(found, expected, strict=True):
        rows = (ours - other).transpose(1, 2)[real]  # of padding, the two see other padding
        assert rows.abs().max() < 1e-10 and torch.allclose(ours.sum(-1), torch.ones(1).double(), atol=1e-12)


@EACH
def test_probabilities_times_values_are_what_the_layer_answers(kind):
    model, (ids, mask) = made(kind), texts()
    part, seen = model.layers[-1].attention, {}
    part.register_forward_hook(lambda part, inputs, answer: seen.update(x=inputs[0], y=answer))
    with attention_probabilities(model) as found:
        model(ids, mask)
    values = part.queries_keys_values(seen["x"], None)[2]
    assert torch.allclose(part.output((found[-1] @ values).transpose(1, 2).flatten(2)), seen["y"], atol=1e-12)


def test_the_causal_form_looks_back_alone_and_asked_positions_have_their_rows():
    model = ModernBertForCausalLM(SHAPES[ModernBertModel], 1).double().eval()
    with attention_probabilities(model) as found:
        model(texts()[0])
    assert all(torch.equal(each, each.tril()) for each in found)
    model, (ids, mask) = BertForMaskedLM(SHAPES[BertModel], 1).double().eval(), texts()
    with attention_probabilities(model) as found:
        model(ids, mask)
    positions = torch.tensor([[3, 0], [1, 1], [2, 3]])
    with attention_probabilities(model) as some:
        model(ids, mask, positions=positions)
    for row in range(3):
        assert torch.allclose(some[-1][row], found[-1][row][:, positions[row]], atol=1e-12)
    assert torch.equal(some[0], found[0])
    with pytest.raises(ValueError, match="call the model without `positions`"):
        head_patterns(some[-1])


def test_a_vit_shows_its_attention_too():
    model = ViTModel(ViTConfig(image_size=8, patch_size=4, num_channels=1, hidden_size=16, num_hidden_layers=2,
                               num_attention_heads=2, intermediate_size=8))
    with attention_probabilities(model) as found:
        model(torch.zeros(2, 1, 8, 8))
    assert [each.shape for each in found] == [(2, 2, 5, 5)] * 2


def test_patterns_are_means_over_the_positions_that_have_them():
    probabilities = some_probabilities()
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    found = head_patterns(probabilities, mask)
    for head in range(HEADS):
        sums = {name: [] for name in found}
        for b, length in enumerate((6, 4)):
            for i in range(length):
                p = probabilities[b, head, i].tolist()
                if i > 0:
                    sums["previous"].append(p[i - 1])
                if i + 1 < length:
                    sums["next"].append(p[i + 1])
                sums["same"].append(p[i])
                sums["first"].append(p[0])
                sums["distance"].append(sum(w * abs(i - j) for j, w in enumerate(p)))
                sums["entropy"].append(-sum(w * math.log(w) for w in p))
        for name, values in sums.items():
            assert found[name][head].item() == pytest.approx(sum(values) / len(values), abs=1e-12)


def test_uniform_and_planted_heads():
    uniform, shift = torch.full((1, 1, 4, 4), 0.25).double(), torch.eye(4).double().roll(1, 0)[None, None]
    found = head_patterns(torch.cat([uniform, shift], 1))
    assert found["entropy"].tolist() == pytest.approx([math.log(4), 0])
    assert found["previous"].tolist() == [0.25, 1.0] and found["same"].tolist() == [0.25, 0.0]
    assert found["distance"][0].item() == pytest.approx(20 / 16)
    chosen = torch.tensor([[True, False, False, True]])
    assert weight_on(torch.cat([uniform, shift], 1), chosen).tolist() == [0.5, 0.5]
    assert weight_on(uniform, ~chosen, torch.tensor([[1, 0, 0, 0]])).tolist() == [0.5]


@EACH
def test_heads_left_out_are_those_of_closed_gates(kind):
    model, (ids, mask) = made(kind), texts()
    whole = model(ids, mask)
    closed = Gates(heads={0: torch.tensor([[1.0, 0.0, 1.0]]), 1: torch.tensor([[0.0, 1.0, 0.0]])})
    with gated(model, closed):
        expected = model(ids, mask)
    with without_heads(model, {0: [1], 1: [0, 2]}):
        found = model(ids, mask)
    assert torch.allclose(found, expected, atol=1e-12) and not torch.allclose(found, whole, atol=1e-3)
    assert torch.equal(model(ids, mask), whole)
    scores = scores_without_each(model, lambda: model(ids, mask).sum().item())
    with without_heads(model, {1: [2]}):
        assert scores[1, 2].item() == pytest.approx(model(ids, mask).sum().item())
    assert scores.shape == (len(model.layers), HEADS) and scores.isfinite().all()
    for heads in ({9: [0]}, {0: [3]}, {-1: [0]}):
        with pytest.raises(ValueError, match="there are layers 0 to"), without_heads(model, heads):
            pass


def test_segments_come_again_after_their_period():
    source = RepeatedSegments(vocab_size=25, length=40, periods=(4, 9), latest_start=5)
    rows = source.take(Keys.of(3, 400))
    ids, start, period = (rows[name] for name in ("input_ids", "start", "period"))
    assert ids.min() >= 5 and ids.max() < 25 and ids.shape == (400, 40)
    assert set(start.tolist()) == set(range(6)) and set(period.tolist()) == set(range(4, 10))
    for row in range(400):
        s, p = int(start[row]), int(period[row])
        assert torch.equal(ids[row, s + p:], ids[row, s:-p])
    again = source.take(Keys.of(3, [7, 2]))
    assert torch.equal(again["input_ids"], ids[[7, 2]])
    other = source.take(Keys.of(3, 400, epoch=1))["input_ids"]
    assert (other == ids).double().mean() < 0.1
    assert torch.bincount(ids.flatten())[5:].float().std() / (16000 / 20) < 0.1


def test_a_perfect_induction_head_scores_one_and_a_fixed_distance_does_not():
    rows = RepeatedSegments(length=30, periods=(3, 8), latest_start=4).take(Keys.of(0, 64))
    start, period = rows["start"], rows["period"]
    place = torch.arange(30)

    def looking_back(distance):  # (B,), how far each row's head looks
        target = (place - distance[:, None]).clamp(min=0)
        return torch.nn.functional.one_hot(target, 30).double()[:, None]  # (B, 1, T, T)

    perfect, fixed = looking_back(period - 1), looking_back(torch.full((64,), 4))
    score = induction_score(torch.cat([perfect, fixed], 1), start, period)
    expected = ((period == 5) * (30 - start - period)).sum() / (30 - start - period).sum()
    assert score.tolist() == pytest.approx([1.0, expected.item()])
    assert 0 < expected < 0.4


@pytest.mark.parametrize(("settings", "message"), [
    ({"vocab_size": 5}, "vocab_size must be above 5"),
    ({"periods": (1, 4)}, "periods must be 2 or more"),
    ({"periods": (6, 5)}, "shortest first"),
    ({"length": 28}, "a row longer than start and period together"),
])  # fmt: skip
def test_segments_that_cannot_come_again_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RepeatedSegments(**settings)


def test_what_else_is_refused():
    probabilities = some_probabilities(2, 4)
    with pytest.raises(ValueError, match="one text a row, got"):
        head_patterns(probabilities, torch.tensor([[1, 1, 2, 2], [1, 1, 1, 1]]))
    with pytest.raises(ValueError, match="no position has what is asked for"):
        induction_score(probabilities, torch.tensor([2, 2]), torch.tensor([2, 2]))
    with pytest.raises(ValueError, match="a period must be at least 2"):
        induction_score(probabilities, torch.tensor([0, 0]), torch.tensor([1, 2]))
