// One line per check, a summary at the end.

const failures = [];
let passed = 0;

/** Runs a check; a failed one is reported and the suite goes on. Its answer is what `act` gives, or undefined. */
export const check = async (name, act) => {
  const start = Date.now();
  try {
    const value = await act();
    passed += 1;
    console.log(`ok    ${name} (${Date.now() - start} ms)`);
    return value;
  } catch (error) {
    failures.push(name);
    const text = error instanceof Failed ? error.message : error.stack || String(error);
    console.log(`FAIL  ${name}: ${text}`);
    return undefined;
  }
};

class Failed extends Error {}

export const fail = (text) => { throw new Failed(text); };

export const is = (what, got, wanted) => {
  if (got !== wanted) fail(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
};

export const holds = (what, got) => { if (!got) fail(what); };

export const none = (what, list) => {
  if (list.length) fail(`${what}: ${list.slice(0, 8).join("; ")}${list.length > 8 ? ` and ${list.length - 8} more` : ""}`);
};

/** The last line and the exit code. */
export const summary = (seconds) => {
  if (failures.length) console.log(`\nfailed: ${failures.join(", ")}`);
  console.log(`${passed} checks passed, ${failures.length} failed, ${seconds} s`);
  return failures.length ? 1 : 0;
};
