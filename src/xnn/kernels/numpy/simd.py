"""Eight float32 numbers at once, or sixteen, for Numba.

LLVM's own vectorizer gives up on a loop that reads from or writes to many places, since it would have to prove each
pair of them apart; the transforms of a convolution do little else. So vectors are spelled out here: a Numba type for
as many lanes as suit the processor, loads and stores at an index of a one-dimensional contiguous array, and
arithmetic. On a machine with narrower registers LLVM splits them.
"""

import operator
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, overload, register_model

_, PROCESSOR, FEATURES = cpu_target.target_context.codegen().magic_tuple()
"""What Numba compiles for, by which its cache tells machine code apart; NUMBA_CPU_FEATURES can say otherwise."""

LANES = 16 if "+avx512f" in FEATURES.split(",") else 8
_BYTES = 4
_MASKED_STORE = f"llvm.masked.store.v{LANES}f32.p0"
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
# Products and sums may be contracted to fused multiply-adds, and sums reordered; NaN and infinity keep their meaning.
_FLAGS = ("contract", "reassoc")


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


float32_vector = _Vector()


@register_model(_Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]  # Numba's own


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of compiled code out of one that generates LLVM's."""
    return cast(Callable[..., Any], intrinsic(function))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.bitcast(_pointer(context, builder, array_type, array, index), _VECTOR.as_pointer())


@instruction
def load(typing: Any, array: Any, index: Any) -> Any:
    """load(array, index): the numbers from there on, one for each lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)

    return float32_vector(array, types.intp), generate


@instruction
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """store(array, index, value): write the numbers from there on, one for each lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_value, position, vector = arguments
        builder.store(vector, _address(context, builder, signature.args[0], array_value, position), align=4)
        return context.get_dummy_value()

    return types.none(array, types.intp, value), generate


@instruction
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """prefetch(array, index): fetch the line there, which will be written."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(_pointer(context, builder, signature.args[0], *arguments), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [address, ir.Constant(number, 1), ir.Constant(number, 3), ir.Constant(number, 1)])
        return context.get_dummy_value()

    return types.none(array, types.intp), generate


@instruction
def store_some(typing: Any, array: Any, index: Any, value: Any, count: Any) -> Any:
    """store_some(array, index, value, count): write the first `count` of the numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_value, position, vector, length = arguments
        number = ir.IntType(32)
        lanes = ir.Constant(ir.VectorType(number, LANES), list(range(LANES)))
        mask = builder.icmp_signed("<", lanes, _splat(builder, builder.trunc(length, number)))
        address = _address(context, builder, signature.args[0], array_value, position)
        kind = ir.FunctionType(ir.VoidType(), [_VECTOR, address.type, number, mask.type])
        masked = builder.module.globals.get(_MASKED_STORE) or ir.Function(builder.module, kind, _MASKED_STORE)
        builder.call(masked, [vector, address, ir.Constant(number, _BYTES), mask])
        return context.get_dummy_value()

    return types.none(array, types.intp, value, types.intp), generate


@instruction
def copy(typing: Any, source: Any, at: Any, target: Any, to: Any, count: Any) -> Any:
    """copy(source, at, target, to, count): target[to : to + count] = source[at : at + count], of different arrays."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source_array, first, target_array, position, length = arguments
        byte, size = ir.IntType(8).as_pointer(), ir.IntType(64)
        places = [
            builder.bitcast(_pointer(context, builder, signature.args[number], array, index), byte)
            for number, array, index in ((2, target_array, position), (0, source_array, first))
        ]
        memcpy = builder.module.declare_intrinsic("llvm.memcpy", [byte, byte, size])
        is_volatile = ir.Constant(ir.IntType(1), 0)
        builder.call(memcpy, [*places, builder.mul(length, ir.Constant(size, _BYTES)), is_volatile])
        return context.get_dummy_value()

    return types.none(source, types.intp, target, types.intp, types.intp), generate


@instruction
def load_splat(typing: Any, array: Any, index: Any) -> Any:
    """load_splat(array, index): the number there in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, builder.load(_pointer(context, builder, signature.args[0], *arguments)))

    return float32_vector(array, types.intp), generate


@instruction
def splat(typing: Any, number: Any) -> Any:
    """splat(number): the number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return float32_vector(types.float32), generate


def _splat(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, lanes)


def _operation(name: str) -> Any:
    @instruction
    def apply(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments, flags=_FLAGS)

        return float32_vector(float32_vector, float32_vector), generate

    return apply


def _provide(python_operator: Any, name: str) -> None:
    apply = _operation(name)

    def implementation(a: Any, b: Any) -> Any:
        return apply(a, b)

    @overload(python_operator, inline="always")
    def choose(a: Any, b: Any) -> Any:
        return implementation if a is float32_vector and b is float32_vector else None


_provide(operator.add, "fadd")
_provide(operator.sub, "fsub")
_provide(operator.mul, "fmul")
