/* Replays the golden trajectories of the bundle that the model was generated from, and times one
   step. Prints one line of JSON; ends with 1 if a number is not what it should be.

   A model in integers has a tolerance of its own, whose unit is the deviation of a series. What
   lies beyond the range of its inputs is not compared. And every bit of a long run has to be that
   of the model in Python which it was written from. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#define MODEL_NAMES
#include "bundle.h"
#include "fail.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_OF(x) #x
#define VALUE_OF(x) TEXT_OF(x)
#if defined(__clang__)
#define COMPILER                                                                                   \
    "clang " VALUE_OF(__clang_major__) "." VALUE_OF(__clang_minor__) "." VALUE_OF(                 \
        __clang_patchlevel__)
#elif defined(__GNUC__)
#define COMPILER                                                                                   \
    "gcc " VALUE_OF(__GNUC__) "." VALUE_OF(__GNUC_MINOR__) "." VALUE_OF(__GNUC_PATCHLEVEL__)
#else
#define COMPILER "C compiler"
#endif

enum { ROUNDS = 5, STEPS = 20000 };

/* The names of the tensors in golden.json. */
struct names {
    const char *input, *state, *output, *next_state;
};

struct result {
    int calls;
    double atol, rtol, outputs, states, share;
};

/* The larger one, or NaN if one is. */
static double worse(double a, double b) { return isnan(a) || a > b ? a : b; }

/* One number; `unit` is what errors of it are counted in. */
static void compare(double found, double expected, double unit, double *error,
                    struct result *result) {
    double wanted = (float)expected; /* infinite where a float cannot be so large */
    double distance = fabs(found - wanted);
    double allowed = result->atol * unit + result->rtol * fabs(wanted);
    *error = worse(*error, distance);
    result->share = worse(result->share, distance / allowed);
}

#ifdef MODEL_PROOF
#define STATE_UNIT ((double)(1L << MODEL_STATE_BITS))
#define TO_STATE(number) ((int32_t)floor((number)*STATE_UNIT + 0.5))
#else
#define STATE_UNIT 1
#define TO_STATE(number) ((float)(number))
#endif

/* The deviation of a target, of a model in integers. */
static double unit_of(size_t target) {
#if defined(MODEL_PROOF) && !MODEL_TEXT
    return model_number(1 << MODEL_OUTPUT_BITS, target) - model_number(0, target);
#else
    (void)target;
    return 1;
#endif
}

/* Whether a number is one that the inputs of a model in integers cannot hold. */
static int is_beyond(double number, size_t feature) {
#if defined(MODEL_PROOF) && !MODEL_TEXT
    return abs(model_input((float)number, feature)) == 32767;
#else
    (void)number, (void)feature;
    return 0;
#endif
}

/* One call for every stream of the batch; `states` become the next ones. Whether it was compared.
 */
static int replay_call(const cJSON *call, const struct names *names, MODEL_WORD *states,
                       size_t batch, struct result *result) {
    size_t input_shape[] = {batch, 0, MODEL_FEATURES},
           state_shape[] = {batch, MODEL_ROWS, MODEL_HIDDEN};
    double *input = tensor(call, names->input, input_shape, MODEL_TEXT ? 2 : 3);
    size_t steps = input_shape[1], output_shape[] = {batch, steps, MODEL_OUTPUTS}, stream, k;
    double *output = tensor(call, names->output, output_shape, 3);
    double *next_state = tensor(call, names->next_state, state_shape, 3);
    int beyond = 0;
    MODEL_INPUT *given = malloc(steps * MODEL_FEATURES * sizeof *given);
    MODEL_WORD *found = malloc(steps * MODEL_OUTPUTS * sizeof *found);
    if (given == NULL || found == NULL)
        fail(MALFORMED, "golden.json: %lu steps do not fit into memory", (unsigned long)steps);
    for (k = 0; k < batch * steps * MODEL_FEATURES; k++)
        beyond = beyond || is_beyond(input[k], k % MODEL_FEATURES);
    for (stream = 0; stream < batch && !beyond; stream++) {
        for (k = 0; k < steps * MODEL_FEATURES; k++)
            given[k] = (MODEL_INPUT)MODEL_GIVEN(input[stream * steps * MODEL_FEATURES + k],
                                                k % MODEL_FEATURES);
        model_run(states + stream * MODEL_STATE, given, found, steps);
        for (k = 0; k < steps * MODEL_OUTPUTS; k++)
            compare(MODEL_NUMBER(found[k], k % MODEL_OUTPUTS),
                    output[stream * steps * MODEL_OUTPUTS + k], unit_of(k % MODEL_OUTPUTS),
                    &result->outputs, result);
    }
    for (k = 0; k < batch * MODEL_STATE && !beyond; k++)
        compare(states[k] / STATE_UNIT, next_state[k], 1, &result->states, result);
    result->calls += !beyond;
    free(input);
    free(output);
    free(next_state);
    free(given);
    free(found);
    return !beyond;
}

