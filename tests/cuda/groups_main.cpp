// SPDX-License-Identifier: BSD-3-Clause
// The groups of products by tensor cores. Arguments: for each product the rows and columns of its
// result, the terms that came before, and those of the call. It prints a line for each: groups,
// groups at once, and numbers of fp32 in the workspace.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernels/tensor_products.hpp"

int main(int argc, char** argv) {
  using namespace sigmascope::device;
  for (int i = 1; i + 3 < argc; i += 4) {
    const auto number = [&](int j) { return std::int64_t{std::atoll(argv[i + j])}; };
    TensorProduct product;
    product.rows = number(0), product.before = number(2), product.depth = number(3);
    product.x = BlockParts(3, product.depth, number(1));
    const TermGroups groups = product.groups();
    std::printf("%lld %lld %lld\n", static_cast<long long>(groups.count()),
                static_cast<long long>(groups.at_once(product.rows * number(1), sizeof(float))),
                static_cast<long long>(product.workspace()));
  }
  return 0;
}
