/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver of one accelerator: see bnn_driver.h. The same registers in the same order as bnn's
 * Python driver. */
#include "bnn_driver.h"

enum { CLOSED, IDLE, STARTED, ENDED, LOST };

#define LINE 64u /* bytes; no cache line of the processors is longer */
#define LEAST_MS 5000u

static uint32_t get(const bnn_device *d, uint32_t offset)
{
    return d->read32 ? d->read32(d->user, offset) : d->registers[offset / 4];
}

static void set(const bnn_device *d, uint32_t offset, uint32_t value)
{
    if (d->write32)
        d->write32(d->user, offset, value);
    else
        d->registers[offset / 4] = value;
}

static uint64_t wide(const bnn_device *d, uint32_t low, uint32_t high)
{
    const uint64_t value = get(d, low);
    return value | (uint64_t)get(d, high) << 32;
}

/* What was written to memory is there before what is written to a register after it. */
static void barrier(void)
{
#if defined(__GNUC__) && defined(__ARM_ARCH) && (__ARM_ARCH >= 7 || defined(__ARM_ARCH_6M__))
    __asm__ volatile("dsb sy" ::: "memory");
#elif defined(__GNUC__)
    __sync_synchronize();
#endif
}

/* Bytes of so many images; the last 64-bit word is whole. */
static uint64_t input_bytes(uint32_t images)
{
    return ((uint64_t)images * BNN_IMAGE_BYTES + 7) / 8 * 8;
}

static int check_fields(const bnn_device *d)
{
    if ((d->read32 == NULL) != (d->write32 == NULL))
        return BNN_E_ARGUMENT;
    if (d->read32 == NULL && (d->registers == NULL || (uintptr_t)d->registers % 4))
        return BNN_E_ARGUMENT;
    if ((d->flush == NULL) != (d->invalidate == NULL))
        return BNN_E_ARGUMENT;
    if (d->memory == NULL || d->memory_address == 0 || d->memory_address % LINE ||
        d->memory_bytes % LINE)
        return BNN_E_MEMORY;
    if (d->memory_address > BNN_LAST_ADDRESS || d->memory_bytes == 0 ||
        d->memory_bytes - 1 > BNN_LAST_ADDRESS - d->memory_address)
        return BNN_E_MEMORY;
    return BNN_OK;
}

/* The largest number of images for which images, up to a line of padding, and results fit. */
static void divide(bnn_device *d)
{
    const uint64_t image = (uint64_t)BNN_IMAGE_BYTES + 8u * BNN_RESULT_WORDS;
    uint64_t most = d->memory_bytes < 2 * LINE ? 0 : (d->memory_bytes - 2 * LINE) / image;
    if (most > UINT32_MAX)
        most = UINT32_MAX;
    d->capacity = (uint32_t)most;
    d->results = (size_t)((input_bytes(d->capacity) + LINE - 1) / LINE * LINE);
}

static int check_design(const bnn_device *d)
{
    if (get(d, BNN_R_IDENTITY) != BNN_IDENTITY)
        return BNN_E_NO_ANSWER;
    if (get(d, BNN_R_DESIGN_ID) != BNN_DESIGN_ID)
        return BNN_E_DESIGN;
    if (get(d, BNN_R_CONTROL) & BNN_CONTROL_START)
        return BNN_E_RUNNING;
    return BNN_OK;
}

static int has_parameters(const bnn_device *d)
{
#if BNN_PARAMETER_WRITES
    return get(d, BNN_R_PARAMETER_ID) == BNN_PARAMETER_ID;
#else
    (void)d;
    return 1;
#endif
}

static int state_error(const bnn_device *d)
{
    return d->state == LOST ? BNN_E_LOST : BNN_E_STATE;
}

int bnn_open(bnn_device *d)
{
    if (d == NULL)
        return BNN_E_ARGUMENT;
    d->state = CLOSED;
    d->capacity = d->images = d->error_bits = 0;
    d->cycles = d->first = d->last = 0;
    int code = check_fields(d);
    if (code)
        return code;
    divide(d);
    if (d->capacity == 0)
        return BNN_E_MEMORY;
    code = check_design(d);
    if (code)
        return code;
    d->state = IDLE;
    return BNN_OK;
}

#if BNN_PARAMETER_WRITES
/* CRC-32 (IEEE 802.3) of the words, lowest byte first: a file of another build is found. */
static uint32_t crc(const uint32_t *data, size_t words)
{
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < words; i++) {
        sum ^= data[i];
        for (int bit = 0; bit < 32; bit++)
            sum = (sum >> 1) ^ (sum & 1u ? 0xEDB88320u : 0u);
    }
    return ~sum;
}
#endif

