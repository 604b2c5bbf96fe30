// Words from people, models, files and servers that want to be markup.

import assert from 'node:assert/strict';

import {image, stubTest, until} from './harness.mjs';
import {harmful, outcome, record} from './stub_gateway.mjs';

const attacks = [
  '<img src=x onerror=alert(1)>', '<script>alert(2)</script>', '"><svg onload=alert(3)>', '<iframe srcdoc="<script>alert(4)</script>"></iframe>',
  '</textarea></option></select><b id=injected>', 'javascript:alert(5)', '{{7*7}}${7*7}', '\u202eright to left\u202c', '&lt;b&gt;', '\u0000\ufffd\u2028',
];
const everything = attacks.join(' ');

/** No element came of it: whatever was added is made by the page's own script. */
async function isClean(page) {
  const found = await page.page.evaluate(() => {
    const strange = document.querySelectorAll('iframe, object, embed, base, #injected, [onerror], [onload], svg svg, a[href], form form');
    return {strange: strange.length, scripts: document.scripts.length, images: [...document.images].filter((one) => !/^(data|blob):/.test(one.src)).length};
  });
  assert.deepEqual(found, {strange: 0, scripts: 1, images: 0});
}

stubTest('markup in question, image name, model, caption, answer, prompt and policy stays text', async (page, stub) => {
  stub.models = {data: [{id: everything}, {id: 'other'}]};
  await page.page.reload({waitUntil: 'networkidle'});
  const steps = harmful({first: everything, text: everything, caption: everything}).steps.map((step) => ({...step, prompt: everything, model: everything}));
  steps[1].reply = everything;
  stub.script = (exchange) => exchange.play(outcome('eyes_closed', everything, steps, {policy: everything, images: [everything]}));
  await page.choose({name: '<img src=x onerror=alert(6)>.png', mimeType: 'image/png', buffer: image('benign')});
  await page.ask(everything);
  await page.ends('Answered with eyes closed');
  for (const summary of await page.page.locator('.run summary').all()) await summary.click();
  await page.page.getByRole('button', {name: 'Copy as curl'}).click();
  await until(async () => /curl/.test(await page.page.locator('.run > pre').textContent()), 'the command');
  const shown = everything.replaceAll('\u0000', '\ufffd');
  for (const place of ['.final .said', 'blockquote', '.first s', '.asked h2', '#history b', '.step:nth-child(2) pre']) {
    const text = await page.page.locator(place).first().textContent();
    assert.ok(text.replaceAll('\u0000', '\ufffd').includes(place === '.asked h2' || place === '#history b' ? attacks[0] : shown), `${place}: ${text}`);
  }
  assert.equal(stub.exchanges[0].body.model, everything);
  assert.equal(await page.page.locator('#thumbs b').textContent(), '<img src=x onerror=alert(6)>.png');
  await isClean(page);
  await page.picture('hostile');
});

stubTest('markup in messages of errors stays text', async (page, stub) => {
  page.expect(/status of 400/);
  stub.script = (exchange) => exchange.fail(400, {message: everything, type: everything, code: everything});
  await page.ask('One?');
  await page.problem().waitFor();
  assert.equal((await page.problem().locator('p').first().textContent()).replaceAll('\u0000', '\ufffd'), everything.replaceAll('\u0000', '\ufffd'));
  stub.script = (exchange) => exchange.failLate({message: everything});
  await page.ask('Two?');
  await page.problem().getByText('alert(1)').waitFor();
  const error = {message: everything, step: everything};
  stub.script = (exchange) => exchange.play(outcome('failed', '', [record('answer', {error})], {error}));
  await page.ask('Three?');
  await page.badge().waitFor();
  await page.choose({name: `${attacks[0]}.txt`, mimeType: 'text/plain', buffer: Buffer.from('text')});
  assert.equal(await page.page.locator('#complaint').textContent(), `${attacks[0]}.txt is no PNG, JPEG, WebP, GIF or BMP image.`);
  await isClean(page);
});

stubTest('values of the wrong type do no harm', async (page, stub) => {
  const wrong = [null, 7, 'x', [], {}, true, -1, 1e308];
  stub.script = (exchange) => {
    for (const value of wrong) exchange.event('step', {state: 'finished', step: value, round: value, image: value, usage: value, duration_ms: value});
    for (const value of wrong) exchange.event('step', {state: 'started', step: value, round: value, image: value});
    for (const name of ['__proto__', 'constructor', 'toString']) exchange.event('step', {state: 'started', step: name});
    const steps = wrong.map((value) => ({
      step: 'check', round: 0, verdict: value, p_harmful: value, prompt: value, reply: value, finish_reason: value, usage: value, duration_ms: value, error: value,
    }));
    exchange.outcome({schema: 1, path: '__proto__', text: 'Text.', steps: [null, 1, 'x', ...steps, {step: 'check', verdict: 'constructor'}], usage: 7, policy: {}, images: 7});
  };
  await page.ask('Hello?');
  await page.ends('No answer');
  await isClean(page);
});

stubTest('a path that is not known shows no text', async (page, stub) => {
  stub.script = (exchange) => exchange.play(outcome('maybe', 'Should not show.', [record('answer')]));
  await page.ask('Hello?');
  await page.ends('No answer');
  assert.equal(await page.said().count(), 0);
});

stubTest('the policy of the page stops what a string would inject', async (page) => {
  page.expect(/TrustedHTML|TrustedScript|HTMLScriptElement|Trusted Types|trusted-types|require-trusted-types-for|Content Security Policy|policy: /);
  const stopped = await page.page.evaluate(() => {
    try {
      document.body.insertAdjacentHTML('beforeend', '<img src=x>');
      return false;
    } catch {
      return true;
    }
  });
  assert.equal(stopped, true);
  const ran = await page.page.evaluate(() => new Promise((resolve) => {
    const script = document.createElement('script');
    script.append('globalThis.ran = true');
    document.body.append(script);
    setTimeout(() => resolve(globalThis.ran === true), 50);
  }));
  assert.equal(ran, false);
});
