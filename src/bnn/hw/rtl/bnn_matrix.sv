// SPDX-License-Identifier: BSD-3-Clause
// Matrix times vector, then thresholds (or scale and bias): the engine of a layer.
//
// A matrix of NF*PE rows and SF*SIMD columns. In: SF words for each group of PIXELS positions;
// a word holds, for each position, SIMD values of ABITS bits (field p*SIMD + column). Out: NF words
// a group; a word holds, for each position, PE values of OBITS bits (field p*PE + row).
// Row r is element r mod PE of fold r div PE; column c is lane c mod SIMD of fold c div SIMD.
// All positions of a group share each weight that is read.
//
// NF*SF cycles per group when neither stream stalls: row folds outermost; the input words are
// taken during row fold 0 and kept for the others. The pipeline after the issue step never
// stalls: a step that completes rows needs a credit, a free place in the output FIFO. From such a
// step to the entry into the FIFO it takes LATENCY cycles (below), through the FIFO 2 more.
//
// A ternary weight may be stored as two bipolar halves (XNOR = 1, WBITS = 2): those of column c are
// bits 2 c and 2 c + 1 of the weight word, and count as two columns with the same input.
//
// With a single threshold (LEVELS = 1) the parameter word holds its negative, and sums start at it.
`default_nettype none
module bnn_matrix #(
    parameter int PE       = 1,       // rows at once (processing elements), at least 1
    parameter int SIMD     = 1,       // columns at once, at least 1
    parameter int NF       = 1,       // row folds: rows / PE
    parameter int SF       = 1,       // column folds: columns / SIMD
    parameter int PIXELS   = 1,       // positions that share each weight read, at least 1
    parameter int WBITS    = 1,       // width of a weight; with XNOR 1, or 2 for ternary halves
    parameter int ABITS    = 1,       // width of an input value
    parameter int XNOR     = 1,       // 1: bipolar weights (or two such halves); 0: numbers
    parameter int WSIGNED  = 0,       // 1: weights are two's complement; needs XNOR = 0
    parameter int ASIGNED  = 0,       // 1: inputs are two's complement
    parameter int TERNARY  = 0,       // 1: all values ternary; needs WBITS = ABITS = 2, XNOR = 0
    parameter int SUMS     = 0,       // 1: inputs are added as numbers; needs XNOR = 1
    parameter int STAGES   = 1,       // cycles of a population count: 1, 3 or 4; unused with SUMS
    parameter int ACC      = 16,      // width of the accumulator, at least 2
    parameter int LEVELS   = 1,       // thresholds of a row; 0: scale and bias instead
    parameter int FALLING  = 0,       // 1: a bit of each row inverts its comparisons
    parameter int CODE     = 0,       // output if no threshold is reached
    parameter int STEP     = 1,       // added to the output for each threshold reached
    parameter int SHIFT    = 0,       // LEVELS = 0: the sum is multiplied by 2^SHIFT
    parameter int OBITS    = 1,       // width of an output value
    parameter int DEPTH    = 16,      // words of the output FIFO; full rate needs LATENCY + 3
    parameter int LOADABLE = 0,       // 1: parameters are written by p_*; 0: constants
    parameter     WFILE    = "",      // hex file of the weights, for LOADABLE = 0
    parameter     TFILE    = "",      // hex file of thresholds or biases, for LOADABLE = 0
    parameter     WSTYLE   = "auto",  // memory style of the weights: auto, block, distributed
    parameter     TSTYLE   = "auto",  // memory style of thresholds or biases
    /* verilator lint_off UNUSEDPARAM */  // an attribute only
    parameter     XSTYLE   = "auto"   // memory style of the inputs kept for later row folds
    /* verilator lint_on UNUSEDPARAM */
) (
    input  wire                          clk,       // registers change at its rising edge
    input  wire                          rst,       // synchronous, active high: drops all words
    input  wire                          i_valid,   // a word is offered, and stays until i_ready
    output wire                          i_ready,   // 1: the word is taken if i_valid is 1 too
    input  wire  [PIXELS*SIMD*ABITS-1:0] i_data,    // value (p, column): field p * SIMD + column
    output wire                          o_valid,   // a word is offered, and stays until o_ready
    input  wire                          o_ready,   // 1: the word is taken if o_valid is 1 too
    output wire  [PIXELS*PE*OBITS-1:0]   o_data,    // value (p, row): field p * PE + row
    output wire  [$clog2(DEPTH + 2)-1:0] fill,     // words in the output FIFO, 0 to DEPTH + 1
    input  wire                          p_valid,   // 1: a write in this cycle; always taken
    input  wire                          p_thresholds,  // 1: to thresholds or biases; 0: to weights
    input  wire  [15:0]                  p_item,    // element * ceil(bits / 32) + chunk of 32 bits
    input  wire  [19:0]                  p_index,   // weights: word nf * SF + sf; thresholds: nf
    input  wire  [31:0]                  p_data     // the chunk; bits above its width are ignored
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (PE < 1 || SIMD < 1 || NF < 1 || SF < 1 || PIXELS < 1 || DEPTH < 1) begin : gen_refuse_sizes
        $error("bnn_matrix: PE, SIMD, NF, SF, PIXELS and DEPTH must be at least 1");
    end
    if (WBITS < 1 || ABITS < 1 || OBITS < 1 || ACC < 2) begin : gen_refuse_bits
        $error("bnn_matrix: WBITS, ABITS and OBITS must be at least 1, and ACC at least 2");
    end
    if (XNOR != 0 && (WBITS > 2 || WSIGNED != 0)) begin : gen_refuse_xnor
        $error("bnn_matrix: XNOR needs WBITS 1 or 2 and WSIGNED = 0");
    end
    if (TERNARY != 0 && (XNOR != 0 || WBITS != 2 || ABITS != 2)) begin : gen_refuse_ternary
        $error("bnn_matrix: TERNARY needs WBITS = ABITS = 2 and XNOR = 0");
    end
    if (SUMS != 0 && XNOR == 0) begin : gen_refuse_sums
        $error("bnn_matrix: SUMS needs XNOR = 1");
    end
    if (STAGES != 1 && STAGES != 3 && STAGES != 4) begin : gen_refuse_stages
        $error("bnn_matrix: STAGES must be 1, 3 or 4");
    end
`endif
    localparam int XW = PIXELS * SIMD * ABITS;
    localparam int TB = LEVELS > 0 ? LEVELS * ACC + FALLING : OBITS;
    localparam int NW = NF > 1 ? $clog2(NF) : 1;
    localparam int SW = SF > 1 ? $clog2(SF) : 1;
    localparam int WW = NF * SF > 1 ? $clog2(NF * SF) : 1;
    localparam int HALVES = XNOR != 0 ? WBITS : 1;
    localparam int PLANES = WBITS / HALVES;    // of weights
    localparam int LANES = SIMD * HALVES;
    localparam int CHAIN = LANES > 4 ? (LANES - 1) / 2 : 1;
    localparam int LANE = SUMS != 0 ? CHAIN  // cycles before the accumulator
                        : TERNARY != 0 ? STAGES
                        : STAGES + (ABITS > 1 ? 1 : 0) + (PLANES > 1 ? 1 : 0);
    // One threshold needs no comparator: sums start at its negative, and the sign is the result.
    localparam int SIGN = LEVELS == 1 ? 1 : 0;
    // Issue register, lane, accumulator, thresholds.
    localparam int LATENCY = 1 + LANE + 1 + (SIGN != 0 ? 1 : 2);
    localparam int CW = $clog2(DEPTH + 1);

    // ---- issue ----------------------------------------------------------------------------
    logic [NW-1:0] nf;
    logic [SW-1:0] sf;
    logic [WW-1:0] w_address;
    logic [CW-1:0] credit;
    wire taking = nf == '0;
    wire sf_end = sf == SW'(SF - 1);
    wire nf_end = nf == NW'(NF - 1);
    wire allowed = !sf_end || credit != '0;
    wire go = allowed && (!taking || i_valid);
    wire given = o_valid && o_ready;
    assign i_ready = taking && allowed;

    always_ff @(posedge clk) begin
        if (rst) begin
            nf        <= '0;
            sf        <= '0;
            w_address <= '0;
            credit    <= CW'(DEPTH);
        end else begin
            credit <= credit + CW'(given) - CW'(go && sf_end);
            if (go) begin
                sf        <= sf_end ? '0 : sf + 1'b1;
                if (sf_end) nf <= nf_end ? '0 : nf + 1'b1;
                w_address <= sf_end && nf_end ? '0 : w_address + 1'b1;
            end
        end
    end

    // ---- input words, kept for the later row folds ------------------------------------------
    wire [XW-1:0] next_x;                      // at the issue step; bnn_dot_array registers it
    if (NF == 1) begin : gen_direct
        assign next_x = i_data;
    end else begin : gen_keep
        (* ram_style = XSTYLE *) logic [XW-1:0] kept[SF];
        always_ff @(posedge clk) if (go && taking) kept[sf] <= i_data;
        assign next_x = taking ? i_data : kept[sf];
    end

    // ---- parameters -------------------------------------------------------------------------
    wire [PE*WBITS*SIMD-1:0] w;
    bnn_parameters #(
        .ITEMS(PE), .BITS(WBITS * SIMD), .DEPTH(NF * SF), .LOADABLE(LOADABLE), .FILE(WFILE),
        .STYLE(WSTYLE)
    ) weights (
        .clk(clk), .address(w_address), .word(w), .p_valid(p_valid && !p_thresholds),
        .p_item(p_item), .p_index(p_index), .p_data(p_data)
    );

    // ---- delayed with the data -------------------------------------------------------------
    logic [LATENCY:1] ending;                  // a step that completes rows, n cycles after issue
    logic [LANE+1:1] going, opening;
    logic [NW-1:0] fold[LANE+2];               // row fold, n cycles after issue
    always_comb fold[0] = nf;
    always_ff @(posedge clk) begin
        going   <= rst ? '0 : {going[LANE:1], go};
        ending  <= rst ? '0 : {ending[LATENCY-1:1], go && sf_end};
        opening <= {opening[LANE:1], sf == '0};
        for (int n = 1; n < LANE + 2; n++) fold[n] <= fold[n-1];
    end
    wire [PE*TB-1:0] t;                        // comes with the first sum if SIGN, else after acc
    bnn_parameters #(
        .ITEMS(PE), .BITS(TB), .DEPTH(NF), .LOADABLE(LOADABLE), .FILE(TFILE), .STYLE(TSTYLE)
    ) thresholds (
        .clk(clk), .address(fold[LANE+1-SIGN]), .word(t), .p_valid(p_valid && p_thresholds),
        .p_item(p_item), .p_index(p_index), .p_data(p_data)
    );

    // ---- lanes ------------------------------------------------------------------------------
    wire [PIXELS*PE*OBITS-1:0] y;
    for (genvar p = 0; p < PIXELS; p++) begin : gen_pixel
        wire [LANES*ABITS-1:0] x;
        for (genvar c = 0; c < LANES; c++) begin : gen_column
            assign x[c*ABITS+:ABITS] = next_x[(p*SIMD+c/HALVES)*ABITS+:ABITS];
        end
        wire [PE*ACC-1:0] totals;
        bnn_dot_array #(
            .PE(PE), .SIMD(LANES), .WBITS(PLANES), .ABITS(ABITS), .XNOR(XNOR), .WSIGNED(WSIGNED),
            .ASIGNED(ASIGNED), .SUMS(SUMS), .TERNARY(TERNARY), .STAGES(STAGES), .ACC(ACC)
        ) rows (
            .clk(clk), .w(w), .x(x), .totals(totals)
        );
        for (genvar r = 0; r < PE; r++) begin : gen_row
            wire [TB-1:0] params = t[r*TB+:TB];
            wire [ACC-1:0] start = SIGN != 0 ? ACC'(params) : '0;
            logic [ACC-1:0] acc;
            wire [ACC-1:0] next;
            bnn_choose_add #(.BITS(ACC)) add (
                .a(totals[r*ACC+:ACC]), .p(acc), .q(start), .choose({1'b0, opening[LANE+1]}),
                .y(next)
            );
            always_ff @(posedge clk) if (going[LANE+1]) acc <= next;
            if (SIGN != 0) begin : gen_sign
                logic [OBITS-1:0] code;
                logic falls;
                wire below = acc[ACC-1];
                always_ff @(posedge clk) begin
                    falls <= FALLING != 0 && params[TB-1];
                    code  <= OBITS'(CODE) + (below == falls ? OBITS'(STEP) : '0);
                end
                assign y[(p*PE+r)*OBITS+:OBITS] = code;
                wire unused_acc = &{1'b0, acc};
            end else begin : gen_compare
                bnn_threshold_compare #(
                    .ACC(ACC), .LEVELS(LEVELS), .FALLING(FALLING), .CODE(CODE), .STEP(STEP),
                    .SHIFT(SHIFT), .OBITS(OBITS)
                ) compare (
                    .clk(clk), .acc(acc), .params(params), .y(y[(p*PE+r)*OBITS+:OBITS])
                );
            end
        end
    end

    // ---- out ---------------------------------------------------------------------------------
    wire room;
    bnn_fifo #(.BITS(PIXELS * PE * OBITS), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(ending[LATENCY]), .i_ready(room), .i_data(y),
        .o_valid(o_valid), .o_ready(o_ready), .o_data(o_data), .fill(fill)
    );
    wire unused = &{1'b0, room};  // a credit was held: there is room
`ifndef SYNTHESIS
    always_ff @(posedge clk)
        if (!rst && ending[LATENCY] && !room) $fatal(1, "bnn_matrix: a result without a place");
`endif
endmodule
`default_nettype wire
