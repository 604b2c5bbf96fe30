// What the page says when something goes wrong.

import assert from 'node:assert/strict';

import {stubTest, until} from './harness.mjs';
import {benign, harmful, outcome, record, sleep, startStub} from './stub_gateway.mjs';

/** What the page shows of a problem, and that it shows no answer. */
async function problemOf(page) {
  await page.problem().waitFor();
  await page.ends();
  assert.equal(await page.page.locator('.answers').isVisible(), false);
  const lines = (await page.problem().innerText()).split(/\n+/);
  assert.equal(lines.pop(), 'Ask again');
  return lines;
}

stubTest('a key is asked for, kept in memory and sent', async (page, stub) => {
  page.expect(/status of 401/);
  const isKnown = ({headers}) => headers.authorization === 'Bearer top secret';
  stub.modelsStatus = (request) => (isKnown(request) ? 200 : 401);
  stub.script = (exchange) => {
    if (isKnown(exchange)) return exchange.play(benign());
    exchange.fail(401, {message: 'the key is missing or unknown', type: 'authentication_error'});
  };
  assert.equal(await page.page.locator('#key').isVisible(), false);
  await page.ask('Hello?');
  assert.deepEqual(await problemOf(page), [
    'This gateway wants an API key', 'the key is missing or unknown', 'Enter the key of this gateway on the form, then ask again.',
  ]);
  await page.picture('key');
  assert.equal(await page.page.evaluate(() => document.activeElement.id), 'key');
  await page.page.keyboard.type('top secret');
  await page.page.keyboard.press('Enter');
  await page.badge().waitFor();
  await page.ends('Answered directly');
  assert.equal(stub.exchanges[1].headers.authorization, 'Bearer top secret');

  await page.page.getByRole('button', {name: 'Copy as curl'}).click();
  await until(async () => /Bearer \$ECSO_KEY"/.test(await page.page.locator('.run > pre').textContent()), 'the command');
  assert.doesNotMatch(await page.page.content(), /top secret/);
  assert.equal(await page.page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length), 0);
  await page.page.reload({waitUntil: 'networkidle'});
  assert.equal(await page.page.locator('#key').inputValue(), '');
});

const statuses = [
  [400, 'messages: the last is not a user’s', {}, 'The gateway refused the request', /Change the question or the image/],
  [413, 'the body is too large', {}, 'The gateway refused the request', /smaller image/],
  [429, 'too many', {'Retry-After': '7'}, 'Too many questions at once', /Wait 7 seconds/],
  [429, 'too many', {'Retry-After': '1'}, 'Too many questions at once', /Wait 1 second,/],
  [500, 'a bug', {}, 'The gateway could not answer', /See the log/],
  [503, 'draining', {}, 'The gateway could not answer', /stopping, or no model server/],
  [504, 'the step answer took too long', {}, 'The gateway could not answer', /took too long/],
];
for (const [status, message, headers, title, advice] of statuses) {
  stubTest(`status ${status} (${message}) is told with what to do`, async (page, stub) => {
    page.expect(new RegExp(`status of ${status}`));
    stub.script = (exchange) => exchange.fail(status, {message, type: 'x'}, headers);
    await page.ask('Hello?');
    const lines = await problemOf(page);
    assert.deepEqual(lines.slice(0, 2), [title, message]);
    assert.match(lines[2], advice);
    assert.equal(await page.page.locator('.run .steps').isVisible(), false);
  });
}

stubTest('an error without a readable body still has its status', async (page, stub) => {
  page.expect(/status of 502/);
  stub.script = ({response}) => {
    response.writeHead(502, {'Content-Type': 'text/html'});
    response.end('<h1>Bad gateway</h1>');
  };
  await page.ask('Hello?');
  assert.deepEqual((await problemOf(page)).slice(0, 2), ['The gateway could not answer', 'HTTP status 502.']);
});

stubTest('a step that fails ends the question, and nothing unverified shows', async (page, stub) => {
  stub.script = async (exchange) => {
    exchange.started('answer');
    exchange.finished(record('answer', {reply: 'Not for eyes.'}));
    exchange.started('check');
    await sleep(100);
    exchange.failLate({message: 'the step check failed: the model server answered 500', type: 'ecso_unverified', code: null});
  };
  await page.ask('Hello?');
  assert.deepEqual((await problemOf(page)).slice(0, 2),
      ['A step failed, so nothing was released', 'the step check failed: the model server answered 500']);
  assert.deepEqual(await page.states(), ['done', 'failed', 'skipped', 'skipped', 'skipped']);
  assert.doesNotMatch(await page.page.content(), /Not for eyes/);
  await page.picture('step-failed');

  stub.script = (exchange) => exchange.play(benign());
  await page.problem().getByRole('button', {name: 'Ask again'}).click();
  await page.badge().waitFor();
  await page.ends('Answered directly');
  assert.equal(await page.page.evaluate(() => document.activeElement.id), 'stage');
});

