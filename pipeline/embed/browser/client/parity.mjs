// Whether this browser gives PyTorch's numbers, as the replay of golden.json found it.

import { byId, fillList } from "./tables.mjs";

function small(error) {
  if (error === null) return "not finite";
  return error === 0 ? "0" : error.toExponential(1);
}

/** Show what the replay found, and what it allowed. */
export function showParity(found, { atol, rtol }) {
  byId("verdict").dataset.passed = found.passed;
  byId("verdict").textContent = found.passed
    ? "✓ PyTorch’s numbers, in this browser"
    : "✗ Not PyTorch’s numbers, in this browser";
  const allowed = `${atol.toExponential()} + ${rtol.toExponential()} of the value`;
  byId("parity-words").textContent =
    `${found.passed ? "Passed" : "Failed"}: ${found.calls} golden calls, replayed just now. ` +
    `An error may be ${allowed}.`;
  const share = found.share === null ? "not finite" : `${(100 * found.share).toPrecision(2)} %`;
  fillList("parity", [
    ["Largest error", small(found.outputs)],
    ["in the states", small(found.states)],
    ["Of the tolerance", share],
    ["One step", `${found.microseconds_per_step} µs`],
  ]);
  byId("runtime").textContent = `${found.runtime}, one thread of WebAssembly`;
}
