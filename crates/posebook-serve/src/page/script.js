// The page's script: buttons, live updates, uploads, the player's timeline, copying.
//
// The server renders everything; when a job's state changes, this script asks for the same page again and replaces the blocks
// with `data-live` that differ. Text from clients is set by `textContent` only.
'use strict';

document.documentElement.classList.add('scripted');
const byId = id => document.getElementById(id);
const page = document.body.dataset.page;
const sleep = milliseconds => new Promise(done => setTimeout(done, milliseconds));

// ---- numbers, as format.rs writes them

function sizeText(bytes) {
  if (bytes < 1000) return `${Math.round(bytes)} bytes`;
  if (bytes < 999500) return `${(bytes / 1e3).toFixed(0)} kB`;
  if (bytes < 9950000) return `${(bytes / 1e6).toFixed(1)} MB`;
  if (bytes < 999500000) return `${(bytes / 1e6).toFixed(0)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

function secondsText(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds), two = number => String(number).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

function progressText(now) {
  const isBytes = now.stage === 'fetch', units = count => isBytes ? sizeText(count) : String(count);
  const count = now.of != null ? `${units(now.done)} of ${units(now.of)}` : now.done > 0 ? units(now.done) : '';
  const parts = [now.stage, count];
  if (now.rate != null) parts.push(isBytes ? `${sizeText(now.rate)}/s` : `${now.rate.toFixed(1)}/s`);
  if (now.seconds_left != null) parts.push(`${secondsText(now.seconds_left)} left`);
  return parts.filter(Boolean).join(' · ');
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function announce(text) { byId('announcement').textContent = text; }

// Shows times in the reader's own time zone.
function localizeTimes(root) {
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    time.title = time.textContent;
    const date = at.toDateString() === today ? {} : { year: 'numeric', month: 'short', day: 'numeric' };
    time.textContent = at.toLocaleString(undefined, { ...date, hour: '2-digit', minute: '2-digit', second: '2-digit' });
  }
}

// ---- requests

// The error of a refused request, in the server's words.
async function refusal(answer) {
  const problem = await answer.json().catch(() => null);
  return Object.assign(new Error(problem?.detail ?? `The server answers ${answer.status}.`), { problem, status: answer.status });
}

// Sends a request with an optional JSON text. Out: the answer's JSON.
async function send(method, href, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(href, {
      method, body, headers: body === undefined ? headers : { ...headers, 'Content-Type': 'application/json' },
    });
  } catch {
    throw Object.assign(new Error('The server does not answer. Try again.'), { isOffline: true });
  }
  if (!answer.ok) throw await refusal(answer);
  return answer.json().catch(() => null);
}

// A deletion asks for a second press on the same button.
function isSure(button) {
  if (button.dataset.method !== 'DELETE' || button.classList.contains('sure')) return true;
  const label = button.firstChild, text = label.textContent;
  button.classList.add('sure');
  label.textContent = 'Really delete?';
  button.addEventListener('blur', () => { button.classList.remove('sure'); label.textContent = text; }, { once: true });
  return false;
}

// Marks a button as busy. Out: false if it was. A button that is `disabled` would lose the focus.
function begin(button) {
  if (button.ariaDisabled === 'true') return false;
  button.ariaDisabled = 'true';
  return true;
}

async function press(button, method, href, body, then) {
  const actions = button.closest('.actions');
  if (!begin(button)) return;
  actions.querySelector('.error')?.remove();
  try {
    const job = await send(method, href, body);
    if (then === 'follow' && job?.id) location.assign(`/jobs/${job.id}`);
    else if (then === 'leave') location.assign('/');
    else await refresh();
  } catch (error) {
    actions.append(element('p', { className: 'error', role: 'alert', textContent: error.message }));
  }
  button.ariaDisabled = null;
}

async function copy(button) {
  const source = byId(button.dataset.copy), label = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = 'Copied';
  } catch {
    // no clipboard over plain HTTP from another machine: select, so that the reader can copy
    getSelection().selectAllChildren(source);
    button.textContent = 'Selected: press Ctrl+C';
  }
  announce(button.textContent);
  await sleep(2000);
  button.textContent = label;
}

document.addEventListener('click', event => {
  const button = event.target.closest('button');
  const { method, href, body, then } = button?.dataset ?? {};
  if (href && isSure(button)) press(button, method, href, body, then);
  else if (button?.dataset.copy) copy(button);
  else if (button?.dataset.track) filterTrack(button);
});

document.addEventListener('submit', event => {
  const form = event.target;
  if (!form.matches('.request')) return;
  event.preventDefault();
  press(form.querySelector('button'), 'POST', form.getAttribute('action'), undefined, form.dataset.then);
});

// ---- live updates

// The blocks as the server rendered them, to find what differs.
const served = new Map();
for (const block of document.querySelectorAll('[data-live]')) served.set(block.id, block.outerHTML);

// What finds an element again in the newer version of its block.
function keyOf(focused) {
  if (focused.id) return `#${CSS.escape(focused.id)}`;
  for (const name of ['href', 'data-href', 'data-track', 'data-copy']) {
    const value = focused.getAttribute(name);
    if (value) return `${focused.localName}[${name}="${CSS.escape(value)}"]`;
  }
  const action = focused.closest('.request')?.getAttribute('action');
  return action ? `.request[action="${CSS.escape(action)}"] button` : null;
}

