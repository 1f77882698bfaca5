"""The few kinds of panels that the dashboards are made of."""

from __future__ import annotations

import itertools
import string

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from infra.grafana import SOURCE

DATA = DataSourceRef(type_val="prometheus", uid=SOURCE)
HEIGHT, WHOLE = 8, 24
# (expression, legend)
Query = tuple[str, str]
Panel = timeseries.Panel | stat.Panel | statetimeline.Panel


def _targets(queries: tuple[Query, ...]) -> list[prometheus.Dataquery]:
    named = zip(string.ascii_uppercase, queries, strict=False)
    return [
        prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).datasource(DATA)
        for letter, (expression, legend) in named
    ]


def lines(title: str, unit: str, *queries: Query, about: str = "", span: int = 12, stacked: bool = False) -> Panel:
    """Curves over time."""
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.BOTTOM)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .unit(unit)
        .min(0)
        .span(span)
        .height(HEIGHT)
        .datasource(DATA)
        .fill_opacity(20 if stacked else 0)
        .legend(legend.calcs(["lastNotNull", "max"]).show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for target in _targets(queries):
        panel = panel.with_target(target)
    return panel


def number(title: str, unit: str, *queries: Query, about: str = "", span: int = 4) -> Panel:
    """What is now."""
    panel = stat.Panel().title(title).description(about).unit(unit).span(span).height(4).datasource(DATA)
    last = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    panel = panel.color_mode(BigValueColorMode.VALUE).reduce_options(last)
    for target in _targets(queries):
        panel = panel.with_target(target)
    return panel


def states(title: str, *queries: Query, about: str = "", span: int = 12) -> Panel:
    """What holds when, one row a series."""
    panel = statetimeline.Panel().title(title).description(about).span(span).height(HEIGHT).datasource(DATA)
    for target in _targets(queries):
        panel = panel.with_target(target)
    return panel


def choice(name: str, series: str) -> dashboard.QueryVariable:
    """A variable with all values of the label `name` of these series."""
    everything = VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable(name)
        .label(name)
        .datasource(DATA)
        .query(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def page(
    name: str, title: str, *panels: Panel, variables: tuple[dashboard.QueryVariable, ...] = ()
) -> dashboard.Dashboard:
    """A dashboard whose address stays the same however often it is made."""
    made = (
        dashboard.Dashboard(f"BMASE {title}")
        .uid(f"bmase-{name}")
        .tags(["bmase"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
    )
    for variable in variables:
        made = made.with_variable(variable)
    for panel, number_of in zip(panels, itertools.count(1), strict=False):
        made = made.with_panel(panel.id(number_of))
    return made
