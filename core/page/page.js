// The operator's page. Whatever a peer has said becomes text, never markup: there is no other way here to
// put it on the page, and the content policy forbids the ways that there would be.

const ROW = 34;
const SECONDS = 300;
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
const KINDS = ['Workers', 'Away', 'Work', 'Failures', 'Daemons'];
const empty = () => Object.fromEntries(KINDS.map((kind) => [kind, new Map()]));
const at = (id) => document.getElementById(id);

let store = empty();
let fresh; // What a stream that has begun has told so far.
let state = { Hub: {}, Queue: {}, Loads: [], Failed: 0 };
let you = { MayAct: false };
let skew = 0;
let stream;

// ---- what is shown -------------------------------------------------------------------------------------

const now = () => Date.now() + skew;

function span(millis) {
  const seconds = Math.max(0, Math.round(millis / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

const since = (time) => (time ? span(now() - Date.parse(time)) : '');
const ago = (time) => (time ? `${since(time)} ago` : '');
const text = (value) => (value === null || value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value));
const COLOURS = { bad: /^(offline|error|timeout|disconnected)$/i, warn: /^(draining|retry|busy|waiting|cancelling)/i, good: /^(online|running|connected)$/i };
const colour = (word) => Object.keys(COLOURS).find((name) => COLOURS[name].test(word)) ?? '';

const workerState = (row) => (row.Draining ? 'Draining' : row.Status);

function progress(row) {
  const said = row.Progress ?? {};
  const step = said.Step !== undefined ? `step ${text(said.Step)}${said.TotalSteps !== undefined ? ` of ${text(said.TotalSteps)}` : ''}` : '';
  const percent = Number(said.Percent);
  return { percent: said.Percent === undefined || Number.isNaN(percent) ? undefined : percent, words: [step, text(said.Message)].filter(Boolean).join(': ') };
}

/** Each list: its columns, by what it is sorted at first, and what can be done with a row. */
const LISTS = {
  Workers: {
    none: 'No worker is here. `moorline worker --url ' + location.origin + '` brings one.',
    title: (row) => row.Name,
    columns: [
      { name: 'Name', width: '2fr', value: (row) => row.Name },
      { name: 'Status', width: '90px', value: workerState, colour },
      { name: 'Link', width: '105px', value: (row) => row.Transport },
      { name: 'In flight', width: '90px', number: true, value: (row) => `${row.InFlight} / ${row.MaxConcurrent}`, order: (row) => row.InFlight },
      { name: 'Lag', width: '80px', number: true, value: (row) => `${row.HostLagMs} ms`, order: (row) => row.HostLagMs, colour: (_, row) => (row.HostLagMs > 1000 ? 'bad' : '') },
      { name: 'Capabilities', width: '3fr', value: (row) => row.Capabilities.join(', ') + (row.MoreCapabilities ? ` and ${row.MoreCapabilities} more` : '') },
      { name: 'Heard', width: '110px', number: true, value: (row) => ago(row.LastHeartbeat), order: (row) => -Date.parse(row.LastHeartbeat) },
    ],
    action: (row) => (row.Draining ? 'Resume' : 'Drain'),
    question: (row) => (row.Draining ? 'It gets new work again.' : 'It finishes what it runs and gets nothing new, until it is resumed.'),
    act: (row, key) => post(`Beacon/${encodeURIComponent(key)}/Drain`, { Draining: !row.Draining }),
  },
  Away: {
    none: 'Nobody has left since this hub began.',
    title: (row) => row.Name,
    columns: [
      { name: 'Name', width: '2fr', value: (row) => row.Name },
      { name: 'Since', width: '130px', number: true, value: (row) => ago(row.Since), order: (row) => -Date.parse(row.Since) },
      { name: 'Why', width: '5fr', value: (row) => row.Why },
    ],
    sort: 1,
  },
  Work: {
    none: 'Nothing waits and nothing runs.',
    title: (row) => `${row.Capability}/${row.Action}`,
    columns: [
      { name: 'Work', width: '2fr', value: (row) => `${row.Capability}/${row.Action}` },
      { name: 'Status', width: '110px', value: (row) => (row.CancelRequested ? 'Cancelling' : row.Status), colour },
      { name: 'Worker', width: '1.5fr', value: (row) => row.Worker },
      { name: 'Progress', width: '3fr', value: (row) => progress(row).words || row.LastError, bar: (row) => progress(row).percent, order: (row) => progress(row).percent ?? -1 },
      { name: 'For', width: '110px', number: true, value: (row) => since(row.AssignedAt ?? row.EnqueuedAt), order: (row) => -Date.parse(row.AssignedAt ?? row.EnqueuedAt) },
      { name: 'Attempt', width: '100px', number: true, value: (row) => String(row.Attempt), order: (row) => row.Attempt },
      { name: 'Priority', width: '95px', number: true, value: (row) => String(row.Priority), order: (row) => row.Priority },
    ],
    sort: 4,
    action: (row) => (row.CancelRequested ? undefined : 'Cancel'),
    question: () => 'It ends, and whoever waits for it is told that it was cancelled.',
    act: (row, key) => post(`Beacon/Work/${encodeURIComponent(key)}/Cancel`, { Reason: `cancelled by ${you.User || 'the operator'} on the page` }),
  },
  Queue: {
    none: 'Nothing waits and nothing runs.',
    title: (row) => `${row.Capability}/${row.Action}`,
    columns: [
      { name: 'Capability', width: '2fr', value: (row) => row.Capability },
      { name: 'Action', width: '2fr', value: (row) => row.Action },
      { name: 'Waiting', width: '100px', number: true, value: (row) => String(row.Queued), order: (row) => row.Queued },
      { name: 'Running', width: '100px', number: true, value: (row) => String(row.Running), order: (row) => row.Running },
      { name: 'Workers', width: '100px', number: true, value: (row) => `${row.Workers}${row.areMore ? '+' : ''}`, order: (row) => row.Workers, colour: (_, row) => (row.Workers || row.areMore ? '' : 'bad') },
    ],
    sort: 2,
    falls: true,
  },
  Failures: {
    none: 'Nothing has failed since this hub began.',
    title: (row) => `${row.Capability}/${row.Action}`,
    columns: [
      { name: 'When', width: '120px', number: true, value: (row) => ago(row.At), order: (row) => -Date.parse(row.At) },
      { name: 'Work', width: '2fr', value: (row) => `${row.Capability}/${row.Action}` },
      { name: 'How', width: '80px', value: (row) => row.Status, colour },
      { name: 'Worker', width: '1.5fr', value: (row) => row.Worker },
      { name: 'Words', width: '5fr', value: (row) => row.Error },
    ],
  },
  Daemons: {
    none: 'No VOLT daemon is known.',
    title: (row) => row.Name,
    columns: [
      { name: 'Name', width: '2fr', value: (row) => row.Name },
      { name: 'Status', width: '190px', value: (row) => row.Status, colour },
      { name: 'Link', width: '105px', value: (row) => row.Transport },
      { name: 'In flight', width: '90px', number: true, value: (row) => String(row.InFlight), order: (row) => row.InFlight },
      { name: 'Version', width: '1fr', value: (row) => row.InstalledVersion },
      { name: 'Heard', width: '120px', number: true, value: (row) => ago(row.LastHeartbeat), order: (row) => -Date.parse(row.LastHeartbeat ?? 0) },
    ],
  },
};

// ---- lists ---------------------------------------------------------------------------------------------

let shown = 'Workers';
let sorted = 0;
let falls = false;
let entries = []; // Of the list that is shown: key and row, filtered and in order.
let active; // The key of the row that arrow keys have come to.
const pool = [];

function rowsOf(kind) {
  if (kind !== 'Queue') return store[kind];
  const offers = new Map();
  let areMore = false; // Some worker offers more than is shown of it.
  for (const row of store.Workers.values()) {
    for (const name of row.Capabilities) offers.set(name, (offers.get(name) ?? 0) + 1);
    areMore ||= row.MoreCapabilities > 0;
  }
  return new Map(state.Loads.map((row) => [JSON.stringify([row.Capability, row.Action]), { ...row, Workers: offers.get(row.Capability) ?? 0, areMore }]));
}

function arrange() {
  const { columns } = LISTS[shown];
  const wanted = at('filter').value.trim().toLowerCase();
  const matches = ([key, row]) => !wanted || [key, ...columns.map(({ value }) => value(row))].some((cell) => text(cell).toLowerCase().includes(wanted));
  const { value, order } = columns[sorted];
  const keyed = [...rowsOf(shown)].filter(matches).map(([key, row]) => ({ key, row, by: order ? order(row) : text(value(row)) }));
  const compare = order ? (a, b) => a.by - b.by : (a, b) => collator.compare(a.by, b.by);
  entries = keyed.sort((a, b) => (falls ? compare(b, a) : compare(a, b)) || collator.compare(a.key, b.key));
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function chooseList(kind) {
  const list = LISTS[kind];
  [shown, sorted, falls, active] = [kind, list.sort ?? 0, list.falls ?? false, undefined];
  const widths = [...list.columns.map(({ width }) => `minmax(0, ${width})`), ...(list.action ? ['92px'] : [])];
  at('grid').style.setProperty('--columns', widths.join(' '));
  at('grid').setAttribute('aria-colcount', widths.length);
  at('rows').scrollTop = 0;
  for (const row of pool.splice(0)) row.remove();
  for (const tab of at('tabs').children) {
    const chosen = tab.dataset.kind === kind;
    tab.setAttribute('aria-selected', chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
  drawHead();
  redraw();
}

function drawHead() {
  const list = LISTS[shown];
  const cells = list.columns.map(({ name, number }, index) => {
    const button = element('button', { type: 'button', textContent: name });
    button.addEventListener('click', () => {
      [falls, sorted] = [sorted === index && !falls, index];
      drawHead();
      redraw();
      at('head').children[index].firstChild.focus();
    });
    const cell = element('div', { role: 'columnheader', className: number ? 'number' : '' }, button);
    cell.setAttribute('aria-sort', sorted !== index ? 'none' : falls ? 'descending' : 'ascending');
    return cell;
  });
  if (list.action) cells.push(element('div', { role: 'columnheader', ariaLabel: 'Action' }));
  at('head').replaceChildren(...cells);
}

let isDue = false;
let isStale = false;
/** Draws everything anew with the next frame; what time alone changes keeps its order. */
function redraw(hasChanged = true) {
  isStale ||= hasChanged;
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (isStale) arrange();
    isStale = false;
    drawTabs();
    drawRows();
  });
}

function drawTabs() {
  for (const tab of at('tabs').children) {
    const { kind } = tab.dataset;
    const count = kind === 'Queue' ? state.Loads.length : store[kind].size;
    put(tab.lastChild, count.toLocaleString());
  }
}

function put(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function makeRow() {
  const list = LISTS[shown];
  const row = element('div', { role: 'row', className: 'row' });
  for (const { number } of list.columns) row.append(element('div', { role: 'gridcell', className: number ? 'number' : '' }));
  if (list.action) {
    const button = element('button', { type: 'button', tabIndex: -1 });
    button.addEventListener('click', (event) => {
      event.stopPropagation();
      open(row.dataset.key, true);
    });
    row.append(element('div', { role: 'gridcell' }, button));
  }
  row.addEventListener('click', () => {
    active = row.dataset.key;
    drawRows();
    open(active, false);
  });
  at('rows').append(row);
  pool.push(row);
  return row;
}

/** Draws the rows that can be seen, and a few around them. */
function drawRows() {
  const box = at('rows');
  const list = LISTS[shown];
  at('space').style.height = `${entries.length * ROW}px`;
  at('head').style.paddingRight = `${box.offsetWidth - box.clientWidth}px`;
  at('grid').setAttribute('aria-rowcount', entries.length + 1);
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 5);
  const last = Math.min(entries.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 5);
  let activeId = '';
  for (let index = first; index < last; index++) {
    const row = pool[index - first] ?? makeRow();
    drawRow(row, list, entries[index], index);
    if (entries[index].key === active) activeId = row.id;
  }
  for (const row of pool.slice(last - first)) row.hidden = true;
  if (activeId) box.setAttribute('aria-activedescendant', activeId);
  else box.removeAttribute('aria-activedescendant');
  const filtered = entries.length === 0 && at('filter').value.trim() !== '';
  at('empty').hidden = entries.length > 0;
  put(at('empty'), filtered ? 'Nothing matches the filter.' : list.none);
}

function drawRow(element_, list, { key, row }, index) {
  element_.hidden = false;
  element_.id = `row-${index}`;
  element_.dataset.key = key;
  element_.setAttribute('aria-rowindex', index + 2);
  element_.classList.toggle('active', key === active);
  element_.style.transform = `translateY(${index * ROW}px)`;
  list.columns.forEach(({ value, colour: pick, bar, number }, place) => {
    const cell = element_.children[place];
    const words = text(value(row));
    cell.className = [number ? 'number' : '', pick ? pick(words, row) : ''].join(' ').trim();
    cell.title = words;
    const percent = bar?.(row);
    if (!bar) return put(cell, words);
    if (!cell.firstChild) cell.append(element('progress', { max: 100 }), element('span', {}));
    cell.firstChild.hidden = percent === undefined;
    if (percent !== undefined) {
      cell.firstChild.value = percent;
      cell.firstChild.setAttribute('aria-label', `${Math.round(percent)} %`);
    }
    put(cell.lastChild, percent === undefined ? words : `${Math.round(percent)} % ${words}`);
  });
  if (!list.action) return;
  const button = element_.lastChild.firstChild;
  const action = you.MayAct ? list.action(row) : undefined;
  button.hidden = action === undefined;
  if (action) put(button, action);
}

function move(to) {
  const index = Math.min(entries.length - 1, Math.max(0, to));
  if (index < 0 || entries.length === 0) return;
  active = entries[index].key;
  const box = at('rows');
  const top = index * ROW;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
  drawRows();
}

at('rows').addEventListener('scroll', () => requestAnimationFrame(drawRows));
addEventListener('resize', () => redraw(false));
at('rows').addEventListener('keydown', (event) => {
  const index = entries.findIndex(({ key }) => key === active);
  const page = Math.max(1, Math.floor(at('rows').clientHeight / ROW) - 1);
  const steps = { ArrowDown: index + 1, ArrowUp: index - 1, PageDown: index + page, PageUp: index - page, Home: 0, End: entries.length - 1 };
  if (event.key in steps) move(steps[event.key]);
  else if (event.key === 'Enter' && index >= 0) open(active, false);
  else return;
  event.preventDefault();
});
at('filter').addEventListener('input', () => {
  at('rows').scrollTop = 0;
  redraw();
});

// ---- one row -------------------------------------------------------------------------------------------

let opened; // Kind and key of what the dialog shows.

function open(key, asks) {
  opened = { kind: shown, key };
  if (!drawDialog()) return;
  at('dialog').showModal();
  (asks && !at('act').hidden ? at('act') : at('close')).focus();
}

/** Fills the dialog; false if what it shows is gone. */
function drawDialog() {
  const list = LISTS[opened.kind];
  const row = rowsOf(opened.kind).get(opened.key);
  if (!row) return false;
  put(at('subject'), list.title(row));
  const facts = [['Id', opened.kind === 'Failures' ? row.WorkItemHash : opened.kind === 'Queue' ? '' : opened.key], ...Object.entries(row)];
  const told = facts.filter(([name, value]) => text(value) !== '' && !['Name', 'WorkItemHash', 'BeaconID', 'TeamClusterID'].includes(name));
  at('facts').replaceChildren(
    ...told.flatMap(([name, value]) => [
      element('dt', { textContent: name.replace(/(?<=[a-z])(?=[A-Z])/g, ' ') }),
      element('dd', { textContent: Array.isArray(value) ? value.map(text).join(', ') : text(value), className: /^(Error|LastError|Why)$/.test(name) ? 'bad' : '' }),
    ]),
  );
  const action = you.MayAct ? list.action?.(row) : undefined;
  at('act').hidden = at('question').hidden = action === undefined;
  if (action) {
    put(at('act'), `${action} it`);
    put(at('question'), list.question(row));
  }
  return true;
}

at('act').addEventListener('click', async () => {
  const { kind, key } = opened;
  const row = rowsOf(kind).get(key);
  at('dialog').close();
  if (row) await LISTS[kind].act(row, key);
});
at('dialog').addEventListener('close', () => at('rows').focus());

// ---- rates ---------------------------------------------------------------------------------------------

const PLOTS = [
  { name: 'Finished per second', rate: () => state.Queue.Finished },
  { name: 'Failed per second', rate: () => state.Failed, className: 'bad' },
  { name: 'Waiting', level: () => (state.Queue.Pending ?? 0) + (state.Queue.RetryScheduled ?? 0) },
  { name: 'Running', level: () => state.Queue.Running },
];

for (const plot of PLOTS) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${SECONDS} 40`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  plot.line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
  svg.append(plot.line);
  plot.value = element('b', {});
  plot.svg = svg;
  plot.points = [];
  at('plots').append(element('figure', { className: plot.className ?? '' }, element('figcaption', {}, plot.name, plot.value), svg));
}

function sample() {
  if (!state.Hub.Version) return;
  for (const plot of PLOTS) {
    const total = plot.rate?.();
    // A hub that was restarted counts anew.
    const value = plot.level ? plot.level() ?? 0 : Math.max(0, (total ?? 0) - (plot.before ?? total ?? 0));
    plot.before = total;
    plot.points.push(value);
    if (plot.points.length > SECONDS) plot.points.shift();
    const most = Math.max(1, ...plot.points);
    const left = SECONDS - plot.points.length;
    plot.line.setAttribute('points', plot.points.map((point, index) => `${left + index},${(38 - (point / most) * 36).toFixed(1)}`).join(' '));
    put(plot.value, value.toLocaleString());
    plot.svg.setAttribute('aria-label', `${plot.name}: ${value}, at most ${most}`);
  }
}

// ---- the hub -------------------------------------------------------------------------------------------

function drawHub() {
  const { Hub: hub } = state;
  const parts = [hub.Address, hub.State, `version ${hub.Version}`, `up ${since(hub.StartedAt)}`, `store: ${hub.Store}`, `${hub.Connections} connections`];
  put(at('hub'), hub.Version ? parts.join(' \u00b7 ') : '');
  put(at('user'), you.User ? `${you.User}${you.MayAct ? '' : ' (may look)'}` : '');
  at('logout').hidden = !you.Secured;
}

function link(words, isLive) {
  put(at('link'), words);
  at('link').classList.toggle('live', isLive);
}

function complain(words) {
  at('problem').hidden = !words;
  put(at('problem'), words ?? '');
}

async function post(path, body) {
  try {
    const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    const told = await answer.json().catch(() => ({}));
    if (answer.status === 401) await reconnect();
    complain(answer.ok ? '' : text(told.Error) || `The hub answered ${answer.status}.`);
    return told;
  } catch {
    complain('The hub did not answer.');
    return {};
  }
}

function connect() {
  at('login').hidden = true;
  stream?.close();
  stream = new EventSource('Moorline/Events');
  const told = (name, take) => stream.addEventListener(name, (event) => take(JSON.parse(event.data)));
  told('you', (value) => {
    you = value;
    skew = Date.parse(value.At) - Date.now();
    fresh = empty();
    at('board').hidden = false;
    link('live', true);
  });
  told('state', (value) => {
    state = value;
    drawHub();
    redraw();
  });
  told('rows', (rows) => {
    for (const [kind, key, row] of rows) (fresh ?? store)[kind].set(key, row);
    redraw();
  });
  told('gone', (keys) => {
    for (const [kind, key] of keys) (fresh ?? store)[kind].delete(key);
    redraw();
  });
  told('whole', () => {
    [store, fresh] = [fresh, undefined];
    if (PLOTS[0].points.length === 0) sample();
    drawHub();
    redraw();
  });
  stream.onerror = () => {
    link('not connected; trying again', false);
    if (stream.readyState === EventSource.CLOSED) reconnect();
  };
}

/** Finds out whether a login is missing, or only the hub. */
async function reconnect() {
  stream?.close();
  try {
    const [hub, session] = await Promise.all(['status', '1.0/CheckSession'].map(async (path) => (await fetch(path)).json()));
    if (hub.AuthEnabled && !session.LoggedIn) {
      at('board').hidden = at('logout').hidden = true;
      at('login').hidden = false;
      you = { MayAct: false };
      drawHub();
      at('logout').hidden = true;
      link('not logged in', false);
      at(at('name').value ? 'password' : 'name').focus();
      return;
    }
  } catch {
    // The hub is away.
  }
  setTimeout(connect, 2000);
}

at('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const told = await post('1.0/Authenticate', { UserName: at('name').value, Password: at('password').value });
  at('password').value = '';
  if (told.LoggedIn) connect();
  else if (told.Error) complain(text(told.Error));
});
at('logout').addEventListener('click', async () => {
  await post('1.0/Deauthenticate', {});
  await reconnect();
});

for (const kind of Object.keys(LISTS)) {
  const tab = element('button', { type: 'button', role: 'tab' }, `${kind} `, element('span', {}));
  tab.dataset.kind = kind;
  tab.addEventListener('click', () => chooseList(kind));
  at('tabs').append(tab);
}
at('tabs').addEventListener('keydown', (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const kinds = Object.keys(LISTS);
  chooseList(kinds[(kinds.indexOf(shown) + step + kinds.length) % kinds.length]);
  at('tabs').querySelector('[aria-selected="true"]').focus();
});

setInterval(() => {
  sample();
  drawHub();
  redraw(false);
}, 1000);
chooseList('Workers');
connect();
