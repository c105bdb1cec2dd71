/**
 * One session of MQTT.js with a door that routes ordinary topics: `node mqtt.mjs URL VERSION [CA]`.
 * With the file of an authority, as the user ann. `cargo test` runs it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const [url = "", version = "4", authority] = process.argv.slice(2);
const five = version === "5";
const PATIENCE_MS = 60_000;

/** @param {string} clientId @param {mqtt.IClientOptions} [more] */
async function connect(clientId, more = {}) {
  const client = await mqtt.connectAsync(url, {
    clientId,
    protocolVersion: five ? 5 : 4,
    reconnectPeriod: 0,
    connectTimeout: PATIENCE_MS,
    ...(authority ? { ca: readFileSync(authority), username: "ann", password: "ann-pw" } : {}),
    ...more,
  });
  /** @type {mqtt.IPublishPacket[]} */
  const heard = [];
  /** @type {(() => void)[]} */
  const waiting = [];
  client.on("message", (_topic, _payload, packet) => {
    heard.push(packet);
    waiting.shift()?.();
  });
  const next = async () => {
    if (heard.length === 0) await new Promise((wake) => waiting.push(() => wake(undefined)));
    const packet = heard.shift();
    assert(packet);
    return packet;
  };
  return { client, next };
}

setTimeout(() => {
  console.error("waited in vain");
  process.exit(1);
}, PATIENCE_MS).unref();

const reader = await connect("reader");
await reader.client.subscribeAsync("t/+", { qos: 2 });
const writer = await connect("writer");
for (const qos of /** @type {const} */ ([0, 1, 2])) {
  await writer.client.publishAsync("t/x", `qos ${qos}`, { qos });
  const message = await reader.next();
  assert.deepEqual([message.payload.toString(), message.qos], [`qos ${qos}`, qos]);
}
// Larger than a frame's short forms, and many so that packets share and cross frames.
await writer.client.publishAsync("t/x", "x".repeat(100_000), { qos: 1 });
assert.equal((await reader.next()).payload.length, 100_000);
await Promise.all(Array.from({ length: 500 }, (_, n) => writer.client.publishAsync(`t/${n % 7}`, String(n), { qos: 1 })));
for (let n = 0; n < 500; n++) {
  const message = await reader.next();
  assert.deepEqual([message.topic, message.payload.toString()], [`t/${n % 7}`, String(n)]);
}

// Every retained message, a will, and a session that is kept.
// Who hears a message live knows that it is in the table of the retained.
await reader.client.subscribeAsync("kept/+", { qos: 1 });
for (let n = 0; n < 300; n++) await writer.client.publishAsync(`kept/${n}`, "retained", { qos: 1, retain: true });
for (let n = 0; n < 300; n++) await reader.next();
const kept = { clean: false, ...(five ? { properties: { sessionExpiryInterval: 60 } } : {}) };
const late = await connect("late", kept);
await late.client.subscribeAsync("kept/#", { qos: 1 });
for (let n = 0; n < 300; n++) assert((await late.next()).retain);
await late.client.endAsync();
await writer.client.publishAsync("kept/away", "while away", { qos: 1 });
await reader.next();
// The message comes right behind CONNACK, so somebody has to listen before.
const back = mqtt.connect(url, { ...late.client.options, ...kept });
const away = new Promise((hear) => back.on("message", (topic) => hear(topic)));
const connack = await new Promise((hear) => back.on("connect", hear));
assert(connack.sessionPresent);
assert.equal(await away, "kept/away");
await back.endAsync();
await reader.client.subscribeAsync("wills/#", { qos: 1 });
const rude = await connect("rude", { will: { topic: "wills/rude", payload: Buffer.from("gone"), qos: 1, retain: false } });
rude.client.stream.destroy();
assert.equal((await reader.next()).payload.toString(), "gone");

if (five) {
  await writer.client.publishAsync("t/request", "x", {
    qos: 1,
    properties: { userProperties: { k: "v" }, responseTopic: "t/response", correlationData: Buffer.from("id"), messageExpiryInterval: 60 },
  });
  const { properties } = await reader.next();
  assert.equal(properties?.userProperties?.k, "v");
  assert.equal(properties?.responseTopic, "t/response");
  assert.equal(properties?.correlationData?.toString(), "id");
  await assert.rejects(writer.client.publishAsync("indexes/A/level", "1", { qos: 1 }), { code: 0x87 });
}
for (const { client } of [reader, writer]) await client.endAsync();
console.log("ok");