int bnn_load(bnn_device *d, const uint32_t *parameters, size_t words)
{
    if (d == NULL || parameters == NULL)
        return BNN_E_ARGUMENT;
    if (d->state != IDLE && d->state != ENDED)
        return state_error(d);
#if BNN_PARAMETER_WRITES
    if (words != BNN_PARAMETER_WORDS || crc(parameters, words) != BNN_PARAMETER_CRC)
        return BNN_E_PARAMETERS;
    const int code = check_design(d);
    if (code)
        return code;
    set(d, BNN_R_PARAMETER_COUNT, 0);
    for (size_t at = 0; at + 1 < words;) { /* target, number of words, words */
        set(d, BNN_R_PARAMETER_TARGET, parameters[at]);
        const size_t end = at + 2 + parameters[at + 1];
        if (end > words)
            return BNN_E_PARAMETERS;
        for (at += 2; at < end; at++)
            set(d, BNN_R_PARAMETER_DATA, parameters[at]);
    }
    if (get(d, BNN_R_PARAMETER_COUNT) != BNN_PARAMETER_WRITES)
        return BNN_E_WRITE;
    set(d, BNN_R_PARAMETER_ID, BNN_PARAMETER_ID);
    return has_parameters(d) ? BNN_OK : BNN_E_WRITE;
#else
    (void)words;
    return BNN_E_PARAMETERS;
#endif
}

uint32_t bnn_capacity(const bnn_device *d)
{
    return d == NULL ? 0 : d->capacity;
}

#if BNN_IS_PICTURE
static int is_value(bnn_value value)
{
    (void)value;
    return 1;
}
#else
static int is_value(bnn_value value)
{
    if (BNN_INPUT_IS_BIPOLAR)
        return (int32_t)value == -1 || (int32_t)value == 1;
    return (int64_t)value >= BNN_INPUT_LOW && (int64_t)value <= BNN_INPUT_HIGH;
}
#endif

#if !BNN_INPUT_IS_BYTES
static uint32_t code_of(bnn_value value)
{
#if BNN_IS_PICTURE
    static const uint32_t codes[256] = BNN_CODES;
    return codes[value];
#else
    return BNN_INPUT_IS_BIPOLAR ? (uint32_t)(value > 0) : (uint32_t)value;
#endif
}

/* The codes of an image's values, lowest bit first; unused bits are 0. */
static void pack(uint8_t *to, const bnn_value *image)
{
    for (uint32_t i = 0; i < BNN_IMAGE_BYTES; i++)
        to[i] = 0;
    for (uint32_t i = 0; i < BNN_INPUTS; i++) {
        const uint32_t code = code_of(image[i]);
        const uint32_t at = i / BNN_INPUT_LANES * BNN_INPUT_SLOT_BITS +
                            i % BNN_INPUT_LANES * BNN_INPUT_BITS;
        for (uint32_t bit = 0; bit < BNN_INPUT_BITS; bit++)
            to[(at + bit) / 8] |= (uint8_t)((code >> bit & 1u) << (at + bit) % 8);
    }
}
#endif

int bnn_put(bnn_device *d, uint32_t number, const bnn_value *image)
{
    if (d == NULL || image == NULL)
        return BNN_E_ARGUMENT;
    if (d->state != IDLE && d->state != ENDED)
        return state_error(d);
    if (number >= d->capacity)
        return BNN_E_IMAGES;
    for (uint32_t i = 0; i < BNN_INPUTS; i++)
        if (!is_value(image[i]))
            return BNN_E_VALUE;
    uint8_t *to = (uint8_t *)d->memory + (size_t)number * BNN_IMAGE_BYTES;
#if BNN_INPUT_IS_BYTES
    for (uint32_t i = 0; i < BNN_INPUTS; i++)
        to[i] = (uint8_t)image[i];
#else
    pack(to, image);
#endif
    return BNN_OK;
}

#if BNN_INPUT_IS_BYTES
bnn_value *bnn_images(bnn_device *d)
{
    if (d == NULL || (d->state != IDLE && d->state != ENDED))
        return NULL;
    return (bnn_value *)d->memory;
}
#endif

