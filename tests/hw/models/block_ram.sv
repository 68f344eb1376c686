// SPDX-License-Identifier: BSD-3-Clause
// RAMB18E1 and RAMB36E1 as far as Yosys uses them: what they store and when, for netlists.
//
// Written from the 7 series memory resources guide (UG473): TDP with ports of 1 to 36 bits,
// SDP with words of 36 (RAMB18E1) or 72 bits (RAMB36E1); every ninth bit is a parity bit.
// No output registers, no cascades. A read that meets another port's write to the same place
// is undefined on the chip: here it reads the complement, so that a design that relies on it fails.
`default_nettype none
module block_ram #(
    parameter int DATA = 16384,              // data bits; a parity bit for every eight
    parameter int SDP = 0,
    parameter int READ_A = 0, READ_B = 0, WRITE_A = 0, WRITE_B = 0,
    parameter WRITE_MODE_A = "WRITE_FIRST", WRITE_MODE_B = "WRITE_FIRST",
    parameter logic [DATA-1:0] INIT = '0,
    parameter logic [DATA/8-1:0] INITP = '0,
    parameter logic [71:0] SRVAL_A = '0, SRVAL_B = '0
) (
    input  wire        a_clk, a_en, a_rst, b_clk, b_en, b_rst,
    input  wire [14:0] a_at, b_at,           // of a bit; low bits of a wider word are not looked at
    input  wire [7:0]  a_we, b_we,           // of a byte
    input  wire [63:0] a_d, b_d,
    input  wire [7:0]  a_p, b_p,
    output logic [63:0] a_q, b_q,
    output logic [7:0]  a_qp, b_qp
);
    logic [DATA-1:0] data = INIT;
    logic [DATA/8-1:0] parity = INITP;

    function automatic int plain(input int width);  // without parity
        plain = width == 72 ? 64 : width == 36 ? 32 : width == 18 ? 16 : width == 9 ? 8 : width;
    endfunction
    function automatic int first(input int width, input logic [14:0] at);
        first = plain(width) == 0 ? 0 : int'(at) / plain(width) * plain(width);
    endfunction
    function automatic logic [63:0] mask(input int width);
        mask = ~(~64'd0 << plain(width));
    endfunction

    // Byte lanes that a port writes; a word below a byte has one.
    function automatic logic writes(input int width, input logic en, input logic [7:0] we);
        writes = width != 0 && en && we != 0;
    endfunction
    function automatic logic meet(
        input int r, input logic [14:0] r_at, input int w, input logic [14:0] w_at
    );
        meet = first(r, r_at) < first(w, w_at) + plain(w)
            && first(w, w_at) < first(r, r_at) + plain(r);
    endfunction

    task automatic store(input int width, input logic [14:0] at, input logic [7:0] we,
                         input logic [63:0] d, input logic [7:0] p);
        int from;
        from = first(width, at);
        if (plain(width) < 8) begin
            for (int n = 0; n < plain(width); n++) data[from+n] = d[n];
        end else
            for (int n = 0; n < plain(width) / 8; n++)
                if (we[n]) begin
                    data[from+8*n+:8] = d[8*n+:8];
                    parity[from/8+n] = p[n];
                end
    endtask

    function automatic logic [71:0] seen(input int width, input logic [14:0] at);
        int from;
        from = first(width, at);
        seen = {plain(width) < 8 ? 8'd0 : parity[from/8+:8] & 8'(~(~9'd0 << plain(width) / 8)),
                data[from+:64] & mask(width)};
    endfunction

    // One clock: Yosys is given one. Reads are of what was there before, but for WRITE_FIRST.
    wire writes_a = writes(WRITE_A, a_en, a_we), writes_b = writes(WRITE_B, b_en, b_we);
    always @(posedge a_clk or posedge b_clk) begin
        logic [71:0] old_a, old_b;
        old_a = seen(READ_A, a_at);
        old_b = seen(READ_B, b_at);
        if (writes_b && WRITE_MODE_B != "READ_FIRST" && meet(READ_A, a_at, WRITE_B, b_at))
            old_a = ~old_a;
        if (writes_a && WRITE_MODE_A != "READ_FIRST" && meet(READ_B, b_at, WRITE_A, a_at))
            old_b = ~old_b;
        if (writes_a) store(WRITE_A, a_at, a_we, a_d, a_p);
        if (writes_b) store(WRITE_B, b_at, b_we, b_d, b_p);
        if (a_en && READ_A != 0) begin
            if (a_rst) {a_qp, a_q} <= SRVAL_A;
            else if (!writes_a || WRITE_MODE_A == "READ_FIRST") {a_qp, a_q} <= old_a;
            else if (WRITE_MODE_A == "WRITE_FIRST") {a_qp, a_q} <= seen(READ_A, a_at);
        end
        if (b_en && READ_B != 0) begin
            if (b_rst) {b_qp, b_q} <= SRVAL_B;
            else if (!writes_b || WRITE_MODE_B == "READ_FIRST") {b_qp, b_q} <= old_b;
            else if (WRITE_MODE_B == "WRITE_FIRST") {b_qp, b_q} <= seen(READ_B, b_at);
        end
    end
    wire sdp_width = READ_A == 0 || READ_A == (DATA == 16384 ? 36 : 72);
    initial if (SDP != 0 && (!sdp_width || READ_B != 0 || WRITE_A != 0))
        $fatal(1, "block_ram: a kind of SDP memory that this model does not know");
endmodule
