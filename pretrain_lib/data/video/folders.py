"""Clips in a folder: each a folder of frames or a video, alone or in folders that name classes."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np

from ..images.folders import SUFFIXES
from ..images.pictures import Pictures, Square
from ..splits import split_ids
from .dataset import ClipDataset

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm")


def load_folder(folder: Path, split: str, frames: int, square: Square | None) -> ClipDataset:
    """All clips of a folder, so many frames of each; the folders around them are the classes.

    Raises:
        ValueError: naming the folder or file at fault.
    """
    clips = clips_in(folder)
    kinds = [clip.parent.name if clip.parent != folder else "" for clip in clips]
    classes = sorted(set(kinds))
    if "" in classes and len(classes) > 1:
        raise ValueError(f"{clips[kinds.index('')]} is a clip beside the folders that name the "
                         "classes: move it into one of them")
    labels = None if classes == [""] else np.searchsorted(classes, kinds)
    files = [file for clip in clips for file in frames_of(clip, frames)]
    names = [str(clip) for clip in clips for _ in range(frames)]
    pictures = Pictures(names, files.__getitem__, square)
    sizes = pictures.sizes.view(-1, frames, 2)
    for clip, differ in zip(clips, (sizes != sizes[:, :1]).flatten(1).any(1), strict=True):
        if differ:
            raise ValueError(f"{clip} has frames of different sizes: a clip has one")
    ids = split_ids(labels, len(clips), split)
    rows = (frames * ids[:, None] + np.arange(frames)).flatten()
    read = pictures.read(rows).unflatten(0, (len(ids), frames))  # (N, T, C, H, W)
    about = f"folder {folder}"
    if labels is None:
        return ClipDataset(read, name=folder.name, about=about)
    return ClipDataset(read, labels[ids], classes, folder.name, about)


def clips_in(folder: Path) -> list[Path]:
    """The videos and the folders of frames below a folder, at most one folder deep.

    Raises:
        ValueError: if there is none, or what is there is none.
    """
    if any(is_frame(path) for path in folder.iterdir()):
        raise ValueError(f"{folder} holds images beside no clip: put the frames of each clip into "
                         "a folder of its own")
    clips = []
    for path in visible(folder):
        within = [] if is_clip(path) else visible(path)
        if not is_clip(path) and not within:
            raise ValueError(f"{path} holds neither frames nor clips: fill it, or remove it")
        for inner in within:
            if not is_clip(inner):
                raise ValueError(f"no frame in {inner}: expected files that end in "
                                 f"{', '.join(SUFFIXES)}")
        clips += within or [path]
    if not clips:
        raise ValueError(f"no clip in {folder}: expected folders of frames, or files that end in "
                         f"{', '.join(VIDEOS)}")
    return clips


def visible(folder: Path) -> list[Path]:
    """The folders and videos in a folder, hidden ones left out."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")
            and (path.is_dir() or path.suffix.lower() in VIDEOS)]


def is_clip(path: Path) -> bool:
    return path.is_file() or any(is_frame(inner) for inner in path.iterdir())


def is_frame(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def frames_of(clip: Path, number: int) -> list[Path] | list[BytesIO]:
    """So many frames of a clip, from the first to the last, as evenly as they come."""
    if clip.is_file():
        return frames_of_video(clip, number)
    files = in_order(clip)
    return [files[i] for i in evenly(clip, len(files), number)]


def evenly(clip: Path, there: int, number: int) -> list[int]:
    """Which of a clip's frames to take.

    Raises:
        ValueError: if it has fewer.
    """
    if there < number:
        frames = f"{there} frame{'s' if there > 1 else ''}"
        raise ValueError(f"{clip} has {frames}, fewer than frames={number}: ask for fewer, or "
                         "remove it")
    return np.linspace(0, there - 1, number).round().astype(int).tolist()


def in_order(clip: Path) -> list[Path]:
    """The frames in a folder by the numbers in their names, so that 10 comes after 9.

    Raises:
        ValueError: if a name has no number, or two have the same.
    """
    frames: dict[tuple[int, ...], Path] = {}
    for file in sorted(filter(is_frame, clip.iterdir())):
        numbers = tuple(map(int, re.findall(r"\d+", file.stem)))
        if not numbers:
            raise ValueError(f"{file} has no number in its name, which says when a frame was: name "
                             "frames 1, 2, …, or remove it")
        if numbers in frames:
            raise ValueError(f"{frames[numbers]} and {file.name} have one number: which was first?")
        frames[numbers] = file
    return [frames[numbers] for numbers in sorted(frames)]


def frames_of_video(file: Path, number: int) -> list[BytesIO]:
    """So many frames of a video, each as a PNG file in memory.

    Raises:
        ImportError: if PyAV is not installed.
        ValueError: if the file cannot be read as a video.
    """
    try:
        import av
    except ImportError:
        raise ImportError(f"{file} is a video, which PyAV reads: pip install av") from None

    def decoded():
        with av.open(str(file)) as container:
            yield from container.decode(video=0)

    try:
        wanted = evenly(file, sum(1 for _ in decoded()), number)
        return [as_png(frame) for i, frame in enumerate(decoded()) if i in wanted]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{file} cannot be read as a video: {error}") from None


def as_png(frame) -> BytesIO:
    """A decoded frame of PyAV as a PNG file."""
    buffer = BytesIO()
    frame.to_image().save(buffer, "PNG")
    return buffer
