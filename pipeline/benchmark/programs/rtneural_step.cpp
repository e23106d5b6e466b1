// The time of one step of RTNeural (https://github.com/jatinchowdhury18/RTNeural): a recurrent
// layer of N inputs and N units, then a dense layer from N to 1, through its compile-time API.
//
//   c++ -std=c++17 -O3 -march=native -DNDEBUG -DRTNEURAL_DEFAULT_ALIGNMENT=32 \
//       -DRTNEURAL_USE_EIGEN=1 -I DIR -I /usr/include/eigen3 rtneural_step.cpp -o rtneural_step
//
// DIR is a clone of RTNeural. Its own copies of the backends: -I DIR/modules/Eigen, and for xsimd
// -DRTNEURAL_USE_XSIMD=1 -I DIR/modules/xsimd/include, which stores whole vectors into arrays of
// the alignment given: with AVX-512, say 64. Neither define: the STL backend (-ffast-math).
//
// Prints one line of JSON per cell and size, after checking the outputs against a plain
// computation in double (exit status 1 where they differ).

#ifndef RTNEURAL_NAMESPACE // some versions of RTNeural use it before they give it a value
#define RTNEURAL_NAMESPACE RTNeural
#endif
#ifndef EIGEN_STACK_ALLOCATION_LIMIT // Eigen's own, 128 KiB, refuses the LSTM of 64 units
#define EIGEN_STACK_ALLOCATION_LIMIT (1 << 20)
#endif
#include <RTNeural/RTNeural.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

#if RTNEURAL_USE_EIGEN
const char *const backend = "eigen";
#elif RTNEURAL_USE_XSIMD
const char *const backend = "xsimd";
#else
const char *const backend = "stl";
#endif

constexpr int inputs_kept = 32;
constexpr int steps_per_round = 2048;
constexpr int rounds = 400;
constexpr int steps_checked = 200;
constexpr double tolerance = 1e-4;

volatile unsigned seed = 1; // read at run time: nothing is known when compiling
volatile float sink;        // takes the sum of the outputs: no step may be left out

using Vector = std::vector<float>;
using Matrix = std::vector<Vector>;

// Kernel and recurrent weights are [input][gate * N + unit], as in Keras and RTNeural.
struct Weights {
    Matrix kernel, recurrent, bias, dense;
};

Matrix random_matrix(std::mt19937 &generator, int rows, int columns, float bound) {
    std::uniform_real_distribution<float> uniform(-bound, bound);
    Matrix matrix(rows, Vector(columns));
    for (auto &row : matrix)
        for (auto &value : row)
            value = uniform(generator);
    return matrix;
}

