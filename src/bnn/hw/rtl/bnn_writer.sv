// SPDX-License-Identifier: BSD-3-Clause
// AXI4 writes: stores `images` times WORDS 64-bit words from `address` on, in order.
//
// A burst takes what the FIFO holds, up to 16 beats, so that a single result is written at once. It
// never crosses an image's end or a 4 KiB line. `finished` comes after the last write response.
`default_nettype none
module bnn_writer #(
    parameter int WORDS = 1,  // 64-bit words of an image's result, at least 1
    parameter int DEPTH = 32  // words of the FIFO, at least 1; full bursts need 15
) (
    input  wire         clk,            // registers change at its rising edge
    input  wire         rst,            // synchronous, active high: idle, no word is held
    input  wire         start,          // 1 for one cycle, while the writer is idle
    input  wire  [63:0] address,        // byte address of the first word, a multiple of 8
    input  wire  [31:0] images,         // results to write, at least 1; with start
    output logic        finished,       // 1 for one cycle, after the last write response
    output logic        image_done,     // 1 for one cycle after an image's last beat
    output logic        bus_error,      // 1 for a cycle: a response was an error

    output logic [63:0] m_axi_awaddr,   // byte address of a burst, a multiple of 8
    output logic [7:0]  m_axi_awlen,    // beats of the burst - 1, 0 to 15
    output wire         m_axi_awvalid,  // stays with its address until m_axi_awready
    input  wire         m_axi_awready,  // the memory takes the address
    output wire  [63:0] m_axi_wdata,    // one beat: a word of the stream
    output logic        m_axi_wlast,    // the burst's last beat
    output wire         m_axi_wvalid,   // stays with its beat until m_axi_wready
    input  wire         m_axi_wready,   // the memory takes the beat
    input  wire  [1:0]  m_axi_bresp,    // bit 1 is 1: error
    input  wire         m_axi_bvalid,   // a burst is in memory
    output wire         m_axi_bready,   // always 1: every response is taken at once

    input  wire         i_valid,        // a word is offered, and stays until i_ready
    output wire         i_ready,        // 1: the word is taken if i_valid is 1 too
    input  wire  [63:0] i_data          // word to store, in the order of addresses
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (WORDS < 1 || DEPTH < 1) begin : gen_refuse_sizes
        $error("bnn_writer: WORDS and DEPTH must be at least 1");
    end
`endif
    localparam int WW = $clog2(WORDS + 1);
    localparam int LW = $clog2(DEPTH + 2);
    typedef enum logic [2:0] {IDLE, SIZE, ASK, SEND, DRAIN} state_t;
    state_t state;
    logic [31:0] images_left;
    logic [WW-1:0] words_left;
    logic [4:0] beats, left;                // of the burst: all, and not yet sent
    logic last, last_image;                 // the burst ends an image; the image is the last
    logic [3:0] pending;                    // bursts without a response
    wire [LW-1:0] fill;
    wire have;

    wire [9:0] to_line = 10'd512 - {1'b0, m_axi_awaddr[11:3]};
    wire [4:0] by_line = to_line > 10'd16 ? 5'd16 : to_line[4:0];
    wire [4:0] by_image = 32'(words_left) > 32'd16 ? 5'd16 : 5'(words_left);
    wire [4:0] by_fill = 32'(fill) > 32'd16 ? 5'd16 : 5'(fill);
    wire [4:0] fits = by_line < by_image ? by_line : by_image;
    wire [4:0] size = fits < by_fill ? fits : by_fill;
    wire moved = m_axi_wvalid && m_axi_wready;
    wire asked = m_axi_awvalid && m_axi_awready;
    wire answered = m_axi_bvalid;

    assign m_axi_awvalid = state == ASK;
    assign m_axi_wvalid  = state == SEND && have;
    assign m_axi_bready  = 1'b1;

    always_ff @(posedge clk) begin
        finished   <= 1'b0;
        image_done <= 1'b0;
        bus_error  <= m_axi_bvalid && m_axi_bresp[1];
        if (rst) begin
            state   <= IDLE;
            pending <= '0;
        end else begin
            pending <= pending + 4'(asked) - 4'(answered);
            case (state)
                IDLE: if (start) begin
                    state        <= SIZE;
                    m_axi_awaddr <= address;
                    images_left  <= images;
                    words_left   <= WW'(WORDS);
                    last_image   <= images == 32'd1;
                end
                SIZE: if (fill != 0 && pending != '1) begin
                    state       <= ASK;
                    beats       <= size;
                    last        <= 32'(words_left) <= 32'd16 && by_image <= by_line
                                && by_image <= by_fill;
                    m_axi_awlen <= 8'(size) - 1'b1;
                end
                ASK: begin
                    left        <= beats;
                    m_axi_wlast <= beats == 5'd1;
                    if (m_axi_awready) state <= SEND;
                end
                SEND: if (moved) begin
                    left        <= left - 1'b1;
                    m_axi_wlast <= left == 5'd2;
                    if (m_axi_wlast) begin
                        m_axi_awaddr <= m_axi_awaddr + 64'({beats, 3'b000});
                        words_left   <= last ? WW'(WORDS) : words_left - WW'(beats);
                        images_left  <= images_left - 32'(last);
                        image_done   <= last;
                        if (last) last_image <= images_left == 32'd2;
                        state <= last && last_image ? DRAIN : SIZE;
                    end
                end
                DRAIN: if (pending == 0) begin
                    state    <= IDLE;
                    finished <= 1'b1;
                end
                default: state <= IDLE;
            endcase
        end
    end

    bnn_fifo #(.BITS(64), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(i_valid), .i_ready(i_ready), .i_data(i_data),
        .o_valid(have), .o_ready(m_axi_wready && state == SEND), .o_data(m_axi_wdata), .fill(fill)
    );
    wire unused = &{1'b0, m_axi_bresp[0], address[2:0]};
endmodule
`default_nettype wire