static void replay_trajectory(const cJSON *trajectory, const struct names *names,
                              struct result *result) {
    size_t shape[] = {0, MODEL_ROWS, MODEL_HIDDEN}, k;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(trajectory, "states");
    double *start = tensor(given ? given : trajectory, names->state, shape, 3); /* beside the calls
                                                                                   in format 1 */
    MODEL_WORD *states = malloc(shape[0] * MODEL_STATE * sizeof *states);
    const cJSON *call;
    if (states == NULL)
        fail(MALFORMED, "golden.json: %lu streams do not fit into memory", (unsigned long)shape[0]);
    for (k = 0; k < shape[0] * MODEL_STATE; k++)
        states[k] = TO_STATE(start[k]);
    cJSON_ArrayForEach(call, list(trajectory, "calls")) {
        if (!replay_call(call, names, states, shape[0], result))
            break; /* what comes after it begins elsewhere */
    }
    free(start);
    free(states);
}

/* Microseconds of one step, the state carried on: the fastest of some rounds. */
static double time_step(void) {
    static MODEL_WORD state[MODEL_STATE], output[MODEL_OUTPUTS];
    double fastest = INFINITY;
    int round, step;
    for (round = 0; round < ROUNDS; round++) {
        struct timespec start, end;
        model_init(state);
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (step = 0; step < STEPS; step++) {
#if MODEL_TEXT
            model_step(state, model_vocabulary[1 + step % (MODEL_OUTPUTS - 1)], output);
#else
            static const MODEL_INPUT input[MODEL_FEATURES];
            model_step(state, input, output);
#endif
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        fastest =
            fmin(fastest, (end.tv_sec - start.tv_sec) * 1e6 + (end.tv_nsec - start.tv_nsec) / 1e3);
    }
    return fastest / STEPS;
}

#ifdef MODEL_PROOF
enum { PROVEN_STEPS = 10000 };

static uint64_t digested(uint64_t digest, const int32_t *words, size_t size) {
    size_t k;
    for (k = 0; k < size; k++)
        digest = (digest ^ (uint32_t)words[k]) * UINT64_C(0x100000001b3);
    return digest;
}

/* Whether a long run from inputs of every size gives the very integers of the model in Python:
   FNV-1a of all outputs and of the last state. */
static int is_proven(void) {
    static int32_t state[MODEL_STATE], output[MODEL_OUTPUTS];
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    uint32_t random = 1;
    int step, k;
    model_init(state);
    for (step = 0; step < PROVEN_STEPS; step++) {
        MODEL_INPUT input[MODEL_FEATURES];
        for (k = 0; k < MODEL_FEATURES; k++) {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
#if MODEL_TEXT
            input[k] = random >> 16; /* the place in the vocabulary */
            input[k] = input[k] % MODEL_OUTPUTS ? model_vocabulary[input[k] % MODEL_OUTPUTS] : -1;
#else
            input[k] = (MODEL_INPUT)((int32_t)(random >> 16) - 32768);
#endif
        }
        model_run(state, input, output, 1);
        digest = digested(digest, output, MODEL_OUTPUTS);
    }
    return digested(digest, state, MODEL_STATE) == MODEL_PROOF;
}
#else
static int is_proven(void) { return 1; }
#endif

static void print_number(const char *name, double value) {
    if (isfinite(value))
        printf("\"%s\": %.4g, ", name, value);
    else
        printf("\"%s\": null, ", name);
}

int main(int count, char **arguments) {
    const char *folder = "model";
    struct result result = {0};
    struct names names;
    const cJSON *trajectory, *pair;
    cJSON *manifest, *golden;
    char *name;
    int passed;
    if (count == 3 && strcmp(arguments[1], "--model") == 0)
        folder = arguments[2];
    else if (count != 1)
        fail(WRONG_USAGE, "unknown arguments; usage: %s [--model DIR]", arguments[0]);
    manifest = open_manifest(folder);
    if (strcmp(string(manifest, "checkpoint_sha256"), MODEL_CHECKPOINT) != 0)
        fail(MALFORMED,
             "%s/manifest.json is of another model than this program; "
             "generate the C source anew",
             folder);
    pair = state_pair(manifest);
    names.state = string(pair, "input");
    names.next_state = string(pair, "output");
    names.input = name_of(manifest, "inputs", names.state);
    names.output = name_of(manifest, "outputs", names.next_state);
    golden = read_listed(folder, manifest, "golden.json");
    result.atol = number(member(golden, "tolerance"), "atol");
    result.rtol = number(member(golden, "tolerance"), "rtol");
    if (!(result.atol >= 0 && result.atol <= 1e-5 && result.rtol >= 0 && result.rtol <= 1e-4))
        fail(MALFORMED, "golden.json: a tolerance of %g and %g proves nothing; export it anew",
             result.atol, result.rtol);
#ifdef MODEL_PROOF
    result.atol = MODEL_ATOL;
    result.rtol = MODEL_RTOL;
#endif
    cJSON_ArrayForEach(trajectory, list(golden, "trajectories")) {
        replay_trajectory(trajectory, &names, &result);
    }
    passed = result.share <= 1 && is_proven();
    name = cJSON_PrintUnformatted(member(manifest, "name")); /* with quotes, as JSON has it */
    if (name == NULL)
        fail(MALFORMED, "%s/manifest.json: the name does not fit into memory", folder);
    printf("{\"target\": \"%s\", \"runtime\": \"%s\", \"model\": %s, \"calls\": %d, ", MODEL_TARGET,
           COMPILER, name, result.calls);
    print_number("outputs", result.outputs);
    print_number("states", result.states);
    print_number("share", result.share);
    print_number("microseconds_per_step", time_step());
    printf("\"passed\": %s}\n", passed ? "true" : "false");
    free(name);
    cJSON_Delete(golden);
    cJSON_Delete(manifest);
    return passed ? 0 : MISMATCH;
}
