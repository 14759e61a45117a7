// The public suite of the Durable Streams protocol, against the server that run.mjs names.
import { webcrypto } from "node:crypto"
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

globalThis.crypto ??= webcrypto // Node 18 has it, but not under this name

runConformanceTests({ baseUrl: process.env.CONFORMANCE_URL, subscriptions: true })
