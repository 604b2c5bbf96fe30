// What a person does with the page.

import assert from 'node:assert/strict';
import {execFileSync, spawn} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

import {image, stubTest, until, wide} from './harness.mjs';
import {benign, harmful} from './stub_gateway.mjs';

const thumbs = (page) => page.page.locator('#thumbs li');
const complaint = (page) => page.page.locator('#complaint');

/** Runs a command as somebody who pastes it would; its directory has `files`. */
function paste(command, files) {
  const directory = mkdtempSync(join(tmpdir(), 'ecso-page-'));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(directory, name), bytes);
  return new Promise((resolve) => {
    const shell = spawn('bash', ['-c', command], {cwd: directory, env: {...process.env, ECSO_KEY: 'from the shell'}});
    let text = '';
    shell.stdout.on('data', (piece) => { text += piece; });
    shell.stderr.on('data', (piece) => { text += piece; });
    shell.on('close', (status) => {
      rmSync(directory, {recursive: true});
      resolve({status, text});
    });
  });
}

function hasCurl() {
  try {
    execFileSync('curl', ['--version'], {stdio: 'ignore'});
    return true;
  } catch {
    return false;
  }
}

/** Hands files to the page as the clipboard or a mouse would. */
async function give(page, kind, files) {
  await page.page.evaluate(([kind, files]) => {
    const transfer = new DataTransfer();
    for (const {name, type, base64} of files) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, {type}));
    }
    const options = {bubbles: true, cancelable: true};
    if (kind === 'paste') {
      document.activeElement.dispatchEvent(new ClipboardEvent('paste', {...options, clipboardData: transfer}));
    } else {
      for (const name of ['dragover', 'drop']) document.querySelector('h1').dispatchEvent(new DragEvent(name, {...options, dataTransfer: transfer}));
    }
  }, [kind, files.map(({name, type, bytes}) => ({name, type, base64: bytes.toString('base64')}))]);
}

for (const kind of ['paste', 'drop']) {
  stubTest(`an image can come by ${kind}`, async (page, stub) => {
    stub.script = (exchange) => exchange.play(benign());
    await give(page, kind, [{name: 'clip.png', type: 'image/png', bytes: image('benign')}]);
    await thumbs(page).first().waitFor();
    await until(async () => /640 × 480, 7 KB/.test(await thumbs(page).textContent()), 'its size shows');
    await page.ask('What is it?');
    await page.ends('Answered directly');
    const [part] = stub.exchanges[0].body.messages[0].content;
    assert.equal(part.image_url.url, `data:image/png;base64,${image('benign').toString('base64')}`);
  });
}

stubTest('text can still be pasted into the question', async (page) => {
  await page.page.getByLabel('Question', {exact: true}).focus();
  const isTaken = await page.page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.setData('text/plain', 'words');
    return !document.activeElement.dispatchEvent(new ClipboardEvent('paste', {bubbles: true, cancelable: true, clipboardData: transfer}));
  });
  assert.equal(isTaken, false);
});

stubTest('where to drop lights up while a file is over the page', async (page) => {
  const drag = (name) => page.page.evaluate((event) => {
    document.querySelector('h1').dispatchEvent(new DragEvent(event, {bubbles: true, cancelable: true, dataTransfer: new DataTransfer()}));
    return getComputedStyle(document.querySelector('.drop label')).borderColor;
  }, name);
  const calm = await page.page.evaluate(() => getComputedStyle(document.querySelector('.drop label')).borderColor);
  assert.notEqual(await drag('dragover'), calm);
  assert.equal(await drag('dragleave'), calm);
});

stubTest('an image can be looked at in full, and Esc then closes it and cancels nothing', async (page, stub) => {
  let exchange;
  stub.script = (one) => { exchange = one; };
  const viewer = page.page.locator('#viewer');
  await page.choose({name: 'fruit <b>.png', mimeType: 'image/png', buffer: image('benign')});
  await page.page.getByRole('button', {name: 'Enlarge fruit <b>.png'}).click();
  await viewer.waitFor({state: 'visible'});
  assert.equal(await viewer.locator('b').textContent(), 'fruit <b>.png');
  await until(async () => (await viewer.locator('img').boundingBox())?.width === 640, 'it has its own size');
  await page.picture('enlarged', {});
  await page.page.mouse.click(5, 5);
  assert.equal(await viewer.isVisible(), false);

  await page.ask('What is it?');
  await until(() => exchange, 'the request');
  await page.page.locator('.asked .zoom').click();
  await viewer.waitFor({state: 'visible'});
  await page.page.keyboard.press('Escape');
  await viewer.waitFor({state: 'hidden'});
  assert.equal(exchange.isClosed, false);
  await exchange.play(benign());
  await page.ends('Answered directly');
});

stubTest('a drop that is no file says what to do', async (page) => {
  await give(page, 'drop', []);
  assert.match(await complaint(page).textContent(), /Save the image first/);
});

