"""Adapters: exact at the start, merged and unmerged, and the same in peft."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import pretrain_lib as pl
from pretrain_lib.data.tasks.encoded import encode_texts
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer
from pretrain_lib.transfer.features import logits
from pretrain_lib.transfer.fine_tune import FineTuning, fine_tune
from pretrain_lib.transfer.lora import (
    LoraConfig,
    LowRankLinear,
    adapters_of,
    add_lora,
    merge_lora,
    unmerge_lora,
)
from pretrain_lib.transfer.peft_format import load_lora, save_lora

WORDS = ["gold silver coin bank money tax", "army war soldier fort enemy peace"]
TOKENIZER = train_tokenizer(WORDS, 150)
SIZES = {"vocab_size": 150, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 32}  # fmt: skip
ALL = ("qkv", "output", "up", "down")
CONFIG = TrainConfig(steps=30, batch_size=8, learning_rate=0.02, device="cpu")


def bert(kind=pl.BertForSequenceClassification, *labels, seed=1):
    config = pl.BertConfig(**SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return kind(config, *labels, seed=seed).eval()


def modern(kind=pl.ModernBertForSequenceClassification, *labels, seed=1):
    return kind(pl.ModernBertConfig(**SIZES, local_attention=4), *labels, seed=seed).eval()


def classifiers(labels=3):
    return [bert(pl.BertForSequenceClassification, labels),
            modern(pl.ModernBertForSequenceClassification, labels)]


def ids(rows=3, length=9, seed=0):
    return torch.randint(5, 150, (rows, length), generator=torch.Generator().manual_seed(seed))


def disturbed(model, seed=0):
    """Adapters and heads as if they had been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype), alpha=0.3)
    return model


