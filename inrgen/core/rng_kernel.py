"""Uniform numbers on a CPU, compiled: in one pass what tensors take a dozen for, to the same bits.

Import it late: numba is slow to load.
"""

from typing import no_type_check

import numpy as np

from inrgen.core.compiled import kept_on_disk


@kept_on_disk
@no_type_check
def fill_unit(keys, constants, digits, found):
    """found[r, p] = the first so many binary digits of position p of key r, as a number below 1.

    constants are the three of SplitMix64. Every step is exact: wrapping uint64, then a product
    with a power of two.
    """
    golden, mix_1, mix_2 = constants[0], constants[1], constants[2]
    drop, unit = np.uint64(64 - digits), 2.0**-digits
    s_1, s_2, s_3 = np.uint64(30), np.uint64(27), np.uint64(31)
    for row in range(found.shape[0]):
        key, numbers = keys[row], found[row]
        for place in range(found.shape[1]):
            x = key + np.uint64(place + 1) * golden
            x = (x ^ (x >> s_1)) * mix_1
            x = (x ^ (x >> s_2)) * mix_2
            numbers[place] = ((x ^ (x >> s_3)) >> drop) * unit
