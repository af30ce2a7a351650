// Tells which of the given pairs of files, one as it is and one as it is served, are not the same
// program: another tree, or another word in it. The names of pairs come as JSON on the
// command line; those that differ go to stdout.
const { createRequire } = require("node:module")
const fs = require("node:fs")

const ts = createRequire(`${process.cwd()}/`)("typescript")

/**
 * Every node in order, words and signs with their text; comments and blanks are no nodes. A private
 * name stands for itself wherever it is, whatever it is called.
 */
function program(file) {
  const source = ts.createSourceFile(file, fs.readFileSync(file, "utf8"), ts.ScriptTarget.ESNext)
  // What is no script has a tree as well.
  const found = source.parseDiagnostics.map(({ start, messageText }) => [file, start, messageText])
  const names = []
  const visit = (node) => {
    found.push(node.kind)
    if (ts.isPrivateIdentifier(node)) {
      if (!names.includes(node.text)) names.push(node.text)
      found.push(names.indexOf(node.text))
    } else if (ts.isToken(node)) found.push(source.text.slice(node.getStart(source), node.end))
    ts.forEachChild(node, visit)
    found.push("end")
  }
  visit(source)
  return JSON.stringify(found)
}

const pairs = JSON.parse(process.argv[2])
console.log(JSON.stringify(pairs.filter(([one, other]) => program(one) !== program(other))))