def topics(n=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sentences = []
    for i in range(n):
        words = WORDS[i % 2].split()
        chosen = torch.randint(6, (5,), generator=generator).tolist()
        sentences.append(" ".join(words[k] for k in chosen))
    return encode_texts(sentences, TOKENIZER, 16, labels=torch.arange(n) % 2)


@given(inputs=st.integers(1, 9), parts=st.integers(1, 3), each=st.integers(1, 5),
       rank=st.integers(1, 4), alpha=st.floats(0.5, 32), rows=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_the_layer_is_the_equation(inputs, parts, each, rank, alpha, rows):
    torch.manual_seed(0)
    linear = torch.nn.Linear(inputs, parts * each).double()
    layer = LowRankLinear(copy.deepcopy(linear), rank, alpha, parts)
    x = torch.randn(rows, inputs, dtype=torch.double)
    assert torch.equal(layer(x), linear(x))  # B is zero
    torch.nn.init.normal_(layer.A)
    torch.nn.init.normal_(layer.B)
    added = torch.cat([alpha / rank * x @ layer.A[p].T @ layer.B[p].T for p in range(parts)], 1)
    torch.testing.assert_close(layer(x), linear(x) + added, rtol=1e-12, atol=1e-12)
    whole = torch.nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model", classifiers(), ids=lambda model: type(model).__name__)
def test_the_start_is_exact_and_only_adapters_and_the_head_have_gradients(model):
    model = copy.deepcopy(model)
    before = model(ids())
    add_lora(model, LoraConfig(rank=2, targets=ALL))
    assert len(adapters_of(model)) == 8
    assert torch.equal(model(ids()), before)
    disturbed(model)(ids()).square().sum().backward()
    for name, p in model.named_parameters():
        trained = name.endswith((".A", ".B")) or not name.startswith("encoder.")
        assert p.requires_grad == trained == (p.grad is not None and bool(p.grad.any())), name


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("number", [0, 1], ids=["bert", "modern"])
def test_merged_is_unmerged(number, dtype, bound):
    model = classifiers()[number].to(dtype)
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    disturbed(add_lora(model, LoraConfig(rank=3, alpha=5.0, targets=ALL)))
    beside = model(ids())
    adapters = merge_lora(model)
    assert not adapters_of(model) and set(model.state_dict()) == set(plain)
    assert (model(ids()) - beside).abs().max() <= bound
    assert (model.encoder.layers[0].attention.qkv.weight
            - plain["encoder.layers.0.attention.qkv.weight"]).abs().max() > 0.1
    unmerge_lora(model, adapters)
    assert (model(ids()) - beside).abs().max() <= bound
    for name, adapter in adapters_of(model).items():
        assert (adapter.linear.weight - plain[f"{name}.weight"]).abs().max() <= bound


def test_an_adapter_is_of_its_rank():
    model = disturbed(add_lora(modern(pl.ModernBertModel).double(), LoraConfig(rank=2)))
    for adapter in adapters_of(model).values():
        assert torch.linalg.matrix_rank(adapter.update()) == 2


def test_answers_at_some_positions_see_the_adapters():
    model = disturbed(add_lora(bert(pl.BertForMaskedLM).double(), LoraConfig(rank=2, targets=ALL)))
    positions = torch.tensor([[0, 5], [8, 2], [3, 3]])
    everywhere = model(ids())
    there = torch.stack([everywhere[row, at] for row, at in enumerate(positions)])
    torch.testing.assert_close(model(ids(), positions=positions), there, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [lambda: bert(pl.BertModel), lambda: modern(pl.ModernBertForMaskedLM)],
                         ids=["bert", "modern"])
def test_fine_tuning_with_adapters_learns_and_leaves_the_weights_alone(make):
    model, texts, test = make(), topics(), topics(40, seed=1)
    config = replace(CONFIG, steps=120, warmup_steps=10, learning_rate=0.005)
    classifier = fine_tune(model, texts, 2, config, lora=LoraConfig(rank=2))
    encoder = getattr(model, "encoder", model)
    for name, adapter in adapters_of(classifier.encoder).items():
        assert torch.equal(adapter.linear.weight, encoder.get_submodule(name).weight)
        assert adapter.B.abs().max() > 0
    assert torch.equal(classifier.encoder.embeddings.word.weight, encoder.embeddings.word.weight)
    assert not adapters_of(model) and all(p.requires_grad for p in model.parameters())
    assert (logits(classifier, test).argmax(1) == test.labels).float().mean() > 0.9


def test_the_optimiser_keeps_nothing_for_what_is_frozen():
    model = add_lora(modern(pl.ModernBertForSequenceClassification, 2), LoraConfig(rank=2))
    objective = pl.Classification("input_ids", "attention_mask", num_classes=2)
    trainer = Trainer(model, objective, topics(), CONFIG)
    trainer.fit()
    trained = {p for p in model.parameters() if p.requires_grad}
    assert set(trainer.optimizer.state) == trained
    assert sum(p.numel() for p in trained) < 0.2 * sum(p.numel() for p in model.parameters())


def test_a_run_with_adapters_goes_on_after_a_stop(tmp_path):
    def trainer(folder):
        model = add_lora(modern(pl.ModernBertForSequenceClassification, 2), LoraConfig(rank=2), 5)
        objective = pl.Classification("input_ids", "attention_mask", num_classes=2)
        config = TrainConfig(steps=6, batch_size=8, device="cpu", checkpoint_every=3)
        return Trainer(model, objective, topics(), config, folder=folder)

    whole, stopped = trainer(tmp_path / "whole"), trainer(tmp_path / "stopped")
    whole.fit()
    update = stopped.update
    stopped.update = lambda *given: update(*given) if stopped.step < 4 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        stopped.fit()
    resumed = trainer(tmp_path / "stopped")
    resumed.fit()
    assert len(list((tmp_path / "stopped" / "checkpoints").iterdir())) > 1
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor)


def test_few_label_ways_take_adapters():
    learner = FineTuning(modern(pl.ModernBertModel), 2, CONFIG, (0.02,), lora=LoraConfig(rank=1))
    assert len(adapters_of(learner.classifier(topics(), 0.02))) == 4


@pytest.mark.parametrize("number", [0, 1], ids=["bert", "modern"])
@pytest.mark.parametrize("targets", [("qkv",), ALL], ids=["qkv", "all"])
def test_peft_reads_what_we_save(number, targets, tmp_path):
    import peft
    import transformers

    model = classifiers()[number]
    pl.save_pretrained(model, tmp_path / "base")
    disturbed(add_lora(model, LoraConfig(rank=2, alpha=3.0, targets=targets)))
    save_lora(model, tmp_path / "adapters", tmp_path / "base")
    base = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    without = base.eval()(input_ids=ids()).logits.detach()
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapters").eval()
    with torch.no_grad():
        found, expected = theirs(input_ids=ids()).logits, model(ids())
        assert (found - expected).abs().max() < 1e-5
        assert (found - without).abs().max() > 1e-2
        assert (theirs.merge_and_unload()(input_ids=ids()).logits - expected).abs().max() < 1e-5


@pytest.mark.parametrize("number", [0, 1], ids=["bert", "modern"])
def test_a_base_without_the_head_is_enough_for_peft(number, tmp_path):
    """The head travels with the adapters."""
    import peft
    import transformers

    pretrained = [bert(pl.BertForMaskedLM), modern(pl.ModernBertForMaskedLM)][number]
    pl.save_pretrained(pretrained, tmp_path / "base")
    texts = topics()
    model = fine_tune(pretrained, texts, 2, CONFIG, lora=LoraConfig(rank=2)).eval()
    save_lora(model, tmp_path / "adapters", tmp_path / "base")
    base = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base",
                                                                           num_labels=2)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapters").eval()
    with torch.no_grad():
        assert (theirs(input_ids=ids()).logits - model(ids())).abs().max() < 1e-5
        back = load_lora(pl.load_pretrained(tmp_path / "base"), tmp_path / "adapters").eval()
        assert (back(ids()) - model(ids())).abs().max() < 1e-6


