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

#if INT8
typedef int8_t small; /* a weight is this times the scale of its row */
#endif
#if FLOAT16
typedef uint16_t small; /* the bits of a float16 */
#endif
/* WEIGHTS */

struct matrix {
    const float *numbers;
#if INT8 || FLOAT16
    const small *smalls; /* in place of numbers, which are NULL then */
#endif
#if INT8
    const float *scale;
#endif
};

struct layer {
    struct matrix input_weights, hidden_weights;
#if PROJECTION
    struct matrix projection;
#endif
    const float *bias;
    size_t inputs;
};

/* LAYERS */

#if TEXT
/* LOOKUP */

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
#if INT8 || FLOAT16
#if (defined(__AVX512F__) && PLAIN_LANES == 16) || (defined(__AVX2__) && defined(__F16C__))
#define PLAIN_WIDENS 1 /* an instruction makes a vector of floats of small weights */
#else
#define PLAIN_WIDENS 0
#endif
#if defined(CHOOSES) || PLAIN_WIDENS
#include <immintrin.h>
#endif
#endif
#if FLOAT16
#if TEXT
#define HALVES_ALONE /* in embeddings */
#else
#if PLAIN_LANES == 1
#define HALVES_ALONE
#endif
#endif

#ifdef HALVES_ALONE
/* The value of a float16, as widen() below makes it. */
static float widened(small bits) {
    union {
        uint32_t bits;
        float number;
    } word;
    word.bits = ((bits & 0x7fffu) << 13) + (112u << 23);
    if ((bits & 0x7c00u) == 0)
        word.number = word.number + word.number - 6.103515625e-5f; /* 2^-14 */
    word.bits |= (bits & 0x8000u) << 16;
    return word.number;
}

#endif
#endif

#define VARIANT(name) name##_plain
#define TARGET
#define LANES PLAIN_LANES
#define WIDENS PLAIN_WIDENS
#include "model.c"
#undef WIDENS
#define WIDENS 1
#undef VARIANT
#undef TARGET
#undef LANES

#if defined(CHOOSES) && PLAIN_LANES < 8 && WIDEST >= 8
#define HAS_AVX2
#define VARIANT(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma,f16c"))) /* every processor with AVX2 has F16C */
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

/* A block, on this processor; see read() above. */
static void run(float *state, const INPUT *input, float *output, size_t between, size_t steps,
                size_t streams) {
#ifdef HAS_AVX512
    if (__builtin_cpu_supports("avx512f")) {
        run_avx512(state, input, output, between, steps, streams);
        return;
    }
#endif
#ifdef HAS_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        run_avx2(state, input, output, between, steps, streams);
        return;
    }
#endif
    run_plain(state, input, output, between, steps, streams);
}

static size_t at_most_block(size_t size) { return size < MODEL_BLOCK ? size : MODEL_BLOCK; }

void model_run(float *state, const INPUT *input, float *output, size_t steps) {
    size_t size;
    for (; steps > 0; steps -= size, input += size * FEATURES, output += size * OUTPUTS) {
        size = at_most_block(steps);
        run(state, input, output, 1, size, 1);
    }
}

void model_run_batch(float *states, const INPUT *input, float *output, size_t steps,
                     size_t streams) {
    size_t size, step;
    for (; streams > 0; streams -= size) {
        size = at_most_block(streams);
        if (size == 1)
            model_run(states, input, output, steps);
        else
            for (step = 0; step < steps; step++)
                run(states, input + step * FEATURES, output + step * OUTPUTS, steps, 1, size);
        states += size * MODEL_STATE;
        input += size * steps * FEATURES;
        output += size * steps * OUTPUTS;
    }
}

#if TEXT
void model_step(float *state, int64_t input, float *output) {
    run(state, &input, output, 1, 1, 1);
}

void model_logits(const float *state, float *output) {
    ALIGNED float y[GATES];
    head_plain(state + (LAYERS - 1) * HIDDEN, y, output, 0, 1);
}
#else
void model_step(float *state, const float *input, float *output) {
    run(state, input, output, 1, 1, 1);
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
#if INT8 || FLOAT16
#define WIDEN(from) VARIANT(widen)(from)
#endif
#define TO_FLOAT(x) __builtin_convertvector(x, vector)
#else
typedef float vector, VARIANT(quarter);
typedef int32_t integers;
typedef uint32_t VARIANT(bits);
#define LOAD(from) (*(from))
#define STORE(to, x) ((void)(*(to) = (x)))
#if INT8
#define WIDEN(from) ((float)*(from))
#endif
#if FLOAT16
#define WIDEN(from) widened(*(from))
#endif
#define TO_FLOAT(x) ((float)(x))
#endif

typedef union {
    vector number;
    integers integer;
    VARIANT(bits) bit;
    VARIANT(quarter) quarter[(LANES + 3) / 4];
    float lane[LANES];
} word;

#if INT8
#if LANES > 1
/* LANES whole numbers as floats. */
TARGET static INLINE vector VARIANT(widen)(const small *from) {
#if LANES == 16 && WIDENS
    return TO_FLOAT((integers)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from)));
