// Replays the golden trajectories of the bundle, and times one step. Prints one line of JSON; ends
// with 1 if a number is not what it should be.

import { replay, resultLine, timeStep } from "./golden.mjs";
import { openFolder, openModel, options, run } from "./program.mjs";

/** The calls of a model as `replay` makes them: many streams, many steps. */
function caller(model) {
  return (input, state) => {
    const [batch, time] = input.shape;
    const width = state.data.length / batch;
    const output = new Float32Array(batch * time * model.outputs);
    const next = state.data.slice();
    for (let stream = 0; stream < batch; stream += 1) {
      const own = next.subarray(stream * width, (stream + 1) * width);
      for (let step = stream * time; step < (stream + 1) * time; step += 1) {
        const given = input.data.subarray(step * model.features, (step + 1) * model.features);
        output.set(model.step(own, ...Array.from(given, Number)), step * model.outputs);
      }
    }
    return {
      output: { type: "float32", shape: [batch, time, model.outputs], data: output },
      next_state: { ...state, data: next },
    };
  };
}

await run(async () => {
  const { model: folder } = options({ model: { type: "string" } });
  const { manifest, golden } = await openFolder(folder);
  const [trajectories, call] = [await golden(), caller(await openModel())];
  const result = await replay(trajectories, call);
  const microseconds = await timeStep(trajectories, call);
  const runtime = `WebAssembly, Node.js ${process.versions.node}`;
  console.log(resultLine("wasm", runtime, manifest.name, result, microseconds));
  return result.passed ? 0 : 1;
});
