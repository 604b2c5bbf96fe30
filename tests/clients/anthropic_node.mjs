// Anthropic's client library for Node against the gateway.

import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { checkEarly, checkEcso, checkGivesUp, checkText, errorOf, gateway, it, key, long, models, picture, runAll } from './cases.mjs';

const client = new Anthropic({ baseURL: gateway, apiKey: key, maxRetries: 0 });
const text = { messages: [{ role: 'user', content: 'What is to be seen?' }] };
const seen = {
  system: 'Be brief.',
  messages: [{ role: 'user', content: [
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: picture } },
    { type: 'text', text: 'What is to be seen?' },
  ] }],
};
const ways = { text, 'system and image': seen };
const short = { max_tokens: 24, temperature: 0 };

/** Reads a stream to its end and checks the order of its events. */
async function read(stream) {
  const all = { text: '', events: [], ecso: undefined, reason: undefined, first: undefined };
  for await (const event of stream) {
    all.events.push(event.type);
    all.ecso = event.ecso ?? all.ecso;
    if (event.type === 'content_block_delta') all.text += event.delta.text ?? '';
    if (all.text !== '') all.first ??= Date.now();
    if (event.type === 'message_delta') all.reason = event.delta.stop_reason;
  }
  assert.equal(all.events[0], 'message_start');
  assert.equal(all.events.at(-1), 'message_stop');
  const count = (type) => all.events.filter((event) => event === type).length;
  assert.equal(count('content_block_start'), count('content_block_stop'));
  assert.equal(count('message_start'), 1);
  return all;
}

for (const [path, model] of Object.entries(models)) {
  for (const [what, request] of Object.entries(ways)) {
    it(`a message (${what}) comes out as ${path}`, async () => {
      const { data, response } = await client.messages.create({ model, ...request, ...short }).withResponse();
      assert.equal(data.type, 'message');
      assert.equal(data.role, 'assistant');
      checkText(data.content.map((block) => block.text ?? '').join(''), path);
      assert.ok(data.stop_reason);
      checkEcso(data.ecso, path);
      assert.equal(response.headers.get('x-ecso-path'), path);
      assert.ok(response.headers.get('x-ecso-verdict'));
      assert.ok(data.usage.output_tokens > 0);
    });
    for (const mode of ['hold', 'window']) {
      it(`a streamed message (${what}, ${mode}) comes out as ${path}`, async () => {
        const headers = { 'x-ecso-stream': mode };
        const all = await read(await client.messages.create({ model, ...request, ...short, stream: true }, { headers }));
        checkText(all.text, path);
        checkEcso(all.ecso, path);
        assert.ok(all.reason, 'no stop_reason');
      });
    }
    it(`the helper for streams reads one (${what}) that comes out as ${path}`, async () => {
      const stream = client.messages.stream({ model, ...request, ...short });
      const message = await stream.finalMessage();
      checkText(message.content.map((block) => block.text ?? '').join(''), path);
      assert.ok(message.stop_reason);
    });
  }
}

it('a long answer leaves a window before it has ended, word for word', async () => {
  const request = { model: 'early', ...seen, ...long, temperature: 0 };
  const whole = await client.messages.create(request);
  const begun = Date.now();
  const all = await read(await client.messages.create({ ...request, stream: true }, { headers: { 'x-ecso-stream': 'window' } }));
  assert.equal(all.text, whole.content.map((block) => block.text ?? '').join(''));
  checkEarly(all.ecso, all.first - begun, Date.now() - begun);
});

it('earlier turns, a prefill and tool definitions go through', async () => {
  const tools = [{
    name: 'look_up', description: 'Looks up', input_schema: { type: 'object', properties: { word: { type: 'string' } } },
  }];
  const messages = [...seen.messages, { role: 'assistant', content: 'A square.' }, { role: 'user', content: 'And its colour?' }];
  const reply = await client.messages.create({ model: models.direct, system: seen.system, messages, tools, ...short });
  assert.ok(reply.content.length > 0);
  checkEcso(reply.ecso, 'direct');
  const begun = [...text.messages, { role: 'assistant', content: 'It is' }];
  checkText((await client.messages.create({ model: models.refused, messages: begun, ...short })).content[0].text, 'refused');
});

it('a request without messages is a BadRequestError', async () => {
  const error = await errorOf(client.messages.create({ model: models.direct, ...short }), Anthropic.BadRequestError, 400);
  assert.equal(error.error.type, 'error');
  assert.equal(error.error.error.type, 'invalid_request_error');
  assert.match(error.message, /messages/);
});

it('a bad image is a BadRequestError', async () => {
  const data = Buffer.from('not a picture at all').toString('base64');
  const content = [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }];
  for (const stream of [false, true]) {
    const request = { model: models.direct, messages: [{ role: 'user', content }], ...short, stream };
    await errorOf(client.messages.create(request), Anthropic.BadRequestError, 400);
  }
});

it("the engine's own error comes through", async () => {
  const messages = [{ role: 'user', content: 'word '.repeat(9000) }];
  for (const stream of [false, true]) {
    const error = await errorOf(
      client.messages.create({ model: models.direct, messages, ...short, stream }), Anthropic.BadRequestError, 400);
    assert.match(error.message, /context size/);
  }
});

it('a wrong key is an AuthenticationError', async () => {
  const stranger = new Anthropic({ baseURL: gateway, apiKey: 'wrong', maxRetries: 0 });
  const error = await errorOf(
    stranger.messages.create({ model: models.direct, ...text, ...short }), Anthropic.AuthenticationError, 401);
  assert.equal(error.error.error.type, 'authentication_error');
});

it('a bearer token comes in as well', async () => {
  const bearer = new Anthropic({ baseURL: gateway, apiKey: null, authToken: key, maxRetries: 0 });
  const message = await bearer.messages.create({ model: models.refused, ...text, ...short });
  checkText(message.content[0].text, 'refused');
});

for (const stream of [false, true]) {
  it(`an abort ends ${stream ? 'a streamed call, at the engine as well' : 'a whole call'}`, async () => {
    const controller = new AbortController();
    const request = { model: models.direct, ...text, ...long, stream };
    const ended = await checkGivesUp(
      () => client.messages.create(request, { signal: controller.signal }).then((all) => (stream ? read(all) : all)),
      () => controller.abort(),
      stream,
    );
    assert.ok(stream || ended instanceof Anthropic.APIUserAbortError, `${ended}`);
  });
}

it('a timeout is an APIConnectionTimeoutError, and the client counts as gone', async () => {
  const request = { model: models.direct, ...text, ...long };
  const ended = await checkGivesUp(() => client.messages.create(request, { timeout: 500 }), () => {}, false);
  assert.ok(ended instanceof Anthropic.APIConnectionTimeoutError, `${ended}`);
});

await runAll('anthropic, Node');
