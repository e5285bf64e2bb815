"""The faults of the catalogue that are known variants of nn.GRU, and what each is called."""

from __future__ import annotations

from tests.subjects.broken import draws, equations, masks, rates, sequence_masks, states, variants

RESET = "the reset gate before the product (Cho et al. v3, ONNX linear_before_reset = 0)"
COMPLEMENT = "the update gate complemented, h' = z n + (1 - z) h"
NO_STATE_BIAS = "one bias instead of two: b_hh is left out"
NO_INPUT_BIAS = "one bias instead of two: b_ih is left out"
LAST = "dropout also after the last layer"
INPUT = "dropout also on the input"
CARRIED = "dropout also on the carried state: "
KEPT = "a mask kept over time (variational)"
KEPT_ANEW = f"{KEPT}, though one is drawn for every step"
OVER_ROWS = "a mask shared over the batch"
UNUSED = "an extra mask, drawn "
NOT_SCALED = "the scaling by 1 / (1 - p) missing"
TIME_ORDER = "masks in time order"
HARD = "a hard sigmoid, "

EXPECTED: dict[type, tuple[str, ...]] = {
    masks.MaskKeptOverTime: (KEPT_ANEW,),
    masks.DropsTheInput: (INPUT,),
    masks.DropsTheLastLayer: (f"{LAST}, and in its hn",),
    masks.DropsTheOutputOnly: (LAST,),
    masks.DropsTheOldState: (f"{CARRIED}before each step, by one mask for all layers",),
    masks.CarriesDroppedStates: (f"{CARRIED}hn and what is carried on as they go up",),
    masks.RowsShareAMask: (OVER_ROWS,),
    rates.KeptValuesAreNotScaled: (NOT_SCALED,),
    draws.DrawsOneMore: (f"{UNUSED}after the last layer and thrown away",),
    draws.DrawsOneMoreFirst: (f"{UNUSED}before the first layer and thrown away",),
    states.SharesTheFirstState: ("the first layer's h0 for all layers",),
    states.ResidualFromTheThirdLayer: ("residuals from the third layer on",),
    states.OneCellForUpperLayers: ("one cell used for all layers above the first",),
    equations.UpdateGateComplemented: (COMPLEMENT,),
    equations.ResetBeforeTheProduct: (RESET,),
    equations.BiasOutsideTheReset: ("b_hn outside the reset product",),
    equations.NoBiasOfTheState: (NO_STATE_BIAS,),
    equations.HardGates: (f"{HARD}x / 6 + 1/2 cut off at 0 and 1",),
    sequence_masks.OneMaskForAllSteps: (KEPT,),
    sequence_masks.OneMaskForAllStepsThoughAllAreDrawn: (KEPT_ANEW,),
    sequence_masks.OneMaskForAllRows: (OVER_ROWS,),
    sequence_masks.DropsItsOutputs: (LAST,),
    sequence_masks.DropsItsInputs: (INPUT,),
    sequence_masks.DropsWhatItCarries: (f"{CARRIED}before each step",),
    sequence_masks.OneMoreMask: (f"{UNUSED}after the last layer and thrown away",),
    sequence_masks.OneMoreMaskEveryStep: (
        f"{UNUSED}after the last layer and thrown away",
        TIME_ORDER,
    ),
    sequence_masks.OutputsAreNotScaled: (NOT_SCALED,),
    variants.GatesUpdateFirst: ("gates in the order z, r, n",),
    variants.GatesCandidateFirst: ("gates in the order n, r, z",),
    variants.NoBiasOfTheInput: (NO_INPUT_BIAS,),
    variants.NoStateBiasInTheCandidate: ("b_hn missing",),
    variants.HardGatesOfKeras: (f"{HARD}0.2 x + 1/2 cut off at 0 and 1",),
    variants.OneCellForAll: ("one cell used for all layers",),
    variants.SharesTheLastState: ("the last layer's h0 for all layers",),
    variants.ResidualAfterDropout: ("residuals from the second layer on, added after dropout",),
    variants.MaskDrawnOnce: (KEPT,),
    variants.DropsEachOldState: (f"{CARRIED}before each step",),
    variants.DropsEachNewState: (f"{CARRIED}after each step, by a mask of its own",),
    variants.ComplementedAndLastDropped: (COMPLEMENT, LAST),
    variants.ResetBeforeAndOneBias: (RESET, NO_STATE_BIAS),
    variants.InputAndLastDropped: (LAST, INPUT),
    variants.OutputsDroppedInTimeOrder: (LAST, TIME_ORDER),
    variants.ResetBeforeOverTime: (RESET,),
    variants.CarriesAndGivesDropped: (
        LAST,
        f"{CARRIED}hn and what is carried on as they go up",
    ),
}
