// SPDX-License-Identifier: BSD-3-Clause
// Joins RATIO words into one, the first lowest, in each of GROUPS independent fields.
//
// One input word a cycle; an output word leaves RATIO cycles after its first part came.
`default_nettype none
module bnn_widen #(
    parameter int BITS   = 8,
    parameter int RATIO  = 2,
    parameter int GROUPS = 1
) (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          i_valid,
    output wire                          i_ready,
    input  wire  [GROUPS*BITS-1:0]       i_data,
    output wire                          o_valid,
    input  wire                          o_ready,
    output logic [GROUPS*RATIO*BITS-1:0] o_data
);
    localparam int CW = $clog2(RATIO + 1);
    localparam int OUT = RATIO * BITS;
    logic [CW-1:0] count;

    assign o_valid = count == CW'(RATIO);
    assign i_ready = !o_valid || o_ready;

    always_ff @(posedge clk) begin
        if (i_valid && i_ready)
            for (int g = 0; g < GROUPS; g++)
                o_data[g*OUT+:OUT] <= {i_data[g*BITS+:BITS], o_data[g*OUT+BITS+:OUT-BITS]};
    end

    always_ff @(posedge clk) begin
        if (rst) count <= '0;
        else if (o_valid && o_ready) count <= CW'(i_valid);
        else if (i_valid && i_ready) count <= count + 1'b1;
    end
endmodule
`default_nettype wire
