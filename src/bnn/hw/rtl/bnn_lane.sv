// SPDX-License-Identifier: BSD-3-Clause
// One row of a matrix times one position's vector, SIMD columns a cycle, in bit planes.
//
// Weights of WBITS bits and inputs of ABITS bits come as bit planes (plane i is bits
// [i*SIMD +: SIMD]). The sum is over pairs of planes:
//     total = sum_ij weight(i) * weight(j) * popcount(w_i op x_j),   weight(k) = +-2^k,
// minus at the top plane of a signed number. op is XNOR where weights are bipolar
// (WBITS = 1) and AND elsewhere. What a popcount lacks to a dot is constant for each row
// and sits in its thresholds or bias (bnn.hw.matrix). XNOR of more than 6 columns wants weights and
// parities as bnn_agree does; `parity` holds the inputs', plane by plane.
//
// Latency STAGES + (ABITS > 1) + (WBITS > 1) cycles.
`default_nettype none
module bnn_lane #(
    parameter int SIMD    = 64,
    parameter int WBITS   = 1,
    parameter int ABITS   = 1,
    parameter int XNOR    = 1,
    parameter int WSIGNED = 0,
    parameter int ASIGNED = 0,
    parameter int STAGES  = 3,
    parameter int ACC     = 16,
    localparam int T      = (SIMD + 2) / 3
) (
    input  wire                      clk,
    input  wire  [WBITS*SIMD-1:0]    w,
    input  wire  [ABITS*SIMD-1:0]    x,
    input  wire  [ABITS*T-1:0]       parity,
    output wire  [ACC-1:0]           total
);
    localparam int PW = $clog2(SIMD + 1);
    wire [WBITS*ACC-1:0] rows;

    for (genvar i = 0; i < WBITS; i++) begin : gen_w
        wire [ABITS*ACC-1:0] terms;
        for (genvar j = 0; j < ABITS; j++) begin : gen_x
            wire [SIMD-1:0] wi = w[i*SIMD+:SIMD], xj = x[j*SIMD+:SIMD];
            wire [PW-1:0] count;
            if (XNOR != 0 && STAGES > 1) begin : gen_agree
                bnn_agree #(.SIMD(SIMD), .STAGES(STAGES)) agree (
                    .clk(clk), .x(xj), .parity(parity[j*T+:T]), .w(wi), .count(count)
                );
            end else begin : gen_popcount
                bnn_popcount #(.BITS(SIMD), .STAGES(STAGES)) popcount (
                    .clk(clk), .bits(XNOR != 0 ? ~(wi ^ xj) : wi & xj), .count(count)
                );
            end
            wire [ACC-1:0] term = ACC'(count) << j;
            assign terms[j*ACC+:ACC] = ASIGNED != 0 && j == ABITS - 1 ? -term : term;
        end
        if (ABITS == 1) begin : gen_sum
            assign rows[i*ACC+:ACC] = terms;
        end else begin : gen_sum
            logic [ACC-1:0] sum, sum_q;
            always_comb begin
                sum = '0;
                for (int j = 0; j < ABITS; j++) sum = sum + terms[j*ACC+:ACC];
            end
            always_ff @(posedge clk) sum_q <= sum;
            assign rows[i*ACC+:ACC] = sum_q;
        end
    end

    if (XNOR == 0 || STAGES == 1) begin : gen_unused
        wire unused = &{1'b0, parity};
    end

    if (WBITS == 1) begin : gen_total
        assign total = WSIGNED != 0 ? -rows : rows;
    end else begin : gen_total
        logic [ACC-1:0] sum, sum_q;
        always_comb begin
            sum = '0;
            for (int i = 0; i < WBITS; i++)
                sum = WSIGNED != 0 && i == WBITS - 1 ? sum - (rows[i*ACC+:ACC] << i)
                                                     : sum + (rows[i*ACC+:ACC] << i);
        end
        always_ff @(posedge clk) sum_q <= sum;
        assign total = sum_q;
    end
endmodule
`default_nettype wire
