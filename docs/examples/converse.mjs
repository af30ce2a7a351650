// A program that converses in one channel: commands on stdin, what happens on stdout, one JSON
// object a line. It is how the tests drive rtchat.js in Node, and how you can try it by hand:
//
//   node converse.mjs http://localhost:8000
//
//   {"do":"start","email":…,"password":…,"channel":1,"cursor":0}   without cursor: from its head on
//       more, for tests: "times":{…} of the client, and "frames":true to show every frame
//   {"do":"send","content":…}
//   {"do":"stop"}   so does the end of stdin
//
//   {"state":"connecting" | "online" | "waiting" | "ended" | "stopped", …}
//   {"entry":{…}}                          each entry of the channel, once, in order
//   {"sent":{"content","seq","dup"}}       the ack of a send
//   {"failed":{"content","code"}}          its final error
//   {"unknown":{"content"}}                at stop: there was no answer to it yet
//   {"followed":{…}}  {"removed":WHY}  {"reset":HEAD}  {"fault":…}  {"error":TEXT}
//   {"frame":{…},"way":"sent" | "received"}
import { createInterface } from 'node:readline';
import { Client, Session } from '../../rtchat/web/rtchat.js';

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const session = new Session(process.argv[2]);
let client, channel;

/** A socket that shows its frames. */
class Shown extends WebSocket {
  constructor(...how) {
    super(...how);
    this.addEventListener('message', ({ data }) => say({ frame: JSON.parse(data), way: 'received' }));
  }

  send(text) {
    say({ frame: JSON.parse(text), way: 'sent' });
    super.send(text);
  }
}

const commands = {
  async start({ email, password, channel: ch, cursor = null, times, frames = false }) {
    channel = ch;
    await session.signIn(email, password);
    client = new Client({ session, times, ...(frames && { WebSocket: Shown }) });
    client.addEventListener('state', ({ detail: { name, ...more } }) => say({ state: name, ...more }));
    client.addEventListener('entry', ({ detail }) => say({ entry: detail }));
    client.addEventListener('removed', ({ detail }) => say({ removed: detail.reason }));
    client.addEventListener('reset', ({ detail }) => say({ reset: detail.head }));
    client.addEventListener('fault', ({ detail }) => say({ fault: detail }));
    client.start();
    client.subscribe({ [channel]: cursor }).then((followed) => say({ followed }));
  },
  send({ content }) { // its answer is not waited for
    client.send(channel, content).acked.then(
      ({ seq, dup }) => say({ sent: { content, seq, dup } }),
      ({ code }) => say({ failed: { content, code } }),
    );
  },
  stop() {
    for (const { content } of client?.outbox ?? []) say({ unknown: { content } });
    client?.stop();
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
