"""Embedders of sentences: the vectors and folders of sentence-transformers, read and written."""

import json
import shutil

import pytest
import torch
from sentence_transformers import SentenceTransformer

import pretrain_lib as pl

TEXTS = ["gold silver coin in the army", "war fort", "the army of gold and silver and coin", "coin", "war and war and war"]
SIZES = {"vocab_size": 80, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
         "max_position_embeddings": 16}


@pytest.fixture(scope="module")
def tokenizer():
    return pl.train_tokenizer(TEXTS, 80)


def encoder(family="bert", seed=0):
    """A small encoder whose weights are large enough to tell texts apart."""
    model = pl.BertModel(pl.BertConfig(**SIZES), seed) if family == "bert" else pl.ModernBertModel(pl.ModernBertConfig(**SIZES), seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5 if parameter.ndim > 1 else 1)
    return model.eval()


@pytest.mark.parametrize("family, pooling, normalize, longest", [
    ("bert", "mean", True, None), ("bert", "cls", False, 6), ("modernbert", "cls", True, 6), ("modernbert", "mean", False, None),
])  # fmt: skip
def test_sentence_transformers_makes_the_same_vectors_of_our_folder_and_we_of_theirs(family, pooling, normalize, longest, tokenizer, tmp_path):
    model = pl.SentenceEmbedder(encoder(family), pooling, normalize, longest).eval()
    pl.save_pretrained(model, tmp_path / "ours", tokenizer)
    other = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    vectors = pl.embed(model, tokenizer, TEXTS, 2)
    assert other.max_seq_length == (longest or 16)
    assert (torch.from_numpy(other.encode(TEXTS, batch_size=3)) - vectors).abs().max() < 1e-5
    assert (vectors[0] - vectors[2]).norm() > 0.01
    other.save(str(tmp_path / "theirs"), create_model_card=False)
    for folder in ("ours", "theirs"):
        back = pl.load_pretrained(tmp_path / folder)
        assert back.to_config() | {"encoder": 0} == model.to_config() | {"encoder": 0} and not back.training
        assert (pl.embed(back, pl.load_tokenizer(tmp_path / folder), TEXTS) - vectors).abs().max() < 1e-5


def test_pooling_is_the_mean_over_tokens_or_the_first_one_and_length_is_one_if_asked():
    inner = encoder().double()
    ids = torch.randint(5, 80, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9) < torch.tensor([[9], [4], [1]])).long()
    hidden = inner(ids, mask)
    means = torch.stack([row[:n].mean(0) for row, n in zip(hidden, (9, 4, 1), strict=True)])
    for pooling, pooled in (("mean", means), ("cls", hidden[:, 0])):
        assert torch.allclose(pl.SentenceEmbedder(inner, pooling, False)(ids, mask), pooled, atol=1e-12)
        ones = pl.SentenceEmbedder(inner, pooling)(ids, mask)
        assert torch.allclose(ones, pooled / pooled.norm(dim=1, keepdim=True), atol=1e-12)


def test_the_encoder_of_a_model_with_a_head_is_taken_and_a_tagger_goes_on_it():
    headed = pl.BertForMaskedLM(pl.BertConfig(**SIZES))
    model = pl.SentenceEmbedder(headed)
    assert model.encoder is headed.encoder and model.feature_size == 16
    assert isinstance(model.with_tagger(3), pl.BertForTokenClassification)


@pytest.mark.parametrize("make, message", [
    (lambda: pl.SentenceEmbedder(encoder(), "max"), "pooling must be one of mean, cls, got 'max'"),
    (lambda: pl.SentenceEmbedder(encoder(), max_seq_length=17), "max_seq_length must be between 3 and the encoder's 16 positions, got 17"),
    (lambda: pl.SentenceEmbedder(pl.LinearAutoencoder(6, 2)), "encoder must be a BERT or a ModernBERT that sees both sides, got LinearAutoencoder"),
    (lambda: pl.SentenceEmbedder(pl.ModernBertForCausalLM(pl.ModernBertConfig(**SIZES)).encoder), "sees both sides, got ModernBertModel"),
])  # fmt: skip
def test_what_is_no_embedder_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- Folders of others ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedder") / "m"
    pl.save_pretrained(pl.SentenceEmbedder(encoder(), max_seq_length=7), folder, tokenizer)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "m")


