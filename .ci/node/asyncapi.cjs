// Validates an AsyncAPI document by the project's own parser:
//   node asyncapi.cjs FILE
// prints [{code, severity, path, message}] and whether a document came out of it. The parser is found
// in the folder in which this runs.
"use strict";

const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");

const { Parser } = createRequire(`${process.cwd()}/`)("@asyncapi/parser");
const SEVERITIES = ["error", "warning", "information", "hint"];

async function main(file) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
  const found = diagnostics.map(({ code, severity, path, message }) => ({
    code,
    severity: SEVERITIES[severity],
    path: path.join("/"),
    message,
  }));
  process.stdout.write(JSON.stringify({ valid: document !== undefined, found }));
}

main(process.argv[2]);
