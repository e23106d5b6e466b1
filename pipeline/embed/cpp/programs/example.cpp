// What a model is for: writes text, or says after every line of standard input what comes out.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <limits>
#include <optional>
#include <sstream>

#include "bundle.hpp"
#include "program.hpp"

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

template <typename Number>
Tensor tensor(const char *type, const std::vector<int64_t> &shape, const Number *numbers) {
    Tensor made(type, shape);
    std::copy_n(numbers, made.size(), made.data<Number>());
    return made;
}

// Write text by the loop inside the model, as it is made.
void write_text(Model &model, const Sampling &sampling) {
    Random random(sampling.seed);
    auto prompt = tensor("int64", {1, int64_t(sampling.prompt.size())}, sampling.prompt.data());
    const auto temperature = tensor("float32", {}, &sampling.temperature);
    const auto top_k = tensor("int64", {}, &sampling.top_k);
    const auto top_p = tensor("float32", {}, &sampling.top_p);
    auto state = model.initial_states().begin()->second;
    for (int64_t start = 0; start < sampling.length; start += CHUNK) {
        Tensor uniform("float32", {1, std::min(CHUNK, sampling.length - start)});
        std::generate_n(uniform.data<float>(), uniform.size(), [&] { return random.next(); });
        auto made = model.run({&prompt, &uniform, &temperature, &top_k, &top_p, &state});
        const Tensor &text = made.at(0);
        for (size_t i = 0; i < text.size(); i++)
            std::cout << utf8(text.data<int64_t>()[i]);
        std::cout << std::flush;
        state = std::move(made.at(2));
        prompt = Tensor("int64", {1, 0}); // the state has read all that came before
    }
    std::cout << std::endl;
}

ModelError whole_sequences(const std::string &model) {
    return ModelError(model + " reads whole sequences, not step by step; call Model::step on "
                              "whole ones",
                      2);
}

// The shape of what one line holds: one step, or one call of a model without a time axis.
std::vector<int64_t> line_shape(const Model &model) {
    const std::string name = model.manifest.at("name"), &input = model.inputs[0];
    if (model.inputs.size() > 1) {
        std::string all = input;
        for (size_t i = 1; i < model.inputs.size(); i++)
            all += " and " + model.inputs[i];
        throw ModelError(name + " reads " + all +
                             ", which one line cannot hold; call Model::step "
                             "with all of them",
                         2);
    }
    std::vector<int64_t> shape;
    for (const auto &axis : model.specs.at(input).at("shape")) {
        if (!axis.is_string()) {
            shape.push_back(axis);
            continue;
        }
        const auto &rule = model.axes.at(axis.get<std::string>());
        const std::string role = rule.at("role");
        if (role == "size")
            throw ModelError(name + " reads " + input +
                                 ", of which an axis may have any size; "
                                 "call Model::step with the one you need",
                             2);
        if (role == "time" && model.states.empty())
            throw whole_sequences(name);
        const int64_t smallest = rule.value("smallest", 1), multiple = rule.value("multiple", 1);
        shape.push_back(role == "batch" ? 1 : (smallest + multiple - 1) / multiple * multiple);
    }
    return shape;
}

// The numbers of one line as a tensor; none if the type or the shape cannot have them.
std::optional<Tensor> parse_line(const std::string &line, const std::string &type,
                                 const std::vector<int64_t> &shape) {
    const bool whole = type.rfind("float", 0) != 0;
    auto values = nlohmann::json::array();
    std::istringstream cells(line + ',');
    for (std::string cell; std::getline(cells, cell, ',');) {
        if (const auto integer = parse<int64_t>(cell); whole && integer)
            values.push_back(*integer);
        else if (const auto real = parse<double>(cell); !whole && real)
            values.push_back(*real);
        else
            return {};
    }
    const auto made = Tensor::of(type, shape, values);
    for (const double number : made ? made->numbers() : std::vector<double>())
        if (!std::isfinite(number))
            return {};
    return made;
}

void write_numbers(const Tensors &tensors, const Model &model) {
    const char *separator = "";
    for (const auto &name : model.outputs) {
        const auto &tensor = tensors.at(name);
        with_type(tensor.type(), [&](auto one) {
            using Number = decltype(one);
            for (size_t i = 0; i < tensor.size(); i++, separator = ",") {
                std::cout << separator;
                if constexpr (is_real<Number>)
                    std::cout << double(tensor.data<Number>()[i]);
                else
                    std::cout << +tensor.data<Number>()[i]; // int8_t as a number, too
            }
        });
    }
    std::cout << std::endl;
}

// After every line of standard input, print the outputs of that step.
void answer(Model &model, const std::vector<int64_t> &shape) {
    const std::string &input = model.inputs[0], type = model.specs.at(input).at("type");
    const size_t count = Tensor(type, shape).size();
    auto states = model.initial_states();
    std::string line;
    std::cout << std::setprecision(9);
    for (int64_t lines = 1; std::getline(std::cin, line); lines++) {
        const auto values = parse_line(line, type, shape);
        if (!values)
            throw ModelError("line " + std::to_string(lines) + " of standard input is not " +
                             std::to_string(count) + " numbers of " + type +
                             "; separate them by commas");
        Tensors outputs;
        std::tie(outputs, states) = model.step({{input, *values}}, states);
        write_numbers(outputs, model);
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
    if (model.manifest.at("task") == "text") {
        if (model.states.empty())
            throw whole_sequences(model.manifest.at("name"));
        model.load("generate");
        write_text(model, sampling);
    } else {
        const auto shape = line_shape(model);
        model.load();
        answer(model, shape);
    }
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    return run_program([&] { return run(argc, argv); });
}
