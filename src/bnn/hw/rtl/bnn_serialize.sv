// SPDX-License-Identifier: BSD-3-Clause
// From groups of positions back to raster order.
//
// In:  NF words per group; a word holds a field of BITS bits (the values of some rows) for each of
//      PIXELS positions.
// Out: a word per position, with all its NF fields, the first lowest. Of the last group of an
//      image (GROUPS groups) only TAIL positions are real; the others are dropped.
// A group comes in while the previous one goes out: max(NF, PIXELS) cycles per group when neither
// side stalls. The first word comes 2 cycles after the group's last. i_ready depends on o_ready in
// the same cycle.
`default_nettype none
module bnn_serialize #(
    parameter int BITS   = 8,  // width of a position's field in a word in
    parameter int PIXELS = 2,  // positions of a group, at least 1
    parameter int NF     = 1,  // words in of a group, at least 1
    parameter int GROUPS = 1,  // groups of an image, at least 1
    parameter int TAIL   = 1   // positions of an image's last group, 1 to PIXELS
) (
    input  wire                    clk,      // registers change at its rising edge
    input  wire                    rst,      // synchronous, active high: drops all words
    input  wire                    i_valid,  // a word is offered, and stays until i_ready
    output wire                    i_ready,  // 1: the word is taken if i_valid is 1 too
    input  wire  [PIXELS*BITS-1:0] i_data,   // field of position p in bits [p * BITS +: BITS]
    output wire                    o_valid,  // a word is offered, and stays until o_ready
    input  wire                    o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [NF*BITS-1:0]     o_data    // NF fields of one position, the first word's lowest
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || PIXELS < 1 || NF < 1 || GROUPS < 1) begin : gen_refuse_sizes
        $error("bnn_serialize: BITS, PIXELS, NF and GROUPS must be at least 1");
    end
    if (TAIL < 1 || TAIL > PIXELS) begin : gen_refuse_tail
        $error("bnn_serialize: TAIL must be 1 to PIXELS");
    end
`endif
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
