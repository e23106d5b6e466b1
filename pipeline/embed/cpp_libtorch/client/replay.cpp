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
    double output = 0, next_state = 0, share = 0; // the largest errors, and error / allowed

    // Compare one tensor; a wrong shape counts as NaN.
    void add(double &largest, const at::Tensor &found, const at::Tensor &expected, double atol,
             double rtol) {
        double error = std::numeric_limits<double>::quiet_NaN(), part = error;
        if (found.sizes() == expected.sizes()) {
            const auto exact = expected.to(at::kDouble);
            const auto errors = (found.to(at::kDouble) - exact).abs();
            error = errors.max().item<double>(); // NaN if there is one
            part = (errors / (atol + rtol * exact.abs())).max().item<double>();
        }
        largest = worse(largest, error);
        share = worse(share, part);
    }
};

Comparison replay(Model &model, const nlohmann::json &golden) {
    const double atol = golden.at("tolerance").at("atol"), rtol = golden.at("tolerance").at("rtol");
    if (!(atol >= 0 && atol <= 1e-5 && rtol >= 0 && rtol <= 1e-4))
        throw ModelError("golden.json: its tolerance proves nothing; export it anew");
    Comparison comparison;
    for (const auto &trajectory : golden.at("trajectories")) {
        std::map<std::string, int64_t> batch;
        at::Tensor state;
        if (model.has_state())
            state = model.tensor("state", trajectory.at("state"), batch);
        for (const auto &call : trajectory.at("calls")) {
            auto sizes = batch;
            const auto input = model.tensor("input", call.at("input"), sizes);
            const auto [output, next_state] = model.step(input, state);
            const auto expected = model.tensor("output", call.at("output"), sizes);
            comparison.add(comparison.output, output, expected, atol, rtol);
            if (model.has_state()) {
                const auto after = model.tensor("next_state", call.at("next_state"), sizes);
                comparison.add(comparison.next_state, next_state, after, atol, rtol);
            }
            state = next_state;
            comparison.calls++;
        }
    }
    if (!comparison.calls)
        throw ModelError("golden.json holds no calls; export it anew");
    return comparison;
}

// Microseconds of one step of one stream: the fastest of 5 rounds of 200 steps.
double time_step(Model &model) {
    using Clock = std::chrono::steady_clock;
    std::vector<int64_t> one;
    for (const auto &axis : model.specs.at("input").at("shape"))
        one.push_back(axis.is_string() ? 1 : axis.get<int64_t>());
    const bool text = model.specs.at("input").at("type") == "int64";
    const auto input = at::ones(one, text ? at::kLong : at::kFloat);
    auto state = model.zero_state();
    double fastest = std::numeric_limits<double>::infinity();
    for (int round = 0; round < 5; round++) {
        const auto start = Clock::now();
        for (int i = 0; i < 200; i++)
            state = model.step(input, state).second;
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
    const auto found = replay(model, golden);
    const bool passed = found.share <= 1; // not if it is NaN
    const nlohmann::ordered_json line = {
        // NaN and infinity become null
        {"target", "cpp-libtorch"},
        {"runtime", std::string("LibTorch ") + TORCH_VERSION},
        {"model", model.manifest.at("name")},
        {"calls", found.calls},
        {"output", found.output},
        {"next_state", found.next_state},
        {"share", found.share},
        {"microseconds_per_step", std::round(time_step(model) * 10) / 10},
        {"passed", passed},
    };
    std::cout << line.dump() << std::endl;
    return passed ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
    return run_program([&] { return run(argc, argv); });
}