int bnn_start(bnn_device *d, uint32_t images)
{
    if (d == NULL)
        return BNN_E_ARGUMENT;
    if (d->state != IDLE && d->state != ENDED)
        return state_error(d);
    if (images == 0 || images > d->capacity)
        return BNN_E_IMAGES;
    const int code = check_design(d);
    if (code)
        return code;
    if (!has_parameters(d))
        return BNN_E_UNLOADED;
    const uint64_t source = d->memory_address, target = source + d->results;
    const size_t bytes = (size_t)images * BNN_RESULT_WORDS * 8;
    if (d->flush) {
        d->flush(d->user, d->memory, (size_t)input_bytes(images));
        /* No changed line of the results may be written to memory over the accelerator's. */
        d->flush(d->user, (uint8_t *)d->memory + d->results, bytes);
    }
    d->images = images;
    d->error_bits = 0;
    d->cycles = d->first = d->last = 0;
    d->state = STARTED;
    set(d, BNN_R_SOURCE_LOW, (uint32_t)source);
    set(d, BNN_R_SOURCE_HIGH, (uint32_t)(source >> 32));
    set(d, BNN_R_TARGET_LOW, (uint32_t)target);
    set(d, BNN_R_TARGET_HIGH, (uint32_t)(target >> 32));
    set(d, BNN_R_IMAGES, images);
    set(d, BNN_R_INTERRUPT_ENABLE, 1);
    barrier();
    set(d, BNN_R_CONTROL, BNN_CONTROL_START);
    return BNN_OK;
}

static uint64_t patience(const bnn_device *d)
{
    if (d->patience_cycles)
        return d->patience_cycles;
    return BNN_START_CYCLES + BNN_IMAGE_CYCLES * (uint64_t)d->images;
}

/* Waits for the end; returns register CONTROL as it was then. */
static uint32_t ended(const bnn_device *d)
{
    const uint64_t cycles = patience(d);
    const uint64_t wanted = cycles / BNN_CLOCK_KHZ + (d->patience_cycles ? 1 : LEAST_MS);
    const uint32_t most_ms = wanted > INT32_MAX ? (uint32_t)INT32_MAX : (uint32_t)wanted;
    const uint32_t began = d->milliseconds ? d->milliseconds(d->user) : 0;
    int is_raised = 0; /* an interrupt of an earlier start was seen: CONTROL tells the end */
    for (uint64_t reads = 0;; reads++) {
        /* The time before the register: a program that was stopped meanwhile looks once more. */
        const int is_late = d->milliseconds ? d->milliseconds(d->user) - began > most_ms
                                            : reads > cycles / 2;
        if (is_raised || is_late || (get(d, BNN_R_INTERRUPT_STATUS) & 1u)) {
            const uint32_t control = get(d, BNN_R_CONTROL);
            if (!is_raised)
                set(d, BNN_R_INTERRUPT_STATUS, 1);
            is_raised = 1;
            if (is_late || !(control & BNN_CONTROL_START))
                return control;
        }
        if (d->idle)
            d->idle(d->user);
    }
}

static int reported(uint32_t bits)
{
    int number = 0;
    while (!(bits >> number & 1u))
        number++;
    return BNN_E_REPORTED + number;
}

int bnn_wait(bnn_device *d)
{
    if (d == NULL)
        return BNN_E_ARGUMENT;
    if (d->state != STARTED)
        return state_error(d);
    d->state = LOST;
    const uint32_t control = ended(d);
    d->error_bits = get(d, BNN_R_ERROR);
    if (d->error_bits)
        return reported(d->error_bits);
    if (!(control & BNN_CONTROL_DONE))
        return BNN_E_TIMEOUT;
    if (control & BNN_CONTROL_ERROR)
        return BNN_E_CHANGED; /* the error bits were set, and cleared by another start */
    if (get(d, BNN_R_DESIGN_ID) != BNN_DESIGN_ID || !has_parameters(d))
        return BNN_E_CHANGED;
    barrier();
    if (d->invalidate)
        d->invalidate(d->user, (uint8_t *)d->memory + d->results,
                      (size_t)d->images * BNN_RESULT_WORDS * 8);
    if (get(d, BNN_R_IMAGES) != d->images)
        return BNN_E_CHANGED;
    d->cycles = wide(d, BNN_R_CYCLES_LOW, BNN_R_CYCLES_HIGH);
    d->first = wide(d, BNN_R_FIRST_LOW, BNN_R_FIRST_HIGH);
    d->last = wide(d, BNN_R_LAST_LOW, BNN_R_LAST_HIGH);
    d->state = ENDED;
    return BNN_OK;
}

/* A result of element_bits bits, a power of two, from its lowest bit `at` on. */
static uint32_t element(const uint8_t *from, uint32_t at)
{
    uint32_t code = 0;
#if BNN_RESULT_ELEMENT_BITS < 8
    code = (uint32_t)from[at / 8] >> at % 8;
#else
    for (uint32_t byte = 0; byte < BNN_RESULT_ELEMENT_BITS / 8; byte++)
        code |= (uint32_t)from[at / 8 + byte] << 8 * byte;
#endif
    return code & BNN_RESULT_MASK;
}

