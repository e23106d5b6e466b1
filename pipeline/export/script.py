"""The loops as methods of the TorchScript module, in its own language.

They call two methods that were traced: ``forward``, and ``next_output``, what a state says comes
next. They give what the graphs of ONNX give; ``exported/README.md`` says what that is.
"""

from collections.abc import Sequence

from pipeline.export.forecast import known_spread
from pipeline.model import Network

_GENERATE = """
def sample(
    self, logits: Tensor, number: Tensor, temperature: float, top_k: int, top_p: float
) -> Tuple[Tensor, Tensor]:
    if not temperature > 0.0:
        return logits.argmax(1, True), torch.zeros_like(number.unsqueeze(1))
    distance = (logits - logits.amax(1, True)) / max(temperature, 1.0e-30)
    if top_k > 0 or top_p < 1.0:
        count = logits.size(1)
        if top_k > 0:
            count = min(top_k, count)
        ordered = torch.topk(distance, count, dim=1)[0]
        if top_p < 1.0:
            chances = torch.softmax(ordered, 1)
            before = torch.cumsum(chances, 1) - chances
            ordered = ordered.masked_fill(before >= max(top_p, 1.0e-30), float("inf"))
        distance = distance.masked_fill(distance < ordered.amin(1, True), float("-inf"))
    reached = torch.cumsum(torch.exp(distance), 1)
    total = reached[:, -1:]
    index = (reached <= number.unsqueeze(1) * total).sum(1, True)
    return index, distance.gather(1, index) - torch.log(total)

def generate(
    self,
    prompt: Tensor,
    uniform: Tensor,
    temperature: float,
    top_k: int,
    top_p: float,
    state: Tensor,
) -> Tuple[Tensor, Tensor, Tensor]:
    if prompt.size(1) > 0:
        state = self.forward(prompt, state)[1]
    points = torch.tensor({points}, device=state.device)
    numbers = torch.zeros_like(uniform)
    if temperature > 0.0:
        numbers = torch.where(uniform > 0.0, uniform, numbers).clamp(max=1 - 2.0**-23)
    text = torch.zeros(uniform.size(), dtype=torch.int64, device=state.device)
    log_prob = torch.zeros_like(uniform)
    for step in range(uniform.size(1)):
        logits = self.next_output(state)[:, 0, 1:]
        index, chance = self.sample(logits, numbers[:, step], temperature, top_k, top_p)
        point = points[index]
        state = self.forward(point, state)[1]
        text[:, step] = point[:, 0]
        log_prob[:, step] = chance[:, 0]
    return text, log_prob, state
"""

_FORECAST = """
def forecast(
    self, history: Tensor, steps: int, noise: Tensor, state: Tensor
) -> Tuple[Tensor, Tensor, Tensor]:
    if noise.size(1) > 0 and noise.size(2) != steps:
        raise ValueError("noise must have as many steps as the forecast")
    if history.size(1) > 0:
        state = self.forward(history, state)[1]
    streams = noise.size(1) + 1
    shocks = torch.cat([torch.zeros_like(noise[:, :1]), noise], 1)
    if noise.size(1) == 0:
        shocks = torch.zeros(noise.size(0), 1, steps, device=noise.device)
    shocks = shocks.flatten(0, 1).unsqueeze(2) * torch.tensor({spread}, device=noise.device)
    state = state.repeat_interleave(streams, 0)
    values = torch.zeros_like(shocks)
    for step in range(steps):
        value = self.next_output(state) + shocks[:, step : step + 1]
        state = self.forward(value, state)[1]
        values[:, step] = value[:, 0]
    values = values.unflatten(0, [noise.size(0), streams])
    return values[:, 0], values[:, 1:], state[::streams].contiguous()
"""


def loop_methods(network: Network, spread: Sequence[float] | None) -> str:
    """The methods of the loop of ``network``, as a definition in TorchScript."""
    if network.vocabulary is not None:
        return _GENERATE.replace("{points}", str([ord(c) for c in network.vocabulary]))
    return _FORECAST.replace("{spread}", str(known_spread(spread, network)))
