"""The recipe for speech, tried for two updates on a few clips in the columns of its real set."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain_lib import Wav2Vec2Config, Wav2Vec2Model, load_pretrained, load_speech
from pretrain_lib.__main__ import main
from pretrain_lib.data.speech.features import MelConfig
from pretrain_lib.programs.recipe import read_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "masked-frames-librispeech-10h.toml"
SMALL = ("--model.conv-dim 8 --model.hidden-size 16 --model.num-hidden-layers 1 --model.num-attention-heads 2 --model.intermediate-size 32 "
         "--objective.frame-size 16 --train.steps 2 --train.warmup-steps 1 --train.batch-size 8 --train.workers 0 --train.device cpu")


def clip(seed: int) -> bytes:
    """Half a second of noise, as a .wav."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(np.random.default_rng(seed).integers(-9000, 9000, 8000 + 160 * seed, dtype=np.int16).tobytes())
    return file.getvalue()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A data set of the Hub with the columns and splits of openslr/librispeech_asr, as files."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "librispeech_asr"
    splits = {"train.100": 16, "validation": 8}
    files = "".join(f"  - split: {split}\n    path: clean/{split}/*.parquet\n" for split in splits)
    folder.mkdir()
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: clean\n  data_files:\n{files}---\n")
    sound = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    columns = {name: datasets.Value(kind) for name, kind in (("file", "string"), ("text", "string"), ("speaker_id", "int64"), ("chapter_id", "int64"), ("id", "string"))}
    for split, number in splits.items():
        rows = {"file": [f"{i}.flac" for i in range(number)], "audio": [{"bytes": clip(i), "path": f"{i}.flac"} for i in range(number)],
                "text": ["CHAPTER ONE"] * number, "speaker_id": [i % 3 for i in range(number)], "chapter_id": [1] * number, "id": list(map(str, range(number)))}
        table = datasets.Dataset.from_dict(rows, datasets.Features({**columns, "audio": sound}))
        (folder / "clean" / split).mkdir(parents=True)
        table.cast(datasets.Features({**columns, "audio": datasets.Audio()})).to_parquet(folder / "clean" / split / "0000.parquet")
    return f"hub:{folder}"


@pytest.fixture
def folder(tmp_path):
    """Clips of two voices, a sub-folder each, and what they say beside them."""
    for i in range(16):
        path = tmp_path / "clips" / "ab"[i % 2] / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip(i))
        path.with_suffix(".txt").write_text("chapter one")
    return str(tmp_path / "clips")


@pytest.mark.parametrize("source, splits", [("repository", ()), ("folder", ("--data.split", "train", "--data.held-out", "test", "--data.config", ""))])
def test_the_recipe_becomes_a_model_that_encodes_speech(source, splits, request, tmp_path, monkeypatch):
    name = request.getfixturevalue(source)
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", str(RECIPE), *SMALL.split(), "--data.name", name, *splits, "--folder", "run"]) == 0
    model, asked = load_pretrained("run").eval(), {"split": "validation", "config": "clean"} if not splits else {"split": "test"}
    speech = load_speech(name, mel=MelConfig(num_mel_bins=80), **asked)
    features = model.encode(speech.features, speech.lengths)
    assert features.shape == (8, 16) and features.isfinite().all() and features[0].sub(features[1]).abs().max() > 0


def test_the_transformer_is_as_large_as_that_of_wav2vec_2_base():
    recipe = read_recipe(RECIPE)
    with torch.device("meta"):
        ours, theirs = recipe.model.kind(recipe.model.config), Wav2Vec2Model(Wav2Vec2Config())
    numbers = [sum(p.numel() for p in model.layers.parameters()) for model in (ours, theirs)]
    assert numbers[0] == numbers[1] and numbers[0] / 1e6 == pytest.approx(85, rel=0.01)
