// The model in ONNX Runtime, by its C interface.
//
// That is a table of functions, at the end of which a release may add some, so that the places
// below hold for every release. The library is opened when the program runs: it needs no headers,
// and a program is not tied to one release, as linked symbols would tie it.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include <dlfcn.h>

#include "bundle.hpp"

const char *const TARGET = "cpp-onnxruntime";

namespace {

constexpr uint32_t VERSION = 14; // of the interface; since 18, allocators have further members
constexpr int FATAL = 4;         // what is logged; all other errors are returned
constexpr int NO_ARENA = 0, DEFAULT = 0; // the kind of memory that tensors lie in

// The place of a type is its number in the interface; it has no others that a bundle may have.
const std::array<const char *, 14> TYPES = {"",        "float32", "uint8",  "int8",  "uint16",
                                            "int16",   "int32",   "int64",  "",      "bool",
                                            "float16", "float64", "uint32", "uint64"};

struct Status;
struct Environment;
struct Options;
struct Graph;
struct Memory;
struct Value;
struct Shape;

struct Allocator {
    uint32_t version;
    void *(*allocate)(Allocator *, size_t bytes);
    void (*free)(Allocator *, void *);
    const Memory *(*memory)(const Allocator *);
};

// Memory that a step gives back is kept for the next one: finding aligned memory anew took glibc a
// seventh of the time of a step. A block has 2^n bytes, of which the first 64 say how many it has
// and, while it is kept, which one is next. Each thread keeps its own.
constexpr size_t HEAD = 64;
constexpr int LARGEST = 16; // of larger blocks, finding them is a small part of the time

struct Block {
    int power;
    Block *next;
};

struct Kept {
    std::array<Block *, LARGEST + 1> first{};
    ~Kept() {
        for (auto *block : first)
            while (block)
                std::free(std::exchange(block, block->next));
    }
};

thread_local Kept kept;

void *allocate(Allocator *, size_t bytes) {
    int power = 7;
    while (size_t(1) << power < bytes + HEAD)
        power++;
    auto *block = power <= LARGEST ? kept.first[power] : nullptr;
    if (block)
        kept.first[power] = block->next;
    else
        block = static_cast<Block *>(std::aligned_alloc(HEAD, size_t(1) << power));
    if (!block)
        return nullptr;
    block->power = power;
    return reinterpret_cast<char *>(block) + HEAD;
}

void release(Allocator *, void *place) {
    if (!place)
        return;
    auto *block = reinterpret_cast<Block *>(static_cast<char *>(place) - HEAD);
    if (block->power > LARGEST)
        std::free(block);
    else
        block->next = std::exchange(kept.first[block->power], block);
}

struct OwnAllocator : Allocator {
    Memory *kind;
};

const Memory *kind_of(const Allocator *own) { return static_cast<const OwnAllocator *>(own)->kind; }

struct Library {
    std::string version;
    Environment *environment; // as long as the program runs
    OwnAllocator own;

    const char *(*message)(const Status *);
    Status *(*create_environment)(int level, const char *name, Environment **);
    Status *(*create_graph)(const Environment *, const void *data, size_t bytes, const Options *,
                            Graph **);
    Status *(*run)(Graph *, const void *options, const char *const *inputs,
                   const Value *const *given, size_t count, const char *const *outputs,
                   size_t output_count, Value **found);
    Status *(*create_options)(Options **);
    Status *(*configure)(Options *, const char *name, const char *value);
    Status *(*set_threads)(Options *, int count);
    Status *(*count_inputs)(const Graph *, size_t *);
    Status *(*count_outputs)(const Graph *, size_t *);
    Status *(*input_name)(const Graph *, size_t place, Allocator *, char **);
    Status *(*output_name)(const Graph *, size_t place, Allocator *, char **);
    Status *(*create_value)(const Memory *, void *data, size_t bytes, const int64_t *shape,
                            size_t axes, int type, Value **);
    Status *(*data)(Value *, void **);
    Status *(*type)(const Shape *, int *);
    Status *(*count_axes)(const Shape *, size_t *);
    Status *(*sizes)(const Shape *, int64_t *, size_t axes);
    Status *(*shape)(const Value *, Shape **);
    Status *(*create_memory)(const char *device, int allocator, int number, int kind, Memory **);
    Status *(*use_allocator)(Environment *, Allocator *);
    Status *(*free)(Allocator *, void *);
    Status *(*allocator)(Allocator **);
    void (*release_status)(Status *);
    void (*release_graph)(Graph *);
    void (*release_value)(Value *);
    void (*release_shape)(Shape *);
    void (*release_options)(Options *);

