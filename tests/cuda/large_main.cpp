// SPDX-License-Identifier: BSD-3-Clause
// The last blocks of threads of kernels on more than 2^32 numbers, and copies of as many bytes.
// Argument: the name of a case.
#include "large_main.hpp"

#include <cstdio>
#include <cstring>
#include <exception>

#include "simulator/settings.hpp"

int main(int count, char** arguments) {
  using namespace sigmascope;
  if (count != 2) return 2;
  std::vector<large::Case> cases;
  for (const auto& more :
       {large::cases_of_elements(), large::cases_of_sums(), large::cases_of_products(),
        large::cases_of_verbs(), large::cases_of_copies()})
    cases.insert(cases.end(), more.begin(), more.end());
  for (const large::Case& each : cases) {
    if (std::strcmp(each.name, arguments[1]) != 0) continue;
    simulator::Settings settings;
    settings.order = simulator::Order::backward;  // so that the first block that runs is the last
    settings.counted_blocks = each.copies ? 0 : 1;
    simulator::restart(settings);
    try {
      const device::Stream stream;
      each.run(stream);
    } catch (const std::exception& error) {
      std::printf("%s\n", error.what());
      return 1;
    }
    std::printf("%s\n", simulator::violation().c_str());
    return simulator::violation().empty() ? 0 : 1;
  }
  std::printf("no case has this name\n");
  return 2;
}
