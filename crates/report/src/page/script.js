// Tips: what lies under or near the pointer tells its value. Without this script the browser's own
// tips do, from the same titles.
(() => {
  "use strict";
  const REACH = 32; // How far a pointer may be from a spot, in units of the drawing.
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "tip";
  tip.hidden = true;
  let lit = null;

  const hide = () => {
    tip.hidden = true;
    if (lit) lit.classList.remove("lit");
    lit = null;
  };

  const show = (hit, event) => {
    if (lit !== hit.shape) {
      hide();
      lit = hit.shape;
      lit.classList.add("lit");
      tip.textContent = hit.text;
    }
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + 14 + width > innerWidth;
    const below = event.clientY - height - 12 < 0;
    tip.style.left = Math.max(4, event.clientX + (right ? -14 - width : 14)) + "px";
    tip.style.top = event.clientY + (below ? 16 : -height - 10) + "px";
  };

  for (const svg of document.querySelectorAll("figure svg")) {
    const name = svg.querySelector(":scope > title");
    svg.setAttribute("aria-label", name.textContent);
    name.remove();
    const bars = new Map();
    const spots = [];
    for (const title of svg.querySelectorAll("rect > title, circle > title")) {
      const shape = title.parentNode;
      const hit = { shape, text: title.textContent };
      title.remove();
      if (shape.tagName === "rect") bars.set(shape, hit);
      else spots.push({ ...hit, x: shape.cx.baseVal.value, y: shape.cy.baseVal.value });
    }
    const nearest = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      let best = null;
      let least = REACH * REACH;
      for (const spot of spots) {
        const distance = (spot.x - at.x) ** 2 + (spot.y - at.y) ** 2;
        if (distance < least) [best, least] = [spot, distance];
      }
      return best;
    };
    const move = (event) => {
      const hit = bars.get(event.target) || nearest(event);
      if (hit) show(hit, event);
      else hide();
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
    svg.addEventListener("pointerleave", hide);
  }
})();
