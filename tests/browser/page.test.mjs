// The page in a real browser, against a real server that tracks a short drawn clip.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import {
  FAST, addJob, addLongJob, api, cancelAll, ended, file, launch, lockedServer, server, token, upload, visit, waitForState,
} from './support.mjs';

let browser;
// a job that has succeeded, for the tests that only look
let finished;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

const settingsText = Object.entries(FAST).map(([key, value]) => `${key}=${value}`).join('\n');

test('an uploaded clip is tracked, and the page shows its results', async () => {
  await visit(browser, '/', async page => {
    await page.setInputFiles('#files', file('clip.mp4'));
    assert.match(await page.locator('#chosen').textContent(), /^clip\.mp4 · \d+ kB$/);
    await page.setInputFiles('#boxes', file('boxes.txt'));
    await page.fill('#settings', settingsText);
    await page.getByRole('button', { name: 'Start' }).click();
    // the queue shows the job without being loaded again
    await page.locator('#jobs .job a.name', { hasText: 'clip.mp4' }).waitFor();
    await page.locator('#uploads a', { hasText: 'clip.mp4' }).click();
    await page.waitForURL(/\/jobs\/[0-9a-f-]{36}$/);
    finished = page.url().split('/').pop();
    await waitForState(page, 'succeeded');
    // what the finished job shows came without loading the page again, unless it ended before the page was there
    await page.locator('#video').waitFor();
    await page.locator('#timeline svg.lane').first().waitFor();
    assert.ok(await page.locator('#timeline rect.predicted').count() > 0, 'a stretch is predicted only');
    assert.ok(await page.locator('#memory svg polyline').count() > 0);
    assert.ok(await page.locator('#stages li').count() > 0);
    assert.match(await page.locator('#toml').textContent(), /tiny/);
  });
});

test('the overlay plays and the timeline seeks', async () => {
  await visit(browser, `/jobs/${finished}`, async page => {
    const at = () => page.evaluate(() => document.querySelector('video').currentTime);
    await page.waitForFunction(() => document.querySelector('video').readyState >= 1);
    const duration = await page.evaluate(() => document.querySelector('video').duration);
    assert.ok(duration > 1, `the overlay lasts ${duration} s`);
    const lane = page.locator('#timeline svg.lane').first();
    await lane.scrollIntoViewIfNeeded();
    const box = await lane.boundingBox();
    await page.mouse.move(box.x + 0.6 * box.width, box.y + box.height / 2);
    assert.match(await page.locator('#readout').textContent(), /^Frame 30 · 31 of 50 · 1\.20 s · track \d+ (detected|predicted only|absent)$/);
    await page.mouse.down();
    await page.mouse.up();
    await page.waitForFunction(() => !document.querySelector('video').seeking);
    assert.ok(Math.abs(await at() - 30.5 / 25) < 0.02, `at ${await at()} s`);
    // keys step a frame
    const seek = page.locator('#seek'), frame = async () => Number(await seek.getAttribute('aria-valuenow'));
    await seek.focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await frame(), 31);
    await page.keyboard.press('Shift+ArrowLeft');
    assert.equal(await frame(), 21);
    await page.keyboard.press('Home');
    assert.equal(await frame(), 0);
    await page.keyboard.press('End');
    assert.equal(await frame(), 49);
    await page.keyboard.press('Home');
    // a filter dims the other lanes
    const tracks = page.locator('button.track');
    assert.ok(await tracks.count() >= 2, 'two people are tracked');
    await tracks.first().click();
    assert.equal(await page.locator('svg.lane.dim').count(), await tracks.count() - 1);
    await tracks.first().click();
    assert.equal(await page.locator('svg.lane.dim').count(), 0);
    const before = await at();
    await page.evaluate(() => { const video = document.querySelector('video'); video.muted = true; return video.play(); });
    await page.waitForFunction(start => document.querySelector('video').currentTime > start + 0.2, before);
    await page.waitForFunction(() => Number(document.getElementById('seek').getAttribute('aria-valuenow')) > 3);
  });
});

