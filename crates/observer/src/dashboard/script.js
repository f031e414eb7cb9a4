"use strict";
// Asks for /status.json once a second, and draws the last minutes. What the server says is only ever set as text.
const KEEP = 180, EVERY = 1000, WINDOW = 10;
const CLASSES = [["2xx", "--c1"], ["3xx", "--c0"], ["4xx", "--c2"], ["5xx", "--bad"], ["1xx", "--c5"], ["none", "--muted"]];
const PERCENTILES = [["50 %", 0.5, "--c1"], ["90 %", 0.9, "--c0"], ["99 %", 0.99, "--c3"]];
const history = [];
let failures = 0;

const $ = (id) => document.getElementById(id);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const slotColor = (slot) => "--c" + ((slot - 1) % 8);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.00095) return (seconds * 1e6).toFixed(0) + " µs";
  if (seconds < 0.9995) return +(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0) + " ms";
  if (seconds < 60) return +seconds.toFixed(seconds < 10 ? 1 : 0) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 172800) return (seconds / 3600).toFixed(1) + " h";
  return (seconds / 86400).toFixed(1) + " d";
}
function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < 4; unit++) count /= 1024;
  return count.toFixed(unit && count < 100 ? 1 : 0) + " " + units[unit];
}
function number(count) {
  if (count === null || count === undefined) return "–";
  return count >= 10000 ? (count / 1000).toFixed(count >= 1e5 ? 0 : 1) + "k" : count >= 100 ? count.toFixed(0) : +count.toFixed(1) + "";
}

const percent = (part) => (part * 100).toFixed(part && part < 0.1 ? 1 : 0) + " %";

// What a counter gained between two readings; what fell began anew.
const gained = (now, before) => (now >= before ? now - before : now);
const by = (status, name) => status.traffic.requests_by_status[name] || 0;
const sameServer = (a, b) => a && b && a.server.pid === b.server.pid && a.server.started_at === b.server.started_at;

// The percentile of the times that came between two readings.
function percentile(now, before, part) {
  const old = new Map(before.buckets.map(([bound, count]) => [bound, count]));
  const fresh = now.buckets.map(([bound, count]) => [bound, count - (old.get(bound) || 0)]).filter(([, count]) => count > 0);
  const all = fresh.reduce((sum, [, count]) => sum + count, 0);
  let below = 0;
  for (const [bound, count] of fresh) {
    below += count;
    if (below >= all * part) return bound === null ? 100 : bound;
  }
  return null;
}

function point(now, before) {
  const made = { at: now.time, classes: {}, percentiles: {}, memory: {}, cpu: {}, rates: {}, companions: {} };
  for (const worker of now.workers) made.memory[worker.slot] = worker.memory_bytes;
  if (!sameServer(now, before) || now.time <= before.time) return made;
  const seconds = now.time - before.time;
  for (const [name] of CLASSES) made.classes[name] = gained(by(now, name), by(before, name)) / seconds;
  const older = history.filter((it) => sameServer(now, it.status) && now.time - it.status.time <= WINDOW + 0.5)[0];
  const since = older ? older.status : before;
  for (const [name, part] of PERCENTILES) made.percentiles[name] = percentile(now.traffic.latency, since.traffic.latency, part);
  made.queue = percentile(now.traffic.queue, since.traffic.queue, 0.99);
  made.tasks = now.tasks && before.tasks && now.tasks.answers && before.tasks.answers ? (queue, event) =>
    Math.max(0, total(now, queue, event) - total(before, queue, event)) / seconds : null;
  for (const it of now.companions) {
    const past = older && older.status.companions.find((old) => it.pid !== null && old.pid === it.pid);
    if (past && it.cpu_seconds !== null) made.companions[it.pid] = Math.max(0, it.cpu_seconds - past.cpu_seconds) / (now.time - older.status.time);
  }
  for (const worker of now.workers) {
    const old = before.workers.find((it) => it.pid === worker.pid);
    made.rates[worker.pid] = old ? gained(worker.requests, old.requests) / seconds : null;
    // Processor time is measured less often than it is shown.
    const past = older && older.status.workers.find((it) => it.pid === worker.pid);
    const span = older ? now.time - older.status.time : 0;
    if (past && worker.cpu_seconds !== null) made.cpu[worker.slot] = Math.max(0, worker.cpu_seconds - past.cpu_seconds) / span;
  }
  return made;
}

