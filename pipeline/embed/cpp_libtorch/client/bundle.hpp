// An exported model in LibTorch: its files, checked, and its calls.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <torch/script.h>

// What is wrong, where, and what to do; a program exits with `code`.
struct ModelError : std::runtime_error {
    ModelError(const std::string &message, int code = 3)
        : std::runtime_error(message), code(code) {}
    int code;
};

using Tensors = std::map<std::string, at::Tensor>; // by name

// One tensor of the numbers in a JSON array, with one axis; none if the type cannot hold them.
std::optional<at::Tensor> make_tensor(const std::string &type, const nlohmann::json &data);

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

    // The states that one stream starts from; none for models of whole sequences.
    Tensors initial_states() const;

    // (inputs, states) → (outputs, next states), for any number of streams and steps. The next
    // states have the names of the states.
    std::pair<Tensors, Tensors> step(const Tensors &inputs, const Tensors &states);

    nlohmann::json manifest;
    nlohmann::json specs;                         // its inputs and outputs by name
    nlohmann::json axes;                          // its dynamic axes by name
    std::vector<std::string> inputs, outputs;     // the names of all other tensors
    std::map<std::string, nlohmann::json> states; // its pairs by the names of the states
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
