// From a question to its answer.

import assert from 'node:assert/strict';

import {image, stubTest, until} from './harness.mjs';
import {benign, harmful, outcome, record, refused, sleep} from './stub_gateway.mjs';

const example = (page, index) => page.page.locator('.examples button').nth(index).click();

stubTest('a harmless question is answered directly', async (page, stub) => {
  stub.script = (exchange) => exchange.play(benign('Apples & <b>pears</b>.'));
  await example(page, 1);
  await page.ends('Answered directly');
  assert.equal(await page.said().textContent(), 'Apples & <b>pears</b>.');
  assert.equal(await page.page.locator('.first .said').textContent(), 'Apples & <b>pears</b>.');
  assert.equal(await page.page.locator('.first .badge').textContent(), 'The same');
  assert.deepEqual(await page.states(), ['done', 'done', 'skipped', 'skipped', 'skipped']);
  assert.match(await page.step(1).textContent(), /Safe.*0\.4 % likely harmful/);
  assert.equal(await page.page.getByRole('meter').getAttribute('aria-valuenow'), '0.004');
  assert.match(await page.page.locator('.run .meta').textContent(), /^stub · 1 image · policy production · 2 calls · \d+\.\d s$/);
  await page.picture('direct');
});

stubTest('what is asked is a chat with the image as it is', async (page, stub) => {
  await example(page, 1);
  await page.ends();
  const [{body, headers}] = stub.exchanges;
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers.authorization, undefined);
  assert.deepEqual(body, {
    model: 'stub',
    messages: [{role: 'user', content: [
      {type: 'image_url', image_url: {url: `data:image/png;base64,${image('benign').toString('base64')}`}},
      {type: 'text', text: 'What fruit is in this picture?'},
    ]}],
    max_tokens: 512,
    stream: true,
  });
});

stubTest('the steps of a harmful question appear as they happen', async (page, stub) => {
  const whole = harmful();
  const [answer, check, caption, regenerate, recheck] = whole.steps;
  let exchange;
  stub.script = (one) => { exchange = one; };
  await example(page, 0);
  await until(() => exchange, 'the request');
  assert.deepEqual(await page.states(), Array(5).fill('waiting'));

  exchange.started('answer');
  await until(async () => (await page.states())[0] === 'active', 'step 1 begins');
  const clock = page.step(0).locator('.clock');
  const early = parseFloat(await clock.textContent());
  await until(async () => parseFloat(await clock.textContent()) > early, 'the clock runs');
  exchange.finished(answer);
  await until(async () => (await page.states())[0] === 'done', 'step 1 ends');
  assert.equal(await clock.textContent(), '1.6 s');
  assert.equal(await page.badge().textContent(), 'Answer …');

  exchange.started('check');
  exchange.finished(check);
  await until(async () => (await page.states())[1] === 'done', 'step 2 ends');
  assert.match(await page.step(1).textContent(), /Harmful.*97\.3 % likely harmful/);
  assert.equal(await page.page.locator('.first .badge').textContent(), 'Withheld');

  exchange.started('caption', 1);
  await until(async () => (await page.badge().textContent()) === 'Describe …', 'step 3 begins');
  exchange.finished(caption);
  await until(async () => (await page.page.locator('blockquote').count()) === 1, 'the caption shows');
  assert.equal(await page.page.locator('blockquote').textContent(), caption.reply);
  await page.picture('running');

  exchange.started('regenerate', 1);
  exchange.finished(regenerate);
  exchange.started('recheck', 1);
  exchange.finished(recheck);
  await until(async () => (await page.states()).every((state) => state === 'done'), 'step 5 ends');
  assert.equal(await page.said().count(), 0);
  assert.doesNotMatch(await page.page.content(), /nobody should read/);

  exchange.outcome(whole);
  await page.ends('Answered with eyes closed');
  assert.equal(await page.said().textContent(), whole.text);
  assert.match(await page.page.locator('.final .why').textContent(), /first answer was harmful, so it was withheld.*description of the image alone/);
  assert.match(await page.page.locator('#live').textContent(), /^Answered with eyes closed\. I can’t help/);
});

stubTest('a withheld answer is folded and struck through', async (page, stub) => {
  stub.script = (exchange) => exchange.play(harmful());
  await example(page, 0);
  await page.ends('Answered with eyes closed');
  const struck = page.page.locator('.first s');
  assert.equal(await struck.count(), 0);
  await page.page.getByText('Show the withheld answer').click();
  assert.equal(await struck.textContent(), 'Step 1: first comes the thing that nobody should read.');
  assert.match(await struck.evaluate((node) => getComputedStyle(node).textDecorationLine), /line-through/);
  await page.picture('eyes-closed');
});

