/* A program for a processor without a system, which holds a model, one stream, and nothing else. */
#define MODEL_NAMES
#include "model.h"

static MODEL_INPUT input[MODEL_FEATURES];
static MODEL_WORD state[MODEL_STATE], output[MODEL_OUTPUTS];

/* Compilers ask a C library for these. */
void *memset(void *to, int byte, size_t size) {
    volatile char *at = to;
    while (size--)
        *at++ = (char)byte;
    return to;
}

void *memcpy(void *to, const void *from, size_t size) {
    volatile char *at = to;
    const char *next = from;
    while (size--)
        *at++ = *next++;
    return to;
}

void reset(void) {
    model_init(state);
    for (;;)
        model_run(state, input, output, 1);
}