function adopt(next) {
  byId('main').dataset.after = next.getElementById('main')?.dataset.after ?? 0;
  for (const block of next.querySelectorAll('[data-live]')) {
    const old = byId(block.id), text = block.outerHTML;
    if (!old || served.get(block.id) === text) continue;
    served.set(block.id, text);
    const focused = old.contains(document.activeElement) ? keyOf(document.activeElement) : undefined;
    const fresh = document.importNode(block, true);
    old.replaceWith(fresh);
    localizeTimes(fresh);
    if (focused !== undefined) ((focused && fresh.querySelector(focused)) || byId('main')).focus({ preventScroll: true });
    if (block.id === 'player') startPlayer();
    if (block.id === 'log') followLog();
  }
}

let isRefreshing = false, isStale = false;
async function refresh() {
  isStale = true;
  if (isRefreshing) return;
  isRefreshing = true;
  while (isStale) {
    isStale = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
      if (answer.ok) adopt(new DOMParser().parseFromString(await answer.text(), 'text/html'));
      else if (answer.status === 401) location.reload();
    } catch {
      // the event stream says that the connection is lost, and asks again once it is back
    }
    await sleep(300);
  }
  isRefreshing = false;
}

function showProgress(now) {
  const place = page === 'job' ? byId('now') : document.querySelector(`.job[data-job="${CSS.escape(now.job)}"]`);
  const shown = place?.querySelector('.progress');
  if (!shown) return;
  const bar = shown.querySelector('progress');
  bar.hidden = !now.of;
  if (now.of) { bar.max = now.of; bar.value = Math.min(now.done, now.of); }
  shown.querySelector('.numbers').textContent = progressText(now);
  shown.parentElement.querySelector('.no-progress')?.remove();
}

function addLog(text) {
  const lines = byId('log-lines');
  if (!lines) return;
  byId('log-empty')?.remove();
  lines.append(text.endsWith('\n') ? text : `${text}\n`);
  while (lines.childNodes.length > 500) lines.firstChild.remove();
  followLog();
}

function followLog() {
  const lines = byId('log-lines');
  if (lines) lines.scrollTop = lines.scrollHeight;
}

