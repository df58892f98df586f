// The reference: oidc-provider issuing JWT access tokens by client credentials over TLS.
// Usage: node server.mjs PORT ALG KEY_FILE CERTIFICATE_FILE
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, alg, keyFile, certificateFile] = process.argv.slice(2);
const pair = alg === 'ES256'
  ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
  : generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...pair.privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: 'bench' };
const provider = new Provider(`https://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'bench',
    client_secret: 'bench-secret-of-nobody',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: alg,
  }],
  jwks: { keys: [jwk] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'https://xsp.example.net',
      getResourceServerInfo: () => ({
        scope: 'all',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: { alg } },
      }),
    },
  },
  ttl: { ClientCredentials: 3600 },
});
createServer({ key: readFileSync(keyFile), cert: readFileSync(certificateFile) }, provider.callback())
  .listen(Number(port), '127.0.0.1', () => console.log('ready'));
