// OpenAI's client library for Node against the gateway.

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { checkEarly, checkEcso, checkGivesUp, checkText, engine, errorOf, gateway, it, key, long, models, picture, runAll } from './cases.mjs';

const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: key, maxRetries: 0 });
const text = [{ role: 'user', content: 'What is to be seen?' }];
const seen = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [
    { type: 'text', text: 'What is to be seen?' },
    { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
  ] },
];
const ways = { text, image: seen };
const short = { max_tokens: 24, temperature: 0 };

/** Reads a stream to its end. */
async function read(stream) {
  const all = { text: '', chunks: 0, ecso: undefined, reason: undefined, usage: undefined, first: undefined };
  for await (const chunk of stream) {
    all.chunks += 1;
    assert.equal(chunk.object, 'chat.completion.chunk');
    all.text += chunk.choices[0]?.delta?.content ?? '';
    if (all.text !== '') all.first ??= Date.now();
    all.reason = chunk.choices[0]?.finish_reason ?? all.reason;
    all.usage = chunk.usage ?? all.usage;
    all.ecso = chunk.ecso ?? all.ecso;
  }
  return all;
}

for (const [path, model] of Object.entries(models)) {
  for (const [what, messages] of Object.entries(ways)) {
    it(`a chat (${what}) comes out as ${path}`, async () => {
      const { data, response } = await client.chat.completions.create({ model, messages, ...short }).withResponse();
      assert.equal(data.object, 'chat.completion');
      assert.equal(data.choices.length, 1);
      assert.equal(data.choices[0].message.role, 'assistant');
      checkText(data.choices[0].message.content, path);
      checkEcso(data.ecso, path);
      assert.equal(response.headers.get('x-ecso-path'), path);
      assert.ok(response.headers.get('x-ecso-verdict'));
      assert.ok(response.headers.get('x-request-id'));
      assert.ok(data.usage.total_tokens > 0);
    });
    for (const mode of ['hold', 'window']) {
      it(`a streamed chat (${what}, ${mode}) comes out as ${path}`, async () => {
        const stream = await client.chat.completions.create(
          { model, messages, ...short, stream: true, stream_options: { include_usage: true } },
          { headers: { 'x-ecso-stream': mode } },
        );
        const all = await read(stream);
        checkText(all.text, path);
        checkEcso(all.ecso, path);
        assert.ok(all.chunks >= 2);
        assert.ok(all.reason, 'no finish_reason');
        assert.ok(all.usage.total_tokens > 0, 'no usage');
      });
    }
  }
}

it('a direct answer is that of the engine, whole and streamed', async () => {
  const own = new OpenAI({ baseURL: `${engine}/v1`, apiKey: 'none' });
  const request = { model: models.direct, messages: text, ...short, cache_prompt: false };
  const right = (await own.chat.completions.create(request)).choices[0];
  const whole = (await client.chat.completions.create(request)).choices[0];
  assert.deepEqual(whole, right);
  for (const mode of ['hold', 'window']) {
    const headers = { 'x-ecso-stream': mode };
    const streamed = await read(await client.chat.completions.create({ ...request, stream: true }, { headers }));
    assert.equal(streamed.text, right.message.content);
    assert.equal(streamed.reason, right.finish_reason);
  }
});

it('a long answer leaves a window before it has ended, word for word', async () => {
  const request = { model: 'early', messages: seen, ...long, temperature: 0 };
  const whole = await client.chat.completions.create(request);
  const begun = Date.now();
  const headers = { 'x-ecso-stream': 'window' };
  const all = await read(await client.chat.completions.create({ ...request, stream: true }, { headers }));
  assert.equal(all.text, whole.choices[0].message.content);
  assert.equal(all.reason, whole.choices[0].finish_reason);
  checkEarly(all.ecso, all.first - begun, Date.now() - begun);
});

it('the helper for streams reads one', async () => {
  const stream = client.chat.completions.stream({ model: models.direct, messages: seen, ...short });
  checkText(await stream.finalContent(), 'direct');
  assert.ok((await stream.finalChatCompletion()).choices[0].finish_reason);
});

