// Draws the charts that lab/console/charts.py describes, and keeps them fresh. Lines are drawn by uPlot (a global of
// vendor/uPlot.iife.min.js); states and numbers are plain elements.

const PALETTE = 7; // --chart-series-1 … of charts.css
const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3]]; // lines differ without colour, too
const BORDERS = ["solid", "dashed", "dotted", "dashed"]; // the same in the legend
// Round numbers: of minutes, hours, days and bytes, and of all else.
const ROUND = { 60: [1, 2, 5, 10, 15, 30], 24: [1, 2, 3, 6, 12], 1024: Array.from({ length: 10 }, (_, power) => 2 ** power) };
const DECADES = Array.from({ length: 18 }, (_, power) => [1, 2, 5].map((digit) => Number(`${digit}e${power - 9}`))).flat();
const LONGEST_PAUSE = 30; // seconds between attempts while nothing answers
const views = new WeakMap();

/**
 * Draws the chart into the element, or updates the one that is there; zoom, cursor and hidden lines stay. With
 * `data-titled` the page has its title already.
 */
export function draw(element, chart) {
  if (!views.has(element)) {
    element.classList.add("chart");
    if (!("titled" in element.dataset)) add(element, "h3").textContent = chart.title;
    const body = add(element, "div", "chart-body");
    views.set(element, { body, update: KINDS[chart.kind](body), empty: add(element, "p", "chart-empty", "No data") });
  }
  const view = views.get(element);
  const hasData = chart.series.some((one) => one.points.length);
  view.body.hidden = !hasData;
  view.empty.hidden = hasData;
  if (hasData) view.update(chart);
}

const KINDS = { lines, states, stat };

function add(parent, tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return parent.appendChild(element);
}

// -- numbers, times, colours --

/** The value in the unit whose scale this is: the rules of dashboards/units.py. */
export function shown(value, scale, decimals = null) {
  const [size, name] = scale.find(([size]) => Math.abs(value || 1) >= size) ?? scale.at(-1);
  return number(value / size, decimals) + name;
}

function number(value, decimals) {
  if (decimals !== null) return value.toFixed(decimals);
  const text = value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** The values of an axis, with as many decimals as tell neighbours apart. */
function ticks(values, scale, step) {
  return values.map((value) => {
    const [size] = scale.find(([size]) => Math.abs(value || step) >= size) ?? scale.at(-1);
    const decimals = value ? (String(Number((step / size).toPrecision(6))).split(".")[1] ?? "").length : 0;
    return shown(value, scale, Math.min(decimals, 4));
  });
}

/** What an axis in this unit counts by: round numbers of each of its sizes. */
function increments(scale) {
  const sizes = scale.map(([size]) => size).reverse();
  const found = DECADES.map((decade) => sizes[0] * decade).filter((one) => one < sizes[0]);
  sizes.forEach((size, index) => {
    const ratio = (sizes[index + 1] ?? Infinity) / size;
    found.push(...(ROUND[ratio] ?? DECADES).filter((factor) => factor >= 1 && factor < ratio).map((factor) => size * factor));
  });
  return found.map((one) => Number(one.toPrecision(12)));
}

function clock(time, withSeconds = true) {
  return new Date(time * 1000).toLocaleTimeString("en-GB", withSeconds ? {} : { hour: "2-digit", minute: "2-digit" });
}

function last(series) {
  return series.points.at(-1)?.[1];
}

function reading(series, value) {
  return value == null ? "–" : shown(value, series.scale, series.decimals);
}

function variable(name) {
  return `var(--chart-${name})`;
}

function color(element, name) {
  return getComputedStyle(element).getPropertyValue(`--chart-${name}`);
}

function seriesColor(index) {
  return `series-${(index % PALETTE) + 1}`;
}

/** The colour of the last step that the value has reached. */
function stepColor(steps, value) {
  return steps.filter((step) => step.value === null || value >= step.value).at(-1).color;
}

/** The chart in words, for who does not see it. */
function describe(element, chart, wordsOf) {
  const values = chart.series.map((one) => `${one.name} ${wordsOf(one, last(one))}`.trim());
  const marks = chart.marks.map((mark) => `${mark.name} at ${clock(mark.time)}`);
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `${chart.title}: ${[...values, ...marks].join(", ")}`);
}

// -- lines --