stubTest('an outcome that failed names the step', async (page, stub) => {
  const error = {code: 'timeout', message: 'out of time', step: 'caption', http_status: 504};
  const steps = [record('answer'), record('check', {verdict: 'harmful'}), record('caption', {reply: '', error})];
  stub.script = (exchange) => exchange.play(outcome('failed', '', steps, {error}));
  await page.ask('Hello?');
  await page.ends('No answer');
  assert.match(await page.problem().innerText(), /step “caption” failed[^]*out of time/);
  assert.equal((await page.states())[2], 'failed');
});

stubTest('a refusal because a step failed says so', async (page, stub) => {
  const error = {code: 'server_error', message: 'answered 500', step: 'check'};
  const steps = [record('answer'), record('check', {reply: '', error})];
  stub.script = (exchange) => exchange.play(outcome('refused', 'I can’t help with that.', steps, {error}));
  await page.ask('Hello?');
  await page.ends('Refused');
  assert.equal(await page.page.locator('.final .why').textContent(), 'A step failed, so nothing of the model was released.');
  assert.equal(await page.page.locator('.first .badge').textContent(), 'Withheld');
});

for (const [how, end] of [['breaks', (exchange) => exchange.cut()], ['ends', (exchange) => exchange.response.end()]]) {
  stubTest(`a stream that ${how} before the outcome is no answer`, async (page, stub) => {
    page.expect(/ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/);
    stub.script = async (exchange) => {
      exchange.started('answer');
      exchange.finished(record('answer'));
      exchange.started('check');
      exchange.write('event: outcome\ndata: {"path":"direct","text":"cut');
      await sleep(50);
      end(exchange);
    };
    await page.ask('Hello?');
    assert.equal((await problemOf(page))[0], 'The connection broke off');
    assert.deepEqual(await page.states(), ['done', 'failed', 'skipped', 'skipped', 'skipped']);
  });
}

for (const [what, text] of [['no JSON', '{"path"'], ['another kind of JSON', '[1]']]) {
  stubTest(`an outcome that is ${what} is no answer`, async (page, stub) => {
    stub.script = (exchange) => {
      exchange.write(`event: outcome\ndata: ${text}\n\n`);
      exchange.response.end();
    };
    await page.ask('Hello?');
    assert.equal((await problemOf(page))[0], 'The reply cannot be read');
  });
}

stubTest('an outcome of another schema is not guessed at', async (page, stub) => {
  stub.script = (exchange) => exchange.play({...benign(), schema: 2});
  await page.ask('Hello?');
  assert.equal((await problemOf(page))[0], 'This page is older than the gateway');
});

stubTest('a gateway that is gone is named, and asked again when it is back', async (page, stub) => {
  page.expect(/ERR_CONNECTION_REFUSED/);
  await stub.close();
  await page.ask('Hello?');
  const lines = await problemOf(page);
  assert.equal(lines[0], 'The gateway cannot be reached');
  assert.match(lines[2], new RegExp(`still runs at ${new URL(stub.url).host}`));
  await page.picture('gone');

  const back = await startStub(new URL(stub.url).port);
  back.script = (exchange) => exchange.play(benign());
  await page.problem().getByRole('button').click();
  await page.badge().waitFor();
  await page.ends('Answered directly');
  await back.close();
});

for (const [how, cancel] of [['the button', (page) => page.page.getByRole('button', {name: 'Cancel'}).click()],
                             ['Escape', (page) => page.page.keyboard.press('Escape')]]) {
  stubTest(`a slow question shows its clock and is cancelled by ${how}`, async (page, stub) => {
    let exchange;
    stub.script = (one) => {
      exchange = one;
      one.started('answer');
    };
    await page.page.locator('.examples button').first().click();
    const clock = page.step(0).locator('.clock');
    await until(async () => parseFloat(await clock.textContent()) >= 1, 'the clock runs');
    assert.equal(exchange.isClosed, false);
    await cancel(page);
    await until(() => exchange.isClosed, 'the connection closes');
    assert.deepEqual((await problemOf(page)).slice(0, 2), ['Cancelled', 'Nothing was released, and the gateway was told to stop.']);
    assert.equal((await page.states())[0], 'failed');
    await page.picture('cancelled');
    const last = await clock.textContent();
    await sleep(300);
    assert.equal(await clock.textContent(), last);

    stub.script = (one) => one.play(harmful());
    await page.problem().getByRole('button').click();
    await page.badge().waitFor();
    await page.ends('Answered with eyes closed');
  });
}

stubTest('a question is cancelled before the gateway has answered anything', async (page, stub) => {
  stub.script = () => {};
  await page.ask('Hello?');
  await until(() => stub.exchanges.length === 1, 'the request');
  await page.page.keyboard.press('Escape');
  assert.equal((await problemOf(page))[0], 'Cancelled');
  await stub.exchanges[0].closed;
});
