"""Eight float32 numbers at once, or sixteen, for Numba.

LLVM's own vectorizer gives up on a loop that reads from or writes to many places, since it would have to prove that no
two of them overlap; the transforms of a convolution do little else. So vectors are spelled out here: a Numba type with
as many lanes as suit the processor, loads and stores at an index of a one-dimensional contiguous array, and
arithmetic. On a machine with narrower registers LLVM splits them.
"""

import inspect
import operator
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, overload, register_model

_, PROCESSOR, FEATURES = cpu_target.target_context.codegen().magic_tuple()
"""What Numba compiles for, and what keys machine code in its cache; NUMBA_CPU_FEATURES can change it."""

LANES = 16 if "+avx512f" in FEATURES.split(",") else 8
_BYTES = 4
_MASKED_STORE = f"llvm.masked.store.v{LANES}f32.p0"
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
# Products and sums may be fused into multiply-adds, and sums reordered; NaN and infinity keep their meaning.
_FLAGS = ("contract", "reassoc")


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


float32_vector = _Vector()


@register_model(_Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]  # Numba's own


def instruction(kind: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn a function that generates LLVM code into one that compiled code can call.

    `kind` maps the types of its arguments to its signature.
    """
    first = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_OR_KEYWORD)

    def decorate(generate: Callable[..., Any]) -> Callable[..., Any]:
        def typed(typing: Any, *arguments: Any) -> Any:
            return kind(*arguments), generate

        # Numba reads the arguments' names from the signature.
        signature = inspect.Signature([first, *inspect.signature(kind).parameters.values()])
        typed.__signature__ = signature  # type: ignore[attr-defined]  # functions may have one
        return cast(Callable[..., Any], intrinsic(typed))

    return decorate


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.bitcast(_pointer(context, builder, array_type, array, index), _VECTOR.as_pointer())


@instruction(lambda array, index: float32_vector(array, types.intp))
def load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """load(array, index): the numbers from there on, one for each lane."""
    return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)


@instruction(lambda array, index, value: types.none(array, types.intp, value))
def store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """store(array, index, value): write the numbers from there on, one for each lane."""
    array_value, position, vector = arguments
    builder.store(vector, _address(context, builder, signature.args[0], array_value, position), align=4)
    return context.get_dummy_value()


@instruction(lambda array, index: types.none(array, types.intp))
def prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """prefetch(array, index): fetch the cache line there, in order to write it soon."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    address = builder.bitcast(_pointer(context, builder, signature.args[0], *arguments), byte)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    name = "llvm.prefetch.p0"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(function, [address, ir.Constant(number, 1), ir.Constant(number, 3), ir.Constant(number, 1)])
    return context.get_dummy_value()


@instruction(lambda array, index, value, count: types.none(array, types.intp, value, types.intp))
def store_some(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """store_some(array, index, value, count): write the first `count` of the numbers."""
    array_value, position, vector, length = arguments
    number = ir.IntType(32)
    lanes = ir.Constant(ir.VectorType(number, LANES), list(range(LANES)))
    mask = builder.icmp_signed("<", lanes, _splat(builder, builder.trunc(length, number)))
    address = _address(context, builder, signature.args[0], array_value, position)
    kind = ir.FunctionType(ir.VoidType(), [_VECTOR, address.type, number, mask.type])
    masked = builder.module.globals.get(_MASKED_STORE) or ir.Function(builder.module, kind, _MASKED_STORE)
    builder.call(masked, [vector, address, ir.Constant(number, _BYTES), mask])
    return context.get_dummy_value()


@instruction(lambda source, at, target, to, count: types.none(source, types.intp, target, types.intp, types.intp))
def copy(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """copy(source, at, target, to, count): target[to : to + count] = source[at : at + count], of different arrays."""
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


@instruction(lambda array, index: float32_vector(array, types.intp))
def load_splat(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """load_splat(array, index): the number there in all lanes."""
    return _splat(builder, builder.load(_pointer(context, builder, signature.args[0], *arguments)))


@instruction(lambda number: float32_vector(types.float32))
def splat(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """splat(number): the number in all lanes."""
    return _splat(builder, arguments[0])


def _splat(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, lanes)


def _provide(python_operator: Any, name: str) -> None:
    @instruction(lambda a, b: float32_vector(float32_vector, float32_vector))
    def apply(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, name)(*arguments, flags=_FLAGS)

    def implementation(a: Any, b: Any) -> Any:
        return apply(a, b)

    @overload(python_operator, inline="always")
    def choose(a: Any, b: Any) -> Any:
        return implementation if a is float32_vector and b is float32_vector else None


_provide(operator.add, "fadd")
_provide(operator.sub, "fsub")
_provide(operator.mul, "fmul")
