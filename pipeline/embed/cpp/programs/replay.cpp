// Replays the golden calls of a bundle, compares every number, and times one step.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>

#include "bundle.hpp"
#include "program.hpp"

namespace {

// The larger one, where NaN is larger than any number.
double worse(double a, double b) { return std::isnan(a) || a > b ? a : b; }

struct Comparison {
    int64_t calls = 0;
    double outputs = 0, states = 0, share = 0; // the largest errors, and error / allowed

    // Compare one tensor; a wrong shape or type counts as NaN.
    void add(double &largest, const Tensor &found, const Tensor &expected, double atol,
             double rtol) {
        if (found.shape() != expected.shape() || found.type() != expected.type()) {
            largest = share = std::numeric_limits<double>::quiet_NaN();
            return;
        }
        const bool is_half = expected.type() == "float16";            // which has 11 bits
        const bool is_float = expected.type().rfind("float", 0) == 0; // others are equal, or wrong
        const auto are = found.numbers(), should = expected.numbers();
        for (size_t i = 0; i < are.size(); i++) {
            const double error = std::abs(are[i] - should[i]), size = std::abs(should[i]);
            const double allowed = is_half ? 2.5e-3 + 1e-3 * size : atol + rtol * size;
            largest = worse(largest, error);
            share = worse(share, error == 0 ? 0 : is_float ? error / allowed : INFINITY);
        }
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
                size += tensor.size();
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
        {"target", TARGET},
        {"runtime", runtime_name()},
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
