// What a model is for: writes text, or forecasts after every line of standard input.
#include "bundle.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <limits>
#include <optional>
#include <sstream>

namespace {

constexpr int64_t CHUNK = 16; // characters of one call: few enough to be seen as they come
constexpr int64_t LARGEST = std::numeric_limits<int64_t>::max();

// xorshift32: the same numbers from 0 to 1 in every language.
class Random {
  public:
    explicit Random(int64_t seed) : x(uint32_t(seed) * 0x9E3779B9u | 1) {}
    float next() {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        return float(x >> 8) / (1 << 24);
    }

  private:
    uint32_t x;
};

// The code points of UTF-8; what is no character becomes one beyond all of them.
std::vector<int64_t> code_points(const std::string &text) {
    std::vector<int64_t> points;
    for (size_t i = 0; i < text.size();) {
        const unsigned char first = text[i++];
        int more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        int64_t point = more ? first & (0x3F >> more) : first;
        for (; more && i < text.size() && (text[i] & 0xC0) == 0x80; more--)
            point = point << 6 | (text[i++] & 0x3F);
        const bool stray = first >= 0x80 && first < 0xC0;
        points.push_back(more || stray ? 0x110000 : point);
    }
    return points;
}

std::string utf8(int64_t point) {
    if (point < 0x80)
        return {char(point)};
    int shift = point < 0x800 ? 6 : point < 0x10000 ? 12 : 18;
    const int lead = shift == 6 ? 0xC0 : shift == 12 ? 0xE0 : 0xF0;
    std::string text{char(lead | point >> shift)};
    while ((shift -= 6) >= 0)
        text += char(0x80 | (point >> shift & 0x3F));
    return text;
}

// The finite number that is all of `text`, if it is one.
template <typename Number> std::optional<Number> parse(const std::string &text) {
    std::istringstream stream(text);
    Number number;
    if (stream >> number && (stream >> std::ws).eof())
        return number;
    return {};
}

template <typename Number>
Number number(const Options &options, const std::string &name, Number from, Number to,
              const char *wanted) {
    const auto &text = options.at(name);
    const auto found = parse<Number>(text);
    if (!found || *found < from || *found > to)
        throw ModelError("--" + name + " is '" + text + "'; give " + wanted, 2);
    return *found;
}

int64_t count(const Options &options, const std::string &name) {
    return number<int64_t>(options, name, 0, LARGEST, "a whole number from 0 up");
}

struct Sampling {
    explicit Sampling(const Options &options)
        : prompt(code_points(options.at("prompt"))), length(count(options, "length")),
          temperature(number<float>(options, "temperature", 0, FLT_MAX, "a number from 0 up")),
          top_k(count(options, "top-k")),
          top_p(number<float>(options, "top-p", FLT_MIN, 1, "a number above 0, up to 1")),
          seed(number<int64_t>(options, "seed", -LARGEST, LARGEST, "a whole number")) {}

    std::vector<int64_t> prompt;
    int64_t length;
    float temperature;
    int64_t top_k;
    float top_p;
    int64_t seed;
};

// Write text by the loop inside the model, as it is made.
void write_text(Model &model, const Sampling &sampling) {
    Random random(sampling.seed);
    auto prompt = at::tensor(sampling.prompt, at::kLong).unsqueeze(0);
    auto state = model.zero_state();
    for (int64_t start = 0; start < sampling.length; start += CHUNK) {
        std::vector<float> numbers(std::min(CHUNK, sampling.length - start));
        std::generate(numbers.begin(), numbers.end(), [&] { return random.next(); });
        const auto uniform = at::tensor(numbers).unsqueeze(0);
        const auto made = model.module.run_method("generate", prompt, uniform, sampling.temperature,
                                                  sampling.top_k, sampling.top_p, state);
        const auto &results = made.toTupleRef().elements();
        const auto text = results[0].toTensor();
        for (int64_t i = 0; i < text.size(1); i++)
            std::cout << utf8(text[0][i].item<int64_t>());
        std::cout << std::flush;
        state = results[2].toTensor();
        prompt = at::empty({1, 0}, at::kLong); // the state has read all that came before
    }
    std::cout << std::endl;
}

// The values of one line as one step; none if they are not as many numbers as there are features.
std::optional<at::Tensor> parse_line(const std::string &line, int64_t features) {
    std::istringstream cells(line + ',');
    std::vector<float> values;
    for (std::string cell; std::getline(cells, cell, ',');) {
        const float value = parse<double>(cell).value_or(NAN);
        if (!std::isfinite(value))
            return {};
        values.push_back(value);
    }
    if (int64_t(values.size()) != features)
        return {};
    return at::tensor(values).view({1, 1, features});
}

// After every line of standard input, print what the model says comes next.
void forecast(Model &model) {
    const int64_t features = model.specs.at("input").at("shape").at(2);
    auto state = model.zero_state();
    std::string line;
    for (int64_t lines = 1; std::getline(std::cin, line); lines++) {
        const auto step = parse_line(line, features);
        if (!step)
            throw ModelError("line " + std::to_string(lines) + " of standard input is not " +
                             std::to_string(features) + " numbers; separate them by commas");
        at::Tensor output;
        std::tie(output, state) = model.step(*step, state);
        std::cout << std::setprecision(9);
        for (int64_t i = 0; i < output.size(2); i++)
            std::cout << (i ? "," : "") << output[0][0][i].item<float>();
        std::cout << std::endl;
    }
}

int run(int argc, char **argv) {
    const auto options = parse_options(argc, argv,
                                       {{"model", "model"},
                                        {"prompt", ""},
                                        {"length", "200"},
                                        {"temperature", "1"},
                                        {"top-k", "0"},
                                        {"top-p", "1"},
                                        {"seed", "1"}});
    const Sampling sampling(options);
    Model model(options.at("model"));
    const std::string name = model.manifest.at("name"), task = model.manifest.at("task");
    if (!model.has_state())
        throw ModelError(name + " reads whole sequences, not step by step; call Model::step on "
                                "whole ones",
                         2);
    model.load();
    if (task == "text")
        write_text(model, sampling);
    else
        forecast(model);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    return run_program([&] { return run(argc, argv); });
}
