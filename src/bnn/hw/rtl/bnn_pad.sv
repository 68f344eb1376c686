// SPDX-License-Identifier: BSD-3-Clause
// After every KEEP words adds zero words up to TOTAL: fills an image's last memory word.
//
// Combinational from input to output; one word out a cycle.
`default_nettype none
module bnn_pad #(
    parameter int BITS  = 8,  // width of a word, at least 1
    parameter int KEEP  = 1,  // words of a frame that pass, 1 to TOTAL - 1
    parameter int TOTAL = 2   // words of a frame out, at least 2
) (
    input  wire             clk,      // registers change at its rising edge
    input  wire             rst,      // synchronous, active high: drops all words
    input  wire             i_valid,  // a word is offered, and stays until i_ready
    output wire             i_ready,  // the word is taken now; 0 while zeros go out
    input  wire  [BITS-1:0] i_data,   // word of the frame
    output wire             o_valid,  // a word is offered, from the input or a zero
    input  wire             o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [BITS-1:0] o_data    // the input's word, or 0
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1) begin : gen_refuse_bits
        $error("bnn_pad: BITS must be at least 1");
    end
    if (KEEP < 1 || KEEP >= TOTAL) begin : gen_refuse_keep
        $error("bnn_pad: KEEP must be 1 to TOTAL - 1");
    end
`endif
    localparam int CW = $clog2(TOTAL);
    logic [CW-1:0] at;
    wire keep = at < CW'(KEEP);

    assign o_data  = keep ? i_data : '0;
    assign o_valid = i_valid || !keep;
    assign i_ready = o_ready && keep;

    always_ff @(posedge clk) begin
        if (rst) at <= '0;
        else if (o_valid && o_ready) at <= at == CW'(TOTAL - 1) ? '0 : at + 1'b1;
    end
endmodule
`default_nettype wire
