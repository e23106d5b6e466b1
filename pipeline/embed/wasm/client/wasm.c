/* The model as a WebAssembly module: one step of the numbers that lie in its memory. */
#define MODEL_NAMES
#include "model.h"

static float state[MODEL_STATE], output[MODEL_OUTPUTS];
static double input[MODEL_FEATURES]; /* the features, or the code point of a character */

static const char checkpoint[] = MODEL_CHECKPOINT;

/* Where they lie, and how many there are. */
static const int32_t layout[] = {
    (int32_t)state,  MODEL_STATE,   (int32_t)input,      MODEL_FEATURES,
    (int32_t)output, MODEL_OUTPUTS, (int32_t)checkpoint, sizeof checkpoint - 1,
};

__attribute__((export_name("layout"))) const int32_t *export_layout(void) { return layout; }

__attribute__((export_name("step"))) void export_step(void) {
    MODEL_INPUT given[MODEL_FEATURES];
    int k;
    for (k = 0; k < MODEL_FEATURES; k++)
        given[k] = (MODEL_INPUT)input[k];
    model_run(state, given, output, 1);
}

#if MODEL_TEXT
__attribute__((export_name("logits"))) void export_logits(void) { model_logits(state, output); }
#endif
