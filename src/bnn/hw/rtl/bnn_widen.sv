// SPDX-License-Identifier: BSD-3-Clause
// Joins RATIO words into one, the first lowest, in each of GROUPS independent fields.
//
// One input word per cycle; an output word comes 1 cycle after its last part. i_ready depends on
// o_ready in the same cycle.
`default_nettype none
module bnn_widen #(
    parameter int BITS   = 8,  // width of a part, at least 1
    parameter int RATIO  = 2,  // words in for each word out, at least 2
    parameter int GROUPS = 1   // fields that are joined side by side, at least 1
) (
    input  wire                          clk,      // registers change at its rising edge
    input  wire                          rst,      // synchronous, active high: drops all words
    input  wire                          i_valid,  // a word is offered, and stays until i_ready
    output wire                          i_ready,  // 1: the word is taken if i_valid is 1 too
    input  wire  [GROUPS*BITS-1:0]       i_data,   // part of field g in bits [g * BITS +: BITS]
    output wire                          o_valid,  // a word is offered, and stays until o_ready
    input  wire                          o_ready,  // 1: the word is taken if o_valid is 1 too
    output logic [GROUPS*RATIO*BITS-1:0] o_data    // field g from bit g * RATIO * BITS on
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || GROUPS < 1) begin : gen_refuse_sizes
        $error("bnn_widen: BITS and GROUPS must be at least 1");
    end
    if (RATIO < 2) begin : gen_refuse_ratio
        $error("bnn_widen: RATIO must be at least 2");
    end
`endif
    localparam int CW = $clog2(RATIO + 1);
    localparam int OUT = RATIO * BITS;
    logic [CW-1:0] count;

    assign o_valid = count == CW'(RATIO);
    assign i_ready = !o_valid || o_ready;

    always_ff @(posedge clk) begin
        if (i_valid && i_ready)
            for (int g = 0; g < GROUPS; g++)
                o_data[g*OUT+:OUT] <= {i_data[g*BITS+:BITS], o_data[g*OUT+BITS+:OUT-BITS]};
    end

    always_ff @(posedge clk) begin
        if (rst) count <= '0;
        else if (o_valid && o_ready) count <= CW'(i_valid);
        else if (i_valid && i_ready) count <= count + 1'b1;
    end
endmodule
`default_nettype wire
