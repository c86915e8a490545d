/* Classifies RGB pixels from standard input:
 *
 *     ffmpeg -i photo.jpg -f rawvideo -pix_fmt rgb24 - | ./classify model.nnef.tgz 640 480
 */

#include <foldnet.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, foldnet_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s ARCHIVE WIDTH HEIGHT <PIXELS\n", argv[0]);
        return 2;
    }
    const char *archive = argv[1];
    const unsigned width = (unsigned)strtoul(argv[2], NULL, 10);
    const unsigned height = (unsigned)strtoul(argv[3], NULL, 10);

    foldnet_classifier *classifier;
    if (foldnet_open(archive, NULL, &classifier) != FOLDNET_STATUS_OK)
        return failed(archive);

    const size_t size = (size_t)3 * width * height;
    uint8_t *pixels = malloc(size > 0 ? size : 1);
    int status = 1;
    if (pixels == NULL || fread(pixels, 1, size, stdin) != size) {
        fprintf(stderr, "standard input: not %zu bytes\n", size);
    } else {
        foldnet_image image = {0};
        image.format = FOLDNET_FORMAT_RGB;
        image.width = width;
        image.height = height;
        image.planes[0].data = pixels;
        image.planes[0].size = size;

        foldnet_result results[3];
        size_t count;
        if (foldnet_classify(classifier, &image, results, 3, &count) != FOLDNET_STATUS_OK) {
            failed("standard input");
        } else {
            for (size_t i = 0; i < count; i++)
                printf("%-24s %5.1f %%\n", results[i].label, 100 * (double)results[i].score);
            status = 0;
        }
    }
    free(pixels);
    foldnet_close(&classifier);
    return status;
}
