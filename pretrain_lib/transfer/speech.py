"""What an encoder of sound is probed and fine-tuned for: phones, words, voices, transcripts."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import UNSCORED, Columns, Samples, Source
from ..models.frames import FrameModel, Frames, require_frames
from ..models.layers import mean_over_tokens
from ..models.precision import answering
from ..models.transcriber import Transcriber
from ..objectives.base import take_column
from ..objectives.ctc import CTC, greedy_transcripts, prefix_beam
from ..training.config import TrainConfig
from .dense import trained


def fine_tune_ctc(encoder: nn.Module, data: Source, num_symbols: int, config: TrainConfig,
                  frozen: bool = False, encoder_rate: float = 1.0) -> Transcriber:
    """A copy of an encoder of sound that writes transcripts, trained on sounds with transcripts.

    Args:
        encoder: a model of frames, with or without a head; it stays as it is.
        data: samples with the columns that the encoder reads, and `sequences`, (B, U): symbols
            1, 2, …, and −100 behind the last.
        num_symbols: number of symbols; 0 is the blank.
        config: how to train.
        frozen: whether the head alone is trained; the encoder is then in evaluation mode.
        encoder_rate: what the learning rate of the encoder is multiplied by.

    Returns:
        In evaluation mode, where it was trained.

    Raises:
        ValueError: if the encoder answers with no frames, or a transcript is empty, longer than its
            frames can say, or holds what is no symbol.
    """
    inner = getattr(encoder, "encoder", None)
    inner = inner if isinstance(inner, FrameModel) else encoder
    require_frames(inner)
    transcriber = Transcriber(copy.deepcopy(inner).requires_grad_(not frozen), num_symbols)
    return trained(transcriber, CTC(num_symbols, inner.columns[0]), data, config, encoder_rate)


def transcripts(transcriber: nn.Module, source: Source, beam: int = 0,
                batch_size: int = 64) -> list[list[int]]:
    """What a model writes for all sounds of a source, symbols 1, 2, …

    Args:
        transcriber: a `Transcriber`; its dropout is off while this runs.
        source: N sounds.
        beam: prefixes that the search for the likeliest transcript keeps; 0 takes what the
            likeliest path says.
        batch_size: sounds in one forward pass.

    Returns:
        N lists.
    """
    written: list[list[int]] = []
    for logits, mask, _ in answers(transcriber, transcriber, source, batch_size):
        if not beam:
            written += greedy_transcripts(Frames(logits, mask))
            continue
        log_probs = logits.log_softmax(2)
        written += [prefix_beam(row[real], beam)[0] if real.any() else []
                    for row, real in zip(log_probs, mask, strict=True)]
    return written


def frame_vectors(model: nn.Module, source: Source, layer: int = -1,
                  batch_size: int = 64) -> list[Tensor]:
    """The frames of each sound: what clusters are found in, and what they are given to.

    Of `vectors`, `k_means(torch.cat(vectors), K)` finds clusters, and each frame's are put beside
    the sounds by `Beside(source, Sequences("clusters", map(clusters.nearest, vectors)))`, for
    `MaskedFrames` to predict.

    Args:
        model: a model of frames, which stays as it is.
        source: N sounds.
        layer: whose vectors; 0 is what enters the first layer, −1 the last.
        batch_size: sounds in one forward pass.

    Returns:
        N tensors, (T′, D) float32 each.
    """
    require_frames(model)
    found = answers(model, at_layer(model, layer), source, batch_size)
    return [row[real] for vectors, mask, _ in found
            for row, real in zip(vectors, mask, strict=True)]


def frame_samples(model: nn.Module, source: Source, labels: str = "phones", layer: int = -1,
                  every: int = 1, batch_size: int = 64) -> Columns:
    """The frames of all sounds, as samples for `LinearProbe(column="features")`.

    Args:
        model: a model of frames, which stays as it is.
        source: N sounds with labels every so many steps, (B, L), −100 where there is none.
        labels: the column of the labels.
        layer: whose vectors; 0 is what enters the first layer, −1 the last.
        every: steps from one label to the next: 1 where each step of a spectrum has one, 160 where
            waves of 16 kHz have one every 10 ms.
        batch_size: sounds in one forward pass.

    Returns:
        `features`, (frames, D) float32; `labels`, (frames,) int64, each frame's that of its middle;
        and `sound`, (frames,) int64, the number of the sound in the source. Frames without a label
        are left out.
    """
    require_frames(model)
    found: dict[str, list[Tensor]] = {"features": [], "labels": [], "sound": []}
    first = 0
    for vectors, mask, samples in answers(model, at_layer(model, layer), source, batch_size):
        of_frames = model.labels_of(take_column(samples, labels).long(), vectors.shape[1], every)
        scored = mask & (of_frames != UNSCORED)
        sound = first + torch.arange(len(vectors))[:, None].expand_as(scored)
        first += len(vectors)
        for name, column in (("features", vectors), ("labels", of_frames), ("sound", sound)):
            found[name].append(column[scored])
    return Columns(**{name: torch.cat(parts) for name, parts in found.items()})


def sound_samples(model: nn.Module, source: Source, labels: str = "labels", layer: int = -1,
                  batch_size: int = 64) -> Columns:
    """Each sound as the mean of its frames, as samples for `LinearProbe(column="features")`.

    Args:
        model: a model of frames, which stays as it is.
        source: N sounds with a label each, (B,).
        labels: the column of the labels, such as words or voices.
        layer: whose vectors; 0 is what enters the first layer, −1 the last.
        batch_size: sounds in one forward pass.

    Returns:
        `features`, (N, D) float32, and `labels`, (N,) int64.
    """
    require_frames(model)
    means, found = [], []
    for vectors, mask, samples in answers(model, at_layer(model, layer), source, batch_size):
        means.append(mean_over_tokens(vectors, mask))
        found.append(take_column(samples, labels).long())
    return Columns(features=torch.cat(means), labels=torch.cat(found))


def at_layer(model: nn.Module, layer: int):
    """The function from columns to the frames of a layer."""
    return lambda *columns: model.frames(*columns, layer=layer)


@torch.no_grad()
def answers(model: nn.Module, function, source: Source,
            batch_size: int) -> Iterator[tuple[Tensor, Tensor, Samples]]:
    """Frames of all sounds of a source in batches, on the CPU, and the samples that they are of.

    Yields:
        (B, T′, D) float32, (B, T′) bool, and the samples.
    """
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    for start in range(0, len(source), batch_size):
        samples = source.take(Keys.of(0, range(start, min(start + batch_size, len(source)))))
        with answering(model):
            inputs = (take_column(samples, name).to(device) for name in model.columns)
            vectors, mask = function(*inputs)
        yield vectors.float().cpu(), mask.cpu(), samples
