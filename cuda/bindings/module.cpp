// SPDX-License-Identifier: BSD-3-Clause
// sigmascope._cuda: the table of contents of the module for CUDA devices.
#include "bindings/module.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <sstream>
#include <string>

#include "bindings/device_bindings.hpp"
#include "memory/pinned_memory.hpp"
#include "runtime/found_devices.hpp"

namespace sigmascope {

namespace py = pybind11;

namespace {

// sigmascope.errors.DeviceError; other errors become what _core makes of them.
void register_errors() {
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const device::CudaError& e) {
      const char* name =
          e.code() == cudaErrorMemoryAllocation ? "DeviceMemoryError" : "DeviceError";
      py::set_error(py::module_::import("sigmascope.errors").attr(name), e.what());
    } catch (const device::DeviceError& e) {
      py::set_error(py::module_::import("sigmascope.errors").attr("DeviceError"), e.what());
    }
  });
}

py::dict config() {
  py::dict result;
  const device::Versions versions = device::versions();
  result["runtime"] = device::version_text(versions.runtime);
  result["driver"] = versions.driver == 0
                         ? py::object(py::none())
                         : py::object(py::str(device::version_text(versions.driver)));
#if defined(SIGMASCOPE_SIMULATED)
  result["simulated"] = true;
#else
  result["simulated"] = false;
#endif
  py::list architectures;
  std::istringstream names(SIGMASCOPE_CUDA_ARCHITECTURES);
  for (std::string name; std::getline(names, name, ',');) architectures.append(name);
  result["architectures"] = architectures;
  return result;
}

py::list devices() {
  const std::vector<device::Found> all = [] {
    py::gil_scoped_release release;
    return device::found_devices();
  }();
  py::list result;
  for (const device::Found& device_facts : all) {
    py::dict row;
    row["index"] = device_facts.index;
    row["name"] = device_facts.name;
    row["capability"] = py::make_tuple(device_facts.major, device_facts.minor);
    row["memory"] = device_facts.memory;
    row["multiprocessors"] = device_facts.multiprocessors;
    result.append(row);
  }
  return result;
}

// Bytes that a call can take: those that are free, and those that pools keep for it.
std::size_t free_memory(int index) {
  return device::free_memory(index) +
         device::spare_pools().sum(index,
                                   [](const device::MemoryPool& pool) { return pool.kept(); });
}

// Frees what is kept for the next call at the end of the process, while CUDA is still there. It is
// not there for a process that this one forked.
void free_spares_at_exit() {
  const auto free = [process = ::getpid()] {
    if (::getpid() == process) device::free_spares();
  };
  py::module_::import("atexit").attr("register")(
      py::cpp_function(free, py::call_guard<py::gil_scoped_release>()));
}

}  // namespace

}  // namespace sigmascope

PYBIND11_MODULE(_cuda, module) {
  namespace py = pybind11;
  module.doc() = "sigmascope on CUDA devices; use the package sigmascope, not this module";
  py::module_::import("sigmascope._core");  // which registers Matrix
  sigmascope::register_errors();
  sigmascope::free_spares_at_exit();
  module.def("config", &sigmascope::config);
  module.def("devices", &sigmascope::devices);
  module.def("usable_devices", &sigmascope::device::usable_devices,
             py::call_guard<py::gil_scoped_release>());
  module.def("free_memory", &sigmascope::free_memory, py::arg("index"),
             py::call_guard<py::gil_scoped_release>());
  sigmascope::device::register_linalg(module);
  sigmascope::device::register_arrays(module);
  sigmascope::device::register_elements(module);
  sigmascope::device::register_products(module);
  sigmascope::device::register_batches(module);
  sigmascope::device::register_libraries(module);
  sigmascope::device::register_verbs(module);
#if defined(SIGMASCOPE_SIMULATED)
  sigmascope::register_simulator(module);
#endif
}
