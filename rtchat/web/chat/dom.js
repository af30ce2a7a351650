// @ts-check
/**
 * Elements, made by hand. Must never: take markup; every text is text, and every attribute's name
 * is the program's own.
 */

const SVG = "http://www.w3.org/2000/svg"

/**
 * @param {string} name of the element, and behind a dot its classes: "p.told bad"
 * @param {Record<string, any>} [attributes] those that begin with `on` are listeners; null, false
 *   and undefined: left out
 * @param {(Node | string | null | undefined | false)[]} children
 * @returns {any} the element; what it is the caller knows by its name
 */
export function h(name, attributes = {}, ...children) {
  const [tag, classes] = name.split(".")
  const element = document.createElement(tag)
  if (classes) element.className = classes
  if (tag === "button") element.setAttribute("type", "button")
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value)
    else set(element, key, value)
  }
  element.append(...children.filter((child) => child != null && child !== false).map(asNode))
  return element
}

/** @param {any} child */
const asNode = (child) => (child instanceof Node ? child : String(child))

/** @param {Element} element @param {string} key @param {any} value */
export function set(element, key, value) {
  if (value == null || value === false) element.removeAttribute(key)
  else if (element.getAttribute(key) !== String(value)) {
    element.setAttribute(key, value === true ? "" : String(value))
  }
}

/** Its text, left alone where it is the same. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

// Strokes on 24 × 24.
const PATHS = {
  hash: "M9 4 7 20M17 4l-2 16M4 9h16M4 15h16",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M5 11h14v9H5z",
  plus: "M12 5v14M5 12h14",
  people: "M9 11a3.5 3.5 0 1 0-.1 0zM3 20c0-4 3-6 6-6s6 2 6 6M16 4a3.5 3.5 0 0 1 0 7M18 15q3 1 3 5",
  close: "M6 6l12 12M18 6 6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5",
  down: "M12 5v14M6 13l6 6 6-6",
  send: "M4 12 20 4l-5 16-3.5-6.5zM11.5 13.5 20 4",
  more: "M5 12v.01M12 12v.01M19 12v.01",
  alert: "M12 4 2.5 20h19zM12 10v4M12 17v.01",
}

/** @typedef {keyof typeof PATHS | `${"M" | "m"}${string}`} Drawing by name, or what is drawn */

/** A drawing that says nothing by itself: who uses it names what it stands for. */
export function icon(/** @type {Drawing} */ name) {
  const drawing = document.createElementNS(SVG, "svg")
  const path = document.createElementNS(SVG, "path")
  drawing.setAttribute("viewBox", "0 0 24 24")
  drawing.setAttribute("class", "icon")
  drawing.setAttribute("aria-hidden", "true")
  path.setAttribute("d", PATHS[/** @type {keyof typeof PATHS} */ (name)] ?? name)
  drawing.append(path)
  return drawing
}

/**
 * A button that is a drawing, with its name for those who listen and as a tip.
 * @param {Drawing} drawing @param {string} name @param {() => void} onclick
 * @param {Record<string, any>} [more]
 */
export function iconButton(drawing, name, onclick, more = {}) {
  return h(
    "button.icon-button",
    { "aria-label": name, title: name, onclick, ...more },
    icon(drawing),
  )
}
