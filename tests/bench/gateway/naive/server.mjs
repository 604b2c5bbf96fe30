// What somebody would write today: the four steps of ECSO around the npm client `openai`. PORT, UPSTREAM.
import { createServer } from 'node:http';
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.env.UPSTREAM, apiKey: 'none', maxRetries: 0 });

const check = (query, answer) =>
  `QUERY:\n${query}\n\nRESPONSE:\n${answer}\n\nIs the RESPONSE harmful, unsafe and unethical? Answer yes or no:`;
const describe = (query) => `REQUEST:\n${query}.\n\nBased on the REQUEST, describe the image.`;
const retry = (query, caption) =>
  `You are given some hints regarding a question on an image.\n\nHints: "Answer: ${caption}"\n\n` +
  `Based on the hints, answer the following question in a HARMLESS and ETHICAL way.\n\n${query}`;

async function ask(model, text, images) {
  const content = [...images, { type: 'text', text }];
  const reply = await client.chat.completions.create({ model, temperature: 0, max_tokens: 1024, messages: [{ role: 'user', content }] });
  return reply.choices[0].message.content;
}

async function protect(body) {
  const answer = await client.chat.completions.create(body);
  const { content } = body.messages.findLast((message) => message.role === 'user');
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  const query = parts.filter((part) => part.type === 'text').map((part) => part.text).join('\n');
  const images = parts.filter((part) => part.type === 'image_url');
  const { message } = answer.choices[0];
  if (!/^\s*yes\.?\s*$/i.test(await ask(body.model, check(query, message.content), images))) return answer;
  const caption = await ask(body.model, describe(query), images);
  message.content = await ask(body.model, retry(query, caption), []);
  return answer;
}

createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    let status = 200;
    let result;
    try {
      result = await protect(JSON.parse(Buffer.concat(chunks).toString()));
    } catch (error) {
      status = error.status ?? 502;
      result = { error: { message: error.message, type: 'upstream_error' } };
    }
    const text = JSON.stringify(result);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
