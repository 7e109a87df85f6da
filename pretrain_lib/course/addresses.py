"""Where the course lives on the web: one setting, [project.urls] Repository in pyproject.toml.

Until somebody sets it, it is a placeholder, and nothing in the course points anywhere.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import quote

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
PLACEHOLDER = "OWNER/REPOSITORY"
ADDRESS = re.compile(r"(?:https://github\.com/)?([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def repository() -> str | None:
    """The repository on GitHub, such as "ana/pretraining"; None while it is not set, or far from the course's folder."""
    if not PYPROJECT.is_file():
        return None
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    match = ADDRESS.fullmatch(project.get("urls", {}).get("Repository", ""))
    return match[1] if match and match[1] != PLACEHOLDER else None


def badges(chapter: str, owner_and_name: str) -> str:
    """Links that open a chapter in Colab, Kaggle and Binder, in Markdown."""
    path = f"notebooks/{chapter}.ipynb"
    file = f"{owner_and_name}/blob/main/{path}"
    places = [
        ("Open in Colab", "https://colab.research.google.com/assets/colab-badge.svg",
         f"https://colab.research.google.com/github/{file}"),
        ("Open in Kaggle", "https://kaggle.com/static/images/open-in-kaggle.svg",
         f"https://kaggle.com/kernels/welcome?src=https://github.com/{file}"),
        ("Open in Binder", "https://mybinder.org/badge_logo.svg",
         f"https://mybinder.org/v2/gh/{owner_and_name}/main?labpath={quote(path, safe='')}"),
    ]
    return " ".join(f"[![{text}]({image})]({link})" for text, image, link in places)
