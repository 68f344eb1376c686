# SPDX-License-Identifier: BSD-3-Clause
"""The parts of the C files that are the same for every model."""

from __future__ import annotations

from bnn.program.inputs import RealInput
from bnn.program.precision import BIPOLAR

HEAD = """\
/* Made by bnn convert --to c. @NAME@.h says how it is used.
 *
 * A weight of few bits is stored as bit planes: 32 weights of a row in a word, a row of words
 * for each bit. The product of an input's and a weight's bit plane is the number of ones that they
 * share. If BNN_PLAIN is defined, the same sums are multiplied and added one by one: slower, and
 * with less code.
 */
#include "@NAME@.h"
"""

POPCOUNT = """\
static uint32_t bits(uint32_t v)
{
#if defined(__POPCNT__)
    return (uint32_t)__builtin_popcountl(v);
#else
    v -= v >> 1 & 0x55555555u;
    v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
    return ((v + (v >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
#endif
}
"""

#: Bit planes of the codes of n values; a bipolar value (low is -1) has one bit.
PACK = """
static void pack_@NAME@(const @TYPE@ *x, int32_t n, int32_t words, int32_t count, int32_t low)
{
    for (int32_t p = 0; p < count; p++) {
        for (int32_t k = 0; k < words; k++) {
            uint32_t word = 0;
            for (int32_t i = 0; i < 32 && 32 * k + i < n; i++) {
                const int32_t v = x[32 * k + i];
                word |= (low < 0 ? (uint32_t)(v > 0) : (uint32_t)v >> p & 1u) << i;
            }
            planes[p][k] = word;
        }
    }
}
"""

CLASS_OF_SCORES = """\
int32_t @NAME@_class(const int32_t *scores)
{
    int32_t best = 0;
    for (int32_t i = 1; i < @N@; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

"""

#: The product is rounded before the sum, as in the reference: volatile keeps compilers from fusing.
CLASS_OF_LOGITS = """\
int32_t @NAME@_class(const int32_t *scores)
{
    int32_t best = 0;
    double most = 0;
    for (int32_t i = 0; i < @N@; i++) {
        const volatile double product = scores[i] * logit_scale[i];
        const volatile double logit = product + logit_offset[i];
        if (i == 0 || logit > most) {
            most = logit;
            best = i;
        }
    }
    return best;
}

"""

CLASS_DECLARED = """
/* The class of @NAME@_run's scores. */
int32_t @NAME@_class(const int32_t *scores);
"""

QUANTIZE_DECLARED = """
/* Real values to the integers that @NAME@_run takes; none may be NaN. */
void @NAME@_quantize(const float *real, int16_t *input);
"""

HEADER = """\
/* The model @MODEL@ as C99. Made by bnn convert --to c.
 *
 *     int32_t scores[@UPPER@_SCORES];
 *     int32_t found = @NAME@_run(input, scores);
 *     puts(@NAME@_classes[found]);
 *
 * input: @INPUTS@ values (@SHAPE@): @VALUES@.
 * @SIZES@. Nothing is allocated.
 * One call at a time: the maps are static.
 */
#ifndef @UPPER@_H
#define @UPPER@_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define @UPPER@_INPUTS @INPUTS@
#define @UPPER@_SCORES @SCORES@
#define @UPPER@_CLASSES @CLASSES@

/* Writes the scores, and returns the class: 0 to @UPPER@_CLASSES - 1. */
int32_t @NAME@_run(const @TYPE@ *input, int32_t *scores);
@CLASS@@QUANTIZE@
/* The classes' names, UTF-8. */
extern const char *const @NAME@_classes[@UPPER@_CLASSES];

#ifdef __cplusplus
}
#endif
#endif
"""

MAKEFILE = """\
# make test: compares answers of both kernels with those of the reference runtime.
CC ?= cc
CFLAGS ?= -O3 -std=c99 -Wall -Wextra -pedantic

test: @NAME@_test @NAME@_test_plain
	./@NAME@_test
	./@NAME@_test_plain

@NAME@_test: @NAME@.c @NAME@_test.c @NAME@.h
	$(CC) $(CFLAGS) -o $@ @NAME@.c @NAME@_test.c

@NAME@_test_plain: @NAME@.c @NAME@_test.c @NAME@.h
	$(CC) $(CFLAGS) -DBNN_PLAIN -o $@ @NAME@.c @NAME@_test.c

.PHONY: test
"""

TEST = """\
/* Compares answers with those of the reference runtime. Made by bnn convert --to c. */
#include "@NAME@.h"
#include <stdio.h>

@INPUTS@
@SCORES@
@CLASSES@
int main(void)
{
    int32_t scores[@UPPER@_SCORES];
    int wrong = 0;
    for (int n = 0; n < @N@; n++) {
        const int32_t found = @NAME@_run(inputs + n * @UPPER@_INPUTS, scores);
        wrong += found != classes[n];
        for (int i = 0; i < @UPPER@_SCORES; i++)
            wrong += scores[i] != expected[n * @UPPER@_SCORES + i];
    }
    printf("%d inputs, %d differences\\n", @N@, wrong);
    return wrong != 0;
}
"""


def quantize(given: RealInput, name: str, size: int) -> str:
    """Return the C function ``NAME_quantize``.

    It computes in float32, like :meth:`~bnn.program.inputs.RealInput.quantized`. Its variables are
    ``volatile``, so that a compiler neither fuses operations nor computes with more bits.
    """
    scale = "scale[0]" if given.scale.size == 1 else f"scale[i % {given.scale.size}]"
    zero = "zero_point[0]"
    if given.zero_point.size > 1:
        zero = f"zero_point[i % {given.zero_point.size}]"
    operator = "*" if given.multiplied else "/"
    precision = given.precision
    if precision == BIPOLAR:
        rounded = "        input[i] = v >= 0 ? 1 : -1;\n"
    else:
        rounded = _ROUNDED[given.rounding].replace("@LOW@", f"{precision.low}.0f")
        rounded = rounded.replace("@HIGH@", f"{precision.high}.0f")
        rounded = rounded.replace("@MOST@", str(precision.high))
    return f"""
void {name}_quantize(const float *real, int16_t *input)
{{
    for (int32_t i = 0; i < {size}; i++) {{
        const volatile float scaled = real[i] {operator} {scale};
        const volatile float sum = scaled + {zero};
        float v = sum;
{rounded}    }}
}}

"""


_ROUNDED = {
    "even": """\
        v = v < @LOW@ ? @LOW@ : v > @HIGH@ ? @HIGH@ : v;
        int32_t whole = (int32_t)v;
        if (v < (float)whole)
            whole--;
        const float rest = v - (float)whole;
        whole += rest > 0.5f || (rest == 0.5f && (whole & 1));
        input[i] = (int16_t)(whole > @MOST@ ? @MOST@ : whole);
""",
    "up": """\
        v = v < @LOW@ ? @LOW@ : v > @HIGH@ ? @HIGH@ : v;
        const volatile float half = v + 0.5f;
        int32_t whole = (int32_t)half;
        if (half < (float)whole)
            whole--;
        input[i] = (int16_t)(whole > @MOST@ ? @MOST@ : whole);
""",
}
