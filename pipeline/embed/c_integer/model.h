/* TITLE */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* SIZES */

/* All numbers zero: what a stream starts from. A state is in units of 1 / 2^MODEL_STATE_BITS. */
void model_init(int32_t *state);

#if TEXT
/* Reads one character, given by its Unicode code point, and carries `state` on. `output` gets the
   logits of the next character, in units of 1 / 2^MODEL_OUTPUT_BITS; entry k of them belongs to
   model_vocabulary[k], and entry 0 to every character that the vocabulary does not have. */
void model_step(int32_t *state, int64_t input, int32_t *output);

/* The same for `steps` characters; MODEL_OUTPUTS logits for each. */
void model_run(int32_t *state, const int64_t *input, int32_t *output, size_t steps);

/* The logits that `state` itself gives, without reading anything. */
void model_logits(const int32_t *state, int32_t *output);

/* The code points of the entries, without meaning at 0. */
extern const int32_t model_vocabulary[MODEL_OUTPUTS];
#else
/* Reads one step, MODEL_FEATURES numbers, and carries `state` on. A number is a distance from the
   mean in deviations, in units of 1 / 2^MODEL_INPUT_BITS. `output` gets the MODEL_OUTPUTS numbers of
   the next step, also distances from their means, in units of 1 / 2^MODEL_OUTPUT_BITS. */
void model_step(int32_t *state, const int16_t *input, int32_t *output);

/* The same for `steps` steps, one after another. */
void model_run(int32_t *state, const int16_t *input, int32_t *output, size_t steps);

/* What a number of the series is as an input, and an output as a number of the series; a distance
   that is too large for an input becomes the largest there is. Only these two compute with floats:
   a program that links sections (-Wl,--gc-sections) and calls neither has none. */
int16_t model_input(float number, size_t feature);
float model_number(int32_t output, size_t target);
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
