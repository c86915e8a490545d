/* Prints what the library answers on each record of a CIFAR file, for a comparison with `runtime`:
 * the record's number, then the bits of each score, then the bits of each logit.
 */

#include <foldnet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, CLASSES = 10 };

static void bits(const float *values)
{
    for (size_t i = 0; i < CLASSES; i++) {
        uint32_t pattern;
        memcpy(&pattern, &values[i], sizeof pattern);
        printf(" %08" PRIx32, pattern);
    }
}

int main(int argc, char **argv)
{
    foldnet_options options = {0};
    options.threads = 1;
    foldnet_classifier *classifier;
    if (argc != 3 || foldnet_open(argv[1], &options, &classifier) != FOLDNET_STATUS_OK) {
        fprintf(stderr, "usage: answers ARCHIVE RECORDS: %s\n", foldnet_last_error());
        return 2;
    }
    FILE *records = fopen(argv[2], "rb");
    uint8_t record[1 + 3 * PLANE], pixels[3 * PLANE];
    foldnet_image image = {0};
    image.width = image.height = SIDE;
    image.planes[0].data = pixels;
    image.planes[0].size = sizeof pixels;
    int number = 0;
    while (records != NULL && fread(record, 1, sizeof record, records) == sizeof record) {
        for (size_t i = 0; i < PLANE; i++)
            for (size_t c = 0; c < 3; c++)
                pixels[3 * i + c] = record[1 + c * PLANE + i];
        float scores[CLASSES], logits[CLASSES];
        if (foldnet_scores(classifier, &image, scores, CLASSES) != FOLDNET_STATUS_OK ||
            foldnet_logits(classifier, &image, logits, CLASSES) != FOLDNET_STATUS_OK) {
            fprintf(stderr, "record %d: %s\n", number, foldnet_last_error());
            return 1;
        }
        printf("%d", number++);
        bits(scores);
        bits(logits);
        printf("\n");
    }
    if (records != NULL)
        fclose(records);
    foldnet_close(&classifier);
    return number == 0;
}
