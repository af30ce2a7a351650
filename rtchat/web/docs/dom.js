// @ts-check
/**
 * Making elements. What comes from a server or a person goes in as text, never as markup: this is
 * the one place that makes elements, and it knows no `innerHTML`.
 */

/**
 * An element with attributes and children; an attribute `onclick` is a listener, one that is
 * false, null or undefined is left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, "")
    else if (value !== false && value != null) element.setAttribute(name, String(value))
  }
  element.append(...children.filter((child) => child !== null))
  return element
}

/**
 * The element with this id, which the page has.
 * @param {string} id
 */
export function byId(id) {
  const found = document.getElementById(id)
  if (!found) throw new Error(`no #${id} on this page`)
  return found
}

/**
 * Text with `code` and **bold** in it, as nodes.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.length > 2 && part.startsWith("`")) return el("code", {}, part.slice(1, -1))
    if (part.length > 4 && part.startsWith("**")) return el("b", {}, ...inline(part.slice(2, -2)))
    return part
  })
}

/**
 * Paragraphs and lists of such text: as much of Markdown as this server's documents use.
 * @param {string} text
 */
export function prose(text) {
  const parts = text.trim().split(/\n\s*\n/)
  return parts.filter(Boolean).map((part) => {
    if (!part.startsWith("- ")) return el("p", {}, ...inline(part.replace(/\s+/g, " ")))
    const items = part.slice(2).split(/\n- /)
    return el("ul", {}, ...items.map((item) => el("li", {}, ...inline(item.replace(/\s+/g, " ")))))
  })
}