stubTest('files that are no images are refused by name, and the others stay', async (page) => {
  const bad = (name, text, mimeType = 'image/png') => ({name, mimeType, buffer: Buffer.from(text)});
  await page.choose(bad('notes.png', 'just text'), bad('empty.png', ''), bad('page.svg', '<svg/>', 'image/svg+xml'),
      {name: 'good.png', mimeType: 'image/png', buffer: image('benign')});
  await thumbs(page).first().waitFor();
  assert.deepEqual((await complaint(page).textContent()).split('\n'), [
    'notes.png is no PNG, JPEG, WebP, GIF or BMP image.', 'empty.png is empty.', 'page.svg is no PNG, JPEG, WebP, GIF or BMP image.',
  ]);
  assert.equal(await thumbs(page).count(), 1);
  await page.picture('refused-files');
  await page.page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(20 * 1024 * 1024 + 1)], 'huge.png'));
    document.body.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: transfer}));
  });
  await until(async () => /^huge\.png has 20\.0 MB; an image may have 20\.0 MB\.$/.test(await complaint(page).textContent()), 'the complaint');
  assert.equal(await thumbs(page).count(), 1);
});

stubTest('every kind of image is known by its first bytes', async (page, stub) => {
  stub.script = (exchange) => exchange.play(benign());
  const kinds = {
    'image/jpeg': [0xff, 0xd8, 0xff, 0xe0], 'image/gif': [...Buffer.from('GIF89a')],
    'image/webp': [...Buffer.from('RIFF'), 1, 2, 3, 4, ...Buffer.from('WEBPVP8 ')], 'image/bmp': [...Buffer.from('BM123456')],
  };
  for (const head of Object.values(kinds)) await page.choose({name: 'x', mimeType: '', buffer: Buffer.from([...head, 0, 0, 0, 0])});
  await page.ask('What?');
  await page.ends();
  const uris = stub.exchanges[0].body.messages[0].content.slice(0, 4).map((part) => part.image_url.url.split(';')[0]);
  assert.deepEqual(uris, Object.keys(kinds).map((type) => `data:${type}`));
});

stubTest('a question has at most sixteen images, and one can be taken back', async (page) => {
  await page.choose(...Array.from({length: 17}, (_, at) => ({name: `${at}.png`, mimeType: 'image/png', buffer: image('harmful')})));
  await complaint(page).waitFor();
  assert.equal(await thumbs(page).count(), 16);
  assert.equal(await complaint(page).textContent(), 'A question may have 16 images.');
  await page.page.getByRole('button', {name: 'Remove 3.png'}).click();
  assert.equal(await thumbs(page).count(), 15);
  await page.page.getByRole('button', {name: 'Clear'}).click();
  assert.equal(await thumbs(page).count(), 0);
});

stubTest('an empty question is not sent', async (page, stub) => {
  await page.ask('   ');
  assert.equal(await complaint(page).textContent(), 'Type a question first.');
  assert.equal(stub.exchanges.length, 0);
});

stubTest('Enter sends, Ctrl+Enter sends, Shift+Enter does not, and one question runs at a time', async (page, stub) => {
  stub.script = () => {};
  const query = page.page.getByLabel('Question', {exact: true});
  await query.fill('One');
  await query.press('Shift+Enter');
  await query.pressSequentially('Two');
  await query.press('Control+Enter');
  await until(() => stub.exchanges.length === 1, 'the request');
  assert.equal(stub.exchanges[0].body.messages[0].content, 'One\nTwo');
  await query.press('Enter');
  await page.page.getByRole('button', {name: 'Ask', exact: true}).click({force: true});
  await page.page.locator('.examples button').first().click();
  assert.equal(stub.exchanges.length, 1);
  await query.press('Escape');
  await page.ends();
  stub.script = (exchange) => exchange.play(benign());
  await query.press('Enter');
  await page.ends('Answered directly');
});

stubTest('models can be chosen where there are several', async (page, stub) => {
  assert.equal(await page.page.locator('#model').isVisible(), false);
  assert.equal(await page.page.locator('#only_model').textContent(), 'stub');
  stub.models = {data: [{id: 'first'}, {id: 'second'}, {nothing: true}, null]};
  stub.script = (exchange) => exchange.play(benign());
  await page.page.reload({waitUntil: 'networkidle'});
  await page.page.getByLabel('Model', {exact: true}).selectOption('second');
  await page.ask('Hello?');
  await page.ends();
  assert.equal(stub.exchanges[0].body.model, 'second');
  assert.match(await page.page.locator('.run .meta').textContent(), /^second · no image/);
});

stubTest('without a list of models the gateway chooses', async (page, stub) => {
  page.expect(/status of 503/);
  stub.modelsStatus = () => 503;
  stub.script = (exchange) => exchange.play(benign());
  await page.page.reload({waitUntil: 'networkidle'});
  await page.ask('Hello?');
  await page.ends('Answered directly');
  assert.equal('model' in stub.exchanges[0].body, false);
});

