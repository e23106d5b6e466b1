#include "bundle.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <regex>
#include <sstream>
#include <system_error>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <openssl/evp.h>

namespace {

constexpr int FORMAT = 2; // and older ones
const char *const INITIAL = "initial.json";
const char *const AXES = R"({"batch": {"role": "batch"}, "time": {"role": "time"}})"; // format 1
constexpr size_t LIMIT = 64 << 20;                                 // bytes of the manifest
const std::regex SEAL("\\{\n  \"sha256\": \"([0-9a-f]{64})\",\n"); // its second line
constexpr size_t SEALED = 82;                                      // bytes up to its end

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
    std::smatch seal;
    const auto start = manifest.substr(0, SEALED);
    if (std::regex_match(start, seal, SEAL))
        return seal[1] == sha256("{\n" + manifest.substr(SEALED));
    const std::string first = "\"format\"";
    const auto place = manifest.find('"');
    return place == std::string::npos || manifest.compare(place, first.size(), first) == 0;
}

const std::map<std::string, at::ScalarType> TYPES = {
    {"float16", at::kHalf},  {"float32", at::kFloat}, {"float64", at::kDouble},
    {"bool", at::kBool},     {"int8", at::kChar},     {"int16", at::kShort},
    {"int32", at::kInt},     {"int64", at::kLong},    {"uint8", at::kByte},
    {"uint16", at::kUInt16}, {"uint32", at::kUInt32}, {"uint64", at::kUInt64},
};

// Types and shapes that a model can have.
bool fits(const nlohmann::json &spec) {
    const auto &type = spec.at("type");
    double count = 1;
    for (const auto &axis : spec.at("shape")) {
        if (!axis.is_string() && (!axis.is_number_unsigned() || axis == 0))
            return false;
        count *= axis.is_string() ? 1 : axis.get<double>();
    }
    return TYPES.count(type) && count < (1 << 26);
}

} // namespace

std::optional<at::Tensor> make_tensor(const std::string &type, const nlohmann::json &data) {
    const auto kind = TYPES.at(type);
    if (c10::isFloatingType(kind))
        return at::tensor(data.get<std::vector<double>>()).to(kind);
    for (const auto &number : data)
        if (!number.is_number_integer())
            return {};
    const auto whole = at::tensor(data.get<std::vector<int64_t>>());
    const auto made = whole.to(kind);
    if (!at::equal(made.to(at::kLong), whole))
        return {};
    return made;
}

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
    inputs = named("inputs");
    outputs = named("outputs");
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

void Model::load() {
    // A step is so small that what is meant for large ones costs more than it saves: other threads
    // wait, oneDNN doubles the time of an LSTM, and optimizing the module delays the first calls.
    at::set_num_threads(1);
    at::globalContext().setUserEnabledMkldnn(false);
    torch::jit::setGraphExecutorOptimize(false);
    std::istringstream file(read("model.pt"));
    module = torch::jit::load(file, at::kCPU);
}

at::Tensor Model::tensor(const std::string &name, const nlohmann::json &stored,
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
        fits = shape[i] == known && shape[i] > 0 && size_t(shape[i]) <= data.size();
        count *= fits ? shape[i] : 0;
    }
    const auto made = make_tensor(spec.at("type"), data);
    if (!fits || count != data.size() || !made)
        throw ModelError(folder.string() + ": " + name + " of golden.json or " + INITIAL +
                         " has shape " + stored.at("shape").dump() + " and " +
                         std::to_string(data.size()) +
                         " numbers, which does not fit the model; export it anew");
    return made->view(shape);
}

Tensors Model::initial_states() const {
    Tensors found;
    for (const auto &[name, pair] : states) {
        const auto &spec = specs.at(name);
        std::map<std::string, int64_t> sizes;
        std::vector<int64_t> one;
        for (const auto &axis : spec.at("shape"))
            one.push_back(axis.is_string() ? 1 : axis.get<int64_t>());
        const auto &initial = pair.at("initial");
        found[name] = initial.is_string()
                          ? tensor(name, read_json(initial).at("states").at(name), sizes)
                          : at::full(one, initial.get<double>(), TYPES.at(spec.at("type")));
    }
    return found;
}

std::pair<Tensors, Tensors> Model::step(const Tensors &inputs, const Tensors &states) {
    std::vector<torch::IValue> given;
    for (const auto &spec : manifest.at("inputs")) {
        const std::string name = spec.at("name");
        given.push_back(states.count(name) ? states.at(name) : inputs.at(name));
    }
    const auto result = module.forward(given);
    const auto results =
        result.isTuple() ? result.toTupleRef().elements().vec() : std::vector{result};
    const auto &specs = manifest.at("outputs");
    if (results.size() != specs.size())
        throw ModelError("model.pt gives " + std::to_string(results.size()) + " outputs, not " +
                         std::to_string(specs.size()) + "; export it anew");
    Tensors outputs, following;
    for (size_t i = 0; i < results.size(); i++)
        outputs[specs[i].at("name")] = results[i].toTensor();
    for (const auto &[name, pair] : this->states) {
        following[name] = outputs.at(pair.at("output"));
        outputs.erase(pair.at("output"));
    }
    return {outputs, following};
}

Options parse_options(int argc, char **argv, const Options &defaults) {
    Options options = defaults;
    for (int i = 1; i < argc; i++) {
        std::string name = argv[i], value;
        const auto equals = name.find('=');
        const bool has_value = equals != std::string::npos;
        if (has_value) {
            value = name.substr(equals + 1);
            name.resize(equals);
        }
        if (name.rfind("--", 0) != 0 || !options.count(name.substr(2))) {
            std::string known;
            for (const auto &[each, _] : defaults)
                known += " --" + each;
            throw ModelError("unknown option " + name + "; known are" + known, 2);
        }
        if (!has_value && ++i == argc)
            throw ModelError(name + " has no value; give one", 2);
        options[name.substr(2)] = has_value ? value : argv[i];
    }
    return options;
}

int run_program(const std::function<int()> &program) {
    std::string message;
    int code = 7;
    try {
        const c10::InferenceMode no_gradients;
        return program();
    } catch (const ModelError &error) {
        message = error.what();
        code = error.code;
    } catch (const nlohmann::json::exception &error) {
        message = "manifest.json, golden.json or initial.json is malformed (";
        message += std::string(error.what()) + "); export it anew";
        code = 3;
    } catch (const c10::Error &error) {
        message = std::string("LibTorch cannot run model.pt; use one as new as the PyTorch that ") +
                  "exported it (" + error.what_without_backtrace() + ")";
    } catch (const std::exception &error) { // of the TorchScript interpreter, or no memory
        message = std::string("LibTorch cannot run model.pt (") + error.what() + ")";
    }
    std::cerr << "error: " << message.substr(0, message.find('\n')) << std::endl;
    return code;
}
