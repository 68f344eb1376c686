// SPDX-License-Identifier: BSD-3-Clause
// Splits a word into RATIO words, the lowest first, in each of GROUPS independent fields.
//
// One output word a cycle, without a gap between input words.
`default_nettype none
module bnn_narrow #(
    parameter int BITS   = 8,
    parameter int RATIO  = 2,
    parameter int GROUPS = 1
) (
    input  wire                         clk,
    input  wire                         rst,
    input  wire                         i_valid,
    output wire                         i_ready,
    input  wire [GROUPS*RATIO*BITS-1:0] i_data,
    output wire                         o_valid,
    input  wire                         o_ready,
    output wire [GROUPS*BITS-1:0]       o_data
);
    localparam int CW = $clog2(RATIO + 1);
    localparam int IN = RATIO * BITS;
    logic [CW-1:0] left;
    logic [GROUPS*IN-1:0] hold;

    assign o_valid = left != 0;
    assign i_ready = !o_valid || (left == CW'(1) && o_ready);

    for (genvar g = 0; g < GROUPS; g++) begin : gen_group
        assign o_data[g*BITS+:BITS] = hold[g*IN+:BITS];
        always_ff @(posedge clk) begin
            if (i_valid && i_ready) hold[g*IN+:IN] <= i_data[g*IN+:IN];
            else if (o_ready) hold[g*IN+:IN] <= {{BITS{1'b0}}, hold[g*IN+BITS+:IN-BITS]};
        end
    end

    always_ff @(posedge clk) begin
        if (rst) left <= '0;
        else if (i_valid && i_ready) left <= CW'(RATIO);
        else if (o_valid && o_ready) left <= left - 1'b1;
    end
endmodule
`default_nettype wire
