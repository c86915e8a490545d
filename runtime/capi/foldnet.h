/* Foldnet: classify images with int8 residual networks.
 *
 * Made by cbindgen from runtime/capi/src; do not edit.
 *
 * Pointers: one that is not NULL points to what its type promises. NULL is an error unless a function allows it.
 *
 * Errors: functions return FOLDNET_STATUS_OK or what went wrong; foldnet_last_error() describes it. Unless a function
 * says otherwise, it has written nothing to its results when it fails.
 *
 * Threads: different classifiers are independent. One classifier answers one call at a time; a second call at the same
 * time returns FOLDNET_STATUS_BUSY. foldnet_describe() and foldnet_label() may be called at any time. No call may
 * overlap with foldnet_close() of its classifier. The library has no global state; error messages belong to threads.
 *
 * Memory: the caller owns what it passes in. Nothing is kept after a call but what foldnet_open() and foldnet_read()
 * made of the archive. A frame is read where it lies, and no call after the first of a frame size allocates.
 */

#ifndef FOLDNET_H
#define FOLDNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOLDNET_VERSION_MAJOR 0
#define FOLDNET_VERSION_MINOR 1
#define FOLDNET_VERSION_PATCH 0

// How a call ended. Further codes may be added.
typedef enum foldnet_status {
  // As it should.
  FOLDNET_STATUS_OK = 0,
  // A pointer is NULL that must not be. A classifier that was closed is NULL, too.
  FOLDNET_STATUS_NULL = 1,
  // An argument has no meaning: an unknown format, a name that is not UTF-8.
  FOLDNET_STATUS_ARGUMENT = 2,
  // An array of the caller has another length than the result.
  FOLDNET_STATUS_SIZE = 3,
  // The image's planes do not hold an image of its size and format.
  FOLDNET_STATUS_IMAGE = 4,
  // The archive cannot be read.
  FOLDNET_STATUS_FILE = 5,
  // What was read is not an archive of this version.
  FOLDNET_STATUS_ARCHIVE = 6,
  // The kernel set does not exist or does not run on this processor.
  FOLDNET_STATUS_KERNELS = 7,
  // The network needs more memory or threads than there are.
  FOLDNET_STATUS_RESOURCES = 8,
  // The network does not end in a layer that has features in front of it.
  FOLDNET_STATUS_NO_FEATURES = 9,
  // Another thread is using the classifier.
  FOLDNET_STATUS_BUSY = 10,
  // A fault of this library. The classifier answers nothing else from now on; close it.
  FOLDNET_STATUS_INTERNAL = 11,
} foldnet_status;

// How the pixels of an image lie in memory, rows from the top.
typedef enum foldnet_format {
  // One plane of `R G B`.
  FOLDNET_FORMAT_RGB = 0,
  // One plane of `B G R`, as OpenCV has it.
  FOLDNET_FORMAT_BGR = 1,
  // One plane of `R G B X`; the fourth byte is not read.
  FOLDNET_FORMAT_RGBX = 2,
  // One plane of `B G R X`; the fourth byte is not read.
  FOLDNET_FORMAT_BGRX = 3,
  // One plane of one byte a pixel.
  FOLDNET_FORMAT_GREY = 4,
  // One plane of `Y0 U Y1 V`.
  FOLDNET_FORMAT_YUYV = 5,
  // A plane of Y, and one of `U V` pairs for 2×2 pixels each.
  FOLDNET_FORMAT_NV12 = 6,
  // Planes of Y, U and V; a chroma sample for 2×2 pixels.
  FOLDNET_FORMAT_I420 = 7,
  // Planes of Y, U and V; a chroma sample for 2×1 pixels.
  FOLDNET_FORMAT_I422 = 8,
  // Planes of Y, U and V of the same size.
  FOLDNET_FORMAT_I444 = 9,
} foldnet_format;

// The weights that make Y.
typedef enum foldnet_matrix {
  // ITU-R BT.601: standard definition, most webcams, JPEG.
  FOLDNET_MATRIX_BT601 = 0,
  // ITU-R BT.709: high definition.
  FOLDNET_MATRIX_BT709 = 1,
} foldnet_matrix;

// The codes of black and white.
typedef enum foldnet_range {
  // Y from 16 to 235, chroma from 16 to 240.
  FOLDNET_RANGE_LIMITED = 0,
  // 0 to 255.
  FOLDNET_RANGE_FULL = 1,
} foldnet_range;

// A network that classifies images.
typedef struct foldnet_classifier foldnet_classifier;

// How a classifier runs. All zero, as `{0}` makes it, is the default.
typedef struct foldnet_options {
  // Threads; 0 means one per core.
  uint32_t threads;
  // Name of a kernel set, as `runtime kernels` lists them; NULL means the fastest one.
  const char *kernels;
} foldnet_options;

