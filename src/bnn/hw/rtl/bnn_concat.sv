// SPDX-License-Identifier: BSD-3-Clause
// Joins the channels of two streams of LANES values: for each position the A_WORDS words of a, then
// the B_WORDS words of b. Each value is converted to BITS bits, two's complement or unsigned.
//
// Latency 1 cycle, one word a cycle. A stream is taken only in its turn, so the other one waits.
`default_nettype none
module bnn_concat #(
    parameter int LANES     = 1,  // values in a word of each stream, at least 1
    parameter int A_WORDS   = 1,  // words of a for a position, at least 1
    parameter int A_BITS    = 8,  // width of a value of stream a
    parameter int A_SIGNED  = 1,  // 1: values of a are two's complement; 0: unsigned
    parameter int A_BIPOLAR = 0,  // 1: a value of a is one bit that becomes -1 or +1
    parameter int B_WORDS   = 1,  // words of b for a position, at least 1
    parameter int B_BITS    = 8,  // width of a value of stream b
    parameter int B_SIGNED  = 1,  // 1: values of b are two's complement; 0: unsigned
    parameter int B_BIPOLAR = 0,  // 1: a value of b is one bit that becomes -1 or +1
    parameter int BITS      = 8   // width of an output value, at least 1; higher bits are dropped
) (
    input  wire                     clk,      // registers change at its rising edge
    input  wire                     rst,      // synchronous, active high: drops all words
    input  wire                     a_valid,  // a word of a is offered, and stays until a_ready
    output wire                     a_ready,  // 1: a is taken if a_valid is 1 too
    input  wire  [LANES*A_BITS-1:0] a_data,   // value l in bits [l * A_BITS +: A_BITS]
    input  wire                     b_valid,  // a word of b is offered, and stays until b_ready
    output wire                     b_ready,  // 1: b is taken if b_valid is 1 too
    input  wire  [LANES*B_BITS-1:0] b_data,   // value l in bits [l * B_BITS +: B_BITS]
    output logic                    o_valid,  // a word is offered, and stays until o_ready
    input  wire                     o_ready,  // 1: the word is taken if o_valid is 1 too
    output logic [LANES*BITS-1:0]   o_data    // value l in bits [l * BITS +: BITS]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1 || BITS < 1 || A_WORDS < 1 || B_WORDS < 1) begin : gen_refuse_sizes
        $error("bnn_concat: LANES, BITS, A_WORDS and B_WORDS must be at least 1");
    end
    if (A_BITS < 1 || (A_BIPOLAR != 0 && A_BITS != 1)) begin : gen_refuse_a
        $error("bnn_concat: A_BITS must be at least 1, and 1 for bipolar values");
    end
    if (B_BITS < 1 || (B_BIPOLAR != 0 && B_BITS != 1)) begin : gen_refuse_b
        $error("bnn_concat: B_BITS must be at least 1, and 1 for bipolar values");
    end
`endif
    localparam int WORDS = A_WORDS + B_WORDS;
    localparam int WW = $clog2(WORDS);
    logic [WW-1:0] word;
    wire turn = word >= WW'(A_WORDS);  // of b
    wire free = !o_valid || o_ready;
    wire take = free && (turn ? b_valid : a_valid);
    assign a_ready = free && !turn;
    assign b_ready = free && turn;

    localparam int WIDE = (A_BITS > B_BITS ? A_BITS : B_BITS) + BITS + 1;
    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [A_BITS-1:0] a = a_data[l*A_BITS+:A_BITS];
        wire [B_BITS-1:0] b = b_data[l*B_BITS+:B_BITS];
        wire [WIDE-1:0] wide_a = A_BIPOLAR != 0 ? {{WIDE - 1{!a[0]}}, 1'b1}
                               : {{WIDE - A_BITS{(A_SIGNED != 0) && a[A_BITS-1]}}, a};
        wire [WIDE-1:0] wide_b = B_BIPOLAR != 0 ? {{WIDE - 1{!b[0]}}, 1'b1}
                               : {{WIDE - B_BITS{(B_SIGNED != 0) && b[B_BITS-1]}}, b};
        wire [WIDE-1:0] chosen = turn ? wide_b : wide_a;
        always_ff @(posedge clk) if (take) o_data[l*BITS+:BITS] <= chosen[BITS-1:0];
        wire unused = &{1'b0, chosen};
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            word    <= '0;
            o_valid <= 1'b0;
        end else begin
            if (take) word <= word == WW'(WORDS - 1) ? '0 : word + 1'b1;
            if (take) o_valid <= 1'b1;
            else if (o_ready) o_valid <= 1'b0;
        end
    end
endmodule
`default_nettype wire
