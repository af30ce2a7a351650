// A program that converses in one channel: commands on stdin, what happens on stdout, one JSON
// object a line. It is how the tests drive client.mjs, and how you can try it by hand:
//
//   node converse.mjs http://localhost:8000
//
//   {"do":"start","email":…,"password":…,"channel":1,"cursor":0}   without cursor: from its head on
//       more, for tests: "options":{…} of client.mjs, and "frames":true to show every frame
//   {"do":"send","content":…}
//   {"do":"stop"}   so does the end of stdin
//
//   {"state":"connected" | "away" | "stopped", …}
//   {"entry":{…}}                          each entry of the channel, once, in order
//   {"sent":{"content","seq","dup"}}       the ack of a send
//   {"failed":{"content","code"}}          its final error
//   {"unknown":{"content","tries"}}        at stop: there was no answer to it yet
//   {"opened":SEQ}  {"removed":WHY}  {"reset":ID}  {"log":[…]}  {"error":TEXT}  {"frame":{…},"way":…}
import { createInterface } from 'node:readline';
import { Client } from './client.mjs';

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
let client, channel;

const commands = {
  async start({ email, password, channel: ch, cursor = null, options = {}, frames = false }) {
    channel = ch;
    const on = {
      state: (state, info) => say({ state, ...info }),
      entry: (entry) => say({ entry }),
      opened: (_, head) => say({ opened: head }),
      removed: (_, why) => say({ removed: why }),
      reset: (id) => say({ reset: id }),
      signIn: async () => ({ email, password }),
      log: (...what) => say({ log: what.map((x) => (x instanceof Error ? String(x) : x)) }),
    };
    if (frames) on.frame = (way, frame) => say({ frame, way });
    client = new Client(process.argv[2], on, options);
    await client.signIn(email, password);
    client.follow(channel, cursor);
    client.start();
  },
  send({ content }) { // its answer is not waited for
    client.send(channel, content).then(
      ({ seq, dup }) => say({ sent: { content, seq, dup } }),
      ({ code }) => say({ failed: { content, code } }),
    );
  },
  async stop() {
    await client?.close();
    for (const { content, tries } of client?.outbox.writes ?? [])
      say({ unknown: { content, tries } });
    process.stdout.write('', () => process.exit(0));
  },
};

let last = Promise.resolve(); // one command after the other
const run = (line) => {
  last = last.then(() => {
    const command = JSON.parse(line);
    return commands[command.do](command);
  }).catch((error) => say({ error: String(error) }));
};
createInterface({ input: process.stdin })
  .on('line', (line) => line.trim() && run(line))
  .on('close', () => run('{"do":"stop"}'));