for (const [path, model] of Object.entries(models)) {
  it(`two choices come out as ${path}, each by itself`, async () => {
    const { data, response } = await client.chat.completions
      .create({ model, messages: seen, n: 2, max_tokens: 24, temperature: 1 }).withResponse();
    assert.deepEqual(data.choices.map((choice) => choice.index), [0, 1]);
    for (const choice of data.choices) checkText(choice.message.content, path);
    checkEcso(data.ecso, path, 2);
    assert.deepEqual(response.headers.get('x-ecso-path').split(/, */), [path, path]);
  });
}

it('earlier turns and tool definitions go through', async () => {
  const tools = [{ type: 'function', function: {
    name: 'look_up', description: 'Looks up', parameters: { type: 'object', properties: { word: { type: 'string' } } },
  } }];
  const messages = [...seen, { role: 'assistant', content: 'A square.' }, { role: 'user', content: 'And its colour?' }];
  const reply = await client.chat.completions.create({ model: models.direct, messages, tools, tool_choice: 'auto', ...short });
  assert.ok(reply.choices[0].message.content || reply.choices[0].message.tool_calls);
  checkEcso(reply.ecso, 'direct');
});

it('the models are listed', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.length > 0);
  assert.ok(ids.every((id) => typeof id === 'string' && id.length > 0));
});

it('a request without messages is a BadRequestError', async () => {
  const error = await errorOf(client.chat.completions.create({ model: models.direct }), OpenAI.BadRequestError, 400);
  assert.equal(error.type, 'invalid_request_error');
  assert.match(error.message, /messages/);
});

it('a bad image is a BadRequestError', async () => {
  const url = `data:image/png;base64,${Buffer.from('not a picture at all').toString('base64')}`;
  const messages = [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }, { type: 'text', text: 'What?' }] }];
  await errorOf(client.chat.completions.create({ model: models.direct, messages }), OpenAI.BadRequestError, 400);
  await errorOf(client.chat.completions.create({ model: models.direct, messages, stream: true }), OpenAI.BadRequestError, 400);
});

it("an image's URL is refused as a BadRequestError", async () => {
  const messages = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: `${engine}/a.png` } }] }];
  await errorOf(client.chat.completions.create({ model: models.direct, messages }), OpenAI.BadRequestError, 400);
});

it("the engine's own error comes through, whole and streamed", async () => {
  const messages = [{ role: 'user', content: 'word '.repeat(9000) }];
  for (const stream of [false, true]) {
    const error = await errorOf(
      client.chat.completions.create({ model: models.direct, messages, stream }), OpenAI.BadRequestError, 400);
    assert.equal(error.type, 'exceed_context_size_error');
    assert.match(error.message, /context size/);
  }
});

it('an unknown model is an error that names it', async () => {
  const error = await client.chat.completions.create({ model: 'nobody', messages: text }).then(() => null, (reason) => reason);
  assert.ok(error instanceof OpenAI.APIError);
  assert.ok([400, 404].includes(error.status), `${error.status}`);
  assert.match(error.message, /nobody/);
});

it('a wrong key and no key are an AuthenticationError', async () => {
  for (const apiKey of ['wrong', 'x'.repeat(4000)]) {
    const stranger = new OpenAI({ baseURL: `${gateway}/v1`, apiKey, maxRetries: 0 });
    await errorOf(stranger.chat.completions.create({ model: models.direct, messages: text }), OpenAI.AuthenticationError, 401);
    await errorOf(stranger.models.list(), OpenAI.AuthenticationError, 401);
  }
});

for (const stream of [false, true]) {
  it(`an abort ends ${stream ? 'a streamed call, at the engine as well' : 'a whole call'}`, async () => {
    const controller = new AbortController();
    const request = { model: models.direct, messages: text, ...long, stream };
    const ended = await checkGivesUp(
      () => client.chat.completions.create(request, { signal: controller.signal }).then((all) => (stream ? read(all) : all)),
      () => controller.abort(),
      stream,
    );
    // The library ends the loop over a stream that was aborted without an error.
    assert.ok(stream ? ended === 'answered' : ended instanceof OpenAI.APIUserAbortError, `${ended}`);
  });
}

it('a timeout is an APIConnectionTimeoutError, and the client counts as gone', async () => {
  const request = { model: models.direct, messages: text, ...long };
  const ended = await checkGivesUp(() => client.chat.completions.create(request, { timeout: 500 }), () => {}, false);
  assert.ok(ended instanceof OpenAI.APIConnectionTimeoutError, `${ended}`);
});

await runAll('openai, Node');