let stream = null;
function listen() {
  if (stream || document.hidden || !(page === 'queue' || page === 'job')) return;
  const head = byId('head');
  if (page === 'job' && /^(succeeded|failed|canceled)$/.test(head.dataset.state)) {
    byId('connection').hidden = true;
    return;
  }
  const of = page === 'job' ? `/v1/jobs/${head.dataset.job}/events` : '/v1/events';
  stream = new EventSource(`${of}?after=${byId('main').dataset.after}`);
  let wasLost = false;
  stream.onopen = () => {
    byId('connection').hidden = true;
    if (wasLost) refresh();
    wasLost = false;
  };
  stream.onerror = () => {
    wasLost = true;
    byId('connection').hidden = false;
    if (stream?.readyState === EventSource.CLOSED) {
      stopListening();
      setTimeout(() => refresh().then(listen), 3000);
    }
  };
  stream.addEventListener('state', event => {
    if (page === 'job') announce(`The job is ${JSON.parse(event.data).state}`);
    refresh();
  });
  stream.addEventListener('drain', refresh);
  stream.addEventListener('progress', event => showProgress(JSON.parse(event.data)));
  stream.addEventListener('log', event => { if (page === 'job') addLog(JSON.parse(event.data).text); });
  stream.addEventListener('end', () => {
    // the stream of a job ends with it
    if (page === 'job') { stopListening(); byId('connection').hidden = true; }
    refresh();
  });
}

function stopListening() {
  stream?.close();
  stream = null;
}

// Browsers open six connections to a server at most: hidden pages close theirs.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) stopListening();
  else refresh().then(listen);
});
addEventListener('pageshow', event => { if (event.persisted) refresh().then(listen); });
addEventListener('pagehide', stopListening);
// estimates and devices change without events
if (page === 'queue') setInterval(() => { if (!document.hidden) refresh(); }, 30000);

// ---- uploads: tus 1.0

const CHUNK = 16 * 1024 * 1024;
const TUS = { 'Tus-Resumable': '1.0.0' };

const storedUploads = {
  key: file => `posebook-upload ${file.name} ${file.size} ${file.lastModified}`,
  get(file) { try { return localStorage.getItem(this.key(file)); } catch { return null; } },
  set(file, address) { try { localStorage.setItem(this.key(file), address); } catch { /* then it cannot be resumed later */ } },
  remove(file) { try { localStorage.removeItem(this.key(file)); } catch { /* storage is not available */ } },
};

// Bytes that the server has of an upload; null if it has no such upload.
async function storedBytes(address) {
  const answer = await fetch(address, { method: 'HEAD', headers: TUS });
  const offset = Number(answer.headers.get('Upload-Offset') ?? NaN);
  if (answer.ok && Number.isSafeInteger(offset)) return offset;
  if (answer.status === 404 || answer.status === 410) return null;
  throw await refusal(answer);
}

async function createUpload(file) {
  const name = btoa(String.fromCharCode(...new TextEncoder().encode(file.name)));
  const answer = await fetch('/v1/uploads', {
    method: 'POST', headers: { ...TUS, 'Upload-Length': String(file.size), 'Upload-Metadata': `filename ${name}` },
  });
  const address = answer.headers.get('Location');
  if (!answer.ok || !address) throw await refusal(answer);
  return new URL(address, location.href).pathname;
}

// Sends bytes from `offset`. Out: the new offset. An XMLHttpRequest, because fetch does not report progress of what it sends.
function sendChunk(address, file, offset, item) {
  return new Promise((resolve, reject) => {
    const request = item.request = new XMLHttpRequest();
    request.open('PATCH', address);
    for (const [name, value] of Object.entries(TUS)) request.setRequestHeader(name, value);
    request.setRequestHeader('Upload-Offset', String(offset));
    request.setRequestHeader('Content-Type', 'application/offset+octet-stream');
    request.upload.onprogress = event => item.show(offset + event.loaded);
    request.onload = () => {
      const next = Number(request.getResponseHeader('Upload-Offset') ?? NaN);
      if (request.status === 204 && Number.isSafeInteger(next)) return resolve(next);
      let detail;
      try { detail = JSON.parse(request.responseText).detail; } catch { /* not a problem of this server */ }
      reject(Object.assign(new Error(detail ?? `The server answers ${request.status}.`), { status: request.status }));
    };
    request.onerror = () => reject(new Error('The connection was lost.'));
    request.onabort = () => reject(Object.assign(new Error('The upload was canceled.'), { status: 499 }));
    request.send(file.slice(offset, offset + CHUNK));
  });
}

// Whether trying again may help: lost connections, errors of the server, limits, and offsets that differ.
const mayPass = status => status === undefined || status >= 500 && status !== 507 || [408, 409, 423, 429].includes(status);

