/* Search, filters and sorting of the VM tables. Everything on the page is there without it. */
"use strict";
(() => {
  const SORTED_BY_VALUE = new Set(["Memory", "Disks", "Findings"]);
  const FILTERS = ["Power", "Host", "Managed by", "May be adopted"];
  const compareText = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function setUp(table) {
    const rows = [...table.tBodies];
    const heads = [...table.tHead.rows[0].cells];
    const titles = heads.map((head) => head.textContent.trim());
    const tools = table.parentElement.querySelector(".tools");
    const cellText = (row, column) => row.rows[0].cells[column].textContent.trim();
    const search = element("input", { type: "search", placeholder: "name, uuid, address, MAC, finding …" });
    const filters = FILTERS.map((title) => makeFilter(title));
    const shown = element("output", {});
    const unfold = element("button", { type: "button", textContent: "Unfold all shown" });
    const fold = element("button", { type: "button", textContent: "Fold all" });
    let texts = null;

    function makeFilter(title) {
      const column = titles.indexOf(title);
      const values = [...new Set(rows.map((row) => cellText(row, column)))].sort(compareText);
      const options = values.map((value) => element("option", { value, textContent: value }));
      const select = element("select", {}, element("option", { value: "", textContent: "all" }), ...options);
      return { title, column, select };
    }

    function apply() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      if (words.length && texts === null) texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
      const active = filters.filter(({ select }) => select.value !== "");
      let count = 0;
      for (const row of rows) {
        const fits =
          active.every(({ column, select }) => cellText(row, column) === select.value) &&
          words.every((word) => texts.get(row).includes(word));
        if (row.hidden === fits) row.hidden = !fits;
        if (fits) count += 1;
      }
      shown.textContent = `${count} of ${rows.length} shown`;
    }

    function sortBy(column) {
      const head = heads[column];
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const byValue = SORTED_BY_VALUE.has(titles[column]);
      const keyed = [...rows].map((row) => {
        const cell = row.rows[0].cells[column];
        return { row, key: byValue ? Number(cell.dataset.v) : cell.textContent.trim() };
      });
      keyed.sort((one, two) => (byValue ? one.key - two.key : compareText(one.key, two.key)));
      if (descending) keyed.reverse();
      table.append(...keyed.map(({ row }) => row));
    }

    heads.forEach((head, column) => {
      const button = element("button", { type: "button", title: "Sort by this column" });
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(column));
      head.append(button);
    });
    let timer = 0;
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(apply, 120);
    });
    for (const { select } of filters) select.addEventListener("change", apply);
    unfold.addEventListener("click", () => {
      for (const row of rows) if (!row.hidden) row.querySelector("details").open = true;
    });
    fold.addEventListener("click", () => {
      for (const details of table.querySelectorAll("details[open]")) details.open = false;
    });
    shown.setAttribute("aria-live", "polite");
    tools.append(element("label", {}, "Search all that is known of the VMs", search));
    for (const { title, select } of filters) tools.append(element("label", {}, title, select));
    tools.append(unfold, fold, shown);
    tools.hidden = false;
    apply();
    return () => {
      search.value = "";
      for (const { select } of filters) select.value = "";
      apply();
    };
  }

  const resets = new Map([...document.querySelectorAll("table.machines")].map((table) => [table, setUp(table)]));

  function openTarget() {
    const row = document.getElementById(location.hash.slice(1));
    if (row === null || row.tagName !== "TBODY") return;
    if (row.hidden) resets.get(row.closest("table"))?.();
    row.querySelector("details").open = true;
    row.scrollIntoView({ block: "start" });
  }

  addEventListener("hashchange", openTarget);
  openTarget();
})();
