"""A recorded graph as people and tools expect it: weights as named initializers, nothing that has no use."""

from collections.abc import Iterator
from typing import Any


def tidy(proto: Any) -> None:
    """Change a model's graph in place; it computes the same."""
    graph = proto.graph
    _drop_identities(graph)
    _drop_unread_outputs(graph)
    _name_nodes(graph)
    _make_initializers(graph)


def _drop_identities(graph: Any) -> None:
    """Let what a graph's outputs are copies of have the outputs' names."""
    outputs = {output.name for output in graph.output}
    inputs = {given.name for given in graph.input}
    for node in [node for node in graph.node if node.op_type == "Identity" and node.output[0] in outputs]:
        source, name = node.input[0], node.output[0]
        if source in inputs or source in outputs:
            continue
        graph.node.remove(node)
        outputs.add(source)
        for other in _all_nodes(graph):
            _rename(other.input, {source: name})
        for other in graph.node:
            _rename(other.output, {source: name})


def _drop_unread_outputs(graph: Any) -> None:
    """Leave out the last outputs of a node that nothing reads, such as the places that MaxPool can tell."""
    read = {name for node in _all_nodes(graph) for name in node.input} | {output.name for output in graph.output}
    for node in graph.node:
        while len(node.output) > 1 and node.output[-1] not in read:
            del node.output[-1]


def _name_nodes(graph: Any) -> None:
    """Name each node after its operator and its place among those of its kind, and what it makes after the node."""
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    outputs = {output.name for output in graph.output}
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        number = counts[node.op_type] = counts.get(node.op_type, 0) + 1
        node.name = f"{node.op_type}_{number}"
        for place, output in enumerate(node.output):
            if output not in outputs:
                names[output] = node.name if len(node.output) == 1 else f"{node.name}_{place + 1}"
    for node in _all_nodes(graph):
        _rename(node.input, names)
    for node in graph.node:
        _rename(node.output, names)
    del graph.value_info[:]


def _make_initializers(graph: Any) -> None:
    """Turn constants into initializers, which quantizers and viewers look for, named after the first node to read."""
    from onnx import defs

    constants = {node.output[0]: node for node in graph.node if node.op_type == "Constant"}
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        for reader in (node, *_inside(node)):
            slots = defs.get_schema(reader.op_type).inputs
            for place, name in enumerate(reader.input):
                if name not in constants or name in names:
                    continue
                wanted = f"{node.name}_{slots[min(place, len(slots) - 1)].name}"
                # Such a node as Concat has one slot for all that it joins.
                number = counts[wanted] = counts.get(wanted, 0) + 1
                names[name] = wanted if number == 1 else f"{wanted}_{number}"
    for name, node in constants.items():
        graph.node.remove(node)
        if name in names:
            (value,) = node.attribute
            value.t.name = names[name]
            graph.initializer.append(value.t)
    for node in _all_nodes(graph):
        _rename(node.input, names)


def _all_nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of the branches in it, which read names of the graph around them."""
    for node in graph.node:
        yield node
        yield from _inside(node)


def _inside(node: Any) -> Iterator[Any]:
    """Yield the nodes of a node's branches, such as those of If."""
    for attribute in node.attribute:
        for branch in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _all_nodes(branch)


def _rename(names: Any, renamed: dict[str, str]) -> None:
    names[:] = [renamed.get(name, name) for name in names]
