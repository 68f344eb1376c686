// SPDX-License-Identifier: BSD-3-Clause
// A vector that is carried from column to column of a sequence: WORDS words of LANES values.
//
// After a start, the words of the first column are START in every value; those of column n + 1 are
// what arrives for column n, converted to BITS bits. What arrives for the last column is dropped:
// nothing is left when the sequence ends. 2 cycles from input to output, one word per cycle.
`default_nettype none
module bnn_state #(
    parameter int LANES     = 1,  // values in a word, at least 1
    parameter int I_BITS    = 8,  // width of an arriving value, at least 1
    parameter int I_SIGNED  = 1,  // 1: arriving values are two's complement; 0: unsigned
    parameter int I_BIPOLAR = 0,  // 1: an arriving value is one bit that becomes -1 or +1
    parameter int BITS      = 8,  // width of a carried value, at least 1; higher bits are dropped
    parameter int WORDS     = 1,  // words of a column, at least 1
    parameter int START     = 0   // code of every value at the first column; low BITS bits
) (
    input  wire                          clk,      // registers change at its rising edge
    input  wire                          rst,      // synchronous, active high: drops all words
    input  wire                          start,    // 1: a sequence begins; before its first word
    input  wire  [31:0]                  columns,  // its columns, at least 1; stays while it runs
    input  wire                          i_valid,  // a word is offered, and stays until i_ready
    output wire                          i_ready,  // 1: there is room; does not depend on o_ready
    input  wire  [LANES*I_BITS-1:0]      i_data,   // value l in bits [l * I_BITS +: I_BITS]
    output wire                          o_valid,  // a word is offered, and stays until o_ready
    input  wire                          o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [LANES*BITS-1:0]        o_data    // value l in bits [l * BITS +: BITS]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1 || BITS < 1 || WORDS < 1) begin : gen_refuse_sizes
        $error("bnn_state: LANES, BITS and WORDS must be at least 1");
    end
    if (I_BITS < 1 || (I_BIPOLAR != 0 && I_BITS != 1)) begin : gen_refuse_input
        $error("bnn_state: I_BITS must be at least 1, and 1 for bipolar values");
    end
`endif
    localparam int CW = $clog2(WORDS + 1);
    localparam int WIDE = I_BITS + BITS + 1;
    logic [31:0] due;      // columns of this sequence that have not arrived
    logic late;            // the last column of the sequence before has not arrived
    logic [CW-1:0] at;     // words of the arriving column so far
    logic [CW-1:0] first;  // words of the first column that are still to be offered
    wire room;
    wire drop = late || due <= 32'd1;
    wire ended = i_valid && i_ready && at == CW'(WORDS - 1);
    wire [31:0] left = due - 32'(ended && !late);
    assign i_ready = drop || room;

    always_ff @(posedge clk) begin
        if (rst) begin
            due   <= '0;
            late  <= 1'b0;
            at    <= '0;
            first <= '0;
        end else begin
            if (i_valid && i_ready) at <= ended ? '0 : at + 1'b1;
            due <= start ? columns : left;
            if (start) late <= left != '0;
            else if (ended) late <= 1'b0;
            if (start) first <= CW'(WORDS);
            else if (first != '0 && o_ready) first <= first - 1'b1;
        end
    end

    wire [LANES*BITS-1:0] converted, kept;
    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [I_BITS-1:0] given = i_data[l*I_BITS+:I_BITS];
        wire [WIDE-1:0] wide = I_BIPOLAR != 0 ? {{WIDE - 1{!given[0]}}, 1'b1}
                             : {{WIDE - I_BITS{(I_SIGNED != 0) && given[I_BITS-1]}}, given};
        assign converted[l*BITS+:BITS] = wide[BITS-1:0];
        wire unused = &{1'b0, wide};
    end
    wire fifo_valid;
    wire [$clog2(WORDS + 2)-1:0] fill;
    wire unused_fill = &{1'b0, fill};
    bnn_fifo #(.BITS(LANES * BITS), .DEPTH(WORDS)) fifo (
        .clk(clk), .rst(rst), .i_valid(i_valid && !drop), .i_ready(room), .i_data(converted),
        .o_valid(fifo_valid), .o_ready(o_ready && first == '0), .o_data(kept), .fill(fill)
    );
    assign o_valid = first != '0 || fifo_valid;
    assign o_data = first != '0 ? {LANES{BITS'(START)}} : kept;
endmodule
`default_nettype wire
