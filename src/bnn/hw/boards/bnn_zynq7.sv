// SPDX-License-Identifier: BSD-3-Clause
// Zynq-7000 around bnn_top: the processing system as a primitive, no vendor block design.
//
// General-purpose master 0 (AXI3, from 0x4000_0000) is connected to the registers. A 64-bit access
// of the processor is a burst, which bnn_zynq7_registers (below) splits.
// High-performance slave 0 (64 bits) is the memory. Clock 0 and reset 0 of the processing system
// drive all logic; interrupt 0 signals the end of a start.
`default_nettype none
module bnn_zynq7;
    wire [3:0] fclk, fclk_resetn;
    wire clk;
    BUFG clock (.I(fclk[0]), .O(clk));
    logic [1:0] resetn;
    always_ff @(posedge clk) resetn <= {resetn[0], fclk_resetn[0]};

    wire [31:0] gp_araddr, gp_awaddr, gp_wdata, gp_rdata;
    wire [11:0] gp_arid, gp_awid, gp_bid, gp_rid;
    wire [3:0] gp_wstrb, gp_arlen, gp_awlen;
    wire [1:0] gp_arsize, gp_awsize, gp_arburst, gp_awburst;
    wire gp_arvalid, gp_arready, gp_awvalid, gp_awready, gp_wvalid, gp_wready;
    wire gp_bvalid, gp_bready, gp_rvalid, gp_rready, irq;
    wire gp_rlast;
    wire [1:0] gp_bresp, gp_rresp;

    wire [31:0] r_wdata, r_rdata;
    wire [7:0] r_awaddr, r_araddr;
    wire r_awvalid, r_awready, r_wvalid, r_bvalid, r_bready;
    wire r_arvalid, r_arready, r_rvalid, r_rready;
    wire [1:0] r_bresp, r_rresp;
    bnn_zynq7_registers registers (
        .clk(clk), .rst(!resetn[1]),
        .s_awaddr(gp_awaddr[7:0]), .s_awlen(gp_awlen), .s_awsize(gp_awsize),
        .s_awburst(gp_awburst), .s_awid(gp_awid), .s_awvalid(gp_awvalid), .s_awready(gp_awready),
        .s_wdata(gp_wdata), .s_wstrb(gp_wstrb), .s_wvalid(gp_wvalid), .s_wready(gp_wready),
        .s_bid(gp_bid), .s_bresp(gp_bresp), .s_bvalid(gp_bvalid), .s_bready(gp_bready),
        .s_araddr(gp_araddr[7:0]), .s_arlen(gp_arlen), .s_arsize(gp_arsize),
        .s_arburst(gp_arburst), .s_arid(gp_arid), .s_arvalid(gp_arvalid), .s_arready(gp_arready),
        .s_rid(gp_rid), .s_rdata(gp_rdata), .s_rresp(gp_rresp), .s_rlast(gp_rlast),
        .s_rvalid(gp_rvalid), .s_rready(gp_rready),
        .m_awaddr(r_awaddr), .m_awvalid(r_awvalid), .m_awready(r_awready),
        .m_wdata(r_wdata), .m_wvalid(r_wvalid), .m_bvalid(r_bvalid), .m_bresp(r_bresp),
        .m_bready(r_bready), .m_araddr(r_araddr), .m_arvalid(r_arvalid), .m_arready(r_arready),
        .m_rdata(r_rdata), .m_rresp(r_rresp), .m_rvalid(r_rvalid), .m_rready(r_rready)
    );

    wire [63:0] araddr, awaddr, rdata, wdata;
    wire [7:0] arlen, awlen;
    wire arvalid, arready, awvalid, awready, wvalid, wready, wlast, rvalid, rready, rlast;
    wire bvalid, bready;
    wire [1:0] rresp, bresp;

    bnn_top top (
        .aclk(clk), .aresetn(resetn[1]), .irq(irq),
        .s_axi_awaddr(r_awaddr), .s_axi_awvalid(r_awvalid), .s_axi_awready(r_awready),
        .s_axi_wdata(r_wdata), .s_axi_wstrb(4'hf), .s_axi_wvalid(r_wvalid), .s_axi_wready(),
        .s_axi_bresp(r_bresp), .s_axi_bvalid(r_bvalid), .s_axi_bready(r_bready),
        .s_axi_araddr(r_araddr), .s_axi_arvalid(r_arvalid), .s_axi_arready(r_arready),
        .s_axi_rdata(r_rdata), .s_axi_rresp(r_rresp), .s_axi_rvalid(r_rvalid),
        .s_axi_rready(r_rready),
        .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(), .m_axi_arburst(),
        .m_axi_arcache(), .m_axi_arprot(), .m_axi_arvalid(arvalid), .m_axi_arready(arready),
        .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rlast(rlast), .m_axi_rvalid(rvalid),
        .m_axi_rready(rready), .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(),
        .m_axi_awburst(), .m_axi_awcache(), .m_axi_awprot(), .m_axi_awvalid(awvalid),
        .m_axi_awready(awready), .m_axi_wdata(wdata), .m_axi_wstrb(), .m_axi_wlast(wlast),
        .m_axi_wvalid(wvalid), .m_axi_wready(wready), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid),
        .m_axi_bready(bready)
    );

    // The memory master's bursts are at most 16 beats of 8 bytes, as AXI3 allows.
    (* KEEP, DONT_TOUCH *)
    PS7 ps (
        .FCLKCLK(fclk), .FCLKRESETN(fclk_resetn), .IRQF2P({19'b0, irq}),
        .MAXIGP0ACLK(clk),
        .MAXIGP0ARVALID(gp_arvalid), .MAXIGP0ARREADY(gp_arready), .MAXIGP0ARADDR(gp_araddr),
        .MAXIGP0ARID(gp_arid), .MAXIGP0ARLEN(gp_arlen), .MAXIGP0ARSIZE(gp_arsize),
        .MAXIGP0ARBURST(gp_arburst),
        .MAXIGP0RVALID(gp_rvalid), .MAXIGP0RREADY(gp_rready), .MAXIGP0RDATA(gp_rdata),
        .MAXIGP0RRESP(gp_rresp), .MAXIGP0RLAST(gp_rlast), .MAXIGP0RID(gp_rid),
        .MAXIGP0AWVALID(gp_awvalid), .MAXIGP0AWREADY(gp_awready), .MAXIGP0AWADDR(gp_awaddr),
        .MAXIGP0AWID(gp_awid), .MAXIGP0AWLEN(gp_awlen), .MAXIGP0AWSIZE(gp_awsize),
        .MAXIGP0AWBURST(gp_awburst),
        .MAXIGP0WVALID(gp_wvalid), .MAXIGP0WREADY(gp_wready), .MAXIGP0WDATA(gp_wdata),
        .MAXIGP0WSTRB(gp_wstrb),
        .MAXIGP0BVALID(gp_bvalid), .MAXIGP0BREADY(gp_bready), .MAXIGP0BRESP(gp_bresp),
        .MAXIGP0BID(gp_bid),
        .SAXIHP0ACLK(clk),
        .SAXIHP0ARVALID(arvalid), .SAXIHP0ARREADY(arready), .SAXIHP0ARADDR(araddr[31:0]),
        .SAXIHP0ARLEN(arlen[3:0]), .SAXIHP0ARSIZE(2'd3), .SAXIHP0ARBURST(2'd1),
        .SAXIHP0ARCACHE(4'd3), .SAXIHP0ARPROT(3'd0), .SAXIHP0ARLOCK(2'd0), .SAXIHP0ARQOS(4'd0),
        .SAXIHP0ARID(6'd0), .SAXIHP0RDISSUECAP1EN(1'b0),
        .SAXIHP0RVALID(rvalid), .SAXIHP0RREADY(rready), .SAXIHP0RDATA(rdata),
        .SAXIHP0RRESP(rresp), .SAXIHP0RLAST(rlast),
        .SAXIHP0AWVALID(awvalid), .SAXIHP0AWREADY(awready), .SAXIHP0AWADDR(awaddr[31:0]),
        .SAXIHP0AWLEN(awlen[3:0]), .SAXIHP0AWSIZE(2'd3), .SAXIHP0AWBURST(2'd1),
        .SAXIHP0AWCACHE(4'd3), .SAXIHP0AWPROT(3'd0), .SAXIHP0AWLOCK(2'd0), .SAXIHP0AWQOS(4'd0),
        .SAXIHP0AWID(6'd0), .SAXIHP0WRISSUECAP1EN(1'b0),
        .SAXIHP0WVALID(wvalid), .SAXIHP0WREADY(wready), .SAXIHP0WDATA(wdata),
        .SAXIHP0WSTRB(8'hff), .SAXIHP0WLAST(wlast), .SAXIHP0WID(6'd0),
        .SAXIHP0BVALID(bvalid), .SAXIHP0BREADY(bready), .SAXIHP0BRESP(bresp)
    );
endmodule

// Bursts of the processor (AXI3) to single accesses of the registers (AXI4-Lite).
//
// A 64-bit access of the processor is a burst of two beats: it reads or writes two registers. A
// beat that writes only some of a register's bytes is not passed on: a register is written whole,
// so the burst is answered with SLVERR, which the processor reports as an external abort. A beat
// without a byte changes nothing. Reads give the whole register. One burst at a time in each
// direction; a read does not wait for a write.
module bnn_zynq7_registers (
    input  wire         clk,           // registers change at its rising edge
    input  wire         rst,           // synchronous, active high: no burst is on its way

    input  wire  [7:0]  s_awaddr,      // AXI3: offset of a burst's first byte
    input  wire  [3:0]  s_awlen,       // beats - 1
    input  wire  [1:0]  s_awsize,      // bytes of a beat, as a power of two: 0 to 2
    input  wire  [1:0]  s_awburst,     // 0: one place; 1: rising; 2: rising, within its block
    input  wire  [11:0] s_awid,        // comes back in s_bid
    input  wire         s_awvalid,     // stays with s_awaddr until s_awready
    output wire         s_awready,     // the burst's address is taken
    input  wire  [31:0] s_wdata,       // value of a beat
    input  wire  [3:0]  s_wstrb,       // bytes that are written: all, or none
    input  wire         s_wvalid,      // stays with s_wdata until s_wready
    output wire         s_wready,      // the beat is taken
    output logic [11:0] s_bid,         // identifier of the burst that is answered
    output wire  [1:0]  s_bresp,       // SLVERR if a beat was not passed on
    output wire         s_bvalid,      // the burst is written; stays until s_bready
    input  wire         s_bready,      // the master takes the answer
    input  wire  [7:0]  s_araddr,      // offset of a burst's first byte
    input  wire  [3:0]  s_arlen,       // beats - 1
    input  wire  [1:0]  s_arsize,      // as s_awsize
    input  wire  [1:0]  s_arburst,     // as s_awburst
    input  wire  [11:0] s_arid,        // comes back in s_rid
    input  wire         s_arvalid,     // stays with s_araddr until s_arready
    output wire         s_arready,     // the burst's address is taken
    output logic [11:0] s_rid,         // identifier of the burst that is answered
    output wire  [31:0] s_rdata,       // value of a register
    output wire  [1:0]  s_rresp,       // as the registers answer
    output wire         s_rlast,       // the burst's last beat
    output wire         s_rvalid,      // a beat is there; stays until s_rready
    input  wire         s_rready,      // the master takes the beat

    output logic [7:0]  m_awaddr,      // AXI4-Lite, as bnn_control has it
    output wire         m_awvalid,     // stays with m_awaddr until m_awready
    input  wire         m_awready,     // with m_wready: bnn_control takes both in one cycle
    output wire  [31:0] m_wdata,       // value to write
    output wire         m_wvalid,      // as m_awvalid
    input  wire         m_bvalid,      // the write is done
    input  wire  [1:0]  m_bresp,       // bit 1 is 1: error
    output wire         m_bready,      // the answer is taken
    output logic [7:0]  m_araddr,      // offset of a register
    output wire         m_arvalid,     // stays with m_araddr until m_arready
    input  wire         m_arready,     // the read is taken
    input  wire  [31:0] m_rdata,       // value of the register
    input  wire  [1:0]  m_rresp,       // goes to s_rresp
    input  wire         m_rvalid,      // m_rdata is there; stays until m_rready
    output wire         m_rready       // the value is taken
);
    // Address of the next beat; only the low bits change if the burst stays within its block.
    function automatic logic [7:0] next(
        input logic [7:0] at, input logic [3:0] beats, input logic [1:0] size,
        input logic [1:0] kind
    );
        logic [7:0] sum, block;
        sum = at + (8'd1 << size);
        block = {2'b0, beats, 2'b11} >> (2'd2 - size);  // bytes of the burst - 1: a power of two
        case (kind)
            2'd0:    next = at;
            2'd2:    next = (at & ~block) | (sum & block);
            default: next = sum;
        endcase
    endfunction

    // ---- reads ----------------------------------------------------------------------------
    typedef enum logic [1:0] {IDLE, ASK, ANSWER, RESPOND} state_t;
    state_t reads, writes;
    logic [3:0] r_beats, r_left, w_beats, w_left;
    logic [1:0] r_size, r_kind, w_size, w_kind;
    assign s_arready = reads == IDLE;
    assign m_arvalid = reads == ASK;
    assign s_rvalid  = reads == ANSWER && m_rvalid;
    assign m_rready  = reads == ANSWER && s_rready;
    assign s_rdata   = m_rdata;
    assign s_rresp   = m_rresp;
    assign s_rlast   = r_left == 0;

    always_ff @(posedge clk)
        if (rst) reads <= IDLE;
        else
            case (reads)
                IDLE: if (s_arvalid) begin
                    reads    <= ASK;
                    m_araddr <= s_araddr;
                    r_beats  <= s_arlen;
                    r_left   <= s_arlen;
                    r_size   <= s_arsize;
                    r_kind   <= s_arburst;
                    s_rid    <= s_arid;
                end
                ASK: if (m_arready) reads <= ANSWER;
                ANSWER: if (m_rvalid && s_rready) begin
                    reads    <= s_rlast ? IDLE : ASK;
                    m_araddr <= next(m_araddr, r_beats, r_size, r_kind);
                    r_left   <= r_left - 1'b1;
                end
                default: reads <= IDLE;
            endcase

    // ---- writes ---------------------------------------------------------------------------
    logic failed;
    wire whole = s_wstrb == 4'hf;
    wire done  = writes == ASK && s_wvalid && !whole || writes == ANSWER && m_bvalid;
    assign s_awready = writes == IDLE;
    assign m_awvalid = writes == ASK && s_wvalid && whole;
    assign m_wvalid  = m_awvalid;
    assign m_wdata   = s_wdata;
    assign s_wready  = writes == ASK && s_wvalid && (m_awready || !whole);
    assign m_bready  = writes == ANSWER;
    assign s_bvalid  = writes == RESPOND;
    assign s_bresp   = {failed, 1'b0};

    always_ff @(posedge clk)
        if (rst) writes <= IDLE;
        else begin
            case (writes)
                IDLE: if (s_awvalid) begin
                    writes   <= ASK;
                    m_awaddr <= s_awaddr;
                    w_beats  <= s_awlen;
                    w_left   <= s_awlen;
                    w_size   <= s_awsize;
                    w_kind   <= s_awburst;
                    s_bid    <= s_awid;
                    failed   <= 1'b0;
                end
                ASK: if (m_awvalid && m_awready) writes <= ANSWER;
                RESPOND: if (s_bready) writes <= IDLE;
                default: ;
            endcase
            if (done) begin
                writes   <= w_left == 0 ? RESPOND : ASK;
                m_awaddr <= next(m_awaddr, w_beats, w_size, w_kind);
                w_left   <= w_left - 1'b1;
            end
            if (writes == ASK && s_wvalid && !whole && s_wstrb != 0) failed <= 1'b1;
            if (writes == ANSWER && m_bvalid && m_bresp[1]) failed <= 1'b1;
        end
endmodule
`default_nettype wire
