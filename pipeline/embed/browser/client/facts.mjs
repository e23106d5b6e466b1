// What the manifest says of the model: its sizes, its scores and its files.

import { contractOf } from "./contract.mjs";
import { byId, fillList, fillTable, plain } from "./tables.mjs";

const short = (error) => (error < 1e-3 ? error.toExponential(1) : error.toPrecision(2));
const whole = (number) => number.toLocaleString("en");

/** Fill the page's heading and its facts. */
export function showFacts(manifest) {
  const { name, parameters, opset, model } = manifest;
  document.title = plain(name);
  byId("name").textContent = plain(name);
  byId("summary").textContent = model ? summaryOf(manifest) : plain(manifest.module.class_name);
  const own = model ? networkFacts(manifest) : [["Module", manifest.module.class_name]];
  fillList("facts", [...own, ["Parameters", whole(parameters)], ["ONNX opset", opset]]);
  showTensors(contractOf(manifest));
  const versions = Object.entries(manifest.versions).map((pair) => pair.join(" "));
  byId("versions").textContent = plain(`Exported with ${versions.join(", ")}.`);
  showScores(manifest);
  byId("about").hidden = false;
}

/** Fill the table of the files that were read, with their `sizes`. */
export function showFiles(sizes) {
  const files = Object.entries(sizes).map(([file, bytes]) => [file, whole(bytes)]);
  fillTable("files", ["read", "bytes"], files);
}

function summaryOf({ model, task }) {
  const size = `${model.num_layers} × ${model.hidden_size} units`;
  const does = task === "series" ? "forecasts a series" : "writes text";
  return `${model.cell.toUpperCase()}, ${size}, ${does}`;
}

function networkFacts({ model, task, training, vocabulary }) {
  const series = task === "series";
  const cell = model.cell.toUpperCase();
  return [
    ["Task", task],
    ["Cell", model.nonlinearity === "relu" ? `${cell} with ReLU` : cell],
    ["Layers", model.num_layers],
    ["Hidden size", model.hidden_size],
    ["Projected to", model.proj_size || null],
    ["Bias", model.bias ? null : "none"],
    ["Directions", model.bidirectional ? "both, whole sequences" : "one, state carried"],
    ["Columns", series ? `${model.features} read, ${model.targets} forecast` : null],
    ["Vocabulary", series ? null : `${Array.from(vocabulary).length} characters`],
    ["Embedding", model.embedding_size],
    ["Trained", training ? `${training.epochs} epochs, best ${training.best_epoch}` : "elsewhere"],
  ];
}

/** A line for every tensor; the input and the output of a state are one line. */
function showTensors({ specs, states, inputs, outputs }) {
  const line = (kind) => (name) => [
    `${kind} ${name}`,
    `${specs[name].type} [${specs[name].shape.join(", ")}]`,
  ];
  const lines = [
    ...inputs.map(line("input")),
    ...Object.keys(states).map(line("state")),
    ...outputs.map(line("output")),
  ];
  fillTable("tensors", ["tensor", "type and shape"], lines);
}

function showScores({ training, source }) {
  if (source === null) {
    byId("scores-words").textContent = "None: it is known by its contract alone.";
  } else if (training === null) {
    const file = plain(source.file);
    byId("scores-words").textContent = `None: the weights were imported from ${file}.`;
  } else if ("one_step" in training.scores) {
    showErrors(training.scores);
  } else {
    showBits(training.scores);
  }
}

function showErrors(scores) {
  byId("scores-words").textContent =
    "On unseen data, in raw units; MASE in units of persistence in training.";
  const names = { "": "network", _persistence: "persistence", _seasonal: "seasonal naive" };
  const lines = (kind) =>
    Object.entries(names).map(([suffix, name]) => {
      const { rmse, mae, mase } = scores[kind + suffix];
      return [name, ...[rmse, mae, mase].map(short)];
    });
  fillTable("scores", ["one step ahead", "RMSE", "MAE", "MASE"], lines("one_step"));
  if (scores.free_run) {
    const head = `${scores.free_run_steps} steps, fed back`;
    fillTable("scores-free", [head, "RMSE", "MAE", "MASE"], lines("free_run"));
  }
}

function showBits({ bits_per_character: bits, accuracy, ngram_bits: ngrams }) {
  const right = `${(100 * accuracy).toFixed(1)} %`;
  byId("scores-words").textContent =
    `On unseen text, where the likeliest character is the right one ${right} of the time.`;
  const lines = ngrams.map((score, order) => [`n-gram of order ${order}`, score.toFixed(3)]);
  fillTable("scores", ["", "bits per character"], [["network", bits.toFixed(3)], ...lines]);
}
