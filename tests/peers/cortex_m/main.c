/* Runs the network of network.h with CMSIS-NN on each of its pictures and tells, a line each, how many ticks
 * it took and the logits. Says at the end how much memory it took. */
#include <stddef.h>
#include <stdint.h>

#include "arm_nnfunctions.h"
#include "board.h"
#include "network.h"

/* Activations: `BUFFERS` of them, whose sizes the network gives, and what the library asks for besides. */
static int8_t activations[ACTIVATION_BYTES] __attribute__((aligned(16)));
static int8_t scratch[SCRATCH_LIMIT] __attribute__((aligned(16)));
static int32_t scratch_used;

static cmsis_nn_context lend(int32_t bytes)
{
    cmsis_nn_context context = {scratch, bytes};
    if (bytes > SCRATCH_LIMIT)
        fail("a layer wants more scratch than there is\n");
    if (bytes > scratch_used)
        scratch_used = bytes;
    return context;
}

static void run(const struct layer *layer)
{
    const int8_t *x = activations + layer->x_at;
    int8_t *y = activations + layer->y_at;
    const cmsis_nn_dims in = {1, layer->in.h, layer->in.w, layer->in.c};
    const cmsis_nn_dims out = {1, layer->out.h, layer->out.w, layer->out.c};
    const cmsis_nn_tile stride = {layer->stride, layer->stride}, padding = {layer->pad, layer->pad};
    const cmsis_nn_activation limits = {layer->lo, layer->hi};
    arm_cmsis_nn_status status = ARM_CMSIS_NN_FAILURE;
    if (layer->kind == CONVOLUTION) {
        const cmsis_nn_conv_params params = {-layer->x_zero, layer->y_zero, stride, padding, {1, 1}, limits};
        const cmsis_nn_per_channel_quant_params quant = {(int32_t *)layer->multipliers, (int32_t *)layer->shifts};
        const cmsis_nn_dims filter = {out.c, layer->size, layer->size, in.c}, bias = {1, 1, 1, out.c};
        const cmsis_nn_context context =
            lend(arm_convolve_wrapper_s8_get_buffer_size(&params, &in, &filter, &out));
        status = arm_convolve_wrapper_s8(&context, &params, &quant, &in, x, &filter, layer->weights, &bias,
                                         layer->bias, &out, y);
    } else if (layer->kind == SUM) {
        const struct term *a = &layer->terms[0], *b = &layer->terms[1], *o = &layer->terms[2];
        status = arm_elementwise_add_s8(x, activations + layer->skip_at, -a->zero, a->multiplier, a->shift,
                                        -b->zero, b->multiplier, b->shift, 20, y, o->zero, o->multiplier,
                                        o->shift, limits.min, limits.max, out.h * out.w * out.c);
    } else {
        const cmsis_nn_pool_params params = {{1, 1}, {0, 0}, limits};
        const cmsis_nn_context context = lend(arm_avgpool_s8_get_buffer_size(out.w, in.c));
        status = arm_avgpool_s8(&context, &params, &in, x, &in, &out, y);
    }
    if (status != ARM_CMSIS_NN_SUCCESS)
        fail("a layer fails\n");
}

int main(void)
{
    start();
    for (size_t picture = 0; picture < PICTURES; picture++) {
        int8_t *pixels = activations + LAYERS[0].x_at;
        for (size_t i = 0; i < PIXELS; i++)
            pixels[i] = pictures[picture][i];
        const uint32_t before = now();
        for (size_t i = 0; i < sizeof LAYERS / sizeof LAYERS[0]; i++)
            run(&LAYERS[i]);
        say("ticks ");
        say_number(since(before));
        say(" logits");
        for (size_t i = 0; i < CLASSES; i++) {
            say(" ");
            say_number(activations[LOGITS_AT + i] + 128);
        }
        say("\n");
    }
    say("activations ");
    say_number(ACTIVATION_BYTES);
    say(" scratch ");
    say_number(scratch_used);
    say(" stack ");
    say_number(stack_used());
    say(" loop ");
    say_number(loop_ticks());
    say("\n");
    finish();
    return 0;
}
