// SPDX-License-Identifier: BSD-3-Clause
// Sliding window: rows of a map in, patches out.
//
// In:  IN_H x IN_W pixels in raster order, FOLDS words of BITS each.
// Out: for each group of PIXELS adjacent output positions (raster order, may cross a row's end):
//      kernel row, kernel column, fold (fastest); a word holds one field of BITS per position.
//      Fields past the last position of an image are undefined; the consumer drops them.
//
// A circular buffer of ROWS input rows, one copy for each position. Writing the next rows (of this
// image or of the next) overlaps with reading. Reading a group waits until all rows that
// it needs are complete; rows are freed when no later group needs them. One word a cycle each way.
// PIXELS <= OUT_W, and ROWS must hold the rows of every group (bnn.hw.window sizes it).
`default_nettype none
module bnn_window #(
    parameter int BITS   = 8,
    parameter int FOLDS  = 1,
    parameter int IN_H   = 4,
    parameter int IN_W   = 4,
    parameter int K_H    = 3,
    parameter int K_W    = 3,
    parameter int S_H    = 1,
    parameter int S_W    = 1,
    parameter int P_T    = 0,
    parameter int P_L    = 0,
    parameter int OUT_H  = 2,
    parameter int OUT_W  = 2,
    parameter int PIXELS = 1,
    parameter int ROWS   = 4,
    parameter logic [BITS-1:0] PAD = '0,
    /* verilator lint_off UNUSEDPARAM */  // an attribute only
    parameter     STYLE  = "auto"
    /* verilator lint_on UNUSEDPARAM */
) (
    input  wire                    clk,
    input  wire                    rst,
    input  wire                    i_valid,
    output wire                    i_ready,
    input  wire  [BITS-1:0]        i_data,
    output logic                   o_valid,
    input  wire                    o_ready,
    output wire  [PIXELS*BITS-1:0] o_data
);
    localparam int ROW = IN_W * FOLDS;         // words of a row
    localparam int DEPTH = ROWS * ROW;
    localparam int AW = $clog2(DEPTH + 1);
    localparam int GROUPS = (OUT_H * OUT_W + PIXELS - 1) / PIXELS;
    localparam int TAIL = OUT_H * OUT_W - (GROUPS - 1) * PIXELS;  // positions of the last group
    localparam int CW = 20;                    // signed coordinates and counters
    typedef logic signed [CW-1:0] coord_t;

    // a mod DEPTH, for constants of any sign
    function automatic logic [AW-1:0] mod(input int a);
        mod = AW'(((a % DEPTH) + DEPTH) % DEPTH);
    endfunction
    // (a + b) mod DEPTH for addresses
    function automatic logic [AW-1:0] add(input logic [AW-1:0] a, input logic [AW-1:0] b);
        logic [AW:0] sum;
        sum = {1'b0, a} + {1'b0, b};
        add = sum >= (AW + 1)'(DEPTH) ? AW'(sum - (AW + 1)'(DEPTH)) : AW'(sum);
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

    // ---- reading: where the group is ------------------------------------------------------
    logic [CW-1:0] group, fold, kx, ky;
    logic [AW-1:0] origin;                     // address of the image's first virtual window
    coord_t freed;                             // rows of this image given up
    coord_t first_y, last_y;                   // output rows of the first and last position
    coord_t first_x, last_x;                   // and their columns

    wire advance = !o_valid || o_ready;
    wire last_group = group == CW'(GROUPS - 1);
    coord_t needed;
    always_comb begin
        needed = last_y * coord_t'(S_H) + coord_t'(K_H - P_T);
        if (needed > coord_t'(IN_H)) needed = coord_t'(IN_H);
    end
    wire ready_group = freed + rows >= needed;
    wire step = advance && ready_group;
    wire fold_end = fold == CW'(FOLDS - 1);
    wire kx_end = kx == CW'(K_W - 1);
    wire ky_end = ky == CW'(K_H - 1);
    wire group_end = step && fold_end && kx_end && ky_end;

    // position of the group's first and last pixel one group on (PIXELS <= OUT_W: one wrap at most)
    wire first_wraps = first_x + coord_t'(PIXELS) >= coord_t'(OUT_W);
    wire last_wraps = last_x + coord_t'(PIXELS) >= coord_t'(OUT_W);
    wire penultimate = group == CW'(GROUPS - 2);
    coord_t next_first_y, freeable;
    always_comb begin
        next_first_y = first_wraps ? first_y + 1 : first_y;
        freeable = next_first_y * coord_t'(S_H) - coord_t'(P_T);
        if (last_group || freeable > coord_t'(IN_H)) freeable = coord_t'(IN_H);
        if (freeable < 0) freeable = '0;
    end

    // the last position starts an image at PIXELS - 1, or at the tail where one group is all
    localparam int START = (GROUPS == 1 ? TAIL : PIXELS) - 1;
    always_ff @(posedge clk) begin
        if (rst) begin
            group   <= '0;
            fold    <= '0;
            kx      <= '0;
            ky      <= '0;
            freed   <= '0;
            rows    <= '0;
            first_y <= '0;
            first_x <= '0;
            last_y  <= '0;
            last_x  <= coord_t'(START);
            origin  <= mod(-P_T * ROW);
        end else begin
            rows <= rows + coord_t'({1'b0, row_done}) - (group_end ? freeable - freed : '0);
            if (step) begin
                fold <= fold_end ? '0 : fold + 1'b1;
                if (fold_end) kx <= kx_end ? '0 : kx + 1'b1;
                if (fold_end && kx_end) ky <= ky_end ? '0 : ky + 1'b1;
            end
            if (group_end) begin
                group   <= last_group ? '0 : group + 1'b1;
                freed   <= last_group ? '0 : freeable;
                first_y <= last_group ? '0 : next_first_y;
                first_x <= last_group ? '0
                         : first_x + (first_wraps ? coord_t'(PIXELS - OUT_W) : coord_t'(PIXELS));
                if (last_group) begin
                    last_y <= '0;
                    last_x <= coord_t'(START);
                    origin <= add(origin, mod(IN_H * ROW));
                end else if (penultimate) begin
                    last_y <= coord_t'(OUT_H - 1);
                    last_x <= coord_t'(OUT_W - 1);
                end else begin
                    last_y <= last_wraps ? last_y + 1 : last_y;
                    last_x <= last_x + (last_wraps ? coord_t'(PIXELS - OUT_W) : coord_t'(PIXELS));
                end
            end
        end
    end

    always_ff @(posedge clk) begin
        if (rst) o_valid <= 1'b0;
        else if (advance) o_valid <= ready_group;
    end

    // ---- reading: one buffer and one address walk for each position -----------------------
    for (genvar p = 0; p < PIXELS; p++) begin : gen_pixel
        (* ram_style = STYLE *) logic [BITS-1:0] mem[DEPTH];
        logic [AW-1:0] corner, addr;           // of the window, of the current word
        coord_t x, y, vx, vy;                  // output position; input position of the word
        logic [BITS-1:0] q;
        logic outside;
        wire wraps = x + coord_t'(PIXELS) >= coord_t'(OUT_W);
        wire [AW-1:0] next_corner = last_group
            ? add(add(origin, mod(IN_H * ROW)), mod((p * S_W - P_L) * FOLDS))
            : add(corner, wraps ? mod(S_H * ROW + (PIXELS - OUT_W) * S_W * FOLDS)
                                : mod(PIXELS * S_W * FOLDS));
        wire coord_t next_x = last_group ? coord_t'(p)
            : x + (wraps ? coord_t'(PIXELS - OUT_W) : coord_t'(PIXELS));
        wire coord_t next_y = last_group ? '0 : wraps ? y + 1 : y;

        always_ff @(posedge clk) begin
            if (rst) begin
                corner <= mod(-P_T * ROW + (p * S_W - P_L) * FOLDS);
                addr   <= mod(-P_T * ROW + (p * S_W - P_L) * FOLDS);
                x      <= coord_t'(p);
                y      <= '0;
                vx     <= coord_t'(p * S_W - P_L);
                vy     <= coord_t'(-P_T);
            end else if (group_end) begin
                corner <= next_corner;
                addr   <= next_corner;
                x      <= next_x;
                y      <= next_y;
                vx     <= next_x * coord_t'(S_W) - coord_t'(P_L);
                vy     <= next_y * coord_t'(S_H) - coord_t'(P_T);
            end else if (step) begin
                if (fold_end && kx_end) begin  // next kernel row
                    addr <= add(addr, mod(ROW - K_W * FOLDS + 1));
                    vx   <= vx - coord_t'(K_W - 1);
                    vy   <= vy + 1;
                end else begin
                    addr <= add(addr, mod(1));
                    if (fold_end) vx <= vx + 1;
                end
            end
        end

        always_ff @(posedge clk) begin
            if (write) mem[w_addr] <= i_data;
            if (step) q <= mem[addr];
            if (step) outside <= vy < 0 || vx < 0 || vy >= coord_t'(IN_H) || vx >= coord_t'(IN_W);
        end
        assign o_data[p*BITS+:BITS] = outside ? PAD : q;
    end
endmodule
`default_nettype wire