#elif LANES == 8 && WIDENS
    return TO_FLOAT((integers)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from)));
#elif LANES == 4 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    typedef int32_t four __attribute__((aligned(1), may_alias));
    const VARIANT(bits) places = {1u << 24, 1u << 16, 1u << 8, 1}; /* each byte to the front */
    word number;
    number.bit = (uint32_t) * (const four *)from * places;
    return TO_FLOAT(number.integer >> 24);
#else /* in steps, since compilers do not find them */
    typedef int8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
    typedef int16_t shorts __attribute__((vector_size(2 * LANES)));
    shorts wider = __builtin_convertvector(*(const bytes *)from, shorts);
    return TO_FLOAT(__builtin_convertvector(wider, integers));
#endif
}

#endif
#endif
#if FLOAT16
#if LANES > 1
/* LANES float16 as floats; where no instruction does it, their bits are moved. There are no
   subnormal numbers on the way, which some programs have the processor take as zeros. */
TARGET static INLINE vector VARIANT(widen)(const small *from) {
#if LANES == 16 && WIDENS
    return (vector)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
#elif LANES == 8 && WIDENS
    return (vector)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
#else
#if LANES == 4
    VARIANT(bits) bits = {from[0], from[1], from[2], from[3]};
#else
    typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
    VARIANT(bits) bits = __builtin_convertvector(*(const halves *)from, VARIANT(bits));
#endif
    word number, tiny;
    number.bit = ((bits & 0x7fffu) << 13) + (112u << 23);
    tiny.number = number.number + number.number - 6.103515625e-5f;
    tiny.integer &= (integers)((bits & 0x7c00u) == 0);
    number.integer = (number.integer & (integers)((bits & 0x7c00u) != 0)) | tiny.integer;
    number.bit |= (bits & 0x8000u) << 16;
    return number.number;
#endif
}

#endif
#endif
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

#if GATED
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
/* y = start + W x for each of `count` vectors; start is y itself if it is NULL. x of one vector is
   x_step numbers behind that of the one before, y is y_step numbers behind. Columns are taken in
   pieces, whose weights stay in the first-level cache while all vectors read them; how a row is
   summed does not depend on how many vectors there are. Eight sums are made at a time: as much of
   a panel as fits into them, and the next columns where it is less. The last panel may lack rows.
   They are taken from the last to the first if `backwards`, since a cache still has what was read
   last. */
