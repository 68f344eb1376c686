// SPDX-License-Identifier: BSD-3-Clause
// Simple models of 7-series primitives, for benches of what BNN_LUT6 chooses.
`default_nettype none
module LUT1 #(parameter logic [1:0] INIT = 0) (output wire O, input wire I0);
    assign O = INIT[I0];
endmodule

module LUT6 #(parameter logic [63:0] INIT = 0) (
    output wire O, input wire I0, I1, I2, I3, I4, I5
);
    assign O = INIT[{I5, I4, I3, I2, I1, I0}];
endmodule

module MUXF7 (output wire O, input wire I0, I1, S);
    assign O = S ? I1 : I0;
endmodule

module MUXF8 (output wire O, input wire I0, I1, S);
    assign O = S ? I1 : I0;
endmodule

module CARRY4 (
    output wire [3:0] CO, output wire [3:0] O, input wire CI, CYINIT, input wire [3:0] DI, S
);
    wire [4:0] carry;
    assign carry[0] = CI | CYINIT;
    for (genvar i = 0; i < 4; i++) begin : gen_bit
        assign carry[i+1] = S[i] ? carry[i] : DI[i];
    end
    assign O = S ^ carry[3:0];
    assign CO = carry[4:1];
endmodule
`default_nettype wire
