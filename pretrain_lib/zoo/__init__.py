"""Small models that come with the library, each with its recipe, log and model card."""

import json
import tomllib
from pathlib import Path

ZOO = Path(__file__).parent
HELD_OUT = "held_out.json"
RECIPE = "recipe.toml"


def models_of(kind: str) -> list[str]:
    """The names of the models that were trained on data of a kind.

    Args:
        kind: as recipes name it, such as "SpeechData"; one that names none is for "TextData".
    """
    recipes = {path.parent.name: tomllib.loads(path.with_name(RECIPE).read_text(encoding="utf-8"))
               for path in ZOO.glob("*/model.safetensors")}
    return sorted(name for name, recipe in recipes.items()
                  if recipe.get("data", {}).get("kind", "TextData") == kind)


def held_out_sources(name: str | Path) -> set[str]:
    """The documents that must not be trained on, by their source.

    Args:
        name: a name of the zoo, or a folder, with a `held_out.json`: a list of sources.

    Raises:
        FileNotFoundError: if there is no such list.
    """
    for folder in (Path(name), ZOO / name):
        if (folder / HELD_OUT).is_file():
            return set(json.loads((folder / HELD_OUT).read_text(encoding="utf-8")))
    raise FileNotFoundError(f"there is no {HELD_OUT} in {str(name)!r}, neither as a folder nor in the "
                            "zoo: it is the list of the documents to hold out")