// What has happened in a queue.
const total = (status, queue, event) =>
  status.tasks.tasks.filter((it) => it.queue === queue).reduce((sum, it) => sum + (it[event] || 0), 0);

function queueRow(it, rate) {
  const made = document.createElement("tr");
  const many = (state) => it.tasks[state] || 0;
  const happened = (event) => (rate ? number(rate(it.queue, event)) : "–");
  const cells = [[it.queue], ...["ready", "unknown", "scheduled", "running"].map((state) => [many(state), "n"]),
    [many("failed"), many("failed") ? "n warn" : "n"], [time(it.oldest_wait_seconds), "n"], [happened("started"), "n"], [happened("succeeded"), "n"],
    [happened("retried"), "n"], [happened("failed"), rate && rate(it.queue, "failed") > 0 ? "n bad" : "n"]];
  for (const [text, className] of cells) made.append(element("td", text, className));
  return made;
}

// What a companion is called: with its number if there are several of its name.
const called = (it, all) => (all.filter((other) => other.name === it.name).length > 1 ? `${it.name}-${it.replica}` : it.name);

function companionRow(it, all, cpu) {
  const made = document.createElement("tr");
  const tone = { ready: "ok", finished: "muted", stopped: "muted", "backing-off": "bad", failed: "bad" }[it.state] || "warn";
  const next = it.next_attempt_seconds === null ? "" : `, next attempt in ${time(it.next_attempt_seconds)}`;
  const end = it.last_exit ? `${it.last_exit.status} ${time(it.last_exit.seconds_ago)} ago` : "–";
  const cells = [[called(it, all)], [it.pid === null ? "–" : it.pid], [it.state.replace("-", " ") + next, tone], [time(it.age_seconds), "n"],
    [it.restarts, it.crashes ? "n warn" : "n"], [bytes(it.memory_bytes), "n"], [cpu === undefined ? "–" : percent(cpu), "n"],
    [it.not_ready_because ? `${it.not_ready_because}; ${end}` : end]];
  for (const [text, className] of cells) made.append(element("td", text, className));
  return made;
}

function key(id, entries) {
  $(id).replaceChildren(...entries.map(([name, paint]) => {
    const made = element("span", name);
    made.style.setProperty("--c", `var(${paint})`);
    return made;
  }));
}

