'use strict';
// Sorting: a button in each heading. Numbers by data-value, where a cell has none it goes last.
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  table.querySelectorAll('thead th button').forEach((button) => {
    button.addEventListener('click', () => {
      const heading = button.closest('th');
      const column = heading.cellIndex;
      const now = heading.getAttribute('aria-sort');
      const next = now === 'none' ? 'ascending' : now === 'ascending' ? 'descending' : 'none';
      for (const other of table.querySelectorAll('th[aria-sort]')) other.setAttribute('aria-sort', 'none');
      heading.setAttribute('aria-sort', next);
      const key = (row) => {
        const cell = row.cells[column];
        return 'value' in cell.dataset ? parseFloat(cell.dataset.value) : cell.textContent.trim();
      };
      const missing = (value) => value === '' || value === '–' || Number.isNaN(value);
      const rows = [...original];
      if (next !== 'none') {
        const sign = next === 'ascending' ? 1 : -1;
        rows.sort((a, b) => {
          const x = key(a), y = key(b);
          if (missing(x) || missing(y)) return missing(x) - missing(y);
          if (typeof x === 'number' && typeof y === 'number') return sign * (x - y);
          return sign * String(x).localeCompare(String(y), 'en', { numeric: true });
        });
      }
      body.append(...rows);
    });
  });
}
// Filtering: a field above long tables.
for (const field of document.querySelectorAll('.filter input')) {
  const rows = document.getElementById(field.dataset.table).tBodies[0].rows;
  field.addEventListener('input', () => {
    const words = field.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(words);
  });
}
// A link into a closed part opens it.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener('hashchange', reveal);
reveal();
// Values of the point under the pointer: its <title>, at once and in the page's own style.
const tip = document.getElementById('tip');
const close = () => { tip.hidden = true; };
document.addEventListener('pointerover', (event) => {
  const point = event.target.closest && event.target.closest('.point, .level');
  if (!point) return close();
  const title = point.querySelector('title');
  if (title) {  // else the browser would show it too
    point.dataset.tip = title.textContent;
    point.setAttribute('aria-label', title.textContent);
    title.remove();
  }
  tip.textContent = point.dataset.tip;
  tip.hidden = false;
  const box = point.getBoundingClientRect(), own = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(box.right + 8, innerWidth - own.width - 8))}px`;
  tip.style.top = `${Math.max(4, box.top - own.height - 6)}px`;
});
addEventListener('scroll', close, { passive: true });