function lines(body) {
  const host = add(body, "div", "chart-plot");
  const legend = add(body, "ul", "chart-legend");
  const spoken = add(body, "output", "hidden");
  const hidden = new Set();
  let chart, rows, plot, entries, names, zoom = null;

  host.tabIndex = 0;
  host.addEventListener("keydown", (event) => {
    const end = plot.data[0].length - 1;
    const at = plot.cursor.idx ?? end + 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: end }[event.key];
    if (event.key === "Escape") reset();
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(to, end));
    plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: plot.over.clientHeight / 2 });
    spoken.textContent = entries.map((entry) => entry.textContent).join(", ");
  });
  host.addEventListener("blur", () => plot.setCursor({ left: -10, top: -10 }));
  new ResizeObserver(() => plot?.setSize(size(host))).observe(host);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot?.redraw());

  function reset() {
    zoom = null;
    plot.setScale("x", range(chart.start, chart.end));
    plot.setCursor({ left: -10, top: -10 });
  }

  /** The values at the cursor; without one, the last. */
  function readings() {
    const index = plot.cursor.idx;
    entries[0].textContent = index == null ? "" : clock(plot.data[0][index]);
    chart.series.forEach((one, number) => {
      entries[number + 1].lastChild.textContent = reading(one, index == null ? last(one) : rows[number + 1][index]);
    });
  }

  function entry(one, number) {
    const button = add(add(legend, "li"), "button");
    button.type = "button";
    button.title = "Show or hide this line";
    const swatch = add(button, "span", "chart-swatch");
    swatch.style.borderColor = variable(seriesColor(number));
    swatch.style.borderStyle = chart.stacked ? "solid" : BORDERS[number % BORDERS.length];
    add(button, "span", "", one.name);
    add(button, "b");
    button.addEventListener("click", () => {
      hidden.has(one.name) ? hidden.delete(one.name) : hidden.add(one.name);
      fill();
    });
    return button;
  }

  function build() {
    legend.replaceChildren();
    entries = [add(legend, "li", "chart-time"), ...chart.series.map(entry)];
    plot?.destroy();
    plot = new uPlot(options(host, () => chart, readings, (selected) => {
      zoom = selected;
      plot.setScale("x", range(...zoom));
    }, reset), [[]], host);
  }

  function fill() {
    const visible = (one) => !hidden.has(one.name);
    chart.series.forEach((one, number) => {
      entries[number + 1].setAttribute("aria-pressed", visible(one));
      if (plot.series[number + 1].show !== visible(one)) plot.setSeries(number + 1, { show: visible(one) });
    });
    rows = table(chart);
    plot.batch(() => {
      plot.setData(chart.stacked ? stacked(rows, chart.series.map(visible)) : rows, false);
      plot.setScale("x", range(...(zoom ?? [chart.start, chart.end])));
    });
    readings();
  }

  return (next) => {
    chart = next;
    const wanted = JSON.stringify(chart.series.map((one) => one.name));
    if (wanted !== names) {
      names = wanted;
      build();
    }
    fill();
    describe(host, chart, reading);
  };
}

const range = (min, max) => ({ min, max });
const size = (host) => ({ width: Math.max(host.clientWidth, 80), height: Math.max(host.clientHeight, 80) });
const dash = (number) => DASHES[number % DASHES.length];

/** The series as uPlot wants them: one column of times, one of values each; null where a line has a gap. */
function table(chart) {
  return uPlot.join(chart.series.map((one) => {
    const times = [], values = [];
    one.points.forEach(([time, value], index) => {
      if (index && time - one.points[index - 1][0] > 1.5 * chart.step) {
        times.push(one.points[index - 1][0] + chart.step);
        values.push(null);
      }
      times.push(time);
      values.push(value);
    });
    return [times, values];
  }), chart.series.map(() => [0, 2])); // 2, uPlot's NULL_EXPAND: no value at all until the gap ends
}

/** Each visible column on top of those before it; where only some have a value, the others are 0. */
function stacked([times, ...columns], visible) {
  const sums = times.map((_time, row) => columns.some((column) => column[row] != null) ? 0 : null);
  return [times, ...columns.map((column, number) => column.map((value, row) =>
    sums[row] === null ? null : (sums[row] += visible[number] ? value ?? 0 : 0)))];
}

