// Replays the golden calls of a bundle, compares every number, and times one step.
#include "bundle.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>

#include <torch/version.h>

namespace {

// The larger one, where NaN is larger than any number.
double worse(double a, double b) { return std::isnan(a) || a > b ? a : b; }

struct Comparison {
    int64_t calls = 0;
    double outputs = 0, states = 0, share = 0; // the largest errors, and error / allowed

    // Compare one tensor; a wrong shape counts as NaN.
    void add(double &largest, const at::Tensor &found, const at::Tensor &expected, double atol,
             double rtol) {
        double error = std::numeric_limits<double>::quiet_NaN(), part = error;
        if (found.sizes() == expected.sizes()) {
            const auto exact = expected.to(at::kDouble);
            const auto errors = (found.to(at::kDouble) - exact).abs();
            error = errors.max().item<double>();                   // NaN if there is one
            const bool half = expected.scalar_type() == at::kHalf; // which has 11 bits
            const auto allowed = half ? 2.5e-3 + 1e-3 * exact.abs() : atol + rtol * exact.abs();
            part = (errors / allowed).max().item<double>();
            if (!expected.is_floating_point()) // equal, or wrong
                part = error == 0 ? 0 : std::numeric_limits<double>::infinity();
        }
        largest = worse(largest, error);
        share = worse(share, part);
    }
};

using Names = std::map<std::string, std::string>; // in the result → in golden.json

// The tensors of those names, as golden.json has them.
Tensors stored(const Model &model, const Names &names, const nlohmann::json &tensors,
               std::map<std::string, int64_t> &sizes) {
    Tensors found;
    for (const auto &[name, key] : names)
        found[name] = model.tensor(key, tensors.at(key), sizes);
    return found;
}

struct Call {
    Tensors inputs, states; // `states` are those that the trajectory starts from
};

// Replay all calls; `smallest` becomes the one with the fewest numbers, which is one step.
Comparison replay(Model &model, const nlohmann::json &golden, Call &smallest) {
    const double atol = golden.at("tolerance").at("atol"), rtol = golden.at("tolerance").at("rtol");
    if (!(atol >= 0 && atol <= 1e-5 && rtol >= 0 && rtol <= 1e-4))
        throw ModelError("golden.json: its tolerance proves nothing; export it anew");
    Names inputs, outputs, before, after;
    for (const auto &name : model.inputs)
        inputs[name] = name;
    for (const auto &name : model.outputs)
        outputs[name] = name;
    for (const auto &[name, pair] : model.states) {
        before[name] = name;
        after[name] = pair.at("output");
    }
    Comparison comparison;
    int64_t least = std::numeric_limits<int64_t>::max();
    for (const auto &trajectory : golden.at("trajectories")) {
        std::map<std::string, int64_t> batch;
        const auto &given = trajectory.value("states", trajectory); // format 1 has one, beside
        const auto start = stored(model, before, given, batch);
        auto states = start;
        for (const auto &call : trajectory.at("calls")) {
            auto sizes = batch;
            const auto read = stored(model, inputs, call, sizes);
            const auto [found, following] = model.step(read, states);
            for (const auto &[name, expected] : stored(model, outputs, call, sizes))
                comparison.add(comparison.outputs, found.at(name), expected, atol, rtol);
            for (const auto &[name, expected] : stored(model, after, call, sizes))
                comparison.add(comparison.states, following.at(name), expected, atol, rtol);
            states = following;
            comparison.calls++;
            int64_t size = 0;
            for (const auto &[_, tensor] : read)
                size += tensor.numel();
            if (size < least) {
                least = size;
                smallest = {read, start};
            }
        }
    }
    if (!comparison.calls)
        throw ModelError("golden.json holds no calls; export it anew");
    return comparison;
}

// Microseconds of one call, its states carried: the fastest of 5 rounds of 200.
double time_step(Model &model, const Call &call) {
    using Clock = std::chrono::steady_clock;
    auto states = call.states;
    double fastest = std::numeric_limits<double>::infinity();
    for (int round = 0; round < 5; round++) {
        const auto start = Clock::now();
        for (int i = 0; i < 200; i++)
            states = model.step(call.inputs, states).second;
        const std::chrono::duration<double, std::micro> passed = Clock::now() - start;
        fastest = std::min(fastest, passed.count() / 200);
    }
    return fastest;
}

int run(int argc, char **argv) {
    const auto options = parse_options(argc, argv, {{"model", "model"}});
    Model model(options.at("model"));
    const auto golden = model.read_json("golden.json");
    model.load();
    Call smallest;
    const auto found = replay(model, golden, smallest);
    const bool passed = found.share <= 1; // not if it is NaN
    const nlohmann::ordered_json line = {
        // NaN and infinity become null
        {"target", "cpp-libtorch"},
        {"runtime", std::string("LibTorch ") + TORCH_VERSION},
        {"model", model.manifest.at("name")},
        {"calls", found.calls},
        {"outputs", found.outputs},
        {"states", found.states},
        {"share", found.share},
        {"microseconds_per_step", std::round(time_step(model, smallest) * 10) / 10},
        {"passed", passed},
    };
    std::cout << line.dump() << std::endl;
    return passed ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
    return run_program([&] { return run(argc, argv); });
}