def change(file, **fields):
    """Sets fields of a JSON file; None takes one away."""
    content = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


MODES = {f"pooling_mode_{name}": None for name in
         ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")}


def test_a_folder_says_what_it_holds_and_prompts_are_kept(folder, tmp_path):
    assert [m["type"].rsplit(".")[-1] for m in json.loads((folder / "modules.json").read_text())] == ["Transformer", "Pooling", "Normalize"]
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["BertModel"]
    change(folder / "config_sentence_transformers.json", prompts={"query": "Find: "})
    model = pl.load_pretrained(folder)
    assert model.prompts == {"query": "Find: "}
    pl.save_pretrained(model, tmp_path / "again")
    assert pl.load_pretrained(tmp_path / "again").prompts == model.prompts


@pytest.mark.parametrize("said", [{"pooling_mode": "cls"}, {"pooling_mode": ["cls"]}, {"pooling_mode_cls_token": True}])
def test_pooling_may_be_named_or_flagged(folder, said):
    change(folder / "1_Pooling" / "config.json", **(MODES | said))
    assert pl.load_pretrained(folder).pooling == "cls"


def test_without_a_length_of_its_own_it_is_the_tokenizers_and_at_most_the_models(folder):
    for longest, kept in ((5, 5), (10**30, 16)):
        (folder / "sentence_bert_config.json").write_text("{}")
        change(folder / "tokenizer_config.json", model_max_length=longest)
        assert pl.load_pretrained(folder).max_seq_length == kept


@pytest.mark.parametrize("file, said, message", [
    ("1_Pooling/config.json", MODES | {"pooling_mode": "lasttoken"}, "m pools by lasttoken: known are mean or cls"),
    ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "m pools by mean and max: known are mean or cls"),
    ("1_Pooling/config.json", {"include_prompt": False}, "m has include_prompt=False: known here is True only"),
    ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "m has default_prompt_name='query': known here is None only"),
    ("config_sentence_transformers.json", {"model_type": "CrossEncoder"}, "m has model_type='CrossEncoder': known here is 'SentenceTransformer' only"),
    ("config_sentence_transformers.json", {"truncate_dim": 8}, "m has truncate_dim=8: known here is None only"),
    ("sentence_bert_config.json", {"do_lower_case": True}, "m has do_lower_case=True: known here is False only"),
])  # fmt: skip
def test_what_would_make_other_vectors_is_refused_by_name(folder, file, said, message):
    change(folder / file, **said)
    with pytest.raises(ValueError, match=message):
        pl.load_pretrained(folder)


def test_other_modules_and_damaged_files_are_refused_by_name(folder):
    modules = json.loads((folder / "modules.json").read_text())
    for changed, message in (
        ([*modules, {"type": "sentence_transformers.models.Dense", "path": "3_Dense"}], "has the modules .*models.Dense: known are Transformer, Pooling"),
        ([modules[0] | {"type": "custom.Transformer"}, modules[1]], "has the modules custom.Transformer, .*of sentence_transformers"),
        ([modules[0], modules[1] | {"path": "../elsewhere"}], "has the paths '', '../elsewhere': known are ''"),
        ([{"idx": 0}], 'is damaged: it must list modules, each with its "type" and its "path"'),
    ):
        (folder / "modules.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=message):
            pl.load_pretrained(folder)
    (folder / "modules.json").write_text("[")
    with pytest.raises(ValueError, match="modules.json is damaged: it is no JSON"):
        pl.load_pretrained(folder)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="1_Pooling has no config.json, which modules.json asks for"):
        pl.load_pretrained(folder)
