// What the tests of the page share: a browser, pages that are watched for every fault, and pictures.

import assert from 'node:assert/strict';
import {mkdirSync, readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';

import {sleep, startStub} from './stub_gateway.mjs';

const {chromium} = createRequire(`${process.env.ECSO_PLAYWRIGHT}/`)('playwright-core');

export const phone = {viewport: {width: 360, height: 740}, deviceScaleFactor: 2, isMobile: true, hasTouch: true};
export const wide = {viewport: {width: 1280, height: 860}};
export const patience = 60_000;

const tests = [];
export const test = (name, run) => tests.push({name, run});

/** An image of the repository as bytes. */
export const image = (name) => readFileSync(new URL(`../../examples/images/${name}.png`, import.meta.url));

/** Waits until `ask` gives something true. */
export async function until(ask, what, milliseconds = patience) {
  const end = performance.now() + milliseconds;
  for (;;) {
    const found = await ask();
    if (found) return found;
    assert.ok(performance.now() < end, `never: ${what}`);
    await sleep(20);
  }
}

/** One page in a context of its own. Whatever goes wrong in it is written down, and `finish` complains of it. */
class Watched {
  constructor(context, page, origin) {
    Object.assign(this, {context, page, origin, faults: [], expected: [], ended: 0});
    page.on('framenavigated', () => { this.ended = 0; });
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.faults.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.faults.push(`error: ${error.stack}`));
    page.on('dialog', (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on('popup', () => this.faults.push('a window opened'));
    page.on('request', (request) => {
      const {protocol, origin: to, pathname} = new URL(request.url());
      if (protocol === 'data:' || protocol === 'blob:') return;
      if (to !== this.origin || !['/', '/v1/models', '/v1/ecso/protect'].includes(pathname)) {
        this.faults.push(`request: ${request.url()}`);
      }
    });
  }

  /** A fault that this test is about. */
  expect(pattern) { this.expected.push(pattern); }

  async finish() {
    const violations = await this.page.evaluate(() => globalThis.violations ?? []);
    await this.context.close();
    const unexpected = [...this.faults, ...violations].filter((fault) => !this.expected.some((pattern) => pattern.test(fault)));
    assert.deepEqual(unexpected, []);
  }

  badge() { return this.page.locator('.final .badge'); }
  step(index) { return this.page.locator('.run .step').nth(index); }
  problem() { return this.page.locator('.problem'); }
  said() { return this.page.locator('.final .said'); }

  async ask(query) {
    await this.page.getByLabel('Question', {exact: true}).fill(query);
    await this.page.getByLabel('Question', {exact: true}).press('Enter');
  }

  /** Chooses files, and waits until the form has taken them. */
  async choose(...files) {
    await this.page.locator('#file').setInputFiles(files);
    await until(async () => (await this.page.locator('#file').inputValue()) === '', 'the files are read');
  }

  /** Waits until one more question has ended, as it should. */
  async ends(label) {
    const count = () => this.page.evaluate(() => {
      return document.querySelector('#send[aria-disabled]') ? 0 : document.querySelectorAll('#history li').length;
    });
    await until(async () => (await count()) > this.ended, 'the end of the question');
    this.ended = await count();
    if (label) assert.equal(await this.badge().textContent(), label);
  }

  async states() { return this.page.locator('.run .step').evaluateAll((rows) => rows.map((row) => row.dataset.state)); }
  async names() { return this.page.locator('.run .step .name').allTextContents(); }

  /** What is wider than the window, if anything makes it scroll. */
  async overflow() {
    return this.page.evaluate(() => {
      const {scrollWidth, clientWidth} = document.documentElement;
      if (scrollWidth <= clientWidth) return [];
      return [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > clientWidth)
          .map((element) => `${element.tagName}.${element.className}`);
    });
  }

  async picture(name, options = {fullPage: true}) {
    const directory = process.env.ECSO_SCREENSHOTS;
    if (!directory) return;
    mkdirSync(directory, {recursive: true});
    await this.page.screenshot({path: join(directory, `${name}.png`), ...options});
  }
}

let browser;

export async function open(url, options = wide) {
  const context = await browser.newContext({locale: 'en-GB', ...options});
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const watched = new Watched(context, page, new URL(url).origin);
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.violations.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  await page.goto(url, {waitUntil: 'networkidle'});
  return watched;
}

/** A test with a stub and a page on it. */
export function stubTest(name, run, options = wide) {
  test(name, async () => {
    const stub = await startStub();
    try {
      const page = await open(stub.url, options);
      await run(page, stub);
      await page.finish();
    } finally {
      await stub.close();
    }
  });
}

/** Runs the tests and tells how it went. */
export async function runTests() {
  const wanted = new RegExp(process.env.ECSO_BROWSER_TESTS ?? '');
  const root = process.getuid?.() === 0;
  browser = await chromium.launch({executablePath: process.env.ECSO_CHROMIUM, args: root ? ['--no-sandbox'] : []});
  let passed = 0;
  let failed = 0;
  for (const {name, run} of tests.filter((one) => wanted.test(one.name))) {
    try {
      await run();
      ++passed;
    } catch (error) {
      ++failed;
      console.log(`not ok: ${name}\n${error.stack}\n`);
    }
    for (const context of browser.contexts()) await context.close();
  }
  await browser.close();
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}
