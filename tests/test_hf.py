"""BERT and ModernBERT equal those of transformers in numbers, and their folders go both ways."""

import json

import pytest
import torch
import transformers
import transformers.models.modernbert.modeling_modernbert as modeling_modernbert
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import pretrain_lib as pl
from pretrain_lib.pretrained import load_pretrained, save_pretrained

TINY = {"vocab_size": 211, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0}
BASE = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
IDS = {"bos_token_id": None, "eos_token_id": None, "cls_token_id": 2, "sep_token_id": 3}

SIZES = [pytest.param("tiny", id="tiny"), pytest.param("base", id="base", marks=pytest.mark.slow)]


def their_bert(size):
    sizes = TINY if size == "tiny" else BASE
    torch.manual_seed(0)
    return transformers.BertForPreTraining(transformers.BertConfig(**sizes, **NO_DROPOUT))


def their_modern(size):
    sizes = TINY | {"local_attention": 6} if size == "tiny" else BASE | {"intermediate_size": 1152}
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(**(sizes | IDS | {"pad_token_id": 0}))
    return transformers.ModernBertForMaskedLM(config)


def ragged_batch(vocab_size, length=24):
    """Three sequences of 24, 13 and 5 tokens, padded; a third of the real tokens is to be predicted."""
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(5, vocab_size, (3, length), generator=generator)
    attention_mask = (torch.arange(length) < torch.tensor([[length], [13], [5]])).long()
    chosen = (torch.rand(3, length, generator=generator) < 0.3) & (attention_mask > 0)
    chosen[:, 1] = True
    labels = torch.where(chosen, input_ids.roll(1), -100)
    token_type_ids = (torch.arange(length) > 3).long() * attention_mask
    return input_ids * attention_mask, attention_mask, token_type_ids, labels


