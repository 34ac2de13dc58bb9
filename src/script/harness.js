// What stands between the host and a transformation. Runs first, in a fresh context, and keeps its
// own references to every built-in it needs, so that nothing a script changes can reach it.
(function (host) {
  'use strict';
  const { getPrototypeOf, getOwnPropertyDescriptor, defineProperty, freeze } = Object;
  const { ownKeys, apply } = Reflect;
  const { parse, stringify } = JSON;
  const { isArray } = Array;
  const tagOf = Object.prototype.toString;
  const hasOwn = Object.prototype.hasOwnProperty;
  const sliceOf = Array.prototype.slice;
  const PromiseClass = Promise;
  const promiseOf = Promise.resolve;
  const MapClass = Map;
  const mapGet = Map.prototype.get;
  const mapSet = Map.prototype.set;
  const mapHas = Map.prototype.has;
  const toText = String;
  const Refused = TypeError;

  // ---- globals of the transformations' interface -------------------------------------------

  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  const unavailable = (name) => (...ignored) => {
    host.unavailable(name);
    throw new Error(`${name} is not available: transformations run without network, files or credentials`);
  };
  define('global', globalThis);
  define('log', (...values) => {
    if (!host.log()) return;
    let text = '';
    for (let i = 0; i < values.length; i++) {
      let part;
      try {
        part = typeof values[i] === 'object' ? stringify(values[i]) : toText(values[i]);
      } catch {
        part = '[not printable]';
      }
      text += i === 0 ? part : ` ${part}`;
    }
    host.logText(text);
  });
  define('fetch', unavailable('fetch'));
  define('fetchV2', unavailable('fetchV2'));
  define('geolocation', unavailable('geolocation'));
  define('getCredential', unavailable('getCredential'));

  // ---- locking the built-ins ---------------------------------------------------------------

  // Everything reachable before the script's own code runs. It is locked after that code has run
  // once, so that polyfills at a module's top work while no event can change what the next sees.
  const builtins = [];
  const known = new MapClass();
  const visit = (value) => {
    if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return;
    if (apply(mapHas, known, [value])) return;
    apply(mapSet, known, [value, true]);
    builtins[builtins.length] = value;
  };
  visit(globalThis);
  visit(function () {});
  visit(function* () {});
  visit(async function () {});
  visit(async function* () {});
  visit(getPrototypeOf(function* () {}).prototype);
  visit([][Symbol.iterator]());
  visit(''[Symbol.iterator]());
  visit(new Map()[Symbol.iterator]());
  visit(new Set()[Symbol.iterator]());
  visit(''.matchAll(/x/g));
  for (let i = 0; i < builtins.length; i++) {
    const object = builtins[i];
    visit(getPrototypeOf(object));
    const keys = ownKeys(object);
    for (let k = 0; k < keys.length; k++) {
      const property = getOwnPropertyDescriptor(object, keys[k]);
      visit(property.value);
      visit(property.get);
      visit(property.set);
    }
  }
  const globals = ownKeys(globalThis);

  // A read-only property that is inherited cannot be assigned on the heir either: `event.toString =`
  // or `this.name =` in a class of errors would throw. There it becomes a pair of accessors that
  // defines the heir's own property.
  const assignable = [
    Object.prototype, Error.prototype, EvalError.prototype, RangeError.prototype,
    ReferenceError.prototype, SyntaxError.prototype, TypeError.prototype, URIError.prototype,
    AggregateError.prototype,
  ];
  const letHeirsAssign = (object) => {
    const keys = ownKeys(object);
    for (let k = 0; k < keys.length; k++) {
      const key = keys[k];
      const property = getOwnPropertyDescriptor(object, key);
      if (!property.configurable || !apply(hasOwn, property, ['value'])) continue;
      const { value, enumerable } = property;
      defineProperty(object, key, {
        __proto__: null,
        get: freeze(() => value),
        set: freeze({ set(next) {
          if (this === object) throw new Refused('built-ins are read-only while events are transformed');
          defineProperty(this, key, {
            __proto__: null, value: next, writable: true, enumerable: true, configurable: true,
          });
        } }.set),
        enumerable,
        configurable: false,
      });
    }
  };
  // Code is compiled before events are there, never among them: the engine's compiler is the one
  // part of it that a lack of memory can crash, and no transformation needs it by then.
  const compilers = [Function, getPrototypeOf(function* () {}).constructor,
    getPrototypeOf(async function () {}).constructor,
    getPrototypeOf(async function* () {}).constructor];
  const forbidCompiling = () => {
    const refuse = () => {
      throw new Refused('code cannot be compiled while events are transformed');
    };
    define('eval', refuse);
    for (let i = 0; i < compilers.length; i++) {
      const { prototype } = compilers[i];
      const stub = { [compilers[i].name]() { refuse(); } }[compilers[i].name];
      defineProperty(stub, 'prototype', { __proto__: null, value: prototype });
      defineProperty(prototype, 'constructor', { __proto__: null, value: freeze(stub) });
      if (i === 0) define('Function', stub);
    }
  };
  const lock = () => {
    forbidCompiling();
    for (let i = 0; i < assignable.length; i++) letHeirsAssign(assignable[i]);
    for (let i = 0; i < builtins.length; i++) {
      if (builtins[i] !== globalThis) freeze(builtins[i]);
    }
    for (let i = 0; i < globals.length; i++) {
      const property = getOwnPropertyDescriptor(globalThis, globals[i]);
      if (property === undefined || !property.configurable) continue;
      property.configurable = false;
      if (apply(hasOwn, property, ['writable'])) property.writable = false;
      defineProperty(globalThis, globals[i], property);
    }
  };

  // ---- the events of a call ----------------------------------------------------------------

  let events = [];
  let ids = [];
  let byEvent;
  let byId;
  const index = () => {
    byEvent = new MapClass();
    byId = new MapClass();
    for (let i = 0; i < events.length; i++) {
      apply(mapSet, byEvent, [events[i], i]);
      if (typeof ids[i] !== 'string') continue;
      const same = apply(mapGet, byId, [ids[i]]);
      if (same === undefined) apply(mapSet, byId, [ids[i], [i]]);
      else same[same.length] = i;
    }
  };
  const metadata = (event) => {
    if (event === null || typeof event !== 'object') return {};
    if (event === events[0]) return parse(host.metadata(0));
    if (byEvent === undefined) index();
    let at = apply(mapGet, byEvent, [event]);
    if (at === undefined) {
      const same = apply(mapGet, byId, [event.messageId]);
      if (same === undefined) return {};
      at = same[0];
    }
    return parse(host.metadata(at));
  };
  const isPlain = (value) =>
    value !== null && typeof value === 'object' && !isArray(value)
      && apply(tagOf, value, []) === '[object Object]';

  // What the host may take over as it is: null, undefined, a plain object, a new array of plain
  // objects, a native promise, or the number of what is wrong.
  const NOT_AN_EVENT = 0;
  const TOO_MANY_PARTS = 1;
  const NOT_AN_ARRAY = 2;
  const awaited = (result) =>
    result !== null && typeof result === 'object' && typeof result.then === 'function'
      ? apply(promiseOf, PromiseClass, [result])
      : undefined;
  const screen = (result) => {
    if (result === null || result === undefined) return result;
    if (!isArray(result)) return isPlain(result) ? result : NOT_AN_EVENT;
    if (result.length > host.parts) return TOO_MANY_PARTS;
    const parts = [];
    for (let i = 0; i < result.length; i++) {
      parts[i] = result[i];
      if (!isPlain(parts[i])) return NOT_AN_EVENT;
    }
    return parts;
  };

  // Which input each result of a batch belongs to: the one it is, else the one whose messageId it
  // has, the first that still has none; -1 where neither is so.
  const place = (results) => {
    if (!isArray(results)) return NOT_AN_ARRAY;
    if (results.length > events.length + host.parts) return TOO_MANY_PARTS;
    if (byEvent === undefined) index();
    const outputs = [];
    const places = [];
    const taken = [];
    for (let i = 0; i < results.length; i++) {
      const output = results[i];
      if (!isPlain(output)) return NOT_AN_EVENT;
      const at = apply(mapGet, byEvent, [output]);
      outputs[i] = output;
      places[i] = at === undefined ? -1 : at;
      if (at !== undefined) taken[at] = true;
    }
    for (let i = 0; i < outputs.length; i++) {
      if (places[i] !== -1) continue;
      const same = apply(mapGet, byId, [outputs[i].messageId]);
      if (same === undefined) continue;
      let at = same[0];
      for (let k = 0; k < same.length; k++) {
        if (taken[same[k]]) continue;
        at = same[k];
        break;
      }
      taken[at] = true;
      places[i] = at;
    }
    return [outputs, places];
  };

  // ---- faults ------------------------------------------------------------------------------

  const classes = [
    [TypeError.prototype, 'TypeError'], [RangeError.prototype, 'RangeError'],
    [ReferenceError.prototype, 'ReferenceError'], [SyntaxError.prototype, 'SyntaxError'],
    [URIError.prototype, 'URIError'], [EvalError.prototype, 'EvalError'],
    [AggregateError.prototype, 'AggregateError'], [InternalError.prototype, 'InternalError'],
    [Error.prototype, 'Error'],
  ];
  const classOf = (error) => {
    let at = error;
    for (let hops = 0; hops < 16 && at !== null && typeof at === 'object'; hops++) {
      for (let i = 0; i < classes.length; i++) if (classes[i][0] === at) return classes[i][1];
      at = getPrototypeOf(at);
    }
    return 'value';
  };
  // Class, stack and whether memory ran out, of which the engine's own error may have no text.
  const describe = (error) => {
    let name = 'value';
    let stack = '';
    let memory = false;
    try {
      name = classOf(error);
      if (name !== 'value') {
        const { message } = error;
        memory = message === 'out of memory' || (name === 'InternalError' && message === '');
      }
      if (name !== 'value') ({ stack } = error);
    } catch {}
    return [name, typeof stack === 'string' ? stack : '', memory];
  };

  return {
    lock,
    screen,
    place,
    describe,
    exact: (key, value) =>
      value === Infinity ? '\u0000+Infinity' : value === -Infinity ? '\u0000-Infinity' : value,
    bindEvent: (transform) => (event) => {
      events = [event];
      ids = [event.messageId];
      byEvent = undefined;
      const result = transform(event, metadata);
      return awaited(result) ?? screen(result);
    },
    bindBatch: (transform) => (list) => {
      events = apply(sliceOf, list, []);
      ids = [];
      for (let i = 0; i < events.length; i++) ids[i] = events[i].messageId;
      byEvent = undefined;
      const result = transform(list, metadata);
      return awaited(result) ?? place(result);
    },
  };
})
