"""Bundles of format 1, which only built-in networks have, converted to format 2 when they are read.

Format 1 has one pair of states or none, one tolerance, and the names of the tensors in its golden
data. What it leaves unsaid follows from the contract of the built-in networks.
"""

from typing import Any

from pipeline.contract.files import VALIDATION_FILE
from pipeline.network_tensors import AXES, INPUT, SAMPLE, STATE

_LATER = {"states", "axes", "module"}  # keys that format 2 has and format 1 has not


def manifest_of_format_1(content: dict[str, Any]) -> None:
    """Convert the JSON of a manifest of format 1, in place; other formats stay as they are.

    Raises:
        ValueError: it lacks what a manifest of format 1 has.
    """
    if content.get("format") != 1:
        return
    if later := sorted(_LATER & content.keys()):
        raise ValueError(f"{later[0]} is not of format 1")
    try:
        state, specs = content.pop("state"), [*content["inputs"], *content["outputs"]]
        pairs = []
        if state is not None:
            shapes = {spec["name"]: (spec["type"], spec["shape"]) for spec in specs}
            if shapes.get(state["input"]) != (state.pop("type"), state.pop("shape")):
                raise ValueError("state is not that of the model")
            pairs.append(state)
        for spec in content["inputs"]:
            spec["sample"] = SAMPLE.model_dump() if spec["name"] == INPUT else None
        content["files"].pop(VALIDATION_FILE, None)  # which earlier versions listed
        content |= {
            "format": 2,
            "states": pairs,
            "axes": {name: axis.model_dump() for name, axis in AXES.items()},
            "tolerance": {"float32": content["tolerance"]},
            "module": None,
        }
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"it lacks what format 1 has ({error})") from error


def golden_of_format_1(content: dict[str, Any]) -> None:
    """Convert the JSON of golden data of format 1, in place; other formats stay as they are.

    Raises:
        ValueError: it lacks what golden data of format 1 have.
    """
    if content.get("format") != 1:
        return
    try:
        for trajectory in content["trajectories"]:
            state = trajectory.pop(STATE, None)
            trajectory["states"] = {} if state is None else {STATE: state}
        data = content["held_out"]
        if not isinstance(data, str):
            shape = [len(data), len(data[0])]
            if any(len(row) != shape[1] for row in data):
                raise ValueError("held_out has rows of several lengths")
            data = {"shape": shape, "data": [number for row in data for number in row]}
        content |= {"format": 2, "held_out": {INPUT: data}}
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"it lacks what format 1 has ({error})") from error
