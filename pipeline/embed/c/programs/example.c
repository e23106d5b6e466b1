/* Uses the model: writes text, or reads a series from standard input, one step a line with commas
   between its features, and prints what is forecast for the step after it. */
#define MODEL_NAMES
#include "fail.h"
#include "model.h"
#include "sampler.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if MODEL_TEXT
/* The number that is all of `text`, between two bounds. */
static double number(const char *option, const char *text, double least, double most,
                     int is_whole) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most) ||
        (is_whole && value != floor(value)))
        fail(WRONG_USAGE, "%s cannot be '%s'; give a %snumber from %g to %g", option, text,
             is_whole ? "whole " : "", least, most);
    return value;
}

/* The code point that UTF-8 text begins with; `text` moves on behind it. */
static int64_t next_point(const char **text) {
    static const int64_t least[] = {0, 0x80, 0x800,
                                    0x10000}; /* by the number of bytes that follow */
    const unsigned char *byte = (const unsigned char *)*text;
    int more = (*byte >= 0x80) + (*byte >= 0xe0) + (*byte >= 0xf0), k;
    int64_t point = more == 0 ? *byte : *byte & (0x3f >> more);
    int is_valid = *byte < 0x80 || (*byte >= 0xc2 && *byte < 0xf5);
    for (k = 1; k <= more && is_valid; k++) {
        is_valid = (byte[k] & 0xc0) == 0x80;
        point = point << 6 | (byte[k] & 0x3f);
    }
    if (!is_valid || point < least[more] || point > 0x10ffff || (point & ~0x7ff) == 0xd800)
        fail(WRONG_USAGE, "the prompt is not UTF-8; give it in UTF-8");
    *text += more + 1;
    return point;
}

static void put_point(int32_t point) {
    int more = (point >= 0x80) + (point >= 0x800) + (point >= 0x10000);
    if (more == 0)
        putchar(point);
    else
        putchar((0xff00 >> (more + 1) & 0xff) | point >> 6 * more);
    while (more-- > 0)
        putchar(0x80 | (point >> 6 * more & 0x3f));
    fflush(stdout);
}

int main(int count, char **arguments) {
    static MODEL_WORD state[MODEL_STATE], output[MODEL_OUTPUTS];
    static float logits[MODEL_OUTPUTS];
    const char *prompt = "";
    long length = 200;
    struct sampling sampling = {1.0f, 0, 1.0f};
    uint32_t random = seeded(1);
    int k;
    for (k = 1; k < count; k++) {
        char *option = arguments[k], *value = strchr(option, '=');
        if (value != NULL)
            *value++ = '\0';
        else if ((value = arguments[++k]) == NULL)
            fail(WRONG_USAGE, "%s has no value; give one", option);
        if (strcmp(option, "--prompt") == 0)
            prompt = value;
        else if (strcmp(option, "--length") == 0)
            length = (long)number(option, value, 0, 2e9, 1);
        else if (strcmp(option, "--temperature") == 0)
            sampling.temperature = (float)number(option, value, 0, 1e30, 0);
        else if (strcmp(option, "--top-k") == 0)
            sampling.top_k = (long)number(option, value, 0, 2e9, 1);
        else if (strcmp(option, "--top-p") == 0)
            sampling.top_p = (float)number(option, value, 1e-30, 1, 0);
        else if (strcmp(option, "--seed") == 0)
            random = seeded((uint32_t)(int64_t)number(option, value, -9e15, 9e15, 1));
        else
            fail(WRONG_USAGE,
                 "no option is called %s; there are --prompt, --length, "
                 "--temperature, --top-k, --top-p and --seed",
                 option);
    }
    model_init(state);
    model_logits(state, output);
    while (*prompt != '\0')
        model_step(state, next_point(&prompt), output);
    while (length-- > 0) {
        int32_t point;
        for (k = 0; k < MODEL_OUTPUTS; k++)
            logits[k] = MODEL_NUMBER(output[k], k);
        point = model_vocabulary[sample(logits, next_uniform(&random), &sampling)];
        put_point(point);
        model_step(state, point, output);
    }
    putchar('\n');
    return 0;
}

#else
int main(int count, char **arguments) {
    static MODEL_WORD state[MODEL_STATE], output[MODEL_OUTPUTS];
    static MODEL_INPUT input[MODEL_FEATURES];
    static char line[64 * MODEL_FEATURES + 64];
    unsigned long row;
    int k;
    if (count > 1)
        fail(WRONG_USAGE, "unknown argument %s; give the series on standard input", arguments[1]);
    model_init(state);
    for (row = 1; fgets(line, sizeof line, stdin) != NULL; row++) {
        char *next = line, *end;
        line[strcspn(line, "\r\n")] = '\0';
        for (k = 0; k < MODEL_FEATURES; k++, next = end + 1) {
            float number = strtof(next, &end);
            input[k] = MODEL_GIVEN(number, k);
            end += strspn(end, " \t");
            if (end == next || !isfinite(number) || *end != (k + 1 < MODEL_FEATURES ? ',' : '\0'))
                fail(MALFORMED,
                     "line %lu of standard input is not %d numbers with commas between "
                     "them; mend it",
                     row, MODEL_FEATURES);
        }
        model_step(state, input, output);
        for (k = 0; k < MODEL_OUTPUTS; k++)
            printf("%s%.9g", k ? "," : "", MODEL_NUMBER(output[k], k));
        putchar('\n');
        fflush(stdout);
    }
    return 0;
}
#endif
