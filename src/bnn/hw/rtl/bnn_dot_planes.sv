// SPDX-License-Identifier: BSD-3-Clause
// One row of a matrix times one position's vector, SIMD columns a cycle, in bit planes.
//
// Weights of WBITS bits and inputs of ABITS bits come as bit planes (plane i is bits
// [i*SIMD +: SIMD]). The sum is over pairs of planes:
//     total = sum_ij weight(i) * weight(j) * popcount(w_i op x_j),   weight(k) = +-2^k,
// minus at the top plane of a signed number. op is XNOR where weights are bipolar
// (WBITS = 1) and AND elsewhere. The difference between this sum and the dot product is constant
// for each row; it is part of the row's thresholds or bias (bnn.hw.matrix). With XNOR and
// STAGES > 1, weights and parities are as bnn_xnor_popcount needs them; `parity` holds
// the parities of the inputs, plane by plane.
//
// Latency STAGES + (ABITS > 1) + (WBITS > 1) cycles, one result a cycle, never stalls.
`default_nettype none
module bnn_dot_planes #(
    parameter int SIMD    = 64,  // columns added in a cycle, at least 1
    parameter int WBITS   = 1,   // width of a weight = number of its bit planes; 1 if XNOR is 1
    parameter int ABITS   = 1,   // width of an input = number of its bit planes
    parameter int XNOR    = 1,   // 1: bipolar weights, XNOR; 0: AND
    parameter int WSIGNED = 0,   // 1: weights are two's complement; needs XNOR = 0
    parameter int ASIGNED = 0,   // 1: inputs are two's complement; 0: unsigned or bipolar codes
    parameter int STAGES  = 3,   // 1, 3 or 4 cycles for a population count
    parameter int ACC     = 16,  // width of total; it is exact modulo 2^ACC
    localparam int T      = (SIMD + 2) / 3  // triples of columns, see bnn_xnor_popcount
) (
    input  wire                   clk,     // registers change at each rising edge: no stall
    input  wire  [WBITS*SIMD-1:0] w,       // weights; plane i in bits [i * SIMD +: SIMD]
    input  wire  [ABITS*SIMD-1:0] x,       // inputs; plane j in bits [j * SIMD +: SIMD]
    input  wire  [ABITS*T-1:0]    parity,  // of x, T bits a plane; used if XNOR, STAGES > 1
    output wire  [ACC-1:0]        total    // the sum over the columns that came with w and x
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (SIMD < 1 || WBITS < 1 || ABITS < 1 || ACC < 1) begin : gen_refuse_bits
        $error("bnn_dot_planes: SIMD, WBITS, ABITS and ACC must be at least 1");
    end
    if (XNOR != 0 && (WBITS != 1 || WSIGNED != 0)) begin : gen_refuse_xnor
        $error("bnn_dot_planes: XNOR needs WBITS = 1 and WSIGNED = 0");
    end
    if (STAGES != 1 && STAGES != 3 && STAGES != 4) begin : gen_refuse_stages
        $error("bnn_dot_planes: STAGES must be 1, 3 or 4");
    end
`endif
    localparam int PW = $clog2(SIMD + 1);
    wire [WBITS*ACC-1:0] rows;

    for (genvar i = 0; i < WBITS; i++) begin : gen_w
        wire [ABITS*ACC-1:0] terms;
        for (genvar j = 0; j < ABITS; j++) begin : gen_x
            wire [SIMD-1:0] wi = w[i*SIMD+:SIMD], xj = x[j*SIMD+:SIMD];
            wire [PW-1:0] count;
            if (XNOR != 0 && STAGES > 1) begin : gen_agree
                bnn_xnor_popcount #(.SIMD(SIMD), .STAGES(STAGES)) agree (
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