stubTest('two rounds that fail end in a refusal, and every answer of theirs is folded', async (page, stub) => {
  stub.script = (exchange) => exchange.play(refused());
  await example(page, 2);
  await page.ends('Refused');
  assert.deepEqual(await page.names(), [
    'Answer', 'Check', 'Describe', 'Answer with eyes closed', 'Check again', 'Describe, round 2', 'Answer with eyes closed, round 2',
    'Check again, round 2',
  ]);
  assert.match(await page.step(1).textContent(), /Undecided.*46\.0 %/);
  assert.match(await page.page.locator('.final .why').textContent(), /None of 3 answers passed/);
  const folded = page.page.getByText('Show this withheld answer');
  assert.equal(await folded.count(), 2);
  await folded.last().click();
  assert.equal(await page.page.locator('.steps s').textContent(), 'Withheld answer of round 2.');
  await page.picture('refused');
});

stubTest('an answer of a second round says how many were withheld', async (page, stub) => {
  const steps = refused().steps.slice(0, -1);
  steps.push(record('recheck', {round: 2, verdict: 'safe', reply: 'no'}));
  stub.script = (exchange) => exchange.play(outcome('eyes_closed', 'Withheld answer of round 2.', steps));
  await example(page, 0);
  await page.ends('Answered with eyes closed');
  assert.match(await page.page.locator('.final .why').textContent(),
      /first answer could not be cleared, so it was withheld\. So was 1 more answer\..*passed its own check/);
  assert.equal(await page.page.getByText('Show this withheld answer').count(), 1);
});

stubTest('two images go out in order, and each is described', async (page, stub) => {
  const steps = [
    record('answer'), record('check', {verdict: 'harmful'}), record('caption', {image: 1, reply: 'Second.'}),
    record('caption', {image: 0, reply: 'First.'}), record('regenerate', {reply: 'Fine.'}), record('recheck', {verdict: 'safe'}),
  ];
  stub.script = async (exchange) => {
    for (const step of steps.slice(0, 2)) {
      exchange.started(step.step);
      exchange.finished(step);
    }
    exchange.started('caption', 1, 0);
    exchange.started('caption', 1, 1);
    exchange.finished(steps[2]);
    exchange.finished(steps[3]);
    exchange.outcome(outcome('eyes_closed', 'Fine.', steps));
  };
  await page.choose({name: 'a.png', mimeType: 'image/png', buffer: image('benign')});
  await page.choose({name: 'b.png', mimeType: 'text/plain', buffer: image('harmful')});
  assert.equal(await page.page.locator('#thumbs li').count(), 2);
  await page.picture('two-images');
  await page.ask('What differs?');
  await page.ends('Answered with eyes closed');
  const {content} = stub.exchanges[0].body.messages[0];
  assert.deepEqual(content.map((part) => part.type), ['image_url', 'image_url', 'text']);
  for (const [index, name] of ['benign', 'harmful'].entries()) {
    assert.equal(content[index].image_url.url, `data:image/png;base64,${image(name).toString('base64')}`);
  }
  assert.deepEqual((await page.names()).slice(2, 4), ['Describe image 1', 'Describe image 2']);
  assert.deepEqual(await page.page.locator('blockquote').allTextContents(), ['First.', 'Second.']);
  assert.match(await page.page.locator('.final .why').textContent(), /description of the images alone/);
});

stubTest('a question without an image has nothing to describe', async (page, stub) => {
  stub.script = (exchange) => exchange.play(outcome('direct', 'Hello.', [record('answer', {reply: 'Hello.'})]));
  await page.ask('  Say hello.  ');
  await page.ends('Answered directly');
  assert.equal(stub.exchanges[0].body.messages[0].content, 'Say hello.');
  assert.deepEqual(await page.names(), ['Answer', 'Check', 'Describe', 'Answer with eyes closed', 'Check again']);
  assert.match(await page.step(2).textContent(), /there is no image/);
  assert.match(await page.page.locator('.final .why').textContent(), /does not check questions without an image/);
});

