// A bundle: its manifest, and its files, of which none is used whose digest does not match.
// Runs in Node.js and in browsers.

const FORMAT = 1; // of the manifest and of golden.json
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
 * `readFile(name)` gives the bytes of a file of the bundle as a `Uint8Array`, or throws if there
 * is none. `read(name)` of the result gives them once they are known to be those that were
 * exported, and `golden()` the golden trajectories with tensors that are ready to be used.
 */
export async function openBundle(readFile) {
  const bytesOf = async (name) => {
    try {
      return await readFile(name);
    } catch (error) {
      throw new BundleError(`cannot read ${name}: ${error.message}; export it anew`);
    }
  };
  const manifest = parse("manifest.json", await bytesOf("manifest.json"));
  const { inputs, outputs, files } = manifest;
  const are = (specs) => Array.isArray(specs) && specs.every((spec) => Array.isArray(spec?.shape));
  if (!are(inputs) || !are(outputs) || Object(files) !== files) {
    throw new BundleError("manifest.json is not of a bundle; export it anew");
  }

  async function read(name) {
    const entry = files[name];
    if (entry === undefined || UNSAFE.test(name)) {
      throw new BundleError(`manifest.json lists no ${name}; export it anew`);
    }
    const bytes = await bytesOf(name);
    if (bytes.length !== entry.bytes || (await sha256(bytes)) !== entry.sha256) {
      throw new BundleError(`${name} was changed after its export; export it anew`, 5);
    }
    return bytes;
  }

  async function golden() {
    const content = parse("golden.json", await read("golden.json"));
    try {
      const { atol, rtol } = content.tolerance;
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
