/* SPDX-License-Identifier: BSD-3-Clause */
/* Bare metal on a Zynq-7000 with AMD's standalone library: the class of one image. Load the
 * bitstream before: with the boot file, or with XDcfg.
 */
#include "bnn_driver.h"

/* Of the standalone library: xil_cache.h. */
extern void Xil_DCacheFlushRange(intptr_t start, uint32_t bytes);
extern void Xil_DCacheInvalidateRange(intptr_t start, uint32_t bytes);

/* Room for 8 images and their results, and for the gap between them. */
#define AREA_BYTES ((8u * (BNN_IMAGE_BYTES + 8u * BNN_RESULT_WORDS) + 128u + 63u) / 64u * 64u)

/* The accelerator reads and writes it. It begins with a cache line, so no other variable shares a
 * line with it. */
static union {
    uint8_t bytes[AREA_BYTES + 64];
    uint64_t words[1];
} area;

static void flush(void *user, void *start, size_t bytes)
{
    (void)user;
    Xil_DCacheFlushRange((intptr_t)start, (uint32_t)bytes);
}

static void invalidate(void *user, void *start, size_t bytes)
{
    (void)user;
    Xil_DCacheInvalidateRange((intptr_t)start, (uint32_t)bytes);
}

/* Returns 0, or a code of bnn_driver.h. */
int classify(const bnn_value *image, int32_t *scores)
{
    static bnn_device device; /* static: all fields are 0 */
    static int is_open;
    int code = BNN_OK;
    if (!is_open) {
        device.registers = (volatile uint32_t *)BNN_BASE;
        device.memory = area.bytes + (64 - (uintptr_t)area.bytes % 64) % 64;
        device.memory_address = (uintptr_t)device.memory;
        device.memory_bytes = AREA_BYTES;
        device.flush = flush;
        device.invalidate = invalidate;
        code = bnn_open(&device);
#if BNN_PARAMETER_WRITES
        if (!code)
            code = bnn_load(&device, bnn_parameters, BNN_PARAMETER_WORDS);
#endif
        is_open = code == BNN_OK;
    }
    if (!code)
        code = bnn_put(&device, 0, image);
    if (!code)
        code = bnn_start(&device, 1);
    if (!code)
        code = bnn_wait(&device);
    if (!code)
        code = bnn_scores(&device, 0, scores);
    return code;
}
