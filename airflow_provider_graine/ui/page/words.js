// What things are called and painted, and how numbers and times are written.

/** Groups of people in the order of a bar: [key, label, colour of theme.css]. */
export const GROUPS = [
  ["completed", "completed", "completed"],
  ["no_answer", "no answer", "no_answer"],
  ["busy", "busy", "busy"],
  ["failed", "failed", "failed"],
  ["exhausted", "retries used up", "exhausted"],
  ["skipped", "skipped", "skipped"],
  ["other", "skipped or retries used up", "skipped"],
  ["unclear", "without a count", "skipped"],
  ["in_flight", "on the phone", "in_flight"],
  ["retrying", "retry due", "retrying"],
  ["followup", "follow-up due", "followup"],
  ["unknown", "not known", "line"],
  ["pending", "pending", "track"],
];
export const OUTCOMES = GROUPS.slice(0, 6);

const STATUS = {
  draft: ["Draft", "skipped", true], active: ["Active", "in_flight"], pending: ["Scheduled", "followup", true],
  in_progress: ["In progress", "in_flight"], running: ["Running", "in_flight"], scheduled: ["Scheduled", "followup", true],
  paused: ["Paused", "no_answer", true], completed: ["Completed", "completed"], cancelled: ["Cancelled", "failed"],
  failed: ["Failed", "failed"], expired: ["Expired", "exhausted"],
};
const TASK = { success: "completed", failed: "failed", upstream_failed: "failed", running: "in_flight", deferred: "followup", queued: "pending" };

const own = (table, key) => (Object.hasOwn(table, key) ? table[key] : undefined);
export const status = (word) => own(STATUS, word) ?? [word ? word.replaceAll("_", " ") : "–", "skipped", true];
export const taskColor = (state) => own(TASK, state) ?? "skipped";

const counted = new Intl.NumberFormat("en");
export const number = (n) => (n === null || n === undefined ? "–" : counted.format(n));
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
export const percent = (n, of) => (of ? `${Math.floor((100 * n) / of)} %` : "–");
export const ordinal = (n) => `${n}${{ 1: "st", 2: "nd", 3: "rd" }[n] ?? "th"}`;

/** People whose calls are over, of groups as the server counts them. */
export const settled = (groups) => GROUPS.slice(0, 7).reduce((sum, [key]) => sum + (groups[key] ?? 0), 0);

const parts = (date, how) => new Date(date).toLocaleString("en-GB", { hourCycle: "h23", ...how });
const DAY = { day: "numeric", month: "short" };
const CLOCK = { hour: "2-digit", minute: "2-digit" };
export const clock = (iso) => parts(iso, CLOCK);
export function moment(iso) {
  if (!iso) return "–";
  const isToday = new Date(iso).toDateString() === new Date().toDateString();
  return isToday ? parts(iso, CLOCK) : parts(iso, { ...DAY, ...CLOCK });
}
export const full = (iso) => (iso ? parts(iso, { dateStyle: "full", timeStyle: "long" }) : "");
/** The label of a column that is so many seconds wide and begins at a time. */
export const column = (iso, step) => (step >= 86400 ? parts(iso, { ...DAY, timeZone: "UTC" }) : step >= 10800 ? parts(iso, { ...DAY, ...CLOCK }) : clock(iso));
const WIDTHS = { 60: "minute", 300: "5 minutes", 900: "15 minutes", 3600: "hour", 10800: "3 hours", 43200: "12 hours", 86400: "day (UTC)", 604800: "7 days", 2419200: "4 weeks" };
export const width = (step) => WIDTHS[step] ?? `${step} s`;
export function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
