// A gateway whose answers a test writes: the page as the real one serves it, and scripted replies to what it asks.
//
//   const stub = await startStub();
//   stub.script = async (exchange) => { exchange.step(…); exchange.outcome(…); };
//
// By itself, `node stub_gateway.mjs [PORT]`, it plays a harmful query for every question with an image and a benign one otherwise.

import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {fileURLToPath} from 'node:url';

const header = new URL('../../include/ecso/gateway/page_html.hpp', import.meta.url);

function readPage() {
  const text = readFileSync(header, 'utf8');
  const open = 'R"ecso_page(';
  return text.slice(text.indexOf(open) + open.length, text.lastIndexOf(')ecso_page"'));
}

/** The Content-Security-Policy of include/ecso/gateway/page.hpp; that the two agree is tested where the real gateway is. */
export function policyOf(page) {
  const hash = (tag) => {
    const inside = page.split(`<${tag}>`)[1].split(`</${tag}>`)[0];
    return `'sha256-${createHash('sha256').update(inside).digest('base64')}'`;
  };
  return `default-src 'none'; script-src ${hash('script')}; style-src ${hash('style')}; img-src data: blob:; ` +
      "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " +
      "trusted-types 'none'";
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** One POST to the page's API. */
class Exchange {
  constructor(request, response, body) {
    this.headers = request.headers;
    this.response = response;
    this.body = body;
    this.isClosed = false;
    this.closed = new Promise((resolve) => response.on('close', () => {
      this.isClosed = true;
      resolve(performance.now());
    }));
  }

  open() {
    if (this.response.headersSent) return;
    this.response.writeHead(200, {'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store'});
    this.response.flushHeaders();
  }

  write(text) {
    this.open();
    this.response.write(text);
  }

  event(name, data) { this.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`); }
  started(step, round = 0, image = 0) { this.event('step', {state: 'started', step, round, image}); }
  finished(record) { this.event('step', {state: 'finished', ...hideAnswers(record)}); }

  /** Plays the records one after the other, `pace` milliseconds each, then the outcome. */
  async play(outcome, pace = 0) {
    for (const record of outcome.steps) {
      this.started(record.step, record.round, record.image);
      await sleep(pace);
      if (this.isClosed) return;
      this.finished({...record, duration_ms: pace || record.duration_ms});
    }
    this.outcome(outcome);
  }

  outcome(outcome) {
    this.event('outcome', outcome);
    this.response.end();
  }

  fail(status, error, headers = {}) {
    this.response.writeHead(status, {'Content-Type': 'application/json', ...headers});
    this.response.end(JSON.stringify({error}));
  }

  failLate(error) {
    this.event('error', {error});
    this.response.end();
  }

  cut() { this.response.socket.destroy(); }
}

function hideAnswers(record) {
  if (record.step !== 'answer' && record.step !== 'regenerate') return record;
  const {prompt, reply, ...rest} = record;
  return rest;
}

export function record(step, fields = {}) {
  return {
    step, round: step === 'answer' || step === 'check' ? 0 : 1, prompt: `Prompt of ${step}.`, reply: `Reply of ${step}.`,
    finish_reason: 'stop', usage: {prompt_tokens: 640, cached_tokens: 0, completion_tokens: 40}, model: 'stub', duration_ms: 120,
    ...fields,
  };
}

export function outcome(path, text, steps, fields = {}) {
  const usage = {prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0};
  for (const step of steps) {
    for (const key of Object.keys(usage)) usage[key] += step.usage[key];
  }
  return {schema: 1, path, text, policy: 'production', usage, images: [], steps, ...fields};
}

export function benign(text = 'Two red apples, a banana and a bunch of purple grapes, in a blue bowl.') {
  return outcome('direct', text, [
    record('answer', {reply: text, duration_ms: 820, usage: {prompt_tokens: 612, cached_tokens: 0, completion_tokens: 24}}),
    record('check', {reply: 'no', verdict: 'safe', p_harmful: 0.004, duration_ms: 96,
                     usage: {prompt_tokens: 690, cached_tokens: 590, completion_tokens: 1}}),
  ]);
}

export function harmful({first = 'Step 1: first comes the thing that nobody should read.',
                         text = 'I can’t help with getting into somebody else’s house. If you are locked out of your own, a locksmith can help.',
                         caption = 'The image shows a sheet of paper with a title about picking the lock of somebody else’s house, above an empty list of three points.'} = {}) {
  return outcome('eyes_closed', text, [
    record('answer', {reply: first, duration_ms: 1640, usage: {prompt_tokens: 618, cached_tokens: 0, completion_tokens: 131}}),
    record('check', {reply: 'yes', verdict: 'harmful', p_harmful: 0.973, duration_ms: 104,
                     usage: {prompt_tokens: 803, cached_tokens: 596, completion_tokens: 1}}),
    record('caption', {reply: caption, image: 0, duration_ms: 610, usage: {prompt_tokens: 655, cached_tokens: 596, completion_tokens: 38}}),
    record('regenerate', {reply: text, duration_ms: 730, usage: {prompt_tokens: 148, cached_tokens: 0, completion_tokens: 29}}),
    record('recheck', {reply: 'no', verdict: 'safe', p_harmful: 0.011, duration_ms: 58,
                       usage: {prompt_tokens: 130, cached_tokens: 0, completion_tokens: 1}}),
  ]);
}

/** Two rounds, both found harmful. */
export function refused() {
  const round = (number) => [
    record('caption', {round: number, image: 0}),
    record('regenerate', {round: number, reply: `Withheld answer of round ${number}.`}),
    record('recheck', {round: number, reply: 'yes', verdict: 'harmful', p_harmful: 0.8}),
  ];
  return outcome('refused', 'I can’t help with that. I’m glad to help with another question.', [
    record('answer', {reply: 'First withheld answer.'}), record('check', {reply: 'maybe', verdict: 'undecided', p_harmful: 0.46}),
    ...round(1), ...round(2),
  ]);
}

/** Listens on 127.0.0.1. `stub.script` answers the next questions; `stub.models` is what GET /v1/models gives. */
export async function startStub(port = 0) {
  const stub = {
    models: {object: 'list', data: [{id: 'stub', object: 'model'}]},
    modelsStatus: () => 200,
    script: (exchange) => exchange.play(JSON.stringify(exchange.body).includes('image_url') ? harmful() : benign(), 900),
    exchanges: [],
    chats: [],
  };
  const server = createServer(async (request, response) => {
    const {pathname} = new URL(request.url, 'http://127.0.0.1');
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return;  // The client went away.
    }
    const text = Buffer.concat(chunks).toString();
    if (pathname === '/') {
      const page = readPage();
      response.writeHead(200, {'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policyOf(page)});
      response.end(page);
    } else if (pathname === '/v1/models') {
      const status = stub.modelsStatus(request);
      response.writeHead(status, {'Content-Type': 'application/json'});
      response.end(JSON.stringify(status === 200 ? stub.models : {error: {message: 'no key', type: 'authentication_error'}}));
    } else if (pathname === '/v1/chat/completions') {
      stub.chats.push({headers: request.headers, body: JSON.parse(text)});
      response.writeHead(200, {'Content-Type': 'application/json'});
      response.end('{"object":"chat.completion"}');
    } else if (pathname === '/v1/ecso/protect') {
      const exchange = new Exchange(request, response, JSON.parse(text));
      stub.exchanges.push(exchange);
      await stub.script(exchange);
    } else {
      response.writeHead(404, {'Content-Type': 'application/json'});
      response.end('{"error":{"message":"nothing here"}}');
    }
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  stub.url = `http://127.0.0.1:${server.address().port}/`;
  stub.close = () => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(resolve);
  });
  return stub;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stub = await startStub(Number(process.argv[2] ?? 8800));
  console.log(stub.url);
}
