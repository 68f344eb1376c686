// SPDX-License-Identifier: BSD-3-Clause
// Sliding window: rows of a map in, patches out.
//
// In:  IN_H x IN_W pixels in raster order, FOLDS words of BITS each.
// Out: for each group of PIXELS adjacent output positions (raster order, may cross a row's end):
//      kernel row, kernel column, fold (fastest); a word holds one field of BITS per position.
//      Fields past the last position of an image are undefined; the consumer drops them.
//
// A circular buffer of ROWS input rows, one copy for each position. The next rows (of this image or
// of the next) are written while these are read. A group waits until all rows that it needs are
// complete; rows are freed when no later group needs them. One word per cycle each way; the
// first word out comes 2 cycles after the last input that it needs. PIXELS <= OUT_W. ROWS holds the
// rows of every group: K_H, and S_H more where a group may cross a row's end, or IN_H if that is
// less (bnn.hw.window sizes it).
`default_nettype none
module bnn_window #(
    parameter int BITS   = 8,             // width of a word in: some channels of one pixel
    parameter int FOLDS  = 1,             // words in of a pixel, at least 1
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
    parameter int PIXELS = 1,             // positions in a word out, 1 to OUT_W
    parameter int ROWS   = 4,             // rows in the buffer; see above
    parameter logic [BITS-1:0] PAD = '0,  // word around the map
    /* verilator lint_off UNUSEDPARAM */  // an attribute only
    parameter     STYLE  = "auto"         // memory style: auto, block, distributed
    /* verilator lint_on UNUSEDPARAM */
) (
    input  wire                    clk,      // registers change at its rising edge
    input  wire                    rst,      // synchronous, active high: drops all words
    input  wire                    i_valid,  // a word is offered, and stays until i_ready
    output wire                    i_ready,  // 1: the word is taken if i_valid is 1 too
    input  wire  [BITS-1:0]        i_data,   // channels of one pixel
    output logic                   o_valid,  // a word is offered, and stays until o_ready
    input  wire                    o_ready,  // 1: the word is taken if o_valid is 1 too
    output wire  [PIXELS*BITS-1:0] o_data    // word of position p in bits [p * BITS +: BITS]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || FOLDS < 1) begin : gen_refuse_sizes
        $error("bnn_window: BITS and FOLDS must be at least 1");
    end
    if (IN_H < 1 || IN_W < 1 || OUT_H < 1 || OUT_W < 1) begin : gen_refuse_map
        $error("bnn_window: IN_H, IN_W, OUT_H and OUT_W must be at least 1");
    end
    if (K_H < 1 || K_W < 1 || S_H < 1 || S_W < 1 || P_T < 0 || P_L < 0) begin : gen_refuse_kernel
        $error("bnn_window: kernel and stride must be at least 1, padding at least 0");
    end
    if (PIXELS < 1 || PIXELS > OUT_W) begin : gen_refuse_pixels
        $error("bnn_window: PIXELS must be 1 to OUT_W");
    end
    // Rows that a group can need at once.
    localparam int NEEDED = K_H + (OUT_H > 1 && OUT_W % PIXELS != 0 ? S_H : 0);
    if (ROWS < IN_H && ROWS < NEEDED) begin : gen_refuse_rows
        $error("bnn_window: ROWS must hold all rows that a group needs");
    end
`endif
    localparam int ROW = IN_W * FOLDS;         // words of a row
    localparam int DEPTH = ROWS * ROW;
    localparam int AW = $clog2(DEPTH + 1);
    localparam int GROUPS = (OUT_H * OUT_W + PIXELS - 1) / PIXELS;
    localparam int GW = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam int FW = FOLDS > 1 ? $clog2(FOLDS) : 1;
    localparam int XW = K_W > 1 ? $clog2(K_W) : 1;
    localparam int YW = K_H > 1 ? $clog2(K_H) : 1;
    // Signed coordinates: of rows and columns, of the map and of what lies around it.
    localparam int HIGH = (OUT_H + 1) * S_H + K_H + P_T + IN_H + ROWS;
    localparam int WIDE = (OUT_W + PIXELS) * S_W + K_W + P_L + IN_W;
    localparam int CW = $clog2(HIGH > WIDE ? HIGH : WIDE) + 1;
    typedef logic signed [CW-1:0] coord_t;

    // a mod DEPTH, for constants of any sign
    function automatic int mod(input int a);
        mod = ((a % DEPTH) + DEPTH) % DEPTH;
    endfunction
    // (a + (second ? c : b)) mod DEPTH: both sums at once, the one without overflow is taken
    function automatic logic [AW-1:0] add(
        input logic [AW-1:0] a, input logic second, input int b, input int c
    );
        logic [AW:0] less;
        less = {1'b0, a} + (second ? (AW + 1)'(c - DEPTH) : (AW + 1)'(b - DEPTH));
        add  = less[AW] ? a + (second ? AW'(c) : AW'(b)) : less[AW-1:0];
    endfunction

    // ---- writing -------------------------------------------------------------------------
    logic [AW-1:0] w_addr, w_col;
    coord_t rows;                              // complete rows inside; below 0: rows to skip
    wire write = i_valid && i_ready;
    wire row_done = write && w_col == AW'(ROW - 1);
    assign i_ready = rows < coord_t'(ROWS);

    always_ff @(posedge clk) begin
        if (rst) begin
            w_addr <= '0;
            w_col  <= '0;
        end else if (write) begin
            w_addr <= w_addr == AW'(DEPTH - 1) ? '0 : w_addr + 1'b1;
            w_col  <= row_done ? '0 : w_col + 1'b1;
        end
    end

    // ---- reading: which word of which group -------------------------------------------------
    localparam int FIRST_NEED = (GROUPS == 1 ? (OUT_H - 1) * S_H : 0) + K_H - P_T;
    localparam int LAST_NEED = (OUT_H - 1) * S_H + K_H - P_T;
    logic [GW-1:0] group;
    logic [FW-1:0] fold;
    logic [XW-1:0] kx;
    logic [YW-1:0] ky;
    logic last_group;
    coord_t present;                           // rows of this image that have come, freed or not
    coord_t need;                              // those the group needs, where there are so many
    coord_t freed;                             // rows of this image that are freed
    wire [PIXELS-1:0] wraps;                   // each position's successor is in the next row
    coord_t top;                               // of the window of the group's first position

    wire advance = !o_valid || o_ready;
    wire ready_group = present >= need || present >= coord_t'(IN_H);
    wire step = advance && ready_group;
    wire fold_end = fold == FW'(FOLDS - 1);
    wire kx_end = fold_end && kx == XW'(K_W - 1);
    wire word_end = kx_end && ky == YW'(K_H - 1);
    wire group_end = step && word_end;
    wire penultimate = GROUPS > 1 && group == GW'(GROUPS - 2);

    // Rows above the next group's first window are not needed any more.
    coord_t freeable;
    always_comb begin
        freeable = wraps[0] ? top + coord_t'(S_H) : top;
        if (freeable < 0) freeable = '0;
        if (last_group || freeable > coord_t'(IN_H)) freeable = coord_t'(IN_H);
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            group      <= '0;
            last_group <= GROUPS == 1;
            fold       <= '0;
            kx         <= '0;
            ky         <= '0;
            freed      <= '0;
            rows       <= '0;
            present    <= '0;
            need       <= coord_t'(FIRST_NEED);
        end else begin
            rows    <= rows + coord_t'({1'b0, row_done}) - (group_end ? freeable - freed : '0);
            present <= present + coord_t'({1'b0, row_done})
                     - (group_end && last_group ? coord_t'(IN_H) : '0);
            if (step) begin
                fold <= fold_end ? '0 : fold + 1'b1;
                if (fold_end) kx <= kx_end ? '0 : kx + 1'b1;
                if (kx_end) ky <= word_end ? '0 : ky + 1'b1;
            end
            if (group_end) begin
                group      <= last_group ? '0 : group + 1'b1;
                last_group <= GROUPS == 1 || penultimate;
                freed      <= last_group ? '0 : freeable;
                if (last_group) need <= coord_t'(FIRST_NEED);
                else if (penultimate) need <= coord_t'(LAST_NEED);
                else if (wraps[PIXELS-1]) need <= need + coord_t'(S_H);
            end
        end
    end

    always_ff @(posedge clk) begin
        if (rst) o_valid <= 1'b0;
        else if (advance) o_valid <= ready_group;
    end

    // ---- reading: one buffer and one address walk for each position -----------------------
    for (genvar p = 0; p < PIXELS; p++) begin : gen_pixel
        localparam int CORNER = (p * S_W - P_L) * FOLDS - P_T * ROW;  // of an image's first window
        (* ram_style = STYLE *) logic [BITS-1:0] mem[DEPTH];
        // Addresses: of the next image's first window, of this window, of the current word.
        logic [AW-1:0] image, corner, addr;
        coord_t x, y, vx, vy;                  // input position of the window, of the word
        logic [BITS-1:0] q;
        logic outside;
        assign wraps[p] = x >= coord_t'((OUT_W - PIXELS) * S_W - P_L);
        wire [AW-1:0] next_corner = last_group ? image
            : add(corner, wraps[p], mod(PIXELS * S_W * FOLDS),
                  mod(S_H * ROW + (PIXELS - OUT_W) * S_W * FOLDS));
        wire coord_t next_x = last_group ? coord_t'(p * S_W - P_L)
            : x + (wraps[p] ? coord_t'((PIXELS - OUT_W) * S_W) : coord_t'(PIXELS * S_W));
        wire coord_t next_y = last_group ? coord_t'(-P_T) : wraps[p] ? y + coord_t'(S_H) : y;

        always_ff @(posedge clk) begin
            if (rst) begin
                image  <= AW'(mod(CORNER + IN_H * ROW));
                corner <= AW'(mod(CORNER));
                addr   <= AW'(mod(CORNER));
                x      <= coord_t'(p * S_W - P_L);
                y      <= coord_t'(-P_T);
                vx     <= coord_t'(p * S_W - P_L);
                vy     <= coord_t'(-P_T);
            end else if (group_end) begin
                if (last_group) image <= add(image, 1'b0, mod(IN_H * ROW), 0);
                corner <= next_corner;
                addr   <= next_corner;
                x      <= next_x;
                y      <= next_y;
                vx     <= next_x;
                vy     <= next_y;
            end else if (step) begin           // the next word, at a row's end the next kernel row
                addr <= add(addr, kx_end, mod(1), mod(ROW - K_W * FOLDS + 1));
                if (kx_end) begin
                    vx <= x;
                    vy <= vy + 1'b1;
                end else if (fold_end) vx <= vx + 1'b1;
            end
        end

        always_ff @(posedge clk) begin
            if (write) mem[w_addr] <= i_data;
            if (step) q <= mem[addr];
            if (step) outside <= vy < 0 || vx < 0 || vy >= coord_t'(IN_H) || vx >= coord_t'(IN_W);
        end
        assign o_data[p*BITS+:BITS] = outside ? PAD : q;
        if (p == 0) begin : gen_first
            assign top = y;
        end
    end
endmodule
`default_nettype wire
