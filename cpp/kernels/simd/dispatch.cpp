// SPDX-License-Identifier: BSD-3-Clause
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/simd/isa.hpp"

namespace sigmascope {

extern const Isa isa_scalar;
// A build may lack some of these.
extern const Isa isa_avx2, isa_avx512, isa_avx512bf16, isa_amx;

namespace {

#ifdef SIGMASCOPE_HAVE_AMX
// Linux keeps room for tiles only for a process that has asked for it.
bool tiles_allowed() {
#if defined(__linux__)
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
  return false;
#endif
}
#endif

const Isa& choose() {
  const char* asked = std::getenv("SIGMASCOPE_ISA");
  const std::string_view limit = asked != nullptr ? asked : "";
  if (!limit.empty() && limit != "scalar" && limit != "avx2" && limit != "avx512" &&
      limit != "avx512bf16" && limit != "amx")
    throw std::invalid_argument("SIGMASCOPE_ISA is '" + std::string(limit) +
                                "'; known: scalar avx2 avx512 avx512bf16 amx");
#ifdef __x86_64__
  [[maybe_unused]] const bool any = limit.empty() || limit == "amx";
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  [[maybe_unused]] const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  [[maybe_unused]] const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
#endif
#ifdef SIGMASCOPE_HAVE_AMX
  if (bf16 && any && tiles_allowed()) return isa_amx;
#endif
#ifdef SIGMASCOPE_HAVE_AVX512BF16
  if (bf16 && (any || limit == "avx512bf16")) return isa_avx512bf16;
#endif
#ifdef SIGMASCOPE_HAVE_AVX512
  if (avx512 && (any || limit.starts_with("avx512"))) return isa_avx512;
#endif
#ifdef SIGMASCOPE_HAVE_AVX2
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
