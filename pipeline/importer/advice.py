"""The way out of a file that is more than weights, for whoever trusts it."""

import shlex
from pathlib import Path

from pipeline.importer.pickles import Look

USUAL_KEYS = ("state_dict", "model_state_dict", "model")  # where trainers keep the weights


def keep_weights(path: Path, pick: str) -> str:
    """The command that keeps the weights of ``path``, or the file beside it that has them.

    ``pick`` is Python code for what is taken of ``CONTENT``, the loaded file.
    """
    beside = path.with_name(f"{path.name}.ckpt")  # where darts puts the weights of a model
    if beside.is_file():
        return f"its weights are in the file beside it: pipeline import {shlex.quote(str(beside))}"
    loaded = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)"
    return _kept(path, pick.replace("CONTENT", loaded))


def keep_weights_of_program(path: Path) -> str:
    """The command that keeps the weights of a TorchScript archive."""
    return _kept(path, f"torch.jit.load({str(path)!r}, map_location='cpu').state_dict()")


def pick_weights(look: Look) -> str:
    """What to take of the content of a pickle that cannot be read without running code."""
    key = next((key for key in USUAL_KEYS if key in look.strings), None)
    has_module = "_parameters" in look.strings
    if not look.holds_dict:
        return "CONTENT.state_dict()" if has_module else "CONTENT.model.state_dict()"
    if key == "model" and has_module:
        return "CONTENT['model'].state_dict()"
    if key:
        return f"CONTENT['{key}']"
    # State dicts with other names, or one at the top, and settings in between.
    return "{k: v for k, v in CONTENT.items() if isinstance(v, (dict, torch.Tensor))}"


def _kept(path: Path, content: str) -> str:
    code = f"import torch; torch.save({content}, {f'{path.stem}-weights.pt'!r})"
    plain = not any(character in code for character in '"$`\\!')
    command = "python -c " + (f'"{code}"' if plain else shlex.quote(code))
    return f"if you trust whoever made it, keep its weights: {command}"
