// SPDX-License-Identifier: BSD-3-Clause
// AXI4-Lite registers: identity, start and done, buffers, parameter loading, counters.
//
// Offsets and bits come from bnn_registers.svh, rendered from bnn.hw.registers. A start that cannot
// run sets the error flag and is done at once. One access at a time. Unknown offsets read 0 and
// ignore writes; write strobes are ignored (32-bit accesses only). A write is answered 2 cycles
// after address and data have come, a read 2 cycles after its address. Requests and answers are
// registered, because the master may be far away on the chip.
`default_nettype none
module bnn_control #(
    parameter logic [31:0] DESIGN     = 0,  // register DESIGN_ID, which the driver checks
    parameter logic [31:0] PARAMETERS = 0   // writes of a full parameter set; 0: constants
) (
    input  wire         clk,            // registers change at its rising edge
    input  wire         rst,            // synchronous, active high: idle, and no parameters loaded

    input  wire  [7:0]  s_axi_awaddr,   // offset of a register in bytes
    input  wire         s_axi_awvalid,  // stays with s_axi_awaddr until s_axi_awready
    output wire         s_axi_awready,  // address is taken, in the same cycle as the data
    input  wire  [31:0] s_axi_wdata,    // value to write
    input  wire  [3:0]  s_axi_wstrb,    // ignored: every write is of 32 bits
    input  wire         s_axi_wvalid,   // stays with s_axi_wdata until s_axi_wready
    output wire         s_axi_wready,   // data is taken, in the same cycle as the address
    output wire  [1:0]  s_axi_bresp,    // always OKAY
    output logic        s_axi_bvalid,   // the write is done; stays until s_axi_bready
    input  wire         s_axi_bready,   // the master takes the write response
    input  wire  [7:0]  s_axi_araddr,   // offset of a register in bytes
    input  wire         s_axi_arvalid,  // stays with s_axi_araddr until s_axi_arready
    output wire         s_axi_arready,  // the read request is taken
    output logic [31:0] s_axi_rdata,    // value read; stable while s_axi_rvalid is 1
    output wire  [1:0]  s_axi_rresp,    // always OKAY
    output logic        s_axi_rvalid,   // s_axi_rdata is there; stays until s_axi_rready
    input  wire         s_axi_rready,   // the master takes the value
    output wire         irq,            // 1 from the end of a start until it is cleared, if enabled

    output logic        start,          // 1 for one cycle; source, target, images are then valid
    output logic [63:0] source,         // byte address of the first image
    output logic [63:0] target,         // byte address of the first result
    output logic [31:0] images,         // images of this start, at least 1
    input  wire         finished,       // 1 for one cycle: all results are in memory
    input  wire         image_done,     // 1 for one cycle after each image's result
    input  wire         bus_error,      // 1 for a cycle: the memory answered with an error

    output logic        p_valid,        // 1 for one cycle: a parameter write; always taken
    output logic [7:0]  p_unit,         // number of the unit that is written
    output logic        p_thresholds,       // 1: thresholds or biases; 0: weights
    output logic [15:0] p_item,         // which 32 bits of a word; see bnn_parameters
    output logic [19:0] p_index,        // word of the memory; counts up after each write
    output logic [31:0] p_data,         // 32 bits to write

    output logic [15:0] probe,          // stream * 4 + counter, as bnn_probe selects it
    input  wire  [31:0] probe_value     // value of that counter, a few cycles later
);
    `include "bnn_registers.svh"

    // ---- bus ------------------------------------------------------------------------------
    logic write, read;                      // a request is taken; its values are in these:
    logic [7:0] w_at, r_at;
    logic [31:0] value;
    assign s_axi_awready = write;
    assign s_axi_wready  = write;
    assign s_axi_arready = read;
    assign s_axi_bresp   = 2'b00;
    assign s_axi_rresp   = 2'b00;
    wire unused = &{1'b0, s_axi_wstrb, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

    always_ff @(posedge clk) begin
        w_at  <= {s_axi_awaddr[7:2], 2'b00};
        r_at  <= {s_axi_araddr[7:2], 2'b00};
        value <= s_axi_wdata;
        if (rst) begin
            write        <= 1'b0;
            read         <= 1'b0;
            s_axi_bvalid <= 1'b0;
            s_axi_rvalid <= 1'b0;
        end else begin
            write <= s_axi_awvalid && s_axi_wvalid && !write && !s_axi_bvalid;
            read  <= s_axi_arvalid && !read && !s_axi_rvalid;
            if (write) s_axi_bvalid <= 1'b1;
            else if (s_axi_bready) s_axi_bvalid <= 1'b0;
            if (read) s_axi_rvalid <= 1'b1;
            else if (s_axi_rready) s_axi_rvalid <= 1'b0;
        end
    end

    // ---- start, done, errors ---------------------------------------------------------------
    logic busy, done, enabled, raised;
    logic [31:0] loaded, identified;       // parameter writes; what the driver called the full set
    logic [ERROR_BITS-1:0] error, refusal;
    wire asked = write && w_at == CONTROL && value[CONTROL_START];
    wire full_set = PARAMETERS == 0 || loaded == PARAMETERS;
    always_ff @(posedge clk) begin          // two cycles after a write; the next comes after three
        refusal                  <= '0;
        refusal[ERROR_SOURCE]    <= source == 0;
        refusal[ERROR_TARGET]    <= target == 0;
        refusal[ERROR_IMAGES]    <= images == 0;
        refusal[ERROR_UNLOADED]  <= !full_set;
        refusal[ERROR_ALIGNMENT] <= source[2:0] != 0 || target[2:0] != 0;
    end
    wire parameter_write = write && w_at == PARAMETER_DATA;
    assign irq = raised && enabled;

    always_ff @(posedge clk) begin
        start   <= 1'b0;
        p_valid <= parameter_write && !busy;
        p_data  <= value;
        if (p_valid) p_index <= p_index + 1'b1;
        if (rst) begin
            busy       <= 1'b0;
            done       <= 1'b0;
            enabled    <= 1'b0;
            raised     <= 1'b0;
            error      <= '0;
            source     <= '0;
            target     <= '0;
            images     <= '0;
            loaded     <= '0;
            identified <= '0;
            p_unit     <= '0;
            p_thresholds   <= 1'b0;
            p_item     <= '0;
            p_index    <= '0;
            probe      <= '0;
        end else begin
            if (read && r_at == CONTROL) done <= 1'b0;
            if (finished) begin
                busy   <= 1'b0;
                done   <= 1'b1;
                raised <= 1'b1;
            end
            if (busy && bus_error) error[ERROR_BUS] <= 1'b1;
            if (asked) begin
                if (busy) error[ERROR_BUSY] <= 1'b1;
                else begin
                    error  <= refusal;
                    start  <= refusal == '0;
                    busy   <= refusal == '0;
                    done   <= refusal != '0;
                    raised <= refusal != '0;
                end
            end
            if (parameter_write && busy) error[ERROR_BUSY] <= 1'b1;
            if (parameter_write && !busy) begin
                loaded     <= loaded + 1'b1;
                identified <= '0;
            end
            if (write && !busy)
                case (w_at)
                    SOURCE_LOW:  source[31:0]  <= value;
                    SOURCE_HIGH: source[63:32] <= value;
                    TARGET_LOW:  target[31:0]  <= value;
                    TARGET_HIGH: target[63:32] <= value;
                    IMAGES:      images        <= value;
                    PARAMETER_COUNT: begin
                        loaded     <= '0;
                        identified <= '0;
                    end
                    PARAMETER_ID: if (PARAMETERS != 0) identified <= value;
                    PARAMETER_TARGET: begin
                        p_unit   <= value[31:24];
                        p_thresholds <= value[16];
                        p_item   <= value[15:0];
                        p_index  <= '0;
                    end
                    default: ;
                endcase
            if (write && w_at == PROBE) probe <= value[15:0];
            if (write && w_at == INTERRUPT_ENABLE) enabled <= value[0];
            if (write && w_at == INTERRUPT_STATUS && value[0]) raised <= 1'b0;
        end
    end

    // ---- counters: from start to the first, the last image and the end ----------------------
    logic [47:0] cycles, first, last;
    logic seen;
    always_ff @(posedge clk) begin
        if (start) begin
            cycles <= '0;
            first  <= '0;
            last   <= '0;
            seen   <= 1'b0;
        end else if (busy) begin
            cycles <= cycles + 1'b1;
            if (image_done) begin
                if (!seen) first <= cycles;
                last <= cycles;
                seen <= 1'b1;
            end
        end
    end

    always_ff @(posedge clk)
        if (read)
            case (r_at)
                CONTROL: begin
                    s_axi_rdata <= '0;
                    s_axi_rdata[CONTROL_START] <= busy;
                    s_axi_rdata[CONTROL_DONE]  <= done;
                    s_axi_rdata[CONTROL_IDLE]  <= !busy;
                    s_axi_rdata[CONTROL_ERROR] <= error != '0;
                end
                INTERRUPT_ENABLE: s_axi_rdata <= {31'b0, enabled};
                INTERRUPT_STATUS: s_axi_rdata <= {31'b0, raised};
                ERROR:            s_axi_rdata <= 32'(error);
                IDENTITY:         s_axi_rdata <= IDENTITY_VALUE;
                DESIGN_ID:        s_axi_rdata <= DESIGN;
                SOURCE_LOW:       s_axi_rdata <= source[31:0];
                SOURCE_HIGH:      s_axi_rdata <= source[63:32];
                TARGET_LOW:       s_axi_rdata <= target[31:0];
                TARGET_HIGH:      s_axi_rdata <= target[63:32];
                IMAGES:           s_axi_rdata <= images;
                PARAMETER_COUNT:  s_axi_rdata <= loaded;
                PARAMETER_ID:     s_axi_rdata <= identified;
                CYCLES_LOW:       s_axi_rdata <= cycles[31:0];
                CYCLES_HIGH:      s_axi_rdata <= 32'(cycles[47:32]);
                FIRST_LOW:        s_axi_rdata <= first[31:0];
                FIRST_HIGH:       s_axi_rdata <= 32'(first[47:32]);
                LAST_LOW:         s_axi_rdata <= last[31:0];
                LAST_HIGH:        s_axi_rdata <= 32'(last[47:32]);
                PROBE:            s_axi_rdata <= 32'(probe);
                PROBE_VALUE:      s_axi_rdata <= probe_value;
                default:          s_axi_rdata <= '0;
            endcase
endmodule
`default_nettype wire
