// Replays the golden trajectories, and times one step.

const ROUNDS = 5;
const STEPS = 200; // of a round, at least
const RESOLVED = 20; // milliseconds of a round, at least: clocks of browsers may tick once in one

/**
 * Make the calls of every trajectory, each with the state that came out of the one before.
 *
 * `call(input, state)` gets and gives tensors `{type, shape, data}`: it resolves to
 * `{output, next_state}`. A model of whole sequences has no state, which is then null.
 */
export async function replay(golden, call) {
  const { atol, rtol } = golden.tolerance;
  const worst = { calls: 0, output: 0, next_state: 0, share: 0 };
  for (const trajectory of golden.trajectories) {
    let { state } = trajectory;
    for (const expected of trajectory.calls) {
      const found = await call(expected.input, state);
      for (const name of ["output", "next_state"]) {
        if (expected[name] === null) continue;
        const [error, share] = compare(found[name], expected[name], atol, rtol);
        worst[name] = Math.max(worst[name], error); // NaN if one of them is
        worst.share = Math.max(worst.share, share);
      }
      state = found.next_state;
      worst.calls += 1;
    }
  }
  return { ...worst, passed: worst.share <= 1 };
}

/** The largest error, and the largest share of what was allowed; NaN if the shapes differ. */
function compare(found, expected, atol, rtol) {
  if (String(found.shape) !== String(expected.shape)) return [Number.NaN, Number.NaN];
  let [largest, share] = [0, 0];
  expected.data.forEach((value, index) => {
    const error = Math.abs(found.data[index] - value);
    largest = Math.max(largest, error);
    share = Math.max(share, error / (atol + rtol * Math.abs(value)));
  });
  return [largest, share];
}

/** Microseconds of one step of one stream, its state carried: the fastest of some rounds. */
export async function timeStep(golden, call) {
  const [{ calls, state }] = golden.trajectories;
  const [, , ...features] = calls[0].input.shape;
  const input = firstOf(calls[0].input, [1, 1, ...features]);
  const start = state && firstOf(state, [1, ...state.shape.slice(1)]);

  async function round(steps) {
    let carried = start;
    const started = performance.now();
    for (let step = 0; step < steps; step += 1) {
      ({ next_state: carried } = await call(input, carried));
    }
    return performance.now() - started;
  }

  let steps = STEPS;
  while ((await round(steps)) < RESOLVED) steps *= 2; // which warms the runtime up, too
  let fastest = Number.POSITIVE_INFINITY;
  for (let count = 0; count < ROUNDS; count += 1) fastest = Math.min(fastest, await round(steps));
  return (fastest / steps) * 1000;
}

/** As much of the start of a tensor as fills `shape`. */
function firstOf({ type, data }, shape) {
  const size = shape.reduce((product, axis) => product * axis, 1);
  return { type, shape, data: data.slice(0, size) };
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
