// SPDX-License-Identifier: BSD-3-Clause
// Maximum over a window: reduces each POSITIONS x FOLDS words (as bnn_window emits them,
// channel folds fastest) to FOLDS words, lane by lane. After a window it is the max pool.
//
// One input word per cycle. An output word comes 1 cycle after its channels of the last position.
`default_nettype none
module bnn_max #(
    parameter int LANES     = 1,  // channels in a word, at least 1
    parameter int BITS      = 1,  // width of a value
    parameter int SIGNED    = 0,  // 1: values are two's complement; 0: unsigned
    parameter int FOLDS     = 1,  // words of one position: channels / LANES
    parameter int POSITIONS = 4   // positions of a window, at least 1
) (
    input  wire                   clk,      // registers change at its rising edge
    input  wire                   rst,      // synchronous, active high: drops all words
    input  wire                   i_valid,  // a word is offered, and stays until i_ready
    output wire                   i_ready,  // 1: the word is taken if i_valid is 1 too
    input  wire  [LANES*BITS-1:0] i_data,   // channel l in bits [l * BITS +: BITS]
    output logic                  o_valid,  // a word is offered, and stays until o_ready
    input  wire                   o_ready,  // 1: the word is taken if o_valid is 1 too
    output logic [LANES*BITS-1:0] o_data    // largest value of each channel, same layout
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (LANES < 1 || BITS < 1 || FOLDS < 1 || POSITIONS < 1) begin : gen_refuse_sizes
        $error("bnn_max: LANES, BITS, FOLDS and POSITIONS must be at least 1");
    end
`endif
    localparam int W  = LANES * BITS;
    localparam int FW = FOLDS > 1 ? $clog2(FOLDS) : 1;
    localparam int PW = POSITIONS > 1 ? $clog2(POSITIONS) : 1;

    logic [W-1:0] best[FOLDS];
    logic [FW-1:0] fold;
    logic [PW-1:0] at;
    wire first = at == '0;
    wire last = at == PW'(POSITIONS - 1);
    wire [W-1:0] kept = best[fold];
    logic [W-1:0] larger;
    wire take = i_valid && i_ready;

    assign i_ready = !last || !o_valid || o_ready;

    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        // Flipping the sign bit turns a signed comparison into an unsigned one.
        localparam logic [BITS-1:0] FLIP = SIGNED != 0 ? BITS'(1) << (BITS - 1) : '0;
        wire [BITS-1:0] a = i_data[l*BITS+:BITS];
        wire [BITS-1:0] b = kept[l*BITS+:BITS];
        assign larger[l*BITS+:BITS] = first || (a ^ FLIP) > (b ^ FLIP) ? a : b;
    end

    always_ff @(posedge clk) begin
        if (take) best[fold] <= larger;
        if (take && last) o_data <= larger;
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            fold    <= '0;
            at      <= '0;
            o_valid <= 1'b0;
        end else begin
            if (take) begin
                fold <= fold == FW'(FOLDS - 1) ? '0 : fold + 1'b1;
                if (fold == FW'(FOLDS - 1)) at <= last ? '0 : at + 1'b1;
            end
            if (take && last) o_valid <= 1'b1;
            else if (o_ready) o_valid <= 1'b0;
        end
    end
endmodule
`default_nettype wire
