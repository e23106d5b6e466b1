// What the manifest says of the model: its sizes, its scores and its files.

import { byId, fillList, fillTable, plain } from "./tables.mjs";

const short = (error) => (error < 1e-3 ? error.toExponential(1) : error.toPrecision(2));
const whole = (number) => number.toLocaleString("en");

/** Fill the page's heading and its facts; `sizes` are those of the files that were read. */
export function showFacts(manifest, sizes) {
  const { model, name, parameters, training } = manifest;
  const series = manifest.task === "series";
  const cell = model.cell.toUpperCase();
  const size = `${model.num_layers} × ${model.hidden_size} units`;
  document.title = plain(name);
  byId("name").textContent = plain(name);
  const task = series ? "forecasts a series" : "writes text";
  byId("summary").textContent = `${cell}, ${size}, ${task}`;
  fillList("facts", [
    ["Task", manifest.task],
    ["Cell", model.nonlinearity === "relu" ? `${cell} with ReLU` : cell],
    ["Layers", model.num_layers],
    ["Hidden size", model.hidden_size],
    ["Projected to", model.proj_size || null],
    ["Bias", model.bias ? null : "none"],
    ["Directions", model.bidirectional ? "both, whole sequences" : "one, state carried"],
    ["Columns", series ? `${model.features} read, ${model.targets} forecast` : null],
    ["Vocabulary", series ? null : `${Array.from(manifest.vocabulary).length} characters`],
    ["Embedding", model.embedding_size],
    ["Parameters", whole(parameters)],
    ["Trained", training ? `${training.epochs} epochs, best ${training.best_epoch}` : "elsewhere"],
    ["ONNX opset", manifest.opset],
  ]);
  const files = Object.entries(sizes).map(([file, bytes]) => [file, whole(bytes)]);
  fillTable("files", ["read", "bytes"], files);
  const versions = Object.entries(manifest.versions).map((pair) => pair.join(" "));
  byId("versions").textContent = plain(`Exported with ${versions.join(", ")}.`);
  showScores(manifest);
  byId("about").hidden = false;
}

function showScores({ training, source }) {
  if (training === null) {
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
