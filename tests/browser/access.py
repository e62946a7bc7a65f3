"""What an accessibility checker would look at, by hand: names, headings, labels, contrast, targets, overflow."""

# Each returns a list of faults, so that an empty list is good.

NAMELESS = """() => [...document.querySelectorAll("button, a[href], input, select, textarea")]
  .filter((element) => element.checkVisibility())
  .filter((element) => {
    const labelled = (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("");
    const name = element.getAttribute("aria-label") || labelled || [...(element.labels ?? [])].map((label) => label.textContent).join("") || element.textContent;
    return name.trim() === "";
  })
  .map((element) => element.outerHTML.slice(0, 120))"""

HEADINGS = """() => {
  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter((one) => one.checkVisibility());
  const faults = levels.filter((one, i) => i > 0 && Number(one.tagName[1]) > Number(levels[i - 1].tagName[1]) + 1);
  const first = levels.filter((one) => one.tagName === "H1");
  return [...faults.map((one) => `${one.tagName} ${one.textContent} skips a level`), ...(first.length === 1 ? [] : [`${first.length} h1`])];
}"""

LANDMARKS = """() => ["header", "main", "[role=search]", "html[lang]", "[aria-live=polite]"]
  .filter((wanted) => document.querySelectorAll(wanted).length !== 1).map((wanted) => `not one ${wanted}`)
  .concat([...document.querySelectorAll("main section[aria-labelledby], [aria-labelledby]")]
    .filter((one) => !document.getElementById(one.getAttribute("aria-labelledby"))).map((one) => `no label for ${one.id}`))
  .concat([...document.querySelectorAll("table")].filter((table) => !table.caption || !table.querySelector("th[scope=col]"))
    .map((table) => "a table without caption or heads"))
  .concat([...document.querySelectorAll("[id]")].map((one) => one.id).filter((id, i, all) => all.indexOf(id) !== i).map((id) => `id ${id} twice`))"""

# WCAG 2: relative luminance of each text and of what lies behind it. 4.5, or 3 for large text.
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      if (color[3] === 255) return color;
      if (color[3] > 0) throw new Error("half transparent background");
    }
    return [255, 255, 255, 255];
  };
  const faults = [];
  let seen = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== "");
    if (!own || !element.checkVisibility({ visibilityProperty: true }) || element.closest("script, .unseen, noscript")) continue;
    const style = getComputedStyle(element);
    const [light, dark] = [luminance(rgba(style.color)), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    seen += 1;
    if (ratio < (large ? 3 : 4.5)) faults.push(`${ratio.toFixed(2)} for "${element.textContent.trim().slice(0, 40)}"`);
  }
  return seen < 10 ? ["no text was found"] : [...new Set(faults)];
}"""

# A finger needs 44 px, or 24 in a line of text.
TARGETS = """() => [...document.querySelectorAll("button, input, a[href]:not(.skip)")].filter((one) => one.checkVisibility())
  .map((one) => [one, one.getBoundingClientRect()])
  .filter(([one, box]) => box.height < (one.tagName === "A" ? 24 : 43.5) || box.width < 24)
  .map(([one, box]) => `${one.textContent || one.id}: ${Math.round(box.width)} x ${Math.round(box.height)}`)"""

OVERFLOW = """() => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const sticking = [...document.querySelectorAll(".tile, .card, .facts, #customer-body section, .empty, .banner")]
    .filter((one) => one.scrollWidth > one.clientWidth).map((one) => `something sticks out of ${one.className || one.id}`);
  if (wide <= 0) return sticking;
  const out = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
  return [`${wide} px too wide`, ...out.slice(0, 5).map((one) => one.outerHTML.slice(0, 100))];
}"""

ALL = {
    "every button, link and field has a name": NAMELESS,
    "headings are in order": HEADINGS,
    "landmarks, labels and tables are whole": LANDMARKS,
    "text has enough contrast": CONTRAST,
    "targets are large enough": TARGETS,
    "nothing scrolls sideways": OVERFLOW,
}


# Half way through a transition colours are of neither state. One without end cannot be finished.
SETTLE = "() => document.getAnimations().forEach((one) => { try { one.finish(); } catch { one.cancel(); } })"


def check(checks, where, page):
    page.evaluate(SETTLE)
    for what, script in ALL.items():
        checks.none(f"{where}: {what}", page.evaluate(script))


def walk(page, steps):
    """Presses Tab and tells the names of what it reaches, with whether the focus can be seen there."""
    reached = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("""() => {
          const one = document.activeElement;
          const style = getComputedStyle(one);
          const name = one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent;
          return [name.trim(), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
        }"""))
    return reached
