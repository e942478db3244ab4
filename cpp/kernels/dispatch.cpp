// SPDX-License-Identifier: BSD-3-Clause
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/isa.hpp"

namespace sigmascope {

extern const Isa isa_scalar;
#ifdef SIGMASCOPE_HAVE_AVX2
extern const Isa isa_avx2, isa_avx512, isa_avx512bf16;
#endif

namespace {

const Isa& choose() {
  const char* asked = std::getenv("SIGMASCOPE_ISA");
  const std::string_view limit = asked != nullptr ? asked : "";
  if (!limit.empty() && limit != "scalar" && limit != "avx2" && limit != "avx512" && limit != "avx512bf16")
    throw std::invalid_argument("SIGMASCOPE_ISA is '" + std::string(limit) + "'; known: scalar avx2 avx512 avx512bf16");
#ifdef SIGMASCOPE_HAVE_AVX2
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16") && (limit.empty() || limit == "avx512bf16")) return isa_avx512bf16;
  if (avx512 && (limit.empty() || limit.starts_with("avx512"))) return isa_avx512;
  if (avx2 && limit != "scalar") return isa_avx2;
#endif
  return isa_scalar;
}

}  // namespace

const Isa& best_isa() {
  static const Isa& isa = choose();
  return isa;
}

}  // namespace sigmascope
