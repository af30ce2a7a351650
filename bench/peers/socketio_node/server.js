// socket.io on Node: rooms and `emit`, as its documentation has them.
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const server = createServer();
// The load client speaks no Engine.IO pings; no run is as long as this.
const io = new Server(server, { pingInterval: 3_600_000 });

io.on("connection", (socket) => {
  socket.on("join", async ({ room, user }, callback) => {
    socket.data.user = user;
    await socket.join(room);
    callback("joined");
  });
  socket.on("send", ({ room, ref, content }) => {
    io.to(room).emit("msg", { ch: room, seq: ref, user: socket.data.user, content, ts: Date.now() });
  });
});

server.listen(Number(process.env.PORT), "127.0.0.1");
