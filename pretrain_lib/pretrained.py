"""Saved models: a folder with `config.json` and `model.safetensors`, and nothing that is executed.

BERTs, ModernBERTs, ResNets, ViTs, VideoMAEs, CLIPs, wav2vec 2.0s and HuBERTs are saved as Hugging
Face's `transformers` saves them, so it reads them, and theirs can be read here; embedders of
sentences are saved as `sentence-transformers` saves them. Other models have a plain format of our
own: the name of the class and what its `to_config` says. The folder is written beside its place and
renamed into it, so it is never half there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .data.hub import is_of_the_hub, model_folder
from .data.text.tokenizer import save_tokenizer, special_ids, vocabulary_size
from .files import new_folder
from .hf import family_of, from_hugging_face, require_their_shape, to_hugging_face
from .models.embedder import MODULES, SentenceEmbedder, read_modules, write_modules
from .models.protocol import TextEncoder, exported_models
from .models.state import load_state, state_tensors
from .zoo import ZOO

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # which file holds which tensor, where there are several
ADAPTERS = "adapter_config.json"


def save_pretrained(model: nn.Module, folder: str | Path, tokenizer=None,
                    dtype: torch.dtype = torch.float32, max_length: int | None = None) -> None:
    """Writes a model to a folder, replacing a model that is there.

    Args:
        model: one of the models that `pretrain_lib` exports.
        folder: where to; what lies around it stays as it is.
        tokenizer: a `tokenizers.Tokenizer` to save with a model of texts, or of texts and something
            else; that of its encoder, if a decoder has another.
        dtype: the format that the weights are stored in; they are read back as float32.
        max_length: tokens of a text that are to be read; None is as many as the model has places
            for. It is saved with the tokenizer.

    Raises:
        TypeError: if the model is of a class that cannot be loaded back.
        ValueError: if the tokenizer has another vocabulary than the model, or a weight is too large
            for the format.
        FileExistsError: if the folder exists and holds something that is not a saved model.
    """
    require_exported(model)
    if tokenizer is not None:
        check_vocabulary(model, tokenizer)
    inner = model.encoder if isinstance(model, SentenceEmbedder) else model
    if family_of(inner) is not None:
        special = special_ids(tokenizer) if tokenizer is not None else None
        config, tensors = to_hugging_face(inner, special)
        config["dtype"] = str(dtype).removeprefix("torch.")
    else:
        for part in model.modules():
            if family_of(part) is not None:
                require_their_shape(part)
        config = described(model)
        tensors = {name: t.detach().cpu().contiguous() for name, t in state_tensors(model).items()}
    config["pretrain_lib"] = library_version()
    tensors = {name: stored_as(dtype, name, tensor) for name, tensor in tensors.items()}
    write_folder(Path(folder), config, tensors,
                 partial(write_beside, model, tokenizer, max_length=max_length))


def require_exported(model: nn.Module) -> None:
    """Raises TypeError where a folder could not say what it holds."""
    known = exported_models()
    if known.get(type(model).__name__) is not type(model):
        raise TypeError(f"{type(model).__name__} cannot be saved: pretrain_lib would not find it "
                        "again. It must have to_config and from_config, as "
                        "pretrain_lib.models.protocol says, and be exported, as are "
                        + ", ".join(known))


def described(model: nn.Module) -> dict:
    """A model's name and configuration; a model within it is described alike."""
    require_exported(model)
    fields = {name: described(value) if isinstance(value, nn.Module) else value
              for name, value in model.to_config().items()}
    return {"architecture": type(model).__name__, "config": fields}


def stored_as(dtype: torch.dtype, name: str, tensor: Tensor) -> Tensor:
    """A tensor in another number format.

    Raises:
        ValueError: if a number is too large for it.
    """
    if not tensor.is_floating_point():
        return tensor
    stored = tensor.to(dtype)
    if not stored.isfinite().all() and tensor.isfinite().all():
        raise ValueError(f"{name} holds {tensor.abs().max().item():.6g}, and {dtype} ends at "
                         f"{torch.finfo(dtype).max:.6g}: save as torch.float32 or torch.bfloat16")
    return stored


def write_beside(model: nn.Module, tokenizer, folder: Path, max_length: int | None = None) -> None:
    """Writes what stands beside the weights: the tokenizer, and how an embedder pools."""
    if tokenizer is not None:
        shape = vars(text_encoder_in(model).encoder.config)
        longest = getattr(model, "max_seq_length", shape.get("max_position_embeddings"))
        save_tokenizer(tokenizer, folder, token_types="type_vocab_size" in shape,
                       max_length=max_length or longest)
    if isinstance(model, SentenceEmbedder):
        write_modules(model, folder)


def require_room(folder: Path) -> None:
    """Raises FileExistsError where something other than a saved model would be replaced."""
    if (
        folder.exists()
        and not is_saved_model(folder)
        and (folder.is_file() or any(folder.iterdir()))
    ):
        raise FileExistsError(
            f"{folder} exists and is not a saved model: choose another place, or empty it"
        )


