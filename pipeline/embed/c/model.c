/* TITLE */
#include "model.h"

#ifndef VARIANT /* the part that is compiled once */

/* Weights lie as the products read them: in panels of PANEL rows, of each the columns one after
   another. Rows of zeros fill each gate up to PADDED, and vectors have WIDEST numbers at most. */
/* SIZES */

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(4 * WIDEST)))
#else
#define INLINE inline
#define ALIGNED
#endif
#if defined(__clang__)
#define NOINLINE __attribute__((noinline))
#define ROLLED _Pragma("clang loop unroll(disable) vectorize(disable)") /* keeps the code small */
#elif defined(__GNUC__)
#define NOINLINE __attribute__((noinline, noclone))
#define ROLLED _Pragma("GCC unroll 1")
#else
#define NOINLINE
#define ROLLED
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast") /* multiply and add in one, also with -std=c99 */
#endif

/* WEIGHTS */

struct layer {
#if APART
    const float *input_weights, *hidden_weights, *bias;
#else
    const float *weights, *bias;
#endif
#if PROJECTION
    const float *projection;
#endif
    size_t inputs;
};

/* LAYERS */

#if TEXT
/* Where a code point stands in the vocabulary; 0 for one that it does not have. */
static size_t entry_of(int64_t point) {
    size_t low = 0, high = OUTPUTS - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (known_points[middle] < point)
            low = middle + 1;
        else
            high = middle;
    }
    return low < OUTPUTS - 1 && known_points[low] == point ? known_entries[low] : 0;
}

#endif
/* The functions below, compiled for the processor that the compiler was told of, and on x86 also
   for newer ones, to choose from when it runs. Define MODEL_PLAIN to leave those out. */
#if !defined(__GNUC__)
#define PLAIN_LANES 1
#elif defined(__AVX512F__) && WIDEST >= 16
#define PLAIN_LANES 16
#elif defined(__AVX__) && WIDEST >= 8
#define PLAIN_LANES 8
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__)
#define PLAIN_LANES 4
#else
#define PLAIN_LANES 1
#endif
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__)) && __STDC_HOSTED__ &&          \
    !defined(MODEL_PLAIN)
#define CHOOSES
#endif

#define VARIANT(name) name##_plain
#define TARGET
#define LANES PLAIN_LANES
#include "model.c"
#undef VARIANT
#undef TARGET
#undef LANES

#if defined(CHOOSES) && PLAIN_LANES < 8 && WIDEST >= 8
#define HAS_AVX2
#define VARIANT(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#include "model.c"
#undef VARIANT
#undef TARGET
#undef LANES
#endif

#if defined(CHOOSES) && PLAIN_LANES < 16 && WIDEST >= 16
#define HAS_AVX512
#define VARIANT(name) name##_avx512
#define TARGET __attribute__((target("avx512f")))
#define LANES 16
#include "model.c"
#undef VARIANT
#undef TARGET
#undef LANES
#endif

void model_init(float *state) {
    size_t k;
    for (k = 0; k < MODEL_STATE; k++)
        state[k] = 0.0f;
}

void model_run(float *state, const INPUT *input, float *output, size_t steps) {
#ifdef HAS_AVX512
    if (__builtin_cpu_supports("avx512f")) {
        run_avx512(state, input, output, steps);
        return;
    }
#endif
#ifdef HAS_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        run_avx2(state, input, output, steps);
        return;
    }
#endif
    run_plain(state, input, output, steps);
}

#if TEXT
void model_step(float *state, int64_t input, float *output) { model_run(state, &input, output, 1); }

void model_logits(const float *state, float *output) {
    head_plain(state + (LAYERS - 1) * HIDDEN, output);
}
#else
void model_step(float *state, const float *input, float *output) {
    model_run(state, input, output, 1);
}
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#else /* the part that is compiled for each width of vectors: LANES numbers at a time */

#define vector VARIANT(vector)
#define integers VARIANT(integers)
#define word VARIANT(word)
#if LANES > 1
typedef float vector __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef uint32_t VARIANT(bits) __attribute__((vector_size(4 * LANES)));
typedef float VARIANT(quarter) __attribute__((vector_size(16)));
/* The same among floats, at any address. */
typedef float VARIANT(floats) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define LOAD(from) ((vector) * (const VARIANT(floats) *)(from))
#define STORE(to, x) ((void)(*(VARIANT(floats) *)(to) = (x)))
#define TO_FLOAT(x) __builtin_convertvector(x, vector)
#else
typedef float vector, VARIANT(quarter);
typedef int32_t integers;
typedef uint32_t VARIANT(bits);
#define LOAD(from) (*(from))
#define STORE(to, x) ((void)(*(to) = (x)))
#define TO_FLOAT(x) ((float)(x))
#endif

