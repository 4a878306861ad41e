// The reference to be measured against: npm's @tus/server with its file store. node tus_reference.mjs PORT DIRECTORY
import { createServer } from "node:http";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [port, directory] = process.argv.slice(2);
const tus = new Server({ path: "/files", relativeLocation: true, datastore: new FileStore({ directory }) });
const server = createServer(tus.handle.bind(tus));
server.requestTimeout = 0;
server.listen(Number(port), "127.0.0.1", () => process.stdout.write("ready\n"));
