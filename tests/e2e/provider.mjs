// An OpenID provider (npm oidc-provider) on a port of its own, for tests/e2e/login.rs and credentials.rs.
//
//   node provider.mjs
//
// Prints `ready ADDRESS`, then does what each line of its input says, and prints it once it is done:
// `rotate` signs with a new key and publishes no other; `down` answers everything with 503; `up` ends that.
// Ends when its input does.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const server = createServer((request, response) => answer(request, response));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

let keys = 0;
let down = false;
let serve = provider();

function answer(request, response) {
  if (down) {
    response.writeHead(503).end();
  } else {
    serve(request, response);
  }
}

function provider() {
  const pages = (host) => [`http://${host}/oauth2/callback`];
  const configuration = {
    clients: [
      {
        client_id: 'confidential',
        client_secret: 'the secret of the client: +/%',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [...pages('app.test'), ...pages('short.test')],
        post_logout_redirect_uris: ['http://app.test/goodbye'],
      },
      {
        client_id: 'public',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: pages('public.test'),
      },
      {
        client_id: 'robot',
        client_secret: 'the secret of the robot',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'poster',
        client_secret: 'the secret of the poster: +/%',
        token_endpoint_auth_method: 'client_secret_post',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'signer',
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        jwks: { keys: [known()] },
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    jwks: { keys: [key()] },
    claims: { openid: ['sub'], email: ['email'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.org` }) }),
    cookies: { keys: ['of the provider'] },
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => false,
        getResourceServerInfo: (_, audience) => ({
          audience,
          scope: 'read write',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    // Short enough for a test to see them end.
    ttl: { AccessToken: 4, ClientCredentials: 600, IdToken: 600, RefreshToken: 600, Session: 600, Grant: 600, Interaction: 600 },
    rotateRefreshToken: true,
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
  };
  return new Provider(issuer, configuration).callback();
}

function key() {
  keys += 1;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${keys}`, use: 'sig', alg: 'ES256' };
}

// The public half of a key that tests have.
function known() {
  const pem = readFileSync(new URL('../../gateway-core/tests/keys/p256.public.pem', import.meta.url));
  return { ...createPublicKey(pem).export({ format: 'jwk' }), kid: 'signer-1', use: 'sig', alg: 'ES256' };
}

console.log(`ready ${issuer}`);
const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  if (line === 'rotate') serve = provider();
  if (line === 'down') down = true;
  if (line === 'up') down = false;
  console.log(line);
}
server.close();
process.exit(0);
