// Asks the server how the calls are while somebody looks, and shows it.
import { ask, asked, followTheme, openOutside } from "./frame.js";
import { GROUPS, OUTCOMES, ago, clock, column, full, moment, number, ordinal, percent, plural, settled, status, taskColor, width } from "./words.js";

const EVERY = 5000, WHILE_LOADING = 1200;
const ROWS = 50;
const FILTERS = ["campaign_id", "dag_id", "run_id", "task_id", "map_index", "batch_id"];
const VIEWS = [
  ["all", "All", () => true],
  ["open", "Under way", (part) => !part.has_ended],
  ["stalled", "Standing still", (part) => part.is_stalled],
  ["ended", "Ended", (part) => part.has_ended],
];
const $ = (id) => document.getElementById(id);
const state = { connections: [], data: null, at: 0, problem: "", view: "all", rows: ROWS, timer: 0, turn: 0 };
const charts = {};

// -- building blocks ------------------------------------------------------------------------------------------------------

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function paint(element, color) {
  element.style.setProperty("--dot", `var(--${color})`);
}
function button(text, onclick, className = "link") {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", onclick);
  return element;
}
// Keeps one element for each id, in the given order, so that bars move instead of jumping and the focus stays.
function keyed(parent, items, build, update) {
  const known = (parent.known ??= new Map());
  const seen = new Set(items.map((item) => item.id));
  for (const [id, element] of known) if (!seen.has(id)) { element.remove(); known.delete(id); }
  items.forEach((item, index) => {
    if (!known.has(item.id)) known.set(item.id, build(item));
    const element = known.get(item.id);
    update(element, item);
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}
function bar() {
  const element = make("div", "bar");
  element.setAttribute("role", "progressbar");
  element.setAttribute("aria-valuemin", "0");
  element.setAttribute("aria-valuemax", "100");
  for (const [, , color] of GROUPS.slice(0, -1)) element.appendChild(make("i")).style.backgroundColor = `var(--${color})`;
  return element;
}
function fill(element, groups, total, what) {
  const isKnown = Boolean(total) && Object.keys(groups).length > 0 && groups.unknown !== total;
  const told = GROUPS.filter(([key]) => groups[key]).map(([key, label]) => `${number(groups[key])} ${label}`);
  element.classList.toggle("unknown", !isKnown);
  GROUPS.slice(0, -1).forEach(([key], index) => { element.children[index].style.width = isKnown ? `${(100 * (groups[key] ?? 0)) / total}%` : "0"; });
  element.setAttribute("aria-label", what);
  element.setAttribute("aria-valuetext", isKnown ? `${percent(settled(groups), total)} settled: ${told.join(", ")}` : "not known");
  if (isKnown) element.setAttribute("aria-valuenow", String(Math.floor((100 * settled(groups)) / total)));
  else element.removeAttribute("aria-valuenow");
  element.title = told.join(" · ");
}
function pill(element, word) {
  const [label, color, isHollow] = status(word);
  element.className = `pill${isHollow ? " hollow" : ""}`;
  paint(element, color);
  put(element, label);
}
function row(cells) {
  const element = make("tr");
  for (const [name, className, label] of cells) {
    element[name] = element.appendChild(make("td", className));
    if (label) element[name].dataset.label = label;
  }
  return element;
}

// -- what is shown --------------------------------------------------------------------------------------------------------

function buildCampaign(campaign) {
  const line = row([["first"], ["second"], ["progress", "wide"], ["people", "right num", "People"], ["reached", "right num", "Reached"],
    ["calls", "right num", "Calls"], ["retries", "num breaks", "Waiting for a retry"], ["batches", "right num", "Batches"]]);
  line.name = line.first.appendChild(button("", () => choose({ campaign_id: campaign.id }), "link name"));
  line.first.append(make("small", "id", campaign.id));
  line.status = line.second.appendChild(make("span", "pill"));
  line.why = line.second.appendChild(make("small", "why"));
  line.bar = line.progress.appendChild(bar());
  line.share = line.progress.appendChild(make("small", "num"));
  return line;
}
function updateCampaign(line, campaign) {
  const { groups, contacts } = campaign;
  line.classList.toggle("bad", campaign.stalled > 0);
  put(line.name, campaign.name ?? "Without a name");
  pill(line.status, campaign.status);
  put(line.why, [campaign.stalled && `${plural(campaign.stalled, "batch", "batches")} standing still`, campaign.opens && `Outside calling hours until ${campaign.opens}`].filter(Boolean).join(". "));
  line.why.hidden = !line.why.textContent;
  fill(line.bar, groups, contacts, `Progress of ${campaign.name ?? campaign.id}`);
  put(line.share, contacts ? `${percent(settled(groups), contacts)} · ${number(settled(groups))} settled` : "no people");
  put(line.people, number(contacts));
  put(line.reached, contacts ? percent(groups.completed ?? 0, contacts) : "–");
  put(line.calls, number(campaign.attempts));
  put(line.retries, campaign.retries.map(([retry, people]) => `${ordinal(retry)}: ${number(people)}`).join(", ") || "–");
  put(line.batches, campaign.open ? `${number(campaign.open)} of ${number(campaign.batches)} open` : number(campaign.batches));
}

function buildPart(part) {
  const line = row([["first"], ["second"], ["progress", "wide"], ["people", "right num", "People"], ["again", "right num", "To be called again"],
    ["created", "num", "Created"], ["maker", "whole", "Made by"]]);
  if (part.campaign_id) {
    line.first.append(make("code", "", part.id));
    line.name = line.first.appendChild(make("small"));
  } else {
    line.name = line.first.appendChild(make("span", "name"));
    line.first.append(make("small", "id", part.id));
  }
  line.status = line.second.appendChild(make("span", "pill"));
  line.why = line.second.appendChild(make("small", "why"));
  line.bar = line.progress.appendChild(bar());
  line.share = line.progress.appendChild(make("small", "num"));
  line.time = line.created.appendChild(make("time"));
  return line;
}
function updatePart(line, part) {
  const { groups, contacts } = part;
  const isCounted = !groups.unknown;
  line.classList.toggle("bad", part.is_stalled);
  put(line.name, part.name ?? "Without a name");
  pill(line.status, part.status);
  put(line.why, part.note ? part.note[0].toUpperCase() + part.note.slice(1) : "");
  line.why.hidden = !part.note;
  fill(line.bar, groups, contacts, `Progress of ${part.id}`);
  put(line.share, isCounted && contacts ? `${percent(settled(groups), contacts)} · ${number(groups.completed ?? 0)} reached` : "counts not known");
  put(line.people, number(contacts));
  put(line.again, isCounted ? number((groups.retrying ?? 0) + (groups.followup ?? 0)) : "–");
  put(line.time, moment(part.created_at));
  if (part.created_at) { line.time.dateTime = part.created_at; line.time.title = full(part.created_at); }
  const made = JSON.stringify(part.task);
  if (line.made !== made) { line.made = made; line.maker.replaceChildren(...maker(part.task)); }
}
function maker(task) {
  if (!task) return [make("span", "muted", "–")];
  const index = task.map_index >= 0 ? ` [${task.map_index}]` : "";
  const run = make("small", "", `${task.dag_id} · ${task.run_id}`);
  run.title = task.run_id;
  if (!task.state) { // another Airflow may use the same account
    const name = make("span", "task", `${task.task_id}${index}`);
    name.title = "Not among the task instances of this Airflow";
    return [name, run];
  }
  const path = ["dags", task.dag_id, "runs", task.run_id, "tasks", task.task_id, ...(task.map_index >= 0 ? ["mapped", String(task.map_index)] : [])];
  const link = make("a", "task", `${task.task_id}${index}`);
  link.href = `../${path.map(encodeURIComponent).join("/")}`;
  const shown = make("span", "pill", task.state.replaceAll("_", " "));
  paint(shown, taskColor(task.state));
  const line = make("div", "task");
  line.append(link, shown);
  return [line, run];
}

function draw(name, kind, data, isEmpty) {
  $(`${name}-box`).hidden = isEmpty;
  $(`${name}-none`).hidden = !isEmpty;
  if (isEmpty) return;
  const told = JSON.stringify(data);
  if (charts[name]?.told === told) return;
  // Bars of another number or order are new ones.
  const shape = data.series.map((series) => series.name).join();
  if (charts[name]?.shape === shape) charts[name].chart.update(data);
  else {
    charts[name]?.chart.destroy();
    charts[name] = { chart: window.graineCharts[kind]($(name), data), shape };
  }
  charts[name].told = told;
}
function showCharts({ created, course }) {
  const columns = GROUPS.filter(([key]) => created.values[key]).map(([key, label, color]) => ({ name: label, values: created.values[key], color }));
  put($("created-note"), created.step ? `a column for each ${width(created.step)}` : "");
  draw("created", "stackedBars", { labels: created.times.map((time) => column(time, created.step)), series: columns, unit: "people" }, !columns.length);
  const lines = OUTCOMES.filter(([key]) => course.values[key]).map(([key, label, color]) => ({ name: label, values: course.values[key], color }));
  const isEmpty = !lines.length || course.times.length < 2;
  put($("course-note"), isEmpty ? "" : `what was under way, since ${clock(course.times[0])}`);
  draw("course", "lines", { times: course.times, series: lines, unit: "people" }, isEmpty);
}

function showTotals({ summary, noun }) {
  const { groups, contacts } = summary;
  const over = settled(groups), [one, many] = noun === "batch" ? ["batch", "batches"] : ["campaign", "campaigns"];
  const again = (groups.retrying ?? 0) + (groups.followup ?? 0);
  put($("people"), number(contacts));
  const toGo = contacts - over - (groups.unknown ?? 0);
  put($("people-note"), contacts ? [`${number(over)} settled`, `${number(toGo)} to go`, groups.unknown && `${number(groups.unknown)} not known`].filter(Boolean).join(", ") : "");
  put($("reached"), number(groups.completed ?? 0));
  put($("reached-note"), contacts ? `${percent(groups.completed ?? 0, contacts)} of all people` : "");
  put($("phone"), number(groups.in_flight ?? 0));
  put($("phone-note"), groups.pending ? `${number(groups.pending)} still pending` : "");
  put($("again"), number(again));
  put($("again-note"), groups.followup ? `${number(groups.followup)} of them follow-ups` : again ? "retries" : "");
  put($("parts-label"), many[0].toUpperCase() + many.slice(1));
  put($("parts"), number(summary.parts));
  put($("parts-note"), [`${number(summary.open)} under way`, summary.held && `${number(summary.held)} held`].filter(Boolean).join(", "));
  if (!$("overall-bar").firstChild) $("overall-bar").append(bar());
  fill($("overall-bar").firstChild, groups, contacts, "Progress of all people shown");
  put($("overall-share"), contacts ? `${percent(over, contacts)} settled` : "");
  $("legend").replaceChildren(...GROUPS.filter(([key]) => groups[key]).map(([key, label, color]) => {
    const entry = make("li");
    paint(entry, color);
    entry.append(make("b", "", number(groups[key])), label);
    return entry;
  }));
  $("stalled").hidden = !summary.stalled;
  if (summary.stalled) {
    const text = summary.stalled === 1 ? `One ${one} stands still though people on it could be called.` : `${number(summary.stalled)} ${many} stand still though people on them could be called.`;
    $("stalled").replaceChildren(make("b", "", text), " ", button("Show them", () => look("stalled")));
  }
}

function showRows({ parts, summary, noun, is_cut: isCut }) {
  const many = noun === "batch" ? "batches" : "campaigns";
  put($("rows-title"), many[0].toUpperCase() + many.slice(1));
  put($("rows-first"), noun[0].toUpperCase() + noun.slice(1));
  $("views").replaceChildren(...VIEWS.map(([view, label, has]) => {
    const element = button(`${label} ${number(parts.filter(has).length)}`, () => look(view), "num");
    element.setAttribute("aria-pressed", String(state.view === view));
    element.dataset.view = view;
    return element;
  }));
  const listed = parts.filter(VIEWS.find(([view]) => view === state.view)[2]);
  keyed($("rows").tBodies[0], listed.slice(0, state.rows), buildPart, updatePart);
  $("rows").hidden = !listed.length;
  $("no-rows").hidden = listed.length > 0;
  put($("no-rows"), `None of the ${many} shown.`);
  const left = listed.length - state.rows;
  $("more").hidden = left <= 0;
  put($("more"), `Show ${number(Math.min(left, 4 * ROWS))} more of ${number(listed.length)}`);
  const cut = isCut ? `only ${number(summary.parts)} are kept here; ` : summary.parts > parts.length ? `${number(parts.length)} of ${number(summary.parts)}; ` : "";
  put($("rows-more"), `${cut}those that call first, then the latest`);
}

function show() {
  const { data } = state;
  showFreshness();
  if (!data) return;
  const isEmpty = !data.summary.parts;
  $("error").hidden = !data.error;
  put($("error"), data.error ? `${data.age === null ? "" : `This is how it was ${ago(age())} ago. `}${data.error}` : "");
  $("empty").hidden = !isEmpty || data.age === null;
  $("filled").hidden = isEmpty;
  if (isEmpty) {
    const isChosen = FILTERS.some((name) => question().has(name));
    say(isChosen ? "Nothing here yet" : "No calls yet", isChosen
      ? "There is nothing of what was asked for. What a task has just created takes some seconds to appear; take the choice at the top off to see all calls."
      : "Run a DAG that calls people: what it creates shows up here while the calls are made.");
    $("stalled").hidden = true;
    return;
  }
  showTotals(data);
  showCharts(data);
  $("campaigns-card").hidden = !data.campaigns.length;
  keyed($("campaigns").tBodies[0], data.campaigns, buildCampaign, updateCampaign);
  put($("campaigns-more"), data.campaigns.length >= 50 ? "the latest 50" : "");
  // A button that was pressed keeps the focus though it is made anew.
  const focused = document.activeElement?.dataset?.view;
  showRows(data);
  if (focused) document.querySelector(`[data-view="${focused}"]`)?.focus();
}
function say(title, text) {
  put($("empty-title"), title);
  put($("empty-text"), text);
}

const age = () => (state.data?.age ?? 0) + (performance.now() - state.at) / 1000;
function showFreshness() {
  const element = $("fresh");
  document.body.classList.toggle("gone", Boolean(state.problem));
  const [text, color] = state.problem ? [state.problem, "failed"]
    : !state.data || (state.data.age === null && !state.data.error) ? ["Reading…", "pending"]
    : state.data.age === null ? ["Nothing could be read", "failed"]
    : [`${state.data.error ? "Stale" : "Live"} · ${ago(age())} ago`, state.data.error ? "no_answer" : "completed"];
  put(element, text);
  paint(element, color);
}

// -- what somebody wants to see -------------------------------------------------------------------------------------------

let wanted = new URLSearchParams();
const question = () => wanted;
function choose(changes) {
  for (const [name, value] of Object.entries(changes)) {
    wanted.delete(name);
    if (value !== null) wanted.set(name, value);
  }
  state.rows = ROWS;
  ask(wanted);
  showChoice();
  poll();
}
function look(view) {
  state.view = view;
  state.rows = ROWS;
  show();
}
function showChoice() {
  const chips = [];
  const campaign = wanted.get("campaign_id");
  if (campaign) chips.push([`Campaign ${state.data?.campaigns.find((each) => each.id === campaign)?.name ?? campaign}`, { campaign_id: null }]);
  const task = ["dag_id", "task_id"].map((name) => wanted.get(name)).filter(Boolean).join(".");
  if (task || wanted.get("run_id")) {
    const index = Number(wanted.get("map_index") ?? -1) >= 0 ? ` [${wanted.get("map_index")}]` : "";
    chips.push([`Task ${task}${index} of ${wanted.get("run_id") ?? "any run"}`, { dag_id: null, run_id: null, task_id: null, map_index: null }]);
  }
  const ids = wanted.getAll("batch_id");
  if (ids.length) chips.push([ids.length === 1 ? ids[0] : `${ids.length} by their ids`, { batch_id: null }]);
  $("chips").replaceChildren(...chips.map(([text, without]) => {
    const item = make("li"), chip = button("", () => choose(without), "");
    chip.append(make("span", "", text));
    chip.setAttribute("aria-label", `${text}: show all again`);
    chip.title = text;
    item.append(chip);
    return item;
  }));
}

// -- asking ---------------------------------------------------------------------------------------------------------------

async function get(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(30000), headers: { accept: "application/json" } });
  if (answer.status === 401) throw new Error("Logged out: reload the page");
  if (answer.status === 403) throw new Error("You may not see the calls");
  if (!answer.ok) throw new Error(answer.status === 404 ? "No such connection" : `Airflow answers ${answer.status}`);
  return answer.json();
}
async function poll() {
  clearTimeout(state.timer);
  const turn = ++state.turn;
  if (document.hidden) return;
  try {
    const data = await get(`api/calls?${wanted}`);
    if (turn !== state.turn) return;
    Object.assign(state, { data, at: performance.now(), problem: "" });
  } catch (error) {
    if (turn !== state.turn) return;
    state.problem = error instanceof TypeError || error.name === "TimeoutError" ? "Airflow does not answer" : error.message;
  }
  show();
  showChoice();
  state.timer = setTimeout(poll, state.data?.age === null && !state.data.error ? WHILE_LOADING : EVERY);
}
async function start() {
  followTheme();
  openOutside();
  wanted = asked();
  for (const name of [...wanted.keys()]) if (name !== "conn_id" && !FILTERS.includes(name)) wanted.delete(name);
  try {
    state.connections = await get("api/connections");
  } catch (error) {
    state.problem = error.message;
    showFreshness();
    state.timer = setTimeout(start, EVERY);
    return;
  }
  if (!state.connections.length) {
    $("empty").hidden = false;
    say("No connection to a calling service", "Add a connection of type Graine or Kataven. One that lies in a secrets backend under another name than graine_default or kataven_default has to be named in [graine] ui_conn_ids.");
    $("fresh").hidden = true;
    return;
  }
  const select = $("connection");
  select.replaceChildren(...state.connections.map(({ id }) => Object.assign(make("option", "", id), { value: id })));
  if (!wanted.has("conn_id")) wanted.set("conn_id", state.connections[0].id);
  select.value = wanted.get("conn_id");
  select.addEventListener("change", () => {
    state.data = null;
    choose({ conn_id: select.value, ...Object.fromEntries(FILTERS.map((name) => [name, null])) });
  });
  $("more").addEventListener("click", () => { state.rows += 4 * ROWS; show(); });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(state.timer) : poll()));
  setInterval(showFreshness, 1000);
  showChoice();
  poll();
}
start();
