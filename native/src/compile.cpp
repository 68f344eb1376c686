// SPDX-License-Identifier: BSD-3-Clause
// Steps are made in the order of the operations. An edge is stored in the form that its operation
// produces (codes in bits or bytes, accumulators in words); a reader that needs another form
// asks for it, and the conversion becomes a step, once. Windows are never stored for a dot: the
// dot reads patches of the map. Thresholds and pools after a dot are fused into it.
#include "compile.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "depthwise_step.hpp"
#include "dot_step.hpp"
#include "scan_step.hpp"

namespace bnn {
namespace {

// Below so many channels of a kernel row, its bits would be mostly padding of 64-bit words, and
// bytes are as good.
constexpr int least_bit_channels = 24;
// Thresholds of a channel that are counted one by one after a depthwise convolution; more are
// searched by a step of their own.
constexpr int counted_levels = 32;

class Compiler {
 public:
  Compiler(const Program& program, int scores, int decision, const Kernels& kernels)
      : program_(program), kernels_(kernels), readers_(program.edges().size()),
        made_(program.edges().size()), fused_(program.edges().size()) {
    count_readers({scores, decision});
    result_.buffers.emplace_back();  // slot 0: scratch, for all dots
    for (int number = 1; number <= program.size(); ++number)
      if (readers_[size_t(number)] > 0 && !fused_[size_t(number)]) make(making_ = number);
    making_ = scores;
    add_step("scores", scores_step(program.edge(scores).shape.channels, need(scores, Form::words)));
    if (decision >= 0) add_step("scores", decisions_step(need(decision, Form::words)));
    result_.weight_bytes = needs_.weights;
    result_.buffers[0].fixed_bytes = needs_.scratch;
  }
  Compiled result() { return std::move(result_); }

 private:
  struct Stored {
    Map map;
    Slot slot;
  };

  const Edge& edge(int number) const { return program_.edge(number); }
  // `what` it does, for the edge that is being made.
  void add_step(const char* what, StepPointer step) {
    result_.steps.push_back(std::move(step));
    result_.notes.push_back({making_, what});
  }

  static bool reads_two(const Op& op) {
    return op.kind == Kind::add || op.kind == Kind::concat || op.kind == Kind::multiply;
  }

  void count_readers(std::initializer_list<int> roots) {
    for (int root : roots)
      if (root >= 0) ++readers_[size_t(root)];
    for (int number = program_.size(); number >= 1; --number) {
      if (readers_[size_t(number)] == 0) continue;
      const Op& op = program_.op(number);
      ++readers_[size_t(op.source)];
      if (reads_two(op)) ++readers_[size_t(op.other)];
    }
    roots_ = roots;
  }

  // The one operation that reads `number`, if there is only one; else 0.
  int only_reader(int number) const {
    if (readers_[size_t(number)] != 1 ||
        std::find(roots_.begin(), roots_.end(), number) != roots_.end())
      return 0;
    for (int reader = number + 1; reader <= program_.size(); ++reader) {
      if (readers_[size_t(reader)] == 0) continue;
      const Op& op = program_.op(reader);
      if (op.source == number || (reads_two(op) && op.other == number)) return reader;
    }
    return 0;
  }

  Slot buffer(const Map& map) {
    result_.buffers.push_back({.image_bytes = map.bytes()});
    return Slot(result_.buffers.size()) - 1;
  }

  Map map_of(int number, Form form) const {
    const Edge& of = edge(number);
    return {of.shape, form, of.lattice ? std::max(1, of.lattice->codes - 1) : 1};
  }

  const Stored& store(int number, const Map& map) { return store(number, map, buffer(map)); }
  const Stored& store(int number, const Map& map, Slot slot) {
    return made_[size_t(number)].insert_or_assign(map.form, Stored{map, slot}).first->second;
  }

  // Where edge `number` is stored in `form`; adds a conversion step if it is not yet.
  Slot need(int number, Form form) {
    auto& forms = made_[size_t(number)];
    if (const auto found = forms.find(form); found != forms.end()) return found->second.slot;
    if (number > 0 && program_.op(number).kind == Kind::window && form != Form::bits)
      return need_patches(number, form);
    if (number > 0 && is_flat(number) && form == Form::bits &&
        edge(program_.op(number).source).shape.channels % 64 == 0)
      return store(number, map_of(number, form), need(program_.op(number).source, form)).slot;
    if (number == 0 && !edge(0).lattice) {
      const Slot to = store(0, map_of(0, Form::words)).slot;
      add_step("input", load_words_step(program_.input(), to));
      return to;
    }
    if (number == 0 && forms.empty()) {
      const Stored& loaded = store(0, map_of(0, Form::bytes));
      add_step("input", load_step(program_.input(), loaded.slot));
      if (form == Form::bytes) return loaded.slot;
    }
    // words <-> bytes <-> bits
    const Form by = form != Form::bytes           ? Form::bytes
                    : forms.count(Form::bits) > 0 ? Form::bits
                                                  : Form::words;
    const Slot from = need(number, by);
    const Stored& to = store(number, map_of(number, form));
    add_step("convert",
             convert_step(map_of(number, by), from, to.map, to.slot, *edge(number).lattice));
    return to.slot;
  }