// Uploads a file, or the rest of it. Out: its id.
async function upload(file, item) {
  let address = storedUploads.get(file), offset = null, failures = 0;
  for (;;) {
    try {
      if (item.isCanceled) throw new Error('The upload was canceled.');
      if (address) offset = await storedBytes(address);
      if (offset === null) {
        address = await createUpload(file);
        storedUploads.set(file, address);
        offset = 0;
      }
      item.address = address;
      while (offset < file.size) {
        item.show(offset);
        offset = await sendChunk(address, file, offset, item);
        failures = 0;
      }
      item.show(file.size);
      return address.split('/').pop();
    } catch (error) {
      failures += 1;
      if (item.isCanceled || !mayPass(error.status) || failures > 12) throw error;
      item.say(`${error.message} Trying again …`);
      offset = null;
      await sleep(Math.min(500 * 2 ** failures, 15000));
    }
  }
}

// The line of an upload: name, bar, rate, and a button that cancels it.
function uploadItem(file) {
  const bar = element('progress', { max: file.size || 1, value: 0, ariaLabel: `Upload of ${file.name}` });
  const numbers = element('span', { className: 'numbers' });
  const button = element('button', { type: 'button', textContent: 'Cancel upload' });
  const line = element('li', {}, element('bdi', { textContent: file.name }), bar, numbers, button);
  const times = [];
  const item = {
    line, isCanceled: false,
    show(bytes) {
      const now = performance.now();
      times.push([now, bytes]);
      while (times.length > 2 && now - times[0][0] > 4000) times.shift();
      const [since, from] = times[0], rate = now > since ? 1000 * (bytes - from) / (now - since) : 0;
      const left = rate > 0 && bytes < file.size ? ` · ${secondsText((file.size - bytes) / rate)} left` : '';
      bar.value = bytes;
      numbers.textContent = `${sizeText(bytes)} of ${sizeText(file.size)}${rate > 0 ? ` · ${sizeText(rate)}/s` : ''}${left}`;
    },
    say(text) { numbers.textContent = text; },
    end(...content) { bar.remove(); button.remove(); numbers.replaceChildren(...content); },
  };
  button.addEventListener('click', () => {
    item.isCanceled = true;
    item.request?.abort();
    storedUploads.remove(file);
    if (item.address) fetch(item.address, { method: 'DELETE', headers: TUS }).catch(() => {});
    item.end('Canceled.');
  });
  byId('uploads').append(line);
  item.show(0);
  return item;
}

let uploading = 0;
addEventListener('beforeunload', event => { if (uploading > 0) event.preventDefault(); });

async function uploadAll(files) {
  uploading += 1;
  try {
    const done = [];
    for (const file of files) {
      const item = uploadItem(file);
      try {
        done.push({ upload: await upload(file, item) });
        item.end(`${sizeText(file.size)} uploaded.`);
        item.line.className = 'done';
      } catch (error) {
        item.end(error.message);
        throw error;
      }
    }
    return done;
  } finally {
    uploading -= 1;
  }
}

// ---- a new job

// A value as on the command line: a number, true, a list, or else text.
function settingValue(text) {
  try { return JSON.parse(text); } catch { return text; }
}

function readSettings(text) {
  const settings = {};
  for (const line of text.split('\n').map(part => part.trim()).filter(Boolean)) {
    const at = line.indexOf('=');
    if (at < 1) throw Object.assign(new Error(`Settings: “${line}” is not key=value.`), { problem: { pointer: '/settings' } });
    settings[line.slice(0, at).trim()] = settingValue(line.slice(at + 1).trim());
  }
  return settings;
}

async function addJob(request) {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
  for (let attempt = 1; ; attempt += 1) {
    try {
      // the key makes a repeated request the same job
      return await send('POST', '/v1/jobs', JSON.stringify(request), { 'Idempotency-Key': `"${key}"` });
    } catch (error) {
      if (!error.isOffline || attempt === 5) throw error;
      await sleep(1000 * attempt);
    }
  }
}

