// SPDX-License-Identifier: BSD-3-Clause
// The only file that includes Python's headers: it passes calls on to the core, and adds nothing.
// Its signatures are in src/bnn/_native.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "bnn/cpu_features.hpp"
#include "bnn/first_layer.hpp"
#include "bnn/limits.hpp"
#include "bnn/plan.hpp"
#include "bnn/program.hpp"
#include "bnn/training.hpp"
#include "bnn/training_lut.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, size_t N>
using In = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <class T, size_t N>
using Out = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <class T>
using Batch = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;

template <class T>
std::vector<T> vector_of(const std::optional<In<T, 1>>& array) {
  if (!array) return {};
  return {array->data(), array->data() + array->size()};
}

// Rows and columns of a matrix, each small enough for an int.
template <class A>
std::array<int, 2> sides_of(const A& array) {
  if (array.shape(0) > 1 << 26 || array.shape(1) > 1 << 26)
    throw bnn::ProgramError("a matrix is too large");
  return {int(array.shape(0)), int(array.shape(1))};
}

template <class T>
bnn::Matrix<T> matrix_of(const In<T, 2>& array) {
  const auto [rows, columns] = sides_of(array);
  return {rows, columns, {array.data(), array.data() + array.size()}};
}

bnn::Rounding rounding_of(int number) {
  if (number < 0 || number > 3) throw bnn::ProgramError("there is no such rounding");
  return bnn::Rounding(number);
}

// The weights stay where they are: the caller of `dot` keeps the array alive.
template <class T>
int add_dot(bnn::Program& program, int source, const In<T, 2>& weights,
            const std::optional<In<int32_t, 1>>& bias, int product_shift, int rounding) {
  const auto [rows, columns] = sides_of(weights);
  return program.dot(source, {rows, columns, weights.data()}, vector_of(bias), product_shift,
                     rounding_of(rounding));
}

template <class T>
int add_depthwise(bnn::Program& program, int source, const In<T, 2>& weights,
                  const std::optional<In<int32_t, 1>>& bias) {
  const auto [rows, columns] = sides_of(weights);
  return program.depthwise(source, {rows, columns, weights.data()}, vector_of(bias));
}

bnn::Program make_program(std::array<int, 3> shape, std::array<int, 3> lattice,
                          const std::optional<In<int16_t, 1>>& table) {
  return bnn::Program(
      {{shape[0], shape[1], shape[2]}, {lattice[0], lattice[1], lattice[2]}, vector_of(table)});
}

// Checks every size, and returns the number of images.
int64_t check_run(const bnn::Plan& plan, size_t inputs, bool bytes, const Out<int32_t, 2>& scores,
                  const std::optional<Out<int64_t, 1>>& decisions) {
  const size_t n = scores.shape(0);
  if (bytes != plan.takes_bytes()) throw std::invalid_argument("inputs are of the wrong type");
  if (scores.shape(1) != size_t(plan.classes()))
    throw std::invalid_argument("scores have the wrong shape");
  if (inputs != n * plan.input_values()) throw std::invalid_argument("inputs have the wrong shape");
  if (decisions.has_value() != plan.has_decision())
    throw std::invalid_argument("decisions must be given exactly if the plan makes them");
  if (decisions && decisions->shape(0) != n)
    throw std::invalid_argument("decisions have the wrong shape");
  return int64_t(n);
}

template <class T>
void run(const bnn::Plan& plan, const Batch<T>& inputs, const Out<int32_t, 2>& scores,
         const std::optional<Out<int64_t, 1>>& decisions, int threads) {
  constexpr bool bytes = sizeof(T) == 1;
  const int64_t n = check_run(plan, inputs.size(), bytes, scores, decisions);
  const T* data = inputs.data();
  int32_t* to = scores.data();
  int64_t* decided = decisions ? decisions->data() : nullptr;
  const nb::gil_scoped_release released;
  if constexpr (bytes)
    plan.run(data, nullptr, n, to, decided, threads);
  else
    plan.run(nullptr, data, n, to, decided, threads);
}

