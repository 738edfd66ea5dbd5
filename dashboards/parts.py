"""The parts that all dashboards are made of, so that they look and read alike.

Built with grafana-foundation-sdk, Grafana's own builders, of the version that docker-compose.yml runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
PREFIX = "sre-lab"
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24

Panel = Builder[models.Panel]


@dataclass(frozen=True)
class Query:
    """One query of a panel and the name of what it gives; `{{label}}` stands for a label's value."""

    expr: str
    name: str


@dataclass(frozen=True)
class Value:
    """One number of a `stat` panel, with a unit and limits of its own."""

    name: str
    expr: str
    unit: str
    limits: Sequence[models.Threshold] = ()
    decimals: int | None = None


def above(yellow: float, red: float | None = None) -> list[models.Threshold]:
    """Good below, then yellow, then red; with one limit, red from there on."""
    return _limits(GREEN, [(yellow, RED)] if red is None else [(yellow, YELLOW), (red, RED)])


def below(yellow: float, red: float | None = None) -> list[models.Threshold]:
    """Good from the limit on: red below `red`, yellow below `yellow`; with one limit, red below it."""
    return _limits(RED, [(yellow, GREEN)] if red is None else [(red, YELLOW), (yellow, GREEN)])


def neutral() -> list[models.Threshold]:
    """A number that is neither good nor bad."""
    return _limits(BLUE, [])


def _limits(base: str, steps: list[tuple[float, str]]) -> list[models.Threshold]:
    return [models.Threshold(None, base), *(models.Threshold(float(at), color) for at, color in steps)]


def stats(title: str, description: str, *values: Value, to: str | None = None, width: int = 4, height: int = 4) -> Panel:
    """One number, or several under each other, each with its own unit and colour."""
    panel = (stat.Panel().title(title).description(description).span(width).height(height).datasource(DATASOURCE)
             .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields(""))
             .color_mode(common_models.BigValueColorMode.VALUE)
             .graph_mode(common_models.BigValueGraphMode.AREA if len(values) == 1 else common_models.BigValueGraphMode.NONE)
             .orientation(common_models.VizOrientation.HORIZONTAL)
             .text_mode(common_models.BigValueTextMode.VALUE if len(values) == 1 else common_models.BigValueTextMode.VALUE_AND_NAME)
             .unit(values[0].unit).thresholds(_thresholds(values[0].limits)))
    if values[0].decimals is not None:
        panel.decimals(values[0].decimals)
    # Of several numbers, only what is there now: the last one that ever was would look well when its source is down.
    _ask(panel, [Query(value.expr, value.name) for value in values], instant=len(values) > 1)
    for value in values[1:]:
        panel.override_by_name(value.name, _override(value))
    return _linked(panel, to)


def graph(title: str, description: str, unit: str, *queries: Query, limits: Sequence[models.Threshold] = (),
          stacked: bool = False, bars: bool = False, to: str | None = None, width: int = 8, height: int = 8,
          minimum: float | None = 0, maximum: float | None = None) -> Panel:
    """Lines over time; limits are shown as areas."""
    panel = (timeseries.Panel().title(title).description(description).span(width).height(height).datasource(DATASOURCE)
             .unit(unit).thresholds(_thresholds(limits)).line_width(1).fill_opacity(30 if stacked or bars else 8)
             .show_points(common_models.VisibilityMode.NEVER)
             .legend(common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST)
                     .placement(common_models.LegendPlacement.BOTTOM).show_legend(True).calcs(["lastNotNull"]))
             .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
                      .sort(common_models.SortOrder.DESCENDING)))
    if minimum is not None:
        panel.min(minimum)
    if maximum is not None:
        panel.max(maximum)
    if bars:
        panel.draw_style(common_models.GraphDrawStyle.BARS)
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if limits:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED_AND_AREA))
    _ask(panel, queries)
    return _linked(panel, to)


def states(title: str, description: str, *queries: Query, names: dict[int, tuple[str, str]], width: int = COLUMNS,
           height: int = 8) -> Panel:
    """What was on or off, and when; `names` gives word and colour of each value."""
    panel = (statetimeline.Panel().title(title).description(description).span(width).height(height)
             .datasource(DATASOURCE).unit("none").thresholds(_thresholds(neutral())).fill_opacity(80)
             .row_height(0.8).merge_values(True).show_value(common_models.VisibilityMode.NEVER)
             .legend(common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST)
                     .placement(common_models.LegendPlacement.BOTTOM).show_legend(True))
             .mappings([models.ValueMap({str(value): models.ValueMappingResult(text=word, color=color, index=index)
                                         for index, (value, (word, color)) in enumerate(names.items())})]))
    _ask(panel, queries)
    return panel


def variable(name: str, label: str, metric: str, of: str) -> Builder[models.VariableModel]:
    """All values of label `of`, of which one, several or all can be chosen."""
    query = f"label_values({metric}, {of})"
    return (builders.QueryVariable(name).label(label).datasource(DATASOURCE).query({"query": query, "refId": name})
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True).include_all(True).all_value(".*")
            .current(models.VariableOption(text=["All"], value=["$__all"])))


def dashboard(name: str, title: str, description: str, rows: Sequence[tuple[str, Sequence[Panel]]],
              variables: Sequence[Builder[models.VariableModel]] = (),
              annotations: Sequence[Builder[models.AnnotationQuery]] = ()) -> builders.Dashboard:
    """A dashboard of titled rows of panels; its uid is the name with the lab's prefix."""
    made = (builders.Dashboard(title).uid(f"{PREFIX}-{name}").description(description).tags([PREFIX])
            .timezone("browser").time("now-15m", "now").refresh("5s").readonly()
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .timepicker(builders.TimePicker().refresh_intervals(["5s", "10s", "30s", "1m"]))
            .link(builders.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS).tags([PREFIX])
                  .keep_time(True))
            .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
                           .current(models.VariableOption(text="Prometheus", value="prometheus")))
            .annotation(builders.AnnotationQuery().name("Alerts").enable(True).hide(False).icon_color(RED)
                        .datasource(DATASOURCE).expr('ALERTS{alertstate="firing"}')))
    for one in variables:
        made.with_variable(one)
    for one in annotations:
        made.annotation(one)
    number = 0
    for heading, panels in rows:
        number += 1
        made.with_row(builders.Row(heading).id(number))
        for panel in panels:
            number += 1
            made.with_panel(panel.id(number))
    return made


def _ask(panel, queries: Sequence[Query], instant: bool = False) -> None:
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).datasource(DATASOURCE).expr(query.expr).legend_format(query.name)
        panel.with_target(target.instant() if instant else target.range())


def _thresholds(limits: Sequence[models.Threshold]) -> builders.ThresholdsConfig:
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(list(limits) or neutral())


def _override(value: Value) -> list[models.DynamicConfigValue]:
    properties = [models.DynamicConfigValue("unit", value.unit),
                  models.DynamicConfigValue("thresholds", _thresholds(value.limits).build().to_json())]
    if value.decimals is not None:
        properties.append(models.DynamicConfigValue("decimals", value.decimals))
    return properties


def _linked(panel: Panel, to: str | None) -> Panel:
    """With the link to the dashboard that says more."""
    if to is None:
        return panel
    return panel.links([builders.DashboardLink(f"More: {to}").type(models.DashboardLinkType.LINK)
                        .url(f"/d/{PREFIX}-{to}?${{__url_time_range}}&${{__all_variables}}")])
