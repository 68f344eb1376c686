// SPDX-License-Identifier: BSD-3-Clause
// Deals the words of a stream to two consumers in turn: A_WORDS to the first, then B_WORDS to the
// second.
//
// Combinational, except for the count of words. It undoes what bnn_concat does.
`default_nettype none
module bnn_deal #(
    parameter int BITS    = 8,  // width of a word, at least 1
    parameter int A_WORDS = 1,  // words in a row for the first consumer, at least 1
    parameter int B_WORDS = 1   // words in a row for the second consumer, at least 1
) (
    input  wire              clk,      // registers change at its rising edge
    input  wire              rst,      // synchronous, active high: the next word is the first's
    input  wire              i_valid,  // a word is offered, and stays until i_ready
    output wire              i_ready,  // 1: the consumer whose turn it is takes the word
    input  wire [BITS-1:0]   i_data,   // word
    output wire [1:0]        o_valid,  // of each consumer: a word is offered, until o_ready
    input  wire [1:0]        o_ready,  // of each consumer: the word is taken if it is offered
    output wire [2*BITS-1:0] o_data    // the word, for consumer n in bits [n * BITS +: BITS]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || A_WORDS < 1 || B_WORDS < 1) begin : gen_refuse_sizes
        $error("bnn_deal: BITS, A_WORDS and B_WORDS must be at least 1");
    end
`endif
    localparam int WORDS = A_WORDS + B_WORDS;
    localparam int WW = $clog2(WORDS);
    logic [WW-1:0] word;
    wire turn = word >= WW'(A_WORDS);  // of the second
    assign i_ready = turn ? o_ready[1] : o_ready[0];
    assign o_valid = {i_valid && turn, i_valid && !turn};
    assign o_data = {2{i_data}};

    always_ff @(posedge clk) begin
        if (rst) word <= '0;
        else if (i_valid && i_ready) word <= word == WW'(WORDS - 1) ? '0 : word + 1'b1;
    end
endmodule
`default_nettype wire
