/* A stand-in for CMSIS-NN's header: the part of its interface that main.c uses, for testing the script without
 * the library. The functions beside this compute the same in the plainest way; their speed says nothing. */
#include <stdint.h>

typedef enum { ARM_CMSIS_NN_SUCCESS = 0, ARM_CMSIS_NN_FAILURE = -3 } arm_cmsis_nn_status;

typedef struct {
    void *buf;
    int32_t size;
} cmsis_nn_context;

typedef struct {
    int32_t w, h;
} cmsis_nn_tile;

typedef struct {
    int32_t n, h, w, c;
} cmsis_nn_dims;

typedef struct {
    int32_t min, max;
} cmsis_nn_activation;

typedef struct {
    int32_t *multiplier, *shift;
} cmsis_nn_per_channel_quant_params;

typedef struct {
    int32_t input_offset, output_offset;
    cmsis_nn_tile stride, padding, dilation;
    cmsis_nn_activation activation;
} cmsis_nn_conv_params;

typedef struct {
    cmsis_nn_tile stride, padding;
    cmsis_nn_activation activation;
} cmsis_nn_pool_params;

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *, const cmsis_nn_dims *in,
                                                const cmsis_nn_dims *filter, const cmsis_nn_dims *out);
arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *, const cmsis_nn_conv_params *,
                                            const cmsis_nn_per_channel_quant_params *, const cmsis_nn_dims *in,
                                            const int8_t *x, const cmsis_nn_dims *filter, const int8_t *weights,
                                            const cmsis_nn_dims *biases, const int32_t *bias,
                                            const cmsis_nn_dims *out, int8_t *y);
arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *a, const int8_t *b, int32_t a_offset, int32_t a_mult,
                                           int32_t a_shift, int32_t b_offset, int32_t b_mult, int32_t b_shift,
                                           int32_t left_shift, int8_t *y, int32_t y_offset, int32_t y_mult,
                                           int32_t y_shift, int32_t min, int32_t max, int32_t count);
int32_t arm_avgpool_s8_get_buffer_size(int width, int channels);
arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *, const cmsis_nn_pool_params *, const cmsis_nn_dims *in,
                                   const int8_t *x, const cmsis_nn_dims *filter, const cmsis_nn_dims *out,
                                   int8_t *y);

/* n · multiplier / 2³¹ · 2^shift, rounded half away from zero. */
static inline int32_t requantized(int32_t n, int32_t multiplier, int32_t shift)
{
    const int places = 31 - shift;
    const int64_t product = (int64_t)n * multiplier, half = (int64_t)1 << (places - 1);
    return (int32_t)((product >= 0 ? product + half : product + half - 1) >> places);
}

static inline int8_t limited(int32_t n, int32_t min, int32_t max) { return n < min ? min : n > max ? max : n; }
