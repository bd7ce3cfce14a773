// The page is whole without this: it lets entrants be hidden, and shows numbers at the pointer.
(() => {
  const page = JSON.parse(document.getElementById("values").textContent);
  const hidden = new Set();

  function toggle(place) {
    hidden.delete(place) || hidden.add(place);
    document.documentElement.classList.toggle(`no-e${place}`, hidden.has(place));
    for (const button of document.querySelectorAll(`button[data-e="${place}"]`)) {
      button.setAttribute("aria-pressed", String(!hidden.has(place)));
    }
  }

  for (const name of document.querySelectorAll(".entrant[data-e]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "entrant";
    button.dataset.e = name.dataset.e;
    button.title = "show or hide";
    button.setAttribute("aria-pressed", "true");
    button.append(...name.childNodes);
    button.addEventListener("click", () => toggle(name.dataset.e));
    name.replaceWith(button);
  }
  for (const legend of document.querySelectorAll(".legend")) legend.hidden = false;

  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.querySelector("main").append(tip);

  // A box: left, top, width, height as shares of the picture, both ends of x, and 1 if logarithmic.
  function valueAt([left, , width, , first, last, log], share) {
    const part = (share - left) / width;
    return log ? first * (last / first) ** part : first + part * (last - first);
  }

  function nearest(points, x, value) {
    return points.reduce((a, b) => (Math.abs(b[x] - value) < Math.abs(a[x] - value) ? b : a));
  }

  function show(event, svg, boxes, curve, x) {
    const area = svg.getBoundingClientRect();
    const across = (event.clientX - area.left) / area.width;
    const down = (event.clientY - area.top) / area.height;
    const box = boxes.find(([left, top, width, height]) =>
      across >= left && across <= left + width && down >= top && down <= top + height);
    tip.hidden = !box;
    if (!box) return;
    const value = valueAt(box, across);
    tip.replaceChildren();
    for (const [place, points] of Object.entries(curve)) {
      if (hidden.has(place) || !points.length) continue;
      const point = nearest(points, x, value);
      const line = document.createElement("div");
      const at = point[x].toLocaleString("en") + (x ? " s" : " steps");
      line.textContent = `${page.names[place]}: ${point[2]} at ${at}`;
      tip.append(line);
    }
    const right = event.clientX + 16 + tip.offsetWidth > innerWidth;
    tip.style.left = `${Math.max(4, event.clientX + (right ? -16 - tip.offsetWidth : 16))}px`;
    tip.style.top = `${Math.min(event.clientY + 12, innerHeight - tip.offsetHeight - 4)}px`;
  }

  for (const plot of document.querySelectorAll("[data-curve]")) {
    const boxes = JSON.parse(plot.dataset.boxes);
    const curve = page.curves[plot.dataset.curve];
    const svg = plot.querySelector("svg");
    svg.addEventListener("pointermove", (event) =>
      show(event, svg, boxes, curve, Number(plot.dataset.x)));
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
})();
