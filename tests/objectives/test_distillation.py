"""Distillation against closed forms, and what may and may not get a gradient or be saved."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.nn import functional as F

from pretrain_lib.compression.distill import distill
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig, BertForSequenceClassification
from pretrain_lib.models.modern import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
)
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.distillation import Distillation, weights_fingerprint, soft_loss, states_after
from pretrain_lib.data.source import UNSCORED
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.objectives.tagging import Tagging
from pretrain_lib.objectives.text import token_loss
from pretrain_lib.training.checkpoint import CheckpointError
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

SPECIAL, V, T = SpecialIds(0, 1, 2, 3, 4), 40, 12
SMALL = ModernBertConfig(V, 16, 16, 2, 2, T, initializer_range=0.2)
LARGE = replace(SMALL, hidden_size=24, num_hidden_layers=3, layer_types=(), mlp_dropout=0.5)


def texts(n=16, labelled=False):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, V, (n, T), generator=generator)
    mask = (torch.arange(T) < torch.randint(4, T + 1, (n, 1), generator=generator)).long()
    labels = {"labels": ids[:, 0] % 3} if labelled else {}
    return Columns(input_ids=ids * mask, attention_mask=mask, **labels)


def classifiers():
    return (ModernBertForSequenceClassification(LARGE, 3, seed=1).double(),
            ModernBertForSequenceClassification(SMALL, 3, seed=2).double())


def batch_of(objective, source):
    keys = Keys.of(0, len(source))
    return objective.batch(source.take(keys), keys)


logits = st.lists(st.floats(-5, 5), min_size=8, max_size=8).map(
    lambda x: torch.tensor(x, dtype=torch.float64).view(2, 4))


@given(logits, logits, st.floats(0.3, 10))
@settings(max_examples=50, deadline=None)
def test_soft_loss_is_scaled_divergence_between_softened_answers(student, teacher, temperature):
    p, q = (torch.softmax(x / temperature, -1) for x in (teacher, student))
    expected = temperature**2 * (p * (p / q).log()).sum(-1)
    torch.testing.assert_close(soft_loss(student, teacher, temperature), expected, atol=1e-10,
                               rtol=1e-8)


@given(logits, logits, st.floats(0.3, 10))
@settings(max_examples=50, deadline=None)
def test_its_gradient_is_the_difference_of_softened_answers_times_the_temperature(s, t, temperature):
    s.requires_grad_()
    soft_loss(s, t, temperature).sum().backward()
    expected = temperature * ((s / temperature).softmax(-1) - (t / temperature).softmax(-1))
    torch.testing.assert_close(s.grad, expected, atol=1e-10, rtol=1e-8)


def test_hot_targets_match_centred_logits():
    """Hinton et al., equation 4: the gradient becomes (z − v) / N, whatever the temperature."""
    s, t = torch.randn(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    s, t = ((x - x.mean(-1, keepdim=True)) for x in (s, t))
    s.requires_grad_()
    soft_loss(s, t, 1e4).sum().backward()
    torch.testing.assert_close(s.grad, (s - t).detach() / 7, atol=1e-3, rtol=1e-3)


def test_unlabelled_texts_are_scored_on_the_teachers_answer_without_its_dropout():
    teacher, student = classifiers()
    teacher.train()
    objective, source = Distillation(teacher, temperature=3.0), texts()
    batch = batch_of(objective, source)
    terms = objective(student, batch)
    wanted = teacher.eval()(source.input_ids, source.attention_mask)
    answer = student(source.input_ids, source.attention_mask)
    assert batch.counts == {"soft": 16.0} and batch.targets == {}
    torch.testing.assert_close(terms["soft"], soft_loss(answer, wanted, 3.0).sum())


def test_a_teacher_teaches_itself_nothing():
    teacher, _ = classifiers()
    objective = Distillation(teacher)
    assert objective(teacher.eval(), batch_of(objective, texts()))["soft"].abs() < 1e-12


def test_labels_count_beside_soft_targets_and_the_student_is_asked_once():
    teacher, student = classifiers()
    task = Classification("input_ids", "attention_mask", num_classes=3)
    objective, source = Distillation(teacher, task, soft=4.0), texts(labelled=True)
    calls = []
    student.register_forward_hook(lambda *_: calls.append(1))
    batch = batch_of(objective, source)
    terms = objective(student, batch)
    answer = student(source.input_ids, source.attention_mask)
    assert len(calls) == 2 and objective.weights == {"soft": 4.0}
    assert batch.counts == {"cross_entropy": 16, "soft": 16.0}
    torch.testing.assert_close(terms["cross_entropy"],
                               F.cross_entropy(answer, source.labels, reduction="sum"))


def test_a_masked_lm_is_taught_at_the_blanks_alone():
    teacher, student = (ModernBertForMaskedLM(c, i).double() for i, c in enumerate((LARGE, SMALL)))
    objective = Distillation(teacher, MaskedLM(SPECIAL, V, rate=0.3), temperature=2.0)
    batch = batch_of(objective, texts())
    terms = objective(student, batch)
    labels = batch.targets["labels"]
    used = labels != UNSCORED
    assert batch.counts["soft"] == batch.counts["masked_lm"] == used.sum() < used.numel()
    answer, wanted = student(**batch.inputs)[used], teacher.eval()(**batch.inputs)[used]
    torch.testing.assert_close(terms["soft"], soft_loss(answer, wanted, 2.0).sum())
    torch.testing.assert_close(terms["masked_lm"], token_loss(student(**batch.inputs), labels))


@pytest.mark.parametrize("pairs", [[(0, 1)], [(1, 0), (0, 2)]])
def test_hidden_states_agree_after_a_map_on_real_tokens_only(pairs):
    teacher, student = classifiers()
    objective = Distillation(teacher, layers=pairs, widths=(16, 24)).double()
    source = texts()
    batch = batch_of(objective, source)
    terms = objective(student, batch)
    with (states_after(student, [0, 1]) as ours, states_after(teacher.eval(), [0, 1, 2]) as theirs):
        student(source.input_ids, source.attention_mask)
        teacher(source.input_ids, source.attention_mask)
    expected = 0.0
    for linear, (a, b) in zip(objective.maps, pairs, strict=True):
        squares = (ours[a] @ linear.weight.T - theirs[b]).square()
        expected += sum(squares[i, j].mean() for i in range(16) for j in range(T)
                        if source.attention_mask[i, j])
    torch.testing.assert_close(terms["hidden"], expected)
    assert batch.counts["hidden"] == source.attention_mask.sum()
    terms["hidden"].backward()
    assert all(linear.weight.grad.abs().sum() > 0 for linear in objective.maps)


def test_the_teacher_is_not_trained_not_saved_and_its_copy_does_not_follow(tmp_path):
    teacher, student = (model.float() for model in classifiers())
    before = weights_fingerprint(teacher)
    objective = Distillation(teacher, layers=[(0, 0)], widths=(16, 24))
    trainer = Trainer(student, objective, texts(), folder=tmp_path / "run",
                      config=TrainConfig(steps=3, batch_size=8, device="cpu"))
    trainer.fit()
    assert weights_fingerprint(objective.teacher) == before and not objective.teacher.training
    assert {name for name, _ in objective.named_parameters()} == {"maps.0.weight"}
    files = {f.name: f.stat().st_size for f in (tmp_path / "run").rglob("*.safetensors")}
    assert files["objective.safetensors"] < 10_000 < files["model.safetensors"]
    with torch.no_grad():
        teacher.classifier.weight.add_(1)
    assert weights_fingerprint(objective.teacher) == before != weights_fingerprint(teacher)
    described = json.loads((tmp_path / "run/config.json").read_text())["objective"]
    assert described["teacher_is"] == before
    other = Distillation(teacher, layers=[(0, 0)], widths=(16, 24))
    with pytest.raises(CheckpointError, match="teacher_is"):
        Trainer(student, other, texts(), TrainConfig(steps=3, batch_size=8, device="cpu"),
                folder=tmp_path / "run")


def test_a_bert_student_learns_what_a_modernbert_says():
    teacher, _ = classifiers()
    teacher.float()
    config = BertConfig(V, 16, 1, 2, 32, 0.0, 0.0, T)
    student = BertForSequenceClassification(config, 3)
    objective, source = Distillation(teacher, temperature=1.0), texts(64)
    trainer = Trainer(student, objective, source, TrainConfig(
        steps=150, batch_size=32, learning_rate=5e-3, device="cpu"))
    before = trainer.evaluate(source)["soft"]
    trainer.fit()
    assert trainer.evaluate(source)["soft"] < 0.2 * before


@pytest.mark.parametrize("settings, word", [
    ({"temperature": 0.0}, "temperature must be above 0"),
    ({"soft": -1.0}, "soft must be above 0"),
    ({"layers": [(0, 0)]}, "widths"),
])
def test_bad_settings_are_named(settings, word):
    with pytest.raises(ValueError, match=word):
        Distillation(nn.Linear(2, 2), **settings)


def test_other_classes_and_blank_states_are_named():
    teacher, _ = classifiers()
    objective = Distillation(teacher)
    with pytest.raises(ValueError, match="same classes"):
        objective(ModernBertForSequenceClassification(SMALL, 2).double(),
                  batch_of(objective, texts()))
    masked = ModernBertForMaskedLM(SMALL)
    objective = Distillation(masked, MaskedLM(SPECIAL, V), layers=[(1, 1)], widths=(16, 16))
    with pytest.raises(ValueError, match="compare lower layers"):
        objective(masked, batch_of(objective, texts()))


def test_several_answers_a_text_need_a_task_that_says_which_count():
    teacher, student = (ModernBertForMaskedLM(c, i).double() for i, c in enumerate((LARGE, SMALL)))
    with pytest.raises(ValueError, match="nothing says which of them count: give a task"):
        distill(teacher, student, texts(), TrainConfig(steps=1, batch_size=4, device="cpu"))
    objective = Distillation(ModernBertForSequenceClassification(SMALL, 1))
    with pytest.raises(ValueError, match="soft targets need at least two classes"):
        objective(ModernBertForSequenceClassification(SMALL, 1), batch_of(objective, texts()))


@pytest.mark.parametrize("task, kind, classes", [
    (MaskedLM(SPECIAL, V, rate=0.3), ModernBertForMaskedLM, []),
    (Tagging(), ModernBertForTokenClassification, [3]),
])
def test_padding_never_counts(task, kind, classes):
    """Wider rows, more padding: the same terms."""
    long = [replace(c, max_position_embeddings=2 * T, layer_types=()) for c in (LARGE, SMALL)]
    teacher, student = (kind(c, *classes, seed=i).double() for i, c in enumerate(long))
    narrow = texts()
    tags = (narrow.input_ids % 3).masked_fill(narrow.attention_mask == 0, -100)
    tags[:, ::2] = -100
    objective = Distillation(teacher, task, layers=[(0, 1)], widths=(16, 24)).double()
    samples = dict(narrow.columns, tags=tags)
    found = []
    for extra in (0, 5):
        wide = {name: F.pad(column, (0, extra), value=-100 if name == "tags" else 0)
                for name, column in samples.items()}
        batch = objective.batch(wide, Keys.of(0, 16))
        if extra and not classes:  # other slots, so that the same tokens are hidden
            batch.inputs["input_ids"] = F.pad(before.inputs["input_ids"], (0, extra))
            batch.inputs["positions"], batch.targets = before.inputs["positions"], before.targets
        before = batch
        terms = objective(student, batch)
        found.append({name: (terms[name] / batch.counts[name]).item() for name in terms})
    assert found[0] == pytest.approx(found[1], rel=1e-9)