@pytest.mark.parametrize("targets, number", [
    (["query", "value"], 0), (["query", "key", "value", "attention.output.dense"], 0),
    (["Wqkv", "mlp.Wo"], 1), ("all-linear", 1),
], ids=["query and value", "attention", "some", "every layer"])  # fmt: skip
def test_we_read_what_peft_saves(targets, number, tmp_path):
    import peft
    import transformers

    pl.save_pretrained(classifiers()[number], tmp_path / "base")
    base = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=targets, task_type="SEQ_CLS",
                             modules_to_save=["head"] if number else ["pooler"])
    theirs = disturbed(peft.get_peft_model(base, config), seed=3).eval()
    theirs.save_pretrained(tmp_path / "adapters")
    ours = load_lora(pl.load_pretrained(tmp_path / "base"), tmp_path / "adapters").eval()
    with torch.no_grad():
        assert (ours(ids()) - theirs(input_ids=ids()).logits).abs().max() < 1e-5


@pytest.mark.parametrize("base", ["BertModel", "BertForMaskedLM", "ModernBertForMaskedLM"])
def test_a_tagger_of_peft_goes_on_the_model_that_it_was_trained_on(base, tmp_path):
    import peft
    import transformers

    pl.save_pretrained((modern if "Modern" in base else bert)(getattr(pl, base)), tmp_path / "base")
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "base", num_labels=4)
    targets = ["Wqkv"] if "Modern" in base else ["query", "value"]
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(task_type="TOKEN_CLS", r=2, target_modules=targets))
    theirs = disturbed(theirs, seed=4).eval()
    theirs.save_pretrained(tmp_path / "adapters")
    ours = load_lora(pl.load_pretrained(tmp_path / "base"), tmp_path / "adapters")
    with torch.no_grad():
        assert ours(ids()).shape == (3, 9, 4) and (ours(ids()) - theirs(input_ids=ids()).logits).abs().max() < 1e-5


def test_adapters_of_an_encoder_come_back(tmp_path):
    for make in (lambda: bert(pl.BertModel), lambda: modern(pl.ModernBertModel)):
        model = disturbed(add_lora(make(), LoraConfig(rank=2, targets=ALL)))
        save_lora(model, tmp_path / "adapters", "base")
        assert torch.equal(load_lora(make(), tmp_path / "adapters")(ids()), model(ids()))


@pytest.mark.parametrize("make", [bert, modern])
def test_what_is_loaded_answers_alike_twice(make, tmp_path):
    """A classifier's adapters on an encoder, and on a model that is being trained."""
    kind = {bert: (pl.BertForSequenceClassification, pl.BertModel), modern: (pl.ModernBertForSequenceClassification, pl.ModernBertModel)}[make]
    save_lora(disturbed(add_lora(make(kind[0], 3), LoraConfig(rank=2))), tmp_path / "adapters", "base")
    for model in (make(kind[0], 3).train(), make(kind[1]), make(kind[1]).train()):
        mode = model.training
        try:
            again = load_lora(model, tmp_path / "adapters")
        except ValueError as error:  # a BERT without a pooler
            assert "pooler" in str(error) and kind[1] is pl.BertModel
            continue
        assert not any(part.training for part in again.modules()) and model.training == mode
        assert torch.equal(again(ids()), again(ids()))


