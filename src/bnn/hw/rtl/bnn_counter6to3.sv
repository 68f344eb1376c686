// SPDX-License-Identifier: BSD-3-Clause
// 6:3 counters side by side: `bits` is six slices, the rows of a table with S columns; of each
// column the number of ones comes out as three bits. Latency 1 cycle, never stalls.
//
// One LUT6 an output bit. The macro BNN_LUT6 makes them instances of LUT6, for a synthesiser that
// would use more LUTs (7-series and later: bnn.hw.synth defines it for Yosys). The function is the
// same.
`default_nettype none
module bnn_counter6to3 #(
    parameter int BITS = 22  // bits to count, at least 1; the last columns may be shorter
) (
    input  wire                         clk,   // registers change at each rising edge: no stall
    input  wire  [BITS-1:0]             bits,  // row s in bits [s * S +: S], S = ceil(BITS / 6)
    output logic [(BITS + 5) / 6 - 1:0] ones,  // bit 0 of each column's count, one cycle later
    output logic [(BITS + 5) / 6 - 1:0] twos,  // bit 1 of each column's count
    output logic [(BITS + 5) / 6 - 1:0] fours  // bit 2 of each column's count
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1) begin : gen_refuse_bits
        $error("bnn_counter6to3: BITS must be at least 1");
    end
`endif
    localparam int S = (BITS + 5) / 6;
    logic [6*S-1:0] padded;
    always_comb begin
        padded = '0;
        padded[BITS-1:0] = bits;
    end
    wire [S-1:0] a = padded[0+:S], b = padded[S+:S], c = padded[2*S+:S];
    wire [S-1:0] d = padded[3*S+:S], e = padded[4*S+:S], f = padded[5*S+:S];
    wire [S-1:0] y0, y1, y2;
`ifdef BNN_LUT6
    for (genvar s = 0; s < S; s++) begin : gen_lut
        LUT6 #(.INIT(64'h6996_9669_9669_6996)) lut0 (
            .O(y0[s]), .I0(a[s]), .I1(b[s]), .I2(c[s]), .I3(d[s]), .I4(e[s]), .I5(f[s]));
        LUT6 #(.INIT(64'h8117_177e_177e_7ee8)) lut1 (
            .O(y1[s]), .I0(a[s]), .I1(b[s]), .I2(c[s]), .I3(d[s]), .I4(e[s]), .I5(f[s]));
        LUT6 #(.INIT(64'hfee8_e880_e880_8000)) lut2 (
            .O(y2[s]), .I0(a[s]), .I1(b[s]), .I2(c[s]), .I3(d[s]), .I4(e[s]), .I5(f[s]));
    end
`else
    wire [S-1:0] sum_abc = a ^ b ^ c, sum_def = d ^ e ^ f;
    wire [S-1:0] carry_abc = (a & b) | (a & c) | (b & c);
    wire [S-1:0] carry_def = (d & e) | (d & f) | (e & f);
    wire [S-1:0] carry = sum_abc & sum_def;
    assign y0 = sum_abc ^ sum_def;
    assign y1 = carry_abc ^ carry_def ^ carry;
    assign y2 = (carry_abc & carry_def) | (carry_abc & carry) | (carry_def & carry);
`endif
    always_ff @(posedge clk) begin
        ones  <= y0;
        twos  <= y1;
        fours <= y2;
    end
endmodule
`default_nettype wire