template <class T>
std::vector<double> time_steps(const bnn::Plan& plan, const Batch<T>& inputs) {
  constexpr bool bytes = sizeof(T) == 1;
  const size_t each = plan.input_values();
  if (bytes != plan.takes_bytes() || inputs.size() % each != 0)
    throw std::invalid_argument("inputs are of the wrong type or shape");
  const auto n = int64_t(inputs.size() / each);
  const T* data = inputs.data();
  const nb::gil_scoped_release released;
  if constexpr (bytes)
    return plan.time_steps(data, nullptr, n);
  else
    return plan.time_steps(nullptr, data, n);
}

// bfloat16 arrays come as uint16, their bits.
using Bits = In<uint16_t, 2>;
using Reals = In<float, 1>;

template <class... Arrays>
void check_channels(size_t channels, const Arrays&... arrays) {
  if (((arrays.shape(0) != channels) || ...)) throw std::invalid_argument("channels differ");
}

template <class A, class... Arrays>
void check_alike(const A& one, const Arrays&... others) {
  const auto same = [&one](const auto& other) {
    for (size_t axis = 0; axis < one.ndim(); ++axis) {
      if (one.shape(axis) != other.shape(axis)) return false;
    }
    return true;
  };
  if (!(same(others) && ...)) throw std::invalid_argument("shapes differ");
}

template <class X>
bnn::training::Shape shape_of(const In<X, 2>& x) {
  if (x.shape(0) == 0 || x.shape(1) > 1 << 26)
    throw std::invalid_argument("no rows, or too many channels");
  return {int64_t(x.shape(0)), int(x.shape(1))};
}

// Shapes of maps (images, height, width, channels) and of the results of a 2x2 pool.
template <class A, class B>
bnn::training::Maps maps_of(const A& x, const B& y) {
  const size_t limit = 1 << 26;
  if (y.shape(0) != x.shape(0) || y.shape(1) != x.shape(1) / 2 || y.shape(2) != x.shape(2) / 2 ||
      y.shape(3) != x.shape(3) || x.shape(1) > limit || x.shape(2) > limit || x.shape(3) > limit) {
    throw std::invalid_argument("maps have the wrong shape");
  }
  return {int64_t(x.shape(0)), int(x.shape(1)), int(x.shape(2)), int(x.shape(3))};
}

template <class X, class Y>
void norm_act_forward(const In<X, 2>& x, const Reals& gamma, const Reals& beta, double epsilon,
                      std::tuple<float, float, bool, bool> quantizer, const Out<Y, 2>& y,
                      const Out<float, 1>& mean, const Out<float, 1>& inv_std,
                      const Out<float, 1>& variance, int threads) {
  check_alike(x, y);
  check_channels(x.shape(1), gamma, beta, mean, inv_std, variance);
  const auto [low, high, bipolar, quadratic] = quantizer;
  const nb::gil_scoped_release released;
  bnn::training::norm_act_forward(shape_of(x), x.data(), gamma.data(), beta.data(), float(epsilon),
                                  {low, high, bipolar, quadratic}, y.data(), mean.data(),
                                  inv_std.data(), variance.data(), threads);
}

template <class X>
void norm_act_backward(const Bits& grad, const In<X, 2>& x, const Reals& gamma, const Reals& beta,
                       const Reals& mean, const Reals& inv_std,
                       std::tuple<float, float, bool, bool> quantizer,
                       const Out<uint16_t, 2>& grad_x, const Out<float, 1>& grad_gamma,
                       const Out<float, 1>& grad_beta, int threads) {
  check_alike(x, grad, grad_x);
  check_channels(x.shape(1), gamma, beta, mean, inv_std, grad_gamma, grad_beta);
  const auto [low, high, bipolar, quadratic] = quantizer;
  const nb::gil_scoped_release released;
  bnn::training::norm_act_backward(
      shape_of(x), grad.data(), x.data(), {gamma.data(), beta.data(), mean.data(), inv_std.data()},
      {low, high, bipolar, quadratic}, grad_x.data(), grad_gamma.data(), grad_beta.data(), threads);
}

template <class X>
void pool_forward(const In<X, 4>& x, const Out<X, 4>& y, int threads) {
  const auto maps = maps_of(x, y);
  const nb::gil_scoped_release released;
  bnn::training::pool_forward(maps, x.data(), y.data(), threads);
}

