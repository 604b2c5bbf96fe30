// Keyboards, phones and the dark.

import assert from 'node:assert/strict';

import {image, open, phone, stubTest, test, until, wide} from './harness.mjs';
import {harmful, outcome, record, refused, startStub} from './stub_gateway.mjs';

const focused = (page) => page.page.evaluate(() => {
  const element = document.activeElement;
  return element.id || element.textContent.trim().slice(0, 40);
});

/** Presses Tab until something has the focus; every stop on the way must show that it has it. */
async function tabTo(page, wanted, key = 'Tab') {
  for (let steps = 0; steps < 60; ++steps) {
    await page.page.keyboard.press(key);
    const visible = await page.page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return true;
      const shown = element.type === 'file' ? element.nextElementSibling : element;
      return getComputedStyle(shown).outlineStyle !== 'none' && getComputedStyle(shown).outlineWidth !== '0px';
    });
    assert.ok(visible, `no focus shows on ${await focused(page)}`);
    if ((await focused(page)).startsWith(wanted)) return;
  }
  assert.fail(`Tab never comes to ${wanted}`);
}

stubTest('everything can be done by keyboard', async (page, stub) => {
  stub.script = (exchange) => exchange.play(harmful());
  const keyboard = page.page.keyboard;
  let chooser;
  page.page.on('filechooser', (opened) => { chooser = opened; });
  await tabTo(page, 'file');
  await keyboard.press('Enter');
  await (await until(() => chooser, 'the dialog for files')).setFiles({name: 'a.png', mimeType: 'image/png', buffer: image('harmful')});
  await page.page.locator('#thumbs li').waitFor();
  await tabTo(page, 'query');
  await keyboard.type('Fill in the list.');
  await keyboard.press('Enter');
  await page.ends('Answered with eyes closed');
  await tabTo(page, 'Show the withheld answer');
  await keyboard.press('Enter');
  await page.page.locator('.first s').waitFor();
  await tabTo(page, 'Everything, as JSON');
  await keyboard.press('Space');
  await page.page.locator('.run > :last-child pre').waitFor();
  await tabTo(page, 'Fill in the list.');
  await keyboard.press('Enter');
  assert.equal(await focused(page), 'stage');
  await tabTo(page, 'Edit and ask again');
  await keyboard.press('Enter');
  assert.equal(await focused(page), 'query');
  await tabTo(page, '×', 'Shift+Tab');
  await keyboard.press('Enter');
  assert.equal(await page.page.locator('#thumbs li').count(), 0);
  assert.equal(await focused(page), 'file');

  // While a question runs, and after it was cancelled.
  stub.script = (exchange) => exchange.started('answer');
  await tabTo(page, 'send');
  await keyboard.press('Enter');
  await until(() => stub.exchanges.length === 2, 'the request');
  await tabTo(page, 'cancel');
  await keyboard.press('Enter');
  await page.problem().waitFor();
  await until(async () => (await focused(page)) === 'send', 'the focus goes on');
});

stubTest('what happens is told to who cannot see it', async (page, stub) => {
  stub.script = (exchange) => exchange.play(harmful(), 60);
  await page.page.evaluate(() => {
    globalThis.told = [];
    new MutationObserver(() => told.push(document.getElementById('live').textContent)).observe(document.getElementById('live'), {childList: true});
  });
  await page.page.locator('.examples button').first().click();
  await page.ends();
  const told = (await page.page.evaluate(() => told)).join('|');
  assert.match(told, /Answer: started\|Answer: done\|Check: started\|Check: Harmful, 97\.3 % likely harmful\|Describe: started\|.*Answered with eyes closed\. /);
  const nameless = await page.page.evaluate(() => {
    const named = (element) => element.textContent.trim() || element.ariaLabel || element.labels?.length || element.alt !== undefined;
    return [...document.querySelectorAll('button, input, select, textarea, [role=meter]')].filter((element) => !named(element)).map((element) => element.outerHTML);
  });
  assert.deepEqual(nameless, []);
  const untold = await page.page.evaluate(() => [...document.images].filter((one) => !one.hasAttribute('alt')).length);
  assert.equal(untold, 0);
});

/** Text whose contrast to what is behind it is less than WCAG 2.2 AA asks: 4.5, or 3 if large. */
async function faint(page) {
  return page.page.evaluate(() => {
    const parse = (color) => color.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = parse(getComputedStyle(at).backgroundColor);
        if (color[3] !== 0) return color;
      }
      return [255, 255, 255];
    };
    const found = new Set();
    for (const element of document.querySelectorAll('body *')) {
      const has = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!has || !element.checkVisibility() || element.closest('.unseen, script, style, [aria-disabled]')) continue;
      const style = getComputedStyle(element);
      const [a, b] = [light(parse(style.color)), light(behind(element))].sort((x, y) => y - x);
      const size = parseFloat(style.fontSize);
      const enough = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
      if ((a + 0.05) / (b + 0.05) < enough) found.add(`${element.tagName}.${element.className} ${((a + 0.05) / (b + 0.05)).toFixed(2)} ${element.textContent.slice(0, 30)}`);
    }
    return [...found];
  });
}

