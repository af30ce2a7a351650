// `ws` on Node: its broadcast example, with a set of clients for each room.
const { WebSocket, WebSocketServer } = require("ws");

const rooms = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.env.PORT) });

server.on("connection", (socket, request) => {
  const [, , room, user] = request.url.split("/").map(Number); // /ws/<room>/<user>
  if (!rooms.has(room)) rooms.set(room, new Set());
  const members = rooms.get(room);
  members.add(socket);
  socket.on("error", console.error);
  socket.on("close", () => members.delete(socket));
  socket.on("message", (data) => {
    const { ref, content } = JSON.parse(data);
    const message = JSON.stringify({ t: "msg", ch: room, seq: ref, user, content, ts: Date.now() });
    for (const member of members) {
      if (member.readyState === WebSocket.OPEN) member.send(message);
    }
  });
  socket.send(JSON.stringify({ t: "joined", ch: room }));
});
