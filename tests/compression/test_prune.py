"""Pruning: what is cut out equals what is set to zero, in every form of encoder."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch

from pretrain_lib.compression.distill import distill
from pretrain_lib.compression.importance import Gates, Importance, gated, importance
from pretrain_lib.compression.prune import Kept, choose, cut, prune, prune_weights, sparsity
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig, BertForMaskedLM, BertForSequenceClassification
from pretrain_lib.models.modern import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertModel,
)
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.pretrained import load_pretrained, save_pretrained
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer
from pretrain_lib.transfer.lora import LoraConfig, add_lora

V, T = 40, 10
MODERN = ModernBertConfig(V, 24, 20, 4, 3, T, local_attention=4, initializer_range=0.3)
BERT = BertConfig(V, 24, 4, 3, 40, 0.0, 0.0, T, initializer_range=0.3)
TASK = Classification("input_ids", "attention_mask", num_classes=3)


def texts(n=12):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, V, (n, T), generator=generator)
    mask = (torch.arange(T) < torch.randint(4, T + 1, (n, 1), generator=generator)).long()
    return Columns(input_ids=ids * mask, attention_mask=mask, labels=ids[:, 0] % 3)


def classifier(form):
    if form == "bert":
        model = BertForSequenceClassification(BERT, 3, seed=1)
    else:
        model = ModernBertForSequenceClassification(MODERN, 3, seed=1)
    with torch.no_grad():  # so that a forgotten bias shows
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(generator=torch.Generator().manual_seed(2))
    return model.double().eval()


def answers(model, source=None):
    source = source or texts()
    return model(source.input_ids, source.attention_mask)


KEPT = Kept([0, 1, 2, 3], [[0, 2], [1], [0, 1, 2], [2]],
            [[0, 3, 4, 9], [1, 2, 3, 19], [0, 1, 2, 3], [5, 6, 7, 8]])


@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_a_cut_model_computes_what_the_whole_one_does_with_these_parts_set_to_zero(form):
    model = classifier(form)
    small = cut(model, KEPT)
    with torch.no_grad():
        for layer, heads, units in zip(model.encoder.layers, KEPT.heads, KEPT.units, strict=True):
            for head in {0, 1, 2} - set(heads):
                layer.attention.output.weight[:, 8 * head:8 * head + 8] = 0
            width = layer.feed_forward.down.in_features
            layer.feed_forward.down.weight[:, [u for u in range(width) if u not in units]] = 0
    assert (answers(small) - answers(model)).abs().max() < 1e-10
    shapes = [tuple(layer.attention.qkv.weight.shape) for layer in small.encoder.layers]
    assert shapes == [(48, 24), (24, 24), (72, 24), (24, 24)]
    gated_twice = 2 if form == "modernbert" else 1
    assert small.encoder.layers[0].feed_forward.up.weight.shape == (4 * gated_twice, 24)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("model", [BertForMaskedLM(BERT), ModernBertForMaskedLM(MODERN)],
                         ids=["bert", "modernbert"])
def test_a_cut_masked_lm_answers_alike_at_positions_and_everywhere(model):
    small, source = cut(model.double().eval(), KEPT), texts()
    positions = torch.tensor([[1, 3]]).expand(len(source), 2)
    everywhere = small(source.input_ids, source.attention_mask)
    there = small(source.input_ids, source.attention_mask, positions=positions)
    assert (everywhere[:, [1, 3]] - there).abs().max() < 1e-10


@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_a_layer_left_out_hands_on_what_it_was_given(form):
    model, units = classifier(form), [list(range(40 if form == "bert" else 20))] * 3
    small = cut(model, Kept([0, 2, 3], [[0, 1, 2]] * 3, units))
    with gated(model.encoder, Gates(layers={1: torch.zeros(1, 1)})):
        expected = answers(model)
    assert (answers(small) - expected).abs().max() < 1e-10
    assert small.config.num_hidden_layers == 3 and small.encoder.config == small.config
    if form == "modernbert":
        types = MODERN.layer_types
        assert small.config.layer_types == (types[0], types[2], types[3])


def test_the_model_stays_as_it_is_and_open_gates_change_nothing():
    model = classifier("modernbert")
    before = answers(model)
    cut(model, KEPT)
    with gated(model.encoder):
        assert (answers(model) - before).abs().max() < 1e-12
    assert torch.equal(answers(model), before)


@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_importance_is_output_times_gradient_of_each_sample_alone(form):
    """Michel et al., equation 2: E |Att_h(x)ᵀ ∂L/∂Att_h(x)|."""
    model, source = classifier(form), texts()
    found = importance(model, TASK, source, batch_size=5)
    expected = torch.zeros(4, 3, dtype=torch.float64)
    for i in range(len(source)):
        seen = []
        hooks = [layer.attention.output.register_forward_pre_hook(
            lambda part, read: seen.append(read[0]) or read[0].retain_grad())
            for layer in model.encoder.layers]
        sample = source.take(Keys.of(0, [i]))
        TASK(model, TASK.batch(sample, Keys.of(0, [i])))["cross_entropy"].backward()
        for number, y in enumerate(seen):
            expected[number] += (y * y.grad).sum((0, 1)).view(3, 8).sum(1).abs() / len(source)
        for hook in hooks:
            hook.remove()
    torch.testing.assert_close(torch.stack(found.heads), expected)


def test_importance_of_units_and_layers_is_the_slope_of_their_gates():
    model, source, step = classifier("modernbert"), texts(1), 1e-5

    def loss(closed):
        with gated(model.encoder, closed):
            batch = TASK.batch(source.take(Keys.of(0, 1)), Keys.of(0, 1))
            return TASK(model, batch)["cross_entropy"].item()

    def slope(kind, parts, part, layer):
        gates = []
        for sign in (1, -1):
            gate = torch.ones(1, parts, dtype=torch.float64)
            gate[0, part] += sign * step
            gates.append(loss(Gates(**{kind: {layer: gate}})))
        return abs(gates[0] - gates[1]) / (2 * step)

    found = importance(model, TASK, source)
    for layer in (0, 3):
        assert found.layers[layer].item() == pytest.approx(slope("layers", 1, 0, layer), abs=1e-8)
        assert found.units[layer][7].item() == pytest.approx(slope("units", 20, 7, layer), abs=1e-8)


def test_importance_of_a_masked_lm_works_where_the_last_layer_is_at_the_blanks_alone():
    for model in (BertForMaskedLM(BERT), ModernBertForMaskedLM(MODERN)):
        found = importance(model, MaskedLM(SpecialIds(0, 1, 2, 3, 4), V, rate=0.3), texts())
        assert len(found.layers) == 4 and all((scores > 0).all() for scores in found.heads)


def test_the_least_important_parts_go_and_each_layer_keeps_a_head():
    scores = Importance(heads=[torch.tensor([1.0, 2, 2]), torch.tensor([30.0, 0, 0])],
                        units=[torch.tensor([4.0, 1, 3, 2]), torch.tensor([1.0, 2, 3, 4])],
                        layers=torch.tensor([0.0, 1.0]))
    assert choose(scores, 1 / 3, 0.5, 0) == Kept([0, 1], [[0, 1, 2], [0]], [[0, 2], [2, 3]])
    assert choose(scores, 0.99, 0, 0).heads == [[1], [0]]
    assert choose(scores, 0, 0, 0.5).layers == [0]
    whole = choose(scores, 0, 0, 0)
    assert whole == Kept([0, 1], [[0, 1, 2]] * 2, [[0, 1, 2, 3]] * 2)


def test_a_model_without_some_units_and_layers_is_one_that_transformers_knows(tmp_path):
    from transformers import AutoModelForSequenceClassification

    for form in ("bert", "modernbert"):
        model, source = classifier(form).float(), texts()
        small = prune(model, importance(model, TASK, source), units=0.5, layers=0.25)
        save_pretrained(small, tmp_path / form)
        theirs = AutoModelForSequenceClassification.from_pretrained(
            tmp_path / form, dtype=torch.float32).eval()
        logits = theirs(source.input_ids, attention_mask=source.attention_mask).logits
        torch.testing.assert_close(logits, answers(small), atol=1e-4, rtol=1e-4)
        assert torch.equal(answers(load_pretrained(tmp_path / form)), answers(small))


def test_pruned_models_learn_on():
    model, source = classifier("modernbert").float(), texts()
    small = prune(model, importance(model, TASK, source), heads=0.3, units=0.3)
    trainer = Trainer(small, TASK, source, TrainConfig(steps=60, batch_size=12, device="cpu"))
    before = trainer.evaluate(source)["loss"]
    trainer.fit()
    assert trainer.evaluate(source)["loss"] < 0.5 * before


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_smallest_weights_become_zero_and_stay_so_in_training(share):
    model = classifier("bert").float()
    sparse = prune_weights(model, share)
    assert sparsity(sparse) == pytest.approx(share, abs=1e-3) and sparsity(model) == 0
    big = torch.cat([p.abs().flatten() for p in model.encoder.layers[0].attention.qkv.parameters()])
    kept = sparse.encoder.layers[0].attention.qkv.weight
    assert kept.abs().max() == big[:kept.numel()].max()
    zero = [p == 0 for p in sparse.parameters()]
    Trainer(sparse, TASK, texts(), TrainConfig(steps=5, batch_size=4, weight_decay=0.1,
                                               device="cpu")).fit()
    assert sparsity(sparse) == pytest.approx(share, abs=1e-3)
    assert share == 0 or all((p[was] == 0).all() for p, was in
                             zip(sparse.parameters(), zero, strict=True) if p.ndim == 2
                             and p.shape[0] != V and p.shape[0] != T and p.shape[0] != 2)


def test_zeros_stay_in_a_distilled_student_and_in_a_copy():
    teacher, steps = classifier("bert").float(), TrainConfig(steps=5, batch_size=4, device="cpu")
    sparse = prune_weights(teacher, 0.5)
    zero = sparse.classifier.weight == 0
    taught = distill(teacher, sparse, texts(), steps)
    assert sparsity(taught) == sparsity(sparse) == pytest.approx(0.5, abs=1e-3)
    assert torch.equal(taught.classifier.weight == 0, zero) and zero.any()
    assert not torch.equal(taught.classifier.weight, sparse.classifier.weight)
    copied = copy.deepcopy(sparse)
    Trainer(copied, TASK, texts(), steps).fit()
    assert sparsity(copied) == sparsity(sparse)
    assert sparse.state_dict().keys() == teacher.state_dict().keys()


@pytest.mark.parametrize("settings", [{"optimizer": "muon"}, {"optimizer": "sgd", "l2": 0.1}, {"activation_checkpointing": True}])
def test_zeros_stay_whatever_moves_the_weights_and_when_the_run_is_resumed(tmp_path, settings):
    steps = TrainConfig(steps=6, batch_size=4, device="cpu", checkpoint_every=3, **settings)
    sparse = prune_weights(classifier("bert").float(), 0.5)
    again = copy.deepcopy(sparse)
    zero = sparse.classifier.weight == 0
    Trainer(sparse, TASK, texts(), steps, folder=tmp_path).fit()
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000006")
    Trainer(again, TASK, texts(), steps, folder=tmp_path).fit()
    for model in (sparse, again):
        assert torch.equal(model.classifier.weight == 0, zero)
        assert sparsity(model) == pytest.approx(0.5, abs=1e-3)


def test_a_gradient_of_what_is_pruned_counts_for_no_norm():
    """So a clipped step is as long as it would be if those weights were not there."""
    sparse = prune_weights(classifier("bert"), 0.5)
    expected = copy.deepcopy(sparse)
    keys = Keys.of(0, 12)
    (TASK(expected, TASK.batch(texts().take(keys), keys))["cross_entropy"] / 12).backward()
    matrices = {part.weight for part in expected.modules() if isinstance(part, torch.nn.Linear)}
    squares = sum((p.grad * (p != 0) if p in matrices else p.grad).square().sum() for p in expected.parameters())
    trainer = Trainer(sparse, TASK, texts(), TrainConfig(steps=1, batch_size=12, device="cpu"))
    assert trainer.fit().records[0]["gradient_norm"] == pytest.approx(squares.sqrt().item(), rel=1e-9)


def test_zeros_of_a_new_head_are_no_pruned_weights():
    student = classifier("bert").float()
    torch.nn.init.zeros_(student.classifier.weight)
    steps = TrainConfig(steps=5, batch_size=4, device="cpu")
    taught = distill(classifier("bert").float(), student, texts(), steps)
    assert (taught.classifier.weight != 0).all()


def test_a_frozen_model_can_be_pruned_and_one_without_matrices_too():
    assert sparsity(prune_weights(classifier("bert").requires_grad_(False), 0.5)) > 0.49
    no_matrix = torch.nn.LayerNorm(4)
    assert prune_weights(no_matrix, 0.5).weight.equal(no_matrix.weight)


@pytest.mark.parametrize("change, message", [
    ({"layers": [0, 1, 2, 9]}, r"layers must be one or more of 0 to 3.*got \[0, 1, 2, 9\]"),
    ({"layers": [0, 1, 2, -1]}, "layers must be one or more of 0 to 3"),
    ({"layers": [0, 2, 2, 3]}, "each once and in order"),
    ({"layers": [0, 2, 1, 3]}, "each once and in order"),
    ({"layers": [], "heads": [], "units": []}, "layers must be one or more"),
    ({"heads": [[0, 0], [1], [1], [1]]}, r"each stays once; got \[0, 0\]"),
    ({"units": [[1, 2, 2]] * 4}, "feed-forward units 0 to 19.*each stays once"),
])
@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_parts_that_are_not_there_or_kept_twice_are_refused(form, change, message):
    if form == "bert":
        message = message.replace("19", "39")
    with pytest.raises(ValueError, match=message):
        cut(classifier(form), replace(KEPT, **change))


@pytest.mark.parametrize("layers, heads, units", [(3, 3, 20), (5, 3, 20), (4, 2, 20), (4, 3, 10)])
def test_the_importance_of_another_model_is_refused(layers, heads, units):
    scores = Importance([torch.ones(heads)] * layers, [torch.ones(units)] * layers,
                        torch.ones(layers))
    message = rf"must be this model's.*{layers} layers with \[\({heads}, {units}"
    with pytest.raises(ValueError, match=message):
        prune(classifier("modernbert"), scores, heads=0.1)


def test_a_model_with_adapters_is_not_cut():
    with pytest.raises(ValueError, match="adapters beside its weights"):
        cut(add_lora(classifier("modernbert"), LoraConfig(rank=2)), KEPT)


def test_bad_shares_and_parts_are_named():
    scores = Importance([torch.ones(3)] * 4, [torch.ones(20)] * 4, torch.ones(4))
    model = ModernBertModel(MODERN)
    with pytest.raises(ValueError, match="heads must be a share"):
        prune(model, scores, heads=1)
    with pytest.raises(ValueError, match="sparsity must be"):
        prune_weights(model, 1.0)
    with pytest.raises(ValueError, match="first layer of a ModernBERT must stay"):
        cut(model, replace(KEPT, layers=[1, 2]))
    with pytest.raises(ValueError, match="heads 0 to 2, at least one must stay"):
        cut(model, replace(KEPT, heads=[[3]] * 4))
