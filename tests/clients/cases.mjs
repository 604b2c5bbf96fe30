// What the tests of the Node client libraries share: running cases, and looking at gateway and engine from the side.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export const gateway = process.env.ECSO_GATEWAY;
export const engine = process.env.ECSO_ENGINE;
export const key = process.env.ECSO_CLIENT_KEY;
export const refusal = process.env.ECSO_REFUSAL;
export const picture = readFileSync(process.env.ECSO_PICTURE).toString('base64');

/** The models that the gateway's routes know, by the path that their policies force. */
export const models = { direct: 'direct', eyes_closed: 'eyes-closed', refused: 'refused' };

/** Keeps the engine busy for a second at least. */
export const long = { max_tokens: 1500 };

const cases = [];

/** Adds a case: a sentence and an async function that throws. */
export function it(name, run) {
  cases.push({ name, run });
}

/** Runs all cases, one after the other. The last line of the output is "N passed, N failed". */
export async function runAll(title) {
  let failed = 0;
  for (const { name, run } of cases) {
    const start = Date.now();
    let late;
    const tooLong = new Promise((_, reject) => {
      late = setTimeout(() => reject(new Error('not done after 300 s')), 300_000);
    });
    try {
      await Promise.race([run(), tooLong]);
      console.log(`ok      ${title}: ${name} (${Date.now() - start} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${title}: ${name}\n        ${error?.stack ?? error}`);
    }
    clearTimeout(late);
  }
  console.log(`${cases.length - failed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

/** A counter or gauge of the gateway, summed over its labels; 0 if it is not there. */
export async function metric(name) {
  const text = await (await fetch(`${gateway}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

async function until(what, seconds, condition) {
  const start = Date.now();
  while (!(await condition())) {
    assert.ok(Date.now() - start < seconds * 1000, `${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const slots = async () => (await fetch(`${engine}/slots`)).json();
const isBusy = async () => (await slots()).some((slot) => slot.is_processing);

/**
 * Starts a long call, waits until the engine works on it, and gives it up: the gateway must count a client that has gone. The
 * engine must be idle again within 2 s of a stream; that nobody waits for a whole answer it does not notice until that is done.
 */
export async function checkGivesUp(start, giveUp, isStream) {
  await until('the engine is idle before', 60, async () => !(await isBusy()));
  const gone = await metric('ecso_clients_gone_total');
  const ended = Promise.resolve(start()).then(
    () => 'answered',
    (error) => error,
  );
  await until('the engine has begun', 60, isBusy);
  await giveUp();
  if (isStream) await until('the engine is idle after', 2, async () => !(await isBusy()));
  await until('the client is counted as gone', 60, async () => (await metric('ecso_clients_gone_total')) > gone);
  return ended;
}

/** The error that a promise is rejected with, of this class and status and with a message that says something. */
export async function errorOf(promise, type, status) {
  const error = await promise.then(
    () => assert.fail('no error'),
    (reason) => reason,
  );
  assert.ok(error instanceof type, `${error?.constructor?.name}: ${error}`);
  assert.equal(error.status, status);
  if (status !== undefined) assert.ok(error.message.length > 10, `no message: ${error.message}`);
  return error;
}

/** What the member "ecso" of a reply must say. */
export function checkEcso(ecso, path, choices = 1) {
  assert.ok(ecso, 'no member "ecso"');
  assert.equal(ecso.path, path);
  assert.equal(ecso.policy, path);
  assert.equal(ecso.choices.length, choices);
  for (const choice of ecso.choices) {
    assert.equal(choice.path, path);
    assert.equal(choice.verdicts[0].step, 'check');
    assert.ok(['safe', 'harmful', 'undecided'].includes(choice.verdicts[0].verdict));
  }
  assert.ok(ecso.calls >= 2, `${ecso.calls} calls`);
}

/** What must hold of a stream that has begun to leave while it was generated. Times in ms. */
export function checkEarly(ecso, first, whole) {
  assert.equal(ecso.path, 'direct');
  assert.ok(ecso.choices[0].verdicts.some((verdict) => verdict.early), JSON.stringify(ecso));
  assert.ok(first < 0.8 * whole, `the first words came after ${first} of ${whole} ms`);
}

/** What a text that came out by a path must be. */
export function checkText(text, path) {
  assert.equal(typeof text, 'string');
  assert.ok(text.length > 0, 'no text');
  assert.equal(text === refusal, path === 'refused', `"${text}" came out as ${path}`);
}
