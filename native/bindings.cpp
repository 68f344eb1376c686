// SPDX-License-Identifier: BSD-3-Clause
// The only file that knows Python: it turns calls into calls of the core and adds nothing.
// Its signatures are written down in src/bnn/_native.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "bnn/cpu_features.hpp"
#include "bnn/plan.hpp"
#include "bnn/program.hpp"
#include "bnn/training.hpp"

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

template <class T>
bnn::Matrix<T> matrix_of(const In<T, 2>& array) {
  if (array.shape(0) > 1 << 26 || array.shape(1) > 1 << 26) throw bnn::ProgramError("a matrix is too large");
  return {int(array.shape(0)), int(array.shape(1)), {array.data(), array.data() + array.size()}};
}

bnn::Program make_program(std::array<int, 3> shape, std::array<int, 3> lattice,
                          const std::optional<In<int16_t, 1>>& table) {
  return bnn::Program({{shape[0], shape[1], shape[2]}, {lattice[0], lattice[1], lattice[2]}, vector_of(table)});
}

// The number of images, after a look at every size.
int64_t check_run(const bnn::Plan& plan, size_t inputs, bool bytes, const Out<int32_t, 2>& scores,
                  const std::optional<Out<int64_t, 1>>& decisions) {
  const size_t n = scores.shape(0);
  if (bytes != plan.takes_bytes()) throw std::invalid_argument("inputs are of the wrong type");
  if (scores.shape(1) != size_t(plan.classes())) throw std::invalid_argument("scores have the wrong shape");
  if (inputs != n * plan.input_values()) throw std::invalid_argument("inputs have the wrong shape");
  if (decisions.has_value() != plan.has_decision()) throw std::invalid_argument("decisions are wanted or not");
  if (decisions && decisions->shape(0) != n) throw std::invalid_argument("decisions have the wrong shape");
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
  if constexpr (bytes) plan.run(data, nullptr, n, to, decided, threads);
  else plan.run(nullptr, data, n, to, decided, threads);
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

bnn::training::Shape shape_of(const Bits& x) {
  if (x.shape(0) == 0 || x.shape(1) > 1 << 26) throw std::invalid_argument("no rows, or too many channels");
  return {int64_t(x.shape(0)), int(x.shape(1))};
}

// Of maps (images, height, width, channels) and what a pool of 2x2 leaves of them.
template <class A, class B>
bnn::training::Maps maps_of(const A& x, const B& y) {
  const size_t most = 1 << 26;
  if (y.shape(0) != x.shape(0) || y.shape(1) != x.shape(1) / 2 || y.shape(2) != x.shape(2) / 2 ||
      y.shape(3) != x.shape(3) || x.shape(1) > most || x.shape(2) > most || x.shape(3) > most) {
    throw std::invalid_argument("maps have the wrong shape");
  }
  return {int64_t(x.shape(0)), int(x.shape(1)), int(x.shape(2)), int(x.shape(3))};
}

void norm_act_forward(const Bits& x, const Reals& gamma, const Reals& beta, float epsilon,
                      std::tuple<float, float, bool, bool> quantizer, const Out<uint16_t, 2>& y,
                      const Out<float, 1>& mean, const Out<float, 1>& inv_std, const Out<float, 1>& variance,
                      int threads) {
  check_alike(x, y);
  check_channels(x.shape(1), gamma, beta, mean, inv_std, variance);
  const auto [low, high, bipolar, quadratic] = quantizer;
  const nb::gil_scoped_release released;
  bnn::training::norm_act_forward(shape_of(x), x.data(), gamma.data(), beta.data(), epsilon,
                                  {low, high, bipolar, quadratic}, y.data(), mean.data(), inv_std.data(),
                                  variance.data(), threads);
}

void norm_act_backward(const Bits& grad, const Bits& x, const Reals& gamma, const Reals& beta, const Reals& mean,
                       const Reals& inv_std, std::tuple<float, float, bool, bool> quantizer,
                       const Out<uint16_t, 2>& grad_x, const Out<float, 1>& grad_gamma,
                       const Out<float, 1>& grad_beta, int threads) {
  check_alike(x, grad, grad_x);
  check_channels(x.shape(1), gamma, beta, mean, inv_std, grad_gamma, grad_beta);
  const auto [low, high, bipolar, quadratic] = quantizer;
  const nb::gil_scoped_release released;
  bnn::training::norm_act_backward(shape_of(x), grad.data(), x.data(),
                                   {gamma.data(), beta.data(), mean.data(), inv_std.data()},
                                   {low, high, bipolar, quadratic}, grad_x.data(), grad_gamma.data(),
                                   grad_beta.data(), threads);
}

void pool_forward(const In<uint16_t, 4>& x, const Out<uint16_t, 4>& y, int threads) {
  const auto maps = maps_of(x, y);
  const nb::gil_scoped_release released;
  bnn::training::pool_forward(maps, x.data(), y.data(), threads);
}

void pool_backward(const In<uint16_t, 4>& grad, const In<uint16_t, 4>& x, const In<uint16_t, 4>& y,
                   const Out<uint16_t, 4>& grad_x, int threads) {
  const auto maps = maps_of(x, y);
  check_alike(y, grad);
  check_alike(x, grad_x);
  const nb::gil_scoped_release released;
  bnn::training::pool_backward(maps, grad.data(), x.data(), y.data(), grad_x.data(), threads);
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
        for (const auto& info : bnn::kernel_infos()) all.emplace_back(info.name, info.uses, info.available);
        return all;
      },
      "Kernel sets, the best first: name, what it is built on, whether this CPU can run it.");

  m.def("norm_act_forward", &norm_act_forward, "See native/include/bnn/training.hpp; the quantizer is (low, high, "
        "bipolar, quadratic).");
  m.def("norm_act_backward", &norm_act_backward, "See native/include/bnn/training.hpp.");
  m.def("pool_forward", &pool_forward, "See native/include/bnn/training.hpp.");
  m.def("pool_backward", &pool_backward, "See native/include/bnn/training.hpp.");

  using bnn::Program;
  using bnn::Slide;
  nb::class_<Program>(m, "Program", "A network, operation by operation; each method returns its edge's number.")
      .def("__init__", [](Program* self, std::array<int, 3> shape, std::array<int, 3> lattice,
                          const std::optional<In<int16_t, 1>>& table) {
             new (self) Program(make_program(shape, lattice, table));
           }, "shape"_a, "lattice"_a, "table"_a.none())
      .def("window", [](Program& self, int source, std::array<int, 2> kernel, std::array<int, 2> stride,
                        std::array<int, 4> padding, int pad_value) {
             return self.window(source, {kernel, stride, padding}, pad_value);
           }, "source"_a, "kernel"_a, "stride"_a, "padding"_a, "pad_value"_a)
      .def("dot", [](Program& self, int source, const In<int16_t, 2>& weights,
                     const std::optional<In<int32_t, 1>>& bias) {
             return self.dot(source, matrix_of(weights), vector_of(bias));
           }, "source"_a, "weights"_a, "bias"_a.none())
      .def("threshold", [](Program& self, int source, const In<int32_t, 2>& thresholds,
                           const std::optional<In<int8_t, 1>>& signs, int base, int step) {
             return self.threshold(source, matrix_of(thresholds), vector_of(signs), base, step);
           }, "source"_a, "thresholds"_a, "signs"_a.none(), "base"_a, "step"_a)
      .def("pool", [](Program& self, int source, std::array<int, 2> kernel, std::array<int, 2> stride,
                      std::array<int, 4> padding) { return self.pool(source, {kernel, stride, padding}); },
           "source"_a, "kernel"_a, "stride"_a, "padding"_a)
      .def("add", &Program::add, "source"_a, "other"_a)
      .def("arg_max", [](Program& self, int source, int rule) {
             if (rule < 0 || rule > 2) throw bnn::ProgramError("there is no such rule");
             return self.arg_max(source, bnn::Rule(rule));
           }, "source"_a, "rule"_a);

  nb::class_<bnn::Plan>(m, "Plan", "A program made ready to run on this CPU.")
      .def(nb::init<const Program&, int, int, const std::string&>(), "program"_a, "scores"_a, "decision"_a, "kernel"_a)
      .def_prop_ro("kernel", &bnn::Plan::kernels)
      .def_prop_ro("weight_bytes", &bnn::Plan::weight_bytes)
      .def_prop_ro("arena_bytes", &bnn::Plan::arena_bytes)
      .def("run", &run<uint8_t>, "inputs"_a.noconvert(), "scores"_a.noconvert(), "decisions"_a.noconvert().none(),
           "threads"_a)
      .def("run", &run<int16_t>, "inputs"_a.noconvert(), "scores"_a.noconvert(), "decisions"_a.noconvert().none(),
           "threads"_a);
}
