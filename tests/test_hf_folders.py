"""Folders of transformers as they come: fields left out or unknown, several files, other contents."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import pretrain_lib as pl
from pretrain_lib.models.bert import BertConfig
from pretrain_lib.models.modern import ModernBertConfig

TINY = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.2,
        "pad_token_id": 0}
MODERN_IDS = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}


def folder_of(kind, folder, **settings):
    torch.manual_seed(1)
    family = "ModernBert" if kind.startswith("Modern") else "Bert"
    more = {**MODERN_IDS, "local_attention": 4} if family == "ModernBert" else {}
    config = getattr(transformers, f"{family}Config")(**TINY, **more, **settings)
    getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


def change(folder, without=(), **fields):
    file = folder / "config.json"
    config = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: v for name, v in config.items() if name not in without}))
    return folder


def ids():
    return torch.randint(5, 99, (2, 9), generator=torch.Generator().manual_seed(2))


def apart(folder, auto):
    """The largest difference of our logits from theirs."""
    theirs, mask = auto.from_pretrained(folder).eval(), torch.ones(2, 9, dtype=torch.long)
    with torch.no_grad():
        expected = theirs(input_ids=ids(), attention_mask=mask)[0]
        return (pl.load_pretrained(folder)(ids(), mask) - expected).abs().max().item()


# ------------------------------------------------------------------------------ fields left out


@pytest.mark.parametrize("ours, theirs", [(BertConfig, transformers.BertConfig),
                                          (ModernBertConfig, transformers.ModernBertConfig)])
def test_every_field_that_is_left_out_is_what_transformers_assumes(ours, theirs):
    family = next(kind.hugging_face for kind in (pl.BertModel, pl.ModernBertModel)
                  if kind.config_class is ours)
    assumed = theirs().to_dict()
    found = ours.from_hugging_face(family.defaults).to_hugging_face()
    assert {name: (value, assumed[name]) for name, value in found.items()
            if value != assumed[name]} == {}
    others = family.fixed | family.defaults
    assert {name: (value, assumed[name]) for name, value in others.items()
            if value != assumed[name]} == {}


def test_a_pooling_that_is_left_out_is_theirs(tmp_path):
    folder = folder_of("ModernBertForSequenceClassification", tmp_path, num_labels=3)
    change(folder, without=["classifier_pooling"])
    assert apart(folder, transformers.AutoModelForSequenceClassification) < 1e-5


def test_a_null_angle_of_before_version_5_is_that_of_the_other_layers(tmp_path):
    folder = folder_of("ModernBertModel", tmp_path)
    change(folder, without=["rope_parameters"], global_rope_theta=700.0, local_rope_theta=None)
    answer = pl.load_pretrained(folder)(ids())
    change(folder, local_rope_theta=700.0)  # transformers 5 cannot read the null
    with torch.no_grad():
        theirs = transformers.AutoModel.from_pretrained(folder).eval()(input_ids=ids())[0]
    assert (answer - theirs).abs().max() < 1e-5
    change(folder, local_rope_theta=30.0)
    assert (pl.load_pretrained(folder)(ids()) - theirs).abs().max() > 1e-3


def test_stretched_angles_of_before_version_5_are_refused(tmp_path):
    folder = folder_of("ModernBertModel", tmp_path)
    change(folder, without=["rope_parameters"], rope_scaling={"type": "linear", "factor": 2.0})
    with pytest.raises(ValueError, match="rope_type of full_attention must be 'default'.*'linear'"):
        pl.load_pretrained(folder)


def test_a_null_for_the_padding_is_read(tmp_path):
    folder = change(folder_of("BertForMaskedLM", tmp_path), pad_token_id=None)
    assert apart(folder, transformers.AutoModelForMaskedLM) < 1e-5


# ------------------------------------------------------------------------ fields kept on saving


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "BertForTokenClassification",
                                  "ModernBertForSequenceClassification", "ModernBertForMaskedLM", "BertModel"])
def test_what_is_not_used_here_is_written_back(kind, tmp_path):
    folder = folder_of(kind, tmp_path / "theirs", problem_type="multi_label_classification",
                       chunk_size_feed_forward=3, classifier_dropout=0.25, bos_token_id=7,
                       id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1}) if kind.startswith("Bert") else \
        folder_of(kind, tmp_path / "theirs", classifier_dropout=0.25, sparse_pred_ignore_index=-7)
    change(folder, my_own_field={"a": [1]})
    pl.save_pretrained(pl.load_pretrained(folder), tmp_path / "ours")
    one, two = ({name: value for name, value in transformers.AutoConfig.from_pretrained(at).to_dict().items()
                 if name not in ("pretrain_lib", "_name_or_path", "transformers_version")}
                for at in (folder, tmp_path / "ours"))
    assert two == one and two["my_own_field"] == {"a": [1]}
    if "Classification" in kind:
        assert pl.load_pretrained(tmp_path / "ours").dropout.p == 0.25


def test_a_tokenizer_says_the_special_ids_anew(tmp_path):
    folder = folder_of("ModernBertForMaskedLM", tmp_path / "m")
    change(folder, cls_token_id=50)
    tokenizer = pl.train_tokenizer(["gold silver coin"], 60)
    pl.save_pretrained(pl.load_pretrained(folder), tmp_path / "ours", tokenizer)
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["cls_token_id"] == 2


@pytest.mark.parametrize("model", [
    pl.BertForMaskedLM(BertConfig(vocab_size=40, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)),
    pl.LinearAutoencoder(6, 2)], ids=["theirs", "our own"])
def test_a_weight_too_large_for_the_format_is_refused(model, tmp_path):
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = 70_000.0
    with pytest.raises(ValueError, match=r"holds 70000, and torch.float16 ends at 65504: save as torch.float32"):
        pl.save_pretrained(model, tmp_path / "m", dtype=torch.float16)
    pl.save_pretrained(model, tmp_path / "m", dtype=torch.bfloat16)


# ------------------------------------------------------------------------------ other contents


def test_weights_in_several_files_are_read(tmp_path):
    folder = folder_of("BertForMaskedLM", tmp_path / "one")
    whole = load_file(folder / "model.safetensors")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "several", max_shard_size="20KB")
    assert not (tmp_path / "several" / "model.safetensors").exists()
    one, two = pl.load_pretrained(folder), pl.load_pretrained(tmp_path / "several")
    assert len(whole) and all(torch.equal(a, b) for a, b in
                              zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    index = tmp_path / "several" / "model.safetensors.index.json"
    files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    (tmp_path / "several" / files[0]).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {files[0]}, which .*index.json names: get it"):
        pl.load_pretrained(tmp_path / "several")
    index.write_text(json.dumps({"weight_map": {"a": "../one/model.safetensors"}}))
    with pytest.raises(ValueError, match="lies outside its folder"):
        pl.load_pretrained(tmp_path / "several")
    index.write_text("[]")
    with pytest.raises(ValueError, match="index.json is damaged"):
        pl.load_pretrained(tmp_path / "several")


def written(folder, *files):
    for file in files:
        (folder / file).write_text("{}")
    return folder


@pytest.mark.parametrize("files, message", [
    (["config.json", "pytorch_model.bin"], r"no model.safetensors; it holds pytorch_model.bin, .*AutoModel.from_pretrained\(folder\).save_pretrained"),
    (["adapter_config.json", "adapter_model.safetensors"], "it holds adapters: .*load_lora"),
    (["config.json"], "it has no model.safetensors; save_pretrained writes it"),
])
def test_a_folder_with_something_else_is_answered_with_what_to_do(files, message, tmp_path):
    with pytest.raises(FileNotFoundError, match=message):
        pl.load_pretrained(written(tmp_path, *files))


@pytest.mark.parametrize("name", ["bert-base-nowhere", "somebody/bert-base-nowhere"])
def test_a_name_of_the_hub_is_answered_with_what_to_do(name):
    with pytest.raises(FileNotFoundError, match=f"neither a folder '{name}' .*hub:owner/name"):
        pl.load_pretrained(name)


@pytest.mark.parametrize("fields, message", [
    ({"architectures": None}, 'does not say what the folder holds: give it "architectures", .*BertForMaskedLM'),
    ({"architectures": []}, 'give it "architectures"'),
    ({"architectures": ["BertForMultipleChoice"]}, "holds a BertForMultipleChoice: known are BertForMaskedLM"),
    ({"id2label": {"1": "a", "2": "b"}}, "numbers its 2 classes in id2label as 1, 2: number them from 0 to 1"),
])
def test_a_config_that_does_not_suffice_is_answered_with_what_to_do(fields, message, tmp_path):
    folder = folder_of("BertForSequenceClassification", tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        pl.load_pretrained(change(folder, **fields))
    assert "\n" not in str(error.value)


def test_an_old_vocabulary_file_is_answered_with_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="from its vocab.txt, transformers' AutoTokenizer"):
        pl.load_tokenizer(written(tmp_path, "vocab.txt"))


def test_a_folder_of_before_this_field_is_still_read(tmp_path):
    """Nothing of what is written today is asked for."""
    model = pl.BertForSequenceClassification(BertConfig(**TINY), 2)
    pl.save_pretrained(model, tmp_path / "m")
    change(tmp_path / "m", without=["classifier_dropout", "pretrain_lib"])
    assert torch.equal(pl.load_pretrained(tmp_path / "m")(ids()), model.eval()(ids()))


def test_no_tensor_is_left_over_without_a_word(tmp_path):
    folder = folder_of("BertForMaskedLM", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "bert.encoder.extra": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="BertForMaskedLM has no place for: bert.encoder.extra"):
        pl.load_pretrained(folder)
