#include "tensor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

Half::Half(double number) {
    const double size = std::fabs(number);
    if (std::isnan(number))
        bits = 0x7E00;
    else if (size >= 65520)
        bits = 0x7C00;
    else {
        const int exponent = std::max(std::ilogb(size), -14); // of 0, it is the least int
        const double units = std::nearbyint(std::ldexp(size, 10 - exponent));
        bits = ((exponent + 14) << 10) + uint16_t(units); // 1024 units are one exponent
    }
    if (std::signbit(number))
        bits |= 0x8000;
}

Half::operator double() const {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
    if (exponent == 31)
        size = fraction ? std::numeric_limits<double>::quiet_NaN()
                        : std::numeric_limits<double>::infinity();
    return bits & 0x8000 ? -size : size;
}

namespace {

// A number of JSON as one of another type; none if that cannot hold it, as a float always can.
template <typename Number> std::optional<Number> held(const nlohmann::json &number) {
    if constexpr (is_real<Number>)
        return Number(number.get<double>());
    else {
        if (!number.is_number_integer())
            return {};
        const auto given = number.get<int64_t>();
        const auto made = Number(given);
        const bool is_beyond = number.is_number_unsigned() && given < 0; // 2^63 and more
        if (is_beyond ? !std::is_same_v<Number, uint64_t>
                      : int64_t(made) != given || (given < 0 && !std::is_signed_v<Number>))
            return {};
        return made;
    }
}

} // namespace

bool is_type(const std::string &name) {
    try {
        with_type(name, [](auto) {});
        return true;
    } catch (const ModelError &) {
        return false;
    }
}

Tensor::Tensor(const std::string &type, const std::vector<int64_t> &shape)
    : kind(type), sizes(shape), count(1) {
    for (const auto size : shape)
        count *= size;
    memory.resize(count * with_type(type, [](auto one) { return sizeof one; }));
}

std::optional<Tensor> Tensor::of(const std::string &type, const std::vector<int64_t> &shape,
                                 const nlohmann::json &numbers) {
    Tensor made(type, shape);
    if (!numbers.is_array() || numbers.size() != made.count)
        return {};
    const bool fits = with_type(type, [&](auto one) {
        auto *place = made.data<decltype(one)>();
        for (const auto &number : numbers) {
            const auto found = held<decltype(one)>(number);
            if (!found)
                return false;
            *place++ = *found;
        }
        return true;
    });
    if (!fits)
        return {};
    return made;
}

std::vector<double> Tensor::numbers() const {
    return with_type(kind, [&](auto one) {
        const auto *data = this->data<decltype(one)>();
        std::vector<double> found(count);
        std::transform(data, data + count, found.begin(), [](auto each) { return double(each); });
        return found;
    });
}
