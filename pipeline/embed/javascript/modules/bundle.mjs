// A bundle: its manifest, and its files, of which none is used whose digest does not match.
// Runs in Node.js and in browsers.

import { contractOf, split } from "./contract.mjs";
import { holds, sizeOf, tensor } from "./tensors.mjs";

const FORMAT = 2; // of the JSON files, and older ones
const INITIAL = "initial.json";
const LIMIT = 64 * 2 ** 20; // bytes of the manifest
const SEAL = /^\{\n {2}"sha256": "([0-9a-f]{64})",\n$/; // its digest, over all but this line
const SEALED = 82; // bytes up to the end of that line
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const STRICT = { atol: 1e-5, rtol: 1e-4 }; // more would prove nothing
const UNSAFE = /^\/|[\\:]|(^|\/)\.\.(\/|$)/; // absolute, or out of the folder

/** What is wrong, where, and what to do; a program ends with `code`. */
export class BundleError extends Error {
  constructor(message, code = 3) {
    super(message);
    this.code = code;
  }
}

/**
 * Open a bundle.
 *
 * `readFile(name, most)` gives the bytes of a file of the bundle as a `Uint8Array`, or throws if
 * there is none, or if it has more than `most`. `read(name)` of the result gives them once they are
 * known to be those that were exported. `golden()` gives the golden trajectories, and
 * `initialStates()` the states that one stream starts from, with tensors that are ready to be used.
 */
export async function openBundle(readFile) {
  const bytesOf = async (name, most) => {
    try {
      return await readFile(name, most);
    } catch (error) {
      if (error instanceof BundleError) throw error;
      throw new BundleError(`cannot read ${name}: ${error.message}; export it anew`);
    }
  };
  const manifest = await unsealed(await bytesOf("manifest.json", LIMIT));
  const { files } = manifest;
  const contract = contractOf(manifest);

  async function read(name) {
    const entry = Object.hasOwn(files, name) ? files[name] : undefined;
    if (!Number.isSafeInteger(entry?.bytes) || UNSAFE.test(name)) {
      throw new BundleError(`manifest.json lists no ${name}; export it anew`);
    }
    const bytes = await bytesOf(name, entry.bytes);
    if (bytes.length !== entry.bytes || (await sha256(bytes)) !== entry.sha256) throw changed(name);
    return bytes;
  }

  async function golden() {
    const content = parse("golden.json", await read("golden.json"));
    try {
      const { atol, rtol } = content.tolerance;
      const proves = atol >= 0 && atol <= STRICT.atol && rtol >= 0 && rtol <= STRICT.rtol;
      if (!proves) throw new Error(`a tolerance of ${atol} and ${rtol} proves nothing`);
      const trajectories = content.trajectories.map((one) => typed(one, contract));
      if (trajectories.length === 0) throw new Error("it has no trajectories");
      return { tolerance: { atol, rtol }, held_out: content.held_out, trajectories };
    } catch (error) {
      throw malformed("golden.json", error);
    }
  }

  async function initialStates() {
    const { initial, specs } = contract;
    const isKept = Object.values(initial).some((start) => typeof start === "string");
    const kept = isKept ? parse(INITIAL, await read(INITIAL)).states : {};
    const start = (name) => {
      if (typeof initial[name] === "string") return stored(specs[name], kept[name], {});
      const shape = specs[name].shape.map((axis) => (typeof axis === "string" ? 1 : axis));
      return tensor(specs[name].type, shape, new Array(sizeOf(shape)).fill(initial[name]));
    };
    try {
      return Object.fromEntries(Object.keys(initial).map((name) => [name, start(name)]));
    } catch (error) {
      throw malformed(INITIAL, error);
    }
  }

  return { manifest, contract, read, golden, initialStates };
}

/** The error for a file that is not the one that was exported. */
export function changed(name) {
  return new BundleError(`${name} was changed after its export; export it anew`, 5);
}

function malformed(name, { message }) {
  return new BundleError(`${name} is malformed (${message}); export it anew`);
}

/** The manifest, held against its seal; those of earlier versions have none. */
async function unsealed(bytes) {
  const line = SEAL.exec(String.fromCharCode(...bytes.subarray(0, SEALED)));
  if (line !== null) {
    const rest = bytes.slice(SEALED - 2); // the first line, and what follows that of the seal
    rest.set(bytes.subarray(0, 2));
    if ((await sha256(rest)) !== line[1]) throw changed("manifest.json");
  }
  const manifest = parse("manifest.json", bytes);
  if (line === null && Object.keys(manifest)[0] !== "format") throw changed("manifest.json");
  if (!isOfModel(manifest)) throw new BundleError("manifest.json is of no model; export it anew");
  return manifest;
}

/** Whether name, task and contract are those of a model as these programs run them. */
function isOfModel(manifest) {
  const { name, task, files } = manifest;
  const known = NAME.test(name) && ["series", "text", null].includes(task);
  return known && Object(files) === files && contractOf(manifest) !== undefined;
}

/** JSON of a format that is known here. */
function parse(name, bytes) {
  let content;
  try {
    content = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BundleError(`${name} is not JSON (${error.message}); export it anew`);
  }
  if (!Number.isInteger(content?.format)) {
    throw new BundleError(`${name} has no format; export it anew`);
  }
  if (content.format > FORMAT) {
    const what = `${name} has format ${content.format}; this program reads ${FORMAT}`;
    throw new BundleError(`${what}; update it`);
  }
  return content;
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A trajectory whose tensors have types, and the shapes that the manifest says. */
function typed({ name, states, calls, ...older }, contract) {
  const batch = {};
  const all = (tensors, names, sizes) =>
    Object.fromEntries(names.map((one) => [one, stored(contract.specs[one], tensors[one], sizes)]));
  const start = all(states ?? older, Object.keys(contract.states), batch); // older: format 1
  return {
    name,
    states: start,
    calls: calls.map((call) => {
      const sizes = { ...batch };
      const inputs = all(call, contract.inputs, sizes);
      const after = [...contract.outputs, ...Object.values(contract.states)];
      return { inputs, ...split(contract, all(call, after, sizes)) };
    }),
  };
}

/** A tensor of a JSON file; `sizes` learns those of the dynamic axes. */
function stored({ name, type, shape: axes }, { shape, data }, sizes) {
  const size = (axis, index) => {
    if (typeof axis === "string") sizes[axis] ??= shape[index];
    return typeof axis === "string" ? sizes[axis] : axis;
  };
  const fits = axes.every((axis, index) => shape[index] === size(axis, index));
  const count = sizeOf(shape);
  const isWhole = shape.every((one) => Number.isSafeInteger(one) && one > 0);
  if (!fits || !isWhole || shape.length !== axes.length || data.length !== count) {
    throw new Error(`${name} has shape [${shape}] and ${data.length} values, not [${axes}]`);
  }
  if (!holds(type, data)) throw new Error(`${name} has what is no ${type}`);
  return tensor(type, shape, data);
}