for (const [colors, colorScheme] of [['light', 'light'], ['dark', 'dark']]) {
  stubTest(`every text can be read in the ${colors}`, async (page, stub) => {
    page.expect(/status of 401/);
    const background = (await page.page.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/g).map(Number);
    assert.equal(background[0] < 60, colors === 'dark');
    assert.deepEqual(await faint(page), []);
    await page.picture(`idle-${colors}`, {});
    for (const [index, script] of [
      (exchange) => exchange.play({...harmful(), simulated: true}), (exchange) => exchange.play(refused()),
      (exchange) => exchange.fail(401, {message: 'the key is missing'}), (exchange) => exchange.started('answer'),
    ].entries()) {
      stub.script = script;
      await page.page.locator('.examples button').nth(index).click();
      if (index < 3) await page.ends();
      else await page.page.locator('[data-state="active"]').waitFor();
      for (const summary of await page.page.locator('.first summary').all()) await summary.click();
      assert.deepEqual(await faint(page), []);
      await page.picture(`${['eyes-closed', 'refused', 'key', 'running'][index]}-${colors}`);
    }
  }, {...wide, colorScheme});
}

for (const width of [320, 360, 768, 1024]) {
  stubTest(`nothing is wider than a window of ${width} pixels`, async (page, stub) => {
    const long = 'W'.repeat(400);
    assert.deepEqual(await page.overflow(), []);
    await page.picture(`idle-${width}`, {});
    stub.script = (exchange) => exchange.play({...refused(), simulated: true});
    await page.page.locator('.examples button').first().click();
    await page.ends();
    assert.deepEqual(await page.overflow(), []);
    await page.picture(`refused-${width}`);

    stub.models = {data: [{id: long}, {id: 'b'}]};
    await page.page.reload({waitUntil: 'networkidle'});
    const big = {prompt_tokens: 123456789, cached_tokens: 12345678, completion_tokens: 1234567};
    const steps = harmful({first: long, text: long, caption: long}).steps.map((step) => ({...step, usage: big, duration_ms: 4e5}));
    stub.script = (exchange) => exchange.play(outcome('eyes_closed', long, steps, {policy: long}));
    await page.choose(...Array.from({length: 5}, (_, at) => ({name: `${long}${at}.png`, mimeType: 'image/png', buffer: image('benign')})));
    await page.page.getByLabel('Question', {exact: true}).fill(long);
    await page.page.locator('#send').click();
    await page.ends();
    for (const summary of await page.page.locator('.run summary').all()) await summary.click();
    await page.page.getByRole('button', {name: 'Copy as curl'}).click();
    assert.deepEqual(await page.overflow(), []);
    await page.picture(`long-${width}`);

    page.expect(/status of 400/);
    stub.script = (exchange) => exchange.fail(400, {message: long});
    await page.page.locator('#send').click();
    await page.problem().waitFor();
    assert.deepEqual(await page.overflow(), []);
  }, width < 500 ? {...phone, viewport: {width, height: 740}} : {viewport: {width, height: 860}});
}

stubTest('on a phone the run comes into view by itself, with room for fingers', async (page, stub) => {
  stub.script = (exchange) => exchange.play(harmful(), 100);
  await page.picture('phone-idle', {});
  await page.page.locator('.examples button').first().tap();
  await page.ends('Answered with eyes closed');
  await until(() => page.page.evaluate(() => document.getElementById('stage').getBoundingClientRect().top < 100), 'the page scrolls');
  await page.picture('phone-eyes-closed', {});
  const small = await page.page.evaluate(() => [...document.querySelectorAll('button')]
      .filter((button) => button.checkVisibility()).map((button) => button.getBoundingClientRect())
      .filter(({width, height}) => width < 24 || height < 24).length);
  assert.equal(small, 0);
  const [final, first] = await page.page.evaluate(() => ['.final', '.first'].map((name) => document.querySelector(name).getBoundingClientRect().toJSON()));
  assert.ok(final.bottom <= first.top && final.left === first.left);
}, phone);

stubTest('on a wide screen both answers stand side by side', async (page, stub) => {
  stub.script = (exchange) => exchange.play(harmful());
  await page.page.locator('.examples button').first().click();
  await page.ends();
  const [final, first] = await page.page.evaluate(() => ['.final', '.first'].map((name) => document.querySelector(name).getBoundingClientRect().toJSON()));
  assert.ok(first.right <= final.left && first.top === final.top && final.width > first.width);
});

test('nothing moves for who wants no motion', async () => {
  const stub = await startStub();
  stub.script = (exchange) => exchange.started('answer');
  const page = await open(stub.url, {...wide, reducedMotion: 'reduce'});
  await page.page.locator('.examples button').first().click();
  await page.page.locator('[data-state="active"]').waitFor();
  assert.equal(await page.page.evaluate(() => document.getAnimations().length), 0);
  await page.finish();
  await stub.close();
});
