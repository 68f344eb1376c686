// SPDX-License-Identifier: BSD-3-Clause
// Matrix times vector, then thresholds (or scale and bias): the engine of a layer.
//
// A matrix of NF*PE rows and SF*SIMD columns. In: SF words for each group of PIXELS positions;
// a word holds, for each position, SIMD values of ABITS bits (field p*SIMD + column). Out: NF words
// a group; a word holds, for each position, PE values of OBITS bits (field p*PE + row).
// Row r is element r mod PE of fold r div PE; column c is lane c mod SIMD of fold c div SIMD.
// All positions of a group share each weight that is read.
//
// NF*SF cycles a group when neither stream stalls: row folds outermost; the input words are
// taken during row fold 0 and kept for the others. The pipeline behind the issue step never
// stalls: the step that completes rows needs a free place in the output FIFO, held by credits.
//
// Ternary weights may come as two bipolar halves each (XNOR = 1, WBITS = 2): column c's are bits 2 c and
// 2 c + 1 of the weight word, and count as two columns with the same input.
//
// Of a single threshold (LEVELS = 1) the parameter word holds the negative, which sums start at.
`default_nettype none
module bnn_matrix #(
    parameter int PE       = 1,
    parameter int SIMD     = 1,
    parameter int NF       = 1,
    parameter int SF       = 1,
    parameter int PIXELS   = 1,
    parameter int WBITS    = 1,
    parameter int ABITS    = 1,
    parameter int XNOR     = 1,
    parameter int WSIGNED  = 0,
    parameter int ASIGNED  = 0,
    parameter int TERNARY  = 0,
    parameter int ACC      = 16,
    parameter int LEVELS   = 1,
    parameter int FALLING  = 0,
    parameter int CODE     = 0,
    parameter int STEP     = 1,
    parameter int SHIFT    = 0,
    parameter int OBITS    = 1,
    parameter int DEPTH    = 16,
    parameter int LOADABLE = 0,
    parameter     WFILE    = "",
    parameter     TFILE    = "",
    parameter     WSTYLE   = "auto",
    parameter     TSTYLE   = "auto"
) (
    input  wire                              clk,
    input  wire                              rst,
    input  wire                              i_valid,
    output wire                              i_ready,
    input  wire  [PIXELS*SIMD*ABITS-1:0]     i_data,
    output wire                              o_valid,
    input  wire                              o_ready,
    output wire  [PIXELS*PE*OBITS-1:0]       o_data,
    output wire  [$clog2(DEPTH + 2)-1:0]     level,
    input  wire                              p_valid,
    input  wire                              p_levels,
    input  wire  [15:0]                      p_item,
    input  wire  [19:0]                      p_index,
    input  wire  [31:0]                      p_data
);
    localparam int XW = PIXELS * SIMD * ABITS;
    localparam int TB = LEVELS > 0 ? LEVELS * ACC + FALLING : OBITS;
    localparam int NW = NF > 1 ? $clog2(NF) : 1;
    localparam int SW = SF > 1 ? $clog2(SF) : 1;
    localparam int WW = NF * SF > 1 ? $clog2(NF * SF) : 1;
    localparam int HALVES = XNOR != 0 ? WBITS : 1;
    localparam int PLANES = WBITS / HALVES;    // of weights
    localparam int LANES = SIMD * HALVES;
    // A ternary product leaves three times the bits to count.
    localparam int POP = LANES <= 6 ? 1 : LANES <= (TERNARY != 0 ? 48 : 144) ? 3 : 4;
    // Numbers of more than 2 bits are added as such (bnn_sum), else bit planes are counted.
    localparam int SUMS = XNOR != 0 && ABITS > 2 && LANES <= 16 ? 1 : 0;
    localparam int CHAIN = LANES > 4 ? (LANES - 1) / 2 : 1;
    localparam int LANE = SUMS != 0 ? CHAIN  // to before the acc
                        : TERNARY != 0 ? POP
                        : POP + (ABITS > 1 ? 1 : 0) + (PLANES > 1 ? 1 : 0);
    // One threshold costs nothing: sums start at its negative, and the sign says the rest.
    localparam int SIGN = LEVELS == 1 ? 1 : 0;
    localparam int LATENCY = 1 + LANE + 1 + (SIGN != 0 ? 1 : 2);  // issue register, lane, acc, levels
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
    wire [XW-1:0] next_x;                      // at the issue step; bnn_rows registers it
    if (NF == 1) begin : gen_direct
        assign next_x = i_data;
    end else begin : gen_keep
        (* ram_style = "distributed" *) logic [XW-1:0] kept[SF];
        always_ff @(posedge clk) if (go && taking) kept[sf] <= i_data;
        assign next_x = taking ? i_data : kept[sf];
    end

    // ---- parameters -------------------------------------------------------------------------
    wire [PE*WBITS*SIMD-1:0] w;
    bnn_parameters #(
        .ITEMS(PE), .BITS(WBITS * SIMD), .DEPTH(NF * SF), .LOADABLE(LOADABLE), .FILE(WFILE), .STYLE(WSTYLE)
    ) weights (
        .clk(clk), .address(w_address), .word(w), .p_valid(p_valid && !p_levels),
        .p_item(p_item), .p_index(p_index), .p_data(p_data)
    );

    // ---- what travels beside the data -----------------------------------------------------
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
    wire [PE*TB-1:0] t;                        // for `start` as early as the first sum, else behind acc
    bnn_parameters #(
        .ITEMS(PE), .BITS(TB), .DEPTH(NF), .LOADABLE(LOADABLE), .FILE(TFILE), .STYLE(TSTYLE)
    ) levels (
        .clk(clk), .address(fold[LANE+1-SIGN]), .word(t), .p_valid(p_valid && p_levels),
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
        bnn_rows #(
            .PE(PE), .SIMD(LANES), .WBITS(PLANES), .ABITS(ABITS), .XNOR(XNOR), .WSIGNED(WSIGNED),
            .ASIGNED(ASIGNED), .SUMS(SUMS), .TERNARY(TERNARY), .STAGES(POP), .ACC(ACC)
        ) rows (
            .clk(clk), .w(w), .x(x), .totals(totals)
        );
        for (genvar r = 0; r < PE; r++) begin : gen_row
            wire [TB-1:0] params = t[r*TB+:TB];
            wire [ACC-1:0] start = SIGN != 0 ? ACC'(params) : '0;
            logic [ACC-1:0] acc;
            wire [ACC-1:0] next;
            bnn_choose_add #(.BITS(ACC)) add (
                .a(totals[r*ACC+:ACC]), .p(acc), .q(start), .choose({1'b0, opening[LANE+1]}), .y(next)
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
            end else begin : gen_levels
                bnn_levels #(
                    .ACC(ACC), .LEVELS(LEVELS), .FALLING(FALLING), .CODE(CODE), .STEP(STEP),
                    .SHIFT(SHIFT), .OBITS(OBITS)
                ) level (
                    .clk(clk), .acc(acc), .params(params), .y(y[(p*PE+r)*OBITS+:OBITS])
                );
            end
        end
    end

    // ---- out ---------------------------------------------------------------------------------
    wire room;
    bnn_fifo #(.BITS(PIXELS * PE * OBITS), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(ending[LATENCY]), .i_ready(room), .i_data(y),
        .o_valid(o_valid), .o_ready(o_ready), .o_data(o_data), .level(level)
    );
    wire unused = &{1'b0, room};  // a credit was held: there is room
`ifndef SYNTHESIS
    always_ff @(posedge clk)
        if (!rst && ending[LATENCY] && !room) $fatal(1, "bnn_matrix: a result without a place");
`endif
endmodule
`default_nettype wire