  // A window over the whole map without a border only reshapes.
  bool is_flat(int number) const {
    if (number == 0 || program_.op(number).kind != Kind::window) return false;
    const Op& op = program_.op(number);
    const Shape& from = edge(op.source).shape;
    return !op.slide.padded() && op.slide.kernel == std::array{from.height, from.width};
  }

  Slot need_patches(int number, Form form) {
    const Op& op = program_.op(number);
    if (is_flat(number)) return store(number, map_of(number, form), need(op.source, form)).slot;
    if (form == Form::words && edge(number).lattice) {
      const Slot from = need(number, Form::bytes);
      const Stored& to = store(number, map_of(number, form));
      add_step("convert", convert_step(map_of(number, Form::bytes), from, to.map, to.slot,
                                       *edge(number).lattice));
      return to.slot;
    }
    const Stored from = bordered(number, form);
    const Stored& to = store(number, map_of(number, form));
    add_step("patches",
             patches_step(from.map, from.slot, {op.slide.kernel, op.slide.stride}, to.slot));
    return to.slot;
  }

  // The map under a window, in codes of the window's lattice, with the border around it.
  Stored bordered(int number, Form form) {
    const Op& op = program_.op(number);
    if (!op.slide.padded()) return {map_of(op.source, form), need(op.source, form)};
    if (form == Form::words) return bordered_words(op);
    const Lattice from = *edge(op.source).lattice, to = *edge(number).lattice;
    std::vector<uint8_t> recode;
    if (from != to) {
      if (form == Form::bits) return packed(bordered(number, Form::bytes), to);
      recode = recoded(op.source, to);
    }
    const Map inner = map_of(op.source, form);
    Stored result{around(inner, op.slide), 0};
    result.map.planes = std::max(1, to.codes - 1);
    result.slot = buffer(result.map);
    const int fill = (op.pad_value - to.base) / to.step;
    add_step("border", border_step(inner, need(op.source, form), op.slide, fill, std::move(recode),
                                   result.slot));
    return result;
  }

  static Map around(Map map, const Slide& slide) {
    const auto& [top, left, bottom, right] = slide.padding;
    map.shape.height += top + bottom;
    map.shape.width += left + right;
    return map;
  }

  Stored bordered_words(const Op& op) {
    const Map inner = map_of(op.source, Form::words);
    Stored result{around(inner, op.slide), 0};
    result.slot = buffer(result.map);
    add_step("border", border_step(inner, need(op.source, Form::words), op.slide, op.pad_value, {},
                                   result.slot));
    return result;
  }

  Stored packed(const Stored& bytes, const Lattice& lattice) {
    Stored bits{{bytes.map.shape, Form::bits, lattice.codes - 1}, 0};
    bits.slot = buffer(bits.map);
    add_step("convert", convert_step(bytes.map, bytes.slot, bits.map, bits.slot, lattice));
    return bits;
  }

  void make(int number) {
    const Op& op = program_.op(number);
    switch (op.kind) {
      case Kind::window: return;  // stored when an operation needs it
      case Kind::dot: return make_dot(number);
      case Kind::depthwise: return make_depthwise(number);
      case Kind::threshold: {
        const Slot from = need(op.source, Form::words);
        const Map to = map_of(number, edge(number).lattice ? Form::bytes : Form::words);
        return add_step("threshold",
                        threshold_step(op, edge(number).shape, from, to, store(number, to).slot));
      }
      case Kind::pool: return make_pool(number);
      case Kind::add: {
        const Slot one = need(op.source, Form::words), two = need(op.other, Form::words);
        const Slot to = store(number, map_of(number, Form::words)).slot;
        return add_step("add", bnn::add_step(edge(number).shape.values(), one, two, to));
      }
      case Kind::multiply: {
        const Slot one = need(op.source, Form::words), two = need(op.other, Form::words);
        const Slot to = store(number, map_of(number, Form::words)).slot;
        return add_step("multiply", multiply_step(edge(number).shape.values(), one, two, to));
      }
      case Kind::scan: {
        const Slot from = need(op.source, Form::words);
        const Slot to = store(number, map_of(number, Form::words)).slot;
        return add_step("scan", scan_step(op, kernels_, from, to, needs_.weights));
      }
      case Kind::carried: throw ProgramError("what a scan carries is in its body only");
      case Kind::concat: return make_concat(number);
      case Kind::rescale: {
        const Slot from = need(op.source, Form::words);
        const Slot to = store(number, map_of(number, Form::words)).slot;
        return add_step("rescale", rescale_step(op.scaling, edge(number).shape, from, to));
      }
      case Kind::arg_max: {
        const Slot from = need(op.source, Form::words);
        const Slot to = store(number, map_of(number, Form::words)).slot;
        return add_step("arg max", arg_max_step(op.rule, edge(op.source).shape.channels, from, to));
      }
    }
  }

