"""Both tasks of BERT in one forward, against transformers' own loss."""

import pytest
import torch
import transformers
from torch.nn import functional as F

from pretrain_lib import save_pretrained
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    PreTrainingLogits,
)
from pretrain_lib.objectives.bert_pretraining import BertPretraining
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.training.checkpoint import CheckpointError
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

SPECIAL, V, T = SpecialIds(0, 1, 2, 3, 4), 60, 24
CONFIG = BertConfig(V, 32, 2, 2, 48, 0.0, 0.0, T)


def pairs(n=48, seed=0):
    """[CLS] A [SEP] B [SEP] with padding: B goes on with A's tokens, or with another's."""
    generator = torch.Generator().manual_seed(seed)
    follows = torch.randint(0, 2, (n,), generator=generator)
    first = torch.randint(5, 30, (n, 1), generator=generator)
    a = first + torch.arange(8)
    b = torch.where(follows[:, None] == 0, first, 59 - 5 - first) + 8 + torch.arange(8)
    special = torch.tensor([SPECIAL.cls, SPECIAL.sep, SPECIAL.sep]).expand(n, 3)
    ids = torch.cat([special[:, :1], a, special[:, 1:2], b.clamp(max=V - 1), special[:, 2:],
                     torch.zeros(n, T - 19, dtype=torch.long)], 1)
    place = torch.arange(T)
    return Columns(input_ids=ids, attention_mask=(place < 19).long().expand(n, T),
                   token_type_ids=((place > 9) & (place < 19)).long().expand(n, T),
                   next_sentence_label=follows)


def objective(rate=0.15):
    return BertPretraining(MaskedLM(SPECIAL, V, rate=rate))


def batch_of(source, task=None, seed=0):
    keys = Keys.of(seed, len(source))
    return (task or objective()).batch(source.take(keys), keys)


def test_the_loss_is_that_of_transformers(tmp_path):
    model = BertForPreTraining(CONFIG, seed=2).eval()
    save_pretrained(model, tmp_path / "m")
    theirs = transformers.BertForPreTraining.from_pretrained(tmp_path / "m", dtype=torch.float32)
    batch = batch_of(pairs())
    inputs, labels = batch.inputs, batch.targets["labels"]
    everywhere = torch.full_like(inputs["input_ids"], -100)
    row, slot = (labels != -100).nonzero(as_tuple=True)
    everywhere[row, inputs["positions"][row, slot]] = labels[row, slot]
    expected = theirs.double().eval()(
        inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"], labels=everywhere,
        next_sentence_label=batch.targets["next_sentence_label"]).loss
    terms = objective()(model.double(), batch)
    means = [terms[name] / batch.counts[name] for name in ("masked_lm", "next_sentence")]
    assert abs(sum(means) - expected) < 1e-10


def test_what_is_masked_is_what_masked_lm_masks():
    source = pairs()
    batch, alone = batch_of(source), batch_of(source, objective().masked_lm)
    assert torch.equal(batch.inputs["input_ids"], alone.inputs["input_ids"])
    assert torch.equal(batch.targets["labels"], alone.targets["labels"])
    assert batch.inputs.keys() == {"input_ids", "attention_mask", "token_type_ids", "positions"}
    assert batch.counts == alone.counts | {"next_sentence": 48}


def test_both_classes_are_scored_and_0_means_that_it_follows():
    """One class left out of the loss, or the labels turned round: known faults of others."""
    source = Columns(**{name: column[:2] for name, column in pairs().columns.items()}
                     | {"next_sentence_label": torch.tensor([0, 1])})
    batch = batch_of(source)
    scores = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64, requires_grad=True)
    tokens = torch.zeros(*batch.targets["labels"].shape, V)
    loss = objective()(lambda **inputs: PreTrainingLogits(tokens, scores), batch)["next_sentence"]
    expected = -scores[0].log_softmax(0)[0] - scores[1].log_softmax(0)[1]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    assert (scores.grad.abs().sum(1) > 0).all()
    assert scores.grad[0, 0] < 0 < scores.grad[0, 1]  # more of class 0 where B follows


