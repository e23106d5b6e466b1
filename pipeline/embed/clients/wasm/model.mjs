// The model in model.wasm, for Node.js and browsers.

/**
 * Load the model from the bytes of model.wasm.
 *
 * A state is a `Float32Array` of `stateSize` numbers; zeros start a stream, and every stream has
 * its own.
 */
export async function loadModel(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes);
  const { memory, layout, ...functions } = instance.exports;
  const places = new Int32Array(memory.buffer, layout(), 6);
  const [stateAt, stateSize, inputAt, features, outputAt, outputs] = places;
  const inner = new Float32Array(memory.buffer, stateAt, stateSize);
  const inputs = new Float64Array(memory.buffer, inputAt, features);
  const output = new Float32Array(memory.buffer, outputAt, outputs);
  return {
    features,
    outputs,
    newState: () => new Float32Array(stateSize),

    /** The output for one step: features, or the code point of a character. Changes `state`. */
    step(state, ...input) {
      inner.set(state);
      inputs.set(input);
      functions.step();
      state.set(inner);
      return output.slice();
    },

    /** Of a text, the logits that `state` gives before anything is read. */
    logits(state) {
      inner.set(state);
      functions.logits();
      return output.slice();
    },
  };
}
