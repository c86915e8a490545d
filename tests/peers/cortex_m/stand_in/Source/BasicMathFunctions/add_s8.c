#include "arm_nnfunctions.h"

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *a, const int8_t *b, int32_t a_offset, int32_t a_mult,
                                           int32_t a_shift, int32_t b_offset, int32_t b_mult, int32_t b_shift,
                                           int32_t left_shift, int8_t *y, int32_t y_offset, int32_t y_mult,
                                           int32_t y_shift, int32_t min, int32_t max, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const int32_t one = requantized((a[i] + a_offset) * (1 << left_shift), a_mult, a_shift);
        const int32_t other = requantized((b[i] + b_offset) * (1 << left_shift), b_mult, b_shift);
        y[i] = limited(requantized(one + other, y_mult, y_shift) + y_offset, min, max);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
