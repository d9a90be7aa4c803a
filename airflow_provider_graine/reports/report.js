"use strict";
document.documentElement.classList.add("drawn");
{
  Chart.defaults.animation = false;  // it may be printed at once
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const draw = { outcomes: "bars", hours: "bars", attempts: "stackedBars", rejected: "bars" };
  for (const [name, kind] of Object.entries(draw)) {
    const canvas = document.getElementById(name);
    if (canvas) graineCharts[kind](canvas, charts[name]);
  }
}
