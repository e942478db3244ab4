// SPDX-License-Identifier: BSD-3-Clause
// sigmascope._core: the table of contents of the native module.
#include <system_error>

#include "algorithms/backend.hpp"
#include "algorithms/matrix_operator.hpp"
#include "bindings/bindings.hpp"
#include "bindings/distributed.hpp"
#include "kernels/blocks/lapack.hpp"
#include "storage/file.hpp"

#ifndef SIGMASCOPE_VERSION
#define SIGMASCOPE_VERSION "unknown"
#endif

namespace sigmascope {

static_assert(Backend<CpuBackend<float>> && Backend<CpuBackend<double>>);
static_assert(LinearOperator<MatrixOperator<CpuBackend<float>>> &&
              LinearOperator<MatrixOperator<CpuBackend<double>>>);
static_assert(LinearOperator<DistributedOperator<float>> &&
              LinearOperator<DistributedOperator<double>>);

namespace {

// OSError with its number, so that Python makes PermissionError and the like of it.
void register_errors() {
  py::register_exception_translator([](std::exception_ptr error) {
    // Messages name paths, whose bytes need not be UTF-8.
    const auto text = [](const char* message) {
      return py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefault(message));
    };
    const auto raise = [&text](const char* name, const char* message) {
      py::set_error(py::module_::import("sigmascope.errors").attr(name), text(message));
    };
    try {
      if (error) std::rethrow_exception(error);
    } catch (const NonFinite& e) {
      raise("NonFiniteError", e.what());
    } catch (const TruncatedFile& e) {
      raise("CheckpointError", e.what());
    } catch (const NotRegularFile& e) {
      raise("CheckpointError", e.what());
    } catch (const ChangedFile& e) {
      raise("CheckpointError", e.what());
    } catch (const OtherDevice& e) {
      raise("DeviceError", e.what());
    } catch (const std::system_error& e) {
      const py::tuple arguments = py::make_tuple(e.code().value(), text(e.what()));
      PyErr_SetObject(PyExc_OSError, arguments.ptr());
    }
  });
}

py::dict config() {
  py::dict result;
  result["version"] = SIGMASCOPE_VERSION;
  result["isa"] = best_isa().name;
  result["vector_bits"] = 8 * best_isa().vector_bytes;
  result["dot_bf16"] = best_isa().dot_bf16;
  result["tiles"] = best_isa().tiles != nullptr;
  result["blas"] = scipy_openblas_get_config();
  result["blas_core"] = scipy_openblas_get_corename();
  return result;
}

}  // namespace

}  // namespace sigmascope

PYBIND11_MODULE(_core, module) {
  module.doc() = "sigmascope's native engine; use the package sigmascope, not this module";
  sigmascope::check_products();
  sigmascope::register_errors();
  sigmascope::register_matrix(module);
  sigmascope::register_linalg(module);
  sigmascope::register_elements(module);
  sigmascope::register_gram(module);
  sigmascope::register_products(module);
  sigmascope::register_planning(module);
  module.def("config", &sigmascope::config);
}
