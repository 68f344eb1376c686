// SPDX-License-Identifier: BSD-3-Clause
// Joins two streams of LANES values: y = (a << A_SHIFT) + (b << B_SHIFT) + OFFSET.
//
// Shift 1 and the offset turn bipolar codes (0 is -1, 1 is +1) into numbers. Both streams move
// in the same cycle. Latency 1 cycle, one sum a cycle.
`default_nettype none
module bnn_add #(
    parameter int LANES    = 1,  // values in a word of each stream, at least 1
    parameter int A_BITS   = 8,  // width of a value of stream a; A_BITS + A_SHIFT <= 35
    parameter int A_SIGNED = 1,  // 1: values of a are two's complement; 0: unsigned
    parameter int A_SHIFT  = 0,  // a is multiplied by 2^A_SHIFT; 1 for bipolar codes
    parameter int B_BITS   = 8,  // width of a value of stream b; B_BITS + B_SHIFT <= 35
    parameter int B_SIGNED = 1,  // 1: values of b are two's complement; 0: unsigned
    parameter int B_SHIFT  = 0,  // b is multiplied by 2^B_SHIFT; 1 for bipolar codes
    parameter int OFFSET   = 0,  // constant added to each sum: -1 for each bipolar stream
    parameter int BITS     = 9   // width of a sum, 1 to 35; higher bits are dropped
) (
    input  wire                     clk,      // registers change at its rising edge
    input  wire                     rst,      // synchronous, active high: drops all words
    input  wire                     a_valid,  // a word of a is offered, and stays until a_ready
    output wire                     a_ready,  // a is taken now; is 1 only when b is taken too
    input  wire  [LANES*A_BITS-1:0] a_data,   // value l in bits [l * A_BITS +: A_BITS]
    input  wire                     b_valid,  // a word of b is offered, and stays until b_ready
    output wire                     b_ready,  // b is taken now; is 1 only when a is taken too
    input  wire  [LANES*B_BITS-1:0] b_data,   // value l in bits [l * B_BITS +: B_BITS]
    output logic                    o_valid,  // a word is offered, and stays until o_ready
    input  wire                     o_ready,  // 1: the word is taken if o_valid is 1 too
    output logic [LANES*BITS-1:0]   o_data    // sum l in bits [l * BITS +: BITS], two's complement
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1) begin : gen_refuse_lanes
        $error("bnn_add: LANES must be at least 1");
    end
    if (BITS < 1 || BITS > 35) begin : gen_refuse_bits
        $error("bnn_add: BITS must be 1 to 35");
    end
    if (A_BITS < 1 || A_SHIFT < 0 || A_BITS + A_SHIFT > 35) begin : gen_refuse_a
        $error("bnn_add: A_BITS must be at least 1, and A_BITS + A_SHIFT at most 35");
    end
    if (B_BITS < 1 || B_SHIFT < 0 || B_BITS + B_SHIFT > 35) begin : gen_refuse_b
        $error("bnn_add: B_BITS must be at least 1, and B_BITS + B_SHIFT at most 35");
    end
`endif
    // Wide enough for both operands and the sum; only BITS of it are kept (proved by the program).
    localparam int WIDE = 36;
    wire free = !o_valid || o_ready;
    wire take = a_valid && b_valid && free;
    assign a_ready = b_valid && free;
    assign b_ready = a_valid && free;

    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [A_BITS-1:0] a = a_data[l*A_BITS+:A_BITS];
        wire [B_BITS-1:0] b = b_data[l*B_BITS+:B_BITS];
        wire [WIDE-1:0] wide_a = {{WIDE - A_BITS{(A_SIGNED != 0) && a[A_BITS-1]}}, a};
        wire [WIDE-1:0] wide_b = {{WIDE - B_BITS{(B_SIGNED != 0) && b[B_BITS-1]}}, b};
        wire [WIDE-1:0] sum = (wide_a << A_SHIFT) + (wide_b << B_SHIFT) + WIDE'(OFFSET);
        always_ff @(posedge clk) if (take) o_data[l*BITS+:BITS] <= sum[BITS-1:0];
        wire unused = &{1'b0, sum[WIDE-1:BITS]};
    end

    always_ff @(posedge clk) begin
        if (rst) o_valid <= 1'b0;
        else if (take) o_valid <= 1'b1;
        else if (o_ready) o_valid <= 1'b0;
    end
endmodule
`default_nettype wire
