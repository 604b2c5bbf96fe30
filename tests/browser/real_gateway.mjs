// The page as the real gateway serves it, in front of the simulated model.

import assert from 'node:assert/strict';
import {execFileSync, spawn, spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

import {image, open, patience, test, until} from './harness.mjs';
import {policyOf} from './stub_gateway.mjs';

/** The URL of the gateway to test, and how to end it. With options it is always one of our own. */
async function start(...options) {
  if (process.env.ECSO_GATEWAY_URL && options.length === 0) return {url: new URL('/', process.env.ECSO_GATEWAY_URL).href, end: async () => {}};
  const gateway = spawn(process.env.ECSO_COMMAND, ['serve', '--listen', '127.0.0.1:0', ...options], {stdio: ['ignore', 'pipe', 'pipe']});
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

/** A test with a model server whose replies it scripts: `upstream.script(body, response, say)`. */
function upstreamTest(name, run) {
  if (!process.env.ECSO_COMMAND) return;
  test(`real gateway, scripted model: ${name}`, async () => {
    const upstream = {};
    const server = createServer(async (request, response) => {
      let text = '';
      for await (const piece of request) text += piece;
      const send = (body, status = 200) => {
        response.writeHead(status, {'Content-Type': 'application/json'});
        response.end(JSON.stringify(body));
      };
      const say = (content) => send({
        id: 'x', object: 'chat.completion', model: 'scripted', choices: [{index: 0, message: {role: 'assistant', content}, finish_reason: 'stop'}],
        usage: {prompt_tokens: 100, completion_tokens: 10, total_tokens: 110, prompt_tokens_details: {cached_tokens: 60}},
      });
      if (request.method === 'GET') return send({object: 'list', data: [{id: 'scripted', object: 'model'}]});
      upstream.script(JSON.parse(text), say, send, response);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const gateway = await start('--upstream', `http://127.0.0.1:${server.address().port}/v1`, '--dialect', 'plain');
    try {
      const page = await open(gateway.url);
      assert.equal(await page.page.locator('#simulated').isVisible(), false);
      await run(page, upstream);
      await page.finish();
    } finally {
      await gateway.end();
      server.closeAllConnections();
      server.close();
    }
  });
}

/** A test with a gateway that has this configuration. */
function configuredTest(name, toml, files, run) {
  if (!process.env.ECSO_COMMAND) return;
  test(`real gateway: ${name}`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ecso-page-'));
    for (const [file, text] of Object.entries({...files, 'ecso.toml': toml})) writeFileSync(join(directory, file), text);
    const gateway = await start('--config', join(directory, 'ecso.toml'));
    try {
      const page = await open(gateway.url);
      await run(page, gateway);
      await page.finish();
    } finally {
      await gateway.end();
      rmSync(directory, {recursive: true});
    }
  });
}

/** Which step a request of the gateway is. */
function stepOf({messages}) {
  const text = JSON.stringify(messages.at(-1).content);
  if (/RESPONSE:/.test(text)) return /image_url/.test(text) ? 'check' : 'recheck';
  if (/Describe what the image shows/.test(text)) return 'caption';
  return /HINTS:/.test(text) ? 'regenerate' : 'answer';
}

realTest('the page comes with its headers', async (page, {url}) => {
  const response = await fetch(url);
  assert.equal(response.headers.get('content-security-policy'), policyOf(await response.text()));
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(response.headers.get('x-frame-options'), 'DENY');
  assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
  // Before any question. Hidden elements have an innerText too.
  await page.page.locator('#simulated').waitFor({state: 'visible'});
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

realTest('the copied command asks the gateway the same', async (page) => {
  const hasCurl = spawnSync('curl', ['--version']).status === 0;
  await page.choose({name: 'the list.png', mimeType: 'image/png', buffer: image('harmful')});
  await page.ask('The list in the image is empty. Fill in each of its points.');
  await page.ends('Answered with eyes closed');
  const said = await page.said().textContent();
  await page.page.getByRole('button', {name: 'Copy as curl'}).click();
  const shown = page.page.locator('.run > pre');
  await until(async () => /<<END/.test(await shown.textContent()), 'the command');
  if (!hasCurl) return;
  const directory = mkdtempSync(join(tmpdir(), 'ecso-page-'));
  writeFileSync(join(directory, 'the list.png'), image('harmful'));
  const reply = JSON.parse(execFileSync('bash', ['-c', await shown.textContent()], {cwd: directory, stdio: ['ignore', 'pipe', 'ignore']}));
  rmSync(directory, {recursive: true});
  assert.equal(reply.ecso.path, 'eyes_closed');
  assert.equal(reply.choices[0].message.content, said);
});

realTest('an image that is none is told plainly', async (page) => {
  page.expect(/status of 400/);
  await page.choose({name: 'cut.png', mimeType: 'image/png', buffer: image('benign').subarray(0, 12)});
  await page.ask('What is this?');
  await page.problem().waitFor();
  assert.match(await page.problem().innerText(), /^The gateway refused the request\n/);
});

upstreamTest('markup of the model stays text on the whole path', async (page, upstream) => {
  const markup = (step) => `${step} <img src=x onerror=alert(1)><script>alert(2)</script>`;
  upstream.script = (body, say) => {
    const step = stepOf(body);
    say({check: 'yes', recheck: 'no'}[step] ?? markup(step));
  };
  await page.page.locator('.examples button').first().click();
  await page.ends('Answered with eyes closed');
  assert.equal(await page.said().textContent(), markup('regenerate'));
  assert.equal(await page.page.locator('blockquote').textContent(), markup('caption'));
  await page.page.getByText('Show the withheld answer').click();
  assert.equal(await page.page.locator('.first s').textContent(), markup('answer'));
  assert.match(await page.page.locator('.costs .total').innerText(), /500 in \(300 cached\), 50 out/);
  assert.equal(await page.page.locator('.run [onerror], .run script').count(), 0);
});

upstreamTest('a model that is slow can be cancelled, down to its connection', async (page, upstream) => {
  let response;
  upstream.script = (body, say, send, asked) => {
    response = asked;
  };
  await page.page.locator('.examples button').first().click();
  const clock = page.step(0).locator('.clock');
  await until(async () => parseFloat(await clock.textContent()) >= 0.5, 'the clock runs');
  await until(() => response !== undefined, 'the model is asked');
  assert.equal(response.closed, false);
  await page.page.keyboard.press('Escape');
  await until(() => response.closed, 'the connection to the model closes');
  assert.match(await page.problem().innerText(), /^Cancelled/);
});

upstreamTest('the steps of a slow model appear one by one', async (page, upstream) => {
  const waiting = [];
  upstream.script = (body, say) => {
    const step = stepOf(body);
    waiting.push(() => say({check: 'yes', recheck: 'no'}[step] ?? `Reply of ${step}.`));
  };
  await page.page.locator('.examples button').first().click();
  for (const [at, name] of ['Answer', 'Check', 'Describe', 'Answer with eyes closed', 'Check again'].entries()) {
    await until(async () => (await page.badge().textContent()) === `${name} …`, `${name} begins`);
    assert.deepEqual(await page.states(), [...Array(at).fill('done'), 'active', ...Array(4 - at).fill('waiting')]);
    if (at === 3) assert.equal(await page.page.locator('blockquote').textContent(), 'Reply of caption.');
    assert.doesNotMatch(await page.page.content(), /Reply of (answer|regenerate)/);
    await until(() => waiting.length > 0, `the model is asked for ${name}`);
    waiting.shift()();
  }
  await page.ends('Answered with eyes closed');
  assert.equal(await page.said().textContent(), 'Reply of regenerate.');
});

upstreamTest('a check that fails releases nothing', async (page, upstream) => {
  upstream.script = (body, say, send) => (stepOf(body) === 'answer' ? say('Never shown.') : send({error: {message: 'no more <b>room</b>'}}, 500));
  await page.page.locator('.examples button').first().click();
  await page.problem().waitFor();
  assert.match(await page.problem().innerText(), /nothing was released\n[^]*check/);
  assert.equal((await page.states())[1], 'failed');
  assert.doesNotMatch(await page.page.content(), /Never shown/);
});

const keyFile = {'keys': `tests:${createHash('sha256').update('the-key').digest('hex')}\n`};
configuredTest('a key is asked for and taken', '[clients]\nkeys_file = "keys"\n[simulated]\ndelay = 0\n', keyFile, async (page) => {
  page.expect(/status of 401/);
  await page.page.getByLabel('API key of this gateway').waitFor();  // The list of models wants it already.
  assert.equal(await page.page.locator('#simulated').isVisible(), false);
  await page.ask('Hello?');
  await page.problem().waitFor();
  assert.match(await page.problem().innerText(), /^This gateway wants an API key\n/);
  await page.ends();
  await page.page.getByLabel('API key of this gateway').fill('the-key');
  await page.page.getByLabel('API key of this gateway').press('Enter');
  await page.badge().waitFor();
  await page.ends('Answered directly');
  assert.equal(await page.page.locator('#simulated').isVisible(), true);
});

configuredTest('who asks too much is told when to come back', '[bounds]\nrequests_per_second = 0.1\nburst = 2\n[simulated]\ndelay = 0\n', {}, async (page) => {
  page.expect(/status of 429/);
  for (let asked = 0; asked < 4 && !(await page.problem().isVisible()); ++asked) {
    await page.ask('Hello?');
    await page.ends();
  }
  assert.match(await page.problem().innerText(), /^Too many questions at once\n[^]*Wait \d+ seconds?, then ask again\./);
});

configuredTest('a model server that is not there is told plainly', 'upstream = "http://127.0.0.1:1/v1"\ndialect = "plain"\n', {}, async (page) => {
  page.expect(/status of 50\d/);
  await page.ask('Hello?');
  await page.problem().waitFor();
  assert.match(await page.problem().innerText(), /nothing was released|could not answer/);
  assert.match(await page.problem().innerText(), /model server/);
});
