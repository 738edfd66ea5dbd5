// Keeps a page up to date: parts that the server renders anew, and clocks. Without it, a reload does the same.

const SECONDS = 2;

for (const part of document.querySelectorAll("[data-refresh]")) refresh(part);
setInterval(tick, 500);

async function refresh(part) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
    if (document.hidden) continue;
    let answer, text;
    try {
      answer = await fetch(part.dataset.refresh);
      text = await answer.text();
    } catch {
      notice("The console does not answer: it is tried again. `lab up` starts it.");
      continue;
    }
    const state = answer.headers.get("X-State");
    if (!answer.ok) {
      notice(answer.status === 503 ? "The lab has a problem: reload the page to read what it is." : `The console answers ${answer.status}.`);
    } else if (state !== part.dataset.state) {
      if (!isBeingEdited()) return location.reload();
      notice("The run has changed: reload the page to see how.");
    } else {
      notice("");
      replace(part, text);
    }
  }
}

// What has focus keeps it, as far as it is still there.
function replace(part, html) {
  if (part.dataset.shown === html) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...part.querySelectorAll("details")].map((one) => one.open);
  part.innerHTML = part.dataset.shown = html;
  part.querySelectorAll("details").forEach((one, index) => (one.open = open[index]));
  if (focused) document.getElementById(focused)?.focus();
}

// A reload would throw away notes that nobody has sent yet.
function isBeingEdited() {
  return [...document.querySelectorAll("textarea, select")].some((field) =>
    field.tagName === "SELECT" ? field.selectedIndex > 0 && !field.options[field.selectedIndex].defaultSelected : field.value !== field.defaultValue);
}

function notice(text) {
  let line = document.getElementById("trouble");
  if (!line) {
    line = Object.assign(document.createElement("p"), { id: "trouble", className: "notice bad", hidden: true });
    line.setAttribute("role", "status");
    document.getElementById("content").prepend(line);
  }
  if (line.textContent !== text) line.textContent = text;
  line.hidden = !text;
}

function tick() {
  const passed = performance.now() / 1000;
  for (const clock of document.querySelectorAll("[data-clock]")) {
    const now = Number(clock.dataset.now) + passed;
    const seconds = Math.max(0, Math.floor("down" in clock.dataset ? clock.dataset.clock - now : now - clock.dataset.clock));
    clock.textContent = `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
  }
}