  void make_concat(int number) {
    const Op& op = program_.op(number);
    const auto& lattice = edge(number).lattice;
    const Form form = lattice ? Form::bytes : Form::words;
    const Slot one = need(op.source, form), two = need(op.other, form);
    std::array<std::vector<uint8_t>, 2> recode;
    if (lattice) recode = {recoded(op.source, *lattice), recoded(op.other, *lattice)};
    add_step("concat", concat_step(map_of(op.source, form), one, map_of(op.other, form), two,
                                   store(number, map_of(number, form)).slot, std::move(recode)));
  }

  // The codes in `to` for each code of edge `number`; empty if they are the same.
  std::vector<uint8_t> recoded(int number, const Lattice& to) const {
    const Lattice from = *edge(number).lattice;
    std::vector<uint8_t> table;
    if (from == to) return table;
    for (int code = 0; code < 256; ++code)
      table.push_back(
          uint8_t((from.base + from.step * std::min(code, from.codes - 1) - to.base) / to.step));
    return table;
  }

  void make_pool(int number) {
    const Op& op = program_.op(number);
    const auto& forms = made_[size_t(op.source)];
    const Form form = forms.count(Form::bits) > 0 ? Form::bits
                      : edge(number).lattice      ? Form::bytes
                                                  : Form::words;
    const Slot from = need(op.source, form);
    add_step("pool", pool_step(map_of(op.source, form), from, op.slide,
                               store(number, map_of(number, form)).slot));
  }

  // Number of weight planes if the dot can be computed by bits, else 0. `run`: pixels of a kernel
  // row.
  int planes_for(const Op& dot, const Map& source, int run, const Lattice& lattice) const {
    const bool few = lattice.codes == 2 || lattice.codes == 3;
    const int64_t channels = int64_t(run) * source.shape.channels;
    if (!few || (channels < least_bit_channels && source.shape.pixels() > 1)) return 0;
    const int planes = bit_planes(dot);
    return planes > 0 && fits_kernels(dot, lattice, planes) ? planes : 0;
  }

  void make_dot(int number) {
    const Op& op = program_.op(number);
    const int read = op.source;
    if (op.product_shift > 0) {
      const Slot from = need(read, Form::words);
      const Slot to = store(number, map_of(number, Form::words)).slot;
      return add_step("dot", rounded_dot_step(op, edge(read), kernels_, from, to, needs_.weights));
    }
    DotTask task;
    task.dot = &op;
    const bool windowed = read > 0 && program_.op(read).kind == Kind::window && !is_flat(read);
    const int under = windowed ? program_.op(read).source : read;
    if (windowed) task.slide = program_.op(read).slide;
    task.slide.padding = {0, 0, 0, 0};
    if (!edge(read).lattice) return make_word_dot(number, task, windowed);
    task.lattice = *edge(read).lattice;
    task.weight_planes =
        planes_for(op, map_of(under, Form::bits), task.slide.kernel[1], task.lattice);
    const Form form = task.weight_planes > 0 ? Form::bits : Form::bytes;
    Stored source = windowed ? bordered(read, form) : Stored{map_of(read, form), need(read, form)};
    if (form == Form::bits) source = widened(source, task.slide);
    task.source = source.map;
    task.from = source.slot;
    if (task.weight_planes == 0 && !fits_kernels(op, task.lattice, 0)) {
      const Stored& to = store(number, map_of(number, Form::words));
      task.target = to.map;
      task.to = to.slot;
      return add_step("dot", wide_dot_step(task));
    }
    const int last = fuse(number, task);
    const bool bits = task.threshold != nullptr && task.threshold->thresholds.columns <= 2;
    const Form made = bits ? Form::bits : task.threshold ? Form::bytes : Form::words;
    const Stored& to = store(last, map_of(last, made));
    task.target = to.map;
    task.to = to.slot;
    add_step("dot", dot_step(task, kernels_, needs_));
  }

