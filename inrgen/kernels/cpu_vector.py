"""Vector instructions for the compiled kernel: the machine's register block, and what fills it.

Blocks are written in the compiler's own vector instructions rather than left to its vectoriser,
which gives up on many streams; none of them is marked fast-math, so a NaN stays a NaN.
"""

import math
from dataclasses import dataclass

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """The register block of a machine: rows of points by two vectors of `lanes` float32.

    The first layer has few inputs; its gradient is formed input_rows of them at a time.
    """

    lanes: int
    rows: int
    input_rows: int = 2


def host_tile() -> Tile:
    """The register block for this processor: an accumulator each for rows x 2 vectors."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Tile(lanes=16, rows=8)
    if features.get("avx"):
        return Tile(lanes=8, rows=4)
    return Tile(lanes=4, rows=4)


TILE = host_tile()
# Compiled code knows these as constants.
LANES = TILE.lanes
ROWS = TILE.rows

FLOAT = ir.FloatType()
INT = ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
BITS = ir.VectorType(ir.IntType(32), LANES)

# sin(pi r) and cos(pi r) for |r| <= 1/2, in powers of r^2: minimax in absolute error, 3e-9 and
# 5e-8 before rounding (Lawson's iteration in float64).
SINE = (3.141592580044, -5.167706878875, 2.550031376526, -0.5980451694986, 0.07722011970053)
COSINE = (0.9999999534706, -4.934792858833, 4.05841191569, -1.331880165318, 0.2196967986337)


class Emitter:
    """Vector instructions at places in the workspace, which are offsets in floats."""

    def __init__(self, context, builder, work_type, work):
        self.builder = builder
        self.base = context.make_array(work_type)(context, builder, work).data

    def place(self, offset, shift=None):
        pointer = self.builder.gep(self.base, [offset])
        return pointer if shift is None else self.at(pointer, shift)

    def at(self, pointer, index):
        return self.builder.gep(pointer, [index])

    def cell(self, matrix, width, row, column, r, v):
        """Vector v of row r of the block at (row, column) of a matrix with rows of width."""
        line = self.builder.mul(self.builder.add(row, ir.Constant(INT, r)), width)
        return self.step(self.at(self.place(matrix, line), column), v * LANES)

    def step(self, pointer, count):
        return self.builder.gep(pointer, [ir.Constant(INT, count)])

    def load(self, pointer):
        return self.builder.load(self.builder.bitcast(pointer, VECTOR.as_pointer()), align=4)

    def store(self, value, pointer):
        self.builder.store(value, self.builder.bitcast(pointer, VECTOR.as_pointer()), align=4)

    def splat(self, scalar):
        lane = self.builder.insert_element(
            ir.Constant(VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(lane, lane, mask)

    def constant(self, value):
        return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)

    def call(self, name, *vectors):
        kind = ir.FunctionType(VECTOR, [VECTOR] * len(vectors))
        full_name = f"llvm.{name}.v{LANES}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, full_name)
        return self.builder.call(function, vectors)

    def fma(self, a, b, c):
        return self.call("fmuladd", a, b, c)

    def polynomial(self, coefficients, x):
        value = self.constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = self.fma(value, x, self.constant(coefficient))
        return value

    def sine_and_slope(self, half_turns):
        """sin(pi t) and its derivative pi cos(pi t).

        t = k + r with |r| <= 1/2, so both are those of r times (-1)^k; subtracting k is exact, and
        in half turns nothing need be multiplied for it. Infinity becomes NaN on the way, and NaN
        stays.
        """
        b = self.builder
        halves = self.call("rint", half_turns)
        rest = b.fsub(half_turns, halves)
        odd = b.shl(b.fptosi(halves, BITS), ir.Constant(BITS, [31] * LANES))
        square = b.fmul(rest, rest)

        def signed(value):
            return b.bitcast(b.xor(b.bitcast(value, BITS), odd), VECTOR)

        sine = b.fmul(self.polynomial(SINE, square), signed(rest))
        slope = self.polynomial([math.pi * c for c in COSINE], square)
        return sine, signed(slope)

    def lane_sum(self, vector):
        """The sum of a vector's lanes, halves added to halves."""
        lanes = LANES
        while lanes > 1:
            lanes //= 2
            kind = ir.VectorType(ir.IntType(32), lanes)
            low, high = (
                self.builder.shuffle_vector(vector, vector, ir.Constant(kind, list(part)))
                for part in (range(lanes), range(lanes, 2 * lanes))
            )
            vector = self.builder.fadd(low, high)
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    def transposed(self, rows):
        """LANES vectors as the rows of a square, to its columns.

        Swapping the upper right and the lower left quarter of every square of 2, of 4, and so on
        carries each entry to its mirror image, one bit of its place at a time.
        """
        rows, step = list(rows), 1
        kind = ir.VectorType(ir.IntType(32), LANES)
        while step < LANES:
            # Lanes of the first row are numbered from 0, of the second from LANES on.
            upper = [l if not l & step else LANES + l - step for l in range(LANES)]
            lower = [l + step if not l & step else LANES + l for l in range(LANES)]
            for i in (i for i in range(LANES) if not i & step):
                pair = rows[i], rows[i + step]
                for at, picked in ((i, upper), (i + step, lower)):
                    rows[at] = self.builder.shuffle_vector(*pair, ir.Constant(kind, picked))
            step *= 2
        return rows

    def accumulate(self, starts, depth, scalar, row):
        """starts[r][v] plus the sum over k < depth of scalar(r, k) times vector v of row(k).

        scalar and row give pointers. The sums live in registers: that is what the register block
        is chosen for.
        """
        b = self.builder
        sums = [[cgutils.alloca_once_value(b, start) for start in row] for row in starts]
        with cgutils.for_range(b, depth) as loop:
            pointer = row(loop.index)
            right = [self.load(self.step(pointer, v * LANES)) for v in range(len(sums[0]))]
            for r, held in enumerate(sums):
                left = self.splat(b.load(scalar(r, loop.index)))
                for place, vector in zip(held, right, strict=True):
                    b.store(self.fma(left, vector, b.load(place)), place)
        return [[b.load(place) for place in held] for held in sums]

    def points_by_features(self, starts, f, p, j):
        """accumulate for ROWS points of f.a from p on and columns of f.b from j on."""
        first = self.place(f.a, self.builder.mul(p, f.a_step))
        rows = [
            self.at(first, self.builder.mul(f.a_step, ir.Constant(INT, r))) for r in range(ROWS)
        ]
        right = self.place(f.b, j)
        return self.accumulate(
            starts,
            f.depth,
            lambda r, k: self.at(rows[r], k),
            lambda k: self.at(right, self.builder.mul(k, f.width)),
        )
