/** @param {string} id */
export function $(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return element;
}

/**
 * Makes an element. `class`, `dataset` and `on…` are what they look like; everything else is a
 * property where the element has one, an attribute otherwise.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any> | null} [props]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined) continue;
    if (key === "class") element.className = value;
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria")) Reflect.set(element, key, value);
    else element.setAttribute(key, String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

/**
 * Writes only what differs, so that nothing is laid out again for an equal text.
 * @param {Element} element @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Element} element @param {string} name @param {string | null} value */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * A wash of colour that fades: a number has moved.
 * @param {Element} element @param {number} direction
 */
export function flash(element, direction) {
  if (still.matches || direction === 0) return;
  for (const running of element.getAnimations()) running.cancel();
  const colour = direction > 0 ? "var(--up-wash)" : "var(--down-wash)";
  element.animate([{ backgroundColor: colour }, { backgroundColor: "transparent" }], { duration: 900, easing: "ease-out" });
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;

/** @param {string} text */
export function toast(text) {
  const element = $("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => element.classList.remove("shown"), 2600);
}

/**
 * Copies, also where the page came over plain HTTP from another machine and has no clipboard API.
 * @param {string} text @param {string} what
 */
export async function copy(text, what) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const area = h("textarea", { value: text, "aria-label": what });
    area.className = "hidden";
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  toast(done ? `${what} copied` : `The browser does not let the page copy: ${text}`);
}

/**
 * The colour that a custom property has in the present theme, resolved for canvases.
 * @param {string} name
 */
export function colour(name) {
  const probe = $("toast");
  probe.style.setProperty("border-top-color", `var(${name})`);
  const resolved = getComputedStyle(probe).borderTopColor;
  probe.style.removeProperty("border-top-color");
  return resolved;
}
