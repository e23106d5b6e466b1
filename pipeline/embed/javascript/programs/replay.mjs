// Replays the golden trajectories and prints one line of JSON: node replay.mjs [--model DIR]

import { replay, resultLine, timeStep } from "./golden.mjs";
import { Model, TARGET } from "./model.mjs";
import { main, openFolder, parseOptions } from "./program.mjs";

await main(async () => {
  const bundle = await openFolder(parseOptions().model);
  const golden = await bundle.golden();
  const model = await Model.open(bundle, "onnx/model.onnx");
  const result = await replay(golden, model.call);
  const microseconds = await timeStep(golden, model.call);
  console.log(resultLine(TARGET, model.runtime, bundle.manifest.name, result, microseconds));
  return result.passed ? 0 : 1;
});