function showFormError(error) {
  const shown = byId('form-error'), settings = byId('settings');
  shown.textContent = error.message;
  shown.hidden = false;
  const pointer = error.problem?.pointer ?? '';
  if (pointer.startsWith('/settings')) {
    settings.setAttribute('aria-invalid', 'true');
    const key = pointer.slice('/settings/'.length).replaceAll('~1', '/').replaceAll('~0', '~');
    const at = key ? settings.value.indexOf(key) : -1;
    settings.focus();
    if (at >= 0) settings.setSelectionRange(at, at + key.length);
  }
}

async function submit(form) {
  const kind = form.elements.kind.value, files = [...form.elements.files.files];
  const place = form.elements.place?.value.trim() ?? '';
  byId('form-error').hidden = true;
  byId('settings').removeAttribute('aria-invalid');
  const settings = readSettings(form.elements.settings.value);
  const add = async rest => {
    const job = await addJob({ kind, settings, ...rest });
    const link = element('a', { href: `/jobs/${job.id}` }, element('bdi', { textContent: job.name }));
    for (const line of byId('uploads').querySelectorAll('.done')) line.remove();
    byId('uploads').append(element('li', {}, element('span', {}, 'Added ', link)));
    announce(`Added ${job.name}`);
    refresh();
  };
  if (kind === 'experiment') return add({ experiment: form.elements.experiment.value });
  if (files.length === 0 && !place) throw new Error('Choose a file first.');
  const boxesFile = kind === 'track' ? [...form.elements.boxes.files] : [];
  const [boxes] = await uploadAll(boxesFile);
  if (place) {
    const isAddress = /^https?:\/\//i.test(place) && form.elements.place.dataset.urls !== undefined;
    await add({ source: isAddress ? { url: place } : { path: place }, boxes });
    form.elements.place.value = '';
  }
  // a video is a job; images are one job together
  const groups = kind === 'reconstruct' ? [files] : files.map(file => [file]);
  for (const group of groups.filter(group => group.length > 0)) {
    await add({ source: await uploadAll(group), boxes });
    group.forEach(file => storedUploads.remove(file));
  }
  boxesFile.forEach(file => storedUploads.remove(file));
  form.elements.files.value = form.elements.boxes.value = '';
  showChosen(form);
}

function showChosen(form) {
  const files = [...form.elements.files.files];
  byId('chosen').replaceChildren(...files.map(file =>
    element('li', {}, element('bdi', { textContent: file.name }), ` · ${sizeText(file.size)}`)));
}

function showKind(form) {
  for (const part of form.querySelectorAll('[data-kinds]')) {
    part.hidden = !part.dataset.kinds.split(' ').includes(form.elements.kind.value);
  }
}

function startForm(form) {
  byId('new').open = matchMedia('(min-width: 62rem)').matches;
  form.addEventListener('change', () => { showKind(form); showChosen(form); });
  form.addEventListener('submit', async event => {
    event.preventDefault();
    const button = form.querySelector('[type=submit]');
    if (!begin(button)) return;
    try { await submit(form); } catch (error) { showFormError(error); }
    button.ariaDisabled = null;
  });
  const drop = byId('drop'), hasFiles = event => event.dataTransfer?.types.includes('Files');
  document.addEventListener('dragover', event => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  document.addEventListener('dragleave', event => { if (!event.relatedTarget) drop.hidden = true; });
  document.addEventListener('drop', event => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    drop.hidden = true;
    byId('new').open = true;
    form.elements.files.files = event.dataTransfer.files;
    const files = [...form.elements.files.files];
    if (files.length > 0) form.elements.kind.value = files.every(file => file.type.startsWith('image/')) ? 'reconstruct' : 'track';
    showKind(form);
    showChosen(form);
    form.querySelector('[type=submit]').focus();
  });
  showKind(form);
}

// ---- the player

function filterTrack(button) {
  const isOn = button.getAttribute('aria-pressed') !== 'true';
  for (const other of document.querySelectorAll('button.track')) other.setAttribute('aria-pressed', String(isOn && other === button));
  for (const lane of document.querySelectorAll('svg.lane')) {
    lane.classList.toggle('dim', isOn && lane.dataset.track !== button.dataset.track);
  }
}

