// @ts-check
/**
 * What was refused, in words and codes, and asking over REST.
 *
 * Owns: the reading of problems and error frames. Must never: repeat a call, or keep a token.
 */

const REST_MS = 15_000 // the server answers a write within ten seconds
const AGAIN = new Set([408, 425, 429, 500, 502, 503, 504])

export class Refused extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{status?: number, field?: string, retryAfterMs?: number, retry?: boolean}} [more]
   */
  constructor(code, message, { status = 0, field = "", retryAfterMs = 0, retry = false } = {}) {
    super(message)
    this.name = "Refused"
    this.code = code
    this.status = status
    this.field = field
    this.retryAfterMs = retryAfterMs
    this.retry = retry
  }
}

/** What a call was answered instead. @param {Response} answer @param {any} problem */
function refusal({ status, headers }, problem) {
  const after = Number(problem?.retryAfter ?? headers.get("retry-after") ?? 0)
  const message = problem?.detail || problem?.title || `The server answered ${status}.`
  return new Refused(String(problem?.code ?? ""), message, {
    status,
    field: String(problem?.field ?? ""),
    retryAfterMs: after > 0 ? after * 1000 : 0,
    retry: AGAIN.has(status),
  })
}

/**
 * Ask the server; gives the answer's JSON, null for none.
 * @param {URL} url
 * @param {string} method
 * @param {object} [body]
 * @param {string} [token]
 * @returns {Promise<any>}
 */
export async function call(url, method, body, token) {
  /** @type {Record<string, string>} */
  const headers = {}
  if (body) headers["content-type"] = "application/json"
  if (token) headers.authorization = `Bearer ${token}`
  const signal = AbortSignal.timeout(REST_MS)
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body), signal })
  const data = answer.status === 204 ? null : await answer.json().catch(() => null)
  if (!answer.ok) throw refusal(answer, data)
  return data
}