def test_a_save_that_breaks_off_leaves_the_adapters_that_were_there(tmp_path, monkeypatch):
    """Weights of one rank or alpha beside the configuration of another would answer wrongly."""
    model = disturbed(add_lora(modern(pl.ModernBertModel), LoraConfig(rank=2, alpha=2)))
    save_lora(model, tmp_path / "adapters", "base")
    before = {path.name: path.read_bytes() for path in (tmp_path / "adapters").iterdir()}
    other = disturbed(add_lora(modern(pl.ModernBertModel), LoraConfig(rank=2, alpha=64)), seed=1)
    with monkeypatch.context() as broken:
        broken.setattr(json, "dumps", lambda *_, **__: 1 / 0)  # the weights are written by then
        with pytest.raises(ZeroDivisionError):
            save_lora(other, tmp_path / "adapters", "base")
    assert {path.name: path.read_bytes() for path in (tmp_path / "adapters").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]
    save_lora(other, tmp_path / "adapters", "base")
    assert torch.equal(load_lora(modern(pl.ModernBertModel), tmp_path / "adapters")(ids()), other(ids()))


def test_adapters_replace_adapters_only(tmp_path):
    (tmp_path / "notes.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="holds no adapters: choose another place"):
        save_lora(add_lora(modern(pl.ModernBertModel), LoraConfig()), tmp_path, "base")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_merged_model_is_saved_as_any_other(tmp_path):
    model = disturbed(add_lora(classifiers()[1], LoraConfig(rank=2)))
    expected = model(ids())
    merge_lora(model)
    pl.save_pretrained(model, tmp_path / "merged")
    assert (pl.load_pretrained(tmp_path / "merged")(ids()) - expected).abs().max() < 1e-5


def test_a_model_with_adapters_is_not_saved_as_if_it_had_none(tmp_path):
    model = add_lora(classifiers()[1], LoraConfig(rank=2))
    with pytest.raises(ValueError, match="merge_lora adds them to the weights"):
        pl.save_pretrained(model, tmp_path / "model")


def rewritten(folder, settings=(), change=lambda tensors: tensors):
    """The folder of adapters, with other settings and tensors."""
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text()) | dict(settings)
    kept = {name: value for name, value in config.items() if value != "none at all"}
    file.write_text(json.dumps(kept))
    weights = folder / "adapter_model.safetensors"
    save_file({name: t.contiguous() for name, t in change(load_file(weights)).items()}, weights)
    return folder


def without(ending):
    return lambda tensors: {name: t for name, t in tensors.items() if not name.endswith(ending)}


@pytest.mark.parametrize("settings, change, message", [
    ({}, lambda ts: {name: t[:1] if "lora_A" in name else t[:, :1] for name, t in ts.items()},
     r"lora_A.weight of shape \(1, 16\).*need \(2, 16\)"),
    ({"r": 4}, lambda ts: ts, r"of shape \(2, 16\).*need \(4, 16\)"),
    ({}, lambda ts: {name: t[:, :8] if "lora_A" in name else t for name, t in ts.items()},
     r"of shape \(2, 8\).*need \(2, 16\)"),
    ({}, lambda ts: {name: t[:1] if "lora_B" in name else t for name, t in ts.items()},
     r"lora_B.weight of shape \(1, 2\)"),
    ({}, without("lora_B.weight"), "has no .*lora_B.weight: an adapter is a lora_A and a lora_B"),
    ({}, without("lora_A.weight"), "no place for"),
    ({"r": "none at all"}, lambda ts: ts, "a number r above 0, got None"),
    ({"r": 0}, lambda ts: ts, "a number r above 0, got 0"),
    ({"lora_alpha": "none at all"}, lambda ts: ts, "a number lora_alpha above 0, got None"),
    ({"init_lora_weights": "pissa"}, lambda ts: ts, "='pissa': known here is True or False or"),
    ({"init_lora_weights": "olora"}, lambda ts: ts, "init_lora_weights='olora': known here"),
])  # fmt: skip
@pytest.mark.parametrize("make", [lambda: bert(pl.BertModel), lambda: modern(pl.ModernBertModel)],
                         ids=["bert", "modern"])
