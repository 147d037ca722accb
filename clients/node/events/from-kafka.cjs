// Reads the events of all rooms from Kafka, each once and in order, and proves that none is missing.
//
//     npm install kafkajs && node from-kafka.cjs localhost:9092 parlance.events seen.jsonl [COUNT]
//
// The work on an event is a line in a file. A line is written whole or not at all, and says how far its room is, so that
// a crash repeats nothing.

const fs = require("node:fs");
const { Kafka, logLevel } = require("kafkajs");

const [broker, topic, path, until] = process.argv.slice(2);
const rooms = new Map(); // the last event of each room: [epoch, seq]
let seen = 0;

function note({ room, epoch, seq }) {
  rooms.set(room, [epoch, seq]);
  seen += 1;
}

if (fs.existsSync(path)) {
  const lines = fs.readFileSync(path, "utf8").split("\n");
  lines.pop(); // what a crash cut off, or nothing
  lines.forEach((line) => note(JSON.parse(line)));
  fs.writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
}
const file = fs.openSync(path, "a");

function take(message) {
  const header = (name) => message.headers[name].toString();
  const event = { room: message.key.toString(), epoch: Number(header("ce_epoch")), seq: Number(header("ce_seq")) };
  const known = rooms.get(event.room);
  const [epoch, seq] = known ?? [0, 0];
  if (event.epoch < epoch || (event.epoch === epoch && event.seq <= seq)) return; // a repeat
  // Within an epoch nothing is left out, unless the room was deleted; a new epoch begins with the first event. A topic that
  // started with new events begins somewhere in a room. What an operator skips is missing: then this ends.
  const expected = event.epoch === epoch ? seq + 1 : 1;
  const isDeletion = header("ce_type") === "parlance.room.deleted.v1";
  if (known && event.seq !== expected && !isDeletion) throw new Error(`room ${event.room} goes on with ${event.seq}, not ${expected}`);
  fs.writeSync(file, `${JSON.stringify({ ...event, type: header("ce_type") })}\n`);
  note(event);
}

async function main() {
  const consumer = new Kafka({ brokers: [broker], logLevel: logLevel.ERROR }).consumer({ groupId: "example-node" });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => {
      try {
        take(message);
      } catch (error) {
        console.error(error.message);
        process.exit(1);
      }
      if (seen === Number(until)) process.exit(0);
    },
  });
}

main();
