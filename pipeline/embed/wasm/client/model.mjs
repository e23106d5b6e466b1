// The network as replay.mjs and example.mjs call it: with tensors, and with a sampler.

import { BundleError } from "./bundle.mjs";
import { Network } from "./network.mjs";
import { uniforms } from "./random.mjs";
import { sample } from "./sampler.mjs";

export const TARGET = "wasm";
const MODULE = new URL("model.wasm", import.meta.url);

/** The bytes of the module, from its file or from a server. */
async function readModule() {
  try {
    if (MODULE.protocol !== "file:") return await (await fetch(MODULE)).arrayBuffer();
    const { readFile } = await import("node:fs/promises");
    return await readFile(MODULE);
  } catch (error) {
    throw new BundleError(`cannot read model.wasm (${error.message}); 'make' builds it`, 7);
  }
}

export class Model {
  /** Open the network, which must be the one of the bundle. */
  static async open(bundle) {
    const { manifest } = bundle;
    const network = await Network.load(await readModule());
    if (network.checkpoint !== manifest.checkpoint_sha256) {
      throw new BundleError(`model.wasm is not ${manifest.name}; generate its C source anew`);
    }
    const { node } = globalThis.process?.versions ?? {};
    const runtime = node ? `Node.js ${node}` : navigator.userAgent;
    return Object.assign(new Model(), { network, bundle, runtime });
  }

  /** One call of any number of streams and steps; all tensors are `{type, shape, data}`. */
  call = async (inputs, states) => {
    const { contract } = this.bundle;
    const [[input], [output], [carried]] = [contract.inputs, contract.outputs, Object.keys(states)];
    const given = inputs[input];
    const state = states[carried];
    const [batch, time] = given.shape;
    const [features, rows] = [given.data.length / batch / time, state.data.length / batch];
    const shape = [batch, time, this.network.output.length];
    const data = new Float32Array(batch * time * shape[2]);
    const next = state.data.slice();
    for (let step = 0; step < batch * time; step += 1) {
      const stream = Math.floor(step / time);
      const own = next.subarray(stream * rows, (stream + 1) * rows);
      const values = given.data.subarray(step * features, (step + 1) * features);
      data.set(this.network.step(own, Array.from(values, Number)), step * shape[2]);
    }
    return {
      outputs: { [output]: { type: "float32", shape, data } },
      states: { [carried]: { ...state, data: next } },
    };
  };

  /** Yield text, character by character. */
  async *generate(prompt, length, sampling, seed) {
    const { network, bundle } = this;
    const vocabulary = Array.from(bundle.manifest.vocabulary);
    const state = network.newState();
    const read = (character) => network.step(state, [character.codePointAt(0)]);
    const number = uniforms(seed);
    let logits = network.logits(state);
    for (const character of prompt) logits = read(character);
    for (let made = 0; made < length; made += 1) {
      const character = vocabulary[sample(logits, number(), sampling) - 1];
      yield character;
      logits = read(character);
    }
  }
}
