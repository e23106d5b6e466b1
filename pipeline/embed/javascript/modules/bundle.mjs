// A bundle: its manifest, and its files, of which none is used whose digest does not match.
// Runs in Node.js and in browsers.

const FORMAT = 1; // of the manifest and of golden.json
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
 * there is none, or if it has more than `most`. `read(name)` of the result gives them once they are known to be those that were
 * exported, and `golden()` the golden trajectories with tensors that are ready to be used.
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
      const trajectories = content.trajectories.map((one) => typed(one, manifest));
      if (trajectories.length === 0) throw new Error("it has no trajectories");
      return { tolerance: { atol, rtol }, held_out: content.held_out, trajectories };
    } catch (error) {
      if (error instanceof BundleError) throw error;
      throw new BundleError(`golden.json is malformed (${error.message}); export it anew`);
    }
  }

  return { manifest, read, golden };
}

/** The error for a file that is not the one that was exported. */
export function changed(name) {
  return new BundleError(`${name} was changed after its export; export it anew`, 5);
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

/** Whether name, task, types and shapes are those of a model as these programs run them. */
function isOfModel({ name, task, state, inputs, outputs, files }) {
  const are = (specs, names) =>
    Array.isArray(specs) && String(specs.map((spec) => spec?.name)) === names && specs.every(fits);
  const sides = state === null ? ["input", "output"] : ["input,state", "output,next_state"];
  const known = NAME.test(name) && ["series", "text"].includes(task) && Object(files) === files;
  return known && are(inputs, sides[0]) && are(outputs, sides[1]);
}

function fits({ type, shape }) {
  const isSize = (axis) => typeof axis === "string" || (Number.isSafeInteger(axis) && axis > 0);
  if (!["float32", "int64"].includes(type) || !Array.isArray(shape)) return false;
  const sizes = shape.filter((axis) => typeof axis !== "string");
  return shape.every(isSize) && sizes.reduce((product, size) => product * size, 1) < 2 ** 26;
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
function typed({ name, state, calls }, manifest) {
  const specs = Object.fromEntries(
    [...manifest.inputs, ...manifest.outputs].map((spec) => [spec.name, spec]),
  );
  const batch = calls[0].input.shape[0];
  return {
    name,
    state: specs.state ? tensor(specs.state, state, { batch }) : null,
    calls: calls.map(({ input, output, next_state }) => {
      const sizes = { batch, time: input.shape[1] };
      return {
        input: tensor(specs.input, input, sizes),
        output: tensor(specs.output, output, sizes),
        next_state: specs.next_state ? tensor(specs.next_state, next_state, sizes) : null,
      };
    }),
  };
}

/** A tensor `{type, shape, data}`; `sizes` are those of the dynamic axes. */
function tensor({ name, type, shape: axes }, { shape, data }, sizes) {
  const fits = axes.every((axis, index) => shape[index] === (sizes[axis] ?? axis));
  const count = shape.reduce((product, size) => product * size, 1);
  if (!fits || shape.length !== axes.length || data.length !== count || count < 1) {
    const what = `golden.json: ${name} has shape [${shape}] and ${data.length} values`;
    throw new BundleError(`${what}, not [${axes}]; export it anew`);
  }
  if (!data.every(Number.isFinite)) {
    throw new BundleError(`golden.json: ${name} has what is no number; export it anew`);
  }
  const typedData = type === "int64" ? BigInt64Array.from(data, BigInt) : Float32Array.from(data);
  return { type, shape, data: typedData };
}
