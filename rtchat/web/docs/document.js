// @ts-check
/**
 * Reading an AsyncAPI 3 document: its frames, their fields, what they are answered with.
 *
 * Owns: what of AsyncAPI and JSON Schema this server's document uses, and no more. Pure.
 */

const DEPTH_MAX = 4 // of fields within fields; a schema that refers to itself ends here
const SAFE_INTEGER = 2 ** 53 - 1 // the bound of every id; nobody needs to read it

/**
 * @typedef {Record<string, any>} Node_
 * @typedef {{path: string, kind: string, bounds: string, required: boolean, words: string}} Field
 * @typedef {{
 *   id: string, t: string, from: "client" | "server", group: string, words: string,
 *   fields: Field[], examples: Node_[], answers: {id: string, t: string}[], errors: string[]
 * }} Frame
 */

/**
 * The object that a `$ref` leads to, or the object itself.
 * @param {Node_} doc
 * @param {Node_ | undefined} node
 * @returns {Node_}
 */
export function follow(doc, node) {
  for (let hops = 0; node?.$ref && hops < 8; hops++) {
    const steps = node.$ref.split("/").slice(1)
    node = steps.reduce((at, step) => at?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], doc)
  }
  return node ?? {}
}

/**
 * A schema with what it refers to and all parts of `allOf` put together.
 * @param {Node_} doc
 * @param {Node_ | undefined} schema
 * @returns {Node_}
 */
function whole(doc, schema) {
  const { allOf = [], ...own } = follow(doc, schema)
  return Object.assign({}, ...allOf.map((part) => whole(doc, part)), own)
}

/** The alternatives of a schema that are not null. @param {Node_} doc @param {Node_} schema */
function choices(doc, schema) {
  const found = schema.anyOf ?? schema.oneOf
  return found ? found.map((one) => whole(doc, one)).filter((one) => one.type !== "null") : [schema]
}

/** What a value is, in a word or two. @param {Node_} doc @param {Node_} schema @returns {string} */
export function kindOf(doc, schema) {
  const of = whole(doc, schema)
  if ("const" in of) return JSON.stringify(of.const)
  if (of.enum) return of.enum.map((value) => JSON.stringify(value)).join(" | ")
  const either = of.anyOf ?? of.oneOf
  if (either) return [...new Set(either.map((one) => kindOf(doc, one)))].join(" | ")
  if (Array.isArray(of.type)) return of.type.join(" | ")
  if (of.type === "array") return `array of ${kindOf(doc, of.items ?? {})}`
  if (isMap(of)) return `map of ${kindOf(doc, of.additionalProperties)}`
  return of.type ?? "any"
}

/** @param {Node_} schema */
function isMap(schema) {
  return schema.additionalProperties instanceof Object && !schema.properties
}

/** @param {unknown} low @param {unknown} high @param {string} unit */
function span(low, high, unit) {
  if (high === undefined || high === SAFE_INTEGER) return "" // no bound worth a word
  return low === undefined ? `at most ${high}${unit}` : `${low} to ${high}${unit}`
}

/**
 * How long, how many, between what; with the settings that say so.
 * @param {Node_} doc
 * @param {Node_} schema
 */
function boundsOf(doc, schema) {
  const found = [schema, ...choices(doc, schema)].flatMap((of) => [
    span(of.minimum, of.maximum, ""),
    span(of.minLength, of.maxLength, " characters"),
    span(of.minItems, of.maxItems, " items"),
    span(of.minProperties, of.maxProperties, " entries"),
    ...Object.values(of["x-settings"] ?? {}).map((name) => `\`${name}\``),
  ])
  return [...new Set(found.filter(Boolean))].join(", ")
}

/**
 * The fields of an object, those of objects in it below it.
 * @param {Node_} doc
 * @param {Node_} schema
 * @param {string} [prefix]
 * @param {number} [depth]
 * @returns {Field[]}
 */
