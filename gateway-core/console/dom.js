// Makes elements, and brings a page that is there into the shape of one that was just made.
//
// Every view is a function of the state that makes its elements anew. `become` changes what is on the screen only where it differs, so
// focus, selection and scrolling stay where they are. Nothing is ever parsed from a text: what the gateway says is text, whatever is in it.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("p", { class: "hint", onclick: () => … }, "text", other)`. Children that are `false`, `null` or `undefined` are left out. */
export function h(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same for drawings. */
export function s(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  const given = Object.entries(properties ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== false);
  for (const [name, value] of given) if (!PROPERTIES.has(name)) element.setAttribute(name, value === true ? "" : value);
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  // The value of a choice is one of its children.
  for (const [name, value] of given) if (PROPERTIES.has(name)) element[name] = value;
  if (properties && "value" in properties) element.isTold = true;
  return element;
}

// What is not an attribute. The policy for content allows no handlers in attributes, and these are none.
const HANDLERS = ["onclick", "onsubmit", "oninput", "onchange", "onkeydown", "onpointermove", "onpointerleave", "onfocus", "onblur"];
const PROPERTIES = new Set([...HANDLERS, "value", "checked"]);
const VALUED = new Set(["input", "select", "textarea"]);

/** Gives an element the attributes, handlers and children of another one. Children with a `data-key` are found again by it. */
export function become(element, wanted) {
  for (const { name } of [...element.attributes]) if (!wanted.hasAttribute(name)) element.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  for (const name of HANDLERS) if (element[name] !== wanted[name]) element[name] = wanted[name];
  if ("checked" in wanted && element.checked !== wanted.checked) element.checked = wanted.checked;
  becomeChildren(element, wanted);
  // After the children: what can be selected depends on them. What somebody is typing is theirs, and what no view has told is, too.
  if (wanted.isTold && VALUED.has(element.localName) && element !== document.activeElement && element.value !== wanted.value) element.value = wanted.value;
}

function becomeChildren(element, wanted) {
  const keyed = new Map();
  const kept = new Set([...wanted.children].map((child) => child.dataset?.key));
  for (const child of [...element.children]) {
    const key = child.dataset?.key;
    if (!key) continue;
    // At once, since what comes behind it would be moved in front of it, and what is moved loses the focus.
    if (kept.has(key)) keyed.set(key, child);
    else child.remove();
  }
  let place = element.firstChild;
  for (const child of [...wanted.childNodes]) {
    const key = child.dataset?.key;
    let found = key ? keyed.get(key) : place;
    if (key && found) {
      keyed.delete(key);
      if (found !== place) element.insertBefore(found, place);
      else place = place.nextSibling;
    } else if (found && !key && isSame(found, child)) {
      place = place.nextSibling;
    } else {
      element.insertBefore(child, place);
      continue;
    }
    if (!isSame(found, child)) {
      found.replaceWith(child);
    } else if (child.nodeType === Node.TEXT_NODE) {
      if (found.data !== child.data) found.data = child.data;
    } else {
      become(found, child);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function isSame(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}
