// SPDX-License-Identifier: BSD-3-Clause
// From groups of positions back to raster order.
//
// In:  NF words a group; a word holds a field of BITS (some rows' values) for each of PIXELS positions.
// Out: a word a position, all its NF fields, the first lowest. Of the last group of an
//      image (GROUPS groups) only TAIL positions are real; the others are dropped.
// A group enters while the one before leaves: max(NF, PIXELS) + 1 cycles a group.
`default_nettype none
module bnn_serialize #(
    parameter int BITS   = 8,
    parameter int PIXELS = 2,
    parameter int NF     = 1,
    parameter int GROUPS = 1,
    parameter int TAIL   = 1
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   i_valid,
    output wire                   i_ready,
    input  wire [PIXELS*BITS-1:0] i_data,
    output wire                   o_valid,
    input  wire                   o_ready,
    output wire [NF*BITS-1:0]     o_data
);
    localparam int FW = $clog2(NF + 1);
    localparam int PW = $clog2(PIXELS + 1);
    localparam int GW = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam int WORD = NF * BITS;
    logic [PIXELS*WORD-1:0] filling, leaving;
    logic [FW-1:0] filled;
    logic [PW-1:0] left;
    logic [GW-1:0] group;
    wire full = filled == FW'(NF);
    wire move = full && (left == '0 || (left == PW'(1) && o_ready));
    wire last = group == GW'(GROUPS - 1);

    assign i_ready = !full || move;
    assign o_valid = left != '0;
    assign o_data  = leaving[WORD-1:0];

    wire [PIXELS*WORD-1:0] pushed;
    for (genvar p = 0; p < PIXELS; p++) begin : gen_pixel
        if (NF == 1) begin : gen_one
            assign pushed[p*WORD+:WORD] = i_data[p*BITS+:BITS];
        end else begin : gen_more
            assign pushed[p*WORD+:WORD] = {i_data[p*BITS+:BITS], filling[p*WORD+BITS+:WORD-BITS]};
        end
    end

    always_ff @(posedge clk) begin
        if (i_valid && i_ready) filling <= pushed;
        if (move) leaving <= filling;
        else if (o_ready) leaving <= leaving >> WORD;
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            filled <= '0;
            left   <= '0;
            group  <= '0;
        end else begin
            if (move) filled <= FW'(i_valid);
            else if (i_valid && i_ready) filled <= filled + 1'b1;
            if (move) begin
                left  <= last ? PW'(TAIL) : PW'(PIXELS);
                group <= last ? '0 : group + 1'b1;
            end else if (o_valid && o_ready) left <= left - 1'b1;
        end
    end
endmodule
`default_nettype wire
