"""The one training loop of the course."""

from __future__ import annotations

import math
import os
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Source
from ..models.mode import evaluation_mode
from ..models.state import load_state, state_tensors
from ..objectives.base import Batch, Objective, Step
from . import checkpoint as ckpt
from .config import TrainConfig
from .finite import NonFiniteError, non_finite
from .interrupt import stop_on_signal
from .loader import micro_batches
from .log import History
from .means import total_counts, weighted_mean
from .optimizer import add_l2_gradient, learning_rate_at, make_optimizer
from .precision import autocast, choose_device, choose_precision, loss_scaler
from .random_state import random_state_kept, seed_dropout, seed_torch
from .run_folder import claim, description_of, library_versions, move_aside


class Trainer:
    """Trains a model on an objective.

    Args:
        model: the module that answers.
        objective: corrupts samples and scores the answers.
        source: the samples.
        config: how to train.
        held_out: samples to evaluate on, never trained on.
        folder: the run's folder, for config, log and checkpoints; None keeps nothing on disk.
        recipe: what else the run is made of, fit for JSON; the folder keeps it with the config, and
            refuses a run of another recipe.

    Raises:
        ValueError: if the source is empty, if the loss couples samples and accumulation is asked
            for, or if early stopping is asked for and nothing is held out.
        CheckpointError: if the folder holds a run with another config.
    """

    def __init__(self, model: nn.Module, objective: Objective, source: Source, config: TrainConfig,
                 held_out: Source | None = None, folder: str | Path | None = None,
                 recipe: dict | None = None):
        if not len(source):
            raise ValueError("the source is empty: training needs at least one sample")
        if config.accumulation > 1 and not objective.separable:
            raise ValueError(
                f"{type(objective).__name__} couples the samples of a batch, so "
                f"{config.accumulation} micro-batches would be another objective than one batch: "
                "set accumulation=1"
            )
        if config.patience and held_out is None:
            raise ValueError(f"patience is {config.patience}, but there is nothing to evaluate: "
                             "give held_out samples, or set patience=0")
        self.config = config
        self.source = source
        self.held_out = held_out
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.module = Step(model, objective).to(self.device)
        self.optimizer = make_optimizer(self.module, config)
        self.scaler = loss_scaler(self.precision, self.device)
        self.step = 0
        self.best = {"loss": math.inf, "step": None, "evaluations_since": 0}
        self.best_state = None
        self.folder = Path(folder) if folder else None
        self.recipe = recipe
        if self.folder:
            claim(self.folder, self._description())
        self.history = History(self.folder, config.tensorboard)

    @property
    def model(self) -> nn.Module:
        """The model being trained."""
        return self.module.model

    @property
    def objective(self) -> Objective:
        """The objective it is trained on."""
        return self.module.objective

    # ---------------------------------------------------------------- the loop

    def fit(self, resume: bool = True) -> History:
        """Trains to the last step, or until early stopping, and returns what was measured.

        Ctrl-C and SIGTERM end the run after the update at hand, with a checkpoint.

        Args:
            resume: whether to go on from the newest sound checkpoint of the run's folder, in the
                precision that it was computed in. If not, what lies there is moved into a folder
                `earlier-1` below it.

        Raises:
            NonFiniteError: as soon as a loss or gradient is not finite; weights stay as they were.
            CheckpointError: if a checkpoint cannot be written or does not fit.
        """
        if self.folder:
            self._resume() if resume else self._start_anew()
        self.history.open(self.step)
        config = self.config
        stream = micro_batches(self.source, self.objective, config, self.step,
                               pin_memory=self.device.type == "cuda")
        clock, samples_seen = time.perf_counter(), 0
        with (random_state_kept(self.device), stop_on_signal() as stop, closing(self.history),
              closing(stream) as batches, _progress_bar(self.step, config.steps) as progress):
            while self.step < config.steps and not self._out_of_patience():
                learning_rate = learning_rate_at(self.step, config)
                losses, gradient_norm = self.update(
                    [next(batches) for _ in range(config.accumulation)], learning_rate)
                self.step += 1
                samples_seen += config.batch_size

                last = self.step == config.steps
                if self.step % config.log_every == 0 or last:
                    rate = samples_seen / (time.perf_counter() - clock)
                    self.history.add(step=self.step, **losses, learning_rate=learning_rate,
                                     gradient_norm=gradient_norm, samples_per_second=rate)
                    progress.set_postfix(loss=f"{losses['loss']:.4g}", refresh=False)
                improved = self._due("evaluate", last) and self._evaluate()
                ended = last or self._out_of_patience()
                if self.folder and (improved or self._due("checkpoint", ended) or stop.requested):
                    self.save()
                progress.update()
                if stop.requested:
                    raise KeyboardInterrupt(f"stopped after step {self.step}{self._where_saved()}")
                if self.step % config.log_every == 0:
                    clock, samples_seen = time.perf_counter(), 0
        if config.patience:
            self._return_to_best()
        return self.history

    def update(self, batches: list[Batch], learning_rate: float) -> tuple[dict[str, float], float]:
        """One update of the weights from the micro-batches given.

        The count of each term is known over all micro-batches before the first backward pass, so
        each micro-batch adds its exact share of the gradient of the one global mean.

        Returns:
            The mean of each term, with their weighted sum as "loss"; and the gradient's norm.
        """
        self.module.train()
        counts = total_counts(batches)
        sums: dict[str, float] = dict.fromkeys(counts, 0.0)
        for micro, batch in enumerate(batches):
            seed_dropout(self.config.seed, self.step, micro, self.device)
            with autocast(self.precision, self.device):
                terms = self.module(batch.to(self.device))
            self._check_terms(terms, counts)
            loss = weighted_mean(terms, counts, self.objective.weights)
            self.scaler.scale(loss).backward()
            for name, value in terms.items():
                sums[name] += value.item()
        losses = {name: sums[name] / (counts[name] or 1) for name in counts}
        losses["loss"] = weighted_mean(sums, counts, self.objective.weights)
        self._check_finite(losses, batches)

        self.scaler.unscale_(self.optimizer)
        if self.config.l2:
            add_l2_gradient(self.optimizer, self.config.l2)
        trained = [p for p in self.module.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in trained])
        if not norm.isfinite() and not self._scale_may_fall(trained):
            raise self._non_finite("the gradient's norm", norm.item(), batches)
        if self.config.gradient_clipping:
            nn.utils.clip_grads_with_norm_(trained, self.config.gradient_clipping, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return losses, norm.item()

    @torch.no_grad()
    def evaluate(self, source: Source) -> dict[str, float]:
        """The mean of each term over all samples of a source, and their weighted sum as "loss".

        Every evaluation corrupts a sample in the same way, so that two can be compared. It leaves
        the model and the global random state as they were.

        Raises:
            ValueError: if the source is empty.
            NonFiniteError: as soon as a loss is not finite.
        """
        if not len(source):
            raise ValueError("the source is empty: there is nothing to evaluate")
        counts: dict[str, float] = {}
        sums: dict[str, float] = {}
        size = self.config.micro_batch_size
        with random_state_kept(self.device), evaluation_mode(self.module):
            seed_torch(self.config.seed, self.device)
            for start in range(0, len(source), size):
                ids = range(start, min(start + size, len(source)))
                keys = Keys.of(self.config.seed, ids, progress=1.0)
                batch = self.objective.batch(source.take(keys), keys)
                batch.samples = keys.sample
                with autocast(self.precision, self.device):
                    terms = self.module(batch.to(self.device))
                self._check_terms(terms, batch.counts)
                for name, value in terms.items():
                    counts[name] = counts.get(name, 0) + batch.counts[name]
                    sums[name] = sums.get(name, 0.0) + value.item()
                    if not math.isfinite(sums[name]):
                        raise non_finite(f"the evaluation's loss {name!r}", sums[name], self.step,
                                         [batch])
        means = {name: sums[name] / (counts[name] or 1) for name in counts}
        return {**means, "loss": weighted_mean(sums, counts, self.objective.weights)}

    # ---------------------------------------------------------------- parts of an update

    def _check_terms(self, terms: dict[str, Tensor], counts: dict[str, float]) -> None:
        if terms.keys() != counts.keys():
            raise ValueError(
                f"{type(self.objective).__name__}.forward returned the terms {sorted(terms)}, "
                f"but its batches count {sorted(counts)}: the names must be the same"
            )
        unknown = self.objective.weights.keys() - counts.keys()
        if unknown:
            raise ValueError(f"weights are given for {sorted(unknown)}, but the terms of "
                             f"{type(self.objective).__name__} are {sorted(counts)}")

    def _check_finite(self, losses: dict[str, float], batches: list[Batch]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                raise self._non_finite(f"the loss {name!r}", value, batches)

    def _non_finite(self, what: str, value: float, batches: list[Batch]) -> NonFiniteError:
        self.optimizer.zero_grad(set_to_none=True)
        return non_finite(what, value, self.step + 1, batches)

    def _scale_may_fall(self, trained: list[nn.Parameter]) -> bool:
        """Whether an infinite gradient is float16's loss scale being searched, not an error.

        If every gradient is finite and only their norm is not, no smaller scale would help.
        """
        return (self.scaler.is_enabled() and self.scaler.get_scale() >= 1.0
                and not all(p.grad.isfinite().all() for p in trained))

    # ---------------------------------------------------------------- evaluation and early stopping

    def _due(self, event: str, last: bool) -> bool:
        every = getattr(self.config, f"{event}_every")
        return last or (every > 0 and self.step % every == 0)

    def _evaluate(self) -> bool:
        """Evaluates on the held-out samples, if any; returns whether it was the best so far."""
        if self.held_out is None:
            return False
        try:
            means = self.evaluate(self.held_out)
        except NonFiniteError:
            if self.folder:
                self.save()  # nothing is wrong with the updates so far
            raise
        self.history.add(step=self.step, evaluation=means)
        if means["loss"] < self.best["loss"]:
            self.best = {"loss": means["loss"], "step": self.step, "evaluations_since": 0}
            if self.config.patience:
                self.best_state = {name: tensor.detach().cpu().clone()
                                   for name, tensor in self.module.state_dict().items()}
            return True
        self.best = {**self.best, "evaluations_since": self.best["evaluations_since"] + 1}
        return False

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.best["evaluations_since"]

    def _return_to_best(self) -> None:
        if self.best_state is None and self.best["step"] is not None:
            place = ckpt.step_folder(self.folder / "checkpoints", self.best["step"])
            tensors, _ = ckpt.load_checkpoint(place)
            self._load_modules(tensors, str(place))
        elif self.best_state is not None:
            self.module.load_state_dict(self.best_state)

    # ---------------------------------------------------------------- the run's folder

    def _description(self) -> dict:
        return {"train": asdict(self.config), "objective": description_of(self.objective),
                "model": type(self.model).__name__, "samples": len(self.source),
                "recipe": self.recipe}

    def save(self) -> Path:
        """Writes a checkpoint of the run as it stands, then drops those no longer kept.

        Raises:
            ValueError: if the trainer was given no folder.
            CheckpointError: if it cannot be written.
        """
        if not self.folder:
            raise ValueError("there is nowhere to save to: give the trainer a folder")
        folder = self.folder / "checkpoints"
        modules = {"model": state_tensors(self.model), "objective": state_tensors(self.objective)}
        tensors = {**modules, "optimizer": ckpt.optimizer_tensors(self.module, self.optimizer)}
        loss = self.best["loss"]
        best = {**self.best, "loss": loss if math.isfinite(loss) else None}
        state = {"step": self.step, "best": best, "scaler": self.scaler.state_dict(),
                 "precision": self.precision, "config": self._description(),
                 "versions": library_versions()}
        filled = {name: group for name, group in tensors.items() if group}
        place = ckpt.save_checkpoint(folder, self.step, filled, state)
        ckpt.prune(folder, self.step, self.config.keep_last, self.best["step"])
        return place

    def _resume(self) -> None:
        folder = self.folder / "checkpoints"
        step, problems = ckpt.newest_sound(folder)
        for problem in problems:
            print(f"skipped: {problem}")
        if step is None:
            if problems:
                raise ckpt.CheckpointError(f"{folder} holds no sound checkpoint, only damaged "
                                           "ones: move them away to start anew")
            return
        place = ckpt.step_folder(folder, step)
        tensors, state = ckpt.load_checkpoint(place)
        self._load_modules(tensors, str(place))
        ckpt.load_optimizer(self.module, self.optimizer, tensors.get("optimizer", {}))
        self.precision = state.get("precision", self.precision)  # older ones do not say
        self.scaler = loss_scaler(self.precision, self.device)
        self.scaler.load_state_dict(state["scaler"])
        best = state["best"]
        self.best = {**best, "loss": math.inf if best["loss"] is None else best["loss"]}
        self.best_state = None
        self.step = state["step"]
        print(f"resumed from step {self.step} of {self.config.steps}")

    def _start_anew(self) -> None:
        if self.step == 0:
            move_aside(self.folder)

    def _load_modules(self, tensors: dict, source: str) -> None:
        try:
            load_state(self.model, tensors.get("model", {}), source)
            load_state(self.objective, tensors.get("objective", {}), source)
        except ValueError as error:
            raise ckpt.CheckpointError(str(error)) from None

    def _where_saved(self) -> str:
        return f"; resume from {self.folder}" if self.folder else ""


def _progress_bar(done: int, total: int):
    from tqdm.auto import tqdm

    # tqdm's bar for notebooks does not read its own TQDM_DISABLE.
    quiet = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(initial=done, total=total, unit="step", leave=False, disable=quiet)
