// SPDX-License-Identifier: BSD-3-Clause
// Combinational. s = choose[0] != choose[1] ? q : p; y = a + (INVERT && !choose[0] ? ~s : s).
//
// The choice costs no LUT: it fits into the adder's own, one LUT per bit.
// With BNN_LUT6 (see bnn_counter6to3) LUTs and carries are instances; without it Yosys
// makes two LUTs per bit.
`default_nettype none
module bnn_choose_add #(
    parameter int BITS   = 12,  // width of all operands and of y, at least 1
    parameter int INVERT = 0    // 1: add ~s (all bits inverted) where choose[0] is 0
) (
    input  wire  [BITS-1:0] a,       // operand that is always added
    input  wire  [BITS-1:0] p,       // operand chosen where choose[0] == choose[1]
    input  wire  [BITS-1:0] q,       // operand chosen where choose[0] != choose[1]
    input  wire  [1:0]      choose,  // which operand is added; see above
    output wire  [BITS-1:0] y        // sum modulo 2^BITS, in the same cycle
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1) begin : gen_refuse_bits
        $error("bnn_choose_add: BITS must be at least 1");
    end
`endif
`ifdef BNN_LUT6
    localparam int QUADS = (BITS + 3) / 4;
    // Address: a, p, q, choose[0], choose[1].
    function automatic logic [63:0] truth();
        logic [5:0] at;
        for (int i = 0; i < 64; i++) begin
            at = 6'(i);
            truth[i] = at[0] ^ (at[3] ^ at[4] ? at[2] : at[1]) ^ (INVERT != 0 && !at[3]);
        end
    endfunction
    wire [4*QUADS-1:0] sums, direct, made, carry;
    for (genvar i = 0; i < 4 * QUADS; i++) begin : gen_bit
        if (i < BITS) begin : gen_lut
            LUT6 #(.INIT(truth())) lut (
                .O(sums[i]), .I0(a[i]), .I1(p[i]), .I2(q[i]), .I3(choose[0]), .I4(choose[1]),
                .I5(1'b0));
            assign direct[i] = a[i];
            assign y[i] = made[i];
        end else begin : gen_spare
            assign sums[i] = 1'b0;
            assign direct[i] = 1'b0;
        end
    end
    for (genvar n = 0; n < QUADS; n++) begin : gen_carry
        wire into;
        if (n == 0) begin : gen_first
            assign into = 1'b0;
        end else begin : gen_next
            assign into = carry[4*n-1];
        end
        CARRY4 carries (
            .CO(carry[4*n+:4]), .O(made[4*n+:4]), .CI(into), .CYINIT(1'b0),
            .DI(direct[4*n+:4]), .S(sums[4*n+:4]));
    end
`else
    wire [BITS-1:0] chosen = ^choose ? q : p;
    assign y = a + (INVERT != 0 && !choose[0] ? ~chosen : chosen);
`endif
endmodule
`default_nettype wire