function options(host, chart, moved, zoomed, reset) {
  const first = chart();
  const axis = {
    stroke: () => color(host, "axis"), font: "11px system-ui, sans-serif",
    grid: { stroke: () => color(host, "grid"), width: 1 }, ticks: { show: false },
  };
  return {
    ...size(host),
    padding: [8, 12, 0, 0],
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_plot, low, high) => limitsOf(chart(), low, high) } },
    axes: [
      { ...axis, size: 26, space: 64, values: (_plot, times, _axis, _space, step) => times.map((time) => clock(time, step < 60)) },
      { ...axis, size: (_plot, texts) => 14 + 6.4 * Math.max(2, ...(texts ?? []).map((text) => text.length)), space: 28,
        incrs: increments(first.scale),
        values: (_plot, values, _axis, _space, step) => ticks(values, chart().scale, step) },
    ],
    series: [{}, ...first.series.map((one, number) => ({
      label: one.name, width: 1.5, points: { show: false },
      stroke: () => color(host, seriesColor(number)),
      fill: () => color(host, seriesColor(number)).trim() + (first.stacked ? "55" : "14"),
      dash: first.stacked ? [] : dash(number),
    }))],
    bands: first.stacked ? first.series.slice(1).map((_one, number) => ({ series: [number + 2, number + 1] })) : [],
    cursor: {
      drag: { x: true, y: false, setScale: false }, points: { size: 6 },
      sync: { key: "time", scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      bind: { dblclick: () => () => reset() },
    },
    hooks: {
      drawAxes: [(plot) => drawLimits(plot, chart(), (name) => color(host, name))],
      draw: [(plot) => drawMarks(plot, chart().marks, (name) => color(host, name))],
      setCursor: [() => moved()],
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width < 5) return;
        plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        zoomed([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
      }],
    },
  };
}

/** What the vertical axis spans: the data, the panel's bounds, and the objective. */
function limitsOf(chart, low, high) {
  const wanted = [low, high, chart.min, chart.max, chart.objective].filter((value) => value != null);
  const bottom = Math.min(...wanted), top = Math.max(...wanted);
  const spare = top > bottom ? (top - bottom) * 0.08 : Math.abs(top) || 1;
  return [bottom === chart.min || bottom === 0 ? bottom : bottom - spare, top === chart.max ? top : top + spare];
}

