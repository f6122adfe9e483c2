// nodemailer with a pool. Ways: `message` (text and HTML for each reader, as people use it), `raw` (ready-made
// bytes), `signed` (as `message`, with its own DKIM). Prints mails, seconds and processor seconds as JSON.
"use strict";
const fs = require("fs");
const path = require("path");

const [folder, loadPath, readersPath, port, connections, count, warm, way] = process.argv.slice(2);
const nodemailer = require(path.join(folder, "node_modules", "nodemailer"));
const load = JSON.parse(fs.readFileSync(loadPath));
const readers = fs.readFileSync(readersPath, "ascii").trim().split("\n").map((line) => line.split(" "));
const segments = load.segments.map((each) => Buffer.from(each, "base64"));
const date = new Date(load.date);

const transporter = nodemailer.createTransport({
  pool: true,
  host: "127.0.0.1",
  port: Number(port),
  maxConnections: Number(connections),
  maxMessages: Infinity,
  ignoreTLS: true,
  ...(way === "signed" && {
    dkim: { domainName: load.domain, keySelector: "bench", privateKey: load.signing_key },
  }),
});

function message([address, messageId, token]) {
  return {
    envelope: { from: load.sender, to: [address] },
    from: load.from,
    to: address,
    subject: load.subject,
    date,
    messageId: `<${messageId}@${load.domain}>`,
    headers: { ...load.headers, "List-Unsubscribe": `<${load.link}${token}>` },
    textEncoding: "quoted-printable",
    text: load.text.replaceAll(load.hole, token),
    html: load.html.replaceAll(load.hole, token),
  };
}

function raw([address, messageId, token]) {
  const [beforeTo, beforeId, beforeToken, rest, ...body] = segments;
  const own = Buffer.from(token);
  const parts = [beforeTo, Buffer.from(address), beforeId, Buffer.from(messageId), beforeToken, own, rest, body[0]];
  for (const each of body.slice(1)) parts.push(own, each);
  return { envelope: { from: load.sender, to: [address] }, raw: Buffer.concat(parts) };
}

async function send(mails) {
  const make = way === "raw" ? raw : message;
  let next = 0;
  const one = async () => {
    while (next < mails.length) await transporter.sendMail(make(mails[next++]));
  };
  await Promise.all(Array.from({ length: 4 * Number(connections) }, one));
}

(async () => {
  await send(readers.slice(0, Number(warm)));
  const before = process.cpuUsage();
  const began = process.hrtime.bigint();
  await send(readers.slice(Number(warm), Number(warm) + Number(count)));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = process.cpuUsage(before);
  console.log(JSON.stringify({ mails: Number(count), seconds, cpu: (used.user + used.system) / 1e6 }));
  transporter.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