// Lines, or areas upon one another, over the last minutes.
function chart(id, series, format, { stacked, log } = {}) {
  const canvas = $(id), scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale)) { canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale); }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const [left, bottom, top] = [58, 18, 8], right = width - 6, floor = height - bottom;
  const points = history.map((it) => it.point), end = points.length ? points[points.length - 1].at : 0;
  let high = 0;
  for (const it of points) {
    const values = series.map(({ value }) => value(it) || 0);
    high = Math.max(high, stacked ? values.reduce((a, b) => a + b, 0) : Math.max(0, ...values));
  }
  // Times differ by orders of magnitude: their axis is logarithmic, from 100 µs on.
  const low = 1e-4, decades = Math.max(2, Math.ceil(Math.log10(Math.max(high, low) / low) - 0.01));
  high = high ? high * 1.1 : 1;
  const part = log ? (value) => Math.max(0, Math.log10(value / low)) / decades : (value) => value / high;
  const x = (at) => right - (end - at) / KEEP * (right - left), y = (value) => floor - part(value) * (floor - top);
  const steps = log ? Array.from({ length: decades + 1 }, (_, n) => low * 10 ** n) : [0, 1, 2, 3].map((n) => high * n / 3);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = color("--muted");
  pen.strokeStyle = color("--grid");
  pen.lineWidth = 1;
  for (const value of steps) {
    pen.beginPath(); pen.moveTo(left, y(value)); pen.lineTo(right, y(value)); pen.stroke();
    pen.textAlign = "right"; pen.fillText(format(value), left - 6, y(value) + 4);
  }
  for (const [ago, align] of [[KEEP, "left"], [KEEP / 2, "center"], [0, "right"]]) {
    pen.textAlign = align; pen.fillText(ago ? `−${ago} s` : "now", x(end - ago), height - 4);
  }
  const base = points.map(() => 0);
  for (const { value, paint } of series) {
    pen.strokeStyle = pen.fillStyle = color(paint);
    pen.lineWidth = 1.8;
    pen.beginPath();
    let drawn = false;
    const tops = points.map((it, n) => { const found = value(it); return found === null || found === undefined ? null : base[n] + found; });
    tops.forEach((found, n) => {
      if (found === null) { drawn = stacked && drawn; return; }
      drawn ? pen.lineTo(x(points[n].at), y(found)) : pen.moveTo(x(points[n].at), y(found));
      drawn = true;
    });
    pen.stroke();
    if (stacked) {
      for (let n = points.length - 1; n >= 0; n--) if (tops[n] !== null) pen.lineTo(x(points[n].at), y(base[n]));
      pen.globalAlpha = 0.25; pen.fill(); pen.globalAlpha = 1;
      tops.forEach((found, n) => { if (found !== null) base[n] = found; });
    }
  }
}

function row(worker, rates, cpu, isTask) {
  const made = document.createElement("tr");
  const state = worker.leaving ? `${worker.state} (${worker.leaving})` : worker.state;
  const tone = { serving: "ok", starting: "warn", draining: "warn" }[worker.state] || "bad";
  const busy = worker.blocked_seconds, busyTone = busy > 1 ? "bad" : busy > 0.1 ? "warn" : "";
  const used = isTask ? undefined : cpu[worker.slot];
  const cells = [[(isTask ? "t" : "") + worker.slot], [worker.pid === null ? "–" : worker.pid], [state, tone], [time(worker.age_seconds), "n"],
    [isTask ? "–" : number(rates[worker.pid]), "n"], [worker.in_flight, "n"], [isTask ? "–" : worker.connections, "n"], [bytes(worker.memory_bytes), "n"],
    [used === undefined ? "–" : percent(used), "n"], [busy > 0.001 ? time(busy) : "–", "n " + busyTone]];
  for (const [text, className] of cells) made.append(element("td", text, className));
  const doing = element("td", undefined, "doing");
  for (const it of worker.handling) {
    const kind = { background: "after ", websocket: "WebSocket " }[it.kind] || "";
    const method = it.kind === "task" ? "" : it.method + " ";
    const line = element("div", `${kind}${method}${it.path} ${time(it.age_seconds)}${it.client ? " " + it.client : ""}`, it.age_seconds > 1 && it.kind === "request" ? "warn" : "");
    line.title = it.request_id;
    doing.append(line);
  }
  const more = worker.in_flight + worker.websockets - worker.handling.length;
  if (more > 0) doing.append(element("div", `and ${more} more`, "muted"));
  if (!doing.childElementCount) doing.append(element("span", "nothing", "muted"));
  made.append(doing);
  return made;
}

