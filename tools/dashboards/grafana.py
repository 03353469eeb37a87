"""Conversion of panes to Grafana's classic dashboards, which every Grafana since 9 imports, by grafana-foundation-sdk.

Rule: this is the only module that imports the SDK, whose types are generated from Grafana's schema. `problems()`
compares a document with them. An unknown field and a value of another type are problems.
"""

import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboards import queries
from tools.dashboards.panes import INSTANT, Dashboard, Kind, Pane, Query, Variable

TAG = "image-gateway"
SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")
ON_LOAD = model.VariableRefresh.ON_TIME_RANGE_CHANGED
EVERYTHING = ".*"
Panel = timeseries.Panel | stat.Panel | bargauge.Panel | table.Panel | statetimeline.Panel


def document(spec: Dashboard) -> str:
    """Return a dashboard as JSON, as it is checked in."""
    made = json.loads(json.dumps(dashboard(spec).build(), cls=JSONEncoder))
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def dashboard(spec: Dashboard) -> build.Dashboard:
    made = (
        build.Dashboard(spec.title)
        .uid(f"{TAG}-{spec.name}")
        .description(spec.says)
        .tags([TAG])
        .timezone("utc")
        .editable()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(spec.since, "now")
        .refresh("1m")
        .link(_others())
        .with_variable(_datasource())
        .annotation(_annotation("Deploys", queries.deploys(), "blue", "{{version}}"))
        .annotation(_annotation("Reloads", queries.reloads(), "green", "settings reloaded"))
        .annotation(_annotation("Refused settings", queries.reloads_refused(), "red", "what lies on disk was refused"))
    )
    for variable in spec.variables:
        made.with_variable(_variable(variable))
    return _filled(made, spec)


def _filled(made: build.Dashboard, spec: Dashboard) -> build.Dashboard:
    """Add the rows and panels, numbered in their order."""
    number = 0
    for section in spec.sections:
        number += 1
        made.with_row(build.Row(section.title).id(number))
        for pane in section.panes:
            number += 1
            made.with_panel(_panel(pane).id(number))
    return made


def _others() -> build.DashboardLink:
    link = build.DashboardLink("Image gateway").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.tooltip("The other dashboards, with what is chosen here").include_vars(True).keep_time(True)


def _annotation(name: str, expr: str, color: str, text: str) -> build.AnnotationQuery:
    query = build.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color)
    return query.expr(expr).step("60s").title_format(name).text_format(text)


def _datasource() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _variable(chosen: Variable) -> build.QueryVariable:
    query = f"label_values({chosen.metric}, {chosen.name})"
    made = build.QueryVariable(chosen.name).label(chosen.name.capitalize()).datasource(SOURCE).query(query)
    made.definition(query).refresh(ON_LOAD).sort(model.VariableSort.ALPHABETICAL_ASC)
    if chosen.many:
        every = model.VariableOption(selected=True, text="All", value="$__all")
        return made.multi(True).include_all(True).all_value(EVERYTHING).current(every)
    return made.regex("/.+/")


def _panel(pane: Pane) -> Panel:
    panel = MAKERS[pane.kind](pane)
    panel.title(pane.title).description(pane.says).datasource(SOURCE).unit(pane.unit)
    panel.span(pane.width).height(pane.height)
    for place, query in enumerate(pane.queries):
        panel.with_target(_target(pane, query, chr(ord("A") + place)))
    for value, ask in ((pane.low, panel.min), (pane.high, panel.max), (pane.decimals, panel.decimals)):
        if value is not None:
            ask(value)
    return _dressed(pane, panel)


