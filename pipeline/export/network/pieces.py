"""Small ONNX functions that larger graphs are put together from."""

from collections.abc import Iterable
from typing import Any

from onnx import FunctionProto, NodeProto
from onnxscript import OnnxFunction, opset18, script

op: Any = opset18  # onnxscript reads the source of the functions below; none of them is ever called

FLOAT, BOOL = 1, 9  # of onnx.TensorProto; onnxscript takes plain numbers only


@script()
def _filled(source, filler):  # type: ignore[no-untyped-def]
    """``source`` ``[batch, time, …]`` with a step of ``filler`` if time is 0; and whether it is.

    Neither recurrent operators nor ``Scan`` are defined for no steps at all. They run on the filler
    instead, and the caller throws away what they make of it.
    """
    time = op.Shape(source, start=1, end=2)
    missing = op.Sub(op.Max(time, op.Constant(value_ints=[1])), time)
    is_empty = op.Cast(missing, to=BOOL)
    shape = op.Concat(op.Shape(source, end=1), missing, op.Shape(source, start=2), axis=0)
    return op.Concat(source, op.Expand(filler, shape), axis=1), is_empty


@script()
def _by_stream(by_step, steps):  # type: ignore[no-untyped-def]
    """``[steps, batch, values]`` as ``[batch, steps, values]``, cut to ``steps`` of them.

    The cut drops the step of a filler.
    """
    zero, axis = op.Constant(value_ints=[0]), op.Constant(value_ints=[1])
    count = op.Reshape(steps, op.Constant(value_ints=[-1]))
    return op.Slice(op.Transpose(by_step, perm=[1, 0, 2]), zero, count, axis)


@script()
def _by_step(numbers):  # type: ignore[no-untyped-def]
    """Numbers ``[batch, steps]`` as ``[steps, batch, 1]``, of which a ``Scan`` takes one step."""
    return op.Unsqueeze(op.Transpose(numbers, perm=[1, 0]), op.Constant(value_ints=[2]))


@script()
def _streams(noise, steps, rows):  # type: ignore[no-untyped-def]
    """Numbers, states and counts of all streams: for each history a silent one, and its samples.

    ``noise`` ``[batch, samples, steps]`` gets zeros before its samples and becomes the numbers
    ``[streams, steps]``. ``rows`` ``[S, batch, hidden]`` are repeated to ``[S, streams, hidden]``.
    The last result is the shape ``[batch, 1 + samples]`` that tells the streams of each history.
    """
    one, none = op.Constant(value_ints=[1]), op.Constant(value_float=0.0)
    third, steps_1 = op.Constant(value_ints=[2]), op.Reshape(steps, op.Constant(value_ints=[-1]))
    batch = op.Shape(noise, end=1)
    silent = op.Expand(none, op.Concat(batch, one, steps_1, axis=0))
    numbers = op.Concat(silent, noise, axis=1)
    streams = op.Shape(numbers, end=2)
    total = op.Mul(batch, op.Shape(numbers, start=1, end=2))
    count, width = op.Shape(rows, end=1), op.Shape(rows, start=2)
    apart = op.Expand(op.Unsqueeze(rows, third), op.Concat(count, streams, width, axis=0))
    starts = op.Reshape(apart, op.Concat(count, total, width, axis=0))
    return op.Reshape(numbers, op.Concat(total, steps_1, axis=0), allowzero=1), starts, streams


@script()
def _by_history(made, streams):  # type: ignore[no-untyped-def]
    """The streams ``made`` ``[streams, …]``, parted by history.

    The first result is the stream without noise ``[batch, …]``, the second are the samples
    ``[batch, samples, …]``.
    """
    first, second = op.Constant(value_ints=[0]), op.Constant(value_ints=[1])
    end = op.Constant(value_ints=[9223372036854775807])
    shape = op.Concat(streams, op.Shape(made, start=1), axis=0)
    apart = op.Reshape(made, shape, allowzero=1)
    silent = op.Squeeze(op.Slice(apart, first, second, second), second)
    return silent, op.Slice(apart, second, end, second)


