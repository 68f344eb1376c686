// SPDX-License-Identifier: BSD-3-Clause
// Sliding window that gives whole kernels: a word out holds, for each of PIXELS adjacent positions
// of a row, all K_H x K_W places of LANES channels.
//
// In:  IN_H x IN_W pixels in raster order, PARTS words each, of TAKE * LANES values of BITS bits.
// Out: for each group of positions in raster order PARTS * TAKE words, the first channels first;
//      value ((p * K_H + ky) * K_W + kx) * LANES + lane is that of position p, kernel place
//      (ky, kx). PIXELS divides OUT_W.
//
// There is a copy of the last ROWS input rows for each place that a group covers. ROWS is a power
// of two, so that an address is row, column and part side by side, and all copies share its
// arithmetic. The next rows, of this image or of the next, are written while these are read. A row
// of groups waits until its input rows are complete; rows are freed when no later group needs them.
// One word per cycle each way; the first output word comes 2 cycles after the last input it needs.
`default_nettype none
module bnn_patches #(
    parameter int BITS   = 1,             // width of a value
    parameter int LANES  = 1,             // channels of a word out, of each place of the kernel
    parameter int TAKE   = 1,             // words out for each word in of a pixel
    parameter int PARTS  = 1,             // words in of a pixel: channels / (TAKE * LANES)
    parameter int IN_H   = 4,             // rows of the input map
    parameter int IN_W   = 4,             // columns of the input map
    parameter int K_H    = 3,             // rows of the kernel
    parameter int K_W    = 3,             // columns of the kernel
    parameter int S_H    = 1,             // stride over rows, at least 1
    parameter int S_W    = 1,             // stride over columns, at least 1
    parameter int P_T    = 0,             // rows of padding above the map
    parameter int P_L    = 0,             // columns of padding left of the map
    parameter int OUT_H  = 2,             // rows of positions
    parameter int OUT_W  = 2,             // columns of positions
    parameter int PIXELS = 1,             // positions in a word out; divides OUT_W
    parameter int ROWS   = 4,             // rows in the buffer: a power of two, >= K_H or IN_H
    parameter logic [BITS-1:0] PAD = '0,  // code of a value around the map
    /* verilator lint_off UNUSEDPARAM */  // an attribute only
    parameter     STYLE  = "auto"         // memory style: auto, block, distributed
    /* verilator lint_on UNUSEDPARAM */
) (
    input  wire                        clk,      // registers change at its rising edge
    input  wire                        rst,      // synchronous, active high: drops all words
    input  wire                        i_valid,  // a word is offered, and stays until i_ready
    output wire                        i_ready,  // 1: the word is taken if i_valid is 1 too
    input  wire  [TAKE*LANES*BITS-1:0] i_data,   // channel c in bits [c * BITS +: BITS]
    output logic                       o_valid,  // a word is offered, and stays until o_ready
    input  wire                        o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [PIXELS*K_H*K_W*LANES*BITS-1:0] o_data  // values in the order above
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || LANES < 1 || TAKE < 1 || PARTS < 1) begin : gen_refuse_sizes
        $error("bnn_patches: BITS, LANES, TAKE and PARTS must be at least 1");
    end
    if (IN_H < 1 || IN_W < 1 || OUT_H < 1 || OUT_W < 1) begin : gen_refuse_map
        $error("bnn_patches: IN_H, IN_W, OUT_H and OUT_W must be at least 1");
    end
    if (K_H < 1 || K_W < 1 || S_H < 1 || S_W < 1 || P_T < 0 || P_L < 0) begin : gen_refuse_kernel
        $error("bnn_patches: kernel and stride must be at least 1, padding at least 0");
    end
    if (PIXELS < 1 || OUT_W % PIXELS != 0) begin : gen_refuse_pixels
        $error("bnn_patches: PIXELS must divide OUT_W");
    end
    if (ROWS < 1 || (ROWS & (ROWS - 1)) != 0) begin : gen_refuse_rows
        $error("bnn_patches: ROWS must be a power of two");
    end
    if (ROWS < K_H && ROWS < IN_H) begin : gen_refuse_depth
        $error("bnn_patches: ROWS must be at least K_H or IN_H");
    end
`endif
    localparam int WORD  = TAKE * LANES * BITS;
    localparam int FIELD = LANES * BITS;
    localparam int REACH = K_W + (PIXELS - 1) * S_W;     // columns that a group covers
    localparam int STEPS = OUT_W / PIXELS;               // groups of a row
    localparam int RW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int XW = IN_W > 1 ? $clog2(IN_W) : 1;
    localparam int PW = PARTS > 1 ? $clog2(PARTS) : 1;
    localparam int TW = TAKE > 1 ? $clog2(TAKE) : 1;
    localparam int GW = STEPS > 1 ? $clog2(STEPS) : 1;
    localparam int PLACE = $clog2(PARTS), LINE = $clog2(IN_W) + PLACE;  // address bits below x, row
    localparam int AW = RW + LINE;
    localparam bit PADDED = P_T > 0 || P_L > 0 || (OUT_H - 1) * S_H + K_H > IN_H
                         || (OUT_W - 1) * S_W + K_W > IN_W;
    localparam int YW = $clog2(IN_H + K_H + S_H * OUT_H + ROWS + 2) + 1;
    localparam int VW = $clog2(IN_W + REACH + S_W * OUT_W) + 2;
    typedef logic signed [YW-1:0] y_t;
    typedef logic signed [VW-1:0] x_t;

    // ---- writing -------------------------------------------------------------------------
    logic [RW-1:0] w_row;
    logic [XW-1:0] w_x;
    logic [PW-1:0] w_part;
    y_t rows;                                            // complete rows held; below 0: to skip
    wire write = i_valid && i_ready;
    wire w_part_end = w_part == PW'(PARTS - 1);
    wire w_x_end = w_x == XW'(IN_W - 1);
    wire row_done = write && w_part_end && w_x_end;
    assign i_ready = rows < y_t'(ROWS);

    always_ff @(posedge clk) begin
        if (rst) begin
            w_row  <= '0;
            w_x    <= '0;
            w_part <= '0;
        end else if (write) begin
            w_part <= w_part_end ? '0 : w_part + 1'b1;
            if (w_part_end) w_x <= w_x_end ? '0 : w_x + 1'b1;
            if (row_done) w_row <= w_row + 1'b1;
        end
    end

    // ---- reading ---------------------------------------------------------------------------
    logic [TW-1:0] take, take_q;
    logic [PW-1:0] part;
    logic [GW-1:0] group;
    logic [RW-1:0] origin, top;                          // ring rows: of row 0, of the kernel's
    y_t y;                                               // input row of the kernel's first row
    x_t x;                                               // and column of the group's first
    y_t freed;                                           // rows of this image that are freed
    wire advance = !o_valid || o_ready;
    wire complete = freed + rows >= (y + y_t'(K_H) > y_t'(IN_H) ? y_t'(IN_H) : y + y_t'(K_H));
    wire step = advance && complete;
    wire take_end = take == TW'(TAKE - 1);
    wire part_end = part == PW'(PARTS - 1);
    wire group_end = group == GW'(STEPS - 1);
    wire row_end = step && take_end && part_end && group_end;
    wire last_row = y == y_t'((OUT_H - 1) * S_H - P_T);
    wire [RW-1:0] next_origin = origin + RW'(IN_H);

    y_t freeable;
    always_comb begin
        freeable = y + y_t'(S_H);
        if (last_row || freeable > y_t'(IN_H)) freeable = y_t'(IN_H);
        if (freeable < 0) freeable = '0;
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            take   <= '0;
            part   <= '0;
            group  <= '0;
            origin <= '0;
            top    <= RW'(-P_T);
            y      <= y_t'(-P_T);
            x      <= x_t'(-P_L);
            freed  <= '0;
            rows   <= '0;
        end else begin
            rows <= rows + y_t'({1'b0, row_done}) - (row_end ? freeable - freed : '0);
            if (step) begin
                take <= take_end ? '0 : take + 1'b1;
                if (take_end) part <= part_end ? '0 : part + 1'b1;
                if (take_end && part_end) begin
                    group <= group_end ? '0 : group + 1'b1;
                    x     <= group_end ? x_t'(-P_L) : x + x_t'(PIXELS * S_W);
                end
            end
            if (row_end) begin
                y      <= last_row ? y_t'(-P_T) : y + y_t'(S_H);
                top    <= last_row ? next_origin - RW'(P_T) : top + RW'(S_H);
                freed  <= last_row ? '0 : freeable;
                if (last_row) origin <= next_origin;
            end
        end
    end

    always_ff @(posedge clk) begin
        if (rst) o_valid <= 1'b0;
        else if (advance) o_valid <= complete;
        if (step) take_q <= take;
    end

    // ---- one copy for each place, read where the group's place is ---------------------------
    wire [AW-1:0] w_addr = AW'(w_row) << LINE | AW'(w_x) << PLACE | AW'(w_part);
    for (genvar ky = 0; ky < K_H; ky++) begin : gen_ky
        wire [RW-1:0] row = top + RW'(ky);
        wire y_t vy = y + y_t'(ky);
        for (genvar tx = 0; tx < REACH; tx++) begin : gen_tx
            (* ram_style = STYLE *) logic [WORD-1:0] mem[ROWS << LINE];
            logic [WORD-1:0] q;
            wire x_t vx = x + x_t'(tx);
            wire [XW-1:0] column = vx[XW-1:0];
            wire [AW-1:0] addr = AW'(row) << LINE | AW'(column) << PLACE | AW'(part);
            wire [FIELD-1:0] held = FIELD'(q >> take_q * FIELD);
            wire [FIELD-1:0] value;
            always_ff @(posedge clk) begin
                if (write) mem[w_addr] <= i_data;
                if (step) q <= mem[addr];
            end
            if (PADDED) begin : gen_border
                logic outside;
                always_ff @(posedge clk)
                    if (step) outside <= vy < 0 || vy >= y_t'(IN_H) || vx < 0 || vx >= x_t'(IN_W);
                assign value = outside ? {LANES{PAD}} : held;
            end else begin : gen_border
                wire unused = &{1'b0, vx, vy};
                assign value = held;
            end
            for (genvar p = 0; p < PIXELS; p++) begin : gen_pixel
                localparam int KX = tx - p * S_W;
                if (KX >= 0 && KX < K_W) begin : gen_place
                    assign o_data[((p*K_H+ky)*K_W+KX)*FIELD+:FIELD] = value;
                end
            end
        end
    end
endmodule
`default_nettype wire
