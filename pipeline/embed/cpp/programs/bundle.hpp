// An exported model: its files, checked, and its calls.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor.hpp"

class Model {
  public:
    // Read the manifest in `folder`.
    explicit Model(const std::filesystem::path &folder);

    // Load the model itself or, by its name, the loop inside it: "generate" writes text.
    void load(const std::string &loop = "");

    // The content of a JSON file of the bundle.
    nlohmann::json read_json(const std::string &name) const;

    // A tensor as golden.json stores it; `sizes` learns those of the dynamic axes.
    Tensor tensor(const std::string &name, const nlohmann::json &stored,
                  std::map<std::string, int64_t> &sizes) const;

    // The states that one stream starts from; none for models of whole sequences.
    Tensors initial_states() const;

    // (inputs, states) → (outputs, next states), for any number of streams and steps. The next
    // states have the names of the states.
    std::pair<Tensors, Tensors> step(const Tensors &inputs, const Tensors &states);

    // All outputs of what was loaded, from all inputs, both in the order of the file.
    std::vector<Tensor> run(const std::vector<const Tensor *> &given);

    nlohmann::json manifest;
    nlohmann::json specs;                         // its inputs and outputs by name
    nlohmann::json axes;                          // its dynamic axes by name
    std::vector<std::string> inputs, outputs;     // the names of all that are no states
    std::map<std::string, nlohmann::json> states; // its pairs by the names of the states

  private:
    std::string read(const std::string &name) const;

    std::filesystem::path folder;
    std::vector<std::string> all_inputs, all_outputs; // in the order of the file
    struct Session;                                   // of the runtime
    std::shared_ptr<Session> session;
};

// What runs the model: the target of this project, and a library with its version.
extern const char *const TARGET;
std::string runtime_name();
