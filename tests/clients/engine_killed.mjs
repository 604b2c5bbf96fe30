// kill -9 of the engine while it answers: every client gets an error of its library, and so does whoever asks next.

import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { engine, errorOf, gateway, it, key, long, models, runAll } from './cases.mjs';

const openai = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: gateway, apiKey: key, maxRetries: 0 });
const request = { model: models.direct, messages: [{ role: 'user', content: 'What is to be seen?' }], ...long };

async function drain(stream) {
  let events = 0;
  for await (const event of await stream) events += event ? 1 : 0;
  return events;
}

const headers = (mode) => ({ headers: { 'x-ecso-stream': mode } });
const calls = {
  'a whole chat': () => openai.chat.completions.create(request),
  'a held chat': () => drain(openai.chat.completions.create({ ...request, stream: true }, headers('hold'))),
  'a chat in a window': () => drain(openai.chat.completions.create({ ...request, stream: true }, headers('window'))),
  'a held message': () => drain(anthropic.messages.create({ ...request, stream: true }, headers('hold'))),
};

it('all that is under way ends with an error', async () => {
  const ends = Object.entries(calls).map(async ([name, call]) => {
    const end = await call().then(
      () => 'answered',
      (error) => error,
    );
    return [name, end];
  });
  // Of the engine's four slots one is kept for the checks of the chat in a window: a chat waits in the gateway.
  const isBusy = async () => (await (await fetch(`${engine}/slots`)).json()).filter((slot) => slot.is_processing).length >= 3;
  for (let i = 0; i < 12_000 && !(await isBusy()); i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  process.kill(Number(process.env.ECSO_ENGINE_PID), 'SIGKILL');
  const killed = Date.now();
  for (const [name, end] of await Promise.all(ends)) {
    assert.ok(end instanceof OpenAI.APIError || end instanceof Anthropic.APIError, `${name}: ${end}`);
    assert.ok(end.status === undefined || end.status >= 500, `${name}: ${end.status}`);
    assert.ok(end.message.length > 10, name);
  }
  assert.ok(Date.now() - killed < 30_000);
});

it('whoever asks next is told that there is no upstream', async () => {
  await errorOf(openai.chat.completions.create(request), OpenAI.InternalServerError, 503);
  await errorOf(anthropic.messages.create({ ...request, stream: true }), Anthropic.InternalServerError, 503);
  assert.equal((await fetch(`${gateway}/healthz`)).status, 200);
  assert.equal((await fetch(`${gateway}/readyz`)).status, 503);
});

await runAll('engine killed');
