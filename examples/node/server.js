// A server in Node that hostler pre-forks: each replica serves the socket that hostler listens on.
const http = require("node:http");

const server = http.createServer((request, response) => {
  response.end(`from Node, replica ${process.env.HOSTLER_REPLICA}\n`);
});
server.listen({ fd: 3 });
// Requests that have begun are answered; new clients wait for the other replicas, or for the next of this one.
process.once("SIGTERM", () => server.close());
