// serve.mjs DIRECTORY: the Durable Streams protocol's own server with its file store, as its makers start it in their tests; only that
// it waits as long as the others do and does not compress.
import { DurableStreamTestServer } from "@durable-streams/server"

const server = new DurableStreamTestServer({
	port: 0,
	host: "127.0.0.1",
	dataDir: process.argv[2],
	longPollTimeout: 55_000,
	compression: false,
})
const url = await server.start()
console.log(`listening http ${new URL(url).host}`)
