// SPDX-License-Identifier: BSD-3-Clause
// Of every TOTAL words passes the first KEEP and drops the rest: the padding at an image's end.
//
// Combinational from input to output; one word in a cycle.
`default_nettype none
module bnn_trim #(
    parameter int BITS  = 8,  // width of a word, at least 1
    parameter int KEEP  = 1,  // words of a frame that pass, 1 to TOTAL - 1
    parameter int TOTAL = 2   // words of a frame in, at least 2
) (
    input  wire             clk,      // registers change at its rising edge
    input  wire             rst,      // synchronous, active high: drops all words
    input  wire             i_valid,  // a word is offered, and stays until i_ready
    output wire             i_ready,  // the word is taken now; 1 for words that are dropped
    input  wire  [BITS-1:0] i_data,   // word of the frame
    output wire             o_valid,  // a word is offered that is kept
    input  wire             o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [BITS-1:0] o_data    // the input's word
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1) begin : gen_refuse_bits
        $error("bnn_trim: BITS must be at least 1");
    end
    if (KEEP < 1 || KEEP >= TOTAL) begin : gen_refuse_keep
        $error("bnn_trim: KEEP must be 1 to TOTAL - 1");
    end
`endif
    localparam int CW = $clog2(TOTAL);
    logic [CW-1:0] at;
    wire keep = at < CW'(KEEP);

    assign o_data  = i_data;
    assign o_valid = i_valid && keep;
    assign i_ready = o_ready || !keep;

    always_ff @(posedge clk) begin
        if (rst) at <= '0;
        else if (i_valid && i_ready) at <= at == CW'(TOTAL - 1) ? '0 : at + 1'b1;
    end
endmodule
`default_nettype wire
