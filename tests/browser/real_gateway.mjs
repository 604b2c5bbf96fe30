// The page as the real gateway serves it, in front of the simulated model.

import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';

import {image, open, patience, test, until} from './harness.mjs';
import {policyOf} from './stub_gateway.mjs';

/** The URL of the gateway to test, and how to end it. */
async function start() {
  if (process.env.ECSO_GATEWAY_URL) return {url: new URL('/', process.env.ECSO_GATEWAY_URL).href, end: async () => {}};
  const gateway = spawn(process.env.ECSO_COMMAND, ['serve', '--listen', '127.0.0.1:0'], {stdio: ['ignore', 'pipe', 'pipe']});
  let said = '';
  for (const stream of [gateway.stdout, gateway.stderr]) stream.on('data', (text) => { said += text; });
  const ended = new Promise((resolve) => gateway.on('exit', resolve));
  const end = async () => {
    gateway.kill();
    await ended;
  };
  try {
    const url = await until(() => {
      assert.equal(gateway.exitCode, null, said);
      return /http:\/\/127\.0\.0\.1:[1-9]\d*/.exec(said)?.[0];
    }, 'the gateway says its URL', patience);
    return {url: `${url}/`, end};
  } catch (error) {
    await end();
    throw error;
  }
}

function realTest(name, run) {
  if (!process.env.ECSO_GATEWAY_URL && !process.env.ECSO_COMMAND) return;
  test(`real gateway: ${name}`, async () => {
    const gateway = await start();
    try {
      const page = await open(gateway.url);
      await run(page, gateway);
      await page.finish();
    } finally {
      await gateway.end();
    }
  });
}

realTest('the page comes with its headers', async (page, {url}) => {
  const response = await fetch(url);
  assert.equal(response.headers.get('content-security-policy'), policyOf(await response.text()));
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(response.headers.get('x-frame-options'), 'DENY');
  assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
  assert.match(await page.page.locator('#simulated').innerText(), /^Simulated model\./);
  await page.picture('real-idle', {});
});

realTest('every example ends as it should', async (page) => {
  const ends = ['Answered with eyes closed', 'Answered directly', 'Answered with eyes closed', 'Answered directly'];
  for (const [index, end] of ends.entries()) {
    await page.page.locator('.examples button').nth(index).click();
    await page.ends(end);
    const expected = end === 'Answered directly' ? ['done', 'done', 'skipped', 'skipped', 'skipped'] : Array(5).fill('done');
    assert.deepEqual(await page.states(), expected);
    await page.picture(`real-example-${index + 1}`);
  }
  await page.page.locator('#history button').nth(3).click();
  assert.match(await page.step(1).textContent(), /Harmful.*9\d\.\d % likely harmful/);
  assert.match(await page.page.locator('blockquote').textContent(), /sheet of paper with the title/);
  await page.page.getByText('Show the withheld answer').click();
  assert.match(await page.page.locator('.first s').textContent(), /^\[simulated harmful answer\]/);
  assert.doesNotMatch(await page.said().textContent(), /harmful answer/);
});

realTest('two images and markup in the question', async (page) => {
  await page.choose(...['benign', 'harmful'].map((name) => ({name: `${name}.png`, mimeType: 'image/png', buffer: image(name)})));
  await page.ask('What is <b onclick=alert(1)>in</b> these pictures?');
  await page.ends('Answered with eyes closed');
  assert.equal(await page.page.locator('blockquote').count(), 2);
  assert.equal(await page.page.locator('.run [onclick]').count(), 0);
});

realTest('text alone', async (page) => {
  await page.ask('What is the capital of France?');
  await page.ends('Answered directly');
  assert.match(await page.said().textContent(), /^\[simulated\]/);
});

realTest('an image that is none is told plainly', async (page) => {
  page.expect(/status of 400/);
  await page.choose({name: 'cut.png', mimeType: 'image/png', buffer: image('benign').subarray(0, 12)});
  await page.ask('What is this?');
  await page.problem().waitFor();
  assert.match(await page.problem().innerText(), /^The gateway refused the request\n/);
});
