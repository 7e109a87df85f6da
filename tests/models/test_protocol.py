"""What a model says of itself is enough: every exported one is saved, read, probed and fine-tuned."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import pretrain_lib as pl
from pretrain_lib.models.protocol import Model, exported_models
from pretrain_lib.transfer.features import features, logits

ROOT = Path(__file__).parents[2]
SIZES = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 16}
IMAGE = (1, 8, 8)
CLIP_SIZES = {"image_size": 8, "patch_size": 4, "num_channels": 1, "num_frames": 4, "hidden_size": 16, "num_attention_heads": 2}


def made(kind):
    """A small model of a class, whatever its constructor asks for."""
    name = kind.__name__
    if name == "LinearAutoencoder":
        return kind(64, 5)
    if name == "SparseAutoencoder":
        return kind(pl.SparseAutoencoderConfig(64, 80, top_k=9), seed=0)
    if name == "Classifier":
        return kind(pl.LinearAutoencoder(64, 5), 3)
    if name == "SentenceEmbedder":
        return kind(pl.BertModel(pl.BertConfig(**SIZES)))
    if name == "EncoderDecoder":
        return kind(pl.BertModel(pl.BertConfig(**SIZES)), pl.DecoderConfig(20, 16, 1, 2, 24))
    if name in ("Segmenter", "Detector"):
        return kind(made(pl.ResNetModel), 3, width=8)
    if name == "Tower":
        return kind(made(pl.BagOfWords), 7)
    if name == "TwoTowers":
        return kind(made(pl.ResNetModel), made(pl.BertModel), 7)
    if name == "CLIPModel":
        return kind(pl.CLIPConfig(made(pl.CLIPTextModel).config, made(pl.CLIPVisionModel).config, 7))
    if name == "CLIPTextModel":
        return kind(pl.CLIPTextConfig(**SIZES, eos_token_id=2))
    if name == "CLIPVisionModel":
        return kind(pl.CLIPVisionConfig(8, 4, 1, 16, 2, 2, 24))
    if name == "BagOfWords":
        return kind(pl.BagOfWordsConfig(60, 16))
    if name == "Transcriber":
        return kind(made(pl.AcousticLSTM), 5)
    if name.startswith("Acoustic"):
        return kind(getattr(pl, f"{name}Config")(num_mel_bins=6, conv_dim=(8,), hidden_size=16, num_hidden_layers=2))
    if name in ("Wav2Vec2Model", "HubertModel"):
        return kind(getattr(pl, name.replace("Model", "Config"))(16, 2, 2, 24, (8, 8), (6, 3), (4, 2), feat_extract_norm="layer",
                                                                 num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2))
    if name == "KnowledgeEncoder":
        return kind(made(pl.ModernBertModel), torch.randn(40, 6, generator=torch.Generator().manual_seed(0)))
    if name in ("TransE", "DistMult", "ComplEx"):
        return kind(kind.config_class(40, 3, 8))
    if "Bert" in name:
        config = (pl.ModernBertConfig if name.startswith("Modern") else pl.BertConfig)(**SIZES)
        return kind(config, 3) if "Classification" in name else kind(config)
    if "ResNet" in name:
        config = pl.ResNetConfig(1, 8, (8, 12), (1, 1), stem="cifar")
        return kind(config, 3) if "Classification" in name else kind(config)
    if "Video" in name:
        config = pl.VideoMAEConfig(**CLIP_SIZES, decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2)
        return kind(config, 3) if "Classification" in name else kind(config)
    if "ViT" in name:
        size = {"image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_size": 16, "num_attention_heads": 2}
        if "MAE" in name:
            return kind(pl.ViTMAEConfig(**size, decoder_hidden_size=16, decoder_num_hidden_layers=1))
        return kind(pl.ViTConfig(**size), 3) if "Classification" in name else kind(pl.ViTConfig(**size))
    config = getattr(pl, f"{name}Config")
    if "LM" in name or "LSTM" in name:
        return kind(config(60, two_sided=True) if "LM" in name else config(60))
    more = {"channels": (4, 8)} if "hidden_sizes" not in config.__dataclass_fields__ else {}
    return kind(config(IMAGE, **more, **({"pool_size": 2} if "Masked" in name else {})))


MODELS = [made(kind).eval() for kind in exported_models().values()]
EACH = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


def samples(model, n=12):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    if model.columns == ("images",):
        return pl.Columns(images=torch.rand(n, *IMAGE, generator=generator), labels=labels)
    if model.columns == ("activations",):
        return pl.Columns(activations=torch.rand(n, 64, generator=generator), labels=labels)
    if model.columns == ("entities",):
        return pl.Columns(entities=torch.randint(0, 40, (n,), generator=generator), labels=labels)
    if model.columns == ("clips",):
        return pl.Columns(clips=torch.rand(n, 4, *IMAGE, generator=generator), labels=labels)
    if model.columns[0] != "input_ids":  # of sound
        steps, mels = (30, (6,)) if model.columns[0] == "features" else (200, ())
        return pl.Columns(**{model.columns[0]: torch.randn(n, steps, *mels, generator=generator),
                             "lengths": torch.tensor([steps, 2 * steps // 3]).repeat(n // 2), "labels": labels})
    ids = torch.randint(5, 60, (n, 9), generator=generator)
    mask = (torch.arange(9) < torch.tensor([9, 6]).repeat(n // 2)[:, None]).long()
    named = {"entities": ids % 3 - 1} if "entities" in model.columns else {}
    return pl.Columns(input_ids=ids * mask, attention_mask=mask, labels=labels, **named)


def test_every_model_that_is_exported_can_be_saved():
    modules = {name for name in pl.__all__ if isinstance(kind := getattr(pl, name), type)
               and issubclass(kind, nn.Module) and not issubclass(kind, pl.Objective)}
    predictors, layers = {"Unigram", "TwoSidedBigram"}, {"BatchNorm", "ProjectionHead"}  # the first are made of a text anew
    assert modules - predictors - layers == set(exported_models())


@EACH
def test_it_comes_back_from_its_folder(model, tmp_path):
    pl.save_pretrained(model, tmp_path / "m")
    back, data = pl.load_pretrained(tmp_path / "m"), samples(model)
    assert type(back) is type(model) and not back.training
    assert isinstance(model, Model) and back.to_config().keys() == model.to_config().keys()
    assert all(torch.equal(one, two) for one, two in
               zip(model.state_dict().values(), back.state_dict().values(), strict=True))
    assert torch.equal(features(back, data), features(model, data))


@EACH
def test_its_features_are_as_wide_as_it_says_and_a_head_starts_at_zero(model, tmp_path):
    data, before = samples(model), {name: t.clone() for name, t in model.state_dict().items()}
    assert features(model, data).shape == (12, model.feature_size)
    config = pl.TrainConfig(steps=2, batch_size=4, learning_rate=1e-3, device="cpu")
    assert torch.equal(logits(model.with_classifier(2), data), torch.zeros(12, 2))
    tuned = pl.fine_tune(model, data, 2, config)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    pl.save_pretrained(tuned, tmp_path / "tuned")
    assert torch.equal(logits(pl.load_pretrained(tmp_path / "tuned"), data), logits(tuned, data))


@pytest.mark.parametrize("model", [m for m in MODELS if m.columns[0] == "input_ids"],
                         ids=lambda model: type(model).__name__)
def test_a_model_of_texts_is_saved_with_its_tokenizer(model, tmp_path):
    tokenizer = pl.train_tokenizer(["gold silver coin", "army war fort"], 60)
    pl.save_pretrained(model, tmp_path / "m", tokenizer)
    assert pl.load_tokenizer(tmp_path / "m").get_vocab() == tokenizer.get_vocab()
    with pytest.raises(ValueError, match="LinearAutoencoder reads no text"):
        pl.save_pretrained(pl.LinearAutoencoder(6, 2), tmp_path / "n", tokenizer)


def test_padding_changes_no_features():
    for model in MODELS:
        if model.columns[0] not in ("images", "clips", "activations") and model.columns != ("entities",):
            data = samples(model)
            text = model.columns[0] == "input_ids"
            length = int(data.attention_mask[1].sum() if text else data.lengths[1])
            short = getattr(data, model.columns[0])[1:2, :length]
            with torch.no_grad():
                assert (features(model, data)[1] - model.encode(short)[0]).abs().max() < 1e-5


class Stranger(nn.Module):
    """Follows no protocol."""


def test_what_a_model_lacks_is_said():
    with pytest.raises(TypeError, match="Stranger has no columns, feature_size, encode, .*protocol"):
        features(Stranger(), pl.Columns(images=torch.rand(2, 3)))
    with pytest.raises(TypeError, match="Stranger has no columns"):
        pl.fine_tune(Stranger(), samples(MODELS[0]), 2, pl.TrainConfig(steps=1))


def test_a_folder_cannot_ask_for_what_is_no_model(tmp_path):
    pl.save_pretrained(pl.LinearAutoencoder(6, 2), tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    for name in ("Trainer", "prepare", "MaskedLM", "os.system", "BertConfig"):
        file.write_text('{"architecture": "%s", "config": {}}' % name)
        with pytest.raises(ValueError, match=f"names the architecture '{name}': known are"):
            pl.load_pretrained(tmp_path / "m")


NEW_MODEL = '''"""A model that nobody has heard of."""
import torch
from torch import nn


class Mirror(nn.Module):
    columns, feature_size = ("sounds",), 3

    def __init__(self, width, num_labels=None):
        super().__init__()
        self.width, self.num_labels = width, num_labels
        self.layer = nn.Linear(width, 3)
        self.head = nn.Linear(3, num_labels or 3)

    def encode(self, sounds):
        return torch.tanh(self.layer(sounds))

    def forward(self, sounds):
        return self.head(self.encode(sounds))

    def with_classifier(self, num_labels, seed=0):
        headed = Mirror(self.width, num_labels)
        headed.layer.load_state_dict(self.layer.state_dict())
        nn.init.zeros_(headed.head.weight)
        nn.init.zeros_(headed.head.bias)
        return headed

    def to_config(self):
        return {"width": self.width, "num_labels": self.num_labels}

    @classmethod
    def from_config(cls, fields):
        return cls(**fields)
'''
USE = '''
import sys, torch, pretrain_lib as pl
assert pl.__file__.startswith(sys.argv[1]), pl.__file__
torch.manual_seed(0)
data = pl.Columns(sounds=torch.randn(20, 4), labels=torch.arange(20) % 2)
data.sounds[::2] += 3
tuned = pl.fine_tune(pl.Mirror(4), data, 2, pl.TrainConfig(steps=40, batch_size=10, learning_rate=0.05, device="cpu"))
pl.save_pretrained(tuned, sys.argv[1] + "/saved")
back = pl.load_pretrained(sys.argv[1] + "/saved")
assert type(back) is pl.Mirror and torch.equal(back(data.sounds), tuned.eval()(data.sounds))
assert (back(data.sounds).argmax(1) == data.labels).all()
probe = pl.LinearProbe(back).fit(data, 1.0)
assert (probe(data) == data.labels).all()
'''


@pytest.mark.slow
def test_a_new_model_is_a_file_and_a_line(tmp_path):
    ignored = shutil.ignore_patterns("course", "__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "pretrain_lib", tmp_path / "pretrain_lib", ignore=ignored)
    (tmp_path / "pretrain_lib" / "models" / "mirror.py").write_text(NEW_MODEL)
    with (tmp_path / "pretrain_lib" / "__init__.py").open("a") as exports:
        exports.write('\nfrom .models.mirror import Mirror\n__all__ += ["Mirror"]\n')
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TQDM_DISABLE": "1"}
    subprocess.run([sys.executable, "-c", USE, str(tmp_path)], env=environment, check=True, cwd=tmp_path)
