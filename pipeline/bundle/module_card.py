"""The model card of a user's module: ``README.md`` of its bundle."""

from pipeline.bundle.card_parts import files_section, opened, tensor_table
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.manifest import Manifest
from pipeline.contract.tensors import StatePair, TensorSpec
from pipeline.escaping import markdown


def module_card(manifest: Manifest) -> str:
    """The card of a module in Markdown."""
    assert manifest.module is not None
    inputs, outputs = (
        ", ".join(spec.name for spec in side) for side in (manifest.inputs, manifest.outputs)
    )
    return f"""\
# {markdown(manifest.name)}

`{markdown(manifest.module.class_name)}`, a PyTorch module with {manifest.parameters:,} weights.

    ({inputs}) → ({outputs})

{tensor_table((*manifest.inputs, *manifest.outputs))}
{_axes(manifest)}

{_states(manifest)}## First lines

```python
{first_lines_of_module(manifest)}```

{files_section()}"""


def first_lines_of_module(manifest: Manifest) -> str:
    """Python code that runs ``onnx/model.onnx`` with only numpy and onnxruntime."""
    feeds = ", ".join(f'"{spec.name}": {_zeros(spec)}' for spec in manifest.contract.data_inputs)
    is_stored = any(isinstance(pair.initial, str) for pair in manifest.states)
    lines = [
        opened(ONNX_FILE, "import json\n\n" if is_stored else ""),
        "names = [output.name for output in session.get_outputs()]",
    ]
    if not manifest.states:
        return "\n".join([*lines, f"print(session.run(None, {{{feeds}}})[0])", ""])
    specs = {spec.name: spec for spec in manifest.inputs}
    if is_stored:
        lines.append('stored = json.load(open("initial.json"))["states"]')
    lines += [
        "states = {",
        *(f"    {_start(specs[pair.input], pair)}," for pair in manifest.states),
    ]
    lines.append("}")
    pairs = ", ".join(f'"{pair.input}": found["{pair.output}"]' for pair in manifest.states)
    first = manifest.contract.data_outputs[0]
    return "\n".join(
        [
            *lines,
            "for _ in range(3):  # three pieces of one stream",
            f"    found = dict(zip(names, session.run(None, {{{feeds}, **states}})))",
            f"    states = {{{pairs}}}",
            f'    print(found["{first.name}"])',
            "",
        ]
    )


def _start(spec: TensorSpec, pair: StatePair) -> str:
    if isinstance(pair.initial, str):
        one = f'stored["{pair.input}"]'
        return f'"{pair.input}": np.array({one}["data"], {_kind(spec)}).reshape({one}["shape"])'
    return f'"{pair.input}": {_zeros(spec, pair.initial)}'


def _kind(spec: TensorSpec) -> str:
    return "bool" if spec.type == "bool" else f"np.{spec.type}"


def _zeros(spec: TensorSpec, value: float = 0.0) -> str:
    return f"np.full({list(spec.smallest_shape)}, {value!r}, {_kind(spec)})"


def _axes(manifest: Manifest) -> str:
    words = []
    for name, axis in manifest.axes.items():
        pieces = f" in multiples of {axis.multiple}" if axis.multiple > 1 else ""
        role = {"batch": "its rows are independent", "time": "a sequence may be cut along it"}
        words.append(f"`{name}` is dynamic{pieces}: {role.get(axis.role, 'any size')}")
    return f"{'; '.join(words)}." if words else "All sizes are fixed."


def _states(manifest: Manifest) -> str:
    if not manifest.states or manifest.module is None:
        return "There is no state: every call is a whole sequence.\n\n"
    rows = "".join(
        f"| `{pair.input}` | `{pair.output}` | {pair.initial} | {markdown(where)} |\n"
        for pair, where in zip(manifest.states, manifest.module.states, strict=True)
    )
    return f"| state | comes out as | starts from | kept in |\n|---|---|---|---|\n{rows}\n"
