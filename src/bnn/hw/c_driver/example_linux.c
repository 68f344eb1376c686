/* SPDX-License-Identifier: BSD-3-Clause */
/* Linux: classes of the images in a file, BNN_INPUTS values each, as bnn_value.
 *
 * The registers are reached through /dev/mem, or through a UIO device that maps them; the memory is
 * a buffer of the kernel module u-dma-buf. Both need root. Load the bitstream before.
 *
 *     cc -O2 -std=c99 -o classify example_linux.c bnn_driver.c bnn_parameters.c
 *     ./classify images.bin                      (/dev/mem, /dev/udmabuf0)
 *     ./classify images.bin /dev/uio0 udmabuf1
 *
 * bnn_parameters.c is not there if the parameters are constants of the design.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "bnn_driver.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint32_t milliseconds(void *user)
{
    struct timespec now;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u);
}

static void *mapped(const char *path, uint64_t offset, size_t bytes)
{
    const int file = open(path, O_RDWR | O_SYNC); /* O_SYNC: not cached, so no flush is needed */
    if (file < 0) {
        perror(path);
        return NULL;
    }
    void *place = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)offset);
    close(file);
    if (place == MAP_FAILED) {
        perror(path);
        return NULL;
    }
    return place;
}

/* A number in a file of u-dma-buf: `phys_addr` is hexadecimal, `size` is decimal. */
static int number(const char *buffer, const char *what, uint64_t *value)
{
    char path[160];
    snprintf(path, sizeof path, "/sys/class/u-dma-buf/%.64s/%s", buffer, what);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return 0;
    }
    const int read = strcmp(what, "phys_addr") == 0 ? fscanf(file, "%" SCNx64, value)
                                                    : fscanf(file, "%" SCNu64, value);
    fclose(file);
    return read == 1;
}

static int failed(const bnn_device *device, int code)
{
    fprintf(stderr, "%s: %s\n", bnn_error_name(code), bnn_error_text(code));
    for (int bit = 0; bit < 32; bit++)
        if (device->error_bits >> bit & 1u)
            fprintf(stderr, "the accelerator reports: %s\n",
                    bnn_error_text(BNN_E_REPORTED + bit));
    return 1;
}

/* Reads the next images of the file into the device; returns their number, or -1. */
static int64_t take(bnn_device *device, FILE *file)
{
    static bnn_value image[BNN_INPUTS];
    uint32_t images = 0;
    while (images < bnn_capacity(device) && fread(image, sizeof image, 1, file) == 1) {
        const int code = bnn_put(device, images++, image);
        if (code)
            return failed(device, code), -1;
    }
    return images;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s IMAGES [REGISTERS [BUFFER]]\n", argv[0]);
        return 2;
    }
    const char *registers = argc > 2 ? argv[2] : "/dev/mem";
    const char *buffer = argc > 3 ? argv[3] : "udmabuf0";
    char path[96];
    snprintf(path, sizeof path, "/dev/%.64s", buffer);
    uint64_t address = 0, size = 0;
    if (!number(buffer, "phys_addr", &address) || !number(buffer, "size", &size))
        return 1;
    const uint64_t offset = strcmp(registers, "/dev/mem") ? 0 : BNN_BASE;
    bnn_device device;
    memset(&device, 0, sizeof device);
    device.registers = mapped(registers, offset, BNN_SPAN);
    device.memory = mapped(path, 0, (size_t)size);
    device.memory_address = address;
    device.memory_bytes = (size_t)size / 64 * 64;
    device.milliseconds = milliseconds;
    if (device.registers == NULL || device.memory == NULL)
        return 1;
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL) {
        perror(argv[1]);
        return 1;
    }
    int code = bnn_open(&device);
#if BNN_PARAMETER_WRITES
    if (!code)
        code = bnn_load(&device, bnn_parameters, BNN_PARAMETER_WORDS);
#endif
    if (code)
        return failed(&device, code);
    int64_t images = 0;
    while ((images = take(&device, file)) > 0) {
        code = bnn_start(&device, (uint32_t)images);
        if (!code)
            code = bnn_wait(&device);
        for (int64_t n = 0; !code && n < images; n++) {
            int32_t scores[BNN_SCORES];
            code = bnn_scores(&device, (uint32_t)n, scores);
#if BNN_RULE
            printf("%d\n", (int)bnn_class(scores));
#else
            for (int i = 0; i < BNN_SCORES; i++)
                printf("%d%c", (int)scores[i], i + 1 < BNN_SCORES ? ' ' : '\n');
#endif
        }
        if (code)
            return failed(&device, code);
    }
    fclose(file);
    return images < 0;
}
