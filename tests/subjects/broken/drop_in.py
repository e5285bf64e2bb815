"""Right sequence modules that are no drop-in for nn.GRU, which counts with --strict only."""

from __future__ import annotations

import torch
from torch import nn

from tests.subjects.right.layouts import DropIn


class RateBeforeBatchFirst(DropIn):
    """The constructor takes dropout before batch_first."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        dropout=0.0,
        batch_first=False,
        bidirectional=False,
        device=None,
        dtype=None,
    ):
        options = (bias, batch_first, dropout, bidirectional, device, dtype)
        super().__init__(input_size, hidden_size, num_layers, *options)


class BatchFirstUnlessTold(DropIn):
    """By default it is batch first."""

    def __init__(
        self, input_size, hidden_size, num_layers=1, bias=True, batch_first=True, *rest, **named
    ):
        options = (bias, batch_first, *rest)
        super().__init__(input_size, hidden_size, num_layers, *options, **named)


class IgnoresItsDtype(DropIn):
    """The constructor takes a dtype, and builds float32 all the same."""

    def __init__(self, *arguments, dtype=None, **named):
        super().__init__(*arguments, **named)


class StateOfAnotherName(DropIn):
    """The state is an argument h0 in place of hx."""

    def forward(self, input, h0=None):
        return super().forward(input, h0)


class StateByNameIgnored(DropIn):
    """It takes any further argument by name, hx among them, and ignores it."""

    def forward(self, input, h0=None, **ignored):
        return super().forward(input, h0)


class BiasesFirst(DropIn):
    """Biases come before weights, in an order in which an optimizer's state is not nn.GRU's."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        for name, parameter in sorted(self.named_parameters(), key=lambda item: item[0]):
            delattr(self, name)
            self.register_parameter(name, parameter)


class Prefixed(DropIn):
    """Its state_dict has a prefix before nn.GRU's names."""

    def state_dict(self, *arguments, prefix="", **named):
        return super().state_dict(*arguments, prefix=f"{prefix}gru.", **named)

    def load_state_dict(self, state_dict, *arguments, **named):
        stripped = {name.removeprefix("gru."): value for name, value in state_dict.items()}
        return super().load_state_dict(stripped, *arguments, **named)


class NoAttributeBatchFirst(DropIn):
    """It has no attribute batch_first."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.time = 1 if self.batch_first else 0
        del self.batch_first

    def batched(self, input, h0):
        steps, hn = self.layers(input.unbind(self.time), h0)
        return torch.stack(steps, self.time), hn


class RateIsAModule(DropIn):
    """Its attribute dropout is a module, not a number."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.dropout = nn.Dropout(self.dropout)

    def dropped(self, steps):
        sizes = [len(step) for step in steps]
        return self.dropout(torch.cat(list(steps))).split(sizes)


class OneWayAfterTheOther(DropIn):
    """Its state_dict has the way there of all layers before the way back of any."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        for name in [name for name in self._parameters if name.endswith("_reverse")]:
            self._parameters[name] = self._parameters.pop(name)


class StartsOrthogonal(DropIn):
    """The state's weights of a new one are orthogonal, so that a seed gives other weights."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        for name, parameter in self.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)


class CannotBePrinted(DropIn):
    """Its repr raises, as it reads an attribute that is not there."""

    def extra_repr(self):
        return f"{self.input_size}, {self.width}, num_layers={self.num_layers}"


class RateOfItsBeginning(DropIn):
    """It drops at the rate that it was built with, whatever rate is set later."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.first = self.dropout

    def dropped(self, steps):
        return nn.functional.dropout(torch.stack(steps), self.first, self.training).unbind()


class WaysBeforeTheRate(DropIn):
    """The constructor takes bidirectional before dropout."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        bidirectional=False,
        dropout=0.0,
        **named,
    ):
        options = (bias, batch_first, dropout, bidirectional)
        super().__init__(input_size, hidden_size, num_layers, *options, **named)


class DropsUnlessTold(DropIn):
    """By default its rate is a tenth."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.1,
        *rest,
        **named,
    ):
        options = (bias, batch_first, dropout, *rest)
        super().__init__(input_size, hidden_size, num_layers, *options, **named)


class StateByPositionOnly(DropIn):
    """The state is refused by its name, even where it is None."""

    def forward(self, input, hx=None, /):
        return super().forward(input, hx)
