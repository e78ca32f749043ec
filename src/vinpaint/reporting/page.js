"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Tables sort by a click on a head; cells tell their value where it is not their text, and empty ones stay last.
  const numeric = (cell) => (cell.dataset.value === "" ? null : Number(cell.dataset.value));
  const names = new Intl.Collator("en", { numeric: true });
  const sort = (table, index, ascending) => {
    const body = table.tBodies[0];
    const cells = [...body.rows].map((row) => row.cells[index]);
    const compare = (a, b) => {
      if (a.dataset.value === undefined) return (ascending ? 1 : -1) * names.compare(a.textContent, b.textContent);
      const [x, y] = [numeric(a), numeric(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (ascending ? 1 : -1) * (x - y);
    };
    cells.sort(compare).forEach((cell) => body.append(cell.parentElement));
  };
  for (const table of all("table.sorts")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      head.querySelector("button").addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const higherFirst = head.querySelector('.way[aria-label^="higher"]') !== null;
        const ascending = before === null ? !higherFirst : before === "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sort(table, index, ascending);
      });
    });
  }

  // Pictures are kept once, however often they are shown.
  for (const element of all("[data-key]")) element.src = data.media[element.dataset.key];
  for (const figure of all(".compare")) {
    const views = JSON.parse(figure.dataset.views);
    const range = figure.querySelector("input");
    const stage = figure.querySelector(".stage");
    const show = (image, select) => {
      const view = select.options[select.selectedIndex];
      figure.querySelector(image).src = data.media[views[select.value]];
      figure.querySelector(image).alt = view.textContent;
    };
    // The left picture lies over the right one and is cut at the seam.
    const pairs = [[".over", figure.querySelector(".left")], [".under", figure.querySelector(".right")]];
    for (const [image, select] of pairs) {
      show(image, select);
      select.addEventListener("change", () => show(image, select));
    }
    const move = () => stage.style.setProperty("--at", `${range.value}%`);
    range.addEventListener("input", move);
    move();
  }

  // The videos of a clip start together; they play by themselves only while seen, and not for who wants less motion.
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const films of all(".films")) {
    const videos = all("video", films);
    const button = films.querySelector(".play");
    const play = (wanted) => {
      button.setAttribute("aria-pressed", String(wanted));
      button.textContent = wanted ? "Pause all" : "Play all";
      for (const video of videos) {
        if (!wanted) video.pause();
        else video.play().catch(() => {});
      }
    };
    let stopped = calm;
    button.addEventListener("click", () => {
      const wanted = button.getAttribute("aria-pressed") !== "true";
      stopped = !wanted;
      if (wanted) videos.forEach((video) => { video.currentTime = 0; });
      play(wanted);
    });
    new IntersectionObserver((entries) => {
      const seen = entries[entries.length - 1].isIntersecting;
      if (!stopped) play(seen);
    }).observe(films);
  }

  // Marks of plots tell what they stand for when they are pointed at or touched.
  const tip = document.getElementById("tip");
  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest("[data-tip]");
    tip.hidden = mark === null;
    if (mark === null) return;
    tip.textContent = mark.dataset.tip;
    const box = mark.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.x + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    const above = box.y - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
  });

  // Settings in which two jobs differ.
  const first = document.getElementById("first");
  if (first === null) return;
  const second = document.getElementById("second");
  const body = document.getElementById("settings");
  const compare = () => {
    const [a, b] = [data.values[first.value], data.values[second.value]];
    const rows = data.keys.map((key, index) => [key, a[index], b[index]]).filter((row) => row[1] !== row[2]);
    body.replaceChildren(...rows.map((texts) => {
      const row = document.createElement("tr");
      for (const text of texts) {
        const cell = row.insertCell();
        cell.textContent = text === null ? "–" : text;
      }
      return row;
    }));
    const same = data.same + data.keys.length - rows.length;
    document.getElementById("shared").textContent =
      `${rows.length} ${rows.length === 1 ? "setting differs" : "settings differ"}, ${same} are the same.`;
  };
  first.addEventListener("change", compare);
  second.addEventListener("change", compare);
  compare();
})();
