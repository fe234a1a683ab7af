"""One way to fit every network: AdamW, a warm start, a cosine to nothing, averaged weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What the network said and what it should have said, to one number."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn."""

    steps: int
    rate: float
    warm: int = 50
    """Steps until the full rate."""
    decay: float = 0.01
    """AdamW's pull of the weights towards nothing."""
    memory: float = 0.99
    """Share of the averaged weights that each step keeps."""
    told: int = 100
    """Steps between two lines of progress."""


def repeatable(seed: int, threads: int = 2) -> None:
    """Make the next random numbers, and the order of additions, the same in every run."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a fifth of the time


def fit(
    network: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    loss: Loss,
    schedule: Schedule,
) -> nn.Module:
    """Fit a network in place and give its averaged twin, in evaluation mode."""
    network.train()
    mean = get_ema_multi_avg_fn(schedule.memory)
    averaged = AveragedModel(network, multi_avg_fn=mean, use_buffers=True)
    optimiser = torch.optim.AdamW(_groups(network, schedule.decay), schedule.rate)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        schedule.rate,
        total_steps=schedule.steps,
        pct_start=min(0.5, schedule.warm / schedule.steps),
        cycle_momentum=False,
    )
    for step, (seen, wanted) in zip(range(1, schedule.steps + 1), batches, strict=False):
        cost = loss(network(seen), wanted)
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        rates.step()
        averaged.update_parameters(network)
        if step % schedule.told == 0:
            spent = time.process_time()
            print(f"  step {step}: loss {cost.item():.3f}, {spent:.0f} s of CPU time", flush=True)
    twin: nn.Module = averaged.module.eval()
    return twin


def _groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Norms and biases are left to themselves."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
