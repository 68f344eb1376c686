// SPDX-License-Identifier: BSD-3-Clause
// Splits a word into RATIO words, the lowest first, in each of GROUPS independent fields.
//
// One output word per cycle, without a gap between input words. Latency 1 cycle. i_ready depends on
// o_ready in the same cycle.
`default_nettype none
module bnn_narrow #(
    parameter int BITS   = 8,  // width of a part, at least 1
    parameter int RATIO  = 2,  // words out for each word in, at least 2
    parameter int GROUPS = 1   // fields that are split side by side, at least 1
) (
    input  wire                          clk,      // registers change at its rising edge
    input  wire                          rst,      // synchronous, active high: drops all words
    input  wire                          i_valid,  // a word is offered, and stays until i_ready
    output wire                          i_ready,  // 1: the word is taken if i_valid is 1 too
    input  wire  [GROUPS*RATIO*BITS-1:0] i_data,   // field g from bit g * RATIO * BITS on
    output wire                          o_valid,  // a word is offered, and stays until o_ready
    input  wire                          o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [GROUPS*BITS-1:0]       o_data    // part of field g in bits [g * BITS +: BITS]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || GROUPS < 1) begin : gen_refuse_sizes
        $error("bnn_narrow: BITS and GROUPS must be at least 1");
    end
    if (RATIO < 2) begin : gen_refuse_ratio
        $error("bnn_narrow: RATIO must be at least 2");
    end
`endif
    localparam int CW = $clog2(RATIO + 1);
    localparam int IN = RATIO * BITS;
    logic [CW-1:0] left;
    logic [GROUPS*IN-1:0] hold;

    assign o_valid = left != 0;
    assign i_ready = !o_valid || (left == CW'(1) && o_ready);

    for (genvar g = 0; g < GROUPS; g++) begin : gen_group
        assign o_data[g*BITS+:BITS] = hold[g*IN+:BITS];
        always_ff @(posedge clk) begin
            if (i_valid && i_ready) hold[g*IN+:IN] <= i_data[g*IN+:IN];
            else if (o_ready) hold[g*IN+:IN] <= {{BITS{1'b0}}, hold[g*IN+BITS+:IN-BITS]};
        end
    end

    always_ff @(posedge clk) begin
        if (rst) left <= '0;
        else if (i_valid && i_ready) left <= CW'(RATIO);
        else if (o_valid && o_ready) left <= left - 1'b1;
    end
endmodule
`default_nettype wire