template <class X>
void pool_backward(const In<uint16_t, 4>& grad, const In<X, 4>& x, const In<X, 4>& y,
                   const Out<uint16_t, 4>& grad_x, int threads) {
  const auto maps = maps_of(x, y);
  check_alike(y, grad);
  check_alike(x, grad_x);
  const nb::gil_scoped_release released;
  bnn::training::pool_backward(maps, grad.data(), x.data(), y.data(), grad_x.data(), threads);
}

// Shapes of maps, of weights (outputs, rows, columns, inputs), and of the resulting maps.
template <class X, class W, class Y>
bnn::training::Correlation correlation_of(const X& x, const W& weights, std::array<int, 4> padding,
                                          const Y& y) {
  for (size_t axis = 0; axis < 4; ++axis) {
    const size_t limit = 1 << 20;
    if (x.shape(axis) > limit || weights.shape(axis) > limit)
      throw std::invalid_argument("an array is too large");
  }
  const bnn::training::Correlation by{int64_t(x.shape(0)),
                                      int(x.shape(1)),
                                      int(x.shape(2)),
                                      int(x.shape(3)),
                                      int(weights.shape(0)),
                                      {int(weights.shape(1)), int(weights.shape(2))},
                                      padding};
  for (int side : padding) {
    if (side < 0 || side > 1 << 20) throw std::invalid_argument("padding is negative or too large");
  }
  if (weights.shape(3) != x.shape(3) || y.shape(0) != x.shape(0) ||
      int64_t(y.shape(1)) != by.rows() || int64_t(y.shape(2)) != by.columns() ||
      y.shape(3) != weights.shape(0)) {
    throw std::invalid_argument("maps and weights do not fit each other");
  }
  return by;
}

bnn::training::Signs signs_of(bool bipolar) {
  return bipolar ? bnn::training::Signs::bipolar : bnn::training::Signs::ternary;
}

void correlate(const In<int8_t, 4>& x, const In<int8_t, 4>& weights, std::array<int, 4> padding,
               bool bipolar, const Out<int16_t, 4>& y, int threads) {
  const auto by = correlation_of(x, weights, padding, y);
  const nb::gil_scoped_release released;
  bnn::training::correlate(by, x.data(), weights.data(), signs_of(bipolar), y.data(), threads);
}

void correlate_back(const In<uint16_t, 4>& grad, const In<int8_t, 4>& weights,
                    std::array<int, 4> padding, bool bipolar, uint32_t seed,
                    const Out<uint16_t, 4>& grad_x, int threads) {
  const auto by = correlation_of(grad_x, weights, padding, grad);
  const nb::gil_scoped_release released;
  bnn::training::correlate_back(by, grad.data(), weights.data(), signs_of(bipolar), seed,
                                grad_x.data(), threads);
}

void correlate_weights(const In<uint16_t, 4>& grad, const In<int8_t, 4>& x,
                       std::array<int, 4> padding, bool bipolar, uint32_t seed,
                       const Out<float, 4>& grad_weights, int threads) {
  const auto by = correlation_of(x, grad_weights, padding, grad);
  const nb::gil_scoped_release released;
  bnn::training::correlate_weights(by, grad.data(), x.data(), signs_of(bipolar), seed,
                                   grad_weights.data(), threads);
}

void correlate_first(const In<int16_t, 4>& x, const In<int16_t, 4>& weights,
                     std::array<int, 4> padding, const Out<int16_t, 4>& y, int threads) {
  const auto by = correlation_of(x, weights, padding, y);
  const nb::gil_scoped_release released;
  bnn::training::correlate_first(by, x.data(), weights.data(), y.data(), threads);
}

void correlate_first_weights(const In<uint16_t, 4>& grad, const In<int16_t, 4>& x,
                             std::array<int, 4> padding, const Out<float, 4>& grad_weights,
                             int threads) {
  const auto by = correlation_of(x, grad_weights, padding, grad);
  const nb::gil_scoped_release released;
  bnn::training::correlate_first_weights(by, grad.data(), x.data(), grad_weights.data(), threads);
}

