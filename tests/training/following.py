"""One rank of a run whose teacher follows the model; started by test_after_step.py, under torchrun or alone.

    python following.py FOLDER PARALLEL KILLED

KILLED is the update in whose forward pass rank 1 kills itself in its first life; 0 is none.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from toys import Following, config, mlp, vectors

from pretrain_lib.training.distributed import unsharded
from pretrain_lib.training.trainer import Trainer


class Mortal(Following):
    """Dies in the forward pass of an update."""

    dies_at = 0

    def forward(self, model, batch):
        if model.training and self.dies_at == len(self.calls) + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(model, batch)


class Stack(torch.nn.Module):
    """A model with a block, so that FSDP has something to put together."""

    def __init__(self, seed: int):
        super().__init__()
        self.layers = torch.nn.ModuleList([mlp(seed, torch.float64), mlp(seed + 1, torch.float64)])

    def forward(self, x):
        return self.layers[1](self.layers[0](x))


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, parallel, killed = sys.argv[1:]
    objective = Mortal(Stack(5), nudge=0.01)
    if os.environ.get("RANK") == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
        objective.dies_at = int(killed)
    trainer = Trainer(Stack(0), objective, vectors(50, dtype=torch.float64),
                      config(steps=20, accumulation=2, checkpoint_every=4, eps=1e-6, parallel=parallel, precision="fp32"),
                      folder=folder)
    trainer.fit()
    state = {name: unsharded(tensor.detach()).double().flatten().tolist()
             for name, tensor in trainer.module.state_dict().items()}
    shares = trainer.world.gather({name: tensor for name, tensor in state.items() if "layers" not in name})
    if trainer.world.first:
        Path(folder, "result.json").write_text(json.dumps({"state": state, "shares": shares, "calls": objective.calls}))
    sys.stdout.flush()
    os._exit(0)