#define SIDE (PANEL / LANES < 8 ? PANEL / LANES : 8)
#define COLUMNS (8 / SIDE)
#define AT(k) at + (k) / SIDE * PANEL + (k) % SIDE * LANES
#if INT8 || FLOAT16
#define W(k) (is_small ? WIDEN(matrix->smalls + AT(k)) : LOAD(matrix->numbers + AT(k)))
#else
#define W(k) LOAD(matrix->numbers + AT(k))
#endif
#if INT8
#define START(k) (is_small ? zeros : LOAD(before + (k)*LANES))
#define SCALE(k) LOAD(matrix->scale + first + row + (k)*LANES)
#define SCALED(k, sum) LOAD(before + (k)*LANES) + SCALE(k) * (sum)
#define PUT(k, sum) STORE(y + (k)*LANES, is_small ? SCALED(k, sum) : sum)
#else
#define START(k) LOAD(before + (k)*LANES)
#define PUT(k, sum) STORE(y + (k)*LANES, sum)
#endif
TARGET static INLINE void VARIANT(sums)(float *ys, size_t y_step, const float *start,
                                        const struct matrix *matrix, int is_small, size_t first,
                                        size_t rows, const float *xs, size_t x_step,
                                        size_t columns, size_t count, int backwards) {
#if INT8
    const vector zeros = {0};
#else
    (void)is_small; /* where all weights are floats */
#endif
    const size_t tiles = (rows + SIDE * LANES - 1) / (SIDE * LANES);
    size_t tile, from, i, k;
    ROLLED
    for (tile = 0; tile < tiles; tile++) {
        const size_t row = (backwards ? tiles - 1 - tile : tile) * SIDE * LANES;
        const size_t panel = (first + row) / PANEL * PANEL * columns + row % PANEL;
        ROLLED
        for (from = 0; from < columns; from += PIECE) {
            const size_t size = columns - from < PIECE ? columns - from : PIECE;
            const size_t even = size - size % COLUMNS;
            ROLLED
            for (k = 0; k < count; k++) {
                const float *x = xs + k * x_step + from;
                size_t at = panel + from * PANEL;
                float *y = ys + k * y_step + row;
                const float *before = start != NULL && from == 0 ? start + row : y;
                vector a = START(0), b = {0}, c = {0}, d = {0};
                vector e = {0}, f = {0}, g = {0}, h = {0};
#if SIDE > 1
                b = START(1);
#endif
#if SIDE > 2
                c = START(2), d = START(3);
#endif
#if SIDE > 4
                e = START(4), f = START(5);
                g = START(6), h = START(7);
#endif
                ROLLED
                for (i = 0; i < even; i += COLUMNS, at += COLUMNS * PANEL) {
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
                for (; i < size; i++, at += PANEL) {
                    a += W(0) * x[i];
#if SIDE > 1
                    b += W(1) * x[i];
#endif
#if SIDE > 2
                    c += W(2) * x[i];
                    d += W(3) * x[i];
#endif
                }
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
    }
}
#undef SIDE
#undef COLUMNS
#undef AT
#undef W
#undef START
#undef PUT
#if INT8
#undef SCALE
#undef SCALED
#endif

/* The same; the loops are compiled for each type of weights. */
TARGET static INLINE void VARIANT(product)(float *y, size_t y_step, const float *start,
                                           const struct matrix *matrix, size_t first, size_t rows,
                                           const float *x, size_t x_step, size_t columns,
                                           size_t count, int backwards) {
#if INT8 || FLOAT16
    if (matrix->numbers == NULL) {
        VARIANT(sums)(y, y_step, start, matrix, 1, first, rows, x, x_step, columns, count, backwards);
        return;
    }
#endif
    VARIANT(sums)(y, y_step, start, matrix, 0, first, rows, x, x_step, columns, count, backwards);
}

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

/* A row of the state, with zeros behind it. */
TARGET static INLINE void VARIANT(take)(float *to, const float *from, size_t columns) {
    size_t k;
    VARIANT(copy)(to, from, columns);
    ROLLED
    for (k = columns; k < PADDED; k++)
        to[k] = 0.0f;
}

/* CELL */

/* Reads a block: some steps of one stream, or one step of some streams. x has WIDTH numbers for
   each step of each stream, and h of the layer is put in its place. What x gives the gates is
   computed for the whole block at once, what h gives them for all streams at once; y has room for
   GATES numbers of each. */
TARGET static INLINE void VARIANT(read_layer)(const struct layer *layer, float *x, float *y,
                                              float *state, size_t steps, size_t streams) {
    size_t step, k;
#if APART
    ROLLED
    for (k = 0; k < steps * streams; k++)
        VARIANT(copy)(y + k * GATES + ROWS, layer->bias + ROWS, GATES - ROWS);
#endif
    VARIANT(product)(y, GATES, layer->bias, &layer->input_weights, 0, ROWS, x, WIDTH,
                     layer->inputs, steps * streams, 0);
    ROLLED
    for (step = 0; step < steps; step++, x += streams * WIDTH, y += streams * GATES) {
        VARIANT(product)(y + GATES - ROWS, GATES, NULL, &layer->hidden_weights, 0, ROWS,
                         state, MODEL_STATE, H_COLUMNS, streams, step % 2);
        ROLLED
        for (k = 0; k < streams; k++) {
            float *h = x + k * WIDTH;
#if CELL_STATE
            ALIGNED float c[PADDED];
            VARIANT(take)(c, state + k * MODEL_STATE + LAYERS * HIDDEN, HIDDEN);
            VARIANT(cell)(y + k * GATES, h, c);
            VARIANT(copy)(state + k * MODEL_STATE + LAYERS * HIDDEN, c, HIDDEN);
#else
#if APART
            VARIANT(take)(h, state + k * MODEL_STATE, HIDDEN);
#endif
            VARIANT(cell)(y + k * GATES, h);
#endif
        }
#if PROJECTION
        for (k = 0; k < streams * GATES; k++)
            y[k] = 0.0f;
        VARIANT(product)(y, GATES, NULL, &layer->projection, 0, PROJECTED, x, WIDTH, HIDDEN,
                         streams, 0);
        for (k = 0; k < streams; k++)
            VARIANT(take)(x + k * WIDTH, y + k * GATES, H_COLUMNS);
#endif
        ROLLED
        for (k = 0; k < streams; k++)
            VARIANT(copy)(state + k * MODEL_STATE, x + k * WIDTH, HIDDEN);
    }
}

#if TEXT
/* The embedding of an entry, from its number `at` on. */
TARGET static INLINE void VARIANT(embed)(float *x, size_t at) {
#if INT8 || FLOAT16
    size_t k;
    if (embedding.numbers == NULL) {
        for (k = 0; k < EMBEDDING; k++)
#if INT8
            x[k] = (float)embedding.smalls[at + k] * embedding.scale[at / EMBEDDING];
#else
            x[k] = widened(embedding.smalls[at + k]);
#endif
        return;
    }
#endif
    VARIANT(copy)(x, embedding.numbers + at, EMBEDDING);
}

/* The logits that each h gives, `apart` numbers from one another; those of the last panel go
   through y, which has room for all of it. */
TARGET static NOINLINE void VARIANT(head)(const float *h, float *y, float *output, size_t apart,
                                          size_t count) {
    const size_t whole = OUTPUTS / PANEL * PANEL;
    size_t k;
    VARIANT(product)(output, apart, head_bias, &head_matrix, 0, whole, h, WIDTH, H_COLUMNS,
                     count, 0);
    VARIANT(product)(y, GATES, head_bias + whole, &head_matrix, whole, OUTPUTS % PANEL, h, WIDTH, H_COLUMNS, count, 0);
    ROLLED
    for (k = 0; k < count; k++)
        VARIANT(copy)(output + k * apart + whole, y + k * GATES, OUTPUTS % PANEL);
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

/* The output that each h gives, in the units of the series, `apart` numbers from one another. */
TARGET static INLINE void VARIANT(head)(const float *h, float *output, size_t apart, size_t count) {
    size_t k;
    for (; count > 0; count--, h += WIDTH, output += apart) {
        for (k = 0; k < OUTPUTS; k++) {
            float y = VARIANT(dot)(h, head_weights + k * PADDED) + head_bias[k];
            output[k] = y * output_std[k] + output_mean[k];
        }
    }
}

#endif
/* Reads a block as the layers do; its inputs and outputs are `between` steps from one another. x
   and y are room for it. */
TARGET static INLINE void VARIANT(read)(float *state, const INPUT *input, float *output, float *x,
                                        float *y, size_t between, size_t steps, size_t streams) {
    size_t k, layer;
    ROLLED
    for (k = 0; k < steps * streams; k++, input += between * FEATURES) {
#if TEXT
        VARIANT(embed)(x + k * WIDTH, entry_of(*input) * EMBEDDING);
#else
        size_t i;
        ROLLED
        for (i = 0; i < FEATURES; i++)
            x[k * WIDTH + i] = (input[i] - input_mean[i]) * input_scale[i];
#endif
    }
    ROLLED
    for (layer = 0; layer < LAYERS; layer++)
        VARIANT(read_layer)(&layers[layer], x, y, state + layer * HIDDEN, steps, streams);
#if TEXT
    VARIANT(head)(x, y, output, between * OUTPUTS, steps * streams);
#else
    VARIANT(head)(x, output, between * OUTPUTS, steps * streams);
#endif
}

TARGET static NOINLINE void VARIANT(run_block)(float *state, const INPUT *input, float *output,
                                               size_t between, size_t steps, size_t streams) {
    ALIGNED float x[MODEL_BLOCK * WIDTH], y[MODEL_BLOCK * GATES];
    VARIANT(read)(state, input, output, x, y, between, steps, streams);
}

/* A single step, compiled without the loops of a block. */
TARGET static NOINLINE void VARIANT(run_step)(float *state, const INPUT *input, float *output) {
    ALIGNED float x[WIDTH], y[GATES];
    VARIANT(read)(state, input, output, x, y, 1, 1, 1);
}

TARGET static void VARIANT(run)(float *state, const INPUT *input, float *output, size_t between,
                                size_t steps, size_t streams) {
    if (MODEL_BLOCK > 1 && steps * streams > 1)
        VARIANT(run_block)(state, input, output, between, steps, streams);
    else
        VARIANT(run_step)(state, input, output);
}

#undef vector
#undef integers
#undef word
#undef LOAD
#undef STORE
#if INT8 || FLOAT16
#undef WIDEN
#endif
#undef TO_FLOAT
#endif /* VARIANT */