def unrounded_rotation(q, k, cos, sin, unsqueeze_dim=1):
    """transformers rounds queries and keys to float32 before it turns them; in float64 that is the
    only difference there is, and this is the same turn without the rounding."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    half = modeling_modernbert.rotate_half
    return q * cos + half(q) * sin, k * cos + half(k) * sin


def copied(theirs, folder):
    """Our model with the weights of theirs, by way of their folder."""
    theirs.save_pretrained(folder)
    return load_pretrained(folder)


def gradients_close(model, theirs, tolerance):
    """Every gradient, by norm, against the larger of its own and a millionth of the global one."""
    from pretrain_lib.hf import THIRDS, family_of

    family = family_of(model)
    other = {name: p.grad for name, p in theirs.named_parameters()}
    total = torch.cat([g.flatten() for g in other.values() if g is not None]).norm()
    for name, parameter in model.named_parameters():
        key = family.theirs(name)
        parts = [key.replace("qkv", third) for third in THIRDS] if ".self.qkv." in key else [key]
        expected = torch.cat([other[part] for part in parts])
        scale = max(expected.norm(), 1e-6 * total)
        assert (parameter.grad - expected).norm() <= tolerance * scale, name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_bert_equals_theirs_in_float64(size, implementation, tmp_path):
    if size == "base" and implementation == "eager":
        pytest.skip("one of the two paths is enough at this size")
    theirs = their_bert(size)
    theirs.set_attn_implementation(implementation)
    ours = copied(theirs, tmp_path / "theirs").double()
    theirs = theirs.double().eval()
    input_ids, attention_mask, token_type_ids, labels = ragged_batch(theirs.config.vocab_size)
    next_sentence = torch.tensor([0, 1, 1])
    expected = theirs(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids,
                      labels=labels, next_sentence_label=next_sentence)
    answer = ours(input_ids, attention_mask, token_type_ids)
    real = attention_mask == 1
    assert (answer.masked_lm - expected.prediction_logits)[real].abs().max() < 1e-10
    assert (answer.next_sentence - expected.seq_relationship_logits).abs().max() < 1e-10
    loss = (F.cross_entropy(answer.masked_lm.flatten(0, 1), labels.flatten())
            + F.cross_entropy(answer.next_sentence, next_sentence))
    assert abs(loss - expected.loss) < 1e-10
    loss.backward()
    expected.loss.backward()
    gradients_close(ours, theirs, 1e-10)


@pytest.mark.parametrize("size", SIZES)
def test_modernbert_equals_theirs_in_float64(size, tmp_path, monkeypatch):
    monkeypatch.setattr(modeling_modernbert, "apply_rotary_pos_emb", unrounded_rotation)
    theirs = their_modern(size)
    ours = copied(theirs, tmp_path / "theirs").double()
    theirs = theirs.double().eval()
    input_ids, attention_mask, _, labels = ragged_batch(theirs.config.vocab_size)
    expected = theirs(input_ids, attention_mask=attention_mask).logits
    answer = ours(input_ids, attention_mask)
    assert (answer - expected)[attention_mask == 1].abs().max() < 1e-10
    # Their own loss is taken in float32, whatever the logits are.
    loss, their_loss = (F.cross_entropy(logits.flatten(0, 1), labels.flatten())
                        for logits in (answer, expected))
    assert abs(loss - their_loss) < 1e-10
    loss.backward()
    their_loss.backward()
    gradients_close(ours, theirs, 1e-10)


@pytest.mark.parametrize("their_model", [their_bert, their_modern], ids=["bert", "modernbert"])
def test_in_float32_it_is_as_near_as_their_two_paths_are(their_model, tmp_path):
    theirs = their_model("tiny")
    ours = copied(theirs, tmp_path / "theirs")
    theirs.eval()
    input_ids, _, _, labels = ragged_batch(theirs.config.vocab_size)
    answers, losses = [], []
    for implementation in ("eager", "sdpa"):
        theirs.set_attn_implementation(implementation)
        answer = theirs(input_ids)
        answers.append(answer[0] if hasattr(answer, "logits") else answer.prediction_logits)
        losses.append(F.cross_entropy(answers[-1].flatten(0, 1), labels.flatten()))
    mine = ours(input_ids)
    mine = mine if isinstance(mine, torch.Tensor) else mine.masked_lm
    gap = max((answers[0] - answers[1]).abs().max().item(), 1e-7)
    assert (mine - answers[1]).abs().max() <= 3 * gap
    loss = F.cross_entropy(mine.flatten(0, 1), labels.flatten())
    assert abs(loss - losses[1]) <= max(3 * abs(losses[0] - losses[1]), 1e-6)


# --------------------------------------------------------------------------------- their folders


@pytest.mark.parametrize("kind", ["BertForPreTraining", "BertForMaskedLM", "BertModel",
                                  "ModernBertForMaskedLM", "ModernBertModel"])
def test_what_is_saved_is_read_by_transformers(kind, tmp_path):
    modern = kind.startswith("Modern")
    config = (pl.ModernBertConfig(**TINY, local_attention=6) if modern
              else pl.BertConfig(**TINY, **NO_DROPOUT))
    model = getattr(pl, kind)(config, seed=3).eval()
    save_pretrained(model, tmp_path / "m")
    auto = {"PreTraining": transformers.AutoModelForPreTraining,
            "MaskedLM": transformers.AutoModelForMaskedLM}
    auto = auto.get(kind.split("For")[-1], transformers.AutoModel)
    theirs, info = auto.from_pretrained(tmp_path / "m", output_loading_info=True)
    missing = {name for name in info["missing_keys"] if "pooler" not in name}
    assert not missing and not info["unexpected_keys"] and not info["mismatched_keys"]
    input_ids, attention_mask, _, _ = ragged_batch(211)
    real = attention_mask == 1
    answer, expected = model(input_ids, attention_mask), theirs.eval()(input_ids, attention_mask)[0]
    answer = answer if isinstance(answer, torch.Tensor) else answer.masked_lm
    assert (answer - expected)[real].abs().max() < 1e-5
    back = load_pretrained(tmp_path / "m")
    assert type(back) is type(model) and back.config == model.config
    for (name, one), (_, two) in zip(model.state_dict().items(), back.state_dict().items(),
                                     strict=True):
        assert torch.equal(one, two), name


@pytest.mark.parametrize("kind", ["SequenceClassification", "TokenClassification"])
@pytest.mark.parametrize("family", ["Bert", "ModernBert"])
def test_classifiers_go_both_ways(family, kind, tmp_path):
    extra = {"local_attention": 6} if family == "ModernBert" else NO_DROPOUT
    config = getattr(pl, f"{family}Config")(**TINY, **extra)
    model = getattr(pl, f"{family}For{kind}")(config, num_labels=5).eval()
    save_pretrained(model, tmp_path / "m")
    auto = getattr(transformers, f"AutoModelFor{kind}")
    theirs, info = auto.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    input_ids, attention_mask, _, _ = ragged_batch(211)
    answer, expected = model(input_ids, attention_mask), theirs.eval()(input_ids, attention_mask)[0]
    real = attention_mask == 1 if kind == "TokenClassification" else slice(None)
    assert (answer - expected)[real].abs().max() < 1e-5
    theirs.save_pretrained(tmp_path / "theirs")
    back = load_pretrained(tmp_path / "theirs")
    assert (back(input_ids, attention_mask) - answer)[real].abs().max() < 1e-5


def test_a_half_precision_folder_is_read_as_float32(tmp_path):
    model = pl.BertForMaskedLM(pl.BertConfig(**TINY))
    save_pretrained(model, tmp_path / "m", dtype=torch.float16)
    stored = load_file(tmp_path / "m" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert json.loads((tmp_path / "m" / "config.json").read_text())["dtype"] == "float16"
    back = load_pretrained(tmp_path / "m")
    assert {p.dtype for p in back.parameters()} == {torch.float32}


def test_early_spelling_of_the_normalisation_is_read(tmp_path):
    save_pretrained(model := pl.BertForMaskedLM(pl.BertConfig(**TINY)), tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma")
           .replace("LayerNorm.bias", "LayerNorm.beta"): t for name, t in load_file(file).items()}
    assert any(name.endswith("gamma") for name in old)
    save_file(old, file)
    input_ids = torch.randint(0, 211, (2, 7))
    assert torch.equal(load_pretrained(tmp_path / "m")(input_ids), model.eval()(input_ids))


@pytest.mark.parametrize("change, message", [
    ({"hidden_act": "relu"}, "hidden_act='relu'"),
    ({"model_type": "gpt2"}, "model_type 'gpt2'"),
    ({"architectures": ["BertLMHeadModel"]}, "BertLMHeadModel"),
    ({"num_hidden_layers": 5}, "has no tensor"),
    ({"num_hidden_layers": 3}, "no place for"),
    ({"vocab_size": 300}, "of another shape"),
])
def test_a_folder_that_does_not_fit_is_an_error(change, message, tmp_path):
    save_pretrained(pl.BertForMaskedLM(pl.BertConfig(**TINY)), tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path / "m")
