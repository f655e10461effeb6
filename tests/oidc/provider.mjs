// A certified OpenID provider that knows Alice, Bob and Mallory: `node provider.mjs PORT ORIGIN`. It says `ready` when it is.
// ORIGIN is where the server is that asks, such as http://127.0.0.1:8000.
import { Provider } from 'oidc-provider'

const [port, origin] = process.argv.slice(2)
const people = {
  alice: { email: 'alice@example.test', email_verified: true, name: 'Alice Liddell', preferred_username: 'alice', groups: ['chat-admins'] },
  bob: { email: 'bob@example.test', email_verified: true, name: 'Bob', preferred_username: 'bob', groups: ['staff'] },
  mallory: { email: 'alice@example.test', email_verified: false, name: 'Mallory', groups: [] },
}
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'palaver',
      client_secret: 'secret',
      redirect_uris: [`${origin}/api/oidc/callback`],
      post_logout_redirect_uris: [`${origin}/`],
      backchannel_logout_uri: `${origin}/api/oidc/logout`,
      backchannel_logout_session_required: true,
    },
  ],
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username', 'groups'],
  },
  findAccount: (_, id) =>
    people[id] && { accountId: id, claims: async () => ({ sub: id, ...people[id] }) },
})
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'))
