// Writes text after a prompt, or says after every line of standard input what comes out.
//
// node example.mjs [--prompt TEXT] [--length N] [--temperature T] [--top-k K] [--top-p P] [--seed S]
// node example.mjs < values.csv

import { createInterface } from "node:readline";
import { BundleError } from "./bundle.mjs";
import { streamOf } from "./contract.mjs";
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
  const { name, task } = bundle.manifest;
  const stream = streamOf(bundle.contract);
  if (stream.refusal) throw new BundleError(`${name} ${stream.refusal}; ${stream.remedy}`, 2);
  if (task !== "text") {
    await answer(bundle, stream, await Model.open(bundle, "onnx/model.onnx"));
    return 0;
  }
  const model = await Model.open(bundle, "onnx/generate.onnx");
  for await (const text of model.generate(options.prompt, length, sampling, seed)) {
    process.stdout.write(text);
  }
  process.stdout.write("\n");
  return 0;
});

/** After every line of standard input, print the outputs of that step. */
async function answer(bundle, { name, type, shape }, model) {
  let states = await bundle.initialStates();
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  let count = 0;
  try {
    for await (const line of lines) {
      count += 1;
      const row = parseRow(line, count, type, shape);
      const result = await model.call({ [name]: row }, states);
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