function startPlayer() {
  const video = byId('video'), timeline = byId('timeline');
  video?.addEventListener('error', () => { byId('video-error').hidden = false; });
  if (!timeline) return;
  const seek = byId('seek'), playhead = byId('playhead'), readout = byId('readout');
  const frames = Number(timeline.dataset.frames), first = Number(timeline.dataset.first), every = Number(timeline.dataset.every);
  const fps = () => Number(timeline.dataset.fps) || (video?.duration > 0 ? frames / video.duration : 0);
  const clamp = frame => Math.max(0, Math.min(frames - 1, frame));
  // a seek to the middle of a frame shows this frame in every browser
  const current = () => clamp(Math.floor((video?.currentTime ?? 0) * fps() + 1e-3));
  const describe = (frame, more = '') => {
    const seconds = fps() > 0 ? ` · ${(frame / fps()).toFixed(2)} s` : '';
    // the number in the source, then the place in the overlay
    return `Frame ${first + every * frame} · ${frame + 1} of ${frames}${seconds}${more}`;
  };
  let isPointed = false;
  const show = () => {
    const frame = current();
    playhead.style.left = `${seek.offsetLeft + seek.offsetWidth * (frame + 0.5) / frames}px`;
    playhead.style.height = `${timeline.scrollHeight}px`;
    seek.setAttribute('aria-valuenow', frame);
    seek.setAttribute('aria-valuetext', describe(frame));
    if (!isPointed) readout.textContent = describe(frame);
  };
  const go = frame => {
    if (!(fps() > 0)) return;
    video.currentTime = Math.min((clamp(frame) + 0.5) / fps(), Math.max(0, (video.duration || Infinity) - 1e-3));
    show();
  };
  const frameAt = event => {
    const box = seek.getBoundingClientRect();
    return clamp(Math.floor(frames * (event.clientX - box.left) / box.width));
  };
  timeline.addEventListener('pointermove', event => {
    const lane = document.elementFromPoint(event.clientX, event.clientY)?.closest('.lane');
    const isDragged = video && seek.hasPointerCapture(event.pointerId);
    isPointed = !isDragged && timeline.contains(lane);
    if (isDragged) return go(frameAt(event));
    if (!isPointed) return video ? show() : undefined;
    const states = event.target.classList, track = lane.dataset.track;
    const state = states.contains('observed') ? 'detected' : states.contains('predicted') ? 'predicted only' : 'absent';
    readout.textContent = describe(frameAt(event), track ? ` · track ${track} ${state}` : '');
  });
  if (!video) return;
  timeline.addEventListener('pointerleave', () => { isPointed = false; show(); });
  timeline.addEventListener('pointerdown', event => {
    if (event.button !== 0 || !event.target.closest('.lane')) return;
    seek.setPointerCapture(event.pointerId);
    video.pause();
    go(frameAt(event));
  });
  const step = event => {
    const isRuler = event.currentTarget === seek;
    const by = { ',': -1, '.': 1, ...(isRuler && { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 }) }[event.key];
    const to = isRuler ? { Home: 0, End: frames - 1 }[event.key] : undefined;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (isRuler && event.key === ' ') { if (video.paused) video.play(); else video.pause(); }
    else if (by === undefined && to === undefined) return;
    else { video.pause(); go(to ?? current() + by * (event.shiftKey ? 10 : 1)); }
    event.preventDefault();
  };
  seek.addEventListener('keydown', step);
  video.addEventListener('keydown', step);
  const follow = () => {
    show();
    if (!video.paused && video.isConnected) requestAnimationFrame(follow);
  };
  video.addEventListener('play', follow);
  for (const name of ['loadedmetadata', 'seeked', 'timeupdate', 'pause']) video.addEventListener(name, show);
  new ResizeObserver(show).observe(seek);
  playhead.hidden = false;
  show();
}

localizeTimes(document);
if (page === 'queue') startForm(byId('new-form'));
startPlayer();
followLog();
listen();
