/* TITLE */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* SIZES */

/* Steps of one stream, or streams, that are computed together, and the bytes of stack which that
   takes, beside some hundred. Machines below 64 bits, and those without an operating system, read
   step by step. Define it for model.c to have it otherwise: no bit of the numbers depends on it. */
#ifndef MODEL_BLOCK
#if SIZE_MAX > 0xffffffff && __STDC_HOSTED__
#define MODEL_BLOCK 8
#else
#define MODEL_BLOCK 1
#endif
#endif
/* SCRATCH */

/* All numbers zero: what a stream starts from. */
void model_init(float *state);

#if TEXT
/* Reads one character, given by its Unicode code point, and carries `state` on. `output` gets the
   logits of the next character; entry k of them belongs to model_vocabulary[k], and
   entry 0 to every character that the vocabulary does not have. */
void model_step(float *state, int64_t input, float *output);

/* The same for `steps` characters; MODEL_OUTPUTS logits for each. */
void model_run(float *state, const int64_t *input, float *output, size_t steps);

/* The same for each of `streams`, whose states, inputs and outputs lie one after another. */
void model_run_batch(float *states, const int64_t *input, float *output, size_t steps,
                     size_t streams);

/* The logits that `state` itself gives, without reading anything. */
void model_logits(const float *state, float *output);

/* The code points of the entries, without meaning at 0. */
extern const int32_t model_vocabulary[MODEL_OUTPUTS];
#else
/* Reads one step, MODEL_FEATURES numbers, and carries `state` on. `output` gets the
   MODEL_OUTPUTS numbers of the next step, in raw units as `input`. */
void model_step(float *state, const float *input, float *output);

/* The same for `steps` steps, one after another. */
void model_run(float *state, const float *input, float *output, size_t steps);

/* The same for each of `streams`, whose states, inputs and outputs lie one after another. */
void model_run_batch(float *states, const float *input, float *output, size_t steps,
                     size_t streams);
#endif

#ifdef __cplusplus
}
#endif

/* For a program that holds one model: define MODEL_NAMES before this header is included, and the
   same is called without the name of the model. */
#ifdef MODEL_NAMES
/* NAMES */
#endif

#endif