stubTest('the history shows a question again and lets it be asked again', async (page, stub) => {
  const answers = ['First answer.', 'Second answer.'];
  stub.script = (exchange) => exchange.play(benign(answers.shift()));
  await page.page.locator('.examples button').nth(1).click();
  await page.ends();
  await page.ask('And now?');
  await page.ends();
  assert.equal(await page.said().textContent(), 'Second answer.');
  const items = page.page.locator('#history button');
  assert.deepEqual(await items.evaluateAll((all) => all.map((item) => item.querySelector('b').textContent)), ['And now?', 'What fruit is in this picture?']);
  await items.nth(1).click();
  assert.equal(await page.said().textContent(), 'First answer.');
  assert.equal(await items.nth(1).getAttribute('aria-current'), 'true');

  await page.page.getByRole('button', {name: 'Clear'}).click();
  await page.page.getByRole('button', {name: 'Edit and ask again'}).click();
  assert.equal(await page.page.getByLabel('Question', {exact: true}).inputValue(), 'What fruit is in this picture?');
  assert.equal(await thumbs(page).count(), 1);
  await until(() => page.page.evaluate(() => document.querySelector('#thumbs img').naturalWidth === 640), 'the image is still there');

  // A question under way goes on behind an older one.
  let exchange;
  stub.script = (one) => { exchange = one; };
  await page.page.getByLabel('Question', {exact: true}).press('Enter');
  await until(() => exchange, 'the request');
  await items.nth(2).click();
  assert.equal(await page.said().textContent(), 'First answer.');
  exchange.play(harmful());
  await until(async () => /Answered with eyes closed/.test(await items.first().textContent()), 'it ends');
  assert.equal(await page.said().textContent(), 'First answer.');
  await items.first().click();
  assert.equal(await page.badge().textContent(), 'Answered with eyes closed');

  await page.page.getByRole('button', {name: 'Forget all'}).click();
  assert.equal(await page.page.locator('#history_box').isVisible(), false);
  assert.equal(await page.page.locator('#intro').isVisible(), true);
});

stubTest('a question is copied as a command that asks the same', async (page, stub) => {
  stub.script = (exchange) => exchange.play(benign());
  const query = 'It\'s $HOME, `id`, $(id), \\n, "quoted" and\na second line: %s !! & <END\nEND';
  await page.page.getByLabel('Question', {exact: true}).fill(query);
  await page.page.getByLabel('Question', {exact: true}).press('Enter');
  await page.ends();
  await page.page.getByRole('button', {name: 'Copy as curl'}).click();
  await page.page.getByText('Copied', {exact: true}).waitFor();
  const command = await page.page.locator('.run > pre').textContent();
  assert.equal(await page.page.evaluate(() => navigator.clipboard.readText()), command);
  if (!hasCurl()) return;
  const {status, text} = await paste(command, {});
  assert.equal(status, 0, text);
  assert.deepEqual(stub.chats[0].body, {model: 'stub', messages: [{role: 'user', content: query}], max_tokens: 512});
}, {...wide, permissions: ['clipboard-read', 'clipboard-write']});

stubTest('a command names large images as files, whatever they are called', async (page, stub) => {
  stub.script = (exchange) => exchange.play(benign());
  const name = `it's $(touch broken) "x" \`id\`.png`;
  const small = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0]);
  await page.choose({name, mimeType: 'image/png', buffer: image('benign')}, {name: 'small.jpg', mimeType: 'image/jpeg', buffer: small});
  const query = 'What of $HOME and `id` and \\ and "this"?';
  await page.ask(query);
  await page.ends();
  await page.page.getByRole('button', {name: 'Copy as curl'}).click();
  const shown = page.page.locator('.run > pre');
  await until(async () => /<<END/.test(await shown.textContent()), 'the command');
  const command = await shown.textContent();
  assert.ok(command.length < 1000);
  await page.picture('command');
  if (!hasCurl()) return;
  const {status, text} = await paste(`${command}\nls | grep -v '^it' >&2; true`, {[name]: image('benign')});
  assert.equal(status, 0, text);
  assert.equal(text.trim().endsWith('}'), true, text);
  assert.deepEqual(stub.chats[0].body.messages[0].content, [
    {type: 'image_url', image_url: {url: `data:image/png;base64,${image('benign').toString('base64')}`}},
    {type: 'image_url', image_url: {url: `data:image/jpeg;base64,${small.toString('base64')}`}},
    {type: 'text', text: query},
  ]);
}, {...wide, permissions: ['clipboard-read', 'clipboard-write']});

stubTest('the command is selected where the clipboard is closed to the page', async (page, stub) => {
  stub.script = (exchange) => exchange.play(benign());
  await page.ask('Hello?');
  await page.ends();
  await page.page.evaluate(() => { navigator.clipboard.writeText = () => Promise.reject(new Error('closed')); });
  await page.page.getByRole('button', {name: 'Copy as curl'}).click();
  await page.page.getByText('Selected below').waitFor();
  assert.match(await page.page.evaluate(() => getSelection().toString()), /^curl /);
});
