/* Prints the logits of PPM images that follow each other in a file: for each image a line of the bits of each logit, as
 * eight hexadecimal digits. The network's output must be plain numbers, so that its scores are its logits.
 */

#include <foldnet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
    fprintf(stderr, "logits: %s: %s\n", what, foldnet_last_error());
    return 1;
}

/* The next image, whose pixels the caller frees; 0 at the end of the file. */
static int next(FILE *file, foldnet_image *image)
{
    unsigned width, height;
    if (fscanf(file, "P6 %u %u 255", &width, &height) != 2 || fgetc(file) != '\n')
        return 0;
    size_t size = (size_t)3 * width * height;
    uint8_t *pixels = malloc(size);
    memset(image, 0, sizeof *image);
    image->width = width;
    image->height = height;
    image->planes[0].data = pixels;
    image->planes[0].size = pixels == NULL ? 0 : fread(pixels, 1, size, file);
    return 1;
}

int main(int argc, char **argv)
{
    foldnet_options options = {0};
    options.threads = 1;
    foldnet_classifier *classifier;
    foldnet_description about;
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (file == NULL)
        return fail("usage: logits ARCHIVE IMAGES");
    if (foldnet_open(argv[1], &options, &classifier) != FOLDNET_STATUS_OK ||
        foldnet_describe(classifier, &about) != FOLDNET_STATUS_OK)
        return fail(argv[1]);
    size_t count = about.logits;
    float *logits = calloc(2 * count, sizeof *logits), *scores = logits + count;
    if (logits == NULL || about.shares || about.scores != count)
        return fail("the network's output are not plain numbers");
    foldnet_image image;
    while (next(file, &image)) {
        if (foldnet_logits(classifier, &image, logits, count) != FOLDNET_STATUS_OK ||
            foldnet_scores(classifier, &image, scores, count) != FOLDNET_STATUS_OK)
            return fail("an image");
        if (memcmp(logits, scores, count * sizeof *logits) != 0)
            return fail("scores are not the logits");
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, &logits[i], sizeof bits);
            printf("%s%08" PRIx32, i > 0 ? " " : "", bits);
        }
        printf("\n");
        free((void *)image.planes[0].data);
    }
    free(logits);
    fclose(file);
    foldnet_close(&classifier);
    return 0;
}
