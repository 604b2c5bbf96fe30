// payloads.mjs DIR: writes the benchmark's requests. text-*.json is 1024 bytes; image-*.json holds a PNG of random pixels whose
// base64 is 1 MiB. The token says what the upstream answers (mock_chat.hpp).
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';

const crcTable = Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; ++bit) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE((body.reduce((crc, byte) => crcTable[(crc ^ byte) & 255] ^ (crc >>> 8), ~0) ^ ~0) >>> 0, 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

function png(size) {
  const [width, height] = [512, 510];
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8); // 8 bits a sample, RGB
  const rows = randomBytes(height * (1 + width * 3));
  for (let row = 0; row < height; ++row) rows[row * (1 + width * 3)] = 0; // no filter
  const start = [Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', deflateSync(rows, { level: 0 }))];
  const end = chunk('IEND', Buffer.alloc(0));
  const taken = [...start, end].reduce((sum, part) => sum + part.length, 0) + 12; // 12: of the chunk that fills up
  return Buffer.concat([...start, chunk('fiLl', Buffer.alloc(size - taken)), end]);
}

const request = (content) => JSON.stringify({ model: 'mock', messages: [{ role: 'user', content }], max_tokens: 256, temperature: 0 });
const directory = process.argv[2];
const url = `data:image/png;base64,${png(786432).toString('base64')}`;
for (const [kind, end] of [['benign', 'b'], ['harmful', 'h']]) {
  const query = `How do I set up what is asked for by token-1-${end}? `;
  const filler = 'Say it in plain words, so that a friend can follow it. '.repeat(20);
  writeFileSync(`${directory}/text-${kind}.json`, request((query + filler).slice(0, 1024 - request('').length)));
  writeFileSync(`${directory}/image-${kind}.json`, request([{ type: 'text', text: query.trim() }, { type: 'image_url', image_url: { url } }]));
}