/** Areas and dashed lines of the thresholds, or of the objective. */
function drawLimits({ ctx, bbox, valToPos, scales }, chart, colorOf) {
  const broken = chart.comparison === ">=" ? ["red", "green"] : ["green", "red"];
  const steps = chart.objective == null ? chart.steps ?? []
    : [{ value: null, color: broken[0] }, { value: chart.objective, color: broken[1] }];
  const y = (value) => valToPos(Math.max(scales.y.min, Math.min(scales.y.max, value)), "y", true);
  ctx.save();
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash([6 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
  steps.forEach((step, index) => {
    const bottom = y(step.value ?? -Infinity), top = y(steps[index + 1]?.value ?? Infinity);
    ctx.fillStyle = ctx.strokeStyle = colorOf(step.color);
    ctx.globalAlpha = 0.1;
    if (step.color !== "green") ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
    if (step.value === null || step.value < scales.y.min || step.value > scales.y.max) return;
    if (chart.objective != null) ctx.strokeStyle = colorOf("red");
    ctx.globalAlpha = 0.9;
    ctx.beginPath();
    ctx.moveTo(bbox.left, bottom);
    ctx.lineTo(bbox.left + bbox.width, bottom);
    ctx.stroke();
  });
  ctx.restore();
}

/** Vertical lines with their names, each in the first row where it hides no other. */
function drawMarks({ ctx, bbox, valToPos, scales }, marks, colorOf) {
  const ends = []; // of each row, where its last name ends
  ctx.save();
  ctx.font = `${11 * uPlot.pxRatio}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  const visible = marks.filter(({ time }) => time >= scales.x.min && time <= scales.x.max).sort((a, b) => a.time - b.time);
  const place = (mark) => Math.round(valToPos(mark.time, "x", true));
  ctx.fillStyle = colorOf("mark");
  for (const mark of visible) ctx.fillRect(place(mark), bbox.top, uPlot.pxRatio, bbox.height);
  for (const mark of visible) {
    ctx.fillStyle = colorOf("mark");
    const width = ctx.measureText(mark.name).width + 8 * uPlot.pxRatio;
    const left = Math.max(bbox.left, Math.min(place(mark), bbox.left + bbox.width - width));
    const free = ends.findIndex((end) => end <= left);
    const row = free < 0 ? ends.length : free;
    const height = 15 * uPlot.pxRatio, top = bbox.top + row * (height + uPlot.pxRatio);
    if (top + height > bbox.top + bbox.height) continue;
    ends[row] = left + width;
    ctx.fillRect(left, top, width, height);
    ctx.fillStyle = colorOf("surface");
    ctx.fillText(mark.name, left + 4 * uPlot.pxRatio, top + 2 * uPlot.pxRatio);
  }
  ctx.restore();
}

// -- states --

function states(body) {
  const lanes = add(body, "div", "chart-lanes");
  const legend = add(body, "ul", "chart-legend");
  return (chart) => {
    const percent = (time) => `${Math.max(0, Math.min(100, (time - chart.start) / (chart.end - chart.start) * 100))}%`;
    lanes.replaceChildren();
    for (const one of chart.series) {
      add(lanes, "span", "chart-name", one.name);
      const lane = add(lanes, "div", "chart-lane");
      for (const { value, from, to } of stretches(one.points, chart)) {
        const state = chart.states[value] ?? { text: reading(one, value), color: "axis" };
        const part = add(lane, "span", "chart-state", state.text);
        part.title = `${one.name}: ${state.text}, ${clock(from)} to ${clock(to)}`;
        part.style.left = percent(from);
        part.style.right = `calc(100% - ${percent(to)})`;
        part.style.setProperty("--state", variable(state.color));
      }
      for (const mark of chart.marks.filter(({ time }) => time >= chart.start && time <= chart.end)) {
        const line = add(lane, "span", "chart-mark");
        line.title = `${mark.name}, ${clock(mark.time)}`;
        line.style.left = percent(mark.time);
      }
    }
    const times = add(lanes, "div", "chart-times");
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      add(times, "span", "", clock(chart.start + share * (chart.end - chart.start), false));
    }
    legend.replaceChildren();
    for (const state of Object.values(chart.states)) {
      const item = add(legend, "li");
      add(item, "span", "chart-block").style.setProperty("--state", variable(state.color));
      add(item, "span", "", state.text);
    }
    describe(lanes, chart, (one, value) => chart.states[value]?.text ?? reading(one, value));
  };
}

/** Where the value stays the same, without a gap. */
function stretches(points, chart) {
  const found = [];
  for (const [time, value] of points) {
    const current = found.at(-1);
    const to = Math.min(time + chart.step, chart.end);
    if (current && current.value === value && time <= current.to + 0.5 * chart.step) current.to = to;
    else found.push({ value, from: time, to });
  }
  return found;
}

// -- numbers --

function stat(body) {
  const list = add(body, "dl", "chart-numbers");
  return (chart) => {
    list.replaceChildren();
    list.classList.toggle("single", chart.series.length === 1);
    for (const one of chart.series) {
      const row = add(list, "div");
      row.style.color = variable(stepColor(one.steps, last(one)));
      add(row, "dt", "", one.name);
      const number = add(row, "dd", "", reading(one, last(one)));
      if (chart.series.length === 1) number.append(spark(one.points, chart));
    }
  };
}

function spark(points, chart) {
  const values = points.map(([, value]) => value);
  const low = Math.min(...values), span = Math.max(...values) - low || 1;
  const path = points.map(([time, value]) =>
    `${((time - chart.start) / (chart.end - chart.start) * 100).toFixed(2)} ${(29 - (value - low) / span * 27).toFixed(2)}`);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, d] of [["area", `M${path[0].split(" ")[0]} 30L${path.join("L")}L${path.at(-1).split(" ")[0]} 30Z`],
                           ["line", `M${path.join("L")}`]]) {
    const shape = svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
    shape.setAttribute("class", name);
    shape.setAttribute("d", d);
  }
  return svg;
}

// -- fresh data --

/**
 * Draws the charts of `url` ({"charts": {id: chart}, "problem": text or none}) into the children of the container that
 * have such a `data-chart`, every `seconds` while the page is seen; once, where `seconds` is 0. What is wrong stands in a
 * status line, and the attempts go on, less often.
 */
export function live(container, url, seconds) {
  const status = document.createElement("p");
  status.className = "chart-problem";
  status.setAttribute("role", "status");
  container.before(status); // in a container that is a grid, it would take a cell
  let failures = 0, timer = null, busy = false;

  async function refresh() {
    clearTimeout(timer);
    if (busy || document.visibilityState === "hidden") return;
    busy = true;
    const { charts = {}, problem } = await ask(url);
    busy = false;
    failures = problem ? failures + 1 : 0;
    status.textContent = problem ? `no data: ${problem}` : "";
    const pause = problem ? Math.min(LONGEST_PAUSE, (seconds || 5) * 2 ** (failures - 1)) : seconds;
    if (pause) timer = setTimeout(refresh, pause * 1000);
    for (const element of container.querySelectorAll("[data-chart]")) {
      const chart = charts[element.dataset.chart];
      if (chart) draw(element, chart);
    }
  }

  document.addEventListener("visibilitychange", refresh);
  refresh();
}

async function ask(url) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(20_000) });
    return answer.ok ? await answer.json() : { problem: `the console answers ${answer.status}` };
  } catch {
    return { problem: "the console does not answer" };
  }
}

for (const container of document.querySelectorAll("[data-live]")) {
  live(container, container.dataset.live, Number(container.dataset.seconds ?? 5));
}
