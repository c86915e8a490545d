#include "arm_nnfunctions.h"

int32_t arm_avgpool_s8_get_buffer_size(int width, int channels)
{
    (void)width, (void)channels;
    return 0;
}

/* Of the whole picture. */
arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *context, const cmsis_nn_pool_params *params,
                                   const cmsis_nn_dims *in, const int8_t *x, const cmsis_nn_dims *filter,
                                   const cmsis_nn_dims *out, int8_t *y)
{
    (void)context, (void)filter, (void)out;
    const int32_t count = in->h * in->w;
    for (int32_t c = 0; c < in->c; c++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < count; i++)
            sum += x[i * in->c + c];
        y[c] = limited((sum + (sum > 0 ? count : -count) / 2) / count, params->activation.min, params->activation.max);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
