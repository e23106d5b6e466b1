// The network in model.wasm, for Node.js and browsers: the client to copy.

/** A network that reads one step at a time; load it from the bytes of model.wasm. */
export class Network {
  static async load(bytes) {
    const { instance } = await WebAssembly.instantiate(bytes);
    return new Network(instance.exports);
  }

  constructor({ memory, layout, step, logits }) {
    const [state, rows, input, features, output, outputs, name, length] = new Int32Array(
      memory.buffer,
      layout(),
      8,
    );
    this.stateHere = new Float32Array(memory.buffer, state, rows);
    this.input = new Float64Array(memory.buffer, input, features);
    this.output = new Float32Array(memory.buffer, output, outputs);
    this.checkpoint = String.fromCharCode(...new Uint8Array(memory.buffer, name, length));
    this.functions = { step, logits };
  }

  /** What a stream starts from; each has its own. */
  newState() {
    return new Float32Array(this.stateHere.length);
  }

  /** The output for one step: an array of features, or of one code point. Changes `state`. */
  step(state, input) {
    this.stateHere.set(state);
    this.input.set(input);
    this.functions.step();
    state.set(this.stateHere);
    return this.output.slice();
  }

  /** Of a text, the logits that `state` itself gives, without reading anything. */
  logits(state) {
    this.stateHere.set(state);
    this.functions.logits();
    return this.output.slice();
  }
}
