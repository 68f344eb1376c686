// SPDX-License-Identifier: BSD-3-Clause
// Thresholds for a stream that comes from no matrix: LANES channels a word, FOLDS words a position.
//
// One word a cycle; behind the issue step nothing stalls (credits of the output FIFO, as in
// bnn_matrix). See bnn_levels for the parameters.
`default_nettype none
module bnn_threshold #(
    parameter int LANES    = 1,
    parameter int FOLDS    = 1,
    parameter int IBITS    = 8,
    parameter int ISIGNED  = 1,
    parameter int ACC      = 9,
    parameter int LEVELS   = 1,
    parameter int FALLING  = 0,
    parameter int CODE     = 0,
    parameter int STEP     = 1,
    parameter int OBITS    = 1,
    parameter int DEPTH    = 8,
    parameter int LOADABLE = 0,
    parameter     TFILE    = "",
    parameter     TSTYLE   = "auto"
) (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          i_valid,
    output wire                          i_ready,
    input  wire  [LANES*IBITS-1:0]       i_data,
    output wire                          o_valid,
    input  wire                          o_ready,
    output wire  [LANES*OBITS-1:0]       o_data,
    output wire  [$clog2(DEPTH + 2)-1:0] level,
    input  wire                          p_valid,
    input  wire                          p_levels,
    input  wire  [15:0]                  p_item,
    input  wire  [19:0]                  p_index,
    input  wire  [31:0]                  p_data
);
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
    ) levels (
        .clk(clk), .address(fold), .word(t), .p_valid(p_valid && p_levels), .p_item(p_item),
        .p_index(p_index), .p_data(p_data)
    );

    wire [LANES*OBITS-1:0] y;
    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [IBITS-1:0] value = x[l*IBITS+:IBITS];
        wire [ACC-1:0] acc = {{ACC - IBITS{(ISIGNED != 0) && value[IBITS-1]}}, value};
        bnn_levels #(
            .ACC(ACC), .LEVELS(LEVELS), .FALLING(FALLING), .CODE(CODE), .STEP(STEP), .OBITS(OBITS)
        ) level (
            .clk(clk), .acc(acc), .params(t[l*TB+:TB]), .y(y[l*OBITS+:OBITS])
        );
    end

    wire room;
    bnn_fifo #(.BITS(LANES * OBITS), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(moving[2]), .i_ready(room), .i_data(y),
        .o_valid(o_valid), .o_ready(o_ready), .o_data(o_data), .level(level)
    );
    wire unused = &{1'b0, room};  // a credit was held: there is room
endmodule
`default_nettype wire