typedef union {
    vector number;
    integers integer;
    VARIANT(bits) bit;
    VARIANT(quarter) quarter[(LANES + 3) / 4];
    float lane[LANES];
} word;

#if RELU
TARGET static INLINE vector VARIANT(activation)(vector x) {
#if LANES > 1
    word y;
    y.number = x;
    y.integer &= ~(x < 0.0f);
    return y.number;
#else
    return x < 0.0f ? 0.0f : x;
#endif
}

#else
/* x where it lies between -29 and 29, else the end that is nearer; NaN stays NaN. There tanh is 1,
   the logistic function below 3e-13, and the product of three exponentials still a number. */
TARGET static INLINE vector VARIANT(clamp)(vector x) {
#if LANES > 1
    word y, limit;
    integers beyond;
    y.number = x;
    limit.integer = y.integer & 0x7fffffff;
    beyond = limit.number > 29.0f;
    limit.integer = (y.integer ^ limit.integer) | 0x41e80000; /* 29 with the sign of x */
    y.integer = (beyond & limit.integer) | (~beyond & y.integer);
    return y.number;
#else
    return x < -29.0f ? -29.0f : x > 29.0f ? 29.0f : x;
#endif
}

/* exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1), with x = n log(2) + r and a polynomial for exp(r).
   Off by 2 units in the last place at most; tanh, and the logistic function, by 3. */
TARGET static INLINE vector VARIANT(exp_minus_1)(vector x) {
    word shifted, power;
    vector n, r, square, low, high, p;
    x = VARIANT(clamp)(x);
    shifted.number = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the last bits are n */
    power.bit = (shifted.bit << 23) + 0x3f800000u;  /* 2^n */
    n = TO_FLOAT(shifted.integer - 0x4b400000);
    r = x - n * 0.693359375f + n * 2.12194440e-4f; /* log(2) in two parts */
    square = r * r;
    low = r * 0.16666543f + 0.49999998f;
    high = r * 0.008366647f + 0.041667204f;
    high = square * 0.0013882497f + high;
    p = (high * square + low) * square + r;
    return p * power.number + (power.number - 1.0f);
}

#if GATES
#define GATE(e) (/* GATE */)
/* The logistic function of x in its place, or what it is the inverse of. */
TARGET static INLINE void VARIANT(gates)(float *x, size_t size) {
    size_t k;
    ROLLED
    for (k = 0; k < size; k += LANES)
        STORE(x + k, GATE(VARIANT(exp_minus_1)(-LOAD(x + k))));
}
#undef GATE

#endif
TARGET static INLINE vector VARIANT(activation)(vector x) {
    vector e = VARIANT(exp_minus_1)(x + x);
    return e / (e + 2.0f);
}

#endif
/* y = start + W x for so many rows (the last panel may lack some), where x is n numbers and m more.
   Eight vectors are summed at a time: as much of a panel as fits into them, and the next columns
   where it is less. */
#define SIDE (PANEL / LANES < 8 ? PANEL / LANES : 8)
#define COLUMNS (8 / SIDE)
#define W(k) LOAD(w + (k) / SIDE * PANEL + (k) % SIDE * LANES)
#define PUT(k, sum) STORE(y + row + (k)*LANES, LOAD(start + row + (k)*LANES) + sum)
TARGET static NOINLINE void VARIANT(product)(float *y, const float *start, const float *matrix,
                                             size_t rows, const float *first, size_t n,
                                             const float *second, size_t m) {
    size_t row, i, part;
    ROLLED
    for (row = 0; row < rows; row += SIDE * LANES) {
        const float *w = matrix + row / PANEL * PANEL * (n + m) + row % PANEL;
        vector a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0}, g = {0}, h = {0};
        ROLLED
        for (part = 0; part < 2; part++) {
            const float *x = part ? second : first;
            const size_t size = part ? m : n, even = size - size % COLUMNS;
            ROLLED
            for (i = 0; i < even; i += COLUMNS, w += COLUMNS * PANEL) {
                a += W(0) * x[i];
                b += W(1) * x[i + 1 / SIDE];
                c += W(2) * x[i + 2 / SIDE];
                d += W(3) * x[i + 3 / SIDE];
                e += W(4) * x[i + 4 / SIDE];
                f += W(5) * x[i + 5 / SIDE];
                g += W(6) * x[i + 6 / SIDE];
                h += W(7) * x[i + 7 / SIDE];
            }
#if SIDE < 8 /* the last columns, where they are fewer than COLUMNS */
            ROLLED
            for (i = even; i < size; i++, w += PANEL) {
                a += W(0) * x[i];
#if SIDE > 1
                b += W(1) * x[i];
#endif
#if SIDE > 2
                c += W(2) * x[i];
                d += W(3) * x[i];
#endif
            }
#endif
        }
#if SIDE < 8
        a += e, b += f, c += g, d += h;
#endif
#if SIDE < 4
        a += c, b += d;
#endif
#if SIDE < 2
        a += b;
#endif
        PUT(0, a);
#if SIDE > 1
        PUT(1, b);
#endif
#if SIDE > 2
        PUT(2, c);
        PUT(3, d);
#endif
#if SIDE > 4
        PUT(4, e);
        PUT(5, f);
        PUT(6, g);
        PUT(7, h);
#endif
    }
}
#undef SIDE
#undef COLUMNS
#undef W
#undef PUT

