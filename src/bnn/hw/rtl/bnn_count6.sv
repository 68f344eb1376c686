// SPDX-License-Identifier: BSD-3-Clause
// Column-wise 6:3 counters: six slices of `bits`, in each column the number of ones as three bits.
`default_nettype none
module bnn_count6 #(
    parameter int BITS = 22
) (
    input  wire                         clk,
    input  wire  [BITS-1:0]             bits,
    output logic [(BITS + 5) / 6 - 1:0] ones,
    output logic [(BITS + 5) / 6 - 1:0] twos,
    output logic [(BITS + 5) / 6 - 1:0] fours
);
    localparam int S = (BITS + 5) / 6;
    logic [6*S-1:0] padded;
    always_comb begin
        padded = '0;
        padded[BITS-1:0] = bits;
    end
    wire [S-1:0] a = padded[0+:S], b = padded[S+:S], c = padded[2*S+:S];
    wire [S-1:0] d = padded[3*S+:S], e = padded[4*S+:S], f = padded[5*S+:S];
    wire [S-1:0] sum_abc = a ^ b ^ c, sum_def = d ^ e ^ f;
    wire [S-1:0] carry_abc = (a & b) | (a & c) | (b & c);
    wire [S-1:0] carry_def = (d & e) | (d & f) | (e & f);
    wire [S-1:0] carry = sum_abc & sum_def;
    always_ff @(posedge clk) begin
        ones  <= sum_abc ^ sum_def;
        twos  <= carry_abc ^ carry_def ^ carry;
        fours <= (carry_abc & carry_def) | (carry_abc & carry) | (carry_def & carry);
    end
endmodule
`default_nettype wire