Weights random_weights(std::mt19937 &generator, int n, int gates, int biases) {
    const float bound = 1.0f / std::sqrt((float)n);
    Weights weights;
    weights.kernel = random_matrix(generator, n, gates * n, bound);
    weights.recurrent = random_matrix(generator, n, gates * n, bound);
    weights.bias = random_matrix(generator, biases, gates * n, bound);
    weights.dense = random_matrix(generator, 1, n, bound);
    return weights;
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double row_sum(const Matrix &matrix, const double *vector, int n, int column) {
    double sum = 0.0;
    for (int k = 0; k < n; ++k)
        sum += matrix[k][column] * vector[k];
    return sum;
}

struct Lstm {
    static constexpr const char *name = "lstm";
    static constexpr int gates = 4, biases = 1; // input, forget, candidate, output

    template <int N> using Layer = RTNeural::LSTMLayerT<float, N, N>;

    template <typename L> static void set_bias(L &layer, const Matrix &bias) {
        layer.setBVals(bias[0]);
    }

    static void step(const Weights &w, int n, const double *x, double *h, double *c) {
        std::vector<double> a(4 * n);
        for (int j = 0; j < 4 * n; ++j)
            a[j] = row_sum(w.kernel, x, n, j) + row_sum(w.recurrent, h, n, j) + w.bias[0][j];
        for (int j = 0; j < n; ++j) {
            c[j] = sigmoid(a[n + j]) * c[j] + sigmoid(a[j]) * std::tanh(a[2 * n + j]);
            h[j] = sigmoid(a[3 * n + j]) * std::tanh(c[j]);
        }
    }
};

struct Gru {
    static constexpr const char *name = "gru";
    static constexpr int gates = 3, biases = 2; // update, reset, candidate

    template <int N> using Layer = RTNeural::GRULayerT<float, N, N>;

    template <typename L> static void set_bias(L &layer, const Matrix &bias) {
        layer.setBVals(bias);
    }

    static void step(const Weights &w, int n, const double *x, double *h, double *) {
        std::vector<double> a(3 * n), b(3 * n);
        for (int j = 0; j < 3 * n; ++j) {
            a[j] = row_sum(w.kernel, x, n, j) + w.bias[0][j];
            b[j] = row_sum(w.recurrent, h, n, j) + w.bias[1][j];
        }
        for (int j = 0; j < n; ++j) {
            const double z = sigmoid(a[j] + b[j]);
            const double r = sigmoid(a[n + j] + b[n + j]);
            h[j] = (1.0 - z) * std::tanh(a[2 * n + j] + r * b[2 * n + j]) + z * h[j];
        }
    }
};

template <typename Cell, int N> bool measure() {
    using Model = RTNeural::ModelT<float, N, 1, typename Cell::template Layer<N>,
                                   RTNeural::DenseT<float, N, 1>>;
    alignas(64) static float inputs[inputs_kept][N];
    alignas(64) static Model model;

    std::mt19937 generator(seed);
    const Weights weights = random_weights(generator, N, Cell::gates, Cell::biases);
    const Matrix values = random_matrix(generator, inputs_kept, N, 1.0f);
    for (int i = 0; i < inputs_kept; ++i)
        for (int j = 0; j < N; ++j)
            inputs[i][j] = values[i][j];

    auto &recurrent = model.template get<0>();
    recurrent.setWVals(weights.kernel);
    recurrent.setUVals(weights.recurrent);
    Cell::set_bias(recurrent, weights.bias);
    const float dense_bias = 0.1f;
    model.template get<1>().setWeights(weights.dense);
    model.template get<1>().setBias(&dense_bias);
    model.reset();

    double h[N] = {}, c[N] = {}, furthest = 0.0;
    for (int step = 0; step < steps_checked; ++step) {
        double x[N], expected = dense_bias;
        for (int j = 0; j < N; ++j)
            x[j] = inputs[step % inputs_kept][j];
        Cell::step(weights, N, x, h, c);
        for (int j = 0; j < N; ++j)
            expected += weights.dense[0][j] * h[j];
        const double got = model.forward(inputs[step % inputs_kept]);
        furthest = std::fmax(furthest, std::fabs(got - expected));
    }
    if (!(furthest < tolerance)) {
        std::fprintf(stderr, "%s %d: off by %g\n", Cell::name, N, furthest);
        return false;
    }

    using Clock = std::chrono::steady_clock;
    double fastest = 1e30;
    for (int round = 0; round < rounds; ++round) {
        float sum = 0.0f;
        const auto start = Clock::now();
        for (int step = 0; step < steps_per_round; ++step)
            sum += model.forward(inputs[step % inputs_kept]);
        const std::chrono::duration<double, std::micro> taken = Clock::now() - start;
        sink = sum;
        fastest = std::fmin(fastest, taken.count() / steps_per_round);
    }
    std::printf(
        "{\"cell\": \"%s\", \"size\": %d, \"microseconds_per_step\": %.4f, \"backend\": \"%s\"}\n",
        Cell::name, N, fastest, backend);
    std::fflush(stdout);
    return true;
}

} // namespace

int main() {
    bool right = true;
    right &= measure<Lstm, 16>();
    right &= measure<Lstm, 32>();
    right &= measure<Lstm, 64>();
    right &= measure<Gru, 16>();
    right &= measure<Gru, 32>();
    right &= measure<Gru, 64>();
    return right ? 0 : 1;
}
