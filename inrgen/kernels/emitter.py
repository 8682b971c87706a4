"""Emitter of LLVM vector instructions, from which every compiled block is written.

Blocks use the compiler's vector instructions because its vectoriser gives up on many streams: it
finds neither a maximum with its index in one pass nor sums that stay in registers. Nothing is
marked fast-math, so a NaN stays a NaN. LLVM fits a vector of any length to the machine.
"""

from dataclasses import dataclass

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """Register block of a machine: `rows` points by two vectors of `lanes` float32.

    The first layer has few inputs, so its gradient takes input_rows of them at a time.
    """

    lanes: int
    rows: int
    input_rows: int = 2


def host_tile() -> Tile:
    """The register block for this processor: one accumulator for each of rows x 2 vectors."""
    features = llvm.get_host_cpu_features()
    # 32 registers hold 8 x 2 sums and their operands; 16 registers hold 4 x 2.
    if features.get("avx512f"):
        return Tile(lanes=16, rows=8)
    if features.get("avx"):
        return Tile(lanes=8, rows=4)
    return Tile(lanes=4, rows=4)


TILE = host_tile()
# Compiled code takes these as constants.
LANES = TILE.lanes
ROWS = TILE.rows

FLOAT, DOUBLE, INT = ir.FloatType(), ir.DoubleType(), ir.IntType(64)
BITS = ir.VectorType(ir.IntType(32), LANES)
_INDEX = ir.IntType(32)


class Emitter:
    """Vector instructions on numbers of one type, `lanes` at a time.

    Attributes:
        builder: the LLVM builder, for the scalar instructions in between.
        element: the LLVM type of one number, FLOAT or DOUBLE.
        vector: the LLVM type of a vector.
    """

    def __init__(self, context, builder, element, lanes):
        self.context, self.builder = context, builder
        self.element, self.lanes = element, lanes
        self.vector = ir.VectorType(element, lanes)
        # Vectors start at any number, so only the alignment of one number is known.
        self.align = 4 if element == FLOAT else 8

    def data(self, array_type, array):
        """Pointer to the first entry of a numba array."""
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def at(self, pointer, index):
        """Pointer to the entry `index` after pointer; the index is known at run time."""
        return self.builder.gep(pointer, [index])

    def step(self, pointer, count):
        """Pointer to the entry `count` after pointer; the count is known now."""
        return self.builder.gep(pointer, [ir.Constant(INT, count)])

    def load(self, pointer, kind=None):
        """The vector that starts at pointer."""
        kind = kind or self.vector
        source = self.builder.bitcast(pointer, kind.as_pointer())
        return self.builder.load(source, align=self.align)

    def store(self, value, pointer):
        """Write a vector to where pointer points."""
        target = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, target, align=self.align)

    def splat(self, scalar):
        """A vector with the scalar in every lane."""
        kind = ir.VectorType(scalar.type, self.lanes)
        lane = self.builder.insert_element(
            ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_INDEX, 0)
        )
        return self.shuffle(lane, lane, [0] * self.lanes)

    def constant(self, value):
        """A vector with a number known now in every lane."""
        # LLVM accepts only float constants that float32 holds exactly.
        rounded = float(np.float32(value)) if self.element == FLOAT else float(value)
        return ir.Constant(self.vector, [rounded] * self.lanes)

    def shuffle(self, a, b, lanes):
        """Lanes of a and b, in the order given; those of b are numbered after those of a."""
        mask = ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, mask)

    def call(self, name, *vectors):
        """LLVM's own vector function of that name, such as rint, sqrt or fmuladd."""
        kind = ir.FunctionType(self.vector, [self.vector] * len(vectors))
        suffix = f"v{self.lanes}f{8 * self.align}"
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.{name}.{suffix}"
        )
        return self.builder.call(function, vectors)

    def fma(self, a, b, c):
        """a * b + c."""
        return self.call("fmuladd", a, b, c)

    def polynomial(self, coefficients, x):
        """The polynomial of x whose coefficients are given from the constant term up."""
        value = self.constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = self.fma(value, x, self.constant(coefficient))
        return value

    def greater(self, a, b):
        """The greater number, lane by lane; b where either is NaN."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def less(self, a, b):
        """The smaller number, lane by lane; b where either is NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def first(self, vector):
        """The scalar in the first lane."""
        return self.builder.extract_element(vector, ir.Constant(_INDEX, 0))

    def lane_sum(self, vector):
        """The sum of a vector's lanes; halves are added to halves."""
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (
                self.shuffle(vector, vector, part)
                for part in (range(lanes), range(lanes, 2 * lanes))
            )
            vector = self.builder.fadd(low, high)
        return self.first(vector)

    def reduce_lanes(self, combine, *vectors):
        """Combine all lanes in pairs, so that every lane ends with the result of all.

        combine takes two lists of vectors, lane against lane, and returns a list.
        """
        distance = self.lanes // 2
        while distance:
            # A butterfly: after distance 1, every lane has met every other.
            order = [i ^ distance for i in range(self.lanes)]
            vectors = combine(vectors, [self.shuffle(v, v, order) for v in vectors])
            distance //= 2
        return vectors

    def transposed(self, rows):
        """The columns of a square, given its rows as `lanes` vectors.

        Swapping the upper right and lower left quarters of every square of 2, then of 4, and so
        on carries each entry to its mirror image, one bit of its index at a time.
        """
        rows, step = list(rows), 1
        while step < self.lanes:
            # shuffle numbers lanes of the first row from 0 and of the second from `lanes`.
            upper = [l if not l & step else self.lanes + l - step for l in range(self.lanes)]
            lower = [l + step if not l & step else self.lanes + l for l in range(self.lanes)]
            for i in (i for i in range(self.lanes) if not i & step):
                pair = rows[i], rows[i + step]
                rows[i], rows[i + step] = self.shuffle(*pair, upper), self.shuffle(*pair, lower)
            step *= 2
        return rows


class Workspace(Emitter):
    """Vectors of LANES float32 at offsets in one flat array, the workspace."""

    def __init__(self, context, builder, work_type, work):
        super().__init__(context, builder, FLOAT, LANES)
        self.base = self.data(work_type, work)

    def place(self, offset, shift=None):
        """Pointer to an offset in the workspace, or `shift` entries after it."""
        pointer = self.builder.gep(self.base, [offset])
        return pointer if shift is None else self.at(pointer, shift)