    Library() {
        struct Base {
            void *const *(*table)(uint32_t version);
            const char *(*version)();
        };
        void *opened = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
        void *found = opened ? dlsym(opened, "OrtGetApiBase") : nullptr;
        if (!found)
            throw ModelError(
                std::string("cannot open ONNX Runtime (") + dlerror() +
                    "); build anew with -DONNXRUNTIME_LIBRARY=... of one that is there",
                7);
        const auto *base = reinterpret_cast<const Base *(*)()>(found)();
        version = base->version();
        auto *const *table = base->table(VERSION);
        if (!table)
            throw ModelError("ONNX Runtime " + version + " is too old; install 1.19 or newer", 7);
        const auto take = [&](auto &function, size_t place) {
            function = reinterpret_cast<std::decay_t<decltype(function)>>(table[place]);
        };
        take(message, 2);
        take(create_environment, 3);
        take(create_graph, 8);
        take(run, 9);
        take(create_options, 10);
        take(set_threads, 24);
        take(count_inputs, 30);
        take(count_outputs, 31);
        take(input_name, 36);
        take(output_name, 37);
        take(create_value, 49);
        take(data, 51);
        take(type, 60);
        take(count_axes, 61);
        take(sizes, 62);
        take(shape, 65);
        take(create_memory, 68);
        take(free, 76);
        take(allocator, 78);
        take(release_status, 93);
        take(release_graph, 95);
        take(release_value, 96);
        take(release_shape, 99);
        take(release_options, 100);
        take(configure, 130);
        take(use_allocator, 176);
        check(create_environment(FATAL, TARGET, &environment));
        own = {{VERSION, allocate, release, kind_of}, nullptr};
        check(create_memory("Cpu", NO_ARENA, 0, DEFAULT, &own.kind));
        check(use_allocator(environment, &own));
    }

    void check(Status *status) const {
        if (!status)
            return;
        const std::string why = message(status);
        release_status(status);
        throw ModelError("onnxruntime " + version + " cannot run the model (" + why +
                             "); install a newer one",
                         7);
    }
};

const Library &library() {
    static const Library opened;
    return opened;
}

template <typename Thing> using Owned = std::unique_ptr<Thing, void (*)(Thing *)>;

Tensor copied(Value *value) {
    const auto &ort = library();
    Shape *found;
    ort.check(ort.shape(value, &found));
    const Owned<Shape> shape(found, ort.release_shape);
    int type;
    size_t axes;
    ort.check(ort.type(found, &type));
    ort.check(ort.count_axes(found, &axes));
    std::vector<int64_t> sizes(axes);
    ort.check(ort.sizes(found, sizes.data(), axes));
    Tensor made(size_t(type) < TYPES.size() ? TYPES[type] : "", sizes);
    void *data;
    ort.check(ort.data(value, &data));
    std::copy_n(static_cast<const char *>(data), made.size_in_bytes(),
                static_cast<char *>(made.bytes()));
    return made;
}

} // namespace

std::string runtime_name() { return "onnxruntime " + library().version; }

struct Model::Session {
    Owned<Graph> graph;
    std::vector<std::string> inputs, outputs; // names
    std::vector<const char *> input_names, output_names;
};

void Model::load(const std::string &loop) {
    const auto file = read("onnx/" + (loop.empty() ? "model" : loop) + ".onnx");
    const auto &ort = library();
    Options *made;
    ort.check(ort.create_options(&made));
    const Owned<Options> options(made, ort.release_options);
    ort.check(ort.set_threads(made, 1)); // a step is too small to share: more threads only wait
    ort.check(ort.configure(made, "session.use_env_allocators", "1")); // ours
    Graph *graph;
    ort.check(ort.create_graph(ort.environment, file.data(), file.size(), made, &graph));
    session = std::make_shared<Session>(Session{{graph, ort.release_graph}, {}, {}, {}, {}});
    Allocator *allocator;
    ort.check(ort.allocator(&allocator));
    const auto names = [&](auto count_all, auto name, auto &kept, auto &pointers) {
        size_t count;
        ort.check(count_all(graph, &count));
        for (size_t i = 0; i < count; i++) {
            char *text;
            ort.check(name(graph, i, allocator, &text));
            kept.push_back(text);
            ort.check(ort.free(allocator, text));
        }
        for (const auto &one : kept)
            pointers.push_back(one.c_str());
    };
    names(ort.count_inputs, ort.input_name, session->inputs, session->input_names);
    names(ort.count_outputs, ort.output_name, session->outputs, session->output_names);
}

std::vector<Tensor> Model::run(const std::vector<const Tensor *> &given) {
    const auto &ort = library();
    auto &[graph, inputs, outputs, input_names, output_names] = *session;
    if (given.size() != inputs.size())
        throw ModelError("the graph has " + std::to_string(inputs.size()) + " inputs, not " +
                         std::to_string(given.size()) + "; export it anew");
    std::vector<Owned<Value>> values;
    std::vector<const Value *> pointers;
    values.reserve(inputs.size() + outputs.size());
    pointers.reserve(inputs.size());
    for (const auto *tensor : given) {
        const auto type = std::find(TYPES.begin(), TYPES.end(), tensor->type()) - TYPES.begin();
        Value *value;
        ort.check(ort.create_value(ort.own.kind, const_cast<void *>(tensor->bytes()),
                                   tensor->size_in_bytes(), tensor->shape().data(),
                                   tensor->shape().size(), type, &value));
        values.emplace_back(value, ort.release_value);
        pointers.push_back(value);
    }
    std::vector<Value *> found(outputs.size()); // null, so that ONNX Runtime makes them
    ort.check(ort.run(graph.get(), nullptr, input_names.data(), pointers.data(), pointers.size(),
                      output_names.data(), found.size(), found.data()));
    for (auto *value : found)
        values.emplace_back(value, ort.release_value);
    std::vector<Tensor> made;
    made.reserve(found.size());
    for (auto *value : found)
        made.push_back(copied(value));
    return made;
}
