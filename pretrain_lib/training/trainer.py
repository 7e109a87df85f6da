"""The one training loop of the course."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ..data.source import Source
from ..models.precision import Choice, autocast, choose_precision, products_in
from ..models.state import load_state, state_tensors
from ..objectives.base import Batch, Objective, Step, total_counts, totals, weighted_mean
from . import checkpoint as ckpt
from .config import TrainConfig
from .contract import check_first_batch, require_source
from .distributed import (
    join,
    own_rows,
    peers_needed,
    shard,
    sharded_like,
    synchronised,
    unsharded,
)
from .finite import NonFiniteError, fault, fault_of, non_finite
from .garbage import collected_rarely
from .held_out import check_terms, mean_losses, samples_scored
from .interrupt import stop_on_signal
from .loader import MicroBatches, micro_batches, require_shares
from .log import History, Pace, progress_bar
from .loss_scaling import LossScaler
from .optimizer import add_l2_gradient, keep_zeros, learning_rate_at, make_optimizer
from .passes import borrowed, make_passes
from .random_state import random_state_kept, seed_dropout
from .run_folder import (
    architecture_of,
    claim,
    defaults_of,
    description_of,
    description_of_source,
    library_versions,
    move_aside,
)


class Trainer:
    """Trains a model on an objective: in one process, or, under `torchrun`, in several as if in one.

    Model and objective are trained in place, and otherwise given back as they were: on the device
    that they came on, each part in its mode. What FSDP has sharded stays so: see `whole_model`.

    Args:
        model: the module that answers.
        objective: corrupts samples and scores the answers.
        source: the samples.
        config: how to train.
        held_out: samples to evaluate on, never trained on.
        folder: the run's folder, for config, log and checkpoints; None keeps nothing on disk. Several
            processes need one that all of them see.
        recipe: what else the run is made of, fit for JSON; the folder keeps it with the config, and
            refuses a run of another recipe.

    Raises:
        ValueError: if the source is none or empty, if a batch cannot be shared out evenly, if it is
            to be and loss or model couple its samples, or if early stopping is asked for and
            nothing is held out.
        CheckpointError: if the folder holds a run with another config.
    """

    def __init__(self, model: nn.Module, objective: Objective, source: Source, config: TrainConfig,
                 held_out: Source | None = None, folder: str | Path | None = None,
                 recipe: dict | None = None):
        for samples in (source, held_out):
            if samples is not None:
                require_source(samples)
        if not len(source):
            raise ValueError("the source is empty: training needs at least one sample")
        if config.patience and held_out is None:
            raise ValueError(f"patience is {config.patience}, but there is nothing to evaluate: "
                             "give held_out samples, or set patience=0")
        self.config = config
        self.source = source
        self.held_out = held_out
        self.world, self.device = join(config.device)
        self.sharded = self.world.size > 1 and config.parallel == "fsdp"
        self.module = Step(model, objective)
        require_shares(config, self.module, self.world.size)
        if held_out is not None:
            samples_scored(self.module, held_out, config)
        self.passes = self.module
        with borrowed(self.module, self.device):
            if self.sharded:
                shard(self.module, config.compile)
            self.optimizer = make_optimizer(self.module, config)
        self._compute_in(self.world.on_first(
            lambda: choose_precision(config.precision, self.device)))
        self.step = 0
        self.best = {"loss": math.inf, "step": None, "evaluations_since": 0}
        self.best_state = None
        self.folder = Path(folder) if folder else None
        self.recipe = recipe
        if self.folder:
            self.description = self._description()
            unsaid = {"objective": defaults_of(objective), "architecture": defaults_of(model)}
            self.world.on_first(lambda: claim(self.folder, self.description, unsaid))
        self.history = History(self.folder if self.world.first else None, config.tensorboard)

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
            ValueError: if the first batch shows that source or objective break their contract.
        """
        if self.folder:
            with borrowed(self.module, self.device):
                self._resume() if resume else self._start_anew()
        if self.config.precision == "auto":
            self._tell(f"precision {self.precision}: {self.why_precision}")
        self.history.open(self.step)
        config, pace = self.config, Pace()
        with (stop_on_signal() as stop, closing(self.history), self.at_work() as batches,
              progress_bar(self.step, config.steps, self.world.first) as progress):
            while self.step < config.steps and not self._out_of_patience():
                record = self.next_update(batches, pace)
                last = self.step == config.steps
                if last or self._every(config.log_every):
                    self.history.add(**record, **pace.read())
                    progress.set_postfix(loss=f"{record['loss']:.4g}", refresh=False)
                    pace = Pace()
                improved = (last or self._every(config.evaluate_every)) and self._evaluate()
                ended = last or self._out_of_patience() or self._every(config.checkpoint_every)
                stopping = any(self.world.gather(stop.requested))
                if self.folder and (improved or ended or stopping):
                    self.save()
                progress.update()
                if stopping:
                    raise KeyboardInterrupt(f"stopped after step {self.step}{self._where_saved()}")
        if config.patience:
            self._return_to_best()
        return self.history

    @contextmanager
    def at_work(self) -> Iterator[Iterator[Batch]]:
        """Within it updates can be made: yields the micro-batches of those to come."""
        stream = micro_batches(self.source, self.objective, self.config, self.step,
                               self.device.type == "cuda", self.world)
        with (peers_needed(), random_state_kept(self.device), closing(stream), collected_rarely(),
              borrowed(self.module, self.device, self.config.activation_checkpointing)):
            if self.step < self.config.steps:
                check_first_batch(self.module, self.source, self.config, self.step, self.device,
                                  self.precision)
                self._make_passes()
            try:
                yield stream
            finally:
                self.passes = self.module

    def next_update(self, batches: Iterator[Batch], pace: Pace) -> dict[str, float]:
        """Makes the next update of the schedule, within `at_work`.

        Args:
            batches: the micro-batches to come.
            pace: takes the time.

        Returns:
            What is logged of it.
        """
        learning_rate = learning_rate_at(self.step, self.config)
        with pace.running(self.config.batch_size):
            taken = pace.take(batches, self.config.accumulation)
            losses, gradient_norm = self.update(taken, learning_rate)
        self.step += 1
        return {"step": self.step, **losses, "learning_rate": learning_rate,
                "gradient_norm": gradient_norm}

    def update(self, batches: list[Batch], learning_rate: float) -> tuple[dict[str, float], float]:
        """One update of the weights from the micro-batches given.

        The count of each term is known over all micro-batches and ranks before the first backward
        pass, so each micro-batch adds its exact share of the gradient of the one global mean.

        Returns:
            The mean of each term, with their weighted sum as "loss"; and the gradient's norm.
        """
        self.module.train()
        counts = totals(self.world.gather(total_counts(batches)))
        parts = []  # of the sums, one of each micro-batch, (terms,)
        with products_in(self.precision, self.device):
            for micro, batch in enumerate(batches):
                synchronised(self.passes, micro == len(batches) - 1)
                seed_dropout(self.config.seed, self.step, micro, self.world.rank, self.device)
                with autocast(self.precision, self.device):
                    terms = self.passes(batch.to(self.device))
                check_terms(terms, counts, self.module)
                loss = weighted_mean(terms, counts, self.objective.weights)
                # ranks average their gradients, and a sum is wanted
                self.scaler.scaled(self.world.size * loss).backward()
                parts.append(torch.hstack([terms[name].detach() for name in counts]))
        sums: dict[str, float] = dict.fromkeys(counts, 0.0)
        for part in torch.stack(parts).tolist():  # the first wait for the GPU
            for name, value in zip(counts, part, strict=True):
                sums[name] += value
        losses = self._means(sums, counts, batches)

        trained = [p for p in self.module.parameters() if p.grad is not None]
        self.scaler.unscale([p.grad for p in trained])
        if self.config.l2:
            add_l2_gradient(self.optimizer, self.config.l2)
        keep_zeros(self.module)
        norm = unsharded(nn.utils.get_total_norm([p.grad for p in trained]))
        size = norm.item()  # the second and last
        finite = math.isfinite(size)
        if not finite and not self._scale_may_fall(trained):
            raise self._not_finite([fault("the gradient's norm", size, batches)])
        if finite:
            if self.config.gradient_clipping:
                nn.utils.clip_grads_with_norm_(trained, self.config.gradient_clipping, norm)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate * group.get("rate_factor", 1.0)
            self.optimizer.step()
            keep_zeros(self.module)  # Muon moves weights that have no gradient
            self._after_step()
        self.scaler.update(finite)
        self.optimizer.zero_grad(set_to_none=True)
        return losses, size

    def evaluate(self, source: Source) -> dict[str, float]:
        """The mean of each term over all samples of a source, and their weighted sum as "loss".

        Every evaluation corrupts a sample in the same way, so that two can be compared. It leaves
        the model and the global random state as they were.

        A loss that couples the samples of a batch is taken over whole batches of `batch_size`, so
        what is left over at the end of the source, fewer than that, is not scored.

        Raises:
            ValueError: if the source is empty, or has less than one batch of a loss that couples.
            NonFiniteError: if a loss is not finite.
        """
        require_source(source)
        if not len(source):
            raise ValueError("the source is empty: there is nothing to evaluate")
        with borrowed(self.module, self.device):
            return mean_losses(self.module, source, self.config, self.device, self.precision,
                               self.step, self.world)

    def whole_model(self, build: Callable[[], nn.Module]) -> nn.Module:
        """The model; where ranks hold shards of it, one put together of them. All must call it.

        Args:
            build: makes a model of this architecture.
        """
        if not self.sharded:
            return self.model
        tensors = {name: unsharded(tensor.detach()).cpu()
                   for name, tensor in state_tensors(self.model).items()}
        model = build()
        load_state(model, tensors, "the run")
        return model

    # ---------------------------------------------------------------- parts of an update

    def _compute_in(self, precision: Choice) -> None:
        self.precision = precision.name
        self.why_precision = precision.why
        self.scaler = LossScaler(precision.name == "fp16")
        self.optimizer.low_precision = precision.name == "bf16"  # Muon has products of its own

    def _make_passes(self) -> None:
        if self.world.size > 1 or self.config.compile:
            first = self.step * self.config.accumulation
            batch = MicroBatches(self.source, self.objective, self.config, self.world)[first]
            self.passes = make_passes(self.module, batch, self.precision, self.world, self.sharded,
                                      self.config.compile)

    @torch.no_grad()
    def _after_step(self) -> None:
        behind_the_last, rank = self.config.accumulation, 0  # alike on all ranks
        seed_dropout(self.config.seed, self.step, behind_the_last, rank, self.device)
        with products_in(self.precision, self.device):
            self.objective.after_step(self.model, self.step + 1)

    def _means(self, sums: dict[str, float], counts: dict[str, float],
               batches: list[Batch]) -> dict[str, float]:
        """The mean of each term over all ranks, and their weighted sum as "loss"."""
        sums, faults = zip(*self.world.gather((sums, fault_of(sums, batches))), strict=True)
        if any(faults):
            raise self._not_finite(faults)
        sums = totals(sums)
        means = {name: sums[name] / (counts[name] or 1) for name in counts}
        return {**means, "loss": weighted_mean(sums, counts, self.objective.weights)}

    def _not_finite(self, faults: list) -> NonFiniteError:
        self.optimizer.zero_grad(set_to_none=True)
        return non_finite(faults, self.step + 1)

    def _scale_may_fall(self, trained: list[nn.Parameter]) -> bool:
        """Whether an infinite gradient is float16's loss scale being searched, not an error.

        If every gradient is finite and only their norm is not, no smaller scale would help.
        """
        if not self.scaler.may_fall:
            return False
        finite = all(bool(own_rows(p.grad).isfinite().all()) for p in trained)
        return not all(self.world.gather(finite))

    # ---------------------------------------------------------------- evaluation and early stopping

    def _every(self, updates: int) -> bool:
        """Whether an interval of so many updates ends with this one; 0 is never."""
        return updates > 0 and self.step % updates == 0

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
                self.best_state = {name: own_rows(tensor.detach()).to("cpu", copy=True)
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
            for name, tensor in self.module.state_dict().items():
                own_rows(tensor).copy_(self.best_state[name])

    # ---------------------------------------------------------------- the run's folder

    def _description(self) -> dict:
        return {"train": asdict(self.config), "objective": description_of(self.objective),
                "model": type(self.model).__name__, "samples": len(self.source),
                "architecture": architecture_of(self.model),
                "source": description_of_source(self.source),
                "held_out": self.held_out and description_of_source(self.held_out),
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
                 "precision": self.precision, "config": self.description,
                 "versions": library_versions()}
        filled = {name: group for name, group in tensors.items() if group}
        place = ckpt.save_checkpoint(folder, self.step, filled, state, self.world)
        self.world.on_first(lambda: ckpt.delete_old(folder, self.step, self.config.keep_last,
                                               self.best["step"]))
        return place

    def _resume(self) -> None:
        folder = self.folder / "checkpoints"
        step, problems = self.world.on_first(lambda: ckpt.newest_sound(folder))
        for problem in problems:
            self._tell(f"skipped: {problem}")
        if step is None:
            if problems:
                raise ckpt.CheckpointError(f"{folder} holds no sound checkpoint, only damaged "
                                           "ones: move them away to start anew")
            return
        place = ckpt.step_folder(folder, step)
        tensors, state = ckpt.read_checkpoint(place)
        self._load_modules(tensors, str(place))
        ckpt.load_optimizer(self.module, self.optimizer, tensors.get("optimizer", {}))
        before = state.get("precision") or state["config"]["train"]["precision"]  # in older ones
        kept = choose_precision(before, self.device)._replace(why="that of the run so far")
        self._compute_in(kept)
        self.scaler.load_state_dict(state["scaler"])
        best = state["best"]
        self.best = {**best, "loss": math.inf if best["loss"] is None else best["loss"]}
        self.best_state = None
        self.step = state["step"]
        self._tell(f"resumed from step {self.step} of {self.config.steps}")

    def _start_anew(self) -> None:
        if self.step == 0:
            self.world.on_first(lambda: move_aside(self.folder))

    def _load_modules(self, tensors: dict, source: str) -> None:
        try:
            for name, part in (("model", self.model), ("objective", self.objective)):
                there = state_tensors(part)
                as_it_is = {key: own for key, own in there.items()  # what earlier runs did not keep
                            if isinstance(own, nn.Parameter) and not own.requires_grad}
                load_state(part, as_it_is | {key: sharded_like(tensor, there.get(key, tensor))
                                             for key, tensor in tensors.get(name, {}).items()},
                           source)
        except ValueError as error:
            raise ckpt.CheckpointError(str(error)) from None

    def _where_saved(self) -> str:
        return f"; resume from {self.folder}" if self.folder else ""

    def _tell(self, line: str) -> None:
        if self.world.first:
            print(line)
