"""Peak rate of float32 multiply-adds on this machine, which engines are measured against."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from inrgen.kernels import kept_on_disk
from inrgen.kernels.emitter import LANES

# Enough independent sums to hide a multiply-add's latency, few enough to stay in registers.
_SUMS = 12
_ROUNDS = 2_000_000


@intrinsic
def _multiply_adds(typingctx, rounds, factor):
    """Multiply and add to each of _SUMS vectors `rounds` times; return one lane of their sum."""
    vector = ir.VectorType(ir.FloatType(), LANES)

    def codegen(context, builder, signature, arguments):
        rounds, factor = arguments
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
        zero = ir.Constant(ir.IntType(32), 0)
        lane = builder.insert_element(ir.Constant(vector, ir.Undefined), factor, zero)
        splat = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        scale = builder.shuffle_vector(lane, lane, splat)
        sums = [
            cgutils.alloca_once_value(builder, ir.Constant(vector, [float(i + 1)] * LANES))
            for i in range(_SUMS)
        ]
        with cgutils.for_range(builder, rounds):
            for held in sums:
                builder.store(builder.call(fma, [builder.load(held), scale, scale]), held)
        total = builder.extract_element(builder.load(sums[0]), zero)
        for held in sums[1:]:
            total = builder.fadd(total, builder.extract_element(builder.load(held), zero))
        return total

    return types.float32(types.int64, types.float32), codegen


@kept_on_disk
@no_type_check
def _burn(rounds, factor):
    return _multiply_adds(rounds, factor)


def measure_peak_gflop_s(threads: int, repeats: int = 5) -> float:
    """Measure the peak of `threads` cores in GFLOP/s, a multiply-add counted as two.

    The best repeat counts: other programs only ever lower the rate.
    """
    _burn(1, 0.5)  # compiles
    operations = 2.0 * LANES * _SUMS * _ROUNDS * threads
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            began = time.perf_counter()
            list(pool.map(_burn, [_ROUNDS] * threads, [0.5] * threads))
            best = max(best, operations / (time.perf_counter() - began))
    return best / 1e9