def write_folder(folder: Path, config: dict, tensors: dict[str, Tensor],
                 write_more: Callable[[Path], None]) -> None:
    """Writes the files of a saved model into a folder, replacing a model that is there."""
    require_room(folder)
    with new_folder(folder) as place:
        save_file(tensors, place / WEIGHTS, metadata={"format": "pt"})
        (place / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_more(place)


def load_pretrained(name: str | Path) -> nn.Module:
    """Reads a model that `save_pretrained`, `transformers` or `sentence-transformers` wrote.

    It comes in evaluation mode, on the CPU.

    Args:
        name: a folder, the name of a model of the zoo, such as "modernbert-mini-sotu", or one of
            the Hub, "hub:owner/name" or "hub:owner/name@revision".

    Returns:
        The model, its weights in float32 whatever they are stored in.

    Raises:
        FileNotFoundError: if the folder is not a saved model, naming the file that is missing.
        ValueError: if a file is damaged, or the weights belong to another architecture.
    """
    folder = find(name)
    config = read_config(folder / CONFIG)
    if config.get("compressed"):
        raise ValueError(f"{folder} holds a compressed model: read it with "
                         "pretrain_lib.compression.saved.load_compressed")
    tensors = {name: tensor for file in weight_files(folder)
               for name, tensor in read_weights(file).items()}
    if "model_type" in config:
        model = from_hugging_face(config, tensors, str(folder))
        return read_modules(model, folder).eval() if (folder / MODULES).is_file() else model
    model = build(config, folder / CONFIG)
    load_state(model, tensors, str(folder / WEIGHTS))
    return model.eval()


def weight_files(folder: Path) -> list[Path]:
    """The one file with a model's weights, or the several that an index names.

    Raises:
        ValueError: if the index is damaged, or names a file elsewhere.
        FileNotFoundError: if one of them is missing.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{folder / INDEX} is damaged: it must say in \"weight_map\" which file "
                         "holds which tensor; get it again") from None
    for name in names:
        if name != Path(name).name:
            raise ValueError(f"{folder / INDEX} names {name!r}, which lies outside its folder")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}, which {INDEX} names: get it as well")
    return [folder / name for name in names]


def read_weights(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged: {error}; save the model again") from None


def find(name: str | Path) -> Path:
    """The folder of a saved model; a run's folder holds its own under `model`.

    Raises:
        FileNotFoundError: if there is none, saying what to do.
    """
    if is_of_the_hub(name):
        return found_on_the_hub(str(name))
    folder = Path(name)
    for place in (folder, folder / "model", ZOO / name):
        if is_saved_model(place):
            return place
    if not folder.exists():
        zoo = ", ".join(sorted(path.parent.name for path in ZOO.glob(f"*/{WEIGHTS}")))
        raise FileNotFoundError(f"there is neither a folder {str(name)!r} nor such a model in the "
                                f"zoo, which has: {zoo or 'none yet'}; a model of the Hub is "
                                "called 'hub:owner/name'")
    missing = CONFIG if not (folder / CONFIG).is_file() else WEIGHTS
    raise FileNotFoundError(f"{folder} is not a saved model: it has no {missing}; "
                            f"{remedy_for(folder)}")


def found_on_the_hub(name: str) -> Path:
    """The folder of a model of the Hub."""
    folder = model_folder(name)
    if is_saved_model(folder):
        return folder
    missing = CONFIG if not (folder / CONFIG).is_file() else WEIGHTS
    raise FileNotFoundError(
        f"{name} has no {missing} on the Hub: if it has pytorch_model.bin, a format that can carry "
        "programs, transformers' AutoModel.from_pretrained(…).save_pretrained(folder) writes a "
        "folder that can be read (AutoModelForMaskedLM keeps the head that predicts tokens)")


def remedy_for(folder: Path) -> str:
    """What to do with a folder that holds something else than a saved model."""
    if (folder / "checkpoints").is_dir():
        return "it holds a run: resume that with its Trainer, then save_pretrained the model"
    if (folder / ADAPTERS).is_file():
        return ("it holds adapters: load the model that they stand beside, and give both to "
                "load_lora")
    if any(folder.glob("pytorch_model*.bin")):
        return ("it holds pytorch_model.bin, a format that can carry programs: transformers' "
                "AutoModel.from_pretrained(folder).save_pretrained(folder) writes it anew "
                "(AutoModelForMaskedLM keeps the head that predicts tokens)")
    return "save_pretrained writes it"


def is_saved_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and any((folder / file).is_file()
                                               for file in (WEIGHTS, INDEX))


def read_config(file: Path) -> dict:
    damaged = f"{file} is damaged: it is not the JSON that save_pretrained writes"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(damaged) from None
    if not isinstance(config, dict) or not ("model_type" in config
                                            or {"architecture", "config"} <= config.keys()):
        raise ValueError(damaged)
    return config


def build(config: dict, file: Path) -> nn.Module:
    """The model that a plain `config.json` describes, with weights still to be loaded.

    A name is looked up among what `pretrain_lib` exports: nothing that a folder names is imported.
    """
    architecture, known = config["architecture"], exported_models()
    if architecture not in known:
        raise ValueError(f"{file} names the architecture {architecture!r}: "
                         f"known are {', '.join(known)}")
    try:
        fields = {name: build(value, file) if is_description(value) else value
                  for name, value in config["config"].items()}
        return known[architecture].from_config(fields)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} does not describe a {architecture}: {error}") from None


def is_description(value) -> bool:
    return isinstance(value, dict) and {"architecture", "config"} == value.keys()


def check_vocabulary(model: nn.Module, tokenizer) -> None:
    """Raises where a tokenizer has ids that the model has no embedding for."""
    reader = text_encoder_in(model)
    if reader is None:
        raise ValueError(f"{type(model).__name__} reads no text: save it without a tokenizer")
    size, tokens = reader.encoder.config.vocab_size, vocabulary_size(tokenizer)
    if tokens > size:
        raise ValueError(f"the tokenizer has {tokens} tokens, the model {size}: they do not belong "
                         "together")


def text_encoder_in(model: nn.Module) -> TextEncoder | None:
    """The model itself if it reads texts, else the part of it that does; None where none does."""
    return next((part for part in model.modules() if isinstance(part, TextEncoder)), None)


def library_version() -> str:
    try:
        return version("pretrain_lib")
    except PackageNotFoundError:
        return "not installed"
