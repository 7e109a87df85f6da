"""Compressed models in folders: as they were, smaller, and refused where they do not belong."""

import pytest
import torch
from torch import nn

from pretrain_lib.compression.distill import distill, inherit_words
from pretrain_lib.compression.importance import importance
from pretrain_lib.compression.prune import Kept, cut, prune
from pretrain_lib.compression.quantise import quantize
from pretrain_lib.compression.saved import bytes_on_disk, load_compressed, save_compressed
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import load_tokenizer
from pretrain_lib.models.bert import BertConfig, BertForSequenceClassification
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForSequenceClassification
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.distillation import soft_loss
from pretrain_lib.pretrained import load_pretrained, save_pretrained
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.transfer.lora import LoraConfig, add_lora, merge_lora

TASK = Classification("input_ids", "attention_mask", num_classes=3)


def texts(n=8):
    ids = torch.randint(5, 500, (n, 12), generator=torch.Generator().manual_seed(0))
    return Columns(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids[:, 0] % 3)


def model(form="modernbert"):
    if form == "bert":
        return BertForSequenceClassification(BertConfig(8192, 32, 3, 4, 64, 0.0, 0.0, 16), 3).eval()
    config = ModernBertConfig(8192, 32, 48, 3, 4, 16, local_attention=4)
    return ModernBertForSequenceClassification(config, 3, seed=1).eval()


def answers(of):
    return of(texts().input_ids, texts().attention_mask)


@pytest.mark.parametrize("form", ["bert", "modernbert"])
@pytest.mark.parametrize("also_int8", [False, True])
def test_a_compressed_model_comes_back_as_it_was(tmp_path, form, also_int8):
    whole = model(form)
    small = prune(whole, importance(whole, TASK, texts()), heads=0.4, units=0.3, layers=0.34)
    small = quantize(small) if also_int8 else small
    small.label_names = ["past", "present", "future"]
    save_compressed(small, tmp_path / "small", load_tokenizer("sotu-8192"))
    back = load_compressed(tmp_path / "small")
    assert torch.equal(answers(back), answers(small)) and not back.training
    assert back.label_names == small.label_names and back.config == small.config
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        f.name for f in (tmp_path / "small").iterdir()}
    save_compressed(small, tmp_path / "small")  # replaces


def test_int8_takes_little_more_than_a_quarter_of_the_bytes(tmp_path):
    whole = model()
    save_pretrained(whole, tmp_path / "whole")
    save_compressed(quantize(whole), tmp_path / "int8")
    # a row of 32 numbers has one scale of 4 bytes: 36 bytes of 128
    assert bytes_on_disk(tmp_path / "int8") < 0.31 * bytes_on_disk(tmp_path / "whole")


def test_transformers_format_is_refused_where_it_cannot_say_what_is_there(tmp_path):
    whole = model()
    with pytest.raises(ValueError, match="3 heads, the configuration says 4.*save_compressed"):
        save_pretrained(prune(whole, importance(whole, TASK, texts()), heads=0.09), tmp_path / "a")
    with pytest.raises(ValueError, match="quantised.*save_compressed"):
        save_pretrained(quantize(whole), tmp_path / "b")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["bert", "modernbert"])
@pytest.mark.parametrize("units", [(20, 10), (10, 20)])
def test_layers_of_different_widths_are_saved_compressed_only(tmp_path, form, units):
    kept = Kept([0, 1], [[0, 1, 2, 3]] * 2, [list(range(number)) for number in units])
    small = cut(model(form), kept)
    message = f"layer 1 has {units[1]} feed-forward units, the configuration says {units[0]}"
    with pytest.raises(ValueError, match=message + ".*save_compressed"):
        save_pretrained(small, tmp_path / "small")
    assert not list(tmp_path.iterdir())
    save_compressed(small, tmp_path / "small")
    assert torch.equal(answers(load_compressed(tmp_path / "small")), answers(small))


@pytest.mark.parametrize("also_int8", [False, True])
def test_adapters_are_not_saved_as_part_of_a_compressed_model(tmp_path, also_int8):
    adapted = add_lora(model(), LoraConfig(rank=2))
    small = quantize(adapted) if also_int8 else adapted
    with pytest.raises(ValueError, match="merge_lora adds them to the weights"):
        save_compressed(small, tmp_path / "small")
    assert not list(tmp_path.iterdir())
    merge_lora(adapted)
    save_compressed(quantize(adapted), tmp_path / "small")
    assert torch.equal(answers(load_compressed(tmp_path / "small")), answers(quantize(adapted)))


def test_wrong_folders_and_models_are_named(tmp_path):
    save_pretrained(model(), tmp_path / "whole")
    with pytest.raises(ValueError, match="load_pretrained"):
        load_compressed(tmp_path / "whole")
    with pytest.raises(FileNotFoundError, match="config.json"):
        load_compressed(tmp_path / "nothing")
    with pytest.raises(TypeError, match="Linear"):
        save_compressed(nn.Linear(2, 2), tmp_path / "linear")
    save_compressed(quantize(model()), tmp_path / "small")
    with pytest.raises(ValueError, match="load_compressed"):
        load_pretrained(tmp_path / "small")


def test_distill_returns_a_taught_copy():
    teacher, source = model(), texts(8)
    with torch.no_grad():
        teacher.classifier.weight.mul_(100)
    config = ModernBertConfig(8192, 16, 16, 2, 2, 16)
    student = ModernBertForSequenceClassification(config, 3, seed=5)
    before = answers(student.eval())
    steps = TrainConfig(steps=60, batch_size=8, learning_rate=1e-2, device="cpu")
    taught = distill(teacher, student, source, steps, layers=[(0, 1)])
    gap = [soft_loss(answers(of), answers(teacher), 1.0).mean().item() for of in (student, taught)]
    assert gap[1] < 0.2 * gap[0] and torch.equal(answers(student), before) and not taught.training


def test_inherited_words_keep_the_main_directions():
    teacher, sklearn = model(), pytest.importorskip("sklearn.decomposition")
    config = ModernBertConfig(8192, 16, 16, 2, 2, 16)
    student = ModernBertForSequenceClassification(config, 3)
    std = student.encoder.embeddings.word.weight.std().item()
    inherit_words(student, teacher)
    found = student.encoder.embeddings.word.weight.detach().double()
    codes = sklearn.PCA(16).fit_transform(teacher.encoder.embeddings.word.weight.detach().double())
    codes = torch.from_numpy(codes) * std / codes.std(ddof=1)
    torch.testing.assert_close(found @ found.T, codes @ codes.T, atol=1e-5, rtol=1e-3)
    with pytest.raises(ValueError, match="no more numbers a word"):
        inherit_words(teacher, student)
