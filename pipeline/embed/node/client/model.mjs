// A bundle in ONNX Runtime for Node.js: the client to copy.

import { createRequire } from "node:module";
import { BundleError } from "./bundle.mjs";
import { uniforms } from "./random.mjs";

export const TARGET = "node";
const PIECE = 16; // characters of one call: few enough to be seen as they come

/** The runtime, with its version. */
async function loadRuntime() {
  try {
    const { default: ort } = await import("onnxruntime-node");
    const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json");
    return { ort, runtime: `onnxruntime-node ${version}` };
  } catch (error) {
    const [why] = error.message.split("\n", 1);
    throw new BundleError(`cannot load onnxruntime-node (${why}); run 'npm install'`, 7);
  }
}

export class Model {
  /** Open a graph of a bundle: `onnx/model.onnx`, or `onnx/generate.onnx`. */
  static async open(bundle, graph) {
    const { ort, runtime } = await loadRuntime();
    const bytes = await bundle.read(graph);
    const options = {
      intraOpNumThreads: 1, // a step is too small to share: more threads only wait
      logSeverityLevel: 3, // it warns about shapes that are dynamic on purpose
    };
    try {
      const session = await ort.InferenceSession.create(bytes, options);
      return Object.assign(new Model(), { ort, runtime, session, manifest: bundle.manifest });
    } catch (error) {
      throw new BundleError(`${runtime} cannot load ${graph} (${error}); install a newer one`, 7);
    }
  }

  /** The state that starts a stream, all zeros; null for a model of whole sequences. */
  zeroState() {
    const spec = this.manifest.inputs.find(({ name }) => name === "state");
    if (spec === undefined) return null;
    const shape = [1, ...spec.shape.slice(1)];
    return { type: "float32", shape, data: new Float32Array(shape.reduce((a, b) => a * b)) };
  }

  /** One call of any number of streams and steps; all tensors are `{type, shape, data}`. */
  call = async (input, state) => {
    const given = state === null ? { input } : { input, state };
    const { output, next_state } = await this.run(given);
    return { output, next_state: next_state ?? null };
  };

  /** Yield text in pieces, by the loop inside `onnx/generate.onnx`. */
  async *generate(prompt, length, { temperature, topK, topP }, seed) {
    const number = uniforms(seed);
    let points = Array.from(prompt, (character) => character.codePointAt(0));
    let state = this.zeroState();
    for (let made = 0; made < length; made += PIECE) {
      const numbers = Array.from({ length: Math.min(PIECE, length - made) }, number);
      const { text, next_state } = await this.run({
        prompt: int64(points, [1, points.length]),
        uniform: float32(numbers, [1, numbers.length]),
        temperature: float32([temperature], []),
        top_k: int64([topK], []),
        top_p: float32([topP], []),
        state,
      });
      points = []; // the state has read them
      state = next_state;
      yield String.fromCodePoint(...Array.from(text.data, Number));
    }
  }

  /** Tensors by name in, tensors by name out. */
  async run(given) {
    const feeds = mapped(given, ({ type, shape, data }) => new this.ort.Tensor(type, data, shape));
    const found = await this.session.run(feeds);
    return mapped(found, ({ type, dims, data }) => ({ type, shape: dims, data }));
  }
}

const mapped = (tensors, change) =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, change(tensor)]));
const float32 = (values, shape) => ({ type: "float32", shape, data: Float32Array.from(values) });
const int64 = (values, shape) => ({
  type: "int64",
  shape,
  data: BigInt64Array.from(values, BigInt),
});