  void make_depthwise(int number) {
    const Op& op = program_.op(number);
    const int read = op.source;
    DotTask task;
    task.dot = &op;
    const Form form = edge(read).lattice ? Form::bytes : Form::words;
    if (edge(read).lattice) task.lattice = *edge(read).lattice;
    int run = op.weights.columns, channels = edge(read).shape.channels / run;
    Stored source;
    if (read > 0 && program_.op(read).kind == Kind::window && !is_flat(read) &&
        edge(program_.op(read).source).shape.channels == channels) {
      task.slide = program_.op(read).slide;
      task.slide.padding = {0, 0, 0, 0};
      run = task.slide.kernel[1];
      source = bordered(read, form);
    } else {
      source = {map_of(read, form), need(read, form)};
    }
    task.source = source.map;
    task.from = source.slot;
    int last = number;
    const Edge& sums = edge(number);
    const int next = only_reader(number);
    if (next > 0 && gives_codes(next) && program_.op(next).thresholds.columns <= counted_levels &&
        sums.high < std::numeric_limits<int32_t>::max()) {
      task.threshold = &program_.op(next);
      fused_[size_t(next)] = true;
      last = next;
    }
    const Stored& to = store(last, map_of(last, task.threshold ? Form::bytes : Form::words));
    task.target = to.map;
    task.to = to.slot;
    add_step("dot", depthwise_step(task, sums, run, channels, kernels_, needs_));
  }

  // A map in which a pixel has the channels of a whole kernel row, where that takes far fewer
  // words; then the kernel is one pixel wide.
  Stored widened(const Stored& from, Slide& slide) {
    const int run = slide.kernel[1];
    Stored wide{from.map, 0};
    wide.map.shape.width -= run - 1;
    wide.map.shape.channels *= run;
    if (3 * wide.map.words() > 2 * run * from.map.words()) return from;  // not worth the step
    slide.kernel[1] = 1;
    wide.slot = buffer(wide.map);
    add_step("widen", widen_step(from.map, from.slot, run, wide.map, wide.slot));
    return wide;
  }

  void make_word_dot(int number, DotTask task, bool windowed) {
    const int read = program_.op(number).source;
    const Stored source = windowed ? bordered(read, Form::words)
                                   : Stored{map_of(read, Form::words), need(read, Form::words)};
    task.source = source.map;
    task.from = source.slot;
    const Stored& to = store(number, map_of(number, Form::words));
    task.target = to.map;
    task.to = to.slot;
    add_step("dot", word_dot_step(task, kernels_, needs_));
  }

  // Fuses the threshold and the pool after a dot into the task; returns the edge that it then
  // makes.
  int fuse(int number, DotTask& task) {
    const auto kind = [&](int reader) { return program_.op(reader).kind; };
    int last = number, next = only_reader(number);
    if (next > 0 && kind(next) == Kind::pool && is_tiling(next)) {
      const int after = only_reader(next);
      if (after == 0 || !gives_codes(after)) return last;
      task.pool = &program_.op(next);
      task.threshold = &program_.op(after);
      task.pool_first = true;
      fused_[size_t(next)] = fused_[size_t(after)] = true;
      return after;
    }
    if (next == 0 || !gives_codes(next)) return last;
    task.threshold = &program_.op(next);
    fused_[size_t(next)] = true;
    last = next;
    next = only_reader(last);
    if (next == 0 || kind(next) != Kind::pool || !is_tiling(next)) return last;
    task.pool = &program_.op(next);
    fused_[size_t(next)] = true;
    return next;
  }

  // Whether a threshold has few enough levels.
  bool gives_codes(int number) const {
    return program_.op(number).kind == Kind::threshold && edge(number).lattice.has_value();
  }

  // Whether a pool is small, with windows side by side.
  bool is_tiling(int number) const {
    const Slide& slide = program_.op(number).slide;
    return slide.kernel == slide.stride && !slide.padded() &&
           int64_t(slide.kernel[0]) * slide.kernel[1] <= max_pool_positions;
  }

  const Program& program_;
  const Kernels& kernels_;
  std::vector<int> readers_, roots_;
  std::vector<std::map<Form, Stored>> made_;
  std::vector<bool> fused_;
  int making_ = 0;
  Needs needs_;
  Compiled result_;
};

}  // namespace

Compiled compile(const Program& program, int scores, int decision, const Kernels& kernels) {
  return Compiler(program, scores, decision, kernels).result();
}

}  // namespace bnn
