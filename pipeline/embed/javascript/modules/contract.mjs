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

/**
 * The input that comes step by step, or call by call if it has no time axis: its name, type and the
 * shape of a step. Otherwise `refusal` says why there is none, and `remedy` what to do.
 */
export function streamOf({ specs, axes, inputs, states }) {
  const [name, ...others] = inputs;
  if (others.length > 0) {
    const refusal = `reads ${inputs.join(" and ")}, which one line cannot hold`;
    return { refusal, remedy: "give all of them to Model.call" };
  }
  const { type, shape: sizes } = specs[name];
  const roles = sizes.map((axis) => axes[axis]?.role);
  if (roles.includes("time") && Object.keys(states).length === 0) {
    const refusal = "reads whole sequences, not step by step";
    return { refusal, remedy: "give whole ones to Model.call" };
  }
  if (roles.includes("size")) {
    const refusal = `reads ${name}, of which an axis may have any size`;
    return { refusal, remedy: "give the one that you need to Model.call" };
  }
  const shape = sizes.map((axis, index) => {
    if (roles[index] !== "time") return typeof axis === "string" ? 1 : axis;
    const { smallest = 1, multiple = 1 } = axes[axis];
    return Math.ceil(smallest / multiple) * multiple;
  });
  return { name, type, shape };
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
