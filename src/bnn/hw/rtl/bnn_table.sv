// SPDX-License-Identifier: BSD-3-Clause
// A function of a stream's values that is constant below BASE and from BASE + ENTRIES - 1 on: a
// table, of LANES copies. Thresholds that all channels share are such a function.
//
// One word per cycle, 3 cycles to the output FIFO, which takes 2 more. After a word is taken, it is
// not stalled: there is a credit for each free place of the output FIFO, as in bnn_threshold.
`default_nettype none
module bnn_table #(
    parameter int LANES   = 1,      // values of a word, at least 1
    parameter int IBITS   = 8,      // width of an input value, 1 to 32
    parameter int ISIGNED = 1,      // 1: inputs are two's complement; 0: unsigned
    parameter int BASE    = 0,      // input of the table's first entry
    parameter int ENTRIES = 2,      // entries of the table, at least 2
    parameter int OBITS   = 8,      // width of an output value, at least 1
    parameter int DEPTH   = 8,      // words of the output FIFO; full rate needs 6
    parameter     TFILE   = "",     // hex file of the table
    parameter     TSTYLE  = "auto"  // memory style of the table
) (
    input  wire                          clk,      // registers change at its rising edge
    input  wire                          rst,      // synchronous, active high: drops all words
    input  wire                          i_valid,  // a word is offered, and stays until i_ready
    output wire                          i_ready,  // there is a free place in the output FIFO
    input  wire  [LANES*IBITS-1:0]       i_data,   // value l in bits [l * IBITS +: IBITS]
    output wire                          o_valid,  // a word is offered, and stays until o_ready
    input  wire                          o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [LANES*OBITS-1:0]       o_data,   // value l in bits [l * OBITS +: OBITS]
    output wire  [$clog2(DEPTH + 2)-1:0] fill      // words in the output FIFO, 0 to DEPTH + 1
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1 || OBITS < 1 || DEPTH < 1 || ENTRIES < 2) begin : gen_refuse_sizes
        $error("bnn_table: LANES, OBITS and DEPTH must be at least 1, ENTRIES at least 2");
    end
    if (IBITS < 1 || IBITS > 32) begin : gen_refuse_input
        $error("bnn_table: IBITS must be 1 to 32");
    end
`endif
    localparam int CW = $clog2(DEPTH + 1);
    localparam int AW = $clog2(ENTRIES);
    localparam int WIDE = 36;  // of differences, more than inputs and BASE have
    logic [CW-1:0] credit;
    logic [2:0] moving;
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
            moving <= {moving[1:0], take};
        end
    end

    wire [LANES*OBITS-1:0] y;
    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [IBITS-1:0] value = x[l*IBITS+:IBITS];
        wire signed [WIDE-1:0] wide = {{WIDE - IBITS{(ISIGNED != 0) && value[IBITS-1]}}, value};
        wire signed [WIDE-1:0] place = wide - {{WIDE - 32{BASE[31]}}, BASE};
        wire above = place >= WIDE'(ENTRIES - 1);
        logic [AW-1:0] address;
        always_ff @(posedge clk)
            address <= place[WIDE-1] ? '0 : above ? AW'(ENTRIES - 1) : place[AW-1:0];
        bnn_parameters #(
            .ITEMS(1), .BITS(OBITS), .DEPTH(ENTRIES), .LOADABLE(0), .FILE(TFILE), .STYLE(TSTYLE)
        ) entries (
            .clk(clk), .address(address), .word(y[l*OBITS+:OBITS]), .p_valid(1'b0), .p_item('0),
            .p_index('0), .p_data('0)
        );
        wire unused = &{1'b0, place};
    end

    wire room;
    bnn_fifo #(.BITS(LANES * OBITS), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(moving[2]), .i_ready(room), .i_data(y),
        .o_valid(o_valid), .o_ready(o_ready), .o_data(o_data), .fill(fill)
    );
    wire unused_room = &{1'b0, room};  // a credit was held: there is room
endmodule
`default_nettype wire
