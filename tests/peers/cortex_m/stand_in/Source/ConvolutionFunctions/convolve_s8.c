#include "arm_nnfunctions.h"

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *params, const cmsis_nn_dims *in,
                                                const cmsis_nn_dims *filter, const cmsis_nn_dims *out)
{
    (void)params, (void)in, (void)filter, (void)out;
    return 0;
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *context, const cmsis_nn_conv_params *params,
                                            const cmsis_nn_per_channel_quant_params *quant,
                                            const cmsis_nn_dims *in, const int8_t *x,
                                            const cmsis_nn_dims *filter, const int8_t *weights,
                                            const cmsis_nn_dims *biases, const int32_t *bias,
                                            const cmsis_nn_dims *out, int8_t *y)
{
    (void)context, (void)biases;
    for (int32_t row = 0; row < out->h; row++)
        for (int32_t column = 0; column < out->w; column++)
            for (int32_t channel = 0; channel < out->c; channel++) {
                int32_t sum = bias[channel];
                const int8_t *w = weights + channel * filter->h * filter->w * in->c;
                for (int32_t i = 0; i < filter->h; i++)
                    for (int32_t j = 0; j < filter->w; j++, w += in->c) {
                        const int32_t h = row * params->stride.h - params->padding.h + i;
                        const int32_t v = column * params->stride.w - params->padding.w + j;
                        if (h < 0 || h >= in->h || v < 0 || v >= in->w)
                            continue;
                        const int8_t *pixel = x + (h * in->w + v) * in->c;
                        for (int32_t c = 0; c < in->c; c++)
                            sum += (pixel[c] + params->input_offset) * w[c];
                    }
                sum = requantized(sum, quant->multiplier[channel], quant->shift[channel]) + params->output_offset;
                *y++ = limited(sum, params->activation.min, params->activation.max);
            }
    return ARM_CMSIS_NN_SUCCESS;
}
