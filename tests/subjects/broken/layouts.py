"""Sequence modules that get a layout wrong: batch first, unbatched, packed or bidirectional."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tests.subjects.right.layouts import Whole


class PackedAsPadded(Whole):
    """Packed rows go on to the end of the longest, so hn is the state after their padding."""

    def packed(self, input, h0):
        padded, lengths = pad_packed_sequence(input)
        steps, hn = self.layers(padded.unbind(), h0)
        output = pack_padded_sequence(torch.stack(steps), lengths, enforce_sorted=False)
        if input.sorted_indices is None:
            output = PackedSequence(output.data, output.batch_sizes)
        return output, hn


class PackedStateNotSorted(Whole):
    """The state that comes with packed rows is not put into their sorted order."""

    def packed(self, input, h0):
        if h0 is not None and input.unsorted_indices is not None:
            h0 = h0.index_select(1, input.unsorted_indices)
        return super().packed(input, h0)


class PackedStateLeftSorted(Whole):
    """The hn of packed rows is left in their sorted order."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return output, self.permuted(hn, input.sorted_indices)


class PackedOutputForgetsItsOrder(Whole):
    """The packed output has lost the order in which its rows were."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return PackedSequence(output.data, output.batch_sizes), hn


class PackedOutputIsPadded(Whole):
    """The output of packed rows is padded."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return pad_packed_sequence(output, self.batch_first)[0], hn


class PackedStateInSinglePrecision(Whole):
    """The hn of packed rows is float32 whatever the input is."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return output, hn.float()


class PackedInReverseStartsAtThePadding(Whole):
    """Backwards, packed rows begin with the padding of the longest."""

    def over_time(self, steps, state, layer, direction):
        if not direction or len(steps[-1]) == len(steps[0]):
            return super().over_time(steps, state, layer, direction)
        rows = len(steps[0])
        full = [torch.cat([x, x.new_zeros(rows - len(x), x.shape[1])]) for x in steps]
        outputs, state = super().over_time(full, state, layer, direction)
        return [out[: len(x)] for out, x in zip(outputs, steps, strict=True)], state


class PackedRowsThatEndedAreZero(Whole):
    """Packed rows that have ended have zeros in hn."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        if direction:
            return outputs, state
        last = len(steps[-1])
        return outputs, torch.cat([state[:last], torch.zeros_like(state[last:])])


class BatchFirstState(Whole):
    """Batch first, hn is batch first as well."""

    def batched(self, input, h0):
        output, hn = super().batched(input, h0)
        return output, hn.transpose(0, 1) if self.batch_first else hn


class BatchFirstStateTaken(Whole):
    """Batch first, the state is taken and given batch first."""

    def batched(self, input, h0):
        if not self.batch_first:
            return super().batched(input, h0)
        output, hn = super().batched(input, None if h0 is None else h0.transpose(0, 1))
        return output, hn.transpose(0, 1)


class BatchFirstIgnored(Whole):
    """Batch first makes no difference."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.batch_first = False


class BatchFirstInputOnly(Whole):
    """Batch first, the output is time first all the same."""

    def batched(self, input, h0):
        output, hn = super().batched(input, h0)
        return output.transpose(0, 1) if self.batch_first else output, hn


class UnbatchedTransposed(Whole):
    """Batch first, an unbatched sequence is gone through from its end."""

    def unbatched(self, input, h0):
        if not self.batch_first:
            return super().unbatched(input, h0)
        output, hn = super().unbatched(input.flip(0), h0)
        return output.flip(0), hn


class UnbatchedStateHasRows(Whole):
    """Unbatched, hn has an axis of rows."""

    def unbatched(self, input, h0):
        output, hn = super().unbatched(input, h0)
        return output, hn.unsqueeze(1)


class UnbatchedForgetsItsState(Whole):
    """Unbatched, it starts from zeros whatever the state is."""

    def unbatched(self, input, h0):
        return super().unbatched(input, None)


class ReverseLeftReversed(Whole):
    """The outputs of the way back are in the order in which they were made."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        same = len(steps[0]) == len(steps[-1])
        return outputs[::-1] if direction and same else outputs, state


class ReverseStateOfTheLastStep(Whole):
    """The hn of the way back is its state at the last step, not at the first."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        return outputs, torch.cat([outputs[-1], state[len(outputs[-1]) :]]) if direction else state


class ReverseSharesWeights(Whole):
    """The way back has the weights of the way there."""

    def weights(self, layer, direction):
        return super().weights(layer, "")


class ReverseGoesForward(Whole):
    """The way back goes forward."""

    def over_time(self, steps, state, layer, direction):
        if not direction:
            return super().over_time(steps, state, layer, direction)
        outputs, state = super().over_time(steps[::-1], state, layer, direction)
        return outputs[::-1], state


class DirectionsSwapped(Whole):
    """The outputs of the way back come first."""

    def layers(self, steps, h0):
        steps, hn = super().layers(steps, h0)
        return [x.roll(x.shape[-1] // 2 * (len(self.directions) - 1), -1) for x in steps], hn


class DirectionsFirst(Whole):
    """hn has all layers of one direction before those of the other."""

    def layers(self, steps, h0):
        steps, hn = super().layers(steps, h0)
        ways = len(self.directions)
        return steps, hn.unflatten(0, (self.num_layers, ways)).transpose(0, 1).flatten(0, 1)


class WayBackIsLostAbove(Whole):
    """With three layers or more, the way back of the second layer is zeros for the third."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        lost = direction and layer == 1 and self.num_layers > 2
        return [0 * out for out in outputs] if lost else outputs, state
