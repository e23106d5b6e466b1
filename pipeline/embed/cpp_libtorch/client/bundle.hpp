// An exported model in LibTorch: its files, checked, and its calls.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>
#include <torch/script.h>

// What is wrong, where, and what to do; a program exits with `code`.
struct ModelError : std::runtime_error {
    ModelError(const std::string &message, int code = 3)
        : std::runtime_error(message), code(code) {}
    int code;
};

class Model {
  public:
    // Read the manifest in `folder`; `load` loads the model itself.
    explicit Model(const std::filesystem::path &folder);
    void load();

    // The content of a JSON file of the bundle.
    nlohmann::json read_json(const std::string &name) const;

    // A tensor as golden.json stores it; `sizes` learns those of the dynamic axes.
    at::Tensor tensor(const std::string &name, const nlohmann::json &stored,
                      std::map<std::string, int64_t> &sizes) const;

    // Models of whole sequences have no state: here that is an undefined tensor.
    bool has_state() const { return !manifest.at("state").is_null(); }
    at::Tensor zero_state() const;

    // (input, state) → (output, next_state), for any number of streams and steps.
    std::pair<at::Tensor, at::Tensor> step(const at::Tensor &input, const at::Tensor &state);

    nlohmann::json manifest;
    nlohmann::json specs; // what it says of inputs and outputs, by their names
    torch::jit::Module module;

  private:
    std::string read(const std::string &name) const;
    std::filesystem::path folder;
};

// Options of a command line by name, with those of `defaults` where none are given.
using Options = std::map<std::string, std::string>;
Options parse_options(int argc, char **argv, const Options &defaults);

// Run a program, and turn every exception into one line and an exit code.
int run_program(const std::function<int()> &program);
