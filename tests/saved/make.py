"""Writes what lies beside this file: everything that the library keeps, as it was kept on a certain day.

    python tests/saved/make.py

What is here was written by pretrain_lib 0.1.0 when models, runs and recipes had the form of that day,
in float32, on a CPU. test_saved_before.py holds later versions to it. Never write a folder again
because that test fails: people have such folders too. Where a new form is added, it gets a folder of its
own, and this program the lines that made it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import chdir, contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from test_saved_before import CLASSES, denoising, distillation, losses_of

import pretrain_lib as lib
from pretrain_lib.__main__ import main
from pretrain_lib.compression.prune import Kept, cut
from pretrain_lib.compression.saved import save_compressed
from pretrain_lib.course import grade
from pretrain_lib.models.autoencoder import LinearAutoencoderConfig
from pretrain_lib.programs.recipe import read_recipe

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BERT = lib.BertConfig(96, 8, 2, 2, 12, 0.1, 0.1, 16)
MODERN = lib.ModernBertConfig(96, 8, 12, 2, 2, 16, layer_types=("sliding_attention", "full_attention"), local_attention=4)
VOCABULARY = 96
STOP = 4
PREPARED = HERE / "pretraining" / "runs" / "prepared" / "texts--.txt-wordpiece-96"
AUTOENCODERS = {
    "linear-autoencoder": lib.LinearAutoencoder.from_config(LinearAutoencoderConfig(6, 2)),
    "linear-autoencoder-tied": lib.LinearAutoencoder.from_config(LinearAutoencoderConfig(6, 2, tied=True)),
    "autoencoder": lib.Autoencoder(lib.AutoencoderConfig((1, 4, 4), (8,), 3, activation="tanh", output="sigmoid", dropout=0.1)),
    "autoencoder-tied": lib.Autoencoder(lib.AutoencoderConfig((6,), (8, 7), 9, tied_weights=True, overcomplete=True)),
    "conv-autoencoder": lib.ConvAutoencoder(lib.ConvAutoencoderConfig((1, 8, 8), 3, (2, 4), 8)),
    "masked-autoencoder": lib.MaskedAutoencoder(lib.MaskedAutoencoderConfig((1, 8, 8), (2, 4), 1, 1, 1)),
}
ENCODERS = {
    "bert": lib.BertModel(BERT), "bert-masked-lm": lib.BertForMaskedLM(BERT), "bert-pre-training": lib.BertForPreTraining(BERT),
    "bert-sequences": lib.BertForSequenceClassification(BERT, 3), "bert-tokens": lib.BertForTokenClassification(BERT, 3),
    "modernbert": lib.ModernBertModel(MODERN), "modernbert-masked-lm": lib.ModernBertForMaskedLM(MODERN),
    "modernbert-sequences": lib.ModernBertForSequenceClassification(MODERN, 3), "modernbert-tokens": lib.ModernBertForTokenClassification(MODERN, 3),
}  # fmt: skip


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def stirred(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with every parameter moved, so that none is lost unseen: biases are not 0, norms not 1."""
    chance = generator(seed)
    for parameter in model.parameters():
        parameter += 0.3 * torch.randn(parameter.shape, generator=chance)
    return model.eval()


