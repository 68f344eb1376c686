// SPDX-License-Identifier: BSD-3-Clause
// One channel of bnn_rescale: y = bound(round((m * x + a) / 2^SHIFT)), a value a cycle.
//
// Never stalls. Latency 1 cycle, and 1 more for each of: PRODUCT, an offset, a rounding.
`default_nettype none
module bnn_rescale_lane #(
    parameter int IBITS     = 8,     // width of an input value, at least USED
    parameter int USED      = 8,     // low bits of it that are read, 1 to IBITS
    parameter int ISIGNED   = 1,     // 1: the used bits are two's complement; 0: unsigned
    parameter int IBIPOLAR  = 0,     // 1: an input is one bit, 0 for -1 and 1 for +1
    parameter int MBITS     = 8,     // width of the multiplier, two's complement; 0: it is FACTOR
    parameter int FACTOR    = 1,     // multiplier, for MBITS = 0
    parameter int ABITS     = 0,     // width of the offset, two's complement; 0: no offset
    parameter int WIDE      = 18,    // width of the sum with its rounding, at least SHIFT + 2
    parameter int SHIFT     = 0,     // the sum is divided by 2^SHIFT
    parameter int ROUNDING  = 0,     // 0 down; to the nearest, halves: 1 up, 2 even, 3 to zero
    parameter int LOW       = -128,  // least result; it fits in OBITS + 1 bits
    parameter int HIGH      = 127,   // largest result; it fits in OBITS + 1 bits
    parameter int CLIP_LOW  = 1,     // 1: quotients below LOW become LOW
    parameter int CLIP_HIGH = 1,     // 1: quotients above HIGH become HIGH
    parameter int WRAP      = 0,     // 1: quotients are taken modulo HIGH - LOW + 1 instead
    parameter int OBITS     = 8,     // width of an output value; higher bits are dropped
    parameter int PRODUCT   = 1,     // 1: a register after the product; 0: FACTOR is a power of two
    localparam int TW = MBITS + ABITS > 0 ? MBITS + ABITS : 1  // width of numbers
) (
    input  wire              clk,      // registers change at each rising edge: no stall
    input  wire  [IBITS-1:0] x,        // input value
    input  wire  [TW-1:0]    numbers,  // multiplier in the low MBITS bits, then the offset
    output logic [OBITS-1:0] y         // output value
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (USED < 1 || USED > IBITS || SHIFT < 0 || WIDE < SHIFT + 2) begin : gen_refuse_bits
        $error("bnn_rescale_lane: USED must be 1 to IBITS, and WIDE at least SHIFT + 2");
    end
`endif
    // The value: one bit more than used, for a sign.
    localparam int VB = USED + 1;
    wire signed [VB-1:0] value = IBIPOLAR != 0 ? {{VB - 1{!x[0]}}, 1'b1}
                               : {(ISIGNED != 0) && x[USED-1], x[USED-1:0]};
    localparam int MB = MBITS > 0 ? MBITS : 33;
    wire signed [MB-1:0] by;
    if (MBITS > 0) begin : gen_table
        assign by = numbers[MBITS-1:0];
    end else begin : gen_constant
        assign by = {FACTOR[31], FACTOR};
    end
    localparam int PB = VB + MB;
    wire signed [PB-1:0] wide_value = {{PB - VB{value[VB-1]}}, value};
    wire signed [PB-1:0] wide_by = {{PB - MB{by[MB-1]}}, by};
    wire signed [PB-1:0] exact = wide_value * wide_by;
    wire signed [WIDE-1:0] now;
    if (PB >= WIDE) begin : gen_cut  // the cut bits equal the sign
        assign now = exact[WIDE-1:0];
        wire unused_exact = &{1'b0, exact};
    end else begin : gen_extended
        assign now = {{WIDE - PB{exact[PB-1]}}, exact};
    end
    wire signed [WIDE-1:0] product;
    wire [TW-1:0] beside;  // the numbers, as late as the product
    if (PRODUCT != 0) begin : gen_product
        logic signed [WIDE-1:0] kept;
        logic [TW-1:0] held;
        always_ff @(posedge clk) begin
            kept <= now;
            held <= numbers;
        end
        assign product = kept;
        assign beside = held;
    end else begin : gen_shift
        assign product = now;
        assign beside = numbers;
    end

    wire signed [WIDE-1:0] sum;
    if (ABITS > 0) begin : gen_offset
        wire signed [WIDE-1:0] offset = {{WIDE - ABITS + 1{beside[TW-1]}}, beside[TW-2:MBITS]};
        logic signed [WIDE-1:0] kept;
        always_ff @(posedge clk) kept <= product + offset;
        assign sum = kept;
        wire unused_beside = &{1'b0, beside};
    end else begin : gen_plain
        assign sum = product;
        wire unused_beside = &{1'b0, beside};
    end

    wire signed [WIDE-1:0] near;
    if (ROUNDING != 0) begin : gen_round
        // Half of the divisor; just less if a half does not go up in every case.
        localparam logic [WIDE-1:0] HALF = (WIDE'(1) << (SHIFT - 1)) - WIDE'(ROUNDING != 1);
        wire goes_up = ROUNDING == 2 ? sum[SHIFT] : ROUNDING == 3 && sum[WIDE-1];
        logic signed [WIDE-1:0] kept;
        always_ff @(posedge clk) kept <= sum + HALF + {{WIDE - 1{1'b0}}, goes_up};
        assign near = kept;
    end else begin : gen_floor
        assign near = sum;
    end

    // The quotient, and the bounds, in as many bits as both need.
    localparam int QB = WIDE - SHIFT;
    localparam int CB = QB > OBITS + 1 ? QB : OBITS + 1;
    wire signed [CB-1:0] quotient = {{CB - QB + 1{near[WIDE-1]}}, near[WIDE-2:SHIFT]};
    wire signed [127:0] wide_low = {{96{LOW[31]}}, LOW};
    wire signed [127:0] wide_high = {{96{HIGH[31]}}, HIGH};
    wire [127:0] mask = wide_high - wide_low;
    wire below = CLIP_LOW != 0 && quotient < $signed(wide_low[CB-1:0]);
    wire above = CLIP_HIGH != 0 && quotient > $signed(wide_high[CB-1:0]);
    wire [OBITS-1:0] turned =
        ((quotient[OBITS-1:0] - wide_low[OBITS-1:0]) & mask[OBITS-1:0]) + wide_low[OBITS-1:0];
    always_ff @(posedge clk)
        y <= WRAP != 0 ? turned : below ? wide_low[OBITS-1:0] : above ? wide_high[OBITS-1:0]
           : quotient[OBITS-1:0];
    wire unused = &{1'b0, x, near, quotient, wide_low, wide_high, mask, turned, below, above};
endmodule
`default_nettype wire
