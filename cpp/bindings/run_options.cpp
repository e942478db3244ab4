// SPDX-License-Identifier: BSD-3-Clause
// Options and observer of a call, from its keyword arguments; in every extension module.
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "bindings/bindings.hpp"

namespace sigmascope {

namespace {

// A Python object that may be copied and destroyed without the GIL, as functions that hold one are.
std::shared_ptr<const py::object> shared(const py::object& object) {
  return {new py::object(object), [](const py::object* held) {
            py::gil_scoped_acquire gil;
            delete held;
          }};
}

}  // namespace

Observer make_observer(const py::object& progress) {
  using clock = std::chrono::steady_clock;
  const auto callback = progress.is_none() ? nullptr : shared(progress);
  return [callback, done = std::int64_t{0}, due = clock::now()](std::int64_t bytes) mutable {
    done += bytes;
    const auto now = clock::now();
    if (now < due) return;
    due = now + std::chrono::milliseconds(50);
    py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (callback) (*callback)(done);
  };
}

RunOptions run_options(const py::kwargs& kwargs) {
  RunOptions options;
  options.threads = kwargs["threads"].cast<int>();
  options.panel_rows = kwargs["panel_rows"].cast<std::int64_t>();
  options.load_bytes = kwargs["load_bytes"].cast<std::int64_t>();
  options.progress = kwargs["progress"];
  if (kwargs.contains("gather")) options.gather = kwargs["gather"].cast<bool>();
  if (kwargs.contains("separate")) options.separate = kwargs["separate"].cast<bool>();
  if (kwargs.contains("fro2")) options.fro2 = kwargs["fro2"].cast<std::optional<double>>();
  if (kwargs.contains("fingerprint"))
    options.fingerprint = kwargs["fingerprint"].cast<std::optional<std::uint64_t>>();
  return options;
}

}  // namespace sigmascope
