// Writes text after a prompt, or says after every line of standard input what comes next.
//
// node example.mjs [--prompt TEXT] [--length N] [--temperature T] [--top-k K] [--top-p P] [--seed S]
// node example.mjs < values.csv

import { createInterface } from "node:readline";
import { BundleError } from "./bundle.mjs";
import { Model } from "./model.mjs";
import { main, openFolder, parseNumber, parseOptions, parseRow } from "./program.mjs";

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
  const { name, task, state } = bundle.manifest;
  if (state === null) {
    const what = `${name} reads whole sequences, not step by step`;
    throw new BundleError(`${what}; call its model on whole ones`, 2);
  }
  if (task === "series") {
    await forecast(await Model.open(bundle, "onnx/model.onnx"));
  } else {
    const model = await Model.open(bundle, "onnx/generate.onnx");
    for await (const text of model.generate(options.prompt, length, sampling, seed)) {
      process.stdout.write(text);
    }
    process.stdout.write("\n");
  }
  return 0;
});

/** After every line of standard input, print what the model says comes next. */
async function forecast(model) {
  const features = model.manifest.inputs[0].shape[2];
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  let state = model.zeroState();
  let count = 0;
  try {
    for await (const line of lines) {
      count += 1;
      const data = parseRow(line, count, features);
      const result = await model.call({ type: "float32", shape: [1, 1, features], data }, state);
      state = result.next_state;
      console.log(Array.from(result.output.data, (value) => value.toPrecision(9)).join(","));
    }
  } finally {
    process.stdin.destroy(); // after a wrong line, do not wait for the next one
  }
}
