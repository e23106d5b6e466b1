// A bundle in ONNX Runtime for Node.js: the client to copy.

import { createRequire } from "node:module";
import { BundleError } from "./bundle.mjs";
import { split } from "./contract.mjs";
import { uniforms } from "./random.mjs";
import { numbersOf, tensor } from "./tensors.mjs";

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
      return Object.assign(new Model(), { ort, runtime, session, bundle });
    } catch (error) {
      throw new BundleError(`${runtime} cannot load ${graph} (${error}); install a newer one`, 7);
    }
  }

  /** One call of any number of streams and steps, with tensors `{type, shape, data}` by name. */
  call = async (inputs, states) =>
    split(this.bundle.contract, await this.run({ ...inputs, ...states }));

  /** Yield text in pieces, by the loop inside `onnx/generate.onnx`. */
  async *generate(prompt, length, { temperature, topK, topP }, seed) {
    const number = uniforms(seed);
    const { contract } = this.bundle;
    let points = Array.from(prompt, (character) => character.codePointAt(0));
    let states = await this.bundle.initialStates();
    for (let made = 0; made < length; made += PIECE) {
      const numbers = Array.from({ length: Math.min(PIECE, length - made) }, number);
      const found = await this.run({
        prompt: tensor("int64", [1, points.length], points),
        uniform: tensor("float32", [1, numbers.length], numbers),
        temperature: tensor("float32", [], [temperature]),
        top_k: tensor("int64", [], [topK]),
        top_p: tensor("float32", [], [topP]),
        ...states,
      });
      points = []; // the states have read them
      ({ states } = split(contract, found));
      yield String.fromCodePoint(...numbersOf(found.text));
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
