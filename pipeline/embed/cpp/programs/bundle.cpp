#include "bundle.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <system_error>

#include <openssl/evp.h>

namespace {

constexpr int FORMAT = 2; // and older ones
const char *const INITIAL = "initial.json";
const char *const AXES = R"({"batch": {"role": "batch"}, "time": {"role": "time"}})"; // format 1
constexpr size_t LIMIT = 64 << 20;                                  // bytes of the manifest
const std::string SEAL = "{\n  \"sha256\": \"", SEAL_END = "\",\n"; // about 64 digits

std::string sha256(const std::string &data) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (!EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr))
        throw ModelError("libcrypto has no SHA-256; install a complete one", 7);
    std::string text;
    for (unsigned int i = 0; i < size; i++) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", digest[i]);
        text += two;
    }
    return text;
}

// Whether the manifest has the seal that it should have: the digest of all but its line. Those of
// earlier versions have none.
bool is_whole(const std::string &manifest) {
    const size_t end = SEAL.size() + 64, rest = end + SEAL_END.size();
    if (manifest.size() > rest && manifest.compare(0, SEAL.size(), SEAL) == 0 &&
        manifest.compare(end, SEAL_END.size(), SEAL_END) == 0)
        return manifest.substr(SEAL.size(), 64) == sha256("{\n" + manifest.substr(rest));
    const std::string first = "\"format\"";
    const auto place = manifest.find('"');
    return place == std::string::npos || manifest.compare(place, first.size(), first) == 0;
}

// Types and shapes that a model can have.
bool fits(const nlohmann::json &spec) {
    const auto &type = spec.at("type");
    double count = 1;
    for (const auto &axis : spec.at("shape")) {
        if (!axis.is_string() && (!axis.is_number_unsigned() || axis == 0))
            return false;
        count *= axis.is_string() ? 1 : axis.get<double>();
    }
    return is_type(type) && count < (1 << 26);
}

} // namespace

Model::Model(const std::filesystem::path &folder) : folder(folder) {
    const ModelError no_model("manifest.json: its types, shapes or states are those of no model");
    manifest = read_json("manifest.json");
    const auto named = [&](const char *side) {
        std::vector<std::string> names;
        for (const auto &spec : manifest.at(side)) {
            names.push_back(spec.at("name"));
            if (!fits(spec) || specs.contains(names.back()))
                throw no_model;
            specs[names.back()] = spec;
        }
        return names;
    };
    all_inputs = inputs = named("inputs");
    all_outputs = outputs = named("outputs");
    axes = manifest.value("axes", nlohmann::json::parse(AXES));
    auto pairs = nlohmann::json::array(); // format 1 has one at most
    if (manifest.at("format") > 1)
        pairs = manifest.at("states");
    else if (!manifest.at("state").is_null())
        pairs.push_back(manifest.at("state"));
    for (const auto &pair : pairs) {
        const auto before = std::find(inputs.begin(), inputs.end(), pair.at("input"));
        const auto after = std::find(outputs.begin(), outputs.end(), pair.at("output"));
        const auto &initial = pair.at("initial");
        if (before == inputs.end() || after == outputs.end() ||
            specs[*before].at("type") != specs[*after].at("type") ||
            specs[*before].at("shape") != specs[*after].at("shape") ||
            !(initial.is_number() || initial == INITIAL))
            throw no_model;
        states[*before] = pair;
        inputs.erase(before);
        outputs.erase(after);
    }
    if (inputs.empty() || outputs.empty())
        throw no_model;
}

