// What the browser tests share: the browser, pages that watch for dialogs and errors, and requests to the server.
//
// The environment names what `tests/browser.rs` has started and made: POSEBOOK_SERVER and POSEBOOK_LOCKED_SERVER (addresses),
// POSEBOOK_TOKEN, POSEBOOK_FILES (a folder with clip.mp4, boxes.txt and broken.mp4), CHROMIUM (the program).

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

export const server = process.env.POSEBOOK_SERVER;
export const lockedServer = process.env.POSEBOOK_LOCKED_SERVER;
export const token = process.env.POSEBOOK_TOKEN;
export const file = name => path.join(process.env.POSEBOOK_FILES, name);

// Settings of the fast network on the drawn clip.
export const FAST = { model: 'tiny', 'appearance.encoder': 'none' };

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM,
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
});

// Opens an address and runs `work` on the page. A dialog, an error on the console that does not match `expected`, or an
// uncaught exception fails the test.
export async function visit(browser, address, work, { expected = /^$/, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(20000);
  try {
    const page = await context.newPage();
    const problems = [];
    page.on('dialog', dialog => { problems.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on('pageerror', error => problems.push(`exception: ${error}`));
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type()) && !expected.test(message.text())) {
        problems.push(`console: ${message.text()} (${message.location().url})`);
      }
    });
    await page.goto(new URL(address, server).href);
    const result = await work(page);
    assert.deepEqual(problems, []);
    return result;
  } finally {
    await context.close();
  }
}

// Sends a request to the interface. Out: the answer's JSON.
export async function api(method, address, body) {
  const isFile = body instanceof Buffer;
  const answer = await fetch(new URL(address, server), {
    method,
    body: isFile || body === undefined ? body : JSON.stringify(body),
    headers: body === undefined || isFile ? {} : { 'Content-Type': 'application/json' },
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${address}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

// Uploads one of the files under a name. Out: its id.
export async function upload(name, bytes) {
  return (await api('PUT', `/v1/uploads?name=${encodeURIComponent(name)}`, bytes)).id;
}

const uploads = new Map();
async function uploaded(name) {
  if (!uploads.has(name)) uploads.set(name, upload(name, fs.readFileSync(file(name))));
  return uploads.get(name);
}

// Adds a job that tracks the clip. Out: the job.
export async function addJob(settings = {}) {
  const [clip, boxes] = [await uploaded('clip.mp4'), await uploaded('boxes.txt')];
  const request = { kind: 'track', source: { upload: clip }, boxes: { upload: boxes }, settings: { ...FAST, ...settings } };
  return api('POST', '/v1/jobs', request);
}

// A job that takes minutes unless it is canceled.
export const addLongJob = () => addJob({ 'video.loops': 200 });

// Waits until a job has ended. Out: the job.
export async function ended(id) {
  for (let tries = 0; tries < 300; tries += 1) {
    const job = await api('GET', `/v1/jobs/${id}`);
    if (['succeeded', 'failed', 'canceled'].includes(job.state)) return job;
    await new Promise(done => setTimeout(done, 100));
  }
  assert.fail(`job ${id} has not ended after 30 s`);
}

// Cancels all jobs that have not ended, so that the next test has the device for itself.
export async function cancelAll() {
  const { jobs } = await api('GET', '/v1/jobs?limit=100');
  const open = jobs.filter(job => !['succeeded', 'failed', 'canceled'].includes(job.state));
  await Promise.all(open.map(job => api('POST', `/v1/jobs/${job.id}/cancel`)));
  await Promise.all(open.map(job => ended(job.id)));
}

// The state of the job whose page is shown.
export const state = page => page.locator('#head').getAttribute('data-state');

export async function waitForState(page, wanted, timeout = 40000) {
  await page.locator(`#head[data-state="${wanted}"]`).waitFor({ timeout });
}
