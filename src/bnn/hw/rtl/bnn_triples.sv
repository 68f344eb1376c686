// SPDX-License-Identifier: BSD-3-Clause
// BITS triples of places; a place compares an input bit with a weight bit (XNOR). Of each triple:
// whether at least two places agree, and whether an odd number does. Slice s of x and of w is place
// s. Combinational.
//
// CODED = 1: the last slice of w holds the parity of the triple's three weights.
// One LUT6 an output bit; see bnn_counter6to3 for BNN_LUT6.
`default_nettype none
module bnn_triples #(
    parameter int BITS  = 22,  // triples, at least 1
    parameter int CODED = 0    // 1: the last slice of w holds parities, see above
) (
    input  wire  [3*BITS-1:0] x,     // place s of triple t in bit s * BITS + t
    input  wire  [3*BITS-1:0] w,     // same layout
    output wire  [BITS-1:0]   most,  // of each triple: at least two places agree
    output wire  [BITS-1:0]   odd    // of each triple: one or three places agree
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1) begin : gen_refuse_bits
        $error("bnn_triples: BITS must be at least 1");
    end
`endif
`ifdef BNN_LUT6
    // Address bits 2:0 are the inputs, 5:3 the weights.
    function automatic logic [63:0] truth(input logic majority);
        logic [2:0] agree;
        for (int i = 0; i < 64; i++) begin
            agree = ~(3'(i) ^ 3'(i >> 3));
            if (CODED != 0) agree[2] = agree[2] ^ i[3] ^ i[4];
            truth[i] = majority ? $countones(agree) >= 2 : ^agree;
        end
    endfunction
    for (genvar t = 0; t < BITS; t++) begin : gen_lut
        LUT6 #(.INIT(truth(1'b1))) lut_most (
            .O(most[t]), .I0(x[t]), .I1(x[BITS+t]), .I2(x[2*BITS+t]),
            .I3(w[t]), .I4(w[BITS+t]), .I5(w[2*BITS+t]));
        LUT6 #(.INIT(truth(1'b0))) lut_odd (
            .O(odd[t]), .I0(x[t]), .I1(x[BITS+t]), .I2(x[2*BITS+t]),
            .I3(w[t]), .I4(w[BITS+t]), .I5(w[2*BITS+t]));
    end
`else
    wire [BITS-1:0] wa = w[0+:BITS], wb = w[BITS+:BITS], wc = w[2*BITS+:BITS];
    wire [BITS-1:0] a = ~(x[0+:BITS] ^ wa), b = ~(x[BITS+:BITS] ^ wb);
    wire [BITS-1:0] c = ~(x[2*BITS+:BITS] ^ (CODED != 0 ? wa ^ wb ^ wc : wc));
    assign most = (a & b) | (a & c) | (b & c);
    assign odd  = a ^ b ^ c;
`endif
endmodule
`default_nettype wire
