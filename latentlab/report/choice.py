"""Which of several measurements of one metric the tables show, and which stand behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentlab.report.comparison import differences
from latentlab.report.inputs import ReportRun
from latentlab.results import METRICS, MetricResult, is_image_distance


@dataclass(frozen=True)
class Further:
    """A measurement that the tables do not show, and in what it differs from the one that they do.

    Attributes:
        run: Whose.
        result: The newest of these settings.
        differences: Settings and their values here, such as `interpolation: lerp`.
    """

    run: ReportRun
    result: MetricResult
    differences: list[str]


def further_measurements(runs: Sequence[ReportRun]) -> list[Further]:
    """Numbers of the network that is shown, measured by other settings than those shown; disentanglement apart."""
    found = []
    for run in runs:
        chosen = run.shown
        for metric in (*METRICS, *sorted(filter(is_image_distance, chosen))):
            newest = {
                repr(sorted(result.protocol.items())): result for result in run.results if result.metric == metric
            }
            for result in newest.values():
                best = chosen[metric]
                if result.network.sha256 != best.network.sha256 or result.comparable_with(best):
                    continue
                fields = differences([best, result])
                found.append(Further(run, result, [f"{name}: {values[1]}" for name, values in fields.items()]))
    return found