// Arrays are not converted: results would be written to a copy.
template <class... Args>
void define(nb::module_& m, const char* name, void (*function)(Args...), const char* header) {
  const std::string doc = std::string("See native/include/bnn/") + header + ".hpp.";
  m.def(name, function, doc.c_str(), (static_cast<void>(sizeof(Args)), nb::arg().noconvert())...);
}

// One function for each type of maps; a quantizer is (low, high, bipolar, quadratic).
void define_training(nb::module_& m) {
  define(m, "norm_act_forward", &norm_act_forward<uint16_t, uint16_t>, "training");
  define(m, "norm_act_forward", &norm_act_forward<int16_t, int8_t>, "training");
  define(m, "norm_act_backward", &norm_act_backward<uint16_t>, "training");
  define(m, "norm_act_backward", &norm_act_backward<int16_t>, "training");
  define(m, "pool_forward", &pool_forward<uint16_t>, "training");
  define(m, "pool_forward", &pool_forward<int16_t>, "training");
  define(m, "pool_forward", &pool_forward<int8_t>, "training");
  define(m, "pool_backward", &pool_backward<uint16_t>, "training");
  define(m, "pool_backward", &pool_backward<int16_t>, "training");
  define(m, "pool_backward", &pool_backward<int8_t>, "training");
  m.def("lut_kernel", &bnn::training::lut_kernel, "See native/include/bnn/training_lut.hpp.");
  // Whether the weights (of the last one: the maps) are bipolar, not ternary.
  define(m, "correlate", &correlate, "training_lut");
  define(m, "correlate_back", &correlate_back, "training_lut");
  define(m, "correlate_weights", &correlate_weights, "training_lut");
  define(m, "correlate_first", &correlate_first, "first_layer");
  define(m, "correlate_first_weights", &correlate_first_weights, "first_layer");
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The C++ core of bnn. Private: use the runtimes of bnn instead.";

  m.def("cpu_features", &bnn::cpu_features,
        "Names of the SIMD features that this CPU offers, from old to new.");
  m.def(
      "kernels",
      [] {
        std::vector<std::tuple<std::string, std::string, bool>> all;
        for (const auto& info : bnn::kernel_infos())
          all.emplace_back(info.name, info.uses, info.available);
        return all;
      },
      "Kernel sets, the best first: name, what it is built on, whether this CPU can run it.");

  m.def(
      "limits",
      [] {
        const nb::gil_scoped_release released;
        std::vector<std::tuple<std::string, std::string, double>> all;
        for (const auto& limit : bnn::limits())
          all.emplace_back(limit.name, limit.instructions, limit.multiply_adds);
        return all;
      },
      "Multiply-adds per second of one core, measured: name, instructions, rate.");
  m.def("memory_bandwidth", &bnn::memory_bandwidth,
        "Bytes per second that one core reads from memory, measured.");

  define_training(m);

  using bnn::Program;
  using bnn::Slide;
  nb::class_<Program>(m, "Program",
                      "A network, operation by operation; each method returns its edge's number.")
      .def(
          "__init__",
          [](Program* self, std::array<int, 3> shape, std::array<int, 3> lattice,
             const std::optional<In<int16_t, 1>>& table) {
            new (self) Program(make_program(shape, lattice, table));
          },
          "shape"_a, "lattice"_a, "table"_a.none())
      .def(
          "window",
          [](Program& self, int source, std::array<int, 2> kernel, std::array<int, 2> stride,
             std::array<int, 4> padding,
             int pad_value) { return self.window(source, {kernel, stride, padding}, pad_value); },
          "source"_a, "kernel"_a, "stride"_a, "padding"_a, "pad_value"_a)
      .def("dot", &add_dot<int8_t>, "source"_a, "weights"_a.noconvert(), "bias"_a.none(),
           "product_shift"_a, "rounding"_a, nb::keep_alive<1, 3>())
      .def("dot", &add_dot<int16_t>, "source"_a, "weights"_a.noconvert(), "bias"_a.none(),
           "product_shift"_a, "rounding"_a, nb::keep_alive<1, 3>())
      .def("depthwise", &add_depthwise<int8_t>, "source"_a, "weights"_a.noconvert(),
           "bias"_a.none(), nb::keep_alive<1, 3>())
      .def("depthwise", &add_depthwise<int16_t>, "source"_a, "weights"_a.noconvert(),
           "bias"_a.none(), nb::keep_alive<1, 3>())
      .def(
          "threshold",
          [](Program& self, int source, const In<int32_t, 2>& thresholds,
             const std::optional<In<int8_t, 1>>& signs, int base, int step) {
            return self.threshold(source, matrix_of(thresholds), vector_of(signs), base, step);
          },
          "source"_a, "thresholds"_a, "signs"_a.none(), "base"_a, "step"_a)
      .def(
          "pool",
          [](Program& self, int source, std::array<int, 2> kernel, std::array<int, 2> stride,
             std::array<int, 4> padding) { return self.pool(source, {kernel, stride, padding}); },
          "source"_a, "kernel"_a, "stride"_a, "padding"_a)
      .def("add", &Program::add, "source"_a, "other"_a)
      .def("concat", &Program::concat, "source"_a, "other"_a)
      .def(
          "rescale",
          [](Program& self, int source, const In<int32_t, 1>& multipliers,
             const std::optional<In<int64_t, 1>>& offsets, int shift, int rounding,
             std::array<int32_t, 2> ends, bool wraps) {
            return self.rescale(source,
                                {{multipliers.data(), multipliers.data() + multipliers.size()},
                                 vector_of(offsets),
                                 shift,
                                 rounding_of(rounding),
                                 ends[0],
                                 ends[1],
                                 wraps});
          },
          "source"_a, "multipliers"_a, "offsets"_a.none(), "shift"_a, "rounding"_a, "ends"_a,
          "wraps"_a)
      .def("multiply", &Program::multiply, "source"_a, "other"_a)
      .def(
          "body", [](const Program& self, int source) { return Program(self.edge(source)); },
          "source"_a)
      .def(
          "carried",
          [](Program& self, int channels, std::array<int, 3> lattice) {
            return self.carried(channels, {lattice[0], lattice[1], lattice[2]});
          },
          "channels"_a, "lattice"_a)
      .def(
          "scan",
          [](Program& self, int source, const Program& body,
             const std::vector<std::array<int, 3>>& carries, int result, bool reverse) {
            std::vector<bnn::Carry> all;
            for (const auto& [edge, next, start] : carries) all.push_back({edge, next, start});
            return self.scan(source, body, std::move(all), result, reverse);
          },
          "source"_a, "body"_a, "carries"_a, "result"_a, "reverse"_a, nb::keep_alive<1, 3>())
      .def(
          "arg_max",
          [](Program& self, int source, int rule) {
            if (rule < 0 || rule > 2) throw bnn::ProgramError("there is no such rule");
            return self.arg_max(source, bnn::Rule(rule));
          },
          "source"_a, "rule"_a);

  nb::class_<bnn::Plan>(m, "Plan", "A program made ready to run on this CPU.")
      .def(nb::init<const Program&, int, int, const std::string&>(), "program"_a, "scores"_a,
           "decision"_a, "kernel"_a)
      .def_prop_ro("kernel", &bnn::Plan::kernels)
      .def_prop_ro("weight_bytes", &bnn::Plan::weight_bytes)
      .def_prop_ro("arena_bytes", &bnn::Plan::arena_bytes)
      .def(
          "steps",
          [](const bnn::Plan& self) {
            std::vector<std::tuple<int, std::string, int64_t, size_t, std::string>> all;
            for (const auto& step : self.steps())
              all.emplace_back(step.edge, step.what, step.multiply_adds, step.weight_bytes,
                               step.instructions);
            return all;
          },
          "Edge, what is done, multiply-adds of an image, bytes of weights, name of the limit.")
      .def("time_steps", &time_steps<uint8_t>, "inputs"_a.noconvert())
      .def("time_steps", &time_steps<int16_t>, "inputs"_a.noconvert())
      .def("run", &run<uint8_t>, "inputs"_a.noconvert(), "scores"_a.noconvert(),
           "decisions"_a.noconvert().none(), "threads"_a)
      .def("run", &run<int16_t>, "inputs"_a.noconvert(), "scores"_a.noconvert(),
           "decisions"_a.noconvert().none(), "threads"_a);
}
