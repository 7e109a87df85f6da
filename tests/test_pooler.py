"""A pretrained pooler stays with its BERT, whatever head the folder names and whatever is trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

import pretrain_lib as pl
from pretrain_lib.compression.saved import load_compressed, save_compressed
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.transfer.encoders import text_classifier, text_tagger

TINY = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 32, "initializer_range": 0.2}
MASKING = pl.MaskedLM(SpecialIds(0, 1, 2, 3, 4), 99)
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
KINDS = ["BertModel", "BertForPreTraining", "BertForMaskedLM", "BertForSequenceClassification"]


def folder_of(kind, folder):
    """As transformers writes it; BertForMaskedLM as released ones are: with both heads of 2018."""
    torch.manual_seed(1)
    made = {"BertForMaskedLM": "BertForPreTraining"}.get(kind, kind)
    theirs = getattr(transformers, made)(transformers.BertConfig(**TINY))
    torch.nn.init.normal_(theirs.base_model.pooler.dense.bias)
    theirs.save_pretrained(folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"architectures": [kind]}))
    return folder


def pooler_of(folder):
    stored = load_file(folder / "model.safetensors")
    return [stored.get(f"bert.{name}", stored.get(name)) for name in POOLER]


def texts(rows=8):
    ids = torch.randint(5, 99, (rows, 16), generator=torch.Generator().manual_seed(2))
    return pl.Columns(input_ids=ids, attention_mask=torch.ones_like(ids))


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_there_after_loading_and_saving(kind, tmp_path):
    base = folder_of(kind, tmp_path / "base")
    pl.save_pretrained(pl.load_pretrained(base), tmp_path / "again")
    assert same(pooler_of(base), pooler_of(tmp_path / "again"))
    _, info = transformers.BertModel.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not info["missing_keys"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_stands_on_it_as_in_transformers(kind, tmp_path):
    base = folder_of(kind, tmp_path / "base")
    theirs = transformers.BertModel.from_pretrained(base).eval()
    ours = text_classifier(pl.load_pretrained(base), 3).eval()
    ids = texts().input_ids
    with torch.no_grad():
        pooled = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
        assert (ours.pooler(ours.encoder(ids)) - pooled).abs().max() < 1e-5
    assert all(p.requires_grad for p in ours.parameters())


@pytest.mark.parametrize("kind", KINDS[:3])
def test_adapters_of_peft_answer_as_in_peft(kind, tmp_path):
    base = folder_of(kind, tmp_path / "base")
    torch.manual_seed(3)
    theirs = peft.get_peft_model(
        transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2),
        peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    theirs.save_pretrained(tmp_path / "adapter")
    ours = pl.load_lora(pl.load_pretrained(base), tmp_path / "adapter").eval()
    ids = texts().input_ids
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        assert (ours(ids, torch.ones_like(ids)) - expected).abs().max() < 1e-5


def test_our_adapters_answer_in_peft_as_here(tmp_path):
    base = folder_of("BertModel", tmp_path / "base")
    torch.manual_seed(3)
    ours = pl.add_lora(text_classifier(pl.load_pretrained(base), 2), pl.LoraConfig(rank=2)).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    pl.save_lora(ours, tmp_path / "adapter", base)
    theirs = peft.PeftModel.from_pretrained(
        transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2),
        tmp_path / "adapter").eval()
    ids = texts().input_ids
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        assert (ours(ids) - expected).abs().max() < 1e-5


def test_adapters_without_a_pooler_are_refused_where_there_is_none(tmp_path):
    base = folder_of("BertModel", tmp_path / "base")
    peft.get_peft_model(
        transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2),
        peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"])
    ).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match="no bert.pooler.dense.weight, and BertModel has none either"):
        pl.load_lora(pl.BertModel(pl.BertConfig(**TINY)), tmp_path / "adapter")


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_training_without_it_neither_moves_nor_decays_it(kind, tmp_path):
    base = folder_of("BertForMaskedLM", tmp_path / "base")
    model = pl.load_pretrained(base)
    before = model.masked_lm.dense.weight.clone()
    pl.Trainer(model, MASKING, texts(), pl.TrainConfig(
        steps=3, batch_size=4, learning_rate=0.1, weight_decay=0.5, optimizer=kind, device="cpu")).fit()
    assert not torch.equal(before, model.masked_lm.dense.weight)
    pl.save_pretrained(model, tmp_path / "trained")
    assert same(pooler_of(base), pooler_of(tmp_path / "trained"))


def test_a_run_from_before_it_was_carried_goes_on(tmp_path):
    base = folder_of("BertForMaskedLM", tmp_path / "base")

    before, model = pl.load_pretrained(base), pl.load_pretrained(base)
    before.pooler = None
    for each in (before, model):  # the second one finds the first one's checkpoint
        pl.Trainer(each, MASKING, texts(), pl.TrainConfig(steps=2, batch_size=4, device="cpu"),
                   folder=tmp_path / "run").fit()
        described = json.loads((tmp_path / "run" / "config.json").read_text())
        del described["architecture"]  # at that time it was not kept
        (tmp_path / "run" / "config.json").write_text(json.dumps(described))
    assert torch.equal(before.masked_lm.dense.weight, model.masked_lm.dense.weight)
    pl.save_pretrained(model, tmp_path / "trained")
    assert same(pooler_of(base), pooler_of(tmp_path / "trained"))


def test_all_that_is_trained_has_a_gradient(tmp_path):
    """DDP stops where a parameter that it waits for had no part in the loss."""
    model = pl.load_pretrained(folder_of("BertForMaskedLM", tmp_path / "base"))
    keys = pl.Keys.of(0, range(8))
    MASKING(model, MASKING.batch(texts().take(keys), keys))["masked_lm"].backward()
    assert {p.grad is not None for p in model.parameters() if p.requires_grad} == {True}


SEVERAL = """
import sys, torch, pretrain_lib as pl
from pretrain_lib.data.text.tokenizer import SpecialIds
torch.manual_seed(0)
ids = torch.randint(5, 99, (8, 16))
texts = pl.Columns(input_ids=ids, attention_mask=torch.ones_like(ids))
model, before = (pl.load_pretrained(sys.argv[1]) for _ in range(2))
config = pl.TrainConfig(steps=3, batch_size=8, device="cpu", parallel=sys.argv[2], weight_decay=0.5)
trainer = pl.Trainer(model, pl.MaskedLM(SpecialIds(0, 1, 2, 3, 4), 99), texts, config)
trainer.fit()
trained = trainer.whole_model(lambda: pl.load_pretrained(sys.argv[1]))
assert torch.equal(trained.pooler.dense.weight, before.pooler.dense.weight)
assert not torch.equal(trained.masked_lm.dense.weight, before.masked_lm.dense.weight)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32" or not torch.distributed.is_gloo_available(), reason="needs gloo and POSIX")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_several_processes_train_around_it(parallel, tmp_path):
    base = folder_of("BertForMaskedLM", tmp_path / "base")
    (tmp_path / "several.py").write_text(SEVERAL)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
                    str(tmp_path / "several.py"), str(base), parallel], env=environment, check=True, timeout=280)


def test_it_lies_beside_a_tagger_only_if_the_folder_had_it_so(tmp_path):
    model = pl.load_pretrained(folder_of("BertModel", tmp_path / "base"))
    assert text_tagger(model, 3).pooler is None


def test_compressed_and_joined_to_a_decoder_it_is_kept_too(tmp_path):
    model = pl.load_pretrained(folder_of("BertModel", tmp_path / "base"))
    save_compressed(pl.quantize(model), tmp_path / "int8")
    assert load_compressed(tmp_path / "int8").pooler.dense.int8.shape == (32, 32)
    pair = pl.EncoderDecoder(model, pl.DecoderConfig(20, 16, 1, 2, 24))
    pl.save_pretrained(pair, tmp_path / "pair")
    back = pl.load_pretrained(tmp_path / "pair")
    assert torch.equal(back.encoder.pooler.dense.weight, model.pooler.dense.weight)