def _dressed(pane: Pane, panel: Panel) -> Panel:
    """Add colours, names of values, a time range of its own, and links."""
    steps = [model.Threshold(value=value, color=color) for value, color in pane.steps]
    panel.thresholds(build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    if pane.states:
        panel.mappings([model.ValueMap(options=_named(pane))])
    if pane.since:
        panel.time_from(pane.since)
    if pane.empty is not None:
        panel.no_value(pane.empty)
    if pane.team_link:
        address = f"/d/{TAG}-team?${{datasource:queryparam}}&${{__url_time_range}}&var-team=${{__field.labels.team}}"
        panel.data_links([build.DashboardLink("This team").url(address).type(model.DashboardLinkType.LINK)])
    return panel


def _named(pane: Pane) -> dict[str, model.ValueMappingResult]:
    return {str(value): model.ValueMappingResult(text=text, color=color) for value, text, color in pane.states}


def _target(pane: Pane, query: Query, name: str) -> Dataquery:
    target = Dataquery().expr(query.expr).ref_id(name).datasource(SOURCE)
    target.legend_format(query.legend or "__auto")
    if pane.kind not in INSTANT:
        return target.range()
    target.instant()
    return target.format(PromQueryFormat.TABLE) if pane.kind is Kind.TABLE else target


def _lines(pane: Pane) -> Panel:
    stacking = common.StackingConfig().mode(shapes.StackingMode.NORMAL if pane.stacked else shapes.StackingMode.NONE)
    legend = common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST).show_legend(True)
    style = shapes.GraphThresholdsStyleMode.DASHED if len(pane.steps) > 1 else shapes.GraphThresholdsStyleMode.OFF
    panel = timeseries.Panel().fill_opacity(30 if pane.stacked else 8).line_width(1).stacking(stacking)
    panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(style)).show_points(shapes.VisibilityMode.NEVER)
    panel.legend(legend.placement(shapes.LegendPlacement.BOTTOM))
    return panel.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI))


def _latest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _number(pane: Pane) -> Panel:
    mode = shapes.BigValueColorMode.VALUE
    graph = shapes.BigValueGraphMode.NONE
    text = shapes.BigValueTextMode.VALUE_AND_NAME if pane.queries[0].legend else shapes.BigValueTextMode.AUTO
    return stat.Panel().reduce_options(_latest()).color_mode(mode).graph_mode(graph).text_mode(text)


def _bars(pane: Pane) -> Panel:
    del pane
    horizontal = shapes.VizOrientation.HORIZONTAL
    return bargauge.Panel().reduce_options(_latest()).orientation(horizontal).show_unfilled(True)


def _table(pane: Pane) -> Panel:
    """Build a table of labels and values. Several queries are joined by their labels."""
    names = {f"Value #{chr(ord('A') + place)}": query.legend for place, query in enumerate(pane.queries)}
    if len(pane.queries) == 1:
        names = {"Value": pane.queries[0].legend}
    panel = table.Panel()
    if len(pane.queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    tidy = {"excludeByName": {"Time": True}, "renameByName": names}
    return panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=tidy))


def _states(pane: Pane) -> Panel:
    del pane
    return statetimeline.Panel().merge_values(True).show_value(shapes.VisibilityMode.AUTO)


MAKERS: Mapping[Kind, Callable[[Pane], Panel]] = {
    Kind.LINES: _lines,
    Kind.NUMBER: _number,
    Kind.BARS: _bars,
    Kind.TABLE: _table,
    Kind.STATES: _states,
}


def problems(text: str) -> list[str]:
    """Return the places where a document differs from Grafana's schema."""
    register_default_plugins()
    written = json.loads(text)
    typed = model.Dashboard.from_json(written)
    back = json.loads(json.dumps(typed, cls=JSONEncoder))
    return [*_lost(written, back, ""), *_mistyped(typed, "")]


def _lost(written: Any, back: Any, place: str) -> Iterator[str]:
    """Yield the values that the SDK's types did not keep."""
    if isinstance(written, dict) and isinstance(back, dict):
        for name in written.keys() | back.keys():
            yield from _lost(written.get(name), back.get(name), f"{place}/{name}")
    elif isinstance(written, list) and isinstance(back, list) and len(written) == len(back):
        for number, (one, other) in enumerate(zip(written, back, strict=True)):
            yield from _lost(one, other, f"{place}/{number}")
    elif written != back:
        yield f"{place}: {written!r} became {back!r}"


def _mistyped(value: Any, place: str) -> Iterator[str]:
    """Yield the fields whose value has another type than the field."""
    if not type(value).__module__.startswith("grafana_foundation_sdk.models"):
        return
    for name, hint in typing.get_type_hints(type(value)).items():
        held = getattr(value, name)
        if not _fits(held, hint):
            yield f"{place}/{name}: {held!r} is no {hint}"
        for number, part in enumerate(held if isinstance(held, list) else [held]):
            yield from _mistyped(part, f"{place}/{name}/{number}")


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in {Any, object}:
        return True
    if origin in {typing.Union, types.UnionType}:
        return any(_fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    return _is(value, hint)


def _is(value: Any, hint: type) -> bool:
    if issubclass(hint, Enum):
        return value in {member.value for member in hint}
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, dict) and hasattr(hint, "from_json"):  # some lists are handed on by the SDK as they came
        return not [*_mistyped(hint.from_json(value), "")]
    return isinstance(value, hint)
