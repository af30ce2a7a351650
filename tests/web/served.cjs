// Tells which of the given pairs of files, one as it is and one as it is served, differ in more than
// comments. The names of pairs come as JSON on the command line; those that differ go to stdout.
const { createRequire } = require("node:module")
const fs = require("node:fs")

const ts = createRequire(`${process.cwd()}/`)("typescript")
const compilerOptions = { removeComments: true, target: ts.ScriptTarget.ESNext }
const code = (file) => {
  return ts.transpileModule(fs.readFileSync(file, "utf8"), { compilerOptions }).outputText
}
const differ = JSON.parse(process.argv[2]).filter(([one, other]) => code(one) !== code(other))
console.log(JSON.stringify(differ))
