/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver of one accelerator, for bare metal and Linux. C99; nothing is allocated, and no function
 * of an operating system is called. bnn_design.h has the constants of the design.
 *
 *     bnn_device device = {0};
 *     device.registers = (volatile uint32_t *)BNN_BASE;
 *     device.memory = area;
 *     device.memory_address = (uintptr_t)area;
 *     device.memory_bytes = sizeof area;
 *     int code = bnn_open(&device);
 *     if (!code) code = bnn_load(&device, bnn_parameters, BNN_PARAMETER_WORDS);
 *     if (!code) code = bnn_put(&device, 0, image);
 *     if (!code) code = bnn_start(&device, 1);
 *     if (!code) code = bnn_wait(&device);
 *     if (!code) code = bnn_scores(&device, 0, scores);
 *     if (code) puts(bnn_error_text(code));
 *
 * One thread at a time may use a device.
 */
#ifndef BNN_DRIVER_H
#define BNN_DRIVER_H
#include "bnn_design.h"
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* What a function returns: 0, or one of these. */
enum {
    BNN_OK = 0,
    BNN_E_ARGUMENT = 1,    /* an argument or a field of the device is wrong */
    BNN_E_MEMORY = 2,      /* the memory area cannot be used, or is too small */
    BNN_E_NO_ANSWER = 3,   /* no accelerator of bnn answers */
    BNN_E_DESIGN = 4,      /* the accelerator has another design */
    BNN_E_RUNNING = 5,     /* the accelerator computes already */
    BNN_E_PARAMETERS = 6,  /* the parameters are not those of this design */
    BNN_E_UNLOADED = 7,    /* the accelerator does not have these parameters */
    BNN_E_VALUE = 8,       /* an input value is outside its range */
    BNN_E_IMAGES = 9,      /* number of images: 0, or more than bnn_capacity */
    BNN_E_STATE = 10,      /* this function cannot be called now */
    BNN_E_TIMEOUT = 11,    /* the accelerator does not finish */
    BNN_E_LOST = 12,       /* an earlier error: load the bitstream, then call bnn_open */
    BNN_E_CHANGED = 13,    /* design or parameters were changed while it computed */
    BNN_E_WRITE = 14,      /* the accelerator did not store what was written */
    BNN_E_REPORTED = 32    /* + bit number: an error bit of the accelerator's register ERROR */
};

/* One accelerator. Set all fields to 0 first, then those of the first part. */
typedef struct {
    /* Set before bnn_open, and not changed after it. ----------------------------------------- */
    /* The registers: the address of the first one, or both functions. A function gets `user` and
     * the register's offset in bytes. Every access must be one access of 32 bits. */
    volatile uint32_t *registers;
    uint32_t (*read32)(void *user, uint32_t offset);
    void (*write32)(void *user, uint32_t offset, uint32_t value);
    /* Memory for images and results: where the processor sees it, the address of its first byte
     * for the accelerator (a multiple of 64, not 0), and its size (a multiple of 64). */
    void *memory;
    uint64_t memory_address;
    size_t memory_bytes;
    /* Caches. `flush`: what the processor wrote goes to the memory. `invalidate`: the processor
     * will read what the accelerator wrote. Null only if the accelerator and the processor see the
     * same contents without them: memory that is not cached. */
    void (*flush)(void *user, void *start, size_t bytes);
    void (*invalidate)(void *user, void *start, size_t bytes);
    /* Time in milliseconds, which may begin anew after 2^32. If null, the driver counts its reads:
     * each takes at least 2 clock cycles of the accelerator. */
    uint32_t (*milliseconds)(void *user);
    /* Called again and again while the driver waits: to sleep, or to wait for the interrupt. It
     * must return after some time, also if no interrupt comes. May be null. */
    void (*idle)(void *user);
    /* Clock cycles of the accelerator after which a start counts as stuck. 0: BNN_START_CYCLES +
     * BNN_IMAGE_CYCLES for each image, and 5 s more if `milliseconds` is given. */
    uint64_t patience_cycles;
    void *user; /* the first argument of all functions above */

    /* Set by the driver. ---------------------------------------------------------------------- */
    uint32_t error_bits; /* register ERROR after the last start */
    uint32_t images;     /* images of the last start */
    uint64_t cycles;     /* clock cycles from the last start to its end, */
    uint64_t first;      /* to its first result, */
    uint64_t last;       /* and to its last result */
    uint32_t capacity;   /* see bnn_capacity */
    size_t results;      /* bytes from the beginning of the memory to the results */
    int state;
} bnn_device;

/* Checks the fields, and that the accelerator has this design and is idle. After an error of a
 * start, load the bitstream before this call: the accelerator may still write to the memory. */
int bnn_open(bnn_device *device);

/* Writes all parameters to the accelerator, and their fingerprint after them. bnn_parameters.c has
 * them. A design whose parameters are constants needs no call, and refuses it. */
int bnn_load(bnn_device *device, const uint32_t *parameters, size_t words);

/* Most images of one start: as many as the memory has room for. 0 before bnn_open. */
uint32_t bnn_capacity(const bnn_device *device);

/* Stores the image `number` of the next start, BNN_INPUTS values, as the accelerator reads it. */
int bnn_put(bnn_device *device, uint32_t number, const bnn_value *image);

#if BNN_INPUT_IS_BYTES
/* The bytes of the images of the next start: image after image, BNN_IMAGE_BYTES each. They can be
 * written here without bnn_put; null while the accelerator computes. */
bnn_value *bnn_images(bnn_device *device);
#endif

/* Starts the accelerator for the images 0 to images - 1; then call bnn_wait. */
int bnn_start(bnn_device *device, uint32_t images);

/* Waits until the start has ended. After an error, results must not be used. */
int bnn_wait(bnn_device *device);

/* The BNN_SCORES scores of image `number` of the last start. */
int bnn_scores(const bnn_device *device, uint32_t number, int32_t *scores);

#if BNN_RULE
/* The class of such scores: 0 to BNN_CLASSES - 1. */
int32_t bnn_class(const int32_t *scores);
#endif

/* The name and a sentence for a code: "BNN_E_TIMEOUT". Never null. */
const char *bnn_error_name(int code);
const char *bnn_error_text(int code);

#ifdef __cplusplus
}
#endif
#endif
