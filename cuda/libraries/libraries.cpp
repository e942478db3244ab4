// SPDX-License-Identifier: BSD-3-Clause
#include "libraries/libraries.hpp"

#include <dlfcn.h>

#include "runtime/found_devices.hpp"

namespace sigmascope::device {

namespace {

// What a message about a library ends with.
std::string needed(const char* library, int major) {
  return std::string(library) + " " + std::to_string(major) +
         " (of CUDA 13) is needed; pip install 'sigmascope[cuda]'";
}

// A library stays open until the process ends: what it has on devices lasts as long.
class OpenLibrary {
 public:
  OpenLibrary(const char* name, int major, const std::string& path)
      : name_(name), major_(major), path_(path), handle_(dlopen(path.c_str(), RTLD_NOW)) {
    if (handle_ != nullptr) return;
    const char* reason = dlerror();
    throw DeviceError(std::string(name) + " does not open (" + (reason ? reason : path.c_str()) +
                      "), " + needed(name, major));
  }

  template <class Function>
  void find(const char* symbol, Function& function) const {
    function = reinterpret_cast<Function>(dlsym(handle_, symbol));
    if (function == nullptr)
      throw DeviceError(path_ + " has no function " + symbol + ", " + needed(name_, major_));
  }

  void require_major(const std::string& version) const {
    if (version.starts_with(std::to_string(major_) + ".")) return;
    throw DeviceError(path_ + " is " + name_ + " " + version + ", " + needed(name_, major_));
  }

 private:
  const char* name_;
  int major_;
  std::string path_;
  void* handle_;
};

template <class Library>
std::string version_of(const Library& library) {
  std::string version;
  for (const auto part : {LibraryProperty::major, LibraryProperty::minor, LibraryProperty::patch}) {
    int number = 0;
    library.check(library.property(part, &number), "the version of a library");
    version += (version.empty() ? "" : ".") + std::to_string(number);
  }
  return version;
}

void fail_unless(bool succeeded, const char* call, LibraryStatus status, const std::string& name) {
  if (succeeded) return;
  cudaGetLastError();  // which a later check would take for its own
  const bool lacks_memory = name.ends_with("_ALLOC_FAILED");
  throw DeviceError(std::string(call) + ": status " + std::to_string(status) + " (" + name + ")" +
                    (lacks_memory ? ": the device has too little free memory" : ""));
}

// cuSOLVER has no function for it.
const char* cusolver_status_name(LibraryStatus status) {
  switch (status) {
    case 1: return "CUSOLVER_STATUS_NOT_INITIALIZED";
    case 2: return "CUSOLVER_STATUS_ALLOC_FAILED";
    case 3: return "CUSOLVER_STATUS_INVALID_VALUE";
    case 4: return "CUSOLVER_STATUS_ARCH_MISMATCH";
    case 5: return "CUSOLVER_STATUS_MAPPING_ERROR";
    case 6: return "CUSOLVER_STATUS_EXECUTION_FAILED";
    case 7: return "CUSOLVER_STATUS_INTERNAL_ERROR";
    case 9: return "CUSOLVER_STATUS_NOT_SUPPORTED";
    default: return "see cusolver_common.h";
  }
}

}  // namespace

Cublas::Cublas(const std::string& path) {
  const OpenLibrary library("cuBLAS", 13, path);
  library.find("cublasGetStatusName", status_name);
  library.find("cublasGetProperty", property);
  library.require_major(version());
  library.find("cublasCreate_v2", create);
  library.find("cublasDestroy_v2", destroy);
  library.find("cublasSetStream_v2", set_stream);
  library.find("cublasSetWorkspace_v2", set_workspace);
  library.find("cublasSetMathMode", set_math_mode);
  library.find("cublasDsyrk_v2_64", dsyrk);
}

std::string Cublas::version() const { return version_of(*this); }

void Cublas::check(LibraryStatus status, const char* call) const {
  fail_unless(status == 0, call, status, status == 0 ? "" : status_name(status));
}

Cusolver::Cusolver(const std::string& path) {
  const OpenLibrary library("cuSOLVER", 12, path);
  library.find("cusolverGetProperty", property);
  library.require_major(version());
  library.find("cusolverDnCreate", create);
  library.find("cusolverDnDestroy", destroy);
  library.find("cusolverDnCreateParams", create_params);
  library.find("cusolverDnDestroyParams", destroy_params);
  library.find("cusolverDnSetStream", set_stream);
  library.find("cusolverDnSetMathMode", set_math_mode);
  library.find("cusolverDnXsyevd_bufferSize", syevd_sizes);
  library.find("cusolverDnXsyevd", syevd);
}

std::string Cusolver::version() const { return version_of(*this); }

void Cusolver::check(LibraryStatus status, const char* call) const {
  fail_unless(status == 0, call, status, cusolver_status_name(status));
}

}  // namespace sigmascope::device
