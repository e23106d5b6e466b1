// The model in LibTorch.
#include <algorithm>
#include <sstream>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/script.h>
#include <torch/version.h>

#include "bundle.hpp"

const char *const TARGET = "cpp-libtorch";

std::string runtime_name() { return std::string("LibTorch ") + TORCH_VERSION; }

namespace {

const std::map<std::string, at::ScalarType> TYPES = {
    {"float16", at::kHalf},  {"float32", at::kFloat}, {"float64", at::kDouble},
    {"bool", at::kBool},     {"int8", at::kChar},     {"int16", at::kShort},
    {"int32", at::kInt},     {"int64", at::kLong},    {"uint8", at::kByte},
    {"uint16", at::kUInt16}, {"uint32", at::kUInt32}, {"uint64", at::kUInt64},
};

// A tensor of LibTorch on the same memory.
at::Tensor borrowed(const Tensor &tensor) {
    void *data = const_cast<void *>(tensor.bytes());
    return at::from_blob(data, tensor.shape(), TYPES.at(tensor.type()));
}

// A copy with its numbers in order, in which those of LibTorch need not lie.
Tensor copied(const at::Tensor &tensor) {
    for (const auto &[name, type] : TYPES)
        if (type == tensor.scalar_type()) {
            const auto ordered = tensor.contiguous();
            Tensor made(name, ordered.sizes().vec());
            std::copy_n(static_cast<const char *>(ordered.const_data_ptr()), made.size_in_bytes(),
                        static_cast<char *>(made.bytes()));
            return made;
        }
    throw ModelError(std::string("model.pt gives numbers of type ") + tensor.dtype().name().data() +
                     ", which no bundle has; export it anew");
}

// What `work` gives, within LibTorch, whose errors become one line.
template <typename Work> auto within(Work work) {
    try {
        const c10::InferenceMode no_gradients;
        return work();
    } catch (const ModelError &) {
        throw;
    } catch (const std::exception &error) {
        const std::string text = error.what(); // the first line, which a stack may follow
        throw ModelError("LibTorch cannot run model.pt; use one as new as the PyTorch that "
                         "exported it (" +
                             text.substr(0, text.find('\n')) + ")",
                         7);
    }
}

} // namespace

struct Model::Session {
    torch::jit::Module module;
    std::string method;
    std::vector<at::ScalarType> types; // of the outputs of the model itself
};

void Model::load(const std::string &loop) {
    // A step is so small that what is meant for large ones costs more than it saves: other threads
    // wait, oneDNN doubles the time of an LSTM, and optimizing the module delays the first calls.
    at::set_num_threads(1);
    at::globalContext().setUserEnabledMkldnn(false);
    torch::jit::setGraphExecutorOptimize(false);
    std::istringstream file(read("model.pt"));
    session = std::make_shared<Session>();
    session->method = loop.empty() ? "forward" : loop;
    if (loop.empty())
        for (const auto &spec : manifest.at("outputs"))
            session->types.push_back(TYPES.at(spec.at("type")));
    session->module = within([&] { return torch::jit::load(file, at::kCPU); });
}

std::vector<Tensor> Model::run(const std::vector<const Tensor *> &given) {
    return within([&] {
        std::vector<torch::IValue> values;
        for (const auto *tensor : given) {
            const auto value = borrowed(*tensor);
            if (session->method != "forward" && value.dim() == 0)
                values.push_back(value.item()); // a loop takes numbers as such
            else
                values.push_back(value);
        }
        const auto result = session->module.get_method(session->method)(values);
        const auto results =
            result.isTuple() ? result.toTupleRef().elements().vec() : std::vector{result};
        std::vector<Tensor> found;
        for (size_t i = 0; i < results.size(); i++) {
            auto tensor = results[i].toTensor();
            if (i < session->types.size()) // without optimizing, int32 + 1 may become int64
                tensor = tensor.to(session->types[i]);
            found.push_back(copied(tensor));
        }
        return found;
    });
}