test('downloads have the size and hash that the page says', async () => {
  await visit(browser, `/jobs/${finished}`, async page => {
    const row = page.locator('.files tbody tr', { hasText: 'runs.csv' });
    const [download] = await Promise.all([page.waitForEvent('download'), row.locator('a').click()]);
    const bytes = fs.readFileSync(await download.path());
    assert.equal(crypto.createHash('sha256').update(bytes).digest('hex'), await row.locator('.hash').textContent());
    const [zip] = await Promise.all([page.waitForEvent('download'), page.getByText('All files as zip').click()]);
    assert.equal(fs.readFileSync(await zip.path()).subarray(0, 2).toString(), 'PK');
    // without a clipboard the text is selected
    await page.locator('#curl + button').click();
    await page.locator('#curl + button', { hasText: /Copied|Selected/ }).waitFor();
  });
});

test('the page shows the progress and the end of a job without being loaded again', async () => {
  const { id } = await addLongJob();
  await visit(browser, `/jobs/${id}`, async page => {
    await page.evaluate(() => { window.isTheSamePage = true; });
    await waitForState(page, 'running');
    const numbers = page.locator('#now .numbers', { hasText: /^run · \d+ of 10000 · / });
    await numbers.waitFor();
    const first = await numbers.textContent();
    await page.waitForFunction(before => document.querySelector('#now .numbers').textContent !== before, first);
    assert.ok(await page.locator('#now progress').evaluate(bar => bar.value > 0 && bar.max === 10000));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await waitForState(page, 'canceled');
    await page.getByRole('button', { name: 'Retry' }).waitFor();
    assert.ok(await page.evaluate(() => window.isTheSamePage));
  });
});

test('a job goes on after its page was closed, and is canceled from the queue', async () => {
  const { id } = await addLongJob();
  await visit(browser, `/jobs/${id}`, page => waitForState(page, 'running'));
  assert.equal((await api('GET', `/v1/jobs/${id}`)).state, 'running');
  await visit(browser, '/', async page => {
    const row = page.locator(`.job[data-job="${id}"]`);
    await row.getByRole('button', { name: 'Cancel' }).click();
    await page.locator(`.job[data-job="${id}"][data-state="canceled"]`).waitFor();
    await row.getByRole('button', { name: 'Retry' }).click();
    await page.waitForURL(url => url.pathname.startsWith('/jobs/') && !url.pathname.endsWith(id));
    assert.equal(await page.locator('#head a', { hasText: id.slice(0, 8) }).count(), 1);
  });
  await cancelAll();
});

test('a failed job says why and is repeated with the change', async () => {
  const { id } = await addJob({ 'limits.host_mib': 40 });
  const { state, failure } = await ended(id);
  assert.equal(state, 'failed');
  await visit(browser, `/jobs/${id}`, async page => {
    assert.equal(await page.locator('#failure .message').textContent(), failure.message);
    assert.ok((await page.locator('#failure').textContent()).includes(failure.advice));
    assert.notEqual(await page.locator('#log-lines').textContent(), '');
    const [[key, value]] = Object.entries(failure.changed_settings);
    await page.getByRole('button', { name: `Retry with ${key}=${value}` }).click();
    await page.waitForURL(url => !url.pathname.endsWith(id));
    const retried = await api('GET', `/v1${new URL(page.url()).pathname}`);
    assert.equal(retried.retry_of, id);
    assert.equal(retried.settings[key], value);
  });
  await cancelAll();
});