#if APART || PADDING || PROJECTION
TARGET static INLINE void VARIANT(copy)(float *to, const float *from, size_t size) {
    const size_t even = size / LANES * LANES;
    size_t k;
    ROLLED
    for (k = 0; k < even; k += LANES)
        STORE(to + k, LOAD(from + k));
    ROLLED
    for (k = even; k < size; k++)
        to[k] = from[k];
}

#endif
#if PADDING || PROJECTION
/* A row of the state, with zeros behind it. */
TARGET static INLINE void VARIANT(take)(float *to, const float *from, size_t columns) {
    size_t k;
    VARIANT(copy)(to, from, columns);
    ROLLED
    for (k = columns; k < PADDED; k++)
        to[k] = 0.0f;
}

#endif
/* STEP */

#if TEXT
/* The logits that h gives; the last panel goes through y, which has room for all of it. */
TARGET static NOINLINE void VARIANT(head)(const float *h, float *output) {
    const size_t whole = OUTPUTS / PANEL * PANEL;
    ALIGNED float y[PANEL];
    size_t k;
    ROLLED
    for (k = 0; k < PANEL; k++)
        y[k] = 0.0f;
    VARIANT(product)(output, head_bias, head_weights, whole, h, H_COLUMNS, h, 0);
    VARIANT(product)(y, y, head_weights + whole * H_COLUMNS, OUTPUTS % PANEL, h, H_COLUMNS, h, 0);
    ROLLED
    for (k = whole; k < OUTPUTS; k++)
        output[k] = y[k - whole] + head_bias[k];
}

#else
/* The sum of the products of two rows. */
TARGET static INLINE float VARIANT(dot)(const float *a, const float *b) {
    word sum;
    size_t k;
    sum.number = LOAD(a) * LOAD(b);
    for (k = LANES; k < PADDED; k += LANES)
        sum.number += LOAD(a + k) * LOAD(b + k);
#if LANES > 1
    for (k = 1; k < LANES / 4; k++)
        sum.quarter[0] += sum.quarter[k];
    return (sum.lane[0] + sum.lane[1]) + (sum.lane[2] + sum.lane[3]);
#else
    return sum.number;
#endif
}

/* The output that h gives, in the units of the series. */
TARGET static INLINE void VARIANT(head)(const float *h, float *output) {
    size_t k;
    for (k = 0; k < OUTPUTS; k++) {
        float y = VARIANT(dot)(h, head_weights + k * PADDED) + head_bias[k];
        output[k] = y * output_std[k] + output_mean[k];
    }
}

#endif
/* Reads `steps` inputs and carries the state on; an output for each. */
TARGET static void VARIANT(run)(float *state, const INPUT *input, float *output, size_t steps) {
    for (; steps > 0; steps--, input += FEATURES, output += OUTPUTS) {
#if PADDING
        ALIGNED float hs[2][PADDED];
#endif
        float *row = state;
        size_t layer;
#if TEXT
        const float *x = embedding + entry_of(*input) * EMBEDDING;
#else
        float scaled[FEATURES];
        const float *x = scaled;
        size_t k;
        for (k = 0; k < FEATURES; k++)
            scaled[k] = (input[k] - input_mean[k]) * input_scale[k];
#endif
        for (layer = 0; layer < LAYERS; layer++, row += HIDDEN) {
#if PADDING
            float *h = hs[layer % 2];
#if CELL_STATE
            ALIGNED float c[PADDED];
            VARIANT(take)(c, row + LAYERS * HIDDEN, HIDDEN);
            VARIANT(take)(h, row, H_COLUMNS);
            VARIANT(step_layer)(&layers[layer], x, h, c);
            VARIANT(copy)(row + LAYERS * HIDDEN, c, HIDDEN);
#else
            VARIANT(take)(h, row, HIDDEN);
            VARIANT(step_layer)(&layers[layer], x, h);
#endif
            VARIANT(copy)(row, h, HIDDEN);
            x = h;
#else
#if CELL_STATE
            VARIANT(step_layer)(&layers[layer], x, row, row + LAYERS * HIDDEN);
#else
            VARIANT(step_layer)(&layers[layer], x, row);
#endif
            x = row;
#endif
        }
        VARIANT(head)(x, output);
    }
}

#undef vector
#undef integers
#undef word
#undef LOAD
#undef STORE
#undef TO_FLOAT
#endif /* VARIANT */