def test_adapters_that_do_not_fit_are_refused(make, settings, change, message, tmp_path):
    save_lora(add_lora(make(), LoraConfig(rank=2)), tmp_path, "base")
    with pytest.raises(ValueError, match=message):
        load_lora(make(), rewritten(tmp_path, settings, change))


@pytest.mark.parametrize("start", [True, False, "gaussian", None])
def test_how_peft_began_does_not_matter_where_the_weights_stayed(start, tmp_path):
    model = disturbed(add_lora(modern(pl.ModernBertModel), LoraConfig(rank=2)))
    save_lora(model, tmp_path, "base")
    back = load_lora(modern(pl.ModernBertModel), rewritten(tmp_path, {"init_lora_weights": start}))
    assert torch.equal(back(ids()), model(ids()))


@pytest.mark.parametrize("saved, loaded", [
    (pl.ModernBertForTokenClassification, pl.ModernBertForSequenceClassification),
    (pl.ModernBertForSequenceClassification, pl.ModernBertForTokenClassification),
])
def test_adapters_of_another_task_are_refused(saved, loaded, tmp_path):
    save_lora(add_lora(modern(saved, 3), LoraConfig(rank=2)), tmp_path, "base")
    with pytest.raises(ValueError, match="for the task (SEQ|TOKEN)_CLS, and ModernBertFor.* does"):
        load_lora(modern(loaded, 3), tmp_path)
    assert adapters_of(load_lora(modern(saved, 3), tmp_path))
    assert adapters_of(load_lora(modern(loaded, 3), rewritten(tmp_path, {"task_type": None})))


def test_a_second_load_is_refused(tmp_path):
    model = add_lora(classifiers()[0], LoraConfig(rank=2))
    save_lora(model, tmp_path, "base")
    for occupied in (model, model.encoder):
        with pytest.raises(ValueError, match="has adapters already"):
            load_lora(occupied, tmp_path)


def test_what_merging_leaves_is_as_frozen_as_what_peft_leaves(tmp_path):
    import peft
    import transformers

    model = classifiers()[0]
    pl.save_pretrained(model, tmp_path)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    theirs = peft.get_peft_model(base, peft.LoraConfig(target_modules=["query"])).merge_and_unload()
    merge_lora(add_lora(model, LoraConfig(rank=2)))
    assert not any(p.requires_grad for p in theirs.bert.encoder.parameters())
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert all(p.requires_grad for p in model.requires_grad_(True).parameters())


def test_what_cannot_be_done_is_said_in_a_line(tmp_path):
    with pytest.raises(ValueError, match="rank must be an integer of at least 1, got 0"):
        LoraConfig(rank=0)
    with pytest.raises(ValueError, match="targets must be some of qkv, output, up, down"):
        LoraConfig(targets=("query",))
    with pytest.raises(TypeError, match="adapters go on BERTs and ModernBERTs, got Linear"):
        add_lora(torch.nn.Linear(2, 2), LoraConfig())
    model = add_lora(modern(pl.ModernBertModel), LoraConfig())
    with pytest.raises(ValueError, match="has adapters already"):
        add_lora(model, LoraConfig())
    with pytest.raises(TypeError, match="got those of a ModernBertForMaskedLM"):
        save_lora(add_lora(modern(pl.ModernBertForMaskedLM), LoraConfig()), tmp_path, "base")
    with pytest.raises(ValueError, match="has 0 of them"):
        save_lora(modern(pl.ModernBertModel), tmp_path, "base")
    with pytest.raises(FileNotFoundError, match="it has no adapter_config.json"):
        load_lora(model, tmp_path / "nothing")
    save_lora(model, tmp_path, "base")
    with pytest.raises(ValueError, match="holds tensors that BertModel has no place for"):
        load_lora(bert(pl.BertModel), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_dora": True}))
    with pytest.raises(ValueError, match="use_dora=True: known here is False or None"):
        load_lora(modern(pl.ModernBertModel), tmp_path)
