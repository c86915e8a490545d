/* What must be an error, and what must not leak, race or read beyond its memory. Runs under sanitizers and Valgrind.
 *
 *     ./misuse ARCHIVE        an archive whose network reads 32×32 RGB and has 10 classes
 */

#include <foldnet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, BYTES = 3 * SIDE * SIDE, CLASSES = 10, ROUNDS = 50 };

#define CHECK(condition)                                                                             \
    do {                                                                                             \
        if (!(condition)) {                                                                          \
            fprintf(stderr, "%s:%d: %s fails (%s)\n", __FILE__, __LINE__, #condition,                \
                    foldnet_last_error());                                                           \
            exit(1);                                                                                 \
        }                                                                                            \
    } while (0)

/* Pixels whose memory ends with the last one. */
static uint8_t *pixels(size_t bytes)
{
    uint8_t *memory = malloc(bytes);
    CHECK(memory != NULL);
    for (size_t i = 0; i < bytes; i++)
        memory[i] = (uint8_t)(i * 37);
    return memory;
}

static foldnet_image rgb(const uint8_t *data, size_t size)
{
    foldnet_image image;
    memset(&image, 0, sizeof image);
    image.width = image.height = SIDE;
    image.planes[0].data = data;
    image.planes[0].size = size;
    return image;
}

static void refuses_what_it_cannot_use(foldnet_classifier *classifier)
{
    uint8_t *data = pixels(BYTES);
    foldnet_image image = rgb(data, BYTES);
    float out[CLASSES];
    CHECK(foldnet_logits(classifier, &image, out, CLASSES) == FOLDNET_STATUS_OK);
    CHECK(foldnet_logits(classifier, &image, out, CLASSES - 1) == FOLDNET_STATUS_SIZE);
    CHECK(foldnet_logits(classifier, &image, NULL, CLASSES) == FOLDNET_STATUS_NULL);
    CHECK(foldnet_logits(classifier, NULL, out, CLASSES) == FOLDNET_STATUS_NULL);
    CHECK(foldnet_logits(NULL, &image, out, CLASSES) == FOLDNET_STATUS_NULL);
    CHECK(strlen(foldnet_last_error()) > 0);
    image.planes[0].size = BYTES - 1;
    CHECK(foldnet_logits(classifier, &image, out, CLASSES) == FOLDNET_STATUS_IMAGE);
    image = rgb(data, BYTES);
    image.planes[0].stride = 3 * SIDE - 1;
    CHECK(foldnet_logits(classifier, &image, out, CLASSES) == FOLDNET_STATUS_IMAGE);
    image = rgb(data, BYTES);
    image.format = 99;
    CHECK(foldnet_logits(classifier, &image, out, CLASSES) == FOLDNET_STATUS_ARGUMENT);
    free(data);
}

/* Bytes of a row and number of rows of each plane. */
static void planes_of(uint32_t format, size_t side, size_t row[3], size_t rows[3])
{
    const size_t half = (side + 1) / 2;
    memset(row, 0, 3 * sizeof *row);
    memset(rows, 0, 3 * sizeof *rows);
    row[0] = rows[0] = side;
    switch (format) {
    case FOLDNET_FORMAT_RGB:
    case FOLDNET_FORMAT_BGR:
        row[0] = 3 * side;
        break;
    case FOLDNET_FORMAT_RGBX:
    case FOLDNET_FORMAT_BGRX:
        row[0] = 4 * side;
        break;
    case FOLDNET_FORMAT_YUYV:
        row[0] = 4 * half;
        break;
    case FOLDNET_FORMAT_NV12:
        row[1] = 2 * half, rows[1] = half;
        break;
    case FOLDNET_FORMAT_I420:
        row[1] = row[2] = half, rows[1] = rows[2] = half;
        break;
    case FOLDNET_FORMAT_I422:
        row[1] = row[2] = half, rows[1] = rows[2] = side;
        break;
    case FOLDNET_FORMAT_I444:
        row[1] = row[2] = side, rows[1] = rows[2] = side;
        break;
    default:
        break;
    }
}

