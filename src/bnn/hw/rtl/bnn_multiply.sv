// SPDX-License-Identifier: BSD-3-Clause
// Multiplies two streams of LANES values, value by value: y = a * b.
//
// Both streams move in the same cycle. Latency 2 cycles, one product a cycle. The product has
// registers on both sides, as a DSP slice has. o_ready reaches a_ready and b_ready in one cycle.
`default_nettype none
module bnn_multiply #(
    parameter int LANES     = 1,  // values in a word of each stream, at least 1
    parameter int A_BITS    = 8,  // width of a value of stream a
    parameter int A_USED    = 8,  // low bits of it that are read, 1 to A_BITS
    parameter int A_SIGNED  = 1,  // 1: the used bits of a are two's complement; 0: unsigned
    parameter int A_BIPOLAR = 0,  // 1: a value of a is one bit, 0 for -1 and 1 for +1
    parameter int B_BITS    = 8,  // width of a value of stream b
    parameter int B_USED    = 8,  // low bits of it that are read, 1 to B_BITS
    parameter int B_SIGNED  = 1,  // 1: the used bits of b are two's complement; 0: unsigned
    parameter int B_BIPOLAR = 0,  // 1: a value of b is one bit, 0 for -1 and 1 for +1
    parameter int BITS      = 16  // width of a product, at least 1; higher bits are dropped
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
    output logic [LANES*BITS-1:0]   o_data    // product l in bits [l * BITS +: BITS]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1 || BITS < 1) begin : gen_refuse_sizes
        $error("bnn_multiply: LANES and BITS must be at least 1");
    end
    if (A_USED < 1 || A_USED > A_BITS || (A_BIPOLAR != 0 && A_BITS != 1)) begin : gen_refuse_a
        $error("bnn_multiply: A_USED must be 1 to A_BITS, and A_BITS 1 for bipolar values");
    end
    if (B_USED < 1 || B_USED > B_BITS || (B_BIPOLAR != 0 && B_BITS != 1)) begin : gen_refuse_b
        $error("bnn_multiply: B_USED must be 1 to B_BITS, and B_BITS 1 for bipolar values");
    end
`endif
    logic held;  // whether a and b have a pair
    wire free = !o_valid || o_ready;
    wire open = !held || free;
    wire take = a_valid && b_valid && open;
    assign a_ready = b_valid && open;
    assign b_ready = a_valid && open;

    // One bit more than used, for a sign.
    localparam int AB = A_USED + 1;
    localparam int BB = B_USED + 1;
    localparam int PB = AB + BB > BITS ? AB + BB : BITS;
    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [A_BITS-1:0] given_a = a_data[l*A_BITS+:A_BITS];
        wire [B_BITS-1:0] given_b = b_data[l*B_BITS+:B_BITS];
        logic [A_USED-1:0] a;
        logic [B_USED-1:0] b;
        always_ff @(posedge clk) begin
            if (take) begin
                a <= given_a[A_USED-1:0];
                b <= given_b[B_USED-1:0];
            end
        end
        wire signed [AB-1:0] value_a = A_BIPOLAR != 0 ? {{AB - 1{!a[0]}}, 1'b1}
                                     : {(A_SIGNED != 0) && a[A_USED-1], a};
        wire signed [BB-1:0] value_b = B_BIPOLAR != 0 ? {{BB - 1{!b[0]}}, 1'b1}
                                     : {(B_SIGNED != 0) && b[B_USED-1], b};
        wire signed [PB-1:0] wide_a = {{PB - AB{value_a[AB-1]}}, value_a};
        wire signed [PB-1:0] wide_b = {{PB - BB{value_b[BB-1]}}, value_b};
        wire signed [PB-1:0] product = wide_a * wide_b;
        always_ff @(posedge clk) if (held && free) o_data[l*BITS+:BITS] <= product[BITS-1:0];
        wire unused = &{1'b0, given_a, given_b, product};
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            held    <= 1'b0;
            o_valid <= 1'b0;
        end else begin
            if (open) held <= take;
            if (free) o_valid <= held;
        end
    end
endmodule
`default_nettype wire