export function fieldsOf(doc, schema, prefix = "", depth = 0) {
  if (depth === DEPTH_MAX) return []
  const of = whole(doc, schema)
  const required = new Set(of.required ?? [])
  return Object.entries(of.properties ?? {}).flatMap(([name, property]) => {
    const field = whole(doc, property)
    const row = {
      path: prefix + name,
      kind: kindOf(doc, field),
      bounds: boundsOf(doc, field),
      required: required.has(name),
      words: [field, ...choices(doc, field)].find((one) => one.description)?.description ?? "",
    }
    const inner = choices(doc, field).flatMap((one) => within(doc, one, prefix + name, depth + 1))
    return [row, ...inner]
  })
}

/**
 * The fields of what a field holds.
 * @param {Node_} doc
 * @param {Node_} schema
 * @param {string} path
 * @param {number} depth
 * @returns {Field[]}
 */
function within(doc, schema, path, depth) {
  if (isMap(schema)) return fieldsOf(doc, schema.additionalProperties, `${path}.*.`, depth)
  if (schema.type === "array") return fieldsOf(doc, schema.items ?? {}, `${path}[].`, depth)
  return fieldsOf(doc, schema, `${path}.`, depth)
}

/**
 * All frames of the document, each once, in its order.
 * @param {Node_} doc
 * @returns {Frame[]}
 */
export function framesOf(doc) {
  /** @type {Map<string, Frame>} */
  const found = new Map()
  for (const operation of operationsOf(doc)) {
    // The document is the server's: what it receives, a client sends.
    const isCommand = operation.action === "receive"
    const group = isCommand ? "" : operation.summary
    for (const ref of operation.messages ?? []) {
      put(frameOf(doc, ref, isCommand ? "client" : "server", group, operation))
    }
    for (const ref of operation.reply?.messages ?? []) {
      put(frameOf(doc, ref, isCommand ? "server" : "client", "Answers to commands.", {}))
    }
  }
  return [...found.values()]

  /** @param {Frame} frame */
  function put(frame) {
    if (!found.has(frame.id)) found.set(frame.id, frame)
  }
}

/** @param {Node_} doc @returns {Node_[]} */
function operationsOf(doc) {
  return Object.values(doc.operations ?? {}).map((one) => follow(doc, one))
}

/**
 * @param {Node_} doc
 * @param {Node_} ref
 * @param {"client" | "server"} from
 * @param {string} group
 * @param {Node_} operation
 * @returns {Frame}
 */
function frameOf(doc, ref, from, group, operation) {
  const message = follow(doc, ref)
  const payload = follow(doc, message.payload)
  const other = from === "client" ? "server" : "client"
  const replies = operation.reply?.messages ?? []
  return {
    id: `${from}-${message.name}`,
    t: message.name,
    from,
    group,
    words: message.description ?? message.summary ?? operation.summary ?? "",
    fields: fieldsOf(doc, payload),
    examples: (message.examples ?? []).map((one) => one.payload),
    answers: replies.map((one) => ({
      id: `${other}-${follow(doc, one).name}`,
      t: follow(doc, one).name,
    })),
    errors: operation["x-error-codes"] ?? [],
  }
}

/**
 * The error codes: what each means, and whether the same may go well later.
 * @param {Node_} doc
 * @returns {{code: string, retry: boolean, words: string}[]}
 */
export function errorsOf(doc) {
  return Object.entries(doc["x-error-codes"] ?? {}).map(([code, of]) => ({
    code,
    retry: Boolean(of.retry),
    words: of.description ?? of.title ?? "",
  }))
}

/**
 * The codes that a frame gets which is no command, with the words for that.
 * @param {Node_} doc
 * @returns {{words: string, codes: string[]}[]}
 */
export function unaskedErrorsOf(doc) {
  return operationsOf(doc)
    .filter((one) => one.action === "send" && one["x-error-codes"])
    .map((one) => ({ words: one.summary ?? "", codes: one["x-error-codes"] }))
}

/**
 * The close codes: name, what a client does then, what it means.
 * @param {Node_} doc
 * @returns {Map<number, {name: string, todo: string, words: string}>}
 */
export function closesOf(doc) {
  return new Map(
    Object.entries(doc["x-close-codes"] ?? {}).map(([code, of]) => [
      Number(code),
      { name: of.name ?? "", todo: of.do ?? "", words: of.description ?? "" },
    ]),
  )
}