// What a classifier reads and returns.
typedef struct foldnet_description {
  // Rows of the pixels that the network reads. Images of other sizes are resized as the archive describes.
  size_t height;
  // Columns of the pixels that the network reads.
  size_t width;
  // Channels of the pixels that the network reads: 3 for RGB, 1 for grey.
  size_t channels;
  // Length of the result of foldnet_scores(), and the number of labels.
  size_t scores;
  // Length of the result of foldnet_logits().
  size_t logits;
  // Length of the result of foldnet_features(); 0 if the network has none.
  size_t features;
  // Threads in use.
  size_t threads;
  // The kernel set in use. Valid until the classifier is closed.
  const char *kernels;
  // Whether scores are shares of 1. Otherwise they are plain numbers, as in regression.
  bool shares;
} foldnet_description;

// One plane of an image.
typedef struct foldnet_plane {
  // The first row.
  const uint8_t *data;
  // Bytes that may be read from `data` on. The last row may end where its pixels do.
  size_t size;
  // Bytes from one row to the next; 0 if rows follow each other without a gap.
  size_t stride;
} foldnet_plane;

// An image. Fields that are zero have their usual meaning, so `{0}` is a good start.
typedef struct foldnet_image {
  // A `foldnet_format`.
  uint32_t format;
  // Pixels per row, from 1 to 8192.
  uint32_t width;
  // Rows, from 1 to 8192. An image has at most 48 MB.
  uint32_t height;
  // A `foldnet_matrix`; not read for RGB and grey.
  uint32_t matrix;
  // A `foldnet_range`; not read for RGB and grey.
  uint32_t range;
  // As many as the format has; the others are not read.
  struct foldnet_plane planes[3];
} foldnet_image;

// A class, and how much speaks for it.
typedef struct foldnet_result {
  // Its name, see foldnet_label().
  const char *label;
  // Index of the class.
  size_t index;
  // A share of 1, or a plain number if the output is one; see `foldnet_description`.
  float score;
} foldnet_result;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens an archive that `converter quantize` has written. `path` is in the file system's encoding (UTF-8 on Windows).
// `options` may be NULL. `*out` becomes NULL if this fails, and is to be closed with foldnet_close() otherwise.
enum foldnet_status foldnet_open(const char *path,
                                 const struct foldnet_options *options,
                                 struct foldnet_classifier **out);

// The same of an archive in memory, `size` bytes from `archive` on. They are not needed any more afterwards.
enum foldnet_status foldnet_read(const uint8_t *archive,
                                 size_t size,
                                 const struct foldnet_options *options,
                                 struct foldnet_classifier **out);

// Closes a classifier and makes the pointer to it NULL, so that a later use of it is an error. NULL, or a pointer to
// NULL, is allowed and does nothing. No other call may be using the classifier.
void foldnet_close(struct foldnet_classifier **classifier);

// What a classifier reads and returns.
enum foldnet_status foldnet_describe(const struct foldnet_classifier *classifier,
                                     struct foldnet_description *out);

// The name of a class in UTF-8, or NULL if there is no such class. Valid until the classifier is closed.
const char *foldnet_label(const struct foldnet_classifier *classifier,
                          size_t index);

// Classifies an image. Writes the best `size` classes to `results`, or all if there are fewer, the best first, and their
// number to `*count`. Equal scores stand in the order of their indices.
enum foldnet_status foldnet_classify(struct foldnet_classifier *classifier,
                                     const struct foldnet_image *image,
                                     struct foldnet_result *results,
                                     size_t size,
                                     size_t *count);

// Writes the score of each class to `scores`, in the order of the classes. `size` is `foldnet_description.scores`.
enum foldnet_status foldnet_scores(struct foldnet_classifier *classifier,
                                   const struct foldnet_image *image,
                                   float *scores,
                                   size_t size);

// Writes the network's own numbers to `logits`, before softmax or sigmoid. `size` is `foldnet_description.logits`.
enum foldnet_status foldnet_logits(struct foldnet_classifier *classifier,
                                   const struct foldnet_image *image,
                                   float *logits,
                                   size_t size);

// Writes the numbers in front of the network's last layer to `features`, by which images can be compared. `size` is
// `foldnet_description.features`.
enum foldnet_status foldnet_features(struct foldnet_classifier *classifier,
                                     const struct foldnet_image *image,
                                     float *features,
                                     size_t size);

// What went wrong in the last call of this thread that failed, in UTF-8; an empty string if none did. Valid until the
// next call of this thread that fails.
const char *foldnet_last_error(void);

// The version of the library, such as "0.1.0".
const char *foldnet_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FOLDNET_H */
