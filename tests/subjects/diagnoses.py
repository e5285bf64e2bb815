"""The faults of the catalogue that are known variants of nn.GRU, and what each is called."""

from __future__ import annotations

from tests.subjects.broken import (
    draws,
    equations,
    masks,
    rates,
    sequence_masks,
    sequences,
    states,
    variants,
)

RESET = "the reset gate applied before the product (Cho et al. v3, ONNX linear_before_reset = 0)"
COMPLEMENT = "the update gate complemented (h' = z n + (1 - z) h)"
NO_STATE_BIAS = "one bias instead of two (no b_hh)"
NO_INPUT_BIAS = "one bias instead of two (no b_ih)"
LAST = "dropout also after the last layer"
INPUT = "dropout also on the input"
CARRIED = "dropout also on the carried state "
CARRIED_UP = f"{CARRIED}(by the mask of the output that goes up)"
KEPT = "the same mask at every step (variational dropout)"
KEPT_ANEW = f"{KEPT}, although a new one is drawn each time"
OVER_ROWS = "the same mask for all rows of the batch"
UNUSED = "an extra mask drawn "
UNUSED_LAST = f"{UNUSED}after the last layer and discarded"
NOT_SCALED = "no scaling of kept values by 1 / (1 - p)"
TIME_ORDER = "masks drawn in time order"
HARD = "a hard sigmoid "

EXPECTED: dict[type, tuple[str, ...]] = {
    masks.MaskKeptOverTime: (KEPT_ANEW,),
    masks.DropsTheInput: (INPUT,),
    masks.DropsTheLastLayer: (f"{LAST} and in its hn",),
    masks.DropsTheOutputOnly: (LAST,),
    masks.DropsTheOldState: (f"{CARRIED}(before each step, by one mask for all layers)",),
    masks.CarriesDroppedStates: (CARRIED_UP,),
    masks.RowsShareAMask: (OVER_ROWS,),
    rates.KeptValuesAreNotScaled: (NOT_SCALED,),
    rates.NeverDrops: ("no dropout, although it takes a rate",),
    draws.DrawsOneMore: (UNUSED_LAST,),
    draws.DrawsOneMoreFirst: (f"{UNUSED}before the first layer and discarded",),
    states.SharesTheFirstState: ("the first layer's h0 used for all layers",),
    states.ResidualFromTheThirdLayer: ("residual connections from the third layer on",),
    states.OneCellForUpperLayers: ("one cell shared by all layers above the first",),
    equations.UpdateGateComplemented: (COMPLEMENT,),
    equations.ResetBeforeTheProduct: (RESET,),
    equations.BiasOutsideTheReset: ("b_hn outside the reset product",),
    equations.NoBiasOfTheState: (NO_STATE_BIAS,),
    equations.BiasesOfGatesSwapped: ("gates in the order z, r, n in bias_ih and bias_hh alone",),
    equations.ResetOfBothProducts: ("the reset gate applied to all of the candidate's sum",),
    equations.HardGates: (f"{HARD}(x / 6 + 1/2, clipped to 0 and 1)",),
    sequences.StartsAnewAtEveryStep: ("a state that starts again from h0 every step",),
    # Of more than 16 steps it would be none; in training it draws its masks in two parts.
    sequences.ForgetsAfterEightSteps: ("a state that starts again from zeros every 8 steps",),
    sequence_masks.OneMaskForAllSteps: (KEPT,),
    sequence_masks.OneMaskForAllStepsThoughAllAreDrawn: (KEPT_ANEW,),
    sequence_masks.OneMaskForAllRows: (OVER_ROWS,),
    sequence_masks.DropsItsOutputs: (LAST,),
    sequence_masks.DropsItsInputs: (INPUT,),
    sequence_masks.DropsWhatItCarries: (f"{CARRIED}(before each step)",),
    sequence_masks.OneMoreMask: (UNUSED_LAST,),
    sequence_masks.OneMoreMaskEveryStep: (UNUSED_LAST, TIME_ORDER),
    sequence_masks.OutputsAreNotScaled: (NOT_SCALED,),
    variants.GatesUpdateFirst: ("gates in the order z, r, n",),
    variants.GatesCandidateFirst: ("gates in the order n, r, z",),
    variants.NoBiasOfTheInput: (NO_INPUT_BIAS,),
    variants.NoStateBiasInTheCandidate: ("no b_hn",),
    variants.HardGatesOfKeras: (f"{HARD}(0.2 x + 1/2, clipped to 0 and 1)",),
    variants.OneCellForAll: ("one cell shared by all layers",),
    variants.IgnoresItsState: ("zeros in place of h0, which is ignored",),
    variants.SharesTheLastState: ("the last layer's h0 used for all layers",),
    variants.ResidualAfterDropout: (
        "residual connections from the second layer on (added after dropout)",
    ),
    variants.MaskDrawnOnce: (KEPT,),
    variants.DropsEachOldState: (f"{CARRIED}(before each step)",),
    variants.DropsEachNewState: (f"{CARRIED}(after each step, by a separate mask)",),
    variants.ComplementedAndLastDropped: (COMPLEMENT, LAST),
    variants.ResetBeforeAndOneBias: (RESET, NO_STATE_BIAS),
    variants.InputAndLastDropped: (LAST, INPUT),
    variants.OutputsDroppedInTimeOrder: (LAST, TIME_ORDER),
    variants.ResetBeforeOverTime: (RESET,),
    variants.CarriesAndGivesDropped: (LAST, CARRIED_UP),
}
