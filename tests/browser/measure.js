// Gives what is wrong with the page as it stands, one line for each fault; axe-core does not look at these.
() => {
  const faults = [];
  const html = document.documentElement;
  const name = (element) => {
    const words = (element.getAttribute("aria-label") || element.value || element.innerText || "").trim();
    return `<${element.localName}${element.id ? "#" + element.id : ""}> ${words.slice(0, 40)}`;
  };
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true })
    && !element.closest("[aria-hidden=true]");
  // Hidden from the eye and there for the ear.
  const isForTheEar = (box) => box.width <= 1 || box.height <= 1;

  if (!html.lang) faults.push("the page has no lang");
  if (!["ltr", "rtl"].includes(html.dir)) faults.push("the page has no dir");
  const heads = [...document.querySelectorAll("h1")];
  if (heads.length !== 1) faults.push(`${heads.length} h1`);
  const [title, site, ...more] = document.title.split(" · ");
  if (!title || !site || more.length) faults.push(`a title that is not "page · site": ${document.title}`);
  if (!document.querySelector("main")) faults.push("no main");

  if (html.scrollWidth > window.innerWidth) faults.push(`scrolls sideways: ${html.scrollWidth} px`);
  for (const element of document.body.querySelectorAll("*:not(option, optgroup)")) {
    if (!isShown(element)) continue;
    const box = element.getBoundingClientRect();
    if (isForTheEar(box)) continue;
    if (box.left < -0.5 || box.right > window.innerWidth + 0.5) faults.push(`leaves the page: ${name(element)}`);
    const style = getComputedStyle(element);
    const isCut = (axis, inside, outside) => style[`overflow${axis}`] !== "visible" && inside > outside + 1;
    if (isCut("X", element.scrollWidth, element.clientWidth)) faults.push(`is cut at its side: ${name(element)}`);
    if (isCut("Y", element.scrollHeight, element.clientHeight)) faults.push(`is cut below: ${name(element)}`);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      const moves = [style.transitionDuration, style.animationDuration].join().split(",");
      if (moves.some((each) => parseFloat(each) > 0)) faults.push(`moves: ${name(element)}`);
    }
  }

  const controls = "a[href], button, summary, select, textarea, input:not([type=hidden])";
  for (const element of document.querySelectorAll(controls)) {
    if (!isShown(element)) continue;
    // The label of a box is a part of its target.
    const isBox = ["checkbox", "radio"].includes(element.type);
    const parts = isBox ? [element, ...element.labels] : [element];
    const boxes = parts.map((each) => each.getBoundingClientRect());
    const [width, height] = ["width", "height"].map((side) => Math.max(...boxes.map((each) => each[side])));
    const text = element.parentElement.innerText.trim();
    const isInText = element.localName === "a" && text.length > element.innerText.trim().length;
    const least = element.localName === "a" || isBox || element.localName === "summary" ? 24 : 44;
    if (!isInText && Math.min(width, height) < least - 0.5) {
      faults.push(`is ${Math.round(width)} by ${Math.round(height)} px, less than ${least}: ${name(element)}`);
    }
    if (matchMedia("(forced-colors: active)").matches && element.localName === "button") {
      const style = getComputedStyle(element);
      if (style.color === style.backgroundColor) faults.push(`cannot be read in forced colours: ${name(element)}`);
      if (!(parseFloat(style.borderTopWidth) >= 1)) faults.push(`has no edge in forced colours: ${name(element)}`);
    }
  }
  return faults;
}