// The bytes of a regular file, which must be those that the manifest, or its own seal, vouches for.
std::string Model::read(const std::string &name) const {
    const auto path = folder / name;
    const ModelError changed(path.string() + " was changed after its export; export it anew", 5);
    const bool sealed = name == "manifest.json"; // it does not list itself
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error || !std::filesystem::is_regular_file(path) || (sealed && size > LIMIT))
        throw ModelError("cannot read " + path.string() + "; export it anew");
    const auto entry = sealed ? nlohmann::json() : manifest.at("files").at(name);
    if (!sealed && entry.at("bytes") != size)
        throw changed;
    std::ifstream file(path, std::ios::binary);
    std::string data(size, '\0');
    if (!file.read(data.data(), data.size()))
        throw ModelError("cannot read " + path.string() + "; export it anew");
    if (sealed ? !is_whole(data) : entry.at("sha256") != sha256(data))
        throw changed;
    return data;
}

nlohmann::json Model::read_json(const std::string &name) const {
    const auto path = folder / name;
    auto content = nlohmann::json::parse(read(name), nullptr, false);
    if (content.is_discarded())
        throw ModelError(path.string() + " is not JSON; export it anew");
    const int64_t format = content.at("format");
    if (format > FORMAT)
        throw ModelError(path.string() + " has format " + std::to_string(format) +
                         "; this program reads " + std::to_string(FORMAT) + "; update it");
    return content;
}

Tensor Model::tensor(const std::string &name, const nlohmann::json &stored,
                     std::map<std::string, int64_t> &sizes) const {
    const auto &spec = specs.at(name);
    const std::vector<int64_t> shape = stored.at("shape");
    const auto &axes = spec.at("shape");
    const auto &data = stored.at("data");
    bool fits = shape.size() == axes.size();
    size_t count = 1;
    for (size_t i = 0; fits && i < shape.size(); i++) {
        const auto known = axes[i].is_string() ? sizes.emplace(axes[i], shape[i]).first->second
                                               : axes[i].get<int64_t>();
        fits = shape[i] == known && shape[i] > 0 && size_t(shape[i]) <= data.size() / count;
        count *= fits ? shape[i] : 1;
    }
    const auto made = fits ? Tensor::of(spec.at("type"), shape, data) : std::nullopt;
    if (!made)
        throw ModelError(folder.string() + ": " + name + " of golden.json or " + INITIAL +
                         " has shape " + stored.at("shape").dump() + " and " +
                         std::to_string(data.size()) +
                         " numbers, which does not fit the model; export it anew");
    return *made;
}

Tensors Model::initial_states() const {
    Tensors found;
    for (const auto &[name, pair] : states) {
        const auto &spec = specs.at(name);
        std::map<std::string, int64_t> sizes;
        const auto &initial = pair.at("initial");
        if (initial.is_string()) {
            found[name] = tensor(name, read_json(initial).at("states").at(name), sizes);
            continue;
        }
        std::vector<int64_t> one;
        for (const auto &axis : spec.at("shape"))
            one.push_back(axis.is_string() ? 1 : axis.get<int64_t>());
        Tensor &made = found[name] = Tensor(spec.at("type"), one);
        with_type(made.type(), [&](auto number) {
            using Number = decltype(number);
            std::fill_n(made.data<Number>(), made.size(), Number(initial.get<double>()));
        });
    }
    return found;
}

std::pair<Tensors, Tensors> Model::step(const Tensors &inputs, const Tensors &states) {
    std::vector<const Tensor *> given;
    given.reserve(all_inputs.size());
    for (const auto &name : all_inputs) {
        const auto state = states.find(name);
        given.push_back(state != states.end() ? &state->second : &inputs.at(name));
    }
    auto found = run(given);
    if (found.size() != all_outputs.size())
        throw ModelError("the model gives " + std::to_string(found.size()) + " outputs, not " +
                         std::to_string(all_outputs.size()) + "; export it anew");
    Tensors outputs, following;
    for (size_t i = 0; i < found.size(); i++)
        outputs[all_outputs[i]] = std::move(found[i]);
    for (const auto &[name, pair] : this->states) {
        const auto &after = pair.at("output").get_ref<const std::string &>();
        following[name] = std::move(outputs.extract(after).mapped());
    }
    return {std::move(outputs), std::move(following)};
}
