"""The network in WebAssembly: PyTorch's numbers, and a module of a few kilobytes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from networks_in_c import network, run, sequences, written
from tiny import tool

from pipeline.config import CELLS

WASM = Path(__file__).parents[1] / "pipeline/embed/wasm/client"


IN_NODE = """
import { readFile } from "node:fs/promises";
import { Network } from "./network.mjs";
const network = await Network.load(await readFile("model.wasm"));
const { inputs, state } = JSON.parse(await readFile("given.json", "utf8"));
const carried = Float32Array.from(state);
const outputs = inputs.map((input) => Array.from(network.step(carried, input)));
const { checkpoint } = network;
console.log(JSON.stringify({ outputs, state: Array.from(carried), checkpoint }));
"""


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_webassembly_gives_pytorchs_numbers(tmp_path: Path, cell: str, text: bool) -> None:
    made = network(cell, 20, text, num_layers=2)
    folder = written(shutil.copytree(WASM, tmp_path / "wasm"), made)
    for name in ("clang", "wasm-ld", "node"):
        tool(name)
    run([tool("make"), "--silent"], folder)
    inputs, state = sequences(made, 1, 5)
    content = {"inputs": inputs[0].reshape(5, -1).tolist(), "state": state.ravel().tolist()}
    (folder / "given.json").write_text(json.dumps(content))
    (folder / "program.mjs").write_text(IN_NODE)
    found = json.loads(run(["node", "program.mjs"], folder))
    with torch.inference_mode():
        output, following = made(torch.from_numpy(inputs), torch.from_numpy(state))
    np.testing.assert_allclose(found["outputs"], output[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["state"], following.numpy().ravel(), rtol=1e-4, atol=1e-5)
    assert found["checkpoint"] == "0" * 64


def test_the_webassembly_module_is_a_few_kilobytes_and_its_weights(tmp_path: Path) -> None:
    made = network("lstm", 64, features=1, targets=1)
    folder = written(shutil.copytree(WASM, tmp_path / "wasm"), made)
    for name in ("clang", "wasm-ld"):
        tool(name)
    run([tool("make"), "--silent"], folder)
    weights = sum(4 * parameter.numel() for parameter in made.parameters())
    assert (folder / "model.wasm").stat().st_size - weights < 4096
