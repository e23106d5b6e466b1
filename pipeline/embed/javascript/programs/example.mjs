// Writes text after a prompt, or says after every line of standard input what comes out.
//
// node example.mjs [--prompt TEXT] [--length N] [--temperature T] [--top-k K] [--top-p P] [--seed S]
// node example.mjs < values.csv

import { createInterface } from "node:readline";
import { BundleError } from "./bundle.mjs";
import { hasTime, pieceOf } from "./contract.mjs";
import { Model } from "./model.mjs";
import { main, openFolder, parseNumber, parseOptions, parseRow } from "./program.mjs";
import { isFloat, numbersOf } from "./tensors.mjs";

const OPTIONS = {
  prompt: { type: "string", default: "" },
  length: { type: "string", default: "200" },
  temperature: { type: "string", default: "1" }, // 0 takes the likeliest
  "top-k": { type: "string", default: "0" }, // off
  "top-p": { type: "string", default: "1" }, // off
  seed: { type: "string", default: "1" },
};

await main(async () => {
  const options = parseOptions(OPTIONS);
  const number = (name, range) => parseNumber(name, options[name], range);
  const sampling = {
    temperature: number("temperature", {}),
    topK: number("top-k", { whole: true }),
    topP: number("top-p", { over: 0, to: 1 }),
  };
  const length = number("length", { whole: true });
  const seed = number("seed", { from: -Infinity, whole: true });
  const bundle = await openFolder(options.model);
  const { manifest, contract } = bundle;
  if (manifest.task !== "text") {
    const name = lineInput(manifest.name, contract);
    await answer(bundle, name, await Model.open(bundle, "onnx/model.onnx"));
    return 0;
  }
  if (Object.keys(contract.states).length === 0) throw wholeSequences(manifest.name);
  const model = await Model.open(bundle, "onnx/generate.onnx");
  for await (const text of model.generate(options.prompt, length, sampling, seed)) {
    process.stdout.write(text);
  }
  process.stdout.write("\n");
  return 0;
});

/** The error for a model that has to see a sequence whole. */
function wholeSequences(model) {
  const what = `${model} reads whole sequences, not step by step`;
  return new BundleError(`${what}; give whole ones to Model.call`, 2);
}

/** The input that a line holds: one step of it, or one call if it has no time axis. */
function lineInput(model, contract) {
  const [input, ...others] = contract.inputs;
  if (others.length > 0) {
    const what = `${model} reads ${contract.inputs.join(" and ")}, which one line cannot hold`;
    throw new BundleError(`${what}; give all of them to Model.call`, 2);
  }
  if (pieceOf(contract, input).includes(null)) {
    const what = `${model} reads ${input}, of which an axis may have any size`;
    throw new BundleError(`${what}; give the one that you need to Model.call`, 2);
  }
  const isWhole = hasTime(contract, input) && Object.keys(contract.states).length === 0;
  if (isWhole) throw wholeSequences(model);
  return input;
}

/** After every line of standard input, print the outputs of that step. */
async function answer(bundle, input, model) {
  const { type } = bundle.contract.specs[input];
  const shape = pieceOf(bundle.contract, input);
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  let states = await bundle.initialStates();
  let count = 0;
  try {
    for await (const line of lines) {
      count += 1;
      const row = parseRow(line, count, type, shape);
      const result = await model.call({ [input]: row }, states);
      states = result.states;
      console.log(Object.values(result.outputs).flatMap(written).join(","));
    }
  } finally {
    process.stdin.destroy(); // after a wrong line, do not wait for the next one
  }
}

/** The numbers of a tensor, floats with all digits that float32 has. */
function written(tensor) {
  const write = isFloat(tensor.type) ? (one) => one.toPrecision(9) : String;
  return numbersOf(tensor).map(write);
}
