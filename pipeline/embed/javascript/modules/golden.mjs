// Replays the golden trajectories, and times one step.

import { isFloat, numbersOf } from "./tensors.mjs";

const HALF = { atol: 2.5e-3, rtol: 1e-3 }; // for float16, which has 11 bits
const ROUNDS = 5;
const STEPS = 200; // of a round, at least
const RESOLVED = 20; // milliseconds of a round, at least: clocks of browsers may tick once in one

/**
 * Make the calls of every trajectory, each with the states that came out of the one before.
 *
 * `call(inputs, states)` gets and gives tensors `{type, shape, data}` by name: it resolves to
 * `{outputs, states}`, where the next states have the names of the states.
 */
export async function replay(golden, call) {
  const worst = { calls: 0, outputs: 0, states: 0, share: 0 };
  for (const trajectory of golden.trajectories) {
    let { states } = trajectory;
    for (const expected of trajectory.calls) {
      const found = await call(expected.inputs, states);
      for (const kind of ["outputs", "states"]) {
        for (const [name, tensor] of Object.entries(expected[kind])) {
          const [error, share] = compare(found[kind][name], tensor, golden.tolerance);
          worst[kind] = Math.max(worst[kind], error); // NaN if one of them is
          worst.share = Math.max(worst.share, share);
        }
      }
      states = found.states;
      worst.calls += 1;
    }
  }
  return { ...worst, passed: worst.share <= 1 };
}

/** The largest error, and the largest share of what was allowed; NaN if the shapes differ. */
function compare(found, expected, tolerance) {
  if (String(found.shape) !== String(expected.shape)) return [Number.NaN, Number.NaN];
  const { atol, rtol } = expected.type === "float16" ? HALF : tolerance;
  const isExact = !isFloat(expected.type); // integers and booleans are equal, or wrong
  const numbers = numbersOf(found);
  let [largest, share] = [0, 0];
  numbersOf(expected).forEach((value, index) => {
    const error = Math.abs(numbers[index] - value);
    const allowed = isExact ? 0 : atol + rtol * Math.abs(value);
    largest = Math.max(largest, error);
    share = Math.max(share, error === 0 ? 0 : error / allowed);
  });
  return [largest, share];
}

/** Microseconds of the smallest call, which is one step: the fastest of some rounds. */
export async function timeStep(golden, call) {
  const size = ({ inputs }) =>
    Object.values(inputs).reduce((sum, { data }) => sum + data.length, 0);
  const [{ inputs, states }] = golden.trajectories
    .flatMap(({ calls, states }) => calls.map(({ inputs }) => ({ inputs, states })))
    .sort((one, other) => size(one) - size(other));

  async function round(steps) {
    let carried = states;
    const started = performance.now();
    for (let step = 0; step < steps; step += 1) {
      ({ states: carried } = await call(inputs, carried));
    }
    return performance.now() - started;
  }

  let steps = STEPS;
  while ((await round(steps)) < RESOLVED) steps *= 2; // which warms the runtime up, too
  let fastest = Number.POSITIVE_INFINITY;
  for (let count = 0; count < ROUNDS; count += 1) fastest = Math.min(fastest, await round(steps));
  return (fastest / steps) * 1000;
}

/** The result of a replay as the line of JSON that every client prints. */
export function resultLine(target, runtime, model, result, microseconds) {
  const { calls, passed, ...errors } = result;
  return JSON.stringify({
    target,
    runtime,
    model,
    calls,
    ...errors, // those that are not finite become null
    microseconds_per_step: Number(microseconds.toPrecision(4)),
    passed,
  });
}