def test_a_model_learns_both_tasks_in_one_forward_a_step():
    model = BertForPreTraining(BertConfig(V, 32, 2, 2, 48, 0.0, 0.0, T), seed=0)
    passes = []
    model.encoder.register_forward_hook(lambda encoder, *_: passes.append(encoder.training))
    config = TrainConfig(steps=20, batch_size=24, learning_rate=3e-3, device="cpu", log_every=1)
    trainer = Trainer(model, objective(), pairs(), config)
    records = trainer.fit().records
    assert sum(passes) == 20
    assert records[-1]["masked_lm"] < records[0]["masked_lm"] - 0.2
    assert {"masked_lm", "next_sentence"} <= records[0].keys()
    for record in records:
        assert record["loss"] == pytest.approx(record["masked_lm"] + record["next_sentence"])


def test_whether_the_second_segment_follows_can_be_learned():
    model = BertForPreTraining(BertConfig(V, 32, 2, 2, 48, 0.0, 0.0, T, initializer_range=0.1))
    config = TrainConfig(steps=60, batch_size=48, learning_rate=3e-3, device="cpu", log_every=1)
    records = Trainer(model, objective(), pairs(), config).fit().records
    losses = [record["next_sentence"] for record in records]
    assert losses[-1] < 0.5 * losses[0]


def test_halves_of_a_batch_add_up_to_it():
    model, source = BertForPreTraining(CONFIG, seed=2).double().eval(), pairs()
    whole = batch_of(source)
    parts = []
    for ids in (range(24), range(24, 48)):
        keys = Keys.of(0, ids)
        parts.append(objective().batch(source.take(keys), keys))
    terms = objective()(model, whole)
    for name in terms:
        both = sum(objective()(model, part)[name] for part in parts)
        assert abs(both - terms[name]) < 1e-9
        assert whole.counts[name] == sum(part.counts[name] for part in parts)


def test_a_run_of_another_rate_is_another_run(tmp_path):
    """The settings of the objective within count as much as those of the objective."""
    config = TrainConfig(steps=1, batch_size=4, device="cpu")
    Trainer(BertForPreTraining(CONFIG), objective(0.15), pairs(), config, folder=tmp_path).fit()
    Trainer(BertForPreTraining(CONFIG), objective(0.15), pairs(), config, folder=tmp_path)
    with pytest.raises(CheckpointError, match="another config"):
        Trainer(BertForPreTraining(CONFIG), objective(0.4), pairs(), config, folder=tmp_path)


def test_a_model_with_one_head_is_refused():
    with pytest.raises(ValueError, match="both heads.*BertForMaskedLM answered with a Tensor"):
        objective()(BertForMaskedLM(CONFIG), batch_of(pairs()))


def test_a_source_without_pairs_is_refused():
    source = Columns(input_ids=pairs().input_ids)
    with pytest.raises(ValueError, match="no column 'next_sentence_label'"):
        batch_of(source)


@pytest.mark.parametrize("labels", [torch.full((48,), 2), torch.full((48,), -100)])
def test_labels_of_no_class_are_refused(labels):
    source = Columns(**pairs().columns | {"next_sentence_label": labels})
    with pytest.raises(ValueError, match="one 0 .follows. or 1"):
        batch_of(source)


def test_uncertainty_costs_log_2():
    batch = batch_of(pairs())
    answer = PreTrainingLogits(torch.zeros(*batch.targets["labels"].shape, V), torch.zeros(48, 2))
    terms = objective()(lambda **inputs: answer, batch)
    assert terms["next_sentence"] / 48 == pytest.approx(torch.log(torch.tensor(2.0)).item())
    uniform = F.cross_entropy(torch.zeros(1, V), torch.tensor([0]))
    assert terms["masked_lm"] / batch.counts["masked_lm"] == pytest.approx(uniform.item(), rel=1e-5)