static int32_t value_of(uint32_t code)
{
    if (BNN_RESULT_IS_BIPOLAR)
        return code ? 1 : -1;
    if (BNN_RESULT_IS_SIGNED && (code >> (BNN_RESULT_BITS - 1) & 1u))
        return (int32_t)((int64_t)code - (int64_t)BNN_RESULT_MASK - 1);
    return (int32_t)code;
}

int bnn_scores(const bnn_device *d, uint32_t number, int32_t *scores)
{
    if (d == NULL || scores == NULL)
        return BNN_E_ARGUMENT;
    if (d->state != ENDED)
        return state_error(d);
    if (number >= d->images)
        return BNN_E_IMAGES;
    const uint8_t *from = (const uint8_t *)d->memory + d->results +
                          (size_t)number * BNN_RESULT_WORDS * 8;
    for (uint32_t i = 0; i < BNN_SCORES; i++)
        scores[i] = value_of(element(from, i * BNN_RESULT_ELEMENT_BITS));
    return BNN_OK;
}

#if BNN_RULE == BNN_RULE_LOGITS
int32_t bnn_class(const int32_t *scores)
{
    static const double scale[] = BNN_LOGIT_SCALE, offset[] = BNN_LOGIT_OFFSET;
    int32_t best = 0;
    double most = 0;
    for (int32_t i = 0; i < BNN_CLASSES; i++) {
        /* volatile: the product is rounded before the sum, as in the reference. */
        const volatile double product = scores[i] * scale[i];
        const volatile double logit = product + offset[i];
        if (i == 0 || logit > most) {
            most = logit;
            best = i;
        }
    }
    return best;
}
#elif BNN_RULE == BNN_RULE_HIGHEST_POSITIVE
int32_t bnn_class(const int32_t *scores)
{
    for (int32_t i = BNN_CLASSES - 1; i > 0; i--)
        if (scores[i] > 0)
            return i;
    return 0;
}
#elif BNN_RULE
int32_t bnn_class(const int32_t *scores)
{
    int32_t best = 0;
    for (int32_t i = 1; i < BNN_CLASSES; i++)
        if (scores[i] > scores[best])
            best = i;
#if BNN_RULE == BNN_RULE_FIRST_POSITIVE
    if (scores[best] <= 0)
        return 0;
#endif
    return best;
}
#endif

typedef struct {
    const char *name, *text;
} message;

static const message messages[] = {
    {"BNN_OK", "no error"},
    {"BNN_E_ARGUMENT", "an argument or a field of the device is wrong: see bnn_driver.h"},
    {"BNN_E_MEMORY", "the memory area cannot be used: it must have an address and a size that are "
                     "multiples of 64, be within the accelerator's addresses, and have room for an "
                     "image"},
    {"BNN_E_NO_ANSWER", "no accelerator answers: load the bitstream, check the registers' address"},
    {"BNN_E_DESIGN", "the accelerator has another design: load the bitstream of this folder"},
    {"BNN_E_RUNNING", "the accelerator computes something that this program has not started: load "
                      "the bitstream again"},
    {"BNN_E_PARAMETERS", "the parameters are not those of this design: use bnn_parameters.c of "
                         "this folder"},
    {"BNN_E_UNLOADED", "the accelerator does not have these parameters: call bnn_load"},
    {"BNN_E_VALUE", "an input value is outside its range: see bnn_design.h"},
    {"BNN_E_IMAGES", "the number of images is 0, or larger than bnn_capacity or the last start"},
    {"BNN_E_STATE", "this function cannot be called now: the order is bnn_open, bnn_put, "
                    "bnn_start, bnn_wait, bnn_scores"},
    {"BNN_E_TIMEOUT", "the accelerator does not finish: load the bitstream again, then call "
                      "bnn_open"},
    {"BNN_E_LOST", "a start did not end well: load the bitstream again, then call bnn_open"},
    {"BNN_E_CHANGED", "design or parameters were changed while the accelerator computed: end the "
                      "other program that uses it"},
    {"BNN_E_WRITE", "the accelerator did not store what was written: every write to a register "
                    "must be one access of 32 bits; load the bitstream again"},
};

static const message bits[] = BNN_ERROR_BITS;

static const message *find(int code)
{
    static const message unknown = {"unknown", "unknown code"};
    const int known = (int)(sizeof messages / sizeof messages[0]);
    const int reports = (int)(sizeof bits / sizeof bits[0]);
    if (code >= 0 && code < known)
        return &messages[code];
    if (code >= BNN_E_REPORTED && code < BNN_E_REPORTED + reports)
        return &bits[code - BNN_E_REPORTED];
    return &unknown;
}

const char *bnn_error_name(int code)
{
    return find(code)->name;
}

const char *bnn_error_text(int code)
{
    return find(code)->text;
}
