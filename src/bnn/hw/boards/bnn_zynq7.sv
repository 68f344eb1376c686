// SPDX-License-Identifier: BSD-3-Clause
// Zynq-7000 around bnn_top: the processing system as a primitive, no vendor block design.
//
// General-purpose master 0 (AXI3, from 0x4000_0000) is connected to the registers. It makes single
// accesses only, as a processor does to device memory; an answer has the identifier of its request.
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
    wire [11:0] gp_arid, gp_awid;
    wire [3:0] gp_wstrb;
    wire gp_arvalid, gp_arready, gp_awvalid, gp_awready, gp_wvalid, gp_wready;
    wire gp_bvalid, gp_bready, gp_rvalid, gp_rready, irq;
    wire [1:0] gp_bresp, gp_rresp;
    logic [11:0] bid, rid;
    always_ff @(posedge clk) begin
        if (gp_awvalid && gp_awready) bid <= gp_awid;
        if (gp_arvalid && gp_arready) rid <= gp_arid;
    end

    wire [63:0] araddr, awaddr, rdata, wdata;
    wire [7:0] arlen, awlen;
    wire arvalid, arready, awvalid, awready, wvalid, wready, wlast, rvalid, rready, rlast;
    wire bvalid, bready;
    wire [1:0] rresp, bresp;

    bnn_top top (
        .aclk(clk), .aresetn(resetn[1]), .irq(irq),
        .s_axi_awaddr(gp_awaddr[7:0]), .s_axi_awvalid(gp_awvalid), .s_axi_awready(gp_awready),
        .s_axi_wdata(gp_wdata), .s_axi_wstrb(gp_wstrb), .s_axi_wvalid(gp_wvalid),
        .s_axi_wready(gp_wready), .s_axi_bresp(gp_bresp), .s_axi_bvalid(gp_bvalid),
        .s_axi_bready(gp_bready), .s_axi_araddr(gp_araddr[7:0]), .s_axi_arvalid(gp_arvalid),
        .s_axi_arready(gp_arready), .s_axi_rdata(gp_rdata), .s_axi_rresp(gp_rresp),
        .s_axi_rvalid(gp_rvalid), .s_axi_rready(gp_rready),
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
        .MAXIGP0ARID(gp_arid),
        .MAXIGP0RVALID(gp_rvalid), .MAXIGP0RREADY(gp_rready), .MAXIGP0RDATA(gp_rdata),
        .MAXIGP0RRESP(gp_rresp), .MAXIGP0RLAST(1'b1), .MAXIGP0RID(rid),
        .MAXIGP0AWVALID(gp_awvalid), .MAXIGP0AWREADY(gp_awready), .MAXIGP0AWADDR(gp_awaddr),
        .MAXIGP0AWID(gp_awid),
        .MAXIGP0WVALID(gp_wvalid), .MAXIGP0WREADY(gp_wready), .MAXIGP0WDATA(gp_wdata),
        .MAXIGP0WSTRB(gp_wstrb),
        .MAXIGP0BVALID(gp_bvalid), .MAXIGP0BREADY(gp_bready), .MAXIGP0BRESP(gp_bresp),
        .MAXIGP0BID(bid),
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
`default_nettype wire
