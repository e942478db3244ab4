# SPDX-License-Identifier: BSD-3-Clause
"""Random matrices of every known kind against every public function: ``python -m tests.campaign``.

sequences     singular values, in every arrangement that has been hard for somebody
gallery       the matrices of the galleries, by their entries
structures    products, blocks, outliers, copies: matrices by how they are made
generators    all of these by name, and random compositions of them: ``make(name, seed, m, n)``
stored        numbers rounded to a dtype, scaled, and laid out as a Matrix
truth         singular values by LAPACK, to more digits where a verdict needs them
cases         one case from (campaign seed, index)
triplets,     one call of a public function, and everything that is checked of its answer
measures, streams, calls
shrinking     a smaller case that fails in the same way, saved with a line that runs it
worker        cases in a process of their own
runner        workers, one for each core
summary       what was seen, as a table or as JSON
"""
