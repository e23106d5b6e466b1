// The contract of a model: its tensors, and which of them are states.

import { isType, sizeOf } from "./tensors.mjs";

const AXES = { batch: { role: "batch" }, time: { role: "time" } }; // in format 1
const INITIAL = "initial.json";

/**
 * The contract that a manifest of any format has; undefined if it is that of no model.
 *
 * `specs` are all tensors by name. `states` gives for the name of every state that of the next one,
 * and `initial` what it starts from. `inputs` and `outputs` are the names of all other tensors.
 */
export function contractOf({ state, states = state ? [state] : [], inputs, outputs, axes = AXES }) {
  if (![states, inputs, outputs].every(Array.isArray)) return undefined;
  const all = [...inputs, ...outputs];
  const specs = Object.fromEntries(all.map((spec) => [spec?.name, spec]));
  const isKnown = Object.keys(specs).length === all.length && all.every(isTensor);
  const contract = {
    specs,
    axes,
    states: Object.fromEntries(states.map((pair) => [pair?.input, pair?.output])),
    initial: Object.fromEntries(states.map((pair) => [pair?.input, pair?.initial])),
    inputs: without(inputs, states, "input"),
    outputs: without(outputs, states, "output"),
  };
  const places = [inputs.length - contract.inputs.length, outputs.length - contract.outputs.length];
  const isWhole = places.every((count) => count === states.length) && contract.inputs.length > 0;
  return isKnown && isWhole && states.every((pair) => isPair(pair, specs)) ? contract : undefined;
}

/** Outputs and next states of one call, the states by the names of their inputs. */
export function split({ outputs, states }, found) {
  return {
    outputs: Object.fromEntries(outputs.map((name) => [name, found[name]])),
    states: Object.fromEntries(Object.entries(states).map(([to, from]) => [to, found[from]])),
  };
}

/** The shape of the smallest piece of a stream in one tensor; `null` for an axis of any size. */
export function pieceOf({ specs, axes }, name) {
  return specs[name].shape.map((axis) => {
    if (typeof axis !== "string") return axis;
    const { role, smallest = 1, multiple = 1 } = axes[axis];
    if (role === "size") return null;
    return role === "batch" ? 1 : Math.ceil(smallest / multiple) * multiple;
  });
}

/** Whether a tensor has a time axis. */
export function hasTime({ specs, axes }, name) {
  return specs[name].shape.some((axis) => axes[axis]?.role === "time");
}

function without(specs, states, side) {
  const carried = new Set(states.map((pair) => pair?.[side]));
  return specs.map((spec) => spec?.name).filter((name) => !carried.has(name));
}

function isTensor(spec) {
  if (!isType(spec?.type) || typeof spec.name !== "string" || !Array.isArray(spec.shape)) {
    return false;
  }
  const sizes = spec.shape.filter((axis) => typeof axis !== "string");
  return sizes.every((size) => Number.isSafeInteger(size) && size > 0) && sizeOf(sizes) < 2 ** 26;
}

function isPair({ input, output, initial }, specs) {
  const [before, after] = [specs[input], specs[output]];
  const isSame = before.type === after.type && String(before.shape) === String(after.shape);
  return isSame && (initial === INITIAL || Number.isFinite(initial));
}
