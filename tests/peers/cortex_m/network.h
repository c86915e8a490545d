/* What the script writes out of an archive into layers.h. Positions are bytes in the activations. */
#include <stddef.h>
#include <stdint.h>

enum kind { CONVOLUTION, SUM, MEAN };

struct size {
    int32_t h, w, c;
};

/* A term of a sum, or its result. */
struct term {
    int32_t zero, multiplier, shift;
};

struct layer {
    enum kind kind;
    size_t x_at, y_at, skip_at;
    struct size in, out;
    int32_t x_zero, y_zero, lo, hi;
    /* Convolutions. */
    int32_t size, stride, pad;
    const int8_t *weights;
    const int32_t *bias, *multipliers, *shifts;
    /* Sums. */
    struct term terms[3];
};

#include "layers.h"
