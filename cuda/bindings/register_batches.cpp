// SPDX-License-Identifier: BSD-3-Clause
// Batches of matrices, whose threads are Python's.
#include <memory>
#include <stdexcept>

#include "bindings/device_bindings.hpp"
#include "runtime/batch.hpp"

namespace sigmascope::device {

namespace {

// Waits without the GIL, which other threads need to get to where they wait.
class PythonRecorder final : public Recorder {
 public:
  PythonRecorder(std::shared_ptr<Batch> batch, std::size_t index)
      : batch_(std::move(batch)), member_(batch_->enter(index)) {
    of_thread() = this;
  }
  ~PythonRecorder() override {
    of_thread() = nullptr;
    batch_->leave(member_);
  }
  PythonRecorder(const PythonRecorder&) = delete;
  PythonRecorder& operator=(const PythonRecorder&) = delete;

  cudaStream_t stream() const override { return member_.stream(); }
  int device() const override { return member_.device(); }
  void add(Operation operation) override { member_.add(std::move(operation)); }
  void finish() override {
    without_gil([this] { member_.finish(); });
  }
  void precede_direct() override {
    without_gil([this] { member_.precede_direct(); });
  }
  // To give the GIL back fails where the interpreter has ended, and so does the process.
  // NOLINTNEXTLINE(bugprone-exception-escape)
  void settle() noexcept override {
    without_gil([this] { member_.settle(); });
  }
  // NOLINTNEXTLINE(bugprone-exception-escape)
  void settle_direct() noexcept override {
    without_gil([this] { member_.settle_direct(); });
  }

 private:
  template <class Act>
  static void without_gil(const Act& act) {
    if (PyGILState_Check() == 0) return act();
    const py::gil_scoped_release release;
    act();
  }

  std::shared_ptr<Batch> batch_;
  Batch::Member& member_;
};

std::unique_ptr<PythonRecorder>& recorder_of_thread() {
  thread_local std::unique_ptr<PythonRecorder> recorder;
  return recorder;
}

void enter(const std::shared_ptr<Batch>& batch, std::size_t index) {
  auto& recorder = recorder_of_thread();
  if (recorder) throw std::invalid_argument("this thread already has a matrix of a batch");
  recorder = std::make_unique<PythonRecorder>(batch, index);
}

}  // namespace

void register_batches(py::module_& module) {
  py::class_<Batch, std::shared_ptr<Batch>>(module, "Batch", py::module_local())
      .def(py::init<int, std::size_t, std::size_t>(), "device"_a, py::kw_only(), "matrices"_a,
           "threads"_a, py::call_guard<py::gil_scoped_release>())
      .def("enter", &enter, "index"_a, py::call_guard<py::gil_scoped_release>())
      .def(
          "leave", [](const Batch&) { recorder_of_thread().reset(); },
          py::call_guard<py::gil_scoped_release>())
      .def("close", &Batch::close, py::call_guard<py::gil_scoped_release>());
}

}  // namespace sigmascope::device