/* Planes whose memory ends with their last pixel, and with margins that only the last row lacks. */
static void reads_no_byte_beyond_any_format(foldnet_classifier *classifier)
{
    for (uint32_t format = FOLDNET_FORMAT_RGB; format <= FOLDNET_FORMAT_I444; format++) {
        static const uint32_t sides[] = {1, 2, 3, 16, 33, 70};
        for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
            const uint32_t side = sides[s];
            size_t row[3], rows[3];
            planes_of(format, side, row, rows);
            for (size_t margin = 0; margin < 8; margin += 7) {
                uint8_t *planes[3] = {NULL, NULL, NULL};
                foldnet_image image;
                memset(&image, 0, sizeof image);
                image.format = format;
                image.width = image.height = side;
                for (size_t i = 0; i < 3 && rows[i] > 0; i++) {
                    const size_t stride = row[i] + margin;
                    image.planes[i].size = stride * (rows[i] - 1) + row[i];
                    image.planes[i].stride = stride;
                    image.planes[i].data = planes[i] = pixels(image.planes[i].size);
                }
                float out[CLASSES];
                CHECK(foldnet_logits(classifier, &image, out, CLASSES) == FOLDNET_STATUS_OK);
                for (size_t i = 0; i < 3 && rows[i] > 0; i++) {
                    image.planes[i].size--;
                    CHECK(foldnet_logits(classifier, &image, out, CLASSES) == FOLDNET_STATUS_IMAGE);
                    image.planes[i].size++;
                }
                for (size_t i = 0; i < 3; i++)
                    free(planes[i]);
            }
        }
    }
}

static void closes_once(const char *archive)
{
    foldnet_classifier *classifier = NULL;
    CHECK(foldnet_open(archive, NULL, &classifier) == FOLDNET_STATUS_OK);
    foldnet_close(&classifier);
    CHECK(classifier == NULL);
    foldnet_close(&classifier);
    foldnet_close(NULL);
    foldnet_description about;
    CHECK(foldnet_describe(classifier, &about) == FOLDNET_STATUS_NULL);
    CHECK(foldnet_label(classifier, 0) == NULL);
    CHECK(foldnet_open("no such file", NULL, &classifier) == FOLDNET_STATUS_FILE && classifier == NULL);
    CHECK(foldnet_read((const uint8_t *)"x", 1, NULL, &classifier) == FOLDNET_STATUS_ARCHIVE);
}

struct shared {
    foldnet_classifier *classifier;
    const float *expected;
    int answered;
};

/* A classifier that two threads use at the same time answers right or not at all. */
static void *hammer(void *argument)
{
    struct shared *shared = argument;
    uint8_t *data = pixels(BYTES);
    foldnet_image image = rgb(data, BYTES);
    for (int i = 0; i < ROUNDS; i++) {
        float out[CLASSES];
        foldnet_status status = foldnet_logits(shared->classifier, &image, out, CLASSES);
        CHECK(status == FOLDNET_STATUS_OK || status == FOLDNET_STATUS_BUSY);
        if (status == FOLDNET_STATUS_OK) {
            CHECK(memcmp(out, shared->expected, sizeof out) == 0);
            shared->answered++;
        }
    }
    free(data);
    return NULL;
}

static void threads_do_not_race(foldnet_classifier *classifier)
{
    uint8_t *data = pixels(BYTES);
    foldnet_image image = rgb(data, BYTES);
    float expected[CLASSES];
    CHECK(foldnet_logits(classifier, &image, expected, CLASSES) == FOLDNET_STATUS_OK);
    free(data);
    pthread_t threads[2];
    struct shared shared[2];
    for (int i = 0; i < 2; i++) {
        shared[i].classifier = classifier;
        shared[i].expected = expected;
        shared[i].answered = 0;
        CHECK(pthread_create(&threads[i], NULL, hammer, &shared[i]) == 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(shared[0].answered + shared[1].answered > 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    foldnet_options options;
    memset(&options, 0, sizeof options);
    options.threads = 1;
    foldnet_classifier *classifier;
    CHECK(foldnet_open(argv[1], &options, &classifier) == FOLDNET_STATUS_OK);
    refuses_what_it_cannot_use(classifier);
    reads_no_byte_beyond_any_format(classifier);
    threads_do_not_race(classifier);
    closes_once(argv[1]);
    foldnet_close(&classifier);
    printf("misuse: every check passed\n");
    return 0;
}