test('texts of others are shown verbatim', async () => {
  const names = [
    '"><img src=x onerror=alert(1)>.mp4', '</title></script><script>alert(1)</script>.mp4', '../../x', '\u202e4pm.exe.mp4',
    `${'\u{1f600}'.repeat(60)}.mp4`,
  ];
  await addLongJob();
  const clip = fs.readFileSync(file('titled.mp4'));
  const boxes = await upload('boxes.txt', fs.readFileSync(file('boxes.txt')));
  const ids = [];
  for (const name of names) {
    const source = await upload(name, clip);
    const request = { kind: 'track', source: { upload: source }, boxes: { upload: boxes }, settings: FAST };
    ids.push((await api('POST', '/v1/jobs', request)).id);
  }
  await visit(browser, '/', async page => {
    const shown = await page.locator('#jobs .job a.name').allTextContents();
    for (const name of names) assert.ok(shown.includes(name), `${name} is not among ${JSON.stringify(shown)}`);
    assert.equal(await page.locator('img').count(), 0);
    for (const [index, id] of ids.slice(0, 2).entries()) {
      await page.goto(`${server}/jobs/${id}`);
      assert.equal(await page.locator('h1').textContent(), names[index]);
      assert.equal(await page.title(), `${names[index]} – Posebook`);
      assert.equal(await page.locator('img').count(), 0);
    }
  });
  // the same as the name of a file that a person chooses, and as a setting that the error repeats
  await visit(browser, '/', async page => {
    await page.setInputFiles('#files', { name: names[0], mimeType: 'video/mp4', buffer: Buffer.from('this is not a video') });
    await page.fill('#settings', '<script>alert(1)</script>=1');
    assert.ok((await page.locator('#chosen').textContent()).includes(names[0]));
    await page.getByRole('button', { name: 'Start' }).click();
    await page.locator('#form-error', { hasText: '<script>alert(1)</script>' }).waitFor();
    assert.equal(await page.locator('#uploads bdi').first().textContent(), names[0]);
    assert.equal(await page.locator('img').count(), 0);
  }, { expected: /status of 422/ });
  await cancelAll();
});

test('a file is dropped anywhere, and refused with a sentence if it is no video', async () => {
  await visit(browser, '/', async page => {
    const bytes = [...fs.readFileSync(file('broken.mp4'))];
    const dataTransfer = await page.evaluateHandle(content => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(content)], 'broken.mp4', { type: 'video/mp4' }));
      return transfer;
    }, bytes);
    await page.dispatchEvent('#devices', 'dragover', { dataTransfer });
    assert.ok(await page.locator('#drop').isVisible());
    await page.dispatchEvent('#devices', 'drop', { dataTransfer });
    assert.ok(await page.locator('#drop').isHidden());
    assert.match(await page.locator('#chosen').textContent(), /^broken\.mp4 · /);
    // the drop leaves the focus on the button
    await page.keyboard.press('Enter');
    await page.locator('#form-error', { hasText: 'the file is cut short' }).waitFor();
  }, { expected: /status of 422/ });
});

test('a wrong setting is shown at its place', async () => {
  await visit(browser, '/', async page => {
    await page.setInputFiles('#files', file('clip.mp4'));
    await page.fill('#settings', 'model=tiny\nvideo.evry=2');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.locator('#form-error', { hasText: 'video.every' }).waitFor();
    assert.equal(await page.locator('#settings').getAttribute('aria-invalid'), 'true');
    assert.equal(await page.evaluate(() => getSelection().toString()), 'video.evry');
  }, { expected: /status of 422/ });
});

test('an upload that was cut off goes on', async () => {
  await visit(browser, '/', async page => {
    let cuts = 0;
    await page.route('**/v1/uploads/*', route => (
      route.request().method() === 'PATCH' && cuts++ < 1 ? route.abort('connectionreset') : route.continue()
    ));
    await page.setInputFiles('#files', { name: 'no video.txt', mimeType: 'text/plain', buffer: Buffer.from('no video') });
    await page.getByRole('button', { name: 'Start' }).click();
    await page.locator('#uploads .numbers', { hasText: '8 bytes uploaded.' }).waitFor();
    assert.equal(cuts, 2);
    await page.locator('#form-error').waitFor();
  }, { expected: /ERR_CONNECTION_RESET|status of 422/ });
});

test('everything is reached by keyboard, and focus is visible', async () => {
  await visit(browser, '/', async page => {
    const focused = () => page.evaluate(() => {
      const now = document.activeElement, style = getComputedStyle(now);
      return { id: now.id, text: now.textContent.trim(), name: now.name ?? '', outline: style.outlineStyle, width: parseFloat(style.outlineWidth) };
    });
    await page.keyboard.press('Tab');
    assert.equal((await focused()).text, 'Skip to content');
    await page.keyboard.press('Enter');
    const stops = [];
    for (let count = 0; count < 40 && !stops.some(stop => stop.text === 'Start'); count += 1) {
      await page.keyboard.press('Tab');
      const stop = await focused();
      assert.ok(stop.outline !== 'none' && stop.width >= 1, `focus is not visible on ${JSON.stringify(stop)}`);
      stops.push(stop);
    }
    for (const wanted of ['kind', 'files', 'boxes', 'settings']) {
      assert.ok(stops.some(stop => stop.name === wanted), `${wanted} is not among ${JSON.stringify(stops)}`);
    }
    await page.keyboard.press('Enter');
    await page.locator('#form-error', { hasText: 'Choose a file first.' }).waitFor();
    assert.equal(await page.locator('#form-error').getAttribute('role'), 'alert');
  });
});

