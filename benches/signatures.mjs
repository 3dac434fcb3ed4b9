// node signatures.mjs MODULE [CONFIGURATION [ROUNDS]]: what it costs to verify a token in Wasm, by algorithm, beside WebCrypto
// in the same process; what a remembered one costs, and what it adds to a whole request. Keys and tokens are made anew.
//
// CONFIGURATION: benches/signatures.yaml compiled. The private half of its ES256 key stands below: it signs nothing else.
// Prints a line for each: what, then the least and the middle of several rounds in µs for one, with tabs between. `--print`
// instead of MODULE prints a line for each algorithm: its name, a JWK Set and a token, for whoever measures native code.
import { readFileSync } from "node:fs";
import { createPrivateKey, createHmac, generateKeyPairSync, sign, webcrypto } from "node:crypto";

const [module, configuration, rounds = "7"] = process.argv.slice(2);
const core = module === "--print" ? undefined : new WebAssembly.Instance(new WebAssembly.Module(readFileSync(module)), {}).exports;
const give = (bytes) => {
  const at = core.room(bytes.length);
  new Uint8Array(core.memory.buffer).set(bytes, at);
};

const base64url = (data) => Buffer.from(data).toString("base64url");
const claims = { iss: "https://idp.example", sub: "user-4711", aud: "orders", iat: 1_762_999_000, exp: 4_000_000_000, scope: "read write", jti: "0".repeat(36), email: "somebody@example.com", roles: ["reader", "writer", "owner"] };

const pss = (hash, salt) => ({ hash, options: { padding: 6, saltLength: salt }, pair: () => generateKeyPairSync("rsa", { modulusLength: 2048 }), web: { name: "RSA-PSS", hash: `SHA-${hash.slice(3)}`, saltLength: salt } });
const pkcs1 = (hash) => ({ hash, options: {}, pair: () => generateKeyPairSync("rsa", { modulusLength: 2048 }), web: { name: "RSASSA-PKCS1-v1_5", hash: `SHA-${hash.slice(3)}` } });
const ecdsa = (hash, namedCurve) => ({ hash, options: { dsaEncoding: "ieee-p1363" }, pair: () => generateKeyPairSync("ec", { namedCurve }), web: { name: "ECDSA", namedCurve, hash: `SHA-${hash.slice(3)}` } });
const hmac = (hash) => ({ hash, web: { name: "HMAC", hash: `SHA-${hash.slice(3)}` } });
const algorithms = {
  HS256: hmac("sha256"), HS384: hmac("sha384"), HS512: hmac("sha512"),
  RS256: pkcs1("sha256"), RS384: pkcs1("sha384"), RS512: pkcs1("sha512"),
  PS256: pss("sha256", 32), PS384: pss("sha384", 48), PS512: pss("sha512", 64),
  ES256: ecdsa("sha256", "P-256"), ES384: ecdsa("sha384", "P-384"),
  EdDSA: { hash: null, options: {}, pair: () => generateKeyPairSync("ed25519"), web: { name: "Ed25519" } },
};

function make(alg, { hash, options, pair }, key) {
  const signed = `${base64url(JSON.stringify({ alg, typ: "JWT", kid: "bench" }))}.${base64url(JSON.stringify(claims))}`;
  if (pair === undefined) {
    const secret = Buffer.alloc(64, 7);
    const signature = createHmac(hash, secret).update(signed).digest();
    return { jwk: { kty: "oct", k: base64url(secret), alg, kid: "bench" }, token: `${signed}.${base64url(signature)}` };
  }
  const { publicKey, privateKey } = key ?? pair();
  const signature = sign(hash, signed, { key: privateKey, ...options });
  const jwk = publicKey && { ...publicKey.export({ format: "jwk" }), alg, kid: "bench" };
  return { jwk, token: `${signed}.${base64url(signature)}` };
}

// The least and the middle of several rounds, in microseconds for one.
function measure(times, run) {
  const costs = [];
  for (let round = 0; round < +rounds + 1; round++) {
    const before = process.threadCpuUsage();
    if (run(times) !== times) throw new Error("a right token was refused");
    const { user, system } = process.threadCpuUsage(before);
    if (round > 0) costs.push((user + system) / times);
  }
  return summary(costs);
}

async function measureWeb(times, { web, hash }, { jwk, token }) {
  const { alg, ...bare } = jwk;
  const key = await webcrypto.subtle.importKey("jwk", bare, web, false, ["verify"]);
  const at = token.lastIndexOf(".");
  const [data, signature] = [Buffer.from(token.slice(0, at)), Buffer.from(token.slice(at + 1), "base64url")];
  const costs = [];
  for (let round = 0; round < +rounds + 1; round++) {
    // WebCrypto works on another thread, so the whole process is counted.
    const before = process.cpuUsage();
    for (let i = 0; i < times; i++) if (!(await webcrypto.subtle.verify(web, key, signature, data))) throw new Error("refused");
    const { user, system } = process.cpuUsage(before);
    if (round > 0) costs.push((user + system) / times);
  }
  return summary(costs);
}

const summary = (costs) => {
  costs.sort((a, b) => a - b);
  return { least: costs[0], middle: costs[costs.length >> 1] };
};
const tell = (what, { least, middle }) => console.log(`${what}\t${least}\t${middle}`);

if (core === undefined) {
  for (const [alg, how] of Object.entries(algorithms)) {
    const { jwk, token } = make(alg, how);
    console.log(`${alg}\t${JSON.stringify({ keys: [jwk] })}\t${token}`);
  }
  process.exit();
}

for (const [alg, how] of Object.entries(algorithms)) {
  const made = make(alg, how);
  give(Buffer.from(JSON.stringify({ keys: [made.jwk] })));
  if (core.keys() !== 1) throw new Error(`${alg}: the key was refused`);
  give(Buffer.from(made.token));
  core.token();
  tell(`${alg} in Wasm`, measure(how.pair ? 60 : 3000, core.verify));
  tell(`${alg} by WebCrypto`, await measureWeb(300, how, made));
}
tell("remembered", measure(20_000, core.remember));

if (configuration) {
  give(readFileSync(configuration));
  if (core.load() !== 1) throw new Error("the configuration does not load");
  const privateKey = createPrivateKey({
    format: "jwk",
    key: { kty: "EC", crv: "P-256", x: "JoSiNcmra_wLu6RFOJ2FEqIP0W5sFumQI-Za6eLEYog", y: "acVJCdMhvrvPvQviMqfNFsn0vpdRif_R5dqPQketcPA", d: "kDFAAYdNFYmGAoRrGFTUhRScJb51fgKNpu8Ncnh0gQs" },
  });
  give(Buffer.from(make("ES256", algorithms.ES256, { privateKey }).token));
  core.token();
  for (const [place, route] of ["open", "jwt", "key", "expression", "body", "edit", "template", "query"].entries()) {
    tell(`a request to ${route}`, measure(20_000, (n) => core.handle(n, place)));
  }
}