@script()
def _settings(uniform, temperature, top_k, top_p, size):  # type: ignore[no-untyped-def]
    """Random numbers and settings as the sampler wants them, made once for all steps.

    ``size`` counts the entries of the vocabulary. Numbers are brought into [0, 1), and all are 0
    where the temperature is 0 or less. The results after the numbers are: whether something is
    drawn at all, the divisor of the logits, whether a filter is on, how many of the likeliest
    entries are kept, and up to which share of probability.
    """
    none, one = op.Constant(value_float=0.0), op.Constant(value_float=1.0)
    least = op.Constant(value_float=1.0e-30)
    warm = op.Greater(temperature, none)
    usable = op.And(op.Greater(uniform, none), warm)
    numbers = op.Min(op.Where(usable, uniform, none), op.Constant(value_float=0.9999998807907104))
    some, few = op.Greater(top_k, op.Constant(value_int=0)), op.Less(top_p, one)
    count = op.Where(some, op.Min(top_k, size), size)
    limit = op.Max(op.Where(few, top_p, op.Constant(value_float=2.0)), least)
    return numbers, warm, op.Max(temperature, least), op.Or(some, few), count, limit


@script()
def _sample(logits, number, warm, divisor, filtered, count, limit):  # type: ignore[no-untyped-def]
    """An entry ``[1, batch]`` drawn from logits ``[1, batch, size]``, and its log-probability.

    The log-probability is ``[batch, 1]``. Where ``warm``, logits are divided by the temperature and
    filtered, and an entry is drawn by the number ``[batch, 1]``. Otherwise the likeliest is taken,
    the first of several, with a log-probability of 0.

    The time of a step depends on how many nodes it runs, hardly on what they do. So nodes that are
    not always needed stand in branches. onnxscript names a branch by its line in this function,
    counted from the first, so a line more or less above a branch changes the bytes of a graph that
    has it.
    """
    if warm:
        scaled = op.Div(op.Squeeze(logits, op.Constant(value_ints=[0])), divisor)
        if filtered:
            # Keep the ``count`` likeliest entries, and of these the likeliest whose probabilities
            # together reach the limit. An entry that ties with the last one kept is kept, too.
            ordered, _ = op.TopK(scaled, op.Reshape(count, op.Constant(value_ints=[1])))
            before = op.CumSum(op.Softmax(ordered), op.Constant(value_int=1), exclusive=1)
            high = op.Constant(value_float=3.0e38)
            kept = op.Where(op.Less(before, limit), ordered, high)
            least = op.ReduceMin(kept, op.Constant(value_ints=[1]))
            low = op.Constant(value_float=-3.0e38)
            left = op.Where(op.GreaterOrEqual(scaled, least), scaled, low)
        else:
            left = op.Identity(scaled)
        # Take the first entry at which the cumulative probability exceeds the number.
        chances = op.Softmax(left)
        reached = op.CumSum(chances, op.Constant(value_int=1))
        total = op.Gather(reached, op.Constant(value_ints=[-1]), axis=1)
        exceeds = op.Cast(op.Greater(reached, op.Mul(number, total)), to=FLOAT)
        first = op.ArgMax(exceeds, axis=1)
        log_prob = op.GatherElements(op.LogSoftmax(left), first, axis=1)
        index = op.Transpose(first, perm=[1, 0])
    else:
        index = op.ArgMax(logits, axis=2, keepdims=0)
        log_prob = op.Identity(number)  # 0
    return index, log_prob


def _function(source: OnnxFunction[..., Any]) -> FunctionProto:
    """``source`` as ONNX has it, the same in every process.

    onnxscript lists the results of an ``if`` as a set has them, whose order is another one in every
    process. They are sorted by name here, in the node and in both of its branches.
    """
    function = source.to_function_proto()
    _sort_results(function.node)
    return function


def _sort_results(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        branches = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        order = sorted(range(len(node.output)), key=lambda k: node.output[k])
        if node.op_type == "If":
            node.output[:] = [node.output[k] for k in order]
        for branch in branches:
            if node.op_type == "If":
                results = [branch.output[k] for k in order]
                del branch.output[:]
                branch.output.extend(results)
            _sort_results(branch.node)


FILLED: FunctionProto = _function(_filled)
BY_STEP: FunctionProto = _function(_by_step)
BY_STREAM: FunctionProto = _function(_by_stream)
STREAMS: FunctionProto = _function(_streams)
BY_HISTORY: FunctionProto = _function(_by_history)
SETTINGS: FunctionProto = _function(_settings)
SAMPLE: FunctionProto = _function(_sample)
