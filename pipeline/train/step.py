"""One step of training: forward, loss, backward, and the optimiser's update."""

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.config import TextModel, TrainingConfig
from pipeline.model import Network
from pipeline.train.batches import Batch, Task

TrainingPrecision = Literal["float32", "bfloat16"]


def make_optimizer(network: Network, options: TrainingConfig) -> torch.optim.AdamW:
    """A new optimiser of the weights of ``network``.

    For a text it is the fused one, which goes over the weights once in place of ten times. It
    rounds otherwise; forecasts, whose errors come close to float32's own, would feel that.
    """
    return torch.optim.AdamW(
        network.parameters(),
        lr=options.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=options.weight_decay,
        fused=isinstance(network.config, TextModel),
    )


def train_step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    task: Task,
    options: TrainingConfig,
    precision: TrainingPrecision,
    batch: Batch,
    state: Tensor,
) -> tuple[float, Tensor]:
    """The loss of ``batch`` before the update, and the state after it, ``[batch, S, hidden]``.

    A fresh batch starts from zeros and not from ``state``. Weights, optimiser and loss are in
    float32; ``precision`` is that of the forward pass and of its gradients.

    Raises:
        RuntimeError: PyTorch has no kernel for this, or no memory.
    """
    device = network.head.weight.device
    input, target = batch.input.to(device), batch.target.to(device)
    if batch.fresh:
        state = network.zero_state(len(input))
    is_mixed = precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16) if is_mixed else nullcontext():
        output, state = network(input, state)
    state = state.float()
    loss = task.loss(output.float(), target)
    if state.numel():  # a network of whole sequences has none
        loss = loss + options.state_penalty * state.square().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
    optimizer.step()
    return loss.item(), state.detach()
