"""The first lines of a model card: Python that needs only numpy and onnxruntime."""

from pipeline.bundle.card_parts import opened
from pipeline.config import ModelConfig, SeriesModel, TextModel
from pipeline.contract.files import GOLDEN_FILE, ONNX_FILE
from pipeline.network_tensors import (
    FORECAST,
    HISTORY,
    INPUT,
    NOISE,
    PROMPT,
    STATE,
    STEPS,
    TEMPERATURE,
    TEXT,
    TOP_K,
    TOP_P,
    UNIFORM,
    loop,
    network_tensors,
)

_STEPS = {"generate": 200, "forecast": 20}  # that the first lines make
_READ = 100  # steps of a series that they read before


def first_lines(model: ModelConfig) -> str:
    """Python code that makes a text or a forecast with only numpy and onnxruntime.

    It runs the graph with the loop inside; a model that has none is called once.
    """
    looped = loop(model)
    if looped is None:
        return call_lines(model)
    steps = _STEPS[looped.name]
    if isinstance(model, TextModel):
        prepare = 'prompt = "The "'
        feeds = f"""\
    "{PROMPT}": np.array([[ord(c) for c in prompt]], np.int64),  # [batch, time] code points
    "{UNIFORM}": np.random.default_rng(1).random((1, {steps}), np.float32),  # a draw per step
    "{TEMPERATURE}": np.array(0.7, np.float32),
    "{TOP_K}": np.array(0, np.int64),  # off
    "{TOP_P}": np.array(1, np.float32),  # off"""
        answer = f"""\
print(prompt + "".join(map(chr, found["{TEXT}"][0])))"""
    else:
        prepare = _held_out(model)
        feeds = f"""\
    "{HISTORY}": values[:, :{_READ}],
    "{STEPS}": np.array({steps}, np.int64),
    "{NOISE}": np.zeros((1, 0, {steps}), np.float32),  # [batch, samples, steps]: no samples"""
        answer = f"""\
print(found["{FORECAST}"][0])  # [steps, targets]: what follows, raw units"""
    return f"""\
{opened(looped.file, _imports(model))}
{prepare}
feeds = {{
{feeds}
    "{STATE}": {_zero_state(model)},
}}
found = dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds)))
{answer}
"""


def call_lines(model: ModelConfig) -> str:
    """Python code that calls ``onnx/model.onnx`` with only numpy and onnxruntime.

    It carries the state from piece to piece, or reads a whole sequence if there is none.
    """
    if isinstance(model, TextModel):
        prepare = """\
text = np.array([[ord(c) for c in "The "]], np.int64)  # [batch, time] code points
vocabulary = session.get_modelmeta().custom_metadata_map["vocabulary"]"""
        given = "text"
        answer = "print(repr(vocabulary[output[0, -1, 1:].argmax()]))  # the likeliest next one"
    else:
        prepare, given = _held_out(model), f"values[:, :{_READ}]"
        answer = "print(output[0, -1])  # after the last step that it read, raw units"
    if network_tensors(model).has_state:
        call = f"""\
state = {_zero_state(model)}
for piece in np.array_split({given}, 2, axis=1):
    output, state = session.run(None, {{"{INPUT}": piece, "{STATE}": state}})"""
    else:
        call = f'(output,) = session.run(None, {{"{INPUT}": {given}}})'
    return f"""\
{opened(ONNX_FILE, _imports(model))}
{prepare}
{call}
{answer}
"""


def _imports(model: ModelConfig) -> str:
    """What the lines that read held-out data need besides."""
    return "import json\nfrom pathlib import Path\n\n" if isinstance(model, SeriesModel) else ""


def _held_out(model: SeriesModel) -> str:
    return f"""\
held_out = json.loads(Path("{GOLDEN_FILE}").read_bytes())["held_out"]["{INPUT}"]["data"]
values = np.array(held_out, np.float32)  # raw units
values = values.reshape(1, -1, {model.features})  # [batch, time, features]"""


def _zero_state(model: ModelConfig) -> str:
    _, *sizes = network_tensors(model).state.shape
    return f"np.zeros({(1, *sizes)}, np.float32)"
