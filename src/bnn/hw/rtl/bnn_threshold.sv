// SPDX-License-Identifier: BSD-3-Clause
// Thresholds for a stream that does not come from a matrix unit: LANES channels a word, FOLDS words
// a position.
//
// One word per cycle, 5 cycles from input to output. After a word is taken nothing stalls it: there
// is a credit for each free place of the output FIFO, as in bnn_matrix. See
// bnn_threshold_compare for the thresholds.
`default_nettype none
module bnn_threshold #(
    parameter int LANES    = 1,      // channels of a word, at least 1
    parameter int FOLDS    = 1,      // words of a position: channels / LANES
    parameter int IBITS    = 8,      // width of an input value
    parameter int ISIGNED  = 1,      // 1: inputs are two's complement; 0: unsigned
    parameter int ACC      = 9,      // width of the comparisons, more than IBITS
    parameter int LEVELS   = 1,      // thresholds of a channel, at least 1
    parameter int FALLING  = 0,      // 1: a bit of each channel inverts its comparisons
    parameter int CODE     = 0,      // output if no threshold is reached
    parameter int STEP     = 1,      // added to the output for each threshold reached
    parameter int OBITS    = 1,      // width of an output value
    parameter int DEPTH    = 8,      // words of the output FIFO; full rate needs 6
    parameter int LOADABLE = 0,      // 1: thresholds are written by p_*; 0: constants
    parameter     TFILE    = "",     // hex file of the thresholds, for LOADABLE = 0
    parameter     TSTYLE   = "auto"  // memory style of the thresholds
) (
    input  wire                          clk,       // registers change at its rising edge
    input  wire                          rst,       // synchronous, active high: drops all words
    input  wire                          i_valid,   // a word is offered, and stays until i_ready
    output wire                          i_ready,   // there is a free place in the output FIFO
    input  wire  [LANES*IBITS-1:0]       i_data,    // channel l in bits [l * IBITS +: IBITS]
    output wire                          o_valid,   // a word is offered, and stays until o_ready
    input  wire                          o_ready,   // 1: the word is taken if o_valid is 1 too
    output wire  [LANES*OBITS-1:0]       o_data,    // channel l in bits [l * OBITS +: OBITS]
    output wire  [$clog2(DEPTH + 2)-1:0] fill,     // words in the output FIFO, 0 to DEPTH + 1
    input  wire                          p_valid,   // 1: a write in this cycle; always taken
    input  wire                          p_thresholds,  // must be 1: there are no weights
    input  wire  [15:0]                  p_item,    // element * ceil(bits / 32) + chunk of 32 bits
    input  wire  [19:0]                  p_index,   // word of the memory: the fold
    input  wire  [31:0]                  p_data     // the chunk; bits above its width are ignored
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1 || FOLDS < 1 || LEVELS < 1 || OBITS < 1 || DEPTH < 1) begin : gen_refuse_sizes
        $error("bnn_threshold: LANES, FOLDS, LEVELS, OBITS and DEPTH must be at least 1");
    end
    if (IBITS < 1 || ACC <= IBITS) begin : gen_refuse_acc
        $error("bnn_threshold: ACC must be greater than IBITS, and IBITS at least 1");
    end
`endif
    localparam int TB = LEVELS * ACC + FALLING;
    localparam int FW = FOLDS > 1 ? $clog2(FOLDS) : 1;
    localparam int CW = $clog2(DEPTH + 1);
    logic [FW-1:0] fold;
    logic [CW-1:0] credit;
    logic [2:0] moving;
    logic [LANES*IBITS-1:0] x;
    wire take = i_valid && i_ready;
    assign i_ready = credit != '0;

    always_ff @(posedge clk) begin
        x <= i_data;
        if (rst) begin
            fold   <= '0;
            credit <= CW'(DEPTH);
            moving <= '0;
        end else begin
            if (take) fold <= fold == FW'(FOLDS - 1) ? '0 : fold + 1'b1;
            credit <= credit + CW'(o_valid && o_ready) - CW'(take);
            moving <= {moving[1:0], take};
        end
    end

    wire [LANES*TB-1:0] t;
    bnn_parameters #(
        .ITEMS(LANES), .BITS(TB), .DEPTH(FOLDS), .LOADABLE(LOADABLE), .FILE(TFILE), .STYLE(TSTYLE)
    ) thresholds (
        .clk(clk), .address(fold), .word(t), .p_valid(p_valid && p_thresholds), .p_item(p_item),
        .p_index(p_index), .p_data(p_data)
    );

    wire [LANES*OBITS-1:0] y;
    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [IBITS-1:0] value = x[l*IBITS+:IBITS];
        wire [ACC-1:0] acc = {{ACC - IBITS{(ISIGNED != 0) && value[IBITS-1]}}, value};
        bnn_threshold_compare #(
            .ACC(ACC), .LEVELS(LEVELS), .FALLING(FALLING), .CODE(CODE), .STEP(STEP), .OBITS(OBITS)
        ) compare (
            .clk(clk), .acc(acc), .params(t[l*TB+:TB]), .y(y[l*OBITS+:OBITS])
        );
    end

    wire room;
    bnn_fifo #(.BITS(LANES * OBITS), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(moving[2]), .i_ready(room), .i_data(y),
        .o_valid(o_valid), .o_ready(o_ready), .o_data(o_data), .fill(fill)
    );
    wire unused = &{1'b0, room};  // a credit was held: there is room
endmodule
`default_nettype wire