test('all controls and images have names', async () => {
  for (const address of ['/', `/jobs/${finished}`]) {
    await visit(browser, address, async page => {
      const nameless = await page.evaluate(() => [...document.querySelectorAll('input, select, textarea, button, a, video, progress, svg')]
        .filter(one => !one.closest('[aria-hidden="true"]') && one.localName !== 'video')
        .filter(one => !(one.labels?.length || one.ariaLabel || one.getAttribute('aria-label') || one.textContent.trim() || one.closest('[role="img"]')))
        .map(one => one.outerHTML.slice(0, 120)));
      assert.deepEqual(nameless, []);
      assert.equal(await page.locator('main').count(), 1);
      assert.ok(await page.locator('h1').count() === 1 && await page.locator('html[lang]').count() === 1);
    });
  }
});

test('the page reads and works without script', async () => {
  const { id } = await addLongJob();
  const options = { javaScriptEnabled: false };
  await visit(browser, '/', async page => {
    assert.match(await page.locator(`.job[data-job="${id}"]`).innerText(), /queued|starting|running/);
    assert.ok(await page.locator('noscript').count() > 0);
    for (const hidden of await page.locator('.needs-script').all()) assert.ok(!await hidden.isVisible());
    await page.locator(`.job[data-job="${id}"]`).getByRole('button', { name: 'Cancel' }).click();
    await page.waitForURL(`${server}/jobs/${id}`);
    assert.match(await page.locator('main').innerText(), /cancel/);
  }, options);
  await ended(id);
  await visit(browser, `/jobs/${finished}`, async page => {
    const text = await page.locator('main').innerText();
    for (const wanted of ['succeeded', 'Downloads', 'SHA-256', 'Memory', 'Stages', 'Repeat with curl']) assert.ok(text.includes(wanted), wanted);
    assert.ok(await page.locator('#timeline svg.lane rect').count() > 0);
  }, options);
});

test('pages fit phones, tablets and desktops, light and dark', async () => {
  for (const address of ['/', `/jobs/${finished}`]) {
    await visit(browser, address, async page => {
      for (const width of [360, 768, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${address} is wider than ${width}`);
      }
      const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      await page.emulateMedia({ colorScheme: 'light' });
      const light = await background();
      await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
      assert.notEqual(await background(), light);
    });
  }
});

test('a server with a token asks for it once', async () => {
  await visit(browser, `${lockedServer}/`, async page => {
    assert.equal(await page.locator('h1').textContent(), 'Sign in');
    await page.fill('#token', 'wrong');
    await page.keyboard.press('Enter');
    await page.locator('[role=alert]', { hasText: 'not the access token' }).waitFor();
    await page.fill('#token', token);
    const events = page.waitForResponse(response => response.url().includes('/v1/events'));
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: 'Jobs' }).waitFor();
    assert.equal((await events).status(), 200);
    assert.ok(await page.locator('#connection').isHidden());
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.locator('h1', { hasText: 'Sign in' }).waitFor();
    await page.goto(`${lockedServer}/`);
    await page.locator('h1', { hasText: 'Sign in' }).waitFor();
  }, { expected: /status of 401/ });
});

test('an address that does not exist has a page with a way back', async () => {
  for (const address of ['/jobs/00000000-0000-4000-8000-000000000000', '/nowhere']) {
    await visit(browser, address, async page => {
      assert.ok((await page.locator('main').innerText()).length > 20);
      await page.getByRole('link', { name: 'All jobs' }).click();
      await page.locator('h1', { hasText: 'Jobs' }).waitFor();
    }, { expected: /status of 404/ });
  }
});
