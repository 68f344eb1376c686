// SPDX-License-Identifier: BSD-3-Clause
// Fixed-point arithmetic on a stream: y = bound(round((m * x + a) / 2^SHIFT)), LANES channels a
// word, FOLDS words a position. Product and sum are exact; only the quotient is rounded.
//
// One word per cycle; LATENCY cycles from input to the output FIFO, which takes 2 more. LATENCY is
// 2, and 1 more for each of: a product that is not a shift, offsets, a rounding. After a word is
// taken nothing stalls it: there is a credit for each free place of the output FIFO, as in
// bnn_threshold. The product has registers on both sides, as a DSP slice has.
`default_nettype none
module bnn_rescale #(
    parameter int LANES     = 1,     // channels of a word, at least 1
    parameter int FOLDS     = 1,     // words of a position: channels / LANES
    parameter int IBITS     = 8,     // width of an input value
    parameter int USED      = 8,     // low bits of an input value that are read, 1 to IBITS
    parameter int ISIGNED   = 1,     // 1: the used bits are two's complement; 0: unsigned
    parameter int IBIPOLAR  = 0,     // 1: an input is one bit, 0 for -1 and 1 for +1
    parameter int MBITS     = 8,     // width of a channel's multiplier, signed; 0: FACTOR for all
    parameter int FACTOR    = 1,     // multiplier of all channels, for MBITS = 0
    parameter int ABITS     = 0,     // width of a channel's offset, two's complement; 0: no offsets
    parameter int WIDE      = 18,    // width of the sum with its rounding, at least SHIFT + 2
    parameter int SHIFT     = 0,     // the sum is divided by 2^SHIFT
    parameter int ROUNDING  = 0,     // 0 down; to the nearest, halves: 1 up, 2 even, 3 to zero
    parameter int LOW       = -128,  // least result; it fits in OBITS + 1 bits
    parameter int HIGH      = 127,   // largest result; it fits in OBITS + 1 bits
    parameter int CLIP_LOW  = 1,     // 1: quotients below LOW become LOW; 0: there are none
    parameter int CLIP_HIGH = 1,     // 1: quotients above HIGH become HIGH; 0: there are none
    parameter int WRAP      = 0,     // 1: quotients are taken modulo HIGH - LOW + 1 instead
    parameter int OBITS     = 8,     // width of an output value, 1 to 32; higher bits are dropped
    parameter int DEPTH     = 10,    // words of the output FIFO; full rate needs LATENCY + 3
    parameter int LOADABLE  = 0,     // 1: numbers of channels are written by p_*; 0: constants
    parameter     TFILE     = "",    // hex file with them, for LOADABLE = 0
    parameter     TSTYLE    = "auto" // memory style of the numbers of channels
) (
    input  wire                          clk,       // registers change at its rising edge
    input  wire                          rst,       // synchronous, active high: drops all words
    input  wire                          i_valid,   // a word is offered, and stays until i_ready
    output wire                          i_ready,   // there is a free place in the output FIFO
    input  wire  [LANES*IBITS-1:0]       i_data,    // channel l in bits [l * IBITS +: IBITS]
    output wire                          o_valid,   // a word is offered, and stays until o_ready
    input  wire                          o_ready,   // 1: the word is taken if o_valid is 1 too
    output wire  [LANES*OBITS-1:0]       o_data,    // channel l in bits [l * OBITS +: OBITS]
    output wire  [$clog2(DEPTH + 2)-1:0] fill,      // words in the output FIFO, 0 to DEPTH + 1
    input  wire                          p_valid,   // 1: a write in this cycle; always taken
    input  wire                          p_thresholds,  // must be 1: there are no weights
    input  wire  [15:0]                  p_item,    // element * ceil(bits / 32) + chunk of 32 bits
    input  wire  [19:0]                  p_index,   // word of the memory: the fold
    input  wire  [31:0]                  p_data     // the chunk; bits above its width are ignored
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1 || FOLDS < 1 || DEPTH < 1) begin : gen_refuse_sizes
        $error("bnn_rescale: LANES, FOLDS and DEPTH must be at least 1");
    end
    if (USED < 1 || USED > IBITS || (IBIPOLAR != 0 && IBITS != 1)) begin : gen_refuse_input
        $error("bnn_rescale: USED must be 1 to IBITS, and IBITS 1 for bipolar inputs");
    end
    if (MBITS < 0 || ABITS < 0 || OBITS < 1 || OBITS > 32) begin : gen_refuse_bits
        $error("bnn_rescale: MBITS and ABITS must not be negative, and OBITS must be 1 to 32");
    end
    if (SHIFT < 0 || WIDE < SHIFT + 2 || ABITS > WIDE) begin : gen_refuse_wide
        $error("bnn_rescale: WIDE must be at least SHIFT + 2 and ABITS, and SHIFT at least 0");
    end
    if (ROUNDING < 0 || ROUNDING > 3 || (ROUNDING != 0 && SHIFT == 0)) begin : gen_refuse_rounding
        $error("bnn_rescale: ROUNDING must be 0 to 3, and 0 without a shift");
    end
`endif
    localparam int PRODUCT = MBITS > 0 || FACTOR <= 0 || (FACTOR & (FACTOR - 1)) != 0 ? 1 : 0;
    localparam int SUM = ABITS > 0 ? 1 : 0;
    localparam int ROUND = ROUNDING != 0 ? 1 : 0;
    localparam int LATENCY = 2 + PRODUCT + SUM + ROUND;
    localparam int TB = MBITS + ABITS;  // of a channel's numbers: the multiplier, then the offset
    localparam int CW = $clog2(DEPTH + 1);
    logic [CW-1:0] credit;
    logic [LATENCY-1:0] moving;
    logic [LANES*IBITS-1:0] x;
    wire take = i_valid && i_ready;
    assign i_ready = credit != '0;

    always_ff @(posedge clk) begin
        x <= i_data;
        if (rst) begin
            credit <= CW'(DEPTH);
            moving <= '0;
        end else begin
            credit <= credit + CW'(o_valid && o_ready) - CW'(take);
            moving <= {moving[LATENCY-2:0], take};
        end
    end

    localparam int TW = TB > 0 ? TB : 1;
    wire [LANES*TW-1:0] t;
    if (TB > 0) begin : gen_numbers
        localparam int FW = FOLDS > 1 ? $clog2(FOLDS) : 1;
        logic [FW-1:0] fold;
        always_ff @(posedge clk) begin
            if (rst) fold <= '0;
            else if (take) fold <= fold == FW'(FOLDS - 1) ? '0 : fold + 1'b1;
        end
        bnn_parameters #(
            .ITEMS(LANES), .BITS(TB), .DEPTH(FOLDS), .LOADABLE(LOADABLE), .FILE(TFILE),
            .STYLE(TSTYLE)
        ) numbers (
            .clk(clk), .address(fold), .word(t), .p_valid(p_valid && p_thresholds),
            .p_item(p_item), .p_index(p_index), .p_data(p_data)
        );
    end else begin : gen_none
        assign t = '0;
        wire unused = &{1'b0, p_valid, p_thresholds, p_item, p_index, p_data};
    end

    wire [LANES*OBITS-1:0] y;
    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        bnn_rescale_lane #(
            .IBITS(IBITS), .USED(USED), .ISIGNED(ISIGNED), .IBIPOLAR(IBIPOLAR), .MBITS(MBITS),
            .FACTOR(FACTOR), .ABITS(ABITS), .WIDE(WIDE), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .LOW(LOW), .HIGH(HIGH), .CLIP_LOW(CLIP_LOW), .CLIP_HIGH(CLIP_HIGH), .WRAP(WRAP),
            .OBITS(OBITS), .PRODUCT(PRODUCT)
        ) lane (
            .clk(clk), .x(x[l*IBITS+:IBITS]), .numbers(t[l*TW+:TW]), .y(y[l*OBITS+:OBITS])
        );
    end

    wire room;
    bnn_fifo #(.BITS(LANES * OBITS), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(moving[LATENCY-1]), .i_ready(room), .i_data(y),
        .o_valid(o_valid), .o_ready(o_ready), .o_data(o_data), .fill(fill)
    );
    wire unused_room = &{1'b0, room};  // a credit was held: there is room
endmodule
`default_nettype wire
