// A tensor of any type and shape, whose numbers lie contiguous and in row-major order.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

// What is wrong, where, and what to do; a program exits with `code`.
struct ModelError : std::runtime_error {
    ModelError(const std::string &message, int code = 3)
        : std::runtime_error(message), code(code) {}
    int code;
};

// A float16, of which C++17 has none: its bits, and the number of a wider type that it is.
struct Half {
    Half() = default;
    explicit Half(double number); // the nearest one, of two the even one
    explicit operator double() const;
    uint16_t bits = 0;
};

template <typename Number>
constexpr bool is_real = std::is_floating_point_v<Number> || std::is_same_v<Number, Half>;

// Call `function` with a number of the C++ type that `type` names, as manifests name it.
template <typename Function> auto with_type(const std::string &type, Function function) {
    if (type == "float32")
        return function(float());
    if (type == "int64")
        return function(int64_t());
    if (type == "float64")
        return function(double());
    if (type == "float16")
        return function(Half());
    if (type == "bool")
        return function(bool());
    if (type == "int8")
        return function(int8_t());
    if (type == "int16")
        return function(int16_t());
    if (type == "int32")
        return function(int32_t());
    if (type == "uint8")
        return function(uint8_t());
    if (type == "uint16")
        return function(uint16_t());
    if (type == "uint32")
        return function(uint32_t());
    if (type == "uint64")
        return function(uint64_t());
    throw ModelError("'" + type + "' is no type of a tensor");
}

bool is_type(const std::string &name);

class Tensor {
  public:
    Tensor() = default;

    // Zeros. The memory is as large as type and shape say, so that no runtime reads beyond it.
    Tensor(const std::string &type, const std::vector<int64_t> &shape);

    // The numbers of a JSON array; none if they do not fill the shape, or the type holds one not.
    static std::optional<Tensor> of(const std::string &type, const std::vector<int64_t> &shape,
                                    const nlohmann::json &numbers);

    const std::string &type() const { return kind; }
    const std::vector<int64_t> &shape() const { return sizes; }
    size_t size() const { return count; } // how many numbers
    size_t size_in_bytes() const { return memory.size(); }
    void *bytes() { return memory.data(); }
    const void *bytes() const { return memory.data(); }

    // The first number, of the C++ type that `type()` names.
    template <typename Number> Number *data() {
        if (!with_type(kind, [](auto one) { return std::is_same_v<decltype(one), Number>; }))
            throw ModelError("numbers of type " + kind + " cannot be read as another type");
        return static_cast<Number *>(bytes());
    }
    template <typename Number> const Number *data() const {
        return const_cast<Tensor *>(this)->data<Number>();
    }

    std::vector<double> numbers() const;

  private:
    std::string kind;
    std::vector<int64_t> sizes;
    size_t count = 0;
    std::vector<unsigned char> memory;
};

using Tensors = std::map<std::string, Tensor>; // by name