@torch.no_grad()
def answer(model: nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Inputs and answer of a model, computed in float64, so that all machines agree."""
    found = model.double()(**inputs)
    parts = {"answer": found} if isinstance(found, torch.Tensor) else found._asdict()
    return inputs | {f"answer.{name}": part.float().contiguous() for name, part in parts.items()}


def texts(name: str) -> dict[str, torch.Tensor]:
    """What a model of this name reads: of a masked LM two positions a text are asked for."""
    ids = torch.randint(5, VOCABULARY, (2, 7), generator=generator(1))
    ids[1, 5:] = 0
    given = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    if name.startswith("bert"):
        given["token_type_ids"] = torch.tensor([[0, 0, 0, 1, 1, 1, 1]] * 2)
    if "masked-lm" in name or "pre-training" in name:
        given["positions"] = torch.tensor([[1, 3], [0, 4]])
    return given


def samples(model: nn.Module) -> dict[str, torch.Tensor]:
    shape = getattr(model.config, "input_shape", None) or (model.config.input_size,)
    return {"images" if isinstance(model, lib.MaskedAutoencoder) else "x":
            torch.rand(2, *shape, generator=generator(2), dtype=torch.float64)}


def write_models() -> None:
    """A folder of each kind that save_pretrained writes, and what its model answers."""
    tokenizer, expected = lib.load_tokenizer(PREPARED), {}
    for name, model in (AUTOENCODERS | ENCODERS).items():
        stirred(model)
        if hasattr(model, "num_labels"):
            model.label_names = CLASSES
        lib.save_pretrained(model, HERE / "models" / name, tokenizer if name == "bert-sequences" else None)
        given = texts(name) if name in ENCODERS else samples(model)
        expected |= {f"{name}/{key}": tensor for key, tensor in answer(lib.load_pretrained(HERE / "models" / name), given).items()}
    half = stirred(lib.ModernBertForMaskedLM(MODERN))
    lib.save_pretrained(half, HERE / "models" / "modernbert-fp16", dtype=torch.float16)
    loaded = lib.load_pretrained(HERE / "models" / "modernbert-fp16")
    expected |= {f"modernbert-fp16/{key}": tensor for key, tensor in answer(loaded, texts("modernbert-masked-lm")).items()}
    save_file(expected, HERE / "models" / "expected.safetensors")


def write_compressed() -> None:
    """Pruned, and pruned and in eight bits."""
    kept = Kept([0], [[1]], [list(range(3, 10))])
    expected = {}
    for name in ("bert-sequences", "modernbert-masked-lm"):
        small = cut(lib.load_pretrained(HERE / "models" / name), kept)
        for form, model in (("pruned", small), ("int8", lib.quantize(small))):
            folder = HERE / "compressed" / f"{name}-{form}"
            save_compressed(model, folder)
            found = answer(model, texts(name))
            expected |= {f"{folder.name}/{key}": tensor for key, tensor in found.items()}
    save_file(expected, HERE / "compressed" / "expected.safetensors")


def write_adapters() -> None:
    """Adapters with a head, beside an encoder, and adapters of an encoder alone."""
    expected = {}
    with chdir(HERE):
        for name, base, model in (
            ("bert-sequences", "bert", lib.load_pretrained("models/bert-sequences")),
            ("modernbert", "modernbert", lib.load_pretrained("models/modernbert")),
        ):
            encoder = getattr(model, "encoder", model)
            encoder.load_state_dict(lib.load_pretrained(f"models/{base}").state_dict())
            lib.add_lora(model, lib.LoraConfig(rank=2, alpha=6.0, targets=("qkv", "output", "down")))
            chance = generator(3)
            for module in model.modules():
                if hasattr(module, "B") and hasattr(module, "A"):
                    module.B.data = torch.randn(module.B.shape, generator=chance)
            lib.save_lora(model, f"adapters/{name}", f"models/{base}")
            expected |= {f"{name}/{key}": tensor for key, tensor in answer(model, texts(name)).items()}
    save_file(expected, HERE / "adapters" / "expected.safetensors")


# ------------------------------------------------------------------------------------------- runs


@contextmanager
def stopped_in(step: int):
    """Ctrl-C is pressed while this update is computed."""
    plain = lib.Trainer.update

    def update(trainer, *arguments):
        found = plain(trainer, *arguments)
        if trainer.step + 1 == step:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    lib.Trainer.update = update
    try:
        yield
    finally:
        lib.Trainer.update = plain


def write_pretraining() -> None:
    """Two stopped runs of the command, and their next updates."""
    shutil.rmtree(HERE / "pretraining" / "runs", ignore_errors=True)
    later = {}
    with chdir(HERE / "pretraining"):
        for form in ("bert", "modernbert"):
            with stopped_in(STOP):
                assert main(["pretrain", f"{form}.toml", "--folder", f"runs/{form}"]) == 130
    copy = HERE / "copy"
    shutil.copytree(HERE / "pretraining", copy)
    with chdir(copy):
        for form in ("bert", "modernbert"):
            assert main(["pretrain", f"{form}.toml", "--folder", f"runs/{form}", "--resume"]) == 0
            later[form] = losses_of(Path("runs") / form)
    shutil.rmtree(copy)
    (HERE / "pretraining" / "expected.json").write_text(json.dumps(later, indent=1) + "\n", encoding="utf-8")


def images(seed: int, number: int) -> torch.Tensor:
    return torch.rand(number, 1, 4, 4, generator=generator(seed), dtype=torch.float64)


def write_runs() -> None:
    """Two stopped runs of a Trainer, and their next updates; all in float64."""
    shutil.rmtree(HERE / "trainer", ignore_errors=True)
    ids = torch.randint(5, VOCABULARY, (18, 7), generator=generator(9))
    columns = {"images": images(10, 24), "held_out": images(11, 8), "input_ids": ids, "attention_mask": torch.ones_like(ids),
               "labels": ids[:, 0] % 3}
    later, copy = {}, HERE / "copy"
    for build, stop in ((denoising, 6), (distillation, 3)):
        name = build.__name__
        try:
            with stopped_in(stop):
                build(HERE / "trainer" / name, columns).fit()
        except KeyboardInterrupt:
            pass
        shutil.copytree(HERE / "trainer" / name, copy)
        build(copy, columns).fit()
        later[name] = losses_of(copy)
        shutil.rmtree(copy)
    save_file(columns, HERE / "trainer" / "columns.safetensors")
    (HERE / "trainer" / "expected.json").write_text(json.dumps(later, indent=1) + "\n", encoding="utf-8")


def write_finetuned() -> None:
    """What the command `finetune` leaves, without its picture."""
    shutil.rmtree(HERE / "finetuned", ignore_errors=True)
    with chdir(HERE):
        words = ["--data", "labelled.csv", "--label", "weather", "--length", "16", "--trials", "1", "--curve", "1"]
        assert main(["finetune", "models/bert-sequences", *words, "--folder", "finetuned"]) == 0
    (HERE / "finetuned" / "report.png").unlink()
    found = answer(lib.load_pretrained(HERE / "finetuned"), texts("bert-sequences"))
    save_file({f"model/{key}": tensor for key, tensor in found.items()}, HERE / "finetuned" / "expected.safetensors")


# ---------------------------------------------------------------------------------- recipes, a class


def write_recipes() -> None:
    """The recipes of that day, and one of each form that says every field; and what was read in them."""
    folder = HERE / "recipes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in (ROOT / "recipes").glob("*.toml"):  # the zoo's are copies of two of these
        shutil.copy(path, folder)
    for form in ("bert", "modernbert"):
        recipe = asdict(read_recipe(HERE / "pretraining" / f"{form}.toml"))
        tables = {name: value for name, value in recipe.items() if isinstance(value, dict)}
        lines = [f'architecture = "{form}"', *(f"{name} = {json.dumps(value)}" for name, value in recipe.items() if name not in tables)]
        for name, table in tables.items():
            lines += ["", f"[{name}]", *(f"{field} = {json.dumps(value)}" for field, value in table.items())]
        (folder / f"every-field-{form}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = {path.name: asdict(read_recipe(path)) for path in sorted(folder.glob("*.toml"))}
    (folder / "expected.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


SETUP = "import math\nimport torch\nfrom pretrain_lib.course import check"
ONE = 'factor = check("02.1", 64)'
TWO = """def gradients(w, v, s):
    return -s * (1 - v * w) * v, -s * (1 - v * w) * w

gradients = check("02.2", gradients)"""
THREE = """def bound(samples, code_size):
    return torch.tensor(0.0)

bound = check("02.3", bound)"""


def notebook(cells: dict[str, str]) -> str:
    """A notebook of code cells, each with what it printed."""
    made = [{"cell_type": "code", "metadata": {}, "execution_count": None, "source": source,
             "outputs": [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []}
            for source, printed in cells.items()]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def write_class() -> None:
    """What a class handed in, and the table that came of it."""
    shutil.rmtree(HERE / "class", ignore_errors=True)
    handed_in = HERE / "class" / "submissions"
    handed_in.mkdir(parents=True)
    given_out = json.loads((ROOT / "notebooks" / "02_autoencoder_math.ipynb").read_text(encoding="utf-8"))["cells"]
    setup = ["".join(cell["source"]) for cell in given_out if "setup" in cell["metadata"].get("tags", [])]
    for name, first in (("own-imports", [SETUP]), ("imports-as-given-out", setup)):
        said = {**dict.fromkeys(first, ""), ONE: "02.1 passes: 64\n", TWO: "02.2 is open: the gradients (about 5 min)\n02.2 passes: yes\n",
                THREE: "02.3 is not right yet: no\n"}
        (handed_in / f"{name}_02_autoencoder_math.ipynb").write_text(notebook(said), encoding="utf-8")
    assert grade.main([str(handed_in), "--trusted", "--jobs", "1", "--to", str(HERE / "class" / "graded")]) == 0
    shutil.rmtree(HERE / "class" / "graded" / "feedback")  # its words may change


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_pretraining()
    write_models()
    write_compressed()
    write_adapters()
    write_runs()
    write_finetuned()
    write_recipes()
    write_class()