function show() {
  const { status, point: last } = history[history.length - 1], { server, traffic } = status;
  const tone = server.ready ? "ok" : server.state === "starting" ? "warn" : "bad";
  $("state").textContent = server.state; $("state").className = "pill " + tone;
  const facts = [server.version, `up ${time(server.uptime_seconds)}`, `pid ${server.pid}`, `generation ${server.generation}`, ...server.listeners];
  if (server.last_reload) facts.push(`reload ${server.last_reload.outcome} ${time(server.last_reload.seconds_ago)} ago`);
  $("facts").textContent = facts.join(" · ");
  document.title = `${server.state} · hostler`;
  trouble(server.ready ? null : "Not ready: " + server.not_ready_because);
  const all = Object.values(last.classes), sum = all.length ? all.reduce((a, b) => a + b, 0) : null;
  $("rate").textContent = number(sum);
  $("errors").textContent = number(all.length ? last.classes["5xx"] : null);
  $("errors").className = last.classes["5xx"] > 0 ? "bad" : "";
  $("p99").textContent = time(last.percentiles["99 %"]);
  $("queue").textContent = time(last.queue);
  $("flight").textContent = number(traffic.in_flight);
  $("connections").textContent = number(traffic.connections);
  $("websockets").textContent = number(traffic.websockets);
  $("workers-serving").textContent = `${server.workers_serving} of ${server.workers_wanted}`;
  $("workers-serving").className = server.workers_serving < server.workers_wanted ? "warn" : "";
  $("workers").replaceChildren(...status.workers.map((worker) => row(worker, last.rates, last.cpu)),
    ...status.task_workers.map((worker) => row(worker, last.rates, last.cpu, true)));
  $("tasks").hidden = !status.tasks;
  if (status.tasks) {
    $("tasks-trouble").hidden = status.tasks.answers;
    $("queues").replaceChildren(...status.tasks.queues.map((it) => queueRow(it, last.tasks)));
  }
  $("companions").hidden = !status.companions.length;
  $("companion-rows").replaceChildren(...status.companions.map((it) => companionRow(it, status.companions, last.companions[it.pid])));
  const ended = Object.entries(server.workers_ended).map(([why, count]) => `${why} ${count}`).join(", ");
  $("ended").textContent = `${server.workers_started} workers started` + (ended ? `; ended: ${ended}` : "") + (traffic.requests_lost ? `; ${traffic.requests_lost} requests lost` : "");
  draw();
}

function draw() {
  const seen = CLASSES.filter(([name]) => history.some(({ point }) => point.classes[name] > 0));
  const classes = seen.length ? seen : CLASSES.slice(0, 1);
  key("load-key", classes.map(([name, paint]) => [name, paint]));
  chart("load", classes.map(([name, paint]) => ({ paint, value: (it) => it.classes[name] })), number, { stacked: true });
  key("latency-key", PERCENTILES.map(([name, , paint]) => [name, paint]));
  chart("latency", PERCENTILES.map(([name, , paint]) => ({ paint, value: (it) => it.percentiles[name] })), time, { log: true });
  const slots = [...new Set(history.flatMap(({ status }) => status.workers.map((worker) => worker.slot)))].sort((a, b) => a - b);
  for (const [id, format] of [["memory", bytes], ["cpu", percent]]) {
    key(id + "-key", slots.length > 12 ? [] : slots.map((slot) => ["" + slot, slotColor(slot)]));
    chart(id, slots.map((slot) => ({ paint: slotColor(slot), value: (it) => it[id][slot] })), format);
  }
}

function trouble(text) {
  $("trouble").hidden = !text;
  $("trouble").textContent = text || "";
}

async function ask() {
  try {
    const response = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error("HTTP " + response.status);
    const status = await response.json();
    const before = history.length ? history[history.length - 1].status : null;
    history.push({ status, point: point(status, before) });
    while (history.length > KEEP) history.shift();
    failures = 0;
    show();
  } catch (error) {
    failures += 1;
    if (failures > 1) {
      trouble("The server does not answer: " + error.message);
      $("state").textContent = "unknown"; $("state").className = "pill bad";
    }
  }
  setTimeout(ask, document.hidden ? 5 * EVERY : EVERY);
}

addEventListener("resize", () => history.length && draw());
ask();
