/* Charts for Graine pages, drawn with Chart.js. A colour is the name of a CSS custom property ("completed" or "--completed"),
   so a chart follows the theme. Every function returns {update(data), destroy()}; data has the shape of the first call.

   stackedBars(canvas, {labels, series: [{name, values, color}], unit, horizontal})
   lines(canvas, {times: [ISO 8601], series: [{name, values, color}], unit, stacked})
   bars(canvas, {labels, values, color, percent, unit, horizontal, notes})
       color: one name or one for each bar; percent: values are shares, 0 to 1; notes: a text for each bar's tooltip.
   null is "not known": no bar, a gap in the line. */
(function () {
  "use strict";
  const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
  const STEPS = [SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 365 * DAY];
  const number = new Intl.NumberFormat("en");
  const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
  const live = new Set();

  // A probe gets the colour as the browser computes it: var(), light-dark() and all.
  function palette(canvas) {
    const probe = document.createElement("span");
    probe.hidden = true;
    canvas.parentNode.append(probe);
    const known = new Map();
    const color = (name) => {
      if (!known.has(name)) {
        probe.style.color = `var(${name.startsWith("--") ? name : `--${name}`})`;
        known.set(name, getComputedStyle(probe).color);
      }
      return known.get(name);
    };
    color.done = () => probe.remove();
    return color;
  }
  const faint = (color) => color.replace(/^rgb\((.*)\)$/, "rgba($1, 0.16)");

  function timeStep(span, most) {
    return STEPS.find((step) => span / step <= most) ?? STEPS[STEPS.length - 1];
  }
  function timeTicks(scale) {
    const step = timeStep(scale.max - scale.min, Math.max(2, Math.floor(scale.width / 90)));
    const shift = new Date(scale.min).getTimezoneOffset() * MINUTE;
    scale.step = step;
    scale.ticks = [];
    for (let at = Math.ceil((scale.min - shift) / step) * step + shift; at <= scale.max; at += step) scale.ticks.push({ value: at });
    if (!scale.ticks.length) scale.ticks = [{ value: scale.min }];
  }
  const SHORT = { day: "numeric", month: "short" }, CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const written = (at, parts) => new Date(at).toLocaleString("en-GB", parts);
  function timeLabel(at, step) {
    if (step >= DAY) return written(at, SHORT);
    const clock = written(at, step < MINUTE ? { ...CLOCK, second: "2-digit" } : CLOCK);
    return clock === "00:00" ? written(at, SHORT) : clock;
  }
  const moment = (at) => written(at, { ...SHORT, ...CLOCK, second: "2-digit" });

  function base(canvas, color) {
    const font = { family: getComputedStyle(canvas).fontFamily, size: 12 };
    const still = Chart.defaults.animation === false || matchMedia("(prefers-reduced-motion: reduce)").matches;
    return {
      responsive: true, maintainAspectRatio: false, animation: still ? false : { duration: 300 }, font, color: color("--text"),
      interaction: { mode: "index", intersect: false },
      plugins: {
        legend: {
          align: "start", position: "top",
          labels: { color: color("--muted"), font, boxWidth: 10, boxHeight: 10, usePointStyle: true, pointStyle: "rectRounded", padding: 14 },
        },
        tooltip: {
          backgroundColor: color("--card"), titleColor: color("--text"), bodyColor: color("--text"), borderColor: color("--line"),
          borderWidth: 1, padding: 10, cornerRadius: 8, boxPadding: 4, usePointStyle: true, titleFont: { ...font, weight: 600 }, bodyFont: font,
        },
      },
    };
  }
  function axes(color, font, { horizontal = false, stacked = false, format = (n) => number.format(n) } = {}) {
    const words = { stacked, grid: { display: false }, border: { color: color("--line") },
      ticks: { color: color("--muted"), font, autoSkipPadding: 12, maxRotation: 0 } };
    const counts = { stacked, beginAtZero: true, grid: { color: color("--line") }, border: { display: false },
      ticks: { color: color("--muted"), font, precision: 0, maxTicksLimit: 6, callback: format } };
    return horizontal ? { x: counts, y: words } : { x: words, y: counts };
  }
  const counted = (n, unit) => (unit ? `${number.format(n)} ${unit}` : number.format(n));

  function stackedBars(data, canvas, color) {
    const options = base(canvas, color);
    const value = data.horizontal ? "x" : "y";
    options.indexAxis = data.horizontal ? "y" : "x";
    options.scales = axes(color, options.font, { horizontal: data.horizontal, stacked: true });
    options.plugins.tooltip.filter = (item) => Boolean(item.parsed[value]);
    options.plugins.tooltip.callbacks = { label: (item) => `${item.dataset.label}: ${counted(item.parsed[value], data.unit)}` };
    const datasets = data.series.map((series) => ({
      label: series.name, data: series.values, backgroundColor: color(series.color), borderColor: color("--card"), borderWidth: 1,
      borderSkipped: false, borderRadius: 3, maxBarThickness: 44,
    }));
    return { type: "bar", data: { labels: data.labels, datasets }, options };
  }
  function lines(data, canvas, color) {
    const options = base(canvas, color);
    const times = data.times.map((time) => Date.parse(time));
    options.scales = axes(color, options.font, { stacked: Boolean(data.stacked) });
    options.scales.x = {
      ...options.scales.x, type: "linear", stacked: false, min: times[0], max: times[times.length - 1], afterBuildTicks: timeTicks,
      ticks: { ...options.scales.x.ticks, autoSkip: true, callback(at) { return timeLabel(at, this.step); } },
    };
    options.plugins.tooltip.callbacks = {
      title: (items) => (items.length ? moment(items[0].parsed.x) : ""),
      label: (item) => `${item.dataset.label}: ${counted(item.parsed.y, data.unit)}`,
    };
    options.plugins.legend.labels.pointStyle = "rectRounded";
    const datasets = data.series.map((series) => ({
      label: series.name, data: times.map((x, index) => ({ x, y: series.values[index] })), borderColor: color(series.color),
      backgroundColor: data.stacked ? faint(color(series.color)) : color(series.color), fill: data.stacked ? "stack" : false,
      borderWidth: 2, pointRadius: times.length > 1 ? 0 : 3, pointHoverRadius: 4, pointHitRadius: 8, cubicInterpolationMode: "monotone",
    }));
    return { type: "line", data: { datasets }, options };
  }
  function bars(data, canvas, color) {
    const options = base(canvas, color);
    const value = data.horizontal ? "x" : "y";
    const told = (n) => (data.percent ? share.format(n) : counted(n, data.unit));
    options.indexAxis = data.horizontal ? "y" : "x";
    options.scales = axes(color, options.font, { horizontal: data.horizontal, format: (n) => (data.percent ? share.format(n) : number.format(n)) });
    if (data.percent) Object.assign(options.scales[value], { max: 1, ticks: { ...options.scales[value].ticks, precision: undefined } });
    options.plugins.legend.display = false;
    options.plugins.tooltip.callbacks = {
      label: (item) => [told(item.parsed[value]), data.notes?.[item.dataIndex]].filter(Boolean).join(" · "),
    };
    const colors = Array.isArray(data.color) ? data.color : data.labels.map(() => data.color);
    const dataset = { label: "", data: data.values, backgroundColor: colors.map(color), borderRadius: 4, maxBarThickness: 34,
      minBarLength: data.values.includes(0) ? 0 : 2 };
    return { type: "bar", data: { labels: data.labels, datasets: [dataset] }, options };
  }

  function chart(build) {
    return (canvas, first) => {
      let data = first;
      const configured = () => {
        const color = palette(canvas);
        const config = build(data, canvas, color);
        color.done();
        return config;
      };
      const drawn = new Chart(canvas, configured());
      const redraw = () => {
        const { data: { labels, datasets }, options } = configured();
        drawn.data.labels = labels;
        // The same dataset objects again, so that bars move instead of jumping.
        drawn.data.datasets = datasets.map((dataset, index) => Object.assign(drawn.data.datasets[index] ?? {}, dataset));
        drawn.options = options;
        drawn.update();
      };
      const handle = { recolor: redraw, resize: () => drawn.resize() };
      live.add(handle);
      return {
        update(next) { data = next; redraw(); },
        destroy() { live.delete(handle); drawn.destroy(); },
      };
    };
  }

  const recolor = () => live.forEach((handle) => handle.recolor());
  for (const query of ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)", "print"]) matchMedia(query).addEventListener("change", recolor);
  new MutationObserver(recolor).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  addEventListener("beforeprint", () => live.forEach((handle) => handle.resize()));

  window.graineCharts = { stackedBars: chart(stackedBars), lines: chart(lines), bars: chart(bars) };
})();
