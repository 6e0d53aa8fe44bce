// Keeps the status page current. Values are put in place as text, never as markup.
"use strict";

const INTERVAL_MS = 2000;

const show = {
  seconds: (value) => {
    if (value === null) return "none";
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      if (value >= size) return `${(value / size).toFixed(1)} ${unit}`;
    }
    return `${value.toFixed(1)} s`;
  },
  bytes: (value) => {
    for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
      if (value >= size) return `${(value / size).toFixed(1)} ${unit}`;
    }
    return `${value} B`;
  },
};

function field(status, path) {
  return path.split(".").reduce((part, name) => part[name], status);
}

function shardRow(shard) {
  const row = document.createElement("tr");
  if (!shard.available) row.className = "away";
  const texts = [shard.shard, shard.available ? "available" : "away", shard.groups, shard.records, shard.vectors,
    show.bytes(shard.memory_bytes), show.bytes(shard.log_bytes)];
  texts.forEach((text, column) => {
    const cell = row.insertCell();
    cell.textContent = text;
    if (column >= 2) cell.className = "number";
  });
  return row;
}

function update(status) {
  for (const element of document.querySelectorAll("[data-field]")) {
    const value = field(status, element.dataset.field);
    element.textContent = element.dataset.as ? show[element.dataset.as](value) : value;
  }
  const progress = document.getElementById("progress");
  progress.max = status.instances.stored || 1;
  progress.value = status.instances.stored - status.instances.pending;
  document.getElementById("index-away").hidden = status.index.available;
  document.querySelector("#shards tbody").replaceChildren(...status.index.shards.map(shardRow));
}

async function refresh() {
  const notice = document.getElementById("notice");
  try {
    const response = await fetch("/api/status");
    if (!response.ok) throw new Error(`status ${response.status}`);
    update(await response.json());
    notice.hidden = true;
  } catch (error) {
    notice.textContent = `The node does not answer (${error.message}); what is shown is old.`;
    notice.hidden = false;
  }
  setTimeout(refresh, INTERVAL_MS);
}

refresh();
