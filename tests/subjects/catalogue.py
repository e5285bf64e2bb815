"""The catalogue of faults: broken implementations, each a few lines over a right one.

For every law one that it catches is in CAUGHT_BY. The seed's example (one step, float32, sizes 5,
10, 3, rate 0.1, batch 7) accepts every one of those; tests/laws/test_laws.py shows both.
"""

from __future__ import annotations

from types import ModuleType

from torch import nn

from tests.subjects import classes_in
from tests.subjects.broken import (
    both_ways,
    calls,
    conduct,
    contexts,
    derivatives,
    draws,
    drop_in,
    equations,
    forms,
    generators,
    gradients,
    half,
    layouts,
    life,
    masks,
    nested,
    packed,
    parameters,
    passes,
    precision,
    rare_inputs,
    rates,
    refusals,
    results,
    sequence_contexts,
    sequence_life,
    sequence_masks,
    sequence_parameters,
    sequence_results,
    sequence_states,
    sequences,
    situations,
    sizes,
    states,
    stored,
    strict_only,
    unbatched,
    under_autocast,
    variants,
    ways,
)
from tests.subjects.right.sequences import LayerByLayer, StepByStep


def _faults(*modules: ModuleType) -> tuple[type[nn.Module], ...]:
    return classes_in(*(module.__name__ for module in modules))


def _kind(is_sequence: bool) -> tuple[type[nn.Module], ...]:
    """Return the known variants that are cells, or sequence modules."""
    sequences = (LayerByLayer, StepByStep, variants.CarriesAndGivesDropped)
    found = _faults(variants)
    return tuple(one for one in found if issubclass(one, sequences) == is_sequence)


#: Wrong, and within what rounding may do: no law that holds for nn.GRU sees them. The last one
#: refuses an input in half precision under autocast, for which right ones differ in dtype.
UNSEEN = (
    half.SumsInBfloat16,
    half.Float16ByWayOfBfloat16,
    half.BitsLostWithDepth,
    half.SlopesCutOffInBfloat16,
    under_autocast.AutocastAlwaysToBfloat16,
    under_autocast.AutocastOffInside,
)


def _seen(*modules: ModuleType) -> tuple[type[nn.Module], ...]:
    return tuple(one for one in _faults(*modules) if one not in UNSEEN)


#: Broken cells, topic by topic.
CELLS = (
    *_kind(is_sequence=False),
    *_faults(masks, rates, draws, states, equations, precision, rare_inputs),
    *_faults(gradients, derivatives, calls, conduct, contexts, life, sizes, ways),
    *_faults(results, passes, stored, nested, parameters, generators),
    *_seen(half, under_autocast, situations),
)

#: Broken sequence modules.
SEQUENCES = (
    *_kind(is_sequence=True),
    *_faults(sequences, sequence_masks, layouts, forms, packed, unbatched, both_ways),
    *_faults(sequence_states, sequence_results, sequence_life, sequence_parameters),
    *_faults(sequence_contexts),
)

#: Violations with --strict only: what they take that nn.GRU refuses, the other way round, and
#: those that are not built, called or loaded as nn.GRU is.
REFUSALS = _faults(refusals, strict_only, drop_in)

#: All of them, each once.
FAULTS = tuple(dict.fromkeys((*CELLS, *SEQUENCES, *REFUSALS)))

#: For every law a fault that it catches, and says best what is wrong with.
CAUGHT_BY = {
    "equation": precision.Gain,
    "one-step": rates.RateCapped,
    "unrolled": states.KeepsTheFirstState,
    "same-masks": masks.MaskKeptOverTime,
    "hn-is-last": states.OutputApart,
    "chunks": states.Tires,
    "rows": states.MixesRows,
    "causal": sequences.SeesTheFuture,
    "default-state": states.StartsFromOnes,
    "bounded": equations.Overshoots,
    "magnitudes": rare_inputs.LargeNegativeStateLosesItsSign,
    "not-finite": contexts.RefusesNan,
    "dtypes": calls.OnesOfTheDefaultDtype,
    "autocast": calls.OtherwiseUnderAutocast,
    "layouts": layouts.PackedStateInSinglePrecision,
    "bidirectional": layouts.DirectionsSwapped,
    "empty-batch": calls.SkipsAnEmptyBatch,
    "same-draws": draws.DrawsOneMore,
    "no-draws": draws.DrawsInEval,
    "repeatable": conduct.Drifts,
    "mask-count": masks.MaskSharedOverLargeBatch,
    "seed-matters": rates.IgnoresMasksOfHighRates,
    "order-matters": masks.MaskOfTheStepBefore,
    "first-step-is-not-hn": states.RemembersItsFirstStep,
    "mode-matters": rates.OneRowIsNotDropped,
    "everything-matters": rare_inputs.NarrowWithoutBias,
    "gradients": gradients.StatesDetached,
    "second-derivatives": derivatives.SecondDerivativesCutOff,
    "frozen": derivatives.FrozenBelowDetaches,
    "forward-mode": derivatives.NoForwardMode,
    "training": life.KeepsTransposedWeights,
    "unbiased": half.TruncatesToBfloat16,
    "autocast-gradients": under_autocast.AutocastReadsByData,
    "results": results.OneLayerSharesItsMemory,
    "passes": passes.ForgetsGradientsThatAreThere,
    "parameters": parameters.UnusedGain,
    "generators": generators.SkipsLayersAtRateZero,
    "released": stored.KeepsItsLastResults,
    "in-threads": stored.CollectsStatesOnItself,
    "hooks": stored.HooksPassedBy,
    "nested": nested.CopiesUntieAParent,
    "inherited": nested.FreezesItsWeightsOnly,
    "replaced": stored.ViewsOfItsWeights,
    "parametrised": sequence_life.PrunedBiasesAreLeftOut,
    "calls-under-autocast": under_autocast.KeepsCastsForEver,
    "trace": strict_only.TracesItsRows,
    "purity": conduct.WritesToItsState,
    "stateless": conduct.OverwritesItsLastResult,
    "strided": contexts.ReadsTheInputAsContiguous,
    "meta": contexts.StatesOnTheCpu,
    "drop-in": drop_in.RateBeforeBatchFirst,
    "refusals": refusals.CutsTheInput,
    "life": life.CopiesForgetTheRate,
    "functional-call": calls.HoldsItsWeights,
    "checkpoint": calls.DetachesEverySecondCall,
    "script": contexts.OtherwiseWhenScripted,
    "export": calls.TracedInPart,
    "compile": contexts.OtherwiseWhenCompiled,
    "vmap": calls.HoldsItsWeights,
}