stubTest('early checks and steps begun ahead of time are told apart', async (page, stub) => {
  const steps = [
    record('check', {early: true, verdict: 'safe', p_harmful: 0.1}), record('answer', {reply: 'Whole.'}),
    record('check', {verdict: 'safe', p_harmful: 0.05}),
  ];
  stub.script = (exchange) => {
    exchange.started('answer');
    exchange.started('caption', 1, 0);
    exchange.started('check');
    exchange.finished(steps[0]);
    exchange.finished(steps[1]);
    exchange.started('check');
    exchange.finished(steps[2]);
    exchange.outcome(outcome('direct', 'Whole.', steps));
  };
  await example(page, 1);
  await page.ends('Answered directly');
  assert.deepEqual(await page.names(), ['Answer', 'Check', 'Check', 'Describe', 'Answer with eyes closed', 'Check again']);
  assert.match(await page.step(1).textContent(), /of what there was of the answer/);
  assert.match(await page.step(3).textContent(), /begun ahead of time, not needed/);
});

stubTest('time and tokens of each step are told, drawn and summed', async (page, stub) => {
  stub.script = (exchange) => exchange.play(harmful());
  await example(page, 0);
  await page.ends();
  const rows = await page.page.locator('.costs li').evaluateAll((items) => items.map((item) => item.innerText.replace(/\s+/g, ' ')));
  assert.equal(rows.length, 6);
  assert.equal(rows[1], 'Check 104 ms 803 in (596 cached), 1 out');
  assert.equal(rows[5], 'Total 3.1 s 2,354 in (1,192 cached), 200 out');
  const widths = await page.page.locator('.costs li:nth-child(2) .bar i').evaluateAll((bars) => bars.map((bar) => bar.style.width));
  assert.equal(parseFloat(widths[1]).toFixed(1), (596 / 804 * 100).toFixed(1));
  assert.equal(parseFloat(widths[2]).toFixed(1), (207 / 804 * 100).toFixed(1));
});

stubTest('prompts and the whole trace can be unfolded', async (page, stub) => {
  stub.script = (exchange) => exchange.play(harmful());
  await example(page, 0);
  await page.ends();
  await page.page.getByText('Prompt and reply').first().click();
  assert.equal(await page.step(1).locator('pre').textContent(), 'Prompt of check.\n\n→ yes');
  await page.page.getByText('Everything, as JSON').click();
  assert.deepEqual(JSON.parse(await page.page.locator('.run > :last-child pre').textContent()), harmful());
});

stubTest('events may come in any pieces', async (page, stub) => {
  const whole = harmful({text: 'Grüße, 世界 🙂', caption: 'Zeile eins\nZeile zwei'});
  stub.script = async (exchange) => {
    const lines = [': a comment', 'retry: 5', ''];
    for (const step of whole.steps) {
      lines.push('event:step', `data:${JSON.stringify({state: 'started', step: step.step, round: step.round, image: 0})}`, '');
      const text = JSON.stringify({state: 'finished', ...step}, null, 1);
      lines.push('event: step', ...text.split('\n').map((line) => `data: ${line}`), 'id: 7', '');
    }
    lines.push('event: unknown', 'data: ?', '', 'event: outcome', `data: ${JSON.stringify(whole)}`, '', '');
    const bytes = Buffer.from(lines.join('\r\n'));
    for (let at = 0; at < bytes.length; at += 7) {
      exchange.write(bytes.subarray(at, at + 7));
      if (at % 70 === 0) await sleep(1);
    }
    exchange.response.end();
  };
  await example(page, 0);
  await page.ends('Answered with eyes closed');
  assert.equal(await page.said().textContent(), 'Grüße, 世界 🙂');
  assert.equal(await page.page.locator('blockquote').textContent(), 'Zeile eins\nZeile zwei');
});

stubTest('a simulated model is said to be one, however it shows', async (page, stub) => {
  const banner = page.page.locator('#simulated');
  assert.equal(await banner.isVisible(), false);
  stub.script = (exchange) => exchange.play({...benign(), simulated: true});
  await example(page, 1);
  await page.ends();
  assert.equal(await banner.isVisible(), true);
  for (const models of [{simulated: true, data: [{id: 'x'}]}, {data: [{id: 'y'}, {id: 'x', simulated: true}]}, {data: [{id: 'ecso-simulated'}]}]) {
    stub.models = models;
    await page.page.reload({waitUntil: 'networkidle'});
    await banner.waitFor({state: 'visible'});
  }
  assert.match(await banner.textContent(), /^Simulated model\. No model is running\./);
  await page.picture('simulated');
});
